//! Data disks: they come, go to a server, leave it, and go.

use std::path::{Path, PathBuf};

use backout_core::ids::{AccountId, DiskId, JobId};
use backout_core::size::Size;
use backout_disks::{DriverKind, Format};
use backout_store::Tx;

use super::lifecycle::resolved;
use super::points::still_there;
use super::{
    Caller, Denied, DiskRef, Servers, blocking, check_name, check_tags, insert_disk, submit_job,
};
use crate::model::{DiskState, ManagedDisk, OperationKind, Power, Server, Tag, Usage, Volume};
use crate::persistence::{self, DiskFilter, Page};
use crate::plan::plan;
use crate::preflight::{self, Checked, DISKS_PER_SERVER_MAX, Onto, Target};
use crate::procedures::{
    AddDisk, AddDiskInput, Attach, AttachInput, Detach, RemoveDisk, RemoveDiskInput,
};
use crate::refusal::Refusal;

/// How many data disks an owner may have: they are listed, and counted at each
/// addition, so there is an end to them; ten pages are more than one host
/// serves.
pub const DATA_DISKS_MAX: u64 = 1000;

/// How many disks one call may name (contract).
pub const DISKS_MAX: usize = 100;

/// The least size of a blank disk, in bytes: no file system fits on less.
pub const BLANK_MIN_BYTES: u64 = 1 << 20;

/// The greatest, in bytes: one file of ext4 holds no more.
pub const BLANK_MAX_BYTES: u64 = 16 << 40;

/// Disks are made of sectors of this many bytes.
const SECTOR_BYTES: u64 = 512;

/// Where a data disk comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// An existing image file, which is used in place and never removed.
    File(PathBuf),
    /// It is made, and holds nothing.
    Blank {
        /// Its size, in bytes: [`BLANK_MIN_BYTES`] to [`BLANK_MAX_BYTES`], in
        /// sectors of 512.
        size_bytes: u64,
    },
}

/// A data disk to be.
#[derive(Clone, Debug)]
pub struct NewDisk {
    /// Its name, unique for its owner.
    pub name: String,
    /// Where it comes from.
    pub source: Source,
    /// The format of an existing file, raw or qcow2; when it is left out, the one
    /// that it looks like, unless a guest may have made it look so. A blank disk
    /// has the format that its driver makes.
    pub format: Option<Format>,
    /// The driver, when one is asked for.
    pub driver: Option<DriverKind>,
    /// Free labels.
    pub tags: Vec<Tag>,
}

impl Servers {
    /// Adds a data disk, which no server uses yet.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for a bad name or size, [`Refusal::Disk`] and
    /// [`Refusal::NoDiskFile`] for a file that cannot be managed,
    /// [`Refusal::Taken`], [`Refusal::FileTaken`], [`Refusal::Quota`], [`Refusal::Store`].
    pub async fn add_disk(
        &self,
        caller: &Caller,
        new: NewDisk,
    ) -> Result<(ManagedDisk, JobId), Refusal> {
        check_name("disk", &new.name)?;
        check_tags(&new.tags)?;
        if let Some(job) = self.earlier(caller).await? {
            return Ok((self.added(caller, &job).await?, job));
        }
        let id = DiskId::random(self.entropy.as_ref());
        let made = matches!(new.source, Source::Blank { .. });
        let volume = match new.source {
            Source::File(path) => {
                let (disk, size_bytes, _) =
                    self.existing_disk(path, new.format, new.driver).await?;
                Volume {
                    id: id.clone(),
                    head: disk.head,
                    format: disk.format,
                    driver: disk.driver,
                    size_bytes,
                }
            }
            Source::Blank { .. } if new.format.is_some() => {
                return Err(Refusal::Invalid(
                    "make a blank disk of a format: its driver gives it one, so leave the format out"
                        .to_owned(),
                ));
            }
            Source::Blank { size_bytes } => self.blank_disk(&id, size_bytes, new.driver).await?,
        };
        let now = self.clock.now();
        let job = JobId::random(self.entropy.as_ref());
        let disk = ManagedDisk {
            volume: volume.clone(),
            owner: caller.owner.clone(),
            node: self.node.clone(),
            name: new.name,
            usage: Usage::Data,
            server: None,
            state: DiskState::Creating,
            made,
            latest: Some(self.operation(OperationKind::AddDisk, caller, now)),
            created: now,
            tags: new.tags,
        };
        let input = AddDiskInput {
            disk: volume,
            blank: made,
        };
        let title = if made {
            format!("make data disk {}", disk.name)
        } else {
            format!("take data disk {} under management", disk.name)
        };
        let plan = plan(&AddDisk, title, vec![disk.subject().resource()]);
        let new_job = self.job(caller, job, plan, &disk.node, &input)?;
        let added = disk.clone();
        let submitted = self
            .submit(new_job, move |tx| {
                room_for_disk(tx, &added.owner)?;
                insert_disk(tx, &added)
            })
            .await?;
        if submitted.repeated {
            // The same call came twice at once, and the other was first.
            return Ok((self.added(caller, &submitted.id).await?, submitted.id));
        }
        Ok((disk, submitted.id))
    }

