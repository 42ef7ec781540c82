//! Which of the vendor's codes a refusal is (`docs/dlc-errors.md` has the
//! causes).
//!
//! The vendor gives one condition different codes in different operations. So a
//! cause names its codes, the most telling first, and an operation answers the
//! first that is its own; where it has none, the first that is common to all.
//! No operation ever answers a code that is neither.

use backout_engines::parameters::BadValue;
use backout_engines::{Damage, Refusal};
use backout_wire::{Fault, Operation, Rejection, SurfaceError};

use crate::front::Refused;

/// The codes of a condition, the most telling first, and the condition in terms
/// that are common to all operations.
#[derive(Clone, Copy, Debug)]
pub struct Cause(&'static [&'static str], Fault);

/// The codes that operations have of their own for what a policy does not
/// allow, the most telling first.
pub const NO_PERMISSION: [&str; 8] = [
    "FailedOperation.NoPermissionToUseTheDataEngine",
    "UnauthorizedOperation.DeleteComputingEngine",
    "UnauthorizedOperation.ModifyComputingEngine",
    "UnauthorizedOperation.MonitorComputingEngine",
    "UnauthorizedOperation.OperateComputingEngine",
    "UnauthorizedOperation.RenewComputingEngine",
    "UnauthorizedOperation.UnauthorizedOperationCode_NoEngineCamPermissions",
    "FailedOperation.NoPermission",
];

// ---- what is asked ----

/// A parameter that must be given is absent or empty.
pub const MISSING: Cause = Cause(
    &["InvalidParameter.ParameterNotFoundOrBeNone"],
    Fault::MissingParameter,
);
/// A parameter has a form that it does not take: too long, a page that there is
/// not.
pub const FORM: Cause = Cause(
    &[
        "InvalidParameter",
        "FailedOperation.ParameterValidationFailed",
    ],
    Fault::InvalidParameter,
);
/// A parameter is none of the words or numbers that it takes.
pub const VALUE: Cause = Cause(
    &[
        "FailedOperation.ParameterValidationFailed",
        "InvalidParameterValue",
        "InvalidParameter",
    ],
    Fault::InvalidParameterValue,
);
/// A name cannot be looked for in any store: it has control characters.
pub const SQL: Cause = Cause(
    &[
        "InvalidParameter.InvalidDataEngineName",
        "InvalidParameter.InvalidSQL",
        "InvalidParameter",
    ],
    Fault::InvalidParameter,
);
/// The same of a text that names no engine.
pub const SQL_TEXT: Cause = Cause(
    &[
        "InvalidParameter.InvalidSQL",
        "InvalidParameter",
        "FailedOperation.ParameterValidationFailed",
    ],
    Fault::InvalidParameter,
);
/// A name that no engine can have.
pub const NAME: Cause = Cause(
    &["InvalidParameter.InvalidDataEngineName", "InvalidParameter"],
    Fault::InvalidParameter,
);
/// A name that is empty.
pub const NO_NAME: Cause = Cause(
    &[
        "InvalidParameter.ParameterNotFoundOrBeNone",
        "InvalidParameter.InvalidDataEngineName",
        "InvalidParameter",
    ],
    Fault::MissingParameter,
);
/// A description is too long.
pub const DESCRIPTION: Cause = Cause(
    &[
        "InvalidParameter.InvalidDataEngineDescription",
        "FailedOperation.ParameterValidationFailed",
        "InvalidParameter",
    ],
    Fault::InvalidParameter,
);
/// More things are named than one call takes.
pub const TOO_MANY: Cause = Cause(
    &["FailedOperation.TooManyResources", "InvalidParameter"],
    Fault::InvalidParameter,
);
/// A list cannot be ordered by that.
pub const SORT: Cause = Cause(
    &[
        "InvalidParameter.DescribeDataEnginesSortByTypeNotMatch",
        "InvalidParameterValue",
        "InvalidParameter",
    ],
    Fault::InvalidParameterValue,
);
/// A text is no time.
pub const TIME: Cause = Cause(
    &["InvalidParameter.InvalidTimeFormat", "InvalidParameter"],
    Fault::InvalidParameter,
);
/// A time ends before it begins.
pub const TIMES: Cause = Cause(
    &["InvalidParameter.InvalidTimeParameter", "InvalidParameter"],
    Fault::InvalidParameter,
);
/// What this server cannot do, whatever is asked.
pub const NOT_HERE: Cause = Cause(&["UnsupportedOperation"], Fault::InvalidParameterValue);

