//! A denial on its way through Pingora's errors, and what an error of Pingora's means.

use std::{borrow::Cow, error::Error as StdError, iter::successors};

use pingora_error::{Error, ErrorSource, ErrorType};

use super::Denial;

/// Carries a denial through what can only fail with an error.
pub fn denied(denial: Denial) -> Box<Error> {
    Error::because(ErrorType::Custom("denied"), "refused by the gateway", denial)
}

/// A response that cannot be composed.
pub fn internal(e: impl StdError + Send + Sync + 'static) -> Box<Error> {
    Error::because(ErrorType::InternalError, "composing a header", Box::new(e))
}

/// What a failure means to the caller.
pub fn blame(e: &Error) -> Denial {
    let cause = e.root_cause().downcast_ref::<Denial>();
    match (cause, e.etype()) {
        (Some(Denial::Unreachable), _) => Denial::Unreachable,
        (Some(Denial::Credentials(error)), _) => Denial::Credentials(*error),
        (Some(Denial::NoSession { tenant }), _) => Denial::NoSession { tenant: tenant.clone() },
        (Some(Denial::CredentialsRefused(kind)), _) => Denial::CredentialsRefused(kind),
        (Some(Denial::Unpassable(why)), _) => Denial::Unpassable(why),
        (Some(_), _) => Denial::Internal,
        (_, etype) if is_of_connecting(etype) => Denial::Unreachable,
        (_, ErrorType::ReadTimedout | ErrorType::WriteTimedout) => Denial::UpstreamTimeout,
        _ if *e.esource() == ErrorSource::Upstream => Denial::UpstreamBroken,
        _ => Denial::Internal,
    }
}

/// Whether nothing can have been sent yet.
fn is_of_connecting(etype: &ErrorType) -> bool {
    use ErrorType::*;
    matches!(
        etype,
        ConnectTimedout
            | ConnectRefused
            | ConnectNoRoute
            | ConnectError
            | SocketError
            | TLSHandshakeTimedout
            | TLSHandshakeFailure
            | InvalidCert
    )
}

/// What broke, for operators: Pingora's name for it, and where that says too little, why.
pub fn what_broke(e: &Error) -> Cow<'static, str> {
    match e.root_cause().downcast_ref() {
        Some(Denial::Unreachable) => return Cow::Borrowed("no address is known of Bedrock's host: its name cannot be resolved"),
        Some(denial) => return Cow::Owned(denial.to_string()),
        None => {}
    }
    let name = e.etype().as_str();
    if !is_of_connecting(e.etype()) {
        return Cow::Borrowed(name);
    }
    // The first error; those around it say where it went by.
    let first = successors(Some(e), |outer| Some(&**outer.cause.as_deref()?.downcast_ref::<Box<Error>>()?)).last().unwrap_or(e);
    let doing = first.context.as_ref().map(|doing| doing.as_str()).unwrap_or_default();
    // The cause of a failed handshake is inside that text, and beside it only from which port it was.
    let doing = doing.rsplit("cause: ").next().unwrap_or_default().trim();
    let cause = first.cause.as_ref().map(ToString::to_string).filter(|cause| !cause.starts_with("local address"));
    let why = [Some(name.to_owned()), Some(doing.to_owned()), cause].into_iter().flatten().collect::<Vec<_>>().join(": ");
    Cow::Owned(why.chars().take(WHY_CHARS_MAX).collect())
}

/// A certificate can be for many names, all of which rustls tells.
const WHY_CHARS_MAX: usize = 300;
