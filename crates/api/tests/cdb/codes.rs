//! The codes of refusals, and the page that documents them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use backout_databases::model::InstanceState;
use backout_wire::{Service, operations_of};
use serde_json::{Value, json};

use crate::cloud::{Cloud, UNKNOWN, UNKNOWN_ASKED};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn start(instance: &str, change: Value) -> Value {
    let mut info = json!({
        "InstanceId": instance, "Strategy": "full", "RollbackTime": "2024-09-09 16:40:30",
        "Databases": [{"DatabaseName": "a", "NewDatabaseName": "b"}],
    });
    for (name, value) in change.as_object().unwrap() {
        info[name] = value.clone();
    }
    json!({"Instances": [info]})
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked() {
    let cloud = Cloud::still().await;
    let shop = cloud.record("shop", InstanceState::Running).await;
    let isolated = cloud.record("isolated", InstanceState::Isolated).await;
    let begin = "StartBatchRollback";
    let table = json!([{"Database": "a", "Table": [{"TableName": "t", "NewTableName": "u"}]}]);
    let twice = json!([
        {"DatabaseName": "a", "NewDatabaseName": "b"}, {"DatabaseName": "a", "NewDatabaseName": "c"},
    ]);
    cloud
        .refused(&[
            (begin, json!({}), "MissingParameter"),
            (begin, json!({"Instances": []}), "MissingParameter"),
            (begin, start("shop", json!({})), "InvalidParameter"),
            (
                begin,
                start(UNKNOWN, json!({})),
                "InvalidParameter.InstanceNotFound",
            ),
            (
                begin,
                start(&isolated, json!({})),
                "OperationDenied.WrongStatus",
            ),
            (
                begin,
                start(&shop, json!({"Strategy": "fast"})),
                "InvalidParameter",
            ),
            // The strategy table takes no databases.
            (
                begin,
                start(&shop, json!({"Strategy": "table", "Tables": table})),
                "InvalidParameter",
            ),
            (
                begin,
                start(&shop, json!({"Databases": []})),
                "InvalidParameter",
            ),
            (
                begin,
                start(&shop, json!({"Databases": twice})),
                "InvalidParameter",
            ),
            (
                begin,
                start(&shop, json!({"RollbackTime": "yesterday"})),
                "InvalidParameter",
            ),
            (
                begin,
                start(&shop, json!({"Color": "red"})),
                "UnknownParameter",
            ),
            // Its server does not answer.
            (
                begin,
                start(&shop, json!({})),
                "InternalError.DatabaseAccessError",
            ),
            (
                "StopRollback",
                json!({"InstanceId": shop}),
                "CdbError.TaskError",
            ),
            (
                "StopRollback",
                json!({"InstanceId": UNKNOWN}),
                "ResourceNotFound",
            ),
            (
                "DescribeRollbackRangeTime",
                json!({"InstanceIds": []}),
                "MissingParameter",
            ),
            (
                "DescribeRollbackTaskDetail",
                json!({"InstanceId": UNKNOWN}),
                "InvalidParameter.ResourceNotExists",
            ),
            (
                "DescribeRollbackTaskDetail",
                json!({"InstanceId": shop, "Limit": 101}),
                "InvalidParameter",
            ),
            (
                "DescribeAsyncRequestInfo",
                json!({"AsyncRequestId": UNKNOWN_ASKED}),
                "InvalidParameter.InvalidAsyncRequestId",
            ),
            (
                "DescribeTasks",
                json!({"InstanceId": UNKNOWN}),
                "InvalidParameter.InstanceNotFound",
            ),
            (
                "DescribeTasks",
                json!({"TaskTypes": [4]}),
                "InvalidParameter",
            ),
            (
                "DescribeTasks",
                json!({"TaskStatus": [9]}),
                "InvalidParameter",
            ),
            (
                "DescribeTasks",
                json!({"StartTimeBegin": "soon"}),
                "InvalidParameterValue.DataConvertError",
            ),
            (
                "DescribeDatabases",
                json!({"InstanceId": shop}),
                "InternalError.NetworkError",
            ),
            (
                "DescribeDatabases",
                json!({"InstanceId": shop, "DatabaseRegexp": "("}),
                "InvalidParameterValue.InvalidParameterValueError",
            ),
            (
                "DescribeTables",
                json!({"InstanceId": shop, "Database": "a"}),
                "InternalError.NetworkError",
            ),
            (
                "DescribeBinlogs",
                json!({"InstanceId": shop}),
                "InternalError.DatabaseAccessError",
            ),
            (
                "DescribeBackups",
                json!({"InstanceId": shop, "MinStartTime": "soon"}),
                "InvalidParameterValue.InvalidParameterValueError",
            ),
            (
                "DescribeLocalBinlogConfig",
                json!({"InstanceId": UNKNOWN}),
                "InternalError.DBRecordNotExistError",
            ),
            (
                "DescribeCloneList",
                json!({"InstanceId": UNKNOWN}),
                "ResourceNotFound",
            ),
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_and_what_goes() {
    let cloud = Cloud::still().await;
    let shop = cloud.record("shop", InstanceState::Running).await;
    let isolated = cloud.record("isolated", InstanceState::Isolated).await;
    let unsupported = "OperationDenied.ActionNotSupport";
    let make = |change: Value| {
        let mut params = json!({"GoodsNum": 1, "Memory": 1000, "Volume": 25});
        for (name, value) in change.as_object().unwrap() {
            params[name] = value.clone();
        }
        params
    };
    let backup = |change: Value| {
        let mut params = json!({"InstanceId": shop, "BackupMethod": "physical"});
        for (name, value) in change.as_object().unwrap() {
            params[name] = value.clone();
        }
        params
    };
    let (create, take, clone) = (
        "CreateDBInstanceHour",
        "CreateBackup",
        "CreateCloneInstance",
    );
    let long = "n".repeat(61);
    cloud
        .refused(&[
            (create, make(json!({"GoodsNum": 0})), "InvalidParameter"),
            (create, make(json!({"GoodsNum": 101})), "InvalidParameter"),
            (create, make(json!({"Port": 80})), "InvalidParameter"),
            (create, make(json!({"InstanceRole": "ro"})), unsupported),
            (create, make(json!({"InstanceNodes": 2})), unsupported),
            (create, make(json!({"SecurityGroup": ["sg-9stjvjn1"]})), unsupported),
            (create, make(json!({"DiskEncryption": "on"})), unsupported),
            (create, make(json!({"InstanceName": long})), "InvalidParameter"),
            (create, make(json!({"ClientToken": "x".repeat(65)})), "InvalidParameter"),
            (create, make(json!({"EngineVersion": "4.0"})), "InvalidParameter"),
            (take, backup(json!({"BackupMethod": "odd"})), "InvalidParameter"),
            (take, backup(json!({"BackupMethod": "snapshot"})), unsupported),
            (take, backup(json!({"EncryptionFlag": "on"})), unsupported),
            (take, backup(json!({"BackupDBTableList": [{"Db": "a"}]})), "InvalidParameter"),
            (take, backup(json!({"InstanceId": UNKNOWN})), "InvalidParameter.InstanceNotFound"),
            (take, backup(json!({"InstanceId": isolated})), "FailedOperation.StatusConflict"),
            ("DeleteBackup", json!({"InstanceId": shop, "BackupId": 7}), "CdbError.BackupError"),
            ("DeleteBackup", json!({"InstanceId": shop, "BackupId": -7}), "InvalidParameter"),
            (
                "RestartDBInstances",
                json!({"InstanceIds": [shop]}),
                // Others run that server.
                "OperationDenied",
            ),
            ("RestartDBInstances", json!({"InstanceIds": []}), "MissingParameter"),
            (
                "IsolateDBInstance",
                json!({"InstanceId": isolated}),
                "OperationDenied.InstanceStatusError",
            ),
            ("OfflineIsolatedInstances", json!({"InstanceIds": [isolated, shop]}), "UnsupportedOperation"),
            (
                "OfflineIsolatedInstances",
                json!({"InstanceIds": [UNKNOWN]}),
                "InvalidParameter.InstanceNotFound",
            ),
            (clone, json!({"InstanceId": shop}), "InvalidParameter"),
            (
                clone,
                json!({"InstanceId": shop, "SpecifiedBackupId": 1, "SpecifiedRollbackTime": "2024-09-09 16:40:30"}),
                "InvalidParameter",
            ),
            (
                clone,
                json!({"InstanceId": shop, "SpecifiedBackupId": 1, "Memory": 10}),
                "InvalidParameter",
            ),
        ])
        .await;
    // All or none: nothing has begun to go.
    let seen = cloud
        .ok("DescribeDBInstances", json!({"InstanceIds": [isolated]}))
        .await;
    assert_eq!(seen["Items"][0]["Status"], 5);
    // And nothing was made.
    cloud.ok(create, make(json!({"DryRun": true}))).await;
    let seen = cloud.ok("DescribeDBInstances", json!({})).await;
    assert_eq!(seen["TotalCount"], 2);
}

/// An instance that a job holds.
#[tokio::test(flavor = "multi_thread")]
async fn one_at_a_time() {
    let cloud = Cloud::still().await;
    let shop = cloud.record("shop", InstanceState::Running).await;
    let isolating = cloud
        .ok("IsolateDBInstance", json!({"InstanceId": shop}))
        .await;
    let asked = isolating["AsyncRequestId"].clone();
    let seen = cloud
        .ok("DescribeAsyncRequestInfo", json!({"AsyncRequestId": asked}))
        .await;
    assert_eq!(seen["Status"], "INITIAL", "nobody works here");
    cloud
        .refused(&[
            (
                "StartBatchRollback",
                start(&shop, json!({})),
                "FailedOperation.StatusConflict",
            ),
            (
                "IsolateDBInstance",
                json!({"InstanceId": shop}),
                "OperationDenied.InstanceLockerConflict",
            ),
            (
                "CreateBackup",
                json!({"InstanceId": shop, "BackupMethod": "physical"}),
                "FailedOperation.TaskConflictError",
            ),
        ])
        .await;
    let para = r#"{"rollbacktime":"2016-01-25 17:32:39","dbs":[{"dbname":"a","newname":"b"}]}"#;
    cloud
        .legacy_refused(&[(
            "RollbackCdbDatabaseTables",
            &[
                ("instances.0.cdbInstanceId", &shop),
                ("instances.0.para", para),
            ],
            "9592",
        )])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_is_demanded() {
    let cloud = Cloud::still().await;
    for (region, expect) in [
        (None, "MissingParameter"),
        (Some("mars-1"), "UnsupportedRegion"),
    ] {
        let answer = cloud
            .raw(&cloud.key, "DescribeDBInstances", region, &json!({}))
            .await;
        assert_eq!(answer["Error"]["Code"], expect);
    }
    // What is not served is no action of ours.
    let answer = cloud
        .call("DescribeTimeWindow", json!({"InstanceId": UNKNOWN}))
        .await;
    assert_eq!(answer["Error"]["Code"], "InvalidAction");
}

/// The rows of the tables of the page: the code, and the cells behind it.
fn documented() -> BTreeMap<String, Vec<String>> {
    let page = std::fs::read_to_string(root().join("docs/cdb-errors.md")).unwrap();
    let mut rows = BTreeMap::new();
    for line in page.lines().filter_map(|line| line.strip_prefix("| `")) {
        let (code, rest) = line.split_once('`').unwrap();
        let cells: Vec<String> = rest
            .trim_matches('|')
            .split('|')
            .map(|c| c.trim().to_owned())
            .filter(|c| !c.is_empty())
            .collect();
        assert_eq!(cells.len(), 1, "{code} has one cause: {cells:?}");
        assert!(
            rows.insert(code.to_owned(), cells).is_none(),
            "{code} is there twice"
        );
    }
    rows
}

/// `docs/cdb-errors.md` has a row for each code of both contracts, with its
/// cause or why it has none here.
#[test]
fn the_page_lists_every_code_with_its_cause() {
    let written = documented();
    let mut contract = BTreeSet::new();
    for service in [Service::Cdb, Service::CdbV2] {
        for operation in operations_of(service) {
            contract.extend(operation.errors.iter().copied());
        }
    }
    let missing: Vec<_> = contract
        .iter()
        .filter(|code| !written.contains_key(**code))
        .collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
    for code in written.keys() {
        assert!(
            Service::Cdb.has_code(code) || Service::CdbV2.has_code(code),
            "{code} is no code of this family"
        );
    }
}

/// What is produced by a cause is documented with that cause.
#[test]
fn the_page_says_of_no_code_that_it_never_comes_when_it_does() {
    let source = std::fs::read_to_string(root().join("crates/api/src/cdb/codes.rs")).unwrap();
    let mut never = 0;
    for (code, cells) in documented() {
        let known = source.contains(&format!("{code:?}"));
        if cells[0].starts_with("Never.") {
            never += 1;
            assert!(
                !known,
                "{code} is in codes.rs, so the page must tell its cause"
            );
        } else if !cells[0].starts_with("Before the operation") {
            assert!(
                known,
                "the page has a cause of {code}, which codes.rs does not know"
            );
        }
    }
    assert!(never > 0);
}
