//! Databases, their history, their backups and what was asked of them, as JSON.

use backout_databases::Zone;
use backout_databases::model::{self, Renamed};
use backout_history::archive::{Txn, Window};
use backout_history::{Micros, TableName};
use backout_mariadb::doctor;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Judgement, Note, PlanView, Tag};

/// A table as calls and commands write it: `database.table`, with backquotes
/// around a part that has a dot or a backquote in it.
#[must_use]
pub fn table_text(name: &TableName) -> String {
    format!("{}.{}", part(&name.schema), part(&name.table))
}

fn part(name: &str) -> String {
    if name.contains(['.', '`', '=']) {
        format!("`{}`", name.replace('`', "``"))
    } else {
        name.to_owned()
    }
}

/// Takes one name from the front of a text, quoted or not; the rest begins with
/// the dot behind it, or is empty.
fn take_part(text: &str) -> Option<(String, &str)> {
    let Some(mut rest) = text.strip_prefix('`') else {
        let end = text.find('.').unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        return (!name.is_empty() && !name.contains('`')).then(|| (name.to_owned(), rest));
    };
    let mut name = String::new();
    loop {
        let (before, after) = rest.split_once('`')?;
        name.push_str(before);
        match after.strip_prefix('`') {
            Some(more) => {
                name.push('`');
                rest = more;
            }
            None => return (!name.is_empty()).then_some((name, after)),
        }
    }
}

/// Reads [`table_text`] back. Without a database it is `schema`'s, if there is
/// one.
#[must_use]
pub fn table_of(text: &str, schema: Option<&str>) -> Option<TableName> {
    let (first, rest) = take_part(text)?;
    if rest.is_empty() {
        return schema.map(|schema| TableName::new(schema, first));
    }
    let rest = rest.strip_prefix('.')?;
    // What follows the dot is the table, also when it has further dots: they
    // cannot be meant otherwise.
    match take_part(rest) {
        Some((table, "")) => Some(TableName::new(first, table)),
        _ if !rest.is_empty() && !rest.contains('`') => Some(TableName::new(first, rest)),
        _ => None,
    }
}

/// The zone of an instance; UTC for one that no longer reads.
#[must_use]
pub fn zone_of(instance: &model::Instance) -> Zone {
    instance.facts.zone.parse().unwrap_or(Zone::UTC)
}

/// A database instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Database {
    /// Its id, the one that the clouds' calls take.
    #[schema(example = "cdb-c1nl9rpv")]
    pub id: String,
    /// Its name.
    pub name: String,
    /// `managed` when Backout runs the server, `reached` when others do.
    pub kind: String,
    /// `creating`, `running`, `isolating`, `isolated` or `removing`.
    pub state: String,
    /// The host whose workers run its jobs.
    pub node: String,
    /// The host of the server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The user that Backout comes as.
    pub user: String,
    /// What the server says it is.
    pub version: String,
    /// Its server id in the binary log.
    pub server_id: u32,
    /// Its default character set.
    pub charset: String,
    /// Its time zone: times without a zone are in this one.
    #[schema(example = "Europe/Berlin")]
    pub zone: String,
    /// The folder of its files, when this host sees it; null otherwise.
    #[schema(required)]
    pub datadir: Option<String>,
    /// Bytes of its tables when it was last looked at.
    pub data_bytes: u64,
    /// Memory that was asked for, in MB.
    pub memory_mb: u32,
    /// When base backups are taken, and how long they and the history are kept.
    pub backups: BackupSchedule,
    /// How long the server itself keeps its binary logs.
    pub local_binlogs: LocalBinlogs,
    /// The job that holds it; null when none does.
    #[schema(required)]
    pub job: Option<HeldBy>,
    /// Labels.
    pub tags: Vec<Tag>,
    /// When it came under management.
    pub created: String,
    /// When it was isolated, if it is.
    #[schema(required)]
    pub isolated: Option<String>,
}

