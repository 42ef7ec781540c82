//! What people see. Pure: values in, text out.

pub(crate) mod apps;
pub(crate) mod databases;
pub(crate) mod engines;

use std::fmt::Write as _;

use backout_core::size::Size;
use serde_json::Value;

/// How text is dressed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Style {
    pub colour: bool,
}

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        if self.colour && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }

    pub(crate) fn odd(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// A state or an outcome, in the colour of its meaning.
    fn state(self, word: &str) -> String {
        match word {
            "applied" | "running" | "ready" | "normal" | "active" | "attached" => self.good(word),
            "held" | "failed" | "launch_failed" => self.bad(word),
            "reverted" | "creating" | "rolling_back" | "deleting" | "queued" | "disabled"
            | "starting" | "stopping" | "rebooting" | "isolated" | "terminating" | "attaching"
            | "detaching" | "isolating" | "removing" => self.odd(word),
            _ => word.to_owned(),
        }
    }
}

/// Text from outside, without what moves the cursor.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// The member at a path like `disk.path`, as text; empty when there is none.
pub(crate) fn text(value: &Value, path: &str) -> String {
    match member(value, path) {
        Value::Null => String::new(),
        Value::String(s) => clean(s),
        other => clean(&other.to_string()),
    }
}

/// The first of these members that is there.
fn first(value: &Value, paths: &[&str]) -> String {
    paths
        .iter()
        .map(|p| text(value, p))
        .find(|t| !t.is_empty())
        .unwrap_or_default()
}

pub(crate) fn member<'a>(value: &'a Value, path: &str) -> &'a Value {
    let mut at = value;
    for part in path.split('.') {
        at = at.get(part).unwrap_or(&Value::Null);
    }
    at
}

fn array<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    member(value, path).as_array().map_or(&[], Vec::as_slice)
}

fn size(value: &Value, path: &str) -> String {
    member(value, path)
        .as_u64()
        .map(|n| Size(n).to_string())
        .unwrap_or_default()
}

/// Characters on the screen, near enough: what is painted has none.
fn width(cell: &str) -> usize {
    let mut count = 0;
    let mut painted = false;
    for c in cell.chars() {
        match (painted, c) {
            (false, '\x1b') => painted = true,
            (true, 'm') => painted = false,
            (true, _) => {}
            (false, _) => count += 1,
        }
    }
    count
}

/// Rows under headings, in columns two spaces apart. An id is never next to
/// anything but a space: a double click takes it whole.
pub(crate) fn table(style: Style, headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = headings.iter().map(|h| width(h)).collect();
    for row in rows {
        for (w, cell) in widths.iter_mut().zip(row) {
            *w = (*w).max(width(cell));
        }
    }
    let mut out = String::new();
    let mut line = |cells: &[String]| {
        let mut text = String::new();
        for (i, cell) in cells.iter().enumerate() {
            text.push_str(cell);
            if i + 1 < cells.len() {
                let pad = widths
                    .get(i)
                    .copied()
                    .unwrap_or(0)
                    .saturating_sub(width(cell));
                text.extend(std::iter::repeat_n(' ', pad + 2));
            }
        }
        let _ = writeln!(out, "{}", text.trim_end());
    };
    line(&headings.iter().map(|h| style.dim(h)).collect::<Vec<_>>());
    for row in rows {
        line(row);
    }
    out
}

/// Names and values, one a line; those without a value are left out.
pub(crate) fn block(style: Style, lines: &[(&str, String)]) -> String {
    let widest = lines.iter().map(|(n, _)| n.len()).max().unwrap_or(0);
    let mut out = String::new();
    for (name, value) in lines.iter().filter(|(_, v)| !v.is_empty()) {
        let _ = writeln!(
            out,
            "{}{:pad$}  {value}",
            style.dim(name),
            "",
            pad = widest - name.len()
        );
    }
    out
}

