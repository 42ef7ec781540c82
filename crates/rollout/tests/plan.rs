//! The rules by which a change is laid out (SEMANTICS section 1).

use backout_core::code::Code;
use backout_rollout::plan::{INSTANCES_MAX, WAIT_MAX_S, plan};
use backout_rollout::{Floor, Gate, Go, Planned, Refusal, Request, Road, Strategy, Surge, Warning};

fn request(now: u32, floor: Floor, strategy: Strategy) -> Request {
    Request {
        now,
        wanted: now,
        replaced: now,
        floor,
        strategy,
        batch_wait_s: None,
        surge: Surge::Least,
    }
}

fn batches(batches: i64) -> Strategy {
    Strategy::Batches {
        batches,
        go: Go::Manual,
    }
}

fn gray(gray: i64, batches: i64) -> Strategy {
    Strategy::Gray {
        gray,
        batches,
        go: Go::Auto { wait_s: Some(60) },
    }
}

/// The numbers of the batches, a gray one with a star.
fn shape(planned: &Planned) -> String {
    let text =
        |b: &backout_rollout::Batch| format!("{}{}", b.instances, ["", "*"][usize::from(b.gray)]);
    let all: Vec<String> = planned.plan.batches.iter().map(text).collect();
    all.join(" ")
}

#[test]
fn floors() {
    for (count, percent, now, floor) in [
        // Nothing said, or -1: a quarter, rounded up.
        (None, None, 5, 2),
        (Some(-1), Some(-1), 5, 2),
        (None, None, 4, 1),
        (None, None, 1, 1),
        (None, None, 0, 0),
        // An interruption.
        (Some(0), None, 5, 0),
        // A count.
        (Some(1), None, 5, 1),
        (Some(4), Some(-1), 5, 4),
        // Per cent wins over the count, whatever that is, and is rounded up.
        (Some(5), Some(50), 5, 3),
        (Some(-7), Some(50), 5, 3),
        (Some(0), Some(1), 5, 1),
        (Some(3), Some(0), 5, 0),
        (None, Some(100), 5, 5),
        (None, Some(99), 100, 99),
        (None, Some(33), 10, 4),
    ] {
        let spec = Floor::from_numbers(count, percent).unwrap();
        let planned = plan(&request(now, spec, Strategy::AllAtOnce)).unwrap();
        assert_eq!(planned.plan.floor, floor, "{count:?} {percent:?} of {now}");
    }
}

#[test]
fn bad_floors() {
    for percent in [-2, 101, i64::MIN, i64::MAX] {
        let refused = Floor::from_numbers(Some(1), Some(percent)).unwrap_err();
        assert_eq!(refused, Refusal::Percent(percent));
        assert_eq!(refused.code(), Code::BadRequest);
    }
    assert_eq!(Floor::from_numbers(Some(-2), None), Err(Refusal::Count(-2)));
    for (count, now) in [(1, 1), (5, 5), (6, 5), (i64::MAX, 5)] {
        let floor = Floor::from_numbers(Some(count), None).unwrap();
        let refused = plan(&request(now, floor, Strategy::AllAtOnce)).unwrap_err();
        assert!(
            matches!(refused, Refusal::FloorNotSmaller { instances, .. } if instances == now),
            "{count} of {now}: {refused:?}"
        );
    }
    // What is to have its first instances is measured by those.
    let first = Request {
        wanted: 3,
        ..request(0, Floor::Count(1), Strategy::AllAtOnce)
    };
    assert_eq!(plan(&first).unwrap().plan.floor, 1);
}

#[test]
fn layouts() {
    for (now, strategy, expected) in [
        (5, Strategy::AllAtOnce, "5"),
        (1, Strategy::AllAtOnce, "1"),
        (0, Strategy::AllAtOnce, ""),
        (4, batches(2), "2 2"),
        (5, batches(1), "5"),
        // The smaller ones first.
        (5, batches(2), "2 3"),
        (10, batches(3), "3 3 4"),
        (11, batches(3), "3 4 4"),
        (5, batches(5), "1 1 1 1 1"),
        (5, gray(1, 2), "1* 2 2"),
        (10, gray(2, 3), "2* 2 3 3"),
        (100, gray(2, 9), "2* 10 11 11 11 11 11 11 11 11"),
        (2, gray(1, 1), "1* 1"),
    ] {
        let planned = plan(&request(now, Floor::System, strategy)).unwrap();
        assert_eq!(shape(&planned), expected, "{now} {strategy:?}");
    }
}

