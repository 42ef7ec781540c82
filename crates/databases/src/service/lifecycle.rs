//! Instances come under management or are made, are restarted, isolated, and
//! go.

use std::collections::HashSet;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use backout_core::code::Code;
use backout_core::ids::{AccountId, DatabaseId, JobId, random_base36};
use backout_core::plan::Finding;
use backout_jobs::Procedure;
use backout_mariadb::doctor::{self, Level};
use backout_mariadb::process::program;
use backout_mariadb::{Endpoint, Password, Session};
use serde::Serialize;

use super::rollback::plan;
use super::{Asked, Caller, Databases, NAME_MAX_CHARS, NewWork, blocking, holding_of, instance_of};
use crate::facts;
use crate::model::{
    Address, BackupConfig, Detail, Facts, Instance, InstanceState, Kind, LocalLogs, Shape, Tag,
    TaskKind,
};
use crate::persistence;
use crate::procedures::adopt::{Adopt, AdoptInput};
use crate::procedures::create::{Create, CreateInput};
use crate::procedures::isolate::{Isolate, IsolateInput};
use crate::procedures::managed;
use crate::procedures::release::{Release, ReleaseInput};
use crate::procedures::remove::{Remove, RemoveInput};
use crate::procedures::restart::{Restart, RestartInput};
use crate::refusal::Refusal;

/// How many instances an account may have. Each has a thread that follows its
/// history.
pub const DATABASES_MAX: u64 = 200;

/// How many servers one call may make (contract: 1 to 100).
pub const MADE_MAX: u32 = 100;

/// How many labels an instance may have.
pub const TAGS_MAX: usize = 50;

/// How many characters a password that we draw has: more than 128 bits.
const PASSWORD_CHARS: usize = 32;

/// Hours that a server may be told to keep its logs (contract).
pub const LOG_HOURS: std::ops::RangeInclusive<u32> = 6..=168;

/// Per cents of the volume that they may take (contract).
pub const LOG_PERCENTS: std::ops::RangeInclusive<u32> = 30..=50;

/// A server that others run, to come under management.
#[derive(Clone)]
pub struct NewInstance {
    /// What people will call it.
    pub name: String,
    /// How it is reached: `mysql://USER:PASSWORD@HOST:PORT`.
    pub url: String,
    /// Labels.
    pub tags: Vec<Tag>,
}

/// Servers to be made, run by us on this host.
#[derive(Clone)]
pub struct NewManaged {
    /// What people will call them, in order; the others get a name that is
    /// drawn.
    pub names: Vec<String>,
    /// How many.
    pub count: u32,
    /// Their size. Half of the memory goes to pages; the rest is only noted.
    pub shape: Shape,
    /// The port of one; a free one when there is none.
    pub port: Option<u16>,
    /// The password of `root`; one that nobody knows when there is none.
    pub password: Option<String>,
    /// Which version it must be, as far as it is written, e.g. `10.11`.
    pub version: Option<String>,
    /// Labels.
    pub tags: Vec<Tag>,
}

