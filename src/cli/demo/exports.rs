//! What clients need, as lines to paste and as a file to read.

use std::{io::Write, net::SocketAddr, path::Path};

use secrecy::ExposeSecret;

use super::files::DemoFiles;
use crate::{bedrock::Service, simulator::Simulator};

/// The variables.
pub struct Exports {
    variables: Vec<(String, String)>,
    url: String,
    ca_bundle: String,
    token: String,
    admin: String,
}

const MODEL: &str = "anthropic.claude-3-haiku-20240307-v1:0";

impl Exports {
    /// Collects them.
    pub fn new(
        files: &DemoFiles,
        gateway: SocketAddr,
        plaintext: SocketAddr,
        admin: SocketAddr,
        simulator: &Simulator,
    ) -> Exports {
        let url = format!("https://localhost:{}", gateway.port());
        let admin = format!("http://{admin}");
        let ca_bundle = files.ca_bundle.display().to_string();
        let services = Service::ALL.into_iter().filter(|service| *service != Service::BedrockMantle);
        let mut variables: Vec<(String, String)> = services.map(|s| (s.endpoint_variable(), url.clone())).collect();
        let mut add = |name: &str, value: &str| variables.push((name.to_owned(), value.to_owned()));
        add("AWS_BEARER_TOKEN_BEDROCK", &files.acme);
        // For services whose clients know no bearer token.
        add("AWS_ACCESS_KEY_ID", "placeholder");
        add("AWS_SECRET_ACCESS_KEY", "placeholder");
        add("AWS_SESSION_TOKEN", &files.acme);
        add("AWS_CA_BUNDLE", &ca_bundle);
        add("AWS_REGION", "us-east-1");
        add("AWS_DEFAULT_REGION", "us-east-1");
        add("TOLLGATE_ADMIN_URL", &admin);
        add("TOLLGATE_TOKEN_ACME", &files.acme);
        add("TOLLGATE_TOKEN_GLOBEX", &files.globex);
        add("TOLLGATE_API_KEY", files.api_key.secret.expose_secret());
        add("TOLLGATE_ACCESS_KEY_ID", &files.access_key.id);
        add("TOLLGATE_SECRET_ACCESS_KEY", files.access_key.secret.expose_secret());
        add("TOLLGATE_CREDENTIALS_URL", &format!("http://{plaintext}/credentials"));
        add("TOLLGATE_STS_URL", &format!("{url}/sts"));
        add("TOLLGATE_SIMULATOR_URL", &simulator.url());
        add("TOLLGATE_SIMULATOR_CA_BUNDLE", &files.simulator_ca.display().to_string());
        add("TOLLGATE_CONFIG", &files.config.display().to_string());
        // Last: whoever waits for this line finds the others above it.
        add("TOLLGATE_URL", &url);
        Exports { variables, url, ca_bundle, token: files.acme.clone(), admin }
    }

    /// Writes `KEY=value` lines; the file appears whole.
    pub fn write(&self, file: &Path) -> std::io::Result<()> {
        let lines: String = self.variables.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        crate::cli::demo_directory::write_private_file(file, lines.as_bytes())
    }

    /// Prints a block per client.
    pub fn print(&self) {
        let Exports { url, ca_bundle, token, admin, .. } = self;
        let aws: String = self
            .variables
            .iter()
            .filter(|(name, _)| name.starts_with("AWS_"))
            .map(|(name, value)| format!("export {name}={value}\n"))
            .collect();
        let text = format!(
            "tollgate is ready at {url} (admin: {admin}). Paste one block into another terminal.
Its configuration is {} and reloads when you edit it.

# boto3, AWS CLI, Rust, Go, Java: bedrock and bedrock-runtime take the bearer token, every other service takes it as session token of
# placeholder keys
{aws}
# ... or AWS credentials that the gateway vends for the token; SDKs fetch and refresh them by themselves:
unset AWS_BEARER_TOKEN_BEDROCK AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN
export AWS_CONTAINER_CREDENTIALS_FULL_URI={} AWS_CONTAINER_AUTHORIZATION_TOKEN={token}

# ... or keys without an identity provider (tollgate key new): an access key, or an API key as bearer token
unset AWS_CONTAINER_CREDENTIALS_FULL_URI AWS_SESSION_TOKEN
export AWS_ACCESS_KEY_ID={} AWS_SECRET_ACCESS_KEY={}
export AWS_BEARER_TOKEN_BEDROCK={}

# JS: as above, and
export NODE_EXTRA_CA_CERTS={ca_bundle}

# Go, Rust: as above, and
export SSL_CERT_FILE={ca_bundle}

# Anthropic SDK: AnthropicBedrock(), or Anthropic() with the second pair
export ANTHROPIC_BEDROCK_BASE_URL={url} AWS_BEARER_TOKEN_BEDROCK={token} AWS_REGION=us-east-1 SSL_CERT_FILE={ca_bundle}
export ANTHROPIC_BASE_URL={url}/anthropic ANTHROPIC_API_KEY={token}

# OpenAI SDK
export OPENAI_BASE_URL={url}/openai/v1 OPENAI_API_KEY={token} SSL_CERT_FILE={ca_bundle}

# curl
curl --cacert {ca_bundle} -H 'Authorization: Bearer {token}' -H 'content-type: application/json' \\
  {url}/model/{MODEL}/converse -d '{{\"messages\":[{{\"role\":\"user\",\"content\":[{{\"text\":\"Hello\"}}]}}]}}'
curl {admin}/metrics

# In a browser: the operators' console, and a tenant's own page (paste a token or an API key there)
#   {admin}/console
#   {url}/v1/usage

# A token for the second tenant, which has two models and small limits
{}

Ctrl-C ends the demo. Requests are logged below, one line each.
",
            self.value("TOLLGATE_CONFIG"),
            self.value("TOLLGATE_CREDENTIALS_URL"),
            self.value("TOLLGATE_ACCESS_KEY_ID"),
            self.value("TOLLGATE_SECRET_ACCESS_KEY"),
            self.value("TOLLGATE_API_KEY"),
            self.value("TOLLGATE_TOKEN_GLOBEX"),
        );
        // Nobody may be reading; the demo runs all the same.
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
    }

    fn value(&self, name: &str) -> &str {
        self.variables.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}
