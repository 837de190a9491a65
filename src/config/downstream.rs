//! `[downstream]`: bounds on what clients may send and hold open.

use schemars::JsonSchema;
use serde::Deserialize;

/// Bounds on connections, headers and requests.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Downstream {
    /// Connections open at once, over all listeners; more are closed as soon as they are accepted. Default 10,000, and never more than
    /// the limit on open files allows.
    pub connections_max: u64,
    /// Requests running at once, over all tenants; more are answered with 503. Default 5,000: 500 MB if each of them streams.
    pub requests_max: u64,
    /// Requests after which a connection is closed in order. Default 10,000.
    pub requests_per_connection_max: u32,
    /// Streams open at once on an HTTP/2 connection. Default 100.
    pub streams_per_connection_max: u32,
    /// Bytes of request line and headers together. Default 32,768: a long ARN percent-encoded, metadata of 8,500 and a large JWT fit.
    pub header_bytes_max: usize,
    /// Seconds from the first byte of a request to the end of its headers. Default 10.
    pub header_seconds_max: u64,
    /// Seconds an idle connection is kept. Default 60.
    pub idle_seconds_max: u64,
    /// Seconds a stopping process goes on to take connections after it has said that it is not ready, so that load balancers notice. Default
    /// 0; somewhat more than they take to, if there are any.
    pub leave_seconds: u64,
    /// Seconds a process that stops or was upgraded lets running requests finish, `leave_seconds` included. A request that begins
    /// after an upgrade, over a connection from before, has as long. Default 660: ten minutes, and a little.
    pub drain_seconds_max: u64,
}

impl Default for Downstream {
    fn default() -> Self {
        Downstream {
            connections_max: 10_000,
            requests_max: 5_000,
            requests_per_connection_max: 10_000,
            streams_per_connection_max: 100,
            header_bytes_max: 32_768,
            header_seconds_max: 10,
            idle_seconds_max: 60,
            leave_seconds: 0,
            drain_seconds_max: 660,
        }
    }
}
