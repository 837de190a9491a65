//! What the gateway gives out itself, without a gateway around it: sessions, keys, and whose signature is whose.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::{AUDIENCE, ISSUER, NOW, at, keys};
use crate::{
    auth::{
        Authenticator, ClaimTag, Issued, KeyRing, KeySet, KeySets, Principal, Proof, SessionCredentials, TokenCache,
        access_key_id, api_key,
        key_ring::{NewKeyFor, new_access_key, new_api_key},
        sealing::tests::sealing_keys,
        session,
    },
    aws::{Received, Signer, Signing, sigv4::EMPTY_SHA256},
    config::{Issuer, KeysFile},
};

fn principal(proof: Proof, expires: u64) -> Principal {
    Principal {
        issuer: "corp".into(),
        subject: "\"Alice\" \\ \u{e9}".into(),
        groups: Vec::new(),
        other_groups: Vec::new(),
        tenant: "acme".into(),
        expires_at: at(expires),
        proof,
        tags: vec![tag("team", Some("a b")), tag("odd", None)],
    }
}

fn tag(key: &str, value: Option<&str>) -> ClaimTag {
    ClaimTag { key: key.into(), claim: "department".into(), value: value.map(Into::into) }
}

/// An authenticator with one issuer, and what it issued under this key with these entries of a keys file.
fn authenticator(issuer: &str, entries: &str) -> Authenticator {
    authenticator_with(issuer, configured(), entries)
}

fn configured() -> Issuer {
    Issuer {
        issuer: ISSUER.to_owned(),
        audiences: vec![AUDIENCE.to_owned()],
        leeway_seconds: 0,
        ..toml::from_str("issuer = ''\naudiences = []").unwrap()
    }
}

fn authenticator_with(issuer: &str, configured: Issuer, entries: &str) -> Authenticator {
    tagging(issuer, configured, entries, &BTreeMap::new())
}

/// The same, with these claims as session tags.
fn tagging(issuer: &str, configured: Issuer, entries: &str, claim_tags: &BTreeMap<String, String>) -> Authenticator {
    let key_sets = Arc::new(KeySets::new());
    key_sets.store(issuer, KeySet::parse(keys().ec.key_set_json().as_bytes()).unwrap().0);
    let issuers = [(issuer.to_owned(), configured)].into();
    let ring = KeyRing::new(&toml::from_str::<KeysFile>(entries).unwrap(), Some(&sealing_keys(&[("k", 1)]))).unwrap();
    let issued = Issued::new(Some(sealing_keys(&[("k", 1)])), Duration::from_secs(3_600), ring, vec!["us-east-1".to_owned()]);
    let authenticator = Authenticator::new(&issuers, key_sets, Arc::new(TokenCache::default()));
    authenticator.with_claim_tags(claim_tags).with_issued(issued)
}

/// Who a GET, signed with these keys at `now`, is from; or the reason why nobody.
fn caller(
    authenticator: &Authenticator,
    id: &str,
    secret: &SecretString,
    token: Option<&str>,
    now: u64,
) -> Result<Principal, String> {
    let credentials = aws_credential_types::Credentials::new(id, secret.expose_secret(), token.map(str::to_owned), None, "test");
    let signing = Signing {
        method: "GET",
        path: "/foundation-models",
        query: "",
        headers: &[("host", "gw")],
        body_sha256: EMPTY_SHA256,
        region: "us-east-1",
        service: "bedrock",
    };
    let signed = Signer::new(credentials).sign(&signing, at(now)).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static("gw"));
    headers.insert("authorization", signed.authorization);
    headers.insert(HeaderName::from_static("x-amz-date"), signed.date);
    if let Some(token) = signed.security_token {
        headers.insert(HeaderName::from_static("x-amz-security-token"), token);
    }
    let received = Received { method: "GET", path: "/foundation-models", query: "", headers: &headers, authority: None };
    let claim = authenticator.identify(&received, None, at(now)).map_err(|error| error.reason().to_owned())?;
    assert!(claim.needs_body());
    let identity = claim.prove(Some(EMPTY_SHA256), at(now)).map_err(|error| error.reason().to_owned())?;
    Ok(Principal::clone(&identity.principal))
}

