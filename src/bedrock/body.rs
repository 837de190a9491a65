//! The few names a request body is searched for. Bodies stay bytes: nothing is decoded into a document, and nothing is written again.

use std::{fmt, io};

use bytes::{Buf, Bytes};
use serde::{
    Deserializer as _,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::model::places;

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

/// What a body names, at any depth.
#[derive(Debug, Default)]
pub struct Names {
    /// Every string under a name by which Bedrock's operations take a model: `modelId`, `modelArn`, `foundationModel`, …
    pub models: Vec<String>,
    /// Of these the ones that no other stands further out than: what an operation runs itself, and not one of its helpers or a document.
    pub outermost: Vec<String>,
    /// Every string under any name that says by itself where it leads: ARNs, and profiles of guardrails.
    pub placed: Vec<String>,
}

/// Reads them.
///
/// # Errors
/// The body is no JSON.
pub fn names(pieces: &[Bytes]) -> Result<Names, BodyError> {
    let mut found = Names::default();
    let mut json = serde_json::Deserializer::from_reader(reader(pieces));
    let mut depth_min = usize::MAX;
    Search { named: false, depth: 0, depth_min: &mut depth_min, found: &mut found }.deserialize(&mut json)?;
    json.end()?;
    Ok(found)
}

/// Taken from the members of all operations' inputs in botocore 1.44.5; endings, so that next year's `judgeModelArn` is found as well.
fn names_a_model(name: &str) -> bool {
    const ENDINGS: [&str; 7] =
        ["model", "modelid", "modelarn", "modelidentifier", "modelsourceidentifier", "provisionedthroughput", "copyfrom"];
    let name = name.to_ascii_lowercase();
    ENDINGS.iter().any(|ending| name.ends_with(ending))
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

/// Looks at one value; `named` says that it stands under a model's name.
struct Search<'f> {
    named: bool,
    /// Objects around it.
    depth: usize,
    /// Around the outermost model.
    depth_min: &'f mut usize,
    found: &'f mut Names,
}

impl Search<'_> {
    fn inside(&mut self, named: bool, deeper: usize) -> Search<'_> {
        Search { named, depth: self.depth + deeper, depth_min: &mut *self.depth_min, found: &mut *self.found }
    }

    fn model(&mut self, name: &str) {
        self.found.models.push(name.to_owned());
        if self.depth < *self.depth_min {
            *self.depth_min = self.depth;
            self.found.outermost.clear();
        }
        if self.depth == *self.depth_min {
            self.found.outermost.push(name.to_owned());
        }
    }
}

impl<'de> DeserializeSeed<'de> for Search<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Search<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E>(mut self, text: &str) -> Result<(), E> {
        if self.named {
            self.model(text);
        }
        if places(text).next().is_some() {
            self.found.placed.push(text.to_owned());
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            map.next_value_seed(self.inside(names_a_model(&name), 1))?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(self.inside(self.named, 0))?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
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

    #[test]
    fn models_are_found_at_any_depth_and_more_than_once() {
        let text = r#"{"retrieveAndGenerateConfiguration":{"knowledgeBaseConfiguration":{"modelArn":"a"}},
            "models":[{"modelId":"b"}],"foundationModel":"c","modelId":"d","modelId":"e","name":"f","targetModelName":"g",
            "routingConfiguration":[{"agentVersion":"1","provisionedThroughput":"h"}]}"#;
        assert_eq!(names(&pieces(text, 7)).unwrap().models, ["a", "b", "c", "d", "e", "h"]);
        assert!(names(&pieces(&"[".repeat(100_000), 4096)).is_err());
    }

    #[test]
    fn what_runs_stands_further_out_than_what_helps() {
        for (text, expected) in [
            (r#"{"modelInput":{"modelId":"decoy"},"modelId":"a","tags":[{"model":"decoy"}]}"#, &["a"][..]),
            (r#"{"modelId":"a","modelId":"b"}"#, &["a", "b"]),
            (
                r#"{"retrieveAndGenerateConfiguration":{"knowledgeBaseConfiguration":{
                    "retrievalConfiguration":{"rerankingConfiguration":{"modelConfiguration":{"modelArn":"helper"}}},"modelArn":"a"}}}"#,
                &["a"],
            ),
            (r#"[{"modelId":"a"},[{"modelId":"b"}]]"#, &["a", "b"]),
            (r#"{"input":"text"}"#, &[]),
        ] {
            assert_eq!(names(&pieces(text, 3)).unwrap().outermost, expected, "{text}");
        }
    }
}
