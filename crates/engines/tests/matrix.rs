//! Every change of an engine, failed, repeated, cancelled and killed at every
//! step, with real processes.
#![cfg(feature = "testing")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::path::Path;

use backout_core::ids::JobId;
use backout_core::outcome::Outcome;
use backout_engines::model::{EngineState, Operation, Wanted};
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

/// One change of an engine of version `one`, which `rollback` was switched to
/// `two` before.
struct Changes(Wanted);

impl Scenario<Host> for Changes {
    fn procedure(&self) -> &'static str {
        match self.0 {
            Wanted::Delete => "engines.delete",
            _ => "engines.change",
        }
    }

    async fn set_up(&self, host: &Host) {
        host.0.set_up().await;
        let worker = host.0.worker().await;
        let before = match self.0 {
            Wanted::Rollback { .. } => host.0.engines.switch(&caller(), "e", "two").await,
            Wanted::Resume => host.0.engines.suspend(&caller(), "e").await,
            _ => {
                worker.stop().await;
                return;
            }
        };
        host.0.applied(&before.unwrap()).await;
        worker.stop().await;
    }

    async fn submit(&self, host: &Host) -> JobId {
        let (caller, engines) = (caller(), &host.0.engines);
        let asked = engines.change(&caller, "e", self.0.clone()).await;
        asked.unwrap().job
    }

    async fn check(&self, host: &Host, ended: &Ended) {
        let stage = &host.0;
        let _sweep = Sweep(stage);
        let applied = ended.outcome == Outcome::Applied;
        if applied && self.0 == Wanted::Delete {
            assert!(stage.engines.get(&owner(), "e").await.is_err());
            assert!(stage.instances().is_empty());
            return;
        }
        let engine = stage.engine().await;
        let (answers, records) = match (&self.0, applied) {
            (Wanted::Switch { .. }, true) => (Some("two"), 2),
            (Wanted::Rollback { .. }, true) => (Some("one"), 3),
            (Wanted::Rollback { .. }, false) => (Some("two"), 2),
            (Wanted::Suspend, true) | (Wanted::Resume, false) => (None, 1),
            _ => (Some("one"), 1),
        };
        match answers {
            Some(answers) => {
                assert_eq!(engine.state, EngineState::Running);
                assert_eq!(version(engine.port), answers);
                assert_eq!(stage.instances(), [engine.instance.clone().unwrap()]);
            }
            None => {
                assert_eq!(engine.state, EngineState::Suspended);
                assert_eq!(ask(engine.port, "x").unwrap().0, 503);
                assert!(stage.instances().is_empty() && engine.instance.is_none());
            }
        }
        let log = stage.log().await;
        assert_eq!(log.len(), records, "{log:?}");
        if matches!(self.0, Wanted::Rollback { .. }) && applied {
            assert_eq!(log[0].operation, Operation::RollbackImage);
            assert_eq!(log[0].restored, Some(log[2].id.clone()));
        }
    }

    async fn check_held(&self, host: &Host, job: &JobView) {
        let engine = host.0.engine().await;
        assert_eq!(engine.state, EngineState::Failed);
        let view = host.0.engines.show(&owner(), "e").await.unwrap();
        let holding = view.holding.unwrap();
        assert!(holding.held && holding.job == job.id);
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
fn other_changes_survive_the_worst() {
    let rollback = Wanted::Rollback {
        from: None,
        to: None,
    };
    Matrix::<Host>::new("other_changes_survive_the_worst")
        .sampled()
        .scenario(Changes(rollback))
        .scenario(Changes(Wanted::Suspend))
        .scenario(Changes(Wanted::Resume))
        .scenario(Changes(Wanted::Restart { forced: false }))
        .scenario(Changes(Wanted::Delete))
        .run();
}
