"""Tenants' own AWS roles and the instance's credentials, against moto's STS and IMDS: a gateway and a simulator of this program's own,
boto3 in front of them.

moto makes keys that nobody else knows, so the simulator is told of each before the gateway has it. moto's IMDS leaves out a header that
AWS's SDK for Rust wants, and its credentials are good for a day; both are set right here.
"""

import base64
import contextlib
import datetime
import json
import logging
import os
import re
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.request
from collections import Counter
from importlib.metadata import version as installed
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from moto.instance_metadata import responses as imds
from moto.instance_metadata import urls as imds_urls
from moto.server import ThreadedMotoServer
from moto.sts.responses import TokenResponse

from boto3_client import MESSAGES
from checks import ACME_MODEL, check, equal, finish, true, version

# Longer than any step takes on a busy machine.
DEADLINE_SECONDS = 60
# Lives of credentials that are to expire during the run, and how long that run is.
SHORT_SECONDS = 6
RUN_SECONDS = 8

SHARED_ROLE = "arn:aws:iam::123456789012:role/tenants"
OWN_ROLE = "arn:aws:iam::210987654321:role/bedrock"
# What moto's IMDS gives out.
INSTANCE_KEY = {
    "access_key_id": "test-key",
    "secret_access_key": "test-secret-key",
    "session_token": "test-session-token",
}

CONFIG = """
[[listeners]]
address = "127.0.0.1:{traffic}"
[admin]
address = "127.0.0.1:{admin}"
[upstream]
region = "us-east-1"
connect_to = "{simulator}"
ca_file = "simulator-ca.pem"
[issuers.test]
issuer = "https://issuer.test"
audiences = ["gateway"]
algorithms = ["RS256"]
key_set = {{ file = "keys.json" }}
[roles]
sts_endpoint = "{sts}"
claim_tags = {{ Department = "department", "cost center" = "/billing/center" }}
transitive_tags = ["tenant"]
[tenants.plain]
services = ["*"]
operations = ["*"]
models = ["*"]
[tenants.acme]
services = ["*"]
operations = ["*"]
models = ["*"]
[tenants.acme.role]
arn = "{shared_role}"
external_id = "tollgate-1"
[tenants.globex]
services = ["*"]
operations = ["*"]
models = ["*"]
[tenants.globex.role]
arn = "{own_role}"
per_principal = true
[tenants.brief]
services = ["*"]
operations = ["*"]
models = ["*"]
[tenants.brief.role]
arn = "{shared_role}"
duration_seconds = {short}
[tenants.late]
services = ["*"]
operations = ["*"]
models = ["*"]
[tenants.late.role]
arn = "{shared_role}"
[log]
access = false
"""


class Moto:
    """moto's server, with what was asked of its STS; a fixed port, so that it can go and come back."""

    def __init__(self, trust):
        self.calls, self.port = [], free_port()
        TokenResponse.assume_role = self.noting(TokenResponse.assume_role, trust)
        self.instance_seconds = 24 * 3_600
        imds.utcnow = lambda: now() + datetime.timedelta(seconds=self.instance_seconds, days=-1)
        imds_urls.url_paths["{0}/(?P<path>.+)"] = with_lifetime(imds.InstanceMetadataResponse.metadata_response)
        # On a server of its own: the instance's credentials stay when STS goes.
        self.instance = ThreadedMotoServer("127.0.0.1", free_port(), verbose=False)
        self.instance.start()
        self.start()

    def noting(self, assume_role, trust):
        def noted(response):
            answer = assume_role(response)
            made = answer.result["Credentials"]
            trust({
                "access_key_id": made.access_key_id,
                "secret_access_key": made.secret_access_key,
                "session_token": made.session_token,
            })  # fmt: skip
            self.calls.append((made, {name: value[0] for name, value in response.querystring.items()}))
            return answer

        return noted

    def start(self):
        self.sts = ThreadedMotoServer("127.0.0.1", self.port, verbose=False)
        self.sts.start()

    def stop(self):
        self.sts.stop()
        # Otherwise the kernel goes on to accept.
        self.sts._server.server_close()

    def keys_of(self, session_name):
        return [made.access_key_id for made, _ in self.calls if made.session_name == session_name]


def now():
    return datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)


