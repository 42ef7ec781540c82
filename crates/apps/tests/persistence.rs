//! What is stored comes back, and is found by what it is asked for; on both
//! databases.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;

use backout_apps::model::{
    AccountSettings, Application, ApplicationState, Approval, ApprovalFor, Artifact, Batch, File,
    Namespace, Order, OrderKind, PackageKind, Release, Replica, ScalingRule, SealedSecret,
    SecretRef, ServiceSettings, Size, Standing, Tag, Terms,
};
use backout_apps::orders;
use backout_apps::persistence::{
    self as rows, ApplicationFilter, EVENTS_KEPT, EventFilter, Happened, MIGRATIONS, OrderFilter,
    Page, TagFilter,
};
use backout_apps::planning::Settings;
use backout_apps::scaling::{Measure, Metric, Pace, Target};
use backout_core::code::Code;
use backout_core::ids::{
    AccountId, ApplicationId, BatchId, JobId, OrderId, ReplicaId, RequestId, VersionId,
};
use backout_core::time::Timestamp;
use backout_rollout::{
    Event, Gate, Leg, Limits, Plan, Release as Number, Rollout, Scope, Slot, Standing as Stands,
};
use backout_store::testing::{ALL, on_both, write};
use backout_store::{Error, Tx};
use backout_workloads::{Ask, Probe, Task};

fn uuid(kind: u32, n: u64) -> String {
    format!("{kind:08x}-0000-4000-8000-{n:012x}")
}

fn app_id(n: u64) -> ApplicationId {
    uuid(1, n).parse().unwrap()
}

fn version_id(n: u64) -> VersionId {
    uuid(2, n).parse().unwrap()
}

fn order_id(n: u64) -> OrderId {
    uuid(3, n).parse().unwrap()
}

fn batch_id(n: u64) -> BatchId {
    uuid(4, n).parse().unwrap()
}

fn owner(n: u64) -> AccountId {
    format!("acct_{n:012}").parse().unwrap()
}

fn replica_id(n: u64) -> ReplicaId {
    format!("inst-{n:016}").parse().unwrap()
}

fn job(n: u64) -> JobId {
    format!("job_{n:016}").parse().unwrap()
}

fn at(n: u64) -> Timestamp {
    Timestamp(1_000 + n.cast_signed())
}

fn application(n: u64) -> Application {
    let even = n.is_multiple_of(2);
    Application {
        id: app_id(n),
        owner: owner(0),
        namespace: if even { "live" } else { "test" }.into(),
        name: format!("shop_{n}"),
        description: "sells".into(),
        node: "here".into(),
        state: ApplicationState::Stopped,
        replicas: 2,
        version: None,
        tags: vec![Tag {
            key: "team".into(),
            value: if even { "a" } else { "b" }.into(),
        }],
        created: at(n),
    }
}

fn release(n: u64) -> Release {
    Release {
        artifact: Artifact::Package {
            kind: PackageKind::FatJar,
            origin: "https://packages.example/shop.jar".into(),
            version: format!("1.{n}"),
            hash: format!("{n:064x}").parse().unwrap(),
        },
        command: vec!["java".into(), "-jar".into(), "shop.jar".into()],
        components: BTreeMap::from([("jdk".into(), "Open JDK 17".into())]),
        env: BTreeMap::from([("COLOUR".into(), "blue = green\n".into())]),
        secrets: vec![SecretRef {
            variable: "TOKEN".into(),
            secret: "shop-token".into(),
            revision: 3,
        }],
        files: vec![File {
            path: "/etc/shop.conf".into(),
            content: "a: \"b\"\n".into(),
            of: Some((7, "shop.conf".into())),
        }],
        replicas: 4,
        cpu_millis: Some(500),
        memory_bytes: Some(1 << 30),
        liveness: Some(Probe::new(Ask::Tcp { port: 0 })),
        readiness: Some(Probe::new(Ask::Http {
            port: 0,
            path: "/ready".into(),
            headers: BTreeMap::new(),
        })),
        after_start: Some(Task {
            argv: vec!["/bin/true".into()],
            timeout_ms: 1000,
        }),
        before_stop: None,
        grace_ms: 30_000,
        port: Some(8080),
        scaling: Some(ScalingRule {
            name: "busy".into(),
            enabled: true,
            timer: None,
            metric: Some(Metric {
                least: 1,
                most: 9,
                targets: vec![Target {
                    of: Measure::Cpu,
                    percent: 70,
                }],
                up: Pace::default(),
                down: Pace::default(),
            }),
            least_ready: Some(1),
            least_ready_percent: None,
        }),
        kept: BTreeMap::from([("Timezone".into(), "Asia/Shanghai".into())]),
    }
}

