//! What a host, a folder and a file can do.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::fsx;
use crate::model::{Disk, DriverKind, Format, is_points_folder};
use crate::qcow2;

/// What can be done in a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Whether files there can share blocks.
    pub reflink: bool,
    /// Version of `qemu-img`, when it is installed.
    pub qemu_img: Option<String>,
    /// Name of the file system, e.g. `xfs`.
    pub filesystem: String,
    /// Space that may be used, in bytes.
    pub free_bytes: u64,
    /// Size of the file system, in bytes.
    pub total_bytes: u64,
}

/// Tries what can be done in `folder`. Leaves nothing behind.
///
/// # Errors
/// [`Error::Missing`] when the folder is not there, [`Error::ReadOnly`],
/// [`Error::NoSpace`], [`Error::Io`].
pub fn probe(folder: &Path) -> Result<Capabilities> {
    if fsx::find(folder)?.is_none() {
        return Err(Error::Missing {
            path: folder.to_owned(),
        });
    }
    let (free_bytes, total_bytes) = space(folder)?;
    Ok(Capabilities {
        reflink: can_reflink(folder)?,
        qemu_img: qcow2::tool::version(),
        filesystem: filesystem(folder)?,
        free_bytes,
        total_bytes,
    })
}

/// Picks the driver for a disk of `format` in a folder that can do
/// `capabilities`: the one asked for, else the fastest that keeps the format.
///
/// # Errors
/// [`Error::Unsupported`] when the one asked for is not possible.
pub fn choose(
    capabilities: &Capabilities,
    format: Format,
    asked: Option<DriverKind>,
) -> Result<DriverKind> {
    let refuse = |why: String| {
        Err(Error::Unsupported {
            path: PathBuf::from("the disk"),
            why,
        })
    };
    match asked {
        Some(DriverKind::Reflink) if !capabilities.reflink => refuse(format!(
            "driver reflink needs a file system that can share blocks, and this is {}: use XFS \
             with reflink=1 or btrfs, or another driver",
            capabilities.filesystem
        )),
        Some(DriverKind::Qcow2) if capabilities.qemu_img.is_none() => refuse(
            "driver qcow2 needs qemu-img, which is not installed: install qemu-utils, or use \
             another driver"
                .to_owned(),
        ),
        Some(kind) => Ok(kind),
        None if capabilities.reflink => Ok(DriverKind::Reflink),
        None if format == Format::Qcow2 && capabilities.qemu_img.is_some() => Ok(DriverKind::Qcow2),
        None => Ok(DriverKind::Copy),
    }
}

/// Checks the path a user gave for a disk, and resolves it once and for all:
/// links in it are followed now, and never again.
///
/// # Errors
/// [`Error::Missing`], [`Error::Unsupported`], [`Error::Io`].
pub fn canonical_head(path: &Path) -> Result<PathBuf> {
    let head = match path.canonicalize() {
        Ok(head) => head,
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return Err(Error::Missing {
                path: path.to_owned(),
            });
        }
        Err(e) => return Err(Error::io("resolve", path, e)),
    };
    fsx::head(&head)?;
    let refuse = |why: &str| {
        Err(Error::Unsupported {
            path: head.clone(),
            why: why.to_owned(),
        })
    };
    if head.to_str().is_none() {
        return refuse("its path is not UTF-8: rename it");
    }
    if head.ancestors().skip(1).any(is_points_folder) {
        return refuse("it lies among the restore points of a disk: name that disk instead");
    }
    Ok(head)
}

/// First bytes of formats that are neither raw nor qcow2, at their offset.
const FOREIGN: [(&[u8], u64, &str); 7] = [
    (b"KDMV", 0, "vmdk"),
    (b"COWD", 0, "vmdk"),
    (b"vhdxfile", 0, "vhdx"),
    (b"conectix", 0, "vpc"),
    (b"QED\0", 0, "qed"),
    (b"\x7f\x10\xda\xbe", 64, "vdi"),
    (b"WithoutFreeSpace", 0, "parallels"),
];

