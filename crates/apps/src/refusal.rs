//! Every reason why something cannot be done to an application now.

use backout_core::code::Code;
use backout_core::ids::{ApplicationId, JobId, OrderId, VersionId};
use backout_core::plan::Finding;
use backout_core::words;
use backout_rollout::NotNow;

use crate::model::{ApplicationState, Standing};

/// Why not. The message is a lower-case fragment that fits "failed to ..." and
/// ends with what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No application has this id or name.
    #[error("find application {0:?}: list the applications to see which there are")]
    ApplicationNotFound(String),
    /// No namespace has this id.
    #[error("find namespace {0:?}: list the namespaces to see which there are")]
    NamespaceNotFound(String),
    /// The application has no such version.
    #[error("find version {0:?} of that application: list its versions to see which there are")]
    VersionNotFound(String),
    /// The application has no such replica.
    #[error("find replica {0:?} of that application: show it to see which there are")]
    ReplicaNotFound(String),
    /// There is no such order.
    #[error("find order {0:?}: list the orders to see which there are")]
    OrderNotFound(String),
    /// There is no such batch.
    #[error("find batch {0:?}: show its order to see which there are")]
    BatchNotFound(String),
    /// The name is taken.
    #[error("use the name {0:?}: another {1} has it; choose another")]
    Taken(String, &'static str),
    /// The namespace has applications.
    #[error("take away namespace {0:?}: applications are in it; take those away first")]
    NamespaceUsed(String),
    /// An order changes the application.
    #[error(
        "change application {application}: order {order} is not over; follow it with: backout apps show {application}"
    )]
    OrderRunning {
        /// The application.
        application: ApplicationId,
        /// The order.
        order: OrderId,
    },
    /// A job works on the application, or is held on it.
    #[error(
        "change application {application}: job {job} holds it; follow it with: backout jobs show {job}"
    )]
    Busy {
        /// The application.
        application: ApplicationId,
        /// The job.
        job: JobId,
    },
    /// The application is in a state that does not allow this.
    #[error("{action} application {application} while it is {}: {hint}", state.as_str())]
    State {
        /// What was to be done, as a verb.
        action: &'static str,
        /// The application.
        application: ApplicationId,
        /// Its state.
        state: ApplicationState,
        /// What to do instead.
        hint: &'static str,
    },
    /// The application has no version yet.
    #[error("change application {0}: it was never deployed; deploy it first")]
    NotDeployed(ApplicationId),
    /// The version must not be gone back to.
    #[error("go back to version {version}: {why}; choose another, or take that mark off")]
    Barred {
        /// The version.
        version: VersionId,
        /// Why.
        why: String,
    },
    /// The version's package is not kept any more.
    #[error("go back to version {0}: its package is gone; deploy it anew")]
    PackageGone(VersionId),
    /// The order is not in a state that allows this.
    #[error("{action} order {order} while it is {}: {hint}", standing.as_str())]
    OrderState {
        /// What was to be done, as a verb.
        action: &'static str,
        /// The order.
        order: OrderId,
        /// How it stands.
        standing: Standing,
        /// What to do instead.
        hint: &'static str,
    },
    /// Nobody approves what they asked for themselves.
    #[error("approve order {0}: you asked for it; somebody else must approve it")]
    OwnOrder(OrderId),
    /// The machine that drives the order does not take that now.
    #[error(transparent)]
    NotNow(#[from] NotNow),
    /// What was asked for cannot be laid out.
    #[error(transparent)]
    Plan(#[from] backout_rollout::Refusal),
    /// The preflight found what stands in the way; all of it.
    #[error("{}", told(.0))]
    Blocked(Vec<Refusal>),
    /// There are as many as there may be.
    #[error("have more than {most} {}: take some away, or ask for more", of.as_str())]
    Quota {
        /// Of what.
        of: QuotaOf,
        /// How many there may be.
        most: u64,
    },
    /// The owner owes money.
    #[error("start anything: the account is in debt; settle that, then an operator clears it")]
    InDebt,
    /// The service takes no orders just now.
    #[error("take orders: the service is being upgraded; try again later")]
    Upgrading,
    /// A parameter that must be given is not.
    #[error("read {0}: it is empty; give it")]
    Empty(&'static str),
    /// A parameter is wrong.
    #[error("use {name}: {why}")]
    Parameter {
        /// Which.
        name: &'static str,
        /// Why, and what to do.
        why: String,
    },
    /// The request itself is wrong.
    #[error("{0}")]
    Invalid(String),
    /// There is no such kind of package.
    #[error(
        "use a package of type {0:?}: there is no such type; give one of fat_jar, war, python_zip, php_zip, plain"
    )]
    PackageKindUnknown(String),
    /// A release needs something to be started with.
    #[error("start a {kind} release: name its {component}")]
    ComponentMissing {
        /// What is missing: `jdk`, `web_container`.
        component: &'static str,
        /// What kind of release needs it.
        kind: &'static str,
    },
    /// The host has nothing of a kind that a release is started with.
    #[error("start a release with {0}: this host has none; install one, see backout doctor")]
    ComponentNone(&'static str),
    /// The host does not have what a release is to be started with.
    #[error(
        "start a release with {component} {version:?}: this host has none that fits; see backout doctor for what there is"
    )]
    ComponentNotFound {
        /// What kind of thing.
        component: String,
        /// Which.
        version: String,
    },
    /// A host name, or its address, is none.
    #[error("know host {host:?} as {ip:?}: give a host name and an IP address")]
    HostInvalid {
        /// The name.
        host: String,
        /// The address.
        ip: String,
    },
    /// Replicas do not come in this size.
    #[error(
        "give a replica {cpu_millis:?} thousandths of a processor and {memory_bytes:?} bytes: replicas do not come in this size; see the settings of the service for those they come in"
    )]
    SizeUnsupported {
        /// Processor time, in thousandths of one processor.
        cpu_millis: Option<u32>,
        /// Memory, in bytes.
        memory_bytes: Option<u64>,
    },
    /// There is no such config map.
    #[error(
        "mount config map {0}: there is none of that number in the namespace; list those there are"
    )]
    ConfigMapNotFound(u64),
    /// The config map has no such key.
    #[error(
        "mount key {key:?} of config map {number}: it has no such key; show it to see those it has"
    )]
    ConfigMapKeyNotFound {
        /// The number of the config map.
        number: u64,
        /// The key.
        key: String,
    },
    /// Another application is reached on the port.
    #[error(
        "reach the application on port {port}: application {by} of this host is reached there; give another port"
    )]
    PortTaken {
        /// The port.
        port: u16,
        /// The other application.
        by: ApplicationId,
    },
    /// Two files are to be at one place.
    #[error("put a file at {0:?}: another is there, or above or below it; choose another path")]
    MountConflict(String),
    /// A volume is where logs are collected.
    #[error("mount a volume at {0:?}: logs are collected there; choose another path")]
    VolumeConflict(String),
    /// Logs cannot be collected there.
    #[error(
        "collect logs at {0:?}: give an absolute path without blanks at its ends, dots or wildcards for folders"
    )]
    LogFolderInvalid(String),
    /// What builders call a package is too long.
    #[error(
        "call a package version {version:?}: at most {most} characters are kept; give a shorter name"
    )]
    PackageVersionTooLong {
        /// What it was to be called, cut.
        version: String,
        /// How many characters it may have.
        most: usize,
    },
    /// The application has a version whose builders call it so.
    #[error(
        "deploy package version {0:?}: the application has a version of that name; give another"
    )]
    PackageVersionTaken(String),
    /// A package is not named as its kind is.
    #[error("deploy package file {name:?}: {why}")]
    PackageName {
        /// The name.
        name: String,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// There is no such secret, or not that value of it.
    #[error("find secret {0:?} in that namespace: list the secrets to see which there are")]
    SecretNotFound(String),
    /// A version needs the secret.
    #[error(
        "forget secret {name:?}: version {version} was deployed with it, and may be gone back to; delete that application first"
    )]
    SecretUsed {
        /// The secret.
        name: String,
        /// The version.
        version: VersionId,
    },
    /// A secret could not be sealed.
    #[error("{0}")]
    Secret(String),
    /// The application has no such scaling rule.
    #[error("find scaling rule {0:?} of that application: list its rules to see which there are")]
    RuleNotFound(String),
    /// Work is under way, and the call is not the one to wait for it.
    #[error(
        "wait longer for the package {0:?}: it did not come within the time of one call; try again, or deploy it from this host"
    )]
    PackageSlow(String),
    /// So much was said to the order that nothing more is taken.
    #[error(
        "say more to order {0}: it has not taken up what was said before; see that a Backout runs"
    )]
    Unheard(OrderId),
    /// The job is no order's, or what it did cannot be undone.
    #[error("undo job {job}: {why}")]
    NotReversible {
        /// The job.
        job: JobId,
        /// Why not, and what to do.
        why: &'static str,
    },
    /// The application's jobs run on another host.
    #[error(
        "use application {application} here: it belongs to node {node}; call the Backout there"
    )]
    Elsewhere {
        /// The application.
        application: ApplicationId,
        /// Its node.
        node: String,
    },
    /// The same idempotency key came with another request.
    #[error("repeat a call: the idempotency key was used for another request; use a new key")]
    IdempotencyMismatch,
    /// The driver said no.
    #[error("{}", with_cause(.0))]
    Workload(backout_workloads::Error),
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] backout_store::Error),
}

