//! The counts of one answer as they come in, from whichever of its shapes.

use super::{
    Reading, ServiceTier, Usage,
    tree::{Count, Field},
};
use crate::bedrock::{
    json::{Container, Sink, count},
    text::TextMeter,
};

/// Counts that one source gives. What it leaves out is `None`; an explicit zero is a zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub input: Option<u64>,
    pub output: Option<u64>,
    pub cache_read: Option<u64>,
    pub cache_write: Option<u64>,
    cache_write_5m: Option<u64>,
    cache_write_1h: Option<u64>,
    cache_read_within: Option<u64>,
    cache_write_within: Option<u64>,
}

impl Counts {
    pub fn set(&mut self, kind: Count, value: u64) {
        *self.of(kind) = Some(value);
    }

    fn of(&mut self, kind: Count) -> &mut Option<u64> {
        match kind {
            Count::Input => &mut self.input,
            Count::Output => &mut self.output,
            Count::CacheRead => &mut self.cache_read,
            Count::CacheWrite => &mut self.cache_write,
            Count::CacheWrite5m => &mut self.cache_write_5m,
            Count::CacheWrite1h => &mut self.cache_write_1h,
            Count::CacheReadWithin => &mut self.cache_read_within,
            Count::CacheWriteWithin => &mut self.cache_write_within,
        }
    }

    /// One source in the five kinds that do not overlap.
    fn usage(self) -> Usage {
        let within = self.cache_read_within.unwrap_or(0).saturating_add(self.cache_write_within.unwrap_or(0));
        let cache_write_1h_tokens = self.cache_write_1h.unwrap_or(0);
        let split = self.cache_write_5m.unwrap_or(0).saturating_add(cache_write_1h_tokens);
        let written = self.cache_write.or(self.cache_write_within).unwrap_or(0).max(split);
        Usage {
            input_tokens: self.input.unwrap_or(0).saturating_sub(within),
            output_tokens: self.output.unwrap_or(0),
            cache_read_tokens: self.cache_read.or(self.cache_read_within).unwrap_or(0),
            cache_write_tokens: written.saturating_sub(cache_write_1h_tokens),
            cache_write_1h_tokens,
        }
    }

    /// Of counts whose input has what was cached in it as well.
    fn net(self) -> Counts {
        let split = self.cache_write_5m.unwrap_or(0).saturating_add(self.cache_write_1h.unwrap_or(0));
        let cached = self.cache_read.unwrap_or(0).saturating_add(self.cache_write.unwrap_or(0).max(split));
        Counts { input: self.input.map(|input| input.checked_sub(cached).unwrap_or(input)), ..self }
    }

    /// Bedrock's own counts, and of the provider's what those leave out: among it always how long cache writes live.
    fn or(self, provider: Counts) -> Usage {
        let theirs = provider.usage();
        let cache_write =
            self.cache_write.unwrap_or_else(|| theirs.cache_write_tokens.saturating_add(theirs.cache_write_1h_tokens));
        let cache_write_1h_tokens = theirs.cache_write_1h_tokens.min(cache_write);
        Usage {
            input_tokens: self.input.unwrap_or(theirs.input_tokens),
            output_tokens: self.output.unwrap_or(theirs.output_tokens),
            cache_read_tokens: self.cache_read.unwrap_or(theirs.cache_read_tokens),
            cache_write_tokens: cache_write - cache_write_1h_tokens,
            cache_write_1h_tokens,
        }
    }
}

/// The longest word that is looked at: `com.amazon.coral.service#UnknownOperationException`.
const WORD_BYTES: usize = 64;

/// How an answer of an operation, and of a model, tells what was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Manner {
    /// Every event with a usage counts another model invocation.
    pub sums: bool,
    /// The input that is told has in it what was read from the cache and written to it.
    pub input_is_gross: bool,
    /// A guardrail may have refused the input: then there are none of Bedrock's own counts.
    pub may_be_blocked: bool,
}

