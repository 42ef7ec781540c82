//! A worker: takes jobs, keeps its lease, and buries dead workers.
//!
//! One loop does all that concerns the worker as a whole, so that its steps
//! cannot race with each other: renew the lease, give back, look for the dead,
//! notice cancel requests, take jobs, remove old ones. Each job runs in a task
//! of its own (`run.rs`).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use backout_core::fence::Fence;
use backout_core::ids::JobId;
use backout_core::time::Timestamp;
use backout_store::{Error as StoreError, Row, Store, Tx, params, query_one};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::handle::{Jobs, RETAIN_BATCH};
use crate::owner::{Identity, Process};
use crate::persistence::{
    Hold, bury, bury_expired, placeholders, put_back, read_claimed, with_names,
};
use crate::procedure::{Cancel, Point, Probe, ProbeAction, ProbeFuture};
use crate::progress::{self, Progress};
use crate::registry::Registry;
use crate::run;

/// How long a lease lasts when nothing else is said: long enough that a busy
/// machine or a slow disk does not lose it, short enough that another machine
/// goes on soon.
pub const LEASE_MS: i64 = 15_000;

/// How many renewals fit into a lease: two may fail before it is lost.
const BEATS_IN_A_LEASE: i64 = 3;

/// How many leases long the lease of a worker without jobs is. Nobody waits for
/// what it has, and taking a job makes it as short as it should be: so an idle
/// server writes next to nothing.
const IDLE_LEASES: u32 = 40;

/// How many jobs are taken in one transaction. Larger ones make others wait for
/// the only writer of SQLite; the loop goes on at once when there are more.
const CLAIM_BATCH: usize = 256;

/// How many cancel requests are noticed in one look; the next look is soon.
const CANCEL_BATCH: i64 = 1_000;

/// How many jobs may wait aside for something outside: each costs a task and
/// what its step holds, some kilobytes. Beyond that they keep their places.
const ASIDE_MAX: usize = 4_096;

/// How many workers are looked at in one go. A store has a few.
const WORKERS_LOOKED_AT: i64 = 1_000;

/// How long a job that was given back for a reason not its own rests, so that a
/// lasting reason does not make a hot loop.
pub(crate) const REST_MS: i64 = 1_000;

/// How often old jobs are removed.
const RETAIN_EVERY: Duration = Duration::from_secs(600);

/// How long ended jobs are kept when nothing else is said: a quarter, so that a
/// quarterly review finds them.
pub const KEEP_MS: i64 = 90 * 24 * 3_600_000;

/// How long steps have to notice that the worker stops, once they were told.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// How a worker works.
#[derive(Clone)]
pub struct WorkerConfig {
    /// The machine this is. Only its jobs are taken. Must be unique to the
    /// machine: a worker of the same name and another boot id counts as dead.
    pub node: String,
    /// How many jobs run at once.
    pub concurrency: usize,
    /// How long a lease lasts while there are jobs; renewed three times in it.
    pub lease_ms: i64,
    /// How often other processes' doings are looked for.
    pub poll: Duration,
    /// How long [`Worker::stop`] waits for running steps before it asks them to
    /// stop.
    pub stop_wait: Duration,
    /// How long ended jobs are kept; `None`: for ever.
    pub keep_ms: Option<i64>,
    /// Called at every point of every step.
    pub probe: Arc<dyn Probe>,
}

/// The probe of production: nothing happens.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProbe;

impl Probe for NoProbe {
    fn at<'a>(&'a self, _: Point<'a>) -> ProbeFuture<'a> {
        Box::pin(std::future::ready(ProbeAction::GoOn))
    }
}

impl WorkerConfig {
    /// The defaults, for the machine `node`.
    #[must_use]
    pub fn new(node: impl Into<String>) -> Self {
        Self {
            node: node.into(),
            concurrency: 64,
            lease_ms: LEASE_MS,
            poll: Duration::from_millis(500),
            stop_wait: Duration::from_secs(20),
            keep_ms: Some(KEEP_MS),
            probe: Arc::new(NoProbe),
        }
    }

    /// How often the lease is renewed.
    fn beat_every(&self) -> Duration {
        let ms = u64::try_from(self.lease_ms / BEATS_IN_A_LEASE).unwrap_or(1);
        Duration::from_millis(ms.max(1))
    }
}

