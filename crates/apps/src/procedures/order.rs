//! One change order, of whichever kind.
//!
//! | step | do | undo |
//! |---|---|---|
//! | prepare | look again what stands in the way; see that package or image, secrets and programs are there, and fetch the image; open the port; make the machine | close the port again |
//! | roll | drive the replicas through their batches | take back what was changed, with the floor held |
//! | finish | close ports that are not used any more; take the gateway of a deleted application away | open them again |
//!
//! A batch that fails does not fail the job: the order is stuck, and waits for a
//! person's word, as it does between batches. Nobody undoes what serves. An
//! order that was ended on request ends its job as one that was cancelled: its
//! machine has been brought to an end by then, so that nothing is left to undo.
//! What is undone are faults of ours, and jobs that were cancelled in between.

use std::collections::BTreeSet;
use std::sync::Arc;

use backout_core::code::Code;
use backout_core::ids::{OrderId, ReplicaId};
use backout_core::outcome::Outcome;
use backout_core::plan::PlannedStep;
use backout_core::time::Timestamp;
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};
use backout_rollout::{End, Limits, Rollout};
use backout_store::{Error as StoreError, Tx};
use backout_workloads::{Phase, Probe, Source};
use serde::{Deserialize, Serialize};

use super::drive::Drive;
use super::{Work, driver_error, refused, specs, traffic};
use crate::model::{
    Application, ApplicationState, Artifact, Order, OrderKind, Release, SealedSecret, Standing,
    Version,
};
use crate::persistence::{self, Happened};
use crate::refusal::Refusal;
use crate::runtime::Runtime;
use crate::world::{Ready, World, leaving};

/// The name of the procedure.
pub const NAME: &str = "apps.order";

/// What it is told. All else is in the order's row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderInput {
    /// The order.
    pub order: OrderId,
}

/// The procedure.
#[derive(Clone, Debug)]
pub struct ChangeOrder(pub Work);

const STEPS: &[Step<ChangeOrder>] = &[
    Step {
        name: "prepare",
        does: "see that all is there that it needs, and open the application's port",
        run: |p, ctx| Box::pin(prepare(&p.0, ctx)),
        undo: Undo::By {
            does: "close the port again",
            run: |p, ctx| Box::pin(unprepare(&p.0, ctx)),
        },
    },
    Step {
        name: "roll",
        does: "change the replicas, batch by batch",
        run: |p, ctx| Box::pin(roll(&p.0, ctx)),
        undo: Undo::By {
            does: "take back what was changed",
            run: |p, ctx| Box::pin(unroll(&p.0, ctx)),
        },
    },
    Step {
        name: "finish",
        does: "close ports that are not used any more",
        run: |p, ctx| Box::pin(finish(&p.0, ctx)),
        undo: Undo::By {
            does: "open them again",
            run: |p, ctx| Box::pin(unfinish(&p.0, ctx)),
        },
    },
];

/// Its steps, as a plan shows them.
#[must_use]
pub fn steps() -> Vec<PlannedStep> {
    let planned = |step: &Step<ChangeOrder>| PlannedStep {
        name: step.name.to_owned(),
        does: step.does.to_owned(),
        undo: match &step.undo {
            Undo::By { does, .. } => Some((*does).to_owned()),
            Undo::Nothing | Undo::Never => None,
        },
    };
    STEPS.iter().map(planned).collect()
}

impl Procedure for ChangeOrder {
    fn name(&self) -> &'static str {
        NAME
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, failure: Option<&StepError>) -> Commit {
        let (job, now) = (ctx.job.clone(), self.0.clock.now());
        let input = ctx.input::<OrderInput>();
        let failure = failure.cloned();
        Box::new(move |tx| {
            let order = match persistence::order_of_job(tx, &job)? {
                Some(order) => Some(order),
                None => match &input {
                    Ok(input) => persistence::order_by_id(tx, &input.order)?,
                    Err(_) => None,
                },
            };
            match order {
                Some(order) => settle(tx, &order, outcome, failure.as_ref(), now),
                None => Ok(()),
            }
        })
    }
}

