//! What there is: engines, the versions of their images, and what was done to
//! them. Plain data.
//!
//! What the store or a catalogue entry says as a word or a number that may be
//! wrong is kept as it stands ([`Engine::exec_type`], [`Engine::pay_mode`],
//! [`Engine::uses`]); who acts on it reads it with a function that can refuse.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use backout_core::ids::{AccountId, EngineId, ImageId, JobId, RecordId, RequestId};
use backout_core::time::Timestamp;
use backout_core::words;
use backout_rollout::{Phase, Rollout, Slot};
use serde::{Deserialize, Serialize};

/// What kind of engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Spark that is asked in SQL.
    #[serde(rename = "SparkSQL")]
    SparkSql,
    /// Presto, or Trino as it is called now, that is asked in SQL.
    #[serde(rename = "PrestoSQL")]
    PrestoSql,
    /// Spark that runs programs.
    #[serde(rename = "SparkBatch")]
    SparkBatch,
    /// Spark of the standard generation, whose version is fixed.
    #[serde(rename = "StandardSpark")]
    StandardSpark,
    /// Presto of the standard generation, whose version is fixed.
    #[serde(rename = "StandardPresto")]
    StandardPresto,
    /// DuckDB behind a small HTTP server: the light engine of this house, which
    /// stands for nothing else.
    #[serde(rename = "DuckDB")]
    DuckDb,
}
words!(Kind {
    SparkSql = "SparkSQL",
    PrestoSql = "PrestoSQL",
    SparkBatch = "SparkBatch",
    StandardSpark = "StandardSpark",
    StandardPresto = "StandardPresto",
    DuckDb = "DuckDB",
});

impl Kind {
    /// Whether the version of such an engine can be changed.
    #[must_use]
    pub const fn has_versions(self) -> bool {
        !matches!(self, Self::StandardSpark | Self::StandardPresto)
    }

    /// What such an engine executes where nothing is said.
    #[must_use]
    pub const fn usual_exec_type(self) -> ExecType {
        match self {
            Self::SparkBatch | Self::StandardSpark => ExecType::Batch,
            _ => ExecType::Sql,
        }
    }

    /// How such an engine is spoken to where nothing is said.
    #[must_use]
    pub const fn usual_driver(self) -> Driver {
        match self {
            Self::SparkSql | Self::StandardSpark => Driver::Thrift,
            Self::SparkBatch => Driver::Connect,
            Self::PrestoSql | Self::StandardPresto => Driver::Trino,
            Self::DuckDb => Driver::Http,
        }
    }
}

/// How an engine is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Driver {
    /// HTTP: `POST /sql` with the statement, answered with JSON.
    Http,
    /// The Thrift protocol of HiveServer2, over connections that last.
    Thrift,
    /// The HTTP protocol of Trino.
    Trino,
    /// The protocol of Spark Connect, over connections that last: for programs.
    Connect,
}
words!(Driver {
    Http = "http",
    Thrift = "thrift",
    Trino = "trino",
    Connect = "connect",
});

impl Driver {
    /// Whether each request stands for itself, so that an endpoint may give each
    /// to another instance. A statement of Trino is several requests, which only
    /// the instance knows that had the first: its endpoint carries connections.
    #[must_use]
    pub const fn by_requests(self) -> bool {
        matches!(self, Self::Http)
    }
}

/// What an engine executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ExecType {
    /// Statements.
    #[serde(rename = "SQL")]
    Sql,
    /// Programs.
    #[serde(rename = "BATCH")]
    Batch,
}
words!(ExecType {
    Sql = "SQL",
    Batch = "BATCH",
});

/// How an engine is shared and paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Shared by all: its version is not its user's to change.
    Shared,
    /// Paid by use.
    PayAsYouGo,
    /// Paid by the month.
    Monthly,
}
words!(Mode {
    Shared = "shared",
    PayAsYouGo = "pay_as_you_go",
    Monthly = "monthly",
});

/// When an engine is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayMode {
    /// Afterwards: 0.
    Postpaid,
    /// Beforehand: 1.
    Prepaid,
}

/// How an engine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineState {
    /// Its last change is held.
    Failed,
    /// It is being made.
    Initializing,
    /// It does not run, and can be resumed.
    Suspended,
    /// It answers.
    Running,
    /// It is being taken away.
    Deleting,
}
words!(EngineState {
    Failed = "failed",
    Initializing = "initializing",
    Suspended = "suspended",
    Running = "running",
    Deleting = "deleting",
});

