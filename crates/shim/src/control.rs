//! What others do with a shim: start it, look at it, tell it something.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, PipeReader, Read as _, Write as _};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::Signal;
use crate::care;
use crate::error::{Error, Result};
use crate::folder::{
    DOWN, End, Exit, Folder, HEALTH, LOG, Record, SPEC, START_LOCK, Spec, try_lock,
};
use crate::health::{Health, Readiness};
use crate::identity::{Identity, boot_id};
use crate::supervise::{READY, SECRETS, STAGE, TAKEN};

/// How long a start may take: three processes on a host that has no time.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// How long after the end of the process, or after it took the lock, a shim may
/// take to record it: a small file is written, after the log has been.
const RECORD_PATIENCE: Duration = Duration::from_secs(10);

/// How often something is looked at that cannot be waited for.
const TICK: Duration = Duration::from_millis(5);

/// The most that the secrets of an environment may take, in bytes as JSON: what
/// a pipe holds by default.
pub const SECRETS_MAX_BYTES: usize = 60 << 10;

/// More than this is no answer of a shim.
const ANSWER_MAX_BYTES: u64 = 4096;

/// How to run a shim: a program that calls [`crate::main`] with its last
/// argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shim {
    /// The program.
    pub program: PathBuf,
    /// What comes before the run folder.
    pub args: Vec<OsString>,
}

impl Shim {
    /// This very program with these arguments before the run folder, e.g.
    /// `["shim"]`.
    #[must_use]
    pub fn own(args: &[&str]) -> Self {
        Self {
            // The kernel's own link, so that an update of the file in place
            // does not put it out of reach.
            program: PathBuf::from("/proc/self/exe"),
            args: args.iter().map(Into::into).collect(),
        }
    }
}

/// A process that was started or found running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its pid; `None` while its shim waits to start it again.
    pub pid: Option<u32>,
    /// When it started, in milliseconds since 1970.
    pub since_ms: u64,
    /// Whether this call started it.
    pub fresh: bool,
}

/// Whether a process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It does not, and nobody is about to start it again.
    Off {
        /// How it ended; `None` when it never ran, or its shim was killed.
        exit: Option<Exit>,
    },
    /// It runs.
    On {
        /// Its pid.
        pid: u32,
        /// When it started, in milliseconds since 1970.
        since_ms: u64,
    },
    /// It ended, and its shim waits to start it again.
    Waits {
        /// How it ended.
        exit: Option<Exit>,
    },
}

/// The file that has what the process wrote last; what it wrote before that is
/// in the same with `.1` at its end.
#[must_use]
pub fn log_path(folder: &Path) -> PathBuf {
    folder.join(LOG)
}

/// Starts `spec` in the run folder `folder`, which is made, unless it runs
/// there already: then that is what is returned, whatever it was started with.
/// Returns when the program runs, or could not be run.
///
/// # Errors
/// [`Error::NotStarted`], [`Error::Busy`], [`Error::Io`].
pub fn start(folder: &Path, shim: &Shim, spec: &Spec) -> Result<Run> {
    start_with(folder, shim, spec, &BTreeMap::new())
}

/// As [`start`], with more of an environment that no file may hold.
///
/// # Errors
/// As [`start`]; [`Error::NotStarted`] when the secrets are longer than
/// [`SECRETS_MAX_BYTES`].
pub fn start_with(
    folder: &Path,
    shim: &Shim,
    spec: &Spec,
    secrets: &BTreeMap<String, String>,
) -> Result<Run> {
    // The shim runs elsewhere than the caller.
    let folder = std::path::absolute(folder).map_err(|e| Error::io("find", folder, e))?;
    let folder = Folder(folder);
    folder.make()?;
    let until = Instant::now() + START_PATIENCE;
    let _starting = starting(&folder, until)?;
    loop {
        let found = inspect(&folder)?;
        let run = |fresh| match (&found.state, found.watched) {
            (State::On { pid, since_ms }, true) => Some(Run {
                pid: Some(*pid),
                since_ms: *since_ms,
                fresh,
            }),
            (State::Waits { .. }, _) => Some(Run {
                pid: None,
                since_ms: 0,
                fresh,
            }),
            _ => None,
        };
        if let Some(run) = run(false) {
            return Ok(run);
        }
        if let (State::On { .. }, Some(orphan)) = (&found.state, found.child) {
            kill_orphan(&folder, orphan)?;
        }
        let down = folder.path(DOWN);
        match std::fs::remove_file(&down) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                return Err(Error::io("remove", &down, e));
            }
            _ => {}
        }
        folder.write(SPEC, spec)?;
        match run_shim(&folder, shim, spec, secrets, until)?.as_str() {
            READY => {
                // It may have ended again since, and that is no fault of the
                // start.
                let record = folder.record()?;
                return Ok(Run {
                    pid: record.as_ref().and_then(|r| r.child).map(|c| c.pid),
                    since_ms: record.map_or(0, |r| r.since_ms),
                    fresh: true,
                });
            }
            // The shim of a start whose starter was killed.
            TAKEN if Instant::now() < until => {}
            TAKEN => return Err(Error::Busy { folder: folder.0 }),
            why => {
                return Err(Error::NotStarted {
                    program: spec.program.clone(),
                    why: format!("{why}; remove the cause and try again"),
                });
            }
        }
    }
}

