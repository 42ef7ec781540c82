//! Random interleavings of larger orders, in which several things fail.

use proptest::prelude::*;

use super::world::*;
use crate::plan::{Floor, Gate, Go, Request, Strategy as How, Surge};
use crate::rollout::*;

/// More than the longest of these orders takes, were nothing but natural things
/// to happen.
const STEPS_MAX: usize = 20_000;

fn case() -> impl Strategy<Value = Case> {
    let floor = prop_oneof![
        Just(Floor::System),
        Just(Floor::Interrupt),
        (0u8..=100).prop_map(Floor::Percent),
        (0u32..10).prop_map(Floor::Count),
    ];
    let surge = prop_oneof![
        Just(Surge::Least),
        (1u32..6).prop_map(Surge::Count),
        (1u8..=100).prop_map(Surge::Percent),
    ];
    let releases = prop::collection::vec(
        prop_oneof![3 => Just(OLD), 1 => Just(OLDER), 1 => Just(NEW)],
        10..60,
    );
    let scope = prop_oneof![Just(Scope::Others), Just(Scope::All)];
    let batches = (0u32..6, 1u32..4, any::<bool>());
    (releases, 1u32..60, floor, surge, batches, scope).prop_map(
        |(releases, wanted, floor, surge, (gray, batches, manual), scope)| {
            let go = match manual {
                true => Go::Manual,
                false => Go::Auto { wait_s: Some(2) },
            };
            let batches = i64::from(batches);
            let strategy = match gray {
                0 => How::Batches { batches, go },
                gray => How::Gray {
                    gray: i64::from(gray),
                    batches,
                    go,
                },
            };
            let now = count(releases.len());
            let kept = releases.iter().take(wanted as usize);
            let replaced = kept.filter(|r| **r != NEW || scope == Scope::All).count();
            let plan = crate::plan::plan(&Request {
                now,
                wanted,
                replaced: count(replaced),
                floor,
                strategy,
                batch_wait_s: None,
                surge,
            })
            .unwrap()
            .plan;
            let standing = |release| Standing {
                release,
                ready: true,
            };
            Case {
                standing: releases.into_iter().map(standing).collect(),
                wanted,
                plan,
                scope,
            }
        },
    )
}

/// What a number makes of the state: mostly what is natural.
fn chosen(sim: &Sim, number: u32) -> Option<Act> {
    let pick = |acts: Vec<Act>| {
        let index = (number / 256) as usize % acts.len().max(1);
        acts.get(index).copied()
    };
    match number % 256 {
        0..4 if sim.wrong < 8 => pick(sim.faults().collect()),
        4 if sim.aborts < 2 && sim.machine.leg() == Leg::Forward => Some(Act::Says(Event::Abort {
            rollback: number % 512 < 256,
        })),
        5..7 if sim.deaths < 3 => match pick(sim.natural().collect()) {
            Some(Act::Natural(slot)) => Some(Act::Dies(slot)),
            _ => None,
        },
        7 if sim.machine.next_tick().is_some() => Some(Act::Wait),
        _ => pick(sim.natural().collect()),
    }
}

/// What moves it when nothing else does.
fn word(sim: &Sim) -> Act {
    match sim.machine.status() {
        Status::Stuck if sim.retries >= 20 && sim.machine.leg() == Leg::Forward => {
            Act::Says(Event::Abort { rollback: true })
        }
        Status::Stuck => Act::Says(Event::Retry),
        Status::WaitsForConfirm => Act::Says(Event::Confirm {
            batch: sim.machine.current + 1,
            go_on: true,
        }),
        _ => Act::Wait,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn it_ends_and_holds_the_floor(case in case(), numbers in prop::collection::vec(any::<u32>(), 0..600)) {
        let mut sim = Sim::new(&case);
        let mut numbers = numbers.into_iter();
        for step in 0.. {
            prop_assert!(step < STEPS_MAX, "does not end: {:?}", sim);
            if sim.over().is_some() {
                break;
            }
            if step % 16 == 0 {
                sim.check();
            }
            let act = match numbers.next() {
                Some(number) => chosen(&sim, number),
                None => sim.natural().next(),
            };
            let act = act.unwrap_or_else(|| word(&sim));
            sim.act(act);
        }
        sim.check_end(&case);
    }
}

#[test]
fn a_thousand_instances_are_changed() {
    let batches: Vec<u32> = std::iter::once(2).chain([98; 9]).chain([116]).collect();
    let case = Case::deploy(
        1000,
        1000,
        plan(750, 50, &batches, Gate::Auto { wait_s: 0 }),
    );
    let mut sim = Sim::new(&case);
    while sim.over().is_none() {
        let act = sim.natural().next().unwrap_or(Act::Wait);
        sim.act(act);
    }
    assert_eq!(sim.over(), Some(End::Succeeded));
    sim.check_end(&case);
}
