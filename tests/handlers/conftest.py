"""What tests of handlers share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from taking_back import Bench


@pytest.fixture
def bench(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Bench]:
    """Return an app whose events can be taken back."""
    made = Bench(tmp_path / "data", caplog)
    yield made
    made.end_holder()
