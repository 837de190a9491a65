//! `tollgate token`: mints a token of the demo's issuer. Gateways other than the demo do not believe it.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, SystemTime},
};

use anyhow::{Context, ensure};

use super::demo_directory::issuer_key_file;
use crate::auth::{DevelopmentIssuer, claims};

/// `iss` of the demo's tokens. `.invalid` is nobody's (RFC 2606).
pub const DEMO_ISSUER: &str = "https://issuer.tollgate-demo.invalid";
/// `aud` of the demo's tokens.
pub const DEMO_AUDIENCE: &str = "tollgate-demo";

/// What a token says.
#[derive(Debug, clap::Args)]
pub struct TokenArgs {
    /// The tenant the token is for.
    #[arg(long, value_name = "T")]
    pub tenant: String,
    /// Who calls: the token's `sub`.
    #[arg(long, value_name = "S", default_value = "demo-user")]
    pub subject: String,
    /// How long the token is valid.
    #[arg(long, value_name = "N", default_value_t = 3_600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub lifetime_seconds: u64,
    /// The issuer's private key, PKCS #8 in PEM; default: the one that the running demo has written.
    #[arg(long, value_name = "F")]
    pub key_file: Option<PathBuf>,
    /// The token's `iss`.
    #[arg(long, value_name = "I", default_value = DEMO_ISSUER)]
    pub issuer: String,
    /// The token's `aud`.
    #[arg(long, value_name = "A", default_value = DEMO_AUDIENCE)]
    pub audience: String,
}

/// Prints a token on one line.
///
/// # Errors
/// The key cannot be read, or the gateway would refuse the names.
pub fn run(args: TokenArgs) -> anyhow::Result<ExitCode> {
    writeln!(io::stdout(), "{}", mint(&args, SystemTime::now())?)?;
    Ok(ExitCode::SUCCESS)
}

fn mint(args: &TokenArgs, now: SystemTime) -> anyhow::Result<String> {
    ensure!(claims::is_tenant(&args.tenant), "a tenant's name has 1 to 64 of the characters A-Z a-z 0-9 . _ -");
    ensure!(claims::is_subject(&args.subject), "a subject has 1 to 256 printable characters and no space at either end");
    let key_file = args.key_file.clone().unwrap_or_else(issuer_key_file);
    let pem = std::fs::read_to_string(&key_file);
    let pem = pem.with_context(|| format!("cannot read {}; is `tollgate demo` running?", key_file.display()))?;
    let issuer = DevelopmentIssuer::from_private_key_pem(&pem).with_context(|| key_file.display().to_string())?;
    let lifetime = Duration::from_secs(args.lifetime_seconds);
    Ok(issuer.mint(&args.issuer, &args.audience, &args.tenant, &args.subject, lifetime, now))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use clap::Parser;

    use super::*;
    use crate::{
        auth::{Authenticator, KeySet, KeySets, TokenCache},
        config::Issuer,
    };

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        token: TokenArgs,
    }

    fn args(words: &[&str]) -> Result<TokenArgs, clap::Error> {
        Command::try_parse_from([&["token"], words].concat()).map(|command| command.token)
    }

    #[test]
    fn a_minted_token_passes_the_authenticator() {
        let directory = tempfile::tempdir().unwrap();
        let key_file = directory.path().join("key.pem");
        let issuer = DevelopmentIssuer::generate().unwrap();
        std::fs::write(&key_file, issuer.private_key_pem()).unwrap();
        let args = args(&["--tenant", "acme", "--subject", "alice", "--key-file", key_file.to_str().unwrap()]).unwrap();
        let now = SystemTime::now();
        let token = mint(&args, now).unwrap();

        let file = format!("issuer = '{DEMO_ISSUER}'\naudiences = ['{DEMO_AUDIENCE}']");
        let configured: Issuer = toml::from_str(&file).unwrap();
        let key_sets = Arc::new(KeySets::new());
        key_sets.store("demo", KeySet::parse(issuer.key_set_json().as_bytes()).unwrap().0);
        let issuers = BTreeMap::from([("demo".to_owned(), configured)]);
        let authenticator = Authenticator::new(&issuers, key_sets, Arc::new(TokenCache::default()));
        let principal = authenticator.authenticate_token(&token, now).unwrap();
        assert_eq!((&*principal.tenant, &*principal.subject), ("acme", "alice"));
    }

    #[test]
    fn names_that_no_gateway_accepts_are_not_minted() {
        for tenant in ["*", "", "a b", "\u{430}cme"] {
            assert!(mint(&args(&["--tenant", tenant]).unwrap(), SystemTime::now()).is_err());
        }
        assert!(mint(&args(&["--tenant", "acme", "--subject", " "]).unwrap(), SystemTime::now()).is_err());
        assert!(args(&["--tenant", "acme", "--lifetime-seconds", "0"]).is_err());
        assert!(args(&["--tenant", "acme", "--lifetime-seconds", "86401"]).is_err());
        assert!(args(&[]).is_err());
    }

    #[test]
    fn a_missing_key_file_names_the_demo() {
        let args = args(&["--tenant", "acme", "--key-file", "/nonexistent/key.pem"]).unwrap();
        assert!(mint(&args, SystemTime::now()).unwrap_err().to_string().contains("tollgate demo"));
    }
}
