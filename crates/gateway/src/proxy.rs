//! One request: to whom it goes, what is done when that fails, and how its
//! answer comes back.
//!
//! | what failed | tried again |
//! |---|---|
//! | no connection could be made | always, elsewhere: nothing was sent |
//! | the connection ended before anything of the request was sent | always |
//! | it ended, or was reset, before the answer's head was there | GET, HEAD, OPTIONS, TRACE, PUT and DELETE whose body is kept: up to `replay_max_bytes` of it were sent |
//! | the same, for any other method | never: it may have been carried out |
//! | it ended with the head, before anything of the answer's body was there | the same |
//! | what came is no HTTP, or the answer took too long, or broke off later | never |
//!
//! A request that must not be sent twice takes an idle connection only when that
//! was in use a moment ago (`fresh_ms`), so that it does not meet a backend that
//! is just closing it.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, request};
use hyper::body::{Body as _, Bytes, Frame, Incoming};
use hyper::upgrade::OnUpgrade;

use crate::backends::{Peer, Ticket};
use crate::body::{Answer, Passed, Replay, Sent, Way, poll_driven};
use crate::head::{self, Origin, Refused};
use crate::model::Failure;
use crate::tunnel;
use crate::upstream::{Unanswered, Upstream};
use crate::watch::{Stage, Watch};
use crate::worker::{Registered, Worker};

/// The pause before a backend that could not be connected to is tried again,
/// when there is no other.
const AGAIN: Duration = Duration::from_millis(20);

/// One connection of a client, for its requests.
#[derive(Debug)]
pub(crate) struct Client {
    pub worker: Arc<Worker>,
    pub watch: Arc<Watch>,
    pub origin: Origin,
    /// Looked at for as long as anybody has this.
    pub _registered: Registered,
}

impl Client {
    /// Something of the answer came.
    pub(crate) fn moved(&self) {
        self.watch.moved();
    }

    /// Keeps a connection for another request of any client.
    pub(crate) fn keep(&self, peer: &Peer, mut upstream: Upstream) {
        let worker = &self.worker;
        upstream.idle_since_ms = worker.shared.clock.now_ms();
        let most = worker.shared.settings.pool_max.into();
        peer.keep(worker.number, upstream, most);
    }

    /// A backend has answered a request to the end.
    pub(crate) fn answered(&self) {
        self.worker.counts.answered();
        self.watch.enter(Stage::Idle);
    }

    pub(crate) fn failed(&self, why: Failure) {
        self.worker.counts.failed(why);
    }
}

/// Why there is no answer.
enum No {
    /// For this cause.
    Because(Failure),
    /// The connection was lost, and the request may be sent again.
    Again(Box<Request<Sent>>),
}

/// An answer that began well.
struct Found {
    answer: Response<Incoming>,
    /// What was there of its body already, so that it is sent with the head.
    first: Option<Frame<Bytes>>,
    way: Way,
}

/// Answers one request.
pub(crate) async fn exchange(
    client: Arc<Client>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    client.watch.enter(Stage::Waiting);
    client.worker.counts.request();
    let line = client.worker.shared.access.line(&client, &request);
    let answer = answer(&client, request).await.unwrap_or_else(|answer| {
        client.watch.renew();
        client.watch.enter(Stage::Idle);
        answer
    });
    if let Some(line) = line {
        client.worker.shared.access.write(line, answer.status());
    }
    Ok(answer)
}

