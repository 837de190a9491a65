//! Names of models, as requests have them: ids, ids of inference profiles, and ARNs; and what such a name says about itself. What an
//! opaque one stands for, only the configuration knows.

/// An ARN, as far as it names a resource: `arn:PARTITION:SERVICE:REGION:ACCOUNT:KIND/ID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arn<'a> {
    /// `bedrock`, `sagemaker`, …
    pub service: &'a str,
    /// Empty where the resource has none.
    pub region: &'a str,
    /// Empty where the resource belongs to AWS.
    pub account: &'a str,
    /// `foundation-model`, `application-inference-profile`, …
    pub kind: &'a str,
    /// What stands behind the first slash; further slashes are part of it.
    pub id: &'a str,
}

impl<'a> Arn<'a> {
    /// Reads one; nothing else is an ARN, in whatever case.
    pub fn parse(text: &'a str) -> Option<Arn<'a>> {
        let mut parts = text.strip_prefix("arn:")?.splitn(5, ':');
        let partition = parts.next()?;
        let (service, region, account) = (parts.next()?, parts.next()?, parts.next()?);
        let (kind, id) = parts.next()?.split_once('/')?;
        let is_partition = partition == "aws" || partition.starts_with("aws-");
        is_partition.then_some(Arn { service, region, account, kind, id })
    }

    /// The id, where the ARN is AWS's own way to write it.
    fn plain_id(self) -> Option<&'a str> {
        let digits = self.account.bytes().all(|b| b.is_ascii_digit());
        let owned = match self.kind {
            "foundation-model" => self.account.is_empty(),
            "inference-profile" => digits && !self.account.is_empty(),
            _ => false,
        };
        let plain = owned && self.service == "bedrock" && !self.region.is_empty() && !self.id.contains(['/', ' ']);
        (plain && !self.id.is_empty() && !self.id.starts_with("arn:")).then_some(self.id)
    }
}

/// The id that a foundation model's or a system inference profile's ARN stands for. Any other name stands for itself: application
/// profiles mean whatever their owner says, so they are known by their ARN only.
pub fn canonical(model: &str) -> &str {
    Arn::parse(model).and_then(Arn::plain_id).unwrap_or(model)
}

/// Whether a name says nothing about what it stands for: application profiles, provisioned throughput, imported and custom models,
/// prompts, prompt routers, endpoints. An id never has a slash, and nothing that AWS would not take for an ARN gets by as an id.
pub fn is_opaque(model: &str) -> bool {
    let id = canonical(model);
    let begins_as_arn = id.get(..4).is_some_and(|beginning| beginning.eq_ignore_ascii_case("arn:"));
    begins_as_arn || id.contains('/')
}

/// Who makes models: the first label of an id that is no geography.
pub const VENDORS: [&str; 19] = [
    "ai21",
    "amazon",
    "anthropic",
    "cohere",
    "deepseek",
    "google",
    "luma",
    "meta",
    "minimax",
    "mistral",
    "moonshot",
    "moonshotai",
    "nvidia",
    "openai",
    "qwen",
    "stability",
    "twelvelabs",
    "writer",
    "zai",
];

/// The geographies of system inference profiles that this version knows. `us-gov` is another partition with prices of its own.
pub const GEOGRAPHIES: [&str; 10] = ["us", "us-gov", "eu", "apac", "jp", "au", "ca", "in", "sa", GLOBAL];

/// The one that is everywhere.
pub const GLOBAL: &str = "global";

/// The geography of a system inference profile's id, and the model's id below it: `us` and `amazon.nova-lite-v1:0`. It is not looked for
/// among [`GEOGRAPHIES`], since AWS adds some: one that is new must not pass for none where data has to stay in a place.
pub fn geography(id: &str) -> Option<(&str, &str)> {
    let (first, rest) = id.split_once('.')?;
    (!VENDORS.contains(&first) && rest.contains('.')).then_some((first, rest))
}

/// The regions and geographies that a text brings with it, if it is an ARN of whatever, or a guardrail's profile: the ARN's region, and the
/// geography that a profile takes data to. Partition and owner are not looked at: what is no ARN to AWS leads nowhere.
pub fn places(text: &str) -> impl Iterator<Item = &str> {
    let arn = text.strip_prefix("arn:").map(|rest| rest.splitn(5, ':').collect::<Vec<_>>());
    let (region, profile) = match arn.as_deref() {
        Some([_, service, region, _, resource]) => {
            let profile = resource.split_once("-profile/").filter(|_| *service == "bedrock");
            (Some(*region).filter(|region| !region.is_empty()), profile.map(|(_, id)| id))
        }
        _ => (None, Some(text).filter(|text| is_guardrail_profile(text))),
    };
    let geography = profile.and_then(|id| id.split_once('.')).map(|(first, _)| first);
    region.into_iter().chain(geography.filter(|first| !VENDORS.contains(first)))
}

