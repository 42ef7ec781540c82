//! The fault switch over HTTP: who may touch it, and when it is there at all.

use serde_json::{Value, json};

use crate::house::{House, Wish, basic};

fn with_switch() -> House {
    House::with(Wish {
        faults: true,
        ..Wish::default()
    })
}

fn busy() -> Value {
    json!({ "action": "lighthouse:ApplyInstanceSnapshot", "code": "UnsupportedOperation.SystemBusy" })
}

/// A sub-account with this statement list; what it authorises with.
fn sub_account(house: &House, name: &str, statements: Value) -> String {
    let policy = json!({ "version": "2.0", "statement": statements });
    let made = house
        .call(
            "POST",
            "/v1/accounts",
            Some(json!({ "name": name, "policy": policy })),
        )
        .expect(201);
    let text = |name: &str| made["key"][name].as_str().unwrap().to_owned();
    basic(&text("secret_id"), &text("secret_key"))
}

#[test]
fn it_is_off_unless_the_server_is_started_with_it() {
    let house = House::start();
    for (method, path, body) in [
        ("GET", "/v1/faults", None),
        ("POST", "/v1/faults", Some(busy())),
        ("DELETE", "/v1/faults", None),
        ("DELETE", "/v1/faults/fault_000000000000", None),
    ] {
        let message = house.call(method, path, body).refused(409, "BO0037");
        assert!(message.contains("--faults"), "{message}");
    }
}

#[test]
fn faults_are_added_listed_and_taken_away() {
    let house = with_switch();
    house.server("web");
    let web = house.call("GET", "/v1/servers/web", None).expect(200);
    let mut new = busy();
    new["resource"] = json!("server/web");
    new["count"] = json!(3);
    new["seconds"] = json!(600);
    let first = house.call("POST", "/v1/faults", Some(new)).expect(201);
    assert_eq!(first["resource"], web["id"]);
    assert_eq!(
        (&first["state"], &first["remaining"], &first["hits"]),
        (&json!("active"), &json!(3), &json!(0))
    );
    assert_eq!(
        first["message"],
        "the fault switch answers this call (BO0036)"
    );
    assert!(first["until"].as_str().unwrap() > first["created"].as_str().unwrap());
    assert!(first["step"].is_null() && first["moment"].is_null());
    let step =
        json!({ "step": "servers.apply_snapshot/swap", "undo": true, "moment": "after_effect" });
    let second = house.call("POST", "/v1/faults", Some(step)).expect(201);
    assert_eq!(
        (&second["step"], &second["undo"], &second["moment"]),
        (
            &json!("servers.apply_snapshot/swap"),
            &json!(true),
            &json!("after_effect")
        )
    );
    let page = house.call("GET", "/v1/faults?limit=1", None).expect(200);
    assert_eq!(page["items"], json!([first]));
    let path = format!("/v1/faults?cursor={}", page["next"].as_str().unwrap());
    let page = house.call("GET", &path, None).expect(200);
    assert_eq!(
        (&page["items"], &page["next"]),
        (&json!([second]), &Value::Null)
    );
    let path = format!("/v1/faults/{}", first["id"].as_str().unwrap());
    house.call("DELETE", &path, None).expect(204);
    house.call("DELETE", &path, None).refused(404, "BO0006");
    house
        .call("DELETE", "/v1/faults/first", None)
        .refused(400, "BO0002");
    let cleared = house.call("DELETE", "/v1/faults", None).expect(200);
    assert_eq!(cleared, json!({ "removed": 1 }));
    let page = house.call("GET", "/v1/faults", None).expect(200);
    assert_eq!(page["items"], json!([]));
}

#[test]
fn what_could_never_happen_is_refused() {
    let house = with_switch();
    for (new, words) in [
        (json!({}), "action and code"),
        (
            json!({ "action": "lighthouse:*", "code": "NoSuchCode" }),
            "no such code",
        ),
        (
            json!({ "action": "lighthouse:Nothing", "code": "InternalError" }),
            "no operation",
        ),
        (
            json!({ "action": "lighthouse:*", "code": "InternalError", "moment": "after_effect" }),
            "action and code",
        ),
        (json!({ "step": "swap" }), "PROCEDURE/STEP"),
        (
            json!({ "step": "servers.burn/swap" }),
            "servers.apply_snapshot",
        ),
        (json!({ "step": "servers.apply_snapshot/burn" }), "swap"),
        (
            json!({ "step": "servers.apply_snapshot/swap", "moment": "later" }),
            "before_intent",
        ),
        (
            json!({ "action": "lighthouse:*", "code": "InternalError", "count": 0 }),
            "0 times",
        ),
        (
            json!({ "action": "lighthouse:*", "code": "InternalError", "seconds": 10_000_000 }),
            "seconds",
        ),
    ] {
        let message = house
            .call("POST", "/v1/faults", Some(new.clone()))
            .refused(400, "BO0002");
        assert!(message.contains(words), "{new}: {message}");
    }
    let mut nowhere = busy();
    nowhere["resource"] = json!("server/web");
    house
        .call("POST", "/v1/faults", Some(nowhere))
        .refused(404, "BO0006");
}

