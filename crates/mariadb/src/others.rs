//! Work beside that of others, on a machine that a live server needs for itself.
//!
//! Low priority is not enough: processors that share a core, a disk and its cache
//! are slower for everybody while a second one is at work, whoever has the higher
//! priority. So what can wait works for a moment and rests for longer, for as
//! long as the server has statements of others running; when it has none, the
//! work takes all there is.

use std::cell::Cell;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::endpoint::Endpoint;
use crate::session::Session;

/// How much longer than it worked who works beside others rests.
pub(crate) const REST: u32 = 6;

/// How long work goes on at a time. Shorter pieces cost more in turns than they
/// give back.
pub(crate) const PIECE: Duration = Duration::from_millis(50);

/// How long work may have gone on at a time, as far as rests are concerned: a
/// thread that waited for a disk has not worked that long.
pub(crate) const PIECE_MAX: Duration = Duration::from_millis(500);

/// How often a rest asks whether to go on.
const TICK: Duration = Duration::from_millis(20);

/// For how long an answer about others holds.
const LOOKED: Duration = Duration::from_millis(100);

thread_local! {
    /// Since when this thread works.
    static SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Those whose work a server is there for.
pub struct Others {
    endpoint: Endpoint,
    look: Mutex<Look>,
}

#[derive(Default)]
struct Look {
    session: Option<Session>,
    /// What was seen last, and when.
    seen: Option<(Instant, bool)>,
}

impl std::fmt::Debug for Others {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Others")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl Others {
    /// Those who work with the server at `endpoint`.
    #[must_use]
    pub fn of(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            look: Mutex::default(),
        }
    }

    /// To be asked now and then by work that can wait, on each of its threads:
    /// rests for as long as is due, or until it is `unwanted`.
    pub fn make_way(&self, unwanted: &dyn Fn() -> bool) {
        let now = Instant::now();
        let since = SINCE
            .with(|s| s.replace(s.get().or(Some(now))))
            .unwrap_or(now);
        let worked = now.saturating_duration_since(since);
        if worked < PIECE {
            return;
        }
        if self.are_at_work() {
            rest(worked.min(PIECE_MAX) * REST, unwanted);
        }
        SINCE.with(|s| s.set(Some(Instant::now())));
    }

    /// Whether they have statements running. A server that does not say so has
    /// nobody to make way for.
    #[must_use]
    pub fn are_at_work(&self) -> bool {
        let mut look = self.locked();
        if let Some((at, busy)) = look.seen
            && at.elapsed() < LOOKED
        {
            return busy;
        }
        let busy = self.look(&mut look.session).unwrap_or_else(|_| {
            look.session = None;
            false
        });
        look.seen = Some((Instant::now(), busy));
        busy
    }

    fn look(&self, session: &mut Option<Session>) -> crate::Result<bool> {
        let session = match session {
            Some(session) => session,
            None => session.insert(Session::open(&self.endpoint)?),
        };
        busy_but(session, &[session.id()])
    }

    fn locked(&self) -> MutexGuard<'_, Look> {
        self.look.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a server has statements running of others than these sessions. Those
/// that only wait for a time or a word of their users do nothing.
pub(crate) fn busy_but(session: &mut Session, ours: &[u32]) -> crate::Result<bool> {
    let ours: Vec<String> = ours.iter().map(u32::to_string).collect();
    let running: Option<u64> = session.first(
        "see whether others are at work",
        format!(
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST \
             WHERE COMMAND IN ('Query', 'Execute') AND ID NOT IN ({}) \
               AND COALESCE(STATE, '') NOT IN ('User sleep', 'User lock')",
            ours.join(",")
        ),
    )?;
    Ok(running.unwrap_or(0) > 0)
}

/// Waits for so long, or until it is `unwanted`.
pub(crate) fn rest(span: Duration, unwanted: &dyn Fn() -> bool) {
    let until = Instant::now() + span;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || unwanted() {
            return;
        }
        std::thread::sleep(left.min(TICK));
    }
}
