//! Whom requests are spread over, and what each of them has under way.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::Notify;

use crate::model::{Backend, BackendStatus, Intake};
use crate::upstream::Upstream;
use crate::watch::Clock;

/// The first pause after a connection that failed, in milliseconds. Each
/// further one is twice as long.
const EJECT_MS: u64 = 100;
/// The longest, in milliseconds: a backend that is back is used by then.
const EJECT_MAX_MS: u64 = 10_000;

/// Up to so many backends, all are looked at for each request. With more, the
/// better of two at random is taken, which is nearly as even and does not grow.
const SCAN_MAX: usize = 16;

/// One backend, for as long as anybody has a request under way there.
#[derive(Debug)]
pub(crate) struct Peer {
    id: String,
    address: SocketAddr,
    weight: AtomicU16,
    intake: AtomicU8,
    /// It was taken from the list.
    leaving: AtomicBool,
    outstanding: AtomicU64,
    connections: AtomicU64,
    requests: AtomicU64,
    errors: AtomicU64,
    connect_failures: AtomicU64,
    lost: AtomicU64,
    /// Connections that failed in a row.
    in_a_row: AtomicU32,
    /// Until when it is left alone, by the gateway's clock.
    ejected_until_ms: AtomicU64,
    /// Idle connections, by thread: the last one used is at the end.
    idle: Box<[Mutex<Vec<Upstream>>]>,
    clock: Arc<Clock>,
    /// Told when it drains, and something of it ended.
    quiet: Arc<Notify>,
    /// Told when it is taken from the list.
    taken: Notify,
}

const READY: u8 = 0;
const DRAINING: u8 = 1;

