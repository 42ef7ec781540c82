//! What can be asked of data engines: the one way in for every surface.
//!
//! | file | what is asked there |
//! |---|---|
//! | `mod` | who there is; what all share: claims, jobs |
//! | `changes` | engines are made, switched, rolled back, suspended, and go |
//! | `facts` | what such a change depends on, read off the store and this host |
//! | `images` | the catalogue |
//! | `settings` | parameters and descriptions |
//! | `keeper` | what is started again by itself |

mod changes;
pub(crate) mod facts;
mod images;
mod keeper;
mod settings;

use std::net::IpAddr;
use std::sync::Arc;

use backout_core::ids::{AccountId, EngineId, Entropy, JobId, RecordId};
use backout_core::plan::{Plan, Preflight};
use backout_core::time::{Clock, Timestamp};
use backout_jobs::{Jobs, Registry, SubmitError};
use backout_store::{Store, Tx};
use serde::Serialize;

pub use backout_jobs::Caller;

pub use self::changes::{ENGINES_MAX, NewEngine, SIZE_MAX, Update};
pub use self::images::{Added, ImageFilter, ImageOrder, Listed, UpgradeCheck};
pub use self::keeper::{Tended, Trouble};
pub use self::settings::{ConfigOf, Parameter, Storage};
use crate::model::{ChangeKind, Engine, Event, Record, Setup};
use crate::parameters::Migration;
use crate::persistence::{self, EngineFilter, EngineOrder, Page};
use crate::planning::RollbackCheck;
use crate::procedures::change::ChangeEngine;
use crate::procedures::delete::DeleteEngine;
use crate::refusal::Refusal;
use crate::runtime::Runtime;

/// The longest name of an engine, in characters.
pub const NAME_MAX_CHARS: usize = 100;

/// The longest description, in characters.
pub const DESCRIPTION_MAX_CHARS: usize = 1000;

/// Work that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// Its job.
    pub job: JobId,
    /// The engine.
    pub engine: EngineId,
    /// Whether an earlier call with the same idempotency key had asked for it.
    pub repeated: bool,
}

/// A preflight with the plan that would run.
#[derive(Clone, Debug, Serialize)]
pub struct Proposal {
    /// What stands in the way, and what to know.
    pub preflight: Preflight,
    /// The steps.
    pub plan: Plan,
    /// What becomes of cluster parameters.
    pub cluster_parameters: Migration,
    /// What becomes of session parameters.
    pub session_parameters: Migration,
    /// What runs now, or ran last.
    pub from: Option<Setup>,
    /// What is to run.
    pub to: Option<Setup>,
    /// The record that is gone back to.
    pub restores: Option<RecordId>,
    /// Whether the new instance is started beside the old one; else the old one is
    /// stopped first. None where none takes the place of another.
    pub beside: Option<bool>,
}

/// The job that has a claim on an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holding {
    /// The job.
    pub job: JobId,
    /// What it does.
    pub kind: Option<ChangeKind>,
    /// Whether it is held.
    pub held: bool,
}

/// An engine with what a person needs beside its row.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineView {
    /// The engine.
    pub engine: Engine,
    /// The major version: its id and its name; the name is empty when the
    /// catalogue has it no more.
    pub parent: (String, String),
    /// The minor version likewise.
    pub child: Option<(String, String)>,
    /// The image for Python programs likewise.
    pub python: Option<(String, String)>,
    /// Where it answers, e.g. `http://127.0.0.1:32100`.
    pub endpoint: String,
    /// The job that holds it.
    pub holding: Option<Holding>,
}

/// The data engines of this store.
#[derive(Clone)]
pub struct Engines {
    pub(crate) store: Store,
    pub(crate) jobs: Jobs,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) node: String,
    pub(crate) runtime: Runtime,
}

impl std::fmt::Debug for Engines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engines")
            .field("node", &self.node)
            .field("runtime", &self.runtime)
            .finish_non_exhaustive()
    }
}