fn plan() -> Plan {
    Plan {
        floor: 1,
        surge: 1,
        batches: vec![backout_rollout::Batch {
            instances: 2,
            gray: false,
        }],
        gate: Gate::Manual,
    }
}

fn machine() -> Rollout {
    let limits = Limits {
        ready_ms: 1000,
        drain_ms: 1000,
        stop_ms: 1000,
    };
    let standing = [Stands {
        release: Number(0),
        ready: true,
    }; 2];
    let mut machine = Rollout::new(plan(), limits, &standing, Number(1), 2, &Scope::Others);
    machine.apply(Event::Begin, at(0)).unwrap();
    machine
}

fn order(n: u64, application: u64) -> Order {
    Order {
        id: order_id(n),
        owner: owner(0),
        operator: owner(1),
        request: RequestId(format!("request-{n}")),
        application: app_id(application),
        namespace: "live".into(),
        kind: OrderKind::Deploy,
        job: Some(job(n)),
        takes_back: None,
        from: Some(version_id(1)),
        to: Some(version_id(2)),
        replicas_before: 2,
        replicas_after: 3,
        description: format!("Deploy_{n}"),
        terms: Terms {
            settings: Settings {
                least_ready: Some(1),
                ..Settings::default()
            },
            scaling_on: Some(false),
            these: vec![replica_id(n)],
            undo_of: None,
        },
        plan: plan(),
        rollout: None,
        standing: Standing::Preparing,
        approval: None,
        error: None,
        created: at(n),
        ended: None,
    }
}

#[test]
fn applications_are_found_by_what_they_are_asked_for() {
    on_both(MIGRATIONS, |store| {
        write(&store, |tx| {
            for n in 1..=4 {
                assert!(rows::insert_application(tx, &application(n))?);
            }
            let mut other = application(5);
            other.name = "shop_1".into();
            assert!(!rows::insert_application(tx, &other)?, "the name is taken");
            other.namespace = "live".into();
            assert!(
                rows::insert_application(tx, &other)?,
                "in another namespace"
            );
            assert_eq!(rows::applications_named(tx, &owner(0), "shop_1")?.len(), 2);
            assert_eq!(rows::count_applications(tx, &owner(0))?, 5);
            assert_eq!(rows::count_replicas_wanted(tx, &owner(0), None)?, 10);
            assert_eq!(rows::count_replicas_wanted(tx, &owner(1), None)?, 0);
            assert_eq!(
                rows::application(tx, &owner(0), app_id(3).as_str())?,
                Some(application(3))
            );
            assert_eq!(rows::application(tx, &owner(1), app_id(3).as_str())?, None);

            let ask = |tx: &mut dyn Tx, filter: &ApplicationFilter| {
                let (total, found) = rows::list_applications(tx, &owner(0), filter, ALL)?;
                assert_eq!(total, found.len() as u64);
                Ok::<_, Error>(found.iter().map(|a| a.created.0 - 1000).collect::<Vec<_>>())
            };
            let mut f = ApplicationFilter::default();
            assert_eq!(ask(tx, &f)?, [5, 4, 3, 2, 1]);
            f.namespace = Some("live".into());
            assert_eq!(ask(tx, &f)?, [5, 4, 2]);
            f.text = Some("SHOP_2".into());
            assert_eq!(ask(tx, &f)?, [2]);
            f.text = Some("shopX2".into());
            assert!(ask(tx, &f)?.is_empty(), "no pattern");
            f = ApplicationFilter {
                tags: vec![TagFilter::Pair("team".into(), vec!["b".into()])],
                ..ApplicationFilter::default()
            };
            assert_eq!(ask(tx, &f)?, [5, 3, 1]);

            rows::set_application_tags(tx, &app_id(3), &[])?;
            rows::set_application_state(tx, &app_id(1), ApplicationState::Running, 7)?;
            rows::set_application_version(tx, &app_id(1), &version_id(1))?;
            rows::set_application_description(tx, &app_id(1), "new")?;
            assert_eq!(ask(tx, &f)?, [5, 1]);
            f.states = vec![ApplicationState::Running];
            assert_eq!(ask(tx, &f)?, [1]);
            let changed = rows::application_by_id(tx, &app_id(1))?.unwrap();
            assert_eq!(
                (
                    changed.replicas,
                    changed.version,
                    changed.description.as_str()
                ),
                (7, Some(version_id(1)), "new")
            );
            let page = rows::applications_of_node(tx, "here", Some(&app_id(2)), 2)?;
            assert_eq!(
                page.iter().map(|a| &a.id).collect::<Vec<_>>(),
                [&app_id(3), &app_id(4)]
            );
            rows::delete_application(tx, &app_id(1))?;
            assert_eq!(rows::application_by_id(tx, &app_id(1))?, None);
            Ok(())
        });
    });
}

