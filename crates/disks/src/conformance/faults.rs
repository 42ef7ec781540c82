//! What goes wrong outside: full and read-only file systems, images that others
//! hold or cut, a `qemu-img` that is missing or dies. Each by real means; each
//! must be told by its own error, and leave the data as before.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use backout_core::code::Code;
use backout_core::fence::Fence;

use super::lab::{
    Lab, Memory, Owned, Place, SETTINGS, SIZE, Setting, Volume, fill, name, run, wait_until,
};
use crate::*;

/// Everything that writes, by name, on a disk with the point "one" and an image
/// beside it.
type Try = fn(&dyn Driver, &Guard, &Lab) -> Result<()>;
const WRITERS: [(&str, Try); 6] = [
    ("capture", |driver, guard, lab| {
        driver
            .capture(guard, &lab.disk, &name("two"), &NoProgress)
            .map(drop)
    }),
    ("stage", |driver, guard, lab| {
        let one = name("one").point(lab.disk.format);
        driver
            .stage(guard, &lab.disk, &one, &name("a"), &NoProgress)
            .map(drop)
    }),
    ("stage_flat", |driver, guard, lab| {
        driver
            .stage_flat(guard, &lab.disk, &name("b"), &NoProgress)
            .map(drop)
    }),
    ("stage_image as it is", |driver, guard, lab| {
        stage_image(driver, guard, lab, lab.disk.format)
    }),
    ("stage_image converted", |driver, guard, lab| {
        let other = match lab.disk.format {
            Format::Raw => Format::Qcow2,
            Format::Qcow2 => Format::Raw,
        };
        stage_image(driver, guard, lab, other)
    }),
    ("export", |driver, guard, lab| {
        let target = lab.outside().join("out");
        let n = name("d");
        driver
            .export(guard, &lab.disk, &target, Format::Qcow2, &n, &NoProgress)
            .map(drop)
    }),
];

fn image(lab: &Lab, format: Format) -> PathBuf {
    lab.disk.head.with_file_name(format!("image.{format}"))
}

fn stage_image(driver: &dyn Driver, guard: &Guard, lab: &Lab, format: Format) -> Result<()> {
    let (image, n) = (image(lab, format), name("c"));
    driver
        .stage_image(guard, &lab.disk, &image, format, SIZE, &n, &NoProgress)
        .map(drop)
}

/// A disk at `root` for [`WRITERS`].
fn prepared(root: PathBuf, setting: Setting) -> Lab {
    std::fs::create_dir(&root).unwrap();
    let mut lab = Lab::at(root, "disk", setting);
    lab.write(1);
    lab.adopt();
    lab.capture("one");
    lab.write(2);
    lab.image(Format::Raw, 9);
    lab.image(Format::Qcow2, 9);
    std::fs::create_dir(lab.outside()).unwrap();
    lab
}

/// Without file systems that share blocks: what is full or read-only there has
/// tests of its own.
const PLAIN: [Setting; 4] = [SETTINGS[3], SETTINGS[4], SETTINGS[5], SETTINGS[6]];

#[test]
fn every_function_tells_a_full_file_system() {
    for setting in PLAIN {
        let volume = Volume::tmpfs("size=16m");
        let mut lab = prepared(volume.path().join("disks"), setting);
        let guard = lab.guard();
        fill(&volume.path());
        let mut failed = 0;
        for (what, attempt) in WRITERS {
            let e = attempt(lab.driver(), &guard, &lab).unwrap_err();
            assert!(
                matches!(e, Error::NoSpace { .. }),
                "{what} {setting:?}: {e}"
            );
            assert_eq!(e.code(), Code::NoSpace);
            failed += 1;
        }
        let fence = lab.fence();
        let new = lab.disk.head.with_file_name("new");
        let source = image(&lab, Format::Raw);
        let source = Some((source.as_path(), Format::Raw));
        let driver = setting.driver;
        let e = make(&new, driver, source, SIZE, &name("n"), fence, &NoProgress).unwrap_err();
        assert!(matches!(e, Error::NoSpace { .. }), "make {setting:?}: {e}");
        assert!(!new.exists());
        assert_eq!(failed, WRITERS.len());
        let filler = File::options()
            .write(true)
            .open(volume.path().join("filler"));
        filler.unwrap().set_len(0).unwrap();
        unmake(&new, driver, &name("n"), lab.fence()).unwrap();
        drop(guard);
        let undisturbed = prepared(volume.path().join("again"), setting);
        assert_eq!(lab.state(), undisturbed.state(), "{setting:?}");
        let guard = lab.guard();
        for (what, attempt) in WRITERS {
            attempt(lab.driver(), &guard, &lab).unwrap_or_else(|e| panic!("{what}: {e}"));
        }
    }
}

