//! Which requests have a line in the access log: every one that somebody may ask about, and one in so many of those that went well. By
//! the request's id alone, so that whoever has the id can tell whether there is a line.

use std::time::Duration;

use uuid::Uuid;

use super::{Passage, finish::bill};
use crate::{config::Log, telemetry::Outcome};

/// How many requests the line of this one stands for; none: it has no line.
pub fn stands_for(passage: &Passage, outcome: Outcome, duration: Duration) -> Option<u32> {
    let log = &passage.live.snapshot.log;
    if !log.access {
        return None;
    }
    if went_well(passage, outcome) && duration < Duration::from_secs(log.access_slow_seconds) {
        chosen(passage.arrival.id, log)
    } else {
        Some(1)
    }
}

/// Bedrock answered at once what was asked, and what it cost is known. Keys that the gateway gives out are always told of.
fn went_well(passage: &Passage, outcome: Outcome) -> bool {
    let answered_well = passage.meter.status.is_some_and(|status| status < 400);
    let billed_well = bill(passage).is_none_or(|bill| bill.priced && !bill.estimated);
    outcome == Outcome::Completed && answered_well && passage.attempts.resent == 0 && billed_well
}

fn chosen(id: Uuid, log: &Log) -> Option<u32> {
    let one_in = log.access_one_in.max(1);
    // The end of a UUID is random.
    (id.as_u128() as u32).is_multiple_of(one_in).then_some(one_in)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lines_stand_for_adds_up() {
        let log = Log { access_one_in: 10, ..Log::default() };
        let ids: Vec<Uuid> = (0..10_000).map(|_| Uuid::new_v4()).collect();
        let told = |ids: &[Uuid]| ids.iter().filter_map(|id| chosen(*id, &log)).collect::<Vec<u32>>();
        // Seven standard deviations.
        assert!((7_900..=12_100).contains(&told(&ids).iter().sum::<u32>()));
        assert_eq!(told(&ids), told(&ids));
        assert_eq!(ids.iter().filter_map(|id| chosen(*id, &Log::default())).sum::<u32>(), 10_000);
    }
}
