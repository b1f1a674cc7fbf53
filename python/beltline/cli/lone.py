"""The endpoint in a process that holds nothing else.

What an app says about topics and settings is known once it has been imported, and nothing of it is needed any more. So
the command hands that over and begins anew: the same process, without the app, its libraries, the command line and
asyncio, which take more memory than the endpoint itself. Nothing but the engine is imported here before something goes
wrong.
"""

from __future__ import annotations

import marshal
import os
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

__all__ = ["become", "main"]

#: Seconds between two rounds of retention and compaction.
TIDY_S = 3.0

#: What the process runs. It finds modules where it has found them before, without looking for them anew as `site` does.
PROGRAM = """\
import marshal, sys
plan = marshal.loads(sys.stdin.buffer.read())
sys.path[:] = plan.pop("path")
from beltline.cli.lone import main
main(plan)
"""


def become(**arguments: Any) -> NoReturn:
    """Replace this process by the endpoint, which lives until SIGINT or SIGTERM.

    Args:
        arguments: Those of `LoneEndpoint` but for `holder`, of types that `marshal` takes.
    """
    import tempfile

    plan = {**arguments, "holder": " ".join(sys.argv), "path": sys.path}
    # Neither arguments nor environment: a token may be in there, and a pipe would be full before anybody reads it.
    with tempfile.TemporaryFile() as file:
        file.write(marshal.dumps(plan))
        file.seek(0)
        os.dup2(file.fileno(), 0)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # The arguments are for those who list processes.
    os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", PROGRAM, *sys.argv[1:]])


def main(plan: dict[str, Any]) -> None:
    """Listen until a signal comes.

    Args:
        plan: The arguments of `LoneEndpoint`.

    Raises:
        SystemExit: With code 0 after a signal, 1 when the endpoint cannot be.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    try:
        serve(**plan)
    except Exception as error:
        from .errors import report

        report(error)
        raise SystemExit(1) from error


def end(*_: Any) -> NoReturn:
    """End the process in order."""
    raise SystemExit(0)


def serve(directory: str, holder: str, **options: Any) -> None:
    """Listen for ever.

    Raises:
        FaustError: The endpoint cannot be; the message says why.
    """
    from beltline._native import LoneEndpoint

    endpoint = LoneEndpoint(directory, holder, **options)
    try:
        if endpoint.notice is not None:
            print(endpoint.notice, file=sys.stderr, flush=True)
        print(f"kafka endpoint {endpoint.address}", flush=True)
        while True:
            time.sleep(TIDY_S)
            try:
                endpoint.tidy()
            except Exception as error:
                # A full disk, most likely: producers are told too, and there may be room again.
                print(f"tidying up failed and is repeated: {error}", file=sys.stderr, flush=True)
    finally:
        endpoint.close()
