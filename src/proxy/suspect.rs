//! Errors of Bedrock's about the gateway's own credentials, told from those that are for the client: by the exception that the head names, or,
//! where it names none, by the body, which is held until that is known.

use std::mem;

use bytes::Bytes;
use http::HeaderName;
use pingora_http::ResponseHeader;
use serde_json::Value;

use super::Denial;

static ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// AWS's errors have some hundred bytes, and those that quote the canonical request about as many as its head.
const HELD_BYTES_MAX: usize = 64 << 10;

/// What AWS answers when the signature or the keys under it are wrong: the gateway's, since the client's never got there.
const ABOUT_OUR_CREDENTIALS: [&str; 9] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// How AWS's texts about them go, in small letters, for bodies that name no exception.
const IN_WORDS: [(&str, &str); 5] = [
    ("canonical string", "InvalidSignatureException"),
    ("x-amz-security-token", "InvalidSignatureException"),
    ("request signature we calculated", "InvalidSignatureException"),
    ("security token included in the request is expired", "ExpiredTokenException"),
    ("security token included in the request", "UnrecognizedClientException"),
];

/// The exception that a head names.
pub fn exception(response: &ResponseHeader) -> Option<&str> {
    bare(response.headers.get(&ERROR_TYPE)?.to_str().ok()?)
}

/// The exception by which a head says that the gateway's credentials are refused.
pub fn refusal(response: &ResponseHeader) -> Option<&'static str> {
    exception(response).filter(|_| may_refuse(response)).and_then(known)
}

fn may_refuse(response: &ResponseHeader) -> bool {
    matches!(response.status.as_u16(), 400 | 401 | 403)
}

/// An error whose head does not say what it is about.
pub struct Suspect {
    /// Of an authentication, not of what was asked: then AWS's words are enough. In a 400 they could be the client's own, quoted.
    words_count: bool,
    held: Vec<u8>,
}

impl Suspect {
    /// For an answer, if it is one.
    pub fn of(response: &ResponseHeader) -> Option<Suspect> {
        if !may_refuse(response) || exception(response).is_some() {
            return None;
        }
        Some(Suspect { words_count: response.status != http::StatusCode::BAD_REQUEST, held: Vec::new() })
    }

    /// A piece of its body; once it is known to be for the client, all that was held. Whether that is so.
    ///
    /// # Errors
    /// It is about the gateway's credentials.
    pub fn chunk(&mut self, body: &mut Option<Bytes>, end: bool) -> Result<bool, Denial> {
        self.held.extend_from_slice(&body.take().unwrap_or_default());
        let cleared = end || self.held.len() > HELD_BYTES_MAX;
        if cleared && let Some(name) = self.accuses() {
            return Err(Denial::CredentialsRefused(name));
        }
        // An empty piece goes on being one: none at all would be the end.
        *body = Some(if cleared { mem::take(&mut self.held).into() } else { Bytes::new() });
        Ok(cleared)
    }

    fn accuses(&self) -> Option<&'static str> {
        // Of one that is cut, or no JSON, there are still the words.
        let told: Value = serde_json::from_slice(&self.held).unwrap_or_default();
        let inner = &told["error"];
        let said = [&told["__type"], &told["code"], &told["Code"], &told["type"], &inner["code"], &inner["type"]];
        let names = || said.iter().filter_map(|name| bare(name.as_str()?));
        let is_for_client = names().any(|name| name.ends_with("Exception"));
        names().find_map(known).or_else(|| in_words(&self.held).filter(|_| self.words_count && !is_for_client))
    }
}

/// The name of `com.amazon.coral.service#Name:http://…`, which may stand alone.
fn bare(text: &str) -> Option<&str> {
    let name = text.split(':').next()?.rsplit('#').next()?;
    let is_name = (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    is_name.then_some(name)
}

/// AWS's name for it, however it is spelled: `invalid_signature` is one of these too.
fn known(name: &str) -> Option<&'static str> {
    let plain = |name: &str| {
        let letters: String = name.chars().filter(|c| *c != '_').map(|c| c.to_ascii_lowercase()).collect();
        letters.strip_suffix("exception").map_or(letters.clone(), str::to_owned)
    };
    let exactly = ABOUT_OUR_CREDENTIALS.into_iter().find(|known| *known == name);
    exactly.or_else(|| ABOUT_OUR_CREDENTIALS.into_iter().find(|known| plain(known) == plain(name)))
}