/// The answer of a backend, or one of our own.
async fn answer(
    client: &Arc<Client>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Response<Answer>> {
    let (mut head, body) = request.into_parts();
    let has_body = !body.is_end_stream();
    let upgrade = head::to_backend(&mut head, has_body, &client.origin).map_err(|refused| {
        client.failed(Failure::BadRequest);
        refusal(refused)
    })?;
    let client_side = upgrade
        .then(|| head.extensions.remove::<OnUpgrade>())
        .flatten();
    let mut attempt = Attempt::new(client, head, body);
    let found = attempt.run().await.map_err(|why| {
        client.failed(why);
        own_answer(why)
    })?;
    pass_on(client, found, client_side).await
}

/// The answer, as the client gets it.
async fn pass_on(
    client: &Arc<Client>,
    found: Found,
    client_side: Option<OnUpgrade>,
) -> Result<Response<Answer>, Response<Answer>> {
    let Found { answer, first, way } = found;
    let (mut head, body) = answer.into_parts();
    let upgraded = head.status == StatusCode::SWITCHING_PROTOCOLS;
    head::to_client(&mut head, upgraded);
    if head.status.is_server_error() {
        way.ticket.peer().count_error();
    }
    client.watch.enter(Stage::Answering);
    if !upgraded {
        let mut parts = Some((body, first, way));
        let body = poll_fn(|cx| {
            let parts = parts.take();
            Poll::Ready(
                parts.map(|(body, first, way)| Passed::new(body, first, way, client.clone(), cx)),
            )
        })
        .await;
        let body = body.map_or_else(Answer::empty, |body| Answer::Passed(Box::new(body)));
        return Ok(Response::from_parts(head, body));
    }
    let Some(client_side) = client_side else {
        // Nobody asked for it.
        way.ticket.peer().count_lost();
        client.failed(Failure::BadAnswer);
        return Err(own_answer(Failure::BadAnswer));
    };
    tokio::spawn(tunnel::run(client.clone(), way, client_side));
    head.extensions.clear();
    Ok(Response::from_parts(head, Answer::empty()))
}

/// A request on its way to an answer.
struct Attempt<'a> {
    client: &'a Arc<Client>,
    /// What is sent next.
    request: Option<Request<Sent>>,
    /// The head, for another try of a request that may be sent twice.
    head: Option<(Method, Uri, HeaderMap)>,
    /// Its body, when it has one.
    replay: Option<Replay>,
    /// It must not be sent twice.
    once: bool,
    /// Those that failed.
    tried: Vec<Arc<Peer>>,
}

impl<'a> Attempt<'a> {
    fn new(client: &'a Arc<Client>, mut head: request::Parts, body: Incoming) -> Self {
        // Our own protocol's leftovers mean nothing to the backend.
        head.extensions.clear();
        let once = !head::is_idempotent(&head.method);
        let copy = (!once).then(|| (head.method.clone(), head.uri.clone(), head.headers.clone()));
        let (body, replay) = if body.is_end_stream() {
            (Sent::Empty, None)
        } else if once {
            (Sent::Once(body), None)
        } else {
            let most_bytes = client.worker.shared.settings.replay_max_bytes;
            let replay = Replay::new(body, most_bytes);
            (replay.read().unwrap_or(Sent::Empty), Some(replay))
        };
        Self {
            client,
            request: Some(Request::from_parts(head, body)),
            head: copy,
            replay,
            once,
            tried: Vec::new(),
        }
    }

    /// Tries until there is an answer, or none is to be had.
    async fn run(&mut self) -> Result<Found, Failure> {
        let worker = self.client.worker.clone();
        let tries = worker.shared.settings.tries_max;
        let mut cause = Failure::NoBackend;
        for n in 0..tries {
            if n > 0 {
                worker.counts.retry();
            }
            let Some(ticket) = self.pick().await else {
                return Err(cause);
            };
            let peer = ticket.peer().clone();
            let again = self.tried.iter().any(|tried| Arc::ptr_eq(tried, &peer));
            if again && cause == Failure::Connect {
                drop(ticket);
                tokio::time::sleep(AGAIN).await;
                self.tried.clear();
                continue;
            }
            // A second try does not trust in what lay idle.
            let Ok(upstream) = self.connection(&peer, n == 0).await else {
                cause = Failure::Connect;
                self.tried.push(peer);
                continue;
            };
            let Some(request) = self.request.take() else {
                return Err(cause);
            };
            let way = Way { upstream, ticket };
            match self.send(request, way).await {
                Ok(found) => return Ok(found),
                Err(No::Because(why)) => return Err(why),
                Err(No::Again(request)) => {
                    cause = Failure::Lost;
                    self.request = Some(*request);
                    self.tried.push(peer);
                }
            }
        }
        Err(cause)
    }

    /// A backend; waits for one as long as is set.
    async fn pick(&self) -> Option<Ticket> {
        let worker = &self.client.worker;
        let backends = &worker.shared.backends;
        let found = backends.pick(&self.tried, worker.random());
        let hold = Duration::from_millis(worker.shared.settings.hold_ms.into());
        if found.is_some() || hold.is_zero() {
            return found;
        }
        let until = Instant::now() + hold;
        loop {
            let mut changed = pin!(backends.changed());
            changed.as_mut().enable();
            if let Some(ticket) = backends.pick(&self.tried, worker.random()) {
                // The backend has all the time there is.
                self.client.watch.renew();
                return Some(ticket);
            }
            let left = until.saturating_duration_since(Instant::now());
            tokio::time::timeout(left, changed).await.ok()?;
        }
    }

