//! Servers are made of images, started, stopped, and given back.

use std::path::{Path, PathBuf};

use backout_core::ids::{AccountId, BlueprintId, DiskId, InstanceId, JobId, SnapshotId};
use backout_disks::{DriverKind, Format};
use backout_jobs::{NewJob, Procedure};
use backout_machines::{Capabilities, Forward, Spec, State, Stop};
use backout_store::Tx;
use serde::{Deserialize, Serialize};

use super::{
    Caller, DATA_DISKS_MAX, Denied, DiskRef, Proposal, Servers, blocking, check_name, check_tags,
    holding_of, insert_server, server_of, submit_job,
};
use crate::bundles::{BUNDLES, Bundle, bundle};
use crate::model::{
    Blueprint, BlueprintState, Holding, OperationKind, OperationState, Power, PowerCommands,
    Server, Subject, Tag, Usage, Volume, blueprint_resource,
};
use crate::persistence::{self, BlueprintFilter, DiskFilter, Page, ServerFilter};
use crate::plan::plan;
use crate::preflight::{
    self, BACKUPS_PER_DISK_MAX, BLUEPRINTS_MAX, Checked, Making, SERVERS_MAX,
    SNAPSHOTS_PER_SERVER_MAX, Target,
};
use crate::procedures::{
    Becomes, CreateServer, CreateServerInput, Identity, ImageFile, IsolateInput, IsolateServer,
    Member, PowerInput, RebootServer, ResetInput, ResetServer, StartServer, StopServer,
    TerminateInput, TerminateServer,
};
use crate::refusal::Refusal;

/// How many servers one call may make, or be about (contract: the longest list
/// of ids that an operation takes).
pub const BATCH_MAX: usize = 100;

/// How many servers are read at a time by work that goes through all of them.
const READ_AT_ONCE: u64 = 100;

/// Servers to make.
#[derive(Clone, Debug)]
pub struct NewInstances {
    /// Their name; `-1`, `-2` and so on follow it when there are several.
    pub name: Option<String>,
    /// How many, 1 to [`BATCH_MAX`].
    pub count: u32,
    /// The id of their size.
    pub bundle: String,
    /// The id or name of their image.
    pub blueprint: String,
    /// Free labels.
    pub tags: Vec<Tag>,
    /// Ports of this host that lead into the guest; of one server only.
    pub forwards: Vec<Forward>,
}

/// How much there is of something, and how much there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Quota {
    /// How many there are.
    pub used: u64,
    /// How many there may be.
    pub total: u64,
}

/// What an owner has, and may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Quotas {
    /// Servers.
    pub servers: Quota,
    /// Restore points, of system disks and of data disks; safety points are not
    /// counted. The total follows from how many disks there may be.
    pub snapshots: Quota,
    /// Data disks.
    pub data_disks: Quota,
    /// Images.
    pub images: Quota,
}

/// What all jobs on power read of an input: who belongs to the same call.
#[derive(Deserialize)]
struct Batch {
    #[serde(default)]
    batch: Vec<Member>,
}

/// Writes the rows of one job of a call.
type Rows = Box<dyn FnOnce(&mut dyn Tx) -> Result<(), Refusal> + Send>;

/// What a call that makes servers comes to, before it is judged.
struct Planned {
    bundle: &'static Bundle,
    blueprint: Blueprint,
    ids: Vec<InstanceId>,
    names: Vec<String>,
    taken: Option<String>,
    used: u64,
    host: Capabilities,
    folder: PathBuf,
    pool: Result<(DriverKind, u64, u64), backout_disks::Error>,
}

impl Planned {
    fn judge(self, node: &str) -> (Checked, Drawn) {
        let driver = self
            .pool
            .as_ref()
            .map_or(DriverKind::Copy, |(kind, ..)| *kind);
        let checked = preflight::create(Making {
            node,
            bundle: self.bundle,
            blueprint: &self.blueprint,
            count: self.ids.len() as u64,
            taken: self.taken,
            used: self.used,
            host: &self.host,
            pool: self.pool,
            folder: &self.folder,
        });
        let drawn = Drawn {
            bundle: self.bundle,
            blueprint: self.blueprint,
            servers: self.ids.into_iter().zip(self.names).collect(),
            folder: self.folder,
            driver,
        };
        (checked, drawn)
    }
}

/// Servers to be, as they were judged.
struct Drawn {
    bundle: &'static Bundle,
    blueprint: Blueprint,
    servers: Vec<(InstanceId, String)>,
    folder: PathBuf,
    driver: DriverKind,
}

