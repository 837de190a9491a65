//! The client whose answer is on its way: watched, since it may leave, and written to as long as it is there.

use std::{pin::Pin, sync::Arc};

use pingora_core::protocols::http::{HttpTask, ServerSession};
use pingora_error::{Error, ErrorType, Result};

use crate::proxy::{
    Passage,
    custody::Custody,
    departure::{Bounds, Departure},
    ready::at_once,
};

/// What a request ends with whose answer was read to its end for nobody. Nothing broke.
pub const LEFT: ErrorType = ErrorType::Custom("client_left");

/// See the module.
pub struct Client {
    departure: Departure,
    /// Acknowledges the charge before the end is told.
    custody: Option<Arc<Custody>>,
}

impl Client {
    /// One that is there. `read_on`: how far its answer is read if it leaves; `custody`: what has to acknowledge the charge before it sees
    /// the end.
    pub fn new(read_on: Option<Bounds>, custody: Option<Arc<Custody>>) -> Client {
        Client { departure: Departure::new(read_on), custody }
    }

    /// What something gives that has to be waited for.
    ///
    /// # Errors
    /// The client left meanwhile, and nobody wants its answer, or not so much of it.
    pub async fn beside<F: Future>(
        &mut self,
        session: &mut ServerSession,
        passage: &mut Passage,
        mut awaited: Pin<&mut F>,
    ) -> Result<F::Output> {
        if let Some(output) = at_once(awaited.as_mut()).await {
            return Ok(output);
        }
        if !self.departure.is_reading_on() {
            let left = tokio::select! {
                biased;
                output = awaited.as_mut() => return Ok(output),
                // The request was read to its end: what is left is to notice who leaves.
                idle = session.read_body_or_idle(true) => idle,
            };
            match left {
                Err(e) => self.leave(session, passage, e)?,
                Ok(_) => return Ok(awaited.await),
            }
        }
        tokio::select! {
            biased;
            output = awaited => Ok(output),
            e = self.departure.enough() => Err(e),
        }
    }

    /// Writes pieces of the answer.
    ///
    /// # Errors
    /// The client left, and nobody wants its answer, or not so much of it.
    pub async fn write(&mut self, session: &mut ServerSession, passage: &mut Passage, tasks: Vec<HttpTask>) -> Result<()> {
        if tasks.is_empty() {
            return Ok(());
        }
        if self.departure.is_reading_on() {
            return self.departure.swallow(&tasks);
        }
        let end = tasks.iter().any(HttpTask::is_end);
        if end && let Some(custody) = self.custody.take() {
            // One that cannot be written waits in memory; to hold the answer back for as long would help nobody.
            let _ = custody.acknowledged().await;
        }
        match session.response_duplex_vec(tasks).await {
            Ok(_) => Ok(()),
            Err(e) => self.leave(session, passage, e),
        }
    }

    /// The answer is at its end.
    ///
    /// # Errors
    /// The client did not see it, and its connection must not end as if it had.
    pub fn end(self) -> Result<()> {
        match self.departure.is_reading_on() {
            true => Err(Error::explain(LEFT, "the answer was read on without the client").into_down()),
            false => Ok(()),
        }
    }

    fn leave(&mut self, session: &mut ServerSession, passage: &mut Passage, e: Box<Error>) -> Result<()> {
        session.set_keepalive(None);
        self.departure.leave(e.into_down())?;
        passage.content.client_leaves();
        Ok(())
    }
}
