//! Rules, and what of them matches.

use backout_core::ids::{AccountId, FaultId};
use backout_core::policy::action_matches;
use backout_core::time::Timestamp;
use backout_jobs::{Moment, Point};

use crate::error::Error;

/// How many rules an owner may have. A test has a handful; a hundred is a suite
/// that never tidies up.
pub const RULES_MAX: i64 = 100;
/// The longest pattern of actions, in bytes: several times the longest action.
pub const ACTION_BYTES_MAX: usize = 256;
/// The longest code, in bytes: twice the longest that a vendor has.
pub const CODE_BYTES_MAX: usize = 128;
/// The longest message, in characters: a few lines.
pub const MESSAGE_CHARS_MAX: usize = 500;
/// The longest resource, in bytes: several times the longest id.
pub const RESOURCE_BYTES_MAX: usize = 128;
/// The highest count. Above it none at all is meant.
pub const COUNT_MAX: u32 = 1_000_000;
/// The longest time that a rule may be given, in seconds: a week of soaking.
pub const LASTS_S_MAX: u32 = 7 * 24 * 3600;

/// How much of a foreign text an error repeats, in characters.
const QUOTE_CHARS: usize = 64;

/// What fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Calls are answered with an error, and do nothing.
    Call {
        /// Which: an action as policies name it, with `*` and `?`.
        action: String,
        /// The code that they answer.
        code: String,
    },
    /// A step of a job, or its undo, fails.
    Step {
        /// Of which kind of job.
        procedure: String,
        /// Which step.
        step: String,
        /// Its undo rather than itself.
        undo: bool,
        /// Where in it.
        moment: Moment,
    },
}

/// A rule that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRule {
    /// What fails.
    pub what: What,
    /// What the caller, or the job, is told; a text of ours when absent.
    pub message: Option<String>,
    /// Only calls that name this id, or jobs on this resource. Of a text with
    /// slashes what follows the last one counts: `kind/ID` is `ID`.
    pub resource: Option<String>,
    /// How often, 1 to [`COUNT_MAX`]; without a limit when absent.
    pub count: Option<u32>,
    /// For how many seconds from now, 1 to [`LASTS_S_MAX`]; without a limit
    /// when absent.
    pub lasts_s: Option<u32>,
}

/// A rule as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its id.
    pub id: FaultId,
    /// On whose resources.
    pub owner: AccountId,
    /// What fails.
    pub what: What,
    /// What is told.
    pub message: String,
    /// The id that a call must name, or that a job must be on.
    pub resource: Option<String>,
    /// How often more; without a limit when absent.
    pub remaining: Option<u32>,
    /// Until when; without a limit when absent.
    pub until: Option<Timestamp>,
    /// When it was added.
    pub created: Timestamp,
    /// How often it was used.
    pub hits: u64,
}

/// Whether a rule does anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It does.
    Active,
    /// It was used as often as it said.
    UsedUp,
    /// Its time is over.
    Expired,
}

impl State {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::UsedUp => "used_up",
            Self::Expired => "expired",
        }
    }
}

/// What a call is to be answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The rule.
    pub rule: FaultId,
    /// The code.
    pub code: String,
    /// The message.
    pub message: String,
}

impl Rule {
    /// Whether it does anything at `now`.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> State {
        if self.remaining == Some(0) {
            State::UsedUp
        } else if self.until.is_some_and(|until| until <= now) {
            State::Expired
        } else {
            State::Active
        }
    }

    /// Whether it is about this call.
    pub(crate) fn is_about_call(&self, called: &str, resources: &[String]) -> bool {
        let What::Call { action, .. } = &self.what else {
            return false;
        };
        action_matches(action, called)
            && self
                .resource
                .as_ref()
                .is_none_or(|id| resources.contains(id))
    }

    /// Whether it is about this point of this job.
    pub(crate) fn is_about_point(&self, point: &Point<'_>) -> bool {
        let What::Step {
            procedure,
            step,
            undo,
            moment,
        } = &self.what
        else {
            return false;
        };
        procedure == point.procedure
            && step == point.step
            && *undo == point.undo
            && *moment == point.moment
            && self
                .resource
                .as_ref()
                .is_none_or(|id| id == last_part(point.resource))
    }
}

/// What follows the last slash.
pub(crate) fn last_part(resource: &str) -> &str {
    resource
        .rsplit_once('/')
        .map_or(resource, |(_, after)| after)
}

