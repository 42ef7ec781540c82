//! Data disks, images and the life of servers over the native API.

use serde_json::{Value, json};

use crate::house::{Answer, House, basic};

/// A data disk; returns when its job is done.
fn disk(house: &House, name: &str) -> Value {
    let file = house.image(&format!("{name}.data"));
    let body = json!({ "name": name, "file": file, "driver": "copy" });
    let added = house.call("POST", "/v1/disks", Some(body)).expect(202);
    house.applied(&added["job"]);
    house
        .call("GET", &format!("/v1/disks/{name}"), None)
        .expect(200)
}

/// A server that is started and stopped by commands which do nothing.
fn commanded(house: &House, name: &str) {
    let file = house.image(&format!("{name}.img"));
    let body = json!({ "name": name, "disk": file, "driver": "copy", "start_cmd": "true", "stop_cmd": "true" });
    let added = house.call("POST", "/v1/servers", Some(body)).expect(202);
    house.applied(&added["job"]);
}

fn attach(house: &House, disk: &str, server: &str) {
    let body = json!({ "disks": [disk], "server": server });
    let jobs = house.call("POST", "/v1/attach", Some(body)).expect(202);
    house.applied(&jobs["jobs"][0]);
}

/// Somebody whose policy has these statements.
fn somebody(house: &House, name: &str, statements: &Value) -> String {
    let policy = json!({ "Version": "1", "Statement": statements });
    let body = json!({ "name": name, "policy": policy });
    let made = house.call("POST", "/v1/accounts", Some(body)).expect(201);
    basic(
        made["key"]["secret_id"].as_str().unwrap(),
        made["key"]["secret_key"].as_str().unwrap(),
    )
}

#[test]
fn a_data_disk_has_restore_points() {
    let house = House::start();
    let data = disk(&house, "data");
    let path = "/v1/disks/data/snapshots";
    let made = house
        .call("POST", path, Some(json!({ "name": "one" })))
        .expect(202);
    house.applied(&made["job"]);
    let id = made["snapshot_id"].as_str().unwrap();
    let points = house.call("GET", path, None).expect(200);
    assert_eq!(points["items"][0]["id"], id);
    assert_eq!(points["items"][0]["disk"], data["id"]);
    assert_eq!(points["items"][0]["server"], Value::Null);
    let by_id = format!("/v1/disks/{}/snapshots", data["id"].as_str().unwrap());
    assert_eq!(house.call("GET", &by_id, None).expect(200), points);
    let renamed = house
        .call(
            "PATCH",
            &format!("/v1/snapshots/{id}"),
            Some(json!({ "name": "two" })),
        )
        .expect(200);
    assert_eq!(renamed["name"], "two");
    house
        .call(
            "PATCH",
            &format!("/v1/snapshots/{id}"),
            Some(json!({ "name": "" })),
        )
        .refused(400, "BO0002");
    let ask = json!({ "resource": "disk/data", "to": "two" });
    let job = house.call("POST", "/v1/rollback", Some(ask)).expect(202)["job"].clone();
    house.applied(&job);
    let jobs = house
        .call("GET", "/v1/jobs?resource=disk/data", None)
        .expect(200);
    assert_eq!(jobs["items"].as_array().unwrap().len(), 3);
    let undo = house
        .call(
            "POST",
            &format!("/v1/jobs/{}/undo", job.as_str().unwrap()),
            None,
        )
        .expect(202);
    house.applied(&undo["job"]);
    let gone = house.call("DELETE", "/v1/disks/data", None).expect(202);
    house.applied(&gone["job"]);
    house
        .call("GET", "/v1/disks/data", None)
        .refused(404, "BO0006");
    house.call("GET", path, None).refused(404, "BO0006");
}

