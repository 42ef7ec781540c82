//! The files of a gateway's folder.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::{UnixListener, UnixStream};

use crate::error::{Error, Result};
use crate::model::{Desired, Settings};

/// What the gateway was told last.
const DESIRED: &str = "desired.json";
/// How it works.
const SETTINGS: &str = "settings.json";
/// Where it is told.
const SOCKET: &str = "control.sock";
/// Locked by the gateway while it lives.
const LOCK: &str = "lock";
/// The run folder of its shim.
pub(crate) const RUN: &str = "run";

/// More than this is no file that was written here: 1024 backends with the
/// longest ids take a quarter of a MiB.
const FILE_MAX_BYTES: u64 = 1 << 20;

/// The folder of a gateway: an absolute path.
#[derive(Clone, Debug)]
pub(crate) struct Folder(pub PathBuf);

impl Folder {
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    /// Makes it, and what is above it. Who reaches the socket decides where
    /// requests go, so it is for its owner alone.
    pub(crate) fn make(&self) -> Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .map_err(|e| Error::io("create the folder", &self.0, e))
    }

    /// Holds the folder for as long as the file is open.
    pub(crate) fn lock(&self) -> Result<File> {
        let path = self.path(LOCK);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(&path)
            .map_err(|e| Error::io("open", &path, e))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(file),
            Err(Errno::WOULDBLOCK) => Err(Error::Taken {
                dir: self.0.clone(),
            }),
            Err(e) => Err(Error::io("lock", &path, e)),
        }
    }

    /// What the gateway was told last; nothing when it never was.
    pub(crate) fn desired(&self) -> Result<Desired> {
        let desired: Desired = self.read(DESIRED)?.unwrap_or_default();
        desired.check()?;
        Ok(desired)
    }

    pub(crate) fn write_desired(&self, desired: &Desired) -> Result<()> {
        self.write(DESIRED, desired)
    }

    pub(crate) fn settings(&self) -> Result<Settings> {
        let settings: Settings = self.read(SETTINGS)?.unwrap_or_default();
        settings.check()?;
        Ok(settings)
    }

    pub(crate) fn write_settings(&self, settings: &Settings) -> Result<()> {
        self.write(SETTINGS, settings)
    }

    /// Reads a JSON file; `None` when it is not there.
    fn read<T: DeserializeOwned>(&self, file: &str) -> Result<Option<T>> {
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
                    why: format!("{e}: remove it, and tell the gateway again what to do"),
                }),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("read", &path, e)),
        }
    }

    /// Writes a JSON file, whole or not at all.
    fn write<T: Serialize>(&self, file: &str, value: &T) -> Result<()> {
        let path = self.path(file);
        let failed = |e: io::Error| Error::io("write", &path, e);
        let text = serde_json::to_vec_pretty(value).map_err(|e| failed(e.into()))?;
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

    /// Listens on the control socket. Only for the holder of the lock: what is
    /// there is of a predecessor.
    pub(crate) fn listen(&self) -> Result<UnixListener> {
        let path = self.path(SOCKET);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                return Err(Error::io("remove", &path, e));
            }
            _ => {}
        }
        self.short(|path| {
            let listener = UnixListener::bind(path)?;
            // By itself it goes by the umask; the folder keeps others out until
            // this is done.
            rustix::fs::chmod(path, Mode::RUSR | Mode::WUSR)?;
            Ok(listener)
        })
        .map_err(|e| Error::io("listen on", &path, e))
    }

    /// Connects to the control socket.
    pub(crate) async fn connect(&self) -> io::Result<UnixStream> {
        // Connecting to a unix socket is done at once or fails.
        let stream = self.short(|path| std::os::unix::net::UnixStream::connect(path))?;
        stream.set_nonblocking(true)?;
        UnixStream::from_std(stream)
    }

    /// Does something with the path of the socket, by a name that is short
    /// enough for the kernel (108 bytes) wherever the folder is.
    fn short<T>(&self, act: impl FnOnce(&str) -> io::Result<T>) -> io::Result<T> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(&self.0, flags, Mode::empty())?;
        act(&format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()))
    }
}
