"""Streams: asynchronous iterators over topics and channels, with Faust's operations on them."""

from beltline.events import current_event

from .stream import Stream

__all__ = ["Stream", "current_event"]
