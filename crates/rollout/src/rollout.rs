//! The order machine: drives instances through a [`Plan`], events in, commands
//! out.
//!
//! What it holds:
//! * It never gives a command that takes the number of ready instances below the
//!   plan's floor. An instance may fall by itself; then nothing is given that
//!   takes another away until enough are ready again.
//! * Each instance is changed once. What a crash of the caller lost is given
//!   again ([`Rollout::pending`]); every command is safe to repeat.
//! * It ends, or it is stuck with a reason that names the instance: a batch that
//!   fails stops the order, and only a person's word ([`Event::Retry`],
//!   [`Event::Abort`]) moves it on.
//! * The way back ([`Leg::Back`]) touches only what the way forward touched, and
//!   there is no way back from it.
//!
//! How one instance is changed. Where the floor lets it be away, in place:
//! drain, stop, start. Where it does not, and the plan has a surge: start,
//! wait until ready, drain, stop. What was gone or not ready anyway is changed
//! first, and what is only taken away goes last, since both keep more ready.
//!
//! What is stored is the whole [`Rollout`], after each event and before its
//! commands are carried out.

use backout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::plan::{Gate, Plan};

/// How often a failed batch may be tried again: each time leaves the record of
/// the instances that failed.
pub const RETRIES_MAX: u32 = 100;

/// How often an instance that is to stay is started again after it ended,
/// before it is given up. Its supervisor has tried before.
const REPAIRS_MAX: u8 = 3;

/// The number of an instance within one order. The instances that were there
/// have the first numbers, in the order in which they were handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slot(pub u32);

/// The number that the caller gives a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Release(pub u32);

/// An instance that is there when the order begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// What it runs.
    pub release: Release,
    /// Whether it takes requests.
    pub ready: bool,
}

/// Which of the standing instances are replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All: a restart.
    All,
    /// Those of another release than the target: a deploy or a rollback.
    Others,
    /// None: the number of instances changes, nothing else.
    None,
    /// These: a restart of some.
    These(Vec<Slot>),
}

/// How long things may take, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Limits {
    /// From the command to start until ready; and from unready until ready
    /// again. Longer fails the batch.
    pub ready_ms: u32,
    /// To finish what requests are under way. Longer is cut off.
    pub drain_ms: u32,
    /// To stop, killing included. Longer fails the batch.
    pub stop_ms: u32,
}

impl Limits {
    /// The longest that nothing at all may happen while something should.
    fn stall_ms(self) -> i64 {
        i64::from(self.ready_ms) + i64::from(self.drain_ms) + i64::from(self.stop_ms)
    }
}

/// Where an instance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Told to start, and not ready yet.
    Starting {
        /// When it was told.
        since: Timestamp,
    },
    /// Takes requests.
    Ready,
    /// Was ready, and is not now: its supervisor starts it again, or a probe
    /// fails.
    Unready {
        /// Since when.
        since: Timestamp,
    },
    /// Was draining, and is told to take requests again.
    Resuming {
        /// When it was told.
        since: Timestamp,
    },
    /// Given up: it ended, or was not ready in time.
    Failed,
    /// Takes no new requests, finishes those it has.
    Draining {
        /// When it was told.
        since: Timestamp,
    },
    /// Told to stop.
    Stopping {
        /// When it was told.
        since: Timestamp,
    },
    /// Not there any more.
    Gone,
}

/// One instance of the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Instance {
    release: Release,
    phase: Phase,
    /// Whether it was told to go.
    leaves: bool,
    /// How often it was started again though it was to stay as it is.
    repairs: u8,
}

/// What becomes of one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Change {
    /// What goes; absent where one is added.
    remove: Option<Slot>,
    /// What is started in its stead; absent where one is only taken away.
    start: Option<Release>,
    /// What was started.
    new: Option<Slot>,
    /// In which batch it was begun.
    batch: Option<u32>,
    /// Whether the new one must be ready before the old one goes.
    surge: bool,
}

/// One batch as it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Run {
    instances: u32,
    gray: bool,
    status: BatchStatus,
    started: Option<Timestamp>,
    ended: Option<Timestamp>,
}

/// Which way the order goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leg {
    /// To the target.
    Forward,
    /// Back to what was there before.
    Back,
}

/// How a batch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchStatus {
    /// Its turn has not come.
    Preparing,
    /// Its instances are being changed.
    Running,
    /// All its instances are changed and ready.
    Succeeded,
    /// It failed; the order is stuck in it.
    Failed,
    /// The order was ended before it was through.
    Aborted,
    /// It is next, and waits for a person's word.
    WaitsForConfirm,
    /// It is next, and waits for its time.
    WaitsForAuto,
}

/// How the order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Not begun.
    Preparing,
    /// Instances are being changed.
    Running,
    /// A batch failed; nothing more is changed until a person says so.
    Stuck,
    /// The next batch waits for a person's word.
    WaitsForConfirm,
    /// The next batch waits for its time.
    WaitsForAuto {
        /// When it will go.
        until: Timestamp,
    },
    /// Ends: what was begun is brought to an end, nothing more is begun.
    Aborting,
    /// Over.
    Ended(End),
}

/// How an order ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// All is as it was asked for.
    Succeeded,
    /// Ended on request; what was changed stays changed.
    Aborted,
    /// All is as it was before.
    RolledBack,
}

/// What failed a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Failure {
    /// The instance; absent where nothing moved any more.
    pub slot: Option<Slot>,
    /// Why.
    pub why: Why,
}

