//! The driver for processes, with real ones.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod suite;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use backout_core::code::Code;
use backout_shim::Shim;
use backout_workloads::packages::{Form, Origin};
use backout_workloads::process::{Config, Processes};
use backout_workloads::{
    Ask, Enforced, InstanceId, InstanceSpec, Phase, PortWish, Restart, Source, When, Workloads as _,
};
use suite::{FENCE, Lab, PATIENCE, eventually, gone, id, kill, probe, sh, suite, words};

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

/// Processes of this host.
struct Host;

type Place = suite::Place<Host>;

fn config(root: &Path) -> Config {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_workloads-shim"));
    let args = Vec::new();
    Config::new(root.to_owned(), Shim { program, args })
}

impl Lab for Host {
    type Driver = Processes;

    fn source(&self) -> Source {
        Source::Host
    }

    fn open(&self, root: &Path) -> Processes {
        Processes::open(config(root)).unwrap()
    }

    fn with_port(&self, root: &Path, port: u16) -> Processes {
        let mut narrow = config(root);
        narrow.ports = port..=port;
        Processes::open(narrow).unwrap()
    }

    fn inside(&self, folder: &Path) -> String {
        folder.display().to_string()
    }

    fn touch(&self, folder: &Path, _id: &InstanceId, name: &str) {
        std::fs::write(folder.join(name), "").unwrap();
    }

    fn instances(&self) -> &'static str {
        "instances"
    }

    fn helper_args(&self, root: &Path) -> Vec<PathBuf> {
        vec![root.to_owned()]
    }

    fn many(&self) -> usize {
        100
    }
}

fn place() -> Place {
    Place::of(Host, tempfile::tempdir().unwrap())
}

suite!(Some(place()));

fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
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
    let place = place();
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
fn a_starter_that_is_killed_at_any_instant_leaves_one_instance_or_none() {
    let place = place();
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
        let mut starter = place.starter(&spec);
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
fn a_killed_shim_takes_all_of_it_along_and_it_is_told() {
    let place = place();
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
fn a_stop_ends_the_whole_group() {
    let place = place();
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
}

#[test]
fn what_a_failed_run_leaves_behind_is_ended_before_the_next() {
    let place = place();
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
    let place = place();
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
fn the_list_of_events_is_bounded() {
    let place = place();
    let mut spec = sh("b", "exit 4");
    spec.restart = Restart {
        when: When::Always,
        wait_ms: 1,
        wait_max_ms: 1,
    };
    place.start(&spec).unwrap();
    let status = place.until(&spec.id, "many starts", |s| s.restarts >= 30);
    assert_eq!(status.events.len(), backout_shim::EVENTS_MAX);
    place.stop(&spec.id);
}

#[test]
fn limits_are_groups_that_the_shim_is_not_in() {
    let place = place();
    if !limited(&place) {
        // What is refused there is another test.
        return;
    }
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
    let place = place();
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
    let place = place();
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
    let place = place();
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
fn what_this_host_cannot_run_is_refused_with_its_reason() {
    let place = place();
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
    let source = Source::Package { hash };
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
    ];
    for (spec, wanted) in cases {
        let error = place.start(&spec).unwrap_err();
        assert!(
            matches!(error.code(), Code::BadRequest | Code::PackageMissing),
            "{wanted}: {error}"
        );
        assert!(error.to_string().contains(wanted), "{wanted}: {error}");
        assert!(!place.run(&base.id).join("state.json").exists(), "{wanted}");
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
fn the_doctor_says_how_limits_are_kept() {
    let place = place();
    let findings = place.driver.doctor();
    let limits = findings.iter().filter(|f| f.what.starts_with("limits of"));
    assert_eq!(limits.clone().count(), 3);
    let all_fine = limits.clone().all(|f| f.fine);
    assert_eq!(all_fine, place.driver.limits_missing().is_none());
    assert!(limits.clone().all(|f| !f.text.is_empty()));
}
