//! Scaling rules as the vendor writes them.

use std::collections::BTreeSet;

use backout_apps::scaling::{
    Days, Measure, Metric, Pace, RuleRow, ScalingRule, Schedule, Target, Timer,
};
use serde::{Deserialize, Serialize};

use super::{codes, texts};
use crate::front::Refused;

/// The hours of a timer are those of the vendor's own country.
const ZONE: &str = "Asia/Shanghai";

const METRIC: &str = "ScalingRuleMetric";
const TIMER: &str = "ScalingRuleTimer";

/// The days of a week as the vendor writes them, Monday first.
const WEEK: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// A number that the vendor's samples write as text too.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Number {
    Number(u32),
    Text(String),
}

impl Number {
    fn read(&self, member: &str) -> Result<u32, Refused> {
        match self {
            Self::Number(n) => Ok(*n),
            Self::Text(text) => text
                .trim()
                .parse()
                .map_err(|_| codes::value(METRIC, &format!("{member} is no number"))),
        }
    }
}

/// `ScalingRuleMetric`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MetricText {
    max_replicas: u32,
    min_replicas: u32,
    #[serde(default)]
    metrics: Vec<TargetText>,
    scale_up_rules: Option<PaceText>,
    scale_down_rules: Option<PaceText>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TargetText {
    metric_type: String,
    metric_target_average_utilization: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PaceText {
    step: Option<Number>,
    #[serde(default)]
    disabled: bool,
    #[serde(default)]
    stabilization_window_seconds: u32,
}

/// `ScalingRuleTimer`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TimerText {
    begin_date: Option<String>,
    end_date: Option<String>,
    period: Option<String>,
    #[serde(default)]
    schedules: Vec<ScheduleText>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ScheduleText {
    at_time: String,
    target_replicas: Option<u32>,
    min_replicas: Option<u32>,
    max_replicas: Option<u32>,
}

/// Reads `ScalingRuleMetric`.
pub fn metric(text: Option<&str>) -> Result<Option<Metric>, Refused> {
    let Some(text) = texts::read::<MetricText>(METRIC, text)? else {
        return Ok(None);
    };
    let targets = text
        .metrics
        .iter()
        .map(|target| {
            let of = match target.metric_type.as_str() {
                "CPU" => Measure::Cpu,
                "MEMORY" => Measure::Memory,
                other => {
                    let why = format!("{other} is not measured here: give CPU or MEMORY");
                    return Err(codes::value(METRIC, &why));
                }
            };
            Ok(Target {
                of,
                percent: target.metric_target_average_utilization,
            })
        })
        .collect::<Result<_, _>>()?;
    let pace = |text: Option<PaceText>| -> Result<Pace, Refused> {
        let Some(text) = text else {
            return Ok(Pace::default());
        };
        Ok(Pace {
            disabled: text.disabled,
            window_s: text.stabilization_window_seconds,
            step: text.step.map(|step| step.read("step")).transpose()?,
        })
    };
    Ok(Some(Metric {
        least: text.min_replicas,
        most: text.max_replicas,
        targets,
        up: pace(text.scale_up_rules)?,
        down: pace(text.scale_down_rules)?,
    }))
}

/// Reads `ScalingRuleTimer`.
pub fn timer(text: Option<&str>) -> Result<Option<Timer>, Refused> {
    let Some(text) = texts::read::<TimerText>(TIMER, text)? else {
        return Ok(None);
    };
    let schedules = text
        .schedules
        .iter()
        .map(|schedule| {
            Ok(Schedule {
                at_minute: minute(&schedule.at_time)
                    .ok_or_else(|| codes::value(TIMER, "atTime is written as hh:mm"))?,
                replicas: schedule.target_replicas,
                least: schedule.min_replicas,
                most: schedule.max_replicas,
            })
        })
        .collect::<Result<_, Refused>>()?;
    let day = |text: Option<String>| text.filter(|text| !text.is_empty());
    Ok(Some(Timer {
        begin: day(text.begin_date),
        end: day(text.end_date),
        days: days(text.period.as_deref().unwrap_or("* * *"))?,
        zone: ZONE.to_owned(),
        schedules,
    }))
}

/// Minutes from midnight of `hh:mm`.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
}

