//! From a request to its answer.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use backout_api::front::CallLog;
use backout_api::native::auth::Channel;
use backout_api::native::dto::RequestLine;
use backout_api::native::{Call, Kind, Native, NativeError, is_idempotency_key};
use backout_core::ids::RequestId;
use backout_jobs::Idempotency;
use backout_wire::{RawRequest, Reply};
use futures_util::FutureExt as _;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, ETAG, EXPECT, HeaderName, HeaderValue,
    IF_NONE_MATCH, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{Method, Request, Response, StatusCode, request::Parts};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::{Bytes, Incoming};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tower_service::Service as _;

use crate::App;
use crate::body::{self, Read};
use crate::listener::Phase;
use crate::native::{self, Action, render};
use crate::request_log::RequestLog;
use crate::vendor::VendorHandler;

/// The longest body of a native call: sixteen times the longest policy.
const NATIVE_BODY_MAX: usize = 1 << 20;
/// The longest text of another layer's refusal that is passed on.
const REFUSAL_BYTES_MAX: usize = 4096;

/// What an answer's bytes come from: all at once, or a stream of events.
pub(crate) type Payload = Either<Full<Bytes>, Body>;

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) ip: IpAddr,
    pub(crate) tls: bool,
}

impl Peer {
    fn channel(self) -> Channel {
        Channel {
            private: self.tls || self.ip.is_loopback(),
        }
    }
}

/// An answer, with what the request log is told of it.
struct Answered {
    response: Response<Payload>,
    call: CallLog,
}

pub(crate) struct Dispatch {
    native: Arc<Native>,
    vendor: Arc<dyn VendorHandler>,
    log: RequestLog,
    router: axum::Router,
}

impl Dispatch {
    pub(crate) fn new(app: App, phase: watch::Receiver<Phase>) -> Self {
        Self {
            router: native::router(Arc::clone(&app.native), phase),
            native: app.native,
            vendor: app.vendor,
            log: app.log,
        }
    }

    /// Answers a request, whatever happens, and writes it into the request log.
    pub(crate) async fn answer(&self, request: Request<Incoming>, peer: Peer) -> Response<Payload> {
        let began = Instant::now();
        let (parts, body) = request.into_parts();
        let answered = AssertUnwindSafe(self.route(&parts, body, peer))
            .catch_unwind()
            .await;
        let answered = answered.unwrap_or_else(|_panic| {
            let request = self.native.new_request();
            tracing::error!(
                request = %request,
                method = %parts.method,
                path = parts.uri.path(),
                "a request panicked"
            );
            let error = NativeError::internal("answer: a fault inside; report this request id");
            refusal(&request, error, None)
        });
        let line = RequestLine {
            at: self.native.clock().now().iso8601(),
            request_id: answered.call.request.0,
            account: answered.call.account,
            surface: answered.call.protocol.to_owned(),
            action: answered.call.action,
            code: answered.call.code,
            status: answered.response.status().as_u16(),
            duration_us: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
            peer: peer.ip.to_string(),
        };
        self.log.append(&line).await;
        answered.response
    }

    async fn route(&self, parts: &Parts, body: Incoming, peer: Peer) -> Answered {
        let path = parts.uri.path();
        if native::is_path(path) {
            return self.native(parts, body, peer).await;
        }
        // Vendors' refusals have status 200, which would make a tunnel of it.
        if parts.method == Method::CONNECT {
            let request = self.native.new_request();
            let error = NativeError::method_not_allowed("CONNECT", "a host");
            let mut answered = refusal(&request, error, None);
            close(&mut answered.response);
            return answered;
        }
        let headers = raw_headers(parts);
        let head = raw(parts, &headers, b"");
        let limit = self.vendor.body_limit(head);
        let may_wait = parts.headers.contains_key(EXPECT);
        let (bytes, too_large) = match body::read(body, limit, may_wait).await {
            Read::Whole(bytes) => (bytes, false),
            Read::TooLarge(bytes) => (bytes, true),
            other => return self.unreadable(&other),
        };
        let answer = self
            .vendor
            .handle(raw(parts, &headers, &bytes), too_large)
            .await;
        let mut answered = match answer {
            Some((reply, call)) => Answered {
                response: vendor_response(reply, &call.request),
                call,
            },
            None => {
                let message = format!(
                    "find what {} {} is: this is Backout; its own API is below /v1 (see /openapi.json), \
                     a vendor's call is told by its Authorization header, X-TC-Action, or Action and \
                     Signature among its parameters",
                    parts.method,
                    path.chars().take(80).collect::<String>()
                );
                let request = self.native.new_request();
                let mut answered = refusal(&request, NativeError::not_found(message), None);
                answered.call.protocol = "none";
                answered
            }
        };
        if too_large {
            close(&mut answered.response);
        }
        answered
    }

    fn unreadable(&self, why: &Read) -> Answered {
        let message = match why {
            Read::Slow => "read the body: it takes too long",
            _ => "read the body: it ends before its length, or is malformed",
        };
        let request = self.native.new_request();
        let mut answered = refusal(&request, NativeError::malformed(message), None);
        close(&mut answered.response);
        answered
    }

