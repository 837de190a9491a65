//! How a request ended.

/// The end of a request, as a metric label and in the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Bedrock's whole answer went out, whatever its status.
    Completed,
    /// The gateway refused the request.
    Denied,
    /// The client went away, or stopped sending.
    ClientLeft,
    /// Bedrock could not be reached, or its answer broke off.
    UpstreamFailed,
    /// The gateway itself failed.
    GatewayFailed,
}

impl Outcome {
    /// The label.
    pub fn label(self) -> &'static str {
        match self {
            Outcome::Completed => "completed",
            Outcome::Denied => "denied",
            Outcome::ClientLeft => "client_left",
            Outcome::UpstreamFailed => "upstream_failed",
            Outcome::GatewayFailed => "gateway_failed",
        }
    }
}

/// The class of a status: `2xx`; `none` if no response was sent.
pub fn status_class(status: Option<u16>) -> &'static str {
    match status.map(|status| status / 100) {
        Some(1) => "1xx",
        Some(2) => "2xx",
        Some(3) => "3xx",
        Some(4) => "4xx",
        Some(5) => "5xx",
        _ => super::NONE,
    }
}
