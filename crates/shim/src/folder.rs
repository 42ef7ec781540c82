//! The files of a run folder.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::identity::Identity;

pub(crate) const SPEC: &str = "spec.json";
pub(crate) const STATE: &str = "state.json";
pub(crate) const LOCK: &str = "lock";
pub(crate) const START_LOCK: &str = "start.lock";
pub(crate) const LOG: &str = "log";
pub(crate) const DOWN: &str = "down";
pub(crate) const HEALTH: &str = "health.json";
pub(crate) const BELL: &str = "bell";

/// More than this is no file that was written here: a command line cannot be
/// longer than 2 MiB (`ARG_MAX`).
const FILE_MAX_BYTES: u64 = 4 << 20;

/// What to run, and how to keep it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The program: an absolute path.
    pub program: PathBuf,
    /// Its arguments, without its own name.
    pub args: Vec<String>,
    /// Its whole environment: nothing is inherited.
    pub env: BTreeMap<String, String>,
    /// Where it runs; `None` is the run folder itself.
    pub cwd: Option<PathBuf>,
    /// Size at which `log` becomes `log.1`, in bytes: the two together take at
    /// most twice as much.
    pub log_max_bytes: u64,
    /// How many older files of the log are kept: `log.1` is the newest.
    #[serde(default = "log_older")]
    pub log_older: u32,
    /// What to do when it ends.
    pub restart: Restart,
    /// The files `cgroup.procs` of its control groups, which it joins before it
    /// becomes the program. When one refuses, it does not run. Where there is
    /// care, what is left in them is killed when it ends; so nothing else may be
    /// in there.
    #[serde(default)]
    pub join: Vec<PathBuf>,
    /// What the shim does beside it while it runs; `None` is nothing.
    #[serde(default)]
    pub care: Option<Care>,
}

const fn log_older() -> u32 {
    1
}

impl Spec {
    /// Two such files hold a few days of a chatty service, and fit everywhere.
    pub const LOG_MAX_BYTES: u64 = 4 << 20;

    /// Runs `program` once, in its run folder, with nothing in its environment.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>, args: Vec<String>) -> Self {
        Self {
            program: program.into(),
            args,
            env: BTreeMap::new(),
            cwd: None,
            log_max_bytes: Self::LOG_MAX_BYTES,
            log_older: log_older(),
            restart: Restart::default(),
            join: Vec::new(),
            care: None,
        }
    }
}

/// What a shim does for a process beside keeping its log: asks how it is, runs
/// small programs at its start and its end, and ends what it leaves behind.
/// [`crate::health`] tells what came of that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Care {
    /// Asked while it runs: when it fails, the process is ended, as one that
    /// failed.
    pub liveness: Option<Probe>,
    /// Asked while it runs: whether it can serve.
    pub readiness: Option<Probe>,
    /// Run when it has started, before anything is asked. When that fails, the
    /// process is ended.
    pub after_start: Option<Task>,
    /// Run before the process is asked to end by [`crate::end`] or because a
    /// probe failed.
    pub before_stop: Option<Task>,
    /// Run after each end of the process, however that came: ends what the
    /// process leaves elsewhere. Takes [`crate::AFTER_END_MAX_MS`] at most.
    #[serde(default)]
    pub after_end: Option<Task>,
    /// A file with the IP address at which its ports are asked, for a process
    /// that serves elsewhere; `None` is the loopback interface. Read anew for
    /// each question.
    #[serde(default)]
    pub address: Option<PathBuf>,
    /// How long ending it takes, in milliseconds, when a probe failed:
    /// `before_stop`, and the process itself.
    pub grace_ms: u64,
}

/// A question that is asked again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The question.
    pub ask: Ask,
    /// How long to wait before the first one, in milliseconds.
    pub delay_ms: u64,
    /// From one to the next, in milliseconds; at least 10.
    pub period_ms: u64,
    /// How long an answer may take, in milliseconds; at least 1.
    pub timeout_ms: u64,
    /// So many in a row must go wrong to count as failed; at least 1.
    pub failures: u32,
    /// So many in a row must go well to count as well again; at least 1.
    pub successes: u32,
}

impl Probe {
    /// Asks as a kubelet does: every 10 s, for 1 s, and three failures count.
    #[must_use]
    pub const fn new(ask: Ask) -> Self {
        Self {
            ask,
            delay_ms: 0,
            period_ms: 10_000,
            timeout_ms: 1000,
            failures: 3,
            successes: 1,
        }
    }
}

/// What is asked of a process. Ports are those of the loopback interface, unless
/// [`Care::address`] says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Ask {
    /// `GET path` over HTTP/1.1: any status from 200 to 399 is well.
    Http {
        /// The port.
        port: u16,
        /// Path and query.
        path: String,
        /// More header lines, names and values.
        #[serde(default)]
        headers: BTreeMap<String, String>,
    },
    /// Whether it takes a connection.
    Tcp {
        /// The port.
        port: u16,
    },
    /// Runs a program as the process runs: exit code 0 is well.
    Exec {
        /// The program, an absolute path, and its arguments.
        argv: Vec<String>,
    },
}

