//! Progress of running steps: told as often as a step likes, written a few
//! times a second.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backout_core::time::Timestamp;
use backout_store::{Error as StoreError, Tx, params, query_one};

use crate::model::EventKind;
use crate::persistence::{Hold, NewEvent, add_event, cut};
use crate::worker::Shared;

/// How often progress is written: four times a second looks alive, and costs
/// one commit for all jobs of the worker.
const FLUSH_EVERY: Duration = Duration::from_millis(250);

/// How many jobs' progress is written in one transaction.
const FLUSH_BATCH: usize = 256;

/// What a running step has told and what of it is written.
pub(crate) struct Progress {
    hold: Hold,
    state: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    step: &'static str,
    undo: bool,
    /// Steps that count in full, the present one not among them.
    before: usize,
    total: usize,
    /// What is not written yet.
    news: Option<(u8, String)>,
    /// The event that tells of this step's progress, to be overwritten.
    seq: Option<i64>,
}

impl Told {
    /// Of the whole job; an undo counts down.
    fn overall(&self, percent: u8) -> u8 {
        let full = self.before * 100;
        let now = if self.undo {
            full + 100 - usize::from(percent)
        } else {
            full + usize::from(percent)
        };
        u8::try_from(now / self.total.max(1))
            .unwrap_or(100)
            .min(100)
    }
}

/// One thing to write.
struct News {
    slot: Arc<Progress>,
    step: &'static str,
    undo: bool,
    percent: u8,
    overall: u8,
    words: String,
    seq: Option<i64>,
}

impl Progress {
    pub(crate) fn new(hold: Hold) -> Self {
        Self {
            hold,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A step, or its undo, begins. Returns the job's percentage then.
    pub(crate) fn begin(&self, step: &'static str, undo: bool, before: usize, total: usize) -> u8 {
        let mut told = self.lock();
        *told = Told {
            step,
            undo,
            before,
            total,
            news: None,
            seq: None,
        };
        told.overall(0)
    }

    /// The step has ended: what it told and is not written yet is old. Returns
    /// the job's percentage then.
    pub(crate) fn finish(&self) -> u8 {
        let mut told = self.lock();
        told.news = None;
        told.overall(100)
    }

    /// What the step says.
    pub(crate) fn tell(&self, percent: u8, words: String) {
        self.lock().news = Some((percent, words));
    }

    fn take(self: Arc<Self>) -> Option<News> {
        let mut told = self.lock();
        let (percent, words) = told.news.take()?;
        let news = News {
            slot: Arc::clone(&self),
            step: told.step,
            undo: told.undo,
            percent,
            overall: told.overall(percent),
            words,
            seq: told.seq,
        };
        drop(told);
        Some(news)
    }
}

/// Writes what running steps have told, until it is aborted.
pub(crate) async fn flush_now_and_then(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(FLUSH_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let mut news: Vec<News> = shared
            .progress_slots()
            .into_iter()
            .filter_map(Progress::take)
            .collect();
        while !news.is_empty() {
            let batch = news.split_off(news.len().saturating_sub(FLUSH_BATCH));
            let jobs: Vec<_> = batch.iter().map(|n| n.slot.hold.job.clone()).collect();
            let now = shared.now();
            let written = shared
                .store()
                .write::<_, StoreError>(move |tx| {
                    batch.iter().try_for_each(|news| write(tx, news, now))
                })
                .await;
            match written {
                Ok(()) => jobs.iter().for_each(|job| shared.jobs.changed(job)),
                // The next news will say more than these; the worker's loop
                // tells when the store stays away.
                Err(e) => tracing::debug!(error = %e, "progress was not written"),
            }
        }
    }
}

/// Writes one job's progress, if it is still ours and still in that step.
fn write(tx: &mut dyn Tx, news: &News, now: Timestamp) -> Result<(), StoreError> {
    let hold = &news.slot.hold;
    let Some(row) = query_one(
        tx,
        "UPDATE jobs SET percent = $5, words = $6, event_seq = event_seq + 1 \
         WHERE id = $1 AND fence = $2 AND owner = $3 AND state = 'running' AND step = $4 \
           AND direction = $7 AND NOT EXISTS (SELECT 1 FROM job_steps s WHERE s.job = $1 \
             AND s.step = $4 AND s.undo = $8 AND s.record_ms IS NOT NULL) \
         RETURNING event_seq",
        params![
            hold.job.as_str(),
            hold.fence.0,
            hold.owner.as_str(),
            news.step,
            i64::from(news.overall),
            cut(&news.words),
            if news.undo { "undoing" } else { "forward" },
            news.undo
        ],
    )?
    else {
        return Ok(());
    };
    let seq: i64 = row.get(0)?;
    if let Some(old) = news.seq {
        tx.execute(
            "DELETE FROM job_events WHERE job = $1 AND seq = $2",
            params![hold.job.as_str(), old],
        )?;
    }
    let event = NewEvent {
        kind: EventKind::Progress,
        step: Some(news.step),
        undo: news.undo,
        percent: Some(news.percent),
        words: &news.words,
    };
    add_event(tx, &hold.job, seq, now, &event)?;
    // Before the transaction is durable: when it fails, the delete of an event
    // that is not there does no harm.
    let mut told = news.slot.lock();
    if told.step == news.step && told.undo == news.undo {
        told.seq = Some(seq);
    }
    Ok(())
}