pub(crate) fn servers(style: Style, items: &[Value]) -> String {
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|s| {
            vec![
                text(s, "name"),
                text(s, "id"),
                style.state(&first(s, &["state", "power"])),
                text(s, "disk.driver"),
                text(s, "disk.format"),
                size(s, "disk.size_bytes"),
                text(s, "disk.path"),
            ]
        })
        .collect();
    table(
        style,
        &["NAME", "ID", "STATE", "DRIVER", "FORMAT", "SIZE", "DISK"],
        &rows,
    )
}

pub(crate) fn server(style: Style, s: &Value) -> String {
    let disks: Vec<String> = array(s, "disks")
        .iter()
        .map(|d| {
            format!(
                "{} ({}, {})",
                text(d, "name"),
                size(d, "size_bytes"),
                text(d, "state")
            )
        })
        .collect();
    let kernel = member(s, "machine.boot");
    block(
        style,
        &[
            ("name", style.bold(&text(s, "name"))),
            ("id", text(s, "id")),
            ("state", style.state(&first(s, &["state", "power"]))),
            ("node", text(s, "node")),
            ("disk", text(s, "disk.path")),
            ("disk id", text(s, "disk.id")),
            ("format", text(s, "disk.format")),
            ("driver", text(s, "disk.driver")),
            ("size", size(s, "disk.size_bytes")),
            ("data disks", disks.join(", ")),
            ("machine", machine(member(s, "machine"))),
            (
                "kernel",
                words(&[
                    text(kernel, "kernel"),
                    text(kernel, "initrd"),
                    text(kernel, "append"),
                ]),
            ),
            ("made in size", text(s, "size")),
            ("made of image", text(s, "image")),
            ("start command", first(s, &["start_cmd", "commands.start"])),
            ("stop command", first(s, &["stop_cmd", "commands.stop"])),
            ("snapshots", schedule(member(s, "schedule"))),
            (
                "latest",
                words(&[text(s, "latest.kind"), text(s, "latest.state")]),
            ),
            ("given back", text(s, "isolated")),
            ("managed since", text(s, "created")),
        ],
    )
}

/// A machine in a line; empty for none.
fn machine(m: &Value) -> String {
    if m.is_null() {
        return String::new();
    }
    let cpus = match member(m, "cpus").as_u64() {
        Some(1) => "1 CPU".to_owned(),
        _ => format!("{} CPUs", text(m, "cpus")),
    };
    let mut out = format!("{cpus}, {}", size(m, "memory_bytes"));
    for f in array(m, "forwards") {
        let _ = write!(out, ", port {} to {}", text(f, "host"), text(f, "guest"));
    }
    out
}

/// A schedule in a line; empty for none.
fn schedule(s: &Value) -> String {
    match member(s, "every_seconds").as_u64() {
        None => String::new(),
        Some(every_s) => format!(
            "every {}, {} kept, the next at {}",
            interval(every_s),
            text(s, "keep"),
            text(s, "next")
        ),
    }
}

/// Seconds in the largest unit that they are whole in.
fn interval(seconds: u64) -> String {
    for (unit, unit_s) in [("d", 86_400), ("h", 3600), ("m", 60)] {
        if seconds > 0 && seconds.is_multiple_of(unit_s) {
            return format!("{}{unit}", seconds / unit_s);
        }
    }
    format!("{seconds}s")
}

pub(crate) fn sizes(style: Style, items: &[Value]) -> String {
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|s| {
            vec![
                text(s, "id"),
                text(s, "cpus"),
                size(s, "memory_bytes"),
                size(s, "disk_bytes"),
            ]
        })
        .collect();
    table(style, &["ID", "CPUS", "MEMORY", "DISK"], &rows)
}

