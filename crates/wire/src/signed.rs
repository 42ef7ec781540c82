//! A signed call: parsed first, verified next, decoded last.

pub(crate) mod acs3;
pub(crate) mod pairs;
pub(crate) mod roa;
pub(crate) mod tc3;

use backout_core::time::Timestamp;

use crate::decode;
use crate::fault::{Fault, Rejection};
use crate::form::Pairs;
use crate::protocol::Protocol;
use crate::request::{RawRequest, shown};
use crate::{Call, Operation, form};

/// The longest key id, nonce, action or version that is taken.
const MAX_WORD: usize = 128;

/// The most headers that a signature may name. The longest list seen has
/// fourteen.
const MAX_SIGNED_HEADERS: usize = 64;

/// The longest trace id that is echoed.
const MAX_TRACE_ID: usize = 128;

/// A call whose signature has been read, but **not** verified: nothing in it
/// may be trusted before [`Signed::verify`].
pub struct Signed<'a> {
    pub(crate) protocol: Protocol,
    pub(crate) raw: RawRequest<'a>,
    pub(crate) key_id: String,
    pub(crate) token: Option<String>,
    pub(crate) nonce: Option<String>,
    pub(crate) timestamp: Timestamp,
    pub(crate) action: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) language: Option<String>,
    /// The decoded query, and for v1 and v2 the form body too.
    pub(crate) pairs: Pairs,
    proof: Proof<'a>,
}

enum Proof<'a> {
    Tc3(tc3::Proof<'a>),
    Pairs(pairs::Proof),
    Roa(roa::Proof),
    Acs3(acs3::Proof<'a>),
}

impl std::fmt::Debug for Signed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Neither token nor parameters: both may be secrets.
        f.debug_struct("Signed")
            .field("protocol", &self.protocol)
            .field("key_id", &self.key_id)
            .field("action", &self.action)
            .field("timestamp", &self.timestamp)
            .finish_non_exhaustive()
    }
}

/// Reads the signature of a call. Nothing is verified yet.
///
/// # Errors
///
/// What makes the call unreadable: a missing or malformed authorization, a
/// repeated header or parameter, a query or body that is too large.
pub fn parse<'a>(protocol: Protocol, raw: RawRequest<'a>) -> Result<Signed<'a>, Rejection> {
    if raw.query.len() > protocol.query_limit() {
        return Err(Rejection::new(
            Fault::TooLarge,
            format!("the query is longer than {} bytes", protocol.query_limit()),
        ));
    }
    let limit = protocol.body_limit("POST");
    if raw.body.len() > limit {
        return Err(Rejection::new(
            Fault::TooLarge,
            format!("the body is longer than {limit} bytes"),
        ));
    }
    match protocol {
        Protocol::Tc3 => tc3::parse(raw),
        Protocol::TencentV1 | Protocol::QcloudV2 => pairs::parse(protocol, raw),
        Protocol::AlibabaRoa => roa::parse(raw),
        Protocol::Acs3 => acs3::parse(raw),
    }
}

