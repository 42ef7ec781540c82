//! The supervisor with real processes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use backout_core::code::Code;
use backout_shim::{
    Ask, Care, Error, EventKind, Exit, Probe, Readiness, Restart, SECRETS_MAX_BYTES, Shim, Signal,
    Spec, State, Task, When, end, log_path, look, report, signal, start, start_with, stop,
    wait_ended,
};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn shim() -> Shim {
    Shim {
        program: PathBuf::from(env!("CARGO_BIN_EXE_backout-shim")),
        args: Vec::new(),
    }
}

fn sh(script: &str) -> Spec {
    let mut spec = Spec::new("/bin/sh", vec!["-c".into(), script.into()]);
    spec.env
        .insert("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into());
    spec
}

/// Ends what a test left running, by its run folder alone.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("run")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = stop(&self.folder(), Signal::Kill, PATIENCE);
    }
}

fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn pid(state: &State) -> u32 {
    match state {
        State::On { pid, .. } => *pid,
        other => unreachable!("{other:?}"),
    }
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(log_path(folder)).unwrap_or_default()
}

/// Field `n` of `/proc/PID/stat`, counted from 1 as in its manual.
fn stat(pid: u32, n: usize) -> u32 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let rest = text.rsplit_once(") ").unwrap().1;
    rest.split(' ').nth(n - 3).unwrap().parse().unwrap()
}

fn record(folder: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(folder.join("state.json")).unwrap()).unwrap()
}

fn number(value: &serde_json::Value) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}

fn kill(pid: u32) {
    assert!(
        Command::new("kill")
            .args(["-9", &pid.to_string()])
            .status()
            .unwrap()
            .success()
    );
}

fn gone(pid: u32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(text) => text.rsplit_once(") ").unwrap().1.starts_with(['Z', 'X']),
        Err(_) => true,
    }
}

#[test]
fn a_process_runs_says_something_and_its_end_is_on_record() {
    let place = Place::new();
    let folder = place.folder();
    assert_eq!(look(&folder).unwrap(), State::Off { exit: None });
    let spec = sh("echo out; echo err >&2; pwd; env; exit 7");
    start(&folder, &shim(), &spec).unwrap();
    let exit = wait_ended(&folder, PATIENCE).unwrap();
    assert_eq!(exit, Some(Exit::Code { code: 7 }));
    assert_eq!(look(&folder).unwrap(), State::Off { exit });
    let said = log(&folder);
    let real = folder.canonicalize().unwrap();
    assert!(said.starts_with(&format!("out\nerr\n{}\n", real.display())));
    // Nothing of the caller's environment, nor of the shim's, is in there.
    for line in said.lines().skip(3) {
        let name = line.split('=').next().unwrap();
        assert!(
            ["PATH", "PWD", "OLDPWD", "SHLVL", "_"].contains(&name),
            "{line}"
        );
    }
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for file in ["spec.json", "state.json", "log", "lock"] {
        assert_eq!(mode(&folder.join(file)), 0o600, "{file}");
    }
}

#[test]
fn the_signal_that_ended_it_is_on_record() {
    let place = Place::new();
    let folder = place.folder();
    start(&folder, &shim(), &sh("exec sleep 600")).unwrap();
    signal(&folder, Signal::Term).unwrap();
    let exit = wait_ended(&folder, PATIENCE).unwrap();
    assert_eq!(exit, Some(Exit::Signal { signal: 15 }));
    let error = signal(&folder, Signal::Term).unwrap_err();
    assert!(matches!(error, Error::NotRunning { .. }), "{error}");
}

#[test]
fn what_cannot_be_run_is_said_and_leaves_nothing_running() {
    let place = Place::new();
    let folder = place.folder();
    let error = start(&folder, &shim(), &Spec::new("/no/such/program", vec![])).unwrap_err();
    assert_eq!(error.code(), Code::ProcessStart);
    let text = error.to_string();
    assert!(text.contains("/no/such/program: No such file"), "{text}");
    assert!(matches!(
        wait_ended(&folder, PATIENCE).unwrap(),
        Some(Exit::NotStarted { .. })
    ));
    // And what is no shim is not waited for.
    let wrong = Shim {
        program: "/bin/true".into(),
        args: vec![],
    };
    let error = start(&folder, &wrong, &sh("true")).unwrap_err();
    assert!(error.to_string().contains("is a shim"), "{error}");
    // The folder is as good as new.
    start(&folder, &shim(), &sh("exit 0")).unwrap();
    let exit = wait_ended(&folder, PATIENCE).unwrap();
    assert_eq!(exit, Some(Exit::Code { code: 0 }));
}

