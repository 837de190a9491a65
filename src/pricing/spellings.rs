//! By which other names a model goes, so that whatever is denied or limited by one of them is by all. Its prices are the same by all of
//! them: `book` has one for each. A geography is no spelling: a name with one goes by other names with the same.

use super::{bundled::BUNDLED, names};
use crate::bedrock::model::{geography, is_opaque};

/// What `look` finds by a name of a model, or by the first of its other names that it finds something by: the name without a length of
/// context; those of the models of the bundled table that go by this one; of a model that it does not have, what is left of the name
/// without vendor, version and date.
/// `model`: an id of a model or a profile; any other name is looked up by itself alone.
pub fn find_by_name<T>(model: &str, mut look: impl FnMut(&str) -> Option<T>) -> Option<T> {
    if let Some(found) = look(model) {
        return Some(found);
    }
    if is_opaque(model) {
        return None;
    }
    let versioned = names::context_left_out(model);
    if let Some(found) = versioned.and_then(&mut look) {
        return Some(found);
    }
    let model = versioned.unwrap_or(model);
    let Some((place, base)) = geography(model) else { return others(model).find_map(look) };
    let mut whole = String::with_capacity(2 * model.len());
    others(base).filter(|name| name.contains('.')).find_map(|name| {
        whole.clear();
        whole.extend([place, ".", name]);
        look(&whole)
    })
}

/// How a request may write a model that a configuration names, where the table does not know it: to be held against a name as it is asked
/// for, and not against its others, since two releases have the name without date in common. A glob, or a name that is no id, has none.
pub fn spellings(model: &str) -> Vec<String> {
    if is_opaque(model) || model.contains(['*', '?']) {
        return Vec::new();
    }
    let of = |base: &str| names::spellings(base).into_iter().map(|spelling| spelling.name);
    match geography(model) {
        None => of(model).collect(),
        Some((place, base)) => of(base).filter(|name| name.contains('.')).map(|name| format!("{place}.{name}")).collect(),
    }
}

/// Of a name without geography.
fn others(name: &str) -> impl Iterator<Item = &str> {
    BUNDLED.all_names(name).chain(names::shortened(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a name leads to another.
    fn leads(from: &str, to: &str) -> bool {
        find_by_name(from, |name| (name == to).then_some(())).is_some()
    }

    #[test]
    fn a_model_is_found_by_whatever_name_it_is_asked_for() {
        for names in [
            &["openai.gpt-oss-120b-1:0", "openai.gpt-oss-120b-1", "openai.gpt-oss-120b", "gpt-oss-120b"][..],
            &[
                "anthropic.claude-haiku-4-5-20251001-v1:0",
                "anthropic.claude-haiku-4-5-20251001-v1",
                "anthropic.claude-haiku-4-5-20251001",
                "anthropic.claude-haiku-4-5",
                "claude-haiku-4-5",
                "claude-haiku-4-5-20251001",
            ],
            &["anthropic.claude-opus-4-5-20251101-v1:0", "anthropic.claude-opus-4-5-v1:0", "claude-opus-4-5"],
            &["us.anthropic.claude-sonnet-4-5-20250929-v1:0", "us.anthropic.claude-sonnet-4-5"],
            &["nowhere-yet.amazon.nova-lite-v1:0", "nowhere-yet.amazon.nova-lite"],
            &["amazon.nova-2-sonic-v1:0", "amazon.nova-2-sonic"],
        ] {
            for (from, to) in names.iter().flat_map(|from| names.iter().map(move |to| (from, to))) {
                assert!(leads(from, to), "{from} to {to}");
            }
        }
    }

    #[test]
    fn a_length_of_context_leads_to_its_model_and_not_back() {
        for (from, to) in [
            ("amazon.nova-lite-v1:0:24k", "amazon.nova-lite-v1:0"),
            ("us.amazon.nova-lite-v1:0:300k", "us.amazon.nova-lite"),
            ("anthropic.claude-haiku-4-5-20251001-v1:0:200k", "claude-haiku-4-5"),
            ("cohere.embed-v9:0:512", "cohere.embed-v9"),
        ] {
            assert!(leads(from, to) && !leads(to, from), "{from} to {to}");
        }
    }

    #[test]
    fn what_a_model_writes_and_takes_of_a_quota_is_known_by_every_name() {
        let book = crate::pricing::PriceBook::bundled();
        for name in ["claude-haiku-4-5", "claude-3-haiku-20240307"] {
            assert_eq!(book.facts(name), book.facts(&format!("anthropic.{name}")), "{name}");
        }
        assert_eq!(book.burndown("claude-haiku-4-5"), 5);
    }

    #[test]
    fn another_model_release_or_geography_is_not_found() {
        for (from, to) in [
            ("anthropic.claude-3-5-sonnet-20240620-v1:0", "anthropic.claude-3-5-sonnet-20241022-v2:0"),
            ("anthropic.claude-3-5-sonnet-20240620", "anthropic.claude-3-5-sonnet-20241022"),
            ("us.anthropic.claude-sonnet-4-5", "eu.anthropic.claude-sonnet-4-5"),
            ("us.anthropic.claude-sonnet-4-5", "anthropic.claude-sonnet-4-5"),
            ("us.anthropic.claude-sonnet-4-5", "us.claude-sonnet-4-5"),
            ("openai.gpt-oss-20b", "openai.gpt-oss-120b"),
            ("amazon.titan-embed-text-v2:0", "amazon.titan-embed-text-v1"),
            ("arn:aws:bedrock:us-east-1:1:custom-model/anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic.claude-haiku-4-5"),
        ] {
            assert!(!leads(from, to), "{from} to {to}");
        }
        assert!(leads("claude-3-5-sonnet", "anthropic.claude-3-5-sonnet-20241022-v2:0"), "it may be either release");
        assert!(leads("claude-3-5-sonnet", "anthropic.claude-3-5-sonnet-20240620-v1:0"));
    }

    #[test]
    fn a_model_that_the_table_does_not_have_goes_by_its_name_without_version_and_date() {
        for (listed, asked) in [
            ("anthropic.claude-next-9-20280101-v1:0", "anthropic.claude-next-9"),
            ("anthropic.claude-next-9-20280101-v1:0", "claude-next-9-20280101"),
            ("eu.anthropic.claude-next-9-20280101-v1:0", "eu.anthropic.claude-next-9"),
            ("openai.gpt-oss-500b-1:0", "openai.gpt-oss-500b"),
            ("cohere.embed-v9:0", "cohere.embed-v9"),
        ] {
            assert!(spellings(listed).iter().any(|name| name == asked), "{listed} as {asked}");
            assert!(leads(listed, asked), "{listed} to {asked}");
        }
        assert!(spellings("*anthropic.claude-next-9-20280101-v1:0").is_empty());
        assert_eq!(spellings("us.amazon.nova-next"), ["us.amazon.nova-next"]);
    }
}
