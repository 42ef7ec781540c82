//! What was asked, and how it stands.

use backout_databases::model::Task;
use backout_databases::persistence::TaskFilter;
use backout_databases::{Refusal, Written, Zone};
use backout_wire::types::cdb as wire;

use super::asked::{Ask, PAGE_DEFAULT, work_id};
use super::{Cdb, codes, find, words};
use crate::front::{Refused, count};

impl Cdb {
    pub(super) async fn describe_async_request_info(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeAsyncRequestInfoResponse, Refused> {
        let asked: wire::DescribeAsyncRequestInfoRequest = ask.params()?;
        let tasks = self
            .databases
            .tasks_asked(ask.owner(), asked.async_request_id.trim())
            .await;
        let tasks = match tasks {
            Err(Refusal::TaskNotFound(unknown)) => {
                ask.allowed_on(&[])?;
                return Err(ask.refused(Refusal::TaskNotFound(unknown)));
            }
            found => found.map_err(|e| ask.tasks_refused(e))?,
        };
        ask.allowed_on(&tasks)?;
        // Each task on a line of its own: a call may be about many instances.
        let info = match tasks.as_slice() {
            [only] => words::told(only),
            several => several
                .iter()
                .map(|t| format!("{}: {}", t.instance, words::told(t)))
                .collect::<Vec<_>>()
                .join("\n"),
        };
        Ok(wire::DescribeAsyncRequestInfoResponse {
            status: words::async_state(words::together(&tasks)).to_owned(),
            info,
        })
    }

    pub(super) async fn describe_tasks(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeTasksResponse, Refused> {
        let asked: wire::DescribeTasksRequest = ask.params()?;
        let page = ask.page(asked.offset, asked.limit, PAGE_DEFAULT)?;
        let mut filter = TaskFilter::default();
        if let Some(id) = asked.instance_id.filter(|id| !id.trim().is_empty()) {
            let id = ask.id(&id)?;
            find::instance(&self.databases, ask, &id).await?;
            filter.instance = Some(id);
        }
        filter.asked = work_id(asked.async_request_id);
        if let (Some(work), None) = (&filter.asked, &filter.instance) {
            let tasks = self.databases.tasks_asked(ask.owner(), work).await;
            let tasks = match tasks {
                Err(Refusal::TaskNotFound(_)) => Vec::new(),
                found => found.map_err(|e| ask.tasks_refused(e))?,
            };
            ask.allowed_on(&tasks)?;
        }
        for number in &asked.task_status {
            let states = words::filtered_states(*number).ok_or_else(|| {
                ask.error(codes::VALUE, format!("TaskStatus has no state {number}"))
            })?;
            filter.standings.extend(states);
        }
        filter.nothing = !asked.task_status.is_empty() && filter.standings.is_empty();
        of_types(ask, &asked.task_types, &mut filter)?;
        let between = (
            written(ask, "StartTimeBegin", asked.start_time_begin.as_deref())?,
            written(ask, "StartTimeEnd", asked.start_time_end.as_deref())?,
        );
        let (total, found) = self
            .databases
            .tasks_between(ask.owner(), filter, between, page)
            .await
            .map_err(|e| ask.tasks_refused(e))?;
        let instances = find::instances_of(&self.databases, ask, &found).await?;
        Ok(wire::DescribeTasksResponse {
            total_count: count(total),
            items: found
                .iter()
                .map(|t| task_detail(&find::zone_of(&instances, t), t))
                .collect(),
        })
    }
}

fn written(ask: Ask<'_>, parameter: &str, text: Option<&str>) -> Result<Option<Written>, Refused> {
    text.filter(|t| !t.is_empty())
        .map(|t| ask.written(parameter, t))
        .transpose()
}

/// Narrows a list of all kinds of task to those of one of these types, or of
/// any when there are none.
pub(crate) fn of_types(
    ask: Ask<'_>,
    types: &[i64],
    filter: &mut TaskFilter,
) -> Result<(), Refused> {
    if let Some(odd) = types.iter().find(|n| !words::TYPE_NUMBERS.contains(n)) {
        return Err(ask.error(codes::VALUE, format!("there is no type of task {odd}")));
    }
    if types.is_empty() {
        filter.kinds = words::LISTED.to_vec();
        return Ok(());
    }
    (filter.kinds, filter.whole) = words::kinds_of(types);
    filter.nothing |= filter.kinds.is_empty();
    Ok(())
}

fn task_detail(zone: &Zone, task: &Task) -> wire::TaskDetail {
    // Only those are listed that have a type.
    let word = words::type_of(task).map_or("", |t| t.word);
    wire::TaskDetail {
        code: i64::from(task.error.is_some()),
        message: words::told(task),
        job_id: count(task.number),
        progress: i64::from(task.percent),
        task_status: words::task_state(task.standing).to_owned(),
        task_type: word.to_owned(),
        start_time: words::time(zone, Some(task.created)),
        end_time: words::time(zone, task.ended),
        instance_ids: vec![task.instance.to_string()],
        async_request_id: task.asked.clone(),
        task_attach_info: None,
    }
}
