//! Work makes way for those who have statements running, on a real server.

#![cfg(feature = "testing")]
#![expect(clippy::unwrap_used, reason = "helpers of the tests unwrap")]

use std::cell::Cell;
use std::time::Duration;

use backout_mariadb::others::Others;
use backout_mariadb::testing::PrivateServer;
use backout_mariadb::{Endpoint, Session};

/// Runs a statement in a session of its own while `look` looks, which is asked
/// until it says that it has seen what it waits for.
fn meanwhile(endpoint: &Endpoint, statement: &'static str, look: impl Fn() -> bool) {
    let mut other = Session::open(endpoint).unwrap();
    let mut session = Session::open(endpoint).unwrap();
    let id = other.id();
    let running = std::thread::spawn(move || other.exec("run", statement));
    let seen = format!(
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST \
         WHERE ID = {id} AND COMMAND = 'Query'"
    );
    while session.first("look", seen.clone()).unwrap() != Some(1_u64) {
        std::thread::yield_now();
    }
    while !look() {
        std::thread::yield_now();
    }
    session.exec("end it", format!("KILL QUERY {id}")).unwrap();
    // That it was ended is not an error of ours.
    let _ = running.join().unwrap();
}

#[test]
fn they_are_at_work_while_their_statements_do_something() {
    let server = PrivateServer::start(&[]);
    let endpoint = Endpoint::parse(&server.socket_url()).unwrap();
    assert!(!Others::of(endpoint.clone()).are_at_work());
    let others = Others::of(endpoint.clone());
    meanwhile(&endpoint, "DO BENCHMARK(1000000000000, 1)", || {
        others.are_at_work()
    });
    meanwhile(&endpoint, "DO SLEEP(3600)", || {
        !Others::of(endpoint.clone()).are_at_work()
    });
    drop(server);
    assert!(
        !Others::of(endpoint).are_at_work(),
        "nobody is, of a server that is gone"
    );
}

#[test]
fn who_is_not_wanted_any_longer_does_not_rest() {
    let server = PrivateServer::start(&[]);
    let endpoint = Endpoint::parse(&server.socket_url()).unwrap();
    let others = Others::of(endpoint.clone());
    meanwhile(&endpoint, "DO BENCHMARK(1000000000000, 1)", || {
        let asked = Cell::new(0);
        std::thread::sleep(Duration::from_millis(60));
        others.make_way(&|| {
            asked.set(asked.get() + 1);
            asked.get() == 2
        });
        // The first time it learns when it began.
        asked.get() == 2
    });
}
