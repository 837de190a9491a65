//! What a tenant may call: services, operations, models. Nothing is allowed that is not written. Decides on decoded names; the bytes
//! that are sent on decode to the same.

use wildmatch::WildMatch;

use crate::{
    bedrock::{Operation, Service, model::canonical},
    config,
};

/// A tenant's allow-lists, compiled.
#[derive(Debug)]
pub struct Policy {
    services: AllowList,
    operations: AllowList,
    models: AllowList,
}

#[derive(Debug)]
enum AllowList {
    Everything,
    Only(Vec<Glob>),
}

/// What most globs are needs no search.
#[derive(Debug)]
enum Glob {
    Exact(String),
    Prefix(String),
    Pattern(WildMatch),
}

/// Why a tenant may not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyDenial {
    /// The service is not in `services`.
    #[error("tenant {tenant} may not use {service}")]
    Service {
        /// Who.
        tenant: String,
        /// What.
        service: Service,
    },
    /// The operation is not in `operations`.
    #[error("tenant {tenant} may not call {service}:{operation}")]
    Operation {
        /// Who.
        tenant: String,
        /// Of which service.
        service: Service,
        /// What; `Unknown` needs `"*"`.
        operation: &'static str,
    },
    /// The model is not in `models`.
    #[error("tenant {tenant} may not use the model {model}")]
    Model {
        /// Who.
        tenant: String,
        /// As the client named it.
        model: String,
    },
}

impl PolicyDenial {
    /// The metric label: which list was too short.
    pub fn reason(&self) -> &'static str {
        match self {
            PolicyDenial::Service { .. } => "service",
            PolicyDenial::Operation { .. } => "operation",
            PolicyDenial::Model { .. } => "model",
        }
    }
}

impl Policy {
    /// Compiles a tenant's lists.
    pub fn new(tenant: &config::Tenant) -> Policy {
        Policy {
            services: AllowList::new(&tenant.services),
            operations: AllowList::new(&tenant.operations),
            models: AllowList::new(&tenant.models),
        }
    }

    /// May the operation be called? One that nobody knows (`None`) only where every operation may.
    pub fn check_operation(
        &self,
        tenant: &str,
        service: Service,
        operation: Option<&'static Operation>,
    ) -> Result<(), PolicyDenial> {
        if !self.services.allows(service.name()) {
            return Err(PolicyDenial::Service { tenant: tenant.to_owned(), service });
        }
        let allowed = match operation {
            Some(operation) => self.operations.allows(operation.name),
            None => matches!(self.operations, AllowList::Everything),
        };
        if allowed {
            return Ok(());
        }
        let operation = operation.map_or("Unknown", |operation| operation.name);
        Err(PolicyDenial::Operation { tenant: tenant.to_owned(), service, operation })
    }

    /// May the model be used, by the name the client gave it?
    pub fn check_model(&self, tenant: &str, model: &str) -> Result<(), PolicyDenial> {
        if self.models.allows(model) || self.models.allows(canonical(model)) {
            return Ok(());
        }
        Err(PolicyDenial::Model { tenant: tenant.to_owned(), model: model.to_owned() })
    }

    /// Whether every model is allowed, so that nobody has to look for models in a body.
    pub fn allows_every_model(&self) -> bool {
        matches!(self.models, AllowList::Everything)
    }
}

impl AllowList {
    fn new(globs: &[String]) -> AllowList {
        if globs.iter().any(|glob| glob == "*") {
            return AllowList::Everything;
        }
        AllowList::Only(globs.iter().map(|glob| Glob::new(glob)).collect())
    }

    fn allows(&self, name: &str) -> bool {
        match self {
            AllowList::Everything => true,
            AllowList::Only(globs) => globs.iter().any(|glob| glob.matches(name)),
        }
    }
}

impl Glob {
    fn new(glob: &str) -> Glob {
        let is_plain =
            |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':' | b'/'));
        match glob.strip_suffix('*') {
            Some(prefix) if is_plain(prefix) => Glob::Prefix(prefix.to_owned()),
            None if is_plain(glob) => Glob::Exact(glob.to_owned()),
            _ => Glob::Pattern(WildMatch::new(glob)),
        }
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Glob::Exact(exact) => name == exact,
            Glob::Prefix(prefix) => name.starts_with(prefix),
            Glob::Pattern(pattern) => pattern.matches(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bedrock::operations;

    proptest! {
        #[test]
        fn a_glob_matches_what_wildmatch_matches(glob in "[ab:]{0,3}[ab*?]{0,3}[*]?", name in "[ab:]{0,6}") {
            prop_assert_eq!(Glob::new(&glob).matches(&name), WildMatch::new(&glob).matches(&name));
        }
    }

    fn policy(services: &[&str], operations: &[&str], models: &[&str]) -> Policy {
        let list = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        Policy::new(&config::Tenant {
            services: list(services),
            operations: list(operations),
            models: list(models),
            limits: config::RequestLimits::default(),
            time_zone: "UTC".to_owned(),
            quotas: Vec::new(),
        })
    }

    fn operation(name: &str) -> Option<&'static Operation> {
        operations().iter().find(|operation| operation.name == name)
    }

    #[test]
    fn nothing_is_allowed_that_is_not_written() {
        let policy = policy(&[], &[], &[]);
        assert!(policy.check_operation("t", Service::Bedrock, operation("ListFoundationModels")).is_err());
        assert!(policy.check_model("t", "m").is_err());
        assert!(policy.check_model("t", "").is_err());
    }

    #[test]
    fn globs_match_whole_names() {
        let policy = policy(&["bedrock-runtime"], &["Converse*"], &["anthropic.claude-3-haiku-*", "arn:aws:bedrock:*:1:*/abc"]);
        let check = |name| policy.check_operation("t", Service::BedrockRuntime, operation(name)).is_ok();
        assert!(check("Converse") && check("ConverseStream") && !check("InvokeModel"));
        assert!(policy.check_operation("t", Service::Bedrock, operation("Converse")).is_err());
        assert!(policy.check_model("t", "anthropic.claude-3-haiku-20240307-v1:0").is_ok());
        assert!(policy.check_model("t", "us.anthropic.claude-3-haiku-20240307-v1:0").is_err());
        assert!(policy.check_model("t", "arn:aws:bedrock:us-east-1:1:inference-profile/abc").is_ok());
        assert!(policy.check_model("t", "ANTHROPIC.claude-3-haiku-x").is_err());
    }

    #[test]
    fn an_arn_counts_as_the_id_it_stands_for() {
        let policy = policy(&[], &[], &["us.amazon.nova-*", "anthropic.claude-3-haiku-20240307-v1:0"]);
        for allowed in [
            "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0",
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0",
        ] {
            assert!(policy.check_model("t", allowed).is_ok(), "{allowed}");
        }
        for refused in [
            "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-4-8",
            "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/us.amazon.nova-lite-v1:0",
            "arn:foundation-model/us.amazon.nova-lite-v1:0",
        ] {
            assert!(policy.check_model("t", refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn unknown_operations_need_the_explicit_wildcard() {
        assert!(policy(&["*"], &["*"], &[]).check_operation("t", Service::Bedrock, None).is_ok());
        assert!(policy(&["*"], &["Un*", "U?known"], &[]).check_operation("t", Service::Bedrock, None).is_err());
    }
}