def with_lifetime(respond):
    def responding(request, full_url, headers):
        status, more, body = respond(request, full_url, headers)
        return status, {**more, "x-aws-ec2-metadata-token-ttl-seconds": "21600"}, body

    return responding


class Issuer:
    """An RSA key and the tokens that it signs."""

    def __init__(self):
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def key_set(self):
        public = self.key.public_key().public_numbers()
        n, e = (encoded(number.to_bytes((number.bit_length() + 7) // 8, "big")) for number in (public.n, public.e))
        return {"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "1", "n": n, "e": e}]}

    def token(self, tenant, subject="alice", **claims):
        seconds = int(time.time())
        times = {"iat": seconds, "exp": seconds + 3_600}
        claims = {"iss": "https://issuer.test", "aud": "gateway", "sub": subject, "tenant": tenant, **times, **claims}
        parts = ({"alg": "RS256", "kid": "1"}, claims)
        signed = ".".join(encoded(json.dumps(part).encode()) for part in parts)
        return signed + "." + encoded(self.key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(folder, arguments, more=()):
    """tollgate with these arguments and no credentials in its environment, until the block ends."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    log = folder / f"{arguments[0]}.log"
    with open(log, "w") as output:
        process = subprocess.Popen(
            [os.environ["TOLLGATE"], *arguments],
            cwd=folder,
            env={**environment, **dict(more), "HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            yield lambda: process.poll() is None or log.read_text()
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def until(claim, condition):
    end = time.monotonic() + DEADLINE_SECONDS
    while True:
        with contextlib.suppress(OSError):
            if found := condition():
                return found
        true(time.monotonic() < end, f"in vain waited for: {claim}")
        time.sleep(0.05)


def get(url, data=None, trusted=None):
    context = ssl.create_default_context(cafile=trusted) if trusted else None
    request = urllib.request.Request(url, data=data, method="POST" if data else "GET")
    with urllib.request.urlopen(request, timeout=10, context=context) as answer:
        return answer.read().decode()


class World:
    """A simulator, moto, and a gateway on an instance that has a role."""

    def __init__(self, folder, stack):
        self.folder, self.issuer = folder, Issuer()
        port, self.ca = free_port(), folder / "simulator-ca.pem"
        simulator = ["simulate", "--port", str(port), "--ca-file", str(self.ca)]
        stack.enter_context(running(folder, simulator))
        self.simulator = f"https://localhost:{port}/_simulator"
        until("the simulator", lambda: self.ca.exists() and self.record())
        self.trust(INSTANCE_KEY)
        self.moto = Moto(self.trust)
        (folder / "keys.json").write_text(json.dumps(self.issuer.key_set()))
        self.traffic, self.admin = free_port(), free_port()
        config = CONFIG.format(
            traffic=self.traffic,
            admin=self.admin,
            simulator=f"127.0.0.1:{port}",
            sts=f"http://127.0.0.1:{self.moto.port}",
            shared_role=SHARED_ROLE,
            own_role=OWN_ROLE,
            short=SHORT_SECONDS,
        )
        (folder / "tollgate.toml").write_text(config)
        host, port = self.moto.instance.get_host_and_port()
        instance = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://{host}:{port}"}
        # Its first credentials are to expire while the checks run.
        self.moto.instance_seconds = SHORT_SECONDS
        alive = stack.enter_context(running(folder, ["run", "-c", "tollgate.toml"], instance))
        until("the gateway", lambda: equal(alive(), True) or get(f"http://127.0.0.1:{self.admin}/readyz"))

    def trust(self, key):
        get(f"{self.simulator}/keys", json.dumps(key).encode(), self.ca)

    def record(self):
        return json.loads(get(f"{self.simulator}/record", trusted=self.ca))

    def signed_by(self):
        """Who signed the request that the simulator served last."""
        return self.record()["requests"][-1]["access_key_id"]

    def client(self, tenant, subject="alice", **claims):
        session = boto3.Session("placeholder", "placeholder", self.issuer.token(tenant, subject, **claims))
        once = Config(retries={"total_max_attempts": 1, "mode": "standard"})
        return session.client("bedrock-runtime", "us-east-1", endpoint_url=f"http://127.0.0.1:{self.traffic}", config=once)

    def metric(self, start):
        lines = get(f"http://127.0.0.1:{self.admin}/metrics").splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(start))


def converse(client):
    client.converse(modelId=ACME_MODEL, messages=MESSAGES)


def instance_credentials_are_renewed(world):
    """No retries hide a failure, and the old credentials do not live so long."""
    client, first = world.client("plain"), world.metric("tollgate_credentials_expiry_timestamp_seconds ")
    end = time.monotonic() + RUN_SECONDS
    while time.monotonic() < end:
        converse(client)
    last = world.metric("tollgate_credentials_expiry_timestamp_seconds ")
    true(last > first, f"{first} was not renewed")
    world.moto.instance_seconds = 24 * 3_600


def sessions_are_renewed(world):
    client, end = world.client("brief"), time.monotonic() + RUN_SECONDS
    while time.monotonic() < end:
        converse(client)
    made, used = world.moto.keys_of("brief"), Counter(served["access_key_id"] for served in world.record()["requests"])
    true(len([key for key in made if used[key]]) > 1, f"{made}: {used}")


def assumed_with_tags(world):
    converse(world.client("acme", department="Search", billing={"center": "C-12"}))
    made, asked = world.moto.calls[-1]
    equal(world.signed_by(), made.access_key_id)
    tags = {asked[f"Tags.member.{n}.Key"]: asked[f"Tags.member.{n}.Value"] for n in (1, 2, 3)}
    equal(tags, {"tenant": "acme", "Department": "Search", "cost center": "C-12"})
    equal((made.role_arn, made.session_name, made.external_id), (SHARED_ROLE, "acme", "tollgate-1"))
    equal(asked["TransitiveTagKeys.member.1"], "tenant")
    before = len(world.moto.calls)
    converse(world.client("acme", subject="bob", department="Search", billing={"center": "C-12"}))
    equal((len(world.moto.calls), world.signed_by()), (before, made.access_key_id))


def own_account_by_principal(world):
    keys = set()
    for subject, readable in (("alice", "alice"), ("system:serviceaccount:ns:app", "system-serviceaccount-ns-app")):
        converse(world.client("globex", subject=subject))
        made, asked = world.moto.calls[-1]
        equal((made.role_arn, made.account_id), (OWN_ROLE, "210987654321"))
        true("ExternalId" not in asked, "the other role's external id")
        equal(world.signed_by(), made.access_key_id)
        true(re.fullmatch(re.escape(readable) + "=[0-9a-f]{16}", made.session_name), made.session_name)
        keys.add(made.access_key_id)
    equal(len(keys), 2)


def refused_without_sts(world):
    world.moto.stop()
    try:
        converse(world.client("late"))
    except ClientError as error:
        equal(error.response["ResponseMetadata"]["HTTPStatusCode"], 503)
        true("no AWS session for tenant late" in error.response["Error"]["Message"], error.response["Error"])
    else:
        raise AssertionError("was signed for")
    converse(world.client("plain"))
    equal(world.signed_by(), INSTANCE_KEY["access_key_id"])
    converse(world.client("acme", department="Search", billing={"center": "C-12"}))
    equal(get(f"http://127.0.0.1:{world.admin}/readyz").strip(), "ready")
    true(world.metric('tollgate_assume_role_calls_total{outcome="failed",tenant="late"}') >= 1, "no failed call")


def served_once_sts_is_back(world):
    world.moto.start()

    def served():
        with contextlib.suppress(ClientError):
            converse(world.client("late"))
            return True

    until("a session", served)
    equal(world.signed_by(), world.moto.keys_of("late")[-1])


def main():
    version(f"moto {installed('moto')}")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    # Here each tenant's token is the session token of placeholder keys.
    os.environ.pop("AWS_BEARER_TOKEN_BEDROCK", None)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        world = World(Path(folder), stack)
        with check("the gateway's own credentials are the instance's, by IMDSv2"):
            converse(world.client("plain"))
            equal(world.signed_by(), INSTANCE_KEY["access_key_id"])
        with check("the instance's credentials expire during the run"):
            instance_credentials_are_renewed(world)
        with check("AssumeRole with tags from tenant and claims, and its credentials sign"):
            assumed_with_tags(world)
        with check("a role of another account, a session for each principal"):
            own_account_by_principal(world)
        with check("a session expires during the run"):
            sessions_are_renewed(world)
        with check("without STS its tenant is refused, and nobody else"):
            refused_without_sts(world)
        with check("it is served again once STS is back"):
            served_once_sts_is_back(world)
    finish()


if __name__ == "__main__":
    main()
