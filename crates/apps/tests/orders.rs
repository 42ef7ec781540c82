//! Orders from the call to their end, with a worker and a driver.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeMap;

use backout_apps::model::{ApplicationState, OrderKind, Standing};
use backout_apps::persistence::{ApplicationFilter, Page};
use backout_apps::{How, Wanted};
use backout_core::code::Code;
use backout_core::outcome::Outcome;
use backout_rollout::Go;
use support::*;

const AUTO: Go = Go::Auto { wait_s: Some(0) };

fn run(test: impl AsyncFnOnce(House)) {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test(House::open(folder.path())));
}

/// The fewest that were ready after something was stopped, from line `from` of
/// the log on.
fn fewest(house: &House, from: usize) -> usize {
    let log = house.files.log();
    let stops = log[from..].iter().filter(|(what, ..)| what == "stop");
    stops.map(|(.., ready)| *ready).min().unwrap_or(usize::MAX)
}

#[test]
fn every_kind_of_order_does_what_it_says() {
    run(async |house| {
        let worker = house.worker(4).await;
        let first = house.create("shop", "v1", 3).await;
        let app = first.application.clone();
        let order = house.over(&first).await;
        assert_eq!(
            (order.kind, order.standing),
            (OrderKind::Create, Standing::Succeeded)
        );
        house.has(&app, "v1", 3).await;
        let (v1, v2) = ("v1", "v2");
        let some = |house: &House| house.files.instances().into_keys().next().unwrap();
        type Made = fn(&str) -> Wanted;
        let steps: [(&str, Made, &str, usize); 12] = [
            ("deploy", |_| deploy("v2", 4), v2, 4),
            ("rescale up", |_| Wanted::Rescale(6), v2, 6),
            ("rescale down", |_| Wanted::Rescale(3), v2, 3),
            ("restart", |_| Wanted::Restart, v2, 3),
            (
                "restart one",
                |id| Wanted::RestartReplicas(vec![id.to_owned()]),
                v2,
                3,
            ),
            (
                "remove one",
                |id| Wanted::RemoveReplicas(vec![id.to_owned()]),
                v2,
                2,
            ),
            ("stop", |_| Wanted::Stop, v2, 0),
            ("start", |_| Wanted::Start, v2, 2),
            (
                "resize",
                |_| Wanted::Resize {
                    cpu_millis: Some(500),
                    memory_bytes: None,
                },
                v2,
                2,
            ),
            (
                "roll back",
                |_| Wanted::Rollback {
                    to: Some("1".to_owned()),
                },
                v1,
                3,
            ),
            (
                "roll back to the resized one",
                |_| Wanted::Rollback {
                    to: Some("3".to_owned()),
                },
                v2,
                2,
            ),
            ("rescale to none", |_| Wanted::Rescale(0), v2, 0),
        ];
        for (name, wanted, image, count) in steps {
            let before = house.files.instances();
            let id = before.keys().next().cloned().unwrap_or_default();
            let asked = house.ask("shop", wanted(&id), &How::default()).await;
            let order = house.over(&asked).await;
            assert_eq!(order.standing, Standing::Succeeded, "{name}: {order:?}");
            house.has(&app, image, count).await;
            let now = house.application(&app).await.unwrap();
            let state = match name {
                "stop" => ApplicationState::Stopped,
                _ => ApplicationState::Running,
            };
            assert_eq!(now.state, state, "{name}");
            let kept: Vec<&String> = before
                .keys()
                .filter(|id| house.files.instances().contains_key(*id))
                .collect();
            match name {
                "rescale up" => assert_eq!(kept.len(), 4),
                "rescale down" => assert_eq!(kept.len(), 3),
                "restart one" => assert!(kept.len() == 2 && !kept.contains(&&id)),
                "remove one" => assert!(kept.len() == 2 && !kept.contains(&&id)),
                _ => assert_eq!(kept.len(), 0, "{name}"),
            }
        }
        let asked = house.ask("shop", Wanted::Rescale(1), &How::default()).await;
        house.over(&asked).await;
        assert!(!some(&house).is_empty());
        let asked = house.ask("shop", Wanted::Delete, &How::default()).await;
        let job = asked.job.clone().unwrap();
        let view = house.jobs.wait(&job, PATIENCE).await.unwrap();
        assert_eq!(view.outcome, Some(Outcome::Applied), "{view:?}");
        assert_eq!(house.application(&app).await, None);
        assert_eq!(house.files.instances(), BTreeMap::new());
        worker.stop().await;
    });
}

