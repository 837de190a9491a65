//! The first station: what is known of a request before anything is decided, and the clock of its own time.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use uuid::{Builder, Uuid};

/// A request's beginning.
pub struct Arrival {
    /// When its head was complete.
    pub started: Instant,
    /// Its id.
    pub id: Uuid,
    /// Its id in words: `x-amzn-RequestId` of the gateway's own answers, `x-tollgate-request-id` of Bedrock's.
    pub request_id: String,
    /// Time that passed for reasons outside the gateway: the client's upload, waiting for room, connecting.
    pub waited: Duration,
    /// What the gateway itself took, known once the request goes upstream.
    pub own_share: Option<Duration>,
}

impl Arrival {
    /// A request whose head has just been read.
    pub fn begin() -> Arrival {
        let id = request_id(SystemTime::now());
        let request_id = id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).to_owned();
        Arrival { started: Instant::now(), id, request_id, waited: Duration::ZERO, own_share: None }
    }

    /// The request goes upstream; only the first time counts.
    pub fn goes_upstream(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.started);
        self.own_share.get_or_insert(passed.saturating_sub(self.waited));
    }
}

/// A version-7 UUID: the time, and 74 bits that cannot be guessed. In the ledger's index ids of one time lie side by side; of random ones
/// nearly each would change a page of its own there, which costs more than all else of a row.
fn request_id(now: SystemTime) -> Uuid {
    let [_, _, _, _, _, _, random @ ..] = random_id().into_bytes();
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    Builder::from_unix_timestamp_millis(u64::try_from(since.as_millis()).unwrap_or_default(), &random).into_uuid()
}

/// A version-4 UUID: a count under keys that the system gave this process, so that ids neither repeat nor can be guessed. Asking the
/// system, or a generator for keys, for every request costs thirty times as much.
pub(super) fn random_id() -> Uuid {
    static KEYS: LazyLock<[RandomState; 2]> = LazyLock::new(|| [RandomState::new(), RandomState::new()]);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let [high, low] = KEYS.each_ref().map(|key| u128::from(key.hash_one(count)));
    Builder::from_random_bytes((high << 64 | low).to_be_bytes()).into_uuid()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_in_the_order_of_time_and_differ() {
        let at = |milliseconds| UNIX_EPOCH + Duration::from_millis(milliseconds);
        let ids: Vec<Uuid> = [1_795_000_000_000, 1_795_000_000_001].map(|now| [(); 1_000].map(|()| request_id(at(now)))).concat();
        let (before, after) = ids.split_at(1_000);
        assert!(before.iter().max() < after.iter().min());
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 2_000);
        assert!(ids.iter().all(|id| id.get_version_num() == 7), "{ids:?}");
        // Sampling goes by the end of an id.
        let ends: HashSet<u64> = ids.iter().map(|id| id.as_u128() as u64 & 0x00ff_ffff_ffff_ffff).collect();
        assert_eq!(ends.len(), 2_000);
    }
}
