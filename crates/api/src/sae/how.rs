//! How an order is done: the parameters that all calls share which replace
//! replicas (SEMANTICS section 1).

use backout_apps::planning::Settings;
use backout_rollout::{Go, Strategy, Surge};
use serde::{Deserialize, Serialize};

use super::{codes, texts};
use crate::front::Refused;

/// The parameters, as they were given.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given<'a> {
    /// The fewest replicas that stay ready.
    pub min_ready_instances: Option<i64>,
    /// The same in per cent.
    pub min_ready_instance_ratio: Option<i64>,
    /// `UpdateStrategy`.
    pub update_strategy: Option<&'a str>,
    /// Seconds between batches.
    pub batch_wait_time: Option<i64>,
    /// How many may run beyond the usual number.
    pub max_surge_instances: Option<i64>,
    /// The same in per cent.
    pub max_surge_instance_ratio: Option<i64>,
}

/// `UpdateStrategy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StrategyText {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    batch_update: Option<BatchText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gray_update: Option<GrayText>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BatchText {
    batch: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    release_type: Option<String>,
    /// In minutes (SEMANTICS section 1, the vendor contradicts itself).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    batch_wait_time: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrayText {
    gray: i64,
}

const NAME: &str = "UpdateStrategy";
const SECONDS_A_MINUTE: i64 = 60;

impl Given<'_> {
    /// The same, checked as far as it can be without the application.
    pub fn settings(self) -> Result<Settings, Refused> {
        Ok(Settings {
            least_ready: self.min_ready_instances,
            least_ready_percent: self.min_ready_instance_ratio,
            strategy: strategy(self.update_strategy)?,
            batch_wait_s: self.batch_wait_time,
            surge: self.surge()?,
        })
    }

    fn surge(self) -> Result<Surge, Refused> {
        const PERCENT: &str = "MaxSurgeInstanceRatio";
        const COUNT: &str = "MaxSurgeInstances";
        // As with the floor: a percentage wins, -1 is the system's choice.
        match (
            self.max_surge_instance_ratio.unwrap_or(-1),
            self.max_surge_instances.unwrap_or(-1),
        ) {
            (-1, -1) => Ok(Surge::Least),
            (-1, count) => u32::try_from(count)
                .map(Surge::Count)
                .map_err(|_| codes::value(COUNT, "give a number of instances, or -1")),
            (percent, _) => match u8::try_from(percent) {
                Ok(percent) if percent <= 100 => Ok(Surge::Percent(percent)),
                _ => Err(codes::value(PERCENT, "give 0 to 100, or -1")),
            },
        }
    }
}

/// Reads `UpdateStrategy`; an empty one asks for nothing.
pub fn strategy(text: Option<&str>) -> Result<Strategy, Refused> {
    let wrong = |why: &str| Err(codes::value(NAME, why));
    let Some(text) = texts::read::<StrategyText>(NAME, text)? else {
        return Ok(Strategy::AllAtOnce);
    };
    let Some(batch) = text.batch_update else {
        return wrong("batchUpdate is missing");
    };
    let go = match batch.release_type.as_deref() {
        None | Some("" | "auto") => Go::Auto {
            wait_s: batch
                .batch_wait_time
                .map(|minutes| minutes.saturating_mul(SECONDS_A_MINUTE)),
        },
        Some("manual") => match batch.batch_wait_time {
            None | Some(0) => Go::Manual,
            Some(_) => return wrong("batchUpdate.batchWaitTime goes with releaseType auto only"),
        },
        Some(_) => return wrong("batchUpdate.releaseType is auto or manual"),
    };
    let batches = batch.batch;
    match (text.kind.as_str(), text.gray_update) {
        ("BatchUpdate", None) => Ok(Strategy::Batches { batches, go }),
        ("BatchUpdate", Some(_)) => wrong("grayUpdate goes with type GrayBatchUpdate only"),
        ("GrayBatchUpdate", Some(gray)) => Ok(Strategy::Gray {
            gray: gray.gray,
            batches,
            go,
        }),
        ("GrayBatchUpdate", None) => wrong("grayUpdate is missing"),
        _ => wrong("type is BatchUpdate or GrayBatchUpdate"),
    }
}

/// Writes a strategy again; an empty text where nothing was asked for.
pub fn strategy_text(strategy: &Strategy) -> String {
    let (kind, gray, batches, go) = match *strategy {
        Strategy::AllAtOnce => return String::new(),
        Strategy::Batches { batches, go } => ("BatchUpdate", None, batches, go),
        Strategy::Gray { gray, batches, go } => {
            ("GrayBatchUpdate", Some(GrayText { gray }), batches, go)
        }
    };
    let (release_type, wait) = match go {
        Go::Manual => ("manual", None),
        Go::Auto { wait_s } => ("auto", wait_s.map(|s| s.div_euclid(SECONDS_A_MINUTE))),
    };
    texts::write(&StrategyText {
        kind: kind.to_owned(),
        batch_update: Some(BatchText {
            batch: batches,
            release_type: Some(release_type.to_owned()),
            batch_wait_time: wait,
        }),
        gray_update: gray,
    })
}

