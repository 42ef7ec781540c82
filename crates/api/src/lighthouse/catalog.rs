//! What there is to choose from: regions, zones, plans and quotas.

use backout_servers::bundles::Bundle;
use backout_servers::model::size_gib;
use backout_servers::{Quota, Refusal};
use backout_wire::SurfaceError;
use backout_wire::types::lighthouse as wire;

use super::asked::{Ask, FILTER_VALUES_MAX};
use super::blueprints::{PLATFORM_TYPES, any_of};
use super::{Lighthouse, codes};
use crate::front::{REGIONS, Refused};

/// The region of a call that names none, where it is served.
const DEFAULT_REGION: &str = "ap-guangzhou";

/// The vendor's regions of this family, their names, and whether they are in
/// mainland China.
const NAMED: [(&str, &str, bool); 19] = [
    ("ap-bangkok", "Bangkok", false),
    ("ap-beijing", "Beijing", true),
    ("ap-chengdu", "Chengdu", true),
    ("ap-chongqing", "Chongqing", true),
    ("ap-guangzhou", "Guangzhou", true),
    ("ap-hongkong", "Hong Kong, China", false),
    ("ap-jakarta", "Jakarta", false),
    ("ap-mumbai", "Mumbai", false),
    ("ap-nanjing", "Nanjing", true),
    ("ap-seoul", "Seoul", false),
    ("ap-shanghai", "Shanghai", true),
    ("ap-singapore", "Singapore", false),
    ("ap-tokyo", "Tokyo", false),
    ("eu-frankfurt", "Frankfurt", false),
    ("eu-moscow", "Moscow", false),
    ("na-ashburn", "Virginia", false),
    ("na-siliconvalley", "Silicon Valley", false),
    ("na-toronto", "Toronto", false),
    ("sa-saopaulo", "Sao Paulo", false),
];

const BUNDLE_TYPES: [(&str, bool); 6] = [
    ("GENERAL_BUNDLE", true),
    ("STORAGE_BUNDLE", false),
    ("ENTERPRISE_BUNDLE", false),
    ("EXCLUSIVE_BUNDLE", false),
    ("BEFAST_BUNDLE", false),
    ("STARTER_BUNDLE", false),
];
const BUNDLE_STATES: [(&str, bool); 2] = [("ONLINE", true), ("OFFLINE", false)];

/// The only zone of a region: there is no more than one host to choose.
pub(super) fn zone(region: &str) -> String {
    format!("{region}-1")
}

/// The regions of this family among those that are served: the operator may
/// serve some of his own, but the short names of the legacy API and the other
/// vendor's regions lead nowhere here.
pub(super) fn own_regions(served: &[String]) -> Vec<String> {
    served
        .iter()
        .filter(|r| known(r).is_some() || !REGIONS.contains(&r.as_str()))
        .cloned()
        .collect()
}

fn known(region: &str) -> Option<(&'static str, bool)> {
    NAMED
        .iter()
        .find(|(id, _, _)| *id == region)
        .map(|(_, name, mainland)| (*name, *mainland))
}

fn region_name(region: &str) -> &str {
    known(region).map_or(region, |(name, _)| name)
}

impl Lighthouse {
    /// The region that a call is about.
    pub(super) fn region<'a>(&'a self, ask: Ask<'a>) -> &'a str {
        let default = || {
            self.regions
                .iter()
                .map(String::as_str)
                .find(|r| *r == DEFAULT_REGION)
                .or_else(|| self.regions.first().map(String::as_str))
                .unwrap_or(DEFAULT_REGION)
        };
        ask.0.call.region.as_deref().unwrap_or_else(default)
    }

    /// Refuses a zone that is not one of the call's region.
    pub(super) fn check_zones(&self, ask: Ask<'_>, zones: &[String]) -> Result<(), SurfaceError> {
        let only = zone(self.region(ask));
        match zones.iter().find(|z| **z != only) {
            None => Ok(()),
            Some(odd) => Err(ask.error(
                codes::ZONE,
                format!("there is no zone {odd:?} in this region, only {only}"),
            )),
        }
    }

    pub(super) fn describe_regions(&self) -> wire::DescribeRegionsResponse {
        wire::DescribeRegionsResponse {
            total_count: i64::try_from(self.regions.len()).unwrap_or(i64::MAX),
            region_set: self
                .regions
                .iter()
                .map(|region| wire::RegionInfo {
                    region: region.clone(),
                    region_name: region_name(region).to_owned(),
                    region_state: "AVAILABLE".to_owned(),
                    is_china_mainland: known(region).is_some_and(|(_, mainland)| mainland),
                })
                .collect(),
        }
    }