#[test]
fn a_second_start_finds_the_first() {
    let place = Place::new();
    let folder = place.folder();
    let first = start(&folder, &shim(), &sh("exec sleep 600")).unwrap();
    assert!(first.fresh);
    let second = start(&folder, &shim(), &sh("echo never")).unwrap();
    assert!(!second.fresh);
    assert_eq!((first.pid, first.since_ms), (second.pid, second.since_ms));
    assert_eq!(Some(pid(&look(&folder).unwrap())), first.pid);
}

#[test]
fn many_starts_at_once_make_one_process() {
    let place = Place::new();
    let folder = place.folder();
    let marks = place.0.path().join("marks");
    let spec = sh(&format!("echo $$ >>{}; exec sleep 600", marks.display()));
    let gate = Barrier::new(6);
    let runs: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| {
                    gate.wait();
                    start(&folder, &shim(), &spec).unwrap()
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(runs.iter().filter(|run| run.fresh).count(), 1, "{runs:?}");
    assert!(runs.iter().all(|run| run.pid == runs[0].pid), "{runs:?}");
    until("its mark", || std::fs::read_to_string(&marks).ok());
    stop(&folder, Signal::Kill, PATIENCE).unwrap();
    assert_eq!(std::fs::read_to_string(&marks).unwrap().lines().count(), 1);
}

/// Starts a shim as a caller that can be killed: the program, run by hand.
fn by_hand(folder: &Path, script: &str) -> std::process::Child {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(
        folder.join("spec.json"),
        serde_json::to_vec(&sh(script)).unwrap(),
    )
    .unwrap();
    // A session of its own, of which the killed caller is the leader.
    Command::new("setsid")
        .args([
            "sh",
            "-c",
            "exec 9</dev/null; \"$0\" \"$1\" >/dev/null; exec sleep 600",
        ])
        .arg(env!("CARGO_BIN_EXE_backout-shim"))
        .arg(folder)
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn it_outlives_its_starter_and_the_starters_group() {
    let place = Place::new();
    let folder = place.folder();
    let mut starter = by_hand(&folder, "while sleep 0.01; do echo tick; done");
    let child = until("on", || match look(&folder).unwrap() {
        State::On { pid, .. } => Some(pid),
        _ => None,
    });
    let shim = number(&record(&folder)["shim"]["pid"]);
    // On record a moment before it is the program.
    until("it ticks", || log(&folder).contains("tick").then_some(()));
    // In no group or session of the starter's, and nobody's child.
    let (group, session) = (5, 6);
    for pid in [child, shim] {
        assert_ne!(stat(pid, group), stat(starter.id(), group));
        assert_ne!(stat(pid, session), stat(starter.id(), session));
        assert_eq!(stat(pid, 7), 0, "a terminal");
    }
    assert_eq!(stat(child, 4), shim);
    assert_ne!(stat(shim, 4), starter.id());
    // Nothing of what the starter had open is in its hands: 9 was.
    for pid in [child, shim] {
        for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
            let entry = entry.unwrap();
            let fd: u32 = entry.file_name().to_str().unwrap().parse().unwrap();
            let Ok(target) = std::fs::read_link(entry.path()) else {
                continue;
            };
            let target = target.to_str().unwrap();
            let fine = fd <= 2 || target.starts_with(folder.to_str().unwrap());
            assert!(
                fine || target.starts_with("pipe:"),
                "{pid}: {fd} is {target}"
            );
        }
    }
    // The whole group of the starter, at once.
    let group = format!("-{}", starter.id());
    let killed = Command::new("kill").args(["-9", "--", &group]).status();
    assert!(killed.unwrap().success());
    starter.wait().unwrap();
    assert_eq!(pid(&look(&folder).unwrap()), child);
    let before = log(&folder).len();
    until("it goes on", || (log(&folder).len() > before).then_some(()));
    let found = start(&folder, &self::shim(), &sh("echo never")).unwrap();
    assert_eq!((found.pid, found.fresh), (Some(child), false));
    signal(&folder, Signal::Kill).unwrap();
    let exit = wait_ended(&folder, PATIENCE).unwrap();
    assert_eq!(exit, Some(Exit::Signal { signal: 9 }));
    until("the shim ends", || gone(shim).then_some(()));
}

/// The chain of a start whose starter only has `answer` in its hands.
fn chain(folder: &Path, answer: std::io::PipeWriter) {
    let mut first = Command::new(env!("CARGO_BIN_EXE_backout-shim"))
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(answer)
        .spawn()
        .unwrap();
    assert!(first.wait().unwrap().success());
}

#[test]
fn it_does_not_start_for_a_starter_that_is_gone() {
    let place = Place::new();
    let folder = place.folder();
    std::fs::create_dir_all(&folder).unwrap();
    let mark = place.0.path().join("mark");
    let spec = sh(&format!("echo >{}; exec sleep 600", mark.display()));
    let text = serde_json::to_vec(&spec).unwrap();
    std::fs::write(folder.join("spec.json"), text).unwrap();
    let (starter, answer) = std::io::pipe().unwrap();
    drop(starter);
    chain(&folder, answer);
    let exit = until("it is given up", || match look(&folder).unwrap() {
        State::Off { exit } => exit,
        _ => None,
    });
    let Exit::NotStarted { why } = exit else {
        unreachable!("{exit:?}")
    };
    assert!(why.contains("is gone"), "{why}");
    let shim = number(&record(&folder)["shim"]["pid"]);
    until("the shim ends", || gone(shim).then_some(()));
    assert!(!mark.exists());
    // The next start is as good as any.
    assert!(start(&folder, &self::shim(), &spec).unwrap().fresh);
    until("its mark", || mark.exists().then_some(()));
}

#[test]
fn a_stop_waits_for_a_shim_that_is_starting() {
    let place = Place::new();
    let folder = place.folder();
    // What an earlier run left on record is no answer.
    start(&folder, &shim(), &sh("exit 0")).unwrap();
    wait_ended(&folder, PATIENCE).unwrap();
    let before = number(&record(&folder)["shim"]["pid"]);
    until("the shim ends", || gone(before).then_some(()));

    // A shim that has the lock, and waits for what it is to run.
    let spec = folder.join("spec.json");
    std::fs::remove_file(&spec).unwrap();
    let made = Command::new("mkfifo").arg(&spec).status().unwrap();
    assert!(made.success());
    let (_starter, answer) = std::io::pipe().unwrap();
    chain(&folder, answer);
    let lock = std::fs::File::open(folder.join("lock")).unwrap();
    until("the shim has the lock", || {
        use rustix::fs::FlockOperation;
        let free = rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared).is_ok();
        // Not to be in its way.
        rustix::fs::flock(&lock, FlockOperation::Unlock).unwrap();
        (!free).then_some(())
    });
    let exit = std::thread::scope(|scope| {
        let stopped = scope.spawn(|| stop(&folder, Signal::Term, PATIENCE).unwrap());
        until("the stop has begun", || {
            folder.join("down").exists().then_some(())
        });
        let text = serde_json::to_vec(&sh("exec sleep 600")).unwrap();
        let mut fifo = std::fs::File::options().write(true).open(&spec).unwrap();
        fifo.write_all(&text).unwrap();
        // For the link that becomes the program; before the shim has it all.
        let next = folder.join("next.json");
        std::fs::write(&next, &text).unwrap();
        std::fs::rename(&next, &spec).unwrap();
        drop(fifo);
        stopped.join().unwrap()
    });
    assert_eq!(exit, Some(Exit::Signal { signal: 15 }));
    assert!(matches!(look(&folder).unwrap(), State::Off { .. }));
}

