//! What the engine stores, and what it does not.
//!
//! Stored, each in a table:
//! - `jobs`: what was asked (procedure, input, plan, on whose behalf), where it
//!   is (state, direction, step, percent), who has it (owner, fence), when it
//!   may run next, and how it ended;
//! - `job_steps`: an intent and a record for each step begun, and for each undo
//!   begun, with what the step remembered;
//! - `claims`: which job holds which resource; the primary key is what makes a
//!   claim exclusive;
//! - `job_events`: what happened, for those who watch; bounded for each job;
//! - `job_workers`: who works, by what process, and until when its lease runs;
//! - `job_fence`: the last fencing token. One row for the whole store, so that
//!   tokens grow over all jobs, not only within one.
//!
//! Not stored: registered procedures and their step tables (they are code),
//! cancel flags of running steps (the request for it is), progress that is
//! younger than a quarter of a second, and the lease of a single job. A worker
//! has one lease for all its jobs, so that a heartbeat costs one row however
//! many jobs run; a job whose `owner` has no row in `job_workers` cannot exist,
//! since both are only ever changed together.

use backout_core::code::Code;
use backout_core::fence::Fence;
use backout_core::ids::{AccountId, JobId, RequestId};
use backout_core::outcome::Outcome;
use backout_core::plan::Plan;
use backout_core::time::Timestamp;
use backout_store::{Dialect, Error as StoreError, Migration, Row, Tx, Value, params, query_one};

use crate::model::{Direction, EventKind, EventView, JobError, JobView, State};
use crate::procedure::Input;

/// The tables of this crate, in their order.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        name: "jobs-0001",
        sql: "
CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    procedure TEXT NOT NULL,
    title TEXT NOT NULL,
    account TEXT NOT NULL,
    request_id TEXT NOT NULL,
    node TEXT NOT NULL,
    resource TEXT NOT NULL,
    input TEXT NOT NULL,
    plan TEXT NOT NULL,
    background BIGINT NOT NULL,
    undo_of TEXT,
    idem_key TEXT,
    idem_hash TEXT,
    state TEXT NOT NULL,
    outcome TEXT,
    direction TEXT NOT NULL,
    cancel_requested BIGINT NOT NULL,
    no_return BIGINT NOT NULL,
    owner TEXT,
    fence BIGINT NOT NULL,
    next_run_ms BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    percent BIGINT NOT NULL,
    step TEXT,
    words TEXT NOT NULL,
    error_code TEXT,
    error_message TEXT,
    held_code TEXT,
    held_message TEXT,
    next_command TEXT,
    event_seq BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    started_ms BIGINT,
    ended_ms BIGINT
);
CREATE INDEX jobs_newest ON jobs (created_ms, id);
CREATE INDEX jobs_of_account ON jobs (account, created_ms, id);
CREATE INDEX jobs_of_account_in_state ON jobs (account, state, created_ms, id);
CREATE INDEX jobs_of_resource ON jobs (resource, created_ms, id);
CREATE INDEX jobs_in_state ON jobs (state, created_ms, id);
CREATE INDEX jobs_of_request ON jobs (request_id);
CREATE UNIQUE INDEX jobs_idempotent ON jobs (account, idem_key);
CREATE INDEX jobs_due ON jobs (node, next_run_ms, id) WHERE state = 'queued';
CREATE INDEX jobs_owned ON jobs (owner, cancel_requested) WHERE state = 'running';
CREATE INDEX jobs_ended ON jobs (ended_ms) WHERE state = 'done';
CREATE INDEX jobs_undoing ON jobs (undo_of, created_ms) WHERE undo_of IS NOT NULL;
CREATE TABLE job_steps (
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    step TEXT NOT NULL,
    undo BIGINT NOT NULL,
    intent_ms BIGINT NOT NULL,
    record_ms BIGINT,
    tries BIGINT NOT NULL,
    output TEXT,
    PRIMARY KEY (job, step, undo)
);
CREATE TABLE claims (
    resource TEXT PRIMARY KEY,
    job TEXT NOT NULL REFERENCES jobs (id),
    background BIGINT NOT NULL,
    successor TEXT REFERENCES jobs (id)
);
CREATE INDEX claims_of_job ON claims (job);
CREATE INDEX claims_awaited ON claims (successor) WHERE successor IS NOT NULL;
CREATE TABLE job_events (
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    seq BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    kind TEXT NOT NULL,
    step TEXT,
    undo BIGINT NOT NULL,
    percent BIGINT,
    words TEXT NOT NULL,
    PRIMARY KEY (job, seq)
);
CREATE TABLE job_workers (
    owner TEXT PRIMARY KEY,
    node TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    pid_space TEXT NOT NULL,
    pid BIGINT NOT NULL,
    pid_start BIGINT NOT NULL,
    lease_until_ms BIGINT NOT NULL
);
CREATE TABLE job_fence (
    id BIGINT PRIMARY KEY,
    last BIGINT NOT NULL
);
INSERT INTO job_fence (id, last) VALUES (1, 0);
",
    },
    Migration {
        name: "jobs-0002",
        sql: "
CREATE INDEX jobs_held ON jobs (account, created_ms, id) WHERE outcome = 'held';
",
    },
];

