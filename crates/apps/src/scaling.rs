//! How the number of replicas follows the hour and the load. Pure: what was
//! seen goes in, how many there should be comes out.

use std::collections::BTreeSet;

use backout_core::time::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;

/// The longest name of a rule, in characters.
pub const RULE_NAME_MAX_CHARS: usize = 64;

/// How many rules an application may have.
pub const RULES_MAX: usize = 20;

/// How many times a day a rule may speak.
pub const SCHEDULES_MAX: usize = 48;

/// The longest time after a change within which none follows, in seconds.
pub const WINDOW_MAX_S: u32 = 3600;

/// How far from its target a measure may be without anything being done, in per
/// cent of the target: without it replicas would come and go with each sample.
const TOLERANCE_PERCENT: u64 = 10;

/// How many days back it is looked for the time at which a rule spoke last: a
/// month and its longest gap, from one 31st to the next.
const DAYS_BACK: i64 = 63;

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScalingRule {
    /// Its name, unique within the application.
    pub name: String,
    /// Whether it is on.
    pub enabled: bool,
    /// By the hour.
    #[serde(default)]
    pub timer: Option<Timer>,
    /// By the load.
    #[serde(default)]
    pub metric: Option<Metric>,
    /// How many replicas stay ready while it scales; as for any order.
    #[serde(default)]
    pub least_ready: Option<i64>,
    /// The same in per cent.
    #[serde(default)]
    pub least_ready_percent: Option<i64>,
}

/// By the hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    /// The first day, `YYYY-MM-DD`; none, any.
    #[serde(default)]
    pub begin: Option<String>,
    /// The last day; none, any.
    #[serde(default)]
    pub end: Option<String>,
    /// On which days.
    pub days: Days,
    /// The time zone of its days and hours, by its name, such as `UTC`.
    pub zone: String,
    /// What is to be when.
    pub schedules: Vec<Schedule>,
}

/// On which days a timer speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Days {
    /// On all.
    Every,
    /// On these of a week; 1 is Monday, 7 Sunday.
    OfWeek(BTreeSet<i8>),
    /// On these of a month, from 1 on.
    OfMonth(BTreeSet<i8>),
}

/// What is to be from one time of a day on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Minutes from midnight.
    pub at_minute: u16,
    /// That many replicas, until the next time.
    #[serde(default)]
    pub replicas: Option<u32>,
    /// From then on, the fewest of the rule's load part.
    #[serde(default)]
    pub least: Option<u32>,
    /// From then on, the most of the rule's load part.
    #[serde(default)]
    pub most: Option<u32>,
}

/// By the load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metric {
    /// The fewest replicas.
    pub least: u32,
    /// The most replicas.
    pub most: u32,
    /// What is measured, and where it is to be.
    pub targets: Vec<Target>,
    /// How replicas are added.
    #[serde(default)]
    pub up: Pace,
    /// How replicas are taken away.
    #[serde(default)]
    pub down: Pace,
}

/// Where a measure is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// What is measured.
    pub of: Measure,
    /// Where its mean over the replicas is to be, in per cent of what one may
    /// take.
    pub percent: u32,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Processor time.
    Cpu,
    /// Memory.
    Memory,
}

/// How fast the number of replicas changes in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// Not at all.
    #[serde(default)]
    pub disabled: bool,
    /// How long after a change none follows, in seconds.
    #[serde(default)]
    pub window_s: u32,
    /// At most so many at once; none, as many as are needed.
    #[serde(default)]
    pub step: Option<u32>,
}

/// A rule as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleRow {
    /// The rule.
    pub rule: ScalingRule,
    /// When it was made.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
    /// When it was switched off last.
    pub disabled: Option<Timestamp>,
    /// When the application was scaled by it last.
    pub scaled: Option<Timestamp>,
}

/// What was seen of an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// The present instant.
    pub now: Timestamp,
    /// How many replicas it is to have now.
    pub replicas: u32,
    /// The mean of what its replicas take of the processor time they may, in
    /// per cent; none where that is not known.
    pub cpu_percent: Option<u32>,
    /// The same of memory.
    pub memory_percent: Option<u32>,
    /// When it was scaled by rules last.
    pub scaled: Option<Timestamp>,
}

/// What rules say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The rule.
    pub rule: String,
    /// How many replicas there should be.
    pub replicas: u32,
    /// Why, for people.
    pub why: String,
}

/// What the rules that are on say, where that is another number of replicas
/// than there are to be: the most that any of them wants. A rule that sees
/// nothing says nothing.
#[must_use]
pub fn wish(rules: &[ScalingRule], load: &Load) -> Option<Wish> {
    rules
        .iter()
        .filter(|rule| rule.enabled)
        .filter_map(|rule| one_wish(rule, load))
        .max_by_key(|wish| wish.replicas)
        .filter(|wish| wish.replicas != load.replicas)
}

