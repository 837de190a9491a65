//! Tells the binary which commit it was built from (`unknown` outside a git checkout), and cuts Bedrock's prices out of the table that
//! the crate genai-prices ships: its API computes with `f64` and shows no rates.

#![allow(clippy::expect_used)] // a build that cannot go on says why

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

fn main() {
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output();
    let commit = output.ok().filter(|o| o.status.success()).map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned());
    println!("cargo:rustc-env=TOLLGATE_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
    println!("cargo:rerun-if-changed=.git/HEAD");
    println!("cargo:rerun-if-changed=.git/logs/HEAD");
    prices();
}

/// Writes `bedrock_prices.json` to the output directory, and names the version of the table.
fn prices() {
    println!("cargo:rerun-if-changed=Cargo.lock");
    println!("cargo:rerun-if-changed=build.rs");
    let package = genai_prices().expect("`cargo metadata` names the package genai-prices");
    let table = package.join("data/prices.json");
    let text = fs::read_to_string(&table).expect("genai-prices ships data/prices.json");
    let bedrock = object_at(&text, "{\"id\":\"aws\",").expect("the table has a provider `aws`");
    let target = Path::new(&env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("bedrock_prices.json");
    fs::write(target, bedrock).expect("OUT_DIR can be written to");
    let directory = package.file_name().unwrap_or_default().to_string_lossy();
    println!("cargo:rustc-env=TOLLGATE_PRICES_VERSION={}", version(&package).unwrap_or(directory.into_owned()));
    println!("cargo:rerun-if-changed={}", table.display());
}

/// The package's directory. Cargo tells build scripts where packages with a native library are, and no others; so it is asked. Offline
/// first: everything this build needs is there already, but `cargo install` leaves development dependencies out.
fn genai_prices() -> Option<PathBuf> {
    let cargo = env::var_os("CARGO")?;
    [&["--offline"][..], &[]].into_iter().find_map(|network| {
        let mut metadata = Command::new(&cargo);
        metadata.args(["metadata", "--format-version=1", "--locked"]).args(network);
        metadata.arg("--filter-platform").arg(env::var_os("TARGET")?);
        let listing = String::from_utf8(metadata.output().ok()?.stdout).ok()?;
        let package = object_at(&listing, "{\"name\":\"genai-prices\",\"version\":")?;
        let (_, rest) = package.split_once("\"manifest_path\":\"")?;
        let manifest = rest.split_once('"')?.0.replace("\\\\", "\\");
        Path::new(&manifest).parent().map(Path::to_owned)
    })
}

fn version(package: &Path) -> Option<String> {
    let manifest = fs::read_to_string(package.join("Cargo.toml")).ok()?;
    let line = manifest.lines().find_map(|line| line.strip_prefix("version = \""))?;
    Some(line.trim_end_matches('"').to_owned())
}

/// The JSON object that begins with `start`, up to its closing brace.
fn object_at<'a>(json: &'a str, start: &str) -> Option<&'a str> {
    let rest = &json[json.find(start)?..];
    let (mut depth, mut in_string, mut escaped) = (0, false, false);
    for (index, byte) in rest.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'{' if !in_string => depth += 1,
            b'}' if !in_string => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return rest.get(..=index);
        }
    }
    None
}
