//! Alibaba Serverless App Engine, API version 2019-05-06.
//!
//! Everything that the vendor names is named here and nowhere below. What the
//! documentation leaves open is decided in SEMANTICS section 1, and told in
//! `docs/sae-parameters.md`.
//!
//! | file | what is there |
//! |---|---|
//! | `mod` | the family: which operations, on what |
//! | `asked` | ids, pages and namespaces of a call, checked |
//! | `codes` | which code a refusal is |
//! | `words` | the vendor's words and numbers for states, kinds and times |
//! | `texts` | the JSON texts that parameters hold |
//! | `how` | floors, batches and waits |
//! | `release` | what is to be deployed, and what was |
//! | `changes` | calls that change applications |
//! | `orders` | change orders, their batches, and what is said to them |
//! | `applications` | applications, their versions and replicas |
//! | `rules` | scaling rules as texts |
//! | `scaling` | scaling rules |
//! | `namespaces` | namespaces |
//! | `catalog` | regions, tags, events and statistics |

mod applications;
mod asked;
mod catalog;
mod changes;
pub(crate) mod codes;
mod how;
mod namespaces;
mod orders;
mod release;
mod rules;
mod scaling;
mod texts;
mod words;

use backout_apps::Apps;
use backout_core::ids::AccountId;
use backout_wire::{Call, Fault, Rejection};
use serde_json::Value;

use self::asked::{Ask, DEFAULT_NAMESPACE};
use crate::front::{Admitted, REGIONS, Refused, spelled_regions};
use crate::kept::{Body, Kept, body};

/// What the regions of this vendor in the vendor's own country begin with.
const HOME: &str = "cn-";

/// The parameters that name an application, or several.
const NAMING: [&str; 5] = [
    "AppId",
    "AppIds",
    "ChangeOrderId",
    "PipelineId",
    "ResourceIds",
];

/// The parameters that name a namespace.
const ROOMS: [&str; 3] = ["NamespaceId", "NameSpaceShortId", "Namespace"];

/// The operations that make a change order, which can wait for approval.
const ORDERING: [&str; 15] = [
    "BatchRestartApplications",
    "BatchStartApplications",
    "BatchStopApplications",
    "CreateApplication",
    "DeleteApplication",
    "DeleteInstances",
    "DeployApplication",
    "ReduceApplicationCapacityByInstanceIds",
    "RescaleApplication",
    "RescaleApplicationVertically",
    "RestartApplication",
    "RestartInstances",
    "RollbackApplication",
    "StartApplication",
    "StopApplication",
];

/// Whether the operation `name` makes a change order.
#[must_use]
pub fn makes_orders(name: &str) -> bool {
    ORDERING.contains(&name)
}

/// Whether the operation `name` of this family is served: all are.
#[must_use]
pub fn serves(name: &str) -> bool {
    backout_wire::find(backout_wire::Service::Sae, name).is_some()
}

/// The ids that a call names, for the audit trail.
#[must_use]
pub fn named_ids(call: &Call) -> Vec<String> {
    let mut out = Vec::new();
    for name in NAMING {
        let Some(text) = call.params.get(name).and_then(Value::as_str) else {
            continue;
        };
        // One of them is a JSON list, others are separated by commas.
        let listed: Option<Vec<String>> = serde_json::from_str(text).ok();
        match listed {
            Some(ids) => out.extend(ids.iter().map(|id| id.trim().to_owned())),
            None => out.extend(
                text.split(',')
                    .map(|id| id.trim().to_owned())
                    .filter(|id| !id.is_empty()),
            ),
        }
    }
    out
}

/// The family.
pub struct Sae {
    apps: Apps,
    /// The regions that are served and that this family shows.
    regions: Vec<String>,
    /// The one that is shown where a call names none.
    home: String,
    kept: Kept,
}

