//! What every driver does.

use std::time::{Duration, Instant};

use backout_core::fence::Fence;

use crate::error::Result;
use crate::model::{
    Fetched, Finding, InstanceId, InstanceSpec, LogChunk, LogFrom, Source, Started, Status,
};

/// The most instances in one page of [`Workloads::list`].
pub const PAGE_MAX: usize = 500;

/// How often a log is looked at that is followed: a person reads along.
const FOLLOW_TICK: Duration = Duration::from_millis(100);

/// Hears of changes of some instances.
pub trait Watch: Send {
    /// Waits until something may have changed since the last call, or this was
    /// made; at most for `patience`. Wakes for nothing now and then.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    fn wait(&mut self, patience: Duration) -> Result<()>;
}

/// A driver: runs instances of releases.
///
/// Every function blocks, may be called from many threads and processes at
/// once, and may be repeated after a crash at any instant in it. Those that
/// change something show a fence; one that is older than another that was shown
/// for the same instance changes nothing.
pub trait Workloads: Send + Sync {
    /// Brings what instances are made of to where they are started from, when it
    /// is not there: [`Workloads::start`] brings nothing by itself. May take
    /// minutes.
    ///
    /// # Errors
    /// [`crate::Error::NoImage`] when it cannot be had,
    /// [`crate::Error::BadSpec`], [`crate::Error::EngineAway`],
    /// [`crate::Error::Engine`].
    fn fetch(&self, source: &Source) -> Result<Fetched> {
        let _ = source;
        Ok(Fetched::default())
    }

    /// Starts an instance; returns when its process runs, which is not yet
    /// [`crate::Phase::Ready`]. Fine when it runs already with the same
    /// specification; one that waits to be started again goes on waiting.
    ///
    /// # Errors
    /// [`crate::Error::BadSpec`]; [`crate::Error::State`] when it runs with
    /// another specification; [`crate::Error::NoLimits`] where limits cannot be
    /// enforced and [`crate::Limits::or_without`] is not set;
    /// [`crate::Error::NoPackage`], [`crate::Error::NoImage`],
    /// [`crate::Error::NoPort`], [`crate::Error::NotStarted`],
    /// [`crate::Error::Stale`], [`crate::Error::Busy`],
    /// [`crate::Error::EngineAway`], [`crate::Error::Engine`],
    /// [`crate::Error::Io`].
    fn start(&self, fence: Fence, spec: &InstanceSpec) -> Result<Started>;

    /// Ends an instance for good: its hook, a request, and after `grace`, which
    /// counts from now, the end of all its processes. Returns when none is
    /// left. Fine when it does not run, or never did.
    ///
    /// # Errors
    /// [`crate::Error::Stale`], [`crate::Error::Busy`],
    /// [`crate::Error::Shim`], [`crate::Error::State`] when something survived;
    /// [`crate::Error::EngineAway`], [`crate::Error::Engine`].
    fn stop(&self, fence: Fence, id: &InstanceId, grace: Duration) -> Result<()>;

    /// Forgets an instance that does not run, with its port, its files and its
    /// log. Fine when there is none.
    ///
    /// # Errors
    /// [`crate::Error::State`] when it runs; as [`Workloads::stop`].
    fn remove(&self, fence: Fence, id: &InstanceId) -> Result<()>;

    /// How an instance is; `None` when there is none.
    ///
    /// # Errors
    /// [`crate::Error::Shim`], [`crate::Error::Io`].
    fn status(&self, id: &InstanceId) -> Result<Option<Status>>;

    /// The instances after `after` by their ids; at most [`PAGE_MAX`], and no
    /// more than `limit`.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    fn list(&self, after: Option<&InstanceId>, limit: usize) -> Result<Vec<InstanceId>>;

    /// Hears of changes of these instances from now on: make it, look, wait, look
    /// again, and nothing is missed.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    fn watch(&self, ids: &[InstanceId]) -> Result<Box<dyn Watch>>;

    /// Reads from the log of an instance.
    ///
    /// # Errors
    /// [`crate::Error::NoInstance`], [`crate::Error::Io`].
    fn logs(&self, id: &InstanceId, from: LogFrom) -> Result<LogChunk>;

    /// Reads on in a log, and waits for as long as `patience` for something to
    /// be there.
    ///
    /// # Errors
    /// As [`Workloads::logs`].
    fn follow(&self, id: &InstanceId, from: LogFrom, patience: Duration) -> Result<LogChunk> {
        let until = Instant::now() + patience;
        loop {
            let chunk = self.logs(id, from)?;
            let left = until.saturating_duration_since(Instant::now());
            if !chunk.bytes.is_empty() || left.is_zero() {
                return Ok(chunk);
            }
            std::thread::sleep(left.min(FOLLOW_TICK));
        }
    }

    /// What this driver needs, and how it is here.
    fn doctor(&self) -> Vec<Finding>;

    /// Why [`crate::Limits`] cannot be enforced here; `None` when they can.
    fn limits_missing(&self) -> Option<String>;
}
