"""A bulkhead: how many calls run at once, and how many wait for their turn, for how long."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import ParamSpec, TypeVar

from roadworthy.errors import BulkheadFull, DeclarationError
from roadworthy.resilience.deadline import CutShort, remaining

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BulkheadSpec:
    """At most `at_once` calls at once; of the others at most `waiting` wait, in their order, each for `patience`."""

    at_once: int
    waiting: int = 0
    patience: timedelta = timedelta(seconds=1)

    def __post_init__(self) -> None:
        if self.at_once < 1:
            raise DeclarationError(f"a bulkhead has at_once={self.at_once}; let at least 1 call run")
        if self.waiting < 0:
            raise DeclarationError(f"a bulkhead has waiting={self.waiting}; it is 0 or more")
        if self.patience <= timedelta(0):
            raise DeclarationError(f"a bulkhead has patience={self.patience}; make it positive, or waiting=0")


class Bulkhead:
    """The calls of one dependency that run and wait in this process.

    `running` and `waiting` say how many; `most` is the largest number that ran at once, `queued` and `refused` count.
    """

    def __init__(self, dependency: str, spec: BulkheadSpec) -> None:
        """Stand before the dependency of that name."""
        self._dependency = dependency
        self._at_once = spec.at_once
        self._room = spec.waiting
        self._patience = spec.patience.total_seconds()
        self._waiters: deque[asyncio.Future[bool]] = deque()
        self.running = 0
        self.most = 0
        self.queued = 0
        self.refused = 0

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._waiters)

    async def call(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call an asynchronous function when there is a place, and return what it returns.

        Raises:
            BulkheadFull: there was none, so that it was not called.
            Exception: whatever the function raised.
        """
        await self.acquire()
        try:
            return await function(*args, **kwargs)
        finally:
            self.release()

    async def acquire(self) -> None:
        """Take a place, waiting for it where that is allowed; raise BulkheadFull, or CutShort for want of time."""
        # Whoever comes while others wait stands behind them, though a place has just come free.
        if self.running < self._at_once and not self._waiters:
            self._begin()
            return
        if len(self._waiters) >= self._room:
            raise self._full(
                f"{self.running} calls of dependency {self._dependency!r} run already"
                + (f" and {len(self._waiters)} wait" if self._room else "")
            )
        await self._wait()

    def release(self) -> None:
        """Give the place back: to whoever has waited longest, where somebody does."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                # The place is theirs from now on: nobody can come in between.
                waiter.set_result(True)
                return
        self.running -= 1

    async def _wait(self) -> None:
        left = remaining()
        patience = min(self._patience, left)
        if patience <= 0:
            raise CutShort(
                f"dependency {self._dependency!r} was not called: its caller's time was over", self._dependency
            )
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        timer = loop.call_later(patience, self._give_up, waiter)
        self._waiters.append(waiter)
        self.queued += 1
        try:
            mine = await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.result():
                self.release()
            else:
                self._forget(waiter)
            raise
        finally:
            timer.cancel()
        if mine:
            self.most = max(self.most, self.running)
            return
        if left < self._patience and math.isfinite(left):
            raise CutShort(f"dependency {self._dependency!r} had no place free in its caller's time", self._dependency)
        raise self._full(f"no place came free for dependency {self._dependency!r} within {self._patience:g} s")

    def _begin(self) -> None:
        self.running += 1
        if self.running > self.most:
            self.most = self.running

    def _give_up(self, waiter: asyncio.Future[bool]) -> None:
        if not waiter.done():
            self._forget(waiter)
            waiter.set_result(False)

    def _forget(self, waiter: asyncio.Future[bool]) -> None:
        if waiter in self._waiters:
            self._waiters.remove(waiter)

    def _full(self, message: str) -> BulkheadFull:
        self.refused += 1
        return BulkheadFull(f"{message}; ask again later, or raise concurrency=", self._dependency)
