//! What answers of both generations of the API are held against. The tables of
//! members and the samples of the legacy API contradict each other in places:
//! what the sample has is right.

use std::sync::LazyLock;

use serde_json::Value;

use crate::common::shape::{Contract, list, text};

pub static V3: LazyLock<Contract> = LazyLock::new(|| Contract {
    more_words: &MORE_WORDS,
    ..Contract::read("cdb")
});

static LEGACY: LazyLock<Contract> = LazyLock::new(|| Contract {
    own: &OF_OUR_OWN,
    ..Contract::read("cdb_v2")
});

/// Members that the legacy samples do not have, and why ours do: tables are
/// taken back as well, and told as the call that starts it takes them.
const OF_OUR_OWN: [&str; 1] = ["tables"];

/// Words that other pages of the vendor have beside those of the contract: an
/// instance that goes offline (SEMANTICS section 3).
const MORE_WORDS: [(&str, &str, &str); 1] = [("DescribeDBInstances.Items.", ".Status", "6")];

/// What is wrong with an answer of the legacy API; nothing when all is well.
pub fn of_legacy(action: &str, answer: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    fields(
        action,
        list(&LEGACY.all["operations"][action]["response"]),
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
    LEGACY.unknown(place, known, object, wrong);
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
    LEGACY.words(place, param, value, wrong);
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
    let wrong = V3.wrong("DescribeRollbackTaskDetail", &row);
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
