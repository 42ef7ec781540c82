//! What a user sees of every driver.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use backout_core::fence::Fence;

use super::lab::{Lab, Memory, Place, SETTINGS, SIZE, Setting, Volume, fill, name, run};
use crate::fsx;
use crate::*;

fn for_every_setting(check: fn(Setting)) {
    for setting in SETTINGS {
        check(setting);
    }
}

#[test]
fn a_rollback_brings_back_the_point_and_keeps_what_was() {
    for_every_setting(|setting| {
        let mut lab = Lab::managed(setting);
        let first = lab.head();
        let one = lab.capture("one");
        lab.write(2);
        let second = lab.head();
        let two = lab.capture("two");
        lab.write(3);
        let third = lab.head();
        assert!(first != second && second != third);

        let safe = lab.rollback(&one, "a");
        assert!(lab.head() == first, "{setting:?}");
        // Newer points survive, and so does what was there before.
        assert!(lab.point(&two) == second && lab.point(&safe) == third);
        lab.write(4);
        let fourth = lab.head();
        assert!(
            lab.point(&one) == first,
            "a point follows the head: {setting:?}"
        );
        let again = lab.rollback(&safe, "b");
        assert!(lab.head() == third);
        lab.rollback(&two, "c");
        assert!(lab.head() == second);
        lab.rollback(&again, "d");
        assert!(lab.head() == fourth);
        for point in [&one, &two, &safe, &again] {
            let facts = lab.driver().verify_point(&lab.disk, point).unwrap();
            assert_eq!(facts.size_bytes, SIZE);
            assert!(lab.driver().space_needed(&lab.disk, Some(point)).unwrap() > 0);
        }
        assert!(lab.driver().space_needed(&lab.disk, None).unwrap() > 0);
        assert_eq!(lab.driver().inspect(&lab.disk).unwrap().size_bytes, SIZE);
        assert_eq!(lab.driver().kind(), setting.driver);
        assert_eq!(lab.disk.head, lab.user.head);
    });
}

#[test]
fn a_disk_is_made_of_an_image_used_and_destroyed() {
    for_every_setting(|setting| {
        for format in [Format::Raw, Format::Qcow2] {
            let mut lab = Lab::new(setting);
            let image = lab.image(format, 5);
            let head = lab.disk.head.with_file_name("machine").join("disk");
            let (make_name, driver) = (name("make"), setting.driver);
            let fence = lab.fence();
            let source = Some((image.as_path(), format));
            let made = make(&head, driver, source, SIZE, &make_name, fence, &NoProgress).unwrap();
            let needed = space_needed_image(&head, driver, made.format, source).unwrap();
            assert!(needed >= 100_000, "{needed}");
            lab.disk = made.clone();
            assert!(lab.head() == Lab::image_contents(5), "{setting:?} {format}");
            assert_eq!(head.metadata().unwrap().mode() & 0o777, 0o600);
            // The image goes its own way.
            lab.write(1);
            let first = lab.head();
            assert!(Lab::read(&image, format)[..] == Lab::image_contents(5)[..SIZE as usize / 2]);

            let one = lab.capture("one");
            lab.write(2);
            let used = unmake(&head, driver, &make_name, lab.fence());
            assert!(matches!(used, Err(Error::HeadChanged { .. })), "{used:?}");
            lab.rollback(&one, "a");
            assert!(lab.head() == first);
            // A reinstall is a rollback to an image.
            let guard = lab.guard();
            let driver = lab.driver();
            let staged = driver
                .stage_image(&guard, &made, &image, format, SIZE, &name("b"), &NoProgress)
                .unwrap();
            let kept = driver.keep(&guard, &made, &name("b-safe")).unwrap();
            driver.swap(&guard, &made, &staged, &kept).unwrap();
            assert!(lab.head() == Lab::image_contents(5));
            assert!(lab.point(&kept.point) == first && lab.point(&one) == first);
            assert_eq!(driver.inspect(&made).unwrap().layers, 1);
            drop(guard);

            let purged = destroy(&made, lab.fence()).unwrap();
            assert!(
                purged.removed.len() >= 4 && purged.allocated_bytes > 0,
                "{purged:?}"
            );
            assert!(!head.parent().unwrap().exists());
            assert_eq!(destroy(&made, lab.fence()).unwrap(), Purged::default());
        }
    });
}

