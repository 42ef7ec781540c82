//! Instances that do as they are told, save for what goes wrong; and what must
//! be true of the machine that tells them.

use std::hash::{DefaultHasher, Hash, Hasher};

use backout_core::time::Timestamp;

use crate::plan::{Batch, Gate, Plan};
use crate::rollout::*;

/// What stood before.
pub const OLD: Release = Release(1);
/// What stood before here and there: an earlier order was ended half way.
pub const OLDER: Release = Release(2);
/// What is to be.
pub const NEW: Release = Release(9);

pub const LIMITS: Limits = Limits {
    ready_ms: 1000,
    drain_ms: 500,
    stop_ms: 300,
};

/// One order to be checked.
#[derive(Clone, Debug)]
pub struct Case {
    pub standing: Vec<Standing>,
    pub wanted: u32,
    pub plan: Plan,
    pub scope: Scope,
}

impl Case {
    /// `now` instances of the old release are to become `wanted` of the new one.
    pub fn deploy(now: u32, wanted: u32, plan: Plan) -> Self {
        Self {
            standing: vec![
                Standing {
                    release: OLD,
                    ready: true,
                };
                now as usize
            ],
            wanted,
            plan,
            scope: Scope::Others,
        }
    }

    pub fn machine(&self) -> Rollout {
        Rollout::new(
            self.plan.clone(),
            LIMITS,
            &self.standing,
            NEW,
            self.wanted,
            &self.scope,
        )
    }
}

