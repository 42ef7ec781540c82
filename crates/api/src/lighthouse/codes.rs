//! Which of the vendor's codes a refusal is (SEMANTICS section 4, "which error
//! when"; `docs/lighthouse-errors.md` has the causes).
//!
//! The vendor gives one condition different codes in different operations. So a
//! cause names its codes, the most telling first, and an operation answers the
//! first that the contract lets it answer: no operation ever answers a code that
//! is neither its own nor common.

use backout_disks::Error as Disk;
use backout_machines::Error as Machine;
use backout_servers::Refusal;
use backout_servers::model::{DiskState, OperationKind, SnapshotState};
use backout_store::Error as Store;
use backout_wire::{Operation, Service, SurfaceError, find};

/// The codes of a condition, the most telling first. The last is common to all
/// operations.
pub type Cause = &'static [&'static str];

pub const INSTANCE_ID: Cause = &[
    "InvalidParameterValue.InstanceIdMalformed",
    "InvalidParameterValue",
];
pub const SNAPSHOT_ID: Cause = &[
    "InvalidParameterValue.SnapshotIdMalformed",
    "InvalidParameterValue",
];
pub const DISK_ID: Cause = &[
    "InvalidParameterValue.InvalidDiskIdMalformed",
    "InvalidParameterValue",
];
pub const BACKUP_ID: Cause = &[
    "InvalidParameterValue.DiskBackupIdMalformed",
    "InvalidParameterValue",
];
pub const BLUEPRINT_ID: Cause = &[
    "InvalidParameterValue.BlueprintIdMalformed",
    "InvalidParameterValue",
];
pub const KEY_PAIR_ID: Cause = &[
    "InvalidParameterValue.KeyPairIdMalformed",
    "InvalidParameterValue",
];
pub const FIREWALL_ID: Cause = &[
    "InvalidParameterValue.FirewallTemplateIdMalformed",
    "InvalidParameterValue",
];
pub const TOO_MANY_VALUES: Cause = &[
    "InvalidParameterValue.LimitExceeded",
    "InvalidParameterValue",
];
pub const TWICE: Cause = &["InvalidParameterValue.Duplicated", "InvalidParameterValue"];
pub const NEGATIVE: Cause = &[
    "InvalidParameterValue.Negative",
    "InvalidParameterValue.OutOfRange",
    "InvalidParameterValue",
];
pub const OUT_OF_RANGE: Cause = &["InvalidParameterValue.OutOfRange", "InvalidParameterValue"];
pub const VALUE: Cause = &["InvalidParameterValue"];
pub const NAME_TOO_LONG: Cause = &[
    "InvalidParameterValue.SnapshotNameTooLong",
    "InvalidParameterValue.DiskBackupNameTooLong",
    "InvalidParameterValue.InstanceNameTooLong",
    "InvalidParameterValue.TooLong",
    "InvalidParameterValue",
];
pub const CLIENT_TOKEN: Cause = &[
    "InvalidParameterValue.ClientTokenTooLong",
    "InvalidParameterValue",
];
pub const ZONE: Cause = &["InvalidParameterValue.InvalidZone", "InvalidParameterValue"];
pub const IP_FORMAT: Cause = &[
    "InvalidParameterValue.InvalidIpFormat",
    "InvalidParameterValue",
];
pub const BLUEPRINT_TYPE: Cause = &[
    "InvalidParameterValue.InvalidBlueprintType",
    "InvalidParameterValue",
];
pub const BLUEPRINT_STATE: Cause = &[
    "InvalidParameterValue.InvalidBlueprintState",
    "InvalidParameterValue",
];
pub const PLATFORM_TYPE: Cause = &[
    "InvalidParameterValue.InvalidBlueprintPlatformType",
    "InvalidParameterValue",
];
pub const QUOTA_NAME: Cause = &[
    "InvalidParameterValue.InvalidResourceQuotaResourceName",
    "InvalidParameterValue",
];
pub const CONFLICT: Cause = &["InvalidParameter.ParameterConflict", "InvalidParameter"];
pub const FILTER: Cause = &["InvalidParameter.InvalidFilter", "InvalidParameter"];
pub const FILTER_NAME: Cause = &[
    "InvalidParameter.InvalidFilterNotSupportedName",
    "InvalidParameter.InvalidFilterInvalidKey",
    "InvalidParameter.InvalidFilter",
    "InvalidParameter",
];
pub const FILTER_VALUES: Cause = &[
    "InvalidParameter.FilterValueLimitExceeded",
    "InvalidParameter.InvalidFilter",
    "InvalidParameter",
];
pub const ORDER_FIELD: Cause = &["MissingParameter.OrderFieldRequired", "MissingParameter"];
pub const MISSING: Cause = &["MissingParameter"];
pub const ISOLATE_LIMIT: Cause = &[
    "LimitExceeded.IsolateResourcesLimitExceeded",
    "LimitExceeded",
];
pub const KEY_PAIR: Cause = &["ResourceNotFound.KeyPairNotFound", "ResourceNotFound"];
pub const FIREWALL: Cause = &[
    "ResourceNotFound.FirewallTemplateNotFound",
    "ResourceNotFound",
];
pub const PASSWORD: Cause = &[
    "UnsupportedOperation.InstanceLinuxUnixCreatingNotSupportPassword",
    "UnsupportedOperation",
];
pub const MADE_PASSWORD: Cause = &[
    "UnsupportedOperation.OperationNotSupportAutoGeneratePassword",
    "UnsupportedOperation.InstanceLinuxUnixCreatingNotSupportPassword",
    "UnsupportedOperation",
];
pub const NOT_HERE: Cause = &["UnsupportedOperation"];

