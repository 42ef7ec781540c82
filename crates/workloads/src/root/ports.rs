//! Which instance has which port.

use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::error::{Error, Result};
use crate::model::{InstanceId, PortWish};
use crate::root::lock;

/// A folder with one file for each port that was given out, named after it,
/// with the id of the instance in it.
#[derive(Clone, Debug)]
pub(crate) struct Ports {
    folder: PathBuf,
    range: RangeInclusive<u16>,
}

impl Ports {
    pub(crate) fn new(folder: PathBuf, range: RangeInclusive<u16>) -> Self {
        Self { folder, range }
    }

    /// Gives an instance that does not run its port; `had` is the one that it
    /// had before, which it gets again unless somebody else listens there now.
    pub(crate) fn give(
        &self,
        id: &InstanceId,
        wish: PortWish,
        had: Option<u16>,
    ) -> Result<Option<u16>> {
        let _lock = self.lock()?;
        let refused = |why: String| Error::NoPort {
            id: id.clone(),
            why,
        };
        let wanted = match wish {
            PortWish::None => None,
            PortWish::Fixed { number } => {
                match self.owner(number)? {
                    Some(other) if other != id.as_str() => {
                        return Err(refused(format!("{number} is that of instance {other}")));
                    }
                    _ => {}
                }
                if !is_free(number) {
                    return Err(refused(format!("another program listens on {number}")));
                }
                Some(number)
            }
            PortWish::Free => {
                let had = had.filter(|port| self.range.contains(port));
                Some(self.find(id, had)?.ok_or_else(|| {
                    refused(format!(
                        "none from {} to {} is free; give the driver a wider range, or remove \
                         instances that are not needed",
                        self.range.start(),
                        self.range.end()
                    ))
                })?)
            }
        };
        // The new one first: after a crash between the two, the other is freed
        // with the instance.
        if let Some(port) = wanted {
            let path = self.file(port);
            std::fs::write(&path, id.as_str()).map_err(|e| Error::io("write", &path, e))?;
        }
        if let Some(had) = had.filter(|had| Some(*had) != wanted) {
            self.free_one(id, had)?;
        }
        Ok(wanted)
    }

    /// Takes back all ports of an instance.
    pub(crate) fn free(&self, id: &InstanceId) -> Result<()> {
        let _lock = self.lock()?;
        let entries =
            std::fs::read_dir(&self.folder).map_err(|e| Error::io("list", &self.folder, e))?;
        for entry in entries.flatten() {
            let name = entry.file_name();
            if let Some(port) = name.to_str().and_then(|name| name.parse().ok()) {
                self.free_one(id, port)?;
            }
        }
        Ok(())
    }

    fn free_one(&self, id: &InstanceId, port: u16) -> Result<()> {
        if self.owner(port)?.as_deref() != Some(id.as_str()) {
            return Ok(());
        }
        let path = self.file(port);
        std::fs::remove_file(&path).map_err(|e| Error::io("remove", &path, e))
    }

    /// Begins somewhere that depends on the instance and the folder, so that
    /// several drivers on a host seldom meet.
    fn find(&self, id: &InstanceId, had: Option<u16>) -> Result<Option<u16>> {
        let mut hasher = DefaultHasher::new();
        (&self.folder, id).hash(&mut hasher);
        let count = u64::from(self.range.end().saturating_sub(*self.range.start())) + 1;
        let first = usize::try_from(hasher.finish() % count).unwrap_or(0);
        let all = self.range.clone();
        let turned = all.clone().skip(first).chain(all.take(first));
        for port in had.into_iter().chain(turned) {
            let ours = match self.owner(port)? {
                None => true,
                Some(owner) => owner == id.as_str(),
            };
            if ours && is_free(port) {
                return Ok(Some(port));
            }
        }
        Ok(None)
    }

    fn owner(&self, port: u16) -> Result<Option<String>> {
        let path = self.file(port);
        match std::fs::read_to_string(&path) {
            Ok(id) => Ok(Some(id)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("read", &path, e)),
        }
    }

    fn file(&self, port: u16) -> PathBuf {
        self.folder.join(port.to_string())
    }

    fn lock(&self) -> Result<File> {
        let path: &Path = &self.folder;
        std::fs::create_dir_all(path).map_err(|e| Error::io("create", path, e))?;
        let path = self.folder.join("lock");
        let file = lock::open(&path)?;
        // Held for as long as a few files take.
        flock(&file, FlockOperation::LockExclusive).map_err(|e| Error::io("lock", &path, e))?;
        Ok(file)
    }
}

/// Whether nobody listens there, on any address.
fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}
