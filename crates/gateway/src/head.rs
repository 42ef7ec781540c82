//! Heads of requests and answers: what is for one connection only stays
//! behind, and what the backend should know of the client is added.

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, FORWARDED, HOST, HeaderName, HeaderValue, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode, Uri, Version};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// The longest `X-Forwarded-For` that is added to, in bytes: a chain of some
/// hundred proxies. A longer one is begun anew.
const CHAIN_MAX_BYTES: usize = 4096;

/// Why a request is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub status: StatusCode,
    pub why: &'static str,
}

const fn refused<T>(status: StatusCode, why: &'static str) -> Result<T, Refused> {
    Err(Refused { status, why })
}

/// What is added to each request of one client's connection.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// Its address.
    pub ip: HeaderValue,
    /// Our port.
    pub port: HeaderValue,
    /// What it says of others before it is believed.
    pub trusted: bool,
}

/// Makes the head of a client's request one for a backend. Whether the client
/// asks for an upgrade.
pub(crate) fn to_backend(
    head: &mut http::request::Parts,
    has_body: bool,
    origin: &Origin,
) -> Result<bool, Refused> {
    if head.method == Method::CONNECT {
        return refused(StatusCode::METHOD_NOT_ALLOWED, "CONNECT is not served here");
    }
    host(head)?;
    let headers = &mut head.headers;
    let chunked = match headers.get(TRANSFER_ENCODING) {
        None => false,
        // Only what is understood: a backend may see in another word something
        // else than we do.
        Some(coding) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {
            if headers.get_all(TRANSFER_ENCODING).iter().count() > 1 {
                return refused(StatusCode::BAD_REQUEST, "two transfer codings");
            }
            if headers.contains_key(CONTENT_LENGTH) {
                return refused(StatusCode::BAD_REQUEST, "two lengths");
            }
            true
        }
        Some(_) => return refused(StatusCode::NOT_IMPLEMENTED, "unknown transfer coding"),
    };
    match headers.get(EXPECT) {
        None => {}
        // We answer that ourselves, when the backend takes the body.
        Some(expected) if expected.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
            headers.remove(EXPECT);
        }
        Some(_) => return refused(StatusCode::EXPECTATION_FAILED, "unknown expectation"),
    }
    let upgrade = head.version == Version::HTTP_11 && !has_body && asks_upgrade(headers);
    let protocol = upgrade.then(|| headers.get(UPGRADE).cloned()).flatten();
    let trailers = headers
        .get(TE)
        .is_some_and(|te| has_token(te.as_bytes(), b"trailers"));
    strip(headers);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if chunked && has_body {
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    if let Some(protocol) = protocol {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
    forward(headers, origin);
    head.version = Version::HTTP_11;
    Ok(upgrade)
}

/// Sees that there is one host, and makes the target one for a server.
fn host(head: &mut http::request::Parts) -> Result<(), Refused> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let first = hosts.next();
    if hosts.next().is_some() {
        return refused(StatusCode::BAD_REQUEST, "more than one Host");
    }
    if first.is_none() && head.version != Version::HTTP_10 {
        return refused(StatusCode::BAD_REQUEST, "no Host");
    }
    let Some(authority) = head.uri.authority() else {
        return Ok(());
    };
    // What a client says to a proxy; it is what counts then (RFC 9112, 3.2.2).
    let host = authority.as_str().rsplit('@').next().unwrap_or_default();
    let Ok(host) = HeaderValue::from_str(host) else {
        return refused(StatusCode::BAD_REQUEST, "no Host");
    };
    head.headers.insert(HOST, host);
    let path = head.uri.path_and_query().cloned();
    head.uri = path.map_or_else(
        || Uri::from_static("/"),
        |path: PathAndQuery| Uri::from(path),
    );
    Ok(())
}

/// Makes the head of a backend's answer one for the client. `length_known` is
/// whether its body has one.
pub(crate) fn to_client(head: &mut http::response::Parts, upgraded: bool) {
    let headers = &mut head.headers;
    // Where both are, the length is a lie (RFC 9112, 6.3).
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    let protocol = upgraded.then(|| headers.get(UPGRADE).cloned()).flatten();
    strip(headers);
    if upgraded {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        if let Some(protocol) = protocol {
            headers.insert(UPGRADE, protocol);
        }
    }
    head.version = Version::HTTP_11;
}

