//! The console: what a gateway knows of itself, as pages that people read. Figures in, HTML out; nothing here looks anything up, changes
//! anything or speaks HTTP. Everything is escaped, no page has a script, and none loads anything from anywhere.
//!
//! Operators' pages are chosen by [`Page`] and served by `admin`; a tenant's own, [`own`], is served by `proxy`.

mod account;
mod configuration;
mod failing;
mod figures;
mod frame;
mod models;
mod overview;
pub mod own;
mod page;
mod plot;
pub(crate) mod reasons;
mod refusals;
mod since;
mod tenants;
mod trouble;
mod upstreams;
mod words;

#[cfg(test)]
mod tests;

pub use figures::{Credentials, Figures, Issuer, Ledger, Listener, Reload, Tenant, Upstream};
pub use frame::headers;
pub use page::Page;