/// Why a batch failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The instance ended, and its supervisor does not start it again.
    Ended,
    /// The instance was not ready in time.
    NotReady,
    /// The instance could not be stopped in time.
    NotStopped,
    /// The floor lets nothing be changed: too few instances are ready, and they
    /// do not come back.
    Floor,
}

/// What the caller is to do. Each is safe to repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Run an instance of the release; once it is ready, let it take requests
    /// and say [`Event::Ready`].
    Start {
        /// The instance.
        slot: Slot,
        /// What it runs.
        release: Release,
    },
    /// Let it take no new requests, and say [`Event::Drained`] when those it has
    /// are finished.
    Drain {
        /// The instance.
        slot: Slot,
    },
    /// Let it take requests again, and say [`Event::Ready`].
    Undrain {
        /// The instance.
        slot: Slot,
    },
    /// Stop it, by force if need be, take away what it leaves, and say
    /// [`Event::Ended`].
    Stop {
        /// The instance.
        slot: Slot,
    },
}

/// What happened, or what a person says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Begin.
    Begin,
    /// The instance takes requests.
    Ready(Slot),
    /// The instance takes none for now; its supervisor sees to it.
    Unready(Slot),
    /// The instance has finished its requests.
    Drained(Slot),
    /// The instance is not there any more, or never came to be, and no
    /// supervisor starts it again.
    Ended(Slot),
    /// Time has passed.
    Tick,
    /// The caller was away, for instance since its process died: what takes time
    /// has all its time again. Best followed by [`Rollout::observe`].
    Wake,
    /// A person's word on the batch that waits.
    Confirm {
        /// The number of the batch, from 0; guards against a word said twice.
        batch: u32,
        /// Go on; otherwise the order ends as it is.
        go_on: bool,
    },
    /// Try what failed again.
    Retry,
    /// End the order.
    Abort {
        /// Also take back what was changed.
        rollback: bool,
    },
    /// Begin nothing more until [`Event::Resume`].
    Pause,
    /// Go on after [`Event::Pause`].
    Resume,
}

/// An event that does not fit now; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotNow {
    /// There is no such instance.
    #[error("find instance {}: the order has none of that number", .0.0)]
    UnknownSlot(Slot),
    /// The order began before.
    #[error("begin the order: it began before")]
    Begun,
    /// The order has not begun, or is over.
    #[error("change the course of the order: it has not begun, or is over")]
    NotRunning,
    /// No batch, or another one, waits for a word.
    #[error("let batch {0} go: it does not wait for a word; look at the order again")]
    NotWaiting(u32),
    /// Nothing failed.
    #[error("try again: nothing has failed")]
    NothingFailed,
    /// It was tried [`RETRIES_MAX`] times.
    #[error("try again: it was tried {RETRIES_MAX} times; end the order or take it back")]
    RetriesUsed,
    /// The order is on its way back already.
    #[error("take the order back: it is on its way back already, and a way back is not taken back")]
    OnItsWayBack,
}

/// What is seen of one instance, for [`Rollout::observe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Observed {
    /// The instance.
    pub slot: Slot,
    /// What is seen.
    pub seen: Seen,
}

/// What is seen of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// Nothing: neither process nor supervisor.
    Missing,
    /// Its supervisor has given up.
    Failed,
    /// It runs, or will, and takes no requests.
    Unready,
    /// It takes requests.
    Ready,
    /// It takes no new requests, and has some.
    Draining,
    /// It takes no new requests, and has none.
    Drained,
}

/// What is shown of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// How it stands.
    pub status: Status,
    /// Which way it goes.
    pub leg: Leg,
    /// Whether nothing more is begun for now.
    pub paused: bool,
    /// What it is stuck on.
    pub failure: Option<Failure>,
    /// The batch it is in, from 0, counted over `batches`.
    pub current: u32,
    /// All batches: those of the way forward, then that of the way back.
    pub batches: Vec<BatchView>,
    /// How many instances take requests.
    pub ready: u32,
    /// How many must.
    pub floor: u32,
    /// How many changes of this leg are done.
    pub done: u32,
    /// How many changes this leg has.
    pub total: u32,
    /// How many instances were stopped before their requests were finished.
    pub cut_off: u32,
}

/// What becomes of one instance, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeView {
    /// In which batch of the leg it was begun, from 0.
    pub batch: Option<u32>,
    /// What goes.
    pub old: Option<Slot>,
    /// What was started.
    pub new: Option<Slot>,
    /// What the new one runs; absent where one is only taken away.
    pub release: Option<Release>,
    /// How far it is.
    pub state: ChangeState,
}

/// How far a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeState {
    /// Not begun.
    Waiting,
    /// The old instance is on its way out.
    Leaving,
    /// The new instance is on its way to being ready.
    Coming,
    /// The new instance failed.
    Failed,
    /// Done.
    Done,
}

/// What is shown of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchView {
    /// Which way it goes.
    pub leg: Leg,
    /// How many instances it changes.
    pub instances: u32,
    /// Whether it is the first, small one.
    pub gray: bool,
    /// How it stands.
    pub status: BatchStatus,
    /// When it began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
}

/// One order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rollout {
    plan: Plan,
    limits: Limits,
    instances: Vec<Instance>,
    /// How many of the instances were there when this leg began.
    standing: u32,
    changes: Vec<Change>,
    forward: Vec<Run>,
    back: Option<Run>,
    /// The batch of this leg that runs, or ran last.
    current: u32,
    status: Status,
    paused: bool,
    /// Whether it was told to end as it is.
    ending: bool,
    failure: Option<Failure>,
    retries: u32,
    cut_off: u32,
    /// When it came closer to its end last.
    moved: Timestamp,
}

