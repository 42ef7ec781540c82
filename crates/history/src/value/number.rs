//! Numbers, as the server writes them.

use std::io::Write as _;

use crate::layout::decimal_bytes;

/// Digits that fit into four bytes of a packed decimal.
const GROUP: usize = 9;

/// Bytes that 0 to 9 digits take.
const GROUP_BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];

/// The bytes as a number, the least significant first, its sign extended when
/// it has one.
#[must_use]
pub fn little(raw: &[u8], signed: bool) -> i128 {
    let value = raw
        .iter()
        .rev()
        .fold(0_i128, |n, b| n << 8 | i128::from(*b));
    let bits = raw.len() * 8;
    if signed && bits > 0 && value >> (bits - 1) & 1 == 1 {
        value - (1 << bits)
    } else {
        value
    }
}

/// The bytes as a number without a sign, the most significant first.
#[must_use]
pub fn big(raw: &[u8]) -> u64 {
    raw.iter().fold(0, |n, b| n << 8 | u64::from(*b))
}

/// Writes a decimal number.
pub fn write_int(value: i128, out: &mut Vec<u8>) {
    // i128 is slow to divide, and nearly all values fit into less.
    let written = match i64::try_from(value) {
        Ok(value) => write!(out, "{value}"),
        Err(_) => write!(out, "{value}"),
    };
    debug_assert!(written.is_ok(), "a Vec takes everything");
}

/// Writes a packed `DECIMAL(precision, scale)` with all digits of its scale.
/// `None` when `raw` is not one.
pub fn write_decimal(raw: &[u8], precision: usize, scale: usize, out: &mut Vec<u8>) -> Option<()> {
    let whole = precision.checked_sub(scale)?;
    if raw.len() != decimal_bytes(precision, scale)? || raw.is_empty() {
        return None;
    }
    // The sign is the first bit, inverted; all bits of a negative number are.
    let mask = if raw[0] & 0x80 == 0 { 0xff } else { 0 };
    let mut first = 0x80;
    let mut at = 0;
    let mut group = |digits: usize| -> Option<u32> {
        let length = GROUP_BYTES[digits];
        let mut value = 0;
        for byte in raw.get(at..at + length)? {
            value = value << 8 | u32::from(byte ^ mask ^ std::mem::take(&mut first));
        }
        at += length;
        // More than the digits can say: not a number.
        (u64::from(value) < 10_u64.pow(u32::try_from(digits).ok()?)).then_some(value)
    };
    if mask != 0 {
        out.push(b'-');
    }
    let start = out.len();
    for i in 0..=whole / GROUP {
        let digits = if i == 0 { whole % GROUP } else { GROUP };
        if digits == 0 {
            continue;
        }
        let value = group(digits)?;
        if out.len() > start {
            write!(out, "{value:09}").ok()?;
        } else if value > 0 {
            write!(out, "{value}").ok()?;
        }
    }
    if out.len() == start {
        out.push(b'0');
    }
    if scale > 0 {
        out.push(b'.');
        for _ in 0..scale / GROUP {
            write!(out, "{:09}", group(GROUP)?).ok()?;
        }
        let digits = scale % GROUP;
        if digits > 0 {
            write!(out, "{:0digits$}", group(digits)?).ok()?;
        }
    }
    Some(())
}

/// Places before the point up to which the server writes a double without an
/// exponent; beyond only when there are digits after it. As many zeros after the
/// point need none either.
const PLAIN_MAX: i32 = 15;

/// How many digits the shortest form of a value that lies between two such has
/// at least: with fewer, a double has room for the digit that follows.
const DIGITS_OF_TIES: usize = 15;

