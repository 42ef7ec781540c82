//! The commands for applications.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use backout_core::code::Code;
use serde_json::{Map, Value, json};

use super::{COLUMNS, LIST_MAX, Said, Shell, absolute, confirm, done, judge_proposal, word};
use crate::args;
use crate::client::{Client, encoded};
use crate::failure::{Exit, Failure, Outcome};
use crate::render::apps as shown;
use crate::render::{self, Bar, member, text};

/// How often it is looked how an order is, at first; each time it takes half as
/// long again.
const LOOK_FIRST: Duration = Duration::from_millis(100);
/// How often it is looked in the end: a person reads along, and forty who wait
/// together stay below what an account may ask.
const LOOK_LAST: Duration = Duration::from_millis(500);
/// How often a server that does not answer is asked again before it is given
/// up: half a minute, so that one that is restarted comes back.
const AWAY_TRIES: u32 = 60;
/// The largest file that is read to be mounted, or to be a secret, in bytes: the
/// server takes bodies of a megabyte.
const FILE_BYTES_MAX: u64 = 512 << 10;

pub(super) fn apps(shell: &Shell, command: &args::Apps) -> Outcome<Said> {
    use args::Apps as A;
    let style = shell.style;
    let client = shell.client()?;
    match command {
        A::List { namespace } => {
            let mut query = Vec::new();
            if let Some(namespace) = namespace {
                query.push(("namespace", namespace.as_str()));
            }
            let items = client.list("/v1/apps", &query, LIST_MAX)?;
            Ok(Said::new(json!(items), shown::apps(style, &items)))
        }
        A::Show { app } => show(shell, &client, app),
        A::Deploy(d) => deploy(shell, &client, d),
        A::Rollback(r) => rollback(shell, &client, r),
        A::Versions {
            app,
            version: Some(version),
            ..
        } => {
            let answer = client.get(&version_path(app, version))?;
            let human = shown::one_version(style, &answer);
            Ok(Said::new(answer, human))
        }
        A::Versions {
            app,
            version: None,
            limit,
        } => {
            let limit = usize::try_from(*limit).unwrap_or(LIST_MAX);
            let items = client.list(&format!("{}/versions", path(app)), &[], limit)?;
            Ok(Said::new(json!(items), shown::versions(style, &items)))
        }
        A::Bar { app, version, why } => mark(shell, &client, app, version, Some(why)),
        A::Unbar { app, version } => mark(shell, &client, app, version, None),
        A::Logs {
            app,
            replica,
            lines,
            follow,
        } => logs(shell, &client, app, replica.as_deref(), *lines, *follow),
        A::Events {
            app,
            warnings,
            limit,
        } => {
            let limit = usize::try_from(*limit).unwrap_or(LIST_MAX);
            let mut query = Vec::new();
            if *warnings {
                query.push(("warnings", "true"));
            }
            let items = client.list(&format!("{}/events", path(app)), &query, limit)?;
            Ok(Said::new(json!(items), shown::events(style, &items)))
        }
        A::Orders { app, limit } => {
            let limit = usize::try_from(*limit).unwrap_or(LIST_MAX);
            let mut query = Vec::new();
            if let Some(app) = app {
                query.push(("app", app.as_str()));
            }
            let items = client.list("/v1/orders", &query, limit)?;
            Ok(Said::new(json!(items), shown::orders(style, &items)))
        }
        A::Order { order } => {
            let order = find_order(&client, order)?;
            let human = shown::order(style, &order);
            Ok(Said::new(order, human))
        }
        A::Watch { order } => {
            let order = find_order(&client, order)?;
            let order = follow_order(shell, &client, &text(&order, "id"))?;
            judged(shell, &client, &order)?;
            let human = shown::order(style, &order);
            Ok(Said::new(order, human))
        }
        A::Confirm {
            order,
            batch,
            end,
            wait,
        } => {
            let mut body = json!({ "end": end });
            if let Some(batch) = batch {
                body["batch"] = json!(batch);
            }
            let wanted = match end {
                true => Wanted::Aborted,
                false => Wanted::Succeeded,
            };
            speak(shell, &client, order, "confirm", &body, *wait, wanted)
        }
        A::Abort { order, back, wait } => {
            let body = json!({ "back": back });
            let wanted = match back {
                true => Wanted::TakenBack,
                false => Wanted::Aborted,
            };
            speak(shell, &client, order, "abort", &body, *wait, wanted)
        }
        A::Retry { order, wait } => {
            let wanted = Wanted::Succeeded;
            speak(shell, &client, order, "retry", &json!({}), *wait, wanted)
        }
        A::Start { app, go } => {
            let body = json!({ "do": "start" });
            change(shell, &client, app, body, go, None)
        }
        A::Stop { app, yes, go } => {
            let ask = (!yes).then_some(Question {
                question: "stop it? nobody is answered until it is started again",
                again: format!("backout apps stop {} --yes", word(app)),
            });
            change(shell, &client, app, json!({ "do": "stop" }), go, ask)
        }
        A::Restart {
            app,
            replica,
            how,
            go,
        } => {
            let body = json!({ "do": "restart", "replica_ids": replica, "how": how_of(how) });
            change(shell, &client, app, body, go, None)
        }
        A::Scale {
            app,
            replicas,
            how,
            go,
        } => {
            let body = json!({ "do": "rescale", "replicas": replicas, "how": how_of(how) });
            change(shell, &client, app, body, go, None)
        }
        A::Resize {
            app,
            cpu_millis,
            memory,
            how,
            go,
        } => {
            let mut body = json!({ "do": "resize", "how": how_of(how) });
            if let Some(cpu_millis) = cpu_millis {
                body["cpu_millis"] = json!(cpu_millis);
            }
            if let Some(memory) = memory {
                body["memory_bytes"] = json!(memory.0);
            }
            change(shell, &client, app, body, go, None)
        }
        A::Delete { app, yes, go } => {
            let ask = (!yes).then_some(Question {
                question: "delete it with all its versions, for good?",
                again: format!("backout apps delete {} --yes", word(app)),
            });
            change(shell, &client, app, json!({ "do": "delete" }), go, ask)
        }
        A::Namespaces(c) => namespaces(shell, &client, c),
        A::Secrets(c) => secrets(shell, &client, c),
        A::ConfigMaps(c) => config_maps(shell, &client, c),
        A::Scaling(c) => scaling(shell, &client, c),
        A::Settings(c) => settings(shell, &client, c),
    }
}

