//! What releases are made of, kept by what is in it.
//!
//! A package is a folder of files, however it came: as a folder, an archive or a
//! single file, by path or by URL. Its hash is the SHA-256 of its canonical form
//! (see [`tree`]), so the same content has the same hash, whenever and by
//! whatever means it was packed. It is kept when the source is gone.
//!
//! | place | what it is |
//! |---|---|
//! | `blobs/<hash>.tar.zst` | the package, to unpack from |
//! | `trees/<hash>/` | unpacked, read-only: instances run in it |
//! | `trees/<hash>.stamp` | how the files of that looked when they were known to be right |
//! | `staging/<name>/` | what is just being made |
//! | `staging.lock` | held shared by who makes something there, alone by who sweeps it |
//! | `lock` | held shared by who uses packages, alone by who removes some |
//!
//! A blob and a tree get their names when they are whole and on disk. What a
//! crash leaves in `staging` is swept.

mod archive;
mod fetch;
mod tree;

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};

use crate::error::{Error, Result};
use crate::model::PackageHash;
use archive::Unpacker;

/// The most hashes in one page of [`Packages::list`].
pub const PAGE_MAX: usize = 500;

const LOCK: &str = "lock";

/// What a package may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackageLimits {
    /// As it comes, in bytes.
    pub packed_bytes: u64,
    /// Unpacked, in bytes.
    pub unpacked_bytes: u64,
    /// Files, folders and links.
    pub entries: u64,
}

impl Default for PackageLimits {
    fn default() -> Self {
        Self {
            // The largest that the usual registries of packages take.
            packed_bytes: 2 << 30,
            unpacked_bytes: 8 << 30,
            // A large tree of dependencies of a script language.
            entries: 200_000,
        }
    }
}

/// Where a package comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file or folder of this host.
    Path(PathBuf),
    /// `http://` or `https://`.
    Url(String),
}

/// What to make of a single file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// What its content says: archives are unpacked, all else is kept; `.jar`
    /// and `.war` are run as they are, and kept.
    #[default]
    Auto,
    /// It is an archive: unpack it, or refuse it.
    Archive,
    /// Keep it as it is, under its name and executable.
    File,
}

/// A package that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// What it is known by.
    pub hash: PackageHash,
    /// The size of its files together, in bytes.
    pub bytes: u64,
    /// How many files, folders and links.
    pub entries: u64,
    /// Its only file, where it has only one.
    pub only_file: Option<String>,
}

/// A store of packages.
#[derive(Clone, Debug)]
pub struct Packages {
    folder: PathBuf,
    limits: PackageLimits,
}

/// A folder in which something is made, and which nobody sweeps meanwhile.
struct Staging {
    folder: tempfile::TempDir,
    _lock: File,
}

