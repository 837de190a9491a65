//! What the configuration names outside itself: certificates, keys, key sets, secrets. Nothing that is secret gets into a
//! message.

use std::{
    env, fs,
    path::Path,
    time::{Duration, SystemTime},
};

use super::{Check, KeyPath, certificates, credentials, traces, vending};
use crate::config::{Config, KeySetSource, Secret, TlsFiles, contents, mask};

pub(super) fn check(check: &mut Check<'_>, config: &Config, now: SystemTime) {
    for (index, listener) in config.listeners.iter().enumerate() {
        let Some(settings) = &listener.tls else { continue };
        let path = KeyPath::of("listeners").index(index).key("tls");
        for (position, files) in settings.all_certificates().enumerate() {
            let path = match position.checked_sub(1) {
                None => path.clone(),
                Some(more) => path.clone().key("certificates").index(more),
            };
            tls(check, &files, &path, now);
        }
        if let Some(file) = &settings.client_ca_file {
            authorities(check, path.key("client_ca_file"), file);
        }
    }
    if let Some(file) = &config.upstream.ca_file {
        authorities(check, KeyPath::of("upstream").key("ca_file"), file);
    }
    if let Err(problems) = config.prices.book() {
        for (problem, (_, line)) in problems.iter().zip(problems.lines()) {
            let (message, help) = match (&problem.span, &config.prices.file) {
                // Nothing of it was read.
                (None, Some(file)) => (format!("{}: {}", file.display(), problem.message), problem.help.as_str()),
                _ => (line, "`tollgate prices check` shows the place"),
            };
            check.error(KeyPath::of("prices").key("file"), message, help);
        }
    }
    if let Some(keys) = &config.credentials {
        let path = KeyPath::of("credentials");
        secret(check, &path.clone().key("secret_access_key"), &keys.secret_access_key);
        if let Some(token) = &keys.session_token {
            secret(check, &path.key("session_token"), token);
        }
    }
    credentials::files(check, config.credentials.as_ref());
    for (name, issuer) in &config.issuers {
        if let KeySetSource::File(file) = &issuer.key_set {
            key_set(check, &KeyPath::of("issuers").key(name).key("key_set").key("file"), file);
        }
    }
    for (index, key) in config.vending.iter().flat_map(|vending| &vending.sealing_keys).enumerate() {
        secret(check, &KeyPath::of("vending").key("sealing_keys").index(index).key("secret"), &key.secret);
    }
    vending::files(check, config);
    if let Some(traces) = &config.traces {
        let path = KeyPath::of("traces");
        for (name, value) in &traces.headers {
            secret(check, &path.clone().key("headers").key(name), value);
        }
        if let Some(file) = &traces.ca_file {
            authorities(check, path.key("ca_file"), file);
        }
    }
    traces::files(check, config.traces.as_ref());
    if let Some(directory) = &config.state_directory {
        state(check, directory);
    }
    if let Some(keys) = &config.keys {
        privacy(check, &KeyPath::of("keys").key("file"), &keys.file);
    }
}

/// Who can write there says whose tokens are good. A directory that is not there yet is made.
fn state(check: &mut Check<'_>, directory: &Path) {
    let path = KeyPath::of("state_directory");
    match fs::metadata(directory) {
        Ok(metadata) if !metadata.is_dir() => {
            check.error(path, format!("`{}` is not a directory", directory.display()), "name a directory of the gateway's own");
        }
        Ok(metadata) if is_shared(&metadata) => {
            let help = format!("chmod go-w {}", directory.display());
            check.error(path, "others can put files there, and keys that they made", help);
        }
        _ => {}
    }
}

#[cfg(unix)]
fn is_shared(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o022 != 0
}

#[cfg(not(unix))]
fn is_shared(_: &fs::Metadata) -> bool {
    false
}

fn authorities(check: &mut Check<'_>, path: KeyPath, file: &Path) {
    if let Some(bytes) = read(check, &path, file)
        && let Err(message) = certificates::authorities(&bytes)
    {
        check.error(path, message, "it must hold the PEM certificates of one or more certification authorities");
    }
}

fn tls(check: &mut Check<'_>, files: &TlsFiles, path: &KeyPath, now: SystemTime) {
    let (certificate_path, key_path) = (path.clone().key("certificate_file"), path.clone().key("private_key_file"));
    let chain = read(check, &certificate_path, &files.certificate_file).and_then(|bytes| {
        let chain = certificates::chain(&bytes);
        chain
            .map_err(|message| check.error(certificate_path.clone(), message, "it must hold PEM certificates, the leaf first"))
            .ok()
    });
    let key = read(check, &key_path, &files.private_key_file).and_then(|bytes| {
        let key = certificates::private_key(&bytes);
        let help = "it must hold an unencrypted PEM private key: PKCS#8, PKCS#1 or SEC1";
        key.map_err(|message| check.error(key_path.clone(), message, help)).ok()
    });
    secrecy(check, &key_path, &files.private_key_file);

    let Some(chain) = chain else { return };
    match certificates::validity(&chain) {
        Err(message) => check.error(certificate_path, message, "the first certificate must be an X.509 certificate"),
        Ok(validity) => {
            let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs().cast_signed();
            if let Some((message, help)) = validity.complaint(now) {
                check.warning(certificate_path, message, help);
            }
        }
    }
    if let Some(key) = key
        && let Err(message) = certificates::match_up(chain, key)
    {
        check.error(key_path, message, "use the key that the certificate was requested with");
    }
}