impl Rollout {
    /// An order that brings `standing` to `wanted` instances of `target`.
    ///
    /// Where there are fewer standing than the plan thought, the missing ones
    /// are added; the last batch takes what the plan's numbers leave over.
    #[must_use]
    pub fn new(
        plan: Plan,
        limits: Limits,
        standing: &[Standing],
        target: Release,
        wanted: u32,
        scope: &Scope,
    ) -> Self {
        let instances: Vec<Instance> = standing
            .iter()
            .map(|s| Instance {
                release: s.release,
                phase: match s.ready {
                    true => Phase::Ready,
                    false => Phase::Unready {
                        since: Timestamp::default(),
                    },
                },
                leaves: false,
                repairs: 0,
            })
            .collect();
        let forward = plan
            .batches
            .iter()
            .map(|b| Run::new(b.instances, b.gray))
            .collect();
        Self {
            changes: changes(&instances, target, wanted, scope),
            standing: count(instances.len()),
            plan,
            limits,
            instances,
            forward,
            back: None,
            current: 0,
            status: Status::Preparing,
            paused: false,
            ending: false,
            failure: None,
            retries: 0,
            cut_off: 0,
            moved: Timestamp::default(),
        }
    }

    /// Takes in what happened at `now`, and says what is to be done.
    ///
    /// # Errors
    /// [`NotNow`]; nothing was changed.
    pub fn apply(&mut self, event: Event, now: Timestamp) -> Result<Vec<Command>, NotNow> {
        let mut out = Vec::new();
        match event {
            Event::Begin => self.begin(now)?,
            Event::Ready(slot) => self.ready_event(slot, now)?,
            Event::Unready(slot) => self.unready_event(slot, now)?,
            Event::Drained(slot) => self.drained_event(slot, now, &mut out)?,
            Event::Ended(slot) => self.ended_event(slot, now)?,
            Event::Tick => {}
            Event::Wake => self.wake(now)?,
            Event::Confirm { batch, go_on } => self.confirm(batch, go_on, now, &mut out)?,
            Event::Retry => self.retry(now, &mut out)?,
            Event::Abort { rollback: false } => self.abort(now, &mut out)?,
            Event::Abort { rollback: true } => self.turn_back(now, &mut out)?,
            Event::Pause => {
                self.running()?;
                self.paused = true;
            }
            Event::Resume => {
                self.running()?;
                self.paused = false;
                self.moved = now;
            }
        }
        self.advance(now, &mut out);
        Ok(out)
    }

    /// Takes back what the way forward changed, also when that is over: for a
    /// caller that cannot let stand what it has done. People say
    /// [`Event::Abort`].
    ///
    /// # Errors
    /// As [`Rollout::apply`]; nothing was changed.
    pub fn take_back(&mut self, now: Timestamp) -> Result<Vec<Command>, NotNow> {
        let over = matches!(self.status, Status::Ended(End::Succeeded | End::Aborted));
        if over && self.leg() == Leg::Forward {
            self.status = Status::Running;
        }
        self.apply(Event::Abort { rollback: true }, now)
    }

    /// Takes in what really is there, after a crash of the caller or at any
    /// other time, and says all that is to be done: what was said before and is
    /// not done yet is said again. Instances that are not listed are missing;
    /// those that are not of this order are passed over.
    pub fn observe(&mut self, seen: &[Observed], now: Timestamp) -> Vec<Command> {
        if self.running().is_err() {
            return Vec::new();
        }
        let mut all = vec![Seen::Missing; self.instances.len()];
        for o in seen {
            if let Some(place) = all.get_mut(o.slot.index()) {
                *place = o.seen;
            }
        }
        let mut out = Vec::new();
        for (slot, seen) in all.into_iter().enumerate() {
            let slot = Slot(count(slot));
            // The slots are of this order, so that none of these is refused.
            let _ = match self.happened(slot, seen) {
                Some(Event::Ready(slot)) => self.ready_event(slot, now),
                Some(Event::Unready(slot)) => self.unready_event(slot, now),
                Some(Event::Drained(slot)) => self.drained_event(slot, now, &mut out),
                Some(_) => self.ended_event(slot, now),
                None => Ok(()),
            };
        }
        self.advance(now, &mut out);
        self.pending()
    }

    /// What must have happened to an instance that looks like this.
    fn happened(&self, slot: Slot, seen: Seen) -> Option<Event> {
        match (self.phase(slot), seen) {
            // The command to start, or to stop, may not have been carried out.
            (Phase::Starting { .. }, Seen::Missing)
            | (Phase::Stopping { .. }, Seen::Failed)
            | (Phase::Failed, Seen::Missing)
            | (Phase::Gone, _) => None,
            (_, Seen::Missing | Seen::Failed) => Some(Event::Ended(slot)),
            (Phase::Draining { .. }, Seen::Drained) => Some(Event::Drained(slot)),
            (Phase::Draining { .. } | Phase::Stopping { .. }, _) => None,
            (_, Seen::Ready) => Some(Event::Ready(slot)),
            (Phase::Ready, _) => Some(Event::Unready(slot)),
            (_, _) => None,
        }
    }

