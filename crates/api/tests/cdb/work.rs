//! Work: who may look at it, what is told of it, and what is written down.

use backout_core::ids::{AccountId, DatabaseId};
use backout_core::time::Timestamp;
use backout_databases::model::{
    Backup, BackupState, Detail, InstanceState, Method, Standing, TaskKind, Way,
};
use backout_databases::persistence;
use backout_store::Error as StoreError;
use serde_json::{Value, json};

use crate::cloud::{Cloud, UNKNOWN_ASKED};
use crate::legacy::detail;

/// A statement that allows the family's actions on this.
fn allow(resource: &str) -> Value {
    json!([{"effect": "allow", "action": "cdb:*", "resource": [resource]}])
}

/// Whoever may work on an instance may look at that work, by its id alone; and
/// learns nothing of other work.
#[tokio::test(flavor = "multi_thread")]
async fn work_is_judged_by_its_instances() {
    let cloud = Cloud::still().await;
    let mine = cloud.record("mine", InstanceState::Running).await;
    let other = cloud.record("other", InstanceState::Running).await;
    let one = detail(&[("a", "b")], &[]);
    let rollback = TaskKind::Rollback;
    let applied = Standing::Applied;
    let here = cloud.task(&mine, rollback, applied, one.clone()).await;
    let there = cloud.task(&other, rollback, applied, one).await;
    let resource = format!(
        "qcs::cdb:ap-beijing:uin/{}:instanceId/{mine}",
        cloud.owner()
    );
    let key = cloud.limited("limited", &allow(&resource)).await;
    let region = Some("ap-shanghai");
    let refused = Some("OperationDenied.UserHasNoStrategy");
    for (asked, expect) in [
        (here.asked.as_str(), None),
        (&there.asked, refused),
        (UNKNOWN_ASKED, refused),
    ] {
        let params = json!({"AsyncRequestId": asked});
        for action in ["DescribeAsyncRequestInfo", "DescribeTasks"] {
            // Also when the answer is at hand for others.
            cloud.call(action, params.clone()).await;
            let answer = cloud.raw(&key, action, region, &params).await;
            assert_eq!(
                answer["Error"]["Code"].as_str(),
                expect,
                "{action} {asked}: {answer}"
            );
        }
    }
    let tasks = json!({"AsyncRequestId": there.asked, "InstanceId": mine});
    let answer = cloud.raw(&key, "DescribeTasks", region, &tasks).await;
    assert_eq!(answer["TotalCount"], 0, "none of it is on that instance");
    // Without work and instance it is about all instances.
    let answer = cloud.raw(&key, "DescribeTasks", region, &json!({})).await;
    assert_eq!(answer["Error"]["Code"].as_str(), refused);

    for (number, expect) in [(here.number, true), (there.number, false), (99, false)] {
        let number = number.to_string();
        for action in ["GetCdbRollbackJobTask", "GetCdbJobList"] {
            let params = [("jobId", number.as_str())];
            let answer = cloud.legacy_by(&key, action, &params).await;
            match expect {
                true => assert_eq!(answer["codeDesc"], "Success", "{action}: {answer}"),
                false => assert_eq!(answer["code"], 4101, "{action} {number}: {answer}"),
            }
        }
    }
}

