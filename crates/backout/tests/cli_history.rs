//! What there is of a database, and what is kept of it, from the command line.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::time::{Duration, Instant};

use backout_mariadb::testing::PrivateServer;
use common::Running;
use serde_json::{Value, json};

/// Longer than history takes to be followed on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

const SHOP: &str = "CREATE DATABASE shop; CREATE DATABASE empty CHARACTER SET latin1; \
    CREATE TABLE shop.items (id INT PRIMARY KEY); CREATE TABLE shop.`it.ems` (id INT); \
    INSERT INTO shop.items VALUES (1), (2), (3); FLUSH BINARY LOGS; \
    INSERT INTO shop.items VALUES (4);";

#[track_caller]
fn refused(server: &Running, args: &[&str], exit: i32, code: &str) -> Value {
    let (answer, got) = server.json(args);
    assert_eq!(got, exit, "{args:?} {answer}");
    assert_eq!(answer["error"]["code"], code, "{args:?} {answer}");
    answer
}

/// The binary logs, once the first `whole` of them are archived.
fn binlogs(server: &Running, whole: usize) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let listed = server.ok(&["databases", "binlogs", "shop"]);
        let files = listed.as_array().unwrap();
        let archived = files.iter().filter(|f| f["archived"] == true).count();
        if archived >= whole {
            return files.clone();
        }
        assert!(began.elapsed() < PATIENCE, "{listed}\n{}", server.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn what_there_is_of_a_database_and_what_is_kept_of_it() {
    let mut mariadb = PrivateServer::start(&[]);
    mariadb.script(SHOP);
    let server = Running::start(&[]);
    server.ok(&["databases", "add", "shop", "--url", &mariadb.url()]);

    // What is on it.
    let on = server.ok(&["databases", "tables", "shop"]);
    let names: Vec<&Value> = on.as_array().unwrap().iter().map(|s| &s["name"]).collect();
    assert_eq!(names, ["empty", "shop"]);
    assert_eq!(on[0]["charset"], "latin1");
    let tables = server.ok(&["databases", "tables", "shop", "shop"]);
    assert_eq!(
        tables,
        json!([{"name": "it.ems", "table": "shop.`it.ems`"}, {"name": "items", "table": "shop.items"}])
    );
    let none = server.ok(&["databases", "tables", "shop", "empty"]);
    assert_eq!(none, json!([]));
    refused(
        &server,
        &["databases", "tables", "shop", "gone"],
        1,
        "BO0006",
    );

    // Its binary logs, newest first, each with its own times.
    let files = binlogs(&server, 1);
    let first = files.iter().find(|f| f["archived"] == true).unwrap();
    assert_eq!(
        (&first["on_server"], &first["incarnation"]),
        (&json!(true), &json!(0))
    );
    assert_eq!(first["archived_bytes"], first["bytes"]);
    assert!(first["transactions"].as_u64().unwrap() > 0, "{first}");
    assert!(first["first"].as_str().unwrap() <= first["last"].as_str().unwrap());
    let out = server.cli(&["databases", "binlogs", "shop", "--limit", "1"]);
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert_eq!(text.lines().count(), 2, "{text}");

    // When it is backed up, and what is kept.
    let shown = server.ok(&[
        "databases",
        "schedule",
        "shop",
        "--between",
        "1-4",
        "--days",
        "1,7",
        "--keep-days",
        "14",
    ]);
    let kept = &shown["backups"];
    assert_eq!(
        (&kept["from_hour"], &kept["to_hour"]),
        (&json!(1), &json!(4))
    );
    assert_eq!(
        (&kept["days"], &kept["keep_days"]),
        (&json!([1, 7]), &json!(14))
    );
    assert_eq!(kept["enabled"], true);
    let off = server.ok(&["databases", "schedule", "shop", "--off"]);
    assert_eq!(off["backups"]["enabled"], false);
    assert_eq!(off["backups"]["keep_days"], 14, "what is not said stays");
    let (_, exit) = server.json(&["databases", "schedule", "shop"]);
    assert_eq!(exit, 2);
    let (_, exit) = server.json(&["databases", "schedule", "shop", "--between", "9"]);
    assert_eq!(exit, 2);
    let shown = server.ok(&[
        "databases",
        "keep-binlogs",
        "shop",
        "--hours",
        "48",
        "--percent",
        "40",
    ]);
    assert_eq!(shown["local_binlogs"], json!({"hours": 48, "percent": 40}));
    refused(
        &server,
        &[
            "databases",
            "keep-binlogs",
            "shop",
            "--hours",
            "5",
            "--percent",
            "40",
        ],
        1,
        "BO0002",
    );

    // Nothing is held, and nothing stands still.
    assert_eq!(server.ok(&["jobs", "list", "--state", "held"]), json!([]));
    let applied = server.ok(&["jobs", "list", "--state", "applied"]);
    assert_eq!(applied.as_array().unwrap().len(), 1, "{applied}");
    let checks = server.ok(&["doctor"]);
    let held = check(&checks, "held jobs").unwrap();
    assert_eq!(held["status"], "ok", "{held}");
    assert_eq!(check(&checks, "database shop: history"), None);

    // A server that is away: what the archive has is told, and that it is away.
    mariadb.kill();
    let away = server.ok(&["databases", "binlogs", "shop"]);
    let away = away.as_array().unwrap();
    assert!(away.iter().any(|f| f["archived"] == true), "{away:?}");
    assert!(away.iter().all(|f| f["on_server"].is_null()), "{away:?}");
    let began = Instant::now();
    loop {
        let checks = server.ok(&["doctor"]);
        if let Some(still) = check(&checks, "database shop: history") {
            assert_eq!(still["status"], "warn", "{still}");
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{checks}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn check(doctor: &Value, name: &str) -> Option<Value> {
    let checks = doctor["checks"].as_array().unwrap();
    checks.iter().find(|c| c["name"] == name).cloned()
}
