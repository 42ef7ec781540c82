//! The commands for databases.

use backout_core::code::Code;
use serde_json::{Value, json};

use super::{
    LIST_MAX, Said, Shell, confirm, ended, follow, judge_proposal, judged, no_wait, outcome,
    waited, word,
};
use crate::args;
use crate::client::{Client, encoded};
use crate::failure::{Exit, Failure, Outcome};
use crate::render::databases as shown;
use crate::render::{self, member, text};

/// The variable that holds a URL, with its password.
const URL_VARIABLE: &str = "BACKOUT_DATABASE_URL";
/// Bytes of a megabyte.
const MB: u64 = 1 << 20;

pub(super) fn databases(shell: &Shell, command: &args::Databases) -> Outcome<Said> {
    use args::Databases as D;
    let style = shell.style;
    let client = shell.client()?;
    match command {
        D::List => {
            let items = client.list("/v1/databases", &[], LIST_MAX)?;
            Ok(Said::new(json!(items), shown::databases(style, &items)))
        }
        D::Show { database } => show(shell, client.get(&path(database))?),
        D::Add { name, url, wait } => add(shell, &client, name, url, *wait),
        D::Create {
            name,
            memory,
            port,
            wait,
        } => {
            let mut managed = json!({});
            if let Some(memory) = memory {
                managed["memory_mb"] = json!(memory.0 / MB);
            }
            if let Some(port) = port {
                managed["port"] = json!(port);
            }
            let body = json!({ "name": name, "managed": managed });
            added(shell, &client, &body, *wait)
        }
        D::Doctor { database } => {
            let report = client.get(&format!("{}/doctor", path(database)))?;
            let human = shown::findings(style, &report);
            healthy(&report, "take it back", human.clone())?;
            Ok(Said::new(report, human))
        }
        D::Set { database, url } => {
            let body = json!({ "url": url_of(url)? });
            show(shell, client.patch(&path(database), &body)?)
        }
        D::Rename { database, name } => show(
            shell,
            client.patch(&path(database), &json!({ "name": name }))?,
        ),
        D::Restart { database, wait } => moved(shell, &client, database, "restart", *wait),
        D::Release { database, wait } => moved(shell, &client, database, "release", *wait),
        D::Isolate {
            database,
            yes,
            wait,
        } => {
            if !yes {
                let what = shown::database(shell.err_style, &client.get(&path(database))?);
                let again = format!("backout databases isolate {} --yes", word(database));
                let question = "isolate it? its history ends there, until it is released";
                confirm(shell, &what, question, &again)?;
            }
            moved(shell, &client, database, "isolate", *wait)
        }
        D::Remove {
            database,
            keep_history,
            yes,
            wait,
        } => {
            let (query, more) = match keep_history {
                true => ("?keep_history=true", " --keep-history"),
                false => ("", ""),
            };
            if !yes {
                let what = shown::database(shell.err_style, &client.get(&path(database))?);
                let again = format!("backout databases remove {}{more} --yes", word(database));
                let question = match keep_history {
                    true => "remove it?",
                    false => "remove it, with its history and its backups, for good?",
                };
                confirm(shell, &what, question, &again)?;
            }
            let answer = client.delete(&format!("{}{query}", path(database)))?;
            let Some(job) = waited(shell, &client, &answer, *wait)? else {
                return Ok(no_wait(answer));
            };
            let human = format!("{database} is out of management\n");
            Ok(Said::new(json!({ "job": job }), human))
        }
        D::Range { database } => {
            let mut answer = client.get(&format!("{}/windows", path(database)))?;
            let items = answer["items"].take();
            let human = shown::windows(style, items.as_array().map_or(&[], Vec::as_slice));
            Ok(Said::new(items, human))
        }
        D::Tables { database, schema } => {
            let mut full = format!("{}/schemas", path(database));
            if let Some(schema) = schema {
                full.push_str(&format!("/{}/tables", encoded(schema)));
            }
            let items = client.list(&full, &[], LIST_MAX)?;
            let human = match schema {
                None => shown::schemas(style, &items),
                Some(_) => shown::schema_tables(&items),
            };
            Ok(Said::new(json!(items), human))
        }
        D::Binlogs { database, limit } => {
            let limit = usize::try_from(*limit).unwrap_or(LIST_MAX);
            let full = format!("{}/binlogs", path(database));
            let items = client.list(&full, &[], limit)?;
            Ok(Said::new(json!(items), shown::binlogs(style, &items)))
        }
        D::KeepBinlogs {
            database,
            hours,
            percent,
        } => {
            let body = json!({ "local_binlogs": { "hours": hours, "percent": percent } });
            show(shell, client.patch(&path(database), &body)?)
        }
        D::Schedule(schedule) => {
            let now = client.get(&path(&schedule.database))?;
            let body = json!({ "backups": scheduled(member(&now, "backups"), schedule) });
            show(shell, client.patch(&path(&schedule.database), &body)?)
        }
        D::History {
            database,
            table,
            around,
            limit,
        } => {
            let mut full = format!("{}/transactions?limit={limit}", path(database));
            for (name, value) in [("table", table), ("around", around)] {
                if let Some(value) = value {
                    full.push_str(&format!("&{name}={}", encoded(value)));
                }
            }
            let answer = client.get(&full)?;
            let human = shown::history(style, &word(database), table.as_deref(), &answer);
            Ok(Said::new(answer, human))
        }
        D::Rollback(r) => rollback(shell, &client, r),
        D::UndoTransaction {
            database,
            gtid,
            table,
            torn,
            how,
        } => {
            let body = json!({ "transactions": gtid, "tables": table, "torn": torn });
            let mut again = format!("backout databases undo-transaction {}", word(database));
            for (name, values) in [("gtid", gtid), ("table", table)] {
                for value in values {
                    again.push_str(&format!(" --{name} {}", word(value)));
                }
            }
            if *torn {
                again.push_str(" --torn");
            }
            let ask = Ask {
                database,
                kind: "rewind",
                body,
                again,
            };
            take_back(shell, &client, &ask, how)
        }
        D::Clone(c) => clone(shell, &client, c),
        D::Stop { database, wait } => stop(shell, &client, database, *wait),
        D::Tasks { database, limit } => {
            let limit = usize::try_from(*limit).unwrap_or(LIST_MAX);
            let items = client.list(&format!("{}/tasks", path(database)), &[], limit)?;
            Ok(Said::new(json!(items), shown::tasks(style, &items)))
        }
        D::Backup {
            database,
            name,
            incremental,
            table,
            wait,
        } => {
            let mut body = json!({ "incremental": incremental, "tables": table });
            if let Some(name) = name {
                body["name"] = json!(name);
            }
            let mut answer = client.start(&format!("{}/backups", path(database)), &body, None)?;
            let Some(job) = waited(shell, &client, &answer, *wait)? else {
                return Ok(no_wait(answer));
            };
            let human = format!(
                "{} {}: backup {}\n",
                style.good("applied"),
                text(&job, "id"),
                text(&answer, "backup")
            );
            answer["job"] = job;
            Ok(Said::new(answer, human))
        }
        D::Backups { database } => {
            let items = client.list(&format!("{}/backups", path(database)), &[], LIST_MAX)?;
            Ok(Said::new(json!(items), shown::backups(style, &items)))
        }
        D::DeleteBackup {
            database,
            backup,
            wait,
        } => {
            let answer = client.delete(&format!("{}/backups/{backup}", path(database)))?;
            let Some(job) = waited(shell, &client, &answer, *wait)? else {
                return Ok(no_wait(answer));
            };
            let human = format!("deleted backup {backup}\n");
            Ok(Said::new(json!({ "job": job }), human))
        }
    }
}

