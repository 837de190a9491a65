//! The metrics' counters read back, by tenant, service and model: what a difference between two moments is taken of.

use std::collections::BTreeMap;

use prometheus::{core::Collector, proto::Metric};

use super::{Metrics, NONE, Outcome, Spread};

/// Counters of one gateway at one moment, or their difference between two.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// By tenant; [`NONE`] is everybody else.
    pub tenants: BTreeMap<String, Tally>,
    /// By service.
    pub services: BTreeMap<String, OfService>,
    /// By model, as metrics name it.
    pub models: BTreeMap<String, Tally>,
    /// By tenant and reason.
    pub refusals: BTreeMap<(String, String), u64>,
    /// By listener and reason.
    pub connections_refused: BTreeMap<(String, String), u64>,
    /// Requests at a cost that nobody knows, by tenant.
    pub unpriced: BTreeMap<String, u64>,
    /// Requests whose tokens are a guess, by tenant.
    pub estimated: BTreeMap<String, u64>,
    /// Access-log lines that were lost.
    pub lines_lost: u64,
}

/// What some requests came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests that ended.
    pub requests: u64,
    /// Of them: refused by the gateway.
    pub refused: u64,
    /// Of them: failed in the gateway, or on the way to Bedrock and back.
    pub failed: u64,
    /// Of them: answered by Bedrock with a status from 500 on.
    pub faults: u64,
    /// Of them: declined by Bedrock with a status from 400 to 499, throttled ones among them.
    pub declined: u64,
    /// Tokens as charged.
    pub tokens: u64,
    /// Nano-dollars as charged.
    pub cost: u64,
}

/// What went to one service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OfService {
    /// Requests.
    pub tally: Tally,
    /// Seconds to the first byte of the answer.
    pub first_byte: Spread,
    /// Seconds that the gateway itself took before.
    pub own_share: Spread,
    /// Connections made.
    pub connections_new: u64,
    /// Connections used again.
    pub connections_reused: u64,
    /// Requests sent again over another connection.
    pub resent: u64,
}

impl Totals {
    /// The counters as they are.
    pub fn read(metrics: &Metrics) -> Totals {
        let mut totals = Totals::default();
        each(&metrics.requests, |metric| totals.requests(metric));
        each(&metrics.denials, |metric| {
            let key = (label(metric, "tenant").to_owned(), label(metric, "reason").to_owned());
            add(totals.refusals.entry(key).or_default(), count(metric));
        });
        each(&metrics.account.tokens, |metric| totals.used(metric, |tally| &mut tally.tokens, count(metric)));
        each(&metrics.account.cost, |metric| {
            let nano = (metric.get_counter().get_value() * 1e9).round() as u64;
            totals.used(metric, |tally| &mut tally.cost, nano);
        });
        each(&metrics.first_byte, |metric| totals.service(metric).first_byte.add(&Spread::of(metric.get_histogram())));
        each(&metrics.own_share, |metric| totals.service(metric).own_share.add(&Spread::of(metric.get_histogram())));
        each(&metrics.upstream_connections, |metric| {
            let of_service = totals.service(metric);
            match label(metric, "state") {
                "new" => add(&mut of_service.connections_new, count(metric)),
                _ => add(&mut of_service.connections_reused, count(metric)),
            }
        });
        each(&metrics.upstream_retries, |metric| add(&mut totals.service(metric).resent, count(metric)));
        each(&metrics.connections_refused, |metric| {
            let key = (label(metric, "listener").to_owned(), label(metric, "reason").to_owned());
            add(totals.connections_refused.entry(key).or_default(), count(metric));
        });
        each(&metrics.account.unpriced, |metric| {
            add(totals.unpriced.entry(label(metric, "tenant").to_owned()).or_default(), count(metric));
        });
        each(&metrics.account.estimated, |metric| {
            add(totals.estimated.entry(label(metric, "tenant").to_owned()).or_default(), count(metric));
        });
        totals.lines_lost = metrics.access_log_lost.get();
        totals
    }

    /// All tenants together, and those who are nobody's.
    pub fn all(&self) -> Tally {
        let mut all = Tally::default();
        self.tenants.values().for_each(|tally| all.add(tally));
        all
    }

    /// Of one tenant.
    pub fn of_tenant(&self, tenant: &str) -> Tally {
        self.tenants.get(tenant).copied().unwrap_or_default()
    }

    /// All services together.
    pub fn all_services(&self) -> OfService {
        let mut all = OfService::default();
        self.services.values().for_each(|of_service| all.add(of_service));
        all
    }

