//! The command line.

pub mod demo_directory;
pub mod token;
