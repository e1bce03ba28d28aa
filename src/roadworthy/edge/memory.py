"""Stored responses in the memory of one process."""

from __future__ import annotations

import itertools
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from roadworthy.edge.stored import StoredResponse

_MOST_MARKS = 10_000


class _Marks:
    """When names were last given up. Bounded: where there are too many, the oldest are taken to be of all names."""

    def __init__(self) -> None:
        self._moments: OrderedDict[str, int] = OrderedDict()
        self.floor = 0

    def mark(self, name: str, moment: int) -> None:
        self._moments[name] = moment
        self._moments.move_to_end(name)
        while len(self._moments) > _MOST_MARKS:
            _, self.floor = self._moments.popitem(last=False)

    def since(self, name: str) -> int:
        return self._moments.get(name, self.floor)


class MemoryResponses:
    """A `ResponseStorage` of at most `most_bytes`; the least recently used go first.

    A response that takes more than an eighth of it is not kept, so that one cannot push out all others.
    """

    def __init__(self, most_bytes: int = 64 * 1024 * 1024, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin empty. `clock` counts in seconds."""
        self._most = most_bytes
        self._clock = clock
        self._held: OrderedDict[str, tuple[StoredResponse, int, float, int]] = OrderedDict()
        self._bytes = 0
        self._moments = itertools.count(1)
        self._deleted = _Marks()
        self._invalidated = _Marks()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def bytes(self) -> int:
        """What is held takes this much."""
        return self._bytes

    def moment(self) -> int:
        """Return now; see `ResponseStorage`."""
        return next(self._moments)

    def peek(self, key: str) -> StoredResponse | None:
        """Return the response under a key."""
        held = self._held.get(key)
        if held is None:
            return None
        response, moment, until, _ = held
        if self._clock() >= until or (response.tags and not self._alive(response, moment)):
            self._drop(key)
            return None
        self._held.move_to_end(key)
        return response

    async def get(self, key: str) -> StoredResponse | None:
        """Return the response under a key."""
        return self.peek(key)

    async def put(self, key: str, response: StoredResponse, moment: int, lifetime: float) -> bool:
        """Keep a response; see `ResponseStorage`."""
        size = response.size + len(key)
        if size > self._most // 8 or lifetime <= 0:
            return False
        if moment <= self._deleted.since(key) or not self._alive(response, moment):
            return False
        self._drop(key)
        self._held[key] = (response, moment, self._clock() + lifetime, size)
        self._bytes += size
        while self._bytes > self._most:
            self._drop(next(iter(self._held)))
        return True

    async def delete(self, key: str) -> None:
        """Forget what is under a key."""
        self._deleted.mark(key, next(self._moments))
        self._drop(key)

    async def invalidate(self, tags: Iterable[str]) -> None:
        """Forget what bears one of these tags."""
        for tag in tags:
            self._invalidated.mark(tag, next(self._moments))

    def _alive(self, response: StoredResponse, moment: int) -> bool:
        since = self._invalidated.since
        return all(moment > since(tag) for tag in response.tags)

    def _drop(self, key: str) -> None:
        held = self._held.pop(key, None)
        if held is not None:
            self._bytes -= held[3]