impl Peer {
    fn new(backend: &Backend, of: &Backends) -> Self {
        Self {
            id: backend.id.clone(),
            address: backend.address,
            weight: AtomicU16::new(backend.weight),
            intake: AtomicU8::new(DRAINING),
            leaving: AtomicBool::new(false),
            outstanding: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            connect_failures: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            in_a_row: AtomicU32::new(0),
            ejected_until_ms: AtomicU64::new(0),
            idle: (0..of.threads).map(|_| Mutex::default()).collect(),
            clock: of.clock.clone(),
            quiet: of.quiet.clone(),
            taken: Notify::new(),
        }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    fn is_ready(&self) -> bool {
        self.intake.load(Ordering::SeqCst) == READY
    }

    fn is_ejected(&self) -> bool {
        self.ejected_until_ms.load(Ordering::Relaxed) > self.clock.now_ms()
    }

    /// Takes requests, or does not any more: when this returns, no request
    /// begins here that was not counted before.
    fn set_intake(&self, intake: Intake) {
        let (new, ready) = match intake {
            Intake::Ready => (READY, true),
            Intake::Draining => (DRAINING, false),
        };
        let old = self.intake.swap(new, Ordering::SeqCst);
        if ready && old != READY {
            self.in_a_row.store(0, Ordering::Relaxed);
            self.ejected_until_ms.store(0, Ordering::Relaxed);
        }
        if !ready {
            for idle in &self.idle {
                // Dropped after the lock is let go.
                let _closed = std::mem::take(&mut *locked(idle));
            }
            self.quiet.notify_waiters();
        }
    }

    /// An idle connection of this thread that was in use since `since_ms`.
    pub(crate) fn take_idle(&self, thread: usize, since_ms: u64) -> Option<Upstream> {
        let mut idle = locked(self.idle.get(thread)?);
        if idle.last()?.idle_since_ms < since_ms {
            return None;
        }
        idle.pop()
    }

    /// Keeps a connection for the next request, unless there are `most`, or none
    /// is to come.
    pub(crate) fn keep(&self, thread: usize, upstream: Upstream, most: usize) {
        let Some(idle) = self.idle.get(thread) else {
            return;
        };
        let mut idle = locked(idle);
        // Looked at under the lock that draining takes: either this sees that it
        // drains, or that finds the connection.
        if self.is_ready() && idle.len() < most {
            idle.push(upstream);
        }
    }

    /// Closes the idle connections of this thread that were not in use since
    /// `since_ms`.
    fn sweep(&self, thread: usize, since_ms: u64) {
        let Some(idle) = self.idle.get(thread) else {
            return;
        };
        let mut idle = locked(idle);
        let old = idle.partition_point(|upstream| upstream.idle_since_ms < since_ms);
        let _closed: Vec<Upstream> = idle.drain(..old).collect();
    }

    /// A connection to it could not be made, by its fault.
    pub(crate) fn connect_failed(&self) {
        self.connect_failures.fetch_add(1, Ordering::Relaxed);
        let now_ms = self.clock.now_ms();
        let until_ms = self.ejected_until_ms.load(Ordering::Relaxed);
        // Those that were on their way when it was ejected say nothing new.
        if until_ms > now_ms {
            return;
        }
        let row = self.in_a_row.fetch_add(1, Ordering::Relaxed).min(16);
        let pause_ms = (EJECT_MS << row).min(EJECT_MAX_MS);
        self.ejected_until_ms
            .store(now_ms + pause_ms, Ordering::Relaxed);
    }

    /// A connection to it was made.
    pub(crate) fn connected(self: &Arc<Self>) -> Connected {
        if self.in_a_row.load(Ordering::Relaxed) != 0 {
            self.in_a_row.store(0, Ordering::Relaxed);
            self.ejected_until_ms.store(0, Ordering::Relaxed);
        }
        self.connections.fetch_add(1, Ordering::SeqCst);
        Connected(self.clone())
    }

    /// Waits until it is taken from the list.
    pub(crate) async fn taken_away(&self) {
        let taken = self.taken.notified();
        tokio::pin!(taken);
        // From here on nothing is missed.
        taken.as_mut().enable();
        if !self.leaving.load(Ordering::SeqCst) {
            taken.await;
        }
    }

    pub(crate) fn count_error(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_lost(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request, if it takes any.
    fn enter(self: &Arc<Self>) -> Option<Ticket> {
        // Counted first, looked at then; draining sets first, and counts then.
        // So one of the two sees the other.
        self.outstanding.fetch_add(1, Ordering::SeqCst);
        let ticket = Ticket(self.clone());
        if !self.is_ready() {
            return None;
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        Some(ticket)
    }

    fn is_drained(&self) -> bool {
        self.outstanding.load(Ordering::SeqCst) == 0 && self.connections.load(Ordering::SeqCst) == 0
    }

    /// Tells those that wait, when there may be any.
    fn ended(&self) {
        if !self.is_ready() && self.is_drained() {
            self.quiet.notify_waiters();
        }
    }

    /// How busy it is: requests under way by share, with one more.
    fn load(&self) -> u64 {
        let outstanding = self.outstanding.load(Ordering::Relaxed);
        (outstanding + 1) * u64::from(u16::MAX) / u64::from(self.weight.load(Ordering::Relaxed))
    }

    fn status(&self) -> BackendStatus {
        BackendStatus {
            id: self.id.clone(),
            address: self.address,
            weight: self.weight.load(Ordering::Relaxed),
            intake: if self.is_ready() {
                Intake::Ready
            } else {
                Intake::Draining
            },
            leaving: self.leaving.load(Ordering::Relaxed),
            outstanding: self.outstanding.load(Ordering::SeqCst),
            connections: self.connections.load(Ordering::SeqCst),
            requests: self.requests.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            connect_failures: self.connect_failures.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
            ejected_ms: self
                .ejected_until_ms
                .load(Ordering::Relaxed)
                .saturating_sub(self.clock.now_ms()),
        }
    }
}

/// One request under way at a backend, for as long as it is.
#[derive(Debug)]
pub(crate) struct Ticket(Arc<Peer>);

impl Ticket {
    pub(crate) const fn peer(&self) -> &Arc<Peer> {
        &self.0
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.outstanding.fetch_sub(1, Ordering::SeqCst);
        self.0.ended();
    }
}

/// One connection to a backend, for as long as it is open.
#[derive(Debug)]
pub(crate) struct Connected(Arc<Peer>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::SeqCst);
        self.0.ended();
    }
}

/// All backends.
#[derive(Debug)]
pub(crate) struct Backends {
    threads: usize,
    clock: Arc<Clock>,
    quiet: Arc<Notify>,
    /// Told when there are others.
    changed: Notify,
    list: RwLock<Lists>,
}

#[derive(Debug, Default)]
struct Lists {
    /// In the order in which they were told.
    told: Vec<Arc<Peer>>,
    /// Those of them that take requests.
    ready: Vec<Arc<Peer>>,
    /// Those that were taken away, and are not done.
    leaving: Vec<Arc<Peer>>,
}

impl Backends {
    pub(crate) fn new(threads: usize, clock: Arc<Clock>) -> Self {
        Self {
            threads,
            clock,
            quiet: Arc::default(),
            changed: Notify::new(),
            list: RwLock::default(),
        }
    }

    /// Has these from now on.
    pub(crate) fn set(&self, backends: &[Backend]) {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::take(&mut *list);
        list.leaving = old.leaving;
        let mut old: Vec<Option<Arc<Peer>>> = old.told.into_iter().map(Some).collect();
        for backend in backends {
            let same = |peer: &Arc<Peer>| peer.id == backend.id && peer.address == backend.address;
            let peer = old
                .iter_mut()
                .find(|peer| peer.as_ref().is_some_and(same))
                .and_then(Option::take)
                .unwrap_or_else(|| Arc::new(Peer::new(backend, self)));
            peer.weight.store(backend.weight, Ordering::Relaxed);
            peer.set_intake(backend.intake);
            if backend.intake == Intake::Ready {
                list.ready.push(peer.clone());
            }
            list.told.push(peer);
        }
        for gone in old.into_iter().flatten() {
            gone.leaving.store(true, Ordering::SeqCst);
            gone.set_intake(Intake::Draining);
            gone.taken.notify_waiters();
            list.leaving.push(gone);
        }
        list.leaving.retain(|peer| !peer.is_drained());
        drop(list);
        self.changed.notify_waiters();
    }

    /// The least busy that takes requests and is not among `tried`; those that
    /// failed lately only when there is no other, and those tried already after
    /// them.
    pub(crate) fn pick(&self, tried: &[Arc<Peer>], random: u64) -> Option<Ticket> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        let ready = &list.ready;
        let untried = |peer: &Peer| !tried.iter().any(|t| std::ptr::eq(&**t, peer));
        best(ready, random, |peer| untried(peer) && !peer.is_ejected())
            .or_else(|| scan(ready, random, |peer| untried(peer)))
            .or_else(|| scan(ready, random, |_| true))
    }

    /// Resolves when others were set since it was made.
    pub(crate) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// Waits until none of these has a request or a connection.
    pub(crate) async fn drained(&self, ids: &[String]) {
        loop {
            let quiet = self.quiet.notified();
            tokio::pin!(quiet);
            // From here on nothing is missed.
            quiet.as_mut().enable();
            if self.left(ids).is_empty() {
                return;
            }
            quiet.await;
        }
    }

    /// Those of these that have a request or a connection.
    pub(crate) fn left(&self, ids: &[String]) -> Vec<BackendStatus> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        list.told
            .iter()
            .chain(&list.leaving)
            .filter(|peer| ids.contains(&peer.id) && !peer.is_drained())
            .map(|peer| peer.status())
            .collect()
    }

