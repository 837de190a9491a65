//! Lines of the log on their way out: everybody hands them over without waiting, and one thread writes them. An output that is slow,
//! stuck or gone costs lines, which are counted, and never requests.

use std::{
    io::{self, ErrorKind, Write},
    mem,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, sync_channel},
    },
    thread,
    time::Duration,
};

use prometheus::IntCounter;

/// Bytes that may wait to be written: some eight thousand lines.
const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What the writer keeps of its buffer after a burst.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// How long a line waits for others, to be written with them. Waking the writer and a write of its own would cost more than the line.
const GATHER: Duration = Duration::from_millis(10);

/// How long the end of the process waits for the last lines to be written.
const LAST_LINES_MAX: Duration = Duration::from_secs(1);

/// Where lines are handed over. All clones write to one output, in the order in which they are called.
#[derive(Clone)]
pub struct LogLines(Arc<Writer>);

struct Writer {
    waiting: Arc<Waiting>,
    /// Nothing ever comes: it closes when the writer is done.
    done: Mutex<Receiver<()>>,
}

/// Lines between those who have them and the writer. One buffer that both keep, since memory that one thread takes and another gives
/// back costs more than copying a line.
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
    /// Those that nobody counted yet.
    lost: u64,
    counter: Option<IntCounter>,
}

impl LogLines {
    /// Writes to `output` on a thread that ends when the last clone is dropped.
    pub fn new(output: impl Write + Send + 'static) -> io::Result<LogLines> {
        let waiting = Arc::new(Waiting::default());
        let (writing, done) = sync_channel(0);
        let lines = waiting.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || {
            write_lines(&lines, output);
            drop(writing);
        })?;
        Ok(LogLines(Arc::new(Writer { waiting, done: Mutex::new(done) })))
    }

    /// Hands over a line, its end included; it is lost if those before it wait to be written for too long.
    pub fn push(&self, line: &[u8]) {
        self.0.waiting.push(line);
    }

    /// Counts lost lines here, those of the past included.
    pub fn count_lost(&self, counter: IntCounter) {
        let mut lines = self.0.waiting.lines();
        counter.inc_by(mem::take(&mut lines.lost));
        lines.counter = Some(counter);
    }

    /// Waits until all lines are written, though not for ever; what comes later is lost.
    pub fn end(&self) {
        self.0.end();
    }
}

/// What writes a line calls this once with all of it, and is never told that it was lost: it could only complain of that in a line.
impl Write for LogLines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Writer {
    fn end(&self) {
        self.waiting.close();
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        // Disconnected: all is written. Timed out: whoever should read does not, and the process ends all the same.
        let _ = done.recv_timeout(LAST_LINES_MAX);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end();
    }
}

impl Waiting {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) {
        let mut lines = self.lines();
        if lines.closed || lines.text.len().saturating_add(line.len()) > WAITING_BYTES_MAX {
            lines.lose(1);
            return;
        }
        let is_first = lines.text.is_empty();
        lines.text.extend_from_slice(line);
        drop(lines);
        if is_first {
            self.changed.notify_one();
        }
    }

    fn close(&self) {
        self.lines().closed = true;
        self.changed.notify_one();
    }

    /// Waits for a line; whether there is one, or none will come any more.
    fn wait(&self) -> bool {
        let lines = self.changed.wait_while(self.lines(), |lines| lines.text.is_empty() && !lines.closed);
        !lines.unwrap_or_else(PoisonError::into_inner).text.is_empty()
    }

    /// Exchanges what waits for an empty buffer.
    fn take(&self, empty: Vec<u8>) -> Vec<u8> {
        mem::replace(&mut self.lines().text, empty)
    }
}

impl Lines {
    fn lose(&mut self, lines: u64) {
        match &self.counter {
            Some(counter) => counter.inc_by(lines),
            None => self.lost = self.lost.saturating_add(lines),
        }
    }
}

