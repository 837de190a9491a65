"""boto3 and the AWS command line by environment variables alone, with AWS credentials that the gateway vends for a token or that its
keys file has: every request is signed, and the gateway verifies the signature."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from boto3_client import came_from, converse, converse_stream, count_tokens, invoke_model, retrieve
from checks import ACME_MODEL, AGENT_ARN, PROFILE_ARN, check, equal, finish, true, version

TOKEN = os.environ["TOLLGATE_TOKEN_ACME"]
PLACEHOLDERS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK")
CONTAINER = {
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": os.environ["TOLLGATE_CREDENTIALS_URL"],
    "AWS_CONTAINER_AUTHORIZATION_TOKEN": TOKEN,
}
STATIC = {
    "AWS_ACCESS_KEY_ID": os.environ["TOLLGATE_ACCESS_KEY_ID"],
    "AWS_SECRET_ACCESS_KEY": os.environ["TOLLGATE_SECRET_ACCESS_KEY"],
}
REFRESH_SECONDS = 7


def web_identity(token_file):
    return {
        "AWS_ENDPOINT_URL_STS": os.environ["TOLLGATE_STS_URL"],
        "AWS_WEB_IDENTITY_TOKEN_FILE": token_file,
        "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/any",
        "AWS_ROLE_SESSION_NAME": "boto3",
    }


@contextmanager
def environment(variables):
    """These variables and none that hold other credentials, as a container would have them from its start."""
    before = dict(os.environ)
    for name in PLACEHOLDERS:
        os.environ.pop(name, None)
    os.environ.update(variables)
    try:
        yield boto3.Session()
    finally:
        os.environ.clear()
        os.environ.update(before)


def every_service(way, session, prefix):
    with check(f"{way}: the keys are the gateway's own"):
        true(session.get_credentials().access_key.startswith(prefix), session.get_credentials().access_key)
    runtime = session.client("bedrock-runtime")
    with check(f"{way}: converse"):
        converse(runtime, ACME_MODEL)
    with check(f"{way}: converse_stream by profile ARN"):
        converse_stream(runtime, PROFILE_ARN)
    with check(f"{way}: invoke_model"):
        invoke_model(runtime, ACME_MODEL)
    with check(f"{way}: count_tokens"):
        count_tokens(runtime)
    with check(f"{way}: bedrock"):
        came_from(session.client("bedrock").list_foundation_models(), "bedrock", "ListFoundationModels")
    with check(f"{way}: bedrock-agent, repeated query keys"):
        answer = session.client("bedrock-agent").untag_resource(resourceArn=AGENT_ARN, tagKeys=["b", "a c"])
        came_from(answer, "bedrock-agent", "UntagResource")
    with check(f"{way}: bedrock-agent, a trailing slash"):
        came_from(session.client("bedrock-agent").list_agents(), "bedrock-agent", "ListAgents")
    with check(f"{way}: bedrock-agent-runtime"):
        retrieve(session.client("bedrock-agent-runtime"))
    with check(f"{way}: bedrock-agentcore"):
        answer = session.client("bedrock-agentcore").list_events(memoryId="memory-0123456789", sessionId="s", actorId="a")
        came_from(answer, "bedrock-agentcore", "ListEvents")
    with check(f"{way}: bedrock-agentcore-control"):
        answer = session.client("bedrock-agentcore-control").list_gateways()
        came_from(answer, "bedrock-agentcore-control", "ListGateways")
    with check(f"{way}: bedrock-data-automation-runtime"):
        runtime = session.client("bedrock-data-automation-runtime")
        answer = runtime.list_tags_for_resource(resourceARN="arn:aws:bedrock:us-east-1:123456789012:data-automation-project/p")
        came_from(answer, "bedrock-data-automation-runtime", "ListTagsForResource")


def by_path_prefix(session):
    """The client signs the path that it sends, of which the gateway takes the prefix off."""
    url = os.environ["TOLLGATE_URL"]
    runtime = session.client("bedrock-runtime", endpoint_url=f"{url}/bedrock-runtime")
    converse(runtime, PROFILE_ARN)


def wrong_secret_is_refused():
    key, secret = STATIC["AWS_ACCESS_KEY_ID"], STATIC["AWS_SECRET_ACCESS_KEY"]
    wrong = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    once = Config(retries={"total_max_attempts": 1, "mode": "standard"})
    try:
        with environment({}):
            converse(boto3.Session(key, wrong).client("bedrock-runtime", config=once), ACME_MODEL)
    except ClientError as error:
        equal(error.response["Error"]["Code"], "InvalidSignatureException")
    else:
        raise AssertionError("a wrong secret was accepted")


@contextmanager
def short_lifetime(seconds):
    """The demo's configuration is edited for a while; it reloads by itself."""
    file = Path(os.environ["TOLLGATE_CONFIG"])
    before = file.read_text()
    file.write_text(re.sub(r"(?m)^lifetime_seconds = \d+", f"lifetime_seconds = {seconds}", before))
    try:
        with environment(CONTAINER):
            until = time.monotonic() + 30
            while lifetime() > seconds:
                true(time.monotonic() < until, "the gateway did not reload")
                time.sleep(0.1)
        yield
    finally:
        file.write_text(before)


