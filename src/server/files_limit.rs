//! How many connections the limit on open files leaves room for.

use std::fs;

/// Files that are open whoever is connected: listeners, log, ledger, configuration, and room to breathe.
const OWN_FILES: usize = 256;

/// Connections of clients, each of which may need one to Bedrock. No bound where the limit cannot be told.
pub(super) fn connections_max() -> usize {
    fs::read_to_string("/proc/self/limits").ok().as_deref().and_then(open_files).map_or(usize::MAX, room)
}

fn room(files: usize) -> usize {
    (files.saturating_sub(OWN_FILES) / 2).max(1)
}

/// The soft limit: `Max open files            1024                 524288               files`.
fn open_files(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_shared_between_both_sides() {
        let limits =
            "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 524288               files\n";
        assert_eq!(open_files(limits).map(room), Some(384));
        assert_eq!(open_files("Max open files            unlimited            unlimited            files\n"), None);
        assert_eq!(room(10), 1);
        assert!(!cfg!(target_os = "linux") || connections_max() >= 1);
    }
}