/// What was read so far.
#[derive(Debug)]
pub(super) struct Tally {
    pub bedrock: Counts,
    provider: Counts,
    /// Usage of earlier events, where each event has a usage of its own.
    sum: Option<Usage>,
    manner: Manner,
    output_parts: Option<u64>,
    detail_is_1h: bool,
    detail_tokens: u64,
    iteration: Counts,
    iteration_compacts: bool,
    /// So far, of the list being read.
    compacting: Option<Usage>,
    /// What runs of the model used that only compacted the conversation.
    compaction: Option<Usage>,
    /// As Bedrock's own header has it, which stands whatever the provider says.
    pub bedrocks_tier: Option<ServiceTier>,
    tier: Option<ServiceTier>,
    text: TextMeter,
    word: [u8; WORD_BYTES],
    word_length: usize,
    embedding: bool,
    intervened: bool,
    /// A model ran: its answer was looked at, or began in an event before.
    generated: bool,
    /// Of the event being read.
    final_in_event: bool,
    choice_in_event: bool,
    /// The usage is that of a generation that has begun.
    only_started: bool,
    /// The answer's last word on its usage was read.
    pub final_seen: bool,
    /// The whole of it came.
    ended: bool,
    /// The answer is an error, or ended in one.
    pub failed: bool,
}

impl Tally {
    pub fn new(manner: Manner) -> Tally {
        Tally {
            bedrock: Counts::default(),
            provider: Counts::default(),
            sum: None,
            manner,
            output_parts: None,
            detail_is_1h: false,
            detail_tokens: 0,
            iteration: Counts::default(),
            iteration_compacts: false,
            compacting: None,
            compaction: None,
            bedrocks_tier: None,
            tier: None,
            text: TextMeter::default(),
            word: [0; WORD_BYTES],
            word_length: 0,
            embedding: false,
            intervened: false,
            generated: false,
            final_in_event: false,
            choice_in_event: false,
            only_started: false,
            final_seen: false,
            ended: false,
            failed: false,
        }
    }

    /// An event was read whole. A chat's chunks may all have a running usage; the last has no choices beside it.
    pub fn event_ends(&mut self) {
        self.generated |= !self.intervened && self.text.tokens() > 0;
        if self.final_in_event {
            if self.manner.sums {
                let total = self.sum.get_or_insert_default();
                *total = total.plus(std::mem::take(&mut self.provider).usage());
            } else if !self.choice_in_event {
                (self.final_seen, self.only_started) = (true, false);
            }
        }
        (self.final_in_event, self.choice_in_event) = (false, false);
    }

    /// The whole answer came, to its proper end: a running usage that was seen is the final one.
    pub fn ends(&mut self) {
        self.ended = true;
        self.final_seen |= !self.failed && !self.only_started && self.usage().is_some();
    }

    /// Whether input and output are both known. Embeddings have no output.
    pub fn is_counted(&self) -> bool {
        let provider = &self.provider;
        let output = self.bedrock.output.or(provider.output).or(self.output_parts);
        self.sum.is_some() || (self.bedrock.input.or(provider.input).is_some() && (output.is_some() || self.embedding))
    }

    /// Whether a document's usage was read to its end.
    pub fn final_in_document(&self) -> bool {
        self.final_in_event
    }

    /// Whether Bedrock's own counts are whole.
    pub fn is_counted_by_bedrock(&self) -> bool {
        self.bedrock.input.is_some() && self.bedrock.output.is_some()
    }

    pub fn reading(&self, complete: bool) -> Reading {
        Reading {
            usage: self.usage(),
            tier: self.bedrocks_tier.or(self.tier),
            complete: complete && self.is_counted(),
            failed: self.failed,
            // Whatever the provider's counts say: they are those of the guardrail's own words. Of a model that ran, Bedrock tells its own.
            blocked: self.ended
                && self.manner.may_be_blocked
                && self.intervened
                && !self.generated
                && self.bedrock == Counts::default(),
            output_seen: self.text.tokens(),
        }
    }

    fn usage(&self) -> Option<Usage> {
        if self.manner.sums {
            return self.sum;
        }
        let mut provider = if self.manner.input_is_gross { self.provider.net() } else { self.provider };
        provider.output = provider.output.or(self.output_parts);
        let nothing = self.bedrock == Counts::default() && provider == Counts::default();
        (!nothing).then(|| {
            let usage = self.bedrock.or(provider);
            // Bedrock's own counts may have it already: where they are more than the provider's beside them.
            let theirs = provider.usage();
            let agrees = self.bedrock.input.is_none_or(|input| input <= theirs.input_tokens)
                && self.bedrock.output.is_none_or(|output| output <= theirs.output_tokens);
            self.compaction.filter(|_| agrees).map_or(usage, |compaction| usage.plus(compaction))
        })
    }

