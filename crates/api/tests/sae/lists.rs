//! Namespaces, tags, scaling rules, lists and what is shown of applications.

use serde_json::{Value, json};

use crate::cloud::{Cloud, UNKNOWN, text};

#[tokio::test(flavor = "multi_thread")]
async fn namespaces() {
    let cloud = Cloud::still().await;
    let made = cloud
        .ok(
            "CreateNamespace",
            json!({
                "NamespaceId": "cn-shanghai:test", "NamespaceName": "tests",
                "NamespaceDescription": "for tests", "RegionId": "cn-shanghai",
            }),
        )
        .await;
    assert_eq!(made["Data"]["NamespaceId"], "cn-shanghai:test");
    assert_eq!(made["Data"]["NameSpaceShortId"], "test");
    for id in ["cn-beijing:test", "test"] {
        let found = cloud
            .ok("DescribeNamespace", json!({"NamespaceId": id}))
            .await;
        assert_eq!(found["Data"]["NamespaceName"], "tests", "{id}");
    }
    cloud
        .ok(
            "UpdateNamespace",
            json!({"NameSpaceShortId": "test", "NamespaceName": "trials"}),
        )
        .await;
    let listed = cloud
        .ok(
            "DescribeNamespaces",
            json!({"CurrentPage": 1, "PageSize": 10}),
        )
        .await;
    assert_eq!(listed["Data"]["TotalSize"], 2);
    for (custom, count) in [(true, 2), (false, 1)] {
        let listed = cloud
            .ok("DescribeNamespaceList", json!({"ContainCustom": custom}))
            .await;
        assert_eq!(listed["Data"].as_array().unwrap().len(), count);
    }
    let mut params = cloud.new_application("shop", 1, &cloud.package("one"));
    params["NamespaceId"] = json!("cn-beijing:test");
    params["Deploy"] = json!(false);
    let made = cloud.ok("CreateApplication", params.clone()).await;
    assert_eq!(made["Data"].get("ChangeOrderId"), None);
    cloud
        .refused(&[
            ("CreateApplication", params, "InvalidParameter.WithMessage"),
            (
                "DeleteNamespace",
                json!({"NamespaceId": "cn-beijing:test"}),
                "InvalidParameter.WithMessage",
            ),
            (
                "DeleteNamespace",
                json!({"NamespaceId": "cn-beijing:nowhere"}),
                "InvalidNamespaceId.NotFound",
            ),
            ("DescribeNamespace", json!({}), "InvalidParameter.NotEmpty"),
            (
                "DescribeNamespaces",
                json!({"CurrentPage": 0, "PageSize": 10}),
                "InvalidParameter.WithMessage",
            ),
        ])
        .await;
    let resources = cloud
        .ok(
            "DescribeNamespaceResources",
            json!({"NamespaceId": "cn-beijing:test"}),
        )
        .await;
    assert_eq!(resources["Data"]["AppCount"], 1);
    let got = cloud
        .ok(
            "GetApplication",
            json!({"AppName": "shop", "NamespaceId": "cn-beijing:test"}),
        )
        .await;
    assert_eq!(got["Application"]["AppName"], "shop");
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_and_lists_of_applications() {
    let cloud = Cloud::still().await;
    let shop = cloud.bare("shop").await;
    let till = cloud.bare("till").await;
    let both = json!([shop, till]).to_string();
    let tag = json!({
        "ResourceType": "application", "ResourceIds": both, "RegionId": "cn-hangzhou",
        "Tags": "[{\"Key\":\"team\",\"Value\":\"red\"}]",
    });
    assert_eq!(cloud.ok("TagResources", tag).await["Data"], true);
    let untag = json!({
        "ResourceType": "application", "ResourceIds": json!([till]).to_string(),
        "RegionId": "cn-hangzhou", "TagKeys": "[\"team\"]",
    });
    cloud.ok("UntagResources", untag).await;
    let listed = cloud
        .ok(
            "ListTagResources",
            json!({"ResourceType": "application", "RegionId": "cn-hangzhou", "ResourceIds": both}),
        )
        .await;
    let rows = listed["Data"]["TagResources"].as_array().unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["ResourceId"], Value::String(shop.clone()));
    for (params, names) in [
        (json!({}), vec!["shop", "till"]),
        (json!({"AppName": "sho"}), vec!["shop"]),
        (
            json!({"FieldType": "appIds", "FieldValue": till}),
            vec!["till"],
        ),
        (
            json!({"FieldType": "slbIps", "FieldValue": "10.0.0.1"}),
            vec![],
        ),
        (
            json!({"Tags": "[{\"key\":\"team\",\"value\":\"red\"}]"}),
            vec!["shop"],
        ),
        (json!({"IsStateful": "true"}), vec![]),
        (json!({"PageSize": 1, "CurrentPage": 3}), vec![]),
    ] {
        let listed = cloud.ok("ListApplications", params.clone()).await;
        let mut found: Vec<String> = listed["Data"]["Applications"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| text(&row["AppName"]))
            .collect();
        found.sort();
        assert_eq!(found, names, "{params}");
    }
    let described = json!({"AppId": shop, "AppDescription": "sells things"});
    cloud.ok("UpdateApplicationDescription", described).await;
    let got = cloud.ok("GetApplication", json!({"AppId": shop})).await;
    assert_eq!(got["Application"]["AppDescription"], "sells things");
    assert_eq!(got["Application"]["RunningInstances"], 0);
    let odd = "InvalidParameter.WithMessage";
    cloud
        .refused(&[
            (
                "ListApplications",
                json!({"FieldType": "color", "FieldValue": "red"}),
                odd,
            ),
            ("ListApplications", json!({"OrderBy": "color"}), odd),
            ("ListApplications", json!({"PageSize": 1001}), odd),
            ("GetApplication", json!({}), "InvalidParameter.NotEmpty"),
            (
                "GetApplication",
                json!({"AppId": UNKNOWN}),
                "InvalidApplication.NotFound",
            ),
            // A name is no id.
            (
                "DescribeApplicationStatus",
                json!({"AppId": "shop"}),
                "InvalidApplication.NotFound",
            ),
            (
                "ListChangeOrders",
                json!({"AppId": shop, "CoType": "CoNothing"}),
                odd,
            ),
            (
                "ListChangeOrders",
                json!({"AppId": shop, "CoStatus": "4"}),
                odd,
            ),
            (
                "DescribeApplicationInstances",
                json!({"AppId": shop, "GroupId": UNKNOWN}),
                odd,
            ),
            (
                "ListAppEvents",
                json!({"Namespace": "cn-beijing", "EventType": "Odd"}),
                odd,
            ),
        ])
        .await;
    for action in [
        "ListAppVersions",
        "QueryResourceStatics",
        "DescribeApplicationGroups",
    ] {
        cloud.ok(action, json!({"AppId": shop})).await;
    }
    cloud
        .ok("ListAppEvents", json!({"Namespace": "cn-beijing"}))
        .await;
    cloud
        .ok(
            "ListNamespaceChangeOrders",
            json!({"NamespaceId": "cn-beijing"}),
        )
        .await;
    let metric = json!({"CreateTime": "0", "Limit": 10, "OrderBy": "Total"});
    cloud.ok("GetChangeOrderMetric", metric).await;
    let regions = cloud.ok("DescribeRegions", json!({})).await;
    let regions = regions["Regions"]["Region"].as_array().unwrap();
    assert!(regions.iter().any(|r| r["RegionId"] == "cn-hangzhou"));
    assert!(regions.iter().all(|r| r["RegionId"] != "ap-guangzhou"));
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scaling_rules() {
    let cloud = Cloud::still().await;
    let shop = cloud.bare("shop").await;
    let metric = r#"{"maxReplicas":3,"minReplicas":1,"metrics":[{"metricType":"CPU","metricTargetAverageUtilization":20}],"scaleUpRules":{"step":"2","disabled":false,"stabilizationWindowSeconds":0}}"#;
    let timer = r#"{"period":"* * Mon,Fri","schedules":[{"atTime":"08:00","targetReplicas":3}]}"#;
    let rule = |name: &str, change: Value| {
        let mut params = json!({"AppId": shop, "ScalingRuleName": name});
        for (member, value) in change.as_object().unwrap() {
            params[member] = value.clone();
        }
        params
    };
    let make = "CreateApplicationScalingRule";
    let made = cloud
        .ok(
            make,
            rule(
                "busy",
                json!({"ScalingRuleType": "metric", "ScalingRuleMetric": metric}),
            ),
        )
        .await;
    assert_eq!(made["Data"]["ScaleRuleEnabled"], true);
    assert_eq!(made["Data"]["Metric"]["MaxReplicas"], 3);
    cloud
        .ok(
            make,
            rule(
                "hours",
                json!({"ScalingRuleType": "timing", "ScalingRuleTimer": timer, "ScalingRuleEnable": false}),
            ),
        )
        .await;
    let odd = "InvalidParameter.WithMessage";
    cloud
        .refused(&[
            (
                make,
                rule("a", json!({"ScalingRuleType": "metric"})),
                "InvalidParameter.NotEmpty",
            ),
            (make, rule("a", json!({"ScalingRuleType": "odd"})), odd),
            (
                make,
                rule(
                    "busy",
                    json!({"ScalingRuleType": "metric", "ScalingRuleMetric": metric}),
                ),
                odd,
            ),
            (
                make,
                rule(
                    "a",
                    json!({"ScalingRuleType": "timing", "ScalingRuleTimer": "{"}),
                ),
                "InvalidParameter.Obviously",
            ),
            (
                "DescribeApplicationScalingRule",
                rule("none", json!({})),
                odd,
            ),
        ])
        .await;
    cloud
        .ok(
            "UpdateApplicationScalingRule",
            rule(
                "hours",
                json!({"ScalingRuleTimer": timer.replace("08:00", "09:30")}),
            ),
        )
        .await;
    let shown = cloud
        .ok("DescribeApplicationScalingRule", rule("hours", json!({})))
        .await;
    assert_eq!(shown["Data"]["Timer"]["Schedules"][0]["AtTime"], "09:30");
    assert_eq!(shown["Data"]["Timer"]["Period"], "* * Mon,Fri");
    assert_eq!(shown["Data"]["ScaleRuleEnabled"], false);
    cloud
        .ok("EnableApplicationScalingRule", rule("hours", json!({})))
        .await;
    cloud
        .ok("DisableApplicationScalingRule", rule("busy", json!({})))
        .await;
    let listed = cloud
        .ok("DescribeApplicationScalingRules", json!({"AppId": shop}))
        .await;
    let rules = listed["Data"]["ApplicationScalingRules"]
        .as_array()
        .unwrap();
    let on: Vec<(&Value, &Value)> = rules
        .iter()
        .map(|r| (&r["ScaleRuleName"], &r["ScaleRuleEnabled"]))
        .collect();
    assert_eq!(
        on,
        [
            (&json!("busy"), &json!(false)),
            (&json!("hours"), &json!(true))
        ]
    );
    cloud
        .ok("DeleteApplicationScalingRule", rule("busy", json!({})))
        .await;
    let listed = cloud
        .ok("DescribeApplicationScalingRules", json!({"AppId": shop}))
        .await;
    assert_eq!(listed["Data"]["TotalSize"], 1);
    cloud.stop().await;
}

/// What runs is shown, started anew, scaled and stopped.
#[tokio::test(flavor = "multi_thread")]
async fn orders_of_every_kind() {
    let cloud = Cloud::start().await;
    let shop = cloud.running("shop", 2).await;
    let instances = || async {
        let shown = cloud
            .ok(
                "DescribeApplicationInstances",
                json!({"AppId": shop, "GroupId": shop}),
            )
            .await;
        let rows = shown["Data"]["Instances"].as_array().unwrap().clone();
        rows.iter()
            .map(|row| text(&row["InstanceId"]))
            .collect::<Vec<_>>()
    };
    let asked = |action: &'static str, params: Value, code: &'static str| {
        let cloud = &cloud;
        async move {
            let answer = cloud.ok(action, params).await;
            let order = text(&answer["Data"]["ChangeOrderId"]);
            assert_eq!(cloud.settled(&order).await, 2, "{action}");
            let seen = cloud
                .ok("DescribeChangeOrder", json!({"ChangeOrderId": order}))
                .await;
            assert_eq!(seen["Data"]["CoTypeCode"], code, "{action}");
        }
    };
    let before = instances().await;
    assert_eq!(before.len(), 2);
    let first = before[0].clone();
    let named = json!({"AppId": shop, "InstanceIds": first});
    asked("RestartInstances", named, "CoRestartInstances").await;
    let after = instances().await;
    assert_eq!(after.len(), 2);
    assert!(!after.contains(&first) && after.contains(&before[1]));
    let more = json!({"AppId": shop, "Replicas": 3});
    asked("RescaleApplication", more, "CoScaleOut").await;
    let gone = instances().await[0].clone();
    let fewer = json!({"AppId": shop, "InstanceIds": gone});
    asked(
        "ReduceApplicationCapacityByInstanceIds",
        fewer,
        "CoScaleInAppWithInstances",
    )
    .await;
    assert!(!instances().await.contains(&gone));
    let one = json!({"AppId": shop, "Replicas": 1});
    asked("RescaleApplication", one, "CoScaleIn").await;
    let size = json!({"AppId": shop, "Cpu": "500", "Memory": "128", "minReadyInstances": 0});
    asked(
        "RescaleApplicationVertically",
        size,
        "CoRescaleApplicationVertically",
    )
    .await;
    let restart = json!({"AppId": shop, "MinReadyInstances": 0});
    asked("RestartApplication", restart, "CoRestartApplication").await;
    let room = json!({"NamespaceId": "cn-beijing", "AppIds": shop});
    asked("BatchStopApplications", room.clone(), "CoStop").await;
    assert!(instances().await.is_empty());
    asked("BatchStartApplications", room, "CoStart").await;
    assert_eq!(instances().await.len(), 1);
    for (kind, count) in [("CoScaleOut", 1), ("CoScaleIn", 1), ("CoBindSlb", 0)] {
        let listed = cloud
            .ok("ListChangeOrders", json!({"AppId": shop, "CoType": kind}))
            .await;
        assert_eq!(listed["Data"]["TotalSize"], count, "{kind}");
    }
    cloud.stop().await;
}
