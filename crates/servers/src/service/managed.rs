//! An existing disk comes under management, and leaves it.

use std::path::PathBuf;

use backout_core::ids::{DiskId, InstanceId, JobId};
use backout_disks::{Disk, DriverKind, Format};

use super::blueprints::check_boot;
use super::lifecycle::room_for_server;
use super::{Caller, Servers, blocking, check_name, check_tags, insert_server, server_of};
use crate::model::{OperationKind, Power, PowerCommands, Server, Subject, Tag, Volume};
use crate::persistence;
use crate::plan::plan;
use crate::preflight;
use crate::procedures::{Adopt, AdoptInput, Release, ReleaseInput};
use crate::refusal::Refusal;

/// A disk to take under management.
#[derive(Clone, Debug)]
pub struct NewServer {
    /// The server's name.
    pub name: String,
    /// The image file.
    pub disk: PathBuf,
    /// The format of the file, raw or qcow2; when it is left out, the one that it
    /// looks like, unless a guest may have made it look so.
    pub format: Option<Format>,
    /// The driver, when one is asked for.
    pub driver: Option<DriverKind>,
    /// How it is started and stopped.
    pub commands: PowerCommands,
    /// The virtual machine that Backout is to run on it; excludes commands.
    pub machine: Option<backout_machines::Spec>,
    /// Whether it runs now.
    pub running: bool,
    /// Free labels.
    pub tags: Vec<Tag>,
}

impl Servers {
    /// Takes an existing image file under management, in place.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for a bad name, [`Refusal::Machine`] for a machine
    /// that cannot be, [`Refusal::Disk`] for a file that cannot be managed,
    /// [`Refusal::Taken`], [`Refusal::FileTaken`], [`Refusal::Quota`], [`Refusal::Store`].
    pub async fn add(&self, caller: &Caller, new: NewServer) -> Result<(Server, JobId), Refusal> {
        check_name("server", &new.name)?;
        check_tags(&new.tags)?;
        if new.machine.is_some() && new.commands != PowerCommands::default() {
            return Err(Refusal::Invalid(
                "add a server that is a machine and has commands: give one of the two".into(),
            ));
        }
        if new.running && new.commands.stop.is_none() {
            return Err(Refusal::Invalid(
                "add a running server without a stop command: give --stop-cmd, or leave --running out".into(),
            ));
        }
        if let Some(job) = self.earlier(caller).await? {
            let first: AdoptInput = self.input_of(&job).await?;
            return Ok((self.get(&caller.owner, first.server.as_str()).await?, job));
        }
        if let Some(spec) = &new.machine {
            spec.check().map_err(Refusal::Machine)?;
            check_boot(&spec.boot)?;
        }
        let now = self.clock.now();
        let (disk, size_bytes, held) = self
            .existing_disk(new.disk.clone(), new.format, new.driver)
            .await?;
        let entropy = self.entropy.as_ref();
        let job = JobId::random(entropy);
        let server = Server {
            id: InstanceId::random(entropy),
            owner: caller.owner.clone(),
            name: new.name,
            node: self.node.clone(),
            power: Power::Creating,
            commands: new.commands,
            disk: Volume {
                id: DiskId::random(entropy),
                head: disk.head,
                format: disk.format,
                driver: disk.driver,
                size_bytes,
            },
            machine: new.machine,
            made: false,
            bundle: None,
            blueprint: None,
            isolated: None,
            schedule: None,
            latest: Some(self.operation(OperationKind::Adopt, caller, now)),
            created: now,
            tags: new.tags,
        };
        // A machine of ours is started by us; what has its disk open is not it.
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
                vec![server.resource()],
            ),
            &server.node,
            &input,
        )?;
        let added = server.clone();
        let submitted = self
            .submit(new_job, move |tx| {
                room_for_server(tx, &added.owner)?;
                insert_server(tx, &added)
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

    /// Looks at a file that is to come under management: the disk it will be,
    /// its virtual size in bytes, and whether somebody has it open.
    pub(super) async fn existing_disk(
        &self,
        path: PathBuf,
        format: Option<Format>,
        asked: Option<DriverKind>,
    ) -> Result<(Disk, u64, bool), Refusal> {
        let found = blocking(move || {
            let head = backout_disks::canonical_head(&path)?;
            let format = backout_disks::format_of(&head, format)?;
            let folder = head.parent().unwrap_or(&head);
            let driver = backout_disks::choose(&backout_disks::probe(folder)?, format, asked)?;
            let disk = Disk {
                head,
                format,
                driver,
            };
            backout_disks::check_folder(&disk)?;
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
        if found.0.head.to_str().is_none() {
            return Err(Refusal::Invalid(
                "manage a disk whose path is not UTF-8: rename it".into(),
            ));
        }
        Ok(found)
    }

    /// Sets the commands by which a server is started and stopped: `None` leaves
    /// one as it is, `Some(None)` takes it away.
    ///
    /// Allowed at any time, also while a job works on the server or is held on
    /// it: each step reads them when it runs, so that a job which is held for a
    /// wrong command can be retried with a right one.
    ///
    /// # Errors
    /// [`Refusal::ServerNotFound`], [`Refusal::Invalid`] for a server that is a
    /// machine, [`Refusal::Store`].
    pub async fn set_commands(
        &self,
        caller: &Caller,
        server: &str,
        start: Option<Option<String>>,
        stop: Option<Option<String>>,
    ) -> Result<Server, Refusal> {
        let (owner, wanted) = (caller.owner.clone(), server.to_owned());
        self.store
            .write(move |tx| {
                let server = server_of(tx, &owner, &wanted)?;
                if server.machine.is_some() {
                    return Err(Refusal::Invalid(format!(
                        "set the commands of server {}: it is a machine, which is started and stopped without any; leave them out",
                        server.name
                    )));
                }
                persistence::set_commands(tx, &server.id, start.clone(), stop.clone())?;
                server_of(tx, &owner, server.id.as_str())
            })
            .await
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
        let (server, holding) = self.server_and_holding(&caller.owner, server).await?;
        let cleared = preflight::release(&server, holding.as_ref()).clear()?;
        let job = JobId::random(self.entropy.as_ref());
        let operation = self.operation(OperationKind::Release, caller, self.clock.now());
        let title = format!("take {} out of management", server.name);
        let input = ReleaseInput {
            server: server.id.clone(),
        };
        let plan = plan(&Release, title, vec![server.resource()]);
        let new_job = self.cleared_job(cleared, caller, job, plan, &server.node, &input)?;
        let submitted = self
            .submit(new_job, move |tx| {
                let subject = Subject::Server(server.id);
                Ok(persistence::set_subject_operation(
                    tx, &subject, &operation,
                )?)
            })
            .await?;
        Ok(submitted.id)
    }
}
