//! One job, from the moment a worker has taken it until it ends, pauses, or is
//! lost.
//!
//! For each step: intent (fenced), effect, record (fenced, with the product's
//! own changes). What a crash leaves is read back from these two: an intent
//! without a record means that the step runs again.

use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use backout_core::code::Code;
use backout_core::outcome::Outcome;
use backout_core::time::Timestamp;
use backout_store::{Error as StoreError, Tx, Value, params, query_one};
use futures_util::FutureExt;

use crate::model::{Direction, EventKind};
use crate::persistence::{
    Claimed, Hold, NewEvent, add_event, cut, for_update, is_cancelled, put_back, release_claims,
};
use crate::procedure::{Cancel, Commit, Done, Moment, Point, ProbeAction, StepContext, StepError};
use crate::progress::Progress;
use crate::registry::Known;
use crate::worker::{Seat, Shared};

/// How often a step that says "again" is tried in all.
pub const MAX_ATTEMPTS: i64 = 5;

/// The pause before the second attempt; each further one is twice as long: 0.5,
/// 1, 2 and 4 seconds, long enough for a service to restart.
const FIRST_PAUSE_MS: i64 = 500;

/// How often one step is begun without ever being recorded. Beyond it the step
/// is taken for the reason why its workers die, not for their victim.
pub const MAX_TRIES: i64 = 20;

/// How often a write that may be repeated is tried while the store is away or
/// another transaction is in the way. After that the job is given back.
const WRITE_TRIES: u32 = 5;

/// The pause before a write is tried again; each further one is twice as long.
const WRITE_PAUSE: Duration = Duration::from_millis(40);

/// What the worker hands over with a job.
pub(crate) struct Taken {
    pub(crate) hold: Hold,
    pub(crate) cancel: Cancel,
    pub(crate) lost: Cancel,
    pub(crate) leave: Cancel,
    pub(crate) progress: Arc<Progress>,
    pub(crate) stored: Result<Claimed, StoreError>,
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All is written: the job has an outcome, or waits in the queue.
    Settled,
    /// Another worker has the job.
    Lost,
    /// The store did not take what had to be written: put the job back to work
    /// when it can be, if it is still ours.
    GiveBack,
}

/// Runs one job as far as it goes.
pub(crate) async fn run(shared: Arc<Shared>, taken: Taken) -> End {
    let hold = taken.hold.clone();
    let end = match Run::load(Arc::clone(&shared), taken).await {
        Ok(mut run) => run.go().await,
        Err(Unloaded::End(end)) => end,
        Err(Unloaded::Unreadable(e)) => hold_unreadable(&shared, &hold, &e).await,
    };
    if end == End::Lost {
        tracing::info!(job = %hold.job, fence = %hold.fence, owner = %hold.owner, "another worker has the job, it is dropped here");
    }
    end
}

enum Unloaded {
    End(End),
    Unreadable(StoreError),
}

impl From<StoreError> for Unloaded {
    fn from(e: StoreError) -> Self {
        match e {
            StoreError::Corrupt(_) => Self::Unreadable(e),
            _ => Self::End(End::GiveBack),
        }
    }
}

/// What is stored of one step in one direction.
#[derive(Clone, Copy, Default)]
struct StepRow {
    intended: bool,
    recorded: bool,
    tries: i64,
}

struct Run {
    shared: Arc<Shared>,
    hold: Hold,
    known: Arc<dyn Known>,
    context: StepContext,
    /// What the job is listed under, for the probe.
    resource: String,
    progress: Arc<Progress>,
    lost: Cancel,
    /// By step and whether it is the undo.
    rows: HashMap<(String, bool), StepRow>,
    direction: Direction,
    no_return: bool,
    attempts: i64,
    failure: Option<StepError>,
    /// To be told with the first write.
    announce: Option<EventKind>,
}

/// One fenced transaction, as data, so that it can be repeated.
#[derive(Clone, Default)]
struct Change {
    /// Assignments to the job's row; their parameters begin at `$5`.
    set: &'static str,
    values: Vec<Value>,
    steps: Vec<StepChange>,
    events: Vec<Event>,
    /// Refused when somebody asked to cancel.
    unless_cancelled: bool,
    claims: Claims,
}

