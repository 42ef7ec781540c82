//! How a command ends when it does not end well.

use std::fmt;

use backout_core::code::Code;
use serde_json::{Value, json};

/// What the process ends with. Documented in `--help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Failed = 1,
    Usage = 2,
    Refused = 3,
    Reverted = 4,
    Held = 5,
    Unreachable = 6,
    Denied = 7,
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub exit: Exit,
    /// Our stable code, where there is one.
    pub code: Option<String>,
    /// A lower-case fragment, mostly one that fits "failed to ...".
    pub message: String,
    /// The call, so that it can be found in the server's log.
    pub request_id: Option<Box<str>>,
    /// What a caller with `--json` gets beside the error, e.g. the job.
    pub more: Vec<(&'static str, Value)>,
    /// What a person gets on stdout all the same, e.g. the plan.
    pub shown: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            code: None,
            message: message.into(),
            request_id: None,
            more: Vec::new(),
            shown: String::new(),
        }
    }

    pub(crate) fn coded(exit: Exit, code: Code, message: impl Into<String>) -> Self {
        Self {
            code: Some(code.as_str().to_owned()),
            ..Self::new(exit, message)
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::coded(Exit::Usage, Code::BadRequest, message)
    }

    pub(crate) fn with(mut self, name: &'static str, value: Value) -> Self {
        self.more.push((name, value));
        self
    }

    /// What the code means, in a few words.
    pub(crate) fn title(&self) -> Option<&'static str> {
        let code = self.code.as_deref()?;
        let known = Code::ALL.iter().find(|c| c.as_str() == code)?;
        Some(known.title())
    }

    /// From an answer of the native API.
    pub(crate) fn answer(status: u16, body: &Value, request_id: Option<String>) -> Self {
        let error = body.get("error");
        let text = |name: &str| {
            error
                .and_then(|e| e.get(name))
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let exit = match status {
            401 | 403 => Exit::Denied,
            409 => Exit::Refused,
            503 => Exit::Unreachable,
            _ => Exit::Failed,
        };
        Self {
            exit,
            code: text("code"),
            message: text("message").unwrap_or_else(|| {
                format!(
                    "understand the server's answer with status {status}: is this a Backout server?"
                )
            }),
            request_id: text("request_id").or(request_id).map(Into::into),
            more: Vec::new(),
            shown: String::new(),
        }
    }

    /// The one value that `--json` prints.
    pub(crate) fn json(&self) -> Value {
        let mut error = json!({ "message": self.message });
        if let Some(code) = &self.code {
            error["code"] = json!(code);
        }
        if let Some(title) = self.title() {
            error["title"] = json!(title);
        }
        if let Some(request_id) = &self.request_id {
            error["request_id"] = json!(request_id);
        }
        let mut out = json!({ "error": error });
        for (name, value) in &self.more {
            out[*name] = value.clone();
        }
        out
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(e: anyhow::Error) -> Self {
        Self::new(Exit::Failed, format!("{e:#}"))
    }
}

/// What a command returns.
pub(crate) type Outcome<T> = Result<T, Failure>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_become_exit_codes() {
        let body = json!({"error": {"code": "BO0008", "title": Code::ResourceBusy.title(), "message": "m", "request_id": "r"}});
        for (status, exit) in [
            (400, Exit::Failed),
            (401, Exit::Denied),
            (403, Exit::Denied),
            (404, Exit::Failed),
            (409, Exit::Refused),
            (503, Exit::Unreachable),
        ] {
            let failure = Failure::answer(status, &body, None);
            assert_eq!(failure.exit, exit);
            assert_eq!(failure.json(), body);
        }
        let odd = Failure::answer(502, &Value::Null, None);
        assert!(odd.message.contains("502"));
    }
}
