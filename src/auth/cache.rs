//! Tokens that were verified a moment ago. Only successes are kept, under SHA-256 of the *whole* token and of the rules it was
//! verified under: a cache keyed by less lets one token pass as another (CVE-2026-35030). Holds no token.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use quick_cache::sync::Cache;

use super::{fingerprint::Fingerprint, principal::Principal};

/// Tokens kept by default.
pub const CACHED_TOKENS_MAX: usize = 10_000;

/// A verdict older than this is made again, so that what this cache cannot see is seen.
const KEPT: Duration = Duration::from_secs(300);

/// Requests that began at nearly the same time see clocks that differ a little; a clock further back was set back.
const CLOCK_STEP: Duration = Duration::from_secs(1);

/// Verified tokens, bounded in number; may be shared by successive configurations.
pub struct TokenCache {
    verdicts: Cache<TokenKey, Arc<Verdict>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// What a verdict is kept under.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenKey([u8; 32]);

/// A token that was good.
pub(super) struct Verdict {
    pub(super) principal: Arc<Principal>,
    /// The issuer's place among the rules.
    pub(super) issuer: usize,
    /// The key set it was verified with.
    pub(super) generation: u64,
    pub(super) verified_at: SystemTime,
}

impl Default for TokenCache {
    fn default() -> Self {
        TokenCache::new(CACHED_TOKENS_MAX)
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl TokenCache {
    /// Holds about `tokens_max` tokens, of which those not used lately go first.
    pub fn new(tokens_max: usize) -> Self {
        TokenCache { verdicts: Cache::new(tokens_max), hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// Tokens that were known.
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// Tokens that had to be verified, or were refused.
    pub fn misses(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }

    /// Tokens kept now, those that have lapsed included.
    pub fn len(&self) -> usize {
        self.verdicts.len()
    }

    /// True if no token is kept.
    pub fn is_empty(&self) -> bool {
        self.verdicts.is_empty()
    }

    /// The principal of a token that is still good at `now`. `is_current` says whether the issuer at a place still has the key
    /// set of a generation.
    pub(super) fn find(
        &self,
        key: &TokenKey,
        now: SystemTime,
        is_current: impl FnOnce(usize, u64) -> bool,
    ) -> Option<Arc<Principal>> {
        let known = self.verdicts.get(key);
        let found = known.filter(|verdict| verdict.holds(now) && is_current(verdict.issuer, verdict.generation));
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found.map(|verdict| Arc::clone(&verdict.principal))
    }

    pub(super) fn keep(&self, key: TokenKey, verdict: Verdict) {
        self.verdicts.insert(key, Arc::new(verdict));
    }
}

impl TokenKey {
    /// `rules` is the fingerprint of everything but the keys that the verdict depends on.
    pub(super) fn new(rules: &[u8; 32], token: &str) -> Self {
        let mut fingerprint = Fingerprint::new();
        fingerprint.add(rules);
        fingerprint.add(token.as_bytes());
        TokenKey(fingerprint.finish())
    }
}

impl Verdict {
    fn holds(&self, now: SystemTime) -> bool {
        let recent = match now.duration_since(self.verified_at) {
            Ok(age) => age < KEPT,
            Err(ahead) => ahead.duration() <= CLOCK_STEP,
        };
        recent && now < self.principal.expires_at
    }
}
