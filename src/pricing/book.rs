//! The price list: the bundled table with the operator's own prices before it. Immutable, so requests share it without a lock.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    Flaw, ModelFacts, NanoUsd, Overrides, Price,
    bundled::{BUNDLED, Timeline, VERSION},
    compile::{self, Compiled},
    names,
};

/// What every model costs, as far as it is known.
#[derive(Debug)]
pub struct PriceBook {
    own: HashMap<String, Compiled>,
    requests: HashMap<String, NanoUsd>,
    version: String,
}

/// How a model is sold.
#[derive(Clone, Debug)]
pub enum Sale {
    /// By the token, as most are.
    ByToken(Arc<Price>),
    /// By the request: images, videos, ranks.
    ByRequest(NanoUsd),
}

impl PriceBook {
    /// The bundled prices alone. The first look at them reads the table, a matter of milliseconds.
    pub fn bundled() -> PriceBook {
        PriceBook { own: HashMap::new(), requests: HashMap::new(), version: VERSION.to_owned() }
    }

    /// With the operator's prices. `origin` names their file and its state, for [`PriceBook::version`].
    ///
    /// # Errors
    /// Everything that does not compile.
    pub fn with(overrides: &Overrides, origin: &str) -> Result<PriceBook, Vec<Flaw>> {
        let (own, requests) = compile::compile(overrides)?;
        Ok(PriceBook { own, requests, version: format!("{VERSION}, {origin}") })
    }

    /// What a model costs at a time. `model` is what the client called it, percent-decoded: an id of a model or a profile, or an ARN.
    /// `None`: nobody said; it is never guessed.
    pub fn sale(&self, model: &str, at: Timestamp) -> Option<Sale> {
        let own = self.own(model);
        if let Some(request) = own.and_then(|own| own.request) {
            return Some(Sale::ByRequest(request));
        }
        let own = own.and_then(|own| own.timeline.as_ref());
        in_force(own.or_else(|| BUNDLED.get(names::id(model)))?, at).map(Sale::ByToken)
    }

    /// The same of a name that stands for a model. A discount may be for the one profile.
    pub fn sale_of_profile(&self, name: &str, model: &str, at: Timestamp) -> Option<Sale> {
        self.sale(name, at).or_else(|| self.sale(model, at))
    }

    /// What its tokens cost; `None`: nobody said, or it is not sold by them.
    pub fn price(&self, model: &str, at: Timestamp) -> Option<Arc<Price>> {
        match self.sale(model, at)? {
            Sale::ByToken(price) => Some(price),
            Sale::ByRequest(_) => None,
        }
    }

    /// What a request costs of an operation that reports no tokens; `None`: nobody said.
    pub fn request_price(&self, operation: &str) -> Option<NanoUsd> {
        self.requests.get(operation).copied()
    }

    /// What is known of a model besides its price: the operator's word, else that of what it is an alias of, else AWS's.
    pub fn facts(&self, model: &str) -> ModelFacts {
        let own = self.own(model);
        match own.and_then(|own| own.alias_of.as_deref()) {
            Some(target) => amended(amended(ModelFacts::documented(names::id(target)), self.own(target)), own),
            None => amended(ModelFacts::documented(names::id(model)), own),
        }
    }

    /// The same of a name that stands for a model: what nobody says of the name holds of it as of the model. An alias is a word of its own.
    pub fn facts_of_profile(&self, name: &str, model: &str) -> ModelFacts {
        match self.own(name) {
            Some(own) if own.alias_of.is_some() => self.facts(name),
            own => amended(self.facts(model), own),
        }
    }

    /// How many tokens of Bedrock's own quota a token of output takes.
    pub fn burndown(&self, model: &str) -> u64 {
        self.facts(model).burndown
    }

    /// Which tables these are: `genai-prices 0.2.1, prices.toml sha256:0a1b2c3d4e5f`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// When the price of a model changes, after its first.
    pub fn changes(&self, model: &str) -> Vec<Timestamp> {
        let own = self.own(model).and_then(|own| own.timeline.as_ref());
        let timeline = own.or_else(|| BUNDLED.get(names::id(model)));
        timeline.into_iter().flat_map(|timeline| timeline.iter().map(|(from, _)| *from)).skip(1).collect()
    }

    /// Every name with a price, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let own =
            self.own.iter().filter(|(_, own)| own.timeline.is_some() || own.request.is_some()).map(|(name, _)| name.as_str());
        own.chain(BUNDLED.names()).collect::<BTreeSet<_>>().into_iter()
    }

    /// Models of the bundled table that cannot be charged, and why.
    pub fn left_out() -> &'static [(String, &'static str)] {
        &BUNDLED.left_out
    }

    fn own(&self, model: &str) -> Option<&Compiled> {
        self.own.get(model).or_else(|| self.own.get(names::id(model)))
    }
}

fn amended(facts: ModelFacts, own: Option<&Compiled>) -> ModelFacts {
    ModelFacts {
        max_output_tokens: own.and_then(|own| own.max_output_tokens).unwrap_or(facts.max_output_tokens),
        burndown: own.and_then(|own| own.burndown).unwrap_or(facts.burndown),
    }
}

fn in_force(timeline: &Timeline, at: Timestamp) -> Option<Arc<Price>> {
    timeline.iter().rev().find(|(from, _)| *from <= at).map(|(_, price)| price.clone())
}
