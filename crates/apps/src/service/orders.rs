//! What changes applications: what it would do, that it is done, approved and
//! undone.

use backout_core::ids::{AccountId, BatchId, JobId, OrderId, ReplicaId, RequestId, VersionId};
use backout_core::outcome::Outcome;
use backout_core::plan::Plan;
use backout_core::time::Timestamp;
use backout_jobs::{NewJob, SubmitError};
use backout_rollout::Leg;
use backout_store::Tx;

use super::applications::{insert, room_for, takes_requests};
use super::releases::{check_size, draft};
use super::{
    Apps, Asked, Caller, DESCRIPTION_MAX_CHARS, How, LABEL_MAX_CHARS, NewArtifact, NewRelease,
    Proposal, blocking, check_text, version_of,
};
use crate::model::{
    Application, Approval, ApprovalFor, Batch, Order, OrderKind, Release, Standing, Terms, Version,
};
use crate::persistence;
use crate::planning::{self, Change};
use crate::procedures::order as procedure;
use crate::refusal::Refusal;
use crate::scaling::Wish;
use crate::world::{Ready, World};

/// How many applications one call changes.
pub const BATCH_MAX: usize = 100;

/// How many replicas one call names.
const THESE_MAX: usize = 1000;

/// What is to become of an application.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// It runs a new version.
    Deploy {
        /// What that is.
        release: Box<NewRelease>,
        /// Free text.
        label: String,
    },
    /// It runs an earlier version.
    Rollback {
        /// Its id, number or label; none, the newest that is older than the
        /// present one and may be gone back to.
        to: Option<String>,
    },
    /// As many replicas as it is to have are started.
    Start,
    /// All its replicas are stopped.
    Stop,
    /// All its replicas are started anew.
    Restart,
    /// These replicas are started anew.
    RestartReplicas(Vec<String>),
    /// It has that many replicas.
    Rescale(u32),
    /// These replicas are taken away, for good.
    RemoveReplicas(Vec<String>),
    /// Its replicas may take that much: a new version that is as the present
    /// one otherwise. What is not given stays.
    Resize {
        /// Processor time of each, in thousandths of one processor.
        cpu_millis: Option<u32>,
        /// Memory of each, in bytes.
        memory_bytes: Option<u64>,
    },
    /// It is taken away.
    Delete,
}

/// What was asked for, with all that it names looked up.
#[derive(Clone, Debug)]
struct Resolved {
    application: Application,
    /// The application is to be made.
    fresh: bool,
    kind: OrderKind,
    /// The version that is to be made.
    release: Option<Release>,
    label: String,
    /// What of it is to be fetched, until it is.
    artifact: Option<NewArtifact>,
    /// What its builders call a package that was not there before.
    package_version: Option<String>,
    /// The version that is gone back to.
    earlier: Option<Version>,
    package_is_kept: bool,
    these: Vec<ReplicaId>,
    replicas: u32,
}

/// What is written down beside what was resolved.
#[derive(Clone, Debug)]
struct Writing {
    caller: Caller,
    how: How,
    /// It waits for nobody: Backout asks itself.
    by_itself: bool,
    undo_of: Option<JobId>,
    order: OrderId,
    version: VersionId,
    job: JobId,
    now: Timestamp,
    plan: Plan,
}

impl Apps {
    /// What an order would do.
    ///
    /// # Errors
    /// What made it impossible to look; what stands in the way is in the
    /// proposal.
    pub async fn propose(
        &self,
        caller: &Caller,
        application: &str,
        wanted: Wanted,
        how: &How,
    ) -> Result<Proposal, Refusal> {
        let resolved = self.resolve(caller, application, wanted).await?;
        self.proposal(caller, resolved, how).await
    }

    /// Asks for an order.
    ///
    /// # Errors
    /// Whatever stands in the way: one reason as it is, several as
    /// [`Refusal::Blocked`]; [`Refusal::IdempotencyMismatch`],
    /// [`Refusal::Elsewhere`], [`Refusal::Store`].
    pub async fn order(
        &self,
        caller: &Caller,
        application: &str,
        wanted: Wanted,
        how: &How,
    ) -> Result<Asked, Refusal> {
        if let Some(asked) = self.asked_before(caller).await? {
            return Ok(asked);
        }
        let resolved = self.resolve(caller, application, wanted).await?;
        self.accept(caller, resolved, how, None, false).await
    }

