//! What every driver does, whatever it runs instances as. `processes.rs` and
//! `containers.rs` run all of it, and have what only theirs does.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use backout_core::code::Code;
use backout_core::fence::Fence;
use backout_workloads::{
    Ask, Enforced, Error, EventKind, Exit, InstanceId, InstanceSpec, LogFrom, LogLimits,
    MountedFile, Phase, PortWish, Probe, Restart, Source, Status, Task, When, Workloads,
};

/// Far more than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const FENCE: Fence = Fence(7);

/// The end of a script that runs on, and ends when it is asked to: a program
/// that is the first of a container hears nothing that it does not listen for.
pub const IDLE: &str = "trap 'exit 0' TERM; sleep 600 & wait";

/// A test for each case. A place that cannot be had says so, and there is none.
macro_rules! suite {
    ($place:expr) => {
        suite! { $place;
            a_hook_gates_readiness_and_one_that_fails_ends_it,
            a_port_is_its_own_and_kept,
            a_start_after_half_a_stop_begins_anew,
            a_stop_ends_it_and_after_its_grace_by_force,
            an_older_fence_changes_nothing,
            environment_files_and_secrets_reach_it_and_secrets_are_in_no_file,
            instances_are_listed_by_pages,
            it_is_found_again_and_never_started_twice,
            it_outlives_whoever_started_it,
            logs_are_rotated_and_can_be_read_on,
            many_run_side_by_side,
            memory_and_tasks_are_limited,
            one_that_fails_is_started_again_with_growing_waits,
            processor_time_is_counted,
            what_cannot_be_run_is_refused_with_its_reason,
            what_is_not_alive_is_started_again_while_nobody_looks,
        }
    };
    ($place:expr; $($case:ident),* $(,)?) => {
        $(#[test]
        fn $case() {
            if let Some(place) = $place {
                suite::$case(&place);
            }
        })*
    };
}
pub(crate) use suite;

/// What differs from one driver to another.
pub trait Lab {
    type Driver: Workloads;
    /// What instances are made of.
    fn source(&self) -> Source;
    /// Another driver with the same folder, as another Backout has it.
    fn open(&self, root: &Path) -> Self::Driver;
    /// One that has this port alone to give.
    fn with_port(&self, root: &Path, port: u16) -> Self::Driver;
    /// The folder for small files, as an instance sees it.
    fn inside(&self, folder: &Path) -> String;
    /// Makes a file there.
    fn touch(&self, folder: &Path, id: &InstanceId, name: &str);
    /// Where instances have their folders.
    fn instances(&self) -> &'static str;
    /// What the helper is told to start an instance in `root` as this does.
    fn helper_args(&self, root: &Path) -> Vec<PathBuf>;
    /// How many are started side by side.
    fn many(&self) -> usize;
}

/// A driver in a folder of its own; ends what a test left running.
pub struct Place<L: Lab> {
    pub driver: L::Driver,
    pub lab: L,
    pub folder: tempfile::TempDir,
}

