"""Events a second: every contender does the jobs it can, in rounds in which they take turns."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

from contenders import Contender, LineUp
from findings import Findings, Promise
from ground import ROOT, Ground, cores, pinned, say
from meter import digest

#: Longer than any run takes.
PATIENCE_S = 240

#: Job, whose ns per event are divided by beltline's, and the least that must come of it.
PROMISES = (
    ("map", "raw librdkafka + serde_json", 0.6),
    ("map", "hand-written loop", 1.5),
    ("map", "faust", 110),
    ("produce", "raw librdkafka + serde_json", 0.5),
    ("produce", "hand-written loop", 1.2),
    ("produce", "faust", 140),
    ("count", "hand-written loop", 1.5),
    ("count", "Kafka Streams, warm", 3),
    ("count", "faust", 300),
)

TITLES = {"map": "consume + map", "produce": "map → produce", "count": "count per key + changelog"}

#: Of one job, by contender: the fastest run, with the least CPU of all runs.
Best = dict[str, dict[str, float]]


class RunError(RuntimeError):
    """A contender failed or found something wrong."""


def run(command: list[str], patience_s: float = PATIENCE_S) -> dict[str, Any]:
    """Run a program on the workers' core and return what it says in its last line."""
    _, core = cores()
    with pinned(core):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=patience_s)
        except subprocess.TimeoutExpired as error:
            raise RunError(f"{' '.join(command)} did not end within {patience_s:g} s") from error
    if done.returncode:
        raise RunError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-3000:]}")
    said: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    if "totals" in said:
        said["digest"] = digest(dict(said["totals"]))
    return said


def once(ground: Ground, contender: Contender, job: str, checker: str) -> dict[str, float]:
    """Run a contender's job and check what it found and wrote."""
    orders = ground.orders[contender.size]
    out = ground.out()
    words = [contender.jobs[job], *contender.guarantee, orders.topic, out, str(orders.count)]
    said = run([*contender.command, *words])
    expected = digest({"pieces": orders.count}) if contender.jobs[job] == "read" else orders.expected(job)
    if said["digest"] != expected:
        raise RunError(f"{contender.name} found something else than is in {orders.topic}, job {job}")
    if job == "produce":
        found = run([checker, "check", out, out, "0"])
        if (found["events"], found["totals"]["cents"]) != (orders.count, orders.cents):
            raise RunError(f"{contender.name} wrote {found['events']} records of {orders.count}, or wrong ones")
    ground.remove(out, f"{out}-changelog")
    return {
        "ns": said["seconds"] / orders.count * 1e9,
        "cpu": said["cpu_seconds"] / orders.count * 1e6,
        "mib": said["resident_mib"],
    }


def measure(ground: Ground, line_up: LineUp, jobs: list[str], rounds: int) -> dict[str, Best]:
    """Run everybody; returns the best figures by job. Who fails joins the missing ones."""
    found: dict[str, Best] = {job: {} for job in jobs}
    for turn in range(rounds):
        for job in jobs:
            for contender in line_up.contenders:
                if turn < contender.rounds and job in contender.jobs and contender.name not in line_up.missing:
                    take(ground, line_up, contender, job, turn, found[job])
    return found


def take(ground: Ground, line_up: LineUp, contender: Contender, job: str, turn: int, best: Best) -> None:
    """Run a job and keep the better figures. A peer that fails is reported; who is needed must not fail."""
    try:
        figures = once(ground, contender, job, line_up.raw)
    except RunError as error:
        if contender.is_needed:
            raise
        say(f"{contender.name}: {error}")
        line_up.missing[contender.name] = str(error).strip().splitlines()[-1]
        return
    say(f"round {turn + 1}: {job} by {contender.name}: {figures['ns']:.0f} ns, {figures['cpu']:.2f} CPU s per million")
    before = best.get(contender.name, figures)
    best[contender.name] = {name: min(value, before[name]) for name, value in figures.items()}


def tell(findings: Findings, found: dict[str, Best], line_up: LineUp) -> None:
    """Make tables and promises of the figures."""
    names = list(dict.fromkeys(name for best in found.values() for name in best))

    def row(name: str, cell: Callable[[dict[str, float], Best], str]) -> list[str]:
        return [name, *(cell(best[name], best) if name in best else "-" for best in found.values())]

    def speed(one: dict[str, float], best: Best) -> str:
        own = best.get("beltline", one)["ns"]
        return f"{1e6 / one['ns']:,.1f} k/s ({own / one['ns']:.3g})"

    heads = ("", *(TITLES[job] for job in found))
    title = "Thousand events a second, from the first to the last one; in brackets, beltline being 1:"
    findings.table(title, heads, [row(name, speed) for name in names])
    cost = [row(name, lambda one, _: f"{one['cpu']:.2f} s, {one['mib']:.0f} MiB") for name in names]
    findings.table("CPU seconds of the worker per million events, and its largest memory:", heads, cost)
    for name, reason in line_up.missing.items():
        findings.remark(f"Missing: {name} ({reason}).")
    for job, other, bar in PROMISES:
        best = found.get(job, {})
        words = f"{TITLES[job]}: times {other}"
        if other in best and "beltline" in best:
            findings.promise(Promise.at_least(words, best[other]["ns"] / best["beltline"]["ns"], bar))
        elif other in line_up.missing:
            findings.promise(Promise(f"{words}: at least {bar:g}", "not measured", False))
    for job, best in found.items():
        if {"beltline", "beltline exactly_once"} <= best.keys():
            share = best["beltline"]["ns"] / best["beltline exactly_once"]["ns"]
            findings.promise(
                Promise.at_least(f"{TITLES[job]}: share of the speed that exactly_once keeps", share, 0.85)
            )
