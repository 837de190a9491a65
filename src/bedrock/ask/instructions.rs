//! What providers write before what they are sent, and count: some before everything, all for tools, citations and schemas. What these are
//! held to be is what recorded answers of each model told at most, less what [`Prompt`](super::prompt::Prompt) makes of their requests, and some
//! more.

/// Anthropic's are 264 to 530, by model and `tool_choice`.
const TOOLS_TOKENS: u64 = 600;
/// How to cite: Claude's are 530 to 780.
const CITATIONS_TOKENS: u64 = 900;
/// How to answer in a schema: Claude's are 40 beside it.
const SCHEMA_TOKENS: u64 = 100;
/// What stands before every prompt, and what is more of tools than [`TOOLS_TOKENS`], by a part of the model's name.
const PREAMBLES: [(&str, u64, u64); 2] = [("gpt-oss", 75, 0), ("nova-2-", 75, 300)];

/// What a request has that they are for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Instructions {
    tools: bool,
    citations: bool,
    schema: bool,
}

impl Instructions {
    /// A member's name.
    pub fn name(&mut self, name: &[u8]) {
        match name {
            b"tools" | b"toolConfig" => self.tools = true,
            b"citations" => self.citations = true,
            b"outputConfig" | b"output_config" | b"output_format" | b"response_format" => self.schema = true,
            _ => {}
        }
    }

    /// The tokens of all instructions.
    pub fn tokens(self, model: Option<&str>) -> u64 {
        let preamble = PREAMBLES.iter().find(|(part, ..)| model.is_some_and(|model| model.contains(part)));
        let (always, more_of_tools) = preamble.map_or((0, 0), |(_, always, more_of_tools)| (*always, *more_of_tools));
        let of = |is_there: bool, tokens: u64| if is_there { tokens } else { 0 };
        always
            + of(self.tools, TOOLS_TOKENS + more_of_tools)
            + of(self.citations, CITATIONS_TOKENS)
            + of(self.schema, SCHEMA_TOKENS)
    }
}