impl Engines {
    /// Engines whose jobs run on the host `node`, and what works on them there.
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
        }
    }

    /// The kinds of job that a worker for engines must know.
    #[must_use]
    pub fn register(&self, registry: Registry) -> Registry {
        registry
            .with(ChangeEngine(self.runtime.clone()))
            .with(DeleteEngine(self.runtime.clone()))
    }

    /// A number that changes with every commit to the store; `None` where the
    /// store cannot tell it cheaply.
    #[must_use]
    pub fn version(&self) -> Option<u64> {
        self.store.version()
    }

    /// What the work on this host is done with.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The node of this host.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// One page of engines, and how many match.
    ///
    /// # Errors
    /// [`Refusal::Store`].
    pub async fn list(
        &self,
        owner: &AccountId,
        filter: EngineFilter,
        order: (EngineOrder, bool),
        page: Page,
    ) -> Result<(u64, Vec<Engine>), Refusal> {
        let owner = owner.clone();
        self.store
            .read(move |tx| Ok(persistence::list_engines(tx, &owner, &filter, order, page)?))
            .await
    }

    /// An engine by id or name.
    ///
    /// # Errors
    /// [`Refusal::EngineNotFound`], [`Refusal::EngineNotUnique`],
    /// [`Refusal::Store`].
    pub async fn get(&self, owner: &AccountId, id_or_name: &str) -> Result<Engine, Refusal> {
        let (owner, wanted) = (owner.clone(), id_or_name.to_owned());
        self.store
            .read(move |tx| engine_of(tx, &owner, &wanted))
            .await
    }

    /// Engines with what a person needs beside their rows.
    ///
    /// # Errors
    /// [`Refusal::Record`], [`Refusal::Store`].
    pub async fn views(&self, engines: Vec<Engine>) -> Result<Vec<EngineView>, Refusal> {
        let listen = self.runtime.listen;
        self.store
            .read(move |tx| {
                let views = engines.into_iter().map(|e| view_of(tx, e, listen));
                views.collect()
            })
            .await
    }

    /// An engine with what a person needs beside its row.
    ///
    /// # Errors
    /// As [`Engines::get`]; [`Refusal::Record`].
    pub async fn show(&self, owner: &AccountId, id_or_name: &str) -> Result<EngineView, Refusal> {
        let (owner, wanted) = (owner.clone(), id_or_name.to_owned());
        let listen = self.runtime.listen;
        self.store
            .read(move |tx| {
                let engine = engine_of(tx, &owner, &wanted)?;
                view_of(tx, engine, listen)
            })
            .await
    }

    /// The last lines that the instance of an engine wrote; empty when it has
    /// none.
    ///
    /// # Errors
    /// As [`Engines::get`]; [`Refusal::Host`].
    pub async fn output(
        &self,
        owner: &AccountId,
        id_or_name: &str,
        lines: usize,
    ) -> Result<String, Refusal> {
        let engine = self.get(owner, id_or_name).await?;
        self.here(&engine)?;
        let Some(instance) = engine.instance else {
            return Ok(String::new());
        };
        let processes = Arc::clone(&self.runtime.processes);
        let read = move || -> Result<String, Refusal> {
            let id = instance.parse().map_err(host)?;
            let from = backout_workloads::LogFrom::LastLines(lines);
            let chunk = processes.logs(&id, from).map_err(host)?;
            Ok(String::from_utf8_lossy(&chunk.bytes).into_owned())
        };
        tokio::task::spawn_blocking(read)
            .await
            .unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))
    }

    /// Whether the image of an engine can be rolled back, and between which
    /// records of its log.
    ///
    /// # Errors
    /// As [`Engines::get`]; what is met when the records and the version are
    /// read: [`Refusal::Record`], [`Refusal::Image`], [`Refusal::ImageNotOnline`],
    /// [`Refusal::ImageNotUnique`], [`Refusal::ImageKind`].
    pub async fn check_rollback(
        &self,
        owner: &AccountId,
        id_or_name: &str,
    ) -> Result<RollbackCheck, Refusal> {
        let (owner, wanted) = (owner.clone(), id_or_name.to_owned());
        self.store
            .read(move |tx| facts::check_rollback(tx, &owner, &wanted))
            .await
    }

    /// One page of the log of an engine's image, newest first, and how many
    /// records there are.
    ///
    /// # Errors
    /// As [`Engines::get`]; [`Refusal::Record`].
    pub async fn log(
        &self,
        owner: &AccountId,
        id_or_name: &str,
        page: Page,
    ) -> Result<(u64, Vec<Record>), Refusal> {
        let (owner, wanted) = (owner.clone(), id_or_name.to_owned());
        self.store
            .read(move |tx| {
                let engine = engine_of(tx, &owner, &wanted)?;
                persistence::list_records(tx, &engine.id, page)
            })
            .await
    }

    /// One page of what happened to an engine, newest first, and how much there
    /// is.
    ///
    /// # Errors
    /// As [`Engines::get`].
    pub async fn events(
        &self,
        owner: &AccountId,
        id_or_name: &str,
        between: (Option<Timestamp>, Option<Timestamp>),
        page: Page,
    ) -> Result<(u64, Vec<Event>), Refusal> {
        let (owner, wanted) = (owner.clone(), id_or_name.to_owned());
        self.store
            .read(move |tx| {
                let engine = engine_of(tx, &owner, &wanted)?;
                Ok(persistence::list_events(tx, &engine.id, between, page)?)
            })
            .await
    }

    /// Refuses an engine whose jobs run elsewhere.
    pub(crate) fn here(&self, engine: &Engine) -> Result<(), Refusal> {
        if engine.node == self.node {
            return Ok(());
        }
        Err(Refusal::Elsewhere {
            engine: engine.id.clone(),
            node: engine.node.clone(),
        })
    }
}

