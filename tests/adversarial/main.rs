//! Attacks on a running gateway over raw sockets: what is refused must not reach the simulator, in its first reading or any other.

mod bypass;
mod framing;
mod raw;
mod slow;
mod world;
