//! The processes that are measured against each other.

use std::{fs, sync::Arc};

use aws_credential_types::Credentials;
use tollgate::{aws::Signer, simulator::SimulatorKey};

use crate::{
    load::{Access, Target},
    report::LIMITED,
    roles::{Running, Surroundings, start_tollgate},
};

/// Everything that runs, for as long as this value lives.
pub struct World {
    /// Direct, bare Pingora, tollgate, tollgate with quotas and a ledger.
    pub targets: [Target; 4],
    _children: [Running; 4],
    _directory: tempfile::TempDir,
}

impl World {
    /// Starts the simulator and both proxies, and waits until they listen.
    pub async fn start() -> anyhow::Result<World> {
        let Surroundings { directory, ca_file, simulator, upstream, bare, bare_address } = Surroundings::start()?;
        let (tollgate, address, token) = start_tollgate(&directory.path().join("plain"), &ca_file, upstream, CONVERSE)?;
        let limits = [CONVERSE, LIMITS].concat();
        let (limited, limited_address, limited_token) =
            start_tollgate(&directory.path().join("limited"), &ca_file, upstream, &limits)?;

        let key = SimulatorKey::for_tests();
        let credentials = Credentials::new(key.access_key_id, key.secret_access_key, key.session_token, None, "bench");
        let signer = Arc::new(Signer::new(credentials));
        let ca = fs::read(&ca_file)?;
        let targets = [
            Target::new("direct", simulator.id(), upstream, Some(&ca), Access::Signed(signer.clone()))?,
            Target::new("bare", bare.id(), bare_address, None, Access::Signed(signer))?,
            Target::new("tollgate", tollgate.id(), address, None, Access::Token(token))?,
            Target::new(LIMITED, limited.id(), limited_address, None, Access::Token(limited_token))?,
        ];
        Ok(World { targets, _children: [simulator, bare, tollgate, limited], _directory: directory })
    }

    /// The target of that name.
    pub fn target(&self, name: &str) -> &Target {
        let [direct, others @ ..] = &self.targets;
        others.iter().find(|target| target.name == name).unwrap_or(direct)
    }
}

/// What the tenant may call.
const CONVERSE: &str = r#"
        operations = ["Converse*"]
        models = ["anthropic.*"]
        "#;

/// Every kind of limit, of all models and of some, and none that is ever reached.
const LIMITS: &str = r#"
        [[tenants.acme.quotas]]
        tokens_per_minute = 1_000_000_000
        input_tokens_per_minute = 1_000_000_000
        output_tokens_per_minute = 1_000_000_000
        tokens_per_day = 1_000_000_000_000
        tokens_per_month = 1_000_000_000_000
        usd_per_day = "1000000"
        usd_per_month = "1000000"
        max_tokens = 1_000_000
        [[tenants.acme.quotas]]
        models = ["anthropic.*"]
        tokens_per_day = 1_000_000_000_000
        usd_per_month = "1000000"
        [ledger]
        file = "account/ledger.sqlite"
        "#;
