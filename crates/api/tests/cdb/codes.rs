//! The codes of refusals, and the page that documents them.

use std::collections::BTreeSet;

use backout_databases::model::{Detail, InstanceState, Kind, Standing, TaskKind};
use backout_mariadb::testing::PrivateServer;
use backout_wire::Service;
use serde_json::{Value, json};

use crate::cloud::{Cloud, LegacyCall, UNKNOWN, UNKNOWN_ASKED, number};
use crate::common::pages;
use crate::legacy::detail;

const PAGE: &str = "docs/cdb-errors.md";

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

/// `docs/cdb-errors.md` has a row for each code of both contracts, with its
/// cause or why it has none here.
#[test]
fn the_page_lists_every_code_with_its_cause() {
    pages::every_code_is_told(&[Service::Cdb, Service::CdbV2], PAGE);
}

/// What is produced by a cause is documented with that cause.
#[test]
fn the_page_says_of_no_code_that_it_never_comes_when_it_does() {
    pages::no_cause_is_made_up(PAGE, "crates/api/src/cdb/codes.rs", &[]);
}

/// Codes with a cause that no test of this family can bring about, and where
/// else it is seen.
const SEEN_ELSEWHERE: [(&str, &str); 3] = [
    (
        "InternalError",
        "a fault of ours: crates/api/src/front.rs answers it to a panic",
    ),
    (
        "OperationDenied.UserHasNoStrategy",
        "policies: work.rs and lists.rs in this folder",
    ),
    (
        "ResourceInsufficient",
        "a full disk: crates/databases/tests/faults.rs, and codes.rs maps it",
    ),
];

/// The codes that calls were refused with.
#[derive(Default)]
struct Seen(BTreeSet<String>);

impl Seen {
    /// Calls of API 3.0, each of which must be refused with its code.
    async fn refused(&mut self, cloud: &Cloud, calls: &[(&str, Value, &str)]) {
        cloud.refused(calls).await;
        self.0
            .extend(calls.iter().map(|(.., code)| (*code).to_owned()));
    }

