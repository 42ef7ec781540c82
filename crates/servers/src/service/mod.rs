//! What can be asked of servers and their disks: the one way in for every
//! surface.
//!
//! | file | what is asked there |
//! |---|---|
//! | `mod` | who there is; what all share: claims, jobs, preflights |
//! | `lifecycle` | servers are made of images, started, stopped, and given back |
//! | `blueprints` | those images |
//! | `disks` | data disks come, go to a server, leave it, and go |
//! | `managed` | an existing disk comes under management, and leaves it |
//! | `points` | restore points of any disk, and the way back to them |
//! | `retention` | what is taken, what goes and what is put in order by itself |

mod blueprints;
mod disks;
mod lifecycle;
mod managed;
mod points;
mod retention;

use std::sync::Arc;

use backout_core::ids::{AccountId, BlueprintId, DiskId, Entropy, InstanceId, JobId, PointId};
use backout_core::plan::{Plan, Preflight};
use backout_core::time::{Clock, Timestamp};
pub use backout_jobs::Caller;
use backout_jobs::{Jobs, NewJob, Registry, SubmitError, Submitted};
use backout_store::{Store, Tx};
use serde::Serialize;

pub use self::blueprints::NewBlueprint;
pub use self::disks::{
    BLANK_MAX_BYTES, BLANK_MIN_BYTES, DATA_DISKS_MAX, DISKS_MAX, NewDisk, Source,
};
pub use self::lifecycle::{BATCH_MAX, NewInstances, Quota, Quotas};
pub use self::managed::NewServer;
pub use self::points::{AskedBy, DELETE_MAX};
pub use self::retention::Tended;
use crate::model::{
    Blueprint, Holding, LatestOperation, ManagedDisk, OperationKind, OperationState, Server,
    Subject, Tag,
};
use crate::persistence::{self, DiskFilter, Page, ServerFilter};
use crate::preflight::{self, Cleared, DiskFacts, Target};
use crate::procedures::{
    AddDisk, Adopt, ApplySnapshot, Attach, Compact, CreateBlueprint, CreateServer, CreateSnapshot,
    DeleteBlueprint, DeleteSnapshot, Detach, IsolateServer, RebootServer, Release, RemoveDisk,
    ResetServer, Runtime, StartServer, StopServer, TerminateServer, kind_of,
};
use crate::refusal::Refusal;

/// The longest name of a server or a snapshot, in characters (SEMANTICS
/// section 4).
pub const NAME_MAX_CHARS: usize = 60;

/// The longest name of a backup of a data disk, in characters (contract).
pub const BACKUP_NAME_MAX_CHARS: usize = 90;

/// How many labels a resource may have.
pub const TAGS_MAX: usize = 50;

/// Names a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskRef {
    /// The system disk of the server of this id or name.
    Of(String),
    /// The disk of this id, or the data disk of this name.
    Disk(String),
}

impl From<&Subject> for DiskRef {
    fn from(subject: &Subject) -> Self {
        match subject {
            Subject::Server(id) => Self::Of(id.to_string()),
            Subject::Disk(id) => Self::Disk(id.to_string()),
        }
    }
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
    runtime: Runtime,
    keeper: Arc<retention::Keeper>,
}

impl Servers {
    /// Servers whose disks are on the host `node`, and what works on them
    /// there.
    #[must_use]
    pub fn new(
        store: Store,
        jobs: Jobs,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        node: String,
        runtime: Runtime,
    ) -> Self {
        Self {
            store,
            jobs,
            clock,
            entropy,
            node,
            runtime,
            keeper: Arc::default(),
        }
    }

