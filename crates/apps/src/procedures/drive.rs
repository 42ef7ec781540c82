//! Drives the replicas of an order through its machine: looks how they are, lets
//! the machine say what is to be done, writes that down, and does it.
//!
//! One turn of it, again and again:
//!
//! | part | what is done |
//! |---|---|
//! | look | how each replica is, by its driver |
//! | spread | who is ready gets requests, before the machine counts on it |
//! | listen | what people say; a cancel of the job is an end of the order |
//! | observe | the machine takes in what there is, and says what is to be done |
//! | store | the machine, new replicas and the words that were taken up, in one transaction, under the job's fence |
//! | spread | who drains gets no more requests, before it is waited for |
//! | carry out | starts, drains and stops, each in a task of its own |
//! | wait | aside, until one of them is done, a replica changes, somebody speaks or time is up |
//!
//! It may be left at any instant: whoever goes on looks what there is, and every
//! command is safe to repeat.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backout_core::code::Code;
use backout_core::ids::{BatchId, OrderId, ReplicaId};
use backout_core::time::Timestamp;
use backout_gateway::{Backend, Client};
use backout_jobs::{StepContext, StepError};
use backout_rollout::{
    Command, End, Event, Failure, Leg, Observed, Phase, Rollout, Seen, Slot, Status, Why,
};
use backout_store::{Error as StoreError, Tx};
use backout_workloads::{Phase as Runs, Status as Instance, Workloads};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Work, driver_error, refused, specs, traffic};
use crate::model::{Application, Batch, Order, Replica, SealedSecret, Standing, Version};
use crate::orders;
use crate::persistence::{self, Happened, Said, Word};
use crate::runtime::instance;

/// How often it is looked for what was said through other processes, and how
/// replicas are that nobody tells of.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long it is waited for more news after one: a batch of replicas comes up
/// together.
const NEWS_TOGETHER: Duration = Duration::from_millis(5);

/// How many replicas of one order are started, or stopped, at the same time:
/// what takes long is their own start, which nobody waits for here.
const HANDS: usize = 16;

/// How often a new replica may end before it was ever ready, until it is given
/// up: its supervisor waits twice as long each time, so that this is some 30
/// seconds, and mends what a slow neighbour was the cause of.
const ENDS_MAX: u64 = 6;

/// How often a replica whose process was lost with its supervisor is started
/// again within one order.
const LOST_MAX: u32 = 3;

/// The pause before something that failed is done again.
const AGAIN: Duration = Duration::from_millis(500);

/// How often a start that failed for a passing reason is tried.
const START_TRIES: u32 = 5;

/// A version, and what its replicas are run with.
struct Kind {
    version: Version,
    driver: Arc<dyn Workloads>,
    secrets: SealedByVariable,
}

/// What a task did.
enum Did {
    Started(Result<(), StepError>),
    Drained(bool),
    Stopped(Result<(), StepError>),
}

/// Something to be written down among the application's events.
#[derive(Clone)]
struct Note {
    warning: bool,
    object: &'static str,
    name: String,
    reason: &'static str,
    message: String,
}

/// What is written down together.
#[derive(Clone, Default)]
struct Page {
    fresh: Vec<Replica>,
    gone: Vec<ReplicaId>,
    taken: Vec<u64>,
    notes: Vec<Note>,
    /// The order that is taken back now; the present one stands for that.
    turned: Option<OrderId>,
    batches: Vec<Batch>,
}

impl Page {
    fn is_empty(&self) -> bool {
        self.fresh.is_empty()
            && self.gone.is_empty()
            && self.taken.is_empty()
            && self.notes.is_empty()
            && self.turned.is_none()
    }
}

