//! The packages are whole: what they are to contain is there, and lies where the unit looks for it.

#![allow(clippy::unwrap_used)] // nothing here but tests and what they call

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
};

use toml::{Table, Value};

const UNIT: &str = include_str!("../systemd/tollgate.service");

const NEEDRESTART: &str = "/etc/needrestart/conf.d/tollgate.conf";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn metadata(package: &str) -> Table {
    let manifest: Table = fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    manifest["package"]["metadata"][package].as_table().unwrap().clone()
}

/// Source and mode of every file by where it is installed.
type Assets = BTreeMap<String, (String, String)>;

fn deb() -> Assets {
    let text = |asset: &Value, index: usize| asset[index].as_str().unwrap().to_owned();
    let assets = metadata("deb")["assets"].as_array().unwrap().clone();
    assets.iter().map(|asset| (format!("/{}", text(asset, 1)), (text(asset, 0), text(asset, 2)))).collect()
}

fn rpm() -> Assets {
    let text = |asset: &Value, key: &str| asset[key].as_str().unwrap().to_owned();
    let assets = metadata("generate-rpm")["assets"].as_array().unwrap().clone();
    assets.iter().map(|asset| (text(asset, "dest"), (text(asset, "source"), text(asset, "mode")))).collect()
}

/// The value of a key of the unit.
fn unit(key: &str) -> &'static str {
    UNIT.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap()
}

#[test]
fn every_file_is_there() {
    for (source, _) in deb().into_values().chain(rpm().into_values()) {
        // What `packaging/prepare` makes.
        if source.starts_with("target/") {
            continue;
        }
        let found = match source.strip_suffix("*.md") {
            Some(directory) => fs::read_dir(root().join(directory)).is_ok_and(|mut entries| entries.next().is_some()),
            None => root().join(&source).is_file(),
        };
        assert!(found, "{source}");
    }
}

#[test]
fn both_packages_have_the_same_files_but_for_where_zsh_looks_and_what_restarts_services() {
    let moved = |path: String| path.replace("/zsh/site-functions/", "/zsh/vendor-completions/");
    let rpm: Assets = rpm().into_iter().map(|(path, file)| (moved(path), file)).collect();
    let mut deb = deb();
    assert!(deb.remove(NEEDRESTART).is_some(), "Debian's and Ubuntu's own");
    assert_eq!(deb, rpm);
}

#[test]
fn the_unit_finds_what_is_installed() {
    let files = deb();
    let [binary, "run", "-c", config] = unit("ExecStart").split(' ').collect::<Vec<_>>()[..] else { panic!("{UNIT}") };
    assert_eq!(files[binary], ("target/release/tollgate".to_owned(), "755".to_owned()));
    assert_eq!(files[config].0, "conf/packaged.toml");
    assert!(unit("ExecReload").starts_with(&format!("{binary} check -c {config}")));
    let readme = unit("Documentation").strip_prefix("file://").unwrap();
    assert!(files.contains_key(readme), "{readme}");
    assert_eq!(metadata("deb")["conf-files"], Value::Array(vec![config.into(), NEEDRESTART.into()]));
    let assets = metadata("generate-rpm")["assets"].as_array().unwrap().clone();
    let kept: Vec<_> = assets.iter().filter(|a| a.get("config").is_some_and(|c| c.as_str() == Some("noreplace"))).collect();
    assert!(matches!(kept[..], [one] if one["dest"].as_str() == Some(config)));
    // What the unit may write, the packaged configuration writes there.
    let packaged: Table = fs::read_to_string(root().join("conf/packaged.toml")).unwrap().parse().unwrap();
    let state = format!("/var/lib/{}/", unit("StateDirectory"));
    assert!(packaged["ledger"]["file"].as_str().unwrap().starts_with(&state));
}

/// An example without the `#` that keeps it out of force.
fn in_force(line: &str) -> &str {
    let example = line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '['));
    example.unwrap_or(line)
}

