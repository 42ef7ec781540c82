//! Whether an answer has the shape that the contract gives it: every member
//! known, of its type, no null, and only the numbers and words that it lists.

use std::path::Path;
use std::sync::LazyLock;

use serde_json::Value;

static CONTRACT: LazyLock<Value> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contract/sae.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
});

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(field: &'a Value, member: &str) -> &'a str {
    field[member].as_str().unwrap_or_default()
}

/// What is wrong with an answer; nothing when all is well.
pub fn wrong(action: &str, answer: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let name = text(&CONTRACT["operations"][action]["response"], "ref");
    members(action, name, answer, &mut wrong);
    // What every answer that is no error has (PROTOCOL section 5.1).
    let fields = list(&CONTRACT["types"][name]["fields"]);
    // A number in one operation.
    let code = answer.get("Code").map(plain);
    if code.is_some_and(|code| code != "200") {
        wrong.push(format!("{action}.Code is {}", answer["Code"]));
    }
    for (member, value) in [
        ("ErrorCode", Some("")),
        ("Message", Some("success")),
        ("RequestId", None),
        ("TraceId", None),
    ] {
        let known = fields.iter().any(|field| text(field, "name") == member);
        let fits = match (answer.get(member), value) {
            (None, _) => !known,
            (Some(is), Some(value)) => is == value,
            (Some(is), None) => !is.as_str().unwrap_or_default().is_empty(),
        };
        if !fits {
            wrong.push(format!("{action}.{member} is {}", answer[member]));
        }
    }
    wrong
}

fn members(place: &str, name: &str, value: &Value, wrong: &mut Vec<String>) {
    let Some(object) = value.as_object() else {
        wrong.push(format!("{place} is no object: {value}"));
        return;
    };
    let fields = list(&CONTRACT["types"][name]["fields"]);
    assert!(!fields.is_empty(), "{name} has members");
    for (member, value) in object {
        let place = format!("{place}.{member}");
        match fields.iter().find(|field| text(field, "name") == member) {
            Some(field) => typed(&place, field, value, wrong),
            None => wrong.push(format!("{place} is not of the contract")),
        }
    }
}

fn typed(place: &str, field: &Value, value: &Value, wrong: &mut Vec<String>) {
    let kind = text(field, "type");
    let fits = match kind {
        "string" => value.is_string(),
        "integer" => value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{place} has the type {other}"),
    };
    if !fits {
        wrong.push(format!("{place} is no {kind}: {value}"));
        return;
    }
    for (at, entry) in list(value).iter().enumerate() {
        typed(&format!("{place}.{at}"), &field["items"], entry, wrong);
    }
    if let Some(name) = field["ref"].as_str() {
        members(place, name, value, wrong);
    }
    let known: Vec<String> = match &field["values"] {
        Value::Array(values) => values.iter().map(plain).collect(),
        Value::Object(values) => values.keys().cloned().collect(),
        _ => return,
    };
    if !known.contains(&plain(value)) {
        wrong.push(format!("{place} is {value}, not one of {known:?}"));
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The check must be able to find something.
#[test]
fn what_does_not_fit_is_told() {
    let answer = serde_json::json!({
        "RequestId": "r", "Message": "success", "Code": 200, "ErrorCode": "", "Success": true,
        "Color": "red",
        "Data": {"Status": 5, "SubStatus": null, "Pipelines": [{"StartTime": "now"}]},
    });
    let wrong = wrong("DescribeChangeOrder", &answer);
    for part in [
        "Color is not of the contract",
        "Code is no string",
        "Status is 5, not one of",
        "SubStatus is no integer",
        "StartTime is no integer",
        "TraceId is null",
    ] {
        assert!(wrong.iter().any(|w| w.contains(part)), "{part}: {wrong:?}");
    }
}