/// Hears of changes of replicas, on a thread.
struct Watcher {
    ids: Vec<ReplicaId>,
    changed: Arc<Notify>,
    over: Arc<AtomicBool>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

pub(crate) struct Drive<'a> {
    work: &'a Work,
    ctx: &'a StepContext,
    undoing: bool,
    application: Application,
    order: Order,
    machine: Rollout,
    /// As it is in the store.
    stored: Rollout,
    page: Page,
    kinds: BTreeMap<u32, Arc<Kind>>,
    replicas: BTreeMap<Slot, ReplicaId>,
    looked: BTreeMap<Slot, Option<Instance>>,
    gateway: Option<Client>,
    /// What the gateway was told last.
    told: Option<Vec<Backend>>,
    commands: Vec<Command>,
    tasks: JoinSet<(Slot, Did)>,
    busy: BTreeSet<Slot>,
    hands: Arc<Semaphore>,
    started: BTreeSet<Slot>,
    drained: BTreeSet<Slot>,
    stopped: BTreeSet<Slot>,
    lost: BTreeMap<Slot, u32>,
    not_started: BTreeSet<Slot>,
    spoken: watch::Receiver<u64>,
    words_due: Instant,
    cancel_heard: bool,
    watcher: Option<Watcher>,
}

/// The secrets of a release by their variables, sealed; none of one that is gone.
type SealedByVariable = Vec<(String, Option<SealedSecret>)>;

/// What is read of an order before it is driven.
struct Found {
    order: Order,
    application: Application,
    replicas: Vec<Replica>,
    kinds: Vec<(Version, SealedByVariable)>,
}

fn find(tx: &mut dyn Tx, ctx: &StepContext, input: &OrderId) -> Result<Option<Found>, StoreError> {
    let order = match persistence::order_of_job(tx, &ctx.job)? {
        Some(order) => order,
        None => match persistence::order_by_id(tx, input)? {
            Some(order) => order,
            None => return Ok(None),
        },
    };
    let Some(application) = persistence::application_by_id(tx, &order.application)? else {
        return Ok(None);
    };
    let replicas = persistence::replicas_of(tx, &application.id)?;
    let mut wanted: BTreeSet<_> = replicas.iter().map(|r| r.version.clone()).collect();
    wanted.extend(order.to.iter().chain(&order.from).cloned());
    wanted.extend(application.version.clone());
    let mut kinds = Vec::new();
    for id in wanted {
        if let Some(version) = persistence::version(tx, &application.id, id.as_str())? {
            let sealed = specs::sealed(
                tx,
                &application.owner,
                &application.namespace,
                &version.release,
            )?;
            kinds.push((version, sealed));
        }
    }
    Ok(Some(Found {
        order,
        application,
        replicas,
        kinds,
    }))
}

