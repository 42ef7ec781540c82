//! Data engines from the command line, against a real server process. The engine
//! is a small process here: it answers with its name whatever it is asked.
#![cfg(feature = "testing")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::process::Output;

use common::Running;
use serde_json::{Value, json};

/// A server with versions of a small engine; what runs is ended with it.
struct House(Running);

impl House {
    fn new() -> Self {
        let house = Self(Running::start(&[]));
        house.add(
            "one",
            "NAME=one",
            "[cluster_parameters]\nthreads = { type = \"integer\", default = 1 }\nold = { default = \"\" }\n",
        );
        house.add(
            "two",
            "NAME=two",
            "[cluster_parameters]\nthreads = { type = \"integer\", default = 1 }\nfresh = { default = \"f\" }\n",
        );
        house.add("broken", "CRASH_ALWAYS=1", "start_s = 20\n");
        house
    }

    fn add(&self, version: &str, env: &str, more: &str) -> Value {
        let program = env!("CARGO_BIN_EXE_sample-app");
        let file = self.0.folder().join(format!("{version}.toml"));
        // Parameters are tables, and stand last.
        let (plain, tables) = match more.find('[') {
            Some(at) => more.split_at(at),
            None => (more, ""),
        };
        let entry = format!(
            "version = {version:?}\nkind = \"DuckDB\"\nhealth_http = \"/ready\"\n{plain}\
             command = [\"env\", \"PORT={{port}}\", {env:?}, {program:?}]\n{tables}"
        );
        std::fs::write(&file, entry).unwrap();
        self.0
            .ok(&["engines", "image", "add", file.to_str().unwrap()])
    }

    /// What the engine answers at its endpoint.
    fn asked(&self) -> Value {
        self.0.ok(&["engines", "query", "lake", "SELECT 1"])["text"].clone()
    }

    fn refused(&self, args: &[&str], exit: i32, code: &str) -> Value {
        let (answer, got) = self.0.json(args);
        assert_eq!(got, exit, "{args:?} {answer}\n{}", self.0.log());
        assert_eq!(answer["error"]["code"], code, "{args:?} {answer}");
        answer
    }

    /// A command that does well, as a person sees it.
    fn told(&self, args: &[&str]) -> (String, String) {
        let out: Output = self.0.cli(args);
        assert!(out.status.success(), "{out:?}\n{}", self.0.log());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&out.stdout), text(&out.stderr))
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // What runs outlives the server: it is taken away while that is there.
        let _ = self.0.cli(&["engines", "delete", "lake", "--yes"]);
    }
}