/// Looks whether the process of a run folder runs. A folder that is not there
/// has none.
///
/// # Errors
/// [`Error::Stuck`], [`Error::Malformed`], [`Error::Io`].
pub fn look(folder: &Path) -> Result<State> {
    Ok(inspect(&Folder(folder.to_owned()))?.state)
}

/// Sends a signal to the process, and to no other that may have got its pid.
/// Where the process is to be started again, it is; see [`stop`].
///
/// # Errors
/// [`Error::NotRunning`], [`Error::Io`].
pub fn signal(folder: &Path, signal: Signal) -> Result<()> {
    let folder = Folder(folder.to_owned());
    let handle = inspect(&folder)?.child.and_then(|child| child.open());
    let not_running = || Error::NotRunning {
        folder: folder.0.clone(),
    };
    let handle = handle.ok_or_else(not_running)?;
    rustix::process::pidfd_send_signal(&handle, signal.raw()).map_err(|e| match e {
        rustix::io::Errno::SRCH => not_running(),
        e => Error::io("signal the process of", &folder.0, e),
    })
}

/// Waits until the process has ended and will not be started again; returns how
/// it ended, which is `None` when its shim was killed.
///
/// # Errors
/// [`Error::GoesOn`] after `patience`, [`Error::Stuck`], [`Error::Io`].
pub fn wait_ended(folder: &Path, patience: Duration) -> Result<Option<Exit>> {
    let until = Instant::now() + patience;
    let folder = Folder(folder.to_owned());
    loop {
        let found = inspect(&folder)?;
        if let State::Off { exit } = found.state {
            return Ok(exit);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::GoesOn {
                folder: folder.0,
                pid: found.child.map_or(0, |child| child.pid),
            });
        }
        match found.child.and_then(|child| child.open()) {
            Some(handle) => {
                readable(&handle, left);
            }
            None => std::thread::sleep(TICK.min(left)),
        }
    }
}

/// Ends the process for good: no restart, `signal`, and after `patience` a
/// `SIGKILL`. Returns when it has ended. Repeatable; fine when nothing runs.
///
/// # Errors
/// [`Error::GoesOn`] when not even that ended it, [`Error::Io`].
pub fn stop(folder: &Path, signal: Signal, patience: Duration) -> Result<Option<Exit>> {
    if !folder.exists() {
        return Ok(None);
    }
    let down = folder.join(DOWN);
    File::create(&down).map_err(|e| Error::io("create", &down, e))?;
    let kill = (Signal::Kill, RECORD_PATIENCE);
    for (i, (signal, patience)) in [(signal, patience), kill].into_iter().enumerate() {
        match self::signal(folder, signal) {
            Ok(()) | Err(Error::NotRunning { .. }) => {}
            Err(e) => return Err(e),
        }
        match wait_ended(folder, patience) {
            Err(Error::GoesOn { .. }) if i == 0 => {}
            other => return other,
        }
    }
    wait_ended(folder, RECORD_PATIENCE)
}