    /// A connection to `peer`: an idle one when `may_be_idle`, or a new one.
    async fn connection(&self, peer: &Arc<Peer>, may_be_idle: bool) -> std::io::Result<Upstream> {
        let worker = &self.client.worker;
        let settings = &worker.shared.settings;
        let age_ms = if self.once {
            settings.fresh_ms.min(settings.backend_idle_ms)
        } else {
            settings.backend_idle_ms
        };
        let since_ms = worker.shared.clock.now_ms().saturating_sub(age_ms.into());
        while may_be_idle && let Some(mut idle) = peer.take_idle(worker.number, since_ms) {
            if poll_fn(|cx| Poll::Ready(idle.is_free(cx))).await {
                return Ok(idle);
            }
        }
        Upstream::connect(peer, settings).await
    }

    /// Sends the request and waits for the head of the answer.
    async fn send(&self, request: Request<Sent>, mut way: Way) -> Result<Found, No> {
        let watch = &self.client.watch;
        let mut answer = pin!(way.upstream.send(request));
        let answer = poll_fn(|cx| {
            way.upstream.drive(cx);
            match answer.as_mut().poll(cx) {
                Poll::Pending if watch.is_expired() => Poll::Ready(None),
                other => other.map(Some),
            }
        })
        .await;
        match answer {
            Some(Ok(answer)) => self.begin(answer, way).await,
            Some(Err(unanswered)) => Err(self.unanswered(unanswered, way)),
            None => {
                way.ticket.peer().count_lost();
                Err(No::Because(Failure::Idle))
            }
        }
    }

    /// Looks what there is of the body already.
    async fn begin(&self, answer: Response<Incoming>, mut way: Way) -> Result<Found, No> {
        let (head, mut body) = answer.into_parts();
        let mut first = None;
        if !body.is_end_stream() {
            let found = poll_fn(|cx| {
                let upstream = &mut way.upstream;
                Poll::Ready(poll_driven(&mut body, upstream, cx))
            });
            match found.await {
                Poll::Ready(Some(Ok(frame))) => first = Some(frame),
                Poll::Ready(Some(Err(_))) => return Err(self.lost(way)),
                Poll::Ready(None) | Poll::Pending => {}
            }
        }
        let answer = Response::from_parts(head, body);
        Ok(Found { answer, first, way })
    }

    fn unanswered(&self, unanswered: Unanswered, way: Way) -> No {
        let Unanswered { error, request } = unanswered;
        if let Some(request) = request {
            return again(*request);
        }
        if error.is_user() || error.is_body_write_aborted() {
            // The client did not send what it said.
            return No::Because(Failure::ClientGone);
        }
        if error.is_parse() || error.is_parse_too_large() {
            way.ticket.peer().count_lost();
            return No::Because(Failure::BadAnswer);
        }
        self.lost(way)
    }

    /// The connection is lost, and the request may have been carried out.
    fn lost(&self, way: Way) -> No {
        way.ticket.peer().count_lost();
        // What still reads the body is gone with the connection.
        drop(way);
        self.renewed().map_or(No::Because(Failure::Lost), again)
    }

    /// The request once more, when it may be sent twice.
    fn renewed(&self) -> Option<Request<Sent>> {
        let (method, uri, headers) = self.head.clone()?;
        let body = match &self.replay {
            None => Sent::Empty,
            Some(replay) => replay.read()?,
        };
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Some(request)
    }
}

fn again(request: Request<Sent>) -> No {
    No::Again(Box::new(request))
}

fn refusal(refused: Refused) -> Response<Answer> {
    let mut answer = text(refused.status, refused.why);
    // What follows such a request on the connection may not be one.
    answer
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

fn own_answer(why: Failure) -> Response<Answer> {
    match why {
        Failure::NoBackend => text(
            StatusCode::SERVICE_UNAVAILABLE,
            "no instance takes requests now",
        ),
        Failure::Idle => text(StatusCode::GATEWAY_TIMEOUT, "the instance did not answer"),
        Failure::Connect => text(StatusCode::BAD_GATEWAY, "no instance can be reached"),
        _ => text(StatusCode::BAD_GATEWAY, "the instance broke off"),
    }
}

fn text(status: StatusCode, text: &'static str) -> Response<Answer> {
    let line = format!("{} {text}\n", status.as_u16());
    let mut answer = Response::new(Answer::Text(Some(Bytes::from(line))));
    *answer.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, plain);
    answer
}
