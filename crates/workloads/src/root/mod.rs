//! What every driver keeps below its root folder.

pub(crate) mod lock;
mod logs;
pub(crate) mod ports;
mod watch;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use backout_core::fence::Fence;
use backout_shim::{Readiness, Report, State};
use rustix::fs::{FlockOperation, flock};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::driver::{PAGE_MAX, Watch};
use crate::error::{Error, Result};
use crate::model::{InstanceId, InstanceSpec, LogChunk, LogFrom, MountedFile, Phase};
use watch::FolderWatch;

/// The specification in the folder of an instance, and what it was given.
const INSTANCE: &str = "instance.json";

/// More than this is no file that was written here.
const FILE_MAX_BYTES: u64 = 4 << 20;

/// How long the lock of an instance that is gone keeps its fence: longer than a
/// worker that lost its lease can be stopped without anybody noticing.
const LOCK_KEEP: Duration = Duration::from_secs(7 * 24 * 3600);

/// The folders of the drivers' instances: they share locks and ports.
const KINDS: [&str; 2] = [PROCESSES, CONTAINERS];
pub(crate) const PROCESSES: &str = "instances";
pub(crate) const CONTAINERS: &str = "containers";

/// The root folder of a driver, as one driver sees it.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    path: PathBuf,
    kind: &'static str,
}

impl Root {
    /// Opens, or makes, a root folder.
    pub(crate) fn open(root: &Path, kind: &'static str) -> Result<Self> {
        // What runs there later runs in other folders than the caller.
        let root = std::path::absolute(root).map_err(|e| Error::io("find", root, e))?;
        for folder in ["", kind, "locks", "ports"] {
            make_folder(&root.join(folder))?;
        }
        let path = root
            .canonicalize()
            .map_err(|e| Error::io("find", &root, e))?;
        let root = Self { path, kind };
        root.sweep_locks()?;
        Ok(root)
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Tells this root folder from others on the host: 12 hexadecimal digits.
    pub(crate) fn mark(&self) -> String {
        let mut hash = hex::encode(Sha256::digest(self.path.as_os_str().as_bytes()));
        hash.truncate(12);
        hash
    }

    /// The folder of an instance.
    pub(crate) fn home(&self, id: &InstanceId) -> PathBuf {
        self.path.join(self.kind).join(id.as_str())
    }

    /// The run folder of its shim.
    pub(crate) fn run(&self, id: &InstanceId) -> PathBuf {
        run_folder(&self.home(id))
    }

    pub(crate) fn lock(&self, id: &InstanceId, fence: Fence) -> Result<lock::Guard> {
        lock::hold(&self.path.join("locks").join(id.as_str()), id, fence)
    }

    /// What was written down of an instance.
    pub(crate) fn kept<T: DeserializeOwned>(&self, id: &InstanceId) -> Result<Option<T>> {
        kept(&self.home(id))
    }

    /// Writes down what an instance was given. Under its lock.
    pub(crate) fn keep<T: Serialize>(&self, id: &InstanceId, kept: &T) -> Result<()> {
        write_json(&self.home(id), INSTANCE, kept)
    }

    pub(crate) fn report(&self, id: &InstanceId) -> Result<Report> {
        backout_shim::report(&self.run(id)).map_err(|e| of_shim(id, "look at", e))
    }

    pub(crate) fn list(&self, after: Option<&InstanceId>, limit: usize) -> Result<Vec<InstanceId>> {
        let folder = self.path.join(self.kind);
        let failed = |e| Error::io("list", &folder, e);
        let mut ids = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            // What is no id is not ours.
            let id = name
                .to_str()
                .and_then(|name| name.parse::<InstanceId>().ok());
            ids.extend(id.filter(|id| after.is_none_or(|after| id > after)));
        }
        ids.sort();
        ids.truncate(limit.min(PAGE_MAX));
        Ok(ids)
    }

    pub(crate) fn watch(&self, ids: &[InstanceId]) -> Box<dyn Watch> {
        let folders: Vec<PathBuf> = ids.iter().map(|id| self.run(id)).collect();
        let folders = folders.iter().map(PathBuf::as_path);
        Box::new(FolderWatch::new(folders))
    }

    pub(crate) fn logs(&self, spec: &InstanceSpec, from: LogFrom) -> Result<LogChunk> {
        let path = backout_shim::log_path(&self.run(&spec.id));
        logs::read(&path, spec.log.older_files, from)
    }