impl Staging {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Packages {
    /// Opens, or makes, a store.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(folder: PathBuf, limits: PackageLimits) -> Result<Self> {
        for part in ["blobs", "trees", "staging"] {
            let path = folder.join(part);
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&path)
                .map_err(|e| Error::io("create the folder", &path, e))?;
        }
        let store = Self { folder, limits };
        store.sweep_staging()?;
        Ok(store)
    }

    /// Takes a package in. One that is kept already is only found again.
    ///
    /// # Errors
    /// [`Error::PackageUnreachable`]; [`Error::PackageRefused`] when it is not
    /// safe to unpack, no package, or larger than the limits; [`Error::Io`].
    pub fn put(&self, origin: &Origin, form: Form) -> Result<Package> {
        let staging = self.staging()?;
        let tree = staging.path("tree");
        let (path, name) = match origin {
            Origin::Path(path) => (path.clone(), path.file_name().map(ToOwned::to_owned)),
            Origin::Url(url) => {
                let to = staging.path("fetched");
                let name = fetch::fetch(url, &to, self.limits.packed_bytes)?;
                (to, Some(name.into()))
            }
        };
        let from = match origin {
            Origin::Path(path) => path.display().to_string(),
            Origin::Url(url) => fetch::without_secrets(url),
        };
        let mut unpacker = Unpacker::new(&tree, self.limits, from.clone())?;
        let unreachable = |e: std::io::Error| Error::PackageUnreachable {
            from: from.clone(),
            why: e.to_string(),
        };
        let facts = path.metadata().map_err(unreachable)?;
        if facts.is_dir() {
            unpacker.folder(&path)?;
        } else if !facts.is_file() {
            return Err(unpacker.refused("it is neither a file nor a folder"));
        } else if facts.len() > self.limits.packed_bytes {
            let why = format!("it is larger than {} bytes", self.limits.packed_bytes);
            return Err(unpacker.refused(&why));
        } else {
            let name = name.unwrap_or_default();
            unpacker.file_or_archive(&path, &name, form)?;
        }
        unpacker.finish()?;
        let package = tree::survey(&tree)?;
        if package.entries == 0 {
            return Err(unpacker.refused("nothing is in it"));
        }
        self.keep(&staging, &tree, &package)?;
        Ok(package)
    }

    /// Whether a package is kept.
    #[must_use]
    pub fn has(&self, hash: &PackageHash) -> bool {
        self.blob(hash).exists()
    }

    /// The folder of a package, unpacked and looked through for changes; made
    /// again from what is kept when there are any.
    ///
    /// # Errors
    /// [`Error::NoPackage`], [`Error::Io`].
    pub fn unpacked(&self, hash: &PackageHash) -> Result<PathBuf> {
        let _lock = self.shared()?;
        let tree = self.tree(hash);
        if tree.exists() {
            if self.looks_right(hash)? {
                return Ok(tree);
            }
            if tree::survey(&tree).is_ok_and(|found| found.hash == *hash) {
                // Restored from a backup, say.
                self.stamp(hash)?;
                return Ok(tree);
            }
        }
        let staging = self.staging()?;
        let fresh = self.unpack(&staging, hash)?;
        // Another may have mended it meanwhile.
        if tree.exists() && !self.looks_right(hash)? {
            // What runs in there goes on.
            match std::fs::rename(&tree, staging.path("damaged")) {
                Err(e) if e.kind() != ErrorKind::NotFound => {
                    return Err(Error::io("move", &tree, e));
                }
                _ => {}
            }
        }
        self.place(&fresh, hash)?;
        Ok(tree)
    }

    /// Reads a kept package to its end, and compares all with its hash.
    ///
    /// # Errors
    /// [`Error::NoPackage`] when it is missing or damaged, [`Error::Io`].
    pub fn verify(&self, hash: &PackageHash) -> Result<()> {
        let _lock = self.shared()?;
        let staging = self.staging()?;
        self.unpack(&staging, hash).map(drop)
    }

    /// The packages after `after`; at most [`PAGE_MAX`], and no more than
    /// `limit`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn list(&self, after: Option<&PackageHash>, limit: usize) -> Result<Vec<PackageHash>> {
        let mut all = self.all()?;
        all.retain(|(hash, _)| after.is_none_or(|after| hash > after));
        all.sort();
        all.truncate(limit.min(PAGE_MAX));
        Ok(all.into_iter().map(|(hash, _)| hash).collect())
    }

    /// Removes packages that are not in use and were put longer than `unused`
    /// ago; returns them. Whoever puts a package writes down that it is in use
    /// within that time.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn retain(
        &self,
        in_use: &BTreeSet<PackageHash>,
        unused: Duration,
    ) -> Result<Vec<PackageHash>> {
        let lock = self.lock_file(LOCK)?;
        flock(&lock, FlockOperation::LockExclusive)
            .map_err(|e| Error::io("lock", &self.folder, e))?;
        let mut removed = Vec::new();
        for (hash, put) in self.all()? {
            let old = SystemTime::now()
                .duration_since(put)
                .is_ok_and(|age| age >= unused);
            if !old || in_use.contains(&hash) {
                continue;
            }
            // The blob first: without it, it is not kept.
            let blob = self.blob(&hash);
            std::fs::remove_file(&blob).map_err(|e| Error::io("remove", &blob, e))?;
            self.remove_tree(&hash)?;
            removed.push(hash);
        }
        // Trees of which a crash has left no blob.
        let trees = self.folder.join("trees");
        let entries = std::fs::read_dir(&trees).map_err(|e| Error::io("list", &trees, e))?;
        for entry in entries.flatten() {
            let name = entry.file_name();
            let hash = name.to_str().and_then(|n| n.parse::<PackageHash>().ok());
            if let Some(hash) = hash.filter(|hash| !self.has(hash) && !in_use.contains(hash)) {
                self.remove_tree(&hash)?;
            }
        }
        drop(lock);
        self.sweep_staging()?;
        Ok(removed)
    }

    fn all(&self) -> Result<Vec<(PackageHash, SystemTime)>> {
        let folder = self.folder.join("blobs");
        let failed = |e| Error::io("list", &folder, e);
        let mut all = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let hash = name.to_str().and_then(|n| n.strip_suffix(".tar.zst"));
            if let Some(hash) = hash.and_then(|hash| hash.parse().ok()) {
                let put = entry.metadata().and_then(|facts| facts.modified());
                all.push((hash, put.map_err(failed)?));
            }
        }
        Ok(all)
    }

    fn blob(&self, hash: &PackageHash) -> PathBuf {
        self.folder.join("blobs").join(format!("{hash}.tar.zst"))
    }

    fn tree(&self, hash: &PackageHash) -> PathBuf {
        self.folder.join("trees").join(hash.as_str())
    }

    fn stamp_file(&self, hash: &PackageHash) -> PathBuf {
        self.folder.join("trees").join(format!("{hash}.stamp"))
    }

    /// Keeps what lies in `tree`.
    fn keep(&self, staging: &Staging, tree: &Path, package: &Package) -> Result<()> {
        let _lock = self.shared()?;
        let blob = self.blob(&package.hash);
        if blob.exists() {
            // Put again: it counts from now.
            File::options()
                .append(true)
                .open(&blob)
                .and_then(|file| file.set_modified(SystemTime::now()))
                .map_err(|e| Error::io("touch", &blob, e))?;
        } else {
            let made = staging.path("blob");
            tree::pack(tree, &made)?;
            std::fs::rename(&made, &blob).map_err(|e| Error::io("write", &blob, e))?;
            sync_folder(&self.folder.join("blobs"))?;
        }
        if !self.tree(&package.hash).exists() {
            self.place(tree, &package.hash)?;
        }
        Ok(())
    }

    /// Unpacks a kept package into `staging`, and looks whether it is whole.
    fn unpack(&self, staging: &Staging, hash: &PackageHash) -> Result<PathBuf> {
        let missing = |why: String| Error::NoPackage {
            hash: hash.clone(),
            why,
        };
        let blob = self.blob(hash);
        if !blob.exists() {
            return Err(missing(
                "none like it is kept here; deploy it again from its source".to_owned(),
            ));
        }
        let damaged = |why: &dyn std::fmt::Display| {
            missing(format!(
                "what is kept of it is damaged ({why}); look after the disk, then deploy it \
                 again from its source"
            ))
        };
        let tree = staging.path("tree");
        let limits = PackageLimits {
            packed_bytes: u64::MAX,
            ..self.limits
        };
        let mut unpacker = Unpacker::new(&tree, limits, hash.to_string())?;
        let done = unpacker
            .file_or_archive(&blob, "package.tar.zst".as_ref(), Form::Archive)
            .and_then(|()| unpacker.finish());
        match done {
            Ok(()) => {}
            Err(e @ Error::Io { .. }) => return Err(e),
            Err(e) => return Err(damaged(&e)),
        }
        let found = tree::survey(&tree)?;
        if found.hash != *hash {
            return Err(damaged(&format!("its hash is {}", found.hash)));
        }
        Ok(tree)
    }

    /// Gives a whole tree its place. Another that made the same at the same time
    /// may be there first.
    fn place(&self, tree: &Path, hash: &PackageHash) -> Result<()> {
        tree::seal(tree)?;
        let file = File::open(tree).map_err(|e| Error::io("open", tree, e))?;
        rustix::fs::syncfs(&file).map_err(|e| Error::io("write", tree, e))?;
        let place = self.tree(hash);
        match std::fs::rename(tree, &place) {
            Ok(()) => {}
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists
                ) =>
            {
                return Ok(());
            }
            Err(e) => return Err(Error::io("write", &place, e)),
        }
        sync_folder(&self.folder.join("trees"))?;
        self.stamp(hash)
    }

    fn stamp(&self, hash: &PackageHash) -> Result<()> {
        let stamp = tree::stamp(&self.tree(hash))?;
        let path = self.stamp_file(hash);
        let failed = |e: std::io::Error| Error::io("write", &path, e);
        // Several may write the same at once.
        let staging = self.staging()?;
        let tmp = staging.path("stamp");
        std::fs::write(&tmp, stamp).map_err(failed)?;
        std::fs::rename(&tmp, &path).map_err(failed)
    }

    /// Whether nothing of a tree was touched since it was known to be right.
    fn looks_right(&self, hash: &PackageHash) -> Result<bool> {
        let Ok(stamp) = std::fs::read_to_string(self.stamp_file(hash)) else {
            return Ok(false);
        };
        Ok(tree::stamp(&self.tree(hash))? == stamp)
    }

    fn remove_tree(&self, hash: &PackageHash) -> Result<()> {
        let tree = self.tree(hash);
        if tree.exists() {
            // Aside first, so that it is never found half removed.
            let staging = self.staging()?;
            let aside = staging.path("removed");
            std::fs::rename(&tree, &aside).map_err(|e| Error::io("remove", &tree, e))?;
            tree::unseal(&aside)?;
        }
        match std::fs::remove_file(self.stamp_file(hash)) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                Err(Error::io("remove", &self.stamp_file(hash), e))
            }
            _ => Ok(()),
        }
    }

    fn lock_file(&self, name: &str) -> Result<File> {
        let path = self.folder.join(name);
        File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| Error::io("open", &path, e))
    }

    /// Keeps packages from being removed.
    fn shared(&self) -> Result<File> {
        let file = self.lock_file(LOCK)?;
        flock(&file, FlockOperation::LockShared).map_err(|e| Error::io("lock", &self.folder, e))?;
        Ok(file)
    }

    fn staging(&self) -> Result<Staging> {
        let folder = self.folder.join("staging");
        let lock = self.lock_file("staging.lock")?;
        flock(&lock, FlockOperation::LockShared).map_err(|e| Error::io("lock", &folder, e))?;
        let made = tempfile::Builder::new()
            .prefix("new-")
            .tempdir_in(&folder)
            .map_err(|e| Error::io("create a folder in", &folder, e))?;
        Ok(Staging {
            folder: made,
            _lock: lock,
        })
    }

    /// Removes what crashed functions have left half made, unless somebody
    /// makes something.
    fn sweep_staging(&self) -> Result<()> {
        let folder = self.folder.join("staging");
        let lock = self.lock_file("staging.lock")?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(());
        }
        let entries = std::fs::read_dir(&folder).map_err(|e| Error::io("list", &folder, e))?;
        for entry in entries.flatten() {
            let path = entry.path();
            tree::unseal(&path)?;
            std::fs::remove_dir_all(&path).map_err(|e| Error::io("remove", &path, e))?;
        }
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Read-only folders cannot be emptied by others than root.
        let _ = tree::unseal(self.folder.path());
    }
}

fn sync_folder(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|e| Error::io("write", path, e))
}
