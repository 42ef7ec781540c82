//! The native API, as the command line calls it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use backout_core::ids::{OsEntropy, random_base36};
use backout_core::time::{Clock as _, SystemClock};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::failure::{Exit, Failure, Outcome};

/// What a path segment or a query value may hold as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// The longest answer that is read: a page of a hundred jobs with their plans
/// is some hundred kilobytes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// The longest line of an event stream.
const EVENT_LINE_BYTES_MAX: u64 = 1 << 20;
/// How long the answer to an ordinary call is waited for.
const ANSWER_WAIT: Duration = Duration::from_secs(60);
/// How often a call that came too fast is made again; with the growing wait
/// that is about five seconds.
const THROTTLED_TRIES: u32 = 8;
/// How long it waits at first. The server's window is one second.
const THROTTLED_WAIT: Duration = Duration::from_millis(150);
/// How long a connection may take.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// Text as one segment of a path, or one value of a query.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// Where the server is, and who calls.
#[derive(Clone)]
pub(crate) struct Target {
    pub url: String,
    pub secret_id: String,
    secret_key: String,
    token: Option<String>,
}

/// What of the environment says where the server is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    pub url: Option<String>,
    pub secret_id: Option<String>,
    pub secret_key: Option<String>,
    pub token: Option<String>,
    pub data: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
}

impl Environment {
    pub(crate) fn read() -> Self {
        let text = |name| std::env::var(name).ok().filter(|v| !v.is_empty());
        Self {
            url: text("BACKOUT_URL"),
            secret_id: text("BACKOUT_SECRET_ID"),
            secret_key: text("BACKOUT_SECRET_KEY"),
            token: text("BACKOUT_TOKEN"),
            data: text("BACKOUT_DATA").map(PathBuf::from),
            ca_file: text("BACKOUT_CA_FILE").map(PathBuf::from),
        }
    }
}

impl Target {
    /// `--data` wins, then the three variables together, then `BACKOUT_DATA`.
    pub(crate) fn find(data: Option<&Path>, environment: &Environment) -> Outcome<Self> {
        if let Some(folder) = data {
            return Self::from_folder(folder);
        }
        let e = environment;
        match (&e.url, &e.secret_id, &e.secret_key) {
            (Some(url), Some(id), Some(key)) => Ok(Self {
                url: url.trim_end_matches('/').to_owned(),
                secret_id: id.clone(),
                secret_key: key.clone(),
                token: e.token.clone(),
            }),
            (None, None, None) => match &e.data {
                Some(folder) => Self::from_folder(folder),
                None => Err(Failure::usage(
                    "find the server: give --data DIR, the folder that `backout serve` was given, or set BACKOUT_DATA, or BACKOUT_URL with BACKOUT_SECRET_ID and BACKOUT_SECRET_KEY",
                )),
            },
            _ => Err(Failure::usage(
                "find the server: set all three of BACKOUT_URL, BACKOUT_SECRET_ID and BACKOUT_SECRET_KEY, or none of them and BACKOUT_DATA",
            )),
        }
    }

    fn from_folder(folder: &Path) -> Outcome<Self> {
        let path = folder.join("admin.json");
        let text = std::fs::read_to_string(&path).map_err(|e| {
            Failure::new(
                Exit::Unreachable,
                format!(
                    "read {}: {e}; start the server with: backout serve --data {}",
                    path.display(),
                    folder.display()
                ),
            )
        })?;
        let file: AdminFile = serde_json::from_str(&text).map_err(|e| {
            Failure::new(
                Exit::Failed,
                format!(
                    "read {}: {e}; a start of the server with --new-admin-key writes it anew",
                    path.display()
                ),
            )
        })?;
        Ok(Self {
            url: file.url.trim_end_matches('/').to_owned(),
            secret_id: file.secret_id,
            secret_key: file.secret_key,
            token: None,
        })
    }
}

/// What `DIR/admin.json` holds.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AdminFile {
    pub secret_id: String,
    pub secret_key: String,
    pub url: String,
}

/// A signed connection to the server.
pub(crate) struct Client {
    agent: ureq::Agent,
    target: Target,
    authority: String,
}

