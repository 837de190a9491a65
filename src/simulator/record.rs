//! What the simulator served and what usage it reported, so that the gateway's account can be held against it. Bounded in
//! number. Neither bodies nor credentials are kept: of a body its length and hash, of a credential the key id.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use http::HeaderMap;
use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use super::signature::hex;

/// How many requests are kept; older ones make room.
pub const REQUESTS_MAX: usize = 100_000;

/// Headers that are credentials: their names are kept, their values are not.
const CREDENTIALS: [&str; 5] = ["authorization", "x-amz-security-token", "x-api-key", "proxy-authorization", "cookie"];

/// Tokens as Bedrock counts them: `input_tokens` is what was neither read from the cache nor written to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Not cached.
    pub input_tokens: u64,
    /// Generated.
    pub output_tokens: u64,
    /// Read from the cache.
    pub cache_read_tokens: u64,
    /// Written to the cache for five minutes.
    pub cache_write_tokens: u64,
    /// Written to the cache for an hour.
    pub cache_write_1h_tokens: u64,
}

impl Usage {
    /// All tokens.
    pub fn total(&self) -> u64 {
        [self.input_tokens, self.output_tokens, self.cache_read_tokens, self.cache_write_total()]
            .into_iter()
            .fold(0, u64::saturating_add)
    }

    /// Written to the cache, for whatever time.
    pub fn cache_write_total(&self) -> u64 {
        self.cache_write_tokens.saturating_add(self.cache_write_1h_tokens)
    }

    /// As a shape reports it that does not say for how long the cache was written.
    pub(super) fn without_ttl(self) -> Usage {
        Usage { cache_write_tokens: self.cache_write_total(), cache_write_1h_tokens: 0, ..self }
    }

    fn add(&mut self, other: &Usage) {
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.cache_read_tokens = self.cache_read_tokens.saturating_add(other.cache_read_tokens);
        self.cache_write_tokens = self.cache_write_tokens.saturating_add(other.cache_write_tokens);
        self.cache_write_1h_tokens = self.cache_write_1h_tokens.saturating_add(other.cache_write_1h_tokens);
    }
}

/// A request that was read whole and answered, or is being answered.
#[derive(Debug)]
pub struct Served {
    /// Counts from 1 and never starts again.
    pub id: u64,
    /// Its `x-amzn-RequestId`.
    pub request_id: String,
    /// When its last byte had come.
    pub time: Timestamp,
    /// By host name, or by path for other hosts; `Unknown`.
    pub service: &'static str,
    /// `Unknown` where Bedrock would not know it.
    pub operation: &'static str,
    /// From the path, decoded once, or from an OpenAI or Anthropic body.
    pub model: Option<String>,
    /// As on the wire.
    pub method: String,
    /// Raw path and query.
    pub target: String,
    /// Names and values; see [`Served::headers`].
    pub(super) header_lines: String,
    /// Of the body.
    pub body_bytes: u64,
    /// Hexadecimal SHA-256 of the body.
    pub body_sha256: String,
    /// Who signed; `None` when the signature was refused.
    pub access_key_id: Option<String>,
    /// `ok`, or AWS's exception and what was wrong.
    pub verdict: String,
    /// The answer's status; 0 when there was no answer.
    pub status: u16,
    /// What the answer reports if it goes out whole; `None` when it reports no usage.
    pub usage: Option<Usage>,
    /// What Bedrock would bill: the whole generation, whether or not the answer reports it or goes out whole. `None`: nothing was
    /// generated.
    pub generated: Option<Usage>,
    /// The service tier that served it, where something was generated.
    pub service_tier: Option<String>,
    /// Counts connections from 1.
    pub connection: u64,
    pub(super) heard: Option<Box<Heard>>,
    pub(super) completed: AtomicBool,
}

/// The events of a request that is a stream of them, as far as they came.
#[derive(Debug, Default)]
pub struct Heard {
    bytes: AtomicU64,
    events: AtomicU64,
    closed: AtomicBool,
    hash: Mutex<Sha256>,
    refusal: Mutex<Option<String>>,
}

impl Heard {
    /// Bytes of the request's body, whatever they are.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    /// Events that were verified, the closing one not counted.
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Acquire)
    }

    /// Whether the signed empty event came.
    pub fn closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Hexadecimal SHA-256 of all events so far, unwrapped, one after the other.
    pub fn sha256(&self) -> String {
        hex(&lock(&self.hash).clone().finalize())
    }

    /// Why an event was refused.
    pub fn refusal(&self) -> Option<String> {
        lock(&self.refusal).clone()
    }
}

impl Served {
    /// The events of a request that is a stream of them.
    pub fn heard(&self) -> Option<&Heard> {
        self.heard.as_deref()
    }

    /// Whether the whole answer was handed to the connection.
    pub fn completed(&self) -> bool {
        self.completed.load(Ordering::Acquire)
    }

