//! What is wrong is said, with whom it is wrong for; what is not, is not.

use super::{super::trouble::troubles, *};

/// The one sentence that these figures bring.
#[track_caller]
fn said(figures: &Figures) -> (bool, String) {
    let troubles = troubles(figures);
    let [trouble] = troubles.as_slice() else { panic!("{troubles:#?}") };
    assert!(trouble.what.ends_with('.') && trouble.advice.ends_with('.'), "{trouble:?}");
    (trouble.grave, trouble.what.clone())
}

#[track_caller]
fn assert_said(figures: &Figures, grave: bool, pieces: &[&str]) {
    let (is_grave, what) = said(figures);
    assert!(pieces.iter().all(|piece| what.contains(piece)), "{what}");
    assert_eq!(is_grave, grave, "{what}");
}

#[test]
fn a_gateway_that_is_well_is_not_complained_of() {
    assert_eq!(troubles(&well()), Vec::new());
}

#[test]
fn credentials_that_are_missing_or_were_not_renewed_are_told() {
    let at = |text: &str| Credentials::Until(text.parse().unwrap());
    for (credentials, expected) in [
        (Credentials::None, Some("no AWS credentials")),
        (at("2026-11-22T12:02:00Z"), Some("expire in 2 min")),
        (at("2026-11-22T13:00:00Z"), None),
    ] {
        let figures = Figures { credentials, ..well() };
        match expected {
            Some(piece) => assert_said(&figures, true, &[piece]),
            None => assert_eq!(troubles(&figures), Vec::new()),
        }
    }
}

#[test]
fn a_ledger_that_cannot_be_written_or_lags_is_told() {
    let with = |health| Figures { ledger: Some(Ledger { file: "l".to_owned(), health }), ..well() };
    assert_said(&with(health(false, Duration::ZERO)), true, &["disk full", "7 charges"]);
    assert_said(&with(health(true, Duration::from_secs(70))), false, &["l is 70 s behind: 7 charges wait"]);
    assert_eq!(troubles(&with(health(true, Duration::from_secs(1)))), Vec::new());
}

#[test]
fn keys_that_are_missing_old_or_too_old_are_told() {
    for (keys, age, grave, piece) in [
        (0, Some(10), true, "no keys of issuer corp"),
        (2, Some(90_000), true, "are refused"),
        (2, Some(1_000), false, "the old ones serve for another 23 h"),
    ] {
        let mut figures = well();
        (figures.issuers[0].keys, figures.issuers[0].age_seconds) = (keys, age);
        assert_said(&figures, grave, &[piece, "corp"]);
    }
}

#[test]
fn certificates_near_their_end_and_reloads_that_failed_are_told() {
    let mut figures = well();
    figures.listeners[0].certificates[0].1.not_after = now().as_second() + 5 * 86_400;
    assert_said(&figures, true, &["/etc/tollgate/tls.pem", "expires on 2026-11-27"]);
    let mut figures = well();
    let (changes, files, waiting) = Default::default();
    figures.reloads.insert(
        0,
        Reload { at: now(), generation: 1, error: Some("error: bad\n --> file:7:1\nmore".to_owned()), changes, files, waiting },
    );
    assert_said(&figures, false, &["configuration 1 stays in force", ": bad, at file:7:1."]);
}

#[test]
fn requests_that_fail_are_told_by_their_commonest_cause() {
    let failing = Tally { requests: 100, failed: 20, ..Tally::default() };
    let figures = Figures { recent: recent(totals("acme", failing, &[("unreachable", 18), ("upstream_timeout", 2)])), ..well() };
    let said =
        ["20 % of the requests of acme in the last 10 min", "18 times Bedrock could not be reached and twice Bedrock did not"];
    assert_said(&figures, true, &said);
    let faults = Tally { requests: 100, faults: 20, ..Tally::default() };
    assert_said(
        &Figures { recent: recent(totals("acme", faults, &[])), ..well() },
        true,
        &["(20 of 100): Bedrock answered with"],
    );
    let one = Tally { requests: 100, failed: 1, ..Tally::default() };
    assert_eq!(troubles(&Figures { recent: recent(totals("acme", one, &[])), ..well() }), Vec::new());
}

