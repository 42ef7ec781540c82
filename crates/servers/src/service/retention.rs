//! What is taken, what goes and what is put in order by itself.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use backout_core::ids::{AccountId, DiskId, JobId, RequestId};
use backout_core::time::Timestamp;
use backout_jobs::NewJob;

use super::points::{begin_deletion, still_there};
use super::{
    AskedBy, Caller, DELETE_MAX, DiskRef, Proposal, Servers, blocking, server_of, submit_job,
};
use crate::model::{OperationKind, Schedule, Server, Snapshot, Subject};
use crate::persistence::{self, Due};
use crate::plan::plan;
use crate::preflight::{self, Cleared, Target};
use crate::procedures::{Compact, CompactInput};
use crate::refusal::Refusal;
use crate::retention::{AGAIN_MS, COMPACT_LAYERS, COMPACT_RETRY_MS, check_schedule, next_due};

/// How many schedules, deletions or disks one pass looks at, of each kind. A
/// pass takes turns with others at the store: it is to be short, and the next
/// one goes on where it stopped.
const AT_ONCE: u64 = 100;

/// How many disks one pass opens the files of.
const LOOKS: u64 = 20;

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
    /// Disks that something should have been done to, and why it was not; a
    /// disk again only when the reason is another one.
    pub put_off: Vec<(DiskId, String)>,
}

/// What a host's keeper remembers from one pass to the next. Nothing is lost
/// with it: a fresh one begins at the beginning.
#[derive(Debug, Default)]
pub(super) struct Keeper(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    /// Where the last pass stopped: empty at the beginning.
    due: String,
    expired: String,
    kept: String,
    disks: String,
    /// What was begun for a disk, and when it may be tried again: a job that
    /// fails is not begun anew at once and forever.
    not_before: HashMap<DiskId, Timestamp>,
    /// Why something was put off, as last told.
    why: HashMap<DiskId, String>,
    /// The last compaction: they read and write a whole disk, so there is one
    /// at a time.
    compaction: Option<JobId>,
}