#[derive(Clone)]
enum StepChange {
    Intent {
        step: &'static str,
        undo: bool,
    },
    Record {
        step: &'static str,
        undo: bool,
        output: Option<String>,
    },
}

#[derive(Clone)]
struct Event {
    kind: EventKind,
    step: Option<&'static str>,
    undo: bool,
    words: String,
}

/// What becomes of the job's claims.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Claims {
    #[default]
    Keep,
    Release,
    /// Keep them, and send away those who wait for them.
    Hold,
}

enum WriteError {
    Lost,
    CancelRequested,
    Store(StoreError),
}

impl From<StoreError> for WriteError {
    fn from(e: StoreError) -> Self {
        Self::Store(e)
    }
}

impl WriteError {
    /// How the run ends when there is nothing else to be done about it.
    fn end(self, job: &Hold) -> End {
        match self {
            Self::Lost => End::Lost,
            Self::CancelRequested => End::GiveBack,
            Self::Store(e) => {
                tracing::warn!(job = %job.job, error = %e, "a job is given back, its state cannot be written");
                End::GiveBack
            }
        }
    }
}

/// Whether the transaction certainly left no trace and would fail again.
fn is_final(e: &StoreError) -> bool {
    match e {
        StoreError::Unavailable { .. } | StoreError::Contended(_) => false,
        StoreError::Statement(_) | StoreError::Corrupt(_) | StoreError::Foreign(_) => true,
    }
}

impl Run {
    async fn load(shared: Arc<Shared>, taken: Taken) -> Result<Self, Unloaded> {
        let claimed = taken.stored.map_err(Unloaded::from)?;
        let Some(known) = shared.registry.get(&claimed.procedure) else {
            // Only known procedures are taken.
            return Err(Unloaded::End(End::GiveBack));
        };
        let job = taken.hold.job.clone();
        let stored = shared
            .store()
            .read::<_, StoreError>(move |tx| {
                tx.query(
                    "SELECT step, undo, record_ms, tries, output FROM job_steps WHERE job = $1",
                    params![job.as_str()],
                )
            })
            .await?;
        let mut rows = HashMap::new();
        let mut outputs = serde_json::Map::new();
        for row in &stored {
            let step: String = row.get(0)?;
            let undo: bool = row.get(1)?;
            if known.steps().iter().all(|line| line.name != step) {
                return Err(Unloaded::Unreadable(StoreError::corrupt(format!(
                    "step {step} has run and is not in this version's step table"
                ))));
            }
            let recorded = row.get::<Option<i64>>(2)?.is_some();
            if let Some(output) = row.get::<Option<String>>(4)? {
                let output = serde_json::from_str(&output).map_err(|e| {
                    StoreError::corrupt(format!("the output of step {step} is not JSON: {e}"))
                })?;
                outputs.insert(step.clone(), output);
            }
            let stored = StepRow {
                intended: true,
                recorded,
                tries: row.get(3)?,
            };
            rows.insert((step, undo), stored);
        }
        let told = Arc::clone(&taken.progress);
        let seat = Seat::new(&shared, &taken.hold);
        let undoing = claimed.direction == Direction::Undoing;
        if undoing {
            shared.jobs.unset_running(&taken.hold.job);
        }
        Ok(Self {
            context: StepContext {
                job: taken.hold.job.clone(),
                request: claimed.request,
                account: claimed.account,
                fence: taken.hold.fence,
                store: shared.store().clone(),
                cancel: if undoing {
                    taken.lost.clone()
                } else {
                    taken.cancel
                },
                leave: taken.leave,
                seat,
                input: claimed.input,
                outputs,
                report: Arc::new(move |percent, words| told.tell(percent, words)),
            },
            hold: taken.hold,
            known,
            resource: claimed.resource,
            progress: taken.progress,
            lost: taken.lost,
            rows,
            direction: claimed.direction,
            no_return: claimed.no_return,
            attempts: claimed.attempts,
            failure: claimed.error.map(|e| match e.code {
                Code::Cancelled => StepError::Cancelled,
                code => StepError::Failed {
                    code,
                    message: e.message,
                },
            }),
            announce: Some(if claimed.first {
                EventKind::Started
            } else {
                EventKind::Resumed
            }),
            shared,
        })
    }

