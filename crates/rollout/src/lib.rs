//! How a set of running instances is changed to another release without going
//! below a promised number of ready ones.
//!
//! [`plan`] turns what was asked for into batches, [`rollout`] drives the
//! instances through them: events in, commands out.
//!
//! Architecture invariants: pure. Nothing here does I/O or reads a clock: time
//! is handed in. Nothing here knows what an instance is, who runs it, who asks,
//! or where the state is kept.

pub mod plan;
pub mod rollout;

pub use plan::{
    Batch, Floor, Gate, Go, Plan, Planned, Refusal, Request, Road, Strategy, Surge, Warning,
};
pub use rollout::{
    BatchStatus, BatchView, ChangeState, ChangeView, Command, End, Event, Failure, Leg, Limits,
    NotNow, Observed, Phase, Progress, Release, Rollout, Scope, Seen, Slot, Standing, Status, Why,
};
