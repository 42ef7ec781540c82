//! The fault switch from the command line, against a real server.

mod common;

use common::Running;
use serde_json::json;

#[test]
fn it_is_off_by_default() {
    let server = Running::start(&[]);
    for args in [
        &["faults", "list"][..],
        &["faults", "clear"],
        &["faults", "remove", "fault_000000000000"],
        &[
            "faults",
            "add",
            "--action",
            "lighthouse:*",
            "--code",
            "InternalError",
        ],
    ] {
        let (value, code) = server.json(args);
        assert_eq!(
            (code, &value["error"]["code"]),
            (3, &json!("BO0037")),
            "{args:?}: {value}"
        );
    }
}

#[test]
fn a_step_fails_as_often_as_it_is_told() {
    let server = Running::start(&["--faults"]);
    server.make_disk("web", 1);
    let disk = server.disk("web");
    server.ok(&["servers", "add", "web", "--disk", disk.to_str().unwrap()]);
    server.ok(&["snapshots", "create", "web", "--name", "before"]);
    server.make_other("web", 1);
    let written = std::fs::read(&disk).unwrap();

    let added = server.ok(&[
        "faults",
        "add",
        "--step",
        "servers.apply_snapshot/swap",
        "--moment",
        "after-effect",
        "--resource",
        "server/web",
        "--count",
        "1",
        "--for",
        "10m",
        "--message",
        "swap it, a runbook is tested",
    ]);
    assert_eq!(added["moment"], "after_effect");
    let rollback = ["rollback", "web", "--to", "before", "--yes"];
    let (value, code) = server.json(&rollback);
    assert_eq!(
        (code, &value["error"]["code"]),
        (4, &json!("BO0036")),
        "{value}"
    );
    assert_eq!(value["job"]["outcome"], "reverted");
    assert_eq!(
        value["job"]["error"]["message"],
        "swap it, a runbook is tested"
    );
    assert_eq!(std::fs::read(&disk).unwrap(), written);
    let listed = server.ok(&["faults", "list"]);
    assert_eq!(
        (&listed[0]["state"], &listed[0]["hits"]),
        (&json!("used_up"), &json!(1))
    );

    // Now one that fails, and whose undo fails: the job is held.
    let once = |more: &[&str]| {
        let all = [&["faults", "add", "--count", "1", "--step"], more].concat();
        server.ok(&all)["id"].as_str().unwrap().to_owned()
    };
    once(&["servers.apply_snapshot/swap"]);
    let gone = once(&["servers.apply_snapshot/start"]);
    server.ok(&["faults", "remove", &gone]);
    once(&["servers.apply_snapshot/keep", "--undo"]);
    let (held, code) = server.json(&rollback);
    assert_eq!(code, 5, "{held}");
    let job = held["job"]["id"].as_str().unwrap();
    // The fault is used up, so the undo gets through.
    let (value, code) = server.json(&["jobs", "retry", job]);
    assert_eq!(code, 4, "{value}");
    assert_eq!(std::fs::read(&disk).unwrap(), written);
    let (done, code) = server.json(&rollback);
    assert_eq!(code, 0, "{done}");
    assert_ne!(std::fs::read(&disk).unwrap(), written);

    let shown = server.cli(&["faults", "list"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains("undo of servers.apply_snapshot/keep") && shown.contains("used up"),
        "{shown}"
    );
    assert_eq!(server.ok(&["faults", "clear"]), json!({ "removed": 3 }));
    assert_eq!(server.ok(&["faults", "list"]), json!([]));
}

#[test]
fn half_a_fault_is_wrong_usage() {
    let server = Running::start(&["--faults"]);
    for args in [
        &["faults", "add"][..],
        &["faults", "add", "--action", "lighthouse:*"],
        &["faults", "add", "--code", "InternalError"],
        &[
            "faults",
            "add",
            "--action",
            "lighthouse:*",
            "--code",
            "InternalError",
            "--step",
            "a/b",
        ],
        &[
            "faults",
            "add",
            "--action",
            "lighthouse:*",
            "--code",
            "InternalError",
            "--undo",
        ],
        &["faults", "add", "--step", "a/b", "--for", "soon"],
        &["faults", "add", "--step", "a/b", "--count", "0"],
    ] {
        let (value, code) = server.json(args);
        assert_eq!(code, 2, "{args:?}: {value}");
    }
}
