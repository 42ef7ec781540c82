//! A thread that carries traffic: its connections, and the look at them.

use std::future::{Future as _, poll_fn};
use std::net::{SocketAddr, TcpStream};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use http::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::{Notify, mpsc};

use crate::access::Access;
use crate::backends::Backends;
use crate::head::Origin;
use crate::model::{Carries, Failure, HEADERS_MAX, Settings, Totals};
use crate::pipe;
use crate::proxy::{self, Client};
use crate::watch::{Clock, Stage, TICK, Watch, Watched};

/// Connections on their way to a thread: it takes them at once, and the ones
/// that it has are bounded by `connections_max`.
pub(crate) const HANDOVER_MAX: usize = 1024;

/// What all threads have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub settings: Settings,
    /// What of `connections_max` the limit of open files allows.
    pub connections_max: u32,
    pub clock: Arc<Clock>,
    pub backends: Backends,
    pub access: Access,
    /// Open connections of clients.
    clients: AtomicU64,
    /// Told when there is one less.
    pub fewer: Notify,
}

impl Shared {
    pub(crate) fn new(settings: Settings, threads: usize, connections_max: u32) -> Self {
        let clock = Arc::new(Clock::new());
        Self {
            settings,
            connections_max,
            backends: Backends::new(threads, clock.clone()),
            clock,
            access: Access::new(settings.access_log),
            clients: AtomicU64::new(0),
            fewer: Notify::new(),
        }
    }

    pub(crate) fn clients(&self) -> u64 {
        self.clients.load(Ordering::SeqCst)
    }
}

/// What a thread has counted since the start.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    accepted: AtomicU64,
    requests: AtomicU64,
    answered: AtomicU64,
    retries: AtomicU64,
    failures: [AtomicU64; Failure::ALL.len()],
}

impl Counts {
    pub(crate) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn answered(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self, why: Failure) {
        if let Some(count) = self.failures.get(why as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Adds what was counted here.
    pub(crate) fn add_to(&self, totals: &mut Totals) {
        totals.accepted += self.accepted.load(Ordering::Relaxed);
        totals.requests += self.requests.load(Ordering::Relaxed);
        totals.answered += self.answered.load(Ordering::Relaxed);
        totals.retries += self.retries.load(Ordering::Relaxed);
        for (cause, count) in Failure::ALL.into_iter().zip(&self.failures) {
            *totals.failures.entry(cause).or_default() += count.load(Ordering::Relaxed);
        }
    }
}

/// A client's connection, just accepted.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub stream: TcpStream,
    pub peer: SocketAddr,
    /// Where it came in.
    pub port: u16,
    pub counted: Counted,
}

/// An open connection of a client, as one of all.
#[derive(Debug)]
pub(crate) struct Counted(Arc<Worker>);

impl Counted {
    pub(crate) fn new(worker: &Arc<Worker>) -> Self {
        worker.clients.fetch_add(1, Ordering::SeqCst);
        worker.shared.clients.fetch_add(1, Ordering::SeqCst);
        Self(worker.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.clients.fetch_sub(1, Ordering::SeqCst);
        self.0.shared.clients.fetch_sub(1, Ordering::SeqCst);
        self.0.shared.fewer.notify_waiters();
    }
}

/// One thread.
#[derive(Debug)]
pub(crate) struct Worker {
    pub number: usize,
    pub shared: Arc<Shared>,
    pub counts: Counts,
    clients: AtomicU64,
    random: AtomicU64,
    /// The connections that are looked at, with empty places.
    watches: Mutex<Watches>,
}

#[derive(Debug, Default)]
struct Watches {
    places: Vec<Option<Arc<Watch>>>,
    free: Vec<usize>,
    /// The gateway is about to end.
    closing: bool,
}

/// A place among those that are looked at.
#[derive(Debug)]
pub(crate) struct Registered {
    worker: Arc<Worker>,
    place: usize,
    _counted: Counted,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut watches = self.worker.watches();
        if let Some(place) = watches.places.get_mut(self.place) {
            *place = None;
        }
        watches.free.push(self.place);
    }
}

impl Worker {
    pub(crate) fn new(number: usize, shared: Arc<Shared>, seed: u64) -> Self {
        Self {
            number,
            shared,
            counts: Counts::default(),
            clients: AtomicU64::new(0),
            random: AtomicU64::new(seed | 1),
            watches: Mutex::default(),
        }
    }

