//! Host names of AWS endpoints, as botocore's rule sets make them: `{prefix}[-fips].{region}.{suffix}`.

use crate::bedrock::Service;

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

/// The host of a service's endpoint. `suffix` overrides the partition's. bedrock-mantle exists on the dual-stack suffix only.
pub fn host(service: Service, region: &str, fips: bool, dual_stack: bool, suffix: Option<&str>) -> String {
    let partition = partition(region);
    let suffix = match suffix {
        Some(suffix) => suffix,
        None if dual_stack || service == Service::BedrockMantle => partition.dual_stack_suffix,
        None => partition.suffix,
    };
    let fips = if fips { "-fips" } else { "" };
    format!("{}{fips}.{region}.{suffix}", service.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_those_of_botocores_rule_sets() {
        let plain = |service, region| host(service, region, false, false, None);
        assert_eq!(plain(Service::BedrockRuntime, "us-east-1"), "bedrock-runtime.us-east-1.amazonaws.com");
        assert_eq!(plain(Service::BedrockMantle, "us-west-2"), "bedrock-mantle.us-west-2.api.aws");
        assert_eq!(plain(Service::Bedrock, "cn-north-1"), "bedrock.cn-north-1.amazonaws.com.cn");
        assert_eq!(plain(Service::BedrockAgent, "us-gov-west-1"), "bedrock-agent.us-gov-west-1.amazonaws.com");
        assert_eq!(plain(Service::Bedrock, "us-isob-east-1"), "bedrock.us-isob-east-1.sc2s.sgov.gov");
        assert_eq!(plain(Service::Bedrock, "us-iso-east-1"), "bedrock.us-iso-east-1.c2s.ic.gov");
        assert_eq!(plain(Service::Bedrock, "eusc-de-east-1"), "bedrock.eusc-de-east-1.amazonaws.eu");
        assert_eq!(host(Service::BedrockRuntime, "us-east-2", true, false, None), "bedrock-runtime-fips.us-east-2.amazonaws.com");
        assert_eq!(host(Service::BedrockRuntime, "eu-west-1", false, true, None), "bedrock-runtime.eu-west-1.api.aws");
        assert_eq!(
            host(Service::BedrockMantle, "eu-west-1", false, false, Some("corp.example")),
            "bedrock-mantle.eu-west-1.corp.example"
        );
    }
}