    async fn native(&self, parts: &Parts, body: Incoming, peer: Peer) -> Answered {
        let may_wait = parts.headers.contains_key(EXPECT);
        let bytes = match body::read(body, NATIVE_BODY_MAX, may_wait).await {
            Read::Whole(bytes) => bytes,
            Read::TooLarge(_) => {
                let request = self.native.new_request();
                let mut answered = refusal(&request, NativeError::too_large(NATIVE_BODY_MAX), None);
                close(&mut answered.response);
                return answered;
            }
            other => return self.unreadable(&other),
        };
        let request = self.native.new_request();
        let mut call = CallLog {
            request: request.clone(),
            account: None,
            protocol: "native",
            action: None,
            code: None,
        };
        // Here rather than around it all: the answer keeps its request id.
        let answered = AssertUnwindSafe(self.native_answer(parts, bytes, peer, &mut call))
            .catch_unwind()
            .await;
        let mut response = match answered {
            Ok(Ok(response)) => response,
            Ok(Err(Refused { error, allow })) => {
                call.code = Some(error.code.as_str().to_owned());
                let mut response = error_response(&request, &error, Some(peer));
                if let Some(allow) = allow {
                    response.headers_mut().insert(ALLOW, allow);
                }
                response
            }
            Err(_panic) => {
                tracing::error!(request = %request, path = parts.uri.path(), "a native call panicked");
                let error = NativeError::internal("answer: a fault inside; report this request id");
                call.code = Some(error.code.as_str().to_owned());
                error_response(&request, &error, None)
            }
        };
        set(&mut response, REQUEST_ID, &request.0);
        Answered { response, call }
    }

    async fn native_answer(
        &self,
        parts: &Parts,
        bytes: Bytes,
        peer: Peer,
        call: &mut CallLog,
    ) -> Result<Response<Payload>, Refused> {
        let path = parts.uri.path();
        let mut inner = Request::new(Body::empty());
        // A HEAD is answered as its GET, whose body is then left out: so that
        // both have the same tag.
        *inner.method_mut() = match parts.method {
            Method::HEAD => Method::GET,
            ref other => other.clone(),
        };
        // Only path and query: an absolute target names a host, which is
        // nobody's business below.
        *inner.uri_mut() = parts.uri.path_and_query().map_or_else(
            || http::Uri::from_static("/"),
            |target| target.clone().into(),
        );
        *inner.headers_mut() = parts.headers.clone();
        if !native::is_public(path) {
            let headers = raw_headers(parts);
            let principal = self
                .native
                .authenticate(raw(parts, &headers, &bytes), peer.channel())
                .await?;
            call.account = Some(principal.account.to_string());
            inner.extensions_mut().insert(Call {
                principal,
                request: call.request.clone(),
                idempotency: idempotency(parts, &bytes)?,
            });
        }
        *inner.body_mut() = Body::from(bytes);
        // Cannot fail: its error type has no values.
        let answer = self.router.clone().call(inner).await;
        let Ok(mut response) = answer;
        call.action = response
            .extensions_mut()
            .remove::<Action>()
            .map(|action| action.0.to_owned());
        if let Some(error) = response.extensions_mut().remove::<NativeError>() {
            return Err(error.into());
        }
        let status = response.status();
        if status.is_client_error() || status.is_server_error() {
            let allow = response.headers_mut().remove(ALLOW);
            let error = foreign_refusal(parts, response).await;
            return Err(Refused { error, allow });
        }
        if native::is_stream(&response) {
            set(&mut response, CACHE_CONTROL, "no-store");
            return Ok(response.map(Either::Right));
        }
        let is_get = matches!(parts.method, Method::GET | Method::HEAD);
        let (mut head, body) = response.into_parts();
        let bytes = body
            .collect()
            .await
            .map_err(|e| {
                tracing::error!(request = %call.request, error = %e, "an answer could not be put together");
                NativeError::internal("answer: a fault inside; report this request id")
            })?
            .to_bytes();
        let mut response = if is_get && status == StatusCode::OK {
            let tag = format!("\"{}\"", &hex::encode(Sha256::digest(&bytes))[..32]);
            let unchanged = matches_tag(parts, &tag);
            if unchanged {
                head.status = StatusCode::NOT_MODIFIED;
                head.headers.remove(CONTENT_TYPE);
            }
            let bytes = if unchanged { Bytes::new() } else { bytes };
            let mut response = Response::from_parts(head, Either::Left(Full::new(bytes)));
            set(&mut response, ETAG, &tag);
            response
        } else {
            Response::from_parts(head, Either::Left(Full::new(bytes)))
        };
        let cache = if is_get {
            "private, no-cache"
        } else {
            "no-store"
        };
        set(&mut response, CACHE_CONTROL, cache);
        Ok(response)
    }
}

/// A refusal, with the methods that the path does have.
struct Refused {
    error: NativeError,
    allow: Option<HeaderValue>,
}

