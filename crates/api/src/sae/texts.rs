//! The JSON texts that parameters hold: how they are read, and written again.
//!
//! The vendor's forms are in the descriptions of `CreateApplication`. What a
//! text has that is not known is refused by name: nothing of it would have an
//! effect.

use std::collections::BTreeMap;

use backout_workloads::{Ask as Question, Probe, Task};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::codes;
use crate::front::Refused;

/// The longest JSON text, in bytes: a config map's worth.
const TEXT_BYTES_MAX: usize = 256 * 1024;

/// The most entries of a list in a text.
pub const ENTRIES_MAX: usize = 200;

/// How long a hook may take, in milliseconds, where nothing is said: as long as
/// a replica may take to stop by default.
const HOOK_MS: u64 = 30_000;

/// Reads a text; an empty one counts as absent.
pub fn read<T: DeserializeOwned>(
    parameter: &str,
    text: Option<&str>,
) -> Result<Option<T>, Refused> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    if text.len() > TEXT_BYTES_MAX {
        let why = format!("at most {TEXT_BYTES_MAX} bytes are read");
        return Err(codes::value(parameter, &why));
    }
    let value: serde_json::Value = serde_json::from_str(text)
        .map_err(|e| codes::form(parameter, &format!("It is no JSON text: {e}.")))?;
    if value
        .as_array()
        .is_some_and(|list| list.len() > ENTRIES_MAX)
    {
        let why = format!("at most {ENTRIES_MAX} entries are taken");
        return Err(codes::value(parameter, &why));
    }
    serde_json::from_value(value)
        .map(Some)
        .map_err(|e| codes::value(parameter, &e.to_string()))
}

/// Writes a text again.
pub fn write(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// One of `Envs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Env {
    /// The variable.
    pub name: String,
    /// Its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Where its value comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<EnvFrom>,
}

/// Where a value of the environment comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvFrom {
    /// A config map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<ConfigMapRef>,
    /// A secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyRef>,
}

/// A key of a config map.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigMapRef {
    /// The map's number.
    pub config_map_id: u64,
    /// The key; absent, all of them are taken, and the variable's name is no
    /// matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretKeyRef {
    /// Its name.
    pub secret_id: serde_json::Value,
    /// Kept for the vendor's form; a secret here has one value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// One of `ConfigMapMountDesc`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigMapMount {
    /// The map's number.
    #[serde(rename = "ConfigMapId", alias = "configMapId")]
    pub config_map: u64,
    /// The key there.
    #[serde(rename = "Key", alias = "key")]
    pub key: String,
    /// Where a replica finds it.
    #[serde(rename = "MountPath", alias = "mountPath")]
    pub path: String,
}

/// One of `CustomHostAlias`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostAlias {
    /// The name.
    pub host_name: String,
    /// Its address.
    pub ip: String,
}

/// One of `SlsConfigs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogConfig {
    /// The folder or file whose lines are collected; empty for the output.
    #[serde(default)]
    pub log_dir: String,
    /// `stdout` or `file_log`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_type: Option<String>,
    /// Where they are collected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_name: Option<String>,
    /// In which store there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logstore_name: Option<String>,
    /// By which rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logtail_name: Option<String>,
}

/// One of `MountDesc`, `NasConfigs` or `OssMountDescs`: what is looked at of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeMount {
    /// Where a replica would find it.
    #[serde(default)]
    pub mount_path: String,
}

/// `PvtzDiscoverySvc`: the name and the port under which an application is
/// reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Discovery {
    /// The name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// The namespace of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_id: Option<String>,
    /// The ports; here one.
    #[serde(default)]
    pub port_protocols: Vec<PortProtocol>,
    /// Whether it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable: Option<bool>,
}

/// A port of an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PortProtocol {
    /// The port.
    pub port: u16,
    /// `TCP`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
}

/// `Liveness`, `Readiness` and `StartupProbe`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProbeText {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exec: Option<ExecText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    http_get: Option<HttpText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tcp_socket: Option<TcpText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    initial_delay_seconds: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    period_seconds: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout_seconds: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure_threshold: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    success_threshold: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExecText {
    command: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HttpText {
    #[serde(default)]
    path: String,
    port: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scheme: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    is_contain_key_word: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_word: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TcpText {
    port: u16,
}

/// `PostStart` and `PreStop`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HookText {
    exec: ExecText,
}