#[test]
fn what_others_made_is_neither_overwritten_nor_removed() {
    for_every_setting(|setting| {
        let mut lab = Lab::managed(setting);
        let head = lab.disk.head.with_file_name("theirs");
        std::fs::write(&head, b"theirs").unwrap();
        let (n, driver) = (name("make"), setting.driver);
        for _ in 0..2 {
            let fence = lab.fence();
            let made = make(&head, driver, None, SIZE, &n, fence, &NoProgress);
            assert!(matches!(made, Err(Error::Exists { .. })), "{made:?}");
            unmake(&head, driver, &n, lab.fence()).unwrap();
        }
        assert_eq!(std::fs::read(&head).unwrap(), b"theirs");
        assert!(!head.with_file_name("theirs.backout").exists());

        // What was made under one name is not that of another.
        let ours = lab.disk.head.with_file_name("ours");
        let fence = lab.fence();
        make(&ours, driver, None, SIZE, &n, fence, &NoProgress).unwrap();
        let fence = lab.fence();
        let other = make(
            &ours,
            driver,
            None,
            SIZE,
            &name("other"),
            fence,
            &NoProgress,
        );
        assert!(matches!(other, Err(Error::Exists { .. })), "{other:?}");
        unmake(&ours, driver, &name("other"), lab.fence()).unwrap();
        assert!(ours.exists());
        unmake(&ours, driver, &n, lab.fence()).unwrap();
        assert!(!ours.exists() && !ours.with_file_name("ours.backout").exists());

        let guard = lab.guard();
        let driver = lab.driver();
        let taken = driver.export(&guard, &lab.disk, &head, Format::Raw, &n, &NoProgress);
        assert!(matches!(taken, Err(Error::Exists { .. })), "{taken:?}");
        driver.unexport(&guard, &lab.disk, &head, &n).unwrap();
        assert_eq!(std::fs::read(&head).unwrap(), b"theirs");
        // And what is not ours stays when a disk is destroyed.
        let foreign = lab.disk.folder().join("notes.txt");
        std::fs::write(&foreign, b"theirs").unwrap();
        drop(guard);
        let fence = lab.fence();
        destroy(&lab.disk, fence).unwrap();
        assert!(foreign.exists() && head.exists() && !lab.disk.head.exists());
        assert_eq!(lab.files(), ["notes.txt"]);
    });
}

#[test]
fn an_export_stands_alone_and_fits_its_estimate() {
    for_every_setting(|setting| {
        let mut lab = Lab::managed(setting);
        lab.capture("one");
        lab.write(2);
        let driver = lab.driver();
        for format in [Format::Raw, Format::Qcow2] {
            let target = lab.outside().join(format!("{format}.{format}"));
            let needed = driver.space_needed_export(&lab.disk, &target, format);
            let guard = lab.guard();
            let n = name(format.as_str());
            let facts = driver
                .export(&guard, &lab.disk, &target, format, &n, &NoProgress)
                .unwrap();
            assert_eq!(facts.size_bytes, SIZE);
            assert!(facts.allocated_bytes > 80_000, "{facts:?}");
            assert!(needed.unwrap() + SIZE > facts.allocated_bytes);
            assert!(
                Lab::read(&target, format) == lab.head(),
                "{setting:?} {format}"
            );
            // Other contents than those of the disk from now on.
            let exported = Lab::read(&target, format);
            lab.write(3);
            assert!(Lab::read(&target, format) == exported);
            drop(guard);
            // Without the disk it is as good.
            let image = lab.disk.head.with_file_name(format!("moved.{format}"));
            std::fs::rename(&target, &image).unwrap();
            let copy = lab.disk.head.with_file_name(format!("copy-{format}"));
            let (fence, source) = (lab.fence(), Some((image.as_path(), format)));
            let made = make(&copy, setting.driver, source, SIZE, &n, fence, &NoProgress).unwrap();
            assert!(Lab::read(&made.head, made.format) == exported);
        }
        let flat = driver.space_needed_flat(&lab.disk).unwrap();
        assert!(flat > 0 && flat < 64 << 20, "{flat}");
    });
}

#[test]
fn images_that_do_not_fit_are_refused() {
    for_every_setting(|setting| {
        let mut lab = Lab::managed(setting);
        let before = lab.state();
        let raw = lab.image(Format::Raw, 1);
        let qcow2 = lab.image(Format::Qcow2, 1);
        let built = qcow2.with_file_name("built.qcow2");
        let backing = format!("backing_file={}", qcow2.display());
        run(
            "qemu-img",
            ["create", "-qfqcow2", "-Fqcow2", "-o", &backing]
                .map(AsRef::as_ref)
                .into_iter()
                .chain([built.as_os_str()]),
        );
        let none = raw.with_file_name("none");
        let guard = lab.guard();
        let driver = lab.driver();
        let stage = |image: &std::path::Path, format, size| {
            let n = name("new");
            driver
                .stage_image(&guard, &lab.disk, image, format, size, &n, &NoProgress)
                .unwrap_err()
        };
        for (image, format) in [(&raw, Format::Raw), (&qcow2, Format::Qcow2)] {
            let e = stage(image, format, SIZE / 4);
            assert!(matches!(e, Error::ImageTooLarge { .. }), "{e}");
        }
        let e = stage(&none, Format::Raw, SIZE);
        assert!(matches!(e, Error::ImageMissing { .. }), "{e}");
        let e = stage(&raw, Format::Qcow2, SIZE);
        assert!(matches!(e, Error::Format { .. }), "{e}");
        let e = stage(&built, Format::Qcow2, SIZE);
        assert!(matches!(e, Error::Unsupported { .. }), "{e}");
        let e = stage(std::path::Path::new("image.raw"), Format::Raw, SIZE);
        assert!(matches!(e, Error::Unsupported { .. }), "{e}");
        assert_eq!(lab.state(), before);
    });
}

#[test]
fn owner_mode_and_attributes_stay_the_heads() {
    for_every_setting(|setting| {
        let mut lab = Lab::managed(setting);
        let head = lab.disk.head.clone();
        std::os::unix::fs::chown(&head, Some(1234), Some(2345)).unwrap();
        std::fs::set_permissions(&head, PermissionsExt::from_mode(0o640)).unwrap();
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(&head, "user.colour", b"blue", flags).unwrap();
        let one = lab.capture("one");
        lab.rollback(&one, "a");
        let metadata = head.metadata().unwrap();
        assert_eq!(
            (metadata.uid(), metadata.gid()),
            (1234, 2345),
            "{setting:?}"
        );
        assert_eq!(metadata.mode() & 0o7777, 0o640);
        let mut value = [0; 16];
        let length = rustix::fs::getxattr(&head, "user.colour", &mut value[..]).unwrap();
        assert_eq!(&value[..length], b"blue");
    });
}

