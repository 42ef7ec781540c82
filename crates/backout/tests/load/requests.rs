//! Requests at a constant rate, whatever becomes of those before (an open loop):
//! a server that stands still for a moment is asked as much as one that does not.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use super::PATIENCE;

/// How often it is looked which requests are due.
const TICK: Duration = Duration::from_millis(2);

/// The most requests under way. What is due beyond counts as failed: it stands
/// for a client that gave up.
const UNDER_WAY_MAX: usize = 4096;

/// How long a connection may lie idle before it is not used again: far less than
/// a gateway keeps one, so that none is closed as it is used.
const IDLE_MAX: Duration = Duration::from_secs(2);

/// How many requests a connection carries, so that there are new ones always.
const REQUESTS_MAX: u32 = 200;

/// How many failures are kept word for word.
const KEPT_MAX: usize = 50;

/// Every so many requests is one that must not be repeated.
const POST_EVERY: u64 = 4;

/// What was sent, and what came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// How many requests were due.
    pub sent: u64,
    /// How many were answered as they should, by what the answer said.
    pub answered: BTreeMap<String, u64>,
    /// How many were not.
    pub failed: u64,
    /// The first of those: when, since the load began, which, and why.
    pub failures: Vec<(Duration, String, String)>,
    /// How long the slowest answer took from when it was due.
    pub slowest: Duration,
}

/// A load that goes on until it is stopped.
pub struct Load {
    over: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<Report>,
}

