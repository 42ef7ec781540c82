//! The catalogue: which versions of images there are, and how each is run.
//!
//! An entry is one TOML file:
//!
//! ```toml
//! version = "DuckDB 1.4"            # what people call it
//! kind = "DuckDB"
//! exec_type = "SQL"                 # or "BATCH"
//! public = true                     # or false: only who added it uses it
//! state = "online"                  # or "initializing", "offline"
//! command = ["/opt/duckdb-1.4/bin/python", "{assets}/duckdb/server.py", "--port", "{port}"]
//! health_sql = "SELECT 1"           # or health_http = "/health"
//!
//! [cluster_parameters]
//! threads = { type = "integer", default = 2, allowed = [1, 2, 4] }
//!
//! [session_parameters]
//! TimeZone = { default = "UTC" }
//! ```
//!
//! With `parent = "DuckDB 1.4"` it is a minor version of that, and what it does
//! not say is as its parent says. With `level = "pyspark"` beside it, it is an
//! image for Python programs under the minor version that `parent` names: it has
//! all that that one has, and an engine that is switched to it runs it.
//!
//! | mark in `command` and `client` | what is put there |
//! |---|---|
//! | `{port}` | the port to listen on |
//! | `{workdir}` | a folder of the instance, which it runs in |
//! | `{data}` | a folder of the engine, which outlives its instances |
//! | `{assets}` | the folder of the programs that come with this house |
//! | `{sql}` | the statement (`client` only) |
//! | `{conf}` | alone: `--conf name=value` for each cluster parameter in force |
//!
//! An entry is taken into the catalogue whenever it is TOML with a version; what
//! is wrong with it is told then, and met whenever it is read.

use backout_core::ids::{AccountId, ImageId};
use backout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{Config, Driver, ExecType, Health, Kind, Launch};
use crate::parameters::{self, Specs};
use crate::refusal::{Damage, Refusal};

/// The longest entry, in bytes: a hundred parameters with long descriptions.
pub const ENTRY_MAX_BYTES: usize = 256 << 10;

/// The longest name of a version, in characters.
pub const VERSION_MAX_CHARS: usize = 100;

/// The longest command, health query or path, in bytes: a shell is told each as a
/// part of one word, of which the kernel takes 128 KiB.
const LINE_MAX_BYTES: usize = 16 << 10;

/// The most parameters of one sort that a version may have: Spark itself knows
/// some four hundred.
pub const PARAMETERS_MAX: usize = 1000;

/// The longest name of a parameter, in characters.
const PARAMETER_MAX_CHARS: usize = 200;

/// How long an instance may take to come up where its entry does not say, in
/// seconds: a Java engine on a busy host takes a tenth of that.
const START_S: u32 = 120;

/// The longest that an entry may ask for, in seconds.
const START_MAX_S: u32 = 3600;

/// At which level of the catalogue an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// A major version.
    Parent,
    /// A minor version.
    Child,
    /// An image for Python programs, under a minor version.
    Pyspark,
}

impl Level {
    /// The word that is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Parent => "parent",
            Self::Child => "child",
            Self::Pyspark => "pyspark",
        }
    }

    /// Reads the word back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Parent, Self::Child, Self::Pyspark]
            .into_iter()
            .find(|level| level.as_str() == word)
    }
}

/// In which state a version is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageState {
    /// It is being prepared: 1.
    Initializing,
    /// It can be used: 2.
    Online,
    /// It must not be used any more: 3.
    Offline,
}

impl ImageState {
    const ALL: [Self; 3] = [Self::Initializing, Self::Online, Self::Offline];

    /// The word that is shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Initializing => "initializing",
            Self::Online => "online",
            Self::Offline => "offline",
        }
    }

    /// The number by which it is told.
    #[must_use]
    pub const fn number(self) -> i64 {
        match self {
            Self::Initializing => 1,
            Self::Online => 2,
            Self::Offline => 3,
        }
    }
}

/// An entry as it is kept: its text, and what it is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: ImageId,
    /// Who added it.
    pub owner: AccountId,
    /// At which level it is.
    pub level: Level,
    /// What people call it.
    pub version: String,
    /// The version that it is under.
    pub parent: Option<String>,
    /// The TOML.
    pub text: String,
    /// Grows with each entry that is added: of two the newer has the larger.
    pub number: u64,
    /// When it was added.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
}