impl<'a> Drive<'a> {
    /// Ready to drive the order of this job; none when it has no machine.
    pub(crate) async fn new(
        work: &'a Work,
        ctx: &'a StepContext,
        input: OrderId,
        undoing: bool,
    ) -> Result<Option<Drive<'a>>, StepError> {
        let wanted = input.clone();
        let for_read = ctx.clone();
        let found = ctx
            .store
            .read::<_, StoreError>(move |tx| find(tx, &for_read, &wanted))
            .await?
            .ok_or_else(|| {
                let message = format!("find order {input}: its row, or its application, is gone");
                StepError::failed(Code::NotFound, message)
            })?;
        let Some(machine) = found.order.rollout.clone() else {
            return Ok(None);
        };
        let mut kinds = BTreeMap::new();
        let mut ported = false;
        for (version, secrets) in found.kinds {
            let artifact = &version.release.artifact;
            let driver = Arc::clone(work.runtime.driver(artifact).map_err(refused)?);
            ported |= version.release.port.is_some();
            let number = u32::try_from(version.number).unwrap_or(u32::MAX);
            let kind = Kind {
                version,
                driver,
                secrets,
            };
            kinds.insert(number, Arc::new(kind));
        }
        let gateway = match ported {
            true => Some(
                traffic::running(&work.runtime, &found.application.id)
                    .await
                    .map_err(traffic::error)?,
            ),
            false => None,
        };
        Ok(Some(Self {
            work,
            ctx,
            undoing,
            stored: machine.clone(),
            machine,
            page: Page::default(),
            kinds,
            replicas: found
                .replicas
                .into_iter()
                .map(|replica| (Slot(replica.slot), replica.id))
                .collect(),
            looked: BTreeMap::new(),
            gateway,
            told: None,
            commands: Vec::new(),
            tasks: JoinSet::new(),
            busy: BTreeSet::new(),
            hands: Arc::new(Semaphore::new(HANDS)),
            started: BTreeSet::new(),
            drained: BTreeSet::new(),
            stopped: BTreeSet::new(),
            lost: BTreeMap::new(),
            not_started: BTreeSet::new(),
            spoken: work.runtime.spoken.listen(),
            words_due: Instant::now(),
            cancel_heard: undoing,
            watcher: None,
            application: found.application,
            order: found.order,
        }))
    }

    /// Begins, or goes on, and drives until the machine is at its end.
    pub(crate) async fn forward(mut self) -> Result<End, StepError> {
        // What was said before it begins: an end then is one with nothing begun.
        self.listen().await?;
        let now = self.now();
        // One that has begun was left by somebody: all has its time again. One
        // that is over stays over.
        let begun = match self.machine.status() {
            Status::Preparing => self.machine.apply(Event::Begin, now),
            _ => self.machine.apply(Event::Wake, now),
        };
        drop(begun);
        self.drive().await
    }

    /// Takes back what was done, unless a person has said how it ends.
    pub(crate) async fn backward(mut self) -> Result<(), StepError> {
        let now = self.now();
        // None of these is refused in the state that it is said in.
        let _ = match (self.machine.status(), self.machine.leg()) {
            (Status::Ended(End::Aborted | End::RolledBack), _) => return Ok(()),
            (Status::Stuck, Leg::Back) => self.machine.apply(Event::Retry, now),
            (Status::Aborting, _) | (_, Leg::Back) => self.machine.apply(Event::Wake, now),
            _ => self.machine.take_back(now),
        };
        self.drive().await.map(drop)
    }

    async fn drive(&mut self) -> Result<End, StepError> {
        loop {
            self.watch();
            self.look().await;
            self.spread().await?;
            self.listen().await?;
            self.observe();
            self.store().await?;
            self.spread().await?;
            match self.machine.status() {
                Status::Ended(end) => return Ok(end),
                Status::Stuck if self.undoing => {
                    let why = self.stuck_on();
                    return Err(StepError::failed(Code::InstanceState, why));
                }
                _ => {}
            }
            self.tell();
            self.carry_out();
            self.wait().await?;
        }
    }

    fn now(&self) -> Timestamp {
        self.work.clock.now()
    }

    /// The instances that are not gone, by their slots.
    fn live(&self) -> Vec<(Slot, Arc<Kind>, Phase)> {
        self.machine
            .live()
            .filter_map(|(slot, release, phase)| {
                Some((slot, Arc::clone(self.kinds.get(&release.0)?), phase))
            })
            .collect()
    }

    /// Hears of changes from now on, of those whose driver has them.
    fn watch(&mut self) {
        let moving = matches!(
            self.machine.status(),
            Status::Running | Status::Aborting | Status::Stuck
        );
        if !moving {
            self.watcher = None;
            return;
        }
        let live = self.live();
        let ids: Vec<ReplicaId> = live
            .iter()
            .filter_map(|(slot, ..)| self.replicas.get(slot).cloned())
            .collect();
        if self.watcher.as_ref().is_some_and(|w| w.ids == ids) {
            return;
        }
        // The place of the one before is free once its thread has seen that it
        // is over.
        let Ok(permit) = Arc::clone(&self.work.runtime.watchers).try_acquire_owned() else {
            return;
        };
        let mut watches = Vec::new();
        let mut drivers: Vec<Arc<dyn Workloads>> = Vec::new();
        for (_, kind, _) in &live {
            if !drivers.iter().any(|d| Arc::ptr_eq(d, &kind.driver)) {
                drivers.push(Arc::clone(&kind.driver));
            }
        }
        for driver in drivers {
            let of_driver: Vec<_> = live
                .iter()
                .filter(|(_, kind, _)| Arc::ptr_eq(&kind.driver, &driver))
                .filter_map(|(slot, ..)| self.replicas.get(slot).map(instance))
                .collect();
            watches.extend(driver.watch(&of_driver));
        }
        // One thread hears of one driver; where there are two, it is looked now
        // and then at the other.
        let watcher = Watcher {
            ids,
            changed: Arc::new(Notify::new()),
            over: Arc::new(AtomicBool::new(false)),
        };
        if let Some(watch) = watches.into_iter().next() {
            let (changed, over) = (Arc::clone(&watcher.changed), Arc::clone(&watcher.over));
            tokio::task::spawn_blocking(move || hear(watch, &changed, &over, permit));
        }
        self.watcher = Some(watcher);
    }

    async fn look(&mut self) {
        let slots: BTreeMap<ReplicaId, Slot> = self
            .live()
            .iter()
            .filter_map(|(slot, ..)| Some((self.replicas.get(slot)?.clone(), *slot)))
            .collect();
        let wanted = self
            .live()
            .into_iter()
            .filter_map(|(slot, kind, _)| {
                let id = self.replicas.get(&slot)?.clone();
                Some((id, kind.version.release.artifact.clone()))
            })
            .collect();
        for (id, status) in self.work.runtime.look(wanted).await {
            // Of one that cannot be looked at now it is believed what was seen
            // last.
            if let (Some(slot), Ok(status)) = (slots.get(&id), status) {
                self.looked.insert(*slot, status);
            }
        }
    }

    fn status(&self, slot: Slot) -> Option<&Instance> {
        self.looked.get(&slot)?.as_ref()
    }

    /// Over whom requests are to be spread.
    fn backends(&self) -> Vec<Backend> {
        let mut backends = Vec::new();
        for (slot, _, phase) in self.live() {
            let (Some(status), Some(id)) = (self.status(slot), self.replicas.get(&slot)) else {
                continue;
            };
            let Some(address) = status.address else {
                continue;
            };
            let backend = Backend::ready(id.as_str(), address);
            match phase {
                Phase::Stopping { .. } | Phase::Gone => {}
                Phase::Draining { .. } => backends.push(backend.draining()),
                _ if status.phase == Runs::Ready => backends.push(backend),
                _ => {}
            }
        }
        backends
    }

    /// Tells the gateway over whom requests are to be spread.
    async fn spread(&mut self) -> Result<(), StepError> {
        let Some(client) = self.gateway.clone() else {
            return Ok(());
        };
        let backends = self.backends();
        if self.told.as_ref() == Some(&backends) {
            return Ok(());
        }
        let fence = self.ctx.fence;
        let mut told = traffic::spread(&client, fence, &backends).await;
        if let Err(backout_gateway::Error::Unreachable { .. }) = told {
            told = match traffic::running(&self.work.runtime, &self.application.id).await {
                Ok(client) => traffic::spread(&client, fence, &backends).await,
                Err(e) => Err(e),
            };
        }
        match told.map_err(traffic::error) {
            Ok(()) => self.told = Some(backends),
            Err(StepError::Stale) => return Err(StepError::Stale),
            Err(e) => {
                self.told = None;
                self.note(true, "application", "GatewayFailed", e.to_string());
            }
        }
        Ok(())
    }

    fn note(&mut self, warning: bool, object: &'static str, reason: &'static str, message: String) {
        let name = match object {
            "order" => self.order.id.to_string(),
            _ => self.application.id.to_string(),
        };
        self.page.notes.push(Note {
            warning,
            object,
            name,
            reason,
            message,
        });
    }

    /// Takes up what was said.
    async fn listen(&mut self) -> Result<(), StepError> {
        if self.undoing {
            return Ok(());
        }
        if self.ctx.cancel.requested() && !self.cancel_heard && self.ctx.is_cancelled().await? {
            self.cancel_heard = true;
            // Refused only when it is over.
            let _ = self
                .machine
                .apply(Event::Abort { rollback: false }, self.now());
        }
        if !self.spoken.has_changed().unwrap_or(true) && Instant::now() < self.words_due {
            return Ok(());
        }
        self.spoken.mark_unchanged();
        self.words_due = Instant::now() + LOOK_EVERY;
        let order = self.order.id.clone();
        let said = self
            .ctx
            .store
            .read::<_, StoreError>(move |tx| persistence::words_of(tx, &order))
            .await?;
        for word in said {
            self.page.taken.push(word.number);
            self.hear(&word);
        }
        Ok(())
    }

    fn hear(&mut self, said: &Said) {
        let now = self.now();
        let event = match &said.word {
            Word::Confirm { batch } => Event::Confirm {
                batch: *batch,
                go_on: true,
            },
            Word::End { batch } => Event::Confirm {
                batch: *batch,
                go_on: false,
            },
            Word::Abort => Event::Abort { rollback: false },
            Word::AbortAndBack { .. } => Event::Abort { rollback: true },
            Word::Retry => Event::Retry,
        };
        if let Err(e) = self.machine.apply(event, now) {
            let message = format!("failed to {e}");
            self.note(true, "order", "WordRefused", message);
            return;
        }
        if let Word::AbortAndBack { order, request } = &said.word {
            let mut back = orders::way_back(&self.order, order.clone());
            back.request = request.clone();
            back.operator = said.by.clone();
            back.created = now;
            let forward = self.machine.progress().batches;
            self.page.batches = forward
                .iter()
                .enumerate()
                .filter(|(_, batch)| batch.leg == Leg::Back)
                .map(|(number, batch)| Batch {
                    id: BatchId::random(self.work.entropy.as_ref()),
                    order: back.id.clone(),
                    number: u32::try_from(number).unwrap_or(u32::MAX),
                    leg: batch.leg,
                })
                .collect();
            self.page.turned = Some(self.order.id.clone());
            self.order = back;
        }
    }

    /// Lets the machine take in what there is.
    fn observe(&mut self) {
        let now = self.now();
        for slot in std::mem::take(&mut self.not_started) {
            // The slot is of this order.
            let _ = self.machine.apply(Event::Ended(slot), now);
        }
        let stuck = self.machine.status() == Status::Stuck;
        for slot in self.given_up() {
            let _ = self.machine.apply(Event::Ended(slot), now);
        }
        let live = self.live();
        for (slot, _, phase) in &live {
            if !matches!(phase, Phase::Draining { .. }) {
                self.drained.remove(slot);
            }
        }
        let mut seen = Vec::new();
        for (slot, _, phase) in &live {
            seen.push(Observed {
                slot: *slot,
                seen: self.seen(*slot, *phase),
            });
        }
        self.commands = self.machine.observe(&seen, now);
        // What is to be started though it was seen to have ended is started
        // anew.
        for command in &self.commands {
            if let Command::Start { slot, .. } = command {
                let ended = |o: &&Observed| o.slot == *slot && o.seen == Seen::Failed;
                if seen.iter().any(|o| ended(&o)) {
                    self.started.remove(slot);
                }
            }
        }
        for slot in std::mem::take(&mut self.stopped) {
            self.started.remove(&slot);
            self.looked.remove(&slot);
            if let Some(id) = self.replicas.remove(&slot) {
                self.page.gone.push(id);
            }
        }
        if self.machine.status() == Status::Stuck && !stuck {
            let message = self.stuck_on();
            self.note(true, "order", "Stuck", message);
        }
    }

    /// New replicas that end again and again before they are ready.
    fn given_up(&self) -> Vec<Slot> {
        let ends = |slot: &Slot| {
            self.status(*slot).is_some_and(|status| {
                status.restarts >= ENDS_MAX && matches!(status.phase, Runs::Waits { .. })
            })
        };
        let starting = |slot: &Slot| {
            self.machine
                .live()
                .any(|(s, _, phase)| s == *slot && matches!(phase, Phase::Starting { .. }))
        };
        self.machine
            .changes()
            .filter_map(|change| change.new)
            .filter(|slot| starting(slot) && ends(slot))
            .collect()
    }

    fn seen(&self, slot: Slot, phase: Phase) -> Seen {
        let status = self.status(slot);
        match phase {
            Phase::Stopping { .. } => match self.stopped.contains(&slot) {
                true => Seen::Missing,
                false => Seen::Draining,
            },
            Phase::Draining { .. } => {
                let dead = status.is_none_or(|s| !s.phase.runs());
                match dead || self.gateway.is_none() || self.drained.contains(&slot) {
                    true => Seen::Drained,
                    false => Seen::Draining,
                }
            }
            Phase::Starting { .. } if !self.started.contains(&slot) => Seen::Missing,
            _ => match status.map(|s| &s.phase) {
                None => Seen::Missing,
                Some(Runs::Ready) if self.gets_requests(slot) => Seen::Ready,
                Some(Runs::Ended { .. }) => Seen::Failed,
                Some(Runs::Lost) => match self.is_lost_for_good(slot) {
                    true => Seen::Failed,
                    false => Seen::Unready,
                },
                Some(_) => Seen::Unready,
            },
        }
    }

    fn is_lost_for_good(&self, slot: Slot) -> bool {
        self.lost.get(&slot).is_some_and(|times| *times >= LOST_MAX)
    }

    /// Whether the gateway knows that it may have requests.
    fn gets_requests(&self, slot: Slot) -> bool {
        let ported = self.status(slot).is_some_and(|s| s.address.is_some());
        if self.gateway.is_none() || !ported {
            return true;
        }
        let Some(id) = self.replicas.get(&slot) else {
            return false;
        };
        self.told
            .as_ref()
            .is_some_and(|told| told.iter().any(|backend| backend.id == id.as_str()))
    }

    /// What it is stuck on, for people.
    fn stuck_on(&self) -> String {
        let Some(Failure { slot, why }) = self.machine.progress().failure else {
            return "go on: nothing moves".to_owned();
        };
        let replica = slot
            .and_then(|slot| self.replicas.get(&slot))
            .map_or_else(|| "a replica".to_owned(), ReplicaId::to_string);
        match why {
            Why::Ended => format!("start {replica}: it ends by itself; see its log"),
            Why::NotReady => format!("start {replica}: it was not ready in time; see its log"),
            Why::NotStopped => format!("stop {replica}: it does not go; see what it waits for"),
            Why::Floor => "go on: too few replicas are ready, and they do not come back".to_owned(),
        }
    }

    /// Writes down the machine, and what goes with it.
    async fn store(&mut self) -> Result<(), StepError> {
        let now = self.now();
        for command in &self.commands {
            let Command::Start { slot, release } = *command else {
                continue;
            };
            let Some(kind) = self.kinds.get(&release.0) else {
                continue;
            };
            if self.replicas.contains_key(&slot) {
                continue;
            }
            let id = ReplicaId::random(self.work.entropy.as_ref());
            self.replicas.insert(slot, id.clone());
            self.page.fresh.push(Replica {
                id,
                application: self.application.id.clone(),
                version: kind.version.id.clone(),
                order: self.order.id.clone(),
                slot: slot.0,
                created: now,
            });
        }
        if self.page.is_empty() && self.machine == self.stored {
            return Ok(());
        }
        let page = std::mem::take(&mut self.page);
        let (heard, machine) = (!page.taken.is_empty(), self.machine.clone());
        let (order, application) = (self.order.clone(), self.application.clone());
        let standing = self.standing();
        self.ctx
            .write(move |tx| write_page(tx, &page, &machine, &order, standing, &application, now))
            .await?;
        self.stored = self.machine.clone();
        if heard {
            self.work.runtime.heard.wake();
        }
        Ok(())
    }

    /// How the order stands while it is driven.
    fn standing(&self) -> Standing {
        let over = matches!(self.machine.status(), Status::Ended(_));
        match over || self.undoing {
            // The end of the job says how it ended.
            true => Standing::Running,
            false => orders::standing(&self.machine, self.order.takes_back.is_some()),
        }
    }

    fn tell(&self) {
        let progress = self.machine.progress();
        let percent = match progress.total {
            0 => 100,
            total => progress.done * 100 / total,
        };
        let words = format!(
            "{} of {} changes done, {} ready, at least {} kept",
            progress.done, progress.total, progress.ready, progress.floor
        );
        self.ctx
            .progress(u8::try_from(percent).unwrap_or(100), words);
    }

    /// Does what is to be done and is not being done.
    fn carry_out(&mut self) {
        for command in std::mem::take(&mut self.commands) {
            match command {
                Command::Start { slot, .. } => {
                    if !self.started.contains(&slot) {
                        self.start(slot);
                    }
                }
                Command::Drain { slot } => self.drain(slot),
                Command::Stop { slot } => self.stop(slot),
                // The gateway was told, and the next look sees it.
                Command::Undrain { .. } => {}
            }
        }
        let lost: Vec<Slot> = self
            .live()
            .iter()
            .filter(|(_, _, phase)| {
                !matches!(phase, Phase::Stopping { .. } | Phase::Draining { .. })
            })
            .map(|(slot, ..)| *slot)
            .filter(|slot| self.status(*slot).is_some_and(|s| s.phase == Runs::Lost))
            .filter(|slot| !self.busy.contains(slot) && !self.is_lost_for_good(*slot))
            .collect();
        for slot in lost {
            *self.lost.entry(slot).or_default() += 1;
            self.start(slot);
        }
    }

    fn kind_of(&self, slot: Slot) -> Option<(Arc<Kind>, ReplicaId)> {
        let (_, release, _) = self.machine.live().find(|(s, ..)| *s == slot)?;
        let kind = Arc::clone(self.kinds.get(&release.0)?);
        Some((kind, self.replicas.get(&slot)?.clone()))
    }

    fn start(&mut self, slot: Slot) {
        let Some((kind, id)) = self.kind_of(slot) else {
            return;
        };
        if !self.busy.insert(slot) {
            return;
        }
        let (runtime, fence) = (self.work.runtime.clone(), self.ctx.fence);
        let hands = Arc::clone(&self.hands);
        self.tasks.spawn(async move {
            let Ok(_hand) = hands.acquire_owned().await else {
                return (slot, Did::Started(Ok(())));
            };
            let started = again(START_TRIES, move || {
                let (kind, id, runtime) = (Arc::clone(&kind), id.clone(), runtime.clone());
                move || {
                    let secrets = specs::opened(&runtime, &kind.secrets).map_err(refused)?;
                    let release = &kind.version.release;
                    let spec = specs::spec(&runtime, &id, release, secrets).map_err(refused)?;
                    kind.driver
                        .start(fence, &spec)
                        .map(drop)
                        .map_err(driver_error)
                }
            });
            (slot, Did::Started(started.await))
        });
    }

    fn drain(&mut self, slot: Slot) {
        let (Some(client), Some(id)) = (self.gateway.clone(), self.replicas.get(&slot).cloned())
        else {
            return;
        };
        if self.drained.contains(&slot) || !self.busy.insert(slot) {
            return;
        }
        self.tasks.spawn(async move {
            let drained = client.wait_drained(&[id.to_string()], LOOK_EVERY).await;
            if drained.is_err() {
                // It may be just being started again.
                tokio::time::sleep(AGAIN).await;
            }
            (slot, Did::Drained(drained.is_ok_and(|d| d.all())))
        });
    }

    fn stop(&mut self, slot: Slot) {
        let Some((kind, id)) = self.kind_of(slot) else {
            // It never came to be.
            self.stopped.insert(slot);
            return;
        };
        if !self.busy.insert(slot) {
            return;
        }
        let (hands, fence) = (Arc::clone(&self.hands), self.ctx.fence);
        self.tasks.spawn(async move {
            let Ok(_hand) = hands.acquire_owned().await else {
                return (slot, Did::Stopped(Ok(())));
            };
            let stopped = again(1, move || {
                let (kind, id) = (Arc::clone(&kind), instance(&id));
                move || {
                    let grace = Duration::from_millis(kind.version.release.grace_ms);
                    kind.driver.stop(fence, &id, grace).map_err(driver_error)?;
                    kind.driver.remove(fence, &id).map_err(driver_error)
                }
            })
            .await;
            if stopped.is_err() {
                tokio::time::sleep(AGAIN).await;
            }
            (slot, Did::Stopped(stopped))
        });
    }

    /// Takes in what a task did.
    fn did(&mut self, slot: Slot, did: Did) -> Result<(), StepError> {
        self.busy.remove(&slot);
        let replica = self.replicas.get(&slot).map(ReplicaId::to_string);
        let mut failed = |reason, e: &StepError| {
            self.page.notes.push(Note {
                warning: true,
                object: "replica",
                name: replica.clone().unwrap_or_default(),
                reason,
                message: format!("failed to {e}"),
            });
        };
        match did {
            Did::Started(Err(StepError::Stale)) | Did::Stopped(Err(StepError::Stale)) => {
                return Err(StepError::Stale);
            }
            Did::Started(Ok(())) => {
                self.started.insert(slot);
            }
            Did::Started(Err(e)) => {
                failed("StartFailed", &e);
                self.not_started.insert(slot);
            }
            Did::Drained(true) => {
                self.drained.insert(slot);
            }
            Did::Drained(false) => {}
            Did::Stopped(Ok(())) => {
                self.stopped.insert(slot);
            }
            Did::Stopped(Err(e)) => failed("StopFailed", &e),
        }
        Ok(())
    }

    /// Waits for whatever comes first.
    async fn wait(&mut self) -> Result<(), StepError> {
        if !self.stopped.is_empty() {
            return Ok(());
        }
        let due = self.machine.next_tick().map(|at| at.0 - self.now().0);
        let due = due.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
        let patience = due.unwrap_or(LOOK_EVERY).min(LOOK_EVERY);
        let changed = self.watcher.as_ref().map(|w| Arc::clone(&w.changed));
        let (ctx, cancel_heard) = (self.ctx, self.cancel_heard);
        let (tasks, spoken) = (&mut self.tasks, &mut self.spoken);
        let done = ctx
            .aside(async {
                let news = async {
                    match &changed {
                        Some(changed) => changed.notified().await,
                        None => std::future::pending().await,
                    }
                };
                let done = tokio::select! {
                    Some(done) = tasks.join_next(), if !tasks.is_empty() => Some(done),
                    () = news => None,
                    _ = spoken.changed() => {
                        // It is for whoever reads the words to see that.
                        spoken.mark_changed();
                        return Vec::new();
                    }
                    () = ctx.cancel.wait(), if !cancel_heard => None,
                    () = ctx.leave.wait() => None,
                    () = tokio::time::sleep(patience) => None,
                };
                tokio::time::sleep(NEWS_TOGETHER).await;
                let mut all: Vec<_> = done.into_iter().collect();
                while let Some(done) = tasks.try_join_next() {
                    all.push(done);
                }
                all
            })
            .await;
        if ctx.leave.requested() {
            return Err(StepError::Stale);
        }
        for one in done {
            let (slot, did) = one.map_err(|e| {
                StepError::failed(
                    Code::Internal,
                    format!("change a replica: it panicked ({e})"),
                )
            })?;
            self.did(slot, did)?;
        }
        Ok(())
    }
}

