//! The few names a request body is searched for. Bodies stay bytes: nothing is decoded into a document, and nothing is written again.

use std::{fmt, io};

use bytes::{Buf, Bytes};
use serde::{
    Deserializer as _,
    de::{Error as _, IgnoredAny, MapAccess, Visitor},
};

/// A body that should be a JSON object with unique names and is not.
pub type BodyError = serde_json::Error;

/// The string under `name` in the body's outermost object; `None` if it is not there. A name that stands there twice is an error: the
/// gateway and Bedrock could each believe another one.
pub fn top_level_string(pieces: &[Bytes], name: &'static str) -> Result<Option<String>, BodyError> {
    let mut found = None;
    let mut json = serde_json::Deserializer::from_reader(reader(pieces));
    (&mut json).deserialize_map(TopLevel { name, found: &mut found })?;
    json.end()?;
    Ok(found)
}

pub(super) fn reader(pieces: &[Bytes]) -> impl io::Read + '_ {
    struct Pieces<'a>(&'a [Bytes], Bytes);

    impl io::Read for Pieces<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            while self.1.is_empty() {
                let Some((next, rest)) = self.0.split_first() else { return Ok(0) };
                (self.0, self.1) = (rest, next.clone());
            }
            let length = out.len().min(self.1.len());
            self.1.copy_to_slice(&mut out[..length]);
            Ok(length)
        }
    }

    // serde_json reads byte by byte: without the buffer every byte would be a call.
    io::BufReader::with_capacity(8 * 1024, Pieces(pieces, Bytes::new()))
}

struct TopLevel<'f> {
    name: &'static str,
    found: &'f mut Option<String>,
}

impl<'de> Visitor<'de> for TopLevel<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = false;
        while let Some(name) = map.next_key::<String>()? {
            if name != self.name {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if std::mem::replace(&mut seen, true) {
                return Err(A::Error::custom(format_args!("`{}` stands there twice", self.name)));
            }
            *self.found = map.next_value::<Option<String>>()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text cut into pieces of `length` bytes, with an empty one among them.
    fn pieces(text: &str, length: usize) -> Vec<Bytes> {
        let cut = text.as_bytes().chunks(length).map(Bytes::copy_from_slice);
        cut.chain([Bytes::new()]).collect()
    }

    #[test]
    fn a_string_is_found_however_the_body_is_cut() {
        let text = r#"{"messages":[{"model":"inner"}],"model":"gpt","n":1.5,"stream":true}"#;
        for length in 1..=text.len() {
            assert_eq!(top_level_string(&pieces(text, length), "model").unwrap().as_deref(), Some("gpt"));
        }
        assert_eq!(top_level_string(&pieces("{}", 1), "model").unwrap(), None);
    }

    #[test]
    fn two_readings_of_a_body_are_none() {
        for text in [r#"{"model":"a","model":"b"}"#, r#"["model"]"#, "", r#"{"model":1}"#, r#"{"model":"a"} {}"#, "{"] {
            assert!(top_level_string(&pieces(text, 3), "model").is_err(), "{text}");
        }
        // The escape is the same name.
        assert!(top_level_string(&pieces(r#"{"model":"a","mod\u0065l":"b"}"#, 5), "model").is_err());
    }
}
