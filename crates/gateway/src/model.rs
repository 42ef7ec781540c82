//! What a gateway is told, and what it tells.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use backout_core::fence::Fence;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The most backends of one gateway: ten times the largest application there
/// is a promise for.
pub const BACKENDS_MAX: usize = 1024;

/// The most addresses that one gateway listens on.
pub const LISTENERS_MAX: usize = 16;

/// The longest id of a backend, in bytes: ours have less than 40.
pub const ID_MAX_BYTES: usize = 128;

/// The whole of what a gateway should do. It is always handed over as a whole,
/// so that handing it over again changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Desired {
    /// Of the job, or whoever else, that says so. Compared first.
    pub fence: Fence,
    /// Grows with each change under one fence. What is older than what the
    /// gateway has, by `(fence, generation)`, is refused, and so is something
    /// else under the same pair.
    pub generation: u64,
    /// Where it listens. An address that is new is bound before anything else
    /// is changed; one that is gone takes no new connections, and those that it
    /// had go on.
    pub listen: Vec<SocketAddr>,
    /// Whom requests are spread over. With none, requests are answered 503.
    pub backends: Vec<Backend>,
}

impl Desired {
    /// # Errors
    /// [`Error::BadDesired`] when a number is out of its range, or something is
    /// there twice.
    pub fn check(&self) -> Result<()> {
        let bad = |why: String| Err(Error::BadDesired { why });
        if self.backends.len() > BACKENDS_MAX {
            let count = self.backends.len();
            return bad(format!("it has {count} backends, more than {BACKENDS_MAX}"));
        }
        if self.listen.len() > LISTENERS_MAX {
            let count = self.listen.len();
            return bad(format!(
                "it has {count} listeners, more than {LISTENERS_MAX}"
            ));
        }
        let mut seen = BTreeSet::new();
        for address in &self.listen {
            if address.port() == 0 {
                return bad(format!("listener {address} has no port"));
            }
            if !seen.insert(address) {
                return bad(format!("listener {address} is there twice"));
            }
        }
        let mut seen = BTreeSet::new();
        for backend in &self.backends {
            let id = &backend.id;
            if id.is_empty() || id.len() > ID_MAX_BYTES || id.chars().any(char::is_control) {
                return bad(format!(
                    "the id of a backend has 1 to {ID_MAX_BYTES} bytes and no control characters, \
                     which {id:?} has not"
                ));
            }
            if !seen.insert(id) {
                return bad(format!("backend {id:?} is there twice"));
            }
            if backend.weight == 0 {
                return bad(format!(
                    "backend {id:?} has the weight 0: let it drain instead"
                ));
            }
            if backend.address.port() == 0 {
                return bad(format!("backend {id:?} has no port"));
            }
        }
        Ok(())
    }
}

/// One instance that answers requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// Its name. The same id with another address is another backend.
    pub id: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its share of the requests under way, beside those of others: 1 or more.
    pub weight: u16,
    /// Whether it takes new requests.
    pub intake: Intake,
}

impl Backend {
    /// A backend that takes requests, with the weight 1.
    #[must_use]
    pub fn ready(id: impl Into<String>, address: SocketAddr) -> Self {
        Self {
            id: id.into(),
            address,
            weight: 1,
            intake: Intake::Ready,
        }
    }

    /// The same, but taking no new requests.
    #[must_use]
    pub fn draining(mut self) -> Self {
        self.intake = Intake::Draining;
        self
    }
}

/// Whether a backend takes new requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Intake {
    /// It does.
    Ready,
    /// It does not; those under way finish, and then its connections are closed.
    Draining,
}

/// Header fields in a head, unless another number is set.
pub(crate) const HEADERS_MAX: u16 = 100;

/// What a gateway tells apart and spreads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Carries {
    /// Requests of HTTP/1.1.
    #[default]
    Requests,
    /// Connections, whatever is spoken over them. One that is open goes on while
    /// its backend drains, and is closed when that is taken away.
    Connections,
}

