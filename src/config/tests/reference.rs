//! conf/tollgate.toml shows every key there is, and its default.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde::Deserialize;

use super::{
    super::{
        document::{Entry, KeyPath, Node, Value},
        fault::{Fault, Kind},
        *,
    },
    GOOD, examined,
};

const REFERENCE: &str = include_str!("../../../conf/tollgate.toml");

/// The reference with every setting in force: `#key = …` and `#[section]` lose their `#`, `# prose` stays.
pub(super) fn reference_in_full() -> String {
    let in_force = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[' || c == '"') => rest.to_owned() + "\n",
        _ => line.to_owned() + "\n",
    };
    REFERENCE.lines().map(in_force).collect()
}

#[test]
fn the_reference_is_sound_as_it_is_and_with_every_setting_in_force() {
    for text in [REFERENCE, &reference_in_full()] {
        assert_eq!(examined(text).to_string(), "");
    }
}

#[test]
fn the_reference_shows_the_defaults() {
    let name = Path::new("/etc/tollgate/tollgate.toml");
    let minimal = parse(GOOD, name).unwrap();
    let full = parse(&reference_in_full(), name).unwrap();
    assert_eq!(format!("{:?}", full.bodies), format!("{:?}", minimal.bodies));
    assert_eq!(format!("{:?}", full.bidirectional), format!("{:?}", minimal.bidirectional));
    assert_eq!(format!("{:?}", full.downstream), format!("{:?}", minimal.downstream));
    assert_eq!(format!("{:?}", full.metering), format!("{:?}", minimal.metering));
    assert_eq!(format!("{:?}", full.account), format!("{:?}", minimal.account));
    let ledger = Ledger { file: None, ..full.ledger };
    assert_eq!(format!("{ledger:?}"), format!("{:?}", minimal.ledger));
    assert_eq!(format!("{:?}", full.log), format!("{:?}", minimal.log));
    assert_eq!(format!("{:?}", full.admin), format!("{:?}", minimal.admin));
    let routing = Routing { host_suffixes: Vec::new(), ..full.routing };
    assert_eq!(format!("{routing:?}"), format!("{:?}", minimal.routing));
    assert_eq!(full.prices.unpriced, minimal.prices.unpriced);
    let (endpoints, dns_suffix, connect_to, ca_file) = Default::default();
    let upstream = Upstream { endpoints, dns_suffix, connect_to, ca_file, ..full.upstream };
    assert_eq!(format!("{upstream:?}"), format!("{:?}", minimal.upstream));
    let traces = full.traces.unwrap();
    let endpoint_alone: Traces = toml::from_str(&format!("endpoint = {:?}", traces.endpoint)).unwrap();
    let (headers, resource, ca_file) = Default::default();
    assert_eq!(Traces { headers, resource, ca_file, ..traces }, endpoint_alone);
    let (arn, external_id, claim_tags, transitive_tags, sts_endpoint, sts_region) = Default::default();
    let roles = Roles { arn, external_id, claim_tags, transitive_tags, sts_endpoint, sts_region, ..full.roles };
    assert_eq!(format!("{roles:?}"), format!("{:?}", minimal.roles));
    let vending = full.vending.unwrap();
    assert_eq!((vending.lifetime_seconds, vending.container_credentials, vending.sts), (3_600, true, true));
    let (ours, theirs) = (&minimal.issuers["corporate"], full.issuers["corporate"].clone());
    let issuer =
        Issuer { issuer: ours.issuer.clone(), audiences: ours.audiences.clone(), key_set: ours.key_set.clone(), ..theirs };
    assert_eq!(format!("{issuer:?}"), format!("{ours:?}"));
}

#[test]
fn the_reference_has_every_key_of_every_section() {
    let text = reference_in_full();
    let root = Node::root(toml::de::DeTable::parse(&text).unwrap());
    // What serde knows, and what all sections of that type show together.
    let mut sections: BTreeMap<BTreeSet<String>, BTreeSet<String>> = BTreeMap::new();
    let mut tables = vec![KeyPath::default()];
    while let Some(path) = tables.pop() {
        let mut probed = root.clone();
        let Value::Table(entries) = &mut probed.at_mut(&path.0).unwrap().value else { panic!("{path}") };
        let written: Vec<String> = entries.iter().map(|entry| entry.key.clone()).collect();
        tables.extend(entries.iter().flat_map(|entry| tables_in(&entry.node, path.clone().key(&entry.key))));
        entries.insert(0, Entry { key: "probe".to_owned(), key_span: 0..0, node: Node::placeholder(0..0) });
        // Maps take the probe for an entry, and `{ file = … }` wants one key: those have no keys of their own to be shown.
        if let Err(Fault { kind: Kind::UnknownKey { expected, .. }, .. }) = Config::deserialize(&probed) {
            let known = expected.iter().map(|key| (*key).to_owned()).collect();
            sections.entry(known).or_default().extend(written);
        }
    }
    assert_eq!(sections.len(), 31, "every section type, and the types within: {sections:#?}");
    for (known, written) in sections {
        assert_eq!(known, written, "what serde knows, what conf/tollgate.toml shows");
    }
}

fn tables_in(node: &Node, path: KeyPath) -> Vec<KeyPath> {
    match &node.value {
        Value::Table(_) => vec![path],
        Value::Array(nodes) => nodes.iter().enumerate().flat_map(|(i, node)| tables_in(node, path.clone().index(i))).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn relative_paths_start_from_the_directory_of_the_file() {
    let config = format!("{:?}", parse(&reference_in_full(), Path::new("/x/y/t.toml")).unwrap());
    for file in [
        "tls/server.pem",
        "tls/server.key",
        "tls/other.pem",
        "tls/client-ca.pem",
        "tls/upstream-ca.pem",
        "secrets/session_token",
        "secrets/sealing-2026-11",
        "keys.toml",
        "ledger.sqlite",
        "prices.toml",
        "tls/collector-ca.pem",
        "secrets/collector-key",
    ] {
        assert!(config.contains(&format!("\"/x/y/{file}\"")), "{file}: {config}");
    }
    let file = GOOD.replace("{ url = \"https://idp.example/keys\" }", "{ file = \"keys.json\" }");
    let config = parse(&file, Path::new("/x/t.toml")).unwrap();
    assert_eq!(config.issuers["corporate"].key_set, KeySetSource::File("/x/keys.json".into()));
}
