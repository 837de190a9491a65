//! The guardrail that a tenant's requests must have: whether an operation can carry it, and whether a request names another.

use super::{Policy, PolicyDenial, Refused, Rule};
use crate::{
    bedrock::{Operation, Service, terms::GuardrailPlace},
    config::{self, key_path},
};

/// A guardrail that is required.
#[derive(Debug)]
pub struct Guardrail {
    /// Its id or ARN.
    pub identifier: String,
    /// A number, or `DRAFT`.
    pub version: String,
    /// Nobody may narrow what it sees.
    pub strict: bool,
    key: String,
}

impl Guardrail {
    pub(super) fn new(tenant: &str, guardrail: &config::Guardrail) -> Guardrail {
        let config::Guardrail { identifier, version, strict } = guardrail.clone();
        Guardrail { identifier, version, strict, key: key_path(&["tenants", tenant, "guardrail"]) }
    }
}

impl Policy {
    /// The guardrail that a call must have, and where it goes; `None`: none is required of it.
    ///
    /// # Errors
    /// One is required, and the operation has no place for it.
    pub fn guardrail(
        &self,
        service: Service,
        operation: Option<&'static Operation>,
    ) -> Result<Option<(&Guardrail, GuardrailPlace)>, PolicyDenial> {
        let Some(guardrail) = &self.guardrail else { return Ok(None) };
        match operation.map_or(GuardrailPlace::Nowhere, GuardrailPlace::of) {
            GuardrailPlace::NotNeeded => Ok(None),
            GuardrailPlace::Nowhere => {
                let name = operation.map_or("Unknown", |operation| operation.name);
                Err(self.denial(Refused::Unguarded(service, name), Rule::SetBy(guardrail.key.clone())))
            }
            place => Ok(Some((guardrail, place))),
        }
    }

    /// May a request name these? Only what is required, letter for letter: an ARN with the same id may be another account's.
    pub fn check_guardrail(
        &self,
        guardrail: &Guardrail,
        identifiers: &[String],
        versions: &[String],
    ) -> Result<(), PolicyDenial> {
        let other = identifiers.iter().find(|named| **named != guardrail.identifier);
        let other = other.cloned().or_else(|| {
            let version = versions.iter().find(|named| **named != guardrail.version)?;
            Some(format!("{} version {version}", guardrail.identifier))
        });
        match other {
            Some(other) => Err(self.denial(Refused::Guardrail(other), Rule::SetBy(guardrail.key.clone()))),
            None => Ok(()),
        }
    }

    /// May a request narrow what the guardrail sees?
    pub fn check_narrowing(&self, guardrail: &Guardrail, narrows: bool) -> Result<(), PolicyDenial> {
        if narrows && guardrail.strict {
            return Err(self.denial(Refused::Narrowing, Rule::SetBy(format!("{}.strict", guardrail.key))));
        }
        Ok(())
    }

    /// The denial of a body that cannot be read for its guardrail.
    pub fn unclear_guardrail(&self, guardrail: &Guardrail) -> PolicyDenial {
        self.denial(Refused::GuardrailUnclear, Rule::SetBy(guardrail.key.clone()))
    }
}
