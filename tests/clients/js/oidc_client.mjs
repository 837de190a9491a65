// A certified OpenID provider as issuer: discovery, key set and tokens as they are; then it is killed, stopped, given new keys, and
// answers garbage. The gateway has to go on with the last good keys, and nothing else may get in.

import { fork } from "node:child_process";
import { createSign, generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createListener } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { check, ensure, equal, exit } from "./checks.mjs";

const GATEWAY = process.env.TOLLGATE_URL;
const CONFIG = process.env.TOLLGATE_CONFIG;
const MODEL = "anthropic.claude-3-haiku-20240307-v1:0";
const DEADLINE_MS = 30_000;

async function until(claim, condition) {
  const end = Date.now() + DEADLINE_MS;
  while (!(await condition())) {
    ensure(Date.now() < end, `in vain waited for: ${claim}`);
    await pause(50);
  }
}

// The provider, in a process of its own

const folder = mkdtempSync(join(tmpdir(), "tollgate-oidc-"));
const port = await freePort();
const issuer = `http://127.0.0.1:${port}`;

/** A port that nobody has now. */
function freePort() {
  const listener = createListener();
  return new Promise((resolve) => {
    listener.listen(0, "127.0.0.1", () => {
      const { port } = listener.address();
      listener.close(() => resolve(port));
    });
  });
}

const KINDS = {
  ES256: ["ec", { namedCurve: "P-256" }],
  RS256: ["rsa", { modulusLength: 2048 }],
  EdDSA: ["ed25519", {}],
};

/** Private keys for every algorithm, as a key set; the RSA key signs RS256 and PS256. */
function makeKeys(name) {
  return Object.entries(KINDS).map(([algorithm, [kind, options]]) => {
    const { privateKey } = generateKeyPairSync(kind, options);
    return { ...privateKey.export({ format: "jwk" }), kid: `${name}-${algorithm}`, use: "sig" };
  });
}

async function startProvider(keys) {
  const file = join(folder, "keys.json");
  writeFileSync(file, JSON.stringify({ keys }));
  const child = fork(new URL("./provider.mjs", import.meta.url), [String(port), file], { silent: true });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (said += text));
  await new Promise((resolve, reject) => {
    child.once("message", resolve);
    child.once("exit", (code) => reject(new Error(`the provider ended with ${code}: ${said.slice(-800)}`)));
  });
  child.removeAllListeners("exit");
  return child;
}

async function kill(child) {
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
}

/** An access token of the provider, by its own token endpoint. */
async function token(algorithm = "ES256", client = "acme", resource = `urn:gateway:${algorithm}`) {
  const form = new URLSearchParams({ grant_type: "client_credentials", scope: "bedrock" });
  if (resource) form.set("resource", resource);
  const authorization = `Basic ${Buffer.from(`${client}:${client}-secret`).toString("base64")}`;
  const answer = await fetch(`${issuer}/token`, { method: "POST", headers: { authorization }, body: form });
  const json = await answer.json();
  ensure(answer.ok, JSON.stringify(json));
  return json.access_token;
}

// The gateway

/** The status and the exception of a request with this token. */
async function ask(bearer) {
  const answer = await fetch(`${GATEWAY}/model/${MODEL}/converse`, {
    method: "POST",
    headers: { authorization: `Bearer ${bearer}`, "content-type": "application/json" },
    body: JSON.stringify({ messages: [{ role: "user", content: [{ text: "Say hello." }] }] }),
  });
  const json = await answer.json();
  return { status: answer.status, exception: answer.headers.get("x-amzn-errortype"), message: json.message };
}

async function served(bearer) {
  const { status, message } = await ask(bearer);
  if (status !== 200) throw new Error(`${status}: ${message}`);
}

async function refused(bearer, words) {
  const { status, exception, message } = await ask(bearer);
  ensure(status === 403 && exception && message.includes(words), `${status} ${exception}: ${message}`);
}