/// An ext4 that can be made read-only at once, as it does itself after an error
/// of its disk.
struct Failing {
    memory: Memory,
}

impl Failing {
    fn new() -> Self {
        let failing = Self {
            memory: Memory::new(),
        };
        let image = failing.memory.path().join("image");
        File::create(&image).unwrap().set_len(64 << 20).unwrap();
        run("mkfs.ext4", ["-q".as_ref(), image.as_os_str()]);
        std::fs::create_dir(failing.root()).unwrap();
        failing.mount();
        failing
    }

    fn root(&self) -> PathBuf {
        self.memory.path().join("root")
    }

    fn mount(&self) {
        let (image, root) = (self.memory.path().join("image"), self.root());
        let options = ["-o", "loop"].map(OsStr::new);
        run(
            "mount",
            options
                .into_iter()
                .chain([image.as_os_str(), root.as_os_str()]),
        );
    }

    /// Nobody can write from now on, files that are open included.
    fn fail(&self) {
        let options = ["-o", "remount,abort"].map(OsStr::new);
        let root = self.root();
        // It says that it did not work when it did.
        let remount = Command::new("mount").args(options).arg(&root).output();
        drop(remount.unwrap());
        let write = File::create(root.join("write")).unwrap_err();
        assert_eq!(write.raw_os_error(), Some(30), "{write}");
    }

    fn repair(&self) {
        let root = self.root();
        wait_until("unmount", || {
            let output = Command::new("umount").arg(&root).output().unwrap();
            output.status.success()
        });
        let image = self.memory.path().join("image");
        // 1: it had to repair something.
        let fsck = Command::new("e2fsck").arg("-fy").arg(&image).output();
        let code = fsck.unwrap().status.code();
        assert!(matches!(code, Some(0 | 1)), "{code:?}");
        self.mount();
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.root()).status());
    }
}

#[test]
fn every_function_tells_a_file_system_that_turns_read_only() {
    for setting in PLAIN {
        let host = Failing::new();
        let mut lab = prepared(host.root().join("disks"), setting);
        let guard = lab.guard();
        let before = lab.state();
        rustix::fs::syncfs(File::open(host.root()).unwrap()).unwrap();
        host.fail();
        for (what, attempt) in WRITERS {
            let e = attempt(lab.driver(), &guard, &lab).unwrap_err();
            assert!(
                matches!(e, Error::ReadOnly { .. }),
                "{what} {setting:?}: {e}"
            );
            assert_eq!(e.code(), Code::DiskIo);
        }
        let keep = lab.driver().keep(&guard, &lab.disk, &name("safe"));
        assert!(matches!(keep, Err(Error::ReadOnly { .. })), "{keep:?}");
        let one = name("one").point(lab.disk.format);
        let retire = lab.driver().retire(&guard, &lab.disk, &one);
        assert!(matches!(retire, Err(Error::ReadOnly { .. })), "{retire:?}");
        drop(guard);
        let lock = lab.lock();
        assert!(matches!(lock, Err(Error::ReadOnly { .. })), "{lock:?}");
        // What only looks goes on.
        lab.driver().inspect(&lab.disk).unwrap();
        lab.driver().verify_point(&lab.disk, &one).unwrap();
        host.repair();
        assert_eq!(lab.state(), before, "{setting:?}");
        let guard = lab.guard();
        for (what, attempt) in WRITERS {
            attempt(lab.driver(), &guard, &lab).unwrap_or_else(|e| panic!("{what}: {e}"));
        }
    }
}

/// Holds an image as QEMU does: open, and locked.
fn hold(image: &Path, format: Format) -> Owned {
    let child = Command::new("qemu-io")
        .args(["-f", format.as_str()])
        .arg(image)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let held = Owned(child);
    wait_until("qemu-io holds the image", || {
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        let inode = format!(":{} ", fsx_inode(image));
        locks
            .lines()
            .any(|line| line.contains("OFDLCK") && line.contains(&inode))
            && !holders(image).unwrap().is_empty()
    });
    held
}

fn fsx_inode(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    path.metadata().unwrap().ino()
}

