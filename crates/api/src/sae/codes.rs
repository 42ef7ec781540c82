//! Which of the vendor's codes a refusal is (`docs/sae-errors.md` has the
//! causes).
//!
//! All codes are common to all operations of this vendor's service: a cause has
//! one code. A message is the vendor's own text for the code, with its gaps
//! filled, and what we know besides.

use backout_apps::{QuotaOf, Refusal};
use backout_core::code::Code;
use backout_wire::{Fault, Rejection, SurfaceError, sae_message};

use crate::front::Refused;

/// A parameter that must be there is absent or empty.
pub const EMPTY: &str = "InvalidParameter.NotEmpty";
/// A parameter is not of its form: no number, no JSON text.
pub const FORM: &str = "InvalidParameter.Obviously";
/// A parameter has a value that it does not take.
pub const VALUE: &str = "InvalidParameter.WithMessage";
/// There is no such application.
pub const NO_APPLICATION: &str = "InvalidApplication.NotFound";
/// There is no such namespace.
pub const NO_NAMESPACE: &str = "InvalidNamespaceId.NotFound";
/// The package is of no kind that there is.
pub const PACKAGE_TYPE: &str = "InvalidPackageType.NotFound";
/// A folder of logs is no absolute path.
pub const LOG_DIR: &str = "LogService.LogDirInvalid";

/// An error with the vendor's text for its code, and our own behind it.
pub fn error(code: &str, fillings: &[&str], detail: &str) -> Refused {
    let text = sae_message(code, fillings).unwrap_or_default();
    let message = match (text.is_empty(), detail.is_empty()) {
        (_, true) => text,
        (true, _) => detail.to_owned(),
        _ => format!("{text} {detail}"),
    };
    SurfaceError {
        code: code.to_owned(),
        message,
        status: None,
    }
    .into()
}

/// That a parameter has a value that it does not take.
pub fn value(parameter: &str, why: &str) -> Refused {
    error(VALUE, &[parameter, why], "")
}

/// That a parameter is not of its form.
pub fn form(parameter: &str, why: &str) -> Refused {
    error(FORM, &[parameter], why)
}

/// That a parameter is absent or empty.
pub fn empty(parameter: &str) -> Refused {
    error(EMPTY, &[parameter], "")
}

/// What is answered to parameters that do not fit the contract: the service's
/// own codes, where the gateway in front of it has none that tells as much.
pub fn parameter(rejection: Rejection) -> Refused {
    let Some(parameter) = rejection.parameter.clone() else {
        return rejection.into();
    };
    match rejection.fault {
        Fault::MissingParameter => empty(&parameter),
        Fault::InvalidParameter | Fault::InvalidParameterValue => {
            form(&parameter, &rejection.message)
        }
        _ => rejection.into(),
    }
}

