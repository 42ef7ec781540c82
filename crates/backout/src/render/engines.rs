//! Data engines, as people see them.

use std::fmt::Write as _;

use backout_core::code::Code;
use serde_json::Value;

use super::{Style, array, block, clean, member, preflight, table, text};

/// How many rows of an answer are shown: a screen or two.
const ROWS_SHOWN: usize = 200;

/// How an engine or a version stands, in the colour of its meaning.
fn state(style: Style, word: &str) -> String {
    match word {
        "running" | "online" => style.good(word),
        "failed" | "offline" => style.bad(word),
        _ => style.odd(word),
    }
}

/// What a job does, as it is said to people.
pub(crate) fn verb(does: &str) -> &str {
    match does {
        "rollback" => "roll back",
        "set" => "set parameters of",
        other => other,
    }
}

fn holding(e: &Value) -> String {
    let job = text(e, "held_by.job");
    match (job.is_empty(), text(e, "held_by.does")) {
        (true, _) => job,
        (false, does) if does.is_empty() => job,
        (false, does) => format!("{does}: {job}"),
    }
}

pub(crate) fn engines(style: Style, items: &[Value]) -> String {
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|e| {
            vec![
                text(e, "name"),
                text(e, "id"),
                text(e, "kind"),
                state(style, &text(e, "state")),
                text(e, "image"),
                text(e, "child"),
                text(e, "endpoint"),
                holding(e),
            ]
        })
        .collect();
    let headings = [
        "NAME", "ID", "KIND", "STATE", "IMAGE", "MINOR", "ENDPOINT", "JOB",
    ];
    table(style, &headings, &rows)
}

/// One engine, with what to type when it does not answer.
pub(crate) fn engine(style: Style, e: &Value) -> String {
    let held = member(e, "held_by.held") == &Value::Bool(true);
    let mut out = block(
        style,
        &[
            ("name", style.bold(&text(e, "name"))),
            ("id", text(e, "id")),
            ("kind", text(e, "kind")),
            ("executes", text(e, "exec_type")),
            ("state", state(style, &text(e, "state"))),
            ("image", text(e, "image")),
            ("minor version", text(e, "child")),
            ("python image", text(e, "python")),
            ("endpoint", text(e, "endpoint")),
            ("data", text(e, "data")),
            ("compute units", text(e, "size")),
            ("job", holding(e)),
            ("node", text(e, "node")),
            ("description", text(e, "description")),
            ("made", text(e, "created")),
        ],
    );
    let job = text(e, "held_by.job");
    let next = match (held, text(e, "state").as_str()) {
        (true, _) => format!("backout jobs show {job}"),
        (false, _) if !job.is_empty() => format!("backout jobs watch {job}"),
        (false, "suspended") => format!("backout engines resume {}", text(e, "name")),
        (false, "failed") => format!("backout engines events {}", text(e, "name")),
        _ => return out,
    };
    let _ = writeln!(out, "{}{next}", style.dim("next: "));
    out
}

/// What one was told to do, once it is done.
pub(crate) fn applied(style: Style, job: &Value) -> String {
    format!(
        "{} {}: {}\n",
        style.good("applied"),
        text(job, "id"),
        text(job, "title")
    )
}

/// Where an engine answers, and in which version.
pub(crate) fn reached(e: &Value) -> String {
    let version = match text(e, "child") {
        child if child.is_empty() => text(e, "image"),
        child => child,
    };
    match text(e, "state").as_str() {
        "running" => format!("{version} answers at {}\n", text(e, "endpoint")),
        state => format!("it is {state}\n"),
    }
}

/// How a change is taken back.
pub(crate) fn then(does: &str, engine: &str, job: &str) -> String {
    match does {
        "switch" | "upgrade" | "set" | "resize" => {
            format!("take it back with: backout engines rollback {engine}\n")
        }
        "rollback" => format!("undo it with: backout undo {job}\n"),
        "suspend" => format!("start it again with: backout engines resume {engine}\n"),
        _ => String::new(),
    }
}

