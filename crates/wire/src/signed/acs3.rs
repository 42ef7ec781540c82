//! Alibaba ACS3-HMAC-SHA256 (section 5).

use std::fmt::Write as _;

use backout_core::time::Timestamp;

use super::{
    Proof as AnyProof, Signed, alibaba_mismatch, fields, hex_signature, host_candidates, malformed,
    missing, query_pairs, roa, signed_headers, word,
};
use crate::crypto::{hmac_sha256, same, sha256_hex};
use crate::fault::{Fault, Rejection};
use crate::form::{self, Pairs};
use crate::protocol::Protocol;
use crate::request::{RawRequest, shown};

/// The headers that every signature must cover.
const NEEDED: [&str; 6] = [
    "host",
    "x-acs-action",
    "x-acs-content-sha256",
    "x-acs-date",
    "x-acs-signature-nonce",
    "x-acs-version",
];

pub(super) struct Proof<'a> {
    signed_headers: &'a str,
    signature: [u8; 32],
}

pub(super) fn parse(raw: RawRequest<'_>) -> Result<Signed<'_>, Rejection> {
    raw.refuse_repeated(|name| name != "accept" && roa::matters(name))?;
    let bearer = raw
        .text("x-acs-signature-type")
        .is_some_and(|kind| kind.eq_ignore_ascii_case("BEARERTOKEN"));
    if bearer {
        return Err(Rejection::new(
            Fault::UnsupportedSignature,
            "bearer tokens are not served; sign with ACS3-HMAC-SHA256",
        ));
    }
    let authorization = match raw.header("authorization") {
        None => return Err(missing("the Authorization header")),
        Some(_) => raw
            .text("authorization")
            .ok_or_else(|| malformed("the Authorization header is not UTF-8"))?,
    };
    let (algorithm, rest) = authorization
        .split_once(' ')
        .ok_or_else(|| malformed("the Authorization header names no credential"))?;
    if algorithm != "ACS3-HMAC-SHA256" {
        return Err(Rejection::new(
            Fault::UnsupportedSignature,
            format!(
                "signature method {} is not served; sign with ACS3-HMAC-SHA256",
                shown(algorithm)
            ),
        ));
    }
    let [key_id, list, signature] = fields(rest, ["Credential", "SignedHeaders", "Signature"])?;
    for name in NEEDED {
        if !raw.has_header(name) {
            return Err(missing(&format!("the header {name}")));
        }
    }
    let names = signed_headers(raw, list)?;
    for name in NEEDED {
        if !names.contains(&name) {
            return Err(malformed(format!("the header {name} must be signed")));
        }
    }
    // The vendor's rule: whatever x-acs- header is there must be signed.
    for (name, _) in raw.headers {
        let name = name.to_ascii_lowercase();
        if name.starts_with("x-acs-") && !names.contains(&name.as_str()) {
            return Err(malformed(format!(
                "the header {} must be signed",
                shown(&name)
            )));
        }
    }
    let date = raw.text("x-acs-date").unwrap_or("");
    let timestamp = date
        .ends_with('Z')
        .then(|| Timestamp::parse_iso8601(date))
        .flatten()
        .ok_or_else(|| {
            Rejection::new(
                Fault::MalformedDate,
                format!("the header x-acs-date is malformed: `{}`", shown(date)),
            )
        })?;
    let nonce = raw.text("x-acs-signature-nonce").unwrap_or("");
    let pairs = query_pairs(raw)?;
    Ok(Signed {
        protocol: Protocol::Acs3,
        raw,
        key_id: word("the key id", key_id)?,
        token: raw.filled("x-acs-security-token").map(str::to_owned),
        nonce: Some(word("x-acs-signature-nonce", nonce)?),
        timestamp,
        action: roa::optional_word(raw, "x-acs-action")?,
        version: roa::optional_word(raw, "x-acs-version")?,
        region: raw.filled("x-acs-region-id").map(str::to_owned),
        language: None,
        pairs,
        proof: AnyProof::Acs3(Proof {
            signed_headers: list,
            signature: hex_signature(signature)?,
        }),
    })
}

/// The query, decoded and encoded again: on the wire a space is `+`, in the
/// signature it is `%20` (section 5).
pub(crate) fn canonical_query(pairs: &Pairs) -> String {
    let mut sorted: Vec<(&str, &str)> = pairs
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    sorted.sort_unstable();
    form::encode(sorted)
}

/// The text that is signed.
pub(crate) fn string_to_sign(
    raw: RawRequest<'_>,
    query: &str,
    signed_headers: &str,
    host: &str,
) -> String {
    let mut canonical = format!("{}\n{}\n{query}\n", raw.method, raw.path);
    for name in signed_headers.split(';') {
        // Writing to a String does not fail.
        let _ = if name == "host" {
            writeln!(canonical, "host:{host}")
        } else {
            writeln!(canonical, "{name}:{}", raw.joined(name).unwrap_or_default())
        };
    }
    let digest = raw.text("x-acs-content-sha256").unwrap_or("");
    let _ = write!(canonical, "\n{signed_headers}\n{digest}");
    format!("ACS3-HMAC-SHA256\n{}", sha256_hex(canonical.as_bytes()))
}

pub(super) fn verify(
    signed: &Signed<'_>,
    proof: &Proof<'_>,
    secret: &str,
    public_hosts: &[String],
) -> Result<(), Rejection> {
    let raw = signed.raw;
    let query = canonical_query(&signed.pairs);
    let host = raw.text("host").unwrap_or("");
    let first = string_to_sign(raw, &query, proof.signed_headers, host);
    let given = raw.text("x-acs-content-sha256").unwrap_or("");
    if !same(sha256_hex(raw.body).as_bytes(), given.as_bytes()) {
        return Err(alibaba_mismatch(&first));
    }
    for host in host_candidates(host, public_hosts) {
        let text = string_to_sign(raw, &query, proof.signed_headers, &host);
        // The secret itself is the key, nothing is derived (section 5).
        let made = hmac_sha256(secret.as_bytes(), text.as_bytes());
        if same(&made, &proof.signature) {
            return Ok(());
        }
    }
    Err(alibaba_mismatch(&first))
}
