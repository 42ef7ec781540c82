//! Gives data disks to a server.
//!
//! | step | do | undo |
//! |---|---|---|
//! | plug | plug the disks into the server's machine, if that runs | unplug them |
//!
//! A machine that is off has the disks of the rows when it starts, and the
//! user's own commands are told them.

use backout_core::code::Code;
use backout_core::ids::InstanceId;
use backout_core::outcome::Outcome;
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};
use backout_machines::State;
use serde::{Deserialize, Serialize};

use super::{Runtime, disk_error, machine_error, server, settle, under_lock};
use crate::model::{DiskState, Power, Server, Subject, Volume};
use crate::persistence;
use crate::power::of_machine;
use crate::preflight::{holder_names, writers};

/// The procedure.
#[derive(Clone, Debug)]
pub struct Attach(pub Runtime);

/// What it is told, and [`super::Detach`] as well.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AttachInput {
    /// The server.
    pub server: InstanceId,
    /// The disks, in the order they are plugged in.
    pub disks: Vec<Volume>,
}

const STEPS: &[Step<Attach>] = &[Step {
    name: "plug",
    does: "plug the disks into the server's machine, if it runs",
    run: |p, ctx| Box::pin(plug(&p.0, ctx)),
    undo: Undo::By {
        does: "unplug them",
        run: |p, ctx| Box::pin(unplug(&p.0, ctx)),
    },
}];

impl Procedure for Attach {
    fn name(&self) -> &'static str {
        "servers.attach"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, _failure: Option<&StepError>) -> Commit {
        let input = ctx.input::<AttachInput>();
        Box::new(move |tx| {
            let Ok(input) = input else { return Ok(()) };
            for disk in &input.disks {
                let (id, owner) = (&disk.id, Some(&input.server));
                match outcome {
                    Outcome::Applied => {
                        persistence::set_attachment(tx, id, owner, DiskState::Attached)?;
                    }
                    Outcome::Reverted => {
                        persistence::set_attachment(tx, id, None, DiskState::Unattached)?;
                    }
                    Outcome::Held => {}
                }
                settle(tx, &Subject::Disk(id.clone()), outcome)?;
            }
            Ok(())
        })
    }
}

/// Plugs the disks of the job into the machine of its server. One that is off
/// only remembers them.
pub(super) async fn plug(runtime: &Runtime, ctx: &StepContext) -> Result<Done, StepError> {
    let input: AttachInput = ctx.input()?;
    let server = server(ctx, &input.server).await?;
    if server.machine.is_none() {
        refuse_running(ctx, &server, input.disks, "attach").await?;
        return Ok(Done::nothing());
    }
    let machines = runtime.machines.clone();
    under_lock(ctx, &server.disk.clone(), move |guard, _, _| {
        let id = server.id.as_str();
        let own = match machines.state(id).map_err(machine_error)? {
            State::On { pid, .. } => Some(pid),
            State::Off => None,
        };
        for disk in &input.disks {
            let mut holders = writers(&disk.head).map_err(disk_error)?;
            holders.retain(|h| own.is_none() || h.pid != own);
            if !holders.is_empty() {
                return Err(in_use("attach", disk, &holder_names(&holders)));
            }
            machines
                .attach(guard, id, &of_machine(disk))
                .map_err(machine_error)?;
        }
        Ok(())
    })
    .await?;
    Ok(Done::nothing())
}

/// Unplugs the disks of the job from the machine of its server, as [`plug`].
pub(super) async fn unplug(runtime: &Runtime, ctx: &StepContext) -> Result<Done, StepError> {
    let input: AttachInput = ctx.input()?;
    let server = server(ctx, &input.server).await?;
    if server.machine.is_none() {
        return Ok(Done::nothing());
    }
    let machines = runtime.machines.clone();
    under_lock(ctx, &server.disk.clone(), move |guard, _, _| {
        // Last in, first out.
        for disk in input.disks.iter().rev() {
            machines
                .detach(guard, server.id.as_str(), disk.id.as_str())
                .map_err(machine_error)?;
        }
        Ok(())
    })
    .await?;
    Ok(Done::nothing())
}

/// Nobody can plug into, or unplug from, what runs by the user's own commands.
pub(super) async fn refuse_running(
    ctx: &StepContext,
    server: &Server,
    disks: Vec<Volume>,
    action: &'static str,
) -> Result<(), StepError> {
    if server.power != Power::Running {
        return Ok(());
    }
    ctx.blocking(move || {
        for disk in &disks {
            let holders = match writers(&disk.head) {
                Err(backout_disks::Error::Missing { .. }) => continue,
                other => other.map_err(disk_error)?,
            };
            if !holders.is_empty() {
                return Err(in_use(action, disk, &holder_names(&holders)));
            }
        }
        Ok(())
    })
    .await
}

fn in_use(action: &str, disk: &Volume, holders: &str) -> StepError {
    StepError::failed(
        Code::DiskInUse,
        format!(
            "{action} disk {} while it is open in {holders}: stop that first",
            disk.id
        ),
    )
}
