//! Attacks on a running gateway over raw sockets: what is refused must not reach the simulator, in its first reading or any other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // nothing here but tests and what they call

mod bypass;
mod connections;
mod floods;
mod frames;
mod framing;
mod pipelining;
mod raw;
mod slow;
mod world;
