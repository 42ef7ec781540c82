//! What parameters mean, and that none is dropped without a word.

use backout_wire::Service;
use serde_json::{Value, json};

use crate::cloud::{Client, Cloud, READINESS, UNKNOWN, text};
use crate::common::pages;

/// Every parameter of every operation is read by the code, or the page says why
/// it has no effect.
#[test]
fn no_parameter_is_ignored_in_silence() {
    pages::every_parameter_is_read_or_told(
        &[Service::Sae],
        "docs/sae-parameters.md",
        &["crates/api/src/sae"],
    );
}

/// What was deployed is shown as it was given, with what has no effect.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_shown_as_it_was_given() {
    let cloud = Cloud::start().await;
    let params = json!({
        "AppName": "shop", "PackageType": "PythonZip", "PackageUrl": cloud.package("one"),
        "PackageVersion": "1.0", "Replicas": 1, "Command": "python main.py",
        "CommandArgs": "[\"--quick\"]", "Envs": "[{\"name\":\"A\",\"value\":\"1\"}]",
        "Readiness": READINESS, "Timezone": "Asia/Tokyo", "AppDescription": "sells",
        "TerminationGracePeriodSeconds": 3, "VSwitchId": "vsw-1", "AssociateEip": true,
        "DiskSize": 20, "Labels": {"team": "red"}, "Cpu": 500, "Memory": 256,
        "PreStop": "{\"exec\":{\"command\":[\"sleep\",\"0\"]}}",
    });
    // By any client, in the query or in a form.
    let (status, made) = cloud
        .raw(&cloud.key, Client::Acs3Form, "CreateApplication", &params)
        .await;
    assert_eq!(status, 200, "{made}");
    let shop = text(&made["Data"]["AppId"]);
    assert_eq!(
        cloud.settled(&text(&made["Data"]["ChangeOrderId"])).await,
        2
    );
    let shown = cloud
        .ok("DescribeApplicationConfig", json!({"AppId": shop}))
        .await;
    let shown = &shown["Data"];
    for (member, expect) in [
        ("AppName", json!("shop")),
        ("AppDescription", json!("sells")),
        ("PackageType", json!("PythonZip")),
        ("PackageVersion", json!("1.0")),
        ("Replicas", json!(1)),
        ("Command", json!("python")),
        ("CommandArgs", json!("[\"main.py\",\"--quick\"]")),
        ("Readiness", json!(READINESS)),
        ("Timezone", json!("Asia/Tokyo")),
        ("TerminationGracePeriodSeconds", json!(3)),
        ("VSwitchId", json!("vsw-1")),
        ("AssociateEip", json!(true)),
        ("DiskSize", json!(20)),
        ("Labels", json!({"team": "red"})),
        ("Cpu", json!(500)),
        ("Memory", json!(256)),
        (
            "PreStop",
            json!("{\"exec\":{\"command\":[\"sleep\",\"0\"]}}"),
        ),
        ("MinReadyInstances", json!(-1)),
        ("UpdateStrategy", json!("")),
    ] {
        assert_eq!(shown[member], expect, "{member} in {shown}");
    }
    // What is not given stays, and an empty text takes something away.
    let change = json!({
        "AppId": shop, "Envs": "[{\"name\":\"A\",\"value\":\"2\"}]", "VSwitchId": "",
        "MinReadyInstances": 0,
    });
    let (status, deployed) = cloud
        .raw(&cloud.key, Client::Roa, "DeployApplication", &change)
        .await;
    assert_eq!(status, 200, "{deployed}");
    assert_eq!(
        cloud
            .settled(&text(&deployed["Data"]["ChangeOrderId"]))
            .await,
        2
    );
    let shown = cloud
        .ok("DescribeApplicationConfig", json!({"AppId": shop}))
        .await;
    let shown = &shown["Data"];
    assert_eq!(shown.get("VSwitchId"), None);
    assert_eq!(shown["PackageVersion"], "1.0");
    assert_eq!(shown["DiskSize"], 20);
    assert!(text(&shown["Envs"]).contains("\"value\":\"2\""), "{shown}");
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_here_is_refused_by_name() {
    let cloud = Cloud::still().await;
    let package = cloud.package("one");
    for (name, value) in [
        ("InitContainersConfig", json!("[{\"Name\":\"a\"}]")),
        ("SidecarContainersConfig", json!("[{\"Name\":\"a\"}]")),
        ("GpuConfig", json!("{\"gpuType\":\"a\"}")),
        ("PythonModules", json!("requests")),
        ("SecretMountDesc", json!("[{}]")),
        ("NasConfigs", json!("[{\"mountPath\":\"/data\"}]")),
        ("NasId", json!("nas-1")),
        ("OssMountDescs", json!("[{\"mountPath\":\"/data\"}]")),
    ] {
        let mut params = cloud.new_application("shop", 1, &package);
        params[name] = value;
        let (_, answer) = cloud.call("CreateApplication", params).await;
        assert_eq!(answer["Code"], "InvalidParameter.WithMessage", "{name}");
        let message = text(&answer["Message"]);
        assert!(message.contains(&format!("{{{name}}}")), "{message}");
    }
    let mode = json!({"AppId": UNKNOWN, "EnableIdle": true});
    cloud
        .refused(&[("UpdateAppMode", mode, "InvalidParameter.WithMessage")])
        .await;
    let listed = cloud.ok("ListApplications", json!({})).await;
    assert_eq!(listed["TotalSize"], Value::from(0), "nothing was made");
    cloud.stop().await;
}
