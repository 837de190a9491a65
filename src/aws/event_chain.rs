//! The chain of signatures over the events of a request: each covers the one before it, the first the signature of the request's head.
//!
//! ```text
//! signature = HMAC(key, "AWS4-HMAC-SHA256-PAYLOAD" \n date \n scope \n hex(previous) \n hex(sha256(:date header)) \n hex(sha256(payload)))
//! ```
//!
//! The key is that of the day of each event, of the credentials with which the chain began: those of the process may be others by then.
//! aws-sigv4 has the same for messages it encodes itself, with a derived key and a line of the trace log for each; it is the oracle of
//! the tests. Rules: <https://docs.aws.amazon.com/transcribe/latest/dg/streaming-setting-up.html#streaming-http2>.

use std::{
    fmt::Write,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac,
};
use bytes::BytesMut;

use super::{
    Signer,
    canonical::push_hex,
    event_stream::{SignedFrame, date_header, put_signed},
    sigv4::basic_date,
};

/// What stands for the hash of the body in the head of a request whose events are signed one by one.
pub const SIGNED_EVENTS: &str = "STREAMING-AWS4-HMAC-SHA256-EVENTS";

/// How far the clock of a signer may be off, as AWS has it.
const SKEW_MAX: Duration = Duration::from_secs(300);

/// One side's chain, at its last event.
pub struct EventChain {
    signer: Arc<Signer>,
    region: String,
    service: &'static str,
    previous: [u8; 32],
    /// Of the day that is kept beside it.
    key: Option<(u64, hmac::Key)>,
}

/// An event that is not the next of its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Another key, another payload, another order, or an event that was left out.
    #[error("An event's signature does not match")]
    Signature,
    /// A date more than five minutes from the gateway's.
    #[error("An event's date is more than five minutes off")]
    Date,
}

impl EventChain {
    /// Begins at `seed`, the signature of the request's head.
    pub fn new(signer: Arc<Signer>, region: &str, service: &'static str, seed: [u8; 32]) -> EventChain {
        EventChain { signer, region: region.to_owned(), service, previous: seed, key: None }
    }

    /// Appends `payload` to `out` as the next event, signed at `now`. Nothing ends the stream.
    pub fn put(&mut self, out: &mut BytesMut, payload: &[u8], now: SystemTime) {
        // The date in the signature has whole seconds, so the header's has them too.
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let date = i64::try_from(seconds.saturating_mul(1_000)).unwrap_or(i64::MAX);
        let text = self.text_to_sign(seconds, date, payload);
        let tag = hmac::sign(self.key(seconds), text.as_bytes());
        self.previous.copy_from_slice(tag.as_ref());
        put_signed(out, date, &self.previous, payload);
    }

    /// Checks that `frame` is the next event, and goes on to it.
    pub fn verify(&mut self, frame: &SignedFrame, now: SystemTime) -> Result<(), ChainError> {
        let at = u64::try_from(frame.date).map(Duration::from_millis).map_err(|_| ChainError::Date)?;
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        if at.abs_diff(now) > SKEW_MAX {
            return Err(ChainError::Date);
        }
        let text = self.text_to_sign(at.as_secs(), frame.date, &frame.payload);
        // Takes the same time whatever differs.
        hmac::verify(self.key(at.as_secs()), text.as_bytes(), &frame.signature).map_err(|_| ChainError::Signature)?;
        self.previous = frame.signature;
        Ok(())
    }

    fn text_to_sign(&self, seconds: u64, date: i64, payload: &[u8]) -> String {
        let time = basic_date(seconds);
        let mut text = String::with_capacity(320);
        let day = time.get(..8).unwrap_or_default();
        let _ = write!(text, "AWS4-HMAC-SHA256-PAYLOAD\n{time}\n{day}/{}/{}/aws4_request\n", self.region, self.service);
        push_hex(&mut text, &self.previous);
        for covered in [&date_header(date)[..], payload] {
            text.push('\n');
            push_hex(&mut text, digest(&SHA256, covered).as_ref());
        }
        text
    }

    fn key(&mut self, seconds: u64) -> &hmac::Key {
        let day = seconds / 86_400;
        let kept = self.key.take().filter(|(of, _)| *of == day);
        let derive = || (day, hmac::Key::new(hmac::HMAC_SHA256, &self.signer.derived_key(&self.region, self.service, seconds)));
        let (_, key) = self.key.insert(kept.unwrap_or_else(derive));
        key
    }
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;
    use aws_sigv4::event_stream::{sign_empty_message, sign_message};
    use aws_smithy_eventstream::frame::write_message_to;
    use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
    use proptest::prelude::*;