/// `next_run_ms` of a job that waits for a background job to yield. Its end
/// sets a real instant.
pub(crate) const NEVER_MS: i64 = i64::MAX;

/// How many events of one job are kept. A procedure of 20 steps, each done and
/// undone with every repetition, makes fewer than 500.
const MAX_EVENTS: i64 = 1_000;

/// How many characters of words, errors and messages are stored: a line or a
/// few, not a dump.
const MAX_WORDS: usize = 2_000;

/// Cuts text that is for people to what is stored of it.
pub(crate) fn cut(text: &str) -> String {
    text.chars().take(MAX_WORDS).collect()
}

/// ` FOR UPDATE` where rows are locked one by one.
pub(crate) fn for_update(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "",
        Dialect::Postgres => " FOR UPDATE",
    }
}

/// What to add to the row of a job's history.
pub(crate) struct NewEvent<'a> {
    pub(crate) kind: EventKind,
    pub(crate) step: Option<&'a str>,
    pub(crate) undo: bool,
    pub(crate) percent: Option<u8>,
    pub(crate) words: &'a str,
}

impl<'a> NewEvent<'a> {
    pub(crate) fn of(kind: EventKind, words: &'a str) -> Self {
        Self {
            kind,
            step: None,
            undo: false,
            percent: None,
            words,
        }
    }
}

/// Writes one event with the number `seq`, which the caller took from the job's
/// row in the same transaction. Drops the oldest beyond the bound.
pub(crate) fn add_event(
    tx: &mut dyn Tx,
    job: &JobId,
    seq: i64,
    now: Timestamp,
    event: &NewEvent<'_>,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO job_events (job, seq, at_ms, kind, step, undo, percent, words) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        params![
            job.as_str(),
            seq,
            now.0,
            event.kind.as_str(),
            event.step.map(str::to_owned),
            event.undo,
            event.percent.map(i64::from),
            cut(event.words)
        ],
    )?;
    if seq > MAX_EVENTS {
        tx.execute(
            "DELETE FROM job_events WHERE job = $1 AND seq <= $2",
            params![job.as_str(), seq - MAX_EVENTS],
        )?;
    }
    Ok(())
}

/// Asks for a cancel. `true` when the request is new and comes in time: the job
/// is not done, not being undone, and not past a point of no return.
pub(crate) fn request_cancel(
    tx: &mut dyn Tx,
    job: &JobId,
    now: Timestamp,
    why: &str,
) -> Result<bool, StoreError> {
    // A queued job is made due, so that a worker ends it without running it.
    let Some(row) = query_one(
        tx,
        "UPDATE jobs SET cancel_requested = 1, event_seq = event_seq + 1, \
           next_run_ms = CASE WHEN state = 'queued' THEN $2 ELSE next_run_ms END \
         WHERE id = $1 AND state <> 'done' AND direction = 'forward' AND cancel_requested = 0 \
           AND no_return = 0 \
         RETURNING event_seq",
        params![job.as_str(), now.0],
    )?
    else {
        return Ok(false);
    };
    let event = NewEvent::of(EventKind::CancelRequested, why);
    add_event(tx, job, row.get(0)?, now, &event)?;
    Ok(true)
}

/// Gives up the claims of a job that has ended: those that a foreground job
/// waits for go to it, the others are free.
pub(crate) fn release_claims(
    tx: &mut dyn Tx,
    job: &JobId,
    now: Timestamp,
) -> Result<(), StoreError> {
    // First of all: a job that was cancelled while it waited must not be handed
    // a claim after it has given up its own.
    tx.execute(
        "UPDATE claims SET successor = NULL WHERE successor = $1",
        params![job.as_str()],
    )?;
    let lock = for_update(tx.dialect());
    let mut heirs = tx
        .query(
            &format!("SELECT successor FROM claims WHERE job = $1 ORDER BY resource{lock}"),
            params![job.as_str()],
        )?
        .iter()
        .map(|row| row.get::<Option<String>>(0))
        .filter_map(Result::transpose)
        .collect::<Result<Vec<_>, _>>()?;
    tx.execute(
        "UPDATE claims SET job = successor, successor = NULL, background = 0 \
         WHERE job = $1 AND successor IS NOT NULL",
        params![job.as_str()],
    )?;
    tx.execute("DELETE FROM claims WHERE job = $1", params![job.as_str()])?;
    heirs.sort_unstable();
    heirs.dedup();
    for heir in heirs {
        tx.execute(
            "UPDATE jobs SET next_run_ms = $2 WHERE id = $1 AND state = 'queued' \
             AND NOT EXISTS (SELECT 1 FROM claims WHERE successor = $1)",
            params![heir, now.0],
        )?;
    }
    Ok(())
}

