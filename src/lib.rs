//! tollgate stands between an organisation's AWS SDK clients and Amazon Bedrock: it knows who calls, holds each tenant to its limits,
//! signs with the gateway's AWS credentials or the tenant's own, and forwards byte for byte.
//!
//! # Layers
//!
//! Arrows point down only; what stands on one line does not import its neighbours.
//!
//! ```text
//! L6  main → cli → server                   composition: the only place that knows everything
//! L5  proxy   admin   simulator             adapters: requests are answered here, and nowhere else
//! L4  snapshot  console                     a configuration compiled into what a request reads; immutable, pinned per request · figures as pages
//! L3  auth  policy  quota  routing  ledger  decisions: pure, given headers, names, usage and `now` · and the account on disk
//! L2  config   telemetry                    the file as written · the one table of metrics, the one log line, and spans
//! L1  pricing                               money: what a model's tokens cost
//! L0  bedrock   aws                         protocols: bytes in, values out; no clock, no configuration
//! ```
//!
//! `console` knows neither HTTP nor where its figures come from: `server` gathers them, `admin` serves operators' pages, and `proxy` a
//! tenant's own. `proxy` and `admin` speak Pingora; `simulator` speaks hyper, so that two HTTP implementations check each other. `server` asks
//! others: issuers, STS, DNS, where AWS credentials come from, the collector of traces. What they answer is read through slots without a lock.
//!
//! # The way of a request
//!
//! [`proxy`] has a file for each station. `proxy::service` reads a head and begins and ends the way; [`proxy::Gateway`] is the timetable:
//!
//! | station | runs | does | fails as |
//! |---|---|---|---|
//! | [`listener`](proxy::listener) | per connection | room, PROXY header, source, TLS, protocol | closed |
//! | [`edge`](proxy::edge), [`wire`](proxy::wire) | per connection | the deadline for a head, one request at a time, strict chunks, floods of frames | closed |
//! | [`arrival`](proxy::arrival) | once | the request's id and clock | – |
//! | [`trace`](proxy::trace) | once, and with `sign`, `upstream`, `finish` | the caller's trace, and spans if they are wanted | never |
//! | [`admit`](proxy::admit) | once | [`load`](proxy::load); [`head`](proxy::head) strict; principal, for whose keys it may wait ([`awaited`](proxy::awaited)); tenant; route; policy ([`allow`](proxy::allow)); rate → `Admitted` | 400 401 403 404 429 431 503 505 |
//! | [`vend`](proxy::vend) | once | instead of all below, for `/credentials` and `/sts`: AWS credentials for a token | 400 403 405 408 413 500 503 |
//! | [`usage_page`](proxy::usage_page) | once | instead of all below, for `/v1/usage`: what the caller's tenant used and has left, as JSON or a page | 400 401 403 405 408 413 429 503 |
//! | [`body`](proxy::body) | once | room ([`memory`](proxy::memory)), bounded read, hash; what only the body tells, and the guardrail put into it | 400 401 403 408 413 503 |
//! | [`attribute`](proxy::attribute) | once | puts the tenant into the request's metadata, where configured | 400 |
//! | [`assume`](proxy::assume) | once | as whom it goes to AWS: the gateway, or a session of the tenant's role, waited for if there is none yet | 403 503 |
//! | [`charge`](proxy::charge), [`custody`](proxy::custody) | once | finds the price and the most that the request may use ([`estimate`](proxy::estimate)), and holds that in every limit of its tenant; settles by what Bedrock reported | 400 402 429 503 |
//! | [`conversation`](proxy::conversation) | once | where both bodies are streams, instead of `body` and, after `attribute`, `assume` and `charge`, of `exchange` to `meter`: frame by frame, both ways at once, and holds more as it goes on | 400 403 408 429 502 503 504, or an exception as the last event |
//! | [`exchange`](proxy::exchange) | per attempt | a connection of the pool or a new one; head and body in one write; the answer piece by piece, while the client is watched | 502 504 |
//! | [`upstream`](proxy::upstream) | per attempt | next address ([`addresses`](proxy::addresses)) and how it is spoken to ([`peers`](proxy::peers)); may we try again? | 502 503 504 |
//! | [`sign`](proxy::sign) | per attempt | strip, set host, put in what policy demands in a header, SigV4 | 500 503 |
//! | [`meter`](proxy::meter) | per piece | counts on the side; every byte passes as it came, but for the fields of the [`hop`](proxy::hop) behind and a [`listing`](proxy::listing) that is shown in part | 502 for what cannot be passed on, 503 for a refusal of the gateway's own credentials ([`suspect`](proxy::suspect)) |
//! | [`respond`](proxy::respond) | ≤ once | the one table [`denial`](proxy::denial) → status, exception, retry hints, what is left of limits ([`standings`](proxy::standings)); [`failure`](proxy::failure): what an error of Pingora's means | – |
//! | [`departure`](proxy::departure) | if the client leaves | reads the answer to its end, for its usage | – |
//! | [`finish`](proxy::finish) | once, always | settles what is not settled, gives back, counts, writes one line or none (`sample`) | – |
//!
//! A caller that signs with a key of the gateway's own and does not announce its body's hash is not known before the body is there; then
//! `body` reads it first, and `admit` decides when [`auth::Claim`] is proved. A stream of events has no body to wait for: its head is
//! proved as one without, and every event after it by the chain that begins there.
//!
//! `Admitted` is made by `admit` alone and later stations take it, so nothing unadmitted is signed. A request that is
//! metered carries a [`proxy::charge::Charge`], which gives back what it holds when it is dropped, whatever the way it ends.
//!
//! # Beside the requests
//!
//! | what | from → to |
//! |---|---|
//! | a reload | `server::watch` → `server::reload` → [`snapshot`] → [`proxy::Live`], which requests pin |
//! | issuers' keys | [`auth::wanted`] asks → `server::key_sets` fetches → [`auth::key_sets`] |
//! | AWS credentials | `server::credentials` → [`aws::credentials`] |
//! | sessions of tenants' roles | `server::assume_role` → [`aws::role_sessions`] |
//! | Bedrock's addresses | `server::resolving` → [`proxy::addresses`] |
//! | charges to disk | [`proxy::charge`] → [`ledger`], whose writer is a thread |
//! | what nobody ends | `server::account` gives back what has expired, and charges for processes that are gone |
//! | the end | `server::drain`; `server::handover` to the next process; `server::watchdog` while it lasts |
//!
//! # One process after another
//!
//! An upgrade replaces the process while its requests run ([`server`], `handover`). Listening sockets go over at once; the account has one
//! owner at any moment, and what the last requests of the old process do to it they do in the new one, by way of [`proxy::custody`].
//!
//! # Where this differs from the first design, and why
//!
//! - Connections are accepted by [`proxy::listener`], not by `pingora_core::server::Server`: that one tells nobody which port it took,
//!   has no cap, no PROXY protocol and no deadline for a request's head, waits for its whole grace period whether or not anything runs, and ends the process on
//!   SIGHUP.
//! - The streams of an HTTP/2 connection are accepted by `proxy::edge`, by Pingora's own calls: its loop keeps the connection to itself, and a
//!   window that grows with what is not read needs it. What accepts, carries and ends each stream is stock.
//! - The canonical request is made in [`aws::sigv4`], of the parts in [`aws::canonical`]; aws-sigv4 derives the key and computes the HMAC, and its own signer is the oracle
//!   of the tests. Its `sign()` derives the key for every request and reads the path through `http::Uri`.
//! - Policy is a module of its own beside `auth`: who somebody is and what they may do change for different reasons.
//! - Requests a second and a minute are counted in [`quota::requests::rate`], not by `pingora_limits::rate::Rate`: that one begins its windows
//!   where it happens to be asked, lets nearly twice a limit through at their edge, and of a limit of one a second half.
//! - Of Pingora it is `pingora_core`: its HTTP sessions on both sides, its connector, its TLS. Requests do not go through the proxy loop of
//!   `pingora_proxy`: it writes head and body apart, hands every piece of an answer from task to task, forgets a body over 64 KiB, and every
//!   request moves the memory of all that it can do. The gateway holds the body anyhow, since its hash is signed: [`proxy::exchange`].
//!   [`proxy::pool`] has no task for each idle connection. A request of 1 KB costs a quarter less so.
//! - InvokeModelWithBidirectionalStream, for which that loop could not be used at all, is carried by [`proxy::conversation`], over Pingora's
//!   connector and its HTTP/2.
//! - The simulator is on hyper instead of Pingora, for the sake of the mutual check.

pub mod bedrock;

pub mod aws;

pub mod pricing;

pub mod config;
pub mod telemetry;

pub mod auth;
pub mod ledger;
pub mod policy;
pub mod quota;
pub mod routing;

pub mod console;
pub mod snapshot;

pub mod admin;
pub mod proxy;
pub mod simulator;

pub mod cli;
pub mod server;
