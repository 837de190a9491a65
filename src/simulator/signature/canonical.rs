//! The canonical request, as AWS makes it for every service but S3: each segment of the path *as sent* is encoded again.
//! The rules are botocore's (`auth.py`: `_normalize_url_path`, `_canonical_query_string_params`), but that of a header's value
//! only spaces collapse, as AWS's guide to signing says; botocore collapses tabs too.

use super::{Received, Refusal};

/// Method, path, query, signed headers with their names, and payload hash. `signed_headers` must be sorted.
pub(super) fn request(received: &Received, signed_headers: &[&str], payload_hash: &str) -> Result<Vec<u8>, Refusal> {
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(received.method.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(uri(received.path).as_bytes());
    out.push(b'\n');
    out.extend_from_slice(query(received.query).as_bytes());
    out.push(b'\n');
    for name in signed_headers {
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        header(&mut out, received, name)?;
        out.push(b'\n');
    }
    out.push(b'\n');
    out.extend_from_slice(signed_headers.join(";").as_bytes());
    out.push(b'\n');
    out.extend_from_slice(payload_hash.as_bytes());
    Ok(out)
}

/// Dot segments go, consecutive slashes collapse, a trailing slash stays; then every byte but the unreserved is encoded, `%` too.
fn uri(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    let mut out = String::with_capacity(path.len() + 16);
    for segment in &segments {
        out.push('/');
        encode(&mut out, segment.as_bytes());
    }
    if out.is_empty() || path.ends_with('/') {
        out.push('/');
    }
    out
}

/// Pairs are decoded (`%XX` only: `+` is a plus), encoded again and sorted as encoded; repeats stay, and a name always has its `=`.
fn query(query: &str) -> String {
    let again = |text: &str| {
        let mut out = String::new();
        encode(&mut out, &decode(text));
        out
    };
    let pair = |pair: &str| pair.split_once('=').map_or_else(|| (again(pair), String::new()), |(n, v)| (again(n), again(v)));
    let mut pairs: Vec<(String, String)> = query.split('&').filter(|text| !text.is_empty()).map(pair).collect();
    pairs.sort_unstable();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// All values of a header in the order they came, trimmed, inner spaces collapsed, comma-joined.
fn header(out: &mut Vec<u8>, received: &Received, name: &str) -> Result<(), Refusal> {
    let values = received.headers.get_all(name.trim_start_matches(':'));
    let start = out.len();
    let mut found = false;
    for value in values.iter().filter(|_| !name.starts_with(':')) {
        if found {
            out.push(b',');
        }
        found = true;
        collapse(out, value.as_bytes());
    }
    if found {
        return Ok(());
    }
    out.truncate(start);
    match received.authority {
        Some(authority) if name == "host" || name == ":authority" => out.extend_from_slice(authority.as_bytes()),
        // A signer that knows no HTTP/2 cannot say `:authority` over HTTP/1.1.
        _ => return Err(Refusal::HeaderMissing { name: name.to_owned() }),
    }
    Ok(())
}

fn collapse(out: &mut Vec<u8>, value: &[u8]) {
    let words = value.split(|&b| b == b' ').filter(|word| !word.is_empty());
    for (index, word) in words.enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
}

fn encode(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

fn decode(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let pair = after.first_chunk::<2>().and_then(|&[high, low]| Some(digit(high)? << 4 | digit(low)?));
        match (byte, pair) {
            (b'%', Some(value)) => {
                out.push(value);
                rest = &after[2..];
            }
            _ => {
                out.push(byte);
                rest = after;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_encoded_again_segment_by_segment() {
        for (path, expected) in [
            ("/", "/"),
            ("", "/"),
            ("/model/anthropic.claude-v1%3A0/converse", "/model/anthropic.claude-v1%253A0/converse"),
            ("/model/anthropic.claude-v1:0/converse", "/model/anthropic.claude-v1%3A0/converse"),
            ("/model/a%2Fb/invoke", "/model/a%252Fb/invoke"),
            ("//model//a/", "/model/a/"),
            ("/a/./b/../c", "/a/c"),
            ("/..", "/"),
            ("/a~b-_.c/$", "/a~b-_.c/%24"),
            // From AWS's suite: `double-encode-path`.
            ("/test/@connections/JBDvjfGEIAMCERw%3D", "/test/%40connections/JBDvjfGEIAMCERw%253D"),
        ] {
            assert_eq!(uri(path), expected, "{path}");
        }
    }

    #[test]
    fn queries_are_sorted_as_encoded_and_keep_repeats() {
        for (text, expected) in [
            ("", ""),
            ("tagKeys=b&tagKeys=a", "tagKeys=a&tagKeys=b"),
            ("b&a=", "a=&b="),
            ("a=b=c", "a=b%3Dc"),
            ("a=1+2", "a=1%2B2"),
            ("a=%41%2f", "a=A%2F"),
            ("a-b=1&a=2", "a=2&a-b=1"),
            ("z=1&%C3%A9=1", "%C3%A9=1&z=1"),
            ("a=%zz&b=%", "a=%25zz&b=%25"),
        ] {
            assert_eq!(query(text), expected, "{text}");
        }
    }
}
