//! The vendor's words and numbers for kinds, states, times and people (SEMANTICS
//! sections 2 and 5).

use std::sync::LazyLock;

use backout_core::ids::AccountId;
use backout_core::time::Timestamp;
use backout_databases::zone::{NoInstant, Zone};
use backout_engines::catalogue::Image;
use backout_engines::model::{EngineState, Kind, Mode};
use backout_engines::service::EngineView;

use crate::cdb::words::uin;

/// The vendor's times without a zone are those of its own country.
static ZONE: LazyLock<Zone> = LazyLock::new(|| "+08:00".parse().unwrap_or(Zone::UTC));

/// A time without a zone, `YYYY-MM-DD hh:mm:ss`.
pub fn local_time(at: Timestamp) -> String {
    ZONE.local(at)
}

/// Reads such a time.
pub fn parse_time(text: &str) -> Result<Timestamp, NoInstant> {
    let us = ZONE.instant(&text.parse()?)?;
    Ok(Timestamp(us.div_euclid(1000)))
}

/// The number of an account's application: derived from the number of the
/// account, so that an account always has the same.
pub fn app_id(account: &AccountId) -> i64 {
    const FIRST: i64 = 1_300_000_000;
    let digits = uin(account);
    let number = digits.strip_prefix("1000").unwrap_or(&digits);
    FIRST + number.parse::<i64>().unwrap_or(0)
}

/// A kind of engine, as calls write it in two words.
struct KindWords {
    kind: Kind,
    /// `EngineType` of an engine.
    engine: &'static str,
    /// `EngineGeneration`.
    generation: &'static str,
}

const KINDS: [KindWords; 6] = {
    const fn row(kind: Kind, engine: &'static str, generation: &'static str) -> KindWords {
        KindWords {
            kind,
            engine,
            generation,
        }
    }
    [
        row(Kind::SparkSql, SPARK, SUPER),
        row(Kind::SparkBatch, SPARK, SUPER),
        row(Kind::PrestoSql, PRESTO, SUPER),
        row(Kind::StandardSpark, SPARK, NATIVE),
        row(Kind::StandardPresto, PRESTO, NATIVE),
        // Not the vendor's, and no other word would be true.
        row(Kind::DuckDb, DUCKDB, SUPER),
    ]
};

/// `EngineType` of an engine that runs Spark.
pub const SPARK: &str = "spark";
/// Of one that runs Presto.
pub const PRESTO: &str = "presto";
/// Of the light engine of this house.
pub const DUCKDB: &str = "duckdb";
/// `EngineGeneration` of engines whose version can be changed.
pub const SUPER: &str = "SuperSQL";
/// `EngineGeneration` of standard engines.
pub const NATIVE: &str = "Native";

fn words(kind: Kind) -> &'static KindWords {
    KINDS
        .iter()
        .find(|row| row.kind == kind)
        .unwrap_or(&KINDS[0])
}

/// `EngineType`.
pub fn engine_type(kind: Kind) -> &'static str {
    words(kind).engine
}

/// `EngineGeneration`.
pub fn generation(kind: Kind) -> &'static str {
    words(kind).generation
}

/// The kind that a new engine is of; `None` when there is none such.
pub fn kind_of(engine_type: &str, generation: &str, batch: bool) -> Option<Kind> {
    match (engine_type, generation, batch) {
        (SPARK, SUPER, false) => Some(Kind::SparkSql),
        (SPARK, SUPER, true) => Some(Kind::SparkBatch),
        (SPARK, NATIVE, _) => Some(Kind::StandardSpark),
        (PRESTO, SUPER, false) => Some(Kind::PrestoSql),
        (PRESTO, NATIVE, false) => Some(Kind::StandardPresto),
        (DUCKDB, SUPER, false) => Some(Kind::DuckDb),
        _ => None,
    }
}

/// `ClusterType` of an engine that was made without one.
pub fn cluster_type(kind: Kind) -> String {
    format!("{}_cu", engine_type(kind))
}

/// Whether a `ClusterType` is one for engines of this type.
pub fn fits_cluster(cluster_type: &str, engine_type: &str) -> bool {
    cluster_type
        .strip_prefix(engine_type)
        .is_some_and(|rest| ["_cu", "_private"].contains(&rest))
}

/// `Mode`.
pub const fn mode(mode: Mode) -> i64 {
    match mode {
        Mode::Shared => 0,
        Mode::PayAsYouGo => 1,
        Mode::Monthly => 2,
    }
}

/// Reads the number back.
pub const fn mode_of(number: i64) -> Option<Mode> {
    match number {
        0 => Some(Mode::Shared),
        1 => Some(Mode::PayAsYouGo),
        2 => Some(Mode::Monthly),
        _ => None,
    }
}

/// `State`: an engine that a job works on is initializing, whatever answers
/// statements meanwhile, so that who waits for 2 waits for the end of the job.
pub fn state(view: &EngineView) -> i64 {
    const FAILED: i64 = -1;
    const INITIALIZING: i64 = 0;
    const SUSPENDED: i64 = 1;
    const RUNNING: i64 = 2;
    const DELETING: i64 = 4;
    match (view.engine.state, &view.holding) {
        (EngineState::Failed, _) => FAILED,
        (_, Some(holding)) if holding.held => FAILED,
        (EngineState::Deleting, _) => DELETING,
        (EngineState::Initializing, _) | (_, Some(_)) => INITIALIZING,
        (EngineState::Suspended, None) => SUSPENDED,
        (EngineState::Running, None) => RUNNING,
    }
}

/// `IsPublic` of a version.
pub const fn is_public(image: &Image) -> u64 {
    match image.public {
        true => 1,
        false => 2,
    }
}

/// `IsSharedEngine` of a version.
pub const fn is_shared(image: &Image) -> u64 {
    match image.shared {
        true => 1,
        false => 2,
    }
}

/// `AccessType`: how an engine is spoken to, by its endpoint.
pub fn access_type(endpoint: &str) -> &str {
    match endpoint.split(':').next().unwrap_or_default() {
        "http" => "HTTP",
        "thrift" => "Thrift",
        "sc" => "SparkConnect",
        other => other,
    }
}
