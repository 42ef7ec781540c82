//! Restore points of any disk, and the way back to them.

use backout_core::ids::{AccountId, BackupId, DiskId, Entropy, JobId, PointId, SnapshotId};
use backout_core::time::Timestamp;
use backout_jobs::{JobView, JobsError, NewJob, Procedure as _};
use backout_store::Tx;

use super::lifecycle::identity;
use super::{
    BACKUP_NAME_MAX_CHARS, Caller, Denied, DiskRef, NAME_MAX_CHARS, NAMED_ALIKE, Proposal, Servers,
    check_name_of, check_tags, default_name, not_ambiguous, submit_job,
};
use crate::model::{DiskState, OperationKind, Snapshot, SnapshotKind, SnapshotState, Subject, Tag};
use crate::persistence::{self, Page, SnapshotFilter};
use crate::plan::plan;
use crate::preflight::{self, Checked, Target};
use crate::procedures::{
    ApplyInput, ApplySnapshot, Becomes, CreateInput, CreateSnapshot, DeleteInput, DeleteSnapshot,
    ResetInput, ResetServer,
};
use crate::refusal::Refusal;

/// How many restore points one call may delete (contract: the longest list of
/// ids that an operation takes).
pub const DELETE_MAX: usize = 100;

/// Who asks for a restore point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedBy {
    /// Somebody, by a call.
    Caller,
    /// A schedule: the work makes room for others.
    Schedule {
        /// When it was due, as the schedule has it.
        due: Timestamp,
        /// When the next one is.
        next: Timestamp,
    },
}

impl AskedBy {
    const fn is_schedule(self) -> bool {
        matches!(self, Self::Schedule { .. })
    }
}

impl Servers {
    /// One page of restore points, newest first, and how many match. Each comes
    /// with the progress of its job, in per cent: 100 when none works on it.
    ///
    /// # Errors
    /// [`Refusal::Store`].
    pub async fn snapshots(
        &self,
        owner: &AccountId,
        filter: SnapshotFilter,
        page: Page,
    ) -> Result<(u64, Vec<(Snapshot, u8)>), Refusal> {
        let owner = owner.clone();
        self.store
            .read(move |tx| {
                let (total, snapshots) = persistence::list_snapshots(tx, &owner, &filter, page)?;
                let mut out = Vec::with_capacity(snapshots.len());
                for snapshot in snapshots {
                    let percent = match (&snapshot.job, snapshot.state) {
                        (_, SnapshotState::Normal) | (None, _) => 100,
                        (Some(job), _) => backout_jobs::expect_in(tx, job)?.percent,
                    };
                    out.push((snapshot, percent));
                }
                Ok((total, out))
            })
            .await
    }

    /// A restore point by id, or by name among those of `subject`.
    ///
    /// # Errors
    /// [`Refusal::SnapshotNotFound`], [`Refusal::Ambiguous`],
    /// [`Refusal::Store`].
    pub async fn snapshot(
        &self,
        owner: &AccountId,
        subject: Option<&Subject>,
        id_or_name: &str,
    ) -> Result<Snapshot, Refusal> {
        let (owner, subject, wanted) = (owner.clone(), subject.cloned(), id_or_name.to_owned());
        self.store
            .read(move |tx| {
                let Some(found) =
                    persistence::find_snapshot(tx, &owner, subject.as_ref(), &wanted)?
                else {
                    return Err(Refusal::SnapshotNotFound(wanted));
                };
                if found.id.as_str() != wanted {
                    let all = persistence::points_named(tx, &found.subject, &wanted, NAMED_ALIKE)?;
                    not_ambiguous("restore point", &wanted, &all)?;
                }
                Ok(found)
            })
            .await
    }