    /// Asks for the same order of several applications, each for itself: what
    /// stands in the way of one is in its place.
    ///
    /// # Errors
    /// [`Refusal::Empty`], [`Refusal::Parameter`] for too many.
    pub async fn order_many(
        &self,
        caller: &Caller,
        applications: &[String],
        wanted: &Wanted,
        how: &How,
    ) -> Result<Vec<(String, Result<Asked, Refusal>)>, Refusal> {
        if applications.is_empty() {
            return Err(Refusal::Empty("applications"));
        }
        if applications.len() > BATCH_MAX {
            return Err(Refusal::Parameter {
                name: "applications",
                why: format!("give at most {BATCH_MAX} at once"),
            });
        }
        let mut all = Vec::with_capacity(applications.len());
        for application in applications {
            let mut caller = caller.clone();
            // Each order of the call is repeated for itself.
            if let Some(idempotency) = &mut caller.idempotency {
                idempotency.key = format!("{}/{application}", idempotency.key);
            }
            let asked = self.order(&caller, application, wanted.clone(), how).await;
            all.push((application.clone(), asked));
        }
        Ok(all)
    }

    /// Scales an application as its rules wish, for Backout itself.
    ///
    /// # Errors
    /// As [`Apps::order`].
    pub async fn scale_by_rule(
        &self,
        application: &Application,
        wish: &Wish,
    ) -> Result<Asked, Refusal> {
        let caller = Caller {
            account: application.owner.clone(),
            owner: application.owner.clone(),
            request: RequestId::random(self.entropy.as_ref()),
            idempotency: None,
            approval: None,
        };
        let (id, name) = (application.id.clone(), wish.rule.clone());
        let found = self
            .store
            .read(move |tx| Ok::<_, Refusal>(persistence::scaling_rule(tx, &id, &name)?))
            .await?
            .ok_or_else(|| Refusal::RuleNotFound(wish.rule.clone()))?;
        let how = How {
            settings: planning::Settings {
                least_ready: found.rule.least_ready,
                least_ready_percent: found.rule.least_ready_percent,
                ..planning::Settings::default()
            },
            description: format!("scaling rule {}: {}", wish.rule, wish.why),
            scaling_on: None,
        };
        let wanted = Wanted::Rescale(wish.replicas);
        let resolved = self
            .resolve(&caller, application.id.as_str(), wanted)
            .await?;
        let asked = self.accept(&caller, resolved, &how, None, true).await?;
        let (id, now) = (application.id.clone(), self.clock.now());
        self.store
            .write(move |tx| Ok::<_, Refusal>(persistence::set_scaled(tx, &id, now)?))
            .await?;
        Ok(asked)
    }

    /// Approves an order that waits for it; its job begins. Whether the caller
    /// may is for the surface to check.
    ///
    /// # Errors
    /// [`Refusal::OrderNotFound`], [`Refusal::OwnOrder`],
    /// [`Refusal::OrderState`], [`Refusal::Store`].
    pub async fn approve(&self, caller: &Caller, order: &str) -> Result<Asked, Refusal> {
        let (caller, wanted, now) = (caller.clone(), order.to_owned(), self.clock.now());
        let job = self.jobs.new_id();
        let steps = self.steps();
        let asked = self
            .store
            .write(move |tx| {
                let order = order_of(tx, &caller.owner, &wanted)?;
                if order.standing != Standing::WaitsForApproval {
                    return Err(Refusal::OrderState {
                        action: "approve",
                        order: order.id,
                        standing: order.standing,
                        hint: "only an order that waits for approval is approved",
                    });
                }
                if order.operator == caller.account {
                    return Err(Refusal::OwnOrder(order.id));
                }
                let application = persistence::application_by_id(tx, &order.application)?
                    .ok_or_else(|| Refusal::ApplicationNotFound(order.application.to_string()))?;
                let rule = order.approval.as_ref().map(|a| a.rule.clone());
                let approval = Approval {
                    rule: rule.unwrap_or_default(),
                    by: Some((caller.account.clone(), now)),
                };
                persistence::approve_order(tx, &order.id, &approval)?;
                persistence::give_to_job(tx, &order.id, &job, Standing::Approved)?;
                let plan = Plan {
                    title: title(&order, &application.name),
                    claims: vec![application.resource()],
                    ..steps
                };
                submit(tx, &order, &application, job.clone(), plan, None, now)?;
                Ok(Asked {
                    order: order.id,
                    job: Some(job),
                    application: order.application,
                    version: order.to,
                    needs_approval: false,
                    repeated: false,
                })
            })
            .await?;
        self.jobs.wake();
        Ok(asked)
    }

