//! Servers, data disks and images from the command line, against a real server
//! process.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::path::Path;

use backout_machines::testing::Guest;
use common::Running;
use serde_json::{Value, json};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A data disk `name` of one MiB, that is copied.
fn data_disk(server: &Running, name: &str) -> Value {
    server.make_disk(name, 1);
    let file = server.disk(name);
    server.ok(&[
        "disks",
        "add",
        name,
        "--file",
        text(&file),
        "--driver",
        "copy",
    ])
}

/// A server with commands that leave a trace; returns the path of that.
fn commanded(server: &Running, name: &str) -> std::path::PathBuf {
    let trace = server.folder().join(format!("{name}.runs"));
    server.make_disk(name, 1);
    let (start, stop) = (
        format!("touch '{}'", trace.display()),
        format!("rm -f '{}'", trace.display()),
    );
    let disk = server.disk(name);
    server.ok(&[
        "servers",
        "add",
        name,
        "--disk",
        text(&disk),
        "--driver",
        "copy",
        "--start-cmd",
        &start,
        "--stop-cmd",
        &stop,
    ]);
    trace
}

#[track_caller]
fn refused(server: &Running, args: &[&str], exit: i32, code: &str) -> Value {
    let (answer, got) = server.json(args);
    assert_eq!(got, exit, "{args:?} {answer}");
    assert_eq!(answer["error"]["code"], code, "{args:?} {answer}");
    answer
}

