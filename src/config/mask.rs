//! Secrets do not belong into the file; but who writes one there by mistake, in whatever form, must not find it in the log as well.

use std::{borrow::Cow, ops::Range};

use super::document::{Step, Value};

/// What keys of secrets have in their names.
const MARKS: [&str; 6] = ["secret", "session_token", "password", "headers", "api-key", "authorization"];

/// Sections of secrets: of what is in them only what is known to be none is shown.
const SECTIONS: [&str; 3] = ["credentials", "keys", "vending"];

/// Below these come names that people choose, which say nothing of what is in them.
const NAMED: [&str; 4] = ["tenants", "issuers", "groups", "profiles"];

/// Longer than any key that has a secret, and shorter than a secret of AWS's or a sealing key.
const KEY_BYTES_MAX: usize = 32;

/// The line with stars in place of what follows a secret's key, and of credentials and queries of URLs, byte for byte, so that positions
/// in it stay. A reference, `{ env = "NAME" }` or `{ file = "path" }`, is no secret.
pub(super) fn mask(line: &str) -> Cow<'_, str> {
    let lowercase = line.to_ascii_lowercase();
    let values = MARKS.iter().flat_map(|mark| lowercase.match_indices(mark)).filter_map(|(at, _)| value_after(line, at));
    let value = values.filter(|at| !is_reference(&line[*at..])).min().map(|at| at..line.len());
    cover(line, &url_secrets(line).chain(value).collect::<Vec<_>>())
}

/// The same for a line of a section of secrets, on which everything may be one that is no name of a key.
pub(super) fn mask_in_section(line: &str) -> Cow<'_, str> {
    if header(line).is_some() {
        return mask(line);
    }
    let start = line.len() - line.trim_start().len();
    let from = match line.split_once('=') {
        Some((key, value)) if is_key(key) => {
            if is_harmless(last_of(key), value) {
                return cover(line, &url_secrets(line).collect::<Vec<_>>());
            }
            line.len() - value.trim_start().len()
        }
        // Its `=` was forgotten; or it goes on with what began on another line.
        _ => {
            line[start..].find([' ', '\t', ':']).filter(|end| is_key(&line[start..start + end])).map_or(start, |end| start + end)
        }
    };
    cover(line, std::slice::from_ref(&(from..line.len())))
}

fn cover<'a>(line: &'a str, covered: &[Range<usize>]) -> Cow<'a, str> {
    if covered.is_empty() {
        return Cow::Borrowed(line);
    }
    let star = |(at, c): (usize, char)| {
        let hide = covered.iter().any(|range| range.contains(&at));
        if hide { "*".repeat(c.len_utf8()) } else { c.to_string() }
    };
    Cow::Owned(line.char_indices().map(star).collect())
}

/// Whether a section of secrets begins with this key path, also one that is not quite spelt so.
pub(super) fn is_section(key_path: &str) -> bool {
    let first = key_path.split(['.', '[', ' ', '=']).next().unwrap_or_default();
    super::suggest::suggest(first, SECTIONS).is_some() || key_path.starts_with("traces.headers")
}

/// Whether a secret may stand where this path leads.
pub(super) fn is_secret(path: &[Step]) -> bool {
    let key = |step: &Step| matches!(step, Step::Key(key) if names_secret(key));
    match path.first() {
        Some(Step::Key(first)) if NAMED.contains(&first.as_str()) => path.get(2..).unwrap_or_default().iter().any(key),
        Some(Step::Key(first)) => SECTIONS.contains(&first.as_str()) || path.iter().any(key),
        _ => false,
    }
}

/// Whether what stands under this key can be shown all the same.
pub(super) fn is_shown(path: &[Step], value: &Value) -> bool {
    match (path.last(), value) {
        (_, Value::Integer(_) | Value::Float(_) | Value::Boolean(_)) => true,
        (Some(Step::Key(key)), Value::Text(text)) => is_harmless_text(key, text),
        _ => false,
    }
}

/// Whether it is, or has in it, the name of a secret.
pub(super) fn names_secret(key: &str) -> bool {
    let lowercase = key.to_ascii_lowercase();
    MARKS.iter().any(|mark| lowercase.contains(mark))
}

/// The name of the section whose lines begin here: `vending.sealing_keys`.
pub(super) fn header(line: &str) -> Option<&str> {
    let line = line.split('#').next().unwrap_or_default().trim();
    let name = line.strip_prefix('[')?.strip_suffix(']')?;
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name).trim();
    name.bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"_-. \"'".contains(&b))
        .then_some(name)
        .filter(|name| !name.starts_with(['"', '\'']))
}

