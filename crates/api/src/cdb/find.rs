//! Looking for instances and tasks, for both generations of the API.

use std::collections::HashMap;

use backout_core::ids::{AccountId, DatabaseId};
use backout_databases::model::{Instance, Task};
use backout_databases::persistence::{InstanceFilter, Page, TaskFilter};
use backout_databases::zone::Zone;
use backout_databases::{Databases, Refusal};

use super::asked::Ask;
use super::words;
use crate::front::Refused;

/// Rows that are read at a time where more than a page is looked through: the
/// longest page of the store. It bounds the memory of such a look.
const CHUNK: u64 = 100;

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

/// The instances of some tasks, by id; those that are gone are not there.
pub async fn instances_of(
    databases: &Databases,
    owner: &AccountId,
    tasks: &[Task],
) -> Result<HashMap<DatabaseId, Instance>, Refusal> {
    let mut ids: Vec<String> = tasks.iter().map(|t| t.instance.to_string()).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut out = HashMap::new();
    for ids in ids.chunks(usize::try_from(CHUNK).unwrap_or(usize::MAX)) {
        let filter = InstanceFilter {
            ids: ids.to_vec(),
            ..InstanceFilter::default()
        };
        let page = Page {
            offset: 0,
            limit: CHUNK,
        };
        let (_, found) = databases.list(owner, filter, page).await?;
        out.extend(found.into_iter().map(|i| (i.id.clone(), i)));
    }
    Ok(out)
}

/// The zone of a task's instance; coordinated universal time when it is gone.
pub fn zone_of(instances: &HashMap<DatabaseId, Instance>, task: &Task) -> Zone {
    instances.get(&task.instance).map_or(Zone::UTC, words::zone)
}

/// All instances that match, newest first: as many as the quota of an owner.
pub async fn all_instances(
    databases: &Databases,
    owner: &AccountId,
    filter: &InstanceFilter,
) -> Result<Vec<Instance>, Refusal> {
    let mut out = Vec::new();
    loop {
        let page = Page {
            offset: out.len() as u64,
            limit: CHUNK,
        };
        let (total, found) = databases.list(owner, filter.clone(), page).await?;
        if found.is_empty() {
            return Ok(out);
        }
        out.extend(found);
        if out.len() as u64 >= total {
            return Ok(out);
        }
    }
}

/// One page of those tasks that match and that `keep` keeps, newest first, and
/// how many there are.
pub async fn tasks(
    databases: &Databases,
    owner: &AccountId,
    filter: &TaskFilter,
    page: Page,
    keep: impl Fn(&Task, &Zone) -> bool,
) -> Result<(u64, Vec<Task>), Refusal> {
    let (mut read, mut matched, mut out) = (0, 0, Vec::new());
    loop {
        let chunk = Page {
            offset: read,
            limit: CHUNK,
        };
        let (total, found) = databases.tasks(owner, filter.clone(), chunk).await?;
        if found.is_empty() {
            return Ok((matched, out));
        }
        read += found.len() as u64;
        let instances = instances_of(databases, owner, &found).await?;
        for task in found {
            if !keep(&task, &zone_of(&instances, &task)) {
                continue;
            }
            if matched >= page.offset && (out.len() as u64) < page.limit {
                out.push(task);
            }
            matched += 1;
        }
        if read >= total {
            return Ok((matched, out));
        }
    }
}
