//! The demo's files: an authority and a certificate for localhost, an issuer with its keys, the simulator's keys, and the configuration
//! that names them. All private to the user; the authority's key is never written.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use uuid::Uuid;

use super::{DemoArgs, TOKEN_LIFETIME};
use crate::{
    auth::{
        DevelopmentIssuer, SealingKeys,
        key_ring::{NewKey, NewKeyFor, new_access_key, new_api_key},
    },
    cli::{
        demo_directory::{create_private_directory, demo_directory, issuer_key_file, write_private_file},
        token::{DEMO_AUDIENCE, DEMO_ISSUER},
    },
    config::{SealingKey, Secret},
    simulator::{Simulator, SimulatorKey},
};

/// The configuration, before addresses are put in.
const CONFIG: &str = include_str!("../../../conf/demo.toml");

/// With the day before, Mozilla's longest life of a certificate.
const LEAF_DAYS: i64 = 88;

/// Where the files are, and what is told of them.
pub struct DemoFiles {
    /// The configuration in force.
    pub config: PathBuf,
    /// The authority that clients must trust.
    pub ca_bundle: PathBuf,
    /// A token for acme.
    pub acme: String,
    /// A token for globex.
    pub globex: String,
    /// An access key of acme.
    pub access_key: NewKey,
    /// An API key of acme.
    pub api_key: NewKey,
    /// The authority of the simulator, whom the gateway alone has to trust.
    pub simulator_ca: PathBuf,
    directory: PathBuf,
}

/// A key nobody could guess, for a simulator that anybody on this machine can reach.
pub fn simulator_key() -> anyhow::Result<SimulatorKey> {
    let secret = || Uuid::new_v4().simple().to_string();
    Ok(SimulatorKey { access_key_id: "AKIDTOLLGATEDEMO".to_owned(), secret_access_key: secret(), session_token: Some(secret()) })
}

impl DemoFiles {
    /// Writes everything anew.
    ///
    /// Each demo has a directory of its own, so that several can run; the issuer's key is the same for all of a user's.
    pub fn write(args: &DemoArgs, simulator: &Simulator, key: &SimulatorKey) -> anyhow::Result<DemoFiles> {
        let shared = demo_directory();
        let directory = shared.join(std::process::id().to_string());
        for directory in [&shared, &directory] {
            create_private_directory(directory).with_context(|| format!("cannot use {}", directory.display()))?;
        }
        remove_what_ended_demos_left(&shared);
        let write = |name: &str, contents: &str| -> anyhow::Result<PathBuf> {
            let file = directory.join(name);
            write_private_file(&file, contents.as_bytes()).with_context(|| format!("cannot write {}", file.display()))?;
            std::path::absolute(&file).context("no current directory")
        };
        let certificates = Certificates::make()?;
        let ca_bundle = write("ca.pem", &certificates.ca)?;
        write("certificate.pem", &certificates.leaf)?;
        write("private-key.pem", &certificates.leaf_key)?;
        let simulator_ca = write("simulator-ca.pem", simulator.ca_pem())?;
        write("simulator-secret", &key.secret_access_key)?;
        write("simulator-session-token", key.session_token.as_deref().unwrap_or_default())?;

        let sealing_key = write("sealing-key", &sealing_key()?)?;
        // By the name that it has in the configuration.
        let sealing = SealingKeys::read(&[SealingKey { id: "demo".to_owned(), secret: Secret::File(sealing_key) }])?;
        let acme = NewKeyFor { tenant: "acme", principal: Some("demo-user"), groups: &[], expires: None };
        let (access_key, api_key) = (new_access_key(&acme, &sealing)?, new_api_key(&acme)?);
        write("keys.toml", &format!("{}\n{}", access_key.entry, api_key.entry))?;

        let issuer = issuer()?;
        write("issuer-keys.json", &issuer.key_set_json())?;
        let now = SystemTime::now();
        let token = |tenant: &str| issuer.mint(DEMO_ISSUER, DEMO_AUDIENCE, tenant, "demo-user", TOKEN_LIFETIME, now);
        let config = write("tollgate.toml", &config(args, simulator))?;
        Ok(DemoFiles {
            config,
            ca_bundle,
            acme: token("acme"),
            globex: token("globex"),
            access_key,
            api_key,
            simulator_ca,
            directory,
        })
    }
}

impl Drop for DemoFiles {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next demo.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// 32 random bytes in base64.
fn sealing_key() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).ok().context("no randomness")?;
    Ok(STANDARD.encode(bytes))
}

/// The issuer that `tollgate token` speaks for; made by the first demo.
fn issuer() -> anyhow::Result<DevelopmentIssuer> {
    let file = issuer_key_file();
    if let Ok(pem) = fs::read_to_string(&file)
        && let Ok(issuer) = DevelopmentIssuer::from_private_key_pem(&pem)
    {
        return Ok(issuer);
    }
    let issuer = DevelopmentIssuer::generate()?;
    write_private_file(&file, issuer.private_key_pem().as_bytes()).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(issuer)
}

/// Directories are named by process id. Where there is no /proc to ask, nothing is removed.
fn remove_what_ended_demos_left(shared: &Path) {
    if !Path::new("/proc/self").exists() {
        return;
    }
    for entry in fs::read_dir(shared).into_iter().flatten().flatten() {
        let is_id = entry.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok());
        if is_id && !Path::new("/proc").join(entry.file_name()).exists() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The shipped configuration with this run's addresses in place of `127.0.0.1:0`, which stands there four times.
fn config(args: &DemoArgs, simulator: &Simulator) -> String {
    let mut ports = [args.port, 0, args.admin_port, simulator.address().port()].into_iter();
    let mut parts = CONFIG.split("127.0.0.1:0");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| format!("{text}127.0.0.1:{}{part}", ports.next().unwrap_or_default()))
}

struct Certificates {
    ca: String,
    leaf: String,
    leaf_key: String,
}

impl Certificates {
    fn make() -> Result<Certificates, rcgen::Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "tollgate demo authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let ca = params.self_signed(&key)?;
        let authority = Issuer::new(params, key);

        let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, "localhost");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        let day = |date: Date| date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs());
        params.not_before = day(today.saturating_sub(1.day()));
        params.not_after = day(today.saturating_add(LEAF_DAYS.days()));
        let leaf_key = KeyPair::generate()?;
        let leaf = params.signed_by(&leaf_key, &authority)?;
        Ok(Certificates { ca: ca.pem(), leaf: leaf.pem(), leaf_key: leaf_key.serialize_pem() })
    }
}
