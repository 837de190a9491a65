//! Whom certificates stand for, as it is written.

use std::path::Path;

use super::{GOOD, examined, parse};
use crate::config::{CertificateName, ClientToken};

const TLS: &str = "[listeners.tls]\ncertificate_file = \"c\"\nprivate_key_file = \"k\"\nclient_ca_file = \"a\"\n";

/// A good file whose listener has these lines in its `tls`.
fn with(tls: &str) -> String {
    GOOD.replace("[upstream]", &format!("{tls}\n[upstream]"))
}

fn rule(lines: &str) -> String {
    format!("{TLS}[[listeners.tls.client_principals]]\n{lines}\n")
}

#[test]
fn rules_are_read_in_their_order() {
    let tls = rule("name = \"uri\"\ntenant_prefix = \"spiffe://a/ns/\"")
        + "[[listeners.tls.client_principals]]\nname = \"common-name\"\n";
    let config = parse(&with(&tls), Path::new("t.toml")).unwrap();
    let tls = config.listeners[0].tls.as_ref().unwrap();
    assert_eq!(tls.client_token, ClientToken::MustAgree);
    let names: Vec<_> = tls.client_principals.iter().map(|principal| principal.name).collect();
    assert_eq!(names, [CertificateName::Uri, CertificateName::CommonName]);
}

#[test]
fn a_listener_on_which_certificates_stand_for_callers_may_be_public() {
    let public = |tls: &str| {
        let text = with(tls).replace("127.0.0.1:8080", "0.0.0.0:8443").replace("[issuers.corporate]", "[ignored]");
        let from = text.find("[ignored]").unwrap();
        let to = text.find("[tenants.acme]").unwrap();
        examined(&format!("{}{}", &text[..from], &text[to..])).to_string()
    };
    assert!(public(TLS).contains("nothing says who may call"));
    assert!(!public(&rule("name = \"uri\"")).contains("nothing says who may call"));
}

#[test]
fn what_no_certificate_could_meet_is_reported_where_it_stands() {
    let without_ca = TLS.replace("client_ca_file = \"a\"\n", "");
    let cases = [
        (
            rule("name = \"uri\"").replace("client_ca_file = \"a\"\n", ""),
            "listeners[0].tls.client_principals",
            "add `client_ca_file`",
        ),
        (format!("{TLS}client_token = \"decides\"\n"), "listeners[0].tls.client_token", "tokens decide anyway"),
        (rule("name = \"cn\""), "listeners[0].tls.client_principals[0].name", "`common-name`"),
        (rule("tenant = \"acme\""), "listeners[0].tls.client_principals[0].name", "add `name`"),
        (rule("name = \"uri\"\ntenant = \"a/b\""), "listeners[0].tls.client_principals[0].tenant", "can be no tenant"),
        (rule("name = \"uri\"\ntenant_prefix = \"\""), "listeners[0].tls.client_principals[0].tenant_prefix", "every name"),
        (
            rule("name = \"uri\"\ntenant_prefix = \"a\"\ntenant = \"acme\""),
            "listeners[0].tls.client_principals[0].tenant",
            "`tenant_prefix` says already",
        ),
        (
            rule("name = \"dns\"\ntenants = { \"A.example\" = \"acme\" }"),
            "listeners[0].tls.client_principals[0].tenants.\"A.example\"",
            "in lower case",
        ),
        (rule("name = \"uri\"\ntenants = {}"), "listeners[0].tls.client_principals[0].tenants", "no name stands for a tenant"),
        (rule("name = \"uri\"\ntenant = \"amce\""), "listeners[0].tls.client_principals[0].tenant", "did you mean `acme`?"),
        (
            rule("name = \"uri\"\ntenants = { a = \"nosuch\" }"),
            "listeners[0].tls.client_principals[0].tenants.a",
            "no tenant `nosuch`",
        ),
        (
            rule("name = \"email\"\ntenants = { \"A@example\" = \"*\" }"),
            "listeners[0].tls.client_principals[0].tenants.\"A@example\"",
            "can be no tenant",
        ),
    ];
    assert_eq!(examined(&with(&without_ca)).to_string(), "");
    for (tls, path, words) in cases {
        let problems = examined(&with(&tls));
        let found: Vec<_> = problems.iter().map(|problem| (problem.key_path.as_str(), problem.to_owned())).collect();
        assert_eq!(found.len(), 1, "{problems}");
        assert_eq!(found[0].0, path, "{problems}");
        assert!(problems.to_string().contains(words), "{words}: {problems}");
    }
}
