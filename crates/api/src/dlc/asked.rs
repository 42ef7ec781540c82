//! What a call asks: its engines, page, times and words, checked.

use backout_core::ids::AccountId;
use backout_core::time::Timestamp;
use backout_engines::Refusal;
use backout_engines::persistence::Page;
use backout_engines::service::{Asked, Caller, NAME_MAX_CHARS};
use backout_wire::Operation;
use serde::de::DeserializeOwned;

use super::codes::{self, Cause};
use super::words;
use crate::front::{Admitted, Refused};

/// The longest page (contract: `Limit.max`).
const PAGE_MAX: i64 = 100;
/// A page when none is asked for (contract: `Limit.default`).
pub const PAGE_DEFAULT: i64 = 10;
/// Entries of any list in a call: as many as a page of a list has rows.
const LIST_MAX: usize = 100;
/// Settings in one call: far more than any version has parameters.
const PAIRS_MAX: usize = 1000;
/// The list of settings.
const PAIRS: &str = "DataEngineConfigPairs";
/// The longest description (contract: `Message`), in characters.
const MESSAGE_MAX_CHARS: usize = 250;

/// A call, and the errors of its operation.
#[derive(Clone, Copy)]
pub struct Ask<'a>(pub &'a Admitted);

impl<'a> Ask<'a> {
    /// The operation.
    pub fn operation(self) -> &'static Operation {
        self.0.call.operation
    }

    /// Whose resources are meant.
    pub fn owner(self) -> &'a AccountId {
        &self.0.principal.owner
    }

    /// Who calls.
    pub fn caller(self) -> Caller {
        self.0.caller()
    }

    /// An error of this operation.
    pub fn error(self, cause: Cause, message: impl Into<String>) -> Refused {
        codes::error(self.operation(), cause, message)
    }

    /// What this operation answers to a refusal.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "it is the last step of a map_err"
    )]
    pub fn refused(self, refusal: Refusal) -> Refused {
        codes::refused(self.operation(), &refusal)
    }

    /// The job that the call made: of several, the first.
    pub fn did<'b>(self, asked: impl IntoIterator<Item = &'b Asked>) {
        if let Some(first) = asked.into_iter().next() {
            // A call does one thing.
            let _ = self.0.job.set(first.job.clone());
        }
    }

    /// Whether a parameter was given at all.
    pub fn has(self, parameter: &str) -> bool {
        self.0.call.params.contains_key(parameter)
    }

    /// The parameters, none of whose lists is longer than it may be.
    pub fn params<T: DeserializeOwned>(self) -> Result<T, Refused> {
        for (name, value) in &self.0.call.params {
            let max = match name == PAIRS {
                true => PAIRS_MAX,
                false => LIST_MAX,
            };
            let count = value.as_array().map_or(0, Vec::len);
            if count > max {
                return Err(self.error(
                    codes::TOO_MANY,
                    format!("{name} has {count} entries, at most {max} are taken"),
                ));
            }
        }
        Ok(self.0.params()?)
    }

    /// The id or the name of an engine: what could be one.
    pub fn engine<'t>(self, parameter: &str, text: &'t str) -> Result<&'t str, Refused> {
        // As the policy was asked about it.
        let text = text.trim();
        if text.is_empty() {
            return Err(self.error(codes::NO_NAME, format!("{parameter} is empty")));
        }
        self.sound_or(parameter, text, codes::SQL)?;
        if text.chars().count() > NAME_MAX_CHARS {
            return Err(self.error(
                codes::NAME,
                format!("{parameter} has more than {NAME_MAX_CHARS} characters"),
            ));
        }
        Ok(text)
    }

    /// Refuses a text that cannot be looked for.
    pub fn sound(self, parameter: &str, text: &str) -> Result<(), Refused> {
        self.sound_or(parameter, text, codes::SQL_TEXT)
    }

    fn sound_or(self, parameter: &str, text: &str, cause: Cause) -> Result<(), Refused> {
        match text.chars().any(char::is_control) {
            true => Err(self.error(
                cause,
                format!("{parameter} has control characters, which no statement to the store has"),
            )),
            false => Ok(()),
        }
    }

    /// Ids or names of engines, at least one, each once.
    pub fn engines(self, parameter: &str, given: &[String]) -> Result<Vec<String>, Refused> {
        if given.is_empty() {
            return Err(self.error(codes::NO_NAME, format!("{parameter} names nothing")));
        }
        let mut out: Vec<String> = Vec::with_capacity(given.len());
        for text in given {
            let text = self.engine(parameter, text)?;
            if !out.iter().any(|o| o == text) {
                out.push(text.to_owned());
            }
        }
        Ok(out)
    }

    /// The id of a version, or its name.
    pub fn image<'t>(self, parameter: &str, text: &'t str) -> Result<&'t str, Refused> {
        let text = self.must(parameter, text)?;
        self.sound(parameter, text)?;
        Ok(text)
    }

    /// A text that must not be empty.
    pub fn must<'t>(self, parameter: &str, text: &'t str) -> Result<&'t str, Refused> {
        match text.trim() {
            "" => Err(self.error(codes::MISSING, format!("{parameter} is empty"))),
            text => Ok(text),
        }
    }

    /// Which page.
    pub fn page(self, offset: Option<i64>, limit: Option<i64>) -> Result<Page, Refused> {
        let (offset, limit) = (offset.unwrap_or(0), limit.unwrap_or(PAGE_DEFAULT));
        let offset = u64::try_from(offset)
            .map_err(|_| self.error(codes::FORM, "Offset cannot be negative"))?;
        if !(1..=PAGE_MAX).contains(&limit) {
            return Err(self.error(
                codes::FORM,
                format!("Limit {limit} is not in 1 to {PAGE_MAX}"),
            ));
        }
        Ok(Page {
            offset,
            limit: limit.unsigned_abs(),
        })
    }

    /// Whether a list is ascending: `asc` or `desc`.
    pub fn ascending(self, sorting: Option<&str>, absent: bool) -> Result<bool, Refused> {
        let words = [("asc", true), ("desc", false)];
        self.word("Sorting", sorting, &words, absent)
    }

    /// One of the words that a parameter takes; an empty one counts as absent.
    pub fn word<T: Copy>(
        self,
        parameter: &str,
        given: Option<&str>,
        words: &[(&str, T)],
        absent: T,
    ) -> Result<T, Refused> {
        self.word_or(parameter, given, words, absent, codes::VALUE)
    }

    /// As [`Ask::word`], with the error for any other word.
    pub fn word_or<T: Copy>(
        self,
        parameter: &str,
        given: Option<&str>,
        words: &[(&str, T)],
        absent: T,
        cause: Cause,
    ) -> Result<T, Refused> {
        let Some(given) = filled(given) else {
            return Ok(absent);
        };
        words
            .iter()
            .find(|(word, _)| *word == given)
            .map(|(_, meaning)| *meaning)
            .ok_or_else(|| {
                let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                self.error(
                    cause,
                    format!("{parameter} takes one of {}", known.join(", ")),
                )
            })
    }

    /// A time that may be absent.
    pub fn time(self, parameter: &str, text: Option<&str>) -> Result<Option<Timestamp>, Refused> {
        filled(text)
            .map(|text| {
                words::parse_time(text)
                    .map_err(|e| self.error(codes::TIME, format!("{parameter}: failed to {e}")))
            })
            .transpose()
    }

    /// Two times, the first not after the second.
    pub fn times(
        self,
        start: Option<&str>,
        end: Option<&str>,
    ) -> Result<(Option<Timestamp>, Option<Timestamp>), Refused> {
        let (start, end) = (
            self.time("StartTime", start)?,
            // To the end of that second.
            self.time("EndTime", end)?.map(|at| at.plus_ms(999)),
        );
        match (start, end) {
            (Some(start), Some(end)) if start > end => {
                Err(self.error(codes::TIMES, "EndTime is before StartTime"))
            }
            times => Ok(times),
        }
    }

    /// A description.
    pub fn message(self, text: String) -> Result<String, Refused> {
        if text.chars().count() > MESSAGE_MAX_CHARS {
            return Err(self.error(
                codes::DESCRIPTION,
                format!("Message has more than {MESSAGE_MAX_CHARS} characters"),
            ));
        }
        let fine = |c: char| !c.is_control() || c == '\n' || c == '\t';
        if !text.chars().all(fine) {
            return Err(self.error(codes::DESCRIPTION, "Message has control characters"));
        }
        Ok(text)
    }

    /// A number that is not below `least`.
    pub fn at_least(self, parameter: &str, given: Option<i64>, least: i64) -> Result<(), Refused> {
        match given {
            Some(n) if n < least => Err(self.error(
                codes::VALUE,
                format!("{parameter} is {n}, less than {least}"),
            )),
            _ => Ok(()),
        }
    }

    /// Refuses what this server cannot do, where a parameter asks for it.
    pub fn not_here(self, asked: bool, what: &str) -> Result<(), Refused> {
        match asked {
            true => Err(self.error(codes::NOT_HERE, what)),
            false => Ok(()),
        }
    }
}

/// A text; an empty one counts as absent, as the vendor's own samples send it.
pub fn filled(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|t| !t.is_empty())
}
