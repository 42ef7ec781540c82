//! What an instance of a release is, as its driver is told. Pure.

use backout_workloads::{Ask, InstanceId, InstanceSpec, PortWish, Probe, Task};

use crate::model::{Driver, Engine, Health, Launch, Setup};
use crate::runtime::Runtime;

/// How often an instance is asked whether it is ready, in milliseconds: a switch
/// to a version that is not asked a statement is late by half of that.
const PERIOD_MS: u64 = 100;

/// How long it may take to say so, in milliseconds.
const TIMEOUT_MS: u64 = 2000;

/// What runs the clients that come with this house.
const PYTHON: &str = "python3";

/// The pause before a health query is asked again, in seconds.
const AGAIN_S: &str = "0.05";

/// The instance `id` of an engine.
pub(super) fn spec(
    runtime: &Runtime,
    engine: &Engine,
    setup: &Setup,
    id: InstanceId,
) -> InstanceSpec {
    let launch = &setup.launch;
    let marks = Marks {
        data: runtime.data(&engine.id),
        assets: runtime.assets(),
        launch,
        sql: "",
    };
    let command = format!("exec {}", marks.line(&launch.command));
    let mut spec = InstanceSpec::new(id, shell(command));
    spec.port = PortWish::Free;
    spec.grace_ms = runtime.grace_ms;
    spec.env
        .insert("ENGINE_NAME".to_owned(), engine.name.clone());
    spec.env
        .insert("ENGINE_SIZE".to_owned(), setup.size.to_string());
    let parameters = serde_json::json!({
        "cluster": launch.cluster,
        "session": launch.session,
    });
    spec.env
        .insert("ENGINE_PARAMETERS".to_owned(), parameters.to_string());
    spec.readiness = Some(readiness(&launch.health));
    spec.after_start = match &launch.health {
        Health::Sql(sql) => Some(Task {
            argv: shell(asks(&Marks { sql, ..marks })),
            timeout_ms: launch.start_ms.into(),
        }),
        Health::Http(_) | Health::Tcp => None,
    };
    spec
}

/// Waits until the port is listened at, and then until the statement is answered.
/// The first is told apart since some clients take seconds and a processor each
/// time; where it cannot be done, the second does both.
fn asks(marks: &Marks<'_>) -> String {
    let listens = [PYTHON, "-IS", "{assets}/ask/listens.py", "{port}"].map(str::to_owned);
    format!(
        "{}; until {}; do sleep {AGAIN_S}; done",
        marks.line(&listens),
        marks.line(&client(marks.launch))
    )
}

fn readiness(health: &Health) -> Probe {
    // Port 0 is its own.
    let ask = match health {
        Health::Http(path) => Ask::Http {
            port: 0,
            path: path.clone(),
            headers: std::collections::BTreeMap::new(),
        },
        Health::Sql(_) | Health::Tcp => Ask::Tcp { port: 0 },
    };
    Probe {
        delay_ms: 0,
        period_ms: PERIOD_MS,
        timeout_ms: TIMEOUT_MS,
        ..Probe::new(ask)
    }
}

/// The program that asks an engine a statement.
fn client(launch: &Launch) -> Vec<String> {
    if let Some(client) = &launch.client {
        return client.clone();
    }
    let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect();
    match launch.driver {
        Driver::Http => words(&[PYTHON, "-IS", "{assets}/ask/http_sql.py", "{port}", "{sql}"]),
        Driver::Trino => words(&[PYTHON, "-I", "{assets}/ask/trino_sql.py", "{port}", "{sql}"]),
        // An entry without a client is not asked a statement then.
        Driver::Connect => words(&["false"]),
        Driver::Thrift => words(&[
            PYTHON,
            "-I",
            "{assets}/ask/thrift_sql.py",
            "{port}",
            "{sql}",
        ]),
    }
}

/// A line for the shell, which knows the port and the folder it runs in.
fn shell(line: String) -> Vec<String> {
    vec!["/bin/sh".to_owned(), "-c".to_owned(), line]
}