    /// Renames a restore point.
    ///
    /// # Errors
    /// [`Refusal::SnapshotNotFound`], [`Refusal::Invalid`] for a bad name,
    /// [`Refusal::Store`].
    pub async fn rename_snapshot(
        &self,
        owner: &AccountId,
        id: &str,
        name: &str,
    ) -> Result<(), Refusal> {
        self.rename_snapshots(owner, &[id.to_owned()], name).await
    }

    /// Gives several restore points one name, all of them or none.
    ///
    /// # Errors
    /// As [`Servers::rename_snapshot`].
    pub async fn rename_snapshots(
        &self,
        owner: &AccountId,
        ids: &[String],
        name: &str,
    ) -> Result<(), Refusal> {
        let (owner, ids, name) = (owner.clone(), ids.to_vec(), name.to_owned());
        self.store
            .write(move |tx| {
                for id in ids {
                    let snapshot = persistence::find_snapshot(tx, &owner, None, &id)?
                        .ok_or(Refusal::SnapshotNotFound(id))?;
                    check_point_name(&snapshot.subject, &name)?;
                    persistence::rename_snapshot(tx, &snapshot.id, &name)?;
                }
                Ok(())
            })
            .await
    }

    /// How many backups each of these data disks has, safety points not
    /// counted.
    ///
    /// # Errors
    /// [`Refusal::Store`].
    pub async fn backup_counts(&self, disks: &[DiskId]) -> Result<Vec<(DiskId, u64)>, Refusal> {
        let disks = disks.to_vec();
        self.store
            .read(move |tx| {
                let mut out = Vec::with_capacity(disks.len());
                for disk in disks {
                    let count = persistence::count_points(tx, &Subject::Disk(disk.clone()))?;
                    out.push((disk, count));
                }
                Ok(out)
            })
            .await
    }

    /// Takes a restore point of a disk. `name` defaults to the server's or the
    /// disk's name and the time.
    ///
    /// # Errors
    /// The first blocker of the preflight, or [`Refusal::Invalid`].
    pub async fn create_snapshot(
        &self,
        caller: &Caller,
        disk: DiskRef,
        name: Option<String>,
        tags: Vec<Tag>,
        asked_by: AskedBy,
    ) -> Result<(PointId, JobId), Refusal> {
        check_tags(&tags)?;
        if let Some(job) = self.earlier(caller).await? {
            let first: CreateInput = self.input_of(&job).await?;
            return Ok((first.snapshot, job));
        }
        let target = self.target(&caller.owner, disk).await?;
        let subject = target.subject();
        if let Some(name) = &name {
            check_point_name(&subject, name)?;
        }
        let facts = self.look(&target, None).await?;
        let size_bytes = facts
            .head
            .as_ref()
            .and_then(|head| head.as_ref().ok())
            .map_or(target.volume.size_bytes, |h| h.size_bytes);
        let cleared = preflight::create_snapshot(&target, facts).clear()?;
        let now = self.clock.now();
        let job = JobId::random(self.entropy.as_ref());
        let operation = self.operation(OperationKind::CreateSnapshot, caller, now);
        let snapshot = Snapshot {
            id: new_point(&subject, self.entropy.as_ref()),
            owner: caller.owner.clone(),
            subject: subject.clone(),
            disk: target.volume.id.clone(),
            kind: match asked_by {
                AskedBy::Caller => SnapshotKind::User,
                AskedBy::Schedule { .. } => SnapshotKind::Scheduled,
            },
            name: name.unwrap_or_else(|| default_name(target.name(), &now.iso8601())),
            state: SnapshotState::Creating,
            point: None,
            size_bytes,
            latest: Some(operation.clone()),
            job: Some(job.clone()),
            created: now,
            expires: None,
            tags,
        };
        let id = snapshot.id.clone();
        let input = CreateInput {
            subject: subject.clone(),
            host: target.host.as_ref().map(|s| s.id.clone()),
            snapshot: id.clone(),
            disk: target.volume.clone(),
            by_itself: asked_by.is_schedule(),
        };
        let title = format!("take snapshot {} of {}", snapshot.name, target.name());
        let mut new_job = self.cleared_job(
            cleared,
            caller,
            job,
            plan(
                &CreateSnapshot(self.runtime.clone()),
                title,
                target.claims(),
            ),
            &target.node,
            &input,
        )?;
        new_job.background = asked_by.is_schedule();
        let submitted = self
            .submit(new_job, move |tx| {
                still_there(tx, &target)?;
                let used = persistence::count_points(tx, &subject)?;
                if let Some(refusal) = preflight::too_many_points(&subject, used) {
                    return Err(refusal);
                }
                persistence::insert_snapshot(tx, &snapshot)?;
                if let AskedBy::Schedule { due, next } = asked_by {
                    // Nobody asked anything of the server.
                    return taken_once(tx, &subject, due, next);
                }
                Ok(persistence::set_subject_operation(
                    tx, &subject, &operation,
                )?)
            })
            .await?;
        if submitted.repeated {
            // The same call came twice at once, and the other was first.
            let first: CreateInput = self.input_of(&submitted.id).await?;
            return Ok((first.snapshot, submitted.id));
        }
        Ok((id, submitted.id))
    }

