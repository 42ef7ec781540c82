//! Snapshot and rollback by driver at three sizes of disk with the same data,
//! beside an internal snapshot of `qemu-img` and `cp --sparse=always` with
//! fsync of the same.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::Context as _;
use backout_core::fence::Fence;
use backout_disks::{Disk, DiskLock, Driver, DriverKind, Format, Name, NoProgress, driver};

use crate::child;
use crate::table::{self, Rounds, Table};

const GIB: u64 = 1 << 30;
/// The first is what the others are compared with.
const SIZES: [u64; 3] = [GIB, 16 * GIB, 256 * GIB];
/// In pieces of one MiB, spread over the whole disk.
const DATA: u64 = GIB;
const PIECE: u64 = 1 << 20;
/// Rounds that only touch metadata, and rounds that copy all data as well.
const ROUNDS: usize = 15;
const COPY_ROUNDS: usize = 5;
/// The file system for reflinks, sparse: room for every size.
const VOLUME: u64 = 300 * GIB;
/// How near to 1 the ratio of the sizes must be.
const NEAR: f64 = 1.5;

pub(crate) fn run() -> anyhow::Result<bool> {
    table::title(
        "Disks: 1 GiB of data, snapshot and rollback by driver, beside qemu-img snapshot and cp",
        "disks",
    );
    let folder = child::scratch()?;
    let raw = folder.path().join("raw");
    std::fs::create_dir(&raw)?;
    let mut table = Table::new(&[
        "driver, disk",
        "snapshot ms",
        "rollback ms",
        "snapshot -a ms",
        "cp + fsync ms",
        "snapshot/cp",
        "rollback/cp",
        "rollback/-a",
    ]);
    let mut reached = true;
    let mut by_size = Vec::new();

    let copy = measure(DriverKind::Copy, &raw, &SIZES[..1], COPY_ROUNDS)?;
    show(&mut table, "copy", &copy);
    if child::has("qemu-img") {
        let qcow2 = measure(DriverKind::Qcow2, &raw, &SIZES, ROUNDS)?;
        show(&mut table, "qcow2", &qcow2);
        by_size.push(("qcow2", qcow2));
    } else {
        println!("  qcow2: not measured, there is no qemu-img");
    }
    match Volume::mount(folder.path())? {
        Some(volume) => {
            let reflink = measure(DriverKind::Reflink, &volume.at, &SIZES, ROUNDS)?;
            show(&mut table, "reflink (XFS)", &reflink);
            by_size.push(("reflink", reflink));
        }
        None => println!("  reflink: not measured, it needs root and mkfs.xfs"),
    }
    table.print();
    for (name, all) in &by_size {
        let Some((small, larger)) = all.split_first() else {
            continue;
        };
        for large in larger {
            let ratio = large.rollback.ratio(&small.rollback);
            let what = format!(
                "{name} rollback, {} GiB / {} GiB",
                large.size / GIB,
                small.size / GIB
            );
            reached &= table::at_most(&what, ratio, "", NEAR);
        }
    }
    println!();
    Ok(reached)
}

/// What was measured of a disk of `size` bytes.
#[derive(Default)]
struct Measured {
    size: u64,
    snapshot: Rounds,
    rollback: Rounds,
    internal: Rounds,
    cp: Rounds,
}

fn show(table: &mut Table, name: &str, all: &[Measured]) {
    let number = |rounds: &Rounds| match rounds.median() {
        median if median.is_nan() => "-".to_owned(),
        median => table::number(median),
    };
    let ratio = |rounds: &Rounds, other: &Rounds| match rounds.ratio(other) {
        ratio if ratio.is_nan() => "-".to_owned(),
        ratio => format!("{ratio:.3}"),
    };
    for measured in all {
        table.row(vec![
            format!("{name}, {} GiB", measured.size / GIB),
            number(&measured.snapshot),
            number(&measured.rollback),
            number(&measured.internal),
            number(&measured.cp),
            ratio(&measured.snapshot, &measured.cp),
            ratio(&measured.rollback, &measured.cp),
            ratio(&measured.rollback, &measured.internal),
        ]);
    }
}

/// All sizes, in alternating rounds.
fn measure(
    kind: DriverKind,
    folder: &Path,
    sizes: &[u64],
    rounds: usize,
) -> anyhow::Result<Vec<Measured>> {
    let mut all = Vec::new();
    for size in sizes {
        let measured = Measured {
            size: *size,
            ..Measured::default()
        };
        all.push((Bench::new(kind, folder, *size)?, measured));
    }
    for round in 0..rounds {
        for (bench, measured) in &mut all {
            bench.round(round, measured)?;
        }
    }
    let mut done = Vec::new();
    for (bench, measured) in all {
        bench.remove()?;
        done.push(measured);
    }
    Ok(done)
}

struct Bench {
    disk: Disk,
    /// The same contents as one raw file, for `cp`.
    flat: PathBuf,
    /// The same contents as one qcow2 image, for snapshots inside of it; not
    /// for the copy driver, which is not compared with them.
    internal: Option<PathBuf>,
    driver: &'static dyn Driver,
    fence: i64,
}

