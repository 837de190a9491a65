//! The bytes of a connection on their way to Pingora: passed on as they come, and looked at for what Pingora does not see or does not
//! mind. What is wrong ends the stream with an error at that byte.

mod ahead;
mod answer;
mod beginning;
mod head;
mod http1;
mod http2;
mod parting;
mod pingora_stream;
mod progress;
mod refused;
mod stall;
mod watched;

use std::time::Duration;

use prometheus::IntCounter;

pub use self::{
    parting::{LINGER_MAX, READ_UP_MAX},
    progress::{Progress, Running},
    watched::Watched,
};

/// What is read of a head before it is complete, at least.
const HEAD_BYTES_MIN: usize = 64 << 10;

/// Bytes of a head that are read where so many are allowed: more, so that what is too large is told in the words of the API; what is much
/// larger is not read.
pub fn head_bytes_read(header_bytes_max: usize) -> usize {
    header_bytes_max.saturating_mul(2).max(HEAD_BYTES_MIN)
}

/// What a connection is held to, and where what it refuses is counted.
#[derive(Debug)]
pub struct Terms {
    /// HTTP/1's heads are gathered until they are complete; one of more bytes ends the connection.
    pub head_bytes_max: usize,
    /// For so long a client of HTTP/1 may take nothing of what is written; HTTP/2's are looked after by the listener.
    pub write_wait_max: Duration,
    /// Streams of HTTP/2 beyond those that may be open.
    pub streams_refused: Option<IntCounter>,
    /// Requests of HTTP/2 that the stations never saw, for their heads.
    pub heads_refused: Option<IntCounter>,
}

impl Default for Terms {
    fn default() -> Terms {
        Terms { head_bytes_max: HEAD_BYTES_MIN, write_wait_max: READ_UP_MAX, streams_refused: None, heads_refused: None }
    }
}
