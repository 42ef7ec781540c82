//! The procedures that a worker knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use backout_core::outcome::Outcome;
use backout_core::plan::PlannedStep;

use crate::procedure::{Commit, Procedure, Step, StepContext, StepError, StepFuture, Undo};

/// The procedures that a worker knows, by name.
#[derive(Clone, Default)]
pub struct Registry {
    procedures: BTreeMap<&'static str, Arc<dyn Known>>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.procedures.keys()).finish()
    }
}

/// A step, as the engine sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepLine {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub does: &'static str,
    /// What its undo does; `None` for [`Undo::Nothing`] and [`Undo::Never`].
    pub undo: Option<&'static str>,
    /// Whether it is a point of no return: [`Undo::Never`].
    pub no_return: bool,
}

impl Registry {
    /// Knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a procedure.
    ///
    /// # Panics
    /// When its name is taken, or its step table is empty or names a step
    /// twice: mistakes in the program, found when it is composed.
    #[must_use]
    pub fn with(mut self, procedure: impl Procedure) -> Self {
        let name = procedure.name();
        let steps = step_table(&procedure);
        assert!(!steps.is_empty(), "procedure {name} has no steps");
        for (index, step) in steps.iter().enumerate() {
            assert!(
                steps[..index].iter().all(|s| s.name != step.name),
                "procedure {name} has two steps {}",
                step.name
            );
        }
        let before = self
            .procedures
            .insert(name, Arc::new(Typed { procedure, steps }));
        assert!(before.is_none(), "two procedures are named {name}");
        self
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.procedures.keys().copied()
    }

    /// The step table of the procedure `name`.
    #[must_use]
    pub fn steps(&self, name: &str) -> Option<&[StepLine]> {
        self.procedures.get(name).map(|p| p.steps())
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<dyn Known>> {
        self.procedures.get(name).cloned()
    }
}

/// The steps of `procedure` as a plan shows them.
#[must_use]
pub fn planned_steps<P: Procedure>(procedure: &P) -> Vec<PlannedStep> {
    step_table(procedure)
        .into_iter()
        .map(|step| PlannedStep {
            name: step.name.to_owned(),
            does: step.does.to_owned(),
            undo: step.undo.map(str::to_owned),
        })
        .collect()
}

fn step_table<P: Procedure>(procedure: &P) -> Vec<StepLine> {
    procedure
        .steps()
        .iter()
        .map(|step: &Step<P>| StepLine {
            name: step.name,
            does: step.does,
            undo: match &step.undo {
                Undo::By { does, .. } => Some(does),
                Undo::Nothing | Undo::Never => None,
            },
            no_return: matches!(step.undo, Undo::Never),
        })
        .collect()
}

/// A procedure without its type.
pub(crate) trait Known: Send + Sync {
    fn name(&self) -> &'static str;
    fn steps(&self) -> &[StepLine];
    /// Starts the step at `index`, or its undo. `None` when there is nothing to
    /// run.
    fn start<'a>(
        &'a self,
        index: usize,
        undo: bool,
        context: &'a StepContext,
    ) -> Option<StepFuture<'a>>;
    fn settle(
        &self,
        context: &StepContext,
        outcome: Outcome,
        failure: Option<&StepError>,
    ) -> Commit;
}

struct Typed<P> {
    procedure: P,
    steps: Vec<StepLine>,
}

impl<P: Procedure> Known for Typed<P> {
    fn name(&self) -> &'static str {
        self.procedure.name()
    }

    fn steps(&self) -> &[StepLine] {
        &self.steps
    }

    fn start<'a>(
        &'a self,
        index: usize,
        undo: bool,
        context: &'a StepContext,
    ) -> Option<StepFuture<'a>> {
        let step = self.procedure.steps().get(index)?;
        if !undo {
            return Some((step.run)(&self.procedure, context));
        }
        match &step.undo {
            Undo::By { run, .. } => Some(run(&self.procedure, context)),
            Undo::Nothing | Undo::Never => None,
        }
    }

    fn settle(
        &self,
        context: &StepContext,
        outcome: Outcome,
        failure: Option<&StepError>,
    ) -> Commit {
        self.procedure.settle(context, outcome, failure)
    }
}
