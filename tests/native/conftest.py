"""The belt of these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from bed import Bed


@pytest.fixture
def bed() -> Iterator[Bed]:
    """A belt that is stopped in the end."""
    made = Bed()
    yield made
    made.belt.stop(1.0)
