//! Databases, as people see them.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Style, array, block, member, preflight, size, table, text, words};

pub(crate) fn databases(style: Style, items: &[Value]) -> String {
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|d| {
            vec![
                text(d, "name"),
                text(d, "id"),
                style.state(&text(d, "state")),
                text(d, "kind"),
                address(d),
                text(d, "version"),
                size(d, "data_bytes"),
                text(d, "job.id"),
            ]
        })
        .collect();
    let headings = [
        "NAME", "ID", "STATE", "KIND", "ADDRESS", "VERSION", "DATA", "JOB",
    ];
    table(style, &headings, &rows)
}

fn address(d: &Value) -> String {
    match text(d, "host") {
        host if host.is_empty() => String::new(),
        host => format!("{host}:{}", text(d, "port")),
    }
}

pub(crate) fn database(style: Style, d: &Value) -> String {
    let job = match text(d, "job.id") {
        id if id.is_empty() => id,
        id if member(d, "job.held") == &Value::Bool(true) => {
            format!("{id} ({}, held)", text(d, "job.kind"))
        }
        id => format!("{id} ({})", text(d, "job.kind")),
    };
    block(
        style,
        &[
            ("name", style.bold(&text(d, "name"))),
            ("id", text(d, "id")),
            ("state", style.state(&text(d, "state"))),
            ("kind", text(d, "kind")),
            ("node", text(d, "node")),
            ("address", address(d)),
            ("user", text(d, "user")),
            ("version", text(d, "version")),
            ("time zone", text(d, "zone")),
            ("files", text(d, "datadir")),
            ("data", size(d, "data_bytes")),
            ("backups", schedule(member(d, "backups"))),
            ("history", days(d, "backups.history_days")),
            ("own binlogs", own_binlogs(member(d, "local_binlogs"))),
            ("job", job),
            ("isolated", text(d, "isolated")),
            ("managed since", text(d, "created")),
        ],
    )
}

fn own_binlogs(s: &Value) -> String {
    match member(s, "hours").is_null() {
        true => String::new(),
        false => format!(
            "kept for {} hours, in {} % of the disk",
            text(s, "hours"),
            text(s, "percent")
        ),
    }
}

fn days(value: &Value, path: &str) -> String {
    match member(value, path).as_u64() {
        None => String::new(),
        Some(1) => "1 day".to_owned(),
        Some(n) => format!("{n} days"),
    }
}

fn schedule(s: &Value) -> String {
    if member(s, "enabled") != &Value::Bool(true) {
        return match s.is_null() {
            true => String::new(),
            false => "none by themselves".to_owned(),
        };
    }
    let on = match array(s, "days").len() {
        7 => "every day".to_owned(),
        n => format!("{n} days a week"),
    };
    format!(
        "{on} from {}:00 to {}:00, kept {}",
        text(s, "from_hour"),
        text(s, "to_hour"),
        days(s, "keep_days")
    )
}

/// What a look at a server found; what is well in a line, the rest with what
/// mends it.
pub(crate) fn findings(style: Style, report: &Value) -> String {
    let mut out = String::new();
    let all = array(report, "findings");
    let well = all.iter().filter(|f| text(f, "level") == "ok").count();
    for f in all {
        let mark = match text(f, "level").as_str() {
            "ok" => continue,
            "warning" => style.odd("warning"),
            _ => style.bad("blocker"),
        };
        let _ = writeln!(
            out,
            "{mark}  {}: it is {}, wanted is {}",
            style.bold(&text(f, "check")),
            text(f, "found"),
            text(f, "wanted")
        );
        let _ = writeln!(out, "         {}", text(f, "why"));
        // Several lines: each is cleaned by itself.
        let fix = member(f, "fix").as_str().unwrap_or_default();
        for (n, line) in fix.lines().enumerate() {
            let lead = if n == 0 { "fix: " } else { "     " };
            let _ = writeln!(out, "         {}{}", style.dim(lead), super::clean(line));
        }
    }
    if let Some(grant) = one_grant(all) {
        let _ = writeln!(out, "all privileges at once:\n  {grant}");
    }
    let _ = writeln!(
        out,
        "{}  {well} of {} checks",
        style.good("ok     "),
        all.len()
    );
    out
}