impl Database {
    /// An instance, and the job that holds it.
    #[must_use]
    pub fn of(i: model::Instance, holding: Option<backout_databases::Holding>) -> Self {
        Self {
            id: i.id.to_string(),
            name: i.name,
            kind: i.kind.as_str().into(),
            state: i.state.as_str().into(),
            node: i.node,
            host: i.address.host,
            port: i.address.port,
            user: i.address.user,
            version: i.facts.version,
            server_id: i.facts.server_id,
            charset: i.facts.charset,
            zone: i.facts.zone,
            datadir: i.facts.datadir.map(|path| path.display().to_string()),
            data_bytes: i.facts.data_bytes,
            memory_mb: i.shape.memory_mb,
            backups: i.backups.into(),
            local_binlogs: LocalBinlogs {
                hours: i.local_logs.hours,
                percent: i.local_logs.percent,
            },
            job: holding.map(|h| HeldBy {
                id: h.job.to_string(),
                kind: h.kind.map(|kind| kind.as_str().into()),
                held: h.held,
            }),
            tags: i
                .tags
                .into_iter()
                .map(|t| Tag {
                    key: t.key,
                    value: t.value,
                })
                .collect(),
            created: i.created.iso8601(),
            isolated: i.isolated.map(backout_core::time::Timestamp::iso8601),
        }
    }
}

/// How long a server itself keeps its binary logs; the archive's copies stay as
/// long as its own setting says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LocalBinlogs {
    /// How many hours: 6 to 168.
    pub hours: u32,
    /// How much of the disk they may take, in per cent: 30 to 50.
    pub percent: u32,
}

/// A database on an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Schema {
    /// Its name.
    pub name: String,
    /// The character set that its tables get.
    pub charset: String,
}

/// A table of a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SchemaTable {
    /// Its name, without the database's.
    pub name: String,
    /// Its name as calls and commands write it.
    #[schema(example = "shop.items")]
    pub table: String,
}

/// A binary log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Binlog {
    /// Its name.
    #[schema(example = "mysql-bin.000007")]
    pub name: String,
    /// Which life of the server's logs it is of: after a reset names come again.
    pub incarnation: u32,
    /// Its bytes; of one that the server no longer has, up to where the archive
    /// has it.
    pub bytes: u64,
    /// How many of them the archive has.
    pub archived_bytes: u64,
    /// Whether the archive has all of it, as far as the server has written it.
    pub archived: bool,
    /// Whether the server still has it; null when it did not answer.
    #[schema(required)]
    pub on_server: Option<bool>,
    /// How many transactions, and statements that commit by themselves, begin in
    /// what the archive has of it.
    pub transactions: u64,
    /// When its first transaction committed, with the zone of the instance; when
    /// it was begun, if it has none. Null for what the archive does not have.
    #[schema(required)]
    pub first: Option<String>,
    /// When its last did.
    #[schema(required)]
    pub last: Option<String>,
}

impl Binlog {
    /// With times in `zone`.
    #[must_use]
    pub fn of(f: backout_databases::LogFile, zone: &Zone) -> Self {
        Self {
            name: f.name,
            incarnation: f.incarnation,
            bytes: f.bytes,
            archived_bytes: f.archived_bytes,
            archived: f.archived,
            on_server: f.on_server,
            transactions: f.transactions,
            first: f.first_us.map(|us| zone.explicit(us)),
            last: f.last_us.map(|us| zone.explicit(us)),
        }
    }
}

/// The binary logs of an instance, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Binlogs {
    /// Those on this page.
    pub items: Vec<Binlog>,
    /// Where the next page begins; null on the last.
    #[schema(required)]
    pub next: Option<String>,
    /// Why the server did not say which it has; null when it did. What is shown
    /// is then only what the archive has.
    #[schema(required)]
    pub unreached: Option<String>,
}

/// A job that holds an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct HeldBy {
    /// The job's id.
    pub id: String,
    /// What it does: `rollback`, `rewind`, `backup`, ...; null when that cannot
    /// be told.
    #[schema(required)]
    pub kind: Option<String>,
    /// Whether it is held: nothing moves until somebody acts.
    pub held: bool,
}

/// When base backups are taken, and how long they and the history are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupSchedule {
    /// Whether there is a schedule.
    pub enabled: bool,
    /// The first hour of the day, in the instance's zone, in which one begins: 0
    /// to 23.
    pub from_hour: u8,
    /// The hour at which that ends: 1 to 24.
    pub to_hour: u8,
    /// The days of the week, 1 (Monday) to 7.
    pub days: Vec<u8>,
    /// How many days backups of the schedule are kept, and longer when a promised
    /// window needs them. What was taken by hand stays until somebody deletes it.
    pub keep_days: u32,
    /// How many days history is kept.
    pub history_days: u32,
    /// Whether those of the schedule are incremental where they can be.
    pub incremental: bool,
}

