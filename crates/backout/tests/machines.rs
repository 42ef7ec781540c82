//! A real guest that counts on its disk is taken back while it runs, by a call
//! of the vendor's SDK, and boots again with the count of the snapshot: on
//! qcow2 and on reflinks, with Backout killed in the middle of each step.
//!
//! Backout runs in a child: this test binary, started again for just
//! [`serves`], with a probe that kills it where the file `kill` says.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use backout::Settings;
use backout::compose::{Backout, World};
use backout_jobs::{Moment, Point, Probe, ProbeAction, ProbeFuture};
use backout_machines::testing::Guest;
use backout_shim::Shim;
use common::Sdk;
use serde_json::{Value, json};

/// Tells a child the folder it serves.
const CHILD: &str = "BACKOUT_MACHINES_CHILD";

/// How long anything may take: generous, since machines that run tests are
/// busy. It bounds a hang; it measures nothing.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where the guest keeps its count.
const COUNTER_AT: u64 = 4096;

const DISK_BYTES: u64 = 8 << 20;

/// Every step of a rollback, at the two moments at which a crash leaves
/// something to find out: the intent is there and nothing is done, and all is
/// done and nothing is recorded.
const STEPS: [&str; 5] = ["stage", "stop", "keep", "swap", "start"];
const MOMENTS: [Moment; 2] = [Moment::AfterIntent, Moment::AfterEffect];

/// Kills this process where the file says, once.
struct Killer(PathBuf);

impl Probe for Killer {
    fn at<'a>(&'a self, point: Point<'a>) -> ProbeFuture<'a> {
        let here = format!("{} {}", point.step, point.moment.as_str());
        if point.procedure == "servers.apply_snapshot"
            && !point.undo
            && std::fs::read_to_string(&self.0).is_ok_and(|at| at == here)
        {
            std::fs::remove_file(&self.0).unwrap();
            let me = std::process::id().to_string();
            let _ = Command::new("kill").args(["-s", "KILL", &me]).status();
            // It takes an instant to arrive.
            std::thread::sleep(PATIENCE);
        }
        Box::pin(std::future::ready(ProbeAction::GoOn))
    }
}

/// What the children run. By itself it has nothing to serve.
#[test]
fn serves() {
    let Some(folder) = std::env::var_os(CHILD).map(PathBuf::from) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let world = World {
            probe: Arc::new(Killer(folder.join("kill"))),
            shim: Shim {
                program: common::BIN.into(),
                args: vec!["shim".into()],
            },
            ..World::default()
        };
        let backout = Backout::start(Settings::new(folder.join("data")), world)
            .await
            .unwrap();
        std::fs::write(folder.join("url"), backout.url()).unwrap();
        std::future::pending::<()>().await;
    });
}

/// A child that serves, the SDK, and a guest on a disk.
struct Rig {
    folder: PathBuf,
    child: Option<Child>,
    url: String,
    sdk: Option<Sdk>,
    instance: String,
}

