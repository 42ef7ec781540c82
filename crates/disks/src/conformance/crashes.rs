//! A crash before every single file operation of every function.

use std::thread;

use super::lab::{Lab, SETTINGS, SIZE, Setting, live_in_memory, name};
use crate::*;

pub(super) type Act = fn(&mut Lab) -> Result<()>;

/// A function and its undo, and how to get to where they are called.
pub(super) struct Case {
    pub(super) what: &'static str,
    pub(super) setup: fn(Setting) -> Lab,
    pub(super) act: Act,
    pub(super) undo: Option<Act>,
}

/// Two points, the newer of which is gone past, and contents 3.
fn two_points(setting: Setting) -> Lab {
    let mut lab = Lab::managed(setting);
    lab.capture("one");
    lab.write(2);
    lab.capture("two");
    lab.write(3);
    lab
}

fn one(lab: &Lab) -> Point {
    name("one").point(lab.disk.format)
}

fn two(lab: &Lab) -> Point {
    name("two").point(lab.disk.format)
}

fn staged(setting: Setting) -> Lab {
    let mut lab = two_points(setting);
    lab.stage(&one(&lab), "new").unwrap();
    lab
}

fn kept(setting: Setting) -> Lab {
    let mut lab = staged(setting);
    lab.keep("safe").unwrap();
    lab
}

/// As [`two_points`], and then back to the older one: nothing is built on the
/// safety point, something is built on the others.
fn rolled_back(setting: Setting) -> Lab {
    let mut lab = kept(setting);
    lab.swap().unwrap();
    lab
}

fn retired(setting: Setting, file: &str) -> Lab {
    let mut lab = rolled_back(setting);
    for file in ["safe", file] {
        let guard = lab.guard();
        let point = name(file).point(lab.disk.format);
        lab.driver().retire(&guard, &lab.disk, &point).unwrap();
    }
    lab
}

fn retire(lab: &mut Lab, file: &str) -> Result<()> {
    let guard = lab.lock()?;
    let point = name(file).point(lab.disk.format);
    lab.driver().retire(&guard, &lab.disk, &point).map(drop)
}

fn unretire(lab: &mut Lab, file: &str) -> Result<()> {
    let guard = lab.lock()?;
    let point = name(file).point(lab.disk.format);
    lab.driver().unretire(&guard, &lab.disk, &point)
}

fn adopt(lab: &mut Lab) -> Result<()> {
    lab.disk = lab.user.clone();
    let guard = lab.lock()?;
    lab.disk = lab.driver().adopt(&guard, &lab.user, &name("base"))?.disk;
    Ok(())
}

fn unadopt(lab: &mut Lab) -> Result<()> {
    let guard = lab.lock()?;
    let driver = lab.driver();
    driver.unadopt(&guard, &lab.user, &name("base"), &NoProgress)?;
    lab.disk = lab.user.clone();
    Ok(())
}

fn unstage(lab: &mut Lab) -> Result<()> {
    let guard = lab.lock()?;
    lab.driver().unstage(&guard, &lab.disk, &name("new"))
}

fn stage_image(lab: &mut Lab, format: Format) -> Result<()> {
    let image = lab.image(format, 9);
    let guard = lab.lock()?;
    let staged = lab.driver().stage_image(
        &guard,
        &lab.disk,
        &image,
        format,
        SIZE,
        &name("new"),
        &NoProgress,
    )?;
    assert_eq!(staged.size_bytes, SIZE);
    Ok(())
}

fn export(lab: &mut Lab, format: Format) -> Result<()> {
    let target = lab.outside().join(format!("image.{format}"));
    let guard = lab.lock()?;
    let name = name("export");
    let driver = lab.driver();
    let facts = driver.export(&guard, &lab.disk, &target, format, &name, &NoProgress)?;
    assert_eq!(facts.size_bytes, SIZE);
    Ok(())
}

fn unexport(lab: &mut Lab, format: Format) -> Result<()> {
    let target = lab.outside().join(format!("image.{format}"));
    let guard = lab.lock()?;
    let driver = lab.driver();
    driver.unexport(&guard, &lab.disk, &target, &name("export"))
}

/// A disk whose file is not there yet, nor the folder it lies in.
fn unmade(setting: Setting) -> Lab {
    let mut lab = Lab::new(setting);
    lab.disk.head = lab.disk.head.with_file_name("machine").join("disk");
    lab.disk.format = match setting.driver {
        DriverKind::Qcow2 => Format::Qcow2,
        DriverKind::Reflink | DriverKind::Copy => Format::Raw,
    };
    lab
}

