//! The process: it outlives whoever started it, is started again, told over its
//! socket, and ends.
#![cfg(feature = "testing")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use backout_gateway::{Backend, Error, Settings};
use backout_shim::State;
use serde_json::{Value, json};
use support::{Auto, Gate, Manual, PATIENCE, Wire, kill, until};

#[test]
fn a_gateway_that_is_killed_is_there_again_and_goes_on() {
    let gate = Gate::new();
    let backend = Auto::named("a");
    let mut desired = gate.desired(vec![Backend::ready("a", backend.address)]);
    desired.generation = 42;
    let first = gate.apply(&desired).unwrap();
    assert_eq!(first.pid, gate.pid());
    kill(first.pid);
    let second = until("it is there again", || {
        gate.ask_status().ok().filter(|s| s.pid != first.pid)
    });
    // Nobody told it anything.
    assert_eq!((second.generation, second.fence), (42, desired.fence));
    assert_eq!(second.listen, first.listen);
    assert_eq!(gate.told(), desired);
    assert_eq!(gate.get("/"), (200, "a".to_owned()));
    // What is older is still refused.
    desired.generation = 41;
    assert!(matches!(gate.apply(&desired), Err(Error::Stale { .. })));
}

/// Field `n` of `/proc/PID/stat`, counted from 1 as in its manual.
fn stat(pid: u32, n: usize) -> u32 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let rest = text.rsplit_once(") ").unwrap().1;
    rest.split(' ').nth(n - 3).unwrap().parse().unwrap()
}

#[test]
fn a_gateway_is_nobodys_child() {
    let gate = Gate::new();
    let (pid, own) = (gate.pid(), std::process::id());
    // A signal to the group, the session or the terminal of whoever started it
    // is none to it.
    assert_ne!(stat(pid, 6), stat(own, 6));
    assert_ne!(stat(pid, 5), stat(own, 5));
    let shim = stat(pid, 4);
    assert_ne!(stat(shim, 4), own);
    // Nor does it hold anything open of theirs.
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    for entry in open.flatten() {
        let target = std::fs::read_link(entry.path()).unwrap_or_default();
        let name = target.to_string_lossy().into_owned();
        let known = ["socket:", "pipe:", "anon_inode:", "/dev/null"];
        let its_own = target.starts_with(gate.client.dir());
        assert!(
            its_own || known.iter().any(|k| name.starts_with(k)),
            "{name}"
        );
    }
}

#[test]
fn a_gateway_without_its_shim_ends_and_is_started_anew() {
    let gate = Gate::new();
    let backend = Auto::named("a");
    gate.set(vec![Backend::ready("a", backend.address)]);
    let pid = gate.pid();
    kill(stat(pid, 4));
    until("both have ended", || {
        matches!(gate.client.look().unwrap(), State::Off { .. }).then_some(())
    });
    assert!(matches!(gate.ask_status(), Err(Error::Unreachable { .. })));
    let status = gate.start().unwrap();
    assert_ne!(status.pid, pid);
    assert_eq!(gate.get("/"), (200, "a".to_owned()));
}

#[test]
fn a_second_start_finds_the_first_and_other_settings_are_refused() {
    let gate = Gate::new();
    let pid = gate.pid();
    assert_eq!(gate.start().unwrap().pid, pid);
    let other = Settings {
        threads: 1,
        ..Settings::default()
    };
    assert!(matches!(
        gate.start_with(&other),
        Err(Error::OtherSettings { .. })
    ));
    assert_eq!(gate.pid(), pid);
    let bad = Settings {
        tries_max: 0,
        ..Settings::default()
    };
    let error = gate.start_with(&bad).unwrap_err();
    assert!(error.to_string().contains("tries_max is 0"), "{error}");
    // Stopped, it takes them.
    gate.stop(PATIENCE);
    assert_eq!(
        gate.start_with(&other).unwrap().settings,
        Settings { ..other }
    );
    // And one that is run by hand in its folder keeps out.
    let out = Command::new(env!("CARGO_BIN_EXE_backout-gateway"))
        .arg("gateway")
        .arg(gate.client.dir())
        .output()
        .unwrap();
    assert!(!out.status.success());
    let said = String::from_utf8(out.stdout).unwrap();
    assert!(said.contains("another one runs there"), "{said}");
}

#[test]
fn what_is_under_way_is_answered_before_it_ends() {
    let gate = Gate::new();
    let backend = Manual::new();
    gate.set(vec![Backend::ready("a", backend.address)]);
    let mut idle = gate.connect();
    let mut client = gate.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut server = backend.accept();
    assert!(server.head().is_some());
    std::thread::scope(|scope| {
        let (stopper, address) = (gate.client.clone(), gate.address);
        let stopped = scope.spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(stopper.stop(PATIENCE))
        });
        // What has no request is closed, and nobody new gets in.
        assert_eq!(idle.rest(), b"");
        until("nobody listens", || {
            std::net::TcpStream::connect(address).is_err().then_some(())
        });
        server.reply("last");
        assert_eq!(client.message().unwrap().text(), "last");
        assert_eq!(client.rest(), b"");
        stopped.join().unwrap().unwrap();
    });
    assert!(matches!(gate.client.look().unwrap(), State::Off { .. }));
    // Again is fine; and one that is stopped for good stays so.
    gate.stop(PATIENCE);
    assert!(matches!(gate.client.look().unwrap(), State::Off { .. }));
}

