//! Noticing that the configuration changed. The directory is watched, not the file: editors, configuration management and Kubernetes
//! replace files and links instead of writing into them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::digest::{Context, SHA256};
use notify::{EventKind, RecursiveMode, Watcher};
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use super::reload::Reloader;

/// Writers write more than once; reading waits until it has been quiet for so long.
const QUIET: Duration = Duration::from_millis(250);
/// Looks are at least so far apart.
const GATHER: Duration = Duration::from_millis(100);
/// For file systems that tell nobody of changes.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What files contain, in short.
pub(super) type Fingerprint = Vec<u8>;

/// Reloads whenever the contents of the configuration or of a file it names change, until `ending` is true; `seen` is what they
/// contained when they were first read. The directories of named files are not watched: a renewed certificate is noticed at the next look,
/// and so is what a refused configuration waits for, a file that was not there yet.
pub(super) fn follow_file(
    reloader: Arc<Reloader>,
    mut seen: Fingerprint,
    mut ending: watch::Receiver<bool>,
) -> notify::Result<()> {
    let (tell, mut told) = mpsc::channel(1);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading is an event too: following it up by reading would never end.
        if !matches!(event, Ok(notify::Event { kind: EventKind::Access(_), .. })) {
            // One waiting message is enough: what follows it is read with it.
            let _ = tell.try_send(());
        }
    })?;
    let path = reloader.path().to_owned();
    watcher.watch(directory(&path), RecursiveMode::NonRecursive)?;
    if let Ok(target) = path.canonicalize()
        && directory(&target) != directory(&path)
    {
        watcher.watch(directory(&target), RecursiveMode::NonRecursive)?;
    }
    tokio::spawn(async move {
        let _watcher = watcher;
        // Starting takes time, in an upgrade most of all; what changed meanwhile is looked for at once.
        let mut patience = Duration::ZERO;
        let mut refused_for = None;
        loop {
            tokio::select! {
                _ = timeout(patience, told.recv()) => {}
                _ = ending.wait_for(|&ends| ends) => return,
            }
            patience = LOOK_EVERY;
            // Other files of the directory, a ledger's, may change all the time.
            sleep(GATHER).await;
            while told.try_recv().is_ok() {}
            let mut now = fingerprint(&reloader.files()).await;
            if now == seen {
                match &refused_for {
                    Some(problems) if reloader.problems().await != *problems => {}
                    _ => continue,
                }
            }
            // Wait until two looks in a row agree: a file half written is not read.
            loop {
                sleep(QUIET).await;
                let later = fingerprint(&reloader.files()).await;
                if later == now {
                    break;
                }
                now = later;
            }
            while told.try_recv().is_ok() {}
            let files = reloader.files();
            refused_for = if reloader.reload().await { None } else { Some(reloader.problems().await) };
            // The new configuration may name other files; those were read just now.
            seen = if reloader.files() == files { now } else { fingerprint(&reloader.files()).await };
        }
    });
    Ok(())
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Of the contents of all files; one that cannot be read counts as one without contents.
pub(super) async fn fingerprint(files: &[PathBuf]) -> Fingerprint {
    let mut sum = Context::new(&SHA256);
    for file in files {
        let contents = tokio::fs::read(file).await.ok();
        sum.update(&contents.as_ref().map_or(u64::MAX, |contents| contents.len() as u64).to_be_bytes());
        sum.update(&contents.unwrap_or_default());
    }
    sum.finish().as_ref().to_vec()
}
