//! Host names of AWS endpoints, as botocore's rule sets make them: `{prefix}[-fips].{region}.{suffix}`.

/// The DNS suffixes of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// For ordinary endpoints: `amazonaws.com`.
    pub suffix: &'static str,
    /// For dual-stack endpoints: `api.aws`.
    pub dual_stack_suffix: &'static str,
}

/// The partition a region belongs to, by the region's prefix (botocore's `partitions.json`, `regionRegex`).
pub fn partition(region: &str) -> Partition {
    let (suffix, dual_stack_suffix) = match region {
        r if r.starts_with("cn-") => ("amazonaws.com.cn", "api.amazonwebservices.com.cn"),
        r if r.starts_with("eusc-") => ("amazonaws.eu", "api.amazonwebservices.eu"),
        r if r.starts_with("us-isob-") => ("sc2s.sgov.gov", "api.aws.scloud"),
        r if r.starts_with("us-isof-") => ("csp.hci.ic.gov", "api.aws.hci.ic.gov"),
        r if r.starts_with("us-iso-") => ("c2s.ic.gov", "api.aws.ic.gov"),
        r if r.starts_with("eu-isoe-") => ("cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
        _ => ("amazonaws.com", "api.aws"),
    };
    Partition { suffix, dual_stack_suffix }
}

/// What ARNs of a region's partition begin with, after `arn:`.
pub fn arn_partition(region: &str) -> &'static str {
    match region {
        r if r.starts_with("cn-") => "aws-cn",
        r if r.starts_with("us-gov-") => "aws-us-gov",
        r if r.starts_with("eusc-") => "aws-eusc",
        r if r.starts_with("us-isob-") => "aws-iso-b",
        r if r.starts_with("us-isof-") => "aws-iso-f",
        r if r.starts_with("us-iso-") => "aws-iso",
        r if r.starts_with("eu-isoe-") => "aws-iso-e",
        _ => "aws",
    }
}

/// The host of the endpoint with this prefix (`bedrock-runtime`). `suffix` overrides the partition's.
pub fn host(prefix: &str, region: &str, fips: bool, dual_stack: bool, suffix: Option<&str>) -> String {
    let partition = partition(region);
    let own = if dual_stack { partition.dual_stack_suffix } else { partition.suffix };
    let fips = if fips { "-fips" } else { "" };
    format!("{prefix}{fips}.{region}.{}", suffix.unwrap_or(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_those_of_botocores_rule_sets() {
        let plain = |prefix, region| host(prefix, region, false, false, None);
        assert_eq!(plain("bedrock-runtime", "us-east-1"), "bedrock-runtime.us-east-1.amazonaws.com");
        assert_eq!(plain("bedrock", "cn-north-1"), "bedrock.cn-north-1.amazonaws.com.cn");
        assert_eq!(plain("bedrock-agent", "us-gov-west-1"), "bedrock-agent.us-gov-west-1.amazonaws.com");
        assert_eq!(plain("bedrock", "us-isob-east-1"), "bedrock.us-isob-east-1.sc2s.sgov.gov");
        assert_eq!(plain("bedrock", "us-iso-east-1"), "bedrock.us-iso-east-1.c2s.ic.gov");
        assert_eq!(plain("bedrock", "eusc-de-east-1"), "bedrock.eusc-de-east-1.amazonaws.eu");
        assert_eq!(host("bedrock-mantle", "us-west-2", false, true, None), "bedrock-mantle.us-west-2.api.aws");
        assert_eq!(host("bedrock-runtime", "us-east-2", true, false, None), "bedrock-runtime-fips.us-east-2.amazonaws.com");
        assert_eq!(host("bedrock-runtime", "eu-west-1", false, true, None), "bedrock-runtime.eu-west-1.api.aws");
        assert_eq!(
            host("bedrock-mantle", "eu-west-1", false, false, Some("corp.example")),
            "bedrock-mantle.eu-west-1.corp.example"
        );
    }
}