impl From<model::BackupConfig> for BackupSchedule {
    fn from(c: model::BackupConfig) -> Self {
        Self {
            enabled: c.enabled,
            from_hour: c.window.0,
            to_hour: c.window.1,
            days: (1..=7)
                .zip(c.days)
                .filter_map(|(day, on)| on.then_some(day))
                .collect(),
            keep_days: c.keep_days,
            history_days: c.history_days,
            incremental: c.incremental,
        }
    }
}

impl BackupSchedule {
    /// The product's form; `None` for a day that no week has.
    #[must_use]
    pub fn config(self) -> Option<model::BackupConfig> {
        let mut days = [false; 7];
        for day in self.days {
            *days.get_mut(usize::from(day).checked_sub(1)?)? = true;
        }
        Some(model::BackupConfig {
            enabled: self.enabled,
            window: (self.from_hour, self.to_hour),
            days,
            keep_days: self.keep_days,
            history_days: self.history_days,
            incremental: self.incremental,
        })
    }
}

/// A server to take under management, or to make.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddDatabase {
    /// What to call it.
    pub name: String,
    /// Where an existing server is, and as whom to come.
    #[serde(default)]
    #[schema(required = false, example = "mysql://backout:secret@db.example:3306")]
    pub url: Option<String>,
    /// In place of a URL: a server that Backout makes on its own host, and runs.
    #[serde(default)]
    #[schema(required = false)]
    pub managed: Option<NewManagedServer>,
    /// Labels.
    #[serde(default)]
    pub tags: Vec<Tag>,
}

impl std::fmt::Debug for AddDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the URL: it has a password in it.
        f.debug_struct("AddDatabase")
            .field("name", &self.name)
            .field("managed", &self.managed)
            .finish_non_exhaustive()
    }
}

/// A server that Backout makes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewManagedServer {
    /// Memory in MB; half of it goes to the buffer pool. 1000 when it is left
    /// out.
    #[serde(default)]
    #[schema(required = false)]
    pub memory_mb: Option<u32>,
    /// Its port; a free one when it is left out.
    #[serde(default)]
    #[schema(required = false)]
    pub port: Option<u16>,
}

/// An instance that comes under management.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AddedDatabase {
    /// It.
    pub database: Database,
    /// The job that does it.
    pub job: String,
}

/// Where a server is, and as whom to come.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExamineServer {
    /// A `mysql://` URL.
    #[schema(example = "mysql://backout:secret@db.example:3306")]
    pub url: String,
}

impl std::fmt::Debug for ExamineServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ExamineServer(..)")
    }
}

/// Changes of an instance: one member at a time.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeDatabase {
    /// Another name.
    #[serde(default)]
    #[schema(required = false)]
    pub name: Option<String>,
    /// Another way to reach it.
    #[serde(default)]
    #[schema(required = false)]
    pub url: Option<String>,
    /// Another schedule of base backups.
    #[serde(default)]
    #[schema(required = false)]
    pub backups: Option<BackupSchedule>,
    /// How long the server itself keeps its binary logs.
    #[serde(default)]
    #[schema(required = false)]
    pub local_binlogs: Option<LocalBinlogs>,
}

impl std::fmt::Debug for ChangeDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChangeDatabase")
            .field("name", &self.name)
            .field("backups", &self.backups)
            .field("local_binlogs", &self.local_binlogs)
            .finish_non_exhaustive()
    }
}

/// What stands in the way of taking a server back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DatabaseDoctor {
    /// Whether nothing does.
    pub healthy: bool,
    /// What was looked at.
    pub findings: Vec<DatabaseFinding>,
}

/// What was looked at, and what was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DatabaseFinding {
    /// What was looked at.
    #[schema(example = "binlog_format")]
    pub check: String,
    /// `ok`, `warning` (slower, or less) or `blocker`.
    pub level: String,
    /// What is there.
    pub found: String,
    /// What should be there.
    pub wanted: String,
    /// Why it matters.
    pub why: String,
    /// The statement, or the lines of the server's configuration, that fixes it;
    /// empty when all is well.
    pub fix: String,
}

