//! Identity providers' tokens as they look, under the settings that conf/tollgate.toml recommends for them.

use super::*;
use crate::config::Config;

/// The reference's sections for providers, in force.
fn configured() -> BTreeMap<String, Issuer> {
    let reference = include_str!("../../../conf/tollgate.toml");
    let from = reference.find("#[issuers.cognito]").unwrap();
    let to = from + reference[from..].find("\n\n\n").unwrap();
    let settings = reference[from..to].lines().filter_map(|line| line.strip_prefix('#'));
    let settings: Vec<_> = settings.filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[')).collect();
    let text = format!("listeners = []\n[upstream]\nregion = \"us-east-1\"\n{}", settings.join("\n"));
    toml::from_str::<Config>(&text).unwrap().issuers
}

fn verdict(provider: &str, claims: Value) -> String {
    let fixture = fixture_of(configured()[provider].clone());
    fixture.verdict(&keys().sign_rs256(&claims))
}

/// `claims` pass as `expected`; each change makes them fail for its reason.
#[track_caller]
fn assert_shape(provider: &str, claims: Value, expected: &str, changes: &[(Value, &str)]) {
    assert_eq!(verdict(provider, claims.clone()), expected);
    for (change, reason) in changes {
        assert_eq!(verdict(provider, with(claims.clone(), change.clone())), *reason, "{change}");
    }
}

#[test]
fn cognito() {
    let access = json!({
        "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "cognito:groups": ["everybody", "team-search"],
        "iss": "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_EXAMPLE", "version": 2,
        "client_id": "7lhlkkfbfb4q5kpp90urffao", "origin_jti": "j", "event_id": "e", "token_use": "access",
        "scope": "openid bedrock/invoke", "auth_time": NOW - 10, "exp": NOW + 3600, "iat": NOW - 10, "jti": "j", "username": "alice",
    });
    assert_shape(
        "cognito",
        access,
        "acme/aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        &[
            (json!({ "token_use": "id" }), "claim_refused"),
            (json!({ "token_use": null }), "claim_missing"),
            (json!({ "client_id": "another" }), "audience"),
            (json!({ "client_id": null, "aud": "7lhlkkfbfb4q5kpp90urffao" }), "claim_missing"),
            (json!({ "scope": "openid bedrock/invoke2" }), "scope_missing"),
            (json!({ "scope": null }), "scope_missing"),
            (json!({ "cognito:groups": ["everybody"] }), "tenant_none"),
            (json!({ "cognito:groups": ["search"] }), "tenant_none"),
            (json!({ "cognito:groups": ["team-search", "team-ads"] }), "tenant_many"),
            (json!({ "cognito:groups": null }), "claim_missing"),
            (json!({ "cognito:groups": [["team-search"]] }), "claim_invalid"),
        ],
    );
}

#[test]
fn entra_id() {
    let access = json!({
        "aud": "66666666-7777-8888-9999-000000000000", "azp": "c", "azpacr": "1", "ver": "2.0", "idtyp": "app", "rh": "0.A", "uti": "u",
        "iss": "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0",
        "iat": NOW - 300, "nbf": NOW - 300, "exp": NOW + 3600, "oid": "o", "sub": "o", "tid": "11111111-2222-3333-4444-555555555555",
        "roles": ["bedrock.search", "Reports.Read"],
    });
    assert_shape(
        "entra",
        access,
        "search/o",
        &[
            (json!({ "roles": ["Reports.Read"] }), "tenant_none"),
            (json!({ "roles": ["bedrock."] }), "claim_invalid"),
            (json!({ "roles": ["bedrock.search", "bedrock.ads"] }), "tenant_many"),
            (json!({ "roles": ["bedrock.search", "bedrock.search"] }), "search/o"),
            (json!({ "iss": "https://login.microsoftonline.com/other/v2.0" }), "issuer_unknown"),
            (json!({ "iss": "https://sts.windows.net/11111111-2222-3333-4444-555555555555/" }), "issuer_unknown"),
        ],
    );
}

#[test]
fn okta() {
    let access = json!({
        "ver": 1, "jti": "AT.x", "iss": "https://example.okta.com/oauth2/default", "aud": "api://bedrock", "iat": NOW, "exp": NOW + 3600,
        "cid": "0oa", "uid": "00u", "scp": ["openid", "bedrock"], "sub": "alice@example.com", "groups": ["Everyone", "bedrock-search"],
    });
    assert_shape(
        "okta",
        access,
        "search/alice@example.com",
        &[
            (json!({ "scp": ["openid"] }), "scope_missing"),
            (json!({ "scp": 1 }), "claim_invalid"),
            (json!({ "groups": "bedrock-ads" }), "ads/alice@example.com"),
            (json!({ "groups": "not-bedrock-ads" }), "tenant_none"),
        ],
    );
}

#[test]
fn auth0() {
    let access = json!({
        "iss": "https://example.eu.auth0.com/", "sub": "auth0|507f1f77bcf86cd799439011",
        "aud": ["https://bedrock.example.com", "https://example.eu.auth0.com/userinfo"], "iat": NOW, "exp": NOW + 86_400,
        "scope": "openid profile", "azp": "c", "https://example.com/tenant": "search",
    });
    assert_shape(
        "auth0",
        access,
        "search/auth0|507f1f77bcf86cd799439011",
        &[
            (json!({ "https://example.com/tenant": ["search"] }), "claim_invalid"),
            (json!({ "iss": "https://example.eu.auth0.com" }), "issuer_unknown"),
            (json!({ "aud": "https://example.eu.auth0.com/userinfo" }), "audience"),
        ],
    );
}

