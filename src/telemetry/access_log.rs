//! One JSON line a request, written by a thread of its own: a slow log costs lines, never requests.

use std::{
    io::Write,
    mem,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        mpsc::{Receiver, sync_channel},
    },
    thread,
    time::Duration,
};

use super::access_line::AccessLine;

/// Bytes that may wait to be written: some eight thousand lines.
const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What the writer keeps of its buffer after a burst.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// How long a line waits for others, to be written with them. Waking the writer and a write of its own would cost more than the line.
const GATHER: Duration = Duration::from_millis(10);

/// How long the end of the process waits for the last lines to be written.
const LAST_LINES_MAX: Duration = Duration::from_secs(1);

/// Where access lines go.
pub struct AccessLog {
    waiting: Arc<Waiting>,
    /// Nothing ever comes: it closes when the writer is done.
    done: Mutex<Receiver<()>>,
}

/// Lines between the requests and the writer. One buffer that both keep, since memory that one thread takes and another gives back
/// costs more than copying a line.
#[derive(Default)]
struct Waiting {
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Default)]
struct Lines {
    text: Vec<u8>,
    /// No more will come.
    closed: bool,
}

impl AccessLog {
    /// Writes to `output` on a thread that ends when the log is dropped.
    pub fn new(output: impl Write + Send + 'static) -> std::io::Result<AccessLog> {
        let waiting = Arc::new(Waiting::default());
        let (writing, done) = sync_channel(0);
        let lines = waiting.clone();
        thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            write_lines(&lines, output);
            drop(writing);
        })?;
        Ok(AccessLog { waiting, done: Mutex::new(done) })
    }

    /// Hands a line over; false if it was lost because the log cannot keep up.
    pub fn write(&self, line: &AccessLine<'_>) -> bool {
        let mut text = String::with_capacity(1_024);
        line.write(&mut text);
        text.push('\n');
        self.waiting.push(text.as_bytes())
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.waiting.close();
        let done = self.done.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Disconnected: all is written. Timed out: whoever should read does not, and the process ends all the same.
        let _ = done.recv_timeout(LAST_LINES_MAX);
    }
}

impl Waiting {
    fn push(&self, line: &[u8]) -> bool {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.text.len() + line.len() > WAITING_BYTES_MAX {
            return false;
        }
        let is_first = lines.text.is_empty();
        lines.text.extend_from_slice(line);
        drop(lines);
        if is_first {
            self.changed.notify_one();
        }
        true
    }

    fn close(&self) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.changed.notify_one();
    }

    /// Waits for a line; whether there is one, or none will come any more.
    fn wait(&self) -> bool {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = self.changed.wait_while(lines, |lines| lines.text.is_empty() && !lines.closed);
        !lines.unwrap_or_else(PoisonError::into_inner).text.is_empty()
    }

    /// Exchanges what waits for an empty buffer.
    fn take(&self, empty: Vec<u8>) -> Vec<u8> {
        mem::replace(&mut self.lines.lock().unwrap_or_else(PoisonError::into_inner).text, empty)
    }
}

fn write_lines(waiting: &Waiting, mut output: impl Write) {
    let mut text = Vec::new();
    while waiting.wait() {
        thread::sleep(GATHER);
        text.clear();
        text.shrink_to(KEPT_BYTES_MAX);
        text = waiting.take(text);
        // A closed standard output is not worth a crash: requests go on, their lines do not.
        let _ = output.write_all(&text);
        let _ = output.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
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
        let written = Written::default();
        let log = AccessLog::new(written.clone()).unwrap();
        for _ in 0..100 {
            assert!(log.waiting.push(b"line\n"));
        }
        drop(log);
        assert_eq!(written.0.lock().unwrap().len(), 500);
    }

    #[test]
    fn what_nobody_reads_is_lost_and_not_kept() {
        let waiting = Waiting::default();
        let line = [b'x'; 1_000];
        let kept = (0..10_000).take_while(|_| waiting.push(&line)).count();
        assert_eq!(kept, WAITING_BYTES_MAX / line.len());
        waiting.take(Vec::new());
        assert!(waiting.push(&line));
    }
}
