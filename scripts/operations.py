#!/usr/bin/env python3
"""Generates src/bedrock/operations.tsv, the table of every Bedrock operation, from an installed botocore.

    pip install botocore==1.44.5 && scripts/operations.py            writes the table
    scripts/operations.py --check                                    exits 1 if the table is not what it would write

The models are AWS's own, published with the SDK, so a new botocore is all that a new operation needs.
"""

import argparse
import sys
from pathlib import Path

import botocore
from botocore.loaders import Loader

SERVICES = (
    "bedrock",
    "bedrock-agent",
    "bedrock-agent-runtime",
    "bedrock-agentcore",
    "bedrock-agentcore-control",
    "bedrock-data-automation",
    "bedrock-data-automation-runtime",
    "bedrock-runtime",
)
TABLE = Path(__file__).resolve().parent.parent / "src" / "bedrock" / "operations.tsv"


def streams(operation, shapes):
    """Which directions of an operation are event streams: `-`, `out`, `in` or `both`.

    A streaming blob (InvokeAgentRuntime) is bytes of the caller's own, not an event stream, and counts as neither.
    """
    sends = carries_events(operation.get("input"), shapes)
    receives = carries_events(operation.get("output"), shapes)
    return {(False, False): "-", (False, True): "out", (True, False): "in", (True, True): "both"}[sends, receives]


def carries_events(reference, shapes):
    if reference is None:
        return False
    members = shapes[reference["shape"]].get("members", {}).values()
    return any(shapes[member["shape"]].get("eventstream") for member in members)


def table():
    rows = []
    for service in SERVICES:
        model = Loader().load_service_model(service, "service-2")
        for name, operation in model["operations"].items():
            http = operation["http"]
            rows.append((service, name, http["method"], http["requestUri"], streams(operation, model["shapes"])))
    head = (
        f"# Made by scripts/operations.py from botocore {botocore.__version__}: "
        "service, operation, method, uri, streams\n"
    )
    return head + "".join("\t".join(row) + "\n" for row in sorted(rows))


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--check", action="store_true", help="compare only")
    arguments.add_argument("--output", type=Path, default=TABLE, help="the table (default: src/bedrock/operations.tsv)")
    options = arguments.parse_args()
    made = table()
    if options.check:
        if options.output.read_text(encoding="utf-8") != made:
            sys.exit(f"{options.output} is not what botocore {botocore.__version__} gives: run scripts/operations.py")
        return
    options.output.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
