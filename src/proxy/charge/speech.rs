//! What a conversation costs: its tokens are counted up by Bedrock as it goes, so it holds some ahead, and more as they are used.

use super::{Charge, count, count_refusal};
use crate::{
    bedrock::{
        ask::Caching,
        sonic::SpeechUsage,
        usage::{Reading, Usage},
    },
    ledger,
    pricing::NanoUsd,
    proxy::{Denial, conversation::Account, estimate::CONVERSATION_STEP},
    quota::Now,
    snapshot::Tenant,
    telemetry::{Metrics, Outcome},
};

/// How fast it uses them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// As of the last count.
    counted: Usage,
    /// The most from one count to the next: of input and of output.
    most: (u64, u64),
}

impl Pace {
    /// The next count, of all that was used so far.
    fn count(&mut self, now: Usage) {
        let since = |now: u64, before: u64, most: u64| most.max(now.saturating_sub(before));
        self.most = (
            since(now.input_tokens, self.counted.input_tokens, self.most.0),
            since(now.output_tokens, self.counted.output_tokens, self.most.1),
        );
        self.counted = now;
    }

    /// What may be used when Bedrock counts again; `step`: at least so many more.
    fn ahead(&self, step: u64) -> Usage {
        Usage {
            input_tokens: self.counted.input_tokens.saturating_add(self.most.0.max(step)),
            output_tokens: self.counted.output_tokens.saturating_add(self.most.1.max(step)),
            ..self.counted
        }
    }
}

impl Charge {
    /// A conversation has used so much, and goes on: holds more, once what it holds has no room for as much as it used at most from one count
    /// to the next. A step at a time; if that does not fit, that much: others run beside it, and what it is told next is used already.
    ///
    /// # Errors
    /// There is no room for it.
    pub async fn grow(&mut self, used: SpeechUsage, tenant: &Tenant, metrics: &Metrics) -> Result<(), Denial> {
        if !self.held.is_open() {
            return Ok(());
        }
        let usage = usage_of_speech(used);
        self.pace.count(usage);
        let pace = self.pace;
        let price = |usage: &Usage| self.price.as_ref().map_or(NanoUsd::ZERO, |price| price.cost(usage, self.tier));
        let (next, spent) = (pace.ahead(0), price(&usage));
        let ledger::Hold { input_tokens, output_tokens, cost, .. } = *self.held.hold();
        if next.input_tokens <= input_tokens && next.output_tokens <= output_tokens && price(&next) <= cost {
            return Ok(());
        }
        let now = Now::read();
        let mut denial = None;
        for step in [CONVERSATION_STEP, 0] {
            let ahead = pace.ahead(step);
            let grown = |held: u64, next: u64, ahead: u64| if next > held { ahead } else { held };
            let input = grown(input_tokens, next.input_tokens, ahead.input_tokens);
            let output = grown(output_tokens, next.output_tokens, ahead.output_tokens);
            let most = self.price.as_ref().map_or(NanoUsd::ZERO, |price| price.at_most(input, output, Caching::Off, self.tier));
            let dearer = most.max(spent).max(cost);
            match self.held.grow(tenant, (input, output), (dearer, spent), &now).await {
                Ok(shadowed) => {
                    shadowed.iter().for_each(|denial| count(denial, "shadow", metrics));
                    return Ok(());
                }
                Err(refusal) => denial = Some(refusal),
            }
        }
        denial.inspect(|denial| count_refusal(denial, metrics)).map_or(Ok(()), Err)
    }

    /// What it came to, as far as that was told; `None`: nothing was.
    pub(super) fn reading_of(&self, conversation: &Account, outcome: Outcome) -> Option<Reading> {
        // Bedrock goes on with what it was sent, and nobody is left to hear what that came to: half a minute of it, as is held.
        let uncounted = conversation.is_uncounted && matches!(outcome, Outcome::ClientLeft | Outcome::Denied);
        let least = if uncounted { self.held.hold().input_tokens } else { 0 };
        let usage = usage_of_speech(conversation.usage.or(uncounted.then(SpeechUsage::default))?);
        let usage = Usage { input_tokens: usage.input_tokens.max(least), ..usage };
        Some(Reading { usage: Some(usage), complete: outcome == Outcome::Completed, ..Reading::default() })
    }
}

fn usage_of_speech(SpeechUsage { input_tokens, output_tokens, .. }: SpeechUsage) -> Usage {
    Usage { input_tokens, output_tokens, ..Usage::default() }
}
