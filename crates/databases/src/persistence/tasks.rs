//! The rows of tasks: what was asked of instances.
//!
//! A row without an end takes how it stands from its job, whose rows are
//! written as it goes; with its end it holds that itself, since it outlives the
//! job. A task whose job is held has no end: the job can be retried.

use backout_core::code::Code;
use backout_core::ids::{AccountId, DatabaseId, JobId, RequestId};
use backout_core::outcome::Outcome;
use backout_core::time::Timestamp;
use backout_jobs::{Direction, JobView, JobsError, State};
use backout_store::rows::{Conditions, Page, json_text, optional, paged, read_json};
use backout_store::{Error, Row, Tx, Value, params};

use crate::model::{Detail, RollbackDetail, Standing, Task, TaskKind};

const COLUMNS: &str = "number, asked, owner, operator, request, instance, kind, job, detail, \
     standing, percent, words, error_code, error_message, created_ms, ended_ms";

/// Which tasks. Empty lists leave a condition out; conditions are joined by
/// AND, the values inside one by OR.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// These numbers.
    pub numbers: Vec<u64>,
    /// Of this instance.
    pub instance: Option<DatabaseId>,
    /// Of the work of this call.
    pub asked: Option<String>,
    /// Of one of these kinds.
    pub kinds: Vec<TaskKind>,
    /// Standing like one of these.
    pub standings: Vec<Standing>,
    /// Of one of these jobs.
    pub jobs: Vec<JobId>,
    /// Of the kinds that take back: with true only those of one whole database,
    /// with false only the others. Other kinds are not concerned.
    pub whole: Option<bool>,
    /// Asked for at this instant or later.
    pub created_from: Option<Timestamp>,
    /// Asked for at this instant or earlier.
    pub created_to: Option<Timestamp>,
    /// Asked for in the span of the zone of its instance.
    pub spans: Option<Vec<Span>>,
    /// Matches nothing at all: for a condition that no task here can meet.
    pub nothing: bool,
}

/// A time of the clock on the wall in one zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The zone, as [`super::zones_of`] gives it.
    pub zone: String,
    /// The instances in it that are there. Those that are gone are found by the
    /// zone.
    pub instances: Vec<DatabaseId>,
    /// Of what nothing is known any more is in this span.
    pub unknown: bool,
    /// From when on, in milliseconds since 1970.
    pub from_ms: i64,
    /// Until when, that instant left out.
    pub before_ms: i64,
}

/// The kinds of task that take tables back, or forward again.
const TAKING_BACK: &str = "('rollback', 'rewind', 'undo')";

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// How it stands.
    pub standing: Standing,
    /// How it ended, in a few words.
    pub words: String,
    /// Why it failed.
    pub error: Option<(Code, String)>,
    /// When.
    pub at: Timestamp,
}

/// Adds a task, with a number from [`super::next_task_number`].
pub fn insert_task(tx: &mut dyn Tx, task: &Task) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO database_tasks (number, asked, owner, operator, request, instance, kind, job, \
         detail, standing, percent, words, error_code, error_message, created_ms, ended_ms, whole) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
        params![
            task.number.cast_signed(),
            &task.asked,
            task.owner.as_str(),
            task.operator.as_str(),
            &task.request.0,
            task.instance.as_str(),
            task.kind.as_str(),
            task.job.as_str(),
            json_text("detail", &task.detail)?,
            task.standing.as_str(),
            i64::from(task.percent),
            &task.words,
            task.error.as_ref().map(|(code, _)| code.as_str()),
            task.error.as_ref().map(|(_, message)| message.clone()),
            task.created.0,
            task.ended.map(|t| t.0),
            i64::from(is_whole(&task.detail))
        ],
    )?;
    Ok(())
}

/// Whether one whole database is taken back, and nothing else.
fn is_whole(detail: &Detail) -> bool {
    detail
        .rollback
        .as_ref()
        .is_some_and(RollbackDetail::is_of_one_database)
}

