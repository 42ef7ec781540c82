//! Which image files are built on which.

use std::collections::{BTreeMap, BTreeSet};
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
    let folder = disk.folder();
    let (mut path, mut format) = (path.to_owned(), format);
    for depth in 1..=2 * MAX_LAYERS {
        fsx::regular(&path)?;
        if format == Format::Raw {
            return Ok(depth);
        }
        let header = header::read(&path)?;
        header.check_usable(&path)?;
        let Some(file) = file_below(&folder, &header) else {
            // The user's own base image, if any. Names that are no paths (a
            // network disk) cannot be looked at.
            if let Some(backing) = header.backing.filter(|backing| backing.is_absolute()) {
                fsx::find(&backing)?.ok_or(Error::PointMissing { path: backing })?;
                return Ok(depth + 1);
            }
            return Ok(depth);
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