pub(super) fn approve(shell: &Shell, a: &args::Approve) -> Outcome<Said> {
    let client = shell.client()?;
    let wanted = Wanted::Succeeded;
    speak(
        shell,
        &client,
        &a.order,
        "approve",
        &json!({}),
        a.wait,
        wanted,
    )
}

fn path(app: &str) -> String {
    format!("/v1/apps/{}", encoded(app))
}

fn version_path(app: &str, version: &str) -> String {
    format!("{}/versions/{}", path(app), encoded(version))
}

fn order_path(order: &str) -> String {
    format!("/v1/orders/{}", encoded(order))
}

fn is_not_found(e: &Failure) -> bool {
    e.code.as_deref() == Some(Code::NotFound.as_str())
}

fn show(shell: &Shell, client: &Client, app: &str) -> Outcome<Said> {
    let mut answer = client.get(&path(app))?;
    let replicas = client.list(&format!("{}/replicas", path(app)), &[], LIST_MAX)?;
    let order = match text(&answer, "order.id") {
        id if id.is_empty() => None,
        id => Some(client.get(&order_path(&id))?),
    };
    let human = shown::app(shell.style, &answer, &replicas, order.as_ref());
    answer["replica_list"] = json!(replicas);
    if let Some(order) = order {
        answer["order"] = order;
    }
    Ok(Said::new(answer, human))
}

/// The order of an id, or the one that changes the application of a name now,
/// or its last.
fn find_order(client: &Client, named: &str) -> Outcome<Value> {
    let app = match client.get(&path(named)) {
        Ok(app) => app,
        Err(e) if is_not_found(&e) => {
            return client.get(&order_path(named)).map_err(|of_order| {
                // A name is no id of an order: what was said of the application
                // helps more.
                match is_not_found(&of_order) && !looks_like_id(named) {
                    true => e,
                    false => of_order,
                }
            });
        }
        Err(e) => return Err(e),
    };
    let id = match text(&app, "order.id") {
        id if id.is_empty() => {
            let last = client.list("/v1/orders", &[("app", named)], 1)?;
            last.first().map(|o| text(o, "id")).ok_or_else(|| {
                Failure::coded(
                    Exit::Failed,
                    Code::NotFound,
                    format!("find an order of {named}: nothing was ever changed there"),
                )
            })?
        }
        id => id,
    };
    client.get(&order_path(&id))
}

/// Whether a text has the form of the ids that applications and orders have.
fn looks_like_id(text: &str) -> bool {
    text.len() == 36 && text.matches('-').count() == 4
}

// ---- what is asked for ----

fn how_of(how: &args::HowChanged) -> Value {
    let mut out = Map::new();
    if let Some(batches) = how.batches {
        out.insert("batches".into(), json!(batches));
    }
    if let Some(gray) = how.gray {
        out.insert("gray".into(), json!(gray));
    }
    if how.manual {
        out.insert("manual".into(), json!(true));
    }
    if let Some(wait_s) = how.wait_between_s {
        out.insert("wait_between_s".into(), json!(wait_s));
    }
    match how.min_ready {
        Some(args::Share::Count(n)) => out.insert("min_ready".into(), json!(n)),
        Some(args::Share::Percent(p)) => out.insert("min_ready_percent".into(), json!(p)),
        None => None,
    };
    match how.surge {
        Some(args::Share::Count(n)) => out.insert("surge".into(), json!(n)),
        Some(args::Share::Percent(p)) => out.insert("surge_percent".into(), json!(p)),
        None => None,
    };
    if let Some(description) = &how.description {
        out.insert("description".into(), json!(description));
    }
    Value::Object(out)
}

