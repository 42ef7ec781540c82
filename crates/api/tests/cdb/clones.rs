//! Instances that are made of another's past.

use backout_databases::model::{
    Detail, InstanceState, RollbackDetail, Standing, Strategy, TaskKind,
};
use backout_mariadb::testing::PrivateServer;
use backout_mariadb::{Endpoint, Session};
use serde_json::{Value, json};

use crate::cloud::{Cloud, moment};

const CLONE: &str = "CreateCloneInstance";
const LIST: &str = "DescribeCloneList";

/// The sum of what the clone has, as one who knew the source.
fn total(port: u64) -> Option<u64> {
    let endpoint = Endpoint::parse(&format!("mysql://root@127.0.0.1:{port}")).unwrap();
    Session::open(&endpoint)
        .unwrap()
        .first(
            "look",
            "SELECT CAST(SUM(cents) AS UNSIGNED) FROM shop.orders",
        )
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_instant_and_of_a_backup() {
    // Times of calls are in this zone.
    let server = PrivateServer::start(&["--default-time-zone=+05:30"]);
    let cloud = Cloud::start().await;
    let shop = cloud.manage("shop", &server).await;
    server.script(
        "CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY, cents INT); \
         INSERT INTO shop.orders VALUES (1, 100)",
    );
    let backup = json!({"InstanceId": shop, "BackupMethod": "physical"});
    let taken = cloud.ok("CreateBackup", backup).await;
    let of_shop = json!({"InstanceId": shop});
    for _ in crate::cloud::tries() {
        let seen = cloud.ok("DescribeBackups", of_shop.clone()).await;
        if seen["Items"][0]["Status"] == "SUCCESS" {
            break;
        }
        tokio::time::sleep(crate::cloud::PAUSE).await;
    }
    server.script("INSERT INTO shop.orders VALUES (2, 20)");
    let then = moment(&server);
    server.script("DELETE FROM shop.orders");

    let at = |change: Value| {
        let mut params = json!({"InstanceId": shop, "SpecifiedRollbackTime": then});
        for (name, value) in change.as_object().unwrap() {
            params[name] = value.clone();
        }
        params
    };
    // A dry run looks at all that there is, and makes nothing.
    let dry = cloud.ok(CLONE, at(json!({"DryRun": true}))).await;
    assert_eq!(dry["AsyncRequestId"], "");
    let early = json!({"SpecifiedRollbackTime": "2001-01-01 00:00:00"});
    let dry_early = json!({"SpecifiedRollbackTime": "2001-01-01 00:00:00", "DryRun": true});
    let unknown = json!({"InstanceId": shop, "SpecifiedBackupId": 4711});
    cloud
        .refused(&[
            (CLONE, at(early), "InvalidParameter"),
            (CLONE, at(dry_early), "InvalidParameter"),
            (
                CLONE,
                at(json!({"InstanceName": "shop"})),
                "InvalidParameter",
            ),
            (CLONE, unknown, "InvalidParameter"),
        ])
        .await;
    let seen = cloud.ok(LIST, of_shop.clone()).await;
    assert_eq!(
        (&seen["TotalCount"], &seen["Items"]),
        (&json!(0), &json!([]))
    );

    let asked = cloud.ok(CLONE, at(json!({"InstanceName": "then"}))).await;
    let id = asked["AsyncRequestId"].as_str().unwrap().to_owned();
    // The source is taken until it is there.
    let seen = cloud.ok(LIST, of_shop.clone()).await;
    let state = seen["Items"][0]["TaskStatus"].as_str().unwrap();
    assert!(["initial", "running", "success"].contains(&state), "{seen}");
    let settled = cloud.settled(&id).await;
    assert_eq!(settled["Status"], "SUCCESS", "{settled}");
    let of_backup = json!({"InstanceId": shop, "SpecifiedBackupId": taken["BackupId"]});
    let asked = cloud.ok(CLONE, of_backup).await;
    let settled = cloud
        .settled(asked["AsyncRequestId"].as_str().unwrap())
        .await;
    assert_eq!(settled["Status"], "SUCCESS", "{settled}");

    let seen = cloud.ok(LIST, of_shop).await;
    assert_eq!(seen["TotalCount"], 2, "{seen}");
    let [newer, older] = [0, 1].map(|i| seen["Items"][i].clone());
    for (member, expect) in [
        ("SrcInstanceId", json!(shop)),
        ("RollbackStrategy", json!("timepoint")),
        ("RollbackTargetTime", json!(then)),
        ("TaskStatus", json!("success")),
    ] {
        assert_eq!(older[member], expect, "{member} of {older}");
    }
    assert_eq!(newer["RollbackStrategy"], "backupset", "{newer}");
    let page = json!({"InstanceId": shop, "Offset": 1, "Limit": 1});
    let paged = cloud.ok(LIST, page).await;
    assert_eq!(
        (&paged["TotalCount"], &paged["Items"]),
        (&json!(2), &json!([older]))
    );

    for (item, name, sum) in [(&older, Some("then"), 120), (&newer, None, 100)] {
        let this = json!({"InstanceIds": [item["DstInstanceId"]]});
        let row = cloud.ok("DescribeDBInstances", this).await["Items"][0].clone();
        assert_eq!(row["Status"], 1, "{row}");
        if let Some(name) = name {
            assert_eq!(row["InstanceName"], name);
        }
        assert_eq!(total(row["Vport"].as_u64().unwrap()), Some(sum), "{row}");
    }
    // What runs ends with the test.
    for item in [&older, &newer] {
        let id = item["DstInstanceId"].as_str().unwrap().parse().unwrap();
        let server = backout_mariadb::local::Server::new(
            cloud.runtime.server_folder(&id),
            cloud.runtime.shim.clone(),
        );
        server.stop().unwrap();
    }
    cloud.stop().await;
}

/// Every state of a clone has a word of its own list.
#[tokio::test(flavor = "multi_thread")]
async fn every_state_has_its_word() {
    let cloud = Cloud::still().await;
    let shop = cloud.record("shop", InstanceState::Running).await;
    let detail = Detail {
        rollback: Some(RollbackDetail {
            strategy: Strategy::Full,
            until_us: Some(1_453_714_358_000_000),
            asked: "2016-01-25 17:32:38".to_owned(),
            databases: Vec::new(),
            tables: Vec::new(),
            road: None,
            cut: None,
            kept: None,
            undone: None,
            made: None,
            proofs: Vec::new(),
        }),
        made: Some("cdb-c1nl9rpv".parse().unwrap()),
        ..Detail::default()
    };
    for (standing, word) in [
        (Standing::Applied, "success"),
        (Standing::Failed, "failed"),
        (Standing::Stopped, "failed"),
        (Standing::Held, "failed"),
    ] {
        cloud
            .task(&shop, TaskKind::Clone, standing, detail.clone())
            .await;
        let seen = cloud.ok(LIST, json!({"InstanceId": shop})).await;
        let item = &seen["Items"][0];
        assert_eq!(item["TaskStatus"], word, "{item}");
        assert_eq!(item["RollbackTargetTime"], "2016-01-25 17:32:38", "{item}");
        assert_eq!(item["DstInstanceId"], "cdb-c1nl9rpv");
    }
    for (params, code) in [
        (
            json!({"InstanceId": shop, "Limit": 101}),
            "InvalidParameter",
        ),
        (json!({"InstanceId": shop, "Limit": 0}), "InvalidParameter"),
        (
            json!({"InstanceId": shop, "Offset": -1}),
            "InvalidParameter",
        ),
        (json!({}), "MissingParameter"),
    ] {
        cloud.refused(&[(LIST, params, code)]).await;
    }
}