/// Writes a double as the server does: the shortest digits that lead back to
/// it, with an exponent when it is large or small.
pub fn write_double(value: f64, out: &mut Vec<u8>) -> Option<()> {
    if !value.is_finite() {
        return None;
    }
    let mut shortest = Vec::with_capacity(32);
    write!(shortest, "{value:e}").ok()?;
    // Of two shortest ones that are as near, the server takes the even one,
    // as rounding does. Only a value with more digits than that is between two.
    let count = shortest.iter().filter(|b| b.is_ascii_digit()).count();
    if count >= DIGITS_OF_TIES {
        let e = shortest.iter().position(|b| *b == b'e')?;
        let places = shortest[..e]
            .iter()
            .position(|b| *b == b'.')
            .map_or(0, |point| e - point - 1);
        let rounded = format!("{value:.places$e}");
        if rounded.parse() == Ok(value) {
            shortest = rounded.into_bytes();
        }
    }
    let mut digits = shortest.as_slice();
    if let Some(rest) = digits.strip_prefix(b"-") {
        out.push(b'-');
        digits = rest;
    }
    let e = digits.iter().position(|b| *b == b'e')?;
    let exponent: i32 = std::str::from_utf8(&digits[e + 1..]).ok()?.parse().ok()?;
    let mantissa: Vec<u8> = digits[..e].iter().copied().filter(|b| *b != b'.').collect();
    if mantissa == b"0" {
        out.push(b'0');
        return Some(());
    }
    // Where the point is, counted from the first digit.
    let point = exponent + 1;
    let has_fraction = usize::try_from(point).is_ok_and(|p| p < mantissa.len());
    if point <= -PLAIN_MAX || (point > PLAIN_MAX && !has_fraction) {
        out.push(mantissa[0]);
        if mantissa.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&mantissa[1..]);
        }
        write!(out, "e{exponent}").ok()?;
    } else if point <= 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', usize::try_from(-point).ok()?));
        out.extend_from_slice(&mantissa);
    } else {
        let point = usize::try_from(point).ok()?;
        let (whole, rest) = mantissa.split_at(point.min(mantissa.len()));
        out.extend_from_slice(whole);
        out.extend(std::iter::repeat_n(b'0', point - whole.len()));
        if !rest.is_empty() {
            out.push(b'.');
            out.extend_from_slice(rest);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_the_sign_that_they_are_said_to_have() {
        assert_eq!(little(&[0, 0, 0x80], true), -0x80_0000);
        assert_eq!(little(&[0, 0, 0x80], false), 0x80_0000);
        assert_eq!(little(&[0xff; 8], true), -1);
        assert_eq!(little(&[0xff; 8], false), i128::from(u64::MAX));
        assert_eq!(big(&[1, 2]), 0x102);
    }

    #[test]
    fn decimals_have_all_digits_of_their_scale() {
        let text = |raw: &[u8], precision, scale| {
            let mut out = Vec::new();
            write_decimal(raw, precision, scale, &mut out).map(|()| String::from_utf8(out).unwrap())
        };
        // The example of the server's sources: 1234567890.1234 as (14, 4).
        let raw = [0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2];
        assert_eq!(text(&raw, 14, 4).unwrap(), "1234567890.1234");
        let negative: Vec<u8> = raw.iter().map(|b| !b).collect();
        assert_eq!(text(&negative, 14, 4).unwrap(), "-1234567890.1234");
        assert_eq!(text(&[0x80, 0x07], 4, 2).unwrap(), "0.07");
        assert_eq!(text(&[0x80], 2, 2).unwrap(), "0.00");
        // 100 in two digits, and too few bytes.
        assert_eq!(text(&[0xe4], 2, 0), None);
        assert_eq!(text(&[0x80], 4, 2), None);
        assert_eq!(text(&[], 0, 0), None);
    }

    #[test]
    fn doubles_are_written_shortest() {
        let text = |value| {
            let mut out = Vec::new();
            write_double(value, &mut out).map(|()| String::from_utf8(out).unwrap())
        };
        for (value, wanted) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.1, "1.1"),
            (100.0, "100"),
            (-1.0e14, "-100000000000000"),
            (1.0e15, "1e15"),
            (1.5e300, "1.5e300"),
            (4_396_171_231_510_606.5, "4396171231510606.5"),
            (9_396_171_231_510_606.0, "9.396171231510606e15"),
            (0.001, "0.001"),
            (1.0e-15, "0.000000000000001"),
            (1.0e-16, "1e-16"),
            (f64::from(1.1_f32), "1.100000023841858"),
            // Half-way between two of 17 digits.
            (f64::from(f32::from_bits(0x4317_60ca)), "151.37808227539062"),
        ] {
            assert_eq!(text(value).unwrap(), wanted);
        }
        assert_eq!(text(f64::NAN), None);
    }
}
