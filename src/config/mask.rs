//! Secrets do not belong into the file; but who writes one there by mistake must not find it in the log as well.

use std::{borrow::Cow, ops::Range};

/// What keys of secrets have in their names.
const MARKS: [&str; 6] = ["secret", "session_token", "password", "headers", "api-key", "authorization"];

/// The line with stars in place of what follows a secret's key and of credentials in a URL, byte for byte, so that positions
/// in it stay. A reference, `{ env = "NAME" }` or `{ file = "path" }`, is no secret.
pub(super) fn mask(line: &str) -> Cow<'_, str> {
    let lowercase = line.to_ascii_lowercase();
    let values = MARKS.iter().flat_map(|mark| lowercase.match_indices(mark)).filter_map(|(at, _)| value_after(line, at));
    let value = values.filter(|at| !is_reference(&line[*at..])).min().map(|at| at..line.len());
    let covered: Vec<Range<usize>> = url_credentials(line).chain(value).collect();
    if covered.is_empty() {
        return Cow::Borrowed(line);
    }
    let star = |(at, c): (usize, char)| {
        let hide = covered.iter().any(|range| range.contains(&at));
        if hide { "*".repeat(c.len_utf8()) } else { c.to_string() }
    };
    Cow::Owned(line.char_indices().map(star).collect())
}

/// Whether a key is one that secrets have.
pub(super) fn names_secret(key: &str) -> bool {
    let lowercase = key.to_ascii_lowercase();
    MARKS.iter().any(|mark| lowercase.contains(mark))
}

/// The same for a line that a secret stands on whatever its key is.
pub(super) fn mask_value(line: &str) -> Cow<'_, str> {
    match line.split_once('=') {
        Some((key, value)) => Cow::Owned(format!("{key}={}", "*".repeat(value.len()))),
        None => mask(line),
    }
}

/// `user:password` in `https://user:password@host`; too much rather than too little, should the password have a `/`.
fn url_credentials(line: &str) -> impl Iterator<Item = Range<usize>> {
    line.match_indices("://").filter_map(|(at, slashes)| {
        let start = at + slashes.len();
        let authority = line[start..].split(['"', '\'', ' ']).next()?;
        authority.rfind('@').map(|end| start..start + end)
    })
}

/// Where the value begins, if a key goes on at `at`.
fn value_after(line: &str, at: usize) -> Option<usize> {
    let (key, value) = line[at..].split_once('=')?;
    let is_key = key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.\"' \t]".contains(&b));
    is_key.then(|| line.len() - value.trim_start().len())
}

fn is_reference(value: &str) -> bool {
    let Some((form, quoted)) = value.strip_prefix('{').and_then(|rest| rest.split_once('=')) else { return false };
    let name = quoted.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
    match form.trim() {
        "file" => true,
        "env" => name.is_some_and(is_variable),
        _ => false,
    }
}

/// What shells take for the name of a variable; base64 of any length is hardly one.
pub(super) fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_starred_and_references_are_not() {
        for (line, shown) in [
            (r#"secret_access_key = "wJalr/é""#, r#"secret_access_key = **********"#),
            (
                r#"credentials = { aws_secret_access_key = "a", region = 1 }"#,
                r#"credentials = { aws_secret_access_key = *****************"#,
            ),
            ("secret_access_key = wJalr", "secret_access_key = *****"),
            (r#"bedrock = "https://me:é/@host""#, r#"bedrock = "https://******@host""#),
            (r#"session_token = { env = "wJalr/K7" }"#, r#"session_token = ********************"#),
        ] {
            assert_eq!(mask(line), shown);
            assert_eq!(mask(line).len(), line.len());
        }
        for line in [
            r#"session_token = { env = "AWS_SESSION_TOKEN" }"#,
            r#"secret_access_key = { file = "secrets/key" }"#,
            r#"tls = { certificate_file = "secrets/a.pem", private_key_file = "b" }"#,
            "token_lifetime_seconds_max = 5",
        ] {
            assert_eq!(mask(line), line);
        }
    }
}
