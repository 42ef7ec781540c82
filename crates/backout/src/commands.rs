//! The commands that call a server.

mod apps;
mod databases;
mod engines;
mod machines;

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use backout_core::code::Code;
use serde_json::{Value, json};

use crate::args::{self, Command};
use crate::client::{Client, Environment, Target, encoded};
use crate::doctor;
use crate::failure::{Exit, Failure, Outcome};
use crate::render::{self, Bar, Style, member, text};

/// How many items of a list are shown at most: more than a screen ever holds.
const LIST_MAX: usize = 10_000;
/// How wide a terminal is that does not say.
const COLUMNS: usize = 80;
/// How often a broken event stream is taken up again without news.
const STREAM_TRIES: u32 = 8;

/// What a command has to say on stdout: one JSON value, or text for people.
pub(crate) struct Said {
    pub value: Value,
    pub human: String,
}

impl Said {
    fn new(value: Value, human: String) -> Self {
        Self { value, human }
    }
}

/// Where a command runs.
pub(crate) struct Shell {
    pub data: Option<PathBuf>,
    pub json: bool,
    pub environment: Environment,
    /// For stdout.
    pub style: Style,
    /// For stderr.
    pub err_style: Style,
}

impl Shell {
    pub(crate) fn new(data: Option<PathBuf>, json: bool) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
            || std::env::var_os("TERM").is_some_and(|v| v == "dumb");
        Self {
            data,
            json,
            environment: Environment::read(),
            style: Style {
                colour: !plain && std::io::stdout().is_terminal(),
            },
            err_style: Style {
                colour: !plain && std::io::stderr().is_terminal(),
            },
        }
    }

    fn client(&self) -> Outcome<Client> {
        let target = Target::find(self.data.as_deref(), &self.environment)?;
        Client::new(target, self.environment.ca_file.as_deref())
    }

    /// Tells a person something that is not data.
    pub(crate) fn note(&self, line: &str) {
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

/// Runs any command but `serve`.
pub(crate) fn run(shell: &Shell, command: &Command) -> Outcome<Said> {
    let style = shell.style;
    match command {
        Command::Serve(_)
        | Command::Completions { .. }
        | Command::Shim { .. }
        | Command::Gateway { .. }
        | Command::Container { .. } => Err(Failure::usage("run this here")),
        Command::Version => version(shell),
        Command::Doctor(args::Doctor { path }) => doctor_of(shell, path.as_deref()),
        Command::Resources => {
            let items = shell.client()?.list("/v1/resources", &[], LIST_MAX)?;
            Ok(Said::new(json!(items), render::resources(style, &items)))
        }
        Command::Servers(c) => machines::servers(shell, c),
        Command::Databases(c) => databases::databases(shell, c),
        Command::Apps(c) => apps::apps(shell, c),
        Command::Engines(c) => engines::engines(shell, c),
        Command::Approve(a) => apps::approve(shell, a),
        Command::Disks(c) => machines::disks(shell, c),
        Command::Images(c) => machines::images(shell, c),
        Command::Snapshots(c) => machines::snapshots(shell, c),
        Command::Check(target) => {
            let answer = shell.client()?.post(
                "/v1/check",
                &json!({"resource": target.resource, "to": target.to}),
            )?;
            let human = render::check(style, &answer);
            judge_proposal(answer, human)
        }
        Command::Plan(target) => {
            let answer = propose(&shell.client()?, target)?;
            let human = render::plan(style, &answer);
            judge_proposal(answer, human)
        }
        Command::Rollback(r) => rollback(shell, r),
        Command::Undo(u) => undo(shell, u),
        Command::Jobs(c) => jobs(shell, c),
        Command::Accounts(c) => accounts(shell, c),
        Command::Faults(c) => faults(shell, c),
        Command::Requests(args::Requests::Show { request }) => {
            let answer = shell
                .client()?
                .get(&format!("/v1/requests/{}", encoded(request)))?;
            let human = render::anything(style, &answer);
            Ok(Said::new(answer, human))
        }
    }
}

fn version(shell: &Shell) -> Outcome<Said> {
    let mut value = json!({ "version": env!("CARGO_PKG_VERSION") });
    let mut human = format!("backout {}\n", env!("CARGO_PKG_VERSION"));
    let known =
        shell.data.is_some() || shell.environment.url.is_some() || shell.environment.data.is_some();
    if known && let Ok(server) = shell.client().and_then(|c| c.get("/v1/version")) {
        human.push_str(&format!("server  {}\n", text(&server, "version")));
        value["server"] = server;
    }
    Ok(Said::new(value, human))
}

fn doctor_of(shell: &Shell, path: Option<&Path>) -> Outcome<Said> {
    let style = shell.style;
    let known =
        shell.data.is_some() || shell.environment.url.is_some() || shell.environment.data.is_some();
    if path.is_none() && known {
        match shell.client().and_then(|c| c.get("/v1/doctor")) {
            Ok(answer) => {
                let human = render::doctor(style, &answer);
                return Ok(Said::new(answer, human));
            }
            Err(e) if e.exit == Exit::Unreachable => {
                shell.note("no server answers; this is what this host can do by itself");
            }
            Err(e) => return Err(e),
        }
    }
    let folder = path
        .map(Path::to_owned)
        .or_else(|| shell.data.clone().filter(|d| d.is_dir()))
        .unwrap_or_else(|| PathBuf::from("."));
    let report = doctor::look(&folder)?;
    let human = render::doctor(style, &report);
    Ok(Said::new(report, human))
}

fn rollback(shell: &Shell, r: &args::Rollback) -> Outcome<Said> {
    let client = shell.client()?;
    let target = &r.target;
    if r.dry_run {
        let answer = propose(&client, target)?;
        let human = render::plan(shell.style, &answer);
        return judge_proposal(answer, human);
    }
    if !r.yes {
        let answer = propose(&client, target)?;
        let human = render::plan(shell.err_style, &answer);
        let answer = judge_proposal(answer, human)?;
        let again = format!(
            "backout rollback {} --to {} --yes",
            word(&target.resource),
            word(&target.to)
        );
        confirm(shell, &answer.human, "take it back?", &again)?;
    }
    let body = json!({ "resource": target.resource, "to": target.to });
    let answer = client.start("/v1/rollback", &body, r.idempotency_key.as_deref())?;
    let Some(job) = waited(shell, &client, &answer, r.wait)? else {
        return Ok(no_wait(answer));
    };
    Ok(ended(shell, &job, "undo it with: backout undo"))
}

fn undo(shell: &Shell, u: &args::Undo) -> Outcome<Said> {
    let client = shell.client()?;
    if !u.yes {
        let job = client.get(&job_path(&u.job))?;
        let again = format!("backout undo {} --yes", word(&u.job));
        let what = format!("job {}: {}\n", text(&job, "id"), text(&job, "title"));
        confirm(shell, &what, "take what it did back?", &again)?;
    }
    let answer = client.start(&format!("{}/undo", job_path(&u.job)), &json!({}), None)?;
    let Some(job) = waited(shell, &client, &answer, u.wait)? else {
        return Ok(no_wait(answer));
    };
    let mut said = ended(shell, &job, "and that can be undone with: backout undo");
    if text(&job, "procedure") == "databases.withdraw" {
        // What it removed is made anew by another rollback.
        said.human = said
            .human
            .lines()
            .take(1)
            .map(|l| format!("{l}\n"))
            .collect();
    }
    Ok(said)
}

fn jobs(shell: &Shell, command: &args::Jobs) -> Outcome<Said> {
    let style = shell.style;
    let client = shell.client()?;
    match command {
        args::Jobs::List {
            state,
            resource,
            limit,
        } => {
            let mut query = Vec::new();
            if let Some(state) = state {
                query.push(("state", state.as_str()));
            }
            if let Some(resource) = resource {
                query.push(("resource", resource.as_str()));
            }
            let limit = usize::try_from(*limit).unwrap_or(LIST_MAX);
            let items = client.list("/v1/jobs", &query, limit)?;
            Ok(Said::new(json!(items), render::jobs(style, &items)))
        }
        args::Jobs::Show { job } => {
            let answer = client.get(&job_path(job))?;
            let human = render::job(style, &answer);
            Ok(Said::new(answer, human))
        }
        args::Jobs::Watch { job } => {
            let job = follow(shell, &client, job)?;
            judged(&job)?;
            let human = render::job(style, &job);
            Ok(Said::new(job, human))
        }
        args::Jobs::Cancel { job, wait } => {
            let answer = client.post(&format!("{}/cancel", job_path(job)), &json!({}))?;
            if wait.no_wait {
                return Ok(no_wait(answer));
            }
            let job = follow(shell, &client, job)?;
            match outcome(&job) {
                // What was asked for.
                "reverted" => {
                    let human = format!("{} reverted: everything is as before\n", text(&job, "id"));
                    Ok(Said::new(job, human))
                }
                "applied" => Err(Failure::coded(
                    Exit::Failed,
                    Code::JobState,
                    format!(
                        "cancel job {id}: it was done already; take it back with: backout undo {id}",
                        id = text(&job, "id")
                    ),
                )
                .with("job", job)),
                _ => judged(&job).map(|()| Said::new(job, String::new())),
            }
        }
        args::Jobs::Retry { job, wait } => {
            let answer = client.post(&format!("{}/retry", job_path(job)), &json!({}))?;
            if wait.no_wait {
                return Ok(no_wait(answer));
            }
            let job = follow(shell, &client, job)?;
            judged(&job)?;
            Ok(ended(shell, &job, "undo it with: backout undo"))
        }
    }
}

fn accounts(shell: &Shell, command: &args::Accounts) -> Outcome<Said> {
    let style = shell.style;
    let client = shell.client()?;
    let path = |account: &str| format!("/v1/accounts/{}", encoded(account));
    match command {
        args::Accounts::List => {
            let items = client.list("/v1/accounts", &[], LIST_MAX)?;
            Ok(Said::new(json!(items), render::accounts(style, &items)))
        }
        args::Accounts::Create { name, policy } => {
            // The policy goes as it was written: a member that comes twice must
            // not be lost before the policy is judged.
            let policy = match policy {
                Some(file) => format!(",\"policy\":{}", read_policy(file)?),
                None => String::new(),
            };
            let body = format!("{{\"name\":{}{policy}}}", json!(name));
            let answer = client.raw("POST", "/v1/accounts", body)?;
            let human = render::key_pair(style, &answer);
            shell.note("the SecretKey is shown this once: keep it now");
            Ok(Said::new(with_pair(answer), human))
        }
        args::Accounts::Show { account } => {
            let answer = client.get(&path(account))?;
            let human = render::account(style, &answer);
            Ok(Said::new(answer, human))
        }
        args::Accounts::Disable { account } | args::Accounts::Enable { account } => {
            let status = match command {
                args::Accounts::Enable { .. } => "active",
                _ => "disabled",
            };
            let answer = client.patch(&path(account), &json!({ "status": status }))?;
            let human = render::account(style, &answer);
            Ok(Said::new(answer, human))
        }
        args::Accounts::Delete { account } => {
            let answer = client.delete(&path(account))?;
            Ok(Said::new(done(answer), format!("deleted {account}\n")))
        }
        args::Accounts::Policy { account, policy } => {
            let answer = client.raw(
                "PUT",
                &format!("{}/policy", path(account)),
                read_policy(policy)?,
            )?;
            let human = render::account(style, &answer);
            Ok(Said::new(answer, human))
        }
        args::Accounts::Keys(keys) => match keys {
            args::Keys::Add { account } => {
                let answer = client.post(&format!("{}/keys", path(account)), &json!({}))?;
                let human = render::key_pair(style, &answer);
                shell.note("the SecretKey is shown this once: keep it now");
                Ok(Said::new(with_pair(answer), human))
            }
            args::Keys::Disable { account, key } => {
                let body = json!({ "status": "disabled" });
                let answer =
                    client.patch(&format!("{}/keys/{}", path(account), encoded(key)), &body)?;
                Ok(Said::new(done(answer), format!("disabled {key}\n")))
            }
            args::Keys::Enable { account, key } => {
                let body = json!({ "status": "active" });
                let answer =
                    client.patch(&format!("{}/keys/{}", path(account), encoded(key)), &body)?;
                Ok(Said::new(done(answer), format!("enabled {key}\n")))
            }
            args::Keys::Delete { account, key } => {
                let answer = client.delete(&format!("{}/keys/{}", path(account), encoded(key)))?;
                Ok(Said::new(done(answer), format!("deleted {key}\n")))
            }
            args::Keys::Token { account, seconds } => {
                let answer = client.post(
                    &format!("{}/tokens", path(account)),
                    &json!({ "seconds": seconds }),
                )?;
                let human = render::key_pair(style, &answer);
                shell.note("the SecretKey and the token are shown this once: keep them now");
                Ok(Said::new(with_pair(answer), human))
            }
        },
    }
}

fn faults(shell: &Shell, command: &args::Faults) -> Outcome<Said> {
    let style = shell.style;
    let client = shell.client()?;
    match command {
        args::Faults::Add(add) => {
            let mut body = json!({});
            for (name, value) in [
                ("action", &add.action),
                ("code", &add.code),
                ("step", &add.step),
                ("message", &add.message),
                ("resource", &add.resource),
            ] {
                if let Some(value) = value {
                    body[name] = json!(value);
                }
            }
            if add.undo {
                body["undo"] = json!(true);
            }
            if let Some(moment) = add.moment {
                body["moment"] = json!(moment.as_str());
            }
            if let Some(count) = add.count {
                body["count"] = json!(count);
            }
            if let Some(seconds) = add.lasts_s {
                body["seconds"] = json!(seconds);
            }
            let answer = client.post("/v1/faults", &body)?;
            let human = format!("{}\n", text(&answer, "id"));
            Ok(Said::new(answer, human))
        }
        args::Faults::List => {
            let items = client.list("/v1/faults", &[], LIST_MAX)?;
            Ok(Said::new(json!(items), render::faults(style, &items)))
        }
        args::Faults::Remove { fault } => {
            let answer = client.delete(&format!("/v1/faults/{}", encoded(fault)))?;
            Ok(Said::new(done(answer), format!("removed {fault}\n")))
        }
        args::Faults::Clear => {
            let answer = client.delete("/v1/faults")?;
            let human = format!("removed {}\n", text(&answer, "removed"));
            Ok(Said::new(answer, human))
        }
    }
}

/// A fresh pair under the names that `admin.json` and the vendors' tools have,
/// beside the API's own.
fn with_pair(mut answer: Value) -> Value {
    let pair = if answer["key"].is_object() {
        answer["key"].clone()
    } else {
        answer.clone()
    };
    for (ours, theirs) in [
        ("secret_id", "SecretId"),
        ("secret_key", "SecretKey"),
        ("token", "Token"),
    ] {
        if pair[ours].is_string() {
            answer[theirs] = pair[ours].clone();
        }
    }
    answer
}

/// An answer without a body, as a JSON value all the same.
fn done(answer: Value) -> Value {
    if answer.is_null() {
        json!({ "done": true })
    } else {
        answer
    }
}

fn server_path(server: &str) -> String {
    format!("/v1/servers/{}", encoded(server))
}

fn job_path(job: &str) -> String {
    format!("/v1/jobs/{}", encoded(job))
}

fn propose(client: &Client, target: &args::Target) -> Outcome<Value> {
    client.post(
        "/v1/plan",
        &json!({ "resource": target.resource, "to": target.to }),
    )
}

/// Fails when a preflight found a blocker, with the first one's code.
fn passed(answer: &Value) -> Outcome<()> {
    if member(answer, "passed") == &Value::Bool(true) {
        return Ok(());
    }
    let blockers = member(answer, "preflight.blockers");
    let first = blockers.get(0).unwrap_or(&Value::Null);
    let code = text(first, "code");
    let mut failure = Failure::new(Exit::Refused, text(first, "message"));
    failure.code = Some(code).filter(|c| !c.is_empty());
    Err(failure)
}

/// What was proposed, as a success or as a failure that shows the same.
fn judge_proposal(answer: Value, human: String) -> Outcome<Said> {
    match passed(&answer) {
        Ok(()) => Ok(Said::new(answer, human)),
        Err(mut failure) => {
            for name in ["preflight", "plan"] {
                if let Some(part) = answer.get(name) {
                    failure = failure.with(name, part.clone());
                }
            }
            failure.shown = human;
            Err(failure)
        }
    }
}

/// The id of the job that an answer speaks of.
fn job_of(answer: &Value) -> Outcome<String> {
    let job = member(answer, "job");
    job.as_str()
        .or_else(|| member(job, "id").as_str())
        .map(str::to_owned)
        .ok_or_else(|| {
            Failure::new(
                Exit::Failed,
                "read the server's answer: it names no job; is it another version?",
            )
        })
}

fn no_wait(answer: Value) -> Said {
    let human = job_of(&answer)
        .map(|id| format!("{id}\n"))
        .unwrap_or_default();
    Said::new(answer, human)
}

/// Waits for the job that an answer names, unless that is not wanted. Fails
/// unless it ends as applied.
fn waited(
    shell: &Shell,
    client: &Client,
    answer: &Value,
    wait: args::Wait,
) -> Outcome<Option<Value>> {
    if wait.no_wait {
        return Ok(None);
    }
    let job = follow(shell, client, &job_of(answer)?)?;
    judged(&job)?;
    Ok(Some(job))
}

fn outcome(job: &Value) -> &str {
    member(job, "outcome").as_str().unwrap_or_default()
}

/// Turns an end other than Applied into a failure.
fn judged(job: &Value) -> Outcome<()> {
    let id = text(job, "id");
    let because = |name: &str| {
        let error = member(job, name);
        (text(error, "code"), text(error, "message"))
    };
    let (exit, name, message) = match outcome(job) {
        "applied" => return Ok(()),
        "reverted" => (Exit::Reverted, "error", "reverted, everything is as before"),
        "held" => (Exit::Held, "held", "held, nothing moves"),
        _ => {
            return Err(Failure::new(
                Exit::Failed,
                format!("see job {id} end: the server stopped telling; go on with: backout jobs watch {id}"),
            )
            .with("job", job.clone()));
        }
    };
    let (mut code, mut why) = because(name);
    if why.is_empty() {
        (code, why) = because("error");
    }
    let next = text(job, "next_command");
    let mut message = format!("finish job {id}: {message}");
    if !why.is_empty() {
        message.push_str(&format!(": failed to {why}"));
    }
    if next.is_empty() {
        message.push_str(&format!("; see more with: backout jobs show {id}"));
    } else {
        message.push_str(&format!("; next: {next}"));
    }
    let mut failure = Failure::new(exit, message);
    failure.code = Some(code).filter(|c| !c.is_empty());
    failure.request_id = member(job, "request_id").as_str().map(Into::into);
    Err(failure.with("job", job.clone()))
}

/// What is said of a job that ended as applied.
fn ended(shell: &Shell, job: &Value, then: &str) -> Said {
    let id = text(job, "id");
    let human = format!(
        "{} {id}: {}\n{then} {id}\n",
        shell.style.good("applied"),
        text(job, "title")
    );
    Said::new(json!({ "job": job }), human)
}

/// Follows a job to its end, and tells of it on stderr: a bar on a terminal,
/// lines otherwise, nothing with `--json`.
fn follow(shell: &Shell, client: &Client, id: &str) -> Outcome<Value> {
    let mut progress = Progress::new(shell);
    let mut after: Option<String> = None;
    let mut tries = 0;
    loop {
        let job = client.get(&job_path(id))?;
        progress.job(&job);
        if member(&job, "state").as_str() == Some("done") {
            progress.end();
            return Ok(job);
        }
        let before = after.clone();
        let followed = client.events(id, after.clone().as_deref(), |event| {
            if event.id.is_some() {
                after.clone_from(&event.id);
            }
            progress.event(&event.data)
        });
        match followed {
            Ok(()) => {}
            // A server that restarts comes back, and the job goes on.
            Err(e) if e.exit == Exit::Unreachable && tries < STREAM_TRIES => {}
            Err(e) => {
                progress.end();
                return Err(e);
            }
        }
        if after == before {
            tries += 1;
            if tries > STREAM_TRIES {
                progress.end();
                return Ok(job);
            }
            std::thread::sleep(Duration::from_millis(100) * tries);
        } else {
            tries = 0;
        }
    }
}

/// What is shown of a job while it runs.
struct Progress<'a> {
    shell: &'a Shell,
    bar: bool,
    began: Instant,
    /// Name and description of each step.
    steps: Vec<(String, String)>,
    done: usize,
    percent: u8,
    words: String,
    drawn: bool,
}