    use super::*;
    use crate::aws::event_stream::Splitter;

    const SEED: [u8; 32] = [0x5E; 32];

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn chain() -> EventChain {
        let keys = Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None, None, "test");
        EventChain::new(Arc::new(Signer::new(keys)), "us-east-1", "bedrock", SEED)
    }

    /// What aws-sigv4 makes of the same events, each signed at its own time; after the last, the empty one.
    fn oracle(events: &[(Vec<u8>, u64)]) -> Vec<SignedFrame> {
        let identity = Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None, None, "test").into();
        let mut splitter = Splitter::new(usize::MAX);
        let mut last = String::new();
        push_hex(&mut last, &SEED);
        let empty = events.last().map_or(0, |(_, seconds)| *seconds);
        for (payload, seconds) in events.iter().map(|(payload, seconds)| (Some(payload), *seconds)).chain([(None, empty)]) {
            let builder = aws_sigv4::sign::v4::SigningParams::builder().identity(&identity).region("us-east-1").name("bedrock");
            let params = builder.time(at(seconds)).settings(()).build().unwrap();
            let signed = match payload {
                Some(payload) => sign_message(&inner(payload), &last, &params),
                None => sign_empty_message(&last, &params),
            };
            let (message, signature) = signed.unwrap().into_parts();
            let mut bytes = Vec::new();
            write_message_to(&message, &mut bytes).unwrap();
            splitter.push(&bytes);
            last = signature;
        }
        std::iter::from_fn(|| Some(splitter.next_frame().unwrap()?.signed().unwrap())).collect()
    }

    fn inner(payload: &[u8]) -> Message {
        Message::new(payload.to_vec()).add_header(Header::new(":event-type", HeaderValue::String("chunk".into())))
    }

    fn encoded(payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_message_to(&inner(payload), &mut bytes).unwrap();
        bytes
    }

    proptest! {
        #[test]
        fn agrees_with_aws_sigv4_over_midnight(
            events in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..300), 1_763_855_000u64..1_763_857_000), 0..6),
        ) {
            let signed = oracle(&events);
            prop_assert_eq!(signed.len(), events.len() + 1);
            let (mut ours, mut theirs) = (chain(), chain());
            let mut out = BytesMut::new();
            for (payload, seconds) in &events {
                ours.put(&mut out, &encoded(payload), at(*seconds));
            }
            ours.put(&mut out, b"", at(events.last().map_or(0, |(_, seconds)| *seconds)));
            let mut splitter = Splitter::new(usize::MAX);
            splitter.push(&out);
            for frame in &signed {
                prop_assert_eq!(&splitter.next_frame().unwrap().unwrap().signed().unwrap(), frame);
                let now = at(u64::try_from(frame.date / 1_000).unwrap());
                prop_assert_eq!(theirs.verify(frame, now), Ok(()));
            }
        }
    }

    #[test]
    fn what_is_left_out_repeated_swapped_or_changed_breaks_the_chain() {
        let now = at(1_763_855_000);
        let signed = oracle(&[(b"one".to_vec(), 1_763_855_000), (b"two".to_vec(), 1_763_855_000)]);
        let [one, two, end] = &signed[..] else { panic!("three frames") };
        let broken = |frames: &[&SignedFrame]| {
            let mut chain = chain();
            frames.iter().try_for_each(|frame| chain.verify(frame, now)).is_err()
        };
        assert!(!broken(&[one, two, end]));
        assert!(broken(&[two]) && broken(&[one, one]) && broken(&[one, end]) && broken(&[end]));
        let changed = SignedFrame { payload: b"one!".to_vec().into(), ..one.clone() };
        let dated = SignedFrame { date: one.date + 1_000, ..one.clone() };
        assert!(broken(&[&changed]) && broken(&[&dated]));
    }

    #[test]
    fn an_event_of_another_time_is_refused() {
        let [one, ..] = &oracle(&[(b"one".to_vec(), 1_763_855_000)])[..] else { panic!("a frame") };
        assert_eq!(chain().verify(one, at(1_763_855_301)), Err(ChainError::Date));
        assert_eq!(chain().verify(one, at(1_763_854_699)), Err(ChainError::Date));
        assert_eq!(chain().verify(&SignedFrame { date: -1, ..one.clone() }, at(0)), Err(ChainError::Date));
        assert_eq!(chain().verify(one, at(1_763_855_300)), Ok(()));
    }
}
