"""Every flight of 2013 out of New York runs over the belt; three tables and one topic keep what matters of it.

Run it with `make demo`, or by hand:

    $ beltline -A examples.flights.app worker
    $ beltline -A examples.flights.app table carriers
"""

from __future__ import annotations

import os

import beltline as bl

LONG_DELAY_MINUTES = 180

app = bl.App("flights", datadir=os.environ.get("FLIGHTS_DATADIR", "flights-data"), topic_partitions=4)


class Flight(bl.Record):
    """One scheduled departure; a delay is missing where the flight was cancelled."""

    number: int
    carrier: str
    tail: str
    route: str
    destination: str
    day: str
    delay_minutes: float | None = None


class CarrierDelays(bl.Record):
    """How late one airline was."""

    flights: int = 0
    cancelled: int = 0
    late: int = 0
    minutes: float = 0.0
    worst_minutes: float = 0.0


class Aircraft(bl.Record):
    """One aircraft through its days."""

    legs: int = 0
    day: str = ""
    legs_today: int = 0
    most_legs: int = 0
    airport: str = ""


# One partition keeps the whole year in the order of time; the handlers spread it by what they count.
flights = app.topic("flights", value_type=Flight, partitions=1)
long_delays = app.topic("long-delays", value_type=Flight, partitions=1)

carriers = app.Table("carriers", value_type=CarrierDelays, default=CarrierDelays)
routes = app.Table("routes", default=int)
aircraft = app.Table("aircraft", value_type=Aircraft, default=Aircraft)


@app.on(flights, by=Flight.carrier)
def count_delays(flight):
    """Keep each airline's delays."""
    delays = carriers[flight.carrier]
    delays.flights += 1
    if flight.delay_minutes is None:
        delays.cancelled += 1
    elif flight.delay_minutes > 0:
        delays.late += 1
        delays.minutes += flight.delay_minutes
        delays.worst_minutes = max(delays.worst_minutes, flight.delay_minutes)
    carriers[flight.carrier] = delays


@app.on(flights, by=Flight.route)
def count_routes(flight):
    """Count the flights of each route."""
    routes[flight.route] += 1


@app.on(flights, to=long_delays)
def flag_long_delays(flight):
    """Put the flights that kept people waiting for hours on a topic of their own."""
    return flight if (flight.delay_minutes or 0) >= LONG_DELAY_MINUTES else None


@app.agent(flights)
async def follow_aircraft(stream):
    """Follow each aircraft through its day, leg by leg."""
    async for flight in stream.group_by(Flight.tail):
        plane = aircraft[flight.tail]
        plane.legs += 1
        plane.legs_today = plane.legs_today + 1 if plane.day == flight.day else 1
        plane.most_legs = max(plane.most_legs, plane.legs_today)
        plane.day, plane.airport = flight.day, flight.destination
        aircraft[flight.tail] = plane


if __name__ == "__main__":
    app.main()
