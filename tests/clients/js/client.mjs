// The JavaScript SDK v3 against the gateway: the runtime over HTTP/2, the other clients over HTTP/1.1, and Anthropic's
// Bedrock SDK, which brings its own HTTP.

import { createHash, randomFillSync } from "node:crypto";
import { readFileSync } from "node:fs";
import AnthropicBedrock from "@anthropic-ai/bedrock-sdk";
import { BedrockClient, ListFoundationModelsCommand } from "@aws-sdk/client-bedrock";
import {
  BedrockAgentRuntimeClient,
  RetrieveCommand,
  UntagResourceCommand,
} from "@aws-sdk/client-bedrock-agent-runtime";
import {
  AccessDeniedException,
  BedrockRuntimeClient,
  ConverseCommand,
  ConverseStreamCommand,
  CountTokensCommand,
  InvokeModelCommand,
  InvokeModelWithBidirectionalStreamCommand,
  InvokeModelWithResponseStreamCommand,
  ThrottlingException,
  ValidationException,
} from "@aws-sdk/client-bedrock-runtime";
import { check, ensure, equal, exit } from "./checks.mjs";

const EVENTS = Number(process.env.EVENTS); // of a conversation of all sizes
const EVENT_BYTES_MAX = 1_000_000; // of one chunk, as Bedrock takes them
const SONIC_MODEL = "amazon.nova-sonic-v1:0";
const ACME_MODEL = "anthropic.claude-sonnet-4-5-20250929-v1:0";
const GLOBEX_MODEL = "anthropic.claude-3-haiku-20240307-v1:0";
const PROFILE_ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123";
const SESSION_ARN = "arn:aws:bedrock:us-east-1:123456789012:session/0f8fad5b-d9cb-469f-a165-70867728950e";
const STOP_REASONS = ["end_turn", "max_tokens", "stop_sequence"];

const messages = [{ role: "user", content: [{ text: "Say hello." }] }];
const anthropicBody = JSON.stringify({
  anthropic_version: "bedrock-2023-05-31",
  max_tokens: 64,
  messages: [{ role: "user", content: "Say hello." }],
});

function text(found) {
  ensure(typeof found === "string" && found.trim(), `${JSON.stringify(found)} is not a text`);
  return found;
}

function addsUp(usage) {
  ensure(usage.inputTokens > 0 && usage.outputTokens > 0, "no tokens");
  equal(usage.totalTokens, usage.inputTokens + usage.outputTokens);
}

// Outputs do not show response headers: a middleware beside the deserializer keeps those of the last answer.
function observed(client) {
  client.middlewareStack.add(
    (next) => async (request) => {
      const result = await next(request);
      client.seen = result.response.headers;
      return result;
    },
    { step: "deserialize", priority: "low", name: "observe" },
  );
  return client;
}

function cameFrom(client, service, operation) {
  equal(client.seen["x-simulator-service"], service);
  equal(client.seen["x-simulator-operation"], operation);
}

async function refusal(call) {
  try {
    await call();
  } catch (error) {
    return error;
  }
  return undefined;
}

const json = (bytes) => JSON.parse(new TextDecoder().decode(bytes));

async function runtimeChecks(runtime, model, how = "") {
  await check(`Converse ${how}`.trim(), async () => {
    const answer = await runtime.send(
      new ConverseCommand({ modelId: model, messages, inferenceConfig: { maxTokens: 64 } }),
    );
    equal(answer.$metadata.httpStatusCode, 200);
    cameFrom(runtime, "bedrock-runtime", "Converse");
    text(answer.output.message.content[0].text);
    ensure(STOP_REASONS.includes(answer.stopReason), answer.stopReason);
    addsUp(answer.usage);
  });
  await check(`ConverseStream ${how}`.trim(), async () => {
    const answer = await runtime.send(new ConverseStreamCommand({ modelId: model, messages }));
    cameFrom(runtime, "bedrock-runtime", "ConverseStream");
    let whole = "";
    let stop;
    let last;
    for await (const event of answer.stream) {
      whole += event.contentBlockDelta?.delta?.text ?? "";
      stop = event.messageStop?.stopReason ?? stop;
      last = event;
    }
    text(whole);
    ensure(STOP_REASONS.includes(stop), stop);
    addsUp(last.metadata.usage);
  });
}

