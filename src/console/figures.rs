//! What the console is shown: plain values, gathered by `server` at one moment, with no secret among them.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc};

use jiff::Timestamp;

use crate::{
    config::{Change, RequestLimits, Validity},
    ledger::Health,
    quota::Statement,
    telemetry::{Refused, history::Recent},
};

/// A gateway at one moment.
pub struct Figures {
    /// That moment.
    pub now: Timestamp,
    /// Of the process.
    pub started: Timestamp,
    /// Of the binary.
    pub version: &'static str,
    /// The number of the configuration in force.
    pub generation: u64,
    /// The file it was read from.
    pub file: String,
    /// Why no traffic should come here; empty if it should.
    pub unready: Vec<&'static str>,
    /// Signed for.
    pub region: String,
    /// By name.
    pub tenants: Vec<Tenant>,
    /// What the metrics counted in the last hour.
    pub recent: Recent,
    /// The latest first.
    pub refusals: Vec<Refused>,
    /// What upstream requests are signed with.
    pub credentials: Credentials,
    /// Nothing without a file.
    pub ledger: Option<Ledger>,
    /// By name.
    pub issuers: Vec<Issuer>,
    /// In the order of the file.
    pub listeners: Vec<Listener>,
    /// Models in the accounts that nobody said the price of.
    pub unpriced: BTreeSet<Arc<str>>,
    /// One per service.
    pub upstreams: Vec<Upstream>,
    /// Loads and reloads, the latest first.
    pub reloads: Vec<Reload>,
}

/// A tenant of the configuration in force.
pub struct Tenant {
    /// Its account.
    pub statement: Statement,
    /// How often it may ask.
    pub limits: RequestLimits,
}

/// AWS credentials, as far as they are anybody's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// None, not yet or not any more.
    None,
    /// For ever, or until they are replaced.
    Lasting,
    /// Until then, unless they are replaced before.
    Until(Timestamp),
}

/// How the ledger fares.
pub struct Ledger {
    /// Its file.
    pub file: String,
    /// How it fares.
    pub health: Health,
}

/// An issuer and its keys.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Its name in the configuration.
    pub name: String,
    /// `iss` of its tokens.
    pub url: String,
    /// Keys that its tokens are verified with.
    pub keys: usize,
    /// Since it last confirmed them; nothing for a file.
    pub age_seconds: Option<u64>,
    /// How often it is asked.
    pub refresh_seconds: u64,
    /// How long keys are believed that it does not confirm.
    pub outage_seconds_max: u64,
}

/// Where clients connect.
#[derive(Clone, Debug)]
pub struct Listener {
    /// As bound.
    pub address: SocketAddr,
    /// Empty: plaintext.
    pub certificates: Vec<(String, Validity)>,
    /// Connections open now.
    pub connections: u64,
}

/// Where requests of a service go.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Its name.
    pub service: &'static str,
    /// Host, and port unless it is the scheme's own; and the address that is taken in place of the host's.
    pub authority: String,
    /// Whether over TLS.
    pub tls: bool,
}

/// The first load of a configuration, or a reload.
#[derive(Clone, Debug)]
pub struct Reload {
    /// When.
    pub at: Timestamp,
    /// The number of the configuration in force after it.
    pub generation: u64,
    /// Why it changed nothing.
    pub error: Option<String>,
    /// What it changed in the file.
    pub changes: Vec<Change>,
    /// Files that the configuration names, or itself, whose contents were not those of before.
    pub files: Vec<String>,
    /// What in it differs from what the process started with, and until when.
    pub waiting: Vec<&'static str>,
}

impl Reload {
    /// Whether it came into force; the last that did is.
    pub fn was_taken(&self) -> bool {
        self.error.is_none()
    }

    /// Whether something was different then. Who sends SIGHUP after writing the file has it read twice.
    pub fn changed_something(&self) -> bool {
        self.error.is_none() && !(self.changes.is_empty() && self.files.is_empty())
    }
}

impl Figures {
    /// The tenant of that name.
    pub fn tenant(&self, name: &str) -> Option<&Tenant> {
        self.tenants.iter().find(|tenant| tenant.name() == name)
    }
}

impl Tenant {
    /// Its name.
    pub fn name(&self) -> &str {
        let name: &Arc<str> = &self.statement.tenant;
        name
    }
}