/// A version as its entry, and that of its parent, tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Its id.
    pub id: ImageId,
    /// What people call it.
    pub version: String,
    /// At which level it is.
    pub level: Level,
    /// The version that it is under.
    pub parent: Option<(ImageId, String)>,
    /// The kind of engine it is for.
    pub kind: Kind,
    /// What it executes.
    pub exec_type: ExecType,
    /// Whether all may use it.
    pub public: bool,
    /// Whether it is for shared engines.
    pub shared: bool,
    /// Its state.
    pub state: ImageState,
    /// Free text.
    pub description: String,
    /// How it is spoken to.
    pub driver: Driver,
    /// How it is run; empty where it cannot be run by itself.
    pub command: Vec<String>,
    /// How its health is asked for.
    pub health: Health,
    /// The program that asks it a statement.
    pub client: Option<Vec<String>>,
    /// How long it may take to come up, in seconds.
    pub start_s: u32,
    /// Memory that an instance needs, in bytes.
    pub memory_bytes: Option<u64>,
    /// Its cluster parameters.
    pub cluster: Specs,
    /// Its session parameters.
    pub session: Specs,
    /// Of two versions the newer has the larger.
    pub number: u64,
    /// When it was added.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
}

impl Image {
    /// How an instance of it is run with these settings.
    #[must_use]
    pub fn launch(&self, config: &Config) -> Launch {
        Launch {
            version: self.version.clone(),
            driver: self.driver,
            command: self.command.clone(),
            health: self.health.clone(),
            client: self.client.clone(),
            start_ms: self.start_s.saturating_mul(1000),
            memory_bytes: self.memory_bytes,
            cluster: parameters::in_force(&config.cluster, &self.cluster),
            session: parameters::in_force(&config.session, &self.session),
        }
    }

    /// What is known of a version that the catalogue has no more: nothing.
    pub(crate) fn gone(id: &ImageId, kind: Kind) -> Self {
        Self {
            id: id.clone(),
            version: id.to_string(),
            level: Level::Child,
            parent: None,
            kind,
            exec_type: kind.usual_exec_type(),
            public: false,
            shared: false,
            state: ImageState::Offline,
            description: String::new(),
            driver: kind.usual_driver(),
            command: Vec::new(),
            health: Health::Tcp,
            client: None,
            start_s: START_S,
            memory_bytes: None,
            cluster: Specs::new(),
            session: Specs::new(),
            number: 0,
            created: Timestamp(0),
            updated: Timestamp(0),
        }
    }

    /// Refuses a version that is not online.
    ///
    /// # Errors
    /// [`Refusal::ImageNotOnline`].
    pub fn online(&self) -> Result<(), Refusal> {
        match self.state {
            ImageState::Online => Ok(()),
            state => Err(Refusal::ImageNotOnline {
                version: self.version.clone(),
                state: state.as_str(),
            }),
        }
    }
}

/// What the TOML says, before anybody asks whether that makes sense.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: String,
    parent: Option<String>,
    level: Option<Level>,
    kind: Option<toml::Value>,
    exec_type: Option<toml::Value>,
    public: Option<toml::Value>,
    shared: Option<bool>,
    state: Option<toml::Value>,
    #[serde(default)]
    description: String,
    driver: Option<String>,
    command: Option<CommandLine>,
    health_sql: Option<String>,
    health_http: Option<String>,
    client: Option<CommandLine>,
    start_s: Option<u32>,
    memory_mb: Option<u64>,
    cluster_parameters: Option<toml::Value>,
    session_parameters: Option<toml::Value>,
}

/// A command, as words or as one line.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum CommandLine {
    Words(Vec<String>),
    Line(String),
}

impl CommandLine {
    fn words(&self) -> Result<Vec<String>, Damage> {
        let bad = |why: String| Err(Damage::ImageOther(format!("its command {why}")));
        let words = match self {
            Self::Words(words) => words.clone(),
            Self::Line(line) => match backout_workloads::split_command(line) {
                Ok(words) => words,
                Err(e) => return bad(format!("cannot be read: {e}")),
            },
        };
        let bytes: usize = words.iter().map(String::len).sum();
        if bytes > LINE_MAX_BYTES {
            return bad(format!("has {bytes} bytes, more than {LINE_MAX_BYTES}"));
        }
        if words.iter().any(|word| word.contains('\0')) {
            return bad("has a zero byte".to_owned());
        }
        Ok(words)
    }
}

