//! One JSON line a request, written by a thread of its own: a slow log costs lines, never requests.

use std::{
    io::{BufWriter, Write},
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use serde::Serialize;

/// Lines that may wait to be written.
const LINES_WAITING_MAX: usize = 8_192;

/// How long a line waits for others, to be written with them. Waking the writer and a write of its own would cost more than the line.
const GATHER: Duration = Duration::from_millis(10);

/// How long the end of the process waits for the last lines to be written.
const LAST_LINES_MAX: Duration = Duration::from_secs(1);

/// What is told of a request. Never a token, a key, a query string or a word of a prompt.
#[derive(Debug, Serialize)]
pub struct AccessLine<'a> {
    /// RFC 3339, UTC, when the request ended.
    pub ts: String,
    /// Always `info`.
    pub level: &'static str,
    /// Always `request`.
    pub msg: &'static str,
    /// The gateway's id of the request, the client's `x-amzn-RequestId` if the gateway answered.
    pub request_id: &'a str,
    /// The trace id of `traceparent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<&'a str>,
    /// Who is limited.
    pub tenant: &'a str,
    /// The subject of the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<&'a str>,
    /// The client's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The name in the client's verified certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<&'a str>,
    /// `POST`
    pub method: &'a str,
    /// Endpoint prefix.
    pub service: &'a str,
    /// As AWS spells it.
    pub operation: &'a str,
    /// As the client named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<&'a str>,
    /// Of the response; absent if none was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How the request ended.
    pub outcome: &'static str,
    /// Why the gateway refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// What Pingora says of a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Who answered: `gateway` or `bedrock`.
    pub source: &'static str,
    /// Body bytes in.
    pub request_bytes: u64,
    /// Body bytes out.
    pub response_bytes: u64,
    /// Milliseconds to the first byte of Bedrock's response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte_ms: Option<f64>,
    /// Milliseconds in all.
    pub duration_ms: f64,
    /// Milliseconds the gateway itself added before the request went upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_ms: Option<f64>,
    /// Bedrock's id of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_request_id: Option<&'a str>,
    /// Times the request was sent again.
    pub retries: u32,
    /// The configuration the request ran under.
    pub generation: u64,
}

/// Where access lines go.
pub struct AccessLog {
    /// `None` once the log is dropped.
    lines: Option<SyncSender<Vec<u8>>>,
    /// Nothing ever comes: it closes when the writer is done.
    done: Mutex<Receiver<()>>,
}

impl AccessLog {
    /// Writes to `output` on a thread that ends when the log is dropped.
    pub fn new(output: impl Write + Send + 'static) -> std::io::Result<AccessLog> {
        let (lines, waiting) = sync_channel(LINES_WAITING_MAX);
        let (writing, done) = sync_channel(0);
        thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            write_lines(&waiting, output);
            drop(writing);
        })?;
        Ok(AccessLog { lines: Some(lines), done: Mutex::new(done) })
    }

    /// Hands a line over; false if it was lost because the log cannot keep up.
    pub fn write(&self, line: &AccessLine<'_>) -> bool {
        let mut text = Vec::with_capacity(512);
        if serde_json::to_writer(&mut text, line).is_err() {
            return false;
        }
        text.push(b'\n');
        self.lines.as_ref().is_some_and(|lines| lines.try_send(text).is_ok())
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.lines = None;
        let done = self.done.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Disconnected: all is written. Timed out: whoever should read does not, and the process ends all the same.
        let _ = done.recv_timeout(LAST_LINES_MAX);
    }
}

fn write_lines(waiting: &Receiver<Vec<u8>>, output: impl Write) {
    let mut output = BufWriter::with_capacity(64 * 1024, output);
    while let Ok(line) = waiting.recv() {
        // A closed standard output is not worth a crash: requests go on, their lines do not.
        let _ = output.write_all(&line);
        thread::sleep(GATHER);
        for line in waiting.try_iter() {
            let _ = output.write_all(&line);
        }
        let _ = output.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_dropped_log_has_written_every_line() {
        let lines = Lines::default();
        let log = AccessLog::new(lines.clone()).unwrap();
        for _ in 0..100 {
            log.lines.as_ref().unwrap().try_send(b"line\n".to_vec()).unwrap();
        }
        drop(log);
        assert_eq!(lines.0.lock().unwrap().len(), 500);
    }
}
