//! Plans: the step table of a procedure, as data.

use backout_core::plan::Plan;
use backout_jobs::{Procedure, planned_steps};

/// The plan of one run of `procedure`.
#[must_use]
pub fn plan<P: Procedure>(procedure: &P, title: String, claims: Vec<String>) -> Plan {
    Plan {
        procedure: procedure.name().to_owned(),
        title,
        claims,
        steps: planned_steps(procedure),
    }
}
