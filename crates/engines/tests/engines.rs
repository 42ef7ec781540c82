//! Engines that are made, switched, rolled back, suspended, and go, with real
//! processes.
#![cfg(feature = "testing")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backout_core::code::Code;
use backout_core::outcome::Outcome;
use backout_engines::model::{Engine, EngineState, Operation, Wanted};
use backout_engines::parameters::Fate;
use backout_engines::service::Asked;
use backout_engines::{Refusal, Runtime};

use support::{PARAMETERS_ONE, Stage, Sweep, ask, caller, entry, owner, version};

fn on_stage(test: impl AsyncFn(&Stage)) {
    on_stage_with(|_| {}, test);
}

fn on_stage_with(tune: impl FnOnce(&mut Runtime), test: impl AsyncFn(&Stage)) {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let stage = Stage::open_with(folder.path(), tune);
        let _sweep = Sweep(&stage);
        stage.set_up().await;
        let worker = stage.worker().await;
        test(&stage).await;
        worker.stop().await;
    });
}

#[test]
fn a_switch_and_its_rollback_bring_version_and_parameters() {
    on_stage(async |stage| {
        let engines = &stage.engines;
        let before = stage.engine().await;
        assert_eq!(before.state, EngineState::Running);
        let (_, said) = ask(before.port, "x").unwrap();
        assert!(
            said.starts_with("one {\"cluster\":{\"old\":\"x\",\"threads\":\"2\"}"),
            "{said}"
        );

        let wanted = Wanted::Switch {
            image: "two".to_owned(),
        };
        let proposal = engines.propose(&owner(), "e", wanted).await.unwrap();
        assert!(proposal.preflight.passed());
        let fates: Vec<_> = proposal
            .cluster_parameters
            .lines
            .iter()
            .map(|l| (l.name.as_str(), l.fate))
            .collect();
        assert_eq!(
            fates,
            [
                ("new", Fate::Defaulted),
                ("old", Fate::Dropped),
                ("threads", Fate::Kept)
            ]
        );
        assert_eq!(proposal.preflight.warnings[0].code, Code::ParametersChanged);

        stage
            .applied(&engines.switch(&caller(), "e", "two").await.unwrap())
            .await;
        let after = stage.engine().await;
        assert_eq!(
            (after.port, after.state),
            (before.port, EngineState::Running)
        );
        let (_, said) = ask(after.port, "x").unwrap();
        assert!(
            said.starts_with("two {\"cluster\":{\"new\":\"n\",\"threads\":\"2\"}"),
            "{said}"
        );
        assert_eq!(stage.instances(), [after.instance.clone().unwrap()]);

        let check = engines.check_rollback(&owner(), "e").await.unwrap();
        let log = stage.log().await;
        assert_eq!(log[0].operation, Operation::SwitchImage);
        assert_eq!(log[1].operation, Operation::InitImage);
        assert!(check.possible);
        assert_eq!(
            (&check.from, &check.to),
            (&Some(log[1].id.clone()), &Some(log[0].id.clone()))
        );

        // Records that are others' are refused, and empty ones are none.
        let other = log[0].id.to_string();
        let refused = engines.rollback(&caller(), "e", Some(&other), None).await;
        assert!(
            matches!(refused, Err(Refusal::OtherRecords { .. })),
            "{refused:?}"
        );
        let asked = engines
            .rollback(&caller(), "e", Some(log[1].id.as_str()), Some(""))
            .await;
        let rolled_back = asked.unwrap();
        stage.applied(&rolled_back).await;
        let (_, said) = ask(after.port, "x").unwrap();
        assert!(
            said.starts_with("one {\"cluster\":{\"old\":\"x\",\"threads\":\"2\"}"),
            "{said}"
        );
        let newest = stage.log().await.remove(0);
        assert_eq!(newest.operation, Operation::RollbackImage);
        assert_eq!(newest.restored, check.from);

        // A rollback is not rolled back, but its job is undone.
        let check = engines.check_rollback(&owner(), "e").await.unwrap();
        assert!(!check.possible && check.from.is_none() && check.to.is_none());
        let refused = engines.rollback(&caller(), "e", None, None).await;
        assert!(
            matches!(refused, Err(Refusal::NoWayBack { .. })),
            "{refused:?}"
        );
        let undone = engines
            .undo(&caller(), "e", &rolled_back.job)
            .await
            .unwrap();
        stage.applied(&undone).await;
        assert_eq!(version(after.port), "two");
        assert_eq!(stage.log().await[0].operation, Operation::SwitchImage);
    });
}

