//! The connections of a listener that asks nobody who they are: so many, and beyond them who came first makes room for who comes. Closing
//! the new ones instead would let anybody on the host shut the operators out, by connecting and saying nothing.

use std::collections::VecDeque;

use tokio::task::AbortHandle;

/// The connections that may be open still, in the order in which they came.
pub(super) struct Latest {
    max: usize,
    open: VecDeque<AbortHandle>,
    /// Somebody had to make room; said once, until there is room again.
    full: bool,
}

impl Latest {
    /// None yet, and at most so many.
    pub fn new(max: usize) -> Latest {
        Latest { max, open: VecDeque::new(), full: false }
    }

    /// One more has come.
    pub fn add(&mut self, connection: AbortHandle) {
        self.open.retain(|connection| !connection.is_finished());
        let full = self.open.len() >= self.max;
        if full && !self.full {
            tracing::warn!(connections = self.max, "the admin listener has no more room; its oldest connections are closed");
        }
        self.full = full;
        while self.open.len() >= self.max {
            self.open.pop_front().iter().for_each(AbortHandle::abort);
        }
        self.open.push_back(connection);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::task::JoinHandle;

    use super::*;

    fn connect(latest: &mut Latest) -> JoinHandle<()> {
        let connection = tokio::spawn(pending());
        latest.add(connection.abort_handle());
        connection
    }

    #[tokio::test]
    async fn who_came_first_goes_first_and_who_is_gone_takes_no_room() {
        const MAX: usize = 64;
        let mut latest = Latest::new(MAX);
        let mut open: VecDeque<_> = (0..MAX).map(|_| connect(&mut latest)).collect();
        let gone = open.remove(5).unwrap();
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
        open.push_back(connect(&mut latest));
        assert!(!latest.full, "one had gone by itself");
        open.push_back(connect(&mut latest));
        assert!(latest.full);
        assert!(open.pop_front().unwrap().await.unwrap_err().is_cancelled());
        assert!(open.iter().all(|connection| !connection.is_finished()));
        assert_eq!(latest.open.len(), MAX);
    }
}
