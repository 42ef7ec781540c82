//! Applications, as people see them.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Style, array, block, member, preflight, size, table, text};

/// How many lines of a log stand beside a failure.
pub(crate) const FAILURE_LINES: usize = 15;

/// The name by which commands find an application.
pub(crate) fn name_of(app: &Value) -> String {
    match text(app, "name") {
        name if name.is_empty() => text(app, "id"),
        name => name,
    }
}

fn is(value: &Value, path: &str) -> bool {
    member(value, path) == &Value::Bool(true)
}

fn number(value: &Value, path: &str) -> u64 {
    member(value, path).as_u64().unwrap_or(0)
}

/// `version 3 (label)`; its id when it is forgotten.
fn version(v: &Value) -> String {
    if v.is_null() {
        return String::new();
    }
    let label = text(v, "label");
    match text(v, "number") {
        number if number.is_empty() => text(v, "id"),
        number if label.is_empty() => number,
        number => format!("{number} ({label})"),
    }
}

/// How an order or a batch stands, in words and in its colour.
fn standing(style: Style, word: &str) -> String {
    let words = word.replace('_', " ");
    match word {
        "succeeded" => style.good(&words),
        "stuck" | "failed" | "broken" => style.bad(&words),
        "running" | "preparing" => words,
        _ => style.odd(&words),
    }
}

fn phase(style: Style, word: &str) -> String {
    match word {
        "ready" => style.good(word),
        "starting" | "stopping" => word.to_owned(),
        "unknown" | "waits" | "unready" => style.odd(word),
        _ => style.bad(word),
    }
}

fn ready(a: &Value) -> String {
    match member(a, "ready").as_u64() {
        Some(ready) => format!("{ready}/{}", text(a, "replicas")),
        None => text(a, "replicas"),
    }
}

pub(crate) fn apps(style: Style, items: &[Value]) -> String {
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|a| {
            let order = match text(a, "order.kind") {
                kind if kind.is_empty() => kind,
                kind => format!("{kind}: {}", standing(style, &text(a, "order.standing"))),
            };
            vec![
                text(a, "name"),
                text(a, "id"),
                text(a, "namespace"),
                style.state(&text(a, "state")),
                ready(a),
                version(member(a, "version")),
                text(a, "port"),
                order,
            ]
        })
        .collect();
    let headings = [
        "NAME",
        "ID",
        "NAMESPACE",
        "STATE",
        "READY",
        "VERSION",
        "PORT",
        "ORDER",
    ];
    table(style, &headings, &rows)
}

/// One application, with its replicas, and the order that changes it.
pub(crate) fn app(style: Style, a: &Value, replicas: &[Value], order: Option<&Value>) -> String {
    let address = match text(a, "port") {
        port if port.is_empty() => port,
        port => format!("http://127.0.0.1:{port}"),
    };
    let mut out = block(
        style,
        &[
            ("name", style.bold(&text(a, "name"))),
            ("id", text(a, "id")),
            ("namespace", text(a, "namespace")),
            ("state", style.state(&text(a, "state"))),
            ("ready", ready(a)),
            ("version", version(member(a, "version"))),
            ("reached at", address),
            ("node", text(a, "node")),
            ("description", text(a, "description")),
            ("made", text(a, "created")),
        ],
    );
    if !replicas.is_empty() {
        let _ = write!(out, "\n{}", self::replicas(style, replicas));
    }
    if let Some(order) = order {
        let _ = write!(out, "\n{}", self::order(style, order));
    }
    out
}

pub(crate) fn replicas(style: Style, items: &[Value]) -> String {
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|r| {
            let why = match text(r, "limits_missing") {
                missing if missing.is_empty() => text(r, "why"),
                missing => format!("limits do not hold: {missing}"),
            };
            vec![
                text(r, "id"),
                version(member(r, "version")),
                phase(style, &text(r, "phase")),
                text(r, "address"),
                size(r, "memory_bytes"),
                match number(r, "restarts") {
                    0 => String::new(),
                    n => n.to_string(),
                },
                why,
            ]
        })
        .collect();
    let headings = [
        "REPLICA", "VERSION", "PHASE", "ADDRESS", "MEMORY", "RESTARTS", "WHY",
    ];
    table(style, &headings, &rows)
}

