//! W3C Trace Context (<https://www.w3.org/TR/trace-context-2/>): whose trace a request is part of, read as strictly as the specification
//! says. What is malformed counts as if it was not there; it never fails a request.

use std::fmt;

/// Entries of a `tracestate`; with more it is malformed (§3.3.1.1).
const STATE_MEMBERS_MAX: usize = 32;

/// Of all together. W3C asks for 512 at least; each span has a copy.
const STATE_BYTES_MAX: usize = 2_048;
/// Bytes of a key of it, and of a value.
const STATE_WORD_BYTES_MAX: usize = 256;

/// The trace is recorded.
const SAMPLED: u8 = 0x01;
/// The last 7 bytes of the trace id are random (level 2, §3.2.2.5.2).
const RANDOM: u8 = 0x02;

/// A trace. Not all zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId(pub [u8; 16]);

/// A span of a trace. Not all zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanId(pub [u8; 8]);

/// What `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: TraceId,
    /// The span that whoever gets this is a child of.
    pub span_id: SpanId,
    flags: u8,
}

impl TraceContext {
    /// A trace that begins here; its id has 7 random bytes at the end.
    pub fn root(trace_id: TraceId, span_id: SpanId, sampled: bool) -> TraceContext {
        TraceContext { trace_id, span_id, flags: RANDOM | if sampled { SAMPLED } else { 0 } }
    }

    /// The same trace, of another span.
    pub fn child(self, span_id: SpanId, sampled: bool) -> TraceContext {
        TraceContext { span_id, flags: self.flags & RANDOM | if sampled { SAMPLED } else { 0 }, ..self }
    }

    /// Reads the value of a `traceparent` field. Of versions to come what this one knows (§4.3).
    pub fn parse(text: &[u8]) -> Option<TraceContext> {
        let mut fields = text.split(|&b| b == b'-');
        let [version] = hex(fields.next()?)?;
        let (trace_id, span_id): ([u8; 16], [u8; 8]) = (hex(fields.next()?)?, hex(fields.next()?)?);
        let [flags] = hex(fields.next()?)?;
        let is_known = version == 0 && fields.next().is_none();
        let is_valid = trace_id != [0; 16] && span_id != [0; 8] && version != 0xff && (is_known || version != 0);
        is_valid.then_some(TraceContext {
            trace_id: TraceId(trace_id),
            span_id: SpanId(span_id),
            flags: flags & (SAMPLED | RANDOM),
        })
    }

    /// Whether the trace is recorded.
    pub fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// As `traceparent` has them.
    pub fn flags(self) -> u8 {
        self.flags
    }
}

/// The value of a `traceparent` field.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Whether the values of all `tracestate` fields together are a list of vendors' entries, not longer than need be.
pub fn is_state<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> bool {
    let (mut bytes, mut count) = (0usize, 0);
    fields.into_iter().all(|field| {
        bytes = bytes.saturating_add(field.len());
        let mut members = field.split(|&b| b == b',').map(trim).filter(|member| !member.is_empty());
        bytes <= STATE_BYTES_MAX
            && members.all(|member| {
                count += 1;
                count <= STATE_MEMBERS_MAX && is_state_member(member)
            })
    })
}

fn is_state_member(member: &[u8]) -> bool {
    let Some(equals) = member.iter().position(|&b| b == b'=') else { return false };
    let (key, value) = (&member[..equals], &member[equals + 1..]);
    let starts_well = key.first().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let is_key = key.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-*/@".contains(b));
    let is_value = value.iter().all(|b| matches!(b, b' '..=b'~') && !b",=".contains(b)) && !value.is_empty();
    let fits = key.len() <= STATE_WORD_BYTES_MAX && value.len() <= STATE_WORD_BYTES_MAX;
    starts_well && is_key && is_value && fits
}

/// Without the white space that HTTP allows around the members of a list.
fn trim(member: &[u8]) -> &[u8] {
    let is_blank = |b: &u8| matches!(b, b' ' | b'\t');
    let start = member.iter().position(|b| !is_blank(b)).unwrap_or(member.len());
    let end = member.iter().rposition(|b| !is_blank(b)).map_or(start, |last| last + 1);
    &member[start..end]
}

