//! A crash before every single file operation of every function.

use std::thread;

use super::lab::{Lab, SETTINGS, Setting, live_in_memory, name};
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