/// A worker in this process. Dropping it lets it end by itself, as
/// [`Worker::stop`] without the waiting.
pub struct Worker {
    shared: Arc<Shared>,
    task: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker")
            .field("owner", &self.shared.identity().owner)
            .finish_non_exhaustive()
    }
}

/// What [`Worker::stop`] left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Jobs whose step did not end in time. They keep their lease: nobody
    /// repeats the step while this process lives, and on this machine they are
    /// taken over as soon as it has ended.
    pub left_running: usize,
}

pub(crate) struct Shared {
    pub(crate) jobs: Jobs,
    pub(crate) registry: Registry,
    pub(crate) config: WorkerConfig,
    names: Vec<String>,
    identity: Mutex<Identity>,
    running: Mutex<HashMap<JobId, Running>>,
    /// Jobs to put back to work as soon as the store allows.
    give_back: Mutex<Vec<Hold>>,
    /// Whether jobs may be ours in the store of which nothing is known here.
    strays: AtomicBool,
    stopping: AtomicBool,
    abandon: AtomicBool,
    /// A job has ended, or the worker shall stop.
    stir: Notify,
    /// Places that jobs come back to which stood aside.
    places: Mutex<Places>,
    /// One of those is free.
    free: Notify,
}

/// Who needs no place now, and who wants one again.
#[derive(Clone, Copy, Debug, Default)]
struct Places {
    /// Jobs that wait for something outside.
    aside: usize,
    /// Of these, those that have something to do again.
    coming_back: usize,
}

/// A job that runs here.
struct Running {
    fence: Fence,
    /// Asked by steps.
    cancel: Cancel,
    /// Asked by undos: set only when the job was lost.
    lost: Cancel,
    /// Asked by those who wait for long: set as soon as the worker stops.
    leave: Cancel,
    progress: Arc<Progress>,
}

impl Worker {
    /// Registers the worker, puts the jobs of dead owners on this machine back
    /// to work, and begins to take jobs. Must be called on a Tokio runtime.
    ///
    /// # Errors
    /// The store's.
    pub async fn start(
        jobs: &Jobs,
        registry: Registry,
        config: WorkerConfig,
    ) -> Result<Self, StoreError> {
        let identity = Identity::new(&config.node, jobs.entropy());
        let shared = Arc::new(Shared {
            jobs: jobs.clone(),
            names: registry.names().map(str::to_owned).collect(),
            registry,
            config,
            identity: Mutex::new(identity),
            running: Mutex::default(),
            give_back: Mutex::default(),
            strays: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            abandon: AtomicBool::new(false),
            stir: Notify::new(),
            places: Mutex::default(),
            free: Notify::new(),
        });
        shared.register().await?;
        shared.bury_the_dead().await?;
        shared.tell_of_unknown().await?;
        let task = tokio::spawn(work(Arc::clone(&shared)));
        Ok(Self {
            shared,
            task: Some(task),
        })
    }

    /// Who it is: what the `owner` of its jobs says.
    #[must_use]
    pub fn owner(&self) -> String {
        self.shared.identity().owner
    }

    /// How many jobs run here now.
    #[must_use]
    pub fn running(&self) -> usize {
        self.shared.lock_running().len()
    }

