//! What parameters mean, and that none is dropped without a word.

use backout_wire::Service;
use serde_json::{Value, json};

use crate::cloud::{Cloud, text, with};
use crate::common::pages;

const CREATE: &str = "CreateDataEngine";
const UPDATE: &str = "UpdateDataEngine";

#[test]
fn no_parameter_is_ignored_in_silence() {
    pages::every_parameter_is_read_or_told(
        &[Service::Dlc],
        "docs/dlc-parameters.md",
        &["crates/api/src/dlc"],
    );
}

fn new(name: &str) -> Value {
    json!({
        "EngineType": "spark", "DataEngineName": name, "ClusterType": "spark_private",
        "Mode": 1, "AutoResume": true,
    })
}

/// The light engine of this house is made as what it is.
#[tokio::test(flavor = "multi_thread")]
async fn the_light_engine_poses_as_no_other() {
    let cloud = Cloud::still().await;
    cloud.entry("light", "DuckDB", "").await;
    let light = json!({"EngineType": "duckdb", "ClusterType": "duckdb_cu"});
    cloud.ok(CREATE, with(new("quick"), &light)).await;
    let shown = cloud.look("quick").await;
    assert_eq!(shown["EngineType"], "duckdb");
    assert_eq!(shown["EngineTypeDetail"], "DuckDB");
    assert_eq!(shown["ImageVersionName"], "light");
}

