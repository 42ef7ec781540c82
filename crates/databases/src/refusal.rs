//! Every reason why something cannot be done to a database now.

use backout_core::code::Code;
use backout_core::ids::{DatabaseId, JobId};
use backout_core::plan::Finding;
use backout_history::TableName;

use crate::model::{BackupState, InstanceState, TaskKind};
use crate::zone::NoInstant;

/// Why not. The message is a lower-case fragment that fits "failed to ..." and
/// ends with what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No instance has this id or name.
    #[error("find database {0:?}: list the databases to see which there are")]
    InstanceNotFound(String),
    /// No backup has this number.
    #[error("find backup {0} of that database: list its backups to see which there are")]
    BackupNotFound(u64),
    /// No task has this number or id.
    #[error("find task {0:?}: list the tasks to see which there are")]
    TaskNotFound(String),
    /// The name is taken.
    #[error("use the name {0:?}: another database has it; choose another")]
    Taken(String),
    /// The instance is in a state that does not allow this.
    #[error("{action} database {instance} while it is {}: {hint}", state.as_str())]
    State {
        /// What was to be done, as a verb.
        action: &'static str,
        /// The instance.
        instance: DatabaseId,
        /// Its state.
        state: InstanceState,
        /// What to do instead.
        hint: &'static str,
    },
    /// A job works on the instance, or is held on it.
    #[error("use database {instance}: job {job} holds it; follow it with: backout jobs show {job}")]
    Busy {
        /// The instance.
        instance: DatabaseId,
        /// The job that holds it.
        job: JobId,
        /// What that job does.
        kind: Option<TaskKind>,
        /// Whether it is held.
        held: bool,
    },
    /// There is no rollback that could be stopped.
    #[error("stop the rollback of database {0}: none is running; list its tasks")]
    NothingToStop(DatabaseId),
    /// The rollback is past the point where it can be stopped.
    #[error("stop the rollback of database {instance}: job {job} is past the point of no return")]
    TooLateToStop {
        /// The instance.
        instance: DatabaseId,
        /// The job.
        job: JobId,
    },
    /// The instance is run by others.
    #[error("{action} database {instance}: others run that server; do it there")]
    NotManaged {
        /// What was to be done, as a verb.
        action: &'static str,
        /// The instance.
        instance: DatabaseId,
    },
    /// The instance's jobs run on another host.
    #[error("use database {instance} here: it belongs to node {node}; call the Backout there")]
    Elsewhere {
        /// The instance.
        instance: DatabaseId,
        /// Its node.
        node: String,
    },
    /// The preflight found what stands in the way; all of it.
    #[error("{}", first(.0))]
    Blocked(Vec<Finding>),
    /// A table or database to be taken back is not there, now or then.
    #[error("find {what} {name}: {hint}")]
    NoSuchTable {
        /// `table` or `database`.
        what: &'static str,
        /// Its name.
        name: String,
        /// What to do.
        hint: String,
    },
    /// Transactions crossed from what is chosen to what is not.
    #[error(
        "take back {chosen} alone: transaction {transaction} changed {other} as well; choose that too, or the strategy full"
    )]
    Torn {
        /// One of what was chosen.
        chosen: TableName,
        /// What was not.
        other: TableName,
        /// The first such transaction.
        transaction: String,
    },
    /// The backup is not in a state that allows this.
    #[error("{action} backup {number} while it is {}: {hint}", state.as_str())]
    BackupState {
        /// What was to be done, as a verb.
        action: &'static str,
        /// The backup.
        number: u64,
        /// Its state.
        state: BackupState,
        /// What to do instead.
        hint: String,
    },
    /// The job cannot be undone.
    #[error("undo job {job}: {why}")]
    NotReversible {
        /// The job.
        job: JobId,
        /// Why not.
        why: String,
    },
    /// There are as many as there may be.
    #[error("{0}")]
    Quota(String),
    /// The request itself is wrong.
    #[error("{0}")]
    Invalid(String),
    /// What was written is no one instant.
    #[error(transparent)]
    Time(#[from] NoInstant),
    /// Something failed here that nobody who calls can mend.
    #[error("{0}")]
    Failed(String),
    /// The rollback is held: nothing moves that could be stopped.
    #[error(
        "stop the rollback of database {instance}: job {job} is held, and waits for somebody; go on with: backout jobs retry {job}"
    )]
    Held {
        /// The instance.
        instance: DatabaseId,
        /// The job.
        job: JobId,
    },
    /// The same idempotency key came with another request.
    #[error("repeat a call: the idempotency key was used for another request; use a new key")]
    IdempotencyMismatch,
    /// A password could not be sealed or opened.
    #[error("{0}")]
    Secret(String),
    /// History said no.
    #[error("{}", with_cause(.0))]
    History(backout_history::Error),
    /// The database server said no, or nothing.
    #[error("{}", with_cause(.0))]
    Database(backout_mariadb::Error),
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] backout_store::Error),
}

impl Refusal {
    /// Our stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::InstanceNotFound(_)
            | Self::BackupNotFound(_)
            | Self::TaskNotFound(_)
            | Self::NoSuchTable { .. } => Code::NotFound,
            Self::Taken(_) => Code::NameTaken,
            Self::State { .. } | Self::NotManaged { .. } => Code::DatabaseState,
            Self::Busy { .. } => Code::ResourceBusy,
            Self::NothingToStop(_) | Self::TooLateToStop { .. } | Self::Held { .. } => {
                Code::JobState
            }
            Self::Elsewhere { .. } => Code::Elsewhere,
            Self::Blocked(findings) => findings.first().map_or(Code::BadRequest, |f| f.code),
            Self::Torn { .. } => Code::TornTransaction,
            Self::BackupState { .. } => Code::BackupState,
            Self::NotReversible { .. } => Code::NotReversible,
            Self::Quota(_) => Code::Quota,
            Self::Invalid(_) | Self::Time(NoInstant::Malformed(_)) => Code::BadRequest,
            Self::Time(NoInstant::Twice { .. } | NoInstant::Skipped { .. }) => Code::LocalTime,
            Self::IdempotencyMismatch => Code::IdempotencyMismatch,
            Self::Secret(_) | Self::Failed(_) => Code::Internal,
            Self::History(e) => e.code(),
            Self::Database(e) => e.code(),
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

/// An error with what caused it.
pub(crate) fn with_cause(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut source = e.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
