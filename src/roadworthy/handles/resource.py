"""The handle of what a service itself opens and closes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Generic, TypeVar

from roadworthy.errors import NotRunning
from roadworthy.handles.host import Host

T = TypeVar("T")


class Resource(Generic[T]):
    """The handle of something of the service's own that lives as long as its process runs the service."""

    def __init__(self, service: Host, open: Callable[[], AbstractAsyncContextManager[T]]) -> None:
        """Declared with `Service.resource`."""
        self._service = service
        self._open = open
        self._opened: list[T] = []

    @property
    def value(self) -> T:
        """What was opened."""
        if not self._opened:
            raise NotRunning(f"resource {self._open.__name__!r}")
        return self._opened[-1]

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[T]:
        """Open it for the time of an `async with`; the runtime calls it."""
        async with self._open() as value:
            self._opened.append(value)
            try:
                yield value
            finally:
                self._opened.remove(value)
