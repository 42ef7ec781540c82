//! What was asked, and how it stands.

use backout_core::time::Timestamp;
use backout_databases::model::Task;
use backout_databases::persistence::TaskFilter;
use backout_databases::{Written, Zone};
use backout_wire::types::cdb as wire;

use super::asked::{Ask, PAGE_DEFAULT};
use super::{Cdb, codes, count, find, words};
use crate::front::Refused;

/// The furthest that a zone is from coordinated universal time, rounded up: in
/// the store instants are looked for that are wider by so much, and the rest is
/// sorted out by the zone of each instance.
const ZONES_APART_MS: i64 = 24 * 3_600_000;

impl Cdb {
    pub(super) async fn describe_async_request_info(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeAsyncRequestInfoResponse, Refused> {
        let asked: wire::DescribeAsyncRequestInfoRequest = ask.params()?;
        let tasks = self
            .databases
            .tasks_asked(ask.owner(), asked.async_request_id.trim())
            .await
            .map_err(|e| ask.tasks_refused(e))?;
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
        if let Some(id) = asked.instance_id.filter(|id| !id.is_empty()) {
            let id = ask.id(&id)?;
            find::instance(&self.databases, ask, &id).await?;
            filter.instance = Some(id);
        }
        filter.asked = asked.async_request_id.filter(|a| !a.is_empty());
        for number in &asked.task_status {
            let states = words::filtered_states(*number).ok_or_else(|| {
                ask.error(codes::VALUE, format!("TaskStatus has no state {number}"))
            })?;
            filter.standings.extend(states);
        }
        filter.nothing = !asked.task_status.is_empty() && filter.standings.is_empty();
        let listed = Listed {
            types: asked.task_types,
            from: written(ask, "StartTimeBegin", asked.start_time_begin.as_deref())?,
            to: written(ask, "StartTimeEnd", asked.start_time_end.as_deref())?,
        };
        listed.narrow(ask, &mut filter)?;
        let (total, found) = find::tasks(&self.databases, ask.owner(), &filter, page, |t, z| {
            listed.has(t, z)
        })
        .await
        .map_err(|e| ask.tasks_refused(e))?;
        let instances = find::instances_of(&self.databases, ask.owner(), &found)
            .await
            .map_err(|e| ask.refused(e))?;
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

/// Which tasks a list of all kinds shows.
pub(crate) struct Listed {
    /// Of one of these types; of any when empty.
    pub(crate) types: Vec<i64>,
    /// Asked for at this instant or later, in the zone of each instance.
    pub(crate) from: Option<Written>,
    /// Asked for at this instant or earlier, in the zone of each instance.
    pub(crate) to: Option<Written>,
}

impl Listed {
    /// What of it the store can tell.
    pub(crate) fn narrow(&self, ask: Ask<'_>, filter: &mut TaskFilter) -> Result<(), Refused> {
        if let Some(odd) = self.types.iter().find(|n| !words::TYPE_NUMBERS.contains(n)) {
            return Err(ask.error(codes::VALUE, format!("there is no type of task {odd}")));
        }
        filter.kinds = match self.types.is_empty() {
            true => words::LISTED.to_vec(),
            false => words::kinds_of(&self.types),
        };
        filter.nothing |= filter.kinds.is_empty();
        let around = |written: &Written, ms: i64| {
            Zone::UTC
                .instant(written)
                .map(|us| Timestamp(us.div_euclid(1000)).plus_ms(ms))
                .map_err(|e| ask.error(codes::TIME, format!("failed to {e}")))
        };
        filter.created_from = self
            .from
            .as_ref()
            .map(|w| around(w, -ZONES_APART_MS))
            .transpose()?;
        filter.created_to = self
            .to
            .as_ref()
            .map(|w| around(w, ZONES_APART_MS))
            .transpose()?;
        Ok(())
    }

    /// The rest.
    pub(crate) fn has(&self, task: &Task, zone: &Zone) -> bool {
        let Some(kind) = words::type_of(task) else {
            return false;
        };
        if !self.types.is_empty() && !self.types.contains(&kind.number) {
            return false;
        }
        // The vendor's times have whole seconds: what began within the last of
        // them has begun at it.
        let second = task.created.unix_s();
        let at = |written: &Option<Written>, absent: i64| {
            written.as_ref().map_or(absent, |w| {
                zone.instant(w)
                    .map_or(absent, |us| us.div_euclid(1_000_000))
            })
        };
        (at(&self.from, i64::MIN)..=at(&self.to, i64::MAX)).contains(&second)
    }
}

fn task_detail(zone: &Zone, task: &Task) -> wire::TaskDetail {
    // `Listed::has` let only those through that have a type.
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
