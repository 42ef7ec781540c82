//! What can be asked of databases: the one way in for every surface.
//!
//! | file | what is asked there |
//! |---|---|
//! | `mod` | who there is; what all share: claims, tasks, jobs |
//! | `lifecycle` | instances come under management or are made, are restarted, isolated, and go |
//! | `backups` | base backups, their schedule |
//! | `clone` | instances that are made of another's past |
//! | `contents` | what is in the databases of several instances, within a time |
//! | `rollback` | the ways back, what they would do, and how they are stopped and undone |
//! | `history` | what happened when |
//! | `keeper` | what is archived, taken and deleted by itself |

mod backups;
mod clone;
mod contents;
mod history;
mod keeper;
mod lifecycle;
mod rollback;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use backout_core::ids::{AccountId, DatabaseId, Entropy, JobId};
use backout_core::plan::{Plan, Preflight};
use backout_core::time::Clock;
pub use backout_jobs::Caller;
use backout_jobs::{Jobs, NewJob, Registry, SubmitError, Submitted};
use backout_store::{Store, Tx};
use serde::Serialize;
use tokio::sync::Semaphore;

pub use self::backups::{KEEP_DAYS_MAX, NewBackup};
pub use self::history::{LogFile, LogFiles, LogFilter, TRANSACTIONS_MAX};
pub use self::keeper::{Tended, Trouble};
pub(crate) use self::lifecycle::blockers;
pub use self::lifecycle::{
    DATABASES_MAX, LOG_HOURS, LOG_PERCENTS, MADE_MAX, NewInstance, NewManaged, TAGS_MAX,
};
pub use self::rollback::INSTANCES_MAX;
use crate::model::{Detail, Instance, InstanceState, Standing, Task, TaskKind};
use crate::persistence::{self, InstanceFilter, Page, Span, TaskFilter, Told};
use crate::procedures::adopt::Adopt;
use crate::procedures::backup::TakeBackup;
use crate::procedures::clone::Clone as CloneInstance;
use crate::procedures::create::Create;
use crate::procedures::delete_backup::DeleteBackup;
use crate::procedures::isolate::Isolate;
use crate::procedures::release::Release;
use crate::procedures::remove::Remove;
use crate::procedures::restart::Restart;
use crate::procedures::rewind::Rewind;
use crate::procedures::rollback::Rollback;
use crate::procedures::withdraw::Withdraw;
use crate::refusal::Refusal;
use crate::runtime::Runtime;
use crate::zone::{Written, Zone};

/// The longest name of an instance, in characters (contract).
pub const NAME_MAX_CHARS: usize = 60;

/// How many looks at servers and archives calls may have under way at a time,
/// each on a thread of its own: as many as keep a host busy, and far fewer than
/// it may have threads. Who comes later waits, no longer than [`LOOK_MAX`].
const LOOKS_MAX: usize = 32;

/// How many of these one call may have.
const LOOKS_OF_CALL: usize = 8;

/// How long one call looks at servers: half of the minute for which clients
/// wait.
const LOOK_MAX: Duration = Duration::from_secs(30);

/// Work that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// The number of its task.
    pub number: u64,
    /// The id of the call's work: tasks of one call share it.
    pub asked: String,
    /// Its job.
    pub job: JobId,
    /// The instance.
    pub instance: DatabaseId,
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
}

/// The job that has a claim on an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The job.
    pub job: JobId,
    /// What it does.
    pub kind: Option<TaskKind>,
    /// Whether it is held.
    pub held: bool,
}

/// The databases of this store.
#[derive(Clone)]
pub struct Databases {
    pub(crate) store: Store,
    pub(crate) jobs: Jobs,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) node: String,
    pub(crate) runtime: Runtime,
    keeper: Arc<keeper::Keeper>,
    looks: Arc<Semaphore>,
    look_max: Duration,
}

impl std::fmt::Debug for Databases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Databases")
            .field("node", &self.node)
            .field("runtime", &self.runtime)
            .finish_non_exhaustive()
    }
}