def lifetime():
    """Of credentials that are vended now, in seconds."""
    credentials = boto3.Session().get_credentials()
    credentials.get_frozen_credentials()
    return credentials._expiry_time.timestamp() - time.time()


def refreshes_without_a_failed_call(session, seconds):
    """Longer than credentials live, with one client; no retries that could hide a failure."""
    once = Config(retries={"total_max_attempts": 1, "mode": "standard"})
    runtime = session.client("bedrock-runtime", config=once)
    until, keys = time.monotonic() + seconds, set()
    while time.monotonic() < until:
        converse(runtime, ACME_MODEL)
        keys.add(session.get_credentials().get_frozen_credentials().access_key)
        time.sleep(0.2)
    true(len(keys) > 2, f"{len(keys)} access keys in {seconds} s")


def command_line(variables, *arguments):
    aws = os.path.join(os.path.dirname(sys.executable), "aws")
    with environment(variables):
        done = subprocess.run([aws, *arguments], capture_output=True, text=True, timeout=60)
    equal((done.returncode, done.stderr.strip()), (0, ""))
    return json.loads(done.stdout)


def caller_identity(variables):
    answer = command_line(variables, "sts", "get-caller-identity")
    equal(answer["Arn"], "arn:aws:sts::000000000000:assumed-role/acme/demo-user")
    equal((answer["Account"], answer["UserId"].split(":")[-1]), ("000000000000", "demo-user"))


def main():
    version(boto3.__version__)
    with tempfile.TemporaryDirectory() as folder:
        token_file = os.path.join(folder, "token")
        Path(token_file).write_text(TOKEN)
        token_in_file = {**CONTAINER, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": token_file}
        del token_in_file["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
        ways = {"container": CONTAINER, "token file": token_in_file, "sts": web_identity(token_file), "access key": STATIC}
        for way, variables in ways.items():
            with environment(variables) as session:
                every_service(way, session, "TGAK" if variables is STATIC else "TGSA")
        with environment(CONTAINER) as session, check("a path prefix is signed as it was sent"):
            by_path_prefix(session)
        with check("a wrong secret is InvalidSignatureException"):
            wrong_secret_is_refused()
        with environment({"AWS_BEARER_TOKEN_BEDROCK": os.environ["TOLLGATE_API_KEY"]}) as session, check("an API key as bearer"):
            converse(session.client("bedrock-runtime"), ACME_MODEL)
        with environment({**CONTAINER, "AWS_CONTAINER_AUTHORIZATION_TOKEN": os.environ["TOLLGATE_API_KEY"]}) as session:
            with check("credentials for an API key"):
                retrieve(session.client("bedrock-agent-runtime"))
        for way in ("container", "sts"):
            with check(f"awscli, {way}"):
                command_line(ways[way], "bedrock", "list-foundation-models")
        for way, variables in ways.items():
            with check(f"aws sts get-caller-identity, {way}"):
                caller_identity({**variables, "AWS_ENDPOINT_URL_STS": os.environ["TOLLGATE_STS_URL"]})
        with short_lifetime(2):
            for way in ("container", "sts"):
                with environment(ways[way]) as session, check(f"{way}: expires during the run"):
                    refreshes_without_a_failed_call(session, REFRESH_SECONDS)
    finish()


if __name__ == "__main__":
    main()
