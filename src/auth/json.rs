//! JSON as a verifier must read it: a member that is there twice is noticed, at any depth. Two parsers that disagree on which one
//! counts are an attack (RFC 8725 §2.4, RFC 7519 §4); serde's derived structs notice only the members they know.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

/// A JSON value, and whether any object in it repeats a member name.
pub struct Checked {
    /// The value; of repeated members the last.
    pub value: Value,
    /// Some object has a name twice (after escapes are decoded).
    pub repeats: bool,
}

/// The object that `bytes` are, if they are strict JSON (UTF-8 without a byte order mark, nothing after the value, at most 127
/// deep) and no name repeats in it.
pub fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(bytes) {
        Ok(Checked { value: Value::Object(members), repeats: false }) => Some(members),
        _ => None,
    }
}

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CheckedVisitor)
    }
}

struct CheckedVisitor;

fn plain<E>(value: impl Into<Value>) -> Result<Checked, E> {
    Ok(Checked { value: value.into(), repeats: false })
}

impl<'de> Visitor<'de> for CheckedVisitor {
    type Value = Checked;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Checked, E> {
        plain(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Checked, E> {
        plain(value)
    }

    fn visit_u64<E>(self, value: u64) -> Result<Checked, E> {
        plain(value)
    }

    fn visit_i64<E>(self, value: i64) -> Result<Checked, E> {
        plain(value)
    }

    fn visit_f64<E>(self, value: f64) -> Result<Checked, E> {
        plain(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Checked, E> {
        plain(value)
    }

    fn visit_string<E>(self, value: String) -> Result<Checked, E> {
        plain(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Checked, A::Error> {
        let mut values = Vec::new();
        let mut repeats = false;
        while let Some(element) = elements.next_element::<Checked>()? {
            repeats |= element.repeats;
            values.push(element.value);
        }
        Ok(Checked { value: Value::Array(values), repeats })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Checked, A::Error> {
        let mut members = Map::new();
        let mut repeats = false;
        while let Some((name, member)) = entries.next_entry::<String, Checked>()? {
            repeats |= member.repeats;
            repeats |= members.insert(name, member.value).is_some();
        }
        Ok(Checked { value: Value::Object(members), repeats })
    }
}