/// What an entry is found by: its level, its version, and its parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// At which level it is.
    pub level: Level,
    /// What people call it.
    pub version: String,
    /// The version that it is under.
    pub parent: Option<String>,
}

/// Reads what an entry is found by. What else is wrong with it is no matter.
///
/// # Errors
/// [`Refusal::NoEntry`] when it is no TOML of the form above, has no version, or
/// is too long.
pub fn name(text: &str) -> Result<Name, Refusal> {
    if text.len() > ENTRY_MAX_BYTES {
        return Err(Refusal::NoEntry(format!(
            "it has {} bytes, more than {ENTRY_MAX_BYTES}; leave something out",
            text.len()
        )));
    }
    let written = written(text).map_err(|e| Refusal::NoEntry(format!("{e}; correct the file")))?;
    let bad = |what: &str, name: &str| {
        let fine = !name.trim().is_empty()
            && name.chars().count() <= VERSION_MAX_CHARS
            && !name.chars().any(char::is_control);
        match fine {
            true => Ok(()),
            false => Err(Refusal::NoEntry(format!(
                "its {what} is {name:?}: give 1 to {VERSION_MAX_CHARS} characters, none of them a control character"
            ))),
        }
    };
    bad("version", &written.version)?;
    if let Some(parent) = &written.parent {
        bad("parent", parent)?;
    }
    let level = match (written.level, &written.parent) {
        (Some(level), _) => level,
        (None, Some(_)) => Level::Child,
        (None, None) => Level::Parent,
    };
    if (level == Level::Parent) == written.parent.is_some() {
        return Err(Refusal::NoEntry(format!(
            "its level is {}: a parent is under no other version, and what is not one is; correct \"level\" or \"parent\"",
            level.as_str()
        )));
    }
    Ok(Name {
        level,
        version: written.version,
        parent: written.parent,
    })
}

fn written(text: &str) -> Result<Written, String> {
    toml::from_str(text).map_err(|e| {
        let line = e.span().map_or(1, |span| {
            text.get(..span.start)
                .unwrap_or_default()
                .lines()
                .count()
                .max(1)
        });
        format!("line {line}: {}", e.message().trim())
    })
}

/// What an entry says, as words, however wrong: for lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// The kind.
    pub kind: String,
    /// The driver.
    pub driver: String,
    /// The state.
    pub state: String,
}

/// Reads these words; what the entry leaves out is as those `above` it say, the
/// nearest of which is the first.
#[must_use]
pub fn words(entry: &Entry, above: &[Entry]) -> Words {
    let own = written(&entry.text).unwrap_or_default();
    let (mut kind, mut driver) = (own.kind.as_ref().map(shown), own.driver.clone());
    for entry in above {
        let above = written(&entry.text).unwrap_or_default();
        kind = kind.or(above.kind.as_ref().map(shown));
        driver = driver.or(above.driver);
    }
    let usual = || {
        kind.as_deref()
            .and_then(Kind::parse)
            .map_or("", |kind| kind.usual_driver().as_str())
            .to_owned()
    };
    Words {
        driver: driver.unwrap_or_else(usual),
        state: match own.state.as_ref().map(state_of) {
            None => ImageState::Online.as_str().to_owned(),
            Some(Ok(state)) => state.as_str().to_owned(),
            Some(Err(_)) => own.state.as_ref().map(shown).unwrap_or_default(),
        },
        kind: kind.unwrap_or_default(),
    }
}

/// Whether an entry says that all may use it; saying nothing is saying so.
#[must_use]
pub fn says_public(entry: &Entry) -> bool {
    written(&entry.text).is_ok_and(|w| {
        w.public
            .as_ref()
            .is_none_or(|value| public_of(value) == Ok(true))
    })
}