/// What a version is made of, in a line.
fn made_of(release: &Value) -> String {
    match text(release, "image") {
        image if image.is_empty() => text(release, "package.origin"),
        image => image,
    }
}

pub(crate) fn versions(style: Style, items: &[Value]) -> String {
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|v| {
            let note = match text(v, "barred") {
                _ if is(v, "current") => style.good("runs"),
                why if why.is_empty() => why,
                why => style.bad(&format!("not to go back to: {why}")),
            };
            vec![
                text(v, "number"),
                text(v, "label"),
                text(v, "created"),
                text(v, "release.replicas"),
                made_of(member(v, "release")),
                note,
                text(v, "id"),
            ]
        })
        .collect();
    let headings = ["VERSION", "LABEL", "MADE", "REPLICAS", "MADE OF", "", "ID"];
    table(style, &headings, &rows)
}

/// One version whole.
pub(crate) fn one_version(style: Style, v: &Value) -> String {
    let r = member(v, "release");
    let pairs = |path: &str| -> String {
        let Some(map) = member(r, path).as_object() else {
            return String::new();
        };
        let all: Vec<String> = map
            .iter()
            .map(|(k, v)| super::clean(&format!("{k}={}", v.as_str().unwrap_or_default())))
            .collect();
        all.join(" ")
    };
    let secrets: Vec<String> = array(r, "secrets")
        .iter()
        .map(|s| {
            format!(
                "{}={} (value {})",
                text(s, "variable"),
                text(s, "secret"),
                text(s, "revision")
            )
        })
        .collect();
    let files: Vec<String> = array(r, "files").iter().map(|f| text(f, "path")).collect();
    let cpu = match member(r, "cpu_millis").as_u64() {
        None => String::new(),
        Some(millis) => format!("{}.{:03} processors", millis / 1000, millis % 1000),
    };
    block(
        style,
        &[
            ("version", style.bold(&version(v))),
            ("id", text(v, "id")),
            ("made", text(v, "created")),
            ("made of", made_of(r)),
            ("package", text(r, "package.hash")),
            ("kind", text(r, "package.kind")),
            ("command", command(r)),
            ("with", pairs("components")),
            ("environment", pairs("env")),
            ("secrets", secrets.join(" ")),
            ("files", files.join(" ")),
            ("replicas", text(r, "replicas")),
            ("cpu of each", cpu),
            ("memory of each", size(r, "memory_bytes")),
            ("serves when", probe(member(r, "readiness"))),
            ("lives while", probe(member(r, "liveness"))),
            ("port", text(r, "port")),
            ("scaling rule", text(r, "scaling.name")),
            (
                "runs",
                match is(v, "current") {
                    true => style.good("yes"),
                    false => String::new(),
                },
            ),
            ("not to go back to", style.bad(&text(v, "barred"))),
        ],
    )
}

fn command(release: &Value) -> String {
    let argv: Vec<&str> = array(release, "command")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    super::clean(&crate::commands::words(&argv))
}

fn probe(p: &Value) -> String {
    if p.is_null() {
        return String::new();
    }
    let http = text(p, "http");
    let what = if !http.is_empty() {
        format!("GET {http} is well answered")
    } else if is(p, "tcp") {
        "it takes a connection".to_owned()
    } else {
        "its program ends with 0".to_owned()
    };
    format!("{what}, asked every {} ms", text(p, "period_ms"))
}

pub(crate) fn events(style: Style, items: &[Value]) -> String {
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|e| {
            let times = match number(e, "count") {
                0 | 1 => String::new(),
                n => format!("{n} times"),
            };
            let reason = text(e, "reason");
            vec![
                text(e, "last"),
                match is(e, "warning") {
                    true => style.odd(&reason),
                    false => reason,
                },
                text(e, "name"),
                times,
                text(e, "message"),
            ]
        })
        .collect();
    table(
        style,
        &["WHEN", "WHAT", "OF", "HOW OFTEN", "MESSAGE"],
        &rows,
    )
}