#[test]
fn a_data_disk_goes_back_and_forth() {
    let server = Running::start(&[]);
    let added = data_disk(&server, "data");
    let file = server.disk("data");
    assert!(added["id"].as_str().unwrap().starts_with("lhdisk-"));
    assert_eq!(added["resource"], "disk/data");
    assert_eq!(added["usage"], "data");
    assert_eq!(added["state"], "unattached");
    assert_eq!(added["path"], text(&file.canonicalize().unwrap()));
    assert_eq!(added["made"], false);
    assert!(added["added_by"].as_str().unwrap().starts_with("job_"));
    assert_eq!(server.ok(&["resources"])[0]["resource"], "disk/data");
    assert_eq!(
        server.ok(&["disks", "show", added["id"].as_str().unwrap()])["name"],
        "data"
    );

    let before = std::fs::read(&file).unwrap();
    let made = server.ok(&["snapshots", "create", "disk/data", "--name", "before"]);
    let point = made["snapshot_id"].as_str().unwrap();
    assert!(point.starts_with("lhbak-"), "{made}");
    let mut after = before.clone();
    after[8192..9000].fill(0xff);
    std::fs::write(&file, &after).unwrap();
    assert_eq!(
        server.ok(&["check", "disk/data", "--to", "before"])["passed"],
        true
    );
    let plan = server.ok(&["plan", "disk/data", "--to", "before"]);
    assert_eq!(plan["plan"]["procedure"], "servers.apply_snapshot");
    let done = server.ok(&["rollback", "disk/data", "--to", "before", "--yes"]);
    assert_eq!(std::fs::read(&file).unwrap(), before);
    let job = done["job"]["id"].as_str().unwrap();
    server.ok(&["undo", job, "--yes"]);
    assert_eq!(std::fs::read(&file).unwrap(), after);

    let renamed = server.ok(&["snapshots", "rename", point, "good"]);
    assert_eq!(
        (&renamed["name"], &renamed["id"]),
        (&json!("good"), &json!(point))
    );
    refused(
        &server,
        &["check", "disk/data", "--to", "before"],
        1,
        "BO0006",
    );
    server.ok(&["rollback", "disk/data", "--to", "good", "--yes"]);
    assert_eq!(std::fs::read(&file).unwrap(), before);

    let points = server.ok(&["snapshots", "list", "disk/data"]);
    let kinds: Vec<&Value> = points
        .as_array()
        .unwrap()
        .iter()
        .map(|p| &p["kind"])
        .collect();
    assert!(kinds.contains(&&json!("user")) && kinds.contains(&&json!("safety")));
    assert!(
        points
            .as_array()
            .unwrap()
            .iter()
            .all(|p| p["server"].is_null() && p["expires"].is_null() == (p["kind"] == "user")),
        "{points}"
    );
    assert_eq!(server.ok(&["snapshots", "list"]), points);
    let jobs = server.ok(&["jobs", "list", "--resource", "disk/data"]);
    assert_eq!(jobs.as_array().unwrap().len(), 5, "{jobs}");
    server.ok(&["snapshots", "delete", point]);

    refused(&server, &["disks", "remove", "data"], 2, "BO0002");
    server.ok(&["disks", "remove", "data", "--yes"]);
    assert_eq!(server.ok(&["disks", "list"]), json!([]));
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[test]
fn a_blank_disk_goes_with_its_restore_points() {
    let server = Running::start(&[]);
    let made = server.ok(&["disks", "add", "blank", "--size", "8M", "--driver", "copy"]);
    assert_eq!(
        (&made["made"], &made["size_bytes"]),
        (&json!(true), &json!(8 << 20))
    );
    let file = Path::new(made["path"].as_str().unwrap()).to_owned();
    assert_eq!(file.metadata().unwrap().len(), 8 << 20);
    server.ok(&["snapshots", "create", "disk/blank"]);
    let gone = server.ok(&["disks", "remove", "blank", "--yes"]);
    assert_eq!(gone["job"]["outcome"], "applied");
    assert!(!file.exists());
    refused(&server, &["disks", "show", "blank"], 1, "BO0006");
    refused(
        &server,
        &["disks", "add", "small", "--size", "100"],
        1,
        "BO0002",
    );
    for usage in [
        &["disks", "add", "x"][..],
        &["disks", "add", "x", "--size", "1G", "--file", "/x"],
        &["disks", "add", "x", "--size", "much"],
        &["servers", "add", "x", "--disk", "/x", "--cpus", "2"],
        &["servers", "add", "x", "--disk", "/x", "--kernel", "/k"],
        &["servers", "schedule", "x"],
        &["servers", "schedule", "x", "--every", "1h"],
        &["servers", "schedule", "x", "--off", "--keep", "1"],
        &["servers", "stop", "x", "--hard", "--soft"],
        &["servers", "start"],
    ] {
        refused(&server, usage, 2, "BO0002");
    }
}

#[test]
fn a_data_disk_is_given_to_a_server_and_taken_back() {
    let server = Running::start(&[]);
    commanded(&server, "web");
    data_disk(&server, "data");
    let attached = server.ok(&["disks", "attach", "data", "web"]);
    assert_eq!(attached["jobs"][0]["outcome"], "applied");
    let shown = server.ok(&["servers", "show", "web"]);
    assert_eq!(shown["disks"][0]["name"], "data");
    assert_eq!(shown["disks"][0]["state"], "attached");
    assert_eq!(server.ok(&["servers", "list"])[0], shown);
    let disks = server.ok(&["disks", "list", "--server", "web"]);
    assert_eq!(disks.as_array().unwrap().len(), 1);
    assert_eq!(disks[0]["server"], shown["id"]);
    let all = server.ok(&["disks", "list", "--all"]);
    let usages: Vec<&Value> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|d| &d["usage"])
        .collect();
    assert!(usages.contains(&&json!("system")) && usages.len() == 2);
    // The system disk is no data disk, by whatever name.
    let system = shown["disk"]["id"].as_str().unwrap();
    refused(&server, &["disks", "detach", system], 3, "BO0050");
    refused(&server, &["disks", "remove", "data", "--yes"], 3, "BO0050");
    refused(&server, &["disks", "attach", "data", "web"], 3, "BO0050");
    refused(&server, &["disks", "attach", "data", "nope"], 1, "BO0006");
    refused(&server, &["disks", "attach", "nope", "web"], 1, "BO0006");
    // Its restore points go on.
    server.ok(&["snapshots", "create", "disk/data", "--name", "one"]);
    server.ok(&["rollback", "disk/data", "--to", "one", "--yes"]);
    server.ok(&["disks", "detach", "data"]);
    assert_eq!(server.ok(&["disks", "show", "data"])["state"], "unattached");
    assert_eq!(server.ok(&["servers", "show", "web"])["disks"], json!([]));
    refused(&server, &["disks", "detach", "data"], 3, "BO0050");
}

