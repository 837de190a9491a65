//! One call of AssumeRole, through AWS's own SDK.

use std::{fmt, mem, sync::Arc, time::Duration, time::SystemTime};

use aws_config::{BehaviorVersion, Region, identity::IdentityCache, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::{
    Credentials,
    provider::{self, ProvideCredentials, error::CredentialsError, future},
};
use aws_sdk_sts::{
    Client,
    config::{
        ConfigBag, Intercept, RuntimeComponents, http::HttpResponse, interceptors::BeforeDeserializationInterceptorContextMut,
    },
    error::{BoxError, ProvideErrorMetadata, SdkError},
    operation::assume_role::AssumeRoleError as ServiceError,
    types::Tag,
};
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;
use aws_smithy_types::body::SdkBody;
use http_body_util::Limited;
use tokio::sync::OnceCell;

use crate::{
    aws::{Assumption, CredentialsSlot},
    config::Config,
    telemetry::{AssumeRoleOutcome, with_causes},
};

pub(super) const OK: AssumeRoleOutcome = AssumeRoleOutcome::Ok;

/// One try, and all of them.
const ATTEMPT_MAX: Duration = Duration::from_secs(4);
const CALL_MAX: Duration = Duration::from_secs(10);
const ATTEMPTS_MAX: u32 = 2;

/// An answer has two or three kilobytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

const TOO_MANY_REQUESTS: u16 = 429;
/// What AWS says of callers that come too often, mostly with 400. As its SDKs know it.
const THROTTLING: [&str; 8] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "SlowDown",
];

/// STS as a configuration names it.
pub struct Sts {
    region: String,
    /// Instead of the region's own.
    endpoint: Option<String>,
    fips: bool,
    dual_stack: bool,
    credentials: Arc<CredentialsSlot>,
    /// Made for the first call: most gateways make none, and it reads the system's certificates.
    client: OnceCell<Client>,
}

/// Why there is no session. For operators: it has no secret in it, but for the caller it names too much.
#[derive(Debug, thiserror::Error)]
pub enum AssumeRoleError {
    /// STS answered so.
    #[error("STS says {code}: {message}")]
    Denied {
        /// `AccessDenied`
        code: String,
        /// In STS's words.
        message: String,
    },
    /// There was no answer, STS is not well, or is asked too often.
    #[error("STS cannot be asked: {0}")]
    Failed(String),
    /// The answer has no credentials in it that can be used.
    #[error("STS answered without credentials that can be used")]
    Empty,
}

impl AssumeRoleError {
    /// For metrics.
    pub fn outcome(&self) -> AssumeRoleOutcome {
        match self {
            AssumeRoleError::Denied { .. } => AssumeRoleOutcome::Denied,
            AssumeRoleError::Failed(_) | AssumeRoleError::Empty => AssumeRoleOutcome::Failed,
        }
    }
}

impl Sts {
    /// The STS of `config`, asked with what is in `credentials`.
    pub fn new(config: &Config, credentials: Arc<CredentialsSlot>) -> Sts {
        let (roles, upstream) = (&config.roles, &config.upstream);
        Sts {
            region: roles.sts_region.as_ref().unwrap_or(&upstream.region).clone(),
            endpoint: roles.sts_endpoint.clone(),
            fips: upstream.fips,
            dual_stack: upstream.dual_stack,
            credentials,
            client: OnceCell::new(),
        }
    }

