//! `[[listeners.tls.client_principals]]`: rules that no certificate could meet, and rules that name their tenant in two ways.

use std::collections::BTreeMap;

use super::{Check, KeyPath, tenants, words};
use crate::config::{CertificateName, ClientPrincipal, ClientToken, Config, Listener, Tls};

pub(super) fn check(check: &mut Check<'_>, config: &Config, index: usize, listener: &Listener) {
    let Some(tls) = &listener.tls else { return };
    let path = KeyPath::of("listeners").index(index).key("tls");
    if !tls.client_principals.is_empty() && tls.client_ca_file.is_none() {
        check.error(
            path.clone().key("client_principals"),
            "nobody is asked for a certificate, because nothing says which to believe",
            "add `client_ca_file`, the authorities that client certificates must chain to",
        );
    }
    token(check, tls, &path);
    for (position, principal) in tls.client_principals.iter().enumerate() {
        let path = path.clone().key("client_principals").index(position);
        ways(check, principal, &path);
        names(check, config, principal, &path);
    }
}

fn token(check: &mut Check<'_>, tls: &Tls, path: &KeyPath) {
    if tls.client_principals.is_empty() && tls.client_token != ClientToken::default() {
        let help = "remove the line, or say with `client_principals` whom certificates stand for";
        check.error(path.clone().key("client_token"), "no certificate stands for anybody here: tokens decide anyway", help);
    }
}

/// One way to the tenant; which of two was meant would decide who pays.
fn ways(check: &mut Check<'_>, principal: &ClientPrincipal, path: &KeyPath) {
    let written = [
        ("tenants", principal.tenants.is_some()),
        ("tenant_prefix", principal.tenant_prefix.is_some()),
        ("tenant", principal.tenant.is_some()),
    ];
    let mut written = written.into_iter().filter(|(_, written)| *written).map(|(key, _)| key);
    let Some(first) = written.next() else { return };
    for other in written {
        let help = format!(
            "remove one of them, or repeat `[[listeners.tls.client_principals]]`; the first that fits decides: `{first}`?"
        );
        check.key_error(path.clone().key(other), format!("`{first}` says already which tenant it is"), help);
    }
}

fn names(check: &mut Check<'_>, config: &Config, principal: &ClientPrincipal, path: &KeyPath) {
    if let Some(tenant) = &principal.tenant {
        let path = path.clone().key("tenant");
        if words::is_tenant(tenant) {
            tenants::known(check, config, tenant, path);
        } else {
            check.error(path, format!("`{}` can be no tenant", tenant.escape_debug()), words::TENANT);
        }
    }
    if principal.tenant_prefix.as_ref().is_some_and(String::is_empty) {
        let help = "remove the line: the name itself names the tenant";
        check.error(path.clone().key("tenant_prefix"), "empty: every name begins with that", help);
    }
    let of_dns = principal.name == CertificateName::Dns;
    let upper = |text: &str| of_dns && text.bytes().any(|b| b.is_ascii_uppercase());
    if principal.tenant_prefix.as_deref().is_some_and(upper) {
        check.error(path.clone().key("tenant_prefix"), "no name begins with that", LOWER);
    }
    if principal.tenants.as_ref().is_some_and(BTreeMap::is_empty) {
        let help = "add `NAME = \"TENANT\"`; or remove `tenants` to let the name itself be the tenant";
        check.warning(path.clone().key("tenants"), "empty: no name stands for a tenant", help);
    }
    for (name, tenant) in principal.tenants.iter().flatten() {
        let path = path.clone().key("tenants").key(name);
        if !words::is_tenant(tenant) {
            check.error(path, format!("`{}` can be no tenant", tenant.escape_debug()), words::TENANT);
        } else if upper(name) {
            check.key_error(path, "no certificate has this name", LOWER);
        } else {
            tenants::known(check, config, tenant, path);
        }
    }
}

const LOWER: &str = "DNS names are compared in lower case: write it so";