/// Reads a version off its entry and those that it is under, the nearest of which
/// is the first: none for a major version, or where there is no such parent.
///
/// # Errors
/// [`Damage`].
pub fn read(entry: &Entry, above: &[Entry]) -> Result<Image, Damage> {
    if let (None, Some(name)) = (above.first(), &entry.parent) {
        return Err(Damage::ImageOther(format!(
            "it is under {name:?}, which is not in the catalogue"
        )));
    }
    let mut all = Inherited::default();
    for one in above.iter().rev().chain([entry]) {
        all.take(written(&one.text).map_err(Damage::ImageOther)?)?;
    }
    let own = all.own;
    let kind = all
        .kind
        .ok_or_else(|| Damage::ImageKind("missing".to_owned()))?;
    let public = match &own.public {
        None => true,
        Some(value) => public_of(value)?,
    };
    let state = match &own.state {
        None => ImageState::Online,
        Some(value) => state_of(value)?,
    };
    let start_s = all.start_s.unwrap_or(START_S);
    if !(1..=START_MAX_S).contains(&start_s) {
        return Err(Damage::ImageOther(format!(
            "it may take {start_s} seconds to start, not 1 to {START_MAX_S}"
        )));
    }
    let driver = all.driver.unwrap_or(kind.usual_driver());
    let health = all.health.unwrap_or(Health::Tcp);
    if driver == Driver::Connect && all.client.is_none() && matches!(health, Health::Sql(_)) {
        return Err(Damage::ImageOther(
            "it has a health_sql and no client that asks it: this house has none for Spark Connect"
                .to_owned(),
        ));
    }
    let command = all.command.unwrap_or_default();
    if command.is_empty() && entry.level != Level::Parent {
        return Err(Damage::ImageOther(
            "neither it nor what it is under has a command".to_owned(),
        ));
    }
    Ok(Image {
        id: entry.id.clone(),
        version: entry.version.clone(),
        level: entry.level,
        parent: above.first().map(|p| (p.id.clone(), p.version.clone())),
        kind,
        exec_type: all.exec_type.unwrap_or(kind.usual_exec_type()),
        public,
        shared: all.shared.unwrap_or(false),
        state,
        description: own.description,
        driver,
        command,
        health,
        client: all.client,
        start_s,
        memory_bytes: all.memory_mb.map(|mb| mb.saturating_mul(1 << 20)),
        cluster: whole(all.cluster).map_err(Damage::ClusterParameters)?,
        session: whole(all.session).map_err(Damage::SessionParameters)?,
        number: entry.number,
        created: entry.created,
        updated: entry.updated,
    })
}

/// What a version has of its own and of those above it.
#[derive(Default)]
struct Inherited {
    /// What the last one says by itself.
    own: Written,
    kind: Option<Kind>,
    exec_type: Option<ExecType>,
    shared: Option<bool>,
    driver: Option<Driver>,
    command: Option<Vec<String>>,
    health: Option<Health>,
    client: Option<Vec<String>>,
    start_s: Option<u32>,
    memory_mb: Option<u64>,
    cluster: Specs,
    session: Specs,
}

impl Inherited {
    /// Puts what an entry says over what those above it say.
    fn take(&mut self, own: Written) -> Result<(), Damage> {
        if let Some(value) = &own.kind {
            self.kind = Some(kind_of(value, self.kind)?);
        }
        if let Some(value) = &own.exec_type {
            let word = value.as_str().and_then(ExecType::parse);
            self.exec_type = Some(word.ok_or_else(|| Damage::ImageExecType(shown(value)))?);
        }
        if let Some(word) = &own.driver {
            let driver = Driver::parse(word).ok_or_else(|| {
                Damage::ImageOther(format!(
                    "its driver is {word:?}, none of http, thrift, trino, connect"
                ))
            })?;
            self.driver = Some(driver);
        }
        if let Some(line) = &own.command {
            self.command = Some(line.words()?);
        }
        if let Some(line) = &own.client {
            self.client = Some(line.words()?);
        }
        if let Some(health) = health(&own)? {
            self.health = Some(health);
        }
        self.shared = own.shared.or(self.shared);
        self.start_s = own.start_s.or(self.start_s);
        self.memory_mb = own.memory_mb.or(self.memory_mb);
        let cluster = specs(&own.cluster_parameters).map_err(Damage::ClusterParameters)?;
        let session = specs(&own.session_parameters).map_err(Damage::SessionParameters)?;
        self.cluster.extend(cluster);
        self.session.extend(session);
        self.own = own;
        Ok(())
    }
}

