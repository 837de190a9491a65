//! An account that another process goes on with.

use uuid::Uuid;

use super::*;

const QUOTAS: &str = "[[quotas]]\ntokens_per_minute = 10_000\n[[quotas]]\ntokens_per_day = 10_000";

/// What was reserved in one process, with that id, is held in another.
fn handed_over(id: Uuid, quotas: &Quotas, now: &Now) -> Arc<Account> {
    let (before, after) = (account(), account());
    before.reserve(quotas, &Ask { request: id, ..ask(CLAUDE, 1_000, 200) }, now).unwrap().reservation.leave();
    before.hand_over(Some(quotas), now).iter().for_each(|portion| after.take_over(Some(quotas), portion, now));
    after
}

fn taken(account: &Account, quotas: &Quotas, now: &Now) -> Vec<(u64, u64)> {
    account.balances(quotas, now).iter().map(|balance| (balance.settled, balance.reserved)).collect()
}

#[test]
fn what_is_held_elsewhere_is_settled_by_its_id_as_if_it_were_here() {
    let (id, quotas, now) = (Uuid::from_u128(7), quotas(QUOTAS), noon());
    let account = handed_over(id, &quotas, &now);
    assert_eq!(taken(&account, &quotas, &now), [(0, 1_200), (0, 1_200)]);
    assert!(account.reclaim(Uuid::from_u128(8)).is_none());
    let settled = account.reclaim(id).unwrap().settle(&Spent::request(usage(900, 100), NanoUsd::ZERO), &now);
    assert_eq!(settled, Settled { overdrawn: false, late: false });
    assert_eq!(taken(&account, &quotas, &now), [(1_000, 0), (1_000, 0)]);
    assert!(account.reclaim(id).is_none());
}

#[test]
fn what_nobody_will_end_expires_early_and_no_hold_is_made_longer() {
    let (id, quotas, now) = (Uuid::from_u128(7), quotas(QUOTAS), noon());
    let account = handed_over(id, &quotas, &now);
    assert!(account.orphan(id, Duration::from_secs(60), &now));
    assert!(account.orphan(id, Duration::from_secs(90), &now));
    assert_eq!(account.expire(&after(&now, 59)), []);
    assert_eq!(account.expire(&after(&now, 60))[0].request, id);
    assert!(!account.orphan(id, Duration::from_secs(60), &now));
    assert_eq!(taken(&account, &quotas, &now)[1], (0, 0));
}

/// A stream asks a successor for more, which then takes nothing: that is done here by its id, and the stream goes on with what it had.
#[test]
fn what_grew_by_its_id_grows_on_and_ends_with_all_that_it_holds() {
    let (account, id, quotas, now) = (account(), Uuid::from_u128(7), quotas(QUOTAS), noon());
    let grant = account.reserve(&quotas, &Ask { request: id, ..ask(CLAUDE, 1_000, 200) }, &now).unwrap();
    let mut own = grant.reservation;
    let mut other = account.reclaim(id).unwrap();
    other.extend(&quotas, (100, 0), NanoUsd::ZERO, &now).unwrap();
    other.leave();
    own.extend(&quotas, (50, 0), NanoUsd::ZERO, &now).unwrap();
    assert_eq!(taken(&account, &quotas, &now), [(0, 1_350), (0, 1_350)]);
    assert_eq!(account.reserved().1.input_tokens, 1_150);
    let settled = own.settle(&Spent::request(usage(1_150, 200), NanoUsd::ZERO), &now);
    assert_eq!(settled, Settled { overdrawn: false, late: false });
    assert_eq!(taken(&account, &quotas, &now), [(1_350, 0), (1_350, 0)]);
}
