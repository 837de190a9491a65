//! What the gateway costs: `cargo bench --bench proxy` interleaves direct, bare Pingora and tollgate against the simulator, and prints
//! CPU per request, added latency and memory, as figures and as ratios. Takes less than three minutes, on loopback only.
//!
//! Everything runs in a process of its own: the simulator and bare Pingora are this binary with another first argument, tollgate is the
//! binary that ships. Both proxies have one worker thread and a plaintext HTTP/1.1 listener, and speak TLS to the simulator. Bare Pingora
//! has the gateway's accept loop and its settings for upstream connections: the gateway's own work is the only difference. A second
//! tollgate has every kind of quota, in tokens and in money, and a ledger on disk: what that adds is a ratio of its own.
//!
//! A word after `--` measures only what is named so: `cargo bench --bench proxy -- "1 KB"`. `TOLLGATE=path` measures another build,
//! or a wrapper that starts one under a profiler; `ROUNDS=1` then measures for no longer than that can bear.

#[path = "proxy/children.rs"]
mod children;
#[path = "proxy/load.rs"]
mod load;
#[path = "proxy/process.rs"]
mod process;
#[path = "proxy/report.rs"]
mod report;
#[path = "proxy/roles.rs"]
mod roles;
#[path = "proxy/statistics.rs"]
mod statistics;

use std::{env, path::Path, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};

use self::{
    children::World,
    load::{Shape, Times},
    report::{CPU_TARGETS, Figures, LIMITED, Memory},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS_DEFAULT: usize = 9;
/// A process's luck with where its code and its memory lie lasts as long as it does, and makes a sixth: so others take its place.
const ROUNDS_OF_A_PROCESS: usize = 3;
/// How long a charge waits for others, as configured by default.
const COMMIT_MAX: Duration = Duration::from_millis(200);
/// Streams that are open at once while memory is looked at.
const OPEN_STREAMS: usize = 500;

fn main() -> anyhow::Result<()> {
    roles::play::<false, _>("proxy", measure)
}

async fn measure(filter: Option<String>) -> anyhow::Result<()> {
    let mut world = World::start().await?;
    let shapes: Vec<Shape> =
        load::shapes().into_iter().filter(|shape| filter.as_ref().is_none_or(|filter| shape.name.contains(filter))).collect();
    let mut figures: Vec<Figures> = shapes.iter().map(|_| Figures::default()).collect();
    let mut sha256 = Vec::new();
    let rounds = env::var("ROUNDS").map_or(Ok(ROUNDS_DEFAULT), |text| text.parse())?;
    for round in 0..rounds {
        if round > 0 && round % ROUNDS_OF_A_PROCESS == 0 {
            world = World::start().await?;
        }
        sha256.push(cpu_of_sha256()?);
        for (shape, figures) in shapes.iter().zip(&mut figures) {
            cpu_round(&world, shape, round, figures).await?;
            latency_round(&world, shape, figures).await?;
        }
    }
    drop(world);
    let memory = if filter.is_none() { Some([memory("bare").await?, memory("tollgate").await?]) } else { None };
    report::print(&shapes, &figures, &sha256, memory.as_ref());
    Ok(())
}

/// One figure for each proxy, in an order that changes from round to round.
async fn cpu_round(world: &World, shape: &Shape, round: usize, figures: &mut Figures) -> anyhow::Result<()> {
    let mut order: Vec<(usize, &str)> = CPU_TARGETS.into_iter().enumerate().collect();
    order.rotate_left(round % CPU_TARGETS.len());
    let mut measured = [0.0; CPU_TARGETS.len()];
    for (index, name) in order {
        let target = world.target(name);
        let mut connections = load::connect(target, shape.connections).await?;
        load::closed_loop(&mut connections, target, shape, 2 * shape.connections).await?;
        until_written(name).await;
        let before = process::cpu(target.process)?;
        load::closed_loop(&mut connections, target, shape, shape.cpu_requests).await?;
        until_written(name).await;
        let used = process::cpu(target.process)?.saturating_sub(before);
        measured[index] = used.as_secs_f64() * 1e6 / shape.cpu_requests as f64;
    }
    figures.cpu_us.push(measured);
    Ok(())
}

/// What is written to the ledger counts with the requests that it is about.
async fn until_written(name: &str) {
    if name == LIMITED {
        tokio::time::sleep(2 * COMMIT_MAX).await;
    }
}

/// One request after the other, each target in turn, so that what disturbs one disturbs all.
async fn latency_round(world: &World, shape: &Shape, figures: &mut Figures) -> anyhow::Result<()> {
    let mut connections = Vec::new();
    for (target, _) in world.targets.iter().zip(&figures.times) {
        let mut connection = load::connect(target, 1).await?;
        load::closed_loop(&mut connection, target, &shape.at_once(), 5).await?;
        connections.extend(connection);
    }
    let shape = shape.at_once();
    for _ in 0..shape.latency_requests {
        for ((target, connection), times) in world.targets.iter().zip(&mut connections).zip(&mut figures.times) {
            times.push(load::exchange(connection, target, &shape).await?);
        }
    }
    Ok(())
}

/// Resident memory of a fresh process, idle and with streams that have begun and do not go on.
async fn memory(name: &str) -> anyhow::Result<Memory> {
    let world = World::start().await?;
    let target = world.target(name);
    let idle_kib = process::resident_kib(target.process)?;
    let mut connections = load::connect(target, OPEN_STREAMS).await?;
    let mut streams = Vec::new();
    for connection in &mut connections {
        streams.push(load::begin_stream(connection, target).await?);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let open_kib = process::resident_kib(target.process)?;
    drop(streams);
    Ok(Memory { idle_kib, stream_kib: open_kib.saturating_sub(idle_kib) as f64 / OPEN_STREAMS as f64 })
}

/// CPU microseconds of one SHA-256 over 1 MB, in the chunks that bodies arrive in.
fn cpu_of_sha256() -> anyhow::Result<f64> {
    const TIMES: u32 = 50;
    let body = load::converse_body(1_000_000);
    let before = thread_cpu()?;
    for _ in 0..TIMES {
        std::hint::black_box(digest(&SHA256, std::hint::black_box(&body)));
    }
    Ok((thread_cpu()? - before).as_secs_f64() * 1e6 / f64::from(TIMES))
}

/// CPU time of this thread.
fn thread_cpu() -> anyhow::Result<Duration> {
    // The kernel brings the figure up to date when the thread leaves the CPU.
    std::thread::sleep(Duration::from_millis(1));
    process::task_cpu(Path::new("/proc/thread-self"))
}

/// Every exchange of a target with one shape.
type Exchanges = Vec<Times>;
