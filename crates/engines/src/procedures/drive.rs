//! Carries a change out: what the machine of `backout-rollout` commands is done
//! with instances and the endpoint, and what becomes of them is told to it.
//!
//! The machine is stored after each event and before its commands are carried
//! out, under the job's fence. Whoever goes on after a crash wakes it, shows it
//! what there is, and does again what was commanded: all of that may be done
//! twice. The endpoint is set to what the machine has, as a whole, so that it is
//! moved from the old instance to the new one in one step.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::sync::Arc;
use std::time::Duration;

use backout_core::code::Code;
use backout_core::time::{Clock as _, SystemClock};
use backout_gateway::{Backend, Client, Intake};
use backout_jobs::{Done, StepContext, StepError};
use backout_rollout::plan::plan;
use backout_rollout::{
    Command, End, Event, Floor, Leg, Observed, Phase, Release, Request, Rollout, Scope, Seen, Slot,
    Standing, Status, Strategy, Surge, Why,
};
use backout_workloads::{InstanceId, LogFrom, Watch};

use super::{GATEWAY_PATIENCE, Times, clear, gateway, launch, limits, rows, workload};
use crate::model::{Change, Drive, Driver as Speaks, Engine, Setup, Wanted};
use crate::persistence;
use crate::planning::{AFTER, BEFORE, is_same};
use crate::runtime::Runtime;

/// How long nothing is looked at while nothing is told to have changed: what is
/// asked of a job is heard of at once anyway.
const LOOK: Duration = Duration::from_millis(500);

/// An instance that ended so often is not waited for any longer.
const RESTARTS_MAX: u64 = 2;

/// How much of an instance's log is told when it did not come up, in lines.
const LAST_LINES: usize = 8;

/// The most of that, in characters.
const LAST_CHARS: usize = 1500;

/// Carries the change of a job out.
pub(super) async fn forward(runtime: &Runtime, ctx: &StepContext) -> Result<Done, StepError> {
    let Some(driver) = Driver::load(runtime, ctx).await? else {
        return Err(StepError::failed(
            Code::Internal,
            format!("go on with job {}: nothing was laid out", ctx.job),
        ));
    };
    driver.forward().await?;
    Ok(Done::nothing())
}

/// Takes it back, however far it came.
pub(super) async fn back(runtime: &Runtime, ctx: &StepContext) -> Result<Done, StepError> {
    if let Some(driver) = Driver::load(runtime, ctx).await? {
        let made = (driver.change.wanted == Wanted::Create).then(|| driver.engine.id.clone());
        driver.back().await?;
        if let Some(id) = made {
            clear(runtime, ctx, &id).await?;
        }
    }
    Ok(Done::nothing())
}

/// Carries out the change of one job.
struct Driver<'a> {
    runtime: &'a Runtime,
    ctx: &'a StepContext,
    change: Change,
    engine: Engine,
    drive: Drive,
    client: Client,
    /// Where instances listen, as far as known.
    addresses: BTreeMap<String, SocketAddr>,
    /// Commands that were carried out by this worker.
    done: BTreeSet<(u8, u32)>,
    /// What the endpoint was set to last.
    told: Option<Vec<Backend>>,
}

impl<'a> Driver<'a> {
    /// Goes on with a change, wherever it is; none when nothing was laid out.
    async fn load(runtime: &'a Runtime, ctx: &'a StepContext) -> Result<Option<Self>, StepError> {
        let (mut change, engine) = rows(ctx).await?;
        let Some(drive) = change.drive.take() else {
            return Ok(None);
        };
        let client = runtime.gateway(&change.engine).map_err(gateway)?;
        Ok(Some(Self {
            runtime,
            ctx,
            change,
            engine,
            drive,
            client,
            addresses: BTreeMap::new(),
            done: BTreeSet::new(),
            told: None,
        }))
    }

    /// Carries the change out. When an instance does not come up, all goes back
    /// to what it was, and that is the failure.
    async fn forward(mut self) -> Result<(), StepError> {
        let end = self.run(true).await?;
        match end {
            End::Succeeded | End::Aborted => Ok(()),
            End::RolledBack => Err(StepError::failed(
                Code::EngineUnhealthy,
                self.drive.trouble.clone().unwrap_or_else(|| {
                    format!("bring up data engine {}: it did not answer", self.engine.id)
                }),
            )),
        }
    }

