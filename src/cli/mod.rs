//! (being written)

pub mod check;
pub mod demo_directory;
pub mod token;
pub mod verify_token;
