//! Who is let in, to what, and how often.

use std::sync::Arc;

use backout_accounts::{KeyPair, Limits};
use backout_api::front::Front;
use backout_core::time::{ManualClock, Timestamp};
use backout_servers::model::PowerCommands;
use backout_wire::{Service, operations_of};
use serde_json::{Value, json};

use crate::cloud::{Cloud, VERSION};

#[tokio::test(flavor = "multi_thread")]
async fn the_front_door() {
    let cloud = Cloud::start().await;
    let refused = |answer: Value| answer["Error"]["Code"].as_str().unwrap_or("").to_owned();
    let key = &cloud.key;
    for (action, version, region, body, expect) in [
        ("DescribeSnapshots", VERSION, None, "{}", ""),
        (
            "DescribeSnapshots",
            VERSION,
            Some("ap-nowhere"),
            "{}",
            "UnsupportedRegion",
        ),
        ("NoSuchThing", VERSION, None, "{}", "InvalidAction"),
        (
            "DescribeSnapshots",
            "2001-01-01",
            None,
            "{}",
            "NoSuchVersion",
        ),
        ("DescribeSnapshots", VERSION, None, "{", "InvalidParameter"),
        ("DescribeSnapshots", VERSION, None, "[]", "InvalidParameter"),
        (
            "DescribeSnapshots",
            VERSION,
            None,
            r#"{"Limit":1,"Limit":2}"#,
            "InvalidParameter",
        ),
    ] {
        assert_eq!(
            refused(cloud.raw(key, action, version, region, body).await),
            expect,
            "{action} {version} {body}"
        );
    }
    // Every other operation of the contract is known, and not served.
    for operation in operations_of(Service::Lighthouse) {
        assert!(Front::serves(operation), "{}", operation.name);
    }
    for operation in operations_of(Service::Cdb) {
        if Front::serves(operation) || operation.params.iter().any(|p| p.required) {
            continue;
        }
        let region = Some("ap-guangzhou");
        let answer = cloud
            .raw(key, operation.name, operation.version, region, "{}")
            .await;
        assert_eq!(refused(answer), "InvalidAction", "{}", operation.name);
    }

    // Keys.
    let wrong = KeyPair {
        secret_id: key.secret_id.clone(),
        secret_key: backout_accounts::Secret::new("x".repeat(32)),
        token: None,
        expires: None,
    };
    assert_eq!(
        refused(
            cloud
                .raw(&wrong, "DescribeSnapshots", VERSION, None, "{}")
                .await
        ),
        "AuthFailure.SignatureFailure"
    );
    let temporary = cloud
        .accounts
        .issue_temporary(&cloud.admin, "admin", 3600)
        .await
        .unwrap();
    assert_eq!(
        refused(
            cloud
                .raw(&temporary, "DescribeSnapshots", VERSION, None, "{}")
                .await
        ),
        ""
    );
    let bare = KeyPair {
        token: None,
        ..temporary
    };
    assert_eq!(
        refused(
            cloud
                .raw(&bare, "DescribeSnapshots", VERSION, None, "{}")
                .await
        ),
        "AuthFailure.TokenFailure"
    );
    let second = cloud.accounts.add_key(&cloud.admin, "admin").await.unwrap();
    cloud
        .accounts
        .disable_key(&cloud.admin, &second.secret_id)
        .await
        .unwrap();
    assert_eq!(
        refused(
            cloud
                .raw(&second, "DescribeSnapshots", VERSION, None, "{}")
                .await
        ),
        "AuthFailure.SecretIdNotFound"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_bound_what_a_sub_account_may_do() {
    let cloud = Cloud::start().await;
    let web = cloud.add("web", PowerCommands::default()).await;
    let db = cloud.add("db", PowerCommands::default()).await;
    let of_db = cloud.snapshot(&db, "s").await;
    let policy = json!({"version": "2.0", "statement": [
        {"effect": "allow", "action": ["lighthouse:CreateInstanceSnapshot", "lighthouse:ApplyInstanceSnapshot"],
         "resource": [format!("qcs::lighthouse:*:*:instance/{web}")]},
        {"effect": "allow", "action": "lighthouse:Describe*", "resource": "*"},
        {"effect": "deny", "action": "lighthouse:DescribeInstances", "resource": "*"},
    ]})
    .to_string();
    let (_, key) = cloud
        .accounts
        .create(&cloud.admin, "operator", Some(&policy))
        .await
        .unwrap();
    let code = async |action: &str, params: Value| {
        let answer = cloud
            .raw(&key, action, VERSION, None, &params.to_string())
            .await;
        answer["Error"]["Code"].as_str().unwrap_or("").to_owned()
    };
    assert_eq!(
        code("CreateInstanceSnapshot", json!({"InstanceId": web})).await,
        ""
    );
    let denied = "UnauthorizedOperation.NoPermission";
    assert_eq!(
        code("CreateInstanceSnapshot", json!({"InstanceId": db})).await,
        denied
    );
    assert_eq!(
        code(
            "ApplyInstanceSnapshot",
            json!({"InstanceId": db, "SnapshotId": of_db})
        )
        .await,
        denied
    );
    assert_eq!(
        code("DeleteSnapshots", json!({"SnapshotIds": [of_db]})).await,
        denied
    );
    assert_eq!(
        code("DescribeInstances", json!({})).await,
        denied,
        "deny wins"
    );
    assert_eq!(code("DescribeSnapshots", json!({})).await, "");

    // Another account has its own resources.
    let (_, stranger) = cloud
        .accounts
        .create(&cloud.admin, "stranger", None)
        .await
        .unwrap();
    let seen = cloud
        .raw(&stranger, "DescribeSnapshots", VERSION, None, "{}")
        .await;
    assert_eq!(seen["TotalCount"], 0);
    let params = json!({"InstanceId": db, "SnapshotId": of_db}).to_string();
    let answer = cloud
        .raw(&stranger, "ApplyInstanceSnapshot", VERSION, None, &params)
        .await;
    assert_eq!(
        answer["Error"]["Code"],
        "ResourceNotFound.InstanceIdNotFound"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_21st_call_of_a_second_waits() {
    let clock = ManualClock::at(Timestamp(1_800_000_000_000));
    let cloud = Cloud::with(Arc::new(clock.clone()), Limits::default()).await;
    let code = async |action: &str| {
        let answer = cloud.raw(&cloud.key, action, VERSION, None, "{}").await;
        answer["Error"]["Code"].as_str().unwrap_or("").to_owned()
    };
    for _ in 0..20 {
        assert_eq!(code("DescribeSnapshots").await, "");
    }
    assert_eq!(code("DescribeSnapshots").await, "RequestLimitExceeded");
    assert_eq!(
        code("DescribeInstances").await,
        "",
        "each action has its own"
    );
    clock.advance_ms(1000);
    assert_eq!(
        code("DescribeSnapshots").await,
        "",
        "a second later it recovers"
    );
}
