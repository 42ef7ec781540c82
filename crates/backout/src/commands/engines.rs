//! The commands for data engines.

use std::time::Duration;

use backout_core::code::Code;
use serde_json::{Map, Value, json};

use super::apps::read_text;
use super::{LIST_MAX, Said, Shell, confirm, judge_proposal, no_wait, waited, word};
use crate::args;
use crate::client::{Client, encoded};
use crate::failure::{Exit, Failure, Outcome};
use crate::render::engines as shown;
use crate::render::{member, text};

/// How long the connection to an engine may take: it is on this machine.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// The longest answer of an engine that is read, in bytes: a person asked.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
/// The members of a version in `engines images --json`: scripts rely on them.
const IMAGE_MEMBERS: [&str; 7] = [
    "id", "version", "level", "parent", "kind", "driver", "state",
];

pub(super) fn engines(shell: &Shell, command: &args::Engines) -> Outcome<Said> {
    use args::Engines as E;
    let style = shell.style;
    let client = &shell.client()?;
    match command {
        E::List { kind } => {
            let items = client.list("/v1/engines", &of_kind(kind.as_ref()), LIST_MAX)?;
            Ok(Said::new(json!(items), shown::engines(style, &items)))
        }
        E::Show { engine } => {
            let answer = client.get(&path(engine))?;
            let human = shown::engine(style, &answer);
            Ok(Said::new(answer, human))
        }
        E::Create(c) => create(shell, client, c),
        E::Check { engine } => check(shell, client, engine),
        E::Switch {
            engine,
            image,
            sure,
        } => {
            let again = format!(
                "backout engines switch {} --image {} --yes",
                word(engine),
                word(image)
            );
            let body = json!({ "do": "switch", "image": image });
            let ask = Question {
                question: "switch it?",
                again,
            };
            change(shell, client, engine, body, sure, ask)
        }
        E::Upgrade { engine, sure } => {
            let ask = Question::same("upgrade it?", "upgrade", engine);
            change(shell, client, engine, json!({ "do": "upgrade" }), sure, ask)
        }
        E::Rollback { engine, sure } => {
            let ask = Question::same("take it back?", "rollback", engine);
            let body = json!({ "do": "rollback" });
            change(shell, client, engine, body, sure, ask)
        }
        E::Log { engine, limit } => {
            let items = listed(client, engine, "log", *limit)?;
            Ok(Said::new(json!(items), shown::log(style, &items)))
        }
        E::Events { engine, limit } => {
            let items = listed(client, engine, "events", *limit)?;
            Ok(Said::new(json!(items), shown::events(style, &items)))
        }
        E::Output { engine, lines } => {
            let answer = client.get(&format!("{}/output?lines={lines}", path(engine)))?;
            let human = shown::output(&answer);
            Ok(Said::new(answer, human))
        }
        E::Set {
            engine,
            parameters,
            unset,
            sure,
        } => set(shell, client, engine, parameters, unset, sure),
        E::Resize { engine, size, sure } => {
            let again = format!("backout engines resize {} {size} --yes", word(engine));
            let body = json!({ "do": "resize", "size": size });
            let ask = Question {
                question: "resize it?",
                again,
            };
            change(shell, client, engine, body, sure, ask)
        }
        E::Describe { engine, text } => {
            let answer = client.patch(&path(engine), &json!({ "description": text }))?;
            let human = shown::engine(style, &answer);
            Ok(Said::new(answer, human))
        }
        E::Suspend { engine, sure } => {
            let question = "suspend it? nobody is answered until it is resumed";
            let ask = Question::same(question, "suspend", engine);
            change(shell, client, engine, json!({ "do": "suspend" }), sure, ask)
        }
        E::Resume { engine, go } => {
            let body = json!({ "do": "resume" });
            begin(shell, client, engine, &body, go)
        }
        E::Restart { engine, forced, go } => {
            let body = json!({ "do": "restart", "forced": forced });
            begin(shell, client, engine, &body, go)
        }
        E::Delete { engine, sure } => {
            let question = "delete it with its log and the data that it keeps, for good?";
            let ask = Question::same(question, "delete", engine);
            change(shell, client, engine, json!({ "do": "delete" }), sure, ask)
        }
        E::Query { engine, sql } => query(shell, client, engine, sql),
        E::Images { kind } => {
            let query = of_kind(kind.as_ref());
            let items = client.list("/v1/engine-images", &query, LIST_MAX)?;
            let human = shown::images(style, &items);
            Ok(Said::new(json!(brief(items)), human))
        }
        E::Image(args::EngineImage::Add { file }) => {
            let body = json!({ "entry": read_text(file)? });
            let answer = client.post("/v1/engine-images", &body)?;
            let human = shown::added(style, &answer);
            Ok(Said::new(answer, human))
        }
        E::Image(args::EngineImage::Show { image }) => {
            let answer = client.get(&format!("/v1/engine-images/{}", encoded(image)))?;
            let human = shown::image(style, &answer);
            Ok(Said::new(answer, human))
        }
    }
}