impl From<Vec<doctor::Finding>> for DatabaseDoctor {
    fn from(findings: Vec<doctor::Finding>) -> Self {
        Self {
            healthy: findings.iter().all(|f| f.level != doctor::Level::Blocker),
            findings: findings
                .into_iter()
                .map(|f| DatabaseFinding {
                    check: f.check,
                    level: match f.level {
                        doctor::Level::Ok => "ok",
                        doctor::Level::Warning => "warning",
                        doctor::Level::Blocker => "blocker",
                    }
                    .into(),
                    found: f.found,
                    wanted: f.wanted,
                    why: f.why,
                    fix: f.fix,
                })
                .collect(),
        }
    }
}

/// A moment between two transactions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Moment {
    /// The time, with the zone of the instance.
    pub time: String,
    /// The place in the binary logs.
    #[schema(example = "mysql-bin.000007:4711")]
    pub position: String,
    /// The last transaction before it; null where that is not known.
    #[schema(required)]
    pub gtid: Option<String>,
}

impl Moment {
    fn of(i: &backout_history::archive::Instant, zone: &Zone) -> Self {
        Self {
            time: zone.explicit(i.time.0),
            position: i.position.to_string(),
            gtid: i.gtid.as_ref().map(ToString::to_string),
        }
    }
}

/// A stretch of history without a gap: every instant in it can be gone back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct HistoryWindow {
    /// Its first state.
    pub from: Moment,
    /// Its last.
    pub to: Moment,
    /// Why history before it is missing; null for the first.
    #[schema(required)]
    pub gap_before: Option<String>,
}

impl HistoryWindow {
    /// With times in `zone`.
    #[must_use]
    pub fn of(w: &Window, zone: &Zone) -> Self {
        Self {
            from: Moment::of(&w.from, zone),
            to: Moment::of(&w.to, zone),
            gap_before: w.gap_before.clone(),
        }
    }
}

/// A transaction, or a statement that commits by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Transaction {
    /// When it committed, with the zone of the instance; the second in which it
    /// did, where no more is known.
    pub time: String,
    /// Whether that is known below one second.
    pub exact: bool,
    /// Its id; null where the server gives none.
    #[schema(required, example = "0-1-4711")]
    pub gtid: Option<String>,
    /// Where it begins.
    pub position: String,
    /// The byte after it.
    pub end: String,
    /// Which rows it changed.
    pub tables: Vec<ChangedTable>,
    /// The definition statements in it.
    pub ddl: Vec<String>,
}

/// How many rows of a table were changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ChangedTable {
    /// The table.
    #[schema(example = "shop.items")]
    pub table: String,
    /// Rows inserted.
    pub inserts: u64,
    /// Rows updated.
    pub updates: u64,
    /// Rows deleted.
    pub deletes: u64,
}

impl Transaction {
    /// With its time in `zone`.
    #[must_use]
    pub fn of(t: &Txn, zone: &Zone) -> Self {
        // What is not known is not shown.
        let us = match t.exact {
            true => t.time.0,
            false => t.time.second().saturating_mul(1_000_000),
        };
        Self {
            time: zone.explicit(us),
            exact: t.exact,
            gtid: t.gtid.as_ref().map(ToString::to_string),
            position: t.position.to_string(),
            end: t.end.to_string(),
            tables: t
                .tables
                .iter()
                .map(|t| ChangedTable {
                    table: table_text(&t.name),
                    inserts: t.inserts,
                    updates: t.updates,
                    deletes: t.deletes,
                })
                .collect(),
            ddl: t.ddl.clone(),
        }
    }
}

/// Transactions around an instant, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Transactions {
    /// The instant that was meant, with its zone.
    pub around: String,
    /// The transactions.
    pub items: Vec<Transaction>,
    /// How many of them committed before that instant.
    pub before: usize,
}

impl Transactions {
    /// Those around `around`, with times in `zone`.
    #[must_use]
    pub fn of(found: &[Txn], around: Micros, zone: &Zone) -> Self {
        Self {
            around: zone.explicit(around.0),
            items: found.iter().map(|t| Transaction::of(t, zone)).collect(),
            before: found.iter().filter(|t| t.time < around).count(),
        }
    }
}

