//! Tencent API 3.0, TC3-HMAC-SHA256 (section 1).

use std::fmt::Write as _;

use super::{
    Proof as AnyProof, Signed, fields, hex_signature, host_candidates, malformed, missing,
    signed_headers, tencent_mismatch, unix_seconds, word,
};
use crate::crypto::{hmac_sha256, same, sha256_hex};
use crate::fault::{Fault, Rejection};
use crate::form::Pairs;
use crate::protocol::Protocol;
use crate::request::RawRequest;

/// The word that leaves the body out of the signature (section 1.2).
const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

pub(super) struct Proof<'a> {
    date: &'a str,
    service: &'a str,
    signed_headers: &'a str,
    signature: [u8; 32],
}

/// The headers on which the outcome depends.
fn matters(name: &str) -> bool {
    matches!(name, "authorization" | "host" | "content-type") || name.starts_with("x-tc-")
}

pub(super) fn parse(raw: RawRequest<'_>) -> Result<Signed<'_>, Rejection> {
    if !matches!(raw.method, "GET" | "POST") {
        return Err(Rejection::new(
            Fault::MethodNotAllowed,
            "the method must be GET or POST",
        ));
    }
    raw.refuse_repeated(matters)?;
    let authorization = match raw.header("authorization") {
        None => return Err(missing("the Authorization header")),
        Some(_) => raw
            .text("authorization")
            .ok_or_else(|| malformed("the Authorization header is not UTF-8"))?,
    };
    // `SKIP` is sent by a client whose signing was turned off.
    let rest = authorization
        .strip_prefix("TC3-HMAC-SHA256 ")
        .ok_or_else(|| malformed("the Authorization header must begin with TC3-HMAC-SHA256"))?;
    let [credential, list, signature] = fields(rest, ["Credential", "SignedHeaders", "Signature"])?;
    let scope: Vec<&str> = credential.split('/').collect();
    let [key_id, date, service, "tc3_request"] = scope.as_slice() else {
        return Err(malformed(
            "the credential must be KEY/DATE/SERVICE/tc3_request",
        ));
    };
    let (key_id, date, service) = (*key_id, *date, *service);
    if service.is_empty() {
        return Err(malformed("the credential names no service"));
    }
    let names = signed_headers(raw, list)?;
    for name in ["content-type", "host"] {
        if !names.contains(&name) {
            return Err(malformed(format!("the header {name} must be signed")));
        }
    }
    let stamp = raw
        .filled("x-tc-timestamp")
        .ok_or_else(|| missing("the header X-TC-Timestamp"))?;
    let timestamp = unix_seconds("X-TC-Timestamp", stamp)?;
    if utc_date(timestamp.unix_s()).as_deref() != Some(date) {
        return Err(malformed(
            "the date of the credential is not the UTC date of X-TC-Timestamp",
        ));
    }
    let header = |name: &str| match raw.header(name) {
        Some(_) => raw
            .text(name)
            .map(|v| Some(v).filter(|v| !v.is_empty()))
            .ok_or_else(|| malformed(format!("the header {name} is not UTF-8"))),
        None => Ok(None),
    };
    let action = header("X-TC-Action")?.ok_or_else(|| missing("the header X-TC-Action"))?;
    let version = header("X-TC-Version")?.ok_or_else(|| missing("the header X-TC-Version"))?;
    Ok(Signed {
        protocol: Protocol::Tc3,
        raw,
        key_id: word("the key id", key_id)?,
        token: header("X-TC-Token")?.map(str::to_owned),
        nonce: None,
        timestamp,
        action: Some(word("the header X-TC-Action", action)?),
        version: Some(word("the header X-TC-Version", version)?),
        region: header("X-TC-Region")?.map(str::to_owned),
        language: header("X-TC-Language")?.map(str::to_owned),
        pairs: Pairs::new(),
        proof: AnyProof::Tc3(Proof {
            date,
            service,
            signed_headers: list,
            signature: hex_signature(signature)?,
        }),
    })
}

/// The UTC date of an instant, `YYYY-MM-DD`.
pub(crate) fn utc_date(unix_s: i64) -> Option<String> {
    let instant = jiff::Timestamp::from_second(unix_s).ok()?;
    Some(instant.strftime("%Y-%m-%d").to_string())
}

/// The key that signs within one scope.
pub(crate) fn signing_key(secret: &str, date: &str, service: &str) -> [u8; 32] {
    let mut seed = Vec::with_capacity(4 + secret.len());
    seed.extend_from_slice(b"TC3");
    seed.extend_from_slice(secret.as_bytes());
    let by_date = hmac_sha256(&seed, date.as_bytes());
    let by_service = hmac_sha256(&by_date, service.as_bytes());
    hmac_sha256(&by_service, b"tc3_request")
}

/// The signature of a canonical request.
pub(crate) fn sign(key: &[u8; 32], unix_s: &str, scope: &str, canonical: &str) -> [u8; 32] {
    let text = format!(
        "TC3-HMAC-SHA256\n{unix_s}\n{scope}\n{}",
        sha256_hex(canonical.as_bytes())
    );
    hmac_sha256(key, text.as_bytes())
}

pub(super) fn verify(
    signed: &Signed<'_>,
    proof: &Proof<'_>,
    secret: &str,
    public_hosts: &[String],
) -> Result<(), Rejection> {
    let raw = signed.raw;
    let payload = if raw.text("x-tc-content-sha256") == Some(UNSIGNED_PAYLOAD) {
        sha256_hex(UNSIGNED_PAYLOAD.as_bytes())
    } else if raw.method == "GET" {
        sha256_hex(b"")
    } else {
        sha256_hex(raw.body)
    };
    let key = signing_key(secret, proof.date, proof.service);
    let scope = format!("{}/{}/tc3_request", proof.date, proof.service);
    let stamp = raw.text("x-tc-timestamp").unwrap_or("");
    let hosts = host_candidates(raw.text("host").unwrap_or(""), public_hosts);
    // The SDKs sign values as they are, the documentation says lower case
    // (section 1.2).
    for lower in [false, true] {
        for host in &hosts {
            let mut canonical = format!("{}\n{}\n{}\n", raw.method, raw.path, raw.query);
            for name in proof.signed_headers.split(';') {
                let value = if name == "host" {
                    Some(host.clone())
                } else {
                    raw.joined(name)
                };
                let mut value = value.unwrap_or_default();
                if lower {
                    value = value.to_lowercase();
                }
                // Writing to a String does not fail.
                let _ = writeln!(canonical, "{name}:{value}");
            }
            let _ = write!(canonical, "\n{}\n{payload}", proof.signed_headers);
            if same(&sign(&key, stamp, &scope, &canonical), &proof.signature) {
                return Ok(());
            }
        }
    }
    Err(tencent_mismatch())
}
