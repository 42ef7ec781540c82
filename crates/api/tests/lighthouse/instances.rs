//! Instances that are the user's own commands: no machine is needed.

use backout_servers::model::PowerCommands;
use serde_json::{Value, json};

use crate::cloud::{Cloud, MIB, UNKNOWN_BLUEPRINT, UNKNOWN_INSTANCE, denied, filter, many, sorted};

fn ids(instances: &[&str]) -> Value {
    json!({"InstanceIds": instances})
}

#[tokio::test(flavor = "multi_thread")]
async fn power_goes_round() {
    let cloud = Cloud::start().await;
    let web = cloud.add("web", cloud.commands("web")).await;
    let db = cloud.add("db", cloud.commands("db")).await;
    assert_eq!(cloud.instance(&web).await["InstanceState"], "RUNNING");

    let both = ids(&[&web, &db]);
    let stop = json!({"InstanceIds": [web, db], "StopType": "HARD"});
    let stopped = cloud.done("StopInstances", stop).await;
    for (id, name) in [(&web, "web"), (&db, "db")] {
        let seen = cloud.until(id, "STOPPED").await;
        assert_eq!(seen["LatestOperation"], "StopInstances");
        assert_eq!(seen["LatestOperationState"], "SUCCESS");
        assert_eq!(seen["LatestOperationRequestId"], stopped["RequestId"]);
        assert!(
            seen["LatestOperationStartedTime"]
                .as_str()
                .unwrap()
                .ends_with('Z')
        );
        assert_eq!(cloud.switched(name), "off");
    }
    // Only what runs can be stopped; all or none.
    cloud
        .refused(&[
            (
                "StopInstances",
                both.clone(),
                "UnsupportedOperation.InvalidInstanceState",
            ),
            (
                "RebootInstances",
                both.clone(),
                "UnsupportedOperation.InvalidInstanceState",
            ),
            (
                "TerminateInstances",
                both.clone(),
                "UnsupportedOperation.InvalidInstanceState",
            ),
        ])
        .await;
    cloud.done("StartInstances", ids(&[&web])).await;
    assert_eq!(cloud.switched("web"), "off on");
    assert_eq!(
        cloud.code("StartInstances", both).await,
        "UnsupportedOperation.InvalidInstanceState"
    );
    assert_eq!(cloud.switched("db"), "off", "all or none");
    let soft = json!({"InstanceIds": [web], "StopType": "SOFT_FIRST"});
    cloud.done("RebootInstances", soft).await;
    assert_eq!(cloud.switched("web"), "off on off on");
    let seen = cloud.instance(&web).await;
    assert_eq!(
        (&seen["InstanceState"], &seen["LatestOperation"]),
        (&json!("RUNNING"), &json!("RebootInstances"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_back_goes() {
    let cloud = Cloud::start().await;
    let web = cloud.add("web", cloud.commands("web")).await;
    let snapshot = cloud.snapshot(&web, "s").await;
    let data = cloud.add_data_disk("data").await;
    let attach = json!({"DiskIds": [data], "InstanceId": web});
    cloud.done("AttachDisks", attach).await;
    let isolate = json!({"InstanceIds": [web], "IsolateDataDisk": true});
    cloud.done("IsolateInstances", isolate).await;
    assert_eq!(cloud.switched("web"), "off");
    let seen = cloud.instance(&web).await;
    assert_eq!(seen["InstanceState"], "SHUTDOWN");
    assert_eq!(seen["LatestOperation"], "IsolateInstances");
    assert!(
        seen["IsolatedTime"].as_str().unwrap().ends_with('Z'),
        "{seen}"
    );
    assert_eq!(cloud.disk(&data).await["DiskState"], "UNATTACHED");
    let of_it = json!({"InstanceId": web});
    let apply = json!({"InstanceId": web, "SnapshotId": snapshot});
    let again = json!({"DiskIds": [data], "InstanceId": web});
    let state = "UnsupportedOperation.InvalidInstanceState";
    cloud
        .refused(&[
            ("StartInstances", ids(&[&web]), state),
            ("StopInstances", ids(&[&web]), state),
            ("RebootInstances", ids(&[&web]), state),
            ("IsolateInstances", ids(&[&web]), state),
            ("ApplyInstanceSnapshot", apply, state),
            ("CreateInstanceSnapshot", of_it, state),
            ("AttachDisks", again, state),
            (
                "CreateBlueprint",
                json!({"BlueprintName": "b", "InstanceId": web}),
                state,
            ),
        ])
        .await;
    let actions = cloud
        .ok("DescribeInstancesDeniedActions", ids(&[&web]))
        .await;
    let row = &actions["InstanceDeniedActionSet"][0];
    assert_eq!(row["InstanceId"], web);
    let denied = denied(row);
    for action in [
        "StartInstances",
        "StopInstances",
        "RebootInstances",
        "IsolateInstances",
    ] {
        assert!(
            denied.contains(&(action.to_owned(), state.to_owned())),
            "{action}: {denied:?}"
        );
    }
    assert!(
        denied
            .iter()
            .all(|(action, _)| action != "TerminateInstances")
    );

    cloud.done("TerminateInstances", ids(&[&web])).await;
    assert_eq!(
        cloud.code("DescribeInstances", ids(&[&web])).await,
        "ResourceNotFound.InstanceIdNotFound"
    );
    assert!(cloud.path("web.img").exists(), "the user's file stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn images_come_and_go_into_disks() {
    let cloud = Cloud::start().await;
    let web = cloud.add("web", cloud.commands("web")).await;
    let disk = cloud.path("web.img");
    let create =
        |name: &str| json!({"BlueprintName": name, "InstanceId": web, "Description": "of web"});
    let made = cloud.done("CreateBlueprint", create("ones")).await;
    assert_eq!(cloud.switched("web"), "off on", "it was stopped for it");
    let image = made["BlueprintId"].as_str().unwrap().to_owned();
    let seen = cloud.instance(&web).await;
    assert_eq!(seen["LatestOperation"], "CreateBlueprint");
    assert_eq!(seen["LatestOperationRequestId"], made["RequestId"]);
    let before = seen["SystemDisk"]["DiskId"].clone();
    let snapshot = cloud.snapshot(&web, "s").await;
    std::fs::write(&disk, vec![2_u8; 1 << 20]).unwrap();

    let reset = json!({"InstanceId": web, "BlueprintId": image});
    let done = cloud.done("ResetInstance", reset).await;
    assert_eq!(std::fs::read(&disk).unwrap(), vec![1_u8; 1 << 20]);
    assert_eq!(cloud.switched("web"), "off on off on");
    let seen = cloud.instance(&web).await;
    assert_eq!(
        (&seen["LatestOperation"], &seen["BlueprintId"]),
        (&json!("ResetInstance"), &json!(image))
    );
    assert_eq!(seen["LatestOperationRequestId"], done["RequestId"]);
    assert_ne!(seen["SystemDisk"]["DiskId"], before);
    // Only the original system disk goes back.
    let apply = json!({"InstanceId": web, "SnapshotId": snapshot});
    assert_eq!(
        cloud.code("ApplyInstanceSnapshot", apply).await,
        "ResourceNotFound.SnapshotNotFound"
    );
    // Made of an image now, it can be reset without naming one.
    cloud
        .done("ResetInstance", json!({"InstanceId": web}))
        .await;
    let listed = cloud
        .ok("DescribeBlueprints", json!({"BlueprintIds": [image]}))
        .await;
    let row = &listed["BlueprintSet"][0];
    assert_eq!(
        (
            &row["BlueprintName"],
            &row["Description"],
            &row["BlueprintState"]
        ),
        (&json!("ones"), &json!("of web"), &json!("NORMAL"))
    );
    let running = json!({"BlueprintName": "m", "InstanceId": web, "ForcePowerOff": false});
    assert_eq!(
        cloud.code("CreateBlueprint", running).await,
        "UnsupportedOperation.InvalidInstanceState"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_for_one_and_for_several() {
    let cloud = Cloud::start().await;
    let web = cloud.add("web", PowerCommands::default()).await;
    let db = cloud.add("db", PowerCommands::default()).await;
    let rename =
        |instances: &[&str], name: &str| json!({"InstanceIds": instances, "InstanceName": name});
    cloud
        .ok("ModifyInstancesAttribute", rename(&[&web], "front"))
        .await;
    assert_eq!(cloud.instance(&web).await["InstanceName"], "front");
    // Names are unique here, so several get numbers behind theirs.
    cloud
        .ok("ModifyInstancesAttribute", rename(&[&web, &db], "node"))
        .await;
    let all = cloud.ok("DescribeInstances", json!({})).await;
    assert_eq!(
        sorted(&all, "InstanceSet", "InstanceName"),
        ["node-1", "node-2"]
    );
    let too_long = "n".repeat(61);
    cloud
        .refused(&[
            (
                "ModifyInstancesAttribute",
                rename(&[&web], "node-2"),
                "InvalidParameterValue",
            ),
            (
                "ModifyInstancesAttribute",
                rename(&[&web], &too_long),
                "InvalidParameterValue.InstanceNameTooLong",
            ),
            ("ModifyInstancesAttribute", ids(&[&web]), "MissingParameter"),
            (
                "ModifyInstancesAttribute",
                rename(&[UNKNOWN_INSTANCE], "x"),
                "ResourceNotFound.InstanceIdNotFound",
            ),
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_have_bounds() {
    let cloud = Cloud::start().await;
    let web = cloud.add("web", cloud.commands("web")).await;
    for action in [
        "StartInstances",
        "StopInstances",
        "RebootInstances",
        "IsolateInstances",
        "TerminateInstances",
        "DescribeInstancesDeniedActions",
    ] {
        let over = if action == "IsolateInstances" {
            21
        } else {
            101
        };
        cloud
            .refused(&[
                (action, ids(&[]), "MissingParameter"),
                (
                    action,
                    json!({"InstanceIds": many("lhins-", over)}),
                    "InvalidParameterValue.LimitExceeded",
                ),
                (
                    action,
                    ids(&[&web, &web]),
                    "InvalidParameterValue.Duplicated",
                ),
                (
                    action,
                    ids(&["web"]),
                    "InvalidParameterValue.InstanceIdMalformed",
                ),
                (
                    action,
                    ids(&[&web, UNKNOWN_INSTANCE]),
                    "ResourceNotFound.InstanceIdNotFound",
                ),
            ])
            .await;
    }
    cloud
        .refused(&[
            (
                "StopInstances",
                json!({"InstanceIds": [web], "StopType": "PLEASE"}),
                "InvalidParameterValue",
            ),
            (
                "RebootInstances",
                json!({"InstanceIds": [web], "StopType": "PLEASE"}),
                "InvalidParameterValue",
            ),
        ])
        .await;
    // Data disks count among the twenty resources of one isolation.
    let mut disks = Vec::new();
    for n in 0..10 {
        disks.push(cloud.add_data_disk(&format!("d{n}")).await);
    }
    let attach = json!({"DiskIds": disks, "InstanceId": web});
    cloud.done("AttachDisks", attach).await;
    let mut crowd = vec![web.clone()];
    for n in 0..10 {
        crowd.push(cloud.add(&format!("w{n}"), PowerCommands::default()).await);
    }
    assert_eq!(
        cloud
            .code("IsolateInstances", json!({"InstanceIds": crowd}))
            .await,
        "LimitExceeded.IsolateResourcesLimitExceeded"
    );
    let mut more = Vec::new();
    for n in 10..17 {
        more.push(cloud.add_data_disk(&format!("d{n}")).await);
    }
    assert_eq!(
        cloud
            .code("AttachDisks", json!({"DiskIds": more, "InstanceId": web}))
            .await,
        "LimitExceeded.AttachDataDiskQuotaLimitExceeded"
    );
    let without = json!({"InstanceIds": crowd, "IsolateDataDisk": false});
    cloud.ok("IsolateInstances", without).await;
    cloud.until(&web, "SHUTDOWN").await;
    assert_eq!(cloud.switched("web"), "off", "nothing was stopped before");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_is_told() {
    let mut cloud = Cloud::start().await;
    let web = cloud.add("web", cloud.commands("web")).await;
    let snapshot = cloud.snapshot(&web, "s").await;
    let data = cloud.add_data_disk("data").await;
    let image = cloud.add_image("image", MIB).await;
    cloud.hold_still().await;
    let new = cloud.add("new", PowerCommands::default()).await;
    let stop = cloud.ok("StopInstances", ids(&[&web])).await;
    let seen = cloud.instance(&web).await;
    assert_eq!(seen["InstanceState"], "STOPPING");
    assert_eq!(seen["LatestOperationState"], "OPERATING");
    assert_eq!(seen["LatestOperationRequestId"], stop["RequestId"]);
    let progress = "OperationDenied.InstanceOperationInProgress";
    let unfinished = "UnsupportedOperation.LatestOperationUnfinished";
    let creating = "OperationDenied.InstanceCreating";
    let state = "UnsupportedOperation.InvalidInstanceState";
    let apply = |id: &str| json!({"InstanceId": id, "SnapshotId": snapshot});
    cloud
        .refused(&[
            ("StartInstances", ids(&[&web]), progress),
            ("StopInstances", ids(&[&web]), progress),
            ("RebootInstances", ids(&[&web]), progress),
            ("IsolateInstances", ids(&[&web]), progress),
            ("TerminateInstances", ids(&[&web]), progress),
            (
                "ResetInstance",
                json!({"InstanceId": web, "BlueprintId": image}),
                progress,
            ),
            (
                "ModifyInstancesAttribute",
                json!({"InstanceIds": [web], "InstanceName": "x"}),
                unfinished,
            ),
            ("ApplyInstanceSnapshot", apply(&web), progress),
            (
                "AttachDisks",
                json!({"DiskIds": [data], "InstanceId": web}),
                progress,
            ),
            (
                "CreateInstanceSnapshot",
                json!({"InstanceId": web}),
                unfinished,
            ),
            (
                "CreateBlueprint",
                json!({"BlueprintName": "b", "InstanceId": web}),
                unfinished,
            ),
            (
                "DeleteSnapshots",
                json!({"SnapshotIds": [snapshot]}),
                "UnsupportedOperation.SnapshotBusy",
            ),
            ("StartInstances", ids(&[&new]), creating),
            ("StopInstances", ids(&[&new]), creating),
            ("RebootInstances", ids(&[&new]), creating),
            ("IsolateInstances", ids(&[&new]), creating),
            ("TerminateInstances", ids(&[&new]), creating),
            (
                "ResetInstance",
                json!({"InstanceId": new, "BlueprintId": image}),
                creating,
            ),
            (
                "ModifyInstancesAttribute",
                json!({"InstanceIds": [new], "InstanceName": "x"}),
                creating,
            ),
            (
                "AttachDisks",
                json!({"DiskIds": [data], "InstanceId": new}),
                creating,
            ),
            (
                "CreateBlueprint",
                json!({"BlueprintName": "b", "InstanceId": new}),
                state,
            ),
        ])
        .await;
    let actions = cloud
        .ok("DescribeInstancesDeniedActions", ids(&[&web, &new]))
        .await;
    for (row, code) in [(0, progress), (1, creating)] {
        let denied = denied(&actions["InstanceDeniedActionSet"][row]);
        assert!(
            denied.contains(&("StopInstances".to_owned(), code.to_owned())),
            "{denied:?}"
        );
    }
    cloud.go_on().await;
    assert_eq!(
        cloud.outcome_of(&stop).await,
        backout_core::outcome::Outcome::Applied
    );

    // A snapshot in the making is an operation of the instance as well.
    cloud.hold_still().await;
    cloud.snapshot(&web, "making").await;
    cloud
        .refused(&[
            ("StartInstances", ids(&[&web]), unfinished),
            ("IsolateInstances", ids(&[&web]), unfinished),
        ])
        .await;
    cloud.go_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_have_filters() {
    let cloud = Cloud::start().await;
    let web = cloud.add("web", cloud.commands("web")).await;
    let db = cloud.add("db", PowerCommands::default()).await;
    let both = {
        let mut both = vec![web.clone(), db.clone()];
        both.sort();
        both
    };
    for (params, expect) in [
        (
            filter("bundle-id", &json!(["bundle_self_hosted"])),
            both.clone(),
        ),
        (filter("bundle-id", &json!(["bundle_1c1g20"])), vec![]),
        (
            filter("instance-state", &json!(["RUNNING"])),
            vec![web.clone()],
        ),
        (filter("instance-state", &json!(["SHUTDOWN"])), vec![]),
        (filter("public-ip-address", &json!(["::1"])), vec![]),
        (
            json!({"OrderField": "EXPIRED_TIME", "Order": "ASC"}),
            both.clone(),
        ),
        (json!({"Offset": 2}), vec![]),
    ] {
        let answer = cloud.ok("DescribeInstances", params.clone()).await;
        assert_eq!(
            sorted(&answer, "InstanceSet", "InstanceId"),
            expect,
            "{params}"
        );
    }
    let answer = cloud.ok("DescribeInstances", json!({"Limit": 1})).await;
    assert_eq!(answer["TotalCount"], 2);
    assert_eq!(sorted(&answer, "InstanceSet", "InstanceId"), [db]);
    cloud
        .refused(&[
            (
                "DescribeInstances",
                filter("private-ip-address", &json!(["somewhere"])),
                "InvalidParameterValue.InvalidIpFormat",
            ),
            (
                "DescribeInstances",
                json!({"OrderField": "COLOUR"}),
                "InvalidParameterValue",
            ),
            (
                "DescribeInstances",
                json!({"OrderField": "EXPIRED_TIME", "Order": "UP"}),
                "InvalidParameterValue",
            ),
            (
                "DescribeInstances",
                json!({"Filters": [{"Name": "tag-key", "Values": ["a"]}, {"Name": "tag-key", "Values": ["b"]}]}),
                "InvalidParameter.InvalidFilter",
            ),
            (
                "DescribeInstances",
                json!({"Filters": [{"Name": "tag-key", "Values": []}]}),
                "InvalidParameter.InvalidFilter",
            ),
        ])
        .await;
}

/// What a self-hosted server cannot do is refused, never left out in silence.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_here_is_refused() {
    let cloud = Cloud::start().await;
    let web = cloud.add("web", PowerCommands::default()).await;
    let blueprint = UNKNOWN_BLUEPRINT;
    // Larger than the disks of the small plans.
    let large = cloud.add_image("large", 41 << 30).await;
    let fitting = cloud
        .ok("DescribeBundles", json!({"BlueprintId": large}))
        .await;
    let all = cloud.ok("DescribeBundles", json!({})).await;
    let (fitting, all) = (&fitting["TotalCount"], &all["TotalCount"]);
    assert!(fitting.as_i64() < all.as_i64(), "{fitting} of {all} fit");
    let new = |more: Value| {
        let mut params = json!({
            "BundleId": "bundle_1c512m10", "BlueprintId": blueprint,
            "InstanceChargePrepaid": {"Period": 1, "RenewFlag": "NOTIFY_AND_AUTO_RENEW"},
        });
        for (name, value) in more.as_object().unwrap() {
            params[name] = value.clone();
        }
        params
    };
    for (more, expect) in [
        (
            json!({"Containers": [{"ContainerImage": "nginx"}]}),
            "UnsupportedOperation",
        ),
        (
            json!({"InitCommand": {"Content": "bHM="}}),
            "UnsupportedOperation",
        ),
        (json!({"DomainName": "example.org"}), "UnsupportedOperation"),
        (json!({"Subdomain": "blog"}), "UnsupportedOperation"),
        (
            json!({"LoginConfiguration": {"Password": "HelloTgHd123_"}}),
            "UnsupportedOperation.InstanceLinuxUnixCreatingNotSupportPassword",
        ),
        (
            json!({"LoginConfiguration": {"AutoGeneratePassword": "YES"}}),
            "UnsupportedOperation.InstanceLinuxUnixCreatingNotSupportPassword",
        ),
        (
            json!({"LoginConfiguration": {"AutoGeneratePassword": "MAYBE"}}),
            "InvalidParameterValue",
        ),
        (
            json!({"LoginConfiguration": {"KeyIds": ["lhkp-7f7lh1fv"]}}),
            "ResourceNotFound.KeyPairNotFound",
        ),
        (
            json!({"LoginConfiguration": {"KeyIds": ["mine"]}}),
            "InvalidParameterValue.KeyPairIdMalformed",
        ),
        (
            json!({"FirewallTemplateId": "lhft-abcd1234"}),
            "ResourceNotFound.FirewallTemplateNotFound",
        ),
        (
            json!({"FirewallTemplateId": "open"}),
            "InvalidParameterValue.FirewallTemplateIdMalformed",
        ),
        (
            json!({"Zones": ["ap-guangzhou-1", "ap-guangzhou-2"]}),
            "InvalidParameterValue.InvalidZone",
        ),
        (
            json!({"InstanceName": "n".repeat(61)}),
            "InvalidParameterValue.InstanceNameTooLong",
        ),
        (
            json!({"InstanceCount": 0}),
            "InvalidParameterValue.OutOfRange",
        ),
        (
            json!({"InstanceCount": 101}),
            "InvalidParameterValue.OutOfRange",
        ),
        (
            json!({"InstanceChargePrepaid": {"Period": 13}}),
            "InvalidParameterValue.OutOfRange",
        ),
        (
            json!({"ClientToken": "t".repeat(65)}),
            "InvalidParameterValue.ClientTokenTooLong",
        ),
        (json!({"ClientToken": "größer"}), "InvalidParameterValue"),
        (
            json!({"BlueprintId": "centos"}),
            "InvalidParameterValue.BlueprintIdMalformed",
        ),
        (
            json!({"BundleId": "bundle_gold"}),
            "InvalidParameter.BundleIdNotFound",
        ),
        (json!({}), "ResourceNotFound.BlueprintIdNotFound"),
        (
            json!({"DryRun": true}),
            "ResourceNotFound.BlueprintIdNotFound",
        ),
    ] {
        let params = new(more);
        assert_eq!(
            cloud.code("CreateInstances", params.clone()).await,
            expect,
            "{params}"
        );
    }
    cloud
        .refused(&[
            (
                "ResetInstance",
                json!({"InstanceId": web, "Containers": [{"ContainerImage": "nginx"}]}),
                "UnsupportedOperation",
            ),
            (
                "ResetInstance",
                json!({"InstanceId": web, "LoginConfiguration": {"Password": "HelloTgHd123_"}}),
                "UnsupportedOperation",
            ),
            (
                "ResetInstance",
                json!({"InstanceId": web, "LoginConfiguration": {"AutoGeneratePassword": "YES"}}),
                "UnsupportedOperation.OperationNotSupportAutoGeneratePassword",
            ),
            (
                "ResetInstance",
                json!({"InstanceId": web, "LoginConfiguration": {"KeyIds": ["lhkp-7f7lh1fv"]}}),
                "ResourceNotFound.KeyPairNotFound",
            ),
            (
                "ResetInstance",
                json!({"InstanceId": web, "BlueprintId": "centos"}),
                "InvalidParameterValue.BlueprintIdMalformed",
            ),
            (
                "ResetInstance",
                json!({"InstanceId": web, "BlueprintId": blueprint}),
                "ResourceNotFound.BlueprintIdNotFound",
            ),
            // It was made of no image.
            (
                "ResetInstance",
                json!({"InstanceId": web}),
                "InvalidParameterValue",
            ),
            (
                "ResetInstance",
                json!({"InstanceId": web, "BlueprintId": large}),
                "InvalidParameterValue.BlueprintConfigNotMatch",
            ),
            (
                "CreateInstances",
                new(json!({"BlueprintId": large})),
                "InvalidParameterValue.BundleAndBlueprintNotMatch",
            ),
            (
                "ResetInstance",
                json!({"InstanceId": UNKNOWN_INSTANCE}),
                "ResourceNotFound.InstanceIdNotFound",
            ),
            (
                "CreateBlueprint",
                json!({"BlueprintName": "b"}),
                "MissingParameter",
            ),
            (
                "CreateBlueprint",
                json!({"BlueprintName": "b", "InstanceId": "web"}),
                "InvalidParameterValue.InstanceIdMalformed",
            ),
            (
                "CreateBlueprint",
                json!({"BlueprintName": "n".repeat(61), "InstanceId": web}),
                "InvalidParameterValue.TooLong",
            ),
            (
                "CreateBlueprint",
                json!({"BlueprintName": "b", "InstanceId": UNKNOWN_INSTANCE}),
                "ResourceNotFound.InstanceIdNotFound",
            ),
        ])
        .await;
    // Nothing came of any of these.
    assert_eq!(
        cloud.ok("DescribeInstances", json!({})).await["TotalCount"],
        1
    );
}