/// How a gateway works: fixed for as long as its process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What it tells apart and spreads.
    pub carries: Carries,
    /// Threads that carry traffic; 0 is one for each processor, of which no more
    /// than 8 are used.
    pub threads: u16,
    /// Connections of clients at one time; more wait in the kernel's queue.
    /// Less where the limit of open files says so: [`Status::connections_max`].
    pub connections_max: u32,
    /// The head of a request or an answer, in bytes: a larger one of a request
    /// is answered 431, of an answer 502. Also what is read ahead of a body.
    pub head_max_bytes: u32,
    /// Header fields in a head.
    pub headers_max: u16,
    /// A client must send the whole head of a request within this, in
    /// milliseconds, or is disconnected.
    pub head_wait_ms: u32,
    /// A connection of a client without a request is closed after this, in
    /// milliseconds.
    pub client_idle_ms: u32,
    /// A request of which no byte moved in either direction for this long, in
    /// milliseconds, is given up: 504 when the answer has not begun, else the
    /// connection is closed.
    pub exchange_idle_ms: u32,
    /// The same for a connection that was upgraded, such as a WebSocket, and for
    /// each where connections are carried.
    pub tunnel_idle_ms: u32,
    /// A connection to a backend must be there within this, in milliseconds.
    pub connect_wait_ms: u32,
    /// A connection to a backend without a request is closed after this, in
    /// milliseconds.
    pub backend_idle_ms: u32,
    /// A request that must not be sent twice takes only a connection that was
    /// in use within this, in milliseconds, else a new one: the backend may be
    /// just closing an older one.
    pub fresh_ms: u32,
    /// Idle connections that are kept for each backend, by each thread.
    pub pool_max: u16,
    /// How often one request is tried, over all backends: 1 or more.
    pub tries_max: u8,
    /// What of the body of an idempotent request is kept for another try, in
    /// bytes.
    pub replay_max_bytes: u32,
    /// How long a request waits for a backend while there is none, in
    /// milliseconds, before it is answered 503.
    pub hold_ms: u32,
    /// Whether `X-Forwarded-*` and `Forwarded` of clients are passed on, with
    /// ours added. Otherwise they are replaced.
    pub trust_forwarded: bool,
    /// Whether each request is a line on stdout.
    pub access_log: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            carries: Carries::Requests,
            threads: 0,
            connections_max: 20_000,
            head_max_bytes: 64 << 10,
            headers_max: HEADERS_MAX,
            head_wait_ms: 10_000,
            client_idle_ms: 75_000,
            exchange_idle_ms: 300_000,
            tunnel_idle_ms: 3_600_000,
            connect_wait_ms: 3_000,
            backend_idle_ms: 4_000,
            fresh_ms: 1_000,
            pool_max: 512,
            tries_max: 4,
            replay_max_bytes: 64 << 10,
            hold_ms: 0,
            trust_forwarded: false,
            access_log: false,
        }
    }
}

impl Settings {
    /// # Errors
    /// [`Error::BadSettings`] when a number is out of its range.
    pub fn check(&self) -> Result<()> {
        let ranges = [
            (
                "connections_max",
                u64::from(self.connections_max),
                1,
                1 << 20,
            ),
            (
                "head_max_bytes",
                self.head_max_bytes.into(),
                8 << 10,
                1 << 20,
            ),
            ("headers_max", self.headers_max.into(), 10, 1000),
            ("head_wait_ms", self.head_wait_ms.into(), 100, DAY_MS),
            ("client_idle_ms", self.client_idle_ms.into(), 100, DAY_MS),
            (
                "exchange_idle_ms",
                self.exchange_idle_ms.into(),
                100,
                DAY_MS,
            ),
            ("tunnel_idle_ms", self.tunnel_idle_ms.into(), 100, DAY_MS),
            ("connect_wait_ms", self.connect_wait_ms.into(), 1, DAY_MS),
            ("backend_idle_ms", self.backend_idle_ms.into(), 0, DAY_MS),
            ("fresh_ms", self.fresh_ms.into(), 0, DAY_MS),
            ("pool_max", self.pool_max.into(), 0, u64::from(u16::MAX)),
            ("tries_max", self.tries_max.into(), 1, 16),
            (
                "replay_max_bytes",
                self.replay_max_bytes.into(),
                0,
                16 << 20,
            ),
            ("hold_ms", self.hold_ms.into(), 0, 600_000),
            ("threads", self.threads.into(), 0, 64),
        ];
        for (name, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                let why = format!("{name} is {value}, not within {least} and {most}");
                return Err(Error::BadSettings { why });
            }
        }
        Ok(())
    }
}