/// One event of a job.
#[derive(Debug)]
pub(crate) struct Event {
    pub id: Option<String>,
    pub data: Value,
}

impl Client {
    pub(crate) fn new(target: Target, ca_file: Option<&Path>) -> Outcome<Self> {
        let authority = target
            .url
            .parse::<http::Uri>()
            .ok()
            .filter(|u| matches!(u.scheme_str(), Some("http" | "https")) && u.path() == "/")
            .and_then(|u| u.authority().cloned())
            .filter(|a| !a.as_str().contains('@'))
            .ok_or_else(|| {
                Failure::usage(format!(
                    "use the address {:?}: give one like http://127.0.0.1:7780, without a path",
                    target.url
                ))
            })?;
        let mut tls = ureq::tls::TlsConfig::builder();
        if let Some(path) = ca_file {
            let wrong = |e: String| {
                Failure::usage(format!(
                    "read BACKOUT_CA_FILE {}: {e}; give a PEM file",
                    path.display()
                ))
            };
            let pem = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
            let mut certificates = Vec::new();
            for item in ureq::tls::parse_pem(&pem) {
                let item = item.map_err(|e| wrong(e.to_string()))?;
                if let ureq::tls::PemItem::Certificate(c) = item {
                    certificates.push(c);
                }
            }
            if certificates.is_empty() {
                return Err(wrong("it holds no certificate".to_owned()));
            }
            tls = tls.root_certs(ureq::tls::RootCerts::Specific(Arc::new(certificates)));
        }
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            // A server of one's own is not behind a proxy, and the key pair's
            // signature is not a proxy's business.
            .proxy(None)
            .timeout_connect(Some(CONNECT_WAIT))
            .timeout_recv_response(Some(ANSWER_WAIT))
            .user_agent(concat!("backout/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls.build())
            .build()
            .into();
        Ok(Self {
            agent,
            authority: authority.to_string(),
            target,
        })
    }

    pub(crate) fn get(&self, path: &str) -> Outcome<Value> {
        self.call("GET", path, None, &[])
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Outcome<Value> {
        self.call("POST", path, Some(body.to_string()), &[])
    }

    /// A `POST` that starts a job: the key makes the one repetition after a
    /// lost answer safe.
    pub(crate) fn start(&self, path: &str, body: &Value, key: Option<&str>) -> Outcome<Value> {
        let key = key.map_or_else(|| random_base36(&OsEntropy, 24), str::to_owned);
        let headers = [("Idempotency-Key", key.as_str())];
        match self.call("POST", path, Some(body.to_string()), &headers) {
            Err(e) if e.exit == Exit::Unreachable && e.code.is_none() => {
                self.call("POST", path, Some(body.to_string()), &headers)
            }
            other => other,
        }
    }

    /// A body that must arrive as it was written.
    pub(crate) fn raw(&self, method: &str, path: &str, body: String) -> Outcome<Value> {
        self.call(method, path, Some(body), &[])
    }

    pub(crate) fn patch(&self, path: &str, body: &Value) -> Outcome<Value> {
        self.call("PATCH", path, Some(body.to_string()), &[])
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Outcome<Value> {
        self.call("PUT", path, Some(body.to_string()), &[])
    }

    pub(crate) fn delete(&self, path: &str) -> Outcome<Value> {
        self.call("DELETE", path, None, &[])
    }

    /// Every item of a list, up to `limit`, page by page.
    pub(crate) fn list(
        &self,
        path: &str,
        query: &[(&str, &str)],
        limit: usize,
    ) -> Outcome<Vec<Value>> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        while items.len() < limit {
            let page = (limit - items.len()).min(100);
            let mut full = format!("{path}?limit={page}");
            for (name, value) in query {
                full.push_str(&format!("&{name}={}", encoded(value)));
            }
            if let Some(cursor) = &cursor {
                full.push_str(&format!("&cursor={}", encoded(cursor)));
            }
            let mut answer = self.get(&full)?;
            let got = match answer.get_mut("items").map(Value::take) {
                Some(Value::Array(got)) => got,
                _ => {
                    return Err(Failure::new(
                        Exit::Failed,
                        format!("read the list {path}: the answer has no items"),
                    ));
                }
            };
            items.extend(got);
            cursor = answer
                .get("next")
                .and_then(Value::as_str)
                .map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        Ok(items)
    }

    fn call(
        &self,
        method: &str,
        path_and_query: &str,
        body: Option<String>,
        headers: &[(&str, &str)],
    ) -> Outcome<Value> {
        read_answer(self.send_in_turn(method, path_and_query, body, headers)?)
    }

    /// Sends a call, and again while it comes too fast: it was refused before
    /// anything was done, and a moment later there is room.
    fn send_in_turn(
        &self,
        method: &str,
        path_and_query: &str,
        body: Option<String>,
        headers: &[(&str, &str)],
    ) -> Outcome<http::Response<ureq::Body>> {
        let mut throttled = 0;
        loop {
            let answer = self.send(method, path_and_query, body.clone(), headers)?;
            if answer.status() != 429 || throttled == THROTTLED_TRIES {
                return Ok(answer);
            }
            throttled += 1;
            std::thread::sleep(THROTTLED_WAIT * throttled);
        }
    }

    fn send(
        &self,
        method: &str,
        path_and_query: &str,
        body: Option<String>,
        headers: &[(&str, &str)],
    ) -> Outcome<http::Response<ureq::Body>> {
        let with_body = body.is_some();
        let bytes = body.unwrap_or_default().into_bytes();
        let (path, query) = path_and_query
            .split_once('?')
            .unwrap_or((path_and_query, ""));
        let signed = backout_wire::sign::tc3(
            &self.target.secret_id,
            &self.target.secret_key,
            self.target.token.as_deref(),
            method,
            path,
            query,
            &self.authority,
            "application/json",
            &bytes,
            "backout",
            SystemClock.now(),
        );
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("{}{path_and_query}", self.target.url));
        for (name, value) in &signed {
            request = request.header(name, value);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let malformed = |e: http::Error| {
            Failure::usage(format!(
                "make the call {method} {path}: {e}; check what was given"
            ))
        };
        let sent = if with_body {
            self.agent.run(request.body(bytes).map_err(malformed)?)
        } else {
            self.agent.run(request.body(()).map_err(malformed)?)
        };
        sent.map_err(|e| {
            Failure::new(
                Exit::Unreachable,
                format!(
                    "reach the server at {}: {e}; start it with `backout serve`, or check the address",
                    self.target.url
                ),
            )
        })
    }

    /// Follows the events of a job. `each` says whether to go on. Returns when
    /// the stream ends, whether or not the job did.
    pub(crate) fn events(
        &self,
        job: &str,
        after: Option<&str>,
        each: impl FnMut(Event) -> bool,
    ) -> Outcome<()> {
        let path = format!("/v1/jobs/{}/events", encoded(job));
        let then = format!("go on with: backout jobs watch {job}");
        self.follow(&path, after, &then, each)
    }

    /// Follows any other stream of events, from its beginning.
    pub(crate) fn stream(&self, path: &str, each: impl FnMut(Event) -> bool) -> Outcome<()> {
        self.follow(path, None, "type the same again", each)
    }

    fn follow(
        &self,
        path: &str,
        after: Option<&str>,
        then: &str,
        mut each: impl FnMut(Event) -> bool,
    ) -> Outcome<()> {
        let mut headers = vec![("Accept", "text/event-stream")];
        if let Some(after) = after {
            headers.push(("Last-Event-ID", after));
        }
        let answer = self.send_in_turn("GET", path, None, &headers)?;
        if answer.status() != 200 {
            return read_answer(answer).map(|_| ());
        }
        let mut reader = BufReader::new(answer.into_body().into_reader());
        let mut parser = EventParser::default();
        loop {
            let mut line = Vec::new();
            match (&mut reader)
                .take(EVENT_LINE_BYTES_MAX)
                .read_until(b'\n', &mut line)
            {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(e) => {
                    return Err(Failure::new(
                        Exit::Unreachable,
                        format!("read what the server tells: {e}; {then}"),
                    ));
                }
            }
            let line = String::from_utf8_lossy(&line);
            if let Some(event) = parser.line(line.trim_end_matches(['\r', '\n']))
                && !each(event)
            {
                return Ok(());
            }
        }
    }
}

fn read_answer(mut answer: http::Response<ureq::Body>) -> Outcome<Value> {
    let status = answer.status().as_u16();
    let request_id = answer
        .headers()
        .get("x-request-id")
        .and_then(|v| v.to_str().ok())
        .map(str::to_owned);
    let bytes = answer
        .body_mut()
        .with_config()
        .limit(ANSWER_BYTES_MAX)
        .read_to_vec()
        .map_err(|e| {
            Failure::new(
                Exit::Unreachable,
                format!("read the server's answer: {e}; try again"),
            )
        })?;
    let body: Option<Value> = if bytes.is_empty() {
        Some(Value::Null)
    } else {
        serde_json::from_slice(&bytes).ok()
    };
    match body {
        Some(body) if (200..300).contains(&status) => Ok(body),
        body => Err(Failure::answer(
            status,
            &body.unwrap_or(Value::Null),
            request_id,
        )),
    }
}

/// Server-sent events, line by line.
#[derive(Default)]
struct EventParser {
    id: Option<String>,
    data: String,
}

impl EventParser {
    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            if data.is_empty() {
                return None;
            }
            return Some(Event {
                id: self.id.clone(),
                data: serde_json::from_str(&data).unwrap_or(Value::String(data)),
            });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.id = Some(value.to_owned()),
            "data" => {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            // Comments, which keep the connection alive, and fields not used.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        Environment {
            url: Some("http://127.0.0.1:1/".into()),
            secret_id: Some("id".into()),
            secret_key: Some("key".into()),
            ..Environment::default()
        }
    }

    #[test]
    fn the_folder_that_was_named_wins_over_the_environment() {
        let folder = tempfile::tempdir().unwrap();
        let file = AdminFile {
            secret_id: "AKID1".into(),
            secret_key: "s".into(),
            url: "http://127.0.0.1:7780".into(),
        };
        std::fs::write(
            folder.path().join("admin.json"),
            serde_json::to_vec(&file).unwrap(),
        )
        .unwrap();
        let of_folder = Target::find(Some(folder.path()), &environment()).unwrap();
        assert_eq!(of_folder.secret_id, "AKID1");
        let with_data = Environment {
            data: Some(folder.path().into()),
            ..environment()
        };
        let of_variables = Target::find(None, &with_data).unwrap();
        assert_eq!(
            (of_variables.url.as_str(), of_variables.secret_id.as_str()),
            ("http://127.0.0.1:1", "id")
        );
        let only_data = Environment {
            data: Some(folder.path().into()),
            ..Environment::default()
        };
        assert_eq!(Target::find(None, &only_data).unwrap().secret_id, "AKID1");
        let half = Environment {
            secret_key: None,
            ..environment()
        };
        for wrong in [Environment::default(), half] {
            let failure = Target::find(None, &wrong).err().unwrap();
            assert_eq!(failure.exit, Exit::Usage);
        }
    }

    #[test]
    fn events_are_parsed() {
        let mut parser = EventParser::default();
        let text =
            ": hello\n\nid: 7\nevent: progress\ndata: {\"percent\":\ndata:  5}\n\ndata: x\n\n";
        let events: Vec<Event> = text.lines().filter_map(|l| parser.line(l)).collect();
        assert_eq!(events.len(), 2);
        assert_eq!(events[0].id.as_deref(), Some("7"));
        assert_eq!(events[0].data["percent"], 5);
        assert_eq!(events[1].data, "x");
    }

    #[test]
    fn segments_are_encoded() {
        assert_eq!(encoded("web 1/../é"), "web%201%2F..%2F%C3%A9");
    }

    #[test]
    fn addresses_are_checked() {
        for bad in ["127.0.0.1:7780", "ftp://a", "http://a/b", "http://u@a", ""] {
            let target = Target {
                url: bad.into(),
                secret_id: String::new(),
                secret_key: String::new(),
                token: None,
            };
            assert!(Client::new(target, None).is_err(), "{bad}");
        }
    }
}
