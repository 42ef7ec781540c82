//! What the work on this host is done with, and where its files are.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backout_core::ids::EngineId;
use backout_gateway::{Client, Host, Settings};
use backout_workloads::Workloads;

use crate::model::{Driver, Launch};

/// How long statements that run are waited for before their instance goes,
/// unless set otherwise, in milliseconds.
pub const DRAIN_MS: u32 = 60_000;

/// How long the old instance is kept, without work, beside a new one that has come
/// up, in milliseconds: what ends right after it came up ends within that, and
/// the old one takes statements again.
pub const SETTLE_MS: u32 = 1000;

/// How long an instance may take to end when it is asked to, in milliseconds: a
/// Java engine removes its folders then.
pub const GRACE_MS: u64 = 15_000;

/// The programs that come with this house, by their path among the assets.
const ASSETS: &[(&str, &str)] = &[
    (
        "duckdb/server.py",
        include_str!("../assets/duckdb/server.py"),
    ),
    ("ask/listens.py", include_str!("../assets/ask/listens.py")),
    (
        "ask/thrift_sql.py",
        include_str!("../assets/ask/thrift_sql.py"),
    ),
    ("ask/http_sql.py", include_str!("../assets/ask/http_sql.py")),
    (
        "ask/trino_sql.py",
        include_str!("../assets/ask/trino_sql.py"),
    ),
];

/// What the work on this host is done with.
///
/// | folder | what is in it |
/// |---|---|
/// | `gateways/<engine>/` | the process on an engine's endpoint |
/// | `data/<engine>/` | what an engine keeps; outlives its instances |
/// | `assets/` | programs that come with this house |
#[derive(Clone)]
pub struct Runtime {
    /// Where the files are.
    pub folder: PathBuf,
    /// What runs instances.
    pub processes: Arc<dyn Workloads>,
    /// How the processes on endpoints are run.
    pub gateways: Host,
    /// The address of endpoints.
    pub listen: IpAddr,
    /// How long statements that run are waited for, in milliseconds.
    pub drain_ms: u32,
    /// How long the old instance is kept beside one that has come up, in
    /// milliseconds.
    pub settle_ms: u32,
    /// How long an instance may take to end, in milliseconds.
    pub grace_ms: u64,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl Runtime {
    /// All in one folder, which is made, and with what is usual.
    ///
    /// # Errors
    /// That of the operating system.
    pub fn open(folder: &Path, processes: Arc<dyn Workloads>, gateways: Host) -> io::Result<Self> {
        let folder = std::path::absolute(folder)?;
        for (path, text) in ASSETS {
            put(&folder.join("assets").join(path), text)?;
        }
        Ok(Self {
            folder,
            processes,
            gateways,
            listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
            drain_ms: DRAIN_MS,
            settle_ms: SETTLE_MS,
            grace_ms: GRACE_MS,
        })
    }

    /// The programs that come with this house.
    #[must_use]
    pub fn assets(&self) -> PathBuf {
        self.folder.join("assets")
    }

    /// What an engine keeps.
    #[must_use]
    pub fn data(&self, id: &EngineId) -> PathBuf {
        self.folder.join("data").join(id.as_str())
    }

    /// The process on an engine's endpoint.
    ///
    /// # Errors
    /// [`backout_gateway::Error::Io`].
    pub fn gateway(&self, id: &EngineId) -> backout_gateway::Result<Client> {
        Client::new(&self.gateway_folder(id))
    }

    /// The folder of that process.
    #[must_use]
    pub fn gateway_folder(&self, id: &EngineId) -> PathBuf {
        self.folder.join("gateways").join(id.as_str())
    }

    /// How that process works for an engine that is spoken to like this.
    #[must_use]
    pub fn gateway_settings(&self, driver: Driver) -> Settings {
        Settings {
            threads: 1,
            // A statement may run for long without a byte on the wire.
            exchange_idle_ms: 86_400_000,
            carries: match driver.by_requests() {
                true => backout_gateway::Carries::Requests,
                false => backout_gateway::Carries::Connections,
            },
            ..Settings::default()
        }
    }
}

/// Writes a file whole or not at all, unless it is as it should be.
fn put(path: &Path, text: &str) -> io::Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)?;
    let part = path.with_extension(format!("part{}", std::process::id()));
    fs::write(&part, text)?;
    fs::rename(&part, path)
}

/// Memory that is free on this host, in bytes; none when it does not say.
#[must_use]
pub fn memory_free_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// What is missing on this host for an instance; none when nothing is known to
/// be.
#[must_use]
pub fn missing(launch: &Launch) -> Option<String> {
    // `env A=B PROGRAM ...` stands for the program.
    let mut words = launch.command.iter();
    let mut program = words.next()?;
    if Path::new(program).file_name().is_some_and(|n| n == "env") {
        program = words.find(|w| !w.contains('=') && !w.starts_with('-'))?;
    }
    // What has a mark is known when it runs only.
    if program.contains('{') || found(program) {
        return None;
    }
    Some(format!(
        "its program {program:?} is not on this host; install it, or correct the command of the version"
    ))
}

fn found(program: &str) -> bool {
    if program.contains('/') {
        return Path::new(program).is_file();
    }
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        .split(':')
        .any(|folder| Path::new(folder).join(program).is_file())
}
