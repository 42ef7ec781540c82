//! What an instance is, and what is known of it. All plain data.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use backout_shim::{Ask, Event, EventKind, Exit, Probe, Restart, Task, When};

use crate::error::{Error, Result};

/// The longest id of an instance: it is the name of a folder and of a control
/// group, and part of others.
const ID_MAX_BYTES: usize = 63;

/// The name of one instance: lower-case letters, digits and hyphens, at most 63.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceId(String);

impl InstanceId {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InstanceId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if text.is_empty()
            || text.len() > ID_MAX_BYTES
            || text.starts_with('-')
            || !text.bytes().all(fine)
        {
            return Err(Error::BadSpec {
                what: "the id of an instance",
                why: format!(
                    "{text:?} is not one: use 1 to {ID_MAX_BYTES} lower-case letters, digits and \
                     hyphens, and no hyphen first"
                ),
            });
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for InstanceId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<InstanceId> for String {
    fn from(id: InstanceId) -> Self {
        id.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a package holds, as the SHA-256 of its canonical form: 64 lower-case
/// hexadecimal digits. See [`crate::packages`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PackageHash(String);

impl PackageHash {
    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PackageHash {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fine = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 64 || !text.bytes().all(fine) {
            return Err(Error::BadSpec {
                what: "the hash of a package",
                why: format!("{text:?} is not 64 lower-case hexadecimal digits"),
            });
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for PackageHash {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<PackageHash> for String {
    fn from(hash: PackageHash) -> Self {
        hash.0
    }
}

impl fmt::Display for PackageHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Environment variables that are secret: in no file, log or `Debug` print, and
/// wiped when they are dropped. They are in the memory of the instance's shim,
/// which hands them to each new run, and in the environment of the process. Of
/// a container, the engine has them, and keeps them in its own files.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(pub BTreeMap<String, String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Drop for Secrets {
    fn drop(&mut self) {
        use zeroize::Zeroize as _;
        self.0.values_mut().for_each(String::zeroize);
    }
}

/// What an instance is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Source {
    /// Programs of the host; it runs in a folder of its own that is empty.
    #[default]
    Host,
    /// A package; it runs in the folder that it was unpacked to.
    Package {
        /// Which.
        hash: PackageHash,
    },
    /// A container image.
    Image {
        /// Its name, as the engine knows it.
        name: String,
    },
}

/// What became of [`crate::Workloads::fetch`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Whether it had to be brought; else it was there.
    pub fresh: bool,
    /// Of an image: its id, which stays when its name moves on to another. It
    /// is a name as well.
    pub id: Option<String>,
}

/// The port an instance is to listen on, told to it in `PORT`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "port", rename_all = "snake_case")]
pub enum PortWish {
    /// None.
    #[default]
    None,
    /// One that is free; the same again at each start, until it is removed.
    Free,
    /// This one.
    Fixed {
        /// Its number.
        number: u16,
    },
}

/// A file that the instance finds when it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountedFile {
    /// Where: `/etc/app/app.conf`. For a process this is below the folder that
    /// `BACKOUT_FILES` names, since it has no file system of its own; for a
    /// container it is there.
    pub path: String,
    /// What is in it.
    pub content: Vec<u8>,
    /// Whether it can be run.
    #[serde(default)]
    pub executable: bool,
}

/// How much an instance may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Processor time, in thousandths of one processor.
    pub cpu_millis: Option<u32>,
    /// Memory, in bytes; what needs more is killed.
    pub memory_bytes: Option<u64>,
    /// How many processes and threads.
    pub tasks: Option<u32>,
    /// Where they cannot be enforced: run without them, and say so in
    /// [`Status::limits`], instead of refusing to start.
    pub or_without: bool,
}

impl Limits {
    /// Whether anything is limited.
    #[must_use]
    pub const fn any(&self) -> bool {
        self.cpu_millis.is_some() || self.memory_bytes.is_some() || self.tasks.is_some()
    }
}

/// How much of what an instance writes to stdout and stderr is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLimits {
    /// Size at which a file is closed and the next one begun, in bytes; at
    /// least 64 KiB.
    pub file_max_bytes: u64,
    /// How many closed ones are kept, 1 to 100.
    pub older_files: u32,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self {
            // Together 20 MiB: some days of a chatty service, and 2 GiB for
            // a hundred instances.
            file_max_bytes: 4 << 20,
            older_files: 4,
        }
    }
}

/// One instance, as it is to run. It is never changed while it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceSpec {
    /// Its name.
    pub id: InstanceId,
    /// What it is made of.
    pub source: Source,
    /// The program and its arguments; see [`crate::split_command`]. A name
    /// without a slash is looked for in `PATH`, a relative path in the package.
    /// Empty only for an image that brings its own.
    pub command: Vec<String>,
    /// Its environment. Beside it, it gets `PORT`, `BACKOUT_INSTANCE`,
    /// `BACKOUT_FILES` and, where they are not set here, `PATH`, `HOME` and
    /// `TMPDIR`; nothing else is inherited.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// More of its environment, which must not lie around. Not serialised, and
    /// not compared with what runs already.
    #[serde(skip)]
    pub secrets: Secrets,
    /// The port it listens on.
    #[serde(default)]
    pub port: PortWish,
    /// Files that it finds.
    #[serde(default)]
    pub files: Vec<MountedFile>,
    /// How much it may take.
    #[serde(default)]
    pub limits: Limits,
    /// Asked again and again; when it fails, the instance is ended, and started
    /// anew as `restart` says. Works while Backout is dead. Port 0 stands for
    /// its own; others are ports of the container, where it is one.
    #[serde(default)]
    pub liveness: Option<Probe>,
    /// Asked again and again: whether it can serve. Without one it is ready as
    /// soon as it runs.
    #[serde(default)]
    pub readiness: Option<Probe>,
    /// Run beside it after each start; until it has succeeded the instance is
    /// not ready, and when it fails, the instance is ended.
    #[serde(default)]
    pub after_start: Option<Task>,
    /// Run beside it before it is asked to end; what it takes counts as grace.
    #[serde(default)]
    pub before_stop: Option<Task>,
    /// How long it may take to end when it is asked to, in milliseconds; then
    /// it is killed. Holds where nobody else says, as when liveness fails.
    #[serde(default = "grace_ms")]
    pub grace_ms: u64,
    /// How much of its output is kept.
    #[serde(default)]
    pub log: LogLimits,
    /// Whether it is started again when it ends, and after how long.
    #[serde(default)]
    pub restart: Restart,
}