    /// Judges and plans a rollback of a disk to a restore point.
    ///
    /// # Errors
    /// [`Refusal::ServerNotFound`], [`Refusal::DiskNotFound`],
    /// [`Refusal::SnapshotNotFound`], [`Refusal::Store`].
    pub async fn propose_rollback(
        &self,
        owner: &AccountId,
        disk: DiskRef,
        snapshot: &str,
    ) -> Result<Proposal, Refusal> {
        let target = self.target(owner, disk).await?;
        let snapshot = self
            .snapshot(owner, Some(&target.subject()), snapshot)
            .await?;
        let checked = self.judge_rollback(&target, &snapshot).await?;
        Ok(Proposal {
            preflight: checked.view(),
            plan: plan(
                &ApplySnapshot(self.runtime.clone()),
                rollback_title(&target, &snapshot),
                target.claims(),
            ),
        })
    }

    /// Takes a disk back to a restore point.
    ///
    /// # Errors
    /// The first blocker of the preflight.
    pub async fn apply_snapshot(
        &self,
        caller: &Caller,
        disk: DiskRef,
        snapshot: &str,
    ) -> Result<JobId, Refusal> {
        if let Some(job) = self.earlier(caller).await? {
            return Ok(job);
        }
        let target = self.target(&caller.owner, disk).await?;
        let snapshot = self
            .snapshot(&caller.owner, Some(&target.subject()), snapshot)
            .await?;
        self.roll_back(caller, target, snapshot, None, None).await
    }

    /// Takes an Applied rollback, or reset, back, to the safety point it left.
    ///
    /// # Errors
    /// [`Refusal::NotReversible`], or a blocker of the preflight.
    pub async fn undo(&self, caller: &Caller, job: &JobId) -> Result<JobId, Refusal> {
        if let Some(earlier) = self.earlier(caller).await? {
            return Ok(earlier);
        }
        let refused = |why| Refusal::NotReversible {
            job: job.clone(),
            why,
        };
        let view: JobView = match self.jobs.get(job).await {
            Ok(view) if view.account == caller.owner => view,
            Ok(_) | Err(JobsError::NotFound(_) | JobsError::NotHeld { .. }) => {
                return Err(refused(
                    "there is no such job; list them with: backout jobs list",
                ));
            }
            Err(JobsError::Store(e)) => return Err(e.into()),
        };
        if view.procedure == CreateSnapshot(self.runtime.clone()).name() {
            return Err(refused(
                "it only took a snapshot, which can be deleted instead",
            ));
        }
        if view.outcome != Some(backout_core::outcome::Outcome::Applied) {
            return Err(refused("only a job that ended as applied can be undone"));
        }
        let (wanted, owner) = (job.clone(), caller.owner.clone());
        let safety = self
            .store
            .read::<_, Refusal>(move |tx| Ok(persistence::safety_point_of(tx, &wanted)?))
            .await?
            .filter(|s| s.owner == owner)
            .ok_or_else(|| refused("it left no safety point, or that is gone"))?;
        let target = self
            .target(&caller.owner, DiskRef::from(&safety.subject))
            .await?;
        let becomes = self.back_to(&view, &target)?;
        self.roll_back(caller, target, safety, Some(job.clone()), becomes)
            .await
    }

