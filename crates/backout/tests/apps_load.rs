//! An application is deployed and taken back under load: gray first, then in
//! batches, and nobody notices. A load that keeps every failure asks through the
//! gateway the whole time; a watcher that knows nothing of Backout counts the
//! ready instances.
//!
//! Small by itself; with `BACKOUT_SOAK` set, as `./run soak` does, a hundred
//! instances under 2,000 requests a second.
#![cfg(feature = "testing")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::print_stdout, reason = "a soak shows what it has seen")]

mod common;
mod load;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::Running;
use load::{Load, Watcher, until};
use serde_json::Value;

const APP: &str = "shop";

/// The first version, and the one that is taken back.
const ONE: &str = "one";
const TWO: &str = "two";

/// How long an instance takes until it listens, in milliseconds.
const START_MS: u32 = 200;

/// How often it is looked how an order stands.
const LOOK: Duration = Duration::from_millis(200);

/// How large it all is.
#[derive(Clone, Copy)]
struct Size {
    replicas: usize,
    gray: u32,
    batches: u32,
    floor: usize,
    requests_a_second: u32,
    /// How long an order may take.
    patience: Duration,
}

impl Size {
    fn of_environment() -> Self {
        if std::env::var_os("BACKOUT_SOAK").is_some() {
            Self {
                replicas: 100,
                gray: 2,
                batches: 10,
                floor: 88,
                requests_a_second: 2000,
                patience: Duration::from_secs(1800),
            }
        } else {
            Self {
                replicas: 12,
                gray: 2,
                batches: 3,
                floor: 9,
                requests_a_second: 300,
                patience: Duration::from_secs(240),
            }
        }
    }
}

/// A server with the application at its first version.
struct Rig {
    server: Running,
    size: Size,
    address: SocketAddr,
}

impl Rig {
    fn start(size: Size) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let rig = Self {
            server: Running::start(&[]),
            size,
            address: listener.local_addr().unwrap(),
        };
        drop(listener);
        std::fs::create_dir(rig.registry()).unwrap();
        let port = rig.address.port().to_string();
        let replicas = size.replicas.to_string();
        let first = [
            "--port",
            &port,
            "--replicas",
            &replicas,
            "--health",
            "/ready",
        ];
        rig.deploy(ONE, &first);
        rig
    }

    fn registry(&self) -> PathBuf {
        self.server.folder().join("registry")
    }

    /// When this file is there, one of the instances that serve crashes.
    fn crash_serving(&self) -> PathBuf {
        self.server.folder().join("crash-serve")
    }

    /// When this file is there, the next one that starts crashes.
    fn crash_starting(&self) -> PathBuf {
        self.server.folder().join("crash-start")
    }

    /// Deploys a version, with `more` words.
    fn deploy(&self, name: &str, more: &[&str]) {
        // A program of the host, and a package that tells the versions apart.
        let package = self.server.folder().join(name);
        std::fs::create_dir(&package).unwrap();
        std::fs::write(package.join("version"), name).unwrap();
        let env = [
            format!("NAME={name}"),
            format!("REGISTRY={}", self.registry().display()),
            format!("START_MS={START_MS}"),
            format!("CRASH_SERVE={}", self.crash_serving().display()),
            format!("CRASH_START={}", self.crash_starting().display()),
        ];
        let mut words = vec!["apps", "deploy", APP, "--from", package.to_str().unwrap()];
        words.extend(["--command", env!("CARGO_BIN_EXE_sample-app")]);
        words.extend(["--label", name]);
        words.extend(env.iter().flat_map(|pair| ["--env", pair]));
        words.extend(more);
        self.server.ok(&words);
    }

    /// Goes over to the other version; returns when that is begun.
    fn begin(&self, to: &str, more: &[&str]) {
        let Size {
            gray,
            batches,
            floor,
            ..
        } = self.size;
        let (gray, batches) = (gray.to_string(), batches.to_string());
        let floor = floor.to_string();
        let mut how = vec!["--gray", &gray, "--batches", &batches];
        how.extend(["--min-ready", &floor, "--no-wait"]);
        how.extend(more);
        if to == TWO {
            self.deploy(to, &how);
        } else {
            let words = ["apps", "rollback", APP, "--to", to, "--yes"];
            self.server.ok(&[&words[..], &how].concat());
        }
    }

    fn order(&self) -> Value {
        self.server.ok(&["apps", "order", APP])
    }

    /// Follows the order to its end, and does something at each look, with the
    /// number of batches that have begun.
    fn follow(&mut self, mut each: impl FnMut(&mut Self, &Value, usize)) {
        let end = Instant::now() + self.size.patience;
        loop {
            let order = self.order();
            if order["over"] == true {
                assert_eq!(order["standing"], "succeeded", "{order:#}");
                return;
            }
            assert!(Instant::now() < end, "not over: {order:#}");
            assert_ne!(order["standing"], "stuck", "{order:#}");
            let batches = order["batches"].as_array().unwrap();
            let begun = batches.iter().filter(|b| !b["started"].is_null()).count();
            each(self, &order, begun);
            std::thread::sleep(LOOK);
        }
    }

    /// Takes the application away; nothing of it is left.
    fn end(self) {
        self.server.ok(&["apps", "delete", APP, "--yes"]);
        until("nobody listens", || {
            TcpStream::connect(self.address).is_err().then_some(())
        });
        for entry in std::fs::read_dir(self.registry()).unwrap() {
            let text = entry.unwrap().file_name().into_string().unwrap();
            let Some(pid) = text
                .strip_prefix("crashed-")
                .map_or_else(|| text.split('-').nth(1), |_| None)
            else {
                continue;
            };
            let exe = std::fs::read_link(format!("/proc/{pid}/exe"));
            let runs = exe.is_ok_and(|exe| exe == Path::new(env!("CARGO_BIN_EXE_sample-app")));
            assert!(!runs, "{text} still runs");
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.server.end_all();
    }
}

