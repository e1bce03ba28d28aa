from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from roadworthy.health.policy import Reading

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class FakeTime:
    """A clock that stands still until it is told to go on, and wakes who sleeps by it."""

    def __init__(self) -> None:
        self.moment = 1000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def clock(self) -> float:
        return self.moment

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self.moment - 1000.0)

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.moment + seconds, woken))
        await woken

    async def settle(self) -> None:
        """Have everything that can go on do so."""
        for _ in range(12):
            await asyncio.sleep(0)

    async def go(self, seconds: float) -> None:
        """Let time pass, waking each sleeper at its moment."""
        await self.settle()
        end = self.moment + seconds
        while due := sorted((entry for entry in self._sleepers if entry[0] <= end), key=lambda entry: entry[0]):
            entry = due[0]
            self._sleepers.remove(entry)
            self.moment = max(entry[0], self.moment)
            if not entry[1].done():
                entry[1].set_result(None)
            await self.settle()
        self.moment = end

    async def jump(self, seconds: float) -> None:
        """Let time pass in which nobody could run, as in a process that was stopped."""
        self.moment += seconds
        await self.go(0)


class Looked:
    """A check's function that counts its looks, and fails or hangs when told to."""

    def __init__(self) -> None:
        self.looks = 0
        self.error: Exception | None = None
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self) -> Sequence[Reading]:
        self.looks += 1
        await self.open.wait()
        if self.error is not None:
            raise self.error
        return [Reading("x:value", "pass", self.looks)]


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def looked() -> Looked:
    return Looked()
