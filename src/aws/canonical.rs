//! The parts of a canonical request, which who signs and who verifies make by the same rules.
//!
//! Rules: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

/// What a canonical request begins with: method, path and query, a line each.
pub(super) fn push_head(out: &mut Vec<u8>, method: &str, path: &str, query: &str) {
    out.extend_from_slice(method.as_bytes());
    out.push(b'\n');
    push_canonical_path(out, path);
    out.push(b'\n');
    push_canonical_query(out, query);
    out.push(b'\n');
}

/// Each segment encoded once more, as every service but S3 wants it; consecutive slashes are one. Dot segments never come here.
fn push_canonical_path(out: &mut Vec<u8>, path: &str) {
    let start = out.len();
    let mut rest = path.as_bytes();
    while !rest.is_empty() {
        // Most of a path is runs of what stays as it is.
        let run = rest.iter().take_while(|byte| is_unreserved(**byte)).count();
        let (plain, after) = rest.split_at(run);
        out.extend_from_slice(plain);
        let Some((&byte, after)) = after.split_first() else { break };
        match byte {
            b'/' if out.get(start..).is_some_and(|written| written.ends_with(b"/")) => {}
            b'/' => out.push(b'/'),
            byte => push_encoded(out, byte),
        }
        rest = after;
    }
    if out.len() == start {
        out.push(b'/');
    }
}

/// Sorted by name, then value, both in their encoded form; `a` counts as `a=`.
fn push_canonical_query(out: &mut Vec<u8>, query: &str) {
    if query.is_empty() {
        return;
    }
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (reencoded(name), reencoded(value))
        })
        .collect();
    pairs.sort_unstable();
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(name);
        out.push(b'=');
        out.extend_from_slice(value);
    }
}

/// Percent-decodes what is an escape, and encodes every byte that is not unreserved. A `+` is a plus.
fn reencoded(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut index = 0;
    while let Some(&byte) = bytes.get(index) {
        let escape = (byte == b'%').then(|| bytes.get(index + 1..index + 3).and_then(hex_byte)).flatten();
        push_encoded(&mut out, escape.unwrap_or(byte));
        index += if escape.is_some() { 3 } else { 1 };
    }
    out
}

/// 32 bytes written as 64 hexadecimal digits.
pub fn hex_bytes(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = hex_byte(pair)?;
    }
    Some(bytes)
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let high = char::from(*digits.first()?).to_digit(16)?;
    let low = char::from(*digits.get(1)?).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

fn is_unreserved(byte: u8) -> bool {
    UNRESERVED[usize::from(byte)]
}

const UNRESERVED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'-' | b'_' | b'.' | b'~');
        byte += 1;
    }
    table
};

fn push_encoded(out: &mut Vec<u8>, byte: u8) {
    if is_unreserved(byte) {
        out.push(byte);
    } else {
        out.extend_from_slice(&[b'%', HEX_UPPER[usize::from(byte >> 4)], HEX_UPPER[usize::from(byte & 15)]]);
    }
}

/// Outer whitespace gone, inner runs of spaces one.
pub(super) fn push_collapsed(out: &mut Vec<u8>, value: &str) {
    let value = value.trim_matches([' ', '\t']).as_bytes();
    // Few values have a space, and session tokens, by far the longest, have none.
    if memchr::memchr(b' ', value).is_none() {
        return out.extend_from_slice(value);
    }
    let mut previous = b' ';
    for &byte in value {
        if byte != b' ' || previous != b' ' {
            out.push(byte);
        }
        previous = byte;
    }
}

const HEX_UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    push_hex(&mut text, bytes);
    text
}

/// Appends it.
pub fn push_hex(out: &mut String, bytes: &[u8]) {
    // By the length of a hash, so that all its digits are made at once.
    for part in bytes.chunks(32) {
        let mut block = [0; 32];
        block[..part.len()].copy_from_slice(part);
        out.push_str(std::str::from_utf8(&digits(&block)[..2 * part.len()]).unwrap_or_default());
    }
}

/// Without a table or a branch, which the compiler turns into vector instructions.
fn digits(bytes: &[u8; 32]) -> [u8; 64] {
    let digit = |nibble: u8| nibble.wrapping_add(b'0').wrapping_add(u8::from(nibble > 9).wrapping_mul(b'a' - b'9' - 1));
    let mut digits = [0; 64];
    for (index, byte) in bytes.iter().enumerate() {
        digits[2 * index] = digit(byte >> 4);
        digits[2 * index + 1] = digit(byte & 15);
    }
    digits
}
