"""The environment with the libraries that beltline is compared with, apart from that of the product."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".venv-peers"
PYTHON = FOLDER / "bin" / "python"

#: What is imported, and what pip calls it.
PACKAGES = {
    "faust": "faust-streaming",
    "bytewax": "bytewax",
    "quixstreams": "quixstreams",
    "confluent_kafka": "confluent-kafka",
    "orjson": "orjson",
}

#: A mirror may be slow.
INSTALL_TIMEOUT_S = 300


def python() -> Path:
    """Return the interpreter of the environment, made the first time; see `missing` for what it lacks."""
    if not PYTHON.exists():
        print("making an environment for the peers")
        subprocess.run([sys.executable, "-m", "venv", FOLDER], check=True)
    return PYTHON


def missing(module: str) -> str | None:
    """Install a peer if it is not there yet; return why it cannot be had, or None."""
    import_it = [str(python()), "-c", f"import {module}"]
    if subprocess.run(import_it, capture_output=True, check=False).returncode == 0:
        return None
    package = PACKAGES[module]
    print(f"installing {package} into {FOLDER.name}")
    install = [str(python()), "-m", "pip", "install", "--quiet", package]
    done = subprocess.run(install, capture_output=True, text=True, check=False, timeout=INSTALL_TIMEOUT_S)
    if done.returncode == 0:
        done = subprocess.run(import_it, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or ["pip failed"])[-1]
