//! Bodies on their way through: piece by piece, with no more in memory than
//! what was read last.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};

use crate::backends::Ticket;
use crate::model::Failure;
use crate::proxy::Client;
use crate::upstream::Upstream;
use crate::watch::Stage;

/// The body of a request, on its way to a backend.
#[derive(Debug)]
pub(crate) enum Sent {
    /// There is none.
    Empty,
    /// It is passed on once.
    Once(Incoming),
    /// What was passed on is kept, for another try.
    Replay(Reading),
}

impl Body for Sent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Once(body) => Pin::new(body).poll_frame(cx),
            Self::Replay(reading) => reading.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Once(body) => body.is_end_stream(),
            Self::Replay(reading) => reading.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Once(body) => body.size_hint(),
            Self::Replay(reading) => reading.size_hint(),
        }
    }
}

/// The body of an idempotent request, which can be read again from its start
/// for as long as not more than so much of it was read.
#[derive(Clone, Debug)]
pub(crate) struct Replay(Arc<Mutex<Tape>>);

#[derive(Debug)]
struct Tape {
    /// What was read so far, until it was too much.
    kept: Vec<Bytes>,
    kept_bytes: usize,
    most_bytes: usize,
    /// Something was read that is not kept.
    lost: bool,
    rest: Incoming,
}

impl Replay {
    pub(crate) fn new(body: Incoming, most_bytes: u32) -> Self {
        Self(Arc::new(Mutex::new(Tape {
            kept: Vec::new(),
            kept_bytes: 0,
            most_bytes: most_bytes as usize,
            lost: false,
            rest: body,
        })))
    }

    /// The body from its start; `None` when that is not kept any more. Whoever
    /// reads it already must be gone.
    pub(crate) fn read(&self) -> Option<Sent> {
        let lost = self.tape().lost;
        (!lost).then(|| {
            Sent::Replay(Reading {
                tape: self.clone(),
                next: 0,
            })
        })
    }

    fn tape(&self) -> std::sync::MutexGuard<'_, Tape> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One try to read a body.
#[derive(Debug)]
pub(crate) struct Reading {
    tape: Replay,
    /// The piece that comes next.
    next: usize,
}

impl Reading {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut tape = self.tape.tape();
        if let Some(piece) = tape.kept.get(self.next) {
            let piece = piece.clone();
            drop(tape);
            self.next += 1;
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        let polled = Pin::new(&mut tape.rest).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => match frame.data_ref() {
                Some(piece) if !tape.lost && tape.kept_bytes + piece.len() <= tape.most_bytes => {
                    tape.kept_bytes += piece.len();
                    tape.kept.push(piece.clone());
                    drop(tape);
                    self.next += 1;
                }
                // Trailers, or too much.
                _ => {
                    tape.lost = true;
                    tape.kept = Vec::new();
                }
            },
            // The client broke off: there is no rest to come.
            Poll::Ready(Some(Err(_))) => tape.lost = true,
            Poll::Ready(None) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        let tape = self.tape.tape();
        self.next >= tape.kept.len() && tape.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let tape = self.tape.tape();
        let ahead: usize = tape.kept.iter().skip(self.next).map(Bytes::len).sum();
        let rest = tape.rest.size_hint();
        match rest.exact() {
            Some(rest) => SizeHint::with_exact(rest + ahead as u64),
            None => SizeHint::new(),
        }
    }
}

/// An answer broke off, or took too long: the client's connection is closed.
#[derive(Debug, thiserror::Error)]
#[error("pass on an answer: it broke off")]
pub(crate) struct BrokenOff;

/// The body of an answer, on its way to the client.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A text of our own.
    Text(Option<Bytes>),
    /// A backend's.
    Passed(Box<Passed>),
}

impl Answer {
    pub(crate) const fn empty() -> Self {
        Self::Text(None)
    }
}

/// The body of a backend's answer.
#[derive(Debug)]
pub(crate) struct Passed {
    body: Incoming,
    /// What was read of it with the head.
    first: Option<Frame<Bytes>>,
    /// Until the end of the answer.
    way: Option<Way>,
    client: Arc<Client>,
}

/// What a request holds until its answer has ended.
#[derive(Debug)]
pub(crate) struct Way {
    pub upstream: Upstream,
    pub ticket: Ticket,
}

impl Way {
    /// The answer has ended: the connection may serve another request.
    pub(crate) fn end(mut self, client: &Client, cx: &mut Context<'_>) {
        if self.upstream.is_free(cx) {
            client.keep(self.ticket.peer(), self.upstream);
        }
        client.answered();
    }
}

/// Reads on in an answer, and lets its connection move where there is nothing
/// yet.
pub(crate) fn poll_driven(
    body: &mut Incoming,
    upstream: &mut Upstream,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
    let polled = Pin::new(&mut *body).poll_frame(cx);
    if polled.is_pending() {
        // That look told the connection that more is wanted.
        upstream.drive(cx);
        return Pin::new(body).poll_frame(cx);
    }
    polled
}

impl Passed {
    /// Passes on `body`, of which `first` was read.
    pub(crate) fn new(
        body: Incoming,
        first: Option<Frame<Bytes>>,
        way: Way,
        client: Arc<Client>,
        cx: &mut Context<'_>,
    ) -> Self {
        let mut this = Self {
            body,
            first,
            way: Some(way),
            client,
        };
        if this.body.is_end_stream() {
            this.end(cx);
        }
        this
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        if let Some(way) = self.way.take() {
            way.end(&self.client, cx);
        }
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        let Some(way) = &mut self.way else {
            return Poll::Ready(None);
        };
        match poll_driven(&mut self.body, &mut way.upstream, cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(frame))) => {
                self.client.moved();
                if self.body.is_end_stream() {
                    self.end(cx);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                self.end(cx);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(_))) => {
                if let Some(way) = self.way.take() {
                    way.ticket.peer().count_lost();
                    self.client.failed(Failure::Cut);
                }
                Poll::Ready(Some(Err(BrokenOff)))
            }
        }
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        // Nobody read it to its end.
        if self.way.take().is_some() {
            self.client.failed(if self.client.watch.is_expired() {
                Failure::Idle
            } else {
                Failure::ClientGone
            });
            self.client.watch.enter(Stage::Idle);
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match self.get_mut() {
            Self::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Passed(passed) => passed.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(text) => text.is_none(),
            Self::Passed(passed) => passed.first.is_none() && passed.way.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => {
                SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64))
            }
            Self::Passed(passed) => {
                let first = passed.first.as_ref().and_then(Frame::data_ref);
                let first = first.map_or(0, |data| data.len() as u64);
                match passed.body.size_hint().exact() {
                    Some(rest) => SizeHint::with_exact(rest + first),
                    None => SizeHint::new(),
                }
            }
        }
    }
}
