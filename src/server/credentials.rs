//! AWS credentials, fetched before the old ones expire. The chain is aws-config's; it does not cache, so this does.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, error::CredentialsError},
};
use secrecy::ExposeSecret;
use tokio::{sync::watch, time::timeout};

use super::chance::chance;
use crate::{
    aws::{CredentialsSlot, credentials::refresh_after},
    config::{Config, Secret, StaticCredentials},
};

/// First pause after a failure; doubled up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How long an answer may take: none of the chain's providers is slower, and some would wait for ever.
const FETCH_MAX: Duration = Duration::from_secs(30);
/// How often credentials without an expiry are asked for again.
const UNEXPIRING_EVERY: Duration = Duration::from_secs(3_600);

/// Where credentials come from.
#[async_trait]
pub trait CredentialsSource: Send + Sync {
    /// Fetches credentials anew.
    async fn fetch(&self) -> Result<Credentials, CredentialsError>;
}

/// The configured keys, or the SDK's default chain.
///
/// # Errors
/// A configured secret cannot be read, or no request could be signed with the keys.
pub fn source(config: &Config) -> anyhow::Result<Box<dyn CredentialsSource>> {
    if let Some(fixed) = &config.credentials {
        return Ok(Box::new(Fixed(read_fixed(fixed)?)));
    }
    Ok(Box::new(Chain(Region::new(config.upstream.region.clone()))))
}

/// Keeps `slot` filled until `ending` is true: early, with jitter, and again and again while it fails.
pub async fn keep_fresh(source: Box<dyn CredentialsSource>, slot: Arc<CredentialsSlot>, mut ending: watch::Receiver<bool>) {
    let mut pause = PAUSE;
    let mut failing = false;
    loop {
        // A task that was replaced must not put its answer over its successor's.
        let fetched = tokio::select! {
            fetched = fetch(&*source) => fetched,
            _ = ending.wait_for(|&ends| ends) => return,
        };
        let wait = match fetched {
            Ok(credentials) => {
                let next = refresh_after(credentials.expiry(), SystemTime::now()).unwrap_or(UNEXPIRING_EVERY);
                slot.store(credentials);
                if failing {
                    tracing::info!("AWS credentials are there again");
                }
                (failing, pause) = (false, PAUSE);
                next
            }
            Err(error) => {
                if !failing {
                    let error = aws_smithy_types::error::display::DisplayErrorContext(&error).to_string();
                    tracing::warn!(error, "cannot fetch AWS credentials; {}", until_there_are(&slot, SystemTime::now()));
                }
                failing = true;
                pause = (pause * 2).min(PAUSE_MAX);
                pause
            }
        };
        tokio::select! {
            () = tokio::time::sleep(jittered(wait)) => {}
            _ = ending.wait_for(|&ends| ends) => return,
        }
    }
}

/// Once, and not for ever.
///
/// # Errors
/// There are none, or they have expired, or there is no answer within 30 seconds.
pub async fn fetch(source: &dyn CredentialsSource) -> Result<Credentials, CredentialsError> {
    let fetched = timeout(FETCH_MAX, source.fetch()).await;
    fetched
        .unwrap_or_else(|_| Err(CredentialsError::provider_timed_out(FETCH_MAX)))
        .and_then(|credentials| unexpired(credentials, SystemTime::now()))
}

/// A sidecar or a helper that hangs gives what it gave before. Those in the slot may be good.
fn unexpired(credentials: Credentials, now: SystemTime) -> Result<Credentials, CredentialsError> {
    match credentials.expiry() {
        Some(expiry) if expiry <= now => Err(CredentialsError::provider_error("the credentials have expired already")),
        _ => Ok(credentials),
    }
}

/// What that means for requests.
fn until_there_are(slot: &CredentialsSlot, now: SystemTime) -> &'static str {
    match slot.current(now) {
        Ok(_) => "the old ones serve until they expire",
        Err(_) => "there are none, and requests get 503 until there are",
    }
}

/// Up to a tenth shorter, so that a fleet does not ask at the same instant.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(1.0 - 0.1 * chance())
}

/// Made anew for each fetch: aws-config's providers read profiles once, and never see keys that were replaced there or a file that was
/// mended.
struct Chain(Region);

#[async_trait]
impl CredentialsSource for Chain {
    async fn fetch(&self) -> Result<Credentials, CredentialsError> {
        let chain: SdkConfig = aws_config::defaults(BehaviorVersion::latest()).region(self.0.clone()).load().await;
        let provider =
            chain.credentials_provider().ok_or_else(|| CredentialsError::not_loaded("the AWS credential chain is empty"))?;
        provider.provide_credentials().await
    }
}

struct Fixed(Credentials);