/// Whether the last change can be taken back.
pub(crate) fn check(style: Style, engine: &str, answer: &Value) -> String {
    let verdict = match member(answer, "possible") {
        Value::Bool(true) => style.good("its last change can be taken back"),
        _ => format!(
            "{}: {}",
            style.bad("it cannot be rolled back"),
            text(answer, "why")
        ),
    };
    let upgrade = match (text(answer, "upgrade"), text(answer, "upgrade_why")) {
        (version, _) if !version.is_empty() => {
            format!("{version}, with: backout engines upgrade {engine}")
        }
        (_, why) if !why.is_empty() => format!("not known: failed to {why}"),
        _ => "none: it has the newest minor version".to_owned(),
    };
    block(
        style,
        &[
            ("engine", style.bold(&clean(engine))),
            ("rollback", verdict),
            ("back to record", text(answer, "from")),
            ("undoes record", text(answer, "to")),
            ("upgrade", upgrade),
        ],
    )
}

/// What would be done, what becomes of parameters, and what stands in the way.
pub(crate) fn planned(style: Style, title: &str, answer: &Value) -> String {
    let how = match member(answer, "beside").as_bool() {
        Some(true) => {
            "the new instance is started beside the old one, which answers until it is ready; statements that run are finished"
        }
        Some(false) => {
            "the old instance is stopped first: nobody is answered until the new one is ready"
        }
        None => "",
    };
    let mut out = block(
        style,
        &[
            ("to do", style.bold(&clean(title))),
            ("from", text(answer, "from")),
            ("to", text(answer, "to")),
            ("back to record", text(answer, "restores")),
            ("how", how.to_owned()),
        ],
    );
    for p in array(answer, "parameters") {
        let _ = writeln!(out, "  {}", parameter(style, p));
    }
    // A warning about a parameter is its line above.
    let of_parameter = |w: &Value| {
        let (code, message) = (text(w, "code"), text(w, "message"));
        let named = |p: &Value| message.contains(&format!("{:?}", text(p, "name")));
        code == Code::ParametersChanged.as_str() && array(answer, "parameters").iter().any(named)
    };
    let mut rest = member(answer, "preflight").clone();
    if let Some(warnings) = rest.get_mut("warnings").and_then(Value::as_array_mut) {
        warnings.retain(|w| !of_parameter(w));
    }
    out.push_str(&preflight(style, &rest));
    out
}

/// What becomes of one parameter.
fn parameter(style: Style, p: &Value) -> String {
    let value = |path: &str| match member(p, path) {
        Value::Null => None,
        _ => Some(text(p, path)),
    };
    let (before, after) = (value("before"), value("after"));
    let shown = |v: &Option<String>| v.clone().unwrap_or_else(|| "nothing".to_owned());
    let what = format!("{} ({})", text(p, "name"), text(p, "of"));
    match text(p, "fate").as_str() {
        "kept" => format!("kept       {what} = {}", shown(&before)),
        "dropped" => style.bad(&format!(
            "dropped    {what}: was {}, the version does not know it",
            shown(&before)
        )),
        "defaulted" if before.is_none() => {
            format!("defaulted  {what} = {}: new in this version", shown(&after))
        }
        "defaulted" => style.odd(&format!(
            "defaulted  {what}: was {}, the default {} holds",
            shown(&before),
            shown(&after)
        )),
        fate => style.odd(&format!(
            "{fate:<9}  {what}: {} -> {}",
            shown(&before),
            shown(&after)
        )),
    }
}

fn set_parameters(r: &Value) -> String {
    let mut all = Vec::new();
    for path in ["cluster_parameters", "session_parameters"] {
        for (name, value) in member(r, path).as_object().into_iter().flatten() {
            let pair = format!("{name}={}", value.as_str().unwrap_or_default());
            all.push(clean(&pair));
        }
    }
    all.join(" ")
}

/// What was done to the image of an engine.
pub(crate) fn log(style: Style, items: &[Value]) -> String {
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|r| {
            vec![
                text(r, "number"),
                text(r, "at"),
                text(r, "operation"),
                text(r, "image"),
                text(r, "child"),
                set_parameters(r),
                text(r, "id"),
                text(r, "job"),
            ]
        })
        .collect();
    let headings = [
        "NUMBER",
        "WHEN",
        "WHAT",
        "IMAGE",
        "MINOR",
        "PARAMETERS SET",
        "RECORD",
        "JOB",
    ];
    table(style, &headings, &rows)
}

