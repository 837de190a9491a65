//! Reading the files of a configuration, itself included. Never waits: a named pipe that took a file's place has no end, and no beginning
//! before somebody writes into it. Links are followed.

use std::{
    fs::{self, FileType, Metadata, OpenOptions},
    io::{self, ErrorKind, Read},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::Path,
};

/// Larger than any configuration, list of keys or bundle of certificates; a wrong path may lead to anything.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// What a regular file contains.
///
/// # Errors
/// It cannot be read, is something else than a regular file, or is over 16 MiB ([`ErrorKind::FileTooLarge`]).
pub fn contents(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a device may do something to it.
    refuse_others(&fs::metadata(path)?)?;
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    // Another may have come there in between.
    refuse_others(&file.metadata()?)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(ErrorKind::FileTooLarge, "it is over 16 MiB"));
    }
    Ok(bytes)
}

/// As [`contents`], of a text.
///
/// # Errors
/// Also if it is not UTF-8.
pub fn text(path: &Path) -> io::Result<String> {
    String::from_utf8(contents(path)?).map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is not UTF-8"))
}

fn refuse_others(found: &Metadata) -> io::Result<()> {
    if found.is_file() {
        return Ok(());
    }
    let message = format!("it is {}, not a regular file", kind(found.file_type()));
    Err(io::Error::new(ErrorKind::InvalidInput, message))
}

fn kind(found: FileType) -> &'static str {
    if found.is_dir() {
        "a directory"
    } else if found.is_fifo() {
        "a named pipe"
    } else if found.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::symlink, net::UnixListener};

    use super::*;

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let [pipe, socket, link] = ["pipe", "socket", "link"].map(|name| directory.path().join(name));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let _listens = UnixListener::bind(&socket).unwrap();
        symlink(&pipe, &link).unwrap();
        for (path, kind) in [
            (pipe.as_path(), "a named pipe"),
            (&link, "a named pipe"),
            (&socket, "a socket"),
            (directory.path(), "a directory"),
            (Path::new("/dev/null"), "a device"),
        ] {
            let error = contents(path).unwrap_err().to_string();
            assert_eq!(error, format!("it is {kind}, not a regular file"), "{}", path.display());
        }
    }

    #[test]
    fn links_are_followed_and_size_has_a_bound() {
        let directory = tempfile::tempdir().unwrap();
        let [file, link] = ["file", "link"].map(|name| directory.path().join(name));
        fs::write(&file, "a").unwrap();
        symlink("file", &link).unwrap();
        assert_eq!(text(&link).unwrap(), "a");
        fs::write(&file, [0xff]).unwrap();
        assert_eq!(text(&link).unwrap_err().to_string(), "it is not UTF-8");
        let large = fs::File::options().write(true).open(&file).unwrap();
        large.set_len(FILE_BYTES_MAX).unwrap();
        assert_eq!(contents(&file).unwrap().len() as u64, FILE_BYTES_MAX);
        large.set_len(FILE_BYTES_MAX + 1).unwrap();
        assert_eq!(contents(&file).unwrap_err().kind(), ErrorKind::FileTooLarge);
    }
}
