//! What a model's name stands for: itself, an id that AWS writes as an ARN, or what `[profiles]` says of an opaque name.

use std::collections::{BTreeMap, HashMap};

use crate::bedrock::model::{canonical, is_opaque};

/// The names that the configuration explains.
#[derive(Debug, Default)]
pub struct Profiles(HashMap<String, String>);

impl Profiles {
    /// By the exact name that clients write.
    pub fn new(profiles: &BTreeMap<String, String>) -> Profiles {
        Profiles(profiles.iter().map(|(name, model)| (name.clone(), canonical(model).to_owned())).collect())
    }

    /// The id that a name stands for; `None` if nobody says.
    pub fn find<'a>(&'a self, model: &'a str) -> Option<&'a str> {
        match self.0.get(model) {
            Some(mapped) => Some(mapped),
            None if is_opaque(model) => None,
            None => Some(canonical(model)),
        }
    }

    /// The same, or the name itself: what prices and quotas go by.
    pub fn stands_for<'a>(&'a self, model: &'a str) -> &'a str {
        self.find(model).unwrap_or(model)
    }
}