fn path(engine: &str) -> String {
    format!("/v1/engines/{}", encoded(engine))
}

fn of_kind(kind: Option<&String>) -> Vec<(&str, &str)> {
    kind.map(|kind| ("kind", kind.as_str()))
        .into_iter()
        .collect()
}

fn listed(client: &Client, engine: &str, what: &str, limit: u32) -> Outcome<Vec<Value>> {
    let limit = usize::try_from(limit).unwrap_or(LIST_MAX);
    client.list(&format!("{}/{what}", path(engine)), &[], limit)
}

/// Versions with exactly the members that scripts rely on.
fn brief(items: Vec<Value>) -> Vec<Value> {
    items
        .into_iter()
        .map(|mut item| {
            let members = IMAGE_MEMBERS
                .into_iter()
                .map(|name| (name.to_owned(), item[name].take()));
            Value::Object(members.collect::<Map<_, _>>())
        })
        .collect()
}

fn create(shell: &Shell, client: &Client, c: &args::CreateEngine) -> Outcome<Said> {
    let mut body = json!({ "name": c.name, "kind": c.kind });
    for (name, value) in [
        ("image", c.image.as_ref().map(|v| json!(v))),
        ("exec_type", c.exec_type.as_ref().map(|v| json!(v))),
        ("mode", c.mode.as_ref().map(|v| json!(v))),
        ("size", c.size.map(|v| json!(v))),
        ("port", c.port.map(|v| json!(v))),
        ("description", c.description.as_ref().map(|v| json!(v))),
    ] {
        if let Some(value) = value {
            body[name] = value;
        }
    }
    if !c.parameters.is_empty() {
        body["parameters"] = json!(pairs(&c.parameters)?);
    }
    if c.go.dry_run {
        let answer = client.post("/v1/plan/engines", &body)?;
        let human = shown::planned(shell.style, &format!("make {}", c.name), &answer);
        return judge_proposal(answer, human);
    }
    let answer = client.start("/v1/engines", &body, c.go.idempotency_key.as_deref())?;
    let Some(job) = done(shell, client, &answer, &c.go, &c.name)? else {
        return Ok(no_wait(answer));
    };
    let mut value = client.get(&path(&text(&answer, "engine")))?;
    let human = format!(
        "{}{}",
        shown::applied(shell.style, &job),
        shown::reached(&value)
    );
    value["job"] = job;
    Ok(Said::new(value, human))
}

/// Parameters by name, each once.
fn pairs(given: &[(String, String)]) -> Outcome<Map<String, Value>> {
    let mut out = Map::new();
    for (name, value) in given {
        if out.insert(name.clone(), json!(value)).is_some() {
            return Err(Failure::usage(format!(
                "set parameter {name:?} twice: give it once"
            )));
        }
    }
    Ok(out)
}

