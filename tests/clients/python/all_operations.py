"""Calls every operation of the eight Bedrock services through botocore, and checks that each one arrives as itself.

The parameters are generated from botocore's models: what is required and what travels in the query or a header, the
first value of an enum, a string that fits the pattern. The simulator says in two response headers which service and
operation it took the request for.

Not a test of answers: those of the simulator are mostly empty.
"""

import os
import re
import sys
from pathlib import Path

import botocore
import botocore.session
from botocore.config import Config

from checks import ACME_MODEL, AGENT_ARN, SESSION_ARN, check, equal, finish, note, version

SERVICES = (
    "bedrock",
    "bedrock-runtime",
    "bedrock-agent",
    "bedrock-agent-runtime",
    "bedrock-agentcore",
    "bedrock-agentcore-control",
    "bedrock-data-automation",
    "bedrock-data-automation-runtime",
)
TABLE = Path(__file__).resolve().parents[3] / "src" / "bedrock" / "operations.tsv"

# botocore has no HTTP/2, which a stream in both directions needs.
NOT_DRIVEN = {("bedrock-runtime", "InvokeModelWithBidirectionalStream")}

ACCOUNT = "us-east-1:123456789012"
UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
BODY = (
    b'{"anthropic_version":"bedrock-2023-05-31","max_tokens":16,'
    b'"messages":[{"role":"user","content":"Say hello."}]}'
)

# Where one path belongs to several services, the resource's ARN tells them apart (in the tags operations of bedrock and
# bedrock-data-automation it stands in the body).
OWN_ARN = {
    "bedrock": f"arn:aws:bedrock:{ACCOUNT}:custom-model/imported.abc/abcdefghijkl",
    "bedrock-agent": AGENT_ARN,
    "bedrock-agent-runtime": SESSION_ARN,
    "bedrock-agentcore": f"arn:aws:bedrock-agentcore:{ACCOUNT}:runtime/abc-abcdefghij",
    "bedrock-agentcore-control": f"arn:aws:bedrock-agentcore:{ACCOUNT}:runtime/abc-abcdefghij",
    "bedrock-data-automation": f"arn:aws:bedrock:{ACCOUNT}:data-automation-project/abcdefghijkl",
    "bedrock-data-automation-runtime": f"arn:aws:bedrock:{ACCOUNT}:data-automation-invocation/{UUID}",
}
POLICY_ARN = {"bedrock-agent": f"arn:aws:bedrock:{ACCOUNT}:knowledge-base/ABCDEFGHIJ"}

FOUNDATION_ARN = f"arn:aws:bedrock:us-east-1::foundation-model/{ACME_MODEL}"

STRINGS = (
    "abc",
    "ABCDEFGHIJ",
    "abcdefghijkl",
    "1",
    "DRAFT",
    UUID,
    "abc-abcdefghij",
    "Abc_1-abcdefghij",
    "123456789012",
    "us-east-1",
    "https://example.com/abc",
    "s3://bucket/key",
    "user@example.com",
    "subnet-0123456789abcdef0",
    "vpc-0123456789abcdef0",
    "sg-0123456789abcdef0",
    "arn:aws:s3:::bucket",
    "arn:aws:iam::123456789012:role/abc",
    f"arn:aws:kms:{ACCOUNT}:key/{UUID}",
    f"arn:aws:lambda:{ACCOUNT}:function:abc",
    f"arn:aws:secretsmanager:{ACCOUNT}:secret:abc",
    f"arn:aws:sagemaker:{ACCOUNT}:endpoint/abc",
    *(
        f"arn:aws:bedrock:{ACCOUNT}:{resource}"
        for resource in (
            "agent/ABCDEFGHIJ",
            "agent-alias/ABCDEFGHIJ/ABCDEFGHIJ",
            "application-inference-profile/abcdefghijkl",
            "async-invoke/abcdefghijkl",
            "automated-reasoning-policy/abcdefghijkl",
            "automated-reasoning-policy/abcdefghijkl:1",
            "blueprint/abcdefghijkl",
            "custom-model/imported.abc/abcdefghijkl",
            "custom-model-deployment/abcdefghijkl",
            "data-automation-invocation/" + UUID,
            "data-automation-library/abcdefghijkl",
            "data-automation-profile/us.data-automation-v1",
            "data-automation-project/abcdefghijkl",
            "default-prompt-router/abc",
            "evaluation-job/abcdefghijkl",
            "flow/ABCDEFGHIJ",
            "flow/ABCDEFGHIJ/alias/ABCDEFGHIJ",
            "guardrail/abcdefghijkl",
            "imported-model/abcdefghijkl",
            "inference-profile/us.abc",
            "knowledge-base/ABCDEFGHIJ",
            "model-copy-job/abcdefghijkl",
            "model-customization-job/imported.abc/abcdefghijkl",
            "model-import-job/abcdefghijkl",
            "model-invocation-job/abcdefghijkl",
            "prompt/ABCDEFGHIJ",
            "prompt/ABCDEFGHIJ:1",
            "prompt-router/abcdefghijkl",
            "provisioned-model/abcdefghijkl",
            "session/" + UUID,
        )
    ),
    *(
        f"arn:aws:bedrock-agentcore:{ACCOUNT}:{resource}"
        for resource in (
            "runtime/abc-abcdefghij",
            "memory/abc-abcdefghij",
            "gateway/abc-abcdefghij",
            "browser/abc-abcdefghij",
            "code-interpreter/abc-abcdefghij",
            "evaluator/abc-abcdefghij",
            "harness/abc-abcdefghij",
            "token-vault/abc/oauth2credentialprovider/abc",
        )
    ),
    FOUNDATION_ARN,
    ACME_MODEL,
)


