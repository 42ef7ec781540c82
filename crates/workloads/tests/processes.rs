//! The driver for processes, with real ones.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use backout_core::code::Code;
use backout_core::fence::Fence;
use backout_shim::Shim;
use backout_workloads::packages::{Form, Origin};
use backout_workloads::process::{Config, Processes};
use backout_workloads::{
    Ask, Enforced, Error, EventKind, Exit, InstanceId, InstanceSpec, LogFrom, LogLimits,
    MountedFile, Phase, PortWish, Probe, Restart, Source, Status, Task, When, Workloads,
};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
const FENCE: Fence = Fence(7);

const SERVER: &str = r#"
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ok = self.path != '/ready' or os.path.exists(os.environ['GATE'])
        self.send_response(200 if ok else 503)
        self.end_headers()
        self.wfile.write(str(os.getpid()).encode())
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()
"#;

/// A driver in a folder of its own; ends what a test left running.
struct Place {
    folder: tempfile::TempDir,
    driver: Processes,
}

fn config(root: PathBuf) -> Config {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_workloads-shim"));
    let args = Vec::new();
    Config::new(root, Shim { program, args })
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let driver = Processes::open(config(folder.path().join("root"))).unwrap();
        Self { folder, driver }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, id: &InstanceId) -> PathBuf {
        self.path("root/instances").join(id.as_str()).join("run")
    }

    fn start(&self, spec: &InstanceSpec) -> Result<Option<SocketAddr>, Error> {
        self.driver.start(FENCE, spec).map(|s| s.address)
    }

    fn status(&self, id: &InstanceId) -> Status {
        self.driver.status(id).unwrap().unwrap()
    }

    fn log(&self, id: &InstanceId) -> String {
        let chunk = self.driver.logs(id, LogFrom::LastLines(10_000)).unwrap();
        String::from_utf8(chunk.bytes).unwrap()
    }

    /// Waits, by the driver's own watch, until the status is as wanted.
    fn until(&self, id: &InstanceId, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
        let end = Instant::now() + PATIENCE;
        let mut watch = self.driver.watch(std::slice::from_ref(id)).unwrap();
        loop {
            let status = self.status(id);
            if wanted(&status) {
                return status;
            }
            assert!(Instant::now() < end, "never {what}: {status:?}");
            watch
                .wait(end.saturating_duration_since(Instant::now()))
                .unwrap();
        }
    }

    fn stop(&self, id: &InstanceId) {
        self.driver.stop(FENCE, id, PATIENCE).unwrap();
    }

    fn shim_pid(&self, id: &InstanceId) -> u32 {
        let text = std::fs::read(self.run(id).join("state.json")).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&text).unwrap();
        u32::try_from(record["shim"]["pid"].as_u64().unwrap()).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let newest = Fence(i64::MAX);
        for id in self.driver.list(None, 500).unwrap_or_default() {
            let _ = self.driver.stop(newest, &id, Duration::ZERO);
            let _ = self.driver.remove(newest, &id);
        }
    }
}

fn id(text: &str) -> InstanceId {
    text.parse().unwrap()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|w| (*w).to_owned()).collect()
}

/// An instance that is not started again by itself.
fn sh(name: &str, script: &str) -> InstanceSpec {
    let mut spec = InstanceSpec::new(id(name), words(&["sh", "-c", script]));
    spec.restart.when = When::Never;
    spec.grace_ms = 60_000;
    spec
}

fn probe(ask: Ask) -> Probe {
    Probe {
        period_ms: 20,
        timeout_ms: 20_000,
        failures: 2,
        ..Probe::new(ask)
    }
}

fn eventually<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn gone(pid: u32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(text) => text.rsplit_once(") ").unwrap().1.starts_with(['Z', 'X']),
        Err(_) => true,
    }
}

fn kill(signal: &str, pid: u32) {
    let status = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status();
    assert!(status.unwrap().success());
}

fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

fn kinds(status: &Status) -> Vec<EventKind> {
    status.events.iter().map(|e| e.kind).collect()
}

fn number_in(path: &Path) -> Option<u32> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Whether limits can be tested here. A host where they cannot be says why.
fn limited(place: &Place) -> bool {
    place.driver.limits_missing().is_none()
}