#[test]
fn namespaces_go_when_nothing_is_in_them() {
    on_both(MIGRATIONS, |store| {
        write(&store, |tx| {
            let mut live = Namespace {
                owner: owner(0),
                id: "live".into(),
                name: "Live".into(),
                description: String::new(),
                created: at(1),
            };
            assert!(rows::insert_namespace(tx, &live)?);
            assert!(!rows::insert_namespace(tx, &live)?);
            live.name = "Real".into();
            assert!(rows::update_namespace(tx, &live)?);
            assert_eq!(rows::namespace(tx, &owner(0), "live")?, Some(live.clone()));
            assert_eq!(rows::namespace(tx, &owner(1), "live")?, None);
            rows::insert_application(tx, &application(2))?;
            assert!(rows::insert_order(tx, &order(1, 2))?);
            assert!(!rows::delete_namespace(tx, &owner(0), "live")?);
            rows::delete_application(tx, &app_id(2))?;
            assert!(
                rows::order_by_id(tx, &order_id(1))?.is_some(),
                "orders stay"
            );
            let config = BTreeMap::from([("key".to_owned(), "value".to_owned())]);
            let number = rows::insert_config_map(tx, &owner(0), "live", "c", &config, at(1))?;
            assert_eq!(number, Some(1));
            let again = rows::insert_config_map(tx, &owner(0), "live", "c", &config, at(1))?;
            assert_eq!(again, None, "the name is taken");
            assert!(rows::set_config_map(
                tx,
                &owner(0),
                1,
                &BTreeMap::new(),
                at(2)
            )?);
            let map = rows::config_map(tx, &owner(0), 1)?.unwrap();
            assert_eq!((map.entries.len(), map.updated), (0, at(2)));
            assert!(!rows::delete_config_map(tx, &owner(1), 1)?);
            assert!(rows::delete_namespace(tx, &owner(0), "live")?);
            assert_eq!(rows::config_map(tx, &owner(0), 1)?, None);
            assert_eq!(rows::order_by_id(tx, &order_id(1))?, None);
            assert_eq!(rows::list_namespaces(tx, &owner(0), ALL)?.0, 0);
            Ok(())
        });
    });
}

