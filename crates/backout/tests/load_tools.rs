//! What the tests of applications see with: that the load loses nothing of what
//! fails, and that the watcher counts what is there.
#![cfg(feature = "testing")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;
mod load;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use backout_core::fence::Fence;
use backout_gateway::{Backend, Client, Host, Settings};
use backout_shim::Shim;
use load::{Load, PATIENCE, Watcher, until};

fn free() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

/// An instance that is no product's.
struct Sample {
    child: Child,
    address: SocketAddr,
}

impl Sample {
    fn start(registry: &Path, name: &str) -> Self {
        let address = free();
        let child = Command::new(env!("CARGO_BIN_EXE_sample-app"))
            .env_clear()
            .env("PORT", address.port().to_string())
            .env("NAME", name)
            .env("REGISTRY", registry)
            .env("CRASH_SERVE", registry.with_file_name("crash"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        until("it listens", || TcpStream::connect(address).ok());
        Self { child, address }
    }

    fn backend(&self) -> Backend {
        Backend::ready(self.address.to_string(), self.address)
    }
}

impl Drop for Sample {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A gateway of one's own.
struct Gate {
    runtime: tokio::runtime::Runtime,
    client: Client,
    address: SocketAddr,
}

impl Gate {
    fn start(dir: &Path) -> Self {
        let client = Client::new(dir).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let host = Host {
            shim: Shim {
                program: common::BIN.into(),
                args: vec!["shim".into()],
            },
            ..Host::own(&[], &["gateway", "--dir"])
        };
        runtime
            .block_on(client.ensure_running(&host, &Settings::default()))
            .unwrap();
        let address = free();
        let listen = client.edit(Fence(1), |desired| desired.listen = vec![address]);
        runtime.block_on(listen).unwrap();
        Self {
            runtime,
            client,
            address,
        }
    }

    fn edit(&self, change: impl Fn(&mut Vec<Backend>)) {
        let edit = self.client.edit(Fence(1), |d| change(&mut d.backends));
        self.runtime.block_on(edit).unwrap();
    }

    fn drained(&self, id: &str) {
        let ids = [id.to_owned()];
        let wait = self.client.wait_drained(&ids, PATIENCE);
        assert!(self.runtime.block_on(wait).unwrap().all());
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.runtime.block_on(self.client.stop(Duration::ZERO));
    }
}

#[test]
fn who_is_replaced_in_order_is_missed_by_nobody() {
    let place = tempfile::tempdir().unwrap();
    let registry = place.path().join("registry");
    std::fs::create_dir(&registry).unwrap();
    let gate = Gate::start(&place.path().join("gate"));
    let mut running: Vec<Sample> = (0..3).map(|_| Sample::start(&registry, "one")).collect();
    let first: Vec<Backend> = running.iter().map(Sample::backend).collect();
    gate.edit(|backends| backends.clone_from(&first));
    let watcher = Watcher::start(&registry, 3, 3);
    watcher.wait();
    let load = Load::start(gate.address, 300, true, &["one", "two"]);
    for _ in 0..3 {
        let new = Sample::start(&registry, "two");
        gate.edit(|backends| backends.push(new.backend()));
        running.push(new);
        load.wait_for(100);
        let old = running.remove(0);
        let id = old.backend().id;
        gate.edit(|backends| {
            let old = backends.iter_mut().find(|b| b.id == id).unwrap();
            *old = old.clone().draining();
        });
        gate.drained(&id);
        watcher.wait();
        drop(old);
        gate.edit(|backends| backends.retain(|b| b.id != id));
    }
    load.wait_for(100);
    let report = load.stop();
    assert_eq!(report.failed, 0, "{report:?}");
    assert_eq!(report.answered.values().sum::<u64>(), report.sent);
    assert_eq!(report.answered.keys().collect::<Vec<_>>(), ["one", "two"]);
    watcher.wait();
    let watched = watcher.stop();
    assert_eq!((watched.below, watched.crashed), (0, 0), "{watched:?}");
    assert_eq!((watched.least, watched.most), (3, 4), "{watched:?}");
    assert_eq!(watched.last, [("two".to_owned(), 3)].into());
}

#[test]
fn what_is_lost_is_told() {
    let place = tempfile::tempdir().unwrap();
    let registry = place.path().join("registry");
    std::fs::create_dir(&registry).unwrap();
    let gate = Gate::start(&place.path().join("gate"));
    let mut running: Vec<Sample> = (0..3).map(|_| Sample::start(&registry, "one")).collect();
    let all: Vec<Backend> = running.iter().map(Sample::backend).collect();
    gate.edit(|backends| backends.clone_from(&all));

    // One crashes: that is excused, and may be made good.
    let watcher = Watcher::start(&registry, 3, 3);
    watcher.wait();
    let load = Load::start(gate.address, 300, false, &["one"]);
    let token = place.path().join("crash");
    std::fs::write(&token, "").unwrap();
    until("one crashes", || (!token.exists()).then_some(()));
    watcher.wait();
    running.push(Sample::start(&registry, "one"));
    watcher.wait();
    load.wait_for(100);
    // What may be repeated went to others.
    let report = load.stop();
    assert_eq!(report.failed, 0, "{report:?}");
    // Another that goes is not excused.
    drop(running.pop());
    watcher.wait();
    let watched = watcher.stop();
    assert_eq!(watched.crashed, 1, "{watched:?}");
    assert!(watched.below > 0, "{watched:?}");
    assert_eq!(watched.least, 2, "{watched:?}");

    // What is not answered, or not so, is not passed over.
    let load = Load::start(gate.address, 300, true, &["two"]);
    until("requests are answered", || {
        (load.failed() > 10).then_some(())
    });
    gate.edit(Vec::clear);
    let before = gate_requests(&gate);
    until("requests are sent", || {
        (gate_requests(&gate) > before + 50).then_some(())
    });
    let report = load.stop();
    assert_eq!((report.failed, report.answered.len()), (report.sent, 0));
    let has = |what: &str| report.failures.iter().any(|(_, _, why)| why.contains(what));
    assert!(has("answered 200 \"one\""), "{report:?}");
    let load = Load::start(free(), 300, true, &["one"]);
    until("requests are sent", || (load.failed() > 10).then_some(()));
    let report = load.stop();
    assert_eq!(report.failed, report.sent);
    assert!(report.failures[0].2.contains("not connected"), "{report:?}");
}

fn gate_requests(gate: &Gate) -> u64 {
    let status = gate.runtime.block_on(gate.client.status()).unwrap();
    status.totals.requests
}