fn make(lab: &mut Lab, source: Option<Format>) -> Result<()> {
    let source = source.map(|format| (lab.image(format, 9), format));
    let source = source
        .as_ref()
        .map(|(path, format)| (path.as_path(), *format));
    let (head, driver, fence) = (lab.disk.head.clone(), lab.disk.driver, lab.fence());
    let made = crate::make(
        &head,
        driver,
        source,
        SIZE,
        &name("make"),
        fence,
        &NoProgress,
    )?;
    assert_eq!(made, lab.disk);
    Ok(())
}

fn unmake(lab: &mut Lab) -> Result<()> {
    let fence = lab.fence();
    crate::unmake(&lab.disk.head, lab.disk.driver, &name("make"), fence)?;
    assert!(!lab.disk.head.parent().unwrap().exists());
    Ok(())
}

pub(super) const CASES: &[Case] = &[
    Case {
        what: "adopt",
        setup: |setting| {
            let lab = Lab::new(setting);
            lab.write(1);
            lab
        },
        act: adopt,
        undo: Some(unadopt),
    },
    Case {
        what: "unadopt what was written since",
        setup: |setting| {
            let mut lab = Lab::managed(setting);
            lab.write(2);
            lab.capture("one");
            let one = one(&lab);
            lab.write(3);
            let guard = lab.guard();
            lab.driver().retire(&guard, &lab.disk, &one).unwrap();
            lab
        },
        act: unadopt,
        undo: None,
    },
    Case {
        what: "capture",
        setup: two_points,
        act: |lab| {
            let guard = lab.lock()?;
            let driver = lab.driver();
            let captured = driver.capture(&guard, &lab.disk, &name("three"), &NoProgress)?;
            assert_eq!(captured.point, name("three").point(lab.disk.format));
            Ok(())
        },
        undo: Some(|lab| {
            let guard = lab.lock()?;
            lab.driver().uncapture(&guard, &lab.disk, &name("three"))
        }),
    },
    Case {
        what: "capture of a machine that is paused",
        setup: two_points,
        act: |lab| {
            let guard = lab.lock()?;
            let driver = lab.driver();
            driver.capture_paused(&guard, &lab.disk, &name("three"), &NoProgress)?;
            Ok(())
        },
        undo: Some(|lab| {
            let guard = lab.lock()?;
            lab.driver().uncapture(&guard, &lab.disk, &name("three"))
        }),
    },
    Case {
        what: "stage a raw image",
        setup: two_points,
        act: |lab| stage_image(lab, Format::Raw),
        undo: Some(unstage),
    },
    Case {
        what: "stage a qcow2 image",
        setup: two_points,
        act: |lab| stage_image(lab, Format::Qcow2),
        undo: Some(unstage),
    },
    Case {
        what: "export as raw",
        setup: two_points,
        act: |lab| export(lab, Format::Raw),
        undo: Some(|lab| unexport(lab, Format::Raw)),
    },
    Case {
        what: "export as qcow2",
        setup: two_points,
        act: |lab| export(lab, Format::Qcow2),
        undo: Some(|lab| unexport(lab, Format::Qcow2)),
    },
    Case {
        what: "make a blank disk",
        setup: unmade,
        act: |lab| make(lab, None),
        undo: Some(unmake),
    },
    Case {
        what: "make a disk of a raw image",
        setup: unmade,
        act: |lab| make(lab, Some(Format::Raw)),
        undo: Some(unmake),
    },
    Case {
        what: "make a disk of a qcow2 image",
        setup: unmade,
        act: |lab| make(lab, Some(Format::Qcow2)),
        undo: Some(unmake),
    },
    Case {
        what: "destroy",
        setup: |setting| {
            let mut lab = rolled_back(setting);
            let guard = lab.guard();
            let point = name("safe").point(lab.disk.format);
            lab.driver().retire(&guard, &lab.disk, &point).unwrap();
            lab
        },
        act: |lab| {
            let fence = lab.fence();
            destroy(&lab.disk, fence)?;
            assert!(!lab.disk.head.exists() && !lab.disk.folder().exists());
            Ok(())
        },
        undo: None,
    },
    Case {
        what: "stage",
        setup: two_points,
        act: |lab| lab.stage(&one(lab), "new"),
        undo: Some(|lab| {
            let guard = lab.lock()?;
            lab.driver().unstage(&guard, &lab.disk, &name("new"))
        }),
    },
    Case {
        what: "stage the head without its layers",
        setup: two_points,
        act: |lab| {
            let guard = lab.lock()?;
            let driver = lab.driver();
            driver.stage_flat(&guard, &lab.disk, &name("new"), &NoProgress)?;
            Ok(())
        },
        undo: Some(|lab| {
            let guard = lab.lock()?;
            lab.driver().unstage(&guard, &lab.disk, &name("new"))
        }),
    },
    Case {
        what: "keep",
        setup: staged,
        act: |lab| lab.keep("safe").map(drop),
        undo: Some(|lab| {
            let guard = lab.lock()?;
            lab.driver().unkeep(&guard, &lab.disk, &name("safe"))
        }),
    },
    Case {
        what: "swap",
        setup: kept,
        act: Lab::swap,
        undo: Some(Lab::unswap),
    },
    Case {
        what: "retire what nothing is built on",
        setup: rolled_back,
        act: |lab| retire(lab, "safe"),
        undo: Some(|lab| unretire(lab, "safe")),
    },
    Case {
        what: "retire what others are built on",
        setup: rolled_back,
        act: |lab| retire(lab, "two"),
        undo: Some(|lab| unretire(lab, "two")),
    },
    Case {
        what: "purge what nothing is built on",
        setup: |setting| retired(setting, "safe"),
        act: |lab| {
            let guard = lab.lock()?;
            let live = [one(lab), two(lab)];
            let point = name("safe").point(lab.disk.format);
            lab.driver().purge(&guard, &lab.disk, &point, &live)?;
            Ok(())
        },
        undo: None,
    },
    Case {
        what: "purge a chain",
        setup: |setting| retired(setting, "two"),
        act: |lab| {
            for point in ["safe", "two"] {
                let guard = lab.lock()?;
                let point = name(point).point(lab.disk.format);
                let live = [one(lab)];
                lab.driver().purge(&guard, &lab.disk, &point, &live)?;
            }
            Ok(())
        },
        undo: None,
    },
];

