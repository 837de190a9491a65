//! An account that is brought back: charges and holds that are replayed leave the minutes where they stand in the process that made them.

use proptest::prelude::*;

use super::{super::*, *};

const QUOTAS: &str = "[[quotas]]\ntokens_per_minute = 6_000\ntokens_per_day = 100\n\
    [[quotas]]\nname = \"claude\"\nmodels = [\"*claude*\"]\noutput_tokens_per_minute = 700\n\
    [[quotas]]\nname = \"burndown\"\nmodels = [\"*nova*\"]\ncount_burndown = true\ntokens_per_minute = 9_000\n";

fn minutes(account: &Account, quotas: &Quotas, now: &Now) -> Vec<Balance> {
    let balances = account.balances(quotas, now);
    balances.into_iter().filter(|balance| balance.span == crate::quota::Span::Minute).collect()
}

/// As a ledger has it, but for the burndown.
fn open(ask: &Ask<'_>, now: &Now) -> OpenHold {
    OpenHold {
        request: ask.request,
        model: ask.model.to_owned(),
        date: "2026-11-22".parse().unwrap(),
        amounts: Amounts::asked(ask),
        burndown_factor: ask.burndown_factor,
        expires: after(now, 7_200).wall,
    }
}

proptest! {
    #[test]
    fn minutes_that_are_replayed_stand_where_they_stand(
        charges in prop::collection::vec((0u64..90, 0u64..4_000, 0u64..900, any::<bool>()), 1..20),
        later in 0u64..70,
    ) {
        let quotas = quotas(QUOTAS);
        let (kept, seen) = (account(), account());
        let mut now = noon();
        for (pause, input, output, is_claude) in charges {
            now = after(&now, pause);
            let model = if is_claude { CLAUDE } else { NOVA };
            let spent = Spent::request(usage(input, output), NanoUsd(1));
            // Whatever was admitted with little may use much.
            let Ok(grant) = kept.reserve(&quotas, &ask(model, 0, 0), &now) else { continue };
            grant.reservation.settle(&spent, &now);
            seen.replay(&quotas, model, &Amounts::used(&spent.usage, spent.cost, 5), &now);
        }
        now = after(&now, later);
        prop_assert_eq!(minutes(&seen, &quotas, &now), minutes(&kept, &quotas, &now));
        prop_assert!(seen.sums().is_empty());
    }

    #[test]
    fn what_is_open_among_them_counts_since_it_was_admitted_and_until_it_ends(
        requests in prop::collection::vec((0u64..40, 0u64..2_000, 0u64..300, any::<bool>(), any::<bool>()), 1..20),
        later in 0u64..70,
    ) {
        let quotas = quotas(&QUOTAS.replace("tokens_per_day = 100\n", ""));
        let (kept, seen) = (account(), account());
        let (mut now, mut running) = (noon(), Vec::new());
        for (pause, input, output, is_claude, is_open) in requests {
            now = after(&now, pause);
            let ask = Ask { request: uuid::Uuid::from_u128(running.len() as u128), ..ask(if is_claude { CLAUDE } else { NOVA }, input, output) };
            let Ok(grant) = kept.reserve(&quotas, &ask, &now) else { continue };
            if is_open {
                seen.restore_hold(&open(&ask, &now), now.monotonic, Duration::from_secs(7_200), &now);
                running.push(grant.reservation);
            } else {
                let spent = Spent::request(usage(input, output), NanoUsd(1));
                grant.reservation.settle(&spent, &now);
                seen.replay(&quotas, ask.model, &Amounts::used(&spent.usage, spent.cost, 5), &now);
            }
        }
        now = after(&now, later);
        prop_assert_eq!(minutes(&seen, &quotas, &now), minutes(&kept, &quotas, &now));
        let count = running.len();
        drop(running);
        for id in 0..count {
            drop(seen.reclaim(uuid::Uuid::from_u128(id as u128)).unwrap());
        }
        prop_assert_eq!(minutes(&seen, &quotas, &now), minutes(&kept, &quotas, &now));
    }
}