/// Whatever region a policy writes before what stands for everything.
#[tokio::test(flavor = "multi_thread")]
async fn everything_is_spelled_in_any_region() {
    let cloud = Cloud::still().await;
    let owner = cloud.owner().to_string();
    cloud.record("shop", InstanceState::Running).await;
    for (name, region) in [("none", ""), ("one", "ap-beijing"), ("short", "bj")] {
        let resource = format!("qcs::cdb:{region}:uin/{owner}:*");
        let key = cloud.limited(name, &allow(&resource)).await;
        let answer = cloud
            .raw(&key, "DescribeDBInstances", Some("ap-shanghai"), &json!({}))
            .await;
        assert_eq!(answer["TotalCount"], 1, "{resource}: {answer}");
        let answer = cloud.legacy_by(&key, "DescribeCdbInstances", &[]).await;
        assert_eq!(answer["totalCount"], 1, "{resource}: {answer}");
    }
    let elsewhere = format!("qcs::lighthouse:ap-beijing:uin/{owner}:*");
    let key = cloud.limited("elsewhere", &allow(&elsewhere)).await;
    let answer = cloud
        .raw(&key, "DescribeDBInstances", Some("ap-shanghai"), &json!({}))
        .await;
    assert_eq!(answer["Error"]["Code"], "OperationDenied.UserHasNoStrategy");
    // What is denied in one region is denied in all.
    let denied = json!([
        {"effect": "allow", "action": "cdb:*", "resource": ["*"]},
        {"effect": "deny", "action": "cdb:DescribeDBInstances",
         "resource": [format!("qcs::cdb:ap-beijing:uin/{owner}:*")]},
    ]);
    let key = cloud.limited("denied", &denied).await;
    let answer = cloud
        .raw(&key, "DescribeDBInstances", Some("ap-shanghai"), &json!({}))
        .await;
    assert_eq!(answer["Error"]["Code"], "OperationDenied.UserHasNoStrategy");
}

/// What is told of the work of an instance that is gone: its last name, and the
/// times of its own clock.
#[tokio::test(flavor = "multi_thread")]
async fn instances_that_are_gone_keep_their_clock() {
    let cloud = Cloud::still().await;
    let there = cloud.record("there", InstanceState::Running).await;
    let gone = cloud.record("gone", InstanceState::Isolated).await;
    let one = detail(&[("a", "b")], &[]);
    for id in [&there, &gone] {
        let rollback = TaskKind::Rollback;
        cloud
            .task(id, rollback, Standing::Applied, one.clone())
            .await;
    }
    let id: DatabaseId = gone.parse().unwrap();
    cloud
        .store
        .write::<_, StoreError>(move |tx| persistence::delete_instance(tx, &id))
        .await
        .unwrap();
    let seen = cloud.ok("DescribeTasks", json!({})).await;
    assert_eq!(seen["TotalCount"], 2);
    for row in [0, 1] {
        assert_eq!(seen["Items"][row]["StartTime"], "2016-01-25 17:32:59");
    }
    for (from, count) in [("2016-01-25 17:32:59", 2), ("2016-01-25 17:33:00", 0)] {
        let seen = cloud
            .ok("DescribeTasks", json!({"StartTimeBegin": from}))
            .await;
        assert_eq!(seen["TotalCount"], count, "{from}");
    }
    let list = cloud.legacy_ok("GetCdbJobList", &[]).await;
    // The newest first.
    let row = &list["data"][0]["detail"][0];
    assert_eq!(row["cdbInstanceId"], gone);
    assert_eq!(row["cdbInstanceName"], "gone");
    assert_eq!(row["rollbackTime"], "2016-01-25 17:32:39");
}

