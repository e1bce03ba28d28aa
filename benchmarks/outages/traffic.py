"""Requests of several kinds at a steady rate, and what became of each."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

PATIENCE = 20.0
"""Seconds after which an answer is no more waited for."""

Send = Callable[[int], Awaitable[httpx.Response]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of request. `send` makes the next one, told its number; `accepted` are the statuses that it is to have."""

    name: str
    send: Send
    accepted: frozenset[int] = frozenset((200,))


@dataclass(frozen=True, slots=True)
class Answered:
    """A request: its kind, when it began, how many seconds it took, and its status or the error without one."""

    kind: Kind
    began: float
    seconds: float
    outcome: int | str

    @property
    def good(self) -> bool:
        """Whether it was answered as it is to be."""
        return self.outcome in self.kind.accepted


@dataclass(slots=True)
class Traffic:
    """What was asked so far."""

    kinds: tuple[Kind, ...]
    answered: list[Answered] = field(default_factory=list)
    _waiting: dict[int, tuple[Kind, float]] = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def of(cls, kinds: tuple[Kind, ...], *, every: float) -> AsyncIterator[Traffic]:
        """Send a request of each kind `every` so many seconds, whether or not the last one was answered."""
        traffic = cls(kinds)
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(traffic._send_all(every))
            try:
                yield traffic
            finally:
                sending.cancel()

    async def _send_all(self, every: float) -> None:
        numbers = itertools.count()
        async with asyncio.TaskGroup() as group:
            due = time.monotonic()
            while True:
                number = next(numbers)
                for kind in self.kinds:
                    group.create_task(self._send(kind, number))
                due += every
                await asyncio.sleep(max(due - time.monotonic(), 0))

    async def _send(self, kind: Kind, number: int) -> None:
        began = time.monotonic()
        self._waiting[id(asyncio.current_task())] = (kind, began)
        outcome: int | str
        try:
            async with asyncio.timeout(PATIENCE):
                outcome = (await kind.send(number)).status_code
        except TimeoutError:
            outcome = "no answer"
        except httpx.HTTPError as error:
            outcome = type(error).__name__
        finally:
            del self._waiting[id(asyncio.current_task())]
        self.answered.append(Answered(kind, began, time.monotonic() - began, outcome))

    def between(self, kind: Kind, first: float, last: float) -> list[Answered]:
        """Return those of a kind that began between two moments."""
        return [one for one in self.answered if one.kind is kind and first <= one.began < last]

    async def settled(self, kind: Kind, first: float, last: float, *, within: float) -> list[Answered]:
        """Return those of a kind that began between two moments, when all have ended or so many seconds have passed."""
        patience = time.monotonic() + within
        while time.monotonic() < patience and any(
            waits is kind and first <= began < last for waits, began in self._waiting.values()
        ):
            await asyncio.sleep(0.05)
        return self.between(kind, first, last)

    async def until_good(self, *, within: float) -> float | None:
        """Wait until the next three requests of every kind are good; return after how many seconds the first began.

        None where that has not come within so many seconds.
        """
        began = time.monotonic()
        while time.monotonic() < began + within:
            lasting = [self._good_since(kind, began) for kind in self.kinds]
            if all(moment is not None for moment in lasting):
                return max(moment - began for moment in lasting if moment is not None)
            await asyncio.sleep(0.05)
        return None

    def _good_since(self, kind: Kind, moment: float) -> float | None:
        later = sorted(self.between(kind, moment, float("inf")), key=lambda one: one.began)
        good = list(itertools.takewhile(lambda one: one.good, reversed(later)))
        return good[-1].began if len(good) >= 3 else None
