//! Noticing that the configuration changed. The directory is watched, not the file: editors, configuration management and Kubernetes
//! replace files and links instead of writing into them. One that is written into is read when its writer has closed it: half of it may
//! permit what the whole forbids.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use aws_lc_rs::digest::{Context, SHA256};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::{
    sync::{mpsc, watch},
    task::spawn_blocking,
    time::{sleep, timeout},
};

use super::{
    chronicle::{Prints, prints},
    reload::Reloader,
    writing::{Stage, Writing},
};
use crate::config::contents;

/// Several files change together; reading waits until it has been quiet for so long.
const QUIET: Duration = Duration::from_millis(250);
/// Looks are at least so far apart.
const GATHER: Duration = Duration::from_millis(100);
/// For file systems that tell nobody of changes, and as long a quiet there counts as the writer's end.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A look, with all that a reload waits for, hardly takes longer.
const LOOK_MAX: Duration = Duration::from_secs(60);

/// What files contain, in short.
pub(super) type Fingerprint = Vec<u8>;

/// Reloads whenever the contents of the configuration or of a file it names change, until `ending` is true. The directories of named files
/// are not watched: a renewed certificate is noticed at the next look, and so is what a refused configuration waits for, a file that was
/// not there yet.
pub(super) fn follow_file(reloader: Arc<Reloader>, mut ending: watch::Receiver<bool>) {
    let (tell, mut told) = mpsc::channel(1);
    let writing = Arc::new(Mutex::new(Writing::default()));
    let (heard, hear) = (writing.clone(), tell.clone());
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.map_or(true, |event| lock(&heard).hear(&event)) {
            // One waiting message is enough: what follows it is read with it.
            let _ = hear.try_send(());
        }
    });
    let watcher = watcher.inspect_err(not_watched).ok();
    let seen = reloader.seen();
    let mut follower = Follower { reloader, watcher, watched: Vec::new(), writing, seen, refused_for: None, unread: None };
    if let Err(error) = follower.watch(directories(follower.reloader.path())) {
        not_watched(&error);
    }
    let following = tokio::spawn(async move {
        // Without a watcher nobody else has it, and there is no news.
        let _tell = tell;
        // Starting takes time, in an upgrade most of all; what changed meanwhile is looked for at once.
        let mut patience = Duration::ZERO;
        loop {
            tokio::select! {
                _ = timeout(patience, told.recv()) => {}
                _ = ending.wait_for(|&ends| ends) => return,
            }
            // Other files of the directory, a ledger's, may change all the time.
            sleep(GATHER).await;
            while told.try_recv().is_ok() {}
            patience = follower.look_patiently().await;
        }
    });
    tokio::spawn(async move {
        if following.await.is_err_and(|error| error.is_panic()) {
            tracing::error!("changes of the configuration's files are not noticed any more; SIGHUP reloads it");
        }
    });
}

fn not_watched(error: &notify::Error) {
    let what = "the configuration's directory is not watched; its files are looked at every few seconds";
    // Not whose: those of all containers of a node count together, by user.
    let limit = match &error.kind {
        notify::ErrorKind::Io(io) if io.raw_os_error() == Some(libc::EMFILE) => "fs.inotify.max_user_instances",
        notify::ErrorKind::MaxFilesWatch => "fs.inotify.max_user_watches",
        _ => return tracing::warn!(%error, "{what}"),
    };
    tracing::warn!(%error, limit, "{what}; the machine's `{limit}` may be too low");
}

struct Follower {
    reloader: Arc<Reloader>,
    /// Without one, changes are found by looking.
    watcher: Option<RecommendedWatcher>,
    watched: Vec<Directory>,
    writing: Arc<Mutex<Writing>>,
    seen: Prints,
    /// The problems of what is seen, if it was refused.
    refused_for: Option<String>,
    unread: Option<Unread>,
}

/// Contents that wait for their writer.
struct Unread {
    prints: Prints,
    since: Instant,
    said: bool,
}

/// A directory by its real path, and what tells it from another that takes its place: device and inode.
#[derive(Clone, PartialEq, Eq)]
struct Directory {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl Follower {
    /// [`Follower::look`]; says so if that does not come to an end, as on a file system whose server is gone.
    async fn look_patiently(&mut self) -> Duration {
        let mut look = pin!(self.look());
        if let Ok(patience) = timeout(LOOK_MAX, &mut look).await {
            return patience;
        }
        tracing::warn!("the configuration's files cannot be looked at; until they can, no change of them is noticed");
        let patience = look.await;
        tracing::info!("the configuration's files can be looked at again");
        patience
    }

