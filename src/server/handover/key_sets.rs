//! The key sets of issuers, given before anything else is: an issuer that is out while a process takes over must not cost its tokens their
//! keys. How old they are goes with them.

use std::io;

use super::{
    asked::{self, Said},
    link::Link,
    message::{FromNew, FromOld},
};
use crate::auth::{HandedKeySet, KeySets};

/// The old process's part.
pub(super) async fn give(link: &Link, key_sets: &KeySets) -> io::Result<()> {
    let each = key_sets.hand_over().into_iter().map(|key_set| FromOld::KeySet(Some(Box::new(key_set))));
    let left = asked::give(link, each, &FromOld::KeySetsGiven).await?;
    if left > 0 {
        tracing::warn!(left, "key sets that are too large to be handed over have to be fetched by the new process");
    }
    Ok(())
}

/// The new one's.
pub(super) async fn ask(link: &Link) -> anyhow::Result<Vec<HandedKeySet>> {
    let hear = |message| match message {
        FromOld::KeySet(key_set) => Said::One(key_set.map(|one| *one)),
        FromOld::KeySetsGiven => Said::All,
        _ => Said::Other,
    };
    asked::ask(link, &FromNew::KeySets, hear).await
}
