//! The plain data that callers store and hand back.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What is appended to a head's path to get the folder of its restore points.
const FOLDER_SUFFIX: &str = ".backout";

/// How the bytes of an image file are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// The bytes of the disk, as they are.
    Raw,
    /// QEMU's copy-on-write format.
    Qcow2,
}

impl Format {
    /// `raw` or `qcow2`; also the ending of a point's file name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "raw" => Ok(Self::Raw),
            "qcow2" => Ok(Self::Qcow2),
            other => Err(Error::BadName {
                what: "disk format",
                given: clip(other),
                want: "raw or qcow2",
            }),
        }
    }
}

/// How restore points are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriverKind {
    /// Clones that share blocks, in constant time. XFS and btrfs.
    Reflink,
    /// Copy-on-write overlays made with `qemu-img`, in constant time.
    Qcow2,
    /// Sparse copies, on any file system. Time grows with the data.
    Copy,
}

impl DriverKind {
    /// Every driver.
    pub const ALL: [Self; 3] = [Self::Reflink, Self::Qcow2, Self::Copy];

    /// `reflink`, `qcow2` or `copy`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reflink => "reflink",
            Self::Qcow2 => "qcow2",
            Self::Copy => "copy",
        }
    }
}

impl fmt::Display for DriverKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DriverKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| Error::BadName {
                what: "disk driver",
                given: clip(text),
                want: "reflink, qcow2 or copy",
            })
    }
}

/// The name of one point or one staged head, chosen by the caller: 1 to 100
/// letters, digits, `-` or `_`. It is the idempotence key of the call it is
/// given to, so it must never be used again for something else on the same
/// disk; an id of the caller's own serves well.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// Longest name, in bytes. With the longest prefix and suffix it stays well
    /// below the 255 bytes that file systems allow.
    pub const MAX_BYTES: usize = 100;

    /// Checks and wraps `text`.
    ///
    /// # Errors
    /// [`Error::BadName`].
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        let good = (1..=Self::MAX_BYTES).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !good {
            return Err(Error::BadName {
                what: "point name",
                given: clip(&text),
                want: "1 to 100 letters, digits, - or _",
            });
        }
        Ok(Self(text))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The point a capture or keep under this name makes on a disk of `format`.
    #[must_use]
    pub fn point(&self, format: Format) -> Point {
        Point {
            file: format!("point-{}.{format}", self.0),
            format,
        }
    }

    /// File name of a staged head.
    pub(crate) fn stage_file(&self) -> String {
        format!("stage-{}", self.0)
    }

    /// File name of the mark that says that the file `id` was made under this
    /// name. `what` tells for what.
    pub(crate) fn mark_file(&self, what: &str, id: &FileId) -> String {
        let born_ns = id.born_ns.unwrap_or_default();
        format!("{}{}.{born_ns}", self.mark_prefix(what), id.ino)
    }

    /// How every mark of `what` under this name begins. A name has no dot.
    pub(crate) fn mark_prefix(&self, what: &str) -> String {
        format!("{what}-{}.", self.0)
    }

    /// File name of a file in the making. Never the same as another function's
    /// at the same time: the disk's lock lets only one run.
    pub(crate) fn tmp_file(&self) -> String {
        format!("tmp-{}", self.0)
    }
}

impl TryFrom<String> for Name {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Self::new(text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A managed disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// The image file that a machine uses: absolute, as [`crate::canonical_head`]
    /// returned it when the disk was adopted.
    pub head: PathBuf,
    /// How the head's bytes are to be read.
    pub format: Format,
    /// How its restore points are made.
    pub driver: DriverKind,
}

impl Disk {
    /// The folder that holds the disk's restore points.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        let mut folder = self.head.clone().into_os_string();
        folder.push(FOLDER_SUFFIX);
        PathBuf::from(folder)
    }

    /// Where `point` lies.
    ///
    /// # Errors
    /// [`Error::BadName`] when the point's file name is none that a driver
    /// makes.
    pub fn point_path(&self, point: &Point) -> Result<PathBuf> {
        point.check()?;
        Ok(self.folder().join(&point.file))
    }
}

/// Whether `folder` looks like one that holds restore points.
pub(crate) fn is_points_folder(folder: &Path) -> bool {
    folder
        .file_name()
        .is_some_and(|name| name.as_encoded_bytes().ends_with(FOLDER_SUFFIX.as_bytes()))
}

/// A restore point: a file in the disk's folder.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Point {
    /// File name inside [`Disk::folder`], without slashes.
    pub file: String,
    /// How its bytes are to be read.
    pub format: Format,
}

impl Point {
    /// Reads a file name in a disk's folder; `None` when it is not a point's.
    pub(crate) fn of_file(file: &str) -> Option<Self> {
        let rest = file.strip_prefix("point-")?;
        let (name, format) = rest.rsplit_once('.')?;
        Name::new(name).ok()?;
        Some(Self {
            file: file.to_owned(),
            format: format.parse().ok()?,
        })
    }

    /// The point came from the caller's store: believe nothing.
    fn check(&self) -> Result<()> {
        if Self::of_file(&self.file).as_ref() == Some(self) {
            return Ok(());
        }
        Err(Error::BadName {
            what: "point file",
            given: clip(&self.file),
            want: "point-NAME.raw or point-NAME.qcow2, as a driver returned it",
        })
    }

    pub(crate) fn trash_file(&self) -> String {
        format!("trash-{}", self.file)
    }

