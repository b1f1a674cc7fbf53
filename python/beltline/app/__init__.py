"""The app: where topics, tables, agents and handlers are declared, and what a worker runs."""

from .base import App

__all__ = ["App"]
