//! What there is: database instances, their backups, and what was asked of
//! them. Plain data.

use std::path::PathBuf;

use backout_core::code::Code;
use backout_core::ids::{AccountId, DatabaseId, JobId, RequestId};
use backout_core::outcome::Outcome;
use backout_core::time::Timestamp;
use backout_core::words;
use backout_history::{Gtid, Position, TableName};
use serde::{Deserialize, Serialize};

/// A database instance.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Its id.
    pub id: DatabaseId,
    /// Whose it is.
    pub owner: AccountId,
    /// What people call it; unique within an owner.
    pub name: String,
    /// The host whose workers run its jobs.
    pub node: String,
    /// Who runs the server.
    pub kind: Kind,
    /// Where it is in its life.
    pub state: InstanceState,
    /// How it is reached, without the password: for people.
    pub address: Address,
    /// How it is reached, sealed: a `mysql://` URL with the password.
    pub sealed: Vec<u8>,
    /// What it said of itself when it was last looked at.
    pub facts: Facts,
    /// Its wanted size, as it was asked for.
    pub shape: Shape,
    /// When base backups are taken, and how long they are kept.
    pub backups: BackupConfig,
    /// How long the server itself keeps its logs.
    pub local_logs: LocalLogs,
    /// Labels.
    pub tags: Vec<Tag>,
    /// When it came under management.
    pub created: Timestamp,
    /// When it was isolated, if it is.
    pub isolated: Option<Timestamp>,
}

impl Instance {
    /// The resource that its jobs claim, e.g. `database/cdb-c1nl9rpv`.
    #[must_use]
    pub fn resource(&self) -> String {
        resource(&self.id)
    }
}

/// The resource of an instance.
#[must_use]
pub fn resource(id: &DatabaseId) -> String {
    format!("database/{id}")
}

/// A label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// Who runs the server of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// We do: it was made by us, on this host.
    Managed,
    /// Somebody else: it was there, and we were told how to reach it.
    Reached,
}
words!(Kind { Managed = "managed", Reached = "reached" });

/// Where an instance is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// It is being made, or comes under management.
    Creating,
    /// It can be used.
    Running,
    /// It is being isolated.
    Isolating,
    /// It is stopped (or, when others run it, left alone), waiting to be
    /// brought back or removed.
    Isolated,
    /// It is being removed.
    Removing,
}
words!(InstanceState {
    Creating = "creating",
    Running = "running",
    Isolating = "isolating",
    Isolated = "isolated",
    Removing = "removing",
});

/// How an instance is reached, without secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The host's name or address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The user.
    pub user: String,
}

/// What a server said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// E.g. `10.11.19-MariaDB`.
    pub version: String,
    /// `@@server_uuid` or what stands for it.
    pub server_id: u32,
    /// The default character set.
    pub charset: String,
    /// The zone of the instance (`@@global.time_zone`, `SYSTEM` resolved): an
    /// IANA name or a fixed offset, e.g. `+02:00`.
    pub zone: String,
    /// The folder of its files, when this host sees it.
    pub datadir: Option<PathBuf>,
    /// Bytes of its tables.
    pub data_bytes: u64,
}

/// The size that was asked for. Nothing of it is enforced but what says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Memory in MB; of a managed server half of it goes to the buffer pool.
    pub memory_mb: u32,
    /// Disk in GB.
    pub volume_gb: u32,
    /// Processors.
    pub cpu: u32,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            memory_mb: 1000,
            volume_gb: 25,
            cpu: 1,
        }
    }
}

/// When base backups are taken, and how long they and the history are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupConfig {
    /// Whether there is a schedule.
    pub enabled: bool,
    /// The window of the day in which one begins, in hours of the instance's
    /// zone: from (0 to 23) and to (1 to 24).
    pub window: (u8, u8),
    /// On which days of the week, Monday first.
    pub days: [bool; 7],
    /// How many days backups are kept.
    pub keep_days: u32,
    /// How many days history is kept.
    pub history_days: u32,
    /// Whether those of the schedule are incremental where they can be.
    pub incremental: bool,
}