/// `us.guardrail.v1:0`, which `CreateGuardrail` takes beside the ARN.
fn is_guardrail_profile(text: &str) -> bool {
    let is_version = |version: &str| !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit() || b == b':');
    let is_geography = |geography: &str| geography.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    text.split_once(".guardrail.v").is_some_and(|(geography, version)| is_geography(geography) && is_version(version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_brings_its_region_and_a_profile_its_geography() {
        for (text, expected) in [
            ("arn:aws:kms:eu-west-1:1:key/k", &["eu-west-1"][..]),
            ("arn:aws:lambda:eu-west-1:1:function:f", &["eu-west-1"]),
            ("arn:aws-us-gov:bedrock:us-gov-west-1:1:guardrail/g", &["us-gov-west-1"]),
            ("arn::bedrock-agentcore:eu-west-1:1:harness/h", &["eu-west-1"]),
            ("arn:aws:iam::1:role/r", &[]),
            ("arn:aws:s3:::bucket/key", &[]),
            ("arn:aws:bedrock:us-east-1:1:data-automation-profile/us.data-automation-v1", &["us-east-1", "us"]),
            ("arn:aws:bedrock:us-east-1:aws:data-automation-profile/eu.data-automation-v2", &["us-east-1", "eu"]),
            ("arn:aws:bedrock:us-east-1:1:guardrail-profile/us-gov.guardrail.v1:0", &["us-east-1", "us-gov"]),
            ("arn:aws:bedrock:us-east-1:1:inference-profile/eu.amazon.nova-lite-v1:0", &["us-east-1", "eu"]),
            ("arn:aws:bedrock:us-east-1:1:application-inference-profile/abc", &["us-east-1"]),
            ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0", &["us-east-1"]),
            ("us.guardrail.v1:0", &["us"]),
            ("my.guardrail.version", &[]),
            ("arn:aws:kms", &[]),
            ("see arn:aws:kms:eu-west-1:1:key/k", &[]),
            ("", &[]),
        ] {
            assert_eq!(places(text).collect::<Vec<_>>(), expected, "{text}");
        }
    }

    #[test]
    fn arns_that_stand_for_an_id_are_that_id() {
        for (model, id) in [
            ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"),
            ("arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"),
            ("arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-lite-v1:0", "us.amazon.nova-lite-v1:0"),
            ("amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"),
            ("", ""),
        ] {
            assert_eq!(canonical(model), id);
            assert!(!is_opaque(model), "{model}");
        }
    }

    #[test]
    fn whatever_else_looks_like_an_arn_is_opaque() {
        for model in [
            "arn:aws:bedrock:us-east-1:1:application-inference-profile/us.amazon.nova-lite-v1:0",
            "arn:aws:bedrock:us-east-1:1:foundation-model/amazon.nova-lite-v1:0",
            "arn:aws:bedrock:us-east-1::inference-profile/us.amazon.nova-lite-v1:0",
            "arn:aws:bedrock:us-east-1:me:inference-profile/us.amazon.nova-lite-v1:0",
            "arn:aws:bedrock:::foundation-model/amazon.nova-lite-v1:0",
            "arn:aws:sagemaker:us-east-1::foundation-model/amazon.nova-lite-v1:0",
            "arn:evil:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0",
            "arn:aws:bedrock:us-east-1::foundation-model/",
            "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0/x",
            "arn:aws:bedrock:us-east-1::foundation-model/arn:aws:bedrock:us-east-1::foundation-model/x",
            "ARN:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0",
            "arn:aws",
            "amazon.nova-lite-v1:0/x",
        ] {
            assert!(is_opaque(model), "{model}");
            assert_eq!(canonical(model), model);
        }
    }

    #[test]
    fn a_geography_is_what_stands_before_a_vendor() {
        assert_eq!(geography("us.amazon.nova-lite-v1:0"), Some(("us", "amazon.nova-lite-v1:0")));
        assert_eq!(geography("us-gov.anthropic.claude-3-haiku"), Some(("us-gov", "anthropic.claude-3-haiku")));
        assert_eq!(geography("nowhere-yet.openai.gpt-5.6"), Some(("nowhere-yet", "openai.gpt-5.6")));
        for id in ["amazon.nova-lite-v1:0", "openai.gpt-5.6-sol", "abcdefghijkl", ""] {
            assert_eq!(geography(id), None, "{id}");
        }
    }
}
