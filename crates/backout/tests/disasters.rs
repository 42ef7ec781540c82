//! What goes wrong on a real host: a full or read-only file system, an image
//! that somebody else has open or has cut, a `qemu-img` that is gone or dies.
//! Each time the vendor's client hears a documented code, at once or in the
//! operation's state, and the data is as it was.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::fs::File;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::{Running, Sdk, Volume};
use serde_json::{Value, json};

const MIB: u64 = 1 << 20;
const TEXT_AT: u64 = MIB;

/// How a client may hear that a disk cannot be worked on: in the operation's
/// state, or at once.
const DOCUMENTED: [&str; 3] = [
    "FAILED",
    "FailedOperation.SnapshotOperationFailed",
    "OperationDenied.OperationDeniedCreateSnapshot",
];

/// One server whose disk is in a folder of choice.
struct Host {
    server: Running,
    sdk: Sdk,
    disk: PathBuf,
    format: &'static str,
    instance: String,
}

impl Host {
    fn new(at: &Path, driver: &str, env: &[(&str, &str)]) -> Self {
        let disk = at.join("web.img");
        let file = File::create(&disk).unwrap();
        file.set_len(8 * MIB).unwrap();
        // Data to copy, so that what is refused for space needs some.
        file.write_all_at(&vec![7; 4 << 20], 2 * MIB).unwrap();
        // Whoever has it open for writing is in the way.
        drop(file);
        let server = Running::start_with(&[], env);
        let path = disk.to_str().unwrap();
        server.ok(&["servers", "add", "web", "--disk", path, "--driver", driver]);
        let shown = server.ok(&["servers", "show", "web"]);
        let format = if shown["disk"]["format"] == "qcow2" {
            "qcow2"
        } else {
            "raw"
        };
        let sdk = Sdk::start(&server.secret_id, &server.secret_key);
        let instance = shown["id"].as_str().unwrap().to_owned();
        Self {
            server,
            sdk,
            disk,
            format,
            instance,
        }
    }

    fn write(&self, text: &str) {
        if self.format == "raw" {
            let file = File::options().write(true).open(&self.disk).unwrap();
            file.write_all_at(text.as_bytes(), TEXT_AT).unwrap();
            return;
        }
        let source = self.server.folder().join("text");
        let mut block = text.as_bytes().to_vec();
        block.resize(4096, 0);
        std::fs::write(&source, block).unwrap();
        let out = Command::new("qemu-io")
            .args(["-f", "qcow2", "-c"])
            .arg(format!("write -s {} {TEXT_AT} 4096", source.display()))
            .arg(&self.disk)
            .output()
            .unwrap();
        assert!(out.status.success(), "{out:?}");
    }

    fn reads(&self) -> String {
        let raw = self.server.folder().join("read.raw");
        let out = Command::new("qemu-img")
            .args(["convert", "-f", self.format, "-O", "raw"])
            .arg(&self.disk)
            .arg(&raw)
            .output()
            .unwrap();
        assert!(out.status.success(), "{out:?}");
        let mut text = [0; 16];
        File::open(raw)
            .unwrap()
            .read_exact_at(&mut text, TEXT_AT)
            .unwrap();
        String::from_utf8_lossy(&text)
            .trim_end_matches('\0')
            .to_owned()
    }

    fn call(&mut self, action: &str, parameters: &Value) -> Result<Value, String> {
        self.sdk.call(&self.server.url, action, parameters)
    }