impl<'a> Progress<'a> {
    fn new(shell: &'a Shell) -> Self {
        Self {
            bar: !shell.json && std::io::stderr().is_terminal(),
            shell,
            began: Instant::now(),
            steps: Vec::new(),
            done: 0,
            percent: 0,
            words: String::new(),
            drawn: false,
        }
    }

    fn job(&mut self, job: &Value) {
        let steps = member(job, "steps")
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        self.steps = steps
            .iter()
            .map(|s| (text(s, "name"), text(s, "does")))
            .collect();
        self.percent = percent(member(job, "percent"));
        self.draw();
    }

    /// Whether to go on listening.
    fn event(&mut self, event: &Value) -> bool {
        let kind = text(event, "kind");
        let step = text(event, "step");
        let words = text(event, "words");
        let undo = member(event, "undo") == &Value::Bool(true);
        match kind.as_str() {
            "step_finished" if undo => self.done = self.done.saturating_sub(1),
            "step_finished" => self.done += 1,
            _ => {}
        }
        if !self.steps.is_empty() {
            let within = if kind == "progress" {
                usize::from(percent(member(event, "percent")))
            } else {
                0
            };
            let overall = (self.done * 100 + within) / self.steps.len();
            self.percent = u8::try_from(overall.min(100)).unwrap_or(100);
        }
        let does = self
            .steps
            .iter()
            .find(|(name, _)| *name == step)
            .map_or(step.as_str(), |(_, does)| does.as_str());
        let line = match kind.as_str() {
            "queued" | "started" | "step_finished" => String::new(),
            "progress" => words.clone(),
            "step_started" if undo => format!("taking back: {does}"),
            "step_started" => does.to_owned(),
            _ if words.is_empty() || words == kind => kind.replace('_', " "),
            _ => format!("{}: {words}", kind.replace('_', " ")),
        };
        if !line.is_empty() && !self.bar && !self.shell.json && kind != "progress" {
            self.shell.note(&line);
        }
        if !line.is_empty() {
            self.words = line;
        }
        self.draw();
        !matches!(kind.as_str(), "applied" | "reverted" | "held")
    }

