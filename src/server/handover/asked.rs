//! What a successor may ask for before anything else is given, and an upgrade can do without: it is said one by one, and then that this was all.

use std::{io, time::Duration};

use anyhow::{Context, bail};
use tokio::time::timeout;

use super::{
    link::Link,
    message::{FromNew, FromOld},
};

/// For the old process to say all of it.
const GIVE_MAX: Duration = Duration::from_secs(20);

/// What a message means to who asked.
pub(super) enum Said<T> {
    /// Another one; nothing if it is not to be had, or not understood.
    One(Option<T>),
    /// That was all.
    All,
    /// Not what was asked for.
    Other,
}

/// The old process's part: each, and that these were `all`. One that is longer than a message may be stays behind; says how many do.
pub(super) async fn give(link: &Link, each: impl IntoIterator<Item = FromOld>, all: &FromOld) -> io::Result<usize> {
    let mut left = 0;
    for message in each {
        match link.send(&message).await {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => left += 1,
            sent => sent?,
        }
    }
    link.send(all).await?;
    Ok(left)
}

/// The new one's.
pub(super) async fn ask<T>(link: &Link, question: &FromNew, mut hear: impl FnMut(FromOld) -> Said<T>) -> anyhow::Result<Vec<T>> {
    link.send(question).await?;
    let given = async {
        let mut all = Vec::new();
        loop {
            match link.receive().await?.map_or(Said::Other, |(message, _)| hear(message)) {
                Said::One(one) => all.extend(one),
                Said::All => return Ok(all),
                Said::Other => bail!("the running gateway has not given what it was asked for ({question:?}); it goes on"),
            }
        }
    };
    timeout(GIVE_MAX, given)
        .await
        .with_context(|| format!("the running gateway does not give what it was asked for ({question:?})"))?
}