#[test]
fn versions_come_back_whole() {
    on_both(MIGRATIONS, |store| {
        write(&store, |tx| {
            rows::insert_application(tx, &application(1))?;
            for n in 1..=3 {
                let id = version_id(n);
                let label = format!("v{n}");
                let number = rows::insert_version(tx, &id, &app_id(1), &release(n), &label, at(n))?;
                assert_eq!(number, n);
            }
            let (total, page) = rows::list_versions(
                tx,
                &app_id(1),
                Page {
                    offset: 1,
                    limit: 1,
                },
            )?;
            assert_eq!((total, page.len()), (3, 1));
            assert_eq!((page[0].number, &page[0].release), (2, &release(2)));
            let found = rows::version(tx, &app_id(1), version_id(3).as_str())?.unwrap();
            assert_eq!(
                rows::version_by_number(tx, &app_id(1), 3)?,
                Some(found.clone())
            );
            assert_eq!(found.barred, None);
            assert!(rows::set_barred(
                tx,
                &app_id(1),
                &version_id(3),
                Some("it leaks")
            )?);
            assert!(!rows::set_barred(tx, &app_id(2), &version_id(3), None)?);
            let barred = rows::version_by_number(tx, &app_id(1), 3)?.unwrap();
            assert_eq!(barred.barred.as_deref(), Some("it leaks"));
            assert_eq!(barred.release, found.release, "nothing else changes");
            assert!(rows::has_package_version(tx, &app_id(1), "1.2")?);
            assert!(!rows::has_package_version(tx, &app_id(1), "1.9")?);

            let packages = rows::packages_in_use(tx, "here", None, 2)?;
            assert_eq!(packages.len(), 2);
            let rest = rows::packages_in_use(tx, "here", packages.last(), 2)?;
            assert_eq!(rest.len(), 1);
            assert!(rows::packages_in_use(tx, "there", None, 2)?.is_empty());

            rows::set_application_version(tx, &app_id(1), &version_id(3))?;
            rows::insert_replica(
                tx,
                &Replica {
                    id: replica_id(1),
                    application: app_id(1),
                    version: version_id(2),
                    order: order_id(9),
                    slot: 0,
                    created: at(1),
                },
            )?;
            let used = rows::versions_in_use(tx, &app_id(1))?;
            assert_eq!(
                used.into_iter().collect::<Vec<_>>(),
                [version_id(2), version_id(3)]
            );
            assert!(rows::insert_order(tx, &order(1, 1))?);
            assert_eq!(rows::versions_in_use(tx, &app_id(1))?.len(), 3);
            rows::delete_version(tx, &version_id(2))?;
            assert_eq!(rows::list_versions(tx, &app_id(1), ALL)?.0, 2);
            Ok(())
        });
    });
}

#[test]
fn an_application_has_one_open_order() {
    on_both(MIGRATIONS, |store| {
        write(&store, |tx| {
            let mut first = order(1, 1);
            first.job = None;
            first.standing = Standing::WaitsForApproval;
            first.approval = Some(Approval {
                rule: "live".into(),
                by: None,
            });
            assert!(rows::insert_order(tx, &first)?);
            assert!(!rows::insert_order(tx, &order(2, 1))?, "one at a time");
            assert!(
                rows::insert_order(tx, &order(3, 2))?,
                "of another application"
            );
            assert_eq!(rows::open_order_of(tx, &app_id(1))?, Some(first.clone()));
            let approval = Approval {
                rule: "live".into(),
                by: Some((owner(2), at(5))),
            };
            assert!(rows::approve_order(tx, &order_id(1), &approval)?);
            assert!(!rows::approve_order(tx, &order_id(1), &approval)?, "once");
            assert!(rows::give_to_job(
                tx,
                &order_id(1),
                &job(1),
                Standing::Preparing
            )?);
            assert!(!rows::give_to_job(
                tx,
                &order_id(1),
                &job(2),
                Standing::Preparing
            )?);
            let machine = machine();
            let standing = orders::standing(&machine, false);
            assert_eq!(standing, Standing::Running);
            rows::set_progress(tx, &order_id(1), &machine, standing)?;
            let stored = rows::order(tx, &owner(0), order_id(1).as_str())?.unwrap();
            assert_eq!(stored.rollout, Some(machine));
            assert_eq!(stored.approval, Some(approval));
            assert_eq!(rows::order_of_job(tx, &job(1))?, Some(stored));
            let error = (Code::Quota, "too many".to_owned());
            rows::end_order(tx, &order_id(1), Standing::Failed, Some(&error), at(9))?;
            rows::end_order(tx, &order_id(1), Standing::Succeeded, None, at(10))?;
            let ended = rows::order_by_id(tx, &order_id(1))?.unwrap();
            assert_eq!(
                (ended.standing, ended.ended),
                (Standing::Failed, Some(at(9)))
            );
            assert_eq!(ended.error, Some(error));
            assert_eq!(rows::open_order_of(tx, &app_id(1))?, None);
            assert!(rows::insert_order(tx, &order(2, 1))?);
            Ok(())
        });
    });
}