    async fn go(&mut self) -> End {
        loop {
            let turned = match self.direction {
                Direction::Forward => self.forward().await,
                Direction::Undoing => self.backward().await,
            };
            match turned {
                // It goes the other way now.
                Ok(()) => {}
                Err(end) => return end,
            }
        }
    }

    fn row(&mut self, index: usize, undo: bool) -> &mut StepRow {
        let name = self.known.steps()[index].name;
        self.rows.entry((name.to_owned(), undo)).or_default()
    }

    /// Does what is not done. `Ok` when the job is to be taken back.
    async fn forward(&mut self) -> Result<(), End> {
        for index in 0..self.known.steps().len() {
            if self.row(index, false).recorded {
                continue;
            }
            self.give_way().await?;
            if let Err(e) = self.attempt(index, false).await? {
                return self.failed(index, e).await;
            }
        }
        // Whoever asks to cancel from here on comes too late.
        Err(self.end(Outcome::Applied).await)
    }

    /// Takes back what was begun, last first.
    async fn backward(&mut self) -> Result<(), End> {
        for index in (0..self.known.steps().len()).rev() {
            let nothing = self.known.steps()[index].undo.is_none();
            if nothing || !self.row(index, false).intended || self.row(index, true).recorded {
                continue;
            }
            self.give_way().await?;
            if let Err(e) = self.attempt(index, true).await? {
                return Err(self.undo_failed(index, e).await);
            }
        }
        Err(self.end(Outcome::Reverted).await)
    }

    /// Between steps: when the worker stops, others go on at once.
    async fn give_way(&self) -> Result<(), End> {
        if self.shared.is_stopping() {
            return Err(self.put_back_now().await);
        }
        if self.lost.requested() {
            return Err(End::Lost);
        }
        Ok(())
    }

    async fn put_back_now(&self) -> End {
        let hold = self.hold.clone();
        let now = self.shared.now().0;
        let put = self
            .shared
            .store()
            .write::<_, StoreError>(move |tx| put_back(tx, &hold, now))
            .await;
        match put {
            Ok(true) => End::Settled,
            Ok(false) => End::Lost,
            Err(e) => WriteError::Store(e).end(&self.hold),
        }
    }

    /// Puts the job back to work in the middle of a step that can be left. That
    /// is no try that failed.
    async fn leave(&self, step: &'static str, undo: bool) -> End {
        let hold = self.hold.clone();
        let now = self.shared.now().0;
        let put = self
            .shared
            .store()
            .write::<_, StoreError>(move |tx| {
                if !put_back(tx, &hold, now)? {
                    return Ok(false);
                }
                tx.execute(
                    "UPDATE job_steps SET tries = tries - 1 \
                     WHERE job = $1 AND step = $2 AND undo = $3 AND tries > 0",
                    params![hold.job.as_str(), step, undo],
                )?;
                Ok(true)
            })
            .await;
        match put {
            Ok(true) => End::Settled,
            Ok(false) => End::Lost,
            Err(e) => WriteError::Store(e).end(&self.hold),
        }
    }

