//! The process's own log: JSON lines on standard output, with a filter that reloads.

use tracing_subscriber::{
    EnvFilter, Registry,
    layer::SubscriberExt,
    reload::{self, Handle},
    util::{SubscriberInitExt, TryInitError},
};

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
pub fn init(level: &str) -> Result<LogFilter, TryInitError> {
    let initial = filter(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let (layer, handle) = reload::Layer::new(initial);
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_current_span(false);
    tracing_subscriber::registry().with(layer).with(lines).try_init()?;
    Ok(LogFilter(handle))
}
