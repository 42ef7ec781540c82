//! Every code of the seed, produced by its documented cause
//! (`docs/sae-errors.md`), with the fault switch off but where it says
//! otherwise.

use std::collections::BTreeSet;

use backout_apps::model::{AccountSettings, ServiceSettings, Size};
use backout_wire::{Service, find};
use serde_json::{Value, json};

use crate::cloud::{Client, Cloud, UNKNOWN, text};
use crate::common::house::with;
use crate::common::pages;

const CREATE: &str = "CreateApplication";
const DEPLOY: &str = "DeployApplication";
const BACK: &str = "RollbackApplication";
const SCALE: &str = "RescaleApplication";

/// The codes that come from the fault switch only: what they are about is not
/// here.
const SWITCHED: [&str; 8] = [
    "LogService.ConfigQuotaExceed",
    "LogService.InternalError",
    "LogService.NotAvailable",
    "LogService.ProjectNumQuotaExceed",
    "PandoraApplication.MissingJdk",
    "Slb.Occupied",
    "Slb.Tag.Not.Qualified",
    "vswitch.not.exist",
];

/// What was produced, to be compared with what there is.
struct Produced<'a> {
    cloud: &'a Cloud,
    seen: BTreeSet<String>,
}

impl Produced<'_> {
    async fn by(&mut self, action: &str, params: Value, code: &str) -> Value {
        let (status, answer) = self.cloud.call(action, params.clone()).await;
        assert_eq!(answer["Code"], code, "{action} {params}: {answer}");
        let expect = match code {
            "InvalidNamespaceId.NotFound" => 404,
            _ => 400,
        };
        assert_eq!(status, expect, "{answer}");
        self.seen.insert(code.to_owned());
        answer
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_code_of_the_seed() {
    let cloud = Cloud::start().await;
    let shop = cloud.running("shop", 2).await;
    let bare = cloud.bare("bare").await;
    let version = present(&cloud, &shop).await;
    let (owner, caller) = (cloud.owner().clone(), cloud.caller());
    let mut seen = Produced {
        cloud: &cloud,
        seen: BTreeSet::new(),
    };
    let back = |change: Value| with(json!({"AppId": shop, "VersionId": version}), &change);
    let package = cloud.package("one");
    let new = |change: Value| with(cloud.new_application("new", 1, &package), &change);

    // What is asked, and of what.
    let told = seen
        .by(
            BACK,
            back(json!({"AppId": UNKNOWN})),
            "InvalidApplication.NotFound",
        )
        .await;
    let message = text(&told["Message"]);
    assert!(
        message.starts_with("The current application does not exist."),
        "{message}"
    );
    let told = seen
        .by(BACK, json!({"AppId": shop}), "InvalidParameter.NotEmpty")
        .await;
    assert_eq!(told["Message"], "You must specify the parameter VersionId.");
    seen.by(
        BACK,
        back(json!({"VersionId": ""})),
        "InvalidParameter.NotEmpty",
    )
    .await;
    for change in [
        json!({"BatchWaitTime": "soon"}),
        json!({"UpdateStrategy": "batch"}),
        json!({"AutoEnableApplicationScalingRule": "perhaps"}),
    ] {
        seen.by(BACK, back(change), "InvalidParameter.Obviously")
            .await;
    }
    for change in [
        json!({"VersionId": UNKNOWN}),
        json!({"MinReadyInstances": -2}),
        json!({"BatchWaitTime": -1}),
        json!({"UpdateStrategy": "{\"type\":\"BatchUpdate\"}"}),
        json!({"UpdateStrategy": "{\"type\":\"BatchUpdate\",\"batchUpdate\":{\"batch\":9}}"}),
    ] {
        seen.by(BACK, back(change), "InvalidParameter.WithMessage")
            .await;
    }
    seen.by(
        BACK,
        back(json!({"MinReadyInstances": 2})),
        "MinReadyInstances.Not.Smaller.Replicas",
    )
    .await;
    seen.by(
        BACK,
        back(json!({"MinReadyInstanceRatio": 101})),
        "MinReadyInstanceRatio.Invalid",
    )
    .await;
    seen.by(
        CREATE,
        new(json!({"NamespaceId": "cn-hangzhou:nowhere"})),
        "InvalidNamespaceId.NotFound",
    )
    .await;

    // What a release is made of.
    seen.by(
        CREATE,
        new(json!({"PackageType": "Rpm"})),
        "InvalidPackageType.NotFound",
    )
    .await;
    let jar = json!({"PackageType": "FatJar", "PackageUrl": "http://files/a.jar", "Command": null});
    let war = json!({"PackageType": "War", "PackageUrl": "http://files/a.war", "Command": null});
    seen.by(CREATE, new(jar.clone()), "JarApplication.MissingJdk")
        .await;
    seen.by(
        CREATE,
        new(war.clone()),
        "WarApplication.MissingJdkWebcontainer",
    )
    .await;
    seen.by(
        CREATE,
        new(with(war, &json!({"Jdk": "Open JDK 17"}))),
        "WarApplication.MissingJdkWebcontainer",
    )
    .await;
    seen.by(
        CREATE,
        new(json!({"WebContainer": "apache-tomcat-8.5.42"})),
        "Application.MissingJdk",
    )
    .await;
    seen.by(
        CREATE,
        new(with(jar.clone(), &json!({"Jdk": "Open JDK 6"}))),
        "InvalidComponent.NotFound",
    )
    .await;
    for name in ["a b.jar", "a.zip", "$.jar"] {
        let wrong = json!({"Jdk": "Open JDK 17", "PackageUrl": format!("http://files/{name}")});
        seen.by(
            CREATE,
            new(with(jar.clone(), &wrong)),
            "InvalidParameter.FileName",
        )
        .await;
    }
    seen.by(
        CREATE,
        new(json!({"PackageVersion": "v".repeat(65)})),
        "Package.Version.Too.Long",
    )
    .await;
    let told = seen
        .by(
            CREATE,
            new(json!({"CustomHostAlias": "[{\"hostName\":\"a\",\"ip\":\"10.0.0.300\"}]"})),
            "InvalidHostnameIp.Invalid",
        )
        .await;
    let message = text(&told["Message"]);
    assert!(
        message.starts_with("The hostname and/or IP is invalid: Hostname [a], IP [10.0.0.300]."),
        "{message}"
    );
    let mount = |number: u64, key: &str, path: &str| {
        json!([{"ConfigMapId": number, "Key": key, "MountPath": path}]).to_string()
    };
    seen.by(
        CREATE,
        new(json!({"ConfigMapMountDesc": mount(77, "a", "/etc/a")})),
        "NotFound.ConfigMap",
    )
    .await;
    let entries = [("a".to_owned(), "1".to_owned())].into();
    let map = cloud
        .apps
        .create_config_map(&caller, "default", "settings", entries)
        .await
        .unwrap()
        .number;
    seen.by(
        CREATE,
        new(json!({"ConfigMapMountDesc": mount(map, "b", "/etc/a")})),
        "NotFound.ConfigMapKey",
    )
    .await;
    let twice = json!([
        {"ConfigMapId": map, "Key": "a", "MountPath": "/etc/a"},
        {"ConfigMapId": map, "Key": "a", "MountPath": "/etc/a"},
    ])
    .to_string();
    seen.by(
        CREATE,
        new(json!({"ConfigMapMountDesc": twice})),
        "MountConflict.ConfigMap",
    )
    .await;
    let logs = r#"[{"logDir":"/var/log/shop","logType":"file_log"}]"#;
    seen.by(
        CREATE,
        new(json!({
            "SlsConfigs": logs, "NasConfigs": "[{\"mountPath\":\"/var/log/shop\"}]",
        })),
        "VolumnPath.Conflict",
    )
    .await;
    seen.by(
        CREATE,
        new(json!({"SlsConfigs": "[{\"logDir\":\"log\",\"logType\":\"file_log\"}]"})),
        "LogService.LogDirInvalid",
    )
    .await;

    // How much there may be.
    let scale = |replicas: u32| json!({"AppId": shop, "Replicas": replicas});
    let bounded = |of_application, of_account| AccountSettings {
        replicas_of_application: of_application,
        replicas_of_account: of_account,
        ..AccountSettings::default()
    };
    let apps = &cloud.apps;
    let set = |settings| apps.set_account_settings(&owner, settings);
    set(bounded(3, 100)).await.unwrap();
    let told = seen
        .by(SCALE, scale(4), "NoComputeResourceQuota.App.Exceed")
        .await;
    let message = text(&told["Message"]);
    assert!(
        message.starts_with("You can create 3 instances for each application."),
        "{message}"
    );
    set(bounded(100, 3)).await.unwrap();
    seen.by(SCALE, scale(4), "NoComputeResourceQuota.User.Exceed")
        .await;
    set(AccountSettings {
        in_debt: true,
        ..AccountSettings::default()
    })
    .await
    .unwrap();
    seen.by(BACK, back(json!({})), "user.indebt").await;
    set(AccountSettings::default()).await.unwrap();
    let service = |settings| apps.set_service_settings(settings);
    service(ServiceSettings {
        upgrading: true,
        ..ServiceSettings::default()
    })
    .await
    .unwrap();
    seen.by(BACK, back(json!({})), "System.Upgrading").await;
    service(ServiceSettings {
        cpu_millis: Some(1000),
        ..ServiceSettings::default()
    })
    .await
    .unwrap();
    seen.by(
        CREATE,
        new(json!({"Replicas": 3, "Cpu": 500, "Memory": 1024})),
        "NoComputeResourceQuota.Exceed",
    )
    .await;
    service(ServiceSettings {
        sizes: vec![Size {
            cpu_millis: 500,
            memory_bytes: 1 << 30,
        }],
        ..ServiceSettings::default()
    })
    .await
    .unwrap();
    let told = seen
        .by(
            CREATE,
            new(json!({"Cpu": 1000, "Memory": 1024})),
            "InvalidInstanceSpecification.Unsupported",
        )
        .await;
    let message = text(&told["Message"]);
    assert!(
        message
            .starts_with("The instance specification is not supported: CPU [1000], memory [1024]."),
        "{message}"
    );
    service(ServiceSettings::default()).await.unwrap();

    // How applications stand.
    seen.by(
        BACK,
        back(json!({"AppId": bare})),
        "Application.NotDeployYet",
    )
    .await;
    let named = json!({
        "AppId": shop, "PackageType": "PythonZip", "PackageUrl": package,
        "PackageVersion": "1.0", "MinReadyInstances": 1,
        "UpdateStrategy": "{\"type\":\"BatchUpdate\",\"batchUpdate\":{\"batch\":2,\"releaseType\":\"manual\"}}",
    });
    let order = cloud.ok(DEPLOY, named.clone()).await;
    let order = text(&order["Data"]["ChangeOrderId"]);
    cloud.until(&order, 8).await;
    seen.by(BACK, back(json!({})), "Application.ChangerOrderRunning")
        .await;
    seen.by(DEPLOY, named.clone(), "App.Package.Version.Exists")
        .await;
    cloud
        .ok(
            "AbortChangeOrder",
            json!({"ChangeOrderId": order, "Rollback": true}),
        )
        .await;
    assert_eq!(cloud.settled(&order).await, 6);
    let status = cloud
        .ok("DescribeApplicationStatus", json!({"AppId": shop}))
        .await;
    let way_back = text(&status["Data"]["LastChangeOrderId"]);
    assert_ne!(way_back, order);
    assert_eq!(cloud.settled(&way_back).await, 2);
    cloud
        .apps
        .bar(&caller, &shop, &version, Some("it lost orders"))
        .await
        .unwrap();
    seen.by(BACK, back(json!({})), "rollback.error").await;
    cloud
        .apps
        .bar(&caller, &shop, &version, None)
        .await
        .unwrap();
    let stopped = cloud.ok("StopApplication", json!({"AppId": shop})).await;
    let stopped = text(&stopped["Data"]["ChangeOrderId"]);
    assert_eq!(cloud.settled(&stopped).await, 2);
    seen.by(BACK, back(json!({})), "Application.InvalidStatus")
        .await;

    // What is not here.
    for code in SWITCHED {
        cloud.let_fail_once("sae:RollbackApplication", code).await;
        seen.by(BACK, back(json!({})), code).await;
    }

    let operation = find(Service::Sae, BACK).expect("an operation of the contract");
    let all: BTreeSet<String> = operation.errors.iter().map(|c| (*c).to_owned()).collect();
    assert_eq!(all.len(), 39, "the rows of the seed");
    let missing: Vec<&String> = all.difference(&seen.seen).collect();
    assert!(missing.is_empty(), "never produced: {missing:?}");
    cloud.stop().await;
}

/// The id of the version that an application has.
pub async fn present(cloud: &Cloud, application: &str) -> String {
    let versions = cloud
        .ok("ListAppVersions", json!({"AppId": application}))
        .await;
    text(&versions["Data"][0]["Id"])
}

/// The page has every code that the service has.
#[test]
fn the_page_has_every_code() {
    pages::every_code_is_told(&[Service::Sae], "docs/sae-errors.md");
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_and_limits() {
    let cloud = Cloud::still().await;
    let shop = cloud.bare("shop").await;
    let other = cloud.bare("other").await;
    let allowed = json!([
        {"Effect": "Allow", "Action": "sae:*", "Resource": format!("acs:sae:*:*:application/*/{shop}")},
        {"Effect": "Deny", "Action": "sae:DeleteApplication", "Resource": "*"},
    ]);
    let key = cloud.limited("deployer", &allowed).await;
    let ask = |action: &'static str, params: Value| {
        let (cloud, key) = (&cloud, &key);
        async move { cloud.raw(key, Client::Roa, action, &params).await }
    };
    let status = "DescribeApplicationStatus";
    for (action, params, expect) in [
        (status, json!({"AppId": shop}), 200),
        (status, json!({"AppId": other}), 403),
        // Nobody learns what there is by asking about it.
        (status, json!({"AppId": UNKNOWN}), 403),
        ("DeleteApplication", json!({"AppId": shop}), 403),
        ("ListApplications", json!({}), 403),
        (
            "DescribeChangeOrder",
            json!({"ChangeOrderId": UNKNOWN}),
            403,
        ),
    ] {
        let (status, answer) = ask(action, params.clone()).await;
        assert_eq!(status, expect, "{action} {params}: {answer}");
        if expect == 403 {
            assert_eq!(answer["Code"], "Forbidden.RAM");
        }
    }
    // This one has a code of its own for it.
    let (status, answer) = ask("AbortChangeOrder", json!({"ChangeOrderId": UNKNOWN})).await;
    assert_eq!(
        (status, &answer["Code"]),
        (400, &json!("Resouce.no.permission"))
    );
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_calls() {
    let cloud = Cloud::slow(2).await;
    let mut last = (0, Value::Null);
    for _ in 0..50 {
        last = cloud.call("DescribeRegions", json!({})).await;
        if last.0 != 200 {
            break;
        }
    }
    assert_eq!(last.0, 429, "{last:?}");
    assert_eq!(last.1["Code"], "Throttling.User");
    cloud.stop().await;
}
