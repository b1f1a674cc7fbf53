"""The worker process: starts an app, shows what it does, ends it in time."""

from __future__ import annotations

from .process import Worker

__all__ = ["Worker"]