pub(crate) fn disks(style: Style, items: &[Value]) -> String {
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|d| {
            vec![
                text(d, "name"),
                text(d, "id"),
                text(d, "usage"),
                style.state(&text(d, "state")),
                first(d, &["server"]),
                text(d, "driver"),
                text(d, "format"),
                size(d, "size_bytes"),
                text(d, "path"),
            ]
        })
        .collect();
    table(
        style,
        &[
            "NAME", "ID", "USAGE", "STATE", "SERVER", "DRIVER", "FORMAT", "SIZE", "FILE",
        ],
        &rows,
    )
}

pub(crate) fn disk(style: Style, d: &Value) -> String {
    block(
        style,
        &[
            ("name", style.bold(&text(d, "name"))),
            ("id", text(d, "id")),
            ("usage", text(d, "usage")),
            ("state", style.state(&text(d, "state"))),
            ("server", text(d, "server")),
            ("node", text(d, "node")),
            ("file", text(d, "path")),
            ("format", text(d, "format")),
            ("driver", text(d, "driver")),
            ("size", size(d, "size_bytes")),
            (
                "latest",
                words(&[text(d, "latest.kind"), text(d, "latest.state")]),
            ),
            ("managed since", text(d, "created")),
        ],
    )
}

pub(crate) fn images(style: Style, items: &[Value]) -> String {
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|i| {
            vec![
                text(i, "id"),
                text(i, "name"),
                style.state(&text(i, "state")),
                text(i, "format"),
                size(i, "size_bytes"),
                text(i, "created"),
                text(i, "path"),
            ]
        })
        .collect();
    table(
        style,
        &["ID", "NAME", "STATE", "FORMAT", "SIZE", "CREATED", "FILE"],
        &rows,
    )
}

pub(crate) fn image(style: Style, i: &Value) -> String {
    let kernel = member(i, "boot");
    block(
        style,
        &[
            ("name", style.bold(&text(i, "name"))),
            ("id", text(i, "id")),
            ("description", text(i, "description")),
            ("state", style.state(&text(i, "state"))),
            ("node", text(i, "node")),
            ("file", text(i, "path")),
            ("format", text(i, "format")),
            ("size", size(i, "size_bytes")),
            (
                "kernel",
                words(&[
                    text(kernel, "kernel"),
                    text(kernel, "initrd"),
                    text(kernel, "append"),
                ]),
            ),
            ("created", text(i, "created")),
        ],
    )
}

pub(crate) fn snapshots(style: Style, items: &[Value]) -> String {
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|s| {
            vec![
                text(s, "id"),
                text(s, "name"),
                first(s, &["server_name", "server", "disk"]),
                text(s, "kind"),
                style.state(&text(s, "state")),
                size(s, "size_bytes"),
                text(s, "created"),
                text(s, "expires"),
            ]
        })
        .collect();
    table(
        style,
        &[
            "ID", "NAME", "OF", "KIND", "STATE", "SIZE", "TAKEN", "EXPIRES",
        ],
        &rows,
    )
}

pub(crate) fn resources(style: Style, items: &[Value]) -> String {
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|r| {
            vec![
                text(r, "resource"),
                text(r, "id"),
                text(r, "name"),
                style.state(&text(r, "state")),
            ]
        })
        .collect();
    table(style, &["RESOURCE", "ID", "NAME", "STATE"], &rows)
}

/// The word for where a job is: its outcome when it has one.
pub(crate) fn job_state(job: &Value) -> String {
    first(job, &["outcome", "state"])
}

pub(crate) fn jobs(style: Style, items: &[Value]) -> String {
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|j| {
            vec![
                text(j, "id"),
                style.state(&job_state(j)),
                member(j, "percent")
                    .as_u64()
                    .map(|p| format!("{p}%"))
                    .unwrap_or_default(),
                text(j, "created"),
                text(j, "title"),
            ]
        })
        .collect();
    table(style, &["ID", "STATE", "DONE", "CREATED", "TITLE"], &rows)
}

