//! Since when something goes on, as far as the last hour tells.

use std::time::Duration;

use jiff::SignedDuration;

use super::{
    Figures,
    words::{clock, span},
};
use crate::telemetry::{Totals, history::HOUR};

/// What pauses for no longer than this goes on.
const PAUSE: Duration = Duration::from_secs(300);

/// What has not happened for so long may be over.
const OVER: Duration = Duration::from_secs(60);

/// When that began which `times` counts, and whether it may be over: `Since about 11:50 UTC, 10 min ago.` Empty if there was none
/// lately. About, since a stretch of the history is half a minute.
pub fn since(figures: &Figures, times: impl Fn(&Totals) -> u64) -> String {
    let Some((began, ended)) = spell(figures, times) else { return String::new() };
    let over = if ended >= OVER { format!("; not in the last {}", span(ended)) } else { String::new() };
    format!("{}{over}.", beginning(began, figures))
}

/// For how long there was none of it, if it may be over.
pub fn over(figures: &Figures, times: impl Fn(&Totals) -> u64) -> Option<Duration> {
    spell(figures, times).map(|(_, ended)| ended).filter(|ended| *ended >= OVER)
}

/// How long ago it began, and how long ago it was last seen.
fn spell(figures: &Figures, times: impl Fn(&Totals) -> u64) -> Option<(Duration, Duration)> {
    let recent = &figures.recent;
    let ago = |at| recent.until.duration_since(at);
    let (mut began, mut ended) = (None, None);
    for stretch in recent.stretches.iter().rev() {
        if times(&stretch.counted) > 0 {
            ended.get_or_insert(ago(stretch.ended));
            began = Some(ago(stretch.began));
        } else if ago(stretch.began).saturating_sub(began.unwrap_or_default()) > PAUSE {
            break;
        }
    }
    began.zip(ended)
}

/// What began so long ago may have begun before anybody looked.
fn beginning(ago: Duration, figures: &Figures) -> String {
    let at = figures.now - SignedDuration::try_from(ago).unwrap_or_default();
    let running = Duration::try_from(figures.now.duration_since(figures.started)).unwrap_or_default();
    match ago {
        ago if running.saturating_sub(ago) < OVER => format!("Since the start of the gateway, {} ago", span(running)),
        ago if ago + OVER >= HOUR => "For an hour or longer".to_owned(),
        ago => format!("Since about {}, {} ago", clock(at), span(ago)),
    }
}