#[test]
fn batches_hold_the_floor_and_touch_each_replica_once() {
    run(async |house| {
        let worker = house.worker(4).await;
        let app = house.create("shop", "v1", 6).await;
        house.over(&app).await;
        let from = house.files.log().len();
        let asked = house.ask("shop", deploy("v2", 6), &gray(2, AUTO, 4)).await;
        let order = house.over(&asked).await;
        assert_eq!(order.standing, Standing::Succeeded);
        house.has(&asked.application, "v2", 6).await;
        assert_eq!(fewest(&house, from), 4);
        let mut times: BTreeMap<(String, String), usize> = BTreeMap::new();
        for (what, id, ..) in &house.files.log()[from..] {
            *times.entry((what.clone(), id.clone())).or_default() += 1;
        }
        assert_eq!(times.len(), 12);
        assert!(times.values().all(|n| *n == 1), "{times:?}");
        worker.stop().await;
    });
}

#[test]
fn batches_wait_for_words_and_take_nobodys_place() {
    run(async |house| {
        // One place only.
        let worker = house.worker(1).await;
        house.over(&house.create("shop", "v1", 4).await).await;
        let asked = house
            .ask("shop", deploy("v2", 4), &gray(2, Go::Manual, 2))
            .await;
        house.stands(&asked, Standing::WaitsForConfirm).await;
        assert_eq!(house.files.images()["v2"], 1);
        // Others go on meanwhile.
        let other = house.create("other", "o1", 1).await;
        assert_eq!(house.over(&other).await.standing, Standing::Succeeded);
        let id = asked.order.as_str();
        house.apps.confirm_order(&caller(), id, true).await.unwrap();
        house.stands(&asked, Standing::WaitsForConfirm).await;
        // A stop of the worker is no word, and does not wait for one.
        worker.stop().await;
        let worker = house.worker(1).await;
        let order = house.order(&asked).await;
        assert_eq!(order.standing, Standing::WaitsForConfirm);
        // Nobody waits for the first batch any more.
        let before = house.files.images();
        house
            .apps
            .confirm_order(&caller(), id, false)
            .await
            .unwrap();
        let order = house.over(&asked).await;
        assert_eq!(order.standing, Standing::Aborted);
        assert_eq!(house.files.images(), before);
        let job = house.jobs.get(&asked.job.clone().unwrap()).await.unwrap();
        assert_eq!(job.outcome, Some(Outcome::Reverted));
        worker.stop().await;
    });
}

#[test]
fn a_batch_that_fails_waits_for_a_word_with_the_floor_held() {
    run(async |house| {
        let worker = house.worker(2).await;
        let first = house.create("shop", "v1", 4).await;
        house.over(&first).await;
        for rule in ["crash", "refuse"] {
            let image = format!("bad-{rule}");
            house.files.set_rule(&image, Some(rule));
            let from = house.files.log().len();
            let asked = house
                .ask("shop", deploy(&image, 4), &gray(1, AUTO, 3))
                .await;
            let order = house.stands(&asked, Standing::Stuck).await;
            assert!(order.ended.is_none());
            assert!(fewest(&house, from) >= 3, "{:?}", house.files.log());
            // A stuck order stays so over a restart.
            let id = asked.order.as_str();
            house.files.set_rule(&image, None);
            house.apps.retry(&caller(), id).await.unwrap();
            assert_eq!(house.over(&asked).await.standing, Standing::Succeeded);
            house.has(&first.application, &image, 4).await;
            assert!(fewest(&house, from) >= 3, "{:?}", house.files.log());
        }
        // Or it is ended: what serves is left alone.
        house.files.set_rule("worse", Some("crash"));
        let asked = house
            .ask("shop", deploy("worse", 4), &gray(1, AUTO, 3))
            .await;
        house.stands(&asked, Standing::Stuck).await;
        let id = asked.order.as_str();
        house.apps.abort(&caller(), id).await.unwrap();
        assert_eq!(house.over(&asked).await.standing, Standing::Aborted);
        assert_eq!(house.files.images()["bad-refuse"], 3);
        worker.stop().await;
    });
}

