//! Orders and the mending of applications: failed, repeated, cancelled and
//! killed at every step.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::path::Path;

use backout_apps::model::{OrderKind, Standing};
use backout_apps::{How, Wanted};
use backout_core::ids::JobId;
use backout_core::outcome::Outcome;
use backout_jobs::harness::{Ended, Matrix, Scenario, World};
use backout_jobs::{Jobs, Registry};
use backout_rollout::Go;
use support::*;

struct Host(House);

impl World for Host {
    async fn open(folder: &Path) -> Self {
        Self(House::open(folder))
    }

    fn jobs(&self) -> &Jobs {
        &self.0.jobs
    }

    fn registry(&self) -> Registry {
        self.0.apps.register(Registry::new())
    }
}

/// One order of an application that runs `before`, of which `after` is left.
struct Change {
    before: (&'static str, usize),
    after: (&'static str, usize),
    floor: usize,
    kind: OrderKind,
}

impl Change {
    fn wanted(&self, host: &Host) -> Wanted {
        let one = || host.0.files.instances().into_keys().take(1).collect();
        match self.kind {
            OrderKind::Rollback => Wanted::Rollback {
                to: Some("1".to_owned()),
            },
            OrderKind::Deploy => deploy(self.after.0, 3),
            OrderKind::Stop => Wanted::Stop,
            OrderKind::Start => Wanted::Start,
            OrderKind::Delete => Wanted::Delete,
            OrderKind::Restart => Wanted::Restart,
            OrderKind::RestartReplicas => Wanted::RestartReplicas(one()),
            OrderKind::RemoveReplicas => Wanted::RemoveReplicas(one()),
            OrderKind::Rescale => Wanted::Rescale(5),
            OrderKind::Resize => Wanted::Resize {
                cpu_millis: None,
                memory_bytes: Some(256 << 20),
            },
            OrderKind::Create => unreachable!("it is asked for by a name that is new"),
        }
    }
}

impl Scenario<Host> for Change {
    fn procedure(&self) -> &'static str {
        backout_apps::procedures::order::NAME
    }

    async fn set_up(&self, host: &Host) {
        let house = &host.0;
        if self.kind == OrderKind::Create {
            std::fs::write(house.files.marker(), "0").unwrap();
            return;
        }
        let asked = house.create("shop", "v1", 3).await;
        house.finish(&asked.job.unwrap()).await;
        if self.before.0 == "v2" {
            let asked = house.ask("shop", deploy("v2", 3), &How::default()).await;
            house.finish(&asked.job.unwrap()).await;
        }
        if self.kind == OrderKind::Start {
            let asked = house.ask("shop", Wanted::Stop, &How::default()).await;
            house.finish(&asked.job.unwrap()).await;
        }
        std::fs::write(house.files.marker(), house.files.log().len().to_string()).unwrap();
    }

    async fn submit(&self, host: &Host) -> JobId {
        let go = Go::Auto { wait_s: Some(0) };
        let how = match self.kind {
            OrderKind::Create => {
                let asked = host.0.create("shop", "v1", 3).await;
                return asked.job.unwrap();
            }
            OrderKind::Rollback | OrderKind::Deploy | OrderKind::Restart | OrderKind::Resize => {
                gray(1, go, 2)
            }
            _ => How::default(),
        };
        let asked = host.0.ask("shop", self.wanted(host), &how).await;
        asked.job.unwrap()
    }

    async fn check(&self, host: &Host, ended: &Ended) {
        let house = &host.0;
        let orders = house
            .apps
            .orders(
                &owner(),
                Default::default(),
                backout_apps::persistence::Page {
                    offset: 0,
                    limit: 10,
                },
            )
            .await
            .unwrap()
            .1;
        let order = orders
            .iter()
            .find(|o| o.job.as_ref() == Some(&ended.job.id))
            .unwrap();
        let (image, count) = match ended.outcome {
            Outcome::Applied => self.after,
            _ => self.before,
        };
        house.has(&order.application, image, count).await;
        assert!(order.ended.is_some(), "{order:?}");
        match ended.outcome {
            Outcome::Applied => assert_eq!(order.standing, Standing::Succeeded),
            _ => assert_ne!(order.standing, Standing::Succeeded),
        }
        let application = house.application(&order.application).await;
        let gone = self.kind == OrderKind::Delete && ended.outcome == Outcome::Applied;
        assert_eq!(application.is_none(), gone);
        // Each instance was started and stopped once at most, and the floor held
        // throughout.
        let from: usize = std::fs::read_to_string(house.files.marker())
            .unwrap()
            .parse()
            .unwrap();
        let log = house.files.log();
        for (n, (what, id, _, ready)) in log.iter().enumerate().skip(from) {
            let twice = log[from..n].iter().any(|(w, i, ..)| (w, i) == (what, id));
            assert!(!twice, "{what} {id} twice: {log:?}");
            assert!(
                what != "stop" || *ready >= self.floor,
                "below the floor: {log:?}"
            );
        }
    }
}

/// Something was lost with its host.
struct Mending;

impl Scenario<Host> for Mending {
    fn procedure(&self) -> &'static str {
        backout_apps::procedures::mend::NAME
    }

    async fn set_up(&self, host: &Host) {
        let house = &host.0;
        let asked = house.create("shop", "v1", 3).await;
        house.finish(&asked.job.unwrap()).await;
        for (id, _) in house.files.instances().into_iter().take(2) {
            house.files.make(&id, "lost");
        }
    }

    async fn submit(&self, host: &Host) -> JobId {
        let mut tended = host.0.apps.tend().await.unwrap();
        tended.mending.pop().unwrap()
    }

    async fn check(&self, host: &Host, ended: &Ended) {
        let there = host.0.files.instances();
        assert_eq!(there.len(), 3);
        if ended.outcome == Outcome::Applied {
            assert!(there.values().all(|(_, s)| s == "runs"), "{there:?}");
        }
    }
}

#[test]
fn a_rollback_survives_everything() {
    Matrix::<Host>::new("a_rollback_survives_everything")
        .scenario(Change {
            before: ("v2", 3),
            after: ("v1", 3),
            floor: 2,
            kind: OrderKind::Rollback,
        })
        .scenario(Mending)
        .run();
}

#[test]
fn other_orders_survive_what_matters_most() {
    // The way back of these is another one: nothing was there, or nothing is.
    for (kind, before, after, floor) in [
        (OrderKind::Create, ("v1", 0), ("v1", 3), 0),
        (OrderKind::Deploy, ("v1", 3), ("v2", 3), 2),
        (OrderKind::Stop, ("v1", 3), ("v1", 0), 0),
        (OrderKind::Start, ("v1", 0), ("v1", 3), 0),
        (OrderKind::Delete, ("v1", 3), ("v1", 0), 0),
        (OrderKind::Restart, ("v1", 3), ("v1", 3), 2),
        (OrderKind::RestartReplicas, ("v1", 3), ("v1", 3), 1),
        (OrderKind::RemoveReplicas, ("v1", 3), ("v1", 2), 1),
        (OrderKind::Rescale, ("v1", 3), ("v1", 5), 1),
        (OrderKind::Resize, ("v1", 3), ("v1", 3), 2),
    ] {
        Matrix::<Host>::new("other_orders_survive_what_matters_most")
            .sampled()
            .scenario(Change {
                before,
                after,
                floor,
                kind,
            })
            .scenario(Mending)
            .run();
    }
}
