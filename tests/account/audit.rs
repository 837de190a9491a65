//! Holds the ledger against what the simulator reported and what the clients saw.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tollgate::{
    bedrock::usage::{ServiceTier, Usage},
    ledger::{Entry, LOST},
    simulator::{self, Served},
};

use crate::load::Seen;

/// What is compared.
pub struct Audit<'a> {
    pub rows: &'a [Entry],
    pub served: &'a [Arc<Served>],
    pub seen: &'a [Seen],
    /// When the gateway was killed.
    pub kills: &'a [Instant],
    /// From when on it was not.
    pub calm: Timestamp,
    /// A charge whose end was seen so shortly before a kill may be missing.
    pub grace: Option<Duration>,
}

/// What an audit counted: none of these may be zero, or it proved nothing.
#[derive(Debug, Default)]
pub struct Counts {
    pub exact: usize,
    pub estimated: usize,
    pub lost: usize,
    pub failures: usize,
    pub refused: usize,
    pub missing: usize,
    pub calm: usize,
}

impl Audit<'_> {
    /// Panics at the first thing that is not as it should be.
    pub fn check(&self) -> Counts {
        let mut counts = Counts::default();
        let served: HashMap<&str, &Served> = self.served.iter().map(|served| (&*served.request_id, &**served)).collect();
        assert_eq!(served.len(), self.served.len(), "the simulator's ids are unique");
        let mut by_upstream_id = HashMap::new();
        let mut by_id = HashMap::new();
        for row in self.rows {
            assert!(by_id.insert(&*row.request.id, row).is_none(), "charged twice: {row:?}");
            match row.upstream_request_id.as_deref() {
                Some(id) => {
                    let other = by_upstream_id.insert(id, row);
                    assert!(other.is_none(), "one answer, two charges: {other:?} {row:?}");
                    row_is_right(row, served[id], &mut counts);
                }
                None => {
                    assert!(row.estimated, "nobody reported this: {row:?}");
                    assert_eq!(row.usage.output_tokens, 0, "{row:?}");
                    counts.lost += usize::from(row.outcome == LOST);
                }
            }
        }
        for seen in self.seen {
            self.seen_is_charged(seen, by_id.get(&*seen.id).copied(), &served, &mut counts);
        }
        // Whether or not their client waited for them.
        let calm = self.served.iter().filter(|served| served.time > self.calm && served.completed() && served.usage.is_some());
        for served in calm.filter(|served| served.generated.is_some()) {
            assert!(by_upstream_id.contains_key(&*served.request_id), "nobody was charged: {served:?}");
            counts.calm += 1;
        }
        counts
    }

    fn seen_is_charged(&self, seen: &Seen, row: Option<&Entry>, served: &HashMap<&str, &Served>, counts: &mut Counts) {
        if seen.status != 200 {
            let lost = row.is_some_and(|row| row.outcome == LOST) && self.was_in_flight(seen);
            assert!(row.is_none() || lost, "a failure costs nothing: {seen:?} {row:?}");
            counts.failures += usize::from(seen.upstream_id.is_some());
            counts.refused += usize::from(seen.upstream_id.is_none());
            return;
        }
        let served = served[seen.upstream_id.as_deref().unwrap()];
        if served.generated.is_none() {
            return assert!(row.is_none(), "{} is free: {row:?}", served.operation);
        }
        if !seen.whole {
            return;
        }
        match row.filter(|row| row.outcome != LOST) {
            Some(row) => {
                assert_eq!(&*row.request.tenant, seen.tenant);
                assert_eq!(row.upstream_request_id, Some(served.request_id.as_str().into()));
                // An exception ends a stream cleanly.
                assert_eq!(row.estimated, served.usage.is_none(), "{row:?} {served:?}");
            }
            // A stream that breaks off before anything was generated costs nothing.
            None if served.usage.is_none() => {}
            None => {
                assert!(self.was_in_flight(seen), "lost though acknowledged: {seen:?} {served:?} {row:?}");
                counts.missing += 1;
            }
        }
    }

    /// Whether its end may have been on its way to the disk when the gateway was killed.
    fn was_in_flight(&self, seen: &Seen) -> bool {
        let Some(grace) = self.grace else { return false };
        self.kills.iter().any(|kill| seen.began <= *kill && seen.ended + grace >= *kill)
    }
}

fn row_is_right(row: &Entry, served: &Served, counts: &mut Counts) {
    assert!(served.status == 200 && served.generated.is_some(), "not billed, but charged: {row:?} {served:?}");
    assert_eq!(row.request.operation, served.operation);
    assert_eq!(&*row.request.model, served.model.as_deref().unwrap());
    if row.estimated {
        counts.estimated += 1;
        return;
    }
    let reported = served.usage.unwrap_or_else(|| panic!("reported by nobody: {row:?} {served:?}"));
    assert_eq!(row.usage, usage(&reported), "{row:?} {served:?}");
    assert_eq!(row.tier, tier(served), "{row:?} {served:?}");
    if row.usage.cache_write_1h_tokens == 0 {
        assert_eq!(row.cost.0, cost(&row.request.model, &row.usage), "{row:?}");
    }
    counts.exact += 1;
}

pub fn usage(reported: &simulator::Usage) -> Usage {
    Usage {
        input_tokens: reported.input_tokens,
        output_tokens: reported.output_tokens,
        cache_read_tokens: reported.cache_read_tokens,
        cache_write_tokens: reported.cache_write_tokens,
        cache_write_1h_tokens: reported.cache_write_1h_tokens,
    }
}

fn tier(served: &Served) -> ServiceTier {
    ServiceTier::parse(served.service_tier.as_deref().unwrap_or_default())
}

/// Nano-dollars, from the price list: Claude 3 Haiku (where the cache has no prices and costs as input does) and Nova Lite. Neither has
/// prices for other tiers.
fn cost(model: &str, usage: &Usage) -> i64 {
    let [input, output, read, write] = if model.contains("haiku") { [250, 1_250, 250, 250] } else { [60, 240, 15, 60] };
    let tokens = |count: u64| i64::try_from(count).unwrap();
    tokens(usage.input_tokens) * input
        + tokens(usage.output_tokens) * output
        + tokens(usage.cache_read_tokens) * read
        + tokens(usage.cache_write_tokens) * write
}