/// Puts every job of a dead owner back to work, and forgets the owner. `None`
/// when another worker was first.
pub(crate) fn bury(tx: &mut dyn Tx, owner: &str) -> Result<Option<u64>, StoreError> {
    if tx.execute("DELETE FROM job_workers WHERE owner = $1", params![owner])? == 0 {
        return Ok(None);
    }
    put_back_all(tx, owner).map(Some)
}

/// As [`bury`], only if its lease has run out by `now`: what was read before
/// may have changed.
pub(crate) fn bury_expired(
    tx: &mut dyn Tx,
    owner: &str,
    now: Timestamp,
) -> Result<Option<u64>, StoreError> {
    if tx.execute(
        "DELETE FROM job_workers WHERE owner = $1 AND lease_until_ms < $2",
        params![owner, now.0],
    )? == 0
    {
        return Ok(None);
    }
    put_back_all(tx, owner).map(Some)
}

fn put_back_all(tx: &mut dyn Tx, owner: &str) -> Result<u64, StoreError> {
    tx.execute(
        "UPDATE jobs SET state = 'queued', owner = NULL WHERE owner = $1 AND state = 'running'",
        params![owner],
    )
}

/// What every fenced write names.
#[derive(Clone, Debug)]
pub(crate) struct Hold {
    pub(crate) job: JobId,
    pub(crate) fence: Fence,
    pub(crate) owner: String,
}

/// Puts one job back to work, if it is still ours. `false` when it is not.
pub(crate) fn put_back(tx: &mut dyn Tx, hold: &Hold, next_run_ms: i64) -> Result<bool, StoreError> {
    Ok(tx.execute(
        "UPDATE jobs SET state = 'queued', owner = NULL, next_run_ms = $4 \
         WHERE id = $1 AND fence = $2 AND owner = $3 AND state = 'running'",
        params![
            hold.job.as_str(),
            hold.fence.0,
            hold.owner.as_str(),
            next_run_ms
        ],
    )? == 1)
}

/// Whether a job is still in the hands of who was given this fence. The row is
/// locked by it, so that nobody takes the job before the transaction ends.
pub(crate) fn is_ours(tx: &mut dyn Tx, job: &JobId, fence: Fence) -> Result<bool, StoreError> {
    let touched = tx.execute(
        "UPDATE jobs SET fence = $2 WHERE id = $1 AND fence = $2 AND state = 'running'",
        params![job.as_str(), fence.0],
    )?;
    Ok(touched == 1)
}

/// Whether somebody asked to cancel a job.
pub(crate) fn is_cancelled(tx: &mut dyn Tx, job: &JobId) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM jobs WHERE id = $1 AND cancel_requested = 1";
    Ok(query_one(tx, sql, params![job.as_str()])?.is_some())
}

/// The columns of [`read_view`], in its order.
pub(crate) const VIEW_COLUMNS: &str = "id, procedure, title, account, request_id, node, resource, \
    state, outcome, direction, cancel_requested, background, percent, step, words, attempts, \
    error_code, error_message, held_code, held_message, next_command, undo_of, \
    (SELECT u.id FROM jobs u WHERE u.undo_of = jobs.id \
       AND (u.outcome IS NULL OR u.outcome <> 'reverted') \
     ORDER BY u.created_ms DESC LIMIT 1) AS undone_by, \
    created_ms, started_ms, ended_ms, input, plan, no_return";