/// A task by its number, whoever owns it.
pub fn task(tx: &mut dyn Tx, number: u64) -> Result<Option<Task>, Error> {
    one(tx, "number = $1", params![number.cast_signed()])
}

/// The task that a job does; not the one that stops it.
pub fn task_of_job(tx: &mut dyn Tx, job: &JobId) -> Result<Option<Task>, Error> {
    one(tx, "job = $1 AND kind <> 'stop'", params![job.as_str()])
}

/// The tasks of one call's work, in their order.
pub fn tasks_by_asked(tx: &mut dyn Tx, owner: &AccountId, asked: &str) -> Result<Vec<Task>, Error> {
    // A call names at most as many instances as it may, each with one task.
    let sql = format!(
        "SELECT {COLUMNS} FROM database_tasks WHERE asked = $1 AND owner = $2 ORDER BY number"
    );
    several(tx, &sql, params![asked, owner.as_str()])
}

/// The task that takes tables of an instance back, or forward again, and has
/// not ended; the newest, should there be one that waits for another.
pub fn running_rollback_of(tx: &mut dyn Tx, instance: &DatabaseId) -> Result<Option<Task>, Error> {
    one(
        tx,
        &format!("instance = $1 AND ended_ms IS NULL AND kind IN {TAKING_BACK}"),
        params![instance.as_str()],
    )
}

/// The task that an instance is busy with, or held by.
pub fn open_task_of(tx: &mut dyn Tx, instance: &DatabaseId) -> Result<Option<Task>, Error> {
    one(
        tx,
        "instance = $1 AND ended_ms IS NULL AND kind <> 'stop'",
        params![instance.as_str()],
    )
}

/// One page of an owner's tasks, newest first, and how many match.
pub fn list_tasks(
    tx: &mut dyn Tx,
    owner: &AccountId,
    filter: &TaskFilter,
    page: Page,
) -> Result<(u64, Vec<Task>), Error> {
    if filter.nothing {
        return Ok((0, Vec::new()));
    }
    let mut w = Conditions::new("owner", owner.as_str());
    w.one_of("number", filter.numbers.iter().map(|n| n.cast_signed()));
    w.one_of("instance", filter.instance.iter().map(DatabaseId::as_str));
    w.one_of("asked", &filter.asked);
    w.one_of("kind", filter.kinds.iter().map(|k| k.as_str()));
    w.one_of("job", filter.jobs.iter().map(JobId::as_str));
    if let Some(whole) = filter.whole {
        let mark = w.bind(i64::from(whole));
        w.sql.push_str(&format!(
            " AND (kind NOT IN {TAKING_BACK} OR whole = {mark})"
        ));
    }
    if let Some(spans) = &filter.spans {
        within(&mut w, spans);
    }
    w.between(
        "created_ms",
        filter.created_from.map(|t| t.0),
        filter.created_to.map(|t| t.0),
    );
    if !filter.standings.is_empty() {
        // Few: an instance has one job at a time.
        let mut of = Conditions::new("owner", owner.as_str());
        of.one_of("instance", filter.instance.iter().map(DatabaseId::as_str));
        let sql = format!(
            "SELECT {COLUMNS} FROM database_tasks WHERE {} AND ended_ms IS NULL ORDER BY number",
            of.sql
        );
        let open = several(tx, &sql, &of.params)?;
        let open = open
            .iter()
            .filter(|task| filter.standings.contains(&task.standing))
            .map(|task| w.bind(task.number.cast_signed()))
            .collect::<Vec<_>>();
        let words = filter.standings.iter();
        let words = words.map(|s| w.bind(s.as_str())).collect::<Vec<_>>();
        let open = match open.is_empty() {
            true => String::new(),
            false => format!(" OR number IN ({})", open.join(", ")),
        };
        w.sql.push_str(&format!(
            " AND ((ended_ms IS NOT NULL AND standing IN ({})){open})",
            words.join(", ")
        ));
    }
    let (total, tasks) = paged(
        tx,
        COLUMNS,
        "database_tasks",
        w,
        "number DESC",
        page,
        read_task,
    )?;
    let tasks = tasks
        .into_iter()
        .map(|task| as_it_stands(tx, task))
        .collect::<Result<_, _>>()?;
    Ok((total, tasks))
}

