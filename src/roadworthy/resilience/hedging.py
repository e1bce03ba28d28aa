"""Hedging: a second attempt where the first takes longer than nearly all do, and whichever answers first counts.

After Dean and Barroso, "The Tail at Scale" (2013). How many second attempts there may be is bounded by a share of the
calls, so that a dependency that slows down as a whole is not given twice the load.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, ParamSpec, TypeVar

from roadworthy.errors import DeclarationError

P = ParamSpec("P")
T = TypeVar("T")

_REMEMBERED: Final = 256
_EVERY: Final = 32
_QUANTILE: Final = 0.95
_MOST_SAVED: Final = 10.0


@dataclass(frozen=True, slots=True)
class HedgeSpec:
    """A second attempt `after` that time, for at most the `share` of all calls.

    Without `after`, it is the time within which 95 of the last 100 calls answered, learned from the last 256; until 32
    have, there are no second attempts.
    """

    after: timedelta | None = None
    share: float = 0.1

    def __post_init__(self) -> None:
        if self.after is not None and self.after <= timedelta(0):
            raise DeclarationError(
                f"a hedge has after={self.after}; make it positive, or leave it out to have it learned"
            )
        if not 0 < self.share <= 1:
            raise DeclarationError(f"a hedge has share={self.share}; it is a share of calls above 0, at most 1")


class Latencies:
    """How long the last calls took, and the 95th percentile of that."""

    __slots__ = ("_count", "_taken", "p95")

    def __init__(self) -> None:
        self._taken: list[float] = []
        self._count = 0
        self.p95: float | None = None

    def add(self, seconds: float) -> None:
        """Add one call. The percentile is worked out anew at every 32nd."""
        if len(self._taken) < _REMEMBERED:
            self._taken.append(seconds)
        else:
            self._taken[self._count % _REMEMBERED] = seconds
        self._count += 1
        if self._count % _EVERY == 0:
            ordered = sorted(self._taken)
            self.p95 = ordered[int(_QUANTILE * (len(ordered) - 1))]


class Hedging:
    """Makes second attempts; it belongs to one event loop.

    `sent` counts them, `won` those that answered first.
    """

    def __init__(
        self,
        spec: HedgeSpec | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Hedge as `spec` says; `clock` counts seconds."""
        spec = HedgeSpec() if spec is None else spec
        self._after = None if spec.after is None else spec.after.total_seconds()
        self._share = spec.share
        self._clock = clock
        # Saved up by calls, one spent by each second attempt: so these never are more than their share of all calls.
        self._saved = 0.0
        self._losers: set[asyncio.Task[Any]] = set()
        self.latencies = Latencies()
        self.sent = 0
        self.won = 0

    async def call(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call an asynchronous function, twice where it takes long, and return the first result.

        Raises:
            Exception: what the first attempt raised, where no other one succeeded.
        """
        self._saved = min(self._saved + self._share, _MOST_SAVED)
        after = self._after if self._after is not None else self.latencies.p95
        began = self._clock()
        if after is None or self._saved < 1:
            result = await function(*args, **kwargs)
            self.latencies.add(self._clock() - began)
            return result
        first = asyncio.create_task(_awaited(function(*args, **kwargs)))
        attempts = [first]
        try:
            done, _ = await asyncio.wait(attempts, timeout=after)
            if not done and self._saved >= 1:
                self._saved -= 1
                self.sent += 1
                attempts.append(asyncio.create_task(_awaited(function(*args, **kwargs))))
            winner = await self._first(attempts)
            if winner is not first:
                self.won += 1
            # Of one that was overtaken, this is the least that it would have taken.
            self.latencies.add(self._clock() - began)
            return winner.result()
        finally:
            for attempt in attempts:
                self._drop(attempt)

    async def _first(self, attempts: list[asyncio.Task[T]]) -> asyncio.Task[T]:
        """Return the attempt that answers first; where all fail, the one that failed first, which tells why."""
        pending = set(attempts)
        failed: asyncio.Task[T] | None = None
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for attempt in (one for one in attempts if one in done):
                if not attempt.cancelled() and attempt.exception() is None:
                    return attempt
                failed = failed or attempt
        if failed is None:
            raise RuntimeError("no attempt was made")
        failed.result()
        return failed

    def _drop(self, attempt: asyncio.Task[Any]) -> None:
        """Cancel an attempt that nobody waits for; it is given the time that it takes to end."""
        if attempt.done():
            _retrieve(attempt)
            return
        attempt.cancel()
        self._losers.add(attempt)
        attempt.add_done_callback(self._losers.discard)
        attempt.add_done_callback(_retrieve)

    async def close(self) -> None:
        """Wait a second at most until all that was cancelled has ended."""
        if self._losers:
            await asyncio.wait(self._losers, timeout=1)


async def _awaited(call: Awaitable[T]) -> T:
    return await call


def _retrieve(attempt: asyncio.Task[Any]) -> None:
    # What nobody waits for any more is none for the loop to complain about.
    if not attempt.cancelled():
        attempt.exception()