impl Signed<'_> {
    /// The protocol.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The key id whose secret is needed for [`Signed::verify`].
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The token of a temporary key.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The nonce, where the protocol has one and the client sent it. A second
    /// call of the same key id, nonce **and** timestamp is a replay: some
    /// clients draw from only 65536 nonces (section 2). TC3 has none.
    #[must_use]
    pub fn nonce(&self) -> Option<&str> {
        self.nonce.as_deref()
    }

    /// When the client signed.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// Until how many seconds after [`Signed::timestamp`] the same call would
    /// still be within the clock window: a nonce is remembered until then.
    #[must_use]
    pub fn nonce_window_s(&self) -> i64 {
        self.protocol.clock_window_s()
    }

    /// The operation's name as the client sent it; ROA clients may send none.
    /// For log lines of refused calls; trust [`Signed::decode`] only.
    #[must_use]
    pub fn action(&self) -> Option<&str> {
        self.action.as_deref()
    }

    /// The region as the client sent it.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// The trace id to echo.
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        trace_id(self.raw)
    }

    /// Verifies date and signature: first the clock window, then every form
    /// in which an honest client may have signed (sections 1.4, 2, 3 and 4),
    /// compared in constant time. `public_hosts` are the names by which a
    /// reverse proxy is called.
    ///
    /// # Errors
    ///
    /// [`Fault::ClockSkew`] or [`Fault::SignatureMismatch`].
    pub fn verify(
        &self,
        secret: &str,
        now: Timestamp,
        public_hosts: &[String],
    ) -> Result<(), Rejection> {
        let window = self.protocol.clock_window_s();
        if now.unix_s().abs_diff(self.timestamp.unix_s()) > window.unsigned_abs() {
            return Err(Rejection::new(
                Fault::ClockSkew,
                format!(
                    "the date of the call is more than {window} seconds off: it says {}, here it is {now}",
                    self.timestamp
                ),
            ));
        }
        match &self.proof {
            Proof::Tc3(proof) => tc3::verify(self, proof, secret, public_hosts),
            Proof::Pairs(proof) => pairs::verify(self, proof, secret, public_hosts),
            Proof::Roa(proof) => roa::verify(self, proof, secret),
            Proof::Acs3(proof) => acs3::verify(self, proof, secret, public_hosts),
        }
    }

    /// The operation that is asked for; `None` where there is none such.
    #[must_use]
    pub fn operation(&self) -> Option<&'static Operation> {
        decode::operation(self).ok()
    }

    /// Finds the operation and reads its parameters by the contract. To be
    /// called after [`Signed::verify`].
    ///
    /// # Errors
    ///
    /// An unknown operation, path or version, or parameters that do not fit.
    pub fn decode(&self) -> Result<Call, Rejection> {
        decode::decode(self)
    }
}

/// The trace id of a request if it is fit to be echoed as a header.
#[must_use]
pub fn trace_id<'a>(raw: RawRequest<'a>) -> Option<&'a str> {
    raw.filled("x-tc-traceid")
        .filter(|id| id.len() <= MAX_TRACE_ID && id.bytes().all(|b| b.is_ascii_graphic()))
}

// ---- shared by the protocols ----

fn missing(what: &str) -> Rejection {
    Rejection::new(Fault::MissingAuthorization, format!("{what} is missing"))
}

fn malformed(why: impl Into<String>) -> Rejection {
    Rejection::new(Fault::MalformedAuthorization, why)
}

/// A short word of visible ASCII.
fn word(what: &str, text: &str) -> Result<String, Rejection> {
    if text.is_empty() || text.len() > MAX_WORD || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(malformed(format!("{what} is malformed")));
    }
    Ok(text.to_owned())
}

/// Unix seconds as text.
fn unix_seconds(what: &str, text: &str) -> Result<Timestamp, Rejection> {
    // Twelve digits reach the year 33658, and seconds times 1000 cannot overflow.
    let digits = !text.is_empty() && text.len() <= 12 && text.bytes().all(|b| b.is_ascii_digit());
    let seconds = digits.then(|| text.parse::<i64>().ok()).flatten();
    seconds.map(|s| Timestamp(s * 1000)).ok_or_else(|| {
        Rejection::new(
            Fault::MalformedDate,
            format!("{what} must be unix seconds, not `{}`", shown(text)),
        )
    })
}

/// `Key=value` fields of an Authorization header, each exactly once.
fn fields<'t, const N: usize>(text: &'t str, names: [&str; N]) -> Result<[&'t str; N], Rejection> {
    let mut found: [Option<&str>; N] = [None; N];
    for part in text.split(',') {
        let Some((key, value)) = part.trim().split_once('=') else {
            return Err(malformed(
                "the Authorization header has a field without `=`",
            ));
        };
        let at = names.iter().position(|name| *name == key);
        match at.and_then(|at| found.get_mut(at)) {
            Some(slot @ None) => *slot = Some(value.trim()),
            Some(Some(_)) => {
                return Err(malformed(format!(
                    "the Authorization header has {} twice",
                    shown(key)
                )));
            }
            None => {
                return Err(malformed(format!(
                    "the Authorization header has an unknown field {}",
                    shown(key)
                )));
            }
        }
    }
    let mut values = [""; N];
    for ((value, found), name) in values.iter_mut().zip(found).zip(names) {
        *value = found
            .filter(|v| !v.is_empty())
            .ok_or_else(|| malformed(format!("the Authorization header has no {name}")))?;
    }
    Ok(values)
}