/// Exactly so many bytes, in lower case.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-12345678901234567890123456789012-1234567890123456-01";

    /// The cases of W3C's own harness: <https://github.com/w3c/trace-context/blob/main/test/test.py>.
    #[test]
    fn a_traceparent_is_as_the_specification_has_it() {
        for good in [
            GOOD,
            "00-12345678901234567890123456789012-1234567890123456-00",
            "00-12345678901234567890123456789012-1234567890123456-ff",
            "cc-12345678901234567890123456789012-1234567890123456-01",
            "cc-12345678901234567890123456789012-1234567890123456-01-what-the-future-will-be-like",
        ] {
            assert!(TraceContext::parse(good.as_bytes()).is_some(), "{good}");
        }
        for bad in [
            "",
            "-",
            "00",
            "ff-12345678901234567890123456789012-1234567890123456-01",
            "cc-12345678901234567890123456789012-1234567890123456-01.what-the-future-will-be-like",
            "00-12345678901234567890123456789012-1234567890123456-01-",
            "00-12345678901234567890123456789012-1234567890123456-01-what-the-future-will-be-like",
            "00-00000000000000000000000000000000-1234567890123456-01",
            "00-12345678901234567890123456789012-0000000000000000-01",
            "00-.2345678901234567890123456789012-1234567890123456-01",
            "00-1234567890123456789012345678901.-1234567890123456-01",
            "00-1234567890123456789012345678901-1234567890123456-01",
            "00-123456789012345678901234567890123-1234567890123456-01",
            "00-12345678901234567890123456789012-123456789012345.-01",
            "00-12345678901234567890123456789012-123456789012345-01",
            "00-12345678901234567890123456789012-12345678901234567-01",
            "00-12345678901234567890123456789012-1234567890123456-.0",
            "00-12345678901234567890123456789012-1234567890123456-001",
            "00-12345678901234567890123456789012-1234567890123456-1",
            "00-12345678901234567890123456789012-1234567890123456",
            "0-12345678901234567890123456789012-1234567890123456-01",
            "00-ABCDEFABCDEFABCDEFABCDEFABCDEFAB-1234567890123456-01",
            "00-12345678901234567890123456789012-1234567890123456-01,00-12345678901234567890123456789012-1234567890123456-01",
        ] {
            assert_eq!(TraceContext::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn flags_that_nobody_knows_are_not_passed_on() {
        let parsed = TraceContext::parse(GOOD.replace("-01", "-fd").as_bytes()).unwrap();
        assert!(parsed.is_sampled());
        assert_eq!(parsed.to_string(), GOOD);
        let child = parsed.child(SpanId([0xab; 8]), false);
        assert_eq!(child.to_string(), "00-12345678901234567890123456789012-abababababababab-00");
        assert_eq!(TraceContext::root(parsed.trace_id, parsed.span_id, true).flags(), 3);
    }

    #[test]
    fn a_tracestate_is_a_list_of_vendors_entries() {
        let long = |n: usize| "a".repeat(n);
        let (key, value) = (format!("{}=1", long(256)), format!("a={}", long(256)));
        let many = |n: usize| (0..n).map(|i| format!("bar{i}=1")).collect::<Vec<_>>().join(",");
        for good in [
            &["foo=1,bar=2"][..],
            &["foo=1", "bar=2"],
            &["foo=1", ""],
            &["foo=1 \t , \t bar=2, \t baz=3"],
            &["0a-*/_@b= !\"#$%&'()*+-./0:;<>?@[\\]^_`{|}~"],
            &["foo=1,foo=1"],
            &[&key],
            &[&value],
            &[&many(32)],
            &[],
        ] {
            assert!(is_state(good.iter().map(|field| field.as_bytes())), "{good:?}");
        }
        let (key, value) = (format!("{}=1", long(257)), format!("a={}", long(257)));
        for bad in [
            "foo",
            "foo=",
            "=1",
            "foo =1",
            "FOO=1",
            "foo.bar=1",
            "@foo=1",
            "foo=bar=baz",
            "foo=,bar=3",
            "a=\u{e9}",
            &key,
            &value,
            &many(33),
        ] {
            assert!(!is_state([bad.as_bytes()]), "{bad}");
        }
    }

    #[test]
    fn a_state_that_is_long_for_nothing_is_none() {
        assert!(is_state([b"a=1, ,b=2".as_slice(), b""]));
        assert!(is_state([[b"a=".as_slice(), &[b'x'; 200]].concat().as_slice()]));
        assert!(!is_state([b", ".repeat(29_000).as_slice()]));
        let fields = vec![[b"a=".as_slice(), &[b'x'; 200]].concat(); 11];
        assert!(!is_state(fields.iter().map(Vec::as_slice)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(trace: [u8; 16], span: [u8; 8], sampled: bool) {
            let written = TraceContext::root(TraceId(trace), SpanId(span), sampled);
            let read = TraceContext::parse(written.to_string().as_bytes());
            prop_assert_eq!(read, (trace != [0; 16] && span != [0; 8]).then_some(written));
        }

        #[test]
        fn whatever_comes_is_read_or_not(text in "[0-9a-fA-F-]{50,60}", bytes: Vec<u8>) {
            if let Some(parsed) = TraceContext::parse(text.as_bytes()) {
                prop_assert_eq!(&parsed.to_string()[3..53], &text[3..53]);
            }
            TraceContext::parse(&bytes);
            is_state([bytes.as_slice()]);
        }
    }
}