/// Looks at the first bytes of a file to tell its format. Only for a file whose
/// owner vouches for it: a guest can write anything into a raw disk.
///
/// # Errors
/// [`Error::Missing`], [`Error::Format`] when it looks like another format,
/// [`Error::Io`].
pub fn detect_format(path: &Path) -> Result<Format> {
    fsx::head(path)?;
    let file = fsx::open(path)?;
    let mut first = [0_u8; 128];
    let mut used = 0;
    while let Some(rest) = first.get_mut(used..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, used as u64) {
            Ok(0) => break,
            Ok(read) => used += read,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::io("read", path, e)),
        }
    }
    let first = first.get(..used).unwrap_or_default();
    if first.starts_with(&qcow2::header::MAGIC) {
        return Ok(Format::Qcow2);
    }
    for (magic, at, name) in FOREIGN {
        let there = usize::try_from(at).ok().and_then(|at| first.get(at..));
        if there.is_some_and(|bytes| bytes.starts_with(magic)) {
            return Err(Error::Format {
                path: path.to_owned(),
                why: format!(
                    "it looks like a {name} image: turn it into qcow2 with qemu-img convert, or \
                     say that it is raw"
                ),
            });
        }
    }
    Ok(Format::Raw)
}

/// The format of a file that is to be managed: the one that its owner says,
/// else the one that it looks like, unless that could harm. A guest can write a
/// qcow2 header into a raw disk, and the file that it names as the one below
/// would be opened for the guest, whatever file of this host that is.
///
/// # Errors
/// As [`detect_format`]; [`Error::Format`] when the owner must say it.
pub fn format_of(head: &Path, asked: Option<Format>) -> Result<Format> {
    if let Some(format) = asked {
        return Ok(format);
    }
    let format = detect_format(head)?;
    if format == Format::Raw {
        return Ok(format);
    }
    let why = if qcow2::header::read(head)?.backing.is_some() {
        "it looks like qcow2 and names another file below it"
    } else if has_raw_points(head)? {
        "it looks like qcow2, but there are raw restore points of it"
    } else {
        return Ok(format);
    };
    Err(Error::Format {
        path: head.to_owned(),
        why: format!(
            "{why}, which a guest can write into a raw disk to read that file: say which format \
             it has, raw or qcow2 (--format)"
        ),
    })
}

/// Whether there are raw restore points, or layers, of the disk `head`.
fn has_raw_points(head: &Path) -> Result<bool> {
    let disk = Disk {
        head: head.to_owned(),
        format: Format::Raw,
        driver: DriverKind::Copy,
    };
    let folder = disk.folder();
    if !fsx::find(&folder)?.is_some_and(|found| found.is_dir()) {
        return Ok(false);
    }
    let is_raw_point = |file: &String| {
        let begins = ["point-", "gone-point-", "trash-point-"];
        file.ends_with(".raw") && begins.iter().any(|b| file.starts_with(b))
    };
    Ok(fsx::list(&folder)?.iter().any(is_raw_point))
}

/// Space that may be used on the file system of `path`, in bytes.
///
/// # Errors
/// [`Error::Io`].
pub fn free_bytes(path: &Path) -> Result<u64> {
    Ok(space(path)?.0)
}

/// Free space and size of a file system, in bytes.
fn space(path: &Path) -> Result<(u64, u64)> {
    let facts =
        rustix::fs::statvfs(path).map_err(|e| Error::io("ask the free space of", path, e))?;
    Ok((
        facts.f_bavail.saturating_mul(facts.f_frsize),
        facts.f_blocks.saturating_mul(facts.f_frsize),
    ))
}

/// Names of file systems by their magic number, from `linux/magic.h`.
const FILESYSTEMS: [(u64, &str); 12] = [
    (0x5846_5342, "xfs"),
    (0x9123_683e, "btrfs"),
    (0xef53, "ext4"),
    (0x0102_1994, "tmpfs"),
    (0x794c_7630, "overlayfs"),
    (0x6969, "nfs"),
    (0x2fc1_2fc1, "zfs"),
    (0x6573_5546, "fuse"),
    (0xf2f5_2010, "f2fs"),
    (0xca45_1a4e, "bcachefs"),
    (0xff53_4d42, "cifs"),
    (0x4d44, "vfat"),
];

fn filesystem(folder: &Path) -> Result<String> {
    let facts =
        rustix::fs::statfs(folder).map_err(|e| Error::io("ask the file system of", folder, e))?;
    // The kernel's numbers have 32 bits; the field is signed on some machines.
    let magic = (facts.f_type as u64) & 0xffff_ffff;
    Ok(FILESYSTEMS
        .iter()
        .find(|(number, _)| *number == magic)
        .map_or_else(
            || format!("type {magic:#x}"),
            |(_, name)| (*name).to_owned(),
        ))
}