    /// The kinds of job that a worker for servers must know.
    #[must_use]
    pub fn register(&self, registry: Registry) -> Registry {
        let runtime = &self.runtime;
        registry
            .with(Adopt)
            .with(CreateSnapshot(runtime.clone()))
            .with(Compact(runtime.clone()))
            .with(ApplySnapshot(runtime.clone()))
            .with(DeleteSnapshot)
            .with(Release)
            .with(CreateServer(runtime.clone()))
            .with(StartServer(runtime.clone()))
            .with(StopServer(runtime.clone()))
            .with(RebootServer(runtime.clone()))
            .with(IsolateServer(runtime.clone()))
            .with(TerminateServer(runtime.clone()))
            .with(ResetServer(runtime.clone()))
            .with(CreateBlueprint(runtime.clone()))
            .with(DeleteBlueprint)
            .with(AddDisk)
            .with(RemoveDisk)
            .with(Attach(runtime.clone()))
            .with(Detach(runtime.clone()))
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

    /// One page of disks, newest first unless asked otherwise, and how many
    /// match.
    ///
    /// # Errors
    /// [`Refusal::Store`].
    pub async fn disks(
        &self,
        owner: &AccountId,
        filter: DiskFilter,
        page: Page,
    ) -> Result<(u64, Vec<ManagedDisk>), Refusal> {
        let owner = owner.clone();
        self.store
            .read(move |tx| Ok(persistence::list_disks(tx, &owner, &filter, page)?))
            .await
    }

    /// A disk by id, or a data disk by name.
    ///
    /// # Errors
    /// [`Refusal::DiskNotFound`], [`Refusal::Store`].
    pub async fn disk(&self, owner: &AccountId, id_or_name: &str) -> Result<ManagedDisk, Refusal> {
        let (owner, wanted) = (owner.clone(), id_or_name.to_owned());
        self.store
            .read(move |tx| disk_of(tx, &owner, &wanted))
            .await
    }

    /// A disk, the server that uses it, and who works on the two.
    async fn target(&self, owner: &AccountId, disk: DiskRef) -> Result<Target, Refusal> {
        let owner = owner.clone();
        self.store
            .read(move |tx| target_of(tx, &owner, &disk))
            .await
    }

    /// A server and the job that holds it.
    async fn server_and_holding(
        &self,
        owner: &AccountId,
        wanted: &str,
    ) -> Result<(Server, Option<Holding>), Refusal> {
        let (owner, wanted) = (owner.clone(), wanted.to_owned());
        self.store
            .read(move |tx| {
                let server = server_of(tx, &owner, &wanted)?;
                let holding = holding_of(tx, &server.resource())?;
                Ok((server, holding))
            })
            .await
    }

    /// Looks at a disk, if it is on this host.
    async fn look(
        &self,
        target: &Target,
        point: Option<&backout_disks::Point>,
    ) -> Result<DiskFacts, Refusal> {
        if target.node != self.node {
            return Ok(DiskFacts::elsewhere());
        }
        let (target, point) = (target.clone(), point.cloned());
        let machines = self.runtime.machines.clone();
        blocking(move || Ok(preflight::look(&target, &machines, point.as_ref()))).await
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
        let view = self
            .store
            .read(move |tx| backout_jobs::expect_in(tx, &wanted))
            .await?;
        serde_json::from_value(view.input)
            .map_err(|e| Refusal::Store(backout_store::Error::corrupt(format!("job input: {e}"))))
    }

    fn operation(&self, kind: OperationKind, caller: &Caller, now: Timestamp) -> LatestOperation {
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
        node: &str,
        input: &impl Serialize,
    ) -> Result<NewJob, Refusal> {
        self.job(caller, id, plan, node, input)
    }

    fn job(
        &self,
        caller: &Caller,
        id: JobId,
        plan: Plan,
        node: &str,
        input: &impl Serialize,
    ) -> Result<NewJob, Refusal> {
        Ok(NewJob {
            id,
            procedure: plan.procedure.clone(),
            title: plan.title.clone(),
            account: caller.owner.clone(),
            request: caller.request.clone(),
            node: node.to_owned(),
            // The first claim is what it is about.
            resource: plan.claims.first().cloned().unwrap_or_default(),
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

fn submit_job(tx: &mut dyn Tx, new_job: &NewJob) -> Result<Submitted, Refusal> {
    backout_jobs::submit(tx, new_job).map_err(submit_refused)
}

fn submit_refused(e: SubmitError) -> Refusal {
    match e {
        SubmitError::Busy { resource, job } => {
            // Another was faster than this call, whose preflight had passed.
            let holding = Holding {
                job,
                kind: None,
                held: false,
            };
            let (kind, id) = resource.split_once('/').unwrap_or_default();
            match (kind, id.parse::<InstanceId>(), id.parse::<DiskId>()) {
                ("server", Ok(id), _) => Refusal::server_busy(&id, &holding),
                ("disk", _, Ok(id)) => Refusal::disk_busy(&id, &holding),
                _ => match id.parse() {
                    Ok(blueprint) if kind == "blueprint" => Refusal::BlueprintUsed {
                        blueprint,
                        job: holding.job,
                    },
                    _ => {
                        Refusal::Invalid(format!("claim {resource}: job {} holds it", holding.job))
                    }
                },
            }
        }
        SubmitError::IdempotencyMismatch { .. } => Refusal::IdempotencyMismatch,
        SubmitError::TooManyClaims { .. } => Refusal::Invalid(e.to_string()),
        SubmitError::Store(e) => Refusal::Store(e),
    }
}

/// Adds a server with its disk.
fn insert_server(tx: &mut dyn Tx, server: &Server) -> Result<(), Refusal> {
    let head = &server.disk.head;
    if let Some(user) = persistence::user_of_disk_file(tx, &server.node, head)? {
        return Err(Refusal::file_taken(head, user, &server.owner));
    }
    if persistence::insert_server(tx, server)? {
        return Ok(());
    }
    Err(Refusal::Taken(server.name.clone()))
}

/// Adds a data disk.
fn insert_disk(tx: &mut dyn Tx, disk: &ManagedDisk) -> Result<(), Refusal> {
    let head = &disk.volume.head;
    if let Some(user) = persistence::user_of_disk_file(tx, &disk.node, head)? {
        return Err(Refusal::file_taken(head, user, &disk.owner));
    }
    if persistence::insert_disk(tx, disk)? {
        return Ok(());
    }
    Err(Refusal::Taken(disk.name.clone()))
}

/// Adds an image.
fn insert_blueprint(tx: &mut dyn Tx, blueprint: &Blueprint) -> Result<(), Refusal> {
    let file = &blueprint.file;
    if let Some(user) = persistence::user_of_image_file(tx, &blueprint.node, file)? {
        return Err(Refusal::file_taken(file, user, &blueprint.owner));
    }
    Ok(persistence::insert_blueprint(tx, blueprint)?)
}

fn server_of(tx: &mut dyn Tx, owner: &AccountId, wanted: &str) -> Result<Server, Refusal> {
    persistence::find_server(tx, owner, wanted)?
        .ok_or_else(|| Refusal::ServerNotFound(wanted.to_owned()))
}

/// How many that have one name a refusal tells.
const NAMED_ALIKE: i64 = 5;

/// Refuses a name that several have: to guess which is meant could take a disk
/// back to the wrong state, or delete the wrong image.
fn not_ambiguous<T: std::fmt::Display>(
    what: &'static str,
    name: &str,
    all: &[T],
) -> Result<(), Refusal> {
    if all.len() <= 1 {
        return Ok(());
    }
    let ids: Vec<String> = all.iter().map(ToString::to_string).collect();
    Err(Refusal::Ambiguous {
        what,
        name: name.to_owned(),
        ids: ids.join(", "),
    })
}

fn disk_of(tx: &mut dyn Tx, owner: &AccountId, wanted: &str) -> Result<ManagedDisk, Refusal> {
    persistence::find_disk(tx, owner, wanted)?
        .ok_or_else(|| Refusal::DiskNotFound(wanted.to_owned()))
}

/// The job that keeps new work from `resource`: see [`backout_jobs::busy_with`].
fn holding_of(tx: &mut dyn Tx, resource: &str) -> Result<Option<Holding>, Refusal> {
    let job = backout_jobs::busy_with(tx, resource)?;
    Ok(job.map(|job| Holding {
        kind: kind_of(&job.procedure),
        held: job.is_held(),
        job: job.id,
    }))
}

fn target_of(tx: &mut dyn Tx, owner: &AccountId, wanted: &DiskRef) -> Result<Target, Refusal> {
    let id_or_name = match wanted {
        DiskRef::Of(server) => {
            let server = server_of(tx, owner, server)?;
            let holding = holding_of(tx, &server.resource())?;
            let mut target = Target::system(server, holding);
            target.points = persistence::count_points(tx, &target.subject())?;
            return Ok(target);
        }
        DiskRef::Disk(id_or_name) => id_or_name,
    };
    let disk = disk_of(tx, owner, id_or_name)?;
    let host = match &disk.server {
        None => None,
        Some(id) => persistence::server_by_id(tx, id)?,
    };
    let host_holding = match &host {
        None => None,
        Some(server) => holding_of(tx, &server.resource())?,
    };
    let subject = disk.subject();
    let points = persistence::count_points(tx, &subject)?;
    Ok(Target {
        volume: disk.volume.clone(),
        node: disk.node.clone(),
        host,
        host_holding,
        disk_holding: holding_of(tx, &subject.resource())?,
        disk: Some(disk),
        points,
    })
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

/// Refuses a name that a server, a data disk or an image cannot have.
fn check_name(what: &str, name: &str) -> Result<(), Refusal> {
    check_name_of(what, name, NAME_MAX_CHARS)?;
    // All of them are found by their ids or by their names, and a name that
    // looks like an id could be mistaken for another.
    let is_id = name.parse::<InstanceId>().is_ok()
        || name.parse::<DiskId>().is_ok()
        || name.parse::<BlueprintId>().is_ok()
        || name.parse::<PointId>().is_ok();
    if is_id {
        return Err(Refusal::Invalid(format!(
            "name a {what} {name:?}: it looks like an id, so choose another name"
        )));
    }
    Ok(())
}

fn check_name_of(what: &str, name: &str, max_chars: usize) -> Result<(), Refusal> {
    let chars = name.chars().count();
    if chars == 0 || chars > max_chars || name.chars().any(char::is_control) {
        return Err(Refusal::Invalid(format!(
            "name a {what} {:?}: give 1 to {max_chars} characters, none of them a control character",
            name.chars().take(max_chars).collect::<String>()
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
        assert!(check_name("image", "lhins-web").is_ok());
        let ids = [
            "lhins-aaaaaaaa",
            "lhdisk-f71kc5bh",
            "lhbp-00000000",
            "lhsnap-nv6aqcv6",
        ];
        for bad in ["", "a\nb", &"x".repeat(61)].into_iter().chain(ids) {
            assert!(check_name("server", bad).is_err());
        }
    }
}