    /// What was counted since an earlier moment; what did not move is left out.
    pub fn since(&self, earlier: &Totals) -> Totals {
        Totals {
            tenants: moved(&self.tenants, &earlier.tenants, Tally::since),
            services: moved(&self.services, &earlier.services, OfService::since),
            models: moved(&self.models, &earlier.models, Tally::since),
            refusals: moved(&self.refusals, &earlier.refusals, less),
            connections_refused: moved(&self.connections_refused, &earlier.connections_refused, less),
            unpriced: moved(&self.unpriced, &earlier.unpriced, less),
            estimated: moved(&self.estimated, &earlier.estimated, less),
            lines_lost: self.lines_lost.saturating_sub(earlier.lines_lost),
        }
    }

    /// Both together.
    pub fn add(&mut self, more: &Totals) {
        join(&mut self.tenants, &more.tenants, Tally::add);
        join(&mut self.services, &more.services, OfService::add);
        join(&mut self.models, &more.models, Tally::add);
        let plus = |sum: &mut u64, more: &u64| add(sum, *more);
        join(&mut self.refusals, &more.refusals, plus);
        join(&mut self.connections_refused, &more.connections_refused, plus);
        join(&mut self.unpriced, &more.unpriced, plus);
        join(&mut self.estimated, &more.estimated, plus);
        add(&mut self.lines_lost, more.lines_lost);
    }

    fn requests(&mut self, metric: &Metric) {
        let counted = count(metric);
        let outcome = label(metric, "outcome");
        let mut tally = Tally { requests: counted, ..Tally::default() };
        let failed = [Outcome::UpstreamFailed, Outcome::GatewayFailed];
        match outcome {
            outcome if outcome == Outcome::Denied.label() => tally.refused = counted,
            outcome if failed.iter().any(|failed| failed.label() == outcome) => tally.failed = counted,
            _ if label(metric, "status_class") == "5xx" => tally.faults = counted,
            outcome if outcome == Outcome::Completed.label() && label(metric, "status_class") == "4xx" => {
                tally.declined = counted
            }
            _ => {}
        }
        self.tenants.entry(label(metric, "tenant").to_owned()).or_default().add(&tally);
        if label(metric, "service") != NONE {
            self.service(metric).tally.add(&tally);
        }
    }

    fn used(&mut self, metric: &Metric, field: fn(&mut Tally) -> &mut u64, amount: u64) {
        for (map, key) in [(&mut self.tenants, "tenant"), (&mut self.models, "model")] {
            add(field(map.entry(label(metric, key).to_owned()).or_default()), amount);
        }
    }

    fn service(&mut self, metric: &Metric) -> &mut OfService {
        self.services.entry(label(metric, "service").to_owned()).or_default()
    }
}

impl Tally {
    /// Both together.
    pub fn add(&mut self, more: &Tally) {
        let sums = self.fields().into_iter().zip(more.clone().fields().map(|field| *field));
        sums.for_each(|(sum, more)| *sum = sum.saturating_add(more));
    }

    fn since(&self, earlier: &Tally) -> Tally {
        let mut moved = *self;
        let earlier = earlier.clone().fields().map(|field| *field);
        moved.fields().into_iter().zip(earlier).for_each(|(now, before)| *now = now.saturating_sub(before));
        moved
    }

    fn fields(&mut self) -> [&mut u64; 7] {
        let Tally { requests, refused, failed, faults, declined, tokens, cost } = self;
        [requests, refused, failed, faults, declined, tokens, cost]
    }

    /// Requests that Bedrock answered as their callers wished: neither refused nor failed, here or there.
    pub fn served(&self) -> u64 {
        self.admitted().saturating_sub(self.lost()).saturating_sub(self.declined)
    }

    /// Requests that the gateway did not refuse.
    pub fn admitted(&self) -> u64 {
        self.requests.saturating_sub(self.refused)
    }

    /// Requests that failed, on the way or at Bedrock.
    pub fn lost(&self) -> u64 {
        self.failed.saturating_add(self.faults)
    }
}

impl OfService {
    fn add(&mut self, more: &OfService) {
        self.tally.add(&more.tally);
        self.first_byte.add(&more.first_byte);
        self.own_share.add(&more.own_share);
        add(&mut self.connections_new, more.connections_new);
        add(&mut self.connections_reused, more.connections_reused);
        add(&mut self.resent, more.resent);
    }

