//! Which of the vendor's codes a refusal is (`docs/cdb-errors.md` has the
//! causes), for both generations of the API.
//!
//! The vendor gives one condition different codes in different operations. So a
//! cause names its codes, the most telling first, and an operation answers the
//! first that the contract lets it answer: no operation ever answers a code that
//! is neither its own nor common. Names are of API 3.0, numbers of the legacy
//! API; where a legacy operation has no number for a cause, it answers a common
//! code.

use backout_core::code::Code;
use backout_databases::Refusal;
use backout_databases::model::TaskKind;
use backout_wire::{Fault, Operation, Rejection, SurfaceError};

use crate::front::Refused;

/// The codes of a condition, the most telling first, and the condition in terms
/// that are common to all operations.
#[derive(Clone, Copy, Debug)]
pub struct Cause(&'static [&'static str], Fault);

// ---- what is asked ----

/// A parameter has a value that it does not take, a name is malformed, or ids
/// contradict each other.
pub const VALUE: Cause = Cause(
    &[
        "InvalidParameterValue.InvalidParameterValueError",
        "9003",
        "InvalidParameter",
    ],
    Fault::InvalidParameter,
);
/// What the vendor's own text of the operation calls `InvalidParameter`, also
/// where the operation has a narrower code for values.
pub const PARAMETER: Cause = Cause(&["9003", "InvalidParameter"], Fault::InvalidParameter);
/// A text is not a time.
pub const TIME: Cause = Cause(
    &[
        "InvalidParameterValue.DataConvertError",
        "InvalidParameterValue.InvalidParameterValueError",
        "9003",
        "InvalidParameter",
    ],
    Fault::InvalidParameter,
);
/// A parameter that must be there names nothing.
pub const MISSING: Cause = Cause(&["9003", "MissingParameter"], Fault::MissingParameter);
/// There is no work of this id.
pub const NO_REQUEST: Cause = Cause(
    &[
        "InvalidParameter.InvalidAsyncRequestId",
        "InvalidParameter.ResourceNotExists",
        "9003",
        "InvalidParameter",
    ],
    Fault::InvalidParameter,
);
/// What this server cannot do, whatever is asked.
pub const NOT_HERE: Cause = Cause(
    &[
        "OperationDenied.ActionNotSupport",
        "OperationDenied.InstanceUnsupportedOperateError",
        "9570",
        "OperationDenied",
        "UnsupportedOperation",
    ],
    Fault::InvalidParameterValue,
);

// ---- what there is ----

/// An operation without a code for an unknown instance calls its id a wrong
/// parameter.
pub const NO_INSTANCE: Cause = Cause(
    &[
        "InvalidParameter.InstanceNotFound",
        "InternalError.DBRecordNotExistError",
        "InvalidParameter.ResourceNotExists",
        "11041",
        "9572",
        "9003",
        "ResourceNotFound",
    ],
    Fault::InvalidParameter,
);
const NO_BACKUP: Cause = Cause(
    &["CdbError.BackupError", "9003", "InvalidParameter"],
    Fault::InvalidParameter,
);
const BACKUP_STATE: Cause = Cause(
    &[
        "CdbError.BackupError",
        "FailedOperation.StatusConflict",
        "9570",
        "OperationDenied",
        "UnsupportedOperation",
    ],
    Fault::Internal,
);
/// The instance is being made, isolated or removed, or it is isolated.
pub const STATE: Cause = Cause(
    &[
        "OperationDenied.InstanceStatusError",
        "OperationDenied.WrongStatus",
        "FailedOperation.StatusConflict",
        "9593",
        "9570",
        "OperationDenied",
        "UnsupportedOperation",
    ],
    Fault::Internal,
);
/// A job works on the instance, or is held on it.
const BUSY: Cause = Cause(
    &[
        "OperationDenied.InstanceLockerConflict",
        "FailedOperation.TaskConflictError",
        "FailedOperation.StatusConflict",
        "9592",
        "9593",
        "OperationDenied",
        "ResourceInUse",
    ],
    Fault::Internal,
);
/// There is no rollback to stop.
const NO_TASK: Cause = Cause(
    &["CdbError.TaskError", "9570", "UnsupportedOperation"],
    Fault::Internal,
);
/// What is asked is understood, but would not be right: transactions cross to
/// what is not chosen, history holds what cannot be taken back.
const DENIED: Cause = Cause(
    &["9570", "OperationDenied", "UnsupportedOperation"],
    Fault::Internal,
);
/// There are as many as there may be, or more are named than one job takes.
pub const QUOTA: Cause = Cause(&["OverQuota", "9570", "LimitExceeded"], Fault::Internal);
const NO_SPACE: Cause = Cause(&["9570", "ResourceInsufficient"], Fault::Internal);