#[test]
fn bad_layouts() {
    for (now, strategy) in [
        (5, batches(0)),
        (5, batches(-1)),
        (5, batches(6)),
        (0, batches(1)),
        (5, batches(i64::MAX)),
        (5, gray(1, 0)),
        (5, gray(1, 5)),
        (5, gray(4, 2)),
    ] {
        let refused = plan(&request(now, Floor::System, strategy)).unwrap_err();
        assert!(
            matches!(refused, Refusal::Batches { .. }),
            "{strategy:?}: {refused:?}"
        );
    }
    for (now, strategy) in [
        (5, gray(0, 1)),
        (5, gray(-1, 1)),
        (5, gray(5, 1)),
        (1, gray(1, 1)),
        (5, gray(i64::MIN, 1)),
    ] {
        let refused = plan(&request(now, Floor::System, strategy)).unwrap_err();
        assert!(
            matches!(refused, Refusal::Gray { .. }),
            "{strategy:?}: {refused:?}"
        );
    }
}

#[test]
fn waits() {
    let with = |outer, go| {
        let strategy = Strategy::Batches { batches: 2, go };
        plan(&Request {
            batch_wait_s: outer,
            ..request(8, Floor::System, strategy)
        })
        .map(|planned| planned.plan.gate)
    };
    let auto = |wait_s| Go::Auto { wait_s };
    for (outer, go, gate) in [
        (None, auto(None), Gate::Auto { wait_s: 0 }),
        (Some(10), auto(None), Gate::Auto { wait_s: 10 }),
        // What the strategy says holds, also when it says none.
        (Some(10), auto(Some(60)), Gate::Auto { wait_s: 60 }),
        (Some(10), auto(Some(0)), Gate::Auto { wait_s: 0 }),
        (Some(10), Go::Manual, Gate::Manual),
    ] {
        assert_eq!(with(outer, go), Ok(gate));
    }
    let most = i64::from(WAIT_MAX_S);
    for (outer, go, refused) in [
        (Some(-1), auto(None), -1),
        (Some(-1), Go::Manual, -1),
        (Some(most + 1), auto(Some(1)), most + 1),
        (None, auto(Some(-5)), -5),
        (None, auto(Some(i64::MAX)), i64::MAX),
    ] {
        assert_eq!(with(outer, go), Err(Refusal::Wait(refused)));
    }
}

#[test]
fn a_wait_without_batches_makes_as_few_as_the_floor_allows() {
    for (floor, expected) in [
        (Floor::Count(7), "2 2 3 3"),
        (Floor::Count(9), "1 1 1 1 1 1 1 1 1 1"),
        (Floor::System, "5 5"),
        (Floor::Interrupt, "10"),
    ] {
        let mut asked = request(10, floor, Strategy::AllAtOnce);
        asked.batch_wait_s = Some(10);
        let planned = plan(&asked).unwrap();
        let away = 10 - planned.plan.floor;
        let fits = planned.plan.batches.iter().all(|b| b.instances <= away);
        let fewest = 10u32.div_ceil(away) as usize;
        assert!(fits && planned.plan.batches.len() == fewest, "{floor:?}");
        assert_eq!(shape(&planned), expected);
        assert_eq!(planned.plan.gate, Gate::Auto { wait_s: 10 });
    }
}