pub(crate) fn events(style: Style, items: &[Value]) -> String {
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|e| {
            let action = text(e, "action");
            let shown = match action.ends_with("Failed") || action.ends_with("Held") {
                true => style.bad(&action),
                false => action,
            };
            vec![text(e, "at"), shown, text(e, "message")]
        })
        .collect();
    table(style, &["WHEN", "WHAT", "MESSAGE"], &rows)
}

/// The last lines of an instance.
pub(crate) fn output(answer: &Value) -> String {
    member(answer, "text")
        .as_str()
        .unwrap_or_default()
        .lines()
        .map(|line| format!("{}\n", clean(line)))
        .collect()
}

fn parameters(style: Style, items: &[Value]) -> String {
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|p| {
            let allowed: Vec<&str> = array(p, "allowed")
                .iter()
                .filter_map(Value::as_str)
                .collect();
            let default = match member(p, "default") {
                Value::Null => style.odd("none: must be set"),
                _ => text(p, "default"),
            };
            vec![
                text(p, "name"),
                text(p, "of"),
                style.bold(&text(p, "value")),
                default,
                text(p, "type"),
                clean(&allowed.join(", ")),
                text(p, "description"),
            ]
        })
        .collect();
    let headings = [
        "PARAMETER",
        "OF",
        "SET TO",
        "DEFAULT",
        "TYPE",
        "ALLOWED",
        "DESCRIPTION",
    ];
    table(style, &headings, &rows)
}

/// The parameters of an engine.
pub(crate) fn config(style: Style, c: &Value) -> String {
    let head = block(
        style,
        &[("engine", text(c, "engine")), ("runs", text(c, "image"))],
    );
    format!("{head}\n{}", parameters(style, array(c, "parameters")))
}

pub(crate) fn images(style: Style, items: &[Value]) -> String {
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|i| {
            vec![
                text(i, "version"),
                text(i, "level"),
                text(i, "parent"),
                text(i, "kind"),
                text(i, "driver"),
                state(style, &text(i, "state")),
                text(i, "id"),
                style.bad(&text(i, "wrong")),
            ]
        })
        .collect();
    let headings = [
        "VERSION", "LEVEL", "PARENT", "KIND", "DRIVER", "STATE", "ID", "WRONG",
    ];
    table(style, &headings, &rows)
}

/// What became of an entry that was added.
pub(crate) fn added(style: Style, i: &Value) -> String {
    let word = match member(i, "new") {
        Value::Bool(true) => "added",
        _ => "replaced",
    };
    let mut out = format!("{word} {} ({})\n", text(i, "version"), text(i, "id"));
    let wrong = text(i, "wrong");
    if !wrong.is_empty() {
        let _ = writeln!(
            out,
            "{}: {wrong}; no engine runs it until the entry is corrected and added again",
            style.bad("wrong")
        );
    }
    out
}

/// One version whole.
pub(crate) fn image(style: Style, i: &Value) -> String {
    let public = match member(i, "public") {
        Value::Bool(true) => "yes",
        _ => "no: who added it only",
    };
    let mut out = block(
        style,
        &[
            ("version", style.bold(&text(i, "version"))),
            ("id", text(i, "id")),
            ("level", text(i, "level")),
            ("under", text(i, "parent")),
            ("kind", text(i, "kind")),
            ("executes", text(i, "exec_type")),
            ("driver", text(i, "driver")),
            ("state", state(style, &text(i, "state"))),
            ("for all", public.to_owned()),
            ("description", text(i, "description")),
            ("added", text(i, "created")),
            ("changed", text(i, "updated")),
        ],
    );
    let known = array(i, "parameters");
    if !known.is_empty() {
        let _ = write!(out, "\n{}", parameters(style, known));
    }
    let _ = writeln!(out, "\n{}", style.dim("its entry"));
    for line in member(i, "entry").as_str().unwrap_or_default().lines() {
        let _ = writeln!(out, "  {}", clean(line));
    }
    out
}

