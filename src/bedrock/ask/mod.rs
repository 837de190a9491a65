//! What a request asks for, read from its body in one pass: how many tokens it may generate, how many it brings, and where in its bytes
//! that stands, so that a limit can be lowered without touching another byte. Nothing is decoded into a document.

pub(in crate::bedrock) mod edit;
mod instructions;
mod place;
mod prompt;
mod ranks;
mod shape;
#[cfg(test)]
mod tests;

use bytes::Bytes;

pub use self::edit::Ambiguous;
use self::{
    edit::Places,
    instructions::Instructions,
    prompt::Prompt,
    ranks::Ranks,
    shape::{Field, Shape, TREE, TierName},
};
use super::{
    Operation,
    json::{Container, Scanner, Sink, count},
    usage::ServiceTier,
};

/// A request, as far as tokens go.
#[derive(Debug)]
pub struct Ask {
    /// The most output tokens that the request lets be generated for one answer, by the name that its operation and model obey; of several
    /// the largest. `None`: it names none that can be read, so the model's maximum holds.
    pub max_tokens: Option<u64>,
    /// How many answers it asks for, or images: `n`.
    pub choices: u64,
    /// Queries that it is billed as where it asks for documents to be ranked; see `ask::ranks`.
    pub queries: u64,
    /// It generates tokens, as embeddings, ranks, images and videos do not.
    pub generates: bool,
    /// `"stream": true` in the body, on the routes that have it there, or anything else that is not surely none.
    pub stream: bool,
    /// `stream_options.include_usage`.
    pub include_usage: bool,
    /// The service tier asked for in the body, by the name that its operation obeys; of several the dearest. `InvokeModel` has it in a
    /// header.
    pub tier: Option<ServiceTier>,
    /// What may be written to a cache: that is priced apart.
    pub caching: Caching,
    /// Tokens for thinking. They are part of `max_tokens`, which therefore cannot be lowered to them or below; with interleaved thinking
    /// they may be more, and come on top.
    pub thinking_budget: Option<u64>,
    /// `"background": true`, on the route that has it: the answer comes before anything is generated.
    pub background: bool,
    /// Tokens that go in, on the high side; see the tables in `text`, `ask::prompt` and `ask::instructions`. Never 0 where there is text.
    pub input_estimate: u64,
    /// The same as a bound, which holds for text whatever the tokenizer: a token for each byte. What is not in the body is in neither:
    /// a stored prompt, an earlier response, a file behind a link.
    pub input_bound: u64,
    /// The body is JSON. Of any other only its length is known.
    pub is_json: bool,
    shape: &'static Shape,
    places: Places,
}

/// Whether a request's prompt may be cached, and for how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caching {
    /// Not asked for.
    #[default]
    Off,
    /// Not asked for, of a model that may do so all the same.
    Unasked,
    /// For five minutes.
    FiveMinutes,
    /// Some of it for an hour.
    OneHour,
}

/// Claude and Nova cache what they are told to. OpenAI's cache by themselves, from GPT-5.6 on at a price; of all others, and of names that
/// say nothing, nobody knows.
const CACHE_WHAT_IS_ASKED: [&str; 2] = ["claude", "amazon."];

impl Caching {
    /// Of a request that does not ask for it.
    fn unasked(model: Option<&str>) -> Caching {
        let asked = |model: &str| CACHE_WHAT_IS_ASKED.iter().any(|part| model.contains(part));
        if model.is_some_and(asked) { Caching::Off } else { Caching::Unasked }
    }
}

impl Ask {
    /// Reads a body. `model` tells whose shape `InvokeModel` has, and what may be cached.
    pub fn read(operation: &Operation, model: Option<&str>, pieces: &[Bytes]) -> Ask {
        let shape = Shape::of(operation, model);
        let mut scanner = Scanner::new(&TREE);
        let mut reading = Reading::new(shape, Caching::unasked(model));
        pieces.iter().for_each(|piece| scanner.push(piece, &mut reading));
        reading.prompt.add(reading.instructions.tokens(model));
        reading.into_ask(scanner.is_done(), pieces)
    }

    /// Whether a model is sold by something else than tokens, and its answers tell none: images, videos, ranks.
    pub fn is_uncounted(operation: &Operation, model: &str) -> bool {
        Shape::of(operation, Some(model)).uncounted
    }

    /// The most output tokens of one answer, its thoughts included.
    pub fn answer_max(&self) -> Option<u64> {
        self.max_tokens.map(|most| self.with_thoughts(most))
    }

    /// A limit, and the thoughts that come on top of it.
    fn with_thoughts(&self, most: u64) -> u64 {
        // A budget that is no part of the limit is only taken where thoughts and calls of tools take turns.
        let beside = self.thinking_budget.filter(|budget| *budget >= most).unwrap_or(0);
        most.saturating_add(beside)
    }

    /// The most output tokens of all answers together.
    pub fn output_max(&self) -> Option<u64> {
        if self.generates { self.answer_max().map(|tokens| tokens.saturating_mul(self.choices)) } else { Some(0) }
    }
}

/// What is being told by the scanner.
struct Reading {
    shape: &'static Shape,
    prompt: Prompt,
    places: Places,
    choices: u64,
    ranks: Ranks,
    stream: bool,
    tier: Option<ServiceTier>,
    thinking_budget: Option<u64>,
    background: bool,
    caching: Caching,
    instructions: Instructions,
    /// The name before the value is `ttl`.
    is_ttl: bool,
    word: Vec<u8>,
}

