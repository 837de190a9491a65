// The Java SDK v2 against the gateway: synchronous calls on Apache 5, streams on Netty, refusals as their own classes.

package tollgate.clients;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.AwsSessionCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.auth.token.credentials.StaticTokenProvider;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.core.SdkResponse;
import software.amazon.awssdk.core.util.VersionInfo;
import software.amazon.awssdk.http.SdkHttpResponse;
import software.amazon.awssdk.retries.DefaultRetryStrategy;
import software.amazon.awssdk.services.bedrock.BedrockClient;
import software.amazon.awssdk.services.bedrock.model.ModelModality;
import software.amazon.awssdk.services.bedrockagentruntime.BedrockAgentRuntimeClient;
import software.amazon.awssdk.services.bedrockruntime.BedrockRuntimeAsyncClient;
import software.amazon.awssdk.services.bedrockruntime.BedrockRuntimeClient;
import software.amazon.awssdk.services.bedrockruntime.auth.scheme.BedrockRuntimeAuthSchemeProvider;
import software.amazon.awssdk.services.bedrockruntime.model.AccessDeniedException;
import software.amazon.awssdk.services.bedrockruntime.model.BedrockRuntimeException;
import software.amazon.awssdk.services.bedrockruntime.model.ContentBlock;
import software.amazon.awssdk.services.bedrockruntime.model.ConversationRole;
import software.amazon.awssdk.services.bedrockruntime.model.ConverseStreamResponseHandler;
import software.amazon.awssdk.services.bedrockruntime.model.InvokeModelWithResponseStreamResponseHandler;
import software.amazon.awssdk.services.bedrockruntime.model.Message;
import software.amazon.awssdk.services.bedrockruntime.model.StopReason;
import software.amazon.awssdk.services.bedrockruntime.model.ThrottlingException;
import software.amazon.awssdk.services.bedrockruntime.model.TokenUsage;

public final class Client {
    private static final String ACME_MODEL = "anthropic.claude-sonnet-4-5-20250929-v1:0";
    private static final String GLOBEX_MODEL = "anthropic.claude-3-haiku-20240307-v1:0";
    private static final String PROFILE_ARN =
            "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123";
    private static final String SESSION_ARN =
            "arn:aws:bedrock:us-east-1:123456789012:session/0f8fad5b-d9cb-469f-a165-70867728950e";
    private static final String ANTHROPIC_BODY = "{\"anthropic_version\":\"bedrock-2023-05-31\",\"max_tokens\":64,"
            + "\"messages\":[{\"role\":\"user\",\"content\":\"Say hello.\"}]}";
    private static final List<StopReason> STOP_REASONS =
            List.of(StopReason.END_TURN, StopReason.MAX_TOKENS, StopReason.STOP_SEQUENCE);
    private static final Message HELLO =
            Message.builder().role(ConversationRole.USER).content(ContentBlock.fromText("Say hello.")).build();

    /** Of a conversation of all sizes. */
    private static final int EVENTS = Integer.parseInt(System.getenv("EVENTS"));

    private static int failed = 0;

    public static void main(String[] arguments) {
        System.out.println("version " + VersionInfo.SDK_VERSION);
        try (var runtime = BedrockRuntimeClient.create(); var streams = BedrockRuntimeAsyncClient.create()) {
            check("converse", () -> converse(runtime, ACME_MODEL));
            check("converse by profile ARN", () -> converse(runtime, PROFILE_ARN));
            check("converse, asynchronous", () -> converseAsync(streams));
            check("converseStream", () -> converseStream(streams, ACME_MODEL));
            check("converseStream by profile ARN", () -> converseStream(streams, PROFILE_ARN));
            check("invokeModel", () -> invokeModel(runtime));
            check("invokeModelWithResponseStream", () -> invokeModelWithResponseStream(streams));
            check("countTokens", () -> countTokens(runtime));
            conversations("bearer token", streams);
        }
        check("listFoundationModels", Client::listFoundationModels);
        try (var runtime = signed(); var streams = signedStreams()) {
            check("converse, token as session token", () -> converse(runtime, ACME_MODEL));
            check("converseStream, token as session token", () -> converseStream(streams, ACME_MODEL));
            conversations("token as session token", streams);
        }
        try (var streams = keys()) {
            conversations("keys of the gateway's own", streams);
        }
        try (var agents = BedrockAgentRuntimeClient.create()) {
            check("retrieve", () -> retrieve(agents));
            check("untagResource with repeated query keys", () -> untagResource(agents));
        }
        try (var globex = globex()) {
            check("a model of another tenant is AccessDeniedException", () -> denied(globex));
            check("a burst ends in ThrottlingException", () -> throttled(globex));
        }
        System.exit(failed > 0 ? 1 : 0);
    }

