//! What a token's claims must look like, whoever signed them: exact types, no coercion, and names that cannot be mistaken for other
//! names. Does not compare them with an issuer's rules or the clock; that is `verify`.
//!
//! Members are taken one by one from an object that [`json`] has found free of repeated names, rather than by a
//! derived struct, whose error texts quote the values they refuse.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{error::IdentityError, json};

/// The last instant of the year 9999. What is later is a mistake (milliseconds for seconds) or an attack on arithmetic.
const NUMERIC_DATE_SECONDS_MAX: u64 = 253_402_300_799;

const SUBJECT_CHARS_MAX: usize = 256;
const TENANT_BYTES_MAX: usize = 64;

/// Claims as sent; only `iss` may be looked at before the signature is verified.
pub struct Unverified(Map<String, Value>);

/// Claims of the right types.
pub struct Claims {
    /// `sub`.
    pub subject: String,
    /// `exp`, since 1970.
    pub expires: Duration,
    /// `nbf`, since 1970.
    pub not_before: Option<Duration>,
    /// `iat`, since 1970.
    pub issued: Option<Duration>,
}

impl Unverified {
    /// Reads decoded claims.
    ///
    /// # Errors
    /// [`IdentityError::Malformed`] if they are not a JSON object, each name once.
    pub fn parse(bytes: &[u8]) -> Result<Self, IdentityError> {
        json::object(bytes).map(Unverified).ok_or(IdentityError::Malformed)
    }

    /// `iss`: a string; an array, which some libraries accept, names nobody in particular.
    ///
    /// # Errors
    /// It is absent or not a string.
    pub fn issuer(&self) -> Result<&str, IdentityError> {
        self.text("iss")
    }

    /// The claims that every token has, once the signature is known to be the issuer's.
    ///
    /// # Errors
    /// Names the first claim that is absent or not as it must be.
    pub fn check(&self) -> Result<Claims, IdentityError> {
        let claims = Claims {
            expires: self.date("exp")?.ok_or(IdentityError::ClaimMissing("exp".into()))?,
            not_before: self.date("nbf")?,
            issued: self.date("iat")?,
            subject: self.text("sub")?.to_owned(),
        };
        if is_subject(&claims.subject) { Ok(claims) } else { Err(IdentityError::ClaimInvalid("sub".into())) }
    }

    /// A claim that is one string.
    ///
    /// # Errors
    /// It is absent or something else.
    pub fn text(&self, name: &str) -> Result<&str, IdentityError> {
        match self.find(name) {
            None => Err(IdentityError::ClaimMissing(name.into())),
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(IdentityError::ClaimInvalid(name.into())),
        }
    }

    /// A claim that is a string or an array of strings.
    ///
    /// # Errors
    /// It is absent or something else.
    pub fn texts(&self, name: &str) -> Result<Vec<&str>, IdentityError> {
        let invalid = || IdentityError::ClaimInvalid(name.into());
        match self.find(name) {
            None => Err(IdentityError::ClaimMissing(name.into())),
            Some(Value::String(one)) => Ok(vec![one]),
            Some(Value::Array(many)) => many.iter().map(|one| one.as_str().ok_or_else(invalid)).collect(),
            Some(_) => Err(invalid()),
        }
    }

    /// Whether the token has a scope: in `scope` (RFC 8693 §4.2) or `scp` (Entra ID, Okta), one string with spaces or an array.
    ///
    /// # Errors
    /// One of them is something else.
    pub fn has_scope(&self, scope: &str) -> Result<bool, IdentityError> {
        for name in ["scope", "scp"].into_iter().filter(|name| self.0.contains_key(*name)) {
            if self.texts(name)?.iter().any(|text| text.split(' ').any(|one| one == scope)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a claim that is not in the token is said to be elsewhere: in a distributed or aggregated claim (OpenID Connect Core
    /// §5.6.2), or, as Entra ID says it of more groups than a token holds, by `hasgroups`.
    pub fn is_elsewhere(&self, name: &str) -> bool {
        let first = name.strip_prefix('/').map(|pointer| unescaped(pointer.split('/').next().unwrap_or_default()));
        let member = first.as_deref().unwrap_or(name);
        let names_it = match self.0.get("_claim_names") {
            None => false,
            Some(Value::Object(names)) => names.contains_key(member),
            // Nobody can tell which claims it is about.
            Some(_) => true,
        };
        let has_groups = self.0.get("hasgroups").is_some_and(|has| *has != Value::Bool(false));
        names_it || (member == "groups" && has_groups)
    }

    /// By its name, or by a JSON pointer (RFC 6901) if the name begins with `/`.
    fn find(&self, name: &str) -> Option<&Value> {
        let Some(pointer) = name.strip_prefix('/') else { return self.0.get(name) };
        let mut steps = pointer.split('/').map(unescaped);
        let first = self.0.get(&steps.next()?)?;
        steps.try_fold(first, |value, step| value.as_object()?.get(&step))
    }

    /// RFC 7519 §2, NumericDate: a JSON number of seconds, fractions allowed.
    fn date(&self, name: &str) -> Result<Option<Duration>, IdentityError> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let date = match value.as_u64() {
            Some(seconds) => Some(Duration::from_secs(seconds)),
            None => value.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        };
        match date {
            Some(date) if date.as_secs() <= NUMERIC_DATE_SECONDS_MAX => Ok(Some(date)),
            _ => Err(IdentityError::ClaimInvalid(name.into())),
        }
    }
}

/// A step of a JSON pointer.
fn unescaped(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

/// A `sub` that reads the same to everybody: 1 to 256 characters, none of them invisible, no whitespace but spaces inside.
pub fn is_subject(subject: &str) -> bool {
    let chars = subject.chars().count();
    (1..=SUBJECT_CHARS_MAX).contains(&chars) && subject.trim() == subject && subject.chars().all(is_printable)
}

/// A tenant's name: 1 to 64 of `A-Z a-z 0-9 . _ -`. ASCII, so that no letter looks like another alphabet's; no `*` or `?`, so
/// that no name is a pattern.
pub fn is_tenant(tenant: &str) -> bool {
    (1..=TENANT_BYTES_MAX).contains(&tenant.len())
        && tenant.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// Not a control character, a space other than U+0020, or one of the characters of Unicode's category Cf and their like, which
/// show nothing or reorder what stands beside them.
fn is_printable(c: char) -> bool {
    let invisible = matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
        | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}');
    let private = matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}');
    !(c.is_control() || (c.is_whitespace() && c != ' ') || invisible || private)
}
