//! The driver for containers, with real ones: each test starts an engine of its
//! own. Where there is no `dockerd`, or nobody may run it, there are none.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod engine;
mod registry;
mod suite;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use backout_core::code::Code;
use backout_shim::Shim;
use backout_workloads::docker::{Config, Containers};
use backout_workloads::{
    Ask, EventKind, Exit, InstanceId, LogFrom, Phase, PortWish, Restart, Source, When,
    Workloads as _,
};
use engine::{Engine, Fault, IMAGE};
use suite::{FENCE, IDLE, Lab, PATIENCE, eventually, gone, kill, kinds, probe, sh, suite, words};

/// Containers of an engine.
struct Docker {
    engine: Engine,
    socket: PathBuf,
}

type Place = suite::Place<Docker>;

impl Docker {
    fn config(&self, root: &Path) -> Config {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_workloads-shim"));
        let shim = |args: &[&str]| Shim {
            program: program.clone(),
            args: args.iter().map(Into::into).collect(),
        };
        let socket = Some(self.socket.clone());
        Config::new(root.to_owned(), socket, shim(&[]), shim(&["--hand"]))
    }
}

impl Lab for Docker {
    type Driver = Containers;

    fn source(&self) -> Source {
        image(IMAGE)
    }

    fn open(&self, root: &Path) -> Containers {
        Containers::open(self.config(root)).unwrap()
    }

    fn with_port(&self, root: &Path, port: u16) -> Containers {
        let mut narrow = self.config(root);
        narrow.ports = port..=port;
        Containers::open(narrow).unwrap()
    }

    fn inside(&self, _folder: &Path) -> String {
        "/small".to_owned()
    }

    fn touch(&self, _folder: &Path, id: &InstanceId, name: &str) {
        let container = self.engine.containers(id).pop().unwrap();
        self.engine
            .docker(&["exec", &container, "touch", &format!("/small/{name}")]);
    }

    fn instances(&self) -> &'static str {
        "containers"
    }

    fn helper_args(&self, root: &Path) -> Vec<PathBuf> {
        vec![root.to_owned(), self.socket.clone()]
    }

    fn many(&self) -> usize {
        12
    }
}

fn image(name: &str) -> Source {
    Source::Image {
        name: name.to_owned(),
    }
}

/// A driver with an engine, where one can be had.
fn place() -> Option<Place> {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(folder.path())?;
    let socket = engine.socket();
    Some(Place::of(Docker { engine, socket }, folder))
}

/// The same, by a way on which answers can be spoiled.
fn spoiled() -> Option<Place> {
    let mut place = place()?;
    place.lab.socket = place.lab.engine.spoil();
    place.driver = place.lab.open(&place.path("root"));
    Some(place)
}

suite!(place());

fn get(place: &Place, id: &InstanceId, path: &str) -> Option<String> {
    let address = place.status(id).address.unwrap();
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    (!text.is_empty()).then_some(text)
}

fn http(port: u16, path: &str) -> Ask {
    Ask::Http {
        port,
        path: path.to_owned(),
        headers: BTreeMap::new(),
    }
}

const WEB: &str = "trap 'exit 0' TERM; echo hello >/small/index; \
                   httpd -f -p \"$PORT\" -h /small & wait";

