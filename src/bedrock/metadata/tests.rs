//! Metadata against serde_json's reading of the same.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn own() -> BTreeMap<String, String> {
    BTreeMap::from([("tenant".to_owned(), "acme".to_owned())])
}

fn pieces(text: &str, length: usize) -> Vec<Bytes> {
    text.as_bytes().chunks(length.max(1)).map(Bytes::copy_from_slice).collect()
}

fn edited(text: &str, length: usize) -> Result<String, MetadataError> {
    let edited = body(&pieces(text, length), &own())?;
    Ok(String::from_utf8(edited.concat()).unwrap())
}

#[test]
fn the_header_has_the_clients_pairs_and_the_gateways() {
    assert_eq!(header(None, &own()).unwrap(), r#"{"tenant":"acme"}"#);
    assert_eq!(header(Some(" "), &own()).unwrap(), r#"{"tenant":"acme"}"#);
    assert_eq!(header(Some(r#"{"project":"x"}"#), &own()).unwrap(), r#"{"project":"x","tenant":"acme"}"#);
    // However often and however it is written, the gateway's key is the gateway's.
    for sent in [r#"{"tenant":"globex"}"#, r#"{"ten\u0061nt":"globex","tenant":"y"}"#, r#"{"tenant":"x","tenant":"z"}"#] {
        assert_eq!(header(Some(sent), &own()).unwrap(), r#"{"tenant":"acme"}"#, "{sent}");
    }
    assert_eq!(header(Some(r#"{"a":"ö😀"}"#), &own()).unwrap(), r#"{"a":"\u00f6\ud83d\ude00","tenant":"acme"}"#);
}

#[test]
fn what_bedrock_would_not_take_is_refused() {
    for sent in ["x", "[]", "null", "{", r#"{"a":1}"#, r#"{"a":{"b":"c"}}"#, r#"{"a":"b"} {}"#] {
        assert_eq!(header(Some(sent), &own()), Err(MetadataError::NotStrings), "{sent}");
    }
    let pairs = |count: usize| (0..count).map(|n| (n.to_string(), json!("v"))).collect::<Map<_, _>>();
    assert!(header(Some(&Value::Object(pairs(15)).to_string()), &own()).is_ok());
    assert_eq!(header(Some(&Value::Object(pairs(16)).to_string()), &own()), Err(MetadataError::TooMuch));
    let long = json!({ "a": "v".repeat(8_500) }).to_string();
    assert_eq!(header(Some(&long), &own()), Err(MetadataError::TooMuch));
}

#[test]
fn a_body_is_changed_in_its_metadata_alone() {
    for (sent, expected) in [
        (r#"{}"#, r#"{"requestMetadata":{"tenant":"acme"}}"#),
        (r#" { "a" : 1 } "#, r#" {"requestMetadata":{"tenant":"acme"}, "a" : 1 } "#),
        (r#"{"requestMetadata":{"p":"x"},"a":1}"#, r#"{"requestMetadata":{"p":"x","tenant":"acme"},"a":1}"#),
        (r#"{"requestMetadata" : null}"#, r#"{"requestMetadata" : {"tenant":"acme"}}"#),
        (r#"{"request\u004detadata":{"tenant":"globex"}}"#, r#"{"request\u004detadata":{"tenant":"acme"}}"#),
        (
            r#"{"messages":[{"requestMetadata":{"p":"q"}}]}"#,
            r#"{"requestMetadata":{"tenant":"acme"},"messages":[{"requestMetadata":{"p":"q"}}]}"#,
        ),
    ] {
        for length in 1..=sent.len() {
            assert_eq!(edited(sent, length).unwrap(), expected, "{sent} in pieces of {length}");
        }
    }
    for sent in ["", "[]", "[{\"requestMetadata\":{}}]"] {
        assert_eq!(edited(sent, 2).unwrap(), sent, "for Bedrock to complain of");
    }
}

#[test]
fn a_body_that_only_a_lenient_parser_takes_is_refused() {
    let plain = r#"{"requestMetadata":{"tenant":"globex"}}"#;
    let inner = &plain[1..];
    let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
    for sent in [
        format!("\u{feff}{plain}"),
        format!("\0{plain}"),
        format!("{{\"a\":{deep},{inner}"),
        format!("/**/{plain}"),
        format!("{{/**/{inner}"),
        format!("{{\"a\":NaN,{inner}"),
        format!("{{a:1,{inner}"),
        format!("{{'a':1,{inner}"),
        plain.replace("}}", "},}"),
        format!("{plain}{plain}"),
        format!("{plain} x"),
        plain[..plain.len() - 1].to_owned(),
        "{".to_owned(),
        "null".to_owned(),
        "\"x\"".to_owned(),
        " ".to_owned(),
    ] {
        for length in [1, 7, sent.len()] {
            assert_eq!(edited(&sent, length), Err(MetadataError::NoObject), "{sent}");
        }
    }
    let utf_16: Vec<u8> = plain.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(body(&[Bytes::from(utf_16)], &own()), Err(MetadataError::NoObject));
}

#[test]
fn metadata_that_can_be_read_in_two_ways_is_refused() {
    for (sent, error) in [
        (r#"{"requestMetadata":{},"requestMetadata":{"tenant":"globex"}}"#, MetadataError::Twice),
        (r#"{"requestMetadata":1,"request\u004detadata":{}}"#, MetadataError::Twice),
        (r#"{"requestMetadata":[]}"#, MetadataError::NotStrings),
        (r#"{"requestMetadata":[{"tenant":"globex"}]}"#, MetadataError::NotStrings),
        (r#"{"requestMetadata":"x"}"#, MetadataError::NotStrings),
        (r#"{"requestMetadata":{"a":{"b":"c"}}}"#, MetadataError::NotStrings),
    ] {
        assert_eq!(edited(sent, 5), Err(error), "{sent}");
    }
}

proptest! {
    #[test]
    fn every_reader_finds_the_gateways_tenant_and_the_clients_rest(
        rest in proptest::collection::btree_map("[a-zA-Z\"\\\\é]{1,8}", "[ -~]{0,8}", 0..6),
        client in proptest::option::of(proptest::collection::btree_map("[a-z]{1,6}|tenant", "[ -~]{0,8}", 0..10)),
        length in 1_usize..20,
    ) {
        let mut sent: Map<String, Value> = rest.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        let mut expected = client.clone().unwrap_or_default();
        expected.insert("tenant".to_owned(), "acme".to_owned());
        sent.extend(client.map(|client| ("requestMetadata".to_owned(), json!(client))));
        let out: Map<String, Value> = serde_json::from_str(&edited(&Value::Object(sent.clone()).to_string(), length).unwrap()).unwrap();
        prop_assert_eq!(&out["requestMetadata"], &json!(expected));
        sent.insert("requestMetadata".to_owned(), json!(expected));
        prop_assert_eq!(out, sent);
    }
}
