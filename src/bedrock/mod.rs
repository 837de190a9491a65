//! Bedrock as AWS publishes it: its services, its operations and the shapes of its errors. Bytes in, values out;
//! no clock, no configuration, no network.

pub mod ask;
pub mod body;
pub mod dialect;
pub mod exception;
pub mod harness;
mod json;
pub mod listing;
pub mod metadata;
pub mod model;
pub mod named;
pub mod operation;
pub mod path;
pub mod service;
pub mod sonic;
pub mod terms;
mod text;
pub mod usage;

pub use dialect::Dialect;
pub use operation::{Operation, Streams, operations};
pub use path::RawPath;
pub use service::Service;