    /// Takes back what the job of an order did, by an order of its own.
    ///
    /// # Errors
    /// [`Refusal::NotReversible`]; as [`Apps::order`].
    pub async fn undo(&self, caller: &Caller, job: &JobId, how: &How) -> Result<Asked, Refusal> {
        if let Some(asked) = self.asked_before(caller).await? {
            return Ok(asked);
        }
        let (application, wanted) = self.undoing(&caller.owner, job).await?;
        let resolved = self.resolve(caller, &application, wanted).await?;
        self.accept(caller, resolved, how, Some(job.clone()), false)
            .await
    }

    /// What taking back the job of an order would do.
    ///
    /// # Errors
    /// [`Refusal::NotReversible`]; as [`Apps::propose`].
    pub async fn propose_undo(
        &self,
        caller: &Caller,
        job: &JobId,
        how: &How,
    ) -> Result<Proposal, Refusal> {
        let (application, wanted) = self.undoing(&caller.owner, job).await?;
        self.propose(caller, &application, wanted, how).await
    }

    /// What an order that was applied is taken back by.
    async fn undoing(&self, owner: &AccountId, job: &JobId) -> Result<(String, Wanted), Refusal> {
        let (owner, job) = (owner.clone(), job.clone());
        self.store
            .read(move |tx| {
                let refuse = |why| {
                    Err(Refusal::NotReversible {
                        job: job.clone(),
                        why,
                    })
                };
                let found = persistence::order_of_job(tx, &job)?.filter(|o| o.owner == owner);
                let Some(order) = found else {
                    return refuse("it is not one of an application's orders");
                };
                let view = backout_jobs::expect_in(tx, &job)?;
                if view.outcome != Some(Outcome::Applied) {
                    return refuse("it was not applied, so there is nothing to take back");
                }
                if view.undone_by.is_some() {
                    return refuse("another job took it back already");
                }
                let application = persistence::application_by_id(tx, &order.application)?;
                let Some(application) = application else {
                    return refuse("the application is gone; deploy it anew");
                };
                let wanted = match (order.kind, order.from) {
                    (OrderKind::Deploy | OrderKind::Rollback | OrderKind::Resize, Some(from)) => {
                        if application.version != order.to {
                            return refuse(
                                "another version runs since; roll back to the one you want",
                            );
                        }
                        Wanted::Rollback {
                            to: Some(from.to_string()),
                        }
                    }
                    (OrderKind::Rescale | OrderKind::RemoveReplicas, _) => {
                        Wanted::Rescale(order.replicas_before)
                    }
                    (OrderKind::Start, _) => Wanted::Stop,
                    (OrderKind::Stop, _) => Wanted::Start,
                    (OrderKind::Restart | OrderKind::RestartReplicas, _) => {
                        return refuse("a restart left nothing that could be taken back");
                    }
                    (OrderKind::Delete, _) => {
                        return refuse("the application is gone; deploy it anew");
                    }
                    (
                        OrderKind::Create
                        | OrderKind::Deploy
                        | OrderKind::Rollback
                        | OrderKind::Resize,
                        _,
                    ) => return refuse("there was no version before; delete the application"),
                };
                Ok((application.id.to_string(), wanted))
            })
            .await
    }

    /// The order that makes an application with its first version.
    pub(super) async fn first_order(
        &self,
        caller: &Caller,
        application: Application,
        wanted: Wanted,
        how: &How,
    ) -> Result<Asked, Refusal> {
        let resolved = self.looked_up(caller, application, true, wanted).await?;
        self.accept(caller, resolved, how, None, false).await
    }