// ---- of a new engine, or one that is changed ----

/// There is no such kind of engine.
pub const ENGINE_TYPE: Cause = Cause(
    &[
        "InvalidParameter.InvalidEngineType",
        "InvalidParameter.ImageEngineTypeNotMatch",
        "InvalidParameter",
    ],
    Fault::InvalidParameterValue,
);
/// The resources of a cluster are none that there are, or not of that kind.
pub const SPECS: Cause = Cause(
    &["InvalidParameter.InvalidDataEngineSpecs"],
    Fault::InvalidParameterValue,
);
/// A size is out of range.
pub const SIZE: Cause = Cause(
    &[
        "InvalidParameter.DataEngineSizeNotMatch",
        "InvalidParameter.InvalidDataEngineSpecs",
    ],
    Fault::InvalidParameterValue,
);
/// The fewest clusters are more than the most.
pub const CLUSTERS: Cause = Cause(
    &[
        "InvalidParameter.InvalidMinClusters",
        "InvalidParameter.InvalidDataEngineSpecs",
    ],
    Fault::InvalidParameterValue,
);
/// There is no such mode.
pub const MODE: Cause = Cause(
    &["InvalidParameter.InvalidDataEngineMode"],
    Fault::InvalidParameterValue,
);
/// There is no such way to pay.
pub const PAY_MODE: Cause = Cause(
    &["InvalidParameter.InvalidPayMode"],
    Fault::InvalidParameterValue,
);
/// The mode, the way to pay and the unit of time contradict each other.
pub const MODES: Cause = Cause(
    &["InvalidParameter.DataEngineModeNotMatch"],
    Fault::InvalidParameterValue,
);
/// A length of time is none.
pub const TIME_SPAN: Cause = Cause(
    &["InvalidParameter.InvalidTimeSpan"],
    Fault::InvalidParameterValue,
);
/// A unit of time is none.
pub const TIME_UNIT: Cause = Cause(
    &["InvalidParameter.InvalidTimeUnit"],
    Fault::InvalidParameterValue,
);
/// A range of addresses is none.
pub const CIDR: Cause = Cause(
    &["InvalidParameter.InvalidDataEngineCidrFormat"],
    Fault::InvalidParameter,
);
/// A timed change has fewer clusters than none, or more than its most.
pub const ELASTIC_CLUSTERS: Cause = Cause(
    &["InvalidParameter.InvalidScheduledElasticityMinElasticClusters"],
    Fault::InvalidParameterValue,
);
/// A label has no key, or one with control characters.
pub const TAG_KEY: Cause = Cause(
    &["FailedOperation.IllegalTagKey"],
    Fault::InvalidParameterValue,
);
/// A label has a value with control characters.
pub const TAG_VALUE: Cause = Cause(
    &["FailedOperation.IllegalTagValue"],
    Fault::InvalidParameterValue,
);
/// The key of a label is too long.
pub const TAG_KEY_LENGTH: Cause = Cause(
    &["FailedOperation.TagKeyTooLong"],
    Fault::InvalidParameterValue,
);
/// The value of a label is too long.
pub const TAG_VALUE_LENGTH: Cause = Cause(
    &["FailedOperation.TagValueTooLong"],
    Fault::InvalidParameterValue,
);
/// Two labels have one key.
pub const TAG_TWICE: Cause = Cause(
    &["FailedOperation.DuplicateTagKey"],
    Fault::InvalidParameterValue,
);
/// There are too many labels.
pub const TAGS: Cause = Cause(
    &["FailedOperation.BindTooManyTags"],
    Fault::InvalidParameterValue,
);
/// The settings of sessions do not go with the kind of the engine.
pub const TEMPLATE_KIND: Cause = Cause(
    &[
        "ResourceNotFound.DataEngineTypeOnlySupportBatch",
        "FailedOperation.ParameterValidationFailed",
        "InvalidParameter",
    ],
    Fault::InvalidParameterValue,
);
/// The settings of sessions are none that there are.
pub const TEMPLATE: Cause = Cause(
    &[
        "InvalidParameter.InvalidDataEngineConfigPairs",
        "FailedOperation.ParameterValidationFailed",
        "InvalidParameter",
    ],
    Fault::InvalidParameterValue,
);
/// A framework is none that there is.
pub const FRAMEWORK: Cause = Cause(
    &["InvalidParameter.InvalidConfigValueRegexpNotMatch"],
    Fault::InvalidParameterValue,
);