fn session_caller(authenticator: &Authenticator, session: &SessionCredentials, now: u64) -> Result<Principal, String> {
    let token = session.session_token.expose_secret();
    caller(authenticator, &session.access_key_id, &session.secret_access_key, Some(token), now)
}

#[test]
fn a_session_is_its_principal_until_it_ends() {
    let gateway = authenticator("corp", "");
    let vended = gateway.issued().vend(&principal(Proof::Token, NOW + 7_200), None, at(NOW)).unwrap();
    assert_eq!(vended.expires_at, at(NOW + 3_600));
    assert_eq!((vended.access_key_id.len(), vended.secret_access_key.expose_secret().len()), (20, 40));
    let found = session_caller(&gateway, &vended, NOW).unwrap();
    let expected = principal(Proof::Session(vended.access_key_id.as_str().into()), NOW + 3_600);
    assert_eq!(found, expected);
    // From the cache as from the token; and on the next day, with another signing key.
    assert_eq!(session_caller(&gateway, &vended, NOW + 3_599).unwrap(), expected);
    assert_eq!(session_caller(&gateway, &vended, NOW + 3_600).unwrap_err(), "key_expired");
    assert_eq!(session_caller(&authenticator("corp", ""), &vended, NOW + 3_600).unwrap_err(), "key_expired");
    assert_eq!(session_caller(&authenticator("other", ""), &vended, NOW).unwrap_err(), "access_key_unknown");
}

#[test]
fn a_session_is_good_by_the_rules_it_was_vended_under() {
    let vended = authenticator("corp", "").issued().vend(&principal(Proof::Token, NOW + 60), None, at(NOW)).unwrap();
    let asked = |issuer: Issuer| session_caller(&authenticator_with("corp", issuer, ""), &vended, NOW);
    assert!(asked(Issuer { leeway_seconds: 60, key_set_refresh_seconds: 9, ..configured() }).is_ok());
    for other in [
        Issuer { issuer: "https://other.example".to_owned(), ..configured() },
        Issuer { audiences: vec!["other".to_owned()], ..configured() },
        Issuer { required_scopes: vec!["invoke".to_owned()], ..configured() },
        Issuer { tenant: Some("globex".to_owned()), ..configured() },
    ] {
        assert_eq!(asked(other).unwrap_err(), "access_key_unknown");
    }
}

#[test]
fn a_session_is_good_while_its_tags_are_of_the_same_claims() {
    let vended = authenticator("corp", "").issued().vend(&principal(Proof::Token, NOW + 60), None, at(NOW)).unwrap();
    let asked = |claims: &[(&str, &str)]| {
        let claims = claims.iter().map(|(key, claim)| ((*key).to_owned(), (*claim).to_owned())).collect();
        session_caller(&tagging("corp", configured(), "", &claims), &vended, NOW).map(|found| found.tags)
    };
    let tags = vec![tag("team", Some("a b")), tag("odd", None)];
    for same in [&[][..], &[("team", "department")], &[("team", "department"), ("odd", "department"), ("new", "nickname")]] {
        assert_eq!(asked(same).unwrap(), tags);
    }
    for other in [("team", "nickname"), ("odd", "/department")] {
        assert_eq!(asked(&[other]).unwrap_err(), "access_key_unknown");
    }
}

#[test]
fn a_session_that_says_no_rules_is_good_while_there_is_its_issuer() {
    let (keys, life) = (sealing_keys(&[("k", 1)]), Duration::from_secs(60));
    let vended = session::vend(&keys, &principal(Proof::Token, NOW + 60), None, None, life, at(NOW)).unwrap();
    assert!(session_caller(&authenticator("corp", ""), &vended, NOW).is_ok());
    assert_eq!(session_caller(&authenticator("other", ""), &vended, NOW).unwrap_err(), "access_key_unknown");
}

