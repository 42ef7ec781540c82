//! What there is: namespaces, applications, their versions and replicas, and
//! the orders that change them. Plain data.

use std::collections::BTreeMap;

use backout_core::code::Code;
use backout_core::ids::{
    AccountId, ApplicationId, BatchId, JobId, OrderId, ReplicaId, RequestId, VersionId,
};
use backout_core::time::Timestamp;
use backout_core::words;
use backout_rollout::{Leg, Plan, Rollout};
use backout_workloads::{PackageHash, Probe, Task};
use serde::{Deserialize, Serialize};

use crate::planning::Settings;
pub use crate::scaling::ScalingRule;

/// A room for applications, with names of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Whose it is.
    pub owner: AccountId,
    /// Its id, chosen by its owner, unique within that.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Free text.
    pub description: String,
    /// When it was made.
    pub created: Timestamp,
}

/// An application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// Its id.
    pub id: ApplicationId,
    /// Whose it is.
    pub owner: AccountId,
    /// The namespace it is in.
    pub namespace: String,
    /// What people call it; unique within the namespace.
    pub name: String,
    /// Free text.
    pub description: String,
    /// The host whose workers run its jobs.
    pub node: String,
    /// What it is meant to be doing.
    pub state: ApplicationState,
    /// How many replicas it is to have when it runs.
    pub replicas: u32,
    /// The version it was deployed or taken back to last; none before the first.
    pub version: Option<VersionId>,
    /// Labels.
    pub tags: Vec<Tag>,
    /// When it was made.
    pub created: Timestamp,
}

impl Application {
    /// The resource that its jobs claim.
    #[must_use]
    pub fn resource(&self) -> String {
        resource(&self.id)
    }
}

/// The resource of an application, e.g.
/// `application/017f39b8-dfa4-4e16-a84b-1dcee4b10000`.
#[must_use]
pub fn resource(id: &ApplicationId) -> String {
    format!("application/{id}")
}

/// What an application is meant to be doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplicationState {
    /// Its replicas are to run.
    Running,
    /// None of its replicas is to run; also before its first version.
    Stopped,
    /// It is being taken away.
    Deleting,
}
words!(ApplicationState {
    Running = "running",
    Stopped = "stopped",
    Deleting = "deleting",
});

/// A label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// A version: a release as it was deployed. Only its mark changes, and which image
/// it is made of is written down once, when that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its id.
    pub id: VersionId,
    /// Of which application.
    pub application: ApplicationId,
    /// From 1 on, in the order in which they were made.
    pub number: u64,
    /// All that it is.
    pub release: Release,
    /// Free text of who deployed it.
    pub label: String,
    /// Why it must not be gone back to; none when it may be.
    pub barred: Option<String>,
    /// When it was made.
    pub created: Timestamp,
}

/// All that a version is. A rollback brings all of it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// What is run.
    pub artifact: Artifact,
    /// The program and its arguments; empty where the artifact brings its own.
    pub command: Vec<String>,
    /// What else the artifact is started with, by what takes it: `jdk`,
    /// `web_container`, `php`, with their versions.
    #[serde(default)]
    pub components: BTreeMap<String, String>,
    /// The environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// More of the environment, that is kept sealed.
    #[serde(default)]
    pub secrets: Vec<SecretRef>,
    /// Files that a replica finds, with what was in them when it was deployed.
    #[serde(default)]
    pub files: Vec<File>,
    /// How many replicas.
    pub replicas: u32,
    /// Processor time of each, in thousandths of one processor.
    pub cpu_millis: Option<u32>,
    /// Memory of each, in bytes.
    pub memory_bytes: Option<u64>,
    /// Whether it lives.
    pub liveness: Option<Probe>,
    /// Whether it can serve.
    pub readiness: Option<Probe>,
    /// Run after each start.
    pub after_start: Option<Task>,
    /// Run before each stop.
    pub before_stop: Option<Task>,
    /// How long a replica may take to stop, in milliseconds.
    pub grace_ms: u64,
    /// The port on which the application is reached; none where it is not.
    pub port: Option<u16>,
    /// How the number of replicas follows the load.
    pub scaling: Option<ScalingRule>,
    /// What was given in the call and has no effect here: it is shown again.
    #[serde(default)]
    pub kept: BTreeMap<String, String>,
}

/// What is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Artifact {
    /// A package, kept by what is in it.
    Package {
        /// What kind of package.
        kind: PackageKind,
        /// Where it came from; it may be gone.
        origin: String,
        /// What it is called by those who build it.
        version: String,
        /// What is in it.
        hash: PackageHash,
    },
    /// A container image.
    Image {
        /// Its name.
        name: String,
        /// Which image that was when it was run first: the name may come to
        /// mean another.
        #[serde(default)]
        id: Option<String>,
    },
}