// ---- what there is ----

/// There is no engine of this id or name. An operation that has no code for
/// that calls the name wrong, or answers the common one.
const NO_ENGINE: Cause = Cause(
    &[
        "ResourceNotFound.DataEngineNotFound",
        "ResourceNotFound",
        "InvalidParameter.InvalidDataEngineName",
    ],
    Fault::InvalidParameter,
);
/// One engine has this id, and another this name.
const TWO_ENGINES: Cause = Cause(
    &[
        "ResourceNotFound.DataEngineNotUnique",
        "InvalidParameter.InvalidDataEngineName",
        "InvalidParameter",
    ],
    Fault::InvalidParameter,
);
const TAKEN: Cause = Cause(
    &["InvalidParameter.DuplicateDataEngineName"],
    Fault::InvalidParameterValue,
);
const NO_IMAGE: Cause = Cause(
    &["ResourceNotFound.ImageVersionNotFound", "ResourceNotFound"],
    Fault::InvalidParameter,
);
const TWO_IMAGES: Cause = Cause(
    &[
        "ResourceNotFound.ImageVersionNotUnique",
        "ResourceNotFound.ImageVersionNotFound",
        "ResourceNotFound",
    ],
    Fault::InvalidParameter,
);
const IMAGE_STATE: Cause = Cause(
    &[
        "ResourceNotFound.ImageVersionNotActivity",
        "ResourceNotFound.ImageVersionNotFound",
        "ResourceNotFound",
    ],
    Fault::InvalidParameter,
);
/// The version is for another kind of engine.
const IMAGE_KIND: Cause = Cause(
    &[
        "InvalidParameter.ImageEngineTypeNotMatch",
        "InvalidParameter",
    ],
    Fault::InvalidParameter,
);
/// The version is at another level of the catalogue than the parameter means.
pub const IMAGE_LEVEL: Cause = Cause(
    &[
        "InvalidParameter.ImageUserRecordsTypeNotMatch",
        "InvalidParameter",
    ],
    Fault::InvalidParameter,
);
/// The engine runs that version already.
const SAME_IMAGE: Cause = Cause(&["UnsupportedOperation"], Fault::InvalidParameterValue);
/// There is no newer minor version.
const NOTHING_NEWER: Cause = Cause(
    &["ResourceNotFound.ImageVersionNotFound"],
    Fault::InvalidParameterValue,
);
/// The last record is none that could be taken back, or not the one that was
/// given.
const NO_WAY_BACK: Cause = Cause(
    &[
        "InvalidParameter.DataEngineImageOperateNotMatch",
        "UnsupportedOperation",
    ],
    Fault::InvalidParameterValue,
);
/// Engines like this one have no versions that could be changed.
const FIXED: Cause = Cause(
    &[
        "ResourceNotFound.DataEngineNotMultiVersion",
        "UnsupportedOperation",
    ],
    Fault::InvalidParameterValue,
);
/// A job works on the engine, or is held on it: it is shown as not running.
pub const BUSY: Cause = Cause(
    &[
        "FailedOperation.AnotherProcessRunning",
        "InvalidParameter.InstanceInProcess",
        "ResourceNotFound.DataEngineNotActivity",
        "ResourceInUse",
    ],
    Fault::Internal,
);
/// The engine is suspended, has failed, or is being made or taken away.
const STATE: Cause = Cause(
    &[
        "ResourceNotFound.DataEngineNotRunning",
        "ResourceNotFound.DataEngineNotActivity",
        "FailedOperation.DeleteDataEngineFailed",
        "FailedOperation.ModifyInstanceFailed",
        "UnsupportedOperation",
    ],
    Fault::Internal,
);
const QUOTA: Cause = Cause(
    &["FailedOperation.NumberExceedLimit", "LimitExceeded"],
    Fault::Internal,
);
/// The engine's jobs run on another host, which must be asked.
const ELSEWHERE: Cause = Cause(&["ResourceUnavailable"], Fault::Internal);