pub(crate) fn orders(style: Style, items: &[Value]) -> String {
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|o| {
            vec![
                text(o, "id"),
                name_of(member(o, "app")),
                text(o, "kind"),
                version(member(o, "from")),
                version(member(o, "to")),
                standing(style, &text(o, "standing")),
                text(o, "created"),
                text(o, "description"),
            ]
        })
        .collect();
    let headings = [
        "ID",
        "APPLICATION",
        "WHAT",
        "FROM",
        "TO",
        "STANDS",
        "ASKED FOR",
        "DESCRIPTION",
    ];
    table(style, &headings, &rows)
}

/// What an order does, in a few words: `roll shop back from 2 (blue) to 1`.
pub(crate) fn title(o: &Value) -> String {
    let app = name_of(member(o, "app"));
    let (from, to) = (version(member(o, "from")), version(member(o, "to")));
    match text(o, "kind").as_str() {
        "create" => format!("make {app}, version {to}"),
        "deploy" => format!("deploy version {to} of {app}"),
        "rollback" => format!("take {app} back from version {from} to {to}"),
        "start" => format!("start {app}"),
        "stop" => format!("stop {app}"),
        "restart" => format!("start {app} anew"),
        "restart_replicas" => format!("start some replicas of {app} anew"),
        "rescale" => format!(
            "change {app} from {} to {} replicas",
            text(o, "replicas_before"),
            text(o, "replicas_after")
        ),
        "remove_replicas" => format!("take some replicas of {app} away"),
        "resize" => format!("change the size of the replicas of {app}"),
        "delete" => format!("delete {app}"),
        other => format!("{other} {app}"),
    }
}

/// How an order is done: batches, and what stands between them.
fn layout(batches: &[Value], gate: &Value, replicas: &str) -> String {
    let sizes: Vec<String> = batches
        .iter()
        .map(|b| {
            let n = text(b, replicas);
            match is(b, "gray") {
                true => format!("{n} (gray)"),
                false => n,
            }
        })
        .collect();
    let between = match (is(gate, "manual"), number(gate, "wait_s")) {
        _ if batches.len() < 2 => String::new(),
        (true, _) => "; each further one waits for your word".to_owned(),
        (false, 0) => String::new(),
        (false, wait_s) => format!("; {wait_s} s between two"),
    };
    match batches.len() {
        0 => "nothing to change".to_owned(),
        1 => format!("one batch of {}", sizes.concat()),
        n => format!("{n} batches: {}{between}", sizes.join(", ")),
    }
}

/// What would be done, and what stands in the way.
pub(crate) fn planned(style: Style, title: &str, answer: &Value) -> String {
    let plan = member(answer, "plan");
    let mut lines = vec![("to do", style.bold(&super::clean(title)))];
    for (name, path) in [("from", "from"), ("to", "to")] {
        let shown = version(member(answer, path));
        if !shown.is_empty() {
            lines.push((name, format!("version {shown}")));
        }
    }
    if !plan.is_null() {
        lines.push(("replicas afterwards", text(plan, "replicas")));
        lines.push((
            "batches",
            layout(array(plan, "batches"), member(plan, "gate"), "replicas"),
        ));
        let floor = match number(plan, "floor") {
            0 => "none: service is interrupted".to_owned(),
            n => format!("at least {n}, at every instant"),
        };
        lines.push(("stay ready", floor));
        if number(plan, "surge") > 0 {
            let surge = format!("up to {} more run meanwhile", text(plan, "surge"));
            lines.push(("surge", surge));
        }
    }
    let mut out = block(style, &lines);
    for d in array(answer, "differences") {
        let (from, to) = (member(d, "from"), member(d, "to"));
        let what = text(d, "what");
        let line = match (from.is_null(), to.is_null()) {
            (true, _) => style.good(&format!("+ {what}: {}", text(d, "to"))),
            (_, true) => style.bad(&format!("- {what}: {}", text(d, "from"))),
            _ => style.odd(&format!(
                "~ {what}: {} -> {}",
                text(d, "from"),
                text(d, "to")
            )),
        };
        let _ = writeln!(out, "  {line}");
    }
    out.push_str(&preflight(style, member(answer, "preflight")));
    out
}

