//! Answers to list calls, kept while the store does not change.
//!
//! Runbooks and SDKs wait for a job by asking for the same page again and
//! again. A kept answer is given only when the store's version is the one it
//! was read at, so it is never older than an uncached one would be: the version
//! is read before the rows, and changes with every commit, whichever process
//! made it. Where the store cannot tell its version cheaply nothing is kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use backout_wire::{Fault, Rejection};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::front::{Admitted, Refused};

/// How many answers are kept: the pages that the runbooks of some hundred
/// operators wait on.
const ANSWERS_MAX: usize = 512;

/// How long a kept answer may be, in bytes: a page of 100 rows is half of it.
/// With [`ANSWERS_MAX`] it bounds the memory to 64 MiB.
const ANSWER_BYTES_MAX: usize = 128 * 1024;

/// The members of an answer, as JSON.
#[derive(Clone, Debug)]
pub struct Body(Arc<Box<RawValue>>);

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl Body {
    /// The JSON of `answer`; `None` when it cannot be written.
    fn of(answer: &impl Serialize) -> Option<Self> {
        serde_json::value::to_raw_value(answer)
            .ok()
            .map(|raw| Self(Arc::new(raw)))
    }
}

/// The members of an answer.
pub(crate) fn body(answer: &impl Serialize) -> Result<Body, Refused> {
    Body::of(answer)
        .ok_or_else(|| Rejection::new(Fault::Internal, "the answer could not be written").into())
}

/// Answers by what was asked.
#[derive(Debug, Default)]
pub struct Kept(Mutex<HashMap<String, (u64, Body)>>);

impl Kept {
    /// The answer to `asked` at `version` of the store.
    pub fn get(&self, asked: &str, version: u64) -> Option<Body> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(asked)
            .filter(|(at, _)| *at == version)
            .map(|(_, body)| body.clone())
    }

    /// Keeps an answer that was read after `version` was.
    pub fn put(&self, asked: String, version: u64, body: &Body) {
        if body.0.get().len() > ANSWER_BYTES_MAX {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= ANSWERS_MAX && !kept.contains_key(&asked) {
            // Those of older versions are worth nothing; if all are of this
            // one, begin anew.
            kept.retain(|_, (at, _)| *at == version);
            if kept.len() >= ANSWERS_MAX {
                kept.clear();
            }
        }
        kept.insert(asked, (version, body.clone()));
    }
}

impl Kept {
    /// For one call: the answers of `version` of the store, which is read before
    /// any row is. What is kept may be newer than its version, never older.
    pub const fn at<'a>(&'a self, admitted: &'a Admitted, version: Option<u64>) -> KeptAt<'a> {
        KeptAt {
            kept: self,
            admitted,
            version,
        }
    }

    /// As [`Kept::at`], where an answer depends on the caller's policy: nothing is
    /// kept of one that has such.
    pub fn at_unlimited<'a>(&'a self, admitted: &'a Admitted, version: Option<u64>) -> KeptAt<'a> {
        self.at(
            admitted,
            version.filter(|_| !admitted.principal.is_limited()),
        )
    }
}

/// What is kept, for one call.
#[derive(Clone, Copy, Debug)]
pub struct KeptAt<'a> {
    kept: &'a Kept,
    admitted: &'a Admitted,
    version: Option<u64>,
}

impl KeptAt<'_> {
    /// The answer of a list that tells nothing but what the store holds: one that
    /// was kept while that did not change, else that of `fresh`.
    pub async fn or<T: Serialize>(
        self,
        fresh: impl Future<Output = Result<T, Refused>>,
    ) -> Result<Body, Refused> {
        let asked = asked(self.admitted);
        if let Some(kept) = self.version.and_then(|at| self.kept.get(&asked, at)) {
            return Ok(kept);
        }
        let body = body(&fresh.await?)?;
        if let Some(version) = self.version {
            self.kept.put(asked, version, &body);
        }
        Ok(body)
    }
}

/// All that the answer to a list call depends on, besides the store.
fn asked(admitted: &Admitted) -> String {
    let call = &admitted.call;
    let params = serde_json::to_string(&call.params).unwrap_or_default();
    let region = call.region.as_deref().unwrap_or("");
    format!(
        "{} {} {region} {params}",
        admitted.principal.owner, call.operation.name
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_version_it_was_read_at() {
        let kept = Kept::default();
        let body = Body::of(&serde_json::json!({"TotalCount": 0})).unwrap();
        kept.put("page".into(), 7, &body);
        assert!(kept.get("page", 7).is_some());
        assert!(kept.get("page", 8).is_none());
        assert!(kept.get("other", 7).is_none());
        assert_eq!(serde_json::to_string(&body).unwrap(), r#"{"TotalCount":0}"#);
    }

    #[test]
    fn bounded() {
        let kept = Kept::default();
        let body = Body::of(&1).unwrap();
        for n in 0..(3 * ANSWERS_MAX) {
            kept.put(n.to_string(), 1, &body);
        }
        assert!(kept.0.lock().unwrap().len() <= ANSWERS_MAX);
        let long = Body::of(&"x".repeat(ANSWER_BYTES_MAX)).unwrap();
        kept.put("long".into(), 1, &long);
        assert!(kept.get("long", 1).is_none());
    }
}