/// What is answered to a refusal. Of several things that stand in the way the
/// first is told; the others are in its message.
pub fn refused(refusal: &Refusal) -> Refused {
    let first = refusal.first();
    let told = told(refusal);
    let of = |code: &str, fillings: &[&str]| error(code, fillings, &told);
    // Its text has room for what we know.
    let value = |parameter: &str| error(VALUE, &[parameter, &told], "");
    match first {
        Refusal::ApplicationNotFound(_) => of(NO_APPLICATION, &[]),
        Refusal::NamespaceNotFound(_) => of(NO_NAMESPACE, &[]),
        Refusal::VersionNotFound(_) => value("VersionId"),
        Refusal::ReplicaNotFound(_) => value("InstanceIds"),
        Refusal::OrderNotFound(_) | Refusal::OrderState { .. } => value("ChangeOrderId"),
        Refusal::OwnOrder(_) | Refusal::Unheard(_) | Refusal::NotReversible { .. } => {
            value("ChangeOrderId")
        }
        Refusal::BatchNotFound(_) => value("PipelineId"),
        Refusal::NotNow(_) => value("PipelineId"),
        Refusal::Taken(_, what) => value(match what.split(" of that ").next() {
            Some("namespace") => "NamespaceId",
            Some("scaling rule") => "ScalingRuleName",
            _ => "AppName",
        }),
        Refusal::NamespaceUsed(_) => value("NamespaceId"),
        Refusal::OrderRunning { .. } | Refusal::Busy { .. } => {
            of("Application.ChangerOrderRunning", &[])
        }
        Refusal::State { .. } => of("Application.InvalidStatus", &[]),
        Refusal::NotDeployed(_) => of("Application.NotDeployYet", &[]),
        Refusal::Barred { .. } | Refusal::PackageGone(_) => of("rollback.error", &[]),
        Refusal::Plan(e) => plan(e, &told),
        Refusal::Quota { of: what, most } => quota(*what, *most, &told),
        Refusal::InDebt => of("user.indebt", &[]),
        Refusal::Upgrading => of("System.Upgrading", &[]),
        Refusal::Empty(name) => of(EMPTY, &[parameter_of(name)]),
        Refusal::Parameter { name, .. } => value(parameter_of(name)),
        Refusal::PackageKindUnknown(_) => of(PACKAGE_TYPE, &[]),
        Refusal::ComponentMissing { kind, .. } => of(
            match *kind {
                "fat_jar" => "JarApplication.MissingJdk",
                "war" => "WarApplication.MissingJdkWebcontainer",
                _ => "Application.MissingJdk",
            },
            &[],
        ),
        Refusal::ComponentNone(_) | Refusal::ComponentNotFound { .. } => {
            of("InvalidComponent.NotFound", &[])
        }
        Refusal::HostInvalid { host, ip } => of("InvalidHostnameIp.Invalid", &[host, ip]),
        Refusal::SizeUnsupported {
            cpu_millis,
            memory_bytes,
        } => of(
            "InvalidInstanceSpecification.Unsupported",
            &[
                &cpu_millis.map(|n| n.to_string()).unwrap_or_default(),
                &memory_bytes
                    .map(|n| (n / MEBIBYTE).to_string())
                    .unwrap_or_default(),
            ],
        ),
        Refusal::ConfigMapNotFound(number) => of("NotFound.ConfigMap", &[&number.to_string()]),
        Refusal::ConfigMapKeyNotFound { number, key } => {
            of("NotFound.ConfigMapKey", &[key, &number.to_string()])
        }
        Refusal::MountConflict(path) => of("MountConflict.ConfigMap", &[path]),
        Refusal::VolumeConflict(_) => of("VolumnPath.Conflict", &[]),
        Refusal::LogFolderInvalid(_) => of(LOG_DIR, &[]),
        Refusal::PackageVersionTooLong { .. } => of("Package.Version.Too.Long", &[]),
        Refusal::PackageVersionTaken(_) => of("App.Package.Version.Exists", &[]),
        Refusal::PackageName { .. } => of("InvalidParameter.FileName", &[]),
        Refusal::SecretNotFound(_) | Refusal::SecretUsed { .. } => value("Envs"),
        Refusal::RuleNotFound(_) => value("ScalingRuleName"),
        Refusal::PackageSlow(_) => value("PackageUrl"),
        Refusal::PortTaken { .. } => value("PvtzDiscoverySvc"),
        Refusal::Workload(e) => workload(e.code(), &told),
        Refusal::Invalid(_) | Refusal::IdempotencyMismatch => error(FORM, &["request"], &told),
        Refusal::Elsewhere { .. } | Refusal::Store(_) => {
            Rejection::new(Fault::Unavailable, told).into()
        }
        Refusal::Secret(_) | Refusal::Blocked(_) => Rejection::new(Fault::Internal, told).into(),
    }
}

/// The vendor gives memory in this.
pub const MEBIBYTE: u64 = 1 << 20;

/// Our fragments fit "failed to ..."; the vendor's clients show whole sentences.
pub fn told(refusal: &Refusal) -> String {
    format!("failed to {refusal} ({})", refusal.code())
}

