//! A histogram read back: how often a value was how large, and between which bounds a part of all lies.

use prometheus::proto::{Bucket, Histogram};

/// How often a value was how large: a histogram's buckets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spread {
    /// Upper bounds, and how many are below this one and above the one before.
    buckets: Vec<(f64, u64)>,
    /// All, those above the last bound included.
    count: u64,
}

impl Spread {
    pub(super) fn of(histogram: &Histogram) -> Spread {
        let mut below = 0;
        let bucket = |bucket: &Bucket| {
            let counted = bucket.cumulative_count().saturating_sub(below);
            below = bucket.cumulative_count();
            (bucket.upper_bound(), counted)
        };
        Spread { buckets: histogram.get_bucket().iter().map(bucket).collect(), count: histogram.get_sample_count() }
    }

    pub(super) fn add(&mut self, more: &Spread) {
        if self.buckets.is_empty() {
            self.buckets.clone_from(&more.buckets);
        } else {
            self.buckets.iter_mut().zip(&more.buckets).for_each(|((_, sum), (_, more))| *sum += more);
        }
        self.count += more.count;
    }

    pub(super) fn since(&self, earlier: &Spread) -> Spread {
        let mut moved = self.clone();
        moved.buckets.iter_mut().zip(&earlier.buckets).for_each(|((_, now), (_, before))| *now = now.saturating_sub(*before));
        moved.count = self.count.saturating_sub(earlier.count);
        moved
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The value that a part of all, from 0 to 1, does not exceed, estimated between the bounds of its bucket as Prometheus does it;
    /// above the last bound, that bound. Nothing if there are no values.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let rank = part * self.count as f64;
        let (mut below, mut lower) = (0.0, 0.0);
        for (upper, count) in &self.buckets {
            let count = *count as f64;
            if count > 0.0 && below + count >= rank {
                return Some(lower + (upper - lower) * ((rank - below) / count).clamp(0.0, 1.0));
            }
            (below, lower) = (below + count, *upper);
        }
        (self.count > 0).then_some(lower)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Metrics, Totals};

    #[test]
    fn quantiles_lie_in_the_bucket_of_their_rank() {
        let metrics = Metrics::new().unwrap();
        let histogram = metrics.first_byte.with_label_values(&["acme", "bedrock-runtime"]);
        (0..98).for_each(|_| histogram.observe(0.003));
        histogram.observe(0.2);
        histogram.observe(5_000.0);
        let spread = &Totals::read(&metrics).services["bedrock-runtime"].first_byte;
        let at = |part| spread.quantile(part).unwrap();
        assert!((0.0025..=0.005).contains(&at(0.5)), "{}", at(0.5));
        assert!((0.1..=0.25).contains(&at(0.99)), "{}", at(0.99));
        assert_eq!((at(1.0), spread.count()), (900.0, 100));
        assert_eq!(Spread::default().quantile(0.5), None);
    }
}