    pub(crate) fn status(&self) -> Vec<BackendStatus> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        let leaving = list.leaving.iter().filter(|peer| !peer.is_drained());
        list.told
            .iter()
            .chain(leaving)
            .map(|peer| peer.status())
            .collect()
    }

    /// Closes the connections of a thread that were not in use since `since_ms`.
    pub(crate) fn sweep(&self, thread: usize, since_ms: u64) {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        for peer in &list.ready {
            peer.sweep(thread, since_ms);
        }
    }
}

/// The least busy of those that pass, or nearly so.
fn best(ready: &[Arc<Peer>], random: u64, passes: impl Fn(&Peer) -> bool) -> Option<Ticket> {
    let count = ready.len() as u64;
    if ready.len() > SCAN_MAX {
        let (high, low) = (random >> 32, random & u64::from(u32::MAX));
        let at = |random: u64| ready.get(usize::try_from(random % count).unwrap_or(0));
        let pair = [at(high), at(low)].into_iter().flatten();
        let found = pair
            .filter(|peer| passes(peer))
            .min_by_key(|peer| peer.load())
            .and_then(Peer::enter);
        if found.is_some() {
            return found;
        }
    }
    scan(ready, random, passes)
}

/// The least busy of those that pass, the first of them from a random place on.
fn scan(ready: &[Arc<Peer>], random: u64, passes: impl Fn(&Peer) -> bool) -> Option<Ticket> {
    let start = usize::try_from(random % (ready.len().max(1) as u64)).unwrap_or(0);
    let (end, begin) = ready.split_at(start);
    begin
        .iter()
        .chain(end)
        .filter(|peer| passes(peer))
        .min_by_key(|peer| peer.load())
        .and_then(Peer::enter)
}