    /// What the disk becomes again when a job is taken back that made another
    /// of it.
    fn back_to(&self, job: &JobView, target: &Target) -> Result<Option<Becomes>, Refusal> {
        let input = job.input.clone();
        let unreadable =
            |e| Refusal::Store(backout_store::Error::corrupt(format!("job input: {e}")));
        let made = if job.procedure == ResetServer(self.runtime.clone()).name() {
            let first: ResetInput = serde_json::from_value(input).map_err(unreadable)?;
            Some(first.becomes)
        } else if job.procedure == ApplySnapshot(self.runtime.clone()).name() {
            let first: ApplyInput = serde_json::from_value(input).map_err(unreadable)?;
            first.becomes
        } else {
            None
        };
        Ok(made
            .zip(target.host.as_ref())
            .map(|(made, server)| Becomes {
                from: identity(server),
                to: made.from,
            }))
    }

    async fn roll_back(
        &self,
        caller: &Caller,
        target: Target,
        snapshot: Snapshot,
        undo_of: Option<JobId>,
        becomes: Option<Becomes>,
    ) -> Result<JobId, Refusal> {
        let facts = self.look(&target, snapshot.point.as_ref()).await?;
        let stop = preflight::must_stop(&target, &facts);
        // The restore point is of the disk that it will be.
        let mut judged = target.clone();
        if let Some(becomes) = &becomes {
            judged.volume.id = becomes.to.disk.clone();
        }
        let cleared = preflight::rollback(&judged, &snapshot, facts).clear()?;
        let point = snapshot
            .point
            .clone()
            .ok_or_else(|| Refusal::SnapshotState {
                snapshot: snapshot.id.clone(),
                state: snapshot.state,
            })?;
        let job = JobId::random(self.entropy.as_ref());
        let now = self.clock.now();
        let operation = self.operation(OperationKind::ApplySnapshot, caller, now);
        let subject = target.subject();
        let input = ApplyInput {
            subject: subject.clone(),
            host: target.host.as_ref().map(|s| s.id.clone()),
            snapshot: snapshot.id.clone(),
            safety: new_point(&subject, self.entropy.as_ref()),
            disk: target.volume.clone(),
            point,
            stop,
            asked: now,
            undo_of: undo_of.clone(),
            becomes,
        };
        let plan = plan(
            &ApplySnapshot(self.runtime.clone()),
            match &undo_of {
                Some(undone) => {
                    format!("undo {undone}: take {} back to what it was", target.name())
                }
                None => rollback_title(&target, &snapshot),
            },
            target.claims(),
        );
        let mut new_job =
            self.cleared_job(cleared, caller, job.clone(), plan, &target.node, &input)?;
        new_job.undo_of = undo_of;
        let submitted = self
            .submit(new_job, move |tx| {
                // Judged again inside the transaction: the claim keeps others
                // away from the disk, this keeps a snapshot that was deleted,
                // or a disk that was attached elsewhere, in between from being
                // used.
                still_usable(tx, &snapshot.id)?;
                still_there(tx, &target)?;
                persistence::begin_snapshot_operation(
                    tx,
                    &snapshot.id,
                    SnapshotState::RollingBack,
                    &job,
                    Some(&operation),
                )?;
                Ok(persistence::set_subject_operation(
                    tx, &subject, &operation,
                )?)
            })
            .await?;
        Ok(submitted.id)
    }

