//! A request path as it came, and its segments decoded once. Decisions read the segments; the raw bytes are what is forwarded,
//! so whatever the two could disagree about is refused here.

use std::{borrow::Cow, iter};

use memchr::{memchr, memchr_iter};

/// A path without its query: `/model/arn%3Aaws…%2Fabc/invoke`. Leading slashes are collapsed to one (the JS SDK sends `//model/…`
/// for an endpoint with a trailing slash).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawPath<'a>(&'a str);

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// RFC 9112 §3.2 wants origin-form.
    #[error("the request target does not start with `/`")]
    NotOriginForm,
    /// Only visible ASCII may stand in a path; `\` may not.
    #[error("the path has a byte that must be percent-encoded")]
    ForbiddenByte,
    /// `%` without two hexadecimal digits.
    #[error("the path has a `%` that two hexadecimal digits do not follow")]
    BadEscape,
    /// A segment that decodes to something that is not UTF-8.
    #[error("a path segment does not decode to UTF-8")]
    NotUtf8,
    /// A segment that decodes to a control character.
    #[error("a path segment decodes to a control character")]
    ControlCharacter,
    /// `.` or `..`, encoded or not: SigV4 canonicalisation would remove them.
    #[error("the path has a `.` or `..` segment")]
    DotSegment,
}

impl<'a> RawPath<'a> {
    /// Checks the path of a request target (everything before `?`).
    pub fn parse(path: &'a [u8]) -> Result<RawPath<'a>, PathError> {
        if path.first() != Some(&b'/') {
            return Err(PathError::NotOriginForm);
        }
        // To the end in any case, which the compiler turns into vector instructions.
        if !path.iter().fold(true, |allowed, &b| allowed & b.is_ascii_graphic() & (b != b'\\') & (b != b'#')) {
            return Err(PathError::ForbiddenByte);
        }
        let text = std::str::from_utf8(path).map_err(|_| PathError::NotUtf8)?;
        let path = RawPath(after_slashes(text));
        if !path.is_plain() {
            path.segments().try_for_each(check_segment)?;
        }
        Ok(path)
    }

    /// The bytes to forward.
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// Whether no segment can have anything wrong with it, as in nearly every path; seen at once for all of them.
    fn is_plain(self) -> bool {
        let bytes = self.0.as_bytes();
        let begins_with_dot = bytes.iter().zip(&bytes[1..]).fold(false, |found, (&a, &b)| found | ((a == b'/') & (b == b'.')));
        !begins_with_dot && has_plain_escapes(self.0)
    }

    /// What stands between the slashes, still encoded. `/agents/` has two: `agents` and the empty one.
    pub fn segments(self) -> impl Iterator<Item = &'a str> + Clone {
        let mut rest = Some(&self.0[1..]);
        // `str::split` by a character costs several times as much, and segments are short.
        iter::from_fn(move || {
            let text = rest?;
            let (segment, after) = match text.bytes().position(|byte| byte == b'/') {
                Some(slash) => (&text[..slash], Some(&text[slash + 1..])),
                None => (text, None),
            };
            rest = after;
            Some(segment)
        })
    }

    /// Whether nothing stands between two slashes somewhere; at the end that is meant (`/agents/`). Canonicalisation would make the two
    /// one, so the path could be read as another.
    pub fn has_empty_segment(self) -> bool {
        self.0.contains("//")
    }

    /// The path below its first segment, if that segment is exactly `prefix`: `/bedrock-agent/flows/` below `bedrock-agent` is
    /// `/flows/`, and `/p` below `p` is `/`.
    pub fn below(self, prefix: &str) -> Option<RawPath<'a>> {
        let rest = self.0[1..].strip_prefix(prefix)?;
        match rest.as_bytes().first() {
            None => Some(RawPath("/")),
            Some(b'/') => Some(RawPath(after_slashes(rest))),
            Some(_) => None,
        }
    }
}

/// Of the slashes that a text begins with, only the last stays.
fn after_slashes(text: &str) -> &str {
    let slashes = text.bytes().take_while(|byte| *byte == b'/').count();
    &text[slashes.saturating_sub(1)..]
}