#[test]
fn an_engine_is_switched_taken_back_and_taken_away() {
    let house = House::new();
    let images = house.0.ok(&["engines", "images"]);
    let first = images[0].as_object().unwrap();
    let members: Vec<&String> = first.keys().collect();
    assert_eq!(
        members,
        [
            "driver", "id", "kind", "level", "parent", "state", "version"
        ]
    );
    assert_eq!(
        (&first["version"], &first["level"], &first["state"]),
        (&json!("one"), &json!("parent"), &json!("online"))
    );

    let create = [
        "engines",
        "create",
        "lake",
        "--kind",
        "DuckDB",
        "--image",
        "one",
        "--set",
        "threads=2",
        "--set",
        "old=x",
    ];
    let preview = house.0.ok(&[&create[..], &["--dry-run"]].concat());
    assert_eq!(
        (&preview["passed"], &preview["to"]),
        (&json!(true), &json!("one")),
        "{preview}"
    );
    let made = house.0.ok(&create);
    assert_eq!(
        (&made["image"], &made["child"], &made["job"]["outcome"]),
        (&json!("one"), &Value::Null, &json!("applied")),
        "{made}"
    );
    assert_eq!(house.asked(), "one");
    house.refused(&["engines", "check", "lake"], 3, "BO0118");

    // The preview lists each parameter, and does nothing.
    let preview = house
        .0
        .ok(&["engines", "switch", "lake", "--image", "two", "--dry-run"]);
    let fates: Vec<(&str, &str)> = preview["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["name"].as_str().unwrap(), p["fate"].as_str().unwrap()))
        .collect();
    assert_eq!(
        fates,
        [
            ("fresh", "defaulted"),
            ("old", "dropped"),
            ("threads", "kept")
        ]
    );
    assert_eq!(preview["beside"], true, "{preview}");
    house.refused(
        &["engines", "switch", "lake", "--image", "two"],
        2,
        "BO0002",
    );
    assert_eq!(house.asked(), "one");

    let (said, noted) = house.told(&["engines", "switch", "lake", "--image", "two", "--yes"]);
    assert!(
        noted.contains("dropped    old (cluster)") && noted.contains("beside the old one"),
        "{noted}"
    );
    let endpoint = made["endpoint"].as_str().unwrap();
    assert!(
        said.contains(&format!("two answers at {endpoint}"))
            && said.contains("backout engines rollback lake"),
        "{said}"
    );
    assert_eq!(house.asked(), "two");
    house.refused(
        &["engines", "switch", "lake", "--image", "two", "--yes"],
        3,
        "BO0110",
    );

    // One that does not come up leaves everything as it was.
    let failed = house.refused(
        &["engines", "switch", "lake", "--image", "broken", "--yes"],
        4,
        "BO0119",
    );
    let message = failed["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("told to crash") && message.contains("backout engines events lake"),
        "{message}"
    );
    assert_eq!(house.asked(), "two");

    let check = house.0.ok(&["engines", "check", "lake"]);
    assert_eq!(
        (&check["possible"], &check["image"]["to"]),
        (&json!(true), &json!("one")),
        "{check}"
    );
    let back = house.0.ok(&["engines", "rollback", "lake", "--yes"]);
    assert_eq!(house.asked(), "one");
    let config = house.0.ok(&["engines", "set", "lake"]);
    let set: Vec<(&str, &Value)> = config["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["name"].as_str().unwrap(), &p["value"]))
        .collect();
    assert_eq!(set, [("old", &json!("x")), ("threads", &json!("2"))]);
    house.refused(&["engines", "rollback", "lake", "--yes"], 3, "BO0118");
    let job = back["job"]["id"].as_str().unwrap();
    house.0.ok(&["undo", job, "--yes"]);
    assert_eq!(house.asked(), "two");

    let log = house.0.ok(&["engines", "log", "lake"]);
    let operations: Vec<&str> = log
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["operation"].as_str().unwrap())
        .collect();
    assert_eq!(
        operations,
        ["SwitchImage", "RollbackImage", "SwitchImage", "InitImage"]
    );
    assert_eq!(check["from"], log[3]["id"]);
    assert_eq!(log[1]["restored"], log[3]["id"]);
    let events = house.0.ok(&["engines", "events", "lake"]).to_string();
    assert!(events.contains("SwitchImageFailed"), "{events}");

    // Parameters: set, refused by name, taken back.
    let output = house.0.ok(&["engines", "output", "lake"]);
    assert!(
        output["text"].as_str().unwrap().contains("two listens on"),
        "{output}"
    );
    house.refused(
        &["engines", "set", "lake", "threads=many", "--yes"],
        3,
        "BO0116",
    );
    let (_, noted) = house.told(&["engines", "set", "lake", "threads=4", "--yes"]);
    assert!(
        noted.contains("changed    threads (cluster): 2 -> 4"),
        "{noted}"
    );

    let suspended = house.0.ok(&["engines", "suspend", "lake", "--yes"]);
    assert_eq!(suspended["engine"]["state"], "suspended");
    let (shown, _) = house.told(&["engines", "show", "lake"]);
    assert!(
        shown.contains("next: backout engines resume lake"),
        "{shown}"
    );
    house.refused(&["engines", "query", "lake", "SELECT 1"], 1, "BO0110");
    house.0.ok(&["engines", "resume", "lake"]);
    let shown = house.0.ok(&["engines", "show", "lake"]);
    assert_eq!(
        (&shown["id"], &shown["image"], &shown["endpoint"]),
        (&made["id"], &json!("two"), &made["endpoint"]),
        "{shown}"
    );
    assert_eq!(house.0.ok(&["resources"])[0]["resource"], "engine/lake");
    let jobs = house.0.ok(&["jobs", "list", "--resource", "engine/lake"]);
    assert_eq!(
        jobs[0]["resource"],
        format!("engine/{}", made["id"].as_str().unwrap())
    );
    let doctor = house.0.ok(&["doctor"])["checks"].to_string();
    assert!(doctor.contains("endpoints of engines"), "{doctor}");

    let delete = [
        "engines",
        "delete",
        "lake",
        "--yes",
        "--idempotency-key",
        "gone",
    ];
    let gone = house.0.ok(&delete);
    house.refused(&["engines", "show", "lake"], 1, "BO0006");
    // The same call again starts nothing.
    assert_eq!(house.0.ok(&delete)["job"]["id"], gone["job"]["id"]);
}
