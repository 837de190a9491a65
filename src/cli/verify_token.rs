//! `tollgate verify-token`: who the gateway would take a token or a client's certificate for, or why it would refuse, through the code
//! that requests pass.

pub(super) mod certificates;

use std::{
    io::{self, Read, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use jiff::Timestamp;

use super::{
    check::{EX_CONFIG, or_refuse},
    groups,
};
use crate::{
    auth::{Authenticator, ClaimTag, IdentityError, Issued, KeySets, Principal, TokenCache},
    config::{self, Config},
    proxy::denial::Denial,
    server::key_sets::{self, Records},
    snapshot,
};

/// More of standard input is not read: a token and what surrounds it fit well.
const INPUT_BYTES_MAX: u64 = 64 * 1024;

/// Who a request would be from, or why from nobody.
pub(super) type Verdict = Result<Arc<Principal>, IdentityError>;

/// Which gateway, which token.
#[derive(Debug, clap::Args)]
pub struct VerifyTokenArgs {
    /// The gateway's configuration.
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
    /// The token; `-` reads it from standard input, which keeps it out of the process list [default: -, without --certificate]
    #[arg(long, value_name = "TOKEN", allow_hyphen_values = true)]
    pub token: Option<String>,
    /// A client's certificate (PEM, leaf first): for whom each listener takes it, alone or with the token beside it
    #[arg(long, value_name = "FILE")]
    pub certificate: Option<PathBuf>,
}

/// Prints a line for the token, and one for each listener that asks for certificates; succeeds if a request would be accepted.
///
/// # Errors
/// The token cannot be read, or the line not be written. A bad configuration, or a file that it names, is exit code 78, as `check` has it.
pub fn run(args: VerifyTokenArgs) -> anyhow::Result<ExitCode> {
    or_refuse(&args.config, verify_for(&args))
}

fn verify_for(args: &VerifyTokenArgs) -> anyhow::Result<ExitCode> {
    let config = match config::read(&args.config) {
        Ok(config) => config,
        Err(problems) => {
            writeln!(io::stderr(), "{problems}")?;
            return Ok(ExitCode::from(EX_CONFIG));
        }
    };
    let now = SystemTime::now();
    let token = match args.token.as_deref() {
        None if args.certificate.is_some() => None,
        token => Some(read_token(token.unwrap_or("-"))?),
    };
    let caller = match token {
        None => None,
        Some(token) => {
            let verdict = verdict(&config, &token, now)?;
            writeln!(io::stdout(), "{}", answer(&config, &verdict).0)?;
            show_groups(&config, &verdict)?;
            Some(verdict)
        }
    };
    let accepted = match &args.certificate {
        None => caller.is_some_and(|caller| answer(&config, &caller).1),
        Some(file) => {
            let verdicts = certificates::verdicts(&config, file, caller.as_ref(), now)?;
            let answers: Vec<_> = verdicts.iter().map(|(listener, verdict)| (listener, answer(&config, verdict))).collect();
            for (listener, (text, _)) in &answers {
                writeln!(io::stdout(), "listener {listener}: {text}")?;
            }
            answers.iter().any(|(_, (_, accepted))| *accepted)
        }
    };
    Ok(if accepted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a request would be told, and whether it would be accepted: who somebody is, is one thing, and whether the gateway has the
/// tenant another.
fn answer(config: &Config, verdict: &Verdict) -> (String, bool) {
    match verdict {
        Ok(principal) if !config.tenants.contains_key(&*principal.tenant) => {
            (format!("refused: {} It is: {}", Denial::UnknownTenant, line(verdict)), false)
        }
        _ => (line(verdict), verdict.is_ok()),
    }
}

/// A line for each of the caller's groups.
fn show_groups(config: &Config, verdict: &Verdict) -> io::Result<()> {
    let Ok(principal) = verdict else { return Ok(()) };
    for group in &principal.groups {
        writeln!(io::stdout(), "group {group}: {}", groups::effect(config, group, &principal.tenant))?;
    }
    Ok(())
}

/// The token of an argument; `-`: what standard input has.
pub(super) fn read_token(argument: &str) -> anyhow::Result<String> {
    if argument != "-" {
        return Ok(argument.to_owned());
    }
    let mut token = String::new();
    io::stdin().take(INPUT_BYTES_MAX).read_to_string(&mut token).context("cannot read the token from standard input")?;
    Ok(token)
}

/// Who a request with the token would be from. Key sets that cannot be read are told of on standard error.
pub(super) fn verdict(config: &Config, token: &str, now: SystemTime) -> anyhow::Result<Verdict> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let (verdict, failures) = runtime.block_on(verify(config, snapshot::issued(config)?, token.trim(), now));
    for failure in failures {
        let instead = if failure.restored { "; the keys that the gateway saved are used" } else { "" };
        writeln!(io::stderr(), "{failure}{instead}")?;
    }
    Ok(verdict)
}

async fn verify(config: &Config, issued: Issued, token: &str, now: SystemTime) -> (Verdict, Vec<key_sets::KeySetFailure>) {
    let key_sets = Arc::new(KeySets::new());
    let failures = key_sets::load_once(config, &key_sets, &Records::default()).await;
    let authenticator = Authenticator::new(&config.issuers, key_sets, Arc::new(TokenCache::new(1)));
    let authenticator = authenticator.with_groups(config.groups.keys().cloned().collect());
    let authenticator = authenticator.with_claim_tags(&config.roles.claim_tags).with_issued(issued);
    // As a header, so that it meets what a request's token meets; what no header can carry is no token.
    let verdict = match HeaderValue::try_from(format!("Bearer {token}")) {
        Ok(value) => authenticator.authenticate(&HeaderMap::from_iter([(AUTHORIZATION, value)]), now),
        Err(_) => Err(IdentityError::Malformed),
    };
    (verdict, failures)
}

/// Who it is, or why nobody.
pub(super) fn line(verdict: &Verdict) -> String {
    let principal = match verdict {
        Ok(principal) => principal,
        Err(error) => return format!("refused: {error}"),
    };
    let expires = principal.expires_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let expires = i64::try_from(expires).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    let expires = expires.map_or_else(|| "never".to_owned(), |expires| expires.to_string());
    let groups = match principal.groups.as_slice() {
        [] => String::new(),
        groups => format!("groups {}, ", groups.join(" ")),
    };
    let tags: String = principal.tags.iter().map(tag).collect();
    let Principal { tenant, subject, issuer, .. } = &**principal;
    format!("tenant {tenant}, subject {subject}, issuer {issuer}, {groups}expires {expires}{tags}")
}

/// A session tag, after what comes before it.
fn tag(ClaimTag { key, value, .. }: &ClaimTag) -> String {
    match value {
        Some(value) => format!(", tag {key}={value}"),
        None => format!(", tag {key}: the claim's value cannot be one"),
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use super::*;
    use crate::auth::{DevelopmentIssuer, Proof};

    /// A configuration whose issuer's key set is a file beside it.
    fn config(directory: &Path) -> Config {
        let text = r#"
            listeners = []
            [upstream]
            region = "us-east-1"
            [issuers.corp]
            issuer = "https://id.corp.example"
            audiences = ["tollgate"]
            key_set = { file = "DIRECTORY/keys.json" }
        "#;
        toml::from_str(&text.replace("DIRECTORY", directory.to_str().unwrap())).unwrap()
    }

    #[tokio::test]
    async fn tokens_meet_what_requests_meet() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path());
        let issuer = DevelopmentIssuer::generate().unwrap();
        let now = SystemTime::now();
        let mint = |issuer: &DevelopmentIssuer, tenant| {
            issuer.mint("https://id.corp.example", "tollgate", tenant, "alice", Duration::from_secs(60), now)
        };
        let good = mint(&issuer, "acme");

        let (verdict, failures) = verify(&config, Issued::default(), &good, now).await;
        assert_eq!((verdict.unwrap_err(), failures.len()), (IdentityError::KeysUnavailable, 1));

        std::fs::write(directory.path().join("keys.json"), issuer.key_set_json()).unwrap();
        let (verdict, failures) = verify(&config, Issued::default(), &good, now).await;
        assert!(line(&verdict).starts_with("tenant acme, subject alice, issuer corp, expires 20"));
        assert!(failures.is_empty());

        let later = now + Duration::from_secs(300);
        assert!(verify(&config, Issued::default(), &good, later).await.0.unwrap_err().is_expired());
        for (token, reason) in [
            (mint(&issuer, "*"), "claim_invalid"),
            (mint(&DevelopmentIssuer::generate().unwrap(), "acme"), "key_unknown"),
            (String::new(), "credential_malformed"),
            (format!("{good} {good}"), "credential_malformed"),
            (format!("{good}\n{good}"), "token_malformed"),
        ] {
            assert_eq!(verify(&config, Issued::default(), &token, now).await.0.unwrap_err().reason(), reason);
        }
    }

    #[test]
    fn who_names_a_tenant_that_is_not_there_is_refused() {
        let mut config = config(Path::new("."));
        config.tenants = toml::from_str("[acme]").unwrap();
        let of = |tenant: &str| Ok(Arc::new(principal(tenant)));
        assert_eq!(answer(&config, &of("acme")), (line(&of("acme")), true));
        let (text, accepted) = answer(&config, &of("acne"));
        assert!(!accepted && text.starts_with("refused: The token names a tenant that this gateway does not know."), "{text}");
        assert!(text.contains("tenant acne, subject alice"), "{text}");
        assert!(!answer(&config, &Err(IdentityError::Malformed)).1);
    }

    fn principal(tenant: &str) -> Principal {
        Principal {
            issuer: "corp".into(),
            subject: "alice".into(),
            tenant: tenant.into(),
            groups: Vec::new(),
            other_groups: Vec::new(),
            expires_at: UNIX_EPOCH + Duration::from_millis(1_795_305_600_500),
            proof: Proof::Token,
            tags: Vec::new(),
        }
    }

    #[test]
    fn the_line_names_tenant_subject_issuer_and_expiry() {
        let principal = |groups: &[&str]| {
            let groups = groups.iter().map(|group| Arc::from(*group)).collect();
            Ok(Arc::new(Principal { groups, ..principal("acme") }))
        };
        assert_eq!(line(&principal(&[])), "tenant acme, subject alice, issuer corp, expires 2026-11-22T00:00:00Z");
        let grouped = line(&principal(&["beta", "opus"]));
        assert_eq!(grouped, "tenant acme, subject alice, issuer corp, groups beta opus, expires 2026-11-22T00:00:00Z");
        let tag = |key: &str, value: Option<&str>| ClaimTag { key: key.into(), claim: "c".into(), value: value.map(Into::into) };
        let tags = vec![tag("team", Some("search")), tag("center", None)];
        let untagged = Principal::clone(principal(&[]).as_ref().unwrap());
        let tagged = line(&Ok(Arc::new(Principal { tags, ..untagged })));
        assert!(tagged.ends_with("00Z, tag team=search, tag center: the claim's value cannot be one"), "{tagged}");
    }
}
