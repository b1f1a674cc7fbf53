"""The events of all benchmarks: orders with six fields, the same ones every time."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator

ACCOUNTS = 1000
COUNTRIES = ("NL", "DE", "FR", "US", "BR", "JP")
SEED = 20240101


def lines(count: int) -> Iterator[bytes]:
    """Yield `count` orders as JSON, as a producer in Python writes them."""
    dice = random.Random(SEED)
    for number in range(count):
        order = {
            "account": f"account-{dice.randrange(ACCOUNTS)}",
            "amount": round(dice.uniform(1, 500), 2),
            "country": dice.choice(COUNTRIES),
            "order_id": f"{number:012x}",
            "ts": 1_700_000_000_000 + number,
            "qty": dice.randrange(1, 9),
        }
        yield json.dumps(order, separators=(",", ":")).encode()


def digest(totals: dict[str, int]) -> str:
    """Return a short name for the totals, to see that all contenders have the same."""
    return hashlib.sha256(json.dumps(sorted(totals.items())).encode()).hexdigest()[:12]


def report(events: int, seconds: float, totals: dict[str, int]) -> None:
    """Print what a contender has to say, for `run.py` to read."""
    print(json.dumps({"events": events, "seconds": seconds, "digest": digest(totals)}))
