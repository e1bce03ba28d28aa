"""Each library's breaker, retry and time-out around one function, in the cheapest way that it documents.

A breaker that knows windows has one of 100 calls; the others count failures in a row. What they all guard returns at
once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import aiobreaker
import hyx.circuitbreaker
import hyx.retry
import hyx.timeout
import interlock
import purgatory
import pybreaker
import stamina
import tenacity

from roadworthy.resilience import breaker_metrics, dependency_metrics
from roadworthy.resilience.breaker import Breaker, BreakerSpec
from roadworthy.resilience.deadline import Alarm
from roadworthy.resilience.dependency import Dependencies, OpenDependency
from roadworthy.resilience.retry import Retry
from roadworthy.resilience.spec import DependencySpec
from roadworthy.telemetry.registry import MetricRegistry

OURS = "roadworthy"

Async = Callable[[], Awaitable[object]]
Sync = Callable[[], object]

AT_ONCE = 5
"""How many calls half open are declared, by who can declare that."""
SHORT = 0.05
"""The seconds that an open breaker of the half-open measure waits."""


async def answer() -> int:
    """Return at once."""
    return 1


def answer_sync() -> int:
    """Return at once."""
    return 1


def tracked(spec: BreakerSpec) -> Breaker:
    """Return a breaker of ours whose metrics are exported."""
    breaker = Breaker("store", spec)
    breaker_metrics.track(MetricRegistry(breaker_metrics.CATALOGUE), [breaker])
    return breaker


async def _purgatory(threshold: int = 5, ttl: float = 30) -> Callable[[Async], Async]:
    guard = await purgatory.AsyncCircuitBreakerFactory(threshold, ttl).get_breaker("store")

    def around(function: Async) -> Async:
        async def call() -> object:
            async with guard:
                return await function()

        return call

    return around


def _hyx(**options: float) -> Callable[[Async], Async]:
    guard = hyx.circuitbreaker.consecutive_breaker(**options)  # type: ignore[arg-type]

    def around(function: Async) -> Async:
        async def call() -> object:
            async with guard:
                return await function()

        return call

    return around


async def breakers() -> dict[str, Callable[[Async], Async]]:
    """Return what puts each closed breaker around an asynchronous function."""
    return {
        OURS: lambda function: partial(tracked(BreakerSpec()).call, function),
        "aiobreaker": lambda function: partial(aiobreaker.CircuitBreaker().call_async, function),
        "hyx": _hyx(),
        "interlock-cb": lambda function: partial(interlock.CircuitBreaker(name="store").call_async, function),
        "purgatory": await _purgatory(),
    }


def breakers_sync() -> dict[str, Callable[[Sync], Sync]]:
    """Return what puts each closed breaker around a synchronous function."""

    def of_purgatory(function: Sync) -> Sync:
        guard = purgatory.SyncCircuitBreakerFactory().get_breaker("store")

        def call() -> object:
            with guard:
                return function()

        return call

    return {
        OURS: lambda function: partial(tracked(BreakerSpec()).call_sync, function),
        "pybreaker": lambda function: partial(pybreaker.CircuitBreaker().call, function),
        "aiobreaker": lambda function: partial(aiobreaker.CircuitBreaker().call, function),
        "interlock-cb": lambda function: partial(interlock.CircuitBreaker(name="store").call_sync, function),
        "purgatory": of_purgatory,
    }


def timed_breakers() -> dict[str, Callable[[Async], Async]]:
    """Return the same of those that look at the last 60 seconds, and at slow calls."""
    config = interlock.Config(window_type=interlock.WindowType.TIME_BASED, window_size=60)
    theirs = interlock.CircuitBreaker(name="store", config=config)
    spec = BreakerSpec(window="time", size=60, slow_after=timedelta(seconds=60))
    return {
        OURS: lambda function: partial(tracked(spec).call, function),
        "interlock-cb": lambda function: partial(theirs.call_async, function),
    }


def retries() -> dict[str, Callable[[Async], Async]]:
    """Return what has each library call a function up to three times."""
    return {
        OURS: lambda function: partial(Retry().call, function),
        "hyx": lambda function: hyx.retry.retry(attempts=3)(function),  # type: ignore[arg-type,return-value]
        "stamina": lambda function: stamina.retry(on=Exception, attempts=3)(function),  # type: ignore[type-var]
        "tenacity": lambda function: tenacity.retry(stop=tenacity.stop_after_attempt(3))(function),
    }


def timeouts() -> dict[str, Callable[[Async], Async]]:
    """Return what bounds a function to 30 seconds; it has to run within a loop."""

    def of_asyncio(function: Async) -> Async:
        async def call() -> object:
            async with asyncio.timeout(30):
                return await function()

        return call

    def of_interlock(function: Async) -> Async:
        async def call() -> object:
            async with interlock.timeout(30):
                return await function()

        return call

    return {
        OURS: lambda function: partial(Alarm("store", 30).call, function),
        "asyncio.timeout": of_asyncio,
        "hyx": lambda function: hyx.timeout.timeout(30)(function),  # type: ignore[arg-type,return-value]
        "interlock-cb": of_interlock,
    }


@dataclass(frozen=True, slots=True)
class Together:
    """Breaker, retry and time-out around a function, by each library or the best set of them."""

    ours: OpenDependency

    @classmethod
    def make(cls) -> Together:
        """Open a dependency of ours whose metrics are exported."""
        opened = Dependencies([DependencySpec("store", timedelta(seconds=30), idempotent=True)], ())
        registry = MetricRegistry((*dependency_metrics.CATALOGUE, *breaker_metrics.CATALOGUE))
        dependency_metrics.track(registry, opened)
        return cls(opened.of["store"])

    def guards(self) -> dict[str, Callable[[Async], Async]]:
        """Return what puts all three around a function."""

        def of_hyx(function: Async) -> Async:
            timed = hyx.timeout.timeout(30)(function)  # type: ignore[arg-type]
            broken = hyx.circuitbreaker.consecutive_breaker()(timed)
            return hyx.retry.retry(attempts=3)(broken)  # type: ignore[return-value]

        def of_interlock(function: Async) -> Async:
            built = interlock.Pipeline.builder().retry(attempts=3)
            pipeline = built.circuit_breaker(interlock.CircuitBreaker(name="store")).timeout(30).build()
            return pipeline(function)  # type: ignore[arg-type,return-value]

        def of_several(function: Async) -> Async:
            guard = aiobreaker.CircuitBreaker()

            @stamina.retry(on=Exception, attempts=3)
            async def call() -> object:
                async with asyncio.timeout(30):
                    return await guard.call_async(function)

            return call

        return {
            OURS: lambda function: partial(self.ours.call, True, function),
            "hyx": of_hyx,
            "interlock-cb": of_interlock,
            "stamina, aiobreaker, asyncio": of_several,
        }


class Broken(Exception):
    """What has breakers open."""


@dataclass(frozen=True, slots=True)
class HalfOpen:
    """A breaker that opens at the fifth failure and waits for `SHORT`; it declares `declared` calls half open."""

    declared: int
    around: Callable[[Async], Async]


async def half_opens() -> dict[str, HalfOpen]:
    """Return breakers to be opened."""
    short = timedelta(seconds=SHORT)
    spec = BreakerSpec(minimum_calls=5, permits=AT_ONCE, open_wait=short, longest_wait=short, jitter=0)
    config = interlock.Config(
        minimum_number_of_calls=5,
        wait_duration_in_open=SHORT,
        permitted_calls_in_half_open=AT_ONCE,
        max_concurrent_probes=AT_ONCE,
    )
    ours, theirs = Breaker("store", spec), interlock.CircuitBreaker(name="store", config=config)
    other = aiobreaker.CircuitBreaker(timeout_duration=short)
    return {
        OURS: HalfOpen(AT_ONCE, lambda function: partial(ours.call, function)),
        "interlock-cb": HalfOpen(AT_ONCE, lambda function: partial(theirs.call_async, function)),
        "aiobreaker": HalfOpen(1, lambda function: partial(other.call_async, function)),
        "hyx": HalfOpen(AT_ONCE, _hyx(failure_threshold=5, recovery_time_secs=SHORT, recovery_threshold=AT_ONCE)),
        "purgatory": HalfOpen(1, await _purgatory(5, SHORT)),
    }


@dataclass(frozen=True, slots=True)
class HalfOpenSync:
    """The same for a synchronous function, to be called by threads."""

    declared: int
    around: Callable[[Sync], Sync]


def half_opens_sync() -> dict[str, HalfOpenSync]:
    """Return breakers to be opened, for threads."""
    short = timedelta(seconds=SHORT)
    spec = BreakerSpec(minimum_calls=5, permits=AT_ONCE, open_wait=short, longest_wait=short, jitter=0)
    ours = Breaker("store", spec, clock=time.monotonic)
    theirs = pybreaker.CircuitBreaker(fail_max=5, reset_timeout=SHORT)
    return {
        OURS: HalfOpenSync(AT_ONCE, lambda function: partial(ours.call_sync, function)),
        "pybreaker": HalfOpenSync(1, lambda function: partial(theirs.call, function)),
    }
