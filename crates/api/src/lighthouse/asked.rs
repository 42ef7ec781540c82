//! What a call asks: its ids, page, filters and labels, checked.

use std::str::FromStr;

use backout_core::ids::{
    AccountId, BackupId, BlueprintId, DiskId, InstanceId, MalformedId, SnapshotId,
};
use backout_jobs::Idempotency;
use backout_servers::model::Tag;
use backout_servers::persistence::{Page, TagFilter};
use backout_servers::{Caller, Refusal};
use backout_wire::types::lighthouse as wire;
use backout_wire::{Operation, Rejection, SurfaceError};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::INSTANCE;
use super::codes::{self, Cause};
use crate::front::{Admitted, Refused, denied};

/// The longest page (contract: `Limit.max`).
pub const PAGE_MAX: i64 = 100;
/// A page when none is asked for (contract: `Limit.default`).
const PAGE_DEFAULT: i64 = 20;
/// Ids in one call, where the contract has no other bound (SEMANTICS section 4:
/// "batches: 100 ids").
const IDS_MAX: usize = 100;
/// Filters in one call (contract: `Filters.max`).
const FILTERS_MAX: usize = 10;
/// Values of one filter (SEMANTICS section 4).
pub const FILTER_VALUES_MAX: usize = 5;
/// Labels on something new (contract: `Tags`).
const TAGS_MAX: usize = 10;
/// The longest `ClientToken` (contract: `ClientToken`).
const CLIENT_TOKEN_MAX: usize = 64;

/// A call, and the errors of its operation.
#[derive(Clone, Copy)]
pub struct Ask<'a>(pub &'a Admitted);

