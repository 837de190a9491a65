//! Key sets in files, read as they are when they are loaded: a set that verifies nothing refuses every token of its issuer. The gateway starts
//! with one all the same, and says so; issuers are apart, and what is in the file may be mended.

use crate::{
    auth::{KeySet, KeySetError, key::KeyRefusal},
    config::{self, Config, KeySetSource, Problems},
};

/// Adds what is wrong with them. What `config` sees for itself, it has said.
pub(super) fn examine(config: &Config, problems: &mut Problems) {
    for (name, issuer) in &config.issuers {
        let KeySetSource::File(file) = &issuer.key_set else { continue };
        let keys = ["issuers", name.as_str(), "key_set", "file"];
        // That it cannot be read has been said.
        let Ok(json) = config::contents(file) else { continue };
        match KeySet::parse(&json) {
            Ok((_, aside)) => {
                for problem in aside.iter().filter(|problem| !is_secret(problem.refusal)) {
                    problems.warn(&keys, &format!("a key is not used: {problem}"), "tokens that it signs are refused");
                }
            }
            Err(KeySetError::NoUsableKey(aside)) if aside.is_empty() => {}
            Err(error) => {
                problems.refuse(&keys, &error.to_string(), "every token of this issuer would be refused: export it again")
            }
        }
    }
}

fn is_secret(refusal: KeyRefusal) -> bool {
    matches!(refusal, KeyRefusal::Private | KeyRefusal::SharedSecret)
}

#[cfg(test)]
mod tests {
    use crate::snapshot::examine;

    /// RFC 8037, appendix A.2.
    const KEY: &str =
        r#"{"kty":"OKP","crv":"Ed25519","alg":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"a"}"#;
    const CONFIG: &str = "listeners = [{ address = \"127.0.0.1:0\" }]\nupstream = { region = \"us-east-1\" }\n\
        [issuers.corp]\nissuer = \"https://idp.example\"\naudiences = [\"a\"]\nkey_set = { file = \"keys.json\" }\n\
        [tenants.acme]\nmodels = [\"*\"]\nservices = [\"*\"]\noperations = [\"*\"]\n";

    fn examined(json: &str) -> (bool, Vec<String>) {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("tollgate.toml");
        std::fs::write(&config, CONFIG).unwrap();
        std::fs::write(directory.path().join("keys.json"), json).unwrap();
        let (usable, problems) = examine(&config);
        (usable.is_some(), problems.iter().map(|problem| format!("{}: {}", problem.key_path, problem.message)).collect())
    }

    #[test]
    fn a_set_that_refuses_every_token_is_an_error() {
        let enc = KEY.replace("\"kty\"", "\"use\":\"enc\",\"kty\"");
        let many = [KEY; 101].join(",");
        for (json, says) in [
            (format!("{{\"keys\":[{enc}]}}"), "`use` is not `sig`"),
            (format!("{{\"keys\":[{KEY},{KEY}]}}"), "neither is used"),
            (format!("{{\"keys\":[{KEY}],\"keys\":[{KEY}]}}"), "not a JSON object with an array `keys`"),
            (format!("{{\"keys\":[{}]}}", KEY.replace("URo", "URo=")), "not base64url"),
            (format!("{{\"keys\":[{many}]}}"), "101 keys"),
            (format!("{{\"keys\":[{KEY}]}}{}", " ".repeat(150_000)), "more than 150000 bytes"),
        ] {
            let (usable, problems) = examined(&json);
            assert!(!usable, "{says}");
            assert!(
                matches!(&*problems, [one] if one.starts_with("issuers.corp.key_set.file: ") && one.contains(says)),
                "{problems:?}"
            );
        }
    }

    #[test]
    fn a_key_that_is_set_aside_is_a_warning_that_says_why() {
        assert_eq!(examined(&format!("{{\"keys\":[{KEY}]}}")), (true, Vec::new()));
        let other = KEY.replace("\"a\"", "\"b\"").replace("\"alg\":\"Ed25519\"", "\"alg\":\"Ed448\"");
        let (usable, problems) = examined(&format!("{{\"keys\":[{KEY},{other}]}}"));
        assert!(usable, "{problems:?}");
        assert!(matches!(&*problems, [one] if one.contains("keys[1] (kid \"b\"): `alg`")), "{problems:?}");
    }
}