// ---- parameters of versions ----

/// The version has no such parameter.
const NO_PARAMETER: Cause = Cause(
    &[
        "InvalidParameter.InvalidWhiteListKey",
        "InvalidParameter.ImageParameterNotFound",
        "InvalidParameter",
    ],
    Fault::InvalidParameter,
);
/// Nothing is set, and the version has no default.
const UNSET_PARAMETER: Cause = Cause(
    &[
        "InvalidParameter.ImageParameterNotFound",
        "InvalidParameter.ParameterNotFoundOrBeNone",
        "InvalidParameter",
    ],
    Fault::InvalidParameter,
);
/// It is not the user's to set.
const HOUSE_PARAMETER: Cause = Cause(
    &[
        "InvalidParameter.ImageParameterSubmitMethodNotMatch",
        "FailedOperation.ParameterValidationFailed",
        "InvalidParameter",
    ],
    Fault::InvalidParameter,
);
/// Its values are of another type.
const PARAMETER_TYPE: Cause = Cause(
    &[
        "InvalidParameter.ImageParameterTypeNotMatch",
        "FailedOperation.ParameterValidationFailed",
        "InvalidParameter",
    ],
    Fault::InvalidParameter,
);
/// It does not take this value.
const PARAMETER_VALUE: Cause = Cause(
    &[
        "InvalidParameter.InvalidDataEngineConfigPairs",
        "FailedOperation.ParameterValidationFailed",
        "InvalidParameter",
    ],
    Fault::InvalidParameter,
);
/// It is set twice.
const PARAMETER_TWICE: Cause = Cause(
    &[
        "InvalidParameter.DataEngineConfigPairsDuplicate",
        "FailedOperation.ParameterValidationFailed",
        "InvalidParameter",
    ],
    Fault::InvalidParameter,
);

// ---- what is damaged ----

