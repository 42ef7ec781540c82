//! What a product writes: a procedure and its steps.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backout_core::code::Code;
use backout_core::fence::Fence;
use backout_core::ids::{AccountId, JobId, RequestId};
use backout_core::outcome::Outcome;
use backout_store::{Error as StoreError, Store, Tx};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use crate::worker::Seat;

/// What a step returns while it runs.
pub type StepFuture<'a> = Pin<Box<dyn Future<Output = Result<Done, StepError>> + Send + 'a>>;

/// Changes to the store that are written in the same transaction as the record
/// of a step, or as the outcome of a job.
pub type Commit = Box<dyn FnOnce(&mut dyn Tx) -> Result<(), StoreError> + Send>;

/// What a job is to be told; a product's own type, stored as JSON.
pub type Input = serde_json::Value;

/// A kind of job.
pub trait Procedure: Send + Sync + 'static {
    /// Stable name, e.g. `servers.apply_snapshot`. Stored with each job.
    fn name(&self) -> &'static str;

    /// The step table, in order. Stable: a job that is under way during an
    /// upgrade goes on by step name.
    fn steps(&self) -> &[Step<Self>]
    where
        Self: Sized;

    /// Changes to the product's own rows when the job ends, in the transaction
    /// that writes the outcome. Called for Held as well, and again when a Held
    /// job is resolved later: so it says how things are, and does not count.
    /// `failure` is why the job failed ([`StepError::Cancelled`] when it was
    /// cancelled); for Held, why it is held. When it panics, or its commit is
    /// refused, the job is Held without it. Not called for a job whose stored
    /// rows do not decode.
    fn settle(&self, job: &StepContext, outcome: Outcome, failure: Option<&StepError>) -> Commit;
}

/// One line of a step table.
pub struct Step<P> {
    /// Stable name, unique in its table.
    pub name: &'static str,
    /// What it does, for plans and people.
    pub does: &'static str,
    /// Performs the step. Called again after a crash: it must notice what is
    /// done already.
    pub run: for<'a> fn(&'a P, &'a StepContext) -> StepFuture<'a>,
    /// How the step is taken back.
    pub undo: Undo<P>,
}

/// How a step is taken back.
pub enum Undo<P> {
    /// By this. Called whether the step ran whole, in part, or not at all, and
    /// again after a crash.
    By {
        /// What it does, for plans and people.
        does: &'static str,
        /// Performs the undo.
        run: for<'a> fn(&'a P, &'a StepContext) -> StepFuture<'a>,
    },
    /// The step changes nothing that outlives it.
    Nothing,
    /// It cannot be: a point of no return. Once its intent is written the job
    /// only goes forward: a cancel request comes too late, a crash repeats the
    /// step, and a failure (after the retries) holds the job, to be retried
    /// forward. Before its intent it is as any other step.
    Never,
}

/// What a finished step leaves behind.
#[derive(Default)]
pub struct Done {
    /// Stored in the record; later steps, undos and `settle` read it by
    /// [`StepContext::output`].
    pub output: serde_json::Value,
    /// Changes to the product's rows, written with the record.
    pub commit: Option<Commit>,
}

impl Done {
    /// Nothing to remember.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Remembers `output` for later steps.
    ///
    /// # Errors
    /// [`StepError::Failed`] when it cannot be written as JSON.
    pub fn remember(output: &impl Serialize) -> Result<Self, StepError> {
        let output = serde_json::to_value(output).map_err(|e| {
            StepError::failed(Code::Internal, format!("write a step's output: {e}"))
        })?;
        Ok(Self {
            output,
            commit: None,
        })
    }

    /// Adds changes to the product's rows.
    #[must_use]
    pub fn with(
        mut self,
        commit: impl FnOnce(&mut dyn Tx) -> Result<(), StoreError> + Send + 'static,
    ) -> Self {
        self.commit = Some(Box::new(commit));
        self
    }
}

/// Why a step, or its undo, did not finish.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// It may work when repeated; the engine does so a few times with growing
    /// pauses, then treats it as failed.
    #[error("{message}")]
    Again {
        /// Our code.
        code: Code,
        /// A lower-case fragment that fits "failed to ...".
        message: String,
    },
    /// It will not work: undo what was done (or, from an undo: hold the job).
    #[error("{message}")]
    Failed {
        /// Our code.
        code: Code,
        /// A lower-case fragment that fits "failed to ...", with what to do
        /// next.
        message: String,
    },
    /// It noticed the cancel request and stopped.
    #[error("stop on request")]
    Cancelled,
    /// Another worker has the job: drop it at once, change nothing.
    #[error("go on with a job that another worker has taken over")]
    Stale,
}