fn path(database: &str) -> String {
    format!("/v1/databases/{}", encoded(database))
}

fn show(shell: &Shell, database: Value) -> Outcome<Said> {
    let human = shown::database(shell.style, &database);
    Ok(Said::new(database, human))
}

/// The schedule that is there, with what was asked for.
fn scheduled(now: &Value, ask: &args::DatabaseSchedule) -> Value {
    let mut backups = now.clone();
    if let Some((from, to)) = ask.between {
        backups["from_hour"] = json!(from);
        backups["to_hour"] = json!(to);
    }
    if !ask.days.is_empty() {
        backups["days"] = json!(ask.days);
    }
    for (name, days) in [
        ("keep_days", ask.keep_days),
        ("history_days", ask.history_days),
    ] {
        if let Some(days) = days {
            backups[name] = json!(days);
        }
    }
    if let Some(incremental) = ask.incremental {
        backups["incremental"] = json!(incremental);
    }
    if ask.on || ask.off {
        backups["enabled"] = json!(ask.on);
    }
    backups
}

/// The URL that was given: as an argument, on stdin, or by the environment.
fn url_of(given: &args::Url) -> Outcome<String> {
    let text = match given.url.as_deref() {
        Some("-") => {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).map_err(|e| {
                Failure::usage(format!("read the URL from stdin: {e}; give one line"))
            })?;
            line.trim().to_owned()
        }
        Some(url) => url.to_owned(),
        None => std::env::var(URL_VARIABLE).unwrap_or_default(),
    };
    if text.is_empty() {
        return Err(Failure::usage(format!(
            "reach the server: give --url mysql://USER:PASSWORD@HOST:PORT, --url - and the URL on stdin, or {URL_VARIABLE}"
        )));
    }
    Ok(text)
}

