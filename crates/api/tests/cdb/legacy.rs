//! The legacy API: seed 002.

use backout_core::code::Code;
use backout_databases::model::{
    Detail, InstanceState, Renamed, RollbackDetail, Standing, Strategy, TaskKind,
};
use backout_history::TableName;
use serde_json::{Value, json};

use crate::cloud::{Cloud, UNKNOWN, number};
use crate::common::pages;

const JOBS: &str = "GetCdbRollbackJob";

fn renamed<T>(from: T, to: T) -> Renamed<T> {
    Renamed { from, to }
}

pub fn detail(databases: &[(&str, &str)], tables: &[(&str, &str)]) -> Detail {
    let name = |text: &str| TableName::new("shop", text);
    Detail {
        rollback: Some(RollbackDetail {
            strategy: Strategy::Full,
            // 17:32:39 in the zone of the instance.
            until_us: Some(1_453_714_359_000_000),
            asked: "2016-01-25 17:32:39".to_owned(),
            databases: databases
                .iter()
                .map(|(from, to)| renamed((*from).to_owned(), (*to).to_owned()))
                .collect(),
            tables: tables
                .iter()
                .map(|(from, to)| renamed(name(from), name(to)))
                .collect(),
            road: None,
            cut: None,
            kept: None,
            undone: None,
            proofs: Vec::new(),
            made: None,
        }),
        ..Detail::default()
    }
}