#[test]
fn a_version_that_does_not_come_up_changes_nothing() {
    on_stage(async |stage| {
        let broken = entry("three", "").replace("\"three\"]", "\"three\", \"broken\"]");
        stage
            .add(&broken.replace("start_s = 20", "start_s = 1"))
            .await;
        let gone = entry("four", "").replace("\"engine\"", "\"no such word\"");
        stage.add(&gone).await;
        let before = stage.engine().await;
        for image in ["three", "four"] {
            let asked = stage.engines.switch(&caller(), "e", image).await.unwrap();
            went_back(stage, &asked, &before).await;
            assert_eq!(stage.instances(), [before.instance.clone().unwrap()]);
            assert_eq!(stage.log().await.len(), 1);
        }
    });
}

/// The version that was asked for was not well, and the one before answers, as it
/// did all the while.
async fn went_back(stage: &Stage, asked: &Asked, before: &Engine) {
    let view = stage.ended(asked).await;
    assert_eq!(view.outcome, Some(Outcome::Reverted), "{view:?}");
    assert_eq!(view.error.unwrap().code, Code::EngineUnhealthy);
    let after = stage.engine().await;
    assert_eq!(
        (after.state, &after.instance),
        (EngineState::Running, &before.instance)
    );
    assert_eq!(version(after.port), "one");
}

#[test]
fn of_two_switches_at_once_one_wins() {
    on_stage(async |stage| {
        stage.add(&entry("three", "")).await;
        let engines = &stage.engines;
        let (one, other) = (caller(), caller());
        let (a, b) = tokio::join!(
            engines.switch(&one, "e", "two"),
            engines.switch(&other, "e", "three")
        );
        let won = match (&a, &b) {
            (Ok(asked), Err(Refusal::Busy { job, .. }))
            | (Err(Refusal::Busy { job, .. }), Ok(asked)) => {
                assert_eq!(job, &asked.job);
                asked
            }
            _ => panic!("{a:?} {b:?}"),
        };
        stage.applied(won).await;
        let answers = version(stage.engine().await.port);
        assert_eq!(answers, if a.is_ok() { "two" } else { "three" });
        assert_eq!(stage.log().await.len(), 2);

        // A call that is repeated asks for nothing more, while its job runs and
        // when it is over.
        let mut keyed = caller();
        keyed.idempotency = Some(backout_jobs::Idempotency {
            key: "k".to_owned(),
            hash: "h".to_owned(),
        });
        let asked = engines.switch(&keyed, "e", "one").await.unwrap();
        let again = engines.switch(&keyed, "e", "one").await.unwrap();
        assert!(again.repeated && !asked.repeated && again.job == asked.job);
        stage.applied(&asked).await;
        let again = engines.switch(&keyed, "e", "one").await.unwrap();
        assert!(again.repeated && again.job == asked.job);
        if let Some(idempotency) = &mut keyed.idempotency {
            idempotency.hash = "other".to_owned();
        }
        let refused = engines.switch(&keyed, "e", "two").await;
        assert!(
            matches!(refused, Err(Refusal::IdempotencyMismatch)),
            "{refused:?}"
        );
        assert_eq!(stage.log().await.len(), 3);

        // From another host it is seen, and not changed.
        let elsewhere = backout_engines::Engines::new(
            stage.store.clone(),
            stage.jobs.clone(),
            Arc::new(backout_core::time::SystemClock),
            Arc::new(backout_core::ids::OsEntropy),
            "another".to_owned(),
            stage.runtime.clone(),
        );
        assert!(elsewhere.show(&owner(), "e").await.is_ok());
        assert!(elsewhere.tend().await.unwrap().restarted.is_empty());
        let refused = elsewhere.switch(&caller(), "e", "two").await;
        assert!(
            matches!(refused, Err(Refusal::Elsewhere { .. })),
            "{refused:?}"
        );
    });
}