/// Words that are looked at are short: `priority`.
const WORD_BYTES_MAX: usize = 32;

impl Reading {
    fn new(shape: &'static Shape, caching: Caching) -> Reading {
        Reading {
            shape,
            prompt: Prompt::new(),
            places: Places::default(),
            choices: 1,
            ranks: Ranks::default(),
            stream: false,
            tier: None,
            thinking_budget: None,
            background: false,
            caching,
            instructions: Instructions::default(),
            is_ttl: false,
            word: Vec::new(),
        }
    }

    fn into_ask(self, is_json: bool, pieces: &[Bytes]) -> Ask {
        let bytes = pieces.iter().fold(0u64, |sum, piece| sum.saturating_add(piece.len() as u64));
        let places = if is_json { self.places } else { Places::default() };
        Ask {
            max_tokens: if is_json { places.max_tokens() } else { None },
            choices: self.choices.max(1),
            queries: self.ranks.queries(),
            generates: self.shape.generates,
            stream: self.stream,
            include_usage: places.asks_for_usage(),
            tier: self.tier,
            caching: self.caching,
            thinking_budget: self.thinking_budget,
            background: self.background && self.shape.background,
            input_estimate: if is_json { self.prompt.tokens() } else { bytes.div_ceil(3) },
            input_bound: if is_json { self.prompt.tokens_at_most(bytes) } else { bytes },
            is_json,
            shape: self.shape,
            places,
        }
    }

    /// Of a word that is looked at, as much as is.
    fn keep(&mut self, fragment: &[u8]) {
        let room = WORD_BYTES_MAX.saturating_sub(self.word.len());
        self.word.extend_from_slice(fragment.get(..room.min(fragment.len())).unwrap_or_default());
    }

    fn number(&mut self, at: Option<Field>, value: Option<u64>) {
        match at {
            Some(Field::Choices) => self.choices = self.choices.max(value.unwrap_or(1)),
            Some(Field::ThinkingBudget) => self.thinking_budget = self.thinking_budget.max(value),
            _ => {}
        }
    }

    fn tier(&mut self, name: TierName, tier: ServiceTier) {
        if self.shape.tier == Some(name) {
            self.tier = Some(self.tier.map_or(tier, |other| other.or_dearer(tier)));
        }
    }

    fn obeyed(&self, at: Option<Field>) -> bool {
        at.is_some_and(|field| self.shape.obeys(field))
    }
}

/// What surely asks for nothing; of all else some parser makes a yes.
fn is_no(word: &[u8]) -> bool {
    matches!(word, b"false" | b"null")
}

impl Sink<Field> for Reading {
    const EVERYTHING: bool = true;

    fn open(&mut self, at: Option<Field>, kind: Container, start: u64) {
        self.places.open(at, self.obeyed(at), kind, start);
        self.prompt.open(kind);
        self.ranks.open(at, kind);
    }

    fn close(&mut self, _: Option<Field>, _: Container, _: u64) {
        self.places.closed();
        self.prompt.close();
        self.ranks.close();
    }

    fn name(&mut self, name: &[u8]) {
        self.places.named();
        self.prompt.name(name);
        self.instructions.name(name);
        self.ranks.name(name);
        self.is_ttl = name == b"ttl";
        if matches!(name, b"cachePoint" | b"cache_control") {
            self.caching = self.caching.max(Caching::FiveMinutes);
        }
    }

    fn text(&mut self, at: Option<Field>, fragment: &[u8]) {
        if matches!(at, Some(Field::Tier(_))) || self.is_ttl {
            self.keep(fragment);
        } else if matches!(at, Some(Field::Choices | Field::ThinkingBudget)) {
            // Whatever is nothing before a number is not kept, so that no length of it hides the number.
            let is_nothing = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'0' | b'+');
            let start = if self.word.is_empty() { fragment.iter().take_while(|byte| is_nothing(byte)).count() } else { 0 };
            self.keep(fragment.get(start..).unwrap_or_default());
        }
        self.prompt.push(fragment);
        self.ranks.text(at, fragment);
    }

    fn text_end(&mut self, at: Option<Field>, start: u64, end: u64) {
        self.prompt.end();
        self.ranks.text_end(at);
        self.stream |= at == Some(Field::Stream);
        self.background |= at == Some(Field::Background);
        if let Some(Field::Tier(name)) = at {
            let tier = std::str::from_utf8(&self.word).map_or(ServiceTier::Other, ServiceTier::parse);
            self.tier(name, tier);
        } else if self.is_ttl && self.word == b"1h" {
            self.caching = Caching::OneHour;
        } else if !self.word.is_empty() {
            // Nobody knows that a number in a string is refused.
            self.number(at, count(self.word.trim_ascii_end()));
        }
        self.word.clear();
        self.places.value(at, self.obeyed(at), start..end, b"");
    }

    fn scalar(&mut self, at: Option<Field>, word: &[u8], start: u64, end: u64) {
        self.prompt.scalar(word, end.saturating_sub(start));
        self.ranks.scalar(word);
        self.number(at, count(word));
        match at {
            Some(Field::Tier(name)) => self.tier(name, ServiceTier::Standard),
            Some(Field::Stream) => self.stream |= !is_no(word),
            Some(Field::Background) => self.background |= !is_no(word),
            _ => {}
        }
        self.places.value(at, self.obeyed(at), start..end, word);
    }
}