/// One statement for all privileges that are missing, when there are several.
fn one_grant(findings: &[Value]) -> Option<String> {
    let mut privileges = Vec::new();
    let mut to_whom = None;
    for fix in findings.iter().filter_map(|f| member(f, "fix").as_str()) {
        let Some((privilege, whom)) = fix
            .strip_prefix("GRANT ")
            .and_then(|rest| rest.split_once(" ON *.* TO "))
        else {
            continue;
        };
        if *to_whom.get_or_insert(whom) != whom {
            return None;
        }
        privileges.push(privilege);
    }
    let whom = to_whom.filter(|_| privileges.len() > 1)?;
    let whom = whom.trim_end_matches(';');
    let all = privileges.join(", ");
    Some(super::clean(&format!("GRANT {all} ON *.* TO {whom};")))
}

pub(crate) fn windows(style: Style, items: &[Value]) -> String {
    if items.is_empty() {
        return "there is no history yet\n".to_owned();
    }
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|w| {
            vec![
                text(w, "from.time"),
                text(w, "to.time"),
                text(w, "from.position"),
                text(w, "to.position"),
                text(w, "to.gtid"),
                text(w, "gap_before"),
            ]
        })
        .collect();
    let headings = ["FROM", "TO", "FIRST", "LAST", "LAST GTID", "GAP BEFORE IT"];
    table(style, &headings, &rows)
}

/// What a transaction changed, in a line: `shop.items +1 ~20 -3`, and its
/// definition statements.
fn changes(t: &Value) -> String {
    let mut parts: Vec<String> = array(t, "tables")
        .iter()
        .map(|c| {
            let mut part = text(c, "table");
            for (sign, name) in [('+', "inserts"), ('~', "updates"), ('-', "deletes")] {
                if member(c, name).as_u64().unwrap_or(0) > 0 {
                    let _ = write!(part, " {sign}{}", text(c, name));
                }
            }
            part
        })
        .collect();
    parts.extend(
        array(t, "ddl")
            .iter()
            .filter_map(Value::as_str)
            .map(super::clean),
    );
    parts.join("; ")
}

/// Rows that a transaction changed or deleted, and those that it inserted:
/// what is lost weighs more than what is new.
fn weight(t: &Value) -> (u64, u64) {
    let sum = |name: &str| -> u64 {
        array(t, "tables")
            .iter()
            .filter_map(|c| member(c, name).as_u64())
            .sum()
    };
    (
        sum("updates").saturating_add(sum("deletes")),
        sum("inserts"),
    )
}

/// Transactions around an instant, and what to type next.
pub(crate) fn history(
    style: Style,
    database: &str,
    wanted: Option<&str>,
    answer: &Value,
) -> String {
    let items = array(answer, "items");
    if items.is_empty() {
        return "no transaction is known near there; see how far history reaches with: backout databases range ".to_owned()
            + database
            + "\n";
    }
    let before = member(answer, "before").as_u64().unwrap_or(0);
    let mut rows = Vec::new();
    for (n, t) in (0_u64..).zip(items) {
        if n == before {
            rows.push(vec![
                style.dim(&text(answer, "around")),
                style.dim("--"),
                String::new(),
            ]);
        }
        rows.push(vec![
            text(t, "time"),
            super::first(t, &["gtid", "position"]),
            changes(t),
        ]);
    }
    let mut out = table(
        style,
        &["TIME", "GTID", "ROWS (+ IN, ~ CHANGED, - OUT)"],
        &rows,
    );
    // The largest change is mostly what somebody looks for.
    let Some((at, largest)) = items
        .iter()
        .enumerate()
        .max_by_key(|(_, t)| weight(t))
        .filter(|(_, t)| weight(t) > (0, 0))
    else {
        return out;
    };
    let kept = at.checked_sub(1).and_then(|n| items.get(n));
    let to = match kept.map(|t| text(t, "gtid")) {
        Some(gtid) if !gtid.is_empty() => gtid,
        // What lies before the change itself is kept.
        _ => text(largest, "position"),
    };
    let name = wanted
        .map(super::clean)
        .or_else(|| array(largest, "tables").first().map(|c| text(c, "table")))
        .unwrap_or_default();
    let _ = writeln!(
        out,
        "\nthe largest change is {}. To see {name} as it was just before it, beside what is there:",
        super::first(largest, &["gtid", "position"])
    );
    let _ = writeln!(
        out,
        "  backout databases rollback {database} --to {to} --table {name}={}",
        beside(&name)
    );
    if !text(largest, "gtid").is_empty() {
        let _ = writeln!(
            out,
            "to undo it alone, in place:\n  backout databases undo-transaction {database} --gtid {}",
            text(largest, "gtid")
        );
    }
    out
}

