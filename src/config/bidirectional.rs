//! `[bidirectional]`: bounds on InvokeModelWithBidirectionalStream, whose requests are streams too.

use schemars::JsonSchema;
use serde::Deserialize;

use super::RequestLimits;

/// Bounds on one stream, and on a tenant's streams together.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Bidirectional {
    /// Seconds without a byte in either direction. Default 120.
    pub idle_seconds_max: u64,
    /// Seconds in all. Default 540: Bedrock itself ends a stream after 480.
    pub total_seconds_max: u64,
    /// Bytes of one event from the client, with its frame. Default 2,097,152: a chunk of 1,000,000 bytes in base64 fits.
    pub event_bytes_max: usize,
    /// Events a second from the clients of one tenant, over all its streams; what is faster waits. 0 does not limit. Default 0.
    pub events_per_second_max: u64,
    /// Bytes a second from the clients of one tenant, over all its streams; 0 does not limit. Default 0.
    pub bytes_per_second_max: u64,
    /// Bytes from the client in all; 0 does not limit. Default 0.
    pub bytes_max: u64,
}

impl Default for Bidirectional {
    fn default() -> Self {
        Bidirectional {
            idle_seconds_max: 120,
            total_seconds_max: 540,
            event_bytes_max: 2 * 1024 * 1024,
            events_per_second_max: 0,
            bytes_per_second_max: 0,
            bytes_max: 0,
        }
    }
}

impl Bidirectional {
    /// The bounds of a tenant, whose own limits go before those of all.
    pub fn of_tenant(&self, limits: &RequestLimits) -> Bidirectional {
        Bidirectional {
            events_per_second_max: limits.stream_events_per_second.unwrap_or(self.events_per_second_max),
            bytes_per_second_max: limits.stream_bytes_per_second.unwrap_or(self.bytes_per_second_max),
            ..self.clone()
        }
    }
}
