"""What every Python client program shares: named checks, one line of output each, and the exit status."""

import os
import sys
import traceback
from contextlib import contextmanager

ACME_MODEL = "anthropic.claude-sonnet-4-5-20250929-v1:0"
GLOBEX_MODEL = "anthropic.claude-3-haiku-20240307-v1:0"
PROFILE_ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"
SESSION_ARN = "arn:aws:bedrock:us-east-1:123456789012:session/0f8fad5b-d9cb-469f-a165-70867728950e"
AGENT_ARN = "arn:aws:bedrock:us-east-1:123456789012:agent/ABCDEFGHIJ"
STOP_REASONS = ("end_turn", "max_tokens", "stop_sequence")

failed = 0


def version(text):
    print(f"version {text}", flush=True)


def note(text):
    print(f"note {text}", flush=True)


@contextmanager
def check(name):
    """Runs a block as one check: what it raises is the check's failure, and the program goes on."""
    global failed
    try:
        yield
    except Exception as error:
        failed += 1
        line = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{os.path.basename(line.filename)}:{line.lineno}"
        print(f"failed {name}: {type(error).__name__} at {where}: {one_line(error)}", flush=True)
    else:
        print(f"ok {name}", flush=True)


def equal(found, expected):
    if found != expected:
        raise AssertionError(f"{found!r} is not {expected!r}")


def true(condition, otherwise):
    if not condition:
        raise AssertionError(otherwise)


def text(found):
    true(isinstance(found, str) and found.strip(), f"{found!r} is not a text")
    return found


def one_line(value):
    return " ".join(str(value).split())[:600]


def finish():
    sys.exit(1 if failed else 0)
