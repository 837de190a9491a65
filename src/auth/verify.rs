//! From a token to its principal: the issuer by `iss`, its key by `kid`, the algorithm by the key, then every rule. The signature
//! is checked by jsonwebtoken on aws-lc; everything it leaves to its users is here and in the files this one calls.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    api_key,
    cache::{TokenCache, TokenKey, Verdict},
    claims::{Claims, Unverified},
    credential,
    error::IdentityError,
    fingerprint::Fingerprint,
    group_rule::{GroupRule, Groups},
    header::{self, Header},
    install_crypto,
    issued::Issued,
    issuer_print::IssuerPrint,
    key::{self, Key},
    key_set::KeySet,
    key_sets::{IssuerKeys, KeySets},
    principal::{ClaimTag, Principal, Proof},
    sealing::Purpose,
    segments::{self, Segments},
    tenant_rule::TenantRule,
    wanted::Fetched,
};
use crate::{
    aws::assumption::is_tag_value,
    config::{self, Algorithm},
};

/// More forgiveness than this is not a clock that is a little off.
const LEEWAY_MAX: Duration = Duration::from_secs(300);

/// Says who a request's caller is, by the issuers of one configuration.
pub struct Authenticator {
    issuers: Vec<Rules>,
    cache: Arc<TokenCache>,
    /// Groups that are worth knowing of.
    groups: BTreeSet<String>,
    /// Over all rules: a verdict made under others is never found.
    fingerprint: [u8; 32],
    /// Keys of session tags, and the claims that have their values.
    claim_tags: Vec<(Arc<str>, Arc<str>)>,
    /// Credentials that no issuer vouches for anew.
    pub(super) issued: Issued,
}

/// What one issuer's tokens must be.
struct Rules {
    /// The issuer's name in the configuration.
    name: Arc<str>,
    issuer: String,
    audience_claim: String,
    audiences: Vec<String>,
    algorithms: Vec<Algorithm>,
    required_claims: BTreeMap<String, Vec<String>>,
    required_scopes: Vec<String>,
    tenant: TenantRule,
    groups: GroupRule,
    lifetime_max: Duration,
    leeway: Duration,
    keys: IssuerKeys,
    /// What sessions of it are held against.
    print: Arc<IssuerPrint>,
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("issuers", &self.issuers.len()).finish_non_exhaustive()
    }
}

impl Authenticator {
    /// Compiles the issuers as configured. If two of them have the same `iss`, the first by name is believed.
    pub fn new(issuers: &BTreeMap<String, config::Issuer>, key_sets: Arc<KeySets>, cache: Arc<TokenCache>) -> Authenticator {
        install_crypto();
        let issuers: Vec<_> = issuers.iter().map(|(name, issuer)| Rules::new(name, issuer, &key_sets)).collect();
        let (groups, fingerprint) = (BTreeSet::new(), rules_fingerprint(&issuers));
        Authenticator { issuers, cache, groups, fingerprint, claim_tags: Vec::new(), issued: Issued::default() }
    }

    /// The same, knowing of these groups. Callers are in no other.
    pub fn with_groups(self, groups: BTreeSet<String>) -> Authenticator {
        let mut fingerprint = Fingerprint::new();
        fingerprint.add(&self.fingerprint);
        groups.iter().for_each(|group| fingerprint.add(group.as_bytes()));
        Authenticator { fingerprint: fingerprint.finish(), groups, ..self }
    }

    /// The same, noting of each caller the claims that make session tags: the claim by the tag's key.
    pub fn with_claim_tags(self, claims: &BTreeMap<String, String>) -> Authenticator {
        let mut fingerprint = Fingerprint::new();
        fingerprint.add(&self.fingerprint);
        fingerprint.add(format!("{claims:?}").as_bytes());
        let claim_tags = claims.iter().map(|(key, claim)| (key.as_str().into(), claim.as_str().into())).collect();
        Authenticator { fingerprint: fingerprint.finish(), claim_tags, ..self }
    }

    /// The same, believing credentials that the gateway itself gave out, too.
    pub fn with_issued(self, issued: Issued) -> Authenticator {
        let prints = self.issuers.iter().map(|rules| (rules.name.clone(), rules.print.clone())).collect();
        Authenticator { issued: issued.for_issuers(prints, &self.groups, &self.claim_tags), ..self }
    }

    /// What the gateway itself gave out, and gives out.
    pub fn issued(&self) -> &Issued {
        &self.issued
    }

