"""A dependency as it runs: what a call of it passes, in one order for all.

Outermost first: fallback, total deadline, bulkhead, client-side throttle, retry, breaker, hedge, time-out of the
attempt, the call. So a retry of what the breaker refuses is not made, each attempt counts for the breaker, a second
attempt counts once, and whoever waits for a place or for the next attempt waits within the deadline.

Each of them is a function that calls the next with what follows it, so that one that is not declared costs nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ParamSpec, Protocol, TypeVar

from roadworthy.errors import BreakerOpen, BulkheadFull, CallThrottled, DeadlineExceeded
from roadworthy.resilience.batching import Batching, BatchSpec
from roadworthy.resilience.breaker import Breaker
from roadworthy.resilience.bulkhead import Bulkhead
from roadworthy.resilience.deadline import Alarm, Total
from roadworthy.resilience.exceptions import matching
from roadworthy.resilience.fallback import Answer, Chain
from roadworthy.resilience.hedging import Hedging
from roadworthy.resilience.retry import Retry
from roadworthy.resilience.spec import DependencySpec
from roadworthy.resilience.throttle import Throttle
from roadworthy.telemetry.tracing import SPAN, span

P = ParamSpec("P")
T = TypeVar("T")

Made = Callable[..., Awaitable[Any]]


class _Layer(Protocol):
    async def call(self, function: Made, *args: Any, **kwargs: Any) -> Any: ...


def _unobserved(_seconds: float) -> None:
    return None


def _untold(_rung: str) -> None:
    return None


@dataclass(slots=True)
class Counts:
    """The calls of one dependency in this process, by what became of them, as their callers saw it.

    `answered` has those whose answer is an exception, `refused` those that were not made, by what held them back.
    """

    answered: int = 0
    failed: int = 0
    late: int = 0
    cancelled: int = 0
    running: int = 0
    refused: dict[str, int] = field(default_factory=lambda: {"breaker": 0, "bulkhead": 0, "throttle": 0})
    observe: Callable[[float], None] = _unobserved
    """Takes the seconds of each call."""
    fell_back: Callable[[str], None] = _untold
    """Takes the rung of each fallback."""


class OpenDependency:
    """A dependency in one process, on one event loop."""

    def __init__(self, spec: DependencySpec, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Put together what `spec` declares; `clock` counts seconds. A loop has to run."""
        name = spec.name
        self.spec = spec
        self.counts = Counts()
        self.breaker = None if spec.breaker is None else Breaker(name, spec.breaker_spec)
        self.bulkhead = None if spec.concurrency is None else Bulkhead(name, spec.concurrency)
        self.throttle = None if spec.throttle is None else Throttle(name, spec.throttle_spec)
        self.retry = None if spec.retry is None else Retry(spec.retry_spec)
        self.hedging = None if spec.hedge is None else Hedging(spec.hedge)
        self.alarm = Alarm(name, spec.timeout.total_seconds())
        self._clock = clock
        self._is_answer = matching(spec.answers)
        total = Total(name, spec.deadline) if spec.total is not None or self.retry is not None else None
        bounded = Total(name, spec.total.total_seconds()) if spec.total is not None else None
        if bounded is None and self.bulkhead is not None:
            # Without one, whoever waited for a place would not hear that nobody waits for it any more.
            bounded = Total(name, float("inf"))
        self._once = _made(bounded, self.bulkhead, self.throttle, self.breaker, self.alarm)
        self._again = _made(total, self.bulkhead, self.throttle, self.retry, self.breaker, self.hedging, self.alarm)

    async def call(
        self, idempotent: bool, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call an asynchronous function; `idempotent` says that it may be called again.

        Raises:
            DependencyFailed: it was not called, or did not answer in time; see its kinds.
            Exception: whatever the function raised.
        """
        if SPAN.get() is None:
            return await self._call(idempotent, function, *args, **kwargs)
        with span(f"call {self.spec.name}", "client", {"roadworthy.dependency": self.spec.name}):
            return await self._call(idempotent, function, *args, **kwargs)

    async def _call(
        self, idempotent: bool, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        made = self._again if idempotent else self._once
        counts, clock = self.counts, self._clock
        counts.running += 1
        began = clock()
        try:
            result: T = await (made(function, *args) if not kwargs else made(partial(function, **kwargs), *args))
        except Exception as error:
            self._count(error)
            raise
        except asyncio.CancelledError:
            counts.cancelled += 1
            raise
        else:
            counts.answered += 1
            return result
        finally:
            counts.running -= 1
            counts.observe(clock() - began)

    async def answer(
        self,
        idempotent: bool,
        chain: Callable[[], Chain],
        function: Callable[..., Awaitable[T]],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Answer[T]:
        """Call an asynchronous function, or answer by the chain of fallbacks; raise what `call` does where none can."""
        try:
            value = await self.call(idempotent, function, *args, **kwargs)
        except Exception as error:
            if self._is_answer(error):
                raise
            answer: Answer[T] = await chain().answer(args, kwargs, error)
            self.counts.fell_back(answer.rung)
            return answer
        return Answer(value)

    def _count(self, error: Exception) -> None:
        counts = self.counts
        if self._is_answer(error):
            counts.answered += 1
            return
        # What another dependency, called within this one's call, was refused for is this one's failure.
        mine = getattr(error, "dependency", None) == self.spec.name
        match error:
            case BreakerOpen() if mine:
                counts.refused["breaker"] += 1
            case BulkheadFull() if mine:
                counts.refused["bulkhead"] += 1
            case CallThrottled() if mine:
                counts.refused["throttle"] += 1
            case DeadlineExceeded() if mine:
                counts.late += 1
            case _:
                counts.failed += 1

    async def close(self) -> None:
        """Wait a second at most for what was cancelled, and let go of the loop."""
        if self.hedging is not None:
            await self.hedging.close()
        self.alarm.close()


def _made(*layers: _Layer | None) -> Made:
    outermost, *others = [layer.call for layer in layers if layer is not None]
    return partial(outermost, *others) if others else outermost


class Dependencies:
    """The dependencies and batches of a service in one process, by name."""

    def __init__(self, dependencies: Iterable[DependencySpec], batches: Iterable[BatchSpec]) -> None:
        """Open them; see `open`."""
        self.of: dict[str, OpenDependency] = {spec.name: OpenDependency(spec) for spec in dependencies}
        self.batches: dict[str, Batching[Any, Any]] = {spec.name: Batching(spec) for spec in batches}

    @classmethod
    @asynccontextmanager
    async def open(
        cls, dependencies: Iterable[DependencySpec], batches: Iterable[BatchSpec] = ()
    ) -> AsyncIterator[Dependencies]:
        """Serve them within an `async with`, on the loop that runs."""
        opened = cls(dependencies, batches)
        try:
            yield opened
        finally:
            for batch in opened.batches.values():
                await batch.close()
            for dependency in opened.of.values():
                await dependency.close()
