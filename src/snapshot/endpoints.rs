//! Where each service is: AWS's own host name, or an endpoint of the operator's.

use http::{HeaderValue, Uri};

use crate::{aws, bedrock::Service, config::Upstream};

/// Where requests of one service go.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Whose requests.
    pub service: Service,
    /// The host to resolve, and the name its certificate must have.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// `Host`, with the port unless it is the scheme's own.
    pub authority: String,
    /// The same, as a header.
    pub host_header: HeaderValue,
    /// False only for test upstreams on loopback.
    pub tls: bool,
}

/// An endpoint that cannot be connected to.
#[derive(Debug, thiserror::Error)]
#[error("upstream.endpoints.{service} = \"{url}\": {problem}; write https://host or https://host:port")]
pub struct EndpointError {
    service: String,
    url: String,
    problem: &'static str,
}

/// The endpoints of all services, in the order of [`Service::ALL`].
pub(super) fn compile(upstream: &Upstream) -> Result<Vec<Endpoint>, EndpointError> {
    for (service, url) in &upstream.endpoints {
        if service.parse::<Service>().is_err() {
            return Err(EndpointError { service: service.clone(), url: url.clone(), problem: "not a Bedrock service" });
        }
    }
    Service::ALL.into_iter().map(|service| endpoint(service, upstream)).collect()
}

fn endpoint(service: Service, upstream: &Upstream) -> Result<Endpoint, EndpointError> {
    let own = upstream.endpoints.get(service.name());
    let suffix = upstream.dns_suffix.as_deref();
    // bedrock-mantle exists on the dual-stack suffix only.
    let dual_stack = upstream.dual_stack || service == Service::BedrockMantle;
    let host = || aws::endpoint::host(service.name(), &upstream.region, upstream.fips, dual_stack, suffix);
    let url = own.cloned().unwrap_or_else(|| format!("https://{}", host()));
    let failed = |problem| EndpointError { service: service.name().to_owned(), url: url.clone(), problem };

    let uri: Uri = url.parse().map_err(|_| failed("not a URL"))?;
    let tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(failed("no scheme")),
    };
    let authority = uri.authority().ok_or_else(|| failed("no host"))?;
    if authority.as_str().contains('@') || !matches!(uri.path_and_query().map(|p| p.as_str()), None | Some("" | "/")) {
        return Err(failed("only a host and a port may be given"));
    }
    let default_port = if tls { 443 } else { 80 };
    let port = authority.port_u16().unwrap_or(default_port);
    let host = authority.host().trim_matches(['[', ']']).to_owned();
    let shown = if port == default_port { authority.host().to_owned() } else { format!("{}:{port}", authority.host()) };
    let host_header = HeaderValue::from_str(&shown).map_err(|_| failed("not a host name"))?;
    Ok(Endpoint { service, host, port, authority: shown, host_header, tls })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(upstream: &str) -> Result<Vec<Endpoint>, EndpointError> {
        compile(&toml::from_str(&format!("region = \"us-east-1\"\n{upstream}")).unwrap())
    }

    #[test]
    fn own_endpoints_keep_host_and_port_together() {
        let made = endpoints("[endpoints]\nbedrock-runtime = \"https://vpce-1.example:8443\"").unwrap();
        let runtime = &made[Service::BedrockRuntime as usize];
        assert_eq!(
            (runtime.host.as_str(), runtime.port, runtime.authority.as_str()),
            ("vpce-1.example", 8443, "vpce-1.example:8443")
        );
        let bedrock = &made[Service::Bedrock as usize];
        assert_eq!((bedrock.authority.as_str(), bedrock.port, bedrock.tls), ("bedrock.us-east-1.amazonaws.com", 443, true));
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for url in ["vpce-1.example", "https://", "https://user@host", "https://host/path", "ftp://host"] {
            assert!(endpoints(&format!("[endpoints]\nbedrock = \"{url}\"")).is_err(), "{url}");
        }
        assert!(endpoints("[endpoints]\nbedrok = \"https://host\"").is_err());
    }
}
