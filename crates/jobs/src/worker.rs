//! stub, being written
use std::sync::Arc;
use std::time::Duration;

use backout_store::Error as StoreError;

use crate::handle::Jobs;
use crate::procedure::{Point, Probe, ProbeAction};
use crate::registry::Registry;

/// How long a lease lasts when nothing else is said.
pub const LEASE_MS: i64 = 15_000;

/// How a worker works.
#[derive(Clone)]
pub struct WorkerConfig {
    /// The machine this is. Only its jobs are taken.
    pub node: String,
    /// How many jobs run at once.
    pub concurrency: usize,
    /// How long a lease lasts; renewed three times in it.
    pub lease_ms: i64,
    /// How often other processes' doings are looked for.
    pub poll: Duration,
    /// How long [`Worker::stop`] waits for running steps.
    pub stop_wait: Duration,
    /// How long ended jobs are kept; `None`: for ever.
    pub keep_ms: Option<i64>,
    /// Called at every point of every step.
    pub probe: Arc<dyn Probe>,
}

/// The probe of production: nothing happens.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProbe;

impl Probe for NoProbe {
    fn at(&self, _: &Point) -> ProbeAction {
        ProbeAction::GoOn
    }
}

impl WorkerConfig {
    /// The defaults, for the machine `node`.
    #[must_use]
    pub fn new(node: impl Into<String>) -> Self {
        Self {
            node: node.into(),
            concurrency: 64,
            lease_ms: LEASE_MS,
            poll: Duration::from_millis(500),
            stop_wait: Duration::from_secs(20),
            keep_ms: Some(90 * 24 * 3_600_000),
            probe: Arc::new(NoProbe),
        }
    }
}

/// A worker in this process.
#[derive(Debug)]
pub struct Worker {}

/// What [`Worker::stop`] left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Jobs whose step was still running.
    pub left_running: usize,
}

impl Worker {
    /// Registers the worker, puts the jobs of dead owners back to work, and
    /// begins to take jobs.
    ///
    /// # Errors
    /// The store's.
    pub async fn start(
        jobs: &Jobs,
        registry: Registry,
        config: WorkerConfig,
    ) -> Result<Self, StoreError> {
        let _ = (jobs.clock(), jobs.woken(), registry, config);
        Ok(Self {})
    }

    /// Stops taking jobs.
    pub async fn stop(self) -> Stopped {
        Stopped { left_running: 0 }
    }
}