#[test]
fn statements_go_on_while_versions_change() {
    on_stage(async |stage| {
        let port = stage.engine().await.port;
        let stop = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..4)
            .map(|n| {
                let stop = Arc::clone(&stop);
                std::thread::spawn(move || {
                    let mut seen = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let (status, text) = ask(port, &format!("sleep {}", n * 30)).unwrap();
                        assert_eq!(status, 200, "{text}");
                        let version = text.split(' ').next().unwrap().to_owned();
                        if seen.last() != Some(&version) {
                            seen.push(version);
                        }
                    }
                    seen
                })
            })
            .collect();
        let engines = &stage.engines;
        stage
            .applied(&engines.switch(&caller(), "e", "two").await.unwrap())
            .await;
        assert_eq!(version(port), "two");
        let asked = engines.rollback(&caller(), "e", None, None).await.unwrap();
        stage.applied(&asked).await;
        assert_eq!(version(port), "one");
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            let seen = client.join().unwrap();
            // Each sees one version after the other, never back and forth.
            assert!(
                ["one", "one two", "one two one", "two one"].contains(&seen.join(" ").as_str()),
                "{seen:?}"
            );
        }
    });
}

#[test]
fn an_engine_is_suspended_resumed_restarted_modified_and_deleted() {
    on_stage(async |stage| {
        let engines = &stage.engines;
        let first = stage.engine().await;
        let port = first.port;
        stage
            .applied(&engines.suspend(&caller(), "e").await.unwrap())
            .await;
        let engine = stage.engine().await;
        assert_eq!(
            (engine.state, engine.instance),
            (EngineState::Suspended, None)
        );
        assert!(stage.instances().is_empty());
        assert_eq!(ask(port, "x").unwrap().0, 503);
        let refused = engines.switch(&caller(), "e", "two").await;
        assert!(
            matches!(
                refused,
                Err(Refusal::State {
                    state: EngineState::Suspended,
                    ..
                })
            ),
            "{refused:?}"
        );

        stage
            .applied(&engines.resume(&caller(), "e").await.unwrap())
            .await;
        assert_eq!(version(port), "one");
        let resumed = stage.engine().await.instance;
        stage
            .applied(&engines.restart(&caller(), "e", false).await.unwrap())
            .await;
        assert_eq!(version(port), "one");
        assert_ne!(stage.engine().await.instance, resumed);
        assert_eq!(
            stage.log().await.len(),
            1,
            "none of this is about the image"
        );

        let pairs = [("threads".to_owned(), "7".to_owned())];
        let asked = engines
            .set_pairs(&caller(), "e", &pairs, None)
            .await
            .unwrap();
        stage.applied(&asked).await;
        let (_, said) = ask(port, "x").unwrap();
        assert!(
            said.starts_with("one {\"cluster\":{\"old\":\"\",\"threads\":\"7\"}"),
            "{said}"
        );
        assert_eq!(stage.log().await[0].operation, Operation::ModifyResource);
        for (name, value) in [("nothing", "1"), ("threads", "many")] {
            let pairs = [(name.to_owned(), value.to_owned())];
            let refused = engines.set_pairs(&caller(), "e", &pairs, None).await;
            assert!(matches!(refused, Err(Refusal::Parameter(_))), "{refused:?}");
        }

        let asked = engines.delete(&caller(), &["e".to_owned()]).await.unwrap();
        stage.applied(&asked[0]).await;
        assert!(matches!(
            engines.get(&owner(), "e").await,
            Err(Refusal::EngineNotFound(_))
        ));
        assert!(stage.instances().is_empty() && ask(port, "x").is_err());
        assert!(!stage.runtime.gateway_folder(&first.id).exists());
    });
}

