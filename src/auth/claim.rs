//! Who a request says it is from, and what is still to be proved of it: the signature of a request covers its body, which comes after
//! the head. Until [`Claim::prove`] nobody is told who that would be.

use std::{sync::Arc, time::SystemTime};

use super::{
    Authenticator, credential::Presented, error::IdentityError, issued::Signatory, principal::Principal, voucher::Voucher,
};
use crate::aws::{
    Authorization, Received, ReceivedChain, SignatureError,
    received::{Payload, Pending, SIGNED_EVENTS},
};

/// The names that requests to Bedrock are signed with, and those that ask who they are from.
const SIGNING_NAMES: [&str; 4] = ["bedrock", "bedrock-agentcore", "bedrock-mantle", "sts"];

/// Beside `x-amz-*`: what says which service is called.
const DECIDING: [&str; 1] = ["aws-endpoint-prefix"];

/// Who a request says it is from.
pub enum Claim {
    /// A token, a signature over an announced payload or a certificate that was good.
    Proved(Identity),
    /// A signature that needs the body's hash.
    Unproved(Unproved),
}

/// Everything of a signature but the body's hash.
pub struct Unproved {
    signatory: Arc<Signatory>,
    pending: Pending,
    signed_for: &'static str,
    /// What has to be asked about whoever it turns out to be.
    voucher: Option<Voucher>,
}

/// Who a request is from.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The authenticated caller.
    pub principal: Arc<Principal>,
    /// What the caller signed beyond the head; nothing if it signed nothing.
    pub signed: Option<Signed>,
}

/// What a signature says beyond the head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The service's signing name.
    pub service: &'static str,
    /// What the body has to be.
    pub payload: Payload,
}

impl Claim {
    /// Whether the body has to be read before anybody can be believed.
    pub fn needs_body(&self) -> bool {
        matches!(self, Claim::Unproved(_))
    }

    /// Who it is, given the hash of the body if it is needed.
    ///
    /// # Errors
    /// The signature is not over this body, or the connection's certificate is another tenant's.
    pub fn prove(self, body_sha256: Option<&str>, now: SystemTime) -> Result<Identity, IdentityError> {
        match self {
            Claim::Proved(identity) => Ok(identity),
            Claim::Unproved(Unproved { signatory, pending, signed_for, voucher }) => {
                pending.verify(body_sha256.ok_or(SignatureError::Mismatch)?, &signatory.key)?;
                Identity::of(&signatory, signed_for, Payload::Unannounced).vouched_for(voucher.as_ref(), now)
            }
        }
    }
}

impl Signed {
    /// Whether the body that came is the one that was signed.
    ///
    /// # Errors
    /// [`SignatureError::OtherPayload`].
    pub fn check_body(&self, sha256: &str) -> Result<(), SignatureError> {
        match &self.payload {
            Payload::Announced(announced) if announced != sha256 => Err(SignatureError::OtherPayload),
            _ => Ok(()),
        }
    }
}

impl Identity {
    fn of(signatory: &Signatory, service: &'static str, payload: Payload) -> Identity {
        Identity { principal: Arc::clone(&signatory.principal), signed: Some(Signed { service, payload }) }
    }

    fn vouched_for(self, voucher: Option<&Voucher>, now: SystemTime) -> Result<Identity, IdentityError> {
        voucher.map_or(Ok(()), |voucher| voucher.check(&self.principal, now))?;
        Ok(self)
    }
}

impl Authenticator {
    /// Who a request says it is from: by its token, by its signature if that is of a key this gateway gave out, or else by the
    /// certificate of its connection, which the other two have to agree with.
    ///
    /// # Errors
    /// The first reason not to believe it.
    pub fn identify(&self, received: &Received<'_>, voucher: Option<&Voucher>, now: SystemTime) -> Result<Claim, IdentityError> {
        let presented = super::credential::present(received.headers).map_err(IdentityError::from);
        match (presented, voucher) {
            // SDKs sign in any case, with placeholders if they have nothing else.
            (Err(error), Some(voucher)) if error.is_missing() => {
                Ok(Claim::Proved(Identity { principal: voucher.principal(now)?, signed: None }))
            }
            (Err(error), _) => Err(error),
            (Ok(Presented::Token(credential)), _) => {
                let principal = self.authenticate_token(credential.token(), now)?;
                Ok(Claim::Proved(Identity { principal, signed: None }.vouched_for(voucher, now)?))
            }
            (Ok(Presented::Signature { authorization, session_token }), _) => {
                let authorization = Authorization::parse(authorization)?;
                self.check_signature(received, &authorization, session_token, voucher, now)
            }
        }
    }

    /// What the events of a request are held against whose head has been proved; `None` if it came with a token or a certificate, which
    /// say nothing of them. The keys of two days: the stream may go on over midnight.
    ///
    /// # Errors
    /// As [`Authenticator::identify`].
    pub fn event_chain(&self, received: &Received<'_>, now: SystemTime) -> Result<Option<ReceivedChain>, IdentityError> {
        let (authorization, session_token) = match super::credential::present(received.headers).map_err(IdentityError::from) {
            Ok(Presented::Signature { authorization, session_token }) => (authorization, session_token),
            Ok(Presented::Token(_)) => return Ok(None),
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error),
        };
        let today = Authorization::parse(authorization)?;
        let next_day = today.next_day().ok_or(SignatureError::OtherDay)?;
        let tomorrow = today.on(&next_day);
        let [key, next] = [&today, &tomorrow].map(|scope| self.issued.signatory(scope, session_token, now));
        Ok(Some(ReceivedChain::new(&today, [(today.date, &key?.key), (&next_day, &next?.key)])))
    }

    fn check_signature(
        &self,
        received: &Received<'_>,
        authorization: &Authorization<'_>,
        session_token: Option<&str>,
        voucher: Option<&Voucher>,
        now: SystemTime,
    ) -> Result<Claim, IdentityError> {
        received.check_date(authorization, now)?;
        let regions = self.issued.regions();
        if !regions.iter().any(|region| region == authorization.region) {
            return Err(SignatureError::Region(regions.to_vec()).into());
        }
        let service = SIGNING_NAMES.into_iter().find(|name| *name == authorization.service);
        let service = service.ok_or_else(|| SignatureError::Service(SIGNING_NAMES.map(str::to_owned).to_vec()))?;
        let signatory = self.issued.signatory(authorization, session_token, now)?;
        let payload = received.payload()?;
        let pending = received.pending(authorization, &DECIDING)?;
        match &payload {
            Payload::Unannounced => {
                return Ok(Claim::Unproved(Unproved { signatory, pending, signed_for: service, voucher: voucher.cloned() }));
            }
            Payload::Announced(hash) => pending.verify(hash, &signatory.key)?,
            Payload::SignedEvents => pending.verify(SIGNED_EVENTS, &signatory.key)?,
        }
        Ok(Claim::Proved(Identity::of(&signatory, service, payload).vouched_for(voucher, now)?))
    }
}