#[test]
fn it_serves_and_is_asked_by_http_and_tcp() {
    let Some(place) = place() else { return };
    let mut spec = place.sh("web", WEB);
    spec.port = PortWish::Free;
    // Where it listens is its own affair.
    spec.env.insert("PORT".to_owned(), "8080".to_owned());
    spec.readiness = Some(probe(http(0, "/ready")));
    place.start(&spec).unwrap();
    let status = place.until(&spec.id, "it says why not", |s| {
        s.why.as_ref().is_some_and(|why| why.contains("status 404"))
    });
    assert_eq!(status.phase, Phase::Starting);
    place.touch(&spec.id, "ready");
    place.until_ready(&spec.id);
    assert!(
        get(&place, &spec.id, "/index")
            .unwrap()
            .ends_with("hello\n")
    );
    place.stop(&spec.id);
    assert_eq!(get(&place, &spec.id, "/index"), None);

    // Another port of the container is one in its own network.
    spec.readiness = Some(probe(http(9090, "/")));
    spec.command[2] = IDLE.to_owned();
    place.start(&spec).unwrap();
    let status = place.until(&spec.id, "it says why not", |s| s.why.is_some());
    assert_eq!(status.phase, Phase::Starting);
    place.stop(&spec.id);
    spec.command[2] = WEB
        .replace("\"$PORT\"", "9090")
        .replace("index;", "index; touch /small/x;");
    spec.readiness = Some(probe(http(9090, "/x")));
    place.start(&spec).unwrap();
    place.until_ready(&spec.id);
    place.stop(&spec.id);

    // What publishes the port takes every connection; the container does not.
    let gate = "until [ -e /small/gate ]; do sleep 0.02; done; ";
    spec.command[2] = format!("trap 'exit 0' TERM; {gate} {WEB}");
    spec.readiness = Some(probe(Ask::Tcp { port: 0 }));
    place.start(&spec).unwrap();
    let status = place.until(&spec.id, "it says why not", |s| s.why.is_some());
    assert_eq!(status.phase, Phase::Starting);
    place.touch(&spec.id, "gate");
    place.until_ready(&spec.id);
}

#[test]
fn an_image_brings_its_command_and_its_port() {
    let Some(place) = place() else { return };
    let root = place.lab.engine.image_folder();
    let cmd = format!("CMD {:?}", words(&["sh", "-c", WEB]));
    place
        .lab
        .engine
        .import(&root, "web:1", &["EXPOSE 7070", &cmd, "ENV FROM=image"]);
    let mut spec = sh("web", "");
    spec.command.clear();
    spec.source = image("web:1");
    spec.port = PortWish::Free;
    spec.readiness = Some(probe(http(0, "/index")));
    place.start(&spec).unwrap();
    place.until_ready(&spec.id);
    assert!(get(&place, &spec.id, "/index").is_some());
    // What it is called now may be another tomorrow.
    let fetched = place.driver.fetch(&spec.source).unwrap();
    assert!(!fetched.fresh);
    place.stop(&spec.id);
    place.lab.engine.docker(&["rmi", "web:1"]);
    spec.source = image("web:1");
    let error = place.start(&spec).unwrap_err();
    assert_eq!(error.code(), Code::ImageMissing, "{error}");
}

#[test]
fn an_image_that_is_not_there_is_fetched_when_asked_or_named() {
    let Some(place) = place() else { return };
    let registry = registry::Registry::start(&place.lab.engine);
    let mut spec = place.sh("a", IDLE);
    let name = registry.name("app:1");
    spec.source = image(&name);
    // Not by a start.
    let error = place.start(&spec).unwrap_err();
    assert_eq!(error.code(), Code::ImageMissing);
    assert!(error.to_string().contains(&name), "{error}");
    let fetched = place.driver.fetch(&spec.source).unwrap();
    assert!(fetched.fresh);
    assert!(!place.driver.fetch(&spec.source).unwrap().fresh);
    // By its id it is the same, whatever the name means later.
    spec.source = image(&fetched.id.unwrap());
    place.start(&spec).unwrap();
    place.until_ready(&spec.id);
    // One that nobody has.
    let missing = registry.name("none:1");
    let error = place.driver.fetch(&image(&missing)).unwrap_err();
    assert_eq!(error.code(), Code::ImageMissing, "{error}");
    assert!(error.to_string().contains(&missing), "{error}");
    for bad in ["", "a b", "../x"] {
        let error = place.driver.fetch(&image(bad)).unwrap_err();
        assert_eq!(error.code(), Code::BadRequest, "{bad}");
    }
}

#[test]
fn what_cannot_be_started_says_what_the_engine_says() {
    let Some(place) = place() else { return };
    let mut spec = place.sh("a", "");
    spec.command = words(&["/no/such/program"]);
    spec.restart.when = When::Always;
    let error = place.start(&spec).unwrap_err();
    assert_eq!(error.code(), Code::ProcessStart, "{error}");
    assert!(error.to_string().contains("/no/such/program"), "{error}");
    assert!(place.lab.engine.containers(&spec.id).is_empty());
    // It can be begun anew at once.
    spec.command = words(&["sh", "-c", IDLE]);
    place.start(&spec).unwrap();
    place.until_ready(&spec.id);
    // One that is no image's affair.
    let mut host = sh("b", IDLE);
    host.source = Source::Host;
    let error = place.start(&host).unwrap_err();
    assert_eq!(error.code(), Code::BadRequest, "{error}");
}