const NO_INSTANCE: Cause = &["ResourceNotFound.InstanceIdNotFound", "ResourceNotFound"];
const NO_DISK: Cause = &[
    "ResourceNotFound.DiskIdNotFound",
    "ResourceNotFound.DiskNotExists",
    "ResourceNotFound.DiskNotFound",
    "ResourceNotFound",
];
const NO_DISK_FILE: Cause = &[
    "ResourceNotFound.DiskNotFound",
    "ResourceNotFound.DiskNotExists",
    "FailedOperation.InstanceOperationFailed",
    "FailedOperation.CreateBlueprintFailed",
    "FailedOperation.IsolateResourcesFailed",
    "FailedOperation.DestroyResourcesFailed",
    "ResourceNotFound",
];
const NO_BLUEPRINT: Cause = &["ResourceNotFound.BlueprintIdNotFound", "ResourceNotFound"];
const NO_BLUEPRINT_FILE: Cause = &[
    "ResourceNotFound.BlueprintNotFound",
    "ResourceUnavailable.BlueprintUnavailable",
    "ResourceNotFound",
];
const NO_BUNDLE: Cause = &["InvalidParameter.BundleIdNotFound", "InvalidParameterValue"];
const NO_POINT: Cause = &[
    "ResourceNotFound.SnapshotIdNotFound",
    "ResourceNotFound.DiskBackupIdNotFound",
    "ResourceNotFound.DiskBackupNotExists",
    "ResourceNotFound",
];
const NO_POINT_FILE: Cause = &[
    "ResourceNotFound.SnapshotNotFound",
    "ResourceNotFound.DiskBackupNotFound",
    "ResourceNotFound.DiskBackupNotExists",
    "ResourceNotFound",
];
const OTHER_DISK: Cause = &[
    "ResourceNotFound.SnapshotNotFound",
    "UnsupportedOperation.ApplyDiskBackupToAnotherDisk",
    "UnsupportedOperation",
];
const INSTANCE_CREATING: Cause = &[
    "OperationDenied.InstanceCreating",
    "UnsupportedOperation.InvalidInstanceState",
    "UnsupportedOperation",
];
const INSTANCE_STATE: Cause = &[
    "UnsupportedOperation.InvalidInstanceState",
    "UnsupportedOperation",
];
/// The last operation that was asked of the instance is not over.
const INSTANCE_UNFINISHED: Cause = &[
    "UnsupportedOperation.LatestOperationUnfinished",
    "UnsupportedOperation.SnapshotBusy",
    "UnsupportedOperation.DiskBackupLatestOperationUnfinished",
    "UnsupportedOperation",
];
/// It is started, stopped, given a disk ...
const INSTANCE_IN_PROGRESS: Cause = &[
    "OperationDenied.InstanceOperationInProgress",
    "UnsupportedOperation.LatestOperationUnfinished",
    "UnsupportedOperation.SnapshotBusy",
    "UnsupportedOperation.DiskBackupLatestOperationUnfinished",
    "UnsupportedOperation",
];
/// Its disk is worked on; nothing was asked of the instance itself.
const SYSTEM_DISK_UNFINISHED: Cause = &[
    "UnsupportedOperation.DiskLatestOperationUnfinished",
    "UnsupportedOperation.LatestOperationUnfinished",
    "UnsupportedOperation.SnapshotBusy",
    "UnsupportedOperation.DiskBackupLatestOperationUnfinished",
    "UnsupportedOperation",
];
/// A data disk is made, attached or detached.
const DISK_IN_PROGRESS: Cause = &[
    "OperationDenied.DiskOperationInProgress",
    "OperationDenied.DiskBackupOperationInProgress",
    "UnsupportedOperation.LatestOperationUnfinished",
    "UnsupportedOperation",
];
/// A backup of a data disk is made, applied or deleted, or its chain shortened.
const DISK_BACKUP_WORK: Cause = &[
    "OperationDenied.DiskBusyForBackupOperation",
    "UnsupportedOperation.DiskLatestOperationUnfinished",
    "OperationDenied.DiskOperationInProgress",
    "UnsupportedOperation.DiskBackupLatestOperationUnfinished",
    "UnsupportedOperation.LatestOperationUnfinished",
    "UnsupportedOperation",
];
/// A job on a data disk is held.
const DISK_HELD: Cause = &[
    "UnsupportedOperation.LatestOperationUnfinished",
    "UnsupportedOperation.DiskBackupLatestOperationUnfinished",
    "UnsupportedOperation",
];
const DISK_CREATING: Cause = &[
    "OperationDenied.DiskCreating",
    "UnsupportedOperation.InvalidDiskState",
    "UnsupportedOperation",
];
const DISK_STATE: Cause = &[
    "UnsupportedOperation.InvalidDiskState",
    "UnsupportedOperation.DiskLatestOperationUnfinished",
    "UnsupportedOperation.InvalidInstanceState",
    "UnsupportedOperation",
];
const DISK_USAGE: Cause = &[
    "OperationDenied.DiskUsageNotSupportOperation",
    "UnsupportedOperation.InvalidDiskState",
    "UnsupportedOperation",
];
const DISK_OPEN: Cause = &[
    "UnsupportedOperation.DiskBusy",
    "OperationDenied.DiskBusyForBackupOperation",
    "UnsupportedOperation.InvalidDiskState",
    "FailedOperation.InstanceOperationFailed",
    "UnsupportedOperation.InvalidInstanceState",
    "UnsupportedOperation",
];
const DISK_SIZE: Cause = &[
    "InvalidParameterValue.DiskSizeNotMatch",
    "UnsupportedOperation.InvalidDiskState",
    "UnsupportedOperation",
];
const POINT_STATE: Cause = &[
    "UnsupportedOperation.InvalidSnapshotState",
    "UnsupportedOperation.InvalidDiskBackupState",
    "UnsupportedOperation",
];
const POINT_GOING: Cause = &[
    "UnsupportedOperation.SnapshotBusy",
    "OperationDenied.DiskBackupBusy",
    "OperationDenied.DiskBackupOperationInProgress",
    "UnsupportedOperation",
];
const BLUEPRINT_UNUSABLE: Cause = &[
    "ResourceUnavailable.BlueprintUnavailable",
    "ResourceUnavailable",
];
const BLUEPRINT_TOO_LARGE: Cause = &[
    "InvalidParameterValue.BundleAndBlueprintNotMatch",
    "InvalidParameterValue.BlueprintConfigNotMatch",
    "InvalidParameterValue",
];
/// Each operation has at most one of these.
const QUOTA: Cause = &[
    "LimitExceeded.SnapshotQuotaLimitExceeded",
    "LimitExceeded.DiskBackupQuotaLimitExceeded",
    "LimitExceeded.AttachDataDiskQuotaLimitExceeded",
    "LimitExceeded.BlueprintQuotaLimitExceeded",
    "LimitExceeded.InstanceQuotaLimitExceeded",
    "LimitExceeded",
];
const NO_STATUS: Cause = &[
    "FailedOperation.DescribeInstanceStatus",
    "InternalError.DescribeInstanceStatus",
    "FailedOperation",
];
/// Each operation that can fail so has one of these.
const FAILED: Cause = &[
    "FailedOperation.SnapshotOperationFailed",
    "OperationDenied.OperationDeniedCreateSnapshot",
    "FailedOperation.InstanceOperationFailed",
    "FailedOperation.UnableToCreateInstances",
    "FailedOperation.UnableToCreateBlueprint",
    "FailedOperation.IsolateResourcesFailed",
    "FailedOperation.DestroyResourcesFailed",
    "FailedOperation",
];
const BAD_REQUEST: Cause = &["InvalidParameterValue"];
const OTHER_REQUEST: Cause = &["InvalidParameter"];
const CONTENDED: Cause = &["UnsupportedOperation.SystemBusy", "InternalError"];
const NO_STORE: Cause = &["InternalError.DescribeInstanceStatus", "InternalError"];