    fn draw(&mut self) {
        if !self.bar {
            return;
        }
        let columns = rustix::termios::tcgetwinsize(std::io::stderr())
            .map(|size| usize::from(size.ws_col))
            .ok()
            .filter(|columns| *columns > 0)
            .unwrap_or(COLUMNS);
        let line = render::bar(
            self.shell.err_style,
            &Bar {
                percent: self.percent,
                elapsed_s: self.began.elapsed().as_secs_f64(),
                words: &self.words,
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

fn percent(value: &Value) -> u8 {
    value
        .as_u64()
        .and_then(|p| u8::try_from(p.min(100)).ok())
        .unwrap_or(0)
}

/// Asks a person; refuses where none can answer.
fn confirm(shell: &Shell, what: &str, question: &str, again: &str) -> Outcome<()> {
    let refuse = |why: &str| {
        Err(Failure::usage(format!(
            "{why}; to do it without being asked, type: {again}"
        )))
    };
    if shell.json || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return refuse("ask for your word: there is no terminal to ask on");
    }
    let mut err = std::io::stderr();
    let _ = write!(err, "{what}{question} [y/N] ");
    let _ = err.flush();
    let mut line = String::new();
    if std::io::stdin().read_line(&mut line).is_err() {
        return refuse("read your word");
    }
    match line.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::new(
            Exit::Failed,
            "go on without your yes: nothing was changed",
        )),
    }
}

/// A word as a shell reads it.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A command as a shell reads it.
pub(crate) fn words(argv: &[&str]) -> String {
    let all: Vec<String> = argv.iter().map(|a| word(a)).collect();
    all.join(" ")
}

/// A path that means the same to the server.
fn absolute(path: &Path) -> Outcome<String> {
    let absolute = std::path::absolute(path)
        .map_err(|e| Failure::usage(format!("find {}: {e}; give its path", path.display())))?;
    absolute
        .into_os_string()
        .into_string()
        .map_err(|_| Failure::usage("use a path that is not UTF-8: rename it"))
}

fn read_policy(file: &Path) -> Outcome<String> {
    let text = if file == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(file)
    };
    let wrong = |e: &dyn std::fmt::Display| {
        Failure::usage(format!(
            "read the policy {}: {e}; give a JSON document",
            file.display()
        ))
    };
    let text = text.map_err(|e| wrong(&e))?;
    match serde_json::from_str::<Value>(&text) {
        Ok(_) => Ok(text),
        Err(e) => Err(wrong(&e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        for (text, want) in [
            ("web", "web"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
        ] {
            assert_eq!(word(text), want);
        }
    }

    #[test]
    fn a_job_s_end_is_an_exit_code() {
        let job = |outcome: &str| json!({"id": "job_a", "outcome": outcome, "error": {"code": "BO0025", "message": "do it"}});
        assert!(judged(&job("applied")).is_ok());
        let reverted = judged(&job("reverted")).unwrap_err();
        assert_eq!(
            (reverted.exit, reverted.code.as_deref()),
            (Exit::Reverted, Some("BO0025"))
        );
        assert_eq!(judged(&job("held")).unwrap_err().exit, Exit::Held);
        assert_eq!(
            judged(&json!({"id": "job_a"})).unwrap_err().exit,
            Exit::Failed
        );
    }

    #[test]
    fn a_blocked_preflight_is_refused_with_its_first_code() {
        let answer = json!({"passed": false, "preflight": {"blockers": [{"code": "BO0008", "message": "m"}]}});
        let failure = judge_proposal(answer, "shown".into()).err().unwrap();
        assert_eq!(
            (failure.exit, failure.code.as_deref()),
            (Exit::Refused, Some("BO0008"))
        );
        assert!(failure.json().get("preflight").is_some());
        assert!(passed(&json!({"passed": true})).is_ok());
    }
}
