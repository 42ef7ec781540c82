//! What can be asked of servers: the one way in for every surface.

use std::path::PathBuf;
use std::sync::Arc;

use backout_core::ids::{AccountId, DiskId, Entropy, InstanceId, JobId, RequestId, SnapshotId};
use backout_core::plan::{Plan, Preflight};
use backout_core::time::Clock;
use backout_disks::DriverKind;
use backout_jobs::{
    Idempotency, JobView, Jobs, JobsError, NewJob, Procedure, Registry, SubmitError, Submitted,
};
use backout_store::{Store, Tx};
use serde::Serialize;

use crate::model::{
    LatestOperation, OperationKind, OperationState, Power, PowerCommands, Server, Snapshot,
    SnapshotKind, SnapshotState, SystemDisk, Tag,
};
use crate::persistence::{self, Page, ServerFilter, SnapshotFilter};
use crate::plan::plan;
use crate::preflight::{self, Checked, Cleared, DiskFacts};
use crate::procedures::{
    Adopt, AdoptInput, ApplyInput, ApplySnapshot, CreateInput, CreateSnapshot, DeleteInput,
    DeleteSnapshot, Release, ReleaseInput,
};
use crate::refusal::Refusal;

/// The longest name of a server or a snapshot, in characters (SEMANTICS
/// section 4).
pub const NAME_MAX_CHARS: usize = 60;

/// How many labels a resource may have.
pub const TAGS_MAX: usize = 50;

/// How many snapshots one call may delete (SEMANTICS section 4).
pub const DELETE_MAX: usize = 10;

/// Who calls, on whose resources, under which request id.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The account that signed the call.
    pub account: AccountId,
    /// The account whose resources it works on.
    pub owner: AccountId,
    /// The id of the call.
    pub request: RequestId,
    /// The caller's idempotency key and a hash of its request.
    pub idempotency: Option<Idempotency>,
}

/// A disk to take under management.
#[derive(Clone, Debug)]
pub struct NewServer {
    /// The server's name.
    pub name: String,
    /// The image file.
    pub disk: PathBuf,
    /// The driver, when one is asked for.
    pub driver: Option<DriverKind>,
    /// How it is started and stopped.
    pub commands: PowerCommands,
    /// Whether it runs now.
    pub running: bool,
    /// Free labels.
    pub tags: Vec<Tag>,
}

/// Something that a snapshot, or a server, refuses now.
#[derive(Debug)]
pub struct Denied {
    /// What is refused.
    pub action: OperationKind,
    /// Why.
    pub refusal: Refusal,
}

/// A preflight with the plan that would run.
#[derive(Clone, Debug, Serialize)]
pub struct Proposal {
    /// What stands in the way, and what to know.
    pub preflight: Preflight,
    /// The steps.
    pub plan: Plan,
}

/// The servers of this store.
#[derive(Clone)]
pub struct Servers {
    store: Store,
    jobs: Jobs,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    node: String,
}

impl Servers {
    /// Servers whose disks are on the host `node`.
    #[must_use]
    pub fn new(
        store: Store,
        jobs: Jobs,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        node: String,
    ) -> Self {
        Self {
            store,
            jobs,
            clock,
            entropy,
            node,
        }
    }

    /// The kinds of job that a worker for servers must know. `logs` is the
    /// folder for the output of start and stop commands.
    #[must_use]
    pub fn register(registry: Registry, logs: PathBuf) -> Registry {
        registry
            .with(Adopt)
            .with(CreateSnapshot)
            .with(ApplySnapshot { logs })
            .with(DeleteSnapshot)
            .with(Release)
    }

    /// Changes whenever anything that a list tells may have changed; `None`
    /// when that cannot be told cheaply.
    #[must_use]
    pub fn version(&self) -> Option<u64> {
        self.store.version()
    }

    /// One page of servers, newest first, and how many match.
    ///
    /// # Errors
    /// [`Refusal::Store`].
    pub async fn list(
        &self,
        owner: &AccountId,
        filter: ServerFilter,
        page: Page,
    ) -> Result<(u64, Vec<Server>), Refusal> {
        let owner = owner.clone();
        self.store
            .read(move |tx| Ok(persistence::list_servers(tx, &owner, &filter, page)?))
            .await
    }