fn check(setting: Setting, case: &Case) {
    let what = format!("{} with {setting:?}", case.what);

    // Undisturbed, and each call repeated.
    let mut lab = (case.setup)(setting);
    let before = lab.state();
    if let Some(undo) = case.undo {
        lab.watched(None, &undo);
        assert_eq!(lab.state(), before, "undo of what was not done: {what}");
    }
    let operations = lab.watched(None, &case.act).unwrap();
    let after = lab.state();
    lab.watched(None, &case.act);
    assert_eq!(lab.state(), after, "repeated: {what}");
    let undo_operations = case.undo.map_or(0, |undo| {
        let done = lab.watched(None, &undo).unwrap();
        assert_eq!(lab.state(), before, "undone: {what}");
        lab.watched(None, &undo);
        assert_eq!(lab.state(), before, "undone twice: {what}");
        done
    });
    drop(lab);

    let crashed = |at: u32, act: Act, mut lab: Lab| {
        assert_eq!(
            lab.watched(Some(at), &act),
            None,
            "no crash at {at}: {what}"
        );
        lab
    };
    for at in 0..operations {
        let mut lab = crashed(at, case.act, (case.setup)(setting));
        lab.watched(None, &case.act);
        assert_eq!(lab.state(), after, "crashed at {at}, repeated: {what}");
        if let Some(undo) = case.undo {
            let mut lab = crashed(at, case.act, (case.setup)(setting));
            lab.watched(None, &undo);
            assert_eq!(lab.state(), before, "crashed at {at}, undone: {what}");
        }
    }
    if let Some(undo) = case.undo {
        for at in 0..undo_operations {
            let mut lab = (case.setup)(setting);
            lab.watched(None, &case.act);
            let mut lab = crashed(at, undo, lab);
            lab.watched(None, &undo);
            assert_eq!(
                lab.state(),
                before,
                "undo crashed at {at}, repeated: {what}"
            );
        }
    }
}

/// Every setting in a thread of its own: most of the time is spent waiting for
/// disks and for QEMU. To a driver of whole files all contents are alike.
fn check_all(cases: &'static [Case]) {
    let alike =
        |setting: &Setting| setting.driver != DriverKind::Qcow2 && setting.format == Format::Qcow2;
    thread::scope(|scope| {
        for setting in SETTINGS.into_iter().filter(|setting| !alike(setting)) {
            scope.spawn(move || {
                let _volume = live_in_memory(setting);
                cases.iter().for_each(|case| check(setting, case));
            });
        }
    });
}

#[test]
fn no_crash_in_any_function_leaves_anything_but_the_old_or_the_new() {
    check_all(CASES);
}