impl Refusal {
    /// Our stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::ApplicationNotFound(_)
            | Self::NamespaceNotFound(_)
            | Self::VersionNotFound(_)
            | Self::ReplicaNotFound(_)
            | Self::OrderNotFound(_)
            | Self::SecretNotFound(_)
            | Self::RuleNotFound(_)
            | Self::ConfigMapNotFound(_)
            | Self::ConfigMapKeyNotFound { .. }
            | Self::BatchNotFound(_) => Code::NotFound,
            Self::Taken(..) | Self::PortTaken { .. } => Code::NameTaken,
            Self::OrderRunning { .. } | Self::Busy { .. } | Self::NamespaceUsed(_) => {
                Code::ResourceBusy
            }
            Self::State { .. } | Self::NotDeployed(_) => Code::ApplicationState,
            Self::Barred { .. } => Code::VersionState,
            Self::PackageGone(_) => Code::PackageMissing,
            Self::OrderState { .. } | Self::NotNow(_) => Code::JobState,
            Self::OwnOrder(_) => Code::Denied,
            Self::Plan(e) => e.code(),
            Self::Blocked(all) => all.first().map_or(Code::BadRequest, Self::code),
            Self::Quota { .. } => Code::Quota,
            Self::InDebt => Code::InDebt,
            Self::Upgrading => Code::Upgrading,
            Self::Empty(_)
            | Self::Parameter { .. }
            | Self::HostInvalid { .. }
            | Self::SizeUnsupported { .. }
            | Self::PackageKindUnknown(_)
            | Self::PackageVersionTooLong { .. }
            | Self::PackageName { .. }
            | Self::Invalid(_) => Code::BadRequest,
            Self::ComponentMissing { .. }
            | Self::ComponentNone(_)
            | Self::ComponentNotFound { .. } => Code::ComponentMissing,
            Self::MountConflict(_) | Self::VolumeConflict(_) | Self::LogFolderInvalid(_) => {
                Code::MountConflict
            }
            Self::PackageVersionTaken(_) => Code::NameTaken,
            Self::SecretUsed { .. } => Code::ResourceBusy,
            Self::Secret(_) => Code::Internal,
            Self::PackageSlow(_) => Code::PackageUnreachable,
            Self::Unheard(_) => Code::JobState,
            Self::NotReversible { .. } => Code::NotReversible,
            Self::Elsewhere { .. } => Code::Elsewhere,
            Self::IdempotencyMismatch => Code::IdempotencyMismatch,
            Self::Workload(e) => e.code(),
            Self::Store(_) => Code::Store,
        }
    }

    /// One refusal for all that stands in the way. Empty lists do not come here.
    #[must_use]
    pub fn of(mut blockers: Vec<Self>) -> Self {
        match blockers.len() {
            1 => blockers.remove(0),
            _ => Self::Blocked(blockers),
        }
    }

    /// The first reason: itself, unless there are several.
    #[must_use]
    pub fn first(&self) -> &Self {
        match self {
            Self::Blocked(all) => all.first().map_or(self, Self::first),
            _ => self,
        }
    }

    /// As a line of a preflight.
    #[must_use]
    pub fn finding(&self) -> Finding {
        Finding {
            code: self.code(),
            message: self.to_string(),
        }
    }
}