/// What is there for an order.
struct Ground {
    order: Order,
    application: Application,
    from: Option<Version>,
    to: Option<Version>,
    sealed: Vec<(String, Option<SealedSecret>)>,
}

async fn ground(ctx: &StepContext) -> Result<Ground, StepError> {
    let input: OrderInput = ctx.input()?;
    let (job, id) = (ctx.job.clone(), input.order.clone());
    let found = ctx
        .store
        .read::<_, StoreError>(move |tx| {
            let order = match persistence::order_of_job(tx, &job)? {
                Some(order) => Some(order),
                None => persistence::order_by_id(tx, &id)?,
            };
            let Some(order) = order else {
                return Ok(None);
            };
            let Some(application) = persistence::application_by_id(tx, &order.application)? else {
                return Ok(None);
            };
            let mut version = |id: &Option<backout_core::ids::VersionId>| match id {
                Some(id) => persistence::version(tx, &order.application, id.as_str()),
                None => Ok(None),
            };
            let to = version(&order.to)?;
            let from = version(&application.version)?;
            let sealed = match to.as_ref().or(from.as_ref()) {
                Some(version) => specs::sealed(
                    tx,
                    &application.owner,
                    &application.namespace,
                    &version.release,
                )?,
                None => Vec::new(),
            };
            Ok(Some(Ground {
                order,
                application,
                from,
                to,
                sealed,
            }))
        })
        .await?;
    found.ok_or_else(|| {
        StepError::failed(
            Code::NotFound,
            format!(
                "find order {}: its row, or its application, is gone",
                input.order
            ),
        )
    })
}

impl Ground {
    /// The version that new replicas run.
    fn version(&self) -> Option<&Version> {
        self.to.as_ref().or(self.from.as_ref())
    }

    /// What new replicas run.
    fn release(&self) -> Option<&Release> {
        self.version().map(|version| &version.release)
    }

    /// Whether it may start replicas.
    fn starts(&self) -> bool {
        !matches!(
            self.order.kind,
            OrderKind::Stop | OrderKind::Delete | OrderKind::RemoveReplicas
        )
    }

    /// The port before.
    fn port_before(&self) -> Option<u16> {
        self.from.as_ref()?.release.port
    }

    /// The port afterwards.
    fn port_after(&self) -> Option<u16> {
        match self.order.kind {
            OrderKind::Delete => None,
            _ => self.release()?.port,
        }
    }

    /// The ports while replicas change.
    fn ports(&self) -> Vec<u16> {
        let both = [self.port_before(), self.port_after()];
        let both: BTreeSet<u16> = both.into_iter().flatten().collect();
        both.into_iter().collect()
    }
}

/// Lets the gateway of an application listen on these ports; without any there
/// is none.
async fn open(
    work: &Work,
    ctx: &StepContext,
    application: &Application,
    ports: &[u16],
) -> Result<(), StepError> {
    if ports.is_empty() {
        return traffic::take_away(&work.runtime, &application.id).await;
    }
    let opened = async {
        let client = traffic::running(&work.runtime, &application.id).await?;
        traffic::listen(&work.runtime, &client, ctx.fence, ports).await
    };
    opened.await.map_err(traffic::error)
}

