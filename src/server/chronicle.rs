//! What was loaded when, and what was different then: for the console. Of files only fingerprints are kept.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;

use super::watch::{Fingerprint, fingerprint};
use crate::{config::Config, console::Reload};

/// Loads that are remembered, the one that is in force and the last that changed something among them.
const RELOADS_MAX: usize = 20;

/// Files and what they contained, in short.
pub(super) type Prints = Vec<(PathBuf, Fingerprint)>;

/// The loads of one process.
pub(super) struct Chronicle(Mutex<Written>);

struct Written {
    started: Timestamp,
    file: PathBuf,
    in_force: Arc<Config>,
    prints: Prints,
    /// The latest first.
    reloads: VecDeque<Reload>,
}

impl Chronicle {
    /// Begins with the configuration that the process starts with.
    pub fn new(config: Config) -> Chronicle {
        let started = Timestamp::now();
        let (file, prints) = Default::default();
        let (changes, files, waiting) = Default::default();
        let first = Reload { at: started, generation: 1, error: None, changes, files, waiting };
        Chronicle(Mutex::new(Written { started, file, in_force: Arc::new(config), prints, reloads: [first].into() }))
    }

    /// Says what it was read from.
    pub fn read_from(&self, file: &Path, prints: Prints) {
        self.with(|written| (written.file, written.prints) = (file.to_owned(), prints));
    }

    /// A configuration came into force, but for what is `waiting`.
    pub fn taken(&self, config: Config, generation: u64, prints: Prints, waiting: Vec<&'static str>) {
        self.with(|written| {
            let before = |file: &PathBuf| written.prints.iter().find(|(known, _)| known == file).map(|(_, print)| print);
            let own = &written.file;
            let different = prints.iter().filter(|(file, print)| file != own && before(file) != Some(print));
            let files = different.map(|(file, _)| file.display().to_string()).collect();
            let changes = written.in_force.written.changes(&config.written);
            (written.in_force, written.prints) = (Arc::new(config), prints);
            written.note(Reload { at: Timestamp::now(), generation, error: None, changes, files, waiting });
        });
    }

    /// A configuration was refused.
    pub fn refused(&self, error: String, generation: u64) {
        let (changes, files, waiting) = Default::default();
        let error = Some(error);
        self.with(|written| written.note(Reload { at: Timestamp::now(), generation, error, changes, files, waiting }));
    }

    /// The configuration in force.
    pub fn in_force(&self) -> Arc<Config> {
        self.with(|written| written.in_force.clone())
    }

    /// When the process began, the file, and the loads, the latest first.
    pub fn told(&self) -> (Timestamp, String, Vec<Reload>) {
        self.with(|written| (written.started, written.file.display().to_string(), written.reloads.iter().cloned().collect()))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Written) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Written {
    fn note(&mut self, reload: Reload) {
        self.reloads.push_front(reload);
        if self.reloads.len() > RELOADS_MAX {
            let kept = [Reload::was_taken, Reload::changed_something].map(|what| self.reloads.iter().position(what));
            let forgotten = (0..self.reloads.len()).rev().find(|at| !kept.contains(&Some(*at)));
            forgotten.and_then(|at| self.reloads.remove(at));
        }
    }
}

/// What files contain now.
pub(super) async fn prints(files: &[PathBuf]) -> Prints {
    let mut prints = Vec::with_capacity(files.len());
    for file in files {
        prints.push((file.clone(), fingerprint(std::slice::from_ref(file)).await));
    }
    prints
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn the_load_that_is_in_force_is_remembered_however_many_were_refused_since() {
        let config = |more: &str| -> Config {
            let text = "listeners = [{ address = \"127.0.0.1:1\" }]\nupstream = { region = \"us-east-1\" }\n";
            config::parse(&format!("{text}{more}"), Path::new("tollgate.toml")).unwrap_or_else(|problems| panic!("{problems}"))
        };
        let chronicle = Chronicle::new(config(""));
        chronicle.taken(config("[log]\naccess = false\n"), 2, Vec::new(), Vec::new());
        chronicle.taken(config("[log]\naccess = false\n"), 3, Vec::new(), Vec::new());
        for _ in 0..2 * RELOADS_MAX {
            chronicle.refused("it is bad".to_owned(), 3);
        }
        let (_, _, reloads) = chronicle.told();
        assert_eq!(reloads.len(), RELOADS_MAX);
        let good: Vec<u64> = reloads.iter().filter(|reload| reload.error.is_none()).map(|reload| reload.generation).collect();
        assert_eq!(good, [3, 2], "in force, and the last that changed something");
    }
}