/// The same, as it is typed.
fn how_typed(how: &args::HowChanged) -> String {
    let share = |share: args::Share| match share {
        args::Share::Count(n) => n.to_string(),
        args::Share::Percent(p) => format!("{p}%"),
    };
    let mut out = String::new();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            out.push_str(&format!(" --{name} {}", word(&value)));
        }
    };
    add("batches", how.batches.map(|n| n.to_string()));
    add("gray", how.gray.map(|n| n.to_string()));
    add("wait-between", how.wait_between_s.map(|s| format!("{s}s")));
    add("min-ready", how.min_ready.map(share));
    add("surge", how.surge.map(share));
    add("description", how.description.clone());
    if how.manual {
        out.push_str(" --manual");
    }
    out
}

fn release_of(d: &args::Deploy) -> Outcome<Value> {
    let mut out = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            out.insert(name.to_owned(), value);
        }
    };
    let package = match &d.from {
        None => None,
        Some(from) => {
            let from = match from.starts_with("http://") || from.starts_with("https://") {
                true => from.clone(),
                false => absolute(Path::new(from))?,
            };
            let mut package = json!({ "from": from });
            if let Some(kind) = &d.kind {
                package["kind"] = json!(kind);
            }
            Some(package)
        }
    };
    if d.kind.is_some() && package.is_none() {
        return Err(Failure::usage(
            "say what kind the package is: give --from with it",
        ));
    }
    set("package", package);
    set("image", d.image.as_ref().map(|i| json!(i)));
    set("command", d.command.as_ref().map(|c| json!(c)));
    set("replicas", d.replicas.map(|n| json!(n)));
    set("port", d.port.map(|p| json!(p)));
    set(
        "readiness",
        d.health.as_ref().map(|path| json!({ "http": path })),
    );
    set(
        "liveness",
        d.live.as_ref().map(|path| json!({ "http": path })),
    );
    set("cpu_millis", d.cpu_millis.map(|n| json!(n)));
    set("memory_bytes", d.memory.map(|m| json!(m.0)));
    set("grace_ms", d.grace_s.map(|s| json!(u64::from(s) * 1000)));
    set("label", d.label.as_ref().map(|l| json!(l)));
    let plain = |pairs: &[(String, String)]| -> Map<String, Value> {
        pairs.iter().map(|(k, v)| (k.clone(), json!(v))).collect()
    };
    let mut env = plain(&d.env);
    let mut secrets = plain(&d.secret);
    let mut files = Map::new();
    for (path, file) in &d.file {
        files.insert(
            path.clone(),
            json!({ "content": read_text(Path::new(file))? }),
        );
    }
    for (path, config_map, key) in &d.mount {
        let of = json!({ "config_map": config_map, "key": key });
        files.insert(path.clone(), json!({ "of": of }));
    }
    for name in &d.unset {
        if name.starts_with('/') {
            files.insert(name.clone(), Value::Null);
        } else {
            env.insert(name.clone(), Value::Null);
            secrets.insert(name.clone(), Value::Null);
        }
    }
    for (name, map) in [
        ("env", env),
        ("secrets", secrets),
        ("files", files),
        ("components", plain(&d.component)),
    ] {
        set(name, (!map.is_empty()).then_some(Value::Object(map)));
    }
    Ok(Value::Object(out))
}

/// A text of a file of this host; `-` is stdin.
pub(super) fn read_text(file: &Path) -> Outcome<String> {
    let wrong = |e: &dyn std::fmt::Display| {
        Failure::usage(format!(
            "read {}: {e}; give a file with text of at most {FILE_BYTES_MAX} bytes",
            file.display()
        ))
    };
    let source: Box<dyn std::io::Read> = match file == Path::new("-") {
        true => Box::new(std::io::stdin()),
        false => Box::new(std::fs::File::open(file).map_err(|e| wrong(&e))?),
    };
    let mut out = String::new();
    let read = source
        .take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut out)
        .map_err(|e| wrong(&e))?;
    match read as u64 > FILE_BYTES_MAX {
        true => Err(wrong(&"it is too large")),
        false => Ok(out),
    }
}

fn read_json(file: &Path) -> Outcome<Value> {
    serde_json::from_str(&read_text(file)?).map_err(|e| {
        Failure::usage(format!(
            "read {}: {e}; give a JSON document",
            file.display()
        ))
    })
}

/// `NAMESPACE/NAME`, or just a name.
fn namespace_and_name(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, name),
    }
}

