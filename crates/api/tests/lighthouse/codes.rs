//! Every error code of seed 004's table, by its documented cause, and the page
//! that documents them.

use std::collections::BTreeSet;
use std::process::Command;

use backout_core::outcome::Outcome;
use backout_disks::DriverKind;
use backout_servers::model::PowerCommands;
use backout_wire::Service;
use serde_json::{Value, json};

use crate::cloud::{Cloud, UNKNOWN_INSTANCE, UNKNOWN_SNAPSHOT, VERSION};
use crate::common::pages;

const APPLY: &str = "ApplyInstanceSnapshot";
const PAGE: &str = "docs/lighthouse-errors.md";

/// The codes that nothing but the fault switch produces here: two processes that
/// are in each other's way in the store cannot be had on demand, and of the two
/// about the status one is tried with a real machine elsewhere.
const BY_SWITCH: [&str; 2] = [
    "FailedOperation.DescribeInstanceStatus",
    "UnsupportedOperation.SystemBusy",
];

fn apply(instance: &str, snapshot: &str) -> Value {
    json!({"InstanceId": instance, "SnapshotId": snapshot})
}

async fn refused(cloud: &Cloud, params: Value, expect: &str) {
    cloud.refused(&[(APPLY, params, expect)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_code_of_the_rollback_by_its_cause() {
    let contract = pages::read("contract/lighthouse.json");
    let contract: Value = serde_json::from_str(&contract).unwrap();
    let table: BTreeSet<String> = contract["operations"][APPLY]["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|code| code.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(table.len(), 20, "seed 004 has twenty rows");

    let mut cloud = Cloud::start().await;
    let web = cloud.add("web", cloud.commands("web")).await;
    let other = cloud.add("other", PowerCommands::default()).await;
    let good = cloud.snapshot(&web, "good").await;
    let spare = cloud.snapshot(&web, "spare").await;
    let foreign = cloud.snapshot(&other, "foreign").await;
    let of_other = apply(&other, &foreign);

    // What is named.
    for (params, expect) in [
        (
            apply("web", &good),
            "InvalidParameterValue.InstanceIdMalformed",
        ),
        (
            apply(&web, "good"),
            "InvalidParameterValue.SnapshotIdMalformed",
        ),
        (
            apply(UNKNOWN_INSTANCE, &good),
            "ResourceNotFound.InstanceIdNotFound",
        ),
        (
            apply(&web, UNKNOWN_SNAPSHOT),
            "ResourceNotFound.SnapshotIdNotFound",
        ),
        (apply(&web, &foreign), "ResourceNotFound.SnapshotNotFound"),
    ] {
        refused(&cloud, params, expect).await;
    }

    // Who calls.
    let policy = r#"{"version":"2.0","statement":[{"effect":"allow","action":"lighthouse:Describe*","resource":"*"}]}"#;
    let (_, reader) = cloud
        .accounts
        .create(&cloud.admin, "reader", Some(policy))
        .await
        .unwrap();
    let answer = cloud
        .raw(
            &reader,
            APPLY,
            VERSION,
            None,
            &apply(&web, &good).to_string(),
        )
        .await;
    assert_eq!(
        answer["Error"]["Code"],
        "UnauthorizedOperation.NoPermission"
    );

    // The disk.
    let disk = cloud.path("other.img");
    let whole = std::fs::read(&disk).unwrap();
    std::fs::write(&disk, vec![1_u8; 2 << 20]).unwrap();
    refused(
        &cloud,
        of_other.clone(),
        "InvalidParameterValue.DiskSizeNotMatch",
    )
    .await;
    std::fs::write(&disk, &whole).unwrap();
    let hidden = cloud.path("hidden.img");
    std::fs::rename(&disk, &hidden).unwrap();
    refused(&cloud, of_other.clone(), "ResourceNotFound.DiskNotFound").await;
    std::fs::rename(&hidden, &disk).unwrap();
    let open = std::fs::OpenOptions::new().append(true).open(&disk);
    let mut holder = Command::new("sleep")
        .arg("600")
        .stdout(open.unwrap())
        .spawn()
        .unwrap();
    refused(&cloud, of_other.clone(), "UnsupportedOperation.DiskBusy").await;
    holder.kill().unwrap();
    holder.wait().unwrap();
    damaged_image(&cloud).await;

    // The instance is on its way.
    cloud.hold_still().await;
    let new = cloud.add("new", PowerCommands::default()).await;
    refused(
        &cloud,
        apply(&new, &good),
        "OperationDenied.InstanceCreating",
    )
    .await;
    let stop = cloud
        .ok("StopInstances", json!({"InstanceIds": [web]}))
        .await;
    refused(
        &cloud,
        apply(&web, &good),
        "OperationDenied.InstanceOperationInProgress",
    )
    .await;
    cloud.go_on().await;
    assert_eq!(cloud.outcome_of(&stop).await, Outcome::Applied);

    // A snapshot of it is in the making.
    cloud.hold_still().await;
    let making = cloud.snapshot(&web, "making").await;
    for (snapshot, expect) in [
        (&making, "UnsupportedOperation.InvalidSnapshotState"),
        (&good, "UnsupportedOperation.LatestOperationUnfinished"),
    ] {
        refused(&cloud, apply(&web, snapshot), expect).await;
    }
    cloud.go_on().await;
    cloud.settled(&making).await;

    // One goes.
    cloud.hold_still().await;
    let going = cloud
        .ok("DeleteSnapshots", json!({"SnapshotIds": [spare]}))
        .await;
    for (snapshot, expect) in [
        (&spare, "UnsupportedOperation.SnapshotBusy"),
        (&good, "UnsupportedOperation.DiskLatestOperationUnfinished"),
    ] {
        refused(&cloud, apply(&web, snapshot), expect).await;
    }
    cloud.go_on().await;
    assert_eq!(cloud.outcome_of(&going).await, Outcome::Applied);

    // It was given back.
    cloud
        .done("IsolateInstances", json!({"InstanceIds": [web]}))
        .await;
    refused(
        &cloud,
        apply(&web, &good),
        "UnsupportedOperation.InvalidInstanceState",
    )
    .await;

    // The store does not tell how it is.
    cloud
        .damage("UPDATE servers SET power = 'odd' WHERE id = $1", &other)
        .await;
    refused(&cloud, of_other, "InternalError.DescribeInstanceStatus").await;

    let natural = cloud.seen(APPLY);
    let by_switch: BTreeSet<String> = BY_SWITCH.iter().map(|c| (*c).to_owned()).collect();
    assert!(natural.is_disjoint(&by_switch));
    for code in BY_SWITCH {
        cloud.faults.clear(&cloud.admin.owner).await.unwrap();
        cloud
            .let_fail("lighthouse:ApplyInstanceSnapshot", code)
            .await;
        refused(&cloud, apply(&web, &good), code).await;
    }
    assert_eq!(cloud.seen(APPLY), table);
}

/// An image that cannot be read any more.
async fn damaged_image(cloud: &Cloud) {
    let image = cloud.path("layers.qcow2");
    let made = Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2"])
        .arg(&image)
        .arg("1M")
        .status();
    assert!(made.unwrap().success());
    let layers = cloud
        .add_disk_of(
            "layers",
            image.clone(),
            DriverKind::Qcow2,
            PowerCommands::default(),
        )
        .await;
    let snapshot = cloud.snapshot(&layers, "s").await;
    let mut bytes = std::fs::read(&image).unwrap();
    bytes[..4].copy_from_slice(b"ruin");
    std::fs::write(&image, bytes).unwrap();
    refused(
        cloud,
        apply(&layers, &snapshot),
        "FailedOperation.SnapshotOperationFailed",
    )
    .await;
}

/// A job that is held keeps everybody away until somebody resolves it.
#[tokio::test(flavor = "multi_thread")]
async fn a_held_job_is_an_unfinished_operation() {
    let cloud = Cloud::start().await;
    let web = cloud.add("web", cloud.commands("web")).await;
    let snapshot = cloud.snapshot(&web, "s").await;
    // It does not stop, and cannot be told why when it is to be started again.
    for undo in [false, true] {
        cloud
            .let_step_fail("servers.apply_snapshot", "stop", undo)
            .await;
    }
    let applied = cloud.ok(APPLY, apply(&web, &snapshot)).await;
    assert_eq!(cloud.outcome_of(&applied).await, Outcome::Held);
    let unfinished = "UnsupportedOperation.LatestOperationUnfinished";
    let seen = cloud.instance(&web).await;
    assert_eq!(seen["LatestOperationState"], "FAILED");
    for (action, params) in [
        (APPLY, apply(&web, &snapshot)),
        ("StartInstances", json!({"InstanceIds": [web]})),
        ("StopInstances", json!({"InstanceIds": [web]})),
        ("IsolateInstances", json!({"InstanceIds": [web]})),
        ("CreateInstanceSnapshot", json!({"InstanceId": web})),
    ] {
        assert_eq!(cloud.code(action, params).await, unfinished, "{action}");
    }
    let denied = cloud
        .ok(
            "DescribeInstancesDeniedActions",
            json!({"InstanceIds": [web]}),
        )
        .await;
    let denied = crate::cloud::denied(&denied["InstanceDeniedActionSet"][0]);
    assert!(!denied.is_empty());
    for (action, code) in denied {
        assert_eq!(code, unfinished, "{action}");
    }
}

/// `docs/lighthouse-errors.md` has a row for each code of the contract, with its
/// cause or why it has none here.
#[test]
fn the_page_lists_every_code_with_its_cause() {
    pages::every_code_is_told(&[Service::Lighthouse], PAGE);
}

/// What is produced by a cause is documented with that cause.
#[test]
fn the_page_says_of_no_code_that_it_never_comes_when_it_does() {
    // Who may do what is answered before the table is asked.
    let besides = ["UnauthorizedOperation.NoPermission"];
    pages::no_cause_is_made_up(PAGE, "crates/api/src/lighthouse/codes.rs", &besides);
}
