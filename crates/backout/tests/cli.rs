//! The command line against a real server: what scripts rely on.

mod common;

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use common::{Running, TlsFiles, backout};
use serde_json::Value;

#[test]
fn a_folder_that_others_may_pass_stays_so_and_shows_them_nothing() {
    let mut server = Running::start(&[]);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0), "{}", server.log());
    let data = server.data();
    let mode = |name: &str| data.join(name).metadata().unwrap().permissions().mode() & 0o777;
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o711)).unwrap();
    std::fs::set_permissions(
        data.join("state.db"),
        std::fs::Permissions::from_mode(0o644),
    )
    .unwrap();
    std::fs::remove_dir_all(data.join("requests")).unwrap();
    server.restart();
    server.ok(&["accounts", "list"]);
    assert_eq!(
        (mode("."), mode("state.db"), mode("admin.json")),
        (0o711, 0o600, 0o600)
    );
    // What is made from then on.
    assert_eq!(mode("requests") & 0o066, 0);
    assert_eq!(mode("requests/requests-00000001.jsonl") & 0o077, 0);

    server.signal("TERM");
    assert_eq!(server.wait(), Some(0), "{}", server.log());
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
    server.restart();
    assert_eq!(mode("."), 0o700);
}

#[test]
fn the_first_start_makes_admin_and_later_ones_keep_it() {
    let mut server = Running::start(&[]);
    let mode = |name: &str| {
        server
            .data()
            .join(name)
            .metadata()
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(
        (mode("."), mode("admin.json"), mode("master.key")),
        (0o700, 0o600, 0o600)
    );
    let url = server.url.clone();
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0), "{}", server.log());
    server.restart();
    // Another port, the same key: the file tells.
    assert_ne!(server.url, url);
    let accounts = server.ok(&["accounts", "list"]);
    assert_eq!(accounts[0]["name"], "admin");
    let text = std::fs::read_to_string(server.data().join("admin.json")).unwrap();
    assert!(text.contains(&server.url) && text.contains(&server.secret_id));
    assert!(!server.log().contains(&server.secret_key));
}

#[test]
fn two_servers_on_one_folder_are_refused() {
    let server = Running::start(&[]);
    let out = backout()
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(server.data())
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(1));
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(said.contains("has it; stop that one"), "{said}");
    assert!(out.stdout.is_empty());
}

