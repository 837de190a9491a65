//! A client that leaves while Bedrock answers. Bedrock bills what it generates and not what the client reads, so the rest is read all
//! the same, within bounds, to learn the usage; nobody gets it.

use std::time::Duration;

use pingora_core::protocols::http::HttpTask;
use pingora_error::{Error, ErrorType, Result};
use prometheus::IntGauge;
use tokio::time::Instant;

use crate::{config::Metering, telemetry::Counted};

/// One client, there or gone.
pub struct Departure {
    /// `None`: a client that leaves ends the request.
    bounds: Option<Bounds>,
    reading_on: Option<ReadingOn>,
}

/// How much is read for nobody.
pub struct Bounds {
    gauge: IntGauge,
    longest: Duration,
    bytes_max: u64,
}

struct ReadingOn {
    _counted: Counted,
    deadline: Instant,
    bytes_left: u64,
}

impl Bounds {
    /// `None` if the configuration wants nothing read.
    pub fn new(metering: &Metering, gauge: &IntGauge) -> Option<Bounds> {
        let Metering { read_on_seconds_max: seconds, read_on_bytes_max: bytes_max } = *metering;
        (seconds > 0 && bytes_max > 0).then(|| Bounds { gauge: gauge.clone(), longest: Duration::from_secs(seconds), bytes_max })
    }
}

impl Departure {
    /// The client is there.
    pub fn new(bounds: Option<Bounds>) -> Departure {
        Departure { bounds, reading_on: None }
    }

    /// Whether it left and the answer is read on.
    pub fn is_reading_on(&self) -> bool {
        self.reading_on.is_some()
    }

    /// The connection to the client failed: its error is swallowed if the answer is to be read on.
    pub fn leave(&mut self, e: Box<Error>) -> Result<()> {
        let Some(bounds) = &self.bounds else { return Err(e) };
        self.reading_on = Some(ReadingOn {
            _counted: Counted::in_gauge(bounds.gauge.clone()),
            deadline: Instant::now() + bounds.longest,
            bytes_left: bounds.bytes_max,
        });
        Ok(())
    }

    /// Takes pieces that nobody waits for.
    pub fn swallow(&mut self, tasks: &[HttpTask]) -> Result<()> {
        let Some(reading) = &mut self.reading_on else { return Ok(()) };
        for task in tasks {
            if let HttpTask::Body(Some(piece), _) = task {
                reading.bytes_left = reading.bytes_left.checked_sub(piece.len() as u64).ok_or_else(enough)?;
            }
        }
        Ok(())
    }

    /// Ends when enough was read; pends for ever while the client is there.
    pub async fn enough(&self) -> Box<Error> {
        match &self.reading_on {
            Some(reading) => tokio::time::sleep_until(reading.deadline).await,
            None => std::future::pending().await,
        }
        enough()
    }
}

fn enough() -> Box<Error> {
    Error::explain(ErrorType::ConnectionClosed, "the client left, and as much was read on as may be").into_down()
}
