//! What an order shows, and what it lets be said to it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use backout_core::time::Timestamp;
use backout_rollout::{
    Batch, BatchStatus, ChangeState, Command, End, Event, Failure, Gate, Leg, Limits, NotNow,
    Observed, Plan, Release, Rollout, Scope, Seen, Slot, Standing, Status, Why,
};

const OLD: Release = Release(1);
const NEW: Release = Release(2);
const T: Timestamp = Timestamp(1_000_000);

const LIMITS: Limits = Limits {
    ready_ms: 60_000,
    drain_ms: 10_000,
    stop_ms: 5_000,
};

fn order(now: u32, wanted: u32, scope: Scope, batches: &[u32], gate: Gate) -> Rollout {
    let plan = Plan {
        floor: 1,
        surge: 0,
        batches: batches
            .iter()
            .map(|n| Batch {
                instances: *n,
                gray: false,
            })
            .collect(),
        gate,
    };
    let standing = Standing {
        release: OLD,
        ready: true,
    };
    let standing = vec![standing; now as usize];
    Rollout::new(plan, LIMITS, &standing, NEW, wanted, &scope)
}

/// Does what it is told at once, until it waits for something else.
fn settle(order: &mut Rollout, commands: Vec<Command>, now: Timestamp) {
    let mut todo: std::collections::VecDeque<Command> = commands.into();
    while let Some(command) = todo.pop_front() {
        let event = match command {
            Command::Start { slot, .. } | Command::Undrain { slot } => Event::Ready(slot),
            Command::Drain { slot } => Event::Drained(slot),
            Command::Stop { slot } => Event::Ended(slot),
        };
        todo.extend(order.apply(event, now).unwrap());
    }
}

fn say(order: &mut Rollout, event: Event, now: Timestamp) {
    let commands = order.apply(event, now).unwrap();
    settle(order, commands, now);
}

fn statuses(order: &Rollout) -> Vec<BatchStatus> {
    order.progress().batches.iter().map(|b| b.status).collect()
}

#[test]
fn batches_that_wait_for_a_word() {
    use BatchStatus::{Aborted, Preparing, Succeeded, WaitsForConfirm};
    let mut order = order(3, 3, Scope::Others, &[1, 1, 1], Gate::Manual);
    assert_eq!(order.status(), Status::Preparing);
    assert_eq!(order.apply(Event::Retry, T), Err(NotNow::NothingFailed));
    assert_eq!(order.apply(Event::Pause, T), Err(NotNow::NotRunning));
    say(&mut order, Event::Begin, T);
    assert_eq!(order.apply(Event::Begin, T), Err(NotNow::Begun));
    assert_eq!(order.status(), Status::WaitsForConfirm);
    assert_eq!(statuses(&order), [Succeeded, WaitsForConfirm, Preparing]);
    let word = |batch| Event::Confirm { batch, go_on: true };
    assert_eq!(order.apply(word(2), T), Err(NotNow::NotWaiting(2)));
    say(&mut order, word(1), T);
    assert_eq!(
        order.apply(word(1), T),
        Err(NotNow::NotWaiting(1)),
        "said twice"
    );
    assert_eq!(statuses(&order), [Succeeded, Succeeded, WaitsForConfirm]);
    let progress = order.progress();
    assert_eq!((progress.done, progress.total, progress.ready), (2, 3, 3));
    let no = Event::Confirm {
        batch: 2,
        go_on: false,
    };
    say(&mut order, no, T);
    assert_eq!(order.status(), Status::Ended(End::Aborted));
    assert_eq!(statuses(&order), [Succeeded, Succeeded, Aborted]);
    assert_eq!(order.apply(Event::Tick, T), Ok(vec![]));
    let abort = Event::Abort { rollback: true };
    assert_eq!(order.apply(abort, T), Err(NotNow::NotRunning));
}