    /// Connections that it has.
    pub(crate) fn clients(&self) -> u64 {
        self.clients.load(Ordering::Relaxed)
    }

    /// The next number of a fair enough dice (xorshift64*): what hangs on it is
    /// only which of equally busy backends is taken.
    pub(crate) fn random(&self) -> u64 {
        let mut x = self.random.load(Ordering::Relaxed);
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random.store(x, Ordering::Relaxed);
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn watches(&self) -> MutexGuard<'_, Watches> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(self: &Arc<Self>, watch: &Arc<Watch>, counted: Counted) -> Registered {
        let mut watches = self.watches();
        let place = watches.free.pop().unwrap_or_else(|| {
            watches.places.push(None);
            watches.places.len() - 1
        });
        if let Some(place) = watches.places.get_mut(place) {
            *place = Some(watch.clone());
        }
        if watches.closing {
            watch.close();
        }
        Registered {
            worker: self.clone(),
            place,
            _counted: counted,
        }
    }

    /// Ends all connections after the requests that they have.
    pub(crate) fn close(&self) {
        let mut watches = self.watches();
        watches.closing = true;
        for watch in watches.places.iter().flatten() {
            watch.close();
        }
    }

    /// Serves what arrives, for ever.
    pub(crate) async fn run(self: Arc<Self>, mut arrivals: mpsc::Receiver<Arrived>) {
        tokio::spawn(look(self.clone()));
        while let Some(arrived) = arrivals.recv().await {
            tokio::spawn(serve(self.clone(), arrived));
        }
    }
}

/// Looks at all connections, a few times a second.
async fn look(worker: Arc<Worker>) {
    let shared = &worker.shared;
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        shared.clock.tick();
        for watch in worker.watches().places.iter().flatten() {
            watch.look(&shared.settings);
        }
        let idle_ms = shared.settings.backend_idle_ms.into();
        let since_ms = shared.clock.now_ms().saturating_sub(idle_ms);
        shared.backends.sweep(worker.number, since_ms);
    }
}

/// Serves one connection to its end.
async fn serve(worker: Arc<Worker>, arrived: Arrived) {
    let settings = &worker.shared.settings;
    // A client that is gone already is no fault.
    let _ = arrived.stream.set_nodelay(true);
    let Ok(stream) = tokio::net::TcpStream::from_std(arrived.stream) else {
        return;
    };
    worker.counts.accepted.fetch_add(1, Ordering::Relaxed);
    let watch = Arc::new(Watch::new(worker.shared.clock.clone()));
    let registered = worker.register(&watch, arrived.counted);
    if settings.carries == Carries::Connections {
        pipe::run(&worker, &watch, Watched::new(stream, watch.clone())).await;
        drop(registered);
        return;
    }
    let client = Arc::new(Client {
        worker: worker.clone(),
        watch: watch.clone(),
        origin: Origin {
            ip: text(&arrived.peer.ip().to_canonical().to_string()),
            port: HeaderValue::from(arrived.port),
            trusted: settings.trust_forwarded,
        },
        _registered: registered,
    });
    let service = service_fn(|request| proxy::exchange(client.clone(), request));
    let mut builder = http1::Builder::new();
    builder
        .max_buf_size(settings.head_max_bytes as usize)
        .max_header_size(settings.head_max_bytes as usize)
        .auto_date_header(false);
    // What is so by itself is faster when it is not said.
    if settings.headers_max != HEADERS_MAX {
        builder.max_headers(settings.headers_max.into());
    }
    let connection = builder
        .serve_connection(TokioIo::new(Watched::new(stream, watch.clone())), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut told = false;
    let mut owned = false;
    poll_fn(|cx| {
        if !owned {
            owned = true;
            watch.owned_by(cx.waker());
        }
        if !told && watch.is_closing() {
            told = true;
            connection.as_mut().graceful_shutdown();
        }
        let polled = connection.as_mut().poll(cx);
        // A request without an answer is given one, and renews the time.
        if polled.is_pending() && watch.is_expired() && !watch.is(Stage::Waiting) {
            return Poll::Ready(());
        }
        // What is wrong with a client's connection is no matter of ours.
        polled.map(drop)
    })
    .await;
}

fn text(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("unknown"))
}