#[test]
fn an_instance_of_a_package_serves_and_finds_all_that_it_was_given() {
    let place = Place::new();
    let app = place.path("app");
    std::fs::create_dir(&app).unwrap();
    std::fs::write(app.join("server.py"), SERVER).unwrap();
    let origin = Origin::Path(app.clone());
    let hash = place
        .driver
        .packages()
        .put(&origin, Form::Auto)
        .unwrap()
        .hash;
    std::fs::remove_dir_all(&app).unwrap();
    let gate = place.path("gate");
    let mut spec = InstanceSpec::new(id("web-1"), words(&["python3", "server.py"]));
    spec.source = Source::Package { hash };
    spec.port = PortWish::Free;
    spec.env
        .insert("GATE".to_owned(), gate.display().to_string());
    let python = Command::new("sh")
        .args(["-c", "command -v python3"])
        .output()
        .unwrap();
    let python = String::from_utf8(python.stdout).unwrap();
    let folder = Path::new(python.trim())
        .parent()
        .unwrap()
        .display()
        .to_string();
    spec.env
        .insert("PATH".to_owned(), format!("{folder}:/usr/bin:/bin"));
    if let Ok(root) =
        std::env::var("PYENV_ROOT").or_else(|_| std::env::var("HOME").map(|h| h + "/.pyenv"))
    {
        spec.env.insert("PYENV_ROOT".to_owned(), root);
    }
    spec.readiness = Some(probe(Ask::Http {
        port: 0,
        path: "/ready".to_owned(),
        headers: BTreeMap::new(),
    }));
    let address = place.start(&spec).unwrap().unwrap();
    let status = place.until(&spec.id, "it says why not", |s| {
        s.why.as_ref().is_some_and(|why| why.contains("status 503"))
    });
    assert_eq!(status.phase, Phase::Starting);
    std::fs::write(&gate, "").unwrap();
    let status = place.until(&spec.id, "ready", |s| s.phase == Phase::Ready);
    assert_eq!((status.address, status.restarts), (Some(address), 0));
    assert!(
        get(address, "/")
            .unwrap()
            .ends_with(&status.pid.unwrap().to_string())
    );
    std::fs::remove_file(&gate).unwrap();
    let status = place.until(&spec.id, "unready", |s| s.phase == Phase::Unready);
    assert!(status.why.unwrap().contains("status 503"));
    // It is not touched for that.
    assert_eq!(status.restarts, 0);
    place.stop(&spec.id);
    assert_eq!(get(address, "/"), None);
}

#[test]
fn environment_files_and_secrets_reach_it_and_secrets_are_in_no_file() {
    let place = Place::new();
    let script = "env; pwd; cat \"$BACKOUT_FILES/etc/app.conf\"; \"$BACKOUT_FILES/run.sh\"; echo >\"$HOME/x\"; exec sleep 600";
    let mut spec = sh("a", script);
    spec.env
        .insert("PLAIN".to_owned(), "with spaces\nand lines".to_owned());
    spec.secrets
        .0
        .insert("TOKEN".to_owned(), "hunter2-hunter2".to_owned());
    spec.port = PortWish::Free;
    spec.files = vec![
        MountedFile {
            path: "/etc/app.conf".to_owned(),
            content: b"from a file\n".to_vec(),
            executable: false,
        },
        MountedFile {
            path: "run.sh".to_owned(),
            content: b"#!/bin/sh\necho from a script $TOKEN | tr -d 2\n".to_vec(),
            executable: true,
        },
    ];
    // Told to what runs beside it, too.
    spec.after_start = Some(Task {
        argv: words(&[
            "sh",
            "-c",
            "case $TOKEN in hunter?-hunter?) ;; *) exit 1; esac",
        ]),
        timeout_ms: 60_000,
    });
    let port = place.start(&spec).unwrap().unwrap().port();
    place.until(&spec.id, "ready", |s| s.phase == Phase::Ready);
    let said = eventually("it has said all", || {
        let said = place.log(&spec.id);
        said.contains("from a script").then_some(said)
    });
    for line in [
        "PLAIN=with spaces",
        "TOKEN=hunter2-hunter2",
        &format!("PORT={port}"),
        "BACKOUT_INSTANCE=a",
        "from a file",
        "from a script hunter-hunter",
    ] {
        assert!(said.lines().any(|l| l == line), "{line}: {said}");
    }
    // Nothing of this process is inherited.
    assert!(!said.contains("CARGO"), "{said}");
    let mut folders = vec![place.path("root")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if entry.file_type().unwrap().is_file() && entry.file_name() != "log" {
                let text = std::fs::read(entry.path()).unwrap();
                let secret = text.windows(15).any(|w| w == b"hunter2-hunter2");
                assert!(
                    !secret || entry.path().ends_with("files/run.sh"),
                    "{entry:?}"
                );
            }
        }
    }
    assert!(!format!("{spec:?}").contains("hunter2"));
}

#[test]
fn it_is_found_again_and_never_started_twice() {
    let place = Place::new();
    let marks = place.path("marks");
    let spec = sh(
        "a",
        &format!("echo $$ >>{}; exec sleep 600", marks.display()),
    );
    let gate = Barrier::new(4);
    let fresh: Vec<bool> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    // As another Backout on the same folder.
                    let driver = Processes::open(config(place.path("root"))).unwrap();
                    gate.wait();
                    driver.start(FENCE, &spec).unwrap().fresh
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(fresh.iter().filter(|f| **f).count(), 1);
    let pid = eventually("its mark", || number_in(&marks));
    assert_eq!(place.status(&spec.id).pid, Some(pid));
    // Another specification is another instance.
    let mut other = spec.clone();
    other.env.insert("A".to_owned(), "1".to_owned());
    let error = place.start(&other).unwrap_err();
    assert_eq!(error.code(), Code::InstanceState);
    assert_eq!(place.status(&spec.id).pid, Some(pid));
    // But not when it is off.
    place.stop(&spec.id);
    assert!(gone(pid));
    place.start(&other).unwrap();
    assert_eq!(place.driver.list(None, 10).unwrap(), [id("a")]);
}