fn write_lines(waiting: &Waiting, mut output: impl Write) {
    let mut text = Vec::new();
    let mut torn = false;
    while waiting.wait() {
        thread::sleep(GATHER);
        text.clear();
        text.shrink_to(KEPT_BYTES_MAX);
        text = waiting.take(text);
        if torn {
            // What is left of a line that could not be finished is a line, so that it spoils no other.
            torn = output.write_all(b"\n").is_err();
        }
        // A full disk or a reader that is gone is not worth a crash.
        let unwritten = if torn { &text } else { write(&text, &mut output) };
        let _ = output.flush();
        let written = text.len().saturating_sub(unwritten.len());
        torn = text.get(..written).and_then(<[u8]>::last).map_or(torn, |&last| last != b'\n');
        if !unwritten.is_empty() {
            waiting.lines().lose(memchr::memchr_iter(b'\n', unwritten).count() as u64);
        }
    }
}

/// Writes as much as can be; gives back the rest.
fn write<'a>(mut text: &'a [u8], output: &mut impl Write) -> &'a [u8] {
    while !text.is_empty() {
        match output.write(text) {
            Ok(0) => break,
            Ok(written) => text = text.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes until it is full.
    #[derive(Clone)]
    struct Disk(Arc<Mutex<(Vec<u8>, usize)>>);

    impl Disk {
        fn of(bytes: usize) -> Disk {
            Disk(Arc::new(Mutex::new((Vec::new(), bytes))))
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().0.clone()).unwrap()
        }

        fn empty(&self) {
            self.0.lock().unwrap().1 = usize::MAX;
        }
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (text, max) = &mut *self.0.lock().unwrap();
            let room = max.saturating_sub(text.len()).min(bytes.len());
            text.extend_from_slice(&bytes[..room]);
            if room == 0 { Err(ErrorKind::StorageFull.into()) } else { Ok(room) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn counter() -> IntCounter {
        IntCounter::new("lost", "lost").unwrap()
    }

    fn until(condition: impl Fn() -> bool) {
        let began = std::time::Instant::now();
        while !condition() {
            assert!(began.elapsed() < Duration::from_secs(20), "waited in vain");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn what_is_dropped_or_ended_has_written_every_line_and_takes_no_more() {
        for ends in [true, false] {
            let disk = Disk::of(usize::MAX);
            let (log, lost) = (LogLines::new(disk.clone()).unwrap(), counter());
            log.count_lost(lost.clone());
            for _ in 0..100 {
                log.push(b"line\n");
            }
            if ends {
                log.end();
                log.push(b"late\n");
            }
            drop(log);
            assert_eq!((disk.text().len(), lost.get()), (500, u64::from(ends)));
        }
    }

    #[test]
    fn what_nobody_reads_is_counted_and_not_kept() {
        let waiting = Waiting::default();
        let line = [b'x'; 1_000];
        for _ in 0..10_000 {
            waiting.push(&line);
        }
        let kept = waiting.take(Vec::new()).len() / line.len();
        assert_eq!(kept, WAITING_BYTES_MAX / line.len());
        assert_eq!(waiting.lines().lost, 10_000 - kept as u64);
        waiting.push(&line);
        assert_eq!(waiting.take(Vec::new()), line);
    }

    #[test]
    fn what_a_full_disk_does_not_take_is_counted_and_spoils_no_line_after_it() {
        let disk = Disk::of(7);
        let (log, lost) = (LogLines::new(disk.clone()).unwrap(), counter());
        for line in ["one\n", "three\n", "five\n"] {
            log.push(line.as_bytes());
        }
        // Lost before anybody counted.
        until(|| log.0.waiting.lines().lost == 2);
        log.count_lost(lost.clone());
        log.push(b"seven\n");
        until(|| lost.get() == 3);
        disk.empty();
        log.push(b"nine\n");
        drop(log);
        assert_eq!((disk.text().as_str(), lost.get()), ("one\nthr\nnine\n", 3));
    }
}
