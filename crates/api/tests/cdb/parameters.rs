//! What parameters mean, and how much of them is taken.

use std::net::TcpListener;

use backout_databases::model::InstanceState;
use backout_databases::{INSTANCES_MAX, KEEP_DAYS_MAX, TAGS_MAX};
use backout_wire::Service;
use serde_json::{Value, json};

use crate::cloud::{Cloud, UNKNOWN};
use crate::common::house::with;
use crate::common::pages;

const BEGIN: &str = "StartBatchRollback";
const LIST: &str = "DescribeDBInstances";
const MAKE: &str = "CreateDBInstanceHour";
const START: &str = "RollbackCdbDatabaseTables";

/// What of an instance is to be rolled back.
fn info_of(id: &str) -> Value {
    json!({
        "InstanceId": id, "Strategy": "full", "RollbackTime": "2024-09-09 16:40:30",
        "Databases": [{"DatabaseName": "a", "NewDatabaseName": "b"}],
    })
}

/// One server that is made, with a change.
fn made(change: &Value) -> Value {
    with(json!({"GoodsNum": 1, "Memory": 1000, "Volume": 25}), change)
}

/// A dry run of the same.
fn tried(change: &Value) -> Value {
    with(made(&json!({"DryRun": true})), change)
}

/// Every parameter of every operation is read by the code, or the page says why
/// it has no effect; none is dropped without a word.
#[test]
fn no_parameter_is_ignored_in_silence() {
    pages::every_parameter_is_read_or_told(
        &[Service::Cdb, Service::CdbV2],
        "docs/cdb-parameters.md",
        &["crates/api/src/cdb", "crates/api/src/cdb_v2"],
    );
}