/// A program and its arguments.
fn program(parameter: &str, command: Vec<String>) -> Result<Vec<String>, Refused> {
    match command.first() {
        Some(first) if !first.is_empty() => Ok(command),
        _ => Err(codes::value(parameter, "exec.command names no program")),
    }
}

/// The port of a probe that means the replica's own.
const OWN_PORT: u16 = 0;

/// Reads a probe. Its port is the replica's own, whatever its number: replicas
/// share a host here, and each has another one.
pub fn probe(parameter: &str, text: Option<&str>) -> Result<Option<Probe>, Refused> {
    let Some(text) = read::<ProbeText>(parameter, text)? else {
        return Ok(None);
    };
    let ask = match (text.exec, text.http_get, text.tcp_socket) {
        (Some(exec), None, None) => Question::Exec {
            argv: program(parameter, exec.command)?,
        },
        (None, Some(http), None) => question_of(parameter, http)?,
        (None, None, Some(TcpText { port: _ })) => Question::Tcp { port: OWN_PORT },
        (None, None, None) => return Ok(None),
        _ => {
            let why = "one of exec, httpGet and tcpSocket is taken";
            return Err(codes::value(parameter, why));
        }
    };
    let usual = Probe::new(ask);
    let ms = |seconds: Option<u32>, usual: u64| seconds.map_or(usual, |s| u64::from(s) * 1000);
    let at_least_one = |member: &str, n: Option<u32>| match n {
        Some(0) => Err(codes::value(parameter, &format!("{member} is at least 1"))),
        n => Ok(n),
    };
    at_least_one("periodSeconds", text.period_seconds)?;
    at_least_one("timeoutSeconds", text.timeout_seconds)?;
    Ok(Some(Probe {
        delay_ms: ms(text.initial_delay_seconds, usual.delay_ms),
        period_ms: ms(text.period_seconds, usual.period_ms),
        timeout_ms: ms(text.timeout_seconds, usual.timeout_ms),
        failures: at_least_one("failureThreshold", text.failure_threshold)?
            .unwrap_or(usual.failures),
        successes: at_least_one("successThreshold", text.success_threshold)?
            .unwrap_or(usual.successes),
        ask: usual.ask,
    }))
}

fn question_of(parameter: &str, http: HttpText) -> Result<Question, Refused> {
    let plain = http
        .scheme
        .as_deref()
        .is_none_or(|scheme| scheme.is_empty() || scheme.eq_ignore_ascii_case("http"));
    if !plain {
        let why = "httpGet.scheme: replicas are asked over HTTP on their own host only";
        return Err(codes::value(parameter, why));
    }
    // Which of the two it is to be does not matter when there is no word.
    let word = http.key_word.is_some_and(|word| !word.is_empty());
    if word && http.is_contain_key_word.is_some() {
        let why = "httpGet.keyWord: the status decides here, not the text of an answer";
        return Err(codes::value(parameter, why));
    }
    let path = match http.path.starts_with('/') {
        true => http.path,
        false => format!("/{}", http.path),
    };
    Ok(Question::Http {
        port: OWN_PORT,
        path,
        headers: BTreeMap::new(),
    })
}

/// Writes a probe again, with `port` where it asks at the replica's own.
pub fn probe_text(probe: &Probe, port: u16) -> String {
    let shown = |asked: u16| match asked {
        OWN_PORT => port,
        other => other,
    };
    let seconds = |ms: u64| Some(u32::try_from(ms.div_ceil(1000)).unwrap_or(u32::MAX));
    let mut text = ProbeText {
        initial_delay_seconds: seconds(probe.delay_ms),
        period_seconds: seconds(probe.period_ms),
        timeout_seconds: seconds(probe.timeout_ms),
        failure_threshold: Some(probe.failures),
        success_threshold: Some(probe.successes),
        ..ProbeText::default()
    };
    match &probe.ask {
        Question::Exec { argv } => {
            text.exec = Some(ExecText {
                command: argv.clone(),
            });
        }
        Question::Tcp { port } => text.tcp_socket = Some(TcpText { port: shown(*port) }),
        Question::Http { port, path, .. } => {
            text.http_get = Some(HttpText {
                path: path.clone(),
                port: shown(*port),
                scheme: Some("HTTP".to_owned()),
                is_contain_key_word: None,
                key_word: None,
            });
        }
    }
    write(&text)
}