/// Hears of changes until it is over.
fn hear(
    mut watch: Box<dyn backout_workloads::Watch>,
    changed: &Notify,
    over: &AtomicBool,
    permit: OwnedSemaphorePermit,
) {
    while !over.load(Ordering::Relaxed) {
        // Who cannot hear looks now and then.
        if watch.wait(LOOK_EVERY).is_err() {
            break;
        }
        changed.notify_one();
    }
    drop(permit);
}

/// Does blocking work, and again while its failure is passing.
async fn again<F>(tries: u32, make: impl Fn() -> F) -> Result<(), StepError>
where
    F: FnOnce() -> Result<(), StepError> + Send + 'static,
{
    let mut left = tries;
    loop {
        left = left.saturating_sub(1);
        let done = tokio::task::spawn_blocking(make())
            .await
            .unwrap_or_else(|e| {
                Err(StepError::failed(
                    Code::Internal,
                    format!("change a replica: it panicked ({e})"),
                ))
            });
        match done {
            Err(StepError::Again { .. }) if left > 0 => tokio::time::sleep(AGAIN).await,
            done => return done,
        }
    }
}

/// May be said again.
fn write_page(
    tx: &mut dyn Tx,
    page: &Page,
    machine: &Rollout,
    order: &Order,
    standing: Standing,
    application: &Application,
    now: Timestamp,
) -> Result<(), StoreError> {
    if let Some(turned) = &page.turned {
        persistence::set_progress(tx, turned, machine, Standing::Aborted)?;
        let mut back = order.clone();
        back.standing = standing;
        persistence::turn_order(tx, turned, &back, now)?;
        persistence::insert_batches(tx, &page.batches)?;
    }
    persistence::set_progress(tx, &order.id, machine, standing)?;
    for replica in &page.fresh {
        persistence::insert_replica(tx, replica)?;
    }
    for id in &page.gone {
        persistence::delete_replica(tx, id)?;
    }
    persistence::take_words(tx, &page.taken)?;
    for note in &page.notes {
        persistence::record_event(
            tx,
            &Happened {
                owner: &application.owner,
                application: &application.id,
                namespace: &application.namespace,
                warning: note.warning,
                object: note.object,
                name: &note.name,
                reason: note.reason,
                message: &note.message,
                at: now,
            },
        )?;
    }
    Ok(())
}