/// What was given is shown, with what has no effect.
#[tokio::test(flavor = "multi_thread")]
async fn an_engine_is_shown_as_it_was_made() {
    let cloud = Cloud::still().await;
    let one = cloud.entry("one", "SparkBatch", "").await;
    let params = with(
        new("sales"),
        &json!({
            "EngineExecType": "BATCH", "Mode": 2, "PayMode": 1, "TimeUnit": "m", "TimeSpan": 12,
            "AutoRenew": 1, "MinClusters": 1, "MaxClusters": 3, "Size": 64, "Message": "of all",
            "CidrBlock": "10.10.0.0/16", "AutoSuspend": true, "AutoSuspendTime": 9,
            "CrontabResumeSuspend": 1,
            "CrontabResumeSuspendStrategy": {"ResumeTime": "0000101-08:00:00", "SuspendStrategy": 1},
            "MaxConcurrency": 7, "TolerableQueueTime": 2, "ResourceType": "Memory_CU",
            "ElasticSwitch": true, "ElasticLimit": 16, "AutoAuthorization": true,
            "EngineNetworkId": "net-1", "EngineGeneration": "superSQL",
            "Tags": [{"TagKey": "team", "TagValue": "red"}],
            "SessionResourceTemplate": {"DriverSize": "small", "ExecutorNums": 4, "ExecutorMaxNumbers": 2},
            "DefaultDataEngine": true,
        }),
    );
    let made = cloud.ok(CREATE, params).await;
    let shown = cloud.look("sales").await;
    for (member, expect) in [
        ("DataEngineId", made["DataEngineId"].clone()),
        ("State", json!(0)),
        ("EngineType", json!("spark")),
        ("EngineTypeDetail", json!("SparkBatch")),
        ("EngineExecType", json!("BATCH")),
        ("EngineGeneration", json!("SuperSQL")),
        ("ClusterType", json!("spark_private")),
        ("Mode", json!(2)),
        ("RenewFlag", json!(1)),
        ("MinClusters", json!(1)),
        ("MaxClusters", json!(3)),
        ("Size", json!(64)),
        ("Message", json!("of all")),
        ("CidrBlock", json!("10.10.0.0/16")),
        ("AutoResume", json!(true)),
        ("AutoSuspend", json!(true)),
        ("AutoSuspendTime", json!(9)),
        ("CrontabResumeSuspend", json!(1)),
        (
            "CrontabResumeSuspendStrategy",
            json!({"ResumeTime": "0000101-08:00:00", "SuspendStrategy": 1}),
        ),
        ("MaxConcurrency", json!(7)),
        ("TolerableQueueTime", json!(2)),
        ("ResourceType", json!("Memory_CU")),
        ("ElasticSwitch", json!(true)),
        ("ElasticLimit", json!(16)),
        ("AutoAuthorization", json!(true)),
        ("EngineNetworkId", json!("net-1")),
        ("TagList", json!([{"TagKey": "team", "TagValue": "red"}])),
        (
            "Permissions",
            json!(["USE", "MODIFY", "OPERATE", "MONITOR", "DELETE"]),
        ),
        ("ImageVersionId", json!(one)),
        ("ImageVersionName", json!("one")),
        ("ChildImageVersionId", Value::Null),
        (
            "SessionResourceTemplate",
            json!({"DriverSize": "small", "ExecutorNums": 4, "ExecutorMaxNumbers": 4}),
        ),
        ("ExpireTime", json!("")),
        ("DefaultDataEngine", json!(false)),
    ] {
        assert_eq!(shown[member], expect, "{member} in {shown}");
    }
    assert_eq!(shown["UserUin"], shown["SubAccountUin"]);
    assert!(shown["CreateTime"].as_i64().unwrap() > 1_700_000_000);
    let address = text(&shown["AccessInfos"][0]["AccessConnectionInfos"][0]);
    assert!(address.contains("127.0.0.1:"), "{address}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_made_is_refused_by_name() {
    let cloud = Cloud::still().await;
    cloud
        .entry(
            "one",
            "SparkSQL",
            "[cluster_parameters]\nthreads = { type = \"integer\", default = 1 }",
        )
        .await;
    let p = |code: &str| format!("InvalidParameter.{code}");
    let f = |code: &str| format!("FailedOperation.{code}");
    let long = "x".repeat(300);
    let tag = |key: &str, value: &str| json!({"Tags": [{"TagKey": key, "TagValue": value}]});
    let many: Vec<Value> = (0..51).map(|n| json!({"TagKey": n.to_string()})).collect();
    let twice = json!({"ConfigItem": "threads", "ConfigValue": "1"});
    for (change, code) in [
        (json!({"EngineType": "flink"}), p("InvalidEngineType")),
        (
            json!({"EngineType": "presto", "ClusterType": "presto_cu", "EngineExecType": "BATCH"}),
            p("InvalidEngineType"),
        ),
        (
            json!({"EngineExecType": "JAR"}),
            f("ParameterValidationFailed"),
        ),
        (
            json!({"EngineGeneration": "Third"}),
            f("ParameterValidationFailed"),
        ),
        (
            json!({"ClusterType": "presto_cu"}),
            p("InvalidDataEngineSpecs"),
        ),
        (json!({"DataEngineName": ""}), p("InvalidDataEngineName")),
        (json!({"DataEngineName": long}), p("InvalidDataEngineName")),
        (
            json!({"DataEngineName": "a\nb"}),
            p("InvalidDataEngineName"),
        ),
        (
            json!({"DataEngineName": null}),
            "MissingParameter".to_owned(),
        ),
        (json!({"Mode": 3}), p("InvalidDataEngineMode")),
        (json!({"PayMode": 2}), p("InvalidPayMode")),
        (json!({"PayMode": 1}), p("DataEngineModeNotMatch")),
        (
            json!({"Mode": 2, "TimeUnit": "h"}),
            p("DataEngineModeNotMatch"),
        ),
        (json!({"TimeUnit": "y"}), p("InvalidTimeUnit")),
        (json!({"TimeSpan": 0}), p("InvalidTimeSpan")),
        (json!({"Size": 0}), p("DataEngineSizeNotMatch")),
        (json!({"Size": 5000}), p("DataEngineSizeNotMatch")),
        (
            json!({"MinClusters": 3, "MaxClusters": 2}),
            p("InvalidDataEngineSpecs"),
        ),
        (
            json!({"CidrBlock": "10.0.0.0"}),
            p("InvalidDataEngineCidrFormat"),
        ),
        (
            json!({"CidrBlock": "10.0.0.0/33"}),
            p("InvalidDataEngineCidrFormat"),
        ),
        (json!({"Message": long}), f("ParameterValidationFailed")),
        (json!({"AutoRenew": 3}), f("ParameterValidationFailed")),
        (
            json!({"CrontabResumeSuspend": 2}),
            f("ParameterValidationFailed"),
        ),
        (json!({"MaxConcurrency": 0}), f("ParameterValidationFailed")),
        (
            json!({"ResourceType": "Huge_CU"}),
            f("ParameterValidationFailed"),
        ),
        (
            json!({"Message": "a\u{0}b"}),
            f("ParameterValidationFailed"),
        ),
        (
            json!({"ImageVersionName": "\u{0}"}),
            f("ParameterValidationFailed"),
        ),
        (
            json!({"MainClusterName": "main"}),
            "UnsupportedOperation".to_owned(),
        ),
        (
            json!({"ImageVersionName": "none"}),
            "ResourceNotFound".to_owned(),
        ),
        (
            json!({"EngineExecType": "BATCH"}),
            "ResourceNotFound".to_owned(),
        ),
        (tag("", "x"), f("IllegalTagKey")),
        (tag("x", "\u{7}"), f("IllegalTagValue")),
        (tag(&long, "x"), f("TagKeyTooLong")),
        (tag("x", &long), f("TagValueTooLong")),
        (json!({"Tags": many}), f("BindTooManyTags")),
        (
            json!({"Tags": [{"TagKey": "x"}, {"TagKey": "x"}]}),
            f("DuplicateTagKey"),
        ),
        (
            json!({"DataEngineConfigPairs": [{"ConfigItem": "color", "ConfigValue": "red"}]}),
            p("ImageParameterNotFound"),
        ),
        (
            json!({"DataEngineConfigPairs": [{"ConfigItem": "threads", "ConfigValue": "red"}]}),
            f("ParameterValidationFailed"),
        ),
        (
            json!({"DataEngineConfigPairs": [twice, twice]}),
            f("ParameterValidationFailed"),
        ),
        (
            json!({"SessionResourceTemplate": {"DriverSize": "vast"}}),
            f("ParameterValidationFailed"),
        ),
    ] {
        cloud
            .refused(&[(CREATE, with(new("shop"), &change), &code)])
            .await;
    }
    let listed = cloud.ok("DescribeDataEngines", json!({})).await;
    assert_eq!(listed["TotalCount"], 0, "nothing was made");
    cloud.ok(CREATE, new("shop")).await;
    let taken = p("DuplicateDataEngineName");
    cloud.refused(&[(CREATE, new("shop"), &taken)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_of_an_engine() {
    let cloud = Cloud::still().await;
    let parameters = "[cluster_parameters]\nthreads = { type = \"integer\", default = 1, allowed = [1, 2] }\n\
         house = { default = \"\", internal = true }\n[session_parameters]\nzone = { default = \"UTC\" }";
    let one = cloud.entry("one", "SparkSQL", parameters).await;
    let engine = cloud.record("e", &one, |e| e.size = 2).await;
    let update = |change: Value| {
        let params = json!({
            "DataEngineName": "e", "Size": 2, "MinClusters": 1, "MaxClusters": 2,
            "AutoResume": false, "Message": "new",
        });
        with(params, &change)
    };
    let plans = json!({"ElasticPlans": [{"MinElasticClusters": 3, "MaxElasticClusters": 2}]});
    cloud
        .refused(&[
            (
                UPDATE,
                update(json!({"Size": 0})),
                "InvalidParameter.InvalidDataEngineSpecs",
            ),
            (
                UPDATE,
                update(json!({"MinClusters": 3})),
                "InvalidParameter.InvalidMinClusters",
            ),
            (
                UPDATE,
                update(json!({"DataEngineName": ""})),
                "InvalidParameter.InvalidDataEngineName",
            ),
            (
                UPDATE,
                update(json!({"DataEngineName": "f"})),
                "ResourceNotFound",
            ),
            (
                UPDATE,
                update(json!({"Message": "x".repeat(251)})),
                "InvalidParameter.InvalidDataEngineDescription",
            ),
            (
                UPDATE,
                update(json!({"ScheduleElasticityConf": plans})),
                "InvalidParameter.InvalidScheduledElasticityMinElasticClusters",
            ),
            (
                UPDATE,
                update(json!({"ElasticLimit": -1})),
                "FailedOperation.ParameterValidationFailed",
            ),
        ])
        .await;
    // The size is as it was: nothing but rows.
    let answer = cloud.ok(UPDATE, update(json!({"MaxConcurrency": 3}))).await;
    assert_eq!(cloud.audited(&answer).await[0].job, None);
    let params = json!({"DataEngineName": "e", "Message": "newer"});
    cloud.ok("ModifyDataEngineDescription", params).await;
    let shown = cloud.look("e").await;
    for (member, expect) in [
        ("MaxClusters", json!(2)),
        ("AutoResume", json!(false)),
        ("MaxConcurrency", json!(3)),
        ("Message", json!("newer")),
        ("State", json!(2)),
    ] {
        assert_eq!(shown[member], expect, "{member}");
    }

    // Where results are kept.
    let lakefs = json!({"DataEngineConfigCommand": "UpdateSparkSQLLakefsPath", "UseLakeFs": true});
    let updatable = cloud
        .ok("DescribeUpdatableDataEngines", lakefs.clone())
        .await;
    assert_eq!(updatable["TotalCount"], 1);
    assert_eq!(
        updatable["DataEngineBasicInfos"][0]["DataEngineType"],
        "SparkSQL"
    );
    let ids = json!({"DataEngineIds": [engine]});
    cloud
        .ok("UpdateDataEngineConfig", with(lakefs.clone(), &ids))
        .await;
    let updatable = cloud
        .ok("DescribeUpdatableDataEngines", lakefs.clone())
        .await;
    assert_eq!(updatable["TotalCount"], 0, "it is so");
    let none = "InvalidParameter.ParameterNotFoundOrBeNone";
    cloud
        .refused(&[
            (
                "UpdateDataEngineConfig",
                with(lakefs.clone(), &json!({"DataEngineIds": []})),
                none,
            ),
            (
                "UpdateDataEngineConfig",
                with(lakefs.clone(), &json!({"DataEngineIds": ["f"]})),
                "ResourceNotFound.DataEngineNotFound",
            ),
            (
                "UpdateDataEngineConfig",
                with(
                    lakefs.clone(),
                    &json!({"DataEngineIds": [engine], "UseLakeFs": null}),
                ),
                none,
            ),
            (
                "DescribeUpdatableDataEngines",
                with(lakefs, &json!({"DataEngineConfigCommand": "Paint"})),
                "InvalidParameterValue",
            ),
        ])
        .await;

    // Settings.
    let set = "UpdateUserDataEngineConfig";
    let pair = |name: &str, value: &str| json!({"ConfigItem": name, "ConfigValue": value});
    let pairs = |pairs: Value| json!({"DataEngineId": engine, "DataEngineConfigPairs": pairs});
    let light = cloud.entry("light", "PrestoSQL", "").await;
    let kind =
        |e: &mut backout_engines::model::Engine| e.kind = backout_engines::model::Kind::PrestoSql;
    let presto = cloud.record("p", &light, kind).await;
    cloud
        .refused(&[
            (set, json!({"DataEngineId": engine}), none),
            (
                set,
                pairs(json!([pair("color", "red")])),
                "InvalidParameter.InvalidWhiteListKey",
            ),
            (
                set,
                pairs(json!([pair("house", "red")])),
                "InvalidParameter.ImageParameterSubmitMethodNotMatch",
            ),
            (
                set,
                pairs(json!([pair("threads", "red")])),
                "InvalidParameter.ImageParameterTypeNotMatch",
            ),
            (
                set,
                pairs(json!([pair("threads", "3")])),
                "InvalidParameter.InvalidDataEngineConfigPairs",
            ),
            (
                set,
                pairs(json!([pair("threads", "1"), pair("threads", "2")])),
                "InvalidParameter.DataEngineConfigPairsDuplicate",
            ),
            (
                set,
                json!({"DataEngineId": presto, "SessionResourceTemplate": {}}),
                "ResourceNotFound.DataEngineTypeOnlySupportBatch",
            ),
        ])
        .await;
    let answer = cloud
        .ok(
            set,
            pairs(json!([pair("threads", "2"), pair("zone", "CET")])),
        )
        .await;
    assert!(
        cloud.audited(&answer).await[0].job.is_some(),
        "it is started anew"
    );
    cloud
        .refused(&[(
            set,
            pairs(json!([])),
            "ResourceNotFound.DataEngineNotActivity",
        )])
        .await;

    // What is only said again.
    let standby = |on: bool| json!({"DataEngineName": "p", "StartStandbyCluster": on});
    cloud.ok("SwitchDataEngine", standby(false)).await;
    let month = |e: &mut backout_engines::model::Engine| {
        (e.mode, e.pay_mode) = (backout_engines::model::Mode::Monthly, 1);
    };
    cloud.record("m", &one, month).await;
    let renew = json!({"DataEngineName": "m", "TimeSpan": 1, "RenewFlag": 2});
    cloud.ok("RenewDataEngine", renew.clone()).await;
    assert_eq!(cloud.look("m").await["RenewFlag"], 2);
    cloud
        .refused(&[
            ("SwitchDataEngine", standby(true), "UnsupportedOperation"),
            (
                "RenewDataEngine",
                with(renew.clone(), &json!({"DataEngineName": "p"})),
                "UnsupportedOperation",
            ),
            (
                "RenewDataEngine",
                with(renew, &json!({"DataEngineName": "f"})),
                "ResourceNotFound.DataEngineNotFound",
            ),
        ])
        .await;
    let config = "DescribeUserDataEngineConfig";
    let by = |name: &str, value: &str| json!({"Filters": [{"Name": name, "Values": [value]}]});
    for (params, expect) in [
        (json!({}), 3),
        (
            json!({"Limit": 1, "Sorting": "asc", "SortBy": "create-time"}),
            1,
        ),
        (by("engine-id", &engine), 1),
        (by("app-id", "7"), 0),
        (by("app-id", &shown["UserAppId"].to_string()), 3),
    ] {
        let answer = cloud.ok(config, params.clone()).await;
        let rows = answer["DataEngineConfigInstanceInfos"].as_array().unwrap();
        assert_eq!(rows.len(), expect, "{params}");
    }
    cloud
        .refused(&[
            (config, by("color", "red"), "InvalidParameterValue"),
            (config, json!({"SortBy": "color"}), "InvalidParameterValue"),
            (config, json!({"Limit": 101}), "InvalidParameter"),
        ])
        .await;
    cloud
        .rows("DELETE FROM engine_configs WHERE engine = $1", &presto)
        .await;
    cloud
        .refused(&[(config, json!({}), "InternalError.DBError")])
        .await;
}