#[test]
fn an_image_exempt_from_copy_on_write_can_be_cloned_and_stays_so() {
    use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
    let mut lab = Lab::new(SETTINGS[1]);
    // The flag takes only on an empty file.
    std::fs::remove_file(&lab.disk.head).unwrap();
    let file = File::create(&lab.disk.head).unwrap();
    ioctl_setflags(&file, IFlags::NOCOW).unwrap();
    file.set_len(SIZE).unwrap();
    lab.write(1);
    lab.adopt();
    let first = lab.head();
    let one = lab.capture("one");
    lab.write(2);
    lab.rollback(&one, "a");
    assert!(lab.head() == first);
    let flags = ioctl_getflags(File::open(&lab.disk.head).unwrap()).unwrap();
    assert!(flags.contains(IFlags::NOCOW));
}

#[test]
fn receipts_survive_being_stored() {
    for_every_setting(|setting| {
        let mut lab = Lab::managed(setting);
        let one = lab.capture("one");
        lab.stage(&one, "new").unwrap();
        lab.keep("safe").unwrap();
        let text = serde_json::to_string(&(&lab.staged, &lab.kept, &lab.disk)).unwrap();
        // After a restart of the host the device may have another number.
        let mut stored: (Option<Staged>, Option<Kept>, Disk) = serde_json::from_str(&text).unwrap();
        stored.0.as_mut().unwrap().id.dev += 1;
        stored.1.as_mut().unwrap().id.dev += 1;
        (lab.staged, lab.kept, lab.disk) = stored;
        lab.swap().unwrap();
        lab.unswap().unwrap();
    });
}

#[test]
fn a_head_that_somebody_replaced_is_left_alone() {
    for_every_setting(|setting| {
        let mut lab = Lab::managed(setting);
        let one = lab.capture("one");
        lab.stage(&one, "new").unwrap();
        lab.keep("safe").unwrap();
        let other = lab.disk.head.with_extension("other");
        std::fs::copy(&lab.disk.head, &other).unwrap();
        std::fs::rename(&other, &lab.disk.head).unwrap();
        let theirs = fsx::id(&lab.disk.head).unwrap();
        let changed = |result: Result<()>| {
            assert!(
                matches!(result, Err(Error::HeadChanged { .. })),
                "{setting:?}"
            );
        };
        changed(lab.swap());
        changed(lab.unswap());
        changed(lab.keep("safe").map(drop));
        let guard = lab.guard();
        changed(lab.driver().unkeep(&guard, &lab.disk, &name("safe")));
        assert_eq!(fsx::id(&lab.disk.head).unwrap(), theirs);
        drop(guard);
        std::fs::remove_file(&lab.disk.head).unwrap();
        assert!(matches!(lab.swap(), Err(Error::Missing { .. })));
        let capture = lab
            .driver()
            .capture(&lab.guard(), &lab.disk, &name("x"), &NoProgress);
        assert!(matches!(capture, Err(Error::Missing { .. })));
    });
}

#[test]
fn a_swap_after_half_an_undo_is_whole() {
    for setting in [SETTINGS[3], SETTINGS[6]] {
        for at in 0..6 {
            let mut lab = Lab::managed(setting);
            let one = lab.capture("one");
            lab.write(2);
            lab.rollback(&one, "a");
            let after = lab.state();
            lab.watched(Some(at), &Lab::unswap);
            lab.swap().unwrap();
            assert_eq!(lab.state(), after, "{at}");
        }
    }
}