    fn since(&self, earlier: &OfService) -> OfService {
        OfService {
            tally: self.tally.since(&earlier.tally),
            first_byte: self.first_byte.since(&earlier.first_byte),
            own_share: self.own_share.since(&earlier.own_share),
            connections_new: self.connections_new.saturating_sub(earlier.connections_new),
            connections_reused: self.connections_reused.saturating_sub(earlier.connections_reused),
            resent: self.resent.saturating_sub(earlier.resent),
        }
    }
}

fn each(collector: &impl Collector, take: impl FnMut(&Metric)) {
    collector.collect().iter().flat_map(|family| family.get_metric()).for_each(take);
}

fn label<'a>(metric: &'a Metric, name: &str) -> &'a str {
    metric.get_label().iter().find(|label| label.name() == name).map_or(NONE, |label| label.value())
}

fn count(metric: &Metric) -> u64 {
    metric.get_counter().get_value() as u64
}

#[allow(clippy::trivially_copy_pass_by_ref)] // of the shape that `moved` asks for
/// Counts come from answers, which may say anything.
fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}

fn less(now: &u64, before: &u64) -> u64 {
    now.saturating_sub(*before)
}

fn moved<K: Ord + Clone, V: Default + PartialEq>(
    now: &BTreeMap<K, V>,
    before: &BTreeMap<K, V>,
    since: impl Fn(&V, &V) -> V,
) -> BTreeMap<K, V> {
    let nothing = V::default();
    let one = |(key, value): (&K, &V)| {
        let earlier = before.get(key).unwrap_or(&nothing);
        (earlier != value).then(|| (key.clone(), since(value, earlier)))
    };
    now.iter().filter_map(one).collect()
}

fn join<K: Ord + Clone, V: Default>(sums: &mut BTreeMap<K, V>, more: &BTreeMap<K, V>, add: impl Fn(&mut V, &V)) {
    more.iter().for_each(|(key, more)| add(sums.entry(key.clone()).or_default(), more));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_beyond_all_measure_are_no_panic() {
        let metrics = Metrics::new().unwrap();
        for kind in ["input", "output", "cache_read"] {
            metrics.account.tokens.with_label_values(&["acme", "m", kind]).inc_by(u64::MAX / 2);
        }
        let mut totals = Totals::read(&metrics);
        assert_eq!(totals.models["m"].tokens, u64::MAX);
        totals.add(&totals.clone());
    }

    #[test]
    fn what_the_metrics_counted_is_read_by_tenant_service_and_model() {
        let metrics = Metrics::new().unwrap();
        let ended = |tenant, class, outcome: Outcome, times| {
            let labels = [tenant, if tenant == NONE { NONE } else { "bedrock-runtime" }, "Converse", class, outcome.label()];
            metrics.requests.with_label_values(&labels).inc_by(times);
        };
        ended("acme", "2xx", Outcome::Completed, 5);
        ended("acme", "5xx", Outcome::Completed, 2);
        ended("acme", "4xx", Outcome::Denied, 3);
        ended("acme", "4xx", Outcome::Completed, 4);
        ended("globex", "5xx", Outcome::UpstreamFailed, 1);
        ended(NONE, "4xx", Outcome::Denied, 7);
        metrics.account.tokens.with_label_values(&["acme", "m", "input"]).inc_by(40);
        metrics.account.tokens.with_label_values(&["acme", "m", "output"]).inc_by(2);
        metrics.account.cost.with_label_values(&["acme", "m"]).inc_by(0.000_000_123);
        metrics.account.estimated.with_label_values(&["acme"]).inc();
        let before = Totals::read(&metrics);
        let acme = before.of_tenant("acme");
        assert_eq!((acme.requests, acme.refused, acme.faults, acme.declined, acme.served()), (14, 3, 2, 4, 5));
        assert_eq!((acme.admitted(), acme.lost(), before.estimated["acme"]), (11, 2, 1));
        assert_eq!((acme.tokens, acme.cost, before.models["m"].tokens), (42, 123, 42));
        assert_eq!((before.all().requests, before.services["bedrock-runtime"].tally.requests), (22, 15));
        assert_eq!(before.services.len(), 1, "{before:?}");

        ended("globex", "2xx", Outcome::Completed, 1);
        let moved = Totals::read(&metrics).since(&before);
        assert_eq!(moved.tenants.keys().collect::<Vec<_>>(), ["globex"], "the others did not move");
        let mut sum = before.clone();
        sum.add(&moved);
        assert_eq!(sum, Totals::read(&metrics));
    }
}