    /// One step, or its undo: intent, effect, record. The outer error ends the
    /// run, the inner one is the step's.
    async fn attempt(&mut self, index: usize, undo: bool) -> Result<Result<(), StepError>, End> {
        let line = self.known.steps()[index];
        let step = line.name;
        if let Some(e) = self.probe(step, undo, Moment::BeforeIntent).await.failure() {
            return Ok(Err(e));
        }
        let tries = self.row(index, undo).tries;
        if tries >= MAX_TRIES {
            return Ok(Err(StepError::failed(
                Code::Internal,
                format!(
                    "finish step {step}: it was begun {tries} times and interrupted each time; see the log of its workers for why they ended"
                ),
            )));
        }
        let before = self.steps_in_force(index, undo);
        let percent = self
            .progress
            .begin(step, undo, before, self.known.steps().len());
        let intent = Change {
            set: "step = $5, words = $6, no_return = $7, percent = $8",
            values: params![
                step,
                if undo {
                    line.undo.unwrap_or(line.does)
                } else {
                    line.does
                },
                self.no_return || (line.no_return && !undo),
                i64::from(percent)
            ]
            .to_vec(),
            steps: vec![StepChange::Intent { step, undo }],
            events: vec![Event {
                kind: EventKind::StepStarted,
                step: Some(step),
                undo,
                words: String::new(),
            }],
            unless_cancelled: !undo && !self.no_return,
            claims: Claims::Keep,
        };
        match self.write(intent, None).await {
            Ok(()) => {}
            Err(WriteError::CancelRequested) => return Ok(Err(StepError::Cancelled)),
            Err(e) => return Err(e.end(&self.hold)),
        }
        self.no_return |= line.no_return && !undo;
        let row = self.row(index, undo);
        row.intended = true;
        row.tries += 1;

        let twice = match self.probe(step, undo, Moment::AfterIntent).await {
            ProbeAction::Fail(e) => return Ok(Err(e)),
            ProbeAction::Repeat => true,
            ProbeAction::GoOn => false,
        };
        let mut done = match self.effect(index, undo).await {
            Ok(done) => done,
            Err(e) => return Ok(Err(e)),
        };
        let again = match self.probe(step, undo, Moment::AfterEffect).await {
            ProbeAction::Fail(e) => return Ok(Err(e)),
            ProbeAction::Repeat => true,
            ProbeAction::GoOn => twice,
        };
        if again {
            done = match self.effect(index, undo).await {
                Ok(done) => done,
                Err(e) => return Ok(Err(e)),
            };
        }

        let percent = self.progress.finish();
        let output = (!undo && !done.output.is_null()).then(|| done.output.to_string());
        let record = Change {
            set: "attempts = 0, percent = $5",
            values: params![i64::from(percent)].to_vec(),
            steps: vec![StepChange::Record { step, undo, output }],
            events: vec![Event {
                kind: EventKind::StepFinished,
                step: Some(step),
                undo,
                words: String::new(),
            }],
            ..Change::default()
        };
        match self.write(record, done.commit).await {
            Ok(()) => {}
            Err(WriteError::Store(e)) if is_final(&e) => {
                return Ok(Err(StepError::failed(
                    Code::Store,
                    format!("record step {step}: {e}"),
                )));
            }
            // Its fate may be unknown: what is stored tells, when the job is
            // taken again.
            Err(e) => return Err(e.end(&self.hold)),
        }
        self.attempts = 0;
        self.row(index, undo).recorded = true;
        if !undo {
            self.context.outputs.insert(step.to_owned(), done.output);
        }
        match self.probe(step, undo, Moment::AfterRecord).await.failure() {
            Some(e) => Ok(Err(e)),
            None => Ok(Ok(())),
        }
    }

    /// How many steps are in force before the one at `index` is done, or beside
    /// it when it is undone.
    fn steps_in_force(&mut self, index: usize, undo: bool) -> usize {
        (0..self.known.steps().len())
            .filter(|&i| {
                i != index
                    && if undo {
                        i < index
                    } else {
                        self.row(i, false).recorded
                    }
            })
            .count()
    }

    async fn probe(&self, step: &'static str, undo: bool, moment: Moment) -> ProbeAction {
        let point = Point {
            account: &self.context.account,
            resource: &self.resource,
            procedure: self.known.name(),
            step,
            undo,
            moment,
        };
        self.shared.config.probe.at(point).await
    }

    /// Performs the step, or its undo. A panic is a failure like another.
    async fn effect(&self, index: usize, undo: bool) -> Result<Done, StepError> {
        let performed = AssertUnwindSafe(async {
            match self.known.start(index, undo, &self.context) {
                Some(running) => running.await,
                None => Ok(Done::nothing()),
            }
        });
        performed.catch_unwind().await.unwrap_or_else(|panic| {
            Err(StepError::failed(
                Code::Internal,
                format!(
                    "finish step {}: it panicked: {}; report it with the log",
                    self.known.steps()[index].name,
                    panic_text(panic.as_ref())
                ),
            ))
        })
    }

