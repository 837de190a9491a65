//! The tables.

use std::time::Duration;

use crate::{
    AHEAD, Shape,
    statistics::{median, percentile, sorted},
    world::{PROXIES, TARGETS},
};

/// What was measured of one shape.
#[derive(Default)]
pub struct Figures {
    /// CPU microseconds for an event and its echo, of [`PROXIES`], per round; for each of [`AHEAD`].
    pub cpu_us: [Vec<[f64; PROXIES.len()]>; AHEAD.len()],
    /// Every round trip, of [`TARGETS`].
    pub round_trips: [Vec<Duration>; TARGETS.len()],
}

/// Prints them, and KiB per open conversation of bare Pingora and tollgate.
pub fn print(shapes: &[&Shape], figures: &[Figures], memory: Option<[f64; 2]>) {
    for (index, ahead) in AHEAD.into_iter().enumerate() {
        let how = if ahead == 1 { "one at a time".to_owned() } else { format!("up to {ahead} ahead") };
        println!("\nCPU of the proxy in µs for an event and its echo, {how}; ratio: the median of each round's to bare");
        println!("{:<8}{:>10}{:>18}{:>18}{:>30}", "", "bare", "tollgate", "verified", "events/s of a core");
        for (shape, figures) in shapes.iter().zip(figures) {
            cpu(shape.name, &figures.cpu_us[index]);
        }
    }
    println!("\nRound trip in µs, p50/p99: direct, and what is added to it; ratio: of p50 to direct");
    println!("{:<8}{:>16}{:>26}{:>26}{:>26}", "", "direct", "bare adds", "tollgate adds", "verified adds");
    for (shape, figures) in shapes.iter().zip(figures) {
        let times = figures.round_trips.each_ref().map(|times| sorted(times.iter().copied()));
        let [direct, proxies @ ..] = times.each_ref().map(|times| (percentile(times, 0.5), percentile(times, 0.99)));
        let added = |(p50, p99): (f64, f64)| format!("{:+.0} / {:+.0} {:>7.2}", p50 - direct.0, p99 - direct.1, p50 / direct.0);
        let [bare, ours, verified] = proxies.map(added);
        println!("{:<8}{:>16}{bare:>26}{ours:>26}{verified:>26}", shape.name, format!("{:.0} / {:.0}", direct.0, direct.1));
    }
    if let Some([bare, ours]) = memory {
        println!("\nResident memory of a silent conversation, KiB: bare {bare:.0}, tollgate {ours:.0}");
    }
}

fn cpu(name: &str, rounds: &[[f64; PROXIES.len()]]) {
    let of = |index: usize| median(rounds.iter().map(|round| round[index]));
    let ratio = |index: usize| median(rounds.iter().map(|round| round[index] / round[0]));
    let [bare, ours, verified] = [of(0), of(1), of(2)];
    let beside = |index: usize| format!("{:.1} {:>6.2}", of(index), ratio(index));
    let rates = [bare, ours, verified].map(|us| format!("{:.0}", 1e6 / us)).join(" / ");
    println!("{name:<8}{bare:>10.1}{:>18}{:>18}{rates:>30}", beside(1), beside(2));
}
