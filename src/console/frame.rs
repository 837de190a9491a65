//! What surrounds every page: its title, the way to the others, and the rules under which a browser shows it.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;

use super::{Figures, words};

const STYLE: &str = include_str!("templates/console.css");

/// How often a page that is told to looks again.
pub(super) const REFRESH_SECONDS: u32 = 15;

/// Nothing is loaded, run, framed or sent anywhere; the one style sheet is known by its hash, the icon is in the page.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let style = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
});

/// What every page is sent with.
pub fn headers() -> [(&'static str, &'static str); 8] {
    [
        ("content-type", "text/html; charset=utf-8"),
        ("cache-control", "no-store"),
        ("content-security-policy", POLICY.as_str()),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ]
}

/// A page's surroundings.
pub(super) struct Frame {
    pub title: String,
    pub nav: Vec<Link>,
    pub refresh: Option<u32>,
    pub refresh_link: Option<Link>,
    pub notes: Vec<String>,
}

pub(super) struct Link {
    pub href: String,
    pub text: &'static str,
    pub current: bool,
}

const PAGES: [(&str, &str); 6] = [
    ("/console", "Overview"),
    ("/console/tenants", "Tenants"),
    ("/console/models", "Models"),
    ("/console/upstreams", "Upstreams"),
    ("/console/configuration", "Configuration"),
    ("/console/refusals", "Refusals"),
];

impl Frame {
    /// Of an operators' page; `section` is the one of the navigation that it belongs to, `path` its own.
    pub fn of_console(title: &str, section: &str, path: &str, refreshing: bool, figures: &Figures) -> Frame {
        let query = if refreshing { "?refresh" } else { "" };
        let link = |(href, text): (&str, &'static str)| Link { href: format!("{href}{query}"), text, current: text == section };
        let refresh_link = match refreshing {
            true => Link { href: path.to_owned(), text: "Stop refreshing", current: false },
            false => Link {
                href: format!("{path}{}refresh", if path.contains('?') { "&" } else { "?" }),
                text: "Refresh every 15 s",
                current: false,
            },
        };
        Frame {
            title: title.to_owned(),
            nav: PAGES.into_iter().map(link).collect(),
            refresh: refreshing.then_some(REFRESH_SECONDS),
            refresh_link: Some(refresh_link),
            notes: vec![
                format!("As of {}", words::utc(figures.now)),
                format!("tollgate {}, up {}", figures.version, words::ago(figures.started, figures.now).trim_end_matches(" ago")),
                format!("Configuration {}", figures.generation),
            ],
        }
    }

    /// Of a tenant's own page.
    pub fn of_tenant(title: &str, now: Timestamp) -> Frame {
        let notes = vec![format!("As of {}", words::utc(now)), "Figures are those of the ledger, to the token.".to_owned()];
        Frame { title: title.to_owned(), nav: Vec::new(), refresh: None, refresh_link: None, notes }
    }

    pub fn style(&self) -> &'static str {
        STYLE
    }
}
