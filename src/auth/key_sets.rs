//! The key sets of all issuers, shared by every snapshot and replaced in the background while requests read them without a lock.
//! Does not fetch them (`server::key_sets` does).
//!
//! Keys belong to an issuer *and* to where they came from. When a reload points an issuer at another key set, keys from the old
//! place must not vouch under the new rules, nor may a refused reload take the running configuration's keys away.

mod handed;

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwapOption;

pub use self::handed::HandedKeySet;

use super::{
    key_set::KeySet,
    wanted::{Fetched, Wanted},
};
use crate::config::{Issuer, KeyOrigin};

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
type SlotName = (String, Option<KeyOrigin>);

/// Where one key set is exchanged.
#[derive(Default)]
struct Slot {
    loaded: ArcSwapOption<Loaded>,
    /// When its origin last had it, in seconds since 1970.
    confirmed: AtomicU64,
    wanted: Wanted,
}

/// A key set in use.
pub(super) struct Loaded {
    pub(super) set: KeySet,
    /// As it was published, for a successor; nothing where nobody has to have it.
    document: Option<Box<str>>,
    pub(super) generation: u64,
}

/// An issuer's slots, resolved once so that requests do not look names up.
pub(super) struct IssuerKeys {
    from_origin: Arc<Slot>,
    handed_over: Arc<Slot>,
    /// How long keys are believed that their origin no longer confirms; a file is there or not.
    outage_max: Option<Duration>,
}

/// How the keys of an issuer are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The issuer's name in the configuration.
    pub issuer: String,
    /// How many keys verify.
    pub keys: usize,
    /// Since their origin last had them.
    pub age: Duration,
}

impl IssuerKeys {
    /// The key set to believe at `now`, if one was ever loaded and is not too old.
    pub(super) fn current(&self, now: SystemTime) -> Option<Arc<Loaded>> {
        let from_origin = if self.holds(now) { self.from_origin.loaded.load_full() } else { None };
        from_origin.or_else(|| self.handed_over.loaded.load_full())
    }

    /// The number of that key set.
    pub(super) fn generation(&self, now: SystemTime) -> Option<u64> {
        let number = |slot: &Slot| slot.loaded.load().as_ref().map(|loaded| loaded.generation);
        let from_origin = if self.holds(now) { number(&self.from_origin) } else { None };
        from_origin.or_else(|| number(&self.handed_over))
    }

    /// Asks for a fetch; a file is read when the configuration is.
    pub(super) fn want(&self, now: SystemTime) -> Option<Fetched> {
        self.outage_max.and_then(|_| self.from_origin.wanted.want(now))
    }

    fn holds(&self, now: SystemTime) -> bool {
        self.outage_max.is_none_or(|max| self.from_origin.age(now) <= max)
    }
}

impl Slot {
    /// Zero if the clock was set back.
    fn age(&self, now: SystemTime) -> Duration {
        Duration::from_secs(unix_seconds(now).saturating_sub(self.confirmed.load(Ordering::Relaxed)))
    }
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
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
        self.replace((issuer.to_owned(), None), set, None, UNIX_EPOCH);
    }

    /// Sets the keys that `issuer` had published at `origin` at a time, in this document; true if they are not the ones in use already. Only then
    /// the generation moves and cached verdicts lapse.
    pub fn store_from(&self, issuer: &str, origin: &KeyOrigin, set: KeySet, document: Option<&str>, at: SystemTime) -> bool {
        self.replace((issuer.to_owned(), Some(origin.clone())), set, document, at)
    }

    /// The number of the newest key set of `issuer`; 0 before the first. Numbers only grow.
    pub fn generation(&self, issuer: &str) -> u64 {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let of_issuer = slots.iter().filter(|((name, _), _)| name == issuer);
        of_issuer.filter_map(|(_, slot)| slot.loaded.load().as_ref().map(|loaded| loaded.generation)).max().unwrap_or(0)
    }

    /// True if keys for `issuer` from `origin` have been loaded.
    pub fn has_keys(&self, issuer: &str, origin: &KeyOrigin) -> bool {
        self.slot((issuer.to_owned(), Some(origin.clone()))).loaded.load().is_some()
    }

    /// How long ago `origin` last confirmed the keys of `issuer`; nothing if there are none.
    pub fn age(&self, issuer: &str, origin: &KeyOrigin, now: SystemTime) -> Option<Duration> {
        let slot = self.slot((issuer.to_owned(), Some(origin.clone())));
        slot.loaded.load().is_some().then(|| slot.age(now))
    }

    /// Resolves when a token named a key that `issuer` did not have at `origin`; at most once a
    /// [`COOL_DOWN`](super::wanted::COOL_DOWN). Answered by [`KeySets::answer`].
    pub async fn wanted(&self, issuer: &str, origin: &KeyOrigin) {
        self.slot((issuer.to_owned(), Some(origin.clone()))).wanted.asked_for().await;
    }

    /// A fetch has ended, well or not: whoever waited for its keys looks again.
    pub fn answer(&self, issuer: &str, origin: &KeyOrigin) {
        self.slot((issuer.to_owned(), Some(origin.clone()))).wanted.answer();
    }

    /// Takes the keys from `origin` away from `issuer`, which has none there any more: its tokens are refused as if there had never been any.
    pub fn forget(&self, issuer: &str, origin: &KeyOrigin) {
        self.slot((issuer.to_owned(), Some(origin.clone()))).loaded.store(None);
    }

    /// How the keys of every issuer that has some are at `now`.
    pub fn conditions(&self, now: SystemTime) -> Vec<Condition> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let published = slots.iter().filter(|((_, origin), _)| origin.is_some());
        let condition = |((issuer, _), slot): &(SlotName, Arc<Slot>)| {
            let keys = slot.loaded.load().as_ref()?.set.usable();
            Some(Condition { issuer: issuer.clone(), keys, age: slot.age(now) })
        };
        published.filter_map(condition).collect()
    }

    /// Forgets key sets that are not `kept`: what reloads leave behind.
    pub fn retain(&self, kept: impl Fn(&str, Option<&KeyOrigin>) -> bool) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|((issuer, origin), _)| kept(issuer, origin.as_ref()));
    }

    pub(super) fn keys_of(&self, name: &str, issuer: &Issuer) -> IssuerKeys {
        let origin = issuer.key_origin();
        let outage_max = Duration::from_secs(issuer.key_set_outage_seconds_max);
        IssuerKeys {
            outage_max: (!matches!(origin, KeyOrigin::File(_))).then_some(outage_max),
            from_origin: self.slot((name.to_owned(), Some(origin))),
            handed_over: self.slot((name.to_owned(), None)),
        }
    }

    fn replace(&self, name: SlotName, set: KeySet, document: Option<&str>, at: SystemTime) -> bool {
        let slot = self.slot(name);
        // Before the keys: they must not be found too old in between.
        slot.confirmed.store(unix_seconds(at), Ordering::Relaxed);
        if slot.loaded.load().as_ref().is_some_and(|loaded| loaded.set.same_keys(&set)) {
            return false;
        }
        let generation = GENERATIONS.fetch_add(1, Ordering::Relaxed);
        slot.loaded.store(Some(Arc::new(Loaded { set, document: document.map(Box::from), generation })));
        true
    }

    fn slot(&self, name: SlotName) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, slot)) = slots.iter().find(|(known, _)| *known == name) {
            return Arc::clone(slot);
        }
        let slot = Arc::new(Slot::default());
        slots.push((name, Arc::clone(&slot)));
        slot
    }
}
