//! Instances that are virtual machines. The guest is a disk with nothing to
//! boot: its firmware runs all the same.

use backout_machines::{Machines, State};
use serde_json::{Value, json};

use crate::cloud::{Cloud, MIB, UNKNOWN_BLUEPRINT, filter, sorted};

fn new(blueprint: &str, more: &Value) -> Value {
    let mut params = json!({
        "BundleId": "bundle_1c512m10", "BlueprintId": blueprint,
        "InstanceChargePrepaid": {"Period": 1},
    });
    for (name, value) in more.as_object().unwrap() {
        params[name] = value.clone();
    }
    params
}

#[tokio::test(flavor = "multi_thread")]
async fn a_life() {
    let cloud = Cloud::with_machines().await;
    let image = cloud.add_image("blank", MIB).await;

    // A dry run makes nothing.
    let dry = cloud
        .ok("CreateInstances", new(&image, &json!({"DryRun": true})))
        .await;
    assert_eq!(dry["InstanceIdSet"], json!([]));
    let none = cloud.ok("DescribeInstances", json!({})).await;
    assert_eq!(none["TotalCount"], 0);

    let more = json!({"InstanceName": "web", "ClientToken": "once", "Zones": ["ap-guangzhou-1"],
        "LoginConfiguration": {"AutoGeneratePassword": "NO"}, "AutoVoucher": true,
        "Tags": [{"Key": "env", "Value": "prod"}]});
    let created = cloud.ok("CreateInstances", new(&image, &more)).await;
    let web = created["InstanceIdSet"][0].as_str().unwrap().to_owned();
    // The same call again is the same call; another one is refused.
    let again = cloud.ok("CreateInstances", new(&image, &more)).await;
    assert_eq!(again["InstanceIdSet"], json!([web]));
    let other = json!({"InstanceName": "other", "ClientToken": "once"});
    assert_eq!(
        cloud.code("CreateInstances", new(&image, &other)).await,
        "InvalidParameter"
    );
    let seen = cloud.until(&web, "RUNNING").await;
    assert_eq!(
        (
            &seen["CPU"],
            &seen["Memory"],
            &seen["SystemDisk"]["DiskSize"]
        ),
        (&json!(1), &json!(1), &json!(10))
    );
    assert_eq!(
        (&seen["BundleId"], &seen["BlueprintId"]),
        (&json!("bundle_1c512m10"), &json!(image))
    );
    assert_eq!(seen["LatestOperation"], "CreateInstances");
    assert_eq!(seen["LatestOperationRequestId"], created["RequestId"]);
    assert_eq!(seen["Tags"], json!([{"Key": "env", "Value": "prod"}]));
    let of_size = filter("bundle-id", &json!(["bundle_1c512m10"]));
    let listed = cloud.ok("DescribeInstances", of_size).await;
    assert_eq!(
        sorted(&listed, "InstanceSet", "InstanceId"),
        std::slice::from_ref(&web)
    );

    // A machine that does not answer is not worked on.
    let snapshot = cloud.snapshot(&web, "first").await;
    let machines = Machines::new(
        cloud.folder().join("machines"),
        backout_machines::testing::shim().unwrap(),
    );
    let State::On { pid, .. } = machines.state(&web).unwrap() else {
        panic!("the machine runs");
    };
    let signal = |name: &str| {
        let status = std::process::Command::new("kill")
            .args([name, &pid.to_string()])
            .status();
        assert!(status.unwrap().success());
    };
    let apply = json!({"InstanceId": web, "SnapshotId": snapshot});
    signal("-STOP");
    let silent = cloud.code("ApplyInstanceSnapshot", apply.clone()).await;
    signal("-CONT");
    assert_eq!(silent, "FailedOperation.DescribeInstanceStatus");
    cloud.ok("ApplyInstanceSnapshot", apply).await;
    let seen = cloud.until(&web, "RUNNING").await;
    assert_eq!(seen["LatestOperation"], "ApplyInstanceSnapshot");
    assert_eq!(seen["LatestOperationState"], "SUCCESS");

    let hard = json!({"InstanceIds": [web], "StopType": "HARD"});
    cloud.ok("StopInstances", hard).await;
    cloud.until(&web, "STOPPED").await;
    let made = json!({"BlueprintName": "mine", "InstanceId": web});
    let made = cloud.done("CreateBlueprint", made).await;
    let mine = made["BlueprintId"].as_str().unwrap().to_owned();
    let reset = json!({"InstanceId": web, "BlueprintId": mine});
    cloud.done("ResetInstance", reset).await;
    let seen = cloud.instance(&web).await;
    assert_eq!(seen["LatestOperation"], "ResetInstance");
    assert_eq!(seen["BlueprintId"], mine);
    // The disk is another one now.
    assert_eq!(
        cloud
            .code(
                "ApplyInstanceSnapshot",
                json!({"InstanceId": web, "SnapshotId": snapshot})
            )
            .await,
        "ResourceNotFound.SnapshotNotFound"
    );
    let ids = json!({"InstanceIds": [web]});
    cloud.done("IsolateInstances", ids.clone()).await;
    cloud.done("TerminateInstances", ids.clone()).await;
    assert_eq!(
        cloud.code("DescribeInstances", ids).await,
        "ResourceNotFound.InstanceIdNotFound"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_listed() {
    let cloud = Cloud::start().await;
    let a = cloud.add_image("a", MIB).await;
    let b = cloud.add_image("b", MIB).await;
    let both = {
        let mut both = vec![a.clone(), b.clone()];
        both.sort();
        both
    };
    for (params, expect) in [
        (json!({}), both.clone()),
        (json!({"BlueprintIds": [a]}), vec![a.clone()]),
        (json!({"BlueprintIds": [UNKNOWN_BLUEPRINT]}), vec![]),
        (filter("blueprint-id", &json!([b])), vec![b.clone()]),
        (filter("blueprint-name", &json!(["b"])), vec![b.clone()]),
        (filter("blueprint-type", &json!(["PRIVATE"])), both.clone()),
        (
            filter("blueprint-type", &json!(["APP_OS", "DOCKER"])),
            vec![],
        ),
        (
            filter("platform-type", &json!(["LINUX_UNIX"])),
            both.clone(),
        ),
        (filter("platform-type", &json!(["WINDOWS"])), vec![]),
        (filter("blueprint-state", &json!(["NORMAL"])), both.clone()),
        (filter("blueprint-state", &json!(["OFFLINE"])), vec![]),
        (filter("scene-id", &json!(["lhsc-3bzsddow"])), vec![]),
        (filter("tag-key", &json!(["env"])), vec![]),
    ] {
        let answer = cloud.ok("DescribeBlueprints", params.clone()).await;
        assert_eq!(
            sorted(&answer, "BlueprintSet", "BlueprintId"),
            expect,
            "{params}"
        );
        assert_eq!(answer["TotalCount"], expect.len(), "{params}");
    }
    let page = cloud.ok("DescribeBlueprints", json!({"Limit": 1})).await;
    assert_eq!(page["TotalCount"], 2);
    assert_eq!(page["BlueprintSet"][0]["BlueprintType"], "PRIVATE");
    // Plans that an image fits into: all of them, it is small.
    let fitting = cloud.ok("DescribeBundles", json!({"BlueprintId": a})).await;
    let all = cloud.ok("DescribeBundles", json!({})).await;
    assert_eq!(fitting["TotalCount"], all["TotalCount"]);
    cloud
        .refused(&[
            (
                "DescribeBlueprints",
                json!({"BlueprintIds": ["x"]}),
                "InvalidParameterValue.BlueprintIdMalformed",
            ),
            (
                "DescribeBlueprints",
                json!({"BlueprintIds": [a, a]}),
                "InvalidParameterValue.Duplicated",
            ),
            (
                "DescribeBlueprints",
                json!({"BlueprintIds": [a], "Filters": [{"Name": "blueprint-id", "Values": [a]}]}),
                "InvalidParameter.ParameterConflict",
            ),
            (
                "DescribeBlueprints",
                filter("blueprint-type", &json!(["GOLD"])),
                "InvalidParameterValue.InvalidBlueprintType",
            ),
            (
                "DescribeBlueprints",
                filter("blueprint-state", &json!(["FINE"])),
                "InvalidParameterValue.InvalidBlueprintState",
            ),
            (
                "DescribeBlueprints",
                filter("platform-type", &json!(["AMIGA"])),
                "InvalidParameterValue.InvalidBlueprintPlatformType",
            ),
            (
                "DescribeBlueprints",
                filter("colour", &json!(["red"])),
                "InvalidParameter.InvalidFilterNotSupportedName",
            ),
            (
                "DescribeBlueprints",
                json!({"Limit": 0}),
                "InvalidParameterValue.OutOfRange",
            ),
        ])
        .await;
}
