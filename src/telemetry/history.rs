//! The last hour, sampled from the metrics every few seconds: what the console plots, and what "now" means there. Requests know nothing
//! of it. Memory is bounded: by the hour, and by the metrics' series, of which only those are kept that moved.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{Metrics, totals::Totals};

/// What is looked back on.
pub const HOUR: Duration = Duration::from_secs(3_600);

/// How often to sample.
pub const SAMPLE_EVERY: Duration = Duration::from_secs(10);

/// Samples are added up to stretches of so long.
const STRETCH: Duration = Duration::from_secs(30);

/// What happened from one moment to another.
#[derive(Clone, Debug)]
pub struct Stretch {
    /// The first moment.
    pub began: Instant,
    /// The last.
    pub ended: Instant,
    /// What was counted in between.
    pub counted: Totals,
}

/// A value that holds for one stretch, whose ends are given in seconds before now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The farther one.
    pub from: f64,
    /// The nearer one.
    pub to: f64,
    /// What holds in between; nothing where there is none to tell, as of the time that no request took.
    pub value: Option<f64>,
}

/// The last hour.
pub struct History {
    kept: Mutex<Kept>,
}

struct Kept {
    seen: Totals,
    sampled: Instant,
    stretches: VecDeque<Stretch>,
}

impl History {
    /// Begins now, with metrics that are all zero.
    pub fn new(now: Instant) -> History {
        History { kept: Mutex::new(Kept { seen: Totals::default(), sampled: now, stretches: VecDeque::new() }) }
    }

    /// Takes in what the metrics have counted since the last time. May be called at any pace.
    pub fn sample(&self, metrics: &Metrics, now: Instant) {
        self.add(Totals::read(metrics), now);
    }

    fn add(&self, totals: Totals, now: Instant) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Kept { seen, sampled, stretches } = &mut *kept;
        let counted = totals.since(seen);
        match stretches.back_mut().filter(|last| now.duration_since(last.began) <= STRETCH) {
            Some(last) => {
                last.counted.add(&counted);
                last.ended = now;
            }
            None => stretches.push_back(Stretch { began: *sampled, ended: now, counted }),
        }
        while stretches.front().is_some_and(|first| now.duration_since(first.ended) > HOUR) {
            stretches.pop_front();
        }
        (*seen, *sampled) = (totals, now);
    }

    /// The last hour up to the last sample. A stretch that has only begun is told as a part of the one before: over a second, a
    /// single request is a peak.
    pub fn recent(&self) -> Recent {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stretches: Vec<Stretch> = kept.stretches.iter().cloned().collect();
        if let Some(last) = stretches.pop_if(|last| last.ended.duration_since(last.began) < SAMPLE_EVERY) {
            match stretches.last_mut() {
                Some(before) => {
                    before.counted.add(&last.counted);
                    before.ended = last.ended;
                }
                None => stretches.push(last),
            }
        }
        Recent { until: kept.sampled, stretches }
    }
}

/// The last hour, as it was at one moment.
#[derive(Clone, Debug)]
pub struct Recent {
    /// That moment.
    pub until: Instant,
    /// The oldest first, without gaps.
    pub stretches: Vec<Stretch>,
}

impl Recent {
    /// What was counted in the stretches that reach into the last `span`, and how long they are together.
    pub fn last(&self, span: Duration) -> (Totals, Duration) {
        let mut sum = Totals::default();
        let mut began = self.until;
        for stretch in self.stretches.iter().rev().take_while(|stretch| self.until.duration_since(stretch.ended) < span) {
            sum.add(&stretch.counted);
            began = stretch.began;
        }
        (sum, self.until.duration_since(began))
    }

    /// How much a second, over the hour.
    pub fn rates(&self, count: impl Fn(&Totals) -> u64) -> Vec<Step> {
        self.steps(|counted, seconds| Some(if seconds > 0.0 { count(counted) as f64 / seconds } else { 0.0 }))
    }

    /// A value of each stretch, given how many seconds it is long.
    pub fn steps(&self, value: impl Fn(&Totals, f64) -> Option<f64>) -> Vec<Step> {
        let ago = |at: Instant| self.until.duration_since(at).as_secs_f64();
        let step = |stretch: &Stretch| {
            let (from, to) = (ago(stretch.began), ago(stretch.ended));
            Step { from, to, value: value(&stretch.counted, from - to) }
        };
        self.stretches.iter().map(step).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(count: u64) -> Totals {
        let mut totals = Totals::default();
        totals.tenants.entry("acme".to_owned()).or_default().requests = count;
        totals
    }

    #[test]
    fn an_hour_is_kept_and_no_more_and_samples_make_stretches() {
        let start = Instant::now();
        let history = History::new(start);
        for second in (10..=7_200).step_by(10) {
            history.add(requests(second), start + Duration::from_secs(second));
        }
        let recent = history.recent();
        assert!((100..=125).contains(&recent.stretches.len()), "{}", recent.stretches.len());
        assert!(recent.stretches.windows(2).all(|pair| pair[0].ended == pair[1].began), "without gaps");
        assert!(recent.rates(|totals| totals.all().requests).iter().all(|step| step.value == Some(1.0)));
        let (sum, length) = recent.last(Duration::from_secs(300));
        assert_eq!(sum.all().requests, length.as_secs());
        assert!((300..=330).contains(&length.as_secs()), "{length:?}");
        let (all, length) = recent.last(HOUR);
        assert!(length <= HOUR + STRETCH && all.all().requests == length.as_secs());
    }

    #[test]
    fn a_stretch_that_has_only_begun_makes_no_peak() {
        let start = Instant::now();
        let history = History::new(start);
        for second in [10, 20, 30] {
            history.add(requests(second), start + Duration::from_secs(second));
        }
        // Three at once, half a second later.
        history.add(requests(33), start + Duration::from_millis(30_500));
        let recent = history.recent();
        let [step] = recent.rates(|totals| totals.all().requests)[..] else { panic!("{recent:?}") };
        assert!(step.value.unwrap() < 1.1 && recent.last(HOUR).0.all().requests == 33, "{step:?}");
        history.add(requests(60), start + Duration::from_secs(45));
        assert_eq!(history.recent().stretches.len(), 2);
    }

    #[test]
    fn looking_often_changes_nothing_but_the_end() {
        let start = Instant::now();
        let history = History::new(start);
        for millis in 1..=29_000 {
            history.add(requests(millis), start + Duration::from_millis(millis));
        }
        let recent = history.recent();
        assert_eq!(recent.stretches.len(), 1);
        assert_eq!(recent.last(Duration::from_secs(1)).0.all().requests, 29_000);
    }
}