/// Lists of tasks are paged in the store, also when they are narrowed by type
/// and by the clocks of several instances.
#[tokio::test(flavor = "multi_thread")]
async fn long_lists_are_paged() {
    let cloud = Cloud::still().await;
    let running = InstanceState::Running;
    let east = cloud.record("east", running).await;
    let west = cloud
        .record_with("west", running, 1, |i| i.facts.zone = "-05:00".to_owned())
        .await;
    for n in 0..120 {
        let of = if n % 2 == 0 { &east } else { &west };
        let what = match n % 3 {
            0 => detail(&[("a", "b")], &[]),
            _ => detail(&[], &[("t", "u")]),
        };
        cloud
            .task(of, TaskKind::Rollback, Standing::Applied, what)
            .await;
    }
    for (params, total, rows) in [
        (json!({"Limit": 100}), 120, 100),
        (json!({"Limit": 100, "Offset": 100}), 120, 20),
        (json!({"TaskTypes": [1], "Limit": 30, "Offset": 20}), 40, 20),
        (json!({"TaskTypes": [10], "Limit": 100}), 80, 80),
        (json!({"TaskTypes": [10, 1]}), 120, 20),
        // 09:32:59 UTC is 17:32:59 in the one zone, 04:32:59 in the other.
        (json!({"StartTimeBegin": "2016-01-25 17:32:59"}), 60, 20),
        (
            json!({"StartTimeEnd": "2016-01-25 04:32:59", "TaskTypes": [1]}),
            20,
            20,
        ),
        (
            json!({"StartTimeBegin": "2016-01-25T09:32:59Z", "StartTimeEnd": "2016-01-25T09:32:59Z"}),
            120,
            20,
        ),
        (json!({"StartTimeBegin": "2016-01-25T09:33:00Z"}), 0, 0),
    ] {
        let seen = cloud.ok("DescribeTasks", params.clone()).await;
        assert_eq!(seen["TotalCount"], total, "{params}");
        assert_eq!(seen["Items"].as_array().unwrap().len(), rows, "{params}");
    }
    let list = cloud
        .legacy_ok("GetCdbJobList", &[("limit", "100"), ("offset", "50")])
        .await;
    assert_eq!(list["totalCount"], 120);
    assert_eq!(list["data"].as_array().unwrap().len(), 70);
    let numbers: Vec<i64> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["jobId"].as_i64().unwrap())
        .collect();
    assert!(numbers.windows(2).all(|pair| pair[0] == pair[1] + 1));
}

/// What takes a rollback back is in every list, and told apart.
#[tokio::test(flavor = "multi_thread")]
async fn undos_are_in_every_list() {
    let cloud = Cloud::still().await;
    let shop = cloud.record("shop", InstanceState::Running).await;
    let one = detail(&[("a", "b")], &[]);
    let applied = Standing::Applied;
    cloud
        .task(&shop, TaskKind::Rollback, applied, one.clone())
        .await;
    let undo = cloud.task(&shop, TaskKind::Undo, applied, one).await;
    let jobs = cloud
        .legacy_ok("GetCdbRollbackJob", &[("cdbInstanceId", &shop)])
        .await;
    assert_eq!(jobs["data"]["taskCount"], "2");
    let row = &jobs["data"]["taskList"][0];
    assert_eq!(row["jobId"], undo.number.to_string());
    assert_eq!(row["taskMessage"], "Rollback is undone");
    assert_eq!(row["name"], "a");
    let number = undo.number.to_string();
    let task = cloud
        .legacy_ok("GetCdbRollbackJobTask", &[("jobId", &number)])
        .await;
    assert_eq!(
        task["data"]["taskDetail"][0]["message"],
        "Rollback is undone"
    );
    let all = cloud.legacy_ok("GetCdbJobList", &[]).await;
    assert_eq!(all["totalCount"], 2);
    for (action, params) in [
        ("DescribeTasks", json!({"TaskTypes": [1]})),
        ("DescribeRollbackTaskDetail", json!({"InstanceId": shop})),
    ] {
        let seen = cloud.ok(action, params).await;
        assert_eq!(seen["TotalCount"], 2, "{action}");
    }
    let asked = json!({"AsyncRequestId": undo.asked});
    let seen = cloud.ok("DescribeAsyncRequestInfo", asked).await;
    assert_eq!(seen["Info"], "Rollback is undone");
}

/// The audit line of a call names the job that it made.
#[tokio::test(flavor = "multi_thread")]
async fn audit_lines_name_the_job() {
    let cloud = Cloud::still().await;
    let shop = cloud.record("shop", InstanceState::Running).await;
    let of = json!({"InstanceId": shop});
    let answer = cloud.ok("IsolateDBInstance", of.clone()).await;
    let lines = cloud.audited(&answer).await;
    let asked = answer["AsyncRequestId"].as_str().unwrap();
    let tasks = cloud.databases.tasks_asked(cloud.owner(), asked).await;
    let job = tasks.unwrap()[0].job.clone();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].job, Some(job));
    assert_eq!(lines[0].resource, shop);
    assert_eq!(lines[0].refused, None);
    // One that was refused made none.
    let answer = cloud.call("IsolateDBInstance", of).await;
    let lines = cloud.audited(&answer).await;
    assert_eq!(lines[0].job, None);
    assert!(lines[0].refused.is_some());
    let make = json!({"GoodsNum": 2, "Memory": 1000, "Volume": 25});
    let answer = cloud.ok("CreateDBInstanceHour", make).await;
    assert!(cloud.audited(&answer).await[0].job.is_some());
}