    /// What making an application with its first version would do.
    pub(super) async fn propose_first(
        &self,
        caller: &Caller,
        application: Application,
        wanted: Wanted,
        how: &How,
    ) -> Result<Proposal, Refusal> {
        let resolved = self.looked_up(caller, application, true, wanted).await?;
        self.proposal(caller, resolved, how).await
    }

    /// What an earlier call with the same idempotency key had asked for.
    pub(super) async fn asked_before(&self, caller: &Caller) -> Result<Option<Asked>, Refusal> {
        if caller.idempotency.is_none() {
            return Ok(None);
        }
        let caller = caller.clone();
        self.store.read(move |tx| asked_before(tx, &caller)).await
    }

    async fn resolve(
        &self,
        caller: &Caller,
        application: &str,
        wanted: Wanted,
    ) -> Result<Resolved, Refusal> {
        let application = self.get(&caller.owner, application).await?;
        self.here(&application)?;
        self.looked_up(caller, application, false, wanted).await
    }

    async fn looked_up(
        &self,
        caller: &Caller,
        application: Application,
        fresh: bool,
        wanted: Wanted,
    ) -> Result<Resolved, Refusal> {
        let owner = caller.owner.clone();
        let components = std::sync::Arc::clone(&self.runtime.components);
        let mut resolved = self
            .store
            .read(move |tx| look_up(tx, &owner, application, fresh, wanted, &components))
            .await?;
        if let Some(earlier) = &resolved.earlier {
            let (runtime, artifact) = (self.runtime.clone(), earlier.release.artifact.clone());
            resolved.package_is_kept = blocking(move || Ok(runtime.keeps(&artifact))).await?;
        }
        Ok(resolved)
    }

    /// Which replicas of an application take requests.
    pub(crate) async fn ready(&self, application: &Application) -> Result<Ready, Refusal> {
        let asked = application.clone();
        let artifacts = self
            .store
            .read(move |tx| Ok::<_, Refusal>(World::artifacts(tx, &asked)?))
            .await?
            .into_iter()
            .map(|(replica, _, artifact)| (replica.id, artifact))
            .collect();
        let statuses = self.runtime.statuses(artifacts).await;
        Ok(statuses
            .into_iter()
            .map(|(id, status)| (id, takes_requests(&status)))
            .collect())
    }

    async fn proposal(
        &self,
        caller: &Caller,
        resolved: Resolved,
        how: &How,
    ) -> Result<Proposal, Refusal> {
        let ready = self.ready(&resolved.application).await?;
        let (caller, how, now) = (caller.clone(), how.clone(), self.clock.now());
        let steps = self.steps();
        let (id, runtime) = (VersionId::random(self.entropy.as_ref()), &self.runtime);
        let driver = resolved
            .release
            .as_ref()
            .and_then(|release| runtime.driver(&release.artifact).err());
        self.store
            .read(move |tx| {
                let (world, to, mut proposed) = look(tx, &resolved, &ready, &how, id, now)?;
                proposed.blockers.extend(driver);
                let preflight = proposed.preflight();
                let rule = approval_rule(tx, &caller)?;
                Ok(Proposal {
                    preflight,
                    plan: Plan {
                        title: format!("{} {}", verb(resolved.kind), resolved.application.name),
                        claims: vec![resolved.application.resource()],
                        ..steps
                    },
                    planned: proposed.planned,
                    replicas_before: world.application.replicas,
                    replicas_after: proposed.wanted,
                    blockers: proposed.blockers,
                    application: world.application,
                    from: world.version,
                    to,
                    needs_approval: rule,
                })
            })
            .await
    }