#[test]
fn minor_versions_come_under_major_ones() {
    on_stage(async |stage| {
        let engines = &stage.engines;
        let child = |version: &str, more: &str| {
            let command = entry(version, "");
            let command = command
                .lines()
                .find(|l| l.starts_with("command"))
                .unwrap()
                .to_owned();
            format!("version = {version:?}\nparent = \"two\"\n{command}\n{more}")
        };
        stage.add(&child("two.1", "")).await;
        stage.add(&child("two.3", "state = \"offline\"")).await;
        let check = engines.check_upgrade(&owner(), "e").await.unwrap();
        assert!(!check.possible && check.child.is_none());
        stage
            .applied(&engines.switch(&caller(), "e", "two").await.unwrap())
            .await;
        let view = engines.show(&owner(), "e").await.unwrap();
        assert_eq!(
            (view.parent.1.as_str(), view.child.unwrap().1.as_str()),
            ("two", "two.1")
        );
        assert_eq!(version(view.engine.port), "two.1");
        let refused = engines.upgrade(&caller(), "e").await;
        assert!(
            matches!(refused, Err(Refusal::NothingNewer(_))),
            "{refused:?}"
        );
        let refused = engines.switch(&caller(), "e", "two.3").await;
        assert!(
            matches!(refused, Err(Refusal::ImageNotOnline { .. })),
            "{refused:?}"
        );
        stage.add(&child("two.2", "")).await;
        assert!(engines.check_upgrade(&owner(), "e").await.unwrap().possible);
        stage
            .applied(&engines.upgrade(&caller(), "e").await.unwrap())
            .await;
        assert_eq!(version(view.engine.port), "two.2");
        assert_eq!(stage.log().await[0].operation, Operation::UpgradeImage);
        let asked = engines.rollback(&caller(), "e", None, None).await.unwrap();
        stage.applied(&asked).await;
        assert_eq!(version(view.engine.port), "two.1");
    });
}

#[test]
fn an_engine_that_cannot_be_made_leaves_nothing() {
    on_stage(async |stage| {
        let broken = entry("three", PARAMETERS_ONE).replace("\"three\"]", "\"three\", \"broken\"]");
        stage
            .add(&broken.replace("start_s = 20", "start_s = 1"))
            .await;
        let mut new =
            backout_engines::service::NewEngine::new("f", backout_engines::model::Kind::DuckDb);
        new.image = Some("three".to_owned());
        let asked = stage.engines.create(&caller(), new.clone()).await.unwrap();
        assert_eq!(stage.ended(&asked).await.outcome, Some(Outcome::Reverted));
        let gone = stage.engines.get(&owner(), "f").await;
        assert!(matches!(gone, Err(Refusal::EngineNotFound(_))), "{gone:?}");
        assert_eq!(stage.instances().len(), 1);
        let gateways = std::fs::read_dir(stage.runtime.folder.join("gateways"));
        assert_eq!(gateways.unwrap().count(), 1, "that of the other engine");
        new.name = "e".to_owned();
        let refused = stage.engines.create(&caller(), new).await;
        assert!(matches!(refused, Err(Refusal::Taken(_))), "{refused:?}");
    });
}