#[test]
fn an_order_is_taken_back_in_the_middle() {
    run(async |house| {
        let worker = house.worker(2).await;
        let first = house.create("shop", "v1", 5).await;
        house.over(&first).await;
        let from = house.files.log().len();
        let asked = house
            .ask("shop", deploy("v2", 5), &gray(2, Go::Manual, 4))
            .await;
        house.stands(&asked, Standing::WaitsForConfirm).await;
        let id = asked.order.as_str();
        let back = house.apps.abort_and_back(&caller(), id).await.unwrap();
        assert_eq!(house.over(&asked).await.standing, Standing::Aborted);
        let back = house.order_by_id(back.as_str()).await;
        assert_eq!(
            (back.kind, back.standing, back.takes_back.as_ref()),
            (OrderKind::Rollback, Standing::Succeeded, Some(&asked.order))
        );
        house.has(&first.application, "v1", 5).await;
        assert!(fewest(&house, from) >= 4);
        let app = house.application(&first.application).await.unwrap();
        assert_eq!(app.version, first.version);
        // The next order finds nothing in its way.
        let asked = house.ask("shop", deploy("v3", 5), &How::default()).await;
        assert_eq!(house.over(&asked).await.standing, Standing::Succeeded);
        worker.stop().await;
    });
}

#[test]
fn a_job_that_is_cancelled_ends_its_order() {
    run(async |house| {
        let worker = house.worker(2).await;
        let first = house.create("shop", "v1", 4).await;
        house.over(&first).await;
        let asked = house
            .ask("shop", deploy("v2", 4), &gray(2, Go::Manual, 2))
            .await;
        house.stands(&asked, Standing::WaitsForConfirm).await;
        let before = house.files.images();
        let job = asked.job.clone().unwrap();
        house.jobs.request_cancel(&job).await.unwrap();
        assert_eq!(house.over(&asked).await.standing, Standing::Aborted);
        assert_eq!(house.files.images(), before);
        worker.stop().await;
    });
}

#[test]
fn what_cannot_be_done_when_its_turn_comes_changes_nothing() {
    run(async |house| {
        let worker = house.worker(2).await;
        let first = house.create("shop", "v1", 2).await;
        house.over(&first).await;
        worker.stop().await;
        // Refused by its job, since the service began to be upgraded meanwhile.
        let asked = house.ask("shop", deploy("v2", 2), &How::default()).await;
        house
            .store
            .write::<_, backout_store::Error>(|tx| {
                let mut settings = backout_apps::persistence::service_settings(tx)?;
                settings.upgrading = true;
                backout_apps::persistence::set_service_settings(tx, &settings)
            })
            .await
            .unwrap();
        let worker = house.worker(2).await;
        let order = house.over(&asked).await;
        assert_eq!(order.standing, Standing::Failed);
        assert_ne!(order.error.unwrap().0, Code::Internal);
        house.has(&first.application, "v1", 2).await;
        let app = house.application(&first.application).await.unwrap();
        assert_eq!(app.version, first.version);
        worker.stop().await;
    });
}