/// Whether the last change can be taken back, and what that would do.
fn check(shell: &Shell, client: &Client, engine: &str) -> Outcome<Said> {
    let mut answer = client.get(&format!("{}/check", path(engine)))?;
    let why = text(&answer, "why");
    if member(&answer, "possible") != &Value::Bool(true) {
        let human = shown::check(shell.style, engine, &answer);
        let message = format!("roll back data engine {engine}: {why}");
        let mut failure = Failure::coded(Exit::Refused, Code::NoWayBack, message);
        for name in ["possible", "from", "to", "why", "upgrade"] {
            failure = failure.with(name, answer[name].take());
        }
        failure.shown = human;
        return Err(failure);
    }
    let plan = format!("{}/changes/plan", path(engine));
    let planned = client.post(&plan, &json!({ "do": "rollback" }))?;
    let human = format!(
        "{}{}",
        shown::check(shell.style, engine, &answer),
        shown::planned(shell.style, &format!("take {engine} back"), &planned)
    );
    for name in ["passed", "preflight", "plan", "parameters", "beside"] {
        answer[name] = planned[name].clone();
    }
    answer["image"] = json!({ "from": planned["from"], "to": planned["to"] });
    judge_proposal(answer, human)
}

/// What is asked before something is done.
struct Question {
    question: &'static str,
    /// The same command, without the question.
    again: String,
}

impl Question {
    fn same(question: &'static str, verb: &str, engine: &str) -> Self {
        Self {
            question,
            again: format!("backout engines {verb} {} --yes", word(engine)),
        }
    }
}

/// A change that is told whole before it is made, and asked about unless there
/// was a yes.
fn change(
    shell: &Shell,
    client: &Client,
    engine: &str,
    mut body: Value,
    sure: &args::Sure,
    ask: Question,
) -> Outcome<Said> {
    let go = &sure.go;
    // A repeated call would find what it did itself in its way.
    if go.dry_run || (sure.yes && go.idempotency_key.is_some()) {
        return begin(shell, client, engine, &body, go);
    }
    let answer = client.post(&format!("{}/changes/plan", path(engine)), &body)?;
    let title = format!("{} {engine}", shown::verb(&text(&body, "do")));
    let human = shown::planned(shell.err_style, &title, &answer);
    if sure.yes {
        let said = judge_proposal(answer.clone(), human)?;
        if !shell.json {
            shell.note(said.human.trim_end());
        }
    } else {
        let said = judge_proposal(answer.clone(), human)?;
        confirm(shell, &said.human, ask.question, &ask.again)?;
    }
    // What was shown, whatever is done meanwhile.
    if answer["restores"].is_string() {
        body["from"] = answer["restores"].clone();
    }
    let mut said = begin(shell, client, engine, &body, go)?;
    said.value["parameters"] = answer["parameters"].clone();
    Ok(said)
}

/// A change that is just made, or shown.
fn begin(
    shell: &Shell,
    client: &Client,
    engine: &str,
    body: &Value,
    go: &args::Go,
) -> Outcome<Said> {
    let full = format!("{}/changes", path(engine));
    let does = text(body, "do");
    if go.dry_run {
        let answer = client.post(&format!("{full}/plan"), body)?;
        let title = format!("{} {engine}", shown::verb(&does));
        let human = shown::planned(shell.style, &title, &answer);
        return judge_proposal(answer, human);
    }
    let answer = client.start(&full, body, go.idempotency_key.as_deref())?;
    let Some(job) = done(shell, client, &answer, go, engine)? else {
        return Ok(no_wait(answer));
    };
    let now = match does.as_str() {
        "delete" => Value::Null,
        _ => client.get(&path(&text(&answer, "engine")))?,
    };
    let mut human = shown::applied(shell.style, &job);
    if !now.is_null() {
        human.push_str(&shown::reached(&now));
    }
    human.push_str(&shown::then(&does, &word(engine), &text(&job, "id")));
    Ok(Said::new(json!({ "job": job, "engine": now }), human))
}

/// Waits for the job of a change, unless that is not wanted. A change that was
/// taken back says where there is more.
fn done(
    shell: &Shell,
    client: &Client,
    answer: &Value,
    go: &args::Go,
    engine: &str,
) -> Outcome<Option<Value>> {
    waited(shell, client, answer, go.wait).map_err(|mut failure| {
        if failure.exit == Exit::Reverted {
            let events = format!("; what happened: backout engines events {}", word(engine));
            failure.message.push_str(&events);
        }
        failure
    })
}