fn told(all: &[Refusal]) -> String {
    match all {
        [] => "go on".to_owned(),
        [only] => only.to_string(),
        [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
    }
}

/// What there may be only so many of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QuotaOf {
    /// Replicas of one application.
    ReplicasOfApplication,
    /// Replicas of one account.
    ReplicasOfAccount,
    /// Processor time of all replicas.
    Processor,
    /// Memory of all replicas.
    Memory,
    /// Applications of one account.
    Applications,
    /// Namespaces of one account.
    Namespaces,
    /// Config maps of one namespace.
    ConfigMaps,
    /// Secrets of one namespace.
    Secrets,
    /// Scaling rules of one application.
    Rules,
    /// Labels of one application.
    Tags,
}
words!(QuotaOf {
    ReplicasOfApplication = "replicas of one application",
    ReplicasOfAccount = "replicas of one account",
    Processor = "thousandths of a processor for all replicas together",
    Memory = "bytes of memory for all replicas together",
    Applications = "applications of one account",
    Namespaces = "namespaces of one account",
    ConfigMaps = "config maps of one namespace",
    Secrets = "secrets of one namespace",
    Rules = "scaling rules of one application",
    Tags = "labels of one application",
});

/// A driver's message with the operating system's own word behind it.
fn with_cause(e: &backout_workloads::Error) -> String {
    match std::error::Error::source(e) {
        Some(cause) => format!("{e}: {cause}"),
        None => e.to_string(),
    }
}
