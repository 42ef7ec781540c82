//! The ways back, and how they stand.

use backout_core::ids::DatabaseId;
use backout_databases::model::{InstanceState, Renamed, RollbackDetail, Standing, Strategy, Task};
use backout_databases::persistence::{Page, TaskFilter};
use backout_databases::{INSTANCES_MAX, Refusal, RollbackRequest, Until, Zone};
use backout_history::TableName;
use backout_wire::Operation;
use serde::{Deserialize, Serialize};

use super::CdbV2;
use super::lists::row;
use crate::cdb::asked::Ask;
use crate::cdb::rollbacks::{chosen, groups, new_name, ranges};
use crate::cdb::{codes, find, words};
use crate::front::Refused;

/// A page when none is asked for (contract: `limit.default`).
const PAGE_DEFAULT: i64 = 50;

// ---- GetCdbRollbackJob: the seed's own shape, numbers as text ----

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobsAsked {
    cdb_instance_id: String,
    offset: Option<i64>,
    limit: Option<i64>,
}

#[derive(Serialize)]
pub(super) struct Data<T> {
    pub(super) data: T,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Jobs {
    task_count: String,
    task_list: Vec<Job>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Job {
    code: String,
    message: String,
    job_id: String,
    start_time: String,
    end_time: String,
    name: String,
    new_name: String,
    progress: String,
    status: String,
    task_message: String,
    task_progress: String,
    task_status: String,
    #[serde(rename = "type")]
    kind: String,
    task_context: Context,
}

/// An object, as in the sample; the table of members calls it an array.
#[derive(Serialize)]
struct Context {
    data: ContextData,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContextData {
    operator: String,
    rollback_time: String,
    #[serde(flatten)]
    names: Names,
}

/// What is taken back. The vendor's page knows databases only; tables are told
/// as its call for starting a rollback takes them.
#[derive(Serialize)]
struct Names {
    dbs: Vec<Db>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tables: Vec<Tables>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Db {
    dbname: String,
    newname: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tables {
    db: String,
    table: Vec<Table>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    tablename: String,
    newname: String,
}

// ---- GetCdbRollbackJobTask ----

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobAsked {
    job_id: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobTask {
    job_info: JobInfo,
    task_detail: Vec<TaskRow>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JobInfo {
    code: String,
    message: String,
    job_id: u64,
    #[serde(rename = "type")]
    kind: i64,
    status: i64,
    progress: i64,
    start_time: String,
    end_time: String,
    detail: Vec<InstanceDetail>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TaskRow {
    code: i64,
    message: String,
    status: String,
    progress: String,
    start_time: String,
    end_time: String,
    task_info: InstanceDetail,
}

/// What a job does to one instance.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InstanceDetail {
    cdb_instance_id: String,
    cdb_instance_name: String,
    rollback_time: String,
    operator: String,
    #[serde(flatten)]
    names: Names,
}

// ---- QueryCdbRollbackRangeTime, RollbackCdbDatabaseTables ----

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InstancesAsked {
    pub(super) cdb_instance_ids: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Range {
    code: i64,
    message: String,
    cdb_instance_id: String,
    times: Vec<Times>,
}

#[derive(Serialize)]
struct Times {
    begin: String,
    end: String,
}

#[derive(Deserialize)]
struct RollbackAsked {
    instances: Vec<InstanceAsked>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InstanceAsked {
    cdb_instance_id: String,
    para: String,
}

/// `instances.n.para`, JSON as text. A null counts as absent, as everywhere at
/// this vendor.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Para {
    rollbacktime: String,
    dbs: Option<Vec<Db>>,
    tables: Option<Vec<Tables>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Started {
    job_id: String,
}

impl CdbV2 {
    pub(super) async fn get_cdb_rollback_job(&self, ask: Ask<'_>) -> Result<Data<Jobs>, Refused> {
        let asked: JobsAsked = ask.params()?;
        let page = ask.page(asked.offset, asked.limit, PAGE_DEFAULT)?;
        let id = ask.id(&asked.cdb_instance_id)?;
        let instance = find::instance(&self.databases, ask, &id).await?;
        usable(ask, &id, instance.state)?;
        let filter = TaskFilter {
            instance: Some(id.clone()),
            kinds: words::ROLLBACKS.to_vec(),
            ..TaskFilter::default()
        };
        let (total, found) = self
            .databases
            .tasks(ask.owner(), filter, page)
            .await
            .map_err(|e| ask.tasks_refused(e))?;
        let zone = words::zone(&instance);
        Ok(Data {
            data: Jobs {
                task_count: total.to_string(),
                task_list: found
                    .iter()
                    .map(|t| job(ask.operation(), &zone, t))
                    .collect(),
            },
        })
    }

    pub(super) async fn get_cdb_rollback_job_task(
        &self,
        ask: Ask<'_>,
    ) -> Result<Data<JobTask>, Refused> {
        let asked: JobAsked = ask.params()?;
        let filter = TaskFilter {
            numbers: u64::try_from(asked.job_id).into_iter().collect(),
            kinds: words::ROLLBACKS.to_vec(),
            nothing: asked.job_id < 0,
            ..TaskFilter::default()
        };
        let page = Page {
            offset: 0,
            limit: 1,
        };
        let (_, found) = self
            .databases
            .tasks(ask.owner(), filter, page)
            .await
            .map_err(|e| ask.tasks_refused(e))?;
        let Some(first) = found.into_iter().next() else {
            ask.allowed_on(&[])?;
            return Err(ask.refused(Refusal::TaskNotFound(asked.job_id.to_string())));
        };
        // All instances of one call are one job.
        let tasks = self
            .databases
            .tasks_asked(ask.owner(), &first.asked)
            .await
            .map_err(|e| ask.tasks_refused(e))?;
        ask.allowed_on(&tasks)?;
        let instances = find::instances_of(&self.databases, ask, &tasks).await?;
        // Of one that is gone there is nothing to find out about its state.
        if let Some(state) = instances.get(&first.instance).and_then(|told| told.state) {
            usable(ask, &first.instance, state)?;
        }
        Ok(Data {
            data: job_task(ask.operation(), first.number, &tasks, &instances),
        })
    }

    pub(super) async fn query_cdb_rollback_range_time(
        &self,
        ask: Ask<'_>,
    ) -> Result<Data<Vec<Range>>, Refused> {
        let asked: InstancesAsked = ask.params()?;
        let ids = ask.ids("cdbInstanceIds", &asked.cdb_instance_ids)?;
        let known = find::instances(&self.databases, ask, &ids).await?;
        let looked = self.databases.windows_of(ask.owner(), &ids).await;
        let mut data = Vec::with_capacity(ids.len());
        for (instance, windows) in known.iter().zip(looked) {
            let (code, message, windows) = row(ask, windows)?;
            data.push(Range {
                code,
                message,
                cdb_instance_id: instance.id.to_string(),
                times: ranges(&words::zone(instance), &windows.unwrap_or_default())
                    .map(|(begin, end)| Times { begin, end })
                    .collect(),
            });
        }
        Ok(Data { data })
    }

    /// This call has no strategies: it is the console's "normal" one, which
    /// reads the whole instance's history and so never refuses a rollback
    /// because a transaction crossed to what is not chosen.
    pub(super) async fn rollback_cdb_database_tables(
        &self,
        ask: Ask<'_>,
    ) -> Result<Data<Started>, Refused> {
        let asked: RollbackAsked = ask.params()?;
        ask.at_most("instances", asked.instances.len(), INSTANCES_MAX)?;
        let ids: Vec<String> = asked
            .instances
            .iter()
            .map(|i| i.cdb_instance_id.clone())
            .collect();
        let ids = ask.ids("instances", &ids)?;
        let mut requests = Vec::with_capacity(ids.len());
        for (id, instance) in ids.iter().zip(&asked.instances) {
            requests.push(request(ask, id, &instance.para)?);
        }
        find::instances(&self.databases, ask, &ids).await?;
        let made = self
            .databases
            .rollback(&ask.caller(), requests)
            .await
            .map_err(|e| ask.tasks_refused(e))?;
        ask.did(&made);
        let first = made.iter().map(|a| a.number).min().unwrap_or_default();
        Ok(Data {
            data: Started {
                job_id: first.to_string(),
            },
        })
    }
}

/// Refuses an instance that is not running: 9593, abnormal instance status.
fn usable(ask: Ask<'_>, id: &DatabaseId, state: InstanceState) -> Result<(), Refused> {
    let hint = match state {
        InstanceState::Running => return Ok(()),
        InstanceState::Creating => "wait until it runs",
        InstanceState::Isolating | InstanceState::Isolated => "bring it back first",
        InstanceState::Removing => "it will be gone",
    };
    Err(ask.refused(Refusal::State {
        action: "list the rollbacks of",
        instance: id.clone(),
        state,
        hint,
    }))
}

fn request(ask: Ask<'_>, id: &DatabaseId, para: &str) -> Result<RollbackRequest, Refused> {
    let para: Para = serde_json::from_str(para).map_err(|e| {
        ask.error(
            codes::PARAMETER,
            format!("instances.n.para of {id} is not the JSON that it should be: {e}"),
        )
    })?;
    let until = Until::Written(ask.written("rollbacktime", &para.rollbacktime)?);
    let databases: Vec<Renamed<String>> = para
        .dbs
        .into_iter()
        .flatten()
        .map(|d| Renamed {
            from: d.dbname,
            to: d.newname,
        })
        .collect();
    let named = para.tables.unwrap_or_default();
    groups(ask, named.iter().map(|g| (&g.db, g.table.is_empty())))?;
    let tables: Vec<Renamed<TableName>> = named
        .into_iter()
        .flat_map(|group| {
            let db = group.db;
            group.table.into_iter().map(move |t| Renamed {
                from: TableName::new(db.clone(), t.tablename),
                to: TableName::new(db.clone(), t.newname),
            })
        })
        .collect();
    chosen(ask, &databases, &tables)?;
    Ok(RollbackRequest {
        instance: id.to_string(),
        until,
        strategy: Strategy::Full,
        databases,
        tables,
        torn: false,
        road: None,
    })
}

fn job(operation: &Operation, zone: &Zone, task: &Task) -> Job {
    let detail = task.detail.rollback.as_ref();
    let (names, new_names) = detail.map(words::names).unwrap_or_default();
    let percent = task.percent.to_string();
    let state = words::legacy_state(task.standing).to_string();
    Job {
        code: number_of(operation, task).to_owned(),
        message: words::error_of(task),
        job_id: task.number.to_string(),
        start_time: words::time(zone, Some(task.created)),
        end_time: words::time(zone, task.ended),
        name: names.join(", "),
        new_name: new_names.join(", "),
        progress: percent.clone(),
        status: state.clone(),
        task_message: words::told(task),
        task_progress: percent,
        task_status: state,
        kind: words::rollback_type(detail).number.to_string(),
        task_context: Context {
            data: ContextData {
                operator: words::uin(&task.operator),
                rollback_time: detail
                    .map(|d| words::rollback_time(zone, d))
                    .unwrap_or_default(),
                names: names_of(detail),
            },
        },
    }
}

/// The number of a task's error.
fn number_of(operation: &Operation, task: &Task) -> &'static str {
    let code = task.error.as_ref().map(|(code, _)| *code);
    codes::legacy_number(operation, code)
}

fn names_of(detail: Option<&RollbackDetail>) -> Names {
    let mut names = Names {
        dbs: Vec::new(),
        tables: Vec::new(),
    };
    let Some(detail) = detail else {
        return names;
    };
    names.dbs = detail
        .databases
        .iter()
        .map(|d| Db {
            dbname: d.from.clone(),
            newname: d.to.clone(),
        })
        .collect();
    for renamed in &detail.tables {
        let table = Table {
            tablename: renamed.from.table.clone(),
            newname: new_name(&renamed.from, &renamed.to),
        };
        match names
            .tables
            .iter_mut()
            .find(|group| group.db == renamed.from.schema)
        {
            Some(group) => group.table.push(table),
            None => names.tables.push(Tables {
                db: renamed.from.schema.clone(),
                table: vec![table],
            }),
        }
    }
    names
}

/// What a task does to its instance.
pub(super) fn instance_detail(
    zone: &Zone,
    task: &Task,
    instances: &find::Instances,
) -> InstanceDetail {
    let detail = task.detail.rollback.as_ref();
    InstanceDetail {
        cdb_instance_id: task.instance.to_string(),
        cdb_instance_name: instances
            .get(&task.instance)
            .map(|i| i.name.clone())
            .unwrap_or_default(),
        rollback_time: detail
            .map(|d| words::rollback_time(zone, d))
            .unwrap_or_default(),
        operator: words::uin(&task.operator),
        names: names_of(detail),
    }
}

fn job_task(
    operation: &Operation,
    number: u64,
    tasks: &[Task],
    instances: &find::Instances,
) -> JobTask {
    let standing = words::together(tasks);
    let failed = tasks.iter().find(|t| t.error.is_some());
    let first = tasks.iter().min_by_key(|t| t.created);
    // Ended once all have.
    let last = match tasks.iter().all(|t| t.ended.is_some()) {
        true => tasks.iter().max_by_key(|t| t.ended),
        false => None,
    };
    let start = first.map(|t| words::time(&find::zone_of(instances, t), Some(t.created)));
    let end = last.map(|t| words::time(&find::zone_of(instances, t), t.ended));
    JobTask {
        job_info: JobInfo {
            code: failed.map_or("0", |t| number_of(operation, t)).to_owned(),
            message: match (failed, standing) {
                (Some(task), _) => words::error_of(task),
                (None, Standing::Applied) => "ok".to_owned(),
                (None, _) => String::new(),
            },
            job_id: number,
            // The only one that the vendor's page of this call has.
            kind: words::BATCH_ROLLBACK.number,
            status: words::legacy_state(standing),
            progress: words::percent_together(tasks),
            start_time: start.unwrap_or_else(|| words::NO_TIME.to_owned()),
            end_time: end.unwrap_or_else(|| words::NO_TIME.to_owned()),
            detail: tasks
                .iter()
                .map(|t| instance_detail(&find::zone_of(instances, t), t, instances))
                .collect(),
        },
        task_detail: tasks
            .iter()
            .map(|task| {
                let zone = find::zone_of(instances, task);
                TaskRow {
                    code: number_of(operation, task).parse().unwrap_or_default(),
                    message: words::told(task),
                    status: words::legacy_state(task.standing).to_string(),
                    progress: task.percent.to_string(),
                    start_time: words::time(&zone, Some(task.created)),
                    end_time: words::time(&zone, task.ended),
                    task_info: instance_detail(&zone, task, instances),
                }
            })
            .collect(),
    }
}