#[test]
fn roads_and_surges() {
    for (now, floor, strategy, road, surge) in [
        // No instance need stay: all at once.
        (20, Floor::Interrupt, Strategy::AllAtOnce, Road::Quick, 0),
        // A quarter stays, and a quarter may run beside: all at once.
        (20, Floor::System, Strategy::AllAtOnce, Road::Quick, 5),
        // More stays than may run beside: in waves.
        (20, Floor::Count(10), Strategy::AllAtOnce, Road::Paced, 5),
        // One instance that must stay: the new one first.
        (1, Floor::System, Strategy::AllAtOnce, Road::Quick, 1),
        (4, Floor::Percent(100), Strategy::AllAtOnce, Road::Paced, 1),
        // The batches are small enough.
        (20, Floor::System, batches(4), Road::Paced, 0),
        (20, Floor::Count(16), batches(4), Road::Paced, 1),
    ] {
        let planned = plan(&request(now, floor, strategy)).unwrap();
        assert_eq!(
            (planned.road, planned.plan.surge),
            (road, surge),
            "{now} {floor:?}"
        );
        let warned = planned
            .warnings
            .contains(&Warning::Surges { instances: surge });
        assert_eq!(warned, surge > 0);
    }
}

#[test]
fn a_surge_that_is_told() {
    let mut asked = request(4, Floor::Percent(100), Strategy::AllAtOnce);
    asked.surge = Surge::Count(0);
    assert_eq!(plan(&asked), Err(Refusal::NoRoom(4)));
    asked.surge = Surge::Percent(0);
    assert_eq!(plan(&asked), Err(Refusal::NoRoom(4)));
    asked.surge = Surge::Percent(50);
    assert_eq!(plan(&asked).unwrap().plan.surge, 2);
    // Where one is added there is room.
    asked.surge = Surge::Count(0);
    asked.wanted = 5;
    assert_eq!(plan(&asked).unwrap().plan.surge, 0);
}

#[test]
fn numbers_that_change() {
    let mut fewer = request(5, Floor::Count(4), Strategy::AllAtOnce);
    fewer.wanted = 2;
    let planned = plan(&fewer).unwrap();
    assert_eq!(planned.plan.floor, 2);
    assert_eq!(shape(&planned), "5");
    let lowered = Warning::FloorLowered { asked: 4, held: 2 };
    assert!(planned.warnings.contains(&lowered));

    let mut more = request(2, Floor::System, batches(5));
    more.wanted = 5;
    assert_eq!(shape(&plan(&more).unwrap()), "1 1 1 1 1");

    // Three of ten have the release already.
    let mut rest = request(10, Floor::System, gray(1, 9));
    rest.replaced = 7;
    assert_eq!(shape(&plan(&rest).unwrap()), "1* 1 1 1 1 1 1");
    rest.replaced = 0;
    assert_eq!(shape(&plan(&rest).unwrap()), "");

    let mut none = request(5, Floor::System, Strategy::AllAtOnce);
    none.wanted = 0;
    assert_eq!(plan(&none).unwrap().plan.floor, 0);
    let many = request(INSTANCES_MAX + 1, Floor::System, Strategy::AllAtOnce);
    assert_eq!(plan(&many), Err(Refusal::TooMany(INSTANCES_MAX + 1)));
    assert_eq!(plan(&many).unwrap_err().code(), Code::Quota);
}

#[test]
fn warnings() {
    let of = |now, floor, strategy| plan(&request(now, floor, strategy)).unwrap().warnings;
    let at_one = Warning::StrategyAtFloorOne;
    assert!(of(4, Floor::System, batches(2)).contains(&at_one));
    assert!(!of(4, Floor::System, Strategy::AllAtOnce).contains(&at_one));
    assert!(!of(5, Floor::System, batches(2)).contains(&at_one));
    let interrupts = Warning::Interrupts;
    assert!(of(4, Floor::Interrupt, Strategy::AllAtOnce).contains(&interrupts));
    assert!(of(4, Floor::Percent(0), Strategy::AllAtOnce).contains(&interrupts));
    assert!(!of(4, Floor::System, Strategy::AllAtOnce).contains(&interrupts));
}

#[test]
fn refusals_read_alone() {
    for (refusal, text) in [
        (
            Refusal::FloorNotSmaller {
                floor: 5,
                instances: 5,
            },
            "keep 5 of 5 instances ready while they are changed: give a smaller number",
        ),
        (
            Refusal::Batches {
                asked: 9,
                instances: 4,
            },
            "make 9 batches of 4 instances: give 1 to 4",
        ),
        (
            Refusal::Wait(-1),
            "wait -1 s between batches: give 0 to 86400 s, or let them go by hand",
        ),
    ] {
        assert_eq!(refusal.to_string(), text);
    }
}