    /// The whole way from headers to principal.
    ///
    /// # Errors
    /// No single token, or [`Authenticator::authenticate_token`]'s.
    pub fn authenticate(&self, headers: &http::HeaderMap, now: SystemTime) -> Result<Arc<Principal>, IdentityError> {
        let credential = credential::extract(headers)?;
        self.authenticate_token(credential.token(), now)
    }

    /// Who `token` speaks for: an API key, or a JWT from the cache or by verifying it.
    ///
    /// # Errors
    /// The first reason to refuse it.
    pub fn authenticate_token(&self, token: &str, now: SystemTime) -> Result<Arc<Principal>, IdentityError> {
        if api_key::claims(token) {
            return self.issued.api_key(token, now);
        }
        if Purpose::Session.claims(token) {
            return Err(IdentityError::NotSigned);
        }
        let key = TokenKey::new(&self.fingerprint, token);
        if let Some(known) = self.cache.find(&key, now, |issuer, generation| self.is_current(issuer, generation, now)) {
            return Ok(known);
        }
        let verdict = self.verify(token, now)?;
        let principal = Arc::clone(&verdict.principal);
        self.cache.keep(key, verdict);
        Ok(principal)
    }

    /// Asks for the keys of an issuer, by its name, because a token named one that nobody has. Something to wait for if they are
    /// being fetched.
    pub fn want_keys(&self, issuer: &str, now: SystemTime) -> Option<Fetched> {
        let rules = self.issuers.iter().find(|rules| &*rules.name == issuer)?;
        rules.keys.want(now)
    }

    fn is_current(&self, issuer: usize, generation: u64, now: SystemTime) -> bool {
        self.issuers.get(issuer).and_then(|rules| rules.keys.generation(now)) == Some(generation)
    }

    fn verify(&self, token: &str, now: SystemTime) -> Result<Verdict, IdentityError> {
        let segments = segments::split(token).ok_or(IdentityError::Malformed)?;
        let header = header::parse(&segments.header)?;
        let unverified = Unverified::parse(&segments.claims)?;
        let named = unverified.issuer()?;
        let issuer = self.issuers.iter().position(|rules| rules.issuer == named).ok_or(IdentityError::UnknownIssuer)?;
        let rules = self.issuers.get(issuer).ok_or(IdentityError::UnknownIssuer)?;

        let loaded = rules.keys.current(now).ok_or(IdentityError::KeysUnavailable)?;
        rules.check_signature(&loaded.set, &header, &segments)?;
        let claims = unverified.check()?;
        rules.check_times(&claims, now)?;
        rules.check_purpose(&unverified)?;
        let tenant = rules.tenant.tenant(&unverified)?;
        let groups = rules.groups.groups(&unverified, &self.groups)?;
        let principal = rules.principal(claims, tenant, groups)?;
        let principal = Principal { tags: self.tags(&unverified), ..principal };
        Ok(Verdict { principal: Arc::new(principal), issuer, generation: loaded.generation, verified_at: now })
    }

    /// Whether the first issuer's keys have signed a token, whatever it says: vectors for signatures say no claims. Nobody is let in by it.
    ///
    /// # Errors
    /// Not a token, no keys, or none of them has signed it as its issuer may.
    pub fn check_signature_alone(&self, token: &str, now: SystemTime) -> Result<(), IdentityError> {
        let segments = segments::split(token).ok_or(IdentityError::Malformed)?;
        let header = header::parse(&segments.header)?;
        let rules = self.issuers.first().ok_or(IdentityError::UnknownIssuer)?;
        let loaded = rules.keys.current(now).ok_or(IdentityError::KeysUnavailable)?;
        rules.check_signature(&loaded.set, &header, &segments)
    }

    /// A claim that is not there makes no tag.
    fn tags(&self, claims: &Unverified) -> Vec<ClaimTag> {
        let tag = |(key, claim): &(Arc<str>, Arc<str>)| {
            let value = match claims.text(claim) {
                Err(IdentityError::ClaimMissing(_)) => return None,
                value => value.ok().filter(|value| is_tag_value(value)).map(Into::into),
            };
            Some(ClaimTag { key: key.clone(), claim: claim.clone(), value })
        };
        self.claim_tags.iter().filter_map(tag).collect()
    }
}

impl Rules {
    fn new(name: &str, issuer: &config::Issuer, key_sets: &KeySets) -> Self {
        Rules {
            name: name.into(),
            issuer: issuer.issuer.clone(),
            audience_claim: issuer.audience_claim.clone(),
            audiences: issuer.audiences.clone(),
            algorithms: issuer.algorithms.clone(),
            required_claims: issuer.required_claims.clone(),
            required_scopes: issuer.required_scopes.clone(),
            tenant: TenantRule::of(issuer),
            groups: GroupRule::of(issuer),
            lifetime_max: Duration::from_secs(issuer.token_lifetime_seconds_max),
            leeway: Duration::from_secs(issuer.leeway_seconds).min(LEEWAY_MAX),
            keys: key_sets.keys_of(name, issuer),
            print: Arc::new(IssuerPrint::new(issuer)),
        }
    }

