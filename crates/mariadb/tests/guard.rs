//! The lock on an instance.

#![cfg(feature = "testing")]
#![expect(clippy::unwrap_used, reason = "helpers of the tests unwrap")]

mod support;

use backout_core::code::Code;
use backout_mariadb::guard::hold;
use backout_mariadb::testing::{PATIENCE, PrivateServer};
use backout_mariadb::{Endpoint, Session};
use support::endpoint;

fn held(endpoint: &Endpoint, id: &str, fence: u64) -> backout_mariadb::Result<Session> {
    let mut session = Session::open(endpoint)?;
    hold(&mut session, id, fence)?;
    Ok(session)
}

#[test]
fn the_greater_fence_wins_and_the_lesser_is_cut_off() {
    let server = PrivateServer::start(&[]);
    let endpoint = endpoint(&server);
    let mut old = held(&endpoint, "cdb-1", 6).unwrap();
    let mut other = held(&endpoint, "cdb-2", 6).unwrap();
    for fence in [5, 1] {
        let error = held(&endpoint, "cdb-1", fence).unwrap_err();
        assert_eq!(error.code(), Code::DatabaseState, "{error}");
    }
    old.ping().unwrap();
    // The same worker, which has lost its connection.
    let mut again = held(&endpoint, "cdb-1", 6).unwrap();
    assert!(old.ping().is_err());
    let mut new = held(&endpoint, "cdb-1", 1 << 40 | 7).unwrap();
    assert!(again.ping().is_err());
    new.ping().unwrap();
    other.ping().unwrap();
    drop(new);
    // The server notices that the connection is gone in its own time; the
    // lesser fence is let in once it has.
    let mut tries = 0;
    loop {
        match held(&endpoint, "cdb-1", 1) {
            Ok(mut session) => break session.ping().unwrap(),
            Err(_) if tries < 1000 => tries += 1,
            Err(e) => std::panic::panic_any(e.to_string()),
        }
    }
}

#[test]
fn a_statement_that_a_dead_worker_left_waiting_has_no_effect_later() {
    let server = PrivateServer::start(&[]);
    let endpoint = endpoint(&server);
    server.script("CREATE DATABASE a; CREATE TABLE a.hidden (id INT PRIMARY KEY);");
    // Somebody reads the table, so that a new name waits.
    let mut reader = Session::open(&endpoint).unwrap();
    reader.exec("test", "BEGIN").unwrap();
    reader.exec("test", "SELECT * FROM a.hidden").unwrap();
    let mut dead = held(&endpoint, "cdb-1", 1).unwrap();
    let number = dead.id();
    let waiting = std::thread::spawn(move || {
        dead.exec("test", "RENAME TABLE a.hidden TO a.shown")
            .unwrap_err()
    });
    let begun = std::time::Instant::now();
    loop {
        let waits = server.value(&format!(
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = {number} AND \
             STATE LIKE 'Waiting for table metadata lock%'"
        ));
        if waits == "1" {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "it does not wait");
    }
    let _new = held(&endpoint, "cdb-1", 2).unwrap();
    waiting.join().unwrap();
    reader.exec("test", "COMMIT").unwrap();
    let names =
        "SELECT GROUP_CONCAT(TABLE_NAME) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'a'";
    assert_eq!(server.value(names), "hidden");
}
