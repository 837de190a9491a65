//! How often and how much at once: request rates and concurrency per tenant.

pub mod concurrency;
pub mod counters;
pub mod pace;
pub mod rate;

pub use concurrency::Permit;
pub use counters::{Counted, Counters, TenantCounters};

use std::time::{Duration, Instant};

use super::{Standing, milliseconds};
use crate::config::RequestLimits;

/// A limit said no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tenant {tenant} has reached its limit of {} {}; try again in {} ms", .standing.quota, .standing.kind.name(), milliseconds(*.retry_after))]
pub struct RateDenial {
    /// Who.
    pub tenant: String,
    /// The limit that bound first.
    pub standing: Standing,
    /// The exact wait until one request fits; a guess where it depends on when others end.
    pub retry_after: Duration,
}

/// What an admitted request holds and shows.
#[derive(Debug)]
pub struct Admission {
    /// Given back when the request ends.
    pub permit: Permit,
    /// One per limit, in the order in which they were asked.
    pub standings: Vec<Standing>,
}

/// Asks every limit; counts the request only if all agree.
pub fn admit(tenant: &str, limits: &RequestLimits, counters: &TenantCounters, now: Instant) -> Result<Admission, RateDenial> {
    let mut standings = Vec::with_capacity(3);
    let denied = |(standing, retry_after)| RateDenial { tenant: tenant.to_owned(), standing, retry_after };
    let permit = counters.start(limits.concurrent_requests, &mut standings).map_err(denied)?;
    counters.count(limits, &mut standings, now).map_err(denied)?;
    Ok(Admission { permit, standings })
}

/// As [`admit`], but without regard to what is running.
pub fn count(tenant: &str, limits: &RequestLimits, counters: &TenantCounters, now: Instant) -> Result<Vec<Standing>, RateDenial> {
    let mut standings = Vec::with_capacity(2);
    let counted = counters.count(limits, &mut standings, now);
    counted.map_err(|(standing, retry_after)| RateDenial { tenant: tenant.to_owned(), standing, retry_after })?;
    Ok(standings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::LimitKind;

    #[test]
    fn the_limit_is_reached_exactly_and_refusals_do_not_count() {
        let (counters, now) = (Counters::default().of("acme"), Instant::now());
        let limits = RequestLimits { requests_per_minute: Some(5), ..RequestLimits::default() };
        for left in (0..5).rev() {
            let admission = admit("acme", &limits, &counters, now).unwrap();
            assert_eq!(admission.standings[0].remaining, left);
        }
        for _ in 0..100 {
            let denial = admit("acme", &limits, &counters, now).unwrap_err();
            assert_eq!((denial.standing.quota, denial.standing.remaining), (5, 0));
            assert_eq!(denial.retry_after, Duration::from_secs(60));
        }
        assert!(admit("acme", &limits, &counters, now + Duration::from_secs(60)).is_ok());
    }

    #[test]
    fn a_refused_request_holds_no_permit() {
        let (counters, now) = (Counters::default().of("acme"), Instant::now());
        let limits = RequestLimits { requests_per_minute: Some(1), concurrent_requests: Some(2), ..RequestLimits::default() };
        let first = admit("acme", &limits, &counters, now).unwrap();
        for _ in 0..10 {
            assert_eq!(admit("acme", &limits, &counters, now).unwrap_err().standing.kind, LimitKind::RequestsPerMinute);
        }
        assert_eq!(first.permit.running(), 1);
    }

    #[test]
    fn concurrency_is_given_back_when_the_permit_drops() {
        let (counters, now) = (Counters::default().of("acme"), Instant::now());
        let limits = RequestLimits { concurrent_requests: Some(2), ..RequestLimits::default() };
        let (a, _b) = (admit("acme", &limits, &counters, now).unwrap(), admit("acme", &limits, &counters, now).unwrap());
        assert_eq!(admit("acme", &limits, &counters, now).unwrap_err().standing.kind, LimitKind::ConcurrentRequests);
        drop(a);
        assert!(admit("acme", &limits, &counters, now).is_ok());
    }

    #[test]
    fn tenants_do_not_share() {
        let (counters, now) = (Counters::default(), Instant::now());
        let limits = RequestLimits { requests_per_second: Some(1), ..RequestLimits::default() };
        assert!(admit("a", &limits, &counters.of("a"), now).is_ok());
        assert!(admit("b", &limits, &counters.of("b"), now).is_ok());
    }

    #[test]
    fn many_threads_get_no_more_than_the_limit() {
        let (counters, now) = (Counters::default().of("acme"), Instant::now());
        let limits = RequestLimits { requests_per_minute: Some(100), ..RequestLimits::default() };
        let admitted: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| (0..50).filter(|_| admit("acme", &limits, &counters, now).is_ok()).count()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(admitted, 100);
    }

    #[test]
    fn a_successor_has_no_more_room_than_its_predecessor_had() {
        let (before, after, now) = (Counters::default().of("acme"), Counters::default().of("acme"), Instant::now());
        let limits = RequestLimits { requests_per_minute: Some(5), ..RequestLimits::default() };
        assert!((0..3).all(|_| admit("acme", &limits, &before, now).is_ok()));
        let said = serde_json::to_string(&before.hand_over(now)).unwrap();
        after.take_over(serde_json::from_str(&said).unwrap(), now);
        assert_eq!(admit("acme", &limits, &after, now).unwrap().standings[0].remaining, 1);
        assert!(admit("acme", &limits, &after, now).is_ok() && admit("acme", &limits, &after, now).is_err());
    }
}