/// Whether a request may be sent again although it may have been carried out
/// (RFC 9110, 9.2.2).
pub(crate) fn is_idempotent(method: &Method) -> bool {
    [
        Method::GET,
        Method::HEAD,
        Method::OPTIONS,
        Method::PUT,
        Method::DELETE,
        Method::TRACE,
    ]
    .contains(method)
}

/// Whether the client asks for an upgrade that is passed on. One to HTTP/2 is
/// not: it would take the requests after it out of sight.
fn asks_upgrade(headers: &HeaderMap) -> bool {
    let mut protocols = headers.get_all(UPGRADE).iter();
    let one = protocols.next().filter(|_| protocols.next().is_none());
    one.is_some_and(|one| !has_token(one.as_bytes(), b"h2c"))
        && headers
            .get_all(CONNECTION)
            .iter()
            .any(|value| has_token(value.as_bytes(), b"upgrade"))
}

/// Whether a list of tokens, which may have parameters, has this one.
fn has_token(list: &[u8], token: &[u8]) -> bool {
    tokens(list).any(|found| found.eq_ignore_ascii_case(token))
}

fn tokens(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',').map(|item| {
        let end = item.iter().position(|byte| *byte == b';');
        item[..end.unwrap_or(item.len())].trim_ascii()
    })
}