fn set(
    shell: &Shell,
    client: &Client,
    engine: &str,
    parameters: &[(String, String)],
    unset: &[String],
    sure: &args::Sure,
) -> Outcome<Said> {
    if parameters.is_empty() && unset.is_empty() {
        let answer = client.get(&format!("{}/config", path(engine)))?;
        let human = shown::config(shell.style, &answer);
        return Ok(Said::new(answer, human));
    }
    let mut all = pairs(parameters)?;
    let mut again = format!("backout engines set {}", word(engine));
    for (name, value) in parameters {
        again.push_str(&format!(" {}", word(&format!("{name}={value}"))));
    }
    for name in unset {
        again.push_str(&format!(" --unset {}", word(name)));
        if all.insert(name.clone(), Value::Null).is_some() {
            return Err(Failure::usage(format!(
                "set parameter {name:?} and take it off: say one of the two, once"
            )));
        }
    }
    again.push_str(" --yes");
    let body = json!({ "do": "set", "parameters": all });
    let ask = Question {
        question: "start it anew with these?",
        again,
    };
    change(shell, client, engine, body, sure, ask)
}

/// Asks an engine itself, at its endpoint.
fn query(shell: &Shell, client: &Client, engine: &str, sql: &str) -> Outcome<Said> {
    let found = client.get(&path(engine))?;
    let endpoint = text(&found, "endpoint");
    let is_presto = text(&found, "kind").contains("Presto");
    if is_presto || !endpoint.starts_with("http://") {
        return Err(Failure::usage(format!(
            "ask {engine} a statement: it does not take statements by POST /sql; use a client of its kind at {endpoint}"
        )));
    }
    if text(&found, "state") == "suspended" {
        return Err(Failure::coded(
            Exit::Failed,
            Code::EngineState,
            format!(
                "ask {engine} a statement while it is suspended: start it with: backout engines resume {}",
                word(engine)
            ),
        ));
    }
    let failed = |why: String| {
        Failure::new(
            Exit::Failed,
            format!(
                "ask {engine} at {endpoint}: {why}; see how it is with: backout engines show {}",
                word(engine)
            ),
        )
    };
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_connect(Some(CONNECT_WAIT))
        .build()
        .into();
    let mut answer = agent
        .post(format!("{endpoint}/sql"))
        .content_type("text/plain; charset=utf-8")
        .send(sql)
        .map_err(|e| failed(e.to_string()))?;
    let status = answer.status().as_u16();
    let bytes = answer
        .body_mut()
        .with_config()
        .limit(ANSWER_BYTES_MAX)
        .read_to_vec()
        .map_err(|e| failed(e.to_string()))?;
    let said = String::from_utf8_lossy(&bytes);
    let value = serde_json::from_str(&said).unwrap_or_else(|_| json!({ "text": said }));
    if !(200..300).contains(&status) {
        let why = [text(&value, "error"), text(&value, "text")].concat();
        return Err(failed(format!("it answered {status}: {}", why.trim())));
    }
    let human = shown::answer(shell.style, &value);
    Ok(Said::new(value, human))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_the_members_that_scripts_rely_on() {
        let full = json!({"id": "i", "version": "v", "level": "child", "parent": "p", "kind": "DuckDB",
            "driver": "http", "state": "online", "wrong": null});
        let brief = brief(vec![full]);
        let names: Vec<&String> = brief[0].as_object().unwrap().keys().collect();
        let mut wanted = IMAGE_MEMBERS.to_vec();
        wanted.sort_unstable();
        assert_eq!(names, wanted);
        assert_eq!(brief[0]["parent"], "p");
    }

    #[test]
    fn parameters_are_given_once() {
        let pair = |name: &str| (name.to_owned(), "1".to_owned());
        assert_eq!(pairs(&[pair("a"), pair("b")]).unwrap().len(), 2);
        assert_eq!(
            pairs(&[pair("a"), pair("a")]).unwrap_err().exit,
            Exit::Usage
        );
    }
}
