//! Preflights and plans: pure data, the same for a dry run and for the job.

use serde::{Deserialize, Serialize};

use crate::code::Code;

/// Every reason why an operation cannot run, and every thing worth knowing
/// before it does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Preflight {
    /// What stands in the way. Empty: it may run.
    pub blockers: Vec<Finding>,
    /// What does not stand in the way, but should be known.
    pub warnings: Vec<Finding>,
    /// What it will cost.
    pub estimate: Estimate,
}

impl Preflight {
    /// Whether nothing stands in the way.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.blockers.is_empty()
    }
}

/// One line of a preflight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Our stable code.
    pub code: Code,
    /// A lower-case fragment that fits "failed to ...", with what to do next.
    pub message: String,
}

/// What an operation will cost. Unknown is absent, never zero.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Bytes that will be copied; 0 where the driver works by metadata alone.
    pub copy_bytes: Option<u64>,
    /// Bytes of disk space it will take.
    pub space_bytes: Option<u64>,
    /// Whether its time is independent of the size of what is rolled back.
    pub constant_time: bool,
}

/// The steps that would run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The procedure's name, e.g. `servers.apply_snapshot`.
    pub procedure: String,
    /// One line for people.
    pub title: String,
    /// The resources it will claim, e.g. `server/lhins-k31c771o`.
    pub claims: Vec<String>,
    /// The steps in their order.
    pub steps: Vec<PlannedStep>,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// The step's name in the procedure's table.
    pub name: String,
    /// What it will do, for people.
    pub does: String,
    /// How it is taken back, for people; absent where nothing need be.
    pub undo: Option<String>,
}
