"""Runs the Python tests on every interpreter that is installed, each in a virtual environment of its own.

The first is the one of `.venv`, on which everything runs. The others prove that the extension works there: they leave
out tests of processes, which take long and depend on the interpreter least.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: What the other interpreters leave out.
PROCESS_TESTS = ("tests/cli", "tests/worker", "tests/examples", "tests/docs")


def run(*command: str | Path) -> None:
    """Run a command, and end with its exit code when it fails."""
    print("$", *command, flush=True)
    done = subprocess.run([str(part) for part in command], cwd=ROOT, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def version_of(python: str) -> tuple[int, ...]:
    """Return the version of an interpreter."""
    code = "import sys; print(*sys.version_info[:2])"
    said = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return tuple(map(int, said.stdout.split()))


def environment(python: str) -> Path:
    """Return the interpreter of a virtual environment with this version of beltline, made or brought up to date."""
    name = "-".join(map(str, version_of(python)))
    folder = ROOT / f".venv-{name}"
    inside = folder / "bin" / "python"
    if not inside.exists():
        run(python, "-m", "venv", folder)
        run(inside, "-m", "pip", "install", "--quiet", "--upgrade", "pip>=25.1", "maturin>=1.13,<2")
        run(inside, "-m", "pip", "install", "--quiet", "--group", "dev")
    os.environ["VIRTUAL_ENV"] = str(folder)
    run(folder / "bin" / "maturin", "develop", "--release", "--quiet")
    return inside


def main() -> None:
    """Run the tests."""
    run(sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile")
    own = sys.version_info[:2]
    others = []
    for name in os.environ.get("PYTHONS", "").split():
        python = shutil.which(name)
        if python is not None and version_of(python) != own:
            others.append(python)
    for python in others:
        ignored = [f"--ignore={path}" for path in PROCESS_TESTS]
        run(environment(python), "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", *ignored)
    print(f"Python tests passed on {1 + len(others)} interpreters")


if __name__ == "__main__":
    main()