    /// All commands that were given and are not carried out yet.
    #[must_use]
    pub fn pending(&self) -> Vec<Command> {
        let mut out = Vec::new();
        for (slot, instance) in self.each() {
            match instance.phase {
                Phase::Starting { .. } => out.push(Command::Start {
                    slot,
                    release: instance.release,
                }),
                Phase::Resuming { .. } => out.push(Command::Undrain { slot }),
                Phase::Draining { .. } => out.push(Command::Drain { slot }),
                Phase::Stopping { .. } => out.push(Command::Stop { slot }),
                Phase::Ready | Phase::Unready { .. } | Phase::Failed | Phase::Gone => {}
            }
        }
        out
    }

    /// When [`Event::Tick`] is due next, if nothing happens before.
    #[must_use]
    pub fn next_tick(&self) -> Option<Timestamp> {
        let mut due = Vec::new();
        match self.status {
            Status::Preparing | Status::Ended(_) => return None,
            Status::WaitsForAuto { until } if !self.paused => due.push(until),
            Status::Running | Status::Aborting if !self.paused => {
                due.push(self.moved.plus_ms(self.limits.stall_ms()));
            }
            _ => {}
        }
        for (slot, instance) in self.each() {
            due.extend(self.deadline(slot, instance.phase));
        }
        due.into_iter().min()
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// What is shown.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let view = |leg| {
            move |run: &Run| BatchView {
                leg,
                instances: run.instances,
                gray: run.gray,
                status: run.status,
                started: run.started,
                ended: run.ended,
            }
        };
        let mut batches: Vec<BatchView> = self.forward.iter().map(view(Leg::Forward)).collect();
        batches.extend(self.back.iter().map(view(Leg::Back)));
        let waiting = match self.status {
            Status::WaitsForConfirm => Some(BatchStatus::WaitsForConfirm),
            Status::WaitsForAuto { .. } => Some(BatchStatus::WaitsForAuto),
            _ => None,
        };
        if let (Some(status), Some(next)) = (waiting, batches.get_mut(self.current as usize + 1)) {
            next.status = status;
        }
        Progress {
            status: self.status,
            leg: self.leg(),
            paused: self.paused,
            failure: self.failure,
            current: match self.leg() {
                Leg::Forward => self.current,
                Leg::Back => count(self.forward.len()),
            },
            batches,
            ready: self.ready(),
            floor: self.plan.floor,
            done: count(self.changes.iter().filter(|c| self.is_done(c)).count()),
            total: count(self.changes.len()),
            cut_off: self.cut_off,
        }
    }

    /// Every instance of the order that is not gone, with what it runs.
    pub fn live(&self) -> impl Iterator<Item = (Slot, Release, Phase)> {
        self.each()
            .filter(|(_, i)| i.phase != Phase::Gone)
            .map(|(slot, i)| (slot, i.release, i.phase))
    }

    /// What becomes of each instance in this leg.
    pub fn changes(&self) -> impl Iterator<Item = ChangeView> {
        self.changes.iter().map(|c| ChangeView {
            batch: c.batch,
            old: c.remove,
            new: c.new,
            release: c.start,
            state: self.change_state(c),
        })
    }

    fn change_state(&self, change: &Change) -> ChangeState {
        if change.batch.is_none() {
            return ChangeState::Waiting;
        }
        if self.is_done(change) {
            return ChangeState::Done;
        }
        match change.new.map(|slot| self.phase(slot)) {
            Some(Phase::Failed) => ChangeState::Failed,
            Some(Phase::Ready) | None => ChangeState::Leaving,
            Some(_) => ChangeState::Coming,
        }
    }

    /// How many instances take requests.
    #[must_use]
    pub fn ready(&self) -> u32 {
        count(
            self.instances
                .iter()
                .filter(|i| i.phase == Phase::Ready)
                .count(),
        )
    }

    /// Which way it goes.
    #[must_use]
    pub fn leg(&self) -> Leg {
        match self.back {
            None => Leg::Forward,
            Some(_) => Leg::Back,
        }
    }
}

// What happens to instances.
impl Rollout {
    fn ready_event(&mut self, slot: Slot, now: Timestamp) -> Result<(), NotNow> {
        match self.known(slot)? {
            Phase::Starting { .. }
            | Phase::Unready { .. }
            | Phase::Resuming { .. }
            | Phase::Failed => {
                self.instances[slot.index()].phase = Phase::Ready;
                if self.is_new(slot) {
                    self.moved = now;
                }
            }
            Phase::Ready | Phase::Draining { .. } | Phase::Stopping { .. } | Phase::Gone => {}
        }
        Ok(())
    }

    fn unready_event(&mut self, slot: Slot, now: Timestamp) -> Result<(), NotNow> {
        if self.known(slot)? == Phase::Ready {
            self.instances[slot.index()].phase = Phase::Unready { since: now };
        }
        Ok(())
    }

    fn drained_event(
        &mut self,
        slot: Slot,
        now: Timestamp,
        out: &mut Vec<Command>,
    ) -> Result<(), NotNow> {
        if matches!(self.known(slot)?, Phase::Draining { .. }) {
            self.stop(slot, now, out);
        }
        Ok(())
    }

    fn ended_event(&mut self, slot: Slot, now: Timestamp) -> Result<(), NotNow> {
        match self.known(slot)? {
            Phase::Gone | Phase::Failed => {}
            Phase::Draining { .. } | Phase::Stopping { .. } => self.set(slot, Phase::Gone, now),
            _ if self.is_new(slot) => {
                self.set(slot, Phase::Failed, now);
                self.fail(slot, Why::Ended, now);
            }
            _ => self.set(slot, Phase::Gone, now),
        }
        Ok(())
    }

