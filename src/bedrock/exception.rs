//! The exceptions that Bedrock answers with, by names from a fixed set: whoever counts them must not count by what a stranger writes.

/// Of [Bedrock Runtime](https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html), its other
/// APIs, and those that all of AWS has.
const KNOWN: [&str; 14] = [
    "AccessDeniedException",
    "ConflictException",
    "InternalServerException",
    "ModelErrorException",
    "ModelNotReadyException",
    "ModelStreamErrorException",
    "ModelTimeoutException",
    "ResourceInUseException",
    "ResourceNotFoundException",
    "ServiceQuotaExceededException",
    "ServiceUnavailableException",
    "ThrottlingException",
    "UnknownOperationException",
    "ValidationException",
];

/// The exception of this name, which streams write with a small first letter. `None` if it is another one.
pub fn known(name: &str) -> Option<&'static str> {
    KNOWN.into_iter().find(|known| {
        let (first, rest) = known.split_at(1);
        name.strip_suffix(rest).is_some_and(|left| left.eq_ignore_ascii_case(first))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_and_streams_write_the_same_name() {
        for name in ["ThrottlingException", "throttlingException"] {
            assert_eq!(known(name), Some("ThrottlingException"));
        }
        for name in
            ["", "T", "hrottlingException", "XThrottlingException", "THROTTLINGEXCEPTION", "SomethingElse", "éhrottlingException"]
        {
            assert_eq!(known(name), None, "{name}");
        }
    }
}