/// Reads a hook.
pub fn hook(parameter: &str, text: Option<&str>) -> Result<Option<Task>, Refused> {
    let Some(text) = read::<HookText>(parameter, text)? else {
        return Ok(None);
    };
    Ok(Some(Task {
        argv: program(parameter, text.exec.command)?,
        timeout_ms: HOOK_MS,
    }))
}

/// Writes a hook again.
pub fn hook_text(task: &Task) -> String {
    write(&HookText {
        exec: ExecText {
            command: task.argv.clone(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(refused: Refused) -> String {
        match refused {
            Refused::Surface(error) => error.code,
            Refused::Rejected(other) => panic!("{other}"),
        }
    }

    #[test]
    fn probes_come_back_as_they_went() {
        for text in [
            r#"{"exec":{"command":["sh","-c","cat /tmp/x"]},"initialDelaySeconds":30,"periodSeconds":30,"timeoutSeconds":2,"failureThreshold":3,"successThreshold":1}"#,
            r#"{"exec":{"command":["/bin/true"]},"initialDelaySeconds":0,"periodSeconds":10,"timeoutSeconds":1,"failureThreshold":3,"successThreshold":1}"#,
            r#"{"httpGet":{"path":"/health","port":80,"scheme":"HTTP"},"initialDelaySeconds":11,"periodSeconds":10,"timeoutSeconds":1,"failureThreshold":3,"successThreshold":1}"#,
            r#"{"tcpSocket":{"port":80},"initialDelaySeconds":1,"periodSeconds":2,"timeoutSeconds":3,"failureThreshold":4,"successThreshold":5}"#,
        ] {
            let probe = probe("Liveness", Some(text)).unwrap().unwrap();
            assert_eq!(probe_text(&probe, 80), text);
        }
        for nothing in [None, Some(""), Some(" "), Some("{}")] {
            assert_eq!(probe("Liveness", nothing).unwrap(), None);
        }
    }

    #[test]
    fn probes_that_are_refused() {
        for (text, expect) in [
            ("{", codes::FORM),
            (r#"{"exec":{"command":[]}}"#, codes::VALUE),
            (
                r#"{"exec":{"command":["a"]},"tcpSocket":{"port":80}}"#,
                codes::VALUE,
            ),
            (r#"{"tcpSocket":{"port":70000}}"#, codes::VALUE),
            (
                r#"{"tcpSocket":{"port":80},"periodSeconds":0}"#,
                codes::VALUE,
            ),
            (
                r#"{"httpGet":{"path":"/","port":80,"scheme":"HTTPS"}}"#,
                codes::VALUE,
            ),
            (
                r#"{"httpGet":{"path":"/","port":80,"isContainKeyWord":true,"keyWord":"ok"}}"#,
                codes::VALUE,
            ),
            (r#"{"grpc":{"port":80}}"#, codes::VALUE),
        ] {
            let refused = probe("Liveness", Some(text)).unwrap_err();
            assert_eq!(code(refused), expect, "{text}");
        }
    }

    #[test]
    fn hooks_come_back_as_they_went() {
        let text = r#"{"exec":{"command":["sh","-c","rm -f /tmp/x"]}}"#;
        let task = hook("PreStop", Some(text)).unwrap().unwrap();
        assert_eq!(task.argv[0], "sh");
        assert_eq!(hook_text(&task), text);
    }

    #[test]
    fn lists_are_bounded() {
        let many = write(&vec![Env::default(); ENTRIES_MAX + 1]);
        let refused = read::<Vec<Env>>("Envs", Some(&many)).unwrap_err();
        assert_eq!(code(refused), codes::VALUE);
        let most = write(&vec![Env::default(); ENTRIES_MAX]);
        assert!(read::<Vec<Env>>("Envs", Some(&most)).unwrap().is_some());
    }
}