/// Really clones one file onto another: no list of file systems knows how this
/// one was made.
pub(crate) fn can_reflink(folder: &Path) -> Result<bool> {
    let (mut from, from_path) = scratch(folder)?;
    let (to, to_path) = scratch(folder)?;
    let result = from
        .write_all(&[1; 4096])
        .map_err(|e| Error::io("write a test file in", folder, e))
        .map(|()| rustix::fs::ioctl_ficlone(&to, &from).is_ok());
    for path in [from_path, to_path].into_iter().flatten() {
        fsx::unlink(&path)?;
    }
    result
}

/// A file without a name, or where that cannot be had, with one.
fn scratch(folder: &Path) -> Result<(File, Option<PathBuf>)> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let nameless = OpenOptions::new()
        .read(true)
        .write(true)
        .mode(0o600)
        .custom_flags(OFlags::TMPFILE.bits().cast_signed())
        .open(folder);
    if let Ok(file) = nameless {
        return Ok((file, None));
    }
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!(".backout-probe-{}-{count}", std::process::id()));
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map_err(|e| Error::io("create a test file in", folder, e))?;
    Ok((file, Some(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capabilities(reflink: bool, qemu: bool) -> Capabilities {
        Capabilities {
            reflink,
            qemu_img: qemu.then(|| "10.0.2".to_owned()),
            filesystem: "ext4".to_owned(),
            free_bytes: 1,
            total_bytes: 2,
        }
    }

    #[test]
    fn the_driver_follows_what_is_possible_and_what_was_asked() {
        use DriverKind::{Copy, Qcow2, Reflink};
        #[rustfmt::skip]
        let table = [
            // reflink, qemu-img, format, asked, chosen
            (true,  true,  Format::Raw,   None,          Some(Reflink)),
            (true,  true,  Format::Qcow2, None,          Some(Reflink)),
            (false, true,  Format::Raw,   None,          Some(Copy)),
            (false, true,  Format::Qcow2, None,          Some(Qcow2)),
            (false, false, Format::Qcow2, None,          Some(Copy)),
            (false, true,  Format::Raw,   Some(Qcow2),   Some(Qcow2)),
            (true,  true,  Format::Raw,   Some(Copy),    Some(Copy)),
            (false, true,  Format::Raw,   Some(Reflink), None),
            (true,  false, Format::Raw,   Some(Qcow2),   None),
        ];
        for (reflink, qemu, format, asked, chosen) in table {
            let got = choose(&capabilities(reflink, qemu), format, asked);
            assert_eq!(got.ok(), chosen, "{reflink} {qemu} {format} {asked:?}");
        }
    }

    #[test]
    fn formats_are_told_by_their_first_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        for (bytes, want) in [
            (&b""[..], Some(Format::Raw)),
            (b"QFI\xfb\0\0\0\x03", Some(Format::Qcow2)),
            (b"QFI", Some(Format::Raw)),
            (b"KDMV\x01", None),
        ] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(detect_format(&path).ok(), want);
        }
    }

    #[test]
    fn heads_are_resolved_and_odd_ones_refused() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::write(root.join("disk"), b"x").unwrap();
        std::os::unix::fs::symlink(root.join("disk"), root.join("link")).unwrap();
        std::fs::create_dir(root.join("disk.backout")).unwrap();
        std::fs::write(root.join("disk.backout/point-a.raw"), b"x").unwrap();
        assert_eq!(
            canonical_head(&root.join("link")).unwrap(),
            root.join("disk")
        );
        assert!(matches!(
            canonical_head(&root.join("none")),
            Err(Error::Missing { .. })
        ));
        for odd in ["disk.backout", "disk.backout/point-a.raw"] {
            assert!(matches!(
                canonical_head(&root.join(odd)),
                Err(Error::Unsupported { .. })
            ));
        }
    }

    #[test]
    fn a_probe_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let found = probe(folder.path()).unwrap();
        assert!(found.free_bytes <= found.total_bytes);
        assert!(!found.filesystem.is_empty());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(probe(&folder.path().join("none")).is_err());
    }
}