const IMAGE_PUBLIC: Cause = damaged(&[
    "InvalidParameter.ImageIsPublicNotMatch",
    "InternalError.InternalSystemException",
    "InternalError",
]);
const IMAGE_STATE_WORD: Cause = damaged(&[
    "InvalidParameter.ImageStateNotMatch",
    "InternalError.InternalSystemException",
    "InternalError",
]);
const IMAGE_KIND_WORD: Cause = damaged(&[
    "InvalidParameter.ImageEngineTypeNotMatch",
    "InternalError.InternalSystemException",
    "InternalError",
]);
const IMAGE_CLUSTER: Cause = damaged(&[
    "InvalidParameter.ImageClusterParametersFormatNotJson",
    "InternalError.InternalSystemException",
    "InternalError",
]);
const IMAGE_SESSION: Cause = damaged(&[
    "InvalidParameter.ImageSessionParametersFormatNotJson",
    "InternalError.InternalSystemException",
    "InternalError",
]);
const EXEC_TYPE: Cause = damaged(&[
    "InvalidParameter.DataEngineExecTypeNotMatch",
    "InvalidParameter.ImageEngineTypeNotMatch",
    "InternalError.InternalSystemException",
    "InternalError",
]);
const PAID: Cause = damaged(&[
    "InvalidParameter.DataEnginePayModeTypeNotMatch",
    "InternalError.InternalSystemException",
    "InternalError",
]);
const USES: Cause = damaged(&[
    "InvalidParameter.ImageUserRecordsTypeNotMatch",
    "InternalError.InternalSystemException",
    "InternalError",
]);
const OPERATION: Cause = damaged(&[
    "InvalidParameter.DataEngineImageOperateNotMatch",
    "InternalError.InternalSystemException",
    "InternalError",
]);
const NO_CONFIG: Cause = damaged(&[
    "ResourceNotFound.DataEngineConfigInstanceNotFound",
    "InternalError.DBError",
    "InternalError.InternalSystemException",
    "InternalError",
]);
const TWO_CONFIGS: Cause = damaged(&[
    "ResourceNotFound.DataEngineConfigInstanceNotUnique",
    "InternalError.DBError",
    "InternalError.InternalSystemException",
    "InternalError",
]);
const NO_SESSION_CONFIG: Cause = damaged(&[
    "ResourceNotFound.ImageSessionConfigNotFound",
    "InternalError.DBError",
    "InternalError.InternalSystemException",
    "InternalError",
]);
const TWO_SESSION_CONFIGS: Cause = damaged(&[
    "ResourceNotFound.ImageSessionConfigNotUnique",
    "InternalError.DBError",
    "InternalError.InternalSystemException",
    "InternalError",
]);

const fn damaged(codes: &'static [&'static str]) -> Cause {
    Cause(codes, Fault::Internal)
}

// ---- what failed ----

/// What the version needs is not on this host, or this host cannot do it.
const HOST: Cause = Cause(
    &[
        "FailedOperation.CreateDataEngineFailed",
        "FailedOperation.ModifyInstanceFailed",
        "FailedOperation",
    ],
    Fault::Internal,
);
/// The store did not answer, or what it holds cannot be read.
const STORE: Cause = Cause(
    &[
        "InternalError.DBError",
        "InternalError.InternalSystemException",
        "InternalError",
    ],
    Fault::Unavailable,
);
const INTERNAL: Cause = Cause(
    &["InternalError.InternalSystemException", "InternalError"],
    Fault::Internal,
);

/// The error of `operation` for a condition.
pub fn error(operation: &Operation, cause: Cause, message: impl Into<String>) -> Refused {
    let message = message.into();
    match code_of(operation, cause) {
        Some(code) => SurfaceError {
            code: code.to_owned(),
            message,
            status: None,
        }
        .into(),
        None => Rejection::new(cause.1, message).into(),
    }
}

/// The first code of a cause that is one of `operation`'s own; else the first
/// that all operations may answer.
fn code_of(operation: &Operation, cause: Cause) -> Option<&'static str> {
    let codes = cause.0.iter().copied();
    let own = codes.clone().find(|code| operation.errors.contains(code));
    own.or_else(|| codes.clone().find(|code| operation.may_answer(code)))
}

/// What `operation` answers to a refusal.
pub fn refused(operation: &Operation, refusal: &Refusal) -> Refused {
    error(operation, cause(refusal), told(refusal))
}

/// What is answered to a call without a parameter that it must have: what all
/// operations of this family answer to one that is empty.
pub fn parameter(operation: Option<&'static Operation>, rejection: Rejection) -> Refused {
    match (operation, rejection.fault) {
        (Some(operation), Fault::MissingParameter) => error(operation, MISSING, rejection.message),
        _ => rejection.into(),
    }
}

