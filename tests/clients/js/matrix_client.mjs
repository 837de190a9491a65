// The JavaScript SDK v3 by environment variables alone: a call to each service, or calls for as long as credentials live more than once.

import { setTimeout as pause } from "node:timers/promises";
import { BedrockClient, ListFoundationModelsCommand } from "@aws-sdk/client-bedrock";
import { BedrockAgentClient, ListAgentsCommand } from "@aws-sdk/client-bedrock-agent";
import { BedrockAgentRuntimeClient, RetrieveCommand } from "@aws-sdk/client-bedrock-agent-runtime";
import { BedrockAgentCoreClient, ListEventsCommand } from "@aws-sdk/client-bedrock-agentcore";
import { BedrockAgentCoreControlClient, ListGatewaysCommand } from "@aws-sdk/client-bedrock-agentcore-control";
import { BedrockRuntimeClient, ConverseCommand } from "@aws-sdk/client-bedrock-runtime";
import { check, exit } from "./checks.mjs";

const MODEL = "anthropic.claude-sonnet-4-5-20250929-v1:0";
const messages = [{ role: "user", content: [{ text: "Say hello." }] }];
const retrievalQuery = { text: "What is a gateway?" };

const CALLS = {
  "bedrock-runtime": [BedrockRuntimeClient, () => new ConverseCommand({ modelId: MODEL, messages })],
  bedrock: [BedrockClient, () => new ListFoundationModelsCommand({})],
  "bedrock-agent": [BedrockAgentClient, () => new ListAgentsCommand({})],
  "bedrock-agent-runtime": [
    BedrockAgentRuntimeClient,
    () => new RetrieveCommand({ knowledgeBaseId: "ABCDEFGHIJ", retrievalQuery }),
  ],
  "bedrock-agentcore": [
    BedrockAgentCoreClient,
    () => new ListEventsCommand({ memoryId: "memory-0123456789", sessionId: "s", actorId: "a" }),
  ],
  "bedrock-agentcore-control": [BedrockAgentCoreControlClient, () => new ListGatewaysCommand({})],
};

for (const service of process.env.MATRIX_SERVICES.split(" ")) {
  const [Client, command] = CALLS[service];
  await check(service, async () => {
    // A refusal is not to be hidden by trying again.
    const client = new Client({ maxAttempts: 1 });
    const until = Date.now() + 1_000 * Number(process.env.MATRIX_SECONDS);
    await client.send(command());
    while (Date.now() < until) {
      await client.send(command());
      await pause(100);
    }
  });
}
exit();
