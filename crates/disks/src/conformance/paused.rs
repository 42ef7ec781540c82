//! A machine that is paused while its disk is captured. QEMU's storage daemon
//! plays it: the same block layer, locks and commands, without a processor.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::lab::{Lab, Owned, SETTINGS, name, run, wait_until};
use crate::*;

struct Machine {
    process: Owned,
    monitor: BufReader<UnixStream>,
    disk: PathBuf,
    _folder: tempfile::TempDir,
}

impl Machine {
    /// Opens the head as a running machine does.
    fn start(disk: &Disk) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [monitor, nbd] = ["qmp", "nbd"].map(|file| folder.path().join(file));
        let head = disk.head.display();
        let process = Command::new("qemu-storage-daemon")
            .arg("--chardev")
            .arg(format!(
                "socket,id=m,server=on,wait=off,path={}",
                monitor.display()
            ))
            .args(["--monitor", "chardev=m", "--blockdev"])
            .arg(format!("file,node-name=file0,filename={head}"))
            .args(["--blockdev", "qcow2,node-name=disk0,file=file0"])
            .arg("--nbd-server")
            .arg(format!("addr.type=unix,addr.path={}", nbd.display()))
            .args([
                "--export",
                "nbd,id=guest,node-name=disk0,name=d,writable=on",
            ])
            .stdin(Stdio::null())
            .spawn()
            .expect("these tests need qemu-storage-daemon (qemu-utils)");
        let mut socket = None;
        wait_until("the machine listens", || {
            socket = UnixStream::connect(&monitor).ok();
            socket.is_some() && nbd.exists()
        });
        let mut machine = Self {
            process: Owned(process),
            monitor: BufReader::new(socket.unwrap()),
            disk: nbd,
            _folder: folder,
        };
        machine.line();
        machine.tell("qmp_capabilities", json!({}));
        machine
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.monitor.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn tell(&mut self, command: &str, arguments: Value) {
        let request = json!({"execute": command, "arguments": arguments});
        let socket = self.monitor.get_mut();
        socket.write_all(request.to_string().as_bytes()).unwrap();
        loop {
            let answer = self.line();
            assert!(answer.get("error").is_none(), "{request}: {answer}");
            if answer.get("return").is_some() {
                return;
            }
        }
    }

    /// What the guest writes, and has written out: 64 KiB of `seed` in a place
    /// of its own.
    fn write(&self, seed: u8) {
        let command = format!("write -q -P {seed} {}k 64k", u32::from(seed) * 64);
        let address = format!("nbd+unix:///d?socket={}", self.disk.display());
        run(
            "qemu-io",
            ["-fraw", "-c", &command, "-c", "flush", &address].map(AsRef::as_ref),
        );
    }

    /// Goes over to the file that lies at the head's path.
    fn switch(&mut self, disk: &Disk) {
        let file = json!({"driver": "file", "filename": disk.head});
        self.tell(
            "blockdev-add",
            json!({"driver": "qcow2", "node-name": "disk1", "file": file, "backing": null}),
        );
        self.tell(
            "blockdev-snapshot",
            json!({"node": "disk0", "overlay": "disk1"}),
        );
    }

    fn stop(mut self) {
        self.tell("quit", json!({}));
        let ended = self.process.0.wait().unwrap();
        assert!(ended.success(), "{ended}");
    }
}

/// Whether each of the seeds was written to a disk with those contents.
fn holds(contents: &[u8], seeds: [u8; 4]) -> [bool; 4] {
    seeds.map(|seed| {
        let at = usize::from(seed) << 16;
        contents[at..at + (64 << 10)]
            .iter()
            .all(|byte| *byte == seed)
    })
}

fn capture_paused(lab: &mut Lab) -> Result<()> {
    let guard = lab.lock()?;
    let driver = lab.driver();
    driver
        .capture_paused(&guard, &lab.disk, &name("two"), &NoProgress)
        .map(drop)
}

fn uncapture(lab: &mut Lab) -> Result<()> {
    let guard = lab.lock()?;
    lab.driver().uncapture(&guard, &lab.disk, &name("two"))
}

const SEEDS: [u8; 4] = [3, 5, 6, 7];

fn running() -> (Lab, Machine) {
    let mut lab = Lab::new(SETTINGS[6]);
    lab.adopt();
    lab.capture("one");
    let machine = Machine::start(&lab.disk);
    machine.write(SEEDS[0]);
    (lab, machine)
}

#[test]
fn a_paused_machine_goes_on_in_the_new_head() {
    let mut operations = 0;
    for at in 0.. {
        let (mut lab, mut machine) = running();
        let driver = lab.driver();
        let refused = driver.capture(&lab.guard(), &lab.disk, &name("two"), &NoProgress);
        assert!(matches!(refused, Err(Error::InUse { .. })), "{refused:?}");
        let crashed = lab.watched(Some(at), &capture_paused).is_none();
        lab.watched(None, &capture_paused);
        machine.switch(&lab.disk);
        machine.write(SEEDS[1]);
        let two = name("two").point(lab.disk.format);
        assert_eq!(holds(&lab.point(&two), SEEDS), [true, false, false, false]);
        machine.stop();
        assert_eq!(holds(&lab.head(), SEEDS), [true, true, false, false]);
        assert_eq!(driver.inspect(&lab.disk).unwrap().layers, 3);
        if !crashed {
            break;
        }
        operations = at;
    }
    assert!(operations > 4, "{operations}");
}

#[test]
fn a_capture_is_taken_back_under_a_paused_machine() {
    for at in 0.. {
        let (mut lab, machine) = running();
        let two = name("two").point(lab.disk.format);
        capture_paused(&mut lab).unwrap();
        // The machine was not told: it has the layer open, which is the head
        // again.
        let crashed = lab.watched(Some(at), &uncapture).is_none();
        lab.watched(None, &uncapture);
        assert!(!lab.disk.point_path(&two).unwrap().exists());
        machine.write(SEEDS[1]);
        machine.stop();
        assert_eq!(holds(&lab.head(), SEEDS), [true, true, false, false]);
        assert_eq!(lab.driver().inspect(&lab.disk).unwrap().layers, 2);
        if !crashed {
            break;
        }
    }
}

#[test]
fn a_capture_is_taken_back_under_a_machine_that_has_gone_over() {
    let (mut lab, mut machine) = running();
    let two = name("two").point(lab.disk.format);
    capture_paused(&mut lab).unwrap();
    machine.switch(&lab.disk);
    // Nothing is in the new head yet, but all that comes will go there.
    for _ in 0..2 {
        uncapture(&mut lab).unwrap();
    }
    machine.write(SEEDS[1]);
    let guard = lab.guard();
    let purged = lab.driver().purge(&guard, &lab.disk, &two, &[]).unwrap();
    assert_eq!(purged, Purged::default());
    drop(guard);
    machine.write(SEEDS[2]);
    machine.stop();
    assert_eq!(holds(&lab.head(), SEEDS), [true, true, true, false]);
    assert_eq!(lab.driver().inspect(&lab.disk).unwrap().layers, 3);
}

#[test]
fn a_paused_machine_does_not_keep_its_disk_from_being_exported() {
    let (mut lab, machine) = running();
    let guard = lab.guard();
    let driver = lab.driver();
    for format in [Format::Raw, Format::Qcow2] {
        let target = lab.outside().join(format.as_str());
        let n = name(format.as_str());
        driver
            .export(&guard, &lab.disk, &target, format, &n, &NoProgress)
            .unwrap();
        assert_eq!(
            holds(&Lab::read(&target, format), SEEDS),
            [true, false, false, false]
        );
    }
    machine.stop();
}
