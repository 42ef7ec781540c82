//! What an order would do, and what stands in its way.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;

use backout_apps::model::{
    Application, ApplicationState, Artifact, PackageKind, Release, Replica, ScalingRule, Version,
};
use backout_apps::planning::{
    Change, Compute, Facts, Present, Proposal, Quotas, Settings, arranged, propose,
};
use backout_core::code::Code;
use backout_core::ids::{JobId, OrderId, ReplicaId};
use backout_core::time::Timestamp;
use backout_rollout::{Command, Event, Go, Limits, Scope, Slot, Strategy};

const LIMITS: Limits = Limits {
    ready_ms: 1000,
    drain_ms: 1000,
    stop_ms: 1000,
};

fn application(state: ApplicationState, replicas: u32) -> Application {
    Application {
        id: "00000000-0000-4000-8000-000000000001".parse().unwrap(),
        owner: "acct_aaaaaaaaaaaa".parse().unwrap(),
        namespace: "live".into(),
        name: "shop".into(),
        description: String::new(),
        node: "here".into(),
        state,
        replicas,
        version: None,
        tags: vec![],
        created: Timestamp(0),
    }
}

fn version(number: u64, replicas: u32) -> Version {
    Version {
        id: format!("00000000-0000-4000-8000-{number:012}")
            .parse()
            .unwrap(),
        application: "00000000-0000-4000-8000-000000000001".parse().unwrap(),
        number,
        release: Release {
            artifact: Artifact::Package {
                kind: PackageKind::Plain,
                origin: "/srv/shop".into(),
                version: String::new(),
                hash: "a".repeat(64).parse().unwrap(),
            },
            command: vec!["./shop".into()],
            components: BTreeMap::new(),
            env: BTreeMap::new(),
            secrets: vec![],
            files: vec![],
            replicas,
            cpu_millis: None,
            memory_bytes: None,
            liveness: None,
            readiness: None,
            after_start: None,
            before_stop: None,
            grace_ms: 1000,
            port: Some(80),
            scaling: Some(ScalingRule {
                name: "busy".into(),
                enabled: true,
                timer: None,
                metric: None,
                least_ready: None,
                least_ready_percent: None,
            }),
            kept: BTreeMap::new(),
        },
        label: String::new(),
        barred: None,
        created: Timestamp(0),
    }
}

fn replica_id(n: u32) -> ReplicaId {
    format!("inst-{n:016}").parse().unwrap()
}

fn present(versions: &[u64]) -> Vec<Present> {
    versions
        .iter()
        .zip(0..)
        .map(|(version, n)| Present {
            replica: Replica {
                id: replica_id(n),
                application: "00000000-0000-4000-8000-000000000001".parse().unwrap(),
                version: "00000000-0000-4000-8000-000000000002".parse().unwrap(),
                order: "00000000-0000-4000-8000-000000000003".parse().unwrap(),
                slot: n,
                created: Timestamp(0),
            },
            version: *version,
            ready: true,
        })
        .collect()
}

fn facts<'a>(application: &'a Application, replicas: &'a [Present]) -> Facts<'a> {
    Facts {
        application,
        version: Some(2),
        replicas,
        open_order: None,
        held_by: None,
        replicas_elsewhere: 10,
        quotas: Quotas {
            of_application: 50,
            of_account: 60,
            cpu_millis: Some(100_000),
            memory_bytes: None,
        },
        compute_elsewhere: Compute::default(),
        size: Compute::default(),
        in_debt: false,
        upgrading: false,
    }
}

fn back(to: &Version) -> Change<'_> {
    Change::Rollback {
        to,
        package_is_kept: true,
        scaling_on: true,
    }
}

/// The codes of what stands in the way, and of what should be known.
fn codes(proposal: &Proposal) -> (Vec<Code>, Vec<Code>) {
    let preflight = proposal.preflight();
    assert_eq!(preflight.passed(), proposal.machine(&[], LIMITS).is_some());
    let codes = |findings: Vec<_>| {
        let code = |f: backout_core::plan::Finding| f.code;
        findings.into_iter().map(code).collect::<Vec<_>>()
    };
    (codes(preflight.blockers), codes(preflight.warnings))
}

#[test]
fn a_rollback_changes_those_of_other_versions() {
    let app = application(ApplicationState::Running, 4);
    let replicas = present(&[1, 2, 2, 1]);
    let one = version(1, 4);
    let proposal = propose(&facts(&app, &replicas), back(&one), &Settings::default());
    assert_eq!(codes(&proposal), (vec![], vec![]));
    assert_eq!((proposal.wanted, &proposal.scope), (4, &Scope::Others));
    assert_eq!(
        proposal.planned.as_ref().unwrap().plan.batches[0].instances,
        2
    );
    let mut machine = proposal.machine(&replicas, LIMITS).unwrap();
    let first = machine.apply(Event::Begin, Timestamp(0)).unwrap();
    let drain = |n| Command::Drain { slot: Slot(n) };
    assert_eq!(first, [drain(1), drain(2)]);
}