    /// Goes back to what ran before.
    async fn back(mut self) -> Result<(), StepError> {
        match self.drive.rollout.status() {
            Status::Preparing | Status::Ended(End::RolledBack | End::Aborted) => return Ok(()),
            Status::Ended(End::Succeeded) => {
                if is_same(self.change.from.as_ref(), self.change.to.as_ref()) {
                    return Ok(());
                }
                self.turn_round()?;
                self.store().await?;
            }
            Status::Stuck if self.drive.rollout.leg() == Leg::Back => {
                self.apply(Event::Retry)?;
                self.store().await?;
            }
            _ if self.drive.rollout.leg() == Leg::Forward && self.drive.round == 0 => {
                self.apply(Event::Abort { rollback: true })?;
                self.store().await?;
            }
            Status::Stuck => {
                self.apply(Event::Retry)?;
                self.store().await?;
            }
            _ => {}
        }
        self.run(false).await?;
        Ok(())
    }

    /// A machine for the way back of one that had come to its end.
    fn turn_round(&mut self) -> Result<(), StepError> {
        let live: Vec<(Slot, Release, Phase)> = self.drive.rollout.live().collect();
        let standing: Vec<String> = live
            .iter()
            .map(|(slot, _, _)| self.drive.name(&self.engine.id, self.change.number, *slot))
            .collect();
        let (now, wanted) = (
            u32::from(!live.is_empty()),
            u32::from(self.change.from.is_some()),
        );
        let replaced = u32::from(now == 1 && wanted == 1);
        let planned = plan(&Request {
            now,
            wanted,
            replaced,
            floor: match replaced {
                1 => Floor::System,
                _ => Floor::Interrupt,
            },
            strategy: Strategy::AllAtOnce,
            batch_wait_s: None,
            surge: Surge::Count(replaced),
        });
        let planned = planned.map_err(|e| StepError::failed(e.code(), e.to_string()))?;
        let times = Times {
            start_ms: self.change.from.as_ref().map(|from| from.launch.start_ms),
            waits: true,
        };
        let stand = live.iter().map(|(_, release, phase)| Standing {
            release: *release,
            ready: *phase == Phase::Ready,
        });
        self.drive = Drive {
            rollout: Rollout::new(
                planned.plan,
                limits(self.runtime, &times),
                &stand.collect::<Vec<_>>(),
                BEFORE,
                wanted,
                &Scope::Others,
            ),
            standing,
            round: self.drive.round + 1,
            trouble: self.drive.trouble.take(),
        };
        Ok(())
    }

    /// Lets the machine run to its end.
    async fn run(&mut self, forward: bool) -> Result<End, StepError> {
        match self.drive.rollout.status() {
            Status::Ended(end) => {
                // Whoever wrote that down may not have come to this.
                self.look().await?;
                self.set_endpoint().await?;
                self.clear_up().await?;
                return Ok(end);
            }
            Status::Preparing => self.apply(Event::Begin)?,
            _ => self.apply(Event::Wake)?,
        }
        self.store().await?;
        loop {
            if self.ctx.leave.requested() {
                return Err(StepError::Stale);
            }
            if forward && self.ctx.cancel.requested() {
                return Err(StepError::Cancelled);
            }
            // Made before anything is looked at, so that nothing is missed.
            let watch = self.watch().await?;
            self.carry_out().await?;
            let seen = self.look().await?;
            let before = self.drive.rollout.clone();
            let now = SystemClock.now();
            self.drive.rollout.observe(&seen, now);
            self.apply(Event::Tick)?;
            self.take_up_failure(forward).await?;
            let changed = before != self.drive.rollout;
            if changed {
                self.store().await?;
            }
            self.set_endpoint().await?;
            match self.drive.rollout.status() {
                Status::Ended(end) => {
                    self.clear_up().await?;
                    return Ok(end);
                }
                Status::Stuck => return Err(self.stuck()),
                _ if changed => {}
                _ => self.wait(watch).await?,
            }
        }
    }

    /// What failed on the way forward is taken back at once.
    async fn take_up_failure(&mut self, forward: bool) -> Result<(), StepError> {
        let failed = self.drive.rollout.status() == Status::Stuck;
        if !failed {
            return Ok(());
        }
        let trouble = self.tell_trouble().await;
        self.drive.trouble = Some(trouble);
        if forward && self.drive.rollout.leg() == Leg::Forward {
            self.apply(Event::Abort { rollback: true })?;
        }
        Ok(())
    }

