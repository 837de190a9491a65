//! For whom the listeners take a client's certificate.

use std::{net::SocketAddr, path::Path, sync::Arc, time::SystemTime};

use anyhow::{Context, bail};
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::Verdict;
use crate::{auth::ClientCertificate, config::Config, snapshot::listeners};

/// For whom each listener takes the certificate, of those on which certificates stand for somebody.
///
/// # Errors
/// It cannot be read, or no listener asks for one.
pub(in crate::cli) fn verdicts(
    config: &Config,
    file: &Path,
    caller: Option<&Verdict>,
    now: SystemTime,
) -> anyhow::Result<Vec<(SocketAddr, Verdict)>> {
    let chain = read(file)?;
    let certificate = ClientCertificate::read(chain.first().context("no certificate")?);
    let mut verdicts = Vec::new();
    for listener in listeners::compile(&config.listeners)? {
        let Some(clients) = listener.tls.as_ref().and_then(|tls| tls.clients.as_ref()) else { continue };
        let Some(rules) = clients.rules() else { continue };
        let verdict = clients.check(&chain, now).and_then(|()| {
            let voucher = rules.voucher(&certificate);
            match caller {
                None => voucher.principal(now),
                Some(Ok(caller)) => voucher.check(caller, now).map(|()| Arc::clone(caller)),
                Some(Err(error)) => Err(error.clone()),
            }
        });
        verdicts.push((listener.address, verdict));
    }
    if verdicts.is_empty() {
        bail!("certificates stand for nobody here: no listener has `tls.client_principals`");
    }
    Ok(verdicts)
}

fn read(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let chain = chain.with_context(|| format!("cannot read {}", file.display()))?;
    if chain.is_empty() {
        bail!("no certificate in {}", file.display());
    }
    Ok(chain)
}
