// InvokeModelWithBidirectionalStream by the Java SDK: its asynchronous client, HTTP/2 on Netty, events signed one by one.

package tollgate.clients;

import static tollgate.clients.Client.ensure;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.Iterator;
import java.util.Queue;
import java.util.SplittableRandom;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.reactivestreams.Publisher;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.core.SdkResponse;
import software.amazon.awssdk.core.async.SdkPublisher;
import software.amazon.awssdk.services.bedrockruntime.BedrockRuntimeAsyncClient;
import software.amazon.awssdk.services.bedrockruntime.model.InvokeModelWithBidirectionalStreamInput;
import software.amazon.awssdk.services.bedrockruntime.model.InvokeModelWithBidirectionalStreamResponseHandler;
import software.amazon.awssdk.services.bedrockruntime.model.ValidationException;
import software.amazon.awssdk.utils.async.SimplePublisher;

final class Conversation {
    private static final String MODEL = "amazon.nova-sonic-v1:0";
    private static final byte[] USAGE = "{\"event\":{\"usageEvent\"".getBytes(StandardCharsets.UTF_8);
    /** Of one chunk, as Bedrock takes them. */
    private static final int EVENT_BYTES_MAX = 1_000_000;
    private static final int SECONDS_MAX = 540;

    private Conversation() {}

    /** Each event is said when the one before it was heard: both directions are open at once. */
    static void oneByOne(BedrockRuntimeAsyncClient client) throws Exception {
        int events = 100;
        var speech = new SimplePublisher<InvokeModelWithBidirectionalStreamInput>();
        var heard = new AtomicInteger();
        speech.send(event(said(0)));
        converse(client, speech, bytes -> {
            int number = heard.getAndIncrement();
            ensure(Arrays.equals(bytes, said(number)), "event " + number + " came back changed");
            if (number + 1 < events) {
                speech.send(event(said(number + 1)));
            } else {
                speech.complete();
            }
        });
        ensure(heard.get() == events, heard + " events came back");
    }

    private static byte[] said(int number) {
        var bytes = new byte[number % 10 == 0 ? 300_000 : number];
        Arrays.fill(bytes, (byte) number);
        return bytes;
    }

    /** Events of all sizes, said as fast as they are taken and heard as they come. */
    static void ofAllSizes(BedrockRuntimeAsyncClient client, int events) throws Exception {
        var said = new ConcurrentLinkedQueue<byte[]>();
        var heard = new AtomicInteger();
        converse(client, SdkPublisher.fromIterable(() -> speech(events, said)), bytes -> {
            int number = heard.getAndIncrement();
            ensure(Arrays.equals(said.poll(), sha256(bytes)), "event " + number + " came back changed");
        });
        ensure(heard.get() == events && said.isEmpty(), heard + " events came back");
    }

    /** Most are small, one in two hundred is as large as Bedrock takes them; what each of them hashes to is noted. */
    private static Iterator<InvokeModelWithBidirectionalStreamInput> speech(int events, Queue<byte[]> hashes) {
        return IntStream.range(0, events).mapToObj(number -> {
            var random = new SplittableRandom(number);
            double share = number % 200 == 199 ? 1 : Math.pow(random.nextDouble(), 24);
            var bytes = new byte[(int) (EVENT_BYTES_MAX * share)];
            random.nextBytes(bytes);
            hashes.add(sha256(bytes));
            return event(bytes);
        }).iterator();
    }

    /** An event that the gateway refuses ends the stream in the service's own exception. */
    static void refused(BedrockRuntimeAsyncClient client) throws Exception {
        var speech = new SimplePublisher<InvokeModelWithBidirectionalStreamInput>();
        speech.send(event(new byte[3 * EVENT_BYTES_MAX]));
        try {
            converse(client, speech, bytes -> ensure(false, "an event came back"));
        } catch (ExecutionException error) {
            ensure(error.getCause() instanceof ValidationException, "not refused but: " + error.getCause());
            return;
        }
        ensure(false, "not refused");
    }

    private static InvokeModelWithBidirectionalStreamInput event(byte[] bytes) {
        return InvokeModelWithBidirectionalStreamInput.chunkBuilder().bytes(SdkBytes.fromByteArrayUnsafe(bytes)).build();
    }

    /** Gives `hear` the bytes of every event that is no usage event, to the end of the stream. */
    private static void converse(
            BedrockRuntimeAsyncClient client,
            Publisher<InvokeModelWithBidirectionalStreamInput> speech,
            Consumer<byte[]> hear)
            throws Exception {
        var head = new AtomicReference<SdkResponse>();
        var wrong = new AtomicReference<AssertionError>();
        var visitor = InvokeModelWithBidirectionalStreamResponseHandler.Visitor.builder()
                .onChunk(chunk -> {
                    var bytes = chunk.bytes().asByteArrayUnsafe();
                    if (Arrays.mismatch(bytes, USAGE) == USAGE.length) {
                        return;
                    }
                    try {
                        hear.accept(bytes);
                    } catch (AssertionError error) {
                        wrong.compareAndSet(null, error);
                    }
                })
                .build();
        var handler = InvokeModelWithBidirectionalStreamResponseHandler.builder()
                .onResponse(head::set)
                .subscriber(visitor)
                .build();
        client.invokeModelWithBidirectionalStream(request -> request.modelId(MODEL), speech, handler)
                .get(SECONDS_MAX, TimeUnit.SECONDS);
        if (wrong.get() != null) {
            throw wrong.get();
        }
        Client.cameFrom(head.get(), "bedrock-runtime", "InvokeModelWithBidirectionalStream");
    }

    private static byte[] sha256(byte[] bytes) {
        try {
            return MessageDigest.getInstance("SHA-256").digest(bytes);
        } catch (NoSuchAlgorithmException impossible) {
            throw new AssertionError(impossible);
        }
    }
}
