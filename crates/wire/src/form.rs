//! Form-encoded pairs: queries and `application/x-www-form-urlencoded` bodies.

use crate::fault::{Fault, Rejection};
use crate::request::shown;

/// The most pairs that are read. A batch rollback of a few hundred tables,
/// flattened, stays well below; a body of nothing but `&a` does not get far.
const MAX_PAIRS: usize = 10_000;

/// Decoded pairs, in the order received.
pub(crate) type Pairs = Vec<(String, String)>;

/// Reads pairs. A plus sign is a space, then percent signs are decoded; a
/// percent sign without two hex digits stands for itself.
pub(crate) fn parse(raw: &[u8]) -> Result<Pairs, Rejection> {
    let mut pairs = Pairs::new();
    for part in raw.split(|b| *b == b'&') {
        if part.is_empty() {
            continue;
        }
        if pairs.len() == MAX_PAIRS {
            return Err(Rejection::new(
                Fault::TooLarge,
                format!("more than {MAX_PAIRS} parameters"),
            ));
        }
        let (key, value) = match part.iter().position(|b| *b == b'=') {
            Some(at) => (&part[..at], &part[at + 1..]),
            None => (part, &b""[..]),
        };
        pairs.push((decode(key)?, decode(value)?));
    }
    Ok(pairs)
}

fn decode(raw: &[u8]) -> Result<String, Rejection> {
    let spaced: Vec<u8> = raw
        .iter()
        .map(|b| if *b == b'+' { b' ' } else { *b })
        .collect();
    let bytes: Vec<u8> = percent_encoding::percent_decode(&spaced).collect();
    String::from_utf8(bytes)
        .map_err(|_| Rejection::new(Fault::InvalidParameter, "parameters are not UTF-8"))
}

/// Whether a key is there. The key has no character that needs encoding.
pub(crate) fn has_key(raw: &[u8], key: &str) -> bool {
    raw.split(|b| *b == b'&').any(|part| {
        part.strip_prefix(key.as_bytes())
            .is_some_and(|rest| rest.first().is_none_or(|b| *b == b'='))
    })
}

/// Refuses a key that comes twice: `a=1&b=2` as one value and as two
/// parameters sign alike (section 2), and two readers may pick different ones.
pub(crate) fn refuse_repeated(pairs: &Pairs) -> Result<(), Rejection> {
    let mut keys: Vec<&str> = pairs.iter().map(|(key, _)| key.as_str()).collect();
    keys.sort_unstable();
    for two in keys.windows(2) {
        if let [a, b] = two
            && a == b
        {
            return Err(Rejection::new(
                Fault::InvalidParameter,
                format!("parameter `{}` comes more than once", shown(a)),
            ));
        }
    }
    Ok(())
}

/// The value of a key.
pub(crate) fn get<'p>(pairs: &'p Pairs, key: &str) -> Option<&'p str> {
    pairs
        .iter()
        .find(|(known, _)| known == key)
        .map(|(_, value)| value.as_str())
}

/// All but RFC 3986's unreserved characters are encoded (section 5).
const RESERVED: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// Appends `text`, encoded by RFC 3986.
pub(crate) fn encode_into(out: &mut String, text: &str) {
    out.extend(percent_encoding::utf8_percent_encode(text, RESERVED));
}

/// Pairs as a query, encoded by RFC 3986.
pub(crate) fn encode<'p>(pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> String {
    let mut out = String::new();
    for (key, value) in pairs {
        if !out.is_empty() {
            out.push('&');
        }
        encode_into(&mut out, key);
        out.push('=');
        encode_into(&mut out, value);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs() {
        for (raw, expect) in [
            ("", vec![]),
            ("&&", vec![]),
            ("a=1&b=", vec![("a", "1"), ("b", "")]),
            ("a", vec![("a", "")]),
            ("a=b=c", vec![("a", "b=c")]),
            ("k+1=%E8%AE%A2+%2B%zz%", vec![("k 1", "\u{8ba2} +%zz%")]),
        ] {
            let got = parse(raw.as_bytes()).expect("reads");
            let got: Vec<(&str, &str)> =
                got.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            assert_eq!(got, expect, "{raw}");
        }
        assert_eq!(
            parse(b"a=%ff").map_err(|r| r.fault),
            Err(Fault::InvalidParameter)
        );
        assert_eq!(
            parse("&a=1".repeat(MAX_PAIRS + 1).as_bytes()).map_err(|r| r.fault),
            Err(Fault::TooLarge)
        );
    }

    #[test]
    fn keys() {
        assert!(has_key(b"x=1&Action=A", "Action"));
        assert!(has_key(b"Action", "Action"));
        assert!(!has_key(b"ActionX=1&y=Action=", "Action"));
    }
}
