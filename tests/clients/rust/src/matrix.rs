//! The Rust SDK by environment variables alone: a call to each service, or calls for as long as credentials live more than once.

use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig};
use aws_sdk_bedrockagentruntime::types::KnowledgeBaseQuery;
use aws_sdk_bedrockruntime::types::{ContentBlock, ConversationRole, Message};

const MODEL: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";

/// What went wrong with a call.
type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // A refusal is not to be hidden by trying again.
    let environment = aws_config::defaults(BehaviorVersion::latest()).retry_config(RetryConfig::disabled()).load().await;
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let seconds = Duration::from_secs_f64(variable("MATRIX_SECONDS").parse().unwrap_or_default());
    let mut failed = false;
    for service in variable("MATRIX_SERVICES").split(' ') {
        match calls(service, &environment, seconds).await {
            Ok(()) => println!("ok {service}"),
            Err(error) => {
                failed = true;
                println!("failed {service}: {}", format!("{error:?}").split_whitespace().collect::<Vec<_>>().join(" "));
            }
        }
    }
    std::process::exit(i32::from(failed));
}

async fn calls(service: &str, environment: &SdkConfig, seconds: Duration) -> Result<(), Failure> {
    let until = Instant::now() + seconds;
    call(service, environment).await?;
    while Instant::now() < until {
        call(service, environment).await?;
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

async fn call(service: &str, environment: &SdkConfig) -> Result<(), Failure> {
    match service {
        "bedrock-runtime" => {
            let hello = Message::builder().role(ConversationRole::User).content(ContentBlock::Text("Say hello.".into())).build()?;
            aws_sdk_bedrockruntime::Client::new(environment).converse().model_id(MODEL).messages(hello).send().await?;
        }
        "bedrock" => {
            aws_sdk_bedrock::Client::new(environment).list_foundation_models().send().await?;
        }
        "bedrock-agent" => {
            aws_sdk_bedrockagent::Client::new(environment).list_agents().send().await?;
        }
        "bedrock-agent-runtime" => {
            let query = KnowledgeBaseQuery::builder().text("What is a gateway?").build();
            let client = aws_sdk_bedrockagentruntime::Client::new(environment);
            client.retrieve().knowledge_base_id("ABCDEFGHIJ").retrieval_query(query).send().await?;
        }
        "bedrock-agentcore" => {
            let client = aws_sdk_bedrockagentcore::Client::new(environment);
            client.list_events().memory_id("memory-0123456789").session_id("s").actor_id("a").send().await?;
        }
        "bedrock-agentcore-control" => {
            aws_sdk_bedrockagentcorecontrol::Client::new(environment).list_gateways().send().await?;
        }
        other => return Err(format!("no service {other}").into()),
    }
    Ok(())
}
