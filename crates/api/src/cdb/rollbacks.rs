//! The ways back.

use std::collections::{HashMap, HashSet};

use backout_core::ids::DatabaseId;
use backout_core::time::Timestamp;
use backout_databases::model::{Renamed, RollbackDetail, Strategy, Task};
use backout_databases::persistence::TaskFilter;
use backout_databases::{INSTANCES_MAX, Refusal, RollbackRequest, TABLES_MAX, Until, Zone};
use backout_history::TableName;
use backout_history::archive::Window;
use backout_wire::types::cdb as wire;

use super::asked::{Ask, PAGE_DEFAULT, work_id};
use super::{Cdb, codes, find, words};
use crate::front::{Refused, count};

const STRATEGIES: [(&str, Strategy); 3] = [
    ("table", Strategy::Table),
    ("db", Strategy::Db),
    ("full", Strategy::Full),
];

impl Cdb {
    pub(super) async fn start_batch_rollback(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::StartBatchRollbackResponse, Refused> {
        let asked: wire::StartBatchRollbackRequest = ask.params()?;
        if asked.instances.is_empty() {
            return Err(ask.error(codes::MISSING, "Instances names nothing"));
        }
        ask.at_most("Instances", asked.instances.len(), INSTANCES_MAX)?;
        let mut seen = HashSet::new();
        let mut requests = Vec::with_capacity(asked.instances.len());
        for info in asked.instances {
            let id = ask.id(&info.instance_id)?;
            if !seen.insert(id.clone()) {
                return Err(ask.error(codes::PARAMETER, format!("{id} is named twice")));
            }
            requests.push(rollback_request(ask, &id, info)?);
        }
        let ids: Vec<DatabaseId> = seen.into_iter().collect();
        find::instances(&self.databases, ask, &ids).await?;
        let made = self
            .databases
            .rollback(&ask.caller(), requests)
            .await
            .map_err(|e| ask.tasks_refused(e))?;
        ask.did(&made);
        Ok(wire::StartBatchRollbackResponse {
            async_request_id: made.into_iter().next().map(|a| a.asked),
        })
    }

    pub(super) async fn stop_rollback(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::StopRollbackResponse, Refused> {
        let asked: wire::StopRollbackRequest = ask.params()?;
        let id = ask.id(&asked.instance_id)?;
        find::instance(&self.databases, ask, &id).await?;
        let stopping = self
            .databases
            .stop_rollback(&ask.caller(), id.as_str())
            .await
            .map_err(|e| ask.tasks_refused(e))?;
        ask.did([&stopping]);
        Ok(wire::StopRollbackResponse {
            async_request_id: stopping.asked,
        })
    }

    pub(super) async fn describe_rollback_range_time(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeRollbackRangeTimeResponse, Refused> {
        let asked: wire::DescribeRollbackRangeTimeRequest = ask.params()?;
        if asked.instance_ids.is_empty() {
            return Err(ask.error(codes::MISSING, "InstanceIds names nothing"));
        }
        // A clone lands here, wherever its backup is said to be; so neither this
        // nor BackupRegion changes what there is to go back to.
        ask.word(
            "IsRemoteZone",
            asked.is_remote_zone.as_deref(),
            &[("true", ()), ("false", ())],
            (),
        )?;
        let items = self.range_times(ask, &asked.instance_ids).await?;
        Ok(wire::DescribeRollbackRangeTimeResponse {
            total_count: count(items.len() as u64),
            items,
        })
    }

    /// The windows of several instances. What is wrong with one does not hide
    /// the others: each row has a code of its own.
    async fn range_times(
        &self,
        ask: Ask<'_>,
        texts: &[String],
    ) -> Result<Vec<wire::InstanceRollbackRangeTime>, Refused> {
        let mut ids: Vec<DatabaseId> = texts.iter().filter_map(|t| t.trim().parse().ok()).collect();
        ids.sort_unstable();
        ids.dedup();
        let known = self
            .databases
            .told_of(ask.owner(), ids.clone())
            .await
            .map_err(|e| ask.refused(e))?;
        let looked = self.databases.windows_of(ask.owner(), &ids).await;
        let windows: HashMap<DatabaseId, Result<Vec<Window>, Refusal>> =
            ids.into_iter().zip(looked).collect();
        let rows = texts.iter().map(|text| {
            let row = |code, message, times| wire::InstanceRollbackRangeTime {
                code,
                message,
                instance_id: text.clone(),
                times,
            };
            let id: DatabaseId = match text.trim().parse() {
                Ok(id) => id,
                Err(e) => return row(codes::RANGE_ARGUMENT, format!("{e}"), Vec::new()),
            };
            match windows.get(&id) {
                Some(Ok(windows)) => {
                    let zone = known.get(&id).map_or(Zone::UTC, words::zone_told);
                    let times = ranges(&zone, windows)
                        .map(|(begin, end)| wire::RollbackTimeRange { begin, end })
                        .collect();
                    row(0, "ok".to_owned(), times)
                }
                Some(Err(refusal)) => {
                    row(codes::range_code(refusal), codes::told(refusal), Vec::new())
                }
                None => row(codes::RANGE_ARGUMENT, format!("no id: {id}"), Vec::new()),
            }
        });
        Ok(rows.collect())
    }

    pub(super) async fn describe_rollback_task_detail(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeRollbackTaskDetailResponse, Refused> {
        let asked: wire::DescribeRollbackTaskDetailRequest = ask.params()?;
        let page = ask.page(asked.offset, asked.limit, PAGE_DEFAULT)?;
        let id = ask.id(&asked.instance_id)?;
        let instance = find::instance(&self.databases, ask, &id).await?;
        let filter = TaskFilter {
            instance: Some(id.clone()),
            asked: work_id(asked.async_request_id),
            kinds: words::ROLLBACKS.to_vec(),
            ..TaskFilter::default()
        };
        let (total, found) = self
            .databases
            .tasks(ask.owner(), filter, page)
            .await
            .map_err(|e| ask.tasks_refused(e))?;
        let zone = words::zone(&instance);
        Ok(wire::DescribeRollbackTaskDetailResponse {
            total_count: count(total),
            items: found.iter().map(|t| rollback_task(&zone, t)).collect(),
        })
    }
}

/// The windows as the vendor shows them, in whole seconds: none that begins
/// earlier or ends later than it does.
pub(crate) fn ranges<'a>(
    zone: &'a Zone,
    windows: &'a [Window],
) -> impl Iterator<Item = (String, String)> + 'a {
    windows.iter().filter_map(|window| {
        let (from, to) = (window.from.time.0, window.to.time.0);
        let begin = from.div_euclid(1_000_000) + i64::from(from.rem_euclid(1_000_000) > 0);
        let end = to.div_euclid(1_000_000);
        let shown = |s: i64| zone.local(Timestamp(s.saturating_mul(1000)));
        (begin <= end).then(|| (shown(begin), shown(end)))
    })
}

fn rollback_request(
    ask: Ask<'_>,
    id: &DatabaseId,
    info: wire::RollbackInstancesInfo,
) -> Result<RollbackRequest, Refused> {
    let strategy = STRATEGIES
        .iter()
        .find(|(word, _)| *word == info.strategy)
        .map(|(_, strategy)| *strategy)
        .ok_or_else(|| ask.error(codes::PARAMETER, "Strategy takes one of table, db, full"))?;
    if strategy == Strategy::Table && !info.databases.is_empty() {
        return Err(ask.error(
            codes::PARAMETER,
            "Databases must be empty with the strategy table",
        ));
    }
    let until = Until::Written(ask.written("RollbackTime", &info.rollback_time)?);
    let databases: Vec<Renamed<String>> = info
        .databases
        .into_iter()
        .map(|d| Renamed {
            from: d.database_name,
            to: d.new_database_name,
        })
        .collect();
    groups(
        ask,
        info.tables
            .iter()
            .map(|g| (&g.database, g.table.is_empty())),
    )?;
    let tables: Vec<Renamed<TableName>> = info
        .tables
        .into_iter()
        .flat_map(|group| {
            let database = group.database;
            group.table.into_iter().map(move |t| Renamed {
                from: TableName::new(database.clone(), t.table_name),
                to: TableName::new(database.clone(), t.new_table_name),
            })
        })
        .collect();
    chosen(ask, &databases, &tables)?;
    Ok(RollbackRequest {
        instance: id.to_string(),
        until,
        strategy,
        databases,
        tables,
        torn: false,
        road: None,
    })
}

/// Refuses a database whose tables are to be named, and are not.
pub(crate) fn groups<'a>(
    ask: Ask<'_>,
    mut groups: impl Iterator<Item = (&'a String, bool)>,
) -> Result<(), Refused> {
    match groups.find(|(_, empty)| *empty) {
        Some((database, _)) => Err(ask.error(
            codes::PARAMETER,
            format!("no tables of database {database:?} are named"),
        )),
        None => Ok(()),
    }
}

/// Refuses a rollback of nothing, of too much, of what has no name, and of the
/// same thing twice.
pub(crate) fn chosen(
    ask: Ask<'_>,
    databases: &[Renamed<String>],
    tables: &[Renamed<TableName>],
) -> Result<(), Refused> {
    let total = databases.len() + tables.len();
    if total == 0 {
        return Err(ask.error(
            codes::PARAMETER,
            "neither databases nor tables are named: there is nothing to roll back",
        ));
    }
    if total > TABLES_MAX {
        return Err(ask.error(
            codes::QUOTA,
            format!("{total} databases and tables are named, one job takes at most {TABLES_MAX}"),
        ));
    }
    let nameless = databases
        .iter()
        .any(|d| d.from.is_empty() || d.to.is_empty())
        || tables.iter().any(|t| {
            [&t.from, &t.to]
                .iter()
                .any(|n| n.schema.is_empty() || n.table.is_empty())
        });
    if nameless {
        return Err(ask.error(codes::PARAMETER, "a database or table has an empty name"));
    }
    // A table is not a database that has the same dots in its name.
    let mut seen = HashSet::new();
    let twice = databases
        .iter()
        .map(|d| (&d.from, None))
        .chain(tables.iter().map(|t| (&t.from.schema, Some(&t.from.table))))
        .find(|name| !seen.insert(*name));
    match twice {
        Some((database, None)) => Err(ask.error(
            codes::PARAMETER,
            format!("database {database:?} is named twice"),
        )),
        Some((database, Some(table))) => Err(ask.error(
            codes::PARAMETER,
            format!("table {table:?} of {database:?} is named twice"),
        )),
        None => Ok(()),
    }
}

fn rollback_task(zone: &Zone, task: &Task) -> wire::RollbackTask {
    wire::RollbackTask {
        info: words::told(task),
        status: words::async_state(task.standing).to_owned(),
        progress: i64::from(task.percent),
        start_time: words::time(zone, Some(task.created)),
        end_time: words::time(zone, task.ended),
        detail: task
            .detail
            .rollback
            .iter()
            .map(|detail| asked_info(zone, &task.instance, detail))
            .collect(),
    }
}

/// What was asked, as it was asked.
fn asked_info(
    zone: &Zone,
    instance: &DatabaseId,
    detail: &RollbackDetail,
) -> wire::RollbackInstancesInfo {
    let word = STRATEGIES
        .iter()
        .find(|(_, strategy)| *strategy == detail.strategy)
        .map_or("full", |(word, _)| *word);
    let mut tables: Vec<wire::RollbackTables> = Vec::new();
    for table in &detail.tables {
        let name = wire::RollbackTableName {
            table_name: table.from.table.clone(),
            new_table_name: new_name(&table.from, &table.to),
        };
        match tables
            .iter_mut()
            .find(|group| group.database == table.from.schema)
        {
            Some(group) => group.table.push(name),
            None => tables.push(wire::RollbackTables {
                database: table.from.schema.clone(),
                table: vec![name],
            }),
        }
    }
    wire::RollbackInstancesInfo {
        instance_id: instance.to_string(),
        strategy: word.to_owned(),
        rollback_time: words::rollback_time(zone, detail),
        databases: detail
            .databases
            .iter()
            .map(|d| wire::RollbackDBName {
                database_name: d.from.clone(),
                new_database_name: d.to.clone(),
            })
            .collect(),
        tables,
    }
}

/// The new name of a table; with its database when that is another, which only
/// our own API can ask for.
pub(crate) fn new_name(from: &TableName, to: &TableName) -> String {
    match from.schema == to.schema {
        true => to.table.clone(),
        false => to.to_string(),
    }
}
