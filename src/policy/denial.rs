//! Why policy refuses: who, what, and the line of the configuration that says so. The same text for client, log and `explain`.

use std::{fmt, net::IpAddr, sync::Arc};

use crate::bedrock::Service;

/// Why a tenant may not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tenant {tenant} may not {refused}: {rule}")]
pub struct PolicyDenial {
    /// Who.
    pub tenant: Arc<str>,
    /// What.
    pub refused: Refused,
    /// By which line.
    pub rule: Rule,
}

/// What a tenant may not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Use a service.
    #[error("use {0}")]
    Service(Service),
    /// Call an operation; `Unknown` needs `"*"`.
    #[error("call {0}:{1}")]
    Operation(Service, &'static str),
    /// Use a model, as the client named it.
    #[error("use the model {0}")]
    Model(String),
    /// Use a region or a geography.
    #[error("use the region {0}")]
    Region(String),
    /// Use a region or a geography that a model's name brings with it.
    #[error("use the region {region}, where {model} may run")]
    RegionOf {
        /// Which.
        region: String,
        /// As the client named it.
        model: String,
    },
    /// Be served in a tier.
    #[error("use the service tier {0}")]
    ServiceTier(String),
    /// Be used by somebody who is shut out.
    #[error("be used by {0}")]
    Principal(String),
    /// Come from an address; `None`: from an unknown one.
    #[error("call from {}", Address(.0))]
    Source(Option<IpAddr>),
    /// Send so much.
    #[error("send a body of more than {0} bytes")]
    Body(u64),
    /// Name a guardrail, or a version of it.
    #[error("name the guardrail {0}")]
    Guardrail(String),
    /// Call what generates without a guardrail.
    #[error("call {0}:{1}, for which no guardrail can be named")]
    Unguarded(Service, &'static str),
    /// Call what has place for one guardrail, where two are required.
    #[error("call {0}:{1}, which can name one guardrail")]
    TwiceGuarded(Service, &'static str),
    /// Let a guardrail see less than all, or later.
    #[error("narrow what the guardrail sees, by `guardContent`, `tagSuffix` or an asynchronous stream")]
    Narrowing,
    /// Send a body of which nobody can tell what guardrail it names.
    #[error("send a body whose `guardrailConfig` can be read in two ways, or not at all")]
    GuardrailUnclear,
}

/// A line of the configuration, by its key path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// None of these lists has it.
    NotIn(Vec<String>),
    /// This line denies it.
    DeniedBy(String),
    /// This setting does.
    SetBy(String),
    /// These two settings do together.
    NotBoth([String; 2]),
    /// The name is opaque, and `[profiles]` does not say what it stands for.
    Unmapped,
}

struct Address<'a>(&'a Option<IpAddr>);

impl fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("an unknown address"),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::NotIn(lists) => write!(f, "it is not in {}", lists.join(" or ")),
            Rule::DeniedBy(line) => write!(f, "{line} denies it"),
            Rule::SetBy(key) => write!(f, "{key} forbids it"),
            Rule::NotBoth([one, other]) => write!(f, "{one} and {other} cannot both be met"),
            Rule::Unmapped => f.write_str("nothing in the name says what it stands for, and [profiles] does not either"),
        }
    }
}

impl Rule {
    /// The key path: for the log.
    pub fn key(&self) -> &str {
        match self {
            Rule::NotIn(lists) => lists.first().map_or("tenants", String::as_str),
            Rule::DeniedBy(key) | Rule::SetBy(key) | Rule::NotBoth([key, _]) => key,
            Rule::Unmapped => "profiles",
        }
    }
}

impl PolicyDenial {
    /// The metric label.
    pub fn reason(&self) -> &'static str {
        match self.refused {
            Refused::Service(_) => "service",
            Refused::Operation(..) => "operation",
            Refused::Model(_) => "model",
            Refused::Region(_) | Refused::RegionOf { .. } => "region",
            Refused::ServiceTier(_) => "service_tier",
            Refused::Principal(_) => "principal",
            Refused::Source(_) => "source",
            Refused::Body(_) => "body_too_large",
            Refused::Guardrail(_)
            | Refused::Unguarded(..)
            | Refused::TwiceGuarded(..)
            | Refused::Narrowing
            | Refused::GuardrailUnclear => "guardrail",
        }
    }
}
