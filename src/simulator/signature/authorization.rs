//! The `Authorization` header, taken apart: `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`.

use http::{HeaderMap, header::AUTHORIZATION};

use super::Refusal;

/// What the header says, unproved.
#[derive(Debug)]
pub(super) struct Authorization<'a> {
    pub access_key_id: &'a str,
    pub date: &'a str,
    pub region: &'a str,
    pub service: &'a str,
    /// Sorted, as AWS makes its canonical request, whatever the order they came in.
    pub signed_headers: Vec<&'a str>,
    pub signature: [u8; 32],
}

impl<'a> Authorization<'a> {
    /// Reads the only `Authorization` header.
    pub fn read(headers: &'a HeaderMap) -> Result<Authorization<'a>, Refusal> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let value = values.next().ok_or(Refusal::NoAuthorization)?;
        if values.next().is_some() {
            return Err(Refusal::Incomplete { what: "Multiple Authorization headers were sent" });
        }
        let value = value.to_str().map_err(|_| Refusal::Incomplete { what: "Authorization header is not ASCII" })?;
        if value.starts_with("Bearer ") {
            return Err(Refusal::Bearer);
        }
        let rest = value.strip_prefix("AWS4-HMAC-SHA256 ").ok_or(Refusal::UnknownAlgorithm)?;
        let part = |name: &str| rest.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
        let missing = |what| Refusal::Incomplete { what };
        let credential = part("Credential").ok_or(missing("Authorization header requires 'Credential' parameter"))?;
        let signed = part("SignedHeaders").ok_or(missing("Authorization header requires 'SignedHeaders' parameter"))?;
        let signature = part("Signature").ok_or(missing("Authorization header requires 'Signature' parameter"))?;
        Authorization::assemble(credential, signed, signature)
    }

    /// `2026…/us-east-1/bedrock/aws4_request`.
    pub fn scope(&self) -> String {
        format!("{}/{}/{}/aws4_request", self.date, self.region, self.service)
    }

    fn assemble(credential: &'a str, signed: &'a str, signature: &str) -> Result<Authorization<'a>, Refusal> {
        // An access key id may hold a slash; the scope never does.
        let mut parts = credential.rsplitn(5, '/');
        let [terminator, service, region, date, access_key_id] = [(); 5].map(|()| parts.next().unwrap_or_default());
        if access_key_id.is_empty() || terminator != "aws4_request" {
            return Err(Refusal::Incomplete { what: "Credential must have exactly 5 slash-delimited elements" });
        }
        let mut signed_headers: Vec<&str> = signed.split(';').collect();
        signed_headers.sort_unstable();
        if signed_headers.iter().any(|name| name.bytes().any(|b| b.is_ascii_uppercase())) {
            return Err(Refusal::Incomplete { what: "SignedHeaders must be in lower case" });
        }
        let signature = unhex(signature).ok_or(Refusal::Incomplete { what: "Signature must be 64 hexadecimal digits" })?;
        Ok(Authorization { access_key_id, date, region, service, signed_headers, signature })
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut out = [0u8; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(out)
}

/// The service of the credential scope, before anything is verified: with it a request to `localhost` says which service it means.
pub(in super::super) fn claimed_service(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (_, rest) = value.split_once("Credential=")?;
    rest.split(',').next()?.rsplit('/').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &'static str) -> Result<String, &'static str> {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, http::HeaderValue::from_static(value))]);
        Authorization::read(&headers)
            .map(|a| format!("{} {} {:?}", a.access_key_id, a.scope(), a.signed_headers))
            .map_err(|e| e.code())
    }

    #[test]
    fn parts_may_come_in_any_order_and_spacing() {
        let signature = "Signature=0000000000000000000000000000000000000000000000000000000000000000";
        let expected = Ok(r#"K 20260101/r/bedrock/aws4_request ["a", "host"]"#.to_owned());
        for value in [
            format!("AWS4-HMAC-SHA256 Credential=K/20260101/r/bedrock/aws4_request, SignedHeaders=a;host, {signature}"),
            format!("AWS4-HMAC-SHA256 {signature},SignedHeaders=host;a,Credential=K/20260101/r/bedrock/aws4_request"),
        ] {
            assert_eq!(read(value.leak()), expected);
        }
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        for (value, code) in [
            ("Bearer x", "AccessDeniedException"),
            ("Basic x", "IncompleteSignatureException"),
            ("AWS4-HMAC-SHA256 Credential=K/1/r/s/aws4_request, SignedHeaders=host", "IncompleteSignatureException"),
            ("AWS4-HMAC-SHA256 Credential=K/r/s/aws4_request, SignedHeaders=host, Signature=00", "IncompleteSignatureException"),
        ] {
            assert_eq!(read(value), Err(code), "{value}");
        }
    }
}
