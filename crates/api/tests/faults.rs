//! The fault switch through the whole way of a vendor's call, and in real jobs.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "common/mod.rs"]
mod common;

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use backout_accounts::KeyPair;
use backout_api::audit;
use backout_api::front::CallLog;
use backout_core::code::Code;
use backout_core::outcome::Outcome;
use backout_core::time::SystemClock;
use backout_disks::DriverKind;
use backout_faults::{NewRule, Rule, What};
use backout_jobs::{Moment, Registry};
use backout_servers::NewServer;
use backout_servers::model::PowerCommands;
use backout_wire::Service;
use serde_json::{Value, json};

use common::house::{self, House, V3, in_house};
use common::shape::Contract;

const VERSION: &str = "2020-03-24";

static CONTRACT: LazyLock<Contract> = LazyLock::new(|| Contract::read("lighthouse"));

/// A server process without its listener, with the fault switch.
struct Cloud(House);

in_house!(Cloud, 0);

impl Cloud {
    async fn start() -> Self {
        let clock = Arc::new(SystemClock);
        let mut house = House::plain(clock, house::plenty(), &house::nothing_runs()).await;
        let registry = house.servers.register(Registry::new());
        house.work(registry).await;
        Self(house)
    }

    fn disk(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.img"))
    }

    /// A managed disk, full of ones.
    async fn add(&self, name: &str) -> String {
        std::fs::write(self.disk(name), vec![1_u8; 1 << 20]).unwrap();
        let new = NewServer {
            format: None,
            name: name.to_owned(),
            disk: self.disk(name),
            driver: Some(DriverKind::Copy),
            machine: None,
            running: false,
            commands: PowerCommands::default(),
            tags: Vec::new(),
        };
        let (server, job) = self.servers.add(&self.caller(), new).await.unwrap();
        assert_eq!(self.ended(&job).await, Outcome::Applied);
        server.id.to_string()
    }

    /// A signed call, as an SDK makes it; the answer and what is logged.
    async fn call_as(&self, key: &KeyPair, action: &str, params: Value) -> (Value, CallLog) {
        let call = V3 {
            service: Service::Lighthouse,
            contract: &CONTRACT,
            key,
            action,
            version: VERSION,
            region: Some("ap-guangzhou"),
            body: &params.to_string(),
        };
        self.v3(&call).await
    }

    async fn call(&self, action: &str, params: Value) -> Value {
        self.call_as(&self.key, action, params).await.0
    }

    async fn ok(&self, action: &str, params: Value) -> Value {
        let answer = self.call(action, params).await;
        assert!(answer.get("Error").is_none(), "{action}: {answer}");
        answer
    }

    /// A snapshot that is done.
    async fn snapshot(&self, instance: &str) -> String {
        let made = self
            .ok("CreateInstanceSnapshot", json!({ "InstanceId": instance }))
            .await;
        let job = self.job_of(&made).await;
        assert_eq!(job.outcome, Some(Outcome::Applied));
        made["SnapshotId"].as_str().unwrap().to_owned()
    }

    async fn add_rule(&self, new: NewRule) -> Rule {
        self.faults.add(self.owner(), new).await.unwrap()
    }
}

fn calls(action: &str, code: &str) -> NewRule {
    NewRule {
        what: What::Call {
            action: action.into(),
            code: code.into(),
        },
        message: None,
        resource: None,
        count: None,
        lasts_s: None,
    }
}

