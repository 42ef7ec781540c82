//! Drivers that hold a virtual disk's image file, and its restore points, on
//! this host.
//!
//! A managed disk is one image file, the *head*, at the path the user gave.
//! Its restore points lie beside it in the folder `<head>.backout`, on the same
//! file system:
//!
//! | file | what it is |
//! |---|---|
//! | `lock` | held during every step, with the highest fence seen |
//! | `point-NAME.raw`, `point-NAME.qcow2` | a restore point, a safety point, or a layer that others are built on |
//! | `gone-point-...` | marks a point that is forgotten but still needed as a layer |
//! | `trash-point-...` | a point that is retired, and not yet purged |
//! | `stage-NAME` | a whole new head that waits to be swapped in |
//! | `tmp-NAME` | a file in the making; worthless unless its maker still runs |
//! | `length-point-NAME.raw.BYTES` | marks how long a raw layer is |
//! | `made-NAME.ID`, `exported-NAME.ID` | marks that the file with that id is ours: the head that was made, or the image that was exported last |
//!
//! A rollback is three calls: [`Driver::stage`] builds the new head out of the
//! point, [`Driver::keep`] gives the present head a second name (the safety
//! point), [`Driver::swap`] renames the staged head over the present one.
//! Compacting a long chain of layers is the same with [`Driver::stage_flat`] as
//! the first, and the safety point deleted in the end; a reinstall is the same
//! with [`Driver::stage_image`]. [`make`] and [`destroy`] are for disks whose
//! files are ours from the first to the last.
//!
//! Architecture invariants:
//! 1. Nothing here knows a job, a product, a store or a vendor.
//! 2. Every function may be repeated after a crash at any instant in it, and
//!    every undo may be called whether its function ran whole, in part or not
//!    at all.
//! 3. A crash at any instant, power loss included, leaves the old disk or the
//!    new one, whole: contents are synced before a name points at them, a
//!    folder is synced before anything relies on the name, and a function that
//!    finds its work done syncs again before it says so.
//! 4. No contents that a user can have wanted are destroyed by a rollback: the
//!    head is renamed over only while another name still holds its inode.
//! 5. Whoever changes files holds the disk's lock and showed a fence that is
//!    not older than any seen before. A `qemu-img` that outlives its worker
//!    holds the lock too.
//! 6. A point's format is known by its name, never guessed from its contents:
//!    a guest can write what looks like a qcow2 header into a raw disk.

mod driver;
mod error;
mod fsx;
mod holders;
mod image;
mod lock;
mod model;
mod probe;
mod qcow2;
mod steps;
mod whole_file;

pub use driver::{Driver, driver};
pub use error::{Error, Result};
pub use holders::{Holder, holders};
pub use image::{destroy, image_size, make, space_needed_image, unmake};
pub use lock::{DiskLock, Guard, check_folder};
pub use model::{
    Adopted, Captured, Disk, DriverKind, ExportFacts, FileId, Format, HeadFacts, Kept, Name,
    NoProgress, Point, PointFacts, Progress, Purged, Retired, Staged, Swapped,
};
pub use probe::{
    Capabilities, canonical_head, choose, detect_format, format_of, free_bytes, probe,
};
pub use qcow2::MAX_LAYERS;

#[cfg(test)]
mod conformance;