/// The grace of a pod, where none is given.
const fn grace_ms() -> u64 {
    30_000
}

impl InstanceSpec {
    /// Runs `command` with programs of the host, and starts it again whenever
    /// it ends.
    #[must_use]
    pub fn new(id: InstanceId, command: Vec<String>) -> Self {
        Self {
            id,
            source: Source::Host,
            command,
            env: BTreeMap::new(),
            secrets: Secrets::default(),
            port: PortWish::None,
            files: Vec::new(),
            limits: Limits::default(),
            liveness: None,
            readiness: None,
            after_start: None,
            before_stop: None,
            grace_ms: grace_ms(),
            log: LogLimits::default(),
            restart: Restart {
                when: When::Always,
                ..Restart::default()
            },
        }
    }
}

/// What became of a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// Whether this call started it; else it ran already.
    pub fresh: bool,
    /// Where it listens, or is to.
    pub address: Option<SocketAddr>,
}

/// How an instance is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// It runs and was not ready yet.
    Starting,
    /// It can serve.
    Ready,
    /// It runs and was ready, but is not now.
    Unready,
    /// It ended, and is about to be started again.
    Waits {
        /// How it ended.
        exit: Option<Exit>,
    },
    /// It is being stopped.
    Stopping,
    /// It ended, or was stopped, and is not started again.
    Ended {
        /// How; `None` when it was killed with its shim.
        exit: Option<Exit>,
    },
    /// It should run but does not: the host was restarted, or its shim was
    /// killed and took it along. Start it again.
    Lost,
}

impl Phase {
    /// Whether its process is there.
    #[must_use]
    pub const fn runs(&self) -> bool {
        matches!(
            self,
            Self::Starting | Self::Ready | Self::Unready | Self::Stopping
        )
    }
}

/// Whether limits hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "limits", rename_all = "snake_case")]
pub enum Enforced {
    /// None were asked for.
    NotAsked,
    /// They hold.
    Yes,
    /// They do not.
    No {
        /// Why.
        why: String,
    },
}

/// What is known of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Its name.
    pub id: InstanceId,
    /// How it is.
    #[serde(flatten)]
    pub phase: Phase,
    /// What it is made of.
    pub source: Source,
    /// Its process; of a container the first one, as the host numbers it.
    pub pid: Option<u32>,
    /// Since when that runs, in milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// Where it listens, or is to.
    pub address: Option<SocketAddr>,
    /// How often it was started again since it was started.
    pub restarts: u64,
    /// Why it is not ready, where that is known.
    pub why: Option<String>,
    /// Whether its limits hold.
    pub limits: Enforced,
    /// What it takes now, in bytes; `None` where that is not counted.
    pub memory_bytes: Option<u64>,
    /// Processor time that its processes have taken, in milliseconds, the more
    /// the longer it runs; starts over when it is started anew. `None` where
    /// that is not counted.
    pub cpu_ms: Option<u64>,
    /// How often one of its processes was killed for want of memory.
    pub memory_kills: u64,
    /// What happened to it last, oldest first; at most
    /// [`backout_shim::EVENTS_MAX`].
    pub events: Vec<Event>,
}

/// Where to read a log from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFrom {
    /// The last so many lines.
    LastLines(usize),
    /// The last so many bytes.
    LastBytes(u64),
    /// Where an earlier [`LogChunk`] ended.
    After(LogPosition),
}

/// A place in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPosition {
    /// Which file: it stays the same when the file is moved aside.
    pub file: u64,
    /// How many bytes into it.
    pub offset: u64,
}

/// A piece of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogChunk {
    /// What was written; at most [`LogChunk::MAX_BYTES`].
    pub bytes: Vec<u8>,
    /// Where to go on; `None` when there is no log yet.
    pub end: Option<LogPosition>,
    /// Something between where it was to begin and where it begins is gone.
    pub gap: bool,
}

impl LogChunk {
    /// The most that is read at once, in bytes.
    pub const MAX_BYTES: usize = 1 << 20;
}

/// One thing a driver needs, or would use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at: `memory limits`.
    pub what: &'static str,
    /// Whether it is fine.
    pub fine: bool,
    /// How it is done here, or why not and what to do.
    pub text: String,
}
