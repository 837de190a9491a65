"""The AWS command line against the gateway. It has no streaming operations; the Python SDK's program has them."""

import json
import os
import subprocess
import sys
import tempfile

from checks import ACME_MODEL, AGENT_ARN, PROFILE_ARN, STOP_REASONS, check, equal, finish, text, true, version

AWS = os.path.join(os.path.dirname(sys.executable), "aws")
MESSAGES = json.dumps([{"role": "user", "content": [{"text": "Say hello."}]}])


def aws(*arguments, bearer=os.environ["TOLLGATE_TOKEN_ACME"]):
    environment = {name: value for name, value in os.environ.items() if name != "AWS_BEARER_TOKEN_BEDROCK"}
    if bearer:
        environment["AWS_BEARER_TOKEN_BEDROCK"] = bearer
    return subprocess.run(
        [AWS, *arguments, "--output", "json"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def answer(*arguments, **options):
    done = aws(*arguments, **options)
    true(done.returncode == 0, f"exit status {done.returncode}: {done.stderr}")
    return json.loads(done.stdout) if done.stdout.strip() else {}


def converse(model, **options):
    found = answer("bedrock-runtime", "converse", "--model-id", model, "--messages", MESSAGES, **options)
    text(found["output"]["message"]["content"][0]["text"])
    true(found["stopReason"] in STOP_REASONS, found["stopReason"])
    usage = found["usage"]
    equal(usage["totalTokens"], usage["inputTokens"] + usage["outputTokens"])


def invoke_model():
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 64,
        "messages": [{"role": "user", "content": "Say hello."}],
    }
    with tempfile.TemporaryDirectory() as folder:
        request, response = os.path.join(folder, "request"), os.path.join(folder, "response")
        with open(request, "w", encoding="utf-8") as file:
            json.dump(body, file)
        answer("bedrock-runtime", "invoke-model", "--model-id", ACME_MODEL, "--body", f"fileb://{request}", response)
        with open(response, encoding="utf-8") as file:
            message = json.load(file)
    text(message["content"][0]["text"])
    true(message["usage"]["output_tokens"] > 0, "no output tokens")


def main():
    version(aws("--version").stdout.split()[0].removeprefix("aws-cli/"))
    with check("bedrock-runtime converse"):
        converse(ACME_MODEL)
    with check("bedrock-runtime converse by profile ARN"):
        converse(PROFILE_ARN)
    with check("bedrock-runtime converse, token as session token"):
        converse(ACME_MODEL, bearer=None)
    with check("bedrock-runtime invoke-model"):
        invoke_model()
    with check("bedrock-runtime count-tokens"):
        wanted = json.dumps({"converse": {"messages": json.loads(MESSAGES)}})
        found = answer("bedrock-runtime", "count-tokens", "--model-id", ACME_MODEL, "--input", wanted)
        true(found["inputTokens"] > 0, "no input tokens")
    with check("bedrock list-foundation-models"):
        found = answer("bedrock", "list-foundation-models", "--by-output-modality", "TEXT")
        true(ACME_MODEL in [model["modelId"] for model in found["modelSummaries"]], "the model is not listed")
    with check("bedrock-agent-runtime retrieve"):
        query = json.dumps({"text": "What is a gateway?"})
        found = answer(
            "bedrock-agent-runtime", "retrieve", "--knowledge-base-id", "ABCDEFGHIJ", "--retrieval-query", query
        )
        true(isinstance(found["retrievalResults"], list), "no list of results")
    with check("bedrock-agent untag-resource with repeated query keys"):
        answer("bedrock-agent", "untag-resource", "--resource-arn", AGENT_ARN, "--tag-keys", "a", "b")
    with check("a model of another tenant is AccessDeniedException"):
        done = aws(
            "bedrock-runtime", "converse", "--model-id", ACME_MODEL, "--messages", MESSAGES,
            bearer=os.environ["TOLLGATE_TOKEN_GLOBEX"],
        )  # fmt: skip
        true(done.returncode in (254, 255), f"exit status {done.returncode}")
        true("(AccessDeniedException)" in done.stderr, done.stderr)
    finish()


if __name__ == "__main__":
    main()
