//! What an order would do, and all that stands in its way. Pure: the call, its
//! dry run and the job ask the same function.

use backout_core::code::Code;
use backout_core::ids::{JobId, OrderId, ReplicaId};
use backout_core::plan::{Finding, Preflight};
use backout_rollout::plan::plan;
use backout_rollout::{
    Floor, Limits, Planned, Release as Number, Request, Rollout, Scope, Slot, Standing, Strategy,
    Surge, Warning,
};

use serde::{Deserialize, Serialize};

use crate::model::{Application, ApplicationState, Replica, Version};
use crate::refusal::{QuotaOf, Refusal};

/// What is to become of the replicas.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// They run this new version.
    Deploy(&'a Version),
    /// They run this earlier version.
    Rollback {
        /// The version.
        to: &'a Version,
        /// Whether its package, if it has one, is kept here.
        package_is_kept: bool,
        /// Whether its scaling rule is switched on again.
        scaling_on: bool,
    },
    /// As many as the application is to have are started.
    Start,
    /// All are stopped.
    Stop,
    /// All are started anew.
    Restart,
    /// These are started anew.
    RestartThese(&'a [ReplicaId]),
    /// There are so many.
    Rescale(u32),
    /// These are taken away, for good. Their places are the last
    /// ([`arranged`]).
    Remove(&'a [ReplicaId]),
    /// All are stopped, for good.
    Delete,
}

impl Change<'_> {
    /// What is done, as a verb.
    const fn verb(&self) -> &'static str {
        match self {
            Self::Deploy(_) => "deploy",
            Self::Rollback { .. } => "roll back",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart | Self::RestartThese(_) => "restart",
            Self::Rescale(_) => "rescale",
            Self::Remove(_) => "take replicas away from",
            Self::Delete => "delete",
        }
    }
}

/// How it is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// How many replicas must stay ready; 0 none, -1 a quarter.
    pub least_ready: Option<i64>,
    /// The same in per cent; -1 not used.
    pub least_ready_percent: Option<i64>,
    /// In how many batches.
    pub strategy: Strategy,
    /// Seconds between batches.
    pub batch_wait_s: Option<i64>,
    /// How many may run beyond the usual number.
    pub surge: Surge,
}

impl Default for Settings {
    /// At once, with a quarter kept ready.
    fn default() -> Self {
        Self {
            least_ready: None,
            least_ready_percent: None,
            strategy: Strategy::AllAtOnce,
            batch_wait_s: None,
            surge: Surge::Least,
        }
    }
}

/// How many replicas there may be, and how much they may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Of one application.
    pub of_application: u32,
    /// Of all applications of one account together.
    pub of_account: u32,
    /// The processor time of all replicas of all accounts, in thousandths of
    /// one processor; none, no bound.
    pub cpu_millis: Option<u64>,
    /// Their memory, in bytes; none, no bound.
    pub memory_bytes: Option<u64>,
}

/// How much something takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compute {
    /// Processor time, in thousandths of one processor.
    pub cpu_millis: u64,
    /// Memory, in bytes.
    pub memory_bytes: u64,
}

/// A replica that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// Which.
    pub replica: Replica,
    /// The number of the version it runs.
    pub version: u64,
    /// Whether it takes requests.
    pub ready: bool,
}

/// All that the answer depends on.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The application.
    pub application: &'a Application,
    /// The number of its version.
    pub version: Option<u64>,
    /// Its replicas, oldest first.
    pub replicas: &'a [Present],
    /// Its order that is not over.
    pub open_order: Option<&'a OrderId>,
    /// The job that holds it.
    pub held_by: Option<&'a JobId>,
    /// How many replicas its owner's other applications are to have.
    pub replicas_elsewhere: u64,
    /// How many there may be.
    pub quotas: Quotas,
    /// What the replicas of all other applications, of all accounts, may take.
    pub compute_elsewhere: Compute,
    /// What one replica may take, of the version that new ones run.
    pub size: Compute,
    /// Its owner owes money.
    pub in_debt: bool,
    /// The service takes no orders.
    pub upgrading: bool,
}

