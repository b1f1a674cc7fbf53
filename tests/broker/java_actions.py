"""The script of Kafka's own client, `java/Actions.java`, run with the jars of the tests' Kafka."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from kafka_broker.jars import class_path, program

__all__ = ["JavaRun"]

FILE = Path(__file__).resolve().parent / "java" / "Actions.java"

#: The script waits for several time-outs, of which none is longer than this together with the others.
TIMEOUT_S = 240.0


class JavaRun:
    """A run of the script against one broker; it goes on beside others until its answers are asked for.

    Args:
        bootstrap: Host and port of the broker.
    """

    def __init__(self, bootstrap: str) -> None:
        # Java compiles a single file itself, where it comes with its compiler.
        program("javac")
        # It runs for seconds, so that quick code is not worth its price.
        options = ["-XX:TieredStopAtLevel=1", "-Xmx256m", "-cp", class_path()]
        command = [program("java"), *options, str(FILE), bootstrap]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def answers(self) -> dict[str, Any]:
        """Return what came of the actions by their names: an answer, or the name of an error as its only entry.

        Raises:
            AssertionError: The script did not come to its end.
        """
        try:
            lines, said = self.process.communicate(timeout=TIMEOUT_S)
        finally:
            self.process.kill()
        assert self.process.returncode == 0, said
        found = {}
        for line in map(json.loads, lines.splitlines()):
            assert line["what"] not in found, f"two actions have the name {line['what']!r}"
            found[line["what"]] = line["answer"] if "answer" in line else {"error": line["error"]}
        return found
