//! What happened to engines, and how large they were.

use backout_core::time::Timestamp;
use backout_engines::model::{Engine, Record};
use backout_engines::persistence::{EngineFilter, EngineOrder, Page};
use backout_engines::service::ENGINES_MAX;
use backout_wire::types::dlc as wire;

use super::asked::{Ask, PAGE_DEFAULT, filled};
use super::{Dlc, codes, words};
use crate::front::{Refused, count};

/// How many changes of an engine are looked back at: its newest ones.
const RECORDS_MAX: u64 = 200;

/// Within which time.
type Between = (Option<Timestamp>, Option<Timestamp>);

impl Dlc {
    pub(super) async fn describe_data_engine_events(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeDataEngineEventsResponse, Refused> {
        let asked: wire::DescribeDataEngineEventsRequest = ask.params()?;
        let name = ask.engine("DataEngineName", &asked.data_engine_name)?;
        let limit = asked.limit.unwrap_or(PAGE_DEFAULT);
        let page = ask.page(asked.offset, Some(limit))?;
        let between = ask.times(asked.start_time.as_deref(), asked.end_time.as_deref())?;
        let (owner, engines) = (ask.owner(), &self.engines);
        let (mut total, mut events) = engines
            .events(owner, name, between, page)
            .await
            .map_err(|e| ask.refused(e))?;
        // No engine here has groups of resources, so nothing happened in one.
        if filled(asked.session_id.as_deref()).is_some() {
            (total, events) = (0, Vec::new());
        }
        let mut lists = wire::HouseEventsInfo::default();
        let (mut time, mut action, mut info) = (Vec::new(), Vec::new(), Vec::new());
        for event in events {
            time.push(words::local_time(event.at));
            action.push(event.action);
            info.push(event.message);
        }
        let empty = time.is_empty();
        (lists.time, lists.events_action, lists.cluster_info) =
            (Some(time), Some(action), Some(info));
        Ok(wire::DescribeDataEngineEventsResponse {
            events: Some(match empty {
                true => Vec::new(),
                false => vec![lists],
            }),
            page: count(page.offset / page.limit + 1),
            size: limit,
            total_pages: count(total.div_ceil(page.limit)),
            total_count: count(total),
        })
    }

    pub(super) async fn describe_data_engines_scale_detail(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeDataEnginesScaleDetailResponse, Refused> {
        let asked: wire::DescribeDataEnginesScaleDetailRequest = ask.params()?;
        let between = ask.times(asked.start_time.as_deref(), asked.end_time.as_deref())?;
        let engines = match asked.data_engine_names.is_empty() {
            true => self.all(ask).await?,
            false => {
                let names = ask.engines("DataEngineNames", &asked.data_engine_names)?;
                let mut found = Vec::with_capacity(names.len());
                for name in names {
                    let engine = self.engines.get(ask.owner(), &name).await;
                    found.push(engine.map_err(|e| ask.refused(e))?);
                }
                found
            }
        };
        let page = Page {
            offset: 0,
            limit: RECORDS_MAX,
        };
        let mut scales = Vec::with_capacity(engines.len());
        for engine in engines {
            let log = self.engines.log(ask.owner(), engine.id.as_str(), page);
            let (_, records) = log.await.map_err(|e| ask.refused(e))?;
            scales.push(wire::DataEngineScaleInfo {
                data_engine_id: Some(engine.id.to_string()),
                scale_detail: Some(sizes(&records, between)),
                data_engine_name: Some(engine.name),
            });
        }
        Ok(wire::DescribeDataEnginesScaleDetailResponse {
            scales: Some(scales),
        })
    }

    /// What of an engine is in use nobody measures here.
    pub(super) async fn describe_engine_usage_info(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeEngineUsageInfoResponse, Refused> {
        let asked: wire::DescribeEngineUsageInfoRequest = ask.params()?;
        let id = ask.engine("DataEngineId", &asked.data_engine_id)?;
        let engine = self.engines.get(ask.owner(), id).await;
        let engine = engine.map_err(|e| ask.refused(e))?;
        Err(ask.error(
            codes::NOT_HERE,
            format!(
                "how much of data engine {} is in use is not measured here",
                engine.id
            ),
        ))
    }

    /// All engines of the caller: no more than an account may have.
    pub(super) async fn all(&self, ask: Ask<'_>) -> Result<Vec<Engine>, Refused> {
        let page = Page {
            offset: 0,
            limit: ENGINES_MAX,
        };
        let order = (EngineOrder::Created, true);
        let filter = EngineFilter::default();
        let found = self.engines.list(ask.owner(), filter, order, page).await;
        Ok(found.map_err(|e| ask.refused(e))?.1)
    }
}

/// The sizes that an engine had, oldest first, by the records of its changes,
/// newest first. The last one has no end yet.
fn sizes(records: &[Record], (from, to): Between) -> Vec<wire::DataEngineScaleInfoDetail> {
    let mut spans: Vec<(u32, Timestamp, Option<Timestamp>)> = Vec::new();
    for record in records.iter().rev() {
        match spans.last_mut() {
            Some((size, ..)) if *size == record.size => continue,
            Some((.., end)) => *end = Some(record.at),
            None => {}
        }
        spans.push((record.size, record.at, None));
    }
    spans
        .into_iter()
        .filter(|(_, start, end)| {
            to.is_none_or(|to| *start <= to)
                && from.is_none_or(|from| end.is_none_or(|end| end >= from))
        })
        .map(|(size, start, end)| wire::DataEngineScaleInfoDetail {
            start_time: Some(words::local_time(start)),
            end_time: end.map(words::local_time),
            cu: Some(size.into()),
        })
        .collect()
}