pub(crate) fn job(style: Style, j: &Value) -> String {
    let error = |name: &str| {
        let at = member(j, name);
        if at.is_null() {
            String::new()
        } else {
            format!("{} {}", style.bad(&text(at, "code")), text(at, "message"))
        }
    };
    let mut out = block(
        style,
        &[
            ("job", style.bold(&text(j, "id"))),
            ("title", text(j, "title")),
            ("state", style.state(&job_state(j))),
            (
                "done",
                member(j, "percent")
                    .as_u64()
                    .map(|p| format!("{p}%"))
                    .unwrap_or_default(),
            ),
            ("doing", text(j, "words")),
            ("resource", text(j, "resource")),
            ("node", text(j, "node")),
            ("request", text(j, "request_id")),
            ("undo of", text(j, "undo_of")),
            ("undone by", text(j, "undone_by")),
            ("created", text(j, "created")),
            ("started", text(j, "started")),
            ("ended", text(j, "ended")),
            ("error", error("error")),
            ("held", error("held")),
            ("next", style.bold(&text(j, "next_command"))),
        ],
    );
    let steps = array(j, "steps");
    if !steps.is_empty() {
        let rows: Vec<Vec<String>> = steps
            .iter()
            .map(|s| {
                vec![
                    text(s, "name"),
                    style.state(&text(s, "state")),
                    text(s, "tries"),
                    text(s, "does"),
                ]
            })
            .collect();
        out.push('\n');
        out.push_str(&table(style, &["STEP", "STATE", "TRIES", "DOES"], &rows));
    }
    out
}

/// Findings of a preflight, blockers first.
pub(crate) fn preflight(style: Style, p: &Value) -> String {
    let mut out = String::new();
    for finding in array(p, "blockers") {
        let _ = writeln!(
            out,
            "{} {}  failed to {}",
            style.bad("blocked"),
            text(finding, "code"),
            text(finding, "message")
        );
    }
    for finding in array(p, "warnings") {
        let _ = writeln!(
            out,
            "{} {}  {}",
            style.odd("warning"),
            text(finding, "code"),
            text(finding, "message")
        );
    }
    let estimate = member(p, "estimate");
    let mut cost = Vec::new();
    if let Some(n) = member(estimate, "copy_bytes").as_u64() {
        cost.push(if n == 0 {
            "copies nothing".to_owned()
        } else {
            format!("copies {}", Size(n))
        });
    }
    match member(estimate, "constant_time").as_bool() {
        Some(true) => cost.push("takes the same time for a disk of any size".to_owned()),
        Some(false) => cost.push("takes longer for a larger disk".to_owned()),
        None => {}
    }
    if !cost.is_empty() {
        let _ = writeln!(out, "{}    {}", style.dim("cost"), cost.join(", "));
    }
    out
}

pub(crate) fn check(style: Style, answer: &Value) -> String {
    let verdict = if member(answer, "passed") == &Value::Bool(true) {
        style.good("nothing stands in the way")
    } else {
        style.bad("it cannot run now")
    };
    format!(
        "{}{verdict}\n",
        preflight(style, member(answer, "preflight"))
    )
}

pub(crate) fn plan(style: Style, answer: &Value) -> String {
    let plan = member(answer, "plan");
    let mut out = String::new();
    let _ = writeln!(out, "{}", style.bold(&text(plan, "title")));
    for (n, step) in array(plan, "steps").iter().enumerate() {
        let _ = writeln!(out, "  {}. {}", n + 1, text(step, "does"));
        let undo = text(step, "undo");
        if !undo.is_empty() {
            let _ = writeln!(
                out,
                "     {}",
                style.dim(&format!("if it must go back: {undo}"))
            );
        }
    }
    out.push_str(&check(style, answer));
    out
}