/// An error of `operation`.
pub fn error(operation: &Operation, cause: Cause, message: impl Into<String>) -> SurfaceError {
    SurfaceError {
        code: code_of(operation, cause).to_owned(),
        message: message.into(),
        status: None,
    }
}

/// What `operation` answers to a refusal.
pub fn refused(operation: &Operation, refusal: &Refusal) -> SurfaceError {
    error(operation, cause(refusal), told(refusal))
}

/// Our fragments fit "failed to ..."; the vendor's clients show whole sentences.
pub fn told(refusal: &Refusal) -> String {
    format!("failed to {refusal} ({})", refusal.code())
}

/// The first code of a cause that `operation` may answer.
pub fn code_of(operation: &Operation, cause: Cause) -> &'static str {
    cause
        .iter()
        .copied()
        .find(|code| operation.may_answer(code))
        .unwrap_or("FailedOperation")
}

/// The code that the operation `name` answers to a refusal, if it is one of the
/// contract.
pub fn code_in(name: &str, refusal: &Refusal) -> Option<&'static str> {
    find(Service::Lighthouse, name).map(|o| code_of(o, cause(refusal)))
}

/// What a refusal is to the vendor.
pub fn cause(refusal: &Refusal) -> Cause {
    match refusal {
        Refusal::ServerNotFound(_) => NO_INSTANCE,
        Refusal::DiskNotFound(_) => NO_DISK,
        Refusal::BlueprintNotFound(_) => NO_BLUEPRINT,
        Refusal::BundleNotFound(_) => NO_BUNDLE,
        Refusal::SnapshotNotFound(_) => NO_POINT,
        Refusal::OtherDisk { .. } => OTHER_DISK,
        Refusal::ServerCreating(_) => INSTANCE_CREATING,
        Refusal::ServerState { .. } => INSTANCE_STATE,
        Refusal::ServerBusy { held: true, .. } => INSTANCE_UNFINISHED,
        Refusal::ServerBusy { kind, .. } => busy_server(*kind),
        Refusal::DiskBusy { held: true, .. } => DISK_HELD,
        Refusal::DiskBusy { kind, .. } => busy_disk(*kind),
        Refusal::DiskState {
            state: DiskState::Creating,
            ..
        } => DISK_CREATING,
        Refusal::DiskState {
            state: DiskState::Attaching | DiskState::Detaching,
            ..
        } => DISK_IN_PROGRESS,
        Refusal::DiskState { .. } => DISK_STATE,
        Refusal::DiskUsage { .. } => DISK_USAGE,
        Refusal::BlueprintState { .. } | Refusal::BlueprintUsed { .. } => BLUEPRINT_UNUSABLE,
        Refusal::Quota { .. } | Refusal::ChainFull { .. } => QUOTA,
        // Being deleted is no state that the vendor's snapshots have.
        Refusal::SnapshotState {
            state: SnapshotState::Deleting,
            ..
        } => POINT_GOING,
        Refusal::SnapshotState { .. } => POINT_STATE,
        Refusal::SizeChanged { .. } => DISK_SIZE,
        Refusal::InUse { .. } => DISK_OPEN,
        Refusal::NoDiskFile(_) => NO_DISK_FILE,
        Refusal::Disk(e) => match e {
            Disk::Missing { .. } => NO_DISK_FILE,
            Disk::PointMissing { .. } => NO_POINT_FILE,
            Disk::ImageMissing { .. } => NO_BLUEPRINT_FILE,
            Disk::ImageTooLarge { .. } => BLUEPRINT_TOO_LARGE,
            Disk::InUse { .. } | Disk::Busy { .. } => DISK_OPEN,
            _ => FAILED,
        },
        Refusal::Machine(Machine::Unanswered { .. }) => NO_STATUS,
        Refusal::Machine(Machine::ImageLocked { .. }) => DISK_OPEN,
        Refusal::NoSpace { .. } | Refusal::Machine(_) => FAILED,
        Refusal::Invalid(_)
        | Refusal::Ambiguous { .. }
        | Refusal::Taken(_)
        | Refusal::FileTaken { .. } => BAD_REQUEST,
        Refusal::IdempotencyMismatch => OTHER_REQUEST,
        Refusal::NotReversible { .. } => NOT_HERE,
        Refusal::Store(Store::Contended(_)) => CONTENDED,
        Refusal::Store(_) => NO_STORE,
    }
}

