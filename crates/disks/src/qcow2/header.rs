//! What a qcow2 header says. Image files are outside input: a guest may have
//! written one, so every number is checked before it is used, and little is
//! read.
//!
//! The format: `docs/interop/qcow2.rst` in QEMU's sources.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::fsx;

/// The first four bytes.
pub(crate) const MAGIC: [u8; 4] = *b"QFI\xfb";

/// How much of a table is read at once; a multiple of the 8 bytes of an entry.
const TABLE_PIECE_BYTES: usize = 64 << 10;

/// Longest name of a backing file, in bytes; QEMU's own limit.
pub(crate) const MAX_BACKING_BYTES: u32 = 1023;

/// Largest table of the first level, in bytes; QEMU's own limit.
const MAX_L1_BYTES: u64 = 32 << 20;

/// Length of a version 2 header; a version 3 header begins the same.
const HEADER_2_BYTES: usize = 72;
/// Least length of a version 3 header.
const HEADER_3_BYTES: usize = 104;

/// Largest refcount table, in bytes; QEMU's own limit.
const MAX_REFCOUNT_TABLE_BYTES: u64 = 8 << 20;
/// Largest order of the width of a refcount: 64 bits.
const MAX_REFCOUNT_ORDER: u32 = 6;
/// The order that version 2 has: 16 bits.
const REFCOUNT_ORDER_2: u32 = 4;

/// Where the offset is in an entry of a table of the first or second level, or
/// of the refcount table.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
/// An entry of the second level points at compressed data.
const COMPRESSED: u64 = 1 << 62;
/// An entry of the second level says that the cluster reads as zeros.
const ZERO: u64 = 1;

/// Refcounts are brought up to date only when the image is closed.
const DIRTY: u64 = 1 << 0;
/// Entries of the second level have 16 bytes.
const EXTENDED_L2: u64 = 1 << 4;

/// An overlay may not be trusted: QEMU found it inconsistent.
const CORRUPT: u64 = 1 << 1;
/// The data lie in yet another file.
const EXTERNAL_DATA: u64 = 1 << 2;

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Size of the disk as a machine sees it, in bytes.
    pub(crate) size_bytes: u64,
    /// Name of the backing file, as it is written.
    pub(crate) backing: Option<PathBuf>,
    encrypted: bool,
    incompatible: u64,
    snapshots: u32,
    l1_entries: u32,
    l1_at: u64,
    cluster_bits: u32,
    refcount_order: u32,
    refcounts_at: u64,
    refcounts_bytes: u64,
}

/// Reads the header of `path`.
///
/// # Errors
/// [`Error::Format`], [`Error::PointMissing`], [`Error::Io`].
pub(crate) fn read(path: &Path) -> Result<Header> {
    let file = fsx::open(path)?;
    let length = file
        .metadata()
        .map_err(|e| Error::io("look at", path, e))?
        .len();
    parse(&file, length).map_err(|e| e.at(path))
}

/// Whether the image holds nothing that its backing file does not hold: no
/// cluster is allocated, and no snapshot is in it.
///
/// # Errors
/// As [`read`].
pub(crate) fn is_pristine(path: &Path, header: &Header) -> Result<bool> {
    if header.snapshots != 0 {
        return Ok(false);
    }
    let file = fsx::open(path)?;
    let mut pristine = true;
    each_u64(
        &file,
        header.l1_at,
        u64::from(header.l1_entries) * 8,
        |entry| {
            pristine &= entry == 0;
            Ok(())
        },
    )
    .map_err(|e| e.at(path))?;
    Ok(pristine)
}

/// What the tables of an image point at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Referenced {
    /// Space of the clusters with data in them, uncompressed, in bytes.
    data_bytes: u64,
    /// The image must be longer than this, in bytes.
    longer_than: u64,
}

/// How much the image holds by itself, uncompressed, in bytes. Takes time for
/// every table of the second level; a cluster of 64 KiB of them maps 512 MiB.
///
/// # Errors
/// As [`read`].
pub(crate) fn data_bytes(path: &Path, header: &Header) -> Result<u64> {
    let file = fsx::open(path)?;
    let walked = header.walk(&file).map_err(|e| e.at(path))?;
    Ok(walked.data_bytes)
}

impl Header {
    /// Whether the image has snapshots of its own in it.
    pub(crate) fn has_snapshots(&self) -> bool {
        self.snapshots != 0
    }