#[async_trait]
impl CredentialsSource for Fixed {
    async fn fetch(&self) -> Result<Credentials, CredentialsError> {
        Ok(self.0.clone())
    }
}

fn read_fixed(fixed: &StaticCredentials) -> anyhow::Result<Credentials> {
    let secret = fixed.secret_access_key.read()?;
    let token = fixed.session_token.as_ref().map(Secret::read).transpose()?;
    let token = token.map(|token| token.expose_secret().to_owned());
    for (key, text) in [
        ("access_key_id", fixed.access_key_id.as_str()),
        ("secret_access_key", secret.expose_secret()),
        ("session_token", token.as_deref().unwrap_or_default()),
    ] {
        anyhow::ensure!(StaticCredentials::is_plain(text), "`credentials.{key}` is not one line of ASCII without spaces");
    }
    Ok(Credentials::new(&fixed.access_key_id, secret.expose_secret(), token, None, "configuration"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Does not answer the first time.
    #[derive(Default)]
    struct Late(AtomicUsize);

    #[async_trait]
    impl CredentialsSource for Late {
        async fn fetch(&self) -> Result<Credentials, CredentialsError> {
            if self.0.fetch_add(1, Ordering::Relaxed) == 0 {
                std::future::pending::<()>().await;
            }
            Ok(Credentials::new("AKID", "secret", None, None, "test"))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_without_an_answer_fails_and_is_tried_again() {
        let slot = Arc::<CredentialsSlot>::default();
        let (_end, ending) = watch::channel(false);
        let kept = timeout(FETCH_MAX + PAUSE_MAX, keep_fresh(Box::new(Late::default()), slot.clone(), ending));
        assert!(kept.await.is_err(), "it goes on for ever");
        assert!(slot.current(SystemTime::now()).is_ok());
    }

    /// Good ones, and from then on some that have expired.
    #[derive(Default)]
    struct Stale(AtomicUsize);

    #[async_trait]
    impl CredentialsSource for Stale {
        async fn fetch(&self) -> Result<Credentials, CredentialsError> {
            let now = SystemTime::now();
            let expiry = if self.0.fetch_add(1, Ordering::Relaxed) == 0 { now + Duration::from_secs(600) } else { now - PAUSE };
            Ok(Credentials::new("AKID", "secret", None, Some(expiry), "test"))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn credentials_that_have_expired_take_nobodys_place() {
        let slot = Arc::<CredentialsSlot>::default();
        let source = Arc::new(Stale::default());
        let (_end, ending) = watch::channel(false);
        let kept = timeout(Duration::from_secs(3_600), keep_fresh(Box::new(Shared(source.clone())), slot.clone(), ending));
        assert!(kept.await.is_err(), "it goes on for ever");
        assert!(slot.current(SystemTime::now()).is_ok(), "the first ones are good by the clock on the wall");
        let fetches = source.0.load(Ordering::Relaxed);
        assert!((3..200).contains(&fetches), "asked again and again, with pauses: {fetches}");
    }

    #[test]
    fn keys_that_could_sign_nothing_are_not_taken() {
        let directory = tempfile::tempdir().unwrap();
        let secret = |name: &str, text: &str| {
            let file = directory.path().join(name);
            std::fs::write(&file, text).unwrap();
            Secret::File(file)
        };
        let with = |id: &str, key: &str, token: &str| {
            read_fixed(&StaticCredentials {
                access_key_id: id.to_owned(),
                secret_access_key: secret("key", key),
                session_token: Some(secret("token", token)),
            })
        };
        assert!(with("AKID", "a+/b=\n", "c\r\n").is_ok());
        for (id, key, token, named) in [
            ("AK\nID", "a", "b", "`credentials.access_key_id`"),
            ("AKID", "a\nb\n", "c", "`credentials.secret_access_key`"),
            ("AKID", "a", "b c", "`credentials.session_token`"),
        ] {
            let told = with(id, key, token).unwrap_err().to_string();
            assert!(told.starts_with(named), "{told}");
        }
    }

    struct Shared(Arc<Stale>);

    #[async_trait]
    impl CredentialsSource for Shared {
        async fn fetch(&self) -> Result<Credentials, CredentialsError> {
            self.0.fetch().await
        }
    }

    #[test]
    fn nobody_is_told_of_old_credentials_that_are_not_there() {
        let slot = CredentialsSlot::default();
        let now = SystemTime::now();
        assert!(until_there_are(&slot, now).starts_with("there are none"));
        slot.store(Credentials::new("AKID", "secret", None, Some(now + PAUSE), "test"));
        assert!(until_there_are(&slot, now).starts_with("the old ones"));
        assert!(until_there_are(&slot, now + PAUSE).starts_with("there are none"));
    }
}
