//! Background work and composition.

pub mod key_sets;