/// Adds that a task was asked for in the span of its instance's zone. The owner
/// is `$1`.
fn within(w: &mut Conditions, spans: &[Span]) {
    let mut any = Vec::with_capacity(spans.len());
    for span in spans {
        let (from, before) = (w.bind(span.from_ms), w.bind(span.before_ms));
        let zone = w.bind(span.zone.as_str());
        let mut of = vec![format!(
            "instance IN (SELECT g.instance FROM database_gone g WHERE g.owner = $1 AND g.zone = {zone})"
        )];
        let there = span.instances.iter().map(|id| w.bind(id.as_str()));
        let there = there.collect::<Vec<_>>();
        if !there.is_empty() {
            of.push(format!("instance IN ({})", there.join(", ")));
        }
        if span.unknown {
            of.push(
                "(instance NOT IN (SELECT g.instance FROM database_gone g WHERE g.owner = $1) \
                 AND instance NOT IN (SELECT d.id FROM databases d WHERE d.owner = $1))"
                    .to_owned(),
            );
        }
        any.push(format!(
            "(created_ms >= {from} AND created_ms < {before} AND ({}))",
            of.join(" OR ")
        ));
    }
    let any = match any.is_empty() {
        true => "1 = 0".to_owned(),
        false => any.join(" OR "),
    };
    w.sql.push_str(&format!(" AND ({any})"));
}

/// Records how the task of a job stands at its end, and with it any task that
/// was to stop it. Says how things are: may be said again, and a task that was
/// held may end otherwise later.
pub fn end_task(tx: &mut dyn Tx, job: &JobId, end: &End) -> Result<(), Error> {
    let error_values = |error: Option<&(Code, String)>| -> [Value; 2] {
        [
            error.map(|(code, _)| code.as_str()).into(),
            error.map(|(_, message)| message.clone()).into(),
        ]
    };
    let mut write = |of: &str, standing: Standing, words: &str, error| {
        let [code, message] = error_values(error);
        tx.execute(
            &format!(
                "UPDATE database_tasks SET standing = $2, words = $3, error_code = $4, \
                 error_message = $5, ended_ms = $6, percent = CASE WHEN $7 = 1 THEN 100 ELSE percent END \
                 WHERE job = $1 AND {of}"
            ),
            &[
                job.as_str().into(),
                standing.as_str().into(),
                words.into(),
                code,
                message,
                (standing != Standing::Held).then_some(end.at.0).into(),
                (standing == Standing::Applied).into(),
            ],
        )
    };
    write(
        "kind <> 'stop'",
        end.standing,
        &end.words,
        end.error.as_ref(),
    )?;
    let stop = of_stop(end.standing);
    let missed = (stop == Standing::Failed).then(|| missed_stop(end.standing));
    let words = missed.as_ref().map_or("stopped", |(_, words)| words);
    // One that has ended was told of this before, or came too late.
    write(
        "kind = 'stop' AND ended_ms IS NULL",
        stop,
        words,
        missed.as_ref(),
    )?;
    Ok(())
}

/// Records what is particular to the task of a job.
pub fn set_task_detail(tx: &mut dyn Tx, job: &JobId, detail: &Detail) -> Result<(), Error> {
    tx.execute(
        "UPDATE database_tasks SET detail = $2 WHERE job = $1 AND kind <> 'stop'",
        params![job.as_str(), json_text("detail", detail)?],
    )?;
    Ok(())
}

fn one(tx: &mut dyn Tx, wanted: &str, values: &[Value]) -> Result<Option<Task>, Error> {
    let sql =
        format!("SELECT {COLUMNS} FROM database_tasks WHERE {wanted} ORDER BY number DESC LIMIT 1");
    Ok(several(tx, &sql, values)?.pop())
}

fn several(tx: &mut dyn Tx, sql: &str, values: &[Value]) -> Result<Vec<Task>, Error> {
    let rows = tx.query(sql, values)?;
    rows.iter()
        .map(|row| read_task(row).and_then(|task| as_it_stands(tx, task)))
        .collect()
}