    /// Takes no more jobs; lets each finish the step it is in, and puts it back
    /// to work for others. Steps that take longer than
    /// [`WorkerConfig::stop_wait`] are asked to stop by their
    /// [`Cancel`]; if they do, their step is begun anew by another worker.
    pub async fn stop(mut self) -> Stopped {
        self.shared.begin_to_stop();
        if let Some(mut task) = self.task.take() {
            let patience = self.shared.config.stop_wait;
            if tokio::time::timeout(patience, &mut task).await.is_err() {
                for running in self.shared.lock_running().values() {
                    running.cancel.request();
                }
                if tokio::time::timeout(STOP_GRACE, &mut task).await.is_err() {
                    self.shared.abandon.store(true, Ordering::SeqCst);
                    self.shared.stir.notify_one();
                    if let Err(e) = task.await {
                        tracing::error!(error = %e, "the worker's loop ended by a panic");
                    }
                }
            }
        }
        Stopped {
            left_running: self.shared.lock_running().len(),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.begin_to_stop();
    }
}

/// The worker's loop.
async fn work(shared: Arc<Shared>) {
    let flusher = tokio::spawn(progress::flush_now_and_then(Arc::clone(&shared)));
    let beat_every = shared.config.beat_every();
    let mut polls = tokio::time::interval(shared.config.poll.min(beat_every));
    polls.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut wakes = shared.jobs.wakes();
    let mut turn = Turn {
        beat_due: Instant::now() + beat_every * IDLE_LEASES,
        retained: None,
        polled: true,
    };
    let mut failing = false;
    loop {
        let took = match shared.turn(&mut turn).await {
            Ok(took) => {
                if failing {
                    tracing::info!(node = %shared.config.node, "the worker reaches the store again");
                }
                failing = false;
                took
            }
            Err(e) => {
                // Once for a time of failure, not at every poll of it.
                if !failing {
                    tracing::warn!(node = %shared.config.node, error = %e, "the worker does not reach the store and tries again");
                }
                failing = true;
                0
            }
        };
        if shared.is_stopping()
            && (shared.abandon.load(Ordering::SeqCst) || shared.lock_running().is_empty())
        {
            break;
        }
        turn.polled = false;
        if took >= CLAIM_BATCH {
            tokio::task::yield_now().await;
            continue;
        }
        tokio::select! {
            _ = polls.tick() => turn.polled = true,
            () = shared.stir.notified() => {}
            _ = wakes.changed(), if !shared.is_stopping() => {}
        }
    }
    flusher.abort();
    shared.leave().await;
}

/// What the loop remembers from turn to turn.
struct Turn {
    /// When the lease is renewed, at the latest.
    beat_due: Instant,
    retained: Option<Instant>,
    /// Whether it is time to look what others have done.
    polled: bool,
}

impl Turn {
    fn beat_within(&mut self, span: Duration) {
        self.beat_due = self.beat_due.min(Instant::now() + span);
    }
}

impl Shared {
    pub(crate) fn store(&self) -> &Store {
        self.jobs.store()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.jobs.now()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    fn begin_to_stop(&self) {
        // Under the lock under which jobs begin: each is told.
        let running = self.lock_running();
        self.stopping.store(true, Ordering::SeqCst);
        for job in running.values() {
            job.leave.request();
        }
        drop(running);
        self.stir.notify_one();
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many more jobs may be taken.
    fn room(&self) -> usize {
        let running = self.lock_running().len();
        let places = *self.places();
        let seated = running.saturating_sub(places.aside);
        // Those who come back are first.
        (self.config.concurrency).saturating_sub(seated + places.coming_back)
    }

    fn identity(&self) -> Identity {
        self.identity
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn lock_running(&self) -> MutexGuard<'_, HashMap<JobId, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The progress slots of what runs here.
    pub(crate) fn progress_slots(&self) -> Vec<Arc<Progress>> {
        self.lock_running()
            .values()
            .map(|r| Arc::clone(&r.progress))
            .collect()
    }

    /// One round of everything. Returns how many jobs it took.
    async fn turn(self: &Arc<Self>, turn: &mut Turn) -> Result<usize, StoreError> {
        if Instant::now() >= turn.beat_due {
            self.beat(turn).await?;
        }
        self.give_back().await?;
        if self.strays.load(Ordering::SeqCst) {
            self.put_back_strays().await?;
        }
        // Also when woken: a product's own transaction may have asked background
        // work to yield.
        self.notice_cancels().await?;
        if turn.polled {
            self.bury_the_dead().await?;
            self.remove_old(turn).await;
        }
        if self.is_stopping() {
            return Ok(0);
        }
        self.take_jobs(turn).await
    }

    /// Removes a batch of old jobs, if it is time.
    async fn remove_old(&self, turn: &mut Turn) {
        let due = turn.retained.is_none_or(|at| at.elapsed() >= RETAIN_EVERY);
        let Some(keep_ms) = self.config.keep_ms.filter(|_| due && !self.is_stopping()) else {
            return;
        };
        match self.jobs.retain(self.now(), keep_ms, RETAIN_BATCH).await {
            // A full batch: there is more, go on at the next poll.
            Ok(removed) if removed >= RETAIN_BATCH as u64 => return,
            Ok(_) => {}
            Err(e) => {
                tracing::warn!(error = %e, "old jobs are not removed this time");
            }
        }
        turn.retained = Some(Instant::now());
    }

    /// Writes who this worker is, which has no jobs yet.
    async fn register(&self) -> Result<(), StoreError> {
        let me = self.identity();
        let until = self.lease_until(IDLE_LEASES);
        self.store()
            .write::<_, StoreError>(move |tx| {
                tx.execute(
                    "INSERT INTO job_workers \
                       (owner, node, boot_id, pid_space, pid, pid_start, lease_until_ms) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (owner) DO NOTHING",
                    params![
                        me.owner,
                        me.node,
                        me.process.boot_id,
                        me.process.pid_space,
                        me.process.pid,
                        me.process.start,
                        until.0
                    ],
                )
            })
            .await?;
        Ok(())
    }

    fn lease_until(&self, leases: u32) -> Timestamp {
        self.now().plus_ms(i64::from(leases) * self.config.lease_ms)
    }

    /// Renews the lease of all jobs at once.
    async fn beat(&self, turn: &mut Turn) -> Result<(), StoreError> {
        let owner = self.identity().owner;
        let idle = self.lock_running().is_empty() && !self.strays.load(Ordering::SeqCst);
        let leases = if idle { IDLE_LEASES } else { 1 };
        let until = self.lease_until(leases);
        let renewed = self
            .store()
            .write::<_, StoreError>(move |tx| renew(tx, &owner, until))
            .await?;
        if !renewed {
            return self.lost_everything().await;
        }
        turn.beat_due = Instant::now() + self.config.beat_every() * leases;
        Ok(())
    }

    /// Another worker has found our lease run out and has put our jobs back to
    /// work. Begin anew, under another name.
    async fn lost_everything(&self) -> Result<(), StoreError> {
        let before = self.identity().owner;
        {
            let running = self.lock_running();
            tracing::warn!(owner = %before, jobs = running.len(), "the worker lost its lease and begins anew");
            for job in running.values() {
                job.cancel.request();
                job.lost.request();
                job.leave.request();
            }
        }
        let fresh = Identity::new(&self.config.node, self.jobs.entropy());
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        self.register().await
    }

    /// Puts back to work the jobs of workers that are dead, or whose lease has
    /// run out: one statement for each worker, however many jobs it had.
    async fn bury_the_dead(&self) -> Result<(), StoreError> {
        let me = self.identity();
        let now = self.now();
        let rows = self
            .store()
            .read::<_, StoreError>(move |tx| {
                tx.query(
                    "SELECT owner, node, lease_until_ms, boot_id, pid_space, pid, pid_start \
                     FROM job_workers LIMIT $1",
                    params![WORKERS_LOOKED_AT],
                )
            })
            .await?;
        for row in &rows {
            let owner: String = row.get(0)?;
            if owner == me.owner {
                continue;
            }
            let here = row.get::<String>(1)? == me.node;
            let dead = here && Process::read(row, 3)?.is_dead(&me.process);
            let expired = row.get::<i64>(2)? < now.0;
            if !dead && !expired {
                continue;
            }
            let name = owner.clone();
            let buried = self
                .store()
                .write::<_, StoreError>(move |tx| {
                    if dead {
                        bury(tx, &name)
                    } else {
                        bury_expired(tx, &name, now)
                    }
                })
                .await?;
            if let Some(jobs) = buried {
                tracing::info!(
                    %owner,
                    jobs,
                    why = if dead { "process gone" } else { "lease run out" },
                    "the jobs of a dead worker are back in the queue"
                );
            }
        }
        Ok(())
    }

    /// Says once, at the start, that jobs wait which no worker like this one
    /// will ever take.
    async fn tell_of_unknown(&self) -> Result<(), StoreError> {
        let node = self.config.node.clone();
        let names = self.names.clone();
        let row = self
            .store()
            .read::<_, StoreError>(move |tx| {
                query_one(
                    tx,
                    &format!(
                        "SELECT id, procedure FROM jobs WHERE node = $1 AND state = 'queued' \
                         AND procedure NOT IN ('', {}) LIMIT 1",
                        quoted(names.len(), 2)
                    ),
                    &with_names(params![node], &names),
                )
            })
            .await?;
        if let Some(row) = row {
            tracing::warn!(
                job = %row.get::<String>(0)?,
                procedure = %row.get::<String>(1)?,
                "a job waits for a worker that knows its procedure; start the version that made it"
            );
        }
        Ok(())
    }

    /// Tells running steps of cancel requests that came through other
    /// processes.
    async fn notice_cancels(&self) -> Result<(), StoreError> {
        if self.lock_running().is_empty() {
            return Ok(());
        }
        let owner = self.identity().owner;
        let rows = self
            .store()
            .read::<_, StoreError>(move |tx| {
                tx.query(
                    "SELECT id FROM jobs WHERE owner = $1 AND cancel_requested = 1 \
                     AND state = 'running' AND direction = 'forward' LIMIT $2",
                    params![owner, CANCEL_BATCH],
                )
            })
            .await?;
        let running = self.lock_running();
        for row in &rows {
            let id: JobId = row.parse(0, |t| t.parse().ok())?;
            if let Some(job) = running.get(&id) {
                job.cancel.request();
            }
        }
        Ok(())
    }

    /// Remembers that a job is to be put back to work.
    pub(crate) fn give_back_later(&self, hold: Hold) {
        self.give_back
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(hold);
    }

    async fn give_back(&self) -> Result<(), StoreError> {
        let holds = std::mem::take(
            &mut *self
                .give_back
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        if holds.is_empty() {
            return Ok(());
        }
        let again = holds.clone();
        let at = self.now().plus_ms(REST_MS).0;
        let put = self
            .store()
            .write::<_, StoreError>(move |tx| {
                for hold in &holds {
                    put_back(tx, hold, at)?;
                }
                Ok(())
            })
            .await;
        if put.is_err() {
            self.give_back
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend(again);
        }
        put
    }

    /// After an answer was lost: jobs may be ours in the store that do not run
    /// here. Nothing else takes jobs meanwhile, since this is the same loop.
    async fn put_back_strays(&self) -> Result<(), StoreError> {
        let owner = self.identity().owner;
        let name = owner.clone();
        let rows = self
            .store()
            .read::<_, StoreError>(move |tx| {
                tx.query(
                    "SELECT id, fence FROM jobs WHERE owner = $1 AND state = 'running'",
                    params![name],
                )
            })
            .await?;
        for row in &rows {
            let job: JobId = row.parse(0, |t| t.parse().ok())?;
            let fence = Fence(row.get(1)?);
            let known = self
                .lock_running()
                .get(&job)
                .is_some_and(|r| r.fence == fence);
            if !known {
                self.give_back_later(Hold {
                    job,
                    fence,
                    owner: owner.clone(),
                });
            }
        }
        self.strays.store(false, Ordering::SeqCst);
        self.give_back().await
    }

    /// Takes as many jobs as there is room for, and starts them.
    async fn take_jobs(self: &Arc<Self>, turn: &mut Turn) -> Result<usize, StoreError> {
        let room = self.room();
        if room == 0 || self.names.is_empty() {
            return Ok(0);
        }
        // A look first: an idle worker must not take the writer's turn.
        if !self.is_work_due().await? {
            return Ok(0);
        }
        let me = self.identity();
        let now = self.now();
        let until = self.lease_until(1);
        let limit = room.min(CLAIM_BATCH);
        let names = self.names.clone();
        let owner = me.owner.clone();
        // Taking jobs makes the lease short, whether or not we learn of it.
        turn.beat_within(self.config.beat_every());
        let claimed = self
            .store()
            .write::<_, StoreError>(move |tx| claim(tx, &me, now, until, limit, &names))
            .await;
        let claimed = match claimed {
            Ok(Some(claimed)) => claimed,
            Ok(None) => {
                self.lost_everything().await?;
                return Ok(0);
            }
            Err(e) => {
                // It may have been written all the same.
                self.strays.store(true, Ordering::SeqCst);
                return Err(e);
            }
        };
        let (fence, rows) = claimed;
        let took = rows.len();
        for row in &rows {
            self.start(row, fence, &owner);
        }
        Ok(took)
    }

    async fn is_work_due(&self) -> Result<bool, StoreError> {
        let node = self.config.node.clone();
        let now = self.now();
        let names = self.names.clone();
        self.store()
            .read::<_, StoreError>(move |tx| {
                Ok(query_one(
                    tx,
                    &format!(
                        "SELECT 1 FROM jobs WHERE state = 'queued' AND node = $1 \
                         AND next_run_ms <= $2 AND procedure IN ({}) LIMIT 1",
                        placeholders(3, names.len())
                    ),
                    &with_names(params![node, now.0], &names),
                )?
                .is_some())
            })
            .await
    }

    /// Starts one job that was taken.
    fn start(self: &Arc<Self>, row: &Row, fence: Fence, owner: &str) {
        let id = row.parse(0, |t| t.parse::<JobId>().ok());
        let job = match id {
            Ok(job) => job,
            Err(e) => {
                // It stays ours, and moves nothing: not even its name is known.
                tracing::error!(error = %e, "a stored job has no readable id");
                return;
            }
        };
        let hold = Hold {
            job: job.clone(),
            fence,
            owner: owner.to_owned(),
        };
        let cancel = Cancel::default();
        let lost = Cancel::default();
        let leave = Cancel::default();
        let progress = Arc::new(Progress::new(hold.clone()));
        let before = self.lock_running().insert(
            job.clone(),
            Running {
                fence,
                cancel: cancel.clone(),
                lost: lost.clone(),
                leave: leave.clone(),
                progress: Arc::clone(&progress),
            },
        );
        if let Some(before) = before {
            // An earlier run that was lost and has not noticed.
            before.cancel.request();
            before.lost.request();
            before.leave.request();
        }
        if self.is_stopping() {
            leave.request();
        }
        self.jobs.set_running(&job, cancel.clone());
        let leaving = Leaving {
            shared: Arc::clone(self),
            hold: hold.clone(),
            settled: false,
        };
        let taken = run::Taken {
            hold,
            cancel,
            lost,
            leave,
            progress,
            stored: read_claimed(row),
        };
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            let mut leaving = leaving;
            if run::run(shared, taken).await == run::End::GiveBack {
                return;
            }
            leaving.settled = true;
        });
    }

    /// Gives up the lease, unless steps still run.
    async fn leave(&self) {
        if !self.lock_running().is_empty() {
            tracing::warn!(
                jobs = self.lock_running().len(),
                "the worker stops while steps still run; they are taken over when the process has ended"
            );
            return;
        }
        let owner = self.identity().owner;
        let name = owner.clone();
        // All that is still in its name goes back with it.
        let left = self
            .store()
            .write::<_, StoreError>(move |tx| bury(tx, &name))
            .await;
        if let Err(e) = left {
            tracing::warn!(%owner, error = %e, "the worker cannot give up its lease; it runs out by itself");
        }
    }
}

/// Takes a job off the list of what runs here, however its task ends.
struct Leaving {
    shared: Arc<Shared>,
    hold: Hold,
    settled: bool,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        {
            let mut running = self.shared.lock_running();
            // A later run of the same job may have its place already.
            if running
                .get(&self.hold.job)
                .is_some_and(|r| r.fence == self.hold.fence)
            {
                running.remove(&self.hold.job);
                self.shared.jobs.unset_running(&self.hold.job);
            }
        }
        if !self.settled {
            self.shared.give_back_later(self.hold.clone());
        }
        self.shared.jobs.changed(&self.hold.job);
        self.shared.free.notify_one();
        self.shared.stir.notify_one();
    }
}

/// The place of a running job among those of its worker.
#[derive(Clone)]
pub(crate) struct Seat {
    shared: Arc<Shared>,
    job: JobId,
    fence: Fence,
}

impl Seat {
    pub(crate) fn new(shared: &Arc<Shared>, hold: &Hold) -> Self {
        Self {
            shared: Arc::clone(shared),
            job: hold.job.clone(),
            fence: hold.fence,
        }
    }