async function bearerChecks() {
  const runtime = observed(new BedrockRuntimeClient({}));
  await runtimeChecks(runtime, ACME_MODEL);
  await conversationChecks(runtime, "with a bearer token");
  await check("the runtime speaks HTTP/2", async () => {
    equal(runtime.config.requestHandler.metadata.handlerProtocol, "h2");
  });
  await runtimeChecks(runtime, PROFILE_ARN, "by profile ARN");
  await check("InvokeModel", async () => {
    const answer = await runtime.send(
      new InvokeModelCommand({ modelId: ACME_MODEL, body: anthropicBody, contentType: "application/json" }),
    );
    cameFrom(runtime, "bedrock-runtime", "InvokeModel");
    const message = json(answer.body);
    text(message.content[0].text);
    ensure(message.usage.output_tokens > 0, "no output tokens");
  });
  await check("InvokeModelWithResponseStream", async () => {
    const answer = await runtime.send(
      new InvokeModelWithResponseStreamCommand({ modelId: ACME_MODEL, body: anthropicBody }),
    );
    cameFrom(runtime, "bedrock-runtime", "InvokeModelWithResponseStream");
    const events = [];
    for await (const event of answer.body) events.push(json(event.chunk.bytes));
    text(events.map((event) => event.delta?.text ?? "").join(""));
    equal(events.at(-1).type, "message_stop");
    ensure(events.at(-1)["amazon-bedrock-invocationMetrics"].outputTokenCount > 0, "no output tokens");
  });
  await check("CountTokens", async () => {
    const answer = await runtime.send(
      new CountTokensCommand({ modelId: ACME_MODEL, input: { converse: { messages } } }),
    );
    cameFrom(runtime, "bedrock-runtime", "CountTokens");
    ensure(answer.inputTokens > 0, "no input tokens");
  });
  await check("many streams on one connection", async () => {
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => runtime.send(new ConverseCommand({ modelId: ACME_MODEL, messages }))),
    );
    for (const answer of answers) text(answer.output.message.content[0].text);
  });
  await check("ListFoundationModels", async () => {
    const bedrock = observed(new BedrockClient({}));
    const answer = await bedrock.send(new ListFoundationModelsCommand({ byOutputModality: "TEXT" }));
    cameFrom(bedrock, "bedrock", "ListFoundationModels");
    ensure(answer.modelSummaries.some((model) => model.modelId === ACME_MODEL), "the model is not listed");
  });
}

const isUsage = (bytes) => new TextDecoder().decode(bytes.slice(0, 22)) === '{"event":{"usageEvent"';

// The client's own events are signed with the placeholder keys: its event signer knows no bearer token.
async function conversationChecks(runtime, how) {
  await check(`InvokeModelWithBidirectionalStream ${how}`, async () => {
    let answer;
    const spoken = [];
    let heard;
    async function* speech() {
      for (let number = 0; number < 200; number += 1) {
        const bytes = new Uint8Array(number % 20 === 0 ? 300_000 : number * 10).fill(number);
        spoken.push(bytes);
        const echoed = new Promise((resolve) => (heard = resolve));
        yield { chunk: { bytes } };
        // The next event is spoken when this one was heard: both directions are open at once.
        if (number < 100) await echoed;
      }
    }
    answer = await runtime.send(
      new InvokeModelWithBidirectionalStreamCommand({ modelId: SONIC_MODEL, body: speech() }),
    );
    equal(answer.$metadata.httpStatusCode, 200);
    cameFrom(runtime, "bedrock-runtime", "InvokeModelWithBidirectionalStream");
    let echoes = 0;
    let usage;
    for await (const event of answer.body) {
      const bytes = event.chunk.bytes;
      if (isUsage(bytes)) {
        usage = json(bytes).event.usageEvent;
        continue;
      }
      ensure(Buffer.from(bytes).equals(Buffer.from(spoken[echoes])), `event ${echoes} came back changed`);
      echoes += 1;
      heard();
    }
    equal(echoes, 200);
    equal(usage.totalTokens, usage.totalInputTokens + usage.totalOutputTokens);
  });
  await check(`events of all sizes, said as fast as they are taken ${how}`, async () => {
    const said = [];
    const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
    async function* speech() {
      for (let number = 0; number < EVENTS; number += 1) {
        // Most are small, one in two hundred is as large as Bedrock takes them.
        const share = number % 200 === 199 ? 1 : Math.random() ** 24;
        const bytes = randomFillSync(new Uint8Array(EVENT_BYTES_MAX * share));
        said.push(sha256(bytes));
        yield { chunk: { bytes } };
      }
    }
    const answer = await runtime.send(
      new InvokeModelWithBidirectionalStreamCommand({ modelId: SONIC_MODEL, body: speech() }),
    );
    let heard = 0;
    for await (const event of answer.body) {
      const bytes = event.chunk.bytes;
      if (isUsage(bytes)) continue;
      equal(sha256(bytes), said[heard]);
      heard += 1;
    }
    equal(heard, EVENTS);
  });
  await check(`a broken event is a ValidationException ${how}`, async () => {
    async function* speech() {
      yield { chunk: { bytes: new Uint8Array(3_000_000) } };
      await new Promise((resolve) => setTimeout(resolve, 2_000));
    }
    // It comes as an event, or as the answer if that had not begun.
    const error = await refusal(async () => {
      const answer = await runtime.send(
        new InvokeModelWithBidirectionalStreamCommand({ modelId: SONIC_MODEL, body: speech() }),
      );
      for await (const event of answer.body) ensure(event === undefined, "an event came back");
    });
    ensure(error instanceof ValidationException, `not refused but: ${error}`);
    ensure(error.message.includes("2097152"), error.message);
  });
}

