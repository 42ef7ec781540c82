//! Databases from the command line, against a real server process and a real
//! database server.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::io::Write as _;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use backout_mariadb::testing::PrivateServer;
use common::{Running, backout};
use serde_json::{Value, json};

/// Longer than history takes to follow on a busy machine: it is looked every
/// quarter of a minute for those that nobody follows.
const PATIENCE: Duration = Duration::from_secs(120);

const SHOP: &str = "CREATE DATABASE shop; \
    CREATE TABLE shop.items (id INT PRIMARY KEY, name VARCHAR(40) NOT NULL, price DECIMAL(10,2) NOT NULL); \
    INSERT INTO shop.items SELECT seq, CONCAT('item ', seq), seq / 7 FROM shop.seq_1_to_300;";

/// What tells the rows of a table.
fn rows(server: &PrivateServer, table: &str) -> Vec<Vec<String>> {
    server.query(&format!("SELECT id, name, price FROM {table} ORDER BY id"))
}

#[track_caller]
fn refused(server: &Running, args: &[&str], exit: i32, code: &str) -> Value {
    let (answer, got) = server.json(args);
    assert_eq!(got, exit, "{args:?} {answer}");
    assert_eq!(answer["error"]["code"], code, "{args:?} {answer}");
    answer
}

fn human(server: &Running, args: &[&str]) -> Output {
    let out = server.cli(args);
    assert!(out.status.success(), "{args:?} {out:?}\n{}", server.log());
    out
}