/// The days of a period: `* * *`, `* * Mon,Fri`, `1,15 * *`.
fn days(period: &str) -> Result<Days, Refused> {
    let wrong = || {
        let why = "period is * * *, days of a week (* * Mon,Fri) or days of a month (1,15 * *)";
        codes::value(TIMER, why)
    };
    let parts: Vec<&str> = period.split_whitespace().collect();
    match parts.as_slice() {
        ["*", "*", "*"] => Ok(Days::Every),
        ["*", "*", names] => {
            let day = |name: &str| {
                let at = WEEK.iter().position(|known| *known == name)?;
                i8::try_from(at + 1).ok()
            };
            let days: Option<BTreeSet<i8>> = names.split(',').map(day).collect();
            Ok(Days::OfWeek(days.ok_or_else(wrong)?))
        }
        [numbers, "*", "*"] => {
            let days: Result<BTreeSet<i8>, _> = numbers.split(',').map(str::parse).collect();
            Ok(Days::OfMonth(days.map_err(|_| wrong())?))
        }
        _ => Err(wrong()),
    }
}

fn period(days: &Days) -> String {
    match days {
        Days::Every => "* * *".to_owned(),
        Days::OfWeek(days) => {
            let names: Vec<&str> = days
                .iter()
                .filter_map(|day| WEEK.get(usize::try_from(day - 1).ok()?).copied())
                .collect();
            format!("* * {}", names.join(","))
        }
        Days::OfMonth(days) => {
            let numbers: Vec<String> = days.iter().map(i8::to_string).collect();
            format!("{} * *", numbers.join(","))
        }
    }
}