const fn busy_server(kind: Option<OperationKind>) -> Cause {
    use OperationKind as Kind;
    match kind {
        Some(
            Kind::Adopt
            | Kind::Create
            | Kind::Start
            | Kind::Stop
            | Kind::Reboot
            | Kind::Isolate
            | Kind::Terminate
            | Kind::Reset
            | Kind::Attach
            | Kind::Detach
            | Kind::Release,
        ) => INSTANCE_IN_PROGRESS,
        Some(Kind::CreateSnapshot | Kind::ApplySnapshot) | None => INSTANCE_UNFINISHED,
        Some(_) => SYSTEM_DISK_UNFINISHED,
    }
}

const fn busy_disk(kind: Option<OperationKind>) -> Cause {
    use OperationKind as Kind;
    match kind {
        Some(Kind::CreateSnapshot | Kind::ApplySnapshot | Kind::DeleteSnapshot | Kind::Compact) => {
            DISK_BACKUP_WORK
        }
        Some(Kind::AddDisk) => DISK_CREATING,
        _ => DISK_IN_PROGRESS,
    }
}

#[cfg(test)]
mod tests {
    use backout_core::ids::{InstanceId, JobId, OsEntropy};
    use backout_wire::operations_of;

    use super::*;

    fn busy(kind: Option<OperationKind>, held: bool) -> Refusal {
        Refusal::ServerBusy {
            server: InstanceId::random(&OsEntropy),
            job: JobId::random(&OsEntropy),
            kind,
            held,
        }
    }