fn backup(id: &str, number: u64, name: &str, way: Way, state: BackupState) -> Backup {
    Backup {
        number,
        instance: id.parse().unwrap(),
        owner: "acct_000000000001".parse().unwrap(),
        name: name.to_owned(),
        way,
        method: Method::Full,
        state,
        folder: "/nowhere".into(),
        tables: Vec::new(),
        base: None,
        position: None,
        gtid: None,
        bytes: 7,
        started: Timestamp(1_453_714_379_000),
        finished: None,
        as_of: None,
        job: None,
    }
}

/// Says on record that this account asked for a task.
async fn asked_by(cloud: &Cloud, number: u64, account: &AccountId) {
    let account = account.to_string();
    cloud
        .store
        .write::<_, StoreError>(move |tx| {
            tx.execute(
                "UPDATE database_tasks SET operator = $1 WHERE number = $2",
                &[account.as_str().into(), number.cast_signed().into()],
            )?;
            Ok(())
        })
        .await
        .unwrap();
}

/// Who made a backup, what it is called, and how far it is.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_of_backups() {
    let cloud = Cloud::still().await;
    let shop = cloud.record("shop", InstanceState::Running).await;
    let operator = cloud.limited("operator", &allow("*")).await;
    let who = cloud
        .accounts
        .authenticate_key(&operator.secret_id, None)
        .await;
    let made = Detail {
        backup: Some(3),
        ..Detail::default()
    };
    let mut task = cloud
        .task(&shop, TaskKind::Backup, Standing::Applied, made)
        .await;
    task.operator = who.unwrap().principal.account.clone();
    asked_by(&cloud, task.number, &task.operator).await;
    let drawn = format!("shop-{}", Timestamp(1_453_714_379_000).iso8601());
    let rows = [
        backup(&shop, 1, &drawn, Way::Automatic, BackupState::Ready),
        backup(&shop, 2, &drawn, Way::Manual, BackupState::Failed),
        Backup {
            job: Some(task.job.clone()),
            ..backup(&shop, 3, "before the sale", Way::Manual, BackupState::Ready)
        },
    ];
    cloud
        .store
        .write::<_, StoreError>(move |tx| {
            rows.iter()
                .try_for_each(|row| persistence::insert_backup(tx, row))
        })
        .await
        .unwrap();
    let seen = cloud
        .ok("DescribeBackups", json!({"InstanceId": shop}))
        .await;
    let told: Vec<(&str, &str, i64)> = seen["Items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (
                row["ManualBackupName"].as_str().unwrap(),
                row["Status"].as_str().unwrap(),
                row["Progress"].as_i64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("before the sale", "SUCCESS", 100),
            ("", "FAILED", 0),
            ("", "SUCCESS", 100),
        ]
    );
    let creators: Vec<&Value> = (0..3).map(|n| &seen["Items"][n]["Creator"]).collect();
    assert_eq!(creators[2], "SYSTEM");
    assert_ne!(creators[0], creators[1], "one of the owner's accounts");
    // The operator of its rollbacks has the same number.
    let rollback = cloud
        .task(
            &shop,
            TaskKind::Rollback,
            Standing::Applied,
            detail(&[("a", "b")], &[]),
        )
        .await;
    asked_by(&cloud, rollback.number, &task.operator).await;
    let jobs = cloud
        .legacy_ok("GetCdbRollbackJob", &[("cdbInstanceId", &shop)])
        .await;
    let operator = &jobs["data"]["taskList"][0]["taskContext"]["data"]["operator"];
    assert_eq!(operator, creators[0]);
}
