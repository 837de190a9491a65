//! `[upstream]`: names and URLs that lead nowhere.

use super::{Check, KeyPath, words};
use crate::{
    bedrock::Service,
    config::{
        Upstream,
        suggest::{list, suggest},
    },
};

pub(super) fn check(check: &mut Check<'_>, upstream: &Upstream) {
    let at = |key: &str| KeyPath::of("upstream").key(key);
    if !words::is_region(&upstream.region) {
        check.error(
            at("region"),
            format!("`{}` is not the name of an AWS region", upstream.region.escape_debug()),
            "write it as AWS does: `us-east-1`; a zone's letter does not belong to it",
        );
    } else if !words::REGIONS.contains(&upstream.region.as_str()) {
        let help = match suggest(&upstream.region, words::REGIONS) {
            Some(near) => format!("did you mean `{near}`? If AWS has it by now, leave it"),
            None => "compare it with AWS's list; if AWS has it by now, leave it".to_owned(),
        };
        check.warning(at("region"), format!("`{}` is no region that this version knows", upstream.region), help);
    }
    if upstream.dns_suffix.as_deref().is_some_and(|suffix| !words::is_host_name(suffix)) {
        check.error(at("dns_suffix"), "not a DNS name", "write it without a leading dot: `amazonaws.com`");
    }
    for (name, url) in &upstream.endpoints {
        let path = at("endpoints").key(name);
        if name.parse::<Service>().is_err() {
            check.key_error(path.clone(), format!("`{}` is not a Bedrock service", name.escape_debug()), services_help(name));
        }
        if let Some((fault, help)) = words::url_fault(url, false) {
            check.error(path, format!("`{}` {fault}", shown(url)), help);
        }
    }
}

/// The services there are, or the one that was meant.
pub(super) fn services_help(name: &str) -> String {
    match suggest(name, Service::ALL.map(Service::name)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the services are {}", list(&Service::ALL.map(Service::name))),
    }
}

/// A URL for a message; credentials in it stay out of logs.
pub(super) fn shown(url: &str) -> String {
    let (url, query) = url.split_once('?').map_or((url, ""), |(url, _)| (url, "?…"));
    let shown = match url.rsplit_once('@') {
        Some((_, host)) => format!("…@{}", host.escape_debug()),
        None => url.escape_debug().to_string(),
    };
    shown + query
}