fn deploy(shell: &Shell, client: &Client, d: &args::Deploy) -> Outcome<Said> {
    let release = release_of(d)?;
    let how = how_of(&d.how);
    let there = match client.get(&path(&d.name)) {
        Ok(_) => true,
        Err(e) if is_not_found(&e) => false,
        Err(e) => return Err(e),
    };
    let (namespace, name) = namespace_and_name(&d.name);
    let mut create = json!({ "name": name, "release": release, "how": how });
    if let Some(namespace) = namespace {
        create["namespace"] = json!(namespace);
    }
    let further = json!({ "do": "deploy", "release": release, "how": how });
    let orders = format!("{}/orders", path(&d.name));
    let plan = format!("{orders}/plan");
    let (full, plan, body) = match there {
        true => (orders.as_str(), plan.as_str(), &further),
        false => ("/v1/apps", "/v1/plan/apps", &create),
    };
    if d.go.dry_run {
        let answer = client.post(plan, body)?;
        let title = format!("deploy a version of {}", d.name);
        let human = shown::planned(shell.style, &title, &answer);
        return judge_proposal(answer, human);
    }
    let key = d.go.idempotency_key.as_deref();
    let answer = match client.start(full, body, key) {
        // The call before, with the same key, has made it.
        Err(e)
            if there
                && key.is_some()
                && e.code.as_deref() == Some(Code::IdempotencyMismatch.as_str()) =>
        {
            client.start("/v1/apps", &create, key).map_err(|_| e)?
        }
        other => other?,
    };
    let ids = ids_of(&answer);
    if d.go.wait.no_wait {
        return Ok(Said::new(ids, format!("{}\n", text(&answer, "order"))));
    }
    let order = follow_order(shell, client, &text(&answer, "order"))?;
    judged(shell, client, &order)?;
    let mut human = format!("{}: {}\n", shell.style.good("done"), shown::title(&order));
    if there {
        human.push_str(&format!(
            "take it back with: backout apps rollback {}\n",
            word(&d.name)
        ));
    }
    Ok(Said::new(ids, human))
}

/// The three ids, under the names that the clouds' calls have for them.
fn ids_of(answer: &Value) -> Value {
    json!({
        "AppId": answer["app"],
        "VersionId": answer["version"],
        "ChangeOrderId": answer["order"],
    })
}

fn rollback(shell: &Shell, client: &Client, r: &args::RollbackApp) -> Outcome<Said> {
    let mut body = json!({ "do": "rollback", "how": how_of(&r.how), "scaling_off": r.no_scaling });
    let mut again = format!("backout apps rollback {}", word(&r.app));
    if let Some(to) = &r.to {
        body["to"] = json!(to);
        again.push_str(&format!(" --to {}", word(to)));
    }
    again.push_str(&how_typed(&r.how));
    if r.no_scaling {
        again.push_str(" --no-scaling");
    }
    let full = format!("{}/orders", path(&r.app));
    let title = format!("take {} back", r.app);
    if r.go.dry_run || !r.yes {
        let answer = client.post(&format!("{full}/plan"), &body)?;
        let to = answer["to"]["id"].clone();
        if r.go.dry_run {
            let human = shown::planned(shell.style, &title, &answer);
            return judge_proposal(answer, human);
        }
        let human = shown::planned(shell.err_style, &title, &answer);
        let said = judge_proposal(answer, human)?;
        let again = format!("{again} --yes");
        confirm(shell, &said.human, "take it back?", &again)?;
        // What was shown, whatever was deployed meanwhile.
        if to.is_string() {
            body["to"] = to;
        }
    }
    let answer = client.start(&full, &body, r.go.idempotency_key.as_deref())?;
    let mut ids = ids_of(&answer);
    if r.go.wait.no_wait {
        return Ok(Said::new(ids, format!("{}\n", text(&answer, "order"))));
    }
    let order = follow_order(shell, client, &text(&answer, "order"))?;
    judged(shell, client, &order)?;
    let human = ended(shell, &order);
    ids["order"] = order;
    Ok(Said::new(ids, human))
}

/// What is asked before something is done.
struct Question {
    question: &'static str,
    /// The same command, without the question.
    again: String,
}

/// Any other order.
fn change(
    shell: &Shell,
    client: &Client,
    app: &str,
    body: Value,
    go: &args::Go,
    ask: Option<Question>,
) -> Outcome<Said> {
    let full = format!("{}/orders", path(app));
    let title = format!("{} {app}", text(&body, "do"));
    if go.dry_run {
        let answer = client.post(&format!("{full}/plan"), &body)?;
        let human = shown::planned(shell.style, &title, &answer);
        return judge_proposal(answer, human);
    }
    if let Some(ask) = ask {
        let answer = client.post(&format!("{full}/plan"), &body)?;
        let human = shown::planned(shell.err_style, &title, &answer);
        let said = judge_proposal(answer, human)?;
        confirm(shell, &said.human, ask.question, &ask.again)?;
    }
    let answer = client.start(&full, &body, go.idempotency_key.as_deref())?;
    let id = text(&answer, "order");
    if go.wait.no_wait {
        return Ok(Said::new(answer, format!("{id}\n")));
    }
    let mut order = follow_order(shell, client, &id)?;
    // Of one that is gone the order has only the id.
    if member(&order, "app.name").is_null() {
        order["app"]["name"] = json!(app);
    }
    judged(shell, client, &order)?;
    let human = ended(shell, &order);
    Ok(Said::new(json!({ "order": order }), human))
}

// ---- a person's word ----

/// How an order is to end for a command to have done well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Succeeded,
    Aborted,
    TakenBack,
}

