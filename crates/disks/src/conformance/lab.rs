//! Disks to try things on.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use backout_core::fence::Fence;

use crate::fsx::{self, seam};
use crate::*;

/// Size of the disks, in bytes.
pub(super) const SIZE: u64 = 1 << 20;

/// A driver on a file system.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub(super) driver: DriverKind,
    /// The format of the user's file.
    pub(super) format: Format,
    pub(super) place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Place {
    Tmp,
    Xfs,
    Btrfs,
}

#[rustfmt::skip]
pub(super) const SETTINGS: [Setting; 7] = [
    Setting { driver: DriverKind::Reflink, format: Format::Raw,   place: Place::Xfs },
    Setting { driver: DriverKind::Reflink, format: Format::Raw,   place: Place::Btrfs },
    Setting { driver: DriverKind::Reflink, format: Format::Qcow2, place: Place::Xfs },
    Setting { driver: DriverKind::Copy,    format: Format::Raw,   place: Place::Tmp },
    Setting { driver: DriverKind::Copy,    format: Format::Qcow2, place: Place::Tmp },
    Setting { driver: DriverKind::Qcow2,   format: Format::Raw,   place: Place::Tmp },
    Setting { driver: DriverKind::Qcow2,   format: Format::Qcow2, place: Place::Tmp },
];

/// A file system in memory, where syncing costs nothing, however busy the disk
/// of this machine is.
pub(super) struct Memory(tempfile::TempDir);

impl Memory {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = ["-t", "tmpfs", "-o", "size=1g", "none"].map(OsStr::new);
        run(
            "mount",
            options.into_iter().chain([folder.path().as_os_str()]),
        );
        Self(folder)
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let path = self.0.path();
        drop(Command::new("umount").arg("-l").arg(path).status());
    }
}

/// A file system of our own. It is unmounted as soon as it is mounted, and
/// lives on while its folder is open here: so it goes with this process,
/// however that ends.
pub(super) struct Volume {
    root: File,
}

impl Volume {
    pub(super) fn image(mkfs: &[&str], bytes: u64) -> Self {
        // The mounted image outlives the name of what it lies in.
        let memory = Memory::new();
        let image = memory.path().join("image");
        File::create(&image).unwrap().set_len(bytes).unwrap();
        run(
            mkfs[0],
            mkfs[1..].iter().map(OsStr::new).chain([image.as_os_str()]),
        );
        Self::mount(&[OsStr::new("-o"), OsStr::new("loop"), image.as_os_str()])
    }

    pub(super) fn tmpfs(options: &str) -> Self {
        Self::mount(&["-t", "tmpfs", "-o", options, "none"].map(OsStr::new))
    }

    fn mount(what: &[&OsStr]) -> Self {
        let point = tempfile::tempdir().unwrap();
        let at = point.path().as_os_str();
        run("mount", what.iter().copied().chain([at]));
        let root = File::open(point.path());
        run("umount", [OsStr::new("-l"), at]);
        Self {
            root: root.unwrap(),
        }
    }

    /// Also good for other processes.
    pub(super) fn path(&self) -> PathBuf {
        let fd = self.root.as_raw_fd();
        PathBuf::from(format!("/proc/{}/fd/{fd}", std::process::id()))
    }
}

/// Fills a file system to its last block.
pub(super) fn fill(folder: &Path) {
    let file = File::create(folder.join("filler")).unwrap();
    let mut at = 0;
    for piece in [1 << 20, 64 << 10, 4096] {
        while file.write_all_at(&vec![1; piece], at).is_ok() {
            at += piece as u64;
        }
    }
    drop(file.sync_all());
}

