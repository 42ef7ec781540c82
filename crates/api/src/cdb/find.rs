//! Looking for instances, for both generations of the API.

use std::collections::HashMap;

use backout_core::ids::{AccountId, DatabaseId};
use backout_databases::model::{Instance, Task};
use backout_databases::persistence::{InstanceFilter, Told};
use backout_databases::zone::Zone;
use backout_databases::{Databases, Refusal};

use super::asked::Ask;
use super::words;
use crate::front::Refused;

/// What is told of the instances of some tasks.
pub type Instances = HashMap<DatabaseId, Told>;

/// The instance of this id. A name that looks like an id is none: what a policy
/// was asked about is what is worked on.
pub async fn instance(
    databases: &Databases,
    ask: Ask<'_>,
    id: &DatabaseId,
) -> Result<Instance, Refused> {
    by_id(databases, ask.owner(), id)
        .await
        .map_err(|e| ask.refused(e))
}

/// As [`instance`], one whose server can be asked something.
pub async fn running(
    databases: &Databases,
    ask: Ask<'_>,
    id: &DatabaseId,
    action: &'static str,
) -> Result<Instance, Refused> {
    instance(databases, ask, id).await?;
    databases
        .running(ask.owner(), id.as_str(), action)
        .await
        .map_err(|e| ask.refused(e))
}

/// The instances of these ids, in their order: all of them, or a refusal.
pub async fn instances(
    databases: &Databases,
    ask: Ask<'_>,
    ids: &[DatabaseId],
) -> Result<Vec<Instance>, Refused> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let filter = InstanceFilter {
        ids: ids.iter().map(DatabaseId::to_string).collect(),
        ..InstanceFilter::default()
    };
    let found = databases
        .list_all(ask.owner(), filter)
        .await
        .map_err(|e| ask.refused(e))?;
    let mut found: HashMap<_, _> = found.into_iter().map(|i| (i.id.clone(), i)).collect();
    ids.iter()
        .map(|id| {
            found
                .remove(id)
                .ok_or_else(|| ask.refused(Refusal::InstanceNotFound(id.to_string())))
        })
        .collect()
}

/// As [`instance`], with the reason of its own.
pub async fn by_id(
    databases: &Databases,
    owner: &AccountId,
    id: &DatabaseId,
) -> Result<Instance, Refusal> {
    let found = databases.get(owner, id.as_str()).await?;
    match found.id == *id {
        true => Ok(found),
        false => Err(Refusal::InstanceNotFound(id.to_string())),
    }
}

/// The instances of some tasks, also those that are gone.
pub async fn instances_of(
    databases: &Databases,
    ask: Ask<'_>,
    tasks: &[Task],
) -> Result<Instances, Refused> {
    let mut ids: Vec<DatabaseId> = tasks.iter().map(|t| t.instance.clone()).collect();
    ids.sort_unstable();
    ids.dedup();
    databases
        .told_of(ask.owner(), ids)
        .await
        .map_err(|e| ask.refused(e))
}

/// The zone of a task's instance, the last one when it is gone; coordinated
/// universal time when nothing is known of it.
pub fn zone_of(instances: &Instances, task: &Task) -> Zone {
    instances
        .get(&task.instance)
        .map_or(Zone::UTC, words::zone_told)
}
