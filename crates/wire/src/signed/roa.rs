//! Alibaba ROA v1, `Authorization: acs KEY:SIGNATURE` (section 4).

use base64::Engine as _;

use super::{
    Proof as AnyProof, Signed, alibaba_mismatch, base64_signature, malformed, missing, query_pairs,
    word,
};
use crate::crypto::{hmac_sha1, md5, same};
use crate::fault::{Fault, Rejection};
use crate::form::Pairs;
use crate::protocol::Protocol;
use crate::request::{RawRequest, shown};

pub(super) struct Proof {
    signature: Vec<u8>,
}

/// The headers on which the outcome depends.
pub(super) fn matters(name: &str) -> bool {
    matches!(
        name,
        "authorization" | "host" | "accept" | "content-md5" | "content-type" | "date"
    ) || name.starts_with("x-acs-")
}

pub(super) fn parse(raw: RawRequest<'_>) -> Result<Signed<'_>, Rejection> {
    raw.refuse_repeated(matters)?;
    let authorization = match raw.header("authorization") {
        None => return Err(missing("the Authorization header")),
        Some(_) => raw
            .text("authorization")
            .ok_or_else(|| malformed("the Authorization header is not UTF-8"))?,
    };
    let (key_id, signature) = authorization
        .strip_prefix("acs ")
        .and_then(|rest| rest.split_once(':'))
        .ok_or_else(|| malformed("the Authorization header must be `acs KEY:SIGNATURE`"))?;
    for (name, served) in [
        ("x-acs-signature-method", "HMAC-SHA1"),
        ("x-acs-signature-version", "1.0"),
    ] {
        if let Some(value) = raw.filled(name)
            && value != served
        {
            return Err(Rejection::new(
                Fault::UnsupportedSignature,
                format!("{name} {} is not served", shown(value)),
            ));
        }
    }
    if let Some((name, _)) = signed_header_names(raw)
        .into_iter()
        .find(|(_, value)| value.is_none())
    {
        return Err(malformed(format!(
            "the header {} is not UTF-8",
            shown(&name)
        )));
    }
    let date = raw
        .filled("date")
        .ok_or_else(|| missing("the header Date"))?;
    let timestamp = rfc1123(date).ok_or_else(|| {
        Rejection::new(
            Fault::MalformedDate,
            format!("the header Date is malformed: `{}`", shown(date)),
        )
    })?;
    let nonce = match raw.filled("x-acs-signature-nonce") {
        Some(nonce) => Some(word("x-acs-signature-nonce", nonce)?),
        // The core client sends none (section 4).
        None => None,
    };
    let pairs = query_pairs(raw)?;
    Ok(Signed {
        protocol: Protocol::AlibabaRoa,
        raw,
        key_id: word("the key id", key_id)?,
        token: raw.filled("x-acs-security-token").map(str::to_owned),
        nonce,
        timestamp,
        action: optional_word(raw, "x-acs-action")?,
        version: optional_word(raw, "x-acs-version")?,
        region: raw.filled("x-acs-region-id").map(str::to_owned),
        language: None,
        pairs,
        proof: AnyProof::Roa(Proof {
            signature: base64_signature(signature.trim()),
        }),
    })
}

pub(super) fn optional_word(raw: RawRequest<'_>, name: &str) -> Result<Option<String>, Rejection> {
    raw.filled(name).map(|value| word(name, value)).transpose()
}

/// `Tue, 14 Nov 2023 22:13:20 GMT`.
fn rfc1123(text: &str) -> Option<backout_core::time::Timestamp> {
    let zoned = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(backout_core::time::Timestamp(
        zoned.timestamp().as_millisecond(),
    ))
}

/// The `x-acs-` headers, lower case and sorted, with their values.
fn signed_header_names(raw: RawRequest<'_>) -> Vec<(String, Option<&str>)> {
    let mut names: Vec<(String, Option<&str>)> = raw
        .headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), std::str::from_utf8(value).ok()))
        .filter(|(name, _)| name.starts_with("x-acs-"))
        .collect();
    names.sort();
    names
}

/// The text that is signed. `bare` is how tea signs an empty query value: the
/// key without an equals sign; the other clients sign `key=` (section 4).
pub(crate) fn string_to_sign(raw: RawRequest<'_>, pairs: &Pairs, bare: bool) -> String {
    let mut out = String::from(raw.method);
    for name in ["accept", "content-md5", "content-type", "date"] {
        out.push('\n');
        out.push_str(raw.text(name).unwrap_or(""));
    }
    out.push('\n');
    for (name, value) in signed_header_names(raw) {
        out.push_str(&name);
        out.push(':');
        out.push_str(value.unwrap_or("").trim());
        out.push('\n');
    }
    out.push_str(raw.path);
    let mut sorted: Vec<&(String, String)> = pairs.iter().collect();
    sorted.sort();
    for (i, (key, value)) in sorted.into_iter().enumerate() {
        out.push(if i == 0 { '?' } else { '&' });
        out.push_str(key);
        if !(bare && value.is_empty()) {
            out.push('=');
            out.push_str(value);
        }
    }
    out
}

pub(super) fn verify(signed: &Signed<'_>, proof: &Proof, secret: &str) -> Result<(), Rejection> {
    let raw = signed.raw;
    let text = string_to_sign(raw, &signed.pairs, false);
    // Without this header the body is not covered at all (section 4); with it
    // a body that does not fit is as wrong as a signature that does not.
    if let Some(given) = raw.filled("content-md5") {
        let made = base64::engine::general_purpose::STANDARD.encode(md5(raw.body));
        if !same(made.as_bytes(), given.as_bytes()) {
            return Err(alibaba_mismatch(&text));
        }
    }
    let made = hmac_sha1(secret.as_bytes(), text.as_bytes());
    if same(&made, &proof.signature) {
        return Ok(());
    }
    if signed.pairs.iter().any(|(_, value)| value.is_empty()) {
        let bare = string_to_sign(raw, &signed.pairs, true);
        let made = hmac_sha1(secret.as_bytes(), bare.as_bytes());
        if same(&made, &proof.signature) {
            return Ok(());
        }
    }
    Err(alibaba_mismatch(&text))
}
