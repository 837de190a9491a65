//! The key sets of all issuers, shared by every snapshot and replaced in the background while requests read them without a lock.
//! Does not fetch them (`server::key_sets` does).
//!
//! Keys belong to an issuer *and* to where they came from. When a reload points an issuer at another key set, keys from the old
//! place must not vouch under the new rules, nor may a refused reload take the running configuration's keys away.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwapOption;

use super::key_set::KeySet;
use crate::config::KeySetSource;

/// Numbers key sets across the process, so that no generation is ever given twice: not when an issuer goes and comes back, not by
/// two `KeySets` that share a token cache.
static GENERATIONS: AtomicU64 = AtomicU64::new(1);

/// The current key set of each issuer.
#[derive(Default)]
pub struct KeySets {
    /// As few as there are issuers: searched one by one, and only when configurations or keys change.
    slots: Mutex<Vec<(SlotName, Arc<Slot>)>>,
}

/// An issuer's name in the configuration, and where its keys come from; `None`: handed over by the program itself.
type SlotName = (String, Option<KeySetSource>);

/// Where one key set is exchanged.
type Slot = ArcSwapOption<Loaded>;

/// A key set in use.
pub(super) struct Loaded {
    pub(super) set: KeySet,
    pub(super) generation: u64,
}

/// An issuer's slots, resolved once so that requests do not look names up.
pub(super) struct IssuerKeys {
    from_source: Arc<Slot>,
    handed_over: Arc<Slot>,
}

impl IssuerKeys {
    /// The key set to believe now, if one was ever loaded.
    pub(super) fn current(&self) -> Option<Arc<Loaded>> {
        self.from_source.load_full().or_else(|| self.handed_over.load_full())
    }

    /// The number of that key set.
    pub(super) fn generation(&self) -> Option<u64> {
        let number = |slot: &Slot| slot.load().as_ref().map(|loaded| loaded.generation);
        number(&self.from_source).or_else(|| number(&self.handed_over))
    }
}

impl fmt::Debug for KeySets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySets").finish_non_exhaustive()
    }
}

impl KeySets {
    /// No keys yet: every token is refused as [`KeysUnavailable`](super::IdentityError::KeysUnavailable).
    pub fn new() -> Self {
        KeySets::default()
    }

    /// Hands over the keys of `issuer`, wherever its configuration says they are. Keys from there win once they are loaded.
    pub fn store(&self, issuer: &str, set: KeySet) {
        self.replace((issuer.to_owned(), None), set);
    }

    /// Sets the keys that `issuer` publishes at `source`; true if they are not the ones in use already. Only then the
    /// generation moves and cached verdicts lapse.
    pub fn store_from(&self, issuer: &str, source: &KeySetSource, set: KeySet) -> bool {
        self.replace((issuer.to_owned(), Some(source.clone())), set)
    }

    /// The number of the newest key set of `issuer`; 0 before the first. Numbers only grow.
    pub fn generation(&self, issuer: &str) -> u64 {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let of_issuer = slots.iter().filter(|((name, _), _)| name == issuer);
        of_issuer.filter_map(|(_, slot)| slot.load().as_ref().map(|loaded| loaded.generation)).max().unwrap_or(0)
    }

    /// True if keys for `issuer` from `source` have been loaded.
    pub fn has_keys(&self, issuer: &str, source: &KeySetSource) -> bool {
        self.keys_of(issuer, source).current().is_some()
    }

    /// Forgets key sets that are not `kept`: what reloads leave behind.
    pub fn retain(&self, kept: impl Fn(&str, Option<&KeySetSource>) -> bool) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|((issuer, source), _)| kept(issuer, source.as_ref()));
    }

    pub(super) fn keys_of(&self, issuer: &str, source: &KeySetSource) -> IssuerKeys {
        IssuerKeys {
            from_source: self.slot((issuer.to_owned(), Some(source.clone()))),
            handed_over: self.slot((issuer.to_owned(), None)),
        }
    }

    fn replace(&self, name: SlotName, set: KeySet) -> bool {
        let slot = self.slot(name);
        if slot.load().as_ref().is_some_and(|loaded| loaded.set.same_keys(&set)) {
            return false;
        }
        let generation = GENERATIONS.fetch_add(1, Ordering::Relaxed);
        slot.store(Some(Arc::new(Loaded { set, generation })));
        true
    }

    fn slot(&self, name: SlotName) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, slot)) = slots.iter().find(|(known, _)| *known == name) {
            return Arc::clone(slot);
        }
        let slot = Arc::new(Slot::empty());
        slots.push((name, Arc::clone(&slot)));
        slot
    }
}
