//! tollgate stands between an organisation's AWS SDK clients and Amazon Bedrock.

pub mod admin;
pub mod auth;
pub mod aws;
pub mod bedrock;
pub mod cli;
pub mod config;
pub mod policy;
pub mod proxy;
pub mod quota;
pub mod routing;
pub mod server;
pub mod simulator;
pub mod snapshot;
pub mod telemetry;
