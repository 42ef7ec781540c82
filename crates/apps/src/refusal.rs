//! Every reason why something cannot be done to an application now.

use backout_core::code::Code;
use backout_core::ids::{ApplicationId, JobId, OrderId, VersionId};
use backout_core::plan::Finding;
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
    #[error("{}", first(.0))]
    Blocked(Vec<Finding>),
    /// There are as many as there may be.
    #[error("have more than {most} {what}: take some away, or ask for more")]
    Quota {
        /// Of what, in the plural.
        what: &'static str,
        /// How many there may be.
        most: u64,
    },
    /// The request itself is wrong.
    #[error("{0}")]
    Invalid(String),
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
            | Self::BatchNotFound(_) => Code::NotFound,
            Self::Taken(..) => Code::NameTaken,
            Self::OrderRunning { .. } | Self::Busy { .. } | Self::NamespaceUsed(_) => {
                Code::ResourceBusy
            }
            Self::State { .. } | Self::NotDeployed(_) => Code::ApplicationState,
            Self::Barred { .. } => Code::VersionState,
            Self::PackageGone(_) => Code::PackageMissing,
            Self::OrderState { .. } | Self::NotNow(_) => Code::JobState,
            Self::OwnOrder(_) => Code::Denied,
            Self::Plan(e) => e.code(),
            Self::Blocked(findings) => findings.first().map_or(Code::BadRequest, |f| f.code),
            Self::Quota { .. } => Code::Quota,
            Self::Invalid(_) => Code::BadRequest,
            Self::Elsewhere { .. } => Code::Elsewhere,
            Self::IdempotencyMismatch => Code::IdempotencyMismatch,
            Self::Workload(e) => e.code(),
            Self::Store(_) => Code::Store,
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

fn first(findings: &[Finding]) -> String {
    match findings {
        [] => "go on".to_owned(),
        [only] => only.message.clone(),
        [first, rest @ ..] => format!("{} (and {} more)", first.message, rest.len()),
    }
}

/// A driver's message with the operating system's own word behind it.
fn with_cause(e: &backout_workloads::Error) -> String {
    match std::error::Error::source(e) {
        Some(cause) => format!("{e}: {cause}"),
        None => e.to_string(),
    }
}
