//! An engine's life: made, switched, rolled back, suspended, and gone, with a
//! small real process for each instance.

use backout_core::outcome::Outcome;
use backout_engines::model::Wanted;
use serde_json::{Value, json};

use crate::cloud::{Cloud, code_of, text};

const CHECK: &str = "CheckDataEngineImageCanBeRollback";
const SWITCH: &str = "SwitchDataEngineImage";
const BACK: &str = "RollbackDataEngineImage";

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_is_switched_and_taken_back() {
    let cloud = Cloud::start().await;
    let parameters = "[cluster_parameters]\nthreads = { type = \"integer\", default = 1 }\n";
    let one = cloud.entry("one", "SparkSQL", parameters).await;
    let minor = cloud.entry("one-1", "SparkSQL", "parent = \"one\"").await;
    let two = cloud.entry("two", "SparkSQL", "").await;

    let made = cloud
        .ok(
            "CreateDataEngine",
            json!({
                "EngineType": "spark", "DataEngineName": "sales", "ClusterType": "spark_cu",
                "Mode": 1, "AutoResume": true, "ImageVersionName": "one", "Size": 4,
                "DataEngineConfigPairs": [{"ConfigItem": "threads", "ConfigValue": "2"}],
            }),
        )
        .await;
    let sales = text(&made["DataEngineId"]);
    assert!(sales.starts_with("DataEngine-"), "{sales}");
    let shown = cloud.settled("sales").await;
    assert_eq!(shown["State"], 2, "{shown}");
    assert_eq!(shown["ImageVersionId"], one);
    assert_eq!(shown["ChildImageVersionId"], minor, "the newest minor one");
    assert_eq!(shown["ImageVersionName"], "one");
    assert_eq!(check(&cloud, &sales).await, None, "nothing was before");

    // Two at once: one wins.
    let switch = json!({"DataEngineId": sales, "NewImageVersionId": two});
    let (first, second) = tokio::join!(cloud.call(SWITCH, &switch), cloud.call(SWITCH, &switch));
    let mut codes = [code_of(&first), code_of(&second)];
    codes.sort_unstable();
    assert_eq!(codes, ["ResourceNotFound.DataEngineNotActivity", "none"]);
    let shown = cloud.settled("sales").await;
    assert_eq!(
        (&shown["State"], &shown["ImageVersionId"]),
        (&json!(2), &json!(two))
    );
    assert_eq!(
        pairs(&cloud, &sales).await,
        [] as [String; 0],
        "two has no parameters"
    );

    // Back with what the check says, the rest empty as the vendor's sample.
    let (from, to) = check(&cloud, &sales).await.expect("it can be taken back");
    let back = json!({"DataEngineId": sales, "FromRecordId": from, "ToRecordId": ""});
    let taken_back = cloud.ok(BACK, back).await;
    let shown = cloud.settled("sales").await;
    assert_eq!(
        (&shown["State"], &shown["ImageVersionId"]),
        (&json!(2), &json!(one))
    );
    assert_eq!(
        pairs(&cloud, &sales).await,
        ["threads=2"],
        "with its parameters"
    );
    assert_ne!(from, to);

    // A second rollback is none; the undo of the first is our own.
    assert_eq!(check(&cloud, &sales).await, None);
    let code = "InvalidParameter.DataEngineImageOperateNotMatch";
    cloud
        .refused(&[(BACK, json!({"DataEngineId": sales}), code)])
        .await;
    let job = cloud.job_of(&taken_back).await;
    assert_eq!(job.outcome, Some(Outcome::Applied));
    let undo = Wanted::Undo { job: job.id };
    let asked = cloud.engines.change(&cloud.caller(), &sales, undo).await;
    assert_eq!(cloud.ended(&asked.unwrap().job).await, Outcome::Applied);
    assert_eq!(cloud.settled("sales").await["ImageVersionId"], two);

    // A version that does not come up leaves the engine as it was.
    let broken = cloud.entry("broken", "SparkSQL", "start_s = 1").await;
    let switch = json!({"DataEngineId": sales, "NewImageVersionId": broken});
    let asked = cloud.ok(SWITCH, switch).await;
    assert_eq!(cloud.job_of(&asked).await.outcome, Some(Outcome::Reverted));
    let shown = cloud.settled("sales").await;
    assert_eq!(
        (&shown["State"], &shown["ImageVersionId"]),
        (&json!(2), &json!(two))
    );
    let events = cloud
        .ok(
            "DescribeDataEngineEvents",
            json!({"DataEngineName": "sales", "Limit": 2}),
        )
        .await;
    let lists = &events["Events"][0];
    for list in ["Time", "EventsAction", "ClusterInfo"] {
        assert_eq!(lists[list].as_array().unwrap().len(), 2, "{lists}");
    }
    assert_eq!(
        events["TotalPages"].as_i64().unwrap(),
        (events["TotalCount"].as_i64().unwrap() + 1) / 2
    );

    // Up to the newest minor version, once there is one.
    let upgrade = json!({"DataEngineId": sales});
    let can = cloud
        .ok("CheckDataEngineImageCanBeUpgrade", upgrade.clone())
        .await;
    assert_eq!(
        (&can["IsUpgrade"], &can["ChildImageVersionId"]),
        (&json!(false), &json!(""))
    );
    let newer = cloud.entry("two-1", "SparkSQL", "parent = \"two\"").await;
    let can = cloud
        .ok("CheckDataEngineImageCanBeUpgrade", upgrade.clone())
        .await;
    assert_eq!(
        (&can["IsUpgrade"], &can["ChildImageVersionId"]),
        (&json!(true), &json!(newer))
    );
    cloud.ok("UpgradeDataEngineImage", upgrade).await;
    assert_eq!(cloud.settled("sales").await["ChildImageVersionId"], newer);

    // Suspended, it is not there to be changed.
    let operate = |word: &str| json!({"DataEngineName": "sales", "Operate": word});
    let answer = cloud
        .ok("SuspendResumeDataEngine", operate("suspend"))
        .await;
    assert_eq!(answer["DataEngineName"], "sales");
    assert_eq!(cloud.settled("sales").await["State"], 1);
    cloud
        .refused(&[
            (
                "RestartDataEngine",
                json!({"DataEngineId": sales}),
                "ResourceNotFound.DataEngineNotRunning",
            ),
            (
                "SuspendResumeDataEngine",
                operate("suspend"),
                "UnsupportedOperation",
            ),
            (
                "UpdateDataEngine",
                json!({
                    "DataEngineName": "sales", "Size": 8, "MinClusters": 1, "MaxClusters": 1,
                    "AutoResume": true, "Message": "",
                }),
                "FailedOperation.ModifyInstanceFailed",
            ),
        ])
        .await;
    cloud.ok("SuspendResumeDataEngine", operate("resume")).await;
    assert_eq!(cloud.settled("sales").await["State"], 2);
    cloud
        .ok(
            "RestartDataEngine",
            json!({"DataEngineId": sales, "ForcedOperation": true}),
        )
        .await;
    assert_eq!(cloud.settled("sales").await["State"], 2);

    cloud
        .ok(
            "DeleteDataEngine",
            json!({"DataEngineNames": ["sales", "sales"]}),
        )
        .await;
    cloud.gone("sales").await;
}

/// From and To of a rollback; none where there is none.
async fn check(cloud: &Cloud, engine: &str) -> Option<(String, String)> {
    let check = cloud.ok(CHECK, json!({"DataEngineId": engine})).await;
    let ids = (text(&check["FromRecordId"]), text(&check["ToRecordId"]));
    let possible = check["IsRollback"].as_bool().unwrap();
    assert_eq!(possible, !ids.0.is_empty() && !ids.1.is_empty());
    possible.then_some(ids)
}

/// The settings of an engine.
async fn pairs(cloud: &Cloud, engine: &str) -> Vec<String> {
    let params = json!({"Filters": [{"Name": "engine-id", "Values": [engine]}]});
    let answer = cloud.ok("DescribeUserDataEngineConfig", params).await;
    let pairs = &answer["DataEngineConfigInstanceInfos"][0]["DataEngineConfigPairs"];
    let one = |pair: &Value| {
        format!(
            "{}={}",
            text(&pair["ConfigItem"]),
            text(&pair["ConfigValue"])
        )
    };
    pairs.as_array().unwrap().iter().map(one).collect()
}