#[test]
fn what_stands_in_the_way_is_told_all_at_once() {
    let app = application(ApplicationState::Stopped, 4);
    let order: OrderId = "00000000-0000-4000-8000-000000000009".parse().unwrap();
    let mut barred = version(1, 99);
    barred.barred = Some("it leaks".into());
    let mut present = facts(&app, &[]);
    present.open_order = Some(&order);
    let settings = Settings {
        least_ready_percent: Some(101),
        ..Settings::default()
    };
    let change = Change::Rollback {
        to: &barred,
        package_is_kept: false,
        scaling_on: false,
    };
    let (blockers, warnings) = codes(&propose(&present, change, &settings));
    assert_eq!(
        blockers,
        [
            Code::ResourceBusy,
            Code::ApplicationState,
            Code::VersionState,
            Code::PackageMissing,
            Code::Quota,
            Code::Quota,
            Code::BadRequest,
        ]
    );
    assert_eq!(warnings, [Code::NotBroughtBack]);
    let job: JobId = "job_aaaaaaaaaaaaaaaa".parse().unwrap();
    present.open_order = None;
    present.held_by = Some(&job);
    let proposal = propose(&present, Change::Start, &Settings::default());
    assert_eq!(codes(&proposal).0, [Code::ResourceBusy]);
    assert!(
        proposal.blockers[0]
            .to_string()
            .contains("job_aaaaaaaaaaaaaaaa")
    );
}

#[test]
fn states() {
    use ApplicationState::{Deleting, Running, Stopped};
    let two = version(2, 4);
    let these = [replica_id(0)];
    let changes = [
        ("deploy", Change::Deploy(&two)),
        ("rollback", back(&two)),
        ("start", Change::Start),
        ("stop", Change::Stop),
        ("restart", Change::Restart),
        ("these", Change::RestartThese(&these)),
        ("rescale", Change::Rescale(5)),
        ("delete", Change::Delete),
    ];
    let none = Vec::new();
    for (state, deployed, refused) in [
        (Running, true, vec!["start"]),
        (
            Stopped,
            true,
            vec!["rollback", "stop", "restart", "these", "rescale"],
        ),
        (Deleting, true, changes.iter().map(|c| c.0).collect()),
        (
            Stopped,
            false,
            vec!["rollback", "start", "stop", "restart", "these", "rescale"],
        ),
    ] {
        let app = application(state, 4);
        let replicas = match state {
            Stopped => none.clone(),
            Running | Deleting => present(&[2, 2, 2, 2]),
        };
        for (name, change) in changes {
            let mut present = facts(&app, &replicas);
            present.version = deployed.then_some(2);
            let proposal = propose(&present, change, &Settings::default());
            let found = codes(&proposal).0.contains(&Code::ApplicationState);
            assert_eq!(found, refused.contains(&name), "{name} while {state:?}");
        }
    }
}

#[test]
fn numbers_of_replicas() {
    let app = application(ApplicationState::Running, 4);
    let replicas = present(&[2, 2, 2, 2]);
    let two = version(2, 4);
    let these = [replica_id(2), replica_id(0), replica_id(2)];
    for (change, wanted, batches) in [
        (Change::Stop, 0, vec![4]),
        (Change::Delete, 0, vec![4]),
        (Change::Rescale(6), 6, vec![2]),
        (Change::Rescale(1), 1, vec![3]),
        (Change::Rescale(4), 4, vec![]),
        (Change::Restart, 4, vec![4]),
        (Change::RestartThese(&these), 4, vec![2]),
        (Change::Deploy(&two), 4, vec![]),
    ] {
        let proposal = propose(&facts(&app, &replicas), change, &Settings::default());
        let planned = proposal.planned.as_ref().unwrap();
        let found: Vec<u32> = planned.plan.batches.iter().map(|b| b.instances).collect();
        assert_eq!((proposal.wanted, found), (wanted, batches), "{change:?}");
        assert!(proposal.blockers.is_empty());
    }
    let proposal = propose(
        &facts(&app, &replicas),
        Change::RestartThese(&these),
        &Settings::default(),
    );
    assert_eq!(proposal.scope, Scope::These(vec![Slot(0), Slot(2)]));
    let strange = [replica_id(9)];
    let proposal = propose(
        &facts(&app, &replicas),
        Change::RestartThese(&strange),
        &Settings::default(),
    );
    assert_eq!(codes(&proposal).0, [Code::NotFound]);
    // Nothing to do is told, and no fault.
    let proposal = propose(&facts(&app, &replicas), back(&two), &Settings::default());
    assert_eq!(codes(&proposal), (vec![], vec![Code::PlanAdjusted]));
    // Quotas do not keep anybody from having fewer.
    let mut crowded = facts(&app, &replicas);
    crowded.replicas_elsewhere = 1000;
    let proposal = propose(&crowded, Change::Rescale(3), &Settings::default());
    assert!(proposal.blockers.is_empty());
    let proposal = propose(&crowded, Change::Rescale(5), &Settings::default());
    assert_eq!(codes(&proposal).0, [Code::Quota]);
}