impl Databases {
    /// Databases whose jobs run on the host `node`, and what works on them
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
            looks: Arc::new(Semaphore::new(LOOKS_MAX)),
            look_max: LOOK_MAX,
        }
    }

    /// These databases, where a call looks at servers for no longer than `max`.
    #[must_use]
    pub const fn looking_for(mut self, max: Duration) -> Self {
        self.look_max = max;
        self
    }

    /// The kinds of job that a worker for databases must know.
    #[must_use]
    pub fn register(&self, registry: Registry) -> Registry {
        let runtime = &self.runtime;
        registry
            .with(Adopt(runtime.clone()))
            .with(Create(runtime.clone()))
            .with(Restart(runtime.clone()))
            .with(Isolate(runtime.clone()))
            .with(Release(runtime.clone()))
            .with(Remove(runtime.clone()))
            .with(TakeBackup(runtime.clone()))
            .with(DeleteBackup(runtime.clone()))
            .with(CloneInstance(runtime.clone()))
            .with(Rollback(runtime.clone()))
            .with(Rewind(runtime.clone()))
            .with(Withdraw(runtime.clone()))
    }

    /// One page of instances, newest first, and how many match.
    ///
    /// # Errors
    /// [`Refusal::Store`].
    pub async fn list(
        &self,
        owner: &AccountId,
        filter: InstanceFilter,
        page: Page,
    ) -> Result<(u64, Vec<Instance>), Refusal> {
        let owner = owner.clone();
        self.store
            .read(move |tx| Ok(persistence::list_instances(tx, &owner, &filter, page)?))
            .await
    }

    /// All instances that match, newest first: as many as an owner may have.
    ///
    /// # Errors
    /// [`Refusal::Store`].
    pub async fn list_all(
        &self,
        owner: &AccountId,
        filter: InstanceFilter,
    ) -> Result<Vec<Instance>, Refusal> {
        let page = Page {
            offset: 0,
            limit: DATABASES_MAX,
        };
        Ok(self.list(owner, filter, page).await?.1)
    }

    /// What lists of tasks tell of these instances, also of those that are
    /// gone. One that nothing is known of any more is not there.
    ///
    /// # Errors
    /// [`Refusal::Store`].
    pub async fn told_of(
        &self,
        owner: &AccountId,
        ids: Vec<DatabaseId>,
    ) -> Result<HashMap<DatabaseId, Told>, Refusal> {
        let owner = owner.clone();
        let told = self
            .store
            .read(move |tx| Ok::<_, Refusal>(persistence::told_of(tx, &owner, &ids)?))
            .await?;
        Ok(told.into_iter().map(|t| (t.id.clone(), t)).collect())
    }

    /// A number that changes with every commit to the store; `None` where the
    /// store cannot tell it cheaply.
    #[must_use]
    pub fn version(&self) -> Option<u64> {
        self.store.version()
    }

    /// An instance by id or name.
    ///
    /// # Errors
    /// [`Refusal::InstanceNotFound`], [`Refusal::Store`].
    pub async fn get(&self, owner: &AccountId, id_or_name: &str) -> Result<Instance, Refusal> {
        let (owner, wanted) = (owner.clone(), id_or_name.to_owned());
        self.store
            .read(move |tx| instance_of(tx, &owner, &wanted))
            .await
    }

    /// An instance and the job that holds it.
    ///
    /// # Errors
    /// [`Refusal::InstanceNotFound`], [`Refusal::Store`].
    pub async fn get_with_holding(
        &self,
        owner: &AccountId,
        id_or_name: &str,
    ) -> Result<(Instance, Option<Holding>), Refusal> {
        let (owner, wanted) = (owner.clone(), id_or_name.to_owned());
        self.store
            .read(move |tx| {
                let instance = instance_of(tx, &owner, &wanted)?;
                let holding = holding_of(tx, &instance.resource())?;
                Ok((instance, holding))
            })
            .await
    }

    /// The jobs that hold these instances, in their order.
    ///
    /// # Errors
    /// [`Refusal::Store`].
    pub async fn holdings(&self, ids: &[DatabaseId]) -> Result<Vec<Option<Holding>>, Refusal> {
        let ids = ids.to_vec();
        self.store
            .read(move |tx| {
                ids.iter()
                    .map(|id| holding_of(tx, &crate::model::resource(id)))
                    .collect()
            })
            .await
    }

    /// One page of tasks, newest first, and how many match.
    ///
    /// # Errors
    /// [`Refusal::Store`].
    pub async fn tasks(
        &self,
        owner: &AccountId,
        filter: TaskFilter,
        page: Page,
    ) -> Result<(u64, Vec<Task>), Refusal> {
        let owner = owner.clone();
        self.store
            .read(move |tx| Ok(persistence::list_tasks(tx, &owner, &filter, page)?))
            .await
    }

    /// As [`Databases::tasks`], of those that were asked for at `from` or later
    /// and at `to` or earlier: what has no zone is in that of each task's
    /// instance, in UTC where nothing is known of it. A second is over when the
    /// next begins; of a local time that was there twice, or never, both
    /// readings count.
    ///
    /// # Errors
    /// [`Refusal::Time`], [`Refusal::Store`].
    pub async fn tasks_between(
        &self,
        owner: &AccountId,
        mut filter: TaskFilter,
        (from, to): (Option<Written>, Option<Written>),
        page: Page,
    ) -> Result<(u64, Vec<Task>), Refusal> {
        if from.is_none() && to.is_none() {
            return self.tasks(owner, filter, page).await;
        }
        let owner = owner.clone();
        self.store
            .read(move |tx| {
                let mut zones = persistence::zones_of(tx, &owner)?;
                // Whoever never said its zone is in this one.
                zones.entry(String::new()).or_default();
                let spans = zones
                    .into_iter()
                    .map(|(zone, instances)| span(zone, instances, from.as_ref(), to.as_ref()))
                    .collect::<Result<_, _>>()?;
                filter.spans = Some(spans);
                Ok(persistence::list_tasks(tx, &owner, &filter, page)?)
            })
            .await
    }

    /// The tasks that one call made.
    ///
    /// # Errors
    /// [`Refusal::TaskNotFound`], [`Refusal::Store`].
    pub async fn tasks_asked(&self, owner: &AccountId, asked: &str) -> Result<Vec<Task>, Refusal> {
        let (owner, asked) = (owner.clone(), asked.to_owned());
        self.store
            .read(move |tx| {
                let tasks = persistence::tasks_by_asked(tx, &owner, &asked)?;
                match tasks.is_empty() {
                    true => Err(Refusal::TaskNotFound(asked)),
                    false => Ok(tasks),
                }
            })
            .await
    }

    /// The node of this host.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Refuses an instance whose jobs run elsewhere.
    pub(crate) fn here(&self, instance: &Instance) -> Result<(), Refusal> {
        if instance.node == self.node {
            return Ok(());
        }
        Err(Refusal::Elsewhere {
            instance: instance.id.clone(),
            node: instance.node.clone(),
        })
    }

    /// A fresh id for the work of one call.
    pub(crate) fn draw_asked(&self) -> String {
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes);
        let groups: Vec<String> = bytes
            .chunks(4)
            .map(|group| group.iter().map(|b| format!("{b:02x}")).collect())
            .collect();
        groups.join("-")
    }

    /// The job that an earlier call with the same idempotency key made. Asked
    /// before the preflight, which would find that very job in the way.
    pub(crate) async fn earlier(&self, caller: &Caller) -> Result<Option<JobId>, Refusal> {
        let Some(idempotency) = caller.idempotency.clone() else {
            return Ok(None);
        };
        let owner = caller.owner.clone();
        self.store
            .read(move |tx| backout_jobs::earlier(tx, &owner, &idempotency).map_err(refused))
            .await
    }

    /// What an earlier call with the same idempotency key had asked for; empty
    /// when there was none.
    pub(crate) async fn asked_before(&self, caller: &Caller) -> Result<Vec<Asked>, Refusal> {
        let Some(job) = self.earlier(caller).await? else {
            return Ok(Vec::new());
        };
        self.store.read(move |tx| asked_by(tx, &job)).await
    }

    /// A job on `instance`; the first claim of the plan is what it is about.
    pub(crate) fn job(
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

    /// Writes jobs, their tasks and the product's own rows in one transaction.
    /// All jobs are accepted, or none.
    pub(crate) async fn submit(
        &self,
        caller: &Caller,
        work: Vec<NewWork>,
        rows: impl FnOnce(&mut dyn Tx) -> Result<(), Refusal> + Send + 'static,
    ) -> Result<Vec<Asked>, Refusal> {
        let (asked, now) = (self.draw_asked(), self.clock.now());
        let caller = caller.clone();
        let out = self
            .store
            .write(move |tx| {
                let mut out = Vec::with_capacity(work.len());
                for (index, mut work) in work.into_iter().enumerate() {
                    // The first stands for the call.
                    if index > 0 {
                        work.job.idempotency = None;
                    }
                    let submitted = submit_job(tx, &work.job)?;
                    if submitted.repeated {
                        return asked_by(tx, &submitted.id);
                    }
                    let task = Task {
                        number: persistence::next_task_number(tx)?,
                        asked: asked.clone(),
                        owner: caller.owner.clone(),
                        operator: caller.account.clone(),
                        request: caller.request.clone(),
                        instance: work.instance.clone(),
                        kind: work.kind,
                        detail: work.detail,
                        job: submitted.id.clone(),
                        standing: Standing::Waiting,
                        percent: 0,
                        words: String::new(),
                        error: None,
                        created: now,
                        ended: None,
                    };
                    persistence::insert_task(tx, &task)?;
                    out.push(Asked {
                        number: task.number,
                        asked: asked.clone(),
                        job: submitted.id,
                        instance: work.instance,
                        repeated: false,
                    });
                }
                rows(tx)?;
                Ok::<_, Refusal>(out)
            })
            .await?;
        self.jobs.wake();
        Ok(out)
    }
}