pub fn plan(floor: u32, surge: u32, batches: &[u32], gate: Gate) -> Plan {
    Plan {
        floor,
        surge,
        batches: batches
            .iter()
            .map(|n| Batch {
                instances: *n,
                gray: false,
            })
            .collect(),
        gate,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Run {
    Absent,
    Starting,
    /// Starts, and will never be ready.
    Wedged,
    Up,
    /// Crashed; its supervisor will start it again.
    Down,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Inst {
    pub run: Run,
    pub drains: bool,
    drained: bool,
    stops: bool,
    rejoins: bool,
    drain_hangs: bool,
    stop_hangs: bool,
}

impl Inst {
    const fn new(run: Run) -> Self {
        Self {
            run,
            drains: false,
            drained: false,
            stops: false,
            rejoins: false,
            drain_hangs: false,
            stop_hangs: false,
        }
    }

    fn serves(self) -> bool {
        self.run == Run::Up && !self.drains && !self.stops && !self.rejoins
    }
}

/// What the world does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// What an instance is on its way to comes about.
    Natural(Slot),
    /// Something goes wrong.
    Wrong(Slot, Fault),
    /// Time passes until the machine's next deadline.
    Wait,
    /// A person speaks.
    Says(Event),
    /// The caller dies before it carries out what it was told, and comes back.
    Dies(Slot),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    FailsToStart,
    NeverReady,
    /// Crashes and is started again.
    Crashes,
    /// Ends for good.
    Ends,
    DrainHangs,
    StopHangs,
}

pub const FAULTS: [Fault; 6] = [
    Fault::FailsToStart,
    Fault::NeverReady,
    Fault::Crashes,
    Fault::Ends,
    Fault::DrainHangs,
    Fault::StopHangs,
];

/// A machine and its world.
#[derive(Clone, Debug)]
pub struct Sim {
    pub machine: Rollout,
    pub world: Vec<Inst>,
    pub now: Timestamp,
    /// How many things went wrong.
    pub wrong: u32,
    /// Whether time passes of itself: something hangs.
    pub hangs: bool,
    pub aborts: u32,
    pub retries: u32,
    pub deaths: u32,
    /// How often each instance was told to drain or stop, and not told to go on.
    told: Vec<u8>,
    /// How many starts were ordered of instances that were not there before.
    pub starts: u32,
    /// How many served at the beginning.
    first: usize,
    /// How many may be there at once.
    room: usize,
}

impl Sim {
    pub fn new(case: &Case) -> Self {
        let mut sim = Self {
            machine: case.machine(),
            world: case
                .standing
                .iter()
                .map(|s| Inst::new(if s.ready { Run::Up } else { Run::Down }))
                .collect(),
            now: Timestamp(0),
            wrong: 0,
            hangs: false,
            aborts: 0,
            retries: 0,
            deaths: 0,
            told: vec![0; case.standing.len()],
            starts: 0,
            room: case.standing.len().max(case.wanted as usize) + case.plan.surge as usize,
            first: case.standing.iter().filter(|s| s.ready).count(),
        };
        sim.say(Event::Begin);
        sim
    }

    pub fn over(&self) -> Option<End> {
        match self.machine.status {
            Status::Ended(end) => Some(end),
            _ => None,
        }
    }

    pub fn stuck(&self) -> bool {
        self.machine.status == Status::Stuck
    }

    /// Hands an event in and carries out what is ordered.
    pub fn say(&mut self, event: Event) {
        let commands = self.event(event);
        self.carry_out(&commands);
        if self.aborts == 0 && self.retries == 0 {
            let live = self.machine.live().count();
            assert!(live <= self.room, "too many run at once: {self:?}");
        }
        if self.wrong == 0 && self.deaths == 0 {
            let serve = self.world.iter().filter(|i| i.serves()).count();
            let floor = (self.machine.plan.floor as usize).min(self.first);
            assert!(serve >= floor, "below the floor after {event:?}: {self:?}");
        }
    }

    /// Hands an event in, and checks what is ordered.
    fn event(&mut self, event: Event) -> Vec<Command> {
        let before = self.machine.clone();
        let commands = self.machine.apply(event, self.now).unwrap();
        self.allowed(&before, &commands, event);
        commands
    }

    /// What must be true of every order that is given.
    fn allowed(&mut self, before: &Rollout, commands: &[Command], event: Event) {
        let floor = before.plan.floor;
        for command in commands {
            match *command {
                Command::Drain { slot } => {
                    assert_ne!(self.machine.status, Status::Stuck, "{event:?} {before:?}");
                    let was = before.instances.get(slot.index()).map(|i| i.phase);
                    if was == Some(Phase::Ready) && event != Event::Unready(slot) {
                        assert!(
                            self.machine.ready() >= floor,
                            "{event:?} drains below the floor: {before:?}"
                        );
                    }
                    self.told[slot.index()] += 1;
                    assert_eq!(self.told[slot.index()], 1, "drained twice: {before:?}");
                }
                Command::Undrain { slot } => {
                    self.told[slot.index()] -= 1;
                    assert_eq!(self.told[slot.index()], 0);
                }
                Command::Stop { slot } => {
                    let was = before.instances.get(slot.index()).map(|i| i.phase);
                    let serves = was == Some(Phase::Ready) && event != Event::Ended(slot);
                    assert!(!serves, "stops what serves: {event:?} {before:?}");
                }
                Command::Start { slot, .. } => {
                    if slot.index() >= before.instances.len() {
                        self.starts += 1;
                        self.told.push(0);
                    }
                }
            }
        }
    }

    pub fn carry_out(&mut self, commands: &[Command]) {
        for command in commands {
            match *command {
                Command::Start { slot, .. } => {
                    while self.world.len() <= slot.index() {
                        self.world.push(Inst::new(Run::Absent));
                    }
                    let inst = &mut self.world[slot.index()];
                    if inst.run == Run::Absent {
                        *inst = Inst::new(Run::Starting);
                    }
                }
                Command::Drain { slot } => {
                    let inst = &mut self.world[slot.index()];
                    inst.drains = true;
                    inst.rejoins = false;
                }
                Command::Undrain { slot } => {
                    let inst = &mut self.world[slot.index()];
                    inst.rejoins |= inst.drains;
                    inst.drains = false;
                    inst.drained = false;
                    inst.drain_hangs = false;
                }
                Command::Stop { slot } => {
                    while self.world.len() <= slot.index() {
                        self.world.push(Inst::new(Run::Absent));
                    }
                    self.world[slot.index()].stops = true;
                }
            }
        }
    }

    /// The machine knows the world as it is, has done all it can, and saying
    /// again what was said changes nothing.
    pub fn check(&self) {
        if self.over().is_some() {
            return;
        }
        let serve = self.world.iter().filter(|i| i.serves()).count();
        assert_eq!(self.machine.ready(), count(serve), "{self:?}");
        if self.stuck() {
            for change in &self.machine.changes {
                let phase = |slot: Slot| self.machine.phase(slot);
                let drains = change
                    .remove
                    .is_some_and(|old| matches!(phase(old), Phase::Draining { .. }));
                let replaced = change.new.is_some_and(|new| phase(new) != Phase::Failed);
                assert!(!drains || replaced, "drains though stuck: {self:?}");
            }
        }
        let mut again = self.machine.clone();
        assert_eq!(again.apply(Event::Tick, self.now).unwrap(), []);
        assert_eq!(again, self.machine, "not all was done");
        let said = again.observe(&self.seen(), self.now);
        assert_eq!(
            again,
            self.machine,
            "observing what is known: {:?}",
            self.seen()
        );
        let mut repeated = self.clone();
        repeated.carry_out(&said);
        assert_eq!(repeated.world, self.world, "{said:?} once more");
    }

    /// What is to be seen of the world.
    pub fn seen(&self) -> Vec<Observed> {
        let seen = |i: &Inst| match i.run {
            // It is over, and what it leaves is not taken away yet.
            Run::Absent if i.stops => Seen::Failed,
            Run::Absent => Seen::Missing,
            Run::Starting | Run::Wedged => Seen::Unready,
            Run::Up | Run::Down if i.drained => Seen::Drained,
            Run::Up | Run::Down if i.drains => Seen::Draining,
            Run::Down => Seen::Unready,
            Run::Up if i.rejoins => Seen::Unready,
            Run::Up => Seen::Ready,
        };
        self.world
            .iter()
            .enumerate()
            .map(|(index, inst)| Observed {
                slot: Slot(count(index)),
                seen: seen(inst),
            })
            .collect()
    }

    /// Lets what the instance is on its way to come about; the event of that.
    fn come_about(&mut self, slot: Slot) -> Option<Event> {
        let inst = &mut self.world[slot.index()];
        if inst.stops {
            *inst = Inst::new(Run::Absent);
            return Some(Event::Ended(slot));
        }
        match inst.run {
            Run::Starting => inst.run = Run::Up,
            Run::Down => {
                inst.run = Run::Up;
                inst.rejoins = false;
            }
            Run::Up if inst.rejoins => inst.rejoins = false,
            Run::Up if inst.drains => {
                inst.drained = true;
                return Some(Event::Drained(slot));
            }
            _ => return None,
        }
        (!inst.drains).then_some(Event::Ready(slot))
    }

    fn can_come_about(inst: &Inst) -> bool {
        if inst.stops {
            return !inst.stop_hangs;
        }
        match inst.run {
            Run::Starting | Run::Down => true,
            Run::Up => inst.rejoins || (inst.drains && !inst.drained && !inst.drain_hangs),
            Run::Absent | Run::Wedged => false,
        }
    }

    fn can_go_wrong(inst: &Inst, fault: Fault) -> bool {
        match fault {
            Fault::FailsToStart | Fault::NeverReady => inst.run == Run::Starting && !inst.stops,
            Fault::Crashes => inst.serves(),
            Fault::Ends => matches!(inst.run, Run::Up | Run::Down) && !inst.stops,
            Fault::DrainHangs => {
                inst.run == Run::Up && inst.drains && !inst.drained && !inst.drain_hangs
            }
            Fault::StopHangs => inst.stops && !inst.stop_hangs && inst.run != Run::Absent,
        }
    }

    fn go_wrong(&mut self, slot: Slot, fault: Fault) -> Option<Event> {
        self.wrong += 1;
        let inst = &mut self.world[slot.index()];
        match fault {
            Fault::FailsToStart | Fault::Ends => {
                *inst = Inst::new(Run::Absent);
                Some(Event::Ended(slot))
            }
            Fault::Crashes => {
                inst.run = Run::Down;
                Some(Event::Unready(slot))
            }
            Fault::NeverReady => {
                inst.run = Run::Wedged;
                self.hangs = true;
                None
            }
            Fault::DrainHangs => {
                inst.drain_hangs = true;
                self.hangs = true;
                None
            }
            Fault::StopHangs => {
                inst.stop_hangs = true;
                self.hangs = true;
                None
            }
        }
    }

    /// What instances can do by themselves.
    pub fn natural(&self) -> impl Iterator<Item = Act> {
        self.world
            .iter()
            .enumerate()
            .filter(|(_, inst)| Self::can_come_about(inst))
            .map(|(index, _)| Act::Natural(Slot(count(index))))
    }

    /// Leaves out what is the same as another act but for the name of the
    /// instance.
    pub fn distinct(&self, acts: Vec<Act>) -> Vec<Act> {
        let mut known = Vec::new();
        acts.into_iter()
            .filter(|act| {
                let class = match *act {
                    Act::Natural(slot) => (0, None, self.class(slot)),
                    Act::Wrong(slot, fault) => (1, Some(fault), self.class(slot)),
                    Act::Dies(slot) => (2, None, self.class(slot)),
                    Act::Wait | Act::Says(_) => return true,
                };
                let new = !known.contains(&class);
                known.push(class);
                new
            })
            .collect()
    }

    /// What tells an instance from others, but for its name.
    fn class(&self, slot: Slot) -> u64 {
        let m = &self.machine;
        let of = |s: Slot| {
            let i = &m.instances[s.index()];
            (
                i.release,
                i.phase,
                i.leaves,
                i.repairs,
                self.world.get(s.index()),
            )
        };
        let change = m
            .changes
            .iter()
            .find(|c| c.remove == Some(slot) || c.new == Some(slot))
            .map(|c| {
                let is_new = c.new == Some(slot);
                let (old, new) = (c.remove.map(of), c.new.map(of));
                (is_new, old, c.start, new, c.batch, c.surge)
            });
        let mut hasher = DefaultHasher::new();
        (of(slot), change, slot.0 >= m.standing).hash(&mut hasher);
        hasher.finish()
    }

    /// What can go wrong.
    pub fn faults(&self) -> impl Iterator<Item = Act> {
        self.world.iter().enumerate().flat_map(|(index, inst)| {
            FAULTS
                .into_iter()
                .filter(|fault| Self::can_go_wrong(inst, *fault))
                .map(move |fault| Act::Wrong(Slot(count(index)), fault))
        })
    }

    /// Whether this can happen now.
    pub fn can(&self, act: Act) -> bool {
        match act {
            Act::Natural(slot) => self
                .world
                .get(slot.index())
                .is_some_and(Self::can_come_about),
            Act::Wrong(slot, fault) => self
                .world
                .get(slot.index())
                .is_some_and(|inst| Self::can_go_wrong(inst, fault)),
            Act::Wait | Act::Says(_) | Act::Dies(_) => true,
        }
    }

    pub fn act(&mut self, act: Act) {
        match act {
            Act::Natural(slot) => {
                if let Some(event) = self.come_about(slot) {
                    self.say(event);
                }
            }
            Act::Wrong(slot, fault) => {
                if let Some(event) = self.go_wrong(slot, fault) {
                    self.say(event);
                }
            }
            Act::Wait => {
                let due = self.machine.next_tick().unwrap();
                assert!(
                    due > self.now,
                    "a deadline that is over: {:?}",
                    self.machine
                );
                self.now = due;
                self.say(Event::Tick);
            }
            Act::Says(event) => {
                self.aborts += u32::from(matches!(event, Event::Abort { .. }));
                self.retries += u32::from(event == Event::Retry);
                // A person has seen to what could not be stopped.
                for inst in &mut self.world {
                    inst.stop_hangs = false;
                }
                self.say(event);
            }
            Act::Dies(slot) => {
                self.deaths += 1;
                // What the machine then orders is written down, and lost; before
                // the caller is back more happens, which nobody tells.
                if let Some(event) = self.come_about(slot) {
                    self.event(event);
                }
                let unheard: Vec<Slot> = (0..self.world.len()).map(|i| Slot(count(i))).collect();
                for slot in unheard {
                    if Self::can_come_about(&self.world[slot.index()]) {
                        self.come_about(slot);
                    }
                }
                let stored = serde_json::to_string(&self.machine).unwrap();
                self.machine = serde_json::from_str(&stored).unwrap();
                self.now = self.now.plus_ms(3_600_000);
                if self.over().is_none() {
                    let woken = self.event(Event::Wake);
                    assert!(woken.is_empty() || self.machine.plan.gate != Gate::Manual);
                    let before = self.machine.clone();
                    let seen = self.seen();
                    let said = self.machine.observe(&seen, self.now);
                    self.allowed_after_death(&before, &said);
                    self.carry_out(&said);
                }
            }
        }
    }

    /// As `allowed`, for all that is said after the caller came back.
    fn allowed_after_death(&mut self, before: &Rollout, said: &[Command]) {
        let fell = before
            .instances
            .iter()
            .zip(&self.machine.instances)
            .any(|(a, b)| a.phase == Phase::Ready && matches!(b.phase, Phase::Draining { .. }));
        assert!(
            !fell || self.machine.ready() >= before.plan.floor,
            "{before:?}"
        );
        self.told.resize(self.machine.instances.len(), 0);
        for (index, told) in self.told.iter_mut().enumerate() {
            let drains = Command::Drain {
                slot: Slot(count(index)),
            };
            let was = before.instances.get(index).map(|i| i.phase);
            if said.contains(&drains) && !matches!(was, Some(Phase::Draining { .. })) {
                *told += 1;
                assert_eq!(*told, 1, "drained twice: {before:?}");
            }
        }
        let known = before.instances.len();
        self.starts += count(self.machine.instances.len() - known);
    }

    /// What must be true at the end.
    pub fn check_end(&self, case: &Case) {
        let Some(end) = self.over() else {
            panic!("not over: {self:?}");
        };
        let mut live: Vec<Release> = self.machine.live().map(|(_, release, _)| release).collect();
        live.sort_unstable();
        let mut before: Vec<Release> = case.standing.iter().map(|s| s.release).collect();
        before.sort_unstable();
        for (index, inst) in self.world.iter().enumerate() {
            let lives = self.machine.instances[index].phase != Phase::Gone;
            let runs = inst.run != Run::Absent;
            let failed = self.machine.instances[index].phase == Phase::Failed;
            assert!(lives == runs || failed, "{self:?}");
            assert!(!inst.drains || !runs, "left draining: {self:?}");
        }
        let undisturbed = self.wrong == 0;
        match end {
            End::Succeeded => {
                assert_eq!(live.len(), case.wanted as usize);
                if case.scope == Scope::Others || case.scope == Scope::All {
                    assert!(live.iter().all(|r| *r == NEW), "{self:?}");
                }
                for (_, _, phase) in self.machine.live() {
                    assert!(phase == Phase::Ready || !undisturbed, "{self:?}");
                }
                if undisturbed && self.retries == 0 && self.deaths == 0 {
                    let added = self.machine.changes.iter().filter(|c| c.start.is_some());
                    assert_eq!(self.starts, count(added.count()), "each is changed once");
                }
            }
            End::RolledBack => {
                assert_eq!(live, before, "{self:?}");
            }
            End::Aborted => {
                if undisturbed {
                    let least = case.wanted.min(count(before.len()));
                    assert!(live.len() >= least as usize, "{self:?}");
                    assert!(
                        self.machine.ready() >= case.plan.floor.min(least),
                        "{self:?}"
                    );
                }
            }
        }
        let untouched = |slot: Slot| {
            self.machine.instances[slot.index()].release == NEW && case.scope == Scope::Others
        };
        for index in 0..case.standing.len() {
            if untouched(Slot(count(index))) && case.wanted as usize >= case.standing.len() {
                assert_eq!(self.told[index], 0, "was to be left alone: {self:?}");
            }
        }
    }

    /// The state but for the names of the instances: two states of one key go
    /// on in the same way.
    pub fn key(&self) -> u64 {
        let since = |phase: Phase| {
            let (kind, at) = match phase {
                Phase::Starting { since } => (0, since),
                Phase::Ready => (1, self.now),
                Phase::Unready { since } => (2, since),
                Phase::Resuming { since } => (3, since),
                Phase::Failed => (4, self.now),
                Phase::Draining { since } => (5, since),
                Phase::Stopping { since } => (6, since),
                Phase::Gone => (7, self.now),
            };
            (kind, self.now.since_ms(at))
        };
        let m = &self.machine;
        let inst = |slot: Slot| {
            let i = &m.instances[slot.index()];
            (
                i.release,
                since(i.phase),
                i.leaves,
                i.repairs,
                self.world.get(slot.index()).copied(),
                self.told[slot.index()],
            )
        };
        let mut changes: Vec<_> = m
            .changes
            .iter()
            .map(|c| {
                (
                    c.remove.map(inst),
                    c.start,
                    c.new.map(inst),
                    c.batch,
                    c.surge,
                )
            })
            .collect();
        changes.sort_unstable();
        let mut others: Vec<_> = (0..count(m.instances.len()))
            .map(Slot)
            .filter(|s| {
                !m.changes
                    .iter()
                    .any(|c| c.remove == Some(*s) || c.new == Some(*s))
            })
            .map(|s| (s.0 >= m.standing, inst(s)))
            .collect();
        others.sort_unstable();
        let mut hasher = DefaultHasher::new();
        (changes, others).hash(&mut hasher);
        let runs: Vec<BatchStatus> = m.forward.iter().chain(&m.back).map(|r| r.status).collect();
        let status = match m.status {
            Status::WaitsForAuto { until } => (6, until.since_ms(self.now)),
            Status::Preparing => (0, 0),
            Status::Running => (1, 0),
            Status::Stuck => (2, 0),
            Status::WaitsForConfirm => (3, 0),
            Status::Aborting => (4, 0),
            Status::Ended(end) => (5, end as i64),
        };
        (
            runs,
            status,
            m.current,
            m.paused,
            m.ending,
            m.failure.is_some(),
        )
            .hash(&mut hasher);
        (self.now.since_ms(m.moved), self.wrong, self.hangs).hash(&mut hasher);
        (self.aborts, self.retries, self.deaths, self.starts).hash(&mut hasher);
        hasher.finish()
    }
}
