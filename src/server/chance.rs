//! Chance, so that many gateways that started together do not ask at the same moment for ever.

/// From 0 to 1; in the middle if there is no chance to be had.
pub(super) fn chance() -> f64 {
    let mut random = [0; 2];
    match aws_lc_rs::rand::fill(&mut random) {
        Ok(()) => f64::from(u16::from_be_bytes(random)) / f64::from(u16::MAX),
        Err(_) => 0.5,
    }
}
