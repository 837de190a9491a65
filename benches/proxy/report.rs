//! The table.

use crate::{
    Exchanges,
    load::Shape,
    statistics::{median, percentile, sorted},
};

/// Whose CPU is measured, in the order of [`Figures::cpu_us`].
pub const CPU_TARGETS: [&str; 3] = ["bare", "tollgate", LIMITED];

/// tollgate with quotas and a ledger.
pub const LIMITED: &str = "limited";

/// What was measured of one shape.
#[derive(Default)]
pub struct Figures {
    /// CPU microseconds per request of [`CPU_TARGETS`], per round.
    pub cpu_us: Vec<[f64; 3]>,
    /// Every exchange: direct, bare Pingora, tollgate.
    pub times: [Exchanges; 3],
}

/// Resident memory of one proxy.
pub struct Memory {
    pub idle_kib: u64,
    pub stream_kib: f64,
}

/// The table.
pub fn print(shapes: &[Shape], figures: &[Figures], sha256: &[f64], memory: Option<&[Memory; 2]>) {
    println!("\nCPU of the proxy in µs per request, medians of rounds; ratio: the median of each round's");
    println!("{:<12}{:>10}{:>10}{:>16}  target", "", "bare", "tollgate", "tollgate/bare");
    let sha256_us = median(sha256.iter().copied());
    for (shape, figures) in shapes.iter().zip(figures) {
        let rounds = || figures.cpu_us.iter();
        let (bare, ours) = (median(rounds().map(|[bare, ..]| *bare)), median(rounds().map(|[_, ours, _]| *ours)));
        let ratio = median(rounds().map(|[bare, ours, _]| ours / bare));
        let target = if shape.name == "1 KB" { verdict(ratio, 1.4) } else { String::new() };
        println!("{:<12}{bare:>10.1}{ours:>10.1}{ratio:>16.2}  {target}", shape.name);
        if shape.name == "1 MB" {
            let hashed = median(rounds().zip(sha256).map(|([bare, ours, _], sha256)| ours / (bare + sha256)));
            println!("{:<12}{:>10.1}{ours:>10.1}{hashed:>16.2}  {}", " + SHA-256", bare + sha256_us, verdict(hashed, 1.15));
        }
    }
    println!("SHA-256 of 1 MB alone: {sha256_us:.1} µs");
    println!("\nWith every kind of quota and a ledger on disk, CPU in µs per request; ratio: to tollgate without");
    for (shape, figures) in shapes.iter().zip(figures) {
        let limited = median(figures.cpu_us.iter().map(|[_, _, limited]| *limited));
        let ratio = median(figures.cpu_us.iter().map(|[_, ours, limited]| limited / ours));
        let target = match shape.name {
            "1 KB" => verdict(ratio, 1.10),
            "50 events" => verdict(ratio, 1.05),
            _ => String::new(),
        };
        println!("{:<12}{limited:>20.1}{ratio:>16.2}  {target}", shape.name);
    }

    println!("\nLatency in µs, one request at a time: direct, and what is added to it; ratio: tollgate : bare : direct");
    println!("{:<12}{:>21}{:>21}{:>21}  {:<20}", "", "direct p50/p99", "bare adds", "tollgate adds", "p50 ratio");
    for (shape, figures) in shapes.iter().zip(figures) {
        latency(shape.name, &figures.times.each_ref().map(|times| sorted(times.iter().map(|t| t.whole))));
    }
    if let Some((_, stream)) = shapes.iter().zip(figures).find(|(shape, _)| shape.name == "50 events") {
        let first = stream.times.each_ref().map(|times| sorted(times.iter().map(|t| t.first)));
        latency("first byte", &first);
        let added = percentile(&first[2], 0.99) - percentile(&first[0], 0.99);
        println!("first byte of a stream added at p99, in ms: {}", verdict(added / 1e3, 0.5));
    }
    if let Some([bare, ours]) = memory {
        println!("\nResident memory: bare / tollgate");
        let idle = |memory: &Memory| memory.idle_kib as f64 / 1024.0;
        println!("idle, MiB:            {:>7.1} / {:<7.1} {}", idle(bare), idle(ours), verdict(idle(ours), 30.0));
        let (bare, ours) = (bare.stream_kib, ours.stream_kib);
        println!("per open stream, KiB: {bare:>7.1} / {ours:<7.1} {}", verdict(ours, 100.0));
    }
}

fn latency(name: &str, times: &[Vec<f64>; 3]) {
    let [direct, bare, ours] = times.each_ref().map(|times| (percentile(times, 0.5), percentile(times, 0.99)));
    let added = |it: (f64, f64)| format!("{:+.0} / {:+.0}", it.0 - direct.0, it.1 - direct.1);
    println!(
        "{name:<12}{:>21}{:>21}{:>21}  {:.2} : {:.2} : 1",
        format!("{:.0} / {:.0}", direct.0, direct.1),
        added(bare),
        added(ours),
        ours.0 / direct.0,
        bare.0 / direct.0,
    );
}

fn verdict(value: f64, most: f64) -> String {
    format!("{value:.2} ≤ {most}: {}", if value <= most { "holds" } else { "MISSED" })
}
