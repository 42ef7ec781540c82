//! What a shim does for a process while it runs, beside keeping its log.
//!
//! | thread | what it does |
//! |---|---|
//! | ender | waits to be told to end the process, and does so |
//! | opener | runs `after_start`, then asks for readiness |
//! | the third | asks for liveness, once `after_start` is done |
//!
//! All end when the process has: they wait with one end of a pipe in hand whose
//! other end is closed then. One that hears so late, in the middle of a
//! question, says nothing more that is heard (see [`Journal`]).

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::process::{Pid, PidfdFlags};

use crate::Signal;
use crate::folder::{Ask, BELL, Care, Folder, Probe, Task};
use crate::health::{EventKind, Journal, Readiness};
use crate::identity::Identity;
use crate::supervise::{Role, Secrets, again, go};

/// More than this is not read of an answer: the status stands at its beginning.
const ANSWER_MAX_BYTES: usize = 8 << 10;

/// The longest that [`Care::after_end`] may take, in milliseconds: who looks
/// meanwhile waits for what becomes of the process, and not for ever.
pub const AFTER_END_MAX_MS: u64 = 5000;

/// More than this is no address.
const ADDRESS_MAX_BYTES: u64 = 64;

/// A probe does not ask more often.
const PERIOD_MIN: Duration = Duration::from_millis(10);

/// Care for one run of a process; dropping it ends that.
pub(crate) struct Carer {
    _ended: PipeWriter,
}

/// What the threads share.
struct Shared {
    folder: Folder,
    care: Care,
    secrets: Arc<Secrets>,
    child: Identity,
    journal: Arc<Journal>,
    log: PipeWriter,
    /// Nothing is ever written to it: it is closed when the process has ended.
    ended: PipeReader,
    /// Somebody is about to end the process.
    ending: AtomicBool,
}

impl Carer {
    pub(crate) fn start(
        folder: &Folder,
        care: &Care,
        secrets: &Arc<Secrets>,
        child: Identity,
        journal: &Arc<Journal>,
        log: PipeWriter,
    ) -> std::io::Result<Self> {
        let (ended, writer) = std::io::pipe()?;
        let shared = Arc::new(Shared {
            folder: folder.clone(),
            care: care.clone(),
            secrets: Arc::clone(secrets),
            child,
            journal: Arc::clone(journal),
            log,
            ended,
            ending: AtomicBool::new(false),
        });
        let bell = open_bell(folder)?;
        let own = Arc::clone(&shared);
        std::thread::spawn(move || own.await_end(bell));
        std::thread::spawn(move || shared.open());
        Ok(Self { _ended: writer })
    }
}

/// Opens the pipe at which the shim is told to look at `down`. Held open for
/// writing as well, so that it never says that nobody writes any more.
fn open_bell(folder: &Folder) -> std::io::Result<File> {
    let path = folder.path(BELL);
    let mode = Mode::RUSR | Mode::WUSR;
    match rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, mode, 0) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(e) => return Err(e.into()),
    }
    File::options()
        .read(true)
        .write(true)
        .custom_flags((OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed())
        .open(&path)
}

