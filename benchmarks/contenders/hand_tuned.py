"""The best plain loop: orjson, a class with slots, a dict, lines in memory; no log, no changelog, no commit."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import orjson

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import events

COUNT = int(sys.argv[1])


class Order:
    """An order."""

    __slots__ = ("account", "amount", "country", "order_id", "qty", "ts")

    def __init__(self, account, amount, country, order_id, ts, qty):
        self.account = account
        self.amount = amount
        self.country = country
        self.order_id = order_id
        self.ts = ts
        self.qty = qty


def work(lines: list[bytes]) -> dict[str, int]:
    """Count."""
    counts: dict[str, int] = {}
    loads, make = orjson.loads, Order
    for line in lines:
        order = make(**loads(line))
        account = order.account
        counts[account] = counts.get(account, 0) + 1
    return counts


prepared = list(events.lines(COUNT))
began = time.perf_counter()
totals = work(prepared)
events.report(COUNT, time.perf_counter() - began, totals)