    pub(crate) fn gone_file(&self) -> String {
        format!("gone-{}", self.file)
    }
}

/// Which file it is, whatever its name.
///
/// Two ids are of the same file by [`FileId::same_file`], not by `==`: a device
/// number changes when the host starts anew, so it does not count, and all
/// files of a disk lie on one file system anyway. The time of birth tells a
/// file from a later one that got the same inode number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileId {
    /// Device number at the time.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// When the inode was made, in nanoseconds since 1970; `None` where the
    /// file system does not say.
    pub born_ns: Option<i64>,
}

impl FileId {
    /// Whether both are of one file, on one file system.
    #[must_use]
    pub fn same_file(&self, other: &Self) -> bool {
        let born = match (self.born_ns, other.born_ns) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        self.ino == other.ino && born
    }

    pub(crate) fn of(metadata: &std::fs::Metadata) -> Self {
        let born_ns = metadata
            .created()
            .ok()
            .and_then(|born| born.duration_since(UNIX_EPOCH).ok())
            .and_then(|born| i64::try_from(born.as_nanos()).ok());
        Self {
            dev: metadata.dev(),
            ino: metadata.ino(),
            born_ns,
        }
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "inode {}", self.ino)
    }
}

/// What is known of a head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadFacts {
    /// Size of the disk as a machine sees it, in bytes.
    pub size_bytes: u64,
    /// Space the head's own file takes, in bytes; layers below not counted.
    pub allocated_bytes: u64,
    /// Its format.
    pub format: Format,
    /// How many files it is made of: 1, and one more for each layer it is built
    /// on. [`crate::MAX_LAYERS`] is the most; [`crate::Driver::stage_flat`]
    /// brings it back to 1.
    pub layers: u32,
    /// Which file it is.
    pub id: FileId,
}

/// What is known of a point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointFacts {
    /// Size of the disk as a machine would see it, in bytes.
    pub size_bytes: u64,
    /// Space its own file takes, in bytes. Blocks shared with other files count
    /// in full; layers below are not counted.
    pub allocated_bytes: u64,
}

/// Receipt of [`crate::Driver::adopt`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    /// The disk as it is to be handed to every other function from now on. Its
    /// format differs from the one given only when a raw head was put under the
    /// qcow2 driver.
    pub disk: Disk,
    /// The user's raw file, now the lowest layer; it may be offered as a
    /// restore point. Only when a raw head was put under the qcow2 driver.
    pub base: Option<Point>,
    /// The head, after adoption.
    pub head: HeadFacts,
}

/// Receipt of [`crate::Driver::capture`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    /// The new restore point.
    pub point: Point,
    /// What is known of it.
    pub facts: PointFacts,
    /// The head's file after the capture; the qcow2 driver makes a new one.
    pub head: FileId,
}

/// Receipt of [`crate::Driver::stage`], [`crate::Driver::stage_flat`] and
/// [`crate::Driver::stage_image`]. Store it before calling `swap`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged {
    /// The name it was staged under.
    pub name: Name,
    /// The staged file; after the swap, the head.
    pub id: FileId,
    /// Size of the disk as a machine will see it, in bytes.
    pub size_bytes: u64,
}

/// Receipt of [`crate::Driver::keep`]. Store it before calling `swap`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The present head as a restore point: the safety point.
    pub point: Point,
    /// The kept file. It cannot be mistaken later: the point's name holds the
    /// inode.
    pub id: FileId,
    /// What is known of it.
    pub facts: PointFacts,
}

/// Receipt of [`crate::Driver::export`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportFacts {
    /// Size of the disk in the image, in bytes.
    pub size_bytes: u64,
    /// Space that the image takes, in bytes. Blocks shared with other files
    /// count in full.
    pub allocated_bytes: u64,
}

/// Receipt of [`crate::Driver::swap`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swapped {
    /// The head, after the swap.
    pub head: FileId,
}

/// Receipt of [`crate::Driver::retire`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retired {
    /// Moved out of the way; a purge removes it.
    Moved,
    /// Other files are built on it, so it stays, nameless to users, until a
    /// purge finds that nothing needs it any more.
    NeededAsLayer,
}

/// Receipt of [`crate::Driver::purge`] and [`crate::destroy`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purged {
    /// File names that were removed.
    pub removed: Vec<String>,
    /// What they had allocated, in bytes; blocks shared with other files are
    /// counted though they are not freed.
    pub allocated_bytes: u64,
}

/// Told how far a long function is, and asked whether to stop.
pub trait Progress: Sync {
    /// `done` of `total` bytes. Called every few megabytes.
    fn at(&self, done: u64, total: u64);
    /// Whether to stop soon with [`Error::Cancelled`]. Asked as often.
    fn cancelled(&self) -> bool;
}

/// A [`Progress`] that hears nothing and never stops anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn at(&self, _done: u64, _total: u64) {}
    fn cancelled(&self) -> bool {
        false
    }
}

/// Outside text in an error message is cut to this many characters.
const MAX_QUOTED_CHARS: usize = 80;

/// Makes outside text fit for an error message.
pub(crate) fn clip(text: &str) -> String {
    clip_to(MAX_QUOTED_CHARS, text)
}

/// [`clip`], with another limit.
pub(crate) fn clip_to(chars: usize, text: &str) -> String {
    text.chars()
        .take(chars)
        .flat_map(char::escape_debug)
        .collect()
}
