//! Data disks and their backups.

use std::process::Command;

use backout_core::outcome::Outcome;
use backout_servers::model::PowerCommands;
use backout_servers::{NewDisk, Source};
use serde_json::{Value, json};

use crate::cloud::{
    Cloud, MIB, UNKNOWN_BACKUP, UNKNOWN_DISK, UNKNOWN_INSTANCE, denied, filter, many, sorted,
};

fn apply(disk: &str, backup: &str) -> Value {
    json!({"DiskId": disk, "DiskBackupId": backup})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_goes_to_an_instance_and_back() {
    let cloud = Cloud::start().await;
    let web = cloud.add("web", cloud.commands("web")).await;
    let data = cloud.add_data_disk("data").await;
    let seen = cloud.disk(&data).await;
    assert_eq!(
        (&seen["DiskState"], &seen["Attached"], &seen["InstanceId"]),
        (&json!("UNATTACHED"), &json!(false), &json!(""))
    );
    assert_eq!(
        (&seen["LatestOperation"], &seen["LatestOperationState"]),
        (&json!("CreateDisks"), &json!("SUCCESS"))
    );
    let attached = cloud
        .done(
            "AttachDisks",
            json!({"DiskIds": [data], "InstanceId": web, "RenewFlag": "NOTIFY_AND_AUTO_RENEW"}),
        )
        .await;
    let seen = cloud.disk(&data).await;
    assert_eq!(
        (&seen["DiskState"], &seen["Attached"], &seen["InstanceId"]),
        (&json!("ATTACHED"), &json!(true), &json!(web))
    );
    assert_eq!(seen["LatestOperation"], "AttachDisks");
    assert_eq!(seen["LatestOperationRequestId"], attached["RequestId"]);

    let system = cloud.instance(&web).await["SystemDisk"]["DiskId"].clone();
    let state = "UnsupportedOperation.InvalidDiskState";
    let usage = "OperationDenied.DiskUsageNotSupportOperation";
    let detach = |disks: &[&str]| json!({"DiskIds": disks});
    cloud
        .refused(&[
            (
                "AttachDisks",
                json!({"DiskIds": [data], "InstanceId": web}),
                state,
            ),
            (
                "AttachDisks",
                json!({"DiskIds": [system], "InstanceId": web}),
                state,
            ),
            (
                "AttachDisks",
                json!({"DiskIds": [UNKNOWN_DISK], "InstanceId": web}),
                "ResourceNotFound.DiskIdNotFound",
            ),
            (
                "AttachDisks",
                json!({"DiskIds": [data], "InstanceId": UNKNOWN_INSTANCE}),
                "ResourceNotFound.InstanceIdNotFound",
            ),
            (
                "AttachDisks",
                json!({"DiskIds": ["x"], "InstanceId": web}),
                "InvalidParameterValue.InvalidDiskIdMalformed",
            ),
            (
                "AttachDisks",
                json!({"DiskIds": [data], "InstanceId": "web"}),
                "InvalidParameterValue.InstanceIdMalformed",
            ),
            (
                "AttachDisks",
                json!({"DiskIds": many("lhdisk-", 101), "InstanceId": web}),
                "InvalidParameterValue",
            ),
            (
                "DetachDisks",
                json!({"DiskIds": [data, data]}),
                "InvalidParameterValue",
            ),
            ("DetachDisks", json!({"DiskIds": []}), "MissingParameter"),
            (
                "DetachDisks",
                json!({"DiskIds": [UNKNOWN_DISK]}),
                "ResourceNotFound.DiskIdNotFound",
            ),
            (
                "DetachDisks",
                json!({"DiskIds": ["x"]}),
                "InvalidParameterValue.InvalidDiskIdMalformed",
            ),
            ("DetachDisks", json!({"DiskIds": [system]}), usage),
        ])
        .await;
    let actions = cloud
        .ok(
            "DescribeDisksDeniedActions",
            json!({"DiskIds": [data, system]}),
        )
        .await;
    let set = &actions["DiskDeniedActionSet"];
    assert_eq!(set[0]["DiskId"], data);
    assert_eq!(denied(&set[0]), [("AttachDisks".into(), state.into())]);
    assert_eq!(
        denied(&set[1]),
        [
            ("AttachDisks".into(), state.into()),
            ("DetachDisks".into(), usage.into()),
            ("CreateDiskBackup".into(), usage.into()),
        ]
    );
    cloud
        .refused(&[
            (
                "DescribeDisksDeniedActions",
                json!({"DiskIds": [UNKNOWN_DISK]}),
                "ResourceNotFound",
            ),
            (
                "DescribeDisksDeniedActions",
                json!({"DiskIds": ["x"]}),
                "InvalidParameterValue.InvalidDiskIdMalformed",
            ),
        ])
        .await;

    cloud.done("DetachDisks", detach(&[&data])).await;
    let seen = cloud.disk(&data).await;
    assert_eq!(seen["DiskState"], "UNATTACHED");
    assert_eq!(seen["LatestOperation"], "DetachDisks");
    assert_eq!(cloud.code("DetachDisks", detach(&[&data])).await, state);
    assert_eq!(cloud.switched("web"), "", "nobody was stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_goes_back_to_its_backups() {
    let cloud = Cloud::start().await;
    let web = cloud.add("web", cloud.commands("web")).await;
    let data = cloud.add_data_disk("data").await;
    let file = cloud.path("data.img");
    let first = cloud.backup(&data, "first").await;
    std::fs::write(&file, vec![2_u8; 1 << 20]).unwrap();
    let second = cloud.backup(&data, "second").await;
    std::fs::write(&file, vec![3_u8; 1 << 20]).unwrap();
    let seen = cloud.look_at_backup(&first).await;
    assert_eq!(
        (
            &seen["DiskBackupName"],
            &seen["DiskBackupState"],
            &seen["Percent"]
        ),
        (&json!("first"), &json!("NORMAL"), &json!(100))
    );
    assert_eq!(seen["LatestOperation"], "CreateDiskBackup");
    assert_eq!(
        (&seen["DiskId"], &seen["DiskUsage"], &seen["DiskSize"]),
        (&json!(data), &json!("DATA_DISK"), &json!(1))
    );
    let counted = cloud.disk(&data).await;
    assert_eq!(counted["DiskBackupCount"], 2);
    assert!(counted["DiskBackupQuota"].as_i64().unwrap() > 2);

    // Alone, and with a host that runs, which is stopped by force meanwhile.
    let applied = cloud.done("ApplyDiskBackup", apply(&data, &first)).await;
    assert_eq!(std::fs::read(&file).unwrap(), vec![1_u8; 1 << 20]);
    let seen = cloud.look_at_backup(&first).await;
    assert_eq!(
        (&seen["LatestOperation"], &seen["LatestOperationState"]),
        (&json!("ApplyDiskBackup"), &json!("SUCCESS"))
    );
    assert_eq!(seen["LatestOperationRequestId"], applied["RequestId"]);
    let disk = cloud.disk(&data).await;
    assert_eq!(disk["LatestOperation"], "ApplyDiskBackup");
    assert_eq!(disk["DiskBackupCount"], 2, "a safety point is no backup");
    let attach = json!({"DiskIds": [data], "InstanceId": web});
    cloud.done("AttachDisks", attach).await;
    // The contract's own example ends with a blank.
    let with_blank = apply(&data, &format!("{second} "));
    cloud.done("ApplyDiskBackup", with_blank).await;
    assert_eq!(std::fs::read(&file).unwrap(), vec![2_u8; 1 << 20]);
    assert_eq!(cloud.switched("web"), "off on");

    let rename = |ids: &[&str], name: &str| json!({"DiskBackupIds": ids, "DiskBackupName": name});
    cloud
        .ok(
            "ModifyDiskBackupsAttribute",
            rename(&[&first, &second], "kept"),
        )
        .await;
    assert_eq!(
        cloud.look_at_backup(&second).await["DiskBackupName"],
        "kept"
    );
    let too_long = "n".repeat(91);
    cloud
        .refused(&[
            (
                "ModifyDiskBackupsAttribute",
                rename(&[&first, UNKNOWN_BACKUP], "x"),
                "ResourceNotFound.DiskBackupIdNotFound",
            ),
            (
                "ModifyDiskBackupsAttribute",
                rename(&["x"], "x"),
                "InvalidParameterValue.DiskBackupIdMalformed",
            ),
            (
                "ModifyDiskBackupsAttribute",
                rename(&[&first], &too_long),
                "InvalidParameterValue",
            ),
            (
                "ModifyDiskBackupsAttribute",
                json!({"DiskBackupIds": [first]}),
                "MissingParameter",
            ),
            (
                "ModifyDiskBackupsAttribute",
                rename(&[&first, &first], "x"),
                "InvalidParameterValue",
            ),
        ])
        .await;
    assert_eq!(cloud.look_at_backup(&first).await["DiskBackupName"], "kept");

    cloud
        .done(
            "DeleteDiskBackups",
            json!({"DiskBackupIds": [first, second]}),
        )
        .await;
    let left = cloud.ok("DescribeDiskBackups", json!({})).await;
    assert_eq!(left["TotalCount"], 0);
    assert_eq!(cloud.disk(&data).await["DiskBackupCount"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_backups_have_their_codes() {
    let mut cloud = Cloud::start().await;
    let web = cloud.add("web", cloud.commands("web")).await;
    let system = cloud.instance(&web).await["SystemDisk"]["DiskId"].clone();
    let system = system.as_str().unwrap();
    let data = cloud.add_data_disk("data").await;
    let other = cloud.add_data_disk("other").await;
    let good = cloud.backup(&data, "good").await;
    let foreign = cloud.backup(&other, "foreign").await;
    let spare = cloud.backup(&data, "spare").await;
    let usage = "OperationDenied.DiskUsageNotSupportOperation";
    let create = |disk: &str| json!({ "DiskId": disk });
    let delete = |backup: &str| json!({ "DiskBackupIds": [backup] });
    cloud
        .refused(&[
            ("CreateDiskBackup", create(system), usage),
            (
                "CreateDiskBackup",
                create(UNKNOWN_DISK),
                "ResourceNotFound.DiskNotExists",
            ),
            (
                "CreateDiskBackup",
                create("data"),
                "InvalidParameterValue.InvalidDiskIdMalformed",
            ),
            (
                "CreateDiskBackup",
                json!({"DiskId": data, "DiskBackupName": "n".repeat(91)}),
                "InvalidParameterValue.DiskBackupNameTooLong",
            ),
            ("ApplyDiskBackup", apply(system, &good), usage),
            (
                "ApplyDiskBackup",
                apply(UNKNOWN_DISK, &good),
                "ResourceNotFound.DiskNotExists",
            ),
            (
                "ApplyDiskBackup",
                apply(&data, UNKNOWN_BACKUP),
                "ResourceNotFound.DiskBackupNotExists",
            ),
            (
                "ApplyDiskBackup",
                apply(&data, "x"),
                "InvalidParameterValue.DiskBackupIdMalformed",
            ),
            (
                "ApplyDiskBackup",
                apply("x", &good),
                "InvalidParameterValue.InvalidDiskIdMalformed",
            ),
            (
                "ApplyDiskBackup",
                apply(&data, &foreign),
                "UnsupportedOperation.ApplyDiskBackupToAnotherDisk",
            ),
            (
                "DeleteDiskBackups",
                delete(UNKNOWN_BACKUP),
                "ResourceNotFound.DiskBackupIdNotFound",
            ),
            (
                "DeleteDiskBackups",
                delete("x"),
                "InvalidParameterValue.DiskBackupIdMalformed",
            ),
            (
                "DeleteDiskBackups",
                json!({"DiskBackupIds": [good, good]}),
                "InvalidParameterValue",
            ),
            (
                "DescribeDiskBackupsDeniedActions",
                delete(UNKNOWN_BACKUP),
                "ResourceNotFound",
            ),
        ])
        .await;

    // The file itself.
    let file = cloud.path("data.img");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, vec![1_u8; 2 << 20]).unwrap();
    assert_eq!(
        cloud.code("ApplyDiskBackup", apply(&data, &good)).await,
        "UnsupportedOperation.InvalidDiskState"
    );
    std::fs::write(&file, &whole).unwrap();
    let elsewhere = cloud.path("elsewhere.img");
    std::fs::rename(&file, &elsewhere).unwrap();
    cloud
        .refused(&[
            (
                "ApplyDiskBackup",
                apply(&data, &good),
                "ResourceNotFound.DiskNotExists",
            ),
            (
                "CreateDiskBackup",
                create(&data),
                "ResourceNotFound.DiskNotExists",
            ),
        ])
        .await;
    std::fs::rename(&elsewhere, &file).unwrap();
    let open = std::fs::OpenOptions::new().append(true).open(&file);
    let mut holder = Command::new("sleep")
        .arg("600")
        .stdout(open.unwrap())
        .spawn()
        .unwrap();
    assert_eq!(
        cloud.code("ApplyDiskBackup", apply(&data, &good)).await,
        "OperationDenied.DiskBusyForBackupOperation"
    );
    holder.kill().unwrap();
    holder.wait().unwrap();

    // While a backup is made.
    cloud.hold_still().await;
    let making = cloud.backup(&data, "making").await;
    let seen = cloud.look_at_backup(&making).await;
    assert_eq!(seen["DiskBackupState"], "CREATING");
    assert_eq!(seen["LatestOperationState"], "OPERATING");
    cloud
        .refused(&[
            (
                "CreateDiskBackup",
                create(&data),
                "OperationDenied.DiskBusyForBackupOperation",
            ),
            (
                "ApplyDiskBackup",
                apply(&data, &good),
                "OperationDenied.DiskBusyForBackupOperation",
            ),
            (
                "ApplyDiskBackup",
                apply(&data, &making),
                "UnsupportedOperation.InvalidDiskBackupState",
            ),
            (
                "DeleteDiskBackups",
                delete(&making),
                "UnsupportedOperation.InvalidDiskBackupState",
            ),
            (
                "DeleteDiskBackups",
                delete(&good),
                "UnsupportedOperation.DiskBackupLatestOperationUnfinished",
            ),
            (
                "AttachDisks",
                json!({"DiskIds": [data], "InstanceId": web}),
                "UnsupportedOperation.DiskLatestOperationUnfinished",
            ),
        ])
        .await;
    let actions = cloud
        .ok(
            "DescribeDiskBackupsDeniedActions",
            json!({"DiskBackupIds": [good, foreign]}),
        )
        .await;
    let set = &actions["DiskBackupDeniedActionSet"];
    assert_eq!(set[0]["DiskBackupId"], good);
    assert_eq!(
        denied(&set[0]),
        [
            (
                "ApplyDiskBackup".into(),
                "OperationDenied.DiskBusyForBackupOperation".into()
            ),
            (
                "DeleteDiskBackups".into(),
                "UnsupportedOperation.DiskBackupLatestOperationUnfinished".into()
            ),
        ]
    );
    assert_eq!(denied(&set[1]), []);
    cloud.go_on().await;
    cloud.disk_settled(&data).await;

    // While one goes.
    cloud.hold_still().await;
    let going = cloud.ok("DeleteDiskBackups", delete(&spare)).await;
    cloud
        .refused(&[
            (
                "ApplyDiskBackup",
                apply(&data, &spare),
                "OperationDenied.DiskBackupBusy",
            ),
            (
                "DeleteDiskBackups",
                delete(&spare),
                "OperationDenied.DiskBackupOperationInProgress",
            ),
        ])
        .await;
    cloud.go_on().await;
    assert_eq!(cloud.outcome_of(&going).await, Outcome::Applied);

    // While the disk itself is worked on, or its host.
    cloud.hold_still().await;
    let attach = cloud
        .ok("AttachDisks", json!({"DiskIds": [data], "InstanceId": web}))
        .await;
    assert_eq!(cloud.disk(&data).await["DiskState"], "ATTACHING");
    let new = cloud.add_data_disk("new").await;
    assert_eq!(cloud.disk(&new).await["DiskState"], "PENDING");
    let progress = "OperationDenied.DiskOperationInProgress";
    let unfinished = "UnsupportedOperation.LatestOperationUnfinished";
    cloud
        .refused(&[
            ("CreateDiskBackup", create(&data), progress),
            ("ApplyDiskBackup", apply(&data, &good), progress),
            ("DetachDisks", json!({"DiskIds": [data]}), progress),
            (
                "AttachDisks",
                json!({"DiskIds": [other], "InstanceId": web}),
                "OperationDenied.InstanceOperationInProgress",
            ),
            (
                "AttachDisks",
                json!({"DiskIds": [new], "InstanceId": web}),
                "OperationDenied.DiskCreating",
            ),
            (
                "DetachDisks",
                json!({"DiskIds": [new]}),
                "OperationDenied.DiskCreating",
            ),
            (
                "CreateDiskBackup",
                create(&new),
                "UnsupportedOperation.InvalidDiskState",
            ),
        ])
        .await;
    cloud.go_on().await;
    assert_eq!(cloud.outcome_of(&attach).await, Outcome::Applied);
    cloud.hold_still().await;
    cloud
        .ok("RebootInstances", json!({"InstanceIds": [web]}))
        .await;
    cloud
        .refused(&[
            ("CreateDiskBackup", create(&data), unfinished),
            ("ApplyDiskBackup", apply(&data, &good), unfinished),
            ("DetachDisks", json!({"DiskIds": [data]}), unfinished),
        ])
        .await;
    cloud.go_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_sorted_and_paged() {
    let cloud = Cloud::start().await;
    let web = cloud.add("web", PowerCommands::default()).await;
    let a = cloud.add_data_disk("a").await;
    let new = NewDisk {
        format: None,
        name: "b".into(),
        source: Source::Blank {
            size_bytes: 3 << 30,
        },
        driver: None,
        tags: vec![backout_servers::model::Tag {
            key: "env".into(),
            value: "prod".into(),
        }],
    };
    let (b, job) = cloud.servers.add_disk(&cloud.caller(), new).await.unwrap();
    assert_eq!(cloud.ended(&job).await, Outcome::Applied);
    assert!(b.volume.size_bytes > 1000 * MIB);
    let b = b.volume.id.to_string();
    let attach = json!({"DiskIds": [a], "InstanceId": web});
    cloud.done("AttachDisks", attach).await;
    let system = cloud.instance(&web).await["SystemDisk"]["DiskId"].clone();
    let system = system.as_str().unwrap().to_owned();
    // A system disk shows what was last asked of its instance.
    let seen = cloud.disk(&system).await;
    assert_eq!(
        (&seen["DiskName"], &seen["LatestOperation"]),
        (&json!("web"), &json!("CreateInstances"))
    );
    let of = |list: &[&String]| {
        let mut list: Vec<String> = list.iter().map(|s| (*s).clone()).collect();
        list.sort();
        list
    };
    for (params, expect) in [
        (json!({}), of(&[&a, &b, &system])),
        (json!({"DiskIds": [a, b]}), of(&[&a, &b])),
        (filter("disk-id", &json!([b])), of(&[&b])),
        (filter("instance-id", &json!([web])), of(&[&a, &system])),
        (filter("disk-name", &json!(["b", "z"])), of(&[&b])),
        (filter("disk-usage", &json!(["DATA_DISK"])), of(&[&a, &b])),
        (
            filter("disk-usage", &json!(["SYSTEM_DISK"])),
            of(&[&system]),
        ),
        (
            filter("disk-usage", &json!(["SYSTEM_DISK", "DATA_DISK"])),
            of(&[&a, &b, &system]),
        ),
        (filter("disk-state", &json!(["UNATTACHED"])), of(&[&b])),
        (filter("disk-state", &json!(["FREEZING"])), vec![]),
        (
            filter("zone", &json!(["ap-guangzhou-1"])),
            of(&[&a, &b, &system]),
        ),
        (filter("zone", &json!(["ap-guangzhou-7"])), vec![]),
        (filter("tag:env", &json!(["prod"])), of(&[&b])),
        (filter("tag-key", &json!(["colour"])), vec![]),
    ] {
        let answer = cloud.ok("DescribeDisks", params.clone()).await;
        assert_eq!(sorted(&answer, "DiskSet", "DiskId"), expect, "{params}");
        assert_eq!(answer["TotalCount"], expect.len(), "{params}");
    }
    let sizes = async |order: &str| -> Vec<i64> {
        let params = json!({"OrderField": "DISK_SIZE", "Order": order});
        let answer = cloud.ok("DescribeDisks", params).await;
        let rows = answer["DiskSet"].as_array().unwrap().clone();
        rows.iter()
            .map(|r| r["DiskSize"].as_i64().unwrap())
            .collect()
    };
    assert_eq!(sizes("ASC").await, [1, 1, 3]);
    assert_eq!(sizes("DESC").await, [3, 1, 1]);
    let mut paged = Vec::new();
    for offset in 0..3 {
        let page =
            json!({"Offset": offset, "Limit": 1, "OrderField": "CREATED_TIME", "Order": "ASC"});
        let answer = cloud.ok("DescribeDisks", page).await;
        assert_eq!(answer["TotalCount"], 3);
        paged.extend(sorted(&answer, "DiskSet", "DiskId"));
    }
    assert_eq!(paged, [system, a.clone(), b.clone()]);

    let one = cloud.backup(&a, "one").await;
    let two = cloud.backup(&b, "two").await;
    for (params, expect) in [
        (json!({}), of(&[&one, &two])),
        (json!({"DiskBackupIds": [one]}), of(&[&one])),
        (json!({"DiskBackupIds": [UNKNOWN_BACKUP]}), vec![]),
        (filter("disk-backup-id", &json!([two])), of(&[&two])),
        (filter("disk-id", &json!([a])), of(&[&one])),
        (
            filter("disk-backup-state", &json!(["NORMAL"])),
            of(&[&one, &two]),
        ),
        (filter("disk-backup-state", &json!(["CREATING"])), vec![]),
        (
            filter("disk-usage", &json!(["DATA_DISK"])),
            of(&[&one, &two]),
        ),
        (filter("disk-usage", &json!(["SYSTEM_DISK"])), vec![]),
        (filter("tag-key", &json!(["env"])), vec![]),
    ] {
        let answer = cloud.ok("DescribeDiskBackups", params.clone()).await;
        assert_eq!(
            sorted(&answer, "DiskBackupSet", "DiskBackupId"),
            expect,
            "{params}"
        );
        assert_eq!(answer["TotalCount"], expect.len(), "{params}");
    }
    let page = cloud.ok("DescribeDiskBackups", json!({"Limit": 1})).await;
    assert_eq!(page["TotalCount"], 2);
    assert_eq!(sorted(&page, "DiskBackupSet", "DiskBackupId"), [two]);
    // A backup is no snapshot, and the other way round.
    assert_eq!(
        cloud.ok("DescribeSnapshots", json!({})).await["TotalCount"],
        0
    );
    cloud
        .refused(&[
            (
                "DescribeDisks",
                json!({"DiskIds": [UNKNOWN_DISK]}),
                "ResourceNotFound.DiskIdNotFound",
            ),
            (
                "DescribeDisks",
                json!({"DiskIds": [a, a]}),
                "InvalidParameterValue.Duplicated",
            ),
            (
                "DescribeDisks",
                json!({"DiskIds": many("lhdisk-", 101)}),
                "InvalidParameterValue.LimitExceeded",
            ),
            (
                "DescribeDisks",
                json!({"DiskIds": [a], "Filters": [{"Name": "disk-id", "Values": [a]}]}),
                "InvalidParameter.ParameterConflict",
            ),
            (
                "DescribeDisks",
                json!({"Limit": 0}),
                "InvalidParameterValue.OutOfRange",
            ),
            (
                "DescribeDisks",
                json!({"Offset": -1}),
                "InvalidParameterValue.OutOfRange",
            ),
            (
                "DescribeDisks",
                json!({"OrderField": "COLOUR"}),
                "InvalidParameterValue",
            ),
            (
                "DescribeDisks",
                filter("colour", &json!(["red"])),
                "InvalidParameter.InvalidFilterInvalidKey",
            ),
            (
                "DescribeDisks",
                filter("disk-usage", &json!(["SWAP"])),
                "InvalidParameterValue",
            ),
            (
                "DescribeDiskBackups",
                json!({"Limit": 101}),
                "InvalidParameterValue",
            ),
            (
                "DescribeDiskBackups",
                json!({"DiskBackupIds": ["x"]}),
                "InvalidParameterValue.DiskBackupIdMalformed",
            ),
            (
                "DescribeDiskBackups",
                json!({"DiskBackupIds": [one], "Filters": [{"Name": "disk-id", "Values": [a]}]}),
                "InvalidParameter",
            ),
            (
                "DescribeDiskBackups",
                filter("colour", &json!(["red"])),
                "InvalidParameter.InvalidFilter",
            ),
            (
                "DescribeDiskBackups",
                filter("disk-id", &json!(["red"])),
                "InvalidParameterValue.InvalidDiskIdMalformed",
            ),
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_name_disks() {
    let cloud = Cloud::start().await;
    let web = cloud.add("web", PowerCommands::default()).await;
    let mine = cloud.add_data_disk("mine").await;
    let theirs = cloud.add_data_disk("theirs").await;
    let policy = json!({"version": "2.0", "statement": [
        {"effect": "allow", "action": "lighthouse:*",
         "resource": [format!("qcs::lighthouse:*:*:disk/{mine}"), format!("server/{web}")]},
    ]})
    .to_string();
    let (_, key) = cloud
        .accounts
        .create(&cloud.admin, "operator", Some(&policy))
        .await
        .unwrap();
    let code = async |action: &str, params: Value| {
        let answer = cloud
            .raw(
                &key,
                action,
                crate::cloud::VERSION,
                None,
                &params.to_string(),
            )
            .await;
        answer["Error"]["Code"].as_str().unwrap_or("").to_owned()
    };
    let denied = "UnauthorizedOperation.NoPermission";
    // These two operations have no code of their own for it.
    let denied_plainly = "AuthFailure.UnauthorizedOperation";
    for (action, params, expect) in [
        ("CreateDiskBackup", json!({"DiskId": theirs}), denied),
        (
            "AttachDisks",
            json!({"DiskIds": [mine, theirs], "InstanceId": web}),
            denied_plainly,
        ),
        (
            "AttachDisks",
            json!({"DiskIds": [mine], "InstanceId": UNKNOWN_INSTANCE}),
            denied_plainly,
        ),
        ("DescribeDisks", json!({}), denied),
        ("DescribeDisks", json!({"DiskIds": [mine]}), ""),
        ("CreateDiskBackup", json!({"DiskId": mine}), ""),
    ] {
        assert_eq!(
            code(action, params.clone()).await,
            expect,
            "{action} {params}"
        );
    }
    // A disk is allowed, but the instance that would be stopped for it is not.
    let db = cloud.add("db", PowerCommands::default()).await;
    cloud.disk_settled(&mine).await;
    let backup = cloud.backup(&mine, "b").await;
    let attach = json!({"DiskIds": [mine], "InstanceId": db});
    cloud.done("AttachDisks", attach).await;
    for (action, params, expect) in [
        ("CreateDiskBackup", json!({"DiskId": mine}), denied),
        ("ApplyDiskBackup", apply(&mine, &backup), denied),
        ("DetachDisks", json!({"DiskIds": [mine]}), denied_plainly),
    ] {
        assert_eq!(
            code(action, params.clone()).await,
            expect,
            "{action} {params}"
        );
    }
    assert_eq!(cloud.disk(&mine).await["DiskState"], "ATTACHED");
    let detach = json!({"DiskIds": [mine]});
    cloud.done("DetachDisks", detach).await;
    assert_eq!(code("ApplyDiskBackup", apply(&mine, &backup)).await, "");
}
