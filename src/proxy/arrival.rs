//! The first station: what is known of a request before anything is decided, and the clock of its own time.

use std::time::{Duration, Instant};

use uuid::Uuid;

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
    /// A request whose head is not read yet.
    pub fn now() -> Arrival {
        Arrival { started: Instant::now(), id: Uuid::nil(), request_id: String::new(), waited: Duration::ZERO, own_share: None }
    }

    /// A request whose head has been read.
    pub fn begin() -> Arrival {
        let id = random_id();
        Arrival { id, request_id: id.to_string(), ..Arrival::now() }
    }

    /// The request goes upstream; only the first time counts.
    pub fn goes_upstream(&mut self) {
        let passed = self.started.elapsed();
        self.own_share.get_or_insert(passed.saturating_sub(self.waited));
    }
}

/// A version-4 UUID. From the process's own generator: `Uuid::new_v4` asks the kernel each time.
fn random_id() -> Uuid {
    let mut bytes = [0; 16];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => uuid::Builder::from_random_bytes(bytes).into_uuid(),
        Err(_) => Uuid::new_v4(),
    }
}