/// How much of the processor time that they may take replicas took on average,
/// in per cent: of each what it had taken at two instants, in milliseconds,
/// `elapsed_ms` apart. None where nothing was counted, or nothing is limited.
#[must_use]
pub fn cpu_percent(taken_ms: &[(u64, u64)], limit_millis: u32, elapsed_ms: u64) -> Option<u32> {
    // One that was started anew counts from 0 on.
    let taken = |(before, after): &(u64, u64)| after.saturating_sub(*before);
    let all: u64 = taken_ms.iter().map(taken).sum();
    let replicas = u64::try_from(taken_ms.len()).ok()?;
    let could = replicas
        .saturating_mul(elapsed_ms)
        .saturating_mul(limit_millis.into());
    // Of thousandths of a processor, in per cent.
    let percent = all.saturating_mul(100_000).checked_div(could)?;
    Some(u32::try_from(percent).unwrap_or(u32::MAX))
}

fn one_wish(rule: &ScalingRule, load: &Load) -> Option<Wish> {
    let schedule = rule.timer.as_ref().and_then(|t| t.standing(load.now));
    let named = |replicas, why| Wish {
        rule: rule.name.clone(),
        replicas,
        why,
    };
    if let Some((schedule, replicas)) = schedule.and_then(|s| Some((s, s.replicas?))) {
        return Some(named(
            replicas,
            format!("so many from {} on", clock(schedule.at_minute)),
        ));
    }
    let metric = rule.metric.as_ref()?;
    let least = schedule.and_then(|s| s.least).unwrap_or(metric.least);
    let most = schedule.and_then(|s| s.most).unwrap_or(metric.most);
    let (replicas, why) = metric.wanted(load)?;
    Some(named(replicas.clamp(least, most.max(least)), why))
}

impl Timer {
    /// The schedule that holds at an instant: the one that spoke last.
    fn standing(&self, now: Timestamp) -> Option<&Schedule> {
        let zone = TimeZone::get(&self.zone).ok()?;
        let now = jiff::Timestamp::from_millisecond(now.0)
            .ok()?
            .to_zoned(zone);
        let minute = u16::try_from(i32::from(now.hour()) * 60 + i32::from(now.minute())).ok()?;
        let (begin, end) = self.bounds().ok()?;
        // A timer that is over holds nothing any more.
        if end.is_some_and(|end| now.date() > end) {
            return None;
        }
        let mut day = now.date();
        for back in 0..=DAYS_BACK {
            if begin.is_some_and(|begin| day < begin) {
                return None;
            }
            if self.speaks_on(day) {
                let spoken = |s: &&Schedule| back > 0 || s.at_minute <= minute;
                let last = self.schedules.iter().filter(spoken);
                if let Some(last) = last.max_by_key(|s| s.at_minute) {
                    return Some(last);
                }
            }
            day = day.yesterday().ok()?;
        }
        None
    }

    /// Its first and its last day.
    fn bounds(&self) -> Result<(Option<Date>, Option<Date>), jiff::Error> {
        let day = |text: &Option<String>| text.as_deref().map(str::parse).transpose();
        Ok((day(&self.begin)?, day(&self.end)?))
    }

    fn speaks_on(&self, day: Date) -> bool {
        match &self.days {
            Days::Every => true,
            Days::OfWeek(days) => days.contains(&day.weekday().to_monday_one_offset()),
            Days::OfMonth(days) => days.contains(&day.day()),
        }
    }
}

impl Metric {
    /// How many replicas bring every measure to its target.
    fn wanted(&self, load: &Load) -> Option<(u32, String)> {
        let mut wanted: Option<(u32, String)> = None;
        let mut all_seen = true;
        for target in &self.targets {
            let (word, seen) = match target.of {
                Measure::Cpu => ("processor", load.cpu_percent),
                Measure::Memory => ("memory", load.memory_percent),
            };
            let Some(seen) = seen else {
                all_seen = false;
                continue;
            };
            let (have, aim) = (u64::from(seen), u64::from(target.percent.max(1)));
            let near = have.abs_diff(aim) * 100 <= aim * TOLERANCE_PERCENT;
            let needed = match near {
                true => u64::from(load.replicas),
                false => (u64::from(load.replicas) * have).div_ceil(aim),
            };
            let needed = u32::try_from(needed).unwrap_or(u32::MAX);
            if wanted.as_ref().is_none_or(|(most, _)| needed > *most) {
                wanted = Some((needed, format!("{word} at {have} %, to be at {aim} %")));
            }
        }
        let (mut wanted, why) = wanted?;
        if !all_seen {
            // What is not seen may be what the replicas are needed for.
            wanted = wanted.max(load.replicas);
        }
        Some((self.paced(wanted, load), why))
    }

