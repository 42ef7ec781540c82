//! Every change of an engine, failed, repeated, cancelled and killed at every
//! step, with real processes.
#![cfg(feature = "testing")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::path::Path;

use backout_core::ids::JobId;
use backout_core::outcome::Outcome;
use backout_engines::Refusal;
use backout_engines::model::{Config, EngineState, Kind, Operation, Wanted};
use backout_engines::persistence::Page;
use backout_engines::procedures::change::ChangeEngine;
use backout_engines::service::NewEngine;
use backout_jobs::harness::{Ended, Matrix, Scenario, World};
use backout_jobs::{JobView, Jobs, Registry};

use support::{NODE, Stage, Sweep, ask, caller, owner, version};

struct Host(Stage);

impl World for Host {
    async fn open(folder: &Path) -> Self {
        Self(Stage::open(folder))
    }

    fn jobs(&self) -> &Jobs {
        &self.0.jobs
    }

    fn registry(&self) -> Registry {
        self.0.registry()
    }

    fn node(&self) -> &str {
        NODE
    }
}

/// As [`Host`], for changes only: what takes engines away has cases enough.
struct Changer(Host);

impl World for Changer {
    async fn open(folder: &Path) -> Self {
        Self(Host::open(folder).await)
    }

    fn jobs(&self) -> &Jobs {
        self.0.jobs()
    }

    fn registry(&self) -> Registry {
        Registry::new().with(ChangeEngine(self.0.0.runtime.clone()))
    }

    fn node(&self) -> &str {
        NODE
    }
}

impl Scenario<Changer> for Changes {
    fn procedure(&self) -> &'static str {
        <Self as Scenario<Host>>::procedure(self)
    }

    async fn set_up(&self, world: &Changer) {
        Scenario::set_up(self, &world.0).await;
    }

    async fn submit(&self, world: &Changer) -> JobId {
        Scenario::submit(self, &world.0).await
    }

    async fn check(&self, world: &Changer, ended: &Ended) {
        Scenario::check(self, &world.0, ended).await;
    }
}

/// One change of the engine `e`, which runs `one`; or what makes the engine `f`.
struct Changes(Wanted);

impl Changes {
    /// What answers before; none when nothing does.
    fn before(&self) -> Option<&'static str> {
        match &self.0 {
            Wanted::Rollback { .. } => Some("two"),
            Wanted::Upgrade => Some("two.1"),
            Wanted::Resume | Wanted::Create => None,
            _ => Some("one"),
        }
    }

    /// What answers when it is applied.
    fn after(&self) -> Option<&'static str> {
        match &self.0 {
            Wanted::Switch { .. } => Some("two"),
            Wanted::Upgrade => Some("two.2"),
            Wanted::Suspend | Wanted::Delete => None,
            _ => Some("one"),
        }
    }

    /// What is recorded of it, and how many records there are before.
    fn record(&self) -> (Option<Operation>, usize) {
        let before = match self.0 {
            Wanted::Rollback { .. } | Wanted::Upgrade => 2,
            Wanted::Create => 0,
            _ => 1,
        };
        (self.0.kind().operation(), before)
    }

    fn engine(&self) -> &'static str {
        match self.0 {
            Wanted::Create => "f",
            _ => "e",
        }
    }
}

/// A minor version under `two`.
fn minor(version: &str) -> String {
    let own = support::entry(version, "");
    let command = own.lines().find(|l| l.starts_with("command")).unwrap();
    format!("version = {version:?}\nparent = \"two\"\n{command}\n")
}

