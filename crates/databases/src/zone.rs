//! Times without a zone, as people and some protocols write them: they are in
//! the zone of the database instance.

use std::fmt;
use std::str::FromStr;

use backout_core::time::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use serde::{Deserialize, Serialize};

/// The zone of an instance: an IANA name, or a fixed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// A text that is not a time, or not a zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read {text:?} as {wanted}")]
pub struct Malformed {
    text: String,
    wanted: &'static str,
}

impl Malformed {
    fn new(text: &str, wanted: &'static str) -> Self {
        Self {
            text: text.chars().take(64).collect(),
            wanted,
        }
    }
}

/// Why a time that was written is no one instant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoInstant {
    /// It is no time at all.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The clocks were put back over it: it was there twice.
    #[error(
        "tell which {text} is meant in {zone}: the clocks were put back then, and it was there twice; write {first} or {second}"
    )]
    Twice {
        /// As it was written.
        text: String,
        /// The zone.
        zone: String,
        /// The earlier instant, with its offset.
        first: String,
        /// The later one.
        second: String,
    },
    /// The clocks were put forward over it: it never was.
    #[error(
        "find {text} in {zone}: the clocks were put forward then, and it never was; write {first} or {second}"
    )]
    Skipped {
        /// As it was written.
        text: String,
        /// The zone.
        zone: String,
        /// The instant by the offset that was true after, which is the earlier.
        first: String,
        /// The one by the offset that was true before.
        second: String,
    },
}

/// An instant as somebody wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Written {
    /// With its zone: microseconds since 1970.
    Instant(i64),
    /// Without: in the zone of the instance, `YYYY-MM-DD hh:mm:ss[.ffffff]`.
    Local(String),
}

impl FromStr for Written {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let text = text.trim();
        if let Ok(instant) = text.parse::<jiff::Timestamp>() {
            return Ok(Self::Instant(instant.as_microsecond()));
        }
        civil(text).map(|_| Self::Local(text.to_owned()))
    }
}

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// The instant that was written, in microseconds since 1970.
    ///
    /// # Errors
    /// [`NoInstant`]: also of a local time that was there twice, or never. A
    /// guess would take back an hour too much or too little.
    pub fn instant(&self, written: &Written) -> Result<i64, NoInstant> {
        let (first, second) = self.instants(written)?;
        let (Written::Local(text), true) = (written, first < second) else {
            return Ok(first);
        };
        let (zone, text) = (self.to_string(), text.clone());
        let was_there = self.civil_at(first) == Some(civil(&text)?);
        let (first, second) = (self.explicit(first), self.explicit(second));
        Err(match was_there {
            true => NoInstant::Twice {
                text,
                zone,
                first,
                second,
            },
            false => NoInstant::Skipped {
                text,
                zone,
                first,
                second,
            },
        })
    }

    /// The first and the last instant that may be meant: they differ for a local
    /// time that was there twice, or never. For lists, where an hour too many
    /// does no harm.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn instants(&self, written: &Written) -> Result<(i64, i64), Malformed> {
        let text = match written {
            Written::Instant(us) => return Ok((*us, *us)),
            Written::Local(text) => text,
        };
        let local = self.0.to_ambiguous_timestamp(civil(text)?);
        let known = |at: Result<jiff::Timestamp, jiff::Error>| {
            at.map(jiff::Timestamp::as_microsecond)
                .map_err(|_| Malformed::new(text, "a time between the years 1 and 9999"))
        };
        Ok((known(local.earlier())?, known(local.later())?))
    }

    fn civil_at(&self, us: i64) -> Option<DateTime> {
        let at = jiff::Timestamp::from_microsecond(us).ok()?;
        Some(self.0.to_datetime(at))
    }

    /// `YYYY-MM-DD hh:mm:ss` in this zone.
    #[must_use]
    pub fn local(&self, at: Timestamp) -> String {
        jiff::Timestamp::from_millisecond(at.0).map_or_else(
            |_| String::new(),
            |t| {
                self.0
                    .to_datetime(t)
                    .strftime("%Y-%m-%d %H:%M:%S")
                    .to_string()
            },
        )
    }

    /// `YYYY-MM-DDThh:mm:ss[.ffffff]+hh:mm` in this zone: the instant with
    /// its zone, for people and for copying back.
    #[must_use]
    pub fn explicit(&self, us: i64) -> String {
        jiff::Timestamp::from_microsecond(us).map_or_else(
            |_| String::new(),
            |t| t.display_with_offset(self.0.to_offset(t)).to_string(),
        )
    }

    /// The hour of the day (0 to 23) and the day of the week (0 is Monday) in
    /// this zone.
    #[must_use]
    pub fn hour_and_day(&self, at: Timestamp) -> (u8, usize) {
        jiff::Timestamp::from_millisecond(at.0).map_or((0, 0), |t| {
            let local = self.0.to_datetime(t);
            (
                local.hour().unsigned_abs(),
                usize::from(local.weekday().to_monday_zero_offset().unsigned_abs()),
            )
        })
    }
}

fn civil(text: &str) -> Result<DateTime, Malformed> {
    let wanted = "a time, YYYY-MM-DD hh:mm:ss, or with a zone, YYYY-MM-DDThh:mm:ss+02:00";
    let plain = text
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'-' | b':' | b' ' | b'.' | b'T'));
    text.parse::<DateTime>()
        .ok()
        .filter(|_| plain && text.len() >= "2024-01-01 00:00:00".len())
        .ok_or_else(|| Malformed::new(text, wanted))
}

impl FromStr for Zone {
    type Err = Malformed;