    /// Tells an instance to go: by way of draining where it may have requests.
    fn take_out(&mut self, slot: Slot, now: Timestamp, out: &mut Vec<Command>) {
        self.instances[slot.index()].leaves = true;
        match self.phase(slot) {
            Phase::Ready | Phase::Unready { .. } | Phase::Resuming { .. } => {
                self.set(slot, Phase::Draining { since: now }, now);
                out.push(Command::Drain { slot });
            }
            Phase::Starting { .. } | Phase::Failed => self.stop(slot, now, out),
            Phase::Draining { .. } | Phase::Stopping { .. } | Phase::Gone => {}
        }
    }

    fn stop(&mut self, slot: Slot, now: Timestamp, out: &mut Vec<Command>) {
        self.instances[slot.index()].leaves = true;
        self.set(slot, Phase::Stopping { since: now }, now);
        out.push(Command::Stop { slot });
    }

    /// Starts an instance in a slot of its own.
    fn start(&mut self, release: Release, now: Timestamp, out: &mut Vec<Command>) -> Slot {
        let slot = Slot(count(self.instances.len()));
        self.instances.push(Instance {
            release,
            phase: Phase::Starting { since: now },
            leaves: false,
            repairs: 0,
        });
        self.moved = now;
        out.push(Command::Start { slot, release });
        slot
    }

    /// Until when an instance may stay in its phase.
    fn deadline(&self, slot: Slot, phase: Phase) -> Option<Timestamp> {
        let limits = self.limits;
        match phase {
            Phase::Starting { since } | Phase::Unready { since } if self.is_new(slot) => {
                Some(since.plus_ms(limits.ready_ms.into()))
            }
            Phase::Draining { since } => Some(since.plus_ms(limits.drain_ms.into())),
            // Once it is known that it does not stop, a person must act.
            Phase::Stopping { since } if self.status != Status::Stuck => {
                Some(since.plus_ms(limits.stop_ms.into()))
            }
            _ => None,
        }
    }

    /// What is over time.
    fn overdue(&mut self, now: Timestamp, out: &mut Vec<Command>) {
        for index in 0..self.instances.len() {
            let slot = Slot(count(index));
            let phase = self.phase(slot);
            if self.deadline(slot, phase).is_none_or(|due| now < due) {
                continue;
            }
            match phase {
                Phase::Starting { .. } | Phase::Unready { .. } => {
                    self.set(slot, Phase::Failed, now);
                    self.fail(slot, Why::NotReady, now);
                }
                Phase::Draining { .. } => {
                    self.cut_off = self.cut_off.saturating_add(1);
                    self.stop(slot, now, out);
                }
                Phase::Stopping { .. } => self.fail(slot, Why::NotStopped, now),
                _ => {}
            }
        }
    }

    /// Gives up when nothing came closer to its end for longer than everything
    /// may take.
    fn stalled(&mut self, now: Timestamp, out: &mut Vec<Command>) {
        let moves = matches!(self.status, Status::Running | Status::Aborting) && !self.paused;
        if moves && now >= self.moved.plus_ms(self.limits.stall_ms()) {
            let failure = Failure {
                slot: None,
                why: Why::Floor,
            };
            self.stick(failure, now);
            self.call_off(now, out);
        }
    }

    /// Lets all time run from now on: the caller was away, and what it should
    /// have done may not have been done.
    fn wake(&mut self, now: Timestamp) -> Result<(), NotNow> {
        self.running()?;
        self.moved = now;
        for instance in &mut self.instances {
            match &mut instance.phase {
                Phase::Starting { since }
                | Phase::Unready { since }
                | Phase::Resuming { since }
                | Phase::Draining { since }
                | Phase::Stopping { since } => *since = now,
                Phase::Ready | Phase::Failed | Phase::Gone => {}
            }
        }
        Ok(())
    }
}

// What people say.
impl Rollout {
    fn begin(&mut self, now: Timestamp) -> Result<(), NotNow> {
        if self.status != Status::Preparing {
            return Err(NotNow::Begun);
        }
        self.moved = now;
        for instance in &mut self.instances {
            if let Phase::Unready { since } = &mut instance.phase {
                *since = now;
            }
        }
        if self.changes.is_empty() {
            self.status = Status::Ended(End::Succeeded);
        } else {
            if self.forward.is_empty() {
                self.forward
                    .push(Run::new(count(self.changes.len()), false));
            }
            self.enter(0, now);
        }
        Ok(())
    }

    fn confirm(
        &mut self,
        batch: u32,
        go_on: bool,
        now: Timestamp,
        out: &mut Vec<Command>,
    ) -> Result<(), NotNow> {
        if self.status != Status::WaitsForConfirm || batch != self.current + 1 {
            return Err(NotNow::NotWaiting(batch));
        }
        match go_on {
            true => self.enter(batch, now),
            false => self.abort(now, out)?,
        }
        Ok(())
    }

    fn retry(&mut self, now: Timestamp, out: &mut Vec<Command>) -> Result<(), NotNow> {
        if self.status != Status::Stuck {
            return Err(NotNow::NothingFailed);
        }
        if self.retries == RETRIES_MAX {
            return Err(NotNow::RetriesUsed);
        }
        self.retries += 1;
        self.failure = None;
        self.status = match self.ending {
            true => Status::Aborting,
            false => Status::Running,
        };
        self.moved = now;
        for index in 0..self.changes.len() {
            let Some(new) = self.changes[index].new else {
                continue;
            };
            if self.phase(new) == Phase::Failed {
                self.changes[index].new = None;
                self.stop(new, now, out);
            }
        }
        self.again(now, out);
        let current = self.current as usize;
        if let Some(run) = self.runs().get_mut(current) {
            run.status = BatchStatus::Running;
            run.ended = None;
        }
        Ok(())
    }

