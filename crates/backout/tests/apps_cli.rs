//! Applications from the command line, against a real server process and real
//! replicas behind a real gateway.
#![cfg(feature = "testing")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, Instant};

use common::{Running, backout};
use serde_json::{Value, json};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server with a package of the sample application; what runs is ended with it.
struct House {
    server: Running,
    package: PathBuf,
    port: u16,
    apps: Vec<String>,
}

impl House {
    fn new() -> Self {
        let server = Running::start(&[]);
        let package = server.folder().join("sample-app");
        std::fs::copy(env!("CARGO_BIN_EXE_sample-app"), &package).unwrap();
        Self {
            server,
            package,
            port: free_port(),
            apps: Vec::new(),
        }
    }

    /// Deploys `name` so that it answers with `answer`.
    fn deploy(&mut self, name: &str, answer: &str, more: &[&str]) -> (Value, i32) {
        self.apps.push(name.to_owned());
        let env = format!("NAME={answer}");
        let package = self.package.to_str().unwrap().to_owned();
        let args = [
            &["apps", "deploy", name, "--from", &package][..],
            &["--env", &env, "--label", answer],
            more,
        ]
        .concat();
        self.server.json(&args)
    }

    /// The first version, on the port of the house.
    fn first(&mut self, name: &str, answer: &str, replicas: &str) -> Value {
        let port = self.port.to_string();
        let (value, code) = self.deploy(
            name,
            answer,
            &[
                "--command",
                "./sample-app",
                "--replicas",
                replicas,
                "--port",
                &port,
                "--health",
                "/ready",
                "--idempotency-key",
                "the-first",
            ],
        );
        assert_eq!(code, 0, "{value}\n{}", self.server.log());
        value
    }

