"""Requests under way to the application that others wait for (collapsed forwarding)."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

Ending = Literal["stored", "private", "failed", "stale"]
"""A flight ended with a stored response, one that others may not have, none at all, or a stale one instead."""

_MOST_REMEMBERED = 10_000


class Flight:
    """One request under way."""

    def __init__(self) -> None:
        self._landed = asyncio.Event()
        self.ending: Ending | None = None

    def land(self, ending: Ending) -> None:
        """Let go of all that wait; only the first ending counts."""
        if self.ending is None:
            self.ending = ending
            self._landed.set()

    async def wait(self, patience: float) -> Ending | None:
        """Wait for at most `patience` seconds; return how it ended, None if it has not."""
        try:
            async with asyncio.timeout(patience):
                await self._landed.wait()
        except TimeoutError:
            return None
        return self.ending


class Flights:
    """The flights under way by key, and for some time those keys whose responses turned out private.

    Waiting for one of those would make requests queue up behind each other for nothing.
    """

    def __init__(self, remembered_for: float = 60.0) -> None:
        """Begin with none. A private key is remembered for so many seconds."""
        self._flights: dict[str, Flight] = {}
        self._private: OrderedDict[str, float] = OrderedDict()
        self._remembered_for = remembered_for

    def under_way(self, key: str) -> Flight | None:
        """Return the flight of a key that may be waited for."""
        return self._flights.get(key)

    @contextmanager
    def leading(self, key: str) -> Iterator[Flight]:
        """Have others wait for what is done within a `with`."""
        flight = self._flights[key] = Flight()
        try:
            yield flight
        finally:
            flight.land("failed")
            if self._flights.get(key) is flight:
                del self._flights[key]

    def note_private(self, key: str, now: float) -> None:
        """Remember that responses of a key are not to be shared."""
        self._private[key] = now + self._remembered_for
        self._private.move_to_end(key)
        while len(self._private) > _MOST_REMEMBERED:
            self._private.popitem(last=False)

    def is_private(self, key: str, now: float) -> bool:
        """Return whether responses of a key were not to be shared lately."""
        until = self._private.get(key)
        return until is not None and now < until
