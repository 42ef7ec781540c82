//! What is seen of jobs from outside: plain data.

use std::fmt;
use std::str::FromStr;

use backout_core::code::Code;
use backout_core::ids::{AccountId, JobId, RequestId};
use backout_core::outcome::Outcome;
use backout_core::plan::Plan;
use backout_core::time::Timestamp;
use serde::Serialize;

use crate::procedure::Input;

/// Where a job is in its life. There is no state of its own for a pause between
/// two attempts: such a job is [`State::Queued`] and has a `started` instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for a worker, for its next attempt, or for a background job that
    /// yields.
    Queued,
    /// A worker has it.
    Running,
    /// It has an outcome.
    Done,
}

impl State {
    /// The word that is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
        }
    }

    /// Reads [`State::as_str`] back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Queued, Self::Running, Self::Done]
            .into_iter()
            .find(|s| s.as_str() == word)
    }
}

/// Which way a job moves through its step table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Doing.
    Forward,
    /// Taking back what was done.
    Undoing,
}

impl Direction {
    /// The word that is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Undoing => "undoing",
        }
    }

    /// Reads [`Direction::as_str`] back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Forward, Self::Undoing]
            .into_iter()
            .find(|d| d.as_str() == word)
    }
}

/// Why a job failed, was cancelled, or is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JobError {
    /// Our code. [`Code::Cancelled`] when it was cancelled on request.
    pub code: Code,
    /// A lower-case fragment that fits "failed to ...".
    pub message: String,
}

/// A job as it is now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JobView {
    /// Its id.
    pub id: JobId,
    /// The procedure's name.
    pub procedure: String,
    /// One line for people.
    pub title: String,
    /// On whose behalf it runs.
    pub account: AccountId,
    /// The call that made it.
    pub request: RequestId,
    /// The node whose workers run it.
    pub node: String,
    /// The resource it is listed under.
    pub resource: String,
    /// Where it is in its life.
    pub state: State,
    /// How it ended; absent while it is not done.
    pub outcome: Option<Outcome>,
    /// Which way it moves.
    pub direction: Direction,
    /// Whether somebody asked to cancel it.
    pub cancel_requested: bool,
    /// Whether it is past a point of no return: it cannot be cancelled.
    pub no_return: bool,
    /// Whether its claims yield to others.
    pub background: bool,
    /// How far it is, 0 to 100, over all steps; falls while it is undone.
    pub percent: u8,
    /// The step it is in, or ended in.
    pub step: Option<String>,
    /// What it is doing, in a few words.
    pub words: String,
    /// Failed attempts at the present step that are being repeated.
    pub attempts: i64,
    /// Why it failed or was cancelled: kept when it is Held, too.
    pub error: Option<JobError>,
    /// Why it is Held; absent otherwise.
    pub held: Option<JobError>,
    /// What to type next; present when it is Held.
    pub next_command: Option<String>,
    /// The job that this one takes back.
    pub undo_of: Option<JobId>,
    /// The newest job that takes this one back and was not itself Reverted.
    pub undone_by: Option<JobId>,
    /// When it was submitted.
    pub created: Timestamp,
    /// When a worker first took it.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// What it was told.
    pub input: Input,
    /// What it was planned to do.
    pub plan: Plan,
}

impl JobView {
    /// Whether it has an outcome.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether it waits for a person, with all that it claims.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.outcome == Some(Outcome::Held)
    }
}

/// Where a step is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Not begun.
    Pending,
    /// An intent without a record: it runs, or was interrupted.
    Running,
    /// Recorded as done.
    Done,
    /// An intent of its undo without a record.
    Undoing,
    /// Recorded as undone.
    Undone,
}

