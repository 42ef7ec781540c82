//! Unpacking what others have packed, which may be made to do harm.
//!
//! Everything is written below one new folder that nobody else knows yet. A
//! name is taken apart and put together again, so that it cannot lead out; no
//! link is made before all files are written, so that none can be written
//! through one; and no link stays that leads out, or nowhere. What is written is
//! counted as it is, whatever the archive says of itself.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{DirBuilder, File};
use std::io::{BufReader, ErrorKind, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use crate::error::{Error, Result};
use crate::packages::{Form, PackageLimits};

/// The longest path in a package, in bytes: shorter than what a system call
/// takes, with room for the folder that it is unpacked to.
const PATH_MAX_BYTES: usize = 2048;

/// The longest name in it, in bytes: what file systems take.
const NAME_MAX_BYTES: usize = 255;

/// How deep folders may lie.
const DEPTH_MAX: usize = 64;

/// The longest record of an archive about a file, in bytes: long names and what
/// some programs add. It is held in memory.
const RECORD_MAX_BYTES: u64 = 1 << 20;

/// How much memory a decoder may take, in bytes: what the highest usual levels
/// of xz (9) and zstd (a window of 128 MiB) need.
const DECODER_MAX_BYTES: u64 = 256 << 20;
const WINDOW_LOG_MAX: u32 = 27;

/// How much is copied at once, in bytes.
const CHUNK_BYTES: usize = 64 << 10;

/// What was at a path of the package.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Folder,
    File,
    Link,
}

/// Writes a package into a new folder.
pub(super) struct Unpacker {
    root: PathBuf,
    limits: PackageLimits,
    /// For messages.
    from: String,
    seen: BTreeMap<PathBuf, Kind>,
    links: Vec<(PathBuf, PathBuf)>,
    bytes: u64,
}

impl Unpacker {
    pub(super) fn new(root: &Path, limits: PackageLimits, from: String) -> Result<Self> {
        DirBuilder::new()
            .mode(0o700)
            .create(root)
            .map_err(|e| Error::io("create the folder", root, e))?;
        Ok(Self {
            root: root.to_owned(),
            limits,
            from,
            seen: BTreeMap::new(),
            links: Vec::new(),
            bytes: 0,
        })
    }

    pub(super) fn refused(&self, why: &str) -> Error {
        Error::PackageRefused {
            from: self.from.clone(),
            why: why.to_owned(),
        }
    }

    fn refuse<T>(&self, name: &[u8], why: &str) -> Result<T> {
        let name: String = String::from_utf8_lossy(name).chars().take(200).collect();
        Err(self.refused(&format!("{name:?} in it {why}")))
    }