    /// Says once more, with the whole time, that instances are to stop.
    fn again(&mut self, now: Timestamp, out: &mut Vec<Command>) {
        for index in 0..self.instances.len() {
            let slot = Slot(count(index));
            if matches!(self.phase(slot), Phase::Stopping { since } if since != now) {
                self.stop(slot, now, out);
            }
        }
    }

    fn abort(&mut self, now: Timestamp, out: &mut Vec<Command>) -> Result<(), NotNow> {
        match self.status {
            Status::Ended(_) => return Err(NotNow::NotRunning),
            Status::Preparing => {
                self.end(End::Aborted, now);
                return Ok(());
            }
            Status::Stuck => self.again(now, out),
            _ => {}
        }
        self.status = Status::Aborting;
        self.ending = true;
        self.failure = None;
        self.paused = false;
        self.moved = now;
        self.call_off(now, out);
        Ok(())
    }

    fn turn_back(&mut self, now: Timestamp, out: &mut Vec<Command>) -> Result<(), NotNow> {
        match self.status {
            Status::Ended(_) => return Err(NotNow::NotRunning),
            _ if self.leg() == Leg::Back => return Err(NotNow::OnItsWayBack),
            Status::Preparing => {
                self.end(End::RolledBack, now);
                return Ok(());
            }
            Status::Stuck => self.again(now, out),
            _ => {}
        }
        self.leave_batches(now);
        let mut back = Vec::new();
        for change in std::mem::take(&mut self.changes) {
            if change.batch.is_some() {
                back.extend(self.reversed(&change, now, out));
            }
        }
        self.changes = back;
        self.standing = count(self.instances.len());
        self.ending = false;
        self.back = Some(Run::new(count(self.changes.len()), false));
        self.paused = false;
        self.failure = None;
        self.moved = now;
        self.enter(0, now);
        Ok(())
    }

    /// What takes one change back. An old instance that still runs is kept.
    fn reversed(
        &mut self,
        change: &Change,
        now: Timestamp,
        out: &mut Vec<Command>,
    ) -> Option<Change> {
        let old = change.remove.map(|slot| (slot, self.phase(slot)));
        let start = match old {
            Some((slot, Phase::Stopping { .. } | Phase::Gone)) => {
                Some(self.instances[slot.index()].release)
            }
            Some((slot, Phase::Draining { .. })) => {
                self.undrain(slot, now, out);
                None
            }
            _ => None,
        };
        let remove = change
            .new
            .filter(|new| !matches!(self.phase(*new), Phase::Gone));
        (start.is_some() || remove.is_some()).then_some(Change {
            remove,
            start,
            new: None,
            batch: None,
            surge: false,
        })
    }

    fn undrain(&mut self, slot: Slot, now: Timestamp, out: &mut Vec<Command>) {
        self.instances[slot.index()].leaves = false;
        self.set(slot, Phase::Resuming { since: now }, now);
        out.push(Command::Undrain { slot });
    }

    /// Leaves off what has changed nothing yet: an old instance that drains
    /// while nothing takes its place serves again.
    fn call_off(&mut self, now: Timestamp, out: &mut Vec<Command>) {
        for index in 0..self.changes.len() {
            let change = self.changes[index];
            let (Some(old), Some(_)) = (change.remove, change.batch) else {
                continue;
            };
            let replaced = change
                .new
                .is_some_and(|new| self.phase(new) != Phase::Failed);
            if matches!(self.phase(old), Phase::Draining { .. }) && !replaced {
                self.undrain(old, now, out);
                if change.new.is_none() {
                    self.changes[index].batch = None;
                }
            }
        }
    }
}

// How it goes on.
impl Rollout {
    /// Does all that can be done now.
    fn advance(&mut self, now: Timestamp, out: &mut Vec<Command>) {
        if self.running().is_err() {
            return;
        }
        self.overdue(now, out);
        if self.status == Status::Stuck {
            self.call_off(now, out);
        }
        // Each round begins a change, ends a batch, or is the last: there are
        // finitely many of both.
        loop {
            self.carry_on(now, out);
            self.repair(now, out);
            match self.status {
                Status::Running => {
                    self.begin_changes(now, out);
                    if !self.batch_is_done() || !self.leave_batch(now) {
                        break;
                    }
                }
                Status::WaitsForAuto { until } if now >= until && !self.paused => {
                    self.enter(self.current + 1, now);
                }
                Status::Aborting => {
                    self.call_off(now, out);
                    self.give_up_failed(now, out);
                    if self.is_quiet() {
                        self.end(End::Aborted, now);
                    }
                    break;
                }
                _ => break,
            }
        }
        self.stalled(now, out);
    }

    /// Takes each begun change its next step.
    fn carry_on(&mut self, now: Timestamp, out: &mut Vec<Command>) {
        for index in 0..self.changes.len() {
            let change = self.changes[index];
            if change.batch.is_none() {
                continue;
            }
            let old = change.remove.map(|slot| self.phase(slot));
            match (old, change.start, change.new) {
                (None | Some(Phase::Gone), Some(release), None) => {
                    self.changes[index].new = Some(self.start(release, now, out));
                }
                // A change whose new instance is to be there first, and was
                // taken away again by a retry.
                (Some(_), Some(release), None) if change.surge => {
                    self.changes[index].new = Some(self.start(release, now, out));
                }
                (Some(phase), _, Some(new)) if self.phase(new) == Phase::Ready => {
                    let spare = phase != Phase::Ready || self.ready() > self.plan.floor;
                    if spare
                        && self.status != Status::Stuck
                        && let Some(old) = change.remove
                    {
                        self.take_out(old, now, out);
                    }
                }
                _ => {}
            }
        }
    }

