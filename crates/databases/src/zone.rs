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

    /// The instant that was written, in microseconds since 1970. Of a local
    /// time that is there twice, the first; one that was skipped is moved on by
    /// what was skipped.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn instant(&self, written: &Written) -> Result<i64, Malformed> {
        match written {
            Written::Instant(us) => Ok(*us),
            Written::Local(text) => Ok(self
                .0
                .to_ambiguous_timestamp(civil(text)?)
                .compatible()
                .map_err(|_| Malformed::new(text, "a time between the years 1 and 9999"))?
                .as_microsecond()),
        }
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
        // There twice, and not at all.
        assert_eq!(at("2024-10-27 02:30:00"), 1_729_989_000_000_000);
        assert_eq!(at("2024-03-31 02:30:00"), at("2024-03-31 03:30:00"));
        let offset: Zone = "-05:30".parse().unwrap();
        assert_eq!(offset.local(Timestamp(0)), "1969-12-31 18:30:00");
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