#[test]
fn an_order_that_is_taken_back_goes_on_as_another() {
    on_both(MIGRATIONS, |store| {
        write(&store, |tx| {
            let mut machine = machine();
            let mut forward = order(1, 1);
            forward.rollout = Some(machine.clone());
            rows::insert_order(tx, &forward)?;
            for slot in 0..2 {
                rows::insert_replica(
                    tx,
                    &Replica {
                        id: replica_id(slot),
                        application: app_id(1),
                        version: version_id(1),
                        order: order_id(77),
                        slot: 5 + u32::try_from(slot).unwrap(),
                        created: at(slot),
                    },
                )?;
            }
            let numbered = rows::number_replicas(tx, &app_id(1), &order_id(1), &[])?;
            assert_eq!(numbered.iter().map(|r| r.slot).collect::<Vec<_>>(), [0, 1]);
            assert!(orders::supports_rollback(&forward));

            machine
                .apply(Event::Abort { rollback: true }, at(5))
                .unwrap();
            forward.rollout = Some(machine.clone());
            assert_eq!(orders::standing(&machine, false), Standing::Aborted);
            assert!(!orders::supports_rollback(&forward));
            let mut back = orders::way_back(&forward, order_id(2));
            back.created = at(5);
            back.standing = orders::standing(&machine, true);
            assert!(rows::turn_order(tx, &order_id(1), &back, at(5))?);
            let old = rows::order_by_id(tx, &order_id(1))?.unwrap();
            assert_eq!((old.standing, old.ended), (Standing::Aborted, Some(at(5))));
            let open = rows::open_order_of(tx, &app_id(1))?.unwrap();
            assert_eq!(open, back);
            assert_eq!(
                (open.kind, open.takes_back),
                (OrderKind::Rollback, Some(order_id(1)))
            );
            assert_eq!(
                (open.from, open.to),
                (Some(version_id(2)), Some(version_id(1)))
            );
            assert_eq!((open.replicas_before, open.replicas_after), (3, 2));
            assert_eq!(rows::order_of_job(tx, &job(1))?.unwrap().id, order_id(2));
            let replica = rows::replica_of_slot(tx, &order_id(2), 1)?.unwrap();
            assert_eq!(replica.id, replica_id(1));
            rows::delete_replica(tx, &replica.id)?;
            assert_eq!(rows::replicas_of(tx, &app_id(1))?.len(), 1);
            Ok(())
        });
    });
}

#[test]
fn orders_are_listed_and_forgotten() {
    on_both(MIGRATIONS, |store| {
        write(&store, |tx| {
            for n in 1..=5 {
                let mut order = order(n, n);
                order.kind = if n > 3 {
                    OrderKind::Rollback
                } else {
                    OrderKind::Deploy
                };
                order.namespace = if n > 1 { "live" } else { "test" }.into();
                rows::insert_order(tx, &order)?;
                let batches: Vec<Batch> = (0..2)
                    .map(|number| Batch {
                        id: batch_id(n * 10 + u64::from(number)),
                        order: order_id(n),
                        number,
                        leg: if number == 0 { Leg::Forward } else { Leg::Back },
                    })
                    .collect();
                rows::insert_batches(tx, &batches)?;
                rows::insert_batches(tx, &batches)?;
                assert_eq!(rows::batches_of(tx, &order_id(n))?, batches);
                if n < 4 {
                    rows::end_order(tx, &order_id(n), Standing::Succeeded, None, at(100 + n))?;
                }
            }
            let ask = |tx: &mut dyn Tx, filter: &OrderFilter| {
                let (total, found) = rows::list_orders(tx, &owner(0), filter, ALL)?;
                assert_eq!(total, found.len() as u64);
                Ok::<_, Error>(found.iter().map(|o| o.created.0 - 1000).collect::<Vec<_>>())
            };
            let mut f = OrderFilter::default();
            assert_eq!(ask(tx, &f)?, [5, 4, 3, 2, 1]);
            f.oldest_first = true;
            f.namespace = Some("live".into());
            assert_eq!(ask(tx, &f)?, [2, 3, 4, 5]);
            f.kinds = vec![OrderKind::Deploy];
            assert_eq!(ask(tx, &f)?, [2, 3]);
            f.text = Some("deploy_3".into());
            assert_eq!(ask(tx, &f)?, [3]);
            f.standings = vec![Standing::Stuck, Standing::Running];
            assert!(ask(tx, &f)?.is_empty());

            let (batch, found) = rows::find_batch(tx, &owner(0), &batch_id(31))?.unwrap();
            assert_eq!(
                (batch.number, batch.leg, found.id),
                (1, Leg::Back, order_id(3))
            );
            assert_eq!(rows::find_batch(tx, &owner(1), &batch_id(31))?, None);
            // Of the two whose orders are old, one application is gone.
            rows::insert_application(tx, &application(2))?;
            for n in 1..=2 {
                let happened = Happened {
                    owner: &owner(0),
                    application: &app_id(n),
                    namespace: "live",
                    warning: false,
                    object: "order",
                    name: "o",
                    reason: "Deleted",
                    message: "it is gone",
                    at: at(n),
                };
                rows::record_event(tx, &happened)?;
            }
            assert_eq!(rows::forget_orders(tx, at(103), 1)?, 1);
            assert_eq!(rows::forget_orders(tx, at(103), 10)?, 1);
            assert_eq!(rows::forget_orders(tx, at(103), 10)?, 0);
            let (_, events) = rows::list_events(tx, &owner(0), &EventFilter::default(), ALL)?;
            let of: Vec<_> = events.iter().map(|e| e.application.clone()).collect();
            assert_eq!(of, [app_id(2)]);
            assert_eq!(rows::find_batch(tx, &owner(0), &batch_id(10))?, None);
            assert_eq!(ask(tx, &OrderFilter::default())?, [5, 4, 3]);
            assert_eq!(
                rows::last_order_of(tx, &app_id(3))?.unwrap().id,
                order_id(3)
            );
            Ok(())
        });
    });
}