    #[test]
    fn every_cause_ends_with_a_code_that_all_may_answer() {
        for cause in [
            INSTANCE_ID,
            SNAPSHOT_ID,
            DISK_ID,
            BACKUP_ID,
            BLUEPRINT_ID,
            KEY_PAIR_ID,
            FIREWALL_ID,
            TOO_MANY_VALUES,
            TWICE,
            NEGATIVE,
            OUT_OF_RANGE,
            VALUE,
            NAME_TOO_LONG,
            CLIENT_TOKEN,
            ZONE,
            IP_FORMAT,
            BLUEPRINT_TYPE,
            BLUEPRINT_STATE,
            PLATFORM_TYPE,
            QUOTA_NAME,
            CONFLICT,
            FILTER,
            FILTER_NAME,
            FILTER_VALUES,
            ORDER_FIELD,
            MISSING,
            ISOLATE_LIMIT,
            KEY_PAIR,
            FIREWALL,
            PASSWORD,
            MADE_PASSWORD,
            NOT_HERE,
            NO_INSTANCE,
            NO_DISK,
            NO_DISK_FILE,
            NO_BLUEPRINT,
            NO_BLUEPRINT_FILE,
            NO_BUNDLE,
            NO_POINT,
            NO_POINT_FILE,
            OTHER_DISK,
            INSTANCE_CREATING,
            INSTANCE_STATE,
            INSTANCE_UNFINISHED,
            INSTANCE_IN_PROGRESS,
            SYSTEM_DISK_UNFINISHED,
            DISK_IN_PROGRESS,
            DISK_BACKUP_WORK,
            DISK_HELD,
            DISK_CREATING,
            DISK_STATE,
            DISK_USAGE,
            DISK_OPEN,
            DISK_SIZE,
            POINT_STATE,
            POINT_GOING,
            BLUEPRINT_UNUSABLE,
            BLUEPRINT_TOO_LARGE,
            QUOTA,
            NO_STATUS,
            FAILED,
            BAD_REQUEST,
            OTHER_REQUEST,
            CONTENDED,
            NO_STORE,
        ] {
            for operation in operations_of(Service::Lighthouse) {
                let last = cause.last().expect("a cause has codes");
                assert!(operation.may_answer(last), "{last} of {cause:?}");
            }
            for code in cause {
                assert!(Service::Lighthouse.has_code(code), "{code}");
            }
        }
    }