#[test]
fn resources_are_servers_and_then_disks() {
    let house = House::start();
    for name in ["a", "b"] {
        house.server(name);
        disk(&house, name);
    }
    for limit in 1..=5 {
        let mut seen = Vec::new();
        let mut path = format!("/v1/resources?limit={limit}");
        loop {
            let page = house.call("GET", &path, None).expect(200);
            let items = page["items"].as_array().unwrap();
            assert!(!items.is_empty() && items.len() <= limit);
            seen.extend(
                items
                    .iter()
                    .map(|i| i["resource"].as_str().unwrap().to_owned()),
            );
            match page["next"].as_str() {
                Some(next) => path = format!("/v1/resources?limit={limit}&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen.len(), 4, "{seen:?}");
        assert!(
            seen[..2].iter().all(|r| r.starts_with("server/")),
            "{seen:?}"
        );
        assert!(seen[2..].iter().all(|r| r.starts_with("disk/")), "{seen:?}");
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 4);
    }
    let system = house
        .call("GET", "/v1/disks?usage=system&server=a", None)
        .expect(200);
    assert_eq!(system["items"].as_array().unwrap().len(), 1);
    assert_eq!(system["items"][0]["name"], "a");
    for bad in ["usage=odd", "what=1", "limit=0"] {
        house
            .call("GET", &format!("/v1/disks?{bad}"), None)
            .refused(400, "BO0002");
    }
    house
        .call("GET", "/v1/disks?server=nope", None)
        .refused(404, "BO0006");
}

#[test]
fn what_a_server_feels_must_be_allowed_on_it() {
    let house = House::start();
    commanded(&house, "web");
    disk(&house, "data");
    let made = house
        .call(
            "POST",
            "/v1/disks/data/snapshots",
            Some(json!({ "name": "one" })),
        )
        .expect(202);
    house.applied(&made["job"]);
    let on_disk = json!([{ "Effect": "Allow", "Action": "backout:*", "Resource": ["disk/data", "disk/nope"] }]);
    let on_both = json!([{ "Effect": "Allow", "Action": "backout:*", "Resource": ["disk/data", "server/web"] }]);
    let but_web = json!([
        { "Effect": "Allow", "Action": "backout:*", "Resource": "*" },
        { "Effect": "Deny", "Action": "backout:*", "Resource": "server/web" }
    ]);
    let disks_only = somebody(&house, "disks", &on_disk);
    let both = somebody(&house, "both", &on_both);
    let careful = somebody(&house, "careful", &but_web);
    let ask = json!({ "resource": "disk/data", "to": "one" });
    let as_who = |who: &str, method: &str, path: &str, body: Option<&Value>| -> Answer {
        house.call_as(who, method, path, body.cloned(), &[])
    };
    // Alone, it is nobody else's.
    as_who(&disks_only, "POST", "/v1/check", Some(&ask)).expect(200);
    let plug = json!({ "disks": ["data"], "server": "web" });
    as_who(&disks_only, "POST", "/v1/attach", Some(&plug)).refused(403, "BO0004");
    as_who(&careful, "POST", "/v1/attach", Some(&plug)).refused(403, "BO0004");
    attach(&house, "data", "web");
    for who in [&disks_only, &careful] {
        as_who(who, "POST", "/v1/check", Some(&ask)).refused(403, "BO0004");
        as_who(who, "POST", "/v1/rollback", Some(&ask)).refused(403, "BO0004");
        as_who(who, "POST", "/v1/disks/data/snapshots", None).refused(403, "BO0004");
        let unplug = json!({ "disks": ["data"] });
        as_who(who, "POST", "/v1/detach", Some(&unplug)).refused(403, "BO0004");
        as_who(who, "GET", "/v1/disks/data", None).expect(200);
        as_who(who, "GET", "/v1/disks/data/snapshots", None).expect(200);
    }
    let job = as_who(&both, "POST", "/v1/rollback", Some(&ask)).expect(202)["job"].clone();
    house.applied(&job);
    let undo = format!("/v1/jobs/{}/undo", job.as_str().unwrap());
    as_who(&disks_only, "POST", &undo, None).refused(403, "BO0004");
    house.applied(&as_who(&both, "POST", &undo, None).expect(202)["job"]);
    // The system disk is its server's, by whatever name.
    let shown = house.call("GET", "/v1/servers/web", None).expect(200);
    let system = format!("/v1/disks/{}", shown["disk"]["id"].as_str().unwrap());
    as_who(&careful, "GET", &system, None).refused(403, "BO0004");
    as_who(&both, "GET", &system, None).expect(200);
    // Who may not is not told whether it exists.
    for path in ["/v1/disks/other", "/v1/images/other", "/v1/servers/other"] {
        as_who(&disks_only, "GET", path, None).refused(403, "BO0004");
        as_who(&careful, "GET", path, None).refused(404, "BO0006");
    }
    as_who(&disks_only, "GET", "/v1/disks/nope", None).refused(404, "BO0006");
    as_who(&both, "GET", "/v1/disks", None).refused(403, "BO0004");
}

#[test]
fn batches_are_submitted_whole_and_once() {
    let house = House::start();
    commanded(&house, "a");
    commanded(&house, "b");
    house.server("stands-alone");
    let send = |path: &str, body: Value, key: &str| {
        house.call_as(
            &house.basic(),
            "POST",
            path,
            Some(body),
            &[("Idempotency-Key", key)],
        )
    };
    let both = json!({ "servers": ["a", "b"] });
    let first = send("/v1/start", both.clone(), "k1").expect(202);
    assert_eq!(first["jobs"].as_array().unwrap().len(), 2);
    for job in first["jobs"].as_array().unwrap() {
        house.applied(job);
    }
    assert_eq!(send("/v1/start", both.clone(), "k1").expect(202), first);
    send("/v1/start", json!({ "servers": ["a"] }), "k1").refused(409, "BO0009");
    send("/v1/start", both.clone(), "k2").refused(409, "BO0029");
    for how in ["soft", "soft_first", "hard"] {
        let body = json!({ "servers": ["a"], "how": how });
        let jobs = send("/v1/reboot", body, how).expect(202);
        house.applied(&jobs["jobs"][0]);
    }
    // None of them when one cannot.
    let mixed = json!({ "servers": ["a", "stands-alone"] });
    house
        .call("POST", "/v1/stop", Some(mixed))
        .refused(409, "BO0029");
    let a = house.call("GET", "/v1/servers/a", None).expect(200);
    assert_eq!(a["state"], "running");
    let many: Vec<String> = (0..101).map(|n| format!("s{n}")).collect();
    for (path, body) in [
        ("/v1/start", json!({ "servers": [] })),
        ("/v1/start", json!({ "servers": many })),
        ("/v1/start", json!({})),
        ("/v1/start", json!({ "servers": ["a"], "more": 1 })),
        ("/v1/stop", json!({ "servers": ["a"], "how": "gently" })),
        ("/v1/attach", json!({ "disks": [], "server": "a" })),
        ("/v1/detach", json!({ "disks": many })),
        ("/v1/disks", json!({ "name": "x" })),
        (
            "/v1/disks",
            json!({ "name": "x", "file": "/x", "size_bytes": 1 << 20 }),
        ),
        ("/v1/disks", json!({ "name": "x", "size_bytes": -1 })),
        ("/v1/compact", json!({ "resource": "odd/x" })),
    ] {
        house.call("POST", path, Some(body)).refused(400, "BO0002");
    }
    let isolate = json!({ "servers": ["a", "b"], "with_disks": true });
    let jobs = send("/v1/isolate", isolate, "i").expect(202);
    for job in jobs["jobs"].as_array().unwrap() {
        house.applied(job);
    }
    let jobs = send("/v1/terminate", both.clone(), "t").expect(202);
    for job in jobs["jobs"].as_array().unwrap() {
        house.applied(job);
    }
    // They are gone, and the call is the same.
    assert_eq!(send("/v1/terminate", both, "t").expect(202), jobs);
    house
        .call("GET", "/v1/servers/a", None)
        .refused(404, "BO0006");
}

#[test]
fn schedules_sizes_and_names() {
    let house = House::start();
    house.server("web");
    let path = "/v1/servers/web/schedule";
    let body = json!({ "every_seconds": 86_400, "keep": 7 });
    let set = house.call("PUT", path, Some(body)).expect(200);
    assert_eq!(set["schedule"]["every_seconds"], 86_400);
    assert_eq!(set["schedule"]["keep"], 7);
    for bad in [
        json!({ "every_seconds": 1, "keep": 7 }),
        json!({ "every_seconds": 86_400, "keep": 0 }),
        json!({ "every_seconds": i64::MAX, "keep": 1 }),
        json!({ "every_seconds": 86_400 }),
    ] {
        house.call("PUT", path, Some(bad)).refused(400, "BO0002");
    }
    let off = house.call("DELETE", path, None).expect(200);
    assert_eq!(off["schedule"], Value::Null);
    let sizes = house.call("GET", "/v1/sizes", None).expect(200);
    assert!(!sizes["items"].as_array().unwrap().is_empty());
    let renamed = house
        .call(
            "PATCH",
            "/v1/servers/web",
            Some(json!({ "name": "web two" })),
        )
        .expect(200);
    assert_eq!(renamed["resource"], "server/web two");
    house.call("GET", "/v1/servers/web%20two", None).expect(200);
    let web = house.call(
        "PATCH",
        "/v1/servers/web%20two",
        Some(json!({ "name": "web-2" })),
    );
    web.expect(200);
    let narrow =
        json!([{ "Effect": "Allow", "Action": "*", "Resource": ["server/web-2", "server/mine*"] }]);
    let who = somebody(&house, "narrow", &narrow);
    let rename = |name: &str| {
        let body = Some(json!({ "name": name }));
        house.call_as(&who, "PATCH", "/v1/servers/web-2", body, &[])
    };
    rename("yours").refused(403, "BO0004");
    assert_eq!(rename("mine-1").expect(200)["name"], "mine-1");
    let path = "/v1/servers/mine-1";
    let set = house
        .call("PATCH", path, Some(json!({ "stop_cmd": "true" })))
        .expect(200);
    assert_eq!(
        (&set["name"], &set["stop_cmd"]),
        (&json!("mine-1"), &json!("true"))
    );
    let taken = house
        .call("PATCH", path, Some(json!({ "stop_cmd": "" })))
        .expect(200);
    assert_eq!(taken["stop_cmd"], Value::Null);
    for bad in [json!({}), json!({ "name": "x", "stop_cmd": "true" })] {
        house.call("PATCH", path, Some(bad)).refused(400, "BO0002");
    }
    // A command runs on the host: to be allowed to rename is not enough.
    let renames = json!([{ "Effect": "Allow", "Action": "backout:RenameServer", "Resource": "*" }]);
    let who = somebody(&house, "renames", &renames);
    let body = Some(json!({ "start_cmd": "true" }));
    house
        .call_as(&who, "PATCH", path, body, &[])
        .refused(403, "BO0004");
    let body = Some(json!({ "name": "mine-2" }));
    house.call_as(&who, "PATCH", path, body, &[]).expect(200);
}

#[test]
fn images_are_referred_to() {
    let house = House::start();
    let file = house.image("base.img");
    let body = json!({ "name": "base", "file": file, "description": "as shipped" });
    let base = house.call("POST", "/v1/images", Some(body)).expect(201);
    assert_eq!(base["state"], "normal");
    assert_eq!(base["boot"], Value::Null);
    let listed = house.call("GET", "/v1/images", None).expect(200);
    assert_eq!(listed["items"], json!([base]));
    let ask = json!({ "name": "app", "size": "bundle_1c512m10" });
    let plan = house
        .call("POST", "/v1/images/base/servers/plan", Some(ask.clone()))
        .expect(200);
    assert_eq!(plan["plan"]["procedure"], "servers.create");
    let none = json!({ "name": "x", "file": "/no/such" });
    house
        .call("POST", "/v1/images", Some(none))
        .refused(409, "BO0020");
    // The names that the servers will have are judged, too.
    let narrow =
        json!([{ "Effect": "Allow", "Action": "*", "Resource": ["image/base", "server/app"] }]);
    let who = somebody(&house, "narrow", &narrow);
    let plan_as = |body: Value| {
        let path = "/v1/images/base/servers/plan";
        house.call_as(&who, "POST", path, Some(body), &[])
    };
    plan_as(ask).expect(200);
    plan_as(json!({ "name": "app", "count": 2, "size": "bundle_1c512m10" })).refused(403, "BO0004");
    plan_as(json!({ "name": "other", "size": "bundle_1c512m10" })).refused(403, "BO0004");
    plan_as(json!({ "size": "bundle_1c512m10" })).refused(403, "BO0004");
    let gone = house.call("DELETE", "/v1/images/base", None).expect(202);
    house.applied(&gone["job"]);
    assert!(file.exists());
}

#[test]
fn an_account_is_disabled_whole() {
    let house = House::start();
    let all = json!([{ "Effect": "Allow", "Action": "*", "Resource": "*" }]);
    let who = somebody(&house, "ci", &all);
    let list = || house.call_as(&who, "GET", "/v1/servers", None, &[]);
    list().expect(200);
    let set = |account: &str, status: &str| {
        let path = format!("/v1/accounts/{account}");
        house.call("PATCH", &path, Some(json!({ "status": status })))
    };
    assert_eq!(set("ci", "disabled").expect(200)["disabled"], true);
    list().refused(401, "BO0003");
    assert_eq!(set("ci", "active").expect(200)["disabled"], false);
    list().expect(200);
    set("ci", "odd").refused(400, "BO0002");
    set("nobody", "disabled").refused(404, "BO0006");
    assert!(set("admin", "disabled").status >= 400);
    // Its disks are resources, too.
    let own = json!({ "name": "own" });
    let made = house.call("POST", "/v1/accounts", Some(own)).expect(201);
    let own = basic(
        made["key"]["secret_id"].as_str().unwrap(),
        made["key"]["secret_key"].as_str().unwrap(),
    );
    let file = house.image("own.data");
    let body = json!({ "name": "d", "file": file, "driver": "copy" });
    let added = house
        .call_as(&own, "POST", "/v1/disks", Some(body), &[])
        .expect(202);
    house.applied(&added["job"]);
    let message = house
        .call("DELETE", "/v1/accounts/own", None)
        .refused(400, "BO0002");
    assert!(message.contains("resources"), "{message}");
}
