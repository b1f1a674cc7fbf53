"""Tables: dicts that survive restarts and move together with the events that changed them."""

from .table import Table

__all__ = ["Table"]
