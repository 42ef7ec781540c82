//! Power loss, for real: the file system is shut down without writing anything
//! that is still in memory, and mounted again.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use super::crashes::{CASES, Case};
use super::lab::{Lab, Memory, Place, Setting, live_in, run};
use crate::*;

/// A file system that can lose its power.
struct Host {
    memory: Memory,
}

impl Host {
    fn new(mkfs: &[&str], bytes: u64) -> Self {
        let host = Self {
            memory: Memory::new(),
        };
        File::create(host.image()).unwrap().set_len(bytes).unwrap();
        std::fs::create_dir(host.root()).unwrap();
        let image = host.image();
        let options = mkfs[1..].iter().map(AsRef::as_ref);
        run(mkfs[0], options.chain([image.as_os_str()]));
        host.mount();
        host
    }

    fn image(&self) -> PathBuf {
        self.memory.path().join("image")
    }

    fn root(&self) -> PathBuf {
        self.memory.path().join("root")
    }

    fn mount(&self) {
        let (image, root) = (self.image(), self.root());
        let options = ["-o", "loop"].map(AsRef::as_ref);
        run(
            "mount",
            options
                .into_iter()
                .chain([image.as_os_str(), root.as_os_str()]),
        );
    }

    /// Whatever was done so far is on the disk.
    fn settle(&self) {
        rustix::fs::syncfs(File::open(self.root()).unwrap()).unwrap();
    }

    fn lose_power(&self) {
        let root = self.root();
        let shutdown = ["-x", "-c", "shutdown"].map(AsRef::as_ref);
        run("xfs_io", shutdown.into_iter().chain([root.as_os_str()]));
        // A process that another test is just starting may have a copy of a
        // descriptor of ours for a moment.
        for _ in 0..500 {
            let output = Command::new("umount").arg(&root).output().unwrap();
            if output.status.success() {
                self.mount();
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("{root:?} stays busy");
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.root()).status());
    }
}

fn check(host: &Host, setting: Setting, case: &Case) {
    let what = format!("{} with {setting:?}", case.what);
    let setup = || {
        let lab = (case.setup)(setting);
        host.settle();
        lab
    };
    let lose_power_after = |lab: &mut Lab, allowed: Option<u32>, act| {
        let done = lab.watched(allowed, &act);
        host.lose_power();
        done
    };

    // What was reported as done is done.
    let mut lab = setup();
    let before = lab.state();
    let operations = lose_power_after(&mut lab, None, case.act).unwrap();
    let after = lab.state();
    if let Some(undo) = case.undo {
        lose_power_after(&mut lab, None, undo).unwrap();
        assert_eq!(lab.state(), before, "undone and lost: {what}");
    }
    let mut undisturbed = setup();
    undisturbed.watched(None, &case.act);
    assert_eq!(after, undisturbed.state(), "done and lost: {what}");
    drop((lab, undisturbed));

    // And what was not can be repeated or undone.
    for at in 0..operations {
        let mut lab = setup();
        assert_eq!(lose_power_after(&mut lab, Some(at), case.act), None);
        match case.undo {
            Some(undo) if at % 2 == 0 => {
                lab.watched(None, &undo);
                assert_eq!(lab.state(), before, "lost at {at}, undone: {what}");
            }
            _ => {
                lab.watched(None, &case.act);
                assert_eq!(lab.state(), after, "lost at {at}, repeated: {what}");
            }
        }
    }
}

fn check_all(mkfs: &[&str], driver: DriverKind) {
    let host = Host::new(mkfs, 320 << 20);
    live_in(host.root());
    let setting = Setting {
        driver,
        format: Format::Raw,
        place: Place::Tmp,
    };
    for case in CASES {
        check(&host, setting, case);
    }
}

#[test]
fn no_power_loss_leaves_clones_on_xfs_anything_but_the_old_or_the_new() {
    check_all(&["mkfs.xfs", "-q", "-m", "reflink=1"], DriverKind::Reflink);
}

#[test]
fn no_power_loss_leaves_copies_on_ext4_anything_but_the_old_or_the_new() {
    check_all(&["mkfs.ext4", "-q"], DriverKind::Copy);
}

#[test]
fn no_power_loss_leaves_overlays_on_ext4_anything_but_the_old_or_the_new() {
    check_all(&["mkfs.ext4", "-q"], DriverKind::Qcow2);
}
