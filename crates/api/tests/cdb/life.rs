//! The life of an instance that we run: made, backed up, restarted, isolated,
//! gone.

use serde_json::{Value, json};

use crate::cloud::{Cloud, PAUSE, tries};

/// Waits until the first row of a list is as wanted.
async fn until(cloud: &Cloud, action: &str, params: Value, wanted: &[(&str, Value)]) -> Value {
    let mut seen = Value::Null;
    for _ in tries() {
        seen = cloud.ok(action, params.clone()).await;
        let row = &seen["Items"][0];
        if wanted.iter().all(|(member, value)| row[*member] == *value) {
            return row.clone();
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("{action} does not show {wanted:?}: {seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_first_day_to_the_last() {
    let cloud = Cloud::start().await;
    let token = json!({
        "GoodsNum": 1, "Memory": 1000, "Volume": 25, "InstanceName": "shop",
        "EngineVersion": "5.7", "Password": "correct horse", "ClientToken": "once",
        "ResourceTags": [{"TagKey": "team", "TagValue": ["blue"]}],
    });
    let made = cloud.ok("CreateDBInstanceHour", token.clone()).await;
    let again = cloud.ok("CreateDBInstanceHour", token).await;
    assert_eq!(made["InstanceIds"], again["InstanceIds"], "the same call");
    let id = made["InstanceIds"][0].clone();
    let this = json!({"InstanceIds": [id]});
    let list = "DescribeDBInstances";
    let idle = [("Status", json!(1)), ("TaskStatus", json!(0))];
    let row = until(&cloud, list, this.clone(), &idle).await;
    assert_eq!(row["InstanceName"], "shop");
    assert_ne!(row["EngineVersion"], "5.7", "the one that is installed");
    assert_eq!(
        row["TagList"],
        json!([{"TagKey": "team", "TagValue": "blue"}])
    );
    let tagged = cloud.ok(list, json!({"TagKeysForSearch": ["team"]})).await;
    assert_eq!(tagged["TotalCount"], 1);

    let backup = json!({"InstanceId": id, "BackupMethod": "physical", "ManualBackupName": "first"});
    let taken = cloud.ok("CreateBackup", backup).await;
    let of_this = json!({"InstanceId": id});
    let done = [("Status", json!("SUCCESS")), ("Progress", json!(100))];
    let row = until(&cloud, "DescribeBackups", of_this.clone(), &done).await;
    for (member, expect) in [
        ("BackupId", taken["BackupId"].clone()),
        ("Way", json!("manual")),
        ("Method", json!("full")),
        ("Type", json!("physical")),
        ("ManualBackupName", json!("first")),
        ("InstanceId", id.clone()),
    ] {
        assert_eq!(row[member], expect, "{member} of {row}");
    }
    let gone = json!({"InstanceId": id, "BackupId": taken["BackupId"]});
    until(&cloud, list, this.clone(), &idle).await;
    cloud.ok("DeleteBackup", gone.clone()).await;
    for _ in tries() {
        let left = cloud.ok("DescribeBackups", of_this.clone()).await;
        if left["TotalCount"] == 0 {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    cloud
        .refused(&[("DeleteBackup", gone, "CdbError.BackupError")])
        .await;

    until(&cloud, list, this.clone(), &idle).await;
    let restarted = cloud.ok("RestartDBInstances", this.clone()).await;
    let seen = cloud
        .settled(restarted["AsyncRequestId"].as_str().unwrap())
        .await;
    assert_eq!(seen["Status"], "SUCCESS", "{seen}");
    let logs = json!({"InstanceId": id, "SaveHours": 48, "MaxUsage": 40});
    cloud.ok("ModifyLocalBinlogConfig", logs).await;
    let seen = cloud.ok("DescribeLocalBinlogConfig", of_this.clone()).await;
    assert_eq!(
        seen["LocalBinlogConfig"],
        json!({"SaveHours": 48, "MaxUsage": 40})
    );

    let isolated = cloud.ok("IsolateDBInstance", of_this).await;
    let seen = cloud
        .settled(isolated["AsyncRequestId"].as_str().unwrap())
        .await;
    assert_eq!(seen["Status"], "SUCCESS", "{seen}");
    until(&cloud, list, this.clone(), &[("Status", json!(5))]).await;
    cloud.ok("OfflineIsolatedInstances", this).await;
    for _ in tries() {
        if cloud.ok(list, json!({})).await["TotalCount"] == 0 {
            cloud.stop().await;
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("{id} is still there");
}
