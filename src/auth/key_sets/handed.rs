//! A key set on its way from a process to its successor: as its issuer published it, and when.

use std::{
    fmt,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use super::{KeySets, Slot, SlotName};
use crate::{
    auth::key_set::{KeySet, KeySetError},
    config::KeyOrigin,
};

/// Keys in use. What another version says more of them is not understood, and not taken.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandedKeySet {
    /// The issuer's name in the configuration.
    pub issuer: String,
    origin: KeyOrigin,
    confirmed_unix_seconds: u64,
    document: String,
}

impl fmt::Debug for HandedKeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandedKeySet").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl HandedKeySet {
    /// Where its keys were published.
    pub fn origin(&self) -> &KeyOrigin {
        &self.origin
    }
}

impl KeySets {
    /// Those that were fetched: a file is there for the successor as well.
    pub fn hand_over(&self) -> Vec<HandedKeySet> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let handed = |((issuer, origin), slot): &(SlotName, Arc<Slot>)| {
            let origin = origin.clone().filter(|origin| !matches!(origin, KeyOrigin::File(_)))?;
            let document = slot.loaded.load().as_ref()?.document.as_deref()?.to_owned();
            let confirmed_unix_seconds = slot.confirmed.load(Ordering::Relaxed);
            Some(HandedKeySet { issuer: issuer.clone(), origin, confirmed_unix_seconds, document })
        };
        slots.iter().filter_map(handed).collect()
    }

    /// Takes what a predecessor had. Nothing is believed of an issuer whose keys are elsewhere by now, nor for longer than before.
    ///
    /// # Errors
    /// It is no key set.
    pub fn take_over(&self, handed: &HandedKeySet) -> Result<(), KeySetError> {
        let (set, _) = KeySet::parse(handed.document.as_bytes())?;
        let at = UNIX_EPOCH.checked_add(Duration::from_secs(handed.confirmed_unix_seconds)).unwrap_or(UNIX_EPOCH);
        self.store_from(&handed.issuer, &handed.origin, set, Some(&handed.document), at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037, appendix A.2.
    const KEYS: &str =
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"a"}]}"#;

    #[test]
    fn keys_go_over_with_their_place_and_their_age_and_files_stay() {
        let url = KeyOrigin::Url("https://idp.example/keys".to_owned());
        let at = UNIX_EPOCH + Duration::from_secs(1_795_305_600);
        let (old, new) = (KeySets::new(), KeySets::new());
        let set = || KeySet::parse(KEYS.as_bytes()).unwrap().0;
        old.store_from("corp", &url, set(), Some(KEYS), at);
        old.store_from("files", &KeyOrigin::File("keys.json".into()), set(), Some(KEYS), at);
        old.store("program", set());
        let handed = serde_json::to_value(old.hand_over()).unwrap();
        let handed: Vec<HandedKeySet> = serde_json::from_value(handed).unwrap();
        assert_eq!(handed.len(), 1);
        handed.iter().for_each(|one| new.take_over(one).unwrap());
        let later = at + Duration::from_secs(60);
        assert_eq!(new.age("corp", &url, later), Some(Duration::from_secs(60)));
        assert!(!new.has_keys("corp", &KeyOrigin::Url("https://idp.example/other".to_owned())));
        assert!(!new.store_from("corp", &url, set(), Some(KEYS), later), "the same keys");
        // From one to the next.
        assert_eq!(new.hand_over().len(), 1);
    }
}