#[test]
fn commands_start_and_stop_servers() {
    let server = Running::start(&[]);
    let web = commanded(&server, "web");
    let db = commanded(&server, "db");
    let started = server.ok(&["servers", "start", "web", "db"]);
    assert_eq!(started["jobs"].as_array().unwrap().len(), 2, "{started}");
    assert!(web.exists() && db.exists());
    assert_eq!(server.ok(&["servers", "show", "web"])["state"], "running");
    refused(&server, &["servers", "start", "web"], 3, "BO0029");
    server.ok(&["servers", "reboot", "web"]);
    assert!(web.exists());
    let stopped = server.ok(&["servers", "stop", "db", "--no-wait"]);
    let job = stopped["jobs"][0].as_str().unwrap();
    server.ok(&["jobs", "watch", job]);
    assert!(web.exists() && !db.exists());
    assert_eq!(server.ok(&["servers", "show", "db"])["state"], "stopped");
    // All of them or none.
    refused(&server, &["servers", "start", "db", "web"], 3, "BO0029");
    refused(&server, &["servers", "start", "db", "nope"], 1, "BO0006");
    assert!(!db.exists());
    server.ok(&["servers", "stop", "web", "--hard"]);
    assert!(!web.exists());
    // A command that fails takes the job back.
    server.make_disk("odd", 1);
    let disk = server.disk("odd");
    server.ok(&[
        "servers",
        "add",
        "odd",
        "--disk",
        text(&disk),
        "--start-cmd",
        "exit 3",
        "--stop-cmd",
        "true",
    ]);
    refused(&server, &["servers", "start", "odd"], 4, "BO0030");
    assert_eq!(server.ok(&["servers", "show", "odd"])["state"], "stopped");
    let set = server.ok(&[
        "servers",
        "set",
        "odd",
        "--start-cmd",
        "true",
        "--stop-cmd",
        "",
    ]);
    assert_eq!(
        (&set["start_cmd"], &set["stop_cmd"]),
        (&json!("true"), &Value::Null),
        "{set}"
    );
    server.ok(&["servers", "start", "odd"]);
    refused(&server, &["servers", "set", "odd"], 2, "BO0002");
    server.make_disk("alone", 1);
    let disk = server.disk("alone");
    server.ok(&["servers", "add", "alone", "--disk", text(&disk)]);
    refused(&server, &["servers", "start", "alone"], 3, "BO0029");

    refused(&server, &["servers", "isolate", "web"], 2, "BO0002");
    refused(
        &server,
        &["servers", "terminate", "web", "--yes"],
        3,
        "BO0029",
    );
    server.ok(&["servers", "isolate", "web", "--yes"]);
    assert_eq!(server.ok(&["servers", "show", "web"])["state"], "isolated");
    let (asked, code) = server.json(&["servers", "terminate", "web"]);
    assert_eq!(code, 2);
    let message = asked["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("backout servers terminate web --yes"),
        "{message}"
    );
    server.ok(&["servers", "terminate", "web", "--yes"]);
    refused(&server, &["servers", "show", "web"], 1, "BO0006");
    assert!(server.disk("web").exists(), "a file of the user's stays");
}