impl Scenario<Host> for Changes {
    fn procedure(&self) -> &'static str {
        match self.0 {
            Wanted::Delete => "engines.delete",
            _ => "engines.change",
        }
    }

    async fn set_up(&self, host: &Host) {
        let (stage, caller) = (&host.0, caller());
        stage.set_up().await;
        let engines = &stage.engines;
        if self.0 == Wanted::Upgrade {
            stage.add(&minor("two.1")).await;
        }
        let worker = stage.worker().await;
        let before = match self.0 {
            Wanted::Rollback { .. } | Wanted::Upgrade => {
                Some(engines.switch(&caller, "e", "two").await)
            }
            Wanted::Resume => Some(engines.suspend(&caller, "e").await),
            _ => None,
        };
        if let Some(asked) = before {
            stage.applied(&asked.unwrap()).await;
        }
        worker.stop().await;
        if self.0 == Wanted::Upgrade {
            stage.add(&minor("two.2")).await;
        }
        if self.0 == Wanted::Mend {
            // As after the host was restarted.
            let engine = stage.engine().await;
            stage.crash_instance(engine.instance.as_ref().unwrap());
            stage.crash_gateway(&engine);
        }
    }

    async fn submit(&self, host: &Host) -> JobId {
        let (caller, engines) = (caller(), &host.0.engines);
        let wanted = match self.0.clone() {
            Wanted::Create => {
                let mut new = NewEngine::new("f", Kind::DuckDb);
                new.image = Some("one".to_owned());
                return engines.create(&caller, new).await.unwrap().job;
            }
            other => other,
        };
        engines.change(&caller, "e", wanted).await.unwrap().job
    }

    async fn check(&self, host: &Host, ended: &Ended) {
        let stage = &host.0;
        let _sweep = Sweep(stage);
        let applied = ended.outcome == Outcome::Applied;
        let others = usize::from(self.engine() == "f");
        let found = stage.engines.get(&owner(), self.engine()).await;
        let gone = match applied {
            true => self.0 == Wanted::Delete,
            false => self.0 == Wanted::Create,
        };
        assert_eq!(found.is_err(), gone, "{found:?}");
        let gateways = stage.runtime.folder.join("gateways");
        let folders = std::fs::read_dir(gateways).unwrap().count();
        if gone {
            assert_eq!((stage.instances().len(), folders), (others, others));
            return;
        }
        assert_eq!(folders, 1 + others);
        let engine = found.unwrap();
        let answers = match applied {
            true => self.after(),
            false => self.before(),
        };
        match answers {
            // It lost its instance before, and that was not mended.
            Some(_) if self.0 == Wanted::Mend && !applied => {
                assert_eq!(engine.state, EngineState::Running);
            }
            Some(answers) => {
                assert_eq!(engine.state, EngineState::Running);
                assert_eq!(version(engine.port), answers);
                let mut instances = stage.instances();
                assert_eq!(instances.len(), 1 + others);
                instances.retain(|id| Some(id) == engine.instance.as_ref());
                assert_eq!(instances.len(), 1);
            }
            None => {
                assert_eq!(engine.state, EngineState::Suspended);
                assert_eq!(ask(engine.port, "x").unwrap().0, 503);
                assert!(stage.instances().is_empty() && engine.instance.is_none());
            }
        }
        let page = Page {
            offset: 0,
            limit: 10,
        };
        let log = stage.engines.log(&owner(), self.engine(), page).await;
        let log = log.unwrap().1;
        let (operation, before) = self.record();
        let added = usize::from(applied && operation.is_some());
        assert_eq!(log.len(), before + added, "{log:?}");
        if added == 1 {
            assert_eq!(Some(log[0].operation), operation);
            let back = matches!(self.0, Wanted::Rollback { .. });
            let expected = back.then(|| log[2].id.clone());
            assert_eq!(log[0].restored, expected);
        }
    }

    async fn check_held(&self, host: &Host, job: &JobView) {
        let engines = &host.0.engines;
        let view = engines.show(&owner(), self.engine()).await.unwrap();
        assert_eq!(view.engine.state, EngineState::Failed);
        let holding = view.holding.unwrap();
        assert!(holding.held && holding.job == job.id);
        let refused = engines
            .change(&caller(), self.engine(), Wanted::Delete)
            .await;
        assert!(matches!(refused, Err(Refusal::Busy { .. })), "{refused:?}");
    }
}

fn switch() -> Changes {
    Changes(Wanted::Switch {
        image: "two".to_owned(),
    })
}

#[test]
fn a_switch_survives_everything() {
    let report = Matrix::<Host>::new("a_switch_survives_everything")
        .scenario(switch())
        .scenario(Changes(Wanted::Delete))
        .run();
    assert!(report.cases > 60 && report.kills > 15, "{report:?}");
}

#[test]
fn changes_of_the_version_survive_the_worst() {
    let rollback = Wanted::Rollback {
        from: None,
        to: None,
    };
    Matrix::<Changer>::new("changes_of_the_version_survive_the_worst")
        .sampled()
        .scenario(Changes(Wanted::Create))
        .scenario(Changes(rollback))
        .scenario(Changes(Wanted::Upgrade))
        .scenario(Changes(Wanted::Mend))
        .run();
}

#[test]
fn other_changes_survive_the_worst() {
    let modify = Wanted::Modify {
        config: Some(Config {
            cluster: [("threads".to_owned(), "7".to_owned())].into(),
            ..Config::default()
        }),
        size: Some(2),
    };
    Matrix::<Changer>::new("other_changes_survive_the_worst")
        .sampled()
        .scenario(Changes(modify))
        .scenario(Changes(Wanted::Suspend))
        .scenario(Changes(Wanted::Resume))
        .scenario(Changes(Wanted::Restart { forced: false }))
        .run();
}