#[test]
fn its_container_is_marked_and_a_strangers_is_not_touched() {
    let Some(place) = place() else { return };
    let spec = place.sh("a", IDLE);
    place.start(&spec).unwrap();
    let engine = &place.lab.engine;
    let name = engine.name_of(&engine.containers(&spec.id)[0]);
    let label = |what: &str| engine.label(&name, what);
    assert_eq!(label("backout.instance"), "a");
    assert_eq!(label("backout.fence"), FENCE.0.to_string());
    assert_eq!(label("backout.spec").len(), 64);
    place.stop(&spec.id);
    assert!(engine.containers(&spec.id).is_empty());
    engine.docker(&["create", "--name", &name, IMAGE, "sh"]);
    for error in [
        place.start(&spec).unwrap_err(),
        place.driver.remove(FENCE, &spec.id).unwrap_err(),
    ] {
        assert_eq!(error.code(), Code::InstanceState, "{error}");
        assert!(error.to_string().contains(&name), "{error}");
    }
    engine.docker(&["rm", &name]);
    place.driver.remove(FENCE, &spec.id).unwrap();
}

#[test]
fn processor_time_is_shared_out() {
    let Some(place) = place() else { return };
    let mut spec = place.sh("busy", "trap 'exit 0' TERM; while :; do :; done");
    spec.limits.cpu_millis = Some(100);
    place.start(&spec).unwrap();
    let container = place.lab.engine.containers(&spec.id).pop().unwrap();
    // It was held back in many periods, which only a limit does.
    let groups = [
        format!("/sys/fs/cgroup/cpu/docker/{container}/cpu.stat"),
        format!("/sys/fs/cgroup/docker/{container}/cpu.stat"),
        format!("/sys/fs/cgroup/system.slice/docker-{container}.scope/cpu.stat"),
    ];
    eventually("it is held back", || {
        let text = groups
            .iter()
            .find_map(|f| std::fs::read_to_string(f).ok())?;
        let held = text.lines().find_map(|l| l.strip_prefix("nr_throttled "))?;
        (held.trim().parse::<u64>().ok()? > 3).then_some(())
    });
}

#[test]
fn what_outlived_its_keeper_is_ended() {
    let Some(place) = place() else { return };
    // It does not hear: only force ends it.
    let mut spec = place.sh("a", "echo run; while :; do sleep 1; done");
    spec.restart = Restart {
        when: When::Failed,
        wait_ms: 1,
        wait_max_ms: 10,
    };
    place.start(&spec).unwrap();
    let first = place.until_ready(&spec.id).pid.unwrap();
    let state = std::fs::read(place.run(&spec.id).join("state.json")).unwrap();
    let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
    let keeper = state["child"]["pid"].as_u64().unwrap();
    kill("-9", u32::try_from(keeper).unwrap());
    let status = place.until(&spec.id, "again", |s| {
        s.restarts == 1 && s.phase == Phase::Ready
    });
    assert!(gone(first) && status.pid != Some(first));
    assert_eq!(place.lab.engine.containers(&spec.id).len(), 1);

    // With its shim as well: it goes on, and is not kept.
    let second = status.pid.unwrap();
    kill("-9", place.shim_pid(&spec.id));
    place.until(&spec.id, "lost", |s| s.phase == Phase::Lost);
    assert!(!gone(second));
    assert!(place.driver.start(FENCE, &spec).unwrap().fresh);
    let third = place.until_ready(&spec.id).pid.unwrap();
    assert!(gone(second) && third != second);
    assert_eq!(place.lab.engine.containers(&spec.id).len(), 1);
    kill("-9", place.shim_pid(&spec.id));
    place.until(&spec.id, "lost", |s| s.phase == Phase::Lost);
    place.driver.stop(FENCE, &spec.id, Duration::ZERO).unwrap();
    assert!(gone(third));
    assert!(place.lab.engine.containers(&spec.id).is_empty());

    // One that is not started again does not go on either.
    spec.restart.when = When::Never;
    spec.liveness = Some(probe(Ask::Exec {
        argv: words(&["sh", "-c", "! [ -e /small/ill ]"]),
    }));
    spec.grace_ms = 50;
    place.start(&spec).unwrap();
    let fourth = place.until_ready(&spec.id).pid.unwrap();
    place.touch(&spec.id, "ill");
    let status = place.until(&spec.id, "ended", |s| {
        matches!(s.phase, Phase::Ended { .. })
    });
    assert!(gone(fourth));
    assert!(kinds(&status).contains(&EventKind::Killed), "{status:?}");
}