#[test]
fn a_disk_goes_back_and_forth() {
    let server = Running::with_server("web", 2);
    let disk = server.disk("web");
    let before = std::fs::read(&disk).unwrap();
    let shown = server.ok(&["servers", "show", "web"]);
    assert_eq!(
        shown["disk"]["path"],
        disk.canonicalize().unwrap().to_str().unwrap()
    );
    assert_eq!(shown["disk"]["format"], "raw");
    assert!(["copy", "reflink"].contains(&shown["disk"]["driver"].as_str().unwrap()));
    let made = server.ok(&["snapshots", "create", "web", "--name", "before"]);
    assert!(made["snapshot_id"].as_str().unwrap().starts_with("lhsnap-"));
    assert_eq!(made["job"]["outcome"], "applied");

    let mut after = before.clone();
    after[4096..8192].fill(0xff);
    std::fs::write(&disk, &after).unwrap();
    let plan = server.ok(&["plan", "server/web", "--to", "before"]);
    assert_eq!(
        plan,
        server.ok(&["rollback", "web", "--to", "before", "--dry-run"])
    );
    assert_eq!(
        std::fs::read(&disk).unwrap(),
        after,
        "a dry run changed the disk"
    );
    assert_eq!(
        server.ok(&["check", "web", "--to", "before"])["passed"],
        true
    );

    let (refused, code) = server.json(&["rollback", "web", "--to", "before"]);
    assert_eq!(code, 2, "without --yes and without a terminal");
    assert!(
        refused["error"]["message"]
            .as_str()
            .unwrap()
            .contains("backout rollback web --to before --yes")
    );

    let done = server.ok(&["rollback", "web", "--to", "before", "--yes"]);
    assert_eq!(std::fs::read(&disk).unwrap(), before);
    let job = done["job"]["id"].as_str().unwrap().to_owned();
    let undone = server.ok(&["undo", &job, "--yes"]);
    assert_eq!(std::fs::read(&disk).unwrap(), after);
    assert_eq!(undone["job"]["undo_of"], job.as_str());
    // And the undo of the undo.
    let again = undone["job"]["id"].as_str().unwrap().to_owned();
    server.ok(&["undo", &again, "--yes"]);
    assert_eq!(std::fs::read(&disk).unwrap(), before);

    let request = done["job"]["request_id"].as_str().unwrap();
    assert_eq!(
        server.ok(&["requests", "show", request])["job"]["id"],
        job.as_str()
    );
    let jobs = server.ok(&["jobs", "list"]);
    assert_eq!(jobs.as_array().unwrap().len(), 5);
    assert_eq!(
        server
            .ok(&["jobs", "list", "--limit", "2"])
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let watched = server.ok(&["jobs", "watch", &job]);
    assert_eq!(watched["outcome"], "applied");
    assert!(
        !server.ok(&["jobs", "show", &job])["steps"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    // Safety points are listed beside the snapshot that was asked for.
    assert!(
        server
            .ok(&["snapshots", "list", "web"])
            .as_array()
            .unwrap()
            .len()
            >= 2
    );
    assert_eq!(server.ok(&["resources"])[0]["resource"], "server/web");
}

#[test]
fn no_wait_returns_the_job_and_repeats_start_nothing() {
    let server = Running::with_server("web", 1);
    server.ok(&["snapshots", "create", "web", "--name", "one"]);
    let args = [
        "rollback",
        "web",
        "--to",
        "one",
        "--yes",
        "--no-wait",
        "--idempotency-key",
        "k1",
    ];
    let first = server.ok(&args);
    let id = first["job"].as_str().unwrap();
    assert!(id.starts_with("job_"));
    assert_eq!(server.ok(&args), first);
    assert_eq!(server.ok(&["jobs", "watch", id])["outcome"], "applied");
}

#[test]
fn failures_have_codes_and_exit_codes() {
    let server = Running::with_server("web", 1);
    let data = server.data();
    let data = data.to_str().unwrap();
    for (args, exit, code) in [
        (&["servers", "show", "nope"][..], 1, Some("BO0006")),
        (
            &["servers", "add", "web", "--disk", "/nowhere/x.img"][..],
            3,
            Some("BO0020"),
        ),
        (&["check", "web", "--to", "nope"][..], 1, Some("BO0006")),
        (&["jobs", "show", "nonsense"][..], 1, None),
        (
            &["undo", "job_0000000000000000", "--yes"][..],
            1,
            Some("BO0006"),
        ),
        (&["no-such-command"][..], 2, Some("BO0002")),
        (&["jobs", "list", "--state", "odd"][..], 2, Some("BO0002")),
    ] {
        // `--json` and `--data` anywhere on the line.
        for line in [
            [&["--json", "--data", data], args].concat(),
            [args, &["--json", "--data", data]].concat(),
        ] {
            let out = backout().args(&line).output().unwrap();
            let text = String::from_utf8(out.stdout).unwrap();
            let value: Value =
                serde_json::from_str(&text).unwrap_or_else(|e| panic!("{line:?}: {text:?}: {e}"));
            assert_eq!(out.status.code(), Some(exit), "{line:?} {value}");
            assert!(value["error"]["message"].is_string(), "{value}");
            if let Some(code) = code {
                assert_eq!(value["error"]["code"], code, "{line:?} {value}");
            }
        }
    }
}

#[test]
fn who_calls_is_found_in_the_documented_order() {
    let server = Running::start(&[]);
    let signed = |id: &str, key: &str| {
        let out = backout()
            .args(["accounts", "list", "--json"])
            .env("BACKOUT_URL", &server.url)
            .env("BACKOUT_SECRET_ID", id)
            .env("BACKOUT_SECRET_KEY", key)
            .output()
            .unwrap();
        out.status.code()
    };
    assert_eq!(signed(&server.secret_id, &server.secret_key), Some(0));
    assert_eq!(signed(&server.secret_id, "wrong"), Some(7));
    assert_eq!(signed("AKIDnobody", &server.secret_key), Some(7));
    let nothing = backout().args(["accounts", "list"]).output().unwrap();
    assert_eq!(nothing.status.code(), Some(2));
    let nobody = backout()
        .args(["accounts", "list", "--json"])
        .env("BACKOUT_URL", "http://127.0.0.1:9")
        .env("BACKOUT_SECRET_ID", "a")
        .env("BACKOUT_SECRET_KEY", "b")
        .output()
        .unwrap();
    assert_eq!(nobody.status.code(), Some(6));
}

#[test]
fn accounts_and_their_keys() {
    let server = Running::with_server("web", 1);
    let policy = server.folder().join("policy.json");
    std::fs::write(
        &policy,
        r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":["backout:Describe*","backout:ListResources"],"Resource":"*"}]}"#,
    )
    .unwrap();
    let made = server.ok(&[
        "accounts",
        "create",
        "viewer",
        "--policy",
        policy.to_str().unwrap(),
    ]);
    let (id, key) = (
        made["key"]["secret_id"].as_str().unwrap(),
        made["key"]["secret_key"].as_str().unwrap(),
    );
    let as_viewer = |args: &[&str]| {
        backout()
            .args(args)
            .arg("--json")
            .env("BACKOUT_URL", &server.url)
            .env("BACKOUT_SECRET_ID", id)
            .env("BACKOUT_SECRET_KEY", key)
            .output()
            .unwrap()
            .status
            .code()
    };
    assert_eq!(as_viewer(&["servers", "show", "web"]), Some(0));
    assert_eq!(as_viewer(&["snapshots", "create", "web"]), Some(7));
    std::fs::write(
        &policy,
        r#"{"Version":"1","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}"#,
    )
    .unwrap();
    server.ok(&["accounts", "policy", "viewer", policy.to_str().unwrap()]);
    assert_eq!(as_viewer(&["servers", "show", "web"]), Some(7));
    let second = server.ok(&["accounts", "keys", "add", "viewer"]);
    let second = second["secret_id"].as_str().unwrap();
    server.ok(&["accounts", "keys", "disable", "viewer", second]);
    server.ok(&["accounts", "keys", "enable", "viewer", second]);
    server.ok(&["accounts", "keys", "delete", "viewer", second]);
    let token = server.ok(&["accounts", "keys", "token", "admin", "--seconds", "900"]);
    let with_token = backout()
        .args(["servers", "list"])
        .env("BACKOUT_URL", &server.url)
        .env("BACKOUT_SECRET_ID", token["secret_id"].as_str().unwrap())
        .env("BACKOUT_SECRET_KEY", token["secret_key"].as_str().unwrap())
        .env("BACKOUT_TOKEN", token["token"].as_str().unwrap())
        .output()
        .unwrap();
    assert!(with_token.status.success(), "{with_token:?}");
    let allows = r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
    std::fs::write(&policy, allows).unwrap();
    server.ok(&["accounts", "policy", "viewer", policy.to_str().unwrap()]);
    assert_eq!(as_viewer(&["servers", "show", "web"]), Some(0));
    let disabled = server.ok(&["accounts", "disable", "viewer"]);
    assert_eq!(disabled["disabled"], true);
    assert_eq!(as_viewer(&["servers", "show", "web"]), Some(7));
    assert_eq!(
        server.ok(&["accounts", "enable", "viewer"])["disabled"],
        false
    );
    assert_eq!(as_viewer(&["servers", "show", "web"]), Some(0));
    let (_, code) = server.json(&["accounts", "disable", "admin"]);
    assert_ne!(code, 0, "who manages all is not locked out");
    server.ok(&["accounts", "delete", "viewer"]);
    assert_eq!(
        server.ok(&["accounts", "list"]).as_array().unwrap().len(),
        1
    );
}

#[test]
fn a_lost_admin_file_is_made_again_on_request() {
    let mut server = Running::start(&[]);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    std::fs::remove_file(server.data().join("admin.json")).unwrap();
    server.restart();
    assert!(!server.data().join("admin.json").exists());
    server.signal("INT");
    assert_eq!(server.wait(), Some(0));
    let mut child = backout()
        .args([
            "serve",
            "--new-admin-key",
            "--listen",
            "127.0.0.1:0",
            "--data",
        ])
        .arg(server.data())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut ready)
        .unwrap();
    let listed = server.cli(&["accounts", "list"]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(listed.status.success(), "{listed:?}");
}

#[test]
fn the_command_line_speaks_tls() {
    let tls = TlsFiles::make();
    let server = Running::start(&[
        "--tls-listen",
        "127.0.0.1:0",
        "--tls-cert",
        tls.cert(),
        "--tls-key",
        tls.key(),
    ]);
    let list = |ca: Option<&str>| {
        let mut command = backout();
        if let Some(ca) = ca {
            command.env("BACKOUT_CA_FILE", ca);
        }
        command
            .args(["accounts", "list"])
            .env("BACKOUT_URL", format!("https://{}", server.tls_addr()))
            .env("BACKOUT_SECRET_ID", &server.secret_id)
            .env("BACKOUT_SECRET_KEY", &server.secret_key)
            .output()
            .unwrap()
    };
    let trusted = list(Some(tls.ca()));
    assert!(trusted.status.success(), "{trusted:?}\n{}", server.log());
    assert_eq!(list(None).status.code(), Some(6));
}

#[test]
fn the_doctor_needs_no_server() {
    let folder = tempfile::tempdir().unwrap();
    let out = backout()
        .args(["doctor", "--json", "--path"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(out.status.success());
    let report: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert!(report["checks"].as_array().unwrap().len() > 2);
    let server = Running::start(&[]);
    assert_eq!(server.ok(&["doctor"])["healthy"], true);
}

#[test]
fn a_held_port_is_told() {
    let server = Running::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let out = backout()
        .args(["serve", "--listen", server.addr(), "--data"])
        .arg(folder.path().join("d"))
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&out.stderr).contains("listen on"),
        "{out:?}"
    );
    assert!(!folder.path().join("d/state.db").exists());
}

#[test]
fn a_server_can_be_let_go_and_taken_back() {
    let server = Running::with_server("web", 1);
    let disk = server.disk("web");
    let before = std::fs::read(&disk).unwrap();
    server.ok(&["snapshots", "create", "web", "--name", "kept"]);
    let (refused, code) = server.json(&["servers", "remove", "web"]);
    assert_eq!(code, 2, "without a terminal it does not ask: {refused}");
    let gone = server.ok(&["servers", "remove", "web", "--yes"]);
    assert_eq!(gone["job"]["outcome"], "applied");
    assert_eq!(server.ok(&["servers", "list"]), serde_json::json!([]));
    assert_eq!(std::fs::read(&disk).unwrap(), before);
    server.ok(&["servers", "add", "again", "--disk", disk.to_str().unwrap()]);
    server.ok(&["snapshots", "create", "again"]);
}

#[test]
fn a_fresh_pair_has_the_names_of_the_file() {
    let server = Running::start(&[]);
    let made = server.ok(&["accounts", "create", "other"]);
    for name in ["SecretId", "SecretKey"] {
        assert!(made[name].as_str().is_some_and(|t| t.len() >= 32), "{name}");
    }
    let token = server.ok(&["accounts", "keys", "token", "other"]);
    assert!(token["Token"].is_string() && token["SecretId"].is_string());
}
