//! The clients' side: signs calls as the official clients do. For tests,
//! probes and examples.

use backout_core::time::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::crypto::{hmac_sha1, hmac_sha256, md5, sha256_hex};
use crate::form::{self, Pairs};
use crate::protocol::V2_PATH;
use crate::request::RawRequest;
use crate::signed::{acs3, pairs, roa, tc3 as tc3_form};

/// The headers of a TC3 call (section 1.2): `Host`, `Content-Type`,
/// `X-TC-Timestamp`, `Authorization` and, with a token, `X-TC-Token`. The
/// signature does not cover `X-TC-Action`, `X-TC-Version` and `X-TC-Region`:
/// the caller adds them.
#[must_use]
#[expect(
    clippy::too_many_arguments,
    reason = "each is one part of what is signed"
)]
pub fn tc3(
    key_id: &str,
    secret: &str,
    token: Option<&str>,
    method: &str,
    path: &str,
    query: &str,
    host: &str,
    content_type: &str,
    body: &[u8],
    service: &str,
    now: Timestamp,
) -> Vec<(String, String)> {
    let stamp = now.unix_s().to_string();
    let date = tc3_form::utc_date(now.unix_s()).unwrap_or_default();
    let scope = format!("{date}/{service}/tc3_request");
    let payload = sha256_hex(if method == "GET" { b"" } else { body });
    let canonical = format!(
        "{method}\n{path}\n{query}\ncontent-type:{content_type}\nhost:{host}\n\ncontent-type;host\n{payload}"
    );
    let key = tc3_form::signing_key(secret, &date, service);
    let signature = hex::encode(tc3_form::sign(&key, &stamp, &scope, &canonical));
    let mut headers = vec![
        ("Host".to_owned(), host.to_owned()),
        ("Content-Type".to_owned(), content_type.to_owned()),
        ("X-TC-Timestamp".to_owned(), stamp),
        (
            "Authorization".to_owned(),
            format!(
                "TC3-HMAC-SHA256 Credential={key_id}/{scope}, SignedHeaders=content-type;host, Signature={signature}"
            ),
        ),
    ];
    if let Some(token) = token {
        headers.push(("X-TC-Token".to_owned(), token.to_owned()));
    }
    headers
}

/// What the parameter-signing protocols share (sections 2 and 3).
#[derive(Clone, Copy)]
pub struct ParamCall<'a> {
    /// The key id.
    pub key_id: &'a str,
    /// The secret.
    pub secret: &'a str,
    /// The token of a temporary key.
    pub token: Option<&'a str>,
    /// HmacSHA256 rather than HmacSHA1.
    pub sha256: bool,
    /// `GET` or `POST`.
    pub method: &'a str,
    /// The Host header.
    pub host: &'a str,
    /// The nonce.
    pub nonce: u64,
    /// The date of the call.
    pub now: Timestamp,
    /// Action, Version, Region and the operation's own parameters.
    pub params: &'a [(&'a str, &'a str)],
}

/// The form-encoded parameters of a Tencent v1 call, for the query of a GET or
/// the body of a POST (section 2).
#[must_use]
pub fn v1(call: &ParamCall<'_>) -> String {
    signed_form(call, "/")
}

/// The form-encoded parameters of a legacy call (section 3).
#[must_use]
pub fn qcloud(call: &ParamCall<'_>) -> String {
    signed_form(call, V2_PATH)
}

fn signed_form(call: &ParamCall<'_>, path: &str) -> String {
    let mut all: Pairs = call
        .params
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let method = if call.sha256 {
        "HmacSHA256"
    } else {
        "HmacSHA1"
    };
    for (key, value) in [
        ("Nonce", call.nonce.to_string()),
        ("Timestamp", call.now.unix_s().to_string()),
        ("SecretId", call.key_id.to_owned()),
        ("SignatureMethod", method.to_owned()),
    ] {
        all.push((key.to_owned(), value));
    }
    if let Some(token) = call.token {
        all.push(("Token".to_owned(), token.to_owned()));
    }
    let signature = pairs::sign(call.secret, call.sha256, call.method, call.host, path, &all);
    all.push(("Signature".to_owned(), STANDARD.encode(signature)));
    form::encode(all.iter().map(|(k, v)| (k.as_str(), v.as_str())))
}

