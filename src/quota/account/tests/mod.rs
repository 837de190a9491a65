//! The account against an oracle, under threads, and under every schedule that can be found.
