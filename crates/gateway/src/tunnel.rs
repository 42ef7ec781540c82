//! A connection that was upgraded: bytes both ways, until both sides are done.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt as _, copy_bidirectional_with_sizes};

use crate::body::Way;
use crate::model::Failure;
use crate::proxy::Client;
use crate::upstream::Upgraded;
use crate::watch::Stage;

/// What is in memory of each direction, in bytes: a few frames of a WebSocket.
const BUFFER_BYTES: usize = 16 << 10;

/// Passes on what comes from either side. It counts as a request under way.
pub(crate) async fn run(client: Arc<Client>, way: Way, client_side: OnUpgrade) {
    poll_fn(|cx| {
        client.watch.owned_by(cx.waker());
        Poll::Ready(())
    })
    .await;
    client.watch.enter(Stage::Tunnel);
    let Way { upstream, ticket } = way;
    let outcome = copy(&client, client_side, upstream.upgraded()).await;
    drop(ticket);
    match outcome {
        Ok(()) => client.answered(),
        Err(why) => client.failed(why),
    }
}

async fn copy(
    client: &Client,
    client_side: OnUpgrade,
    mut theirs: Upgraded,
) -> Result<(), Failure> {
    let mut copying = pin!(async {
        // The answer to the client is sent first.
        let ours = client_side.await.map_err(|_| Failure::ClientGone)?;
        let mut ours = TokioIo::new(ours);
        if ours.write_all(&theirs.ahead).await.is_err() {
            return Err(Failure::ClientGone);
        }
        let stream = &mut theirs.stream;
        // How one ends is a matter of the two: many just hang up.
        let _ = copy_bidirectional_with_sizes(&mut ours, stream, BUFFER_BYTES, BUFFER_BYTES).await;
        Ok(())
    });
    poll_fn(|cx| match copying.as_mut().poll(cx) {
        Poll::Pending if client.watch.is_expired() => Poll::Ready(Err(Failure::Idle)),
        other => other,
    })
    .await
}
