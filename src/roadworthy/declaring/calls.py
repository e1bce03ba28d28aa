"""What a service declares of dependencies, and calls that are gathered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from datetime import timedelta
from typing import TypeVar

from roadworthy.declaring.base import Declaring
from roadworthy.duration import seconds
from roadworthy.handles.dependency import Batch, Dependency
from roadworthy.resilience.batching import BatchSpec, Load
from roadworthy.resilience.breaker_spec import BreakerSpec
from roadworthy.resilience.bulkhead import BulkheadSpec
from roadworthy.resilience.exceptions import Exceptions
from roadworthy.resilience.hedging import HedgeSpec
from roadworthy.resilience.retry import RetrySpec
from roadworthy.resilience.spec import BREAKER, RETRY, DependencySpec
from roadworthy.resilience.throttle import ThrottleSpec

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Calls(Declaring):
    """Declares dependencies, and calls that are gathered."""

    def dependency(
        self,
        name: str,
        *,
        timeout: timedelta = seconds(5),
        total: timedelta | None = None,
        retry: RetrySpec | None = RETRY,
        breaker: BreakerSpec | None = BREAKER,
        concurrency: int | BulkheadSpec | None = None,
        throttle: ThrottleSpec | None = None,
        hedge: HedgeSpec | None = None,
        idempotent: bool = False,
        answers: Exceptions = (),
        critical: bool = False,
        check: Callable[[], Awaitable[object]] | None = None,
    ) -> Dependency:
        """Declare something that the service calls: another service, a server, whatever may be slow, broken or busy.

        `timeout` bounds an attempt, and `total` a call with all its attempts and waits, by default twice as long where
        it may be tried again. `retry` and `hedge`, a second attempt beside a slow one, are for calls that are said to
        be idempotent: all, where `idempotent` is. `breaker` leaves alone what fails too often, `throttle` asks less of
        what refuses much, `concurrency` bounds how many calls run at once. A policy that is None costs nothing.

        `answers` are exceptions that are an answer, such as that there is no such address: no failure, and not tried
        again. An open breaker is a warning in `/health`, and fails it where `critical`; so does what `check` raises.
        """
        bulkhead = BulkheadSpec(concurrency) if isinstance(concurrency, int) else concurrency
        spec = DependencySpec(
            name,
            timeout,
            total,
            retry,
            breaker,
            bulkhead,
            throttle,
            hedge,
            idempotent,
            answers,
            critical,
            check,
        )
        self.declared.add("dependency", spec)
        return Dependency(self, spec)

    def batched(
        self,
        *,
        size: int = 100,
        wait: timedelta = seconds(0.002),
        at_once: int = 4,
        pending: int = 10_000,
        timeout: timedelta = seconds(30),
        name: str | None = None,
    ) -> Callable[[Load[K, V]], Batch[K, V]]:
        """Make an async function that answers many keys one that is asked for each by itself.

        It is given up to `size` keys `wait` after the first was asked for, and returns a mapping by key, or a value for
        each in their order; an exception among these is raised for its key alone. `at_once` calls of it run at once,
        each for `timeout` at most, and `pending` keys may wait.
        """

        def declare(load: Load[K, V]) -> Batch[K, V]:
            spec = BatchSpec(name or load.__name__, load, size, wait, at_once, pending, timeout)
            self.declared.add("batch", spec)
            return Batch(self, spec)

        return declare
