//! What OpenTelemetry calls the operations that run models:
//! <https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/>.

use crate::bedrock::Operation;

/// `gen_ai.operation.name`; nothing for operations that run no model of their own.
pub fn operation_name(operation: &Operation, model: Option<&str>) -> Option<&'static str> {
    match operation.name {
        "Converse" | "ConverseStream" | "ChatCompletions" | "Messages" | "Responses" => Some("chat"),
        // Their bodies are the models' own; only the name tells which models make vectors.
        "InvokeModel" if model.is_some_and(|model| model.contains("embed")) => Some("embeddings"),
        "InvokeModel" | "InvokeModelWithResponseStream" | "InvokeModelWithBidirectionalStream" => Some("chat"),
        "InvokeAgent" | "InvokeInlineAgent" | "InvokeAgentRuntime" | "InvokeHarness" => Some("invoke_agent"),
        "Retrieve" | "AgenticRetrieveStream" | "RetrieveMemoryRecords" => Some("retrieval"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bedrock::operations;

    #[test]
    fn every_name_is_one_of_the_table() {
        let named = |name: &str| operations().iter().filter(|operation| operation_name(operation, None) == Some(name)).count();
        assert_eq!(["chat", "invoke_agent", "retrieval"].map(named), [13, 4, 3]);
    }

    #[test]
    fn models_that_embed_are_known_by_their_names() {
        let invoke = operations().iter().find(|operation| operation.name == "InvokeModel").unwrap();
        assert_eq!(operation_name(invoke, Some("amazon.titan-embed-text-v2:0")), Some("embeddings"));
        assert_eq!(operation_name(invoke, Some("amazon.nova-lite-v1:0")), Some("chat"));
    }
}