/// The names of a SignedHeaders field: lower case, each once, each present.
fn signed_headers<'t>(raw: RawRequest<'_>, list: &'t str) -> Result<Vec<&'t str>, Rejection> {
    let names: Vec<&str> = list.split(';').collect();
    if names.len() > MAX_SIGNED_HEADERS {
        return Err(malformed("too many signed headers"));
    }
    for (i, name) in names.iter().enumerate() {
        let plain = !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase() && b != b':');
        if !plain || names.iter().take(i).any(|earlier| earlier == name) {
            return Err(malformed("the list of signed headers is malformed"));
        }
        if raw.joined(name).is_none() {
            return Err(malformed(format!(
                "the signed header {} is not in the request, or not UTF-8",
                shown(name)
            )));
        }
    }
    Ok(names)
}

/// A signature of 32 bytes in hex.
fn hex_signature(text: &str) -> Result<[u8; 32], Rejection> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes)
        .map_err(|_| malformed("the signature is not 64 hex digits"))?;
    Ok(bytes)
}

/// A signature in base64. What cannot be read cannot match either.
fn base64_signature(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .unwrap_or_default()
}

/// The hosts that an honest client may have signed (section 1.4): as received,
/// without the scheme, without scheme and port, and the public names. Trying
/// several is safe, for every try needs the secret.
fn host_candidates(host: &str, public_hosts: &[String]) -> Vec<String> {
    let bare = host
        .strip_prefix("http://")
        .or_else(|| host.strip_prefix("https://"))
        .unwrap_or(host)
        .trim_end_matches('/');
    let name = match bare.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => bare,
    };
    let mut out: Vec<String> = Vec::with_capacity(3 + public_hosts.len());
    let known = [host, bare, name];
    for host in known
        .into_iter()
        .chain(public_hosts.iter().map(String::as_str))
    {
        if !out.iter().any(|h| h == host) {
            out.push(host.to_owned());
        }
    }
    out
}

/// The refusal of a Tencent signature.
fn tencent_mismatch() -> Rejection {
    Rejection::new(
        Fault::SignatureMismatch,
        "the signature does not match; check the secret key and the host that was signed",
    )
}

/// The refusal of an Alibaba signature. The wording is the vendor's: one of
/// its clients reads what follows the first colon, and crashes without one
/// (section 5.1).
fn alibaba_mismatch(string_to_sign: &str) -> Rejection {
    let mut shown = String::with_capacity(string_to_sign.len() + 96);
    shown.push_str(
        "Specified signature is not matched with our calculation. server string to sign is:",
    );
    for (i, line) in string_to_sign.lines().enumerate() {
        if i > 0 {
            shown.push('\n');
        }
        // The refusal may be logged, and a token is a secret.
        if line.starts_with("x-acs-security-token:") {
            shown.push_str("x-acs-security-token:***");
        } else {
            shown.push_str(line);
        }
    }
    Rejection::new(Fault::SignatureMismatch, shown)
}

/// The decoded query, each key once.
fn query_pairs(raw: RawRequest<'_>) -> Result<Pairs, Rejection> {
    let pairs = form::parse(raw.query.as_bytes())?;
    form::refuse_repeated(&pairs)?;
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (host, expect) in [
            ("127.0.0.1:18080", vec!["127.0.0.1:18080", "127.0.0.1"]),
            (
                "http://127.0.0.1:18080",
                vec!["http://127.0.0.1:18080", "127.0.0.1:18080", "127.0.0.1"],
            ),
            ("a.example", vec!["a.example"]),
            ("[::1]:80", vec!["[::1]:80", "[::1]"]),
            ("[::1]", vec!["[::1]"]),
            ("", vec![""]),
        ] {
            assert_eq!(host_candidates(host, &[]), expect, "{host}");
        }
        assert_eq!(
            host_candidates("a", &["a".into(), "b".into()]),
            vec!["a", "b"]
        );
    }

    #[test]
    fn seconds() {
        assert_eq!(
            unix_seconds("t", "1700000000"),
            Ok(Timestamp(1_700_000_000_000))
        );
        for bad in [
            "",
            "-1",
            "+1",
            "1.0",
            "1700000000000",
            "9999999999999999999",
            " 1",
        ] {
            assert_eq!(
                unix_seconds("t", bad).map_err(|r| r.fault),
                Err(Fault::MalformedDate)
            );
        }
    }

    #[test]
    fn a_token_is_not_shown() {
        let shown = alibaba_mismatch("PUT\nx-acs-security-token:s3cret\n/x").message;
        assert!(!shown.contains("s3cret"));
        assert!(shown.contains("server string to sign is:PUT\n"));
    }
}