#[test]
fn events_are_counted_and_bounded() {
    on_both(MIGRATIONS, |store| {
        write(&store, |tx| {
            let (me, app) = (owner(0), app_id(1));
            let happened = |name: &'static str, reason: &'static str, when: u64| Happened {
                owner: &me,
                application: &app,
                namespace: "live",
                warning: reason == "Crashed",
                object: "replica",
                name,
                reason,
                message: "it ended with code 1",
                at: at(when),
            };
            for when in 1..=3 {
                rows::record_event(tx, &happened("one", "Crashed", when))?;
            }
            rows::record_event(tx, &happened("two", "Crashed", 4))?;
            rows::record_event(tx, &happened("one", "Started", 5))?;
            let list = |tx: &mut dyn Tx, filter: &EventFilter| {
                rows::list_events(tx, &owner(0), filter, ALL).map(|(_, events)| events)
            };
            let all = list(tx, &EventFilter::default())?;
            assert_eq!(all.len(), 3);
            let first = &all[2];
            assert_eq!((first.count, first.first, first.last), (3, at(1), at(3)));
            let warned = EventFilter {
                warning: Some(true),
                name: Some("two".into()),
                application: Some(app_id(1)),
                namespace: Some("live".into()),
                ..EventFilter::default()
            };
            assert_eq!(list(tx, &warned)?.len(), 1);
            let none = EventFilter {
                reason: Some("Ended".into()),
                ..EventFilter::default()
            };
            assert!(list(tx, &none)?.is_empty());
            for when in 0..EVENTS_KEPT + 5 {
                let name = if when % 2 == 0 { "a" } else { "b" };
                rows::record_event(tx, &happened(name, "Crashed", when))?;
            }
            let (total, newest) = rows::list_events(tx, &owner(0), &EventFilter::default(), ALL)?;
            assert_eq!(total, EVENTS_KEPT);
            assert_eq!(newest[0].last, at(EVENTS_KEPT + 4));
            Ok(())
        });
    });
}

#[test]
fn what_a_batch_shows() {
    let mut machine = machine();
    let shown = orders::batch(&machine, 0).unwrap();
    assert_eq!(shown.status, backout_rollout::BatchStatus::Running);
    let stage = &shown.stages[0];
    assert_eq!(stage.status, orders::StageStatus::Running);
    assert_eq!(stage.tasks.len(), 2);
    assert_eq!(stage.tasks[0].old, Some(Slot(0)));
    assert_eq!(orders::batch(&machine, 1), None);
    machine
        .apply(Event::Abort { rollback: true }, at(1))
        .unwrap();
    assert_eq!(
        orders::batch(&machine, 0).unwrap().stages[0].status,
        orders::StageStatus::Aborted
    );
    let back = orders::batch(&machine, 1).unwrap();
    assert_eq!(back.status, backout_rollout::BatchStatus::Running);
}

