"""A store in a dictionary: the model of what every store does, and one for tests without a server."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from roadworthy.cache.pattern import compiled
from roadworthy.cache.stamp import stamp_of
from roadworthy.cache.store import Change, StoreDown, Write

Value = TypeVar("Value")
Until = tuple[Value, float]
Listening = tuple[Callable[[Change], None], Callable[[], None]]


class Dictionary:
    """What the stores of several nodes share, and what a test does to it."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """`clock` tells Unix time in seconds."""
        self.clock = clock
        self.down = False
        self.entries: dict[str, Until[tuple[int, bytes]]] = {}
        self.tags: dict[str, Until[int]] = {}
        self.locks: dict[str, Until[str]] = {}
        self.listeners: list[Listening] = []

    def interrupt(self) -> None:
        """Have every node think that it may have missed changes."""
        for _, interrupted in self.listeners:
            interrupted()

    def tell(self, change: Change) -> None:
        """Tell every node of a change."""
        for changed, _ in self.listeners:
            changed(change)


class DictStore:
    """A `Store` of the nodes of one process. An exchange awaits nothing, so it is one step for all others."""

    def __init__(self, dictionary: Dictionary, *, node: int = 0) -> None:
        """`node` (0 to 4095) is told as the sender of what this one changes."""
        self._dictionary = dictionary
        self._node = node

    async def get(self, name: str) -> bytes | None:
        """See `Store.get`."""
        return (await self.get_many([name]))[0]

    async def get_many(self, names: Sequence[str]) -> list[bytes | None]:
        """See `Store.get_many`."""
        found = [_living(self._up().entries, name, self._dictionary.clock()) for name in names]
        return [None if entry is None else entry[1] for entry in found]

    async def write(self, writes: Sequence[Write]) -> list[bool]:
        """See `Store.write`."""
        return [self._write(write) for write in writes]

    def _write(self, write: Write) -> bool:
        shared = self._up()
        now = shared.clock()
        there = _living(shared.entries, write.name, now)
        if there is not None and there[0] > write.stamp:
            return False
        shared.entries[write.name] = (write.stamp, write.record), now + write.lifetime
        shared.tell(Change(write.action, write.name, write.stamp, self._node))
        return True

    async def tag_stamps(self, tags: Sequence[str]) -> list[int]:
        """See `Store.tag_stamps`."""
        shared = self._up()
        return [_living(shared.tags, tag, shared.clock()) or 0 for tag in tags]

    async def invalidate(self, tags: Sequence[str], *, lifetime: float, stamp: int | None = None) -> int:
        """See `Store.invalidate`."""
        shared = self._up()
        now = shared.clock()
        given = stamp_of(now, self._node) if stamp is None else stamp
        for tag in tags:
            known, until = shared.tags.get(tag, (0, 0.0))
            newest = max(known, given)
            shared.tags[tag] = newest, max(until, now + lifetime)
            shared.tell(Change("tag", tag, newest, self._node))
        return given

    async def names(self, prefix: str, pattern: str) -> AsyncIterator[list[str]]:
        """See `Store.names`."""
        shared = self._up()
        fits, now = compiled(pattern).match, shared.clock()
        if found := [
            name
            for name, (_, until) in shared.entries.items()
            if until > now and name.startswith(prefix) and fits(name, len(prefix))
        ]:
            yield found

    async def acquire(self, name: str, token: str, lease: float) -> bool:
        """See `Store.acquire`."""
        shared = self._up()
        now = shared.clock()
        if _living(shared.locks, name, now) not in (None, token):
            return False
        shared.locks[name] = token, now + lease
        return True

    async def release(self, name: str, token: str) -> bool:
        """See `Store.release`."""
        shared = self._up()
        if _living(shared.locks, name, shared.clock()) != token:
            return False
        del shared.locks[name]
        return True

    async def now(self) -> float:
        """See `Store.now`."""
        return self._up().clock()

    @asynccontextmanager
    async def listening(
        self, changed: Callable[[Change], None], interrupted: Callable[[], None]
    ) -> AsyncIterator[None]:
        """See `Store.listening`."""
        listener = changed, interrupted
        interrupted()
        self._dictionary.listeners.append(listener)
        try:
            yield
        finally:
            self._dictionary.listeners.remove(listener)

    async def close(self) -> None:
        """See `Store.close`."""

    def _up(self) -> Dictionary:
        if self._dictionary.down:
            raise StoreDown("the dictionary is down, because a test said so")
        return self._dictionary


def _living(values: Mapping[str, Until[Value]], name: str, now: float) -> Value | None:
    value, until = values.get(name, (None, 0.0))
    return value if until > now else None
