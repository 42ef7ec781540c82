//! Ends connections to servers that hang.
//!
//! A host that is gone is noticed by the kernel's keepalive. A server that is
//! stopped in its tracks is not: its host answers for it, and a statement would
//! be waited for without end. Statements may take hours, so there is no limit for
//! them; instead, while one takes long, it is asked again and again whether the
//! server still greets others. When it has not for long enough, the connection
//! is shut, and the statement fails as one whose connection was lost.

use std::collections::HashMap;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use mysql::Conn;
use rustix::net::{Shutdown, shutdown};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

use crate::endpoint::Endpoint;
use crate::session;

/// What is long, and what is too long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How often it is looked.
    pub(crate) tick: Duration,
    /// How long a statement may take before it is asked whether the server still
    /// greets others.
    pub(crate) long: Duration,
    /// How long a greeting may take.
    pub(crate) greeting: Duration,
    /// How long the server may greet nobody. Machines are paused for a snapshot,
    /// or moved, for less.
    pub(crate) dead: Duration,
}

impl Limits {
    const USUAL: Self = Self {
        tick: Duration::from_secs(10),
        long: Duration::from_secs(60),
        greeting: Duration::from_secs(20),
        dead: Duration::from_secs(600),
    };
}

/// The watch of this process.
static WATCH: LazyLock<Watch> = LazyLock::new(|| Watch::new(Limits::USUAL));

/// Looks after connections.
#[derive(Debug)]
pub(crate) struct Watch {
    lines: Arc<Mutex<Vec<Weak<Line>>>>,
    /// What times are told from.
    began: Instant,
}

/// A connection that is looked after.
#[derive(Debug)]
pub(crate) struct Line {
    endpoint: Endpoint,
    /// The connection's socket once more.
    socket: OwnedFd,
    began: Instant,
    /// Since when a statement is waited for, in milliseconds after `began`, and
    /// one; 0 when none is.
    busy: AtomicU64,
}

/// A statement is waited for until this is dropped.
#[derive(Debug)]
pub(crate) struct Busy(Option<Arc<Line>>);

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(line) = &self.0 {
            line.busy.store(0, Ordering::Release);
        }
    }
}

impl Busy {
    pub(crate) fn on(line: Option<&Arc<Line>>) -> Self {
        if let Some(line) = line {
            let ms = u64::try_from(line.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
            line.busy.store(ms + 1, Ordering::Release);
        }
        Self(line.cloned())
    }
}

impl Line {
    /// For how long a statement is waited for; `None` when none is.
    fn busy_for(&self) -> Option<Duration> {
        let since = self.busy.load(Ordering::Acquire).checked_sub(1)?;
        Some(
            self.began
                .elapsed()
                .saturating_sub(Duration::from_millis(since)),
        )
    }
}

/// Looks after a connection of this process; `None` where its socket cannot be
/// had a second time, which some sandboxes forbid.
pub(crate) fn watched(conn: &Conn, endpoint: &Endpoint) -> Option<Arc<Line>> {
    WATCH.line(conn, endpoint)
}

impl Watch {
    pub(crate) fn new(limits: Limits) -> Self {
        let lines = Arc::default();
        let looked_at = Arc::downgrade(&lines);
        let spawned = std::thread::Builder::new()
            .name("backout-watch".to_owned())
            .spawn(move || look(&looked_at, limits));
        if let Err(error) = spawned {
            tracing::warn!(%error, "no thread looks after connections to servers that hang");
        }
        Self {
            lines,
            began: Instant::now(),
        }
    }

    pub(crate) fn line(&self, conn: &Conn, endpoint: &Endpoint) -> Option<Arc<Line>> {
        let me = pidfd_open(getpid(), PidfdFlags::empty()).ok()?;
        let socket = pidfd_getfd(me, conn.as_raw_fd(), PidfdGetfdFlags::empty()).ok()?;
        let line = Arc::new(Line {
            endpoint: endpoint.clone(),
            socket,
            began: self.began,
            busy: AtomicU64::new(0),
        });
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        // As many as there are connections.
        lines.retain(|line| line.strong_count() > 0);
        lines.push(Arc::downgrade(&line));
        Some(line)
    }
}

/// Since when a server greets nobody.
type Silent = HashMap<String, Instant>;

fn look(lines: &Weak<Mutex<Vec<Weak<Line>>>>, limits: Limits) {
    let mut silent = Silent::new();
    loop {
        std::thread::sleep(limits.tick);
        // Ends with its watch.
        let Some(lines) = lines.upgrade() else {
            return;
        };
        let mut slow: HashMap<String, Vec<Arc<Line>>> = HashMap::new();
        for line in lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .filter_map(Weak::upgrade)
        {
            if line.busy_for().is_some_and(|for_| for_ >= limits.long) {
                slow.entry(line.endpoint.to_string())
                    .or_default()
                    .push(line);
            }
        }
        drop(lines);
        silent.retain(|server, _| slow.contains_key(server));
        // All at once: one that hangs holds up the look at no other.
        let asked: Vec<_> = slow
            .into_iter()
            .map(|(server, lines)| {
                let endpoint = lines[0].endpoint.clone();
                let greets =
                    std::thread::spawn(move || session::greets(&endpoint, limits.greeting));
                (server, lines, greets)
            })
            .collect();
        for (server, lines, greets) in asked {
            if greets.join().unwrap_or(true) {
                silent.remove(&server);
                continue;
            }
            let since = *silent.entry(server.clone()).or_insert_with(Instant::now);
            if since.elapsed() < limits.dead {
                continue;
            }
            tracing::warn!(
                server,
                connections = lines.len(),
                "a database server hangs: connections that wait for it are shut"
            );
            for line in lines {
                // What is shut already is as it should be.
                let _ = shutdown(&line.socket, Shutdown::Both);
            }
        }
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::session::Session;
    use crate::testing::PrivateServer;

    const BRIEF: Limits = Limits {
        tick: Duration::from_millis(20),
        long: Duration::from_millis(50),
        greeting: Duration::from_secs(1),
        dead: Duration::from_secs(2),
    };

    #[test]
    fn a_statement_on_a_server_that_hangs_ends() {
        let server = PrivateServer::start(&[]);
        let endpoint = Endpoint::parse(&server.url()).unwrap();
        let watch = Watch::new(BRIEF);
        let mut session = Session::open_watched(&endpoint, &watch).unwrap();
        let pid =
            rustix::process::Pid::from_raw(server.pid().unwrap().try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
        let ended = session.exec("wait", "SELECT SLEEP(100000)");
        rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
        assert!(matches!(ended, Err(Error::Lost { .. })), "{ended:?}");
    }

    #[test]
    fn a_statement_that_takes_long_on_a_server_that_greets_goes_on() {
        let server = PrivateServer::start(&[]);
        let endpoint = Endpoint::parse(&server.url()).unwrap();
        let watch = Watch::new(Limits {
            greeting: Duration::from_secs(60),
            dead: Duration::ZERO,
            ..BRIEF
        });
        let mut session = Session::open_watched(&endpoint, &watch).unwrap();
        // Some ten looks.
        let slept: Option<u8> = session.first("wait", "SELECT SLEEP(1)").unwrap();
        assert_eq!(slept, Some(0));
        let again: Option<u8> = session.first("ask", "SELECT 7").unwrap();
        assert_eq!(again, Some(7));
    }
}