/// A name for a table that comes back.
fn beside(name: &str) -> String {
    match name.strip_suffix('`') {
        Some(quoted) => format!("{quoted}_back`"),
        None => format!("{name}_back"),
    }
}

fn transaction(t: &Value) -> String {
    if t.is_null() {
        return "none".to_owned();
    }
    words(&[
        super::first(t, &["gtid", "position"]),
        "at".to_owned(),
        text(t, "time"),
        changes(t),
    ])
}

/// What a rollback found: the instant that was meant, what is kept and what is
/// not, the way.
pub(crate) fn found(style: Style, answer: &Value) -> String {
    let f = member(answer, "found");
    if f.is_null() {
        return String::new();
    }
    let exact = match member(f, "exact") {
        Value::Bool(false) => {
            "  (below one second the order is not known for sure: compare the two lines below)"
        }
        _ => "",
    };
    let road = format!("{}: {}", text(f, "road"), text(f, "why"));
    let mut out = if member(f, "alone") == &Value::Bool(true) {
        let lines = [
            ("to undo", style.bold(&text(f, "to"))),
            ("the first", transaction(member(f, "undone"))),
            ("road", road),
        ];
        block(style, &lines)
    } else {
        let lines = [
            ("back to", format!("{}{exact}", style.bold(&text(f, "to")))),
            ("last kept", transaction(member(f, "kept"))),
            ("first undone", transaction(member(f, "undone"))),
            ("cut at", text(f, "cut")),
            ("road", road),
        ];
        block(style, &lines)
    };
    for t in array(f, "tables") {
        let (from, to) = (text(t, "from"), text(t, "to"));
        let names = match from == to {
            true => format!("{from} in place"),
            false => format!("{from} as {to}"),
        };
        let _ = writeln!(
            out,
            "  {names}: now about {} rows, {}",
            text(t, "rows_now"),
            size(t, "bytes")
        );
    }
    out
}

/// What a clone found: the instant that was meant, what is kept and what is not,
/// what it begins with.
pub(crate) fn found_clone(style: Style, answer: &Value) -> String {
    let f = member(answer, "found");
    if f.is_null() {
        return String::new();
    }
    let mut lines = vec![("as of", style.bold(&text(f, "to")))];
    if !member(f, "cut").is_null() {
        lines.push(("last kept", transaction(member(f, "kept"))));
        lines.push(("first left out", transaction(member(f, "undone"))));
        lines.push(("cut at", text(f, "cut")));
    }
    let backup = format!("backup {}, {}", text(f, "backup"), size(f, "bytes"));
    lines.push(("begins with", backup));
    block(style, &lines)
}

/// The same, with what there is to know before it.
pub(crate) fn found_clone_with_warnings(style: Style, answer: &Value) -> String {
    format!(
        "{}{}",
        found_clone(style, answer),
        preflight(style, member(answer, "preflight"))
    )
}

/// The same, with what there is to know before it.
pub(crate) fn found_with_warnings(style: Style, answer: &Value) -> String {
    format!(
        "{}{}",
        found(style, answer),
        preflight(style, member(answer, "preflight"))
    )
}

