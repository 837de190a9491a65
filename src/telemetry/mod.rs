//! What operators see: the one table of metrics, the one log line per request, and spans for a collector; for the console, the last hour
//! of the first two. Labels come from configuration and from enums only, so no client can make a series.

pub mod access_line;
mod access_log;
pub mod account;
pub mod bidirectional;
pub mod causes;
pub mod history;
pub mod key_sets;
mod log_lines;
pub mod logging;
pub mod metrics;
pub mod otlp;
pub mod outcome;
mod own_line;
pub mod refusals;
pub mod role_sessions;
pub mod series;
pub mod spans;
pub mod spread;
mod table;
pub mod totals;
pub mod trace_context;

pub use access_line::AccessLine;
pub use access_log::AccessLog;
pub use account::AccountMetrics;
pub use bidirectional::{Bidirectional, BidirectionalOfTenant};
pub use causes::with_causes;
pub use history::History;
pub use key_sets::KeySetMetrics;
pub use log_lines::LogLines;
pub use logging::Log;
pub use metrics::{Counted, Metrics};
pub use outcome::Outcome;
pub use refusals::{Refusals, Refused};
pub use role_sessions::{AssumeRoleOutcome, RoleSessionMetrics};
pub use series::{Ended, TenantSeries};
pub use spans::{SpanFate, SpanMetrics, SpanQueue};
pub use spread::Spread;
pub use totals::Totals;
pub use trace_context::{SpanId, TraceContext, TraceId};

/// The label of what is not known or not to be told: a caller without a tenant, a path without a service.
pub const NONE: &str = "none";
