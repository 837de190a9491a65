//! Looks at every limit of every tenant for as long as a crowd is at work: never is more used and held than there is, and no hold outlives
//! its request.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::time::sleep;
use tollgate::pricing::NanoUsd;

use crate::{harness::World, load::Crowd};

const EVERY: Duration = Duration::from_millis(50);

/// What was seen of the limits, each by tenant, quota and name.
#[derive(Debug, Default)]
pub struct Watched {
    pub limits: BTreeMap<[String; 3], Most>,
    /// How often the open holds were held against the answers that clients had seen the end of.
    pub holds_compared: usize,
}

/// Of one limit, in tokens or nano-dollars.
#[derive(Debug, Default)]
pub struct Most {
    pub samples: usize,
    pub spent: u64,
    pub reserved: u64,
}

/// Watches until the crowd is told to stop. The ledger, too, has a hold no longer than `grace` after the client has seen the end of the
/// answer, unless the gateway was killed before that.
pub async fn watch(world: Arc<World>, crowd: Arc<Crowd>, grace: Option<Duration>) -> Watched {
    let mut watched = Watched::default();
    let grace = grace.unwrap_or_default();
    while !crowd.is_over() {
        if let Some(usage) = world.usage().await {
            watched.look(&usage);
        }
        let (ended, now) = (crowd.ended(), Instant::now());
        // None: killed just now.
        if let Some(holds) = world.try_holds() {
            let settled = |at: &Instant| *at + grace <= now && !crowd.was_killed_within(*at, grace);
            let outlived: Vec<_> = holds.iter().filter(|id| ended.get(*id).is_some_and(settled)).collect();
            assert!(outlived.is_empty(), "held though the client has seen the end: {outlived:?}");
            watched.holds_compared += 1;
        }
        sleep(EVERY).await;
    }
    watched
}

impl Watched {
    fn look(&mut self, usage: &Value) {
        for tenant in usage["tenants"].as_array().unwrap() {
            for limit in tenant["limits"].as_array().unwrap() {
                let name = |of: &Value| of.as_str().unwrap().to_owned();
                let key = [name(&tenant["tenant"]), name(&limit["quota"]), name(&limit["limit"])];
                let [all, spent, reserved] = ["amount", "spent", "reserved"].map(|column| amount(&limit[column]));
                assert!(spent + reserved <= all, "{key:?}: {spent} used and {reserved} held of {all}");
                let most = self.limits.entry(key).or_default();
                most.samples += 1;
                most.spent = most.spent.max(spent);
                most.reserved = most.reserved.max(reserved);
            }
        }
    }
}

/// Tokens are numbers, dollars text.
fn amount(value: &Value) -> u64 {
    let nano = |text: &str| u64::try_from(text.parse::<NanoUsd>().unwrap().0).unwrap();
    value.as_str().map_or_else(|| value.as_u64().unwrap(), nano)
}