/// One order: what it does, how far it is, and what can be said now.
pub(crate) fn order(style: Style, o: &Value) -> String {
    let mut lines = vec![
        ("order", text(o, "id")),
        ("does", style.bold(&title(o))),
        ("stands", standing(style, &text(o, "standing"))),
    ];
    let progress = member(o, "progress");
    if !progress.is_null() && !is(o, "over") {
        lines.push(("how far", progress_words(o)));
        lines.push((
            "ready",
            format!(
                "{} now; at least {} at every instant",
                text(progress, "ready"),
                text(progress, "floor")
            ),
        ));
    }
    let cut_off = number(progress, "cut_off");
    if cut_off > 0 {
        lines.push((
            "cut off",
            format!("{cut_off} replicas were stopped before their requests were finished"),
        ));
    }
    lines.push(("waits", waiting(o).unwrap_or_default()));
    lines.push(("description", text(o, "description")));
    lines.push(("approved by", text(o, "approval.by")));
    lines.push(("takes back", text(o, "takes_back")));
    lines.push(("job", text(o, "job")));
    lines.push(("asked for", text(o, "created")));
    lines.push(("over", text(o, "ended")));
    let mut out = block(style, &lines);
    let rows: Vec<Vec<String>> = array(o, "batches")
        .iter()
        .map(|b| {
            let mut kind = match is(b, "back") {
                true => "way back".to_owned(),
                false => String::new(),
            };
            if is(b, "gray") {
                kind = "gray".to_owned();
            }
            vec![
                text(b, "number"),
                kind,
                text(b, "replicas"),
                standing(style, &text(b, "status")),
                text(b, "started"),
                text(b, "ended"),
            ]
        })
        .collect();
    if !rows.is_empty() {
        let headings = ["BATCH", "", "REPLICAS", "STANDS", "BEGAN", "ENDED"];
        let _ = write!(out, "\n{}", table(style, &headings, &rows));
    }
    if let Some(failed) = failure(style, o) {
        let _ = write!(out, "\n{failed}");
    }
    out.push_str(&next(style, o));
    out
}

/// What failed, in a line; none when nothing did.
fn failure(style: Style, o: &Value) -> Option<String> {
    let f = member(o, "failure");
    if !f.is_null() {
        let which = match text(f, "replica") {
            id if id.is_empty() => "the batch failed".to_owned(),
            id => format!("replica {id} failed"),
        };
        return Some(format!("{}: {}\n", style.bad(&which), text(f, "message")));
    }
    let error = member(o, "error");
    (!error.is_null()).then(|| {
        format!(
            "{} {}: failed to {}\n",
            style.bad("error"),
            text(error, "code"),
            text(error, "message")
        )
    })
}

/// The commands that can be typed now.
fn next(style: Style, o: &Value) -> String {
    let commands = array(o, "next_commands");
    let mut out = String::new();
    for (n, command) in commands.iter().filter_map(Value::as_str).enumerate() {
        let lead = match n {
            0 => "next: ",
            _ => "      ",
        };
        let _ = writeln!(out, "{}{}", style.dim(lead), super::clean(command));
    }
    out
}

fn progress_words(o: &Value) -> String {
    let p = member(o, "progress");
    let batches = array(o, "batches").len();
    let back = match is(p, "back") {
        true => "on its way back, ",
        false => "",
    };
    format!(
        "{back}batch {} of {batches}, {} of {} replicas changed",
        text(p, "batch"),
        text(p, "done"),
        text(p, "total")
    )
}