/// One step of a job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepView {
    /// Its name in the step table.
    pub name: String,
    /// What it does, from the plan.
    pub does: String,
    /// How it is taken back, from the plan.
    pub undo: Option<String>,
    /// Where it is in its life.
    pub state: StepState,
    /// When its first intent was written.
    pub started: Option<Timestamp>,
    /// When its record was written.
    pub ended: Option<Timestamp>,
    /// When the first intent of its undo was written.
    pub undo_started: Option<Timestamp>,
    /// When the record of its undo was written.
    pub undo_ended: Option<Timestamp>,
    /// How often it was begun, its undo included.
    pub tries: i64,
}

/// What an event tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The job was submitted.
    Queued,
    /// A worker took it for the first time.
    Started,
    /// A worker took it again: after a crash, a stop, a pause or a retry.
    Resumed,
    /// The intent of a step, or of its undo, was written.
    StepStarted,
    /// The record of a step, or of its undo, was written.
    StepFinished,
    /// How far a step is. Only the latest of a row is kept.
    Progress,
    /// A step failed and will be repeated.
    Retrying,
    /// Somebody asked to cancel it.
    CancelRequested,
    /// It failed or was cancelled, and is being taken back.
    Undoing,
    /// It ended Applied.
    Applied,
    /// It ended Reverted.
    Reverted,
    /// It ended Held.
    Held,
    /// Somebody asked to go on with a Held job.
    RetryRequested,
}

impl EventKind {
    const ALL: [Self; 13] = [
        Self::Queued,
        Self::Started,
        Self::Resumed,
        Self::StepStarted,
        Self::StepFinished,
        Self::Progress,
        Self::Retrying,
        Self::CancelRequested,
        Self::Undoing,
        Self::Applied,
        Self::Reverted,
        Self::Held,
        Self::RetryRequested,
    ];

    /// The word that is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Started => "started",
            Self::Resumed => "resumed",
            Self::StepStarted => "step_started",
            Self::StepFinished => "step_finished",
            Self::Progress => "progress",
            Self::Retrying => "retrying",
            Self::CancelRequested => "cancel_requested",
            Self::Undoing => "undoing",
            Self::Applied => "applied",
            Self::Reverted => "reverted",
            Self::Held => "held",
            Self::RetryRequested => "retry_requested",
        }
    }

    /// Reads [`EventKind::as_str`] back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == word)
    }

    /// The event that tells of `outcome`.
    #[must_use]
    pub const fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Applied => Self::Applied,
            Outcome::Reverted => Self::Reverted,
            Outcome::Held => Self::Held,
        }
    }
}

/// One thing that happened to a job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EventView {
    /// Grows within a job; there may be gaps.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
    /// In which step.
    pub step: Option<String>,
    /// Whether it is about the step's undo.
    pub undo: bool,
    /// How far the step is, for [`EventKind::Progress`].
    pub percent: Option<u8>,
    /// A few words.
    pub words: String,
}

/// Which jobs to list. Every part that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this account.
    pub account: Option<AccountId>,
    /// Listed under this resource.
    pub resource: Option<String>,
    /// In this state.
    pub state: Option<State>,
    /// Ended so.
    pub outcome: Option<Outcome>,
}

/// Where the next page of a list begins. Opaque; good for as long as the job it
/// names is kept, and beyond.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub(crate) created_ms: i64,
    pub(crate) id: JobId,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.created_ms, self.id)
    }
}

/// A cursor that no list gave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed cursor: give the one that the previous page ended with, unchanged")]
pub struct MalformedCursor;

impl FromStr for Cursor {
    type Err = MalformedCursor;

    fn from_str(text: &str) -> Result<Self, MalformedCursor> {
        let (created, id) = text.split_once('.').ok_or(MalformedCursor)?;
        Ok(Self {
            created_ms: created.parse().map_err(|_| MalformedCursor)?,
            id: id.parse().map_err(|_| MalformedCursor)?,
        })
    }
}

/// One page of jobs, newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The jobs.
    pub jobs: Vec<JobView>,
    /// Where the next page begins; absent on the last one.
    pub next: Option<Cursor>,
}
