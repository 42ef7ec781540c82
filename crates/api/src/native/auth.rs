//! Who makes a native call.

use std::sync::Arc;

use backout_accounts::{Accounts, Principal};
use backout_core::time::Timestamp;
use backout_wire::{RawRequest, sign};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq as _;

use super::error::NativeError;

/// The service in the credential scope of a native call.
pub const SERVICE: &str = "backout";

/// How far the date of a call may be from ours, as with the vendors' TC3.
const CLOCK_WINDOW_S: u64 = 300;

/// The longest Authorization header that is looked at: ours have 200 bytes.
const AUTHORIZATION_BYTES_MAX: usize = 1024;

/// What the call may be trusted with on its way here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Nobody in between can read it: TLS, or the same machine.
    pub private: bool,
}

/// Finds out who calls: TC3 with service `backout`, or Basic on a private
/// channel.
///
/// # Errors
/// [`Kind::Unauthenticated`](super::Kind::Unauthenticated), or the store's.
pub async fn authenticate(
    accounts: &Accounts,
    raw: RawRequest<'_>,
    channel: Channel,
    now: Timestamp,
    public_hosts: &[String],
) -> Result<Arc<Principal>, NativeError> {
    let Some(authorization) = header(raw, "authorization")? else {
        return Err(refused(
            "tell who calls: sign the request (TC3-HMAC-SHA256, service backout), or use Basic with \
             SecretId and SecretKey over TLS or on this machine",
        ));
    };
    if authorization.len() > AUTHORIZATION_BYTES_MAX {
        return Err(refused("read the Authorization header: it is too long"));
    }
    let token = header(raw, "x-tc-token")?;
    let (scheme, rest) = authorization.split_once(' ').unwrap_or((authorization, ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return basic(accounts, rest.trim(), token, channel).await;
    }
    if scheme == "TC3-HMAC-SHA256" {
        return tc3(accounts, raw, rest, token, now, public_hosts).await;
    }
    Err(refused(
        "read the Authorization header: its scheme must be TC3-HMAC-SHA256 or Basic",
    ))
}

async fn basic(
    accounts: &Accounts,
    encoded: &str,
    token: Option<&str>,
    channel: Channel,
) -> Result<Arc<Principal>, NativeError> {
    if !channel.private {
        return Err(refused(
            "accept Basic over an open network: it would show the SecretKey; sign the request, or use TLS",
        ));
    }
    let decoded = STANDARD
        .decode(encoded)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| {
            refused("read the Authorization header: Basic needs base64 of SecretId:SecretKey")
        })?;
    let (secret_id, secret_key) = decoded.split_once(':').ok_or_else(|| {
        refused("read the Authorization header: Basic needs base64 of SecretId:SecretKey")
    })?;
    let key = accounts.authenticate_key(secret_id, token).await?;
    if bool::from(key.secret.expose().as_bytes().ct_eq(secret_key.as_bytes())) {
        Ok(key.principal)
    } else {
        Err(refused(
            "accept the SecretKey: it is not the one of this SecretId",
        ))
    }
}

async fn tc3(
    accounts: &Accounts,
    raw: RawRequest<'_>,
    fields: &str,
    token: Option<&str>,
    now: Timestamp,
    public_hosts: &[String],
) -> Result<Arc<Principal>, NativeError> {
    let [mut credential, mut signed_headers, mut signature] = [None; 3];
    for field in fields.split(',') {
        let (name, value) = field
            .trim()
            .split_once('=')
            .ok_or_else(|| refused("read the Authorization header: a field has no `=`"))?;
        let slot = match name {
            "Credential" => &mut credential,
            "SignedHeaders" => &mut signed_headers,
            "Signature" => &mut signature,
            _ => {
                return Err(refused(
                    "read the Authorization header: it has an unknown field",
                ));
            }
        };
        if slot.replace(value).is_some() {
            return Err(refused(
                "read the Authorization header: a field comes twice",
            ));
        }
    }
    let (Some(credential), Some(signed_headers), Some(signature)) =
        (credential, signed_headers, signature)
    else {
        return Err(refused(
            "read the Authorization header: give Credential, SignedHeaders and Signature",
        ));
    };
    if signed_headers != "content-type;host" {
        return Err(refused(
            "verify the signature: SignedHeaders must be content-type;host",
        ));
    }
    let scope: Vec<&str> = credential.split('/').collect();
    let [secret_id, date, SERVICE, "tc3_request"] = scope.as_slice() else {
        return Err(refused(
            "read the Credential: it must be SECRET_ID/DATE/backout/tc3_request",
        ));
    };
    let stamp = header(raw, "x-tc-timestamp")?
        .filter(|t| t.len() <= 12 && t.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|t| t.parse::<i64>().ok())
        .ok_or_else(|| refused("read X-TC-Timestamp: give the unix time in seconds"))?;
    let signed_at = Timestamp(stamp.saturating_mul(1000));
    if now.unix_s().abs_diff(stamp) > CLOCK_WINDOW_S {
        return Err(refused(format!(
            "accept the date of the call: it says {signed_at}, here it is {now}; set the clock"
        )));
    }
    if !signed_at.iso8601().starts_with(date) || date.len() != 10 {
        return Err(refused(
            "read the Credential: its date is not the UTC date of X-TC-Timestamp",
        ));
    }
    // The signature of a GET does not cover a body.
    if raw.method == "GET" && !raw.body.is_empty() {
        return Err(NativeError::malformed(
            "read a GET with a body: its signature does not cover it",
        ));
    }
    let content_type = header(raw, "content-type")?.ok_or_else(|| {
        refused("verify the signature: the header Content-Type is signed and must be there")
    })?;
    let host = header(raw, "host")?.ok_or_else(|| {
        refused("verify the signature: the header Host is signed and must be there")
    })?;
    let key = accounts.authenticate_key(secret_id, token).await?;
    for host in hosts(host, public_hosts) {
        let expected = sign::tc3(
            secret_id,
            key.secret.expose(),
            None,
            raw.method,
            raw.path,
            raw.query,
            host,
            content_type,
            raw.body,
            SERVICE,
            signed_at,
        );
        let matches = expected
            .iter()
            .filter(|(name, _)| name == "Authorization")
            .filter_map(|(_, value)| value.rsplit_once("Signature="))
            .any(|(_, ours)| bool::from(ours.as_bytes().ct_eq(signature.as_bytes())));
        if matches {
            return Ok(key.principal);
        }
    }
    Err(refused(
        "verify the signature: it is not that of this method, path, query, body, Content-Type and Host with this SecretId",
    ))
}