impl Servers {
    /// The sizes that servers are made in, the smallest first.
    #[must_use]
    pub const fn bundles(&self) -> &'static [Bundle] {
        BUNDLES
    }

    /// Judges and plans the making of servers; the plan is of the first.
    ///
    /// # Errors
    /// [`Refusal::BlueprintNotFound`], [`Refusal::BundleNotFound`],
    /// [`Refusal::Invalid`], [`Refusal::Store`].
    pub async fn propose_create(
        &self,
        owner: &AccountId,
        new: &NewInstances,
    ) -> Result<Proposal, Refusal> {
        let (checked, drawn) = self.planned(owner, new).await?.judge(&self.node);
        let (title, claims) = match drawn.servers.first() {
            Some((id, name)) => (
                create_title(name, &drawn),
                create_claims(id, &drawn.blueprint.id),
            ),
            None => (String::new(), Vec::new()),
        };
        Ok(Proposal {
            preflight: checked.view(),
            plan: plan(&CreateServer(self.runtime.clone()), title, claims),
        })
    }

    /// Judges the making of servers: what a surface asks that tells refusals
    /// apart by their kind.
    ///
    /// # Errors
    /// What [`Servers::create`] would refuse.
    pub async fn check_create(&self, owner: &AccountId, new: &NewInstances) -> Result<(), Refusal> {
        let (checked, _) = self.planned(owner, new).await?.judge(&self.node);
        checked.clear().map(drop)
    }

    /// Makes servers of an image: one job each, all of them or none. They run
    /// when their jobs are applied. A server that could not be made stays in
    /// the lists until it is terminated.
    ///
    /// # Errors
    /// The first blocker of the preflight.
    pub async fn create(
        &self,
        caller: &Caller,
        new: NewInstances,
    ) -> Result<Vec<(InstanceId, JobId)>, Refusal> {
        if let Some(job) = self.earlier(caller).await? {
            return Ok(pairs(self.members(&job).await?));
        }
        let (checked, drawn) = self.planned(&caller.owner, &new).await?.judge(&self.node);
        let cleared = checked.clear()?;
        let batch = self.members_of(drawn.servers.iter().map(|(id, _)| id));
        let now = self.clock.now();
        let mut work = Vec::with_capacity(batch.len());
        for (member, (_, name)) in batch.iter().zip(&drawn.servers) {
            let server = Server {
                id: member.server.clone(),
                owner: caller.owner.clone(),
                name: name.clone(),
                node: self.node.clone(),
                power: Power::Creating,
                commands: PowerCommands::default(),
                machine: Some(Spec {
                    cpus: drawn.bundle.cpus,
                    memory_bytes: drawn.bundle.memory_bytes,
                    boot: drawn.blueprint.boot.clone(),
                    forwards: new.forwards.clone(),
                }),
                disk: new_disk(
                    DiskId::random(self.entropy.as_ref()),
                    &drawn.folder.join(member.server.as_str()),
                    drawn.driver,
                    drawn.bundle.disk_bytes,
                ),
                made: true,
                bundle: Some(drawn.bundle.id.to_owned()),
                blueprint: Some(drawn.blueprint.id.clone()),
                isolated: None,
                schedule: None,
                latest: Some(self.operation(OperationKind::Create, caller, now)),
                created: now,
                tags: new.tags.clone(),
            };
            let input = CreateServerInput {
                server: server.id.clone(),
                disk: server.disk.clone(),
                image: image_file(&drawn.blueprint),
                batch: first_only(&batch, work.is_empty()),
            };
            let plan = plan(
                &CreateServer(self.runtime.clone()),
                create_title(name, &drawn),
                create_claims(&server.id, &drawn.blueprint.id),
            );
            let new_job = self.cleared_job(
                cleared.of_same_call(),
                caller,
                member.job.clone(),
                plan,
                &server.node,
                &input,
            )?;
            let blueprint = drawn.blueprint.id.clone();
            let rows: Rows = Box::new(move |tx| {
                still_image(tx, &blueprint)?;
                room_for_server(tx, &server.owner)?;
                insert_server(tx, &server)
            });
            work.push((new_job, rows));
        }
        Ok(pairs(self.submit_batch(batch, work).await?))
    }

    /// Looks at all that making servers depends on.
    async fn planned(&self, owner: &AccountId, new: &NewInstances) -> Result<Planned, Refusal> {
        let count = usize::try_from(new.count).unwrap_or(usize::MAX);
        if !(1..=BATCH_MAX).contains(&count) {
            return Err(Refusal::Invalid(format!(
                "make {count} servers at once: give 1 to {BATCH_MAX}"
            )));
        }
        check_tags(&new.tags)?;
        check_forwards(&new.forwards, count)?;
        let bundle =
            bundle(&new.bundle).ok_or_else(|| Refusal::BundleNotFound(new.bundle.clone()))?;
        let blueprint = self.blueprint(owner, &new.blueprint).await?;
        let ids: Vec<InstanceId> = (0..count)
            .map(|_| InstanceId::random(self.entropy.as_ref()))
            .collect();
        let name = match &new.name {
            Some(name) => name.clone(),
            None => default_server_name(ids.first()),
        };
        let names = numbered(&name, count);
        for name in &names {
            check_name("server", name)?;
        }
        let (whose, wanted) = (owner.clone(), names.clone());
        let (taken, used) = self
            .store
            .read::<_, Refusal>(move |tx| {
                let mut taken = None;
                for name in wanted {
                    if taken.is_none() && is_taken(tx, &whose, &name)? {
                        taken = Some(name);
                    }
                }
                Ok((taken, servers_of(tx, &whose)?))
            })
            .await?;
        let (image, here) = (image_file(&blueprint), blueprint.node == self.node);
        let (pool, machines) = (self.runtime.pool.clone(), self.runtime.machines.clone());
        let (folder, pool, host) = blocking(move || {
            let folder = resolved(&pool);
            let looked = if here {
                look_at_pool(&folder, &image)
            } else {
                // Refused for that, whatever there is room for.
                Ok((DriverKind::Copy, 0, 0))
            };
            Ok((folder, looked, machines.capabilities()))
        })
        .await?;
        Ok(Planned {
            bundle,
            blueprint,
            ids,
            names,
            taken,
            used,
            host,
            folder,
            pool,
        })
    }

    /// Starts servers that are stopped: one job each, all of them or none.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for none, too many, or one that is named twice; the
    /// first blocker of the preflight.
    pub async fn start(&self, caller: &Caller, servers: &[String]) -> Result<Vec<JobId>, Refusal> {
        let procedure = StartServer(self.runtime.clone());
        self.change_power(caller, servers, OperationKind::Start, procedure, Stop::Hard)
            .await
    }

    /// Stops servers that run; as [`Servers::start`]. For a server of the
    /// user's own commands its stop command is what there is, whatever `how`
    /// says.
    ///
    /// # Errors
    /// As [`Servers::start`].
    pub async fn stop(
        &self,
        caller: &Caller,
        servers: &[String],
        how: Stop,
    ) -> Result<Vec<JobId>, Refusal> {
        let procedure = StopServer(self.runtime.clone());
        self.change_power(caller, servers, OperationKind::Stop, procedure, how)
            .await
    }

    /// Stops servers that run, and starts them again; as [`Servers::stop`].
    ///
    /// # Errors
    /// As [`Servers::start`].
    pub async fn reboot(
        &self,
        caller: &Caller,
        servers: &[String],
        how: Stop,
    ) -> Result<Vec<JobId>, Refusal> {
        let procedure = RebootServer(self.runtime.clone());
        self.change_power(caller, servers, OperationKind::Reboot, procedure, how)
            .await
    }

    async fn change_power<P: Procedure>(
        &self,
        caller: &Caller,
        servers: &[String],
        kind: OperationKind,
        procedure: P,
        how: Stop,
    ) -> Result<Vec<JobId>, Refusal> {
        if let Some(job) = self.earlier(caller).await? {
            return Ok(jobs(self.members(&job).await?));
        }
        let (action, passing) = match kind {
            OperationKind::Start => ("start", Power::Starting),
            OperationKind::Reboot => ("reboot", Power::Rebooting),
            _ => ("stop", Power::Stopping),
        };
        let wanted = self.wanted(&caller.owner, action, servers).await?;
        let host = self.capabilities(wanted.iter().map(|(s, _)| s)).await?;
        let mut proofs = Vec::with_capacity(wanted.len());
        for (server, holding) in &wanted {
            let host = host.as_ref().filter(|_| server.node == self.node);
            proofs.push(judge_power(kind, server, holding.as_ref(), host).clear()?);
        }
        let batch = self.members_of(wanted.iter().map(|(s, _)| &s.id));
        let mut work = Vec::with_capacity(wanted.len());
        for (((server, _), proof), member) in wanted.into_iter().zip(proofs).zip(&batch) {
            let input = PowerInput {
                server: server.id.clone(),
                was: server.power,
                how,
                batch: first_only(&batch, work.is_empty()),
            };
            let title = format!("{action} {}", server.name);
            let plan = plan(&procedure, title, vec![server.resource()]);
            let job = member.job.clone();
            let new_job = self.cleared_job(proof, caller, job, plan, &server.node, &input)?;
            work.push((new_job, self.power_rows(caller, kind, server, passing)));
        }
        Ok(jobs(self.submit_batch(batch, work).await?))
    }

    /// Gives servers back: they are stopped, and wait to be terminated. Their
    /// data disks are detached on the way when `with_data_disks` says so, so
    /// that they can go to others, else when the server is terminated. As
    /// [`Servers::start`].
    ///
    /// # Errors
    /// As [`Servers::start`].
    pub async fn isolate(
        &self,
        caller: &Caller,
        servers: &[String],
        with_data_disks: bool,
    ) -> Result<Vec<JobId>, Refusal> {
        if let Some(job) = self.earlier(caller).await? {
            return Ok(jobs(self.members(&job).await?));
        }
        let wanted = self.wanted(&caller.owner, "isolate", servers).await?;
        let mut proofs = Vec::with_capacity(wanted.len());
        for (server, holding) in &wanted {
            proofs.push(preflight::isolate(server, holding.as_ref()).clear()?);
        }
        let batch = self.members_of(wanted.iter().map(|(s, _)| &s.id));
        let asked = self.clock.now();
        let mut work = Vec::with_capacity(wanted.len());
        for (((server, _), proof), member) in wanted.into_iter().zip(proofs).zip(&batch) {
            let detach = if with_data_disks {
                self.data_disks(&server).await?
            } else {
                Vec::new()
            };
            let input = IsolateInput {
                server: server.id.clone(),
                was: server.power,
                detach: detach.clone(),
                asked,
                batch: first_only(&batch, work.is_empty()),
            };
            let plan = plan(
                &IsolateServer(self.runtime.clone()),
                format!("give back {}", server.name),
                claims_with(&server, &detach),
            );
            let job = member.job.clone();
            let new_job = self.cleared_job(proof, caller, job, plan, &server.node, &input)?;
            let id = server.id.clone();
            let power = self.power_rows(caller, OperationKind::Isolate, server, Power::Stopping);
            let rows: Rows = Box::new(move |tx| {
                if with_data_disks {
                    same_disks(tx, "isolate", &id, &detach)?;
                }
                power(tx)
            });
            work.push((new_job, rows));
        }
        Ok(jobs(self.submit_batch(batch, work).await?))
    }

    /// Removes servers that were given back, or could not be made. A disk that
    /// Backout made goes with its restore points; a user's file stays where it
    /// is with its own, as do data disks. As [`Servers::start`].
    ///
    /// # Errors
    /// As [`Servers::start`].
    pub async fn terminate(
        &self,
        caller: &Caller,
        servers: &[String],
    ) -> Result<Vec<JobId>, Refusal> {
        if let Some(job) = self.earlier(caller).await? {
            return Ok(jobs(self.members(&job).await?));
        }
        let wanted = self.wanted(&caller.owner, "terminate", servers).await?;
        let mut proofs = Vec::with_capacity(wanted.len());
        for (server, holding) in &wanted {
            proofs.push(preflight::terminate(server, holding.as_ref()).clear()?);
        }
        let batch = self.members_of(wanted.iter().map(|(s, _)| &s.id));
        let mut work = Vec::with_capacity(wanted.len());
        for (((server, _), proof), member) in wanted.into_iter().zip(proofs).zip(&batch) {
            let disks = self.data_disks(&server).await?;
            let input = TerminateInput {
                server: server.id.clone(),
                was: server.power,
                batch: first_only(&batch, work.is_empty()),
            };
            let plan = plan(
                &TerminateServer(self.runtime.clone()),
                format!("terminate {}", server.name),
                claims_with(&server, &disks),
            );
            let job = member.job.clone();
            let new_job = self.cleared_job(proof, caller, job, plan, &server.node, &input)?;
            let id = server.id.clone();
            let power =
                self.power_rows(caller, OperationKind::Terminate, server, Power::Terminating);
            let rows: Rows = Box::new(move |tx| {
                same_disks(tx, "terminate", &id, &disks)?;
                power(tx)
            });
            work.push((new_job, rows));
        }
        Ok(jobs(self.submit_batch(batch, work).await?))
    }

    /// Makes a server's system disk anew of an image: the one of this id or
    /// name, else the one that it was made of. Undoing the job brings the old
    /// disk back.
    ///
    /// # Errors
    /// The first blocker of the preflight.
    pub async fn reset(
        &self,
        caller: &Caller,
        server: &str,
        blueprint: Option<&str>,
    ) -> Result<JobId, Refusal> {
        if let Some(job) = self.earlier(caller).await? {
            return Ok(job);
        }
        let target = self
            .target(&caller.owner, DiskRef::Of(server.to_owned()))
            .await?;
        let Some(server) = target.host.clone() else {
            return Err(Refusal::ServerNotFound(server.to_owned()));
        };
        let blueprint = self.image_of(&caller.owner, &server, blueprint).await?;
        let (checked, stop, size_bytes) = self.judge_reset(&target, &blueprint).await?;
        let cleared = checked.clear()?;
        let entropy = self.entropy.as_ref();
        let now = self.clock.now();
        let becomes = Becomes {
            from: identity(&server),
            to: Identity {
                disk: DiskId::random(entropy),
                blueprint: Some(blueprint.id.clone()),
                machine: server.machine.clone().map(|spec| Spec {
                    boot: blueprint.boot.clone(),
                    ..spec
                }),
            },
        };
        let input = ResetInput {
            server: server.id.clone(),
            disk: Volume {
                size_bytes,
                ..server.disk.clone()
            },
            becomes,
            image: image_file(&blueprint),
            image_name: blueprint.name.clone(),
            safety: SnapshotId::random(entropy).into(),
            stop,
            asked: now,
        };
        let new_job = self.cleared_job(
            cleared,
            caller,
            JobId::random(entropy),
            plan(
                &ResetServer(self.runtime.clone()),
                format!("reset {} to image {}", server.name, blueprint.name),
                create_claims(&server.id, &blueprint.id),
            ),
            &server.node,
            &input,
        )?;
        let operation = self.operation(OperationKind::Reset, caller, now);
        let submitted = self
            .submit(new_job, move |tx| {
                still_image(tx, &blueprint.id)?;
                unchanged(tx, "reset", &server)?;
                let subject = Subject::Server(server.id);
                Ok(persistence::set_subject_operation(
                    tx, &subject, &operation,
                )?)
            })
            .await?;
        Ok(submitted.id)
    }

    /// The image that a server is to be reset to.
    async fn image_of(
        &self,
        owner: &AccountId,
        server: &Server,
        wanted: Option<&str>,
    ) -> Result<Blueprint, Refusal> {
        match (wanted, &server.blueprint) {
            (Some(wanted), _) => self.blueprint(owner, wanted).await,
            (None, Some(id)) => self.blueprint(owner, id.as_str()).await,
            (None, None) => Err(Refusal::Invalid(format!(
                "reset server {}: it was made of no image, so name one",
                server.id
            ))),
        }
    }

    /// The judgement on a reset, whether the server is stopped for it, and how
    /// large its disk is, in bytes.
    async fn judge_reset(
        &self,
        target: &Target,
        blueprint: &Blueprint,
    ) -> Result<(Checked, bool, u64), Refusal> {
        let facts = self.look(target, None).await?;
        let stop = preflight::must_stop(target, &facts);
        let size_bytes = facts.size_bytes(&target.volume);
        let room = if target.node == self.node && blueprint.node == self.node {
            let (volume, image) = (target.volume.clone(), image_file(blueprint));
            let looked = blocking(move || {
                let folder = volume.head.parent().unwrap_or(Path::new("/"));
                let source = Some((image.file.as_path(), image.format));
                Ok(backout_disks::space_needed_image(
                    folder,
                    volume.driver,
                    volume.format,
                    source,
                ))
            });
            Some(looked.await?)
        } else {
            None
        };
        let checked = preflight::reset(target, blueprint, facts, room);
        Ok((checked, stop, size_bytes))
    }

    /// Renames servers, all of them or none. A name is unique for its owner, so
    /// several get `-1`, `-2` and so on behind it.
    ///
    /// # Errors
    /// [`Refusal::ServerNotFound`], [`Refusal::Invalid`], [`Refusal::Taken`],
    /// [`Refusal::ServerBusy`], [`Refusal::ServerCreating`],
    /// [`Refusal::Store`].
    pub async fn rename(
        &self,
        caller: &Caller,
        servers: &[String],
        name: &str,
    ) -> Result<(), Refusal> {
        check_batch("rename", servers)?;
        let names = numbered(name, servers.len());
        for name in &names {
            check_name("server", name)?;
        }
        let mut operation = self.operation(OperationKind::Rename, caller, self.clock.now());
        operation.state = OperationState::Success;
        let (owner, servers) = (caller.owner.clone(), servers.to_vec());
        self.store
            .write(move |tx| {
                let mut found = Vec::with_capacity(servers.len());
                for wanted in &servers {
                    let server = server_of(tx, &owner, wanted)?;
                    let holding = holding_of(tx, &server.resource())?;
                    preflight::rename(&server, holding.as_ref()).clear()?;
                    found.push(server);
                }
                distinct("rename", &found)?;
                // Out of each other's way first: one may have the name that
                // another is to get.
                for server in &found {
                    persistence::rename_server(tx, server, server.id.as_str())?;
                }
                for (server, name) in found.iter().zip(names) {
                    if !persistence::rename_server(tx, server, &name)? {
                        return Err(Refusal::Taken(name));
                    }
                    let subject = Subject::Server(server.id.clone());
                    persistence::set_subject_operation(tx, &subject, &operation)?;
                }
                Ok(())
            })
            .await
    }

    /// What each of these servers refuses now, of start, stop, reboot, isolate,
    /// terminate, rename, reset (to the image it was made of), the taking of a
    /// snapshot, the making of an image (without being stopped for it), and the
    /// attaching of a disk.
    ///
    /// # Errors
    /// [`Refusal::ServerNotFound`], [`Refusal::Store`].
    pub async fn denied_on_servers(
        &self,
        owner: &AccountId,
        ids: &[String],
    ) -> Result<Vec<(InstanceId, Vec<Denied>)>, Refusal> {
        let mut out = Vec::with_capacity(ids.len());
        for id in ids {
            let target = self.target(owner, DiskRef::Of(id.clone())).await?;
            let Some(server) = target.host.clone() else {
                return Err(Refusal::ServerNotFound(id.clone()));
            };
            let holding = target.host_holding.clone();
            let holding = holding.as_ref();
            let host = self.capabilities([&server]).await?;
            let host = host.as_ref();
            let mut judged: Vec<(OperationKind, Checked)> = [
                OperationKind::Start,
                OperationKind::Stop,
                OperationKind::Reboot,
            ]
            .into_iter()
            .map(|kind| (kind, judge_power(kind, &server, holding, host)))
            .collect();
            judged.push((OperationKind::Isolate, preflight::isolate(&server, holding)));
            judged.push((
                OperationKind::Terminate,
                preflight::terminate(&server, holding),
            ));
            judged.push((OperationKind::Rename, preflight::rename(&server, holding)));
            let facts = self.look(&target, None).await?;
            judged.push((
                OperationKind::CreateSnapshot,
                preflight::create_snapshot(&target, facts),
            ));
            judged.push((
                OperationKind::CreateBlueprint,
                // As a call that says nothing of it: the server is stopped
                // meanwhile.
                self.judge_image(owner, &target, true).await?,
            ));
            let mut still = Checked::default();
            still.server("attach a disk to", &server, holding);
            judged.push((OperationKind::Attach, still));
            let mut denied: Vec<Denied> = judged
                .into_iter()
                .filter_map(|(action, checked)| {
                    checked
                        .clear()
                        .err()
                        .map(|refusal| Denied { action, refusal })
                })
                .collect();
            // To which image is not known, unless it was made of one.
            let reset = match self.image_of(owner, &server, None).await {
                Ok(blueprint) => {
                    let (checked, ..) = self.judge_reset(&target, &blueprint).await?;
                    checked.clear().err()
                }
                Err(e @ Refusal::Store(_)) => return Err(e),
                Err(_) => {
                    let mut still = Checked::default();
                    still.server("reset", &server, holding);
                    still.clear().err()
                }
            };
            denied.extend(reset.map(|refusal| Denied {
                action: OperationKind::Reset,
                refusal,
            }));
            out.push((server.id, denied));
        }
        Ok(out)
    }

    /// What `owner` has, and may have.
    ///
    /// # Errors
    /// [`Refusal::Store`].
    pub async fn quotas(&self, owner: &AccountId) -> Result<Quotas, Refusal> {
        let owner = owner.clone();
        self.store
            .read(move |tx| {
                let quota = |used, total| Quota { used, total };
                Ok(Quotas {
                    servers: quota(servers_of(tx, &owner)?, SERVERS_MAX),
                    snapshots: quota(
                        persistence::count_snapshots(tx, &owner)?,
                        SNAPSHOTS_PER_SERVER_MAX * SERVERS_MAX
                            + BACKUPS_PER_DISK_MAX * DATA_DISKS_MAX,
                    ),
                    data_disks: quota(data_disks_of(tx, &owner)?, DATA_DISKS_MAX),
                    images: quota(blueprints_of(tx, &owner)?, BLUEPRINTS_MAX),
                })
            })
            .await
    }

    /// Brings the power states of this host's servers in line with their
    /// machines, where no job works on them: a guest may have shut itself down,
    /// and a machine may have come through a crash of Backout. Says how many
    /// were wrong.
    ///
    /// # Errors
    /// [`Refusal::Store`].
    pub async fn reconcile_power(&self) -> Result<u64, Refusal> {
        let (mut corrected, mut after) = (0, None);
        loop {
            let (node, from) = (self.node.clone(), after.clone());
            let page = self
                .store
                .read::<_, Refusal>(move |tx| {
                    Ok(persistence::servers_of_node(
                        tx,
                        &node,
                        from.as_ref(),
                        READ_AT_ONCE,
                    )?)
                })
                .await?;
            let Some(last) = page.last() else {
                return Ok(corrected);
            };
            after = Some(last.id.clone());
            for server in page {
                if self.overtaken(&server).await? && self.correct(server.id).await? {
                    corrected += 1;
                }
            }
        }
    }

    /// Whether the machine of `server` is in another state than its row says.
    async fn overtaken(&self, server: &Server) -> Result<bool, Refusal> {
        if server.machine.is_none() || !matches!(server.power, Power::Running | Power::Stopped) {
            return Ok(false);
        }
        let (machines, id) = (self.runtime.machines.clone(), server.id.clone());
        let state = blocking(move || Ok(machines.state(id.as_str()))).await?;
        Ok(reality(server.power, state).is_some())
    }

    /// Writes what state the machine of server `id` is in.
    async fn correct(&self, id: InstanceId) -> Result<bool, Refusal> {
        let machines = self.runtime.machines.clone();
        self.store
            .write(move |tx| {
                let Some(server) = persistence::server_by_id(tx, &id)? else {
                    return Ok(false);
                };
                if backout_jobs::holder_of(tx, &server.resource())?.is_some() {
                    return Ok(false);
                }
                // Looked at once more: a job may have come and gone since. None
                // can come while this transaction has the row, so what is seen
                // now stays true.
                let Some(power) = reality(server.power, machines.state(id.as_str())) else {
                    return Ok(false);
                };
                persistence::set_power(tx, &id, power)?;
                Ok(true)
            })
            .await
    }

    /// The servers that a call names, each with the job that holds it.
    async fn wanted(
        &self,
        owner: &AccountId,
        action: &'static str,
        servers: &[String],
    ) -> Result<Vec<(Server, Option<Holding>)>, Refusal> {
        check_batch(action, servers)?;
        let (owner, servers) = (owner.clone(), servers.to_vec());
        self.store
            .read(move |tx| {
                let mut found = Vec::with_capacity(servers.len());
                let mut holdings = Vec::with_capacity(servers.len());
                for wanted in &servers {
                    let server = server_of(tx, &owner, wanted)?;
                    holdings.push(holding_of(tx, &server.resource())?);
                    found.push(server);
                }
                distinct(action, &found)?;
                Ok(found.into_iter().zip(holdings).collect())
            })
            .await
    }

    /// What this host can do with machines, when one of `servers` is one here.
    async fn capabilities<'a>(
        &self,
        servers: impl IntoIterator<Item = &'a Server>,
    ) -> Result<Option<Capabilities>, Refusal> {
        let asked = servers
            .into_iter()
            .any(|s| s.machine.is_some() && s.node == self.node);
        if !asked {
            return Ok(None);
        }
        let machines = self.runtime.machines.clone();
        blocking(move || Ok(machines.capabilities()))
            .await
            .map(Some)
    }

    async fn data_disks(&self, server: &Server) -> Result<Vec<DiskId>, Refusal> {
        let id = server.id.clone();
        self.store.read(move |tx| disks_on(tx, &id)).await
    }

    /// One job for each server.
    fn members_of<'a>(&self, servers: impl Iterator<Item = &'a InstanceId>) -> Vec<Member> {
        servers
            .map(|id| Member {
                server: id.clone(),
                job: JobId::random(self.entropy.as_ref()),
            })
            .collect()
    }

    /// All of the call whose first job `job` is.
    async fn members(&self, job: &JobId) -> Result<Vec<Member>, Refusal> {
        let first: Batch = self.input_of(job).await?;
        Ok(first.batch)
    }

    /// The rows that show a server on its way to another state.
    fn power_rows(
        &self,
        caller: &Caller,
        kind: OperationKind,
        server: Server,
        passing: Power,
    ) -> Rows {
        let operation = self.operation(kind, caller, self.clock.now());
        Box::new(move |tx| {
            unchanged(tx, kind.as_str(), &server)?;
            persistence::set_power(tx, &server.id, passing)?;
            let subject = Subject::Server(server.id);
            Ok(persistence::set_subject_operation(
                tx, &subject, &operation,
            )?)
        })
    }

    /// Submits the jobs of one call in one transaction. The first stands for
    /// the whole call when that is repeated.
    async fn submit_batch(
        &self,
        batch: Vec<Member>,
        work: Vec<(NewJob, Rows)>,
    ) -> Result<Vec<Member>, Refusal> {
        let earlier = self
            .store
            .write(move |tx| {
                for (at, (mut new_job, rows)) in work.into_iter().enumerate() {
                    if at > 0 {
                        new_job.idempotency = None;
                    }
                    let submitted = submit_job(tx, &new_job)?;
                    if submitted.repeated {
                        // The same call came twice at once, and the other was
                        // first.
                        return Ok(Some(submitted.id));
                    }
                    rows(tx)?;
                }
                Ok::<_, Refusal>(None)
            })
            .await?;
        self.jobs.wake();
        match earlier {
            Some(job) => self.members(&job).await,
            None => Ok(batch),
        }
    }
}

