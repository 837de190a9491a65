//! Where the demo leaves what `tollgate token` needs: a directory that only this user can read. In a shared temporary directory
//! anybody may have been there first, so it is not trusted before its owner and mode are known.

use std::{
    fs::{self, DirBuilder, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// The private key of the demo's issuer, in the demo's directory.
const ISSUER_KEY_FILE: &str = "issuer-key.pem";

/// `$XDG_RUNTIME_DIR/tollgate-demo`, or `tollgate-demo-UID` in the temporary directory. It may not exist.
pub fn demo_directory() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
        Some(runtime) if runtime.is_absolute() && runtime.is_dir() => runtime.join("tollgate-demo"),
        _ => std::env::temp_dir().join(format!("tollgate-demo-{}", user_id())),
    }
}

/// Where the demo's issuer key is kept by default.
pub fn issuer_key_file() -> PathBuf {
    demo_directory().join(ISSUER_KEY_FILE)
}

/// Makes `directory` with mode 0700, or accepts it if it is this user's and nobody else's.
///
/// # Errors
/// It cannot be made, is a link, or is not private.
pub fn create_private_directory(directory: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = fs::symlink_metadata(directory)?;
    if !found.is_dir() || found.uid() != user_id() {
        let refused = format!("{} is not a directory of this user", directory.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, refused));
    }
    fs::set_permissions(directory, Permissions::from_mode(0o700))
}

/// Writes `contents` to `file` with mode 0600, replacing what is there at once.
///
/// # Errors
/// The file cannot be written beside its final place, or not be renamed to it; or what is there is a device, a pipe or a directory.
pub fn write_private_file(file: &Path, contents: &[u8]) -> io::Result<()> {
    if fs::metadata(file).is_ok_and(|found| !found.is_file()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is something that is no regular file"));
    }
    let mut beside = file.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(beside);
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    written.write_all(contents)?;
    written.sync_all()?;
    fs::rename(&beside, file)
}

/// The user this process runs as. `/proc/self` belongs to it; elsewhere the home directory does.
fn user_id() -> u32 {
    let own = fs::metadata("/proc/self").or_else(|_| fs::metadata(std::env::home_dir().unwrap_or_default()));
    own.map(|own| own.uid()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn directories_and_files_are_private() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("demo");
        create_private_directory(&directory).unwrap();
        fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
        create_private_directory(&directory).unwrap();
        let file = directory.join("key.pem");
        for contents in ["one", "two"] {
            write_private_file(&file, contents.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), contents);
        }
        assert_eq!((mode(&directory), mode(&file)), (0o700, 0o600));
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    }

    #[test]
    fn links_and_files_are_not_taken_for_the_directory() {
        let root = tempfile::tempdir().unwrap();
        let (link, file) = (root.path().join("link"), root.path().join("file"));
        std::os::unix::fs::symlink(root.path(), &link).unwrap();
        fs::write(&file, "").unwrap();
        assert!(create_private_directory(&link).is_err() && create_private_directory(&file).is_err());
    }

    #[test]
    fn a_link_in_the_place_of_a_file_is_replaced_and_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let (link, target) = (root.path().join("link"), root.path().join("target"));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        write_private_file(&link, b"secret").unwrap();
        assert!(!target.exists() && fs::symlink_metadata(&link).unwrap().is_file());
    }
}
