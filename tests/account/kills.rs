//! 64 clients, two tenants, everything that can go wrong, and `kill -9`: nothing that was acknowledged is lost, nothing is charged twice,
//! no limit is overshot at any moment, no hold is left.

use std::{
    collections::HashMap,
    env,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant, SystemTime},
};

use jiff::Timestamp;
use serde_json::Value;
use tokio::{task::JoinSet, time::sleep};
use tollgate::{ledger::Entry, simulator::Served};

use crate::{
    audit::{self, Audit},
    dice::Dice,
    harness::{DEADLINE, World},
    load::{self, Crowd},
    watch,
};

const CLIENTS: u64 = 64;
const KILLS: usize = 4;
/// Answers read to their end between two kills, at least.
const ANSWERS: usize = 150;
/// Of acme's, in nano-dollars.
const BUDGET: i64 = 60_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strict_durability_loses_nothing_that_a_client_has_seen_the_end_of() {
    survives("strict", None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn group_durability_loses_at_most_the_last_second_before_a_kill() {
    survives("group", Some(Duration::from_secs(1))).await;
}

/// `TOLLGATE_SEED` has a run again, as far as chance goes.
fn seed() -> u64 {
    let now = || SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
    env::var("TOLLGATE_SEED").map_or_else(|_| u64::try_from(now()).unwrap(), |seed| seed.parse().unwrap())
}

async fn survives(durability: &str, grace: Option<Duration>) {
    let seed = seed();
    println!("{durability}: TOLLGATE_SEED={seed}"); // Shown if it fails.
    let dice = Dice::new(seed);
    let acme = "hold_input = \"bound\"\n[[tenants.acme.quotas]]\nmodels = [\"anthropic.*\"]\nusd_per_day = \"0.06\"\n\
                [[tenants.acme.quotas]]\ntokens_per_day = 10_000_000\nusd_per_month = \"5\"";
    let globex = "[[tenants.globex.quotas]]\ntokens_per_minute = 30_000\ntokens_per_day = 10_000_000";
    let world = Arc::new(World::new(&format!("durability = \"{durability}\""), [acme, globex]).await);
    let mut gateway = world.start().await;
    let crowd = Arc::new(Crowd::default());
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(load::run(number, dice.fork(number), world.clone(), crowd.clone()));
    }
    let watch = tokio::spawn(watch::watch(world.clone(), crowd.clone(), grace));
    let mut pause = dice.fork(CLIENTS);
    for _ in 0..KILLS {
        answers(&crowd, ANSWERS).await;
        sleep(Duration::from_millis(pause.below(400))).await;
        never_over(&world).await;
        crowd.kills.lock().unwrap().push(Instant::now());
        crowd.down.store(true, Ordering::Release);
        drop(gateway);
        gateway = world.start().await;
        crowd.down.store(false, Ordering::Release);
    }
    let calm = Timestamp::now();
    answers(&crowd, ANSWERS).await;
    never_over(&world).await;
    crowd.stop.store(true, Ordering::Release);
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    let watched = watch.await.unwrap();
    // Quiet: every hold has ended; those of the killed ones expire.
    world.until_metric("tollgate_quota_reserved_ratio", 0.0).await;
    world.until_metric("tollgate_ledger_waiting_rows", 0.0).await;
    let rows = world.until_rows(1).await;
    let verified = world.verify();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    let usage = world.usage().await.unwrap();
    drop(gateway);

    let served = world.simulator.record().requests();
    let (seen, kills) = (crowd.seen.lock().unwrap(), crowd.kills.lock().unwrap());
    let counts = Audit { rows: &rows, served: &served, seen: &seen, kills: &kills, calm, grace }.check();
    println!("{durability}: {} rows, {} served, {} seen, {counts:?}", rows.len(), served.len(), seen.len());
    assert!(
        counts.exact > ANSWERS && counts.calm > 0 && counts.estimated > 0 && counts.failures > 0 && counts.refused > 0,
        "{counts:?}"
    );
    equal_by_tenant(&usage, &rows, &served);
    assert_eq!(watched.limits.len(), 5, "{watched:?}");
    assert!(watched.limits.values().all(|most| most.samples > 0 && most.spent > 0 && most.reserved > 0), "{watched:?}");
    assert!(watched.holds_compared > 0, "{watched:?}");
    let of_acme = rows.iter().filter(|row| &*row.request.tenant == "acme" && row.request.model.contains("haiku"));
    let spent: i64 = of_acme.map(|row| row.cost.0).sum();
    assert!(spent <= BUDGET, "{spent} of {BUDGET}");
}

/// What the simulator reported to a tenant's clients, and the guesses where it reported nothing: so much the tenant has used, says the
/// gateway. Nothing is held any more.
fn equal_by_tenant(usage: &Value, rows: &[Entry], served: &[Arc<Served>]) {
    let reported: HashMap<&str, &Served> = served.iter().map(|served| (&*served.request_id, &**served)).collect();
    for tenant in usage["tenants"].as_array().unwrap() {
        let name = tenant["tenant"].as_str().unwrap();
        assert_eq!(tenant["running"]["holding"], 0, "{name}");
        let (mut used, mut exact) = ([0; 6], 0);
        for row in rows.iter().filter(|row| &*row.request.tenant == name) {
            let answer = row.upstream_request_id.as_deref().map(|id| reported[id]);
            assert!(answer.is_none_or(|served| served.header("user-agent") == Some(name)), "{row:?} {answer:?}");
            let told = answer.filter(|_| !row.estimated).and_then(|served| served.usage);
            exact += usize::from(told.is_some());
            let told = told.map_or(row.usage, |told| audit::usage(&told));
            let columns = [told.input_tokens, told.output_tokens, told.cache_read_tokens, told.cache_write_tokens];
            let columns = columns.into_iter().chain([told.cache_write_1h_tokens, 1]);
            used.iter_mut().zip(columns).for_each(|(sum, column)| *sum += column);
        }
        let names = ["input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens"];
        let month = names.into_iter().chain(["requests"]).map(|column| tenant["month"][column].as_u64().unwrap());
        assert!(month.eq(used) && exact > 0, "{name}: {used:?} {tenant}");
    }
}

/// Waits until the clients have read so many answers more.
async fn answers(crowd: &Crowd, count: usize) {
    let (before, began) = (crowd.whole(), Instant::now());
    while crowd.whole() < before + count {
        assert!(began.elapsed() < DEADLINE, "in vain waited for {count} answers");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Nobody holds more than there is, and no answer used more than was held for it.
async fn never_over(world: &World) {
    for tenant in ["acme", "globex"] {
        let label = format!("tenant=\"{tenant}\"");
        assert_eq!(world.metric("tollgate_overdrawn_requests_total", &label).await, Some(0.0), "{tenant}");
    }
}
