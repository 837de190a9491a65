//! The chain of signatures over the events of a request: each covers the one before it, the first the signature of the request's head.
//!
//! ```text
//! signature = HMAC(key, "AWS4-HMAC-SHA256-PAYLOAD" \n date \n scope \n hex(previous) \n hex(sha256(:date header)) \n hex(sha256(payload)))
//! ```
//!
//! The key is that of the day of each event, of the credentials with which the chain began: those of the process may be others by then.
//! [`EventChain`] signs, [`ReceivedChain`] holds another's signatures against keys that were derived for it.
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
use bytes::{Bytes, BytesMut};

use super::{
    Authorization, Signer,
    canonical::push_hex,
    event_stream::{date_header, put_signed},
    received::ScopedKey,
    sigv4::basic_date,
};

/// How far the clock of a signer may be off, as AWS has it.
const SKEW_MAX: Duration = Duration::from_secs(300);

/// A chain of the gateway's own, at its last event.
pub struct EventChain {
    signer: Arc<Signer>,
    region: String,
    service: &'static str,
    link: Link,
    /// Of the day that is kept beside it.
    key: Option<(u64, hmac::Key)>,
}

/// A chain of somebody else's, at the last event that was found right.
pub struct ReceivedChain {
    link: Link,
    /// The day of the request's head and the one after it: no stream lasts longer.
    days: [(String, hmac::Key); 2],
}

/// An event, and its hash: what comes under one chain and goes on under another is hashed once.
pub struct Hashed {
    payload: Bytes,
    sha256: [u8; 32],
}

/// What the next signature covers beside its event.
struct Link {
    /// `us-east-1/bedrock/aws4_request`
    scope: String,
    previous: [u8; 32],
    /// Written anew for each event, in the same memory.
    text: String,
}

/// An event that is not the next of its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Another key, another payload, another order, or an event that was left out.
    #[error("An event's signature does not match")]
    Signature,
    /// A date more than five minutes from the gateway's, or on no day that the chain can be on.
    #[error("An event's date is more than five minutes off")]
    Date,
    /// Whoever cut it off there is not known.
    #[error("The stream ends without the signed empty event that closes it")]
    Open,
}

impl Hashed {
    /// Hashes an event.
    pub fn new(payload: Bytes) -> Hashed {
        Hashed { sha256: sha256(&payload), payload }
    }

    /// Whether it is the one that ends a stream.
    pub fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }
}

impl EventChain {
    /// Begins at `seed`, the signature of the request's head.
    pub fn new(signer: Arc<Signer>, region: &str, service: &'static str, seed: [u8; 32]) -> EventChain {
        EventChain { signer, region: region.to_owned(), service, link: Link::new(region, service, seed), key: None }
    }

    /// Appends `event` to `out` as the next one, signed at `now`.
    pub fn put(&mut self, out: &mut BytesMut, event: &Hashed, now: SystemTime) {
        // The date in the signature has whole seconds, so the header's has them too.
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let date = i64::try_from(seconds.saturating_mul(1_000)).unwrap_or(i64::MAX);
        let day = seconds / 86_400;
        let kept = self.key.take().filter(|(of, _)| *of == day);
        let derive = || (day, hmac::Key::new(hmac::HMAC_SHA256, &self.signer.derived_key(&self.region, self.service, seconds)));
        let (_, key) = self.key.insert(kept.unwrap_or_else(derive));
        let text = self.link.text_to_sign(&basic_date(seconds), date, event);
        let tag = hmac::sign(key, text.as_bytes());
        self.link.previous.copy_from_slice(tag.as_ref());
        put_signed(out, date, &self.link.previous, &event.payload);
    }
}

impl ReceivedChain {
    /// Begins at the signature of a head that was found right; `keys` are those of its scope's day and of the next.
    pub fn new(head: &Authorization<'_>, [(today, key), (tomorrow, next)]: [(&str, &ScopedKey); 2]) -> ReceivedChain {
        let link = Link::new(head.region, head.service, head.signature());
        ReceivedChain { link, days: [(today.to_owned(), key.to_hmac()), (tomorrow.to_owned(), next.to_hmac())] }
    }

    /// Checks that `event`, signed so at `date`, in milliseconds since 1970, is the next one, and goes on to it.
    ///
    /// # Errors
    /// Nothing after it can be believed either.
    pub fn verify(&mut self, event: &Hashed, date: i64, signature: &[u8; 32], now: SystemTime) -> Result<(), ChainError> {
        let at = u64::try_from(date).map(Duration::from_millis).map_err(|_| ChainError::Date)?;
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        if at.abs_diff(now) > SKEW_MAX {
            return Err(ChainError::Date);
        }
        let time = basic_date(at.as_secs());
        let (_, key) = self.days.iter().find(|(day, _)| time.starts_with(day)).ok_or(ChainError::Date)?;
        let text = self.link.text_to_sign(&time, date, event);
        // Takes the same time whatever differs.
        hmac::verify(key, text.as_bytes(), signature).map_err(|_| ChainError::Signature)?;
        self.link.previous = *signature;
        Ok(())
    }
}