    /// Checks, fetches, checks again and writes down.
    async fn accept(
        &self,
        caller: &Caller,
        mut resolved: Resolved,
        how: &How,
        undo_of: Option<JobId>,
        by_itself: bool,
    ) -> Result<Asked, Refusal> {
        check_text("description", &how.description, DESCRIPTION_MAX_CHARS)?;
        let ready = self.ready(&resolved.application).await?;
        if let Some(artifact) = resolved.artifact.take() {
            // What is refused anyway is not fetched.
            let (first, ready, how) = (resolved.clone(), ready.clone(), how.clone());
            let (id, now) = (VersionId::random(self.entropy.as_ref()), self.clock.now());
            self.store
                .read(move |tx| {
                    let (_, _, proposed) = look(tx, &first, &ready, &how, id, now)?;
                    refuse_if_any(proposed.blockers)
                })
                .await?;
            if let Some(release) = resolved.release.take() {
                self.runtime.driver(&release.artifact)?;
                resolved.release = Some(self.fetched(&artifact, release).await?);
            }
        }
        let writing = Writing {
            caller: caller.clone(),
            how: how.clone(),
            by_itself,
            undo_of,
            order: OrderId::random(self.entropy.as_ref()),
            version: VersionId::random(self.entropy.as_ref()),
            job: self.jobs.new_id(),
            now: self.clock.now(),
            plan: self.steps(),
        };
        let entropy = std::sync::Arc::clone(&self.entropy);
        let asked = self
            .store
            .write(move |tx| {
                let draw = || BatchId::random(entropy.as_ref());
                write_down(tx, resolved, &ready, writing, &draw)
            })
            .await?;
        self.jobs.wake();
        Ok(asked)
    }

    /// The steps of an order's job, for a plan.
    fn steps(&self) -> Plan {
        Plan {
            procedure: procedure::NAME.to_owned(),
            title: String::new(),
            claims: Vec::new(),
            steps: procedure::steps(),
        }
    }
}

/// Looks up all that was named.
fn look_up(
    tx: &mut dyn Tx,
    owner: &AccountId,
    application: Application,
    fresh: bool,
    wanted: Wanted,
    components: &crate::components::Components,
) -> Result<Resolved, Refusal> {
    let mut resolved = Resolved {
        fresh,
        kind: OrderKind::Start,
        release: None,
        label: String::new(),
        artifact: None,
        package_version: None,
        earlier: None,
        package_is_kept: true,
        these: Vec::new(),
        replicas: application.replicas,
        application,
    };
    let application = &resolved.application;
    resolved.kind = match wanted {
        Wanted::Deploy { release, label } => {
            check_text("label", &label, LABEL_MAX_CHARS)?;
            release.check(components, &persistence::service_settings(tx)?)?;
            let found = release.resolved(tx, owner, &application.namespace)?;
            resolved.release = Some(with_scaling(tx, application, found)?);
            let named = release.artifact.new_package_version();
            resolved.package_version = named.map(str::to_owned);
            resolved.artifact = Some(release.artifact);
            resolved.label = label;
            match fresh {
                true => OrderKind::Create,
                false => OrderKind::Deploy,
            }
        }
        Wanted::Rollback { to } => {
            resolved.earlier = Some(earlier(tx, application, to.as_deref())?);
            OrderKind::Rollback
        }
        Wanted::Resize {
            cpu_millis,
            memory_bytes,
        } => {
            let mut release = present(tx, application)?.release;
            release.cpu_millis = cpu_millis.or(release.cpu_millis);
            release.memory_bytes = memory_bytes.or(release.memory_bytes);
            release.replicas = application.replicas;
            let settings = persistence::service_settings(tx)?;
            check_size(release.cpu_millis, release.memory_bytes, &settings)?;
            resolved.release = Some(with_scaling(tx, application, release)?);
            OrderKind::Resize
        }
        Wanted::Start => OrderKind::Start,
        Wanted::Stop => OrderKind::Stop,
        Wanted::Restart => OrderKind::Restart,
        Wanted::RestartReplicas(these) => {
            resolved.these = replica_ids(&these)?;
            OrderKind::RestartReplicas
        }
        Wanted::RemoveReplicas(these) => {
            resolved.these = replica_ids(&these)?;
            OrderKind::RemoveReplicas
        }
        Wanted::Rescale(replicas) => {
            resolved.replicas = replicas;
            OrderKind::Rescale
        }
        Wanted::Delete => OrderKind::Delete,
    };
    Ok(resolved)
}

/// The release with the scaling rule that is on now: a rollback to it brings
/// that back.
fn with_scaling(
    tx: &mut dyn Tx,
    application: &Application,
    mut release: Release,
) -> Result<Release, Refusal> {
    let rules = persistence::scaling_rules(tx, &application.id)?;
    release.scaling = rules
        .into_iter()
        .map(|row| row.rule)
        .find(|rule| rule.enabled);
    Ok(release)
}

