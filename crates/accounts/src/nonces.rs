//! Nonces seen: refuses a request that is sent again.
//!
//! A nonce is remembered until the request that carried it would be refused
//! for its age anyway. Memory is bounded: when all of it is taken by requests
//! that could still be replayed, new ones are refused. To forget one instead
//! would open the very hole this closes.
//!
//! Per process: a request caught on its way to one replica can be sent once to
//! each of the others within the window. Who needs more lets the balancer
//! choose the replica by the key's id.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use backout_core::time::{Clock, Timestamp};
use sha2::{Digest, Sha256};

/// How many nonces are remembered when nothing else is configured: 1,600 calls
/// a second over a window of five minutes each way. Some 70 MB when full.
pub const NONCES_MAX: usize = 1_000_000;
/// How many expired nonces one call forgets at most, so that no call pays for
/// many: at twice the rate at which they come in the backlog only shrinks.
const FORGET_AT_ONCE: usize = 64;

/// What must not repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unique {
    /// The nonce alone, within the window.
    Nonce,
    /// The nonce together with the request's timestamp: for protocols whose
    /// clients draw nonces from so few that honest calls share one.
    NonceAndTimestamp,
}

/// Why a nonce is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NonceError {
    /// It was seen before.
    #[error("accept the request: its nonce was used before, sign it again with a fresh one")]
    Used,
    /// No room to remember it.
    #[error(
        "accept the request: too many nonces within the clock window, try again later or raise the capacity"
    )]
    NonceCacheFull,
}

/// Remembers nonces.
pub struct Nonces {
    clock: Arc<dyn Clock>,
    capacity: usize,
    seen: Mutex<Seen>,
}

impl std::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nonces")
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Seen {
    /// Half a SHA-256 of each: 128 bits, so that nobody finds two requests that
    /// collide, and an entry has the same small size whatever the client sent.
    entries: HashSet<u128>,
    /// The same, by the second after which they need not be remembered.
    by_expiry: BTreeMap<i64, Vec<u128>>,
}

impl Nonces {
    /// Remembers at most `capacity` nonces.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, capacity: usize) -> Self {
        Self {
            clock,
            capacity,
            seen: Mutex::default(),
        }
    }

    /// Remembers that the key `key_id` has used `nonce` in a request of
    /// `timestamp`, which is acceptable up to `window_ms` before and after its
    /// timestamp. Call it once the signature and the clock are checked, so that
    /// strangers cannot fill the memory.
    ///
    /// # Errors
    /// [`NonceError`].
    pub fn claim(
        &self,
        key_id: &str,
        nonce: &str,
        timestamp: Timestamp,
        window_ms: i64,
        unique: Unique,
    ) -> Result<(), NonceError> {
        let now = self.clock.now();
        let digest = digest(key_id, nonce, timestamp, unique);
        // A nonce alone must not come back within the window after now, either.
        let last_ms = match unique {
            Unique::Nonce => timestamp.max(now),
            Unique::NonceAndTimestamp => timestamp,
        }
        .plus_ms(window_ms);
        let expiry_s = last_ms.unix_s().saturating_add(1);

        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.forget(now.unix_s());
        // An expired entry that is not yet forgotten is refused as well: its
        // timestamp is out of the window, or it is moments from it.
        if seen.entries.contains(&digest) {
            return Err(NonceError::Used);
        }
        if seen.entries.len() >= self.capacity {
            return Err(NonceError::NonceCacheFull);
        }
        seen.entries.insert(digest);
        seen.by_expiry.entry(expiry_s).or_default().push(digest);
        Ok(())
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.entries.len()
    }

    /// Whether none is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Seen {
    fn forget(&mut self, now_s: i64) {
        let mut left = FORGET_AT_ONCE;
        while left > 0 {
            let Some(mut bucket) = self.by_expiry.first_entry() else {
                return;
            };
            if *bucket.key() >= now_s {
                return;
            }
            while left > 0
                && let Some(digest) = bucket.get_mut().pop()
            {
                self.entries.remove(&digest);
                left -= 1;
            }
            if bucket.get().is_empty() {
                bucket.remove();
            }
        }
    }
}