impl From<NativeError> for Refused {
    fn from(error: NativeError) -> Self {
        Self { error, allow: None }
    }
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Names and values as they came, in their order within a name.
fn raw_headers(parts: &Parts) -> Vec<(&str, &[u8])> {
    let mut out = Vec::with_capacity(parts.headers.len());
    out.extend(
        parts
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes())),
    );
    out
}

fn raw<'a>(parts: &'a Parts, headers: &'a [(&'a str, &'a [u8])], body: &'a [u8]) -> RawRequest<'a> {
    RawRequest {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or(""),
        headers,
        body,
    }
}

fn idempotency(parts: &Parts, body: &[u8]) -> Result<Option<Idempotency>, NativeError> {
    let mut values = parts.headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let key = value
        .to_str()
        .ok()
        .filter(|key| values.next().is_none() && is_idempotency_key(key))
        .ok_or_else(|| {
            NativeError::malformed(
                "read the Idempotency-Key: give one, of 1 to 128 visible ASCII characters",
            )
        })?;
    let mut hash = Sha256::new();
    for part in [
        parts.method.as_str().as_bytes(),
        parts.uri.path().as_bytes(),
    ] {
        hash.update(part);
        hash.update(b"\n");
    }
    hash.update(body);
    Ok(Some(Idempotency {
        key: key.to_owned(),
        hash: hex::encode(hash.finalize()),
    }))
}

/// Whether `If-None-Match` has the tag, or `*`.
fn matches_tag(parts: &Parts, tag: &str) -> bool {
    parts
        .headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

/// A refusal that the router made by itself.
async fn foreign_refusal(parts: &Parts, response: Response<Body>) -> NativeError {
    let (method, path) = (parts.method.as_str(), parts.uri.path());
    let status = response.status();
    if status == StatusCode::METHOD_NOT_ALLOWED {
        return NativeError::method_not_allowed(method, path);
    }
    if status == StatusCode::NOT_FOUND {
        return NativeError::not_found(format!(
            "find {method} {}: there is no such path, see /openapi.json",
            path.chars().take(80).collect::<String>()
        ));
    }
    let limited = http_body_util::Limited::new(response.into_body(), REFUSAL_BYTES_MAX);
    let text = limited.collect().await.map(|b| b.to_bytes());
    let text = text.map_or_else(
        |_| String::new(),
        |bytes| String::from_utf8_lossy(&bytes).into_owned(),
    );
    if status.is_client_error() {
        return NativeError::malformed(format!("read the request: {text}"));
    }
    tracing::error!(status = status.as_u16(), path, detail = %text, "the router failed");
    NativeError::internal("answer: a fault inside; report this request id")
}

fn refusal(request: &RequestId, error: NativeError, peer: Option<Peer>) -> Answered {
    let mut response = error_response(request, &error, peer);
    set(&mut response, REQUEST_ID, &request.0);
    Answered {
        response,
        call: CallLog {
            request: request.clone(),
            account: None,
            protocol: "native",
            action: None,
            code: Some(error.code.as_str().to_owned()),
        },
    }
}

const fn status_of(kind: Kind) -> StatusCode {
    match kind {
        Kind::Malformed => StatusCode::BAD_REQUEST,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::Throttled => StatusCode::TOO_MANY_REQUESTS,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn error_response(
    request: &RequestId,
    error: &NativeError,
    peer: Option<Peer>,
) -> Response<Payload> {
    let mut response = Response::new(Either::Left(Full::new(render(request, error))));
    *response.status_mut() = status_of(error.kind);
    set(&mut response, CONTENT_TYPE, "application/json");
    set(&mut response, CACHE_CONTROL, "no-store");
    match error.kind {
        Kind::Unauthenticated => {
            let headers = response.headers_mut();
            headers.append(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("TC3-HMAC-SHA256"),
            );
            // Only where it would be accepted: a browser asks for it.
            if peer.is_some_and(|peer| peer.channel().private) {
                headers.append(
                    WWW_AUTHENTICATE,
                    HeaderValue::from_static("Basic realm=\"backout\", charset=\"UTF-8\""),
                );
            }
        }
        Kind::Throttled | Kind::Unavailable => set(&mut response, RETRY_AFTER, "1"),
        _ => {}
    }
    response
}

fn vendor_response(reply: Reply, request: &RequestId) -> Response<Payload> {
    let mut response = Response::new(Either::Left(Full::new(reply.body.into())));
    match StatusCode::from_u16(reply.status) {
        Ok(status) => *response.status_mut() = status,
        Err(_) => {
            tracing::error!(request = %request, status = reply.status, "a reply has an impossible status");
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
    }
    for (name, value) in reply.headers {
        match (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::try_from(value),
        ) {
            (Ok(name), Ok(value)) => {
                response.headers_mut().append(name, value);
            }
            _ => {
                tracing::error!(request = %request, header = name, "a reply has an impossible header");
            }
        }
    }
    response
}

fn close(response: &mut Response<Payload>) {
    set(response, CONNECTION, "close");
}

/// Sets a header to a text of ours; one that cannot be a header is left out.
fn set<B>(response: &mut Response<B>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
