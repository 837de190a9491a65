//! How many requests run at once over all tenants. Beyond the bound they are refused before anything is spent on them, and nothing
//! waits in line: a queue would only let everybody wait longer for the same answer.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::Denial;

/// The requests running now.
#[derive(Default)]
pub struct Load {
    running: AtomicU64,
    begun: AtomicU64,
}

/// One of them, until it is dropped.
pub struct Burden(Arc<Load>);

impl Load {
    /// One more, unless there are `max`.
    pub fn take_on(self: &Arc<Self>, max: u64) -> Result<Burden, Denial> {
        let burden = Burden(self.clone());
        self.begun.fetch_add(1, Ordering::Relaxed);
        if self.running.fetch_add(1, Ordering::Relaxed) < max { Ok(burden) } else { Err(Denial::Overloaded) }
    }

    /// How many have begun since the process did.
    pub fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }
}

impl Drop for Burden {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_reached_exactly_and_refusals_weigh_nothing() {
        let load = Arc::new(Load::default());
        let running: Vec<_> = (0..3).map(|_| load.take_on(3).ok().unwrap()).collect();
        for _ in 0..10 {
            assert!(matches!(load.take_on(3), Err(Denial::Overloaded)));
        }
        drop(running);
        assert!(load.take_on(1).is_ok());
        assert_eq!(load.running.load(Ordering::Relaxed), 0);
    }
}