/// `user:password` in `https://user:password@host`, also without a scheme, and what comes behind `?`; too much rather than too little,
/// should the password have a `/`.
fn url_secrets(line: &str) -> impl Iterator<Item = Range<usize>> {
    let with_scheme = line.match_indices("://").flat_map(|(at, slashes)| {
        let start = at + slashes.len();
        let rest = line[start..].split(['"', '\'', ' ']).next().unwrap_or_default();
        let credentials = rest.rfind('@').map(|end| start..start + end);
        let query = rest.find('?').map(|query| start + query + 1..start + rest.len());
        [credentials, query]
    });
    let mut at = 0;
    let texts = line.split(['"', '\'']).map(move |text| {
        let start = at;
        at += text.len() + 1;
        (start, text)
    });
    let without = texts.filter_map(|(at, text)| {
        let end = text.rfind('@').filter(|end| !text.contains("://") && text[..*end].contains(':'))?;
        Some(Some(at..at + end))
    });
    with_scheme.chain(without).flatten()
}

/// Where the value begins, if a key goes on at `at`.
fn value_after(line: &str, at: usize) -> Option<usize> {
    let (key, value) = line[at..].split_once('=')?;
    let is_key = key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.\"' \t]".contains(&b));
    is_key.then(|| line.len() - value.trim_start().len())
}

fn is_key(text: &str) -> bool {
    let text = text.trim();
    let is_closed = ['"', '\''].iter().all(|quote| text.matches(*quote).count().is_multiple_of(2));
    let is_one = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.\"'".contains(&b));
    (1..=KEY_BYTES_MAX).contains(&text.len()) && is_one && is_closed
}

fn last_of(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or_default().trim().trim_matches(['"', '\''])
}

/// The whole of a value as it is written, a comment behind it included.
fn is_harmless(key: &str, value: &str) -> bool {
    let value = value.split('#').next().unwrap_or_default().trim();
    let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match quoted.or_else(|| value.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''))) {
        Some(text) => !text.contains(['"', '\'']) && is_harmless_text(key, text),
        None if value.starts_with('{') => value.matches('"').count() == 2 && value.ends_with('}') && is_reference(value),
        None => matches!(value, "true" | "false") || value.len() <= 9 && value.bytes().all(|b| b.is_ascii_digit() || b == b'_'),
    }
}

/// Where a secret is, and what tells keys apart.
fn is_harmless_text(key: &str, text: &str) -> bool {
    match key {
        "file" => true,
        "env" => is_variable(text),
        "access_key_id" => text.len() <= KEY_BYTES_MAX && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()),
        "id" => text.len() <= KEY_BYTES_MAX,
        _ => false,
    }
}

fn is_reference(value: &str) -> bool {
    let Some((form, quoted)) = value.strip_prefix('{').and_then(|rest| rest.split_once('=')) else { return false };
    let name = quoted.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
    name.is_some_and(|name| matches!(form.trim(), "file" | "env") && is_harmless_text(form.trim(), name))
}

/// What operators call variables; a secret hardly looks so.
pub(super) fn is_variable(name: &str) -> bool {
    let upper = |b: u8| b.is_ascii_uppercase() || b == b'_';
    name.bytes().all(|b| upper(b) || b.is_ascii_digit()) && name.bytes().next().is_some_and(upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_section_of_secrets_all_is_starred_but_what_is_known_to_be_none() {
        for (line, shown) in [
            ("  key = \"wJalr\" # é", "  key = ************"),
            ("secret_access_key \"wJalr\"", "secret_access_key********"),
            ("secret_access_key \"wJalr=\"", "secret_access_key*********"),
            ("secret_access_key: \"wJalr\"", "secret_access_key*********"),
            ("sealing_keys = [\"wJalr\"]", "sealing_keys = *********"),
            ("  \"wJalr\",", "  ********"),
            ("wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY1=", "****************************************"),
            ("env = \"wJalr\"", "env = *******"),
            ("access_key_id = \"wJalr\"", "access_key_id = *******"),
            ("secret = { file = \"a\", value = \"wJalr\" }", "secret = *******************************"),
        ] {
            assert_eq!(mask_in_section(line), shown);
            assert_eq!(mask_in_section(line).len(), line.len());
        }
        for line in [
            "[[vending.sealing_keys]] # one",
            "id = \"2026-11\"",
            "secret = { env = \"SEALING_KEY\" } # here",
            "secret.file = \"secrets/key\"",
            "access_key_id = \"AKIDEXAMPLE\"",
            "lifetime_seconds = 3_600",
            "sts = false",
        ] {
            assert_eq!(mask_in_section(line), line);
        }
    }

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
            (r#"endpoint = "me:é@host""#, r#"endpoint = "*****@host""#),
            (r#"url = "https://h/keys?token=é" # a"#, r#"url = "https://h/keys?********" # a"#),
            (r#"session_token = { env = "wJalr" }"#, r#"session_token = *****************"#),
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