#[test]
fn a_head_in_use_is_not_swapped() {
    for_every_setting(|setting| {
        let mut lab = Lab::managed(setting);
        let one = lab.capture("one");
        lab.stage(&one, "new").unwrap();
        lab.keep("safe").unwrap();
        let file = File::options().write(true).open(&lab.disk.head).unwrap();
        let mut child = Command::new("sleep")
            .arg("600")
            .stdin(Stdio::from(file))
            .spawn()
            .unwrap();
        let error = lab.swap().unwrap_err();
        assert!(matches!(error, Error::InUse { .. }), "{error}");
        assert!(error.to_string().contains("sleep"));
        if setting.driver == DriverKind::Qcow2 {
            let capture = lab
                .driver()
                .capture(&lab.guard(), &lab.disk, &name("x"), &NoProgress);
            assert!(matches!(capture, Err(Error::InUse { .. })));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        lab.swap().unwrap();
    });
}

#[test]
fn a_point_that_is_gone_or_damaged_is_told() {
    for_every_setting(|setting| {
        let mut lab = Lab::managed(setting);
        let one = lab.capture("one");
        let path = lab.disk.point_path(&one).unwrap();
        let away = path.with_extension("away");
        std::fs::rename(&path, &away).unwrap();
        let verify = lab.driver().verify_point(&lab.disk, &one);
        assert!(matches!(verify, Err(Error::PointMissing { .. })));
        assert!(matches!(
            lab.stage(&one, "new"),
            Err(Error::PointMissing { .. })
        ));
        if one.format == Format::Qcow2 {
            std::fs::write(&path, b"QFI\xfbjunk").unwrap();
            let verify = lab.driver().verify_point(&lab.disk, &one);
            assert!(matches!(verify, Err(Error::Format { .. })));
            assert!(matches!(lab.stage(&one, "new"), Err(Error::Format { .. })));
        }
        let left: Vec<_> = lab
            .files()
            .into_iter()
            .filter(|file| !file.starts_with("point-"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
        for file in [
            "../point-one.raw",
            "point-one.raw/../x",
            "lock",
            "point-.raw",
            "point-a.vmdk",
        ] {
            let point = Point {
                file: file.to_owned(),
                format: Format::Raw,
            };
            let verify = lab.driver().verify_point(&lab.disk, &point);
            assert!(matches!(verify, Err(Error::BadName { .. })), "{file}");
        }
    });
}

#[test]
fn an_older_fence_is_refused_and_the_lock_has_one_holder() {
    let mut lab = Lab::new(SETTINGS[3]);
    let guard = lab.guard();
    assert!(matches!(
        DiskLock::acquire(&lab.disk, Fence(9)),
        Err(Error::Busy { .. })
    ));
    drop(guard);
    drop(DiskLock::acquire(&lab.disk, Fence(9)).unwrap());
    drop(DiskLock::acquire(&lab.disk, Fence(9)).unwrap());
    let stale = DiskLock::acquire(&lab.disk, Fence(8)).unwrap_err();
    assert!(matches!(
        stale,
        Error::Stale {
            seen: Fence(9),
            given: Fence(8),
            ..
        }
    ));
    // A stale worker must not even sweep.
    let tmp = lab.disk.folder().join("tmp-x");
    std::fs::write(&tmp, b"x").unwrap();
    assert!(DiskLock::acquire(&lab.disk, Fence(8)).is_err());
    assert!(tmp.exists());
    let guard = DiskLock::acquire(&lab.disk, Fence(10)).unwrap();
    assert!(!tmp.exists());
    // A lock is good for its own disk only.
    let other = Lab::new(SETTINGS[3]);
    assert!(matches!(
        other.driver().keep(&guard, &other.disk, &name("x")),
        Err(Error::Unsupported { .. })
    ));
    assert!(DiskLock::erase(guard).unwrap());
    assert!(!lab.disk.folder().exists());
}

#[test]
fn a_crash_while_locking_leaves_a_lock_that_works() {
    let mut operations = 0;
    let act = |lab: &mut Lab| DiskLock::acquire(&lab.disk, Fence(5)).map(drop);
    for at in 0.. {
        let mut lab = Lab::new(SETTINGS[3]);
        if lab.watched(Some(at), &act).is_some() {
            break;
        }
        lab.watched(None, &act);
        assert!(matches!(
            DiskLock::acquire(&lab.disk, Fence(4)),
            Err(Error::Stale { .. })
        ));
        operations = at;
    }
    assert!(operations > 2);
}

/// Set for the process that plays the killed worker; holds the disk's path.
const KILLED_WORKER: &str = "BACKOUT_TEST_KILLED_WORKER";

#[test]
fn a_tool_that_outlives_its_worker_keeps_the_lock() {
    if let Some(head) = std::env::var_os(KILLED_WORKER) {
        let disk = Disk {
            head: head.into(),
            format: Format::Raw,
            driver: DriverKind::Qcow2,
        };
        let guard = DiskLock::acquire(&disk, Fence(1)).unwrap();
        let tool = Command::new("sleep")
            .arg("600")
            .stdin(Stdio::from(guard.share().unwrap()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::fs::write(disk.head.with_extension("pid"), tool.id().to_string()).unwrap();
        std::process::abort();
    }
    let lab = Lab::new(SETTINGS[3]);
    let worker = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "conformance::scenarios::a_tool_that_outlives_its_worker_keeps_the_lock",
        ])
        .env(KILLED_WORKER, &lab.disk.head)
        .output()
        .unwrap();
    assert!(!worker.status.success());
    let pid = std::fs::read_to_string(lab.disk.head.with_extension("pid")).unwrap();
    let busy = DiskLock::acquire(&lab.disk, Fence(2));
    run("kill", [pid.as_ref()]);
    assert!(matches!(busy, Err(Error::Busy { .. })));
    // The kernel lets go some time after the signal.
    while matches!(
        DiskLock::acquire(&lab.disk, Fence(2)),
        Err(Error::Busy { .. })
    ) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Counts, and cancels when it has heard of `cancel_at` bytes.
struct Watcher {
    cancel_at: u64,
    heard: Mutex<Vec<(u64, u64)>>,
}

impl Progress for Watcher {
    fn at(&self, done: u64, total: u64) {
        self.heard.lock().unwrap().push((done, total));
    }

    fn cancelled(&self) -> bool {
        let heard = self.heard.lock().unwrap();
        heard.last().map_or(0, |(done, _)| *done) >= self.cancel_at
    }
}

#[test]
fn a_copy_keeps_holes_tells_its_progress_and_can_be_cancelled() {
    let mut lab = Lab::managed(SETTINGS[3]);
    let file = File::options().write(true).open(&lab.disk.head).unwrap();
    file.set_len(1 << 30).unwrap();
    file.write_all_at(&[7; 1 << 20], 700 << 20).unwrap();
    drop(file);
    let watcher = Watcher {
        cancel_at: u64::MAX,
        heard: Mutex::default(),
    };
    let guard = lab.guard();
    let driver = lab.driver();
    let captured = driver
        .capture(&guard, &lab.disk, &name("one"), &watcher)
        .unwrap();
    assert_eq!(captured.facts.size_bytes, 1 << 30);
    assert!(captured.facts.allocated_bytes < 4 << 20, "{captured:?}");
    let heard = watcher.heard.into_inner().unwrap();
    assert!(heard.len() > 4 && heard.is_sorted());
    let (done, total) = heard.last().unwrap();
    assert!(done == total && *total < 4 << 20, "{heard:?}");

    let watcher = Watcher {
        cancel_at: 200_000,
        heard: Mutex::default(),
    };
    let cancelled = driver.capture(&guard, &lab.disk, &name("two"), &watcher);
    assert!(matches!(cancelled, Err(Error::Cancelled { .. })));
    let cancelled = driver.stage(&guard, &lab.disk, &captured.point, &name("new"), &watcher);
    assert!(matches!(cancelled, Err(Error::Cancelled { .. })));
    assert_eq!(lab.files(), [captured.point.file]);
}

#[test]
fn a_request_to_stop_leaves_nothing_behind() {
    for_every_setting(|setting| {
        let mut lab = Lab::managed(setting);
        let one = lab.capture("one");
        let before = lab.state();
        let watcher = Watcher {
            cancel_at: 0,
            heard: Mutex::default(),
        };
        let guard = lab.guard();
        let driver = lab.driver();
        let capture = driver.capture(&guard, &lab.disk, &name("two"), &watcher);
        assert!(
            matches!(capture, Err(Error::Cancelled { .. })),
            "{setting:?}"
        );
        let stage = driver.stage(&guard, &lab.disk, &one, &name("new"), &watcher);
        assert!(matches!(stage, Err(Error::Cancelled { .. })), "{setting:?}");
        assert_eq!(lab.state(), before);
    });
}

#[test]
fn a_full_file_system_harms_nothing() {
    let whole = |driver, format| Setting {
        driver,
        format,
        place: Place::Tmp,
    };
    let settings = [
        (
            whole(DriverKind::Copy, Format::Raw),
            Volume::tmpfs("size=8m"),
        ),
        (
            whole(DriverKind::Copy, Format::Qcow2),
            Volume::tmpfs("size=8m"),
        ),
        (
            whole(DriverKind::Qcow2, Format::Qcow2),
            Volume::tmpfs("size=8m"),
        ),
        (
            whole(DriverKind::Qcow2, Format::Raw),
            Volume::tmpfs("size=8m"),
        ),
    ];
    for (setting, volume) in settings {
        let root = volume.path().join("disks");
        std::fs::create_dir(&root).unwrap();
        let mut lab = Lab::at(root, "disk", setting);
        lab.write(1);
        lab.adopt();
        let one = lab.capture("one");
        lab.write(2);
        let head = lab.head();
        let files = lab.files();
        fill(&volume.path());
        let guard = lab.guard();
        let driver = lab.driver();
        let capture = driver.capture(&guard, &lab.disk, &name("two"), &NoProgress);
        assert!(
            matches!(capture, Err(Error::NoSpace { .. })),
            "{setting:?}: {capture:?}"
        );
        let stage = driver.stage(&guard, &lab.disk, &one, &name("new"), &NoProgress);
        assert!(
            matches!(stage, Err(Error::NoSpace { .. })),
            "{setting:?}: {stage:?}"
        );
        assert_eq!(lab.files(), files);
        // Not only removed: a process that another test is just starting may
        // hold it open for a moment.
        let filler = File::options()
            .write(true)
            .open(volume.path().join("filler"));
        filler.unwrap().set_len(0).unwrap();
        assert!(lab.head() == head);
        driver
            .capture(&guard, &lab.disk, &name("two"), &NoProgress)
            .unwrap();
    }
}

#[test]
fn clones_on_a_full_file_system_harm_nothing() {
    let volume = Volume::image(&["mkfs.xfs", "-q", "-m", "reflink=1"], 320 << 20);
    let root = volume.path().join("disks");
    std::fs::create_dir(&root).unwrap();
    let mut lab = Lab::at(root.clone(), "disk", SETTINGS[0]);
    lab.write(1);
    lab.adopt();
    let one = lab.capture("one");
    lab.write(2);
    let head = lab.head();
    let filler = File::create(root.join("filler")).unwrap();
    let mut at = 0;
    for piece in [16 << 20, 1 << 20, 64 << 10, 4096] {
        let flags = rustix::fs::FallocateFlags::empty();
        while rustix::fs::fallocate(&filler, flags, at, piece).is_ok() {
            at += piece;
        }
    }
    // A clone takes next to nothing, so it takes some until one does not fit.
    let guard = lab.guard();
    let driver = lab.driver();
    let mut made = 1;
    let refused = loop {
        let next = name(&format!("p{made}"));
        if let Err(e) = driver.capture(&guard, &lab.disk, &next, &NoProgress) {
            break e;
        }
        made += 1;
        assert!(made < 20_000);
    };
    assert!(matches!(refused, Error::NoSpace { .. }), "{refused}");
    assert_eq!(lab.files().len(), made);
    assert!(lab.head() == head);
    // Deleting must work when nothing else does.
    let last = name(&format!("p{}", made - 1)).point(lab.disk.format);
    if made > 1 {
        driver.retire(&guard, &lab.disk, &last).unwrap();
        driver.purge(&guard, &lab.disk, &last, &[]).unwrap();
    }
    assert_ne!(lab.point(&one), head);
}

#[test]
fn a_read_only_file_system_is_told() {
    let memory = Memory::new();
    let path = memory.path().as_os_str();
    let root = memory.path().join("disks");
    std::fs::create_dir(&root).unwrap();
    let mut lab = Lab::at(root, "disk", SETTINGS[3]);
    lab.adopt();
    let guard = lab.guard();
    lab.driver().keep(&guard, &lab.disk, &name("one")).unwrap();
    drop(guard);
    run("mount", ["-o".as_ref(), "remount,ro".as_ref(), path]);
    let error = DiskLock::acquire(&lab.disk, Fence(99)).unwrap_err();
    assert!(matches!(error, Error::ReadOnly { .. }), "{error:?}");
    assert_eq!(error.code(), backout_core::code::Code::DiskIo);
}

#[test]
fn no_name_is_misread_by_the_tool() {
    for file in [
        "with space",
        "-o",
        "a:b",
        "json:{\"driver\":\"null-co\"}",
        "nbd:unix:x",
        "comma,size=1,,x",
        "grüße-😀",
        "new\nline",
        "quote'\"$(x)\\%s",
        "file:x",
    ] {
        for setting in [SETTINGS[5], SETTINGS[6]] {
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path().canonicalize().unwrap();
            let mut lab = Lab::at(root, file, setting);
            lab.write(1);
            lab.adopt();
            let first = lab.head();
            let one = lab.capture("one");
            lab.write(2);
            lab.rollback(&one, "a");
            assert!(lab.head() == first, "{file:?}");
            // The same rules hold for who reads the head afterwards.
            let facts = lab.driver().inspect(&lab.disk).unwrap();
            assert_eq!(facts.size_bytes, SIZE);
        }
    }
}

#[test]
fn heads_that_a_driver_cannot_hold_are_refused_at_adoption() {
    let refused = |setting: Setting, options: &[&str], code: fn(&Error) -> bool| {
        let mut lab = Lab::new(setting);
        let base = lab.disk.head.with_file_name("base.qcow2");
        std::fs::rename(&lab.disk.head, &base).unwrap();
        let script = format!(
            "cd \"$0\" && qemu-img create -q -f qcow2 {} disk.img 1M",
            options.join(" ")
        );
        let folder = lab.disk.head.parent().unwrap();
        run("sh", ["-c".as_ref(), script.as_ref(), folder.as_os_str()]);
        let before = std::fs::read(&lab.disk.head).unwrap();
        let guard = lab.guard();
        let error = lab
            .driver()
            .adopt(&guard, &lab.disk, &name("base"))
            .unwrap_err();
        assert!(code(&error), "{options:?} with {setting:?}: {error}");
        assert!(lab.files().is_empty());
        assert!(std::fs::read(&lab.disk.head).unwrap() == before);
    };
    let unsupported: fn(&Error) -> bool = |e| matches!(e, Error::Unsupported { .. });
    for setting in [SETTINGS[2], SETTINGS[4], SETTINGS[6]] {
        refused(setting, &["-F qcow2 -b base.qcow2"], unsupported);
        refused(setting, &["-o data_file=data.raw"], unsupported);
    }
    // A reflink driver where blocks cannot be shared.
    let mut lab = Lab::new(Setting {
        driver: DriverKind::Reflink,
        ..SETTINGS[3]
    });
    lab.write(1);
    let guard = lab.guard();
    let error = lab
        .driver()
        .adopt(&guard, &lab.disk, &name("base"))
        .unwrap_err();
    assert!(unsupported(&error), "{error}");
    // A raw file that is said to be qcow2.
    let mut lab = Lab::new(SETTINGS[5]);
    lab.disk.format = Format::Qcow2;
    let guard = lab.guard();
    let error = lab
        .driver()
        .adopt(&guard, &lab.disk, &name("base"))
        .unwrap_err();
    assert!(matches!(error, Error::Format { .. }), "{error}");
}

#[test]
fn a_raw_disk_that_looks_like_an_image_stays_raw() {
    for setting in SETTINGS
        .into_iter()
        .filter(|setting| setting.format == Format::Raw)
    {
        let mut lab = Lab::new(setting);
        let file = File::options().write(true).open(&lab.disk.head).unwrap();
        // A guest that wants to read the host's files writes such a header.
        let evil = lab.disk.head.with_file_name("evil");
        run(
            "qemu-img",
            ["create", "-qufqcow2", "-Fraw", "-b/etc/hostname"]
                .map(AsRef::as_ref)
                .into_iter()
                .chain([evil.as_os_str(), "1M".as_ref()]),
        );
        let bytes = std::fs::read(&evil).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        let whole = std::fs::read(&lab.disk.head).unwrap();
        lab.adopt();
        let one = lab.capture("one");
        lab.rollback(&one, "a");
        assert!(lab.head() == whole, "{setting:?}");
        assert_eq!(
            lab.driver().inspect(&lab.disk).unwrap().size_bytes,
            whole.len() as u64
        );
    }
}

#[test]
fn layers_are_removed_when_nothing_needs_them_and_not_before() {
    let mut lab = Lab::managed(SETTINGS[6]);
    let one = lab.capture("one");
    lab.write(2);
    let two = lab.capture("two");
    lab.write(3);
    let second = lab.point(&two);
    let third = lab.head();
    let driver = lab.driver();
    let guard = lab.guard();
    // Below the head and below another point.
    assert_eq!(
        driver.retire(&guard, &lab.disk, &one).unwrap(),
        Retired::NeededAsLayer
    );
    let purged = driver
        .purge(&guard, &lab.disk, &one, std::slice::from_ref(&two))
        .unwrap();
    assert_eq!(purged, Purged::default());
    assert!(lab.head() == third && lab.point(&two) == second);
    drop(guard);
    let safe = lab.rollback(&two, "a");
    let guard = lab.guard();
    // A list of live points that is short costs nothing.
    let purged = driver.purge(&guard, &lab.disk, &one, &[]).unwrap();
    assert_eq!(purged, Purged::default());
    assert!(lab.point(&safe) == third);
    // A live point is not removed even if it was retired.
    assert_eq!(
        driver.retire(&guard, &lab.disk, &safe).unwrap(),
        Retired::Moved
    );
    let purged = driver
        .purge(&guard, &lab.disk, &safe, std::slice::from_ref(&safe))
        .unwrap();
    assert_eq!(purged, Purged::default());
    let purged = driver
        .purge(&guard, &lab.disk, &safe, std::slice::from_ref(&two))
        .unwrap();
    assert_eq!(purged.removed, [safe.trash_file()]);
    assert!(purged.allocated_bytes > 0);
    assert!(lab.head() == second);
    // A header that cannot be read stops every removal.
    std::fs::write(lab.disk.folder().join("point-junk.qcow2"), b"junk").unwrap();
    assert!(matches!(
        driver.retire(&guard, &lab.disk, &two),
        Err(Error::Format { .. })
    ));
    assert!(matches!(
        driver.purge(&guard, &lab.disk, &one, &[]),
        Err(Error::Format { .. })
    ));
}

#[test]
fn an_uncapture_keeps_what_was_written_since() {
    let mut lab = Lab::managed(SETTINGS[6]);
    let one = lab.capture("one");
    lab.write(2);
    let head = lab.head();
    let guard = lab.guard();
    let driver = lab.driver();
    driver.uncapture(&guard, &lab.disk, &name("one")).unwrap();
    driver.uncapture(&guard, &lab.disk, &name("one")).unwrap();
    let purged = driver.purge(&guard, &lab.disk, &one, &[]).unwrap();
    assert_eq!(purged, Purged::default());
    assert!(lab.head() == head);
    drop(guard);
    // The layers go when nothing stands on them any more.
    let two = lab.capture("two");
    let guard = lab.guard();
    let staged = driver
        .stage_flat(&guard, &lab.disk, &name("flat"), &NoProgress)
        .unwrap();
    let kept = driver.keep(&guard, &lab.disk, &name("old")).unwrap();
    driver.swap(&guard, &lab.disk, &staged, &kept).unwrap();
    for point in [&two, &kept.point] {
        driver.retire(&guard, &lab.disk, point).unwrap();
    }
    driver
        .purge(&guard, &lab.disk, &kept.point, std::slice::from_ref(&two))
        .unwrap();
    assert_eq!(lab.files().len(), 4, "{:?}", lab.files());
    let purged = driver.purge(&guard, &lab.disk, &two, &[]).unwrap();
    assert_eq!(purged.removed, [one.file, two.file]);
    assert!(lab.files().is_empty());
    assert!(lab.head() == head);
}

#[test]
fn a_raw_disk_of_odd_size_is_taken_over_and_given_back() {
    let mut lab = Lab::new(SETTINGS[5]);
    let raw = lab.user.clone();
    std::fs::write(&raw.head, vec![9; 1_048_577]).unwrap();
    lab.adopt();
    let base = name("base").point(Format::Raw);
    assert_eq!(
        lab.driver()
            .verify_point(&lab.disk, &base)
            .unwrap()
            .size_bytes,
        1_048_577
    );
    let one = lab.capture("one");
    lab.write(1);
    let head = lab.head();
    let driver = lab.driver();
    let guard = lab.guard();
    // Not while a point stands on what it was.
    let refused = driver.unadopt(&guard, &raw, &name("base"), &NoProgress);
    assert!(matches!(refused, Err(Error::Unsupported { .. })));
    assert!(lab.head() == head);
    driver.retire(&guard, &lab.disk, &one).unwrap();
    let watcher = Watcher {
        cancel_at: 0,
        heard: Mutex::default(),
    };
    let cancelled = driver.unadopt(&guard, &raw, &name("base"), &watcher);
    assert!(matches!(cancelled, Err(Error::Cancelled { .. })));
    assert!(lab.head() == head);
    driver
        .unadopt(&guard, &raw, &name("base"), &NoProgress)
        .unwrap();
    // QEMU counts in sectors.
    let given_back = std::fs::read(&raw.head).unwrap();
    assert_eq!(given_back.len(), 1_049_088);
    assert!(given_back == head);
    assert!(DiskLock::erase(guard).unwrap());
}

#[test]
fn a_raw_disk_is_given_back_with_what_was_written_since() {
    let mut lab = Lab::managed(SETTINGS[5]);
    lab.write(2);
    let head = lab.head();
    let guard = lab.guard();
    let driver = lab.driver();
    for _ in 0..2 {
        driver
            .unadopt(&guard, &lab.user, &name("base"), &NoProgress)
            .unwrap();
        assert!(std::fs::read(&lab.user.head).unwrap() == head);
        assert!(lab.files().is_empty());
    }
}

#[test]
fn a_head_replaced_in_the_middle_of_a_capture_is_told() {
    let mut lab = Lab::managed(SETTINGS[6]);
    let theirs = lab.disk.head.with_extension("theirs");
    std::fs::copy(&lab.disk.head, &theirs).unwrap();
    lab.capture("one");
    std::fs::rename(&theirs, &lab.disk.head).unwrap();
    let again = lab
        .driver()
        .capture(&lab.guard(), &lab.disk, &name("one"), &NoProgress);
    assert!(matches!(again, Err(Error::HeadChanged { .. })));
}

#[test]
fn messages_are_fragments_that_name_the_thing() {
    let path = std::path::PathBuf::from("/d/disk");
    let errors = [
        Name::new("a/b\n").unwrap_err(),
        Error::Missing { path: path.clone() },
        Error::InUse {
            path: path.clone(),
            holders: "qemu (pid 7)".to_owned(),
        },
        Error::io("sync", &path, rustix::io::Errno::DQUOT),
        Error::io("sync", &path, rustix::io::Errno::ROFS),
        Error::io("sync", &path, rustix::io::Errno::XDEV),
        Error::io("sync", &path, rustix::io::Errno::IO),
        Error::Stale {
            path,
            given: Fence(1),
            seen: Fence(2),
        },
    ];
    let codes: Vec<_> = errors.iter().map(|e| e.code().as_str()).collect();
    assert_eq!(
        codes,
        [
            "BO0002", "BO0020", "BO0021", "BO0023", "BO0025", "BO0024", "BO0025", "BO0012"
        ]
    );
    for error in &errors[1..] {
        let text = error.to_string();
        assert!(text.starts_with(|c: char| c.is_lowercase()), "{text}");
        assert!(text.contains("/d/disk") && text.contains(": "), "{text}");
    }
    assert_eq!(
        errors[0].to_string(),
        "use \"a/b\\n\" as a point name: want 1 to 100 letters, digits, - or _"
    );
    // Names from a store are checked as well.
    assert!(serde_json::from_str::<Name>("\"../x\"").is_err());
    assert_eq!("qcow2".parse::<DriverKind>().unwrap(), DriverKind::Qcow2);
    assert!("lvm".parse::<DriverKind>().is_err() && "vmdk".parse::<Format>().is_err());
}

#[test]
fn an_uncapture_leaves_the_layer_to_others_that_are_built_on_it() {
    let mut lab = Lab::managed(SETTINGS[6]);
    let head = lab.head();
    let one = lab.capture("one");
    lab.stage(&one, "new").unwrap();
    let guard = lab.guard();
    let driver = lab.driver();
    driver.uncapture(&guard, &lab.disk, &name("one")).unwrap();
    assert!(lab.head() == head);
    drop(guard);
    lab.keep("safe").unwrap();
    lab.swap().unwrap();
    assert!(lab.head() == head);
}

#[test]
fn a_chain_does_not_grow_without_bound_and_can_be_compacted() {
    let mut lab = Lab::managed(SETTINGS[6]);
    let driver = lab.driver();
    let mut points = Vec::new();
    let refused = loop {
        let guard = lab.guard();
        let next = name(&format!("p{}", points.len()));
        match driver.capture(&guard, &lab.disk, &next, &NoProgress) {
            Ok(captured) => points.push(captured.point),
            Err(e) => break e,
        }
        assert!(points.len() < 200);
    };
    assert!(matches!(refused, Error::Unsupported { .. }), "{refused}");
    assert_eq!(driver.inspect(&lab.disk).unwrap().layers, MAX_LAYERS);
    lab.write(7);
    let head = lab.head();

    let guard = lab.guard();
    let staged = driver
        .stage_flat(&guard, &lab.disk, &name("flat"), &NoProgress)
        .unwrap();
    let kept = driver.keep(&guard, &lab.disk, &name("old")).unwrap();
    driver.swap(&guard, &lab.disk, &staged, &kept).unwrap();
    assert_eq!(driver.inspect(&lab.disk).unwrap().layers, 1);
    assert!(lab.head() == head);
    // All but one point are deleted: what it needs stays, the rest goes.
    let live = points.remove(40);
    let contents = lab.point(&live);
    points.push(kept.point);
    for point in &points {
        driver.retire(&guard, &lab.disk, point).unwrap();
    }
    for point in &points {
        driver
            .purge(&guard, &lab.disk, point, std::slice::from_ref(&live))
            .unwrap();
    }
    assert!(lab.point(&live) == contents && lab.head() == head);
    let files = lab.files();
    assert_eq!(
        files
            .iter()
            .filter(|file| file.starts_with("point-"))
            .count(),
        41
    );
    assert!(!files.iter().any(|file| file.starts_with("trash-")));
    driver
        .capture(&guard, &lab.disk, &name("again"), &NoProgress)
        .unwrap();
}
