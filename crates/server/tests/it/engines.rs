//! Data engines by the native API: the catalogue, what is refused, who may. Where
//! engines run is the business of `crates/backout/tests/engines_cli.rs`.

use serde_json::{Value, json};

use crate::house::{Answer, House, basic};

fn add(house: &House, entry: &str) -> Value {
    let body = json!({ "entry": entry });
    house
        .call("POST", "/v1/engine-images", Some(body))
        .expect(201)
}

fn change(house: &House, engine: &str, body: Value) -> Answer {
    let path = format!("/v1/engines/{engine}/changes");
    house.call("POST", &path, Some(body))
}

const PARENT: &str = "version = \"one\"\nkind = \"DuckDB\"\ncommand = [\"/no/such/program\", \"{port}\"]\nhealth_http = \"/\"\n\
     [cluster_parameters]\nthreads = { type = \"integer\", default = 2, allowed = [1, 2] }\n\
     [session_parameters]\nzone = { default = \"UTC\", description = \"of sessions\" }\n";

#[test]
fn the_catalogue() {
    let house = House::start();
    let parent = add(&house, PARENT);
    assert_eq!(
        (&parent["new"], &parent["wrong"], &parent["level"]),
        (&json!(true), &Value::Null, &json!("parent")),
        "{parent}"
    );
    // The same again takes its place.
    let again = add(&house, PARENT);
    assert_eq!(
        (&again["new"], &again["id"]),
        (&json!(false), &parent["id"])
    );
    let child = add(&house, "version = \"one.1\"\nparent = \"one\"\n");
    assert_eq!(
        (&child["parent"], &child["kind"], &child["driver"]),
        (&json!("one"), &json!("DuckDB"), &json!("http")),
        "{child}"
    );
    // What is wrong is told, and keeps no entry out.
    let wrong = add(&house, "version = \"odd\"\nkind = \"Duck\"\n");
    assert!(wrong["wrong"].as_str().unwrap().contains("Duck"), "{wrong}");

    let first = house
        .call("GET", "/v1/engine-images?limit=2", None)
        .expect(200);
    let next = first["next"].as_str().unwrap();
    let path = format!("/v1/engine-images?limit=2&cursor={next}");
    let second = house.call("GET", &path, None).expect(200);
    let versions: Vec<&Value> = [&first, &second]
        .iter()
        .flat_map(|page| page["items"].as_array().unwrap())
        .map(|item| &item["version"])
        .collect();
    assert_eq!(versions, ["one", "one.1", "odd"]);
    assert_eq!(second["next"], Value::Null);
    for (query, count) in [
        ("level=child", 1),
        ("kind=DuckDB", 2),
        ("parent=one", 1),
        ("kind=SparkSQL", 0),
    ] {
        let path = format!("/v1/engine-images?{query}");
        let found = house.call("GET", &path, None).expect(200);
        assert_eq!(found["items"].as_array().unwrap().len(), count, "{query}");
    }
    let whole = house.call("GET", "/v1/engine-images/one", None).expect(200);
    assert_eq!(whole["entry"], PARENT);
    assert_eq!(whole["parameters"][0]["allowed"], json!(["1", "2"]));
    assert_eq!(whole["parameters"][1]["of"], "session");

    for (entry, code) in [("no toml", "BO0113"), ("kind = \"DuckDB\"", "BO0113")] {
        house
            .call("POST", "/v1/engine-images", Some(json!({ "entry": entry })))
            .refused(409, code);
    }
    let get = |path: &str| house.call("GET", path, None);
    get("/v1/engine-images/none").refused(404, "BO0006");
    get("/v1/engine-images?level=middle").refused(400, "BO0002");
    get("/v1/engine-images?kind=Duck").refused(400, "BO0002");
    let doctor = get("/v1/doctor").expect(200)["checks"].to_string();
    assert!(
        doctor.contains("engine image odd") && doctor.contains("/no/such/program"),
        "{doctor}"
    );
}