#[test]
fn a_policy_must_spell_it_out() {
    let house = with_switch();
    house.server("test-1");
    house.server("prod");
    let allow = |action: &str, resource: &str| json!({ "effect": "allow", "action": action, "resource": resource });
    let all = sub_account(
        &house,
        "all",
        json!([allow("*", "*"), allow("backout:*", "*")]),
    );
    let named = sub_account(&house, "named", json!([allow("backout:ManageFaults", "*")]));
    let tests = sub_account(
        &house,
        "tests",
        json!([
            allow("*", "*"),
            allow("backout:ManageFaults", "server/test-*")
        ]),
    );
    let denied = sub_account(
        &house,
        "denied",
        json!([
            allow("backout:ManageFaults", "*"),
            { "effect": "deny", "action": "backout:Manage*", "resource": "*" },
        ]),
    );
    let add = |who: &str, resource: Option<&str>| {
        let mut new = busy();
        if let Some(resource) = resource {
            new["resource"] = json!(resource);
        }
        house.call_as(who, "POST", "/v1/faults", Some(new), &[])
    };
    for who in [&all, &denied] {
        add(who, None).refused(403, "BO0004");
        add(who, Some("test-1")).refused(403, "BO0004");
        house
            .call_as(who, "DELETE", "/v1/faults", None, &[])
            .refused(403, "BO0004");
    }
    // To look is an action like others.
    house
        .call_as(&all, "GET", "/v1/faults", None, &[])
        .expect(200);
    house
        .call_as(&named, "GET", "/v1/faults", None, &[])
        .refused(403, "BO0004");
    let everywhere = add(&named, None).expect(201);
    add(&tests, None).refused(403, "BO0004");
    add(&tests, Some("server/prod")).refused(403, "BO0004");
    // Nor is it told what there is.
    add(&tests, Some("server/none")).refused(403, "BO0004");
    add(&tests, Some("server/test-2")).refused(404, "BO0006");
    let one = add(&tests, Some("server/test-1")).expect(201);
    let path = |fault: &Value| format!("/v1/faults/{}", fault["id"].as_str().unwrap());
    house
        .call_as(&tests, "DELETE", &path(&everywhere), None, &[])
        .refused(403, "BO0004");
    house
        .call_as(&tests, "DELETE", "/v1/faults", None, &[])
        .refused(403, "BO0004");
    house
        .call_as(&tests, "DELETE", &path(&one), None, &[])
        .expect(204);
    house
        .call_as(&named, "DELETE", &path(&everywhere), None, &[])
        .expect(204);
}

#[test]
fn each_owner_has_its_own() {
    let house = with_switch();
    let made = house
        .call("POST", "/v1/accounts", Some(json!({ "name": "other" })))
        .expect(201);
    let text = |name: &str| made["key"][name].as_str().unwrap().to_owned();
    let other = basic(&text("secret_id"), &text("secret_key"));
    let mine = house.call("POST", "/v1/faults", Some(busy())).expect(201);
    let theirs = house
        .call_as(&other, "POST", "/v1/faults", Some(busy()), &[])
        .expect(201);
    let listed = house
        .call_as(&other, "GET", "/v1/faults", None, &[])
        .expect(200);
    assert_eq!(listed["items"], json!([theirs]));
    let path = format!("/v1/faults/{}", mine["id"].as_str().unwrap());
    house
        .call_as(&other, "DELETE", &path, None, &[])
        .refused(404, "BO0006");
    // They go with their account.
    house.call("DELETE", "/v1/accounts/other", None).expect(204);
    let left = house.call("GET", "/v1/faults", None).expect(200);
    assert_eq!(left["items"], json!([mine]));
}