fn present(tx: &mut dyn Tx, application: &Application) -> Result<Version, Refusal> {
    let version = application
        .version
        .as_ref()
        .ok_or_else(|| Refusal::NotDeployed(application.id.clone()))?;
    version_of(tx, &application.id, version.as_str())
}

/// The version that is gone back to.
fn earlier(
    tx: &mut dyn Tx,
    application: &Application,
    to: Option<&str>,
) -> Result<Version, Refusal> {
    if let Some(to) = to {
        return version_of(tx, &application.id, to);
    }
    let before = present(tx, application)?.number;
    persistence::version_before(tx, &application.id, before)?.ok_or_else(|| {
        Refusal::VersionNotFound("that is older than the present one and not barred".to_owned())
    })
}

fn replica_ids(these: &[String]) -> Result<Vec<ReplicaId>, Refusal> {
    if these.is_empty() {
        return Err(Refusal::Empty("replicas"));
    }
    if these.len() > THESE_MAX {
        return Err(Refusal::Parameter {
            name: "replicas",
            why: format!("give at most {THESE_MAX} at once"),
        });
    }
    let mut ids = these
        .iter()
        .map(|id| {
            id.parse()
                .map_err(|_| Refusal::ReplicaNotFound(id.chars().take(100).collect()))
        })
        .collect::<Result<Vec<ReplicaId>, _>>()?;
    ids.sort();
    ids.dedup();
    Ok(ids)
}

/// What the order meets, the version that it goes to, and what it would do.
fn look(
    tx: &mut dyn Tx,
    resolved: &Resolved,
    ready: &Ready,
    how: &How,
    version: VersionId,
    now: Timestamp,
) -> Result<(World, Option<Version>, planning::Proposal), Refusal> {
    let id = &resolved.application.id;
    let mut blockers = Vec::new();
    let application = match resolved.fresh {
        true => {
            blockers.extend(room_for(tx, &resolved.application).err());
            resolved.application.clone()
        }
        false => persistence::application_by_id(tx, id)?
            .ok_or_else(|| Refusal::ApplicationNotFound(id.to_string()))?,
    };
    let leaving = match resolved.kind {
        OrderKind::RemoveReplicas => resolved.these.as_slice(),
        _ => &[],
    };
    let mut world = World::read(tx, application, leaving, ready)?;
    let to = match (&resolved.release, &resolved.earlier) {
        (Some(release), _) => {
            blockers.extend(package_version_taken(tx, resolved)?);
            Some(draft(
                version,
                id.clone(),
                persistence::next_version_number(tx, id)?,
                release.clone(),
                resolved.label.clone(),
                now,
            ))
        }
        // Its mark may have changed since it was looked up.
        (None, Some(earlier)) => Some(version_of(tx, id, earlier.id.as_str())?),
        (None, None) => None,
    };
    if let Some(to) = &to {
        world.look_at_port(tx, &to.release)?;
    }
    let change = match (resolved.kind, &to) {
        (OrderKind::Rollback, Some(to)) => Change::Rollback {
            to,
            package_is_kept: resolved.package_is_kept,
            scaling_on: how.scaling_on != Some(false),
        },
        (_, Some(to)) => Change::Deploy(to),
        (OrderKind::Start, _) => Change::Start,
        (OrderKind::Stop, _) => Change::Stop,
        (OrderKind::Restart, _) => Change::Restart,
        (OrderKind::Rescale, _) => Change::Rescale(resolved.replicas),
        (OrderKind::RemoveReplicas, _) => Change::Remove(&resolved.these),
        (OrderKind::Delete, _) => Change::Delete,
        (
            OrderKind::RestartReplicas
            | OrderKind::Create
            | OrderKind::Deploy
            | OrderKind::Rollback
            | OrderKind::Resize,
            None,
        ) => Change::RestartThese(&resolved.these),
    };
    let mut proposed = world.propose(change, &how.settings);
    proposed.blockers.splice(0..0, blockers);
    Ok((world, to, proposed))
}

