//! Who is writing: what the file system tells of a directory's files, so that one that is written into is read when its writer is
//! done with it. Does not look at what is in them.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use notify::{
    Event, EventKind,
    event::{AccessKind, AccessMode, ModifyKind},
};

/// What was told of files, by their real paths.
#[derive(Default)]
pub(super) struct Writing {
    /// Written into and not closed since.
    open: HashSet<PathBuf>,
    /// Closed by their writers, or put where they are.
    finished: HashMap<PathBuf, Instant>,
    /// When a link or a directory last took another's place: what is reached by way of it was finished before.
    relinked: Option<Instant>,
}

/// How far a file's writer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The file is being written.
    Open,
    /// Its writer is done.
    Finished,
    /// Nobody said.
    Untold,
}

impl Writing {
    /// Takes note of an event; false if it is none of a change. Reading is an event too: following it up by reading would never end.
    pub fn hear(&mut self, event: &Event) -> bool {
        if event.need_rescan() {
            // Some were lost, and with them the news that a writer is done.
            *self = Writing::default();
            return true;
        }
        match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => self.finish(&event.paths),
            EventKind::Access(_) => return false,
            EventKind::Modify(ModifyKind::Data(_)) => self.begin(&event.paths),
            EventKind::Modify(ModifyKind::Name(_)) => self.place(&event.paths, true),
            EventKind::Create(_) | EventKind::Remove(_) => self.place(&event.paths, false),
            _ => {}
        }
        true
    }

    fn begin(&mut self, files: &[PathBuf]) {
        for file in files {
            self.finished.remove(file);
            // Elsewhere nobody tells when a file is closed.
            if cfg!(target_os = "linux") {
                self.open.insert(file.clone());
            }
        }
    }

    fn finish(&mut self, files: &[PathBuf]) {
        for file in files {
            self.open.remove(file);
            self.finished.insert(file.clone(), Instant::now());
        }
    }

    /// Something came there or went away from there, whole. A directory that was made there is yet to be filled.
    fn place(&mut self, paths: &[PathBuf], moved: bool) {
        self.finish(paths);
        let is_way = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink() || moved && found.is_dir());
        if paths.iter().any(is_way) {
            self.relinked = Some(Instant::now());
        }
    }

    /// How far the writer of a file is, by its real path.
    pub fn stage(&self, file: &Path) -> Stage {
        if self.open.contains(file) {
            Stage::Open
        } else if self.relinked.is_some() || self.finished.contains_key(file) {
            Stage::Finished
        } else {
            Stage::Untold
        }
    }

    /// What was finished before `read` has been read.
    pub fn forget(&mut self, read: Instant) {
        self.finished.retain(|_, at| *at >= read);
        self.relinked = self.relinked.filter(|at| *at >= read);
    }

    /// Nothing is told any more of what is open in `directory`.
    pub fn lose(&mut self, directory: &Path) {
        self.open.retain(|file| file.parent() != Some(directory));
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, DataChange, Flag, MetadataKind, RenameMode};

    use super::*;

    const WRITTEN: EventKind = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    const CLOSED: EventKind = EventKind::Access(AccessKind::Close(AccessMode::Write));
    const MOVED_HERE: EventKind = EventKind::Modify(ModifyKind::Name(RenameMode::To));

    fn heard(kinds: &[EventKind]) -> Stage {
        let mut writing = Writing::default();
        for kind in kinds {
            writing.hear(&Event::new(*kind).add_path("/c/tollgate.toml".into()));
        }
        writing.stage(Path::new("/c/tollgate.toml"))
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_file_is_finished_when_its_writer_closes_it_or_another_takes_its_place() {
        let read = EventKind::Access(AccessKind::Close(AccessMode::Read));
        let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
        let touched = EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any));
        let created = EventKind::Create(CreateKind::File);
        for (kinds, stage) in [
            (&[][..], Stage::Untold),
            (&[touched, opened, read], Stage::Untold),
            (&[WRITTEN], Stage::Open),
            (&[WRITTEN, opened, read, touched], Stage::Open),
            (&[WRITTEN, CLOSED], Stage::Finished),
            (&[WRITTEN, CLOSED, WRITTEN], Stage::Open),
            (&[created, WRITTEN], Stage::Open),
            (&[created, WRITTEN, CLOSED], Stage::Finished),
            (&[created], Stage::Finished),
            (&[WRITTEN, MOVED_HERE], Stage::Finished),
        ] {
            assert_eq!(heard(kinds), stage, "{kinds:?}");
        }
    }

    #[test]
    fn only_what_was_told_before_the_reading_is_forgotten() {
        let mut writing = Writing::default();
        let file = Path::new("/c/tollgate.toml");
        let begun = Instant::now();
        writing.hear(&Event::new(CLOSED).add_path(file.into()));
        writing.forget(begun);
        assert_eq!(writing.stage(file), Stage::Finished);
        writing.forget(Instant::now() + std::time::Duration::from_secs(1));
        assert_eq!(writing.stage(file), Stage::Untold);
    }

    #[test]
    fn lost_events_leave_nobody_waiting_for_a_writer() {
        let mut writing = Writing::default();
        let file = Path::new("/c/tollgate.toml");
        writing.hear(&Event::new(WRITTEN).add_path(file.into()));
        assert!(writing.hear(&Event::new(EventKind::Other).set_flag(Flag::Rescan)));
        assert_eq!(writing.stage(file), Stage::Untold);
        writing.hear(&Event::new(WRITTEN).add_path(file.into()));
        writing.lose(Path::new("/c"));
        assert_eq!(writing.stage(file), Stage::Untold);
    }

    #[test]
    fn a_link_that_changes_finishes_what_it_leads_to_and_a_new_directory_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let (link, made) = (directory.path().join("..data"), directory.path().join("new"));
        std::os::unix::fs::symlink("elsewhere", &link).unwrap();
        fs::create_dir(&made).unwrap();
        for (kind, path, stage) in [
            (MOVED_HERE, &link, Stage::Finished),
            (EventKind::Create(CreateKind::Any), &link, Stage::Finished),
            (MOVED_HERE, &made, Stage::Finished),
            (EventKind::Create(CreateKind::Folder), &made, Stage::Untold),
        ] {
            let mut writing = Writing::default();
            writing.hear(&Event::new(kind).add_path(path.clone()));
            assert_eq!(writing.stage(Path::new("/far/away")), stage, "{kind:?} {path:?}");
        }
    }
}