impl Sae {
    /// The family, over `apps`, in those of the served regions that are its own.
    #[must_use]
    pub fn new(apps: Apps, served_regions: &[String]) -> Self {
        let home = served_regions
            .iter()
            .find(|region| region.starts_with(HOME))
            .or_else(|| served_regions.first())
            .cloned()
            .unwrap_or_default();
        Self {
            apps,
            regions: catalog::own_regions(served_regions),
            home,
            kept: Kept::default(),
        }
    }

    /// The resources that a policy is asked about, each in its spellings.
    ///
    /// A call that names an application, an order or a batch is judged by the
    /// application; one that makes an application, or asks for those of a
    /// namespace, by the namespace; any other, and one that names what nobody
    /// knows, as one on all resources.
    pub async fn policy_resources(&self, call: &Call, owner: &AccountId) -> Vec<Vec<String>> {
        let region = call.region.as_deref().unwrap_or("");
        let mut named = Vec::new();
        for id in named_ids(call) {
            named.push(match self.place_of(owner, &id).await {
                Some((namespace, application)) => {
                    spelled_application(region, owner, &namespace, &application)
                }
                None => spelled_everything(region, owner),
            });
        }
        if !named.is_empty() {
            return named;
        }
        let ask = asked::Regions {
            region: call.region.as_deref().unwrap_or(&self.home),
        };
        let namespace = ROOMS.iter().find_map(|name| {
            let text = call.params.get(*name)?.as_str()?.trim();
            (!text.is_empty()).then(|| ask.namespace(text))
        });
        let namespace = match (namespace, call.operation.name) {
            (None, "CreateApplication") => Some(DEFAULT_NAMESPACE.to_owned()),
            (namespace, _) => namespace,
        };
        match namespace {
            Some(namespace) => vec![spelled_application(region, owner, &namespace, "*")],
            None => vec![spelled_everything(region, owner)],
        }
    }

