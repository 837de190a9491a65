//! By what an operation is charged, as data: tokens where its answers say how many, otherwise the request itself, or nothing.

use crate::bedrock::{Operation, Service};

/// How an operation is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metering {
    /// By the tokens that its answer reports.
    Tokens,
    /// By request: Bedrock charges it, but its answer says nothing about tokens, or only sometimes.
    PerRequest,
    /// Not at all: control plane, sessions, counting tokens.
    Free,
}

/// Model invocations. `Responses` with `background` answers before anything was generated; its usage is then in `GetResponse`, which
/// is free here because it can be asked any number of times: such a request is charged all that was held for it, as an estimate.
const TOKENS: [&str; 9] = [
    "ChatCompletions",
    "Converse",
    "ConverseStream",
    "InvokeHarness",
    "InvokeModel",
    "InvokeModelWithBidirectionalStream",
    "InvokeModelWithResponseStream",
    "Messages",
    "Responses",
];

/// Charged by request, and yet their answers tell tokens if they were asked for a trace.
const TRACED: [&str; 2] = ["InvokeAgent", "InvokeInlineAgent"];

/// Charged by request, and each request runs its model once.
const RUN_ONCE: [&str; 2] = ["Rerank", "StartAsyncInvoke"];

/// Of the control planes, and of data automation's, whatever starts a job that models work on, or rents capacity or room for them.
const JOBS: [&str; 20] = [
    "CreateAdvancedPromptOptimizationJob",
    "CreateCapacityProvider",
    "CreateEvaluationJob",
    "CreateMarketplaceModelEndpoint",
    "CreateModelCustomizationJob",
    "CreateModelImportJob",
    "CreateModelInvocationJob",
    "CreateOnlineEvaluationConfig",
    "CreateProvisionedModelThroughput",
    "IngestKnowledgeBaseDocuments",
    "InvokeBlueprintOptimizationAsync",
    "InvokeDataAutomation",
    "InvokeDataAutomationAsync",
    "InvokeDataAutomationLibraryIngestionJob",
    "StartAutomatedReasoningPolicyBuildWorkflow",
    "StartAutomatedReasoningPolicyTestWorkflow",
    "StartIngestionJob",
    "StartPolicyGeneration",
    "UpdateCapacityProvider",
    "UpdateMarketplaceModelEndpoint",
];

/// At run time, what is billed although it only keeps books: events and records of a memory (<https://aws.amazon.com/bedrock/agentcore/pricing/>),
/// and payments.
const BILLED_BOOKS: [&str; 3] = ["BatchCreateMemoryRecords", "CreateEvent", "ProcessPayment"];

/// At run time, what begins so keeps books and runs nothing.
const BOOKKEEPING: [&str; 21] = [
    "BatchCreate",
    "BatchDelete",
    "BatchUpdate",
    "Cancel",
    "Check",
    "Complete",
    "Count",
    "Create",
    "Delete",
    "End",
    "Get",
    "List",
    "Process",
    "Put",
    "Save",
    "Search",
    "Stop",
    "Tag",
    "Untag",
    "Update",
    "IngestData",
];

impl Metering {
    /// Of an operation in the table. What a run-time service has that is in no list here is charged by request.
    pub fn of(operation: &Operation) -> Metering {
        if TOKENS.contains(&operation.name) {
            return Metering::Tokens;
        }
        let runs = match operation.service {
            Service::Bedrock
            | Service::BedrockAgent
            | Service::BedrockAgentcoreControl
            | Service::BedrockDataAutomation
            | Service::BedrockDataAutomationRuntime => JOBS.contains(&operation.name),
            Service::BedrockRuntime | Service::BedrockAgentRuntime | Service::BedrockAgentcore | Service::BedrockMantle => {
                let keeps_books = BOOKKEEPING.iter().any(|beginning| operation.name.starts_with(beginning));
                !keeps_books || BILLED_BOOKS.contains(&operation.name)
            }
        };
        if runs { Metering::PerRequest } else { Metering::Free }
    }

    /// Whether a request is one to a model, so that it costs what the model's requests cost: a job is many.
    pub fn runs_once(operation: &Operation) -> bool {
        Metering::of(operation) == Metering::Tokens || RUN_ONCE.contains(&operation.name)
    }

    /// Whether an answer of the operation may tell its tokens, by whatever it is charged. One that is not in the table may.
    pub fn tells_tokens(operation: &Operation) -> bool {
        Metering::of(operation) == Metering::Tokens || is_traced(operation)
    }
}

/// Whether the tokens stand in the events of a trace.
pub(super) fn is_traced(operation: &Operation) -> bool {
    TRACED.contains(&operation.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bedrock::operations;

    #[test]
    fn every_name_in_a_list_is_an_operation() {
        for name in TOKENS.iter().chain(&JOBS).chain(&TRACED).chain(&RUN_ONCE).chain(&BILLED_BOOKS) {
            assert!(operations().iter().any(|operation| operation.name == *name), "{name}");
        }
        for beginning in BOOKKEEPING {
            assert!(operations().iter().any(|operation| operation.name.starts_with(beginning)), "{beginning}");
        }
    }

    #[test]
    fn what_runs_at_run_time_is_charged() {
        let charged = |service: Service| -> Vec<&str> {
            let of_service = operations().iter().filter(|operation| operation.service == service);
            let mut names: Vec<&str> = of_service
                .filter(|operation| Metering::of(operation) == Metering::PerRequest)
                .map(|operation| operation.name)
                .collect();
            names.dedup();
            names
        };
        assert_eq!(charged(Service::BedrockRuntime), ["ApplyGuardrail", "InvokeGuardrailChecks", "StartAsyncInvoke"]);
        assert_eq!(charged(Service::BedrockMantle), Vec::<&str>::new());
        assert_eq!(
            charged(Service::BedrockAgentRuntime),
            [
                "AgenticRetrieveStream",
                "GenerateQuery",
                "InvokeAgent",
                "InvokeFlow",
                "InvokeInlineAgent",
                "OptimizePrompt",
                "Rerank",
                "Retrieve",
                "RetrieveAndGenerate",
                "RetrieveAndGenerateStream",
                "StartFlowExecution",
            ]
        );
        assert_eq!(
            charged(Service::BedrockAgentcore),
            [
                "BatchCreateMemoryRecords",
                "CreateEvent",
                "Evaluate",
                "InvokeAgentRuntime",
                "InvokeAgentRuntimeCommand",
                "InvokeBrowser",
                "InvokeCodeInterpreter",
                "InvokeWebSearch",
                "ProcessPayment",
                "RetrieveMemoryRecords",
                "StartBatchEvaluation",
                "StartBrowserSession",
                "StartCodeInterpreterSession",
                "StartDatasetGeneration",
                "StartMemoryExtractionJob",
                "StartRecommendation",
            ]
        );
    }
}