    /// Copies a folder.
    pub(super) fn folder(&mut self, folder: &Path) -> Result<()> {
        let mut folders = vec![PathBuf::new()];
        while let Some(below) = folders.pop() {
            let whole = folder.join(&below);
            let failed = |e: std::io::Error| Error::PackageUnreachable {
                from: whole.display().to_string(),
                why: e.to_string(),
            };
            for entry in std::fs::read_dir(&whole).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let kind = entry.file_type().map_err(failed)?;
                let path = below.join(entry.file_name());
                let name = path.as_os_str().as_bytes();
                if kind.is_dir() {
                    self.add_folder(name)?;
                    folders.push(path);
                } else if kind.is_symlink() {
                    let target = std::fs::read_link(entry.path()).map_err(failed)?;
                    self.add_link(name, target.as_os_str().as_bytes())?;
                } else if kind.is_file() {
                    // It may have become something else since.
                    let file = File::options()
                        .read(true)
                        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
                        .open(entry.path())
                        .map_err(failed)?;
                    let mode = file.metadata().map_err(failed)?.permissions().mode();
                    self.add_file(name, mode & 0o100 != 0, file)?;
                } else {
                    return self.refuse(name, "is a device, pipe or socket; leave it out");
                }
            }
        }
        Ok(())
    }

    /// Unpacks an archive, or copies a single file, as `form` says.
    pub(super) fn file_or_archive(&mut self, path: &Path, name: &OsStr, form: Form) -> Result<()> {
        let unreachable = |e: std::io::Error| Error::PackageUnreachable {
            from: path.display().to_string(),
            why: e.to_string(),
        };
        let mut file = File::open(path).map_err(unreachable)?;
        let as_file = form == Form::File || (form == Form::Auto && runs_packed(name));
        if !as_file {
            if starts_with(&mut file, ZIP).map_err(unreachable)? {
                return self.zip(file);
            }
            let is_tar = looks_like_tar(&mut file, name).map_err(unreachable)?;
            if is_tar {
                let reader = self.decoder(file)?;
                return self.tar(reader);
            }
        }
        if form == Form::Archive {
            return Err(self.refused(
                "it is no archive that is known: use tar, by itself or packed with gzip, xz or \
                 zstd, or zip",
            ));
        }
        self.add_file(name.as_bytes(), true, file)
    }

    /// The bytes of a tar archive, however it was packed.
    fn decoder(&self, mut file: File) -> Result<Box<dyn Read>> {
        let failed = |e: std::io::Error| self.refused(&format!("it cannot be read: {e}"));
        let is = |file: &mut File, magic: &[u8]| starts_with(file, magic).map_err(failed);
        let reader: Box<dyn Read> = if is(&mut file, GZIP)? {
            Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::new(file)))
        } else if is(&mut file, ZSTD)? {
            let mut decoder = zstd::Decoder::new(file).map_err(failed)?;
            decoder.window_log_max(WINDOW_LOG_MAX).map_err(failed)?;
            Box::new(decoder)
        } else if is(&mut file, XZ)? {
            let flags = liblzma::stream::CONCATENATED;
            let stream = liblzma::stream::Stream::new_stream_decoder(DECODER_MAX_BYTES, flags)
                .map_err(|e| failed(e.into()))?;
            Box::new(liblzma::read::XzDecoder::new_stream(file, stream))
        } else {
            Box::new(file)
        };
        // Whatever is between the files counts as well: each takes a header, and
        // may have a record or two.
        let most = self
            .limits
            .entries
            .saturating_mul(4096)
            .saturating_add(self.limits.unpacked_bytes);
        Ok(Box::new(Bounded { reader, left: most }))
    }

    fn tar(&mut self, reader: Box<dyn Read>) -> Result<()> {
        let from = self.from.clone();
        let damaged = |e: std::io::Error| Error::PackageRefused {
            from: from.clone(),
            why: format!("the archive is damaged or too large: {e}"),
        };
        let mut archive = tar::Archive::new(reader);
        // Raw, or records of any length would be read into memory.
        let entries = archive.entries().map_err(damaged)?.raw(true);
        let mut long = Records::default();
        for entry in entries {
            let mut entry = entry.map_err(damaged)?;
            let kind = entry.header().entry_type();
            if matches!(
                kind,
                tar::EntryType::GNULongName
                    | tar::EntryType::GNULongLink
                    | tar::EntryType::XHeader
                    | tar::EntryType::XGlobalHeader
            ) {
                if entry.size() > RECORD_MAX_BYTES {
                    return Err(self.refused("a record about a file in it is too long"));
                }
                let mut text = Vec::new();
                entry.read_to_end(&mut text).map_err(damaged)?;
                match kind {
                    tar::EntryType::GNULongName => long.name = Some(until_zero(text)),
                    tar::EntryType::GNULongLink => long.target = Some(until_zero(text)),
                    tar::EntryType::XHeader => {
                        long.read_pax(&text).map_err(|why| self.refused(why))?
                    }
                    // What it says of all files is not about what is in them.
                    _ => {}
                }
                continue;
            }
            let found = std::mem::take(&mut long);
            let name = found
                .name
                .unwrap_or_else(|| entry.path_bytes().into_owned());
            let target = found
                .target
                .or_else(|| entry.link_name_bytes().map(|name| name.into_owned()))
                .unwrap_or_default();
            let mode = entry.header().mode().unwrap_or(0o644);
            match kind {
                tar::EntryType::Directory => self.add_folder(&name)?,
                // Old archives end the names of folders with a slash.
                tar::EntryType::Regular if name.ends_with(b"/") => self.add_folder(&name)?,
                tar::EntryType::Regular | tar::EntryType::Continuous => {
                    self.room_for(&name, entry.size())?;
                    self.add_file(&name, mode & 0o100 != 0, &mut entry)?;
                }
                tar::EntryType::Symlink => self.add_link(&name, &target)?,
                tar::EntryType::Link => self.add_copy(&name, &target)?,
                tar::EntryType::GNUSparse => {
                    return self.refuse(&name, "is stored with holes; pack it without them");
                }
                _ => return self.refuse(&name, "is a device or a pipe; leave it out"),
            }
        }
        Ok(())
    }

    fn zip(&mut self, file: File) -> Result<()> {
        let from = self.from.clone();
        let damaged = |e: &dyn std::fmt::Display| Error::PackageRefused {
            from: from.clone(),
            why: format!("the archive is damaged, or needs what is not known: {e}"),
        };
        let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(|e| damaged(&e))?;
        if archive.len() as u64 > self.limits.entries {
            return Err(self.refused(&self.too_many()));
        }
        for n in 0..archive.len() {
            let mut entry = archive.by_index(n).map_err(|e| damaged(&e))?;
            let name = entry.name_raw().to_vec();
            if name.contains(&b'\\') {
                return self.refuse(
                    &name,
                    "has a backslash in its name; pack it with another tool",
                );
            }
            let mode = entry.unix_mode().unwrap_or(0o644);
            // The kind of the file, where the packing host was of this sort.
            match mode & 0o170_000 {
                _ if entry.is_dir() => self.add_folder(&name)?,
                0o120_000 => {
                    let mut target = Vec::new();
                    (&mut entry)
                        .take(PATH_MAX_BYTES as u64 + 1)
                        .read_to_end(&mut target)
                        .map_err(|e| damaged(&e))?;
                    self.add_link(&name, &target)?;
                }
                0 | 0o100_000 => {
                    self.room_for(&name, entry.size())?;
                    self.add_file(&name, mode & 0o100 != 0, &mut entry)?;
                }
                _ => return self.refuse(&name, "is a device or a pipe; leave it out"),
            }
        }
        Ok(())
    }

    /// A name as a path below the package; `None` is the package itself.
    fn clean(&self, name: &[u8]) -> Result<Option<PathBuf>> {
        if name.contains(&0) || name.len() > PATH_MAX_BYTES {
            return self.refuse(
                name,
                "has a name that is too long, or has a zero byte in it",
            );
        }
        let mut out = PathBuf::new();
        for part in Path::new(OsStr::from_bytes(name)).components() {
            match part {
                Component::CurDir => {}
                Component::Normal(part) if part.len() <= NAME_MAX_BYTES => out.push(part),
                Component::Normal(_) => return self.refuse(name, "has a name that is too long"),
                Component::RootDir | Component::Prefix(_) => {
                    return self.refuse(name, "has an absolute path; pack it relative to a folder");
                }
                Component::ParentDir => {
                    return self.refuse(name, "has \"..\" in its path, and may lead out of it");
                }
            }
        }
        if out.components().count() > DEPTH_MAX {
            return self.refuse(name, "lies too deep");
        }
        Ok((!out.as_os_str().is_empty()).then_some(out))
    }

    /// Notes what is at a path, and makes the folders above it. Whether it was
    /// not there.
    fn note(&mut self, name: &[u8], path: &Path, kind: Kind) -> Result<bool> {
        for above in path.ancestors().skip(1) {
            if above.as_os_str().is_empty() {
                break;
            }
            match self.seen.get(above) {
                Some(Kind::Folder) => break,
                Some(_) => return self.refuse(name, "lies in what is a file or a link there"),
                None => {}
            }
        }
        match self.seen.get(path) {
            Some(Kind::Folder) if kind == Kind::Folder => return Ok(false),
            Some(_) => return self.refuse(name, "is there twice"),
            None => {}
        }
        let missing: Vec<PathBuf> = path
            .ancestors()
            .skip(1)
            .take_while(|above| !above.as_os_str().is_empty() && !self.seen.contains_key(*above))
            .map(Path::to_owned)
            .collect();
        for folder in missing.into_iter().rev() {
            self.make_folder(&folder)?;
            self.seen.insert(folder, Kind::Folder);
        }
        self.seen.insert(path.to_owned(), kind);
        if self.seen.len() as u64 > self.limits.entries {
            return Err(self.refused(&self.too_many()));
        }
        Ok(true)
    }

    fn too_many(&self) -> String {
        format!("more than {} entries are in it", self.limits.entries)
    }

    fn make_folder(&self, path: &Path) -> Result<()> {
        let whole = self.root.join(path);
        DirBuilder::new()
            .mode(0o755)
            .create(&whole)
            .map_err(|e| Error::io("create the folder", &whole, e))
    }

    fn add_folder(&mut self, name: &[u8]) -> Result<()> {
        match self.clean(name)? {
            Some(path) if self.note(name, &path, Kind::Folder)? => self.make_folder(&path),
            _ => Ok(()),
        }
    }

    /// Refuses early what says itself that it is too large.
    fn room_for(&self, name: &[u8], size: u64) -> Result<()> {
        if self.bytes.saturating_add(size) > self.limits.unpacked_bytes {
            return self.refuse(name, &self.too_large());
        }
        Ok(())
    }

    fn too_large(&self) -> String {
        format!(
            "does not fit: unpacked it may have {} bytes in all",
            self.limits.unpacked_bytes
        )
    }

    fn add_file(&mut self, name: &[u8], executable: bool, mut from: impl Read) -> Result<()> {
        let Some(path) = self.clean(name)? else {
            return self.refuse(name, "is a file without a name");
        };
        self.note(name, &path, Kind::File)?;
        let whole = self.root.join(&path);
        let failed = |e: std::io::Error| Error::io("write", &whole, e);
        let mut out = File::options()
            .write(true)
            .create_new(true)
            .mode(if executable { 0o755 } else { 0o644 })
            .open(&whole)
            .map_err(failed)?;
        // Not what the mask of this process makes of it.
        let mode = std::fs::Permissions::from_mode(if executable { 0o755 } else { 0o644 });
        out.set_permissions(mode).map_err(failed)?;
        let mut chunk = vec![0_u8; CHUNK_BYTES];
        loop {
            let count = match from.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return self.refuse(name, &format!("cannot be read: {e}")),
            };
            self.bytes += count as u64;
            if self.bytes > self.limits.unpacked_bytes {
                return self.refuse(name, &self.too_large());
            }
            out.write_all(chunk.get(..count).unwrap_or_default())
                .map_err(failed)?;
        }
    }

    /// A second name of a file that was there before: a copy of it.
    fn add_copy(&mut self, name: &[u8], target: &[u8]) -> Result<()> {
        let first = self.clean(target)?;
        let Some(first) = first.filter(|p| self.seen.get(p) == Some(&Kind::File)) else {
            return self.refuse(name, "is a second name of what is no file of it");
        };
        let whole = self.root.join(first);
        let failed = |e: std::io::Error| Error::io("read", &whole, e);
        let file = File::open(&whole).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode();
        self.add_file(name, mode & 0o100 != 0, file)
    }

    fn add_link(&mut self, name: &[u8], target: &[u8]) -> Result<()> {
        let Some(path) = self.clean(name)? else {
            return self.refuse(name, "is a link without a name");
        };
        if target.is_empty() || target.contains(&0) || target.len() > PATH_MAX_BYTES {
            return self.refuse(name, "is a link to nothing");
        }
        let to = Path::new(OsStr::from_bytes(target));
        // From the folder that it is in: never above the package on the way.
        let mut depth = path.components().count() - 1;
        for part in to.components() {
            match part {
                Component::Normal(_) => depth += 1,
                Component::CurDir => {}
                Component::ParentDir if depth > 0 => depth -= 1,
                _ => return self.refuse(name, "is a link that leads out of it"),
            }
        }
        self.note(name, &path, Kind::Link)?;
        self.links.push((path, to.to_owned()));
        Ok(())
    }

    /// Makes the links, and looks where each leads in the end.
    pub(super) fn finish(&mut self) -> Result<()> {
        let links = std::mem::take(&mut self.links);
        for (path, target) in &links {
            let whole = self.root.join(path);
            std::os::unix::fs::symlink(target, &whole)
                .map_err(|e| Error::io("write", &whole, e))?;
        }
        let root = self
            .root
            .canonicalize()
            .map_err(|e| Error::io("find", &self.root, e))?;
        for (path, _) in &links {
            let name = path.as_os_str().as_bytes();
            match self.root.join(path).canonicalize() {
                Ok(end) if end.starts_with(&root) => {}
                Ok(_) => return self.refuse(name, "is a link that leads out of it"),
                Err(_) => return self.refuse(name, "is a link that leads nowhere"),
            }
        }
        Ok(())
    }
}