#[test]
fn an_image_that_qemu_has_locked_is_told() {
    for setting in SETTINGS {
        let mut lab = Lab::managed(setting);
        let one = lab.capture("one");
        lab.write(2);
        lab.stage(&one, "new").unwrap();
        let kept = lab.keep("safe").unwrap();
        let before = lab.state();
        let held = hold(&lab.disk.head, lab.disk.format);
        let in_use = |result: Result<()>, what: &str| {
            let e = result.unwrap_err();
            assert!(matches!(e, Error::InUse { .. }), "{what} {setting:?}: {e}");
            assert!(e.to_string().contains("qemu-io"), "{e}");
            assert_eq!(e.code(), Code::DiskInUse);
        };
        in_use(lab.swap(), "swap");
        let fence = lab.fence();
        in_use(destroy(&lab.disk, fence).map(drop), "destroy");
        let guard = lab.guard();
        let driver = lab.driver();
        let flat = driver.stage_flat(&guard, &lab.disk, &name("flat"), &NoProgress);
        in_use(flat.map(drop), "stage_flat");
        if setting.driver == DriverKind::Qcow2 {
            let capture = driver.capture(&guard, &lab.disk, &name("two"), &NoProgress);
            in_use(capture.map(drop), "capture");
        }
        drop((held, guard));
        assert_eq!(lab.state(), before, "{setting:?}");
        assert!(lab.point(&kept) == lab.head());
        lab.swap().unwrap();
    }
}

#[test]
fn an_image_to_install_that_a_machine_has_locked_is_told() {
    for setting in PLAIN {
        let mut lab = Lab::managed(setting);
        let before = lab.state();
        // Only who reads through QEMU needs its lock.
        let other = match lab.disk.format {
            Format::Raw => Format::Qcow2,
            Format::Qcow2 => Format::Raw,
        };
        let image = lab.image(other, 9);
        let held = hold(&image, other);
        let guard = lab.guard();
        let e = stage_image(lab.driver(), &guard, &lab, other).unwrap_err();
        let Error::InUse { path, .. } = &e else {
            panic!("{setting:?}: {e}");
        };
        assert_eq!(path, &image);
        drop(held);
        assert_eq!(lab.state(), before);
        stage_image(lab.driver(), &guard, &lab, other).unwrap();
    }
}

fn cut(path: &Path, bytes: u64) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_len(bytes).unwrap();
}

#[test]
fn a_qcow2_image_that_was_cut_is_told_wherever_it_was_cut() {
    const CLUSTER: u64 = 64 << 10;
    for setting in SETTINGS {
        if setting.format == Format::Raw && setting.driver != DriverKind::Qcow2 {
            continue;
        }
        let mut lab = Lab::managed(setting);
        lab.write(2);
        let one = lab.capture("one");
        lab.write(3);
        let before = lab.state();
        let driver = lab.driver();
        let point = lab.disk.point_path(&one).unwrap();
        for path in [point, lab.disk.head.clone()] {
            let whole = std::fs::read(&path).unwrap();
            let clusters = (whole.len() as u64).div_ceil(CLUSTER);
            assert!(clusters > 4, "{clusters}");
            let lengths = (0..clusters).map(|n| n * CLUSTER);
            for length in lengths.chain([1, 70, 100, CLUSTER + 8, 4 * CLUSTER - 512]) {
                cut(&path, length);
                let told = |result: Result<()>, what: &str| {
                    assert!(
                        matches!(&result, Err(e @ Error::Format { .. })
                            if e.code() == Code::DiskFormat),
                        "{what} of {path:?} cut to {length}, {setting:?}: {result:?}"
                    );
                };
                let guard = lab.guard();
                if path == lab.disk.head {
                    told(driver.inspect(&lab.disk).map(drop), "inspect");
                    let capture = driver.capture(&guard, &lab.disk, &name("two"), &NoProgress);
                    told(capture.map(drop), "capture");
                } else {
                    told(driver.verify_point(&lab.disk, &one).map(drop), "verify");
                    let stage = driver.stage(&guard, &lab.disk, &one, &name("a"), &NoProgress);
                    told(stage.map(drop), "stage");
                    if setting.driver == DriverKind::Qcow2 {
                        told(driver.inspect(&lab.disk).map(drop), "inspect above");
                    }
                }
                drop(guard);
                let file = File::options().write(true).open(&path).unwrap();
                file.write_all_at(&whole, 0).unwrap();
            }
        }
        assert_eq!(lab.state(), before, "{setting:?}");
        driver.inspect(&lab.disk).unwrap();
        driver.verify_point(&lab.disk, &one).unwrap();
    }
}

