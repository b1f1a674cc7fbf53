"""What the tables must hold in the end: the same counts as a plain loop, without a belt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

Totals = dict[str, dict[str, Any]]


def totals(flights: Iterable[Any], long_delay_minutes: float) -> Totals:
    """Fold `flights` (objects with the fields of `Flight`) into the tables' final contents and the flagged flights."""
    carriers: dict[str, list[float]] = defaultdict(lambda: [0, 0, 0, 0.0, 0.0])
    routes: dict[str, int] = defaultdict(int)
    aircraft: dict[str, list[Any]] = defaultdict(lambda: [0, "", 0, 0, ""])
    flagged: list[int] = []
    for flight in flights:
        late = flight.delay_minutes
        delays = carriers[flight.carrier]
        delays[0] += 1
        if late is None:
            delays[1] += 1
        elif late > 0:
            delays[2] += 1
            delays[3] += late
            delays[4] = max(delays[4], late)
        routes[flight.route] += 1
        legs, day, today, most, _ = aircraft[flight.tail]
        today = today + 1 if day == flight.day else 1
        aircraft[flight.tail] = [legs + 1, flight.day, today, max(most, today), flight.destination]
        if late is not None and late >= long_delay_minutes:
            flagged.append(flight.number)
    return {
        "carriers": dict(carriers),
        "routes": dict(routes),
        "aircraft": dict(aircraft),
        "long-delays": {"": flagged},
    }
