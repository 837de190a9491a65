//! Which models a quota is for. Globs are matched once per model and scope; what a client may name is unbounded, what is remembered of
//! it is not.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use wildmatch::WildMatch;

use crate::pricing::{find_by_name, spellings};

/// The models of a quota.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scope {
    Everything,
    /// Sorted, each once, so that the order in the file does not matter.
    Only {
        globs: Vec<WildMatch>,
        /// How requests may write the models that are named without wildcard.
        spellings: BTreeSet<String>,
    },
}

impl Scope {
    pub(super) fn new(globs: &[String]) -> Scope {
        if globs.iter().any(|glob| glob == "*") {
            return Scope::Everything;
        }
        let mut globs: Vec<&String> = globs.iter().collect();
        globs.sort();
        globs.dedup();
        let spellings = globs.iter().flat_map(|glob| spellings(glob)).collect();
        Scope::Only { globs: globs.into_iter().map(|glob| WildMatch::new(glob)).collect(), spellings }
    }

    #[cfg(test)]
    pub(super) fn shown(&self) -> String {
        match self {
            Scope::Everything => "*".to_owned(),
            Scope::Only { globs, .. } => globs.iter().map(ToString::to_string).collect::<Vec<_>>().join("|"),
        }
    }

    /// Whether the model is among them, by whatever name it goes.
    pub(super) fn matches(&self, model: &str) -> bool {
        match self {
            Scope::Everything => true,
            Scope::Only { globs, spellings } => {
                let has = |name: &str| globs.iter().any(|glob| glob.matches(name)).then_some(());
                spellings.contains(model) || find_by_name(model, has).is_some()
            }
        }
    }
}

/// Scopes as bits of a set.
pub(super) type ScopeSet = u64;

/// Bits of a [`ScopeSet`]: twice [`QUOTAS_MAX`](crate::config::quotas::QUOTAS_MAX), for the configurations before and after a reload.
const SCOPES_MAX: usize = 64;

/// A model that is asked for often is matched once. A tenant uses a few dozen.
const MODELS_MAX: usize = 512;

/// Application profiles' ARNs fit; what is longer is matched each time.
const MODEL_BYTES_MAX: usize = 256;

/// The scopes in use, and what is known of the models.
#[derive(Default)]
pub(super) struct Scopes {
    scopes: Vec<Option<Scope>>,
    models: HashMap<Box<str>, Known>,
    /// Of the model that was asked for last, as it is three times for every request.
    last: Option<Known>,
    /// Counts changes of `scopes`; what was matched before is matched again.
    epoch: u64,
}

struct Known {
    name: Arc<str>,
    scopes: ScopeSet,
    epoch: u64,
}

impl Scopes {
    /// The bit of a scope; nothing if there are too many.
    pub(super) fn bit_of(&mut self, scope: &Scope) -> Option<u32> {
        if let Some(bit) = self.scopes.iter().position(|known| known.as_ref() == Some(scope)) {
            return u32::try_from(bit).ok();
        }
        let free = self.scopes.iter().position(Option::is_none).unwrap_or(self.scopes.len());
        if free >= SCOPES_MAX {
            return None;
        }
        match self.scopes.get_mut(free) {
            Some(slot) => *slot = Some(scope.clone()),
            None => self.scopes.push(Some(scope.clone())),
        }
        self.epoch += 1;
        u32::try_from(free).ok()
    }

    /// Forgets the scopes that are not in the set.
    pub(super) fn keep(&mut self, kept: ScopeSet) {
        for (bit, scope) in self.scopes.iter_mut().enumerate() {
            if kept & (1 << bit) == 0 {
                *scope = None;
            }
        }
        self.epoch += 1;
    }

    /// The scopes of a model, and its name in a form that can be kept.
    pub(super) fn of(&mut self, model: &str) -> (Arc<str>, ScopeSet) {
        let epoch = self.epoch;
        if let Some(last) = self.last.as_ref().filter(|last| last.epoch == epoch && *last.name == *model) {
            return (last.name.clone(), last.scopes);
        }
        let (name, scopes) = self.find(model);
        self.last = Some(Known { name: name.clone(), scopes, epoch });
        (name, scopes)
    }

    fn find(&mut self, model: &str) -> (Arc<str>, ScopeSet) {
        let epoch = self.epoch;
        if let Some(known) = self.models.get_mut(model) {
            if known.epoch != epoch {
                (known.scopes, known.epoch) = (matching(&self.scopes, model), epoch);
            }
            return (known.name.clone(), known.scopes);
        }
        let (name, scopes): (Arc<str>, _) = (model.into(), matching(&self.scopes, model));
        if self.models.len() >= MODELS_MAX {
            // Names that nobody holds were guesses, or rare.
            self.models.retain(|_, known| Arc::strong_count(&known.name) > 1);
        }
        if self.models.len() < MODELS_MAX && model.len() <= MODEL_BYTES_MAX {
            self.models.insert(model.into(), Known { name: name.clone(), scopes, epoch });
        }
        (name, scopes)
    }

    #[cfg(test)]
    pub(super) fn models(&self) -> usize {
        self.models.len()
    }

    /// Whether a scope has the model.
    pub(super) fn has(&self, bit: u32, model: &str) -> bool {
        let scope = usize::try_from(bit).ok().and_then(|bit| self.scopes.get(bit)?.as_ref());
        scope.is_some_and(|scope| scope.matches(model))
    }
}

fn matching(scopes: &[Option<Scope>], model: &str) -> ScopeSet {
    let matches = |scope: &Option<Scope>| scope.as_ref().is_some_and(|scope| scope.matches(model));
    scopes.iter().enumerate().filter(|(_, scope)| matches(scope)).fold(0, |set, (bit, _)| set | (1 << bit))
}