    /// Gives the place to others. `None` where it is kept: too many are aside
    /// already, or the job is not counted any more.
    pub(crate) fn stand_up(&self) -> Option<Standing> {
        let running = self.shared.lock_running();
        if running.get(&self.job).is_none_or(|r| r.fence != self.fence) {
            return None;
        }
        let mut places = self.shared.places();
        if places.aside >= ASIDE_MAX {
            return None;
        }
        places.aside += 1;
        drop((places, running));
        self.shared.free.notify_one();
        self.shared.stir.notify_one();
        Some(Standing {
            shared: Arc::clone(&self.shared),
            coming_back: false,
            seated: false,
        })
    }
}

/// A job without a place. However it ends, it is counted as one with a place
/// afterwards.
pub(crate) struct Standing {
    shared: Arc<Shared>,
    coming_back: bool,
    seated: bool,
}

impl Standing {
    /// Waits for a place, unless there is no time for that.
    pub(crate) async fn sit_down(mut self, leave: &Cancel) {
        self.shared.places().coming_back += 1;
        self.coming_back = true;
        let shared = Arc::clone(&self.shared);
        loop {
            let free = shared.free.notified();
            if leave.requested() || self.is_seated() {
                return;
            }
            tokio::select! {
                () = free => {}
                () = leave.wait() => return,
            }
        }
    }