    fn paced(&self, wanted: u32, load: &Load) -> u32 {
        let pace = match wanted > load.replicas {
            true => self.up,
            false => self.down,
        };
        let window_ms = i64::from(pace.window_s) * 1000;
        let soon = load
            .scaled
            .is_some_and(|at| load.now.since_ms(at) < window_ms);
        if pace.disabled || soon {
            return load.replicas;
        }
        let step = pace.step.unwrap_or(u32::MAX);
        wanted.clamp(
            load.replicas.saturating_sub(step),
            load.replicas.saturating_add(step),
        )
    }
}

/// Refuses a rule that says nothing, or contradicts itself.
///
/// # Errors
/// [`Refusal::Parameter`].
pub fn check(rule: &ScalingRule, most_replicas: u32) -> Result<(), Refusal> {
    let wrong = |name, why: String| Err(Refusal::Parameter { name, why });
    if rule.name.is_empty() || rule.name.chars().count() > RULE_NAME_MAX_CHARS {
        return wrong(
            "rule name",
            format!("give 1 to {RULE_NAME_MAX_CHARS} characters"),
        );
    }
    if rule.timer.is_none() && rule.metric.is_none() {
        return wrong("rule", "give a timer, a load to follow, or both".to_owned());
    }
    if let Some(timer) = &rule.timer {
        timer.check(rule.metric.is_some(), most_replicas)?;
    }
    let Some(metric) = &rule.metric else {
        return Ok(());
    };
    if metric.least < 1 || metric.least > metric.most || metric.most > most_replicas {
        return wrong(
            "replicas of the rule",
            format!("give 1 to {most_replicas}, the fewest no more than the most"),
        );
    }
    if metric.targets.is_empty() {
        return wrong("targets of the rule", "give at least one".to_owned());
    }
    let kinds: BTreeSet<bool> = metric
        .targets
        .iter()
        .map(|t| t.of == Measure::Cpu)
        .collect();
    if kinds.len() != metric.targets.len() {
        return wrong(
            "targets of the rule",
            "give each measure once only".to_owned(),
        );
    }
    if let Some(bad) = metric
        .targets
        .iter()
        .find(|t| !(1..=100).contains(&t.percent))
    {
        return wrong(
            "target of the rule",
            format!("{} is not 1 to 100 per cent", bad.percent),
        );
    }
    for pace in [metric.up, metric.down] {
        if pace.window_s > WINDOW_MAX_S || pace.step == Some(0) {
            return wrong(
                "pace of the rule",
                format!("give a window of 0 to {WINDOW_MAX_S} s, and steps of at least 1"),
            );
        }
    }
    Ok(())
}

impl Timer {
    fn check(&self, with_metric: bool, most_replicas: u32) -> Result<(), Refusal> {
        let wrong = |why: String| {
            Err(Refusal::Parameter {
                name: "timer of the rule",
                why,
            })
        };
        if TimeZone::get(&self.zone).is_err() {
            return wrong(format!("time zone {:?} is unknown", self.zone));
        }
        let Ok((begin, end)) = self.bounds() else {
            return wrong("write its first and last day as YYYY-MM-DD".to_owned());
        };
        if begin.zip(end).is_some_and(|(b, e)| b > e) {
            return wrong("its last day is before its first".to_owned());
        }
        let known = |days: &BTreeSet<i8>, most| {
            !days.is_empty() && days.iter().all(|d| (1..=most).contains(d))
        };
        let days = match &self.days {
            Days::Every => true,
            Days::OfWeek(days) => known(days, 7),
            Days::OfMonth(days) => known(days, 31),
        };
        if !days {
            return wrong("give days 1 to 7 of a week, or 1 to 31 of a month".to_owned());
        }
        if self.schedules.is_empty() || self.schedules.len() > SCHEDULES_MAX {
            return wrong(format!("give 1 to {SCHEDULES_MAX} times"));
        }
        let times: BTreeSet<u16> = self.schedules.iter().map(|s| s.at_minute).collect();
        if times.len() != self.schedules.len() || times.last().is_some_and(|t| *t >= 24 * 60) {
            return wrong("give each time once only, 00:00 to 23:59".to_owned());
        }
        for schedule in &self.schedules {
            let bounds = [schedule.replicas, schedule.least, schedule.most];
            if bounds.iter().flatten().any(|n| *n > most_replicas) {
                return wrong(format!("give at most {most_replicas} replicas"));
            }
            let bounded = schedule.least.zip(schedule.most);
            let fine = match (schedule.replicas, bounded) {
                (Some(_), None) => schedule.least.is_none() && schedule.most.is_none(),
                (None, Some((least, most))) => with_metric && least >= 1 && least <= most,
                _ => false,
            };
            if !fine {
                return wrong(format!(
                    "say for {} how many replicas, or, of a rule that follows a load too, the fewest and the most",
                    clock(schedule.at_minute)
                ));
            }
        }
        Ok(())
    }
}