/// A rule as all answers show it, whose types in the contract differ in what
/// they leave out.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Shown {
    app_id: String,
    create_time: i64,
    update_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_disable_time: Option<i64>,
    scale_rule_name: String,
    scale_rule_type: &'static str,
    scale_rule_enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_idle: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_ready_instances: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_ready_instance_ratio: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metric: Option<ShownMetric>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timer: Option<ShownTimer>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ShownMetric {
    max_replicas: u32,
    min_replicas: u32,
    metrics: Vec<ShownTarget>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scale_up_rules: Option<ShownPace>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scale_down_rules: Option<ShownPace>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ShownTarget {
    metric_type: &'static str,
    metric_target_average_utilization: u32,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ShownPace {
    disabled: bool,
    stabilization_window_seconds: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<u32>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ShownTimer {
    #[serde(skip_serializing_if = "Option::is_none")]
    begin_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_date: Option<String>,
    period: String,
    schedules: Vec<ShownSchedule>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ShownSchedule {
    at_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_replicas: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_replicas: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_replicas: Option<u32>,
}

impl Shown {
    /// As the lists show it.
    pub fn listed(application: &str, row: &RuleRow) -> Self {
        let rule = &row.rule;
        Self {
            app_id: application.to_owned(),
            create_time: row.created.0,
            update_time: row.updated.0,
            last_disable_time: row.disabled.map(|at| at.0),
            scale_rule_name: rule.name.clone(),
            scale_rule_type: kind(rule),
            scale_rule_enabled: rule.enabled,
            enable_idle: None,
            min_ready_instances: rule.least_ready,
            min_ready_instance_ratio: rule.least_ready_percent,
            metric: rule.metric.as_ref().map(shown_metric),
            timer: rule.timer.as_ref().map(shown_timer),
        }
    }

    /// As the calls that make or change it show it.
    pub fn changed(application: &str, row: &RuleRow) -> Self {
        let mut shown = Self::listed(application, row);
        shown.enable_idle = Some(false);
        shown.min_ready_instances = None;
        shown.min_ready_instance_ratio = None;
        if let Some(metric) = &mut shown.metric {
            metric.scale_up_rules = None;
            metric.scale_down_rules = None;
        }
        shown
    }
}

/// The vendor's word for what a rule goes by.
pub fn kind(rule: &ScalingRule) -> &'static str {
    match (&rule.timer, &rule.metric) {
        (Some(_), Some(_)) => "mix",
        (Some(_), None) => "timing",
        (None, _) => "metric",
    }
}

fn shown_metric(metric: &Metric) -> ShownMetric {
    let pace = |pace: &Pace| {
        Some(ShownPace {
            disabled: pace.disabled,
            stabilization_window_seconds: pace.window_s,
            step: pace.step,
        })
    };
    ShownMetric {
        max_replicas: metric.most,
        min_replicas: metric.least,
        metrics: metric
            .targets
            .iter()
            .map(|target| ShownTarget {
                metric_type: match target.of {
                    Measure::Cpu => "CPU",
                    Measure::Memory => "MEMORY",
                },
                metric_target_average_utilization: target.percent,
            })
            .collect(),
        scale_up_rules: pace(&metric.up),
        scale_down_rules: pace(&metric.down),
    }
}

fn shown_timer(timer: &Timer) -> ShownTimer {
    ShownTimer {
        begin_date: timer.begin.clone(),
        end_date: timer.end.clone(),
        period: period(&timer.days),
        schedules: timer
            .schedules
            .iter()
            .map(|schedule| ShownSchedule {
                at_time: format!(
                    "{:02}:{:02}",
                    schedule.at_minute / 60,
                    schedule.at_minute % 60
                ),
                target_replicas: schedule.replicas,
                min_replicas: schedule.least,
                max_replicas: schedule.most,
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_come_back_as_they_went() {
        for (text, expect) in [
            ("* * *", Some(Days::Every)),
            ("* * Mon,Sun", Some(Days::OfWeek([1, 7].into()))),
            ("1,15,31 * *", Some(Days::OfMonth([1, 15, 31].into()))),
            ("* *", None),
            ("* * Monday", None),
            ("x * *", None),
            ("* 1 *", None),
        ] {
            let read = days(text).ok();
            assert_eq!(read, expect, "{text}");
            if let Some(days) = read {
                assert_eq!(period(&days), text);
            }
        }
    }

    #[test]
    fn hours() {
        for (text, expect) in [
            ("08:00", Some(480)),
            ("23:59", Some(1439)),
            ("24:00", None),
            ("8", None),
            ("08:60", None),
        ] {
            assert_eq!(minute(text), expect, "{text}");
        }
    }

    #[test]
    fn the_vendor_s_samples_are_read() {
        let read = metric(Some(
            r#"{"maxReplicas":3,"minReplicas":1,"metrics":[{"metricType":"CPU","metricTargetAverageUtilization":20},{"metricType":"MEMORY","metricTargetAverageUtilization":30}],"scaleUpRules":{"step":"100","disabled":false,"stabilizationWindowSeconds":0},"scaleDownRules":{"step":"100","disabled":false,"stabilizationWindowSeconds":300}}"#,
        ))
        .unwrap()
        .unwrap();
        assert_eq!((read.least, read.most, read.targets.len()), (1, 3, 2));
        assert_eq!((read.up.step, read.down.window_s), (Some(100), 300));
        let read = timer(Some(
            r#"{"beginDate":null,"endDate":null,"period":"* * *","schedules":[{"atTime":"08:00","targetReplicas":10},{"atTime":"20:00","targetReplicas":3}]}"#,
        ))
        .unwrap()
        .unwrap();
        assert_eq!(read.schedules.len(), 2);
        for text in [
            r#"{"maxReplicas":3,"minReplicas":1,"metrics":[{"metricType":"QPS","metricTargetAverageUtilization":20}]}"#,
            r#"{"maxReplicas":"many","minReplicas":1}"#,
        ] {
            assert!(metric(Some(text)).is_err(), "{text}");
        }
    }
}