fn speak(
    shell: &Shell,
    client: &Client,
    named: &str,
    what: &str,
    body: &Value,
    wait: args::Wait,
    wanted: Wanted,
) -> Outcome<Said> {
    let id = text(&find_order(client, named)?, "id");
    let answer = client.post(&format!("{}/{what}", order_path(&id)), body)?;
    if wait.no_wait {
        return Ok(Said::new(answer, format!("{id}\n")));
    }
    let order = follow_order(shell, client, &id)?;
    let standing = text(&order, "standing");
    let back = !member(&order, "takes_back").is_null();
    let fine = match wanted {
        Wanted::Succeeded => false,
        Wanted::Aborted => standing == "aborted",
        // None of it was begun, or all of it was taken back.
        Wanted::TakenBack => standing == "aborted" || (back && standing == "succeeded"),
    };
    if !fine {
        judged(shell, client, &order)?;
    }
    if wanted != Wanted::Succeeded && !back && standing == "succeeded" {
        return Err(Failure::coded(
            Exit::Failed,
            Code::JobState,
            format!(
                "{what} order {id}: it was done already; take it back with: backout apps rollback {}",
                word(&shown::name_of(member(&order, "app")))
            ),
        )
        .with("order", order));
    }
    let human = ended(shell, &order);
    Ok(Said::new(json!({ "order": order }), human))
}

/// What is said of an order that ended as it was to end.
fn ended(shell: &Shell, order: &Value) -> String {
    let title = shown::title(order);
    match text(order, "standing").as_str() {
        "aborted" => format!(
            "{}: {title}; what was changed stays as it is\n",
            shell.style.odd("ended early")
        ),
        _ => format!("{}: {title}\n", shell.style.good("done")),
    }
}

/// Turns an end that nobody wanted, or a stuck order, into a failure.
fn judged(shell: &Shell, client: &Client, order: &Value) -> Outcome<()> {
    let id = text(order, "id");
    let name = word(&shown::name_of(member(order, "app")));
    let back = !member(order, "takes_back").is_null();
    let why = match (text(order, "error.code"), text(order, "error.message")) {
        (_, message) if message.is_empty() => String::new(),
        (_, message) => format!(": failed to {message}"),
    };
    let (exit, message) = match text(order, "standing").as_str() {
        "succeeded" if back => (
            Exit::Reverted,
            format!(
                "finish the order: {}, everything is as before",
                shown::title(order)
            ),
        ),
        "succeeded" => return Ok(()),
        "failed" => (
            Exit::Reverted,
            format!("finish order {id}: nothing was changed{why}"),
        ),
        "aborted" => (
            Exit::Failed,
            format!(
                "finish order {id}: it was ended early, what was changed stays as it is; see it with: backout apps show {name}"
            ),
        ),
        "stuck" => return Err(stuck(shell, client, order)),
        _ => (
            Exit::Failed,
            format!("finish order {id}{why}; see more with: backout apps order {id}"),
        ),
    };
    let mut failure = Failure::new(exit, message);
    failure.code = Some(text(order, "error.code")).filter(|c| !c.is_empty());
    Err(failure.with("order", order.clone()))
}

/// A failure that says which replica it was, what it wrote last, and what to
/// type.
fn stuck(shell: &Shell, client: &Client, order: &Value) -> Failure {
    let replica = text(order, "failure.replica");
    let log = (!replica.is_empty())
        .then(|| {
            let full = format!(
                "{}/logs?replica={}&lines={}",
                path(&text(order, "app.id")),
                encoded(&replica),
                shown::FAILURE_LINES
            );
            let answer = client.get(&full).ok()?;
            let piece = answer["items"].as_array()?.first()?;
            member(piece, "text").as_str().map(str::to_owned)
        })
        .flatten();
    let which = match replica.is_empty() {
        true => "a batch failed".to_owned(),
        false => format!(
            "replica {replica} failed: {}",
            text(order, "failure.message")
        ),
    };
    let next = member(order, "next_commands")
        .get(0)
        .and_then(Value::as_str)
        .unwrap_or("backout apps show")
        .to_owned();
    let mut failure = Failure::coded(
        Exit::Held,
        Code::OrderStuck,
        format!(
            "finish order {}: {which}; nothing more is changed until you say how to go on; next: {next}",
            text(order, "id")
        ),
    )
    .with("order", order.clone());
    failure.shown = shown::stuck(shell.style, order, log.as_deref());
    if let Some(log) = log {
        failure = failure.with("log", json!(log));
    }
    failure
}