#[test]
fn a_session_is_no_longer_than_its_token_and_than_asked_for() {
    let issued = |wanted, expires| {
        let gateway = authenticator("corp", "");
        gateway.issued().vend(&principal(Proof::Token, expires), wanted, at(NOW)).unwrap().expires_at
    };
    assert_eq!(issued(None, NOW + 60), at(NOW + 60));
    assert_eq!(issued(Some(Duration::from_secs(900)), NOW + 7_200), at(NOW + 900));
    assert_eq!(issued(Some(Duration::from_secs(7_200)), NOW + 7_200), at(NOW + 3_600));
    assert!(Issued::default().vend(&principal(Proof::Token, NOW + 60), None, at(NOW)).is_err());
}

#[test]
fn no_two_sessions_share_anything_that_is_secret() {
    let keys = sealing_keys(&[("k", 1)]);
    let vend = || session::vend(&keys, &principal(Proof::Token, NOW + 60), None, None, Duration::from_secs(60), at(NOW)).unwrap();
    let (one, two) = (vend(), vend());
    assert_ne!(one.access_key_id, two.access_key_id);
    assert_ne!(one.secret_access_key.expose_secret(), two.secret_access_key.expose_secret());
    let (id, token) = (&one.access_key_id, one.session_token.expose_secret());
    assert!(session::open(&keys, id, token).is_some());
    assert!(session::open(&keys, &two.access_key_id, token).is_none());
    assert!(session::open(&sealing_keys(&[("k", 2)]), id, token).is_none());
    for readable in ["acme", "Alice", "corp"] {
        assert!(!token.contains(readable));
    }
}

#[test]
fn what_was_vended_for_an_api_key_ends_with_it() {
    let holder = NewKeyFor { tenant: "acme", principal: None, groups: &[], expires: None };
    let key = new_api_key(&holder).unwrap();
    let gateway = authenticator("corp", &key.entry);
    let principal = gateway.authenticate_token(key.secret.expose_secret(), at(NOW)).unwrap();
    assert_eq!(principal.proof, Proof::ApiKey(key.id.as_str().into()));
    let vended = gateway.issued().vend(&principal, None, at(NOW)).unwrap();
    assert!(session_caller(&gateway, &vended, NOW).is_ok());
    let disabled = key.entry.clone() + "disabled = true\n";
    assert_eq!(session_caller(&authenticator("corp", &disabled), &vended, NOW).unwrap_err(), "access_key_unknown");
    assert_eq!(session_caller(&authenticator("corp", ""), &vended, NOW).unwrap_err(), "access_key_unknown");
    // It is the key that counts, not what it is called: rotation may keep the name.
    let renamed = key.entry.replace(&key.id, "ci-acme");
    assert!(session_caller(&authenticator("corp", &renamed), &vended, NOW).is_ok());
    let next = new_api_key(&holder).unwrap();
    let rotated = next.entry.replace(&next.id, &key.id);
    assert_eq!(session_caller(&authenticator("corp", &rotated), &vended, NOW).unwrap_err(), "access_key_unknown");
}

#[test]
fn keys_of_the_file_expire() {
    let expires = Some("2026-11-22T00:01:00Z".parse().unwrap());
    let holder = NewKeyFor { tenant: "acme", principal: Some("batch"), groups: &[], expires };
    let access = new_access_key(&holder, &sealing_keys(&[("k", 1)])).unwrap();
    let api = new_api_key(&holder).unwrap();
    let gateway = authenticator("corp", &format!("{}\n{}", access.entry, api.entry));
    let found = caller(&gateway, &access.id, &access.secret, None, NOW).unwrap();
    assert_eq!((&*found.subject, found.proof.kind(), found.expires_at), ("batch", "access_key", at(NOW + 60)));
    assert_eq!(caller(&gateway, &access.id, &access.secret, None, NOW + 60).unwrap_err(), "key_expired");
    assert_eq!(caller(&gateway, &access.id, &api.secret, None, NOW).unwrap_err(), "signature_mismatch");
    assert!(gateway.authenticate_token(api.secret.expose_secret(), at(NOW)).is_ok());
    assert!(gateway.authenticate_token(api.secret.expose_secret(), at(NOW + 60)).unwrap_err().is_expired());
}

