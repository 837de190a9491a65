//! What a section demands of everybody whom it is about: who they are not, where requests come from, how long their bodies are, under
//! which guardrail they generate. Demands add up: who is in several groups meets those of the tenant and of each of them, and none
//! replaces another.

use std::net::IpAddr;

use super::{
    PolicyDenial, Refused, Rights, Rule,
    guardrail::Guardrail,
    list::{List, fold},
};
use crate::config::{self, Network, NetworkError, key_path};

/// Demands of one section.
#[derive(Debug)]
pub(super) struct Bounds {
    denied_principals: List,
    allow_from: Option<Sources>,
    body_bytes_max: Option<BodyMax>,
    pub guardrail: Option<Guardrail>,
}

#[derive(Debug)]
struct Sources {
    networks: Vec<Network>,
    key: String,
}

#[derive(Debug)]
struct BodyMax {
    bytes: u64,
    key: String,
}

impl Bounds {
    /// `section`: where they are written, `["groups", "beta"]`.
    pub fn new(
        [table, name]: [&str; 2],
        allow_from: &Option<Vec<String>>,
        body_bytes_max: Option<u64>,
        guardrail: &Option<config::Guardrail>,
        denied_principals: &[String],
    ) -> Result<Bounds, NetworkError> {
        let key = |key| key_path(&[table, name, key]);
        let sources = |texts: &Vec<String>| {
            let networks = texts.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
            Ok(Sources { networks, key: key("allow_from") })
        };
        Ok(Bounds {
            denied_principals: List::denying(key_path(&[table, name, "deny", "principals"]), denied_principals),
            allow_from: allow_from.as_ref().map(sources).transpose()?,
            body_bytes_max: body_bytes_max.map(|bytes| BodyMax { bytes, key: key("body_bytes_max") }),
            guardrail: guardrail.as_ref().map(|guardrail| Guardrail::new(key("guardrail"), guardrail)),
        })
    }
}

impl Rights<'_> {
    /// May it be this caller's? In whatever case: who is shut out is shut out.
    pub fn check_principal(&self, subject: &str) -> Result<(), PolicyDenial> {
        let mut lists = self.bounds().map(|bounds| &bounds.denied_principals).filter(|list| !list.is_empty()).peekable();
        if lists.peek().is_none() {
            return Ok(());
        }
        let folded = fold(subject);
        match lists.find_map(|list| list.line_with(&folded)) {
            Some(line) => Err(self.denial(Refused::Principal(subject.to_owned()), Rule::DeniedBy(line))),
            None => Ok(()),
        }
    }

    /// May a request come from there? Every section that names networks has to name one of the address.
    pub fn check_source(&self, source: Option<IpAddr>) -> Result<(), PolicyDenial> {
        let is_in = |sources: &Sources| source.is_some_and(|source| sources.networks.iter().any(|net| net.contains(source)));
        match self.bounds().filter_map(|bounds| bounds.allow_from.as_ref()).find(|sources| !is_in(sources)) {
            Some(sources) => Err(self.denial(Refused::Source(source), Rule::NotIn(vec![sources.key.clone()]))),
            None => Ok(()),
        }
    }

    /// The most bytes that a body may have, where `bytes_max` holds for everybody.
    pub fn body_bytes_max(&self, bytes_max: u64) -> u64 {
        self.body_max().map_or(bytes_max, |own| own.bytes.min(bytes_max))
    }

    /// May a body have so many bytes?
    pub fn check_body(&self, bytes: u64) -> Result<(), PolicyDenial> {
        match self.body_max() {
            Some(own) if bytes > own.bytes => Err(self.denial(Refused::Body(own.bytes), Rule::SetBy(own.key.clone()))),
            _ => Ok(()),
        }
    }

    /// The smallest maximum.
    fn body_max(&self) -> Option<&BodyMax> {
        self.bounds().filter_map(|bounds| bounds.body_bytes_max.as_ref()).min_by_key(|own| own.bytes)
    }

    pub(super) fn bounds(&self) -> impl Iterator<Item = &Bounds> {
        self.sections().map(|section| &section.bounds)
    }
}