    /// Begins what the batch has left, as far as the floor allows.
    fn begin_changes(&mut self, now: Timestamp, out: &mut Vec<Command>) {
        while !self.paused && self.quota() > 0 {
            let Some((index, surge)) = self.pick() else {
                break;
            };
            self.changes[index].batch = Some(self.current);
            self.changes[index].surge = surge;
            self.moved = now;
            match self.changes[index].remove {
                Some(old) if !surge => self.take_out(old, now, out),
                _ => {}
            }
            self.carry_on(now, out);
        }
    }

    /// Which change comes next, and whether its new instance must come first.
    fn pick(&mut self) -> Option<(usize, bool)> {
        let waiting = |c: &Change| c.batch.is_none();
        let added = |c: &Change| waiting(c) && c.remove.is_none();
        if let Some(index) = self.changes.iter().position(added) {
            return Some((index, false));
        }
        let spare = self.ready() > self.plan.floor;
        let replaced = |c: &Change| waiting(c) && c.start.is_some();
        if let Some(first) = self.changes.iter().position(replaced) {
            if let Some(index) = self.unserving(replaced) {
                return Some((index, false));
            }
            // One that does not serve is better replaced than taken away.
            if let Some(index) = self.unserving(waiting) {
                let target = self.changes[index].remove;
                self.changes[index].remove = self.changes[first].remove;
                self.changes[first].remove = target;
                return Some((first, false));
            }
            if spare {
                return Some((first, false));
            }
            return (self.surging() < self.plan.surge).then_some((first, true));
        }
        if let Some(index) = self.unserving(waiting) {
            return Some((index, false));
        }
        let index = self.changes.iter().position(waiting)?;
        spare.then_some((index, false))
    }

    /// The first such change whose old instance takes no requests.
    fn unserving(&self, such: impl Fn(&Change) -> bool) -> Option<usize> {
        self.changes.iter().position(|c| {
            such(c)
                && c.remove
                    .is_some_and(|slot| self.phase(slot) != Phase::Ready)
        })
    }

    /// How many instances run beside the one they will replace.
    fn surging(&self) -> u32 {
        let both = |c: &&Change| {
            let lives = |slot: Option<Slot>| slot.is_some_and(|s| self.phase(s) != Phase::Gone);
            c.batch.is_some() && c.surge && lives(c.remove) && lives(c.new)
        };
        count(self.changes.iter().filter(both).count())
    }

    /// How many changes the batch has left to begin.
    fn quota(&self) -> usize {
        let batch = Some(self.current);
        let waiting = self.changes.iter().filter(|c| c.batch.is_none()).count();
        let begun = self.changes.iter().filter(|c| c.batch == batch).count();
        let runs = self.leg_runs();
        match runs.get(self.current as usize) {
            Some(run) if (self.current as usize) + 1 < runs.len() => {
                waiting.min((run.instances as usize).saturating_sub(begun))
            }
            _ => waiting,
        }
    }

    fn batch_is_done(&self) -> bool {
        !self.paused
            && self.quota() == 0
            && self.is_still()
            && self
                .changes
                .iter()
                .all(|c| c.batch.is_none() || self.is_done(c))
    }

    fn is_done(&self, change: &Change) -> bool {
        change.batch.is_some()
            && change
                .remove
                .is_none_or(|slot| self.phase(slot) == Phase::Gone)
            && match (change.start, change.new) {
                (None, _) => true,
                (Some(_), new) => new.is_some_and(|slot| self.phase(slot) == Phase::Ready),
            }
    }

    /// Whether no instance is on its way out or back into service.
    fn is_still(&self) -> bool {
        self.instances.iter().all(|i| {
            !matches!(
                i.phase,
                Phase::Draining { .. } | Phase::Stopping { .. } | Phase::Resuming { .. }
            )
        })
    }

    /// Whether nothing that was begun will move by itself.
    fn is_quiet(&self) -> bool {
        self.is_still()
            && self.changes.iter().filter(|c| c.batch.is_some()).all(|c| {
                let new = c.new.map(|slot| self.phase(slot));
                let starts = matches!(new, Some(Phase::Starting { .. } | Phase::Unready { .. }));
                let leaves = c.remove.is_some_and(|slot| self.phase(slot) != Phase::Gone)
                    && new == Some(Phase::Ready);
                !starts && !leaves
            })
    }

    /// Stops new instances that failed where the old one still serves.
    fn give_up_failed(&mut self, now: Timestamp, out: &mut Vec<Command>) {
        for index in 0..self.changes.len() {
            let change = self.changes[index];
            let (Some(old), Some(new)) = (change.remove, change.new) else {
                continue;
            };
            let serves = !matches!(self.phase(old), Phase::Stopping { .. } | Phase::Gone);
            if self.phase(new) == Phase::Failed && serves {
                self.stop(new, now, out);
                self.changes[index].new = None;
                self.changes[index].batch = None;
            }
        }
    }

    /// Starts again what ended by itself and is to stay.
    fn repair(&mut self, now: Timestamp, out: &mut Vec<Command>) {
        for index in 0..self.standing as usize {
            let slot = Slot(count(index));
            let instance = self.instances[index];
            if instance.phase != Phase::Gone || instance.leaves || instance.repairs == REPAIRS_MAX {
                continue;
            }
            let taken_away = |c: &Change| c.remove == Some(slot) && c.start.is_none();
            if !self.changes.iter().any(taken_away) {
                self.instances[index].repairs += 1;
                self.set(slot, Phase::Starting { since: now }, now);
                out.push(Command::Start {
                    slot,
                    release: instance.release,
                });
            }
        }
    }