/// What an honest client may have signed as its host: as with the vendors'
/// clients, with or without scheme and port, and the names of a reverse proxy.
/// Trying several is safe, for every try needs the secret.
fn hosts<'a>(host: &'a str, public_hosts: &'a [String]) -> impl Iterator<Item = &'a str> {
    let bare = host
        .strip_prefix("http://")
        .or_else(|| host.strip_prefix("https://"))
        .unwrap_or(host)
        .trim_end_matches('/');
    let name = match bare.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => bare,
    };
    let mut own = vec![host];
    for other in [bare, name] {
        if !own.contains(&other) {
            own.push(other);
        }
    }
    own.into_iter()
        .chain(public_hosts.iter().map(String::as_str))
}

/// The one value of a header, trimmed. Refuses a second one: one reader might
/// take the first, the next one the last.
fn header<'a>(raw: RawRequest<'a>, name: &str) -> Result<Option<&'a str>, NativeError> {
    let mut values = raw
        .headers
        .iter()
        .filter(|(known, _)| known.eq_ignore_ascii_case(name));
    let Some((_, value)) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(NativeError::malformed(format!(
            "read the header {name}: it comes more than once"
        )));
    }
    std::str::from_utf8(value)
        .map(|text| Some(text.trim()))
        .map_err(|_| NativeError::malformed(format!("read the header {name}: it is not UTF-8")))
}

fn refused(message: impl Into<String>) -> NativeError {
    NativeError::unauthenticated(message)
}

#[cfg(test)]
mod tests {
    use backout_accounts::{KeyPair, MasterKey};
    use backout_core::ids::OsEntropy;
    use backout_core::time::ManualClock;
    use backout_store::Store;

    use super::*;
    use crate::native::Kind;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);
    const OPEN: Channel = Channel { private: false };
    const PRIVATE: Channel = Channel { private: true };

    async fn accounts() -> (tempfile::TempDir, Accounts, KeyPair) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let store = Store::open_sqlite(&path, backout_accounts::MIGRATIONS).unwrap();
        let clock = Arc::new(ManualClock::default());
        let master = MasterKey::from_bytes([1; 32]);
        let accounts = Accounts::open(store, &master, clock, Arc::new(OsEntropy))
            .await
            .unwrap();
        accounts.bootstrap(|_| Ok(())).await.unwrap();
        let admin = accounts.admin().await.unwrap();
        let key = accounts.add_key(&admin, "admin").await.unwrap();
        (folder, accounts, key)
    }

    async fn ask(
        accounts: &Accounts,
        headers: &[(String, String)],
        channel: Channel,
    ) -> Result<Arc<Principal>, Kind> {
        let headers: Vec<(&str, &[u8])> = headers
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_bytes()))
            .collect();
        let raw = RawRequest {
            method: "DELETE",
            path: "/v1/snapshots/a",
            query: "",
            headers: &headers,
            body: b"",
        };
        authenticate(accounts, raw, channel, NOW, &["backout.example".to_owned()])
            .await
            .map_err(|e| e.kind)
    }

    #[tokio::test]
    async fn basic_is_for_private_channels() {
        let (_folder, accounts, key) = accounts().await;
        let pair = STANDARD.encode(format!("{}:{}", key.secret_id, key.secret_key.expose()));
        let headers = [("authorization".to_owned(), format!("Basic {pair}"))];
        assert!(ask(&accounts, &headers, PRIVATE).await.is_ok());
        assert_eq!(
            ask(&accounts, &headers, OPEN).await,
            Err(Kind::Unauthenticated)
        );
    }

    #[tokio::test]
    async fn the_signed_host_may_be_shorter_than_the_sent_one() {
        let (_folder, accounts, key) = accounts().await;
        for (signed, sent, good) in [
            ("a:1", "a:1", true),
            ("a:1", "http://a:1", true),
            ("a", "a:1", true),
            ("a", "https://a:1/", true),
            ("backout.example", "a:1", true),
            ("b", "a:1", false),
            ("a:2", "a:1", false),
        ] {
            let mut headers = sign::tc3(
                &key.secret_id,
                key.secret_key.expose(),
                None,
                "DELETE",
                "/v1/snapshots/a",
                "",
                signed,
                "application/json",
                b"",
                SERVICE,
                NOW,
            );
            for (name, value) in &mut headers {
                if name == "Host" {
                    sent.clone_into(value);
                }
            }
            let found = ask(&accounts, &headers, OPEN).await;
            assert_eq!(found.is_ok(), good, "{signed} sent as {sent}");
        }
    }
}
