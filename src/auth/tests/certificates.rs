//! Certificates as principals: which name stands for whom, and what it means for tokens that come over the same connection.

use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use rcgen::{CertificateParams, DnType, KeyPair, SanType};

use super::*;
use crate::{
    auth::{CertificateRules, ClientCertificate, IdentityError, Voucher},
    aws::Received,
    config::{ClientPrincipal, ClientToken},
};

/// Made once: keys take their time.
fn certificate(common_name: &str, names: &[SanType]) -> ClientCertificate {
    static KEY: OnceLock<KeyPair> = OnceLock::new();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.subject_alt_names = names.to_vec();
    params.not_after = rcgen::date_time_ymd(2027, 1, 1);
    let key = KEY.get_or_init(|| KeyPair::generate().unwrap());
    ClientCertificate::read(params.self_signed(key).unwrap().der())
}

fn uri(uri: &str) -> SanType {
    SanType::URI(uri.try_into().unwrap())
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn rules(toml: &str, token: ClientToken) -> CertificateRules {
    #[derive(serde::Deserialize)]
    struct Rules {
        rules: Vec<ClientPrincipal>,
    }
    CertificateRules::new(&toml::from_str::<Rules>(toml).unwrap().rules, token)
}

/// `tenant/subject`, or the reason of the refusal.
fn verdict(toml: &str, certificate: &ClientCertificate) -> String {
    shown(rules(toml, ClientToken::MustAgree).voucher(certificate).principal(at(NOW)))
}

fn shown(principal: Result<Arc<crate::auth::Principal>, IdentityError>) -> String {
    match principal {
        Ok(principal) => format!("{}/{}", principal.tenant, principal.subject),
        Err(error) => error.reason().to_owned(),
    }
}

#[test]
fn the_first_rule_that_a_name_fits_decides() {
    let spiffe = certificate("build", &[uri("spiffe://corp/ns/search/sa/web"), dns("Batch.corp.example"), dns("other.example")]);
    let prefix = r#"{ name = "uri", tenant_prefix = "spiffe://corp/ns/" }"#;
    let table = r#"{ name = "dns", tenants = { "batch.corp.example" = "batch" } }"#;
    let pinned = r#"{ name = "common-name", tenant = "globex" }"#;
    let itself = r#"{ name = "common-name" }"#;
    let nobody = r#"{ name = "common-name", tenants = {} }"#;
    let elsewhere = r#"{ name = "uri", tenant_prefix = "spiffe://elsewhere/ns/" }"#;
    for (list, expected) in [
        (vec![prefix], "search/spiffe://corp/ns/search/sa/web"),
        (vec![table], "batch/batch.corp.example"),
        (vec![pinned], "globex/build"),
        (vec![itself], "build/build"),
        (vec![table, prefix], "batch/batch.corp.example"),
        (vec![elsewhere, pinned, prefix], "globex/build"),
        (vec![elsewhere], "certificate_tenant_none"),
        (vec![nobody], "certificate_tenant_none"),
        (vec![nobody, pinned], "globex/build"),
        (vec![r#"{ name = "email" }"#], "certificate_tenant_none"),
        (vec![r#"{ name = "email", tenant = "acme" }"#], "certificate_tenant_none"),
        (vec![r#"{ name = "uri" }"#], "certificate_tenant_none"), // no tenant has slashes in its name
    ] {
        assert_eq!(verdict(&format!("rules = [{}]", list.join(", ")), &spiffe), expected, "{list:?}");
    }
}

#[test]
fn a_certificate_for_two_tenants_is_refused() {
    let both = certificate("x", &[dns("a.example"), dns("b.example")]);
    let table = |b: &str| format!(r#"rules = [{{ name = "dns", tenants = {{ "a.example" = "acme", "b.example" = "{b}" }} }}]"#);
    assert_eq!(verdict(&table("globex"), &both), "certificate_tenant_many");
    assert_eq!(verdict(&table("acme"), &both), "acme/a.example");
    assert_eq!(verdict(r#"rules = [{ name = "dns" }]"#, &both), "certificate_tenant_many");
}

#[test]
fn what_is_nearly_a_name_is_none() {
    let rule = r#"rules = [{ name = "uri", tenant_prefix = "spiffe://corp/ns/" }, { name = "dns", tenants = { "a.example" = "acme" } }]"#;
    for name in [
        uri("spiffe://corp/ns/"),
        uri("spiffe://corp/ns//acme"),
        uri("spiffe://corp/ns/%61cme"),
        uri("spiffe://corp/ns/acme?x"),
        uri("SPIFFE://corp/ns/acme"),
        uri("spiffe://corp.evil/ns/acme"),
        dns("b.a.example"),
        dns("a.example.evil"),
        dns("*.example"),
    ] {
        assert_eq!(verdict(rule, &certificate("acme", std::slice::from_ref(&name))), "certificate_tenant_none", "{name:?}");
    }
    let spaced = certificate(" acme", &[]);
    assert_eq!(verdict(r#"rules = [{ name = "common-name", tenant = "globex" }]"#, &spaced), "certificate_tenant_none");
}

#[test]
fn a_certificate_stands_for_nobody_once_it_has_expired() {
    let voucher = rules(r#"rules = [{ name = "common-name" }]"#, ClientToken::MustAgree).voucher(&certificate("acme", &[]));
    let end = UNIX_EPOCH + Duration::from_secs(1_798_761_600); // 2027-01-01
    assert_eq!(shown(voucher.principal(end)), "acme/acme");
    assert_eq!(shown(voucher.principal(end + Duration::from_secs(1))), "certificate_distrusted");
}

/// Who a request with these headers is from, over a connection with a certificate of `acme`.
fn caller(headers: &[(&'static str, &str)], voucher: &Voucher, now: SystemTime) -> String {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_str(value).unwrap());
    }
    let received = Received { method: "GET", path: "/foundation-models", query: "", headers: &map, authority: None };
    let claim = fixture().authenticator.identify(&received, Some(voucher), now);
    shown(claim.and_then(|claim| claim.prove(None, now)).map(|identity| identity.principal))
}

#[test]
fn tokens_beside_a_certificate_agree_with_it_or_are_refused() {
    let of = |tenant: &str| format!("Bearer {}", sign(&header(), &with(claims(), json!({ "tenant": tenant }))));
    let rule = r#"rules = [{ name = "common-name" }]"#;
    let placeholder = "AWS4-HMAC-SHA256 Credential=AKID/20261122/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=0";
    let agree = rules(rule, ClientToken::MustAgree).voucher(&certificate("acme", &[]));
    let decides = rules(rule, ClientToken::Decides).voucher(&certificate("acme", &[]));
    let nobody = rules(rule, ClientToken::MustAgree).voucher(&certificate("no tenant", &[]));
    let authorization = |value: &str| caller(&[("authorization", value)], &agree, at(NOW));

    assert_eq!(caller(&[], &agree, at(NOW)), "acme/acme");
    assert_eq!(authorization(placeholder), "acme/acme");
    assert_eq!(authorization(&of("acme")), "acme/alice");
    assert_eq!(authorization(&of("globex")), "certificate_tenant_other");
    // Something that should be a credential is not as good as none.
    assert_eq!(authorization("Basic YTpi"), "scheme_unsupported");
    assert_eq!(authorization("Bearer x"), "token_malformed");
    assert_eq!(authorization(&format!("{}x", of("acme"))), "token_malformed");
    let session = [("authorization", placeholder), ("x-amz-security-token", &of("globex")["Bearer ".len()..])];
    assert_eq!(caller(&session, &agree, at(NOW)), "certificate_tenant_other");

    assert_eq!(caller(&[("authorization", &of("globex"))], &decides, at(NOW)), "globex/alice");
    assert_eq!(caller(&[], &decides, at(NOW)), "acme/acme");
    assert_eq!(caller(&[("authorization", &of("acme"))], &nobody, at(NOW)), "certificate_tenant_none");
    assert_eq!(caller(&[], &nobody, at(NOW)), "certificate_tenant_none");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// By a prefix, the tenant is what stands in that one segment, whatever follows, and nothing else is a tenant.
    #[test]
    fn a_prefix_gives_one_segment(segment in "[a-z0-9._%-]{0,12}", rest in "(/[a-z/.]{0,12})?") {
        let name = format!("spiffe://corp/ns/{segment}{rest}");
        let found = verdict(r#"rules = [{ name = "uri", tenant_prefix = "spiffe://corp/ns/" }]"#, &certificate("x", &[uri(&name)]));
        let is_tenant = !segment.is_empty() && !segment.contains('%');
        prop_assert_eq!(found, if is_tenant { format!("{segment}/{name}") } else { "certificate_tenant_none".to_owned() });
    }
}