    /// How the last operation on the instance ended.
    fn ended(&mut self) -> String {
        let one = json!({"InstanceIds": [self.instance]});
        for _ in 0..1200 {
            let seen = self.call("DescribeInstances", &one).unwrap();
            let state = seen["InstanceSet"][0]["LatestOperationState"].as_str();
            if state != Some("OPERATING") {
                return state.unwrap().to_owned();
            }
            // Half of what one account may ask in a second.
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("the operation does not end\n{}", self.server.log());
    }

    fn snapshot(&mut self) -> String {
        let asked = json!({"InstanceId": self.instance});
        let made = self.call("CreateInstanceSnapshot", &asked).unwrap();
        assert_eq!(self.ended(), "SUCCESS");
        made["SnapshotId"].as_str().unwrap().to_owned()
    }

    /// A snapshot of `old`, and `new` on the disk.
    fn changed(&mut self) -> Value {
        self.write("old");
        let snapshot = self.snapshot();
        self.write("new");
        json!({"InstanceId": self.instance, "SnapshotId": snapshot})
    }

    /// An operation that is refused, or accepted and taken back; and the code.
    fn fails(&mut self, action: &str, parameters: &Value) -> String {
        match self.call(action, parameters) {
            Err(code) => code,
            Ok(_) => {
                let state = self.ended();
                assert_eq!(state, "FAILED", "{action}: {:?}", self.newest());
                state
            }
        }
    }

    /// The newest job.
    fn newest(&self) -> Newest {
        let jobs = self.server.ok(&["jobs", "list"]);
        let job = jobs.as_array().unwrap()[0]["id"].as_str().unwrap();
        let seen = self.server.ok(&["jobs", "show", job]);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Newest {
            outcome: text(&seen["outcome"]),
            message: text(&seen["error"]["message"]),
            next: text(&seen["next_command"]),
        }
    }

    /// All is well again: the rollback works.
    fn goes_back(&mut self, apply: &Value) {
        assert_eq!(self.reads(), "new");
        self.call("ApplyInstanceSnapshot", apply).unwrap();
        assert_eq!(self.ended(), "SUCCESS");
        assert_eq!(self.reads(), "old");
    }
}

/// How a job stands.
#[derive(Debug)]
struct Newest {
    outcome: String,
    message: String,
    next: String,
}

#[test]
fn a_full_file_system() {
    let volume = Volume::ext4(64 * MIB);
    let mut host = Host::new(&volume.path(), "copy", &[]);
    let apply = host.changed();
    let filler = volume.path().join("filler");
    let file = File::create(&filler).unwrap();
    let mut at = 0;
    while file.write_all_at(&[1; 65536], at).is_ok() {
        at += 65536;
    }
    file.sync_all().unwrap();
    drop(file);
    let create = json!({"InstanceId": host.instance});
    // Each with the code that its operation documents.
    for (action, parameters, code) in [
        (
            "CreateInstanceSnapshot",
            &create,
            "OperationDenied.OperationDeniedCreateSnapshot",
        ),
        (
            "ApplyInstanceSnapshot",
            &apply,
            "FailedOperation.SnapshotOperationFailed",
        ),
    ] {
        assert_eq!(host.call(action, parameters).unwrap_err(), code);
    }
    assert_eq!(host.reads(), "new");
    std::fs::remove_file(filler).unwrap();
    host.goes_back(&apply);
}

#[test]
fn a_read_only_file_system() {
    let volume = Volume::ext4(64 * MIB);
    let mut host = Host::new(&volume.path(), "copy", &[]);
    let apply = host.changed();
    volume.remount("ro");
    for (action, parameters) in [
        (
            "CreateInstanceSnapshot",
            json!({"InstanceId": host.instance}),
        ),
        ("ApplyInstanceSnapshot", apply.clone()),
    ] {
        let said = host.fails(action, &parameters);
        assert!(DOCUMENTED.contains(&said.as_str()), "{action}: {said}");
        if said == "FAILED" {
            // Not even its lock can be taken, so nothing can be taken back
            // either: it is held, and says what to type.
            let held = host.newest();
            assert_eq!(held.outcome, "held", "{held:?}");
            assert!(held.message.contains("read-only"), "{held:?}");
            let next: Vec<&str> = held.next.split(' ').skip(1).collect();
            assert_eq!(host.reads(), "new");
            volume.remount("rw");
            host.server.cli(&next);
            host.ended();
            assert_eq!(host.newest().outcome, "reverted");
            volume.remount("ro");
        }
    }
    volume.remount("rw");
    host.goes_back(&apply);
}

#[test]
fn an_image_that_somebody_has_open() {
    for driver in ["copy", "qcow2"] {
        let folder = tempfile::tempdir().unwrap();
        let mut host = Host::new(folder.path(), driver, &[]);
        let apply = host.changed();
        let other = Command::new("tail")
            .args(["-f", "/dev/null"])
            .stdin(
                File::options()
                    .read(true)
                    .write(true)
                    .open(&host.disk)
                    .unwrap(),
            )
            .spawn()
            .map(Ended)
            .unwrap();
        let code = host.call("ApplyInstanceSnapshot", &apply).unwrap_err();
        assert_eq!(code, "UnsupportedOperation.DiskBusy", "{driver}");
        drop(other);
        host.goes_back(&apply);
    }
}

/// A process of this test, ended with it.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_image_that_somebody_has_cut() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::new(folder.path(), "copy", &[]);
    let apply = host.changed();
    let cut_to = |bytes| {
        let file = File::options()
            .write(true)
            .open(folder.path().join("web.img"));
        file.unwrap().set_len(bytes).unwrap();
    };
    cut_to(6 * MIB);
    let code = host.call("ApplyInstanceSnapshot", &apply).unwrap_err();
    assert_eq!(code, "InvalidParameterValue.DiskSizeNotMatch");
    assert_eq!(host.reads(), "new");
    cut_to(8 * MIB);
    host.goes_back(&apply);