    /// One page of snapshots, newest first, and how many match. Each comes with
    /// the progress of its job, in per cent: 100 when none works on it.
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
                        (Some(job), _) => progress(tx, job)?,
                    };
                    out.push((snapshot, percent));
                }
                Ok((total, out))
            })
            .await
    }

    /// A server by id or name.
    ///
    /// # Errors
    /// [`Refusal::ServerNotFound`], [`Refusal::Store`].
    pub async fn get(&self, owner: &AccountId, id_or_name: &str) -> Result<Server, Refusal> {
        let (owner, wanted) = (owner.clone(), id_or_name.to_owned());
        self.store
            .read(move |tx| server_of(tx, &owner, &wanted))
            .await
    }

    /// Takes an existing image file under management, in place.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for a bad name, [`Refusal::Disk`] for a file that
    /// cannot be managed, [`Refusal::Taken`], [`Refusal::Store`].
    pub async fn add(&self, caller: &Caller, new: NewServer) -> Result<(Server, JobId), Refusal> {
        check_name("server", &new.name)?;
        check_tags(&new.tags)?;
        if new.running && new.commands.stop.is_none() {
            return Err(Refusal::Invalid(
                "add a running server without a stop command: give --stop-cmd, or leave --running out".into(),
            ));
        }
        if let Some(job) = self.earlier(caller).await? {
            let first: AdoptInput = self.input_of(&job).await?;
            return Ok((self.get(&caller.owner, first.server.as_str()).await?, job));
        }
        let now = self.clock.now();
        let asked = new.driver;
        let path = new.disk.clone();
        let (disk, size_bytes, held) = blocking(move || {
            let head = backout_disks::canonical_head(&path)?;
            let format = backout_disks::detect_format(&head)?;
            let folder = head.parent().unwrap_or(&head);
            let driver = backout_disks::choose(&backout_disks::probe(folder)?, format, asked)?;
            let disk = backout_disks::Disk {
                head,
                format,
                driver,
            };
            let facts = backout_disks::driver(driver).inspect(&disk)?;
            let held = !preflight::writers(&disk.head)?.is_empty();
            Ok((disk, facts.size_bytes, held))
        })
        .await
        .map_err(|e| match e {
            Refusal::Disk(backout_disks::Error::Missing { path }) => {
                Refusal::NoDiskFile(path.display().to_string())
            }
            other => other,
        })?;
        if disk.head.to_str().is_none() {
            return Err(Refusal::Invalid(
                "manage a disk whose path is not UTF-8: rename it".into(),
            ));
        }
        let entropy = self.entropy.as_ref();
        let job = JobId::random(entropy);
        let server = Server {
            id: InstanceId::random(entropy),
            owner: caller.owner.clone(),
            name: new.name,
            node: self.node.clone(),
            power: Power::Creating,
            commands: new.commands,
            disk: SystemDisk {
                id: DiskId::random(entropy),
                head: disk.head,
                format: disk.format,
                driver: disk.driver,
                size_bytes,
            },
            latest: Some(self.operation(OperationKind::Adopt, caller, now)),
            created: now,
            tags: new.tags,
        };
        let running = server.commands.stop.is_some() && (new.running || held);
        let input = AdoptInput {
            server: server.id.clone(),
            disk: server.disk.clone(),
            running,
        };
        let new_job = self.job(
            caller,
            job.clone(),
            plan(
                &Adopt,
                format!("take {} under management", server.name),
                claims(&server),
            ),
            &server,
            &input,
        )?;
        let added = server.clone();
        let submitted = self
            .submit(new_job, move |tx| {
                if persistence::insert_server(tx, &added)? {
                    Ok(())
                } else {
                    Err(Refusal::Taken(added.name.clone()))
                }
            })
            .await?;
        if submitted.repeated {
            // The same call came twice at once, and the other was first.
            let first: AdoptInput = self.input_of(&submitted.id).await?;
            let server = self.get(&caller.owner, first.server.as_str()).await?;
            return Ok((server, submitted.id));
        }
        Ok((server, job))
    }

    /// Takes a server out of management. Its disk stays as it is, and its
    /// restore points stay in their folder.
    ///
    /// # Errors
    /// The first blocker of the preflight.
    pub async fn release(&self, caller: &Caller, server: &str) -> Result<JobId, Refusal> {
        if let Some(job) = self.earlier(caller).await? {
            return Ok(job);
        }
        let (server, holder) = self.server_and_holder(&caller.owner, server).await?;
        let cleared = preflight::release(&server, holder.as_ref()).clear()?;
        let job = JobId::random(self.entropy.as_ref());
        let operation = self.operation(OperationKind::Release, caller, self.clock.now());
        let title = format!("take {} out of management", server.name);
        let input = ReleaseInput {
            server: server.id.clone(),
        };
        let plan = plan(&Release, title, claims(&server));
        let new_job = self.cleared_job(cleared, caller, job, plan, &server, &input)?;
        let submitted = self
            .submit(new_job, move |tx| {
                Ok(persistence::set_server_operation(
                    tx, &server.id, &operation,
                )?)
            })
            .await?;
        Ok(submitted.id)
    }

    /// Judges and plans the taking of a snapshot.
    ///
    /// # Errors
    /// [`Refusal::ServerNotFound`], [`Refusal::Store`].
    pub async fn propose_snapshot(
        &self,
        owner: &AccountId,
        server: &str,
    ) -> Result<Proposal, Refusal> {
        let (server, holder) = self.server_and_holder(owner, server).await?;
        let facts = self.look(&server, None).await?;
        let title = format!("take a snapshot of {}", server.name);
        Ok(Proposal {
            preflight: preflight::create_snapshot(&server, holder.as_ref(), facts).view(),
            plan: plan(&CreateSnapshot, title, claims(&server)),
        })
    }

    /// Takes a snapshot of a server's disk. `name` defaults to the server's
    /// name and the time.
    ///
    /// # Errors
    /// The first blocker of the preflight, or [`Refusal::Invalid`].
    pub async fn create_snapshot(
        &self,
        caller: &Caller,
        server: &str,
        name: Option<String>,
        tags: Vec<Tag>,
    ) -> Result<(SnapshotId, JobId), Refusal> {
        check_tags(&tags)?;
        if let Some(name) = &name {
            check_name("snapshot", name)?;
        }
        if let Some(job) = self.earlier(caller).await? {
            let first: CreateInput = self.input_of(&job).await?;
            return Ok((first.snapshot, job));
        }
        let (server, holder) = self.server_and_holder(&caller.owner, server).await?;
        let facts = self.look(&server, None).await?;
        let size_bytes = facts
            .head
            .as_ref()
            .and_then(|head| head.as_ref().ok())
            .map_or(server.disk.size_bytes, |h| h.size_bytes);
        let cleared = preflight::create_snapshot(&server, holder.as_ref(), facts).clear()?;
        let now = self.clock.now();
        let job = JobId::random(self.entropy.as_ref());
        let operation = self.operation(OperationKind::CreateSnapshot, caller, now);
        let snapshot = Snapshot {
            id: SnapshotId::random(self.entropy.as_ref()),
            owner: caller.owner.clone(),
            server: server.id.clone(),
            disk: server.disk.id.clone(),
            kind: SnapshotKind::User,
            name: name.unwrap_or_else(|| default_name(&server.name, &now.iso8601())),
            state: SnapshotState::Creating,
            point: None,
            size_bytes,
            latest: Some(operation.clone()),
            job: Some(job.clone()),
            created: now,
            tags,
        };
        let id = snapshot.id.clone();
        let input = CreateInput {
            server: server.id.clone(),
            snapshot: id.clone(),
            disk: server.disk.clone(),
        };
        let title = format!("take snapshot {} of {}", snapshot.name, server.name);
        let new_job = self.cleared_job(
            cleared,
            caller,
            job,
            plan(&CreateSnapshot, title, claims(&server)),
            &server,
            &input,
        )?;
        let submitted = self
            .submit(new_job, move |tx| {
                persistence::insert_snapshot(tx, &snapshot)?;
                Ok(persistence::set_server_operation(
                    tx,
                    &snapshot.server,
                    &operation,
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

    /// Judges and plans a rollback of a server to a snapshot.
    ///
    /// # Errors
    /// [`Refusal::ServerNotFound`], [`Refusal::SnapshotNotFound`],
    /// [`Refusal::Store`].
    pub async fn propose_rollback(
        &self,
        owner: &AccountId,
        server: &str,
        snapshot: &str,
    ) -> Result<Proposal, Refusal> {
        let (server, holder) = self.server_and_holder(owner, server).await?;
        let snapshot = self.snapshot(owner, Some(&server.id), snapshot).await?;
        let checked = self
            .judge_rollback(&server, &snapshot, holder.as_ref())
            .await?;
        Ok(Proposal {
            preflight: checked.view(),
            plan: plan(
                &ApplySnapshot::default(),
                rollback_title(&server, &snapshot),
                claims(&server),
            ),
        })
    }

    /// Takes a server's disk back to a snapshot.
    ///
    /// # Errors
    /// The first blocker of the preflight.
    pub async fn apply_snapshot(
        &self,
        caller: &Caller,
        server: &str,
        snapshot: &str,
    ) -> Result<JobId, Refusal> {
        if let Some(job) = self.earlier(caller).await? {
            return Ok(job);
        }
        let (server, holder) = self.server_and_holder(&caller.owner, server).await?;
        let snapshot = self
            .snapshot(&caller.owner, Some(&server.id), snapshot)
            .await?;
        self.roll_back(caller, server, snapshot, holder, None).await
    }

    /// Takes an Applied rollback back, to the safety point it left.
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
        let view = match self.jobs.get(job).await {
            Ok(view) if view.account == caller.owner => view,
            Ok(_) | Err(JobsError::NotFound(_) | JobsError::NotHeld { .. }) => {
                return Err(refused(
                    "there is no such job; list them with: backout jobs list",
                ));
            }
            Err(JobsError::Store(e)) => return Err(e.into()),
        };
        if view.procedure == CreateSnapshot.name() {
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
        let (server, holder) = self
            .server_and_holder(&caller.owner, safety.server.as_str())
            .await?;
        self.roll_back(caller, server, safety, holder, Some(job.clone()))
            .await
    }

    async fn roll_back(
        &self,
        caller: &Caller,
        server: Server,
        snapshot: Snapshot,
        holder: Option<JobId>,
        undo_of: Option<JobId>,
    ) -> Result<JobId, Refusal> {
        let facts = self.look(&server, snapshot.point.as_ref()).await?;
        let stop = preflight::must_stop(&server, &facts);
        let checked = preflight::rollback(&server, &snapshot, holder.as_ref(), facts);
        let cleared = checked.clear()?;
        let point = snapshot
            .point
            .clone()
            .ok_or_else(|| Refusal::SnapshotState {
                snapshot: snapshot.id.clone(),
                state: snapshot.state,
            })?;
        let job = JobId::random(self.entropy.as_ref());
        let operation = self.operation(OperationKind::ApplySnapshot, caller, self.clock.now());
        let input = ApplyInput {
            server: server.id.clone(),
            snapshot: snapshot.id.clone(),
            safety: SnapshotId::random(self.entropy.as_ref()),
            disk: server.disk.clone(),
            point,
            stop,
            asked: self.clock.now(),
            undo_of: undo_of.clone(),
        };
        let plan = plan(
            &ApplySnapshot::default(),
            match &undo_of {
                Some(undone) => format!("undo {undone}: take {} back to what it was", server.name),
                None => rollback_title(&server, &snapshot),
            },
            claims(&server),
        );
        let mut new_job = self.cleared_job(cleared, caller, job.clone(), plan, &server, &input)?;
        new_job.undo_of = undo_of;
        let submitted = self
            .submit(new_job, move |tx| {
                // Judged again inside the transaction: the claim keeps others
                // away from the server, this keeps a snapshot that was deleted
                // in between from being used.
                still_usable(tx, &snapshot.id)?;
                persistence::begin_snapshot_operation(
                    tx,
                    &snapshot.id,
                    SnapshotState::RollingBack,
                    &job,
                    Some(&operation),
                )?;
                Ok(persistence::set_server_operation(
                    tx, &server.id, &operation,
                )?)
            })
            .await?;
        Ok(submitted.id)
    }

    /// Deletes snapshots, all of them or none.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for more than ten, or the first blocker.
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
        let mut wanted: Vec<(Server, Vec<Snapshot>)> = Vec::new();
        for id in snapshots {
            let snapshot = self.snapshot(&caller.owner, None, id).await?;
            let (server, holder) = self
                .server_and_holder(&caller.owner, snapshot.server.as_str())
                .await?;
            preflight::delete_snapshot(&server, &snapshot, holder.as_ref()).clear()?;
            match wanted.iter_mut().find(|(s, _)| s.id == server.id) {
                Some((_, list)) if list.iter().any(|s| s.id == snapshot.id) => {}
                Some((_, list)) => list.push(snapshot),
                None => wanted.push((server, vec![snapshot])),
            }
        }
        // One job a server, since a job claims its server whole.
        let mut work = Vec::new();
        for (server, list) in wanted {
            let job = JobId::random(self.entropy.as_ref());
            let input = DeleteInput {
                server: server.id.clone(),
                disk: server.disk.clone(),
                snapshots: list
                    .iter()
                    .map(|s| (s.id.clone(), s.point.clone()))
                    .collect(),
            };
            let names: Vec<&str> = list.iter().map(|s| s.name.as_str()).collect();
            let title = format!("delete snapshot {} of {}", names.join(", "), server.name);
            let mut new_job = self.job(
                caller,
                job,
                plan(&DeleteSnapshot, title, claims(&server)),
                &server,
                &input,
            )?;
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
                    if submitted.repeated {
                        continue;
                    }
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
                }
                Ok::<_, Refusal>(jobs)
            })
            .await?;
        self.jobs.wake();
        Ok(jobs)
    }

    /// What each of these snapshots refuses now.
    ///
    /// # Errors
    /// [`Refusal::SnapshotNotFound`], [`Refusal::Store`].
    pub async fn denied_on_snapshots(
        &self,
        owner: &AccountId,
        ids: &[String],
    ) -> Result<Vec<(SnapshotId, Vec<Denied>)>, Refusal> {
        let mut out = Vec::with_capacity(ids.len());
        for id in ids {
            let snapshot = self.snapshot(owner, None, id).await?;
            let (server, holder) = self
                .server_and_holder(owner, snapshot.server.as_str())
                .await?;
            let rollback = self
                .judge_rollback(&server, &snapshot, holder.as_ref())
                .await?;
            let delete = preflight::delete_snapshot(&server, &snapshot, holder.as_ref());
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

    /// A snapshot by id, or by name among those of `server`.
    ///
    /// # Errors
    /// [`Refusal::SnapshotNotFound`], [`Refusal::Store`].
    pub async fn snapshot(
        &self,
        owner: &AccountId,
        server: Option<&InstanceId>,
        id_or_name: &str,
    ) -> Result<Snapshot, Refusal> {
        let (owner, server, wanted) = (owner.clone(), server.cloned(), id_or_name.to_owned());
        self.store
            .read(move |tx| {
                persistence::find_snapshot(tx, &owner, server.as_ref(), &wanted)?
                    .ok_or(Refusal::SnapshotNotFound(wanted))
            })
            .await
    }

    /// Looks at a server's disk, if it is on this host.
    async fn look(
        &self,
        server: &Server,
        point: Option<&backout_disks::Point>,
    ) -> Result<DiskFacts, Refusal> {
        if server.node != self.node {
            return Ok(DiskFacts::elsewhere());
        }
        let (disk, point) = (server.disk.clone(), point.cloned());
        blocking(move || Ok(preflight::look(&disk, point.as_ref()))).await
    }

    async fn judge_rollback(
        &self,
        server: &Server,
        snapshot: &Snapshot,
        holder: Option<&JobId>,
    ) -> Result<Checked, Refusal> {
        let facts = self.look(server, snapshot.point.as_ref()).await?;
        Ok(preflight::rollback(server, snapshot, holder, facts))
    }

    async fn server_and_holder(
        &self,
        owner: &AccountId,
        wanted: &str,
    ) -> Result<(Server, Option<JobId>), Refusal> {
        let (owner, wanted) = (owner.clone(), wanted.to_owned());
        self.store
            .read(move |tx| {
                let server = server_of(tx, &owner, &wanted)?;
                let holder = backout_jobs::holder_of(tx, &server.resource())?;
                Ok((server, holder))
            })
            .await
    }

    /// The job that an earlier call with the same idempotency key made. Asked
    /// before the preflight, which would find that very job in the way.
    async fn earlier(&self, caller: &Caller) -> Result<Option<JobId>, Refusal> {
        let Some(idempotency) = caller.idempotency.clone() else {
            return Ok(None);
        };
        let owner = caller.owner.clone();
        self.store
            .read(move |tx| backout_jobs::earlier(tx, &owner, &idempotency).map_err(submit_refused))
            .await
    }

    async fn input_of<T: serde::de::DeserializeOwned>(&self, job: &JobId) -> Result<T, Refusal> {
        let wanted = job.clone();
        let view = self.store.read(move |tx| job_view(tx, &wanted)).await?;
        serde_json::from_value(view.input)
            .map_err(|e| Refusal::Store(backout_store::Error::corrupt(format!("job input: {e}"))))
    }

    fn operation(
        &self,
        kind: OperationKind,
        caller: &Caller,
        now: backout_core::time::Timestamp,
    ) -> LatestOperation {
        LatestOperation {
            kind,
            state: OperationState::Operating,
            request: caller.request.clone(),
            started: now,
        }
    }

    /// A job that changes a disk: needs the proof that its preflight passed.
    fn cleared_job(
        &self,
        _proof: Cleared,
        caller: &Caller,
        id: JobId,
        plan: Plan,
        server: &Server,
        input: &impl Serialize,
    ) -> Result<NewJob, Refusal> {
        self.job(caller, id, plan, server, input)
    }

    fn job(
        &self,
        caller: &Caller,
        id: JobId,
        plan: Plan,
        server: &Server,
        input: &impl Serialize,
    ) -> Result<NewJob, Refusal> {
        Ok(NewJob {
            id,
            procedure: plan.procedure.clone(),
            title: plan.title.clone(),
            account: caller.owner.clone(),
            request: caller.request.clone(),
            node: server.node.clone(),
            resource: server.resource(),
            claims: plan.claims.clone(),
            input: serde_json::to_value(input).map_err(|e| {
                Refusal::Store(backout_store::Error::corrupt(format!("job input: {e}")))
            })?,
            plan,
            undo_of: None,
            idempotency: caller.idempotency.clone(),
            background: false,
            now: self.clock.now(),
        })
    }

    /// Writes the job and the product's own rows in one transaction.
    async fn submit(
        &self,
        new_job: NewJob,
        rows: impl FnOnce(&mut dyn Tx) -> Result<(), Refusal> + Send + 'static,
    ) -> Result<Submitted, Refusal> {
        let submitted = self
            .store
            .write(move |tx| {
                let submitted = submit_job(tx, &new_job)?;
                if !submitted.repeated {
                    rows(tx)?;
                }
                Ok::<_, Refusal>(submitted)
            })
            .await?;
        self.jobs.wake();
        Ok(submitted)
    }
}

/// Refuses a snapshot that was deleted, or taken by another job, since it was
/// looked at.
fn still_usable(tx: &mut dyn Tx, id: &SnapshotId) -> Result<(), Refusal> {
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

fn submit_job(tx: &mut dyn Tx, new_job: &NewJob) -> Result<Submitted, Refusal> {
    backout_jobs::submit(tx, new_job).map_err(submit_refused)
}

fn submit_refused(e: SubmitError) -> Refusal {
    match e {
        SubmitError::Busy { resource, job } => {
            match resource
                .strip_prefix("server/")
                .and_then(|id| id.parse().ok())
            {
                Some(server) => Refusal::ServerBusy { server, job },
                None => Refusal::Invalid(format!("claim {resource}: job {job} holds it")),
            }
        }
        SubmitError::IdempotencyMismatch { .. } => Refusal::IdempotencyMismatch,
        SubmitError::TooManyClaims { .. } => Refusal::Invalid(e.to_string()),
        SubmitError::Store(e) => Refusal::Store(e),
    }
}

fn job_view(tx: &mut dyn Tx, job: &JobId) -> Result<JobView, Refusal> {
    backout_jobs::get_in(tx, job).map_err(|e| match e {
        JobsError::Store(e) => Refusal::Store(e),
        other => Refusal::Store(backout_store::Error::corrupt(other.to_string())),
    })
}

/// How far a job is, in per cent.
fn progress(tx: &mut dyn Tx, job: &JobId) -> Result<u8, Refusal> {
    Ok(job_view(tx, job)?.percent)
}

fn server_of(tx: &mut dyn Tx, owner: &AccountId, wanted: &str) -> Result<Server, Refusal> {
    persistence::find_server(tx, owner, wanted)?
        .ok_or_else(|| Refusal::ServerNotFound(wanted.to_owned()))
}

/// What a job on `server` claims.
fn claims(server: &Server) -> Vec<String> {
    vec![server.resource()]
}

fn rollback_title(server: &Server, snapshot: &Snapshot) -> String {
    format!(
        "take {} back to {} {}",
        server.name,
        match snapshot.kind {
            SnapshotKind::User => "snapshot",
            SnapshotKind::Safety => "safety point",
        },
        snapshot.name
    )
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, backout_disks::Error> + Send + 'static,
) -> Result<T, Refusal> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(Refusal::Disk),
        Err(e) => Err(Refusal::Invalid(format!("look at the disk: {e}"))),
    }
}

/// `NAME-MMDDhhmmss`, as the vendor's sample has it (SEMANTICS section 4).
fn default_name(server: &str, iso8601: &str) -> String {
    let digits: String = iso8601
        .chars()
        .filter(char::is_ascii_digit)
        .skip(4)
        .take(10)
        .collect();
    let room = NAME_MAX_CHARS - digits.len() - 1;
    let name: String = server.chars().take(room).collect();
    format!("{name}-{digits}")
}

fn check_name(what: &str, name: &str) -> Result<(), Refusal> {
    let chars = name.chars().count();
    if chars == 0 || chars > NAME_MAX_CHARS || name.chars().any(char::is_control) {
        return Err(Refusal::Invalid(format!(
            "name a {what} {:?}: give 1 to {NAME_MAX_CHARS} characters, none of them a control character",
            name.chars().take(NAME_MAX_CHARS).collect::<String>()
        )));
    }
    Ok(())
}

fn check_tags(tags: &[Tag]) -> Result<(), Refusal> {
    let distinct = tags
        .iter()
        .enumerate()
        .all(|(i, t)| tags[..i].iter().all(|u| u.key != t.key));
    if tags.len() > TAGS_MAX
        || !distinct
        || tags
            .iter()
            .any(|t| t.key.is_empty() || t.key.len() > 127 || t.value.len() > 255)
    {
        return Err(Refusal::Invalid(format!(
            "set these tags: give at most {TAGS_MAX}, each key once, keys of 1 to 127 and values of at most 255 bytes"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_names_fit() {
        assert_eq!(
            default_name("day-backup", "2020-09-03T14:51:22Z"),
            "day-backup-0903145122"
        );
        assert_eq!(
            default_name(&"x".repeat(90), "2020-09-03T14:51:22Z")
                .chars()
                .count(),
            NAME_MAX_CHARS
        );
    }

    #[test]
    fn names_are_checked() {
        assert!(check_name("server", "web 1").is_ok());
        for bad in ["", "a\nb", &"x".repeat(61)] {
            assert!(check_name("server", bad).is_err());
        }
    }
}