#[test]
fn a_killed_shim_takes_its_process_along_and_can_be_replaced() {
    let place = Place::new();
    let folder = place.folder();
    let run = start(&folder, &shim(), &sh("exec sleep 600")).unwrap();
    let child = run.pid.unwrap();
    kill(number(&record(&folder)["shim"]["pid"]));
    assert_eq!(wait_ended(&folder, PATIENCE).unwrap(), None);
    assert!(gone(child));
    let again = start(&folder, &shim(), &sh("exec sleep 600")).unwrap();
    assert!(again.fresh);
    assert_ne!(again.pid, Some(child));
    assert_eq!(Some(pid(&look(&folder).unwrap())), again.pid);
}

/// A folder that says that `pid` runs there.
fn forged(place: &Place, change: impl Fn(&mut serde_json::Value)) -> PathBuf {
    let folder = place.folder();
    start(&folder, &shim(), &sh("exit 0")).unwrap();
    wait_ended(&folder, PATIENCE).unwrap();
    // The shim is gone, and writes no more.
    let mut record = record(&folder);
    until("the shim ends", || {
        gone(number(&record["shim"]["pid"])).then_some(())
    });
    change(&mut record);
    std::fs::write(
        folder.join("state.json"),
        serde_json::to_vec(&record).unwrap(),
    )
    .unwrap();
    folder
}