/// The longest time-out, in milliseconds: a day.
const DAY_MS: u64 = 86_400_000;

/// What a gateway does now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its pid.
    pub pid: u32,
    /// When it started, in milliseconds since 1970.
    pub since_ms: u64,
    /// What it was told last.
    pub fence: Fence,
    /// What it was told last.
    pub generation: u64,
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// How it works.
    pub settings: Settings,
    /// What of the setting of that name the limit of open files allows.
    pub connections_max: u32,
    /// Connections of clients that are open.
    pub clients: u64,
    /// What was counted since it started.
    pub totals: Totals,
    /// Those it was told of, in that order, and then those that were taken from
    /// it and still have requests under way.
    pub backends: Vec<BackendStatus>,
}

impl Status {
    /// The backend with this id: the one that it was told of last, when there
    /// are others of that name which leave.
    #[must_use]
    pub fn backend(&self, id: &str) -> Option<&BackendStatus> {
        self.backends.iter().find(|backend| backend.id == id)
    }
}

/// What was counted over all backends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Connections of clients that were accepted.
    pub accepted: u64,
    /// Requests whose head was understood.
    pub requests: u64,
    /// Requests that were answered by a backend, to the end of the answer.
    pub answered: u64,
    /// Further tries of requests.
    pub retries: u64,
    /// Requests that were not answered by a backend, by cause.
    pub failures: BTreeMap<Failure, u64>,
}

impl Totals {
    /// Requests that failed by no fault of the client.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failures
            .iter()
            .filter(|(cause, _)| cause.is_ours())
            .map(|(_, count)| count)
            .sum()
    }
}

/// Why a request was not answered by a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// There was no backend that takes requests: 503.
    NoBackend,
    /// None could be connected to: 502.
    Connect,
    /// The connection was lost before the answer began, and the request may
    /// have been carried out: 502.
    Lost,
    /// What the backend sent is no HTTP: 502.
    BadAnswer,
    /// The answer broke off: the connection to the client was closed.
    Cut,
    /// Nothing moved for too long: 504, or the connection was closed.
    Idle,
    /// The client went away first.
    ClientGone,
    /// The request is not one that may be passed on: 400, 405 or 417.
    BadRequest,
}

impl Failure {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::NoBackend,
        Self::Connect,
        Self::Lost,
        Self::BadAnswer,
        Self::Cut,
        Self::Idle,
        Self::ClientGone,
        Self::BadRequest,
    ];

    /// Whether the client had no part in it.
    #[must_use]
    pub const fn is_ours(self) -> bool {
        !matches!(self, Self::ClientGone | Self::BadRequest)
    }
}

/// What is known of one backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendStatus {
    /// Its name.
    pub id: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its share.
    pub weight: u16,
    /// Whether it takes new requests.
    pub intake: Intake,
    /// It was taken from the gateway, and finishes what it has.
    pub leaving: bool,
    /// Requests under way, upgraded connections among them.
    pub outstanding: u64,
    /// Open connections to it, idle ones among them.
    pub connections: u64,
    /// Requests that were given to it; a second try is one more.
    pub requests: u64,
    /// Its answers with a status of 500 and above.
    pub errors: u64,
    /// Connections to it that failed.
    pub connect_failures: u64,
    /// Requests that it was given, and did not answer to the end.
    pub lost: u64,
    /// For how long it is left alone after failures, in milliseconds; 0 when it
    /// is not.
    pub ejected_ms: u64,
}

impl BackendStatus {
    /// Whether it has nothing under way, and no connection.
    #[must_use]
    pub const fn is_drained(&self) -> bool {
        self.outstanding == 0 && self.connections == 0
    }
}

/// What became of the wait for backends to drain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drained {
    /// Those that still had something under way when the time was over; empty
    /// when all were done.
    pub left: Vec<BackendStatus>,
}

impl Drained {
    /// Whether all were done.
    #[must_use]
    pub const fn all(&self) -> bool {
        self.left.is_empty()
    }
}