/// One segment decoded once. [`RawPath::parse`] has checked it, so what does not decode cannot be here; it stays as it is.
pub fn decode_segment(segment: &str) -> Cow<'_, str> {
    if memchr(b'%', segment.as_bytes()).is_none() {
        return Cow::Borrowed(segment);
    }
    match percent_decode(segment).map(String::from_utf8) {
        Some(Ok(text)) => Cow::Owned(text),
        _ => Cow::Borrowed(segment),
    }
}

fn check_segment(segment: &str) -> Result<(), PathError> {
    if segment == "." || segment == ".." {
        return Err(PathError::DotSegment);
    }
    if has_plain_escapes(segment) {
        return Ok(());
    }
    let bytes = percent_decode(segment).ok_or(PathError::BadEscape)?;
    let text = String::from_utf8(bytes).map_err(|_| PathError::NotUtf8)?;
    if text == "." || text == ".." || text.split(['/', '\\']).any(|part| part == "..") {
        return Err(PathError::DotSegment);
    }
    if text.chars().any(char::is_control) {
        return Err(PathError::ControlCharacter);
    }
    Ok(())
}

/// Whether every escape, if there are any, stands for a visible character that means nothing in a path, such as the colon in nearly every
/// model's name. Then nothing has to be decoded to be checked.
fn has_plain_escapes(text: &str) -> bool {
    memchr_iter(b'%', text.as_bytes()).all(|at| {
        let byte = text.as_bytes().get(at + 1..).and_then(escaped);
        byte.is_some_and(|byte| byte.is_ascii_graphic() && !matches!(byte, b'.' | b'/' | b'\\'))
    })
}

/// The byte that two hexadecimal digits stand for.
fn escaped(digits: &[u8]) -> Option<u8> {
    let [high, low, ..] = digits else { return None };
    let (high, low) = (char::from(*high).to_digit(16)?, char::from(*low).to_digit(16)?);
    Some((high * 16 + low) as u8)
}

fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some(at) = memchr(b'%', rest) {
        out.extend_from_slice(&rest[..at]);
        let digits = &rest[at + 1..];
        out.push(escaped(digits)?);
        rest = &digits[2..];
    }
    out.extend_from_slice(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_slashes_collapse_and_the_rest_stays() {
        let path = RawPath::parse(b"//model/a%2Fb%3Ac//invoke/").unwrap();
        assert_eq!(path.as_str(), "/model/a%2Fb%3Ac//invoke/");
        assert_eq!(path.segments().collect::<Vec<_>>(), ["model", "a%2Fb%3Ac", "", "invoke", ""]);
        assert_eq!(decode_segment("a%2Fb%3Ac"), "a/b:c");
    }

    #[test]
    fn what_decoding_and_forwarding_could_disagree_about_is_refused() {
        for (path, error) in [
            (&b"model"[..], PathError::NotOriginForm),
            (b"", PathError::NotOriginForm),
            (b"/a b", PathError::ForbiddenByte),
            (b"/a\\b", PathError::ForbiddenByte),
            (b"/a\x7f", PathError::ForbiddenByte),
            ("/é".as_bytes(), PathError::ForbiddenByte),
            (b"/a%2", PathError::BadEscape),
            (b"/a%zz", PathError::BadEscape),
            (b"/a%ff", PathError::NotUtf8),
            (b"/a%00", PathError::ControlCharacter),
            (b"/a/../b", PathError::DotSegment),
            (b"/a/./b", PathError::DotSegment),
            (b"/a/%2e%2E/b", PathError::DotSegment),
            (b"/a/x%2f..%2fb", PathError::DotSegment),
        ] {
            assert_eq!(RawPath::parse(path), Err(error), "{}", String::from_utf8_lossy(path));
        }
    }

    #[test]
    fn a_prefix_is_a_whole_segment() {
        let below = |path: &'static [u8]| RawPath::parse(path).unwrap().below("bedrock").map(RawPath::as_str);
        assert_eq!(below(b"/bedrock/x"), Some("/x"));
        assert_eq!(below(b"/bedrock//x"), Some("/x"));
        assert_eq!(below(b"/bedrock"), Some("/"));
        assert_eq!(below(b"/bedrock-agent/x"), None);
    }
}