fn in_words(body: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(body).to_ascii_lowercase();
    IN_WORDS.into_iter().find(|(words, _)| text.contains(words)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: u16, exception: &str) -> ResponseHeader {
        let mut response = ResponseHeader::build(status, None).unwrap();
        if !exception.is_empty() {
            response.insert_header("x-amzn-ErrorType", exception).unwrap();
        }
        response
    }

    /// What becomes of a body that comes in pieces of so many bytes.
    fn meets(status: u16, body: &str, size: usize) -> Result<Vec<u8>, &'static str> {
        let mut suspect = Suspect::of(&head(status, "")).unwrap();
        let mut passed = Vec::new();
        let mut pieces = body.as_bytes().chunks(size).peekable();
        loop {
            let mut piece = pieces.next().map(Bytes::copy_from_slice);
            let end = pieces.peek().is_none();
            let cleared = suspect.chunk(&mut piece, end).map_err(|denial| match denial {
                Denial::CredentialsRefused(name) => name,
                denial => panic!("{denial}"),
            })?;
            passed.extend_from_slice(&piece.unwrap());
            if cleared {
                pieces.for_each(|rest| passed.extend_from_slice(rest));
                return Ok(passed);
            }
        }
    }

    #[test]
    fn a_head_names_its_exception_in_several_ways() {
        for (told, name) in [
            ("InvalidSignatureException", Some("InvalidSignatureException")),
            ("InvalidSignatureException:http://internal.amazon.com/coral/a#b", Some("InvalidSignatureException")),
            ("com.amazon.coral.service#InvalidSignatureException", Some("InvalidSignatureException")),
            ("com.amazon.coral.service#ExpiredTokenException:http://x/", Some("ExpiredTokenException")),
            ("ValidationException", None),
            ("com.amazon.coral.validate#ValidationException", None),
            ("", None),
        ] {
            assert_eq!([400, 401, 403].map(|status| refusal(&head(status, told))), [name; 3], "{told}");
            assert_eq!(refusal(&head(500, told)), None);
        }
        assert_eq!(exception(&head(400, "aws.x#ValidationException:http://y")), Some("ValidationException"));
        assert!(Suspect::of(&head(403, "AccessDeniedException")).is_none());
    }

    #[test]
    fn bodies_about_our_credentials_are_held_and_others_pass() {
        for (status, body, name) in [
            (403, r#"{"__type":"com.amazon.coral.service#ExpiredTokenException","message":"x"}"#, "ExpiredTokenException"),
            (400, r#"{"message":"x","__type":"InvalidSignatureException:http://a/b#c"}"#, "InvalidSignatureException"),
            (403, r#"{"code":"UnrecognizedClientException"}"#, "UnrecognizedClientException"),
            (401, r#"{"error":{"code":"invalid_signature","type":"invalid_request_error"}}"#, "InvalidSignatureException"),
            (401, r#"{"type":"error","error":{"type":"expired_token"}}"#, "ExpiredToken"),
            (
                401,
                r#"{"error":{"message":"The Canonical String for this request should have been"}}"#,
                "InvalidSignatureException",
            ),
            (403, r#"{"message":"The security token included in the request is expired"}"#, "ExpiredTokenException"),
            (403, "The security token included in the request is invalid", "UnrecognizedClientException"),
            (403, r#"{"Message":"… X-Amz-Security-Token:SECRET"#, "InvalidSignatureException"),
        ] {
            for size in [1, 7, 1000] {
                assert_eq!(meets(status, body, size), Err(name), "{body}");
            }
        }
        for (status, body) in [
            (400, r#"{"__type":"com.amazon.coral.validate#ValidationException","message":"InvalidSignatureException"}"#),
            (400, r#"{"message":"the value 'canonical string' is not valid"}"#),
            (403, r#"{"__type":"AccessDeniedException","message":"no canonical string"}"#),
            (403, r#"{"Message":"User: arn:aws:sts::1:assumed-role/x is not authorized to perform bedrock:InvokeModel"}"#),
            (401, r#"{"error":{"code":"invalid_api_key","message":"x","type":["x"]}}"#),
            (401, r#"{"error":"x"}"#),
            (403, "<html>"),
            (403, ""),
        ] {
            for size in [1, 7, 1000] {
                assert_eq!(meets(status, body, size).as_deref(), Ok(body.as_bytes()), "{body}");
            }
        }
    }

    #[test]
    fn what_is_too_long_to_hold_passes_unless_its_beginning_says_enough() {
        let long = |start: &str| format!("{start}{}", "x".repeat(3 * HELD_BYTES_MAX));
        assert_eq!(meets(403, &long("{"), 10_000).as_deref(), Ok(long("{").as_bytes()));
        assert_eq!(meets(403, &long("The canonical string"), 10_000), Err("InvalidSignatureException"));
    }
}