/// What an order waits for; none when it goes on by itself.
pub(crate) fn waiting(o: &Value) -> Option<String> {
    let w = member(o, "waits");
    match text(w, "on").as_str() {
        "approval" => Some(format!(
            "for the approval of somebody else, as {} asks",
            text(o, "approval.rule")
        )),
        "confirm" => Some("for your word on the next batch".to_owned()),
        "time" => Some(format!("until {} for the next batch", text(w, "until"))),
        "word" => Some("for your word: a batch failed, nothing more is changed".to_owned()),
        _ => None,
    }
}

/// How an order is, in a line that stands alone while somebody waits.
pub(crate) fn order_line(o: &Value) -> String {
    let p = member(o, "progress");
    let mut line = match text(o, "standing").as_str() {
        "approved" => "approved, begins soon".to_owned(),
        "preparing" => "being prepared".to_owned(),
        _ if p.is_null() => text(o, "standing").replace('_', " "),
        _ => format!(
            "{}; {} ready, at least {}",
            progress_words(o),
            text(p, "ready"),
            text(p, "floor")
        ),
    };
    if is(p, "ending") {
        line.push_str("; ends, finishes what was begun");
    }
    if let Some(waits) = waiting(o) {
        let _ = write!(line, "; waits {waits}");
        if text(o, "waits.on") != "time"
            && let Some(command) = array(o, "next_commands").first().and_then(Value::as_str)
        {
            let _ = write!(line, ": {}", super::clean(command));
        }
    }
    line
}

/// The same beside a bar, which leaves room for little.
pub(crate) fn order_short(o: &Value) -> String {
    let p = member(o, "progress");
    if p.is_null() {
        return text(o, "standing").replace('_', " ");
    }
    let back = match is(p, "back") {
        true => "back: ",
        false => "",
    };
    format!(
        "{back}batch {}/{}, {} ready, floor {}",
        text(p, "batch"),
        array(o, "batches").len(),
        text(p, "ready"),
        text(p, "floor")
    )
}

/// How much of an order is done, in per cent.
pub(crate) fn order_percent(o: &Value) -> u8 {
    let p = member(o, "progress");
    match number(p, "total") {
        0 if is(o, "over") => 100,
        0 => 0,
        total => u8::try_from(number(p, "done").min(total) * 100 / total).unwrap_or(100),
    }
}

/// A stuck order: what failed, what it wrote last, and what to type.
pub(crate) fn stuck(style: Style, o: &Value, log: Option<&str>) -> String {
    let p = member(o, "progress");
    let mut out = format!("{}: {}\n", style.bad("stuck"), style.bold(&title(o)));
    if let Some(failed) = failure(style, o) {
        out.push_str(&failed);
    }
    let _ = writeln!(
        out,
        "nothing more is changed; {} replicas serve, at least {} were promised; {}",
        text(p, "ready"),
        text(p, "floor"),
        progress_words(o)
    );
    let log = log.unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    if !lines.is_empty() {
        let _ = writeln!(out, "its last lines:");
        for line in lines.iter().skip(lines.len().saturating_sub(FAILURE_LINES)) {
            let _ = writeln!(out, "  {} {}", style.dim("|"), super::clean(line));
        }
    }
    out.push_str(&next(style, o));
    out
}

pub(crate) fn namespaces(style: Style, items: &[Value]) -> String {
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|n| {
            vec![
                text(n, "id"),
                text(n, "name"),
                text(n, "created"),
                text(n, "description"),
            ]
        })
        .collect();
    table(style, &["ID", "NAME", "MADE", "DESCRIPTION"], &rows)
}

pub(crate) fn secrets(style: Style, items: &[Value]) -> String {
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|s| vec![text(s, "name"), text(s, "revision"), text(s, "updated")])
        .collect();
    table(style, &["NAME", "VALUE", "SET"], &rows)
}