impl Drop for Rig {
    fn drop(&mut self) {
        // The guest outlives its server, so it is stopped by it.
        if self.child.is_some() && !self.instance.is_empty() && !std::thread::panicking() {
            self.call(
                "StopInstances",
                json!({"InstanceIds": [self.instance], "StopType": "HARD"}),
            );
            self.until("the guest stops", |rig| rig.state() == "STOPPED");
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Rig {
    fn new(folder: &Path) -> Self {
        let mut rig = Self {
            folder: folder.to_owned(),
            child: None,
            url: String::new(),
            sdk: None,
            instance: String::new(),
        };
        rig.start();
        let admin = rig.folder.join("data/admin.json");
        let admin: Value = serde_json::from_slice(&std::fs::read(admin).unwrap()).unwrap();
        rig.sdk = Some(Sdk::start(
            admin["SecretId"].as_str().unwrap(),
            admin["SecretKey"].as_str().unwrap(),
        ));
        rig
    }

    fn start(&mut self) {
        let url = self.folder.join("url");
        let _ = std::fs::remove_file(&url);
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "serves", "--nocapture"])
            .env(CHILD, &self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        self.until("the server serves", |rig| {
            rig.url = std::fs::read_to_string(rig.folder.join("url")).unwrap_or_default();
            !rig.url.is_empty()
        });
    }

    /// Waits for the child to be killed by its probe.
    fn killed(&mut self) {
        self.until("the server is killed", |rig| {
            rig.child.as_mut().unwrap().try_wait().unwrap().is_some()
        });
        self.child = None;
    }

    fn until(&mut self, what: &str, mut there: impl FnMut(&mut Self) -> bool) {
        let began = Instant::now();
        while !there(self) {
            if began.elapsed() > PATIENCE {
                let mut told = String::new();
                for file in ["log".into(), self.console()] {
                    let text = std::fs::read(self.folder.join(file)).unwrap_or_default();
                    let from = text.len().saturating_sub(3000);
                    let _ = write!(told, "\n---\n{}", String::from_utf8_lossy(&text[from..]));
                }
                panic!("waited for: {what}{told}");
            }
            // Half of what one account may ask in a second.
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn call(&mut self, action: &str, parameters: Value) -> Value {
        self.sdk
            .as_mut()
            .unwrap()
            .call(&self.url, action, &parameters)
            .unwrap_or_else(|code| panic!("{action}: {code}"))
    }

    fn cli(&self, args: &[&str]) -> Value {
        let out = common::backout()
            .args(args)
            .arg("--json")
            .arg("--data")
            .arg(self.folder.join("data"))
            .output()
            .unwrap();
        assert!(out.status.success(), "{args:?}: {out:?}");
        serde_json::from_slice(&out.stdout).unwrap()
    }

    fn described(&mut self) -> Value {
        let instance = json!({"InstanceIds": [self.instance]});
        self.call("DescribeInstances", instance)["InstanceSet"][0].clone()
    }

    fn state(&mut self) -> String {
        self.described()["InstanceState"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    fn idle(&mut self) {
        self.until("the operation ends", |rig| {
            rig.described()["LatestOperationState"] != "OPERATING"
        });
        let seen = self.described();
        assert_eq!(seen["LatestOperationState"], "SUCCESS", "{seen}");
    }

    /// The guest's console.
    fn console(&self) -> PathBuf {
        backout_machines::Machines::new(self.folder.join("data/machines"), Shim::own(&["shim"]))
            .serial_log(&self.instance)
    }

    /// What the guest said of its count: the first words at each boot, and how
    /// far it was last heard to be.
    fn heard(&self) -> (Vec<u64>, u64) {
        let text = String::from_utf8_lossy(&std::fs::read(self.console()).unwrap_or_default())
            .into_owned();
        let said = |word: &str| -> Vec<(usize, u64)> {
            text.match_indices(word)
                .filter_map(|(at, _)| {
                    let rest = &text[at + word.len()..];
                    let line = rest.split(['\r', '\n']).next()?;
                    Some((at, line.trim().parse().ok()?))
                })
                .collect()
        };
        let boots: Vec<(usize, u64)> = said("COUNTER ");
        let since = boots.last().map_or(0, |(at, _)| *at);
        let last = said("AT ")
            .into_iter()
            .filter(|(at, _)| *at > since)
            .map(|(_, n)| n)
            .max()
            .unwrap_or(0);
        (boots.into_iter().map(|(_, n)| n).collect(), last)
    }

    /// Waits until the guest has counted on by `by`.
    fn counts_on(&mut self, by: u64) {
        let (boots, from) = self.heard();
        let from = from.max(*boots.last().unwrap_or(&0));
        self.until("the guest counts on", |rig| rig.heard().1 >= from + by);
    }
}

/// The count in an image, read from outside.
fn counter_in(image: &Path, format: &str, scratch: &Path) -> u64 {
    let raw = scratch.join("read.raw");
    let out = Command::new("qemu-img")
        .args(["convert", "-U", "-f", format, "-O", "raw"])
        .arg(image)
        .arg(&raw)
        .output()
        .unwrap();
    assert!(out.status.success(), "{out:?}");
    let mut block = [0; 64];
    File::open(&raw)
        .unwrap()
        .read_exact_at(&mut block, COUNTER_AT)
        .unwrap();
    let text = String::from_utf8_lossy(&block);
    let digits: String = text
        .strip_prefix("counter ")
        .unwrap_or_else(|| panic!("no counter in {}: {text:?}", image.display()))
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().unwrap()
}

fn story(folder: &Path, driver: &str) {
    let guest = Guest::prepare().expect("./run test makes the guest");
    let mut rig = Rig::new(folder);
    let disk = folder.join("vm.img");
    File::create(&disk).unwrap().set_len(DISK_BYTES).unwrap();
    rig.cli(&[
        "servers",
        "add",
        "vm",
        "--disk",
        disk.to_str().unwrap(),
        "--driver",
        driver,
        "--machine",
        "--cpus",
        "1",
        "--memory",
        "128M",
        "--kernel",
        guest.kernel.to_str().unwrap(),
        "--initrd",
        guest.initrd.to_str().unwrap(),
        "--append",
        "console=ttyS0 quiet panic=-1",
    ]);
    let shown = rig.cli(&["servers", "show", "vm"]);
    assert_eq!(shown["disk"]["driver"], driver);
    let format = shown["disk"]["format"].as_str().unwrap().to_owned();
    rig.instance = shown["id"].as_str().unwrap().to_owned();
    let instance = rig.instance.clone();
    let one = json!({"InstanceIds": [instance]});
    rig.call("StartInstances", one);
    rig.idle();
    assert_eq!(rig.state(), "RUNNING");
    rig.counts_on(10);

    // A snapshot of the running guest is of one instant.
    let made = rig.call("CreateInstanceSnapshot", json!({"InstanceId": instance}));
    let snapshot = made["SnapshotId"].as_str().unwrap().to_owned();
    rig.idle();
    assert_eq!(rig.state(), "RUNNING");
    let point = folder.join(format!("vm.img.backout/point-{snapshot}.{format}"));
    let wanted = counter_in(&point, &format, folder);
    assert!(wanted > 0);
    rig.counts_on(20);

    let apply = json!({"InstanceId": instance, "SnapshotId": snapshot});
    let kills = STEPS
        .iter()
        .flat_map(|step| MOMENTS.iter().map(move |moment| Some((*step, *moment))));
    for kill in std::iter::once(None).chain(kills) {
        let (boots, far) = rig.heard();
        assert!(far > wanted, "{kill:?}: the guest is at {far}");
        if let Some((step, moment)) = kill {
            let at = format!("{step} {}", moment.as_str());
            std::fs::write(folder.join("kill"), at).unwrap();
        }
        rig.call("ApplyInstanceSnapshot", apply.clone());
        if kill.is_some() {
            rig.killed();
            rig.start();
        }
        rig.idle();
        assert_eq!(rig.state(), "RUNNING", "{kill:?}");
        // A start that was repeated after a kill finds its machine running: one
        // boot, and it reads the count of the snapshot.
        rig.until("the guest boots again", |rig| {
            rig.heard().0.len() > boots.len()
        });
        let (now, _) = rig.heard();
        assert_eq!(now[boots.len()..], [wanted], "{kill:?}");
        rig.counts_on(10);
    }

    // The undo of the last brings back what it replaced.
    let jobs = rig.cli(&["jobs", "list"]);
    let last = jobs
        .as_array()
        .unwrap()
        .iter()
        .find(|job| job["procedure"] == "servers.apply_snapshot")
        .unwrap();
    let (boots, _) = rig.heard();
    rig.cli(&["undo", last["id"].as_str().unwrap(), "--yes"]);
    rig.until("the guest boots again", |rig| {
        rig.heard().0.len() > boots.len()
    });
    let back = rig.heard().0[boots.len()];
    assert!(back > wanted, "{back} is not after {wanted}");
}

#[test]
fn a_running_guest_goes_back_on_qcow2() {
    let folder = tempfile::tempdir().unwrap();
    story(folder.path(), "qcow2");
}

#[test]
fn a_running_guest_goes_back_on_reflinks() {
    let volume = common::Volume::xfs();
    story(&volume.path(), "reflink");
}