// Keys of the gateway's own: it verifies every event.
async function keyChecks() {
  const credentials = {
    accessKeyId: process.env.TOLLGATE_ACCESS_KEY_ID,
    secretAccessKey: process.env.TOLLGATE_SECRET_ACCESS_KEY,
  };
  await conversationChecks(observed(new BedrockRuntimeClient({ credentials })), "with keys of the gateway's own");
}

async function signedChecks() {
  delete process.env.AWS_BEARER_TOKEN_BEDROCK;
  await runtimeChecks(observed(new BedrockRuntimeClient({})), ACME_MODEL, "with the token as session token");
  await conversationChecks(observed(new BedrockRuntimeClient({})), "with the token as session token");
  const agents = observed(new BedrockAgentRuntimeClient({}));
  await check("Retrieve", async () => {
    const answer = await agents.send(
      new RetrieveCommand({ knowledgeBaseId: "ABCDEFGHIJ", retrievalQuery: { text: "What is a gateway?" } }),
    );
    cameFrom(agents, "bedrock-agent-runtime", "Retrieve");
    ensure(Array.isArray(answer.retrievalResults), "no list of results");
  });
  await check("UntagResource with repeated query keys", async () => {
    await agents.send(new UntagResourceCommand({ resourceArn: SESSION_ARN, tagKeys: ["a", "b"] }));
    cameFrom(agents, "bedrock-agent-runtime", "UntagResource");
  });
}

async function refusalChecks() {
  process.env.AWS_BEARER_TOKEN_BEDROCK = process.env.TOLLGATE_TOKEN_GLOBEX;
  const globex = new BedrockRuntimeClient({ maxAttempts: 1 });
  const call = (modelId) => () => globex.send(new ConverseCommand({ modelId, messages }));
  await check("a model of another tenant is AccessDeniedException", async () => {
    let error;
    // An earlier client's burst may still count against the tenant.
    for (let attempt = 0; attempt < 130; attempt += 1) {
      error = await refusal(call(ACME_MODEL));
      if (!(error instanceof ThrottlingException)) break;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    ensure(error instanceof AccessDeniedException, `not denied but: ${error}`);
    equal(error.$metadata.httpStatusCode, 403);
    text(error.message);
  });
  await check("a burst ends in ThrottlingException", async () => {
    let error;
    for (let calls = 0; calls < 300 && !error; calls += 1) error = await refusal(call(GLOBEX_MODEL));
    ensure(error instanceof ThrottlingException, `not throttled but: ${error}`);
    equal(error.$metadata.httpStatusCode, 429);
  });
}

async function anthropicChecks() {
  const client = new AnthropicBedrock({
    baseURL: process.env.TOLLGATE_URL,
    apiKey: process.env.TOLLGATE_TOKEN_ACME,
    awsRegion: process.env.AWS_REGION,
  });
  const request = { model: ACME_MODEL, max_tokens: 64, messages: [{ role: "user", content: "Say hello." }] };
  await check("AnthropicBedrock create", async () => {
    const message = await client.messages.create(request);
    text(message.content[0].text);
    ensure(message.usage.output_tokens > 0, "no output tokens");
  });
  await check("AnthropicBedrock stream", async () => {
    let whole = "";
    for await (const event of await client.messages.create({ ...request, stream: true })) {
      whole += event.delta?.text ?? "";
    }
    text(whole);
  });
}

const installed = JSON.parse(readFileSync(new URL("./package.json", import.meta.url))).dependencies;
console.log(`version ${installed["@aws-sdk/client-bedrock-runtime"]}`);
await bearerChecks();
await signedChecks();
await keyChecks();
await refusalChecks();
delete process.env.AWS_BEARER_TOKEN_BEDROCK;
for (const name of ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]) delete process.env[name];
await anthropicChecks();
exit();