/// The kind that an entry says, which must be that of what it is under.
fn kind_of(value: &toml::Value, above: Option<Kind>) -> Result<Kind, Damage> {
    let kind = value
        .as_str()
        .and_then(Kind::parse)
        .ok_or_else(|| Damage::ImageKind(format!("{}, which there is not", shown(value))))?;
    match above.filter(|above| *above != kind) {
        None => Ok(kind),
        Some(other) => Err(Damage::ImageKind(format!(
            "{}, and that of its parent is {}",
            kind.as_str(),
            other.as_str()
        ))),
    }
}

fn public_of(value: &toml::Value) -> Result<bool, Damage> {
    match value {
        toml::Value::Boolean(public) => Ok(*public),
        toml::Value::Integer(1) => Ok(true),
        toml::Value::Integer(2) => Ok(false),
        toml::Value::String(word) if word == "public" => Ok(true),
        toml::Value::String(word) if word == "private" => Ok(false),
        other => Err(Damage::ImagePublic(shown(other))),
    }
}

fn state_of(value: &toml::Value) -> Result<ImageState, Damage> {
    ImageState::ALL
        .into_iter()
        .find(|state| match value {
            toml::Value::String(word) => word == state.as_str(),
            toml::Value::Integer(number) => *number == state.number(),
            _ => false,
        })
        .ok_or_else(|| Damage::ImageState(shown(value)))
}

fn health(own: &Written) -> Result<Option<Health>, Damage> {
    let bad = |why: String| Err(Damage::ImageOther(why));
    match (&own.health_sql, &own.health_http) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => {
            bad("it has a health_sql and a health_http; one is enough".to_owned())
        }
        (Some(text), None) | (None, Some(text)) if text.len() > LINE_MAX_BYTES => bad(format!(
            "its health is asked for with {} bytes, more than {LINE_MAX_BYTES}",
            text.len()
        )),
        (Some(sql), None) if sql.trim().is_empty() || sql.contains('\0') => {
            bad("its health_sql is empty, or has a zero byte".to_owned())
        }
        (Some(sql), None) => Ok(Some(Health::Sql(sql.clone()))),
        (None, Some(path)) if !path.starts_with('/') || path.chars().any(char::is_control) => bad(
            format!("its health_http is {path:?}, no path that begins with a slash"),
        ),
        (None, Some(path)) => Ok(Some(Health::Http(path.clone()))),
    }
}

/// The parameters that an entry says.
fn specs(written: &Option<toml::Value>) -> Result<Specs, String> {
    match written {
        None => Ok(Specs::new()),
        // As programs write it: the same, as a text in JSON.
        Some(toml::Value::String(text)) => {
            serde_json::from_str(text).map_err(|e| format!("they are no JSON: {e}"))
        }
        Some(other) => other
            .clone()
            .try_into()
            .map_err(|e: toml::de::Error| e.message().trim().to_owned()),
    }
}

/// The parameters of a version, of which each must make sense.
fn whole(specs: Specs) -> Result<Specs, String> {
    if specs.len() > PARAMETERS_MAX {
        return Err(format!(
            "there are {}, more than {PARAMETERS_MAX}",
            specs.len()
        ));
    }
    for (name, spec) in &specs {
        let fine = !name.trim().is_empty()
            && name.chars().count() <= PARAMETER_MAX_CHARS
            && !name.chars().any(|c| c.is_control() || c == '=');
        if !fine {
            return Err(format!(
                "the name {name:?} is none: 1 to {PARAMETER_MAX_CHARS} characters, no equals sign, none of them a control character"
            ));
        }
        if let Some(default) = &spec.default {
            parameters::check_value(name, spec, &default.0)
                .map_err(|e| format!("the default of {name:?} is none of its values ({e})"))?;
        }
    }
    Ok(specs)
}

fn shown(value: &toml::Value) -> String {
    match value {
        toml::Value::String(word) => word.clone(),
        other => other.to_string(),
    }
}
