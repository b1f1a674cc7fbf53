"""Other ways to look at a stream; the iteration stays native."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from beltline._native import StreamMode

    from .stream import Stream

__all__ = ["NativeView", "View"]

T = TypeVar("T")


class View(Generic[T]):
    """A stream seen as items or events; the iteration stays native."""

    __slots__ = ("_iterator", "_mode", "_stream")

    def __init__(self, stream: Stream[Any], mode: StreamMode) -> None:
        self._stream = stream
        self._mode = mode
        self._iterator: AsyncIterator[T] | None = None

    def __aiter__(self) -> AsyncIterator[T]:
        return self._stream._iterate(self._mode)

    def __anext__(self) -> Any:
        if self._iterator is None:
            self._iterator = self.__aiter__()
        return self._iterator.__anext__()

    async def aclose(self) -> None:
        """Nothing to close: the stream can be iterated again."""


class NativeView(Generic[T]):
    """Hands the stream itself to ``async for``, past its own ``__aiter__``."""

    __slots__ = ("_stream",)

    def __init__(self, stream: Stream[T]) -> None:
        self._stream = stream

    def __aiter__(self) -> Any:
        return self._stream
