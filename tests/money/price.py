#!/usr/bin/env python3
"""Prices a ledger again: price.py DIRECTORY, with ledger.sqlite, table.json, prices.toml and what `tollgate usage` said of it.

Shares nothing with the gateway: dollars are decimals here, names are taken apart by other rules, sums are added up anew.
"""

import csv
import json
import sqlite3
import sys
from collections import Counter
from datetime import datetime, timezone
from decimal import ROUND_HALF_UP, Decimal, localcontext
from pathlib import Path

try:
    import tomllib
except ImportError:
    print("SKIP: this python3 has no tomllib")
    sys.exit(0)

# A dollar a million tokens is a thousand nano-dollars a token.
NANO = 1000
KINDS = ["input", "output", "cache_read", "cache_write", "cache_write_1h"]
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
SHOWN_MAX = 10


def main(directory):
    table = json.loads((directory / "table.json").read_text(), parse_float=Decimal)
    entries = {model["id"]: model["prices"] for model in table["models"]}
    own = tomllib.loads((directory / "prices.toml").read_text())["models"]
    database = sqlite3.connect(f"file:{directory / 'ledger.sqlite'}?mode=ro", uri=True)
    database.row_factory = sqlite3.Row

    wrong, rounded, rows = [], 0, 0
    sums = {by: Counter() for by in ("tenant", "model", "day")}
    for row in database.execute("SELECT * FROM requests"):
        exact = nano_dollars(entries, own, row)
        cost = int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))
        rows += 1
        rounded += exact != cost
        if cost != row["cost_nano_usd"]:
            wrong.append(f"{dict(row)}: {exact} nano-dollars")
        for by, sum_of in sums.items():
            sum_of[row[by]] += cost
    kept = Counter()
    for row in database.execute("SELECT model, cost_nano_usd FROM sums"):
        kept[row["model"]] += row["cost_nano_usd"]
    if kept != sums["model"]:
        wrong.append(f"the sums are kept as {kept}, and come to {sums['model']}")
    for by, sum_of in sums.items():
        with open(directory / f"{by}.csv", newline="", encoding="utf-8") as file:
            told = {row[by]: int(Decimal(row["cost_usd"]) * 10**9) for row in csv.DictReader(file)}
        if told != sum_of:
            wrong.append(f"`tollgate usage --by {by}` says {told}, and it is {sum_of}")
    if wrong:
        print("\n".join(wrong[:SHOWN_MAX]), f"{len(wrong)} differences", sep="\n")
        sys.exit(1)
    print(f"ok: {rows} rows, {rounded} of them rounded")


def nano_dollars(entries, own, row):
    """What a row costs, not rounded."""
    tokens = {kind: row[f"{kind}_tokens"] for kind in KINDS}
    into = sum(count for kind, count in tokens.items() if kind != "output")
    rates = complete(rates_of(entries, own, row["model"], row["tier"], EPOCH.timestamp() + row["time_ns"] / 1e9, into))
    return sum(rates[kind] * count * NANO for kind, count in tokens.items())


def complete(rates):
    """What nobody gave a price: the rules of conf/prices.toml."""
    rates = dict(rates)
    for kind in ("output", "cache_read", "cache_write"):
        rates.setdefault(kind, rates["input"])
    rates.setdefault("cache_write_1h", max(2 * rates["input"], rates["cache_write"]))
    return rates


def rates_of(entries, own, model, tier, time, into):
    """Dollars per million tokens, those that are given."""
    model = own.get(model, {}).get("alias_of", model)
    if model.startswith("arn:"):
        model = model.split("/", 1)[1]
    listed = own.get(model, {}).get("prices", [])
    for wanted in dict.fromkeys([tier, "standard"]):
        begun = [row for row in listed if row.get("tier", "standard") == wanted and begins(row) <= time]
        if begun:
            latest = max(map(begins, begun))
            reached = [row for row in begun if begins(row) == latest and reaches(into, row.get("input_tokens_over", 0))]
            row = max(reached, key=lambda row: row.get("input_tokens_over", 0))
            return {kind: Decimal(row[kind]) for kind in KINDS if kind in row}
    prices = entry(entries, model)
    if isinstance(prices, list):
        dated = [one for one in prices if starts(one.get("constraint")) <= time]
        prices = dated[-1]["prices"]
    return {kind: step(prices[f"{kind}_mtok"], into) for kind in KINDS if f"{kind}_mtok" in prices}


def reaches(into, over):
    return over == 0 or into > over


def entry(entries, model):
    geography, _, name = model.partition(".")
    if geography in ("us", "eu", "global"):
        scope = "global" if geography == "global" else "regional"
        return entries.get(f"{scope}.{name}") or entries[name]
    return entries.get(model) or entries[f"regional.{model}"]


def step(value, into):
    if not isinstance(value, dict):
        return Decimal(value)
    reached = [tier["price"] for tier in value["tiers"] if into > tier["start"]]
    return Decimal(reached[-1] if reached else value["base"])


def begins(row):
    text = row.get("effective_from")
    return datetime.fromisoformat(text).timestamp() if text else float("-inf")


def starts(constraint):
    if not constraint:
        return float("-inf")
    return datetime.fromisoformat(constraint["start_date"]).replace(tzinfo=timezone.utc).timestamp()


if __name__ == "__main__":
    with localcontext() as context:
        context.prec = 60
        main(Path(sys.argv[1]))