impl Artifact {
    /// The package it needs.
    #[must_use]
    pub const fn package(&self) -> Option<&PackageHash> {
        match self {
            Self::Package { hash, .. } => Some(hash),
            Self::Image { .. } => None,
        }
    }
}

/// What kind of package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PackageKind {
    /// A Java archive that is run.
    FatJar,
    /// A Java web archive, for a container of those.
    War,
    /// An archive of Python sources.
    PythonZip,
    /// An archive of PHP sources.
    PhpZip,
    /// A program, a folder or an archive of any other kind.
    Plain,
}
words!(PackageKind {
    FatJar = "fat_jar",
    War = "war",
    PythonZip = "python_zip",
    PhpZip = "php_zip",
    Plain = "plain",
});

/// A secret that a replica finds in its environment. What it is is not here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRef {
    /// The variable.
    pub variable: String,
    /// The name by which it is kept.
    pub secret: String,
    /// Which of its values; a rollback brings that one back.
    pub revision: u64,
}

/// A file that a replica finds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Where.
    pub path: String,
    /// What is in it.
    pub content: String,
    /// The number of the config map it was taken from, and the key there.
    pub of: Option<(u64, String)>,
}

/// Texts by key, of which releases mount files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigMap {
    /// Its number, from 1 on.
    pub number: u64,
    /// Whose it is.
    pub owner: AccountId,
    /// The namespace it is in.
    pub namespace: String,
    /// What people call it; unique within the namespace.
    pub name: String,
    /// The texts.
    pub entries: BTreeMap<String, String>,
    /// When it was made.
    pub created: Timestamp,
    /// When its entries were changed last.
    pub updated: Timestamp,
}

/// A value of a secret, sealed.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedSecret {
    /// Whose it is.
    pub owner: AccountId,
    /// The namespace it is in.
    pub namespace: String,
    /// What people call it; unique within the namespace.
    pub name: String,
    /// From 1 on: each new value is the next.
    pub revision: u64,
    /// The value, sealed; it opens with [`SealedSecret::bound_to`].
    pub sealed: Vec<u8>,
    /// When it was set.
    pub created: Timestamp,
}

impl std::fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedSecret")
            .field("namespace", &self.namespace)
            .field("name", &self.name)
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

impl SealedSecret {
    /// What a value is sealed for: it opens as no other secret, and in no other
    /// namespace or account.
    #[must_use]
    pub fn bound_to(owner: &AccountId, namespace: &str, name: &str, revision: u64) -> String {
        format!("apps/{owner}/{namespace}/{name}/{revision}")
    }
}

/// How many a service has room for, and whether it takes orders: what its
/// operator says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceSettings {
    /// The service is being upgraded and takes no orders.
    pub upgrading: bool,
    /// How much processor time all replicas may have together, in thousandths
    /// of one processor; none, no bound.
    pub cpu_millis: Option<u64>,
    /// How much memory all replicas may have together, in bytes; none, no bound.
    pub memory_bytes: Option<u64>,
    /// The sizes that a replica may have; empty, any.
    pub sizes: Vec<Size>,
}

/// How much one replica may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Processor time, in thousandths of one processor.
    pub cpu_millis: u32,
    /// Memory, in bytes.
    pub memory_bytes: u64,
}

/// What an operator says of one account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccountSettings {
    /// It owes money: nothing is started for it.
    pub in_debt: bool,
    /// How many replicas one of its applications may have.
    pub replicas_of_application: u32,
    /// How many replicas its applications may have together.
    pub replicas_of_account: u32,
    /// Whose orders wait for approval, beside those of whom a policy asks it.
    pub approval: ApprovalFor,
}

impl Default for AccountSettings {
    /// As many as one host carries, and one plan may have.
    fn default() -> Self {
        Self {
            in_debt: false,
            replicas_of_application: backout_rollout::plan::INSTANCES_MAX,
            replicas_of_account: backout_rollout::plan::INSTANCES_MAX,
            approval: ApprovalFor::Nobody,
        }
    }
}

/// Whose orders wait for approval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalFor {
    /// Nobody's, unless a policy says so.
    #[default]
    Nobody,
    /// Those of sub-accounts.
    SubAccounts,
    /// Everybody's.
    Everybody,
}

/// One replica: what is known of it beside what its driver tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Its id, by which the driver knows it.
    pub id: ReplicaId,
    /// Of which application.
    pub application: ApplicationId,
    /// What it runs.
    pub version: VersionId,
    /// The order that started it, or changes the application now.
    pub order: OrderId,
    /// Its number within that order.
    pub slot: u32,
    /// When it was started first.
    pub created: Timestamp,
}