pub(crate) fn accounts(style: Style, items: &[Value]) -> String {
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|a| {
            vec![
                text(a, "name"),
                text(a, "id"),
                account_kind(a).to_owned(),
                style.state(if member(a, "disabled") == &Value::Bool(true) {
                    "disabled"
                } else {
                    "active"
                }),
                text(a, "created"),
            ]
        })
        .collect();
    table(style, &["NAME", "ID", "KIND", "STATE", "CREATED"], &rows)
}

pub(crate) fn faults(style: Style, items: &[Value]) -> String {
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|f| {
            let is_call = member(f, "step").is_null();
            let undo = member(f, "undo") == &Value::Bool(true);
            let what = match (is_call, undo) {
                (true, _) => text(f, "action"),
                (false, false) => text(f, "step"),
                (false, true) => format!("undo of {}", text(f, "step")),
            };
            vec![
                text(f, "id"),
                style.state(&text(f, "state").replace('_', " ")),
                what,
                if is_call {
                    text(f, "code")
                } else {
                    text(f, "moment").replace('_', " ")
                },
                or(text(f, "resource"), "any"),
                or(text(f, "remaining"), "any"),
                or(text(f, "until"), "removed"),
                text(f, "hits"),
            ]
        })
        .collect();
    table(
        style,
        &[
            "ID", "STATE", "WHAT", "HOW", "RESOURCE", "TIMES", "UNTIL", "HITS",
        ],
        &rows,
    )
}

/// A word for what is not there.
fn or(text: String, otherwise: &str) -> String {
    if text.is_empty() {
        otherwise.to_owned()
    } else {
        text
    }
}

fn account_kind(a: &Value) -> &'static str {
    if member(a, "is_admin") == &Value::Bool(true) {
        "admin"
    } else if member(a, "parent").is_null() {
        "independent"
    } else {
        "sub-account"
    }
}

pub(crate) fn account(style: Style, a: &Value) -> String {
    // The account may stand beside its keys, or hold them.
    let inner = if member(a, "account").is_object() {
        member(a, "account")
    } else {
        a
    };
    let mut out = block(
        style,
        &[
            ("name", style.bold(&text(inner, "name"))),
            ("id", text(inner, "id")),
            ("kind", account_kind(inner).to_owned()),
            ("acts for", text(inner, "parent")),
            (
                "state",
                style.state(if member(inner, "disabled") == &Value::Bool(true) {
                    "disabled"
                } else {
                    "active"
                }),
            ),
            ("created", text(inner, "created")),
            ("policy", text(inner, "policy")),
        ],
    );
    let keys = array(a, "keys");
    if !keys.is_empty() {
        let rows: Vec<Vec<String>> = keys
            .iter()
            .map(|k| {
                vec![
                    text(k, "secret_id"),
                    text(k, "kind"),
                    style.state(&text(k, "status")),
                    text(k, "created"),
                    text(k, "expires"),
                ]
            })
            .collect();
        out.push('\n');
        out.push_str(&table(
            style,
            &["SECRET ID", "KIND", "STATE", "CREATED", "EXPIRES"],
            &rows,
        ));
    }
    out
}

/// A key pair, the one time it is shown.
pub(crate) fn key_pair(style: Style, answer: &Value) -> String {
    let pair = ["key", "key_pair"]
        .into_iter()
        .map(|n| member(answer, n))
        .find(|v| v.is_object())
        .unwrap_or(answer);
    block(
        style,
        &[
            ("account", first(answer, &["account.name", "name"])),
            ("account id", first(answer, &["account.id", "id"])),
            ("SecretId", text(pair, "secret_id")),
            ("SecretKey", text(pair, "secret_key")),
            ("Token", text(pair, "token")),
            ("expires", text(pair, "expires")),
        ],
    )
}

