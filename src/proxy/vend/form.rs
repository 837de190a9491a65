//! `application/x-www-form-urlencoded`, as STS's Query API has it.

use std::collections::BTreeMap;

use super::VendError;
use crate::auth::credential::form_decoded;

/// Names this API has; of others it is not looked at how often they come.
const NAMES: [&str; 8] =
    ["Action", "Version", "RoleArn", "RoleSessionName", "WebIdentityToken", "DurationSeconds", "ProviderId", "Policy"];

/// A list of this API's: its values come as `PolicyArns.member.1.arn` and so on.
const LIST: &str = "PolicyArns";

/// The parameters of one form.
#[derive(Default)]
pub(super) struct Form(BTreeMap<&'static str, String>);

impl Form {
    /// Adds the parameters of a query or a body; a name may come once in all.
    pub fn add(&mut self, text: &[u8]) -> Result<(), VendError> {
        for pair in text.split(|&b| b == b'&').filter(|pair| !pair.is_empty()) {
            let mut halves = pair.splitn(2, |&b| b == b'=');
            let (name, value) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
            let name = form_decoded(name);
            if name.strip_prefix(LIST.as_bytes()).is_some_and(|rest| rest.starts_with(b".")) {
                self.0.insert(LIST, String::new());
                continue;
            }
            let Some(name) = NAMES.into_iter().find(|known| known.as_bytes() == name) else { continue };
            let value = String::from_utf8(form_decoded(value)).map_err(|_| VendError::Parameter(name))?;
            if self.0.insert(name, value).is_some() {
                return Err(VendError::Parameter(name));
            }
        }
        Ok(())
    }

    /// A parameter that came.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// Whether it came.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_once_and_values_are_decoded() {
        let mut form = Form::default();
        form.add(b"Action=A%42+c&&Unknown=1&Unknown=2&Version").unwrap();
        form.add(b"RoleArn=arn%3Aaws%3D").unwrap();
        assert_eq!(form.take("Action").as_deref(), Some("AB c"));
        assert_eq!((form.take("RoleArn").as_deref(), form.take("Version").as_deref()), (Some("arn:aws="), Some("")));
        assert!(!form.has("Unknown") && !form.has("Action"));
        for twice in ["Policy=1&Policy=1", "Policy=1&Polic%79=2"] {
            assert!(Form::default().add(twice.as_bytes()).is_err(), "{twice}");
        }
        assert!(Form::default().add(b"Action=%ff").is_err());
        form.add(b"PolicyArns.member.1.arn=a&PolicyArns.member.2.arn=b&PolicyArnsAndMore=c").unwrap();
        assert!(form.has("PolicyArns"));
    }
}
