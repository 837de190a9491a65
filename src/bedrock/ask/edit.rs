//! The bytes that may be changed, and changing them: a number replaced, a member inserted, every other byte as it came.

use std::ops::Range;

use bytes::Bytes;

use super::{
    Ask,
    shape::{Config, Field, Limit},
};
use crate::bedrock::json::{Container, count};

/// A request that names each of its operation's limits once has fewer. Each that is held costs more memory than its bytes in the body.
const LIMITS_MAX: usize = 16;

/// Where in the body the things stand that can be edited.
#[derive(Debug, Default)]
pub(super) struct Places {
    root: Option<Inside>,
    /// The outermost value is no object.
    rootless: bool,
    /// Those that have limits which count, each once.
    configs: Vec<(Config, Place)>,
    limits: Vec<Limited>,
    /// Who reads the limits can find others than somebody else does: what one stands in is there twice, or there are too many.
    ambiguous: bool,
    stream_options: Option<Place>,
    include_usage: Option<(Range<u64>, bool)>,
    /// Who looks whether usage is asked for can find another answer: it stands there twice, or in a list.
    usage_ambiguous: bool,
    opened: Option<Opened>,
}

/// An object's first byte after the bracket.
#[derive(Clone, Copy, Debug)]
pub(in crate::bedrock) struct Inside {
    pub at: u64,
    pub empty: bool,
}

/// An object, or what stands in its place.
#[derive(Clone, Debug)]
enum Place {
    Object(Inside),
    /// No place for anything.
    List,
    Other(Range<u64>),
}

/// A limit's value: what it says, if that is a count.
#[derive(Clone, Debug)]
struct Limited {
    limit: Limit,
    range: Range<u64>,
    value: Option<u64>,
    is_null: bool,
}

/// The object whose bracket was just read: whether it is empty, the next thing tells.
#[derive(Clone, Copy, Debug)]
enum Opened {
    Root,
    Config,
    StreamOptions,
}

impl Places {
    /// `obeyed`: a limit that counts stands in it.
    pub fn open(&mut self, at: Option<Field>, obeyed: bool, kind: Container, start: u64) {
        self.opened = None;
        let inside = Inside { at: start.saturating_add(1), empty: true };
        match (at, kind) {
            (Some(Field::Root), Container::Array) => self.rootless = true,
            (Some(Field::Root), Container::Object) if !self.rootless => {
                self.root = Some(inside);
                self.opened = Some(Opened::Root);
            }
            (Some(Field::Config(config)), Container::Array) if obeyed => self.config(config, Place::List),
            (Some(Field::Config(config)), Container::Object) if obeyed => {
                self.config(config, Place::Object(inside));
                self.opened = (!self.ambiguous).then_some(Opened::Config);
            }
            (Some(Field::StreamOptions), Container::Object) => {
                self.stream_options(Place::Object(inside));
                self.opened = Some(Opened::StreamOptions);
            }
            (Some(Field::StreamOptions | Field::IncludeUsage), _) => self.usage_ambiguous = true,
            _ => {}
        }
    }

    fn config(&mut self, config: Config, place: Place) {
        self.ambiguous |= self.configs.iter().any(|(other, _)| *other == config);
        if !self.ambiguous {
            self.configs.push((config, place));
        }
    }

    fn stream_options(&mut self, place: Place) {
        self.usage_ambiguous |= self.stream_options.replace(place).is_some();
    }

    pub fn closed(&mut self) {
        self.opened = None;
    }

    /// A member's name was read.
    pub fn named(&mut self) {
        let inside = match self.opened.take() {
            None => return,
            Some(Opened::Root) => self.root.as_mut(),
            Some(Opened::Config) => self.configs.last_mut().and_then(|(_, place)| place.inside()),
            Some(Opened::StreamOptions) => self.stream_options.as_mut().and_then(Place::inside),
        };
        if let Some(inside) = inside {
            inside.empty = false;
        }
    }

    /// A string or a bare word was read; `obeyed`: it is a limit that counts, or in the place of what has one.
    pub fn value(&mut self, at: Option<Field>, obeyed: bool, range: Range<u64>, word: &[u8]) {
        match at {
            Some(Field::Limit(limit)) if obeyed => {
                self.ambiguous |= self.limits.len() == LIMITS_MAX;
                if !self.ambiguous {
                    self.limits.push(Limited { limit, range, value: count(word), is_null: word == b"null" });
                }
            }
            Some(Field::Config(config)) if obeyed => self.config(config, Place::Other(range)),
            Some(Field::StreamOptions) => self.stream_options(Place::Other(range)),
            Some(Field::IncludeUsage) => {
                self.usage_ambiguous |= self.include_usage.replace((range, word == b"true")).is_some();
            }
            _ => {}
        }
    }

    /// The largest limit; none if any of them cannot be read, or nobody knows which one holds.
    pub fn max_tokens(&self) -> Option<u64> {
        if self.ambiguous || self.limits.iter().all(Limited::is_extra) {
            return None;
        }
        let values: Option<Vec<u64>> = self.told().map(|limit| limit.value).collect();
        values?.into_iter().max()
    }

    /// All limits but those that are `null` beside one that can be read: they are as good as not there, if each is there once.
    fn told(&self) -> impl Iterator<Item = &Limited> {
        let is_told = self.limits.iter().any(|limit| limit.value.is_some() && !limit.is_extra());
        let once = |null: &Limited| self.limits.iter().filter(|other| other.limit == null.limit).count() == 1;
        self.limits.iter().filter(move |limit| !(is_told && limit.is_null && once(limit)))
    }