/// Something that gets a new name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewName {
    /// What it is called: a database, or a table as `database.table`.
    #[schema(example = "shop.items")]
    pub from: String,
    /// What its earlier state will be called. A table without a database stays
    /// in its own.
    #[schema(example = "shop.items_back")]
    pub to: String,
}

/// Tables or databases to take back under new names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackDatabase {
    /// To when: a time (without a zone it is in the instance's), the id of the
    /// last transaction that is kept, or a place in the binary logs.
    #[schema(example = "2026-11-21 02:14:07")]
    pub to: String,
    /// Whole databases.
    #[serde(default)]
    pub databases: Vec<NewName>,
    /// Tables.
    #[serde(default)]
    pub tables: Vec<NewName>,
    /// How much of history is read: `table`, `db` or `full`. `table` when it is
    /// left out, `db` when only databases are named.
    #[serde(default)]
    #[schema(required = false)]
    pub strategy: Option<String>,
    /// Whether halves of transactions are accepted: those that changed what is
    /// chosen and something else, too.
    #[serde(default)]
    pub torn: bool,
    /// `undo` or `restore`; Backout chooses when it is left out.
    #[serde(default)]
    #[schema(required = false)]
    pub road: Option<String>,
}

/// What to take back in place. Give `to` with `tables`, or `transactions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RewindDatabase {
    /// To when, as in a rollback.
    #[serde(default)]
    #[schema(required = false)]
    pub to: Option<String>,
    /// The ids of transactions to undo, and nothing that came after them.
    #[serde(default)]
    pub transactions: Vec<String>,
    /// The tables. With `transactions`: only these; all that they changed when
    /// it is empty.
    #[serde(default)]
    pub tables: Vec<String>,
    /// Whether halves of transactions are accepted.
    #[serde(default)]
    pub torn: bool,
}

/// An instance that is to be made of another's past, on the host of Backout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CloneDatabase {
    /// What to call it.
    pub name: String,
    /// To when, as in a rollback; the newest state that is archived when
    /// neither this nor a backup is given.
    #[serde(default)]
    #[schema(required = false)]
    pub to: Option<String>,
    /// In place of a time: the number of a base backup, as it is.
    #[serde(default)]
    #[schema(required = false)]
    pub backup: Option<u64>,
    /// Memory in MB; that of the source when it is left out.
    #[serde(default)]
    #[schema(required = false)]
    pub memory_mb: Option<u32>,
    /// Its port; a free one when it is left out.
    #[serde(default)]
    #[schema(required = false)]
    pub port: Option<u16>,
}

/// What a look at a clone found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FoundClone {
    /// The instant that was meant, with its zone; or the id, place or backup
    /// that was given.
    pub to: String,
    /// The first byte of history that is left out; null when none is read.
    #[schema(required)]
    pub cut: Option<String>,
    /// The last transaction that is kept; null when history begins there, or
    /// none is read.
    #[schema(required)]
    pub kept: Option<Transaction>,
    /// The first that is left out; null when there is none.
    #[schema(required)]
    pub undone: Option<Transaction>,
    /// Whether the order of the instant and these two is known for sure.
    pub exact: bool,
    /// The number of the base backup that it begins with.
    pub backup: u64,
    /// Bytes of its files.
    pub bytes: u64,
}

impl FoundClone {
    /// With times in `zone`.
    #[must_use]
    pub fn of(f: &backout_databases::FoundClone, zone: &Zone) -> Self {
        let transaction = |t: &Option<Txn>| t.as_ref().map(|t| Transaction::of(t, zone));
        Self {
            to: f.until.clone(),
            cut: f.cut.as_ref().map(ToString::to_string),
            kept: transaction(&f.kept),
            undone: transaction(&f.undone),
            exact: f.exact,
            backup: f.backup,
            bytes: f.bytes,
        }
    }
}

/// What making an instance of another's past would do.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PlannedClone {
    /// Whether nothing stands in the way.
    pub passed: bool,
    /// What does, and what to know.
    pub preflight: Judgement,
    /// The steps.
    pub plan: PlanView,
    /// What was found; null when something stands in the way.
    #[schema(required)]
    pub found: Option<FoundClone>,
}