impl<L: Lab> Place<L> {
    pub fn of(lab: L, folder: tempfile::TempDir) -> Self {
        let driver = lab.open(&folder.path().join("root"));
        std::fs::create_dir(folder.path().join("small")).unwrap();
        Self {
            driver,
            lab,
            folder,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn home(&self, id: &InstanceId) -> PathBuf {
        self.path("root")
            .join(self.lab.instances())
            .join(id.as_str())
    }

    pub fn run(&self, id: &InstanceId) -> PathBuf {
        self.home(id).join("run")
    }

    /// A small file as an instance sees it.
    pub fn inside(&self, name: &str) -> String {
        format!("{}/{name}", self.lab.inside(&self.path("small")))
    }

    pub fn touch(&self, id: &InstanceId, name: &str) {
        self.lab.touch(&self.path("small"), id, name);
    }

    /// An instance that is not started again by itself.
    pub fn sh(&self, name: &str, script: &str) -> InstanceSpec {
        let mut spec = sh(name, script);
        spec.source = self.lab.source();
        spec
    }

    pub fn start(&self, spec: &InstanceSpec) -> Result<Option<SocketAddr>, Error> {
        self.driver.start(FENCE, spec).map(|s| s.address)
    }

    pub fn status(&self, id: &InstanceId) -> Status {
        self.driver.status(id).unwrap().unwrap()
    }

    pub fn log(&self, id: &InstanceId) -> String {
        let chunk = self.driver.logs(id, LogFrom::LastLines(10_000)).unwrap();
        String::from_utf8(chunk.bytes).unwrap()
    }

    pub fn until_logged(&self, id: &InstanceId, word: &str) -> String {
        eventually(word, || {
            let said = self.log(id);
            said.contains(word).then_some(said)
        })
    }

    /// Waits, by the driver's own watch, until the status is as wanted.
    pub fn until(&self, id: &InstanceId, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
        let end = Instant::now() + PATIENCE;
        let mut watch = self.driver.watch(std::slice::from_ref(id)).unwrap();
        loop {
            let status = self.status(id);
            if wanted(&status) {
                return status;
            }
            assert!(
                Instant::now() < end,
                "never {what}: {status:?}\n{}",
                self.log(id)
            );
            watch
                .wait(end.saturating_duration_since(Instant::now()))
                .unwrap();
        }
    }

    pub fn until_ready(&self, id: &InstanceId) -> Status {
        self.until(id, "ready", |s| s.phase == Phase::Ready)
    }

    pub fn stop(&self, id: &InstanceId) {
        self.driver.stop(FENCE, id, PATIENCE).unwrap();
    }

    pub fn shim_pid(&self, id: &InstanceId) -> u32 {
        let text = std::fs::read(self.run(id).join("state.json")).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&text).unwrap();
        u32::try_from(record["shim"]["pid"].as_u64().unwrap()).unwrap()
    }

    /// Another process that starts an instance, and can be killed.
    pub fn starter(&self, spec: &InstanceSpec) -> Child {
        let mut starter = Command::new(env!("CARGO_BIN_EXE_workloads-shim"))
            .arg("--start")
            .args(self.lab.helper_args(&self.path("root")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let text = serde_json::to_vec(spec).unwrap();
        starter.stdin.take().unwrap().write_all(&text).unwrap();
        starter
    }
}

impl<L: Lab> Drop for Place<L> {
    fn drop(&mut self) {
        let newest = Fence(i64::MAX);
        for id in self.driver.list(None, 500).unwrap_or_default() {
            let _ = self.driver.stop(newest, &id, Duration::ZERO);
            let _ = self.driver.remove(newest, &id);
        }
    }
}

pub fn id(text: &str) -> InstanceId {
    text.parse().unwrap()
}

pub fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|w| (*w).to_owned()).collect()
}

/// An instance of the host's programs that is not started again by itself.
pub fn sh(name: &str, script: &str) -> InstanceSpec {
    let mut spec = InstanceSpec::new(id(name), words(&["sh", "-c", script]));
    spec.restart.when = When::Never;
    spec.grace_ms = 60_000;
    spec
}

pub fn probe(ask: Ask) -> Probe {
    Probe {
        period_ms: 20,
        timeout_ms: 20_000,
        failures: 2,
        ..Probe::new(ask)
    }
}

pub fn task(script: &str) -> Option<Task> {
    Some(Task {
        argv: words(&["sh", "-c", script]),
        timeout_ms: 60_000,
    })
}

pub fn eventually<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn gone(pid: u32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(text) => text.rsplit_once(") ").unwrap().1.starts_with(['Z', 'X']),
        Err(_) => true,
    }
}

pub fn kill(signal: &str, pid: u32) {
    let status = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status();
    assert!(status.unwrap().success());
}

pub fn kinds(status: &Status) -> Vec<EventKind> {
    status.events.iter().map(|e| e.kind).collect()
}

