//! The key sets of issuers, given before anything else is: an issuer that is out while a process takes over must not cost its tokens their
//! keys. How old they are goes with them.

use std::{io, time::Duration};

use anyhow::{Context, bail};
use tokio::time::timeout;

use super::{
    link::Link,
    message::{FromNew, FromOld},
};
use crate::auth::{HandedKeySet, KeySets};

/// For the old process to say all of them.
const GIVE_MAX: Duration = Duration::from_secs(20);

/// The old process's part.
pub(super) async fn give(link: &Link, key_sets: &KeySets) -> io::Result<()> {
    for key_set in key_sets.hand_over() {
        let issuer = key_set.issuer.clone();
        match link.send(&FromOld::KeySet(Some(Box::new(key_set)))).await {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                tracing::warn!(issuer, "the key set is too large to be handed over: the new process has to fetch it");
            }
            sent => sent?,
        }
    }
    link.send(&FromOld::KeySetsGiven).await
}

/// The new one's.
pub(super) async fn ask(link: &Link) -> anyhow::Result<Vec<HandedKeySet>> {
    link.send(&FromNew::KeySets).await?;
    timeout(GIVE_MAX, given(link)).await.context("the running gateway does not give its key sets")?
}

async fn given(link: &Link) -> anyhow::Result<Vec<HandedKeySet>> {
    let mut handed = Vec::new();
    loop {
        match link.receive().await? {
            Some((FromOld::KeySet(key_set), _)) => handed.extend(key_set.map(|one| *one)),
            Some((FromOld::KeySetsGiven, _)) => return Ok(handed),
            _ => bail!("the running gateway has not given its key sets; it goes on"),
        }
    }
}