/// Some rows as they are and as they would be; of rows that stay, only the key
/// (the first column) and what differs.
pub(crate) fn preview(style: Style, answer: &Value) -> String {
    let rows = array(answer, "rows");
    let mut out = format!("{} rows would change", text(answer, "total"));
    out.push_str(match rows.len() {
        0 => "\n",
        _ => ", e.g.\n",
    });
    for row in rows {
        let (now, then) = (member(row, "now"), member(row, "then"));
        let values = |side: &Value| -> Vec<(String, String)> {
            array(row, "columns")
                .iter()
                .zip(side.as_array().map_or(&[][..], Vec::as_slice))
                .map(|(c, v)| {
                    let plain = |v: &Value| super::clean(v.as_str().unwrap_or_default());
                    (plain(c), plain(v))
                })
                .collect()
        };
        let all = |side: &Value| -> String {
            let cells: Vec<String> = values(side)
                .into_iter()
                .map(|(column, value)| format!("{column}={value}"))
                .collect();
            cells.join(" ")
        };
        let what = match (now.is_null(), then.is_null()) {
            (true, _) => style.good(&format!("+ {}", all(then))),
            (_, true) => style.bad(&format!("- {}", all(now))),
            (false, false) => {
                let cells: Vec<String> = values(now)
                    .into_iter()
                    .zip(values(then))
                    .enumerate()
                    .filter(|(n, (a, b))| *n == 0 || a != b)
                    .map(|(_, ((column, a), (_, b)))| match a == b {
                        true => format!("{column}={a}"),
                        false => format!("{column}={a} -> {b}"),
                    })
                    .collect();
                style.odd(&format!("~ {}", cells.join(" ")))
            }
        };
        let _ = writeln!(out, "  {}  {what}", text(row, "table"));
    }
    out
}

/// How a rollback was proved.
pub(crate) fn proofs(style: Style, task: &Value) -> String {
    let rows: Vec<Vec<String>> = array(task, "rollback.proofs")
        .iter()
        .map(|p| {
            vec![
                text(p, "table"),
                text(p, "rows"),
                text(p, "touched"),
                text(p, "by"),
            ]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    table(style, &["TABLE", "ROWS", "TAKEN BACK", "PROVED BY"], &rows)
}

pub(crate) fn tasks(style: Style, items: &[Value]) -> String {
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|t| {
            let percent = text(t, "percent");
            vec![
                text(t, "number"),
                text(t, "kind"),
                style.state(&text(t, "standing")),
                format!("{percent}%"),
                text(t, "created"),
                text(t, "job"),
                match member(t, "error") {
                    Value::Null => super::first(t, &["rollback.to", "rollback.asked", "backup"]),
                    error => words(&[text(error, "code"), text(error, "message")]),
                },
            ]
        })
        .collect();
    let headings = ["NUMBER", "KIND", "STATE", "DONE", "ASKED", "JOB", "ABOUT"];
    table(style, &headings, &rows)
}

pub(crate) fn backups(style: Style, items: &[Value]) -> String {
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|b| {
            vec![
                text(b, "number"),
                text(b, "name"),
                text(b, "method"),
                style.state(&text(b, "state")),
                text(b, "as_of"),
                size(b, "bytes"),
                text(b, "way"),
                text(b, "base"),
            ]
        })
        .collect();
    let headings = [
        "NUMBER",
        "NAME",
        "METHOD",
        "STATE",
        "STATE OF",
        "SIZE",
        "WAY",
        "BUILDS ON",
    ];
    table(style, &headings, &rows)
}

pub(crate) fn schemas(style: Style, items: &[Value]) -> String {
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|s| vec![text(s, "name"), text(s, "charset")])
        .collect();
    table(style, &["DATABASE", "CHARACTER SET"], &rows)
}

/// One a line, as commands take them.
pub(crate) fn schema_tables(items: &[Value]) -> String {
    let lines = items.iter().map(|t| format!("{}\n", text(t, "table")));
    lines.collect()
}

