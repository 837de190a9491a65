//! What a well-formed configuration can still get wrong: values that contradict each other, names that nothing has, files that
//! are not what they should be. One section, one file, but `bounds` knows all numbers' and `files` looks outside the text.

mod bounds;
mod certificates;
mod client_principals;
mod credentials;
mod demands;
mod files;
mod issuers;
mod ledger;
mod listeners;
mod policy;
mod quotas;
mod roles;
mod tenants;
mod traces;
mod upstream;
mod vending;
mod words;

use std::time::SystemTime;

use super::{
    Config, Network, NetworkError, Problem, Problems, Severity,
    document::{KeyPath, Node},
};

/// Looks for problems of one configuration.
pub(super) struct Check<'a> {
    root: &'a Node,
    problems: &'a mut Problems,
}

impl<'a> Check<'a> {
    /// `root` tells where things stand, and what has been reported before: nothing is said about that.
    pub(super) fn new(root: &'a Node, problems: &'a mut Problems) -> Self {
        Check { root, problems }
    }

    /// Everything that the text alone tells.
    pub(super) fn values(&mut self, config: &Config) {
        listeners::check(self, config);
        upstream::check(self, &config.upstream);
        bounds::check(self, config);
        credentials::check(self, config.credentials.as_ref());
        issuers::check(self, config);
        issuers::groups(self, config);
        tenants::check(self, &config.tenants);
        policy::check(self, config);
        ledger::check(self, &config.ledger);
        vending::check(self, config);
        roles::check(self, config);
        traces::check(self, config.traces.as_ref());
    }

    /// Everything that needs the disk and the environment.
    pub(super) fn files(&mut self, config: &Config, now: SystemTime) {
        files::check(self, config, now);
        ledger::files(self, &config.ledger);
    }

    /// Whether the file itself has a key there.
    fn has(&self, path: &KeyPath) -> bool {
        self.root.has(&path.0)
    }

    /// Whether the file itself has a key below there.
    fn has_below(&self, path: &KeyPath) -> bool {
        let mut found = false;
        self.root.each_key(&mut |key| found |= key.len() > path.0.len() && key.starts_with(&path.0));
        found
    }

    fn error(&mut self, path: KeyPath, message: impl Into<String>, help: impl Into<String>) {
        self.add(Severity::Error, path, message.into(), help.into());
    }

    fn warning(&mut self, path: KeyPath, message: impl Into<String>, help: impl Into<String>) {
        self.add(Severity::Warning, path, message.into(), help.into());
    }

    /// An error about the last key of the path, not about its value.
    fn key_error(&mut self, path: KeyPath, message: impl Into<String>, help: impl Into<String>) {
        let Some(span) = self.root.key_span_of(&path.0) else { return };
        let (message, help) = (message.into(), help.into());
        let key_path = path.to_string();
        self.problems.add(Problem { severity: Severity::Error, message, key_path, span: Some(span), help });
    }

    fn add(&mut self, severity: Severity, path: KeyPath, message: String, help: String) {
        let Some(span) = self.root.span_of(&path.0) else { return };
        self.problems.add(Problem { severity, message, key_path: path.to_string(), span: Some(span), help });
    }
}

/// Networks as operators write them.
fn networks(check: &mut Check<'_>, networks: &[String], path: &KeyPath) {
    for (position, text) in networks.iter().enumerate() {
        let Err(error) = text.parse::<Network>() else { continue };
        let help = match error {
            NetworkError::HostBits => "write the network's first address, or a single address without `/`",
            _ => "write an address, or one with the length of a prefix: `10.0.0.0/8`, `2001:db8::/32`, `192.0.2.7`",
        };
        check.error(path.clone().index(position), error.to_string(), help);
    }
}