/// Refuses a name of a package that a version of the application has.
fn package_version_taken(tx: &mut dyn Tx, resolved: &Resolved) -> Result<Option<Refusal>, Refusal> {
    let Some(named) = &resolved.package_version else {
        return Ok(None);
    };
    let taken = persistence::has_package_version(tx, &resolved.application.id, named)?;
    Ok(taken.then(|| Refusal::PackageVersionTaken(named.clone())))
}

/// The rule by which what this caller asks for waits for approval.
fn approval_rule(tx: &mut dyn Tx, caller: &Caller) -> Result<Option<String>, Refusal> {
    if caller.approval.is_some() {
        return Ok(caller.approval.clone());
    }
    let settings = persistence::account_settings(tx, &caller.owner)?;
    let rule = match settings.approval {
        ApprovalFor::Nobody => None,
        ApprovalFor::SubAccounts => (caller.account != caller.owner)
            .then(|| "what sub-accounts of this account ask for".to_owned()),
        ApprovalFor::Everybody => Some("all orders of this account".to_owned()),
    };
    Ok(rule)
}

fn write_down(
    tx: &mut dyn Tx,
    resolved: Resolved,
    ready: &Ready,
    writing: Writing,
    draw: &dyn Fn() -> BatchId,
) -> Result<Asked, Refusal> {
    let Writing {
        caller, how, now, ..
    } = &writing;
    // Another call with the same key may have been faster.
    if let Some(asked) = asked_before(tx, caller)? {
        return Ok(asked);
    }
    let version = writing.version.clone();
    let (world, to, proposed) = look(tx, &resolved, ready, how, version, *now)?;
    refuse_if_any(proposed.blockers)?;
    // Without blockers there is a plan.
    let planned = proposed
        .planned
        .ok_or_else(|| Refusal::Invalid("plan the order: there is no plan".to_owned()))?;
    let application = world.application;
    if resolved.fresh {
        insert(tx, &application)?;
    }
    if let (Some(_), Some(to)) = (&resolved.release, &to) {
        persistence::insert_version(tx, &to.id, &application.id, &to.release, &to.label, *now)?;
    }
    let rule = match writing.by_itself {
        true => None,
        false => approval_rule(tx, caller)?,
    };
    let waits = rule.is_some();
    let order = Order {
        id: writing.order.clone(),
        owner: caller.owner.clone(),
        operator: caller.account.clone(),
        request: caller.request.clone(),
        application: application.id.clone(),
        namespace: application.namespace.clone(),
        kind: resolved.kind,
        job: (!waits).then(|| writing.job.clone()),
        takes_back: None,
        from: application.version.clone(),
        to: match resolved.kind {
            OrderKind::Stop | OrderKind::Delete => None,
            _ => to.map(|v| v.id).or_else(|| application.version.clone()),
        },
        replicas_before: application.replicas,
        replicas_after: proposed.wanted,
        description: how.description.clone(),
        terms: Terms {
            settings: how.settings,
            scaling_on: how.scaling_on,
            these: resolved.these,
            undo_of: writing.undo_of.clone(),
        },
        plan: planned.plan,
        rollout: None,
        standing: match waits {
            true => Standing::WaitsForApproval,
            false => Standing::Preparing,
        },
        approval: rule.map(|rule| Approval { rule, by: None }),
        error: None,
        created: *now,
        ended: None,
    };
    if !persistence::insert_order(tx, &order)? {
        let open = persistence::open_order_of(tx, &application.id)?;
        return Err(Refusal::OrderRunning {
            order: open.map_or_else(|| order.id.clone(), |open| open.id),
            application: application.id,
        });
    }
    let batches: Vec<Batch> = (0..)
        .zip(&order.plan.batches)
        .map(|(number, _)| Batch {
            id: draw(),
            order: order.id.clone(),
            number,
            leg: Leg::Forward,
        })
        .collect();
    persistence::insert_batches(tx, &batches)?;
    if let Some(idempotency) = &caller.idempotency {
        let (key, hash) = (&idempotency.key, &idempotency.hash);
        if !persistence::remember_asked(tx, &caller.owner, key, hash, &order.id)? {
            return Err(Refusal::Store(backout_store::Error::Contended(
                "a call with the same idempotency key is under way".to_owned(),
            )));
        }
    }
    let asked = Asked {
        order: order.id.clone(),
        job: order.job.clone(),
        application: application.id.clone(),
        version: order.to.clone(),
        needs_approval: waits,
        repeated: false,
    };
    if !waits {
        let plan = Plan {
            title: title(&order, &application.name),
            claims: vec![application.resource()],
            ..writing.plan.clone()
        };
        let job = writing.job.clone();
        let idempotency = caller.idempotency.clone();
        submit(tx, &order, &application, job, plan, idempotency, *now)?;
    }
    Ok(asked)
}