/// Something of this host failed.
pub(crate) fn host(e: backout_workloads::Error) -> Refusal {
    Refusal::Host(with_cause(&e))
}

/// A message with the operating system's own word behind it.
pub(crate) fn with_cause(e: &dyn std::error::Error) -> String {
    match e.source() {
        Some(cause) => format!("{e}: {cause}"),
        None => e.to_string(),
    }
}

pub(crate) fn engine_of(
    tx: &mut dyn Tx,
    owner: &AccountId,
    wanted: &str,
) -> Result<Engine, Refusal> {
    let mut found = persistence::find_engines(tx, owner, wanted)?;
    match (found.pop(), found.is_empty()) {
        (Some(engine), true) => Ok(engine),
        (Some(_), false) => Err(Refusal::EngineNotUnique(wanted.to_owned())),
        (None, _) => Err(Refusal::EngineNotFound(wanted.to_owned())),
    }
}

fn view_of(tx: &mut dyn Tx, engine: Engine, listen: IpAddr) -> Result<EngineView, Refusal> {
    let uses = persistence::uses(tx, &engine.id)?;
    let driver = persistence::setup(tx, &engine.id)?
        .map_or(engine.kind.usual_driver(), |setup| setup.launch.driver);
    let mut named = |id: &backout_core::ids::ImageId| -> Result<(String, String), Refusal> {
        let version = persistence::entry(tx, id)?.map(|e| e.version);
        Ok((id.to_string(), version.unwrap_or_default()))
    };
    let parent = named(&uses.parent)?;
    let child = uses.child.as_ref().map(&mut named).transpose()?;
    let python = uses.python.as_ref().map(&mut named).transpose()?;
    let holding = holding_of(tx, &engine.resource())?;
    Ok(EngineView {
        endpoint: engine.endpoint_at(driver, listen),
        engine,
        parent,
        child,
        python,
        holding,
    })
}

/// The job that keeps new work from an engine: see [`backout_jobs::busy_with`].
pub(crate) fn holding_of(tx: &mut dyn Tx, resource: &str) -> Result<Option<Holding>, Refusal> {
    let Some(job) = backout_jobs::busy_with(tx, resource)? else {
        return Ok(None);
    };
    let change = persistence::change(tx, &job.id)?;
    Ok(Some(Holding {
        kind: change.map(|c| c.wanted.kind()),
        held: job.is_held(),
        job: job.id,
    }))
}

/// A job that was not accepted, in the words of this product.
pub(crate) fn refused(e: SubmitError) -> Refusal {
    match e {
        SubmitError::Busy { resource, job } => {
            let engine = resource.strip_prefix("engine/").map(str::parse);
            match engine {
                Some(Ok(engine)) => Refusal::Busy { engine, job },
                _ => Refusal::Invalid(format!("claim {resource}: job {job} holds it")),
            }
        }
        SubmitError::IdempotencyMismatch { .. } => Refusal::IdempotencyMismatch,
        SubmitError::TooManyClaims { .. } => Refusal::Invalid(e.to_string()),
        SubmitError::Store(e) => Refusal::Store(e),
    }
}
