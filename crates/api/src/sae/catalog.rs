//! Regions, tags, events and statistics.

use backout_apps::model::Tag;
use backout_apps::persistence::{ApplicationFilter, EventFilter, TagFilter};
use backout_wire::types::sae as wire;
use serde::Deserialize;

use super::asked::{Ask, IDS_MAX, Paging, required, some};
use super::{Sae, codes, texts, words};
use crate::front::{REGIONS, Refused, count};

/// The regions of this vendor that are served by default, and their names.
const NAMED: [(&str, &str); 16] = [
    ("cn-beijing", "China (Beijing)"),
    ("cn-chengdu", "China (Chengdu)"),
    ("cn-guangzhou", "China (Guangzhou)"),
    ("cn-hangzhou", "China (Hangzhou)"),
    ("cn-hongkong", "China (Hong Kong)"),
    ("cn-huhehaote", "China (Hohhot)"),
    ("cn-nanjing", "China (Nanjing)"),
    ("cn-qingdao", "China (Qingdao)"),
    ("cn-shanghai", "China (Shanghai)"),
    ("cn-shenzhen", "China (Shenzhen)"),
    ("cn-wulanchabu", "China (Ulanqab)"),
    ("cn-zhangjiakou", "China (Zhangjiakou)"),
    ("ap-northeast-1", "Japan (Tokyo)"),
    ("ap-southeast-1", "Singapore"),
    ("us-east-1", "US (Virginia)"),
    ("us-west-1", "US (Silicon Valley)"),
];

/// The only kind of resource that has tags.
const RESOURCE_TYPE: &str = "application";

/// A page of a list that is read on by a token.
const TOKEN_PAGE: i64 = 50;

/// The regions of this family among those that are served: the operator may
/// serve some of his own, but those of the other vendor lead nowhere here.
pub(super) fn own_regions(served: &[String]) -> Vec<String> {
    served
        .iter()
        .filter(|region| {
            let own = NAMED.iter().any(|(id, _)| id == region);
            own || !REGIONS.contains(&region.as_str())
        })
        .cloned()
        .collect()
}

/// One of `Tags`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TagText {
    #[serde(alias = "key", rename = "Key")]
    key: String,
    #[serde(alias = "value", rename = "Value", default)]
    value: Option<String>,
}

/// Reads the tags of a filter.
pub fn tag_filters(text: Option<&str>) -> Result<Vec<TagFilter>, Refused> {
    let tags: Vec<TagText> = texts::read("Tags", text)?.unwrap_or_default();
    Ok(tags
        .into_iter()
        .map(|tag| match tag.value {
            Some(value) => TagFilter::Pair(tag.key, vec![value]),
            None => TagFilter::Keys(vec![tag.key]),
        })
        .collect())
}

fn resource_ids(text: &str) -> Result<Vec<String>, Refused> {
    const NAME: &str = "ResourceIds";
    let ids: Vec<String> = texts::read(NAME, Some(text))?.unwrap_or_default();
    match ids.len() {
        0 => Err(codes::empty(NAME)),
        n if n > IDS_MAX => Err(codes::value(NAME, &format!("give at most {IDS_MAX}"))),
        _ => Ok(ids),
    }
}

/// Refuses what no tags are on.
fn resource_type(text: &str) -> Result<(), Refused> {
    const NAME: &str = "ResourceType";
    match required(NAME, text)? {
        text if text.eq_ignore_ascii_case(RESOURCE_TYPE) => Ok(()),
        _ => Err(codes::value(NAME, "it is application")),
    }
}

impl Sae {
    pub(super) fn describe_regions(&self) -> wire::DescribeRegionsResponse {
        let region = self
            .regions
            .iter()
            .map(|id| wire::DescribeRegionsRegionsRegion {
                local_name: Some(
                    NAMED
                        .iter()
                        .find(|(known, _)| known == id)
                        .map_or(id.as_str(), |(_, name)| name)
                        .to_owned(),
                ),
                recommend_zones: Some(wire::DescribeRegionsRegionsRegionRecommendZones {
                    recommend_zone: Some(Vec::new()),
                }),
                region_endpoint: Some(String::new()),
                region_id: Some(id.clone()),
            })
            .collect();
        wire::DescribeRegionsResponse {
            regions: Some(wire::DescribeRegionsRegions {
                region: Some(region),
            }),
        }
    }

