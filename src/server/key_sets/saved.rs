//! The last good keys on disk, for a start while their issuer is out. Who can write the file says whose tokens are good, so it is
//! private to the gateway's user, and one that was changed by halves, moved, or made for another issuer is not believed.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    auth::{fingerprint::Fingerprint, key_set::KEY_SET_BYTES_MAX},
    aws::canonical::hex,
    config::KeyOrigin,
};

/// A key set is a string in the file: every byte of it may be escaped as `\u0000`.
const FILE_BYTES_MAX: u64 = 6 * KEY_SET_BYTES_MAX as u64 + 4_096;

/// What the file holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    issuer: String,
    origin: String,
    fetched_at_unix_seconds: u64,
    key_set: String,
    /// Over all of the above.
    sha256: String,
}

/// Why a saved key set is not used.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the texts say it
pub(super) enum SavedError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it is not a regular file that only the gateway's user can write")]
    NotPrivate,
    #[error("it is not what was written: its hash is another")]
    Changed,
    #[error("it was made for another issuer or another place")]
    OtherIssuer,
}

/// Puts a key set in the place of the one before it: all of it, or nothing.
pub(super) fn write(directory: &Path, issuer: &str, origin: &KeyOrigin, json: &[u8], now: SystemTime) -> io::Result<()> {
    let key_set = String::from_utf8(json.to_vec()).map_err(|_| io::Error::other("the key set is not UTF-8"))?;
    let mut saved = Saved {
        issuer: issuer.to_owned(),
        origin: place(origin),
        fetched_at_unix_seconds: now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        key_set,
        sha256: String::new(),
    };
    saved.sha256 = saved.hash();
    create(directory)?;
    let path = path(directory, issuer, origin);
    let new = path.with_extension("new");
    // Left by a run that was killed while it wrote.
    let _ = fs::remove_file(&new);
    let mut file = private(&new)?;
    file.write_all(&serde_json::to_vec(&saved)?)?;
    file.sync_all()?;
    fs::rename(&new, &path)
}

/// The key set that was saved last, and when it was fetched; nothing if none was.
pub(super) fn read(directory: &Path, issuer: &str, origin: &KeyOrigin) -> Result<Option<(Vec<u8>, SystemTime)>, SavedError> {
    let path = path(directory, issuer, origin);
    match fs::symlink_metadata(&path) {
        Ok(metadata) if !is_private(&metadata) => return Err(SavedError::NotPrivate),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let mut json = Vec::new();
    File::open(&path)?.take(FILE_BYTES_MAX).read_to_end(&mut json)?;
    let saved: Saved = serde_json::from_slice(&json).map_err(|_| SavedError::Changed)?;
    if saved.sha256 != saved.hash() {
        return Err(SavedError::Changed);
    }
    if saved.issuer != issuer || saved.origin != place(origin) {
        return Err(SavedError::OtherIssuer);
    }
    let at = UNIX_EPOCH.checked_add(Duration::from_secs(saved.fetched_at_unix_seconds)).ok_or(SavedError::Changed)?;
    Ok(Some((saved.key_set.into_bytes(), at)))
}

impl Saved {
    fn hash(&self) -> String {
        let Saved { issuer, origin, fetched_at_unix_seconds, key_set, sha256: _ } = self;
        let mut fingerprint = Fingerprint::new();
        fingerprint.add(issuer.as_bytes());
        fingerprint.add(origin.as_bytes());
        fingerprint.add(&fetched_at_unix_seconds.to_be_bytes());
        fingerprint.add(key_set.as_bytes());
        hex(&fingerprint.finish())
    }
}

/// A name of its own for every issuer and place: what people may call an issuer is no file name.
fn path(directory: &Path, issuer: &str, origin: &KeyOrigin) -> PathBuf {
    let readable: String = issuer.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '_').take(32).collect();
    let mut fingerprint = Fingerprint::new();
    fingerprint.add(issuer.as_bytes());
    fingerprint.add(place(origin).as_bytes());
    let hash = hex(&fingerprint.finish());
    directory.join(format!("key-set-{readable}-{}.json", hash.get(..16).unwrap_or_default()))
}

fn place(origin: &KeyOrigin) -> String {
    match origin {
        KeyOrigin::File(file) => format!("file {}", file.display()),
        KeyOrigin::Url(url) => format!("url {url}"),
        KeyOrigin::Discovery(issuer) => format!("discovery {issuer}"),
    }
}

#[cfg(unix)]
fn create(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

#[cfg(not(unix))]
fn create(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)
}

#[cfg(unix)]
fn private(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

#[cfg(unix)]
fn is_private(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.is_file() && metadata.permissions().mode() & 0o022 == 0
}

#[cfg(not(unix))]
fn is_private(metadata: &fs::Metadata) -> bool {
    metadata.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &[u8] = b"{\"keys\":[\"\\u00e9\"]}";

    fn at() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_795_305_600)
    }

    fn url(url: &str) -> KeyOrigin {
        KeyOrigin::Url(url.to_owned())
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else_is() {
        let directory = tempfile::tempdir().unwrap();
        let here = url("https://a.example/keys");
        assert!(read(directory.path(), "corp", &here).unwrap().is_none());
        write(directory.path(), "corp", &here, b"{}", at()).unwrap();
        write(directory.path(), "corp", &here, KEYS, at()).unwrap(); // in its place
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        assert_eq!(read(directory.path(), "corp", &here).unwrap().unwrap(), (KEYS.to_vec(), at()));
        for (name, origin) in [("corp2", &here), ("corp", &url("https://b.example/keys"))] {
            assert!(read(directory.path(), name, origin).unwrap().is_none());
            let moved = path(directory.path(), name, origin);
            fs::copy(path(directory.path(), "corp", &here), moved).unwrap();
            assert!(matches!(read(directory.path(), name, origin), Err(SavedError::OtherIssuer)));
        }
        let elsewhere = path(directory.path(), "../../etc/x", &here);
        assert_eq!(elsewhere.parent(), Some(directory.path()));
    }

    #[test]
    fn a_byte_changed_anywhere_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let origin = KeyOrigin::Discovery("https://a.example".to_owned());
        write(directory.path(), "corp", &origin, KEYS, at()).unwrap();
        let path = path(directory.path(), "corp", &origin);
        let good = fs::read(&path).unwrap();
        for place in 0..good.len() {
            let mut bad = good.clone();
            bad[place] ^= 1;
            fs::write(&path, &bad).unwrap();
            assert!(read(directory.path(), "corp", &origin).is_err(), "byte {place}");
            fs::write(&path, &good[..place]).unwrap();
            assert!(read(directory.path(), "corp", &origin).is_err(), "cut at {place}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn files_are_private() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let origin = url("https://a.example/keys");
        write(directory.path(), "corp", &origin, KEYS, at()).unwrap();
        let path = path(directory.path(), "corp", &origin);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).unwrap();
        assert!(matches!(read(directory.path(), "corp", &origin), Err(SavedError::NotPrivate)));
        let target = directory.path().join("target");
        fs::rename(&path, &target).unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        assert!(matches!(read(directory.path(), "corp", &origin), Err(SavedError::NotPrivate)));
    }
}
