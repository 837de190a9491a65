//! An account seen from outside: charges that are replayed leave the minutes where they stand in the process that made them.

use proptest::prelude::*;

use super::{super::*, *};

proptest! {
    #[test]
    fn minutes_that_are_replayed_stand_where_they_stand(
        charges in prop::collection::vec((0u64..90, 0u64..4_000, 0u64..900, any::<bool>()), 1..20),
        later in 0u64..70,
    ) {
        let quotas = quotas(
            "[[quotas]]\ntokens_per_minute = 6_000\ntokens_per_day = 100\n\
             [[quotas]]\nname = \"claude\"\nmodels = [\"*claude*\"]\noutput_tokens_per_minute = 700\n\
             [[quotas]]\nname = \"burndown\"\nmodels = [\"*nova*\"]\ncount_burndown = true\ntokens_per_minute = 9_000\n",
        );
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
        let minutes = |account: &Account| {
            let balances = account.balances(&quotas, &now);
            balances.into_iter().filter(|balance| balance.span == crate::quota::Span::Minute).collect::<Vec<_>>()
        };
        prop_assert_eq!(minutes(&seen), minutes(&kept));
        prop_assert!(seen.sums().is_empty());
    }
}