/// Our fragments fit "failed to ..."; the vendor's clients show whole sentences.
fn told(refusal: &Refusal) -> String {
    format!("failed to {refusal} ({})", refusal.code())
}

/// What a refusal is to the vendor.
fn cause(refusal: &Refusal) -> Cause {
    match refusal {
        Refusal::EngineNotFound(_) => NO_ENGINE,
        Refusal::EngineNotUnique(_) => TWO_ENGINES,
        Refusal::ImageNotFound(_) => NO_IMAGE,
        Refusal::ImageNotUnique(_) => TWO_IMAGES,
        Refusal::Taken(_) => TAKEN,
        Refusal::State { .. } => STATE,
        Refusal::Busy { .. } => BUSY,
        Refusal::Fixed { .. } => FIXED,
        Refusal::ImageNotOnline { .. } => IMAGE_STATE,
        Refusal::ImageKind { .. } => IMAGE_KIND,
        Refusal::SameImage { .. } => SAME_IMAGE,
        Refusal::NothingNewer(_) => NOTHING_NEWER,
        Refusal::NoWayBack { .. } | Refusal::OtherRecords { .. } => NO_WAY_BACK,
        Refusal::Parameter(bad) => bad_value(bad),
        Refusal::ParameterTwice(_) => PARAMETER_TWICE,
        Refusal::Image { damage, .. } | Refusal::Record { damage, .. } => damage_of(damage),
        Refusal::Unavailable { .. } | Refusal::Plan(_) | Refusal::Host(_) => HOST,
        Refusal::Quota { .. } => QUOTA,
        Refusal::Invalid(_) | Refusal::IdempotencyMismatch | Refusal::NoEntry(_) => FORM,
        Refusal::Elsewhere { .. } => ELSEWHERE,
        Refusal::Store(_) => STORE,
    }
}

const fn bad_value(bad: &BadValue) -> Cause {
    match bad {
        BadValue::Unknown(_) => NO_PARAMETER,
        BadValue::Missing(_) => UNSET_PARAMETER,
        BadValue::Internal(_) => HOUSE_PARAMETER,
        BadValue::Type { .. } => PARAMETER_TYPE,
        BadValue::NotAllowed { .. } | BadValue::TooLong { .. } => PARAMETER_VALUE,
    }
}

const fn damage_of(damage: &Damage) -> Cause {
    match damage {
        Damage::ImageKind(_) => IMAGE_KIND_WORD,
        Damage::ImagePublic(_) => IMAGE_PUBLIC,
        Damage::ImageState(_) => IMAGE_STATE_WORD,
        Damage::ImageExecType(_) | Damage::EngineExecType(_) => EXEC_TYPE,
        Damage::ClusterParameters(_) => IMAGE_CLUSTER,
        Damage::SessionParameters(_) => IMAGE_SESSION,
        Damage::EnginePayMode(_) => PAID,
        Damage::UseKind(_) | Damage::Uses(_) => USES,
        Damage::Operation(_) => OPERATION,
        Damage::ConfigMissing => NO_CONFIG,
        Damage::ConfigTwice => TWO_CONFIGS,
        Damage::SessionConfigMissing => NO_SESSION_CONFIG,
        Damage::SessionConfigTwice => TWO_SESSION_CONFIGS,
        Damage::ImageOther(_) | Damage::Config(_) => INTERNAL,
    }
}

#[cfg(test)]
mod tests {
    use backout_core::ids::{EngineId, JobId, OsEntropy, RecordId};
    use backout_engines::model::{EngineState, Kind};
    use backout_wire::{Protocol, Service, operations_of};

    use super::*;

