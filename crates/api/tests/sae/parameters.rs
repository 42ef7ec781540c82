//! What parameters mean, and that none is dropped without a word.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use backout_wire::{Param, Service, operations_of};
use serde_json::{Value, json};

use crate::cloud::{Client, Cloud, READINESS, UNKNOWN, text};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// `docs/sae-parameters.md`: the operations, and what has no effect in them.
fn without_effect() -> BTreeMap<String, Vec<String>> {
    let page = std::fs::read_to_string(root().join("docs/sae-parameters.md")).unwrap();
    let mut out: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
        assert_eq!(cells.len(), 3, "{line}");
        let names = |cell: &str| -> Vec<String> {
            let parts = cell.split('`').skip(1).step_by(2);
            parts.map(str::to_owned).collect()
        };
        assert!(!cells[2].trim().is_empty(), "{line} says why");
        for operation in names(cells[0]) {
            out.entry(operation).or_default().extend(names(cells[1]));
        }
    }
    out
}

/// The name by which the code reads a parameter: `MinReadyInstances` is
/// `.min_ready_instances`.
fn read_as(param: &Param) -> String {
    let letters: Vec<char> = param.name.chars().collect();
    let mut out = String::from(".");
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| letters.get(at));
        let after = letters.get(at + 1);
        let begins = before.is_some_and(|b| !b.is_ascii_uppercase())
            || (before.is_some() && after.is_some_and(char::is_ascii_lowercase));
        if letter.is_ascii_uppercase() && begins {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// Every parameter of every operation is read by the code, or the page says why
/// it has no effect.
#[test]
fn no_parameter_is_ignored_in_silence() {
    let mut code = String::new();
    for entry in std::fs::read_dir(root().join("crates/api/src/sae")).unwrap() {
        code += &std::fs::read_to_string(entry.unwrap().path()).unwrap();
    }
    let mut documented = without_effect();
    for operation in operations_of(Service::Sae) {
        let page = documented.remove(operation.name).unwrap_or_default();
        for name in &page {
            assert!(
                operation.param(name).is_some(),
                "{} has no parameter {name}",
                operation.name
            );
        }
        for param in operation.params.iter().filter(|p| !p.disabled) {
            let known = page.iter().any(|name| name == param.name);
            let read = code.contains(&read_as(param));
            assert!(
                known || read,
                "{} of {} is neither read nor on the page",
                param.name,
                operation.name
            );
        }
    }
    assert!(documented.is_empty(), "no operations: {documented:?}");
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
