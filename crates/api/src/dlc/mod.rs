//! Tencent Data Lake Compute, API version 2021-01-25: data engines and the
//! versions of their images.
//!
//! Everything that the vendor names is named here and nowhere below. What the
//! documentation leaves open is decided in SEMANTICS sections 2 and 6.
//!
//! | file | what is there |
//! |---|---|
//! | `mod` | the family: which operations, on what |

use backout_core::ids::AccountId;
use backout_engines::Engines;
use backout_wire::{Call, Fault, Rejection};
use serde_json::Value;

use crate::front::{Admitted, Refused, spelled_regions};
use crate::kept::Body;

/// The operations that are served.
const SERVED: [&str; 0] = [];

/// The parameters that name engines, by id or by name.
const NAMING: [&str; 4] = [
    "DataEngineId",
    "DataEngineIds",
    "DataEngineName",
    "DataEngineNames",
];

/// Whether the operation `name` of this family is served.
#[must_use]
pub fn serves(name: &str) -> bool {
    SERVED.contains(&name)
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
}

impl Dlc {
    /// The family, over `engines`.
    #[must_use]
    pub fn new(engines: Engines) -> Self {
        Self { engines }
    }

    /// The resources that a policy is asked about, each in its spellings: an
    /// engine by its id and by its name, as policies may name either; what
    /// nobody knows, and a call that names none, as one on all resources.
    pub async fn policy_resources(&self, call: &Call, owner: &AccountId) -> Vec<Vec<String>> {
        let region = call.region.as_deref().unwrap_or("");
        let mut named = Vec::new();
        for wanted in named_ids(call) {
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
    #[expect(clippy::unused_async, reason = "operations read the store")]
    pub async fn act(&self, admitted: &Admitted) -> Result<Body, Refused> {
        let name = admitted.call.operation.name;
        Err(Rejection::new(Fault::NotServed, format!("{name} is not served")).into())
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
