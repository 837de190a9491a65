"""boto3 by environment variables alone: a call to each service, or calls for as long as credentials live more than once."""

import os
import time

import boto3
from botocore.config import Config

from boto3_client import converse
from checks import ACME_MODEL, check, finish

# A refusal is not to be hidden by trying again.
ONCE = Config(retries={"total_max_attempts": 1, "mode": "standard"})

CALLS = {
    "bedrock-runtime": lambda client: converse(client, ACME_MODEL),
    "bedrock": lambda client: client.list_foundation_models(),
    "bedrock-agent": lambda client: client.list_agents(),
    "bedrock-agent-runtime": lambda client: client.retrieve(
        knowledgeBaseId="ABCDEFGHIJ", retrievalQuery={"text": "What is a gateway?"}
    ),
    "bedrock-agentcore": lambda client: client.list_events(memoryId="memory-0123456789", sessionId="s", actorId="a"),
    "bedrock-agentcore-control": lambda client: client.list_gateways(),
}


def main():
    for service in os.environ["MATRIX_SERVICES"].split():
        with check(service):
            client = boto3.client(service, config=ONCE)
            until = time.monotonic() + float(os.environ["MATRIX_SECONDS"])
            CALLS[service](client)
            while time.monotonic() < until:
                CALLS[service](client)
                time.sleep(0.1)
    finish()


if __name__ == "__main__":
    main()