/// A small program that is run beside the process, as that is run; what it
/// writes goes to the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The program, an absolute path, and its arguments.
    pub argv: Vec<String>,
    /// When it is killed, in milliseconds.
    pub timeout_ms: u64,
}

/// What to do when the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// When to start it again.
    pub when: When,
    /// How long to wait before the first time, in milliseconds. Each further
    /// wait is twice as long; it starts over when the process ran for longer
    /// than the longest.
    pub wait_ms: u64,
    /// The longest wait, in milliseconds.
    pub wait_max_ms: u64,
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            when: When::Never,
            wait_ms: 500,
            wait_max_ms: 30_000,
        }
    }
}

/// When a process is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// It runs once.
    Never,
    /// Unless it ended with code 0.
    Failed,
    /// However it ended.
    Always,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Exit {
    /// By itself.
    Code {
        /// Its exit code.
        code: i32,
    },
    /// By a signal.
    Signal {
        /// Its number.
        signal: i32,
    },
    /// It could not even start.
    NotStarted {
        /// Why.
        why: String,
    },
}

/// What the shim knows, on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The boot that the identities are of.
    pub boot_id: String,
    pub shim: Identity,
    /// The process, while it runs.
    pub child: Option<Identity>,
    /// When the process started, in milliseconds since 1970.
    pub since_ms: u64,
    /// How the last one ended.
    pub exit: Option<Exit>,
    /// The shim waits to start it again.
    pub waits: bool,
    /// The process is not the program yet, and only becomes it while whoever
    /// started the shim is there.
    #[serde(default)]
    pub pending: bool,
}

/// What stands in `down` when the shim is to end the process: an empty one only
/// keeps it from being started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    pub grace_ms: u64,
}

/// A run folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder(pub PathBuf);

impl Folder {
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    /// Makes it, and what is above it. What runs can be told from the command
    /// line in it, so it is for its owner alone.
    pub(crate) fn make(&self) -> Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .map_err(|e| Error::io("create the folder", &self.0, e))
    }

    pub(crate) fn record(&self) -> Result<Option<Record>> {
        self.read(STATE)
    }

    /// Reads a JSON file; `None` when it is not there.
    pub(crate) fn read<T: DeserializeOwned>(&self, file: &str) -> Result<Option<T>> {
        let path = self.path(file);
        let text = match std::fs::metadata(&path) {
            Ok(facts) if facts.len() > FILE_MAX_BYTES => Err(ErrorKind::FileTooLarge.into()),
            Ok(_) => std::fs::read(&path),
            Err(e) => Err(e),
        };
        match text {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|e| Error::Malformed {
                    path,
                    why: format!("{e}: remove the run folder when nothing of it runs"),
                }),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Ok(None)
            }
            Err(e) => Err(Error::io("read", &path, e)),
        }
    }

    /// Writes a JSON file, whole or not at all.
    pub(crate) fn write<T: Serialize>(&self, file: &str, value: &T) -> Result<()> {
        let path = self.path(file);
        let failed = |e: std::io::Error| Error::io("write", &path, e);
        let text = serde_json::to_vec_pretty(value).map_err(|e| failed(e.into()))?;
        // One writer for each file at a time: the holder of a lock.
        let tmp = self.path(&format!("{file}.tmp"));
        let mut out = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&tmp)
            .map_err(failed)?;
        out.write_all(&text).map_err(failed)?;
        out.sync_all().map_err(failed)?;
        std::fs::rename(&tmp, &path).map_err(failed)?;
        File::open(&self.0)
            .and_then(|folder| folder.sync_all())
            .map_err(failed)
    }

    /// Opens a lock file, making it when it is not there.
    pub(crate) fn lock_file(&self, file: &str) -> Result<File> {
        let path = self.path(file);
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(&path)
            .map_err(|e| Error::io("open", &path, e))
    }

    /// Whether a shim holds the lock.
    pub(crate) fn is_watched(&self) -> Result<bool> {
        let path = self.path(LOCK);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(false);
            }
            Err(e) => return Err(Error::io("open", &path, e)),
        };
        // Shared, so that two who look do not take each other for a shim.
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(Errno::WOULDBLOCK) => Ok(true),
            Err(e) => Err(Error::io("look at the lock", &path, e)),
        }
    }

    pub(crate) fn wanted_down(&self) -> bool {
        self.path(DOWN).exists()
    }

    /// How the shim is to end the process; `None` when it is not to.
    pub(crate) fn asked_to_end(&self) -> Option<End> {
        self.read(DOWN).ok().flatten()
    }
}

/// Tries to lock `file` exclusively.
pub(crate) fn try_lock(file: &File, path: &Path) -> Result<bool> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(false),
        Err(e) => Err(Error::io("lock", path, e)),
    }
}
