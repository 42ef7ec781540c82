//! What the jobs have in common that change whether a server runs.

use backout_core::ids::{InstanceId, JobId};
use backout_core::outcome::Outcome;
use backout_jobs::{Commit, StepContext, StepError};
use backout_machines::Stop;
use serde::{Deserialize, Serialize};

use super::{Runtime, machine_error, server, settle_server, under_lock};
use crate::model::{Power, Server};
use crate::{persistence, power};

/// One server of a call about several, and its job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The server.
    pub server: InstanceId,
    /// Its job.
    pub job: JobId,
}

/// What a job is told that starts, stops or reboots a server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PowerInput {
    /// The server.
    pub server: InstanceId,
    /// What its state was, to go back to.
    pub was: Power,
    /// How it is stopped, where it is.
    pub how: Stop,
    /// All of the call, when this is the first of them: a repeated call answers
    /// the same.
    #[serde(default)]
    pub batch: Vec<Member>,
}

/// Writes how a job on a server's power ended: the state that `applied` says,
/// or the one that it was in. Held leaves it on its way.
pub(super) fn settle(ctx: &StepContext, outcome: Outcome, applied: Power) -> Commit {
    let input = ctx.input::<PowerInput>();
    Box::new(move |tx| {
        let Ok(input) = input else { return Ok(()) };
        match outcome {
            Outcome::Applied => persistence::set_power(tx, &input.server, applied)?,
            Outcome::Reverted => persistence::set_power(tx, &input.server, input.was)?,
            Outcome::Held => {}
        }
        settle_server(tx, &input.server, outcome)
    })
}

/// Starts the server of `id`. Says whether it has a way to be started.
pub(super) async fn start(
    runtime: &Runtime,
    ctx: &StepContext,
    id: &InstanceId,
) -> Result<bool, StepError> {
    let server = server(ctx, id).await?;
    power::start(runtime, ctx, &server).await
}

/// Stops the server of `id`.
pub(super) async fn stop(
    runtime: &Runtime,
    ctx: &StepContext,
    id: &InstanceId,
    how: Stop,
) -> Result<(), StepError> {
    let server = server(ctx, id).await?;
    power::stop(runtime, ctx, &server, how).await
}

/// Removes what the machine of `server`, which is off, has left on this host.
pub(super) async fn forget(
    runtime: &Runtime,
    ctx: &StepContext,
    server: &Server,
) -> Result<(), StepError> {
    if server.machine.is_none() {
        return Ok(());
    }
    let (machines, id) = (runtime.machines.clone(), server.id.clone());
    under_lock(ctx, &server.disk, move |guard, _, _| {
        machines.forget(guard, id.as_str()).map_err(machine_error)
    })
    .await
}
