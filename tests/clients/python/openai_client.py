"""The OpenAI SDK against the gateway: chat completions, their stream, and responses, on Bedrock's OpenAI route."""

import os

import openai

from checks import check, equal, finish, text, true, version

MODEL = "openai.gpt-oss-120b-1:0"
MESSAGES = [{"role": "user", "content": "Say hello."}]


def chat(client):
    answer = client.chat.completions.create(model=MODEL, messages=MESSAGES, max_completion_tokens=64)
    equal(answer.choices[0].message.role, "assistant")
    text(answer.choices[0].message.content)
    true(answer.choices[0].finish_reason in ("stop", "length"), answer.choices[0].finish_reason)
    equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens)
    true(answer.usage.completion_tokens > 0, "no completion tokens")


def chat_stream(client):
    chunks = list(
        client.chat.completions.create(
            model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
    )
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    text("".join(choice.delta.content or "" for choice in choices))
    true(choices[-1].finish_reason in ("stop", "length"), choices[-1].finish_reason)
    true(chunks[-1].usage.completion_tokens > 0, "no usage in the last chunk")


def responses(client):
    answer = client.responses.create(model=MODEL, input="Say hello.", max_output_tokens=64)
    equal(answer.status, "completed")
    text(answer.output_text)
    equal(answer.usage.total_tokens, answer.usage.input_tokens + answer.usage.output_tokens)


def denied(client):
    """The client has retries to spare: an earlier client's burst may still count against the tenant."""
    try:
        client.chat.completions.create(model=MODEL, messages=MESSAGES)
    except openai.PermissionDeniedError as error:
        equal(error.status_code, 403)
        return
    raise AssertionError("was not denied")


def main():
    version(openai.__version__)
    base = os.environ["TOLLGATE_URL"] + "/openai/v1"
    client = openai.OpenAI(base_url=base, api_key=os.environ["TOLLGATE_TOKEN_ACME"])
    with check("chat.completions.create"):
        chat(client)
    with check("chat.completions.create, stream"):
        chat_stream(client)
    with check("responses.create"):
        responses(client)
    with check("a model of another tenant is PermissionDeniedError"):
        denied(openai.OpenAI(base_url=base, api_key=os.environ["TOLLGATE_TOKEN_GLOBEX"], max_retries=10))
    finish()


if __name__ == "__main__":
    main()
