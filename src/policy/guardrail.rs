//! The guardrail that a caller's requests must have, the tenant's or a group's: whether an operation can carry it, and whether a request
//! names another.

use super::{PolicyDenial, Refused, Rights, Rule};
use crate::{
    bedrock::{Operation, Service, terms::GuardrailPlace},
    config,
};

/// A guardrail that a section requires.
#[derive(Debug)]
pub(super) struct Guardrail {
    /// Its id or ARN.
    identifier: String,
    /// A number, or `DRAFT`.
    version: String,
    strict: bool,
    key: String,
}

/// The one guardrail that a caller's generations must have, whichever sections require it.
#[derive(Clone, Copy, Debug)]
pub struct Required<'p> {
    guardrail: &'p Guardrail,
    /// Of the section by which nobody may narrow what it sees.
    strict: Option<&'p Guardrail>,
}

impl Guardrail {
    pub(super) fn new(key: String, guardrail: &config::Guardrail) -> Guardrail {
        let config::Guardrail { identifier, version, strict } = guardrail.clone();
        Guardrail { identifier, version, strict, key }
    }

    fn is(&self, other: &Guardrail) -> bool {
        (&self.identifier, &self.version) == (&other.identifier, &other.version)
    }
}

impl<'p> Required<'p> {
    /// Its id or ARN.
    pub fn identifier(&self) -> &'p str {
        &self.guardrail.identifier
    }

    /// A number, or `DRAFT`.
    pub fn version(&self) -> &'p str {
        &self.guardrail.version
    }

    /// Whether nobody may narrow what it sees.
    pub fn is_strict(&self) -> bool {
        self.strict.is_some()
    }
}

impl<'p> Rights<'p> {
    /// The guardrail that a call must have, and where it goes; `None`: none is required of it.
    ///
    /// # Errors
    /// One is required, and the operation has no place for it; or two are, and a request has place for one.
    pub fn guardrail(
        &self,
        service: Service,
        operation: Option<&'static Operation>,
    ) -> Result<Option<(Required<'p>, GuardrailPlace)>, PolicyDenial> {
        let mut all = self.sections().filter_map(|section| section.bounds.guardrail.as_ref());
        let Some(guardrail) = all.next() else { return Ok(None) };
        let name = operation.map_or("Unknown", |operation| operation.name);
        let mut strict = guardrail.strict.then_some(guardrail);
        match operation.map_or(GuardrailPlace::Nowhere, GuardrailPlace::of) {
            GuardrailPlace::NotNeeded => Ok(None),
            GuardrailPlace::Nowhere => Err(self.denial(Refused::Unguarded(service, name), Rule::SetBy(guardrail.key.clone()))),
            place => {
                for further in all {
                    if !further.is(guardrail) {
                        let rule = Rule::NotBoth([guardrail.key.clone(), further.key.clone()]);
                        return Err(self.denial(Refused::TwiceGuarded(service, name), rule));
                    }
                    strict = strict.or(further.strict.then_some(further));
                }
                Ok(Some((Required { guardrail, strict }, place)))
            }
        }
    }

    /// May a request name these? Only what is required, letter for letter: an ARN with the same id may be another account's.
    pub fn check_guardrail(
        &self,
        Required { guardrail, .. }: Required<'_>,
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
    pub fn check_narrowing(&self, required: Required<'_>, narrows: bool) -> Result<(), PolicyDenial> {
        match required.strict {
            Some(strict) if narrows => Err(self.denial(Refused::Narrowing, Rule::SetBy(format!("{}.strict", strict.key)))),
            _ => Ok(()),
        }
    }

    /// The denial of a body that cannot be read for its guardrail.
    pub fn unclear_guardrail(&self, required: Required<'_>) -> PolicyDenial {
        self.denial(Refused::GuardrailUnclear, Rule::SetBy(required.guardrail.key.clone()))
    }
}
