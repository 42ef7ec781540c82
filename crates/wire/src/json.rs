//! JSON from outside: bounded in depth, and no member twice.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::fault::{Fault, Rejection};
use crate::request::shown;

/// The deepest nesting that is read. The deepest request of the contract has
/// seven levels (`StartBatchRollback`).
const MAX_DEPTH: u8 = 24;

/// Reads a JSON object. An empty body counts as an object without members.
pub(crate) fn parse_object(raw: &[u8]) -> Result<Map<String, Value>, Rejection> {
    if raw.is_empty() {
        return Ok(Map::new());
    }
    match parse(raw) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(Rejection::new(
            Fault::InvalidParameter,
            "the body must be a JSON object",
        )),
        Err(why) => Err(Rejection::new(
            Fault::InvalidParameter,
            format!("the body is not valid JSON: {}", shown(&why)),
        )),
    }
}

/// Reads any JSON value; the error says what is wrong with it.
pub(crate) fn parse(raw: &[u8]) -> Result<Value, String> {
    let mut reader = serde_json::Deserializer::from_slice(raw);
    let value = Bounded { depth: MAX_DEPTH }
        .deserialize(&mut reader)
        .map_err(|e| e.to_string())?;
    reader.end().map_err(|e| e.to_string())?;
    Ok(value)
}

struct Bounded {
    depth: u8,
}

impl<'de> DeserializeSeed<'de> for Bounded {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl Bounded {
    fn deeper<E: Error>(&self) -> Result<u8, E> {
        self.depth
            .checked_sub(1)
            .ok_or_else(|| E::custom("nested too deeply"))
    }
}

impl<'de> Visitor<'de> for Bounded {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E: Error>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_u64<E: Error>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_f64<E: Error>(self, v: f64) -> Result<Value, E> {
        Number::from_f64(v)
            .map(Value::Number)
            .ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E: Error>(self, v: &str) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_string<E: Error>(self, v: String) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = seq.next_element_seed(Bounded { depth })? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut map = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            let value = members.next_value_seed(Bounded { depth })?;
            // serde_json keeps the last of two members of one name, another
            // reader the first.
            if map.contains_key(&key) {
                return Err(A::Error::custom(format_args!(
                    "member `{}` comes more than once",
                    shown(&key)
                )));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_serde_json_reads() {
        for text in [
            "{}",
            r#"{"a":1,"b":-2,"c":1.5,"d":"\u6d4b","e":[true,null,{"f":[]}],"g":18446744073709551615}"#,
        ] {
            let plain: Value = serde_json::from_str(text).expect("plain");
            assert_eq!(parse(text.as_bytes()), Ok(plain));
        }
        assert_eq!(parse_object(b""), Ok(Map::new()));
    }

    #[test]
    fn refuses() {
        let deep = "[".repeat(100_000);
        let nested = format!("{}1{}", "{\"a\":".repeat(30), "}".repeat(30));
        for text in [
            "{",
            "[]",
            "1",
            "null",
            "{} {}",
            "{\"a\":1,\"a\":2}",
            "{\"a\":{\"b\":1,\"b\":1}}",
            "{a:1}",
            "{\"a\":1e999}",
            "\u{feff}{}",
            &deep,
            &nested,
        ] {
            let got = parse_object(text.as_bytes()).map_err(|r| r.fault);
            assert_eq!(got, Err(Fault::InvalidParameter), "{}", shown(text));
        }
        assert!(parse_object(b"{\"a\":\"\xff\"}").is_err());
    }
}
