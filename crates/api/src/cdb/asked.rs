//! What a call asks: its ids, page, times and labels, checked. For both
//! generations of the API.

use std::collections::HashSet;

use backout_core::ids::{AccountId, DatabaseId};
use backout_core::time::Timestamp;
use backout_databases::model::{Tag, Task};
use backout_databases::persistence::Page;
use backout_databases::zone::{Written, Zone};
use backout_databases::{Asked, Caller, NAME_MAX_CHARS, Refusal, TABLES_MAX};
use backout_jobs::Idempotency;
use backout_wire::Operation;
use backout_wire::types::cdb as wire;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::codes::{self, Cause};
use crate::front::{Admitted, Refused, denied};

/// The longest page where the contract has no other bound (SEMANTICS section
/// 3: "20 and 100").
const PAGE_MAX: u64 = 100;
/// A page of API 3.0 when none is asked for (contract: `Limit.default`).
pub const PAGE_DEFAULT: i64 = 20;
/// Entries of any list in a call, where the contract has no other bound: as many
/// as a page of a list has rows.
const LIST_MAX: usize = 100;
/// The lists that name databases or tables: they may be as long as what one job
/// is about.
const LONG_LISTS: [&str; 2] = ["databases", "BackupDBTableList"];
/// An id of work that may be absent, without the blanks that are forgiven.
pub fn work_id(text: Option<String>) -> Option<String> {
    text.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty())
}

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

    /// The region of the call.
    pub fn region(self) -> &'a str {
        self.0
            .call
            .region
            .as_deref()
            .unwrap_or(super::DEFAULT_REGION)
    }

    /// Who calls.
    pub fn caller(self) -> Caller {
        self.0.caller()
    }

    /// An error of this operation.
    pub fn error(self, cause: Cause, message: impl Into<String>) -> Refused {
        codes::error(self.operation(), cause, message)
    }

    /// What this operation answers to a refusal.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "it is the last step of a map_err"
    )]
    pub fn refused(self, refusal: Refusal) -> Refused {
        codes::refused(self.operation(), &refusal)
    }

    /// As [`Ask::refused`], when it was tasks that were looked for, or one that
    /// was to be made: what is on record of the instance was read before.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "it is the last step of a map_err"
    )]
    pub fn tasks_refused(self, refusal: Refusal) -> Refused {
        codes::tasks_refused(self.operation(), &refusal)
    }

    /// The job that the call made, or acted on: of several, the first.
    pub fn did<'b>(self, asked: impl IntoIterator<Item = &'b Asked>) {
        if let Some(first) = asked.into_iter().next() {
            // A call does one thing.
            let _ = self.0.job.set(first.job.clone());
        }
    }

    /// Refuses a call that names work, when the caller's policy does not allow it
    /// on all the instances that the work is on. What nobody knows is on
    /// everything: so nobody learns what there is by asking about it.
    pub fn allowed_on(self, tasks: &[Task]) -> Result<(), Refused> {
        let principal = &self.0.principal;
        let region = self.0.call.region.as_deref().unwrap_or("");
        let mut resources: Vec<Vec<String>> = tasks
            .iter()
            .map(|task| super::spellings(region, self.owner(), task.instance.as_str()))
            .collect();
        if resources.is_empty() {
            resources.push(super::everything(region, self.owner()));
        }
        match principal.allows(&self.operation().policy_action(), &resources) {
            true => Ok(()),
            false => Err(denied(principal, self.operation())),
        }
    }

    /// The parameters, none of whose lists is longer than it may be.
    pub fn params<T: DeserializeOwned>(self) -> Result<T, Refused> {
        for (name, value) in &self.0.call.params {
            let max = match LONG_LISTS.contains(&name.as_str()) {
                true => TABLES_MAX,
                false => LIST_MAX,
            };
            self.at_most(name, value.as_array().map_or(0, Vec::len), max)?;
        }
        Ok(self.0.params()?)
    }

    /// The id of an instance.
    pub fn id(self, text: &str) -> Result<DatabaseId, Refused> {
        text.trim()
            .parse()
            .map_err(|e| self.error(codes::PARAMETER, format!("{e}")))
    }

    /// Ids that are well-formed, at least one, not too many, and named once
    /// each.
    pub fn ids(self, parameter: &str, ids: &[String]) -> Result<Vec<DatabaseId>, Refused> {
        if ids.is_empty() {
            return Err(self.error(codes::MISSING, format!("{parameter} names nothing")));
        }
        self.some_ids(parameter, ids)
    }

    /// As [`Ask::ids`], or none.
    pub fn some_ids(self, parameter: &str, ids: &[String]) -> Result<Vec<DatabaseId>, Refused> {
        self.at_most(parameter, ids.len(), LIST_MAX)?;
        let mut seen = HashSet::new();
        let mut out = Vec::with_capacity(ids.len());
        for id in ids {
            let id = self.id(id)?;
            if !seen.insert(id.clone()) {
                return Err(self.error(codes::PARAMETER, format!("{id} is named twice")));
            }
            out.push(id);
        }
        Ok(out)
    }

    /// Refuses a list that is longer than it may be.
    pub fn at_most(self, parameter: &str, count: usize, max: usize) -> Result<(), Refused> {
        if count <= max {
            return Ok(());
        }
        Err(self.error(
            codes::PARAMETER,
            format!("{parameter} has {count} entries, at most {max} are taken"),
        ))
    }

    /// Which page. The longest is what the contract says, also of the legacy
    /// API.
    pub fn page(
        self,
        offset: Option<i64>,
        limit: Option<i64>,
        default: i64,
    ) -> Result<Page, Refused> {
        let (offset, limit) = (offset.unwrap_or(0), limit.unwrap_or(default));
        let max = ["Limit", "limit"]
            .iter()
            .find_map(|name| self.operation().param(name))
            .and_then(|param| param.max)
            .unwrap_or(PAGE_MAX);
        let offset = u64::try_from(offset)
            .map_err(|_| self.error(codes::PARAMETER, "the offset cannot be negative"))?;
        let limit = u64::try_from(limit)
            .ok()
            .filter(|limit| (1..=max).contains(limit))
            .ok_or_else(|| {
                self.error(
                    codes::PARAMETER,
                    format!("the limit {limit} is not in 1 to {max}"),
                )
            })?;
        Ok(Page { offset, limit })
    }

    /// An instant that was written in the zone of an instance, in microseconds.
    pub fn instant(self, parameter: &str, text: &str, zone: &Zone) -> Result<i64, Refused> {
        let written = self.written(parameter, text)?;
        zone.instant(&written)
            .map_err(|e| self.error(codes::TIME, format!("{parameter}: failed to {e}")))
    }

    /// As [`Ask::instant`], to the millisecond.
    pub fn timestamp(
        self,
        parameter: &str,
        text: Option<&str>,
        zone: &Zone,
    ) -> Result<Option<Timestamp>, Refused> {
        // Empty counts as absent, as everywhere at this vendor.
        let Some(text) = text.filter(|t| !t.is_empty()) else {
            return Ok(None);
        };
        let us = self.instant(parameter, text, zone)?;
        Ok(Some(Timestamp(us.div_euclid(1000))))
    }

    /// A time, whose zone comes later.
    pub fn written(self, parameter: &str, text: &str) -> Result<Written, Refused> {
        text.parse()
            .map_err(|e| self.error(codes::TIME, format!("{parameter}: failed to {e}")))
    }

    /// One of the words that a parameter takes; an empty one counts as absent.
    pub fn word<T: Copy>(
        self,
        parameter: &str,
        given: Option<&str>,
        words: &[(&str, T)],
        absent: T,
    ) -> Result<T, Refused> {
        let Some(given) = given.filter(|g| !g.is_empty()) else {
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

    /// A number in its range.
    pub fn number(
        self,
        parameter: &str,
        given: i64,
        range: std::ops::RangeInclusive<u32>,
    ) -> Result<u32, Refused> {
        u32::try_from(given)
            .ok()
            .filter(|n| range.contains(n))
            .ok_or_else(|| {
                self.error(
                    codes::VALUE,
                    format!(
                        "{parameter} {given} is not in {} to {}",
                        range.start(),
                        range.end()
                    ),
                )
            })
    }

    /// A number that switches something on or off.
    pub fn switch(self, parameter: &str, given: Option<i64>) -> Result<Option<bool>, Refused> {
        match given {
            None => Ok(None),
            Some(0) => Ok(Some(false)),
            Some(1) => Ok(Some(true)),
            Some(n) => Err(self.error(codes::VALUE, format!("{parameter} takes 0 or 1, not {n}"))),
        }
    }

    /// Refuses what this server cannot do, where a parameter asks for it.
    pub fn not_here(self, asked: bool, what: &str) -> Result<(), Refused> {
        match asked {
            true => Err(self.error(codes::NOT_HERE, what)),
            false => Ok(()),
        }
    }

    /// A name that may be absent; an empty one counts as none.
    pub fn name(self, parameter: &str, name: Option<String>) -> Result<Option<String>, Refused> {
        let name = name.filter(|n| !n.is_empty());
        if name
            .as_ref()
            .is_some_and(|n| n.chars().count() > NAME_MAX_CHARS)
        {
            return Err(self.error(
                codes::VALUE,
                format!("{parameter} has more than {NAME_MAX_CHARS} characters"),
            ));
        }
        Ok(name)
    }

    /// Labels on something new. The contract has lists of values; a label here
    /// has one. How many there may be is the product's to say.
    pub fn tags(self, tags: Vec<wire::TagInfo>) -> Result<Vec<Tag>, Refused> {
        tags.into_iter()
            .map(|tag| {
                let [value] = <[String; 1]>::try_from(tag.tag_value).map_err(|values| {
                    self.error(
                        codes::VALUE,
                        format!(
                            "the tag {:?} has {} values, a tag here has one",
                            tag.tag_key,
                            values.len()
                        ),
                    )
                })?;
                Ok(Tag {
                    key: tag.tag_key,
                    value,
                })
            })
            .collect()
    }

    /// What makes two calls with the same `ClientToken` the same call.
    pub fn idempotency(self, token: Option<&str>) -> Result<Option<Idempotency>, Refused> {
        let Some(token) = token.filter(|t| !t.is_empty()) else {
            return Ok(None);
        };
        if token.len() > CLIENT_TOKEN_MAX
            || !token.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
        {
            return Err(self.error(
                codes::VALUE,
                format!("ClientToken takes at most {CLIENT_TOKEN_MAX} visible ASCII characters"),
            ));
        }
        let name = self.operation().name;
        let mut params = self.0.call.params.clone();
        // Of what is stored nobody shall be able to try passwords on.
        params.remove("Password");
        let asked = serde_json::to_vec(&params).unwrap_or_default();
        Ok(Some(Idempotency {
            // Another operation's token is another token.
            key: format!("{name}/{token}"),
            hash: hex::encode(Sha256::digest(&asked)),
        }))
    }
}
