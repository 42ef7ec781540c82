//! Plans: the step table of a procedure, as data.

use backout_core::plan::{Plan, PlannedStep};
use backout_jobs::{Procedure, Undo};

/// The plan of one run of `procedure`.
#[must_use]
pub fn plan<P: Procedure>(procedure: &P, title: String, claims: Vec<String>) -> Plan {
    let steps = procedure
        .steps()
        .iter()
        .map(|step| PlannedStep {
            name: step.name.to_owned(),
            does: step.does.to_owned(),
            undo: match &step.undo {
                Undo::By { does, .. } => Some((*does).to_owned()),
                Undo::Nothing => None,
            },
        })
        .collect();
    Plan { procedure: procedure.name().to_owned(), title, claims, steps }
}