    /// Reloads if something is different and finished; says how long to wait for news until the next look.
    async fn look(&mut self) -> Duration {
        self.watch_what_took_its_place().await;
        let begun = Instant::now();
        let files: Vec<PathBuf> = self.reloader.seen().into_iter().map(|(file, _)| file).collect();
        let now = prints(&files).await;
        if now == self.seen {
            self.unread = None;
            if !self.is_refused_otherwise().await {
                lock(&self.writing).forget(begun);
                return LOOK_EVERY;
            }
        }
        sleep(QUIET).await;
        if prints(&files).await != now {
            return Duration::ZERO;
        }
        if let Some(patience) = self.unfinished(&now).await {
            return patience;
        }
        (self.refused_for, self.unread) = (None, None);
        // Before it is read: what comes while it is being refused is another state than the refused one.
        let problems = self.reloader.problems().await;
        // What was seen is never newer than what was read; the new configuration may name other files.
        self.seen = if self.reloader.reload().await {
            self.reloader.seen()
        } else {
            self.refused_for = Some(problems);
            now
        };
        lock(&self.writing).forget(begun);
        LOOK_EVERY
    }

    async fn is_refused_otherwise(&self) -> bool {
        match &self.refused_for {
            Some(problems) => self.reloader.problems().await != *problems,
            None => false,
        }
    }

    /// How long to wait for the writer of a file that is different; nothing if all of them are done.
    async fn unfinished(&mut self, now: &Prints) -> Option<Duration> {
        let unread = match self.unread.take().filter(|unread| unread.prints == *now) {
            Some(unread) => unread,
            None => Unread { prints: now.clone(), since: Instant::now(), said: false },
        };
        let unread = self.unread.insert(unread);
        let steady = unread.since.elapsed();
        let mut patience = Duration::ZERO;
        for (file, _) in now.iter().filter(|changed| !self.seen.contains(changed)) {
            // What is not there has no writer.
            let Ok(real) = tokio::fs::canonicalize(file).await else { continue };
            let stage = lock(&self.writing).stage(&real);
            let wait = match stage {
                Stage::Finished => continue,
                Stage::Untold => LOOK_EVERY.saturating_sub(steady.max(age(&real).await)),
                Stage::Open => {
                    if steady >= LOOK_EVERY && !std::mem::replace(&mut unread.said, true) {
                        tracing::warn!(file = %file.display(), "still being written; it is read when its writer closes it, or at SIGHUP");
                    }
                    LOOK_EVERY
                }
            };
            patience = patience.max(wait);
        }
        (!patience.is_zero()).then_some(patience)
    }

    /// A link may lead to another directory than before, or another have been moved there.
    async fn watch_what_took_its_place(&mut self) {
        let path = self.reloader.path().to_owned();
        let Ok(there) = spawn_blocking(move || directories(&path)).await else { return };
        if there != self.watched
            && let Err(error) = self.watch(there)
        {
            not_watched(&error);
        }
    }

    fn watch(&mut self, there: Vec<Directory>) -> notify::Result<()> {
        let before = std::mem::replace(&mut self.watched, there);
        let Some(watcher) = &mut self.watcher else { return Ok(()) };
        for gone in before.iter().filter(|directory| !self.watched.contains(directory)) {
            // It may be gone altogether.
            let _ = watcher.unwatch(&gone.path);
            lock(&self.writing).lose(&gone.path);
        }
        let new = self.watched.iter().filter(|directory| !before.contains(directory));
        new.filter(|directory| directory.identity.is_some())
            .try_for_each(|directory| watcher.watch(&directory.path, RecursiveMode::NonRecursive))
    }
}

/// Where the file is, and where it really is, if that is another directory.
fn directories(path: &Path) -> Vec<Directory> {
    let named = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let named = fs::canonicalize(named).unwrap_or_else(|_| named.to_owned());
    let real = fs::canonicalize(path).ok().and_then(|target| target.parent().map(Path::to_owned));
    let real = real.filter(|real| *real != named);
    let identify = |path: PathBuf| {
        let identity = fs::metadata(&path).ok().map(|found| (found.dev(), found.ino()));
        Directory { path, identity }
    };
    [Some(named), real].into_iter().flatten().map(identify).collect()
}

/// Since the file was last written. One from the future is not old.
async fn age(file: &Path) -> Duration {
    let written = tokio::fs::metadata(file).await.and_then(|found| found.modified());
    written.ok().and_then(|written| written.elapsed().ok()).unwrap_or_default()
}

fn lock(writing: &Mutex<Writing>) -> MutexGuard<'_, Writing> {
    writing.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Of the contents of all files; one that cannot be read counts as one without contents.
pub(super) async fn fingerprint(files: &[PathBuf]) -> Fingerprint {
    let mut sum = Context::new(&SHA256);
    for file in files {
        let file = file.clone();
        let contents = spawn_blocking(move || contents(&file)).await.ok().and_then(Result::ok);
        sum.update(&contents.as_ref().map_or(u64::MAX, |contents| contents.len() as u64).to_be_bytes());
        sum.update(&contents.unwrap_or_default());
    }
    sum.finish().as_ref().to_vec()
}