    /// Deletes restore points, all of them or none.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for none or more than a hundred, or the first
    /// blocker.
    pub async fn delete_snapshots(
        &self,
        caller: &Caller,
        snapshots: &[String],
    ) -> Result<Vec<JobId>, Refusal> {
        if snapshots.is_empty() || snapshots.len() > DELETE_MAX {
            return Err(Refusal::Invalid(format!(
                "delete {} snapshots at once: give 1 to {DELETE_MAX}",
                snapshots.len()
            )));
        }
        if let Some(job) = self.earlier(caller).await? {
            return Ok(vec![job]);
        }
        let mut wanted: Vec<(Target, Vec<Snapshot>)> = Vec::new();
        for id in snapshots {
            let snapshot = self.snapshot(&caller.owner, None, id).await?;
            let target = self
                .target(&caller.owner, DiskRef::from(&snapshot.subject))
                .await?;
            preflight::delete_snapshot(&snapshot, &target).clear()?;
            match wanted
                .iter_mut()
                .find(|(t, _)| t.volume.id == target.volume.id)
            {
                Some((_, list)) if list.iter().any(|s| s.id == snapshot.id) => {}
                Some((_, list)) => list.push(snapshot),
                None => wanted.push((target, vec![snapshot])),
            }
        }
        // One job a disk, since a job claims its disk whole.
        let mut work = Vec::new();
        for (target, list) in wanted {
            let mut new_job = self.deletion(caller, &target, &list)?;
            if !work.is_empty() {
                // The first job stands for the whole call.
                new_job.idempotency = None;
            }
            work.push((new_job, list));
        }
        let jobs = self
            .store
            .write(move |tx| {
                let mut jobs = Vec::new();
                for (new_job, list) in work {
                    let submitted = submit_job(tx, &new_job)?;
                    jobs.push(submitted.id);
                    if !submitted.repeated {
                        begin_deletion(tx, &new_job, &list)?;
                    }
                }
                Ok::<_, Refusal>(jobs)
            })
            .await?;
        self.jobs.wake();
        Ok(jobs)
    }

    /// The job that deletes `list`, all of them restore points of `target`.
    pub(crate) fn deletion(
        &self,
        caller: &Caller,
        target: &Target,
        list: &[Snapshot],
    ) -> Result<NewJob, Refusal> {
        let input = DeleteInput {
            subject: target.subject(),
            disk: target.volume.clone(),
            snapshots: list
                .iter()
                .map(|s| (s.id.clone(), s.point.clone()))
                .collect(),
        };
        let names: Vec<&str> = list.iter().map(|s| s.name.as_str()).collect();
        let title = format!("delete snapshot {} of {}", names.join(", "), target.name());
        // The machine does not notice: only the disk is claimed.
        let claims = vec![target.subject().resource()];
        self.job(
            caller,
            JobId::random(self.entropy.as_ref()),
            plan(&DeleteSnapshot, title, claims),
            &target.node,
            &input,
        )
    }

    /// What each of these restore points refuses now.
    ///
    /// # Errors
    /// [`Refusal::SnapshotNotFound`], [`Refusal::Store`].
    pub async fn denied_on_snapshots(
        &self,
        owner: &AccountId,
        ids: &[String],
    ) -> Result<Vec<(PointId, Vec<Denied>)>, Refusal> {
        let mut out = Vec::with_capacity(ids.len());
        for id in ids {
            let snapshot = self.snapshot(owner, None, id).await?;
            let target = self.target(owner, DiskRef::from(&snapshot.subject)).await?;
            let rollback = self.judge_rollback(&target, &snapshot).await?;
            let delete = preflight::delete_snapshot(&snapshot, &target);
            let denied = [
                (OperationKind::ApplySnapshot, rollback),
                (OperationKind::DeleteSnapshot, delete),
            ]
            .into_iter()
            .filter_map(|(action, checked)| {
                checked
                    .clear()
                    .err()
                    .map(|refusal| Denied { action, refusal })
            })
            .collect();
            out.push((snapshot.id, denied));
        }
        Ok(out)
    }

