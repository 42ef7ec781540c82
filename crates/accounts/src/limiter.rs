//! Rate limits: an exact sliding window for each (account, action).
//!
//! In any stretch of [`WINDOW_MS`] at most N calls are let through; a refused
//! call does not count. A window holds one number for each millisecond in which
//! calls were let through, so it has at most 1,000 of them however high N is.
//!
//! Per process: with several replicas behind a balancer each has its own
//! windows.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use backout_core::ids::AccountId;
use backout_core::time::Clock;

/// The stretch of time within which calls are counted.
pub const WINDOW_MS: i64 = 1000;
/// How many calls in a window are allowed where nothing else is configured:
/// the number the vendors document.
pub const DEFAULT_CALLS: NonZeroU32 = NonZeroU32::new(20).expect("20 is not zero");
/// How many windows are held when nothing else is configured: 1,000 accounts
/// that each call 100 different operations in one second. Some 200 bytes each
/// at 20 calls.
pub const WINDOWS_MAX: usize = 100_000;
/// Enough that cores seldom meet at one lock.
const SHARDS: usize = 32;

/// How many calls are allowed.
#[derive(Clone, Debug)]
pub struct Limits {
    /// For every action that is not named in `per_action`.
    pub default: NonZeroU32,
    /// For single actions, e.g. `lighthouse:ApplyInstanceSnapshot`.
    pub per_action: HashMap<String, NonZeroU32>,
    /// How many windows are held at once.
    pub windows_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            default: DEFAULT_CALLS,
            per_action: HashMap::new(),
            windows_max: WINDOWS_MAX,
        }
    }
}

/// A call that must wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("let the call through: more than {limit} in a second, try again in {wait_ms} ms")]
pub struct Throttled {
    /// How many calls a second are allowed.
    pub limit: u32,
    /// After how many milliseconds a call can be let through.
    pub wait_ms: i64,
}

/// Counts calls.
pub struct Limiter {
    clock: Arc<dyn Clock>,
    limits: Limits,
    hasher: RandomState,
    shards: Vec<Mutex<Shard>>,
    windows_max_per_shard: usize,
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limiter")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Shard {
    /// By account, then by action: found without making a key to look it up.
    windows: HashMap<AccountId, HashMap<Box<str>, Window>>,
    count: usize,
    /// At this count idle windows are thrown out.
    sweep_at: usize,
}

#[derive(Default)]
struct Window {
    /// Calls let through, by millisecond, oldest first; none of zero.
    calls: VecDeque<(i64, u32)>,
    total: u32,
}

impl Limiter {
    /// A limiter with nothing counted yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, limits: Limits) -> Self {
        Self {
            windows_max_per_shard: limits.windows_max.div_ceil(SHARDS).max(1),
            clock,
            limits,
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Counts a call, or refuses it. `action` must be one of the operations
    /// that exist, not a text that a client may choose.
    ///
    /// # Errors
    /// [`Throttled`]. Also when [`Limits::windows_max`] windows are all in use:
    /// to forget one would let its owner exceed the limit.
    pub fn check(&self, account: &AccountId, action: &str) -> Result<(), Throttled> {
        let limit = self
            .limits
            .per_action
            .get(action)
            .copied()
            .unwrap_or(self.limits.default)
            .get();
        let now = self.clock.now().0;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "any bits of the hash choose a shard"
        )]
        let index = self.hasher.hash_one((account.as_str(), action)) as usize % SHARDS;
        let mut shard = self.shards[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(window) = shard
            .windows
            .get_mut(account)
            .and_then(|actions| actions.get_mut(action))
        {
            return window.call(now, limit);
        }
        if shard.count >= shard.sweep_at.min(self.windows_max_per_shard) {
            shard.sweep(now);
            if shard.count >= self.windows_max_per_shard {
                return Err(Throttled {
                    limit,
                    wait_ms: WINDOW_MS,
                });
            }
        }
        let mut window = Window::default();
        let result = window.call(now, limit);
        shard.count += 1;
        shard
            .windows
            .entry(account.clone())
            .or_default()
            .insert(action.into(), window);
        result
    }