#[test]
fn a_cluster_that_a_crash_of_qemu_leaked_is_no_cut() {
    let lab = Lab::managed(SETTINGS[6]);
    let driver = lab.driver();
    let whole = driver.inspect(&lab.disk).unwrap();
    // Count one more cluster than there are, as if the machine had died before
    // it wrote to it.
    let file = File::options().read(true).write(true).open(&lab.disk.head);
    let file = file.unwrap();
    let number = |at: u64| {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, at).unwrap();
        u64::from_be_bytes(bytes)
    };
    let block = number(number(48));
    let next = file.metadata().unwrap().len().div_ceil(64 << 10);
    file.write_all_at(&1_u16.to_be_bytes(), block + next * 2)
        .unwrap();
    assert_eq!(driver.inspect(&lab.disk).unwrap(), whole);
    let check = Command::new("qemu-img")
        .arg("check")
        .arg(&lab.disk.head)
        .output()
        .unwrap();
    // 3 is of leaked clusters. What lies behind the end of the file is not looked
    // at by every version.
    assert!(matches!(check.status.code(), Some(0 | 3)), "{check:?}");
}

#[test]
fn a_raw_image_that_was_cut_is_told() {
    for setting in SETTINGS {
        if setting.format != Format::Raw {
            continue;
        }
        let mut lab = Lab::managed(setting);
        let one = lab.capture("one");
        let driver = lab.driver();
        let path = match setting.driver {
            // The user's raw file is the lowest layer.
            DriverKind::Qcow2 => {
                let base = name("base").point(Format::Raw);
                lab.disk.point_path(&base).unwrap()
            }
            DriverKind::Reflink | DriverKind::Copy => lab.disk.head.clone(),
        };
        let before = std::fs::read(&path).unwrap();
        cut(&path, SIZE - 4096);
        let head = driver.inspect(&lab.disk);
        let guard = lab.guard();
        if setting.driver == DriverKind::Qcow2 {
            let stage = driver.stage(&guard, &lab.disk, &one, &name("a"), &NoProgress);
            for result in [
                head.map(drop),
                driver.verify_point(&lab.disk, &one).map(drop),
                stage.map(drop),
            ] {
                let e = result.unwrap_err();
                assert!(matches!(e, Error::Format { .. }), "{e}");
                assert!(
                    e.to_string().contains("1044480 bytes and had 1048576"),
                    "{e}"
                );
            }
        } else {
            // The caller compares the two, and refuses with BO0022.
            let point = driver.verify_point(&lab.disk, &one).unwrap();
            assert_eq!(point.size_bytes, SIZE);
            assert_eq!(head.unwrap().size_bytes, SIZE - 4096);
            let point = lab.disk.point_path(&one).unwrap();
            cut(&point, 4096);
            let cut_point = driver.verify_point(&lab.disk, &one).unwrap();
            assert_eq!(cut_point.size_bytes, 4096);
        }
        // Nothing was made of what is left.
        assert!(!lab.files().iter().any(|file| file.starts_with("stage-")));
        assert!(std::fs::read(&path).unwrap()[..] == before[..before.len() - 4096]);
    }
}

/// Set for the process that finds no `qemu-img`; holds the folder of the disk.
const WITHOUT_TOOL: &str = "BACKOUT_TEST_WITHOUT_TOOL";

#[test]
fn a_missing_tool_is_told() {
    if let Some(root) = std::env::var_os(WITHOUT_TOOL) {
        let head = Path::new(&root).join("disk");
        let disk = Disk {
            head: head.clone(),
            format: Format::Qcow2,
            driver: DriverKind::Qcow2,
        };
        let guard = DiskLock::acquire(&disk, Fence(100)).unwrap();
        let driver = driver(disk.driver);
        let (n, one) = (name("x"), name("one").point(disk.format));
        let raw = head.with_file_name("image.raw");
        let out = head.with_file_name("out").join("out");
        let results = [
            driver.capture(&guard, &disk, &n, &NoProgress).map(drop),
            driver.stage(&guard, &disk, &one, &n, &NoProgress).map(drop),
            driver.stage_flat(&guard, &disk, &n, &NoProgress).map(drop),
            driver
                .stage_image(&guard, &disk, &raw, Format::Raw, SIZE, &n, &NoProgress)
                .map(drop),
            driver
                .export(&guard, &disk, &out, Format::Raw, &n, &NoProgress)
                .map(drop),
            driver.adopt(&guard, &disk, &n).map(drop),
            make(
                &head.with_file_name("new"),
                DriverKind::Qcow2,
                None,
                SIZE,
                &n,
                Fence(1),
                &NoProgress,
            )
            .map(drop),
        ];
        for (at, result) in results.into_iter().enumerate() {
            let e = result.unwrap_err();
            assert!(matches!(e, Error::Tool { .. }), "{at}: {e}");
            assert!(e.to_string().contains("install qemu-utils"), "{at}: {e}");
            assert_eq!(e.code(), Code::DiskIo);
        }
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap().join("disks");
    let lab = prepared(root.clone(), SETTINGS[6]);
    let before = lab.state();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "conformance::faults::a_missing_tool_is_told"])
        .env(WITHOUT_TOOL, &root)
        .env("PATH", folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
    assert_eq!(lab.state(), before);
}