pub(crate) fn config_maps(style: Style, items: &[Value]) -> String {
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|m| {
            let keys: Vec<String> = member(m, "entries")
                .as_object()
                .map(|entries| entries.keys().map(|k| super::clean(k)).collect())
                .unwrap_or_default();
            vec![
                text(m, "number"),
                text(m, "name"),
                text(m, "namespace"),
                text(m, "updated"),
                keys.join(" "),
            ]
        })
        .collect();
    table(
        style,
        &["NUMBER", "NAME", "NAMESPACE", "CHANGED", "KEYS"],
        &rows,
    )
}

/// A config map with its texts.
pub(crate) fn config_map(style: Style, m: &Value) -> String {
    let mut out = block(
        style,
        &[
            ("number", text(m, "number")),
            ("name", style.bold(&text(m, "name"))),
            ("namespace", text(m, "namespace")),
            ("changed", text(m, "updated")),
        ],
    );
    for (key, value) in member(m, "entries").as_object().into_iter().flatten() {
        let _ = writeln!(out, "{}", style.dim(&format!("-- {}", super::clean(key))));
        for line in value.as_str().unwrap_or_default().lines() {
            let _ = writeln!(out, "{}", super::clean(line));
        }
    }
    out
}

pub(crate) fn scaling_rules(style: Style, items: &[Value]) -> String {
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|r| {
            vec![
                text(r, "name"),
                match is(r, "enabled") {
                    true => style.good("on"),
                    false => style.odd("off"),
                },
                text(r, "rule"),
            ]
        })
        .collect();
    table(style, &["NAME", "", "RULE"], &rows)
}

