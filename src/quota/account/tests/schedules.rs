//! The account under every schedule that shuttle finds: the real code, with shuttle's mutex in place of std's, so that each taking of
//! the lock, also the one in `Drop`, is a place where another thread may go first.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex as StdMutex},
};

use shuttle::{sync::Mutex, thread};

use super::{
    super::{book::Book, *},
    *,
};

impl Lock for Mutex<Book> {
    fn new(book: Book) -> Self {
        Mutex::new(book)
    }

    fn with<T>(&self, f: impl FnOnce(&mut Book) -> T) -> T {
        f(&mut self.lock().unwrap())
    }
}

type Explored = Account<Mutex<Book>>;

/// Runs `f` under many schedules, and returns how many different things came out.
fn explore<T: Ord + Send + 'static>(f: impl Fn() -> T + Send + Sync + 'static) -> BTreeSet<T> {
    let outcomes = Arc::new(StdMutex::new(BTreeSet::new()));
    let f = Arc::new(f);
    let run = |outcomes: &Arc<StdMutex<BTreeSet<T>>>| {
        let (outcomes, f) = (outcomes.clone(), f.clone());
        move || {
            let outcome = f();
            outcomes.lock().unwrap().insert(outcome);
        }
    };
    shuttle::check_dfs(run(&outcomes), Some(3_000));
    shuttle::check_random(run(&outcomes), 3_000);
    shuttle::check_pct(run(&outcomes), 1_000, 3);
    let mut outcomes = outcomes.lock().unwrap();
    std::mem::take(&mut *outcomes)
}

fn check(account: &Explored, quotas: &Quotas, now: &Now) {
    for balance in account.balances(quotas, now) {
        assert!(balance.settled + balance.reserved <= balance.amount, "{balance:?}");
    }
}

/// Three requests of 40 under a limit of 100: each settles 30, or is aborted, as the number says. Who was admitted?
#[test]
fn the_last_place_goes_to_one_request_under_every_schedule() {
    let outcomes = explore(|| {
        let account = Arc::new(Explored::new("acme"));
        let quotas = Arc::new(quotas("[[quotas]]\ntokens_per_day = 100\ntokens_per_minute = 100"));
        let now = noon();
        let request = |aborts: bool| {
            let (account, quotas) = (account.clone(), quotas.clone());
            thread::spawn(move || {
                let Ok(grant) = account.reserve(&quotas, &ask(CLAUDE, 40, 0), &now) else { return 0 };
                check(&account, &quotas, &now);
                if aborts {
                    drop(grant);
                    return 1;
                }
                grant.reservation.settle(&Spent::request(usage(30, 0), NanoUsd::ZERO), &now);
                2
            })
        };
        let ended: Vec<u8> = [request(false), request(false), request(true)].map(|thread| thread.join().unwrap()).into();
        check(&account, &quotas, &now);
        let settled = ended.iter().filter(|end| **end == 2).count() as u64;
        let sums: u64 = account.sums().iter().map(|(_, _, spent)| spent.usage.input_tokens).sum();
        assert_eq!(sums, settled * 30);
        for balance in account.balances(&quotas, &now) {
            assert_eq!((balance.settled, balance.reserved), (settled * 30, 0));
        }
        ended
    });
    // All were admitted, or each of them was the one who came too late.
    let expected: BTreeSet<Vec<u8>> = [vec![2, 2, 1], vec![2, 2, 0], vec![2, 0, 1], vec![0, 2, 1]].into();
    assert_eq!(outcomes, expected);
}

/// A request ends while its hold expires: charged once, held never, whoever comes first.
#[test]
fn a_settlement_and_an_expiry_charge_once_under_every_schedule() {
    let outcomes = explore(|| {
        let account = Arc::new(Explored::new("acme"));
        let quotas = Arc::new(quotas("[[quotas]]\ntokens_per_day = 100"));
        let now = noon();
        let grant = account.reserve(&quotas, &ask(CLAUDE, 100, 0), &now).unwrap();
        let expirer = {
            let account = account.clone();
            thread::spawn(move || account.expire(&after(&now, 10_000)).len())
        };
        let taker = {
            let (account, quotas) = (account.clone(), quotas.clone());
            thread::spawn(move || account.reserve(&quotas, &ask(CLAUDE, 50, 0), &now).is_ok())
        };
        let settled = grant.reservation.settle(&Spent::request(usage(60, 0), NanoUsd::ZERO), &now);
        let (expired, taken) = (expirer.join().unwrap(), taker.join().unwrap());
        assert_eq!(settled.late, expired == 1);
        assert_eq!(account.sums()[0].2, Spent::request(usage(60, 0), NanoUsd::ZERO));
        let balance = &account.balances(&quotas, &now)[0];
        assert_eq!((balance.settled, balance.reserved), (60, 0));
        // Nobody gets in before the end, unless the hold had been given up.
        assert!(!taken || settled.late);
        (settled.late, taken)
    });
    assert_eq!(outcomes, [(false, false), (true, false), (true, true)].into());
}

