//! A connection that is passed on as it is, whatever is spoken over it.
//!
//! | what happens | what becomes of a connection |
//! |---|---|
//! | no backend takes any, or none can be connected to | it is closed, nothing was passed on |
//! | its backend drains | it goes on; no new one goes there |
//! | its backend is taken away | it is closed, both ways |
//! | nothing moves for as long as the setting for tunnels says | it is closed |
//!
//! Where it goes is decided once, so nothing is ever sent twice.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::io::{AsyncWriteExt as _, copy_bidirectional_with_sizes};
use tokio::net::TcpStream;

use crate::backends::{Connected, Peer, Ticket};
use crate::model::Failure;
use crate::upstream;
use crate::watch::{Stage, Watch, Watched};
use crate::worker::Worker;

/// What is in memory of each direction, in bytes: a page of rows.
const BUFFER_BYTES: usize = 32 << 10;

/// The pause before a backend is tried again when there is no other.
const AGAIN: Duration = Duration::from_millis(50);

/// Passes on what comes from either side, to the end. It counts as a request
/// under way.
pub(crate) async fn run(worker: &Arc<Worker>, watch: &Arc<Watch>, mut ours: Watched) {
    poll_fn(|cx| {
        watch.owned_by(cx.waker());
        Poll::Ready(())
    })
    .await;
    watch.enter(Stage::Tunnel);
    worker.counts.request();
    match pass(worker, watch, &mut ours).await {
        Ok(()) => worker.counts.answered(),
        Err(why) => worker.counts.failed(why),
    }
    // Whoever is still there is told that it is over; one that is gone need not
    // hear it.
    let _ = ours.shutdown().await;
}

async fn pass(worker: &Arc<Worker>, watch: &Arc<Watch>, ours: &mut Watched) -> Result<(), Failure> {
    let (ticket, mut theirs, _connected) = connect(worker).await?;
    let peer = ticket.peer().clone();
    let mut copying = pin!(copy_bidirectional_with_sizes(
        ours,
        &mut theirs,
        BUFFER_BYTES,
        BUFFER_BYTES
    ));
    let mut taken_away = pin!(peer.taken_away());
    poll_fn(|cx| {
        // How it ends is a matter of the two: many just hang up.
        if copying.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        if taken_away.as_mut().poll(cx).is_ready() {
            peer.count_lost();
            return Poll::Ready(Err(Failure::Cut));
        }
        match watch.is_expired() {
            true => Poll::Ready(Err(Failure::Idle)),
            false => Poll::Pending,
        }
    })
    .await
}

/// A connection to a backend that takes some.
async fn connect(worker: &Arc<Worker>) -> Result<(Ticket, TcpStream, Connected), Failure> {
    let settings = &worker.shared.settings;
    let mut tried: Vec<Arc<Peer>> = Vec::new();
    let mut cause = Failure::NoBackend;
    for n in 0..settings.tries_max {
        if n > 0 {
            worker.counts.retry();
        }
        let ticket = pick(worker, &tried).await.ok_or(cause)?;
        let peer = ticket.peer().clone();
        if tried.iter().any(|t| Arc::ptr_eq(t, &peer)) {
            drop(ticket);
            tokio::time::sleep(AGAIN).await;
            tried.clear();
            continue;
        }
        match upstream::dial(&peer, settings).await {
            Ok((stream, connected)) => return Ok((ticket, stream, connected)),
            Err(_) => {
                cause = Failure::Connect;
                tried.push(peer);
            }
        }
    }
    Err(cause)
}

/// A backend; waits for one as long as is set.
async fn pick(worker: &Arc<Worker>, tried: &[Arc<Peer>]) -> Option<Ticket> {
    let backends = &worker.shared.backends;
    let until = Instant::now() + Duration::from_millis(worker.shared.settings.hold_ms.into());
    loop {
        let mut changed = pin!(backends.changed());
        changed.as_mut().enable();
        if let Some(ticket) = backends.pick(tried, worker.random()) {
            return Some(ticket);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        tokio::time::timeout(left, changed).await.ok()?;
    }
}