pub(crate) fn binlogs(style: Style, items: &[Value]) -> String {
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|b| {
            let on_server = match member(b, "on_server") {
                Value::Bool(true) => "there",
                Value::Bool(false) => "purged",
                _ => "not known",
            };
            let archived = match member(b, "archived") {
                Value::Bool(true) => "all".to_owned(),
                _ => size(b, "archived_bytes"),
            };
            vec![
                text(b, "name"),
                size(b, "bytes"),
                on_server.to_owned(),
                archived,
                text(b, "transactions"),
                text(b, "first"),
                text(b, "last"),
                text(b, "incarnation"),
            ]
        })
        .collect();
    let headings = [
        "NAME",
        "SIZE",
        "SERVER",
        "ARCHIVED",
        "TRANSACTIONS",
        "FIRST",
        "LAST",
        "LIFE",
    ];
    table(style, &headings, &rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PLAIN: Style = Style { colour: false };

    #[test]
    fn renderings() {
        let database_value = json!({
            "id": "cdb-c1nl9rpv", "name": "shop", "kind": "reached", "state": "running", "node": "here",
            "host": "db.example", "port": 3306, "user": "backout", "version": "10.11.19-MariaDB",
            "server_id": 1, "charset": "utf8mb4", "zone": "+01:00", "datadir": "/var/lib/mysql",
            "data_bytes": 5_u64 << 30, "memory_mb": 1000,
            "backups": {"enabled": true, "from_hour": 2, "to_hour": 6, "days": [1, 2, 3, 4, 5, 6, 7],
                "keep_days": 7, "history_days": 7, "incremental": true},
            "job": {"id": "job_abcdefgh12345678", "kind": "rollback", "held": true},
            "tags": [], "created": "2026-11-21T07:00:00Z", "isolated": null,
        });
        let report = json!({"healthy": false, "findings": [
            {"check": "log_bin", "level": "ok", "found": "ON", "wanted": "ON", "why": "w", "fix": ""},
            {"check": "binlog_format", "level": "blocker", "found": "STATEMENT", "wanted": "ROW",
                "why": "rows are taken back from row events", "fix": "SET GLOBAL binlog_format = 'ROW';\n[mysqld]\nbinlog_format = ROW"},
            {"check": "expire_logs_days", "level": "warning", "found": "0.1", "wanted": "1", "why": "logs go early", "fix": "SET GLOBAL expire_logs_days = 1;"},
            {"check": "privilege PROCESS", "level": "blocker", "found": "missing", "wanted": "granted on *.*", "why": "w", "fix": "GRANT PROCESS ON *.* TO 'backout'@'%'"},
            {"check": "privilege EVENT", "level": "warning", "found": "missing", "wanted": "granted on *.*", "why": "w", "fix": "GRANT EVENT ON *.* TO 'backout'@'%'"},
        ]});
        let window = json!({"from": {"time": "2026-11-21T01:00:00+01:00", "position": "bin.000001:4", "gtid": null},
            "to": {"time": "2026-11-21T02:14:08.25+01:00", "position": "bin.000002:4711", "gtid": "0-1-12"}, "gap_before": null});
        let changed = |gtid: &str, time: &str, updates: u64| {
            json!({"time": time, "exact": true, "gtid": gtid, "position": "bin.000002:400", "end": "bin.000002:500",
                "tables": [{"table": "shop.items", "inserts": 1, "updates": updates, "deletes": 0}], "ddl": []})
        };
        let around = json!({"around": "2026-11-21T02:14:07+01:00", "before": 1, "items": [
            changed("0-1-10", "2026-11-21T02:14:05.5+01:00", 0),
            changed("0-1-11", "2026-11-21T02:14:07.25+01:00", 2000),
            {"time": "2026-11-21T02:14:08+01:00", "exact": true, "gtid": "0-1-12", "position": "bin.000002:500", "end": "bin.000002:600",
                "tables": [], "ddl": ["DROP TABLE shop.old"]},
        ]});
        let answer = json!({"passed": true,
            "preflight": {"blockers": [], "warnings": [], "estimate": {}},
            "found": {"to": "2026-11-21T02:14:07+01:00", "cut": "bin.000002:400", "kept": around["items"][0],
                "undone": around["items"][1], "exact": false, "road": "undo", "why": "little changed since",
                "copying": "files", "tables": [
                    {"from": "shop.items", "to": "shop.items_back", "rows_now": 2000, "bytes": 1 << 20},
                    {"from": "shop.a", "to": "shop.a", "rows_now": 1, "bytes": 1 << 14}]}});
        let mut alone = answer.clone();
        alone["found"]["alone"] = json!(true);
        alone["found"]["to"] = json!("0-1-11");
        let task = json!({"number": 7, "kind": "rollback", "standing": "applied", "percent": 100, "words": "", "error": null,
            "job": "job_abcdefgh12345678", "created": "2026-11-21T07:00:00Z", "backup": null,
            "rollback": {"to": "2026-11-21T02:14:07+01:00", "asked": "2026-11-21 02:14:07", "proofs": [
                {"table": "shop.items", "rows": 2000, "touched": 2000, "digest": "ab", "by": "the digest of all rows"}]}});
        let failed = json!({"number": 8, "kind": "backup", "standing": "failed", "percent": 10, "words": "",
            "error": {"code": "BO0067", "message": "run the tool: install it"}, "job": "job_abcdefgh12345679", "created": "2026-11-21T07:00:00Z"});
        let backup = json!({"number": 3, "name": "shop-1", "method": "full", "state": "ready", "as_of": "2026-11-21T02:00:00+01:00",
            "bytes": 3_u64 << 30, "way": "automatic", "base": null});
        let all = [
            (
                "databases",
                databases(PLAIN, std::slice::from_ref(&database_value)),
            ),
            ("database", database(PLAIN, &database_value)),
            ("doctor", findings(PLAIN, &report)),
            ("windows", windows(PLAIN, &[window])),
            ("no windows", windows(PLAIN, &[])),
            ("history", history(PLAIN, "shop", None, &around)),
            (
                "no history",
                history(PLAIN, "shop", None, &json!({"items": []})),
            ),
            ("found", found_with_warnings(PLAIN, &answer)),
            ("found alone", found(PLAIN, &alone)),
            (
                "preview",
                preview(
                    PLAIN,
                    &json!({"total": 20, "rows": [
                        {"table": "shop.items", "columns": ["id", "name", "price"], "now": ["1", "a", "0.00"], "then": ["1", "a", "0.14"]},
                        {"table": "shop.items", "columns": ["id", "name"], "now": null, "then": ["2", "b"]},
                        {"table": "shop.items", "columns": ["id", "name"], "now": ["3", "c"], "then": null}]}),
                ),
            ),
            ("proofs", proofs(PLAIN, &task)),
            ("tasks", tasks(PLAIN, &[failed, task])),
            ("backups", backups(PLAIN, &[backup])),
            (
                "schemas",
                schemas(PLAIN, &[json!({"name": "shop", "charset": "utf8mb4"})]),
            ),
            (
                "schema tables",
                schema_tables(&[json!({"name": "it.ems", "table": "shop.`it.ems`"})]),
            ),
            (
                "binlogs",
                binlogs(
                    PLAIN,
                    &[
                        json!({"name": "bin.000003", "incarnation": 1, "bytes": 4096, "archived_bytes": 1024, "archived": false,
                            "on_server": true, "transactions": 12, "first": "2026-11-21T02:14:07+01:00", "last": "2026-11-21T02:20:00+01:00"}),
                        json!({"name": "bin.000002", "incarnation": 1, "bytes": 2048, "archived_bytes": 2048, "archived": true,
                            "on_server": false, "transactions": 3, "first": "2026-11-21T01:14:07+01:00", "last": "2026-11-21T01:20:00+01:00"}),
                        json!({"name": "bin.000001", "incarnation": 1, "bytes": 500, "archived_bytes": 0, "archived": false,
                            "on_server": null, "transactions": 0, "first": null, "last": null}),
                    ],
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
    fn names_for_what_comes_back() {
        assert_eq!(beside("shop.items"), "shop.items_back");
        assert_eq!(beside("shop.`it.ems`"), "shop.`it.ems_back`");
    }
}
