//! A future asked once: for what is there already, neither clock nor timer is needed, nor a look at anything else.

use std::{future::poll_fn, pin::Pin, task::Poll};

/// What a future has ready, if it need not be waited for. It can be waited for after this all the same.
pub async fn at_once<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