/// What a server's system disk is now, beside its file.
pub(super) fn identity(server: &Server) -> Identity {
    Identity {
        disk: server.disk.id.clone(),
        blueprint: server.blueprint.clone(),
        machine: server.machine.clone(),
    }
}

/// The file of an image.
pub(super) fn image_file(blueprint: &Blueprint) -> ImageFile {
    ImageFile {
        file: blueprint.file.clone(),
        format: blueprint.format,
    }
}

/// A page without rows: only the total is asked for.
const NOTHING: Page = Page {
    offset: 0,
    limit: 0,
};

fn servers_of(tx: &mut dyn Tx, owner: &AccountId) -> Result<u64, backout_store::Error> {
    Ok(persistence::list_servers(tx, owner, &ServerFilter::default(), NOTHING)?.0)
}

fn data_disks_of(tx: &mut dyn Tx, owner: &AccountId) -> Result<u64, backout_store::Error> {
    let filter = DiskFilter {
        usage: Some(Usage::Data),
        ..DiskFilter::default()
    };
    Ok(persistence::list_disks(tx, owner, &filter, NOTHING)?.0)
}

/// How many images an owner has.
pub(super) fn blueprints_of(
    tx: &mut dyn Tx,
    owner: &AccountId,
) -> Result<u64, backout_store::Error> {
    Ok(persistence::list_blueprints(tx, owner, &BlueprintFilter::default(), NOTHING)?.0)
}

