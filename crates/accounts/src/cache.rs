//! Keys in memory, so that a signed call seldom costs a query.
//!
//! Every entry carries the version of the accounts that was read *before* it
//! was. A change in this process raises the known version at once, one in
//! another process when the version is next re-read; entries below the known
//! version are not used. So an entry that was read just before a change, and
//! put here just after it, is stale from the start, and no lock need span the
//! query.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use backout_core::time::Timestamp;

use crate::error::KeyError;
use crate::model::{KeyMaterial, KeyStatus};
use crate::secret::{may_be_token, token_matches};

/// How many keys are held. About 1 KB each, more with long policies.
const ENTRIES_MAX: usize = 10_000;
/// How often the version is re-read: the price is one small query a second.
pub(crate) const RECHECK_MS: i64 = 1000;
/// For how long a version that could not be re-read is still believed. After it
/// calls are refused: a key revoked elsewhere must not live on because this
/// process cannot reach the store.
pub(crate) const BELIEVED_MS: i64 = 5000;

/// A key that was looked up, whether or not it is accepted.
pub(crate) struct Entry {
    pub(crate) version: i64,
    pub(crate) material: KeyMaterial,
    pub(crate) status: KeyStatus,
    pub(crate) account_disabled: bool,
    /// The token's hash and the expiry of a temporary key.
    pub(crate) temporary: Option<(Vec<u8>, Timestamp)>,
}

impl Entry {
    /// Whether the key is accepted with this token now.
    pub(crate) fn admit(
        &self,
        token: Option<&str>,
        now: Timestamp,
    ) -> Result<KeyMaterial, KeyError> {
        if self.account_disabled {
            return Err(KeyError::AccountDisabled);
        }
        if self.status != KeyStatus::Active {
            return Err(KeyError::Inactive);
        }
        // Clients without a token may send an empty one.
        let token = token.filter(|t| !t.is_empty());
        match (&self.temporary, token) {
            (None, None) => {}
            (None, Some(_)) => return Err(KeyError::TokenInvalid),
            (Some(_), None) => return Err(KeyError::TokenMissing),
            (Some((hash, expires)), Some(token)) => {
                if !may_be_token(token) {
                    return Err(KeyError::TokenMalformed);
                }
                if !token_matches(token, hash) {
                    return Err(KeyError::TokenInvalid);
                }
                if now >= *expires {
                    return Err(KeyError::TokenExpired);
                }
            }
        }
        Ok(self.material.clone())
    }
}

/// What to do about the version before an entry is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Nothing.
    Fresh,
    /// Re-read it; if that fails it is still believed.
    Refresh,
    /// Re-read it; if that fails the call fails.
    Expired,
}

pub(crate) struct Cache {
    entries: RwLock<HashMap<String, Arc<Entry>>>,
    known_version: AtomicI64,
    /// When the last re-reading that succeeded was begun.
    read_ms: AtomicI64,
    /// When the last re-reading was begun.
    tried_ms: AtomicI64,
}

impl Cache {
    pub(crate) fn new() -> Self {
        Self {
            entries: RwLock::default(),
            known_version: AtomicI64::new(0),
            // Long ago, but not so long that a difference overflows.
            read_ms: AtomicI64::new(i64::MIN / 2),
            tried_ms: AtomicI64::new(i64::MIN / 2),
        }
    }

    /// Whether the caller must re-read the version. Of several callers at once
    /// one is told [`Freshness::Refresh`], the others go on meanwhile.
    pub(crate) fn freshness(&self, now: Timestamp) -> Freshness {
        // A clock that was set back gives a negative age: nothing is known then.
        let within = |ms: i64, bound: i64| (0..bound).contains(&now.0.saturating_sub(ms));
        let read_ms = self.read_ms.load(Ordering::Acquire);
        if within(read_ms, RECHECK_MS) {
            return Freshness::Fresh;
        }
        if !within(read_ms, BELIEVED_MS) {
            return Freshness::Expired;
        }
        let tried_ms = self.tried_ms.load(Ordering::Acquire);
        let is_mine = !within(tried_ms, RECHECK_MS)
            && self
                .tried_ms
                .compare_exchange(tried_ms, now.0, Ordering::AcqRel, Ordering::Acquire)
                .is_ok();
        if is_mine {
            Freshness::Refresh
        } else {
            Freshness::Fresh
        }
    }