    fn damages() -> Vec<Damage> {
        let text = || "x".to_owned();
        vec![
            Damage::ImageKind(text()),
            Damage::ImagePublic(text()),
            Damage::ImageState(text()),
            Damage::ImageExecType(text()),
            Damage::ClusterParameters(text()),
            Damage::SessionParameters(text()),
            Damage::ImageOther(text()),
            Damage::EngineExecType(text()),
            Damage::EnginePayMode(7),
            Damage::UseKind(7),
            Damage::Uses("x"),
            Damage::Operation(text()),
            Damage::ConfigMissing,
            Damage::ConfigTwice,
            Damage::SessionConfigMissing,
            Damage::SessionConfigTwice,
            Damage::Config(text()),
        ]
    }

    fn refusals() -> Vec<Refusal> {
        let text = || "x".to_owned();
        let engine = || EngineId::random(&OsEntropy);
        let record = || RecordId::random(&OsEntropy);
        let mut out = vec![
            Refusal::EngineNotFound(text()),
            Refusal::EngineNotUnique(text()),
            Refusal::ImageNotFound(text()),
            Refusal::ImageNotUnique(text()),
            Refusal::Taken(text()),
            Refusal::State {
                action: "switch",
                engine: engine(),
                state: EngineState::Suspended,
                hint: "x",
            },
            Refusal::Busy {
                engine: engine(),
                job: JobId::random(&OsEntropy),
            },
            Refusal::Fixed {
                engine: engine(),
                why: "x",
            },
            Refusal::ImageNotOnline {
                version: text(),
                state: "offline",
            },
            Refusal::ImageKind {
                version: text(),
                kind: Kind::SparkSql,
                other: text(),
            },
            Refusal::SameImage {
                engine: engine(),
                version: text(),
            },
            Refusal::NothingNewer(engine()),
            Refusal::NoWayBack {
                engine: engine(),
                why: "x",
            },
            Refusal::OtherRecords {
                engine: engine(),
                given: text(),
                from: record(),
                to: record(),
            },
            Refusal::Parameter(BadValue::Unknown(text())),
            Refusal::Parameter(BadValue::Internal(text())),
            Refusal::Parameter(BadValue::Missing(text())),
            Refusal::ParameterTwice(text()),
            Refusal::NoEntry(text()),
            Refusal::Unavailable {
                version: text(),
                why: text(),
            },
            Refusal::Quota {
                what: "engines",
                most: 7,
            },
            Refusal::Invalid(text()),
            Refusal::Elsewhere {
                engine: engine(),
                node: text(),
            },
            Refusal::IdempotencyMismatch,
            Refusal::Host(text()),
            Refusal::Store(backout_store::Error::corrupt("x")),
        ];
        for damage in damages() {
            out.push(match damage.is_of_image() {
                true => Refusal::Image {
                    version: text(),
                    damage,
                },
                false => Refusal::Record {
                    engine: engine(),
                    damage,
                },
            });
        }
        out
    }

    /// Whatever the reason, an operation answers a code of its own, or one that
    /// is common to all.
    #[test]
    fn every_cause_has_a_code_that_may_be_answered() {
        for operation in operations_of(Service::Dlc) {
            for refusal in refusals() {
                let code = match refused(operation, &refusal) {
                    Refused::Surface(error) => error.code,
                    Refused::Rejected(rejection) => rejection.fault.code(Protocol::Tc3),
                };
                assert!(
                    operation.may_answer(&code),
                    "{} answers {code} to {refusal:?}",
                    operation.name
                );
            }
        }
    }

    /// Each damage has a code of its own in a switch, but for two that no code
    /// is about and one that a switch does not list.
    #[test]
    fn damages_are_told_apart() {
        let switch = backout_wire::find(Service::Dlc, "SwitchDataEngineImage");
        let switch = switch.expect("an operation of the contract");
        let plain: Vec<Damage> = damages()
            .into_iter()
            .filter(|d| {
                code_of(switch, damage_of(d)) == Some("InternalError.InternalSystemException")
            })
            .collect();
        let text = || "x".to_owned();
        assert_eq!(
            plain,
            [
                Damage::ImageOther(text()),
                Damage::Operation(text()),
                Damage::Config(text())
            ]
        );
    }
}