impl Keeper {
    fn with<T>(&self, use_it: impl FnOnce(&mut Memory) -> T) -> T {
        use_it(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The place after a page: behind its last row, or the beginning when that was
/// the last page.
fn place_after<T>(page: &[T], limit: u64, id: impl Fn(&T) -> String) -> String {
    match page.last() {
        Some(last) if page.len() as u64 >= limit => id(last),
        _ => String::new(),
    }
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
        let (id, owner) = (found.id, caller.owner.clone());
        self.store
            .write(move |tx| {
                persistence::set_schedule(tx, &id, schedule.as_ref())?;
                server_of(tx, &owner, id.as_str())
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
        let target = self.target(owner, disk).await?;
        let preflight = self.judge_compact(&target).await?.view();
        Ok(Proposal {
            preflight,
            plan: plan(
                &Compact(self.runtime.clone()),
                compact_title(&target),
                target.claims(),
            ),
        })
    }

    /// Shortens the chain of layers under a disk, whether its machine runs or
    /// not. Restore points stay as they are.
    ///
    /// # Errors
    /// The first blocker of the preflight.
    pub async fn compact(&self, caller: &Caller, disk: DiskRef) -> Result<JobId, Refusal> {
        if let Some(job) = self.earlier(caller).await? {
            return Ok(job);
        }
        let target = self.target(&caller.owner, disk).await?;
        let cleared = self.judge_compact(&target).await?.clear()?;
        self.submit_compact(caller, target, cleared, true).await
    }

    async fn judge_compact(&self, target: &Target) -> Result<preflight::Checked, Refusal> {
        let facts = if target.node == self.node {
            let (target, machines) = (target.clone(), self.runtime.machines.clone());
            blocking(move || Ok(preflight::look_flat(&target, &machines))).await?
        } else {
            preflight::DiskFacts::elsewhere()
        };
        Ok(preflight::compact(target, facts))
    }

    async fn submit_compact(
        &self,
        caller: &Caller,
        target: Target,
        cleared: Cleared,
        asked: bool,
    ) -> Result<JobId, Refusal> {
        let subject = target.subject();
        let input = CompactInput {
            subject: subject.clone(),
            host: target.host.as_ref().map(|s| s.id.clone()),
            disk: target.volume.clone(),
            asked,
        };
        let plan = plan(
            &Compact(self.runtime.clone()),
            compact_title(&target),
            target.claims(),
        );
        let operation = self.operation(OperationKind::Compact, caller, self.clock.now());
        let job = JobId::random(self.entropy.as_ref());
        let mut new_job = self.cleared_job(cleared, caller, job, plan, &target.node, &input)?;
        new_job.background = !asked;
        let submitted = self
            .submit(new_job, move |tx| {
                still_there(tx, &target)?;
                if asked {
                    persistence::set_subject_operation(tx, &subject, &operation)?;
                }
                Ok(())
            })
            .await?;
        Ok(submitted.id)
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
        let mut tended = Tended {
            reconciled: self.reconcile_power().await?,
            ..Tended::default()
        };
        self.take_scheduled(&mut tended).await?;
        self.delete_what_is_over(&mut tended).await?;
        self.shorten_chains(&mut tended).await?;
        Ok(tended)
    }

    /// On whose behalf something happens by itself: the owner's.
    fn itself(&self, owner: &AccountId) -> Caller {
        Caller {
            account: owner.clone(),
            owner: owner.clone(),
            request: RequestId::random(self.entropy.as_ref()),
            idempotency: None,
        }
    }

    /// A refusal stands in the way of one disk only; the store of all. A job
    /// that works on the disk will end: the next pass sees.
    fn put_off(&self, tended: &mut Tended, disk: &DiskId, why: Refusal) -> Result<(), Refusal> {
        if let Refusal::Store(e) = why {
            return Err(Refusal::Store(e));
        }
        if let Refusal::ServerBusy { held: false, .. } | Refusal::DiskBusy { .. } = why {
            return Ok(());
        }
        let why = why.to_string();
        let news = self
            .keeper
            .with(|memory| memory.why.insert(disk.clone(), why.clone()))
            .is_none_or(|before| before != why);
        if news {
            tended.put_off.push((disk.clone(), why));
        }
        Ok(())
    }

    /// Whether something was begun for `disk` not long ago.
    fn is_too_soon(&self, disk: &DiskId, now: Timestamp) -> bool {
        self.keeper.with(|memory| {
            memory.not_before.retain(|_, until| *until > now);
            memory.not_before.contains_key(disk)
        })
    }

    fn begun(&self, disk: &DiskId, not_before: Timestamp) {
        self.keeper.with(|memory| {
            memory.not_before.insert(disk.clone(), not_before);
            memory.why.remove(disk);
        });
    }

    async fn take_scheduled(&self, tended: &mut Tended) -> Result<(), Refusal> {
        let now = self.clock.now();
        let after = self.keeper.with(|memory| memory.due.clone());
        let node = self.node.clone();
        let due = self
            .store
            .read(move |tx| persistence::due_schedules(tx, &node, now, &after, AT_ONCE))
            .await?;
        let place = place_after(&due, AT_ONCE, |d| d.server.to_string());
        self.keeper.with(|memory| memory.due = place);
        for one in due {
            match self.take_one(&one, now).await {
                Ok(job) => tended.taken.push(job),
                Err(why) => self.put_off(tended, &one.disk, why)?,
            }
        }
        Ok(())
    }

    async fn take_one(&self, one: &Due, now: Timestamp) -> Result<JobId, Refusal> {
        let asked_by = AskedBy::Schedule {
            due: one.due,
            next: next_due(one.due, one.every_ms, now),
        };
        let server = DiskRef::Of(one.server.to_string());
        let caller = self.itself(&one.owner);
        let (_, job) = self
            .create_snapshot(&caller, server, None, Vec::new(), asked_by)
            .await?;
        self.keeper.with(|memory| memory.why.remove(&one.disk));
        Ok(job)
    }

    async fn delete_what_is_over(&self, tended: &mut Tended) -> Result<(), Refusal> {
        let now = self.clock.now();
        let (after_expired, after_kept) = self
            .keeper
            .with(|memory| (memory.expired.clone(), memory.kept.clone()));
        let node = self.node.clone();
        let (expired, kept, superseded) = self
            .store
            .read(move |tx| {
                let expired = persistence::expired(tx, &node, now, &after_expired, AT_ONCE)?;
                let kept = persistence::schedules(tx, &node, &after_kept, AT_ONCE)?;
                let mut superseded = Vec::new();
                for (server, keep) in &kept {
                    let room = AT_ONCE.saturating_sub(superseded.len() as u64);
                    superseded.extend(persistence::superseded(tx, server, *keep, room)?);
                }
                Ok::<_, Refusal>((expired, kept, superseded))
            })
            .await?;
        let place = place_after(&expired, AT_ONCE, |s| subject_id(&s.subject));
        let place_kept = place_after(&kept, AT_ONCE, |(server, _)| server.to_string());
        self.keeper.with(|memory| {
            memory.expired = place;
            memory.kept = place_kept;
        });
        // One job a disk, since a job claims its disk whole.
        let mut by_subject: Vec<(Subject, Vec<Snapshot>)> = Vec::new();
        for snapshot in expired.into_iter().chain(superseded) {
            match by_subject
                .iter_mut()
                .find(|(subject, _)| *subject == snapshot.subject)
            {
                Some((_, list)) if list.len() < DELETE_MAX => list.push(snapshot),
                Some(_) => {}
                None => by_subject.push((snapshot.subject.clone(), vec![snapshot])),
            }
        }
        for (subject, list) in by_subject {
            let Some(first) = list.first() else { continue };
            let disk = first.disk.clone();
            if self.is_too_soon(&disk, now) {
                continue;
            }
            match self.delete_some(&subject, &list).await {
                Ok(job) => {
                    self.begun(&disk, now.plus_ms(AGAIN_MS));
                    tended.deleted.push(job);
                }
                Err(why) => self.put_off(tended, &disk, why)?,
            }
        }
        Ok(())
    }

    async fn delete_some(&self, subject: &Subject, list: &[Snapshot]) -> Result<JobId, Refusal> {
        let Some(first) = list.first() else {
            return Err(Refusal::Invalid("delete no snapshot at all".into()));
        };
        let caller = self.itself(&first.owner);
        let target = self.target(&first.owner, DiskRef::from(subject)).await?;
        for snapshot in list {
            preflight::delete_snapshot(snapshot, &target).clear()?;
        }
        let mut new_job: NewJob = self.deletion(&caller, &target, list)?;
        new_job.background = true;
        let list = list.to_vec();
        let job = self
            .store
            .write(move |tx| {
                let submitted = submit_job(tx, &new_job)?;
                begin_deletion(tx, &new_job, &list)?;
                Ok::<_, Refusal>(submitted.id)
            })
            .await?;
        self.jobs.wake();
        Ok(job)
    }

    async fn shorten_chains(&self, tended: &mut Tended) -> Result<(), Refusal> {
        let now = self.clock.now();
        if let Some(last) = self.keeper.with(|memory| memory.compaction.clone()) {
            // One that is not there any more was long ago.
            if self.jobs.get(&last).await.is_ok_and(|job| !job.is_done()) {
                return Ok(());
            }
        }
        let after = self.keeper.with(|memory| memory.disks.clone());
        let node = self.node.clone();
        let disks = self
            .store
            .read(move |tx| persistence::layered_disks(tx, &node, &after, LOOKS))
            .await?;
        let place = place_after(&disks, LOOKS, |(disk, _)| disk.to_string());
        self.keeper.with(|memory| memory.disks = place);
        for (disk, owner) in disks {
            if self.is_too_soon(&disk, now) {
                continue;
            }
            match self.shorten(&disk, &owner).await {
                Ok(None) => {}
                Ok(Some(job)) => {
                    self.begun(&disk, now.plus_ms(COMPACT_RETRY_MS));
                    self.keeper
                        .with(|memory| memory.compaction = Some(job.clone()));
                    tended.compacted.push(job);
                    return Ok(());
                }
                Err(why) => self.put_off(tended, &disk, why)?,
            }
        }
        Ok(())
    }

    /// Begins to shorten the chain under `disk`, if it is long.
    async fn shorten(&self, disk: &DiskId, owner: &AccountId) -> Result<Option<JobId>, Refusal> {
        let target = self.target(owner, DiskRef::Disk(disk.to_string())).await?;
        let volume = target.volume.clone();
        let facts =
            blocking(move || backout_disks::driver(volume.driver).inspect(&volume.spec())).await?;
        if facts.layers <= COMPACT_LAYERS {
            return Ok(None);
        }
        let cleared = self.judge_compact(&target).await?.clear()?;
        let caller = self.itself(owner);
        let job = self.submit_compact(&caller, target, cleared, false).await?;
        Ok(Some(job))
    }
}

fn subject_id(subject: &Subject) -> String {
    match subject {
        Subject::Server(id) => id.to_string(),
        Subject::Disk(id) => id.to_string(),
    }
}

fn compact_title(target: &Target) -> String {
    format!("shorten the chain of layers under {}", target.name())
}