async fn prepare(work: &Work, ctx: &StepContext) -> Result<Done, StepError> {
    let ground = ground(ctx).await?;
    if ground.order.rollout.is_some() {
        // It was prepared, and its record got lost.
        open(work, ctx, &ground.application, &ground.ports()).await?;
        return Ok(Done::nothing());
    }
    let ready = ready(work, ctx, &ground.application).await?;
    let kept = match &ground.to {
        Some(to) => {
            let (runtime, artifact) = (work.runtime.clone(), to.release.artifact.clone());
            ctx.blocking(move || Ok(runtime.keeps(&artifact))).await?
        }
        None => true,
    };
    let (order, to) = (ground.order.clone(), ground.to.clone());
    let world = ctx
        .store
        .read::<_, StoreError>(move |tx| {
            let mut world = World::of_order(tx, &order, &ready)?;
            if let (Some(world), Some(to)) = (&mut world, &to) {
                world.look_at_port(tx, &to.release)?;
            }
            Ok(world)
        })
        .await?
        .ok_or_else(|| {
            let id = &ground.application.id;
            StepError::failed(Code::NotFound, format!("find application {id}: it is gone"))
        })?;
    let mut proposal = world.propose_order(&ground.order, ground.to.as_ref(), kept);
    if let Some(blocker) = proposal.blockers.pop() {
        return Err(refused(blocker));
    }
    let image = match ground.starts() {
        true => check(work, ctx, &ground).await?,
        false => None,
    };
    // The plan that was shown, and approved, is the one that is carried out.
    if let Some(planned) = &mut proposal.planned {
        planned.plan.clone_from(&ground.order.plan);
    }
    let limits = limits(&work.runtime, [&ground.from, &ground.to]);
    let machine = proposal.machine(&world.replicas, limits).ok_or_else(|| {
        StepError::failed(
            Code::Internal,
            "make the machine of an order: it has no plan",
        )
    })?;
    open(work, ctx, &ground.application, &ground.ports()).await?;
    Ok(Done::nothing().with(move |tx| {
        if let (Some(id), Some(version)) = (&image, ground.version()) {
            persistence::pin_image(tx, version, id)?;
        }
        begin(tx, &ground.order, &machine)
    }))
}

/// Numbers the replicas, and writes the machine that knows them by these
/// numbers.
fn begin(tx: &mut dyn Tx, order: &Order, machine: &Rollout) -> Result<(), StoreError> {
    persistence::number_replicas(tx, &order.application, &order.id, leaving(order))?;
    persistence::set_progress(tx, &order.id, machine, Standing::Preparing)
}

/// Which replicas take requests.
async fn ready(
    work: &Work,
    ctx: &StepContext,
    application: &Application,
) -> Result<Ready, StepError> {
    let wanted = application.clone();
    let replicas = ctx
        .store
        .read::<_, StoreError>(move |tx| World::artifacts(tx, &wanted))
        .await?;
    let replicas = replicas
        .into_iter()
        .map(|(replica, _, artifact)| (replica.id, artifact))
        .collect();
    let statuses = work.runtime.statuses(replicas).await;
    Ok(statuses
        .into_iter()
        .map(|(id, status)| (id, status.phase == Phase::Ready))
        .collect())
}

/// Sees that a replica can be started: before anything is changed, not in the
/// first batch. Returns which image it is made of.
async fn check(
    work: &Work,
    ctx: &StepContext,
    ground: &Ground,
) -> Result<Option<String>, StepError> {
    let Some(release) = ground.release().cloned() else {
        return Ok(None);
    };
    let image = fetch(work, ctx, &release.artifact).await?;
    let (runtime, sealed) = (work.runtime.clone(), ground.sealed.clone());
    let replica = ReplicaId::random(work.entropy.as_ref());
    ctx.blocking(move || {
        let driver = runtime.driver(&release.artifact).map_err(refused)?;
        if let Some(hash) = release.artifact.package() {
            let workload = |e| refused(Refusal::Workload(e));
            runtime.packages.verify(hash).map_err(workload)?;
            runtime.packages.unpacked(hash).map_err(workload)?;
        }
        let secrets = specs::opened(&runtime, &sealed).map_err(refused)?;
        let spec = specs::spec(&runtime, &replica, &release, secrets).map_err(refused)?;
        if let Some(why) = driver.limits_missing()
            && spec.limits.any()
            && !spec.limits.or_without
        {
            return Err(StepError::failed(
                Code::LimitsUnavailable,
                format!("limit the replicas: {why}"),
            ));
        }
        Ok(())
    })
    .await?;
    Ok(image)
}