    fn is_seated(&mut self) -> bool {
        let running = self.shared.lock_running().len();
        let mut places = self.shared.places();
        if running.saturating_sub(places.aside) >= self.shared.config.concurrency {
            return false;
        }
        places.aside -= 1;
        places.coming_back -= 1;
        self.seated = true;
        true
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        let mut places = self.shared.places();
        if !self.seated {
            places.aside -= 1;
            places.coming_back -= usize::from(self.coming_back);
        }
        let more = places.coming_back > 0;
        drop(places);
        // What woke this one may have been meant for two.
        if more {
            self.shared.free.notify_one();
        }
    }
}

/// `false` when the lease is gone.
fn renew(tx: &mut dyn Tx, owner: &str, until: Timestamp) -> Result<bool, StoreError> {
    Ok(tx.execute(
        "UPDATE job_workers SET lease_until_ms = $2 WHERE owner = $1",
        params![owner, until.0],
    )? == 1)
}

/// Takes up to `limit` jobs: their fence and their rows. `None` when our lease
/// is gone.
fn claim(
    tx: &mut dyn Tx,
    me: &Identity,
    now: Timestamp,
    until: Timestamp,
    limit: usize,
    names: &[String],
) -> Result<Option<(Fence, Vec<Row>)>, StoreError> {
    // Also locks our row: nobody declares us dead while we take jobs.
    if !renew(tx, &me.owner, until)? {
        return Ok(None);
    }
    // Not below the clock: a fresh store must be able to take over a disk whose
    // lock has seen the tokens of a store that is gone. Within a store the
    // tokens grow whatever the clock does.
    let fence: i64 = query_one(
        tx,
        "UPDATE job_fence SET last = CASE WHEN last < $1 THEN $1 ELSE last + 1 END \
         WHERE id = 1 RETURNING last",
        params![now.0],
    )?
    .ok_or_else(|| StoreError::corrupt("the row of job_fence is gone"))?
    .get(0)?;
    let skip = tx.dialect().skip_locked();
    // The inner selection is run once, whatever the planner thinks: repeated,
    // it would take more than `limit`.
    let rows = tx.query(
        &format!(
            "WITH due AS MATERIALIZED (SELECT id FROM jobs WHERE state = 'queued' AND node = $1 \
               AND next_run_ms <= $2 AND procedure IN ({}) \
               ORDER BY next_run_ms, id LIMIT $5{skip}) \
             UPDATE jobs SET state = 'running', owner = $3, fence = $4, words = 'taken by a worker', \
               started_ms = COALESCE(started_ms, $2) \
             WHERE id IN (SELECT id FROM due) \
             RETURNING {}",
            placeholders(6, names.len()),
            crate::persistence::CLAIMED_COLUMNS,
        ),
        &with_names(
            params![
                me.node.as_str(),
                now.0,
                me.owner.as_str(),
                fence,
                i64::try_from(limit).unwrap_or(i64::MAX)
            ],
            names,
        ),
    )?;
    Ok(Some((Fence(fence), rows)))
}

/// Placeholders, or a word that is no name when there are none.
fn quoted(count: usize, from: usize) -> String {
    if count == 0 {
        "'-'".to_owned()
    } else {
        placeholders(from, count)
    }
}