/// Lets the engine be tended as if nobody had changed it for long, and waits for
/// what comes of that.
async fn tended(stage: &Stage) {
    stage
        .store
        .write(|tx| tx.execute("UPDATE engine_changes SET created_ms = 0", &[]))
        .await
        .unwrap();
    let id = stage.engine().await.id;
    let tended = stage.engines.tend().await.unwrap();
    assert_eq!(tended.restarted, [id], "{:?}", tended.troubles);
    let view = stage.engines.show(&owner(), "e").await.unwrap();
    if let Some(holding) = view.holding {
        let view = stage.jobs.wait(&holding.job, support::PATIENCE).await;
        let view = view.unwrap();
        assert_eq!(view.outcome, Some(Outcome::Applied), "{view:?}");
    }
}

#[test]
fn what_is_lost_of_an_engine_is_started_again() {
    on_stage(async |stage| {
        let engine = stage.engine().await;
        stage.crash_instance(engine.instance.as_ref().unwrap());
        // Not within a minute of the last change.
        assert!(stage.engines.tend().await.unwrap().restarted.is_empty());
        tended(stage).await;
        assert_eq!(version(engine.port), "one");
        let mended = stage.engine().await.instance;
        assert_ne!(mended, engine.instance);

        // The process on its endpoint alone: the instance goes on.
        stage.crash_gateway(&engine);
        assert!(ask(engine.port, "x").is_err());
        tended(stage).await;
        assert_eq!(version(engine.port), "one");
        assert_eq!(stage.engine().await.instance, mended);

        // All of it, as after the host was restarted, and the version is gone
        // offline meanwhile: what ran runs again.
        stage.crash_instance(mended.as_ref().unwrap());
        stage.crash_gateway(&engine);
        let offline = entry("one", &format!("state = \"offline\"\n{PARAMETERS_ONE}"));
        stage.add(&offline).await;
        tended(stage).await;
        assert_eq!(version(engine.port), "one");
        assert_eq!(
            stage.log().await.len(),
            1,
            "none of this is about the image"
        );
        // There is nothing to do any more.
        stage
            .store
            .write(|tx| tx.execute("UPDATE engine_changes SET created_ms = 0", &[]))
            .await
            .unwrap();
        assert!(stage.engines.tend().await.unwrap().restarted.is_empty());
    });
}

#[test]
fn one_that_ends_right_after_it_came_up_gives_way_to_the_old_one() {
    on_stage_with(
        |runtime| runtime.settle_ms = 20_000,
        async |stage| {
            let mayfly = entry("three", "").replace("\"three\"]", "\"three\", \"dies\", \"5\"]");
            stage.add(&mayfly).await;
            let before = stage.engine().await;
            let asked = stage.engines.switch(&caller(), "e", "three").await.unwrap();
            went_back(stage, &asked, &before).await;
            assert_eq!(stage.log().await.len(), 1);
        },
    );
}

