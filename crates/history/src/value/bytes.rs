//! Strings and bytes: their length, their compression, and how people read
//! them.

use std::borrow::Cow;
use std::io::Read as _;

/// How much longer than its compressed form data can be: deflate's best is a
/// little more than 1030 to 1.
const INFLATION_MAX: usize = 1100;

/// What follows a length of `prefix` bytes, the least significant first.
/// `None` when it is not as long as that says.
#[must_use]
pub fn after_length(raw: &[u8], prefix: usize) -> Option<&[u8]> {
    let (length, rest) = raw.split_at_checked(prefix)?;
    let length = length.iter().rev().fold(0, |n, b| n << 8 | usize::from(*b));
    (rest.len() == length).then_some(rest)
}

/// The value of a `COMPRESSED` column: a first byte that tells the method, and
/// what it says follows. `Err` is why it cannot be read.
///
/// | first byte | what follows |
/// |---|---|
/// | nothing at all | the empty value |
/// | 0 | the value |
/// | `8` in the high half | the value's length, in as many bytes as the low three bits say, the most significant first, and the value by zlib; by bare deflate when bit 3 is set |
pub fn decompressed(raw: &[u8]) -> Result<Cow<'_, [u8]>, &'static str> {
    let Some((first, rest)) = raw.split_first() else {
        return Ok(Cow::Borrowed(&[]));
    };
    match first >> 4 {
        0 if *first == 0 => Ok(Cow::Borrowed(rest)),
        8 => {
            let (length, data) = rest
                .split_at_checked(usize::from(first & 7))
                .ok_or("its length is cut off")?;
            let length = length.iter().fold(0, |n, b| n << 8 | usize::from(*b));
            if length > data.len().saturating_mul(INFLATION_MAX) {
                return Err("it says to be longer than its data can be");
            }
            let mut value = Vec::with_capacity(length);
            // One byte more than expected shows that there is more.
            let limit = u64::try_from(length).map_or(u64::MAX, |n| n.saturating_add(1));
            let read = if first & 8 == 0 {
                flate2::read::ZlibDecoder::new(data)
                    .take(limit)
                    .read_to_end(&mut value)
            } else {
                flate2::read::DeflateDecoder::new(data)
                    .take(limit)
                    .read_to_end(&mut value)
            };
            match read {
                Ok(n) if n == length => Ok(Cow::Owned(value)),
                Ok(_) => Err("its data are not as long as it says"),
                Err(_) => Err("its compressed data are damaged"),
            }
        }
        _ => Err("it is compressed by an unknown method"),
    }
}

/// The text of `bytes` in a character set of the server, for people: what has
/// no meaning in it is replaced. `None` when the character set is not known
/// here.
#[must_use]
pub fn decode<'a>(charset: &str, bytes: &'a [u8]) -> Option<Cow<'a, str>> {
    use encoding_rs::{
        BIG5, EUC_JP, EUC_KR, Encoding, GBK, ISO_8859_2, ISO_8859_7, ISO_8859_8, ISO_8859_13,
        KOI8_R, KOI8_U, SHIFT_JIS, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_874, WINDOWS_1250,
        WINDOWS_1251, WINDOWS_1252, WINDOWS_1254, WINDOWS_1256, WINDOWS_1257,
    };
    let encoding: &'static Encoding = match charset {
        "utf8mb4" | "utf8mb3" | "utf8" | "ascii" => UTF_8,
        // The server's latin1 is what others call windows-1252.
        "latin1" => WINDOWS_1252,
        "latin2" => ISO_8859_2,
        "latin5" => WINDOWS_1254,
        "latin7" => ISO_8859_13,
        "greek" => ISO_8859_7,
        "hebrew" => ISO_8859_8,
        "cp1250" => WINDOWS_1250,
        "cp1251" => WINDOWS_1251,
        "cp1256" => WINDOWS_1256,
        "cp1257" => WINDOWS_1257,
        "koi8r" => KOI8_R,
        "koi8u" => KOI8_U,
        "tis620" => WINDOWS_874,
        "gbk" | "gb2312" => GBK,
        "big5" => BIG5,
        "euckr" => EUC_KR,
        "sjis" | "cp932" => SHIFT_JIS,
        "ujis" | "eucjpms" => EUC_JP,
        "ucs2" | "utf16" => UTF_16BE,
        "utf16le" => UTF_16LE,
        "utf32" => {
            let text = bytes
                .chunks(4)
                .map(|c| {
                    let code = c.iter().fold(0, |n, b| n << 8 | u32::from(*b));
                    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
                })
                .collect();
            return Some(Cow::Owned(text));
        }
        _ => return None,
    };
    Some(encoding.decode_without_bom_handling(bytes).0)
}

