//! What a conversation costs: `cargo bench --bench conversation` interleaves direct, bare Pingora and tollgate against the simulator, and
//! prints CPU per event, events per second of one core, and what is added to an event's round trip, as figures and as ratios. Takes about
//! three minutes, on loopback only.
//!
//! Processes as in `--bench proxy`, each with one worker thread: HTTP/2 in plaintext up to both proxies, over TLS to the simulator. Bare
//! Pingora passes frames as the client signed them. tollgate is measured twice: `tollgate` takes off each frame and signs anew, `verified`
//! also holds each against the client's chain, since the client has keys of the gateway's own.
//!
//! An event is one that a client says, and its echo. They are said one at a time, each when the one before was heard, or up to 32 ahead;
//! CPU has eight clients at once, the round trip one. A word after `--` measures only what is named so:
//! `cargo bench --bench conversation -- "4 KB"`. `TOLLGATE=path` measures another build, `ROUNDS=1` for no longer than that.

#[path = "conversation/client.rs"]
mod client;
#[path = "proxy/process.rs"]
mod process;
#[path = "conversation/report.rs"]
mod report;
#[path = "proxy/roles.rs"]
mod roles;
#[path = "proxy/statistics.rs"]
mod statistics;
#[path = "conversation/world.rs"]
mod world;

use std::{
    env,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use self::{
    client::{Spoken, Stream},
    report::Figures,
    world::{PROXIES, TARGETS, World},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS_DEFAULT: usize = 7;
/// Streams that are open at once while CPU is measured.
const STREAMS: usize = 8;
/// Of the targets.
const LATENCY_ORDER: [usize; TARGETS.len()] = [0, 2, 1, 3];
/// Streams that are open while memory is looked at.
const OPEN_STREAMS: usize = 250;
/// Events before anything is measured: connections, windows and keys are there then.
const WARM_UP: usize = 20;

/// One kind of conversation.
pub struct Shape {
    /// Bytes in an event, before base64 and frames.
    pub name: &'static str,
    bytes: usize,
    /// Events of one stream in a round of CPU.
    cpu_events: usize,
    /// Events of a round of latency.
    latency_events: usize,
}

/// An audio chunk of 6 ms, one of 128 ms, and what a file is read in.
const SHAPES: [Shape; 3] = [
    Shape { name: "200 B", bytes: 200, cpu_events: 800, latency_events: 300 },
    Shape { name: "4 KB", bytes: 4_096, cpu_events: 400, latency_events: 200 },
    Shape { name: "64 KB", bytes: 65_536, cpu_events: 60, latency_events: 60 },
];

/// How many events a client may have said that it did not hear yet.
pub const AHEAD: [usize; 2] = [1, 32];

fn main() -> anyhow::Result<()> {
    roles::play::<true, _>("conversation", measure)
}

async fn measure(filter: Option<String>) -> anyhow::Result<()> {
    let world = World::start().await?;
    let shapes: Vec<&Shape> =
        SHAPES.iter().filter(|shape| filter.as_ref().is_none_or(|filter| shape.name.contains(filter))).collect();
    let mut figures: Vec<Figures> = shapes.iter().map(|_| Figures::default()).collect();
    let rounds = env::var("ROUNDS").map_or(Ok(ROUNDS_DEFAULT), |text| text.parse())?;
    for round in 0..rounds {
        for (shape, figures) in shapes.iter().zip(&mut figures) {
            for (ahead, cpu_us) in AHEAD.into_iter().zip(&mut figures.cpu_us) {
                cpu_us.push(cpu_round(&world, shape, ahead, round).await?);
            }
            latency_round(&world, shape, figures).await?;
        }
    }
    drop(world);
    let memory = if filter.is_none() { Some([memory("bare").await?, memory("tollgate").await?]) } else { None };
    report::print(&shapes, &figures, memory);
    Ok(())
}

/// CPU microseconds of each proxy for an event and its echo, in an order that changes from round to round.
async fn cpu_round(world: &World, shape: &Shape, ahead: usize, round: usize) -> anyhow::Result<[f64; PROXIES.len()]> {
    let mut order: Vec<(usize, &str)> = PROXIES.into_iter().enumerate().collect();
    order.rotate_left(round % PROXIES.len());
    let mut measured = [0.0; PROXIES.len()];
    for (index, name) in order {
        let target = world.target(name);
        let mut streams = Vec::new();
        for _ in 0..STREAMS {
            streams.push(Stream::open(target, &Spoken::new(shape.bytes)).await?);
        }
        converse(&mut streams, ahead, WARM_UP).await?;
        let before = process::cpu(target.process)?;
        converse(&mut streams, ahead, shape.cpu_events).await?;
        let used = process::cpu(target.process)?.saturating_sub(before);
        measured[index] = used.as_secs_f64() * 1e6 / (STREAMS * shape.cpu_events) as f64;
        for stream in streams {
            stream.close().await?;
        }
    }
    Ok(measured)
}

/// Every stream says so many events, and hears them.
async fn converse(streams: &mut Vec<Stream>, ahead: usize, events: usize) -> anyhow::Result<()> {
    let mut speaking = JoinSet::new();
    for mut stream in streams.drain(..) {
        speaking.spawn(async move {
            for said in 0..events + ahead {
                if said < events {
                    stream.say()?;
                }
                if said >= ahead {
                    stream.hear().await?;
                }
            }
            anyhow::Ok(stream)
        });
    }
    while let Some(stream) = speaking.join_next().await {
        streams.push(stream??);
    }
    Ok(())
}

/// One event after the other, each target in turn, so that what disturbs one disturbs all; and none right after another of its process,
/// which would find it awake.
async fn latency_round(world: &World, shape: &Shape, figures: &mut Figures) -> anyhow::Result<()> {
    let mut streams = Vec::new();
    for name in TARGETS {
        let mut stream = vec![Stream::open(world.target(name), &Spoken::new(shape.bytes)).await?];
        converse(&mut stream, 1, WARM_UP).await?;
        streams.append(&mut stream);
    }
    for _ in 0..shape.latency_events {
        for index in LATENCY_ORDER {
            figures.round_trips[index].push(round_trip(&mut streams[index]).await?);
        }
    }
    for stream in streams {
        stream.close().await?;
    }
    Ok(())
}

/// KiB of a fresh process for each conversation that is open and silent.
async fn memory(name: &str) -> anyhow::Result<f64> {
    let world = World::start().await?;
    let target = world.target(name);
    let idle = process::resident_kib(target.process)?;
    let mut streams = Vec::new();
    for _ in 0..OPEN_STREAMS {
        streams.push(Stream::open(target, &Spoken::new(4_096)).await?);
    }
    converse(&mut streams, 1, 1).await?;
    Ok(process::resident_kib(target.process)?.saturating_sub(idle) as f64 / OPEN_STREAMS as f64)
}

async fn round_trip(stream: &mut Stream) -> anyhow::Result<Duration> {
    let began = Instant::now();
    stream.say()?;
    stream.hear().await?;
    Ok(began.elapsed())
}
