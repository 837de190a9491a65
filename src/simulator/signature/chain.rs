//! The signatures of a request's events, each over the one before it: verified with code that shares nothing with the crate that signs, nor
//! with the gateway that signs anew.

use aws_smithy_types::event_stream::Message;
use hmac::Mac;
use jiff::{Timestamp, tz::TimeZone};
use sha2::{Digest, Sha256};

use super::{SKEW_MAX_SECONDS, authorization::Authorization, derived, hex, keyed};
use crate::simulator::SimulatorKey;

/// One request's events, at the last one.
pub(in super::super) struct Chain {
    secret: String,
    region: String,
    service: String,
    previous: String,
}

impl Chain {
    /// Begins with the signature of a head that was verified.
    pub(super) fn begin(key: &SimulatorKey, authorization: &Authorization) -> Chain {
        Chain {
            secret: key.secret_access_key.clone(),
            region: authorization.region.to_owned(),
            service: authorization.service.to_owned(),
            previous: hex(&authorization.signature),
        }
    }

    /// Goes on to the next event, or says what AWS would not believe.
    pub fn next(&mut self, message: &Message, now: Timestamp) -> Result<(), &'static str> {
        let header = |name: &str| {
            let mut found = message.headers().iter().filter(|header| header.name().as_str() == name);
            found.next().filter(|_| found.next().is_none()).map(|header| header.value())
        };
        let date = header(":date").and_then(|value| value.as_timestamp().ok()).ok_or("an event has no :date")?;
        let signature = header(":chunk-signature").and_then(|value| value.as_byte_array().ok());
        let signature = signature.ok_or("an event has no :chunk-signature")?;
        if message.headers().len() != 2 {
            return Err("an event has headers beside :date and :chunk-signature");
        }
        let milliseconds = date.to_millis().map_err(|_| "an event's date is none")?;
        let at = Timestamp::from_millisecond(milliseconds).map_err(|_| "an event's date is none")?;
        if at.as_second().abs_diff(now.as_second()) > SKEW_MAX_SECONDS.unsigned_abs() {
            return Err("an event's date is more than five minutes off");
        }
        let mut mac = keyed(&derived(&self.secret, [&day(at), &self.region, &self.service, "aws4_request"]));
        mac.update(self.text(at, milliseconds, message.payload()).as_bytes());
        mac.verify_slice(signature).map_err(|_| "an event's signature does not match")?;
        self.previous = hex(signature);
        Ok(())
    }

    fn text(&self, at: Timestamp, milliseconds: i64, payload: &[u8]) -> String {
        let time = at.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string();
        let scope = format!("{}/{}/{}/aws4_request", day(at), self.region, self.service);
        let mut header = b"\x05:date\x08".to_vec();
        header.extend_from_slice(&milliseconds.to_be_bytes());
        let [header, payload] = [&header[..], payload].map(|covered| hex(&Sha256::digest(covered)));
        format!("AWS4-HMAC-SHA256-PAYLOAD\n{time}\n{scope}\n{}\n{header}\n{payload}", self.previous)
    }
}

fn day(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y%m%d").to_string()
}
