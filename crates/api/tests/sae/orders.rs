//! Orders while they run: their numbers, their batches, and what is said to
//! them.

use serde_json::{Value, json};

use crate::cloud::{Client, Cloud, READINESS, UNKNOWN, text};
use crate::codes::present;

const MANUAL: &str = r#"{"type":"GrayBatchUpdate","batchUpdate":{"batch":2,"releaseType":"manual"},"grayUpdate":{"gray":1}}"#;
const AUTO: &str =
    r#"{"type":"BatchUpdate","batchUpdate":{"batch":2,"releaseType":"auto","batchWaitTime":1}}"#;

fn order_of(answer: &Value) -> String {
    text(&answer["Data"]["ChangeOrderId"])
}

/// How an application stands.
async fn shown(cloud: &Cloud, application: &str) -> Value {
    let params = json!({"AppId": application});
    cloud.ok("DescribeApplicationStatus", params).await["Data"].take()
}

/// The batch of an order that waits for a person.
fn waiting(order: &Value) -> String {
    let pipelines = order["Pipelines"].as_array().unwrap();
    let waits = pipelines.iter().find(|p| p["Status"] == 8);
    text(&waits.expect("a batch waits")["PipelineId"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_with_every_parameter_goes_batch_by_batch() {
    let cloud = Cloud::start().await;
    let shop = cloud.running("shop", 4).await;
    let first = present(&cloud, &shop).await;
    let deployed = cloud
        .ok(
            "DeployApplication",
            json!({
                "AppId": shop, "PackageType": "PythonZip", "PackageUrl": cloud.package("two"),
                "ChangeOrderDesc": "release two",
            }),
        )
        .await;
    assert_eq!(deployed["Data"]["AppId"], Value::String(shop.clone()));
    assert_eq!(cloud.settled(&order_of(&deployed)).await, 2);
    assert_ne!(present(&cloud, &shop).await, first);

    let asked = json!({
        "AppId": shop, "VersionId": first, "BatchWaitTime": 10, "MinReadyInstances": 1,
        "MinReadyInstanceRatio": 50, "UpdateStrategy": MANUAL,
        "AutoEnableApplicationScalingRule": "true",
    });
    let (status, began) = cloud
        .raw(&cloud.key, Client::Roa, "RollbackApplication", &asked)
        .await;
    assert_eq!(status, 200, "{began}");
    assert_eq!(began["Data"]["IsNeedApproval"], false);
    let order = order_of(&began);

    let seen = cloud.until(&order, 8).await;
    assert_eq!(seen["CoTypeCode"], "CoRollback");
    assert_eq!(seen["BatchType"], "manual");
    assert_eq!(seen["BatchCount"], 3);
    assert_eq!(seen["Auto"], false);
    assert_eq!(seen["SubStatus"], 0);
    assert_eq!(seen["SupportRollback"], true);
    assert_eq!(seen["ApplicationUpdateStrategy"], MANUAL);
    let numbers: Vec<i64> = seen["Pipelines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["Status"].as_i64().unwrap())
        .collect();
    assert_eq!(numbers, [2, 8, 0]);
    let status = cloud
        .ok("DescribeApplicationStatus", json!({"AppId": shop}))
        .await;
    let status = &status["Data"];
    assert_eq!(status["LastChangeOrderStatus"], "WAIT_BATCH_CONFIRM");
    assert_eq!(status["LastChangeOrderRunning"], true);
    assert_eq!(status["CurrentStatus"], "RUNNING");
    assert_eq!(status["SubStatus"], "NORMAL");

    let batch = waiting(&seen);
    let pipeline = cloud
        .ok("DescribePipeline", json!({"PipelineId": batch}))
        .await;
    let pipeline = &pipeline["Data"];
    assert_eq!(pipeline["CoStatus"], "8");
    assert_eq!(pipeline["ShowBatch"], true);
    assert_eq!(pipeline["PipelineStatus"], 0);
    assert_eq!(
        pipeline["NextPipelineId"],
        seen["Pipelines"][2]["PipelineId"]
    );
    let gray = cloud
        .ok(
            "DescribePipeline",
            json!({"PipelineId": seen["Pipelines"][0]["PipelineId"]}),
        )
        .await;
    let stage = &gray["Data"]["StageList"][0];
    assert_eq!(stage["Status"], 2);
    assert_eq!(stage["TaskList"].as_array().unwrap().len(), 1);
    assert_eq!(stage["TaskList"][0]["Message"], "success");

    let confirm = |batch: &str, go: bool| {
        let params = json!({"PipelineId": batch, "Confirm": go});
        let cloud = &cloud;
        async move { cloud.call("ConfirmPipelineBatch", params).await }
    };
    let (status, answer) = confirm(&batch, true).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["Data"]["PipelineId"], Value::String(batch.clone()));
    // A word that is said twice is taken once.
    let mut again = confirm(&batch, true).await;
    if again.0 == 200 {
        // The first was not taken up yet.
        cloud.until(&order, 8).await;
        again = confirm(&batch, true).await;
    }
    assert_eq!(again.1["Code"], "InvalidParameter.WithMessage", "{again:?}");
    let seen = cloud.until(&order, 8).await;
    let last = waiting(&seen);
    assert_ne!(last, batch);
    assert_eq!(confirm(&last, true).await.0, 200);
    assert_eq!(cloud.settled(&order).await, 2);
    assert_eq!(present(&cloud, &shop).await.len(), first.len());
    let config = cloud
        .ok(
            "DescribeApplicationConfig",
            json!({"AppId": shop, "VersionId": first}),
        )
        .await;
    let instances = cloud
        .ok(
            "DescribeApplicationInstances",
            json!({"AppId": shop, "GroupId": shop, "PageSize": 3}),
        )
        .await;
    let instances = &instances["Data"];
    assert_eq!(instances["TotalSize"], 4);
    assert_eq!(instances["Instances"].as_array().unwrap().len(), 3);
    assert_eq!(
        instances["Instances"][0]["InstanceHealthStatus"],
        "WithoutLivenessConfig"
    );
    assert_eq!(config["Data"]["Replicas"], 4);
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_fails_stops_and_is_taken_back() {
    let cloud = Cloud::start().await;
    let shop = cloud.running("shop", 3).await;
    let broken = json!({
        "AppId": shop, "PackageType": "PythonZip", "PackageUrl": cloud.package(""),
        "MinReadyInstances": 2, "UpdateStrategy": AUTO,
        // Asked once a second, and it is over after the first end.
        "Readiness": READINESS,
    });
    let order = order_of(&cloud.ok("DeployApplication", broken).await);
    // It stands still, and what serves goes on.
    let mut seen = Value::Null;
    for _ in crate::cloud::tries() {
        seen = cloud
            .ok("DescribeChangeOrder", json!({"ChangeOrderId": order}))
            .await["Data"]
            .take();
        if seen["SubStatus"] == 1 {
            break;
        }
        tokio::time::sleep(crate::cloud::PAUSE).await;
    }
    assert_eq!(
        (&seen["Status"], &seen["SubStatus"]),
        (&json!(1), &json!(1))
    );
    assert!(!text(&seen["ErrorMessage"]).is_empty(), "{seen}");
    let status = cloud
        .ok("DescribeApplicationStatus", json!({"AppId": shop}))
        .await;
    assert_eq!(status["Data"]["SubStatus"], "RUNNING_BUT_HAS_ERROR");
    let back = cloud
        .ok(
            "AbortAndRollbackChangeOrder",
            json!({"ChangeOrderId": order}),
        )
        .await;
    let back = order_of(&back);
    assert_ne!(back, order, "the way back is an order of its own");
    assert_eq!(cloud.settled(&order).await, 6);
    assert_eq!(cloud.settled(&back).await, 2);
    let seen = cloud
        .ok("DescribeChangeOrder", json!({"ChangeOrderId": back}))
        .await;
    assert_eq!(seen["Data"]["CoTypeCode"], "CoRollback");
    assert_eq!(seen["Data"]["SupportRollback"], false);
    // Neither is taken back again.
    for over in [&order, &back] {
        cloud
            .refused(&[(
                "AbortAndRollbackChangeOrder",
                json!({"ChangeOrderId": over}),
                "InvalidParameter.WithMessage",
            )])
            .await;
    }
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_and_words() {
    let cloud = Cloud::start().await;
    let shop = cloud.running("shop", 2).await;
    let package = cloud.package("two");
    let deploy = |strategy: &str| {
        json!({
            "AppId": shop, "PackageType": "PythonZip", "PackageUrl": package,
            "MinReadyInstances": 1, "UpdateStrategy": strategy,
        })
    };
    // A batch that waits for its time.
    let order = order_of(&cloud.ok("DeployApplication", deploy(AUTO)).await);
    let seen = cloud.until(&order, 9).await;
    assert_eq!(seen["BatchType"], "auto");
    assert_eq!(seen["BatchWaitTime"], 1);
    cloud
        .ok("AbortChangeOrder", json!({"ChangeOrderId": order}))
        .await;
    assert_eq!(cloud.settled(&order).await, 6);
    // A batch that a person does not let go ends the order as it is.
    let manual = AUTO
        .replace("auto", "manual")
        .replace(",\"batchWaitTime\":1", "");
    let restart = json!({
        "AppId": shop, "Envs": "[{\"name\":\"A\",\"value\":\"1\"}]", "MinReadyInstances": 1,
        "UpdateStrategy": manual,
    });
    let order = order_of(&cloud.ok("DeployApplication", restart).await);
    let seen = cloud.until(&order, 8).await;
    let params = json!({"PipelineId": waiting(&seen), "Confirm": false});
    cloud.ok("ConfirmPipelineBatch", params).await;
    assert_eq!(cloud.settled(&order).await, 6);
    for (action, params, code) in [
        (
            "AbortChangeOrder",
            json!({"ChangeOrderId": order}),
            "InvalidParameter.WithMessage",
        ),
        (
            "AbortChangeOrder",
            json!({"ChangeOrderId": UNKNOWN}),
            "InvalidParameter.WithMessage",
        ),
        (
            "ConfirmPipelineBatch",
            json!({"PipelineId": UNKNOWN, "Confirm": true}),
            "InvalidParameter.WithMessage",
        ),
        (
            "ConfirmPipelineBatch",
            json!({"PipelineId": UNKNOWN, "Confirm": "maybe"}),
            "InvalidParameter.Obviously",
        ),
        (
            "DescribeChangeOrder",
            json!({}),
            "InvalidParameter.NotEmpty",
        ),
    ] {
        cloud.refused(&[(action, params, code)]).await;
    }
    let listed = cloud
        .ok("ListChangeOrders", json!({"AppId": shop, "CoStatus": "6"}))
        .await;
    assert_eq!(listed["Data"]["TotalSize"], 2);
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_waits_for_approval() {
    let mut cloud = Cloud::still().await;
    cloud.go_on().await;
    let shop = cloud.running("shop", 1).await;
    cloud.hold_still().await;
    let statements = json!([
        {"Effect": "Allow", "Action": "sae:*", "Resource": "*"},
        {"Effect": "Approve", "Action": "sae:RestartApplication", "Resource": "*"},
    ]);
    let key = cloud.limited("deployer", &statements).await;
    let params = json!({"AppId": shop, "MinReadyInstances": 0});
    let (status, answer) = cloud
        .raw(&key, Client::Acs3, "RestartApplication", &params)
        .await;
    assert_eq!(status, 200, "{answer}");
    let order = order_of(&answer);
    let seen = cloud.until(&order, 11).await;
    assert_eq!(seen["ApprovalId"], Value::String(order.clone()));
    let status = cloud
        .ok("DescribeApplicationStatus", json!({"AppId": shop}))
        .await;
    assert_eq!(status["Data"]["LastChangeOrderStatus"], "WAIT_APPROVAL");
    // It counts as one that runs.
    cloud
        .refused(&[(
            "StopApplication",
            json!({"AppId": shop}),
            "Application.ChangerOrderRunning",
        )])
        .await;
    cloud.apps.approve(&cloud.caller(), &order).await.unwrap();
    cloud.until(&order, 12).await;
    cloud.go_on().await;
    assert_eq!(cloud.settled(&order).await, 2);
    cloud.stop().await;
}

/// What is there before an order runs, and how one ends that could not be done.
#[tokio::test(flavor = "multi_thread")]
async fn orders_that_are_not_done() {
    let mut cloud = Cloud::start().await;
    let shop = cloud.running("shop", 1).await;
    let bare = cloud.bare("bare").await;
    cloud.hold_still().await;
    let package = cloud.package("two");
    let deploy = |application: &str| {
        json!({
            "AppId": application, "PackageType": "PythonZip", "PackageUrl": package,
            "Replicas": 1, "Command": "python main.py", "MinReadyInstances": 0,
        })
    };
    let broken = order_of(&cloud.ok("DeployApplication", deploy(&bare)).await);
    let seen = cloud.until(&broken, 0).await;
    assert_eq!(seen["SubStatus"], 0);
    assert_eq!(shown(&cloud, &bare).await["LastChangeOrderStatus"], "READY");
    cloud.break_order(&broken).await;
    let seen = cloud.until(&broken, 10).await;
    assert_eq!(seen["ErrorMessage"], "failed to keep its promise (BO0001)");
    assert_eq!(
        shown(&cloud, &bare).await["LastChangeOrderStatus"],
        "SYSTEM_FAIL"
    );
    let failed = order_of(&cloud.ok("DeployApplication", deploy(&shop)).await);
    cloud.lose_packages();
    cloud.go_on().await;
    assert_eq!(cloud.settled(&failed).await, 3);
    let after = shown(&cloud, &shop).await;
    assert_eq!(after["LastChangeOrderStatus"], "FAIL");
    assert_eq!(after["RunningInstances"], 1, "it serves on");
    cloud.stop().await;
}