/// Sees that an image is there, and fetches it when it is not, which may take
/// minutes. Returns its id.
async fn fetch(
    work: &Work,
    ctx: &StepContext,
    artifact: &Artifact,
) -> Result<Option<String>, StepError> {
    let Artifact::Image { name, id } = artifact else {
        return Ok(None);
    };
    ctx.progress(
        0,
        format!("looks for image {name}, and fetches it where it is missing"),
    );
    let driver = Arc::clone(work.runtime.driver(artifact).map_err(refused)?);
    let source = Source::Image {
        name: id.as_ref().unwrap_or(name).clone(),
    };
    let fetching = ctx.blocking(move || driver.fetch(&source).map_err(driver_error));
    let fetched = ctx.aside(fetching).await?;
    if fetched.fresh {
        ctx.progress(50, format!("fetched image {name}"));
    }
    Ok(fetched.id)
}

/// How long things may take, of releases of which one goes and the other comes.
fn limits(runtime: &Runtime, versions: [&Option<Version>; 2]) -> Limits {
    let releases = versions.into_iter().flatten().map(|v| &v.release);
    let mut limits = runtime.limits;
    let (mut grace, mut delay) = (0, 0);
    for release in releases {
        grace = grace.max(release.grace_ms);
        let first = release.readiness.as_ref().map_or(0, first_answer_ms);
        delay = delay.max(first);
    }
    let more = |ms: u64| u32::try_from(ms).unwrap_or(u32::MAX);
    limits.stop_ms = limits.stop_ms.saturating_add(more(grace));
    limits.ready_ms = limits.ready_ms.saturating_add(more(delay));
    limits
}

/// When a probe that is answered well has said so, at the earliest.
fn first_answer_ms(probe: &Probe) -> u64 {
    let further = u64::from(probe.successes.saturating_sub(1));
    probe
        .delay_ms
        .saturating_add(probe.period_ms.saturating_mul(further))
}

async fn unprepare(work: &Work, ctx: &StepContext) -> Result<Done, StepError> {
    let ground = ground(ctx).await?;
    let ports: Vec<u16> = ground.port_before().into_iter().collect();
    if ports.is_empty() && ground.from.is_some() && ground.port_after().is_none() {
        return Ok(Done::nothing());
    }
    open(work, ctx, &ground.application, &ports).await?;
    Ok(Done::nothing())
}

async fn roll(work: &Work, ctx: &StepContext) -> Result<Done, StepError> {
    let input: OrderInput = ctx.input()?;
    let Some(drive) = Drive::new(work, ctx, input.order, false).await? else {
        return Err(StepError::failed(
            Code::Internal,
            "drive an order: it has no machine",
        ));
    };
    match drive.forward().await? {
        End::Succeeded => Ok(Done::nothing()),
        // As a person said, in a word or by a cancel of the job.
        End::Aborted | End::RolledBack => Err(StepError::Cancelled),
    }
}

async fn unroll(work: &Work, ctx: &StepContext) -> Result<Done, StepError> {
    let input: OrderInput = ctx.input()?;
    if let Some(drive) = Drive::new(work, ctx, input.order, true).await? {
        drive.backward().await?;
    }
    Ok(Done::nothing())
}

async fn finish(work: &Work, ctx: &StepContext) -> Result<Done, StepError> {
    let ground = ground(ctx).await?;
    let ports: Vec<u16> = ground.port_after().into_iter().collect();
    if ground.ports() == ports && !ports.is_empty() {
        return Ok(Done::nothing());
    }
    open(work, ctx, &ground.application, &ports).await?;
    Ok(Done::nothing())
}

async fn unfinish(work: &Work, ctx: &StepContext) -> Result<Done, StepError> {
    let ground = ground(ctx).await?;
    open(work, ctx, &ground.application, &ground.ports()).await?;
    Ok(Done::nothing())
}

