"""boto3 against the gateway: runtime, control plane and agents, as bearer and as SigV4 with a session token."""

import json
import os
import time
from contextlib import contextmanager

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from checks import (
    ACME_MODEL,
    AGENT_ARN,
    GLOBEX_MODEL,
    PROFILE_ARN,
    SESSION_ARN,
    STOP_REASONS,
    check,
    equal,
    finish,
    text,
    true,
    version,
)

MESSAGES = [{"role": "user", "content": [{"text": "Say hello."}]}]
ANTHROPIC_BODY = json.dumps(
    {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 64,
        "messages": [{"role": "user", "content": "Say hello."}],
    }
)


def came_from(answer, service, operation):
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    equal(answer["ResponseMetadata"]["HTTPStatusCode"] // 100, 2)
    equal(headers.get("x-simulator-service"), service)
    equal(headers.get("x-simulator-operation"), operation)


def adds_up(usage):
    true(usage["inputTokens"] > 0, "no input tokens")
    true(usage["outputTokens"] > 0, "no output tokens")
    equal(usage["totalTokens"], usage["inputTokens"] + usage["outputTokens"])


def converse(runtime, model):
    answer = runtime.converse(modelId=model, messages=MESSAGES, inferenceConfig={"maxTokens": 64})
    came_from(answer, "bedrock-runtime", "Converse")
    equal(answer["output"]["message"]["role"], "assistant")
    text(answer["output"]["message"]["content"][0]["text"])
    true(answer["stopReason"] in STOP_REASONS, answer["stopReason"])
    adds_up(answer["usage"])


def converse_stream(runtime, model):
    answer = runtime.converse_stream(modelId=model, messages=MESSAGES, inferenceConfig={"maxTokens": 64})
    came_from(answer, "bedrock-runtime", "ConverseStream")
    events = list(answer["stream"])
    kinds = [next(iter(event)) for event in events]
    equal(kinds[0], "messageStart")
    equal(kinds[-1], "metadata")
    deltas = [event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event]
    text("".join(deltas))
    [stop] = [event["messageStop"]["stopReason"] for event in events if "messageStop" in event]
    true(stop in STOP_REASONS, stop)
    adds_up(events[-1]["metadata"]["usage"])


def invoke_model(runtime, model):
    answer = runtime.invoke_model(modelId=model, body=ANTHROPIC_BODY)
    came_from(answer, "bedrock-runtime", "InvokeModel")
    message = json.loads(answer["body"].read())
    text(message["content"][0]["text"])
    true(message["usage"]["input_tokens"] > 0, "no input tokens")
    true(message["usage"]["output_tokens"] > 0, "no output tokens")


def invoke_model_with_response_stream(runtime, model):
    answer = runtime.invoke_model_with_response_stream(modelId=model, body=ANTHROPIC_BODY)
    came_from(answer, "bedrock-runtime", "InvokeModelWithResponseStream")
    events = [json.loads(event["chunk"]["bytes"]) for event in answer["body"]]
    equal(events[0]["type"], "message_start")
    equal(events[-1]["type"], "message_stop")
    text("".join(event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta"))
    metrics = events[-1]["amazon-bedrock-invocationMetrics"]
    true(metrics["inputTokenCount"] > 0, "no input tokens")
    true(metrics["outputTokenCount"] > 0, "no output tokens")


def count_tokens(runtime):
    answer = runtime.count_tokens(modelId=ACME_MODEL, input={"converse": {"messages": MESSAGES}})
    came_from(answer, "bedrock-runtime", "CountTokens")
    true(answer["inputTokens"] > 0, "no input tokens")


def list_foundation_models(bedrock):
    answer = bedrock.list_foundation_models(byOutputModality="TEXT")
    came_from(answer, "bedrock", "ListFoundationModels")
    models = [model["modelId"] for model in answer["modelSummaries"]]
    true(ACME_MODEL in models, f"{ACME_MODEL} is not among {len(models)} models")


def retrieve(knowledge):
    answer = knowledge.retrieve(knowledgeBaseId="ABCDEFGHIJ", retrievalQuery={"text": "What is a gateway?"})
    came_from(answer, "bedrock-agent-runtime", "Retrieve")
    true(isinstance(answer["retrievalResults"], list), "no list of results")


def denied(globex):
    try:
        unthrottled(lambda: globex.converse(modelId=ACME_MODEL, messages=MESSAGES))
    except globex.exceptions.AccessDeniedException as error:
        equal(error.response["Error"]["Code"], "AccessDeniedException")
        equal(error.response["ResponseMetadata"]["HTTPStatusCode"], 403)
        text(error.response["Error"]["Message"])
        text(error.response["ResponseMetadata"]["RequestId"])
        return
    raise AssertionError("was not denied")


def throttled(globex, calls):
    for _ in range(calls):
        try:
            globex.converse(modelId=GLOBEX_MODEL, messages=MESSAGES)
        except globex.exceptions.ThrottlingException as error:
            equal(error.response["ResponseMetadata"]["HTTPStatusCode"], 429)
            headers = error.response["ResponseMetadata"]["HTTPHeaders"]
            true(int(headers["x-amz-retry-after"]) > 0, "no x-amz-retry-after in milliseconds")
            true(int(headers["retry-after"]) > 0, "no Retry-After in seconds")
            return
    raise AssertionError(f"{calls} calls were not throttled")


def unthrottled(call, seconds=65):
    """Calls again while an earlier client's burst still counts against the tenant."""
    until = time.monotonic() + seconds
    while True:
        try:
            return call()
        except ClientError as error:
            if error.response["Error"]["Code"] != "ThrottlingException" or time.monotonic() > until:
                raise
            time.sleep(0.5)


@contextmanager
def bearer(token):
    """Sets the only place from which botocore takes a bearer token; None: requests in the block are signed instead."""
    os.environ.pop("AWS_BEARER_TOKEN_BEDROCK", None)
    if token:
        os.environ["AWS_BEARER_TOKEN_BEDROCK"] = token
    yield boto3.Session("placeholder", "placeholder", aws_session_token=os.environ["TOLLGATE_TOKEN_ACME"])


def main():
    version(boto3.__version__)
    with bearer(os.environ["TOLLGATE_TOKEN_ACME"]) as session:
        runtime = session.client("bedrock-runtime")
        with check("converse"):
            converse(runtime, ACME_MODEL)
        with check("converse by profile ARN"):
            converse(runtime, PROFILE_ARN)
        with check("converse_stream"):
            converse_stream(runtime, ACME_MODEL)
        with check("converse_stream by profile ARN"):
            converse_stream(runtime, PROFILE_ARN)
        with check("invoke_model"):
            invoke_model(runtime, ACME_MODEL)
        with check("invoke_model_with_response_stream"):
            invoke_model_with_response_stream(runtime, ACME_MODEL)
        with check("count_tokens"):
            count_tokens(runtime)
        with check("list_foundation_models"):
            list_foundation_models(session.client("bedrock"))
    with bearer(None) as session:
        runtime = session.client("bedrock-runtime")
        with check("converse, token as session token"):
            converse(runtime, ACME_MODEL)
        with check("converse_stream, token as session token"):
            converse_stream(runtime, ACME_MODEL)
        with check("list_foundation_models, token as session token"):
            list_foundation_models(session.client("bedrock"))
        with check("retrieve"):
            retrieve(session.client("bedrock-agent-runtime"))
        with check("untag_resource with repeated query keys"):
            answer = session.client("bedrock-agent").untag_resource(resourceArn=AGENT_ARN, tagKeys=["a", "b"])
            came_from(answer, "bedrock-agent", "UntagResource")
        with check("untag_resource of a session"):
            sessions = session.client("bedrock-agent-runtime")
            answer = sessions.untag_resource(resourceArn=SESSION_ARN, tagKeys=["a b", "c"])
            came_from(answer, "bedrock-agent-runtime", "UntagResource")
    with bearer(os.environ["TOLLGATE_TOKEN_GLOBEX"]) as session:
        once = Config(retries={"total_max_attempts": 1, "mode": "standard"})
        globex = session.client("bedrock-runtime", config=once)
        with check("a model of another tenant is AccessDeniedException"):
            denied(globex)
        with check("a burst ends in ThrottlingException"):
            throttled(globex, calls=300)
    finish()


if __name__ == "__main__":
    main()
