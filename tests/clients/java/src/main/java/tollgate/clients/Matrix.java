// The Java SDK v2 by environment variables alone: a call to each service, or calls for as long as credentials live more than once.

package tollgate.clients;

import java.time.Duration;
import java.time.Instant;
import software.amazon.awssdk.core.client.config.ClientOverrideConfiguration;
import software.amazon.awssdk.retries.DefaultRetryStrategy;
import software.amazon.awssdk.services.bedrock.BedrockClient;
import software.amazon.awssdk.services.bedrockagent.BedrockAgentClient;
import software.amazon.awssdk.services.bedrockagentcore.BedrockAgentCoreClient;
import software.amazon.awssdk.services.bedrockagentcorecontrol.BedrockAgentCoreControlClient;
import software.amazon.awssdk.services.bedrockagentruntime.BedrockAgentRuntimeClient;
import software.amazon.awssdk.services.bedrockruntime.BedrockRuntimeClient;
import software.amazon.awssdk.services.bedrockruntime.model.ContentBlock;
import software.amazon.awssdk.services.bedrockruntime.model.ConversationRole;
import software.amazon.awssdk.services.bedrockruntime.model.Message;

public final class Matrix {
    private static final String MODEL = "anthropic.claude-sonnet-4-5-20250929-v1:0";
    private static final Message HELLO =
            Message.builder().role(ConversationRole.USER).content(ContentBlock.fromText("Say hello.")).build();
    // A refusal is not to be hidden by trying again.
    private static final ClientOverrideConfiguration ONCE =
            ClientOverrideConfiguration.builder().retryStrategy(DefaultRetryStrategy.doNotRetry()).build();

    public static void main(String[] arguments) throws InterruptedException {
        var seconds = Duration.ofMillis((long) (1_000 * Double.parseDouble(System.getenv("MATRIX_SECONDS"))));
        var failed = false;
        for (var service : System.getenv("MATRIX_SERVICES").split(" ")) {
            try {
                var call = call(service);
                var until = Instant.now().plus(seconds);
                call.run();
                while (Instant.now().isBefore(until)) {
                    call.run();
                    Thread.sleep(100);
                }
                System.out.println("ok " + service);
            } catch (RuntimeException error) {
                failed = true;
                System.out.println("failed " + service + ": " + String.valueOf(error).replaceAll("\\s+", " "));
            }
        }
        System.exit(failed ? 1 : 0);
    }

    private static Runnable call(String service) {
        switch (service) {
            case "bedrock-runtime" -> {
                var client = BedrockRuntimeClient.builder().overrideConfiguration(ONCE).build();
                return () -> client.converse(request -> request.modelId(MODEL).messages(HELLO));
            }
            case "bedrock" -> {
                var client = BedrockClient.builder().overrideConfiguration(ONCE).build();
                return () -> client.listFoundationModels(request -> {});
            }
            case "bedrock-agent" -> {
                var client = BedrockAgentClient.builder().overrideConfiguration(ONCE).build();
                return () -> client.listAgents(request -> {});
            }
            case "bedrock-agent-runtime" -> {
                var client = BedrockAgentRuntimeClient.builder().overrideConfiguration(ONCE).build();
                return () -> client.retrieve(request -> request
                        .knowledgeBaseId("ABCDEFGHIJ")
                        .retrievalQuery(query -> query.text("What is a gateway?")));
            }
            case "bedrock-agentcore" -> {
                var client = BedrockAgentCoreClient.builder().overrideConfiguration(ONCE).build();
                return () -> client.listEvents(
                        request -> request.memoryId("memory-0123456789").sessionId("s").actorId("a"));
            }
            case "bedrock-agentcore-control" -> {
                var client = BedrockAgentCoreControlClient.builder().overrideConfiguration(ONCE).build();
                return () -> client.listGateways(request -> {});
            }
            default -> throw new IllegalArgumentException(service);
        }
    }
}
