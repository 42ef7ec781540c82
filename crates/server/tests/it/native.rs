//! The native API on real state, real disks and a real worker.

use backout_store::{Error as StoreError, Store};
use serde_json::{Value, json};

use crate::house::{House, Wish, basic, events, read};

#[test]
fn a_disk_goes_back_and_that_is_undone() {
    let house = House::start();
    let disk = house.server("web");
    let first = read(&disk);
    let shown = house.call("GET", "/v1/servers/web", None).expect(200);
    assert_eq!(shown["disk"]["path"], disk.to_str().unwrap());
    assert_eq!(shown["disk"]["format"], "raw");
    assert_eq!(shown["disk"]["driver"], "copy");
    assert_eq!(shown["state"], "stopped");
    assert_eq!(
        house
            .call(
                "GET",
                &format!("/v1/servers/{}", shown["id"].as_str().unwrap()),
                None
            )
            .expect(200),
        shown
    );
    let listed = house.call("GET", "/v1/resources", None).expect(200);
    assert_eq!(listed["items"][0]["resource"], "server/web");
    assert_eq!(listed["next"], Value::Null);

    let made = house
        .call(
            "POST",
            "/v1/servers/web/snapshots",
            Some(json!({ "name": "before", "tags": [{ "key": "a", "value": "b" }] })),
        )
        .expect(202);
    house.applied(&made["job"]);
    let points = house
        .call("GET", "/v1/servers/web/snapshots", None)
        .expect(200);
    assert_eq!(points["items"][0]["id"], made["snapshot_id"]);
    assert_eq!(points["items"][0]["name"], "before");
    assert_eq!(points["items"][0]["state"], "normal");
    assert_eq!(points["items"][0]["percent"], 100);

    std::fs::write(&disk, vec![9_u8; first.len()]).unwrap();
    let ask = json!({ "resource": "server/web", "to": "before" });
    let checked = house
        .call("POST", "/v1/check", Some(ask.clone()))
        .expect(200);
    assert_eq!(checked["passed"], true, "{checked}");
    let planned = house
        .call("POST", "/v1/plan", Some(ask.clone()))
        .expect(200);
    assert!(!planned["plan"]["steps"].as_array().unwrap().is_empty());
    assert!(read(&disk) != first);
    let job = house.call("POST", "/v1/rollback", Some(ask)).expect(202)["job"].clone();
    house.applied(&job);
    assert!(read(&disk) == first);

    let id = job.as_str().unwrap();
    let shown = house
        .call("GET", &format!("/v1/jobs/{id}"), None)
        .expect(200);
    assert_eq!(shown["outcome"], "applied");
    assert!(
        shown["steps"]
            .as_array()
            .unwrap()
            .iter()
            .all(|s| s["state"] == "done"),
        "{shown}"
    );
    let undo = house
        .call("POST", &format!("/v1/jobs/{id}/undo"), None)
        .expect(202)["job"]
        .clone();
    house.applied(&undo);
    assert!(read(&disk) != first);
    let shown = house
        .call("GET", &format!("/v1/jobs/{id}"), None)
        .expect(200);
    assert_eq!(shown["undone_by"], undo);

    // Too late, and not held.
    house
        .call("POST", &format!("/v1/jobs/{id}/cancel"), Some(json!({})))
        .refused(409, "BO0014");
    house
        .call("POST", &format!("/v1/jobs/{id}/retry"), None)
        .refused(409, "BO0014");
    let gone = house
        .call(
            "DELETE",
            &format!("/v1/snapshots/{}", made["snapshot_id"].as_str().unwrap()),
            None,
        )
        .expect(202);
    house.applied(&gone["job"]);
}

