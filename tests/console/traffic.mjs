// Traffic that makes the console worth looking at: two tenants, several models, refusals of every kind, and names that would like to
// be more than text.
import https from "node:https";

const agent = new https.Agent({ rejectUnauthorized: false, keepAlive: true, maxSockets: 16 });

export const HOSTILE = "<script>alert(1)</script>";

const MODELS = ["anthropic.claude-3-haiku-20240307-v1:0", "amazon.nova-lite-v1:0", "amazon.nova-pro-v1:0", "meta.llama3-1-70b-instruct-v1:0"];

function converse(gateway, token, model, headers = {}) {
  const body = JSON.stringify({ messages: [{ role: "user", content: [{ text: "Hello" }] }], inferenceConfig: { maxTokens: 200 } });
  const url = new URL(`/model/${encodeURIComponent(model)}/converse`, gateway);
  return new Promise((resolve, reject) => {
    const request = https.request(url, {
      agent,
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${token}`, ...headers },
    });
    request.on("error", reject);
    request.on("response", (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode));
    });
    request.end(body);
  });
}

export async function traffic(env) {
  const gateway = env.TOLLGATE_URL;
  const asks = [];
  for (let turn = 0; turn < 120; turn++) {
    const used = { "x-simulator-input-tokens": String(400 + 37 * turn), "x-simulator-output-tokens": String(50 + 11 * turn) };
    asks.push(converse(gateway, env.TOLLGATE_TOKEN_ACME, MODELS[turn % MODELS.length], used));
  }
  for (let turn = 0; turn < 40; turn++) {
    asks.push(converse(gateway, env.TOLLGATE_TOKEN_GLOBEX, MODELS[turn % 2], { "x-simulator-input-tokens": "30000" }));
  }
  for (let turn = 0; turn < 6; turn++) {
    asks.push(converse(gateway, env.TOLLGATE_TOKEN_GLOBEX, HOSTILE));
    asks.push(converse(gateway, env.TOLLGATE_TOKEN_ACME, HOSTILE));
    asks.push(converse(gateway, "nobody", MODELS[0]));
    asks.push(converse(gateway, env.TOLLGATE_TOKEN_ACME, MODELS[0], { "x-simulator-throttle": "true" }));
  }
  const statuses = {};
  for (const status of await Promise.all(asks)) statuses[status] = (statuses[status] ?? 0) + 1;
  agent.destroy();
  return statuses;
}
