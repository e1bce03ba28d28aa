"""What a node heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress

from roadworthy.cache.store import Change, Store


class Ear:
    """The changes that a node was told of, in order; None where it may have missed some."""

    def __init__(self) -> None:
        self.heard: list[Change | None] = []

    def changed(self, change: Change) -> None:
        self.heard.append(change)

    def interrupted(self) -> None:
        self.heard.append(None)

    async def until(self, enough: Callable[[], bool], seconds: float = 60.0) -> None:
        async with asyncio.timeout(seconds):
            while not enough():
                await asyncio.sleep(0.005)

    async def hears(self, changes: Iterable[tuple[str, str, int]]) -> None:
        """Wait until exactly these actions, names and stamps were told after the last interruption."""
        wanted = list(changes)
        with suppress(TimeoutError):
            await self.until(lambda: len(self.latest()) >= len(wanted))
        assert [(one.action, one.name, one.stamp) for one in self.latest()] == wanted

    def latest(self) -> list[Change]:
        """Return what was told since the last interruption."""
        told: list[Change] = []
        for one in self.heard:
            if one is None:
                told.clear()
            else:
                told.append(one)
        return told


@asynccontextmanager
async def listening(store: Store) -> AsyncIterator[Ear]:
    """Hear what a store tells, from when it does."""
    ear = Ear()
    async with store.listening(ear.changed, ear.interrupted):
        await ear.until(lambda: bool(ear.heard))
        assert ear.heard[0] is None
        yield ear