class Generator:
    """Parameters for one service's operations."""

    def __init__(self, service):
        self.service = service
        self.unmatched = set()

    def parameters(self, operation):
        shape = operation.input_shape
        if shape is None:
            return {}
        made = self.structure(shape, 0)
        for name, member in shape.members.items():
            if member.serialization.get("location") in ("querystring", "header"):
                made.setdefault(name, self.value(member, name, 1))
        path = operation.http["requestUri"]
        resource = "resourceArn" if "resourceArn" in made else "resourceARN"
        if resource in made and "tag" in operation.name.lower():
            made[resource] = OWN_ARN[self.service]
        if resource in made and path.startswith("/resourcepolicy/"):
            made[resource] = POLICY_ARN.get(self.service, OWN_ARN[self.service])
        if self.service == "bedrock-runtime" and "modelId" in made:
            made["modelId"] = ACME_MODEL
        if operation.name in ("Converse", "ConverseStream"):
            made["messages"] = [{"role": "user", "content": [{"text": "Say hello."}]}]
        if operation.name == "CountTokens":
            made["input"] = {"invokeModel": {"body": BODY}}
        return made

    def structure(self, shape, depth):
        if getattr(shape, "is_tagged_union", False):
            names = list(shape.members)[:1]
        else:
            names = [name for name in shape.members if name in shape.required_members]
        return {name: self.value(shape.members[name], name, depth + 1) for name in names}

    def value(self, shape, name, depth):
        if depth > 12:
            return None
        kind = shape.type_name
        if kind == "structure":
            return self.structure(shape, depth)
        if kind == "list":
            return [self.value(shape.member, name, depth + 1)] * max(1, shape.metadata.get("min", 1))
        if kind == "map":
            return {self.value(shape.key, name, depth + 1): self.value(shape.value, name, depth + 1)}
        if kind == "string":
            return self.string(shape, name)
        if kind == "boolean":
            return True
        if kind in ("integer", "long"):
            return max(1, int(shape.metadata.get("min", 1)))
        if kind in ("float", "double"):
            return max(0.5, float(shape.metadata.get("min", 0.5)))
        if kind == "timestamp":
            return "2026-01-01T00:00:00Z"
        if kind == "blob":
            return BODY
        raise AssertionError(f"no value for a {kind}")

    def string(self, shape, name):
        if shape.enum:
            return shape.enum[0]
        least, most = shape.metadata.get("min", 1), shape.metadata.get("max", 4096)
        pattern = shape.metadata.get("pattern")
        if name.lower().endswith("modelarn") and fits(pattern, FOUNDATION_ARN):
            # The gateway refuses what says nothing about the model it runs.
            return FOUNDATION_ARN
        arns_first = sorted(STRINGS, key=lambda text: text.startswith("arn:") != name.lower().endswith("arn"))
        longer = [text * (least // len(text) + 1) for text in ("abc", "ABC", "1")] if least else []
        for text in [*arns_first, *longer]:
            if least <= len(text) <= most and fits(pattern, text):
                return text
        self.unmatched.add(shape.name)
        return ("abcdefghijkl" * (least // 12 + 1))[: max(least, 12)]


def fits(pattern, text):
    if pattern is None:
        return True
    try:
        return re.fullmatch(pattern, text) is not None
    except re.error:  # a few patterns are written for another engine
        return False


def drain(answer):
    """Reads a streaming member to its end: an answer that breaks off is no success."""
    for member in answer.values():
        if hasattr(member, "iter_chunks"):
            member.read()
        elif hasattr(member, "__next__") or type(member).__name__ == "EventStream":
            for _ in member:
                pass


def call(client, service, operation, parameters):
    answer = client._make_api_call(operation, parameters)
    metadata = answer["ResponseMetadata"]
    headers = metadata["HTTPHeaders"]
    equal((headers.get("x-simulator-service"), headers.get("x-simulator-operation")), (service, operation))
    equal(metadata["HTTPStatusCode"] // 100, 2)
    drain(answer)


def main():
    version(f"botocore {botocore.__version__}")
    os.environ.pop("AWS_BEARER_TOKEN_BEDROCK", None)
    session = botocore.session.get_session()
    if "--signed" in sys.argv:
        # A key that the gateway has, so that it verifies what botocore signs.
        session.set_credentials(os.environ["TOLLGATE_ACCESS_KEY_ID"], os.environ["TOLLGATE_SECRET_ACCESS_KEY"])
    else:
        session.set_credentials("placeholder", "placeholder", os.environ["TOLLGATE_TOKEN_ACME"])
    config = Config(parameter_validation=False, retries={"total_max_attempts": 1, "mode": "standard"})
    driven = set()
    for service in SERVICES:
        client = session.create_client(service, config=config)
        generator = Generator(service)
        for name in client.meta.service_model.operation_names:
            if (service, name) in NOT_DRIVEN:
                continue
            driven.add((service, name))
            with check(f"{service} {name}"):
                call(client, service, name, generator.parameters(client.meta.service_model.operation_model(name)))
        if "--verbose" in sys.argv:
            note(f"{service}: no string fits {sorted(generator.unmatched)}")
    if driven | NOT_DRIVEN != known():
        with check("the gateway's table has the operations of this botocore"):
            equal(sorted(driven | NOT_DRIVEN), sorted(known()))
    note("not driven: " + ", ".join(operation for _, operation in sorted(NOT_DRIVEN)))
    finish()


def known():
    """The operations of the gateway's own table."""
    rows = [line.split("\t") for line in TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return {(service, operation) for service, operation, *_ in rows}


if __name__ == "__main__":
    main()