    /// How many windows are held.
    #[must_use]
    pub fn windows(&self) -> usize {
        self.shards
            .iter()
            .map(|s| s.lock().unwrap_or_else(PoisonError::into_inner).count)
            .sum()
    }
}

impl Shard {
    /// Throws out windows in which nothing counts any more.
    fn sweep(&mut self, now: i64) {
        for actions in self.windows.values_mut() {
            actions.retain(|_, window| !window.is_idle(now));
        }
        self.windows.retain(|_, actions| !actions.is_empty());
        self.count = self.windows.values().map(HashMap::len).sum();
        // As many new windows must come before the next sweep as stayed now,
        // so a sweep costs each of them a constant. 64: not worth it earlier.
        self.sweep_at = (self.count * 2).max(64);
    }
}

impl Window {
    fn call(&mut self, now: i64, limit: u32) -> Result<(), Throttled> {
        // A clock that was set back a little is taken to stand still. One that
        // was set back by more than a window would lock the caller out for that
        // long, so counting starts afresh.
        let newest = self.calls.back().map_or(now, |(at, _)| *at);
        if newest.saturating_sub(now) >= WINDOW_MS {
            *self = Self::default();
        }
        let now = self.calls.back().map_or(now, |(at, _)| now.max(*at));
        while let Some((at, calls)) = self.calls.front()
            && now.saturating_sub(*at) >= WINDOW_MS
        {
            self.total -= calls;
            self.calls.pop_front();
        }
        if self.total >= limit {
            let oldest = self.calls.front().map_or(now, |(at, _)| *at);
            return Err(Throttled {
                limit,
                wait_ms: oldest + WINDOW_MS - now,
            });
        }
        self.total += 1;
        match self.calls.back_mut() {
            Some((at, calls)) if *at == now => *calls += 1,
            _ => self.calls.push_back((now, 1)),
        }
        Ok(())
    }

    fn is_idle(&self, now: i64) -> bool {
        self.calls
            .back()
            .is_none_or(|(at, _)| now.saturating_sub(*at).saturating_abs() >= WINDOW_MS)
    }
}

#[cfg(test)]
mod tests {
    use backout_core::ids::OsEntropy;
    use backout_core::time::{ManualClock, Timestamp};
    use proptest::prelude::*;

    use super::*;

    const ACTION: &str = "lighthouse:ApplyInstanceSnapshot";

    fn limiter(limits: Limits) -> (Limiter, ManualClock, AccountId) {
        let clock = ManualClock::at(Timestamp(1_700_000_000_000));
        (
            Limiter::new(Arc::new(clock.clone()), limits),
            clock,
            AccountId::random(&OsEntropy),
        )
    }

    #[test]
    fn the_21st_call_in_a_second_is_refused_and_time_heals() {
        let (limiter, clock, account) = limiter(Limits::default());
        for _ in 0..20 {
            assert_eq!(limiter.check(&account, ACTION), Ok(()));
            clock.advance_ms(10);
        }
        let refused = limiter.check(&account, ACTION).unwrap_err();
        assert_eq!((refused.limit, refused.wait_ms), (20, 800));
        // Others are not touched by it.
        assert_eq!(
            limiter.check(&account, "lighthouse:DescribeSnapshots"),
            Ok(())
        );
        let other = AccountId::random(&OsEntropy);
        assert_eq!(limiter.check(&other, ACTION), Ok(()));
        // Not a millisecond too early, and refusals did not count.
        clock.advance_ms(799);
        assert_eq!(limiter.check(&account, ACTION).unwrap_err().wait_ms, 1);
        clock.advance_ms(1);
        assert_eq!(limiter.check(&account, ACTION), Ok(()));
        assert_eq!(limiter.check(&account, ACTION).unwrap_err().wait_ms, 10);
        clock.advance_ms(1000);
        for _ in 0..20 {
            assert_eq!(limiter.check(&account, ACTION), Ok(()));
        }
        assert_eq!(limiter.check(&account, ACTION).unwrap_err().wait_ms, 1000);
    }