#[test]
fn failures_of_a_small_tenant_are_told_beside_a_large_one_that_is_well() {
    let mut counted = totals("acme", Tally { requests: 90_000, failed: 4, ..Tally::default() }, &[]);
    counted.tenants.insert("globex".to_owned(), Tally { requests: 80, refused: 30, failed: 20, faults: 30, ..Tally::default() });
    counted.refusals.insert(("globex".to_owned(), "upstream_broken".to_owned()), 20);
    let mut figures = Figures { recent: recent(counted), ..well() };
    let broken = |model| Refused { reason: "upstream_broken", ..refused("globex", model) };
    figures.refusals = vec![broken("m"), refused("globex", "n"), broken("m"), broken("o")];
    let troubles = troubles(&figures);
    let [failed, refused] = &troubles[..] else { panic!("{troubles:#?}") };
    assert!(failed.what.starts_with("100 % of the requests of globex in"), "{failed:?}");
    let causes = "(50 of 50): 30 times Bedrock answered with an error of its own (5xx) and 20 times Bedrock's answer broke off";
    assert!(
        failed.what.contains(causes) && failed.what.ends_with("Of the last 3 without an answer 2 asked for m."),
        "{failed:?}"
    );
    assert_eq!(
        (failed.since.as_str(), failed.link.as_deref()),
        ("The first of these since about 11:59 UTC, 60 s ago.", Some("/console/tenants/globex#not-served"))
    );
    assert!(refused.what.contains("30 of 80 requests of globex"), "{refused:?}");
}

#[test]
fn many_tenants_that_fail_are_counted_and_some_named() {
    let mut counted = Totals::default();
    let mut ledger = totals("acme", Tally { requests: 100, failed: 20, ..Tally::default() }, &[("ledger", 20)]);
    ledger.tenants.insert("globex".to_owned(), Tally { requests: 100, failed: 1, ..Tally::default() });
    let told = troubles(&Figures { recent: recent(ledger), ..well() });
    assert_eq!(told[0].link.as_deref(), Some("/console/configuration"), "{told:?}");
    for (name, failed) in [("a", 10), ("b", 50), ("c", 20), ("d", 30), ("e", 6)] {
        counted.tenants.insert(name.to_owned(), Tally { requests: 100, failed, ..Tally::default() });
    }
    assert_said(&Figures { recent: recent(counted), ..well() }, true, &["of b, d, c and 2 more in", "116 of 500", "had begun."]);
}

#[test]
fn what_bedrock_declines_is_told() {
    let declined = |declined| Tally { requests: 300, refused: 100, declined, ..Tally::default() };
    let figures = |times| Figures { recent: recent(totals("acme", declined(times), &[])), ..well() };
    assert!(troubles(&figures(10))[0].what.starts_with("5.0 % of the requests of acme"));
    let troubles = troubles(&figures(80));
    assert!(
        troubles[0].what.contains("40 % of the requests of acme") && troubles[0].advice.contains("Service Quotas"),
        "{troubles:?}"
    );
    assert_eq!(super::super::trouble::troubles(&figures(4)).len(), 1, "a few are a client's mistakes");
}

#[test]
fn what_went_on_and_may_be_over_says_so() {
    let mut figures = well();
    let failing = || totals("acme", Tally { requests: 100, failed: 50, ..Tally::default() }, &[]);
    let until = figures.recent.until;
    let stretch =
        |from, to, counted| Stretch { began: until - Duration::from_secs(from), ended: until - Duration::from_secs(to), counted };
    let since = |figures: &Figures| troubles(figures).remove(0).since;
    let quiet = Totals::default;
    figures.recent.stretches = vec![
        stretch(3_000, 2_970, failing()),
        stretch(2_970, 600, quiet()),
        stretch(600, 570, failing()),
        stretch(570, 330, quiet()),
    ];
    figures.recent.stretches.extend([stretch(330, 150, failing()), stretch(150, 0, quiet())]);
    assert_eq!(since(&figures), "Since about 11:50 UTC, 10 min ago; not in the last 2 min.");
    let mut ledger = failing();
    ledger.refusals.insert(("acme".to_owned(), "ledger".to_owned()), 40);
    let mut unreachable = failing();
    unreachable.refusals.insert(("acme".to_owned(), "unreachable".to_owned()), 50);
    figures.recent.stretches = vec![stretch(200, 90, ledger), stretch(90, 0, unreachable)];
    let told = &troubles(&figures)[0];
    assert!(told.what.contains("40 times the ledger could not be written (not in the last 90 s) and 10 times"), "{told:?}");
    assert_eq!(told.since, "The first of these since about 11:58 UTC, 90 s ago.");
    figures.recent.stretches = vec![stretch(3_610, 0, failing())];
    assert_eq!(since(&figures), "For an hour or longer.");
    figures.recent.stretches = vec![stretch(600, 0, failing())];
    figures.started = figures.now - jiff::SignedDuration::from_secs(605);
    assert_eq!(since(&figures), "Since the start of the gateway, 10 min ago.");
}