/// What the call had asked for that made this job, which was its first.
fn asked_by(tx: &mut dyn Tx, job: &JobId) -> Result<Vec<Asked>, Refusal> {
    let first =
        persistence::task_of_job(tx, job)?.ok_or_else(|| Refusal::TaskNotFound(job.to_string()))?;
    let tasks = persistence::tasks_by_asked(tx, &first.owner, &first.asked)?;
    Ok(tasks
        .into_iter()
        .map(|task| Asked {
            number: task.number,
            asked: task.asked,
            job: task.job,
            instance: task.instance,
            repeated: true,
        })
        .collect())
}

/// From when to when tasks are meant in one zone, in whole seconds, as they are
/// shown.
fn span(
    zone: String,
    instances: Vec<DatabaseId>,
    from: Option<&Written>,
    to: Option<&Written>,
) -> Result<Span, Refusal> {
    let known: Zone = zone.parse().unwrap_or(Zone::UTC);
    let instants = |written: Option<&Written>| {
        written
            .map(|w| known.instants(w))
            .transpose()
            .map_err(|e| Refusal::Time(e.into()))
    };
    let second_ms = |us: i64| us.div_euclid(1_000_000).saturating_mul(1000);
    Ok(Span {
        from_ms: instants(from)?.map_or(i64::MIN, |(first, _)| second_ms(first)),
        before_ms: instants(to)?.map_or(i64::MAX, |(_, last)| second_ms(last).saturating_add(1000)),
        unknown: zone.is_empty(),
        zone,
        instances,
    })
}