impl std::fmt::Debug for NewInstance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewInstance")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for NewManaged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewManaged")
            .field("names", &self.names)
            .field("count", &self.count)
            .field("shape", &self.shape)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl Databases {
    /// Takes a server that others run under management.
    ///
    /// # Errors
    /// [`Refusal::Blocked`] with all that the doctor found to stand in the way;
    /// [`Refusal::Database`] when it cannot be reached; [`Refusal::Taken`],
    /// [`Refusal::Invalid`], [`Refusal::Quota`], [`Refusal::Store`].
    pub async fn add(&self, caller: &Caller, new: NewInstance) -> Result<Asked, Refusal> {
        if let Some(asked) = self.asked_before(caller).await?.pop() {
            return Ok(asked);
        }
        check_name(&new.name)?;
        check_tags(&new.tags)?;
        let endpoint = Endpoint::parse(&new.url).map_err(Refusal::Database)?;
        let facts = self.look_at(endpoint.clone()).await?;
        let id = DatabaseId::random(self.entropy.as_ref());
        let instance = Instance {
            owner: caller.owner.clone(),
            name: new.name,
            node: self.node.clone(),
            kind: Kind::Reached,
            state: InstanceState::Creating,
            address: address_of(&endpoint),
            sealed: self.runtime.seal(&id, &endpoint.to_url())?,
            facts,
            shape: Shape::default(),
            backups: BackupConfig::default(),
            local_logs: LocalLogs::default(),
            tags: new.tags,
            created: self.clock.now(),
            isolated: None,
            id,
        };
        let input = AdoptInput {
            instance: instance.id.clone(),
        };
        let work = self.work(
            caller,
            &Adopt(self.runtime.clone()),
            &instance,
            "take under management",
            TaskKind::Adopt,
            &input,
        )?;
        // Two of one socket differ in it, and that is not on record.
        let by_address = endpoint.socket.is_none();
        let asked = self
            .submit(caller, vec![work], move |tx| {
                if by_address {
                    let Address { host, port, .. } = &instance.address;
                    if let Some(other) =
                        persistence::instance_at(tx, &instance.node, host, *port)?
                    {
                        return Err(Refusal::Invalid(format!(
                            "manage the server at {host}:{port}: it is managed as {other} already; remove that first"
                        )));
                    }
                }
                insert(tx, &instance)
            })
            .await?;
        only(asked)
    }

    /// Changes how the server of an instance is reached.
    ///
    /// # Errors
    /// As [`Databases::add`]; [`Refusal::InstanceNotFound`].
    pub async fn set_url(
        &self,
        owner: &AccountId,
        id_or_name: &str,
        url: &str,
    ) -> Result<(), Refusal> {
        let instance = self.get(owner, id_or_name).await?;
        self.here(&instance)?;
        if instance.kind == Kind::Managed {
            return Err(Refusal::Invalid(format!(
                "change how database {} is reached: it is run by Backout, which knows",
                instance.id
            )));
        }
        let endpoint = Endpoint::parse(url).map_err(Refusal::Database)?;
        let facts = self.look_at(endpoint.clone()).await?;
        let sealed = self.runtime.seal(&instance.id, &endpoint.to_url())?;
        let address = address_of(&endpoint);
        self.store
            .write(move |tx| {
                persistence::set_address(tx, &instance.id, &address, &sealed)?;
                persistence::set_facts(tx, &instance.id, &facts)?;
                Ok(())
            })
            .await
    }

    /// Makes servers on this host, and takes them under management; a job each,
    /// all of them accepted or none.
    ///
    /// # Errors
    /// [`Refusal::Invalid`], [`Refusal::Taken`], [`Refusal::Quota`],
    /// [`Refusal::Store`].
    pub async fn create(&self, caller: &Caller, new: NewManaged) -> Result<Vec<Asked>, Refusal> {
        let before = self.asked_before(caller).await?;
        if !before.is_empty() {
            return Ok(before);
        }
        let (work, instances) = self.to_make(caller, new).await?;
        self.submit(caller, work, move |tx| {
            instances
                .iter()
                .try_for_each(|instance| insert(tx, instance))
        })
        .await
    }

    /// What [`Databases::create`] would refuse, without making anything.
    ///
    /// # Errors
    /// As [`Databases::create`].
    pub async fn check_create(&self, caller: &Caller, new: NewManaged) -> Result<(), Refusal> {
        let (_, instances) = self.to_make(caller, new).await?;
        self.store
            .read(move |tx| {
                let Some(first) = instances.first() else {
                    return Ok(());
                };
                let has = persistence::count_instances(tx, &first.owner)?;
                room_for(has, instances.len() as u64)?;
                let mut names = HashSet::new();
                for instance in &instances {
                    let known = persistence::name_is_taken(tx, &instance.owner, &instance.name)?;
                    if known || !names.insert(&instance.name) {
                        return Err(Refusal::Taken(instance.name.clone()));
                    }
                }
                Ok(())
            })
            .await
    }

    /// The servers that are to be made, with their jobs.
    async fn to_make(
        &self,
        caller: &Caller,
        new: NewManaged,
    ) -> Result<(Vec<NewWork>, Vec<Instance>), Refusal> {
        if new.count == 0 || new.count > MADE_MAX {
            return Err(Refusal::Invalid(format!(
                "make {} database servers: one call makes 1 to {MADE_MAX}",
                new.count
            )));
        }
        let count = usize::try_from(new.count).unwrap_or(usize::MAX);
        if new.names.len() > count || (new.port.is_some() && count > 1) {
            return Err(Refusal::Invalid(format!(
                "make {count} database servers: at most as many names can be given, and a port only for one"
            )));
        }
        check_tags(&new.tags)?;
        check_shape(&new.shape)?;
        let wanted = new.version.clone();
        let version = blocking(move || installed(wanted.as_deref())).await?;
        let mut taken = Vec::new();
        let mut work = Vec::with_capacity(count);
        let mut instances = Vec::with_capacity(count);
        for index in 0..count {
            let id = DatabaseId::random(self.entropy.as_ref());
            let name = match new.names.get(index).filter(|name| !name.is_empty()) {
                Some(name) => name.clone(),
                None => format!("db-{}", random_base36(self.entropy.as_ref(), 8)),
            };
            check_name(&name)?;
            let port = match new.port {
                Some(port) => port,
                None => free_port(&mut taken)?,
            };
            let instance = self.to_be_made(caller, id, name, port, &new, &version)?;
            let root = new.password.clone().unwrap_or_else(|| self.draw_password());
            let root = self
                .runtime
                .secrets
                .seal(&managed::root_binding(&instance.id), &root)
                .map_err(Refusal::Secret)?;
            let input = CreateInput {
                instance: instance.id.clone(),
                root,
            };
            work.push(self.work(
                caller,
                &Create(self.runtime.clone()),
                &instance,
                "make",
                TaskKind::Create,
                &input,
            )?);
            instances.push(instance);
        }
        Ok((work, instances))
    }

    pub(super) fn to_be_made(
        &self,
        caller: &Caller,
        id: DatabaseId,
        name: String,
        port: u16,
        new: &NewManaged,
        version: &str,
    ) -> Result<Instance, Refusal> {
        let password = Password::new(self.draw_password());
        let endpoint = managed::endpoint(&self.runtime, &id, port, password);
        Ok(Instance {
            owner: caller.owner.clone(),
            name,
            node: self.node.clone(),
            kind: Kind::Managed,
            state: InstanceState::Creating,
            address: address_of(&endpoint),
            sealed: self.runtime.seal(&id, &endpoint.to_url())?,
            facts: Facts {
                version: version.to_owned(),
                ..Facts::default()
            },
            shape: new.shape.clone(),
            backups: BackupConfig::default(),
            local_logs: LocalLogs::default(),
            tags: new.tags.clone(),
            created: self.clock.now(),
            isolated: None,
            id,
        })
    }

    fn draw_password(&self) -> String {
        random_base36(self.entropy.as_ref(), PASSWORD_CHARS)
    }

    /// Restarts a server that we run.
    ///
    /// # Errors
    /// [`Refusal::NotManaged`], [`Refusal::State`], [`Refusal::Busy`],
    /// [`Refusal::InstanceNotFound`], [`Refusal::Store`].
    pub async fn restart(&self, caller: &Caller, id_or_name: &str) -> Result<Asked, Refusal> {
        only(self.restart_all(caller, &[id_or_name.to_owned()]).await?)
    }

    /// Restarts servers that we run: one job each, all of them accepted or
    /// none.
    ///
    /// # Errors
    /// As [`Databases::restart`].
    pub async fn restart_all(
        &self,
        caller: &Caller,
        ids_or_names: &[String],
    ) -> Result<Vec<Asked>, Refusal> {
        let action = "restart";
        let before = self.asked_before(caller).await?;
        if !before.is_empty() {
            return Ok(before);
        }
        let mut work = Vec::with_capacity(ids_or_names.len());
        for id_or_name in ids_or_names {
            let instance = self.get(&caller.owner, id_or_name).await?;
            if instance.kind == Kind::Reached {
                return Err(Refusal::NotManaged {
                    action,
                    instance: instance.id,
                });
            }
            let input = RestartInput {
                instance: instance.id.clone(),
            };
            let one = self.work(
                caller,
                &Restart(self.runtime.clone()),
                &instance,
                action,
                TaskKind::Restart,
                &input,
            )?;
            work.push((instance, one));
        }
        let change = Change {
            action,
            from: InstanceState::Running,
            to: InstanceState::Running,
        };
        self.change_all(caller, change, work).await
    }

    /// Isolates an instance: a server that we run is stopped, one that others
    /// run is left alone and not followed any more.
    ///
    /// # Errors
    /// As [`Databases::restart`].
    pub async fn isolate(&self, caller: &Caller, id_or_name: &str) -> Result<Asked, Refusal> {
        let action = "isolate";
        if let Some(asked) = self.asked_before(caller).await?.pop() {
            return Ok(asked);
        }
        let instance = self.get(&caller.owner, id_or_name).await?;
        let input = IsolateInput {
            instance: instance.id.clone(),
            kind: instance.kind,
        };
        let work = self.work(
            caller,
            &Isolate(self.runtime.clone()),
            &instance,
            action,
            TaskKind::Isolate,
            &input,
        )?;
        let change = Change {
            action,
            from: InstanceState::Running,
            to: InstanceState::Isolating,
        };
        self.change(caller, instance, change, work).await
    }

    /// Brings an isolated instance back.
    ///
    /// # Errors
    /// As [`Databases::restart`].
    pub async fn release(&self, caller: &Caller, id_or_name: &str) -> Result<Asked, Refusal> {
        let action = "bring back";
        if let Some(asked) = self.asked_before(caller).await?.pop() {
            return Ok(asked);
        }
        let instance = self.get(&caller.owner, id_or_name).await?;
        let input = ReleaseInput {
            instance: instance.id.clone(),
            kind: instance.kind,
        };
        let work = self.work(
            caller,
            &Release(self.runtime.clone()),
            &instance,
            action,
            TaskKind::Release,
            &input,
        )?;
        let change = Change {
            action,
            from: InstanceState::Isolated,
            to: InstanceState::Isolated,
        };
        self.change(caller, instance, change, work).await
    }

    /// Removes an isolated instance, with its history and its backups: for
    /// good. A server that others run is only forgotten.
    ///
    /// # Errors
    /// As [`Databases::restart`].
    pub async fn remove(&self, caller: &Caller, id_or_name: &str) -> Result<Asked, Refusal> {
        only(
            self.remove_some(caller, &[id_or_name.to_owned()], false)
                .await?,
        )
    }

    /// As [`Databases::remove`], several: one job each, all of them accepted or
    /// none.
    ///
    /// # Errors
    /// As [`Databases::restart`].
    pub async fn remove_all(
        &self,
        caller: &Caller,
        ids_or_names: &[String],
    ) -> Result<Vec<Asked>, Refusal> {
        self.remove_some(caller, ids_or_names, false).await
    }

    /// As [`Databases::remove`], but the files of its history and its backups
    /// stay.
    ///
    /// # Errors
    /// As [`Databases::restart`].
    pub async fn remove_keeping_history(
        &self,
        caller: &Caller,
        id_or_name: &str,
    ) -> Result<Asked, Refusal> {
        only(
            self.remove_some(caller, &[id_or_name.to_owned()], true)
                .await?,
        )
    }

    async fn remove_some(
        &self,
        caller: &Caller,
        ids_or_names: &[String],
        keep: bool,
    ) -> Result<Vec<Asked>, Refusal> {
        let action = "remove";
        let before = self.asked_before(caller).await?;
        if !before.is_empty() {
            return Ok(before);
        }
        let mut work = Vec::with_capacity(ids_or_names.len());
        for id_or_name in ids_or_names {
            let instance = self.get(&caller.owner, id_or_name).await?;
            let input = RemoveInput {
                instance: instance.id.clone(),
                kind: instance.kind,
                keep,
            };
            let one = self.work(
                caller,
                &Remove(self.runtime.clone()),
                &instance,
                action,
                TaskKind::Remove,
                &input,
            )?;
            work.push((instance, one));
        }
        let change = Change {
            action,
            from: InstanceState::Isolated,
            to: InstanceState::Removing,
        };
        self.change_all(caller, change, work).await
    }

    /// Renames an instance.
    ///
    /// # Errors
    /// [`Refusal::Taken`], [`Refusal::Invalid`],
    /// [`Refusal::InstanceNotFound`], [`Refusal::Store`].
    pub async fn rename(
        &self,
        owner: &AccountId,
        id_or_name: &str,
        name: &str,
    ) -> Result<(), Refusal> {
        check_name(name)?;
        let (owner, wanted, name) = (owner.clone(), id_or_name.to_owned(), name.to_owned());
        self.store
            .write(move |tx| {
                let instance = instance_of(tx, &owner, &wanted)?;
                match persistence::rename_instance(tx, &instance, &name)? {
                    true => Ok(()),
                    false => Err(Refusal::Taken(name)),
                }
            })
            .await
    }

    /// Sets how long the server itself keeps its logs: the server is told the
    /// hours; the share of the volume is only noted.
    ///
    /// # Errors
    /// [`Refusal::Invalid`]; [`Refusal::Database`] when the server refuses it;
    /// [`Refusal::InstanceNotFound`], [`Refusal::Store`].
    pub async fn set_local_logs(
        &self,
        owner: &AccountId,
        id_or_name: &str,
        logs: LocalLogs,
    ) -> Result<(), Refusal> {
        if !LOG_HOURS.contains(&logs.hours) || !LOG_PERCENTS.contains(&logs.percent) {
            return Err(Refusal::Invalid(format!(
                "keep binary logs for {} hours in {} per cent: give {} to {} hours, {} to {} per cent",
                logs.hours,
                logs.percent,
                LOG_HOURS.start(),
                LOG_HOURS.end(),
                LOG_PERCENTS.start(),
                LOG_PERCENTS.end()
            )));
        }
        let instance = self.get(owner, id_or_name).await?;
        let id = instance.id.clone();
        self.ask(instance, move |session| managed::keep_logs(session, logs))
            .await?;
        self.store
            .write(move |tx| Ok(persistence::set_local_logs(tx, &id, logs)?))
            .await
    }

    /// A job on an instance, with its task.
    pub(super) fn work<P: Procedure>(
        &self,
        caller: &Caller,
        procedure: &P,
        instance: &Instance,
        action: &str,
        kind: TaskKind,
        input: &impl Serialize,
    ) -> Result<NewWork, Refusal> {
        let title = format!("{action} database {}", instance.name);
        let id = JobId::random(self.entropy.as_ref());
        let plan = plan(procedure, instance, &title);
        Ok(NewWork {
            job: self.job(caller, id, plan, &instance.node, input)?,
            instance: instance.id.clone(),
            kind,
            detail: Detail::default(),
        })
    }

    /// Submits what moves an instance from one state of its life to another.
    async fn change(
        &self,
        caller: &Caller,
        instance: Instance,
        change: Change,
        work: NewWork,
    ) -> Result<Asked, Refusal> {
        only(
            self.change_all(caller, change, vec![(instance, work)])
                .await?,
        )
    }

    /// Submits what moves instances from one state of their life to another:
    /// all of it, or nothing.
    async fn change_all(
        &self,
        caller: &Caller,
        change: Change,
        work: Vec<(Instance, NewWork)>,
    ) -> Result<Vec<Asked>, Refusal> {
        let (instances, work): (Vec<_>, Vec<_>) = work.into_iter().unzip();
        // Again in the transaction: but a job that is there is told better
        // before.
        let before = instances.clone();
        self.store
            .read(move |tx| {
                for before in &before {
                    if let Some(holding) = holding_of(tx, &before.resource())? {
                        return Err(Refusal::Busy {
                            instance: before.id.clone(),
                            job: holding.job,
                            kind: holding.kind,
                            held: holding.held,
                        });
                    }
                    change.allowed(before)?;
                }
                Ok(())
            })
            .await?;
        self.submit(caller, work, move |tx| {
            for instance in &instances {
                let now = persistence::instance_by_id(tx, &instance.id)?
                    .ok_or_else(|| Refusal::InstanceNotFound(instance.id.to_string()))?;
                change.allowed(&now)?;
                persistence::set_state(tx, &now.id, change.to)?;
            }
            Ok(())
        })
        .await
    }

    /// Examines a server that is to be managed, and asks it about itself.
    async fn look_at(&self, endpoint: Endpoint) -> Result<Facts, Refusal> {
        let now = self.clock.now();
        blocking(move || {
            let mut session = Session::open(&endpoint).map_err(Refusal::Database)?;
            let findings = doctor::examine(&mut session).map_err(Refusal::Database)?;
            let blockers = blockers(&findings);
            if !blockers.is_empty() {
                return Err(Refusal::Blocked(blockers));
            }
            facts::look(&mut session, now).map_err(Refusal::Database)
        })
        .await
    }
}