#[test]
fn a_keys_file_is_taken_whole_or_not_at_all() {
    let holder = NewKeyFor { tenant: "acme", principal: None, groups: &[], expires: None };
    let access = new_access_key(&holder, &sealing_keys(&[("k", 1)])).unwrap().entry;
    let api = new_api_key(&holder).unwrap().entry;
    let ring = |text: &str, byte| KeyRing::new(&toml::from_str::<KeysFile>(text).unwrap(), Some(&sealing_keys(&[("k", byte)])));
    assert!(ring(&access, 1).is_ok() && ring(&api, 1).is_ok());
    assert!(ring(&access, 2).is_err());
    assert!(KeyRing::new(&toml::from_str::<KeysFile>(&access).unwrap(), None).is_err());
    for text in [access.replace("\"TGAK", "\"AKIA"), api.replace("acme", "*"), api.replace("sha256 = \"", "sha256 = \"x")] {
        assert!(ring(&text, 1).is_err(), "{text}");
    }
    // One key is one line: whichever is disabled, the key is not good by the other.
    let again = api.replacen("id = \"", "id = \"other-", 1);
    let upper = again.to_uppercase().lines().last().map(|line| line.replace("SHA256", "sha256"));
    let upper = again.lines().filter(|line| !line.starts_with("sha256")).map(|line| format!("{line}\n")).collect::<String>()
        + &upper.unwrap();
    for second in [again.clone(), upper, again.replace("sha256", "disabled = true\nsha256")] {
        for first in [api.clone(), api.replace("sha256", "disabled = true\nsha256")] {
            let error = ring(&format!("{first}{second}"), 1).err().unwrap().to_string();
            assert!(error.contains("`other-tg-") && error.ends_with("has the `sha256` of another key"), "{error}");
        }
    }
    // All of them are told, so that one look mends the file.
    let told = |text: &str| ring(text, 2).err().unwrap().to_string();
    let both = told(&format!("{access}{}", api.replace("sha256 = \"", "sha256 = \"x")));
    assert!(both.contains("does not open") && both.contains("64 hexadecimal digits"), "{both}");
    assert!(told(&access.repeat(10)).ends_with("; and 2 more"));
}

#[test]
fn an_api_key_that_was_copied_badly_is_none() {
    let key = api_key::generate().unwrap();
    let text = key.expose_secret();
    assert_eq!((text.len(), text.starts_with("tg_")), (52, true));
    assert!(api_key::sha256(&key).is_some());
    for position in 0..text.len() {
        let mut bytes = text.as_bytes().to_vec();
        bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
        assert!(api_key::sha256(&SecretString::from(String::from_utf8(bytes).unwrap())).is_none(), "{position}");
    }
    for text in [&text[..51], &format!("{text}A"), "", "tg_", &format!("tg_{}", "\u{e9}".repeat(30))] {
        assert!(api_key::sha256(&SecretString::from(text)).is_none());
    }
}

#[test]
fn ids_are_known_by_their_beginning() {
    let (session, permanent) = (access_key_id::session().unwrap(), access_key_id::permanent().unwrap());
    assert!(access_key_id::is_own(&session) && access_key_id::is_own(&permanent) && session != permanent);
    for id in ["", "TG", "AKIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE", "placeholder", "tgsaAAAA"] {
        assert!(!access_key_id::is_own(id), "{id}");
    }
}
