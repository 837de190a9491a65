//! Host names, URLs, regions and tenants' names, as text.

use std::net::IpAddr;

use http::Uri;

/// A DNS name of at least one label (RFC 1123 §2.1), without a final dot.
pub(super) fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// What [`is_tenant`] asks for.
pub(super) const TENANT: &str = "a tenant's name is 1 to 64 of `A-Z a-z 0-9 . _ -`, and more than `.` or `..`";

/// A name that tokens and certificates can give a tenant. Browsers take the dots out of `/usage/..`.
pub(super) fn is_tenant(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && !matches!(name, "." | "..")
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// What metrics call somebody without a tenant, and what has no series of its own.
pub(super) const NOBODY: [&str; 2] = ["none", "other"];

/// The regions there are, of all partitions: botocore's `partitions.json`.
pub(super) const REGIONS: [&str; 46] = [
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-gov-east-1",
    "us-gov-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eusc-de-east-1",
    "us-iso-east-1",
    "us-iso-west-1",
    "us-isob-east-1",
    "us-isob-west-1",
    "eu-isoe-west-1",
    "us-isof-east-1",
    "us-isof-south-1",
];

/// `us-east-1`, `us-gov-west-1`: `[a-z]{2,}(-[a-z]+)+-\d`.
pub(super) fn is_region(text: &str) -> bool {
    let letters = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    match text.split('-').collect::<Vec<_>>().as_slice() {
        [first, middle @ .., number] => {
            first.len() >= 2
                && letters(first)
                && !middle.is_empty()
                && middle.iter().all(letters)
                && number.len() == 1
                && number.bytes().all(|b| b.is_ascii_digit())
        }
        _ => false,
    }
}

/// Why a text will not do as the URL of a server that is trusted because of its certificate; nothing if it will.
/// `path`: a path and a query may follow.
pub(super) fn url_fault(text: &str, path: bool) -> Option<(&'static str, &'static str)> {
    const SHAPE: &str = "write `https://host` or `https://host:port`";
    const SHAPE_WITH_PATH: &str = "write `https://host/path`";
    let shape = if path { SHAPE_WITH_PATH } else { SHAPE };
    let Ok(uri) = text.parse::<Uri>() else { return Some(("is not a URL", shape)) };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Some(("is not a URL", shape)) };
    let host = authority.host();
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    if authority.as_str().contains('@') {
        return Some(("has credentials in it", "the configuration holds no secrets: remove what stands before the `@`"));
    }
    if literal.is_none() && !is_host_name(host) {
        return Some(("has no valid host name", shape));
    }
    match scheme {
        "https" => {}
        "http" if literal.is_some_and(|ip| ip.is_loopback()) || host == "localhost" => {}
        "http" => return Some(("is plaintext off loopback", "use https; http is for 127.0.0.1, [::1] and localhost only")),
        _ => return Some(("is neither https nor http", shape)),
    }
    if text.contains('#') || (!path && text.len() != scheme.len() + "://".len() + authority.as_str().len()) {
        return Some(("has more in it than a host and a port", shape));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_of_every_partition_pass_and_zones_do_not() {
        for region in
            ["us-east-1", "us-gov-west-1", "cn-north-1", "ap-southeast-4", "us-iso-east-1", "eusc-de-east-1", "mx-central-1"]
        {
            assert!(is_region(region), "{region}");
        }
        for text in
            ["", "us-east-1a", "us-1", "US-EAST-1", "us_east_1", "us-east-", "us--east-1", "-east-1", "us-east-12", "global"]
        {
            assert!(!is_region(text), "{text}");
        }
    }

    #[test]
    fn an_endpoint_is_a_scheme_and_a_host_only() {
        for url in [
            "https://vpce-1.bedrock-runtime.us-east-1.vpce.amazonaws.com",
            "https://h:8443",
            "http://127.0.0.1:1",
            "http://[::1]:1",
        ] {
            assert_eq!(url_fault(url, false), None, "{url}");
        }
        for url in [
            "",
            "h",
            "https://",
            "https://h/",
            "https://h/p",
            "https://h?q",
            "https://h#f",
            "http://h",
            "ftp://h",
            "https://u:p@h",
            "https://a_b",
        ] {
            assert!(url_fault(url, false).is_some(), "{url}");
        }
        assert_eq!(url_fault("https://idp.example/.well-known/jwks.json?x=1", true), None);
        assert!(url_fault("https://idp.example/#keys", true).is_some());
    }

    #[test]
    fn host_names_are_labels() {
        assert!(is_host_name("gw.example.com"));
        for text in ["", ".", "a..b", "-a", "a-", "*.a", "a.b.", "a b", "https://a"] {
            assert!(!is_host_name(text), "{text}");
        }
    }
}