/// The bounds are those of the product, and every list has one.
#[tokio::test(flavor = "multi_thread")]
async fn lists_have_bounds() {
    let cloud = Cloud::still().await;
    let shop = cloud.record("shop", InstanceState::Running).await;
    let many = |count: usize| -> Vec<Value> {
        (0..count)
            .map(|n| info_of(&format!("cdb-{n:08}")))
            .collect()
    };
    let tags = |count: usize| -> Vec<Value> {
        (0..count)
            .map(|n| json!({"TagKey": format!("k{n}"), "TagValue": ["v"]}))
            .collect()
    };
    let keep = |name: &str, days: u32| json!({"InstanceId": shop, name: days});
    let config = "ModifyBackupConfig";
    cloud
        .refused(&[
            (
                BEGIN,
                json!({"Instances": many(INSTANCES_MAX + 1)}),
                "InvalidParameter",
            ),
            // As many as there may be: what is wrong is another thing.
            (
                BEGIN,
                json!({"Instances": many(INSTANCES_MAX)}),
                "InvalidParameter.InstanceNotFound",
            ),
            (
                config,
                keep("ExpireDays", KEEP_DAYS_MAX + 1),
                "InvalidParameter",
            ),
            (
                config,
                keep("BinlogExpireDays", KEEP_DAYS_MAX + 1),
                "InvalidParameter",
            ),
            (
                MAKE,
                tried(&json!({"ResourceTags": tags(TAGS_MAX + 1)})),
                "InvalidParameter",
            ),
        ])
        .await;
    cloud.ok(config, keep("ExpireDays", KEEP_DAYS_MAX)).await;
    let most = json!({"ResourceTags": tags(TAGS_MAX)});
    cloud.ok(MAKE, tried(&most)).await;
    for (list, entry) in [
        ("InstanceNames", json!("n")),
        ("Vips", json!("10.0.0.1")),
        ("EngineVersions", json!("8.0")),
        ("TagKeysForSearch", json!("k")),
        ("TagValues", json!("v")),
        ("Tags", json!({"Key": "k", "Value": "v"})),
        ("Status", json!(1)),
        ("TaskStatus", json!(0)),
        ("ZoneIds", json!(1)),
    ] {
        cloud
            .ok(LIST, json!({list: vec![entry.clone(); 100]}))
            .await;
        cloud
            .refused(&[(LIST, json!({list: vec![entry; 101]}), "InvalidParameter")])
            .await;
    }
    let types = json!({"TaskTypes": vec![1; 101]});
    cloud
        .refused(&[("DescribeTasks", types, "InvalidParameter")])
        .await;
    let names: Vec<(String, String)> = (0..=1000)
        .map(|n| (format!("databases.{n}"), format!("d{n}")))
        .collect();
    let mut params: Vec<(&str, &str)> = names
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    params.push(("cdbInstanceId", &shop));
    let of_tables = "QueryCdbDatabaseTables";
    cloud.legacy_refused(&[(of_tables, &params, "9003")]).await;
    // Its server does not answer; but as many are taken.
    let fewer = &params[1..];
    let answer = cloud.legacy_ok(of_tables, fewer).await;
    assert_eq!(answer["data"].as_array().unwrap().len(), 1000);
    let ids: Vec<(String, String)> = (0..=INSTANCES_MAX)
        .flat_map(|n| {
            let at = |member: &str| format!("instances.{n}.{member}");
            [
                (at("cdbInstanceId"), format!("cdb-{n:08}")),
                (at("para"), "{}".to_owned()),
            ]
        })
        .collect();
    let params: Vec<(&str, &str)> = ids.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let answer = cloud.legacy(START, &params).await;
    let message = answer["message"].as_str().unwrap();
    assert!(message.contains("at most 10"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn words_and_numbers_of_lists() {
    let cloud = Cloud::still().await;
    let running = cloud.record("running", InstanceState::Running).await;
    let creating = cloud.record("creating", InstanceState::Creating).await;
    for (params, expect) in [
        (json!({"InitFlag": 0}), vec![&creating]),
        (json!({"InitFlag": 1}), vec![&running]),
        (json!({"InitFlag": 0, "Status": [0, 1]}), vec![&creating]),
        (json!({"InitFlag": 0, "Status": [1]}), vec![]),
        (
            json!({"WithRo": 1, "WithMaster": 0, "Status": [1]}),
            vec![&running],
        ),
        (json!({"ProjectId": 0, "Status": [1]}), vec![&running]),
        (json!({"ProjectId": 7}), vec![]),
    ] {
        let answer = cloud.ok(LIST, params.clone()).await;
        let ids: Vec<&str> = answer["Items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["InstanceId"].as_str().unwrap())
            .collect();
        assert_eq!(ids, expect, "{params}");
    }
    let odd = "InvalidParameterValue.InvalidParameterValueError";
    cloud
        .refused(&[
            (LIST, json!({"InitFlag": 2}), odd),
            (LIST, json!({"WithDr": -1}), odd),
            (LIST, json!({"WithExCluster": 2}), odd),
        ])
        .await;
    // The sample of this call has a Limit of 0; the others take none.
    cloud
        .ok(
            "DescribeBackups",
            json!({"InstanceId": running, "Limit": 0}),
        )
        .await;
    cloud
        .refused(&[(
            "DescribeRollbackTaskDetail",
            json!({"InstanceId": running, "Limit": 0}),
            "InvalidParameter",
        )])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_new_server_is_promised_to_have() {
    let cloud = Cloud::still().await;
    let unsupported = "OperationDenied.ActionNotSupport";
    for (change, expect) in [
        (json!({"DiskEncryption": "on"}), unsupported),
        (json!({"DiskEncryption": "ON"}), "InvalidParameter"),
        (json!({"DestroyProtect": "on"}), unsupported),
        (json!({"DestroyProtect": "yes"}), "InvalidParameter"),
        (json!({"DataProtectVolume": 10}), unsupported),
        (json!({"ProjectId": 7}), unsupported),
        (json!({"EngineType": "RocksDB"}), "InvalidParameter"),
    ] {
        cloud.refused(&[(MAKE, made(&change), expect)]).await;
    }
    let shop = cloud.record("shop", InstanceState::Running).await;
    let clone = json!({"InstanceId": shop, "SpecifiedBackupId": 1, "ProjectId": 7});
    cloud
        .refused(&[("CreateCloneInstance", clone, "OperationDenied")])
        .await;
    // What only says where it is, or what it costs, changes nothing.
    let placed = json!({
        "DiskEncryption": "off", "DestroyProtect": "", "DataProtectVolume": 0, "ProjectId": 0,
        "Zone": "ap-guangzhou-3", "SlaveZone": "ap-guangzhou-4", "UniqVpcId": "vpc-5l7l5q11",
        "AutoRenewFlag": 1, "DeviceType": "UNIVERSAL", "AlarmPolicyList": [7957756],
    });
    cloud.ok(MAKE, tried(&placed)).await;
    let seen = cloud.ok(LIST, json!({})).await;
    assert_eq!(seen["TotalCount"], 1, "nothing was made");
}

/// A dry run refuses what the call would refuse.
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_checks_as_much_as_the_call() {
    let cloud = Cloud::still().await;
    cloud.record("shop", InstanceState::Running).await;
    cloud.record("hop-2", InstanceState::Running).await;
    for change in [
        json!({"InstanceName": "shop"}),
        json!({"InstanceName": "hop", "GoodsNum": 2}),
        json!({"InstanceName": " shop"}),
        json!({"EngineVersion": "4.0"}),
        json!({"Port": 3306, "GoodsNum": 2}),
        json!({"ResourceTags": [
            {"TagKey": "a", "TagValue": ["b"]}, {"TagKey": "a", "TagValue": ["c"]},
        ]}),
    ] {
        for params in [tried(&change), made(&change)] {
            cloud.refused(&[(MAKE, params, "InvalidParameter")]).await;
        }
    }
    for n in 0..150 {
        cloud
            .record(&format!("other-{n}"), InstanceState::Running)
            .await;
    }
    // Two and 150 are there, and 200 may be.
    cloud.ok(MAKE, tried(&json!({"GoodsNum": 48}))).await;
    for params in [
        tried(&json!({"GoodsNum": 49})),
        made(&json!({"GoodsNum": 49})),
    ] {
        cloud.refused(&[(MAKE, params, "LimitExceeded")]).await;
    }
    // A list that the store cannot sort is read whole all the same.
    let sorted = json!({"OrderBy": "instanceName", "OrderDirection": "ASC", "Limit": 2000});
    let seen = cloud.ok(LIST, sorted).await;
    assert_eq!(seen["TotalCount"], 152);
    assert_eq!(seen["Items"][0]["InstanceName"], "hop-2");
    assert_eq!(seen["Items"].as_array().unwrap().len(), 152);
}

/// One token stands for all that a call makes.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_stands_for_several_servers() {
    let cloud = Cloud::still().await;
    let params = made(&json!({"GoodsNum": 3, "InstanceName": "shop", "ClientToken": "once"}));
    let first = cloud.ok(MAKE, params.clone()).await;
    let again = cloud.ok(MAKE, params).await;
    assert_eq!(first["InstanceIds"].as_array().unwrap().len(), 3);
    assert_eq!(first["InstanceIds"], again["InstanceIds"]);
    assert_eq!(first["DealIds"], again["DealIds"]);
    let seen = cloud.ok(LIST, json!({})).await;
    assert_eq!(seen["TotalCount"], 3);
    let other = made(&json!({"GoodsNum": 2, "InstanceName": "shop", "ClientToken": "once"}));
    cloud.refused(&[(MAKE, other, "InvalidParameter")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_of_backups() {
    let cloud = Cloud::still().await;
    let shop = cloud.record("shop", InstanceState::Running).await;
    let config = "ModifyBackupConfig";
    let change = |change: Value| with(json!({"InstanceId": shop}), &change);
    let unsupported = "OperationDenied.ActionNotSupport";
    for (params, expect) in [
        (json!({"StartTime": "+2:00-06:00"}), "InvalidParameter"),
        (json!({"StartTime": "02:00-+6:00"}), "InvalidParameter"),
        (
            json!({"EnableBackupPeriodSave": "maybe"}),
            "InvalidParameter",
        ),
        (json!({"BackupPeriodSaveDays": 3651}), "InvalidParameter"),
        (
            json!({"BackupPeriodSaveInterval": "daily"}),
            "InvalidParameter",
        ),
        (
            json!({"StartBackupPeriodSaveDate": "soon"}),
            "InvalidParameter",
        ),
        (json!({"BackupArchiveDays": -1}), "InvalidParameter"),
        (
            json!({"BackupTimeWindow": {"BackupPeriodStrategy": "monthly"}}),
            unsupported,
        ),
        (
            json!({"BackupTimeWindow": {"BackupPeriodTime": "02:00-06:00"}}),
            unsupported,
        ),
        (json!({"BackupTimeWindow": {"Days": [1]}}), unsupported),
    ] {
        cloud.refused(&[(config, change(params), expect)]).await;
    }
    let before = cloud
        .ok("DescribeBackupConfig", json!({"InstanceId": shop}))
        .await;
    let off = json!({
        "EnableBackupPeriodSave": "off", "BackupPeriodSaveDays": 1080,
        "BackupPeriodSaveInterval": "weekly", "BackupPeriodSaveCount": 1,
        "StartBackupPeriodSaveDate": "1970-01-01 00:00:01", "EnableBackupArchive": "off",
        "BackupArchiveDays": 30, "BinlogStandbyDays": 30,
    });
    cloud.ok(config, change(off)).await;
    let mut after = cloud
        .ok("DescribeBackupConfig", json!({"InstanceId": shop}))
        .await;
    after["RequestId"] = before["RequestId"].clone();
    assert_eq!(before, after, "what is off has no effect");
}

/// A server that takes connections and says nothing is given up in time, with
/// the code of one that does not answer.
#[tokio::test(flavor = "multi_thread")]
async fn servers_that_hang_are_given_up() {
    let cloud = Cloud::hurried().await;
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let running = InstanceState::Running;
    let shop = cloud.record_with("shop", running, port, |_| {}).await;
    let stall = cloud.record_with("stall", running, port, |_| {}).await;
    let answer = cloud
        .call(
            BEGIN,
            json!({"Instances": [info_of(&shop), info_of(&stall)]}),
        )
        .await;
    assert_eq!(
        answer["Error"]["Code"], "InternalError.DatabaseAccessError",
        "{answer}"
    );
    let message = answer["Error"]["Message"].as_str().unwrap();
    assert!(message.contains("did not answer within"), "{message}");
    let para = r#"{"rollbacktime":"2016-01-25 17:32:39","dbs":[{"dbname":"a","newname":"b"}]}"#;
    cloud
        .legacy_refused(&[(
            START,
            &[
                ("instances.0.cdbInstanceId", &shop),
                ("instances.0.para", para),
            ],
            "9006",
        )])
        .await;
    let answer = cloud
        .legacy_ok(
            "QueryCdbDatabases",
            &[("cdbInstanceIds.0", &shop), ("cdbInstanceIds.1", &stall)],
        )
        .await;
    for row in [0, 1] {
        assert_eq!(answer["data"][row]["code"], 9006, "{answer}");
    }
    assert_eq!(answer["data"][1]["cdbInstanceId"], stall);
    let answer = cloud
        .legacy_ok(
            "QueryCdbDatabaseTables",
            &[("cdbInstanceId", &shop), ("databases.0", "a")],
        )
        .await;
    assert_eq!(answer["data"][0]["code"], 9006, "{answer}");
    let tables = json!({"InstanceId": shop, "Database": "a"});
    let none = "InternalError.NetworkError";
    cloud
        .refused(&[
            ("DescribeTables", tables, none),
            ("DescribeDatabases", json!({"InstanceId": shop}), none),
        ])
        .await;
    let seen = cloud.ok(LIST, json!({"TaskStatus": [0]})).await;
    assert_eq!(seen["TotalCount"], 2, "no job was made");
}

/// An instance that is not running is told from one whose server is down.
#[tokio::test(flavor = "multi_thread")]
async fn servers_that_do_not_run_are_not_asked() {
    let cloud = Cloud::still().await;
    let isolated = cloud.record("isolated", InstanceState::Isolated).await;
    let of = json!({"InstanceId": isolated});
    let logs = json!({"InstanceId": isolated, "SaveHours": 48, "MaxUsage": 40});
    let tables = json!({"InstanceId": isolated, "Database": "a"});
    cloud
        .refused(&[
            ("DescribeDatabases", of, "OperationDenied"),
            ("DescribeTables", tables, "OperationDenied"),
            ("ModifyLocalBinlogConfig", logs, "UnsupportedOperation"),
        ])
        .await;
    let answer = cloud
        .legacy_ok("QueryCdbDatabases", &[("cdbInstanceIds.0", &isolated)])
        .await;
    assert_eq!(answer["data"][0]["code"], 9593, "{answer}");
    let answer = cloud
        .legacy_ok(
            "QueryCdbDatabaseTables",
            &[("cdbInstanceId", &isolated), ("databases.0", "a")],
        )
        .await;
    assert_eq!(answer["data"][0]["code"], 9593, "{answer}");
}

/// Names with dots, nulls, and blanks around ids.
#[tokio::test(flavor = "multi_thread")]
async fn names_and_ids_as_people_write_them() {
    let cloud = Cloud::still().await;
    let shop = cloud.record("shop", InstanceState::Running).await;
    // A table t of a, and a database a.t: not the same thing twice. That its
    // server does not answer is found out next.
    let info = json!({
        "InstanceId": shop, "Strategy": "full", "RollbackTime": "2024-09-09 16:40:30",
        "Databases": [{"DatabaseName": "a.t", "NewDatabaseName": "b"}],
        "Tables": [{"Database": "a", "Table": [{"TableName": "t", "NewTableName": "u"}]}],
    });
    let mut twice = info.clone();
    twice["Tables"][0]["Table"] = json!([
        {"TableName": "t", "NewTableName": "u"}, {"TableName": "t", "NewTableName": "v"},
    ]);
    cloud
        .refused(&[
            (
                BEGIN,
                json!({"Instances": [info]}),
                "InternalError.DatabaseAccessError",
            ),
            (BEGIN, json!({"Instances": [twice]}), "InvalidParameter"),
        ])
        .await;
    // A database whose tables are not named is not passed over.
    let mut empty = info_of(&shop);
    empty["Tables"] = json!([{"Database": "c", "Table": []}]);
    cloud
        .refused(&[(BEGIN, json!({"Instances": [empty]}), "InvalidParameter")])
        .await;
    let (id, at) = ("instances.0.cdbInstanceId", "instances.0.para");
    let none = r#"{"rollbacktime":"2016-01-25 17:32:39","dbs":[{"dbname":"a","newname":"b"}],"tables":[{"db":"c","table":[]}]}"#;
    cloud
        .legacy_refused(&[(START, &[(id, &shop), (at, none)], "9003")])
        .await;
    let null = r#"{"rollbacktime":"2016-01-25 17:32:39","dbs":null,"tables":[{"db":"a","table":[{"tablename":"t","newname":"u"}]}]}"#;
    let nothing = r#"{"rollbacktime":"2016-01-25 17:32:39","dbs":null,"tables":null}"#;
    cloud
        .legacy_refused(&[
            (START, &[(id, &shop), (at, null)], "9006"),
            (START, &[(id, &shop), (at, nothing)], "9003"),
        ])
        .await;
    let isolating = cloud
        .ok(
            "IsolateDBInstance",
            json!({"InstanceId": format!(" {shop} ")}),
        )
        .await;
    let asked = isolating["AsyncRequestId"].as_str().unwrap();
    for params in [
        json!({"AsyncRequestId": format!(" {asked} ")}),
        json!({"InstanceId": format!(" {shop} "), "AsyncRequestId": " "}),
    ] {
        let seen = cloud.ok("DescribeTasks", params.clone()).await;
        assert_eq!(seen["TotalCount"], 0, "isolation has no type: {params}");
    }
    let spaced = json!({"AsyncRequestId": format!(" {asked} ")});
    cloud.ok("DescribeAsyncRequestInfo", spaced).await;
    cloud
        .refused(&[(
            "DescribeRollbackRangeTime",
            json!({"InstanceIds": [UNKNOWN], "IsRemoteZone": "perhaps"}),
            "InvalidParameter",
        )])
        .await;
}

/// History that cannot be read is told in the row that it is about.
#[tokio::test(flavor = "multi_thread")]
async fn one_history_that_cannot_be_read_does_not_hide_the_others() {
    let cloud = Cloud::still().await;
    let whole = cloud.record("whole", InstanceState::Running).await;
    let broken = cloud.record("broken", InstanceState::Running).await;
    let history = cloud.runtime.history_folder(&broken.parse().unwrap());
    std::fs::create_dir_all(history.parent().unwrap()).unwrap();
    std::fs::write(&history, "a file where the folder should be").unwrap();
    let answer = cloud
        .legacy_ok(
            "QueryCdbRollbackRangeTime",
            &[("cdbInstanceIds.0", &broken), ("cdbInstanceIds.1", &whole)],
        )
        .await;
    let rows = &answer["data"];
    assert_eq!(
        (&rows[0]["code"], &rows[1]["code"]),
        (&json!(9006), &json!(0)),
        "{answer}"
    );
    assert_eq!(rows[0]["cdbInstanceId"], broken);
    assert_eq!(rows[0]["times"], json!([]));
    let ids = json!({"InstanceIds": [broken, whole, whole]});
    let answer = cloud.ok("DescribeRollbackRangeTime", ids).await;
    let codes: Vec<i64> = answer["Items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["Code"].as_i64().unwrap())
        .collect();
    assert_eq!(codes, [1_624_001, 0, 0], "{answer}");
}