fn key_set(check: &mut Check<'_>, path: &KeyPath, file: &Path) {
    let Some(bytes) = read(check, path, file) else { return };
    let set: Result<serde_json::Value, _> = serde_json::from_slice(&bytes);
    let keys = set.as_ref().ok().and_then(|set| set.get("keys")).and_then(|keys| keys.as_array());
    let Some(keys) = keys else {
        check.error(path.clone(), "not a key set", "it must hold JSON: `{\"keys\": […]}` (RFC 7517)");
        return;
    };
    if keys.is_empty() {
        check.warning(path.clone(), "the key set has no keys: every token of this issuer will be refused", "export it again");
    }
    if keys.iter().any(|key| key.get("d").is_some() || key.get("k").is_some()) {
        let help = "give the gateway the public keys only: who holds a private key mints tokens";
        check.warning(path.clone(), "the key set has private keys in it", help);
    }
}

fn secret(check: &mut Check<'_>, path: &KeyPath, secret: &Secret) {
    match secret {
        Secret::Env(name) => {
            let path = path.clone().key("env");
            if !Secret::is_variable(name) {
                let help = "write a name of letters, digits and `_`; the secret itself stays out of this file";
                return check.error(path, "not the name of an environment variable", help);
            }
            // It may be the secret itself.
            let shown = if mask::is_variable(name) { format!("`{name}`") } else { "variable of this name".to_owned() };
            match env::var_os(name) {
                None => check.error(path, format!("the environment has no {shown}"), "set it where the gateway is started"),
                Some(value) if value.to_str().is_some_and(|text| text.trim().is_empty()) => {
                    check.error(path, format!("the environment's {shown} is empty"), "set it to the secret")
                }
                Some(value) if value.to_str().is_none() => {
                    check.error(path, format!("the environment's {shown} is not UTF-8"), "set it to the secret")
                }
                Some(_) => {}
            }
        }
        Secret::File(file) => {
            let path = path.clone().key("file");
            let Some(bytes) = read(check, &path, file) else { return };
            match std::str::from_utf8(&bytes) {
                Ok(text) if text.trim().is_empty() => check.error(path.clone(), "the file is empty", "write the secret into it"),
                Ok(_) => {}
                Err(_) => check.error(path.clone(), "the file is not UTF-8", "write the secret into it as text"),
            }
            secrecy(check, &path, file);
        }
    }
}

#[cfg(unix)]
fn secrecy(check: &mut Check<'_>, path: &KeyPath, file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(file).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o007 != 0 {
        let help = format!("chmod o= {}", file.display());
        check.warning(path.clone(), format!("everybody on this machine can use the file (mode {:04o})", mode & 0o7777), help);
    }
}

/// Who can write the file makes keys for any tenant.
#[cfg(unix)]
fn privacy(check: &mut Check<'_>, path: &KeyPath, file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(file).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o077 != 0 {
        let help = format!("chmod 600 {}", file.display());
        check.error(path.clone(), format!("others can use the file (mode {:04o})", mode & 0o7777), help);
    }
}

#[cfg(not(unix))]
fn privacy(_: &mut Check<'_>, _: &KeyPath, _: &Path) {}

#[cfg(not(unix))]
fn secrecy(_: &mut Check<'_>, _: &KeyPath, _: &Path) {}

fn read(check: &mut Check<'_>, path: &KeyPath, file: &Path) -> Option<Vec<u8>> {
    match contents(file) {
        Ok(bytes) => Some(bytes),
        Err(error) if is_withheld(file, &error) => {
            let help = "nothing to do: the service reads it itself, when it starts or reloads";
            check.warning(path.clone(), format!("`{}` is for the service alone, and was not looked at", file.display()), help);
            check.problems.partial = true;
            None
        }
        Err(error) => {
            let help = "relative paths start from the directory of the configuration; the gateway's user must be able to read it";
            check.error(path.clone(), format!("cannot read `{}`: {error}", file.display()), help);
            None
        }
    }
}

/// systemd 252 gives a unit's credentials to its main process, and not to what `ExecReload=` runs
/// (<https://github.com/systemd/systemd/issues/35227>): a check before a reload knows nothing of them.
fn is_withheld(file: &Path, error: &std::io::Error) -> bool {
    file.starts_with("/run/credentials") && error.kind() == std::io::ErrorKind::PermissionDenied
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[test]
    fn only_what_systemd_withholds_is_not_missed() {
        let key = Path::new("/run/credentials/tollgate.service/tollgate.sealing-key");
        assert!(is_withheld(key, &Error::from(ErrorKind::PermissionDenied)));
        assert!(!is_withheld(key, &Error::from(ErrorKind::NotFound)));
        assert!(!is_withheld(Path::new("/etc/tollgate/sealing-key"), &Error::from(ErrorKind::PermissionDenied)));
    }
}