/// Ends the process for good, by its shim: `before_stop` of its [`crate::Care`],
/// `SIGTERM`, and after `grace` a `SIGKILL` for its whole group. One without
/// care, or without a shim, is ended as by [`stop`]. Returns when it has ended.
/// Repeatable; fine when nothing runs.
///
/// # Errors
/// As [`stop`].
pub fn end(folder: &Path, grace: Duration) -> Result<Option<Exit>> {
    if !folder.exists() {
        return Ok(None);
    }
    let until = Instant::now() + grace;
    let inner = Folder(folder.to_owned());
    let cared = inner.read::<Spec>(SPEC)?.is_some_and(|s| s.care.is_some());
    if cared && inspect(&inner)?.watched {
        let down = folder.join(DOWN);
        let how = End {
            grace_ms: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX),
        };
        serde_json::to_vec(&how)
            .map_err(std::io::Error::from)
            .and_then(|text| std::fs::write(&down, text))
            .map_err(|e| Error::io("write", &down, e))?;
        care::ring(&inner);
        match wait_ended(folder, grace + RECORD_PATIENCE) {
            Err(Error::GoesOn { .. } | Error::Stuck { .. }) => {}
            other => return other,
        }
    }
    let left = until.saturating_duration_since(Instant::now());
    stop(folder, Signal::Term, left)
}

/// All that is known of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whether it runs.
    pub state: State,
    /// How it is; `None` when it never had [`crate::Care`]. What is known of an
    /// earlier run is not said of this one.
    pub health: Option<Health>,
    /// It is not to be started again.
    pub down: bool,
}

/// Looks at all that is known of the process of a run folder.
///
/// # Errors
/// As [`look`].
pub fn report(folder: &Path) -> Result<Report> {
    let folder = Folder(folder.to_owned());
    let found = inspect(&folder)?;
    let mut health = folder.read::<Health>(HEALTH)?;
    if let Some(health) = &mut health
        && health.child != found.child
    {
        health.readiness = Readiness::Starting;
        health.why = None;
        health.stopping = false;
    }
    Ok(Report {
        state: found.state,
        health,
        down: folder.wanted_down(),
    })
}

/// What was found.
struct Found {
    state: State,
    /// A shim lives.
    watched: bool,
    /// The process, when it runs.
    child: Option<Identity>,
}

fn inspect(folder: &Folder) -> Result<Found> {
    let boot = boot_id().map_err(|e| Error::io("read", Path::new("/proc"), e))?;
    let until = Instant::now() + RECORD_PATIENCE;
    loop {
        let watched = folder.is_watched()?;
        let record = folder.record()?;
        let late = Instant::now() >= until;
        if let Some(found) = judge(record.as_ref(), watched, late, &boot) {
            return Ok(found);
        }
        if late {
            let shim = record.filter(|record| record.boot_id == boot && record.shim.lives());
            return Err(Error::Stuck {
                folder: folder.0.clone(),
                shim: shim.map(|record| record.shim.pid),
            });
        }
        std::thread::sleep(TICK);
    }
}

/// What the record means; `None` when the shim is just about to change it, which
/// is not waited for any more when it is `late`.
fn judge(record: Option<&Record>, watched: bool, late: bool, boot: &str) -> Option<Found> {
    let found = |state, child| {
        Some(Found {
            state,
            watched,
            child,
        })
    };
    let off = |exit| found(State::Off { exit }, None);
    // What is of another boot names processes that may be anybody's now.
    let Some(record) = record.filter(|record| record.boot_id == boot) else {
        return match record {
            // A shim has the lock, and has yet to say what it starts.
            _ if watched => None,
            Some(record) if record.child.is_none() => off(last_exit(record)),
            _ => off(None),
        };
    };
    let by_the_living = watched && record.shim.lives();
    match record.child {
        // Whether it becomes the program is open.
        Some(child) if child.lives() && by_the_living && record.pending && !late => None,
        Some(child) if child.lives() => {
            let since_ms = record.since_ms;
            let pid = child.pid;
            found(State::On { pid, since_ms }, Some(child))
        }
        // Another shim has the lock by now, and has yet to say what it starts.
        _ if watched && !by_the_living => None,
        // It has ended, and its shim has yet to say how.
        Some(_) if watched => None,
        // The shim died with it, or before it.
        Some(_) => off(None),
        None if watched && record.waits => {
            let exit = record.exit.clone();
            found(State::Waits { exit }, None)
        }
        // Not started yet; or, with an exit, at the end of the shim as well.
        None if watched && record.exit.is_none() => None,
        None => off(last_exit(record)),
    }
}

/// How the process ended for good: one that was to be started again, and is
/// not because its shim is gone, did not.
fn last_exit(record: &Record) -> Option<Exit> {
    record.exit.clone().filter(|_| !record.waits)
}