/// Another process that starts an instance, and can be killed.
fn starter(place: &Place, spec: &InstanceSpec) -> std::process::Child {
    let mut starter = Command::new(env!("CARGO_BIN_EXE_workloads-shim"))
        .args(["--start".as_ref(), place.path("root").as_os_str()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let text = serde_json::to_vec(spec).unwrap();
    starter.stdin.take().unwrap().write_all(&text).unwrap();
    starter
}

#[test]
fn a_starter_that_is_killed_at_any_instant_leaves_one_instance_or_none() {
    let place = Place::new();
    let marks = place.path("marks");
    let script = format!("echo $$ >>{}; exec sleep 600", marks.display());
    let alive = || -> Vec<u32> {
        let text = std::fs::read_to_string(&marks).unwrap_or_default();
        let pids = text.lines().map(|line| line.parse().unwrap());
        pids.filter(|pid| !gone(*pid)).collect()
    };
    for round in 0..16_u64 {
        let mut spec = sh(&format!("i-{round}"), &script);
        spec.port = PortWish::Free;
        let mut starter = starter(&place, &spec);
        // Somewhere in it; where, differs from host to host.
        std::thread::sleep(Duration::from_millis(round * 4));
        starter.kill().unwrap();
        starter.wait().unwrap();
        // Whatever it left is taken up, or begun anew.
        let address = place.start(&spec).unwrap();
        let status = place.until(&spec.id, "ready", |s| s.phase == Phase::Ready);
        assert_eq!(status.address, address, "{round}");
        let pid = status.pid.unwrap();
        eventually("its mark", || alive().contains(&pid).then_some(()));
        assert_eq!(alive(), [pid], "{round}");
        place.stop(&spec.id);
        assert!(alive().is_empty(), "{round}");
        place.driver.remove(FENCE, &spec.id).unwrap();
    }
}

#[test]
fn it_outlives_whoever_started_it() {
    let place = Place::new();
    let spec = sh("a", "while :; do echo tick; sleep 0.02; done");
    let mut starter = starter(&place, &spec);
    let mut said = [0; 8];
    starter
        .stdout
        .take()
        .unwrap()
        .read_exact(&mut said)
        .unwrap();
    assert_eq!(&said, b"started\n");
    starter.kill().unwrap();
    starter.wait().unwrap();
    let status = place.until(&spec.id, "ready", |s| s.phase == Phase::Ready);
    let mut at = place
        .driver
        .logs(&spec.id, LogFrom::LastLines(1))
        .unwrap()
        .end;
    for _ in 0..3 {
        let from = at.map_or(LogFrom::LastLines(1), LogFrom::After);
        let chunk = place.driver.follow(&spec.id, from, PATIENCE).unwrap();
        assert!(!chunk.bytes.is_empty() && !chunk.gap);
        at = chunk.end;
    }
    assert!(!place.driver.start(FENCE, &spec).unwrap().fresh);
    assert_eq!(place.status(&spec.id).pid, status.pid);
}

#[test]
fn a_killed_shim_takes_all_of_it_along_and_it_is_told() {
    let place = Place::new();
    let child = place.path("child");
    // One of its processes has left its session, and stays.
    let script = format!(
        "setsid sh -c 'echo $$ >{}.tmp; mv {0}.tmp {0}; exec sleep 600' & exec sleep 600",
        child.display()
    );
    let spec = sh("a", &script);
    place.start(&spec).unwrap();
    let stray = eventually("its child", || number_in(&child));
    let pid = place.status(&spec.id).pid.unwrap();
    kill("-9", place.shim_pid(&spec.id));
    place.until(&spec.id, "lost", |s| s.phase == Phase::Lost);
    assert!(gone(pid) && !gone(stray));
    // Before another is started, the first is gone as a whole.
    std::fs::remove_file(&child).unwrap();
    assert!(place.driver.start(FENCE, &spec).unwrap().fresh);
    assert!(gone(stray));
    let stray = eventually("its new child", || number_in(&child));
    place.stop(&spec.id);
    assert!(gone(stray));
    assert!(matches!(place.status(&spec.id).phase, Phase::Ended { .. }));
}

#[test]
fn a_stop_ends_the_whole_group_and_after_its_grace_by_force() {
    let place = Place::new();
    let child = place.path("child");
    let script = format!(
        "trap '' TERM; sh -c 'trap \"\" TERM; echo $$ >{}; while :; do sleep 1; done' & while :; do sleep 1; done",
        child.display()
    );
    let spec = sh("deaf", &script);
    place.start(&spec).unwrap();
    let pid = eventually("its child", || number_in(&child));
    place
        .driver
        .stop(FENCE, &spec.id, Duration::from_millis(50))
        .unwrap();
    assert!(gone(pid));
    let status = place.status(&spec.id);
    assert_eq!(
        status.phase,
        Phase::Ended {
            exit: Some(Exit::Signal { signal: 9 })
        }
    );
    let ends = [EventKind::Stopping, EventKind::Killed, EventKind::Ended];
    assert!(kinds(&status).ends_with(&ends), "{status:?}");
    // Twice is fine, and so is one that there is not.
    place.stop(&spec.id);
    place.stop(&id("no-such"));
    // One that obeys is not killed, and has the time it needs.
    let spec = sh(
        "obeys",
        "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.02; done",
    );
    place.start(&spec).unwrap();
    eventually("up", || place.log(&spec.id).contains("up").then_some(()));
    place.stop(&spec.id);
    let status = place.status(&spec.id);
    assert_eq!(
        status.phase,
        Phase::Ended {
            exit: Some(Exit::Code { code: 3 })
        }
    );
    assert_eq!(place.log(&spec.id), "up\nbye\n");
}

#[test]
fn hooks_run_after_each_start_and_before_each_stop() {
    let place = Place::new();
    let mut spec = sh(
        "a",
        "echo up; trap 'echo down; exit 0' TERM; while :; do sleep 0.02; done",
    );
    let task = |script: &str| {
        Some(Task {
            argv: words(&["sh", "-c", script]),
            timeout_ms: 60_000,
        })
    };
    let gate = place.path("gate");
    let wait = format!(
        "until [ -e {} ]; do sleep 0.02; done; echo warm",
        gate.display()
    );
    spec.after_start = task(&wait);
    spec.before_stop = task("echo draining $BACKOUT_INSTANCE");
    place.start(&spec).unwrap();
    eventually("up", || place.log(&spec.id).contains("up").then_some(()));
    assert_eq!(place.status(&spec.id).phase, Phase::Starting);
    std::fs::write(&gate, "").unwrap();
    place.until(&spec.id, "ready", |s| s.phase == Phase::Ready);
    place.stop(&spec.id);
    assert_eq!(place.log(&spec.id), "up\nwarm\ndraining a\ndown\n");
    // One that fails ends the instance, and says so.
    spec.after_start = task("exit 5");
    place.start(&spec).unwrap();
    let status = place.until(&spec.id, "ended", |s| {
        matches!(s.phase, Phase::Ended { .. })
    });
    let failed = status
        .events
        .iter()
        .find(|e| e.kind == EventKind::TaskFailed)
        .unwrap();
    assert!(failed.text.contains("after its start"), "{failed:?}");
    // One before the stop that hangs takes no more than the grace.
    spec.after_start = None;
    spec.before_stop = task("sleep 600");
    place.start(&spec).unwrap();
    place.until(&spec.id, "ready", |s| s.phase == Phase::Ready);
    place
        .driver
        .stop(FENCE, &spec.id, Duration::from_millis(100))
        .unwrap();
    assert!(kinds(&place.status(&spec.id)).contains(&EventKind::TaskFailed));
}

#[test]
fn what_is_not_alive_is_started_again_while_nobody_looks() {
    let place = Place::new();
    let ill = place.path("ill");
    let mut spec = sh("a", "echo run; exec sleep 600");
    spec.restart = Restart {
        when: When::Failed,
        wait_ms: 1,
        wait_max_ms: 10,
    };
    let script = format!("! rm {}", ill.display());
    spec.liveness = Some(Probe {
        failures: 1,
        ..probe(Ask::Exec {
            argv: words(&["sh", "-c", &script]),
        })
    });
    place.start(&spec).unwrap();
    let first = place.until(&spec.id, "ready", |s| s.phase == Phase::Ready);
    std::fs::write(&ill, "").unwrap();
    let status = place.until(&spec.id, "again", |s| {
        s.restarts == 1 && s.phase == Phase::Ready
    });
    assert_ne!(status.pid, first.pid);
    let kinds = kinds(&status);
    for kind in [EventKind::NotAlive, EventKind::Stopping, EventKind::Waits] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    assert_eq!(place.log(&spec.id), "run\nrun\n");
    // A stop is no failure.
    place.stop(&spec.id);
    assert!(matches!(place.status(&spec.id).phase, Phase::Ended { .. }));
    assert_eq!(place.status(&spec.id).restarts, 1);
}

#[test]
fn what_a_failed_run_leaves_behind_is_ended_before_the_next() {
    let place = Place::new();
    let strays = place.path("strays");
    // Each run leaves one that has left its session, and fails.
    let script = format!(
        "setsid sh -c 'echo $$ >>{}; exec sleep 600' & sleep 0.05; exit 1",
        strays.display()
    );
    let mut spec = sh("a", &script);
    spec.restart = Restart {
        when: When::Failed,
        wait_ms: 1,
        wait_max_ms: 1,
    };
    place.start(&spec).unwrap();
    place.until(&spec.id, "several runs", |s| s.restarts >= 3);
    if limited(&place) {
        // All but that of the run that just runs, and one that just ends.
        let pids = std::fs::read_to_string(&strays).unwrap();
        let alive = pids
            .lines()
            .filter(|pid| !gone(pid.parse().unwrap()))
            .count();
        assert!(alive <= 2, "{alive} of {pids:?}");
    }
    place.stop(&spec.id);
    let pids = std::fs::read_to_string(&strays).unwrap();
    assert!(
        pids.lines().all(|pid| gone(pid.parse().unwrap())),
        "{pids:?}"
    );
}

#[test]
fn tcp_probes_tell_who_listens() {
    let place = Place::new();
    let mut spec = sh("a", "exec sleep 600");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    spec.readiness = Some(probe(Ask::Tcp { port }));
    place.start(&spec).unwrap();
    place.until(&spec.id, "ready", |s| s.phase == Phase::Ready);
    drop(listener);
    let status = place.until(&spec.id, "unready", |s| s.phase == Phase::Unready);
    assert!(
        status
            .why
            .unwrap()
            .contains(&format!("connect to port {port}"))
    );
}

#[test]
fn one_that_fails_is_started_again_with_growing_waits() {
    let place = Place::new();
    let mut spec = sh("a", "exit 4");
    spec.restart = Restart {
        when: When::Always,
        wait_ms: 1,
        wait_max_ms: 3_600_000,
    };
    spec.port = PortWish::Free;
    let port = place.start(&spec).unwrap();
    let status = place.until(&spec.id, "some starts", |s| s.restarts >= 5);
    assert_eq!(status.address, port);
    let waits = |status: &Status| -> Vec<u64> {
        let waits = status.events.iter().filter(|e| e.kind == EventKind::Waits);
        waits
            .map(|e| e.text.trim_end_matches(" ms").parse().unwrap())
            .collect()
    };
    let seen = waits(&status);
    assert!(seen.starts_with(&[1, 2, 4, 8, 16]), "{seen:?}");
    // It is found waiting, and no start disturbs it.
    place.until(&spec.id, "it waits", |s| {
        s.phase
            == Phase::Waits {
                exit: Some(Exit::Code { code: 4 }),
            }
    });
    assert!(!place.driver.start(FENCE, &spec).unwrap().fresh);
    // The list of events is bounded however long that goes on.
    spec.id = id("b");
    spec.restart.wait_max_ms = 1;
    place.start(&spec).unwrap();
    let status = place.until(&spec.id, "many starts", |s| s.restarts >= 30);
    assert_eq!(status.events.len(), backout_shim::EVENTS_MAX);
    place.stop(&spec.id);
}

#[test]
fn logs_are_rotated_and_can_be_read_on() {
    let place = Place::new();
    let mut spec = sh("a", "seq 1 60000; exec sleep 600");
    spec.log = LogLimits {
        file_max_bytes: 64 << 10,
        older_files: 3,
    };
    place.start(&spec).unwrap();
    eventually("the last line", || {
        let last = place.driver.logs(&spec.id, LogFrom::LastLines(1)).unwrap();
        (last.bytes == b"60000\n").then_some(())
    });
    let files: Vec<_> = ["log", "log.1", "log.2", "log.3", "log.4"]
        .iter()
        .map(|name| place.run(&spec.id).join(name))
        .map(|path| path.metadata().map(|facts| facts.len()).ok())
        .collect();
    assert!(
        files[..4]
            .iter()
            .all(|len| len.is_some_and(|n| n <= 64 << 10)),
        "{files:?}"
    );
    assert_eq!(files[4], None);
    let bytes = place
        .driver
        .logs(&spec.id, LogFrom::LastBytes(150_000))
        .unwrap()
        .bytes;
    assert_eq!(bytes.len(), 150_000);
    let text = String::from_utf8(bytes).unwrap();
    let numbers: Vec<u32> = text.lines().skip(1).map(|l| l.parse().unwrap()).collect();
    assert!(
        numbers.windows(2).all(|w| w[0] + 1 == w[1]),
        "none is missing"
    );
    let none = place
        .driver
        .logs(&id("no-such"), LogFrom::LastLines(1))
        .unwrap_err();
    assert_eq!(none.code(), Code::NotFound);
}

#[test]
fn a_port_is_its_own_and_kept() {
    let place = Place::new();
    let mut spec = sh("a", "exec sleep 600");
    spec.port = PortWish::Free;
    let mut other = sh("b", "exec sleep 600");
    other.port = PortWish::Free;
    let (a, b) = (
        place.start(&spec).unwrap().unwrap(),
        place.start(&other).unwrap().unwrap(),
    );
    assert_ne!(a, b);
    place.stop(&spec.id);
    assert_eq!(place.start(&spec).unwrap(), Some(a));
    // Nobody else gets it while it is off.
    place.stop(&spec.id);
    let mut third = sh("c", "exec sleep 600");
    third.port = PortWish::Fixed { number: a.port() };
    let error = place.start(&third).unwrap_err();
    assert!(
        matches!(&error, Error::NoPort { why, .. } if why.contains("instance a")),
        "{error}"
    );
    place.driver.remove(FENCE, &spec.id).unwrap();
    assert_eq!(place.start(&third).unwrap(), Some(a));
    // One that a stranger has is not given out.
    place.stop(&third.id);
    let _stranger = std::net::TcpListener::bind(a).unwrap();
    let error = place.start(&third).unwrap_err();
    assert_eq!(error.code(), Code::Quota, "{error}");
    // A range that is used up.
    let mut narrow = config(place.path("narrow"));
    narrow.ports = a.port()..=a.port();
    let narrow = Processes::open(narrow).unwrap();
    let error = narrow.start(FENCE, &spec).unwrap_err();
    assert!(error.to_string().contains("wider range"), "{error}");
}

#[test]
fn limits_bind() {
    let place = Place::new();
    if !limited(&place) {
        // What is refused there is another test.
        return;
    }
    let mut spec = sh(
        "hungry",
        // 200 MiB in one process.
        "echo up; exec head -c 200m /dev/zero | tail -c 200m >/dev/null",
    );
    spec.limits.memory_bytes = Some(32 << 20);
    spec.limits.cpu_millis = Some(500);
    spec.limits.tasks = Some(20);
    place.start(&spec).unwrap();
    let status = place.until(&spec.id, "killed", |s| {
        matches!(s.phase, Phase::Ended { .. })
    });
    assert!(status.memory_kills > 0, "{status:?}");
    assert_eq!(status.limits, Enforced::Yes);

    let mut spec = sh("steady", "cat /proc/self/cgroup; echo up; exec sleep 600");
    spec.limits.cpu_millis = Some(250);
    spec.limits.memory_bytes = Some(64 << 20);
    spec.limits.tasks = Some(20);
    place.start(&spec).unwrap();
    eventually("up", || place.log(&spec.id).contains("up").then_some(()));
    let said = place.log(&spec.id);
    let groups = said.lines().filter(|l| l.ends_with("/steady")).count();
    assert!(groups >= 1, "{said}");
    let memory = place.status(&spec.id).memory_bytes.unwrap();
    assert!(memory > 0 && memory < 64 << 20);
    // The shim is none of them: it must not be killed for what they take.
    let shim = place.shim_pid(&spec.id);
    let of_shim = std::fs::read_to_string(format!("/proc/{shim}/cgroup")).unwrap();
    assert!(!of_shim.contains("steady"));
    // What a fork bomb can do.
    let mut bomb = sh(
        "bomb",
        "n=0; while [ $n -lt 40 ]; do sleep 600 & n=$((n+1)); done; echo never",
    );
    bomb.limits.tasks = Some(10);
    place.start(&bomb).unwrap();
    place.until(&bomb.id, "ended", |s| {
        matches!(s.phase, Phase::Ended { .. })
    });
    assert!(!place.log(&bomb.id).contains("never"));
    // Removing it removes its groups.
    let groups: Vec<PathBuf> = {
        let text = std::fs::read(place.path("root/instances/steady/instance.json")).unwrap();
        let kept: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let groups = kept["groups"].as_array().unwrap();
        groups
            .iter()
            .map(|g| g["path"].as_str().unwrap().into())
            .collect()
    };
    assert!(!groups.is_empty() && groups.iter().all(|g| g.exists()));
    place.stop(&spec.id);
    place.driver.remove(FENCE, &spec.id).unwrap();
    assert!(groups.iter().all(|g| !g.exists()));
}

#[test]
fn processor_time_is_shared_out() {
    let place = Place::new();
    if !limited(&place) {
        return;
    }
    let mut spec = sh("busy", "while :; do :; done");
    spec.limits.cpu_millis = Some(100);
    place.start(&spec).unwrap();
    let text = std::fs::read(place.path("root/instances/busy/instance.json")).unwrap();
    let kept: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let files: Vec<PathBuf> = kept["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|g| Path::new(g["path"].as_str().unwrap()).join("cpu.stat"))
        .collect();
    // It was held back in many periods, which only a limit does.
    eventually("it is held back", || {
        let text = files.iter().find_map(|f| std::fs::read_to_string(f).ok())?;
        let held = text.lines().find_map(|l| l.strip_prefix("nr_throttled "))?;
        (held.trim().parse::<u64>().ok()? > 3).then_some(())
    });
}

/// Runs the helper as one for whom control groups cannot be written to.
#[test]
fn limits_that_cannot_be_enforced_are_refused_or_told() {
    let place = Place::new();
    let root = place.path("root");
    let mut spec = sh("a", "echo up; exec sleep 600");
    spec.limits.memory_bytes = Some(64 << 20);
    // A mount namespace in which they are read-only.
    let start = |spec: &InstanceSpec| {
        let script = "for m in $(awk '$3 ~ /^cgroup/ { print $2 }' /proc/mounts); do \
                      mount -o remount,bind,ro $m || exit 9; done; exec \"$0\" --once \"$1\"";
        let mut child = Command::new("unshare")
            .args(["-m", "sh", "-c", script])
            .arg(env!("CARGO_BIN_EXE_workloads-shim"))
            .arg(&root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let text = serde_json::to_vec(spec).unwrap();
        child.stdin.take().unwrap().write_all(&text).unwrap();
        let out = child.wait_with_output().unwrap();
        (out.status.code(), String::from_utf8(out.stderr).unwrap())
    };
    let (code, said) = start(&spec);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.starts_with("BO0083") && said.contains("memory"),
        "{said}"
    );
    assert_eq!(place.driver.status(&spec.id).unwrap(), None);
    spec.limits.or_without = true;
    let (code, said) = start(&spec);
    assert_eq!(code, Some(0), "{said}");
    let status = place.until(&spec.id, "ready", |s| s.phase == Phase::Ready);
    let Enforced::No { why } = status.limits else {
        unreachable!("{:?}", status.limits)
    };
    assert!(why.contains("memory"), "{why}");
    // Without groups, its processes are told by their environment.
    let pid = status.pid.unwrap();
    place.stop(&spec.id);
    assert!(gone(pid));
}

#[test]
fn without_groups_what_left_its_session_is_found_too() {
    let place = Place::new();
    let child = place.path("child");
    let script = format!(
        "setsid sh -c 'echo $$ >{}.tmp; mv {0}.tmp {0}; exec sleep 600' & exec sleep 600",
        child.display()
    );
    let spec = sh("a", &script);
    place.start(&spec).unwrap();
    let stray = eventually("its child", || number_in(&child));
    // As a host without control groups would have it.
    let file = place.path("root/instances/a/instance.json");
    let mut kept: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let groups = kept["groups"].take();
    kept["groups"] = serde_json::json!([]);
    std::fs::write(&file, serde_json::to_vec(&kept).unwrap()).unwrap();
    // Nor a shim that ends what it finds in them.
    kill("-9", place.shim_pid(&spec.id));
    place.until(&spec.id, "lost", |s| s.phase == Phase::Lost);
    assert!(!gone(stray));
    place.stop(&spec.id);
    assert!(gone(stray));
    // So that they are removed at the end.
    kept["groups"] = groups;
    std::fs::write(&file, serde_json::to_vec(&kept).unwrap()).unwrap();
}

#[test]
fn an_older_fence_changes_nothing() {
    let place = Place::new();
    let spec = sh("a", "exec sleep 600");
    place.start(&spec).unwrap();
    let pid = place.status(&spec.id).pid;
    place.driver.start(Fence(9), &spec).unwrap();
    let old = Fence(8);
    let stale = [
        place.driver.start(old, &spec).map(drop),
        place.driver.stop(old, &spec.id, Duration::ZERO),
        place.driver.remove(old, &spec.id),
    ];
    for result in stale {
        assert_eq!(result.unwrap_err().code(), Code::StaleFence);
    }
    assert_eq!(place.status(&spec.id).pid, pid);
    let runs = place.driver.remove(Fence(9), &spec.id).unwrap_err();
    assert_eq!(runs.code(), Code::InstanceState);
    place.driver.stop(Fence(9), &spec.id, PATIENCE).unwrap();
    place.driver.remove(Fence(9), &spec.id).unwrap();
    place.driver.remove(Fence(9), &spec.id).unwrap();
    assert_eq!(place.driver.status(&spec.id).unwrap(), None);
    assert_eq!(place.driver.list(None, 10).unwrap(), []);
    // Even when it is gone, it is remembered.
    assert_eq!(place.start(&spec).unwrap_err().code(), Code::StaleFence);
    // A stop that was asked for with an older one, and waits, is too late.
    place.driver.start(Fence(10), &spec).unwrap();
    place.driver.stop(Fence(11), &spec.id, PATIENCE).unwrap();
}

#[test]
fn a_start_after_half_a_stop_begins_anew() {
    let place = Place::new();
    let spec = sh("a", "exec sleep 600");
    place.start(&spec).unwrap();
    let pid = place.status(&spec.id).pid.unwrap();
    // As a stop that was killed after its first step.
    std::fs::write(place.run(&spec.id).join("down"), "").unwrap();
    assert_eq!(place.status(&spec.id).phase, Phase::Stopping);
    assert!(place.driver.start(FENCE, &spec).unwrap().fresh);
    let status = place.until(&spec.id, "ready", |s| s.phase == Phase::Ready);
    assert!(gone(pid) && status.pid != Some(pid));
}

#[test]
fn what_cannot_be_run_is_refused_with_its_reason() {
    let place = Place::new();
    let package = place.path("app");
    std::fs::create_dir(&package).unwrap();
    std::fs::write(package.join("data"), "no program").unwrap();
    let hash = place
        .driver
        .packages()
        .put(&Origin::Path(package), Form::Auto)
        .unwrap()
        .hash;
    let base = sh("a", "true");
    let with = |change: &dyn Fn(&mut InstanceSpec)| {
        let mut spec = base.clone();
        change(&mut spec);
        spec
    };
    let file = |path: &str| MountedFile {
        path: path.to_owned(),
        content: Vec::new(),
        executable: false,
    };
    let source = Source::Package { hash };
    let http = |path: &str| Ask::Http {
        port: 80,
        path: path.to_owned(),
        headers: BTreeMap::new(),
    };
    let missing = "f".repeat(64).parse().unwrap();
    let cases: Vec<(InstanceSpec, &str)> = vec![
        (with(&|s| s.command = vec![]), "names no program"),
        (
            with(&|s| s.command = words(&["no-such-program"])),
            "in no folder of PATH",
        ),
        (with(&|s| s.command = words(&["./no-such"])), "No such file"),
        (
            with(&|s| {
                s.source = source.clone();
                s.command = words(&["./data"]);
            }),
            "not executable",
        ),
        (
            with(&|s| {
                s.source = source.clone();
                s.command = words(&["data"]);
            }),
            "PATH",
        ),
        (
            with(&|s| {
                s.source = Source::Package {
                    hash: "f".repeat(64).parse().unwrap(),
                }
            }),
            "none like it",
        ),
        (
            with(&|s| {
                s.source = Source::Image {
                    name: "nginx".to_owned(),
                }
            }),
            "container engine",
        ),
        (
            with(&|s| {
                s.env.insert("A=B".to_owned(), String::new());
            }),
            "no name of a variable",
        ),
        (
            with(&|s| {
                s.env.insert("BACKOUT_FILES".to_owned(), String::new());
            }),
            "set by the driver",
        ),
        (
            with(&|s| {
                s.env.insert("A".to_owned(), "x".repeat(200_000));
            }),
            "longer than",
        ),
        (
            with(&|s| {
                s.env.insert("A".to_owned(), "1".to_owned());
                s.secrets.0.insert("A".to_owned(), "2".to_owned());
            }),
            "leave one",
        ),
        (
            with(&|s| s.files = vec![file("../evil")]),
            "no path of a file",
        ),
        (with(&|s| s.files = vec![file("/")]), "no path of a file"),
        (
            with(&|s| s.files = vec![file("/a"), file("a/b")]),
            "cannot both",
        ),
        (with(&|s| s.limits.cpu_millis = Some(1)), "the least is"),
        (
            with(&|s| s.limits.memory_bytes = Some(4096)),
            "the least is",
        ),
        (
            with(&|s| s.port = PortWish::Fixed { number: 0 }),
            "0 is none",
        ),
        (
            with(&|s| s.readiness = Some(Probe::new(Ask::Tcp { port: 0 }))),
            "has none",
        ),
        (
            with(&|s| s.liveness = Some(Probe::new(http("/a b")))),
            "no path of a request",
        ),
        (
            with(&|s| s.liveness = Some(Probe::new(http("/\r\nX: y")))),
            "no path of a request",
        ),
        (
            with(&|s| {
                s.liveness = Some(Probe {
                    period_ms: 0,
                    ..Probe::new(http("/"))
                })
            }),
            "at least 1",
        ),
        (with(&|s| s.grace_ms = u64::MAX), "longer than a day"),
        (with(&|s| s.restart.wait_ms = 0), "at least 1 ms"),
        (with(&|s| s.restart.wait_max_ms = 1), "no longer than"),
        (with(&|s| s.log.older_files = 0), "files of at least"),
    ];
    let _: &backout_workloads::PackageHash = &missing;
    for (spec, wanted) in cases {
        let error = place.start(&spec).unwrap_err();
        assert!(
            matches!(error.code(), Code::BadRequest | Code::PackageMissing),
            "{wanted}: {error}"
        );
        assert!(error.to_string().contains(wanted), "{wanted}: {error}");
        assert!(!place.run(&base.id).join("state.json").exists(), "{wanted}");
    }
    for text in ["", "-a", "A", "a/b", "..", "a.b", &"a".repeat(64)] {
        assert!(text.parse::<InstanceId>().is_err(), "{text:?}");
    }
    // What is only seen when it is run.
    let script = place.path("script");
    std::fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let spec = with(&|s| s.command = vec![script.display().to_string()]);
    let error = place.start(&spec).unwrap_err();
    assert_eq!(error.code(), Code::ProcessStart, "{error}");
}

#[test]
fn many_instances_are_listed_by_pages() {
    let place = Place::new();
    for name in ["c", "a", "b"] {
        place.start(&sh(name, "exit 0")).unwrap();
    }
    assert_eq!(place.driver.list(None, 2).unwrap(), [id("a"), id("b")]);
    assert_eq!(place.driver.list(Some(&id("b")), 2).unwrap(), [id("c")]);
}

#[test]
fn a_hundred_run_side_by_side() {
    let place = Place::new();
    let specs: Vec<InstanceSpec> = (0..100)
        .map(|n| {
            let mut spec = sh(&format!("i-{n:03}"), "exec sleep 600");
            spec.port = PortWish::Free;
            spec.readiness = Some(probe(Ask::Exec {
                argv: words(&["true"]),
            }));
            spec.readiness.as_mut().unwrap().period_ms = 10_000;
            spec
        })
        .collect();
    let began = Instant::now();
    let mut ports: Vec<u16> = specs
        .iter()
        .map(|spec| place.start(spec).unwrap().unwrap().port())
        .collect();
    println!("started after {:?}", began.elapsed());
    let ids: Vec<InstanceId> = specs.iter().map(|s| s.id.clone()).collect();
    let mut watch = place.driver.watch(&ids).unwrap();
    let end = began + PATIENCE;
    while !ids.iter().all(|id| place.status(id).phase == Phase::Ready) {
        assert!(Instant::now() < end, "never all ready");
        watch.wait(PATIENCE).unwrap();
    }
    println!("ready after {:?}", began.elapsed());
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 100);
    assert_eq!(place.driver.list(None, 500).unwrap(), ids);
    let looked = Instant::now();
    let mut pids: Vec<_> = ids.iter().map(|id| place.status(id).pid.unwrap()).collect();
    println!("looked at in {:?}", looked.elapsed());
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 100);
    let stopped = Instant::now();
    for id in &ids {
        place.stop(id);
    }
    println!("stopped in {:?}", stopped.elapsed());
    assert!(pids.into_iter().all(gone));
}

#[test]
fn the_doctor_says_how_limits_are_kept() {
    let place = Place::new();
    let findings = place.driver.doctor();
    let limits = findings.iter().filter(|f| f.what.starts_with("limits of"));
    assert_eq!(limits.clone().count(), 3);
    let all_fine = limits.clone().all(|f| f.fine);
    assert_eq!(all_fine, place.driver.limits_missing().is_none());
    assert!(limits.clone().all(|f| !f.text.is_empty()));
}