/// Refuses one server more than there may be.
pub(super) fn room_for_server(tx: &mut dyn Tx, owner: &AccountId) -> Result<(), Refusal> {
    let used = servers_of(tx, owner)?;
    preflight::quota("servers", used, 1, SERVERS_MAX).map_or(Ok(()), Err)
}

fn is_taken(tx: &mut dyn Tx, owner: &AccountId, name: &str) -> Result<bool, Refusal> {
    Ok(persistence::find_server(tx, owner, name)?.is_some_and(|s| s.name == name))
}

fn disks_on(tx: &mut dyn Tx, server: &InstanceId) -> Result<Vec<DiskId>, Refusal> {
    let disks = persistence::data_disks_of(tx, server)?;
    Ok(disks.into_iter().map(|d| d.volume.id).collect())
}

/// Refuses a server whose data disks are others than were claimed.
fn same_disks(
    tx: &mut dyn Tx,
    action: &'static str,
    server: &InstanceId,
    claimed: &[DiskId],
) -> Result<(), Refusal> {
    if disks_on(tx, server)? == claimed {
        return Ok(());
    }
    Err(Refusal::Invalid(format!(
        "{action} server {server}: its data disks changed this very moment, try again"
    )))
}

/// Refuses a server that changed since it was judged.
pub(super) fn unchanged(
    tx: &mut dyn Tx,
    action: &'static str,
    judged: &Server,
) -> Result<(), Refusal> {
    let now = persistence::server_by_id(tx, &judged.id)?
        .ok_or_else(|| Refusal::ServerNotFound(judged.id.to_string()))?;
    if now.power == judged.power && now.disk.id == judged.disk.id {
        return Ok(());
    }
    Err(Refusal::ServerState {
        action,
        server: now.id,
        power: now.power,
        hint: "it changed this very moment, try again".into(),
    })
}