/// Kills the `qemu-img` that writes `target` as soon as it has written some.
struct Killer {
    target: PathBuf,
    killed: AtomicBool,
}

impl Killer {
    fn new(target: PathBuf) -> Self {
        Self {
            target,
            killed: AtomicBool::new(false),
        }
    }

    /// The processes that were given the target.
    fn tools(&self) -> Vec<String> {
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().into_string().ok());
        pids.filter(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut words = line.split(|byte| *byte == 0);
            words.next() == Some(b"qemu-img")
                && words.any(|word| word == self.target.as_os_str().as_encoded_bytes())
        })
        .collect()
    }
}

impl Progress for Killer {
    fn at(&self, done: u64, total: u64) {
        if done == 0 || done == total || self.killed.load(Ordering::Relaxed) {
            return;
        }
        for pid in self.tools() {
            run("kill", ["-9".as_ref(), pid.as_ref()]);
            self.killed.store(true, Ordering::Relaxed);
        }
    }

    fn cancelled(&self) -> bool {
        false
    }
}

#[test]
fn a_tool_that_is_killed_in_the_middle_is_told() {
    type Convert = fn(&Lab, &Guard, &Killer) -> Result<()>;
    let flat: Convert = |lab, guard, killer| {
        let n = name("new");
        lab.driver()
            .stage_flat(guard, &lab.disk, &n, killer)
            .map(drop)
    };
    let install: Convert = |lab, guard, killer| {
        let (source, n) = (image(lab, Format::Raw), name("new"));
        let driver = lab.driver();
        driver
            .stage_image(guard, &lab.disk, &source, Format::Raw, BIG, &n, killer)
            .map(drop)
    };
    let export: Convert = |lab, guard, killer| {
        let (target, n) = (lab.outside().join("out.raw"), name("new"));
        lab.driver()
            .export(guard, &lab.disk, &target, Format::Raw, &n, killer)
            .map(drop)
    };
    const BIG: u64 = 192 << 20;
    let volume = Volume::tmpfs("size=2g");
    let mut lab = prepared(
        volume.path().join("disks"),
        Setting {
            place: Place::Tmp,
            ..SETTINGS[6]
        },
    );
    // Enough for the tool to be seen at work.
    let source = File::options()
        .write(true)
        .open(image(&lab, Format::Raw))
        .unwrap();
    for at in 0..BIG >> 20 {
        source.write_all_at(&[7; 1 << 20], at << 20).unwrap();
    }
    let fence = lab.fence();
    let big = lab.disk.head.with_file_name("big");
    let source = image(&lab, Format::Raw);
    let source = Some((source.as_path(), Format::Raw));
    let kind = DriverKind::Qcow2;
    lab.disk = make(&big, kind, source, BIG, &name("big"), fence, &NoProgress).unwrap();
    lab.capture("one");
    lab.write(1);
    let before = lab.state();
    for (what, convert, tmp) in [
        ("stage_flat", flat, lab.disk.folder()),
        ("stage_image", install, lab.disk.folder()),
        ("export", export, lab.outside()),
    ] {
        let mut told = None;
        // It may be done before it is seen.
        for _ in 0..20 {
            let guard = lab.guard();
            let killer = Killer::new(tmp.join("tmp-new"));
            match convert(&lab, &guard, &killer) {
                Err(e) => {
                    assert!(killer.killed.load(Ordering::Relaxed), "{what}: {e}");
                    told = Some(e);
                    break;
                }
                Ok(()) => {
                    let (driver, n) = (lab.driver(), name("new"));
                    driver.unstage(&guard, &lab.disk, &n).unwrap();
                    let target = lab.outside().join("out.raw");
                    driver.unexport(&guard, &lab.disk, &target, &n).unwrap();
                }
            }
        }
        let e = told.expect("the tool was never caught at work");
        assert!(matches!(e, Error::Tool { .. }), "{what}: {e}");
        assert!(e.to_string().contains("killed by signal 9"), "{what}: {e}");
        assert_eq!(lab.state(), before, "{what}");
    }
}
