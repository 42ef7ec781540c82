//! A connection to a backend. It is driven by whoever has a request on it, in
//! the same task as the client's connection, and by nobody while it is idle.

use std::sync::Arc;
use std::task::Context;
use std::time::Duration;
use std::{fmt, io};

use http::{Request, Response};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::backends::{Connected, Peer};
use crate::body::Sent;
use crate::model::{HEADERS_MAX, Settings};

type Driver = hyper::client::conn::http1::Connection<TokioIo<TcpStream>, Sent>;

/// Why a request has no answer.
#[derive(Debug)]
pub(crate) struct Unanswered {
    /// What it was.
    pub error: hyper::Error,
    /// The request, when nothing of it was sent.
    pub request: Option<Box<Request<Sent>>>,
}

/// A connection to a backend.
pub(crate) struct Upstream {
    /// Boxed, for it is large, and goes from hand to hand.
    driver: Box<Driver>,
    /// The connection is done with HTTP.
    ended: bool,
    sender: SendRequest<Sent>,
    /// When its last answer ended, by the gateway's clock.
    pub idle_since_ms: u64,
    connected: Connected,
}

/// A connection that does not speak HTTP any more.
#[derive(Debug)]
pub(crate) struct Upgraded {
    pub stream: TcpStream,
    /// What was read of it already.
    pub ahead: Bytes,
    _connected: Connected,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("idle_since_ms", &self.idle_since_ms)
            .finish_non_exhaustive()
    }
}

impl Upstream {
    /// Connects to `peer`, and tells it how that went.
    pub(crate) async fn connect(peer: &Arc<Peer>, settings: &Settings) -> io::Result<Self> {
        let (stream, connected) = dial(peer, settings).await?;
        let mut builder = Builder::new();
        builder
            .max_buf_size(settings.head_max_bytes as usize)
            .max_header_size(settings.head_max_bytes as usize);
        // What is so by itself is faster when it is not said.
        if settings.headers_max != HEADERS_MAX {
            builder.max_headers(settings.headers_max.into());
        }
        let (sender, driver) = builder
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        Ok(Self {
            driver: Box::new(driver),
            ended: false,
            sender,
            idle_since_ms: 0,
            connected,
        })
    }

    /// Moves what can be moved. Whether the connection goes on.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) -> bool {
        // What went wrong is told by the request or the answer.
        self.ended = self.ended || self.driver.poll_without_shutdown(cx).is_ready();
        !self.ended
    }

    /// Whether it could take a request now; as far as is known.
    pub(crate) fn is_free(&mut self, cx: &mut Context<'_>) -> bool {
        self.drive(cx) && self.sender.is_ready()
    }

    /// Sends a request. The answer comes as the connection is driven.
    pub(crate) fn send(
        &mut self,
        request: Request<Sent>,
    ) -> impl Future<Output = Result<Response<Incoming>, Unanswered>> + use<> {
        let answer = self.sender.try_send_request(request);
        async move {
            answer.await.map_err(|mut failed| Unanswered {
                request: failed.take_message().map(Box::new),
                error: failed.into_error(),
            })
        }
    }

    /// The connection itself, after an answer that ended HTTP on it.
    pub(crate) fn upgraded(self) -> Upgraded {
        let parts = self.driver.into_parts();
        Upgraded {
            stream: parts.io.into_inner(),
            ahead: parts.read_buf,
            _connected: self.connected,
        }
    }
}

/// Connects to `peer`, and tells it how that went.
pub(crate) async fn dial(
    peer: &Arc<Peer>,
    settings: &Settings,
) -> io::Result<(TcpStream, Connected)> {
    let patience = Duration::from_millis(settings.connect_wait_ms.into());
    let stream = tokio::time::timeout(patience, TcpStream::connect(peer.address()))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let stream = match stream {
        Ok(stream) => stream,
        Err(e) => {
            if !is_ours(&e) {
                peer.connect_failed();
            }
            return Err(e);
        }
    };
    let connected = peer.connected();
    stream.set_nodelay(true)?;
    Ok((stream, connected))
}

/// Whether a connection failed for something that is no fault of the backend.
fn is_ours(e: &io::Error) -> bool {
    use rustix::io::Errno;
    let ours = [
        Errno::ADDRNOTAVAIL,
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::NOMEM,
    ];
    e.raw_os_error()
        .is_some_and(|raw| ours.contains(&Errno::from_raw_os_error(raw)))
}
