//! Every interleaving of everything that can happen to few instances.

use std::collections::HashMap;

use super::world::*;
use crate::plan::Gate;
use crate::rollout::*;

/// How much may go wrong in one run.
#[derive(Clone, Copy)]
struct Budget {
    wrong: u32,
    aborts: u32,
    retries: u32,
    deaths: u32,
}

/// Where the search is with a state.
#[derive(Clone, Copy, PartialEq)]
enum Mark {
    Open,
    Done,
}

#[derive(Default, Debug)]
struct Seen {
    states: u64,
    succeeded: u64,
    aborted: u64,
    rolled_back: u64,
    stuck: u64,
}

fn acts(sim: &Sim, budget: Budget) -> Vec<Act> {
    let mut out: Vec<Act> = sim.natural().collect();
    if sim.deaths < budget.deaths {
        let deaths: Vec<Act> = sim
            .natural()
            .filter_map(|act| match act {
                Act::Natural(slot) => Some(Act::Dies(slot)),
                _ => None,
            })
            .collect();
        out.extend(deaths);
    }
    if sim.machine.next_tick().is_some() && (out.is_empty() || sim.hangs) && !waits_for_word(sim) {
        out.push(Act::Wait);
    }
    if sim.wrong < budget.wrong {
        out.extend(sim.faults());
    }
    let mut out = sim.distinct(out);
    if sim.machine.status() == Status::WaitsForConfirm {
        for go_on in [true, false] {
            let batch = sim.machine.current + 1;
            out.push(Act::Says(Event::Confirm { batch, go_on }));
        }
    }
    if sim.stuck() && sim.retries < budget.retries {
        out.push(Act::Says(Event::Retry));
    }
    if sim.aborts < budget.aborts {
        out.push(Act::Says(Event::Abort { rollback: false }));
        if sim.machine.leg() == Leg::Forward {
            out.push(Act::Says(Event::Abort { rollback: true }));
        }
    }
    out
}

/// Whether only a person moves it.
fn waits_for_word(sim: &Sim) -> bool {
    sim.stuck() || sim.machine.status() == Status::WaitsForConfirm
}

/// Goes through all that can happen, and fails on a state from which nothing
/// leads on, and on one that leads back to itself.
fn explore(case: &Case, budget: Budget, seen: &mut Seen) {
    let mut marks: HashMap<u64, Mark> = HashMap::new();
    let first = Sim::new(case);
    if first.over().is_some() {
        return first.check_end(case);
    }
    let mut stack = vec![(first.key(), acts(&first, budget), first)];
    marks.insert(stack[0].0, Mark::Open);
    while let Some((key, left, sim)) = stack.last_mut() {
        let Some(act) = left.pop() else {
            marks.insert(*key, Mark::Done);
            stack.pop();
            continue;
        };
        let mut next = sim.clone();
        next.act(act);
        let key = next.key();
        match marks.get(&key) {
            Some(Mark::Done) => continue,
            Some(Mark::Open) => panic!("goes in a circle by {act:?}: {case:?} {sim:?}"),
            None => {}
        }
        seen.states += 1;
        next.check();
        if let Some(end) = next.over() {
            next.check_end(case);
            match end {
                End::Succeeded => seen.succeeded += 1,
                End::Aborted => seen.aborted += 1,
                End::RolledBack => seen.rolled_back += 1,
            }
            marks.insert(key, Mark::Done);
            continue;
        }
        let more = acts(&next, budget);
        if next.stuck() {
            seen.stuck += 1;
            assert!(next.wrong > 0, "stuck of itself: {case:?} {next:?}");
        } else {
            assert!(!more.is_empty(), "nothing leads on: {case:?} {next:?}");
        }
        marks.insert(key, Mark::Open);
        stack.push((key, more, next));
    }
}