#[test]
fn the_packaged_configuration_is_sound_with_and_without_its_examples() {
    let directory = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(root().join("conf/packaged.toml")).unwrap();
    // The directory of the ledger is made by the unit.
    let text = text.replace("/var/lib/tollgate", directory.path().to_str().unwrap());
    let (address, tls) = ("address = \"127.0.0.1:8080\"", "tls = ");
    let lines = text.lines().map(in_force);
    // Certificates are the operator's to supply.
    let edited: Vec<&str> = lines.filter(|line| !line.starts_with(tls) && *line != "address = \"0.0.0.0:443\"").collect();
    assert!(edited.contains(&address) && edited.contains(&"[tenants.search]"));
    for (text, warnings) in [(text.clone(), &["warning: no tenant: every request will be refused"][..]), (edited.join("\n"), &[])]
    {
        let file = directory.path().join("tollgate.toml");
        fs::write(&file, &text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_tollgate")).args(["check", "-c"]).arg(&file).output().unwrap();
        let report = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{report}");
        assert_eq!(report.lines().filter(|line| line.starts_with("warning")).collect::<Vec<_>>(), warnings, "{report}");
    }
}

#[test]
fn an_installed_package_takes_over_from_what_runs() {
    let files = deb();
    let (path, (script, mode)) = files.iter().find(|(path, _)| path.ends_with("/hand-over")).unwrap();
    assert_eq!(mode, "755");
    let postinst = fs::read_to_string(root().join("packaging/deb/postinst")).unwrap();
    let installed = metadata("generate-rpm")["post_install_script"].as_str().unwrap().to_owned();
    for scriptlet in [postinst, installed] {
        assert!(scriptlet.lines().any(|line| line.trim() == path), "{scriptlet}");
        assert!(!scriptlet.contains("restart"), "{scriptlet}");
    }
    assert!(Command::new("sh").arg("-n").arg(root().join(script)).status().unwrap().success());
}

#[test]
fn scripts_can_be_run() {
    let maintainers = metadata("deb")["maintainer-scripts"].as_str().unwrap().to_owned();
    let entries = ["packaging", &maintainers, "tests/package"].map(|directory| fs::read_dir(root().join(directory)).unwrap());
    let scripts = entries.into_iter().flatten().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let mut count = 0;
    for script in scripts {
        count += 1;
        assert_eq!(fs::metadata(&script).unwrap().permissions().mode() & 0o111, 0o111, "{}", script.display());
        let shell = fs::read_to_string(&script).unwrap().lines().next().unwrap().rsplit(['/', ' ']).next().unwrap().to_owned();
        if shell != "python3" {
            assert!(Command::new(shell).arg("-n").arg(&script).status().unwrap().success(), "{}", script.display());
        }
    }
    assert_eq!(count, 15);
}

/// A copy of the packaging scripts, whose `target/` is not the one that other tests read.
fn prepared() -> Option<tempfile::TempDir> {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("packaging: SKIP: no python3 here");
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    for name in ["Cargo.toml", "Cargo.lock", "build.rs", "src", "benches", "conf", "docs", "monitoring", "systemd"] {
        symlink(root().join(name), directory.path().join(name)).unwrap();
    }
    for name in ["LICENSE", "README.md", "CHANGELOG.md"] {
        symlink(root().join(name), directory.path().join(name)).unwrap();
    }
    let scripts = directory.path().join("packaging");
    fs::create_dir(&scripts).unwrap();
    for name in ["prepare", "sbom", "tarball"] {
        fs::copy(root().join("packaging").join(name), scripts.join(name)).unwrap();
    }
    let prepared = Command::new(scripts.join("prepare")).arg(env!("CARGO_BIN_EXE_tollgate")).status().unwrap();
    assert!(prepared.success());
    Some(directory)
}

#[test]
fn what_is_prepared_is_what_the_packages_take() {
    let Some(directory) = prepared() else { return };
    for (source, _) in deb().into_values().filter(|(source, _)| source.starts_with("target/package/")) {
        let example = source.replace("*.1", "tollgate-run.1").replace("*.5", "tollgate.toml.5");
        let length = fs::metadata(directory.path().join(&example)).map(|file| file.len());
        assert!(length.as_ref().is_ok_and(|length| *length > 100), "{example}: {length:?}");
    }
    archive_has_what_the_packages_install(directory.path());
    bill_of_materials_is_of_what_is_locked(directory.path());
}

fn archive_has_what_the_packages_install(directory: &Path) {
    let pack = || {
        // The debug binary would take a minute to compress.
        let tarball = Command::new(directory.join("packaging/tarball"))
            .arg(root().join("LICENSE"))
            .env("SOURCE_DATE_EPOCH", "1700000000")
            .output()
            .unwrap();
        assert!(tarball.status.success(), "{}", String::from_utf8_lossy(&tarball.stderr));
        directory.join(String::from_utf8(tarball.stdout).unwrap().trim_end())
    };
    let archive = pack();
    let list = Command::new("tar").arg("-tzvf").arg(&archive).output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    for (path, (_, mode)) in deb() {
        let permissions = if mode == "755" { "-rwxr-xr-x root/root" } else { "-rw-r--r-- root/root" };
        let listed = list.lines().filter(|line| line.starts_with(permissions));
        // What is the operators' is not to be written over.
        let place = if path.starts_with("/etc/") { format!("/usr/share/doc/tollgate{path}") } else { path.clone() };
        assert!(listed.into_iter().any(|line| line.contains(&format!("-linux{place}"))), "{place}:\n{list}");
    }
    assert!(!list.contains("-linux/etc/"), "{list}");
    let first = fs::read(&archive).unwrap();
    assert!(first == fs::read(pack()).unwrap(), "the same files make another archive");
}

fn bill_of_materials_is_of_what_is_locked(directory: &Path) {
    let bill: serde_json::Value =
        serde_json::from_slice(&fs::read(directory.join("target/package/sbom.cdx.json")).unwrap()).unwrap();
    let lock: Table = fs::read_to_string(root().join("Cargo.lock")).unwrap().parse().unwrap();
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let locked = lock["package"].as_array().unwrap().iter();
    let locked: Vec<[String; 3]> = locked.map(|p| ["name", "version", "checksum"].map(|key| text(p.get(key)))).collect();
    let components = bill["components"].as_array().unwrap();
    for component in components {
        let said = [&component["name"], &component["version"], &component["hashes"][0]["content"]];
        let said = said.map(|value| value.as_str().unwrap_or_default().to_owned());
        assert!(locked.contains(&said), "{said:?}");
        assert!(component["licenses"][0]["expression"].is_string(), "{said:?}");
    }
    let scope = |name: &str| components.iter().find(|one| one["name"] == name).map(|one| one["scope"].as_str().unwrap());
    let expected = [("pingora-core", Some("required")), ("serde_derive", Some("excluded")), ("proptest", None)];
    for (name, scope_expected) in expected {
        assert_eq!(scope(name), scope_expected, "{name}");
    }
}
