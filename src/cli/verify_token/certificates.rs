//! For whom the listeners take a client's certificate.

use std::{
    io::{self, Write},
    path::Path,
    sync::Arc,
    time::SystemTime,
};

use anyhow::{Context, bail};
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::line;
use crate::{
    auth::{ClientCertificate, IdentityError, Principal},
    config::Config,
    snapshot::listeners,
};

/// Prints a line for each listener on which certificates stand for somebody; whether one of them would let the request through.
pub(super) fn show(
    config: &Config,
    file: &Path,
    caller: Option<&Result<Arc<Principal>, IdentityError>>,
    now: SystemTime,
) -> anyhow::Result<bool> {
    let chain = read(file)?;
    let certificate = ClientCertificate::read(chain.first().context("no certificate")?);
    let mut accepted = false;
    let mut found = false;
    for listener in listeners::compile(&config.listeners)? {
        let Some(clients) = listener.tls.as_ref().and_then(|tls| tls.clients.as_ref()) else { continue };
        found = true;
        let voucher = clients.voucher(&certificate, &chain, now);
        let verdict = match caller {
            None => voucher.principal(now),
            Some(Ok(caller)) => voucher.check(caller, now).map(|()| Arc::clone(caller)),
            Some(Err(error)) => Err(error.clone()),
        };
        accepted |= verdict.is_ok();
        writeln!(io::stdout(), "listener {}: {}", listener.address, line(&verdict))?;
    }
    if !found {
        bail!("certificates stand for nobody here: no listener has `tls.client_principals`");
    }
    Ok(accepted)
}

fn read(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let chain = chain.with_context(|| format!("cannot read {}", file.display()))?;
    if chain.is_empty() {
        bail!("no certificate in {}", file.display());
    }
    Ok(chain)
}
