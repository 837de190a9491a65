"""The Anthropic SDK against the gateway: as a Bedrock client, and as a plain one on Bedrock's own Messages route."""

import os

import anthropic

from checks import ACME_MODEL, STOP_REASONS, check, equal, finish, text, true, version

REQUEST = {"model": ACME_MODEL, "max_tokens": 64, "messages": [{"role": "user", "content": "Say hello."}]}


def create(client):
    message = client.messages.create(**REQUEST)
    equal(message.role, "assistant")
    text(message.content[0].text)
    true(message.stop_reason in STOP_REASONS, message.stop_reason)
    true(message.usage.input_tokens > 0, "no input tokens")
    true(message.usage.output_tokens > 0, "no output tokens")


def stream(client):
    with client.messages.stream(**REQUEST) as events:
        pieces = list(events.text_stream)
        message = events.get_final_message()
    equal("".join(pieces), text(message.content[0].text))
    true(message.stop_reason in STOP_REASONS, message.stop_reason)
    true(message.usage.output_tokens > 0, "no output tokens")


def denied(client):
    """The client has retries to spare: an earlier client's burst may still count against the tenant."""
    try:
        client.messages.create(**REQUEST)
    except anthropic.PermissionDeniedError as error:
        equal(error.status_code, 403)
        return
    raise AssertionError("was not denied")


def main():
    version(anthropic.__version__)
    gateway = os.environ["TOLLGATE_URL"]
    acme, globex = os.environ["TOLLGATE_TOKEN_ACME"], os.environ["TOLLGATE_TOKEN_GLOBEX"]
    region = os.environ["AWS_REGION"]
    bedrock = anthropic.AnthropicBedrock(base_url=gateway, api_key=acme, aws_region=region)
    plain = anthropic.Anthropic(base_url=f"{gateway}/anthropic", api_key=acme)
    with check("AnthropicBedrock create"):
        create(bedrock)
    with check("AnthropicBedrock stream"):
        stream(bedrock)
    with check("Anthropic create, token as x-api-key"):
        create(plain)
    with check("Anthropic stream, token as x-api-key"):
        stream(plain)
    with check("AnthropicBedrock, a model of another tenant is PermissionDeniedError"):
        denied(anthropic.AnthropicBedrock(base_url=gateway, api_key=globex, aws_region=region, max_retries=10))
    with check("Anthropic, a model of another tenant is PermissionDeniedError"):
        denied(anthropic.Anthropic(base_url=f"{gateway}/anthropic", api_key=globex, max_retries=10))
    finish()


if __name__ == "__main__":
    # The token is given as api_key; next to keys from the environment AnthropicBedrock would refuse it.
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK"):
        os.environ.pop(name, None)
    main()