impl<'a> Ask<'a> {
    /// The operation.
    pub fn operation(self) -> &'static Operation {
        self.0.call.operation
    }

    /// Whose resources are meant.
    pub fn owner(self) -> &'a AccountId {
        &self.0.principal.owner
    }

    /// Who calls.
    pub fn caller(self) -> Caller {
        self.0.caller()
    }

    /// Refuses a call that would stop or hold up an instance, which it does not
    /// name, when the caller's policy does not allow it there.
    pub fn allowed_on(self, instance: &InstanceId) -> Result<(), Refused> {
        let region = self.0.call.region.as_deref().unwrap_or("");
        let spellings = INSTANCE.spellings(region, self.owner(), instance.as_str());
        let principal = &self.0.principal;
        if principal.allows(&self.operation().policy_action(), &[spellings]) {
            return Ok(());
        }
        Err(denied(principal, self.operation()))
    }

    /// An error of this operation.
    pub fn error(self, cause: Cause, message: impl Into<String>) -> SurfaceError {
        codes::error(self.operation(), cause, message)
    }

    /// What this operation answers to a refusal.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "it is the last step of a map_err"
    )]
    pub fn refused(self, refusal: Refusal) -> SurfaceError {
        codes::refused(self.operation(), &refusal)
    }

    /// The parameters.
    pub fn params<T: DeserializeOwned>(self) -> Result<T, Rejection> {
        self.0.params()
    }

    fn id<T: FromStr<Err = MalformedId>>(
        self,
        text: &str,
        malformed: Cause,
    ) -> Result<T, SurfaceError> {
        text.parse()
            .map_err(|e: MalformedId| self.error(malformed, e.to_string()))
    }

    /// The id of an instance.
    pub fn instance(self, text: &str) -> Result<InstanceId, SurfaceError> {
        self.id(text, codes::INSTANCE_ID)
    }

    /// The id of a snapshot.
    pub fn snapshot(self, text: &str) -> Result<SnapshotId, SurfaceError> {
        self.id(text, codes::SNAPSHOT_ID)
    }

    /// The id of a disk.
    pub fn disk(self, text: &str) -> Result<DiskId, SurfaceError> {
        self.id(text, codes::DISK_ID)
    }

    /// The id of a backup of a data disk. The contract's own example of one ends
    /// with a blank, so blanks around it are forgiven.
    pub fn backup(self, text: &str) -> Result<BackupId, SurfaceError> {
        self.id(text.trim(), codes::BACKUP_ID)
    }

    /// The id of an image.
    pub fn blueprint(self, text: &str) -> Result<BlueprintId, SurfaceError> {
        self.id(text, codes::BLUEPRINT_ID)
    }

    /// Ids that are well-formed and not too many, as text.
    pub fn listed<T: ToString>(
        self,
        parameter: &str,
        ids: &[String],
        check: impl Fn(&str) -> Result<T, SurfaceError>,
    ) -> Result<Vec<String>, SurfaceError> {
        let max = self
            .operation()
            .param(parameter)
            .and_then(|p| p.max)
            .and_then(|max| usize::try_from(max).ok())
            .unwrap_or(IDS_MAX);
        if ids.len() > max {
            return Err(self.error(
                codes::TOO_MANY_VALUES,
                format!(
                    "{} values of {parameter} are given, at most {max} are taken",
                    ids.len()
                ),
            ));
        }
        ids.iter().map(|id| Ok(check(id)?.to_string())).collect()
    }

    /// Ids that are well-formed, not too many, and named once each.
    pub fn distinct<T: ToString>(
        self,
        parameter: &str,
        ids: &[String],
        check: impl Fn(&str) -> Result<T, SurfaceError>,
    ) -> Result<Vec<String>, SurfaceError> {
        let ids = self.listed(parameter, ids, check)?;
        for (index, id) in ids.iter().enumerate() {
            if ids[..index].contains(id) {
                return Err(self.error(codes::TWICE, format!("{id} is named twice")));
            }
        }
        Ok(ids)
    }

    /// As [`Ask::distinct`], and at least one: what works on all of nothing is a
    /// mistake.
    pub fn named<T: ToString>(
        self,
        parameter: &str,
        ids: &[String],
        check: impl Fn(&str) -> Result<T, SurfaceError>,
    ) -> Result<Vec<String>, SurfaceError> {
        if ids.is_empty() {
            return Err(self.error(codes::MISSING, format!("{parameter} names nothing")));
        }
        self.distinct(parameter, ids, check)
    }

    /// Refuses ids beside filters.
    pub fn exclusive(self, ids: &[String], filters: &[wire::Filter]) -> Result<(), SurfaceError> {
        if !ids.is_empty() && !filters.is_empty() {
            return Err(self.error(codes::CONFLICT, "ids and Filters exclude each other"));
        }
        Ok(())
    }

    /// Which page.
    pub fn page(self, offset: Option<i64>, limit: Option<i64>) -> Result<Page, SurfaceError> {
        let (offset, limit) = (offset.unwrap_or(0), limit.unwrap_or(PAGE_DEFAULT));
        if offset < 0 || limit < 0 {
            return Err(self.error(codes::NEGATIVE, "Offset and Limit cannot be negative"));
        }
        if limit == 0 || limit > PAGE_MAX {
            return Err(self.error(
                codes::OUT_OF_RANGE,
                format!("Limit {limit} is not in 1 to {PAGE_MAX}"),
            ));
        }
        Ok(Page {
            offset: offset.unsigned_abs(),
            limit: limit.unsigned_abs(),
        })
    }

    /// Refuses more filters, or values of one, than there may be.
    pub fn filters(self, filters: &[wire::Filter], values_max: usize) -> Result<(), SurfaceError> {
        if filters.len() > FILTERS_MAX {
            return Err(self.error(codes::FILTER, format!("more than {FILTERS_MAX} filters")));
        }
        for (index, filter) in filters.iter().enumerate() {
            let name = &filter.name;
            if filter.values.len() > values_max {
                return Err(self.error(
                    codes::FILTER_VALUES,
                    format!("filter {name:?} has more than {values_max} values"),
                ));
            }
            if filter.values.is_empty() {
                return Err(self.error(codes::FILTER, format!("filter {name:?} has no values")));
            }
            if filters[..index].iter().any(|f| f.name == *name) {
                return Err(self.error(codes::FILTER, format!("filter {name:?} comes twice")));
            }
        }
        Ok(())
    }

    /// The condition on labels that a filter is, which all lists share.
    pub fn tag_filter(self, filter: &wire::Filter) -> Result<TagFilter, SurfaceError> {
        match filter.name.as_str() {
            "tag-key" => Ok(TagFilter::Keys(filter.values.clone())),
            "tag-value" => Ok(TagFilter::Values(filter.values.clone())),
            name => match name.strip_prefix("tag:") {
                Some(key) => Ok(TagFilter::Pair(key.to_owned(), filter.values.clone())),
                None => Err(self.error(
                    codes::FILTER_NAME,
                    format!("there is no filter {name:?} here"),
                )),
            },
        }
    }

    /// One of the words that a parameter takes.
    pub fn word<T: Copy>(
        self,
        parameter: &str,
        given: Option<&str>,
        words: &[(&str, T)],
        absent: T,
    ) -> Result<T, SurfaceError> {
        let Some(given) = given else {
            return Ok(absent);
        };
        words
            .iter()
            .find(|(word, _)| *word == given)
            .map(|(_, meaning)| *meaning)
            .ok_or_else(|| {
                let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                self.error(
                    codes::VALUE,
                    format!("{parameter} takes one of {}", known.join(", ")),
                )
            })
    }

    /// A name that may be absent; an empty one counts as none, as in the
    /// vendor's console.
    pub fn name(
        self,
        parameter: &str,
        name: Option<String>,
        max_chars: usize,
    ) -> Result<Option<String>, SurfaceError> {
        let name = name.filter(|n| !n.is_empty());
        if name.as_ref().is_some_and(|n| n.chars().count() > max_chars) {
            return Err(self.error(
                codes::NAME_TOO_LONG,
                format!("{parameter} has more than {max_chars} characters"),
            ));
        }
        Ok(name)
    }

    /// A name that must be there.
    pub fn new_name(
        self,
        parameter: &str,
        name: Option<String>,
        max_chars: usize,
    ) -> Result<String, SurfaceError> {
        self.name(parameter, name, max_chars)?
            .ok_or_else(|| self.error(codes::MISSING, format!("{parameter} is not given")))
    }

    /// Labels on something new.
    pub fn tags(self, tags: Vec<wire::Tag>) -> Result<Vec<Tag>, SurfaceError> {
        if tags.len() > TAGS_MAX {
            return Err(self.error(codes::VALUE, format!("more than {TAGS_MAX} tags")));
        }
        Ok(tags
            .into_iter()
            .map(|t| Tag {
                key: t.key,
                value: t.value,
            })
            .collect())
    }

    /// What makes two calls with the same `ClientToken` the same call.
    pub fn idempotency(self, token: Option<&str>) -> Result<Option<Idempotency>, SurfaceError> {
        let Some(token) = token.filter(|t| !t.is_empty()) else {
            return Ok(None);
        };
        if token.len() > CLIENT_TOKEN_MAX {
            return Err(self.error(
                codes::CLIENT_TOKEN,
                format!("ClientToken has more than {CLIENT_TOKEN_MAX} characters"),
            ));
        }
        if !token.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
            return Err(self.error(codes::VALUE, "ClientToken takes visible ASCII characters"));
        }
        let name = self.operation().name;
        let asked = serde_json::to_vec(&self.0.call.params).unwrap_or_default();
        Ok(Some(Idempotency {
            // Another operation's token is another token.
            key: format!("{name}/{token}"),
            hash: hex::encode(Sha256::digest(&asked)),
        }))
    }
}