#[test]
fn batches_that_wait_for_their_time() {
    let mut order = order(2, 2, Scope::All, &[1, 1], Gate::Auto { wait_s: 60 });
    say(&mut order, Event::Begin, T);
    let until = T.plus_ms(60_000);
    assert_eq!(order.status(), Status::WaitsForAuto { until });
    assert_eq!(order.next_tick(), Some(until));
    say(&mut order, Event::Tick, until.plus_ms(-1));
    assert_eq!(order.status(), Status::WaitsForAuto { until });
    say(&mut order, Event::Pause, until);
    say(&mut order, Event::Tick, until.plus_ms(1));
    assert_eq!(order.status(), Status::WaitsForAuto { until }, "paused");
    say(&mut order, Event::Resume, until.plus_ms(2));
    assert_eq!(order.status(), Status::Ended(End::Succeeded));
    let last = order.progress().batches[1];
    assert_eq!(last.started, Some(until.plus_ms(2)));
    assert_eq!(last.ended, Some(until.plus_ms(2)));
}

#[test]
fn a_failure_stops_the_order_until_a_word() {
    let mut order = order(3, 3, Scope::Others, &[1, 2], Gate::Auto { wait_s: 0 });
    let drain = order.apply(Event::Begin, T).unwrap();
    assert_eq!(drain, [Command::Drain { slot: Slot(0) }]);
    let stop = order.apply(Event::Drained(Slot(0)), T).unwrap();
    assert_eq!(stop, [Command::Stop { slot: Slot(0) }]);
    let start = order.apply(Event::Ended(Slot(0)), T).unwrap();
    let new = Slot(3);
    assert_eq!(
        start,
        [Command::Start {
            slot: new,
            release: NEW
        }]
    );
    assert_eq!(order.changes().next().unwrap().state, ChangeState::Coming);
    assert_eq!(order.apply(Event::Ended(new), T), Ok(vec![]));
    assert_eq!(order.status(), Status::Stuck);
    let progress = order.progress();
    let failure = Failure {
        slot: Some(new),
        why: Why::Ended,
    };
    assert_eq!(progress.failure, Some(failure));
    assert_eq!(
        statuses(&order),
        [BatchStatus::Failed, BatchStatus::Preparing]
    );
    assert_eq!(order.changes().next().unwrap().state, ChangeState::Failed);
    // Time alone does nothing.
    assert_eq!(
        order.apply(Event::Tick, T.plus_ms(i64::from(u32::MAX))),
        Ok(vec![])
    );
    assert_eq!(order.status(), Status::Stuck);

    let mut again = order.clone();
    say(&mut again, Event::Retry, T);
    assert_eq!(again.status(), Status::Ended(End::Succeeded));
    assert!(again.live().all(|(_, release, _)| release == NEW));

    let back = order.apply(Event::Abort { rollback: true }, T).unwrap();
    assert_eq!(back, [Command::Stop { slot: new }]);
    assert_eq!(order.progress().leg, Leg::Back);
    let once = order.apply(Event::Abort { rollback: true }, T);
    assert_eq!(once, Err(NotNow::OnItsWayBack));
    settle(&mut order, back, T);
    assert_eq!(order.status(), Status::Ended(End::RolledBack));
    let live: Vec<_> = order
        .live()
        .map(|(slot, release, _)| (slot, release))
        .collect();
    assert_eq!(live, [(Slot(1), OLD), (Slot(2), OLD), (Slot(4), OLD)]);
}

#[test]
fn what_takes_too_long() {
    let mut order = order(2, 2, Scope::Others, &[2], Gate::Manual);
    order.apply(Event::Begin, T).unwrap();
    let late = T.plus_ms(10_000);
    assert_eq!(order.next_tick(), Some(late));
    let stop = order.apply(Event::Tick, late).unwrap();
    assert_eq!(stop, [Command::Stop { slot: Slot(0) }], "cut off");
    assert_eq!(order.progress().cut_off, 1);
    order.apply(Event::Ended(Slot(0)), late).unwrap();
    let later = late.plus_ms(60_000);
    assert_eq!(order.apply(Event::Tick, later), Ok(vec![]));
    let failure = order.progress().failure.unwrap();
    assert_eq!((failure.slot, failure.why), (Some(Slot(2)), Why::NotReady));
    // It comes after all: what failed is not undone by that.
    order.apply(Event::Ready(Slot(2)), later).unwrap();
    assert_eq!(order.status(), Status::Stuck);
    say(&mut order, Event::Retry, later);
    assert_eq!(order.status(), Status::Ended(End::Succeeded));
    assert_eq!(
        order.live().map(|(slot, ..)| slot.0).collect::<Vec<_>>(),
        [2, 3]
    );
}