/// The members of an `ENUM` or `SET`, from its `COLUMN_TYPE`, e.g.
/// `enum('a','it''s')`. `None` when it cannot be read.
#[must_use]
pub fn members(column_type: &str) -> Option<Vec<String>> {
    let open = column_type.find('(')?;
    let mut rest = column_type.get(open + 1..)?;
    let mut members = Vec::new();
    loop {
        rest = rest.strip_prefix('\'')?;
        let mut member = String::new();
        loop {
            let quote = rest.find('\'')?;
            member.push_str(&rest[..quote]);
            rest = &rest[quote + 1..];
            match rest.strip_prefix('\'') {
                Some(more) => {
                    member.push('\'');
                    rest = more;
                }
                None => break,
            }
        }
        members.push(member);
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return rest.starts_with(')').then_some(members),
        }
    }
}

/// Writes bytes as hexadecimal digits.
pub fn write_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.extend_from_slice(&[
            DIGITS[usize::from(byte >> 4)],
            DIGITS[usize::from(byte & 15)],
        ]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn compressed_values_are_not_believed_beyond_their_data() {
        assert_eq!(decompressed(&[]).unwrap().as_ref(), b"");
        assert_eq!(decompressed(b"\0abc").unwrap().as_ref(), b"abc");
        let mut zlib =
            flate2::write::ZlibEncoder::new(vec![0x81, 10], flate2::Compression::default());
        zlib.write_all(b"aaaaaaaaaa").unwrap();
        let mut raw = zlib.finish().unwrap();
        assert_eq!(decompressed(&raw).unwrap().as_ref(), b"aaaaaaaaaa");
        for (at, byte) in [(1, 9), (1, 11), (0, 0x89), (0, 0x91), (0, 0x01), (5, 0xff)] {
            let mut bad = raw.clone();
            bad[at] = byte;
            assert!(decompressed(&bad).is_err(), "{at} {byte}");
        }
        // A length that would take the memory.
        raw[0] = 0x84;
        raw.splice(1..2, [0xff; 4]);
        assert!(decompressed(&raw).is_err());
        assert!(decompressed(&[0x84, 1]).is_err());
    }

    #[test]
    fn members_of_enums_may_have_quotes_and_commas() {
        assert_eq!(
            members("enum('a','it''s','x,''y','')").unwrap(),
            ["a", "it's", "x,'y", ""]
        );
        for bad in ["enum", "enum(", "enum()", "enum('a'", "enum('a',)"] {
            assert!(members(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn texts_are_decoded_for_people() {
        for (charset, bytes, wanted) in [
            ("utf8mb4", b"a\xc3\xa9\xff".as_slice(), "aé\u{fffd}"),
            ("latin1", b"\x80\xe9", "€é"),
            ("ucs2", b"\0a\x4e\x2d", "a中"),
            ("utf32", b"\0\x01\xf6\x00", "😀"),
            ("gbk", b"\xd6\xd0", "中"),
        ] {
            assert_eq!(decode(charset, bytes).unwrap(), wanted, "{charset}");
        }
        assert!(decode("keybcs2", b"a").is_none());
    }
}