/// Follows an order until it is over or stuck; one that is taken back, to the end
/// of its way back. Tells of it on stderr: a bar on a terminal, lines otherwise,
/// nothing with `--json`.
fn follow_order(shell: &Shell, client: &Client, id: &str) -> Outcome<Value> {
    let mut progress = Progress::new(shell);
    let mut id = id.to_owned();
    let mut wait = LOOK_FIRST;
    let mut away = 0;
    loop {
        let order = match client.get(&order_path(&id)) {
            Ok(order) => order,
            // A server that restarts comes back, and the order goes on.
            Err(e) if e.exit == Exit::Unreachable && away < AWAY_TRIES => {
                away += 1;
                std::thread::sleep(LOOK_LAST);
                continue;
            }
            Err(e) => {
                progress.end();
                return Err(e);
            }
        };
        away = 0;
        let back = text(&order, "taken_back_by");
        if !back.is_empty() {
            id = back;
            continue;
        }
        progress.order(&order);
        if member(&order, "over") == &Value::Bool(true) || text(&order, "standing") == "stuck" {
            progress.end();
            return Ok(order);
        }
        std::thread::sleep(wait);
        wait = (wait * 3 / 2).min(LOOK_LAST);
    }
}

/// What is shown of an order while somebody waits.
struct Progress<'a> {
    shell: &'a Shell,
    bar: bool,
    began: Instant,
    line: String,
    drawn: bool,
}

impl<'a> Progress<'a> {
    fn new(shell: &'a Shell) -> Self {
        Self {
            bar: !shell.json && std::io::stderr().is_terminal(),
            shell,
            began: Instant::now(),
            line: String::new(),
            drawn: false,
        }
    }

    fn order(&mut self, order: &Value) {
        let line = shown::order_line(order);
        let fresh = line != self.line;
        self.line = line;
        if !self.bar {
            let over = member(order, "over") == &Value::Bool(true);
            if fresh && !self.shell.json && !over {
                self.shell.note(&self.line);
            }
            return;
        }
        // Who must act has to find the command whole.
        if fresh && shown::waiting(order).is_some() {
            self.end();
            self.shell.note(&self.line);
        }
        let columns = rustix::termios::tcgetwinsize(std::io::stderr())
            .map(|size| usize::from(size.ws_col))
            .ok()
            .filter(|columns| *columns > 0)
            .unwrap_or(COLUMNS);
        let line = render::bar(
            self.shell.err_style,
            &Bar {
                percent: shown::order_percent(order),
                elapsed_s: self.began.elapsed().as_secs_f64(),
                words: &shown::order_short(order),
            },
            columns,
        );
        let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
        let _ = std::io::stderr().flush();
        self.drawn = true;
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
            let _ = std::io::stderr().flush();
        }
    }
}

// ---- the rest ----

fn mark(
    shell: &Shell,
    client: &Client,
    app: &str,
    version: &str,
    why: Option<&str>,
) -> Outcome<Said> {
    let body = json!({ "barred": why });
    let answer = client.patch(&version_path(app, version), &body)?;
    let human = shown::one_version(shell.style, &answer);
    Ok(Said::new(answer, human))
}

fn logs(
    shell: &Shell,
    client: &Client,
    app: &str,
    replica: Option<&str>,
    lines: u32,
    follow: bool,
) -> Outcome<Said> {
    let mut full = format!("{}/logs?lines={lines}", path(app));
    if let Some(replica) = replica {
        full.push_str(&format!("&replica={}", encoded(replica)));
    }
    if !follow {
        let answer = client.get(&full)?;
        let items = member(&answer, "items")
            .as_array()
            .cloned()
            .unwrap_or_default();
        let mut tails = Tails::new(items.len() > 1);
        let mut human: String = items.iter().map(|p| tails.piece(shell, p)).collect();
        human.push_str(&tails.rest(shell));
        return Ok(Said::new(json!(items), human));
    }
    if shell.json {
        return Err(Failure::usage(
            "follow a log as one JSON value: leave --json or --follow out",
        ));
    }
    let mut tails = Tails::new(replica.is_none());
    client.stream(&full, |event| {
        let lines = tails.piece(shell, &event.data);
        let mut out = std::io::stdout();
        out.write_all(lines.as_bytes())
            .and_then(|()| out.flush())
            .is_ok()
    })?;
    Ok(Said::new(Value::Null, tails.rest(shell)))
}

/// Whole lines of several logs, each with whose it is.
struct Tails {
    named: bool,
    /// What came of a line whose end did not come yet.
    open: BTreeMap<String, String>,
}

impl Tails {
    const fn new(named: bool) -> Self {
        Self {
            named,
            open: BTreeMap::new(),
        }
    }

    fn piece(&mut self, shell: &Shell, piece: &Value) -> String {
        let replica = text(piece, "replica");
        let mut line = self.open.remove(&replica).unwrap_or_default();
        let mut out = String::new();
        for part in member(piece, "text")
            .as_str()
            .unwrap_or_default()
            .split_inclusive('\n')
        {
            line.push_str(part);
            // A line without end is shown in pieces.
            if part.ends_with('\n') || line.len() >= LINE_BYTES_MAX {
                out.push_str(&self.line(shell, &replica, &line));
                line.clear();
            }
        }
        if !line.is_empty() {
            self.open.insert(replica, line);
        }
        out
    }

    fn line(&self, shell: &Shell, replica: &str, line: &str) -> String {
        let line = render::clean(line.trim_end_matches(['\r', '\n']));
        match self.named {
            true => format!("{} {line}\n", shell.style.dim(&format!("{replica} |"))),
            false => format!("{line}\n"),
        }
    }

