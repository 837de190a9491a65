//! Requests of every shape, read and edited; edits are held against serde_json.

mod limits;
mod prompt;
mod ranks;
mod wishes;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::bedrock::operations;

fn named(name: &str) -> &'static Operation {
    operations().iter().find(|operation| operation.name == name).unwrap()
}

fn pieces(text: &str, length: usize) -> Vec<Bytes> {
    text.as_bytes().chunks(length.max(1)).map(Bytes::copy_from_slice).collect()
}

fn ask(operation: &str, model: &str, body: &str) -> Ask {
    Ask::read(named(operation), Some(model), &pieces(body, usize::MAX))
}

fn joined(pieces: &[Bytes]) -> String {
    String::from_utf8(pieces.concat()).unwrap()
}

const CLAUDE: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const ARN: &str = "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc";