/// Reads a row of [`VIEW_COLUMNS`]. An input or a plan that does not decode is
/// shown as empty: the job must still be seen, and be told apart as Held.
pub(crate) fn read_view(row: &Row) -> Result<JobView, StoreError> {
    let procedure: String = row.get(1)?;
    let title: String = row.get(2)?;
    let input: String = row.get(26)?;
    let plan: String = row.get(27)?;
    Ok(JobView {
        id: row.parse(0, |t| t.parse().ok())?,
        account: row.parse(3, |t| t.parse::<AccountId>().ok())?,
        request: RequestId(row.get(4)?),
        node: row.get(5)?,
        resource: row.get(6)?,
        state: row.parse(7, State::parse)?,
        outcome: optional(row, 8, Outcome::parse)?,
        direction: row.parse(9, Direction::parse)?,
        cancel_requested: row.get(10)?,
        no_return: row.get(28)?,
        background: row.get(11)?,
        percent: percent(row, 12)?,
        step: row.get(13)?,
        words: row.get(14)?,
        attempts: row.get(15)?,
        error: job_error(row, 16)?,
        held: job_error(row, 18)?,
        next_command: row.get(20)?,
        undo_of: optional(row, 21, |t| t.parse().ok())?,
        undone_by: optional(row, 22, |t| t.parse().ok())?,
        created: Timestamp(row.get(23)?),
        started: row.get::<Option<i64>>(24)?.map(Timestamp),
        ended: row.get::<Option<i64>>(25)?.map(Timestamp),
        input: serde_json::from_str(&input).unwrap_or_default(),
        plan: serde_json::from_str(&plan).unwrap_or_else(|_| Plan {
            procedure: procedure.clone(),
            title: title.clone(),
            claims: Vec::new(),
            steps: Vec::new(),
        }),
        procedure,
        title,
    })
}

/// What a worker needs of a job that it has taken.
pub(crate) struct Claimed {
    pub(crate) procedure: String,
    pub(crate) request: RequestId,
    pub(crate) account: AccountId,
    pub(crate) resource: String,
    pub(crate) input: Input,
    pub(crate) direction: Direction,
    pub(crate) no_return: bool,
    pub(crate) attempts: i64,
    pub(crate) error: Option<JobError>,
    /// Whether no worker had it before.
    pub(crate) first: bool,
}

/// The columns of [`read_claimed`], in its order; `$2` is the present instant.
pub(crate) const CLAIMED_COLUMNS: &str = "id, procedure, request_id, account, input, direction, \
    no_return, attempts, error_code, error_message, CASE WHEN started_ms = $2 THEN 1 ELSE 0 END, \
    resource";

/// Reads a row of [`CLAIMED_COLUMNS`].
pub(crate) fn read_claimed(row: &Row) -> Result<Claimed, StoreError> {
    let input: String = row.get(4)?;
    Ok(Claimed {
        procedure: row.get(1)?,
        request: RequestId(row.get(2)?),
        account: row.parse(3, |t| t.parse().ok())?,
        input: serde_json::from_str(&input)
            .map_err(|e| StoreError::corrupt(format!("its input is not JSON: {e}")))?,
        direction: row.parse(5, Direction::parse)?,
        no_return: row.get(6)?,
        attempts: row.get(7)?,
        error: job_error(row, 8)?,
        first: row.get(10)?,
        resource: row.get(11)?,
    })
}

/// Reads a row of `seq, at_ms, kind, step, undo, percent, words`.
pub(crate) fn read_event(row: &Row) -> Result<EventView, StoreError> {
    Ok(EventView {
        seq: row.get(0)?,
        at: Timestamp(row.get(1)?),
        kind: row.parse(2, EventKind::parse)?,
        step: row.get(3)?,
        undo: row.get(4)?,
        percent: row
            .get::<Option<i64>>(5)?
            .map(|_| percent(row, 5))
            .transpose()?,
        words: row.get(6)?,
    })
}

pub(crate) fn optional<T>(
    row: &Row,
    index: usize,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, StoreError> {
    match row.get::<Option<String>>(index)? {
        None => Ok(None),
        Some(_) => row.parse(index, parse).map(Some),
    }
}

pub(crate) fn job_error(row: &Row, index: usize) -> Result<Option<JobError>, StoreError> {
    let Some(code) = optional(row, index, parse_code)? else {
        return Ok(None);
    };
    Ok(Some(JobError {
        code,
        message: row.get::<Option<String>>(index + 1)?.unwrap_or_default(),
    }))
}

fn parse_code(text: &str) -> Option<Code> {
    Code::ALL.iter().copied().find(|c| c.as_str() == text)
}

fn percent(row: &Row, index: usize) -> Result<u8, StoreError> {
    u8::try_from(row.get::<i64>(index)?)
        .map_err(|_| StoreError::corrupt(format!("column {index} is no percentage")))
}

/// `$from, $from+1, ...`: `count` placeholders.
pub(crate) fn placeholders(from: usize, count: usize) -> String {
    (from..from + count)
        .map(|n| format!("${n}"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Parameters with a list of names behind them.
pub(crate) fn with_names(first: &[Value], names: &[String]) -> Vec<Value> {
    first
        .iter()
        .cloned()
        .chain(names.iter().map(Value::from))
        .collect()
}