    fn rest(&mut self, shell: &Shell) -> String {
        std::mem::take(&mut self.open)
            .iter()
            .map(|(replica, line)| self.line(shell, replica, line))
            .collect()
    }
}

/// The longest line of a log that is shown whole, in bytes.
const LINE_BYTES_MAX: usize = 64 << 10;

/// A query that names a namespace, if one was given.
fn in_namespace(namespace: Option<&str>) -> String {
    namespace
        .map(|n| format!("?namespace={}", encoded(n)))
        .unwrap_or_default()
}

fn query_of(namespace: Option<&String>) -> Vec<(&str, &str)> {
    namespace
        .map(|n| ("namespace", n.as_str()))
        .into_iter()
        .collect()
}

fn namespaces(shell: &Shell, client: &Client, command: &args::Namespaces) -> Outcome<Said> {
    use args::Namespaces as N;
    let style = shell.style;
    let one = |answer: Value| {
        let human = shown::namespaces(style, std::slice::from_ref(&answer));
        Ok(Said::new(answer, human))
    };
    let path = |namespace: &str| format!("/v1/namespaces/{}", encoded(namespace));
    match command {
        N::List => {
            let items = client.list("/v1/namespaces", &[], LIST_MAX)?;
            Ok(Said::new(json!(items), shown::namespaces(style, &items)))
        }
        N::Create {
            namespace,
            name,
            description,
        } => {
            let mut body = json!({ "id": namespace });
            if let Some(name) = name {
                body["name"] = json!(name);
            }
            if let Some(description) = description {
                body["description"] = json!(description);
            }
            one(client.post("/v1/namespaces", &body)?)
        }
        N::Set {
            namespace,
            name,
            description,
        } => {
            let body = json!({ "name": name, "description": description });
            one(client.patch(&path(namespace), &body)?)
        }
        N::Delete { namespace } => {
            let answer = client.delete(&path(namespace))?;
            Ok(Said::new(done(answer), format!("deleted {namespace}\n")))
        }
    }
}

fn secrets(shell: &Shell, client: &Client, command: &args::Secrets) -> Outcome<Said> {
    use args::Secrets as S;
    let style = shell.style;
    let path = |name: &str, namespace: Option<&str>| {
        format!("/v1/secrets/{}{}", encoded(name), in_namespace(namespace))
    };
    match command {
        S::List { namespace } => {
            let items = client.list("/v1/secrets", &query_of(namespace.as_ref()), LIST_MAX)?;
            Ok(Said::new(json!(items), shown::secrets(style, &items)))
        }
        S::Set {
            name,
            namespace,
            file,
        } => {
            // The end of the last line is the editor's, not the secret's.
            let value = read_text(file)?;
            let value = value.strip_suffix('\n').unwrap_or(&value);
            let answer = client.put(
                &path(name, namespace.as_deref()),
                &json!({ "value": value }),
            )?;
            let human = shown::secrets(style, std::slice::from_ref(&answer));
            Ok(Said::new(answer, human))
        }
        S::Delete { name, namespace } => {
            let answer = client.delete(&path(name, namespace.as_deref()))?;
            Ok(Said::new(done(answer), format!("deleted {name}\n")))
        }
    }
}

fn config_maps(shell: &Shell, client: &Client, command: &args::ConfigMaps) -> Outcome<Said> {
    use args::ConfigMaps as C;
    let style = shell.style;
    let path = |number: u64| format!("/v1/config-maps/{number}");
    let entries = |files: &[(String, String)]| -> Outcome<Value> {
        let mut out = Map::new();
        for (key, file) in files {
            out.insert(key.clone(), json!(read_text(Path::new(file))?));
        }
        Ok(Value::Object(out))
    };
    let one = |answer: Value| {
        let human = shown::config_map(style, &answer);
        Ok(Said::new(answer, human))
    };
    match command {
        C::List { namespace } => {
            let query = query_of(namespace.as_ref());
            let items = client.list("/v1/config-maps", &query, LIST_MAX)?;
            Ok(Said::new(json!(items), shown::config_maps(style, &items)))
        }
        C::Show { number } => one(client.get(&path(*number))?),
        C::Create {
            name,
            namespace,
            file,
        } => {
            let full = format!("/v1/config-maps{}", in_namespace(namespace.as_deref()));
            let body = json!({ "name": name, "entries": entries(file)? });
            one(client.post(&full, &body)?)
        }
        C::Set { number, file } => {
            let body = json!({ "entries": entries(file)? });
            one(client.put(&path(*number), &body)?)
        }
        C::Delete { number } => {
            let answer = client.delete(&path(*number))?;
            Ok(Said::new(done(answer), format!("deleted {number}\n")))
        }
    }
}

