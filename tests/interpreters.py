"""Runs the Python tests on every interpreter that is installed, each in a virtual environment of its own.

The first is the one of `.venv`, on which everything runs. The others prove that the extension works there: they leave
out tests of processes and of Kafka, which take long and depend on the interpreter least.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: What the other interpreters leave out.
PROCESS_TESTS = ("tests/cli", "tests/worker", "tests/examples", "tests/docs", "tests/broker", "tests/kafka")


def run(*command: str | Path) -> None:
    """Run a command, and end with its exit code when it fails."""
    print("$", *command, flush=True)
    done = subprocess.run([str(part) for part in command], cwd=ROOT, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def version_of(python: str) -> tuple[int, ...] | None:
    """Return the version of an interpreter; None when it does not run, as a shim of pyenv without its version."""
    code = "import sys; print(*sys.version_info[:2])"
    said = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return tuple(map(int, said.stdout.split())) if said.returncode == 0 else None


def installed(name: str) -> str | None:
    """Return an interpreter of this name that runs: one on the path, or one that pyenv keeps."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    kept = sorted(pyenv.glob(f"versions/*/bin/{name}"))
    candidates = [found for found in (shutil.which(name), *map(str, kept)) if found]
    return next((python for python in candidates if version_of(python) is not None), None)


def environment(python: str) -> Path:
    """Return the interpreter of a virtual environment with this version of beltline, made or brought up to date."""
    name = "-".join(map(str, version_of(python) or ()))
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
    run(sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", "-m", "not long")
    own = sys.version_info[:2]
    others = []
    for name in os.environ.get("PYTHONS", "").split():
        python = installed(name)
        if python is not None and version_of(python) != own:
            others.append(python)
    for python in others:
        ignored = [f"--ignore={path}" for path in PROCESS_TESTS]
        run(environment(python), "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", *ignored)
    print(f"Python tests passed on {1 + len(others)} interpreters")


if __name__ == "__main__":
    main()