#[test]
fn one_that_was_removed_by_hand_is_lost_and_begun_anew() {
    let Some(place) = place() else { return };
    let mut spec = place.sh("a", IDLE);
    spec.restart.when = When::Always;
    place.start(&spec).unwrap();
    place.until_ready(&spec.id);
    let container = place.lab.engine.containers(&spec.id).pop().unwrap();
    place.lab.engine.docker(&["rm", "-f", &container]);
    place.until(&spec.id, "lost", |s| s.phase == Phase::Lost);
    assert!(place.driver.start(FENCE, &spec).unwrap().fresh);
    place.until_ready(&spec.id);
}

#[test]
fn a_starter_that_is_killed_at_any_instant_leaves_one_container_or_none() {
    let Some(place) = place() else { return };
    for round in 0..8_u64 {
        let mut spec = place.sh(&format!("i-{round}"), IDLE);
        spec.port = PortWish::Free;
        let mut starter = place.starter(&spec);
        // Somewhere in it; where, differs from host to host.
        std::thread::sleep(Duration::from_millis(round * 60));
        starter.kill().unwrap();
        starter.wait().unwrap();
        // Whatever it left is taken up, or begun anew.
        let address = place.start(&spec).unwrap();
        let status = place.until_ready(&spec.id);
        assert_eq!(status.address, address, "{round}");
        let pid = status.pid.unwrap();
        assert!(!gone(pid));
        assert_eq!(place.lab.engine.containers(&spec.id).len(), 1, "{round}");
        place.stop(&spec.id);
        assert!(gone(pid));
        assert!(place.lab.engine.containers(&spec.id).is_empty(), "{round}");
        place.driver.remove(FENCE, &spec.id).unwrap();
    }
}

#[test]
fn it_goes_on_while_the_engine_is_away() {
    let Some(mut place) = place() else { return };
    let script = "trap 'echo bye; exit 0' TERM; n=0; \
                  while :; do n=$((n+1)); echo $n; sleep 0.02; done";
    let spec = place.sh("a", script);
    place.start(&spec).unwrap();
    let before = place.until_ready(&spec.id);
    place.until_logged(&spec.id, "\n20\n");
    place.lab.engine.kill();
    let status = place.status(&spec.id);
    assert_eq!((status.phase, status.pid), (Phase::Ready, before.pid));
    assert!(status.memory_bytes.is_some());
    assert!(!place.driver.start(FENCE, &spec).unwrap().fresh);
    let other = place.sh("b", IDLE);
    let errors = [
        place.start(&other).unwrap_err(),
        place.driver.fetch(&other.source).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.code(), Code::EngineUnreachable, "{error}");
        assert!(error.is_passing());
    }
    let engine = &place.driver.doctor()[0];
    assert!(!engine.fine, "{engine:?}");
    assert!(place.driver.limits_missing().is_some());

    place.lab.engine.again();
    // Its output goes on, as does itself.
    let end = place
        .driver
        .logs(&spec.id, LogFrom::LastLines(1))
        .unwrap()
        .end;
    let from = LogFrom::After(end.unwrap());
    let more = place.driver.follow(&spec.id, from, PATIENCE).unwrap();
    assert!(!more.bytes.is_empty());
    assert_eq!(place.status(&spec.id).pid, before.pid);
    place.stop(&spec.id);
    let said = place.log(&spec.id);
    assert!(said.ends_with("bye\n"), "{said}");
    // What was written meanwhile is there, once.
    let numbers: Vec<u32> = said.lines().filter_map(|l| l.parse().ok()).collect();
    assert!(numbers.windows(2).all(|w| w[0] < w[1]), "{said}");

    // An end without the engine is not made up.
    place.start(&spec).unwrap();
    let pid = place.until_ready(&spec.id).pid.unwrap();
    place.lab.engine.kill();
    let error = place
        .driver
        .stop(FENCE, &spec.id, Duration::from_millis(20))
        .unwrap_err();
    assert_eq!(error.code(), Code::EngineUnreachable, "{error}");
    assert!(!gone(pid));
    place.lab.engine.again();
    place.stop(&spec.id);
    assert!(gone(pid));
}