struct Bystander(std::process::Child);

impl Bystander {
    fn new() -> Self {
        Self(Command::new("sleep").arg("600").spawn().unwrap())
    }

    fn ticks(&self) -> u64 {
        stat(self.0.id(), 22).into()
    }

    fn lives(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn another_process_with_the_pid_is_neither_taken_for_it_nor_hit() {
    let mut other = Bystander::new();
    let (pid, ticks) = (other.0.id(), other.ticks());
    let cases: [(&str, u64, Option<&str>); 2] = [
        ("started later", ticks - 1, None),
        (
            "another boot, the same pid and ticks",
            ticks,
            Some("00000000-0000-0000-0000-000000000000"),
        ),
    ];
    for (case, started_ticks, boot) in cases {
        let place = Place::new();
        let folder = forged(&place, |record| {
            record["child"] = serde_json::json!({ "pid": pid, "started_ticks": started_ticks });
            if let Some(boot) = boot {
                record["boot_id"] = boot.into();
            }
        });
        assert_eq!(look(&folder).unwrap(), State::Off { exit: None }, "{case}");
        let error = signal(&folder, Signal::Kill).unwrap_err();
        assert!(matches!(error, Error::NotRunning { .. }), "{case}: {error}");
        assert_eq!(stop(&folder, Signal::Kill, PATIENCE).unwrap(), None);
        let run = start(&folder, &shim(), &sh("exec sleep 600")).unwrap();
        assert!(run.fresh, "{case}");
        assert!(other.lives(), "{case}");
    }
}

#[test]
fn a_process_without_its_shim_is_found_and_replaced() {
    // As one whose shim died after it had changed its user.
    let mut orphan = Bystander::new();
    let (pid, ticks) = (orphan.0.id(), orphan.ticks());
    let place = Place::new();
    let folder = forged(&place, |record| {
        record["child"] = serde_json::json!({ "pid": pid, "started_ticks": ticks });
    });
    assert_eq!(self::pid(&look(&folder).unwrap()), pid);
    let run = start(&folder, &shim(), &sh("exec sleep 600")).unwrap();
    assert!(run.fresh);
    assert!(!orphan.lives());
}

#[test]
fn the_log_takes_no_more_than_it_may() {
    let place = Place::new();
    let folder = place.folder();
    let mut spec = sh("yes 0123456789abcdef | head -c 5000000; echo the last words");
    spec.log_max_bytes = 300_000;
    start(&folder, &shim(), &spec).unwrap();
    wait_ended(&folder, PATIENCE).unwrap();
    let older = folder.join("log.1").metadata().unwrap().size();
    let newer = log_path(&folder).metadata().unwrap().size();
    assert!(older <= 300_000 && newer <= 300_000, "{older} {newer}");
    assert!(older > 150_000, "{older}");
    assert!(log(&folder).ends_with("the last words\n"));
    assert_eq!(
        std::fs::read_dir(&folder)
            .unwrap()
            .filter(|e| e
                .as_ref()
                .unwrap()
                .file_name()
                .to_str()
                .unwrap()
                .starts_with("log"))
            .count(),
        2
    );
}

#[test]
fn a_log_that_cannot_be_written_blocks_nobody() {
    let place = Place::new();
    let folder = place.folder();
    std::fs::create_dir_all(folder.join("log/in the way")).unwrap();
    start(&folder, &shim(), &sh("yes | head -c 3000000; exit 3")).unwrap();
    let exit = wait_ended(&folder, PATIENCE).unwrap();
    assert_eq!(exit, Some(Exit::Code { code: 3 }));
}

#[test]
fn it_is_started_again_with_growing_waits_until_it_is_stopped() {
    let place = Place::new();
    let folder = place.folder();
    let mut spec = sh("echo run; exit 1");
    spec.restart = Restart {
        when: When::Failed,
        wait_ms: 1,
        wait_max_ms: 3_600_000,
    };
    start(&folder, &shim(), &spec).unwrap();
    until("a few runs", || {
        (log(&folder).lines().count() > 5).then_some(())
    });
    // The waits get longer, so it is found waiting, and no start disturbs it.
    until("it waits", || match look(&folder).unwrap() {
        State::Waits { exit } => (exit == Some(Exit::Code { code: 1 })).then_some(()),
        _ => None,
    });
    assert!(!start(&folder, &shim(), &spec).unwrap().fresh);
    stop(&folder, Signal::Term, PATIENCE).unwrap();
    assert!(matches!(look(&folder).unwrap(), State::Off { .. }));
    // A start is wanted again, and a good end is the end.
    spec.args[1] = "exit 0".into();
    assert!(start(&folder, &shim(), &spec).unwrap().fresh);
    let exit = wait_ended(&folder, PATIENCE).unwrap();
    assert_eq!(exit, Some(Exit::Code { code: 0 }));
}

#[test]
fn what_ignores_a_signal_is_killed() {
    let place = Place::new();
    let folder = place.folder();
    let spec = sh("trap '' TERM; echo deaf; while :; do sleep 1; done");
    start(&folder, &shim(), &spec).unwrap();
    until("it is deaf", || log(&folder).contains("deaf").then_some(()));
    let error = {
        signal(&folder, Signal::Term).unwrap();
        wait_ended(&folder, Duration::from_millis(50)).unwrap_err()
    };
    assert!(matches!(error, Error::GoesOn { .. }), "{error}");
    let exit = stop(&folder, Signal::Term, Duration::from_millis(50)).unwrap();
    assert_eq!(exit, Some(Exit::Signal { signal: 9 }));
    // Twice is fine.
    stop(&folder, Signal::Term, PATIENCE).unwrap();
}

#[test]
fn a_damaged_record_is_named() {
    let place = Place::new();
    let folder = place.folder();
    std::fs::create_dir_all(&folder).unwrap();
    let mut file = std::fs::File::create(folder.join("state.json")).unwrap();
    file.write_all(b"{\"boot_id\": 1}").unwrap();
    let error = look(&folder).unwrap_err();
    assert!(error.to_string().contains("state.json"), "{error}");
    assert_eq!(error.code(), Code::ProcessStart);
    std::fs::remove_file(folder.join("state.json")).unwrap();
}

#[test]
fn secrets_reach_each_run_and_no_file() {
    let place = Place::new();
    let folder = place.folder();
    let mut spec = sh("echo \"${#WORD} ${WORD%er}\"; exit 1");
    spec.restart = Restart {
        when: When::Failed,
        wait_ms: 1,
        wait_max_ms: 1,
    };
    let secrets = [("WORD".to_owned(), "hunter".to_owned())].into();
    start_with(&folder, &shim(), &spec, &secrets).unwrap();
    until("it ran again", || {
        (log(&folder).lines().count() > 2).then_some(())
    });
    stop(&folder, Signal::Term, PATIENCE).unwrap();
    assert!(
        log(&folder).lines().all(|line| line == "6 hunt"),
        "{}",
        log(&folder)
    );
    for entry in std::fs::read_dir(&folder).unwrap() {
        let text = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!text.windows(6).any(|w| w == b"hunter"));
    }
    let long = [("WORD".to_owned(), "x".repeat(SECRETS_MAX_BYTES))].into();
    let error = start_with(&folder, &shim(), &spec, &long).unwrap_err();
    assert!(error.to_string().contains("longer than"), "{error}");
}

#[test]
fn a_process_with_care_is_asked_and_ended_by_its_shim() {
    let place = Place::new();
    let folder = place.folder();
    let mut spec = sh("echo up; trap 'echo down; exit 5' TERM; while :; do sleep 0.02; done");
    let gate = place.0.path().join("gate");
    let task = |script: String| Task {
        argv: vec!["/bin/sh".into(), "-c".into(), script],
        timeout_ms: 60_000,
    };
    spec.care = Some(Care {
        readiness: Some(Probe {
            period_ms: 10,
            timeout_ms: 60_000,
            ..Probe::new(Ask::Exec {
                argv: vec![
                    "/usr/bin/test".into(),
                    "-e".into(),
                    gate.display().to_string(),
                ],
            })
        }),
        before_stop: Some(task("echo before".to_owned())),
        after_end: Some(task("echo after".to_owned())),
        ..Care::default()
    });
    start(&folder, &shim(), &spec).unwrap();
    let health = || report(&folder).unwrap().health.unwrap_or_default();
    until("it says why not", || health().why);
    assert_eq!(health().readiness, Readiness::Starting);
    std::fs::write(&gate, "").unwrap();
    until("ready", || {
        (health().readiness == Readiness::Ready).then_some(())
    });
    let exit = end(&folder, PATIENCE).unwrap();
    assert_eq!(exit, Some(Exit::Code { code: 5 }));
    assert_eq!(log(&folder), "up\nbefore\ndown\nafter\n");
    let report = report(&folder).unwrap();
    assert!(report.down);
    // What was known of the run is not said of what does not run.
    let health = report.health.unwrap();
    assert_eq!((health.readiness, health.runs), (Readiness::Starting, 1));
    let kinds: Vec<EventKind> = health.events.iter().map(|e| e.kind).collect();
    let wanted = [
        EventKind::Started,
        EventKind::Ready,
        EventKind::Stopping,
        EventKind::Ended,
    ];
    assert_eq!(kinds, wanted);
    // Twice is fine, and so is a folder that is not there.
    end(&folder, PATIENCE).unwrap();
    end(&place.0.path().join("none"), PATIENCE).unwrap();
}

#[test]
fn ports_are_asked_at_the_address_in_a_file_where_one_is_named() {
    let place = Place::new();
    let folder = place.folder();
    // Nobody listens at the same port of the usual address.
    let listener = std::net::TcpListener::bind("127.0.0.2:0").unwrap();
    let address = place.0.path().join("address");
    let mut spec = sh("exec sleep 600");
    spec.care = Some(Care {
        readiness: Some(Probe {
            period_ms: 10,
            timeout_ms: 60_000,
            ..Probe::new(Ask::Tcp {
                port: listener.local_addr().unwrap().port(),
            })
        }),
        address: Some(address.clone()),
        ..Care::default()
    });
    start(&folder, &shim(), &spec).unwrap();
    let health = || report(&folder).unwrap().health.unwrap_or_default();
    let why = until("it says why not", || health().why);
    assert!(why.contains("not known"), "{why}");
    std::fs::write(&address, "127.0.0.2\n").unwrap();
    until("ready", || {
        (health().readiness == Readiness::Ready).then_some(())
    });
    std::fs::write(&address, "127.0.0.1\n").unwrap();
    until("unready", || {
        (health().readiness == Readiness::Unready).then_some(())
    });
}

#[test]
fn what_runs_after_the_end_runs_after_a_kill_too() {
    let place = Place::new();
    let folder = place.folder();
    let mut spec = sh("exec sleep 600");
    spec.care = Some(Care {
        after_end: Some(Task {
            argv: vec!["/bin/sh".into(), "-c".into(), "echo after".into()],
            timeout_ms: 60_000,
        }),
        ..Care::default()
    });
    start(&folder, &shim(), &spec).unwrap();
    signal(&folder, Signal::Kill).unwrap();
    let exit = wait_ended(&folder, PATIENCE).unwrap();
    assert_eq!(exit, Some(Exit::Signal { signal: 9 }));
    assert_eq!(log(&folder), "after\n");
    // One that fails is told of.
    spec.care.as_mut().unwrap().after_end.as_mut().unwrap().argv[2] = "exit 3".into();
    start(&folder, &shim(), &spec).unwrap();
    end(&folder, Duration::ZERO).unwrap();
    let events = report(&folder).unwrap().health.unwrap().events;
    let failed = |e: &&backout_shim::Event| e.kind == EventKind::TaskFailed;
    let failed = events.iter().find(failed).unwrap();
    assert!(failed.text.starts_with("after its end: "), "{failed:?}");
}