    /// Why an instance did not come up or go, for people.
    async fn tell_trouble(&self) -> String {
        let failure = self.drive.rollout.progress().failure;
        let Some((slot, why)) = failure.and_then(|f| Some((f.slot?, f.why))) else {
            return format!(
                "change data engine {}: nothing moved any more",
                self.engine.id
            );
        };
        let name = self.drive.name(&self.engine.id, self.change.number, slot);
        let what = match why {
            Why::Ended => "it ended",
            Why::NotReady => "it did not answer in time",
            Why::NotStopped => "it could not be stopped in time",
            Why::Floor => "nothing moved any more",
        };
        let known = self.drive.trouble.clone().filter(|_| why == Why::Ended);
        let said = known.unwrap_or(self.last_words(&name).await);
        format!(
            "run instance {name} of data engine {}: {what}; {said}",
            self.engine.id
        )
    }

    /// The end of an instance's log.
    async fn last_words(&self, name: &str) -> String {
        let Ok(id) = name.parse::<InstanceId>() else {
            return String::new();
        };
        let processes = Arc::clone(&self.runtime.processes);
        let read = self.ctx.blocking(move || {
            let chunk = processes
                .logs(&id, LogFrom::LastLines(LAST_LINES))
                .map_err(workload)?;
            Ok(String::from_utf8_lossy(&chunk.bytes).into_owned())
        });
        let text = read.await.unwrap_or_default();
        let skip = text.chars().count().saturating_sub(LAST_CHARS);
        let text: String = text.chars().skip(skip).collect();
        format!("its log ends with {:?}", text.trim())
    }

    fn stuck(&self) -> StepError {
        StepError::failed(
            Code::EngineUnhealthy,
            self.drive.trouble.clone().unwrap_or_else(|| {
                format!("change data engine {}: it stands still", self.engine.id)
            }),
        )
    }

    fn apply(&mut self, event: Event) -> Result<(), StepError> {
        let applied = self.drive.rollout.apply(event, SystemClock.now());
        applied.map(drop).map_err(|e| {
            StepError::failed(
                Code::Internal,
                format!("change data engine {}: {e}", self.engine.id),
            )
        })
    }

    async fn store(&self) -> Result<(), StepError> {
        let (job, drive) = (self.ctx.job.clone(), self.drive.clone());
        let progress = drive.rollout.progress();
        let percent = (progress.done * 100)
            .checked_div(progress.total)
            .unwrap_or(100);
        let percent = u8::try_from(percent).unwrap_or(100);
        self.ctx.progress(percent, phase_words(&self.drive.rollout));
        self.ctx
            .write(move |tx| persistence::set_drive(tx, &job, &drive))
            .await
    }

    /// What runs in a release.
    fn setup(&self, release: Release) -> Result<&Setup, StepError> {
        let setup = match release {
            BEFORE => self.change.from.as_ref(),
            AFTER => self.change.to.as_ref(),
            _ => None,
        };
        setup.ok_or_else(|| {
            StepError::failed(
                Code::Internal,
                format!(
                    "find what data engine {} ran: it is not recorded",
                    self.engine.id
                ),
            )
        })
    }

    /// Does what was commanded and is not done.
    async fn carry_out(&mut self) -> Result<(), StepError> {
        for command in self.drive.rollout.pending() {
            match command {
                Command::Start { slot, release } if self.done.insert((0, slot.0)) => {
                    self.start(slot, release).await?;
                }
                Command::Stop { slot } if self.done.insert((1, slot.0)) => {
                    self.set_endpoint().await?;
                    self.stop(slot).await?;
                }
                // The endpoint is set to what the machine has.
                _ => {}
            }
        }
        Ok(())
    }

    async fn start(&mut self, slot: Slot, release: Release) -> Result<(), StepError> {
        let setup = self.setup(release)?.clone();
        let id = self.id(slot)?;
        let spec = launch::spec(self.runtime, &self.engine, &setup, id);
        let (processes, fence) = (Arc::clone(&self.runtime.processes), self.ctx.fence);
        let data = self.runtime.data(&self.engine.id);
        let started = self.ctx.blocking(move || {
            let mut builder = std::fs::DirBuilder::new();
            builder
                .recursive(true)
                .mode(0o700)
                .create(&data)
                .map_err(|e| StepError::again(Code::InstanceIo, format!("create {data:?}: {e}")))?;
            processes.start(fence, &spec).map_err(workload)
        });
        match started.await {
            Ok(_) => Ok(()),
            // What will not start is as good as ended.
            Err(StepError::Failed { message, .. }) => {
                self.drive.trouble = Some(message);
                self.apply(Event::Ended(slot))
            }
            Err(e) => Err(e),
        }
    }

    async fn stop(&self, slot: Slot) -> Result<(), StepError> {
        let id = self.id(slot)?;
        let (processes, fence) = (Arc::clone(&self.runtime.processes), self.ctx.fence);
        let grace = Duration::from_millis(self.runtime.grace_ms);
        self.ctx
            .blocking(move || {
                processes.stop(fence, &id, grace).map_err(workload)?;
                processes.remove(fence, &id).map_err(workload)
            })
            .await
    }