/// Refuses an image that is no longer usable; it stays so until the
/// transaction's job has its claim.
fn still_image(tx: &mut dyn Tx, id: &BlueprintId) -> Result<(), Refusal> {
    let now = persistence::lock_blueprint(tx, id)?
        .ok_or_else(|| Refusal::BlueprintNotFound(id.to_string()))?;
    if now.state == BlueprintState::Normal {
        return Ok(());
    }
    Err(Refusal::BlueprintState {
        blueprint: now.id,
        state: now.state,
    })
}

/// What the row should say instead, when the machine is in another state.
fn reality(power: Power, state: Result<State, backout_machines::Error>) -> Option<Power> {
    match (power, state) {
        (Power::Running, Ok(State::Off)) => Some(Power::Stopped),
        (Power::Stopped, Ok(State::On { .. })) => Some(Power::Running),
        _ => None,
    }
}

fn judge_power(
    kind: OperationKind,
    server: &Server,
    holding: Option<&Holding>,
    host: Option<&Capabilities>,
) -> Checked {
    match kind {
        OperationKind::Start => preflight::start(server, holding, host),
        OperationKind::Reboot => preflight::reboot(server, holding, host),
        _ => preflight::stop(server, holding),
    }
}

/// A server's claim, and those of data disks.
fn claims_with(server: &Server, disks: &[DiskId]) -> Vec<String> {
    let mut claims = vec![server.resource()];
    claims.extend(disks.iter().map(crate::model::disk_resource));
    claims
}