#[test]
fn when_neither_can_be_had_the_job_is_held_until_one_can() {
    on_stage(async |stage| {
        let engines = &stage.engines;
        // Both need a file, and there is no memory for both at once.
        let file = stage.folder.join("wanted");
        let needs = |version: &str, more: &str| {
            let path = file.to_string_lossy();
            let command = entry(version, more);
            command.replace(
                "command = [",
                &format!("command = [\"sh\", \"-c\", 'test -e {path} && exec \"$@\"', \"x\", "),
            )
        };
        std::fs::write(&file, "").unwrap();
        stage.add(&needs("h1", "")).await;
        stage.add(&needs("h2", "memory_mb = 99999999\n")).await;
        let asked = engines.switch(&caller(), "e", "h1").await.unwrap();
        stage.applied(&asked).await;
        std::fs::remove_file(&file).unwrap();
        let wanted = Wanted::Switch {
            image: "h2".to_owned(),
        };
        let proposal = engines.propose(&owner(), "e", wanted).await.unwrap();
        assert_eq!(proposal.beside, Some(false));
        assert_eq!(proposal.preflight.warnings[0].code, Code::Interruption);
        let asked = engines.switch(&caller(), "e", "h2").await.unwrap();
        let view = stage.ended(&asked).await;
        assert_eq!(view.outcome, Some(Outcome::Held), "{view:?}");
        let engine = stage.engine().await;
        assert_eq!(engine.state, EngineState::Failed);
        let page = backout_engines::persistence::Page {
            offset: 0,
            limit: 1,
        };
        let events = engines.events(&owner(), "e", (None, None), page).await;
        let event = events.unwrap().1.remove(0);
        assert_eq!(event.action, "SwitchImageHeld");
        let next = format!("next: backout jobs retry {}", asked.job);
        assert!(event.message.ends_with(&next), "{}", event.message);
        for refused in [
            engines.delete(&caller(), &["e".to_owned()]).await.err(),
            engines.rollback(&caller(), "e", None, None).await.err(),
            engines.suspend(&caller(), "e").await.err(),
        ] {
            assert!(
                matches!(&refused, Some(Refusal::Busy { job, .. }) if *job == asked.job),
                "{refused:?}"
            );
        }
        // It is nobody's to start again meanwhile.
        assert!(engines.tend().await.unwrap().restarted.is_empty());

        std::fs::write(&file, "").unwrap();
        stage.jobs.retry(&asked.job).await.unwrap();
        let view = stage
            .jobs
            .wait(&asked.job, support::PATIENCE)
            .await
            .unwrap();
        assert_eq!(view.outcome, Some(Outcome::Reverted), "{view:?}");
        let engine = stage.engine().await;
        assert_eq!(engine.state, EngineState::Running);
        assert_eq!(version(engine.port), "h1");
        assert_eq!(stage.log().await.len(), 2);
    });
}