/// A clone that is being made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AcceptedClone {
    /// Its job.
    #[schema(example = "job_0a1b2c3d4e5f6g7h")]
    pub job: String,
    /// The number of its task, which is listed under the source.
    pub task: u64,
    /// The new instance.
    pub database: Database,
}

/// What a look found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FoundView {
    /// The instant that was meant, with its zone; or the id or place that was
    /// given.
    pub to: String,
    /// The first byte of history that is taken back.
    pub cut: String,
    /// Whether single transactions are undone, and nothing that came after them.
    pub alone: bool,
    /// The last transaction that is kept; null when history begins there, or
    /// single transactions are undone.
    #[schema(required)]
    pub kept: Option<Transaction>,
    /// The first that is taken back; null when there is none.
    #[schema(required)]
    pub undone: Option<Transaction>,
    /// Whether the order of the instant and these two is known for sure.
    pub exact: bool,
    /// `undo`, `restore` or `in_place`.
    pub road: String,
    /// Why that one.
    pub why: String,
    /// `files` or `rows`: how rows are copied.
    pub copying: String,
    /// The tables.
    pub tables: Vec<FoundTable>,
}

/// One table that is taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FoundTable {
    /// What it is called.
    pub from: String,
    /// What its earlier state will be called; the same in place.
    pub to: String,
    /// Its rows now, as the server estimates them.
    pub rows_now: u64,
    /// Its bytes now, as the server estimates them.
    pub bytes: u64,
}

impl FoundView {
    /// With times in `zone`.
    #[must_use]
    pub fn of(f: &backout_databases::Found, alone: bool, zone: &Zone) -> Self {
        let transaction = |t: &Option<Txn>| t.as_ref().map(|t| Transaction::of(t, zone));
        Self {
            to: f.until.clone(),
            cut: f.cut.to_string(),
            alone,
            kept: match alone {
                true => None,
                false => transaction(&f.kept),
            },
            undone: transaction(&f.undone),
            exact: f.exact,
            road: f.road.as_str().into(),
            why: f.why.clone(),
            copying: f.copying.as_str().into(),
            tables: f
                .tables
                .iter()
                .map(|t| FoundTable {
                    from: table_text(&t.from),
                    to: table_text(&t.to),
                    rows_now: t.rows_now,
                    bytes: t.bytes,
                })
                .collect(),
        }
    }
}

/// What taking tables back would do.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PlannedRollback {
    /// Whether nothing stands in the way.
    pub passed: bool,
    /// What does, and what to know.
    pub preflight: Judgement,
    /// The steps.
    pub plan: PlanView,
    /// What was found; null when something stands in the way.
    #[schema(required)]
    pub found: Option<FoundView>,
}

/// Rows that taking back in place would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RowsPreview {
    /// How many there are in all.
    pub total: u64,
    /// Some of them.
    pub rows: Vec<PreviewedRow>,
}

/// A row that would change; its values as text, in the order of the columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PreviewedRow {
    /// The table.
    pub table: String,
    /// The names of its columns.
    pub columns: Vec<String>,
    /// The row as it is; null when it is not there.
    #[schema(required)]
    pub now: Option<Vec<String>>,
    /// The row as it would be; null when it would go.
    #[schema(required)]
    pub then: Option<Vec<String>>,
}

impl From<backout_databases::Preview> for RowsPreview {
    fn from(p: backout_databases::Preview) -> Self {
        Self {
            total: p.total,
            rows: p
                .rows
                .into_iter()
                .map(|r| PreviewedRow {
                    table: table_text(&r.table),
                    columns: r.columns,
                    now: r.now,
                    then: r.then,
                })
                .collect(),
        }
    }
}

/// Work that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AcceptedTask {
    /// Its job.
    #[schema(example = "job_0a1b2c3d4e5f6g7h")]
    pub job: String,
    /// The number of its task.
    pub task: u64,
}

impl From<backout_databases::Asked> for AcceptedTask {
    fn from(asked: backout_databases::Asked) -> Self {
        Self {
            job: asked.job.to_string(),
            task: asked.number,
        }
    }
}