#[test]
fn keycloak() {
    let access = json!({
        "exp": NOW + 300, "iat": NOW, "jti": "onrtac:x", "iss": "https://id.example.com/realms/corp", "aud": ["bedrock", "account"],
        "sub": "f:1:alice", "typ": "Bearer", "azp": "cli", "sid": "s", "acr": "1", "realm_access": { "roles": ["offline", "bedrock-search"] },
        "resource_access": { "account": { "roles": ["bedrock-ads"] } }, "scope": "profile email",
    });
    assert_shape(
        "keycloak",
        access,
        "search/f:1:alice",
        &[
            (json!({ "typ": "Refresh" }), "claim_refused"),
            (json!({ "realm_access": {} }), "claim_missing"),
            (json!({ "realm_access": null, "/realm_access/roles": "bedrock-search" }), "claim_missing"),
            (json!({ "realm_access": ["bedrock-search"] }), "claim_missing"),
            (json!({ "realm_access": { "roles": { "0": "bedrock-search" } } }), "claim_invalid"),
        ],
    );
}

#[test]
fn eks_service_accounts() {
    let projected = json!({
        "aud": ["bedrock-gateway"], "exp": NOW + 86_400, "iat": NOW, "nbf": NOW, "jti": "j",
        "iss": "https://oidc.eks.us-east-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE",
        "kubernetes.io": {
            "namespace": "search", "node": { "name": "n", "uid": "u" }, "pod": { "name": "p", "uid": "u" },
            "serviceaccount": { "name": "indexer", "uid": "u" },
        },
        "sub": "system:serviceaccount:search:indexer",
    });
    assert_shape(
        "eks",
        projected,
        "search/system:serviceaccount:search:indexer",
        &[
            (json!({ "aud": ["sts.amazonaws.com"] }), "audience"),
            (json!({ "kubernetes.io": { "namespace": { "name": "search" } } }), "claim_invalid"),
        ],
    );
}

#[test]
fn a_pinned_issuer_speaks_for_its_tenant_only() {
    let claims = json!({ "iss": "https://partner.example", "aud": "bedrock-gateway", "sub": "bob", "iat": NOW, "exp": NOW + 60 });
    let others: [(Value, &str); 2] = [(json!({ "tenant": "globex" }), "acme/bob"), (json!({ "tenant": 7 }), "acme/bob")];
    assert_shape("partner", claims, "acme/bob", &others);
}

#[test]
fn every_rule_is_part_of_what_a_verdict_is_kept_under() {
    let token = good_token();
    let issuers = |issuer: Issuer| BTreeMap::from([("corp".to_owned(), issuer)]);
    let fixture = fixture();
    assert_eq!(fixture.verdict(&token), "acme/alice");
    // The last line of the table was taken away: that is not a way in for everybody.
    let emptied: Issuer = toml::from_str("issuer = \"i\"\naudiences = [\"a\"]\n[tenants]\n").unwrap();
    for (changed, expected) in [
        (Issuer { audience_claim: "azp".into(), ..issuer() }, "claim_missing"),
        (Issuer { required_claims: [("sub".to_owned(), vec!["bob".to_owned()])].into(), ..issuer() }, "claim_refused"),
        (Issuer { required_scopes: vec!["x".into()], ..issuer() }, "scope_missing"),
        (Issuer { tenants: Some([("x".to_owned(), "y".to_owned())].into()), ..issuer() }, "tenant_none"),
        (Issuer { tenants: Some([("acme".to_owned(), "other".to_owned())].into()), ..issuer() }, "other/alice"),
        (Issuer { tenants: emptied.tenants, ..issuer() }, "tenant_none"),
        (Issuer { tenant_prefix: Some("ac".into()), ..issuer() }, "me/alice"),
        (Issuer { tenant: Some("globex".into()), ..issuer() }, "globex/alice"),
    ] {
        let authenticator = Authenticator::new(&issuers(changed), Arc::clone(&fixture.key_sets), Arc::clone(&fixture.cache));
        let reloaded = Fixture { key_sets: Arc::clone(&fixture.key_sets), cache: Arc::clone(&fixture.cache), authenticator };
        assert_eq!(reloaded.verdict(&token), expected);
    }
}

#[test]
fn keys_that_nobody_confirms_lapse_and_take_cached_verdicts_along() {
    let discovered = Issuer { key_set: KeySetSource::Discovery(true), key_set_outage_seconds_max: 600, ..issuer() };
    let origin = discovered.key_origin();
    let key_sets = Arc::new(KeySets::new());
    key_sets.store_from("corp", &origin, keys().set(), None, at(NOW));
    let issuers = BTreeMap::from([("corp".to_owned(), discovered)]);
    let cache = Arc::new(TokenCache::default());
    let authenticator = Authenticator::new(&issuers, Arc::clone(&key_sets), Arc::clone(&cache));
    let fixture = Fixture { key_sets: Arc::clone(&key_sets), cache, authenticator };
    let token = good_token();
    assert_eq!(fixture.verdict_at(&token, at(NOW + 400)), "acme/alice");
    assert_eq!(fixture.verdict_at(&token, at(NOW + 600)), "acme/alice");
    assert_eq!(fixture.verdict_at(&token, at(NOW + 601)), "keys_unavailable"); // the verdict of 400 is 201 seconds old
    assert_eq!(key_sets.conditions(at(NOW + 601))[0].age, Duration::from_secs(601));
    assert!(!key_sets.store_from("corp", &origin, keys().set(), None, at(NOW + 601))); // confirmed: the same keys
    assert_eq!(fixture.verdict_at(&token, at(NOW + 602)), "acme/alice");
    assert_eq!(fixture.verdict_at(&token, at(NOW - 5)), "acme/alice"); // a clock that was set back
}