impl Shared {
    /// Ends the process when that is asked for.
    fn await_end(&self, mut bell: File) {
        loop {
            // Looked at after the pipe was opened: no request is missed.
            if let Some(end) = self.folder.asked_to_end() {
                self.end(Duration::from_millis(end.grace_ms));
                return;
            }
            let mut polled = [
                PollFd::new(&self.ended, PollFlags::empty()),
                PollFd::new(&bell, PollFlags::IN),
            ];
            match poll(&mut polled, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
            let [ended, _] = polled;
            if !ended.revents().is_empty() {
                return;
            }
            // What is written there says nothing.
            let mut rings = [0_u8; 64];
            while matches!(bell.read(&mut rings), Ok(count) if count > 0) {}
        }
    }

    /// Asks the process to end, and kills it when it does not within `grace`.
    fn end(&self, grace: Duration) {
        if self.ending.swap(true, Ordering::SeqCst) {
            return;
        }
        let until = Instant::now() + grace;
        self.note(EventKind::Stopping, String::new());
        if let Some(task) = &self.care.before_stop {
            let limit = Duration::from_millis(task.timeout_ms).min(grace);
            if let Err(why) = self.run(Role::BeforeStop, task, limit, true) {
                self.note(EventKind::TaskFailed, format!("before its stop: {why}"));
            }
        }
        self.signal(Signal::Term);
        if self.pause(until.saturating_duration_since(Instant::now())) {
            let text = format!("after {} ms", grace.as_millis());
            self.note(EventKind::Killed, text);
            self.signal(Signal::Kill);
        }
    }

    /// Runs what is to run first, and then asks.
    fn open(self: Arc<Self>) {
        if let Some(task) = &self.care.after_start {
            let limit = Duration::from_millis(task.timeout_ms);
            if let Err(why) = self.run(Role::AfterStart, task, limit, true) {
                self.note(EventKind::TaskFailed, format!("after its start: {why}"));
                self.end(Duration::from_millis(self.care.grace_ms));
                return;
            }
        }
        if self.care.liveness.is_some() {
            let own = Arc::clone(&self);
            std::thread::spawn(move || own.ask_liveness());
        }
        match &self.care.readiness {
            Some(probe) => self.ask_readiness(probe),
            None => self.journal.set(self.child, Readiness::Ready, None),
        }
    }

    fn ask_readiness(&self, probe: &Probe) {
        let mut readiness = Readiness::Starting;
        let mut row = Row::default();
        self.ask(probe, Role::Readiness, |answer| {
            let why = answer.as_ref().err().cloned();
            let row = row.count(answer.is_ok());
            match &answer {
                Ok(()) if row >= probe.successes.max(1) => readiness = Readiness::Ready,
                Err(_) if row >= probe.failures.max(1) && readiness == Readiness::Ready => {
                    readiness = Readiness::Unready;
                }
                _ => {}
            }
            let why = why.filter(|_| readiness != Readiness::Ready);
            self.journal.set(self.child, readiness, why);
            true
        });
    }

    fn ask_liveness(&self) {
        let Some(probe) = &self.care.liveness else {
            return;
        };
        let mut row = Row::default();
        self.ask(probe, Role::Liveness, |answer| {
            let row = row.count(answer.is_ok());
            match answer {
                Err(why) if row >= probe.failures.max(1) => {
                    self.note(EventKind::NotAlive, why);
                    self.end(Duration::from_millis(self.care.grace_ms));
                    false
                }
                _ => true,
            }
        });
    }

    /// Asks until the process has ended, or `hear` wants to hear no more.
    fn ask(&self, probe: &Probe, role: Role, mut hear: impl FnMut(Result<(), String>) -> bool) {
        let period = Duration::from_millis(probe.period_ms).max(PERIOD_MIN);
        let limit = Duration::from_millis(probe.timeout_ms.max(1));
        let mut next = Instant::now() + Duration::from_millis(probe.delay_ms);
        loop {
            if !self.pause(next.saturating_duration_since(Instant::now())) {
                return;
            }
            // From the beginning of one to that of the next, without making up
            // for those that took too long.
            next = Instant::now() + period;
            let answer = match &probe.ask {
                Ask::Http {
                    port,
                    path,
                    headers,
                } => self
                    .address(*port)
                    .and_then(|at| http(at, path, headers, limit)),
                Ask::Tcp { port } => self
                    .address(*port)
                    .and_then(|at| connect(at, limit).map(drop)),
                Ask::Exec { argv } => {
                    let task = Task {
                        argv: argv.clone(),
                        timeout_ms: probe.timeout_ms,
                    };
                    self.run(role, &task, limit, false)
                }
            };
            if !hear(answer) {
                return;
            }
        }
    }

    /// Where a port is asked.
    fn address(&self, port: u16) -> Result<SocketAddr, String> {
        let Some(file) = &self.care.address else {
            return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        };
        let mut text = String::new();
        let read = File::open(file)
            .and_then(|file| file.take(ADDRESS_MAX_BYTES).read_to_string(&mut text));
        let ip = read.ok().and_then(|_| text.trim().parse::<IpAddr>().ok());
        ip.map(|ip| SocketAddr::new(ip, port))
            .ok_or_else(|| format!("ask at port {port}: its address is not known"))
    }

    /// Runs a small program to its end, which comes with that of the process at
    /// the latest.
    fn run(&self, role: Role, task: &Task, limit: Duration, logged: bool) -> Result<(), String> {
        let log = logged.then_some(&self.log);
        run(role, task, limit, &self.secrets, log, Some(&self.ended))
    }

    fn signal(&self, signal: Signal) {
        if let Some(handle) = self.child.open() {
            let _ = rustix::process::pidfd_send_signal(&handle, signal.raw());
        }
    }

    fn note(&self, kind: EventKind, text: String) {
        self.journal.note(Some(self.child), kind, text);
    }

    /// Whether the process still runs after `pause`.
    fn pause(&self, pause: Duration) -> bool {
        let mut polled = [PollFd::new(&self.ended, PollFlags::empty())];
        poll_for(&mut polled, pause);
        let [ended] = polled;
        ended.revents().is_empty()
    }
}

/// Runs a small program to its end, which comes when `ended` is closed at the
/// latest. Without a `log`, what it writes is lost.
fn run(
    role: Role,
    task: &Task,
    limit: Duration,
    secrets: &Secrets,
    log: Option<&PipeWriter>,
    ended: Option<&PipeReader>,
) -> Result<(), String> {
    let named = |e: &dyn std::fmt::Display| match task.argv.first() {
        Some(program) => format!("{program}: {e}"),
        None => "no program is named".to_owned(),
    };
    let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(|e| named(&e))?;
    let output = || match log {
        None => Ok(Stdio::null()),
        Some(log) => log.try_clone().map(Stdio::from).map_err(|e| named(&e)),
    };
    let mut program = again(role)
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
        .stdout(output()?)
        .stderr(output()?)
        .spawn()
        .map_err(|e| named(&e))?;
    let failed = go(&mut ours, secrets);
    drop(ours);
    let handle = i32::try_from(program.id())
        .ok()
        .and_then(Pid::from_raw)
        .and_then(|pid| {
            Some((
                pid,
                rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok()?,
            ))
        });
    let in_time = match (&handle, &failed) {
        (Some((_, handle)), None) => {
            let mut polled = vec![PollFd::new(handle, PollFlags::IN)];
            polled.extend(ended.map(|ended| PollFd::new(ended, PollFlags::empty())));
            poll_for(&mut polled, limit);
            polled.first().is_some_and(|p| !p.revents().is_empty())
        }
        _ => false,
    };
    // Its group is its own, and lives as long as its leader is not waited
    // for: no other is hit.
    if let Some((pid, _)) = handle {
        let _ = rustix::process::kill_process_group(pid, Signal::Kill.raw());
    }
    let status = program.wait().map_err(|e| named(&e))?;
    match (failed, in_time) {
        (Some(why), _) => Err(why),
        (None, true) if status.success() => Ok(()),
        (None, true) => Err(named(&status)),
        (None, false) => Err(named(&format!(
            "not done within {} ms, or the process ended first",
            limit.as_millis()
        ))),
    }
}

/// Runs what is to run once the process has ended.
pub(crate) fn after_end(care: &Care, secrets: &Secrets, log: &PipeWriter) -> Result<(), String> {
    let Some(task) = &care.after_end else {
        return Ok(());
    };
    let limit = Duration::from_millis(task.timeout_ms.min(AFTER_END_MAX_MS));
    run(Role::AfterEnd, task, limit, secrets, Some(log), None)
}

/// How many answers in a row were alike.
#[derive(Default)]
struct Row {
    well: bool,
    count: u32,
}

impl Row {
    fn count(&mut self, well: bool) -> u32 {
        if self.well != well {
            *self = Self { well, count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count
    }
}

/// Waits for one of these, or for `patience`.
fn poll_for(polled: &mut [PollFd<'_>], patience: Duration) {
    let until = Instant::now() + patience;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(polled, Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => {}
            _ => return,
        }
    }
}

fn connect(at: SocketAddr, limit: Duration) -> Result<TcpStream, String> {
    TcpStream::connect_timeout(&at, limit)
        .map_err(|e| format!("connect to port {}: {e}", at.port()))
}

/// One request over a connection of its own.
fn http(
    at: SocketAddr,
    path: &str,
    headers: &std::collections::BTreeMap<String, String>,
    limit: Duration,
) -> Result<(), String> {
    let until = Instant::now() + limit;
    let mut stream = connect(at, limit)?;
    let port = at.port();
    let failed = |e: &dyn std::fmt::Display| format!("GET {path} on port {port}: {e}");
    let mut request =
        format!("GET {path} HTTP/1.1\r\nconnection: close\r\nuser-agent: backout\r\n");
    if !headers.keys().any(|name| name.eq_ignore_ascii_case("host")) {
        request.push_str(&format!("host: localhost:{port}\r\n"));
    }
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    let left = || {
        let left = until.saturating_duration_since(Instant::now());
        // Zero would be for ever.
        left.max(Duration::from_millis(1))
    };
    stream
        .set_write_timeout(Some(left()))
        .and_then(|()| stream.write_all(request.as_bytes()))
        .map_err(|e| failed(&e))?;
    let mut said = Vec::new();
    let mut piece = [0_u8; 1024];
    while !said.contains(&b'\n') && said.len() < ANSWER_MAX_BYTES {
        if Instant::now() >= until {
            return Err(failed(&format!(
                "no answer within {} ms",
                limit.as_millis()
            )));
        }
        let count = stream
            .set_read_timeout(Some(left()))
            .and_then(|()| stream.read(&mut piece));
        match count {
            Ok(0) => break,
            Ok(count) => said.extend_from_slice(piece.get(..count).unwrap_or_default()),
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(failed(&e)),
        }
    }
    match status(&said) {
        Some(200..=399) => Ok(()),
        Some(status) => Err(failed(&format!("status {status}"))),
        None => Err(failed(&"what is there does not speak HTTP")),
    }
}

/// The status in the first line of an answer.
fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|b| *b == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split_ascii_whitespace();
    let version = words.next()?;
    let status = words.next()?;
    (version.starts_with("HTTP/1.") && status.len() == 3)
        .then(|| status.parse().ok())
        .flatten()
}

/// Tells the shim of a folder to look at `down`; fine when none listens.
pub(crate) fn ring(folder: &Folder) {
    let bell = File::options()
        .write(true)
        .custom_flags((OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed())
        .open(folder.path(BELL));
    if let Ok(mut bell) = bell {
        let _ = bell.write(b"!");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_from_the_first_line_alone() {
        assert_eq!(status(b"HTTP/1.1 204 No Content\r\n"), Some(204));
        assert_eq!(status(b"HTTP/1.0 503\nHTTP/1.1 200 OK"), Some(503));
        assert_eq!(status(b"SSH-2.0-OpenSSH_9.2\r\n"), None);
        assert_eq!(status(b"HTTP/1.1 20000 OK"), None);
        assert_eq!(status(b""), None);
    }
}