#[test]
fn what_should_be_known() {
    let app = application(ApplicationState::Running, 4);
    let replicas = present(&[2, 2, 2, 2]);
    let fewer = version(1, 1);
    let of = |settings: Settings, to: &Version| {
        codes(&propose(&facts(&app, &replicas), back(to), &settings)).1
    };
    let interrupted = Settings {
        least_ready: Some(0),
        ..Settings::default()
    };
    assert_eq!(of(interrupted, &version(1, 4)), [Code::Interruption]);
    let batches = Settings {
        strategy: Strategy::Batches {
            batches: 2,
            go: Go::Manual,
        },
        ..Settings::default()
    };
    assert_eq!(of(batches, &version(1, 4)), [Code::PlanAdjusted]);
    let many = Settings {
        least_ready: Some(3),
        ..Settings::default()
    };
    assert_eq!(
        of(many, &fewer),
        [Code::PlanAdjusted],
        "fewer than asked stay"
    );
    let surging = propose(&facts(&app, &replicas), back(&version(1, 4)), &many)
        .warnings
        .remove(0);
    assert!(
        surging.message.contains("up to 1 more"),
        "{}",
        surging.message
    );
}

#[test]
fn replicas_that_are_named_are_the_ones_that_go() {
    let app = application(ApplicationState::Running, 4);
    let these = [replica_id(0), replica_id(2)];
    let all = present(&[2, 2, 2, 2]);
    let order = arranged(all.iter().map(|p| p.replica.clone()).collect(), &these);
    let ids: Vec<ReplicaId> = order.iter().map(|r| r.id.clone()).collect();
    assert_eq!(ids, [1, 3, 0, 2].map(replica_id));
    let replicas: Vec<Present> = order
        .into_iter()
        .map(|replica| Present {
            replica,
            version: 2,
            ready: true,
        })
        .collect();
    let settings = Settings::default();
    let change = Change::Remove(&these);
    let proposal = propose(&facts(&app, &replicas), change, &settings);
    assert_eq!(proposal.wanted, 2);
    assert!(proposal.blockers.is_empty());
    let mut machine = proposal.machine(&replicas, LIMITS).unwrap();
    let commands = machine.apply(Event::Begin, Timestamp(0)).unwrap();
    assert_eq!(
        commands,
        [
            Command::Drain { slot: Slot(2) },
            Command::Drain { slot: Slot(3) }
        ]
    );
    let strange = [replica_id(9)];
    let proposal = propose(&facts(&app, &replicas), Change::Remove(&strange), &settings);
    assert_eq!(
        (codes(&proposal).0, proposal.wanted),
        (vec![Code::NotFound], 4)
    );
}

#[test]
fn what_operators_say_stands_in_the_way() {
    let app = application(ApplicationState::Running, 4);
    let replicas = present(&[2, 2, 2, 2]);
    let settings = Settings::default();
    let mut met = facts(&app, &replicas);
    met.in_debt = true;
    assert_eq!(
        codes(&propose(&met, Change::Restart, &settings)).0,
        [Code::InDebt]
    );
    // Who owes may always take less.
    for less in [Change::Stop, Change::Delete] {
        assert!(propose(&met, less, &settings).blockers.is_empty());
    }
    met.upgrading = true;
    assert_eq!(
        codes(&propose(&met, Change::Stop, &settings)).0,
        [Code::Upgrading]
    );
    // 100 processors in all, 97.6 of them elsewhere: room for 24 of a tenth.
    let mut met = facts(&app, &replicas);
    met.compute_elsewhere.cpu_millis = 97_600;
    met.size.cpu_millis = 100;
    let codes_of = |wanted| codes(&propose(&met, Change::Rescale(wanted), &settings)).0;
    assert_eq!(codes_of(24), []);
    assert_eq!(codes_of(25), [Code::Quota]);
    // Larger ones need room as well, though there are no more of them.
    let two = version(2, 4);
    met.size.cpu_millis = 601;
    let proposal = propose(&met, Change::Deploy(&two), &settings);
    assert_eq!(codes(&proposal).0, [Code::Quota]);
    assert!(
        propose(&met, Change::Rescale(3), &settings)
            .blockers
            .is_empty()
    );
}
