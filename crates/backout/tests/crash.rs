//! The promise, kept by the real binary: `kill -9` in the middle of a rollback,
//! and processes that share one PostgreSQL.
#![expect(clippy::panic, reason = "a test that cannot go on fails")]

mod common;

use std::time::Duration;

use backout_store::testing::PrivatePostgres;
use common::{Running, sha256_line};
use serde_json::Value;

/// Large enough that a copy takes long enough to be hit.
const DISK_MIB: usize = 48;

/// How many times a server is killed, each time a little later.
const KILLS: u64 = 8;

fn ended(server: &Running, job: &str) -> Value {
    for _ in 0..1200 {
        let seen = server.ok(&["jobs", "show", job]);
        if seen["outcome"].is_string() {
            return seen;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("job {job} does not end\n{}", server.log());
}

#[test]
fn a_killed_server_finishes_what_it_began() {
    let mut server = Running::with_server("web", DISK_MIB);
    let disk = server.disk("web");
    let first = sha256_line(&disk);
    server.ok(&["snapshots", "create", "web", "--name", "first"]);
    server.make_other("web", DISK_MIB);
    let second = sha256_line(&disk);
    assert_ne!(first, second);
    server.ok(&["snapshots", "create", "web", "--name", "second"]);

    let mut now = "second";
    for kill in 0..KILLS {
        let (to, expect) = if now == "first" {
            ("second", &second)
        } else {
            ("first", &first)
        };
        let job = server.ok(&["rollback", "web", "--to", to, "--yes", "--no-wait"]);
        let job = job["job"].as_str().unwrap().to_owned();
        std::thread::sleep(Duration::from_millis(kill * 12));
        server.signal("KILL");
        server.wait();
        // One of the two, whole, whatever was under way.
        let found = sha256_line(&disk);
        assert!(
            found == first || found == second,
            "kill {kill}: the disk is neither"
        );
        server.restart();
        let seen = ended(&server, &job);
        assert_eq!(seen["outcome"], "applied", "kill {kill}: {seen}");
        assert_eq!(&sha256_line(&disk), expect, "kill {kill}");
        now = to;
    }
    // Each rollback left its safety point, and nothing else is there.
    let list = server.ok(&["snapshots", "list", "web"]);
    let list = list.as_array().unwrap();
    assert_eq!(list.len() as u64, 2 + KILLS);
    let folder = disk.with_extension("img.backout");
    let files = std::fs::read_dir(folder).unwrap().count() as u64;
    assert_eq!(files, 2 + KILLS + 1, "the points and the lock");
}

#[test]
fn processes_share_one_postgresql() {
    let postgres = PrivatePostgres::start();
    let url = postgres.database("shared");
    let key = "5".repeat(64);
    let settings = ["--store", url.as_str(), "--node", "here"];
    let mut one = Running::start_with(&settings, &[("BACKOUT_MASTER_KEY", &key)]);
    // The second one finds the accounts of the first: it is told the key pair.
    let two = Running::start_as(&settings, &[("BACKOUT_MASTER_KEY", &key)], &one);

    one.make_disk("web", DISK_MIB);
    let disk = one.disk("web");
    one.ok(&["servers", "add", "web", "--disk", disk.to_str().unwrap()]);
    let first = sha256_line(&disk);
    two.ok(&["snapshots", "create", "web", "--name", "first"]);
    one.make_other("web", DISK_MIB);

    // Asked of the one, which is killed at once: the other brings it to its end.
    let job = one.ok(&["rollback", "web", "--to", "first", "--yes", "--no-wait"]);
    let job = job["job"].as_str().unwrap().to_owned();
    one.signal("KILL");
    one.wait();
    let seen = ended(&two, &job);
    assert_eq!(seen["outcome"], "applied", "{seen}");
    assert_eq!(sha256_line(&disk), first);

    // A master key that does not fit is told, not guessed.
    let wrong = "6".repeat(64);
    let said = Running::refused(&settings, &[("BACKOUT_MASTER_KEY", &wrong)]);
    assert!(said.contains("master key"), "{said}");
}
