//! What the pages say, and what they cannot do.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::*;
use crate::config::Change;

#[test]
fn every_page_is_a_document_without_scripts_styles_of_its_own_or_anything_to_load() {
    for path in PATHS {
        let page = shown(path, "", &well());
        assert!(page.starts_with("<!doctype html>\n<html lang=\"en\">"), "{path}");
        for piece in ["<h1>", "· tollgate</title>", "aria-current=\"page\"", "<main id=\"main\">"] {
            assert_eq!(page.matches(piece).count(), 1, "{path}: {piece}");
        }
        for piece in ["<script", " style=", " onclick", "<link rel=\"stylesheet", "url(", "@import", "<iframe", "<img"] {
            assert!(!page.contains(piece), "{path} has {piece}");
        }
        let loads = page.split("src=\"").skip(1).count() + page.split("href=\"http").skip(1).count();
        assert_eq!(loads, 0, "{path}");
        assert!(page.contains("2026-11-22 12:00:00 UTC"), "{path} says when");
    }
}

#[test]
fn the_policy_has_the_hash_of_the_style_that_is_in_the_page() {
    let page = shown("/console", "", &well());
    let style = page.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    let hash = STANDARD.encode(digest(&SHA256, style.as_bytes()));
    let policy = headers().into_iter().find(|(name, _)| *name == "content-security-policy").unwrap().1;
    assert!(policy.contains(&format!("style-src 'sha256-{hash}'")) && policy.starts_with("default-src 'none'"), "{policy}");
    assert!(
        !policy.contains("unsafe") && !policy.contains("script-src") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
}

#[test]
fn hostile_names_are_text_on_every_page() {
    const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>";
    let mut figures = well();
    figures.tenants.push(tenant(
        "evil",
        "[[quotas]]\nname = \"<script>\"\nmodels = [\"<script>*\"]\nusd_per_day = \"1\"\n",
        HOSTILE,
        1_000,
    ));
    let refused = Refused {
        principal: Some(HOSTILE.to_owned()),
        why: Some(HOSTILE.to_owned()),
        request_id: HOSTILE.to_owned(),
        ..refused("evil", HOSTILE)
    };
    figures.refusals = vec![refused];
    figures.recent = recent(totals("evil", Tally { requests: 10, refused: 10, ..Tally::default() }, &[(HOSTILE, 10)]));
    figures.issuers[0].keys = 0;
    (figures.issuers[0].name, figures.issuers[0].url) = (HOSTILE.to_owned(), HOSTILE.to_owned());
    figures.file = HOSTILE.to_owned();
    figures.ledger = Some(Ledger {
        file: HOSTILE.to_owned(),
        health: Health { error: Some(HOSTILE.to_owned()), ..health(false, Duration::ZERO) },
    });
    figures.listeners[0].certificates[0].0 = HOSTILE.to_owned();
    let change = Change { key: HOSTILE.to_owned(), before: Some(HOSTILE.to_owned()), after: Some(HOSTILE.to_owned()) };
    let reload = |error: Option<String>| Reload {
        at: now(),
        generation: 2,
        error,
        changes: vec![change.clone()],
        files: vec![HOSTILE.to_owned()],
        waiting: Vec::new(),
    };
    figures.reloads = vec![reload(Some(HOSTILE.to_owned())), reload(None)];
    for path in PATHS.into_iter().chain(["/console/tenants/evil"]) {
        let page = shown(path, "", &figures);
        for piece in ["<script", "<img", "\"'>"] {
            assert!(!page.contains(piece), "{path} has {piece}");
        }
    }
    let own = own::page(&figures.tenant("evil").unwrap().statement).unwrap();
    let form = own::form(Some(&own::Refusal { message: HOSTILE, request_id: HOSTILE }), now()).unwrap();
    for page in [own, form, shown("/console/models", "", &figures), shown("/console/refusals", "", &figures)] {
        assert!(!page.contains("<script") && page.contains("&#60;script&#62;"), "{page}");
    }
}

#[test]
fn the_dearest_tenant_comes_first_and_shares_are_of_all() {
    let page = shown("/console", "", &well());
    let (acme, globex) = (page.find("/console/tenants/acme").unwrap(), page.find("/console/tenants/globex").unwrap());
    assert!(acme < globex);
    for piece in ["$2.60", "$5.20 this month", "96 %", "3.8 %", "1.0 % of $500.00 per month", "no quota", "10.0"] {
        assert!(page.contains(piece), "{piece} in {page}");
    }
    assert!(page.contains("Nothing.") && !page.contains("class=\"troubles\""), "nothing is wrong");
}

#[test]
fn a_tenant_has_its_limits_days_models_and_refusals() {
    let mut figures = well();
    figures.refusals = vec![refused("acme", "m"), refused("globex", "n")];
    figures.recent = recent(totals("acme", Tally { requests: 100, refused: 30, ..Tally::default() }, &[("usd-per-month", 30)]));
    let page = shown("/console/tenants/acme", "", &figures);
    for piece in [
        "US dollars per month",
        "$500.00",
        "$495.00",
        "in 8 days",
        "amazon.nova-pro-v1:0",
        "1,200,000",
        "A quota for the month",
        "None: this tenant may ask",
        "2026-11-21: $2.50",
    ] {
        assert!(page.contains(piece), "{piece} in {page}");
    }
    assert!(!page.contains("globex"), "of this tenant alone");
    let page = shown("/console/tenants/globex", "", &figures);
    assert!(page.contains("2,000,000 from its clients") && !page.contains("Stream events"), "{page}");
    let own = own::page(&figures.tenant("acme").unwrap().statement).unwrap();
    assert!(own.contains("$495.00") && !own.contains("/console") && !own.contains("globex"), "{own}");
}

#[test]
fn what_was_not_served_is_told_wherever_it_is_looked_for() {
    let mut figures = well();
    let tally = Tally { requests: 100, refused: 30, failed: 20, faults: 10, declined: 5, ..Tally::default() };
    figures.recent = recent(totals("acme", tally, &[("requests-per-minute", 30), ("upstream_broken", 20)]));
    let broken = Refused { reason: "upstream_broken", ..refused("acme", "meta.llama") };
    figures.refusals = vec![refused("acme", "m"), refused("acme", "m"), broken];
    for path in ["/console", "/console/tenants", "/console/tenants/acme"] {
        let page = shown(path, "", &figures);
        for piece in ["30 refused (30 %)", "20 failed (20 %)", "10 met an error of Bedrock", "5 declined by Bedrock (5.0 %)"] {
            assert!(page.contains(piece), "{piece} in {path}: {page}");
        }
    }
    let page = shown("/console", "", &figures);
    for piece in ["65 %", "bedrock_5xx", "bedrock_4xx", "in the access log"] {
        assert!(page.contains(piece), "{piece} in {page}");
    }
    let place = |piece: &str| page.find(piece).unwrap();
    assert!(place("<code>upstream_broken") < place("<code>requests-per-minute"), "failures come first");
    let models = shown("/console/models", "", &figures);
    let (failing, refused) = (models.find("meta.llama").unwrap(), models.rfind(">m<").unwrap());
    assert!(failing < refused && models.contains("Asked for in vain"), "{models}");
    assert!(!shown("/console/models", "", &well()).contains("Asked for in vain"));
}

#[test]
fn who_looks_is_told_why_no_traffic_should_come_and_what_was_changed() {
    let mut figures = well();
    figures.unready = vec!["no AWS credentials"];
    let (changes, files, waiting) = Default::default();
    figures.generation = 2;
    figures
        .reloads
        .insert(0, Reload { at: now() - Duration::from_secs(30), generation: 2, error: None, changes, files, waiting });
    let page = shown("/console", "", &figures);
    let said =
        "Not ready for traffic (no AWS credentials): /readyz answers 503. The configuration changed last 30 s ago, to number 2.";
    assert!(page.contains(said), "{page}");
    let page = shown("/console", "", &well());
    assert!(page.contains("Ready for traffic.") && !page.contains("changed last"), "{page}");
}

#[test]
fn refusals_are_chosen_by_tenant_and_a_strangers_word_is_not_repeated() {
    let mut figures = well();
    figures.refusals = vec![refused("acme", "m"), refused("globex", "n"), refused(crate::telemetry::NONE, "o")];
    let ids = |query: &str| shown("/console/refusals", query, &figures).matches("0b9d4f6e-1111").count();
    assert_eq!((ids(""), ids("tenant=acme"), ids("tenant=none"), ids("refresh&tenant=globex")), (3, 1, 1, 1));
    let page = shown("/console/refusals", "tenant=%3Cb%3E", &figures);
    assert!(ids("tenant=%3Cb%3E") == 3 && !page.contains("%3Cb"), "{page}");
}

#[test]
fn the_configuration_says_what_changed_and_why_a_reload_failed() {
    let mut figures = well();
    let change =
        Change { key: "tenants.acme.limits.requests_per_minute".to_owned(), before: Some("600".to_owned()), after: None };
    let waiting = vec!["[ledger], until a restart or an upgrade", "listen addresses"];
    let taken = Reload { at: now(), generation: 2, error: None, changes: vec![change], files: Vec::new(), waiting };
    figures.generation = 2;
    figures.reloads.insert(0, taken);
    let page = shown("/console/configuration", "", &figures);
    for piece in [
        "From number 1 to 2",
        "; not in force: [ledger], until a restart or an upgrade; listen addresses",
        "tenants.acme.limits.requests_per_minute",
        "600",
        "not written",
        "in 200 days",
        "3 min ago",
    ] {
        assert!(page.contains(piece), "{piece} in {page}");
    }
    let failed = Reload {
        at: now(),
        generation: 2,
        error: Some("error: no such key\n --> x".to_owned()),
        changes: Vec::new(),
        files: Vec::new(),
        waiting: Vec::new(),
    };
    figures.reloads.insert(0, failed);
    let page = shown("/console/configuration", "", &figures);
    assert!(
        page.contains("The last reload failed") && page.contains("--&#62; x") && page.contains("From number 1 to 2"),
        "{page}"
    );
}

#[test]
fn there_are_these_pages_and_no_others() {
    for path in ["/", "/consol", "/console/x", "/console/tenants/acme/x", "/usage"] {
        let page = Page::of(path, "").map(|page| page.render(&well()).unwrap());
        assert!(page.flatten().is_none(), "{path}");
    }
    assert!(shown("/console", "refresh", &well()).contains("http-equiv=\"refresh\" content=\"15\""));
    assert!(!shown("/console", "", &well()).contains("http-equiv"));
}

#[test]
fn where_there_is_nothing_it_says_what_to_do() {
    let mut figures = well();
    (figures.tenants, figures.issuers) = (Vec::new(), Vec::new());
    figures.recent.stretches.clear();
    for (path, said) in [
        ("/console", "Add a <code>[tenants.NAME]</code> section"),
        ("/console/tenants", "Add a <code>[tenants.NAME]</code> section"),
        ("/console/models", "The first request that Bedrock answers shows here"),
        ("/console/upstreams", "No requests in the last hour"),
        ("/console/configuration", "tollgate key new"),
        ("/console/refusals", "shows here with its request id"),
    ] {
        assert!(shown(path, "", &figures).contains(said), "{path}");
    }
}