/// A data engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Engine {
    /// Its id.
    pub id: EngineId,
    /// Whose it is.
    pub owner: AccountId,
    /// Who made it.
    pub creator: AccountId,
    /// What people call it; unique among its owner's.
    pub name: String,
    /// The host whose workers run its jobs.
    pub node: String,
    /// What kind.
    pub kind: Kind,
    /// What it executes, as it was given: see [`Engine::executes`].
    pub exec_type: String,
    /// How it is shared and paid for.
    pub mode: Mode,
    /// When it is paid, as it was given: 0 or 1, see [`Engine::pays`].
    pub pay_mode: i64,
    /// How it stands.
    pub state: EngineState,
    /// Free text.
    pub description: String,
    /// Its size, in compute units of one processor and 4 GiB.
    pub size: u32,
    /// The fewest and the most clusters.
    pub clusters: (u32, u32),
    /// The port of its endpoint on this host: it stays the same for as long as
    /// the engine is there.
    pub port: u16,
    /// The instance that answers, as the driver knows it; none when none does.
    pub instance: Option<String>,
    /// How many changes it has had.
    pub changes: u64,
    /// Labels.
    pub tags: Vec<Tag>,
    /// What was given in calls and has no effect here: it is shown again.
    pub kept: BTreeMap<String, serde_json::Value>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
}

impl Engine {
    /// The resource that its jobs claim.
    #[must_use]
    pub fn resource(&self) -> String {
        resource(&self.id)
    }

    /// What it executes; `None` when what is recorded is neither.
    #[must_use]
    pub fn executes(&self) -> Option<ExecType> {
        ExecType::parse(&self.exec_type)
    }

    /// When it is paid; `None` when what is recorded is neither, or contradicts
    /// its mode: only what is paid by the month is paid beforehand.
    #[must_use]
    pub const fn pays(&self) -> Option<PayMode> {
        match (self.pay_mode, self.mode) {
            (0, Mode::Shared | Mode::PayAsYouGo) => Some(PayMode::Postpaid),
            (1, Mode::Monthly) => Some(PayMode::Prepaid),
            _ => None,
        }
    }

    /// Where it answers on its host.
    #[must_use]
    pub fn endpoint(&self, driver: Driver) -> String {
        self.endpoint_at(driver, IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// Where it answers when its endpoint listens at this address: where that is
    /// every address of the host, one of them is told.
    #[must_use]
    pub fn endpoint_at(&self, driver: Driver, listen: IpAddr) -> String {
        let scheme = match driver {
            Driver::Http | Driver::Trino => "http",
            Driver::Thrift => "thrift",
            Driver::Connect => "sc",
        };
        let address = match listen {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            other => other,
        };
        format!("{scheme}://{}", SocketAddr::new(address, self.port))
    }
}

/// The resource of an engine, e.g. `engine/DataEngine-k31c771o`.
#[must_use]
pub fn resource(id: &EngineId) -> String {
    format!("engine/{id}")
}

/// A label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// The versions that an engine uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uses {
    /// The major version.
    pub parent: ImageId,
    /// The minor version; none where the major one has none.
    pub child: Option<ImageId>,
    /// The image for Python programs under the minor version.
    pub python: Option<ImageId>,
}

impl Uses {
    /// The version that is run: the one that is under all others. An image for
    /// Python programs has all that the minor version above it has.
    #[must_use]
    pub const fn runs(&self) -> &ImageId {
        match (&self.python, &self.child) {
            (Some(image), _) | (None, Some(image)) => image,
            (None, None) => &self.parent,
        }
    }
}

/// What a row about a version that an engine uses tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UseKind {
    /// The major version: 1.
    Parent,
    /// The minor version: 2.
    Child,
    /// The image for Python programs: 3.
    Python,
}

impl UseKind {
    /// The number that is stored.
    #[must_use]
    pub const fn number(self) -> i64 {
        match self {
            Self::Parent => 1,
            Self::Child => 2,
            Self::Python => 3,
        }
    }

    /// Reads the number back.
    #[must_use]
    pub const fn of_number(number: i64) -> Option<Self> {
        match number {
            1 => Some(Self::Parent),
            2 => Some(Self::Child),
            3 => Some(Self::Python),
            _ => None,
        }
    }
}

/// Parameters that were set, by name.
pub type Pairs = BTreeMap<String, String>;

/// The settings of an engine that its user made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Cluster parameters.
    #[serde(default)]
    pub cluster: Pairs,
    /// Session parameters.
    #[serde(default)]
    pub session: Pairs,
    /// How sessions are sized, as it was given.
    #[serde(default)]
    pub template: Option<serde_json::Value>,
}