    /// A step failed on the way forward. `Ok` when the job is to be taken back.
    async fn failed(&mut self, index: usize, e: StepError) -> Result<(), End> {
        let step = self.known.steps()[index].name;
        let e = match self.repeated(step, false, e).await? {
            StepError::Cancelled if self.shared.is_stopping() && !self.is_cancelled().await? => {
                // Told to stop because the worker does, not the job.
                return Err(self.put_back_now().await);
            }
            e => e,
        };
        if self.no_return {
            let message = format!(
                "finish step {step}, after a point of no return: {e}; put right what it names, then retry the job"
            );
            return Err(self.hold(code_of(&e), message, &e).await);
        }
        tracing::info!(job = %self.hold.job, step, error = %e, "a job is taken back");
        let cause = self.failure.get_or_insert(e);
        let change = Change {
            set: "direction = 'undoing', attempts = 0, error_code = $5, error_message = $6, words = 'taking back what was done'",
            values: params![code_of(cause).as_str(), cut(&message_of(cause))].to_vec(),
            events: vec![Event {
                kind: EventKind::Undoing,
                step: Some(step),
                undo: false,
                words: message_of(cause),
            }],
            ..Change::default()
        };
        if let Err(e) = self.write(change, None).await {
            return Err(e.end(&self.hold));
        }
        self.direction = Direction::Undoing;
        self.attempts = 0;
        // From here on a cancel request says nothing new.
        self.context.cancel = self.lost.clone();
        self.shared.jobs.unset_running(&self.hold.job);
        Ok(())
    }

    async fn undo_failed(&mut self, index: usize, e: StepError) -> End {
        let step = self.known.steps()[index].name;
        let e = match self.repeated(step, true, e).await {
            Ok(e) => e,
            Err(end) => return end,
        };
        let message = format!("undo step {step}: {e}; put right what it names, then retry the job");
        self.hold(Code::UndoFailed, message, &e).await
    }

    /// Lets the job pause if the step may be repeated, or drops it if it was
    /// lost: both end the run. Otherwise returns the error that is final.
    async fn repeated(
        &mut self,
        step: &'static str,
        undo: bool,
        e: StepError,
    ) -> Result<StepError, End> {
        match e {
            // It was told to leave, and did.
            StepError::Stale if self.shared.is_stopping() => Err(self.leave(step, undo).await),
            // The effect found a newer token than ours. If the job is ours all
            // the same, a higher token comes with the next run.
            StepError::Stale => Err(End::GiveBack),
            StepError::Again { code, message } => {
                let attempts = self.attempts + 1;
                if attempts >= MAX_ATTEMPTS {
                    return Ok(StepError::Failed {
                        code,
                        message: format!("{message} ({attempts} attempts)"),
                    });
                }
                let pause_ms = FIRST_PAUSE_MS << (attempts - 1);
                let words = format!("tries again in {pause_ms} ms: {message}");
                let change = Change {
                    set: "state = 'queued', owner = NULL, attempts = $5, next_run_ms = $6, words = $7",
                    values: params![attempts, self.shared.now().plus_ms(pause_ms).0, cut(&words)]
                        .to_vec(),
                    events: vec![Event {
                        kind: EventKind::Retrying,
                        step: Some(step),
                        undo,
                        words,
                    }],
                    ..Change::default()
                };
                Err(match self.write(change, None).await {
                    Ok(()) => End::Settled,
                    Err(e) => e.end(&self.hold),
                })
            }
            e => Ok(e),
        }
    }

    async fn is_cancelled(&self) -> Result<bool, End> {
        let job = self.hold.job.clone();
        self.shared
            .store()
            .read(move |tx| is_cancelled(tx, &job))
            .await
            .map_err(|e| WriteError::Store(e).end(&self.hold))
    }

    /// What the product writes with the outcome.
    fn settle(&self, outcome: Outcome, failure: Option<&StepError>) -> Result<Commit, StoreError> {
        catch_unwind(AssertUnwindSafe(|| {
            self.known.settle(&self.context, outcome, failure)
        }))
        .map_err(|panic| {
            StoreError::Statement(format!(
                "the procedure's settlement panicked: {}",
                panic_text(panic.as_ref())
            ))
        })
    }