    fn enter(&mut self, batch: u32, now: Timestamp) {
        self.current = batch;
        self.status = Status::Running;
        self.moved = now;
        if let Some(run) = self.runs().get_mut(batch as usize) {
            run.status = BatchStatus::Running;
            run.started = Some(now);
        }
    }

    /// Ends the batch that is done. Whether there is something to go on with.
    fn leave_batch(&mut self, now: Timestamp) -> bool {
        let current = self.current as usize;
        let all_begun = self.changes.iter().all(|c| c.batch.is_some());
        for (index, run) in self.runs().iter_mut().enumerate() {
            // Batches for which nothing was left over have nothing to do.
            if index == current || index > current && all_begun {
                run.status = BatchStatus::Succeeded;
                run.ended = Some(now);
            }
        }
        if all_begun {
            self.end(
                match self.leg() {
                    Leg::Forward => End::Succeeded,
                    Leg::Back => End::RolledBack,
                },
                now,
            );
            return false;
        }
        self.status = match self.plan.gate {
            Gate::Manual => Status::WaitsForConfirm,
            Gate::Auto { wait_s } => Status::WaitsForAuto {
                until: now.plus_ms(i64::from(wait_s) * 1000),
            },
        };
        true
    }

    fn end(&mut self, end: End, now: Timestamp) {
        self.status = Status::Ended(end);
        self.leave_batches(now);
    }

    /// Marks the batches that will not be gone through any more.
    fn leave_batches(&mut self, now: Timestamp) {
        for run in self.runs() {
            if run.status != BatchStatus::Succeeded {
                run.status = BatchStatus::Aborted;
                run.ended = Some(now);
            }
        }
    }

    fn fail(&mut self, slot: Slot, why: Why, now: Timestamp) {
        // Ending an order is not stopped by an instance that does not come up:
        // what was begun needs no more than to be over.
        if self.status == Status::Aborting && why != Why::NotStopped {
            return;
        }
        self.stick(
            Failure {
                slot: Some(slot),
                why,
            },
            now,
        );
    }

    fn stick(&mut self, failure: Failure, now: Timestamp) {
        self.status = Status::Stuck;
        self.failure.get_or_insert(failure);
        let current = self.current as usize;
        if let Some(run) = self.runs().get_mut(current) {
            run.status = BatchStatus::Failed;
            run.ended = Some(now);
        }
    }
}

// Small things.
impl Rollout {
    fn running(&self) -> Result<(), NotNow> {
        match self.status {
            Status::Preparing | Status::Ended(_) => Err(NotNow::NotRunning),
            _ => Ok(()),
        }
    }

    fn each(&self) -> impl Iterator<Item = (Slot, &Instance)> {
        self.instances
            .iter()
            .enumerate()
            .map(|(index, instance)| (Slot(count(index)), instance))
    }

    fn known(&self, slot: Slot) -> Result<Phase, NotNow> {
        self.instances
            .get(slot.index())
            .map(|i| i.phase)
            .ok_or(NotNow::UnknownSlot(slot))
    }

    fn phase(&self, slot: Slot) -> Phase {
        self.instances[slot.index()].phase
    }

    fn set(&mut self, slot: Slot, phase: Phase, now: Timestamp) {
        self.instances[slot.index()].phase = phase;
        self.moved = now;
    }

    /// Whether this leg started it.
    fn is_new(&self, slot: Slot) -> bool {
        slot.0 >= self.standing
    }

    fn leg_runs(&self) -> &[Run] {
        match &self.back {
            None => &self.forward,
            Some(run) => std::slice::from_ref(run),
        }
    }

    fn runs(&mut self) -> &mut [Run] {
        match &mut self.back {
            None => &mut self.forward,
            Some(run) => std::slice::from_mut(run),
        }
    }
}

impl Run {
    const fn new(instances: u32, gray: bool) -> Self {
        Self {
            instances,
            gray,
            status: BatchStatus::Preparing,
            started: None,
            ended: None,
        }
    }
}

impl Slot {
    const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What becomes of each standing instance, and what is added.
fn changes(instances: &[Instance], target: Release, wanted: u32, scope: &Scope) -> Vec<Change> {
    let mut slots: Vec<Slot> = (0..count(instances.len())).map(Slot).collect();
    // Those that are only taken away: first what does not serve, then the
    // youngest.
    let wanted = wanted as usize;
    slots.sort_by_key(|slot| (instances[slot.index()].phase != Phase::Ready, slot.0));
    let taken = slots.split_off(wanted.min(slots.len()));
    slots.sort_unstable();
    let replaced = |slot: &Slot| match scope {
        Scope::All => true,
        Scope::Others => instances[slot.index()].release != target,
        Scope::None => false,
        Scope::These(these) => these.contains(slot),
    };
    let change = |remove, start| Change {
        remove,
        start,
        new: None,
        batch: None,
        surge: false,
    };
    let missing = wanted.saturating_sub(slots.len());
    let mut out = vec![change(None, Some(target)); missing];
    out.extend(
        slots
            .iter()
            .filter(|slot| replaced(slot))
            .map(|slot| change(Some(*slot), Some(target))),
    );
    out.extend(taken.iter().map(|slot| change(Some(*slot), None)));
    out
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod check;