/// Fails when a look at a server found a blocker, and shows the same.
fn healthy(report: &Value, doing: &str, human: String) -> Outcome<()> {
    if member(report, "healthy") == &Value::Bool(true) {
        return Ok(());
    }
    let blockers: Vec<String> = member(report, "findings")
        .as_array()
        .map_or(&[][..], Vec::as_slice)
        .iter()
        .filter(|f| text(f, "level") == "blocker")
        .map(|f| text(f, "check"))
        .collect();
    let mut failure = Failure::coded(
        Exit::Refused,
        Code::DatabaseSettings,
        format!(
            "{doing}: {} in the way; do what is said after fix, then try again",
            blockers.join(", ")
        ),
    )
    .with("doctor", report.clone());
    failure.shown = human;
    Err(failure)
}

fn add(
    shell: &Shell,
    client: &Client,
    name: &str,
    url: &args::Url,
    wait: args::Wait,
) -> Outcome<Said> {
    let url = url_of(url)?;
    let report = client.post("/v1/examine", &json!({ "url": url }))?;
    let human = shown::findings(shell.style, &report);
    healthy(&report, &format!("add database {name}"), human)?;
    if !shell.json {
        let told = shown::findings(shell.err_style, &report);
        shell.note(told.trim_end());
    }
    added(shell, client, &json!({ "name": name, "url": url }), wait)
}

fn added(shell: &Shell, client: &Client, body: &Value, wait: args::Wait) -> Outcome<Said> {
    let answer = client.start("/v1/databases", body, None)?;
    let Some(job) = waited(shell, client, &answer, wait)? else {
        return Ok(no_wait(answer));
    };
    let database = client.get(&path(&text(&answer, "database.id")))?;
    let human = shown::database(shell.style, &database);
    let mut value = database;
    // Beside the database's own members, which scripts read.
    value["added_by"] = job["id"].clone();
    Ok(Said::new(value, human))
}

/// A step in the life of a database.
fn moved(
    shell: &Shell,
    client: &Client,
    database: &str,
    step: &str,
    wait: args::Wait,
) -> Outcome<Said> {
    let answer = client.start(&format!("{}/{step}", path(database)), &json!({}), None)?;
    let Some(job) = waited(shell, client, &answer, wait)? else {
        return Ok(no_wait(answer));
    };
    let human = format!(
        "{} {}: {}\n",
        shell.style.good("applied"),
        text(&job, "id"),
        text(&job, "title")
    );
    Ok(Said::new(json!({ "job": job }), human))
}

/// `A=B`: the first equals sign that is in no backquotes parts the two.
fn pair(text: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '`' => quoted = !quoted,
            '=' if !quoted => {
                let (from, to) = (text.get(..at)?, text.get(at + 1..)?);
                return (!from.is_empty() && !to.is_empty()).then_some((from, to));
            }
            _ => {}
        }
    }
    None
}

