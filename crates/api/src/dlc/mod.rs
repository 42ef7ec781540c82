//! Tencent Data Lake Compute, API version 2021-01-25: data engines and the
//! versions of their images.
//!
//! Everything that the vendor names is named here and nowhere below. What the
//! documentation leaves open is decided in SEMANTICS sections 2 and 6.
//!
//! | file | what is there |
//! |---|---|
//! | `mod` | the family: which operations, on what |
//! | `asked` | engines, pages, times and words of a call, checked |
//! | `codes` | which code a refusal is |
//! | `words` | the vendor's words and numbers for kinds, states, times and people |
//! | `images` | versions of images, switches, and the way back |
//! | `engines` | engines are made, shown, changed, suspended, and go |
//! | `lists` | the list of engines, and its filters |
//! | `settings` | parameters, settings of sessions, where results are kept |
//! | `history` | events, and sizes over time |

mod asked;
pub(crate) mod codes;
mod engines;
mod history;
mod images;
mod lists;
mod settings;
mod words;

use backout_core::ids::AccountId;
use backout_engines::Engines;
use backout_wire::{Call, Fault, Rejection};
use serde_json::Value;

use self::asked::Ask;
use crate::front::{Admitted, Refused, spelled_regions};
use crate::kept::{Body, Kept, body};

/// The parameters that name engines, by id or by name.
const NAMING: [&str; 4] = [
    "DataEngineId",
    "DataEngineIds",
    "DataEngineName",
    "DataEngineNames",
];

/// The operation that makes an engine: what it touches is not there yet.
const MAKING: &str = "CreateDataEngine";

/// Whether the operation `name` of this family is served: all are.
#[must_use]
pub fn serves(name: &str) -> bool {
    backout_wire::find(backout_wire::Service::Dlc, name).is_some()
}

/// The ids and names that a call names, for the audit trail.
#[must_use]
pub fn named_ids(call: &Call) -> Vec<String> {
    let mut out = Vec::new();
    for name in NAMING {
        match call.params.get(name) {
            Some(Value::String(one)) => out.push(one.trim().to_owned()),
            Some(Value::Array(several)) => out.extend(
                several
                    .iter()
                    .filter_map(Value::as_str)
                    .map(|one| one.trim().to_owned()),
            ),
            _ => {}
        }
    }
    out.retain(|one| !one.is_empty());
    out
}

/// The family.
pub struct Dlc {
    engines: Engines,
    kept: Kept,
}

impl Dlc {
    /// The family, over `engines`.
    #[must_use]
    pub fn new(engines: Engines) -> Self {
        Self {
            engines,
            kept: Kept::default(),
        }
    }

    /// The resources that a policy is asked about, each in its spellings: an
    /// engine by its id and by its name, as policies may name either; what
    /// nobody knows, and a call that names none, as one on all resources.
    pub async fn policy_resources(&self, call: &Call, owner: &AccountId) -> Vec<Vec<String>> {
        let region = call.region.as_deref().unwrap_or("");
        let mut named = Vec::new();
        let names = match call.operation.name == MAKING {
            true => Vec::new(),
            false => named_ids(call),
        };
        for wanted in names {
            named.push(match self.engines.get(owner, &wanted).await {
                Ok(engine) => [engine.id.as_str(), &engine.name]
                    .iter()
                    .flat_map(|name| spellings(region, owner, name))
                    .collect(),
                Err(_) => everything(region, owner),
            });
        }
        if named.is_empty() {
            named.push(everything(region, owner));
        }
        named
    }

    /// Does what an admitted call asks, and gives the members of its answer.
    ///
    /// # Errors
    /// The operation's own code, or a common one.
    pub async fn act(&self, admitted: &Admitted) -> Result<Body, Refused> {
        let ask = Ask(admitted);
        let kept = self.kept.at_unlimited(admitted, self.engines.version());
        match admitted.call.operation.name {
            "CheckDataEngineConfigPairsValidity" => {
                body(&self.check_data_engine_config_pairs_validity(ask).await?)
            }
            "CheckDataEngineImageCanBeRollback" => {
                body(&self.check_data_engine_image_can_be_rollback(ask).await?)
            }
            "CheckDataEngineImageCanBeUpgrade" => {
                body(&self.check_data_engine_image_can_be_upgrade(ask).await?)
            }
            "CreateDataEngine" => body(&self.create_data_engine(ask).await?),
            "DeleteDataEngine" => body(&self.delete_data_engine(ask).await?),
            "DescribeDataEngine" => kept.or(self.describe_data_engine(ask)).await,
            "DescribeDataEngineEvents" => kept.or(self.describe_data_engine_events(ask)).await,
            "DescribeDataEngineImageVersions" => {
                kept.or(self.describe_data_engine_image_versions(ask)).await
            }
            "DescribeDataEnginePythonSparkImages" => {
                kept.or(self.describe_data_engine_python_spark_images(ask))
                    .await
            }
            "DescribeDataEngineSessionParameters" => {
                kept.or(self.describe_data_engine_session_parameters(ask))
                    .await
            }
            "DescribeDataEngines" => kept.or(self.describe_data_engines(ask)).await,
            "DescribeDataEnginesScaleDetail" => {
                kept.or(self.describe_data_engines_scale_detail(ask)).await
            }
            "DescribeEngineUsageInfo" => body(&self.describe_engine_usage_info(ask).await?),
            "DescribeSessionImageVersion" => body(&self.describe_session_image_version(ask).await?),
            "DescribeUpdatableDataEngines" => {
                body(&self.describe_updatable_data_engines(ask).await?)
            }
            "DescribeUserDataEngineConfig" => {
                kept.or(self.describe_user_data_engine_config(ask)).await
            }
            "ModifyDataEngineDescription" => body(&self.modify_data_engine_description(ask).await?),
            "RenewDataEngine" => body(&self.renew_data_engine(ask).await?),
            "RestartDataEngine" => body(&self.restart_data_engine(ask).await?),
            "RollbackDataEngineImage" => body(&self.rollback_data_engine_image(ask).await?),
            "SuspendResumeDataEngine" => body(&self.suspend_resume_data_engine(ask).await?),
            "SwitchDataEngine" => body(&self.switch_data_engine(ask).await?),
            "SwitchDataEngineImage" => body(&self.switch_data_engine_image(ask).await?),
            "UpdateDataEngine" => body(&self.update_data_engine(ask).await?),
            "UpdateDataEngineConfig" => body(&self.update_data_engine_config(ask).await?),
            "UpdateUserDataEngineConfig" => body(&self.update_user_data_engine_config(ask).await?),
            "UpgradeDataEngineImage" => body(&self.upgrade_data_engine_image(ask).await?),
            other => Err(Rejection::new(Fault::NotServed, format!("{other} is not served")).into()),
        }
    }
}

/// Every way in which a policy may name an engine.
fn spellings(region: &str, owner: &AccountId, name: &str) -> Vec<String> {
    spelled_regions(region)
        .map(|region| format!("qcs::dlc:{region}:uin/{owner}:dataEngine/{name}"))
        .chain([format!("engine/{name}")])
        .collect()
}

/// Every way in which a policy may name all resources.
fn everything(region: &str, owner: &AccountId) -> Vec<String> {
    spelled_regions(region)
        .map(|region| format!("qcs::dlc:{region}:uin/{owner}:*"))
        .collect()
}