    /// The disk that `job` adds.
    async fn added(&self, caller: &Caller, job: &JobId) -> Result<ManagedDisk, Refusal> {
        let first: AddDiskInput = self.input_of(job).await?;
        self.disk(&caller.owner, first.disk.id.as_str()).await
    }

    /// What a blank disk will be, in a folder of its own.
    async fn blank_disk(
        &self,
        id: &DiskId,
        size_bytes: u64,
        asked: Option<DriverKind>,
    ) -> Result<Volume, Refusal> {
        if !(BLANK_MIN_BYTES..=BLANK_MAX_BYTES).contains(&size_bytes)
            || !size_bytes.is_multiple_of(SECTOR_BYTES)
        {
            return Err(Refusal::Invalid(format!(
                "make a disk of {size_bytes} bytes: give {} to {}, a multiple of {SECTOR_BYTES} bytes",
                Size(BLANK_MIN_BYTES),
                Size(BLANK_MAX_BYTES)
            )));
        }
        let (pool, id) = (self.runtime.pool.clone(), id.clone());
        blocking(move || {
            let folder = resolved(&pool).join("disks").join(id.as_str());
            // The folder is made by the job.
            let there = folder.ancestors().find(|f| f.is_dir());
            let capabilities = backout_disks::probe(there.unwrap_or(Path::new("/")))?;
            // Where blocks cannot be shared, layers make going back quick.
            let driver = backout_disks::choose(&capabilities, Format::Qcow2, asked)?;
            let format = match driver {
                DriverKind::Qcow2 => Format::Qcow2,
                DriverKind::Reflink | DriverKind::Copy => Format::Raw,
            };
            Ok(Volume {
                id,
                head: folder.join(format!("disk.{format}")),
                format,
                driver,
                size_bytes,
            })
        })
        .await
    }

    /// Takes a data disk out of management. A file that Backout made is removed
    /// with its restore points; a user's stays, and so does what lies beside it.
    ///
    /// # Errors
    /// The first blocker of the preflight.
    pub async fn remove_disk(&self, caller: &Caller, disk: &str) -> Result<JobId, Refusal> {
        if let Some(job) = self.earlier(caller).await? {
            return Ok(job);
        }
        let target = self
            .target(&caller.owner, DiskRef::Disk(disk.to_owned()))
            .await?;
        let facts = self.look(&target, None).await?;
        let cleared = preflight::remove_disk(&target, &facts).clear()?;
        let operation = self.operation(OperationKind::RemoveDisk, caller, self.clock.now());
        let input = RemoveDiskInput {
            disk: target.volume.clone(),
            made: target.disk.as_ref().is_some_and(|d| d.made),
        };
        let new_job = self.cleared_job(
            cleared,
            caller,
            JobId::random(self.entropy.as_ref()),
            plan(
                &RemoveDisk,
                format!("take data disk {} out of management", target.name()),
                target.claims(),
            ),
            &target.node,
            &input,
        )?;
        let submitted = self
            .submit(new_job, move |tx| {
                still_there(tx, &target)?;
                Ok(persistence::set_subject_operation(
                    tx,
                    &target.subject(),
                    &operation,
                )?)
            })
            .await?;
        Ok(submitted.id)
    }