    /// Takes away what is left of instances that ended by themselves.
    async fn clear_up(&self) -> Result<(), StepError> {
        let rollout = &self.drive.rollout;
        let standing = (0_u32..).map(Slot).take(self.drive.standing.len());
        let changed = rollout.changes().flat_map(|c| [c.old, c.new]).flatten();
        let gone: BTreeSet<Slot> = standing
            .chain(changed)
            .filter(|slot| !self.done.contains(&(1, slot.0)))
            .filter(|slot| rollout.live().all(|(live, ..)| live != *slot))
            .collect();
        for slot in gone {
            self.stop(slot).await?;
        }
        Ok(())
    }

    fn id(&self, slot: Slot) -> Result<InstanceId, StepError> {
        self.drive
            .name(&self.engine.id, self.change.number, slot)
            .parse()
            .map_err(workload)
    }

    /// The slots that are not gone, with their instances.
    fn live(&self) -> Vec<(Slot, Phase, String)> {
        let drive = &self.drive;
        let live = drive.rollout.live();
        live.map(|(slot, _, phase)| {
            (
                slot,
                phase,
                drive.name(&self.engine.id, self.change.number, slot),
            )
        })
        .collect()
    }

    async fn watch(&self) -> Result<Box<dyn Watch>, StepError> {
        let live = self.live();
        let ids = live.iter().map(|(_, _, name)| name.parse());
        let ids: Vec<InstanceId> = ids.collect::<Result<_, _>>().map_err(workload)?;
        let processes = Arc::clone(&self.runtime.processes);
        self.ctx
            .blocking(move || processes.watch(&ids).map_err(workload))
            .await
    }

    /// Looks at all instances.
    async fn look(&mut self) -> Result<Vec<Observed>, StepError> {
        let live = self.live();
        let processes = Arc::clone(&self.runtime.processes);
        let names: Vec<String> = live.iter().map(|(_, _, name)| name.clone()).collect();
        let found = self
            .ctx
            .blocking(move || {
                let one = |name: &String| {
                    let id = name.parse().map_err(workload)?;
                    processes.status(&id).map_err(workload)
                };
                names.iter().map(one).collect::<Result<Vec<_>, _>>()
            })
            .await?;
        let drains = live
            .iter()
            .any(|(_, phase, _)| matches!(phase, Phase::Draining { .. }));
        let endpoint = match drains {
            // Where no process is on the endpoint, nothing is under way there.
            true => match self.client.status().await {
                Err(backout_gateway::Error::Unreachable { .. }) => None,
                other => Some(other.map_err(gateway)?),
            },
            false => None,
        };
        let forward = self.drive.rollout.leg() == Leg::Forward;
        let settled = self.settles_in().is_none();
        let mut seen = Vec::new();
        for ((slot, phase, name), status) in live.into_iter().zip(found) {
            let Some(status) = status else { continue };
            if let Some(address) = status.address {
                self.addresses.insert(name.clone(), address);
            }
            let drained = || {
                let backend = endpoint.as_ref().and_then(|e| e.backend(&name));
                settled && backend.is_none_or(backout_gateway::BackendStatus::is_drained)
            };
            let seen_as = match (&status.phase, phase) {
                (backout_workloads::Phase::Ended { .. } | backout_workloads::Phase::Lost, _) => {
                    Seen::Failed
                }
                (backout_workloads::Phase::Waits { .. }, _) if status.restarts >= RESTARTS_MAX => {
                    Seen::Failed
                }
                // The old one is still there to take its place.
                (backout_workloads::Phase::Waits { .. }, Phase::Ready | Phase::Unready { .. })
                    if drains && forward =>
                {
                    Seen::Failed
                }
                (_, Phase::Draining { .. }) if drained() => Seen::Drained,
                (_, Phase::Draining { .. }) => Seen::Draining,
                (backout_workloads::Phase::Ready, _) => Seen::Ready,
                _ => Seen::Unready,
            };
            seen.push(Observed {
                slot,
                seen: seen_as,
            });
        }
        Ok(seen)
    }

    /// How long the old instance is still kept beside the new one, in case that
    /// one ends right after it came up; none when it need not be.
    fn settles_in(&self) -> Option<Duration> {
        let rollout = &self.drive.rollout;
        let replaced = rollout.leg() == Leg::Forward
            && rollout.live().any(|(_, _, phase)| phase == Phase::Ready);
        let since = rollout.live().find_map(|(_, _, phase)| match phase {
            Phase::Draining { since } if replaced => Some(since),
            _ => None,
        })?;
        let until = since.plus_ms(self.runtime.settle_ms.into());
        let left = until.since_ms(SystemClock.now());
        let left = u64::try_from(left).ok().filter(|left| *left > 0)?;
        Some(Duration::from_millis(left))
    }

