//! The kinds of job that applications have, a file each.

mod drive;
pub mod mend;
pub mod order;
mod specs;
mod traffic;

use std::sync::Arc;

use backout_core::code::Code;
use backout_core::ids::Entropy;
use backout_core::time::Clock;
use backout_jobs::{Registry, StepError};

use crate::refusal::Refusal;
use crate::runtime::Runtime;

/// What jobs work with.
#[derive(Clone)]
pub struct Work {
    /// Drivers, gateways, packages and secrets.
    pub runtime: Runtime,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where randomness comes from.
    pub entropy: Arc<dyn Entropy>,
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work")
            .field("runtime", &self.runtime)
            .finish_non_exhaustive()
    }
}

/// Adds all of them to what a worker knows.
#[must_use]
pub fn register(registry: Registry, work: &Work) -> Registry {
    registry
        .with(order::ChangeOrder(work.clone()))
        .with(mend::Mend(work.clone()))
}

pub(crate) fn refused(refusal: Refusal) -> StepError {
    match refusal {
        Refusal::Workload(e) => driver_error(e),
        Refusal::Store(e) => e.into(),
        other => StepError::failed(other.code(), other.to_string()),
    }
}

pub(crate) fn driver_error(e: backout_workloads::Error) -> StepError {
    let (code, passing) = (e.code(), e.is_passing());
    if code == Code::StaleFence {
        return StepError::Stale;
    }
    let message = Refusal::Workload(e).to_string();
    match passing {
        true => StepError::again(code, message),
        false => StepError::failed(code, message),
    }
}