// ---- what failed ----

/// The database server does not answer.
const DATABASE: Cause = Cause(
    &[
        "InternalError.NetworkError",
        "InternalError.DatabaseAccessError",
        "CdbError.DatabaseError",
        "9006",
        "InternalError.CdbError",
        "InternalError.HttpError",
        "InternalError.UnknownError",
        "InternalError.UndefinedError",
        "InternalError",
    ],
    Fault::Internal,
);
/// The database server refused a statement.
const STATEMENT: Cause = Cause(
    &[
        "InternalError.ExeSqlError",
        "InternalError.DatabaseAccessError",
        "OperationDenied.InstanceUnsupportedOperateError",
        "CdbError.DatabaseError",
        "9006",
        "InternalError.CdbError",
        "InternalError.HttpError",
        "InternalError.UnknownError",
        "InternalError.UndefinedError",
        "InternalError",
    ],
    Fault::Internal,
);
/// The archive of an instance's history, or a backup, cannot be read.
const ARCHIVE: Cause = Cause(
    &[
        "InternalError.OssError",
        "InternalError.DatabaseAccessError",
        "CdbError.DatabaseError",
        "9006",
        "InternalError.CdbError",
        "InternalError.HttpError",
        "InternalError.UnknownError",
        "InternalError.UndefinedError",
        "InternalError",
    ],
    Fault::Internal,
);
/// What the store has on record of an instance cannot be read.
const RECORD: Cause = Cause(
    &[
        "InternalError.DBError",
        "InternalError.DBOperationError",
        "InternalError.DatabaseAccessError",
        "CdbError.DatabaseError",
        "9006",
        "InternalError.UnknownError",
        "InternalError.UndefinedError",
        "InternalError",
    ],
    Fault::Unavailable,
);
/// What the store has on record of tasks cannot be read.
const TASK_STORE: Cause = Cause(
    &[
        "CdbError.TaskError",
        "InternalError.TaskFrameError",
        "9590",
        "9006",
        "InternalError.CdbError",
        "InternalError.DatabaseAccessError",
        "InternalError.UnknownError",
        "InternalError.UndefinedError",
        "InternalError",
    ],
    Fault::Unavailable,
);
/// Something of our own.
const INTERNAL: Cause = Cause(
    &[
        "InternalError.UnknownError",
        "InternalError.UndefinedError",
        "9013",
        "9006",
        "InternalError.CdbError",
        "InternalError",
    ],
    Fault::Internal,
);
/// The instance's jobs run on another host, which must be asked.
const ELSEWHERE: Cause = Cause(&["9016", "9006", "ResourceUnavailable"], Fault::Internal);

/// The error of `operation` for a condition.
pub fn error(operation: &Operation, cause: Cause, message: impl Into<String>) -> Refused {
    let message = message.into();
    match code_of(operation, cause) {
        Some(code) => SurfaceError {
            code: spelled(operation, code),
            message,
            status: None,
        }
        .into(),
        None => Rejection::new(cause.1, message).into(),
    }
}

/// The first code of a cause that `operation` may answer.
pub fn code_of(operation: &Operation, cause: Cause) -> Option<&'static str> {
    let mut codes = cause.0.iter().copied();
    codes.find(|code| operation.may_answer(code))
}

/// The only module number whose word differs by operation.
const TWO_WORDS: &str = "9590";

/// A module number with its word, where two operations give it different ones.
pub fn spelled(operation: &Operation, code: &str) -> String {
    match operation.module_word(code) {
        Some(word) if code == TWO_WORDS => format!("{code} {word}"),
        _ => code.to_owned(),
    }
}

/// What `operation` answers to a refusal.
pub fn refused(operation: &Operation, refusal: &Refusal) -> Refused {
    error(operation, cause(refusal), told(refusal))
}

/// What `operation` answers when it was the tasks that were asked for, or a new
/// one that was to be written down.
pub fn tasks_refused(operation: &Operation, refusal: &Refusal) -> Refused {
    let cause = match refusal {
        Refusal::Store(_) => TASK_STORE,
        other => cause(other),
    };
    error(operation, cause, told(refusal))
}

/// Our fragments fit "failed to ..."; the vendor's clients show whole sentences.
pub fn told(refusal: &Refusal) -> String {
    format!("failed to {refusal} ({})", refusal.code())
}

/// What the legacy API answers to parameters that do not fit the contract: the
/// number that every operation has for that, where others have a common code.
pub fn legacy_parameter(rejection: Rejection) -> Refused {
    match rejection.fault {
        Fault::MissingParameter
        | Fault::InvalidParameter
        | Fault::InvalidParameterValue
        | Fault::UnknownParameter => SurfaceError {
            code: "9003".to_owned(),
            message: rejection.message,
            status: None,
        }
        .into(),
        _ => rejection.into(),
    }
}

