//! Which image files are built on which.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::path::Path;

use super::header::{self, Header};
use crate::error::{Error, Result};
use crate::fsx;
use crate::model::{Disk, Format, Point};

/// Longest chain of files from a head down to its lowest layer. QEMU opens every file of
/// a chain and keeps a cache for each, so a longer one costs more than it is
/// worth.
pub const MAX_LAYERS: u32 = 128;

/// The image files of a disk's folder, and the file of the folder that each is
/// built on.
#[derive(Debug, Default)]
pub(super) struct Layers {
    below: BTreeMap<String, Option<String>>,
    marked: BTreeSet<String>,
}

/// The name of the file in `folder` that `header` names as its backing file.
pub(super) fn file_below(folder: &Path, header: &Header) -> Option<String> {
    let backing = header.backing.as_deref()?;
    if backing.parent() != Some(folder) {
        return None;
    }
    Some(backing.file_name()?.to_str()?.to_owned())
}

impl Layers {
    /// Reads every header in `folder`, but not that of `except`.
    ///
    /// # Errors
    /// [`Error::Format`]: while one header cannot be read nobody knows which
    /// layers it needs, so nothing may be removed.
    pub(super) fn read(folder: &Path, except: Option<&str>) -> Result<Self> {
        let mut layers = Self::default();
        for file in fsx::list(folder)? {
            if let Some(of) = file.strip_prefix("gone-") {
                layers.marked.insert(of.to_owned());
                continue;
            }
            let point = Point::of_file(file.strip_prefix("trash-").unwrap_or(&file));
            let format = match point {
                Some(point) => point.format,
                None if file.starts_with("stage-") => Format::Qcow2,
                None => continue,
            };
            if except == Some(file.as_str()) {
                continue;
            }
            let below = match format {
                Format::Raw => None,
                Format::Qcow2 => file_below(folder, &header::read(&folder.join(&file))?),
            };
            layers.below.insert(file, below);
        }
        Ok(layers)
    }

    /// Whether another file of the folder is built directly on `file`.
    pub(super) fn is_below_another(&self, file: &str) -> bool {
        self.below
            .values()
            .any(|below| below.as_deref() == Some(file))
    }

    /// Points whose user has not given them up.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &str> {
        self.below
            .keys()
            .map(String::as_str)
            .filter(|file| file.starts_with("point-") && !self.marked.contains(*file))
    }

    /// `roots` and all files below them.
    pub(super) fn needed<'a>(
        &'a self,
        roots: impl IntoIterator<Item = &'a str>,
    ) -> BTreeSet<&'a str> {
        let mut needed = BTreeSet::new();
        for root in roots {
            let mut next = Some(root);
            // A loop ends at the first file seen before.
            while let Some(file) = next.filter(|file| needed.insert(*file)) {
                next = self.below.get(file).and_then(Option::as_deref);
            }
        }
        needed
    }

    /// Every file that is wanted for itself: whatever is not marked as given
    /// up, staged heads and the trash of others included.
    pub(super) fn unmarked(&self) -> impl Iterator<Item = &str> {
        self.below
            .keys()
            .map(String::as_str)
            .filter(|file| !self.marked.contains(*file))
    }

    /// Points that were given up, with those whose file is gone already.
    pub(super) fn marked(&self) -> impl Iterator<Item = &str> {
        self.marked.iter().map(String::as_str)
    }
}

/// Checks every layer from `path` down; returns how many there are.
///
/// # Errors
/// [`Error::PointMissing`], [`Error::Format`], [`Error::Unsupported`].
pub(super) fn check_chain(disk: &Disk, path: &Path, format: Format) -> Result<u32> {
    let mut depth = 0;
    each_layer(disk, path, format, |_, _, _| {
        depth += 1;
        Ok(())
    })?;
    Ok(depth)
}

/// The most that a single image with what is read from `path` takes, in bytes.
///
/// # Errors
/// As [`check_chain`].
pub(crate) fn flat_bytes(disk: &Disk, path: &Path, format: Format) -> Result<u64> {
    let mut sum = 0_u64;
    let mut size_bytes = None;
    each_layer(disk, path, format, |path, metadata, header| {
        let data = match header {
            Some(header) => header::data_bytes(path, header)?,
            None => fsx::allocated(metadata),
        };
        sum = sum.saturating_add(data);
        size_bytes.get_or_insert(header.map_or(metadata.len(), |header| header.size_bytes));
        Ok(())
    })?;
    Ok(with_tables(sum.min(size_bytes.unwrap_or(u64::MAX))))
}

/// `data_bytes`, and what the tables of an image take beside them: ten bytes
/// for each cluster of 64 KiB, and a little more for rounding.
pub(crate) fn with_tables(data_bytes: u64) -> u64 {
    data_bytes.saturating_add(data_bytes / 4096)
}

/// How the notes of the length of `point` begin.
pub(super) fn length_notes(point: &Point) -> String {
    format!("length-{}.", point.file)
}

/// File name of the note that `point`, which is raw, has `bytes`.
pub(super) fn length_note(point: &Point, bytes: u64) -> String {
    format!("{}{bytes}", length_notes(point))
}

/// Refuses a raw layer that has another length than it had when it became one.
fn check_length(folder: &Path, path: &Path, metadata: &Metadata) -> Result<()> {
    let file = path.file_name().and_then(|file| file.to_str());
    let Some(point) = file.and_then(Point::of_file) else {
        return Ok(());
    };
    if fsx::find(&folder.join(length_note(&point, metadata.len())))?.is_some() {
        return Ok(());
    }
    let notes = length_notes(&point);
    // Layers of older versions have no note.
    let noted = fsx::list(folder)?
        .into_iter()
        .find_map(|file| file.strip_prefix(&notes).map(str::to_owned));
    let Some(noted) = noted else {
        return Ok(());
    };
    Err(Error::Format {
        path: path.to_owned(),
        why: format!(
            "it has {} bytes and had {noted}: somebody has changed it, so bring it back from a \
             backup",
            metadata.len()
        ),
    })
}

/// Checks every layer from `path` down, and hands each to `visit`; those that
/// are not in the disk's folder, and raw ones, without a header.
fn each_layer(
    disk: &Disk,
    path: &Path,
    format: Format,
    mut visit: impl FnMut(&Path, &Metadata, Option<&Header>) -> Result<()>,
) -> Result<()> {
    let folder = disk.folder();
    let (mut path, mut format) = (path.to_owned(), format);
    for _ in 0..2 * MAX_LAYERS {
        let metadata = fsx::regular(&path)?;
        if format == Format::Raw {
            check_length(&folder, &path, &metadata)?;
            return visit(&path, &metadata, None);
        }
        let header = header::read(&path)?;
        header.check_usable(&path)?;
        visit(&path, &metadata, Some(&header))?;
        let Some(file) = file_below(&folder, &header) else {
            // The user's own base image, if any. Names that are no paths (a
            // network disk) cannot be looked at.
            let Some(backing) = header.backing.filter(|backing| backing.is_absolute()) else {
                return Ok(());
            };
            return match fsx::find(&backing)? {
                Some(metadata) => visit(&backing, &metadata, None),
                None => Err(Error::PointMissing { path: backing }),
            };
        };
        path = folder.join(&file);
        let point = Point::of_file(&file).ok_or_else(|| Error::Format {
            path: path.clone(),
            why: "an image is built on it though it is no restore point: check the image's \
                  backing file with qemu-img info"
                .to_owned(),
        })?;
        format = point.format;
    }
    Err(Error::Format {
        path,
        why: "its chain of backing files has no end: check it with qemu-img info --backing-chain"
            .to_owned(),
    })
}