#[test]
fn other_numbers_and_scopes() {
    // Only the number changes: what there is stays.
    let mut more = order(2, 4, Scope::None, &[2], Gate::Manual);
    say(&mut more, Event::Begin, T);
    let live: Vec<_> = more
        .live()
        .map(|(slot, release, _)| (slot.0, release))
        .collect();
    assert_eq!(live, [(0, OLD), (1, OLD), (2, NEW), (3, NEW)]);
    // What does not serve goes first.
    let standing = [false, true, true].map(|ready| Standing {
        release: OLD,
        ready,
    });
    let plan = Plan {
        floor: 1,
        surge: 0,
        batches: vec![],
        gate: Gate::Manual,
    };
    let mut fewer = Rollout::new(plan, LIMITS, &standing, OLD, 2, &Scope::None);
    say(&mut fewer, Event::Begin, T);
    assert_eq!(
        fewer.live().map(|(slot, ..)| slot.0).collect::<Vec<_>>(),
        [1, 2]
    );
    // Some are started anew.
    let these = Scope::These(vec![Slot(1), Slot(7)]);
    let mut some = order(3, 3, these, &[1], Gate::Manual);
    say(&mut some, Event::Begin, T);
    assert_eq!(
        some.live().map(|(slot, ..)| slot.0).collect::<Vec<_>>(),
        [0, 2, 3]
    );
    // Nothing to do.
    let mut none = order(3, 3, Scope::None, &[], Gate::Manual);
    assert_eq!(none.apply(Event::Begin, T), Ok(vec![]));
    assert_eq!(none.status(), Status::Ended(End::Succeeded));
}

#[test]
fn what_ended_and_is_to_stay_is_started_again() {
    let mut order = order(3, 4, Scope::None, &[1], Gate::Manual);
    order.apply(Event::Begin, T).unwrap();
    for _ in 0..3 {
        let again = Command::Start {
            slot: Slot(1),
            release: OLD,
        };
        assert_eq!(order.apply(Event::Ended(Slot(1)), T), Ok(vec![again]));
    }
    assert_eq!(
        order.apply(Event::Ended(Slot(1)), T),
        Ok(vec![]),
        "given up"
    );
    let unknown = Event::Ready(Slot(9));
    assert_eq!(order.apply(unknown, T), Err(NotNow::UnknownSlot(Slot(9))));
}

#[test]
fn what_is_stored_goes_on_by_what_is_seen() {
    let mut order = order(2, 2, Scope::Others, &[2], Gate::Manual);
    order.apply(Event::Begin, T).unwrap();
    // The order to start is written down, and the caller dies.
    order.apply(Event::Drained(Slot(0)), T).unwrap();
    order.apply(Event::Ended(Slot(0)), T).unwrap();
    let stored = serde_json::to_string(&order).unwrap();
    let mut order: Rollout = serde_json::from_str(&stored).unwrap();
    let late = T.plus_ms(86_400_000);
    order.apply(Event::Wake, late).unwrap();
    let seen = [Observed {
        slot: Slot(1),
        seen: Seen::Ready,
    }];
    let start = Command::Start {
        slot: Slot(2),
        release: NEW,
    };
    for _ in 0..2 {
        assert_eq!(order.observe(&seen, late), [start]);
    }
    assert_eq!(order.pending(), [start]);
    let strange = Observed {
        slot: Slot(77),
        seen: Seen::Ready,
    };
    assert_eq!(order.observe(&[seen[0], strange], late), [start]);
    settle(&mut order, vec![start], late);
    assert_eq!(order.status(), Status::Ended(End::Succeeded));
    assert_eq!(order.observe(&[], late), []);
}
