//! Sizes as people read them. Data stays in bytes.

use std::fmt;
use std::str::FromStr;

const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];

/// A number of bytes, shown as people read it: `512 B`, `1.5 GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(n) = *self;
        if n < 1024 {
            return write!(f, "{n} B");
        }
        let mut scaled = n as f64 / 1024.0;
        let mut unit = UNITS[0];
        for next in &UNITS[1..] {
            // What would be rounded up to 1024.0 is one of the next unit.
            if scaled < 1023.95 {
                break;
            }
            scaled /= 1024.0;
            unit = next;
        }
        write!(f, "{scaled:.1} {unit}")
    }
}

/// A text that is no size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "read {0:?} as a size: give a whole number of bytes, or one with K, M, G or T behind it, each 1024 times the one before"
)]
pub struct MalformedSize(String);

impl FromStr for Size {
    type Err = MalformedSize;

    /// Reads `1073741824`, `1048576K`, `1024M`, `1G` and `1GiB` as the same.
    fn from_str(text: &str) -> Result<Self, MalformedSize> {
        let wrong = || MalformedSize(text.chars().take(40).collect());
        let at = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (digits, unit) = text.split_at(at);
        let factor: u64 = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kib" => 1 << 10,
            "m" | "mib" => 1 << 20,
            "g" | "gib" => 1 << 30,
            "t" | "tib" => 1 << 40,
            _ => return Err(wrong()),
        };
        digits
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(factor))
            .map(Self)
            .ok_or_else(wrong)
    }
}

/// Two sizes that a message compares: to the byte where they would look the
/// same otherwise.
#[must_use]
pub fn told_apart(one: u64, other: u64) -> [String; 2] {
    let short = [one, other].map(|n| Size(n).to_string());
    if short[0] == short[1] && one != other {
        return [one, other].map(|n| format!("{n} bytes"));
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_readable() {
        for (n, want) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_524, "1023.9 KiB"),
            (1_048_575, "1.0 MiB"),
            (1 << 30, "1.0 GiB"),
            (3 << 29, "1.5 GiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(Size(n).to_string(), want, "{n}");
        }
    }

    #[test]
    fn sizes_are_read() {
        for (text, want) in [
            ("0", Some(0)),
            ("512", Some(512)),
            ("512M", Some(512 << 20)),
            ("10g", Some(10 << 30)),
            ("10GiB", Some(10 << 30)),
            ("1T", Some(1 << 40)),
            ("", None),
            ("G", None),
            ("-1", None),
            ("+1", None),
            ("1.5G", None),
            ("1GB", None),
            ("1 G", None),
            ("99999999999T", None),
        ] {
            assert_eq!(text.parse().ok(), want.map(Size), "{text:?}");
        }
    }

    #[test]
    fn different_sizes_look_different() {
        assert_eq!(told_apart(1 << 30, 2 << 30), ["1.0 GiB", "2.0 GiB"]);
        assert_eq!(told_apart(1 << 30, 1 << 30), ["1.0 GiB", "1.0 GiB"]);
        assert_eq!(
            told_apart(1 << 30, (1 << 30) + 512),
            ["1073741824 bytes", "1073742336 bytes"]
        );
    }
}
