//! A gateway that carries connections, whatever is spoken over them.
#![cfg(feature = "testing")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use backout_gateway::{Backend, Carries, Failure, Settings};
use support::{Gate, PATIENCE, free_port, local, until};

/// Greets with its name, and says everything twice. No HTTP.
struct Echo(SocketAddr);

impl Echo {
    fn named(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    let _ = stream.write_all(name.as_bytes());
                    let mut buf = [0; 64];
                    while let Ok(n @ 1..) = stream.read(&mut buf) {
                        let said = [&buf[..n], &buf[..n]].concat();
                        if stream.write_all(&said).is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Self(address)
    }

    fn entry(&self, id: &str) -> Backend {
        Backend::ready(id, self.0)
    }
}

fn gate() -> Gate {
    Gate::with(Settings {
        carries: Carries::Connections,
        ..Settings::default()
    })
}

fn connect(gate: &Gate) -> TcpStream {
    let stream = TcpStream::connect(gate.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn hear(stream: &mut TcpStream, count: usize) -> String {
    let mut buf = vec![0; count];
    stream.read_exact(&mut buf).unwrap();
    String::from_utf8(buf).unwrap()
}

/// That it is over: the end, or a reset where something was on its way.
fn is_over(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 8]) {
        Ok(0) => true,
        Err(e) => e.kind() == ErrorKind::ConnectionReset,
        Ok(_) => false,
    }
}

#[test]
fn bytes_go_both_ways_whatever_they_are() {
    let gate = gate();
    let echo = Echo::named("a");
    gate.set(vec![echo.entry("a")]);
    let mut client = connect(&gate);
    assert_eq!(hear(&mut client, 1), "a");
    client.write_all(b"\x00\xff").unwrap();
    let mut said = [0; 4];
    client.read_exact(&mut said).unwrap();
    assert_eq!(said, [0, 255, 0, 255]);
    assert_eq!(gate.status().backend("a").unwrap().outstanding, 1);
    drop(client);
    until("it is counted as done", || {
        let status = gate.status();
        (status.backend("a").unwrap().is_drained() && status.totals.answered == 1).then_some(())
    });
}

#[test]
fn what_is_open_goes_on_while_it_drains_and_is_closed_when_that_is_over() {
    let gate = gate();
    let (old, new) = (Echo::named("o"), Echo::named("n"));
    gate.set(vec![old.entry("old")]);
    let mut open = connect(&gate);
    assert_eq!(hear(&mut open, 1), "o");
    gate.set(vec![old.entry("old").draining(), new.entry("new")]);
    // New ones go to the new one, each of them.
    for _ in 0..5 {
        assert_eq!(hear(&mut connect(&gate), 1), "n");
    }
    open.write_all(b"x").unwrap();
    assert_eq!(hear(&mut open, 2), "xx");
    let left = gate.wait_drained(&["old"], Duration::from_millis(50));
    assert_eq!(left.left.len(), 1, "it is not drained while one is open");
    gate.set(vec![new.entry("new")]);
    assert!(is_over(&mut open));
    until("it is told as cut", || {
        (gate.status().totals.failures[&Failure::Cut] == 1).then_some(())
    });
    assert!(gate.wait_drained(&["old"], PATIENCE).all());
}

#[test]
fn without_a_backend_a_connection_is_closed() {
    let gate = gate();
    gate.set(vec![]);
    assert!(is_over(&mut connect(&gate)));
    // One that nobody listens for.
    gate.set(vec![Backend::ready("gone", local(free_port()))]);
    assert!(is_over(&mut connect(&gate)));
    let totals = gate.status().totals;
    assert_eq!(totals.failures[&Failure::NoBackend], 1);
    assert_eq!(totals.failures[&Failure::Connect], 1);
}

#[test]
fn another_backend_takes_what_one_cannot() {
    let gate = gate();
    let echo = Echo::named("a");
    gate.set(vec![
        Backend::ready("gone", local(free_port())),
        echo.entry("a"),
    ]);
    for _ in 0..8 {
        assert_eq!(hear(&mut connect(&gate), 1), "a");
    }
}

#[test]
fn a_connection_on_which_nothing_moves_is_closed() {
    let gate = Gate::with(Settings {
        carries: Carries::Connections,
        tunnel_idle_ms: 200,
        ..Settings::default()
    });
    let echo = Echo::named("a");
    gate.set(vec![echo.entry("a")]);
    let mut client = connect(&gate);
    assert_eq!(hear(&mut client, 1), "a");
    assert!(is_over(&mut client));
    assert_eq!(gate.status().totals.failures[&Failure::Idle], 1);
}
