//! `[bodies]`: bounds on request bodies, which are held whole because SigV4 signs their hash.

use schemars::JsonSchema;
use serde::Deserialize;

/// Bounds on request bodies.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Bodies {
    /// Bytes of one body; more is a 413. Default 25,000,000: InvokeModel's own limit.
    pub bytes_max: u64,
    /// Bytes of all bodies and begun events held at once; half of it for callers who are known only by their body. Default 1,000,000,000.
    pub in_flight_bytes_max: u64,
    /// Seconds a request or an event waits for room among them before it gets a 503. Default 5.
    pub wait_seconds_max: u64,
    /// Seconds a client may take to send its body, or an event that it has begun. Default 300.
    pub read_seconds_max: u64,
    /// Seconds of them that it may take however little comes; for more, bytes have to come. Default 20.
    pub head_start_seconds: u64,
    /// Bytes that give it another second. Default 500; 0: none have to come.
    pub bytes_per_second_min: u64,
}

impl Bodies {
    /// Seconds within which a body has to be there, once so many bytes of it are.
    pub fn patience_seconds(&self, bytes: u64) -> u64 {
        let earned = bytes.checked_div(self.bytes_per_second_min);
        earned.map_or(self.read_seconds_max, |earned| self.read_seconds_max.min(self.head_start_seconds.saturating_add(earned)))
    }
}

impl Default for Bodies {
    fn default() -> Self {
        Bodies {
            bytes_max: 25_000_000,
            in_flight_bytes_max: 1_000_000_000,
            wait_seconds_max: 5,
            read_seconds_max: 300,
            head_start_seconds: 20,
            bytes_per_second_min: 500,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sends_little_has_little_time_and_nobody_more_than_there_is() {
        let bodies = Bodies::default();
        let patience = [0, 499, 500, 5_000, 140_000, u64::MAX].map(|bytes| bodies.patience_seconds(bytes));
        assert_eq!(patience, [20, 20, 21, 30, 300, 300]);
        let any_pace = Bodies { bytes_per_second_min: 0, ..Bodies::default() };
        assert_eq!(any_pace.patience_seconds(0), 300);
        let short = Bodies { read_seconds_max: 1, ..Bodies::default() };
        assert_eq!(short.patience_seconds(5_000), 1);
    }
}
