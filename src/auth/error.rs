//! Why a request's identity is refused. Display is what the caller may read: what is wrong and what to do about it, with no token,
//! no key and no claim in it. Who the caller would have been is not known, so nothing here is.

use std::sync::Arc;

use thiserror::Error;

use super::credential::CredentialError;
use crate::aws::SignatureError;

/// A refused identity.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum IdentityError {
    /// No single token in the request.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// Not a compact JWS with a JSON header and JSON claims, each name once.
    #[error(
        "The token is not a well-formed JWT. Send the token of your identity provider, unchanged, or an API key of this gateway; \
         Bedrock API keys are not accepted."
    )]
    Malformed,
    /// A header member that is never honoured.
    #[error("The token's header has `{0}`, which is not accepted.")]
    ForbiddenHeader(&'static str),
    /// `typ` or `cty` of something else: a logout token, a nested token.
    #[error("The token's header says that it is not an access token. Send an access token or an ID token.")]
    NotAnAccessToken,
    /// No configured issuer has this `iss`.
    #[error("The token's issuer is not one that this gateway trusts. Check which identity provider issued it.")]
    UnknownIssuer,
    /// The issuer's keys have never been loaded: our trouble, not the caller's. 503.
    #[error("The keys of the token's issuer are not available yet. Try again shortly.")]
    KeysUnavailable,
    /// No key for the token's `kid`. The issuer's name in the configuration is for whoever fetches keys, not for the caller.
    #[error(
        "The token is signed with a key that its issuer does not publish. Request a new token; if the key is new, send this one again in \
         30 seconds."
    )]
    UnknownKey(Arc<str>),
    /// The header's `alg` is not what the key is pinned to, or the key is for an algorithm this issuer may not use.
    #[error("The token's algorithm is not the one that its key is for, or not one that this gateway accepts from its issuer.")]
    WrongAlgorithm,
    /// The signature does not verify.
    #[error("The token's signature does not verify. Send the token unchanged, or request a new one.")]
    BadSignature,
    /// A required claim is absent.
    #[error("The token has no claim `{0}`.")]
    ClaimMissing(Box<str>),
    /// A claim of another type, or with characters or a size that are not accepted.
    #[error("The token's claim `{0}` has a type or value that is not accepted.")]
    ClaimInvalid(Box<str>),
    /// A claim that the token says is elsewhere, and that nobody fetches: groups, where somebody is in more than a token holds.
    #[error(
        "The token does not have the claim `{0}` but says that it is elsewhere, where this gateway does not look. Request one that has it; \
         if you are in too many groups for a token, ask the operator of your identity provider to have it name fewer."
    )]
    ClaimElsewhere(Box<str>),
    /// A claim that the issuer's configuration requires has another value.
    #[error("The token's claim `{0}` does not have a value that this gateway requires.")]
    ClaimRefused(Box<str>),
    /// A scope that the issuer's configuration requires is not among the token's.
    #[error("The token lacks a scope that this gateway requires. Request one with the scope `{0}`.")]
    ScopeMissing(Box<str>),
    /// No value of the claim stands for a tenant.
    #[error("The token's claim `{0}` names no tenant of this gateway.")]
    NoTenant(Box<str>),
    /// Values of the claim stand for different tenants.
    #[error("The token's claim `{0}` names more than one tenant of this gateway. Request a token that names one.")]
    ManyTenants(Box<str>),
    /// `aud` names none of the configured audiences.
    #[error("The token is meant for another audience. Request one for this gateway's audience.")]
    WrongAudience,
    /// `exp` is past.
    #[error("The token has expired. Request a new one.")]
    Expired,
    /// `nbf` is ahead.
    #[error("The token is not valid yet. Check the clocks of its issuer and of this gateway.")]
    NotYetValid,
    /// `iat` is ahead.
    #[error("The token was issued in the future. Check the clocks of its issuer and of this gateway.")]
    IssuedInFuture,
    /// Valid for longer than the issuer's `token_lifetime_seconds_max`.
    #[error("The token is valid for longer than this gateway accepts. Request one with a shorter lifetime.")]
    LivesTooLong,
    /// A signature of a key that this gateway gave out is not good.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// No key has this id, or not this session token.
    #[error("The security token included in the request is invalid.")]
    UnknownAccessKey,
    /// A vended session token without a signature, which proves nothing.
    #[error("The session token of vended credentials is no token by itself. Sign the request with the credentials it came with.")]
    NotSigned,
    /// An access key, an API key or vended credentials of yesterday.
    #[error("The security token included in the request is expired.")]
    KeyExpired,
    /// No API key is this.
    #[error("The API key is not one of this gateway. Check how it was copied, or ask the gateway's operator for a new one.")]
    UnknownApiKey,
    /// No rule of the listener fits a name of the connection's certificate.
    #[error("The client certificate names no tenant of this gateway. Ask its operator which names it knows.")]
    CertificateOfNobody,
    /// Its names stand for different tenants.
    #[error("The client certificate names more than one tenant of this gateway. Connect with one that names one.")]
    CertificateOfMany,
    /// It stands for another tenant than the token beside it.
    #[error("The client certificate and the token are of different tenants. Send a token of the certificate's tenant, or none.")]
    CertificateOfAnother,
    /// It was good when the connection began, or none was required then.
    #[error("The client certificate has expired, or is not trusted any more, or there is none. Connect anew with a trusted one.")]
    CertificateDistrusted,
}