    // A restore point that was cut is told, not used.
    for driver in ["copy", "qcow2"] {
        let folder = tempfile::tempdir().unwrap();
        let mut host = Host::new(folder.path(), driver, &[]);
        let apply = host.changed();
        let snapshot = apply["SnapshotId"].as_str().unwrap();
        let point = folder
            .path()
            .join(format!("web.img.backout/point-{snapshot}.{}", host.format));
        let whole = std::fs::read(&point).unwrap();
        let cut = File::options().write(true).open(&point).unwrap();
        cut.set_len(whole.len() as u64 / 2).unwrap();
        let code = host.fails("ApplyInstanceSnapshot", &apply);
        let documented = [
            "FAILED",
            "FailedOperation.SnapshotOperationFailed",
            "InvalidParameterValue.DiskSizeNotMatch",
        ];
        assert!(documented.contains(&code.as_str()), "{driver}: {code}");
        cut.write_all_at(&whole, 0).unwrap();
        drop(cut);
        host.goes_back(&apply);
    }
}

/// A folder with a `qemu-img` that may be told to die, to be
/// all there is in PATH.
fn mortal_qemu_img(folder: &Path) -> String {
    let bin = folder.join("bin");
    std::fs::create_dir(&bin).unwrap();
    let tool = bin.join("qemu-img");
    let real = std::env::var("PATH")
        .unwrap()
        .split(':')
        .map(|f| Path::new(f).join("qemu-img"))
        .find(|f| f.exists())
        .unwrap();
    // It does its work, and is killed before it can say so.
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] || ! [ -e '{0}/dies' ] || {{ '{1}' \"$@\"; kill -s KILL $$; }}\nexec '{1}' \"$@\"\n",
        folder.display(),
        real.display(),
    );
    std::fs::write(&tool, text).unwrap();
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    // Nothing else is found when it is away.
    bin.to_str().unwrap().to_owned()
}

#[test]
fn a_qemu_img_that_is_gone_or_dies() {
    let folder = tempfile::tempdir().unwrap();
    let path = mortal_qemu_img(folder.path());
    let mut host = Host::new(folder.path(), "qcow2", &[("PATH", &path)]);
    let apply = host.changed();
    let tool = folder.path().join("bin/qemu-img");

    std::fs::write(folder.path().join("dies"), "").unwrap();
    let create = json!({"InstanceId": host.instance});
    for (action, parameters) in [
        ("CreateInstanceSnapshot", &create),
        ("ApplyInstanceSnapshot", &apply),
    ] {
        assert_eq!(host.fails(action, parameters), "FAILED", "{action}");
        let newest = host.newest();
        assert_eq!(newest.outcome, "reverted", "{newest:?}");
        assert!(newest.message.contains("killed by signal"), "{newest:?}");
        assert_eq!(host.reads(), "new", "{action}");
    }
    std::fs::remove_file(folder.path().join("dies")).unwrap();

    let away = folder.path().join("away");
    std::fs::rename(&tool, &away).unwrap();
    for (action, parameters) in [
        ("CreateInstanceSnapshot", &create),
        ("ApplyInstanceSnapshot", &apply),
    ] {
        let said = host.fails(action, parameters);
        assert!(DOCUMENTED.contains(&said.as_str()), "{action}: {said}");
        assert_eq!(host.reads(), "new", "{action}");
    }
    std::fs::rename(&away, &tool).unwrap();
    host.goes_back(&apply);
}