    /// How the endpoint is spoken to: as the instance that takes statements.
    fn speaks(&self) -> Speaks {
        let live: Vec<_> = self.drive.rollout.live().collect();
        let takes = |phase: &Phase| {
            matches!(
                phase,
                Phase::Ready | Phase::Unready { .. } | Phase::Resuming { .. }
            )
        };
        let of = |release: Release| self.setup(release).ok().map(|s| s.launch.driver);
        let now = live.iter().find(|(_, _, phase)| takes(phase));
        now.and_then(|(_, release, _)| of(*release))
            .or_else(|| of(BEFORE))
            .or_else(|| of(AFTER))
            .unwrap_or(self.engine.kind.usual_driver())
    }

    /// Sets the endpoint to what the machine has.
    async fn set_endpoint(&mut self) -> Result<(), StepError> {
        let mut backends = Vec::new();
        for (_, phase, name) in self.live() {
            let intake = match phase {
                Phase::Ready | Phase::Unready { .. } | Phase::Resuming { .. } => Intake::Ready,
                Phase::Draining { .. } => Intake::Draining,
                Phase::Starting { .. } | Phase::Failed | Phase::Stopping { .. } | Phase::Gone => {
                    continue;
                }
            };
            // One that was never seen takes nothing.
            if let Some(address) = self.addresses.get(&name) {
                backends.push(Backend {
                    intake,
                    ..Backend::ready(name, *address)
                });
            }
        }
        if self.told.as_ref() == Some(&backends) {
            return Ok(());
        }
        let settings = self.runtime.gateway_settings(self.speaks());
        let (client, host) = (&self.client, &self.runtime.gateways);
        match client.ensure_running(host, &settings).await {
            // It carries what the new version does not speak, or was started by
            // a Backout that told it otherwise.
            Err(backout_gateway::Error::OtherSettings { .. }) => {
                client.stop(GATEWAY_PATIENCE).await.map_err(gateway)?;
                client.ensure_running(host, &settings).await
            }
            other => other,
        }
        .map_err(gateway)?;
        let listen = SocketAddr::new(self.runtime.listen, self.engine.port);
        let set = client.edit(self.ctx.fence, |desired| {
            desired.listen = vec![listen];
            desired.backends.clone_from(&backends);
        });
        set.await.map_err(gateway)?;
        self.told = Some(backends);
        Ok(())
    }

    /// Waits until something may have changed.
    async fn wait(&self, mut watch: Box<dyn Watch>) -> Result<(), StepError> {
        let now = SystemClock.now();
        let due = self
            .drive
            .rollout
            .next_tick()
            .map_or(i64::MAX, |due| due.since_ms(now));
        let due = Duration::from_millis(u64::try_from(due).unwrap_or(0));
        let patience = due.min(LOOK);
        let settles = self.settles_in();
        let patience = settles.map_or(patience, |settles| patience.min(settles));
        let draining: Vec<String> = self
            .live()
            .into_iter()
            .filter(|(_, phase, _)| settles.is_none() && matches!(phase, Phase::Draining { .. }))
            .map(|(_, _, name)| name)
            .collect();
        let told = self
            .ctx
            .blocking(move || watch.wait(patience).map_err(workload));
        let drained = async {
            match draining.is_empty() {
                true => std::future::pending().await,
                false => self
                    .client
                    .wait_drained(&draining, patience)
                    .await
                    .map(drop),
            }
        };
        self.ctx
            .aside(async {
                tokio::select! {
                    told = told => told,
                    drained = drained => match drained {
                        Err(backout_gateway::Error::Unreachable { .. }) => Ok(()),
                        other => other.map_err(gateway),
                    },
                    () = self.ctx.cancel.wait() => Ok(()),
                    () = self.ctx.leave.wait() => Ok(()),
                }
            })
            .await
    }
}

/// Where the machine is, in a few words.
fn phase_words(rollout: &Rollout) -> &'static str {
    let mut words = match rollout.leg() {
        Leg::Forward => "moving the endpoint",
        Leg::Back => "going back",
    };
    for (_, _, phase) in rollout.live() {
        match phase {
            Phase::Starting { .. } => words = "waiting for the new instance",
            Phase::Draining { .. } => words = "waiting for statements that run",
            Phase::Stopping { .. } => words = "stopping an instance",
            _ => {}
        }
    }
    words
}
