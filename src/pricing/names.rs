//! What a model can be called. A name is taken letter for letter, but for what AWS documents as the same model: an ARN around an id,
//! an id with and without the version that all of its kind have, an id with the length of context that its throughput is bought for.

/// Names that AWS documents and the bundled table does not have: the table's name, AWS's.
const DOCUMENTED: [(&str, &str); 1] = [("anthropic.claude-opus-4-5-v1:0", "anthropic.claude-opus-4-5-20251101-v1:0")];

/// The model's id in an ARN of a foundation model or of a profile that AWS defines; whatever else stays as it is. Application
/// profiles, provisioned and imported models, deployments and prompt routers do not say what they stand for.
pub(super) fn id(model: &str) -> &str {
    let Some(arn) = model.strip_prefix("arn:") else { return model };
    // arn:partition:bedrock:region:account:resource
    let Some(resource) = arn.splitn(5, ':').nth(4).filter(|_| arn.split(':').nth(1) == Some("bedrock")) else { return model };
    let id = resource.strip_prefix("foundation-model/").or_else(|| resource.strip_prefix("inference-profile/"));
    id.filter(|id| !id.is_empty() && !id.starts_with("arn:")).unwrap_or(model)
}

/// How a model of the bundled table may be written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spelling {
    pub(super) name: String,
    /// The release date is left out: worth something only if no other release goes by the name.
    pub(super) dateless: bool,
}

/// All spellings of a name without geography. `anthropic.claude-haiku-4-5-20251001-v1:0` is also written without `:0`, without
/// `-v1:0`, and as bedrock-mantle writes it, `anthropic.claude-haiku-4-5`; and all that without `anthropic.`.
pub(super) fn spellings(name: &str) -> Vec<Spelling> {
    let [unrevised, bare] = versionless(name);
    let mut names = vec![name.to_owned(), unrevised.to_owned(), bare.to_owned()];
    if name.starts_with("anthropic.") && !bare.ends_with("-v2") {
        // Since Claude 4.6 ids go with `-v1` or without, and the table writes some of them otherwise than AWS.
        names.extend([format!("{bare}-v1"), format!("{bare}-v1:0")]);
    }
    names.extend(DOCUMENTED.iter().filter(|(table, _)| *table == name).map(|(_, documented)| (*documented).to_owned()));
    let dated = names.into_iter().map(|name| Spelling { name, dateless: false });
    let dateless = date_left_out(unrevised).map(|name| Spelling { name: name.to_owned(), dateless: true });
    let mut spellings: Vec<Spelling> = dated.chain(dateless).collect();
    let without_vendor = |spelling: &Spelling| {
        let name = vendorless(&spelling.name)?.to_owned();
        Some(Spelling { name, dateless: spelling.dateless })
    };
    spellings.extend(spellings.iter().filter_map(without_vendor).collect::<Vec<_>>());
    spellings.sort();
    spellings.dedup();
    spellings
}

/// Those of them that are a part of the name itself, so that nothing has to be written down for them.
pub(super) fn shortened(name: &str) -> impl Iterator<Item = &str> {
    let [unrevised, bare] = versionless(name);
    let longer = [Some(unrevised), Some(bare), date_left_out(unrevised)];
    let with_vendor = longer.into_iter().flatten();
    vendorless(name).into_iter().chain(with_vendor.flat_map(|name| [Some(name), vendorless(name)]).flatten())
}

/// Without `:0`, and without `-v1:0`.
fn versionless(name: &str) -> [&str; 2] {
    let unrevised = name.strip_suffix(":0").unwrap_or(name);
    let first_version = unrevised.strip_suffix("-v1").or_else(|| name.strip_suffix("-1:0"));
    [unrevised, first_version.unwrap_or(unrevised)]
}

/// Without what AWS writes behind a version where throughput is bought and models are customized, mostly a length of context:
/// `amazon.nova-lite-v1:0` of `amazon.nova-lite-v1:0:24k`, of `:0:mm`, and of `:0:512`.
pub(super) fn context_left_out(name: &str) -> Option<&str> {
    let (versioned, context) = name.rsplit_once(':')?;
    let (_, revision) = versioned.rsplit_once(':')?;
    let is_revision = !revision.is_empty() && revision.bytes().all(|b| b.is_ascii_digit());
    (is_revision && !context.is_empty()).then_some(versioned)
}

fn vendorless(name: &str) -> Option<&str> {
    name.strip_prefix("anthropic.").or_else(|| name.strip_prefix("openai."))
}

