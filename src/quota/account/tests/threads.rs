//! Real threads on one account: nothing is lost, nothing goes beyond a limit, and a panic gives back what it held.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use super::{super::*, *};

const THREADS: u64 = 8;
const REQUESTS: u64 = 2_000;

/// A sequence that looks random enough, of one thread's own.
fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move |bound| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % bound
    }
}

#[test]
fn what_many_threads_settle_adds_up_and_never_exceeds_the_limit() {
    let (account, now) = (account(), noon());
    let limit = 1_000_000;
    let quotas = quotas(&format!("[[quotas]]\ntokens_per_day = {limit}\nusd_per_day = \"100\"\ntokens_per_minute = 5_000_000"));
    let (settled, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for seed in 1..=THREADS {
            let (account, quotas, settled, refused, now) = (&account, &quotas, &settled, &refused, &now);
            scope.spawn(move || {
                let mut number = numbers(seed);
                for _ in 0..REQUESTS {
                    let asked = 1 + number(400);
                    let Ok(grant) = account.reserve(quotas, &ask([CLAUDE, NOVA][number(2) as usize], asked, 0), now) else {
                        refused.fetch_add(1, Ordering::Relaxed);
                        continue;
                    };
                    if number(4) == 0 {
                        let died = catch_unwind(AssertUnwindSafe(|| {
                            let _grant = grant;
                            std::panic::resume_unwind(Box::new("on purpose"));
                        }));
                        assert!(died.is_err());
                        continue;
                    }
                    let used = number(asked + 1);
                    settled.fetch_add(used, Ordering::Relaxed);
                    grant.reservation.settle(&Spent::request(usage(used, 0), NanoUsd(1)), now);
                }
            });
        }
        let watch = scope.spawn(|| {
            (0..500).for_each(|_| {
                for balance in account.balances(&quotas, &now) {
                    assert!(balance.settled + balance.reserved <= balance.amount);
                }
            });
        });
        watch.join().unwrap();
    });
    let total: u64 = account.sums().iter().map(|(_, _, spent)| spent.usage.input_tokens).sum();
    assert_eq!(total, settled.into_inner());
    assert_eq!(account.balances(&quotas, &now)[1].settled, total);
    assert_eq!(account.reserved(), (0, Amounts::default()));
    // The limit was in the way, and was used up but for less than one request.
    assert!(refused.into_inner() > 0 && total > limit - 400, "{total}");
}