#[test]
fn a_statement_that_takes_too_long_is_broken_off() {
    on_stage_with(
        |runtime| runtime.drain_ms = 300,
        async |stage| {
            let port = stage.engine().await.port;
            let slow = std::thread::spawn(move || ask(port, "sleep 50000"));
            let client = stage.runtime.gateway(&stage.engine().await.id).unwrap();
            loop {
                let status = client.status().await.unwrap();
                if status.backends.iter().any(|b| !b.is_drained()) {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            let asked = stage.engines.switch(&caller(), "e", "two").await.unwrap();
            stage.applied(&asked).await;
            assert_eq!(version(port), "two");
            // One clear answer, or the end of the connection; never a wrong one.
            match slow.join().unwrap() {
                Ok((status, text)) => assert!(matches!(status, 502..=504), "{status} {text}"),
                Err(e) => assert!(e.kind() != std::io::ErrorKind::WouldBlock, "{e}"),
            }
        },
    );
}

#[test]
fn one_that_is_spoken_to_otherwise_takes_over_the_endpoint() {
    on_stage(async |stage| {
        stage.add(&asked("c1", "thrift")).await;
        let port = stage.engine().await.port;
        let engines = &stage.engines;
        let switch = engines.switch(&caller(), "e", "c1").await.unwrap();
        stage.applied(&switch).await;
        let view = engines.show(&owner(), "e").await.unwrap();
        assert_eq!(view.endpoint, format!("thrift://127.0.0.1:{port}"));
        assert_eq!(Connection::to(port).version(), "c1");
        let back = engines.rollback(&caller(), "e", None, None).await.unwrap();
        stage.applied(&back).await;
        assert_eq!(version(port), "one");
        let view = engines.show(&owner(), "e").await.unwrap();
        assert_eq!(view.endpoint, format!("http://127.0.0.1:{port}"));
    });
}

#[test]
fn images_for_python_programs_are_switched_to_and_go_along_with_an_upgrade() {
    on_stage(async |stage| {
        let engines = &stage.engines;
        let under = |version: &str, parent: &str, more: &str| {
            let whole = entry(version, "");
            let command = whole.lines().find(|l| l.starts_with("command")).unwrap();
            format!("version = {version:?}\nparent = {parent:?}\n{command}\n{more}")
        };
        let python = "level = \"pyspark\"\n";
        stage.add(&under("two.1", "two", "")).await;
        // One that says nothing of its own, and one that is started otherwise.
        let bare = "version = \"py\"\nparent = \"two.1\"\nlevel = \"pyspark\"\n";
        stage.add(bare).await;
        stage.add(&under("py2", "two.1", python)).await;
        let switch = engines.switch(&caller(), "e", "py").await.unwrap();
        stage.applied(&switch).await;
        let view = engines.show(&owner(), "e").await.unwrap();
        assert_eq!(view.python.unwrap().1, "py");
        assert_eq!(view.child.clone().unwrap().1, "two.1");
        let port = view.engine.port;
        assert_eq!(version(port), "two.1");
        let refused = engines.switch(&caller(), "e", "py").await;
        assert!(
            matches!(refused, Err(Refusal::SameImage { .. })),
            "{refused:?}"
        );
        let switch = engines.switch(&caller(), "e", "py2").await.unwrap();
        stage.applied(&switch).await;
        assert_eq!(version(port), "py2");
        let child = view.child.unwrap().0.parse().unwrap();
        let images = engines.python_images(&owner(), &child).await.unwrap();
        let names: Vec<_> = images.iter().map(|i| i.version.as_str()).collect();
        assert_eq!(names, ["py", "py2"]);

        stage.add(&under("two.2", "two", "")).await;
        let upgrade = engines.upgrade(&caller(), "e").await.unwrap();
        stage.applied(&upgrade).await;
        let view = engines.show(&owner(), "e").await.unwrap();
        assert_eq!((view.python, version(port).as_str()), (None, "two.2"));
        let back = engines.rollback(&caller(), "e", None, None).await.unwrap();
        stage.applied(&back).await;
        let view = engines.show(&owner(), "e").await.unwrap();
        assert_eq!(view.python.unwrap().1, "py2");
        assert_eq!(version(port), "py2");
        stage.add(&under("py2", "two.2", python)).await;
        let upgrade = engines.upgrade(&caller(), "e").await.unwrap();
        stage.applied(&upgrade).await;
        let view = engines.show(&owner(), "e").await.unwrap();
        assert_eq!(view.child.unwrap().1, "two.2");
        assert_eq!(view.python.unwrap().1, "py2");
    });
}

#[test]
fn what_contradicts_itself_is_not_made_and_a_proposal_says_what_would_be() {
    on_stage(async |stage| {
        use backout_engines::model::{Kind, Mode, Tag};
        use backout_engines::service::NewEngine;
        let engines = &stage.engines;
        let new = || {
            let mut new = NewEngine::new("f", Kind::DuckDb);
            new.image = Some("one".to_owned());
            new
        };
        type Spoil = fn(&mut NewEngine);
        let cases: [(Spoil, Code); 8] = [
            (
                |n| n.exec_type = Some("STREAM".to_owned()),
                Code::BadRequest,
            ),
            (
                |n| n.exec_type = Some("BATCH".to_owned()),
                Code::ImageMismatch,
            ),
            (|n| n.pay_mode = Some(1), Code::BadRequest),
            (|n| n.kind = Kind::SparkSql, Code::ImageMismatch),
            (
                |n| {
                    n.tags = vec![Tag {
                        key: String::new(),
                        value: String::new(),
                    }];
                },
                Code::BadRequest,
            ),
            (
                |n| n.config.template = Some("x".repeat(20_000).into()),
                Code::BadRequest,
            ),
            (|n| n.image = Some("none".to_owned()), Code::NotFound),
            (|n| n.size = 0, Code::BadRequest),
        ];
        for (n, (spoil, code)) in cases.into_iter().enumerate() {
            let mut bad = new();
            spoil(&mut bad);
            let refused = engines.create(&caller(), bad.clone()).await.unwrap_err();
            assert_eq!(refused.code(), code, "{n}: {refused}");
            let same = engines.propose_create(&caller(), bad).await.unwrap_err();
            assert_eq!(same.to_string(), refused.to_string(), "{n}");
        }
        let mut fine = new();
        (fine.mode, fine.pay_mode) = (Mode::Monthly, Some(1));
        let proposal = engines.propose_create(&caller(), fine).await.unwrap();
        assert_eq!(proposal.to.unwrap().launch.version, "one");
        assert!(proposal.from.is_none() && proposal.beside.is_none());
        assert!(engines.get(&owner(), "f").await.is_err(), "nothing is made");
    });
}

/// An entry of an engine that is asked a statement before it counts as up.
fn asked(version: &str, driver: &str) -> String {
    entry(version, "").replace("health_http = \"/health\"", "health_sql = \"SELECT 1\"")
        + &format!(
            "driver = {driver:?}\nclient = [\"python3\", \"{{assets}}/ask/http_sql.py\", \"{{port}}\", \"{{sql}}\"]\n"
        )
}

#[test]
fn an_engine_is_asked_a_statement_before_it_counts_as_up() {
    on_stage(async |stage| {
        stage.add(&asked("three", "http")).await;
        let asked = stage.engines.switch(&caller(), "e", "three").await.unwrap();
        stage.applied(&asked).await;
        assert_eq!(version(stage.engine().await.port), "three");
        // It listens, and does not answer statements.
        let deaf = self::asked("four", "http").replace("\"four\"]", "\"four\", \"broken\"]");
        stage
            .add(&deaf.replace("start_s = 20", "start_s = 1"))
            .await;
        let asked = stage.engines.switch(&caller(), "e", "four").await.unwrap();
        assert_eq!(stage.ended(&asked).await.outcome, Some(Outcome::Reverted));
        assert_eq!(version(stage.engine().await.port), "three");
    });
}

#[test]
fn connections_of_other_protocols_stay_with_the_version_that_they_began_with() {
    on_stage(async |stage| {
        let engines = &stage.engines;
        stage.add(&asked("c1", "thrift")).await;
        stage.add(&asked("c2", "thrift")).await;
        let mut new =
            backout_engines::service::NewEngine::new("c", backout_engines::model::Kind::DuckDb);
        new.image = Some("c1".to_owned());
        stage
            .applied(&engines.create(&caller(), new).await.unwrap())
            .await;
        let view = engines.show(&owner(), "c").await.unwrap();
        let port = view.engine.port;
        assert_eq!(view.endpoint, format!("thrift://127.0.0.1:{port}"));
        let mut open = Connection::to(port);
        assert_eq!(open.version(), "c1");
        let asked = engines.switch(&caller(), "c", "c2").await.unwrap();
        // Until the endpoint is moved, which waits for nobody.
        while Connection::to(port).version() != "c2" {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert_eq!(open.version(), "c1", "it goes on");
        let running = stage.jobs.get(&asked.job).await.unwrap();
        assert!(
            !running.is_done(),
            "it waits for the connection: {running:?}"
        );
        drop(open);
        stage.applied(&asked).await;
        assert_eq!(Connection::to(port).version(), "c2");
    });
}

/// A connection on which several statements are asked.
struct Connection(std::io::BufReader<std::net::TcpStream>);

impl Connection {
    fn to(port: u16) -> Self {
        let stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
        Self(std::io::BufReader::new(stream))
    }

    fn version(&mut self) -> String {
        use std::io::{BufRead as _, Read as _, Write as _};
        let stream = self.0.get_mut();
        stream
            .write_all(b"POST /sql HTTP/1.1\r\nContent-Length: 1\r\n\r\nx")
            .unwrap();
        let mut length = 0;
        loop {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).unwrap(), 0, "it was closed");
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        let text = String::from_utf8(body).unwrap();
        text.split(' ').next().unwrap().to_owned()
    }
}
