//! How much: request rates and concurrency ([`requests`]), tokens and money ([`account`]). What is counted outlives reloads, limits do
//! not.

pub mod account;
pub mod requests;
pub mod standing;

pub use account::{
    Account, Accounts, Amounts, Ask, Balance, Cap, CapDenial, Expired, Explanation, Grant, Now, Occupied, OpenHold, Portion,
    QuotaDenial, QuotaKind, Quotas, Reservation, Settled, Spent, Statement,
};
pub use requests::{Admission, Counted, Counters, Permit, RateDenial, TenantCounters, admit, count};
pub use standing::{LimitKind, Measure, Policies, Span, Standing, milliseconds};
