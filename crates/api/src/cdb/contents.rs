//! Databases, tables, and logs.

use backout_core::time::Timestamp;
use backout_databases::model::LocalLogs;
use backout_databases::persistence::Page;
use backout_databases::{LOG_HOURS, LOG_PERCENTS, LogFilter};
use backout_wire::types::cdb as wire;
use regex::{Regex, RegexBuilder};

use super::asked::{Ask, PAGE_DEFAULT};
use super::{Cdb, codes, find, words};
use crate::front::{Refused, count};

/// How large a compiled pattern may be, in bytes: far more than any pattern on
/// names needs, and too little to hurt.
const PATTERN_BYTES_MAX: usize = 256 * 1024;
/// The longest pattern, in characters: several times the longest name.
const PATTERN_CHARS_MAX: usize = 256;

impl Cdb {
    pub(super) async fn describe_databases(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeDatabasesResponse, Refused> {
        let asked: wire::DescribeDatabasesRequest = ask.params()?;
        let page = ask.page(asked.offset, asked.limit, PAGE_DEFAULT)?;
        let pattern = pattern(ask, "DatabaseRegexp", asked.database_regexp)?;
        let id = ask.id(&asked.instance_id)?;
        find::instance(&self.databases, ask, &id).await?;
        let found = self
            .databases
            .charsets_of(ask.owner(), &id)
            .await
            .map_err(|e| ask.refused(e))?;
        let found: Vec<_> = found
            .into_iter()
            .filter(|(name, _)| matches(pattern.as_ref(), name))
            .collect();
        let total_count = count(found.len() as u64);
        let shown = on_page(found, page);
        Ok(wire::DescribeDatabasesResponse {
            total_count,
            items: shown.iter().map(|(name, _)| name.clone()).collect(),
            database_list: shown
                .into_iter()
                .map(|(name, charset)| wire::DatabasesWithCharacterLists {
                    database_name: name,
                    character_set: charset,
                })
                .collect(),
        })
    }

    pub(super) async fn describe_tables(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeTablesResponse, Refused> {
        let asked: wire::DescribeTablesRequest = ask.params()?;
        let page = ask.page(asked.offset, asked.limit, PAGE_DEFAULT)?;
        let pattern = pattern(ask, "TableRegexp", asked.table_regexp)?;
        let id = ask.id(&asked.instance_id)?;
        find::instance(&self.databases, ask, &id).await?;
        let found = self
            .databases
            .tables_of(ask.owner(), &id, vec![asked.database.clone()])
            .await
            .map_err(|e| ask.refused(e))?
            .pop()
            .flatten()
            .ok_or_else(|| {
                ask.error(
                    codes::VALUE,
                    format!("there is no database {:?}", asked.database),
                )
            })?;
        let found: Vec<String> = found
            .into_iter()
            .filter(|name| matches(pattern.as_ref(), name))
            .collect();
        Ok(wire::DescribeTablesResponse {
            total_count: count(found.len() as u64),
            items: on_page(found, page),
        })
    }

    pub(super) async fn describe_binlogs(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeBinlogsResponse, Refused> {
        let asked: wire::DescribeBinlogsRequest = ask.params()?;
        let page = ask.page(asked.offset, asked.limit, PAGE_DEFAULT)?;
        let id = ask.id(&asked.instance_id)?;
        let instance = find::instance(&self.databases, ask, &id).await?;
        let zone = words::zone(&instance);
        let from = ask.timestamp("MinStartTime", asked.min_start_time.as_deref(), &zone)?;
        let to = ask.timestamp("MaxStartTime", asked.max_start_time.as_deref(), &zone)?;
        let filter = LogFilter {
            from_s: from.map(Timestamp::unix_s),
            to_s: to.map(Timestamp::unix_s),
            spanning: asked.contains_min_start_time.unwrap_or(false),
        };
        let found = self
            .databases
            .binlogs(ask.owner(), id.as_str(), filter, page)
            .await
            .map_err(|e| ask.refused(e))?;
        let time = |us: Option<i64>| {
            let at = us.map(|us| Timestamp(us.div_euclid(1000)));
            words::time(&zone, at)
        };
        let items = found
            .files
            .into_iter()
            .map(|log| wire::BinlogInfo {
                name: log.name,
                size: count(log.bytes),
                date: time(log.last_us),
                // Nothing here hands out logs.
                intranet_url: String::new(),
                internet_url: String::new(),
                type_: "binlog".to_owned(),
                binlog_start_time: time(log.first_us),
                binlog_finish_time: time(log.last_us),
                region: ask.region().to_owned(),
                status: match log.archived {
                    true => "SUCCESS",
                    false => "RUNNING",
                }
                .to_owned(),
                remote_info: Vec::new(),
                cos_storage_type: 0,
                instance_id: Some(id.to_string()),
                progress: match log.archived {
                    true => 100,
                    // Not rounded up to what it would say of all.
                    false => count((log.archived_bytes * 100 / log.bytes.max(1)).min(99)),
                },
            })
            .collect();
        Ok(wire::DescribeBinlogsResponse {
            total_count: count(found.total),
            items,
        })
    }

    pub(super) async fn describe_local_binlog_config(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeLocalBinlogConfigResponse, Refused> {
        let asked: wire::DescribeLocalBinlogConfigRequest = ask.params()?;
        let id = ask.id(&asked.instance_id)?;
        let instance = find::instance(&self.databases, ask, &id).await?;
        let own = instance.local_logs;
        let default = LocalLogs::default();
        Ok(wire::DescribeLocalBinlogConfigResponse {
            local_binlog_config: Some(wire::LocalBinlogConfig {
                save_hours: own.hours.into(),
                max_usage: own.percent.into(),
            }),
            local_binlog_config_default: Some(wire::LocalBinlogConfigDefault {
                save_hours: default.hours.into(),
                max_usage: default.percent.into(),
            }),
        })
    }

    pub(super) async fn modify_local_binlog_config(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::ModifyLocalBinlogConfigResponse, Refused> {
        let asked: wire::ModifyLocalBinlogConfigRequest = ask.params()?;
        let id = ask.id(&asked.instance_id)?;
        let logs = LocalLogs {
            hours: ask.number("SaveHours", asked.save_hours, LOG_HOURS)?,
            percent: ask.number("MaxUsage", asked.max_usage, LOG_PERCENTS)?,
        };
        find::running(&self.databases, ask, &id, "set the logs of").await?;
        self.databases
            .set_local_logs(ask.owner(), id.as_str(), logs)
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(wire::ModifyLocalBinlogConfigResponse {})
    }
}

/// The rows of a page.
fn on_page<T>(rows: Vec<T>, page: Page) -> Vec<T> {
    let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    rows.into_iter()
        .skip(at(page.offset))
        .take(at(page.limit))
        .collect()
}

/// A pattern on names, as the database server's own `REGEXP` matches: anywhere
/// in the name, whatever the case. An empty one is none.
fn pattern(ask: Ask<'_>, parameter: &str, text: Option<String>) -> Result<Option<Regex>, Refused> {
    let Some(text) = text.filter(|t| !t.is_empty()) else {
        return Ok(None);
    };
    let made = match text.chars().count() <= PATTERN_CHARS_MAX {
        true => RegexBuilder::new(&text)
            .case_insensitive(true)
            .size_limit(PATTERN_BYTES_MAX)
            .build()
            .ok(),
        false => None,
    };
    made.map(Some).ok_or_else(|| {
        ask.error(
            codes::VALUE,
            format!(
                "{parameter} is no regular expression of at most {PATTERN_CHARS_MAX} characters"
            ),
        )
    })
}

fn matches(pattern: Option<&Regex>, name: &str) -> bool {
    pattern.is_none_or(|p| p.is_match(name))
}
