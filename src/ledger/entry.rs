//! What is told to the ledger of a request: that it holds a part of its tenant's limits, and what it came to.

use std::{borrow::Cow, sync::Arc};

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};

use super::SumKey;
use crate::{
    bedrock::usage::{ServiceTier, Usage},
    pricing::NanoUsd,
};

/// What is known of a request at its admission. Never a token or a word of a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The gateway's id of it. Nothing is charged twice under one id.
    pub id: Arc<str>,
    /// When it was admitted.
    pub time: Timestamp,
    /// The calendar day of that, in the tenant's time zone: the day it is charged to.
    pub day: Date,
    /// Who pays.
    pub tenant: Arc<str>,
    /// The subject of the token.
    pub principal: Arc<str>,
    /// Endpoint prefix: `bedrock-runtime`.
    pub service: Cow<'static, str>,
    /// As AWS spells it.
    pub operation: Cow<'static, str>,
    /// The model, as sums are kept for it. There is a sum for every name: give none that is the client's invention.
    pub model: Arc<str>,
}

impl Request {
    /// The sum it belongs to.
    pub fn key(&self) -> SumKey {
        SumKey { day: self.day, tenant: self.tenant.clone(), model: self.model.clone() }
    }
}

/// A running request's part of its tenant's limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Whose.
    pub request: Request,
    /// The estimate of what goes in.
    pub input_tokens: u64,
    /// The most that may come out.
    pub output_tokens: u64,
    /// What both cost at most.
    pub cost: NanoUsd,
    /// The part of it that is the input's.
    pub input_cost: NanoUsd,
    /// Where the price is from.
    pub price_source: Arc<str>,
    /// The tier it asks for. As the next field, unknown to older processes, which neither say nor write it.
    #[serde(default)]
    pub tier: ServiceTier,
    /// Whether it is charged as a request.
    #[serde(default)]
    pub by_request: bool,
    /// When nobody can be running the request any more.
    pub expires: Timestamp,
}

/// A request that has ended, and its charge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Which.
    pub request: Request,
    /// Bedrock's id of it, as in its own logs; nothing if Bedrock never answered.
    pub upstream_request_id: Option<Arc<str>>,
    /// The tier Bedrock served it in.
    pub tier: ServiceTier,
    /// Its tokens.
    pub usage: Usage,
    /// What they cost.
    pub cost: NanoUsd,
    /// Where the price is from.
    pub price_source: Arc<str>,
    /// Whether the tokens are a guess.
    pub estimated: bool,
    /// Whether it was charged as a request, because the answer says no usage.
    pub by_request: bool,
    /// How it ended.
    pub outcome: Cow<'static, str>,
}

/// The outcome of a request that was running when the gateway died.
pub const LOST: &str = "lost";

impl Hold {
    /// The charge for a request of which nothing more is known: its input, as estimated at admission. The gateway died while it
    /// ran, so Bedrock has read the prompt; what it answered nobody has seen, and the most it could have answered, often many
    /// times the truth, is no charge that could be defended. Until the hold expires all of it is kept back.
    pub fn lost(self) -> Entry {
        Entry {
            request: self.request,
            upstream_request_id: None,
            tier: self.tier,
            usage: Usage { input_tokens: self.input_tokens, ..Usage::default() },
            cost: self.input_cost,
            price_source: self.price_source,
            estimated: true,
            by_request: self.by_request,
            outcome: Cow::Borrowed(LOST),
        }
    }
}
