//! What the kernel says of a process.

use std::{fs, path::Path, time::Duration};

use anyhow::Context;

/// CPU time of all threads, to the nanosecond (`/proc/PID/stat` counts hundredths of a second).
pub fn cpu(process: u32) -> anyhow::Result<Duration> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).context("the process has ended")?;
    tasks.map(|task| task_cpu(&task?.path())).sum()
}

/// CPU time of one thread.
pub fn task_cpu(task: &Path) -> anyhow::Result<Duration> {
    let text = fs::read_to_string(task.join("schedstat")).context("the kernel has no schedstat")?;
    let nanoseconds = text.split(' ').next().unwrap_or_default().parse()?;
    Ok(Duration::from_nanos(nanoseconds))
}

/// Resident memory in KiB.
pub fn resident_kib(process: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