/// What an engine answered: columns and rows, or whatever it said.
pub(crate) fn answer(style: Style, a: &Value) -> String {
    let Some(columns) = a.get("columns").and_then(Value::as_array) else {
        let said = match a.get("text") {
            Some(_) => text(a, "text"),
            None => clean(&a.to_string()),
        };
        return format!("{said}\n");
    };
    let headings: Vec<String> = columns
        .iter()
        .map(|c| clean(c.as_str().unwrap_or_default()))
        .collect();
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let all = array(a, "rows");
    let rows: Vec<Vec<String>> = all
        .iter()
        .take(ROWS_SHOWN)
        .map(|row| row.as_array().into_iter().flatten().map(cell).collect())
        .collect();
    let mut out = match headings.is_empty() {
        true => "done\n".to_owned(),
        false => table(style, &headings, &rows),
    };
    let more = member(a, "more") == &Value::Bool(true);
    if all.len() > rows.len() || more {
        let _ = writeln!(
            out,
            "{}",
            style.dim(&format!("{} rows are shown; there are more", rows.len()))
        );
    }
    out
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::String(s) => clean(s),
        other => clean(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PLAIN: Style = Style { colour: false };

    fn an_engine() -> Value {
        json!({
            "id": "DataEngine-k31c771o", "name": "lake", "kind": "DuckDB", "exec_type": "SQL", "state": "running",
            "image": "DuckDB 1.4", "image_id": "i1", "child": "DuckDB 1.4.4", "child_id": "i2", "python": null,
            "python_id": null, "endpoint": "http://127.0.0.1:15000", "data": "/srv/backout/engines/data/DataEngine-k31c771o",
            "description": "", "size": 1, "mode": "pay_as_you_go", "held_by": null, "node": "here", "tags": [],
            "created": "2026-11-21T02:00:00Z", "updated": "2026-11-21T02:14:00Z",
        })
    }

    fn a_plan() -> Value {
        let fate = |name: &str, fate: &str, before: Option<&str>, after: Option<&str>| json!({"name": name, "of": "cluster", "fate": fate, "before": before, "after": after});
        json!({
            "passed": true, "from": "DuckDB 1.4.4", "to": "DuckDB 1.5.0", "beside": true, "restores": null,
            "preflight": {"blockers": [], "warnings": [{"code": "BO0121", "message": "keep cluster parameter \"old\": it is dropped"}]},
            "plan": {"title": "switch data engine lake", "steps": []},
            "parameters": [
                fate("threads", "kept", Some("2"), Some("2")),
                fate("memory_limit", "defaulted", Some("lots"), Some("1GB")),
                fate("new", "defaulted", None, Some("n")),
                fate("old", "dropped", Some("x"), None),
                fate("other", "changed", None, Some("1")),
            ],
        })
    }

    #[test]
    fn renderings() {
        let engine_value = an_engine();
        let mut held = an_engine();
        held["state"] = json!("failed");
        held["held_by"] = json!({"job": "job_abcdefgh12345678", "does": "switch", "held": true});
        let mut suspended = an_engine();
        suspended["state"] = json!("suspended");
        let mut stopped = a_plan();
        stopped["beside"] = json!(false);
        stopped["restores"] = json!("0b5c2f1e-0000-4000-8000-000000000001");
        stopped["passed"] = json!(false);
        stopped["preflight"] = json!({
            "blockers": [{"code": "BO0110", "message": "roll back data engine DataEngine-k31c771o while it is suspended: resume it first"}],
            "warnings": [{"code": "BO0092", "message": "run the new instance beside the old one: there is no memory for both"}]});
        let record = |number: u64, operation: &str, child: &str| {
            json!({"id": format!("0b5c2f1e-0000-4000-8000-00000000000{number}"), "number": number, "operation": operation,
                "image": "DuckDB 1.4", "child": child, "python": null, "cluster_parameters": {"threads": "2"},
                "session_parameters": {"TimeZone": "UTC"}, "size": 1, "before": null, "restored": null,
                "job": "job_abcdefgh12345678", "at": "2026-11-21T02:14:00Z"})
        };
        let listed = |version: &str, level: &str, parent: Option<&str>, wrong: Option<&str>| {
            json!({"id": "0b5c2f1e-0000-4000-8000-00000000000a", "version": version, "level": level, "parent": parent,
                "kind": "DuckDB", "driver": "http", "state": "online", "wrong": wrong})
        };
        let known = json!([
            {"name": "threads", "of": "cluster", "type": "integer", "default": "1", "allowed": ["1", "2"], "value": "2",
                "description": "how many", "internal": false},
            {"name": "key", "of": "session", "type": "string", "default": null, "allowed": [], "value": null,
                "description": "", "internal": false}]);
        let mut whole = listed("DuckDB 1.4.4", "child", Some("DuckDB 1.4"), None);
        whole["exec_type"] = json!("SQL");
        whole["public"] = json!(true);
        whole["description"] = json!("");
        whole["parameters"] = known.clone();
        whole["entry"] = json!("version = \"DuckDB 1.4.4\"\nparent = \"DuckDB 1.4\"\n");
        whole["created"] = json!("2026-11-21T02:00:00Z");
        whole["updated"] = json!("2026-11-21T02:00:00Z");
        let mut added_value = listed("DuckDB 9", "parent", None, Some("its kind is Duck"));
        added_value["new"] = json!(true);
        let job = json!({"id": "job_abcdefgh12345678", "title": "switch data engine lake"});
        let can = json!({"possible": true, "from": "r1", "to": "r2", "why": null, "upgrade": "DuckDB 1.4.5", "upgrade_why": null});
        let cannot = json!({"possible": false, "from": null, "to": null,
            "why": "its last change was a rollback; switch to the version, or undo the job", "upgrade": null, "upgrade_why": null});
        let event = |action: &str, message: &str| json!({"number": 1, "action": action, "message": message, "at": "2026-11-21T02:14:00Z"});
        let all = [
            (
                "engines",
                engines(PLAIN, &[engine_value.clone(), held.clone()]),
            ),
            ("engine", engine(PLAIN, &engine_value)),
            ("engine held", engine(PLAIN, &held)),
            ("engine suspended", engine(PLAIN, &suspended)),
            ("planned", planned(PLAIN, "switch lake", &a_plan())),
            (
                "planned, refused",
                planned(PLAIN, "roll back lake", &stopped),
            ),
            (
                "applied",
                format!(
                    "{}{}{}",
                    applied(PLAIN, &job),
                    reached(&engine_value),
                    then("switch", "lake", "job_abcdefgh12345678")
                ),
            ),
            ("can be taken back", check(PLAIN, "lake", &can)),
            ("cannot", check(PLAIN, "lake", &cannot)),
            (
                "log",
                log(
                    PLAIN,
                    &[
                        record(2, "SwitchImage", "DuckDB 1.5.0"),
                        record(1, "InitImage", "DuckDB 1.4.4"),
                    ],
                ),
            ),
            (
                "events",
                events(
                    PLAIN,
                    &[
                        event(
                            "SwitchImageFailed",
                            "failed to start it: it ended with exit code 1",
                        ),
                        event("InitImage", "done"),
                    ],
                ),
            ),
            (
                "config",
                config(
                    PLAIN,
                    &json!({"engine": "DataEngine-k31c771o", "image": "DuckDB 1.4.4", "parameters": known}),
                ),
            ),
            (
                "images",
                images(
                    PLAIN,
                    &[
                        listed("DuckDB 1.4", "parent", None, None),
                        listed(
                            "DuckDB 9",
                            "child",
                            Some("DuckDB 1.4"),
                            Some("its kind is Duck"),
                        ),
                    ],
                ),
            ),
            ("image", image(PLAIN, &whole)),
            ("added", added(PLAIN, &added_value)),
            (
                "answer",
                answer(
                    PLAIN,
                    &json!({"columns": ["a", "b"], "rows": [[1, "x"], [null, "y\u{1b}"]], "more": true, "version": "1.4.4"}),
                ),
            ),
            ("answer of words", answer(PLAIN, &json!({"text": "one {}"}))),
        ];
        let shown: String = all
            .iter()
            .map(|(name, text)| format!("== {name}\n{text}\n"))
            .collect();
        insta::assert_snapshot!(shown);
    }
}
