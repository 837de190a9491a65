//! When a certificate is valid, and when to say that it will not be for long.

use jiff::Timestamp;
use x509_parser::error::X509Error;

/// Seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first.
    pub not_before: i64,
    /// The last.
    pub not_after: i64,
}

const DAY: i64 = 86_400;

impl Validity {
    /// Of a certificate in DER.
    pub fn of(certificate: &[u8]) -> Result<Validity, X509Error> {
        let (_, certificate) = x509_parser::parse_x509_certificate(certificate).map_err(|error| match error {
            x509_parser::nom::Err::Error(error) | x509_parser::nom::Err::Failure(error) => error,
            x509_parser::nom::Err::Incomplete(_) => X509Error::InvalidCertificate,
        })?;
        let validity = certificate.validity();
        Ok(Validity { not_before: validity.not_before.timestamp(), not_after: validity.not_after.timestamp() })
    }

    /// The last second before renewal is overdue: 14 days before the end, or after five sixths of a shorter life.
    pub fn renewal(&self) -> i64 {
        self.not_after.saturating_sub((14 * DAY).min(self.lifetime() / 6))
    }

    /// Whether renewal is overdue.
    pub fn ends_very_soon(&self, now: i64) -> bool {
        now > self.renewal()
    }

    /// Whether to think of renewal: 30 days before the end, or after two thirds of a shorter life, as ACME clients do.
    pub fn ends_soon(&self, now: i64) -> bool {
        now > self.not_after.saturating_sub((30 * DAY).min(self.lifetime() / 3))
    }

    /// What is wrong with it now or soon, and what to do.
    pub fn complaint(&self, now: i64) -> Option<(String, &'static str)> {
        if now > self.not_after {
            Some((format!("the certificate expired on {}", date(self.not_after)), "clients will refuse it: renew it"))
        } else if now < self.not_before {
            let help = "clients will refuse it until then; is the clock right?";
            Some((format!("the certificate is not valid before {}", date(self.not_before)), help))
        } else if self.ends_soon(now) {
            let help = match self.ends_very_soon(now) {
                true => "renew it now: less than 14 days, or a sixth of its life, are left",
                false => "renew it; the running gateway takes the new file up by itself",
            };
            Some((format!("the certificate expires on {}", date(self.not_after)), help))
        } else {
            None
        }
    }

    fn lifetime(&self) -> i64 {
        self.not_after.saturating_sub(self.not_before).max(0)
    }
}

/// RFC 3339, for people.
fn date(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| format!("second {seconds}"), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_is_complained_of_from_30_days_on_and_a_week_from_its_last_third_on() {
        let year = Validity { not_before: 0, not_after: 365 * DAY };
        let complaint = |validity: Validity, now: i64| validity.complaint(now).map(|(message, help)| message + ", " + help);
        assert_eq!(complaint(year, 335 * DAY), None);
        assert!(complaint(year, 336 * DAY).unwrap().contains("expires on 1971-01-01"));
        assert!(!complaint(year, 350 * DAY).unwrap().contains("now"));
        assert!(complaint(year, 352 * DAY).unwrap().contains("renew it now"));
        assert!(complaint(year, 365 * DAY + 1).unwrap().contains("expired"));
        assert!(complaint(year, -1).unwrap().contains("not valid before"));
        let week = Validity { not_before: 0, not_after: 6 * DAY };
        assert_eq!(complaint(week, 4 * DAY), None);
        assert!(complaint(week, 4 * DAY + 1).is_some());
        assert!(!week.ends_very_soon(5 * DAY) && week.ends_very_soon(5 * DAY + 1));
    }
}