    /// Does what an admitted call asks, and gives the members of its answer.
    ///
    /// # Errors
    /// The operation's own code, or a common one.
    pub async fn act(&self, admitted: &Admitted) -> Result<Body, Refused> {
        let ask = Ask {
            admitted,
            home: &self.home,
        };
        let kept = self.kept.at(admitted, self.apps.version());
        match admitted.call.operation.name {
            "AbortAndRollbackChangeOrder" => {
                body(&self.abort_and_rollback_change_order(ask).await?)
            }
            "AbortChangeOrder" => body(&self.abort_change_order(ask).await?),
            "BatchRestartApplications" => body(&self.batch_restart_applications(ask).await?),
            "BatchStartApplications" => body(&self.batch_start_applications(ask).await?),
            "BatchStopApplications" => body(&self.batch_stop_applications(ask).await?),
            "ConfirmPipelineBatch" => body(&self.confirm_pipeline_batch(ask).await?),
            "CreateApplication" => body(&self.create_application(ask).await?),
            "CreateApplicationScalingRule" => {
                body(&self.create_application_scaling_rule(ask).await?)
            }
            "CreateNamespace" => body(&self.create_namespace(ask).await?),
            "DeleteApplication" => body(&self.delete_application(ask).await?),
            "DeleteApplicationScalingRule" => {
                body(&self.delete_application_scaling_rule(ask).await?)
            }
            "DeleteInstances" => body(&self.delete_instances(ask).await?),
            "DeleteNamespace" => body(&self.delete_namespace(ask).await?),
            "DeployApplication" => body(&self.deploy_application(ask).await?),
            "DescribeApplicationConfig" => kept.or(self.describe_application_config(ask)).await,
            "DescribeApplicationGroups" => body(&self.describe_application_groups(ask).await?),
            "DescribeApplicationImage" => kept.or(self.describe_application_image(ask)).await,
            "DescribeApplicationInstances" => {
                body(&self.describe_application_instances(ask).await?)
            }
            "DescribeApplicationScalingRule" => {
                body(&self.describe_application_scaling_rule(ask).await?)
            }
            "DescribeApplicationScalingRules" => {
                body(&self.describe_application_scaling_rules(ask).await?)
            }
            "DescribeApplicationStatus" => body(&self.describe_application_status(ask).await?),
            "DescribeChangeOrder" => kept.or(self.describe_change_order(ask)).await,
            "DescribeNamespace" => body(&self.describe_namespace(ask).await?),
            "DescribeNamespaceList" => body(&self.describe_namespace_list(ask).await?),
            "DescribeNamespaceResources" => body(&self.describe_namespace_resources(ask).await?),
            "DescribeNamespaces" => body(&self.describe_namespaces(ask).await?),
            "DescribePipeline" => kept.or(self.describe_pipeline(ask)).await,
            "DescribeRegions" => body(&self.describe_regions()),
            "DisableApplicationScalingRule" => {
                body(&self.disable_application_scaling_rule(ask).await?)
            }
            "EnableApplicationScalingRule" => {
                body(&self.enable_application_scaling_rule(ask).await?)
            }
            "GetApplication" => body(&self.get_application(ask).await?),
            "GetChangeOrderMetric" => body(&self.get_change_order_metric(ask).await?),
            "ListAppEvents" => kept.or(self.list_app_events(ask)).await,
            "ListAppVersions" => kept.or(self.list_app_versions(ask)).await,
            "ListApplications" => body(&self.list_applications(ask).await?),
            "ListChangeOrders" => kept.or(self.list_change_orders(ask)).await,
            "ListNamespaceChangeOrders" => kept.or(self.list_namespace_change_orders(ask)).await,
            "ListTagResources" => kept.or(self.list_tag_resources(ask)).await,
            "QueryResourceStatics" => body(&self.query_resource_statics(ask).await?),
            "ReduceApplicationCapacityByInstanceIds" => body(
                &self
                    .reduce_application_capacity_by_instance_ids(ask)
                    .await?,
            ),
            "RescaleApplication" => body(&self.rescale_application(ask).await?),
            "RescaleApplicationVertically" => {
                body(&self.rescale_application_vertically(ask).await?)
            }
            "RestartApplication" => body(&self.restart_application(ask).await?),
            "RestartInstances" => body(&self.restart_instances(ask).await?),
            "RollbackApplication" => body(&self.rollback_application(ask).await?),
            "StartApplication" => body(&self.start_application(ask).await?),
            "StopApplication" => body(&self.stop_application(ask).await?),
            "TagResources" => body(&self.tag_resources(ask).await?),
            "UntagResources" => body(&self.untag_resources(ask).await?),
            "UpdateAppMode" => body(&self.update_app_mode(ask).await?),
            "UpdateApplicationDescription" => {
                body(&self.update_application_description(ask).await?)
            }
            "UpdateApplicationScalingRule" => {
                body(&self.update_application_scaling_rule(ask).await?)
            }
            "UpdateNamespace" => body(&self.update_namespace(ask).await?),
            other => Err(Rejection::new(Fault::NotServed, format!("{other} is not served")).into()),
        }
    }
}

/// Every way in which a policy may name an application. All regions lead to the
/// same applications, so what is denied in one is denied in all; a namespace may
/// be written with its region, as the vendor's ids have it, or without.
fn spelled_application(
    region: &str,
    owner: &AccountId,
    namespace: &str,
    application: &str,
) -> Vec<String> {
    spelled_regions(region)
        .flat_map(|region| {
            let whole = match namespace {
                DEFAULT_NAMESPACE => region.to_owned(),
                short => format!("{region}:{short}"),
            };
            [whole, namespace.to_owned()]
                .map(|room| format!("acs:sae:{region}:{owner}:application/{room}/{application}"))
        })
        .chain([format!("application/{application}")])
        .collect()
}

/// Every way in which a policy may name all resources.
fn spelled_everything(region: &str, owner: &AccountId) -> Vec<String> {
    spelled_regions(region)
        .map(|region| format!("acs:sae:{region}:{owner}:*"))
        .collect()
}

/// Whether a text is a region of any vendor, or of the operator.
fn is_region(text: &str, own: &str) -> bool {
    text == own || REGIONS.contains(&text)
}
