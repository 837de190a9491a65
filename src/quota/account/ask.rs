//! What a request asks for, what it used, and the time of both: the account's inputs, as amounts per measure.

use std::time::Instant;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{bedrock::usage::Usage, pricing::NanoUsd, quota::Measure};

/// The two clocks. Minutes and deadlines go by the one that never jumps, days and months by the calendar.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For what refills, and for deadlines.
    pub monotonic: Instant,
    /// For calendar windows.
    pub wall: Timestamp,
}

impl Now {
    /// Reads both clocks; for those who call, nothing in this module does.
    pub fn read() -> Now {
        Now { monotonic: Instant::now(), wall: Timestamp::now() }
    }
}

/// What a request may use at most.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The request's id.
    pub request: Uuid,
    /// The model that scopes are matched with and sums are kept for; of an ARN that stands for an id, the id.
    pub model: &'a str,
    /// An estimate that is not too small; cached ones count.
    pub input_tokens: u64,
    /// Its `max_tokens`, or the model's maximum.
    pub output_tokens: u64,
    /// What a token of output weighs in Bedrock's own quotas.
    pub burndown_factor: u64,
    /// What all that costs.
    pub cost: NanoUsd,
}

/// One request, by every measure that a limit can have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amounts {
    /// Input tokens, cached ones included.
    pub input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// In the units of Bedrock's own quotas.
    pub burndown: u64,
    /// Nano-dollars.
    pub cost: u64,
}

impl Amounts {
    /// At most. Output has its full weight from the start, though Bedrock adds that at the end: nothing goes beyond a limit that way.
    pub fn asked(ask: &Ask<'_>) -> Amounts {
        Amounts {
            input_tokens: ask.input_tokens,
            output_tokens: ask.output_tokens,
            burndown: ask.input_tokens.saturating_add(ask.output_tokens.saturating_mul(ask.burndown_factor)),
            cost: nano_dollars(ask.cost),
        }
    }

    /// In truth. <https://docs.aws.amazon.com/bedrock/latest/userguide/quotas-token-burndown.html> for the burndown.
    pub fn used(usage: &Usage, cost: NanoUsd, burndown_factor: u64) -> Amounts {
        let burndown =
            [usage.cache_write_tokens, usage.cache_write_1h_tokens, usage.output_tokens.saturating_mul(burndown_factor)]
                .into_iter()
                .fold(usage.input_tokens, u64::saturating_add);
        Amounts { input_tokens: usage.input_total(), output_tokens: usage.output_tokens, burndown, cost: nano_dollars(cost) }
    }

    /// By one measure.
    pub fn get(&self, measure: Measure) -> u64 {
        match measure {
            Measure::Tokens => self.input_tokens.saturating_add(self.output_tokens),
            Measure::InputTokens => self.input_tokens,
            Measure::OutputTokens => self.output_tokens,
            Measure::Burndown => self.burndown,
            Measure::Cost => self.cost,
        }
    }

    /// Both together.
    pub fn and(&self, other: &Amounts) -> Amounts {
        Amounts {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            burndown: self.burndown.saturating_add(other.burndown),
            cost: self.cost.saturating_add(other.cost),
        }
    }

    /// Whether some measure has more than `held` has.
    pub fn exceed(&self, held: &Amounts) -> bool {
        self.input_tokens > held.input_tokens || self.output_tokens > held.output_tokens || self.cost > held.cost
    }
}

/// Nobody is paid for a request: below nothing is nothing.
pub(super) fn nano_dollars(amount: NanoUsd) -> u64 {
    u64::try_from(amount.0).unwrap_or(0)
}
