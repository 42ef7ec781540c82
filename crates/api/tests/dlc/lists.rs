//! Lists: pages, filters, orders; and what is shown of versions and settings.

use backout_core::time::Timestamp;
use backout_engines::model::{EngineState, Kind, Mode, Operation};
use serde_json::{Value, json};

use crate::cloud::{Cloud, REGION, code_of, text};
use crate::common::house::sorted;

const LIST: &str = "DescribeDataEngines";

/// 2026-01-01 00:00:00 in the zone of the vendor.
const NEW_YEAR_MS: i64 = 1_767_196_800_000;

#[tokio::test(flavor = "multi_thread")]
async fn engines_are_paged_filtered_and_ordered() {
    let cloud = Cloud::still().await;
    let image = cloud.entry("one", "SparkSQL", "").await;
    let day = |n: i64| Timestamp(NEW_YEAR_MS + n * 86_400_000);
    cloud
        .record("a", &image, |e| {
            e.created = day(0);
            e.description = "Sales of the north".to_owned();
        })
        .await;
    let batch = cloud
        .record("b", &image, |e| {
            (e.created, e.kind, e.exec_type) = (day(1), Kind::SparkBatch, "BATCH".to_owned());
            e.state = EngineState::Suspended;
        })
        .await;
    cloud
        .record("c", &image, |e| {
            (e.created, e.kind, e.mode) = (day(2), Kind::PrestoSql, Mode::Shared);
        })
        .await;
    cloud
        .record("d", &image, |e| {
            (e.created, e.kind) = (day(3), Kind::StandardSpark);
            (e.mode, e.pay_mode) = (Mode::Monthly, 1);
        })
        .await;
    cloud.record("e", &image, |e| e.created = day(4)).await;
    // A job works on the last one.
    let params = json!({"DataEngineName": "e", "Operate": "suspend"});
    cloud.ok("SuspendResumeDataEngine", params).await;
    // What is damaged is shown without what cannot be read.
    cloud
        .rows("UPDATE engine_uses SET type = 9 WHERE engine = $1", &batch)
        .await;

    let filter = |name: &str, operator: Value, values: Value| json!({"Filters": [{"Name": name, "Operator": operator, "Values": values}]});
    for (params, expect) in [
        (json!({}), "abcde"),
        (json!({"SortBy": "create-time", "Sorting": "desc"}), "edcba"),
        (json!({"Limit": 2}), "ab"),
        (json!({"Limit": 2, "Offset": 4}), "e"),
        (json!({"Limit": 2, "Offset": 40}), ""),
        (
            json!({"Sorting": "desc", "Limit": 1, "Offset": 1, "ExcludePublicEngine": true}),
            "d",
        ),
        (json!({"ExcludePublicEngine": true}), "abde"),
        (json!({"EngineExecType": "BATCH"}), "b"),
        (json!({"EngineType": "presto"}), "c"),
        (json!({"EngineType": "kyuubi"}), ""),
        (json!({"EngineType": ""}), "abcde"),
        (json!({"EngineGeneration": "Native"}), "d"),
        (json!({"EngineTypeDetail": "SparkSQL"}), "ae"),
        (json!({"AccessTypes": ["USE", "DELETE"]}), "abcde"),
        (json!({"ListHasListener": true}), ""),
        (json!({"ListHasListener": false}), "abcde"),
        (json!({"DatasourceConnectionName": "net"}), ""),
        (
            json!({"DatasourceConnectionNameSet": ["net"], "EngineType": "spark"}),
            "",
        ),
        (
            filter("data-engine-name", json!("EQ"), json!(["b", "c"])),
            "b",
        ),
        (
            filter("data-engine-name", json!("IN"), json!(["b", "c"])),
            "bc",
        ),
        (
            filter("data-engine-name", Value::Null, json!(["b", "c"])),
            "bc",
        ),
        (
            filter("data-engine-name", json!("NE"), json!(["b"])),
            "acde",
        ),
        (filter("data-engine-name", json!("GE"), json!(["d"])), "de"),
        (filter("message", json!("LIKE"), json!(["%sales%"])), "a"),
        (filter("engine-type", json!("NE"), json!(["spark"])), "c"),
        (
            filter("engine-type", json!("EQ"), json!(["SparkBatch"])),
            "b",
        ),
        (filter("state", json!("IN"), json!(["1", "2"])), "abcd"),
        (filter("state", json!("EQ"), json!(["0"])), "e"),
        (filter("mode", json!("GT"), json!(["0"])), "abde"),
        (filter("mode", json!("LE"), json!(["1"])), "abce"),
        (
            filter("create-time", json!("LT"), json!(["2026-01-03 00:00:00"])),
            "ab",
        ),
        (
            filter(
                "create-time",
                json!("GE"),
                json!([(NEW_YEAR_MS / 1000).to_string()]),
            ),
            "abcde",
        ),
    ] {
        let answer = cloud.ok(LIST, params.clone()).await;
        let rows = answer["DataEngines"].as_array().unwrap();
        let names: String = rows
            .iter()
            .map(|row| text(&row["DataEngineName"]))
            .collect();
        assert_eq!(names, expect, "{params}");
        if params.get("Limit").is_none() {
            assert_eq!(answer["TotalCount"], rows.len(), "{params}");
        }
    }
    let all = cloud.ok(LIST, json!({"Limit": 1})).await;
    assert_eq!(all["TotalCount"], 5);
    let shown = cloud.ok(LIST, json!({"Limit": 1, "Offset": 1})).await;
    assert_eq!(
        shown["DataEngines"][0]["ImageVersionId"],
        Value::Null,
        "damaged"
    );

    let filters: Vec<Value> = (0..11)
        .map(|_| json!({"Name": "state", "Values": ["2"]}))
        .collect();
    cloud
        .refused(&[
            (LIST, json!({"Limit": 0}), "InvalidParameter"),
            (LIST, json!({"Limit": 101}), "InvalidParameter"),
            (LIST, json!({"Offset": -1}), "InvalidParameter"),
            (LIST, json!({"Sorting": "up"}), "InvalidParameter"),
            (
                LIST,
                json!({"SortBy": "name"}),
                "InvalidParameter.DescribeDataEnginesSortByTypeNotMatch",
            ),
            (LIST, json!({"EngineType": "flink"}), "InvalidParameter"),
            (LIST, json!({"AccessTypes": ["EAT"]}), "InvalidParameter"),
            (LIST, json!({"Filters": filters}), "InvalidParameter"),
            (
                LIST,
                filter("color", json!("EQ"), json!(["red"])),
                "InvalidParameter",
            ),
            (
                LIST,
                filter("state", json!("NEAR"), json!(["2"])),
                "InvalidParameter",
            ),
            (
                LIST,
                filter("state", json!("EQ"), json!(["two"])),
                "InvalidParameter",
            ),
            (
                LIST,
                filter("state", json!("EQ"), json!([])),
                "InvalidParameter",
            ),
        ])
        .await;

    // Who may not do everything sees what he may, and may ask by it.
    let statements = json!({"Version": "1", "Statement": [
        {"Effect": "Allow", "Action": ["dlc:DescribeDataEngines"], "Resource": ["*"]},
        {"Effect": "Allow", "Action": ["dlc:*"], "Resource": ["engine/a"]},
    ]});
    let key = cloud.limited("reader", &statements).await;
    for (access, expect) in [(json!([]), 5), (json!(["USE"]), 1)] {
        let params = json!({"AccessTypes": access});
        let answer = cloud.call_by(&key, LIST, Some(REGION), &params).await;
        assert_eq!(answer["TotalCount"], expect, "{answer}");
        let row = &answer["DataEngines"][0];
        assert_eq!(row["Permissions"].as_array().unwrap().len(), 5, "{row}");
    }
    let params = json!({"DataEngineName": "b"});
    let answer = cloud
        .call_by(&key, "DescribeDataEngine", Some(REGION), &params)
        .await;
    let code = "UnauthorizedOperation.UnauthorizedOperationCode_NoEngineCamPermissions";
    assert_eq!(code_of(&answer), code, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_and_their_parameters() {
    let cloud = Cloud::still().await;
    let parameters = "description = \"first\"\nshared = true\n\
         [cluster_parameters]\nthreads = { type = \"integer\", default = 2, allowed = [2, 4] }\n\
         house = { default = \"x\", internal = true }\n\
         [session_parameters]\nzone = { default = \"UTC\", max_length = 9, description = \"where\" }\n";
    let one = cloud.entry("one", "SparkSQL", parameters).await;
    let child = cloud.entry("one-1", "SparkSQL", "parent = \"one\"").await;
    let python = cloud
        .entry(
            "py",
            "SparkSQL",
            "parent = \"one-1\"\nlevel = \"pyspark\"\ndescription = \"3.12\"",
        )
        .await;
    let two = cloud.entry("two", "SparkSQL", "state = 3").await;
    cloud.entry("light", "DuckDB", "").await;

    let list = "DescribeDataEngineImageVersions";
    for (params, expect) in [
        (json!({"EngineType": "SparkSQL"}), vec![&two, &one]),
        (
            json!({"EngineType": "SparkSQL", "Asc": true}),
            vec![&one, &two],
        ),
        (
            json!({"EngineType": "SparkSQL", "Sort": "UpdateTime", "Asc": true}),
            vec![&one, &two],
        ),
        (json!({"EngineType": "PrestoSQL"}), vec![]),
    ] {
        let answer = cloud.ok(list, params.clone()).await;
        let rows = answer["ImageParentVersions"].as_array().unwrap();
        let ids: Vec<String> = rows
            .iter()
            .map(|row| text(&row["ImageVersionId"]))
            .collect();
        assert_eq!(ids.iter().collect::<Vec<_>>(), expect, "{params}");
        assert_eq!(answer["Total"], expect.len());
    }
    let answer = cloud
        .ok(list, json!({"EngineType": "SparkSQL", "Asc": true}))
        .await;
    let row = &answer["ImageParentVersions"][0];
    for (member, expect) in [
        ("ImageVersion", json!("one")),
        ("Description", json!("first")),
        ("IsPublic", json!(1)),
        ("IsSharedEngine", json!(1)),
        ("State", json!(2)),
        ("EngineType", json!("SparkSQL")),
    ] {
        assert_eq!(row[member], expect, "{member}");
    }
    assert_eq!(text(&row["InsertTime"]).len(), "2026-01-01 00:00:00".len());
    let light = cloud.ok(list, json!({"EngineType": "DuckDB"})).await;
    assert_eq!(light["Total"], 1);

    let engine = cloud.record("e", &one, |_| {}).await;
    let answer = cloud
        .ok(
            "DescribeDataEngineSessionParameters",
            json!({"DataEngineId": engine, "DataEngineName": "e"}),
        )
        .await;
    let rows = answer["DataEngineParameters"].as_array().unwrap();
    let shown: Vec<(String, i64, String, Value)> = rows
        .iter()
        .map(|row| {
            let kind = row["ParameterType"].as_i64().unwrap();
            let pattern = row.get("ValueRegexpLimit").cloned().unwrap_or_default();
            (
                text(&row["KeyName"]),
                kind,
                text(&row["SubmitMethod"]),
                pattern,
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("zone".to_owned(), 1, "User".to_owned(), Value::Null),
            ("house".to_owned(), 3, "BackGround".to_owned(), Value::Null),
            ("threads".to_owned(), 3, "User".to_owned(), json!("^(2|4)$")),
        ]
    );
    assert_eq!(
        (&rows[0]["ValueLengthLimit"], &rows[0]["ValueDefault"]),
        (&json!("9"), &json!("UTC"))
    );

    let answer = cloud
        .ok(
            "DescribeDataEnginePythonSparkImages",
            json!({"ChildImageVersionId": child}),
        )
        .await;
    let row = &answer["PythonSparkImages"][0];
    assert_eq!(
        (&row["SparkImageId"], &row["ChildImageVersionId"]),
        (&json!(python), &json!(child))
    );
    cloud
        .moved_to(&engine, Operation::SwitchImage, &one, 1)
        .await;
    for (framework, expect) in [("python", 0), ("machine-learning", 0)] {
        let params = json!({"DataEngineId": engine, "FrameworkType": framework});
        let answer = cloud.ok("DescribeSessionImageVersion", params).await;
        assert_eq!(
            answer["EngineSessionImages"].as_array().unwrap().len(),
            expect
        );
    }

    let pairs = |name: &str, value: &str| json!([{"ConfigItem": name, "ConfigValue": value}]);
    let check = "CheckDataEngineConfigPairsValidity";
    for (params, bad) in [
        (
            json!({"ChildImageVersionId": child, "DataEngineConfigPairs": pairs("threads", "4")}),
            json!([]),
        ),
        (
            json!({"ImageVersionId": one, "DataEngineConfigPairs": pairs("threads", "3")}),
            json!(["threads"]),
        ),
        (
            json!({"ChildImageVersionId": child, "ImageVersionId": one, "DataEngineConfigPairs": pairs("color", "red")}),
            json!(["color"]),
        ),
        (
            json!({"ImageVersionId": one, "DataEngineConfigPairs": pairs("house", "y")}),
            json!(["house"]),
        ),
        (json!({"ImageVersionId": one}), json!([])),
    ] {
        let answer = cloud.ok(check, params.clone()).await;
        assert_eq!(answer["UnavailableConfig"], bad, "{params}");
        assert_eq!(answer["IsAvailable"], bad == json!([]), "{params}");
    }
    let level = "InvalidParameter.ImageUserRecordsTypeNotMatch";
    let kind = "InvalidParameter.ImageEngineTypeNotMatch";
    cloud
        .refused(&[
            (
                check,
                json!({}),
                "InvalidParameter.ParameterNotFoundOrBeNone",
            ),
            (check, json!({"ChildImageVersionId": one}), level),
            (
                check,
                json!({"ChildImageVersionId": child, "ImageVersionId": two}),
                level,
            ),
            (
                check,
                json!({"ChildImageVersionId": "none"}),
                "ResourceNotFound.ImageVersionNotFound",
            ),
            (
                "DescribeDataEnginePythonSparkImages",
                json!({"ChildImageVersionId": one}),
                level,
            ),
            (
                "DescribeDataEnginePythonSparkImages",
                json!({"ChildImageVersionId": "none"}),
                "ResourceNotFound",
            ),
            (list, json!({"EngineType": "SQL"}), kind),
            (
                list,
                json!({"EngineType": ""}),
                "InvalidParameter.ParameterNotFoundOrBeNone",
            ),
            (
                list,
                json!({"EngineType": "SparkSQL", "Sort": "Name"}),
                "InvalidParameter",
            ),
            (
                "DescribeSessionImageVersion",
                json!({"DataEngineId": engine, "FrameworkType": "cobol"}),
                "InvalidParameter.InvalidConfigValueRegexpNotMatch",
            ),
            (
                "DescribeDataEngineSessionParameters",
                json!({"DataEngineId": engine, "DataEngineName": "f"}),
                "ResourceNotFound.DataEngineNotFound",
            ),
        ])
        .await;
    // A list fails on an entry of the caller's own that is damaged.
    cloud.entry("odd", "SparkSQL", "public = 7").await;
    let code = "InvalidParameter.ImageIsPublicNotMatch";
    cloud
        .refused(&[(list, json!({"EngineType": "SparkSQL"}), code)])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_and_sizes() {
    let cloud = Cloud::still().await;
    let one = cloud.entry("one", "SparkSQL", "").await;
    let engine = cloud
        .record("e", &one, |e| {
            (e.size, e.created) = (2, Timestamp(NEW_YEAR_MS))
        })
        .await;
    cloud
        .moved_to(&engine, Operation::SwitchImage, &one, 2)
        .await;
    cloud
        .moved_to(&engine, Operation::ModifyResource, &one, 8)
        .await;
    let scale = "DescribeDataEnginesScaleDetail";
    for (params, expect) in [
        (json!({}), vec![2, 8]),
        (json!({"DataEngineNames": ["e", "e"]}), vec![2, 8]),
        (json!({"EndTime": "2026-01-01 00:00:00"}), vec![2]),
        (json!({"EndTime": "2025-01-01 00:00:00"}), vec![]),
        (json!({"StartTime": "2090-01-01 00:00:00"}), vec![8]),
    ] {
        let answer = cloud.ok(scale, params.clone()).await;
        let rows = answer["Scales"][0]["ScaleDetail"].as_array().unwrap();
        let sizes: Vec<i64> = rows.iter().map(|row| row["CU"].as_i64().unwrap()).collect();
        assert_eq!(sizes, expect, "{params}");
    }
    let first = cloud.ok(scale, json!({})).await["Scales"][0]["ScaleDetail"][0].take();
    assert_eq!(
        first["StartTime"], "2026-01-01 00:00:00",
        "in the vendor's zone"
    );

    let events = "DescribeDataEngineEvents";
    let answer = cloud
        .ok(events, json!({"DataEngineName": "e", "SessionId": "s"}))
        .await;
    for (member, expect) in [
        ("Events", json!([])),
        ("Page", json!(1)),
        ("Size", json!(10)),
        ("TotalPages", json!(0)),
        ("TotalCount", json!(0)),
    ] {
        assert_eq!(answer[member], expect, "{member}");
    }
    cloud
        .refused(&[
            (events, json!({"DataEngineName": "e", "StartTime": "soon"}), "InvalidParameter.InvalidTimeFormat"),
            (
                events,
                json!({"DataEngineName": "e", "StartTime": "2026-01-02 00:00:00", "EndTime": "2026-01-01 00:00:00"}),
                "InvalidParameter.InvalidTimeParameter",
            ),
            (events, json!({"DataEngineName": "f"}), "ResourceNotFound"),
            ("DescribeEngineUsageInfo", json!({"DataEngineId": engine}), "UnsupportedOperation"),
            ("DescribeEngineUsageInfo", json!({"DataEngineId": "f"}), "ResourceNotFound"),
        ])
        .await;
    assert_eq!(
        sorted(
            &cloud.ok(LIST, json!({})).await,
            "DataEngines",
            "DataEngineId"
        ),
        [engine]
    );
}
