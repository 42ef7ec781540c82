//! A job's events as server-sent events.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use backout_api::native::Native;
use backout_api::native::dto::Event;
use backout_core::ids::JobId;
use backout_jobs::EventKind;
use futures_util::stream;
use hyper::body::Bytes;
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::listener::Phase;

/// How many streams there may be: a third of all connections.
pub(crate) const STREAMS_MAX: usize = 256;
/// How long a stream lives. Clients go on with `Last-Event-ID`, and are
/// authenticated anew.
const LIFETIME: Duration = Duration::from_secs(30 * 60);
/// After how long silence a comment is sent: proxies give up after a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How many events are read at once.
const BATCH: usize = 100;
/// How long a client waits before it connects again.
const RETRY_MS: u32 = 1000;

struct Follow {
    native: Arc<Native>,
    job: JobId,
    after: i64,
    until: Instant,
    phase: watch::Receiver<Phase>,
    started: bool,
    done: bool,
    /// Given back when the client goes, or the stream ends.
    _permit: OwnedSemaphorePermit,
}

/// The events of `job` after `after`, until the one that tells how it ended.
pub(crate) fn follow(
    native: Arc<Native>,
    job: JobId,
    after: i64,
    phase: watch::Receiver<Phase>,
    permit: OwnedSemaphorePermit,
) -> Body {
    let follow = Follow {
        native,
        job,
        after,
        until: Instant::now() + LIFETIME,
        phase,
        started: false,
        done: false,
        _permit: permit,
    };
    Body::from_stream(stream::unfold(follow, |mut follow| async move {
        let chunk = follow.next().await?;
        Some((Ok::<_, Infallible>(chunk), follow))
    }))
}

impl Follow {
    async fn next(&mut self) -> Option<Bytes> {
        if self.done {
            return None;
        }
        if !self.started {
            self.started = true;
            // At once, so that the client knows that it is connected.
            return Some(Bytes::from(format!("retry: {RETRY_MS}\n\n")));
        }
        if Instant::now() >= self.until {
            return None;
        }
        let jobs = self.native.jobs();
        let events = tokio::select! {
            biased;
            _ = self.phase.wait_for(|p| *p > Phase::Serving) => return None,
            events = jobs.next_events(&self.job, self.after, BATCH, HEARTBEAT) => events,
        };
        let events = match events {
            Ok(events) => events,
            // It was removed, or the store is away: the client comes back and
            // is told.
            Err(e) => {
                tracing::warn!(job = %self.job, error = %e, "a stream of events ends early");
                return None;
            }
        };
        let Some(last) = events.last() else {
            // Nothing happened, or nothing will.
            let over = jobs.get(&self.job).await.is_ok_and(|job| job.is_done());
            self.done = over;
            return Some(Bytes::from_static(b": still here\n\n"));
        };
        self.after = last.seq;
        let ended = matches!(
            last.kind,
            EventKind::Applied | EventKind::Reverted | EventKind::Held
        );
        // A held job may have gone on since.
        self.done = ended && jobs.get(&self.job).await.is_ok_and(|job| job.is_done());
        let mut text = String::new();
        for event in events {
            let event = Event::from(event);
            // Neither fails: a String grows, and the event is flat.
            let data = serde_json::to_string(&event).unwrap_or_default();
            let _ = write!(
                text,
                "id: {}\nevent: {}\ndata: {data}\n\n",
                event.seq, event.kind
            );
        }
        Some(text.into())
    }
}
