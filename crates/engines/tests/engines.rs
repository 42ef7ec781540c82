//! Engines that are made, switched, rolled back, suspended, and go, with real
//! processes.
#![cfg(feature = "testing")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backout_core::code::Code;
use backout_core::outcome::Outcome;
use backout_engines::Refusal;
use backout_engines::model::{EngineState, Operation, Wanted};
use backout_engines::parameters::Fate;

use support::{PARAMETERS_ONE, Stage, Sweep, ask, caller, entry, owner, version};

fn on_stage(test: impl AsyncFn(&Stage)) {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let stage = Stage::open(folder.path());
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
            let view = stage.ended(&asked).await;
            assert_eq!(view.outcome, Some(Outcome::Reverted), "{view:?}");
            assert_eq!(view.error.unwrap().code, Code::EngineUnhealthy);
            let after = stage.engine().await;
            assert_eq!(
                (after.state, &after.instance),
                (EngineState::Running, &before.instance)
            );
            assert_eq!(version(after.port), "one");
            assert_eq!(stage.instances(), [before.instance.clone().unwrap()]);
            assert_eq!(stage.log().await.len(), 1);
        }
    });
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
        new.name = "e".to_owned();
        let refused = stage.engines.create(&caller(), new).await;
        assert!(matches!(refused, Err(Refusal::Taken(_))), "{refused:?}");
    });
}

#[test]
fn one_that_lost_its_instance_is_started_again() {
    on_stage(async |stage| {
        let engine = stage.engine().await;
        let id = engine.instance.clone().unwrap().parse().unwrap();
        let fence = backout_core::fence::Fence(i64::MAX - 1);
        stage
            .runtime
            .processes
            .stop(fence, &id, std::time::Duration::ZERO)
            .unwrap();
        // Not within a minute of the last change.
        assert!(stage.engines.tend().await.unwrap().restarted.is_empty());
        let row = engine.id.clone();
        stage
            .store
            .write(move |tx| {
                tx.execute(
                    "UPDATE engine_changes SET created_ms = 0 WHERE engine = $1",
                    backout_store::params![row.as_str()],
                )
            })
            .await
            .unwrap();
        let tended = stage.engines.tend().await.unwrap();
        assert_eq!(tended.restarted, std::slice::from_ref(&engine.id));
        let page = backout_engines::persistence::Page {
            offset: 0,
            limit: 1,
        };
        for _ in 0..600 {
            let (_, events) = stage
                .engines
                .events(&owner(), "e", (None, None), page)
                .await
                .unwrap();
            if events[0].action.starts_with("Restart") {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert_eq!(version(engine.port), "one");
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
