//! Snapshot and rollback by driver, beside `cp --sparse=always` and fsync of
//! the same disk; and the same at sixteen times the size.

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
const SMALL: u64 = GIB;
const LARGE: u64 = 16 * GIB;
/// In pieces of one MiB, spread over the whole disk.
const DATA: u64 = 256 << 20;
const PIECE: u64 = 1 << 20;
/// Rounds that only touch metadata, and rounds that copy.
const ROUNDS: usize = 15;
const COPY_ROUNDS: usize = 5;
/// The file system for reflinks: room for two disks, two files for `cp`, what
/// `cp` writes, and its log.
const VOLUME: u64 = 3 * GIB;
/// How near to 1 the ratio of the sizes must be.
const NEAR: f64 = 1.5;

pub(crate) fn run() -> anyhow::Result<bool> {
    table::title(
        "Disks: 1 GiB with 256 MiB of data, snapshot and rollback by driver, beside cp",
        "disks",
    );
    let folder = child::scratch()?;
    let raw = folder.path().join("raw");
    std::fs::create_dir(&raw)?;
    let mut table = Table::new(&[
        "driver, disk",
        "snapshot ms",
        "rollback ms",
        "cp + fsync ms",
        "snapshot/cp",
        "rollback/cp",
    ]);
    let mut reached = true;
    let mut notes = Vec::new();

    let copy = measure(DriverKind::Copy, &raw, SMALL, COPY_ROUNDS)?;
    copy.show(&mut table, "copy, 1 GiB");
    if child::has("qemu-img") {
        let (small, large) = both(DriverKind::Qcow2, &raw)?;
        small.show(&mut table, "qcow2, 1 GiB");
        large.show(&mut table, "qcow2, 16 GiB");
        notes.push(("qcow2", small, large));
    } else {
        println!("  qcow2: not measured, there is no qemu-img");
    }
    match Volume::mount(folder.path())? {
        Some(volume) => {
            let (small, large) = both(DriverKind::Reflink, &volume.at)?;
            small.show(&mut table, "reflink (XFS), 1 GiB");
            large.show(&mut table, "reflink (XFS), 16 GiB");
            notes.push(("reflink", small, large));
        }
        None => println!("  reflink: not measured, it needs root and mkfs.xfs"),
    }
    table.print();
    for (name, small, large) in &notes {
        let ratio = large.rollback.ratio(&small.rollback);
        reached &= table::at_most(&format!("{name} rollback, 16 GiB / 1 GiB"), ratio, "", NEAR);
    }
    println!();
    Ok(reached)
}

#[derive(Default)]
struct Measured {
    snapshot: Rounds,
    rollback: Rounds,
    cp: Rounds,
}

impl Measured {
    fn show(&self, table: &mut Table, name: &str) {
        let cp = self.cp.median();
        table.row(vec![
            name.to_owned(),
            table::number(self.snapshot.median()),
            table::number(self.rollback.median()),
            table::number(cp),
            format!("{:.3}", self.snapshot.median() / cp),
            format!("{:.3}", self.rollback.median() / cp),
        ]);
    }
}

fn measure(kind: DriverKind, folder: &Path, size: u64, rounds: usize) -> anyhow::Result<Measured> {
    let mut bench = Bench::new(kind, folder, size)?;
    let mut measured = Measured::default();
    for round in 0..rounds {
        bench.round(round, &mut measured)?;
    }
    bench.remove()?;
    Ok(measured)
}

/// Both sizes, in alternating rounds.
fn both(kind: DriverKind, folder: &Path) -> anyhow::Result<(Measured, Measured)> {
    let mut small = Bench::new(kind, folder, SMALL)?;
    let mut large = Bench::new(kind, folder, LARGE)?;
    let (mut a, mut b) = (Measured::default(), Measured::default());
    for round in 0..ROUNDS {
        small.round(round, &mut a)?;
        large.round(round, &mut b)?;
    }
    small.remove()?;
    large.remove()?;
    Ok((a, b))
}

struct Bench {
    disk: Disk,
    /// The same contents as one raw file, for `cp`.
    flat: PathBuf,
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
                child::done(
                    Command::new("qemu-img")
                        .args(["convert", "-f", "raw", "-O", "qcow2"])
                        .args([&flat, &head]),
                )?;
                File::open(&head)?.sync_all()?;
                Format::Qcow2
            }
        };
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
            driver,
            fence: 1,
        })
    }

    /// One snapshot, one rollback to it, one `cp`. The lock is taken each time,
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
        Ok(())
    }
}

/// A sparse raw disk, with data in pieces at even distances.
fn write_disk(path: &Path, size: u64) -> anyhow::Result<()> {
    let file = File::create(path)?;
    file.set_len(size)?;
    let pieces = DATA / PIECE;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for n in 0..pieces {
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