/// `anthropic.claude-3-5-sonnet` of `anthropic.claude-3-5-sonnet-20241022-v2`.
fn date_left_out(name: &str) -> Option<&str> {
    let (at, _) = name.match_indices("-20").find(|(at, _)| {
        let rest = &name[at + 1..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        digits == 8 && (rest.len() == 8 || rest[8..].starts_with("-v"))
    })?;
    name.get(..at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bedrock::model::{GEOGRAPHIES, geography};

    #[test]
    fn arns_that_name_their_model_are_read_and_others_stay_whole() {
        for (arn, name) in [
            ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"),
            ("arn:aws-cn:bedrock:cn-north-1::foundation-model/meta.llama3-8b-instruct-v1:0", "meta.llama3-8b-instruct-v1:0"),
            ("arn:aws:bedrock:us-east-1:111122223333:inference-profile/us.amazon.nova-lite-v1:0", "us.amazon.nova-lite-v1:0"),
            ("amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"),
        ] {
            assert_eq!(id(arn), name);
        }
        for opaque in [
            "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/abcdefghijkl",
            "arn:aws:bedrock:us-east-1:111122223333:provisioned-model/abcdefghijkl",
            "arn:aws:bedrock:us-east-1:111122223333:custom-model-deployment/abcdefghijkl",
            "arn:aws:bedrock:us-east-1:111122223333:imported-model/abcdefghijkl",
            "arn:aws:bedrock:us-east-1:111122223333:default-prompt-router/anthropic.claude:1",
            "arn:aws:sagemaker:us-east-1:111122223333:foundation-model/amazon.nova-lite-v1:0",
            "arn:aws:bedrock:us-east-1::foundation-model/",
            "arn:aws:bedrock:us-east-1",
            "arn:",
            "",
        ] {
            assert_eq!(id(opaque), opaque);
        }
    }

    #[test]
    fn no_vendor_of_a_priced_model_passes_for_a_geography() {
        let book = crate::pricing::PriceBook::bundled();
        let places: std::collections::BTreeSet<&str> = book.names().filter_map(|name| Some(geography(name)?.0)).collect();
        let unknown: Vec<_> = places.iter().filter(|place| !GEOGRAPHIES.contains(place)).collect();
        assert!(unknown.is_empty() && places.contains("us"), "{unknown:?}");
    }

    #[test]
    fn a_length_of_context_stands_behind_a_version() {
        for (name, versioned) in [
            ("amazon.nova-lite-v1:0:24k", Some("amazon.nova-lite-v1:0")),
            ("amazon.nova-premier-v1:0:mm", Some("amazon.nova-premier-v1:0")),
            ("cohere.embed-english-v3:0:512", Some("cohere.embed-english-v3:0")),
            ("amazon.nova-lite-v1:0", None),
            ("amazon.nova-lite-v1:0:", None),
            ("amazon.nova-lite-v1::24k", None),
            ("amazon.nova-lite-v1:24k", None),
            ("24k", None),
        ] {
            assert_eq!(context_left_out(name), versioned, "{name}");
        }
    }

    #[test]
    fn spellings_leave_out_what_aws_leaves_out() {
        let names = |name: &str| -> Vec<String> {
            spellings(name).into_iter().map(|s| if s.dateless { format!("{} (dateless)", s.name) } else { s.name }).collect()
        };
        assert_eq!(names("nvidia.nemotron-nano-9b-v2:0"), ["nvidia.nemotron-nano-9b-v2", "nvidia.nemotron-nano-9b-v2:0"]);
        assert_eq!(names("mistral.mistral-7b-instruct-v0:2"), ["mistral.mistral-7b-instruct-v0:2"]);
        assert_eq!(
            names("anthropic.claude-3-5-sonnet-20241022-v2:0"),
            [
                "anthropic.claude-3-5-sonnet (dateless)",
                "anthropic.claude-3-5-sonnet-20241022-v2",
                "anthropic.claude-3-5-sonnet-20241022-v2:0",
                "claude-3-5-sonnet (dateless)",
                "claude-3-5-sonnet-20241022-v2",
                "claude-3-5-sonnet-20241022-v2:0",
            ]
        );
        assert_eq!(
            names("openai.gpt-oss-20b-1:0"),
            [
                "gpt-oss-20b",
                "gpt-oss-20b-1",
                "gpt-oss-20b-1:0",
                "openai.gpt-oss-20b",
                "openai.gpt-oss-20b-1",
                "openai.gpt-oss-20b-1:0"
            ]
        );
    }
}