/// A step in the life of an instance.
#[derive(Clone, Copy)]
struct Change {
    action: &'static str,
    from: InstanceState,
    to: InstanceState,
}

impl Change {
    fn allowed(self, instance: &Instance) -> Result<(), Refusal> {
        let hint = match instance.state {
            state if state == self.from => return Ok(()),
            InstanceState::Creating => "wait until it runs",
            InstanceState::Running => "isolate it first",
            InstanceState::Isolating => "wait until that is done",
            InstanceState::Isolated => "bring it back first",
            InstanceState::Removing => "it will be gone",
        };
        Err(Refusal::State {
            action: self.action,
            instance: instance.id.clone(),
            state: instance.state,
            hint,
        })
    }
}

/// What of the doctor's findings stands in the way.
pub(crate) fn blockers(findings: &[doctor::Finding]) -> Vec<Finding> {
    findings
        .iter()
        .filter(|finding| finding.level == Level::Blocker)
        .map(|finding| Finding {
            code: Code::DatabaseSettings,
            message: match finding.fix.is_empty() {
                true => finding.why.clone(),
                false => format!("{}: {}", finding.why, finding.fix),
            },
        })
        .collect()
}

/// The only one of what a call asked for.
pub(super) fn only(asked: Vec<Asked>) -> Result<Asked, Refusal> {
    asked
        .into_iter()
        .next()
        .ok_or_else(|| Refusal::Failed("start a job: none was made".to_owned()))
}

