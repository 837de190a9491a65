//! Names of models, as requests have them: ids, ids of inference profiles, and ARNs.

/// The id that a foundation model's or a system inference profile's ARN stands for. Any other name stands for itself: application
/// profiles mean whatever their owner says, so they are known by their ARN only.
pub fn canonical(model: &str) -> &str {
    let kind_and_id = model.strip_prefix("arn:").and_then(|rest| rest.splitn(5, ':').last()?.split_once('/'));
    match kind_and_id {
        Some(("foundation-model" | "inference-profile", id)) => id,
        _ => model,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_that_stand_for_an_id_are_that_id() {
        for (model, id) in [
            ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"),
            ("arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-lite-v1:0", "us.amazon.nova-lite-v1:0"),
            (
                "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc",
                "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc",
            ),
            ("amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"),
            ("arn:aws", "arn:aws"),
            ("", ""),
        ] {
            assert_eq!(canonical(model), id);
        }
    }
}
