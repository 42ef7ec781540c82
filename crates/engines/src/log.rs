//! What can be taken back, read off the log of an engine's image. Pure.
//!
//! | last record | a rollback goes back to |
//! |---|---|
//! | `InitImage` | nothing: there was nothing before |
//! | `UpgradeImage`, `SwitchImage`, `ModifyResource` | the record before it, with its versions and its parameters |
//! | `RollbackImage` | nothing: a rollback is not rolled back (SEMANTICS section 6); it is undone by switching to the version, or by `undo` |
//!
//! "From" is the record before, which is gone back to; "To" is the last one,
//! which is undone.

use backout_core::ids::{EngineId, RecordId};

use crate::model::{Head, Operation};
use crate::refusal::Refusal;

/// What a rollback would go back to and undo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WayBack {
    /// The record that is gone back to.
    pub from: RecordId,
    /// The record that is undone.
    pub to: RecordId,
}

/// Why there is no way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoWayBack {
    /// There is no record.
    NoRecord,
    /// Nothing was before.
    First,
    /// The last change was a rollback.
    RolledBack,
}

impl NoWayBack {
    /// Why, with what to do.
    #[must_use]
    pub const fn why(self) -> &'static str {
        match self {
            Self::NoRecord => "nothing is recorded of its image; wait until it is made",
            Self::First => "its image was never changed; there is nothing to take back",
            Self::RolledBack => {
                "its last change was a rollback; switch to the version, or undo the job"
            }
        }
    }

    /// As a refusal.
    #[must_use]
    pub fn refusal(self, engine: &EngineId) -> Refusal {
        Refusal::NoWayBack {
            engine: engine.clone(),
            why: self.why(),
        }
    }
}

/// Says what a rollback would go back to, by the last record.
///
/// # Errors
/// [`NoWayBack`].
pub fn way_back(last: Option<&Head>) -> Result<WayBack, NoWayBack> {
    let last = last.ok_or(NoWayBack::NoRecord)?;
    match (last.operation, &last.before) {
        (Operation::RollbackImage, _) => Err(NoWayBack::RolledBack),
        (Operation::InitImage, _) | (_, None) => Err(NoWayBack::First),
        (
            Operation::UpgradeImage | Operation::SwitchImage | Operation::ModifyResource,
            Some(before),
        ) => Ok(WayBack {
            from: before.clone(),
            to: last.id.clone(),
        }),
    }
}

/// Refuses records that are given and are not those of the rollback. Empty text
/// counts as not given: the vendor's own sample sends it.
///
/// # Errors
/// [`Refusal::OtherRecords`].
pub fn given_match(
    engine: &EngineId,
    way: &WayBack,
    from: Option<&str>,
    to: Option<&str>,
) -> Result<(), Refusal> {
    let given = |text: Option<&str>| text.filter(|t| !t.is_empty()).map(str::to_owned);
    let (from, to) = (given(from), given(to));
    let fits =
        |text: &Option<String>, id: &RecordId| text.as_ref().is_none_or(|t| t == id.as_str());
    if fits(&from, &way.from) && fits(&to, &way.to) {
        return Ok(());
    }
    let shown = |text: Option<String>| text.unwrap_or_else(|| "any".to_owned());
    Err(Refusal::OtherRecords {
        engine: engine.clone(),
        given: format!("{:?} and {:?}", shown(from), shown(to)),
        from: way.from.clone(),
        to: way.to.clone(),
    })
}