pub(super) fn insert(tx: &mut dyn backout_store::Tx, instance: &Instance) -> Result<(), Refusal> {
    let has = persistence::count_instances(tx, &instance.owner)?;
    room_for(has, 1)?;
    match persistence::insert_instance(tx, instance)? {
        true => Ok(()),
        false => Err(Refusal::Taken(instance.name.clone())),
    }
}

/// Refuses more instances than an owner may have.
pub(super) fn room_for(has: u64, more: u64) -> Result<(), Refusal> {
    if has.saturating_add(more) <= DATABASES_MAX {
        return Ok(());
    }
    Err(Refusal::Quota(format!(
        "have {more} more databases: there are {has} of at most {DATABASES_MAX}; remove some first"
    )))
}

fn address_of(endpoint: &Endpoint) -> Address {
    Address {
        host: endpoint.host.clone(),
        port: endpoint.port,
        user: endpoint.user.clone(),
    }
}

pub(super) fn check_shape(shape: &Shape) -> Result<(), Refusal> {
    if shape.memory_mb == 0 || shape.volume_gb == 0 || shape.cpu == 0 {
        return Err(Refusal::Invalid(
            "make a database server without memory, disk or processor: give each at least 1"
                .to_owned(),
        ));
    }
    Ok(())
}

pub(super) fn check_name(name: &str) -> Result<(), Refusal> {
    let invalid = |why: &str| Err(Refusal::Invalid(format!("use the name {name:?}: {why}")));
    if name.trim() != name || name.is_empty() {
        return invalid("it is empty, or begins or ends with a space; use another");
    }
    if name.chars().count() > NAME_MAX_CHARS {
        return invalid("it is longer than 60 characters; shorten it");
    }
    if name.chars().any(char::is_control) {
        return invalid("it has a control character; leave that out");
    }
    if name.parse::<DatabaseId>().is_ok() {
        return invalid("it looks like an id; use another");
    }
    Ok(())
}