/// That an order cannot be laid out as it was asked for.
fn plan(refusal: &backout_rollout::Refusal, told: &str) -> Refused {
    use backout_rollout::Refusal as Plan;
    let value = |parameter: &str| error(VALUE, &[parameter, told], "");
    match refusal {
        Plan::Percent(_) => error("MinReadyInstanceRatio.Invalid", &[], told),
        Plan::FloorNotSmaller { .. } => error("MinReadyInstances.Not.Smaller.Replicas", &[], told),
        Plan::Count(_) => value("MinReadyInstances"),
        Plan::Batches { .. } | Plan::Gray { .. } => value("UpdateStrategy"),
        Plan::Wait(_) => value("BatchWaitTime"),
        Plan::NoRoom(_) => value("MaxSurgeInstances"),
        Plan::TooMany(_) => error(
            "NoComputeResourceQuota.App.Exceed",
            &[&backout_rollout::plan::INSTANCES_MAX.to_string()],
            told,
        ),
    }
}

/// That there would be more than there may be.
fn quota(of: QuotaOf, most: u64, told: &str) -> Refused {
    let most = most.to_string();
    match of {
        QuotaOf::ReplicasOfApplication => {
            error("NoComputeResourceQuota.App.Exceed", &[&most], told)
        }
        QuotaOf::ReplicasOfAccount => error("NoComputeResourceQuota.User.Exceed", &[&most], told),
        QuotaOf::Processor | QuotaOf::Memory => error("NoComputeResourceQuota.Exceed", &[], told),
        QuotaOf::Applications => error(VALUE, &["AppName", told], ""),
        QuotaOf::Namespaces => error(VALUE, &["NamespaceId", told], ""),
        QuotaOf::ConfigMaps => error(VALUE, &["ConfigMapMountDesc", told], ""),
        QuotaOf::Secrets => error(VALUE, &["Envs", told], ""),
        QuotaOf::Rules => error(VALUE, &["ScalingRuleName", told], ""),
        QuotaOf::Tags => error(VALUE, &["Tags", told], ""),
    }
}

/// That a driver said no.
fn workload(code: Code, told: &str) -> Refused {
    match code {
        Code::PackageRefused | Code::PackageUnreachable | Code::PackageMissing => {
            error(VALUE, &["PackageUrl", told], "")
        }
        Code::ImageMissing => error(VALUE, &["ImageUrl", told], ""),
        Code::LimitsUnavailable => error("NoComputeResourceQuota.Exceed", &[], told),
        Code::InstanceState => error("Application.InvalidStatus", &[], told),
        Code::BadRequest => error(FORM, &["request"], told),
        _ => Rejection::new(Fault::Internal, told).into(),
    }
}

/// The vendor's parameter for what the product calls so.
fn parameter_of(name: &'static str) -> &'static str {
    PARAMETERS
        .iter()
        .find(|(ours, _)| *ours == name)
        .map_or(name, |(_, theirs)| theirs)
}

/// What the product calls its parameters, and the vendor's names of them.
const PARAMETERS: &[(&str, &str)] = &[
    ("rule name", "ScalingRuleName"),
    ("rule", "ScalingRuleType"),
    ("replicas of the rule", "ScalingRuleMetric"),
    ("targets of the rule", "ScalingRuleMetric"),
    ("target of the rule", "ScalingRuleMetric"),
    ("pace of the rule", "ScalingRuleMetric"),
    ("timer of the rule", "ScalingRuleTimer"),
    ("application", "AppId"),
    ("name of the application", "AppName"),
    ("version", "VersionId"),
    ("namespace", "NamespaceId"),
    ("name of the namespace", "NamespaceName"),
    ("description", "AppDescription"),
    ("command", "Command"),
    ("environment", "Envs"),
    ("grace", "TerminationGracePeriodSeconds"),
    ("port", "PvtzDiscoverySvc"),
    ("image", "ImageUrl"),
    ("package version", "PackageVersion"),
    ("files", "ConfigMapMountDesc"),
    ("path of a file", "ConfigMapMountDesc"),
    ("replicas", "Replicas"),
    ("labels", "Tags"),
    ("key of a label", "Tags"),
    ("value of a label", "Tags"),
    ("applications", "ResourceIds"),
    ("name", "AppName"),
];