#[test]
fn images_are_kept_and_made() {
    let server = Running::start(&[]);
    commanded(&server, "web");
    server.make_disk("base", 1);
    let file = server.disk("base");
    let base = server.ok(&[
        "images",
        "add",
        "base",
        "--file",
        text(&file),
        "--kernel",
        text(&file),
        "--append",
        "-v console=ttyS0",
    ]);
    assert!(base["id"].as_str().unwrap().starts_with("lhbp-"));
    assert_eq!(base["boot"]["append"], "-v console=ttyS0");
    assert_eq!(server.ok(&["images", "show", "base"]), base);
    let made = server.ok(&["images", "create", "of web", "--server", "web"]);
    let id = made["image_id"].as_str().unwrap();
    let image = server.ok(&["images", "show", id]);
    assert_eq!(
        (&image["state"], &image["made"]),
        (&json!("normal"), &json!(true))
    );
    let path = Path::new(image["path"].as_str().unwrap()).to_owned();
    assert!(path.exists());
    assert_eq!(server.ok(&["images", "list"]).as_array().unwrap().len(), 2);
    // What it would take, and what it cannot.
    let plan = ["servers", "create", "app", "--image", "of web", "--dry-run"];
    let proposed = server.ok(&[&plan[..], &["--size", "bundle_1c512m10"]].concat());
    assert_eq!(proposed["plan"]["procedure"], "servers.create");
    assert_eq!(server.ok(&["servers", "list"]).as_array().unwrap().len(), 1);
    refused(
        &server,
        &[&plan[..], &["--size", "huge"]].concat(),
        1,
        "BO0006",
    );
    let none = [
        "servers",
        "create",
        "app",
        "--image",
        "none",
        "--size",
        "bundle_1c512m10",
    ];
    refused(&server, &none, 1, "BO0006");
    let sizes = server.ok(&["servers", "sizes"]);
    assert!(
        sizes
            .as_array()
            .unwrap()
            .iter()
            .any(|s| s["id"] == "bundle_1c512m10" && s["memory_bytes"] == 512 << 20)
    );
    server.ok(&["images", "delete", id]);
    assert!(!path.exists());
    server.ok(&["images", "delete", "base"]);
    assert!(file.exists(), "a file of the user's stays");
    refused(&server, &["images", "delete", id], 1, "BO0006");
}

#[test]
fn a_schedule_is_set_and_ended() {
    let server = Running::with_server("web", 1);
    assert_eq!(
        server.ok(&["servers", "show", "web"])["schedule"],
        Value::Null
    );
    let set = server.ok(&[
        "servers", "schedule", "web", "--every", "24h", "--keep", "7",
    ]);
    assert_eq!(set["schedule"]["every_seconds"], 86_400);
    assert_eq!(set["schedule"]["keep"], 7);
    let human = server.cli(&["servers", "show", "web"]);
    let human = String::from_utf8(human.stdout).unwrap();
    assert!(human.contains("every 1d, 7 kept"), "{human}");
    let args = ["servers", "schedule", "web", "--every", "1s", "--keep", "1"];
    refused(&server, &args, 1, "BO0002");
    let off = server.ok(&["servers", "schedule", "web", "--off"]);
    assert_eq!(off["schedule"], Value::Null);
}

#[test]
fn names_may_be_odd() {
    let server = Running::start(&[]);
    for (number, name) in ["a/b", "disk/a", "über maß", "50%", "x?y#z&c=d", ".."]
        .into_iter()
        .enumerate()
    {
        let file = format!("odd{number}");
        let added = {
            server.make_disk(&file, 1);
            let disk = server.disk(&file);
            server.ok(&[
                "servers",
                "add",
                name,
                "--disk",
                text(&disk),
                "--driver",
                "copy",
            ])
        };
        assert_eq!(added["name"], name);
        assert_eq!(server.ok(&["servers", "show", name])["id"], added["id"]);
        let resource = format!("server/{name}");
        assert_eq!(added["resource"], resource.as_str());
        server.ok(&["snapshots", "create", &resource, "--name", name]);
        let listed = server.ok(&["snapshots", "list", &resource]);
        assert_eq!(listed[0]["name"], name);
        assert_eq!(
            server.ok(&["check", &resource, "--to", name])["passed"],
            true
        );
        let plain = format!("plain-{number}");
        let renamed = server.ok(&["servers", "rename", name, &plain]);
        assert_eq!(
            (&renamed["id"], &renamed["name"]),
            (&added["id"], &json!(plain))
        );
        refused(&server, &["servers", "show", name], 1, "BO0006");
    }
    refused(
        &server,
        &["servers", "rename", "plain-0", "plain-1"],
        3,
        "BO0007",
    );
    refused(&server, &["servers", "rename", "plain-0", ""], 1, "BO0002");
    refused(&server, &["check", "odd/plain-0", "--to", "x"], 1, "BO0002");
}