impl Load {
    /// Sends `rate` requests a second to `address`; every fourth is one that must
    /// not be repeated when `posts`. An answer is as it should be when its status
    /// is 200 and its text one of `wanted`.
    pub fn start(address: SocketAddr, rate: u32, posts: bool, wanted: &[&str]) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let failed = Arc::new(AtomicU64::new(0));
        let source = Source {
            address,
            posts,
            wanted: wanted.iter().map(|text| (*text).to_owned()).collect(),
            answered: Arc::clone(&answered),
            failed: Arc::clone(&failed),
            began: Instant::now(),
            idle: RefCell::default(),
            under_way: Cell::new(0),
            report: RefCell::default(),
        };
        let stop = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            LocalSet::new().block_on(&runtime, source.run(rate, &stop))
        });
        Self {
            over,
            answered,
            failed,
            thread,
        }
    }

    /// How many requests were answered as they should so far.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::SeqCst)
    }

    /// How many were not.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::SeqCst)
    }

    /// Waits until so many more were answered.
    pub fn wait_for(&self, more: u64) {
        let mark = self.answered() + more;
        super::until("requests are answered", || {
            (self.answered() >= mark || self.thread.is_finished()).then_some(())
        });
    }

    /// Sends no more, waits for what is under way, and tells.
    pub fn stop(self) -> Report {
        self.over.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

struct Connection {
    stream: TcpStream,
    used: u32,
    since: Instant,
}

struct Source {
    address: SocketAddr,
    posts: bool,
    wanted: Vec<String>,
    answered: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    began: Instant,
    /// The one that was used last is used next.
    idle: RefCell<Vec<Connection>>,
    under_way: Cell<usize>,
    report: RefCell<Report>,
}

impl Source {
    async fn run(self, rate: u32, over: &AtomicBool) -> Report {
        let this = Rc::new(self);
        let mut sent = 0;
        let mut ticks = tokio::time::interval(TICK);
        while !over.load(Ordering::SeqCst) {
            ticks.tick().await;
            let due = (this.began.elapsed().as_secs_f64() * f64::from(rate)) as u64;
            while sent < due {
                let when = Duration::from_secs_f64(sent as f64 / f64::from(rate));
                sent += 1;
                if this.under_way.get() >= UNDER_WAY_MAX {
                    let why = format!("not sent: {UNDER_WAY_MAX} others are under way");
                    this.fail(&format!("request {sent}"), why);
                    continue;
                }
                this.under_way.set(this.under_way.get() + 1);
                tokio::task::spawn_local(Rc::clone(&this).one(sent, when));
            }
        }
        while this.under_way.get() > 0 {
            tokio::time::sleep(TICK).await;
        }
        let mut report = this.report.take();
        report.sent = sent;
        report
    }

    async fn one(self: Rc<Self>, n: u64, due: Duration) {
        let request = match self.posts && n.is_multiple_of(POST_EVERY) {
            true => format!("POST /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"),
            false => format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n"),
        };
        let answer = tokio::time::timeout(PATIENCE, self.ask(request.as_bytes())).await;
        let why = match answer {
            Ok(Ok((200, text))) if self.wanted.contains(&text) => {
                let mut report = self.report.borrow_mut();
                report.slowest = report.slowest.max(self.began.elapsed().saturating_sub(due));
                *report.answered.entry(text).or_default() += 1;
                self.answered.fetch_add(1, Ordering::SeqCst);
                None
            }
            Ok(Ok((status, text))) => Some(format!("answered {status} {text:?}")),
            Ok(Err(why)) => Some(why),
            Err(_) => Some("not answered".to_owned()),
        };
        if let Some(why) = why {
            self.fail(request.lines().next().unwrap_or_default(), why);
        }
        self.under_way.set(self.under_way.get() - 1);
    }

    fn fail(&self, request: &str, why: String) {
        let mut report = self.report.borrow_mut();
        report.failed += 1;
        self.failed.fetch_add(1, Ordering::SeqCst);
        if report.failures.len() < KEPT_MAX {
            let when = self.began.elapsed();
            report.failures.push((when, request.to_owned(), why));
        }
    }

    async fn ask(&self, request: &[u8]) -> Result<(u16, String), String> {
        let idle = self.idle.borrow_mut().pop();
        let fresh = idle.filter(|c| c.since.elapsed() < IDLE_MAX && c.used < REQUESTS_MAX);
        let mut connection = match fresh {
            Some(connection) => connection,
            None => Connection::open(self.address).await?,
        };
        let (status, text, stays) = connection.exchange(request).await?;
        if stays {
            connection.since = Instant::now();
            self.idle.borrow_mut().push(connection);
        }
        Ok((status, text))
    }
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self, String> {
        let told = |e: std::io::Error| format!("not connected: {e}");
        let stream = TcpStream::connect(address).await.map_err(told)?;
        stream.set_nodelay(true).map_err(told)?;
        Ok(Self {
            stream,
            used: 0,
            since: Instant::now(),
        })
    }

    /// The status and the text of the answer, and whether the connection can be
    /// used again.
    async fn exchange(&mut self, request: &[u8]) -> Result<(u16, String, bool), String> {
        let told = |what: &str, e: std::io::Error, used: u32| {
            format!("{what} over a connection that was used {used} times: {e}")
        };
        let used = self.used;
        self.used += 1;
        let sent = self.stream.write_all(request).await;
        sent.map_err(|e| told("not sent", e, used))?;
        let mut answer = Vec::with_capacity(512);
        loop {
            let read = self.stream.read_buf(&mut answer).await;
            if read.map_err(|e| told("cut", e, used))? == 0 {
                let had = String::from_utf8_lossy(&answer).into_owned();
                return Err(format!(
                    "closed over a connection that was used {used} times, after {had:?}"
                ));
            }
            if let Some(whole) = whole(&answer)? {
                return Ok(whole);
            }
        }
    }
}

/// The parts of an answer, once it is whole.
fn whole(answer: &[u8]) -> Result<Option<(u16, String, bool)>, String> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    let field = |name: &str| {
        let mut lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value.trim())
    };
    let bad = || format!("not an answer: {head:?}");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
    let length = field("content-length").and_then(|s| s.parse::<usize>().ok());
    let (status, length) = (status.ok_or_else(bad)?, length.ok_or_else(bad)?);
    let body = &answer[end + 4..];
    if body.len() < length {
        return Ok(None);
    }
    if body.len() > length {
        return Err(format!("more than an answer: {head:?}"));
    }
    let text = String::from_utf8_lossy(body).into_owned();
    Ok(Some((status, text, field("connection") != Some("close"))))
}