#[test]
fn what_was_lost_runs_again_by_itself() {
    run(async |house| {
        let worker = house.worker(2).await;
        let first = house.create("shop", "v1", 3).await;
        house.over(&first).await;
        assert_eq!(house.apps.tend().await.unwrap().mending, []);
        let id = house.files.instances().into_keys().next().unwrap();
        for state in ["lost", "ended"] {
            house.files.make(&id, state);
            let mut tended = house.apps.tend().await.unwrap();
            let job = tended.mending.pop().unwrap();
            let view = house.jobs.wait(&job, PATIENCE).await.unwrap();
            assert_eq!(view.outcome, Some(Outcome::Applied), "{view:?}");
            house.has(&first.application, "v1", 3).await;
            // All is well: it may be mended at once when it is not.
            assert_eq!(house.apps.tend().await.unwrap().mending, []);
        }
        // Within an order it is the order that sees to it.
        let asked = house
            .ask("shop", deploy("v2", 3), &gray(1, Go::Manual, 1))
            .await;
        house.stands(&asked, Standing::WaitsForConfirm).await;
        let there = house.files.instances();
        let (id, _) = there.iter().find(|(_, (image, _))| image == "v2").unwrap();
        house.files.make(id, "lost");
        assert_eq!(house.apps.tend().await.unwrap().mending, []);
        let order = asked.order.as_str();
        house
            .apps
            .confirm_order(&caller(), order, true)
            .await
            .unwrap();
        assert_eq!(house.over(&asked).await.standing, Standing::Succeeded);
        house.has(&first.application, "v2", 3).await;
        worker.stop().await;
    });
}

#[test]
fn what_was_lost_runs_again_while_an_order_waits_for_approval() {
    run(async |house| {
        let worker = house.worker(2).await;
        let first = house.create("shop", "v1", 2).await;
        house.over(&first).await;
        let mut asking = caller();
        asking.account = "acct_bbbbbbbbbbbb".parse().unwrap();
        asking.approval = Some("statement 1".to_owned());
        let apps = &house.apps;
        let how = How::default();
        let asked = apps.order(&asking, "shop", deploy("v2", 2), &how).await;
        let asked = asked.unwrap();
        assert!(asked.needs_approval);
        // It may wait for days; until then all is as it was.
        let id = house.files.instances().into_keys().next().unwrap();
        house.files.make(&id, "lost");
        let mut tended = apps.tend().await.unwrap();
        let job = tended.mending.pop().unwrap();
        let view = house.jobs.wait(&job, PATIENCE).await.unwrap();
        assert_eq!(view.outcome, Some(Outcome::Applied), "{view:?}");
        house.has(&first.application, "v1", 2).await;
        let approved = apps.approve(&caller(), asked.order.as_str()).await.unwrap();
        assert_eq!(house.over(&approved).await.standing, Standing::Succeeded);
        house.has(&first.application, "v2", 2).await;
        worker.stop().await;
    });
}

#[test]
fn a_list_has_of_each_application_what_is_its_own() {
    run(async |house| {
        let worker = house.worker(2).await;
        let shop = house.create("shop", "v1", 2).await;
        house.over(&shop).await;
        let stall = house.create("stall", "w1", 1).await;
        house.over(&stall).await;
        let asked = house
            .ask("shop", deploy("v2", 2), &gray(1, Go::Manual, 1))
            .await;
        house.stands(&asked, Standing::WaitsForConfirm).await;
        let page = Page {
            offset: 0,
            limit: 10,
        };
        let apps = &house.apps;
        let (_, found) = apps
            .list(&caller().owner, ApplicationFilter::default(), page)
            .await
            .unwrap();
        let names: Vec<String> = found.iter().map(|a| a.name.clone()).collect();
        let views = apps.views(found).await.unwrap();
        let shown: Vec<&String> = views.iter().map(|v| &v.application.name).collect();
        assert_eq!(
            shown,
            names.iter().collect::<Vec<_>>(),
            "as they were found"
        );
        for view in &views {
            let (id, name) = (&view.application.id, view.application.name.as_str());
            let alone = apps.replicas(&caller().owner, id.as_str()).await.unwrap();
            assert_eq!(view.replicas, alone, "{name}");
            let version = apps.version_of(&caller().owner, id.as_str(), None).await;
            assert_eq!(view.version, version.ok(), "{name}");
            let order = view.order.as_ref().map(|order| &order.id);
            let expect = (name == "shop").then_some(&asked.order);
            assert_eq!(order, expect, "{name}");
            assert_eq!(view.rules, [], "{name}");
        }
        let order = asked.order.as_str();
        apps.abort(&caller(), order).await.unwrap();
        house.over(&asked).await;
        worker.stop().await;
    });
}