/// What was done to the image of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Operation {
    /// It got its first version.
    InitImage,
    /// It got the newest minor version of its major version.
    UpgradeImage,
    /// It got another version.
    SwitchImage,
    /// Its last change was taken back.
    RollbackImage,
    /// Its size or its parameters were changed.
    ModifyResource,
}
words!(Operation {
    InitImage = "InitImage",
    UpgradeImage = "UpgradeImage",
    SwitchImage = "SwitchImage",
    RollbackImage = "RollbackImage",
    ModifyResource = "ModifyResource",
});

/// A record of what was done, with what the engine was afterwards.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its id.
    pub id: RecordId,
    /// Of which engine.
    pub engine: EngineId,
    /// From 1 on, over the records of its engine.
    pub number: u64,
    /// What was done.
    pub operation: Operation,
    /// The record before it.
    pub before: Option<RecordId>,
    /// The record that was gone back to, of a rollback.
    pub restored: Option<RecordId>,
    /// The versions afterwards.
    pub uses: Uses,
    /// The settings afterwards.
    pub config: Config,
    /// The size afterwards.
    pub size: u32,
    /// The job that did it.
    pub job: JobId,
    /// When it was done.
    pub at: Timestamp,
}

impl Record {
    /// What of it decides about a way back.
    #[must_use]
    pub fn head(&self) -> Head {
        Head {
            id: self.id.clone(),
            operation: self.operation,
            before: self.before.clone(),
            uses: self.uses.clone(),
        }
    }
}

/// What of a record decides about a way back.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// Its id.
    pub id: RecordId,
    /// What was done.
    pub operation: Operation,
    /// The record before it.
    pub before: Option<RecordId>,
    /// The versions afterwards.
    pub uses: Uses,
}

/// Something that happened to an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// From 1 on, over all engines.
    pub number: u64,
    /// Of which engine.
    pub engine: EngineId,
    /// What happened, in one word.
    pub action: String,
    /// What happened, for people.
    pub message: String,
    /// When.
    pub at: Timestamp,
}

/// What a job does to an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// Makes it.
    Create,
    /// Takes it away.
    Delete,
    /// Gives it another version.
    Switch,
    /// Gives it the newest minor version.
    Upgrade,
    /// Takes its last change back.
    Rollback,
    /// Changes its size or its parameters.
    Modify,
    /// Stops it.
    Suspend,
    /// Starts it again.
    Resume,
    /// Starts it anew.
    Restart,
}
words!(ChangeKind {
    Create = "create",
    Delete = "delete",
    Switch = "switch",
    Upgrade = "upgrade",
    Rollback = "rollback",
    Modify = "modify",
    Suspend = "suspend",
    Resume = "resume",
    Restart = "restart",
});

impl ChangeKind {
    /// What is recorded of it in the log of the image.
    #[must_use]
    pub const fn operation(self) -> Option<Operation> {
        match self {
            Self::Create => Some(Operation::InitImage),
            Self::Switch => Some(Operation::SwitchImage),
            Self::Upgrade => Some(Operation::UpgradeImage),
            Self::Rollback => Some(Operation::RollbackImage),
            Self::Modify => Some(Operation::ModifyResource),
            Self::Delete | Self::Suspend | Self::Resume | Self::Restart => None,
        }
    }

    /// How the engine stands afterwards.
    #[must_use]
    pub const fn state_after(self) -> EngineState {
        match self {
            Self::Suspend => EngineState::Suspended,
            Self::Delete => EngineState::Deleting,
            _ => EngineState::Running,
        }
    }
}

/// What one release of an engine is: all that an instance needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// The versions.
    pub uses: Uses,
    /// The settings.
    pub config: Config,
    /// The size.
    pub size: u32,
    /// How it is run.
    pub launch: Launch,
}

/// How an instance is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The version that is run, for people.
    pub version: String,
    /// How it is spoken to.
    pub driver: Driver,
    /// The program and its arguments, with their marks: see
    /// [`crate::catalogue`].
    pub command: Vec<String>,
    /// How its health is asked for.
    pub health: Health,
    /// The program that asks it a statement, with its marks; none where the
    /// driver has one of its own.
    pub client: Option<Vec<String>>,
    /// How long it may take to come up, in milliseconds.
    pub start_ms: u32,
    /// Memory that an instance needs, in bytes; none when it is not known.
    pub memory_bytes: Option<u64>,
    /// The cluster parameters that are in force: those that were set, and the
    /// defaults of the version.
    pub cluster: Pairs,
    /// The session parameters that are in force.
    pub session: Pairs,
}