fn locked(idle: &Mutex<Vec<Upstream>>) -> MutexGuard<'_, Vec<Upstream>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn backends(count: u16) -> Vec<Backend> {
        let address = |n| SocketAddr::from(([127, 0, 0, 1], 1000 + n));
        (0..count)
            .map(|n| Backend::ready(n.to_string(), address(n)))
            .collect()
    }

    /// Throws of dice, the same ones each time.
    struct Dice(u64);

    impl Dice {
        fn throw(&mut self) -> u64 {
            // SplitMix64.
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }
    }

    fn all(count: u16) -> Backends {
        let all = Backends::new(1, Arc::new(Clock::new()));
        all.set(&backends(count));
        all
    }

    #[test]
    fn requests_under_way_are_spread_evenly_over_few_and_many() {
        for (count, off) in [(1, 0), (3, 0), (16, 0), (17, 4), (100, 4)] {
            let all = all(count);
            let mut dice = Dice(7);
            let held: Vec<Ticket> = (0..count * 10)
                .map(|_| all.pick(&[], dice.throw()).unwrap())
                .collect();
            assert_eq!(held.len(), usize::from(count) * 10);
            for backend in all.status() {
                let off_by = backend.outstanding.abs_diff(10);
                assert!(off_by <= off, "{count}: {}", backend.outstanding);
            }
            drop(held);
            assert!(all.status().iter().all(|b| b.outstanding == 0));
        }
    }

    #[test]
    fn idle_backends_are_taken_in_no_order() {
        let all = all(4);
        let mut dice = Dice(1);
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for _ in 0..4000 {
            let ticket = all.pick(&[], dice.throw()).unwrap();
            *counts.entry(ticket.peer().id.clone()).or_default() += 1;
        }
        assert_eq!(counts.len(), 4);
        assert!(
            counts.values().all(|count| (850..1150).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn one_that_drains_is_not_taken_and_one_that_failed_only_at_last() {
        for count in [2, 40] {
            let all = all(count);
            let mut list = backends(count);
            for backend in list.iter_mut().skip(2) {
                backend.intake = Intake::Draining;
            }
            all.set(&list);
            let mut dice = Dice(3);
            let mut pick = |tried: &[Arc<Peer>]| all.pick(tried, dice.throw()).unwrap();
            let first = loop {
                let ticket = pick(&[]);
                if ticket.peer().id == "0" {
                    break ticket.peer().clone();
                }
            };
            first.connect_failed();
            assert!(all.status()[0].ejected_ms > 0);
            for _ in 0..100 {
                assert_eq!(pick(&[]).peer().id, "1");
                assert_eq!(pick(std::slice::from_ref(&first)).peer().id, "1");
            }
            // The other was tried in vain.
            let second = pick(&[]).peer().clone();
            assert_eq!(pick(std::slice::from_ref(&second)).peer().id, "0");
            // Both were.
            let tried = [first.clone(), second];
            assert!(["0", "1"].contains(&pick(&tried).peer().id.as_str()));
            drop(first.connected());
            assert_eq!(all.status()[0].ejected_ms, 0);
        }
    }

    #[test]
    fn many_failures_at_once_are_one() {
        let all = all(1);
        let peer = all.pick(&[], 0).unwrap().peer().clone();
        for _ in 0..100 {
            peer.connect_failed();
        }
        let status = all.status();
        assert_eq!(status[0].ejected_ms, EJECT_MS);
        assert_eq!(status[0].connect_failures, 100);
    }
}