/// A time of a day, as it is written.
fn clock(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-03-02, a Monday, at that time, in UTC.
    fn at(hour: i64, minute: i64) -> Timestamp {
        let monday = Timestamp::parse_iso8601("2026-03-02T00:00:00Z").unwrap();
        monday.plus_ms((hour * 60 + minute) * 60_000)
    }

    fn load(now: Timestamp, replicas: u32) -> Load {
        Load {
            now,
            replicas,
            cpu_percent: None,
            memory_percent: None,
            scaled: None,
        }
    }

    fn rule(timer: Option<Timer>, metric: Option<Metric>) -> ScalingRule {
        ScalingRule {
            name: "busy".into(),
            enabled: true,
            timer,
            metric,
            least_ready: None,
            least_ready_percent: None,
        }
    }

    fn schedule(at_minute: u16, replicas: u32) -> Schedule {
        Schedule {
            at_minute,
            replicas: Some(replicas),
            least: None,
            most: None,
        }
    }

    fn timer(days: Days) -> Timer {
        Timer {
            begin: None,
            end: None,
            days,
            zone: "UTC".into(),
            schedules: vec![schedule(8 * 60, 10), schedule(20 * 60, 2)],
        }
    }

    fn metric() -> Metric {
        Metric {
            least: 2,
            most: 10,
            targets: vec![
                Target {
                    of: Measure::Cpu,
                    percent: 50,
                },
                Target {
                    of: Measure::Memory,
                    percent: 80,
                },
            ],
            up: Pace::default(),
            down: Pace {
                disabled: false,
                window_s: 300,
                step: Some(1),
            },
        }
    }

    #[test]
    fn the_hour_that_struck_last_holds() {
        let (monday, sunday) = (BTreeSet::from([1]), BTreeSet::from([7]));
        for (days, now, replicas, wanted) in [
            (Days::Every, at(8, 0), 3, Some(10)),
            (Days::Every, at(19, 59), 3, Some(10)),
            (Days::Every, at(20, 0), 3, Some(2)),
            // Before the first time of a day, what the day before ended with.
            (Days::Every, at(7, 59), 3, Some(2)),
            (Days::Every, at(7, 59), 2, None),
            (Days::OfWeek(monday.clone()), at(9, 0), 3, Some(10)),
            // On Thursday what Monday ended with.
            (Days::OfWeek(monday), at(72 + 9, 0), 3, Some(2)),
            (Days::OfWeek(sunday), at(9, 0), 3, Some(2)),
            (Days::OfMonth(BTreeSet::from([2])), at(9, 0), 3, Some(10)),
            (Days::OfMonth(BTreeSet::from([31])), at(9, 0), 3, Some(2)),
        ] {
            let found = wish(
                &[rule(Some(timer(days.clone())), None)],
                &load(now, replicas),
            );
            assert_eq!(found.map(|w| w.replicas), wanted, "{days:?} {now}");
        }
        // Its own zone, and its first and last day.
        let mut elsewhere = timer(Days::Every);
        elsewhere.zone = "Asia/Tokyo".into();
        let found = wish(&[rule(Some(elsewhere), None)], &load(at(0, 0), 3));
        assert_eq!(found.unwrap().replicas, 10);
        for (begin, end) in [(Some("2026-03-03"), None), (None, Some("2026-03-01"))] {
            let mut bounded = timer(Days::Every);
            bounded.begin = begin.map(str::to_owned);
            bounded.end = end.map(str::to_owned);
            let found = wish(&[rule(Some(bounded), None)], &load(at(9, 0), 3));
            assert_eq!(found, None, "{begin:?} {end:?}");
        }
    }

    #[test]
    fn the_load_is_followed_within_bounds_and_pace() {
        for (replicas, cpu, memory, scaled_s, wanted) in [
            (4, None, None, None, None),
            (4, Some(50), None, None, None),
            // Near enough.
            (4, Some(54), Some(75), None, None),
            (4, Some(100), None, None, Some(8)),
            // The greater need counts; no more than the most.
            (4, Some(100), Some(400), None, Some(10)),
            // Down by steps, not soon after a change, and not while something is
            // not seen.
            (4, Some(5), Some(5), None, Some(3)),
            (4, Some(5), Some(5), Some(299), None),
            (4, Some(5), Some(5), Some(300), Some(3)),
            (4, Some(5), None, None, None),
            // Up at once, whenever.
            (4, Some(75), None, Some(1), Some(6)),
            // No fewer than the fewest.
            (2, Some(5), Some(5), None, None),
            (1, Some(50), None, None, Some(2)),
        ] {
            let mut seen = load(at(12, 0), replicas);
            seen.cpu_percent = cpu;
            seen.memory_percent = memory;
            seen.scaled = scaled_s.map(|s: i64| seen.now.plus_ms(-s * 1000));
            let found = wish(&[rule(None, Some(metric()))], &seen);
            assert_eq!(found.map(|w| w.replicas), wanted, "{seen:?}");
        }
    }

    #[test]
    fn what_replicas_take_of_what_they_may() {
        for (taken, limit, elapsed, percent) in [
            (vec![(0, 500)], 1000, 1000, Some(50)),
            (vec![(0, 500), (100, 100)], 1000, 1000, Some(25)),
            (vec![(0, 500)], 500, 1000, Some(100)),
            // More than it may, in a short while.
            (vec![(0, 600)], 500, 1000, Some(120)),
            // Started anew in between.
            (vec![(900, 100)], 1000, 1000, Some(0)),
            (vec![], 1000, 1000, None),
            (vec![(0, 5)], 0, 1000, None),
            (vec![(0, 5)], 1000, 0, None),
        ] {
            let found = cpu_percent(&taken, limit, elapsed);
            assert_eq!(found, percent, "{taken:?} {limit} {elapsed}");
        }
    }

    #[test]
    fn rules_that_are_off_say_nothing_and_of_others_the_most_counts() {
        let mut off = rule(Some(timer(Days::Every)), None);
        off.enabled = false;
        let seen = load(at(9, 0), 3);
        assert_eq!(wish(std::slice::from_ref(&off), &seen), None);
        let mut few = rule(Some(timer(Days::Every)), None);
        few.name = "few".into();
        few.timer.as_mut().unwrap().schedules = vec![schedule(0, 4)];
        let mut many = off.clone();
        many.enabled = true;
        assert_eq!(wish(&[few, off, many], &seen).unwrap().replicas, 10);
        // A mixed rule: the hour moves the bounds of the load.
        let mut mixed = rule(Some(timer(Days::Every)), Some(metric()));
        mixed.timer.as_mut().unwrap().schedules = vec![Schedule {
            at_minute: 0,
            replicas: None,
            least: Some(6),
            most: Some(7),
        }];
        let mut seen = seen;
        seen.cpu_percent = Some(50);
        assert_eq!(wish(&[mixed.clone()], &seen).unwrap().replicas, 6);
        seen.cpu_percent = Some(400);
        assert_eq!(wish(&[mixed], &seen).unwrap().replicas, 7);
    }

    #[test]
    fn rules_that_make_no_sense_are_refused() {
        assert!(check(&rule(Some(timer(Days::Every)), Some(metric())), 10).is_ok());
        let broken: [fn(&mut ScalingRule); 14] = [
            |r| r.name.clear(),
            |r| (r.timer, r.metric) = (None, None),
            |r| r.timer.as_mut().unwrap().zone = "Nowhere/Land".into(),
            |r| r.timer.as_mut().unwrap().days = Days::OfWeek(BTreeSet::from([8])),
            |r| r.timer.as_mut().unwrap().days = Days::OfMonth(BTreeSet::new()),
            |r| r.timer.as_mut().unwrap().schedules.clear(),
            |r| r.timer.as_mut().unwrap().schedules[0].at_minute = 1440,
            |r| r.timer.as_mut().unwrap().schedules[0].replicas = None,
            |r| r.timer.as_mut().unwrap().schedules[0].replicas = Some(11),
            |r| r.metric.as_mut().unwrap().least = 0,
            |r| r.metric.as_mut().unwrap().most = 11,
            |r| r.metric.as_mut().unwrap().targets.clear(),
            |r| r.metric.as_mut().unwrap().targets[0].percent = 0,
            |r| r.metric.as_mut().unwrap().up.step = Some(0),
        ];
        for (number, spoil) in broken.into_iter().enumerate() {
            let mut bad = rule(Some(timer(Days::Every)), Some(metric()));
            spoil(&mut bad);
            assert!(check(&bad, 10).is_err(), "{number}");
        }
    }
}
