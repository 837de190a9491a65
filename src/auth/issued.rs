//! Credentials that this gateway gave out itself: vended sessions, and the keys of the keys file. Says whose key signed a request, and
//! keeps the signing keys derived from it, which cost more than the signature.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use quick_cache::sync::Cache;
use secrecy::ExposeSecret;

use super::{
    error::IdentityError,
    fingerprint::Fingerprint,
    issuer_print::IssuerPrint,
    key_ring::KeyRing,
    principal::{ClaimTag, GroupPrint, Principal, Proof},
    sealing::{SealError, SealingKeys},
    session::{self, Session, SessionCredentials},
};
use crate::aws::{Authorization, received::ScopedKey};

/// Signing keys kept: one for each key, day, region and service.
const SIGNING_KEYS_MAX: usize = 10_000;

/// What the gateway gave out, as one configuration has it.
pub struct Issued {
    sealing: Option<SealingKeys>,
    lifetime: Duration,
    ring: KeyRing,
    /// Regions that requests may be signed for.
    regions: Vec<String>,
    /// Whose tokens are believed, by name, and by which rules.
    issuers: HashMap<Arc<str>, Arc<IssuerPrint>>,
    /// Groups that are worth knowing of.
    groups: HashMap<GroupPrint, Arc<str>>,
    /// The claims that session tags are made of, by the tag's key.
    claim_tags: HashMap<Arc<str>, Arc<str>>,
    /// Of this configuration alone: a key that a reload takes away is gone at once.
    signatories: Cache<[u8; 32], Arc<Signatory>>,
}

/// Who signs, and the key for one scope.
pub(super) struct Signatory {
    pub principal: Arc<Principal>,
    pub key: ScopedKey,
}

impl Default for Issued {
    fn default() -> Self {
        Issued::new(None, Duration::ZERO, KeyRing::default(), Vec::new())
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("sealing", &self.sealing).finish_non_exhaustive()
    }
}

impl Issued {
    /// `sealing`: what vended credentials are sealed with, if any are, for `lifetime` at most.
    pub fn new(sealing: Option<SealingKeys>, lifetime: Duration, ring: KeyRing, regions: Vec<String>) -> Issued {
        Issued {
            sealing,
            lifetime,
            ring,
            regions,
            issuers: HashMap::new(),
            groups: HashMap::new(),
            claim_tags: HashMap::new(),
            signatories: Cache::new(SIGNING_KEYS_MAX),
        }
    }

    /// The same, vending for these issuers' tokens, and believing what was vended for them by the same rules, with tags of the same claims;
    /// who was in one of these groups then is in it now.
    pub(super) fn for_issuers(
        self,
        issuers: HashMap<Arc<str>, Arc<IssuerPrint>>,
        groups: &BTreeSet<String>,
        claim_tags: &[(Arc<str>, Arc<str>)],
    ) -> Issued {
        let groups = groups.iter().map(|group| (GroupPrint::of(group), group.as_str().into())).collect();
        Issued { issuers, groups, claim_tags: claim_tags.iter().cloned().collect(), ..self }
    }

    /// Makes credentials for a principal: for `wanted` at most, if it is said, and no longer than configured or than the principal's own.
    ///
    /// # Errors
    /// Nothing is vended here, or there is no randomness.
    pub fn vend(
        &self,
        principal: &Principal,
        wanted: Option<Duration>,
        now: SystemTime,
    ) -> Result<SessionCredentials, SealError> {
        let sealing = self.sealing.as_ref().ok_or(SealError::NoKey)?;
        let rules = self.issuers.get(&principal.issuer).filter(|_| principal.proof == Proof::Token);
        let rules = rules.map(|rules| rules.of(principal));
        let api_key = match &principal.proof {
            Proof::ApiKey(id) => self.ring.hash_of_api_key(id),
            _ => None,
        };
        let lifetime = wanted.map_or(self.lifetime, |wanted| wanted.min(self.lifetime));
        session::vend(sealing, principal, rules, api_key, lifetime, now)
    }

    /// Who holds an API key.
    pub(super) fn api_key(&self, token: &str, now: SystemTime) -> Result<Arc<Principal>, IdentityError> {
        self.ring.api_key(token, now)
    }