    /// Names (lower case) and values; repeats stay in their order. The values of credentials are `***`.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.header_lines.split('\n').filter_map(|line| line.split_once(':'))
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// For the record over HTTP.
    pub(super) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "id": self.id,
            "request_id": self.request_id,
            "time": self.time.to_string(),
            "service": self.service,
            "operation": self.operation,
            "model": self.model,
            "method": self.method,
            "target": self.target,
            "headers": self.headers().collect::<Vec<_>>(),
            "body_bytes": self.body_bytes,
            "body_sha256": self.body_sha256,
            "access_key_id": self.access_key_id,
            "verdict": self.verdict,
            "status": self.status,
            "usage": self.usage,
            "generated": self.generated,
            "service_tier": self.service_tier,
            "connection": self.connection,
            "events": self.heard().map(Heard::events),
            "events_bytes": self.heard().map(Heard::bytes),
            "events_closed": self.heard().map(Heard::closed),
            "events_sha256": self.heard().map(Heard::sha256),
            "events_refusal": self.heard().map(Heard::refusal),
            "completed": self.completed(),
        })
    }
}

/// One allocation for all headers keeps the record cheap.
pub(super) fn header_lines(headers: &HeaderMap) -> String {
    let mut lines = String::with_capacity(512);
    for (name, value) in headers {
        let value = if CREDENTIALS.contains(&name.as_str()) { "***".into() } else { String::from_utf8_lossy(value.as_bytes()) };
        for part in [name.as_str(), ":", &value, "\n"] {
            lines.push_str(part);
        }
    }
    lines.pop();
    lines
}

/// Sums over everything since the start or the last [`Record::clear`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Read whole.
    pub requests: u64,
    /// Refused for their signature.
    pub refused: u64,
    /// Answered whole.
    pub completed: u64,
    /// Ended before the request was whole.
    pub incomplete: u64,
    /// Accepted.
    pub connections: u64,
    /// Reported in answers that went out whole.
    pub usage: Usage,
    /// Generated, reported or not.
    pub generated: Usage,
}

/// The record. Cheap to share; everything here may be called while requests are served.
#[derive(Debug, Default)]
pub struct Record {
    requests: Mutex<VecDeque<Arc<Served>>>,
    totals: Mutex<Totals>,
    next_id: AtomicU64,
    connections: AtomicU64,
    changed: Notify,
}

impl Record {
    /// Everything kept, oldest first.
    pub fn requests(&self) -> Vec<Arc<Served>> {
        self.since(0)
    }

    /// Everything kept with an id over `id`, oldest first.
    pub fn since(&self, id: u64) -> Vec<Arc<Served>> {
        lock(&self.requests).iter().filter(|served| served.id > id).cloned().collect()
    }

    /// The sums.
    pub fn totals(&self) -> Totals {
        *lock(&self.totals)
    }

    /// Forgets the requests and starts the sums again.
    pub fn clear(&self) {
        lock(&self.requests).clear();
        *lock(&self.totals) = Totals::default();
    }

    /// Waits until `condition` holds. It is looked at again whenever something is recorded or completed.
    pub async fn wait_until(&self, condition: impl Fn(&Record) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if condition(self) {
                return;
            }
            changed.await;
        }
    }

    pub(super) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn count_connection(&self) -> u64 {
        lock(&self.totals).connections += 1;
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn count_incomplete(&self) {
        lock(&self.totals).incomplete += 1;
        self.changed.notify_waiters();
    }

    /// `keep`: in the list, not only in the sums.
    pub(super) fn add(&self, served: &Arc<Served>, keep: bool) {
        {
            let mut totals = lock(&self.totals);
            totals.requests += 1;
            totals.refused += u64::from(served.verdict != "ok");
            if let Some(generated) = &served.generated {
                totals.generated.add(generated);
            }
        }
        if keep {
            let mut requests = lock(&self.requests);
            if requests.len() == REQUESTS_MAX {
                requests.pop_front();
            }
            requests.push_back(served.clone());
        }
        self.changed.notify_waiters();
    }

    /// Some bytes came.
    pub(super) fn hear_bytes(&self, served: &Served, bytes: usize) {
        let Some(heard) = served.heard() else { return };
        heard.bytes.fetch_add(bytes as u64, Ordering::AcqRel);
    }

    /// An event was verified; the empty one closes the stream.
    pub(super) fn hear(&self, served: &Served, event: &[u8]) {
        let Some(heard) = served.heard() else { return };
        if event.is_empty() {
            heard.closed.store(true, Ordering::Release);
        } else {
            lock(&heard.hash).update(event);
            heard.events.fetch_add(1, Ordering::AcqRel);
        }
        self.changed.notify_waiters();
    }

    pub(super) fn refuse_events(&self, served: &Served, why: &str) {
        let Some(heard) = served.heard() else { return };
        *lock(&heard.refusal) = Some(why.to_owned());
        self.changed.notify_waiters();
    }

    pub(super) fn complete(&self, served: &Served) {
        if served.completed.swap(true, Ordering::AcqRel) {
            return;
        }
        {
            let mut totals = lock(&self.totals);
            totals.completed += 1;
            if let Some(usage) = served.usage {
                totals.usage.add(&usage);
            }
        }
        self.changed.notify_waiters();
    }
}

/// A panic while the lock is held cannot leave these half-changed in a way that matters.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_not_kept() {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", http::HeaderValue::from_static("AWS4-HMAC-SHA256 Signature=secret"));
        headers.insert("x-amz-security-token", http::HeaderValue::from_static("secret"));
        headers.insert("x-amzn-bedrock-trace", http::HeaderValue::from_static("ENABLED"));
        let lines = header_lines(&headers);
        assert!(!lines.contains("secret"));
        assert!(lines.contains("x-amzn-bedrock-trace:ENABLED"));
    }
}
