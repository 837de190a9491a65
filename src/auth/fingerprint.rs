//! SHA-256 over a list of parts, each preceded by its length, so that no two lists hash the same bytes.

use aws_lc_rs::digest::{Context, SHA256};

/// A hash being built.
pub struct Fingerprint(Context);

impl Fingerprint {
    /// Over nothing yet.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Fingerprint(Context::new(&SHA256))
    }

    /// Adds a part.
    pub fn add(&mut self, part: &[u8]) {
        self.0.update(&(part.len() as u64).to_be_bytes());
        self.0.update(part);
    }

    /// The hash.
    pub fn finish(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.iter_mut().zip(self.0.finish().as_ref()).for_each(|(to, from)| *to = *from);
        bytes
    }

    /// Its first eight bytes, as a number.
    pub fn short(self) -> u64 {
        self.finish().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}