/// The answer that the vendor's page shows.
fn sample() -> Value {
    json!({
        "code": "0", "message": "", "codeDesc": "Success",
        "data": {"taskCount": "1", "taskList": [{
            "code": "0", "message": "", "jobId": "1343",
            "startTime": "2016-01-25 17:32:59", "endTime": "2016-01-25 17:35:02",
            "name": "test, test_bak", "newName": "test_bakee, test_bak_bak",
            "progress": "100", "status": "2", "taskMessage": "Rollback is successful",
            "taskProgress": "100", "taskStatus": "2", "type": "10",
            "taskContext": {"data": {
                "operator": "231323", "rollbackTime": "2016-01-25 17:32:39",
                "dbs": [
                    {"dbname": "test", "newname": "test_bakee"},
                    {"dbname": "test_bak", "newname": "test_bak_bak"},
                ],
            }},
        }]},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_seed_s_sample_member_by_member() {
    let cloud = Cloud::still().await;
    let shop = cloud.record("shop", InstanceState::Running).await;
    let dbs = [("test", "test_bakee"), ("test_bak", "test_bak_bak")];
    let task = cloud
        .task(
            &shop,
            TaskKind::Rollback,
            Standing::Applied,
            detail(&dbs, &[]),
        )
        .await;
    let answer = cloud.legacy_ok(JOBS, &[("cdbInstanceId", &shop)]).await;
    // All but what cannot be the same: the number of the job, and of the account.
    let mut expect = sample();
    let job = &mut expect["data"]["taskList"][0];
    job["jobId"] = json!(task.number.to_string());
    let operator = &answer["data"]["taskList"][0]["taskContext"]["data"]["operator"];
    assert!(
        operator
            .as_str()
            .is_some_and(|o| o.bytes().all(|b| b.is_ascii_digit())),
        "{operator}"
    );
    job["taskContext"]["data"]["operator"] = operator.clone();
    assert_eq!(answer, expect);
}

#[tokio::test(flavor = "multi_thread")]
async fn types_states_and_names() {
    let cloud = Cloud::still().await;
    let shop = cloud.record("shop", InstanceState::Running).await;
    for (standing, detail, kind, status, name) in [
        (Standing::Applied, detail(&[("a", "b")], &[]), "1", "2", "a"),
        (
            Standing::Failed,
            detail(&[], &[("t", "u")]),
            "10",
            "3",
            "shop.t",
        ),
        (
            Standing::Stopped,
            detail(&[("a", "b")], &[("t", "u")]),
            "10",
            "4",
            "a, shop.t",
        ),
    ] {
        cloud
            .task(&shop, TaskKind::Rollback, standing, detail)
            .await;
        let answer = cloud
            .legacy_ok(JOBS, &[("cdbInstanceId", &shop), ("limit", "1")])
            .await;
        // The newest.
        let job = &answer["data"]["taskList"][0];
        assert_eq!(job["type"], kind);
        assert_eq!(
            (&job["status"], &job["taskStatus"]),
            (&json!(status), &json!(status))
        );
        assert_eq!(job["name"], name);
    }
    // Other work is no rollback.
    cloud
        .task(
            &shop,
            TaskKind::Restart,
            Standing::Applied,
            Detail::default(),
        )
        .await;
    let answer = cloud.legacy_ok(JOBS, &[("cdbInstanceId", &shop)]).await;
    assert_eq!(answer["data"]["taskCount"], "3");
}

/// SEMANTICS section 3: paging.
#[tokio::test(flavor = "multi_thread")]
async fn pages() {
    let cloud = Cloud::still().await;
    let shop = cloud.record("shop", InstanceState::Running).await;
    let mut numbers = Vec::new();
    for _ in 0..55 {
        let task = cloud
            .task(
                &shop,
                TaskKind::Rollback,
                Standing::Applied,
                detail(&[("a", "b")], &[]),
            )
            .await;
        numbers.push(task.number.to_string());
    }
    numbers.reverse();
    for (page, from, to) in [
        (&[][..], 0, 50),
        (&[("offset", "50")][..], 50, 55),
        (&[("limit", "100")][..], 0, 55),
        (&[("limit", "1"), ("offset", "54")][..], 54, 55),
        (&[("offset", "55")][..], 55, 55),
    ] {
        let params: Vec<_> = [("cdbInstanceId", shop.as_str())]
            .into_iter()
            .chain(page.iter().copied())
            .collect();
        let answer = cloud.legacy_ok(JOBS, &params).await;
        assert_eq!(answer["data"]["taskCount"], "55", "the total");
        let found: Vec<String> = answer["data"]["taskList"]
            .as_array()
            .unwrap()
            .iter()
            .map(|job| job["jobId"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(found, numbers[from..to], "{page:?}");
    }
    for (parameter, value) in [
        ("limit", "0"),
        ("limit", "101"),
        ("limit", "-1"),
        ("limit", "many"),
        ("limit", ""),
        ("limit", "1.5"),
        ("offset", "-1"),
        ("offset", "x"),
    ] {
        let answer = cloud
            .legacy(JOBS, &[("cdbInstanceId", &shop), (parameter, value)])
            .await;
        assert_eq!(
            number(&answer),
            Some("9003"),
            "{parameter}={value}: {answer}"
        );
        assert_eq!(
            (&answer["code"], &answer["codeDesc"]),
            (&json!(4000), &json!("InvalidParameter"))
        );
    }
}

/// Every number of the seed's table, by its cause; the two that are of the
/// vendor's own insides by the fault switch.
#[tokio::test(flavor = "multi_thread")]
async fn the_six_numbers_of_the_seed() {
    let contract = pages::read("contract/cdb_v2.json");
    let contract: Value = serde_json::from_str(&contract).unwrap();
    let table: Vec<String> = contract["operations"][JOBS]["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["module_code"].to_string())
        .collect();
    assert_eq!(table, ["9003", "9006", "9013", "9016", "9590", "9593"]);

    let cloud = Cloud::still().await;
    let shop = cloud.record("shop", InstanceState::Running).await;
    let params: &[(&str, &str)] = &[("cdbInstanceId", &shop)];
    cloud
        .legacy_refused(&[
            (JOBS, &[], "9003"),
            (JOBS, &[("cdbInstanceId", "shop")], "9003"),
            (JOBS, &[("cdbInstanceId", UNKNOWN)], "9003"),
            (JOBS, &[("cdbInstanceId", &shop), ("color", "red")], "9003"),
        ])
        .await;
    for state in [
        InstanceState::Creating,
        InstanceState::Isolating,
        InstanceState::Isolated,
        InstanceState::Removing,
    ] {
        let other = cloud.record(state.as_str(), state).await;
        cloud
            .legacy_refused(&[(JOBS, &[("cdbInstanceId", &other)], "9593")])
            .await;
    }
    // What is on record of a task cannot be read.
    let task = cloud
        .task(
            &shop,
            TaskKind::Rollback,
            Standing::Applied,
            detail(&[("a", "b")], &[]),
        )
        .await;
    cloud
        .damage(
            "UPDATE database_tasks SET standing = 'odd' WHERE job = $1",
            task.job.as_str(),
        )
        .await;
    cloud.legacy_refused(&[(JOBS, params, "9590")]).await;
    // What is on record of the database cannot be read.
    cloud
        .damage("UPDATE databases SET facts = 'odd' WHERE id = $1", &shop)
        .await;
    cloud.legacy_refused(&[(JOBS, params, "9006")]).await;
    for code in ["9013", "9016"] {
        cloud.faults.clear(cloud.owner()).await.unwrap();
        cloud.let_fail("cdb:GetCdbRollbackJob", code).await;
        cloud.legacy_refused(&[(JOBS, params, code)]).await;
    }
}

/// The other operations, by their own tables.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_the_other_operations() {
    let cloud = Cloud::still().await;
    let shop = cloud.record("shop", InstanceState::Running).await;
    let isolated = cloud.record("isolated", InstanceState::Isolated).await;
    let start = "RollbackCdbDatabaseTables";
    let para = r#"{"rollbacktime":"2016-01-25 17:32:39","dbs":[{"dbname":"a","newname":"b"}]}"#;
    let empty = r#"{"rollbacktime":"2016-01-25 17:32:39"}"#;
    let timeless = r#"{"rollbacktime":"yesterday","dbs":[{"dbname":"a","newname":"b"}]}"#;
    let (id, at) = ("instances.0.cdbInstanceId", "instances.0.para");
    cloud
        .legacy_refused(&[
            (start, &[], "9003"),
            (start, &[(id, &shop)], "9003"),
            (start, &[(id, &shop), (at, "no JSON")], "9003"),
            (start, &[(id, &shop), (at, empty)], "9003"),
            (start, &[(id, &shop), (at, timeless)], "9003"),
            (start, &[(id, UNKNOWN), (at, para)], "11041"),
            (start, &[(id, &isolated), (at, para)], "9570"),
            ("GetCdbRollbackJobTask", &[("jobId", "7")], "9003"),
            ("GetCdbRollbackJobTask", &[("jobId", "-7")], "9003"),
            ("GetCdbRollbackJobTask", &[("jobId", "seven")], "9003"),
            (
                "QueryCdbRollbackRangeTime",
                &[("cdbInstanceIds.0", UNKNOWN)],
                "11041",
            ),
            (
                "QueryCdbRollbackRangeTime",
                &[("cdbInstanceIds.0", "x")],
                "9003",
            ),
            (
                "DescribeCdbInstances",
                &[("cdbInstanceIds.0", UNKNOWN)],
                "9572",
            ),
            ("DescribeCdbInstances", &[("status.0", "3")], "9003"),
            ("DescribeCdbInstances", &[("limit", "101")], "9003"),
            (
                "QueryCdbDatabases",
                &[("cdbInstanceIds.0", UNKNOWN)],
                "9003",
            ),
            (
                "QueryCdbDatabaseTables",
                &[("cdbInstanceId", UNKNOWN), ("databases.0", "a")],
                "9003",
            ),
            ("GetCdbJobList", &[("taskTypeList.0", "4")], "9003"),
            ("GetCdbJobList", &[("taskStatusList.0", "1")], "9003"),
            ("GetCdbJobList", &[("startTimeBegin", "soon")], "9003"),
        ])
        .await;
    // Its server does not answer: the row says so.
    let answer = cloud
        .legacy_ok("QueryCdbDatabases", &[("cdbInstanceIds.0", &shop)])
        .await;
    assert_eq!(answer["data"][0]["code"], 9006, "{answer}");
    assert_eq!(answer["data"][0]["databaseList"], json!([]));
    let message = answer["data"][0]["message"].as_str().unwrap();
    assert!(!message.contains("secret"), "{message}");
    // What is known but not served, and what nobody knows.
    for action in ["GetCdbExportLogUrl", "NoSuchThing"] {
        let operation = backout_wire::find(backout_wire::Service::CdbV2, action);
        let params: &[(&str, &str)] = match operation {
            Some(_) => &[("cdbInstanceId", &shop), ("type", "binlog")],
            None => &[],
        };
        let answer = cloud.legacy(action, params).await;
        assert_eq!(answer["code"], 6100, "{action}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_instances_and_jobs() {
    let cloud = Cloud::still().await;
    let shop = cloud.record("shop", InstanceState::Running).await;
    let gone = cloud.record("gone", InstanceState::Isolated).await;
    let list = "DescribeCdbInstances";
    let answer = cloud.legacy_ok(list, &[]).await;
    assert_eq!(
        answer["totalCount"], 1,
        "those that run, when nothing is said"
    );
    let row = &answer["cdbInstanceSet"][0];
    assert_eq!(row["uInstanceId"], shop);
    assert_eq!((&row["status"], &row["taskStatus"]), (&json!(1), &json!(0)));
    assert_eq!(row["engineVersion"], "10.11");
    let answer = cloud
        .legacy_ok(list, &[("status.0", "5"), ("status.1", "1")])
        .await;
    assert_eq!(answer["totalCount"], 2);
    let answer = cloud.legacy_ok(list, &[("cdbInstanceIds.0", &gone)]).await;
    assert_eq!(answer["cdbInstanceSet"][0]["status"], 5);

    let failed = cloud
        .task(
            &shop,
            TaskKind::Rollback,
            Standing::Failed,
            detail(&[("a", "b")], &[]),
        )
        .await;
    cloud
        .damage(
            "UPDATE database_tasks SET error_code = 'BO0023', error_message = 'copy rows: no space' WHERE job = $1",
            failed.job.as_str(),
        )
        .await;
    cloud
        .task(
            &shop,
            TaskKind::Restart,
            Standing::Applied,
            Detail::default(),
        )
        .await;
    let list = "GetCdbJobList";
    for (params, expect) in [
        (&[][..], 2),
        (&[("taskTypeList.0", "7")][..], 1),
        (&[("taskTypeList.0", "10")][..], 0),
        (&[("taskTypeList.0", "1"), ("taskTypeList.1", "10")][..], 1),
        (&[("taskStatusList.0", "3")][..], 1),
        (&[("taskStatusList.0", "5")][..], 0),
        // It began at 17:32:59 in the zone of its instance.
        (
            &[
                ("startTimeBegin", "2016-01-25"),
                ("StartTimeEnd", "2016-01-25"),
            ][..],
            2,
        ),
        (&[("startTimeBegin", "2016-01-26")][..], 0),
        (&[("StartTimeEnd", "2016-01-25 17:32:58")][..], 0),
        (&[("StartTimeEnd", "2016-01-25 17:32:59")][..], 2),
        (&[("jobId", "1000")][..], 0),
    ] {
        let answer = cloud.legacy_ok(list, params).await;
        assert_eq!(answer["totalCount"], expect, "{params:?}: {answer}");
    }
    let answer = cloud.legacy_ok(list, &[("taskStatusList.0", "3")]).await;
    let row = &answer["data"][0];
    assert_eq!((&row["type"], &row["status"]), (&json!(1), &json!(3)));
    assert_ne!(row["code"], "0");
    assert_eq!(
        row["message"],
        format!("failed to copy rows: no space ({})", Code::NoSpace)
    );
    assert_eq!(row["startTime"], "2016-01-25 17:32:59");
    assert_eq!(row["detail"][0]["cdbInstanceName"], "shop");
}