/// A job to be, with what its task row says.
pub(crate) struct NewWork {
    /// The job.
    pub(crate) job: NewJob,
    /// The instance.
    pub(crate) instance: DatabaseId,
    /// What kind of work.
    pub(crate) kind: TaskKind,
    /// Details.
    pub(crate) detail: Detail,
}

pub(crate) fn submit_job(tx: &mut dyn Tx, new_job: &NewJob) -> Result<Submitted, Refusal> {
    backout_jobs::submit(tx, new_job).map_err(refused)
}

/// A job that was not accepted, in the words of this product.
pub(crate) fn refused(e: SubmitError) -> Refusal {
    match e {
        SubmitError::Busy { resource, job } => {
            match resource
                .strip_prefix("database/")
                .and_then(|id| id.parse().ok())
            {
                Some(instance) => Refusal::Busy {
                    instance,
                    job,
                    kind: None,
                    held: false,
                },
                None => Refusal::Invalid(format!("claim {resource}: job {job} holds it")),
            }
        }
        SubmitError::IdempotencyMismatch { .. } => Refusal::IdempotencyMismatch,
        SubmitError::TooManyClaims { .. } => Refusal::Invalid(e.to_string()),
        SubmitError::Store(e) => Refusal::Store(e),
    }
}

pub(crate) fn instance_of(
    tx: &mut dyn Tx,
    owner: &AccountId,
    wanted: &str,
) -> Result<Instance, Refusal> {
    persistence::find_instance(tx, owner, wanted)?
        .ok_or_else(|| Refusal::InstanceNotFound(wanted.to_owned()))
}

/// The job that keeps new work from `resource`: see [`backout_jobs::busy_with`].
pub(crate) fn holding_of(tx: &mut dyn Tx, resource: &str) -> Result<Option<Holding>, Refusal> {
    let job = backout_jobs::busy_with(tx, resource)?;
    Ok(job.map(|job| Holding {
        kind: kind_of(&job.procedure),
        held: job.is_held(),
        job: job.id,
    }))
}

/// What the job of that procedure does; `None` when it is not one of ours.
#[must_use]
pub fn kind_of(procedure: &str) -> Option<TaskKind> {
    TaskKind::parse(procedure.strip_prefix("databases.")?)
}

/// Refuses an instance that is not running, or that a job holds.
pub(crate) fn usable(
    tx: &mut dyn Tx,
    instance: &Instance,
    action: &'static str,
) -> Result<(), Refusal> {
    if let Some(holding) = holding_of(tx, &instance.resource())? {
        return Err(Refusal::Busy {
            instance: instance.id.clone(),
            job: holding.job,
            kind: holding.kind,
            held: holding.held,
        });
    }
    in_use(instance, action)
}

/// Refuses an instance that is not running.
pub(crate) fn in_use(instance: &Instance, action: &'static str) -> Result<(), Refusal> {
    let hint = match instance.state {
        InstanceState::Running => return Ok(()),
        InstanceState::Creating => "wait until it runs",
        InstanceState::Isolating | InstanceState::Isolated => "bring it back first",
        InstanceState::Removing => "it will be gone",
    };
    Err(Refusal::State {
        action,
        instance: instance.id.clone(),
        state: instance.state,
        hint,
    })
}

/// Performs blocking work (sessions, files) off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) => Err(Refusal::Failed(format!("look at the database: {e}"))),
    }
}
