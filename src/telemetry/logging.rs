//! The process's own log: JSON lines on standard output, with a filter that reloads. They go the way of access lines, so that nobody
//! waits until they are written.

use std::{
    fs::File,
    io::{self, stdout},
    os::fd::AsFd,
};

use tracing_subscriber::{
    EnvFilter, Registry,
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
        if let Ok(filter) = filter(level) {
            let _ = self.0.reload(filter);
        }
    }
}

/// Pingora warns and errs about every connection a client drops; what matters of that is in the access log.
fn filter(level: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    EnvFilter::try_new(format!("pingora_core=off,pingora_proxy=off,pingora_pool=off,{level}"))
}

/// Sends `tracing` and `log` to standard output as JSON. Once per process.
///
/// # Errors
/// There is no standard output, no thread to write to it, or a log already.
pub fn init(level: &str) -> io::Result<Log> {
    let initial = filter(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let (layer, handle) = reload::Layer::new(initial);
    // Not `Stdout`: its lock would be held for as long as nobody reads, and it keeps to itself what it could not write.
    let lines = LogLines::new(File::from(stdout().as_fd().try_clone_to_owned()?))?;
    let writer = lines.clone();
    let written = tracing_subscriber::fmt::layer().event_format(OwnLine).with_writer(move || writer.clone());
    tracing_subscriber::registry().with(layer).with(written).try_init().map_err(io::Error::other)?;
    Ok(Log { filter: LogFilter(handle), lines })
}