    /// Gives data disks to a server, all of them or none: plugs them into its
    /// machine if that runs.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for none or more than a hundred, or the first
    /// blocker.
    pub async fn attach(
        &self,
        caller: &Caller,
        disks: &[String],
        server: &str,
    ) -> Result<Vec<JobId>, Refusal> {
        check_count("attach", disks)?;
        if let Some(job) = self.earlier(caller).await? {
            return Ok(vec![job]);
        }
        let (server, holding) = self.server_and_holding(&caller.owner, server).await?;
        let used = self.disks_of(&server).await?;
        let targets = self.targets(caller, disks).await?;
        let mut cleared = None;
        for (target, more) in targets.iter().zip(0..) {
            let onto = Onto {
                server: &server,
                holding: holding.as_ref(),
                disks: used + more,
            };
            cleared = Some(self.judge_attach(target, Some(onto)).await?.clear()?);
        }
        let Some(cleared) = cleared else {
            return Ok(Vec::new());
        };
        let title = format!("attach {} to {}", names(&targets), server.name);
        let plan = plan(
            &Attach(self.runtime.clone()),
            title,
            claims(&targets, &server),
        );
        let input = attach_input(&server, &targets);
        let job = JobId::random(self.entropy.as_ref());
        let new_job = self.cleared_job(cleared, caller, job, plan, &server.node, &input)?;
        let operation = self.operation(OperationKind::Attach, caller, self.clock.now());
        let submitted = self
            .submit(new_job, move |tx| {
                still_still(tx, &server)?;
                let used = persistence::data_disks_of(tx, &server.id)?.len();
                if used + targets.len() > usize::try_from(DISKS_PER_SERVER_MAX).unwrap_or(0) {
                    return Err(preflight::too_many_disks());
                }
                for target in &targets {
                    still_there(tx, target)?;
                    let id = &target.volume.id;
                    persistence::set_attachment(tx, id, Some(&server.id), DiskState::Attaching)?;
                    persistence::set_subject_operation(tx, &target.subject(), &operation)?;
                }
                Ok(())
            })
            .await?;
        Ok(vec![submitted.id])
    }

    /// Takes data disks from their servers, all of them or none: unplugs them
    /// from a machine that runs.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for none or more than a hundred, or the first
    /// blocker.
    pub async fn detach(&self, caller: &Caller, disks: &[String]) -> Result<Vec<JobId>, Refusal> {
        check_count("detach", disks)?;
        if let Some(job) = self.earlier(caller).await? {
            return Ok(vec![job]);
        }
        // One job a server, since a job claims its server whole.
        let mut work: Vec<(Server, Vec<Target>)> = Vec::new();
        let mut cleared = Vec::new();
        for target in self.targets(caller, disks).await? {
            let proof = self.judge_detach(&target).await?.clear()?;
            let Some(server) = target.host.clone() else {
                // Its row names a server that is gone.
                return Err(Refusal::DiskState {
                    action: "detach",
                    disk: target.volume.id,
                    state: DiskState::Attached,
                    hint: "its server is gone, so there is nothing to take it from",
                });
            };
            if let Some((_, list)) = work.iter_mut().find(|(s, _)| s.id == server.id) {
                list.push(target);
            } else {
                work.push((server, vec![target]));
                cleared.push(proof);
            }
        }
        let operation = self.operation(OperationKind::Detach, caller, self.clock.now());
        let mut jobs = Vec::with_capacity(work.len());
        for ((server, targets), proof) in work.into_iter().zip(cleared) {
            let title = format!("detach {} from {}", names(&targets), server.name);
            let plan = plan(
                &Detach(self.runtime.clone()),
                title,
                claims(&targets, &server),
            );
            let input = attach_input(&server, &targets);
            let job = JobId::random(self.entropy.as_ref());
            let mut new_job = self.cleared_job(proof, caller, job, plan, &server.node, &input)?;
            if !jobs.is_empty() {
                // The first job stands for the whole call.
                new_job.idempotency = None;
            }
            jobs.push((new_job, server, targets));
        }
        let submitted = self
            .store
            .write(move |tx| {
                let mut ids = Vec::with_capacity(jobs.len());
                for (new_job, server, targets) in &jobs {
                    let submitted = submit_job(tx, new_job)?;
                    ids.push(submitted.id);
                    if submitted.repeated {
                        // The other call of the two submitted the rest as well.
                        return Ok(ids);
                    }
                    still_still(tx, server)?;
                    for target in targets {
                        still_there(tx, target)?;
                        let (id, owner) = (&target.volume.id, Some(&server.id));
                        persistence::set_attachment(tx, id, owner, DiskState::Detaching)?;
                        persistence::set_subject_operation(tx, &target.subject(), &operation)?;
                    }
                }
                Ok::<_, Refusal>(ids)
            })
            .await?;
        self.jobs.wake();
        Ok(submitted)
    }