fn check_tags(tags: &[Tag]) -> Result<(), Refusal> {
    if tags.len() > TAGS_MAX {
        return Err(Refusal::Invalid(format!(
            "put {} labels on a database: at most {TAGS_MAX} fit",
            tags.len()
        )));
    }
    let repeated = tags
        .iter()
        .enumerate()
        .find(|(i, tag)| tags[..*i].iter().any(|t| t.key == tag.key));
    if let Some((_, tag)) = repeated {
        return Err(Refusal::Invalid(format!(
            "put the label {:?} on a database twice: give it once",
            tag.key
        )));
    }
    Ok(())
}

/// The version of the server that is installed here, when it is the one that is
/// wanted.
pub(super) fn installed(wanted: Option<&str>) -> Result<String, Refusal> {
    let failed = |why: String| Refusal::Failed(format!("make a database server: {why}"));
    let daemon = program("mariadbd").map_err(|e| failed(e.to_string()))?;
    let said = Command::new(&daemon)
        .arg("--version")
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .map_err(|e| failed(format!("{} cannot be run: {e}", daemon.display())))?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let version = said
        .split_once("Ver ")
        .and_then(|(_, rest)| rest.split_whitespace().next())
        .ok_or_else(|| failed(format!("{} tells no version", daemon.display())))?;
    let fits = wanted.is_none_or(|wanted| {
        version
            .strip_prefix(wanted)
            .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
    });
    match fits {
        true => Ok(version.to_owned()),
        false => Err(Refusal::Invalid(format!(
            "make a database server: version {} is not installed here, but {version}; ask for that, or for none",
            wanted.unwrap_or_default()
        ))),
    }
}

/// A port of this host that nobody listens on now; kept apart from the ones
/// that were found before.
pub(super) fn free_port(taken: &mut Vec<TcpListener>) -> Result<u16, Refusal> {
    let listener = TcpListener::bind((managed::BIND, 0));
    let port = listener.and_then(|listener| {
        let port = listener.local_addr()?.port();
        taken.push(listener);
        Ok(port)
    });
    port.map_err(|e| Refusal::Failed(format!("find a free port: {e}; give one")))
}