/// Every way to spread `n` changes over batches, without regard to order.
fn layouts(n: u32) -> Vec<Vec<u32>> {
    let mut out = vec![vec![n]];
    for first in 1..n {
        out.push(vec![first, n - first]);
        if n - first > 1 {
            out.push(vec![first, 1, n - first - 1]);
        }
    }
    out
}

/// Every order between so many instances, but those that nothing can be done
/// about.
fn cases(least: u32, most: u32, surges: &[u32]) -> Vec<Case> {
    let mut out = Vec::new();
    for now in 0..=most {
        for wanted in 0..=most {
            if now.max(wanted) < least {
                continue;
            }
            for batches in layouts(now.max(wanted)) {
                for floor in 0..=now.min(wanted) {
                    for surge in surges.iter().copied() {
                        if surge == 0 && now == wanted && floor == now {
                            continue;
                        }
                        let plan = plan(floor, surge, &batches, Gate::Manual);
                        out.push(Case::deploy(now, wanted, plan));
                    }
                }
            }
        }
    }
    out
}

fn explore_all(cases: &[Case], budget: Budget) -> Seen {
    let mut seen = Seen::default();
    for case in cases {
        explore(case, budget, &mut seen);
    }
    seen
}

#[test]
fn anything_may_fail_and_anybody_may_end_it_at_any_time() {
    let budget = Budget {
        wrong: 1,
        aborts: 1,
        retries: 1,
        deaths: 0,
    };
    let seen = explore_all(&cases(0, 2, &[0, 1, 2]), budget);
    assert!(seen.succeeded > 0 && seen.aborted > 0, "{seen:?}");
    assert!(seen.rolled_back > 0 && seen.stuck > 0, "{seen:?}");
    let seen = explore_all(&cases(3, 3, &[1]), budget);
    assert!(seen.states > 100_000, "{seen:?}");
}

#[test]
fn two_things_may_fail() {
    let budget = Budget {
        wrong: 2,
        aborts: 1,
        retries: 1,
        deaths: 0,
    };
    let seen = explore_all(&cases(0, 2, &[0, 1]), budget);
    assert!(seen.stuck > 0, "{seen:?}");
}

#[test]
fn the_caller_may_die_at_any_time() {
    let budget = Budget {
        wrong: 1,
        aborts: 1,
        retries: 0,
        deaths: 1,
    };
    let seen = explore_all(&cases(0, 2, &[0, 1]), budget);
    assert!(seen.succeeded > 0 && seen.rolled_back > 0, "{seen:?}");
    let budget = Budget { wrong: 0, ..budget };
    let seen = explore_all(&cases(3, 4, &[1]), budget);
    assert!(seen.stuck == 0 && seen.succeeded > 0, "{seen:?}");
}

#[test]
fn anybody_may_end_it_at_any_time() {
    let budget = Budget {
        wrong: 0,
        aborts: 1,
        retries: 0,
        deaths: 0,
    };
    let mut all = cases(4, 4, &[0, 2]);
    all.extend(cases(5, 5, &[1]));
    let seen = explore_all(&all, budget);
    assert_eq!(seen.stuck, 0, "{seen:?}");
    assert!(seen.succeeded > 0 && seen.rolled_back > 0, "{seen:?}");
}

#[test]
fn a_set_of_two_releases_is_mended() {
    let budget = Budget {
        wrong: 1,
        aborts: 1,
        retries: 1,
        deaths: 0,
    };
    for mixed in [[NEW, OLD, OLDER], [OLD, NEW, NEW]] {
        let standing: Vec<Standing> = mixed
            .into_iter()
            .map(|release| Standing {
                release,
                ready: true,
            })
            .collect();
        for floor in 0..3 {
            let case = Case {
                standing: standing.clone(),
                wanted: 3,
                plan: plan(floor, 1, &[1, 1], Gate::Auto { wait_s: 5 }),
                scope: Scope::Others,
            };
            let seen = explore_all(&[case], budget);
            assert!(seen.succeeded > 0 && seen.rolled_back > 0, "{seen:?}");
        }
    }
}