/// How many may run beyond the usual number, as a count and in per cent.
pub fn surge_numbers(surge: Surge) -> (i64, i64) {
    match surge {
        Surge::Least => (-1, -1),
        Surge::Count(count) => (i64::from(count), -1),
        Surge::Percent(percent) => (-1, i64::from(percent)),
    }
}

/// A text that is `true` or `false`; absent and empty are none.
pub fn switch(parameter: &str, text: Option<&str>) -> Result<Option<bool>, Refused> {
    match text.map(str::trim) {
        None | Some("") => Ok(None),
        Some(text) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
        Some(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
        Some(_) => Err(codes::form(parameter, "It takes true or false.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies_come_back_as_they_went() {
        for (text, expect) in [
            (
                r#"{"type":"GrayBatchUpdate","batchUpdate":{"batch":2,"releaseType":"auto","batchWaitTime":1},"grayUpdate":{"gray":1}}"#,
                Strategy::Gray {
                    gray: 1,
                    batches: 2,
                    go: Go::Auto { wait_s: Some(60) },
                },
            ),
            (
                r#"{"type":"GrayBatchUpdate","batchUpdate":{"batch":2,"releaseType":"manual"},"grayUpdate":{"gray":1}}"#,
                Strategy::Gray {
                    gray: 1,
                    batches: 2,
                    go: Go::Manual,
                },
            ),
            (
                r#"{"type":"BatchUpdate","batchUpdate":{"batch":2,"releaseType":"auto","batchWaitTime":0}}"#,
                Strategy::Batches {
                    batches: 2,
                    go: Go::Auto { wait_s: Some(0) },
                },
            ),
        ] {
            let read = strategy(Some(text)).unwrap();
            assert_eq!(read, expect);
            assert_eq!(strategy_text(&read), text);
        }
        for nothing in [None, Some(""), Some("  ")] {
            assert_eq!(strategy(nothing).unwrap(), Strategy::AllAtOnce);
        }
        assert_eq!(strategy_text(&Strategy::AllAtOnce), "");
    }

    #[test]
    fn strategies_that_are_refused() {
        for (text, expect) in [
            ("batch", codes::FORM),
            ("[]", codes::VALUE),
            ("{}", codes::VALUE),
            (r#"{"type":"BatchUpdate"}"#, codes::VALUE),
            (
                r#"{"type":"batchUpdate","batchUpdate":{"batch":1}}"#,
                codes::VALUE,
            ),
            (
                r#"{"type":"BatchUpdate","batchUpdate":{"batch":"two"}}"#,
                codes::VALUE,
            ),
            (
                r#"{"type":"BatchUpdate","batchUpdate":{"batch":1,"releaseType":"soon"}}"#,
                codes::VALUE,
            ),
            (
                r#"{"type":"BatchUpdate","batchUpdate":{"batch":1},"grayUpdate":{"gray":1}}"#,
                codes::VALUE,
            ),
            (
                r#"{"type":"GrayBatchUpdate","batchUpdate":{"batch":1}}"#,
                codes::VALUE,
            ),
            (
                r#"{"type":"BatchUpdate","batchUpdate":{"batch":1},"extra":1}"#,
                codes::VALUE,
            ),
            (
                r#"{"type":"BatchUpdate","batchUpdate":{"batch":1,"releaseType":"manual","batchWaitTime":1}}"#,
                codes::VALUE,
            ),
        ] {
            let Err(Refused::Surface(error)) = strategy(Some(text)) else {
                panic!("{text} is taken");
            };
            assert_eq!(error.code, expect, "{text}");
        }
    }

    #[test]
    fn how_many_may_run_beside() {
        for (count, percent, expect) in [
            (None, None, Some(Surge::Least)),
            (Some(-1), Some(-1), Some(Surge::Least)),
            (Some(2), None, Some(Surge::Count(2))),
            (Some(2), Some(50), Some(Surge::Percent(50))),
            (Some(-2), None, None),
            (None, Some(101), None),
        ] {
            let given = Given {
                max_surge_instances: count,
                max_surge_instance_ratio: percent,
                ..Given::default()
            };
            let settings = given.settings().ok().map(|s| s.surge);
            assert_eq!(settings, expect, "{count:?} {percent:?}");
        }
    }

    #[test]
    fn switches() {
        for (text, expect) in [
            (None, Some(None)),
            (Some(""), Some(None)),
            (Some("true"), Some(Some(true))),
            (Some("False"), Some(Some(false))),
            (Some("yes"), None),
        ] {
            assert_eq!(switch("X", text).ok(), expect, "{text:?}");
        }
    }
}