    #[test]
    fn who_holds_an_instance_is_told() {
        use OperationKind as Kind;
        for (operation, refusal, expect) in [
            (
                "ApplyInstanceSnapshot",
                busy(Some(Kind::Stop), false),
                "OperationDenied.InstanceOperationInProgress",
            ),
            (
                "ApplyInstanceSnapshot",
                busy(Some(Kind::Stop), true),
                "UnsupportedOperation.LatestOperationUnfinished",
            ),
            (
                "ApplyInstanceSnapshot",
                busy(Some(Kind::ApplySnapshot), false),
                "UnsupportedOperation.LatestOperationUnfinished",
            ),
            (
                "ApplyInstanceSnapshot",
                busy(Some(Kind::DeleteSnapshot), false),
                "UnsupportedOperation.DiskLatestOperationUnfinished",
            ),
            (
                "CreateInstanceSnapshot",
                busy(Some(Kind::Attach), false),
                "UnsupportedOperation.LatestOperationUnfinished",
            ),
            (
                "StartInstances",
                busy(Some(Kind::CreateBlueprint), false),
                "UnsupportedOperation.LatestOperationUnfinished",
            ),
            (
                "DeleteSnapshots",
                busy(Some(Kind::ApplySnapshot), false),
                "UnsupportedOperation.SnapshotBusy",
            ),
            (
                "ApplyInstanceSnapshot",
                Refusal::Store(Store::Contended("two at once".into())),
                "UnsupportedOperation.SystemBusy",
            ),
            (
                "ApplyInstanceSnapshot",
                Refusal::Store(Store::corrupt("a row")),
                "InternalError.DescribeInstanceStatus",
            ),
            (
                "DeleteSnapshots",
                Refusal::Store(Store::corrupt("a row")),
                "InternalError",
            ),
            (
                "StopInstances",
                Refusal::Machine(Machine::Unanswered {
                    id: "m".into(),
                    pid: 1,
                    why: "silence".into(),
                }),
                "FailedOperation.DescribeInstanceStatus",
            ),
        ] {
            let known = find(Service::Lighthouse, operation).expect("known operation");
            assert_eq!(
                refused(known, &refusal).code,
                expect,
                "{operation} {refusal}"
            );
        }
    }
}