/// Anything, as indented names and values, for answers whose form is open.
pub(crate) fn anything(style: Style, value: &Value) -> String {
    fn walk(style: Style, value: &Value, indent: usize, out: &mut String) {
        let pad = " ".repeat(indent);
        match value {
            Value::Object(members) => {
                for (name, v) in members.iter().filter(|(_, v)| !v.is_null()) {
                    let name = style.dim(&clean(name).replace('_', " "));
                    if v.is_object() || v.is_array() {
                        let _ = writeln!(out, "{pad}{name}");
                        walk(style, v, indent + 2, out);
                    } else {
                        let _ = writeln!(out, "{pad}{name}  {}", scalar(v));
                    }
                }
            }
            Value::Array(items) => {
                for item in items {
                    if item.is_object() {
                        let mut inner = String::new();
                        walk(style, item, indent + 2, &mut inner);
                        let _ = writeln!(out, "{pad}- {}", inner.trim_start().trim_end());
                    } else {
                        let _ = writeln!(out, "{pad}- {}", scalar(item));
                    }
                }
            }
            other => {
                let _ = writeln!(out, "{pad}{}", scalar(other));
            }
        }
    }
    fn scalar(value: &Value) -> String {
        match value {
            Value::String(s) => clean(s),
            other => other.to_string(),
        }
    }
    let mut out = String::new();
    walk(style, value, 0, &mut out);
    out
}

/// How far a job is.
pub(crate) struct Bar<'a> {
    pub percent: u8,
    pub elapsed_s: f64,
    pub words: &'a str,
}

/// One line: a bar, percent, time left, and what is being done.
pub(crate) fn bar(style: Style, bar: &Bar<'_>, columns: usize) -> String {
    const CELLS: usize = 24;
    let percent = usize::from(bar.percent.min(100));
    let full = percent * CELLS / 100;
    let left = if (5..100).contains(&percent) && bar.elapsed_s >= 1.0 {
        let seconds = bar.elapsed_s * (100 - percent) as f64 / percent as f64;
        format!("{} left", duration(seconds))
    } else {
        duration(bar.elapsed_s)
    };
    let head = format!("{percent:>3}%  {left:<12}");
    let room = columns.saturating_sub(CELLS + 4 + head.len() + 1);
    let words: String = clean(bar.words).chars().take(room).collect();
    format!(
        "[{}{}] {head} {words}",
        style.good(&"#".repeat(full)),
        style.dim(&"-".repeat(CELLS - full))
    )
}

fn duration(seconds: f64) -> String {
    let s = seconds.round() as u64;
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m{:02}s", s / 60, s % 60),
        _ => format!("{}h{:02}m", s / 3600, s / 60 % 60),
    }
}

fn words(parts: &[String]) -> String {
    let there: Vec<&str> = parts
        .iter()
        .map(String::as_str)
        .filter(|part| !part.is_empty())
        .collect();
    there.join(" ")
}