    /// Whom a key of the keys file is of, by its id. It proves nothing: for those who ask about others' requests.
    ///
    /// # Errors
    /// Nobody's, or not any more.
    pub fn holder(&self, id: &str, now: SystemTime) -> Result<Arc<Principal>, IdentityError> {
        let principal = self.ring.holder(id).ok_or(IdentityError::UnknownAccessKey)?;
        if now < principal.expires_at { Ok(Arc::clone(principal)) } else { Err(IdentityError::KeyExpired) }
    }

    /// Those that requests may be signed for.
    pub(super) fn regions(&self) -> &[String] {
        &self.regions
    }

    /// Whose key has this id and this session token. Region and service have been found to be some of few.
    pub(super) fn signatory(
        &self,
        authorization: &Authorization<'_>,
        session_token: Option<&str>,
        now: SystemTime,
    ) -> Result<Arc<Signatory>, IdentityError> {
        let place = place(authorization, session_token);
        let signatory = match self.signatories.get(&place) {
            Some(known) => known,
            None => {
                let signatory = Arc::new(self.find(authorization, session_token).ok_or(IdentityError::UnknownAccessKey)?);
                self.signatories.insert(place, Arc::clone(&signatory));
                signatory
            }
        };
        if now < signatory.principal.expires_at { Ok(signatory) } else { Err(IdentityError::KeyExpired) }
    }

    fn find(&self, authorization: &Authorization<'_>, session_token: Option<&str>) -> Option<Signatory> {
        let id = authorization.access_key_id;
        let Some(token) = session_token else {
            let holder = self.ring.access_key(id)?;
            let key = ScopedKey::derive(holder.secret_access_key.expose_secret(), authorization);
            return Some(Signatory { principal: Arc::clone(&holder.principal), key });
        };
        let session = session::open(self.sealing.as_ref()?, id, token)?;
        let key = ScopedKey::derive(session.secret_access_key.expose_secret(), authorization);
        let principal = match &session.api_key {
            Some(hash) => as_its_key(session.principal, self.ring.holder_of_api_key(hash)?)?,
            None if self.is_vouched_for(&session) => self.grouped(session.principal),
            None => return None,
        };
        Some(Signatory { principal: Arc::new(principal), key })
    }

    /// In the groups that are known by now, too.
    fn grouped(&self, principal: Principal) -> Principal {
        let known = principal.other_groups.iter().filter_map(|other| self.groups.get(other).cloned());
        let groups = principal.groups.iter().cloned().chain(known).collect();
        Principal { groups, ..principal }
    }

    /// Whether the issuer that a session was vended for is there, and is who it was. One without a print is believed by the name alone:
    /// gateways vended such before they knew prints.
    fn is_vouched_for(&self, session: &Session) -> bool {
        let Session { principal, rules, .. } = session;
        let issuer = self.issuers.get(&principal.issuer);
        issuer.is_some_and(|issuer| rules.is_none_or(|rules| rules == issuer.of(principal)))
            && principal.tags.iter().all(|tag| self.is_of_its_claim(tag))
    }

    /// Whether a tag is of the claim that makes it now, or none does: then AWS is not told of it.
    fn is_of_its_claim(&self, tag: &ClaimTag) -> bool {
        self.claim_tags.get(&tag.key).is_none_or(|claim| *claim == tag.claim)
    }
}

/// Who signs with a session that was vended for an API key: the key's holder as the keys file has it by now, and no longer than the key is
/// good. Nobody, if the key is another tenant's by now.
fn as_its_key(session: Principal, holder: &Principal) -> Option<Principal> {
    let Principal { issuer, subject, tenant, groups, expires_at, .. } = holder.clone();
    let expires_at = expires_at.min(session.expires_at);
    (tenant == session.tenant).then_some(Principal { issuer, subject, groups, expires_at, ..session })
}

/// Under what a signatory is kept: everything it follows from.
fn place(authorization: &Authorization<'_>, session_token: Option<&str>) -> [u8; 32] {
    let Authorization { access_key_id, date, region, service, .. } = authorization;
    let mut over = Fingerprint::new();
    for part in [access_key_id, date, region, service, session_token.unwrap_or_default()] {
        over.add(part.as_bytes());
    }
    over.finish()
}