impl IdentityError {
    /// A label for metrics: one of a fixed set, whatever callers send.
    pub fn reason(&self) -> &'static str {
        match self {
            IdentityError::Credential(error) => error.reason(),
            IdentityError::Malformed => "token_malformed",
            IdentityError::ForbiddenHeader(_) => "token_header_forbidden",
            IdentityError::NotAnAccessToken => "token_type",
            IdentityError::UnknownIssuer => "issuer_unknown",
            IdentityError::KeysUnavailable => "keys_unavailable",
            IdentityError::UnknownKey(_) => "key_unknown",
            IdentityError::WrongAlgorithm => "algorithm",
            IdentityError::BadSignature => "signature",
            IdentityError::ClaimMissing(_) => "claim_missing",
            IdentityError::ClaimInvalid(_) => "claim_invalid",
            IdentityError::ClaimElsewhere(_) => "claim_elsewhere",
            IdentityError::ClaimRefused(_) => "claim_refused",
            IdentityError::ScopeMissing(_) => "scope_missing",
            IdentityError::NoTenant(_) => "tenant_none",
            IdentityError::ManyTenants(_) => "tenant_many",
            IdentityError::WrongAudience => "audience",
            IdentityError::Expired => "expired",
            IdentityError::NotYetValid => "not_yet_valid",
            IdentityError::IssuedInFuture => "issued_in_future",
            IdentityError::LivesTooLong => "lifetime",
            IdentityError::Signature(SignatureError::Expired { .. } | SignatureError::NotYetCurrent { .. }) => "signature_time",
            IdentityError::Signature(SignatureError::Region(_) | SignatureError::Service(_)) => "signature_scope",
            IdentityError::Signature(
                SignatureError::OtherPayload | SignatureError::UnsignedPayload | SignatureError::UnsignedEvents,
            ) => "signature_payload",
            IdentityError::Signature(SignatureError::Incomplete(_)) => "signature_incomplete",
            IdentityError::Signature(_) => "signature_mismatch",
            IdentityError::UnknownAccessKey => "access_key_unknown",
            IdentityError::NotSigned => "session_not_signed",
            IdentityError::KeyExpired => "key_expired",
            IdentityError::UnknownApiKey => "api_key_unknown",
            IdentityError::CertificateOfNobody => "certificate_tenant_none",
            IdentityError::CertificateOfMany => "certificate_tenant_many",
            IdentityError::CertificateOfAnother => "certificate_tenant_other",
            IdentityError::CertificateDistrusted => "certificate_distrusted",
        }
    }

    /// The token was good once: AWS SDKs refresh on `ExpiredTokenException`.
    pub fn is_expired(&self) -> bool {
        matches!(self, IdentityError::Expired | IdentityError::KeyExpired)
    }

    /// The request carries no token at all.
    pub fn is_missing(&self) -> bool {
        matches!(self, IdentityError::Credential(CredentialError::Missing | CredentialError::NoSessionToken))
    }

    /// The gateway cannot tell: 503, not 403.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, IdentityError::KeysUnavailable)
    }
}