    /// Writes the outcome [`Outcome::Applied`] or [`Outcome::Reverted`].
    async fn end(&mut self, outcome: Outcome) -> End {
        let (percent, words) = match outcome {
            Outcome::Reverted => (0_i64, "taken back"),
            _ => (100, "done"),
        };
        let change = Change {
            set: "state = 'done', outcome = $5, owner = NULL, attempts = 0, ended_ms = $6, percent = $7, words = $8",
            values: params![outcome.as_str(), self.shared.now().0, percent, words].to_vec(),
            events: vec![Event {
                kind: EventKind::of(outcome),
                step: None,
                undo: false,
                words: self.failure.as_ref().map(message_of).unwrap_or_default(),
            }],
            claims: Claims::Release,
            ..Change::default()
        };
        let written = match self.settle(outcome, self.failure.as_ref()) {
            Ok(commit) => self.write(change, Some(commit)).await,
            Err(e) => Err(WriteError::Store(e)),
        };
        match written {
            Ok(()) => {
                tracing::info!(job = %self.hold.job, procedure = self.known.name(), outcome = %outcome, "a job has ended");
                End::Settled
            }
            Err(WriteError::Store(e)) if is_final(&e) => {
                let message = format!(
                    "write the outcome {outcome}: {e}; all steps are settled, report it with the log, then retry the job"
                );
                let change = held(self.shared.now(), &self.hold, Code::Store, &message);
                self.finish_hold(change, None, &message).await
            }
            Err(e) => e.end(&self.hold),
        }
    }

    /// Ends the job Held.
    async fn hold(&mut self, code: Code, message: String, failure: &StepError) -> End {
        let change = held(self.shared.now(), &self.hold, code, &message);
        if let Ok(commit) = self.settle(Outcome::Held, Some(failure)) {
            match self.write(change.clone(), Some(commit)).await {
                Ok(()) => {
                    log_held(&self.hold, &message);
                    return End::Settled;
                }
                // Held all the same: the claims must stay and a person must
                // look, whatever the product could not write.
                Err(WriteError::Store(e)) if is_final(&e) => {}
                Err(e) => return e.end(&self.hold),
            }
        }
        let message = format!("{message} (and the product's own rows could not be settled)");
        let change = held(self.shared.now(), &self.hold, code, &message);
        self.finish_hold(change, None, &message).await
    }

    async fn finish_hold(&mut self, change: Change, commit: Option<Commit>, message: &str) -> End {
        match self.write(change, commit).await {
            Ok(()) => {
                log_held(&self.hold, message);
                End::Settled
            }
            Err(e) => e.end(&self.hold),
        }
    }

    /// One fenced transaction. Without a commit of the product's it is repeated
    /// while the store is away; with one it is not, since its fate may be
    /// unknown.
    async fn write(
        &mut self,
        mut change: Change,
        commit: Option<Commit>,
    ) -> Result<(), WriteError> {
        if let Some(kind) = self.announce {
            change.events.insert(
                0,
                Event {
                    kind,
                    step: None,
                    undo: false,
                    words: String::new(),
                },
            );
        }
        write(&self.shared, &self.hold, change, commit).await?;
        self.announce = None;
        Ok(())
    }
}

/// A job whose rows do not decode: a person must look; the others go on.
async fn hold_unreadable(shared: &Shared, hold: &Hold, e: &StoreError) -> End {
    let message = format!(
        "go on with a job whose stored state does not decode: {e}; start the version that wrote it, or restore the store, then retry the job"
    );
    let change = held(shared.now(), hold, Code::Store, &message);
    match write(shared, hold, change, None).await {
        Ok(()) => {
            log_held(hold, &message);
            End::Settled
        }
        Err(e) => e.end(hold),
    }
}

fn held(now: Timestamp, hold: &Hold, code: Code, message: &str) -> Change {
    Change {
        set: "state = 'done', outcome = 'held', owner = NULL, attempts = 0, ended_ms = $5, held_code = $6, held_message = $7, next_command = $8, words = 'held'",
        values: params![
            now.0,
            code.as_str(),
            cut(message),
            format!("backout jobs retry {}", hold.job)
        ]
        .to_vec(),
        events: vec![Event {
            kind: EventKind::Held,
            step: None,
            undo: false,
            words: message.to_owned(),
        }],
        claims: Claims::Hold,
        ..Change::default()
    }
}

fn log_held(hold: &Hold, message: &str) {
    tracing::error!(job = %hold.job, error = message, next = %format!("backout jobs retry {}", hold.job), "a job is held, a person must act");
}

