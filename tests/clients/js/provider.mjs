// A certified OpenID provider (npm's oidc-provider) with made-up keys, for oidc_client.mjs: one process, so that it can be killed and
// stopped as processes are. Takes its port and the keys it signs with; all keys are published, and of each algorithm the first signs.
//
//     node provider.mjs PORT KEYS.json

import { readFileSync } from "node:fs";
import Provider from "oidc-provider";

const [port, keys] = [Number(process.argv[2]), process.argv[3]];
const ALGORITHMS = ["ES256", "RS256", "PS256", "EdDSA"];

/** One resource for each algorithm, by the name of which the tokens for it are signed; and one that is not the gateway. */
function resourceServer(resource) {
  const algorithm = resource.split(":").at(-1);
  const audience = ALGORITHMS.includes(algorithm) ? "tollgate" : "elsewhere";
  const sign = { alg: ALGORITHMS.includes(algorithm) ? algorithm : "ES256" };
  return { scope: "bedrock", audience, accessTokenTTL: 300, accessTokenFormat: "jwt", jwt: { sign } };
}

const client = (id) => ({
  client_id: id,
  client_secret: `${id}-secret`,
  grant_types: ["client_credentials"],
  redirect_uris: [],
  response_types: [],
});

const provider = new Provider(`http://127.0.0.1:${port}`, {
  jwks: JSON.parse(readFileSync(keys, "utf8")),
  clients: [client("acme"), client("globex"), client("stranger")],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: { enabled: true, getResourceServerInfo: (_, resource) => resourceServer(resource) },
  },
  extraTokenClaims: (_, token) => ({ tenant: token.clientId }),
  scopes: ["bedrock"],
});
provider.listen(port, "127.0.0.1", () => process.send?.("ready"));
