//! Instances, databases, tables, and tasks of all kinds.

use backout_core::ids::DatabaseId;
use backout_databases::model::{Instance, InstanceState, Task};
use backout_databases::persistence::{InstanceFilter, Page, TaskFilter};
use backout_databases::{Holding, Refusal, Written, Zone};
use backout_wire::Operation;
use serde::{Deserialize, Serialize};

use super::CdbV2;
use super::rollbacks::{Data, InstanceDetail, InstancesAsked, instance_detail};
use crate::cdb::asked::{Ask, PAGE_DEFAULT};
use crate::cdb::tasks::of_types;
use crate::cdb::{codes, find, words};
use crate::front::Refused;

/// The page of a list that has one row.
const ONE: Page = Page {
    offset: 0,
    limit: 1,
};
/// The number of a row whose database server did not answer: 9006, database
/// fault. The list of these operations has no such number, but their rows do.
const DATABASE_FAULT: i64 = 9006;
/// The number of a row that is about what is not there.
const PARAMETER: i64 = 9003;
/// The number of a row whose instance is not running: 9593, abnormal instance
/// status.
const STATE: i64 = 9593;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListAsked {
    project_id: Option<i64>,
    #[serde(default)]
    cdb_instance_ids: Vec<String>,
    #[serde(default)]
    cdb_instance_vips: Vec<String>,
    #[serde(default)]
    status: Vec<i64>,
    offset: Option<i64>,
    limit: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Instances {
    total_count: u64,
    cdb_instance_set: Vec<InstanceRow>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InstanceRow {
    u_instance_id: String,
    cdb_instance_id: String,
    init_flag: i64,
    cdb_instance_type: i64,
    storage_size: u32,
    max_query_count: i64,
    cdb_instance_name: String,
    cdb_instance_vip: String,
    cdb_instance_vport: u16,
    cdb_wan_status: i64,
    cdb_wan_domain: &'static str,
    cdb_wan_port: i64,
    status: i64,
    task_status: i64,
    engine_version: String,
    cdb_instance_create_time: String,
    cdb_instance_deadline_time: &'static str,
    cdb_type_set: &'static str,
    cdb_type: &'static str,
    memory: u32,
    volume: u32,
    auto_renew: i64,
    zone_id: i64,
    vpc_id: i64,
    subnet_id: i64,
    project_id: i64,
    pay_type: i64,
    master_info: Option<()>,
    ro_info: [(); 0],
    dr_info: [(); 0],
    protect_mode: i64,
    slave_zone_first: i64,
    slave_zone_second: i64,
    slave_second_vip: &'static str,
    slave_second_vport: i64,
    deploy_mode: i64,
    binlog_size: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DatabasesRow {
    code: i64,
    message: String,
    cdb_instance_id: String,
    database_list: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TablesAsked {
    cdb_instance_id: String,
    databases: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TablesRow {
    code: i64,
    message: String,
    database: String,
    table_list: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobsAsked {
    job_id: Option<i64>,
    #[serde(default)]
    task_type_list: Vec<i64>,
    #[serde(default)]
    task_status_list: Vec<i64>,
    start_time_begin: Option<String>,
    // With a capital in the vendor's page.
    #[serde(rename = "StartTimeEnd")]
    start_time_end: Option<String>,
    offset: Option<i64>,
    limit: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobList {
    total_count: u64,
    data: Vec<JobRow>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JobRow {
    code: String,
    message: String,
    job_id: u64,
    #[serde(rename = "type")]
    kind: i64,
    status: i64,
    progress: u8,
    start_time: String,
    end_time: String,
    /// An array, as in the sample; the table of members calls it an object.
    detail: [InstanceDetail; 1],
}

impl CdbV2 {
    pub(super) async fn describe_cdb_instances(&self, ask: Ask<'_>) -> Result<Instances, Refused> {
        let asked: ListAsked = ask.params()?;
        let page = ask.page(asked.offset, asked.limit, PAGE_DEFAULT)?;
        let ids = ask.some_ids("cdbInstanceIds", &asked.cdb_instance_ids)?;
        let mut states = Vec::new();
        for number in &asked.status {
            let state = words::filtered_instance_state(*number).ok_or_else(|| {
                ask.error(codes::PARAMETER, format!("status has no state {number}"))
            })?;
            states.push(state);
        }
        if states.is_empty() && ids.is_empty() {
            // The vendor's default; whoever names instances means those.
            states.push(InstanceState::Running);
        }
        find::instances(&self.databases, ask, &ids).await?;
        let filter = InstanceFilter {
            ids: ids.iter().map(DatabaseId::to_string).collect(),
            states,
            hosts: asked.cdb_instance_vips,
            nothing: asked.project_id.is_some_and(|id| id != 0),
            ..InstanceFilter::default()
        };
        let (total, found) = self
            .databases
            .list(ask.owner(), filter, page)
            .await
            .map_err(|e| ask.refused(e))?;
        let ids: Vec<DatabaseId> = found.iter().map(|i| i.id.clone()).collect();
        let holdings = self
            .databases
            .holdings(&ids)
            .await
            .map_err(|e| ask.tasks_refused(e))?;
        Ok(Instances {
            total_count: total,
            cdb_instance_set: found
                .iter()
                .zip(&holdings)
                .map(|(i, holding)| instance_row(i, holding.as_ref()))
                .collect(),
        })
    }

    pub(super) async fn query_cdb_databases(
        &self,
        ask: Ask<'_>,
    ) -> Result<Data<Vec<DatabasesRow>>, Refused> {
        let asked: InstancesAsked = ask.params()?;
        let ids = ask.ids("cdbInstanceIds", &asked.cdb_instance_ids)?;
        find::instances(&self.databases, ask, &ids).await?;
        let looked = self.databases.schemas_of(ask.owner(), &ids).await;
        let mut data = Vec::with_capacity(ids.len());
        for (id, found) in ids.into_iter().zip(looked) {
            let (code, message, database_list) = row(ask, found)?;
            data.push(DatabasesRow {
                code,
                message,
                cdb_instance_id: id.to_string(),
                database_list: database_list.unwrap_or_default(),
            });
        }
        Ok(Data { data })
    }

    pub(super) async fn query_cdb_database_tables(
        &self,
        ask: Ask<'_>,
    ) -> Result<Data<Vec<TablesRow>>, Refused> {
        let asked: TablesAsked = ask.params()?;
        let id = ask.id(&asked.cdb_instance_id)?;
        if asked.databases.is_empty() {
            return Err(ask.error(codes::MISSING, "databases names nothing"));
        }
        find::instance(&self.databases, ask, &id).await?;
        let found = self
            .databases
            .tables_of(ask.owner(), &id, asked.databases.clone())
            .await;
        let (code, message, found) = row(ask, found)?;
        let mut found = found.unwrap_or_default().into_iter();
        let data = asked
            .databases
            .into_iter()
            .map(|database| {
                let (code, message, tables) = match (code, found.next().flatten()) {
                    (0, None) => {
                        let message = format!("there is no database {database:?}");
                        (PARAMETER, message, Vec::new())
                    }
                    (code, tables) => (code, message.clone(), tables.unwrap_or_default()),
                };
                TablesRow {
                    code,
                    message,
                    database,
                    table_list: tables,
                }
            })
            .collect();
        Ok(Data { data })
    }

    pub(super) async fn get_cdb_job_list(&self, ask: Ask<'_>) -> Result<JobList, Refused> {
        let asked: JobsAsked = ask.params()?;
        let page = ask.page(asked.offset, asked.limit, PAGE_DEFAULT)?;
        let mut filter = TaskFilter::default();
        if let Some(number) = asked.job_id {
            match u64::try_from(number) {
                Ok(number) => filter.numbers.push(number),
                Err(_) => filter.nothing = true,
            }
        }
        for number in &asked.task_status_list {
            let states = words::legacy_filtered_states(*number).ok_or_else(|| {
                ask.error(
                    codes::PARAMETER,
                    format!("taskStatusList has no state {number}"),
                )
            })?;
            filter.standings.extend(states);
        }
        filter.nothing |= !asked.task_status_list.is_empty() && filter.standings.is_empty();
        of_types(ask, &asked.task_type_list, &mut filter)?;
        if asked.job_id.is_some() {
            let (_, named) = self
                .databases
                .tasks(
                    ask.owner(),
                    TaskFilter {
                        numbers: filter.numbers.clone(),
                        nothing: filter.numbers.is_empty(),
                        ..TaskFilter::default()
                    },
                    ONE,
                )
                .await
                .map_err(|e| ask.tasks_refused(e))?;
            ask.allowed_on(&named)?;
        }
        let between = (
            day(
                ask,
                "startTimeBegin",
                asked.start_time_begin.as_deref(),
                "00:00:00",
            )?,
            day(
                ask,
                "StartTimeEnd",
                asked.start_time_end.as_deref(),
                "23:59:59",
            )?,
        );
        let (total, found) = self
            .databases
            .tasks_between(ask.owner(), filter, between, page)
            .await
            .map_err(|e| ask.tasks_refused(e))?;
        let instances = find::instances_of(&self.databases, ask, &found).await?;
        Ok(JobList {
            total_count: total,
            data: found
                .iter()
                .map(|t| job_row(ask.operation(), t, &instances))
                .collect(),
        })
    }
}

/// A row's code, message and list. What is no affair of the one row fails the
/// call.
pub(super) fn row<T>(
    ask: Ask<'_>,
    found: Result<T, Refusal>,
) -> Result<(i64, String, Option<T>), Refused> {
    let code = match &found {
        Ok(_) => 0,
        Err(Refusal::Database(_) | Refusal::History(_) | Refusal::Elsewhere { .. }) => {
            DATABASE_FAULT
        }
        Err(Refusal::State { .. }) => STATE,
        Err(_) => {
            return found
                .map(|list| (0, String::new(), Some(list)))
                .map_err(|e| ask.refused(e));
        }
    };
    let message = match &found {
        Ok(_) => "ok".to_owned(),
        Err(refusal) => codes::told(refusal),
    };
    Ok((code, message, found.ok()))
}

/// A date, or a time; a date alone is meant from its begin, or to its end.
fn day(
    ask: Ask<'_>,
    parameter: &str,
    text: Option<&str>,
    time: &str,
) -> Result<Option<Written>, Refused> {
    /// The length of `2016-01-25`.
    const DATE_CHARS: usize = 10;
    let Some(text) = text.filter(|t| !t.is_empty()) else {
        return Ok(None);
    };
    let written = match text.len() <= DATE_CHARS {
        true => ask.written(parameter, &format!("{text} {time}")),
        false => ask.written(parameter, text),
    };
    written.map(Some)
}

fn instance_row(instance: &Instance, holding: Option<&Holding>) -> InstanceRow {
    let zone: Zone = words::zone(instance);
    InstanceRow {
        u_instance_id: instance.id.to_string(),
        // There is one id here, and every call takes it.
        cdb_instance_id: instance.id.to_string(),
        init_flag: i64::from(instance.state != InstanceState::Creating),
        cdb_instance_type: 1,
        storage_size: instance.shape.volume_gb,
        max_query_count: 0,
        cdb_instance_name: instance.name.clone(),
        cdb_instance_vip: instance.address.host.clone(),
        cdb_instance_vport: instance.address.port,
        cdb_wan_status: 0,
        cdb_wan_domain: "",
        cdb_wan_port: 0,
        status: words::instance_state(instance.state),
        task_status: words::instance_task(holding),
        engine_version: words::engine_version(&instance.facts.version),
        cdb_instance_create_time: zone.local(instance.created),
        cdb_instance_deadline_time: words::NO_TIME,
        cdb_type_set: "",
        cdb_type: "CUSTOM",
        memory: instance.shape.memory_mb,
        volume: instance.shape.volume_gb,
        auto_renew: 0,
        zone_id: 0,
        vpc_id: 0,
        subnet_id: 0,
        project_id: 0,
        pay_type: 1,
        master_info: None,
        ro_info: [],
        dr_info: [],
        protect_mode: 0,
        slave_zone_first: 0,
        slave_zone_second: 0,
        slave_second_vip: "",
        slave_second_vport: 0,
        deploy_mode: 0,
        binlog_size: 0,
    }
}

fn job_row(operation: &Operation, task: &Task, instances: &find::Instances) -> JobRow {
    let zone = find::zone_of(instances, task);
    let code = task.error.as_ref().map(|(code, _)| *code);
    JobRow {
        code: codes::legacy_number(operation, code).to_owned(),
        message: words::told(task),
        job_id: task.number,
        // Only those are listed that have a type.
        kind: words::type_of(task).map_or(0, |t| t.number),
        status: words::legacy_state(task.standing),
        progress: task.percent,
        start_time: words::time(&zone, Some(task.created)),
        end_time: words::time(&zone, task.ended),
        detail: [instance_detail(&zone, task, instances)],
    }
}
