//! The metrics of streams in both directions, a part of the one table. They count while a stream runs, since it may run for minutes.

use prometheus::{Counter, CounterVec, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::table::Table;

/// What one signature and its checks take.
const RESIGN_SECONDS: [f64; 10] = [0.000_002_5, 0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.001, 0.005, 0.025];

/// Of all streams.
pub struct Bidirectional {
    open: IntGaugeVec,
    events: IntCounterVec,
    bytes: IntCounterVec,
    held_back: CounterVec,
    resign: Histogram,
}

/// The series of one tenant.
#[derive(Clone)]
pub struct BidirectionalOfTenant {
    /// Streams open now.
    pub open: IntGauge,
    /// Events from the client.
    pub events_in: IntCounter,
    /// Events from Bedrock.
    pub events_out: IntCounter,
    /// Bytes from the client.
    pub bytes_in: IntCounter,
    /// Bytes from Bedrock.
    pub bytes_out: IntCounter,
    /// Seconds that events from the client waited, because the tenant's came too fast.
    pub held_back: Counter,
    /// Seconds to check an event and sign it anew; of all tenants.
    pub resign: Histogram,
}

impl Bidirectional {
    pub(super) fn new(t: &mut Table) -> Result<Bidirectional, prometheus::Error> {
        let labels = ["tenant", "direction"];
        Ok(Bidirectional {
            open: t.gauges(
                "tollgate_bidirectional_streams_open",
                "Streams in both directions that are open now.",
                &["tenant"],
            )?,
            events: t.counters(
                "tollgate_bidirectional_events_total",
                "Events carried in both directions; direction is in, from the client, or out.",
                &labels,
            )?,
            bytes: t.counters(
                "tollgate_bidirectional_bytes_total",
                "Bytes of streams in both directions, counted as they come; direction is in, from the client, or out.",
                &labels,
            )?,
            held_back: t.sums(
                "tollgate_bidirectional_held_back_seconds_total",
                "Time that events from clients waited, because their tenant's came faster than it may send them.",
                &["tenant"],
            )?,
            resign: t.histogram(
                "tollgate_bidirectional_resign_seconds",
                "What it took to check an event of a client and to sign it anew.",
                &RESIGN_SECONDS,
            )?,
        })
    }

    /// The series of a tenant.
    pub fn of_tenant(&self, tenant: &str) -> BidirectionalOfTenant {
        let of = |vec: &IntCounterVec, direction: &str| vec.with_label_values(&[tenant, direction]);
        BidirectionalOfTenant {
            open: self.open.with_label_values(&[tenant]),
            events_in: of(&self.events, "in"),
            events_out: of(&self.events, "out"),
            bytes_in: of(&self.bytes, "in"),
            bytes_out: of(&self.bytes, "out"),
            held_back: self.held_back.with_label_values(&[tenant]),
            resign: self.resign.clone(),
        }
    }
}