    /// Removes the folder of an instance with all in it.
    pub(crate) fn forget(&self, id: &InstanceId) -> Result<()> {
        let home = self.home(id);
        match std::fs::remove_dir_all(&home) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io("remove", &home, e)),
            _ => Ok(()),
        }
    }

    /// Removes locks of instances that are long gone.
    fn sweep_locks(&self) -> Result<()> {
        let folder = self.path.join("locks");
        let entries = std::fs::read_dir(&folder).map_err(|e| Error::io("list", &folder, e))?;
        for entry in entries.flatten() {
            let old = entry
                .metadata()
                .and_then(|facts| facts.modified())
                .is_ok_and(|at| {
                    SystemTime::now()
                        .duration_since(at)
                        .is_ok_and(|age| age > LOCK_KEEP)
                });
            let there = KINDS
                .iter()
                .any(|kind| self.path.join(kind).join(entry.file_name()).exists());
            if !old || there {
                continue;
            }
            // Not under the hands of somebody who just takes it.
            let path = entry.path();
            if let Ok(file) = File::open(&path)
                && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
            {
                let _ = std::fs::remove_file(&path);
            }
        }
        Ok(())
    }
}

/// The run folder in the folder of an instance.
pub(crate) fn run_folder(home: &Path) -> PathBuf {
    home.join("run")
}

/// What was written down in the folder of an instance.
pub(crate) fn kept<T: DeserializeOwned>(home: &Path) -> Result<Option<T>> {
    read_json(&home.join(INSTANCE))
}

/// Reads a file that was written here; `None` when it is not there.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let text = match path.metadata() {
        Ok(facts) if facts.len() > FILE_MAX_BYTES => Err(ErrorKind::FileTooLarge.into()),
        Ok(_) => std::fs::read(path),
        Err(e) => Err(e),
    };
    match text {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|e| Error::io("read", path, std::io::Error::from(e))),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(Error::io("read", path, e)),
    }
}

/// Writes a file, whole or not at all. One writer at a time.
pub(crate) fn write_json<T: Serialize>(folder: &Path, name: &str, value: &T) -> Result<()> {
    let path = folder.join(name);
    let failed = |e: std::io::Error| Error::io("write", &path, e);
    let text = serde_json::to_vec_pretty(value).map_err(|e| failed(e.into()))?;
    let tmp = folder.join(format!("{name}.tmp"));
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
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed)
}

pub(crate) fn make_folder(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|e| Error::io("create the folder", path, e))
}

/// Tells one specification from another. Secrets are left out: a file of their
/// hash would help to guess them.
pub(crate) fn digest(spec: &InstanceSpec) -> String {
    let text = serde_json::to_vec(spec).unwrap_or_default();
    hex::encode(Sha256::digest(text))
}

/// The specification as it is written down: what is in its files is left out.
pub(crate) fn without_contents(spec: &InstanceSpec) -> InstanceSpec {
    let files = spec.files.iter().map(|file| MountedFile {
        content: Vec::new(),
        ..file.clone()
    });
    InstanceSpec {
        files: files.collect(),
        ..spec.clone()
    }
}

pub(crate) fn phase(report: &Report) -> Phase {
    match &report.state {
        State::On { .. } => {
            let health = report.health.as_ref();
            if report.down || health.is_some_and(|h| h.stopping) {
                return Phase::Stopping;
            }
            match health.map(|h| h.readiness).unwrap_or_default() {
                Readiness::Starting => Phase::Starting,
                Readiness::Ready => Phase::Ready,
                Readiness::Unready => Phase::Unready,
            }
        }
        State::Waits { exit } => Phase::Waits { exit: exit.clone() },
        State::Off { exit } if report.down || exit.is_some() => Phase::Ended { exit: exit.clone() },
        State::Off { .. } => Phase::Lost,
    }
}

pub(crate) fn address(port: Option<u16>) -> Option<SocketAddr> {
    port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

pub(crate) fn of_shim(id: &InstanceId, op: &'static str, source: backout_shim::Error) -> Error {
    Error::Shim {
        id: id.clone(),
        op,
        source,
    }
}

pub(crate) fn runs_otherwise(id: &InstanceId) -> Error {
    Error::State {
        id: id.clone(),
        what: "start",
        why: "it runs with another specification; stop it first, or give the new one another name"
            .to_owned(),
    }
}
