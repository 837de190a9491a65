//! The process's own log: JSON lines on standard output, with a filter that reloads. They go the way of access lines, so that nobody
//! waits until they are written.

use std::{
    fs::File,
    io::{self, stdout},
    os::fd::AsFd,
};

use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, Registry,
    filter::filter_fn,
    layer::SubscriberExt,
    reload::{self, Handle},
    util::SubscriberInitExt,
};

use super::{LogLines, own_line::OwnLine};

/// The log of this process; when it is dropped, its last lines are written.
pub struct Log {
    /// What is in it.
    pub filter: LogFilter,
    /// For everybody who writes to standard output while the process serves.
    pub lines: LogLines,
}

impl Drop for Log {
    fn drop(&mut self) {
        self.lines.end();
    }
}

/// Changes the filter of a running process.
#[derive(Clone)]
pub struct LogFilter(Handle<EnvFilter, Registry>);

impl LogFilter {
    /// Applies `log.level`; a filter that does not parse changes nothing (`check` has refused it before).
    pub fn set(&self, level: &str) {
        if let Ok(filter) = EnvFilter::try_new(level) {
            let _ = self.0.reload(filter);
        }
    }
}

/// Whether a line is fit for the log, whatever `log.level` asks for. Other crates show what passes through them at `trace`: heads with
/// tokens, session tickets, requests as they are signed. Pingora warns and errs about every connection a client drops, with its
/// request's path; what matters of that is in the access log.
pub fn is_fit(target: &str, level: Level) -> bool {
    match target.split("::").next() {
        Some("tollgate") => true,
        Some(other) => !other.starts_with("pingora") && level <= Level::DEBUG,
        None => false,
    }
}

fn passes(line: &Metadata<'_>) -> bool {
    is_fit(line.target(), *line.level())
}

/// Sends `tracing` and `log` to standard output as JSON. Once per process.
///
/// # Errors
/// There is no standard output, no thread to write to it, or a log already.
pub fn init(level: &str) -> io::Result<Log> {
    let initial = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let (layer, handle) = reload::Layer::new(initial);
    // Not `Stdout`: its lock would be held for as long as nobody reads, and it keeps to itself what it could not write.
    let lines = LogLines::new(File::from(stdout().as_fd().try_clone_to_owned()?))?;
    let writer = lines.clone();
    let written = tracing_subscriber::fmt::layer().event_format(OwnLine).with_writer(move || writer.clone());
    tracing_subscriber::registry().with(layer).with(filter_fn(passes)).with(written).try_init().map_err(io::Error::other)?;
    Ok(Log { filter: LogFilter(handle), lines })
}

#[cfg(test)]
mod tests {
    use tracing::{Level, event};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn other_crates_tell_no_details_whatever_is_asked_for() {
        let lines = Lines::default();
        let writer = lines.clone();
        let written = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
        let asked = EnvFilter::try_new("trace,pingora_proxy=trace,h2=trace,aws_sigv4::http_request=trace,pingora_core").unwrap();
        let subscriber = tracing_subscriber::registry().with(asked).with(filter_fn(passes)).with(written);
        tracing::subscriber::with_default(subscriber, || {
            event!(target: "pingora_proxy", Level::ERROR, "never");
            event!(target: "pingora_core", Level::TRACE, "never");
            event!(target: "aws_sigv4::http_request::sign", Level::TRACE, "never");
            event!(target: "h2", Level::TRACE, "never");
            event!(target: "tollgatekeeper", Level::TRACE, "never");
            event!(target: "h2", Level::DEBUG, "told");
            event!(target: "tollgate::auth", Level::TRACE, "told");
            event!(target: "tollgate", Level::TRACE, "told");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!((text.matches("never").count(), text.matches("told").count()), (0, 3), "{text}");
    }
}