/// Hands an order to a job.
fn submit(
    tx: &mut dyn Tx,
    order: &Order,
    application: &Application,
    job: JobId,
    plan: Plan,
    idempotency: Option<backout_jobs::Idempotency>,
    now: Timestamp,
) -> Result<(), Refusal> {
    let input = procedure::OrderInput {
        order: order.id.clone(),
    };
    let new = NewJob {
        id: job,
        procedure: plan.procedure.clone(),
        title: plan.title.clone(),
        account: order.owner.clone(),
        request: order.request.clone(),
        node: application.node.clone(),
        resource: application.resource(),
        claims: plan.claims.clone(),
        input: serde_json::to_value(input).map_err(|e| {
            Refusal::Store(backout_store::Error::corrupt(format!("job input: {e}")))
        })?,
        plan,
        undo_of: order.terms.undo_of.clone(),
        idempotency,
        background: false,
        now,
    };
    let submitted = backout_jobs::submit(tx, &new).map_err(|e| match e {
        SubmitError::Busy { job, .. } => Refusal::Busy {
            application: application.id.clone(),
            job,
        },
        SubmitError::IdempotencyMismatch { .. } => Refusal::IdempotencyMismatch,
        SubmitError::TooManyClaims { .. } => Refusal::Invalid(e.to_string()),
        SubmitError::Store(e) => Refusal::Store(e),
    })?;
    // The key made a job of another product: not this order's.
    match submitted.repeated {
        true => Err(Refusal::IdempotencyMismatch),
        false => Ok(()),
    }
}

fn asked_before(tx: &mut dyn Tx, caller: &Caller) -> Result<Option<Asked>, Refusal> {
    let Some(idempotency) = &caller.idempotency else {
        return Ok(None);
    };
    let found = persistence::asked_before(tx, &caller.owner, &idempotency.key)?;
    let Some((order, hash)) = found else {
        return Ok(None);
    };
    if hash != idempotency.hash {
        return Err(Refusal::IdempotencyMismatch);
    }
    let order = persistence::order_by_id(tx, &order)?
        .ok_or_else(|| Refusal::OrderNotFound(order.to_string()))?;
    Ok(Some(Asked {
        needs_approval: order.standing == Standing::WaitsForApproval,
        order: order.id,
        job: order.job,
        application: order.application,
        version: order.to,
        repeated: true,
    }))
}

/// An order of an owner, by its id.
pub(super) fn order_of(tx: &mut dyn Tx, owner: &AccountId, wanted: &str) -> Result<Order, Refusal> {
    persistence::order(tx, owner, wanted)?
        .ok_or_else(|| Refusal::OrderNotFound(wanted.chars().take(100).collect()))
}

fn refuse_if_any(blockers: Vec<Refusal>) -> Result<(), Refusal> {
    match blockers.is_empty() {
        true => Ok(()),
        false => Err(Refusal::of(blockers)),
    }
}

/// One line for people about what an order does.
fn title(order: &Order, name: &str) -> String {
    format!("{} {name}", verb(order.kind))
}

const fn verb(kind: OrderKind) -> &'static str {
    match kind {
        OrderKind::Create => "create application",
        OrderKind::Deploy => "deploy application",
        OrderKind::Rollback => "roll back application",
        OrderKind::Start => "start application",
        OrderKind::Stop => "stop application",
        OrderKind::Restart => "restart application",
        OrderKind::RestartReplicas => "restart replicas of application",
        OrderKind::Rescale => "rescale application",
        OrderKind::RemoveReplicas => "remove replicas of application",
        OrderKind::Resize => "resize replicas of application",
        OrderKind::Delete => "delete application",
    }
}