    pub(super) async fn tag_resources(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::TagResourcesResponse, Refused> {
        let asked: wire::TagResourcesRequest = ask.params()?;
        resource_type(&asked.resource_type)?;
        // All regions lead to the same applications.
        let _ = asked.region_id;
        let tags: Vec<TagText> = texts::read("Tags", asked.tags.as_deref())?.unwrap_or_default();
        if tags.is_empty() {
            return Err(codes::empty("Tags"));
        }
        let tags: Vec<Tag> = tags
            .into_iter()
            .map(|tag| Tag {
                key: tag.key,
                value: tag.value.unwrap_or_default(),
            })
            .collect();
        let ids = resource_ids(&asked.resource_ids)?;
        for id in &ids {
            self.application(ask, id).await?;
        }
        self.apps
            .tag(&ask.caller(), &ids, &tags)
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(wire::TagResourcesResponse { data: Some(true) })
    }

    pub(super) async fn untag_resources(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::UntagResourcesResponse, Refused> {
        let asked: wire::UntagResourcesRequest = ask.params()?;
        resource_type(&asked.resource_type)?;
        let keys: Option<Vec<String>> = texts::read("TagKeys", asked.tag_keys.as_deref())?;
        let keys = match (asked.delete_all.unwrap_or(false), keys) {
            (true, _) => None,
            (false, Some(keys)) if !keys.is_empty() => Some(keys),
            (false, _) => return Err(codes::empty("TagKeys")),
        };
        let ids = resource_ids(&asked.resource_ids)?;
        for id in &ids {
            self.application(ask, id).await?;
        }
        self.apps
            .untag(&ask.caller(), &ids, keys.as_deref())
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(wire::UntagResourcesResponse { data: Some(true) })
    }

    pub(super) async fn list_tag_resources(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::ListTagResourcesResponse, Refused> {
        let asked: wire::ListTagResourcesRequest = ask.params()?;
        resource_type(&asked.resource_type)?;
        let ids: Vec<String> = match some(asked.resource_ids.as_deref()) {
            Some(text) => resource_ids(text)?,
            None => Vec::new(),
        };
        let filter = ApplicationFilter {
            ids,
            tags: tag_filters(asked.tags.as_deref())?,
            ..ApplicationFilter::default()
        };
        // The token is the number of the next page.
        let current = match some(asked.next_token.as_deref()) {
            None => 1,
            Some(token) => token
                .parse()
                .ok()
                .filter(|page| *page >= 1)
                .ok_or_else(|| codes::value("NextToken", "it is none of ours"))?,
        };
        let paging = Paging {
            current,
            size: TOKEN_PAGE,
        };
        let (total, found) = self
            .apps
            .list(ask.owner(), filter, paging.page())
            .await
            .map_err(|e| ask.refused(e))?;
        let more = current.saturating_mul(TOKEN_PAGE) < count(total);
        let rows = found
            .iter()
            .flat_map(|application| {
                application
                    .tags
                    .iter()
                    .map(|tag| wire::ListTagResourcesDataTagResources {
                        resource_id: Some(application.id.to_string()),
                        resource_type: Some(RESOURCE_TYPE.to_owned()),
                        tag_key: Some(tag.key.clone()),
                        tag_value: Some(tag.value.clone()),
                    })
            })
            .collect();
        Ok(wire::ListTagResourcesResponse {
            data: Some(wire::ListTagResourcesData {
                next_token: Some(match more {
                    true => (current + 1).to_string(),
                    false => String::new(),
                }),
                tag_resources: Some(rows),
            }),
        })
    }
}

/// What happened is about one of these, in the vendor's words.
const OBJECTS: [(&str, &str); 3] = [
    ("Deployment", "application"),
    ("Pod", "replica"),
    ("Deployment", "order"),
];

/// How many rows statistics have.
const METRICS_MAX: u32 = 100;

impl Sae {
    pub(super) async fn list_app_events(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::ListAppEventsResponse, Refused> {
        let asked: wire::ListAppEventsRequest = ask.params()?;
        let paging = ask.paging(asked.current_page, asked.page_size)?;
        let namespace = ask.namespace(required("Namespace", &asked.namespace)?);
        self.apps
            .namespace(ask.owner(), &namespace)
            .await
            .map_err(|e| ask.refused(e))?;
        let application = match some(asked.app_id.as_deref()) {
            Some(id) => Some(self.application(ask, id).await?.id),
            None => None,
        };
        let warning = match some(asked.event_type.as_deref()) {
            None => None,
            Some("Warning") => Some(true),
            Some("Normal") => Some(false),
            Some(_) => return Err(codes::value("EventType", "give Warning or Normal")),
        };
        let kind = some(asked.object_kind.as_deref());
        let object = kind.map(|kind| {
            let known = OBJECTS.iter().find(|(theirs, _)| *theirs == kind);
            // Of another kind nothing is told.
            known.map_or(kind, |(_, ours)| ours).to_owned()
        });
        let filter = EventFilter {
            namespace: Some(namespace),
            application,
            warning,
            object,
            name: some(asked.object_name.as_deref()).map(str::to_owned),
            reason: some(asked.reason.as_deref()).map(str::to_owned),
        };
        let (total, found) = self
            .apps
            .events(ask.owner(), filter, paging.page())
            .await
            .map_err(|e| ask.refused(e))?;
        let rows = found
            .into_iter()
            .map(|event| {
                let kind = OBJECTS.iter().find(|(_, ours)| *ours == event.object);
                wire::ListAppEventsDataAppEventEntity {
                    cause_analysis: Some(String::new()),
                    event_type: Some(
                        match event.warning {
                            true => "Warning",
                            false => "Normal",
                        }
                        .to_owned(),
                    ),
                    first_timestamp: Some(event.first.iso8601()),
                    last_timestamp: Some(event.last.iso8601()),
                    message: Some(event.message),
                    object_kind: Some(
                        kind.map_or(event.object.as_str(), |(theirs, _)| theirs)
                            .to_owned(),
                    ),
                    object_name: Some(event.name),
                    reason: Some(event.reason),
                }
            })
            .collect();
        Ok(wire::ListAppEventsResponse {
            data: Some(wire::ListAppEventsData {
                app_event_entity: Some(rows),
                current_page: Some(paging.current),
                page_size: Some(paging.size),
                total_size: Some(count(total)),
            }),
        })
    }

    pub(super) async fn get_change_order_metric(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::GetChangeOrderMetricResponse, Refused> {
        let asked: wire::GetChangeOrderMetricRequest = ask.params()?;
        let limit = super::asked::number("Limit", asked.limit, 1..=METRICS_MAX)?;
        let kinds = match some(asked.co_type.as_deref()) {
            None => Vec::new(),
            Some(code) => {
                let why = "there is no such type of change order";
                let known = words::kinds(code).ok_or_else(|| codes::value("CoType", why))?;
                known.iter().map(|kind| kind.kind).collect()
            }
        };
        let application = match some(asked.app_id.as_deref()) {
            Some(id) => Some(self.application(ask, id).await?.id.to_string()),
            None => None,
        };
        let mut found = self
            .apps
            .order_metrics(ask.owner(), application.as_deref(), kinds)
            .await
            .map_err(|e| ask.refused(e))?;
        match required("OrderBy", &asked.order_by)? {
            "AvgTimeCostMs" | "avgTimeCostMs" => found.sort_by_key(|m| -m.mean_ms),
            "MaxTimeCostMs" | "maxTimeCostMs" => found.sort_by_key(|m| -m.longest_ms),
            "Total" | "total" => found.sort_by_key(|m| std::cmp::Reverse(m.total)),
            "Error" | "error" => found.sort_by_key(|m| std::cmp::Reverse(m.failed)),
            _ => {
                let why = "give Total, Error, AvgTimeCostMs or MaxTimeCostMs";
                return Err(codes::value("OrderBy", why));
            }
        }
        found.truncate(limit as usize);
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts of at most some hundred orders, and milliseconds"
        )]
        let data = found
            .into_iter()
            .map(|metric| wire::GetChangeOrderMetricData {
                app_id: Some(metric.application.to_string()),
                avg_time_cost_ms: Some(metric.mean_ms as f64),
                error: Some(count(metric.failed)),
                error_percent: Some(match metric.total {
                    0 => 0.0,
                    total => metric.failed as f64 * 100.0 / total as f64,
                }),
                max_time_cost_ms: Some(metric.longest_ms as f64),
                name: Some(metric.name),
                optimize_suggestions: Some(String::new()),
                region_id: Some(ask.region().to_owned()),
                task_time_cost_ms_avg: Some(metric.mean_ms.to_string()),
                total: Some(count(metric.total)),
            })
            .collect();
        Ok(wire::GetChangeOrderMetricResponse { data: Some(data) })
    }
}