/// How health is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// By a statement that must be answered.
    Sql(String),
    /// By a path whose answer must be well.
    Http(String),
    /// By a connection that must be taken.
    Tcp,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Wanted {
    /// It is made: its row, its versions and its settings are there.
    Create,
    /// It is taken away.
    Delete,
    /// It gets this version: of a major one the newest minor one that is online.
    Switch {
        /// The id or the name of the version.
        image: String,
    },
    /// It gets the newest minor version of its major version.
    Upgrade,
    /// Its last change is taken back.
    Rollback {
        /// The record that is gone back to, if the caller says so.
        from: Option<String>,
        /// The record that is undone, if the caller says so.
        to: Option<String>,
    },
    /// A job is taken back: the record before its own is restored, and that is
    /// recorded as a switch.
    Undo {
        /// The job.
        job: JobId,
    },
    /// Its parameters or its size are changed.
    Modify {
        /// The settings from now on; as they are when there are none.
        config: Option<Config>,
        /// The size from now on; as it is when there is none.
        size: Option<u32>,
    },
    /// It is stopped.
    Suspend,
    /// It is started again.
    Resume,
    /// It is started anew.
    Restart {
        /// Without waiting for statements that run.
        forced: bool,
    },
    /// What of it is not there any more is started again: its instance, the
    /// process on its endpoint.
    Mend,
}

impl Wanted {
    /// What it does.
    #[must_use]
    pub const fn kind(&self) -> ChangeKind {
        match self {
            Self::Create => ChangeKind::Create,
            Self::Delete => ChangeKind::Delete,
            Self::Switch { .. } | Self::Undo { .. } => ChangeKind::Switch,
            Self::Upgrade => ChangeKind::Upgrade,
            Self::Rollback { .. } => ChangeKind::Rollback,
            Self::Modify { .. } => ChangeKind::Modify,
            Self::Suspend => ChangeKind::Suspend,
            Self::Resume => ChangeKind::Resume,
            Self::Restart { .. } | Self::Mend => ChangeKind::Restart,
        }
    }
}

/// A change that was asked for, and how far it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The job that makes it.
    pub job: JobId,
    /// Of which engine.
    pub engine: EngineId,
    /// Its number among the changes of that engine.
    pub number: u64,
    /// What was asked for.
    pub wanted: Wanted,
    /// The call that asked for it.
    pub request: RequestId,
    /// How the engine stood before.
    pub state_before: EngineState,
    /// What ran before; none when nothing did.
    pub from: Option<Setup>,
    /// What is to run; none when nothing is, or before the job has looked.
    pub to: Option<Setup>,
    /// The record that is gone back to, of a rollback.
    pub restores: Option<RecordId>,
    /// How far it is; none before it begins.
    pub drive: Option<Drive>,
    /// When it was asked for.
    pub created: Timestamp,
    /// When it was over.
    pub ended: Option<Timestamp>,
}

/// How far a change is: its machine, and which instance each slot is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drive {
    /// The machine.
    pub rollout: Rollout,
    /// The instances that stood when it was made, by slot.
    pub standing: Vec<String>,
    /// How often a machine was made for this change: the way back of one that
    /// had ended is another.
    pub round: u32,
    /// Why an instance did not come up, for people.
    #[serde(default)]
    pub trouble: Option<String>,
}

impl Drive {
    /// The instance of a slot of an engine's change, by its name: those that
    /// stood have theirs, and others one that is the same each time it is asked
    /// for.
    #[must_use]
    pub fn name(&self, engine: &EngineId, change: u64, slot: Slot) -> String {
        let at = slot.0 as usize;
        match self.standing.get(at) {
            Some(name) => name.clone(),
            None => {
                let engine = engine.as_str().to_ascii_lowercase();
                format!("{engine}-{change}-{}-{at}", self.round)
            }
        }
    }

    /// The instance that takes statements.
    #[must_use]
    pub fn answering(&self, engine: &EngineId, change: u64) -> Option<String> {
        let takes = |phase: &Phase| {
            matches!(
                phase,
                Phase::Ready | Phase::Unready { .. } | Phase::Resuming { .. }
            )
        };
        self.rollout
            .live()
            .find(|(_, _, phase)| takes(phase))
            .map(|(slot, _, _)| self.name(engine, change, slot))
    }
}