    /// The version was re-read, by a reading begun at `began`.
    pub(crate) fn refreshed(&self, version: i64, began: Timestamp) {
        self.raise(version);
        self.read_ms.store(began.0, Ordering::Release);
    }

    /// Entries read before `version` are no longer right.
    pub(crate) fn raise(&self, version: i64) {
        self.known_version.fetch_max(version, Ordering::AcqRel);
    }

    pub(crate) fn get(&self, secret_id: &str) -> Option<Arc<Entry>> {
        let known = self.known_version.load(Ordering::Acquire);
        self.entries
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(secret_id)
            .filter(|entry| entry.version >= known)
            .cloned()
    }

    pub(crate) fn put(&self, secret_id: &str, entry: Arc<Entry>) {
        self.raise(entry.version);
        let known = self.known_version.load(Ordering::Acquire);
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= ENTRIES_MAX && !entries.contains_key(secret_id) {
            entries.retain(|_, entry| entry.version >= known);
            if entries.len() >= ENTRIES_MAX {
                // An arbitrary eighth: rarely wrong, and needs no bookkeeping on
                // the hot path.
                let mut kept = 0_usize;
                entries.retain(|_, _| {
                    kept += 1;
                    !kept.is_multiple_of(8)
                });
            }
        }
        entries.insert(secret_id.to_owned(), entry);
    }

    /// Drops a key and wipes its secret, once the last call that uses it ends.
    pub(crate) fn forget(&self, secret_id: &str) {
        self.entries
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(secret_id);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}

#[cfg(test)]
mod tests {
    use backout_core::ids::{AccountId, OsEntropy};

    use super::*;
    use crate::model::Principal;
    use crate::secret::Secret;

    fn entry(version: i64) -> Arc<Entry> {
        let id = AccountId::random(&OsEntropy);
        Arc::new(Entry {
            version,
            material: KeyMaterial {
                secret: Secret::new("s".into()),
                principal: Arc::new(Principal {
                    account: id.clone(),
                    owner: id,
                    name: "a".into(),
                    is_admin: false,
                    policy: None,
                }),
            },
            status: KeyStatus::Active,
            account_disabled: false,
            temporary: None,
        })
    }

    #[test]
    fn it_is_bounded() {
        let cache = Cache::new();
        for n in 0..3 * ENTRIES_MAX {
            cache.put(&n.to_string(), entry(1));
            assert!(cache.len() <= ENTRIES_MAX);
        }
        assert!(cache.len() > ENTRIES_MAX / 2);
        // All stale ones go before any good one does.
        cache.raise(2);
        for n in 0..ENTRIES_MAX {
            cache.put(&format!("new{n}"), entry(2));
        }
        assert!((0..ENTRIES_MAX).all(|n| cache.get(&format!("new{n}")).is_some()));
    }

    #[test]
    fn an_entry_that_was_read_before_a_change_is_not_used() {
        let cache = Cache::new();
        cache.put("a", entry(5));
        assert!(cache.get("a").is_some());
        cache.raise(6);
        assert!(cache.get("a").is_none());
        // Put after the change, read before it.
        cache.put("a", entry(5));
        assert!(cache.get("a").is_none());
        cache.put("a", entry(6));
        assert!(cache.get("a").is_some());
        // A slow reader does not bring back the past.
        cache.refreshed(5, Timestamp(0));
        cache.put("a", entry(5));
        assert!(cache.get("a").is_none());
    }

    #[test]
    fn one_caller_a_second_refreshes() {
        let cache = Cache::new();
        let t = Timestamp(1_700_000_000_000);
        assert_eq!(cache.freshness(t), Freshness::Expired);
        cache.refreshed(1, t);
        assert_eq!(cache.freshness(t.plus_ms(999)), Freshness::Fresh);
        assert_eq!(cache.freshness(t.plus_ms(1000)), Freshness::Refresh);
        // The others go on; the next try is a second later.
        assert_eq!(cache.freshness(t.plus_ms(1000)), Freshness::Fresh);
        assert_eq!(cache.freshness(t.plus_ms(1999)), Freshness::Fresh);
        assert_eq!(cache.freshness(t.plus_ms(2000)), Freshness::Refresh);
        assert_eq!(cache.freshness(t.plus_ms(5000)), Freshness::Expired);
        // Set back.
        assert_eq!(cache.freshness(t.plus_ms(-1)), Freshness::Expired);
    }
}