/// Many may make disks of one image at a time, so each claims it under a name of
/// its own; who deletes it looks for all of them.
fn create_claims(server: &InstanceId, blueprint: &BlueprintId) -> Vec<String> {
    vec![
        crate::model::resource(server),
        format!("{}{server}", users_of(blueprint)),
    ]
}

/// What the claims of those begin with that make disks of an image.
pub(super) fn users_of(blueprint: &BlueprintId) -> String {
    format!("{}/", blueprint_resource(blueprint))
}

fn create_title(name: &str, drawn: &Drawn) -> String {
    format!(
        "make {name} of image {}, size {}",
        drawn.blueprint.name, drawn.bundle.id
    )
}

fn pairs(members: Vec<Member>) -> Vec<(InstanceId, JobId)> {
    members.into_iter().map(|m| (m.server, m.job)).collect()
}

fn jobs(members: Vec<Member>) -> Vec<JobId> {
    members.into_iter().map(|m| m.job).collect()
}

/// The whole call is written down with its first job.
fn first_only(batch: &[Member], is_first: bool) -> Vec<Member> {
    if is_first { batch.to_vec() } else { Vec::new() }
}

fn check_batch(action: &str, servers: &[String]) -> Result<(), Refusal> {
    if servers.is_empty() || servers.len() > BATCH_MAX {
        return Err(Refusal::Invalid(format!(
            "{action} {} servers at once: give 1 to {BATCH_MAX}",
            servers.len()
        )));
    }
    Ok(())
}

