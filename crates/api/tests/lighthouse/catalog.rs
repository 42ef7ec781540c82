//! Regions, zones, plans, quotas.

use serde_json::{Value, json};

use crate::cloud::{Cloud, UNKNOWN_BLUEPRINT, VERSION, filter, many, sorted};
use backout_servers::model::PowerCommands;

#[tokio::test(flavor = "multi_thread")]
async fn regions_and_their_zones() {
    let cloud = Cloud::start().await;
    let regions = cloud.ok("DescribeRegions", json!({})).await;
    let ids = sorted(&regions, "RegionSet", "Region");
    assert_eq!(regions["TotalCount"], ids.len());
    assert!(ids.contains(&"ap-guangzhou".to_owned()));
    for other in ["gz", "cn-hangzhou"] {
        assert!(!ids.contains(&other.to_owned()), "{other} is not of here");
    }
    for row in regions["RegionSet"].as_array().unwrap() {
        assert_eq!(row["RegionState"], "AVAILABLE");
        assert_ne!(row["RegionName"], "");
        let id = row["Region"].as_str().unwrap();
        // Every region that is shown can be used, and has a zone.
        let zones = cloud
            .raw(&cloud.key, "DescribeZones", VERSION, Some(id), "{}")
            .await;
        assert_eq!(zones["TotalCount"], 1);
        assert_eq!(zones["ZoneInfoSet"][0]["Zone"], format!("{id}-1"));
    }
    let bejing = ids.iter().position(|id| id == "ap-beijing").unwrap();
    assert_eq!(regions["RegionSet"][bejing]["IsChinaMainland"], true);
    // Without a region it is the default one's.
    let zones = cloud
        .raw(&cloud.key, "DescribeZones", VERSION, None, "{}")
        .await;
    assert_eq!(zones["ZoneInfoSet"][0]["Zone"], "ap-guangzhou-1");
    let ordered = json!({"OrderField": "ZONE", "Order": "DESC"});
    cloud.ok("DescribeZones", ordered).await;
    cloud
        .refused(&[
            (
                "DescribeZones",
                json!({"OrderField": "COLOUR"}),
                "InvalidParameterValue",
            ),
            (
                "DescribeZones",
                json!({"Order": "UP"}),
                "InvalidParameterValue",
            ),
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_cost_nothing() {
    let cloud = Cloud::start().await;
    let ids = |answer: &Value| -> Vec<String> {
        let rows = answer["BundleSet"].as_array().unwrap();
        rows.iter()
            .map(|b| b["BundleId"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = cloud.ok("DescribeBundles", json!({})).await;
    let whole = ids(&all);
    assert_eq!(all["TotalCount"], whole.len());
    assert!(whole.len() > 2);
    for bundle in all["BundleSet"].as_array().unwrap() {
        assert_eq!(bundle["Price"]["InstancePrice"]["DiscountPrice"], 0.0);
        assert_eq!(bundle["BundleSalesState"], "AVAILABLE");
        assert!(bundle["CPU"].as_i64().unwrap() > 0);
        assert!(bundle["Memory"].as_i64().unwrap() > 0);
        assert!(bundle["SystemDiskSize"].as_i64().unwrap() > 0);
    }
    // Pages make the whole.
    let mut paged = Vec::new();
    for offset in 0..whole.len() {
        let page = json!({"Offset": offset, "Limit": 1});
        let answer = cloud.ok("DescribeBundles", page).await;
        assert_eq!(answer["TotalCount"], whole.len());
        paged.extend(ids(&answer));
    }
    assert_eq!(paged, whole);
    for (params, expect) in [
        (json!({"BundleIds": [whole[1]]}), vec![whole[1].clone()]),
        (
            filter("bundle-id", &json!([whole[0]])),
            vec![whole[0].clone()],
        ),
        (
            filter("support-platform-type", &json!(["WINDOWS"])),
            whole.clone(),
        ),
        (
            filter("bundle-type", &json!(["GENERAL_BUNDLE"])),
            whole.clone(),
        ),
        (filter("bundle-type", &json!(["STORAGE_BUNDLE"])), vec![]),
        (filter("bundle-state", &json!(["ONLINE"])), whole.clone()),
        (filter("bundle-state", &json!(["OFFLINE"])), vec![]),
        (json!({"Zones": ["ap-guangzhou-1"]}), whole.clone()),
    ] {
        let answer = cloud.ok("DescribeBundles", params.clone()).await;
        assert_eq!(ids(&answer), expect, "{params}");
    }
    cloud
        .refused(&[
            (
                "DescribeBundles",
                json!({"BundleIds": ["bundle_gold"]}),
                "InvalidParameter.BundleIdNotFound",
            ),
            (
                "DescribeBundles",
                json!({"BundleIds": [whole[0], whole[0]]}),
                "InvalidParameterValue.Duplicated",
            ),
            (
                "DescribeBundles",
                json!({"BundleIds": many("bundle_", 101)}),
                "InvalidParameterValue.LimitExceeded",
            ),
            (
                "DescribeBundles",
                json!({"BundleIds": [whole[0]], "Filters": [{"Name": "bundle-type", "Values": ["GENERAL_BUNDLE"]}]}),
                "InvalidParameter.ParameterConflict",
            ),
            (
                "DescribeBundles",
                json!({"Zones": ["ap-guangzhou-7"]}),
                "InvalidParameterValue.InvalidZone",
            ),
            (
                "DescribeBundles",
                json!({"BlueprintId": UNKNOWN_BLUEPRINT}),
                "ResourceNotFound",
            ),
            (
                "DescribeBundles",
                json!({"BlueprintId": "centos"}),
                "InvalidParameterValue",
            ),
            (
                "DescribeBundles",
                filter("colour", &json!(["red"])),
                "InvalidParameter.InvalidFilterNotSupportedName",
            ),
            (
                "DescribeBundles",
                filter("bundle-type", &json!(["GOLD"])),
                "InvalidParameter.InvalidFilter",
            ),
            (
                "DescribeBundles",
                filter("support-platform-type", &json!(["AMIGA"])),
                "InvalidParameterValue.InvalidBlueprintPlatformType",
            ),
            (
                "DescribeBundles",
                filter("bundle-id", &json!(["1", "2", "3", "4", "5", "6"])),
                "InvalidParameter.FilterValueLimitExceeded",
            ),
            (
                "DescribeBundles",
                json!({"Limit": 101}),
                "InvalidParameterValue.OutOfRange",
            ),
            (
                "DescribeBundles",
                json!({"Offset": -1}),
                "InvalidParameterValue.Negative",
            ),
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_count_down() {
    let cloud = Cloud::start().await;
    let left = async |name: &str| -> (i64, i64) {
        let answer = cloud
            .ok(
                "DescribeGeneralResourceQuotas",
                json!({"ResourceNames": [name]}),
            )
            .await;
        let row = &answer["GeneralResourceQuotaSet"][0];
        assert_eq!(row["ResourceName"], name);
        (
            row["ResourceQuotaAvailable"].as_i64().unwrap(),
            row["ResourceQuotaTotal"].as_i64().unwrap(),
        )
    };
    for name in [
        "GENERAL_BUNDLE_INSTANCE",
        "SNAPSHOT",
        "DATA_DISK",
        "BLUEPRINT",
        "FREE_BLUEPRINT",
    ] {
        let (available, total) = left(name).await;
        assert_eq!(available, total, "{name}");
        assert!(total > 0, "{name}");
    }
    let web = cloud.add("web", PowerCommands::default()).await;
    cloud.snapshot(&web, "s").await;
    cloud.add_data_disk("data").await;
    for name in ["GENERAL_BUNDLE_INSTANCE", "SNAPSHOT", "DATA_DISK"] {
        let (available, total) = left(name).await;
        assert_eq!(available, total - 1, "{name}");
    }
    // What is not to be had here.
    assert_eq!(left("USER_KEY_PAIR").await, (0, 0));
    assert_eq!(left("STORAGE_BUNDLE_INSTANCE").await, (0, 0));
    cloud
        .refused(&[
            (
                "DescribeGeneralResourceQuotas",
                json!({"ResourceNames": ["SNAPSHOT", "GOLD"]}),
                "InvalidParameterValue.InvalidResourceQuotaResourceName",
            ),
            (
                "DescribeGeneralResourceQuotas",
                json!({"ResourceNames": []}),
                "MissingParameter",
            ),
            (
                "DescribeGeneralResourceQuotas",
                json!({}),
                "MissingParameter",
            ),
        ])
        .await;
}