    #[test]
    fn limits_are_per_action_and_high_ones_stay_small() {
        let million = NonZeroU32::new(1_000_000).unwrap();
        let (limiter, clock, account) = limiter(Limits {
            per_action: HashMap::from([(ACTION.to_owned(), million)]),
            default: NonZeroU32::MIN,
            ..Limits::default()
        });
        for _ in 0..100_000 {
            assert_eq!(limiter.check(&account, ACTION), Ok(()));
            if limiter.check(&account, "a:B").is_ok() {
                assert_eq!(limiter.check(&account, "a:B").unwrap_err().limit, 1);
            }
            clock.advance_ms(1);
        }
        let longest = limiter
            .shards
            .iter()
            .flat_map(|s| {
                let s = s.lock().unwrap();
                let lengths: Vec<_> = s
                    .windows
                    .values()
                    .flat_map(|a| a.values().map(|w| w.calls.len()))
                    .collect();
                lengths
            })
            .max();
        assert_eq!(longest, Some(1000));
    }

    #[test]
    fn memory_is_bounded_and_idle_windows_go() {
        let (limiter, clock, account) = limiter(Limits {
            windows_max: 640,
            ..Limits::default()
        });
        let mut refused = 0;
        for n in 0..10_000 {
            refused += usize::from(limiter.check(&account, &format!("a:B{n}")).is_err());
        }
        assert!(limiter.windows() <= 640);
        assert_eq!(refused, 10_000 - limiter.windows());
        clock.advance_ms(1000);
        assert_eq!(limiter.check(&account, "a:C"), Ok(()));
        for n in 0..10_000 {
            let _ = limiter.check(&account, &format!("a:D{n}"));
            clock.advance_ms(100);
        }
        assert!(limiter.windows() <= 640);
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out() {
        let (limiter, clock, account) = limiter(Limits::default());
        for _ in 0..20 {
            assert_eq!(limiter.check(&account, ACTION), Ok(()));
        }
        clock.advance_ms(-500);
        let wait_ms = limiter.check(&account, ACTION).unwrap_err().wait_ms;
        assert_eq!(wait_ms, 1000);
        clock.advance_ms(-3_600_000);
        assert_eq!(limiter.check(&account, ACTION), Ok(()));
    }

    #[test]
    fn many_threads_together_get_exactly_the_limit() {
        let (limiter, _clock, account) = limiter(Limits::default());
        let passed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        (0..1000)
                            .filter(|_| limiter.check(&account, ACTION).is_ok())
                            .count()
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(passed, 20);
    }

    proptest! {
        /// Against the definition: in no window of a second more than N, and a
        /// call is refused only when it would be the one too many.
        #[test]
        fn the_window_is_exact(
            limit in 1_u32..6,
            waits in proptest::collection::vec(0_i64..600, 1..80),
        ) {
            let (limiter, clock, account) = limiter(Limits {
                default: NonZeroU32::new(limit).unwrap(),
                ..Limits::default()
            });
            let mut passed: Vec<i64> = Vec::new();
            for wait in waits {
                clock.advance_ms(wait);
                let now = clock.now().0;
                let recent = passed.iter().filter(|at| now - **at < WINDOW_MS).count();
                match limiter.check(&account, ACTION) {
                    Ok(()) => {
                        prop_assert!(recent < limit as usize);
                        passed.push(now);
                    }
                    Err(refused) => {
                        prop_assert_eq!(recent, limit as usize);
                        let oldest = passed[passed.len() - limit as usize];
                        prop_assert_eq!(refused.wait_ms, oldest + WINDOW_MS - now);
                    }
                }
            }
        }
    }
}