    /// An IANA name, or `+hh:mm`; what a server answers for its zone.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = || Malformed::new(text, "a time zone, e.g. Europe/Berlin or +02:00");
        if let Some((sign, rest)) = text
            .strip_prefix('+')
            .map(|r| (1, r))
            .or_else(|| text.strip_prefix('-').map(|r| (-1, r)))
        {
            let (hours, minutes) = rest.split_once(':').ok_or_else(malformed)?;
            let hours: i32 = hours.parse().map_err(|_| malformed())?;
            let minutes: i32 = minutes.parse().map_err(|_| malformed())?;
            if !(0..=14).contains(&hours) || !(0..=59).contains(&minutes) {
                return Err(malformed());
            }
            let offset = Offset::from_seconds(sign * (hours * 3600 + minutes * 60))
                .map_err(|_| malformed())?;
            return Ok(Self(TimeZone::fixed(offset)));
        }
        if text.eq_ignore_ascii_case("utc") || text.is_empty() {
            return Ok(Self::UTC);
        }
        TimeZone::get(text).map(Self).map_err(|_| malformed())
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.iana_name(), self.0.to_fixed_offset()) {
            (Some(name), _) => f.write_str(name),
            (None, Ok(offset)) => write!(f, "{offset}"),
            (None, Err(_)) => f.write_str("UTC"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_times_are_in_the_zone_of_the_instance() {
        let berlin: Zone = "Europe/Berlin".parse().unwrap();
        let at = |text: &str| berlin.instant(&text.parse().unwrap()).unwrap();
        assert_eq!(at("2024-09-09 16:40:30"), 1_725_892_830_000_000);
        assert_eq!(at("2024-09-09T14:40:30Z"), 1_725_892_830_000_000);
        assert_eq!(at("2024-09-09T14:40:30.000001Z"), 1_725_892_830_000_001);
        assert_eq!(
            berlin.local(Timestamp(1_725_892_830_000)),
            "2024-09-09 16:40:30"
        );
        assert_eq!(
            berlin.explicit(1_725_892_830_000_000),
            "2024-09-09T16:40:30+02:00"
        );
        let offset: Zone = "-05:30".parse().unwrap();
        assert_eq!(offset.local(Timestamp(0)), "1969-12-31 18:30:00");
    }

    #[test]
    fn a_local_time_that_was_there_twice_or_never_is_refused_with_both_instants() {
        // Zones of both hemispheres, one that moves by half an hour, and one
        // that is behind: each when its clocks were put back and forward.
        for (zone, twice, skipped) in [
            (
                "Europe/Berlin",
                (
                    "2024-10-27 02:30:00",
                    "2024-10-27T02:30:00+02:00",
                    "2024-10-27T02:30:00+01:00",
                ),
                (
                    "2024-03-31 02:30:00",
                    "2024-03-31T01:30:00+01:00",
                    "2024-03-31T03:30:00+02:00",
                ),
            ),
            (
                "America/New_York",
                (
                    "2024-11-03 01:00:00",
                    "2024-11-03T01:00:00-04:00",
                    "2024-11-03T01:00:00-05:00",
                ),
                (
                    "2024-03-10 02:59:59",
                    "2024-03-10T01:59:59-05:00",
                    "2024-03-10T03:59:59-04:00",
                ),
            ),
            (
                "Australia/Lord_Howe",
                (
                    "2024-04-07 01:45:00",
                    "2024-04-07T01:45:00+11:00",
                    "2024-04-07T01:45:00+10:30",
                ),
                (
                    "2024-10-06 02:15:00",
                    "2024-10-06T01:45:00+10:30",
                    "2024-10-06T02:45:00+11:00",
                ),
            ),
        ] {
            let known: Zone = zone.parse().unwrap();
            let told = |text: &str| known.instant(&text.parse().unwrap()).unwrap_err();
            let (text, first, second) = twice;
            let error = told(text);
            assert!(matches!(error, NoInstant::Twice { .. }), "{error}");
            for part in [text, zone, first, second] {
                assert!(error.to_string().contains(part), "{error}: {part}");
            }
            // What it says can be written, and names two instants.
            let us = |text: &str| known.instant(&text.parse().unwrap()).unwrap();
            assert!(us(first) < us(second));
            assert_eq!(known.explicit(us(first)), first);
            assert_eq!(known.explicit(us(second)), second);
            let (text, first, second) = skipped;
            let error = told(text);
            assert!(matches!(error, NoInstant::Skipped { .. }), "{error}");
            for part in [text, zone, first, second] {
                assert!(error.to_string().contains(part), "{error}: {part}");
            }
            assert!(us(first) < us(second));
            let written = text.parse().unwrap();
            assert_eq!(known.instants(&written), Ok((us(first), us(second))));
        }
        // A second before and a second after are as always.
        let berlin: Zone = "Europe/Berlin".parse().unwrap();
        let at = |text: &str| berlin.instant(&text.parse().unwrap()).unwrap();
        assert_eq!(
            at("2024-03-31 03:00:00") - at("2024-03-31 01:59:59"),
            1_000_000
        );
        assert_eq!(
            at("2024-10-27 03:00:00") - at("2024-10-27 01:59:59"),
            7_201_000_000
        );
    }

    #[test]
    fn what_is_no_time_or_zone_is_refused() {
        for bad in [
            "",
            "yesterday",
            "2024-09-09",
            "2024-13-09 00:00:00",
            "16:40:30",
            "2024-09-09 25:00:00",
        ] {
            assert!(bad.parse::<Written>().is_err(), "{bad}");
        }
        for bad in ["Nowhere/Atall", "+99:00", "+1", "../etc"] {
            assert!(bad.parse::<Zone>().is_err(), "{bad}");
        }
    }
}