/// The replicas in the order in which they are numbered for an order: oldest
/// first, and last those that it takes away, since the last places go first.
#[must_use]
pub fn arranged(mut replicas: Vec<Replica>, leaving: &[ReplicaId]) -> Vec<Replica> {
    replicas.sort_by_key(|replica| leaving.contains(&replica.id));
    replicas
}

/// What an order would do.
#[derive(Debug)]
pub struct Proposal {
    /// All that stands in the way. Empty: it may run.
    pub blockers: Vec<Refusal>,
    /// What should be known before.
    pub warnings: Vec<Finding>,
    /// How it is done; none when that cannot be told.
    pub planned: Option<Planned>,
    /// How many replicas there are to be afterwards.
    pub wanted: u32,
    /// Which are replaced.
    pub scope: Scope,
    /// The number of the version that new ones run.
    pub target: u64,
}

impl Proposal {
    /// As it is shown.
    #[must_use]
    pub fn preflight(&self) -> Preflight {
        Preflight {
            blockers: self.blockers.iter().map(Refusal::finding).collect(),
            warnings: self.warnings.clone(),
            ..Preflight::default()
        }
    }

    /// The machine that does it; none when something stands in the way.
    #[must_use]
    pub fn machine(&self, replicas: &[Present], limits: Limits) -> Option<Rollout> {
        let planned = self.planned.as_ref().filter(|_| self.blockers.is_empty())?;
        let standing: Vec<Standing> = replicas
            .iter()
            .map(|p| Standing {
                release: number(p.version),
                ready: p.ready,
            })
            .collect();
        Some(Rollout::new(
            planned.plan.clone(),
            limits,
            &standing,
            number(self.target),
            self.wanted,
            &self.scope,
        ))
    }
}

/// The number by which the machine knows a version. An application does not
/// come to have four milliards of them.
fn number(version: u64) -> Number {
    Number(u32::try_from(version).unwrap_or(u32::MAX))
}

/// Says what an order would do, with all that stands in its way.
#[must_use]
pub fn propose(facts: &Facts<'_>, change: Change<'_>, settings: &Settings) -> Proposal {
    let mut blockers = Vec::new();
    service(facts, change, &mut blockers);
    busy(facts, &mut blockers);
    state(facts, change, &mut blockers);
    target(change, &mut blockers);
    let wanted = wanted(facts, change);
    quotas(facts, wanted, &mut blockers);
    let scope = scope(facts, change, &mut blockers);
    let target = match change {
        Change::Deploy(version) | Change::Rollback { to: version, .. } => version.number,
        _ => facts.version.unwrap_or(0),
    };
    let replaced = replaced(facts, wanted, &scope, target);
    let planned = match layout(facts, change, settings, wanted, replaced) {
        Ok(planned) => Some(planned),
        Err(e) => {
            blockers.push(e.into());
            None
        }
    };
    let mut warnings = Vec::new();
    if let Some(planned) = &planned {
        warnings.extend(planned.warnings.iter().map(told));
    }
    let nothing = replaced == 0 && wanted as usize == facts.replicas.len();
    not_brought_back(change, nothing, &mut warnings);
    Proposal {
        blockers,
        warnings,
        planned,
        wanted,
        scope,
        target,
    }
}

/// What stands in the way of all orders, or of all of one account.
fn service(facts: &Facts<'_>, change: Change<'_>, blockers: &mut Vec<Refusal>) {
    if facts.upgrading {
        blockers.push(Refusal::Upgrading);
    }
    // What takes less is always welcome.
    let less = matches!(change, Change::Stop | Change::Delete | Change::Remove(_));
    if facts.in_debt && !less {
        blockers.push(Refusal::InDebt);
    }
}

fn busy(facts: &Facts<'_>, blockers: &mut Vec<Refusal>) {
    let application = facts.application.id.clone();
    if let Some(order) = facts.open_order {
        blockers.push(Refusal::OrderRunning {
            application,
            order: order.clone(),
        });
    } else if let Some(job) = facts.held_by {
        blockers.push(Refusal::Busy {
            application,
            job: job.clone(),
        });
    }
}

