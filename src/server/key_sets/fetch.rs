//! One document from an issuer, over a network that may be hostile: bounded in bytes, by certificate or on this machine, from where
//! it was asked for and nowhere else.

use std::net::{Ipv4Addr, Ipv6Addr};

use reqwest::{Client, StatusCode, Url, redirect};
use serde::Deserialize;
use tokio::time::timeout;

use super::{FETCH_MAX, LoadError};
use crate::{
    auth::{KeySetError, key_set::KEY_SET_BYTES_MAX},
    telemetry::with_causes,
};

/// What is read of a discovery document (OpenID Connect Discovery 1.0 §3).
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// The key set at `url`.
pub(super) async fn key_set(url: &str) -> Result<Vec<u8>, LoadError> {
    get(parsed(url)?).await
}

/// The key set that the discovery document of `issuer` names.
pub(super) async fn discovered(issuer: &str) -> Result<Vec<u8>, LoadError> {
    // §4.1: a slash at the end is not doubled.
    let document = format!("{}/.well-known/openid-configuration", issuer.strip_suffix('/').unwrap_or(issuer));
    let json = get(parsed(&document)?).await.map_err(|error| LoadError::Discovery(Box::new(error)))?;
    let Ok(found) = serde_json::from_slice::<Discovery>(&json) else { return Err(LoadError::NotADiscovery) };
    // §4.3: exactly. Otherwise whoever answers here could speak for anybody.
    if found.issuer != issuer {
        return Err(LoadError::OtherIssuer);
    }
    get(parsed(&found.jwks_uri)?).await
}

fn parsed(url: &str) -> Result<Url, LoadError> {
    let url = Url::parse(url).map_err(|_| LoadError::InvalidUrl)?;
    if is_secure(&url) { Ok(url) } else { Err(LoadError::InsecureUrl) }
}

async fn get(url: Url) -> Result<Vec<u8>, LoadError> {
    timeout(FETCH_MAX, get_slowly(url)).await.map_err(|_| LoadError::Slow)?
}

async fn get_slowly(url: Url) -> Result<Vec<u8>, LoadError> {
    let client = client(&url).map_err(fetch_error)?;
    let request = client.get(url).header(reqwest::header::ACCEPT, "application/jwk-set+json, application/json");
    let mut response = request.send().await.map_err(fetch_error)?;
    if response.status() != StatusCode::OK {
        return Err(LoadError::Status(response.status()));
    }
    let mut json = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(fetch_error)? {
        if json.len() + chunk.len() > KEY_SET_BYTES_MAX {
            return Err(KeySetError::TooLarge.into());
        }
        json.extend_from_slice(&chunk);
    }
    Ok(json)
}

/// Without TLS anybody on the way can sign: only the machine itself is trusted that far.
pub(super) fn is_secure(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    let loopback = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    url.scheme() == "https" || (url.scheme() == "http" && loopback)
}

/// A client for one fetch: minutes lie between them, and certificate authorities change without a restart.
fn client(url: &Url) -> reqwest::Result<Client> {
    // Without a provider reqwest panics, and not every command has come past the server's start.
    crate::server::install_crypto();
    let builder = Client::builder().redirect(redirect::Policy::none()).user_agent("tollgate");
    if url.scheme() == "https" {
        return builder.build();
    }
    // Plaintext stays on this machine: not through a proxy that the environment names, nor to wherever DNS has `localhost`.
    let loopback = [(Ipv4Addr::LOCALHOST, 0).into(), (Ipv6Addr::LOCALHOST, 0).into()];
    builder.no_proxy().resolve_to_addrs("localhost", &loopback).build()
}

fn fetch_error(error: reqwest::Error) -> LoadError {
    LoadError::Fetch(with_causes(&error.without_url()))
}