/// Brings the rows of the application and its order to what the job came to.
fn settle(
    tx: &mut dyn Tx,
    order: &Order,
    outcome: Outcome,
    failure: Option<&StepError>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let error = match failure {
        Some(StepError::Failed { code, message } | StepError::Again { code, message }) => {
            Some((*code, message.clone()))
        }
        _ => None,
    };
    let standing = match (outcome, &error) {
        (Outcome::Applied, _) => Standing::Succeeded,
        // It is not over: its claims are kept, and a person must act.
        (Outcome::Held, _) => {
            persistence::set_standing(tx, &order.id, Standing::Stuck)?;
            return Ok(());
        }
        (Outcome::Reverted, Some((code, _))) => match code {
            Code::Internal | Code::Store | Code::StaleFence | Code::UndoFailed => Standing::Broken,
            _ => Standing::Failed,
        },
        (Outcome::Reverted, None) if order.takes_back.is_some() => Standing::Succeeded,
        (Outcome::Reverted, None) => Standing::Aborted,
    };
    if let Some(application) = persistence::application_by_id(tx, &order.application)? {
        match outcome {
            Outcome::Applied => applied(tx, order, &application, now)?,
            _ => left(tx, order, &application)?,
        }
        tell(tx, &application, order, standing, error.as_ref(), now)?;
    }
    persistence::forget_words(tx, &order.id)?;
    persistence::end_order(tx, &order.id, standing, error.as_ref(), now)
}

/// All is as it was asked for.
fn applied(
    tx: &mut dyn Tx,
    order: &Order,
    application: &Application,
    now: Timestamp,
) -> Result<(), StoreError> {
    let id = &application.id;
    let (state, replicas) = match order.kind {
        OrderKind::Delete => return persistence::delete_application(tx, id),
        OrderKind::Stop => (ApplicationState::Stopped, application.replicas),
        OrderKind::Start | OrderKind::Restart | OrderKind::RestartReplicas => {
            (ApplicationState::Running, application.replicas)
        }
        OrderKind::Create
        | OrderKind::Deploy
        | OrderKind::Rollback
        | OrderKind::Resize
        | OrderKind::Rescale
        | OrderKind::RemoveReplicas => (ApplicationState::Running, order.replicas_after),
    };
    persistence::set_application_state(tx, id, state, replicas)?;
    let changes_version = matches!(
        order.kind,
        OrderKind::Create | OrderKind::Deploy | OrderKind::Rollback | OrderKind::Resize
    );
    let to = order.to.as_ref().or(application.version.as_ref());
    let Some(to) = to else {
        return Ok(());
    };
    if changes_version {
        persistence::set_application_version(tx, id, to)?;
    }
    if let Some(version) = persistence::version(tx, id, to.as_str())? {
        persistence::settle_scaling(tx, order, Standing::Succeeded, &version.release, now)?;
    }
    Ok(())
}

/// It was ended, or taken back: the application is what its replicas say.
fn left(tx: &mut dyn Tx, order: &Order, application: &Application) -> Result<(), StoreError> {
    let id = &application.id;
    let replicas = persistence::replicas_of(tx, id)?;
    let state = match (application.state, replicas.is_empty()) {
        (ApplicationState::Stopped, false) | (ApplicationState::Deleting, false) => {
            ApplicationState::Running
        }
        (ApplicationState::Deleting, true) => ApplicationState::Stopped,
        (state, _) => state,
    };
    if state != application.state {
        persistence::set_application_state(tx, id, state, application.replicas)?;
    }
    // A first version that was ended half-way is the one that there is.
    if let (None, Some(first)) = (&application.version, replicas.first()) {
        persistence::set_application_version(tx, id, &first.version)?;
        let all = order.replicas_after.max(application.replicas);
        persistence::set_application_state(tx, id, ApplicationState::Running, all)?;
    }
    Ok(())
}

fn tell(
    tx: &mut dyn Tx,
    application: &Application,
    order: &Order,
    standing: Standing,
    error: Option<&(Code, String)>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (reason, message) = match (standing, error) {
        (Standing::Succeeded, _) => ("Succeeded", format!("{} is done", order.kind.as_str())),
        (Standing::Aborted, _) => (
            "Aborted",
            format!("{} was ended on request", order.kind.as_str()),
        ),
        (_, Some((code, why))) => ("Failed", format!("failed to {why} ({code})")),
        (_, None) => ("Failed", format!("{} failed", order.kind.as_str())),
    };
    persistence::record_event(
        tx,
        &Happened {
            owner: &application.owner,
            application: &application.id,
            namespace: &application.namespace,
            warning: standing != Standing::Succeeded,
            object: "order",
            name: order.id.as_str(),
            reason,
            message: &message,
            at: now,
        },
    )
}