    /// What is answered on the port of the application.
    fn asked(&self) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.rsplit("\r\n").next().unwrap_or_default().to_owned()
    }

    /// The order of an application once it stands like that.
    fn order_that(&self, app: &str, standing: &str) -> Value {
        let began = Instant::now();
        loop {
            let order = self.server.ok(&["apps", "order", app]);
            if order["standing"] == standing {
                return order;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{app} is not {standing}: {order}\n{}",
                self.server.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn refused(&self, args: &[&str], exit: i32, code: &str) -> Value {
        let (answer, got) = self.server.json(args);
        assert_eq!(got, exit, "{args:?} {answer}\n{}", self.server.log());
        assert_eq!(answer["error"]["code"], code, "{args:?} {answer}");
        answer
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // What runs outlives the server: it is taken away while that is there.
        for app in &self.apps {
            let _ = self.server.cli(&["apps", "abort", app]);
            let _ = self.server.cli(&["apps", "delete", app, "--yes"]);
        }
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn stdout(out: &Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn stderr(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

#[test]
fn an_application_is_deployed_taken_back_and_taken_away() {
    let mut house = House::new();
    let package = house.package.to_str().unwrap().to_owned();
    let preview = house.server.ok(&[
        "apps",
        "deploy",
        "shop",
        "--from",
        &package,
        "--command",
        "./sample-app",
        "--dry-run",
    ]);
    assert_eq!(
        (&preview["passed"], &preview["plan"]["replicas"]),
        (&json!(true), &json!(1)),
        "{preview}"
    );
    let first = house.first("shop", "one", "2");
    let names: Vec<&String> = first.as_object().unwrap().keys().collect();
    assert_eq!(names, ["AppId", "ChangeOrderId", "VersionId"], "{first}");
    assert_eq!(house.asked(), "one");
    // The same call again starts nothing.
    assert_eq!(house.first("shop", "one", "2"), first);

    // What is not said stays as it is.
    let (second, code) = house.deploy("shop", "two", &["--idempotency-key", "the-second"]);
    assert_eq!(code, 0, "{second}\n{}", house.server.log());
    let (again, code) = house.deploy("shop", "two", &["--idempotency-key", "the-second"]);
    assert_eq!((code, &again), (0, &second));
    assert_eq!(second["AppId"], first["AppId"]);
    assert_eq!(house.asked(), "two");
    let shown = house.server.ok(&["apps", "show", "shop"]);
    assert_eq!(
        (
            &shown["state"],
            &shown["ready"],
            &shown["version"]["number"]
        ),
        (&json!("running"), &json!(2), &json!(2)),
        "{shown}"
    );
    assert_eq!(shown["replica_list"].as_array().unwrap().len(), 2);
    let versions = house.server.ok(&["apps", "versions", "shop"]);
    assert_eq!(versions[0]["id"], second["VersionId"]);
    assert_eq!(
        versions[0]["release"]["port"],
        versions[1]["release"]["port"]
    );
    assert_eq!(versions[0]["release"]["env"]["NAME"], "two");
    let list = house.server.ok(&["apps", "list"]);
    assert_eq!(list[0]["name"], "shop");
    assert_eq!(house.server.ok(&["resources"])[0]["resource"], "app/shop");

    // Nothing is done without a yes, and the preview tells what would be.
    let preview = house
        .server
        .ok(&["apps", "rollback", "shop", "--dry-run", "--gray", "1"]);
    assert_eq!(preview["to"]["number"], 1, "{preview}");
    assert_eq!(preview["plan"]["batches"][0]["gray"], true);
    let what: Vec<&str> = preview["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["what"].as_str().unwrap())
        .collect();
    assert_eq!(what, ["env NAME"], "{preview}");
    house.refused(&["apps", "rollback", "shop"], 2, "BO0002");
    assert_eq!(house.asked(), "two");

    let out = house
        .server
        .cli(&["apps", "rollback", "shop", "--yes", "--batches", "2"]);
    assert!(out.status.success(), "{out:?}\n{}", house.server.log());
    assert!(stdout(&out).contains("take shop back from version 2 (two) to 1 (one)"));
    assert!(stderr(&out).contains("replicas changed"), "{out:?}");
    assert_eq!(house.asked(), "one");

    // One that is barred is not gone back to.
    house
        .server
        .ok(&["apps", "bar", "shop", "two", "--why", "it loses orders"]);
    let refused = house.refused(
        &["apps", "rollback", "shop", "--to", "v2", "--yes"],
        3,
        "BO0091",
    );
    assert!(refused.to_string().contains("it loses orders"));
    house.server.ok(&["apps", "unbar", "shop", "2"]);

    let logs = house.server.ok(&["apps", "logs", "shop", "--lines", "5"]);
    assert_eq!(logs.as_array().unwrap().len(), 2, "{logs}");
    let events = house.server.ok(&["apps", "events", "shop"]);
    assert!(!events.as_array().unwrap().is_empty(), "{events}");
    let orders = house.server.ok(&["apps", "orders", "shop"]);
    let kinds: Vec<&str> = orders
        .as_array()
        .unwrap()
        .iter()
        .map(|o| o["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["rollback", "deploy", "create"]);

    house.server.ok(&["apps", "scale", "shop", "3"]);
    assert_eq!(house.server.ok(&["apps", "show", "shop"])["replicas"], 3);
    house.server.ok(&["apps", "restart", "shop"]);
    house.server.ok(&["apps", "stop", "shop", "--yes"]);
    assert_eq!(
        house.server.ok(&["apps", "show", "shop"])["state"],
        "stopped"
    );
    house.server.ok(&["apps", "start", "shop"]);
    assert_eq!(house.asked(), "one");
    house.server.ok(&["apps", "delete", "shop", "--yes"]);
    house.refused(&["apps", "show", "shop"], 1, "BO0006");
}

#[test]
fn a_person_lets_batches_go_and_takes_back_what_was_begun() {
    let mut house = House::new();
    house.first("shop", "one", "3");

    let (asked, code) = house.deploy(
        "shop",
        "two",
        &["--gray", "1", "--manual", "--no-wait", "--min-ready", "2"],
    );
    assert_eq!(code, 0, "{asked}");
    let order = house.order_that("shop", "waits_for_confirm");
    assert_eq!(order["id"], asked["ChangeOrderId"]);
    assert_eq!(
        (&order["progress"]["done"], &order["progress"]["ready"]),
        (&json!(1), &json!(3)),
        "{order}"
    );
    assert_eq!(order["next_commands"][0], "backout apps confirm shop");
    // One order at a time.
    house.refused(&["apps", "scale", "shop", "5"], 3, "BO0008");
    house.refused(
        &["apps", "confirm", "shop", "--batch", "1", "--no-wait"],
        3,
        "BO0014",
    );
    let shown = house.server.cli(&["apps", "show", "shop"]);
    let shown = stdout(&shown);
    assert!(
        shown.contains("for your word on the next batch")
            && shown.contains("backout apps abort shop --back"),
        "{shown}"
    );

    house.server.ok(&["apps", "confirm", "shop"]);
    assert_eq!(house.asked(), "two");

    // The other way: what was begun is taken back.
    let (third, code) = house.deploy("shop", "three", &["--gray", "1", "--manual", "--no-wait"]);
    assert_eq!(code, 0, "{third}");
    house.order_that("shop", "waits_for_confirm");
    let back = house.server.ok(&["apps", "abort", "shop", "--back"]);
    assert_eq!(
        (&back["order"]["kind"], &back["order"]["takes_back"]),
        (&json!("rollback"), &third["ChangeOrderId"]),
        "{back}"
    );
    assert_eq!(house.asked(), "two");
    let over = house
        .server
        .ok(&["apps", "order", third["ChangeOrderId"].as_str().unwrap()]);
    assert_eq!(over["standing"], "aborted");
    assert_eq!(over["taken_back_by"], back["order"]["id"]);

    // And the third: it ends where it is.
    let (_, code) = house.deploy("shop", "four", &["--gray", "1", "--manual", "--no-wait"]);
    assert_eq!(code, 0);
    house.order_that("shop", "waits_for_confirm");
    let ended = house.server.ok(&["apps", "abort", "shop"]);
    assert_eq!(ended["order"]["standing"], "aborted");
}

#[test]
fn a_version_that_does_not_start_is_stuck_and_told() {
    let mut house = House::new();
    house.first("shop", "one", "2");
    let (answer, code) = house.deploy("shop", "two", &["--env", "CRASH_ALWAYS=1", "--gray", "1"]);
    assert_eq!(code, 5, "{answer}\n{}", house.server.log());
    assert_eq!(answer["error"]["code"], "BO0109", "{answer}");
    let order = &answer["order"];
    assert_eq!(order["standing"], "stuck");
    assert!(order["failure"]["replica"].is_string(), "{order}");
    assert!(answer["log"].as_str().unwrap().contains("told to crash"));
    // What serves goes on.
    assert_eq!(house.asked(), "one");

    let watched = house.server.cli(&["apps", "watch", "shop"]);
    assert_eq!(watched.status.code(), Some(5));
    let told = stdout(&watched);
    for part in [
        "told to crash",
        "nothing more is changed",
        "backout apps retry shop",
        "backout apps abort shop --back",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }

    let back = house.server.ok(&["apps", "abort", "shop", "--back"]);
    assert_eq!(back["order"]["standing"], "succeeded", "{back}");
    assert_eq!(house.asked(), "one");
}

#[test]
fn an_order_is_approved_by_somebody_else() {
    let mut house = House::new();
    house.first("shop", "one", "1");
    let policy = json!({"version": "2.0", "statement": [
        {"effect": "allow", "action": ["backout:*"], "resource": ["*"]},
        {"effect": "approve", "action": ["backout:Rollback", "backout:DeployApp"], "resource": ["*"]}]});
    let file = house.server.folder().join("policy.json");
    std::fs::write(&file, policy.to_string()).unwrap();
    let pair = house.server.ok(&[
        "accounts",
        "create",
        "ci",
        "--policy",
        file.to_str().unwrap(),
    ]);
    let as_ci = |args: &[&str]| -> (Value, i32) {
        let out = backout()
            .args(args)
            .arg("--json")
            .env("BACKOUT_URL", &house.server.url)
            .env("BACKOUT_SECRET_ID", pair["SecretId"].as_str().unwrap())
            .env("BACKOUT_SECRET_KEY", pair["SecretKey"].as_str().unwrap())
            .output()
            .unwrap();
        (
            serde_json::from_slice(&out.stdout).unwrap(),
            out.status.code().unwrap(),
        )
    };
    let (asked, code) = as_ci(&["apps", "deploy", "shop", "--env", "NAME=two", "--no-wait"]);
    assert_eq!(code, 0, "{asked}");
    let order = asked["ChangeOrderId"].as_str().unwrap();
    let waiting = house.server.ok(&["apps", "order", order]);
    assert_eq!(waiting["standing"], "waits_for_approval", "{waiting}");
    assert_eq!(
        waiting["next_commands"][0],
        format!("backout approve {order}")
    );
    assert_eq!(house.asked(), "one");
    let (own, code) = as_ci(&["approve", order, "--no-wait"]);
    assert_eq!(
        (code, &own["error"]["code"]),
        (7, &json!("BO0004")),
        "{own}"
    );

    let done = house.server.ok(&["approve", order]);
    assert_eq!(done["order"]["standing"], "succeeded", "{done}");
    assert!(done["order"]["approval"]["by"].is_string());
    assert_eq!(house.asked(), "two");
}

#[test]
fn secrets_config_maps_namespaces_and_settings() {
    let mut house = House::new();
    let server = &house.server;
    server.ok(&[
        "apps",
        "namespaces",
        "create",
        "test",
        "--name",
        "for tests",
    ]);
    let spaces = server.ok(&["apps", "namespaces", "list"]);
    assert!(
        spaces
            .as_array()
            .unwrap()
            .iter()
            .any(|n| n["id"] == "test" && n["name"] == "for tests"),
        "{spaces}"
    );
    let file = server.folder().join("secret");
    std::fs::write(&file, "of-the-night\n").unwrap();
    let path = file.to_str().unwrap();
    let set = |server: &Running| {
        server.ok(&[
            "apps",
            "secrets",
            "set",
            "name",
            "--namespace",
            "test",
            "--file",
            path,
        ])
    };
    assert_eq!(set(server)["revision"], 1);
    let list = server.ok(&["apps", "secrets", "list", "--namespace", "test"]);
    assert!(!list.to_string().contains("of-the-night"), "{list}");
    assert_eq!(list[0]["name"], "name");
    let made = server.ok(&[
        "apps",
        "config-maps",
        "create",
        "conf",
        "--namespace",
        "test",
        "--file",
        &format!("app.conf={path}"),
    ]);
    let number = made["number"].to_string();
    assert_eq!(made["entries"]["app.conf"], "of-the-night\n");

    // A release that finds both.
    let (port, package) = (house.port.to_string(), house.package.clone());
    house.apps.push("test/shop".into());
    let server = &house.server;
    let mount = format!("/etc/app.conf={number}/app.conf");
    let deployed = server.ok(&[
        "apps",
        "deploy",
        "test/shop",
        "--from",
        package.to_str().unwrap(),
        "--command",
        "./sample-app",
        "--port",
        &port,
        "--secret",
        "NAME=name",
        "--mount",
        &mount,
    ]);
    assert!(deployed["VersionId"].is_string());
    assert_eq!(house.asked(), "of-the-night");
    let version = server.ok(&["apps", "versions", "test/shop", "1"]);
    assert_eq!(version["release"]["secrets"][0]["revision"], 1, "{version}");
    assert_eq!(version["release"]["files"][0]["path"], "/etc/app.conf");
    house.refused(
        &["apps", "secrets", "delete", "name", "--namespace", "test"],
        3,
        "BO0008",
    );
    server.ok(&["apps", "config-maps", "delete", &number]);

    // Settings stand in the way as they say.
    server.ok(&[
        "apps",
        "settings",
        "account",
        "admin",
        "--replicas-of-app",
        "2",
    ]);
    house.refused(&["apps", "scale", "test/shop", "3"], 3, "BO0052");
    server.ok(&["apps", "settings", "service", "--upgrading", "true"]);
    house.refused(&["apps", "restart", "test/shop"], 3, "BO0101");
    server.ok(&["apps", "settings", "service", "--upgrading", "false"]);
    let shown = server.ok(&["apps", "settings", "show"]);
    assert_eq!(shown["account"]["replicas_of_application"], 2);
    let doctor = server.ok(&["doctor"]);
    let checks = doctor["checks"].to_string();
    assert!(
        checks.contains("applications: ") && checks.contains("gateways"),
        "{checks}"
    );
}