/// A task without an end, with what its job says now.
fn as_it_stands(tx: &mut dyn Tx, mut task: Task) -> Result<Task, Error> {
    if task.ended.is_some() {
        return Ok(task);
    }
    let job = match backout_jobs::get_in(tx, &task.job) {
        Ok(job) => job,
        // Jobs are kept for a while, and held ones for ever.
        Err(JobsError::NotFound(_)) => return ended_unseen(tx, task),
        Err(JobsError::Store(e)) => return Err(e),
        Err(e) => return Err(Error::corrupt(e.to_string())),
    };
    let standing = standing_of(&job);
    task.percent = job.percent;
    task.words = job.words.clone();
    task.standing = match task.kind {
        TaskKind::Stop if !job.is_done() => Standing::Running,
        TaskKind::Stop => of_stop(standing),
        _ => standing,
    };
    task.error = None;
    if job.is_done() {
        task.ended = job.ended;
        task.error = job.held.or(job.error).map(|e| (e.code, e.message));
        if let Some(next) = job.next_command {
            task.words = format!("held; when the cause is gone: {next}");
        }
    }
    Ok(task)
}

/// A task without an end whose job is gone: one that was to stop another, and
/// came after that had ended, stands by it; else it is as it was last.
fn ended_unseen(tx: &mut dyn Tx, mut task: Task) -> Result<Task, Error> {
    if task.kind == TaskKind::Stop
        && let Some(stopped) = task_of_job(tx, &task.job)?
        && stopped.ended.is_some()
    {
        task.standing = of_stop(stopped.standing);
        task.ended = stopped.ended;
    }
    Ok(task)
}

/// How a job stands.
fn standing_of(job: &JobView) -> Standing {
    let cancelled = job
        .error
        .as_ref()
        .is_some_and(|e| e.code == Code::Cancelled);
    match job.state {
        State::Done => Standing::of(job.outcome.unwrap_or(Outcome::Held), cancelled),
        _ if job.direction == Direction::Undoing || job.cancel_requested => Standing::Stopping,
        State::Running => Standing::Running,
        // Between two attempts.
        State::Queued if job.started.is_some() => Standing::Running,
        State::Queued => Standing::Waiting,
    }
}

/// How the task stands that stops one that stands like this at its end.
const fn of_stop(stopped: Standing) -> Standing {
    match stopped {
        Standing::Stopped => Standing::Applied,
        Standing::Held => Standing::Held,
        _ => Standing::Failed,
    }
}

/// Why a task was not stopped.
fn missed_stop(stopped: Standing) -> (Code, String) {
    let how = match stopped {
        Standing::Applied => "it was done before; undo it instead",
        _ => "it had failed before, and all is as it was",
    };
    (Code::JobState, format!("stop a rollback: {how}"))
}

fn read_task(row: &Row) -> Result<Task, Error> {
    Ok(Task {
        number: row.get::<i64>(0)?.cast_unsigned(),
        asked: row.get(1)?,
        owner: row.parse(2, |t| t.parse().ok())?,
        operator: row.parse(3, |t| t.parse().ok())?,
        request: RequestId(row.get(4)?),
        instance: row.parse(5, |t| t.parse().ok())?,
        kind: row.parse(6, TaskKind::parse)?,
        job: row.parse(7, |t| t.parse().ok())?,
        detail: read_json("detail", row, 8)?,
        standing: row.parse(9, Standing::parse)?,
        percent: u8::try_from(row.get::<i64>(10)?).map_err(|_| Error::corrupt("a percentage"))?,
        words: row.get(11)?,
        error: optional(row, 12, |row, at| {
            Ok((
                row.parse(at, |t| Code::ALL.iter().copied().find(|c| c.as_str() == t))?,
                row.get(at + 1)?,
            ))
        })?,
        created: Timestamp(row.get(14)?),
        ended: row.get::<Option<i64>>(15)?.map(Timestamp),
    })
}