impl StepError {
    /// [`StepError::Failed`].
    pub fn failed(code: Code, message: impl Into<String>) -> Self {
        Self::Failed {
            code,
            message: message.into(),
        }
    }

    /// [`StepError::Again`].
    pub fn again(code: Code, message: impl Into<String>) -> Self {
        Self::Again {
            code,
            message: message.into(),
        }
    }
}

impl From<StoreError> for StepError {
    fn from(e: StoreError) -> Self {
        Self::again(Code::Store, e.to_string())
    }
}

/// Tells a running step that its job is to be cancelled, or was lost, or that
/// the worker stops. A step that stops for it returns
/// [`StepError::Cancelled`]; when only the worker stops, it is begun anew by
/// another.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<Asked>);

#[derive(Debug, Default)]
struct Asked {
    yes: AtomicBool,
    told: Notify,
}

impl Cancel {
    /// Whether to stop soon. Long loops ask every few megabytes.
    #[must_use]
    pub fn requested(&self) -> bool {
        self.0.yes.load(Ordering::SeqCst)
    }

    /// Asks to stop.
    pub fn request(&self) {
        self.0.yes.store(true, Ordering::SeqCst);
        self.0.told.notify_waiters();
    }

    /// Waits until it is time to stop.
    pub async fn wait(&self) {
        loop {
            let told = self.0.told.notified();
            if self.requested() {
                return;
            }
            told.await;
        }
    }
}

/// The pause before a write in mid-step is tried again; each further one is
/// twice as long, up to [`WRITE_PAUSE_MAX`].
const WRITE_PAUSE: Duration = Duration::from_millis(40);

/// The longest such pause.
const WRITE_PAUSE_MAX: Duration = Duration::from_secs(2);

/// How often a write in mid-step is tried while the store is away: half a
/// minute, the restart of a database server. Then the step is tried again.
const WRITE_TRIES: u32 = 20;

/// Why a write in mid-step was not made.
enum Refused {
    Lost,
    Store(StoreError),
}

impl From<StoreError> for Refused {
    fn from(e: StoreError) -> Self {
        Self::Store(e)
    }
}

/// What a step knows of the job it runs in.
#[derive(Clone)]
pub struct StepContext {
    /// The job.
    pub job: JobId,
    /// The call that made it.
    pub request: RequestId,
    /// On whose behalf it runs.
    pub account: AccountId,
    /// The token every effect must carry. It grows over all jobs of the store,
    /// not only over the claims of one: drivers compare the tokens of jobs that
    /// worked on one resource one after another.
    pub fence: Fence,
    /// For reading. Writes go through [`Done::with`].
    pub store: Store,
    /// Asked by long steps. While an undo runs it is set only when the job was
    /// lost to another worker, never by a cancel request or a stop.
    pub cancel: Cancel,
    /// Asked by steps that wait for long, and can be left at any instant since
    /// they have stored how far they are: set as soon as the worker stops, or
    /// when the job was lost, in undos too. Such a step returns
    /// [`StepError::Stale`], and is begun anew by another worker.
    pub leave: Cancel,
    pub(crate) seat: Seat,
    pub(crate) input: Input,
    pub(crate) outputs: serde_json::Map<String, serde_json::Value>,
    pub(crate) report: Arc<dyn Fn(u8, String) + Send + Sync>,
}

