//! [`Jobs`]: looking at jobs, and telling them what to do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use backout_core::code::Code;
use backout_core::ids::{Entropy, JobId, RequestId};
use backout_core::outcome::Outcome;
use backout_core::time::{Clock, Timestamp};
use backout_store::{Error as StoreError, Row, Store, Tx, Value, params, query_one};
use tokio::sync::{broadcast, watch};

use crate::model::{
    Cursor, EventKind, EventView, Filter, JobView, Page, State, StepState, StepView,
};
use crate::persistence::{self, NewEvent, VIEW_COLUMNS, add_event, read_event, read_view};
use crate::procedure::Cancel;

/// The longest page of jobs: what a person or a console shows at once.
pub const MAX_PAGE: usize = 100;

/// The longest page of events.
pub const MAX_EVENT_PAGE: usize = 500;

/// How many changes a follower may be behind before it is told to look afresh.
const CHANGES_KEPT: usize = 1_024;

/// How often [`Jobs::wait`] and [`Jobs::next_events`] look at the store for
/// changes made by other processes.
const FOLLOW_POLL: Duration = Duration::from_millis(500);

/// How many ended jobs are removed in one transaction: some thousand rows with
/// their steps and events, a few tens of milliseconds of the only writer.
pub const RETAIN_BATCH: usize = 200;

/// Why a job could not be looked at, or told something.
#[derive(Debug, thiserror::Error)]
pub enum JobsError {
    /// There is no such job, or it is no longer kept.
    #[error("find job {0}: there is none, or it is no longer kept; see \"backout jobs list\"")]
    NotFound(JobId),
    /// Only a Held job can be retried.
    #[error("retry job {job}: only a held job can be retried, this one is {is}")]
    NotHeld {
        /// The job.
        job: JobId,
        /// Its state, or outcome.
        is: &'static str,
    },
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl JobsError {
    /// Our stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::NotFound(_) => Code::NotFound,
            Self::NotHeld { .. } => Code::JobState,
            Self::Store(_) => Code::Store,
        }
    }
}

/// What became of a cancel request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelAnswer {
    /// Written down. The job ends Reverted, unless its last step finishes
    /// first.
    Requested,
    /// Somebody asked before.
    AlreadyRequested,
    /// It is being taken back already.
    AlreadyUndoing,
    /// It has ended, or is past a point of no return.
    TooLate,
}

/// A handle on the jobs of one store. Cheap to clone; clones share their
/// notifications, so a process makes one and hands out clones.
#[derive(Clone)]
pub struct Jobs {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    work: watch::Sender<u64>,
    changes: broadcast::Sender<JobId>,
    /// The cancel flags of the steps that run in this process.
    running: Mutex<HashMap<JobId, Cancel>>,
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs")
            .field("store", &self.inner.store)
            .finish_non_exhaustive()
    }
}

impl Jobs {
    /// A handle on the jobs in `store`, whose migrations must include
    /// [`MIGRATIONS`](crate::MIGRATIONS).
    #[must_use]
    pub fn new(store: Store, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        let (changes, _) = broadcast::channel(CHANGES_KEPT);
        Self {
            inner: Arc::new(Inner {
                store,
                clock,
                entropy,
                work: watch::Sender::new(0),
                changes,
                running: Mutex::new(HashMap::new()),
            }),
        }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The present instant.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        self.inner.entropy.as_ref()
    }

    /// A fresh job id.
    #[must_use]
    pub fn new_id(&self) -> JobId {
        JobId::random(self.entropy())
    }

    /// Submits a job in a transaction of its own and wakes the workers.
    /// Products that write rows of their own call [`crate::submit`] in their
    /// transaction and then [`Jobs::wake`].
    ///
    /// # Errors
    /// [`SubmitError`](crate::SubmitError).
    pub async fn submit(&self, new: crate::NewJob) -> Result<crate::Submitted, crate::SubmitError> {
        let submitted = self
            .inner
            .store
            .write(move |tx| crate::submit(tx, &new))
            .await?;
        self.changed(&submitted.id);
        // Background jobs that run here should notice at once.
        for job in &submitted.waits_for {
            self.cancel_here(job);
        }
        self.wake();
        Ok(submitted)
    }

    /// Tells the workers of this process that there is something to do. Call it
    /// after a transaction with [`crate::submit`] in it.
    pub fn wake(&self) {
        self.inner.work.send_modify(|n| *n = n.wrapping_add(1));
    }

    pub(crate) fn wakes(&self) -> watch::Receiver<u64> {
        self.inner.work.subscribe()
    }