    pub(super) fn describe_zones(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeZonesResponse, Refused> {
        let asked: wire::DescribeZonesRequest = ask.params()?;
        // One zone is in order however it is sorted.
        ask.word(
            "OrderField",
            asked.order_field.as_deref(),
            &[("ZONE", ()), ("INSTANCE_DISPLAY_LABEL", ())],
            (),
        )?;
        ask.word(
            "Order",
            asked.order.as_deref(),
            &[("ASC", ()), ("DESC", ())],
            (),
        )?;
        let region = self.region(ask);
        Ok(wire::DescribeZonesResponse {
            total_count: 1,
            zone_info_set: vec![wire::ZoneInfo {
                zone: Some(zone(region)),
                zone_name: Some(format!("{} Zone 1", region_name(region))),
                instance_display_label: Some("NORMAL".to_owned()),
            }],
        })
    }

    pub(super) async fn describe_bundles(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeBundlesResponse, Refused> {
        let asked: wire::DescribeBundlesRequest = ask.params()?;
        let page = ask.page(asked.offset, asked.limit)?;
        let known = |id: &str| {
            let known = self.servers.bundles().iter().find(|b| b.id == id);
            known
                .map(|b| b.id)
                .ok_or_else(|| ask.refused(Refusal::BundleNotFound(id.to_owned())))
        };
        let mut ids = ask.distinct("BundleIds", &asked.bundle_ids, known)?;
        ask.exclusive(&ids, &asked.filters)?;
        self.check_zones(ask, &asked.zones)?;
        ask.filters(&asked.filters, FILTER_VALUES_MAX)?;
        let mut nothing = false;
        for filter in &asked.filters {
            let values = &filter.values;
            match filter.name.as_str() {
                "bundle-id" => {
                    values.iter().try_for_each(|v| known(v).map(drop))?;
                    ids.clone_from(values);
                }
                "support-platform-type" => {
                    // Any of them boots whatever is on the disk.
                    any_of(ask, values, &PLATFORM_TYPES, codes::PLATFORM_TYPE)?;
                }
                "bundle-type" => nothing |= !any_of(ask, values, &BUNDLE_TYPES, codes::FILTER)?,
                "bundle-state" => nothing |= !any_of(ask, values, &BUNDLE_STATES, codes::FILTER)?,
                name => {
                    return Err(ask
                        .error(
                            codes::FILTER_NAME,
                            format!("there is no filter {name:?} here"),
                        )
                        .into());
                }
            }
        }
        let mut needed_bytes = 0;
        if let Some(blueprint) = asked.blueprint_id.filter(|id| !id.is_empty()) {
            let blueprint = ask.blueprint(&blueprint)?;
            let found = self
                .servers
                .blueprint(ask.owner(), blueprint.as_str())
                .await
                .map_err(|e| ask.refused(e))?;
            needed_bytes = found.size_bytes;
        }
        let fitting: Vec<&Bundle> = self
            .servers
            .bundles()
            .iter()
            .filter(|b| !nothing && (ids.is_empty() || ids.iter().any(|id| id == b.id)))
            .filter(|b| b.disk_bytes >= needed_bytes)
            .collect();
        let skip = usize::try_from(page.offset).unwrap_or(usize::MAX);
        let take = usize::try_from(page.limit).unwrap_or(usize::MAX);
        Ok(wire::DescribeBundlesResponse {
            total_count: i64::try_from(fitting.len()).unwrap_or(i64::MAX),
            bundle_set: fitting
                .into_iter()
                .skip(skip)
                .take(take)
                .map(bundle)
                .collect(),
        })
    }

    pub(super) async fn describe_general_resource_quotas(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeGeneralResourceQuotasResponse, Refused> {
        let asked: wire::DescribeGeneralResourceQuotasRequest = ask.params()?;
        let names = ask.named("ResourceNames", &asked.resource_names, |name| {
            Ok(name.to_owned())
        })?;
        let quotas = self
            .servers
            .quotas(ask.owner())
            .await
            .map_err(|e| ask.refused(e))?;
        // What Backout does not have cannot be had.
        let none = Quota { used: 0, total: 0 };
        let set = names
            .into_iter()
            .map(|name| {
                let quota = match name.as_str() {
                    "SNAPSHOT" => quotas.snapshots,
                    "DATA_DISK" => quotas.data_disks,
                    "GENERAL_BUNDLE_INSTANCE" => quotas.servers,
                    // No image costs anything.
                    "BLUEPRINT" | "FREE_BLUEPRINT" => quotas.images,
                    "USER_KEY_PAIR"
                    | "STORAGE_BUNDLE_INSTANCE"
                    | "ENTERPRISE_BUNDLE_INSTANCE"
                    | "EXCLUSIVE_BUNDLE_INSTANCE" => none,
                    _ => {
                        return Err(
                            ask.error(codes::QUOTA_NAME, format!("there is no quota {name:?}"))
                        );
                    }
                };
                Ok(wire::GeneralResourceQuota {
                    resource_name: name,
                    resource_quota_available: quota.total.saturating_sub(quota.used).cast_signed(),
                    resource_quota_total: quota.total.cast_signed(),
                })
            })
            .collect::<Result<_, SurfaceError>>()?;
        Ok(wire::DescribeGeneralResourceQuotasResponse {
            general_resource_quota_set: set,
        })
    }
}

/// All cost nothing.
fn bundle(bundle: &Bundle) -> wire::Bundle {
    wire::Bundle {
        bundle_id: bundle.id.to_owned(),
        memory: size_gib(bundle.memory_bytes).cast_signed(),
        system_disk_type: "LOCAL_BASIC".to_owned(),
        system_disk_size: size_gib(bundle.disk_bytes).cast_signed(),
        support_linux_unix_platform: true,
        support_windows_platform: true,
        price: wire::Price {
            instance_price: wire::InstancePrice {
                discount: 100.0,
                currency: "CNY".to_owned(),
                ..Default::default()
            },
        },
        cpu: bundle.cpus.into(),
        internet_charge_type: "TRAFFIC_POSTPAID_BY_HOUR".to_owned(),
        bundle_sales_state: "AVAILABLE".to_owned(),
        bundle_type: "GENERAL_BUNDLE".to_owned(),
        bundle_type_description: "General".to_owned(),
        bundle_display_label: "NORMAL".to_owned(),
        traffic_unlimited: Some(true),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regions_of_this_family_are_shown() {
        let served: Vec<String> = REGIONS.iter().map(|r| (*r).to_owned()).collect();
        let own = own_regions(&served);
        assert_eq!(own.len(), NAMED.len());
        let named: Vec<String> = ["gz", "cn-hangzhou", "ap-tokyo", "cellar"]
            .map(str::to_owned)
            .to_vec();
        assert_eq!(own_regions(&named), ["ap-tokyo", "cellar"]);
    }
}