impl StepContext {
    /// What the job was told.
    ///
    /// # Errors
    /// [`StepError::Failed`] when the stored input is not a `T`.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T, StepError> {
        T::deserialize(&self.input).map_err(|e| {
            StepError::failed(Code::Internal, format!("read the job's stored input: {e}"))
        })
    }

    /// What the finished step `step` remembered; `None` when it has not run or
    /// remembered nothing.
    ///
    /// # Errors
    /// [`StepError::Failed`] when it is not a `T`.
    pub fn output<T: DeserializeOwned>(&self, step: &str) -> Result<Option<T>, StepError> {
        match self.outputs.get(step) {
            None | Some(serde_json::Value::Null) => Ok(None),
            Some(value) => T::deserialize(value).map(Some).map_err(|e| {
                StepError::failed(
                    Code::Internal,
                    format!("read the stored output of step {step}: {e}"),
                )
            }),
        }
    }

    /// Waits for something outside (a person, a time, a slow start) without
    /// taking the place of a job that has something to do; returns when it has
    /// a place again. What `wait` does beside waiting should be little.
    ///
    /// It should end when [`StepContext::leave`] and, on the way forward,
    /// [`StepContext::cancel`] are requested.
    pub async fn aside<T>(&self, wait: impl Future<Output = T>) -> T {
        let standing = self.seat.stand_up();
        let waited = wait.await;
        if let Some(standing) = standing {
            standing.sit_down(&self.leave).await;
        }
        waited
    }

    /// Writes in the middle of a step, in a transaction that has an effect only
    /// while the job is this worker's. `write` may be carried out several times:
    /// it says how things are. It is repeated while the store is away.
    ///
    /// # Errors
    /// [`StepError::Stale`] when another worker has the job; what `write`
    /// returned, or the store's own error, as [`StepError::Again`].
    pub async fn write<T: Send + 'static>(
        &self,
        write: impl Fn(&mut dyn Tx) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Result<T, StepError> {
        let write = Arc::new(write);
        let mut pause = WRITE_PAUSE;
        let mut tries = WRITE_TRIES;
        loop {
            let (write, job, fence) = (Arc::clone(&write), self.job.clone(), self.fence);
            let written = self
                .store
                .write(move |tx| {
                    if !crate::persistence::is_ours(tx, &job, fence)? {
                        return Err(Refused::Lost);
                    }
                    write(tx).map_err(Refused::Store)
                })
                .await;
            tries -= 1;
            match written {
                Ok(value) => return Ok(value),
                Err(Refused::Lost) => return Err(StepError::Stale),
                Err(Refused::Store(StoreError::Unavailable { .. } | StoreError::Contended(_)))
                    if tries > 0 && !self.leave.requested() =>
                {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(WRITE_PAUSE_MAX);
                }
                Err(Refused::Store(e)) => return Err(e.into()),
            }
        }
    }

    /// Whether somebody asked to cancel the job: [`StepContext::cancel`] is also
    /// requested when only the worker stops.
    ///
    /// # Errors
    /// The store's, as [`StepError::Again`].
    pub async fn is_cancelled(&self) -> Result<bool, StepError> {
        let job = self.job.clone();
        Ok(self
            .store
            .read(move |tx| crate::persistence::is_cancelled(tx, &job))
            .await?)
    }

    /// Tells how far the step is, in per cent, with a few words. Cheap: the
    /// engine writes at most a few of these a second.
    pub fn progress(&self, percent: u8, words: impl Into<String>) {
        (self.report)(percent.min(100), words.into());
    }

    /// Runs blocking work (files, commands) on a thread meant for it.
    ///
    /// # Errors
    /// What `work` returns; [`StepError::Failed`] when it panicked.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StepError> + Send + 'static,
    ) -> Result<T, StepError> {
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| {
            Err(StepError::failed(
                Code::Internal,
                format!("finish a step: it panicked ({e})"),
            ))
        })
    }
}

/// A place in the life of a step where a test, or the fault switch, may act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Point<'a> {
    /// Whose job it is: the owner of its resources.
    pub account: &'a AccountId,
    /// The resource that the job is listed under.
    pub resource: &'a str,
    /// The procedure.
    pub procedure: &'static str,
    /// The step.
    pub step: &'static str,
    /// Whether it is the undo that runs.
    pub undo: bool,
    /// Where in it.
    pub moment: Moment,
}

/// The four instants at which a crash makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Moment {
    /// Before the intent is written.
    BeforeIntent,
    /// The intent is written, nothing is done.
    AfterIntent,
    /// The effect is there, the record is not.
    AfterEffect,
    /// The record is written.
    AfterRecord,
}

impl Moment {
    /// Every moment, in the order of a step.
    pub const ALL: [Self; 4] = [
        Self::BeforeIntent,
        Self::AfterIntent,
        Self::AfterEffect,
        Self::AfterRecord,
    ];

    /// The word for it, e.g. `after_effect`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BeforeIntent => "before_intent",
            Self::AfterIntent => "after_intent",
            Self::AfterEffect => "after_effect",
            Self::AfterRecord => "after_record",
        }
    }

    /// The moment of this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.as_str() == word)
    }
}

/// What [`Probe::at`] returns.
pub type ProbeFuture<'a> = Pin<Box<dyn Future<Output = ProbeAction> + Send + 'a>>;

/// Called by the engine at every [`Point`]. Production has one that does
/// nothing, unless the fault switch is there.
pub trait Probe: Send + Sync {
    /// What shall happen here. The step waits for it.
    fn at<'a>(&'a self, point: Point<'a>) -> ProbeFuture<'a>;
}

/// What a [`Probe`] asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeAction {
    /// Nothing: go on.
    GoOn,
    /// Treat the step as failed with this error.
    Fail(StepError),
    /// Perform the step's effect once more before going on. Heeded at
    /// [`Moment::AfterIntent`] and [`Moment::AfterEffect`]; at the other two no
    /// crash repeats an effect.
    Repeat,
}
