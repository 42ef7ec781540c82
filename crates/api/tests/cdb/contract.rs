//! Whether an answer has the shape that the contract gives it: every member
//! known, all that must be there there, of its type, no null where there is
//! none, and only the words that it lists.

use std::path::Path;
use std::sync::LazyLock;

use serde_json::{Map, Value};

static V3: LazyLock<Value> = LazyLock::new(|| read("cdb.json"));
static LEGACY: LazyLock<Value> = LazyLock::new(|| read("cdb_v2.json"));

/// Members that the legacy samples do not have, and why ours do: tables are
/// taken back as well, and told as the call that starts it takes them.
const OF_OUR_OWN: [&str; 1] = ["tables"];

/// Words that other pages of the vendor have beside those of the contract: an
/// instance that goes offline (SEMANTICS section 3).
const MORE_WORDS: [(&str, &str, &str); 1] = [("DescribeDBInstances.Items.", ".Status", "6")];

fn read(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../contract")
        .join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(param: &'a Value, member: &str) -> &'a str {
    param[member].as_str().unwrap_or_default()
}

/// What is wrong with an answer of API 3.0; nothing when all is well.
pub fn of_v3(action: &str, answer: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    members(
        action,
        list(&V3["operations"][action]["response"]),
        answer,
        &mut wrong,
    );
    wrong
}

fn members(place: &str, known: &[Value], value: &Value, wrong: &mut Vec<String>) {
    let Some(object) = value.as_object() else {
        wrong.push(format!("{place} is no object: {value}"));
        return;
    };
    unknown(place, known, object, wrong);
    for param in known {
        let name = text(param, "name");
        let place = format!("{place}.{name}");
        match object.get(name) {
            None if param["always_present"] == true => wrong.push(format!("{place} is missing")),
            Some(Value::Null) if param["nullable"] != true => {
                wrong.push(format!("{place} is null"))
            }
            None | Some(Value::Null) => {}
            Some(value) => typed(&place, param, value, wrong),
        }
    }
}

fn unknown(place: &str, known: &[Value], object: &Map<String, Value>, wrong: &mut Vec<String>) {
    for name in object.keys() {
        let known = known.iter().any(|param| text(param, "name") == name);
        if !known && !OF_OUR_OWN.contains(&name.as_str()) {
            wrong.push(format!("{place}.{name} is not of the contract"));
        }
    }
}

fn typed(place: &str, param: &Value, value: &Value, wrong: &mut Vec<String>) {
    let fits = match text(param, "type") {
        "string" => value.is_string(),
        "integer" if text(param, "format").starts_with('u') => value.is_u64(),
        "integer" => value.is_i64(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{place} has the type {other}"),
    };
    if !fits {
        wrong.push(format!("{place} is no {}: {value}", text(param, "type")));
        return;
    }
    for (at, entry) in list(value).iter().enumerate() {
        typed(&format!("{place}.{at}"), &param["items"], entry, wrong);
    }
    if let Some(object) = param["ref"].as_str() {
        let known = list(&V3["types"][object]["fields"]);
        assert!(!known.is_empty(), "{object} has members");
        members(place, known, value, wrong);
    }
    words(place, param, value, wrong);
}

/// A value that is none of those that the contract lists.
fn words(place: &str, param: &Value, value: &Value, wrong: &mut Vec<String>) {
    let plain = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let known: Vec<String> = match &param["values"] {
        Value::Array(values) => values.iter().map(plain).collect(),
        Value::Object(values) => values.keys().cloned().collect(),
        _ => return,
    };
    let value = plain(value);
    let besides = MORE_WORDS.iter().any(|(begin, end, word)| {
        place.starts_with(begin) && place.ends_with(end) && value == *word
    });
    if !known.contains(&value) && !besides {
        wrong.push(format!("{place} is {value}, not one of {known:?}"));
    }
}

/// The same of an answer of the legacy API, whose tables of members and samples
/// contradict each other in places: what the sample has is right.
pub fn of_legacy(action: &str, answer: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    fields(
        action,
        list(&LEGACY["operations"][action]["response"]),
        answer,
        &mut wrong,
    );
    wrong
}

fn fields(place: &str, known: &[Value], value: &Value, wrong: &mut Vec<String>) {
    let Some(object) = value.as_object() else {
        wrong.push(format!("{place} is no object: {value}"));
        return;
    };
    unknown(place, known, object, wrong);
    for param in known {
        let name = text(param, "name");
        let place = format!("{place}.{name}");
        match object.get(name) {
            None => wrong.push(format!("{place} is missing")),
            Some(Value::Null) if text(param, "summary").ends_with("or null") => {}
            Some(value) => legacy_typed(&place, param, value, wrong),
        }
    }
}

fn legacy_typed(place: &str, param: &Value, value: &Value, wrong: &mut Vec<String>) {
    let number = |value: &Value| {
        let digits = value.as_str().map(|t| t.parse::<i64>().is_ok());
        digits.unwrap_or(value.is_i64())
    };
    // Where the two disagree the contract tells of the sample.
    let sample = text(param, "summary");
    let fits = match text(param, "type") {
        "string" => value.is_string(),
        "integer" if sample.contains("\"0\"") || sample.contains("sample: string") => number(value),
        "integer" => value.is_i64(),
        "array" if sample.contains("sample: object") => value.is_object(),
        "array" => value.is_array(),
        "array of string" => list(value).iter().all(Value::is_string) && value.is_array(),
        "object" if sample.contains("sample: array") => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{place} has the type {other}"),
    };
    if !fits {
        wrong.push(format!("{place} is no {}: {value}", text(param, "type")));
        return;
    }
    words(place, param, value, wrong);
    let known = list(&param["fields"]);
    if known.is_empty() {
        return;
    }
    match value {
        Value::Array(rows) => {
            for (at, row) in rows.iter().enumerate() {
                fields(&format!("{place}.{at}"), known, row, wrong);
            }
        }
        other => fields(place, known, other, wrong),
    }
}

/// The check must be able to find something.
#[test]
fn what_does_not_fit_is_told() {
    let row = serde_json::json!({
        "RequestId": "r", "TotalCount": "1", "Color": "red",
        "Items": [{"Info": null, "Status": "SUCCEED", "Progress": 1, "StartTime": "", "EndTime": ""}],
    });
    let wrong = of_v3("DescribeRollbackTaskDetail", &row);
    for part in [
        "Color is not of the contract",
        "TotalCount is no integer",
        "Info is null",
        "Status is SUCCEED",
        "Detail is missing",
    ] {
        assert!(wrong.iter().any(|w| w.contains(part)), "{part}: {wrong:?}");
    }
    let legacy = serde_json::json!({
        "code": 0, "message": "", "codeDesc": "Success",
        "data": [{"code": "odd", "message": "ok", "cdbInstanceId": "cdb-00000000", "times": {}}],
    });
    let wrong = of_legacy("QueryCdbRollbackRangeTime", &legacy);
    for part in ["code is no integer", "times is no array"] {
        assert!(wrong.iter().any(|w| w.contains(part)), "{part}: {wrong:?}");
    }
}