/// What is put in the place of marks.
struct Marks<'a> {
    data: std::path::PathBuf,
    assets: std::path::PathBuf,
    launch: &'a Launch,
    sql: &'a str,
}

impl Marks<'_> {
    /// The words as one line for the shell.
    fn line(&self, words: &[String]) -> String {
        let mut out = Vec::new();
        for word in words {
            if word == "{conf}" {
                for (name, value) in &self.launch.cluster {
                    out.push("--conf".to_owned());
                    out.push(quoted(&format!("{name}={value}")));
                }
                continue;
            }
            out.push(self.word(word));
        }
        out.join(" ")
    }

    /// One word, quoted, its marks filled in once: what is put there is not
    /// looked at again.
    fn word(&self, word: &str) -> String {
        let mut out = String::new();
        let mut rest = word;
        while let Some((before, mark, after)) = next_mark(rest) {
            out.push_str(&quoted(before));
            out.push_str(&match mark {
                "{port}" => "\"$PORT\"".to_owned(),
                "{workdir}" => "\"$PWD\"".to_owned(),
                "{data}" => quoted(&self.data.to_string_lossy()),
                "{assets}" => quoted(&self.assets.to_string_lossy()),
                _ => quoted(self.sql),
            });
            rest = after;
        }
        if !rest.is_empty() || out.is_empty() {
            out.push_str(&quoted(rest));
        }
        out
    }
}

/// The first mark in a text, with what is before and after it.
fn next_mark(text: &str) -> Option<(&str, &'static str, &str)> {
    ["{port}", "{workdir}", "{data}", "{assets}", "{sql}"]
        .into_iter()
        .filter_map(|mark| Some((text.find(mark)?, mark)))
        .min()
        .and_then(|(at, mark)| Some((text.get(..at)?, mark, text.get(at + mark.len()..)?)))
}

/// A text that the shell takes as it stands.
fn quoted(text: &str) -> String {
    match text {
        "" => String::new(),
        _ => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn launch(words: &[&str]) -> Launch {
        Launch {
            version: "v".to_owned(),
            driver: Driver::Http,
            command: words.iter().map(|w| (*w).to_owned()).collect(),
            health: Health::Tcp,
            client: None,
            start_ms: 1000,
            memory_bytes: None,
            cluster: [("a.b", "1"), ("c", "it's")]
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .collect(),
            session: std::collections::BTreeMap::new(),
        }
    }

    /// What a program gets, by the shell itself.
    fn got(words: &[&str], sql: &str) -> Vec<String> {
        let launch = launch(words);
        let marks = Marks {
            data: "/d d".into(),
            assets: "/a".into(),
            launch: &launch,
            sql,
        };
        let line = format!("printf '%s\\0' {}", marks.line(&launch.command));
        let out = Command::new("/bin/sh")
            .args(["-c", &line])
            .env("PORT", "4711")
            .current_dir("/")
            .output()
            .unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        text.split_terminator('\0').map(str::to_owned).collect()
    }

    #[test]
    fn marks_are_filled_in_and_nothing_is_run_that_was_not_meant() {
        assert_eq!(
            got(&["--port={port}", "{workdir}"], ""),
            ["--port=4711", "/"]
        );
        assert_eq!(got(&["{data}/x", "{assets}/y z"], ""), ["/d d/x", "/a/y z"]);
        assert_eq!(
            got(&["$(id)", "`id`", "a'b", "\"; id", "{other}"], ""),
            ["$(id)", "`id`", "a'b", "\"; id", "{other}"]
        );
        assert_eq!(
            got(&["{conf}", "x"], ""),
            ["--conf", "a.b=1", "--conf", "c=it's", "x"]
        );
        let sql = "SELECT '{port}', $(id) -- \"";
        assert_eq!(got(&["-e", "{sql}"], sql), ["-e", sql]);
    }
}