async fn write(
    shared: &Shared,
    hold: &Hold,
    change: Change,
    mut commit: Option<Commit>,
) -> Result<(), WriteError> {
    let mut pause = WRITE_PAUSE;
    let mut tries = if commit.is_some() { 1 } else { WRITE_TRIES };
    loop {
        let hold = hold.clone();
        let job = hold.job.clone();
        let change = change.clone();
        let commit = commit.take();
        let now = shared.now();
        let written = shared
            .store()
            .write(move |tx| apply(tx, &hold, &change, commit, now))
            .await;
        tries -= 1;
        match written {
            Ok(()) => {
                shared.jobs.changed(&job);
                return Ok(());
            }
            Err(WriteError::Store(e)) if tries > 0 && !is_final(&e) => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            Err(e) => return Err(e),
        }
    }
}

fn apply(
    tx: &mut dyn Tx,
    hold: &Hold,
    change: &Change,
    commit: Option<Commit>,
    now: Timestamp,
) -> Result<(), WriteError> {
    let events = i64::try_from(change.events.len()).unwrap_or(0);
    let mut values = params![hold.job.as_str(), hold.fence.0, hold.owner.as_str(), events].to_vec();
    values.extend(change.values.iter().cloned());
    let row = query_one(
        tx,
        &format!(
            "UPDATE jobs SET {}, event_seq = event_seq + $4 \
             WHERE id = $1 AND fence = $2 AND owner = $3 AND state = 'running' \
             RETURNING event_seq, cancel_requested",
            change.set
        ),
        &values,
    )?
    .ok_or(WriteError::Lost)?;
    if change.unless_cancelled && row.get::<bool>(1)? {
        return Err(WriteError::CancelRequested);
    }
    for step in &change.steps {
        match step {
            StepChange::Intent { step, undo } => tx.execute(
                "INSERT INTO job_steps (job, step, undo, intent_ms, tries) \
                 VALUES ($1, $2, $3, $4, 1) \
                 ON CONFLICT (job, step, undo) DO UPDATE SET tries = job_steps.tries + 1",
                params![hold.job.as_str(), *step, *undo, now.0],
            )?,
            StepChange::Record { step, undo, output } => tx.execute(
                "UPDATE job_steps SET record_ms = $4, output = $5 \
                 WHERE job = $1 AND step = $2 AND undo = $3",
                params![hold.job.as_str(), *step, *undo, now.0, output.clone()],
            )?,
        };
    }
    let first = row.get::<i64>(0)? - events + 1;
    for (seq, event) in (first..).zip(&change.events) {
        let event = NewEvent {
            kind: event.kind,
            step: event.step,
            undo: event.undo,
            percent: None,
            words: &event.words,
        };
        add_event(tx, &hold.job, seq, now, &event)?;
    }
    if let Some(commit) = commit {
        commit(tx)?;
    }
    match change.claims {
        Claims::Keep => {}
        Claims::Release => release_claims(tx, &hold.job, now)?,
        Claims::Hold => send_heirs_away(tx, &hold.job, now)?,
    }
    Ok(())
}

/// A background job that was to yield is Held: who waits for it would wait
/// without end, so it ends Reverted before it has begun.
fn send_heirs_away(
    tx: &mut dyn Tx,
    job: &backout_core::ids::JobId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let lock = for_update(tx.dialect());
    let rows = tx.query(
        &format!(
            "SELECT successor FROM claims WHERE job = $1 AND successor IS NOT NULL ORDER BY resource{lock}"
        ),
        params![job.as_str()],
    )?;
    for row in &rows {
        tx.execute(
            "UPDATE jobs SET cancel_requested = 1, next_run_ms = $2, error_code = $3, error_message = $4 \
             WHERE id = $1 AND state = 'queued'",
            params![
                row.get::<String>(0)?,
                now.0,
                Code::ResourceBusy.as_str(),
                format!("wait for background job {job}: it is held; see \"backout jobs show {job}\"")
            ],
        )?;
    }
    Ok(())
}

fn code_of(e: &StepError) -> Code {
    match e {
        StepError::Again { code, .. } | StepError::Failed { code, .. } => *code,
        StepError::Cancelled => Code::Cancelled,
        StepError::Stale => Code::StaleFence,
    }
}

fn message_of(e: &StepError) -> String {
    match e {
        StepError::Cancelled => "finish the job: it was cancelled on request".to_owned(),
        e => e.to_string(),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no words".to_owned())
}

impl ProbeAction {
    fn failure(self) -> Option<StepError> {
        match self {
            Self::Fail(e) => Some(e),
            Self::GoOn | Self::Repeat => None,
        }
    }
}