impl Default for BackupConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            window: (2, 6),
            days: [true; 7],
            keep_days: 7,
            history_days: 7,
            incremental: true,
        }
    }
}

/// How long a server itself keeps its logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalLogs {
    /// Hours, 6 to 168.
    pub hours: u32,
    /// Per cent of the volume, 30 to 50.
    pub percent: u32,
}

impl Default for LocalLogs {
    fn default() -> Self {
        Self {
            hours: 72,
            percent: 30,
        }
    }
}

/// A base backup.
#[derive(Clone, Debug)]
pub struct Backup {
    /// Its number, unique in the store.
    pub number: u64,
    /// Of which instance.
    pub instance: DatabaseId,
    /// Whose it is.
    pub owner: AccountId,
    /// What people call it.
    pub name: String,
    /// Who asked for it.
    pub way: Way,
    /// What is in it.
    pub method: Method,
    /// Where it is in its life.
    pub state: BackupState,
    /// The folder that holds it.
    pub folder: PathBuf,
    /// The tables in it, when not all.
    pub tables: Vec<TableName>,
    /// The backup that it builds on, when it is incremental.
    pub base: Option<u64>,
    /// Up to where in history it goes.
    pub position: Option<Position>,
    /// The same as a transaction id.
    pub gtid: Option<String>,
    /// Bytes on disk.
    pub bytes: u64,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// When the server's state was the one that it holds: what a window begins
    /// with.
    pub as_of: Option<Timestamp>,
    /// The job that makes it, or deletes it.
    pub job: Option<JobId>,
}

/// Who asked for a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Somebody.
    Manual,
    /// The schedule.
    Automatic,
}
words!(Way { Manual = "manual", Automatic = "automatic" });

/// What is in a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Everything.
    Full,
    /// What changed since the one it builds on.
    Incremental,
    /// Some tables.
    Partial,
}
words!(Method { Full = "full", Incremental = "incremental", Partial = "partial" });

/// Where a backup is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupState {
    /// It is being made.
    Running,
    /// It can be used.
    Ready,
    /// It could not be made.
    Failed,
    /// It is being deleted.
    Deleting,
}
words!(BackupState { Running = "running", Ready = "ready", Failed = "failed", Deleting = "deleting" });

/// What was asked of an instance: a row for every call that made work. It is
/// what the surfaces list, and outlives its job.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its number, unique in the store, growing.
    pub number: u64,
    /// The id of the call's work: four groups of eight hex digits. Tasks of one
    /// call share it.
    pub asked: String,
    /// Whose it is.
    pub owner: AccountId,
    /// Who asked.
    pub operator: AccountId,
    /// The call.
    pub request: RequestId,
    /// The instance.
    pub instance: DatabaseId,
    /// What kind of work.
    pub kind: TaskKind,
    /// Details, for rollbacks and clones.
    pub detail: Detail,
    /// Its job.
    pub job: JobId,
    /// How it stands. Once the job has ended this is what the row holds, before
    /// that it is asked of the job.
    pub standing: Standing,
    /// 0 to 100.
    pub percent: u8,
    /// What it is doing, or how it ended, in a few words.
    pub words: String,
    /// Why it failed.
    pub error: Option<(Code, String)>,
    /// When it was asked for.
    pub created: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
}

/// What kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// It comes under management.
    Adopt,
    /// A server is made.
    Create,
    /// It is restarted.
    Restart,
    /// It is isolated.
    Isolate,
    /// It is brought back.
    Release,
    /// It is removed.
    Remove,
    /// A base backup is taken.
    Backup,
    /// A base backup is deleted.
    DeleteBackup,
    /// Tables or databases are taken back, under new names.
    Rollback,
    /// Tables are taken back in place.
    Rewind,
    /// An applied rollback is taken back.
    Undo,
    /// A rollback is stopped.
    Stop,
    /// An instance is made of another's past.
    Clone,
}
words!(TaskKind {
    Adopt = "adopt",
    Create = "create",
    Restart = "restart",
    Isolate = "isolate",
    Release = "release",
    Remove = "remove",
    Backup = "backup",
    DeleteBackup = "delete_backup",
    Rollback = "rollback",
    Rewind = "rewind",
    Undo = "undo",
    Stop = "stop",
    Clone = "clone",
});