    async fn client(&self) -> Client {
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_MAX).operation_timeout(CALL_MAX).build();
        let loader = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(self.region.clone()))
            .credentials_provider(FromSlot(self.credentials.clone()))
            // The slot is the cache.
            .identity_cache(IdentityCache::no_cache())
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS_MAX))
            .timeout_config(timeouts);
        let loader = match &self.endpoint {
            Some(endpoint) => loader.endpoint_url(endpoint).use_fips(false).use_dual_stack(false),
            None => loader.use_fips(self.fips).use_dual_stack(self.dual_stack),
        };
        let config = aws_sdk_sts::config::Builder::from(&loader.load().await).interceptor(Bounded).build();
        Client::from_conf(config)
    }

    /// Makes a session.
    ///
    /// # Errors
    /// There is none.
    pub async fn assume(&self, assumption: &Assumption) -> Result<Credentials, AssumeRoleError> {
        let Assumption { role, session_name, tags } = assumption;
        let client = self.client.get_or_init(|| self.client()).await;
        let mut request = client
            .assume_role()
            .role_arn(&role.arn)
            .role_session_name(session_name)
            .set_external_id(role.external_id.clone())
            .duration_seconds(i32::try_from(role.lifetime.as_secs()).unwrap_or(i32::MAX));
        for tag in tags {
            let tag = Tag::builder().key(&*tag.key).value(&*tag.value).build();
            request = request.tags(tag.map_err(|error| AssumeRoleError::Failed(error.to_string()))?);
        }
        // Of a tag that this session does not have, STS would say that it cannot be passed on.
        let passed_on = role.transitive_tags.iter().filter(|key| tags.iter().any(|tag| *tag.key == **key));
        for key in passed_on {
            request = request.transitive_tag_keys(key);
        }
        let answer = request.send().await.map_err(|error| told(&error))?;
        let keys = answer.credentials.ok_or(AssumeRoleError::Empty)?;
        let expiry = SystemTime::try_from(keys.expiration).map_err(|_| AssumeRoleError::Empty)?;
        let is_whole = [&keys.access_key_id, &keys.secret_access_key, &keys.session_token].iter().all(|text| is_one_word(text));
        if !is_whole || expiry <= SystemTime::now() {
            return Err(AssumeRoleError::Empty);
        }
        let token = Some(keys.session_token);
        Ok(Credentials::new(keys.access_key_id, keys.secret_access_key, token, Some(expiry), "AssumeRole"))
    }
}

/// What happened. The SDK's own text of an answer that it cannot read has the answer in it, secret key included.
fn told(error: &SdkError<ServiceError, HttpResponse>) -> AssumeRoleError {
    match error {
        SdkError::ServiceError(context) => {
            let (status, error) = (context.raw().status(), context.err());
            // Whatever answers so is not STS.
            let Some(code) = error.code() else {
                return AssumeRoleError::Failed(format!("the answer, {}, is none of STS's", status.as_u16()));
            };
            let message = error.message().unwrap_or("nothing more");
            if status.is_server_error() || status.as_u16() == TOO_MANY_REQUESTS || THROTTLING.contains(&code) {
                return AssumeRoleError::Failed(format!("{} {code}: {message}", status.as_u16()));
            }
            AssumeRoleError::Denied { code: code.to_owned(), message: message.to_owned() }
        }
        SdkError::ResponseError(_) => AssumeRoleError::Empty,
        SdkError::TimeoutError(_) => AssumeRoleError::Failed("no answer in time".to_owned()),
        _ => AssumeRoleError::Failed(with_causes(&error)),
    }
}

/// As AWS makes them; anything else cannot be sent on in a header.
fn is_one_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Reads no more of an answer than [`ANSWER_BYTES_MAX`]: whatever is at the endpoint, it is not to fill the memory of all tenants.
#[derive(Debug)]
struct Bounded;

#[dyn_dispatch_hint]
impl Intercept for Bounded {
    fn name(&self) -> &'static str {
        "bounded answers"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response_mut().body_mut();
        *body = SdkBody::from_body_1_x(Limited::new(mem::replace(body, SdkBody::taken()), ANSWER_BYTES_MAX));
        Ok(())
    }
}

/// The gateway's own credentials, for the SDK.
struct FromSlot(Arc<CredentialsSlot>);

impl fmt::Debug for FromSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the gateway's credentials")
    }
}

impl ProvideCredentials for FromSlot {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let current = self.0.current(SystemTime::now());
        let credentials: provider::Result =
            current.map(|signer| signer.credentials().clone()).map_err(CredentialsError::not_loaded);
        future::ProvideCredentials::ready(credentials)
    }
}