/// As much of a foreign text as an error repeats.
pub(crate) fn quote(text: &str) -> String {
    text.chars().take(QUOTE_CHARS).collect()
}

/// Refuses a text that is not one of visible ASCII characters, of at most `max`
/// bytes.
pub(crate) fn check_name(what: &'static str, text: &str, max: usize) -> Result<(), Error> {
    // A blank is part of some codes: `9590 OperationDenied`.
    let visible = |b: u8| b.is_ascii_graphic() || b == b' ';
    if (1..=max).contains(&text.len()) && text.bytes().all(visible) && text.trim() == text {
        Ok(())
    } else {
        Err(Error::Text {
            what,
            text: quote(text),
            expected: format!("1 to {max} visible ASCII characters"),
        })
    }
}

/// Refuses a message that is empty, too long, or not of one line.
pub(crate) fn check_message(text: &str) -> Result<(), Error> {
    let fits = (1..=MESSAGE_CHARS_MAX).contains(&text.chars().count());
    if fits && !text.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(Error::Text {
            what: "message",
            text: quote(text),
            expected: format!("one line of 1 to {MESSAGE_CHARS_MAX} characters"),
        })
    }
}

#[cfg(test)]
mod tests {
    use backout_core::ids::OsEntropy;

    use super::*;

    fn rule(what: What) -> Rule {
        Rule {
            id: FaultId::random(&OsEntropy),
            owner: AccountId::random(&OsEntropy),
            what,
            message: "m".into(),
            resource: None,
            remaining: None,
            until: None,
            created: Timestamp(0),
            hits: 0,
        }
    }

    #[test]
    fn calls_are_matched_by_action_and_id() {
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        for (action, resource, called, named, expect) in [
            ("s:Apply", None, "s:Apply", &[][..], true),
            ("S:apply", None, "s:Apply", &[], true),
            ("s:*", None, "s:Apply", &["a"], true),
            ("s:A*", None, "t:Apply", &["a"], false),
            ("s:*", Some("a"), "s:Apply", &["b", "a"], true),
            ("s:*", Some("a"), "s:Apply", &["b"], false),
            ("s:*", Some("a"), "s:Apply", &[], false),
        ] {
            let rule = Rule {
                resource: resource.map(str::to_owned),
                ..rule(What::Call {
                    action: action.into(),
                    code: "c".into(),
                })
            };
            assert_eq!(
                rule.is_about_call(called, &ids(named)),
                expect,
                "{action} {resource:?} {called} {named:?}"
            );
        }
    }

    #[test]
    fn points_are_matched_by_all_they_are() {
        let owner = AccountId::random(&OsEntropy);
        let point = Point {
            account: &owner,
            resource: "kind/id",
            procedure: "p",
            step: "s",
            undo: false,
            moment: Moment::AfterEffect,
        };
        let step = |procedure: &str, step: &str, undo, moment| {
            rule(What::Step {
                procedure: procedure.into(),
                step: step.into(),
                undo,
                moment,
            })
        };
        let all = step("p", "s", false, Moment::AfterEffect);
        assert!(all.is_about_point(&point));
        for other in [
            step("q", "s", false, Moment::AfterEffect),
            step("p", "t", false, Moment::AfterEffect),
            step("p", "s", true, Moment::AfterEffect),
            step("p", "s", false, Moment::AfterIntent),
        ] {
            assert!(!other.is_about_point(&point), "{other:?}");
        }
        for (resource, expect) in [("id", true), ("kind", false), ("other", false)] {
            let rule = Rule {
                resource: Some(resource.into()),
                ..all.clone()
            };
            assert_eq!(rule.is_about_point(&point), expect, "{resource}");
        }
        assert!(!all.is_about_call("p:s", &[]));
    }

    #[test]
    fn texts_are_bounded() {
        for good in ["a", "9590 OperationDenied", "s:*"] {
            assert!(check_name("code", good, 20).is_ok(), "{good:?}");
        }
        for bad in ["", " a", "a\n", "ä", "123456789012345678901"] {
            assert!(check_name("code", bad, 20).is_err(), "{bad:?}");
        }
        assert!(check_message("größer").is_ok());
        for bad in ["", "a\nb", &"x".repeat(MESSAGE_CHARS_MAX + 1)] {
            assert!(check_message(bad).is_err(), "{bad:?}");
        }
    }
}