    /// What each of these disks refuses now, of [`OperationKind::Attach`],
    /// [`OperationKind::Detach`] and [`OperationKind::CreateSnapshot`] (of a
    /// backup).
    ///
    /// # Errors
    /// [`Refusal::DiskNotFound`], [`Refusal::Store`].
    pub async fn denied_on_disks(
        &self,
        owner: &AccountId,
        ids: &[String],
    ) -> Result<Vec<(DiskId, Vec<Denied>)>, Refusal> {
        let mut out = Vec::with_capacity(ids.len());
        for id in ids {
            let target = self.target(owner, DiskRef::Disk(id.clone())).await?;
            let facts = self.look(&target, None).await?;
            let backup = preflight::create_snapshot(&target, facts);
            let denied = [
                (
                    OperationKind::Attach,
                    self.judge_attach(&target, None).await?,
                ),
                (OperationKind::Detach, self.judge_detach(&target).await?),
                (OperationKind::CreateSnapshot, backup),
            ]
            .into_iter()
            .filter_map(|(action, checked)| {
                checked
                    .clear()
                    .err()
                    .map(|refusal| Denied { action, refusal })
            })
            .collect();
            out.push((target.volume.id, denied));
        }
        Ok(out)
    }

    /// Each of these disks once, in the order they were named in.
    async fn targets(&self, caller: &Caller, disks: &[String]) -> Result<Vec<Target>, Refusal> {
        let mut targets: Vec<Target> = Vec::with_capacity(disks.len());
        for disk in disks {
            let target = self
                .target(&caller.owner, DiskRef::Disk(disk.clone()))
                .await?;
            if targets.iter().all(|t| t.volume.id != target.volume.id) {
                targets.push(target);
            }
        }
        Ok(targets)
    }

    /// How many data disks a server has.
    async fn disks_of(&self, server: &Server) -> Result<u64, Refusal> {
        let id = server.id.clone();
        self.store
            .read(move |tx| Ok(persistence::data_disks_of(tx, &id)?.len() as u64))
            .await
    }

    async fn judge_attach(
        &self,
        target: &Target,
        onto: Option<Onto<'_>>,
    ) -> Result<Checked, Refusal> {
        // With the machine that is to have it, which may be about to.
        let mut together = target.clone();
        if let Some(onto) = &onto {
            together.host = Some(onto.server.clone());
        }
        let facts = self.look(&together, None).await?;
        Ok(preflight::attach(target, onto.as_ref(), facts))
    }

    async fn judge_detach(&self, target: &Target) -> Result<Checked, Refusal> {
        let facts = self.look(target, None).await?;
        Ok(preflight::detach(target, facts))
    }
}

fn check_count(action: &str, disks: &[String]) -> Result<(), Refusal> {
    if disks.is_empty() || disks.len() > DISKS_MAX {
        return Err(Refusal::Invalid(format!(
            "{action} {} disks at once: give 1 to {DISKS_MAX}",
            disks.len()
        )));
    }
    Ok(())
}

fn names(targets: &[Target]) -> String {
    let names: Vec<&str> = targets.iter().map(Target::name).collect();
    names.join(", ")
}

/// The disks, and the server.
fn claims(targets: &[Target], server: &Server) -> Vec<String> {
    let disks = targets.iter().map(|t| t.subject().resource());
    disks.chain([server.resource()]).collect()
}

fn attach_input(server: &Server, targets: &[Target]) -> AttachInput {
    AttachInput {
        server: server.id.clone(),
        disks: targets.iter().map(|t| t.volume.clone()).collect(),
    }
}

/// Refuses one more data disk than an owner may have.
fn room_for_disk(tx: &mut dyn Tx, owner: &AccountId) -> Result<(), Refusal> {
    let filter = DiskFilter {
        usage: Some(Usage::Data),
        ..DiskFilter::default()
    };
    let none = Page {
        offset: 0,
        limit: 0,
    };
    let (used, _) = persistence::list_disks(tx, owner, &filter, none)?;
    if used < DATA_DISKS_MAX {
        return Ok(());
    }
    Err(Refusal::Quota {
        what: "data disks",
        max: DATA_DISKS_MAX,
        hint: "remove one first",
    })
}

/// Refuses a server that went, or whose power changed, since it was looked at.
fn still_still(tx: &mut dyn Tx, server: &Server) -> Result<(), Refusal> {
    let now = persistence::server_by_id(tx, &server.id)?
        .ok_or_else(|| Refusal::ServerNotFound(server.id.to_string()))?;
    if matches!(now.power, Power::Running | Power::Stopped) {
        return Ok(());
    }
    Err(Refusal::ServerState {
        action: "change the disks of",
        server: now.id,
        power: now.power,
        hint: "it changed this very moment, try again".into(),
    })
}