#[test]
fn what_no_engine_can_be() {
    let house = House::start();
    add(&house, PARENT);
    let create = |body: Value| house.call("POST", "/v1/engines", Some(body));
    create(json!({ "name": "e", "kind": "Duck" })).refused(400, "BO0002");
    create(json!({ "name": "e", "kind": "DuckDB", "mode": "free" })).refused(400, "BO0002");
    create(json!({ "name": "e", "kind": "DuckDB", "parameters": { "threads": "1" } }))
        .refused(400, "BO0002");
    create(json!({ "name": "e", "kind": "DuckDB", "image": "two" })).refused(404, "BO0006");
    create(json!({ "name": "e", "kind": "SparkSQL", "image": "one" })).refused(409, "BO0114");
    let threads = |n: &str| json!({ "name": "e", "kind": "DuckDB", "image": "one", "parameters": { "threads": n } });
    create(threads("3")).refused(409, "BO0116");
    let why = create(threads("1")).refused(409, "BO0120");
    assert!(why.contains("/no/such/program"), "{why}");
    // The dry run says the same.
    house
        .call("POST", "/v1/plan/engines", Some(threads("1")))
        .refused(409, "BO0120");
    let none = house.call("GET", "/v1/engines", None).expect(200);
    assert_eq!(none["items"], json!([]));

    for path in ["", "/check", "/config", "/log", "/events", "/output"] {
        house
            .call("GET", &format!("/v1/engines/lake{path}"), None)
            .refused(404, "BO0006");
    }
    change(&house, "lake", json!({ "do": "rollback" })).refused(404, "BO0006");
    for body in [
        json!({ "do": "dance" }),
        json!({ "do": "switch" }),
        json!({ "do": "set" }),
        json!({ "do": "resize", "size": 0 }),
        json!({ "do": "rollback", "image": "one", "what": 1 }),
    ] {
        change(&house, "lake", body).refused(400, "BO0002");
    }
}

#[test]
fn who_may_do_what_to_which_engine() {
    let house = House::start();
    let policy = json!({ "version": "2.0", "statement": [
        { "effect": "allow", "action": ["backout:RestartEngines", "backout:DescribeEngines"],
          "resource": ["engine/mine"] },
        { "effect": "allow", "action": ["backout:SwitchEngine"],
          "resource": ["qcs::dlc::uin/*:dataEngine/*"] } ] });
    let made = house
        .call(
            "POST",
            "/v1/accounts",
            Some(json!({ "name": "ci", "policy": policy })),
        )
        .expect(201);
    let key = &made["key"];
    let authorization = basic(
        key["secret_id"].as_str().unwrap(),
        key["secret_key"].as_str().unwrap(),
    );
    let call = |method: &str, path: &str, body: Option<Value>| {
        house.call_as(&authorization, method, path, body, &[])
    };
    // What is not there is told to those only who may look.
    call("GET", "/v1/engines/mine", None).refused(404, "BO0006");
    call("GET", "/v1/engines/other", None).refused(403, "BO0004");
    call("GET", "/v1/engines", None).refused(403, "BO0004");
    let path = "/v1/engines/mine/changes";
    call("POST", path, Some(json!({ "do": "restart" }))).refused(404, "BO0006");
    for body in [
        json!({ "do": "switch", "image": "two" }),
        json!({ "do": "rollback" }),
        json!({ "do": "set", "parameters": { "a": "1" } }),
        json!({ "do": "suspend" }),
        json!({ "do": "delete" }),
    ] {
        call("POST", path, Some(body)).refused(403, "BO0004");
    }
    for (path, body) in [
        ("/v1/engines", json!({ "name": "mine", "kind": "DuckDB" })),
        ("/v1/engine-images", json!({ "entry": PARENT })),
        ("/v1/engines/mine/changes/plan", json!({ "do": "restart" })),
    ] {
        call("POST", path, Some(body)).refused(403, "BO0004");
    }
    call("GET", "/v1/engine-images", None).refused(403, "BO0004");
}