/// A change order: what was asked for, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// Whose application it changes.
    pub owner: AccountId,
    /// Who asked for it.
    pub operator: AccountId,
    /// The call that asked for it.
    pub request: RequestId,
    /// What it changes.
    pub application: ApplicationId,
    /// The namespace of that.
    pub namespace: String,
    /// What it does.
    pub kind: OrderKind,
    /// The job that does it; none before it is approved.
    pub job: Option<JobId>,
    /// The order that it takes back, where it is the way back of one.
    pub takes_back: Option<OrderId>,
    /// The version before.
    pub from: Option<VersionId>,
    /// The version after; none where that is no matter.
    pub to: Option<VersionId>,
    /// How many replicas there were to be before.
    pub replicas_before: u32,
    /// How many there are to be afterwards.
    pub replicas_after: u32,
    /// Free text.
    pub description: String,
    /// On which terms it was asked for.
    pub terms: Terms,
    /// How it is done.
    pub plan: Plan,
    /// How far it is; none before it begins.
    pub rollout: Option<Rollout>,
    /// How it stands.
    pub standing: Standing,
    /// Who must approve it, and has.
    pub approval: Option<Approval>,
    /// Why it failed.
    pub error: Option<(Code, String)>,
    /// When it was asked for.
    pub created: Timestamp,
    /// When it was over.
    pub ended: Option<Timestamp>,
}

/// On which terms an order was asked for: with these its job plans again, by
/// what it finds then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// How it is to be done.
    pub settings: Settings,
    /// Whether scaling rules are on afterwards; none, those that were.
    #[serde(default)]
    pub scaling_on: Option<bool>,
    /// The replicas that are started anew, or taken away; empty where it is
    /// about all.
    #[serde(default)]
    pub these: Vec<ReplicaId>,
    /// The job that it takes back.
    #[serde(default)]
    pub undo_of: Option<JobId>,
}

/// That an order must be approved by somebody else than who asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The rule that asks for it.
    pub rule: String,
    /// Who approved it, and when.
    pub by: Option<(AccountId, Timestamp)>,
}

/// A batch of an order, by the id under which it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its id.
    pub id: BatchId,
    /// Of which order.
    pub order: OrderId,
    /// From 0 on, over the batches of its order.
    pub number: u32,
    /// Which way it goes.
    pub leg: Leg,
}

/// What an order does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderKind {
    /// Makes the application, with its first version.
    Create,
    /// Deploys a new version.
    Deploy,
    /// Goes back to an earlier version.
    Rollback,
    /// Starts all replicas.
    Start,
    /// Stops all replicas.
    Stop,
    /// Starts all replicas anew.
    Restart,
    /// Starts some replicas anew.
    RestartReplicas,
    /// Changes the number of replicas.
    Rescale,
    /// Takes some replicas away, for good.
    RemoveReplicas,
    /// Changes how much a replica may take.
    Resize,
    /// Takes the application away.
    Delete,
}
words!(OrderKind {
    Create = "create",
    Deploy = "deploy",
    Rollback = "rollback",
    Start = "start",
    Stop = "stop",
    Restart = "restart",
    RestartReplicas = "restart_replicas",
    Rescale = "rescale",
    RemoveReplicas = "remove_replicas",
    Resize = "resize",
    Delete = "delete",
});

/// How an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Waits until somebody approves it.
    WaitsForApproval,
    /// Approved, and not begun.
    Approved,
    /// Is being prepared.
    Preparing,
    /// Replicas are being changed, or what was begun is brought to an end.
    Running,
    /// A batch failed; a person must say how to go on.
    Stuck,
    /// The next batch waits for a person's word.
    WaitsForConfirm,
    /// The next batch waits for its time.
    WaitsForAuto,
    /// All is as it was asked for.
    Succeeded,
    /// Nothing is changed, since it could not be.
    Failed,
    /// Ended on request.
    Aborted,
    /// A fault of ours ended it.
    Broken,
}
words!(Standing {
    WaitsForApproval = "waits_for_approval",
    Approved = "approved",
    Preparing = "preparing",
    Running = "running",
    Stuck = "stuck",
    WaitsForConfirm = "waits_for_confirm",
    WaitsForAuto = "waits_for_auto",
    Succeeded = "succeeded",
    Failed = "failed",
    Aborted = "aborted",
    Broken = "broken",
});

impl Standing {
    /// Whether it is over.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Failed | Self::Aborted | Self::Broken
        )
    }
}

/// Something that happened to an application. What happens again is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// From 1 on, in their order.
    pub number: u64,
    /// Of which application.
    pub application: ApplicationId,
    /// The namespace of that.
    pub namespace: String,
    /// Whether somebody should look.
    pub warning: bool,
    /// What kind of thing it happened to: `application`, `replica`, `order`.
    pub object: String,
    /// The id of that.
    pub name: String,
    /// What happened, in one word.
    pub reason: String,
    /// What happened, for people.
    pub message: String,
    /// How often.
    pub count: u64,
    /// When first.
    pub first: Timestamp,
    /// When last.
    pub last: Timestamp,
}