    pub fn asks_for_usage(&self) -> bool {
        !self.usage_ambiguous && matches!(self.include_usage, Some((_, true)))
    }
}

impl Limited {
    /// It may lower nothing: whether the model obeys it is its provider's business.
    fn is_extra(&self) -> bool {
        self.limit == Limit::Additional
    }
}

impl Place {
    fn inside(&mut self) -> Option<&mut Inside> {
        match self {
            Place::Object(inside) => Some(inside),
            Place::List | Place::Other(_) => None,
        }
    }

    /// Puts a member into the object, or an object with it in the place of what is none.
    fn with(&self, member: &str) -> Option<Edit> {
        match self {
            Place::Object(inside) => Some(inside.with(member)),
            Place::List => None,
            Place::Other(range) => Some(Edit { range: range.clone(), text: format!("{{{member}}}") }),
        }
    }
}

impl Inside {
    /// Puts members before those that are there.
    pub fn with(self, member: &str) -> Edit {
        let comma = if self.empty { "" } else { "," };
        Edit { range: self.at..self.at, text: format!("{member}{comma}") }
    }
}

/// A body of which two readers could disagree whether it asks for usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`stream_options` and its `include_usage` may each stand there once")]
pub struct Ambiguous;

/// What stands in the place of some bytes.
pub(in crate::bedrock) struct Edit {
    pub range: Range<u64>,
    pub text: String,
}

impl Ask {
    /// The body with no limit above `most`: larger ones lowered, one inserted where none is named. `None`: this body has no place for it,
    /// or its thoughts would be more all the same.
    pub fn with_max_tokens(&self, pieces: &[Bytes], most: u64) -> Option<Vec<Bytes>> {
        let places = &self.places;
        let lowered = self.max_tokens.map_or(most, |asked| asked.min(most));
        if places.ambiguous || self.with_thoughts(lowered) > most {
            return None;
        }
        let too_much = |limit: &&Limited| limit.value.is_none_or(|value| value > most);
        let lowered = places.told().filter(too_much);
        let mut edits: Vec<Edit> = lowered.map(|limit| Edit { range: limit.range.clone(), text: most.to_string() }).collect();
        if places.limits.iter().all(Limited::is_extra) {
            edits.push(self.insertion(most)?);
            edits.sort_by_key(|edit| edit.range.start);
        }
        splice(pieces, edits)
    }

    /// A limit where none is named.
    fn insertion(&self, most: u64) -> Option<Edit> {
        let (container, name) = self.shape.insert?;
        let member = format!(r#""{name}":{most}"#);
        let root = self.places.root?;
        let Some(config) = container else { return Some(root.with(&member)) };
        let place = self.places.configs.iter().find(|(kind, _)| *kind == config);
        match place {
            Some((_, place)) => place.with(&member),
            None => Some(root.with(&format!(r#""{}":{{{member}}}"#, config.name()))),
        }
    }

    /// The body of a streamed chat completion, asking for usage as well. `None`: it asks already, or it is nothing of the kind.
    ///
    /// # Errors
    /// Whether it asks can be read in two ways, and Bedrock might take the one in which it does not.
    pub fn asking_for_usage(&self, pieces: &[Bytes]) -> Result<Option<Vec<Bytes>>, Ambiguous> {
        let places = &self.places;
        if !self.shape.chat || !self.stream {
            return Ok(None);
        }
        if places.usage_ambiguous {
            return Err(Ambiguous);
        }
        let member = r#""include_usage":true"#;
        let edit = match (&places.include_usage, &places.stream_options) {
            (Some((_, true)), _) => None,
            (Some((range, false)), _) => Some(Edit { range: range.clone(), text: "true".to_owned() }),
            (None, Some(place)) => place.with(member),
            (None, None) => places.root.map(|root| root.with(&format!(r#""stream_options":{{{member}}}"#))),
        };
        Ok(edit.and_then(|edit| splice(pieces, vec![edit])))
    }
}

/// The pieces with each range replaced. Ranges are in the order in which they stand, and apart. `None` if one is outside.
pub(in crate::bedrock) fn splice(pieces: &[Bytes], edits: Vec<Edit>) -> Option<Vec<Bytes>> {
    let mut out = Vec::with_capacity(pieces.len() + 2 * edits.len());
    let mut rest = pieces.iter().cloned();
    let (mut piece, mut at) = (Bytes::new(), 0u64);
    // Takes the bytes up to an offset, piece by piece.
    let mut until = |end: u64, keep: &mut dyn FnMut(Bytes)| -> Option<()> {
        while at < end {
            if piece.is_empty() {
                piece = rest.next()?;
            }
            let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(piece.len());
            at += length as u64;
            keep(piece.split_to(length));
        }
        Some(())
    };
    let whole = pieces.iter().fold(0, |sum, piece| sum + piece.len() as u64);
    for edit in edits {
        until(edit.range.start, &mut |kept| out.push(kept))?;
        until(edit.range.end, &mut |_| {})?;
        out.push(Bytes::from(edit.text));
    }
    until(whole, &mut |kept| out.push(kept))?;
    out.retain(|piece| !piece.is_empty());
    Some(out)
}