/// What a host can do, from a local look or from the server.
pub(crate) fn doctor(style: Style, report: &Value) -> String {
    let mut out = block(
        style,
        &[
            ("backout", text(report, "version")),
            ("node", text(report, "node")),
        ],
    );
    if !out.is_empty() {
        out.push('\n');
    }
    for check in array(report, "checks") {
        let mark = match text(check, "status").as_str() {
            "ok" => style.good("ok  "),
            "warn" => style.odd("warn"),
            other => style.bad(other),
        };
        let _ = writeln!(
            out,
            "{mark}  {}: {}",
            style.bold(&text(check, "name")),
            text(check, "message")
        );
        let fix = text(check, "fix");
        if !fix.is_empty() {
            let _ = writeln!(out, "      {fix}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PLAIN: Style = Style { colour: false };

    #[test]
    fn intervals_are_readable() {
        for (seconds, want) in [(86_400, "1d"), (90_000, "25h"), (5400, "90m"), (61, "61s")] {
            assert_eq!(interval(seconds), want);
        }
    }

    #[test]
    fn colour_does_not_move_columns() {
        let items =
            [json!({"resource": "server/web", "id": "lhins-1", "name": "web", "state": "running"})];
        let plain = resources(PLAIN, &items);
        let painted = resources(Style { colour: true }, &items);
        let stripped: String = {
            let mut out = String::new();
            let mut skip = false;
            for c in painted.chars() {
                match (skip, c) {
                    (false, '\x1b') => skip = true,
                    (true, 'm') => skip = false,
                    (true, _) => {}
                    (false, c) => out.push(c),
                }
            }
            out
        };
        assert_ne!(plain, painted);
        assert_eq!(plain, stripped);
    }

    #[test]
    fn what_moves_the_cursor_is_taken_out() {
        let shown = servers(PLAIN, &[json!({"name": "a\x1b[2Jb\n"})]);
        assert!(!shown.contains('\x1b'));
        assert_eq!(shown.lines().count(), 2);
    }

    fn a_job() -> Value {
        json!({
            "id": "job_abcdefgh12345678", "title": "take web back to snapshot before",
            "state": "done", "outcome": "held", "percent": 40, "words": "", "resource": "server/lhins-abcdefgh",
            "node": "here", "request_id": "96aee6e3-0000-4000-8000-000000000000", "undo_of": null,
            "created": "2026-11-21T07:00:00Z", "started": "2026-11-21T07:00:01Z", "ended": "2026-11-21T07:00:02Z",
            "error": {"code": "BO0025", "message": "rename the new disk: no such file; look at the folder"},
            "held": {"code": "BO0013", "message": "take the new disk away: permission denied; give the permission"},
            "next_command": "backout jobs retry job_abcdefgh12345678",
            "steps": [
                {"name": "stop", "state": "done", "tries": 1, "does": "stop the server"},
                {"name": "swap", "state": "undoing", "tries": 3, "does": "rename the new disk over the old"},
            ],
        })
    }

    #[test]
    fn renderings() {
        let server_value = json!({
            "id": "lhins-k31c771o", "name": "web", "state": "stopped", "node": "here",
            "disk": {"id": "lhdisk-f71kc5bh", "path": "/var/lib/images/web.img", "format": "raw",
                     "driver": "copy", "size_bytes": 67_108_864},
            "created": "2026-11-21T07:00:00Z",
        });
        let mut machine_value = server_value.clone();
        for (name, value) in [
            ("state", json!("running")),
            ("size", json!("bundle_1c1g20")),
            ("image", json!("lhbp-xkeh87da")),
            (
                "schedule",
                json!({"every_seconds": 86_400, "keep": 7, "next": "2026-11-22T07:00:00Z"}),
            ),
            (
                "disks",
                json!([{"id": "lhdisk-aaaaaaaa", "name": "data", "state": "attached", "size_bytes": 10_737_418_240_u64}]),
            ),
            (
                "machine",
                json!({"cpus": 1, "memory_bytes": 536_870_912, "forwards": [{"host": 2222, "guest": 22}],
                "boot": {"kernel": "/boot/vmlinuz", "initrd": null, "append": "console=ttyS0"}}),
            ),
        ] {
            machine_value[name] = value;
        }
        let size_value = json!({"id": "bundle_1c1g20", "cpus": 1, "memory_bytes": 1_073_741_824, "disk_bytes": 21_474_836_480_u64});
        let disk_value = json!({"id": "lhdisk-aaaaaaaa", "name": "data", "usage": "data", "state": "unattached", "server": null,
            "node": "here", "path": "/srv/data.img", "format": "raw", "driver": "copy", "size_bytes": 1024, "created": "2026-11-21T07:00:00Z"});
        let image_value = json!({"id": "lhbp-xkeh87da", "name": "debian", "description": "as shipped", "state": "normal", "node": "here",
            "path": "/srv/debian.qcow2", "format": "qcow2", "size_bytes": 2_147_483_648_u64, "boot": null, "created": "2026-11-21T07:00:00Z"});
        let answer = json!({
            "passed": false,
            "preflight": {
                "blockers": [{"code": "BO0008", "message": "use server lhins-k31c771o: job job_a holds it"}],
                "warnings": [{"code": "BO0031", "message": "copies 64.0 MiB"}],
                "estimate": {"copy_bytes": 67_108_864, "space_bytes": 67_108_864, "constant_time": false},
            },
            "plan": {
                "procedure": "servers.apply_snapshot", "title": "take web back to snapshot before",
                "claims": ["server/lhins-k31c771o"],
                "steps": [
                    {"name": "stop", "does": "stop the server", "undo": "start it again"},
                    {"name": "clean", "does": "remove what is left over", "undo": null},
                ],
            },
        });
        let account_value = json!({
            "id": "acct_abcdefgh1234", "name": "ci", "parent": "acct_zzzzzzzz1234", "is_admin": false,
            "disabled": false, "created": "2026-11-21T07:00:00Z",
            "keys": [{"secret_id": "AKIDabc", "kind": "permanent", "status": "disabled", "created": "2026-11-21T07:00:00Z"}],
        });
        let pair = json!({"account": {"name": "ci", "id": "acct_abcdefgh1234"}, "key": {"secret_id": "AKIDabc", "secret_key": "shown once"}});
        let folder = json!({"version": "0.1.0", "node": "here", "healthy": true, "checks": [
            {"name": "disks in /var/lib/images", "status": "warn", "message": "ext4, 1.0 GiB free", "fix": "install qemu-utils"},
            {"name": "state", "status": "ok", "message": "SQLite", "fix": null},
        ]});
        let snapshot = json!({"id": "lhsnap-nv6aqcv6", "name": "before", "server": "lhins-k31c771o", "kind": "user",
            "state": "normal", "size_bytes": 67_108_864, "created": "2026-11-21T07:00:00Z"});
        let progress = Bar {
            percent: 40,
            elapsed_s: 60.0,
            words: "copying blocks",
        };
        let all = [
            (
                "servers",
                servers(PLAIN, std::slice::from_ref(&server_value)),
            ),
            ("server", server(PLAIN, &server_value)),
            ("machine", server(PLAIN, &machine_value)),
            ("sizes", sizes(PLAIN, &[size_value])),
            ("disks", disks(PLAIN, std::slice::from_ref(&disk_value))),
            ("disk", disk(PLAIN, &disk_value)),
            ("images", images(PLAIN, std::slice::from_ref(&image_value))),
            ("image", image(PLAIN, &image_value)),
            ("snapshots", snapshots(PLAIN, &[snapshot])),
            ("jobs", jobs(PLAIN, &[a_job()])),
            (
                "faults",
                faults(
                    PLAIN,
                    &[
                        json!({"id": "fault_k31c771ok31c", "state": "active", "action": "lighthouse:*", "code": "InternalError",
                            "step": null, "undo": false, "moment": null, "resource": null, "remaining": null, "until": null, "hits": 0}),
                        json!({"id": "fault_k31c771ok31d", "state": "used_up", "action": null, "code": null,
                            "step": "servers.apply_snapshot/swap", "undo": true, "moment": "after_effect",
                            "resource": "lhins-k31c771o", "remaining": 0, "until": "2026-01-02T03:04:05Z", "hits": 2}),
                    ],
                ),
            ),
            ("job", job(PLAIN, &a_job())),
            ("check", check(PLAIN, &answer)),
            ("plan", plan(PLAIN, &answer)),
            (
                "accounts",
                accounts(PLAIN, std::slice::from_ref(&account_value)),
            ),
            ("account", account(PLAIN, &account_value)),
            ("key pair", key_pair(PLAIN, &pair)),
            ("doctor", doctor(PLAIN, &folder)),
            ("bar", bar(PLAIN, &progress, 80)),
        ];
        let shown: String = all
            .iter()
            .map(|(name, text)| format!("== {name}\n{text}\n"))
            .collect();
        insta::assert_snapshot!(shown);
    }
}