#[test]
fn every_function_may_be_repeated_when_an_answer_was_spoiled() {
    let Some(place) = spoiled() else { return };
    let engine = &place.lab.engine;
    let mut hit = 0;
    for fault in [Fault::Says500, Fault::SaysNothing] {
        // Until none of its requests is left to spoil.
        for nth in 1.. {
            let mut spec = place.sh(&format!("i-{nth}"), IDLE);
            spec.port = PortWish::Free;
            spec.restart = Restart {
                when: When::Always,
                wait_ms: 1,
                wait_max_ms: 1,
            };
            spec.limits.tasks = Some(50);
            engine.fault(fault, nth);
            let started = place.driver.start(FENCE, &spec);
            let mut spoiled = engine.no_fault();
            if let Err(e) = &started {
                let codes = [
                    Code::EngineFailed,
                    Code::EngineUnreachable,
                    Code::ProcessStart,
                ];
                assert!(codes.contains(&e.code()), "{nth} {fault:?}: {e}");
            }
            place.start(&spec).unwrap();
            let pid = place.until_ready(&spec.id).pid.unwrap();
            assert_eq!(engine.containers(&spec.id).len(), 1, "{nth} {fault:?}");

            engine.fault(fault, nth);
            let _ = place.driver.stop(FENCE, &spec.id, PATIENCE);
            spoiled |= engine.no_fault();
            place.stop(&spec.id);
            assert!(gone(pid), "{nth} {fault:?}");
            assert!(engine.containers(&spec.id).is_empty());
            engine.fault(fault, nth);
            let _ = place.driver.remove(FENCE, &spec.id);
            spoiled |= engine.no_fault();
            place.driver.remove(FENCE, &spec.id).unwrap();
            assert_eq!(place.driver.status(&spec.id).unwrap(), None);
            if !spoiled {
                break;
            }
            hit += 1;
        }
    }
    assert!(hit > 20, "{hit}");
}

#[test]
fn a_program_in_a_container_that_takes_too_long_is_killed() {
    let Some(place) = place() else { return };
    let mut spec = place.sh("a", IDLE);
    let mut hangs = probe(Ask::Exec {
        argv: words(&["sh", "-c", "echo asked >>/small/asked; exec sleep 4711"]),
    });
    hangs.timeout_ms = 100;
    hangs.period_ms = 100;
    spec.readiness = Some(hangs);
    place.start(&spec).unwrap();
    let status = place.until(&spec.id, "it says why not", |s| s.why.is_some());
    assert_eq!(status.phase, Phase::Starting);
    let container = place.lab.engine.containers(&spec.id).pop().unwrap();
    let hanging = || {
        let all = place
            .lab
            .engine
            .docker(&["top", &container, "-eo", "pid,args"]);
        all.lines().filter(|line| line.contains("4711")).count()
    };
    // Asked often, and what was asked before is gone but for the last.
    eventually("ten were asked", || {
        let asked = ["exec", &container, "cat", "/small/asked"];
        let asked = place.lab.engine.docker(&asked).lines().count();
        (asked >= 10).then_some(())
    });
    assert!(hanging() <= 3);
    place.stop(&spec.id);
    assert_eq!(
        place.status(&spec.id).phase,
        Phase::Ended {
            exit: Some(Exit::Code { code: 0 })
        }
    );
}

#[test]
fn the_doctor_says_which_engine_there_is() {
    let Some(place) = place() else { return };
    let findings = place.driver.doctor();
    let what: Vec<_> = findings.iter().map(|f| f.what).collect();
    let wanted = [
        "container engine",
        "limits of containers",
        "secrets of containers",
    ];
    assert_eq!(what, wanted);
    assert!(findings[0].fine && findings[0].text.contains("version"));
    assert_eq!(findings[1].fine, place.driver.limits_missing().is_none());
}