    /// Tells the id of each job that changes through this process. What other
    /// processes do is not heard: see [`Jobs::next_events`].
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<JobId> {
        self.inner.changes.subscribe()
    }

    pub(crate) fn changed(&self, job: &JobId) {
        // Fails when nobody listens, which is fine.
        drop(self.inner.changes.send(job.clone()));
    }

    pub(crate) fn set_running(&self, job: &JobId, cancel: Cancel) {
        self.lock_running().insert(job.clone(), cancel);
    }

    pub(crate) fn unset_running(&self, job: &JobId) {
        self.lock_running().remove(job);
    }

    fn cancel_here(&self, job: &JobId) {
        if let Some(cancel) = self.lock_running().get(job) {
            cancel.request();
        }
    }

    fn lock_running(&self) -> std::sync::MutexGuard<'_, HashMap<JobId, Cancel>> {
        self.inner
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// One job.
    ///
    /// # Errors
    /// [`JobsError::NotFound`], [`JobsError::Store`].
    pub async fn get(&self, id: &JobId) -> Result<JobView, JobsError> {
        let id = id.clone();
        self.inner.store.read(move |tx| get_in(tx, &id)).await
    }

    /// One page of jobs, newest first. The cost does not grow with the number
    /// of jobs. `limit` is brought into 1 to [`MAX_PAGE`].
    ///
    /// # Errors
    /// [`JobsError::Store`].
    pub async fn list(
        &self,
        filter: Filter,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<Page, JobsError> {
        let limit = limit.clamp(1, MAX_PAGE);
        self.inner
            .store
            .read(move |tx| list_in(tx, &filter, cursor.as_ref(), limit))
            .await
    }

    /// The steps of a job, in the order of its plan.
    ///
    /// # Errors
    /// [`JobsError::NotFound`], [`JobsError::Store`].
    pub async fn steps(&self, id: &JobId) -> Result<Vec<StepView>, JobsError> {
        let id = id.clone();
        self.inner.store.read(move |tx| steps_in(tx, &id)).await
    }

    /// What happened to a job after the event `after_seq` (0: from the start),
    /// oldest first. `limit` is brought into 1 to [`MAX_EVENT_PAGE`].
    ///
    /// # Errors
    /// [`JobsError::NotFound`], [`JobsError::Store`].
    pub async fn events(
        &self,
        id: &JobId,
        after_seq: i64,
        limit: usize,
    ) -> Result<Vec<EventView>, JobsError> {
        let id = id.clone();
        let limit = limit.clamp(1, MAX_EVENT_PAGE);
        self.inner
            .store
            .read(move |tx| events_in(tx, &id, after_seq, limit))
            .await
    }

    /// As [`Jobs::events`]; when there are none yet, waits for some: at most
    /// `patience`. Hears at once of what happens in this process, and within
    /// half a second of what others do. A job that is done has no more events
    /// to wait for: then it returns at once.
    ///
    /// # Errors
    /// As [`Jobs::events`].
    pub async fn next_events(
        &self,
        id: &JobId,
        after_seq: i64,
        limit: usize,
        patience: Duration,
    ) -> Result<Vec<EventView>, JobsError> {
        let until = Instant::now() + patience;
        let mut changes = self.changes();
        loop {
            // The state first: an event between the two reads is not missed.
            let done = self.get(id).await?.is_done();
            let events = self.events(id, after_seq, limit).await?;
            if done || !events.is_empty() || Instant::now() >= until {
                return Ok(events);
            }
            Self::next_change(&mut changes, id, until).await;
        }
    }

    /// Waits until the job is done, at most `patience`; returns it as it is
    /// then.
    ///
    /// # Errors
    /// As [`Jobs::get`].
    pub async fn wait(&self, id: &JobId, patience: Duration) -> Result<JobView, JobsError> {
        let until = Instant::now() + patience;
        let mut changes = self.changes();
        loop {
            let job = self.get(id).await?;
            if job.is_done() || Instant::now() >= until {
                return Ok(job);
            }
            Self::next_change(&mut changes, id, until).await;
        }
    }

    /// Returns when `id` changed here, when others may have changed it, or at
    /// `until`.
    async fn next_change(changes: &mut broadcast::Receiver<JobId>, id: &JobId, until: Instant) {
        let patience = FOLLOW_POLL.min(until.saturating_duration_since(Instant::now()));
        let heard = async {
            loop {
                match changes.recv().await {
                    Ok(job) if job == *id => return,
                    Ok(_) => {}
                    // Too many to tell them all: look afresh.
                    Err(broadcast::error::RecvError::Lagged(_)) => return,
                    // Cannot be while this handle lives.
                    Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        // Either way the caller looks at the store.
        drop(tokio::time::timeout(patience, heard).await);
    }

    /// The newest job that the call `request` made.
    ///
    /// # Errors
    /// [`JobsError::Store`].
    pub async fn find_by_request(&self, request: &RequestId) -> Result<Option<JobView>, JobsError> {
        let request = request.0.clone();
        self.inner
            .store
            .read(move |tx| {
                let row = query_one(
                    tx,
                    &format!(
                        "SELECT {VIEW_COLUMNS} FROM jobs WHERE request_id = $1 \
                         ORDER BY created_ms DESC, id DESC LIMIT 1"
                    ),
                    params![request],
                )?;
                Ok(row.as_ref().map(read_view).transpose()?)
            })
            .await
    }

    /// The job that has `resource`, if one does: see [`holder_of`].
    ///
    /// # Errors
    /// [`JobsError::Store`].
    pub async fn holder_of(&self, resource: &str) -> Result<Option<JobId>, JobsError> {
        let resource = resource.to_owned();
        Ok(self
            .inner
            .store
            .read(move |tx| holder_of(tx, &resource))
            .await?)
    }

    /// The resources that a job holds, in order.
    ///
    /// # Errors
    /// [`JobsError::Store`].
    pub async fn claims_of(&self, job: &JobId) -> Result<Vec<String>, JobsError> {
        let job = job.clone();
        self.inner
            .store
            .read(move |tx| {
                tx.query(
                    "SELECT resource FROM claims WHERE job = $1 ORDER BY resource",
                    params![job.as_str()],
                )?
                .iter()
                .map(|row| Ok(row.get(0)?))
                .collect()
            })
            .await
    }

    /// Asks to cancel a job. A running step in this process is told at once,
    /// one in another process within its poll interval.
    ///
    /// # Errors
    /// [`JobsError::NotFound`], [`JobsError::Store`].
    pub async fn request_cancel(&self, id: &JobId) -> Result<CancelAnswer, JobsError> {
        let job = id.clone();
        let now = self.now();
        let answer = self
            .inner
            .store
            .write(move |tx| request_cancel_in(tx, &job, now))
            .await?;
        if answer == CancelAnswer::Requested {
            self.cancel_requested(id);
        }
        Ok(answer)
    }

    /// Tells a job's step, and who looks on, that [`request_cancel_in`] was
    /// committed.
    pub fn cancel_requested(&self, id: &JobId) {
        self.cancel_here(id);
        self.changed(id);
        self.wake();
    }

    /// Puts a Held job back to work, in the direction it was held in.
    ///
    /// # Errors
    /// [`JobsError::NotFound`], [`JobsError::NotHeld`], [`JobsError::Store`].
    pub async fn retry(&self, id: &JobId) -> Result<(), JobsError> {
        let job = id.clone();
        let now = self.now();
        self.inner
            .store
            .write(move |tx| retry_in(tx, &job, now))
            .await?;
        self.changed(id);
        self.wake();
        Ok(())
    }

    /// Removes at most `batch` jobs that ended Applied or Reverted more than
    /// `keep_ms` before `now`, with their steps and events. Returns how many:
    /// fewer than `batch` means that none is left.
    ///
    /// # Errors
    /// [`JobsError::Store`].
    pub async fn retain(
        &self,
        now: Timestamp,
        keep_ms: i64,
        batch: usize,
    ) -> Result<u64, JobsError> {
        let before = now.plus_ms(-keep_ms).0;
        let batch = i64::try_from(batch).unwrap_or(i64::MAX);
        Ok(self
            .inner
            .store
            .write::<_, StoreError>(move |tx| {
                let skip = tx.dialect().skip_locked();
                tx.execute(
                    &format!(
                        "WITH old AS MATERIALIZED (SELECT id FROM jobs \
                           WHERE state = 'done' AND outcome <> 'held' AND ended_ms < $1 \
                           ORDER BY ended_ms LIMIT $2{skip}) \
                         DELETE FROM jobs WHERE id IN (SELECT id FROM old)"
                    ),
                    params![before, batch],
                )
            })
            .await?)
    }
}

/// The job that has `resource`, inside a product's transaction: where background
/// work was asked to make room, the job that it makes room for.
///
/// # Errors
/// The store's.
pub fn holder_of(tx: &mut dyn Tx, resource: &str) -> Result<Option<JobId>, StoreError> {
    query_one(
        tx,
        "SELECT COALESCE(successor, job) FROM claims WHERE resource = $1",
        params![resource],
    )?
    .map(|row| row.parse(0, |t| t.parse().ok()))
    .transpose()
}

/// The job that keeps new work from `resource`: who has it, unless that is
/// background work, which makes room when it is asked to. Held, it does not.
///
/// # Errors
/// The store's.
pub fn busy_with(tx: &mut dyn Tx, resource: &str) -> Result<Option<JobView>, StoreError> {
    let Some(job) = holder_of(tx, resource)? else {
        return Ok(None);
    };
    let job = expect_in(tx, &job)?;
    Ok((!job.background || job.is_held()).then_some(job))
}

/// A job that holds a resource whose name begins with `prefix`, if one does.
///
/// # Errors
/// [`StoreError`].
pub fn holder_below(tx: &mut dyn Tx, prefix: &str) -> Result<Option<JobId>, StoreError> {
    // Claims are those of jobs under way: few enough to be looked through.
    query_one(
        tx,
        "SELECT job FROM claims WHERE substr(resource, 1, length($1)) = $1 ORDER BY resource LIMIT 1",
        params![prefix],
    )?
    .map(|row| row.parse(0, |t| t.parse().ok()))
    .transpose()
}

/// One job, inside a product's transaction.
///
/// # Errors
/// [`JobsError::NotFound`], [`JobsError::Store`].
pub fn get_in(tx: &mut dyn Tx, id: &JobId) -> Result<JobView, JobsError> {
    let row = query_one(
        tx,
        &format!("SELECT {VIEW_COLUMNS} FROM jobs WHERE id = $1"),
        params![id.as_str()],
    )?
    .ok_or_else(|| JobsError::NotFound(id.clone()))?;
    Ok(read_view(&row)?)
}

/// As [`get_in`], of a job that must be there, as a row names it.
///
/// # Errors
/// [`StoreError::Corrupt`] when it is not, or another of the store's.
pub fn expect_in(tx: &mut dyn Tx, id: &JobId) -> Result<JobView, StoreError> {
    get_in(tx, id).map_err(|e| match e {
        JobsError::Store(e) => e,
        other => StoreError::corrupt(other.to_string()),
    })
}

fn list_in(
    tx: &mut dyn Tx,
    filter: &Filter,
    cursor: Option<&Cursor>,
    limit: usize,
) -> Result<Page, JobsError> {
    let mut parts: Vec<String> = Vec::new();
    let mut values: Vec<Value> = Vec::new();
    let mut and = |part: &str, value: Value| {
        values.push(value);
        parts.push(part.replace('?', &format!("${}", values.len())));
    };
    if let Some(account) = &filter.account {
        and("account = ?", account.as_str().into());
    }
    if let Some(resource) = &filter.resource {
        and("resource = ?", resource.into());
    }
    if let Some(state) = filter.state {
        and("state = ?", state.as_str().into());
    }
    if let Some(outcome) = filter.outcome {
        // A word of ours, written out: an index has the held ones only.
        parts.push(format!("outcome = '{}'", outcome.as_str()));
    }
    if let Some(cursor) = cursor {
        values.push(cursor.created_ms.into());
        values.push(cursor.id.as_str().into());
        let n = values.len();
        parts.push(format!("(created_ms, id) < (${}, ${n})", n - 1));
    }
    let wanted = if parts.is_empty() {
        String::new()
    } else {
        format!("WHERE {}", parts.join(" AND "))
    };
    // One more than asked for tells whether there is a next page.
    values.push(i64::try_from(limit + 1).unwrap_or(i64::MAX).into());
    let rows = tx.query(
        &format!(
            "SELECT {VIEW_COLUMNS} FROM jobs {wanted} ORDER BY created_ms DESC, id DESC LIMIT ${}",
            values.len()
        ),
        &values,
    )?;
    let mut next = None;
    let mut jobs = Vec::with_capacity(rows.len().min(limit));
    for row in rows.iter().take(limit) {
        if rows.len() > limit {
            next = cursor_of(row).or(next);
        }
        match read_view(row) {
            Ok(job) => jobs.push(job),
            // One damaged row must not hide the others.
            Err(e) => {
                let id = row.get::<String>(0).unwrap_or_default();
                tracing::error!(job = %id, error = %e, "a stored job does not decode and is left out of lists");
            }
        }
    }
    Ok(Page { jobs, next })
}

fn cursor_of(row: &Row) -> Option<Cursor> {
    Some(Cursor {
        created_ms: row.get(23).ok()?,
        id: row.parse(0, |t| t.parse().ok()).ok()?,
    })
}

fn steps_in(tx: &mut dyn Tx, id: &JobId) -> Result<Vec<StepView>, JobsError> {
    let job = get_in(tx, id)?;
    let mut steps: Vec<StepView> = job
        .plan
        .steps
        .into_iter()
        .map(|planned| StepView {
            does: planned.does,
            undo: planned.undo,
            ..StepView::pending(planned.name)
        })
        .collect();
    // Bounded by the step table: one row a step and direction.
    let rows = tx.query(
        "SELECT step, undo, intent_ms, record_ms, tries FROM job_steps WHERE job = $1 \
         ORDER BY undo, intent_ms",
        params![id.as_str()],
    )?;
    for row in &rows {
        let name: String = row.get(0)?;
        let index = steps
            .iter()
            .position(|s| s.name == name)
            .unwrap_or_else(|| {
                // Not in the plan that was shown, but it ran.
                steps.push(StepView::pending(name));
                steps.len() - 1
            });
        let step = &mut steps[index];
        let intent = Some(Timestamp(row.get(2)?));
        let record = row.get::<Option<i64>>(3)?.map(Timestamp);
        step.tries += row.get::<i64>(4)?;
        if row.get(1)? {
            step.undo_started = intent;
            step.undo_ended = record;
            step.state = record.map_or(StepState::Undoing, |_| StepState::Undone);
        } else {
            step.started = intent;
            step.ended = record;
            step.state = record.map_or(StepState::Running, |_| StepState::Done);
        }
    }
    Ok(steps)
}

impl StepView {
    fn pending(name: String) -> Self {
        Self {
            name,
            does: String::new(),
            undo: None,
            state: StepState::Pending,
            started: None,
            ended: None,
            undo_started: None,
            undo_ended: None,
            tries: 0,
        }
    }
}

fn events_in(
    tx: &mut dyn Tx,
    id: &JobId,
    after_seq: i64,
    limit: usize,
) -> Result<Vec<EventView>, JobsError> {
    let rows = tx.query(
        "SELECT seq, at_ms, kind, step, undo, percent, words FROM job_events \
         WHERE job = $1 AND seq > $2 ORDER BY seq LIMIT $3",
        params![
            id.as_str(),
            after_seq,
            i64::try_from(limit).unwrap_or(i64::MAX)
        ],
    )?;
    if rows.is_empty() {
        get_in(tx, id)?;
    }
    Ok(rows.iter().map(read_event).collect::<Result<_, _>>()?)
}

/// Asks to cancel a job in the caller's transaction. After the commit it calls
/// [`Jobs::cancel_requested`].
///
/// # Errors
/// [`JobsError::NotFound`], [`JobsError::Store`].
pub fn request_cancel_in(
    tx: &mut dyn Tx,
    id: &JobId,
    now: Timestamp,
) -> Result<CancelAnswer, JobsError> {
    if persistence::request_cancel(tx, id, now, "asked to cancel")? {
        return Ok(CancelAnswer::Requested);
    }
    let job = get_in(tx, id)?;
    Ok(if job.is_done() {
        CancelAnswer::TooLate
    } else if job.direction == crate::Direction::Undoing {
        CancelAnswer::AlreadyUndoing
    } else if job.cancel_requested {
        CancelAnswer::AlreadyRequested
    } else {
        // Past its point of no return.
        CancelAnswer::TooLate
    })
}

fn retry_in(tx: &mut dyn Tx, id: &JobId, now: Timestamp) -> Result<(), JobsError> {
    let row = query_one(
        tx,
        "UPDATE jobs SET state = 'queued', outcome = NULL, ended_ms = NULL, held_code = NULL, \
           held_message = NULL, next_command = NULL, next_run_ms = $2, attempts = 0, \
           words = 'queued', event_seq = event_seq + 1 \
         WHERE id = $1 AND state = 'done' AND outcome = 'held' RETURNING event_seq",
        params![id.as_str(), now.0],
    )?;
    let Some(row) = row else {
        let job = get_in(tx, id)?;
        return Err(JobsError::NotHeld {
            job: id.clone(),
            is: match job.outcome {
                Some(Outcome::Applied) => Outcome::Applied.as_str(),
                Some(Outcome::Reverted) => Outcome::Reverted.as_str(),
                _ if job.state == State::Running => State::Running.as_str(),
                _ => State::Queued.as_str(),
            },
        });
    };
    // The step that held it starts afresh.
    tx.execute(
        "UPDATE job_steps SET tries = 0 WHERE job = $1 AND record_ms IS NULL",
        params![id.as_str()],
    )?;
    let event = NewEvent::of(EventKind::RetryRequested, "asked to go on");
    add_event(tx, id, row.get(0)?, now, &event)?;
    Ok(())
}
