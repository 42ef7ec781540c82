//! Dates and times, as the server writes them. A value that no server writes
//! (a month 15) is written as it is: what is refused is what cannot be read.

use std::io::Write as _;

/// `YYYY-MM-DD` of a packed date: day in 5 bits, month in 4, year above.
pub fn write_date(raw: [u8; 3], out: &mut Vec<u8>) -> Option<()> {
    let v = u32::from_le_bytes([raw[0], raw[1], raw[2], 0]);
    write!(out, "{:04}-{:02}-{:02}", v >> 9, v >> 5 & 15, v & 31).ok()
}

/// `YYYY-MM-DD hh:mm:ss` and the digits of a packed date and time: five bytes,
/// the most significant first, and the fraction.
pub fn write_datetime(raw: &[u8], digits: u8, out: &mut Vec<u8>) -> Option<()> {
    let (whole, fraction) = raw.split_first_chunk::<5>()?;
    let v = whole.iter().fold(0_i64, |n, b| n << 8 | i64::from(*b)) - 0x80_0000_0000;
    // Below zero there is no date.
    let v = u64::try_from(v).ok()?;
    let (date, time) = (v >> 17, v & 0x1_ffff);
    let months = date >> 5;
    write!(
        out,
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        months / 13,
        months % 13,
        date & 31,
        time >> 12,
        time >> 6 & 63,
        time & 63
    )
    .ok()?;
    write_fraction(micros(fraction, digits)?, digits, out)
}

/// `[-]hh:mm:ss` and the digits of a packed time: a number of three bytes and
/// the fraction, the most significant first, with an offset.
pub fn write_time(raw: &[u8], digits: u8, out: &mut Vec<u8>) -> Option<()> {
    if raw.len() != 3 + usize::from(digits.div_ceil(2)) {
        return None;
    }
    let bits = 8 * u32::try_from(raw.len()).ok()?;
    // Whole and fraction are one number: a negative time is the complement of
    // both together.
    let packed = raw.iter().fold(0_i64, |n, b| n << 8 | i64::from(*b)) - (1 << (bits - 1));
    let unsigned = packed.unsigned_abs();
    let fraction_bits = bits - 24;
    let hms = unsigned >> fraction_bits;
    let part = unsigned & ((1 << fraction_bits) - 1);
    if packed < 0 {
        out.push(b'-');
    }
    write!(
        out,
        "{:02}:{:02}:{:02}",
        hms >> 12 & 1023,
        hms >> 6 & 63,
        hms & 63
    )
    .ok()?;
    write_fraction(part * unit(digits), digits, out)
}

/// `YYYY-MM-DD hh:mm:ss` and the digits, in UTC, of seconds since 1970 and a
/// fraction, the most significant first. Zero is what the server calls
/// `0000-00-00 00:00:00`.
pub fn write_timestamp(raw: &[u8], digits: u8, out: &mut Vec<u8>) -> Option<()> {
    let (whole, fraction) = raw.split_first_chunk::<4>()?;
    let seconds = u32::from_be_bytes(*whole);
    let micros = micros(fraction, digits)?;
    write_utc(seconds, micros == 0, out)?;
    write_fraction(micros, digits, out)
}

/// `YYYY-MM-DD hh:mm:ss` of seconds since 1970.
pub fn write_utc(seconds: u32, zero_is_none: bool, out: &mut Vec<u8>) -> Option<()> {
    if seconds == 0 && zero_is_none {
        return write!(out, "0000-00-00 00:00:00").ok();
    }
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Civil date from days, by eras of 400 years that begin in March.
    let z = days + 719_468;
    let era_day = z % 146_097;
    let year_of_era = (era_day - era_day / 1460 + era_day / 36_524 - era_day / 146_096) / 365;
    let year_day = era_day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * year_day + 2) / 153;
    let day = year_day - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + z / 146_097 * 400 + u32::from(month <= 2);
    write!(
        out,
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
    .ok()
}

/// `YYYY-MM-DD hh:mm:ss` of a date and time in the format before MySQL 5.6:
/// these digits as one number.
pub fn write_old_datetime(raw: [u8; 8], out: &mut Vec<u8>) -> Option<()> {
    let v = u64::from_le_bytes(raw);
    let (date, time) = (v / 1_000_000, v % 1_000_000);
    write!(
        out,
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        date / 10_000,
        date / 100 % 100,
        date % 100,
        time / 10_000,
        time / 100 % 100,
        time % 100
    )
    .ok()
}

/// `[-]hh:mm:ss` of a time in the format before MySQL 5.6: these digits as one
/// number.
pub fn write_old_time(raw: [u8; 3], out: &mut Vec<u8>) -> Option<()> {
    let v = i32::from_le_bytes([0, raw[0], raw[1], raw[2]]) >> 8;
    if v < 0 {
        out.push(b'-');
    }
    let v = v.unsigned_abs();
    write!(out, "{:02}:{:02}:{:02}", v / 10_000, v / 100 % 100, v % 100).ok()
}

/// How many microseconds one of a fraction's packed units is.
const fn unit(digits: u8) -> u64 {
    match digits {
        1 | 2 => 10_000,
        3 | 4 => 100,
        _ => 1,
    }
}

fn micros(fraction: &[u8], digits: u8) -> Option<u64> {
    if fraction.len() != usize::from(digits.div_ceil(2)) {
        return None;
    }
    let units = fraction.iter().fold(0_u64, |n, b| n << 8 | u64::from(*b));
    Some(units * unit(digits))
}

fn write_fraction(micros: u64, digits: u8, out: &mut Vec<u8>) -> Option<()> {
    if digits == 0 {
        return Some(());
    }
    let width = usize::from(digits);
    let value = micros / 10_u64.pow(u32::from(6_u8.checked_sub(digits)?));
    write!(out, ".{value:0width$}").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>) -> Option<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_below_zero_are_the_complement_with_their_fraction() {
        // -00:00:00.01 as TIME(2), -00:00:01.99 and 838:59:59.
        assert_eq!(
            text(|o| write_time(&[0x7f, 0xff, 0xff, 0xff], 2, o)),
            "-00:00:00.01"
        );
        assert_eq!(
            text(|o| write_time(&[0x7f, 0xff, 0xfe, 0x9d], 2, o)),
            "-00:00:01.99"
        );
        assert_eq!(text(|o| write_time(&[0x80, 0, 0], 0, o)), "00:00:00");
        assert_eq!(text(|o| write_time(&[0xb4, 0x6e, 0xfb], 0, o)), "838:59:59");
    }

    #[test]
    fn seconds_become_dates() {
        for (seconds, wanted) in [
            (0, "0000-00-00 00:00:00"),
            (1, "1970-01-01 00:00:01"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (2_147_483_647, "2038-01-19 03:14:07"),
            (u32::MAX, "2106-02-07 06:28:15"),
        ] {
            assert_eq!(text(|o| write_utc(seconds, true, o)), wanted);
        }
    }

    #[test]
    fn what_is_too_short_is_no_time() {
        let mut out = Vec::new();
        assert!(write_time(&[0x80, 0], 0, &mut out).is_none());
        assert!(write_time(&[0x80, 0, 0], 3, &mut out).is_none());
        assert!(write_datetime(&[0; 5], 0, &mut out).is_none());
        assert!(write_timestamp(&[0; 4], 6, &mut out).is_none());
    }
}