/// Tables that are taken back: what was accepted, and what was meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AcceptedRollback {
    /// Its job.
    #[schema(example = "job_0a1b2c3d4e5f6g7h")]
    pub job: String,
    /// The number of its task.
    pub task: u64,
    /// The instant that was meant, the last transaction that is kept and the
    /// first that is taken back.
    pub rollback: RolledBack,
}

/// Something that was asked of an instance. It outlives its job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Task {
    /// Its number.
    pub number: u64,
    /// What kind of work: `adopt`, `create`, `backup`, `rollback`, `rewind`,
    /// `undo`, `stop`, ...
    pub kind: String,
    /// `waiting`, `running`, `stopping`, `applied`, `failed`, `stopped` or
    /// `held`.
    pub standing: String,
    /// 0 to 100.
    pub percent: u8,
    /// What it is doing, or how it ended, in a few words.
    pub words: String,
    /// Why it failed.
    #[schema(required)]
    pub error: Option<Note>,
    /// Its job; of a stop: the job that is stopped.
    pub job: String,
    /// The call that asked.
    pub request_id: String,
    /// The account that asked.
    pub account: String,
    /// When it was asked for.
    pub created: String,
    /// When it ended.
    #[schema(required)]
    pub ended: Option<String>,
    /// Of backups: the number of the backup.
    #[schema(required)]
    pub backup: Option<u64>,
    /// Of rollbacks: what was asked, what was found, and how it was proved.
    #[schema(required)]
    pub rollback: Option<RolledBack>,
}

/// What a rollback was asked, and what it found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RolledBack {
    /// `table`, `db` or `full`.
    pub strategy: String,
    /// What was asked for, as it was written.
    pub asked: String,
    /// The instant that was meant, with its zone; null when it was none.
    #[schema(required)]
    pub to: Option<String>,
    /// Whole databases.
    pub databases: Vec<NewName>,
    /// Tables.
    pub tables: Vec<NewName>,
    /// `undo`, `restore` or `in_place`.
    #[schema(required)]
    pub road: Option<String>,
    /// The first byte of history that is taken back.
    #[schema(required)]
    pub cut: Option<String>,
    /// The last transaction that is kept.
    #[schema(required)]
    pub kept: Option<String>,
    /// The first that is taken back.
    #[schema(required)]
    pub undone: Option<String>,
    /// In place: the transaction that took the rows back.
    #[schema(required)]
    pub made: Option<String>,
    /// What the result was compared with.
    pub proofs: Vec<ProofView>,
}

/// What a table was compared with before its rollback was called applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProofView {
    /// The table, as it was called.
    pub table: String,
    /// Its rows now.
    pub rows: u64,
    /// Rows that were inserted, changed back or removed.
    pub touched: u64,
    /// The digest of all rows; in place, of the touched ones.
    pub digest: String,
    /// How it was proved.
    pub by: String,
}

impl Task {
    /// With times in `zone`.
    #[must_use]
    pub fn of(t: model::Task, zone: &Zone) -> Self {
        Self {
            number: t.number,
            kind: t.kind.as_str().into(),
            standing: t.standing.as_str().into(),
            percent: t.percent,
            words: t.words,
            error: t.error.map(|(code, message)| Note::of(code, message)),
            job: t.job.to_string(),
            request_id: t.request.0,
            account: t.operator.to_string(),
            created: t.created.iso8601(),
            ended: t.ended.map(backout_core::time::Timestamp::iso8601),
            backup: t.detail.backup,
            rollback: t.detail.rollback.map(|r| RolledBack::of(r, zone)),
        }
    }
}

impl RolledBack {
    fn of(r: model::RollbackDetail, zone: &Zone) -> Self {
        let table = |t: Renamed<TableName>| NewName {
            from: table_text(&t.from),
            to: table_text(&t.to),
        };
        Self {
            strategy: r.strategy.as_str().into(),
            asked: r.asked,
            to: r.until_us.map(|us| zone.explicit(us)),
            databases: r
                .databases
                .into_iter()
                .map(|d| NewName {
                    from: d.from,
                    to: d.to,
                })
                .collect(),
            tables: r.tables.into_iter().map(table).collect(),
            road: r.road.map(|road| road.as_str().into()),
            cut: r.cut.map(|at| at.to_string()),
            kept: r.kept.map(|gtid| gtid.to_string()),
            undone: r.undone.map(|gtid| gtid.to_string()),
            made: r.made.map(|gtid| gtid.to_string()),
            proofs: r
                .proofs
                .into_iter()
                .map(|p| ProofView {
                    table: table_text(&p.table),
                    rows: p.rows,
                    touched: p.touched,
                    digest: p.digest,
                    by: p.by,
                })
                .collect(),
        }
    }
}

