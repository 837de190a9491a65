//! The processes that conversations are measured through.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::Arc,
};

use aws_credential_types::Credentials;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use secrecy::ExposeSecret;
use tokio_rustls::TlsConnector;
use tollgate::{
    auth::{
        SealingKeys,
        key_ring::{NewKeyFor, new_access_key},
    },
    aws::Signer,
    config::{SealingKey, Secret},
    simulator::SimulatorKey,
};

use crate::{
    client::Target,
    roles::{Running, Surroundings, start_tollgate},
};

/// All that is measured, direct first.
pub const TARGETS: [&str; 4] = ["direct", "bare", "tollgate", "verified"];
/// Those whose CPU is measured.
pub const PROXIES: [&str; 3] = ["bare", "tollgate", "verified"];

const TENANT: &str = r#"
        operations = ["InvokeModelWithBidirectionalStream"]
        models = ["amazon.*"]
        [vending]
        sealing_keys = [{ id = "bench", secret = { file = "sealing" } }]
        [keys]
        file = "keys.toml"
        "#;

/// Everything that runs, for as long as this value lives.
pub struct World {
    targets: [Target; TARGETS.len()],
    _children: [Running; 3],
    _directory: tempfile::TempDir,
}

impl World {
    /// Starts the simulator and both proxies, and waits until they listen.
    pub async fn start() -> anyhow::Result<World> {
        let Surroundings { directory, ca_file, simulator, upstream, bare, bare_address } = Surroundings::start()?;
        let gateway = directory.path().join("gateway");
        let keys = write_keys(&gateway)?;
        let (tollgate, address, token) = start_tollgate(&gateway, &ca_file, upstream, TENANT)?;

        let simulators = signer(SimulatorKey::for_tests());
        let target = |name, process: &Running, address, signer: &Arc<Signer>| {
            let (process, signer) = (process.id(), signer.clone());
            Target { name, process, address, tls: None, signer, token: None }
        };
        let targets = [
            Target { tls: Some(tls(&ca_file)?), ..target("direct", &simulator, upstream, &simulators) },
            target("bare", &bare, bare_address, &simulators),
            Target { token: Some(token), ..target("tollgate", &tollgate, address, &keys) },
            target("verified", &tollgate, address, &keys),
        ];
        Ok(World { targets, _children: [simulator, bare, tollgate], _directory: directory })
    }

    /// The target of that name.
    pub fn target(&self, name: &str) -> &Target {
        let [direct, others @ ..] = &self.targets;
        others.iter().find(|target| target.name == name).unwrap_or(direct)
    }
}

/// Keys of the gateway's own, and the files it knows them by.
fn write_keys(directory: &Path) -> anyhow::Result<Arc<Signer>> {
    fs::create_dir_all(directory)?;
    let write = |name: &str, text: &str| {
        let file = directory.join(name);
        fs::write(&file, text)?;
        fs::set_permissions(&file, Permissions::from_mode(0o600))?;
        std::io::Result::Ok(file)
    };
    let secret = Secret::File(write("sealing", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=")?);
    let sealing = SealingKeys::read(&[SealingKey { id: "bench".to_owned(), secret }])?;
    let key = new_access_key(&NewKeyFor { tenant: "acme", principal: None, groups: &[], expires: None }, &sealing)?;
    write("keys.toml", &key.entry)?;
    let secret_access_key = key.secret.expose_secret().to_owned();
    Ok(signer(SimulatorKey { access_key_id: key.id, secret_access_key, session_token: None }))
}

fn signer(key: SimulatorKey) -> Arc<Signer> {
    let credentials = Credentials::new(key.access_key_id, key.secret_access_key, key.session_token, None, "bench");
    Arc::new(Signer::new(credentials))
}

fn tls(ca_file: &Path) -> anyhow::Result<TlsConnector> {
    let mut roots = rustls::RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(ca_file)? {
        roots.add(root?)?;
    }
    let mut config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