#[test]
fn values_of_secrets_stay_as_long_as_a_version_has_them() {
    on_both(MIGRATIONS, |store| {
        write(&store, |tx| {
            let secret = |name: &str, revision| SealedSecret {
                owner: owner(0),
                namespace: "test".into(),
                name: name.into(),
                revision,
                sealed: vec![0, 159, u8::try_from(revision).unwrap()],
                created: at(revision),
            };
            assert_eq!(
                rows::secret_revision(tx, &owner(0), "test", "shop-token")?,
                0
            );
            for revision in 1..=5 {
                assert!(rows::insert_secret(tx, &secret("shop-token", revision))?);
                assert!(!rows::insert_secret(tx, &secret("shop-token", revision))?);
            }
            assert!(rows::insert_secret(tx, &secret("another", 1))?);
            // A version of an application in that namespace has the third value.
            rows::insert_application(tx, &application(1))?;
            rows::insert_version(tx, &version_id(1), &app_id(1), &release(1), "", at(1))?;
            assert_eq!(
                rows::version_with_secret(tx, &owner(0), "test", "shop-token")?,
                Some(version_id(1))
            );
            assert_eq!(
                rows::version_with_secret(tx, &owner(0), "live", "shop-token")?,
                None
            );
            rows::forget_old_values(tx, &owner(0), "test", "shop-token")?;
            let mut kept = Vec::new();
            for revision in 1..=5 {
                let found = rows::secret(tx, &owner(0), "test", "shop-token", revision)?;
                kept.extend(found.map(|s| s.revision));
            }
            assert_eq!(kept, [3, 5]);
            assert_eq!(
                rows::secret(tx, &owner(0), "test", "shop-token", 3)?,
                Some(secret("shop-token", 3))
            );
            let (count, listed) = rows::list_secrets(tx, &owner(0), "test", ALL)?;
            assert_eq!(count, 2);
            assert_eq!(listed, [secret("another", 1), secret("shop-token", 5)]);
            // Gone with the version.
            rows::delete_version(tx, &version_id(1))?;
            assert_eq!(
                rows::version_with_secret(tx, &owner(0), "test", "shop-token")?,
                None
            );
            assert!(rows::delete_secret(tx, &owner(0), "test", "shop-token")?);
            assert!(!rows::delete_secret(tx, &owner(0), "test", "shop-token")?);
            Ok(())
        });
    });
}

#[test]
fn rules_are_switched_and_come_back_with_their_version() {
    on_both(MIGRATIONS, |store| {
        write(&store, |tx| {
            rows::insert_application(tx, &application(1))?;
            let busy = release(1).scaling.unwrap();
            let mut other = busy.clone();
            other.name = "other".into();
            other.enabled = false;
            rows::put_scaling_rule(tx, &app_id(1), &busy, at(1))?;
            rows::put_scaling_rule(tx, &app_id(1), &other, at(2))?;
            assert!(rows::switch_scaling_rule(
                tx,
                &app_id(1),
                "busy",
                false,
                at(3)
            )?);
            assert!(!rows::switch_scaling_rule(
                tx,
                &app_id(1),
                "none",
                false,
                at(3)
            )?);
            let row = rows::scaling_rule(tx, &app_id(1), "busy")?.unwrap();
            assert!(!row.rule.enabled);
            assert_eq!(
                (row.created, row.updated, row.disabled, row.scaled),
                (at(1), at(3), Some(at(3)), None)
            );
            rows::switch_scaling_rule(tx, &app_id(1), "busy", true, at(4))?;
            rows::set_scaled(tx, &app_id(1), at(5))?;
            let row = rows::scaling_rule(tx, &app_id(1), "busy")?.unwrap();
            assert_eq!((row.disabled, row.scaled), (Some(at(3)), Some(at(5))));
            assert_eq!(row.rule, busy);

            // A rollback brings back what the version had, and then does as its
            // terms say; one that failed does nothing.
            rows::delete_scaling_rule(tx, &app_id(1), "busy")?;
            let mut back = order(1, 1);
            back.kind = OrderKind::Rollback;
            back.terms.scaling_on = None;
            rows::settle_scaling(tx, &back, Standing::Aborted, &release(1), at(6))?;
            assert_eq!(rows::scaling_rule(tx, &app_id(1), "busy")?, None);
            rows::settle_scaling(tx, &back, Standing::Succeeded, &release(1), at(6))?;
            let on = |tx: &mut dyn Tx| -> Result<Vec<bool>, Error> {
                let all = rows::scaling_rules(tx, &app_id(1))?;
                Ok(all.iter().map(|row| row.rule.enabled).collect())
            };
            assert_eq!(on(tx)?, [true, false]);
            back.terms.scaling_on = Some(false);
            rows::settle_scaling(tx, &back, Standing::Succeeded, &release(1), at(7))?;
            assert_eq!(on(tx)?, [false, false]);
            back.terms.scaling_on = Some(true);
            rows::settle_scaling(tx, &back, Standing::Succeeded, &release(1), at(8))?;
            assert_eq!(on(tx)?, [true, true]);
            rows::delete_application(tx, &app_id(1))?;
            assert!(rows::scaling_rules(tx, &app_id(1))?.is_empty());
            Ok(())
        });
    });
}

