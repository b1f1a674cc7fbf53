"""Everything about beltline on Kafka that is promised as a figure, in one run on one real broker.

    $ make bench-kafka
    $ make bench-kafka BENCH="--only speed --contenders beltline,raw --rounds 5"

The broker keeps to one core and each contender, with all its threads, to another. Figures of one run are comparable
with one another and with nothing else. Ends with 1 when a promise is missed, and leaves no process behind.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# What is shared with the other benchmarks, with the jobs and with the tests; the last one comes first.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "kafka"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent / "jobs"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import endpoint
import hand_overs
import reaction
import record
import speed
from contenders import JOBS, line_up
from findings import Findings
from ground import ground, say

PARTS = ("speed", "reaction", "hand-overs", "endpoint")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, with commas between: {', '.join(PARTS)}")
    parser.add_argument("--contenders", default="", help="those whose names hold one of these words")
    parser.add_argument("--jobs", default=",".join(JOBS), help="of the part speed")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each, of which the fastest counts")
    parser.add_argument("--large", type=int, default=2_000_000, help="events for beltline, the loop and librdkafka")
    parser.add_argument("--middle", type=int, default=1_000_000, help="events for Kafka Streams")
    parser.add_argument("--few", type=int, default=400_000, help="events for quixstreams and bytewax")
    parser.add_argument("--small", type=int, default=40_000, help="events for Faust")
    parser.add_argument("--samples", type=int, default=200, help="events to an idle worker, for each guarantee")
    parser.add_argument("--record", action="store_true", help="write what was found into benchmarks/RESULTS.md")
    given = parser.parse_args()
    given.only = given.only.split(",")
    for part in given.only:
        if part not in PARTS:
            parser.error(f"there is no part {part!r}, only {', '.join(PARTS)}")
    given.jobs = given.jobs.split(",")
    given.contenders = [word for word in given.contenders.split(",") if word]
    return given


def main() -> int:
    """Run, show, judge."""
    given = arguments()
    findings = Findings(
        conditions=f"Kafka 4.1 on one core, the worker on the other; {given.large:,} events for beltline, the loop and "
        f"librdkafka, {given.middle:,} for Kafka Streams (after as many to warm up), {given.few:,} for quixstreams and "
        f"bytewax, {given.small:,} for Faust; the best of {given.rounds} rounds in which all take turns (Kafka Streams "
        "and Faust two, those without a promise one); medians and percentiles where they are named."
    )
    if "speed" in given.only:
        taking_part = line_up(given.rounds, given.contenders)
    with ground() as here:
        if "speed" in given.only:
            counts = {size: getattr(given, size) for size in ("large", "middle", "few", "small")}
            say("filling topics")
            here.fill(counts)
            speed.tell(findings, speed.measure(here, taking_part, given.jobs, given.rounds), taking_part)
        if "reaction" in given.only:
            reaction.measure(here, findings, given.samples, given.rounds + 2)
        if "hand-overs" in given.only:
            hand_overs.measure(here, findings)
        if "endpoint" in given.only:
            endpoint.measure(here, findings, given.rounds)
    missed = [one for one in findings.promises if not one.is_kept]
    if given.record:
        record.write(findings)
    say(f"{len(findings.promises) - len(missed)} promises kept, {len(missed)} missed")
    for one in missed:
        print(f"MISS {one.words}: {one.figure}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
