//! The end of certificates, seen coming: metrics for each, and a line in the log every day.

use std::time::{Duration, SystemTime};

use super::reload::unix_seconds;
use crate::{snapshot::Snapshot, telemetry::Metrics};

/// How often the log says so.
pub(super) const SAY_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Shows when the certificates in force end and are to be renewed, and no others.
pub(super) fn show(snapshot: &Snapshot, metrics: &Metrics) {
    metrics.certificate_expiry.reset();
    metrics.certificate_renewal.reset();
    for certificate in snapshot.certificates() {
        let (file, validity) = ([certificate.file.as_str()], certificate.validity);
        metrics.certificate_expiry.with_label_values(&file).set(validity.not_after);
        metrics.certificate_renewal.with_label_values(&file).set(validity.renewal());
    }
}

/// Says which certificates end soon.
pub(super) fn warn(snapshot: &Snapshot, now: SystemTime) {
    let now = unix_seconds(now);
    for certificate in snapshot.certificates() {
        let file = certificate.file.as_str();
        match certificate.validity.complaint(now) {
            Some((problem, help)) if certificate.validity.ends_very_soon(now) => tracing::error!(file, "{problem}; {help}"),
            Some((problem, help)) => tracing::warn!(file, "{problem}; {help}"),
            None => {}
        }
    }
}
