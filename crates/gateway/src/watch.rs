//! Time-outs without timers: what moves leaves the time of it behind, and a
//! look at all connections, a few times a second, ends those that do not.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::model::Settings;

/// How often the connections are looked at, which is also how exact the clock
/// is: fine enough for time-outs, and nothing beside the traffic.
pub(crate) const TICK: Duration = Duration::from_millis(50);

/// Milliseconds since the gateway started, to the last tick.
#[derive(Debug)]
pub(crate) struct Clock {
    began: Instant,
    now_ms: AtomicU64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            // So that every time span reaches back to something above 0.
            began: Instant::now(),
            now_ms: AtomicU64::new(0),
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    pub(crate) fn tick(&self) {
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.now_ms.store(now_ms, Ordering::Relaxed);
    }
}

/// What a connection of a client is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stage {
    /// Between requests, or sending the last of an answer.
    Idle = 0,
    /// A head is being received.
    Head = 1,
    /// A request has no answer yet.
    Waiting = 2,
    /// An answer is passed on.
    Answering = 3,
    /// It was upgraded.
    Tunnel = 4,
}

/// One connection of a client, as it is looked at.
#[derive(Debug)]
pub(crate) struct Watch {
    clock: Arc<Clock>,
    stage: AtomicU8,
    /// When something moved last; in the stage of the head, when that began.
    moved_ms: AtomicU64,
    /// It took too long.
    expired: AtomicBool,
    /// No further request is wanted.
    closing: AtomicBool,
    /// Of the task that has the connection.
    waker: Mutex<Option<Waker>>,
}

impl Watch {
    pub(crate) fn new(clock: Arc<Clock>) -> Self {
        let moved_ms = AtomicU64::new(clock.now_ms());
        Self {
            clock,
            stage: AtomicU8::new(Stage::Idle as u8),
            moved_ms,
            expired: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            waker: Mutex::new(None),
        }
    }

    pub(crate) fn enter(&self, stage: Stage) {
        self.moved();
        self.stage.store(stage as u8, Ordering::Relaxed);
    }

    pub(crate) fn is(&self, stage: Stage) -> bool {
        self.stage.load(Ordering::Relaxed) == stage as u8
    }

    pub(crate) fn is_expired(&self) -> bool {
        self.expired.load(Ordering::Relaxed)
    }

    /// What had expired is answered, for which there is time again.
    pub(crate) fn renew(&self) {
        self.moved();
        self.expired.store(false, Ordering::Relaxed);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Ends the connection after the request that it has.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// Whose connection it is, from now on.
    pub(crate) fn owned_by(&self, waker: &Waker) {
        *self.waker() = Some(waker.clone());
    }

    /// Something came from the client.
    fn has_read(&self) {
        if self.is(Stage::Idle) {
            self.enter(Stage::Head);
        } else if !self.is(Stage::Head) {
            self.moved();
        }
    }

    pub(crate) fn moved(&self) {
        self.moved_ms.store(self.clock.now_ms(), Ordering::Relaxed);
    }

    fn waker(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        let waker = self.waker().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Sees whether it took too long.
    pub(crate) fn look(&self, settings: &Settings) {
        let limit_ms = match self.stage.load(Ordering::Relaxed) {
            s if s == Stage::Idle as u8 => settings.client_idle_ms,
            s if s == Stage::Head as u8 => settings.head_wait_ms,
            s if s == Stage::Tunnel as u8 => settings.tunnel_idle_ms,
            _ => settings.exchange_idle_ms,
        };
        let still_ms = self
            .clock
            .now_ms()
            .saturating_sub(self.moved_ms.load(Ordering::Relaxed));
        if still_ms > u64::from(limit_ms) {
            self.expired.store(true, Ordering::Relaxed);
            self.wake();
        }
    }
}

/// A client's socket, which says when something moves.
#[derive(Debug)]
pub(crate) struct Watched {
    stream: TcpStream,
    watch: Arc<Watch>,
}

impl Watched {
    pub(crate) const fn new(stream: TcpStream, watch: Arc<Watch>) -> Self {
        Self { stream, watch }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.watch.has_read();
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(1..)) = &polled {
            self.watch.moved();
        }
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        if let Poll::Ready(Ok(1..)) = &polled {
            self.watch.moved();
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
