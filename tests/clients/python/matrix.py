"""Every SDK with every way in to every service, by environment variables alone; and credentials that expire while they are used.

Arguments: NAME=COMMAND for each SDK, the command as JSON. Each takes MATRIX_SERVICES and MATRIX_SECONDS from its environment, and
prints `ok SERVICE` or `failed SERVICE: WHY`.
"""

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from checks import check, finish, note, true
from vended_client import CONTAINER, PLACEHOLDERS, STATIC, TOKEN, short_lifetime, web_identity

SERVICES = (
    "bedrock-runtime",
    "bedrock",
    "bedrock-agent",
    "bedrock-agent-runtime",
    "bedrock-agentcore",
    "bedrock-agentcore-control",
)
# The SDKs send bearer tokens to these alone.
BEARER_SERVICES = SERVICES[:2]
# How long credentials live, and how long they are used. The Java SDK uses credentials on for minutes that live for less than one, which
# it takes for an outage of whoever vends them.
SHORT = {"lifetime": 2, "used": 7}
LONG = {"lifetime": 62, "used": 70}
NEEDS_LONG = {"java"}
ONE_RUN_SECONDS = 150


def ways(token_file):
    session = {"AWS_ACCESS_KEY_ID": "placeholder", "AWS_SECRET_ACCESS_KEY": "placeholder", "AWS_SESSION_TOKEN": TOKEN}
    return {
        "bearer": ({"AWS_BEARER_TOKEN_BEDROCK": TOKEN}, BEARER_SERVICES),
        "session token": (session, SERVICES),
        "container": (CONTAINER, SERVICES),
        "web identity": (web_identity(token_file), SERVICES),
        "access key": (STATIC, SERVICES),
    }


def run(command, variables, services, seconds):
    """What one SDK says of each service."""
    environment = {name: value for name, value in os.environ.items() if name not in PLACEHOLDERS}
    environment.update(variables, MATRIX_SERVICES=" ".join(services), MATRIX_SECONDS=str(seconds))
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=ONE_RUN_SECONDS)
    said = {service: f"nothing, with status {done.returncode}: {done.stderr[-400:]}" for service in services}
    for line in done.stdout.splitlines():
        kind, _, rest = line.partition(" ")
        service, _, why = rest.partition(": ")
        if service in said and kind in ("ok", "failed"):
            said[service] = why or kind
    return said


class Matrix:
    """The SDKs' programs, a thread for each run, and how many cells have run."""

    def __init__(self, commands, pool):
        self.commands, self.pool = commands, pool
        self.cells = dict.fromkeys(commands, 0)

    def begin(self, names, way, variables, services, seconds):
        return {
            (name, way): self.pool.submit(run, self.commands[name], variables, services, seconds) for name in names
        }

    def report(self, runs):
        for (name, way), said in runs.items():
            for service, result in said.result().items():
                with check(f"{name}, {way}: {service}"):
                    true(result == "ok", result)
                self.cells[name] += 1

    def expiring(self, names, vended, seconds):
        runs = {}
        for way, (variables, _) in vended.items():
            runs.update(self.begin(names, f"{way}, expiring", variables, SERVICES[:1], seconds))
        return runs


def main():
    commands = {name: json.loads(command) for name, _, command in (text.partition("=") for text in sys.argv[1:])}
    patient = NEEDS_LONG & set(commands)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(4 * len(commands)) as pool:
        token_file = os.path.join(folder, "token")
        Path(token_file).write_text(TOKEN)
        matrix, every = Matrix(commands, pool), ways(token_file)
        vended = {way: every[way] for way in ("container", "web identity")}
        with short_lifetime(LONG["lifetime"]):
            waiting = matrix.expiring(patient, vended, LONG["used"])
            for way, (variables, services) in every.items():
                matrix.report(matrix.begin(commands, way, variables, services, 0))
            matrix.report(waiting)
        with short_lifetime(SHORT["lifetime"]):
            matrix.report(matrix.expiring(set(commands) - patient, vended, SHORT["used"]))
        cells = matrix.cells
    note(f"{sum(cells.values())} cells: " + ", ".join(f"{name} {count}" for name, count in cells.items()))
    finish()


if __name__ == "__main__":
    main()
