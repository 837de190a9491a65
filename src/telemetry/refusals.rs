//! What was refused of late, for the console: the last few of each tenant, in memory. Ids, names and reasons; never a token, a key or a
//! word of a prompt.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;

/// Of a tenant, so that one that is refused a thousand times a second hides no other; those who are nobody's share one place.
pub const KEPT_MAX: usize = 50;

/// A client chooses the name of its model.
const TEXT_BYTES_MAX: usize = 300;

/// One request that was refused, or that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// When it ended.
    pub at: Timestamp,
    /// The gateway's id of the request: `x-tollgate-request-id`.
    pub request_id: String,
    /// As in metrics: [`NONE`](super::NONE) for whoever has no tenant here.
    pub tenant: String,
    /// The subject of the token.
    pub principal: Option<String>,
    /// As AWS spells it.
    pub operation: &'static str,
    /// As the client named it.
    pub model: Option<String>,
    /// Of the answer; nothing if none could be written.
    pub status: Option<u16>,
    /// The metric label.
    pub reason: &'static str,
    /// What the caller was told, where that says more than the reason.
    pub why: Option<String>,
}

/// The last refusals.
#[derive(Default)]
pub struct Refusals {
    by_tenant: Mutex<HashMap<String, VecDeque<Refused>>>,
}

impl Refusals {
    /// Remembers one; the oldest of its tenant may be forgotten for it.
    pub fn note(&self, mut refused: Refused) {
        for text in [&mut refused.principal, &mut refused.model, &mut refused.why].into_iter().flatten() {
            text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        }
        let mut by_tenant = self.by_tenant.lock().unwrap_or_else(PoisonError::into_inner);
        if !by_tenant.contains_key(&refused.tenant) {
            by_tenant.insert(refused.tenant.clone(), VecDeque::new());
        }
        if let Some(kept) = by_tenant.get_mut(&refused.tenant) {
            if kept.len() >= KEPT_MAX {
                kept.pop_front();
            }
            kept.push_back(refused);
        }
    }

    /// All that are remembered, the latest first.
    pub fn recent(&self) -> Vec<Refused> {
        let by_tenant = self.by_tenant.lock().unwrap_or_else(PoisonError::into_inner);
        let mut recent: Vec<Refused> = by_tenant.values().flatten().cloned().collect();
        drop(by_tenant);
        recent.sort_by_key(|refused| std::cmp::Reverse(refused.at));
        recent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(second: i64, tenant: &str) -> Refused {
        Refused {
            at: Timestamp::from_second(second).unwrap(),
            request_id: second.to_string(),
            tenant: tenant.to_owned(),
            principal: None,
            operation: "Converse",
            model: Some("é".repeat(400)),
            status: Some(429),
            reason: "requests-per-minute",
            why: None,
        }
    }

    #[test]
    fn a_tenant_that_is_refused_all_the_time_hides_no_other_and_takes_no_memory() {
        let refusals = Refusals::default();
        refusals.note(refused(0, "quiet"));
        (1..10_000).for_each(|second| refusals.note(refused(second, "loud")));
        let recent = refusals.recent();
        assert_eq!(recent.len(), KEPT_MAX + 1);
        assert_eq!((&*recent[0].request_id, &*recent[KEPT_MAX].tenant), ("9999", "quiet"));
        assert!(recent.iter().all(|one| one.model.as_ref().unwrap().len() <= TEXT_BYTES_MAX));
    }
}