/// Deploys the second version and takes it back, under load, each with the words
/// `more`, and `each` done at each look; `posts` says whether requests are sent
/// that must not be repeated.
fn there_and_back(
    more: &[&str],
    posts: bool,
    mut each: impl FnMut(&mut Rig, &Value, usize),
) -> usize {
    let size = Size::of_environment();
    let mut rig = Rig::start(size);
    let watcher = Watcher::start(&rig.registry(), size.floor, size.replicas);
    watcher.wait();
    let load = Load::start(rig.address, size.requests_a_second, posts, &[ONE, TWO]);
    load.wait_for(100);
    for to in [TWO, ONE] {
        rig.begin(to, more);
        rig.follow(&mut each);
        assert_eq!(
            rig.server.ok(&["apps", "show", APP])["version"]["label"],
            to
        );
    }
    load.wait_for(100);
    let report = load.stop();
    watcher.wait();
    let watched = watcher.stop();
    println!(
        "{} requests, the slowest {:?}; {} counts, {} of them late, at most {:?} apart; {} to {} ready, {} crashed",
        report.sent,
        report.slowest,
        watched.counts,
        watched.late,
        watched.widest_gap,
        watched.least,
        watched.most,
        watched.crashed
    );
    assert_eq!(report.failed, 0, "{:#?}", report.failures);
    assert_eq!(report.answered.values().sum::<u64>(), report.sent);
    assert_eq!(report.answered.keys().collect::<Vec<_>>(), [ONE, TWO]);
    assert_eq!(watched.below, 0, "{:#?}", watched.told);
    assert_eq!(watched.last, [(ONE.to_owned(), size.replicas)].into());
    let crashed = watched.crashed;
    rig.end();
    crashed
}

#[test]
fn one_batch_after_the_other() {
    there_and_back(&["--wait-between", "1s"], true, |_, _, _| {});
}

#[test]
fn each_batch_at_a_word() {
    let mut words = 0;
    there_and_back(&["--manual"], true, |rig, order, begun| {
        if order["standing"] == "waits_for_confirm" {
            // Nothing goes on by itself.
            let batches = order["batches"].as_array().unwrap();
            assert!(batches[begun..].iter().all(|b| b["started"].is_null()));
            rig.server.ok(&["apps", "confirm", APP, "--no-wait"]);
            words += 1;
        }
    });
    assert!(words >= 2 * Size::of_environment().batches, "{words} words");
}

#[test]
fn backout_is_killed_in_each_batch() {
    let (mut seen, mut kills) = (0, 0);
    there_and_back(&[], true, |rig, _, begun| {
        if begun != seen {
            seen = begun;
            kills += 1;
            rig.server.signal("KILL");
            rig.server.wait();
            // Meanwhile requests are answered.
            let stream = TcpStream::connect(rig.address).unwrap();
            drop(stream);
            rig.server.restart();
        }
    });
    assert!(kills > 1, "killed {kills} times");
}

#[test]
fn an_instance_crashes_in_each_batch() {
    let mut seen = 0;
    // What a crash has in hand can only be sent again where that is safe.
    let crashed = there_and_back(&[], false, |rig, _, begun| {
        if begun != seen {
            seen = begun;
            std::fs::write(rig.crash_serving(), "").unwrap();
            std::fs::write(rig.crash_starting(), "").unwrap();
        }
    });
    assert!(crashed > 1, "{crashed} crashed");
}