fn step(name: &str, undo: bool, moment: Moment) -> NewRule {
    NewRule {
        what: What::Step {
            procedure: "servers.apply_snapshot".into(),
            step: name.into(),
            undo,
            moment,
        },
        ..calls("", "")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_answers_what_it_is_told_and_changes_nothing() {
    let cloud = Cloud::start().await;
    let (web, db) = (cloud.add("web").await, cloud.add("db").await);
    let (of_web, of_db) = (cloud.snapshot(&web).await, cloud.snapshot(&db).await);
    for name in ["web", "db"] {
        std::fs::write(cloud.disk(name), vec![2_u8; 1 << 20]).unwrap();
    }
    let rule = cloud
        .add_rule(NewRule {
            message: Some("the system is busy, try again later".into()),
            resource: Some(format!("server/{web}")),
            count: Some(2),
            ..calls(
                "lighthouse:ApplyInstanceSnapshot",
                "UnsupportedOperation.SystemBusy",
            )
        })
        .await;
    let apply =
        |instance: &str, snapshot: &str| json!({ "InstanceId": instance, "SnapshotId": snapshot });
    for _ in 0..2 {
        let (answer, log) = cloud
            .call_as(&cloud.key, "ApplyInstanceSnapshot", apply(&web, &of_web))
            .await;
        assert_eq!(
            answer["Error"],
            json!({"Code": "UnsupportedOperation.SystemBusy", "Message": "the system is busy, try again later"})
        );
        assert_eq!(answer["RequestId"], log.request.0);
        assert_eq!(log.code.as_deref(), Some("UnsupportedOperation.SystemBusy"));
        let lines = audit::find_by_request(&cloud.store, &log.request)
            .await
            .unwrap();
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].action, "lighthouse:ApplyInstanceSnapshot");
        assert_eq!(
            lines[0].refused.as_deref(),
            Some("UnsupportedOperation.SystemBusy")
        );
        assert!(
            cloud
                .jobs
                .find_by_request(&log.request)
                .await
                .unwrap()
                .is_none()
        );
        // Another server of the same owner goes its way, and so do other calls
        // about this one.
        cloud
            .ok("DescribeInstances", json!({ "InstanceIds": [web] }))
            .await;
    }
    assert_eq!(std::fs::read(cloud.disk("web")).unwrap()[0], 2);
    let other = cloud.ok("ApplyInstanceSnapshot", apply(&db, &of_db)).await;
    assert_eq!(cloud.job_of(&other).await.outcome, Some(Outcome::Applied));
    assert_eq!(std::fs::read(cloud.disk("db")).unwrap()[0], 1);
    let seen = cloud.faults.get(cloud.owner(), &rule.id).await.unwrap();
    assert_eq!((seen.remaining, seen.hits), (Some(0), 2));
    // Twice was what it said.
    let applied = cloud
        .ok("ApplyInstanceSnapshot", apply(&web, &of_web))
        .await;
    assert_eq!(cloud.job_of(&applied).await.outcome, Some(Outcome::Applied));
    assert_eq!(std::fs::read(cloud.disk("web")).unwrap()[0], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_touches_its_owner_only_and_after_admission() {
    let cloud = Cloud::start().await;
    cloud.add_rule(calls("lighthouse:*", "InternalError")).await;
    let code = |answer: Value| answer["Error"]["Code"].as_str().map(str::to_owned);
    let none = json!({});
    let mine = cloud.call("DescribeInstances", none.clone()).await;
    assert_eq!(code(mine).as_deref(), Some("InternalError"));
    let admin = cloud.accounts.admin().await.unwrap();
    // An account with resources of its own is another owner.
    let (_, theirs) = cloud.accounts.create(&admin, "other", None).await.unwrap();
    let (answer, _) = cloud
        .call_as(&theirs, "DescribeInstances", none.clone())
        .await;
    assert_eq!(code(answer), None);
    // A sub-account works on the owner's resources, within its policy.
    let policy = r#"{"version":"2.0","statement":[{"effect":"allow","action":"lighthouse:DescribeSnapshots","resource":"*"}]}"#;
    let (_, sub) = cloud
        .accounts
        .create(&admin, "sub", Some(policy))
        .await
        .unwrap();
    let (answer, _) = cloud.call_as(&sub, "DescribeSnapshots", none.clone()).await;
    assert_eq!(code(answer).as_deref(), Some("InternalError"));
    // What is not let in is refused as ever, and uses nothing up.
    let before = cloud.faults.list(cloud.owner(), 0, 1).await.unwrap().1[0].hits;
    let (answer, _) = cloud.call_as(&sub, "DescribeInstances", none).await;
    let refused = code(answer).unwrap();
    assert!(refused.contains("nauthorized"), "{refused}");
    let after = cloud.faults.list(cloud.owner(), 0, 1).await.unwrap().1[0].hits;
    assert_eq!((before, after), (2, 2));
    cloud.faults.clear(cloud.owner()).await.unwrap();
    cloud.ok("DescribeInstances", json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_fails_reverts_the_job() {
    let cloud = Cloud::start().await;
    let web = cloud.add("web").await;
    let first = cloud.snapshot(&web).await;
    std::fs::write(cloud.disk("web"), vec![2_u8; 1 << 20]).unwrap();
    for moment in Moment::ALL {
        cloud
            .add_rule(NewRule {
                message: Some("swap it, a test is against it".into()),
                resource: Some(web.clone()),
                count: Some(1),
                ..step("swap", false, moment)
            })
            .await;
        let asked = cloud
            .ok(
                "ApplyInstanceSnapshot",
                json!({ "InstanceId": web, "SnapshotId": first }),
            )
            .await;
        let job = cloud.job_of(&asked).await;
        assert_eq!(job.outcome, Some(Outcome::Reverted), "{moment:?}: {job:?}");
        let error = job.error.unwrap();
        assert_eq!(error.code, Code::FaultInjected);
        assert_eq!(error.message, "swap it, a test is against it");
        assert_eq!(
            std::fs::read(cloud.disk("web")).unwrap(),
            vec![2_u8; 1 << 20],
            "{moment:?}"
        );
    }
    let asked = cloud
        .ok(
            "ApplyInstanceSnapshot",
            json!({ "InstanceId": web, "SnapshotId": first }),
        )
        .await;
    let job = cloud.job_of(&asked).await;
    assert_eq!(job.outcome, Some(Outcome::Applied));
    assert_eq!(std::fs::read(cloud.disk("web")).unwrap()[0], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_that_fails_holds_the_job_until_the_fault_is_gone() {
    let cloud = Cloud::start().await;
    let (web, db) = (cloud.add("web").await, cloud.add("db").await);
    let (first, other) = (cloud.snapshot(&web).await, cloud.snapshot(&db).await);
    std::fs::write(cloud.disk("web"), vec![2_u8; 1 << 20]).unwrap();
    for new in [
        NewRule {
            resource: Some(web.clone()),
            count: Some(1),
            ..step("swap", false, Moment::AfterEffect)
        },
        NewRule {
            resource: Some(web.clone()),
            ..step("keep", true, Moment::AfterIntent)
        },
    ] {
        cloud.add_rule(new).await;
    }
    let asked = cloud
        .ok(
            "ApplyInstanceSnapshot",
            json!({ "InstanceId": web, "SnapshotId": first }),
        )
        .await;
    let job = cloud.job_of(&asked).await;
    assert_eq!(job.outcome, Some(Outcome::Held), "{job:?}");
    assert_eq!(job.held.as_ref().unwrap().code, Code::UndoFailed);
    let next = format!("backout jobs retry {}", job.id);
    assert_eq!(job.next_command.as_deref(), Some(next.as_str()));
    // The rule is about one server.
    let elsewhere = cloud
        .ok(
            "ApplyInstanceSnapshot",
            json!({ "InstanceId": db, "SnapshotId": other }),
        )
        .await;
    let elsewhere = cloud.job_of(&elsewhere).await;
    assert_eq!(elsewhere.outcome, Some(Outcome::Applied));
    // As long as the fault is there a retry gets no further.
    cloud.jobs.retry(&job.id).await.unwrap();
    assert_eq!(cloud.ended(&job.id).await, Outcome::Held);
    cloud.faults.clear(cloud.owner()).await.unwrap();
    cloud.jobs.retry(&job.id).await.unwrap();
    assert_eq!(cloud.ended(&job.id).await, Outcome::Reverted);
    assert_eq!(
        std::fs::read(cloud.disk("web")).unwrap(),
        vec![2_u8; 1 << 20]
    );
}