fn scaling(shell: &Shell, client: &Client, command: &args::Scaling) -> Outcome<Said> {
    use args::Scaling as S;
    let style = shell.style;
    let rules = |app: &str| format!("{}/scaling-rules", path(app));
    let rule_path = |app: &str, rule: &str| format!("{}/{}", rules(app), encoded(rule));
    let one = |answer: Value| {
        let human = shown::scaling_rules(style, std::slice::from_ref(&answer));
        Ok(Said::new(answer, human))
    };
    match command {
        S::List { app } => {
            let items = client.list(&rules(app), &[], LIST_MAX)?;
            Ok(Said::new(json!(items), shown::scaling_rules(style, &items)))
        }
        S::Set {
            app,
            rule,
            rule_file,
        } => one(client.put(&rule_path(app, rule), &read_json(rule_file)?)?),
        S::Enable { app, rule } => {
            let body = json!({ "enabled": true });
            one(client.patch(&rule_path(app, rule), &body)?)
        }
        S::Disable { app, rule } => {
            let body = json!({ "enabled": false });
            one(client.patch(&rule_path(app, rule), &body)?)
        }
        S::Delete { app, rule } => {
            let answer = client.delete(&rule_path(app, rule))?;
            Ok(Said::new(done(answer), format!("deleted {rule}\n")))
        }
    }
}

fn settings(shell: &Shell, client: &Client, command: &args::AppSettings) -> Outcome<Said> {
    use args::AppSettings as S;
    let answer = match command {
        S::Show { account } => {
            let query = account
                .as_ref()
                .map(|a| format!("?account={}", encoded(a)))
                .unwrap_or_default();
            client.get(&format!("/v1/settings/apps{query}"))?
        }
        S::Account(s) => {
            let mut body = Map::new();
            let mut set = |name: &str, value: Option<Value>| {
                if let Some(value) = value {
                    body.insert(name.to_owned(), value);
                }
            };
            set("in_debt", s.in_debt.map(|b| json!(b)));
            set(
                "replicas_of_application",
                s.replicas_of_app.map(|n| json!(n)),
            );
            set("replicas_of_account", s.replicas.map(|n| json!(n)));
            set("approval", s.approval.as_ref().map(|a| json!(a)));
            let full = format!("/v1/settings/apps/accounts/{}", encoded(&s.account));
            json!({ "account": client.patch(&full, &Value::Object(body))? })
        }
        S::Service(s) => {
            let mut body = Map::new();
            let mut set = |name: &str, value: Option<Value>| {
                if let Some(value) = value {
                    body.insert(name.to_owned(), value);
                }
            };
            let none = s.unbounded.then_some(Value::Null);
            set("upgrading", s.upgrading.map(|b| json!(b)));
            set(
                "cpu_millis",
                s.cpu_millis.map(|n| json!(n)).or(none.clone()),
            );
            set("memory_bytes", s.memory.map(|m| json!(m.0)).or(none));
            let sizes: Vec<Value> = s
                .size
                .iter()
                .map(|(cpu, memory)| json!({ "cpu_millis": cpu, "memory_bytes": memory.0 }))
                .collect();
            set(
                "sizes",
                (s.any_size || !sizes.is_empty()).then_some(json!(sizes)),
            );
            let full = "/v1/settings/apps/service";
            json!({ "service": client.patch(full, &Value::Object(body))? })
        }
    };
    let human = shown::settings(shell.style, &answer);
    Ok(Said::new(answer, human))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_typed_again() {
        let how = args::HowChanged {
            gray: std::num::NonZeroU32::new(2),
            batches: std::num::NonZeroU32::new(3),
            min_ready: Some(args::Share::Percent(50)),
            manual: true,
            description: Some("it loses orders".into()),
            ..args::HowChanged::default()
        };
        assert_eq!(
            how_of(&how),
            json!({"gray": 2, "batches": 3, "min_ready_percent": 50, "manual": true, "description": "it loses orders"})
        );
        assert_eq!(
            how_typed(&how),
            " --batches 3 --gray 2 --min-ready 50% --description 'it loses orders' --manual"
        );
        assert_eq!(how_of(&args::HowChanged::default()), json!({}));
    }

    #[test]
    fn names_with_their_namespaces() {
        assert_eq!(namespace_and_name("shop"), (None, "shop"));
        assert_eq!(namespace_and_name("test/shop"), (Some("test"), "shop"));
        assert!(looks_like_id("017f39b8-dfa4-4e16-a84b-1dcee4b10000"));
        assert!(!looks_like_id("shop"));
    }

    #[test]
    fn lines_of_several_logs_stay_whole() {
        let shell = Shell::new(None, false);
        let mut tails = Tails::new(true);
        let piece = |replica: &str, text: &str| json!({ "replica": replica, "text": text });
        assert_eq!(tails.piece(&shell, &piece("a", "one\ntw")), "a | one\n");
        assert_eq!(tails.piece(&shell, &piece("b", "x\n")), "b | x\n");
        assert_eq!(tails.piece(&shell, &piece("a", "o\r\n")), "a | two\n");
        assert_eq!(tails.piece(&shell, &piece("a", "rest")), "");
        assert_eq!(tails.rest(&shell), "a | rest\n");
    }
}