impl Bench {
    fn new(kind: DriverKind, folder: &Path, size: u64) -> anyhow::Result<Self> {
        let head = folder.join(format!("{kind}-{}.img", size / GIB));
        let flat = head.with_extension("flat");
        write_disk(&flat, size)?;
        let format = match kind {
            DriverKind::Reflink | DriverKind::Copy => {
                write_disk(&head, size)?;
                Format::Raw
            }
            DriverKind::Qcow2 => {
                to_qcow2(&flat, &head)?;
                Format::Qcow2
            }
        };
        let mut internal = None;
        if kind != DriverKind::Copy && child::has("qemu-img") {
            let image = head.with_extension("internal");
            to_qcow2(&flat, &image)?;
            internal = Some(image);
        }
        let driver = driver(kind);
        let disk = Disk {
            head: backout_disks::canonical_head(&head)?,
            format,
            driver: kind,
        };
        let guard = DiskLock::acquire(&disk, Fence(1))?;
        let adopted = driver.adopt(&guard, &disk, &Name::new("adopted")?)?;
        Ok(Self {
            disk: adopted.disk,
            flat,
            internal,
            driver,
            fence: 1,
        })
    }

    /// One snapshot and one rollback to it; the same inside of an image; one
    /// `cp`. The lock is taken each time,
    /// with a new fence, as a job does.
    fn round(&mut self, round: usize, measured: &mut Measured) -> anyhow::Result<()> {
        let (disk, driver) = (&self.disk, self.driver);
        let name = |what: &str| Name::new(format!("{what}-{round}"));

        self.fence += 1;
        let began = Instant::now();
        let guard = DiskLock::acquire(disk, Fence(self.fence))?;
        let point = driver
            .capture(&guard, disk, &name("snap")?, &NoProgress)
            .context("take a snapshot")?
            .point;
        drop(guard);
        measured.snapshot.time(began.elapsed());

        self.fence += 1;
        let began = Instant::now();
        let guard = DiskLock::acquire(disk, Fence(self.fence))?;
        driver.verify_point(disk, &point)?;
        let staged = driver.stage(&guard, disk, &point, &name("head")?, &NoProgress)?;
        let kept = driver.keep(&guard, disk, &name("safety")?)?;
        driver
            .swap(&guard, disk, &staged, &kept)
            .context("roll back")?;
        measured.rollback.time(began.elapsed());

        // So that a file system of a few GiB is enough.
        for gone in [&kept.point, &point] {
            driver.retire(&guard, disk, gone)?;
            driver.purge(&guard, disk, gone, &[])?;
        }
        drop(guard);

        if let Some(image) = &self.internal {
            let snapshot = |option: &str| {
                child::done(
                    Command::new("qemu-img")
                        .args(["snapshot", option, "one"])
                        .arg(image),
                )
            };
            snapshot("-c")?;
            File::open(image)?.sync_all()?;
            let began = Instant::now();
            snapshot("-a")?;
            File::open(image)?.sync_all()?;
            measured.internal.time(began.elapsed());
            snapshot("-d")?;
        }

        if round >= COPY_ROUNDS {
            return Ok(());
        }
        let to = disk.head.with_extension("cp");
        let began = Instant::now();
        child::done(
            Command::new("cp")
                .args(["--sparse=always", "--reflink=never"])
                .args([&self.flat, &to]),
        )?;
        File::open(&to)?.sync_all()?;
        measured.cp.time(began.elapsed());
        std::fs::remove_file(&to)?;
        Ok(())
    }

    fn remove(self) -> anyhow::Result<()> {
        std::fs::remove_dir_all(self.disk.folder())?;
        std::fs::remove_file(&self.disk.head)?;
        std::fs::remove_file(&self.flat)?;
        if let Some(image) = &self.internal {
            std::fs::remove_file(image)?;
        }
        Ok(())
    }
}

fn to_qcow2(raw: &Path, image: &Path) -> anyhow::Result<()> {
    child::done(
        Command::new("qemu-img")
            .args(["convert", "-f", "raw", "-O", "qcow2"])
            .args([raw, image]),
    )?;
    File::open(image)?.sync_all()?;
    Ok(())
}

/// A sparse raw disk, with data in pieces at even distances. Every other piece
/// is written first, so that no two that are neighbours in the file are so on
/// the device, and a disk that is full has as many extents as one that is not:
/// a clone takes time for each of them.
fn write_disk(path: &Path, size: u64) -> anyhow::Result<()> {
    let file = File::create(path)?;
    file.set_len(size)?;
    let pieces = DATA / PIECE;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for first in [0, 1] {
        for n in (first..pieces).step_by(2) {
            // Not zeros, and not twice the same.
            let bytes: Vec<u8> = (0..PIECE / 8)
                .flat_map(|_| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    state.to_le_bytes()
                })
                .collect();
            file.write_all_at(&bytes, n * (size / pieces))?;
        }
        file.sync_all()?;
    }
    Ok(())
}

/// An XFS in a file, mounted.
struct Volume {
    at: PathBuf,
}

impl Volume {
    fn mount(folder: &Path) -> anyhow::Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() || !child::has("mkfs.xfs") {
            return Ok(None);
        }
        let image = folder.join("xfs.img");
        File::create(&image)?.set_len(VOLUME)?;
        child::done(
            Command::new("mkfs.xfs")
                .args(["-q", "-m", "reflink=1"])
                .arg(&image),
        )?;
        let at = folder.join("xfs");
        std::fs::create_dir(&at)?;
        child::done(
            Command::new("mount")
                .args(["-o", "loop"])
                .args([&image, &at]),
        )?;
        Ok(Some(Self { at }))
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // What stays mounted shows in the folder that stays.
        let _ = Command::new("umount").arg(&self.at).status();
    }
}