#[test]
fn jobs_are_listed_page_by_page() {
    let house = House::start();
    house.server("a");
    house.server("b");
    let first = house.call("GET", "/v1/jobs?limit=1", None).expect(200);
    assert_eq!(first["items"].as_array().unwrap().len(), 1);
    let cursor = first["next"].as_str().unwrap();
    let second = house
        .call("GET", &format!("/v1/jobs?limit=1&cursor={cursor}"), None)
        .expect(200);
    assert_eq!(second["next"], Value::Null);
    assert!(first["items"][0]["id"] != second["items"][0]["id"]);
    for (query, count) in [
        ("resource=a", 1),
        ("resource=server/b", 1),
        ("state=done", 2),
        ("state=queued", 0),
        ("resource=c", 0),
    ] {
        let found = house
            .call("GET", &format!("/v1/jobs?{query}"), None)
            .expect(200);
        assert_eq!(found["items"].as_array().unwrap().len(), count, "{query}");
    }
    let page = house.call("GET", "/v1/servers?limit=1", None).expect(200);
    let next = page["next"].as_str().unwrap();
    let rest = house
        .call("GET", &format!("/v1/servers?limit=1&cursor={next}"), None)
        .expect(200);
    assert_eq!(rest["next"], Value::Null);
    for bad in [
        "limit=0",
        "limit=101",
        "limit=x",
        "cursor=x",
        "state=odd",
        "what=1",
        "resource=a/b",
    ] {
        house
            .call("GET", &format!("/v1/jobs?{bad}"), None)
            .refused(400, "BO0002");
    }
}