pub(super) fn run<'a>(program: &str, arguments: impl IntoIterator<Item = &'a OsStr>) {
    let mut command = Command::new(program);
    let output = command.args(arguments).output().unwrap_or_else(|e| {
        panic!("these tests need {program} (xfsprogs, btrfs-progs, qemu-utils, mount): {e}")
    });
    assert!(
        output.status.success(),
        "these tests need root, and {command:?} to work: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

thread_local! {
    /// Where this thread's disks lie, whatever their setting says.
    static ROOT: RefCell<Option<PathBuf>> = const { RefCell::new(None) };
}

/// From now on this thread's disks lie in `root`.
pub(super) fn live_in(root: PathBuf) {
    ROOT.set(Some(root));
}

/// From now on this thread's disks lie in memory, unless `setting` needs a file
/// system of its own.
pub(super) fn live_in_memory(setting: Setting) -> Option<Volume> {
    if setting.place != Place::Tmp {
        return None;
    }
    let volume = Volume::tmpfs("size=1g");
    live_in(volume.path());
    Some(volume)
}

/// A new folder. The second part removes one that is a folder of its own.
fn folder(place: Place) -> (PathBuf, Option<tempfile::TempDir>) {
    static XFS: OnceLock<Volume> = OnceLock::new();
    static BTRFS: OnceLock<Volume> = OnceLock::new();
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let root = match place {
        _ if ROOT.with_borrow(Option::is_some) => ROOT.with_borrow(Clone::clone).unwrap(),
        Place::Tmp => {
            let folder = tempfile::tempdir().unwrap();
            return (folder.path().canonicalize().unwrap(), Some(folder));
        }
        Place::Xfs => XFS
            .get_or_init(|| Volume::image(&["mkfs.xfs", "-q", "-m", "reflink=1"], 512 << 20))
            .path(),
        Place::Btrfs => BTRFS
            .get_or_init(|| Volume::image(&["mkfs.btrfs", "-q"], 512 << 20))
            .path(),
    };
    let folder = root.join(COUNT.fetch_add(1, Ordering::Relaxed).to_string());
    std::fs::create_dir(&folder).unwrap();
    (folder, None)
}

/// One disk, what was done to it, and the receipts.
pub(super) struct Lab {
    folder: PathBuf,
    own: Option<tempfile::TempDir>,
    /// As the user gave it.
    pub(super) user: Disk,
    /// As the driver returned it.
    pub(super) disk: Disk,
    pub(super) staged: Option<Staged>,
    pub(super) kept: Option<Kept>,
    fence: i64,
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// A process that a test started, ended with it.
pub(super) struct Owned(pub(super) Child);

impl Drop for Owned {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Asks until it is so, for half a minute.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("{what}: it never was");
}

/// All that a user, or a later step, can see of a disk.
#[derive(PartialEq)]
pub(super) struct State {
    pub(super) head: Vec<u8>,
    pub(super) points: BTreeMap<String, Vec<u8>>,
    pub(super) files: Vec<String>,
    /// What lies in the folder for exported images.
    pub(super) exported: BTreeMap<String, Vec<u8>>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let points: Vec<_> = (self.points.iter())
            .map(|(file, bytes)| (file, digest(bytes)))
            .collect();
        let exported: Vec<_> = (self.exported.iter())
            .map(|(file, bytes)| (file, digest(bytes)))
            .collect();
        write!(
            f,
            "head {} points {points:?} files {:?} exported {exported:?}",
            digest(&self.head),
            self.files
        )
    }
}

pub(super) fn digest(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let hash = sha2::Sha256::digest(bytes);
    hash.iter().take(4).map(|b| format!("{b:02x}")).collect()
}

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

impl Lab {
    /// A disk that is not managed yet.
    pub(super) fn new(setting: Setting) -> Self {
        let (folder, own) = folder(setting.place);
        let mut lab = Self::at(folder, "disk.img", setting);
        lab.own = own;
        lab
    }

    pub(super) fn at(folder: PathBuf, file: &str, setting: Setting) -> Self {
        let head = folder.join(file);
        match setting.format {
            Format::Raw => File::create(&head).unwrap().set_len(SIZE).unwrap(),
            Format::Qcow2 => run(
                "qemu-img",
                [
                    "create".as_ref(),
                    "-qfqcow2".as_ref(),
                    head.as_os_str(),
                    SIZE.to_string().as_ref(),
                ],
            ),
        }
        let user = Disk {
            head,
            format: setting.format,
            driver: setting.driver,
        };
        Self {
            folder,
            own: None,
            disk: user.clone(),
            user,
            staged: None,
            kept: None,
            fence: 0,
        }
    }

    /// A disk with contents 1, managed.
    pub(super) fn managed(setting: Setting) -> Self {
        let mut lab = Self::new(setting);
        lab.write(1);
        lab.adopt();
        lab
    }

    pub(super) fn driver(&self) -> &'static dyn Driver {
        driver(self.user.driver)
    }

    /// The lock, as the next worker would take it.
    pub(super) fn guard(&mut self) -> Guard {
        self.lock().unwrap()
    }

    /// [`Lab::guard`], where a crash may come while it is taken.
    pub(super) fn lock(&mut self) -> Result<Guard> {
        let fence = self.fence();
        DiskLock::acquire(&self.disk, fence)
    }

    /// Changes a few parts of the head, as a machine would.
    pub(super) fn write(&self, seed: u8) {
        // Three runs, the first of which every seed covers, and holes between.
        let runs = [0, 2 + u64::from(seed % 3), 9 + u64::from(seed % 5)].map(|slot| slot << 16);
        match self.disk.format {
            Format::Raw => {
                let file = File::options().write(true).open(&self.disk.head).unwrap();
                for at in runs {
                    file.write_all_at(&[seed; 40_000], at).unwrap();
                }
            }
            Format::Qcow2 => {
                let commands = runs.map(|at| format!("write -q -P {seed} {at} 40000"));
                let arguments: Vec<_> = ["-f", "qcow2", "-t", "unsafe"]
                    .into_iter()
                    .chain(commands.iter().flat_map(|c| ["-c", c]))
                    .map(OsStr::new)
                    .chain([self.disk.head.as_os_str()])
                    .collect();
                run("qemu-io", arguments);
            }
        }
    }

    /// What a machine would read from the image.
    pub(super) fn read(path: &Path, format: Format) -> Vec<u8> {
        if format == Format::Raw {
            return std::fs::read(path).unwrap();
        }
        // Elsewhere: the disk's own file system may be full.
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        run(
            "qemu-img",
            [
                "convert".as_ref(),
                "-qfqcow2".as_ref(),
                "-Oraw".as_ref(),
                path.as_os_str(),
                out.as_os_str(),
            ],
        );
        std::fs::read(&out).unwrap()
    }

    pub(super) fn head(&self) -> Vec<u8> {
        Self::read(&self.disk.head, self.disk.format)
    }

    pub(super) fn point(&self, point: &Point) -> Vec<u8> {
        Self::read(&self.disk.point_path(point).unwrap(), point.format)
    }

    pub(super) fn files(&self) -> Vec<String> {
        let mut files = fsx::list(&self.disk.folder()).unwrap();
        // The names of marks have the number of an inode in them.
        let marks = ["made-", "exported-", "length-"];
        files.retain(|file| file != "lock" && !marks.iter().any(|mark| file.starts_with(mark)));
        files
    }

    /// Where images are exported to.
    pub(super) fn outside(&self) -> PathBuf {
        self.folder.join("out")
    }

    /// An image that is none of the disk's, half its size, filled with `seed`.
    pub(super) fn image(&self, format: Format, seed: u8) -> PathBuf {
        let raw = self.folder.join("image.raw");
        let file = File::create(&raw).unwrap();
        file.set_len(SIZE / 2).unwrap();
        file.write_all_at(&[seed; 100_000], 70_000).unwrap();
        if format == Format::Raw {
            return raw;
        }
        let image = self.folder.join("image.qcow2");
        run(
            "qemu-img",
            ["convert", "-fraw", "-Oqcow2"]
                .map(OsStr::new)
                .into_iter()
                .chain([raw.as_os_str(), image.as_os_str()]),
        );
        image
    }

    /// What a disk made of [`Lab::image`] reads as.
    pub(super) fn image_contents(seed: u8) -> Vec<u8> {
        let mut bytes = vec![0; SIZE as usize];
        bytes[70_000..170_000].fill(seed);
        bytes
    }

    /// The fence of the next worker.
    pub(super) fn fence(&mut self) -> Fence {
        self.fence += 1;
        Fence(self.fence)
    }

    pub(super) fn state(&self) -> State {
        let files = self.files();
        let points = files
            .iter()
            .filter_map(|file| Point::of_file(file))
            .map(|point| (point.file.clone(), self.point(&point)))
            .collect();
        let exported = (fsx::list(&self.outside()).unwrap().into_iter())
            .map(|file| {
                let path = self.outside().join(&file);
                let format = match path.extension() {
                    Some(ending) => ending.to_str().unwrap().parse().unwrap(),
                    None => Format::Raw,
                };
                let contents = Self::read(&path, format);
                (file, contents)
            })
            .collect();
        let head = match self.disk.head.exists() {
            true => self.head(),
            false => Vec::new(),
        };
        State {
            head,
            points,
            files,
            exported,
        }
    }

    pub(super) fn adopt(&mut self) {
        // Like a machine that changed hands: as if it were not known yet.
        self.disk = self.user.clone();
        let guard = self.guard();
        let adopted = self.driver().adopt(&guard, &self.user, &name("base"));
        self.disk = adopted.unwrap().disk;
    }

    pub(super) fn capture(&mut self, as_name: &str) -> Point {
        let guard = self.guard();
        let captured = self
            .driver()
            .capture(&guard, &self.disk, &name(as_name), &NoProgress)
            .unwrap();
        captured.point
    }

    pub(super) fn stage(&mut self, point: &Point, as_name: &str) -> Result<()> {
        let guard = self.lock()?;
        let staged = self
            .driver()
            .stage(&guard, &self.disk, point, &name(as_name), &NoProgress)?;
        self.staged = Some(staged);
        Ok(())
    }

    pub(super) fn keep(&mut self, as_name: &str) -> Result<Point> {
        let guard = self.lock()?;
        let kept = self.driver().keep(&guard, &self.disk, &name(as_name))?;
        let point = kept.point.clone();
        self.kept = Some(kept);
        Ok(point)
    }

    pub(super) fn swap(&mut self) -> Result<()> {
        let guard = self.lock()?;
        let (staged, kept) = (self.staged.clone().unwrap(), self.kept.clone().unwrap());
        self.driver()
            .swap(&guard, &self.disk, &staged, &kept)
            .map(drop)
    }

    pub(super) fn unswap(&mut self) -> Result<()> {
        let guard = self.lock()?;
        let (staged, kept) = (self.staged.clone().unwrap(), self.kept.clone().unwrap());
        self.driver().unswap(&guard, &self.disk, &staged, &kept)
    }

    /// All three steps of a rollback; returns the safety point.
    pub(super) fn rollback(&mut self, point: &Point, as_name: &str) -> Point {
        self.stage(point, &format!("{as_name}-new")).unwrap();
        let safe = self.keep(&format!("{as_name}-safe")).unwrap();
        self.swap().unwrap();
        safe
    }

    /// Runs `work`, which crashes before its `allowed`th operation if that is
    /// given; returns how many operations it did, or `None` when it crashed.
    pub(super) fn watched(
        &mut self,
        allowed: Option<u32>,
        work: &dyn Fn(&mut Self) -> Result<()>,
    ) -> Option<u32> {
        let (result, seen) = seam::watch(allowed, || work(self));
        assert!(seen.complaints.is_empty(), "{:?}", seen.complaints);
        if seen.crashed {
            return None;
        }
        result.unwrap();
        assert!(
            seen.unsynced.is_empty(),
            "left unsynced: {:?}",
            seen.unsynced
        );
        Some(seen.done)
    }
}
