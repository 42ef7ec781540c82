//! Every order of up to twelve instances, with each failure of each instance,
//! and an end at each step.

use std::collections::HashSet;

use super::world::*;
use crate::plan::{Floor, Go, Plan, Request, Strategy, Surge};
use crate::rollout::*;

/// What happens beside what is natural.
#[derive(Clone, Copy, Debug, Default)]
struct Script {
    /// Whether the youngest instance comes first, or the oldest.
    youngest_first: bool,
    /// What goes wrong as soon as it can.
    fault: Option<(Fault, Slot)>,
    /// Not before this step.
    fault_from: usize,
    /// What is said at a step.
    says: Option<(usize, Event)>,
    /// Whether what is stuck is tried again, or taken back.
    tries_again: bool,
}

/// Longer than any of these orders takes.
const STEPS_MAX: usize = 1000;

struct Ran {
    end: End,
    steps: usize,
    said: bool,
}

fn run(case: &Case, script: Script) -> Ran {
    let mut sim = Sim::new(case);
    let mut said = false;
    for step in 0..STEPS_MAX {
        if let Some(end) = sim.over() {
            sim.check_end(case);
            return Ran {
                end,
                steps: step,
                said,
            };
        }
        if let Some((_, event)) = script.says.filter(|(at, _)| *at == step) {
            said = true;
            sim.act(Act::Says(event));
            continue;
        }
        let wrong = script
            .fault
            .map(|(fault, slot)| Act::Wrong(slot, fault))
            .filter(|act| sim.wrong == 0 && step >= script.fault_from && sim.can(*act));
        let natural = match script.youngest_first {
            false => sim.natural().next(),
            true => sim.natural().last(),
        };
        match wrong.or(natural) {
            Some(act) => sim.act(act),
            None => sim.act(word(&sim, script)),
        }
    }
    panic!("does not end: {case:?} {script:?} {sim:?}");
}

/// What moves an order in which nothing moves by itself.
fn word(sim: &Sim, script: Script) -> Act {
    match sim.machine.status() {
        Status::WaitsForConfirm => Act::Says(Event::Confirm {
            batch: sim.machine.current + 1,
            go_on: true,
        }),
        Status::Stuck => Act::Says(match script.tries_again {
            true => Event::Retry,
            false if sim.machine.leg() == Leg::Back => Event::Retry,
            false => Event::Abort { rollback: true },
        }),
        _ => Act::Wait,
    }
}

/// Every order from `n` instances that is planned, each plan once.
fn cases(n: u32) -> Vec<Case> {
    let mut floors: Vec<Floor> = (1..n).map(Floor::Count).collect();
    floors.extend([Floor::System, Floor::Interrupt]);
    floors.extend([0, 25, 50, 100].map(Floor::Percent));
    let mut known = HashSet::new();
    let mut out = Vec::new();
    for wanted in [n, n / 2, n + 2] {
        for strategy in strategies(n.max(wanted)) {
            // Another number of instances is tried with fewer layouts.
            if wanted != n && !matches!(strategy, Strategy::Gray { gray: 1, .. }) {
                continue;
            }
            for floor in &floors {
                let plan = planned(n, wanted, *floor, strategy);
                if known.insert((wanted, plan.clone())) {
                    out.push(Case::deploy(n, wanted, plan));
                }
            }
        }
    }
    out
}

fn strategies(n: u32) -> Vec<Strategy> {
    let n = i64::from(n);
    let manual = Go::Manual;
    let auto = Go::Auto { wait_s: Some(1) };
    let mut out = vec![Strategy::AllAtOnce];
    for batches in 1..=n {
        let go = if batches % 2 == 0 { manual } else { auto };
        out.push(Strategy::Batches { batches, go });
    }
    for gray in 1..n {
        for batches in 1..=n - gray {
            let go = if batches % 2 == 0 { auto } else { manual };
            out.push(Strategy::Gray { gray, batches, go });
        }
    }
    out
}

fn planned(now: u32, wanted: u32, floor: Floor, strategy: Strategy) -> Plan {
    crate::plan::plan(&Request {
        now,
        wanted,
        replaced: now.min(wanted),
        floor,
        strategy,
        batch_wait_s: None,
        surge: Surge::Least,
    })
    .unwrap()
    .plan
}

#[test]
fn each_instance_fails_in_each_way() {
    let mut rolled_back = 0u32;
    let mut mended = 0u32;
    for n in 1..=12 {
        for (index, case) in cases(n).iter().enumerate() {
            let natural = run(case, Script::default());
            assert_eq!(natural.end, End::Succeeded);
            let slots = n + case.wanted;
            for (number, fault) in FAULTS.into_iter().enumerate() {
                for slot in 0..slots {
                    let ran = run(
                        case,
                        Script {
                            youngest_first: index % 2 == 0,
                            fault: Some((fault, Slot(slot))),
                            fault_from: (index + number) % (natural.steps + 1),
                            says: None,
                            tries_again: slot % 2 == 0,
                        },
                    );
                    assert_ne!(ran.end, End::Aborted);
                    rolled_back += u32::from(ran.end == End::RolledBack);
                    mended += u32::from(ran.end == End::Succeeded);
                }
            }
        }
    }
    assert!(rolled_back > 0 && mended > 0);
}

#[test]
fn each_order_is_ended_at_each_step() {
    for n in 1..=12 {
        for (index, case) in cases(n).iter().enumerate() {
            let mut script = Script {
                youngest_first: index % 2 == 0,
                ..Script::default()
            };
            for step in 0.. {
                let rollback = (step + index) % 3 != 0;
                script.says = Some((step, Event::Abort { rollback }));
                let ran = run(case, script);
                if !ran.said {
                    assert_eq!(ran.end, End::Succeeded);
                    break;
                }
                let end = match rollback {
                    true => End::RolledBack,
                    false => End::Aborted,
                };
                assert_eq!(ran.end, end, "{case:?} at {step}");
            }
        }
    }
}

#[test]
fn each_instance_fails_and_the_order_is_taken_back_at_each_step() {
    for n in 1..=12 {
        for (index, case) in cases(n).iter().enumerate() {
            let slots = n + case.wanted;
            for (number, fault) in FAULTS.into_iter().enumerate() {
                // Of the larger sets each plan has another instance fail, and of
                // the largest in another way too.
                if n > 8 && (index + number) % 2 == 0 {
                    continue;
                }
                let one = |slot: &u32| n <= 4 || *slot == count(index + number) % slots;
                for slot in (0..slots).filter(one) {
                    take_back_at_each_step(
                        case,
                        Script {
                            youngest_first: index % 2 == 0,
                            fault: Some((fault, Slot(slot))),
                            tries_again: true,
                            ..Script::default()
                        },
                    );
                }
            }
        }
    }
}

fn take_back_at_each_step(case: &Case, mut script: Script) {
    for step in 0.. {
        script.says = Some((step, Event::Abort { rollback: true }));
        let ran = run(case, script);
        if !ran.said {
            break;
        }
        assert_eq!(ran.end, End::RolledBack, "{case:?} {script:?}");
    }
}