#[test]
fn patience_has_an_end() {
    let gate = Gate::new();
    let backend = Manual::new();
    gate.set(vec![Backend::ready("a", backend.address)]);
    let mut client = gate.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut server = backend.accept();
    assert!(server.head().is_some());
    gate.stop(Duration::from_millis(50));
    assert!(matches!(gate.client.look().unwrap(), State::Off { .. }));
    assert_eq!(client.rest(), b"");
}

/// Asks with just these words.
fn asked(gate: &Gate, words: &[u8]) -> Option<Value> {
    let mut stream = UnixStream::connect(gate.client.dir().join("control.sock")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // It may hang up before it has all.
    let _ = stream.write_all(words);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}

#[test]
fn the_control_socket_answers_what_it_understands() {
    let gate = Gate::new();
    gate.set(vec![]);
    let answer = asked(&gate, b"{\"v\":1,\"op\":\"status\"}\n").unwrap();
    assert_eq!(answer["ok"]["pid"], json!(gate.pid()));
    let refused = |words: &[u8]| {
        let answer = asked(&gate, words).unwrap();
        assert_eq!(answer["error"]["kind"], "bad_request", "{answer}");
        answer["error"]["why"].as_str().unwrap().to_owned()
    };
    assert!(refused(b"{\"v\":2,\"op\":\"status\"}\n").contains("version 1, not 2"));
    assert!(refused(b"GET / HTTP/1.1\r\n\r\n").contains("no question"));
    assert!(refused(b"{\"v\":1,\"op\":\"dance\"}\n").contains("dance"));
    assert!(refused(b"{\"v\":1").contains("a line of at most"));
    // Too much is not read on: it answers, or hangs up with that unread.
    let large = vec![b' '; 3 << 20];
    if let Some(answer) = asked(&gate, &large) {
        assert_eq!(answer["error"]["kind"], "bad_request");
    }
    // Many who ask, and some who only hang on, keep nobody out for good.
    let path = gate.client.dir().join("control.sock");
    let hanging: Vec<UnixStream> = (0..31)
        .map(|_| UnixStream::connect(&path).unwrap())
        .collect();
    assert_eq!(gate.status().pid, gate.pid());
    drop(hanging);
    // It is for its owner alone.
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(gate.client.dir()), 0o700);
    for file in ["control.sock", "desired.json", "settings.json", "lock"] {
        assert_eq!(mode(&gate.client.dir().join(file)), 0o600, "{file}");
    }
}

#[test]
fn a_folder_with_a_long_name_will_do() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("long".repeat(60));
    let gate = Gate::at(&dir);
    let backend = Auto::named("a");
    gate.set(vec![Backend::ready("a", backend.address)]);
    assert_eq!(gate.get("/"), (200, "a".to_owned()));
}

#[test]
fn no_more_clients_than_may_be_are_served_at_once() {
    let settings = Settings {
        connections_max: 3,
        ..Settings::default()
    };
    let gate = Gate::with(settings);
    let backend = Auto::named("a");
    gate.set(vec![Backend::ready("a", backend.address)]);
    let mut three: Vec<Wire> = (0..3).map(|_| gate.connect()).collect();
    for client in &mut three {
        assert_eq!(client.get("/").0, 200);
    }
    let mut waits = gate.connect();
    waits.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for client in &mut three {
        assert_eq!(client.get("/").0, 200);
    }
    assert_eq!(gate.status().totals.accepted, 3);
    three.pop();
    assert_eq!(waits.message().unwrap().status(), 200);
    assert_eq!(gate.status().totals.accepted, 4);
}

#[test]
fn the_access_log_is_off_unless_it_is_wanted() {
    for wanted in [false, true] {
        let settings = Settings {
            access_log: wanted,
            ..Settings::default()
        };
        let gate = Gate::with(settings);
        let backend = Auto::named("a");
        gate.set(vec![Backend::ready("a", backend.address)]);
        assert_eq!(gate.get("/what?x").0, 200);
        gate.stop(PATIENCE);
        let mut log = String::new();
        let path = backout_shim::log_path(&gate.client.dir().join("run"));
        std::fs::File::open(path)
            .unwrap()
            .read_to_string(&mut log)
            .unwrap();
        assert_eq!(log.contains("127.0.0.1 GET /what?x 200"), wanted, "{log}");
    }
}