/// Refuses a server that is named twice.
fn distinct(action: &str, servers: &[Server]) -> Result<(), Refusal> {
    for (at, server) in servers.iter().enumerate() {
        if servers[..at].iter().any(|s| s.id == server.id) {
            return Err(Refusal::Invalid(format!(
                "{action} server {} twice at once: name it once",
                server.id
            )));
        }
    }
    Ok(())
}

fn check_forwards(forwards: &[Forward], count: usize) -> Result<(), Refusal> {
    if count > 1 && !forwards.is_empty() {
        return Err(Refusal::Invalid(
            "lead a port of this host into several servers: make them one by one".to_owned(),
        ));
    }
    for (at, forward) in forwards.iter().enumerate() {
        let again = forwards[..at].iter().any(|f| f.host == forward.host);
        if again || forward.host == 0 || forward.guest == 0 {
            return Err(Refusal::Invalid(format!(
                "lead port {} of this host to port {} of the guest: give ports from 1 on, each of the host's once",
                forward.host, forward.guest
            )));
        }
    }
    Ok(())
}

/// `NAME`, or `NAME-1`, `NAME-2` and so on when there are several.
fn numbered(name: &str, count: usize) -> Vec<String> {
    match count {
        1 => vec![name.to_owned()],
        _ => (1..=count).map(|n| format!("{name}-{n}")).collect(),
    }
}

