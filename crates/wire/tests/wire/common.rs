//! Recorded and generated calls, from `tests/data`.

use backout_core::time::Timestamp;
use backout_wire::{Protocol, RawRequest, Rejection, Signed, parse};
use base64::Engine as _;
use serde_json::Value;

/// A request that owns its parts.
#[derive(Clone, Debug)]
pub struct Owned {
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

impl Owned {
    /// Runs `f` on the borrowed form.
    pub fn with<T>(&self, f: impl FnOnce(RawRequest<'_>) -> T) -> T {
        let headers: Vec<(&str, &[u8])> = self
            .headers
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_slice()))
            .collect();
        f(RawRequest {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &headers,
            body: &self.body,
        })
    }

    /// Parses by `protocol` and runs `f` on the outcome.
    pub fn parsed<T>(
        &self,
        protocol: Protocol,
        f: impl FnOnce(Result<Signed<'_>, Rejection>) -> T,
    ) -> T {
        self.with(|raw| f(parse(protocol, raw)))
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.headers.retain(|(k, _)| !k.eq_ignore_ascii_case(name));
        self.headers.push((name.into(), value.into()));
    }

    pub fn remove(&mut self, name: &str) {
        self.headers.retain(|(k, _)| !k.eq_ignore_ascii_case(name));
    }

    pub fn get(&self, name: &str) -> String {
        self.headers
            .iter()
            .find(|(k, _)| k.eq_ignore_ascii_case(name))
            .map(|(_, v)| String::from_utf8_lossy(v).into_owned())
            .unwrap_or_default()
    }
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

pub fn owned(request: &Value) -> Owned {
    let (path, query) = match request["target"].as_str() {
        Some(target) => {
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            (path.to_owned(), query.to_owned())
        }
        None => (text(request, "path"), text(request, "query")),
    };
    Owned {
        method: text(request, "method"),
        path,
        query,
        headers: request["headers"]
            .as_array()
            .expect("headers")
            .iter()
            .map(|h| {
                let name = h[0].as_str().expect("name").to_owned();
                let value = h[1].as_str().expect("value");
                (name, value.as_bytes().to_vec())
            })
            .collect(),
        body: base64::engine::general_purpose::STANDARD
            .decode(text(request, "body_b64"))
            .expect("base64"),
    }
}

fn load(name: &str) -> Value {
    let path = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect("a data file");
    serde_json::from_str(&text).expect("json")
}

/// A vector: a call with the secret and the clock that it was signed with.
#[derive(Clone, Debug)]
pub struct Vector {
    pub id: String,
    pub protocol: Protocol,
    pub operation: String,
    pub secret: String,
    pub clock: Timestamp,
    pub token: Option<String>,
    pub request: Owned,
}

pub const FILES: [(&str, Protocol, usize); 7] = [
    ("tc3_hmac_sha256", Protocol::Tc3, 25),
    ("tencent_v1_hmacsha1", Protocol::TencentV1, 9),
    ("tencent_v1_hmacsha256", Protocol::TencentV1, 9),
    ("qcloud_v2", Protocol::QcloudV2, 15),
    ("alibaba_roa_hmac_sha1", Protocol::AlibabaRoa, 24),
    ("acs3_hmac_sha256", Protocol::Acs3, 14),
    ("acs3_hmac_sm3", Protocol::Acs3, 1),
];

pub fn vectors(file: &str, protocol: Protocol) -> Vec<Vector> {
    let data = load(&format!("vectors/{file}.json"));
    let credentials = &data["credentials"];
    let secret = credentials["secret_key"]
        .as_str()
        .or(credentials["access_key_secret"].as_str())
        .expect("a secret");
    data["vectors"]
        .as_array()
        .expect("vectors")
        .iter()
        .map(|v| Vector {
            id: text(v, "id"),
            protocol,
            operation: v["action"]
                .as_str()
                .or(v["operation"].as_str())
                .unwrap_or_default()
                .to_owned(),
            secret: secret.to_owned(),
            clock: Timestamp(v["clock"].as_i64().expect("clock") * 1000),
            token: v["token"]
                .as_str()
                .or(v["security_token"].as_str())
                .map(str::to_owned),
            request: owned(&v["request"]),
        })
        .collect()
}

/// Every vector but the SM3 one.
pub fn all_vectors() -> Vec<Vector> {
    FILES
        .iter()
        .filter(|(file, _, _)| *file != "acs3_hmac_sm3")
        .flat_map(|(file, protocol, _)| vectors(file, *protocol))
        .collect()
}

pub fn vector(id: &str) -> Vector {
    all_vectors()
        .into_iter()
        .find(|v| v.id == id)
        .expect("a vector of this id")
}

pub fn negatives() -> Vec<Vector> {
    let data = load("vectors/negative.json");
    let originals = all_vectors();
    data["vectors"]
        .as_array()
        .expect("vectors")
        .iter()
        .map(|v| {
            let from = text(v, "derived_from");
            let original = originals
                .iter()
                .find(|o| o.id == from)
                .expect("derived from a vector");
            Vector {
                id: text(v, "id"),
                secret: text(v, "secret_key"),
                request: owned(&v["request"]),
                ..original.clone()
            }
        })
        .collect()
}

/// Every recorded request, with the name of its capture.
pub fn captures() -> Vec<(String, Owned)> {
    let data = load("captures.json");
    let mut out = Vec::new();
    for capture in data.as_array().expect("captures") {
        for request in capture["requests"].as_array().expect("requests") {
            out.push((text(capture, "capture"), owned(request)));
        }
    }
    out
}

pub const TENCENT_ID: &str = "AKIDEXAMPLEXXXXXXXXXXXXXXXXXXXXXXXX";
pub const TENCENT_SECRET: &str = "SKEXAMPLEXXXXXXXXXXXXXXXXXXXXXXX";
pub const ALIBABA_ID: &str = "LTAIEXAMPLEXXXXXXXXXXXXX";
pub const ALIBABA_SECRET: &str = "ASKEXAMPLEXXXXXXXXXXXXXXXXXXXX";