#[test]
fn settings_and_what_is_taken_are_counted() {
    on_both(MIGRATIONS, |store| {
        write(&store, |tx| {
            assert_eq!(rows::service_settings(tx)?, ServiceSettings::default());
            let service = ServiceSettings {
                upgrading: true,
                cpu_millis: Some(8000),
                memory_bytes: None,
                sizes: vec![Size {
                    cpu_millis: 500,
                    memory_bytes: 1 << 30,
                }],
            };
            rows::set_service_settings(tx, &service)?;
            rows::set_service_settings(tx, &service)?;
            assert_eq!(rows::service_settings(tx)?, service);
            let account = AccountSettings {
                in_debt: true,
                approval: ApprovalFor::SubAccounts,
                ..AccountSettings::default()
            };
            rows::set_account_settings(tx, &owner(1), &account)?;
            assert_eq!(rows::account_settings(tx, &owner(1))?, account);
            assert_eq!(
                rows::account_settings(tx, &owner(0))?,
                AccountSettings::default()
            );

            // Two replicas each; an order makes three of the first.
            for n in 1..=2 {
                rows::insert_application(tx, &application(n))?;
                let mut sized = release(n);
                sized.cpu_millis = Some(100);
                sized.memory_bytes = Some(1 << 40);
                rows::insert_version(tx, &version_id(n), &app_id(n), &sized, "", at(n))?;
                rows::set_application_version(tx, &app_id(n), &version_id(n))?;
            }
            assert_eq!(rows::compute_wanted(tx, None)?, (400, 4 << 40));
            let mut more = order(1, 1);
            more.to = Some(version_id(1));
            rows::insert_order(tx, &more)?;
            assert_eq!(rows::compute_wanted(tx, None)?, (500, 5 << 40));
            assert_eq!(rows::compute_wanted(tx, Some(&app_id(1)))?, (200, 2 << 40));
            assert_eq!(rows::count_replicas_wanted(tx, &owner(0), None)?, 5);
            assert_eq!(
                rows::count_replicas_wanted(tx, &owner(0), Some(&app_id(1)))?,
                2
            );

            let again =
                |tx: &mut dyn Tx| rows::remember_asked(tx, &owner(0), "key", "hash", &order_id(1));
            assert!(again(tx)?);
            assert!(!again(tx)?);
            assert_eq!(
                rows::asked_before(tx, &owner(0), "key")?,
                Some((order_id(1), "hash".to_owned()))
            );
            assert_eq!(rows::asked_before(tx, &owner(1), "key")?, None);
            assert_eq!(
                rows::order_of_request(tx, &owner(0), &RequestId("request-1".into()))?,
                Some(more)
            );
            rows::end_order(tx, &order_id(1), Standing::Aborted, None, at(2))?;
            rows::forget_orders(tx, at(3), 10)?;
            assert_eq!(rows::asked_before(tx, &owner(0), "key")?, None);
            Ok(())
        });
    });
}