    /// The same of the legacy API.
    async fn legacy(&mut self, cloud: &Cloud, calls: &[LegacyCall<'_>]) {
        for (action, params, code) in calls {
            let answer = cloud.legacy(action, params).await;
            assert_eq!(
                number(&answer),
                Some(*code),
                "{action} {params:?}: {answer}"
            );
            self.0.insert((*code).to_owned());
        }
    }
}

/// Every code to which the page gives a cause is brought about by that cause.
#[tokio::test(flavor = "multi_thread")]
async fn every_cause_on_the_page_has_its_code() {
    let cloud = Cloud::still().await;
    let mut seen = Seen::default();
    of_what_is_asked(&cloud, &mut seen).await;
    of_states(&cloud, &mut seen).await;
    of_servers(&cloud, &mut seen).await;
    // Last: what cannot be read may be in the way of others.
    of_damage(&cloud, &mut seen).await;
    let elsewhere: BTreeSet<&str> = SEEN_ELSEWHERE.iter().map(|(code, _)| *code).collect();
    for (code, cause) in pages::causes(PAGE) {
        let never = cause.starts_with("Never.");
        if seen.0.contains(&code) {
            assert!(!never, "{code} comes, and the page says never");
            assert!(
                !elsewhere.contains(code.as_str()),
                "{code} is seen here after all"
            );
            continue;
        }
        let by_itself = never
            || cause.starts_with("Before the operation")
            || cause.starts_with("From the fault switch only")
            || elsewhere.contains(code.as_str());
        assert!(by_itself, "nothing brings {code} about: {cause}");
    }
}

async fn of_what_is_asked(cloud: &Cloud, seen: &mut Seen) {
    let shop = cloud.record("asked", InstanceState::Running).await;
    let names: Vec<Value> = (0..=1000)
        .map(|n| json!({"DatabaseName": format!("d{n}"), "NewDatabaseName": format!("e{n}")}))
        .collect();
    let with = |member: &str, value: Value| {
        let mut params = json!({"InstanceId": shop});
        params[member] = value;
        params
    };
    let encrypted = json!({"InstanceId": shop, "BackupMethod": "physical", "EncryptionFlag": "on"});
    seen.refused(
        cloud,
        &[
            (
                "StartBatchRollback",
                json!({"Instances": []}),
                "MissingParameter",
            ),
            (
                "StartBatchRollback",
                start(&shop, json!({"Strategy": "fast"})),
                "InvalidParameter",
            ),
            (
                "StartBatchRollback",
                start(&shop, json!({"Databases": names})),
                "OverQuota",
            ),
            (
                "StartBatchRollback",
                start(UNKNOWN, json!({})),
                "InvalidParameter.InstanceNotFound",
            ),
            (
                "DescribeRollbackTaskDetail",
                json!({"InstanceId": UNKNOWN}),
                "InvalidParameter.ResourceNotExists",
            ),
            (
                "DescribeAsyncRequestInfo",
                json!({"AsyncRequestId": UNKNOWN_ASKED}),
                "InvalidParameter.InvalidAsyncRequestId",
            ),
            (
                "DescribeTasks",
                json!({"StartTimeEnd": "soon"}),
                "InvalidParameterValue.DataConvertError",
            ),
            (
                "DescribeDatabases",
                with("DatabaseRegexp", json!("(")),
                "InvalidParameterValue.InvalidParameterValueError",
            ),
            (
                "DescribeLocalBinlogConfig",
                json!({"InstanceId": UNKNOWN}),
                "InternalError.DBRecordNotExistError",
            ),
            (
                "StopRollback",
                json!({"InstanceId": UNKNOWN}),
                "ResourceNotFound",
            ),
            (
                "StopRollback",
                json!({"InstanceId": shop}),
                "CdbError.TaskError",
            ),
            (
                "DeleteBackup",
                with("BackupId", json!(7)),
                "CdbError.BackupError",
            ),
            (
                "CreateBackup",
                encrypted,
                "OperationDenied.ActionNotSupport",
            ),
            // Others run that server.
            (
                "RestartDBInstances",
                json!({"InstanceIds": [shop]}),
                "OperationDenied",
            ),
        ],
    )
    .await;
    seen.legacy(
        cloud,
        &[
            ("GetCdbRollbackJob", &[], "9003"),
            (
                "QueryCdbRollbackRangeTime",
                &[("cdbInstanceIds.0", UNKNOWN)],
                "11041",
            ),
            (
                "DescribeCdbInstances",
                &[("cdbInstanceIds.0", UNKNOWN)],
                "9572",
            ),
        ],
    )
    .await;
    for n in 0..110 {
        cloud
            .record(&format!("many-{n}"), InstanceState::Running)
            .await;
    }
    let more = json!({"GoodsNum": 100, "Memory": 1000, "Volume": 25, "DryRun": true});
    seen.refused(cloud, &[("CreateDBInstanceHour", more, "LimitExceeded")])
        .await;
}

async fn of_states(cloud: &Cloud, seen: &mut Seen) {
    let isolated = cloud.record("isolated", InstanceState::Isolated).await;
    let busy = cloud.record("busy", InstanceState::Running).await;
    cloud
        .ok("IsolateDBInstance", json!({"InstanceId": busy}))
        .await;
    let elsewhere = cloud
        .record_with("elsewhere", InstanceState::Running, 1, |instance| {
            instance.node = "another".to_owned();
        })
        .await;
    let physical = |id: &str| json!({"InstanceId": id, "BackupMethod": "physical"});
    let of = |id: &str| json!({"InstanceId": id});
    seen.refused(
        cloud,
        &[
            (
                "StartBatchRollback",
                start(&isolated, json!({})),
                "OperationDenied.WrongStatus",
            ),
            (
                "IsolateDBInstance",
                of(&isolated),
                "OperationDenied.InstanceStatusError",
            ),
            (
                "OfflineIsolatedInstances",
                json!({"InstanceIds": [elsewhere]}),
                "UnsupportedOperation",
            ),
            (
                "StartBatchRollback",
                start(&busy, json!({})),
                "FailedOperation.StatusConflict",
            ),
            (
                "IsolateDBInstance",
                of(&busy),
                "OperationDenied.InstanceLockerConflict",
            ),
            (
                "CreateBackup",
                physical(&busy),
                "FailedOperation.TaskConflictError",
            ),
            (
                "OfflineIsolatedInstances",
                json!({"InstanceIds": [busy]}),
                "ResourceInUse",
            ),
            (
                "StartBatchRollback",
                start(&elsewhere, json!({})),
                "ResourceUnavailable",
            ),
        ],
    )
    .await;
    let para = r#"{"rollbacktime":"2016-01-25 17:32:39","dbs":[{"dbname":"a","newname":"b"}]}"#;
    let begin = "RollbackCdbDatabaseTables";
    let (id, at) = ("instances.0.cdbInstanceId", "instances.0.para");
    seen.legacy(
        cloud,
        &[
            ("GetCdbRollbackJob", &[("cdbInstanceId", &isolated)], "9593"),
            (begin, &[(id, &isolated), (at, para)], "9570"),
            (begin, &[(id, &busy), (at, para)], "9592"),
            (begin, &[(id, &elsewhere), (at, para)], "9006"),
        ],
    )
    .await;
    // A job that failed inside.
    let failed = cloud
        .task(
            &elsewhere,
            TaskKind::Rollback,
            Standing::Failed,
            detail(&[("a", "b")], &[]),
        )
        .await;
    cloud
        .damage(
            "UPDATE database_tasks SET error_code = 'BO0001', error_message = 'go on' WHERE job = $1",
            failed.job.as_str(),
        )
        .await;
    let jobs = cloud
        .legacy_ok("GetCdbRollbackJob", &[("cdbInstanceId", &elsewhere)])
        .await;
    assert_eq!(jobs["data"]["taskList"][0]["code"], "9013", "{jobs}");
    seen.0.insert("9013".to_owned());
}

/// What is on record cannot be read.
async fn of_damage(cloud: &Cloud, seen: &mut Seen) {
    let busy = cloud
        .record_with("jobs", InstanceState::Running, 1, |instance| {
            instance.kind = Kind::Managed;
        })
        .await;
    cloud
        .ok("IsolateDBInstance", json!({"InstanceId": busy}))
        .await;
    cloud
        .damage(
            "UPDATE jobs SET state = 'odd' WHERE resource = $1",
            &format!("database/{busy}"),
        )
        .await;
    // It is running, as far as that goes.
    cloud
        .damage(
            "UPDATE databases SET state = 'running' WHERE id = $1",
            &busy,
        )
        .await;
    seen.refused(
        cloud,
        &[
            (
                "RestartDBInstances",
                json!({"InstanceIds": [busy]}),
                "InternalError.TaskFrameError",
            ),
            (
                "StartBatchRollback",
                start(&busy, json!({})),
                "CdbError.TaskError",
            ),
            (
                "IsolateDBInstance",
                json!({"InstanceId": busy}),
                "InternalError.UnknownError",
            ),
        ],
    )
    .await;
    let para = r#"{"rollbacktime":"2016-01-25 17:32:39","dbs":[{"dbname":"a","newname":"b"}]}"#;
    let (id, at) = ("instances.0.cdbInstanceId", "instances.0.para");
    let params: &[(&str, &str)] = &[(id, &busy), (at, para)];
    seen.legacy(cloud, &[("RollbackCdbDatabaseTables", params, "9590")])
        .await;

    let shop = cloud.record("tasks", InstanceState::Running).await;
    let task = cloud
        .task(
            &shop,
            TaskKind::Rollback,
            Standing::Applied,
            Detail::default(),
        )
        .await;
    cloud
        .damage(
            "UPDATE database_tasks SET standing = 'odd' WHERE job = $1",
            task.job.as_str(),
        )
        .await;
    let of = |id: &str| json!({"InstanceId": id});
    seen.refused(
        cloud,
        &[(
            "DescribeRollbackTaskDetail",
            of(&shop),
            "InternalError.CdbError",
        )],
    )
    .await;
    cloud
        .damage("UPDATE databases SET facts = 'odd' WHERE id = $1", &shop)
        .await;
    seen.refused(
        cloud,
        &[
            ("StopRollback", of(&shop), "CdbError.DatabaseError"),
            ("IsolateDBInstance", of(&shop), "InternalError.DBError"),
            (
                "DescribeDatabases",
                of(&shop),
                "InternalError.DBOperationError",
            ),
            (
                "OfflineIsolatedInstances",
                json!({"InstanceIds": [shop]}),
                "InternalError.UndefinedError",
            ),
        ],
    )
    .await;
}

/// Servers that do not answer, that refuse statements, and whose files are
/// elsewhere.
async fn of_servers(cloud: &Cloud, seen: &mut Seen) {
    let silent = cloud.record("silent", InstanceState::Running).await;
    let logs = |id: &str| json!({"InstanceId": id, "SaveHours": 48, "MaxUsage": 40});
    let of = |id: &str| json!({"InstanceId": id});
    seen.refused(
        cloud,
        &[
            (
                "StartBatchRollback",
                start(&silent, json!({})),
                "InternalError.DatabaseAccessError",
            ),
            (
                "DescribeDatabases",
                of(&silent),
                "InternalError.NetworkError",
            ),
            (
                "ModifyLocalBinlogConfig",
                logs(&silent),
                "InternalError.HttpError",
            ),
            (
                "CreateBackup",
                json!({"InstanceId": silent, "BackupMethod": "physical"}),
                "InternalError.OssError",
            ),
        ],
    )
    .await;
    let server = PrivateServer::start(&[]);
    // The first statement of the one sets up the session, and the next is
    // refused; the other may set nothing.
    server.script(
        "CREATE USER 'mean'@'%' IDENTIFIED BY 'secret' WITH MAX_QUERIES_PER_HOUR 1;\n\
         CREATE USER 'weak'@'%' IDENTIFIED BY 'secret';\n",
    );
    let mut ids = Vec::new();
    for user in ["mean", "weak"] {
        let id = cloud
            .record_with(user, InstanceState::Running, server.port(), |instance| {
                instance.address.user = user.to_owned();
            })
            .await;
        ids.push(id);
    }
    seen.refused(
        cloud,
        &[
            (
                "DescribeDatabases",
                of(&ids[0]),
                "InternalError.ExeSqlError",
            ),
            (
                "ModifyLocalBinlogConfig",
                logs(&ids[1]),
                "OperationDenied.InstanceUnsupportedOperateError",
            ),
        ],
    )
    .await;
}
