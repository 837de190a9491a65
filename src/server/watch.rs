//! Noticing that the configuration changed. The directory is watched, not the file: editors, configuration management and Kubernetes
//! replace files and links instead of writing into them.

use std::{path::Path, sync::Arc, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use notify::{EventKind, RecursiveMode, Watcher};
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use super::reload::Reloader;

/// Writers write more than once; reading waits until it has been quiet for so long.
const QUIET: Duration = Duration::from_millis(250);
/// For file systems that tell nobody of changes.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Reloads whenever the file's contents change, until `ending` is true.
pub(super) fn follow_file(reloader: Arc<Reloader>, mut ending: watch::Receiver<bool>) -> notify::Result<()> {
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
        let mut seen = fingerprint(&path).await;
        loop {
            tokio::select! {
                _ = timeout(LOOK_EVERY, told.recv()) => {}
                _ = ending.wait_for(|&ends| ends) => return,
            }
            let mut now = fingerprint(&path).await;
            if now == seen {
                continue;
            }
            // Wait until two looks in a row agree: a file half written is not read.
            loop {
                sleep(QUIET).await;
                let later = fingerprint(&path).await;
                if later == now {
                    break;
                }
                now = later;
            }
            while told.try_recv().is_ok() {}
            seen = now;
            reloader.reload().await;
        }
    });
    Ok(())
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Of the contents; `None` if the file cannot be read.
async fn fingerprint(path: &Path) -> Option<[u8; 32]> {
    let contents = tokio::fs::read(path).await.ok()?;
    digest(&SHA256, &contents).as_ref().try_into().ok()
}