#[test]
fn what_is_a_guess_or_has_no_price_is_told_by_name() {
    let unpriced = Totals { unpriced: BTreeMap::from([("acme".to_owned(), 3)]), ..totals("acme", Tally::default(), &[]) };
    let figures = Figures { recent: recent(unpriced), unpriced: ["m".into()].into(), ..well() };
    assert_said(&figures, false, &["3 requests of acme", "nobody knows: m has no price."]);
    let guessed =
        |times| Totals { estimated: BTreeMap::from([("acme".to_owned(), times)]), ..totals("acme", Tally::default(), &[]) };
    assert_said(&Figures { recent: recent(guessed(5)), ..well() }, false, &["5 answers to acme", "is a guess"]);
    assert_eq!(troubles(&Figures { recent: recent(guessed(4)), ..well() }), Vec::new());
}

#[test]
fn whose_requests_are_refused_is_told_and_why() {
    let refused = Tally { requests: 300, refused: 120, ..Tally::default() };
    let reasons = [("requests-per-minute", 100), ("model", 20)];
    let figures = Figures { recent: recent(totals("globex", refused, &reasons)), ..well() };
    assert_said(&figures, false, &["120 of 300 requests of globex", "requests per minute was reached"]);
    let strangers = recent(totals(crate::telemetry::NONE, refused, &[("expired", 120)]));
    assert_said(&Figures { recent: strangers, ..well() }, false, &["120 requests", "nobody known", "had expired"]);
    let few = Tally { requests: 300, refused: 4, ..Tally::default() };
    assert_eq!(troubles(&Figures { recent: recent(totals("globex", few, &[("model", 4)])), ..well() }), Vec::new());
}

#[test]
fn budgets_that_are_used_up_or_will_be_are_told() {
    let with = |quota: &str, nano| {
        let tenants = vec![tenant("acme", &format!("[[quotas]]\n{quota}\n"), "m", nano)];
        Figures { tenants, ..well() }
    };
    assert_said(
        &with("usd_per_day = \"2\"", 2_000_000_000),
        false,
        &["acme has used up its $2.00 per day", "until 23 Nov 00:00 UTC"],
    );
    // Of $2.40 a day, $2 are gone at noon.
    assert_said(&with("usd_per_day = \"2.4\"", 2_000_000_000), false, &["83 % of its $2.40 per day", "in 2 h"]);
    for quiet in ["usd_per_day = \"10\"", "usd_per_day = \"2\"\nshadow = true"] {
        assert_eq!(troubles(&with(quiet, 2_000_000_000)), Vec::new(), "{quiet}");
    }
}

#[test]
fn the_gravest_comes_first() {
    let mut figures = Figures { credentials: Credentials::None, ..well() };
    let lost = Totals { lines_lost: 5, ..totals("acme", Tally::default(), &[]) };
    figures.recent = recent(Totals { unpriced: BTreeMap::from([("acme".to_owned(), 3)]), ..lost });
    let troubles = troubles(&figures);
    assert_eq!(troubles.len(), 3, "{troubles:#?}");
    assert!(
        troubles[0].grave && troubles[1].what.contains("3 requests") && troubles[2].what.contains("5 lines"),
        "{troubles:#?}"
    );
}
