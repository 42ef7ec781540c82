//! The protocols that sign sorted parameters: Tencent API 3.0 signature v1
//! (section 2) and the legacy API 2.0 (section 3).

use super::{
    Proof as AnyProof, Signed, base64_signature, host_candidates, malformed, missing,
    tencent_mismatch, unix_seconds, word,
};
use crate::crypto::{hmac_sha1, hmac_sha256, same};
use crate::fault::{Fault, Rejection};
use crate::form::{self, Pairs};
use crate::protocol::Protocol;
use crate::request::{RawRequest, shown};

/// The common parameters, which are no operation's own.
pub(crate) const COMMON: [&str; 11] = [
    "Action",
    "Version",
    "Region",
    "Timestamp",
    "Nonce",
    "SecretId",
    "SignatureMethod",
    "Signature",
    "Token",
    "Language",
    "RequestClient",
];

pub(super) struct Proof {
    signature: Vec<u8>,
    sha256: bool,
}

fn matters(name: &str) -> bool {
    matches!(name, "host" | "content-type")
}

pub(super) fn parse(protocol: Protocol, raw: RawRequest<'_>) -> Result<Signed<'_>, Rejection> {
    raw.refuse_repeated(matters)?;
    let mut pairs = form::parse(raw.query.as_bytes())?;
    match raw.method {
        "GET" => {}
        "POST" => {
            let media = raw.media_type();
            let form_body = match media.as_deref() {
                Some("application/x-www-form-urlencoded") => true,
                None | Some("") => raw.body.is_empty(),
                Some(_) => false,
            };
            // JSON bodies with this signature are not valid (section 2).
            if !form_body {
                return Err(Rejection::new(
                    Fault::UnsupportedProtocol,
                    "with this signature the body must be application/x-www-form-urlencoded",
                ));
            }
            if raw.body.len() > protocol.body_limit("POST") {
                return Err(Rejection::new(Fault::TooLarge, "the body is too long"));
            }
            pairs.append(&mut form::parse(raw.body)?);
        }
        _ => {
            return Err(Rejection::new(
                Fault::MethodNotAllowed,
                "the method must be GET or POST",
            ));
        }
    }
    form::refuse_repeated(&pairs)?;
    let need = |key: &str| {
        form::get(&pairs, key)
            .filter(|v| !v.is_empty())
            .ok_or_else(|| missing(&format!("the parameter {key}")))
    };
    let optional = |key: &str| {
        form::get(&pairs, key)
            .filter(|v| !v.is_empty())
            .map(str::to_owned)
    };
    let action = word("the parameter Action", need("Action")?)?;
    let key_id = word("the parameter SecretId", need("SecretId")?)?;
    let timestamp = unix_seconds("Timestamp", need("Timestamp")?)?;
    let nonce = need("Nonce")?;
    if nonce.len() > 20 || !nonce.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Rejection::new(
            Fault::InvalidParameter,
            "parameter `Nonce` must be a positive integer",
        ));
    }
    let nonce = nonce.to_owned();
    let signature = base64_signature(need("Signature")?);
    // Absent means HmacSHA1 (sections 2 and 3).
    let sha256 = match form::get(&pairs, "SignatureMethod").unwrap_or("HmacSHA1") {
        "HmacSHA1" => false,
        "HmacSHA256" => true,
        other => {
            return Err(Rejection::new(
                Fault::UnsupportedSignature,
                format!("signature method {} is not served", shown(other)),
            ));
        }
    };
    let version = if protocol == Protocol::TencentV1 {
        Some(word("the parameter Version", need("Version")?)?)
    } else {
        optional("Version")
    };
    let host = raw
        .header("host")
        .ok_or_else(|| missing("the header Host"))?;
    if std::str::from_utf8(host).is_err() {
        return Err(malformed("the header Host is not UTF-8"));
    }
    Ok(Signed {
        protocol,
        raw,
        key_id,
        token: optional("Token"),
        nonce: Some(nonce),
        timestamp,
        action: Some(action),
        version,
        region: optional("Region"),
        language: optional("Language"),
        pairs,
        proof: AnyProof::Pairs(Proof { signature, sha256 }),
    })
}

/// How a client may have written the pairs that it signed.
#[derive(Clone, Copy)]
struct Form {
    /// Python signs `_` in keys as `.`, Node does not (section 2).
    dots: bool,
    /// The legacy Python client leaves out of a POST's signature what begins
    /// with `@` (section 3).
    without_at: bool,
}

/// The sorted pairs, joined.
fn signed_pairs(pairs: &Pairs, form: Form) -> String {
    let mut sorted: Vec<(String, &str)> = pairs
        .iter()
        .filter(|(key, _)| key != "Signature")
        .filter(|(_, value)| !(form.without_at && value.starts_with('@')))
        .map(|(key, value)| {
            let key = if form.dots {
                key.replace('_', ".")
            } else {
                key.clone()
            };
            (key, value.as_str())
        })
        .collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    let mut out = String::new();
    for (key, value) in sorted {
        if !out.is_empty() {
            out.push('&');
        }
        out.push_str(&key);
        out.push('=');
        out.push_str(value);
    }
    out
}

/// The signature as the Python clients make it; used by [`crate::sign`].
pub(crate) fn sign(
    secret: &str,
    sha256: bool,
    method: &str,
    host: &str,
    path: &str,
    pairs: &Pairs,
) -> Vec<u8> {
    let plain = Form {
        dots: true,
        without_at: false,
    };
    let text = format!("{method}{host}{path}?{}", signed_pairs(pairs, plain));
    digest(secret, sha256, &text)
}

fn digest(secret: &str, sha256: bool, text: &str) -> Vec<u8> {
    if sha256 {
        hmac_sha256(secret.as_bytes(), text.as_bytes()).to_vec()
    } else {
        hmac_sha1(secret.as_bytes(), text.as_bytes()).to_vec()
    }
}

pub(super) fn verify(
    signed: &Signed<'_>,
    proof: &Proof,
    secret: &str,
    public_hosts: &[String],
) -> Result<(), Rejection> {
    let raw = signed.raw;
    let mut forms = vec![Form {
        dots: false,
        without_at: false,
    }];
    if signed.pairs.iter().any(|(key, _)| key.contains('_')) {
        forms.push(Form {
            dots: true,
            without_at: false,
        });
    }
    let at = signed.protocol == Protocol::QcloudV2
        && raw.method == "POST"
        && signed.pairs.iter().any(|(_, value)| value.starts_with('@'));
    if at {
        for i in 0..forms.len() {
            if let Some(form) = forms.get(i).copied() {
                forms.push(Form {
                    without_at: true,
                    ..form
                });
            }
        }
    }
    let hosts = host_candidates(raw.text("host").unwrap_or(""), public_hosts);
    for form in forms {
        let joined = signed_pairs(&signed.pairs, form);
        for host in &hosts {
            let text = format!("{}{host}{}?{joined}", raw.method, raw.path);
            if same(&digest(secret, proof.sha256, &text), &proof.signature) {
                return Ok(());
            }
        }
    }
    Err(tencent_mismatch())
}