/// A reload in the middle: a new limit sees what is open and what was settled, in whatever order it all happens.
#[test]
fn a_limit_that_appears_in_mid_flight_is_right_under_every_schedule() {
    let outcomes = explore(|| {
        let account = Arc::new(Explored::new("acme"));
        let old = Arc::new(quotas("[[quotas]]\ntokens_per_day = 1_000"));
        let new = Arc::new(quotas("[[quotas]]\nmodels = [\"*claude*\"]\ninput_tokens_per_month = 100\ntokens_per_minute = 100"));
        let now = noon();
        let request = |quotas: &Arc<Quotas>| {
            let (account, quotas) = (account.clone(), quotas.clone());
            thread::spawn(move || {
                let Ok(grant) = account.reserve(&quotas, &ask(CLAUDE, 60, 0), &now) else { return false };
                grant.reservation.settle(&Spent::request(usage(60, 0), NanoUsd::ZERO), &now);
                true
            })
        };
        let (before, behind) = (request(&old), request(&new));
        let ended = (before.join().unwrap(), behind.join().unwrap());
        let settled: u64 = account.sums().iter().map(|(_, _, spent)| spent.usage.input_tokens).sum();
        assert_eq!(account.balances(&new, &now)[1].settled, settled);
        assert_eq!(account.balances(&old, &now)[0].settled, settled);
        assert_eq!(account.reserved().0, 0);
        ended
    });
    assert_eq!(outcomes, [(true, false), (true, true)].into());
}

/// Two streams that grow for the same last 40: one gets it, and whoever does not keeps what it held.
#[test]
fn the_last_room_to_grow_goes_to_one_stream_under_every_schedule() {
    let outcomes = explore(|| {
        let account = Arc::new(Explored::new("acme"));
        let quotas = Arc::new(quotas("[[quotas]]\ntokens_per_day = 100\ntokens_per_minute = 100"));
        let now = noon();
        let stream = || {
            let (account, quotas) = (account.clone(), quotas.clone());
            let mut reservation = account.reserve(&quotas, &ask(CLAUDE, 30, 0), &now).unwrap().reservation;
            thread::spawn(move || {
                let grown = reservation.extend(&quotas, (40, 0), NanoUsd::ZERO, &now).is_ok();
                check(&account, &quotas, &now);
                assert_eq!(reservation.amounts().input_tokens, if grown { 70 } else { 30 });
                (grown, reservation)
            })
        };
        let (one, other) = (stream(), stream());
        let ((one, first), (other, second)) = (one.join().unwrap(), other.join().unwrap());
        assert_eq!(account.balances(&quotas, &now)[1].reserved, 100);
        drop((first, second));
        assert_eq!(account.reserved(), (0, Amounts::default()));
        (one, other)
    });
    assert_eq!(outcomes, [(false, true), (true, false)].into());
}

/// A stream that grows by its reservation and by its id: it holds both, and its end gives back all.
#[test]
fn what_grows_by_two_ways_holds_both_under_every_schedule() {
    let outcomes = explore(|| {
        let account = Arc::new(Explored::new("acme"));
        let quotas = Arc::new(quotas("[[quotas]]\ntokens_per_day = 100\ntokens_per_minute = 100"));
        let now = noon();
        let ask = ask(CLAUDE, 30, 0);
        let mut own = account.reserve(&quotas, &ask, &now).unwrap().reservation;
        let by_id = {
            let (account, quotas, id) = (account.clone(), quotas.clone(), ask.request);
            thread::spawn(move || {
                let mut other = account.reclaim(id).unwrap();
                other.extend(&quotas, (20, 0), NanoUsd::ZERO, &now).unwrap();
                other.leave();
            })
        };
        own.extend(&quotas, (40, 0), NanoUsd::ZERO, &now).unwrap();
        by_id.join().unwrap();
        let held = account.balances(&quotas, &now)[0].reserved;
        own.settle(&Spent::request(usage(10, 0), NanoUsd::ZERO), &now);
        let balances = account.balances(&quotas, &now);
        assert!(balances.iter().all(|balance| (balance.settled, balance.reserved) == (10, 0)), "{balances:?}");
        held
    });
    assert_eq!(outcomes, [90].into());
}