const ZIP: &[u8] = b"PK\x03\x04";
const GZIP: &[u8] = b"\x1f\x8b";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
const XZ: &[u8] = b"\xfd7zXZ\0";

/// Archives that are run as they are.
fn runs_packed(name: &OsStr) -> bool {
    let name = name.to_string_lossy().to_ascii_lowercase();
    name.ends_with(".jar") || name.ends_with(".war")
}

fn starts_with(file: &mut File, magic: &[u8]) -> std::io::Result<bool> {
    let mut begin = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    (&*file).take(magic.len() as u64).read_to_end(&mut begin)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(begin == magic)
}

/// A tar archive says so 257 bytes into it; a packed one is taken for one when
/// its name says so, or nothing else.
fn looks_like_tar(file: &mut File, name: &OsStr) -> std::io::Result<bool> {
    let mut begin = Vec::new();
    (&*file).take(262).read_to_end(&mut begin)?;
    file.seek(SeekFrom::Start(0))?;
    if begin.get(257..262) == Some(b"ustar") {
        return Ok(true);
    }
    let packed = [GZIP, ZSTD, XZ]
        .iter()
        .any(|magic| begin.starts_with(magic));
    let name = name.to_string_lossy().to_ascii_lowercase();
    let ends = [
        ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.zst", ".tzst",
    ];
    let says = ends.iter().any(|end| name.ends_with(end));
    Ok(says || (packed && !name.contains('.')))
}

fn until_zero(mut text: Vec<u8>) -> Vec<u8> {
    if let Some(end) = text.iter().position(|b| *b == 0) {
        text.truncate(end);
    }
    text
}

/// What records before an entry say of it.
#[derive(Default)]
struct Records {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
}

impl Records {
    fn read_pax(&mut self, text: &[u8]) -> Result<(), &'static str> {
        for record in tar::PaxExtensions::new(text) {
            let record = record.map_err(|_| "a record about a file in it is damaged")?;
            match record.key_bytes() {
                b"path" => self.name = Some(record.value_bytes().to_vec()),
                b"linkpath" => self.target = Some(record.value_bytes().to_vec()),
                // These would change where the next entry begins.
                b"size" => return Err("a file in it is larger than 8 GiB; leave it out"),
                key if key.starts_with(b"GNU.sparse") => {
                    return Err("a file in it is stored with holes; pack it without them");
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Fails when more is read than may be.
struct Bounded<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            std::io::Error::new(
                ErrorKind::FileTooLarge,
                "it is larger than a package may be",
            )
        })?;
        Ok(count)
    }
}