    async fn judge_rollback(
        &self,
        target: &Target,
        snapshot: &Snapshot,
    ) -> Result<Checked, Refusal> {
        let facts = self.look(target, snapshot.point.as_ref()).await?;
        Ok(preflight::rollback(target, snapshot, facts))
    }
}

/// Marks restore points as going, in the transaction of their job.
pub(crate) fn begin_deletion(
    tx: &mut dyn Tx,
    new_job: &NewJob,
    list: &[Snapshot],
) -> Result<(), Refusal> {
    for snapshot in list {
        still_usable(tx, &snapshot.id)?;
        persistence::begin_snapshot_operation(
            tx,
            &snapshot.id,
            SnapshotState::Deleting,
            &new_job.id,
            None,
        )?;
    }
    Ok(())
}

/// A fresh id for a restore point of `subject`.
fn new_point(subject: &Subject, entropy: &dyn Entropy) -> PointId {
    match subject {
        Subject::Server(_) => SnapshotId::random(entropy).into(),
        Subject::Disk(_) => BackupId::random(entropy).into(),
    }
}

fn check_point_name(subject: &Subject, name: &str) -> Result<(), Refusal> {
    match subject {
        Subject::Server(_) => check_name_of("snapshot", name, NAME_MAX_CHARS),
        Subject::Disk(_) => check_name_of("backup", name, BACKUP_NAME_MAX_CHARS),
    }
}

/// Refuses a snapshot that was deleted, or taken by another job, since it was
/// looked at.
fn still_usable(tx: &mut dyn Tx, id: &PointId) -> Result<(), Refusal> {
    let now = persistence::snapshot_by_id(tx, id)?
        .ok_or_else(|| Refusal::SnapshotNotFound(id.to_string()))?;
    if now.state != SnapshotState::Normal {
        return Err(Refusal::SnapshotState {
            snapshot: now.id,
            state: now.state,
        });
    }
    Ok(())
}

/// Moves the schedule on, in the transaction of its job: of two processes on one
/// store only one gets through.
fn taken_once(
    tx: &mut dyn Tx,
    subject: &Subject,
    due: Timestamp,
    next: Timestamp,
) -> Result<(), Refusal> {
    if let Subject::Server(id) = subject
        && persistence::advance_schedule(tx, id, due, next)?
    {
        return Ok(());
    }
    Err(Refusal::Invalid(
        "take the snapshot of a schedule: it was taken this very moment, or the schedule is another by now"
            .to_owned(),
    ))
}

/// Refuses a disk that became another, or went to another server, since it was
/// looked at.
pub(super) fn still_there(tx: &mut dyn Tx, target: &Target) -> Result<(), Refusal> {
    let id = &target.volume.id;
    let now =
        persistence::disk_by_id(tx, id)?.ok_or_else(|| Refusal::DiskNotFound(id.to_string()))?;
    if now.server.as_ref() != target.host.as_ref().map(|s| &s.id)
        || target.disk.as_ref().is_some_and(|d| d.state != now.state)
    {
        return Err(Refusal::DiskState {
            action: "use",
            disk: id.clone(),
            state: match now.state {
                // It came back in between.
                DiskState::Attached | DiskState::Unattached => DiskState::Attaching,
                passing => passing,
            },
            hint: "it was attached or detached this very moment, try again",
        });
    }
    Ok(())
}

fn rollback_title(target: &Target, snapshot: &Snapshot) -> String {
    format!(
        "take {} back to {} {}",
        target.name(),
        match (snapshot.kind, &snapshot.subject) {
            (SnapshotKind::Safety, _) => "safety point",
            (_, Subject::Server(_)) => "snapshot",
            (_, Subject::Disk(_)) => "backup",
        },
        snapshot.name
    )
}