fn state(facts: &Facts<'_>, change: Change<'_>, blockers: &mut Vec<Refusal>) {
    let needs_version = !matches!(change, Change::Deploy(_) | Change::Delete);
    if needs_version && facts.version.is_none() {
        blockers.push(Refusal::NotDeployed(facts.application.id.clone()));
        return;
    }
    let hint = match (facts.application.state, change) {
        (ApplicationState::Deleting, _) => "it will not be there much longer",
        (ApplicationState::Running, Change::Start) => "it runs already",
        (ApplicationState::Stopped, Change::Stop) => "it is stopped already",
        (
            ApplicationState::Stopped,
            Change::Rollback { .. }
            | Change::Restart
            | Change::RestartThese(_)
            | Change::Remove(_)
            | Change::Rescale(_),
        ) => "start it first",
        _ => return,
    };
    blockers.push(Refusal::State {
        action: change.verb(),
        application: facts.application.id.clone(),
        state: facts.application.state,
        hint,
    });
}

/// What is wrong with the version that is gone back to.
fn target(change: Change<'_>, blockers: &mut Vec<Refusal>) {
    let Change::Rollback {
        to,
        package_is_kept,
        ..
    } = change
    else {
        return;
    };
    if let Some(why) = &to.barred {
        blockers.push(Refusal::Barred {
            version: to.id.clone(),
            why: why.clone(),
        });
    }
    if to.release.artifact.package().is_some() && !package_is_kept {
        blockers.push(Refusal::PackageGone(to.id.clone()));
    }
}

/// How many replicas there are to be afterwards.
fn wanted(facts: &Facts<'_>, change: Change<'_>) -> u32 {
    match change {
        Change::Deploy(version) | Change::Rollback { to: version, .. } => version.release.replicas,
        Change::Start | Change::Restart | Change::RestartThese(_) => facts.application.replicas,
        Change::Stop | Change::Delete => 0,
        Change::Rescale(replicas) => replicas,
        Change::Remove(these) => {
            let there = |id: &&ReplicaId| facts.replicas.iter().any(|p| p.replica.id == **id);
            let leaving = u32::try_from(these.iter().filter(there).count()).unwrap_or(u32::MAX);
            facts.application.replicas.saturating_sub(leaving)
        }
    }
}

fn quotas(facts: &Facts<'_>, wanted: u32, blockers: &mut Vec<Refusal>) {
    let running = match facts.application.state {
        ApplicationState::Stopped => 0,
        ApplicationState::Running | ApplicationState::Deleting => facts.application.replicas,
    };
    compute(facts, wanted, running, blockers);
    // Who takes some away is not told that there are too many.
    if wanted <= running {
        return;
    }
    if wanted > facts.quotas.of_application {
        blockers.push(Refusal::Quota {
            of: QuotaOf::ReplicasOfApplication,
            most: facts.quotas.of_application.into(),
        });
    }
    let together = facts.replicas_elsewhere.saturating_add(wanted.into());
    if together > facts.quotas.of_account.into() {
        blockers.push(Refusal::Quota {
            of: QuotaOf::ReplicasOfAccount,
            most: facts.quotas.of_account.into(),
        });
    }
}

/// Whether there is room for what all take together. A deploy of larger replicas
/// needs room as well as one of more.
fn compute(facts: &Facts<'_>, wanted: u32, running: u32, blockers: &mut Vec<Refusal>) {
    if wanted == 0 || wanted < running {
        return;
    }
    let all =
        |one: u64, elsewhere: u64| one.saturating_mul(wanted.into()).saturating_add(elsewhere);
    let Compute {
        cpu_millis,
        memory_bytes,
    } = facts.compute_elsewhere;
    for (of, needed, most) in [
        (
            QuotaOf::Processor,
            all(facts.size.cpu_millis, cpu_millis),
            facts.quotas.cpu_millis,
        ),
        (
            QuotaOf::Memory,
            all(facts.size.memory_bytes, memory_bytes),
            facts.quotas.memory_bytes,
        ),
    ] {
        if let Some(most) = most.filter(|most| needed > *most) {
            blockers.push(Refusal::Quota { of, most });
        }
    }
}