/// How a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It waits for a worker.
    Waiting,
    /// It is worked on.
    Running,
    /// It is being stopped, or taken back after a failure.
    Stopping,
    /// It is done.
    Applied,
    /// It failed; all is as before.
    Failed,
    /// It was stopped on request; all is as before.
    Stopped,
    /// It is held; nothing moves until somebody acts.
    Held,
}
words!(Standing {
    Waiting = "waiting",
    Running = "running",
    Stopping = "stopping",
    Applied = "applied",
    Failed = "failed",
    Stopped = "stopped",
    Held = "held",
});

impl Standing {
    /// How a job that ended like this stands.
    #[must_use]
    pub fn of(outcome: Outcome, cancelled: bool) -> Self {
        match outcome {
            Outcome::Applied => Self::Applied,
            Outcome::Reverted if cancelled => Self::Stopped,
            Outcome::Reverted => Self::Failed,
            Outcome::Held => Self::Held,
        }
    }
}

/// What is particular to a kind of task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Detail {
    /// Of rollbacks and clones: what was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<RollbackDetail>,
    /// Of clones: the instance that is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<DatabaseId>,
    /// Of backups: their numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<u64>,
    /// Of stops: the number of the task that is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stops: Option<u64>,
}

/// What a rollback was asked, and what it found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RollbackDetail {
    /// How much of history it reads.
    pub strategy: Strategy,
    /// The instant that was asked for, microseconds since 1970, when it was one.
    pub until_us: Option<i64>,
    /// The same as it was written: a time, a transaction id or a position.
    pub asked: String,
    /// Whole databases.
    pub databases: Vec<Renamed<String>>,
    /// Tables.
    pub tables: Vec<Renamed<TableName>>,
    /// The way that was taken.
    pub road: Option<Road>,
    /// Where history was cut: the first byte that is taken back.
    pub cut: Option<Position>,
    /// The last transaction that is kept.
    pub kept: Option<Gtid>,
    /// The first that is taken back.
    pub undone: Option<Gtid>,
    /// In place: the transaction that took the rows back, by which that is
    /// undone.
    #[serde(default)]
    pub made: Option<Gtid>,
    /// What the result was compared with.
    #[serde(default)]
    pub proofs: Vec<Proof>,
}

impl RollbackDetail {
    /// Whether it is of one whole database, and of nothing else.
    #[must_use]
    pub fn is_of_one_database(&self) -> bool {
        self.databases.len() == 1 && self.tables.is_empty()
    }
}

/// Something that gets a new name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Renamed<T> {
    /// What it is called.
    pub from: T,
    /// What its earlier state will be called.
    pub to: T,
}

/// How much of history a rollback reads, and with that what it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Only what concerns the chosen tables. Refused when transactions crossed
    /// to others.
    Table,
    /// Only what concerns the chosen databases. Refused when transactions
    /// crossed to others.
    Db,
    /// The whole instance's.
    Full,
}
words!(Strategy { Table = "table", Db = "db", Full = "full" });

/// The ways back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Road {
    /// A copy of the present rows, with what changed since taken back.
    Undo,
    /// A base backup, brought forward.
    Restore,
    /// The live rows, with what changed since taken back.
    InPlace,
}
words!(Road { Undo = "undo", Restore = "restore", InPlace = "in_place" });

/// How a copy of rows is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Copying {
    /// The server's files are reached: pages are copied, and imported.
    Files,
    /// They are not: rows are copied by statements.
    Rows,
}
words!(Copying { Files = "files", Rows = "rows" });

/// What a table was compared with before its rollback was called applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The table, as it was called.
    pub table: TableName,
    /// Its rows now.
    pub rows: u64,
    /// Rows that were inserted, changed back or removed.
    pub touched: u64,
    /// The digest of all rows (in place: of the touched ones), as hex.
    pub digest: String,
    /// How it was proved, in words.
    pub by: String,
}