    fn check_signature(&self, keys: &KeySet, header: &Header, segments: &Segments<'_>) -> Result<(), IdentityError> {
        let (key, algorithm) = match &header.key_id {
            Some(key_id) => {
                let key = keys.named(key_id).ok_or_else(|| IdentityError::UnknownKey(Arc::clone(&self.name)))?;
                (key, self.agreed(key, header).ok_or(IdentityError::WrongAlgorithm)?)
            }
            None => {
                // At most one key of each type has no name, so at most one agrees.
                let unnamed = keys.unnamed().iter();
                let mut agreed = unnamed.filter_map(|key| self.agreed(key, header).map(|algorithm| (key, algorithm)));
                agreed.next().ok_or_else(|| IdentityError::UnknownKey(Arc::clone(&self.name)))?
            }
        };
        if key.verifies(algorithm, segments.signed.as_bytes(), segments.signature) {
            Ok(())
        } else {
            Err(IdentityError::BadSignature)
        }
    }

    /// The algorithm that `key` is pinned to, if the header says the same.
    fn agreed(&self, key: &Key, header: &Header) -> Option<Algorithm> {
        key.pinned(&self.algorithms).filter(|algorithm| key::is_named(*algorithm, &header.algorithm))
    }

    /// All times, which jsonwebtoken would compare with the system's clock, against `now`. Nothing here can overflow: dates end in 9999.
    fn check_times(&self, claims: &Claims, now: SystemTime) -> Result<(), IdentityError> {
        // A clock before 1970 is one that was never set; tokens are then not valid yet.
        let now = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let latest = now.saturating_add(self.leeway);
        if claims.issued.is_some_and(|issued| issued > latest) {
            return Err(IdentityError::IssuedInFuture);
        }
        if claims.not_before.is_some_and(|not_before| not_before > latest) {
            return Err(IdentityError::NotYetValid);
        }
        if now >= claims.expires.saturating_add(self.leeway) {
            return Err(IdentityError::Expired);
        }
        let begins = claims.issued.max(claims.not_before).unwrap_or(Duration::ZERO);
        if claims.expires <= begins {
            return Err(IdentityError::ClaimInvalid("exp".into()));
        }
        // Without `iat`, at least what is left of its life is bounded.
        let issued = claims.issued.unwrap_or(now);
        if claims.expires.saturating_sub(issued) > self.lifetime_max { Err(IdentityError::LivesTooLong) } else { Ok(()) }
    }

    /// Whether the token was made for this gateway and for this use of it.
    fn check_purpose(&self, claims: &Unverified) -> Result<(), IdentityError> {
        let is_audience = |text: &&str| self.audiences.iter().any(|audience| audience == text);
        if !claims.texts(&self.audience_claim)?.iter().any(is_audience) {
            return Err(IdentityError::WrongAudience);
        }
        for (claim, accepted) in &self.required_claims {
            if !claims.texts(claim)?.iter().any(|text| accepted.iter().any(|accepted| accepted == text)) {
                return Err(IdentityError::ClaimRefused(claim.as_str().into()));
            }
        }
        for scope in &self.required_scopes {
            if !claims.has_scope(scope)? {
                return Err(IdentityError::ScopeMissing(scope.as_str().into()));
            }
        }
        Ok(())
    }

    fn principal(&self, claims: Claims, tenant: String, groups: Groups) -> Result<Principal, IdentityError> {
        let expires_at = UNIX_EPOCH.checked_add(claims.expires);
        Ok(Principal {
            issuer: Arc::clone(&self.name),
            subject: claims.subject.into(),
            tenant: tenant.into(),
            groups: groups.known,
            other_groups: groups.others,
            expires_at: expires_at.ok_or_else(|| IdentityError::ClaimInvalid("exp".into()))?,
            proof: Proof::Token,
            tags: Vec::new(),
        })
    }
}

/// Hashes every rule a verdict depends on.
fn rules_fingerprint(issuers: &[Rules]) -> [u8; 32] {
    let mut fingerprint = Fingerprint::new();
    for rules in issuers {
        fingerprint.add(rules.name.as_bytes());
        fingerprint.add(rules.print.whole());
    }
    fingerprint.finish()
}