const before = readFileSync(CONFIG, "utf8");
let turns = 0;

/** A reload, with which the gateway fetches every key set. */
function reload() {
  turns += 1;
  const section = `
# Turn ${turns}.
[issuers.provider]
issuer = "${issuer}"
audiences = ["tollgate"]
algorithms = ["ES256", "RS256", "EdDSA"]
required_scopes = ["bedrock"]
key_set_refresh_seconds = 1
`;
  writeFileSync(CONFIG, before + section);
}

// Somebody else's tokens: everything is right but the key.

function forge(good, jwk, privateKey) {
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${encode({ alg: "ES256", typ: "at+jwt", kid: jwk.kid })}.${good.split(".")[1]}`;
  const signature = createSign("SHA256").update(signed).sign({ key: privateKey, dsaEncoding: "ieee-p1363" });
  return `${signed}.${signature.toString("base64url")}`;
}

function makeForger(kid) {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const jwk = { ...publicKey.export({ format: "jwk" }), kid, use: "sig", alg: "ES256" };
  return { jwk, token: (good) => forge(good, jwk, privateKey) };
}

// What a broken or hostile server says in the provider's place

const forger = makeForger("forged");
const forgedKeys = JSON.stringify({ keys: [forger.jwk] });
const discovery = (changes) => JSON.stringify({ issuer, jwks_uri: `${issuer}/jwks`, ...changes });

function say(status, body, headers = {}) {
  return (_, response) => response.writeHead(status, { "content-type": "application/json", ...headers }).end(body);
}

/** Each: what is answered at the discovery document, and at the key set. */
const GARBAGE = {
  "no JSON": [say(200, "<html>sign in</html>"), say(200, forgedKeys)],
  "status 500": [say(500, discovery()), say(500, forgedKeys)],
  "500 for the keys": [say(200, discovery()), say(500, forgedKeys)],
  "the keys cut short": [say(200, discovery()), say(200, forgedKeys.slice(0, -3))],
  "no keys": [say(200, discovery()), say(200, '{"keys": []}')],
  "private and shared keys only": [
    say(200, discovery()),
    say(200, JSON.stringify({ keys: [{ ...forger.jwk, d: "AQAB" }, { kty: "oct", k: "c2VjcmV0", kid: "forged" }] })),
  ],
  "a huge body": [say(200, discovery()), endless],
  "a redirect loop": [redirect(302, "/.well-known/openid-configuration"), say(200, forgedKeys)],
  "a redirect to other keys": [say(200, discovery()), redirect(307, "/elsewhere")],
  "another issuer's document": [say(200, discovery({ issuer: "https://elsewhere.example" })), say(200, forgedKeys)],
  "keys off this machine in plaintext": [say(200, discovery({ jwks_uri: "http://192.0.2.1/jwks" })), say(200, forgedKeys)],
  "a status line and nothing more": [stalled, stalled],
};

function redirect(status, to) {
  return say(status, forgedKeys, { location: issuer + to });
}

/** A key set that would be good, behind more spaces than anybody should read. */
function endless(_, response) {
  response.writeHead(200, { "content-type": "application/json" });
  const spaces = Buffer.alloc(64 * 1024, " ");
  const more = () => {
    while (!response.destroyed && response.write(spaces));
    if (!response.destroyed) response.once("drain", more);
  };
  more();
}

function stalled(_, response) {
  response.writeHead(200, { "content-type": "application/json" });
  response.flushHeaders();
}

async function withGarbage([atDiscovery, atKeys], run) {
  const asked = { discovery: 0, elsewhere: 0 };
  const server = createServer((request, response) => {
    if (request.url === "/.well-known/openid-configuration") {
      asked.discovery += 1;
      return atDiscovery(request, response);
    }
    if (request.url === "/jwks") return atKeys(request, response);
    asked.elsewhere += 1;
    return say(200, forgedKeys)(request, response);
  });
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  try {
    await run(asked);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

// The checks, each beginning where the last one ended

const [first, second, third] = ["first", "second", "third"].map(makeKeys);
let provider = await startProvider(first);
const old = await token();
let good;

/** First of all: an unknown key is asked for once in half a minute, and forged tokens have such keys. */
async function rotated() {
  reload();
  await until("the gateway to know the issuer", async () => (await ask(old)).status === 200);
  let turning = true;
  let calls = 0;
  const load = (async () => {
    for (; turning; calls += 1) await served(old);
  })();
  load.catch(() => {});
  await check("rotated: no token of either key is refused, from the first on", async () => {
    await kill(provider);
    provider = await startProvider([...second, ...first]);
    // Nobody has told the gateway: these tokens' keys are some that it has not seen.
    for (const algorithm of ["ES256", "RS256", "EdDSA"]) await served(await token(algorithm));
    turning = false;
    await load;
    ensure(calls > 10, `${calls} calls`);
  });
  turning = false;
  good = await token();
}

async function asItIs() {
  for (const algorithm of ["ES256", "RS256", "EdDSA"]) {
    await check(`a token signed with ${algorithm}`, async () => served(await token(algorithm)));
  }
  await check("a token of an algorithm that is not accepted", async () => refused(await token("PS256"), "algorithm"));
  await check("a token for another audience", async () => refused(await token("", "acme", "urn:elsewhere"), "audience"));
  await check("an opaque token", async () => refused(await token("", "acme", ""), "not a well-formed JWT"));
  await check("a client that is no tenant", async () => refused(await token("ES256", "stranger"), "does not know"));
  await check("a forged token", async () => refused(forger.token(good), "does not publish"));
  await check("a forged token by a known key's name", async () => {
    await refused(makeForger("second-ES256").token(good), "signature does not verify");
  });
}

async function whileItIsDown() {
  await kill(provider);
  await check("killed: the gateway goes on", async () => {
    reload();
    for (let calls = 0; calls < 20; calls += 1) await served(good);
    await refused(forger.token(good), "does not publish");
  });
  for (const [what, answers] of Object.entries(GARBAGE)) {
    await check(`${what}: the gateway goes on, and nothing gets in`, async () => {
      await withGarbage(answers, async (asked) => {
        reload();
        await until("the gateway to ask", () => asked.discovery > 0);
        // Another fetch begins when the first has failed.
        reload();
        const once = asked.discovery;
        await until("the gateway to ask again", () => asked.discovery > once);
        await served(good);
        await refused(forger.token(good), "does not publish");
        equal(asked.elsewhere, 0);
        ensure(asked.discovery < 10, `asked ${asked.discovery} times`);
      });
    });
  }
}

async function stopped() {
  provider = await startProvider([...second, ...first]);
  await check("stopped, so that it accepts and says nothing: the gateway goes on", async () => {
    process.kill(provider.pid, "SIGSTOP");
    try {
      reload();
      const end = Date.now() + 2_000;
      while (Date.now() < end) await served(good);
      await refused(makeForger("unheard").token(good), "does not publish");
    } finally {
      process.kill(provider.pid, "SIGCONT");
    }
  });
}

async function withdrawn() {
  await check("rotated again: a withdrawn key is believed no longer", async () => {
    await kill(provider);
    provider = await startProvider([...third, ...second]);
    reload();
    await until("the gateway to have the new keys", async () => (await ask(await token())).status === 200);
    await refused(old, "does not publish");
    await served(good);
  });
}

const installed = JSON.parse(readFileSync(new URL("./package.json", import.meta.url))).dependencies;
console.log(`version ${installed["oidc-provider"]}`);
try {
  await rotated();
  await asItIs();
  await whileItIsDown();
  await stopped();
  await withdrawn();
} finally {
  writeFileSync(CONFIG, before);
  provider.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
}
exit();