    private static void conversations(String how, BedrockRuntimeAsyncClient client) {
        var operation = "invokeModelWithBidirectionalStream, ";
        check(operation + how, () -> Conversation.oneByOne(client));
        check(operation + "events of all sizes, " + how, () -> Conversation.ofAllSizes(client, EVENTS));
        check(operation + "an event too large, " + how, () -> Conversation.refused(client));
    }

    private static void converse(BedrockRuntimeClient runtime, String model) {
        var answer = runtime.converse(request -> request.modelId(model).messages(HELLO));
        cameFrom(answer, "bedrock-runtime", "Converse");
        text(answer.output().message().content().get(0).text());
        ensure(STOP_REASONS.contains(answer.stopReason()), "stop reason " + answer.stopReason());
        addsUp(answer.usage());
    }

    private static void converseAsync(BedrockRuntimeAsyncClient runtime) throws Exception {
        var answer = runtime.converse(request -> request.modelId(ACME_MODEL).messages(HELLO)).get(60, TimeUnit.SECONDS);
        cameFrom(answer, "bedrock-runtime", "Converse");
        text(answer.output().message().content().get(0).text());
    }

    private static void converseStream(BedrockRuntimeAsyncClient runtime, String model) throws Exception {
        var whole = new StringBuffer();
        var stop = new AtomicReference<StopReason>();
        var usage = new AtomicReference<TokenUsage>();
        var head = new AtomicReference<SdkResponse>();
        var visitor = ConverseStreamResponseHandler.Visitor.builder()
                .onContentBlockDelta(event -> whole.append(event.delta().text()))
                .onMessageStop(event -> stop.set(event.stopReason()))
                .onMetadata(event -> usage.set(event.usage()))
                .build();
        var handler = ConverseStreamResponseHandler.builder().onResponse(head::set).subscriber(visitor).build();
        runtime.converseStream(request -> request.modelId(model).messages(HELLO), handler).get(60, TimeUnit.SECONDS);
        cameFrom(head.get(), "bedrock-runtime", "ConverseStream");
        text(whole.toString());
        ensure(STOP_REASONS.contains(stop.get()), "stop reason " + stop.get());
        addsUp(usage.get());
    }

    private static void invokeModel(BedrockRuntimeClient runtime) {
        var answer = runtime.invokeModel(request -> request.modelId(ACME_MODEL)
                .contentType("application/json")
                .body(SdkBytes.fromUtf8String(ANTHROPIC_BODY)));
        cameFrom(answer, "bedrock-runtime", "InvokeModel");
        ensure(answer.body().asUtf8String().contains("\"output_tokens\""), "no usage in the body");
    }

    private static void invokeModelWithResponseStream(BedrockRuntimeAsyncClient runtime) throws Exception {
        var chunks = new ArrayList<String>();
        var head = new AtomicReference<SdkResponse>();
        var visitor = InvokeModelWithResponseStreamResponseHandler.Visitor.builder()
                .onChunk(chunk -> chunks.add(chunk.bytes().asUtf8String()))
                .build();
        var handler = InvokeModelWithResponseStreamResponseHandler.builder()
                .onResponse(head::set)
                .subscriber(visitor)
                .build();
        runtime.invokeModelWithResponseStream(
                request -> request.modelId(ACME_MODEL).body(SdkBytes.fromUtf8String(ANTHROPIC_BODY)), handler)
                .get(60, TimeUnit.SECONDS);
        cameFrom(head.get(), "bedrock-runtime", "InvokeModelWithResponseStream");
        ensure(chunks.stream().anyMatch(chunk -> chunk.contains("text_delta")), "no text");
        var last = chunks.get(chunks.size() - 1);
        ensure(last.contains("amazon-bedrock-invocationMetrics"), "no metrics in the last chunk");
    }

    private static void countTokens(BedrockRuntimeClient runtime) {
        var answer = runtime.countTokens(request -> request.modelId(ACME_MODEL)
                .input(input -> input.converse(converse -> converse.messages(HELLO))));
        cameFrom(answer, "bedrock-runtime", "CountTokens");
        ensure(answer.inputTokens() > 0, "no input tokens");
    }

    private static void listFoundationModels() {
        try (var bedrock = BedrockClient.create()) {
            var answer = bedrock.listFoundationModels(request -> request.byOutputModality(ModelModality.TEXT));
            cameFrom(answer, "bedrock", "ListFoundationModels");
            ensure(answer.modelSummaries().stream().anyMatch(model -> model.modelId().equals(ACME_MODEL)),
                    "the model is not listed");
        }
    }

    private static void retrieve(BedrockAgentRuntimeClient agents) {
        var answer = agents.retrieve(request ->
                request.knowledgeBaseId("ABCDEFGHIJ").retrievalQuery(query -> query.text("What is a gateway?")));
        cameFrom(answer, "bedrock-agent-runtime", "Retrieve");
        ensure(answer.hasRetrievalResults(), "no list of results");
    }