fn digest(key_id: &str, nonce: &str, timestamp: Timestamp, unique: Unique) -> u128 {
    let mut hash = Sha256::new();
    for text in [key_id, nonce] {
        // The length first, so that texts cannot be shifted into each other.
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    match unique {
        Unique::Nonce => hash.update([0]),
        Unique::NonceAndTimestamp => hash.update(timestamp.0.to_be_bytes()),
    }
    let whole: [u8; 32] = hash.finalize().into();
    let mut half = [0; 16];
    half.copy_from_slice(&whole[..16]);
    u128::from_be_bytes(half)
}

#[cfg(test)]
mod tests {
    use backout_core::time::ManualClock;

    use super::*;

    const WINDOW_MS: i64 = 300_000;

    fn nonces(capacity: usize) -> (Nonces, ManualClock) {
        let clock = ManualClock::at(Timestamp(1_700_000_000_000));
        (Nonces::new(Arc::new(clock.clone()), capacity), clock)
    }

    #[test]
    fn a_nonce_is_accepted_once() {
        let (nonces, clock) = nonces(100);
        let now = clock.now();
        let claim =
            |key: &str, nonce: &str, at, unique| nonces.claim(key, nonce, at, WINDOW_MS, unique);
        for unique in [Unique::Nonce, Unique::NonceAndTimestamp] {
            assert_eq!(claim("a", "1", now, unique), Ok(()));
            assert_eq!(claim("a", "1", now, unique), Err(NonceError::Used));
            assert_eq!(claim("a", "2", now, unique), Ok(()));
            assert_eq!(claim("b", "1", now, unique), Ok(()));
            // Not the same as ("a", "1").
            assert_eq!(claim("a1", "", now, unique), Ok(()));
        }
        let later = now.plus_ms(1000);
        assert_eq!(claim("a", "1", later, Unique::Nonce), Err(NonceError::Used));
        assert_eq!(claim("a", "1", later, Unique::NonceAndTimestamp), Ok(()));
    }

    #[test]
    fn it_is_remembered_for_as_long_as_it_could_be_replayed() {
        let (nonces, clock) = nonces(100);
        // Signed by a clock five minutes ahead: good for ten minutes from now.
        let ahead = clock.now().plus_ms(WINDOW_MS);
        let claim = || nonces.claim("a", "1", ahead, WINDOW_MS, Unique::NonceAndTimestamp);
        assert_eq!(claim(), Ok(()));
        clock.advance_ms(2 * WINDOW_MS);
        assert_eq!(claim(), Err(NonceError::Used));
        clock.advance_ms(2001);
        let _ = nonces.claim("a", "2", clock.now(), WINDOW_MS, Unique::Nonce);
        assert_eq!(nonces.len(), 1);
    }

    #[test]
    fn when_full_new_ones_are_refused_and_old_ones_stay() {
        let (nonces, clock) = nonces(3);
        let claim =
            |n: u32| nonces.claim("a", &n.to_string(), clock.now(), WINDOW_MS, Unique::Nonce);
        for n in 0..3 {
            assert_eq!(claim(n), Ok(()));
        }
        assert_eq!(claim(3), Err(NonceError::NonceCacheFull));
        for n in 0..3 {
            assert_eq!(claim(n), Err(NonceError::Used));
        }
        clock.advance_ms(WINDOW_MS + 2000);
        assert_eq!(claim(3), Ok(()));
        assert_eq!(nonces.len(), 1);
    }

    #[test]
    fn a_long_run_keeps_only_its_window() {
        let (nonces, clock) = nonces(10_000);
        for n in 0..100_000_u32 {
            let now = clock.now();
            assert_eq!(
                nonces.claim("a", &n.to_string(), now, 1000, Unique::Nonce),
                Ok(())
            );
            clock.advance_ms(1);
        }
        assert!(nonces.len() <= 3100, "{}", nonces.len());
    }
}