#[test]
fn a_server_is_a_machine() {
    let guest = Guest::prepare().unwrap();
    let server = Running::start(&[]);
    server.make_disk("vm", 8);
    let disk = server.disk("vm");
    let added = server.ok(&[
        "servers",
        "add",
        "vm",
        "--disk",
        text(&disk),
        "--machine",
        "--memory",
        "128M",
        "--kernel",
        text(&guest.kernel),
        "--initrd",
        text(&guest.initrd),
        "--append",
        "console=ttyS0 quiet panic=-1",
    ]);
    assert_eq!(added["state"], "stopped");
    // What could never start is refused at once.
    server.make_disk("odd", 1);
    let odd = server.disk("odd");
    let add = ["servers", "add", "odd", "--disk", text(&odd), "--machine"];
    for more in [
        &["--memory", "1M"][..],
        &["--memory", "33554433"],
        &["--cpus", "999"],
        &["--kernel", "/no/such"],
    ] {
        refused(&server, &[&add[..], more].concat(), 1, "BO0002");
    }
    assert_eq!(added["machine"]["memory_bytes"], 128 << 20);
    assert_eq!(added["machine"]["cpus"], 1);
    server.ok(&["servers", "start", "vm"]);
    assert_eq!(server.ok(&["servers", "show", "vm"])["state"], "running");
    refused(&server, &["servers", "remove", "vm", "--yes"], 3, "BO0029");
    server.ok(&["snapshots", "create", "vm", "--name", "up"]);
    data_disk(&server, "data");
    server.ok(&["disks", "attach", "data", "vm"]);
    // It is stopped by force, and runs again after.
    server.ok(&["rollback", "vm", "--to", "up", "--yes"]);
    let shown = server.ok(&["servers", "show", "vm"]);
    assert_eq!(shown["state"], "running");
    assert_eq!(shown["disks"][0]["state"], "attached");
    // It boots at this moment, and gives the disk away when it is up.
    server.ok(&["disks", "detach", "data"]);
    server.ok(&["servers", "stop", "vm", "--hard"]);
    assert_eq!(server.ok(&["servers", "show", "vm"])["state"], "stopped");
    server.ok(&["servers", "remove", "vm", "--yes"]);
}

#[test]
fn servers_are_made_of_an_image_and_given_back() {
    let guest = Guest::prepare().unwrap();
    let server = Running::start(&[]);
    server.make_disk("base", 8);
    let file = server.disk("base");
    server.ok(&[
        "images",
        "add",
        "base",
        "--file",
        text(&file),
        "--kernel",
        text(&guest.kernel),
        "--initrd",
        text(&guest.initrd),
        "--append",
        "console=ttyS0 quiet panic=-1",
    ]);
    let made = server.ok(&[
        "servers",
        "create",
        "app",
        "--image",
        "base",
        "--size",
        "bundle_1c512m10",
    ]);
    let app = &made["servers"][0];
    assert_eq!(app["state"], "running", "{made}");
    assert_eq!(app["size"], "bundle_1c512m10");
    assert_eq!(app["disk"]["size_bytes"], 10_u64 << 30);
    let disk = Path::new(app["disk"]["path"].as_str().unwrap()).to_owned();
    refused(&server, &["servers", "reset", "app"], 2, "BO0002");
    let reset = server.ok(&["servers", "reset", "app", "--yes"]);
    let job = reset["job"]["id"].as_str().unwrap();
    server.ok(&["undo", job, "--yes"]);
    server.ok(&["servers", "isolate", "app", "--yes"]);
    server.ok(&["servers", "terminate", "app", "--yes"]);
    assert!(!disk.exists(), "what was made here goes");
    assert!(file.exists());
    assert_eq!(server.ok(&["resources"]), json!([]));
}