/// The part of the id that is its own, so that no two servers get one name.
fn default_server_name(id: Option<&InstanceId>) -> String {
    let id = id.map_or("", |id| id.as_str());
    let own = id.rsplit('-').next().unwrap_or(id);
    format!("server-{own}")
}

/// As the driver makes disks.
const fn new_disk_format(driver: DriverKind) -> Format {
    match driver {
        DriverKind::Qcow2 => Format::Qcow2,
        DriverKind::Reflink | DriverKind::Copy => Format::Raw,
    }
}

/// A disk to be, in a folder of its own.
fn new_disk(id: DiskId, folder: &Path, driver: DriverKind, size_bytes: u64) -> Volume {
    let format = new_disk_format(driver);
    Volume {
        id,
        head: folder.join(format!("disk.{format}")),
        format,
        driver,
        size_bytes,
    }
}

/// `path` with the links in that part of it followed that is there already: so
/// that what is made in it later has the path that it is known by.
pub(super) fn resolved(path: &Path) -> PathBuf {
    for there in path.ancestors() {
        if let Ok(real) = there.canonicalize() {
            let rest = path.strip_prefix(there).unwrap_or(Path::new(""));
            return real.join(rest);
        }
    }
    path.to_owned()
}

/// The closest folder to `path` that is there already.
pub(super) fn existing(path: &Path) -> &Path {
    path.ancestors()
        .find(|f| f.is_dir())
        .unwrap_or(Path::new("/"))
}

/// Which driver serves the pool best, how many bytes a disk of `image` takes
/// there, and how many are free.
fn look_at_pool(
    folder: &Path,
    image: &ImageFile,
) -> Result<(DriverKind, u64, u64), backout_disks::Error> {
    let there = existing(folder);
    let capabilities = backout_disks::probe(there)?;
    // Where blocks cannot be shared, layers make going back quick.
    let driver = backout_disks::choose(&capabilities, Format::Qcow2, None)?;
    let format = new_disk_format(driver);
    let source = Some((image.file.as_path(), image.format));
    let needed = backout_disks::space_needed_image(folder, driver, format, source)?;
    Ok((driver, needed, capabilities.free_bytes))
}