fn scope(facts: &Facts<'_>, change: Change<'_>, blockers: &mut Vec<Refusal>) -> Scope {
    match change {
        Change::Deploy(_) | Change::Rollback { .. } => Scope::Others,
        Change::Restart => Scope::All,
        Change::Start | Change::Stop | Change::Rescale(_) | Change::Delete => Scope::None,
        Change::RestartThese(these) => Scope::These(slots(facts, these, blockers)),
        Change::Remove(these) => {
            slots(facts, these, blockers);
            Scope::None
        }
    }
}

/// The places of some replicas.
fn slots(facts: &Facts<'_>, these: &[ReplicaId], blockers: &mut Vec<Refusal>) -> Vec<Slot> {
    let mut slots = Vec::new();
    for id in these {
        match facts
            .replicas
            .iter()
            .zip(0..)
            .find(|(p, _)| p.replica.id == *id)
        {
            Some((_, slot)) => slots.push(Slot(slot)),
            None => blockers.push(Refusal::ReplicaNotFound(id.to_string())),
        }
    }
    slots.sort_unstable();
    slots.dedup();
    slots
}

/// How many of the replicas that stay are replaced.
fn replaced(facts: &Facts<'_>, wanted: u32, scope: &Scope, target: u64) -> u32 {
    let staying = facts.replicas.iter().zip(0..).take(wanted as usize);
    let replaced = staying.filter(|(present, slot)| match scope {
        Scope::All => true,
        Scope::Others => present.version != target,
        Scope::None => false,
        Scope::These(slots) => slots.contains(&Slot(*slot)),
    });
    u32::try_from(replaced.count()).unwrap_or(u32::MAX)
}

fn layout(
    facts: &Facts<'_>,
    change: Change<'_>,
    settings: &Settings,
    wanted: u32,
    replaced: u32,
) -> Result<Planned, backout_rollout::Refusal> {
    let stops = matches!(change, Change::Start | Change::Stop | Change::Delete);
    let now = match facts.application.state {
        ApplicationState::Stopped => 0,
        ApplicationState::Running | ApplicationState::Deleting => facts.application.replicas,
    };
    plan(&Request {
        now,
        wanted,
        replaced,
        floor: match stops {
            true => Floor::Interrupt,
            false => Floor::from_numbers(settings.least_ready, settings.least_ready_percent)?,
        },
        strategy: settings.strategy,
        batch_wait_s: settings.batch_wait_s,
        surge: settings.surge,
    })
}

/// A warning of the planner, as a line of the preflight.
fn told(warning: &Warning) -> Finding {
    let (code, message) = match *warning {
        Warning::Interrupts => (
            Code::Interruption,
            "keep the application in service: no replica need stay ready; ask for at least one"
                .to_owned(),
        ),
        Warning::StrategyAtFloorOne => (
            Code::PlanAdjusted,
            "be strict about batches: they are meant for more than one replica that stays ready; they are followed all the same".to_owned(),
        ),
        Warning::FloorLowered { asked, held } => (
            Code::PlanAdjusted,
            format!("keep {asked} replicas ready: there will be {held}, and those are kept ready"),
        ),
        Warning::Surges { instances } => (
            Code::PlanAdjusted,
            format!("keep to the usual number of replicas: up to {instances} more run for a while; see that there is memory for them"),
        ),
    };
    Finding { code, message }
}

fn not_brought_back(change: Change<'_>, nothing: bool, warnings: &mut Vec<Finding>) {
    if nothing && matches!(change, Change::Deploy(_) | Change::Rollback { .. }) {
        warnings.push(Finding {
            code: Code::PlanAdjusted,
            message: "change a replica: all run that version already; nothing will be done"
                .to_owned(),
        });
    }
    let Change::Rollback { to, scaling_on, .. } = change else {
        return;
    };
    if let Some(rule) = to
        .release
        .scaling
        .as_ref()
        .filter(|r| r.enabled && !scaling_on)
    {
        warnings.push(Finding {
            code: Code::NotBroughtBack,
            message: format!(
                "switch scaling rule {:?} on again: it stays off, as was asked; switch it on by hand",
                rule.name
            ),
        });
    }
}