fn renamed(option: &str, example: &str, given: &[String]) -> Outcome<Vec<Value>> {
    given
        .iter()
        .map(|text| match pair(text) {
            Some((from, to)) => Ok(json!({ "from": from, "to": to })),
            None => Err(Failure::usage(format!(
                "read --{option} {text}: give the name and the new one, {example}, or take it back --in-place"
            ))),
        })
        .collect()
}

/// Something that takes rows back.
struct Ask<'a> {
    database: &'a str,
    /// `rollback` or `rewind`.
    kind: &'static str,
    body: Value,
    /// The same command.
    again: String,
}

fn rollback(shell: &Shell, client: &Client, r: &args::RollbackDatabase) -> Outcome<Said> {
    let mut again = format!(
        "backout databases rollback {} --to {}",
        word(&r.instance),
        word(&r.to)
    );
    let (kind, mut body) = if r.in_place {
        if let Some(text) = r.table.iter().find(|text| pair(text).is_some()) {
            return Err(Failure::usage(format!(
                "take {text} back in place: leave the new name out, or --in-place"
            )));
        }
        again.push_str(" --in-place");
        ("rewind", json!({ "to": r.to, "tables": r.table }))
    } else {
        let tables = renamed("table", "db.t=db.t2", &r.table)?;
        let databases = renamed("database", "a=b", &r.database)?;
        let mut body = json!({ "to": r.to, "tables": tables, "databases": databases });
        for (name, value) in [("strategy", &r.strategy), ("road", &r.road)] {
            if let Some(value) = value {
                body[name] = json!(value);
            }
        }
        ("rollback", body)
    };
    for table in &r.table {
        again.push_str(&format!(" --table {}", word(table)));
    }
    if r.torn {
        body["torn"] = json!(true);
        again.push_str(" --torn");
    }
    let ask = Ask {
        database: &r.instance,
        kind,
        body,
        again,
    };
    take_back(shell, client, &ask, &r.how)
}

/// Looks, tells what was found, asks where the rows that are there change, does
/// it, and tells how it was proved.
fn take_back(
    shell: &Shell,
    client: &Client,
    ask: &Ask<'_>,
    how: &args::HowApplied,
) -> Outcome<Said> {
    if how.rows && ask.kind != "rewind" {
        return Err(Failure::usage(
            "show the rows of a rollback under new names: they will be in the new table; add --in-place, or leave --rows out",
        ));
    }
    let full = format!("{}/{}", path(ask.database), ask.kind);
    let answer = client.post(&format!("{full}/plan"), &ask.body)?;
    if how.dry_run {
        let human = format!(
            "{}{}",
            shown::found(shell.style, &answer),
            render::plan(shell.style, &answer)
        );
        let mut said = judge_proposal(answer, human)?;
        if how.rows {
            let preview = client.post(&format!("{full}/preview"), &ask.body)?;
            said.human.push_str(&shown::preview(shell.style, &preview));
            said.value["preview"] = preview;
        }
        return Ok(said);
    }
    let human = shown::found_with_warnings(shell.err_style, &answer);
    let found = answer["found"].clone();
    let said = judge_proposal(answer, human)?;
    if ask.kind == "rewind" && !how.yes {
        let again = format!("{} --yes", ask.again);
        confirm(
            shell,
            &said.human,
            "change the rows that are there?",
            &again,
        )?;
    } else if !shell.json {
        shell.note(said.human.trim_end());
    }
    let mut answer = client.start(&full, &ask.body, how.idempotency_key.as_deref())?;
    answer["found"] = found;
    let Some(job) = waited(shell, client, &answer, how.wait)? else {
        return Ok(no_wait(answer));
    };
    let task = client.get(&format!(
        "{}/tasks/{}",
        path(ask.database),
        text(&answer, "task")
    ))?;
    let mut said = ended(shell, &job, "undo it with: backout undo");
    said.human = format!("{}{}", shown::proofs(shell.style, &task), said.human);
    said.value = json!({ "job": job, "task": task, "found": answer["found"] });
    Ok(said)
}