/// The settings of an account and of the service.
pub(crate) fn settings(style: Style, s: &Value) -> String {
    let mut out = String::new();
    for part in ["account", "service"] {
        let value = member(s, part);
        if value.is_null() {
            continue;
        }
        let _ = writeln!(out, "{}", style.bold(part));
        let Some(map) = value.as_object() else {
            continue;
        };
        for (name, value) in map {
            let shown = match value {
                Value::Null => "no bound".to_owned(),
                Value::Array(all) if all.is_empty() => "any".to_owned(),
                Value::String(text) => super::clean(text),
                other => super::clean(&other.to_string()),
            };
            let _ = writeln!(out, "  {}  {shown}", style.dim(name));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PLAIN: Style = Style { colour: false };

    fn an_order(standing: &str) -> Value {
        json!({
            "id": "0b5c2f1e-0000-4000-8000-000000000001",
            "app": {"id": "017f39b8-dfa4-4e16-a84b-1dcee4b10000", "name": "shop", "namespace": "default"},
            "kind": "rollback", "standing": standing, "over": false,
            "from": {"id": "v2", "number": 2, "label": "blue"}, "to": {"id": "v1", "number": 1, "label": ""},
            "replicas_before": 20, "replicas_after": 20, "description": "version 2 answers errors",
            "floor": 15, "surge": 0, "gate": {"manual": true, "wait_s": 0},
            "batches": [
                {"number": 1, "id": "b1", "back": false, "replicas": 2, "gray": true, "status": "succeeded",
                    "started": "2026-11-21T02:14:07Z", "ended": "2026-11-21T02:14:20Z", "changes": []},
                {"number": 2, "id": "b2", "back": false, "replicas": 9, "gray": false, "status": "waits_for_confirm",
                    "started": null, "ended": null, "changes": []},
                {"number": 3, "id": "b3", "back": false, "replicas": 9, "gray": false, "status": "preparing",
                    "started": null, "ended": null, "changes": []}],
            "progress": {"batch": 1, "ready": 20, "floor": 15, "done": 2, "total": 20, "cut_off": 0, "back": false, "ending": false},
            "failure": null, "waits": null, "approval": null, "error": null, "job": "job_abcdefgh12345678",
            "takes_back": null, "next_commands": [], "operator": "acct_abcdefghijkl",
            "request_id": "r", "created": "2026-11-21T02:14:00Z", "ended": null,
        })
    }

    #[test]
    fn renderings() {
        let app_value = json!({
            "id": "017f39b8-dfa4-4e16-a84b-1dcee4b10000", "name": "shop", "namespace": "default", "description": "",
            "state": "running", "replicas": 20, "ready": 18, "version": {"id": "v2", "number": 2, "label": "blue"},
            "port": 8080, "order": {"id": "o", "kind": "rollback", "standing": "waits_for_confirm"}, "node": "here",
            "tags": [], "created": "2026-11-20T09:00:00Z",
        });
        let replica = |id: &str, phase: &str, why: Option<&str>| {
            json!({"id": id, "version": {"id": "v2", "number": 2, "label": "blue"}, "phase": phase, "why": why,
                "address": "127.0.0.1:40001", "pid": 7, "since": "2026-11-21T02:00:00Z", "restarts": 3,
                "memory_bytes": 12_u64 << 20, "memory_kills": 0, "limits_missing": null, "created": "2026-11-21T02:00:00Z"})
        };
        let replicas = [
            replica("inst-0a1b2c3d4e5f6g7h", "ready", None),
            replica(
                "inst-0a1b2c3d4e5f6g7i",
                "waits",
                Some("it ended with exit code 1"),
            ),
        ];
        let mut waits = an_order("waits_for_confirm");
        waits["waits"] = json!({"on": "confirm", "until": null});
        waits["next_commands"] = json!([
            "backout apps confirm shop",
            "backout apps abort shop --back"
        ]);
        let mut stuck_order = an_order("stuck");
        stuck_order["waits"] = json!({"on": "word", "until": null});
        stuck_order["failure"] = json!({"replica": "inst-0a1b2c3d4e5f6g7i", "why": "not_ready", "message": "it was not ready in time"});
        stuck_order["next_commands"] = json!([
            "backout apps logs shop --replica inst-0a1b2c3d4e5f6g7i",
            "backout apps retry shop",
            "backout apps abort shop --back"
        ]);
        let mut timed = an_order("waits_for_auto");
        timed["waits"] = json!({"on": "time", "until": "2026-11-21T02:15:00Z"});
        let mut to_approve = an_order("waits_for_approval");
        to_approve["progress"] = Value::Null;
        to_approve["batches"] = json!([]);
        to_approve["waits"] = json!({"on": "approval", "until": null});
        to_approve["approval"] =
            json!({"rule": "the policy of account ci", "by": null, "at": null});
        to_approve["next_commands"] =
            json!(["backout approve 0b5c2f1e-0000-4000-8000-000000000001"]);
        let version_value = json!({
            "id": "v2", "number": 2, "label": "blue", "current": true, "barred": null, "created": "2026-11-21T01:00:00Z",
            "release": {"package": {"kind": "plain", "origin": "/srv/shop-2.tar.gz", "version": "2", "hash": "ab12"}, "image": null,
                "command": ["./shop", "--greeting", "hello world"], "components": {"jdk": "17"}, "env": {"COLOUR": "blue"},
                "secrets": [{"variable": "DB", "secret": "db-password", "revision": 3}],
                "files": [{"path": "/etc/shop.conf", "content": "x", "of": null}], "replicas": 20, "cpu_millis": 500,
                "memory_bytes": 64_u64 << 20, "readiness": {"http": "/health", "period_ms": 500}, "liveness": {"tcp": true, "period_ms": 10_000},
                "after_start": null, "before_stop": null, "grace_ms": 30_000, "port": 8080, "scaling": null}});
        let barred = json!({"id": "v1", "number": 1, "label": "", "current": false, "barred": "loses orders", "created": "2026-11-20T01:00:00Z",
            "release": {"image": "shop:1", "replicas": 20}});
        let plan = json!({"passed": false,
            "preflight": {"blockers": [{"code": "BO0090", "message": "roll back application shop: it is stopped; start it first"}],
                "warnings": [{"code": "BO0092", "message": "keep the application in service: no replica need stay ready; ask for at least one"}]},
            "plan": {"replicas": 20, "floor": 15, "surge": 1, "road": "paced", "gate": {"manual": false, "wait_s": 30},
                "batches": [{"replicas": 2, "gray": true}, {"replicas": 9, "gray": false}, {"replicas": 9, "gray": false}]},
            "from": {"id": "v2", "number": 2, "label": "blue"}, "to": {"id": "v1", "number": 1, "label": ""},
            "differences": [{"what": "package", "from": "/srv/shop-2.tar.gz", "to": "/srv/shop-1.tar.gz"},
                {"what": "env COLOUR", "from": "blue", "to": null}, {"what": "env OLD", "from": null, "to": "1"}]});
        let mut event = json!({"number": 5, "app": "a", "warning": true, "object": "replica", "name": "inst-0a1b2c3d4e5f6g7i",
            "reason": "Ended", "message": "it ended with exit code 1", "count": 3, "first": "2026-11-21T02:10:00Z", "last": "2026-11-21T02:14:00Z"});
        let seldom = {
            let mut e = event.clone();
            e["count"] = json!(1);
            e["warning"] = json!(false);
            e
        };
        event["number"] = json!(6);
        let all = [
            ("apps", apps(PLAIN, std::slice::from_ref(&app_value))),
            ("app", app(PLAIN, &app_value, &replicas, Some(&waits))),
            (
                "versions",
                versions(PLAIN, &[version_value.clone(), barred]),
            ),
            ("version", one_version(PLAIN, &version_value)),
            ("planned", planned(PLAIN, "take shop back", &plan)),
            (
                "stuck",
                stuck(
                    PLAIN,
                    &stuck_order,
                    Some("starting\nbind: address in use\n"),
                ),
            ),
            (
                "orders",
                orders(PLAIN, &[waits.clone(), stuck_order.clone()]),
            ),
            (
                "lines",
                format!(
                    "{}\n{}\n{}\n{}\n",
                    order_line(&waits),
                    order_line(&stuck_order),
                    order_line(&timed),
                    order_line(&to_approve)
                ),
            ),
            ("to approve", order(PLAIN, &to_approve)),
            ("events", events(PLAIN, &[event, seldom])),
            (
                "namespaces",
                namespaces(
                    PLAIN,
                    &[
                        json!({"id": "default", "name": "default", "description": "", "created": "2026-11-20T09:00:00Z"}),
                    ],
                ),
            ),
            (
                "secrets",
                secrets(
                    PLAIN,
                    &[
                        json!({"name": "db-password", "revision": 3, "updated": "2026-11-20T09:00:00Z"}),
                    ],
                ),
            ),
            (
                "config maps",
                config_maps(
                    PLAIN,
                    &[
                        json!({"number": 1, "name": "conf", "namespace": "default", "entries": {"a.conf": "x", "b": "y"}, "updated": "2026-11-20T09:00:00Z"}),
                    ],
                ),
            ),
            (
                "config map",
                config_map(
                    PLAIN,
                    &json!({"number": 1, "name": "conf", "namespace": "default", "entries": {"a.conf": "x\ny\n"}, "updated": "2026-11-20T09:00:00Z"}),
                ),
            ),
            (
                "scaling",
                scaling_rules(
                    PLAIN,
                    &[json!({"name": "day", "enabled": true, "rule": {"most": 9}})],
                ),
            ),
            (
                "settings",
                settings(
                    PLAIN,
                    &json!({"account": {"in_debt": false, "replicas_of_account": 1000}, "service": {"cpu_millis": null, "sizes": [], "upgrading": false}}),
                ),
            ),
        ];
        let shown: String = all
            .iter()
            .map(|(name, text)| format!("== {name}\n{text}\n"))
            .collect();
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn how_much_is_done() {
        let mut o = an_order("running");
        assert_eq!(order_percent(&o), 10);
        assert_eq!(order_short(&o), "batch 1/3, 20 ready, floor 15");
        o["progress"]["total"] = json!(0);
        assert_eq!(order_percent(&o), 0);
        o["over"] = json!(true);
        assert_eq!(order_percent(&o), 100);
    }
}