    private static void untagResource(BedrockAgentRuntimeClient agents) {
        var answer = agents.untagResource(request -> request.resourceArn(SESSION_ARN).tagKeys("a", "b"));
        cameFrom(answer, "bedrock-agent-runtime", "UntagResource");
    }

    private static void denied(BedrockRuntimeClient globex) throws InterruptedException {
        var error = refusal(globex, ACME_MODEL);
        // An earlier client's burst may still count against the tenant.
        for (int attempt = 0; attempt < 130 && error instanceof ThrottlingException; attempt++) {
            Thread.sleep(500);
            error = refusal(globex, ACME_MODEL);
        }
        ensure(error instanceof AccessDeniedException, "not denied but: " + error);
        equal(error.awsErrorDetails().errorCode(), "AccessDeniedException");
        ensure(error.statusCode() == 403, "status " + error.statusCode());
        text(error.awsErrorDetails().errorMessage());
        text(error.requestId());
    }

    private static void throttled(BedrockRuntimeClient globex) {
        BedrockRuntimeException error = null;
        for (int calls = 0; calls < 300 && error == null; calls++) {
            error = refusal(globex, GLOBEX_MODEL);
        }
        ensure(error instanceof ThrottlingException, "not throttled but: " + error);
        ensure(error.isThrottlingException() && error.statusCode() == 429, "status " + error.statusCode());
    }

    /** The service's error as the SDK types it, or null if the call succeeds. */
    private static BedrockRuntimeException refusal(BedrockRuntimeClient client, String model) {
        try {
            client.converse(request -> request.modelId(model).messages(HELLO));
            return null;
        } catch (BedrockRuntimeException error) {
            return error;
        }
    }

    private static BedrockRuntimeClient globex() {
        return BedrockRuntimeClient.builder()
                .authSchemeProvider(schemes("httpBearerAuth")) // or the token of the environment would win
                .tokenProvider(StaticTokenProvider.create(() -> System.getenv("TOLLGATE_TOKEN_GLOBEX")))
                .overrideConfiguration(config -> config.retryStrategy(DefaultRetryStrategy.doNotRetry()))
                .build();
    }

    private static BedrockRuntimeClient signed() {
        return BedrockRuntimeClient.builder()
                .authSchemeProvider(schemes("sigv4"))
                .credentialsProvider(placeholders())
                .build();
    }

    private static BedrockRuntimeAsyncClient signedStreams() {
        return BedrockRuntimeAsyncClient.builder()
                .authSchemeProvider(schemes("sigv4"))
                .credentialsProvider(placeholders())
                .build();
    }

    /** What the gateway has given out: it verifies every event. */
    private static BedrockRuntimeAsyncClient keys() {
        var keys = AwsBasicCredentials.create(
                System.getenv("TOLLGATE_ACCESS_KEY_ID"), System.getenv("TOLLGATE_SECRET_ACCESS_KEY"));
        return BedrockRuntimeAsyncClient.builder()
                .authSchemeProvider(schemes("sigv4"))
                .credentialsProvider(StaticCredentialsProvider.create(keys))
                .build();
    }

    private static BedrockRuntimeAuthSchemeProvider schemes(String... preferred) {
        return BedrockRuntimeAuthSchemeProvider.defaultProvider(List.of(preferred));
    }

    private static StaticCredentialsProvider placeholders() {
        var token = System.getenv("TOLLGATE_TOKEN_ACME");
        return StaticCredentialsProvider.create(AwsSessionCredentials.create("placeholder", "placeholder", token));
    }

    static void cameFrom(SdkResponse answer, String service, String operation) {
        SdkHttpResponse http = answer.sdkHttpResponse();
        equal(http.firstMatchingHeader("x-simulator-service").orElse(null), service);
        equal(http.firstMatchingHeader("x-simulator-operation").orElse(null), operation);
    }

    private static void addsUp(TokenUsage usage) {
        ensure(usage != null && usage.inputTokens() > 0 && usage.outputTokens() > 0, "no tokens");
        ensure(usage.totalTokens() == usage.inputTokens() + usage.outputTokens(), "the total is not the sum");
    }

    private static void text(String found) {
        ensure(found != null && !found.isBlank(), "no text");
    }

    private static void equal(String found, String expected) {
        ensure(expected.equals(found), found + " is not " + expected);
    }

    static void ensure(boolean holds, String otherwise) {
        if (!holds) {
            throw new AssertionError(otherwise);
        }
    }

    private interface Check {
        void run() throws Exception;
    }

    private static void check(String name, Check check) {
        try {
            check.run();
            System.out.println("ok " + name);
        } catch (Exception | AssertionError error) {
            failed++;
            System.out.println("failed " + name + ": " + error.toString().replaceAll("\\s+", " "));
        }
    }
}