/// A backup to take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TakeBackup {
    /// What to call it.
    #[serde(default)]
    #[schema(required = false)]
    pub name: Option<String>,
    /// Only what changed since the newest one.
    #[serde(default)]
    pub incremental: bool,
    /// Only these tables; `database.*` is a whole database.
    #[serde(default)]
    pub tables: Vec<String>,
}

/// A backup that is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TakenBackup {
    /// Its number.
    pub backup: u64,
    /// The job that takes it.
    pub job: String,
    /// The number of its task.
    pub task: u64,
}

/// A base backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Backup {
    /// Its number.
    pub number: u64,
    /// Its name.
    pub name: String,
    /// `manual` or `automatic`.
    pub way: String,
    /// `full`, `incremental` or `partial`.
    pub method: String,
    /// `running`, `ready`, `failed` or `deleting`.
    pub state: String,
    /// The tables in it, when not all.
    pub tables: Vec<String>,
    /// The backup that it builds on, when it is incremental.
    #[schema(required)]
    pub base: Option<u64>,
    /// Up to where in history it goes.
    #[schema(required)]
    pub position: Option<String>,
    /// The same as a transaction id.
    #[schema(required)]
    pub gtid: Option<String>,
    /// Bytes on disk.
    pub bytes: u64,
    /// When it began.
    pub started: String,
    /// When it ended.
    #[schema(required)]
    pub finished: Option<String>,
    /// When the server's state was the one that it holds, with the zone of the
    /// instance.
    #[schema(required)]
    pub as_of: Option<String>,
}

impl Backup {
    /// With times in `zone`.
    #[must_use]
    pub fn of(b: model::Backup, zone: &Zone) -> Self {
        Self {
            number: b.number,
            name: b.name,
            way: b.way.as_str().into(),
            method: b.method.as_str().into(),
            state: b.state.as_str().into(),
            tables: b.tables.iter().map(table_text).collect(),
            base: b.base,
            position: b.position.map(|at| at.to_string()),
            gtid: b.gtid,
            bytes: b.bytes,
            started: b.started.iso8601(),
            finished: b.finished.map(backout_core::time::Timestamp::iso8601),
            as_of: b.as_of.map(|t| zone.explicit(t.0.saturating_mul(1000))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_written_and_read() {
        for (text, schema, want) in [
            ("shop.items", None, Some(("shop", "items"))),
            ("items", Some("shop"), Some(("shop", "items"))),
            ("items", None, None),
            ("`a.b`.c", None, Some(("a.b", "c"))),
            ("a.`b``.c`", None, Some(("a", "b`.c"))),
            ("a.b.c", None, Some(("a", "b.c"))),
            ("`a`", Some("s"), Some(("s", "a"))),
            ("", Some("s"), None),
            (".a", None, None),
            ("a.", None, None),
            ("`a.b", None, None),
            ("a`b.c", None, None),
            ("a.``", None, None),
            ("a.b`", None, None),
            ("`a`b.c", None, None),
        ] {
            let got = table_of(text, schema);
            let want = want.map(|(s, t)| TableName::new(s, t));
            assert_eq!(got, want, "{text:?}");
            if let Some(name) = got {
                assert_eq!(table_of(&table_text(&name), None), Some(name));
            }
        }
    }

    #[test]
    fn days_of_the_week_are_counted_from_one() {
        let config = model::BackupConfig {
            days: [true, false, false, false, false, false, true],
            ..model::BackupConfig::default()
        };
        let shown = BackupSchedule::from(config.clone());
        assert_eq!(shown.days, [1, 7]);
        assert_eq!(shown.clone().config(), Some(config));
        for bad in [0, 8] {
            let mut wrong = shown.clone();
            wrong.days.push(bad);
            assert_eq!(wrong.config(), None);
        }
    }
}
