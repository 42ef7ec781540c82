//! Lists and settings of API 3.0.

use backout_databases::model::{Detail, InstanceState, Standing, TaskKind};
use serde_json::{Value, json};

use crate::cloud::Cloud;
use crate::legacy::detail;

/// The ids in the rows of an answer.
fn ids(answer: &Value) -> Vec<&str> {
    answer["Items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["InstanceId"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn instances() {
    let cloud = Cloud::still().await;
    let b = cloud.record("b", InstanceState::Running).await;
    let a = cloud.record("a", InstanceState::Isolated).await;
    let list = "DescribeDBInstances";
    let all = cloud.ok(list, json!({})).await;
    assert_eq!(all["TotalCount"], 2);
    for (params, expect) in [
        (
            json!({"OrderBy": "instanceName", "OrderDirection": "ASC"}),
            vec![&a, &b],
        ),
        (json!({"OrderBy": "instanceName"}), vec![&b, &a]),
        (
            json!({"OrderBy": "createTime", "OrderDirection": "ASC"}),
            vec![&b, &a],
        ),
        (
            json!({"OrderBy": "instanceName", "OrderDirection": "ASC", "Offset": 1, "Limit": 1}),
            vec![&b],
        ),
        (json!({"InstanceIds": [a]}), vec![&a]),
        (json!({"InstanceNames": ["b"]}), vec![&b]),
        (json!({"Status": [5]}), vec![&a]),
        (json!({"Status": [0, 4]}), vec![]),
        (json!({"TaskStatus": [0], "Status": [1]}), vec![&b]),
        (json!({"TaskStatus": [6]}), vec![]),
        (
            json!({"EngineVersions": ["10.11"], "Status": [1]}),
            vec![&b],
        ),
        (json!({"EngineVersions": ["8.0"]}), vec![]),
        (json!({"PayTypes": [0]}), vec![]),
        (json!({"InstanceTypes": [1, 3], "Status": [1]}), vec![&b]),
        (json!({"InstanceTypes": [3]}), vec![]),
        (json!({"Vips": ["10.0.0.1"]}), vec![]),
        (json!({"TagKeysForSearch": ["team"]}), vec![]),
    ] {
        let answer = cloud.ok(list, params.clone()).await;
        assert_eq!(ids(&answer), expect, "{params}");
    }
    let row = cloud.ok(list, json!({"InstanceIds": [b]})).await["Items"][0].clone();
    for (member, expect) in [
        ("InstanceName", json!("b")),
        ("Status", json!(1)),
        ("TaskStatus", json!(0)),
        ("EngineVersion", json!("10.11")),
        ("Vip", json!("127.0.0.1")),
        ("Vport", json!(1)),
        ("Region", json!("ap-guangzhou")),
        ("InitFlag", json!(1)),
    ] {
        assert_eq!(row[member], expect, "{member}");
    }
    cloud
        .refused(&[
            (list, json!({"InstanceIds": ["b"]}), "InvalidParameter"),
            (
                list,
                json!({"InstanceIds": ["cdb-00000000"]}),
                "InvalidParameter.InstanceNotFound",
            ),
            (list, json!({"InstanceIds": [a, a]}), "InvalidParameter"),
            (
                list,
                json!({"Status": [3]}),
                "InvalidParameterValue.InvalidParameterValueError",
            ),
            (
                list,
                json!({"OrderBy": "size"}),
                "InvalidParameterValue.InvalidParameterValueError",
            ),
            (list, json!({"Limit": 0}), "InvalidParameter"),
            (list, json!({"Limit": 2001}), "InvalidParameter"),
            (list, json!({"Limit": -1}), "InvalidParameter"),
        ])
        .await;
    cloud.ok(list, json!({"Limit": 2000})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks() {
    let cloud = Cloud::still().await;
    let shop = cloud.record("shop", InstanceState::Running).await;
    let one = detail(&[("a", "b")], &[]);
    let many = detail(&[], &[("t", "u")]);
    let rollback = TaskKind::Rollback;
    let first = cloud.task(&shop, rollback, Standing::Applied, one).await;
    let second = cloud.task(&shop, rollback, Standing::Stopped, many).await;
    cloud
        .task(
            &shop,
            TaskKind::Restart,
            Standing::Failed,
            Detail::default(),
        )
        .await;
    // The vendor has no type for these.
    cloud
        .task(
            &shop,
            TaskKind::Backup,
            Standing::Applied,
            Detail::default(),
        )
        .await;
    let list = "DescribeTasks";
    for (params, expect) in [
        (json!({}), vec!["REBOOT", "BATCH ROLLBACK", "ROLLBACK"]),
        (json!({"TaskTypes": [1]}), vec!["ROLLBACK"]),
        (json!({"TaskTypes": [10]}), vec!["BATCH ROLLBACK"]),
        (json!({"TaskTypes": [2, 3]}), vec![]),
        (json!({"TaskStatus": [4]}), vec!["BATCH ROLLBACK"]),
        (json!({"TaskStatus": [-1]}), vec![]),
        (
            json!({"InstanceId": shop, "Limit": 1, "Offset": 1}),
            vec!["BATCH ROLLBACK"],
        ),
        (json!({"AsyncRequestId": first.asked}), vec!["ROLLBACK"]),
        (json!({"StartTimeBegin": "2016-01-25 17:33:00"}), vec![]),
        (
            json!({"StartTimeBegin": "2016-01-25 17:32:59", "StartTimeEnd": "2016-01-25 17:32:59", "TaskTypes": [7]}),
            vec!["REBOOT"],
        ),
    ] {
        let answer = cloud.ok(list, params.clone()).await;
        let words: Vec<&str> = answer["Items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["TaskType"].as_str().unwrap())
            .collect();
        assert_eq!(words, expect, "{params}");
    }
    let answer = cloud
        .ok(list, json!({"AsyncRequestId": second.asked}))
        .await;
    assert_eq!(answer["Items"][0]["TaskStatus"], "KILLED");
    assert_eq!(answer["Items"][0]["StartTime"], "2016-01-25 17:32:59");
    let answer = cloud
        .ok(
            "DescribeAsyncRequestInfo",
            json!({"AsyncRequestId": first.asked}),
        )
        .await;
    assert_eq!(
        answer["Status"], "SUCCESS",
        "not SUCCEED, as the other list has it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backup_plan() {
    let cloud = Cloud::still().await;
    let shop = cloud.record("shop", InstanceState::Running).await;
    let config = json!({"InstanceId": shop});
    let seen = cloud.ok("DescribeBackupConfig", config.clone()).await;
    assert_eq!(seen["BackupExpireDays"], 7);
    assert_eq!(seen["BackupTimeWindow"]["Monday"], "02:00-06:00");
    let change = json!({
        "InstanceId": shop, "ExpireDays": 30, "BinlogExpireDays": 14,
        "BackupTimeWindow": {"Monday": "22:00-00:00", "Friday": "22:00-24:00", "Sunday": ""},
    });
    cloud.ok("ModifyBackupConfig", change).await;
    let seen = cloud.ok("DescribeBackupConfig", config).await;
    assert_eq!(
        (&seen["BackupExpireDays"], &seen["BinlogExpireDays"]),
        (&json!(30), &json!(14))
    );
    let window = &seen["BackupTimeWindow"];
    assert_eq!(window["Monday"], "22:00-24:00");
    assert_eq!(
        (&window["Tuesday"], &window["Sunday"]),
        (&json!(""), &json!(""))
    );
    let with = |member: &str, value: Value| {
        let mut params = json!({"InstanceId": shop});
        params[member] = value;
        params
    };
    let change = "ModifyBackupConfig";
    cloud
        .refused(&[
            (change, with("ExpireDays", json!(0)), "InvalidParameter"),
            (
                change,
                with("StartTime", json!("02:30-06:00")),
                "InvalidParameter",
            ),
            (
                change,
                with("StartTime", json!("06:00-02:00")),
                "InvalidParameter",
            ),
            (
                change,
                with(
                    "BackupTimeWindow",
                    json!({"Monday": "02:00-06:00", "Friday": "03:00-06:00"}),
                ),
                "InvalidParameter",
            ),
            (
                change,
                with("EnableBackupArchive", json!("on")),
                "OperationDenied.ActionNotSupport",
            ),
            (
                change,
                with("BackupMethod", json!("logical")),
                "InvalidParameter",
            ),
        ])
        .await;
    let backups = cloud
        .ok("DescribeBackups", json!({"InstanceId": shop}))
        .await;
    assert_eq!(backups["TotalCount"], 0);
    let logs = cloud
        .ok("DescribeLocalBinlogConfig", json!({"InstanceId": shop}))
        .await;
    assert_eq!(
        logs["LocalBinlogConfig"],
        json!({"SaveHours": 72, "MaxUsage": 30})
    );
    let odd = "InvalidParameterValue.InvalidParameterValueError";
    let logs = |hours: i64, percent: i64| json!({"InstanceId": shop, "SaveHours": hours, "MaxUsage": percent});
    cloud
        .refused(&[
            ("ModifyLocalBinlogConfig", logs(5, 30), odd),
            ("ModifyLocalBinlogConfig", logs(169, 30), odd),
            ("ModifyLocalBinlogConfig", logs(6, 29), odd),
            ("ModifyLocalBinlogConfig", logs(6, 51), odd),
        ])
        .await;
}

/// What a policy bounds: by the instance, in whatever region.
#[tokio::test(flavor = "multi_thread")]
async fn policies_know_instances() {
    let cloud = Cloud::still().await;
    let mine = cloud.record("mine", InstanceState::Running).await;
    let other = cloud.record("other", InstanceState::Running).await;
    let policy = format!(
        r#"{{"version":"2.0","statement":[{{"effect":"allow","action":"cdb:*","resource":["qcs::cdb::uin/{}:instanceId/{mine}"]}}]}}"#,
        cloud.owner()
    );
    let (_, key) = cloud
        .accounts
        .create(&cloud.admin, "limited", Some(&policy))
        .await
        .unwrap();
    let region = Some("ap-shanghai");
    for (action, id, expect) in [
        ("DescribeBackupConfig", &mine, None),
        (
            "DescribeBackupConfig",
            &other,
            Some("OperationDenied.UserHasNoStrategy"),
        ),
        (
            "StopRollback",
            &other,
            Some("AuthFailure.UnauthorizedOperation"),
        ),
    ] {
        let answer = cloud
            .raw(&key, action, region, &json!({"InstanceId": id}))
            .await;
        assert_eq!(
            answer["Error"]["Code"].as_str(),
            expect,
            "{action}: {answer}"
        );
    }
    let answer = cloud
        .raw(&key, "DescribeDBInstances", region, &json!({}))
        .await;
    assert_eq!(answer["Error"]["Code"], "OperationDenied.UserHasNoStrategy");
    let start = json!({"Instances": [
        {"InstanceId": mine, "Strategy": "db", "RollbackTime": "2024-09-09 16:40:30", "Databases": [{"DatabaseName": "a", "NewDatabaseName": "b"}]},
        {"InstanceId": other, "Strategy": "db", "RollbackTime": "2024-09-09 16:40:30", "Databases": [{"DatabaseName": "a", "NewDatabaseName": "b"}]},
    ]});
    let answer = cloud.raw(&key, "StartBatchRollback", region, &start).await;
    assert_eq!(
        answer["Error"]["Code"], "AuthFailure.UnauthorizedOperation",
        "one of two is not enough"
    );
    let legacy = cloud
        .legacy_by(&key, "GetCdbRollbackJob", &[("cdbInstanceId", &other)])
        .await;
    assert_eq!(legacy["code"], 4101);
    let legacy = cloud
        .legacy_by(&key, "GetCdbRollbackJob", &[("cdbInstanceId", &mine)])
        .await;
    assert_eq!(legacy["code"], "0");
}
