//! What every answer of this vendor's service has besides its shape.

use std::sync::LazyLock;

use serde_json::Value;

use crate::common::shape::{Contract, plain, text};

static CONTRACT: LazyLock<Contract> = LazyLock::new(|| Contract::read("sae"));

/// What is wrong with an answer; nothing when all is well.
pub fn wrong(action: &str, answer: &Value) -> Vec<String> {
    let mut wrong = CONTRACT.wrong(action, answer);
    // What every answer that is no error has (PROTOCOL section 5.1).
    let fields = CONTRACT.members_of(&CONTRACT.all["operations"][action]["response"]);
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
        "SubStatus is null",
        "StartTime is no integer",
        "TraceId is null",
    ] {
        assert!(wrong.iter().any(|w| w.contains(part)), "{part}: {wrong:?}");
    }
}