/// What a refusal is to the vendor.
pub fn cause(refusal: &Refusal) -> Cause {
    match refusal {
        Refusal::InstanceNotFound(_) => NO_INSTANCE,
        Refusal::BackupNotFound(_) => NO_BACKUP,
        Refusal::TaskNotFound(_) => NO_REQUEST,
        Refusal::BackupState { .. } => BACKUP_STATE,
        Refusal::State { .. } => STATE,
        // It is not yet what it will be.
        Refusal::Busy {
            kind: Some(TaskKind::Create | TaskKind::Adopt),
            ..
        } => STATE,
        Refusal::Busy { .. } => BUSY,
        Refusal::NothingToStop(_) => NO_TASK,
        Refusal::TooLateToStop { .. } | Refusal::Held { .. } | Refusal::Torn { .. } => DENIED,
        Refusal::NotManaged { .. } | Refusal::NotReversible { .. } => NOT_HERE,
        Refusal::Elsewhere { .. } => ELSEWHERE,
        Refusal::Quota(_) => QUOTA,
        Refusal::NoSuchTable { .. }
        | Refusal::Taken(_)
        | Refusal::Invalid(_)
        | Refusal::IdempotencyMismatch => VALUE,
        Refusal::Time(_) => TIME,
        Refusal::Secret(_) | Refusal::Failed(_) => INTERNAL,
        Refusal::Store(_) => RECORD,
        // What stands in the way first.
        Refusal::Blocked(_) | Refusal::History(_) | Refusal::Database(_) => by_code(refusal.code()),
    }
}

/// What a condition is to the vendor of which only our code is known: a finding
/// of a preflight, an error of a driver, the end of a job.
pub fn by_code(code: Code) -> Cause {
    match code {
        // The instant, the table or the new name is not one that can be given.
        Code::NotFound
        | Code::NameTaken
        | Code::BadRequest
        | Code::IdempotencyMismatch
        | Code::HistoryGap
        | Code::TargetExists => VALUE,
        Code::LocalTime => TIME,
        Code::TornTransaction
        | Code::TableUnsupported
        | Code::HistoryUnsupported
        | Code::DatabaseSettings
        | Code::RowsChanged
        | Code::JobState
        | Code::NotReversible
        | Code::Denied => DENIED,
        Code::DatabaseUnreachable => DATABASE,
        Code::DatabaseRefused => STATEMENT,
        Code::ArchiveIo | Code::HistoryDamaged | Code::BackupTool => ARCHIVE,
        Code::BackupState => BACKUP_STATE,
        Code::DatabaseState => STATE,
        Code::ResourceBusy => BUSY,
        Code::NoSpace => NO_SPACE,
        Code::Quota => QUOTA,
        Code::Store => RECORD,
        Code::Elsewhere => ELSEWHERE,
        _ => INTERNAL,
    }
}

/// The number that the legacy API shows for the end of a job; `0` when all is
/// well.
pub fn legacy_number(operation: &Operation, code: Option<Code>) -> &'static str {
    match code {
        None => "0",
        Some(code) => code_of(operation, by_code(code))
            .or_else(|| code_of(operation, INTERNAL))
            .unwrap_or("9003"),
    }
}

/// The code of a row of `DescribeRollbackRangeTime` whose id is malformed.
pub const RANGE_ARGUMENT: i64 = 1_600_003;

/// The code of a row of `DescribeRollbackRangeTime`.
pub fn range_code(refusal: &Refusal) -> i64 {
    const INTERNAL: i64 = 1_600_001;
    const NO_INSTANCE: i64 = 1_600_009;
    const DATABASE: i64 = 1_624_001;
    match refusal {
        Refusal::InstanceNotFound(_) => NO_INSTANCE,
        Refusal::Invalid(_) | Refusal::State { .. } => RANGE_ARGUMENT,
        Refusal::Database(_) | Refusal::History(_) => DATABASE,
        _ => INTERNAL,
    }
}

#[cfg(test)]
mod tests {
    use backout_wire::{Service, find};

    use super::*;

    /// What only a disk without room can bring about.
    #[test]
    fn a_full_disk() {
        for (service, name, code) in [
            (Service::Cdb, "StartBatchRollback", "ResourceInsufficient"),
            (Service::Cdb, "CreateBackup", "ResourceInsufficient"),
            (Service::CdbV2, "RollbackCdbDatabaseTables", "9570"),
        ] {
            let operation = find(service, name).expect("an operation of the contract");
            assert_eq!(code_of(operation, by_code(Code::NoSpace)), Some(code));
        }
    }
}
