//! The processes that this one took over from, as long as their last requests run: what they say is done here.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::{sync::watch, task::JoinHandle};

use super::{
    link::Link,
    message::{FromNew, FromOld},
};
use crate::{
    proxy::custody::Predecessor,
    quota::Now,
    server::account::{AFTERMATH_MAX, Orphans},
    snapshot::Lasting,
};

/// All of them.
pub(in crate::server) struct Predecessors {
    lasting: Arc<Lasting>,
    orphans: Arc<Orphans>,
    served: Mutex<Vec<Served>>,
}

struct Served {
    stop: watch::Sender<bool>,
    /// Ends with the process, or when somebody else is to go on.
    task: JoinHandle<Option<(Predecessor, Link)>>,
}

impl Predecessors {
    pub fn new(lasting: Arc<Lasting>, orphans: Arc<Orphans>) -> Predecessors {
        Predecessors { lasting, orphans, served: Mutex::default() }
    }

    /// How many still run.
    pub fn count(&self) -> usize {
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        served.retain(|one| !one.task.is_finished());
        served.len()
    }

    /// Does what comes on the link, until its process has ended.
    pub fn serve(&self, predecessor: Predecessor, link: Link) {
        let (stop, stopping) = watch::channel(false);
        let (lasting, orphans) = (self.lasting.clone(), self.orphans.clone());
        let task = tokio::spawn(async move {
            let (mut predecessor, mut stopping) = (predecessor, stopping);
            if answer(&mut predecessor, &link, &mut stopping).await {
                return Some((predecessor, link));
            }
            adopt(predecessor, &lasting, &orphans);
            None
        });
        self.served.lock().unwrap_or_else(PoisonError::into_inner).push(Served { stop, task });
    }

    /// Leaves all of them between two calls.
    pub async fn stop(&self) -> Vec<(Predecessor, Link)> {
        let served = std::mem::take(&mut *self.served.lock().unwrap_or_else(PoisonError::into_inner));
        for one in &served {
            one.stop.send_replace(true);
        }
        let mut left = Vec::with_capacity(served.len());
        for one in served {
            left.extend(one.task.await.ok().flatten());
        }
        left
    }
}

/// True if somebody else is to go on; false if the process is gone.
async fn answer(predecessor: &mut Predecessor, link: &Link, stopping: &mut watch::Receiver<bool>) -> bool {
    loop {
        let said = tokio::select! {
            biased;
            _ = stopping.wait_for(|&stop| stop) => return true,
            said = link.receive::<FromOld>() => said,
        };
        let call = match said {
            Ok(Some((FromOld::Call(call), _))) => call,
            Ok(None) => return false,
            Ok(Some(_)) | Err(_) => {
                tracing::error!(
                    "a former process said something that is not understood; what it still runs is charged by estimate"
                );
                return false;
            }
        };
        if let Some(reply) = predecessor.answer(call).await {
            // One that is gone by now is noticed at the next look.
            let _ = link.send(&FromNew::Reply(reply)).await;
        }
    }
}

/// As after a kill: what it ran is held for a while, and then charged by estimate; what is held no more, right away.
fn adopt(predecessor: Predecessor, lasting: &Lasting, orphans: &Orphans) {
    let (open, now) = (predecessor.into_open(), Now::read());
    if !open.is_empty() {
        tracing::warn!(requests = open.len(), "a former process ended before its requests did");
    }
    for (id, open) in open {
        let Ok(id) = id.parse() else { continue };
        // Known before anybody sees its hold expire.
        if let Some(hold) = open.hold {
            orphans.add(id, hold);
        }
        if !lasting.accounts.of(&open.tenant).orphan(id, AFTERMATH_MAX, &now) {
            orphans.expired(id);
        }
    }
}
