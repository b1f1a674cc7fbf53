"""Handlers: plain or async functions that are called with every event, see ``@app.on``."""

from .handler import Handler

__all__ = ["Handler"]
