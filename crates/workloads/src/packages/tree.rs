//! The canonical form of a package, and its folder.
//!
//! The canonical form is a list with one record for each entry, in the order of
//! their paths as bytes, each ended by a zero byte:
//!
//! | entry | record |
//! |---|---|
//! | folder | `d <path>` |
//! | file | `f <SHA-256 of its content> <path>`, `x` instead of `f` when it is executable |
//! | symbolic link | `l <length of its target in bytes> <target><path>` |
//!
//! The folder of the package itself has none. Owners, times and other rights are
//! not part of it, and neither are they kept.

use std::fs::{File, Metadata, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::packages::Package;

/// How much of a file is read at once, in bytes.
const CHUNK_BYTES: usize = 128 << 10;

/// How hard a package is compressed: a file is unpacked more often than packed,
/// and level 3 packs as fast as a disk takes it.
const LEVEL: i32 = 3;

/// An entry of a tree.
struct Entry {
    /// Below the tree.
    path: PathBuf,
    facts: Metadata,
}

/// All entries below `root`, in order.
fn walk(root: &Path) -> Result<Vec<Entry>> {
    let mut out = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let whole = root.join(&folder);
        let failed = |e| Error::io("list", &whole, e);
        for entry in std::fs::read_dir(&whole).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // Of the link, not of what it leads to.
            let facts = entry.metadata().map_err(failed)?;
            let path = folder.join(entry.file_name());
            if facts.is_dir() {
                folders.push(path.clone());
            }
            out.push(Entry { path, facts });
        }
    }
    out.sort_by(|a, b| {
        a.path
            .as_os_str()
            .as_bytes()
            .cmp(b.path.as_os_str().as_bytes())
    });
    Ok(out)
}

/// Reads a whole tree.
pub(super) fn survey(root: &Path) -> Result<Package> {
    let entries = walk(root)?;
    let mut all = Sha256::new();
    let mut bytes = 0;
    for entry in &entries {
        let path = entry.path.as_os_str().as_bytes();
        let whole = root.join(&entry.path);
        if entry.facts.is_dir() {
            all.update(b"d ");
        } else if entry.facts.is_symlink() {
            let target = std::fs::read_link(&whole).map_err(|e| Error::io("read", &whole, e))?;
            let target = target.as_os_str().as_bytes();
            all.update(format!("l {} ", target.len()));
            all.update(target);
        } else {
            let kind = if executable(&entry.facts) { "x" } else { "f" };
            all.update(format!("{kind} {} ", hex::encode(content(&whole)?)));
            bytes += entry.facts.len();
        }
        all.update(path);
        all.update(b"\0");
    }
    let only_file = match entries.as_slice() {
        [only] if only.facts.is_file() => only.path.to_str().map(str::to_owned),
        _ => None,
    };
    Ok(Package {
        hash: hex::encode(all.finalize()).parse()?,
        bytes,
        entries: entries.len() as u64,
        only_file,
    })
}

fn executable(facts: &Metadata) -> bool {
    facts.permissions().mode() & 0o100 != 0
}

fn content(path: &Path) -> Result<Vec<u8>> {
    let failed = |e| Error::io("read", path, e);
    let mut file = File::open(path).map_err(failed)?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0_u8; CHUNK_BYTES];
    loop {
        let count = file.read(&mut chunk).map_err(failed)?;
        if count == 0 {
            return Ok(hash.finalize().to_vec());
        }
        hash.update(chunk.get(..count).unwrap_or_default());
    }
}

/// Writes a tree into a compressed archive, and that to disk.
pub(super) fn pack(root: &Path, to: &Path) -> Result<()> {
    let failed = |e: std::io::Error| Error::io("write", to, e);
    let file = File::create_new(to).map_err(failed)?;
    let out = zstd::Encoder::new(file, LEVEL).map_err(failed)?;
    let mut archive = tar::Builder::new(out);
    archive.follow_symlinks(false);
    for entry in walk(root)? {
        let whole = root.join(&entry.path);
        let mut header = tar::Header::new_gnu();
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_mode(0o755);
        header.set_size(0);
        if entry.facts.is_dir() {
            header.set_entry_type(tar::EntryType::Directory);
            archive
                .append_data(&mut header, &entry.path, std::io::empty())
                .map_err(failed)?;
        } else if entry.facts.is_symlink() {
            let target = std::fs::read_link(&whole).map_err(|e| Error::io("read", &whole, e))?;
            header.set_entry_type(tar::EntryType::Symlink);
            archive
                .append_link(&mut header, &entry.path, target)
                .map_err(failed)?;
        } else {
            header.set_entry_type(tar::EntryType::Regular);
            header.set_mode(if executable(&entry.facts) {
                0o755
            } else {
                0o644
            });
            header.set_size(entry.facts.len());
            let file = File::open(&whole).map_err(|e| Error::io("read", &whole, e))?;
            archive
                .append_data(&mut header, &entry.path, file)
                .map_err(failed)?;
        }
    }
    let mut file = archive
        .into_inner()
        .and_then(zstd::Encoder::finish)
        .map_err(failed)?;
    file.flush().map_err(failed)?;
    file.sync_all().map_err(failed)
}

/// Takes the rights to write away, from the leaves up.
pub(super) fn seal(root: &Path) -> Result<()> {
    set_rights(root, |facts| match (facts.is_dir(), executable(facts)) {
        (true, _) | (false, true) => 0o555,
        (false, false) => 0o444,
    })?;
    // The folder itself is still to be renamed, for which it must be writable.
    let facts = Permissions::from_mode(0o755);
    std::fs::set_permissions(root, facts).map_err(|e| Error::io("seal", root, e))
}

/// Gives them back to folders, so that what is in them can be removed.
pub(super) fn unseal(root: &Path) -> Result<()> {
    // A folder that cannot be entered for want of rights cannot be listed
    // either; sealed ones can.
    set_rights(root, |facts| match facts.is_dir() {
        true => 0o755,
        false => facts.permissions().mode() & 0o777,
    })
}

fn set_rights(root: &Path, mode: impl Fn(&Metadata) -> u32) -> Result<()> {
    for entry in walk(root)?.iter().rev() {
        if entry.facts.is_symlink() {
            continue;
        }
        let path = root.join(&entry.path);
        let mode = mode(&entry.facts);
        if entry.facts.permissions().mode() & 0o7777 != mode {
            std::fs::set_permissions(&path, Permissions::from_mode(mode))
                .map_err(|e| Error::io("set the rights of", &path, e))?;
        }
    }
    Ok(())
}

/// What changes whenever something in a tree does, without reading all of it:
/// the kernel notes the time of every change of a file's content, name or
/// rights, and nobody can set that.
pub(super) fn stamp(root: &Path) -> Result<String> {
    let mut all = Sha256::new();
    for entry in walk(root)? {
        let facts = &entry.facts;
        all.update(entry.path.as_os_str().as_bytes());
        all.update(format!(
            "\0{} {} {:o} {} {}\0",
            facts.ino(),
            facts.len(),
            facts.mode(),
            facts.ctime(),
            facts.ctime_nsec()
        ));
    }
    Ok(hex::encode(all.finalize()))
}
