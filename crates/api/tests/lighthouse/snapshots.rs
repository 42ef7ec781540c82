//! Snapshots of system disks.

use std::process::Command;

use backout_core::outcome::Outcome;
use backout_servers::model::PowerCommands;
use backout_servers::persistence::{Page, SnapshotFilter};
use backout_wire::sign::{self, ParamCall};
use serde_json::{Value, json};

use crate::cloud::{Cloud, HOST, UNKNOWN_INSTANCE, UNKNOWN_SNAPSHOT, VERSION};

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_goes_back_and_forth() {
    let cloud = Cloud::start().await;
    let web = cloud.add("web", PowerCommands::default()).await;
    let disk = cloud.path("web.img");
    let first = cloud.snapshot(&web, "first").await;
    std::fs::write(&disk, vec![2_u8; 1 << 20]).unwrap();
    let second = cloud.snapshot(&web, "second").await;
    std::fs::write(&disk, vec![3_u8; 1 << 20]).unwrap();

    let applied = cloud
        .ok(
            "ApplyInstanceSnapshot",
            json!({"InstanceId": web, "SnapshotId": first}),
        )
        .await;
    let seen = cloud.settled(&first).await;
    assert_eq!(std::fs::read(&disk).unwrap(), vec![1_u8; 1 << 20]);
    assert_eq!(seen["LatestOperation"], "RollbackInstanceSnapshot");
    assert_eq!(seen["LatestOperationState"], "SUCCESS");
    assert_eq!(seen["LatestOperationRequestId"], applied["RequestId"]);
    assert_eq!(
        (&seen["SnapshotState"], &seen["Percent"]),
        (&json!("NORMAL"), &json!(100))
    );
    assert_eq!(
        (&seen["DiskUsage"], &seen["DiskSize"]),
        (&json!("SYSTEM_DISK"), &json!(1))
    );

    let instance = cloud
        .ok("DescribeInstances", json!({"InstanceIds": [web]}))
        .await["InstanceSet"][0]
        .clone();
    assert_eq!(instance["LatestOperation"], "ApplyInstanceSnapshot");
    assert_eq!(instance["LatestOperationRequestId"], applied["RequestId"]);
    assert_eq!(
        instance["InstanceState"], "STOPPED",
        "a disk that stands alone"
    );
    assert_eq!(instance["SystemDisk"]["DiskId"], seen["DiskId"]);

    // The newer snapshot survived, and the safety point is not a vendor's.
    let list = cloud.ok("DescribeSnapshots", json!({})).await;
    assert_eq!(list["TotalCount"], 2);
    cloud
        .ok(
            "ApplyInstanceSnapshot",
            json!({"InstanceId": web, "SnapshotId": second}),
        )
        .await;
    cloud.settled(&second).await;
    assert_eq!(std::fs::read(&disk).unwrap(), vec![2_u8; 1 << 20]);

    // And the first rollback can be taken back, to what it replaced.
    let request = backout_core::ids::RequestId(applied["RequestId"].as_str().unwrap().to_owned());
    let job = cloud
        .jobs
        .find_by_request(&request)
        .await
        .unwrap()
        .expect("the call's job is found by its id");
    let lines = backout_api::audit::find_by_request(&cloud.store, &request)
        .await
        .unwrap();
    assert_eq!(
        lines[0].job.as_ref(),
        Some(&job.id),
        "and by its audit line"
    );
    let undo = cloud.servers.undo(&cloud.caller(), &job.id).await.unwrap();
    assert_eq!(cloud.ended(&undo).await, Outcome::Applied);
    assert_eq!(std::fs::read(&disk).unwrap(), vec![3_u8; 1 << 20]);

    cloud
        .ok("DeleteSnapshots", json!({"SnapshotIds": [first, second]}))
        .await;
    assert_eq!(
        cloud.ok("DescribeSnapshots", json!({})).await["TotalCount"],
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_seed_s_own_example_works() {
    let cloud = Cloud::start().await;
    let web = cloud.add("web", PowerCommands::default()).await;
    let snapshot = cloud.snapshot(&web, "first").await;
    // A signed GET, without Region, in both digests.
    for (nonce, sha256) in [(1, false), (2, true)] {
        let call = ParamCall {
            key_id: &cloud.key.secret_id,
            secret: cloud.key.secret_key.expose(),
            token: None,
            sha256,
            method: "GET",
            host: HOST,
            nonce,
            now: cloud.clock.now(),
            params: &[
                ("Action", "ApplyInstanceSnapshot"),
                ("Version", VERSION),
                ("InstanceId", &web),
                ("SnapshotId", &snapshot),
            ],
        };
        let query = sign::v1(&call);
        let headers = [("Host".to_owned(), HOST.to_owned())];
        let answer = cloud.send("GET", "/", &query, &headers, b"").await;
        assert!(answer.get("Error").is_none(), "{answer}");
        cloud.settled(&snapshot).await;
        // The very same request again is a replay.
        let again = cloud.send("GET", "/", &query, &headers, b"").await;
        assert_eq!(again["Error"]["Code"], "AuthFailure.SignatureExpire");
    }
}

/// SEMANTICS section 4, "which error when".
#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_their_codes() {
    let mut cloud = Cloud::start().await;
    let web = cloud.add("web", PowerCommands::default()).await;
    let other = cloud.add("other", PowerCommands::default()).await;
    let good = cloud.snapshot(&web, "good").await;
    let foreign = cloud.snapshot(&other, "foreign").await;
    let apply =
        |instance: &str, snapshot: &str| json!({"InstanceId": instance, "SnapshotId": snapshot});

    for (params, expect) in [
        (
            apply("web", &good),
            "InvalidParameterValue.InstanceIdMalformed",
        ),
        (
            apply("lhins-K31C771O", &good),
            "InvalidParameterValue.InstanceIdMalformed",
        ),
        (
            apply(&web, "lhsnap-"),
            "InvalidParameterValue.SnapshotIdMalformed",
        ),
        (apply(&web, ""), "InvalidParameterValue.SnapshotIdMalformed"),
        (
            apply(UNKNOWN_INSTANCE, &good),
            "ResourceNotFound.InstanceIdNotFound",
        ),
        (
            apply(&web, UNKNOWN_SNAPSHOT),
            "ResourceNotFound.SnapshotIdNotFound",
        ),
        (apply(&web, &foreign), "ResourceNotFound.SnapshotNotFound"),
        (json!({"InstanceId": web}), "MissingParameter"),
        (
            json!({"InstanceId": web, "SnapshotId": null}),
            "MissingParameter",
        ),
        (
            json!({"InstanceId": [web], "SnapshotId": good}),
            "InvalidParameter",
        ),
        (
            json!({"InstanceId": web, "SnapshotId": good, "Force": true}),
            "UnknownParameter",
        ),
    ] {
        assert_eq!(
            cloud.code("ApplyInstanceSnapshot", params.clone()).await,
            expect,
            "{params}"
        );
    }

    // The disk itself.
    let disk = cloud.path("web.img");
    std::fs::write(&disk, vec![1_u8; 2 << 20]).unwrap();
    assert_eq!(
        cloud
            .code("ApplyInstanceSnapshot", apply(&web, &good))
            .await,
        "InvalidParameterValue.DiskSizeNotMatch"
    );
    std::fs::write(&disk, vec![1_u8; 1 << 20]).unwrap();
    let elsewhere = cloud.path("elsewhere.img");
    std::fs::rename(&disk, &elsewhere).unwrap();
    assert_eq!(
        cloud
            .code("ApplyInstanceSnapshot", apply(&web, &good))
            .await,
        "ResourceNotFound.DiskNotFound"
    );
    std::fs::rename(&elsewhere, &disk).unwrap();
    let mut holder = Command::new("sleep")
        .arg("600")
        .stdout(
            std::fs::OpenOptions::new()
                .append(true)
                .open(&disk)
                .unwrap(),
        )
        .spawn()
        .unwrap();
    assert_eq!(
        cloud
            .code("ApplyInstanceSnapshot", apply(&web, &good))
            .await,
        "UnsupportedOperation.DiskBusy"
    );
    holder.kill().unwrap();
    holder.wait().unwrap();
    let points = cloud.path("web.img.backout");
    let hidden = cloud.path("hidden");
    std::fs::rename(&points, &hidden).unwrap();
    assert_eq!(
        cloud
            .code("ApplyInstanceSnapshot", apply(&web, &good))
            .await,
        "ResourceNotFound.SnapshotNotFound"
    );
    std::fs::rename(&hidden, &points).unwrap();

    // While a job is under way.
    cloud.hold_still().await;
    let making = cloud.snapshot(&web, "making").await;
    assert_eq!(cloud.look(&making).await["SnapshotState"], "CREATING");
    assert_eq!(
        cloud
            .code("ApplyInstanceSnapshot", apply(&web, &good))
            .await,
        "UnsupportedOperation.LatestOperationUnfinished"
    );
    assert_eq!(
        cloud
            .code("CreateInstanceSnapshot", json!({"InstanceId": web}))
            .await,
        "UnsupportedOperation.LatestOperationUnfinished"
    );
    assert_eq!(
        cloud
            .code("DeleteSnapshots", json!({"SnapshotIds": [making]}))
            .await,
        "UnsupportedOperation.InvalidSnapshotState"
    );
    assert_eq!(
        cloud
            .code("DeleteSnapshots", json!({"SnapshotIds": [good]}))
            .await,
        "UnsupportedOperation.SnapshotBusy"
    );
    cloud.go_on().await;
    cloud.settled(&making).await;

    // A rollback under way, as the vendor's sample of denied actions has it.
    cloud.hold_still().await;
    cloud.ok("ApplyInstanceSnapshot", apply(&web, &good)).await;
    assert_eq!(cloud.look(&good).await["SnapshotState"], "ROLLBACKING");
    let denied = cloud
        .ok(
            "DescribeSnapshotsDeniedActions",
            json!({"SnapshotIds": [good]}),
        )
        .await;
    let actions = denied["SnapshotDeniedActionSet"][0]["DeniedActions"]
        .as_array()
        .unwrap();
    let codes: Vec<_> = actions
        .iter()
        .map(|a| (a["Action"].as_str().unwrap(), a["Code"].as_str().unwrap()))
        .collect();
    assert_eq!(
        codes,
        [
            (
                "RollbackInstanceSnapshot",
                "UnsupportedOperation.DiskLatestOperationUnfinished"
            ),
            (
                "DeleteSnapshots",
                "UnsupportedOperation.InvalidSnapshotState"
            ),
        ]
    );
    // A snapshot of another server refuses nothing.
    let denied = cloud
        .ok(
            "DescribeSnapshotsDeniedActions",
            json!({"SnapshotIds": [foreign]}),
        )
        .await;
    assert_eq!(
        denied["SnapshotDeniedActionSet"][0]["DeniedActions"],
        json!([])
    );
    let new = cloud.add("new", PowerCommands::default()).await;
    assert_eq!(
        cloud
            .code("CreateInstanceSnapshot", json!({"InstanceId": new}))
            .await,
        "UnsupportedOperation.InvalidInstanceState"
    );
    let pending = cloud
        .ok("DescribeInstances", json!({"InstanceIds": [new]}))
        .await;
    assert_eq!(pending["InstanceSet"][0]["InstanceState"], "PENDING");
    cloud.go_on().await;
    cloud.settled(&good).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_and_paged() {
    let cloud = Cloud::start().await;
    let web = cloud.add("web", PowerCommands::default()).await;
    let db = cloud.add("db", PowerCommands::default()).await;
    let a = cloud.snapshot(&web, "a").await;
    let b = cloud.snapshot(&web, "b").await;
    let c = cloud.snapshot(&db, "c").await;
    let tagged = cloud
        .ok(
            "CreateInstanceSnapshot",
            json!({"InstanceId": db, "Tags": [{"Key": "env", "Value": "prod"}]}),
        )
        .await["SnapshotId"]
        .as_str()
        .unwrap()
        .to_owned();
    let seen = cloud.settled(&tagged).await;
    assert!(
        seen["SnapshotName"].as_str().unwrap().starts_with("db-"),
        "{seen}"
    );
    let disk = cloud.look(&a).await["DiskId"].clone();

    let ids = |answer: &Value| -> Vec<String> {
        let mut ids: Vec<_> = answer["SnapshotSet"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| s["SnapshotId"].as_str().unwrap().to_owned())
            .collect();
        ids.sort();
        ids
    };
    let sorted = |list: &[&String]| {
        let mut list: Vec<String> = list.iter().map(|s| (*s).clone()).collect();
        list.sort();
        list
    };
    let filter = |name: &str, values: Value| json!({"Filters": [{"Name": name, "Values": values}]});
    for (params, expect) in [
        (json!({}), sorted(&[&a, &b, &c, &tagged])),
        (json!({"SnapshotIds": [a, c]}), sorted(&[&a, &c])),
        (json!({"SnapshotIds": [UNKNOWN_SNAPSHOT]}), vec![]),
        (filter("instance-id", json!([web])), sorted(&[&a, &b])),
        (filter("disk-id", json!([disk])), sorted(&[&a, &b])),
        (
            filter("snapshot-name", json!(["a", "c", "z"])),
            sorted(&[&a, &c]),
        ),
        (filter("snapshot-id", json!([b])), sorted(&[&b])),
        (
            filter("tag:env", json!(["prod", "test"])),
            sorted(&[&tagged]),
        ),
        (filter("tag-key", json!(["env"])), sorted(&[&tagged])),
        (filter("tag-value", json!(["test"])), vec![]),
        (
            json!({"Filters": [{"Name": "instance-id", "Values": [web]}, {"Name": "snapshot-name", "Values": ["b"]}]}),
            sorted(&[&b]),
        ),
    ] {
        let answer = cloud.ok("DescribeSnapshots", params.clone()).await;
        assert_eq!(ids(&answer), expect, "{params}");
        assert_eq!(answer["TotalCount"], expect.len(), "{params}");
    }

    // Pages: the total is of all, newest first, text numbers are numbers.
    let mut paged = Vec::new();
    for offset in 0..5 {
        let answer = cloud
            .ok(
                "DescribeSnapshots",
                json!({"Offset": offset.to_string(), "Limit": "1"}),
            )
            .await;
        assert_eq!(answer["TotalCount"], 4);
        paged.extend(ids(&answer));
    }
    assert_eq!(paged, [tagged.clone(), c.clone(), b.clone(), a.clone()]);

    let many = |n: usize| -> Vec<String> { (0..n).map(|i| format!("lhsnap-{i:08}")).collect() };
    for (action, params, expect) in [
        (
            "DescribeSnapshots",
            json!({"Limit": 0}),
            "InvalidParameterValue.OutOfRange",
        ),
        (
            "DescribeSnapshots",
            json!({"Limit": 101}),
            "InvalidParameterValue.OutOfRange",
        ),
        (
            "DescribeSnapshots",
            json!({"Offset": -1}),
            "InvalidParameterValue.Negative",
        ),
        (
            "DescribeSnapshots",
            json!({"Limit": "many"}),
            "InvalidParameter",
        ),
        (
            "DescribeSnapshots",
            json!({"SnapshotIds": ["x"]}),
            "InvalidParameterValue.SnapshotIdMalformed",
        ),
        (
            "DescribeSnapshots",
            json!({"SnapshotIds": many(101)}),
            "InvalidParameterValue.LimitExceeded",
        ),
        (
            "DescribeSnapshots",
            json!({"SnapshotIds": [a], "Filters": [{"Name": "disk-id", "Values": [disk]}]}),
            "InvalidParameter.ParameterConflict",
        ),
        (
            "DescribeSnapshots",
            filter("colour", json!(["red"])),
            "InvalidParameter.InvalidFilterNotSupportedName",
        ),
        (
            "DescribeSnapshots",
            filter("disk-id", json!(["red"])),
            "InvalidParameterValue.InvalidDiskIdMalformed",
        ),
        (
            "DescribeSnapshots",
            filter("snapshot-name", json!(["1", "2", "3", "4", "5", "6"])),
            "InvalidParameter.FilterValueLimitExceeded",
        ),
        (
            "DeleteSnapshots",
            json!({"SnapshotIds": [a, a]}),
            "InvalidParameterValue.Duplicated",
        ),
        (
            "DeleteSnapshots",
            json!({"SnapshotIds": many(11)}),
            "InvalidParameterValue.LimitExceeded",
        ),
        (
            "DeleteSnapshots",
            json!({"SnapshotIds": [a, UNKNOWN_SNAPSHOT]}),
            "ResourceNotFound.SnapshotIdNotFound",
        ),
        (
            "DescribeInstances",
            json!({"InstanceIds": [UNKNOWN_INSTANCE]}),
            "ResourceNotFound.InstanceIdNotFound",
        ),
        (
            "DescribeInstances",
            json!({"Order": "ASC"}),
            "MissingParameter.OrderFieldRequired",
        ),
        (
            "CreateInstanceSnapshot",
            json!({"InstanceId": web, "SnapshotName": "n".repeat(61)}),
            "InvalidParameterValue.SnapshotNameTooLong",
        ),
    ] {
        assert_eq!(
            cloud.code(action, params.clone()).await,
            expect,
            "{action} {params}"
        );
    }
    // What was refused changed nothing: not even the snapshot that was there.
    assert_eq!(
        cloud.ok("DescribeSnapshots", json!({})).await["TotalCount"],
        4
    );

    let names = |answer: &Value| answer["InstanceSet"].as_array().unwrap().len();
    for (params, expect) in [
        (json!({}), 2),
        (filter("instance-name", json!(["web"])), 1),
        (filter("instance-state", json!(["STOPPED"])), 2),
        (filter("instance-state", json!(["RUNNING", "REBOOTING"])), 0),
        (filter("zone", json!(["ap-guangzhou-1"])), 2),
        (filter("zone", json!(["ap-guangzhou-7"])), 0),
        (filter("private-ip-address", json!(["10.0.0.1"])), 0),
    ] {
        let answer = cloud.ok("DescribeInstances", params.clone()).await;
        assert_eq!(names(&answer), expect, "{params}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_renamed() {
    let cloud = Cloud::start().await;
    let web = cloud.add("web", PowerCommands::default()).await;
    let snapshot = cloud.snapshot(&web, "before").await;
    let rename = |id: &str, name: &str| json!({"SnapshotId": id, "SnapshotName": name});
    cloud
        .ok("ModifySnapshotAttribute", rename(&snapshot, "after"))
        .await;
    assert_eq!(cloud.look(&snapshot).await["SnapshotName"], "after");
    let too_long = "n".repeat(61);
    cloud
        .refused(&[
            (
                "ModifySnapshotAttribute",
                rename("lhsnap-", "x"),
                "InvalidParameterValue.SnapshotIdMalformed",
            ),
            (
                "ModifySnapshotAttribute",
                rename(&snapshot, &too_long),
                "InvalidParameterValue.SnapshotNameTooLong",
            ),
            (
                "ModifySnapshotAttribute",
                rename(UNKNOWN_SNAPSHOT, "x"),
                "ResourceNotFound.SnapshotIdNotFound",
            ),
            (
                "ModifySnapshotAttribute",
                json!({"SnapshotId": snapshot}),
                "MissingParameter",
            ),
            (
                "ModifySnapshotAttribute",
                rename(&snapshot, "a\nb"),
                "InvalidParameterValue",
            ),
        ])
        .await;
    assert_eq!(cloud.look(&snapshot).await["SnapshotName"], "after");

    // A safety point is nobody's to rename, to delete or to go back to.
    let applied = json!({"InstanceId": web, "SnapshotId": snapshot});
    cloud.done("ApplyInstanceSnapshot", applied).await;
    let owner = &cloud.admin.owner;
    let page = Page {
        offset: 0,
        limit: 10,
    };
    let all = SnapshotFilter {
        safety: Some(true),
        ..SnapshotFilter::default()
    };
    let (_, points) = cloud.servers.snapshots(owner, all, page).await.unwrap();
    let safety = points[0].0.id.to_string();
    cloud
        .refused(&[
            (
                "ModifySnapshotAttribute",
                rename(&safety, "x"),
                "ResourceNotFound.SnapshotIdNotFound",
            ),
            (
                "DeleteSnapshots",
                json!({"SnapshotIds": [safety]}),
                "ResourceNotFound.SnapshotIdNotFound",
            ),
            (
                "ApplyInstanceSnapshot",
                json!({"InstanceId": web, "SnapshotId": safety}),
                "ResourceNotFound.SnapshotIdNotFound",
            ),
            (
                "DescribeSnapshotsDeniedActions",
                json!({"SnapshotIds": [safety]}),
                "ResourceNotFound",
            ),
        ])
        .await;
}
