//! What may name the service outright: the path's first segment, the reference gateway's header, the host name. In this order.

use super::Head;
use crate::bedrock::{RawPath, Service};

/// The overrides that configuration allows.
#[derive(Clone, Debug)]
pub struct Overrides {
    /// Lower-case host names below which the first label is the service.
    pub host_suffixes: Vec<String>,
    /// Whether `aws-endpoint-prefix` is obeyed.
    pub endpoint_prefix_header: bool,
    /// Which service takes OpenAI- and Anthropic-shaped routes when nothing says so.
    pub surface_service: Service,
}

/// An override that names no service. Never a host of its own: the reference gateway's header could name any host on earth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the aws-endpoint-prefix header names no Bedrock service; leave it out, or use one such as bedrock-agent-runtime")]
pub struct OverrideError;

impl Overrides {
    /// The service that is named outright, if any, and the path below its prefix.
    pub(super) fn apply<'p>(&self, head: &Head<'_>, path: RawPath<'p>) -> Result<(Option<Service>, RawPath<'p>), OverrideError> {
        if let Some((service, below)) = prefix(path) {
            return Ok((Some(service), below));
        }
        if let Some(name) = head.endpoint_prefix.filter(|_| self.endpoint_prefix_header) {
            return Ok((Some(Service::named(name).ok_or(OverrideError)?), path));
        }
        Ok((head.host.and_then(|host| self.by_host(host)), path))
    }

    fn by_host(&self, host: &str) -> Option<Service> {
        let name = host.rsplit_once(':').map_or(host, |(name, _port)| name).trim_end_matches('.');
        let (label, suffix) = name.split_once('.')?;
        if !self.host_suffixes.iter().any(|known| known.eq_ignore_ascii_case(suffix)) {
            return None;
        }
        let label = label.to_ascii_lowercase();
        Service::named(label.strip_suffix("-fips").unwrap_or(&label))
    }
}

fn prefix(path: RawPath<'_>) -> Option<(Service, RawPath<'_>)> {
    let first = path.segments().next()?;
    Some((Service::named(first)?, path.below(first)?))
}
