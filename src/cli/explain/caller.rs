//! Whose request it is: a tenant and groups by name, or whom the gateway would take a token, a certificate or a key for, through the code
//! that requests pass.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::SystemTime};

use anyhow::{Context, bail, ensure};

use crate::{
    auth::{IdentityError, Principal},
    cli::{
        usage::visible,
        verify_token::{self, Verdict, certificates},
    },
    config::Config,
    policy::Rights,
    snapshot::{self, Tenant},
};

/// Who asks.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("who").args(["tenant", "token", "certificate", "key"]).required(true).multiple(true))]
pub struct CallerArgs {
    /// Who asks
    #[arg(long, value_name = "T", conflicts_with_all = ["token", "certificate", "key"])]
    pub tenant: Option<String>,
    /// A token of whoever asks instead, with its tenant and groups; `-` reads it from standard input
    #[arg(long, value_name = "TOKEN", allow_hyphen_values = true, conflicts_with = "key")]
    pub token: Option<String>,
    /// A client's certificate (PEM, leaf first) of whoever asks, alone or with the token beside it
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    pub certificate: Option<PathBuf>,
    /// Over which listener the certificate comes, if they take it for different callers
    #[arg(long, value_name = "ADDRESS", requires = "certificate")]
    pub listener: Option<SocketAddr>,
    /// The id of a key in the keys file instead: an access key's, or what logs call an API key
    #[arg(long, value_name = "ID")]
    pub key: Option<String>,
    /// A group that the caller is in; repeat it for more
    #[arg(long = "group", value_name = "NAME", conflicts_with_all = ["token", "certificate", "key"])]
    pub groups: Vec<Arc<str>>,
    /// Who the credential is of.
    #[arg(skip)]
    pub subject: Option<Arc<str>>,
}

/// What a credential came to: the caller as `verify-token` tells it, and whether there is one.
pub(super) struct Found {
    pub line: String,
    pub is_good: bool,
}

impl CallerArgs {
    /// Takes tenant and groups from the credential, if one is given.
    ///
    /// # Errors
    /// It cannot be read, or a certificate stands for different callers, or there is no such key.
    pub(super) fn find(&mut self, config: &Config) -> anyhow::Result<Option<Found>> {
        let now = SystemTime::now();
        let Some(verdict) = self.verdict(config, now)? else {
            if let Some(group) = self.groups.iter().find(|group| !config.groups.contains_key(&***group)) {
                bail!("the configuration has no [groups.{group}]");
            }
            return Ok(None);
        };
        if let Ok(principal) = &verdict {
            self.tenant = Some(principal.tenant.to_string());
            self.groups.clone_from(&principal.groups);
            self.subject = Some(principal.subject.clone());
        }
        Ok(Some(Found { line: verify_token::line(&verdict), is_good: verdict.is_ok() }))
    }

    fn verdict(&self, config: &Config, now: SystemTime) -> anyhow::Result<Option<Verdict>> {
        if let Some(id) = &self.key {
            let keys = config.keys.as_ref().context("the configuration has no `[keys]`, so nobody has a key")?;
            let holder = snapshot::issued(config)?.holder(id, now);
            // The words for callers would send whoever mistyped the id after the signature.
            let is_unknown = matches!(holder, Err(IdentityError::UnknownAccessKey));
            ensure!(!is_unknown, "{} has no key of the id {}", keys.file.display(), visible(id));
            return Ok(Some(holder));
        }
        let token = self.token.as_deref().map(verify_token::read_token).transpose()?;
        let caller = token.map(|token| verify_token::verdict(config, &token, now)).transpose()?;
        let Some(file) = &self.certificate else { return Ok(caller) };
        let verdicts = certificates::verdicts(config, file, caller.as_ref(), now)?;
        Ok(Some(over_listener(verdicts, self.listener)?))
    }

    /// The tenant, as far as it is known.
    pub(super) fn tenant(&self) -> &str {
        self.tenant.as_deref().unwrap_or_default()
    }

    /// What the caller may.
    pub(super) fn rights<'t>(&self, tenant: &'t Tenant) -> Rights<'t> {
        tenant.policy.of_groups(&self.groups)
    }
}

/// The verdict of the listener that is asked for; of any, if all say the same.
fn over_listener(mut verdicts: Vec<(SocketAddr, Verdict)>, listener: Option<SocketAddr>) -> anyhow::Result<Verdict> {
    if let Some(listener) = listener {
        verdicts.retain(|(address, _)| *address == listener);
        ensure!(!verdicts.is_empty(), "certificates stand for nobody on {listener}");
    }
    let who = |verdict: &Verdict| match verdict {
        Ok(principal) => {
            let Principal { tenant, subject, issuer, .. } = &**principal;
            Ok([tenant, subject, issuer].map(Arc::clone))
        }
        Err(error) => Err(error.clone()),
    };
    let Some((_, verdict)) = verdicts.pop() else { bail!("certificates stand for nobody here") };
    if let Some((other, _)) = verdicts.iter().find(|(_, other)| who(other) != who(&verdict)) {
        bail!("the listeners take the certificate for different callers: name one of them, `--listener {other}`");
    }
    Ok(verdict)
}