/// Takes off what is meant for one connection only (RFC 9110, 7.6.1).
fn strip(headers: &mut HeaderMap) {
    // One pass over the names is less than a search for each of these.
    let mut found = [false; 6];
    let names = [
        &CONNECTION,
        &KEEP_ALIVE,
        &PROXY_CONNECTION,
        &TE,
        &TRANSFER_ENCODING,
        &UPGRADE,
    ];
    for name in headers.keys() {
        for (found, hop) in found.iter_mut().zip(names) {
            *found |= name == hop;
        }
    }
    if found[0] {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .flat_map(|value| tokens(value.as_bytes()))
            .filter_map(|token| HeaderName::from_bytes(token).ok())
            // Without these it would be another message.
            .filter(|name| *name != HOST && *name != CONTENT_LENGTH)
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for (found, hop) in found.into_iter().zip(names) {
        if found {
            headers.remove(hop);
        }
    }
}

/// Says who the client is.
fn forward(headers: &mut HeaderMap, origin: &Origin) {
    let said =
        |headers: &HeaderMap, name: &HeaderName| origin.trusted && headers.contains_key(name);
    if !origin.trusted {
        headers.remove(FORWARDED);
    }
    if !said(headers, &FORWARDED_PROTO) {
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
    if !said(headers, &FORWARDED_PORT) {
        headers.insert(FORWARDED_PORT, origin.port.clone());
    }
    if !said(headers, &FORWARDED_HOST) {
        match headers.get(HOST).cloned() {
            Some(host) => headers.insert(FORWARDED_HOST, host),
            None => headers.remove(FORWARDED_HOST),
        };
    }
    let chain = said(headers, &FORWARDED_FOR)
        .then(|| chain(headers, &origin.ip))
        .flatten();
    headers.insert(FORWARDED_FOR, chain.unwrap_or_else(|| origin.ip.clone()));
}

/// The addresses before ours, and `ip`.
fn chain(headers: &HeaderMap, ip: &HeaderValue) -> Option<HeaderValue> {
    let mut chain = Vec::new();
    for value in headers.get_all(FORWARDED_FOR) {
        chain.extend_from_slice(value.as_bytes());
        chain.extend_from_slice(b", ");
    }
    chain.extend_from_slice(ip.as_bytes());
    if chain.len() > CHAIN_MAX_BYTES {
        return None;
    }
    HeaderValue::from_bytes(&chain).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(trusted: bool) -> Origin {
        Origin {
            ip: HeaderValue::from_static("192.0.2.7"),
            port: HeaderValue::from_static("80"),
            trusted,
        }
    }

    /// A request with these header fields, after it was made one for a backend:
    /// its fields, sorted, and whether it asks for an upgrade.
    fn passed(
        target: &str,
        fields: &[(&str, &str)],
        trusted: bool,
    ) -> Result<(Vec<String>, bool), &'static str> {
        let mut request = http::Request::get(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        let upgrade =
            to_backend(&mut head, false, &origin(trusted)).map_err(|refused| refused.why)?;
        let mut fields: Vec<String> = head
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        fields.sort();
        fields.push(head.uri.to_string());
        Ok((fields, upgrade))
    }

    const OURS: [&str; 4] = [
        "x-forwarded-for: 192.0.2.7",
        "x-forwarded-host: a",
        "x-forwarded-port: 80",
        "x-forwarded-proto: http",
    ];

    fn with_ours(before: &[&str], target: &str) -> Vec<String> {
        let all = before.iter().chain(&OURS).chain([&target]);
        all.map(|s| (*s).to_owned()).collect()
    }

    #[test]
    fn what_is_for_one_connection_stays_behind() {
        let fields = [
            ("host", "a"),
            ("connection", "keep-alive, X-Secret , host"),
            ("x-secret", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("te", "gzip"),
            ("upgrade", "h2c"),
            ("accept", "*/*"),
        ];
        let (fields, upgrade) = passed("/x?y", &fields, false).unwrap();
        assert_eq!(fields, with_ours(&["accept: */*", "host: a"], "/x?y"));
        assert!(!upgrade);
    }

    #[test]
    fn an_upgrade_and_trailers_are_passed_on() {
        let fields = [
            ("host", "a"),
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("te", "trailers;q=1, gzip"),
        ];
        let (fields, upgrade) = passed("/", &fields, false).unwrap();
        let before = [
            "connection: upgrade",
            "host: a",
            "te: trailers",
            "upgrade: websocket",
        ];
        assert_eq!(fields, with_ours(&before, "/"));
        assert!(upgrade);
    }

    #[test]
    fn requests_are_not_taken_out_of_sight() {
        for protocol in ["h2c", "websocket, H2C"] {
            let fields = [
                ("host", "a"),
                ("connection", "Upgrade, HTTP2-Settings"),
                ("upgrade", protocol),
                ("http2-settings", "AAMAAABkAARAAAAAAAIAAAAA"),
            ];
            let (fields, upgrade) = passed("/", &fields, false).unwrap();
            assert_eq!(fields, with_ours(&["host: a"], "/"));
            assert!(!upgrade);
        }
    }

    #[test]
    fn whom_the_client_pretends_to_be_is_not_passed_on() {
        let pretended = [
            ("host", "a"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-host", "evil"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-port", "443"),
            ("forwarded", "for=10.0.0.1"),
        ];
        let (fields, _) = passed("/", &pretended, false).unwrap();
        assert_eq!(fields, with_ours(&["host: a"], "/"));
        let (fields, _) = passed("/", &pretended, true).unwrap();
        let expected = [
            "forwarded: for=10.0.0.1",
            "host: a",
            "x-forwarded-for: 10.0.0.1, 192.0.2.7",
            "x-forwarded-host: evil",
            "x-forwarded-port: 443",
            "x-forwarded-proto: https",
            "/",
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn an_absolute_target_names_the_host() {
        let (fields, _) = passed("http://u@a/x?y", &[("host", "evil")], false).unwrap();
        assert_eq!(fields, with_ours(&["host: a"], "/x?y"));
    }

    #[test]
    fn what_could_be_understood_in_two_ways_is_refused() {
        let check = |fields: &[(&str, &str)], why| {
            assert_eq!(passed("/", fields, false), Err(why), "{fields:?}");
        };
        check(&[], "no Host");
        check(&[("host", "a"), ("host", "b")], "more than one Host");
        let te = ("transfer-encoding", "chunked");
        check(&[("host", "a"), te, ("content-length", "1")], "two lengths");
        check(&[("host", "a"), te, te], "two transfer codings");
        let odd = ("transfer-encoding", "gzip, chunked");
        check(&[("host", "a"), odd], "unknown transfer coding");
        check(&[("host", "a"), ("expect", "x")], "unknown expectation");
    }

    #[test]
    fn an_answer_with_two_lengths_has_none() {
        let answer = http::Response::builder()
            .header("transfer-encoding", "chunked")
            .header("content-length", "5")
            .header("connection", "close, x-hop")
            .header("x-hop", "1")
            .header("x-end", "2");
        let (mut head, ()) = answer.body(()).unwrap().into_parts();
        to_client(&mut head, false);
        let names: Vec<&str> = head.headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["x-end"]);
    }
}