fn stdout(out: &Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn stderr(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

/// The transactions of a table, once one of them changed so many rows in one
/// way.
fn history(server: &Running, change: &str, rows: u64) -> Value {
    let began = Instant::now();
    loop {
        let answer = server.ok(&["databases", "history", "shop", "--table", "shop.items"]);
        let there = answer["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|t| t["tables"][0][change] == rows);
        if there {
            return answer;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "{change} {rows}: {answer}\n{}",
            server.log()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_table_is_got_back_in_the_middle_of_the_night() {
    let mariadb = PrivateServer::start(&[]);
    mariadb.script(SHOP);
    let server = Running::start(&[]);

    let url = mariadb.url();
    let added = server.ok(&["databases", "add", "shop", "--url", &url]);
    assert!(added["id"].as_str().unwrap().starts_with("cdb-"), "{added}");
    assert_eq!(
        (&added["state"], &added["kind"], &added["port"]),
        (&json!("running"), &json!("reached"), &json!(mariadb.port()))
    );
    assert!(added["added_by"].as_str().unwrap().starts_with("job_"));
    assert_eq!(server.ok(&["databases", "show", "shop"])["id"], added["id"]);
    assert_eq!(server.ok(&["databases", "list"])[0]["name"], "shop");
    let resources = server.ok(&["resources"]);
    assert_eq!(resources[0]["resource"], "database/shop");
    let doctor = server.ok(&["databases", "doctor", "shop"]);
    assert_eq!(doctor["healthy"], true);
    refused(
        &server,
        &["databases", "add", "two", "--url", &url],
        1,
        "BO0002",
    );

    // The same server, by another name: from the environment.
    let mut command = backout();
    command
        .args(["databases", "set", "shop", "--json", "--data"])
        .arg(server.data())
        .env(
            "BACKOUT_DATABASE_URL",
            url.replace("127.0.0.1", "localhost"),
        );
    let out = command.output().unwrap();
    assert!(out.status.success(), "{out:?}");
    let shown = server.ok(&["databases", "show", "shop"]);
    assert_eq!(shown["host"], "localhost");

    // The bad day. What came right before it has to survive.
    mariadb.script("UPDATE shop.items SET name = 'kept' WHERE id = 7");
    let before = rows(&mariadb, "shop.items");
    mariadb.script("UPDATE shop.items SET price = 0");
    let bad = rows(&mariadb, "shop.items");
    assert_ne!(before, bad);

    let answer = history(&server, "updates", 300);
    let items = answer["items"].as_array().unwrap();
    let at = items
        .iter()
        .position(|t| t["tables"][0]["updates"] == 300)
        .unwrap();
    let kept = items[at - 1]["gtid"].as_str().unwrap();
    let undone = items[at]["gtid"].as_str().unwrap();
    assert_eq!(items[at - 1]["tables"][0]["updates"], 1, "{answer}");
    let seen = stdout(&human(
        &server,
        &["databases", "history", "shop", "--table", "shop.items"],
    ));
    let hint = format!("rollback shop --to {kept} --table shop.items=shop.items_back");
    assert!(seen.contains(&hint), "{seen}");
    let hint = format!("undo-transaction shop --gtid {undone}");
    assert!(seen.contains(&hint), "{seen}");
    let range = server.ok(&["databases", "range", "shop"]);
    assert_eq!(range.as_array().unwrap().len(), 1, "{range}");

    // Beside what is there.
    let to_back = |more: &[&'static str]| {
        let mut args = vec!["databases", "rollback", "shop", "--to", kept];
        args.extend_from_slice(&["--table", "shop.items=items_back"]);
        args.extend_from_slice(more);
        args
    };
    let plan = server.ok(&to_back(&["--dry-run"]));
    assert_eq!(plan["found"]["kept"]["gtid"], kept);
    assert_eq!(plan["found"]["undone"]["gtid"], undone);
    assert_eq!(plan["found"]["tables"][0]["to"], "shop.items_back");
    assert_eq!(
        mariadb.value(
            "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_NAME = 'items_back'"
        ),
        "0"
    );
    let out = human(&server, &to_back(&[]));
    let (told, said) = (stderr(&out), stdout(&out));
    for word in ["last kept", kept, "first undone", undone, "road"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    for word in [
        "PROVED BY",
        "shop.items",
        "300",
        "applied",
        "backout undo job_",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert_eq!(rows(&mariadb, "shop.items_back"), before);
    assert_eq!(rows(&mariadb, "shop.items"), bad);
    refused(&server, &to_back(&[]), 3, "BO0068");

    // In place, which is asked about, and again.
    let in_place = ["databases", "rollback", "shop", "--to", kept, "--in-place"];
    let in_place = [&in_place[..], &["--table", "shop.items"]].concat();
    let asked = refused(&server, &in_place, 2, "BO0002");
    let message = asked["error"]["message"].as_str().unwrap();
    let again =
        format!("backout databases rollback shop --to {kept} --in-place --table shop.items --yes");
    assert!(message.ends_with(&again), "{message}");
    assert_eq!(rows(&mariadb, "shop.items"), bad);
    let seen = server.ok(&[&in_place[..], &["--dry-run", "--rows"]].concat());
    assert_eq!(seen["preview"]["total"], 300, "{seen}");
    let one = &seen["preview"]["rows"][0];
    assert_eq!(one["columns"], json!(["id", "name", "price"]));
    assert_eq!(
        (&one["now"][2], &one["now"][0]),
        (&json!("0.00"), &one["then"][0])
    );
    assert_ne!(one["then"][2], "0.00");
    let done = server.ok(&[&in_place[..], &["--yes"]].concat());
    assert_eq!(done["job"]["outcome"], "applied");
    assert_eq!(done["found"]["road"], "in_place");
    assert_eq!(done["task"]["rollback"]["proofs"][0]["table"], "shop.items");
    assert_eq!(rows(&mariadb, "shop.items"), before);
    let job = done["job"]["id"].as_str().unwrap();
    let undo = server.ok(&["undo", job, "--yes"]);
    assert_eq!(undo["job"]["undo_of"], job);
    assert_eq!(rows(&mariadb, "shop.items"), bad);
    refused(&server, &["undo", job, "--yes"], 3, "BO0015");

    // The one transaction alone.
    mariadb.script("INSERT INTO shop.items VALUES (1000, 'later', 5)");
    history(&server, "inserts", 1);
    let args = ["databases", "undo-transaction", "shop", "--gtid", undone];
    let args = [&args[..], &["--table", "shop.items"]].concat();
    let plan = server.ok(&[&args[..], &["--dry-run"]].concat());
    assert_eq!(plan["passed"], true);
    assert_eq!(
        (&plan["found"]["alone"], &plan["found"]["kept"]),
        (&json!(true), &Value::Null)
    );
    server.ok(&[&args[..], &["--yes"]].concat());
    let mut want = before;
    want.push(vec!["1000".into(), "later".into(), "5.00".into()]);
    assert_eq!(rows(&mariadb, "shop.items"), want);

    let tasks = server.ok(&["databases", "tasks", "shop"]);
    let kinds: Vec<&str> = tasks
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["rewind", "undo", "rewind", "rollback", "adopt"]);
    let jobs = server.ok(&["jobs", "list", "--resource", "database/shop"]);
    assert_eq!(jobs.as_array().unwrap().len(), 5, "{jobs}");

    refused(&server, &["databases", "stop", "shop"], 3, "BO0014");
    refused(&server, &["databases", "restart", "shop"], 3, "BO0069");
    refused(
        &server,
        &["databases", "remove", "shop", "--yes"],
        3,
        "BO0069",
    );
    refused(&server, &["databases", "isolate", "shop"], 2, "BO0002");
    server.ok(&["databases", "isolate", "shop", "--yes"]);
    let elsewhere = ["--table", "shop.items=items_more"];
    let to = ["databases", "rollback", "shop", "--to", kept];
    refused(&server, &[&to[..], &elsewhere].concat(), 3, "BO0069");
    server.ok(&["databases", "release", "shop"]);
    assert_eq!(
        server.ok(&["databases", "rename", "shop", "store"])["name"],
        "store"
    );
    server.ok(&["databases", "isolate", "store", "--yes"]);
    server.ok(&["databases", "remove", "store", "--yes"]);
    assert_eq!(server.ok(&["databases", "list"]), json!([]));
    assert_eq!(rows(&mariadb, "shop.items"), want);
}

#[test]
fn backups_are_taken_and_deleted() {
    let mariadb = PrivateServer::start(&[]);
    mariadb.script(SHOP);
    let server = Running::start(&[]);
    server.ok(&["databases", "add", "shop", "--url", &mariadb.url()]);
    let made = server.ok(&["databases", "backup", "shop", "--name", "before"]);
    assert_eq!(made["job"]["outcome"], "applied", "{made}");
    let backups = server.ok(&["databases", "backups", "shop"]);
    let mine = backups
        .as_array()
        .unwrap()
        .iter()
        .find(|b| b["number"] == made["backup"])
        .unwrap();
    assert_eq!(
        (&mine["name"], &mine["state"], &mine["method"]),
        (&json!("before"), &json!("ready"), &json!("full"))
    );
    let more = server.ok(&["databases", "backup", "shop", "--incremental"]);
    let number = |v: &Value| v["backup"].to_string();
    // One builds on it.
    let delete = |n: &str| {
        let n = n.to_owned();
        move |server: &Running| server.json(&["databases", "delete-backup", "shop", &n])
    };
    let (answer, exit) = delete(&number(&made))(&server);
    assert_eq!(
        (exit, &answer["error"]["code"]),
        (3, &json!("BO0072")),
        "{answer}"
    );
    server.ok(&["databases", "delete-backup", "shop", &number(&more)]);
    server.ok(&["databases", "delete-backup", "shop", &number(&made)]);
    let left = server.ok(&["databases", "backups", "shop"]);
    assert!(
        left.as_array()
            .unwrap()
            .iter()
            .all(|b| b["way"] == "automatic"),
        "{left}"
    );
    // Somebody who may only look, at this one.
    let policy = server.folder().join("policy.json");
    let text = json!({"Version": "1", "Statement": [
        {"effect": "allow", "action": ["backout:DescribeDatabases", "backout:Check"], "resource": ["database/shop"]}]});
    std::fs::write(&policy, text.to_string()).unwrap();
    let policy = policy.to_str().unwrap();
    let eve = server.ok(&["accounts", "create", "eve", "--policy", policy]);
    let as_eve = |args: &[&str]| {
        let mut command = backout();
        command
            .args(args)
            .arg("--json")
            .env("BACKOUT_URL", &server.url)
            .env("BACKOUT_SECRET_ID", eve["SecretId"].as_str().unwrap())
            .env("BACKOUT_SECRET_KEY", eve["SecretKey"].as_str().unwrap());
        command.output().unwrap().status.code()
    };
    assert_eq!(as_eve(&["databases", "show", "shop"]), Some(0));
    assert_eq!(as_eve(&["databases", "range", "shop"]), Some(0));
    for denied in [
        &["databases", "show", "other"][..],
        &["databases", "list"],
        &["databases", "backup", "shop"],
        &["databases", "isolate", "shop", "--yes"],
        &["databases", "add", "x", "--url", "mysql://root@127.0.0.1:1"],
        &["undo", made["job"]["id"].as_str().unwrap(), "--yes"],
    ] {
        assert_eq!(as_eve(denied), Some(7), "{denied:?}");
    }
    let missing = ["databases", "delete-backup", "shop", "999"];
    refused(&server, &missing, 1, "BO0006");
    let mixed = [
        "databases",
        "backup",
        "shop",
        "--incremental",
        "--table",
        "a.b",
    ];
    refused(&server, &mixed, 2, "BO0002");
}

#[test]
fn a_server_of_our_own_is_made_and_removed() {
    let server = Running::start(&[]);
    let made = server.ok(&["databases", "create", "own", "--memory", "256M"]);
    assert_eq!(
        (&made["kind"], &made["state"], &made["memory_mb"]),
        (&json!("managed"), &json!("running"), &json!(256)),
        "{made}"
    );
    assert_eq!(server.ok(&["databases", "doctor", "own"])["healthy"], true);
    let set = [
        "databases",
        "set",
        "own",
        "--url",
        "mysql://root@127.0.0.1:1",
    ];
    refused(&server, &set, 1, "BO0002");
    let restarted = server.ok(&["databases", "restart", "own"]);
    assert_eq!(restarted["job"]["outcome"], "applied");
    server.ok(&["databases", "isolate", "own", "--yes"]);
    refused(&server, &["databases", "doctor", "own"], 3, "BO0060");
    server.ok(&["databases", "remove", "own", "--yes"]);
    refused(&server, &["databases", "show", "own"], 1, "BO0006");
}

#[test]
fn what_stands_in_the_way_is_told_with_what_mends_it() {
    let mariadb = PrivateServer::start(&["--binlog-format=STATEMENT"]);
    mariadb.script("CREATE USER poor IDENTIFIED BY 'secret'; GRANT SELECT ON *.* TO poor");
    let server = Running::start(&[]);
    let url = format!("mysql://poor:secret@127.0.0.1:{}", mariadb.port());

    // The URL on stdin, so that nobody sees the password.
    let mut command = backout();
    command
        .args(["databases", "add", "shop", "--url", "-", "--data"])
        .arg(server.data())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{url}").unwrap();
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(3), "{out:?}");
    let shown = stdout(&out);
    for word in [
        "binlog_format",
        "STATEMENT",
        "fix: ",
        "GRANT",
        "REPLICATION SLAVE",
    ] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    assert!(!stderr(&out).contains("secret") && !shown.contains("secret"));
    assert_eq!(server.ok(&["databases", "list"]), json!([]));
    let (answer, exit) = server.json(&["databases", "add", "shop", "--url", &url]);
    assert_eq!(exit, 3, "{answer}");
    assert_eq!(answer["error"]["code"], "BO0062");
    assert_eq!(answer["doctor"]["healthy"], false);
    // The password is nowhere.
    let jobs = server.log();
    assert!(!jobs.contains("secret"), "{jobs}");

    let wrong = "mysql://root:secret@127.0.0.1:1";
    refused(
        &server,
        &["databases", "add", "shop", "--url", wrong],
        3,
        "BO0060",
    );
    for usage in [
        &["databases", "add", "shop"][..],
        &["databases", "rollback", "x", "--to", "2026-01-01 00:00:00"],
        &["databases", "rollback", "x", "--table", "a.b=a.c"],
        &["databases", "rollback", "x", "--to", "y", "--table", "a.b"],
        &[
            "databases",
            "rollback",
            "x",
            "--to",
            "y",
            "--table",
            "a.b=a.c",
            "--in-place",
        ],
        &[
            "databases",
            "rollback",
            "x",
            "--to",
            "y",
            "--database",
            "a=b",
            "--in-place",
        ],
        &["databases", "undo-transaction", "x"],
        &["databases", "history", "x", "--limit", "0"],
    ] {
        refused(&server, usage, 2, "BO0002");
    }
    refused(&server, &["databases", "show", "x"], 1, "BO0006");
    refused(&server, &["databases", "history", "x"], 1, "BO0006");
}

#[test]
fn an_instance_is_made_of_anothers_past() {
    let mariadb = PrivateServer::start(&[]);
    mariadb.script(SHOP);
    let server = Running::start(&[]);
    server.ok(&["databases", "add", "shop", "--url", &mariadb.url()]);
    // There is nothing to begin with yet.
    refused(
        &server,
        &["databases", "clone", "shop", "copy"],
        3,
        "BO0063",
    );
    server.ok(&["databases", "backup", "shop"]);
    mariadb.script("UPDATE shop.items SET name = 'kept' WHERE id = 7");
    let kept = rows(&mariadb, "shop.items");
    mariadb.script("UPDATE shop.items SET price = 0");
    let answer = history(&server, "updates", 300);
    let items = answer["items"].as_array().unwrap();
    let at = items
        .iter()
        .position(|t| t["tables"][0]["updates"] == 300)
        .unwrap();
    let gtid = items[at - 1]["gtid"].as_str().unwrap();
    let clone = ["databases", "clone", "shop", "copy", "--to", gtid];

    let dry = [&clone[..], &["--dry-run"]].concat();
    let planned = server.ok(&dry);
    assert_eq!(planned["passed"], true, "{planned}");
    assert_eq!(planned["found"]["kept"]["gtid"], gtid, "{planned}");
    assert_eq!(planned["plan"]["steps"].as_array().unwrap().len(), 5);
    let said = stdout(&human(&server, &dry));
    assert!(
        said.contains("first left out") && said.contains("begins with"),
        "{said}"
    );
    let small = [&clone[..], &["--memory", "256M"]].concat();
    let made = server.ok(&small);
    let database = &made["database"];
    assert_eq!(
        (
            &database["name"],
            &database["kind"],
            &database["state"],
            &database["memory_mb"]
        ),
        (
            &json!("copy"),
            &json!("managed"),
            &json!("running"),
            &json!(256)
        ),
        "{made}"
    );
    assert_eq!(made["job"]["outcome"], "applied");
    // As one who knew the source.
    let url = format!("mysql://root@127.0.0.1:{}", database["port"]);
    let endpoint = backout_mariadb::Endpoint::parse(&url).unwrap();
    let mut session = backout_mariadb::Session::open(&endpoint).unwrap();
    let there: Vec<(String, String, String)> = session
        .query(
            "look",
            "SELECT CAST(id AS CHAR), name, CAST(price AS CHAR) FROM shop.items ORDER BY id",
        )
        .unwrap();
    let there: Vec<_> = there.into_iter().map(|(a, b, c)| vec![a, b, c]).collect();
    assert_eq!(there, kept);

    refused(&server, &clone, 3, "BO0007");
    let both = [&clone[..], &["--backup", "1"]].concat();
    assert_eq!(server.cli(&both).status.code(), Some(2));
    refused(
        &server,
        &["databases", "clone", "shop", "other", "--backup", "99"],
        1,
        "BO0006",
    );
    server.ok(&["databases", "isolate", "copy", "--yes"]);
    server.ok(&["databases", "remove", "copy", "--yes"]);
}