    fn cluster_bytes(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Refuses an image that somebody has cut. Takes the same time for any size
    /// of image as long as it is whole: only the last cluster in use is looked
    /// for. An image whose last cluster is used by nothing, as a crash of QEMU
    /// may leave it, is whole.
    fn check_length(&self, path: &Path) -> Result<()> {
        let file = fsx::open(path)?;
        let length = || {
            let metadata = file.metadata();
            metadata
                .map(|metadata| metadata.len())
                .map_err(|e| Error::io("look at", path, e))
        };
        // The length last: an image that is written to meanwhile only grows.
        if self.incompatible & DIRTY == 0 {
            let longer_than = self.last_counted(&file).map_err(|e| e.at(path))?;
            if length()? > longer_than {
                return Ok(());
            }
        }
        let walked = self.walk(&file).map_err(|e| e.at(path))?;
        if length()? > walked.longer_than {
            return Ok(());
        }
        Err(Wrong::Says("it ends before its data do").at(path))
    }

    /// Where the last cluster that is counted as used begins.
    fn last_counted(&self, file: &File) -> Result<u64, Wrong> {
        let mut last = None;
        let mut index = 0_u64;
        each_u64(file, self.refcounts_at, self.refcounts_bytes, |entry| {
            if entry & OFFSET != 0 {
                last = Some((index, entry & OFFSET));
            }
            index += 1;
            Ok(())
        })?;
        let Some((index, at)) = last else {
            return Err(Wrong::Says("nothing in it is in use"));
        };
        let mut block = vec![0_u8; 1 << self.cluster_bits];
        read_exact(file, &mut block, at)?;
        // The first count in the last byte that is not zero; where counts are
        // narrower than a byte a later one may be meant, which is as near.
        let byte = block.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        let counts_in = |bytes: u64| (bytes * 8) >> self.refcount_order;
        index
            .checked_mul(counts_in(self.cluster_bytes()))
            .and_then(|first| first.checked_add(counts_in(byte as u64)))
            .and_then(|cluster| cluster.checked_mul(self.cluster_bytes()))
            .ok_or(Wrong::Says("its refcount table is out of range"))
    }

    /// Looks at every table of the second level.
    fn walk(&self, file: &File) -> Result<Referenced, Wrong> {
        let cluster_bytes = self.cluster_bytes();
        let length = file.metadata().map_err(Wrong::Read)?.len();
        // More tables than there is room for are the same ones again.
        let mut tables_left = length / cluster_bytes;
        let mut found = Referenced::default();
        let l1_bytes = u64::from(self.l1_entries) * 8;
        let step = if self.incompatible & EXTENDED_L2 == 0 {
            1
        } else {
            2
        };
        // An entry for compressed data has the number of sectors in its high
        // bits.
        let compressed_offset = (1_u64 << (62 - (self.cluster_bits - 8))) - 1;
        each_u64(file, self.l1_at, l1_bytes, |entry| {
            let table = entry & OFFSET;
            if table == 0 {
                return Ok(());
            }
            tables_left = tables_left
                .checked_sub(1)
                .ok_or(Wrong::Says("its tables overlap, or lie outside of it"))?;
            let mut index = 0_u64;
            each_u64(file, table, cluster_bytes, |entry| {
                index += 1;
                if !(index - 1).is_multiple_of(step) {
                    return Ok(());
                }
                let at = if entry & COMPRESSED != 0 {
                    entry & compressed_offset
                } else if entry & ZERO != 0 && step == 1 {
                    0
                } else {
                    entry & OFFSET
                };
                if at != 0 {
                    found.data_bytes = found.data_bytes.saturating_add(cluster_bytes);
                    found.longer_than = found.longer_than.max(at);
                }
                Ok(())
            })
        })?;
        Ok(found)
    }

    /// Refuses images that cannot be layers, and those that were cut.
    ///
    /// # Errors
    /// [`Error::Format`], [`Error::Unsupported`].
    pub(crate) fn check_usable(&self, path: &Path) -> Result<()> {
        if self.incompatible & CORRUPT != 0 {
            return Err(Error::Format {
                path: path.to_owned(),
                why: "it is marked corrupt: repair a copy of it with qemu-img check -r all"
                    .to_owned(),
            });
        }
        let unsupported = |why: &str| {
            Err(Error::Unsupported {
                path: path.to_owned(),
                why: why.to_owned(),
            })
        };
        if self.incompatible & EXTERNAL_DATA != 0 {
            return unsupported(
                "its data lie in another file, which would not be kept: turn it into a plain \
                 image with qemu-img convert",
            );
        }
        if self.encrypted {
            return unsupported(
                "it is encrypted: encrypt inside the machine instead, or use a plain image",
            );
        }
        self.check_length(path)
    }
}

/// What is wrong with a header, before it is known of which file.
enum Wrong {
    Says(&'static str),
    Read(std::io::Error),
}

impl Wrong {
    fn at(self, path: &Path) -> Error {
        match self {
            Self::Says(what) => Error::Format {
                path: path.to_owned(),
                why: format!(
                    "it is not a sound qcow2 image ({what}): check it with qemu-img check"
                ),
            },
            Self::Read(e) => Error::io("read the header of", path, e),
        }
    }
}

fn read_exact(file: &File, buffer: &mut [u8], at: u64) -> Result<(), Wrong> {
    file.read_exact_at(buffer, at).map_err(|e| match e.kind() {
        ErrorKind::UnexpectedEof => Wrong::Says("it ends too early"),
        _ => Wrong::Read(e),
    })
}

/// Hands every big-endian number of a table to `visit`.
fn each_u64(
    file: &File,
    at: u64,
    bytes: u64,
    mut visit: impl FnMut(u64) -> Result<(), Wrong>,
) -> Result<(), Wrong> {
    let (mut at, mut left) = (at, bytes);
    let mut buffer = vec![0_u8; TABLE_PIECE_BYTES];
    while left > 0 {
        let wanted = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let part = buffer.get_mut(..wanted).unwrap_or_default();
        read_exact(file, part, at)?;
        for eight in part.chunks_exact(8) {
            let number = eight
                .first_chunk()
                .map_or(0, |eight| u64::from_be_bytes(*eight));
            visit(number)?;
        }
        left -= wanted as u64;
        at = at
            .checked_add(wanted as u64)
            .ok_or(Wrong::Says("a table of it is out of range"))?;
    }
    Ok(())
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, Wrong> {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .map(|four| u32::from_be_bytes(*four))
        .ok_or(Wrong::Says("its header is too short"))
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64, Wrong> {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .map(|eight| u64::from_be_bytes(*eight))
        .ok_or(Wrong::Says("its header is too short"))
}

fn parse(file: &File, file_bytes: u64) -> Result<Header, Wrong> {
    let mut first = [0_u8; HEADER_2_BYTES];
    read_exact(file, &mut first, 0)?;
    if !first.starts_with(&MAGIC) {
        return Err(Wrong::Says("it does not begin as one"));
    }
    let (incompatible, refcount_order) = match u32_at(&first, 4)? {
        2 => (0, REFCOUNT_ORDER_2),
        3 => {
            let mut more = [0_u8; HEADER_3_BYTES];
            read_exact(file, &mut more, 0)?;
            (u64_at(&more, 72)?, u32_at(&more, 96)?)
        }
        _ => return Err(Wrong::Says("its version is neither 2 nor 3")),
    };
    let cluster_bits = u32_at(&first, 20)?;
    if !(9..=21).contains(&cluster_bits) {
        return Err(Wrong::Says("its cluster size is out of range"));
    }
    let cluster_bytes = 1_u64 << cluster_bits;
    let size_bytes = u64_at(&first, 24)?;
    if size_bytes > i64::MAX.cast_unsigned() {
        return Err(Wrong::Says("its size is out of range"));
    }
    let l1_entries = u32_at(&first, 36)?;
    let l1_at = u64_at(&first, 40)?;
    let l1_bytes = u64::from(l1_entries) * 8;
    // One entry maps a table of one cluster of 8-byte entries.
    let mapped_by_entry = cluster_bytes * (cluster_bytes / 8);
    if l1_bytes > MAX_L1_BYTES || u64::from(l1_entries) < size_bytes.div_ceil(mapped_by_entry) {
        return Err(Wrong::Says("its table is out of range"));
    }
    if l1_at
        .checked_add(l1_bytes)
        .is_none_or(|end| end > file_bytes)
    {
        return Err(Wrong::Says("its table lies outside of it"));
    }
    let refcounts_at = u64_at(&first, 48)?;
    let refcounts_bytes = u64::from(u32_at(&first, 56)?) * cluster_bytes;
    if refcounts_bytes > MAX_REFCOUNT_TABLE_BYTES || refcount_order > MAX_REFCOUNT_ORDER {
        return Err(Wrong::Says("its refcount table is out of range"));
    }
    if refcounts_at
        .checked_add(refcounts_bytes)
        .is_none_or(|end| end > file_bytes)
    {
        return Err(Wrong::Says("its refcount table lies outside of it"));
    }
    Ok(Header {
        size_bytes,
        backing: backing(file, &first)?,
        encrypted: u32_at(&first, 32)? != 0,
        incompatible,
        snapshots: u32_at(&first, 60)?,
        l1_entries,
        l1_at,
        cluster_bits,
        refcount_order,
        refcounts_at,
        refcounts_bytes,
    })
}

fn backing(file: &File, first: &[u8]) -> Result<Option<PathBuf>, Wrong> {
    let at = u64_at(first, 8)?;
    let length = u32_at(first, 16)?;
    if at == 0 || length == 0 {
        return Ok(None);
    }
    if length > MAX_BACKING_BYTES {
        return Err(Wrong::Says("the name of its backing file is too long"));
    }
    let mut name = vec![0_u8; length as usize];
    read_exact(file, &mut name, at)?;
    if name.contains(&0) {
        return Err(Wrong::Says("the name of its backing file has a zero in it"));
    }
    Ok(Some(PathBuf::from(std::ffi::OsString::from_vec(name))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(change: impl FnOnce(&mut Vec<u8>)) -> Result<Header> {
        let mut bytes = vec![0_u8; 4096];
        bytes[..4].copy_from_slice(&MAGIC);
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(4, &3_u32.to_be_bytes());
        put(8, &512_u64.to_be_bytes());
        put(16, &5_u32.to_be_bytes());
        put(20, &16_u32.to_be_bytes());
        put(24, &(1_u64 << 30).to_be_bytes());
        put(36, &2_u32.to_be_bytes());
        put(40, &2048_u64.to_be_bytes());
        put(512, b"/base");
        change(&mut bytes);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        std::fs::write(&path, bytes).unwrap();
        let header = read(&path)?;
        is_pristine(&path, &header)?;
        drop(header.check_usable(&path));
        drop(data_bytes(&path, &header));
        Ok(header)
    }

    #[test]
    fn a_sound_header_is_read() {
        let header = image(|_| {}).unwrap();
        assert_eq!(header.size_bytes, 1 << 30);
        assert_eq!(header.backing, Some(PathBuf::from("/base")));
    }

    #[test]
    fn an_unsound_header_is_refused() {
        type Change = fn(&mut Vec<u8>);
        #[rustfmt::skip]
        let table: [(&str, Change); 11] = [
            ("empty", |b| b.clear()),
            ("cut in the header", |b| b.truncate(70)),
            ("cut in the version 3 header", |b| b.truncate(100)),
            ("magic", |b| b[0] = 0),
            ("version", |b| b[7] = 9),
            ("clusters", |b| b[23] = 63),
            ("size", |b| b[24] = 0xff),
            ("table too small for the size", |b| b[36..40].fill(0)),
            ("table too large", |b| b[36..40].fill(0xff)),
            ("table outside", |b| b[40..48].fill(0xff)),
            ("backing name too long", |b| b[16..20].fill(0xff)),
        ];
        for (what, change) in table {
            assert!(matches!(image(change), Err(Error::Format { .. })), "{what}");
        }
        let outside: Change = |b| b[8..16].fill(0x7f);
        assert!(image(outside).is_err(), "backing name outside");
    }

    #[test]
    fn no_damage_to_a_header_makes_us_panic_or_read_much() {
        // Every byte of the header, with values that matter for every width.
        for at in 0..HEADER_3_BYTES {
            for value in [0, 1, 9, 0x7f, 0x80, 0xff] {
                drop(image(|b| b[at] = value));
            }
        }
    }

    #[test]
    fn no_damage_to_a_table_makes_us_panic_or_read_much() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.qcow2");
        for options in ["cluster_size=512", "cluster_size=4096,refcount_bits=1"] {
            let create = std::process::Command::new("qemu-img")
                .args(["create", "-q", "-f", "qcow2", "-o", options])
                .arg(&path)
                .arg("1M")
                .status();
            assert!(create.unwrap().success());
            let write = std::process::Command::new("qemu-io")
                .args(["-c", "write -q 0 8k", "-c", "write -q 512k 8k"])
                .arg(&path)
                .status();
            assert!(write.unwrap().success());
            let whole = std::fs::read(&path).unwrap();
            let header = read(&path).unwrap();
            header.check_usable(&path).unwrap();
            assert_eq!(data_bytes(&path, &header).unwrap(), 16 << 10);
            let file = File::options().write(true).open(&path).unwrap();
            // Every eighth byte, so each entry of a table once, and its other
            // bytes in turn.
            for at in (0..whole.len()).step_by(8) {
                let at = (at + at / 8 % 8).min(whole.len() - 1);
                for value in [1, 0x40, 0xff] {
                    file.write_all_at(&[value], at as u64).unwrap();
                    if let Ok(header) = read(&path) {
                        drop(header.check_usable(&path));
                        drop(data_bytes(&path, &header));
                    }
                }
                file.write_all_at(&whole[at..=at], at as u64).unwrap();
            }
            assert_eq!(std::fs::read(&path).unwrap(), whole);
        }
    }

    #[test]
    fn an_image_of_qemu_is_pristine_until_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.qcow2");
        let run = |program: &str, arguments: &[&str]| {
            let output = std::process::Command::new(program)
                .args(arguments)
                .arg(&path)
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
        };
        let size = std::process::Command::new("qemu-img")
            .args(["create", "-q", "-f", "qcow2"])
            .arg(&path)
            .arg("3T")
            .status()
            .unwrap();
        assert!(size.success());
        let header = read(&path).unwrap();
        assert_eq!(header.size_bytes, 3 << 40);
        assert!(is_pristine(&path, &header).unwrap());
        run("qemu-io", &["-c", "write 2T 512"]);
        assert!(!is_pristine(&path, &read(&path).unwrap()).unwrap());
    }
}