pub fn environment_files_and_secrets_reach_it_and_secrets_are_in_no_file<L: Lab>(place: &Place<L>) {
    let script =
        format!("env; cat \"$BACKOUT_FILES/etc/app.conf\"; \"$BACKOUT_FILES/run.sh\"; {IDLE}");
    let mut spec = place.sh("a", &script);
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
    spec.after_start = task("case $TOKEN in hunter?-hunter?) ;; *) exit 1; esac");
    let port = place.start(&spec).unwrap().unwrap().port();
    place.until_ready(&spec.id);
    let said = place.until_logged(&spec.id, "from a script");
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
                assert!(!secret, "{entry:?}");
            }
        }
    }
    assert!(!format!("{spec:?}").contains("hunter2"));
}

pub fn it_is_found_again_and_never_started_twice<L: Lab + Sync>(place: &Place<L>) {
    let spec = place.sh("a", &format!("echo up; {IDLE}"));
    let gate = Barrier::new(4);
    let fresh: Vec<bool> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let driver = place.lab.open(&place.folder.path().join("root"));
                    gate.wait();
                    driver.start(FENCE, &spec).unwrap().fresh
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(fresh.iter().filter(|f| **f).count(), 1);
    assert_eq!(place.until_logged(&spec.id, "up"), "up\n");
    let pid = place.status(&spec.id).pid.unwrap();
    assert!(!gone(pid));
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

pub fn it_outlives_whoever_started_it<L: Lab>(place: &Place<L>) {
    let script = "trap 'exit 0' TERM; while :; do echo tick; sleep 0.02; done";
    let spec = place.sh("a", script);
    let mut starter = place.starter(&spec);
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
    let status = place.until_ready(&spec.id);
    let last = LogFrom::LastLines(1);
    let mut at = place.driver.logs(&spec.id, last).unwrap().end;
    for _ in 0..3 {
        let from = at.map_or(last, LogFrom::After);
        let chunk = place.driver.follow(&spec.id, from, PATIENCE).unwrap();
        assert!(!chunk.bytes.is_empty() && !chunk.gap);
        at = chunk.end;
    }
    assert!(!place.driver.start(FENCE, &spec).unwrap().fresh);
    assert_eq!(place.status(&spec.id).pid, status.pid);
}

pub fn a_stop_ends_it_and_after_its_grace_by_force<L: Lab>(place: &Place<L>) {
    let deaf = "trap '' TERM; sh -c 'trap \"\" TERM; echo child; while :; do sleep 1; done' & \
                echo up; while :; do sleep 1; done";
    let spec = place.sh("deaf", deaf);
    place.start(&spec).unwrap();
    place.until_logged(&spec.id, "child");
    let pid = place.until_ready(&spec.id).pid.unwrap();
    place
        .driver
        .stop(FENCE, &spec.id, Duration::from_millis(50))
        .unwrap();
    assert!(gone(pid));
    let status = place.status(&spec.id);
    let killed = Exit::Signal { signal: 9 };
    assert_eq!(status.phase, Phase::Ended { exit: Some(killed) });
    let ends = [EventKind::Stopping, EventKind::Killed, EventKind::Ended];
    assert!(kinds(&status).ends_with(&ends), "{status:?}");
    // Twice is fine, and so is one that there is not.
    place.stop(&spec.id);
    place.stop(&id("no-such"));
    // One that obeys is not killed, and has the time it needs.
    let spec = place.sh(
        "obeys",
        "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.02; done",
    );
    place.start(&spec).unwrap();
    place.until_logged(&spec.id, "up");
    place.stop(&spec.id);
    let exit = Some(Exit::Code { code: 3 });
    assert_eq!(place.status(&spec.id).phase, Phase::Ended { exit });
    assert_eq!(place.log(&spec.id), "up\nbye\n");
}

pub fn a_hook_gates_readiness_and_one_that_fails_ends_it<L: Lab>(place: &Place<L>) {
    let mut spec = place.sh(
        "a",
        "echo up; trap 'echo down; exit 0' TERM; while :; do sleep 0.02; done",
    );
    let gate = place.inside("gate");
    spec.after_start = task(&format!(
        "until [ -e {gate} ]; do sleep 0.02; done; echo warm"
    ));
    spec.before_stop = task("echo draining $BACKOUT_INSTANCE");
    place.start(&spec).unwrap();
    place.until_logged(&spec.id, "up");
    assert_eq!(place.status(&spec.id).phase, Phase::Starting);
    place.touch(&spec.id, "gate");
    place.until_ready(&spec.id);
    place.stop(&spec.id);
    assert_eq!(place.log(&spec.id), "up\nwarm\ndraining a\ndown\n");
    // One that fails ends the instance, and says so.
    spec.after_start = task("exit 5");
    place.start(&spec).unwrap();
    let status = place.until(&spec.id, "ended", |s| {
        matches!(s.phase, Phase::Ended { .. })
    });
    let mut events = status.events.iter();
    let failed = events.find(|e| e.kind == EventKind::TaskFailed).unwrap();
    assert!(failed.text.contains("after its start"), "{failed:?}");
    // One before the stop that hangs takes no more than the grace.
    spec.after_start = None;
    spec.before_stop = task("sleep 600");
    place.start(&spec).unwrap();
    place.until_ready(&spec.id);
    place
        .driver
        .stop(FENCE, &spec.id, Duration::from_millis(100))
        .unwrap();
    assert!(kinds(&place.status(&spec.id)).contains(&EventKind::TaskFailed));
}

pub fn what_is_not_alive_is_started_again_while_nobody_looks<L: Lab>(place: &Place<L>) {
    let mut spec = place.sh("a", &format!("echo run; {IDLE}"));
    spec.restart = Restart {
        when: When::Always,
        wait_ms: 1,
        wait_max_ms: 10,
    };
    let script = format!("! rm {} 2>/dev/null", place.inside("ill"));
    spec.liveness = Some(Probe {
        failures: 1,
        ..probe(Ask::Exec {
            argv: words(&["sh", "-c", &script]),
        })
    });
    place.start(&spec).unwrap();
    let first = place.until_ready(&spec.id);
    place.touch(&spec.id, "ill");
    let status = place.until(&spec.id, "again", |s| {
        s.restarts == 1 && s.phase == Phase::Ready
    });
    assert_ne!(status.pid, first.pid);
    assert!(gone(first.pid.unwrap()));
    let kinds = kinds(&status);
    for kind in [EventKind::NotAlive, EventKind::Stopping, EventKind::Waits] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    eventually("both have spoken", || {
        (place.log(&spec.id) == "run\nrun\n").then_some(())
    });
    // A stop is no failure.
    place.stop(&spec.id);
    assert!(matches!(place.status(&spec.id).phase, Phase::Ended { .. }));
    assert_eq!(place.status(&spec.id).restarts, 1);
}

pub fn one_that_fails_is_started_again_with_growing_waits<L: Lab>(place: &Place<L>) {
    let mut spec = place.sh("a", "exit 4");
    spec.restart = Restart {
        when: When::Always,
        wait_ms: 1,
        wait_max_ms: 3_600_000,
    };
    spec.port = PortWish::Free;
    let port = place.start(&spec).unwrap();
    let status = place.until(&spec.id, "some starts", |s| s.restarts >= 5);
    assert_eq!(status.address, port);
    let waits = status.events.iter().filter(|e| e.kind == EventKind::Waits);
    let waits: Vec<u64> = waits
        .map(|e| e.text.trim_end_matches(" ms").parse().unwrap())
        .collect();
    assert!(waits.starts_with(&[1, 2, 4, 8, 16]), "{waits:?}");
    // It is found waiting, and no start disturbs it.
    let exit = Some(Exit::Code { code: 4 });
    place.until(&spec.id, "it waits", |s| {
        s.phase == Phase::Waits { exit: exit.clone() }
    });
    assert!(!place.driver.start(FENCE, &spec).unwrap().fresh);
    place.stop(&spec.id);
}

pub fn logs_are_rotated_and_can_be_read_on<L: Lab>(place: &Place<L>) {
    let mut spec = place.sh("a", &format!("seq 1 60000; {IDLE}"));
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
    let from = LogFrom::LastBytes(150_000);
    let bytes = place.driver.logs(&spec.id, from).unwrap().bytes;
    assert_eq!(bytes.len(), 150_000);
    let text = String::from_utf8(bytes).unwrap();
    let numbers: Vec<u32> = text.lines().skip(1).map(|l| l.parse().unwrap()).collect();
    assert!(
        numbers.windows(2).all(|w| w[0] + 1 == w[1]),
        "none is missing"
    );
    let none = place.driver.logs(&id("no-such"), from).unwrap_err();
    assert_eq!(none.code(), Code::NotFound);
}

pub fn a_port_is_its_own_and_kept<L: Lab>(place: &Place<L>) {
    let mut spec = place.sh("a", IDLE);
    spec.port = PortWish::Free;
    let mut other = place.sh("b", IDLE);
    other.port = PortWish::Free;
    let a = place.start(&spec).unwrap().unwrap();
    let b = place.start(&other).unwrap().unwrap();
    assert_ne!(a, b);
    place.stop(&spec.id);
    assert_eq!(place.start(&spec).unwrap(), Some(a));
    // Nobody else gets it while it is off.
    place.stop(&spec.id);
    let mut third = place.sh("c", IDLE);
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
    let _stranger = TcpListener::bind(a).unwrap();
    let error = place.start(&third).unwrap_err();
    assert_eq!(error.code(), Code::Quota, "{error}");
    // A range that is used up.
    let narrow = place.lab.with_port(&place.path("narrow"), a.port());
    let error = narrow.start(FENCE, &spec).unwrap_err();
    assert!(error.to_string().contains("wider range"), "{error}");
}

pub fn memory_and_tasks_are_limited<L: Lab>(place: &Place<L>) {
    if place.driver.limits_missing().is_some() {
        // What is refused there is another test.
        return;
    }
    // 200 MiB in one process.
    let eats = "echo up; head -c 200m /dev/zero | tail -c 200m >/dev/null; exit 7";
    let mut spec = place.sh("hungry", eats);
    spec.limits.memory_bytes = Some(32 << 20);
    spec.limits.cpu_millis = Some(500);
    spec.limits.tasks = Some(20);
    place.start(&spec).unwrap();
    let status = place.until(&spec.id, "killed", |s| {
        matches!(s.phase, Phase::Ended { .. })
    });
    assert!(status.memory_kills > 0, "{status:?}");
    assert_eq!(status.limits, Enforced::Yes);

    let mut spec = place.sh("steady", &format!("echo up; {IDLE}"));
    spec.limits.cpu_millis = Some(250);
    spec.limits.memory_bytes = Some(64 << 20);
    spec.limits.tasks = Some(20);
    place.start(&spec).unwrap();
    place.until_logged(&spec.id, "up");
    let memory = place.until_ready(&spec.id).memory_bytes.unwrap();
    assert!(memory > 0 && memory < 64 << 20);
    // What a fork bomb can do.
    let bomb = "n=0; while [ $n -lt 40 ]; do sleep 600 & n=$((n+1)); done; echo never";
    let mut bomb = place.sh("bomb", bomb);
    bomb.limits.tasks = Some(10);
    place.start(&bomb).unwrap();
    place.until(&bomb.id, "ended", |s| {
        matches!(s.phase, Phase::Ended { .. })
    });
    assert!(!place.log(&bomb.id).contains("never"));
}

pub fn processor_time_is_counted<L: Lab>(place: &Place<L>) {
    if place.driver.limits_missing().is_some() {
        // It is counted where it is limited.
        return;
    }
    let spec = place.sh("busy", "trap 'exit 0' TERM; while :; do :; done");
    place.start(&spec).unwrap();
    let some = |s: &Status| s.cpu_ms.is_some_and(|ms| ms >= 20);
    let first = place.until(&spec.id, "busy", some).cpu_ms;
    place.until(&spec.id, "busier", |s| s.cpu_ms > first);
    place.stop(&spec.id);
    assert_eq!(place.status(&spec.id).cpu_ms, None);
}

pub fn an_older_fence_changes_nothing<L: Lab>(place: &Place<L>) {
    let spec = place.sh("a", IDLE);
    place.start(&spec).unwrap();
    let pid = place.until_ready(&spec.id).pid;
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

pub fn a_start_after_half_a_stop_begins_anew<L: Lab>(place: &Place<L>) {
    let spec = place.sh("a", IDLE);
    place.start(&spec).unwrap();
    let pid = place.until_ready(&spec.id).pid.unwrap();
    // As a stop that was killed after its first step.
    std::fs::write(place.run(&spec.id).join("down"), "").unwrap();
    assert_eq!(place.status(&spec.id).phase, Phase::Stopping);
    assert!(place.driver.start(FENCE, &spec).unwrap().fresh);
    let status = place.until_ready(&spec.id);
    assert!(gone(pid) && status.pid != Some(pid));
}

pub fn what_cannot_be_run_is_refused_with_its_reason<L: Lab>(place: &Place<L>) {
    let base = place.sh("a", "true");
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
    let http = |path: &str| Ask::Http {
        port: 80,
        path: path.to_owned(),
        headers: std::collections::BTreeMap::new(),
    };
    let cases: Vec<(InstanceSpec, &str)> = vec![
        (
            with(&|s| s.command = vec![String::new()]),
            "names no program",
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
    for (spec, wanted) in cases {
        let error = place.start(&spec).unwrap_err();
        assert_eq!(error.code(), Code::BadRequest, "{wanted}: {error}");
        assert!(error.to_string().contains(wanted), "{wanted}: {error}");
        assert!(!place.run(&base.id).join("state.json").exists(), "{wanted}");
    }
    for text in ["", "-a", "A", "a/b", "..", "a.b", &"a".repeat(64)] {
        assert!(text.parse::<InstanceId>().is_err(), "{text:?}");
    }
    // What is only seen when it is run.
    let spec = with(&|s| {
        s.files = vec![MountedFile {
            path: "script".to_owned(),
            content: b"#!/no/such/interpreter\n".to_vec(),
            executable: true,
        }];
        s.command = words(&["sh", "-c", "exec \"$BACKOUT_FILES/script\""]);
    });
    place.start(&spec).unwrap();
    place.until(&spec.id, "ended", |s| {
        matches!(
            s.phase,
            Phase::Ended {
                exit: Some(Exit::Code { code: 126 | 127 })
            }
        )
    });
}

pub fn instances_are_listed_by_pages<L: Lab>(place: &Place<L>) {
    for name in ["c", "a", "b"] {
        place.start(&place.sh(name, "exit 0")).unwrap();
    }
    assert_eq!(place.driver.list(None, 2).unwrap(), [id("a"), id("b")]);
    assert_eq!(place.driver.list(Some(&id("b")), 2).unwrap(), [id("c")]);
}

pub fn many_run_side_by_side<L: Lab>(place: &Place<L>) {
    let specs: Vec<InstanceSpec> = (0..place.lab.many())
        .map(|n| {
            let mut spec = place.sh(&format!("i-{n:03}"), IDLE);
            spec.port = PortWish::Free;
            spec.readiness = Some(probe(Ask::Exec {
                argv: words(&["true"]),
            }));
            spec.readiness.as_mut().unwrap().period_ms = 10_000;
            spec
        })
        .collect();
    let mut ports: Vec<u16> = specs
        .iter()
        .map(|spec| place.start(spec).unwrap().unwrap().port())
        .collect();
    let ids: Vec<InstanceId> = specs.iter().map(|s| s.id.clone()).collect();
    let mut watch = place.driver.watch(&ids).unwrap();
    let end = Instant::now() + PATIENCE;
    while !ids.iter().all(|id| place.status(id).phase == Phase::Ready) {
        assert!(Instant::now() < end, "never all ready");
        watch.wait(PATIENCE).unwrap();
    }
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), specs.len());
    assert_eq!(place.driver.list(None, 500).unwrap(), ids);
    let mut pids: Vec<_> = ids.iter().map(|id| place.status(id).pid.unwrap()).collect();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), specs.len());
    for id in &ids {
        place.stop(id);
    }
    assert!(pids.into_iter().all(gone));
}
