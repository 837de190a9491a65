//! How many queries a request to rank is billed as. AWS's query is up to a hundred chunks of documents
//! (<https://docs.aws.amazon.com/bedrock/latest/userguide/rerank-pricing.html>), and a document that has, together with what it is ranked by,
//! more than 512 tokens is several of them (<https://aws.amazon.com/bedrock/pricing/>). No answer tells how many. Tokens are estimated, by
//! the rule of [`text`](crate::bedrock::text).

use std::collections::BTreeMap;

use super::shape::Field;
use crate::bedrock::{json::Container, text::TextMeter};

const CHUNK_TOKENS: u64 = 512;
/// What is left of a chunk beside a query of whatever length: AWS does not say, and nobody bills a chunk for each token.
const ROOM_MIN: u64 = CHUNK_TOKENS / 2;
const CHUNKS_OF_A_QUERY: u64 = 100;

/// Counts one request's documents.
#[derive(Debug, Default)]
pub(super) struct Ranks {
    query: TextMeter,
    /// The document being read.
    document: TextMeter,
    /// How many have so many tokens.
    documents: BTreeMap<u64, u64>,
    depth: usize,
    /// How deep the document is that is an object.
    begun: Option<usize>,
    /// How deep the value is whose strings, names and numbers are all its text.
    throughout: Option<usize>,
}

impl Ranks {
    /// The queries of all documents; 0 if there is none.
    pub fn queries(&self) -> u64 {
        let room = CHUNK_TOKENS.saturating_sub(self.query.tokens()).max(ROOM_MIN);
        let chunks = self.documents.iter().map(|(tokens, documents)| tokens.div_ceil(room).max(1).saturating_mul(*documents));
        chunks.fold(0, u64::saturating_add).div_ceil(CHUNKS_OF_A_QUERY)
    }

    /// An object or a list begins.
    pub fn open(&mut self, at: Option<Field>, kind: Container) {
        self.depth += 1;
        let is_document = matches!(at, Some(Field::Ranked | Field::Source)) && kind == Container::Object;
        if is_document && self.begun.is_none() {
            self.begun = Some(self.depth);
        }
        let is_text = at == Some(Field::Passage) || (is_document && at == Some(Field::Ranked));
        if is_text && self.throughout.is_none() {
            self.throughout = Some(self.depth);
        }
    }

    /// It ended.
    pub fn close(&mut self) {
        self.throughout.take_if(|depth| *depth == self.depth);
        if self.begun.take_if(|depth| *depth == self.depth).is_some() {
            self.document_ends();
        }
        self.depth = self.depth.saturating_sub(1);
    }

    /// A member's name.
    pub fn name(&mut self, name: &[u8]) {
        self.scalar(name);
    }

    /// A number or another bare word.
    pub fn scalar(&mut self, word: &[u8]) {
        if self.throughout.is_some() {
            self.document.push(word);
            self.document.end();
        }
    }

    /// A fragment of a string.
    pub fn text(&mut self, at: Option<Field>, fragment: &[u8]) {
        if at == Some(Field::Query) {
            self.query.push(fragment);
        } else if self.is_text(at) {
            self.document.push(fragment);
        }
    }

    /// The string ended.
    pub fn text_end(&mut self, at: Option<Field>) {
        if at == Some(Field::Query) {
            self.query.end();
        } else if self.is_text(at) {
            self.document.end();
            if self.begun.is_none() {
                self.document_ends();
            }
        }
    }

    fn is_text(&self, at: Option<Field>) -> bool {
        self.throughout.is_some() || matches!(at, Some(Field::Ranked | Field::Source | Field::Passage))
    }

    fn document_ends(&mut self) {
        let tokens = std::mem::take(&mut self.document).tokens();
        *self.documents.entry(tokens).or_default() += 1;
    }
}