/// An Alibaba call (sections 4 and 5).
#[derive(Clone, Copy)]
pub struct AlibabaCall<'a> {
    /// The key id.
    pub key_id: &'a str,
    /// The secret.
    pub secret: &'a str,
    /// The token of a temporary key.
    pub token: Option<&'a str>,
    /// The method.
    pub method: &'a str,
    /// The path.
    pub path: &'a str,
    /// The Host header.
    pub host: &'a str,
    /// The operation.
    pub action: &'a str,
    /// The API version.
    pub version: &'a str,
    /// The parameters of the query.
    pub query: &'a [(&'a str, &'a str)],
    /// The content type, with a body.
    pub content_type: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
    /// The nonce.
    pub nonce: &'a str,
    /// The date of the call.
    pub now: Timestamp,
}

impl AlibabaCall<'_> {
    fn pairs(&self) -> Pairs {
        self.query
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn headers(&self) -> Vec<(String, String)> {
        let mut headers = vec![
            ("host".to_owned(), self.host.to_owned()),
            ("accept".to_owned(), "application/json".to_owned()),
            ("x-acs-action".to_owned(), self.action.to_owned()),
            ("x-acs-version".to_owned(), self.version.to_owned()),
            ("x-acs-signature-nonce".to_owned(), self.nonce.to_owned()),
        ];
        if let Some(content_type) = self.content_type {
            headers.push(("content-type".to_owned(), content_type.to_owned()));
        }
        if let Some(token) = self.token {
            headers.push(("x-acs-security-token".to_owned(), token.to_owned()));
        }
        headers
    }
}

fn raw<'a>(
    call: &AlibabaCall<'a>,
    query: &'a str,
    headers: &'a [(&'a str, &'a [u8])],
) -> RawRequest<'a> {
    RawRequest {
        method: call.method,
        path: call.path,
        query,
        headers,
        body: call.body,
    }
}

fn borrowed(headers: &[(String, String)]) -> Vec<(&str, &[u8])> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect()
}

/// The raw query and the headers of an ACS3-HMAC-SHA256 call (section 5).
#[must_use]
pub fn acs3(call: &AlibabaCall<'_>) -> (String, Vec<(String, String)>) {
    let mut headers = call.headers();
    headers.push(("x-acs-date".to_owned(), call.now.iso8601()));
    headers.push(("x-acs-content-sha256".to_owned(), sha256_hex(call.body)));
    let mut names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let list = names.join(";");
    let query = acs3::canonical_query(&call.pairs());
    let text = {
        let lent = borrowed(&headers);
        acs3::string_to_sign(raw(call, &query, &lent), &query, &list, call.host)
    };
    let signature = hex::encode(hmac_sha256(call.secret.as_bytes(), text.as_bytes()));
    headers.push((
        "Authorization".to_owned(),
        format!(
            "ACS3-HMAC-SHA256 Credential={},SignedHeaders={list},Signature={signature}",
            call.key_id
        ),
    ));
    (query, headers)
}

/// The raw query and the headers of a ROA v1 call (section 4).
#[must_use]
pub fn roa(call: &AlibabaCall<'_>) -> (String, Vec<(String, String)>) {
    let mut headers = call.headers();
    let date = jiff::Timestamp::from_second(call.now.unix_s())
        .map(|t| t.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
        .unwrap_or_default();
    headers.push(("date".to_owned(), date));
    headers.push(("x-acs-signature-method".to_owned(), "HMAC-SHA1".to_owned()));
    headers.push(("x-acs-signature-version".to_owned(), "1.0".to_owned()));
    headers.push(("content-md5".to_owned(), STANDARD.encode(md5(call.body))));
    let pairs = call.pairs();
    let query = form::encode(pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    let text = {
        let lent = borrowed(&headers);
        roa::string_to_sign(raw(call, &query, &lent), &pairs, false)
    };
    let signature = STANDARD.encode(hmac_sha1(call.secret.as_bytes(), text.as_bytes()));
    headers.push((
        "authorization".to_owned(),
        format!("acs {}:{signature}", call.key_id),
    ));
    (query, headers)
}