/// Looks, tells what was found, makes the clone, and shows it.
fn clone(shell: &Shell, client: &Client, c: &args::CloneDatabase) -> Outcome<Said> {
    let mut body = json!({ "name": c.name });
    if let Some(to) = &c.to {
        body["to"] = json!(to);
    }
    if let Some(backup) = c.backup {
        body["backup"] = json!(backup);
    }
    if let Some(memory) = c.memory {
        body["memory_mb"] = json!(memory.0 / MB);
    }
    if let Some(port) = c.port {
        body["port"] = json!(port);
    }
    let full = format!("{}/clone", path(&c.database));
    let answer = client.post(&format!("{full}/plan"), &body)?;
    if c.dry_run {
        let human = format!(
            "{}{}",
            shown::found_clone(shell.style, &answer),
            render::plan(shell.style, &answer)
        );
        return judge_proposal(answer, human);
    }
    let human = shown::found_clone_with_warnings(shell.err_style, &answer);
    let found = answer["found"].clone();
    let said = judge_proposal(answer, human)?;
    if !shell.json {
        shell.note(said.human.trim_end());
    }
    let mut answer = client.start(&full, &body, c.idempotency_key.as_deref())?;
    answer["found"] = found;
    let Some(job) = waited(shell, client, &answer, c.wait)? else {
        return Ok(no_wait(answer));
    };
    let database = client.get(&path(&text(&answer, "database.id")))?;
    let human = shown::database(shell.style, &database);
    let value = json!({ "job": job, "database": database, "found": answer["found"] });
    Ok(Said::new(value, human))
}

fn stop(shell: &Shell, client: &Client, database: &str, wait: args::Wait) -> Outcome<Said> {
    let answer = client.post(&format!("{}/stop", path(database)), &json!({}))?;
    if wait.no_wait {
        return Ok(no_wait(answer));
    }
    let job = follow(shell, client, &text(&answer, "job"))?;
    let id = text(&job, "id");
    match outcome(&job) {
        // What was asked for.
        "reverted" => {
            let human = format!("{id} stopped: everything is as before\n");
            Ok(Said::new(json!({ "job": job }), human))
        }
        "applied" => Err(Failure::coded(
            Exit::Failed,
            Code::JobState,
            format!("stop job {id}: it was done already; take it back with: backout undo {id}"),
        )
        .with("job", job)),
        _ => judged(&job).map(|()| Said::new(job, String::new())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_names() {
        for (text, want) in [
            ("a.b=a.c", Some(("a.b", "a.c"))),
            ("a=b=c", Some(("a", "b=c"))),
            ("a.`x=y`=a.z", Some(("a.`x=y`", "a.z"))),
            ("a.b", None),
            ("=b", None),
            ("a=", None),
            ("`a=b", None),
        ] {
            assert_eq!(pair(text), want, "{text:?}");
        }
    }

    #[test]
    fn a_schedule_changes_only_what_is_said() {
        let now = json!({"enabled": true, "from_hour": 2, "to_hour": 6, "days": [1, 7],
            "keep_days": 7, "history_days": 8, "incremental": false});
        let ask = args::DatabaseSchedule {
            database: "shop".to_owned(),
            between: None,
            days: Vec::new(),
            keep_days: None,
            history_days: None,
            incremental: None,
            on: false,
            off: false,
        };
        assert_eq!(scheduled(&now, &ask), now);
        let off = args::DatabaseSchedule {
            between: Some((1, 4)),
            days: vec![3],
            history_days: Some(30),
            off: true,
            ..ask
        };
        assert_eq!(
            scheduled(&now, &off),
            json!({"enabled": false, "from_hour": 1, "to_hour": 4, "days": [3],
                "keep_days": 7, "history_days": 30, "incremental": false})
        );
    }

    #[test]
    fn a_server_in_the_way_is_refused_with_what_was_found() {
        let report = json!({"healthy": false, "findings": [
            {"check": "log_bin", "level": "blocker"}, {"check": "charset", "level": "ok"}]});
        let failure = healthy(&report, "add database shop", "shown".into()).unwrap_err();
        assert_eq!(failure.exit, Exit::Refused);
        assert!(failure.message.contains("log_bin") && !failure.message.contains("charset"));
        assert_eq!(failure.json()["doctor"], report);
        assert!(healthy(&json!({"healthy": true}), "", String::new()).is_ok());
    }
}
