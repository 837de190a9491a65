//! How much a client may send on one HTTP/2 connection beyond what was read of it: a size that all its streams share, and that grows while
//! some of them are not read.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use tokio::sync::Notify;

use super::{CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES};

/// RFC 9113 §6.9.1.
const BYTES_MAX: u32 = (1 << 31) - 1;

tokio::task_local! {
    static WINDOW: Arc<Window>;
}

/// Of one connection.
#[derive(Default)]
pub struct Window {
    /// To so many streams.
    lent: AtomicU32,
    changed: Notify,
}

/// One stream's window more, until it is dropped. HTTP/2 takes nothing back that a client was told it may send; that much is then not told
/// again.
pub struct Lent(Arc<Window>);

impl Window {
    /// That of the connection over which this task's request came; HTTP/1 has none.
    pub fn of_request() -> Option<Arc<Window>> {
        WINDOW.try_with(Arc::clone).ok()
    }

    /// Runs a request of this connection.
    pub(super) fn scope<F: Future>(self: Arc<Self>, request: F) -> impl Future<Output = F::Output> {
        WINDOW.scope(self, request)
    }

    /// How large it should be.
    pub(super) fn bytes(&self) -> u32 {
        let lent = self.lent.load(Ordering::Acquire).saturating_mul(STREAM_WINDOW_BYTES);
        CONNECTION_WINDOW_BYTES.saturating_add(lent).min(BYTES_MAX)
    }

    /// Waits until that may have changed.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl Lent {
    /// One more.
    pub fn of(window: &Arc<Window>) -> Lent {
        window.lent.fetch_add(1, Ordering::AcqRel);
        window.changed.notify_one();
        Lent(window.clone())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.0.lent.fetch_sub(1, Ordering::AcqRel);
        self.0.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_grows_by_what_is_lent_and_says_so() {
        const MIB: u32 = 1 << 20;
        let window = Arc::new(Window::default());
        assert!(timeout(Duration::from_secs(1), window.changed()).await.is_err());
        let lent: Vec<Lent> = (0..3).map(|_| Lent::of(&window)).collect();
        window.changed().await;
        assert_eq!(window.bytes(), 5 * MIB);
        drop(lent);
        window.changed().await;
        assert_eq!(window.bytes(), 2 * MIB);
        let _many: Vec<Lent> = (0..5_000).map(|_| Lent::of(&window)).collect();
        assert_eq!(window.bytes(), BYTES_MAX);
    }
}