    fn word(&self) -> &str {
        self.word.get(..self.word_length).and_then(|word| std::str::from_utf8(word).ok()).unwrap_or_default()
    }
}

impl Sink<Field> for Tally {
    fn open(&mut self, at: Option<Field>, kind: Container, _: u64) {
        match (at, kind) {
            (Some(Field::Choice), Container::Object) => self.choice_in_event = true,
            // The object is cumulative: what it says again replaces what it said before.
            (Some(Field::Detail), Container::Array) => {
                (self.provider.cache_write_5m, self.provider.cache_write_1h) = (None, None);
            }
            (Some(Field::Detail), Container::Object) => (self.detail_is_1h, self.detail_tokens) = (false, 0),
            (Some(Field::Iteration), Container::Array) => self.compacting = None,
            (Some(Field::Iteration), Container::Object) => (self.iteration, self.iteration_compacts) = (Counts::default(), false),
            (Some(Field::Embedding), _) => self.embedding = true,
            (Some(Field::GuardedOutput), Container::Object) => self.generated = true,
            (Some(Field::Error), Container::Object) => self.failed = true,
            _ => {}
        }
    }

    fn close(&mut self, at: Option<Field>, kind: Container, _: u64) {
        match (at, kind) {
            (Some(Field::Final), Container::Object) => self.final_in_event = true,
            (Some(Field::Started), Container::Object) => self.only_started = true,
            (Some(Field::Detail), Container::Object) => {
                let kind = if self.detail_is_1h { Count::CacheWrite1h } else { Count::CacheWrite5m };
                let tokens = self.detail_tokens;
                let total = self.provider.of(kind).get_or_insert(0);
                *total = total.saturating_add(tokens);
            }
            (Some(Field::Iteration), Container::Object) if self.iteration_compacts => {
                let total = self.compacting.get_or_insert_default();
                *total = total.plus(std::mem::take(&mut self.iteration).usage());
            }
            (Some(Field::Iteration), Container::Array) => self.compaction = self.compacting,
            _ => {}
        }
    }

    fn text(&mut self, at: Option<Field>, fragment: &[u8]) {
        match at {
            Some(Field::Text) => self.text.push(fragment),
            Some(Field::Tier | Field::DetailTtl | Field::IterationKind | Field::ErrorType | Field::GuardrailAction) => {
                let end = self.word_length.saturating_add(fragment.len());
                match self.word.get_mut(self.word_length..end) {
                    Some(place) => place.copy_from_slice(fragment),
                    None => self.word.fill(0),
                }
                self.word_length = end.min(WORD_BYTES);
            }
            _ => {}
        }
    }

    fn text_end(&mut self, at: Option<Field>, _: u64, _: u64) {
        match at {
            Some(Field::Text) => self.text.end(),
            Some(Field::Tier) => self.tier = Some(ServiceTier::parse(self.word())),
            Some(Field::DetailTtl) => self.detail_is_1h = self.word() == "1h",
            Some(Field::IterationKind) => self.iteration_compacts = self.word() == "compaction",
            Some(Field::GuardrailAction) => self.intervened |= self.word() == "INTERVENED",
            Some(Field::ErrorType) => self.failed |= self.word().ends_with("Exception"),
            _ => {}
        }
        self.word_length = 0;
    }

    fn scalar(&mut self, at: Option<Field>, word: &[u8], _: u64, _: u64) {
        let (Some(field), Some(value)) = (at, count(word)) else { return };
        match field {
            Field::Provider(kind) => self.provider.set(kind, value),
            Field::Bedrock(kind) => self.bedrock.set(kind, value),
            Field::OutputPart => self.output_parts = Some(self.output_parts.unwrap_or(0).saturating_add(value)),
            Field::DetailTokens => self.detail_tokens = value,
            Field::Iterated(kind) => self.iteration.set(kind, value),
            _ => {}
        }
    }
}
