//! The durable job engine.
//!
//! A job is one durable run of a [`Procedure`]: a fixed table of [`Step`]s,
//! each with a `do` and an `undo`, both safe to repeat. The engine writes down
//! an intent before a step and a record after it; whatever a step wants to
//! change in the store is written in the same transaction as its record. A job
//! ends in exactly one [`Outcome`](backout_core::outcome::Outcome), across
//! `kill -9` at any instant.
//!
//! Architecture invariants:
//! - this crate knows no product, no driver and no protocol;
//! - a job holds exclusive claims on a set of resources, by a constraint in the
//!   store (primary key of `claims`), not by a check in code;
//! - every write about a running job carries its fencing token, in the `WHERE`
//!   of the statement; a worker that lost its lease can change nothing;
//! - fencing tokens grow over all jobs of the store, with the time of claim;
//! - one job that cannot be recovered does not keep the others from it: rows
//!   that do not decode make it Held, and a procedure that a worker does not
//!   know leaves it in the queue for a worker that does (so old and new versions
//!   can share a store).
//!
//! A product submits with [`submit`] inside its own transaction and then calls
//! [`Jobs::wake`]; a process runs one [`Worker`] with a [`Registry`] of every
//! procedure. A worker has one lease for all its jobs; dead workers of the same
//! machine are found by their process, at once, and those of other machines by
//! their lease.

mod handle;
#[cfg(feature = "harness")]
pub mod harness;
mod model;
mod owner;
mod persistence;
mod procedure;
mod progress;
mod registry;
mod run;
mod submit;
mod worker;

pub use handle::{
    CancelAnswer, Jobs, JobsError, MAX_EVENT_PAGE, MAX_PAGE, RETAIN_BATCH, busy_with, expect_in,
    get_in, holder_below, holder_of, request_cancel_in,
};
pub use model::{
    Cursor, Direction, EventKind, EventView, Filter, JobError, JobView, MalformedCursor, Page,
    State, StepState, StepView,
};
pub use persistence::MIGRATIONS;
pub use procedure::{
    Cancel, Commit, Done, Input, Moment, Point, Probe, ProbeAction, ProbeFuture, Procedure, Step,
    StepContext, StepError, StepFuture, Undo,
};
pub use registry::{Registry, StepLine, planned_steps};
pub use run::{MAX_ATTEMPTS, MAX_TRIES};
pub use submit::{
    Caller, Idempotency, MAX_CLAIMS, NewJob, SubmitError, Submitted, earlier, of_request, submit,
};
pub use worker::{KEEP_MS, LEASE_MS, NoProbe, Stopped, Worker, WorkerConfig};