/// Lets only one start at a time.
fn starting(folder: &Folder, until: Instant) -> Result<File> {
    let file = folder.lock_file(START_LOCK)?;
    while !try_lock(&file, &folder.path(START_LOCK))? {
        if Instant::now() >= until {
            return Err(Error::Busy {
                folder: folder.0.clone(),
            });
        }
        std::thread::sleep(TICK);
    }
    Ok(file)
}

/// Kills a process that lost its shim.
fn kill_orphan(folder: &Folder, orphan: Identity) -> Result<()> {
    let Some(handle) = orphan.open() else {
        return Ok(());
    };
    match rustix::process::pidfd_send_signal(&handle, Signal::Kill.raw()) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(e) => return Err(Error::io("end the process of", &folder.0, e)),
    }
    if readable(&handle, RECORD_PATIENCE) {
        return Ok(());
    }
    Err(Error::GoesOn {
        folder: folder.0.clone(),
        pid: orphan.pid,
    })
}

/// Runs a shim and returns what it says.
fn run_shim(
    folder: &Folder,
    shim: &Shim,
    spec: &Spec,
    secrets: &BTreeMap<String, String>,
    until: Instant,
) -> Result<String> {
    let failed = |why: String| Error::NotStarted {
        program: spec.program.clone(),
        why,
    };
    let (reader, writer) =
        std::io::pipe().map_err(|e| failed(format!("no pipe can be made: {e}")))?;
    let mut command = Command::new(&shim.program);
    command
        .args(&shim.args)
        .arg(&folder.0)
        // Nothing of the caller's environment is of use to it, and secrets may
        // be in there.
        .env_clear()
        .env_remove(STAGE)
        .stdin(Stdio::null());
    let mut hand = None;
    if !secrets.is_empty() {
        let text = serde_json::to_vec(secrets).map_err(|e| failed(e.to_string()))?;
        if text.len() > SECRETS_MAX_BYTES {
            return Err(failed(format!(
                "the secrets of its environment are longer than {SECRETS_MAX_BYTES} bytes; put \
                 fewer there"
            )));
        }
        let (theirs, ours) =
            std::io::pipe().map_err(|e| failed(format!("no pipe can be made: {e}")))?;
        command.stdin(theirs).env(SECRETS, "1");
        hand = Some((ours, text));
    }
    let mut child = command
        .stdout(writer)
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| failed(format!("its shim {:?} cannot be run: {e}", shim.program)))?;
    // The copies of the ends that are the child's.
    drop(command);
    if let Some((mut ours, text)) = hand {
        // No longer than a pipe holds, so nobody is waited for; and one that
        // has ended says why, or nothing, below.
        let _ = ours.write_all(&text);
    }
    let answer = answer(reader, until);
    if answer.is_err() {
        // What does not answer is no shim, and must not stay.
        let _ = child.kill();
    }
    // The first link ends as soon as it has run the second.
    let status = child
        .wait()
        .map_err(|e| failed(format!("its shim is lost: {e}")))?;
    let answer = answer.map_err(|e| failed(format!("its shim is silent: {e}")))?;
    if answer.is_empty() {
        return Err(failed(format!(
            "its shim {:?} ended without a word ({status}); see whether that program is a shim",
            shim.program
        )));
    }
    Ok(answer)
}

/// All that comes through the pipe, until `until`.
fn answer(mut from: PipeReader, until: Instant) -> std::io::Result<String> {
    let mut said = Vec::new();
    loop {
        if !readable(&from, until.saturating_duration_since(Instant::now())) {
            return Err(ErrorKind::TimedOut.into());
        }
        let mut piece = [0_u8; 512];
        let count = from.read(&mut piece)?;
        said.extend_from_slice(piece.get(..count).unwrap_or_default());
        if count == 0 || said.len() as u64 > ANSWER_MAX_BYTES {
            return Ok(String::from_utf8_lossy(&said).trim().to_owned());
        }
    }
}

/// Whether something is to be read, or a process behind a handle has ended,
/// within `patience`.
fn readable(fd: &impl AsFd, patience: Duration) -> bool {
    let until = Instant::now() + patience;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        let mut polled = [PollFd::new(fd, PollFlags::IN)];
        match poll(&mut polled, Some(&timeout)) {
            Ok(count) => return count > 0,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}