#[test]
fn malformed_requests() {
    let house = House::start();
    let basic = house.basic();
    let send = |headers: &[(&str, &str)], method: &str, path: &str, body: &[u8]| {
        let mut all = vec![("Authorization", basic.as_str())];
        all.extend_from_slice(headers);
        house.connect().request(method, path, &all, body)
    };
    const JSON: (&str, &str) = ("Content-Type", "application/json");
    for body in [
        "{",
        "[]",
        "null",
        "{\"resource\":\"a\"}",
        "{\"resource\":\"a\",\"to\":\"b\",\"too\":1}",
        "{\"resource\":\"a\",\"resource\":\"a\",\"to\":\"b\"}",
        "{\"resource\":1,\"to\":\"b\"}",
        "\u{feff}{}",
    ] {
        let message = send(&[JSON], "POST", "/v1/check", body.as_bytes()).refused(400, "BO0002");
        assert!(message.contains("JSON"), "{message}");
    }
    send(
        &[JSON],
        "POST",
        "/v1/check",
        b"{\"resource\":\"\xff\",\"to\":\"b\"}",
    )
    .refused(400, "BO0002");
    let ask = b"{\"resource\":\"a\",\"to\":\"b\"}";
    let message =
        send(&[("Content-Type", "text/plain")], "POST", "/v1/check", ask).refused(400, "BO0002");
    assert!(message.contains("Content-Type"), "{message}");
    send(&[], "POST", "/v1/check", ask).refused(400, "BO0002");
    send(
        &[("Content-Type", "application/json; charset=utf-8")],
        "POST",
        "/v1/check",
        ask,
    )
    .refused(404, "BO0006");
    // Deep nesting is refused, not followed.
    let deep = format!(
        "{{\"name\":\"a\",\"policy\":{}{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    send(&[JSON], "POST", "/v1/accounts", deep.as_bytes()).refused(400, "BO0002");
    // Paths and methods.
    send(&[], "GET", "/v1/nothing", b"").refused(404, "BO0006");
    send(&[], "GET", "/v1", b"").refused(404, "BO0006");
    send(&[], "GET", "/v1/servers/", b"").refused(404, "BO0006");
    send(&[], "GET", "/v1/servers/a%2Fb", b"").refused(404, "BO0006");
    send(&[], "GET", "/v1/servers/%ff", b"").refused(400, "BO0002");
    let answer = send(&[], "PATCH", "/v1/servers", b"");
    assert_eq!(answer.header("allow"), Some("GET,HEAD,POST"));
    answer.refused(405, "BO0002");
    send(&[], "GET", "/v1/jobs/nonsense", b"").refused(400, "BO0002");
    send(&[], "GET", "/v1/jobs/job_0000000000000000", b"").refused(404, "BO0006");
    send(
        &[JSON],
        "POST",
        "/v1/rollback",
        b"{\"resource\":\"apps/x\",\"to\":\"b\"}",
    )
    .refused(400, "BO0002");
    for key in ["", "a b", &"x".repeat(129)] {
        send(
            &[JSON, ("Idempotency-Key", key)],
            "POST",
            "/v1/rollback",
            ask,
        )
        .refused(400, "BO0002");
    }
    send(
        &[JSON, ("Idempotency-Key", "a"), ("Idempotency-Key", "a")],
        "POST",
        "/v1/rollback",
        ask,
    )
    .refused(400, "BO0002");
    // A driver that is none, a disk that is none.
    send(
        &[JSON],
        "POST",
        "/v1/servers",
        b"{\"name\":\"a\",\"disk\":\"/x\",\"driver\":\"zfs\"}",
    )
    .refused(400, "BO0002");
    send(
        &[JSON],
        "POST",
        "/v1/servers",
        b"{\"name\":\"a\",\"disk\":\"/no/such\"}",
    )
    .refused(409, "BO0020");
}

#[test]
fn who_calls() {
    let house = House::start();
    house.signed("GET", "/v1/servers", "", "").expect(200);
    house
        .signed("GET", "/v1/servers", "limit=2", "")
        .expect(200);
    house
        .signed("POST", "/v1/check", "", "{\"resource\":\"a\",\"to\":\"b\"}")
        .refused(404, "BO0006");
    house
        .signed("DELETE", "/v1/snapshots/lhsnap-00000000", "", "")
        .refused(404, "BO0006");
    let unsigned =
        |headers: &[(&str, &str)]| house.connect().request("GET", "/v1/servers", headers, b"");
    let answer = unsigned(&[]);
    let ways: Vec<_> = answer
        .headers
        .iter()
        .filter(|(n, _)| n == "www-authenticate")
        .map(|(_, v)| v.as_str())
        .collect();
    assert_eq!(
        ways,
        [
            "TC3-HMAC-SHA256",
            "Basic realm=\"backout\", charset=\"UTF-8\""
        ]
    );
    answer.refused(401, "BO0003");
    let (id, key) = (
        house.key.secret_id.clone(),
        house.key.secret_key.expose().to_owned(),
    );
    for bad in [
        "Bearer x".to_owned(),
        "Basic".to_owned(),
        "Basic ***".to_owned(),
        "Basic YQ==".to_owned(),
        basic(&id, "wrong"),
        basic(&id, ""),
        basic("AKIDnobody", &key),
        "TC3-HMAC-SHA256 ".to_owned(),
        "TC3-HMAC-SHA256 Credential=a/b/backout/tc3_request, SignedHeaders=content-type;host, Signature=00".to_owned(),
        format!("Basic {}", "A".repeat(5000)),
    ] {
        let message = unsigned(&[("Authorization", &bad)]).refused(401, "BO0003");
        assert!(!message.contains(&key));
    }
    // A signature is of one method, path, query and body.
    let host = house.addresses.plain.to_string();
    let sign = |method: &str, path: &str, query: &str, body: &[u8], service: &str, late_s: i64| {
        use backout_core::time::Clock as _;
        let at = backout_core::time::SystemClock
            .now()
            .plus_ms(-late_s * 1000);
        backout_wire::sign::tc3(
            &id,
            &key,
            None,
            method,
            path,
            query,
            &host,
            "application/json",
            body,
            service,
            at,
        )
    };
    let send = |signed: &[(String, String)], method: &str, target: &str, body: &[u8]| {
        let headers: Vec<_> = signed
            .iter()
            .filter(|(n, _)| n != "Host")
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        house.connect().request(method, target, &headers, body)
    };
    let good = sign("GET", "/v1/servers", "limit=1", b"", "backout", 0);
    send(&good, "GET", "/v1/servers?limit=1", b"").expect(200);
    send(&good, "GET", "/v1/servers?limit=2", b"").refused(401, "BO0003");
    send(&good, "GET", "/v1/jobs?limit=1", b"").refused(401, "BO0003");
    send(&good, "POST", "/v1/servers?limit=1", b"").refused(401, "BO0003");
    send(&good, "GET", "/v1/servers?limit=1", b"{}").refused(400, "BO0002");
    let good = sign("POST", "/v1/check", "", b"{}", "backout", 0);
    send(&good, "POST", "/v1/check", b"{ }").refused(401, "BO0003");
    for late in [301, -302] {
        send(
            &sign("GET", "/v1/servers", "", b"", "backout", late),
            "GET",
            "/v1/servers",
            b"",
        )
        .refused(401, "BO0003");
    }
    send(
        &sign("GET", "/v1/servers", "", b"", "lighthouse", 0),
        "GET",
        "/v1/servers",
        b"",
    )
    .refused(401, "BO0003");
    let mut twice = sign("GET", "/v1/servers", "", b"", "backout", 0);
    twice.push(twice.last().unwrap().clone());
    send(&twice, "GET", "/v1/servers", b"").refused(400, "BO0002");
    // Nobody need be known for these.
    for path in ["/healthz", "/readyz", "/openapi.json", "/v1/version"] {
        house.connect().request("GET", path, &[], b"").expect(200);
    }
}

#[test]
fn events_are_streamed_to_the_end() {
    let house = House::start();
    let disk = house.image("web.img");
    let added = house
        .call(
            "POST",
            "/v1/servers",
            Some(json!({ "name": "web", "disk": disk, "driver": "copy" })),
        )
        .expect(202);
    let job = added["job"].as_str().unwrap();
    let path = format!("/v1/jobs/{job}/events");
    let basic = house.basic();
    let follow = |after: Option<&str>| {
        let mut client = house.connect();
        let last = after.map_or(String::new(), |a| format!("Last-Event-ID: {a}\r\n"));
        client.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {basic}\r\nAccept: text/event-stream\r\n{last}\r\n").as_bytes());
        let head = client.head().unwrap();
        (head, client)
    };
    let (head, mut client) = follow(None);
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    assert!(head.header("x-request-id").is_some());
    let all = events(&client.chunks());
    assert_eq!(all[0]["event"], "queued");
    assert_eq!(all.last().unwrap()["event"], "applied");
    let data: Value = serde_json::from_str(&all[0]["data"]).unwrap();
    assert_eq!(data["kind"], "queued");
    assert_eq!(data["seq"].to_string(), all[0]["id"]);
    // The connection goes on.
    client.request("GET", "/healthz", &[], b"").expect(200);
    // From the middle, and from the end.
    let (_, mut client) = follow(Some(&all[1]["id"]));
    assert_eq!(events(&client.chunks())[0]["id"], all[2]["id"]);
    let (head, _) = follow(Some(&all.last().unwrap()["id"]));
    assert_eq!(head.status, 204);
    let (head, _) = follow(Some("x"));
    assert_eq!(head.status, 400);
    // The same as a list.
    let list = house.call("GET", &path, None).expect(200);
    assert_eq!(list.as_array().unwrap().len(), all.len());
}

#[test]
fn a_stream_ends_when_the_server_stops() {
    let mut house = House::start();
    let disk = house.image("web.img");
    // A job that waits: its start command takes long.
    let added = house.call("POST", "/v1/servers", Some(json!({ "name": "web", "disk": disk, "driver": "copy", "stop_cmd": "sleep 4", "start_cmd": "true", "running": true }))).expect(202);
    house.applied(&added["job"]);
    let made = house
        .call(
            "POST",
            "/v1/servers/web/snapshots",
            Some(json!({ "name": "s" })),
        )
        .expect(202);
    house.applied(&made["job"]);
    let job = house
        .call(
            "POST",
            "/v1/rollback",
            Some(json!({ "resource": "web", "to": "s" })),
        )
        .expect(202)["job"]
        .clone();
    let job = job.as_str().unwrap();
    let mut client = house.connect();
    client.send(format!("GET /v1/jobs/{job}/events HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nAccept: text/event-stream\r\n\r\n", house.basic()).as_bytes());
    assert_eq!(client.head().unwrap().status, 200);
    std::thread::sleep(std::time::Duration::from_millis(300));
    house
        .call("POST", &format!("/v1/jobs/{job}/cancel"), None)
        .expect(202);
    house.ask_to_stop();
    client.chunks();
    assert_eq!(house.stopped(), 0);
}

#[test]
fn etags() {
    let house = House::start();
    house.server("web");
    let answer = house.call("GET", "/v1/servers/web", None);
    let tag = answer.header("etag").unwrap().to_owned();
    assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
    let again = |tag: &str| {
        house.call_as(
            &house.basic(),
            "GET",
            "/v1/servers/web",
            None,
            &[("If-None-Match", tag)],
        )
    };
    for same in [
        tag.clone(),
        format!("W/{tag}"),
        format!("\"x\", {tag}"),
        "*".to_owned(),
    ] {
        let answer = again(&same);
        assert_eq!((answer.status, answer.body.len()), (304, 0), "{same}");
        assert_eq!(answer.header("etag"), Some(tag.as_str()));
        assert!(answer.header("x-request-id").is_some());
    }
    again("\"other\"").expect(200);
    let mut client = house.connect();
    client.send(
        format!(
            "HEAD /v1/servers/web HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n\r\n",
            house.basic()
        )
        .as_bytes(),
    );
    let answer = client.head().unwrap();
    assert_eq!(answer.header("etag"), Some(tag.as_str()));
    let made = house
        .call("POST", "/v1/servers/web/snapshots", Some(json!({})))
        .expect(202);
    house.applied(&made["job"]);
    again(&tag).expect(200);
}

#[test]
fn a_repeated_call_gets_the_first_ones_job() {
    let house = House::start();
    let disk = house.image("web.img");
    let keyed = |path: &str, key: &str, body: Value| {
        house.call_as(
            &house.basic(),
            "POST",
            path,
            Some(body),
            &[("Idempotency-Key", key)],
        )
    };
    let body = json!({ "name": "web", "disk": disk, "driver": "copy" });
    let first = keyed("/v1/servers", "k1", body.clone()).expect(202);
    let again = keyed("/v1/servers", "k1", body.clone()).expect(202);
    assert_eq!(
        (&first["job"], &first["server"]["id"]),
        (&again["job"], &again["server"]["id"])
    );
    house.applied(&first["job"]);
    keyed("/v1/servers", "k1", json!({ "name": "web2", "disk": disk })).refused(409, "BO0009");
    let made = keyed("/v1/servers/web/snapshots", "k2", json!({ "name": "s" })).expect(202);
    assert_eq!(
        keyed("/v1/servers/web/snapshots", "k2", json!({ "name": "s" })).expect(202),
        made
    );
    house.applied(&made["job"]);
    let ask = json!({ "resource": "web", "to": "s" });
    let job = keyed("/v1/rollback", "k3", ask.clone()).expect(202);
    assert_eq!(keyed("/v1/rollback", "k3", ask.clone()).expect(202), job);
    house.applied(&job["job"]);
    assert_eq!(keyed("/v1/rollback", "k3", ask.clone()).expect(202), job);
    keyed("/v1/rollback", "k2", ask).refused(409, "BO0009");
    let path = format!("/v1/jobs/{}/undo", job["job"].as_str().unwrap());
    let undo = keyed(&path, "k4", json!({})).expect(202);
    assert_eq!(keyed(&path, "k4", json!({})).expect(202), undo);
    house.applied(&undo["job"]);
    // A snapshot that the first call has deleted.
    let path = format!("/v1/snapshots/{}", made["snapshot_id"].as_str().unwrap());
    let delete = || {
        house.call_as(
            &house.basic(),
            "DELETE",
            &path,
            None,
            &[("Idempotency-Key", "k5")],
        )
    };
    let job = delete().expect(202);
    house.applied(&job["job"]);
    assert_eq!(delete().expect(202), job);
    house.call("DELETE", &path, None).refused(404, "BO0006");
}

#[test]
fn accounts_and_what_they_may() {
    let house = House::start();
    house.server("web");
    house.server("db");
    let policy = json!({ "version": "2.0", "statement": [
        { "effect": "allow", "action": ["backout:Describe*", "backout:Check"], "resource": "server/web" },
    ] });
    let made = house
        .call(
            "POST",
            "/v1/accounts",
            Some(json!({ "name": "ci", "policy": policy })),
        )
        .expect(201);
    assert_eq!(made["account"]["policy"], policy);
    let (id, secret) = (
        made["key"]["secret_id"].as_str().unwrap(),
        made["key"]["secret_key"].as_str().unwrap(),
    );
    let ci = basic(id, secret);
    let call =
        |method: &str, path: &str, body: Option<Value>| house.call_as(&ci, method, path, body, &[]);
    call("GET", "/v1/servers/web", None).expect(200);
    call("GET", "/v1/servers/db", None).refused(403, "BO0004");
    // To whom it is not visible it does not exist, or might.
    call("GET", "/v1/servers/none", None).refused(403, "BO0004");
    call("GET", "/v1/servers", None).refused(403, "BO0004");
    call(
        "POST",
        "/v1/rollback",
        Some(json!({ "resource": "web", "to": "x" })),
    )
    .refused(403, "BO0004");
    call("GET", "/v1/accounts", None).refused(403, "BO0004");
    call("GET", "/v1/doctor", None).refused(403, "BO0004");
    // A refused change leaves its audit line.
    let answer = call(
        "POST",
        "/v1/rollback",
        Some(json!({ "resource": "web", "to": "x" })),
    );
    let request = answer.header("x-request-id").unwrap().to_owned();
    let found = house
        .call("GET", &format!("/v1/requests/{request}"), None)
        .expect(200);
    assert_eq!(found["audit"][0]["action"], "backout:Rollback");
    assert_eq!(found["audit"][0]["refused"], "BO0004");
    assert_eq!(found["audit"][0]["account"], made["account"]["id"]);
    assert_eq!(found["answer"]["code"], "BO0004");
    assert_eq!(found["answer"]["action"], "backout:Rollback");

    // An independent account has nothing of admin's.
    let other = house
        .call("POST", "/v1/accounts", Some(json!({ "name": "other" })))
        .expect(201);
    let other_auth = basic(
        other["key"]["secret_id"].as_str().unwrap(),
        other["key"]["secret_key"].as_str().unwrap(),
    );
    let as_other = |method: &str, path: &str| house.call_as(&other_auth, method, path, None, &[]);
    assert_eq!(
        as_other("GET", "/v1/servers").expect(200)["items"],
        json!([])
    );
    as_other("GET", "/v1/servers/web").refused(404, "BO0006");
    as_other("GET", &format!("/v1/requests/{request}")).refused(404, "BO0006");
    let jobs = house.call("GET", "/v1/jobs", None).expect(200);
    let job = jobs["items"][0]["id"].as_str().unwrap();
    as_other("GET", &format!("/v1/jobs/{job}")).refused(404, "BO0006");
    as_other("GET", &format!("/v1/jobs/{job}/events")).refused(404, "BO0006");
    as_other("POST", &format!("/v1/jobs/{job}/undo")).refused(404, "BO0006");

    // Keys: added, switched off and on, deleted; tokens.
    let key = house.call("POST", "/v1/accounts/ci/keys", None).expect(201);
    let path = format!(
        "/v1/accounts/ci/keys/{}",
        key["secret_id"].as_str().unwrap()
    );
    let second = basic(
        key["secret_id"].as_str().unwrap(),
        key["secret_key"].as_str().unwrap(),
    );
    let works = || {
        house
            .call_as(&second, "GET", "/v1/servers/web", None, &[])
            .status
    };
    assert_eq!(works(), 200);
    house
        .call("PATCH", &path, Some(json!({ "status": "disabled" })))
        .expect(204);
    assert_eq!(works(), 401);
    house
        .call("PATCH", &path, Some(json!({ "status": "active" })))
        .expect(204);
    assert_eq!(works(), 200);
    house
        .call("PATCH", &path, Some(json!({ "status": "odd" })))
        .refused(400, "BO0002");
    house
        .call(
            "DELETE",
            &format!(
                "/v1/accounts/other/keys/{}",
                key["secret_id"].as_str().unwrap()
            ),
            None,
        )
        .refused(404, "BO0006");
    house.call("DELETE", &path, None).expect(204);
    assert_eq!(works(), 401);
    let shown = house.call("GET", "/v1/accounts/ci", None).expect(200);
    assert_eq!(shown["keys"].as_array().unwrap().len(), 1);
    assert!(!shown.to_string().contains(secret));
    let token = house
        .call(
            "POST",
            "/v1/accounts/ci/tokens",
            Some(json!({ "seconds": 900 })),
        )
        .expect(201);
    let temporary = basic(
        token["secret_id"].as_str().unwrap(),
        token["secret_key"].as_str().unwrap(),
    );
    let with = |token: &str| {
        house
            .call_as(
                &temporary,
                "GET",
                "/v1/servers/web",
                None,
                &[("X-TC-Token", token)],
            )
            .status
    };
    assert_eq!(with(token["token"].as_str().unwrap()), 200);
    assert_eq!(with("x"), 401);
    house
        .call(
            "POST",
            "/v1/accounts/ci/tokens",
            Some(json!({ "seconds": 1 })),
        )
        .refused(400, "BO0002");

    // Policies.
    let all = json!({ "Version": "1", "Statement": [{ "Effect": "Allow", "Action": "backout:*", "Resource": "*" }] });
    house
        .call("PUT", "/v1/accounts/ci/policy", Some(all))
        .expect(200);
    call("GET", "/v1/servers/db", None).expect(200);
    house
        .call("PUT", "/v1/accounts/ci/policy", Some(Value::Null))
        .refused(400, "BO0002");
    house
        .call("PUT", "/v1/accounts/ci/policy", Some(json!({})))
        .refused(400, "BO0002");
    let connection = &mut house.connect();
    let twice = br#"{"version":"2.0","version":"2.0","statement":[]}"#;
    let headers = [
        ("Authorization", house.basic()),
        ("Content-Type", "application/json".to_owned()),
    ];
    let headers: Vec<_> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
    connection
        .request("PUT", "/v1/accounts/ci/policy", &headers, twice)
        .refused(400, "BO0002");

    let page = house.call("GET", "/v1/accounts?limit=2", None).expect(200);
    assert_eq!(page["next"], "ci");
    let page = house
        .call("GET", "/v1/accounts?limit=2&cursor=ci", None)
        .expect(200);
    assert_eq!(page["items"][0]["name"], "other");
    house.call("DELETE", "/v1/accounts/ci", None).expect(204);
    call("GET", "/v1/servers/web", None).refused(401, "BO0003");
    house
        .call("DELETE", "/v1/accounts/admin", None)
        .refused(400, "BO0002");
    house
        .call("POST", "/v1/accounts", Some(json!({ "name": "other" })))
        .refused(409, "BO0007");
}

/// A row of a table that is an owner's, and has nothing in it else.
async fn give(store: &Store, table: &'static str, owner: &str) {
    let owner = owner.to_owned();
    let given = store.write::<_, StoreError>(move |tx| {
        let columns = format!("SELECT name, type FROM pragma_table_info('{table}')");
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for column in tx.query(&columns, &[])? {
            let (name, kind) = (column.text(0)?.to_owned(), column.text(1)?);
            values.push(match (name.as_str(), kind) {
                ("owner", _) => "$1",
                (_, "BIGINT") => "0",
                (_, "BYTEA") => "x''",
                _ => "'-'",
            });
            names.push(name);
        }
        let (names, values) = (names.join(", "), values.join(", "));
        let sql = format!("INSERT INTO {table} ({names}) VALUES ({values})");
        tx.execute(&sql, &[owner.into()])
    });
    assert_eq!(given.await.unwrap(), 1, "{table}");
}

async fn take_back(store: &Store, table: &'static str, owner: &str) {
    let owner = owner.to_owned();
    let sql = format!("DELETE FROM {table} WHERE owner = $1");
    let taken = store.write::<_, StoreError>(move |tx| tx.execute(&sql, &[owner.into()]));
    assert_eq!(taken.await.unwrap(), 1, "{table}");
}

/// What any product has of an account keeps it.
#[test]
fn an_account_with_resources_stays() {
    let house = House::start();
    let body = json!({ "name": "other" });
    let other = house.call("POST", "/v1/accounts", Some(body)).expect(201);
    let owner = other["account"]["id"].as_str().unwrap();
    for table in [
        "servers",
        "blueprints",
        "databases",
        "apps",
        "app_namespaces",
        "app_config_maps",
        "app_secrets",
        "engines",
    ] {
        house.block_on(give(&house.store, table, owner));
        house
            .call("DELETE", "/v1/accounts/other", None)
            .refused(400, "BO0002");
        house.block_on(take_back(&house.store, table, owner));
    }
    // The namespace that everybody has keeps nobody.
    let key = &other["key"];
    let auth = basic(
        key["secret_id"].as_str().unwrap(),
        key["secret_key"].as_str().unwrap(),
    );
    let listed = house.call_as(&auth, "GET", "/v1/namespaces", None, &[]);
    assert_eq!(listed.expect(200)["items"][0]["id"], "default");
    house.call("DELETE", "/v1/accounts/other", None).expect(204);
}

#[test]
fn a_request_id_can_be_found_again() {
    let house = House::start();
    let disk = house.image("web.img");
    let answer = house.call(
        "POST",
        "/v1/servers",
        Some(json!({ "name": "web", "disk": disk, "driver": "copy" })),
    );
    let id = answer.header("x-request-id").unwrap().to_owned();
    let job = answer.expect(202)["job"].clone();
    let found = house
        .call("GET", &format!("/v1/requests/{id}"), None)
        .expect(200);
    assert_eq!(found["job"]["id"], job);
    assert_eq!(found["audit"][0]["job"], job);
    assert_eq!(found["answer"]["status"], 202);
    assert_eq!(found["answer"]["action"], "backout:AddServer");
    // A refusal before anybody was known, and a plain reading.
    for answer in [
        house.connect().request("GET", "/v1/servers", &[], b""),
        house.call("GET", "/v1/servers", None),
    ] {
        let id = answer.header("x-request-id").unwrap();
        let found = house
            .call("GET", &format!("/v1/requests/{id}"), None)
            .expect(200);
        assert_eq!(found["answer"]["status"], answer.status);
        assert_eq!(found["job"], Value::Null);
    }
    house
        .call("GET", "/v1/requests/none", None)
        .refused(404, "BO0006");
    house
        .call("GET", &format!("/v1/requests/{}", "x".repeat(65)), None)
        .refused(400, "BO0002");
}

#[test]
fn too_many_calls_are_refused() {
    let house = House::with(Wish {
        limit: Some(2),
        ..Wish::default()
    });
    let mut refused = 0;
    for _ in 0..8 {
        let answer = house.call("GET", "/v1/servers", None);
        if answer.status != 200 {
            assert_eq!(answer.header("retry-after"), Some("1"));
            answer.refused(429, "BO0005");
            refused += 1;
        }
    }
    assert_eq!(refused, 6);
}

#[test]
fn the_doctor_looks_at_the_folders_of_disks() {
    let house = House::start();
    house.server("web");
    let seen = house.call("GET", "/v1/doctor", None).expect(200);
    assert_eq!(seen["node"], "test");
    assert_eq!(seen["healthy"], true, "{seen}");
    let names: Vec<_> = seen["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].as_str().unwrap())
        .collect();
    let folder = format!("folder {}", house.folder.path().display());
    for name in ["store", "kernel", "node", "qemu-img", &folder] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    let seen = house
        .call("GET", "/v1/doctor?folder=/no/such/folder", None)
        .expect(200);
    assert_eq!(seen["healthy"], false);
    house
        .call("GET", "/v1/doctor?folder=relative", None)
        .refused(400, "BO0002");
}

#[test]
fn a_vendors_call_over_the_same_listener() {
    use backout_core::time::Clock as _;
    let house = House::start();
    let disk = house.server("web");
    let made = house
        .call(
            "POST",
            "/v1/servers/web/snapshots",
            Some(json!({ "name": "s" })),
        )
        .expect(202);
    house.applied(&made["job"]);
    let host = house.addresses.plain.to_string();
    let mut client = house.connect();
    let mut call = |action: &str, body: &str| {
        let signed = backout_wire::sign::tc3(
            &house.key.secret_id,
            house.key.secret_key.expose(),
            None,
            "POST",
            "/",
            "",
            &host,
            "application/json",
            body.as_bytes(),
            "lighthouse",
            backout_core::time::SystemClock.now(),
        );
        let mut headers: Vec<_> = signed
            .iter()
            .filter(|(n, _)| n != "Host")
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        headers.push(("X-TC-Action", action));
        headers.push(("X-TC-Version", "2020-03-24"));
        let answer = client.request("POST", "/", &headers, body.as_bytes());
        assert_eq!(answer.header("content-type"), Some("application/json"));
        answer.expect(200)["Response"].clone()
    };
    let listed = call("DescribeSnapshots", "{}");
    assert_eq!(
        listed["SnapshotSet"][0]["SnapshotId"], made["snapshot_id"],
        "{listed}"
    );
    let refused = call("NoSuchThing", "{}");
    assert_eq!(refused["Error"]["Code"], "InvalidAction");
    let id = refused["RequestId"].as_str().unwrap();
    let found = house
        .call("GET", &format!("/v1/requests/{id}"), None)
        .expect(200);
    assert_eq!(found["answer"]["code"], "InvalidAction");
    assert!(disk.exists());
}
