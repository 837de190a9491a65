//! What was read of an answer's usage, whole or not.

use super::{ServiceTier, Usage};

/// What an answer says about its usage, at its end or when somebody asks in the middle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The tokens that the answer reports; of an incomplete one those reported so far. `None`: it reports none.
    pub usage: Option<Usage>,
    /// The tier that served it; `None` where the answer does not say.
    pub tier: Option<ServiceTier>,
    /// `usage` is final: both input and output are known, and nothing that is still to come will change them.
    pub complete: bool,
    /// The answer is an error: by its status, by its body, or because its stream ended in an exception.
    pub failed: bool,
    /// A guardrail refused the input, so that no model ran: Bedrock charges the guardrail alone
    /// (<https://docs.aws.amazon.com/bedrock/latest/userguide/guardrails-how.html>).
    pub blocked: bool,
    /// Tokens of the generated text that was seen, by the estimate of requests' texts: for answers that did not end.
    pub output_seen: u64,
}

impl Reading {
    /// What to charge, and whether that is an estimate. A complete reading is charged as it stands. Of any other, input that was reported
    /// stands and is otherwise taken from the request's estimate, and output is what was seen, if that is more than what was reported. What was
    /// seen is an estimate on the high side: it counts for no more than `output_max`, which the model cannot have gone beyond.
    ///
    /// An answer of an operation that has no usage on the wire is not to be asked this, nor one that Bedrock does not charge.
    pub fn charge(&self, input_estimate: u64, output_max: u64) -> (Usage, bool) {
        let mut usage = self.usage.unwrap_or_default();
        if self.complete {
            return (usage, false);
        }
        if usage.input_total() == 0 {
            usage.input_tokens = input_estimate;
        }
        usage.output_tokens = usage.output_tokens.max(self.output_seen.min(output_max));
        (usage, true)
    }
}