impl Link {
    fn new(region: &str, service: &str, seed: [u8; 32]) -> Link {
        Link { scope: format!("{region}/{service}/aws4_request"), previous: seed, text: String::with_capacity(320) }
    }

    fn text_to_sign(&mut self, time: &str, date: i64, event: &Hashed) -> &str {
        let Link { scope, previous, text } = self;
        text.clear();
        let day = time.get(..8).unwrap_or_default();
        let _ = write!(text, "AWS4-HMAC-SHA256-PAYLOAD\n{time}\n{day}/{scope}\n");
        push_hex(text, previous);
        for covered in [sha256(&date_header(date)), event.sha256] {
            text.push('\n');
            push_hex(text, &covered);
        }
        text
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;
    use aws_sigv4::event_stream::{sign_empty_message, sign_message};
    use aws_smithy_eventstream::frame::write_message_to;
    use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
    use proptest::prelude::*;

    use super::*;
    use crate::aws::{
        canonical::hex,
        event_stream::{SignedFrame, Splitter},
    };

    const SEED: [u8; 32] = [0x5E; 32];
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn chain() -> EventChain {
        let keys = Credentials::new("AKIDEXAMPLE", SECRET, None, None, "test");
        EventChain::new(Arc::new(Signer::new(keys)), "us-east-1", "bedrock", SEED)
    }

    /// As the other side has it: from the head of a request of 2025-11-22.
    fn received() -> ReceivedChain {
        let signature = "5e".repeat(32);
        let head = |day: &str| {
            format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{day}/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature={signature}"
            )
        };
        let (today, tomorrow) = (head("20251122"), head("20251123"));
        let [today, tomorrow] = [&today, &tomorrow].map(|text| Authorization::parse(text).unwrap());
        assert_eq!(today.next_day().as_deref(), Some(tomorrow.date));
        let [key, next] = [&today, &tomorrow].map(|head| ScopedKey::derive(SECRET, head));
        ReceivedChain::new(&today, [(today.date, &key), (tomorrow.date, &next)])
    }

    /// What aws-sigv4 makes of the same events, each signed at its own time; after the last, the empty one.
    fn oracle(events: &[(Vec<u8>, u64)]) -> Vec<SignedFrame> {
        let identity = Credentials::new("AKIDEXAMPLE", SECRET, None, None, "test").into();
        let mut splitter = Splitter::new(usize::MAX);
        let mut last = hex(&SEED);
        let empty = events.last().map_or(1_763_855_000, |(_, seconds)| *seconds);
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
            splitter.push(bytes.into());
            last = signature;
        }
        std::iter::from_fn(|| Some(splitter.next_frame().unwrap()?.signed().unwrap())).collect()
    }

    fn verify(chain: &mut ReceivedChain, frame: &SignedFrame, now: SystemTime) -> Result<(), ChainError> {
        chain.verify(&Hashed::new(frame.payload.clone()), frame.date, &frame.signature, now)
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
            let (mut ours, mut theirs) = (chain(), received());
            let mut out = BytesMut::new();
            for (payload, seconds) in &events {
                ours.put(&mut out, &Hashed::new(encoded(payload).into()), at(*seconds));
            }
            ours.put(&mut out, &Hashed::new(Bytes::new()), at(events.last().map_or(1_763_855_000, |(_, seconds)| *seconds)));
            let mut splitter = Splitter::new(usize::MAX);
            splitter.push(out.freeze());
            for frame in &signed {
                prop_assert_eq!(&splitter.next_frame().unwrap().unwrap().signed().unwrap(), frame);
                let now = at(u64::try_from(frame.date / 1_000).unwrap());
                prop_assert_eq!(verify(&mut theirs, frame, now), Ok(()));
            }
        }
    }

    #[test]
    fn what_is_left_out_repeated_swapped_or_changed_breaks_the_chain() {
        let now = at(1_763_855_000);
        let signed = oracle(&[(b"one".to_vec(), 1_763_855_000), (b"two".to_vec(), 1_763_855_000)]);
        let [one, two, end] = &signed[..] else { panic!("three frames") };
        let broken = |frames: &[&SignedFrame]| {
            let mut chain = received();
            frames.iter().try_for_each(|frame| verify(&mut chain, frame, now)).is_err()
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
        assert_eq!(verify(&mut received(), one, at(1_763_855_301)), Err(ChainError::Date));
        assert_eq!(verify(&mut received(), one, at(1_763_854_699)), Err(ChainError::Date));
        assert_eq!(verify(&mut received(), &SignedFrame { date: -1, ..one.clone() }, at(0)), Err(ChainError::Date));
        assert_eq!(verify(&mut received(), one, at(1_763_855_300)), Ok(()));
        let [late, ..] = &oracle(&[(b"one".to_vec(), 1_763_855_000 + 2 * 86_400)])[..] else { panic!("a frame") };
        assert_eq!(verify(&mut received(), late, at(1_763_855_000 + 2 * 86_400)), Err(ChainError::Date));
    }
}
