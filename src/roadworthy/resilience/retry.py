"""Trying again: after waits that grow and are spread out, within a budget, and not before one is asked to."""

from __future__ import annotations

import asyncio
import math
import random as randomness
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import ParamSpec, TypeVar

from roadworthy.errors import BreakerOpen, BulkheadFull, CallThrottled, DeclarationError
from roadworthy.resilience.budget import Budget
from roadworthy.resilience.deadline import CutShort, remaining
from roadworthy.resilience.exceptions import Exceptions, check_exceptions, matching
from roadworthy.resilience.retry_after import asked_wait, seconds_of

P = ParamSpec("P")
T = TypeVar("T")

LONGEST = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class RetrySpec:
    """What is tried again, how often and when.

    A call is made `attempts` times at most, the first included, and none begins when `total` has passed since the
    first. Before attempt n + 1 passes `first_wait` × `growth` ** (n − 1), at most `longest_wait`, less a random share
    of up to `jitter`. Whoever refuses a call may ask for a longer wait (see `asked_wait`, or give `retry_after`, a
    function of an exception or a result); one above `longest_retry_after` is not waited for, nor one that does not
    fit into `total` or the caller's deadline: then the last outcome stands.

    Of all calls under way, at most `budget_share` or `budget_floor` are retrying; None for no such bound.

    `on` are the exceptions after which a call is tried again, but for those of `never`, which by default are those of
    a dependency that was not called. `on_result` returns True for a result that is worth another attempt.
    """

    attempts: int = 3
    total: timedelta | None = None
    first_wait: timedelta = timedelta(milliseconds=100)
    growth: float = 2.0
    longest_wait: timedelta = timedelta(seconds=5)
    jitter: float = 0.5
    budget_share: float | None = 0.2
    budget_floor: int = 3
    on: Exceptions = (Exception,)
    never: Exceptions = (BreakerOpen, BulkheadFull, CallThrottled, CutShort)
    on_result: Callable[[object], bool] | None = None
    retry_after: Callable[[object], float | timedelta | None] | None = None
    longest_retry_after: timedelta = timedelta(seconds=30)

    def __post_init__(self) -> None:
        if not 1 <= self.attempts <= 1000:
            raise DeclarationError(f"a retry has attempts={self.attempts}; it must be from 1 (no retry) to 1000")
        for option in ("total", "longest_wait", "longest_retry_after"):
            value = getattr(self, option)
            if value is not None and not timedelta(0) < value <= LONGEST:
                raise DeclarationError(f"a retry has {option}={value}; it must be positive, at most a day")
        if not timedelta(0) <= self.first_wait <= self.longest_wait:
            raise DeclarationError(
                f"a retry has first_wait={self.first_wait}; it must be from 0 to its longest_wait={self.longest_wait}"
            )
        if not 1 <= self.growth <= 100:
            raise DeclarationError(f"a retry has growth={self.growth}; it is a factor from 1 (none) to 100")
        if not 0 <= self.jitter <= 1:
            raise DeclarationError(f"a retry has jitter={self.jitter}; it is a share from 0 to 1")
        for option in ("on", "never"):
            check_exceptions("a retry", option, getattr(self, option))
        for option in ("on_result", "retry_after"):
            if (function := getattr(self, option)) is not None and not callable(function):
                raise DeclarationError(f"a retry has {option}={function!r}; give a function")
        Budget(self.budget_share or 0, self.budget_floor)

    def wait_after(self, attempt: int, random: float) -> float:
        """Return the seconds to wait after the failed `attempt` (from 1); `random` is from 0 up to 1."""
        return self._middle(attempt) * (1 - self.jitter * random)

    def wait_when_asked(self, attempt: int, asked: float, random: float) -> float | None:
        """Return the seconds to wait when asked for so many; None for too long a wait.

        It is never less, and up to the usual jitter more, since all that were refused together are asked for the same.
        """
        if asked > self.longest_retry_after.total_seconds():
            return None
        return max(asked + self._middle(attempt) * self.jitter * random, self.wait_after(attempt, random))

    def _middle(self, attempt: int) -> float:
        first, longest = self.first_wait.total_seconds(), self.longest_wait.total_seconds()
        if first == 0:
            return 0.0
        try:
            return min(first * self.growth ** (attempt - 1), longest)
        except OverflowError:
            return longest


class Retry:
    """Makes calls, and makes them again. It belongs to one event loop.

    `retries` counts further attempts, `exhausted` calls given up for want of attempts or time, `over_budget` those
    given up for want of budget.
    """

    def __init__(
        self,
        spec: RetrySpec | None = None,
        *,
        budget: Budget | None = None,
        remaining: Callable[[], float] = remaining,
        clock: Callable[[], float] = time.monotonic,
        time_of_day: Callable[[], float] = time.time,
        random: Callable[[], float] = randomness.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Retry as `spec` says, within `budget`, by default one of its own as its spec has it.

        `remaining` returns how many seconds the caller still waits, `clock` counts seconds, `time_of_day` Unix time,
        `random` draws from 0 up to 1, `sleep` waits for seconds.
        """
        self.spec = spec = RetrySpec() if spec is None else spec
        if budget is None:
            budget = (
                Budget(1, spec.budget_floor)
                if spec.budget_share is None
                else Budget(spec.budget_share, spec.budget_floor)
            )
        self.budget = budget
        self.retries = self.exhausted = self.over_budget = 0
        self._remaining, self._clock, self._time_of_day = remaining, clock, time_of_day
        self._random, self._sleep = random, sleep
        self._on, self._never = matching(spec.on), matching(spec.never)
        self._on_result = spec.on_result
        self._timed = spec.total is not None
        self._total = math.inf if spec.total is None else spec.total.total_seconds()

    async def call(self, function: Callable[P, Awaitable[T]], *arguments: P.args, **options: P.kwargs) -> T:
        """Call an asynchronous function until it succeeds or is given up, and return its last result.

        Raises:
            Exception: what the function raised the last time.
        """
        budget = self.budget
        attempt, retrying = 1, False
        began = self._clock() if self._timed else 0.0
        budget.active += 1
        try:
            while True:
                try:
                    result = await (function(*arguments, **options) if options else function(*arguments))  # type: ignore[call-arg]
                except Exception as error:
                    if not self._on(error) or self._never(error):
                        raise
                    wait = self._wait(attempt, error, began)
                    if wait is None or not self._granted(retrying):
                        raise
                else:
                    if self._on_result is None or not self._on_result(result):
                        return result
                    wait = self._wait(attempt, result, began)
                    if wait is None or not self._granted(retrying):
                        return result
                retrying = True
                attempt += 1
                await self._sleep(wait)
                self.retries += 1
        finally:
            budget.active -= 1
            if retrying:
                budget.give_back()

    def _granted(self, retrying: bool) -> bool:
        """Return whether the budget has room, what this call has of it already included."""
        # A further retry needs the budget anew: with fewer calls under way it may be smaller than before.
        if retrying:
            self.budget.give_back()
        if self.budget.take():
            return True
        if retrying:
            self.budget.retrying += 1
        self.over_budget += 1
        return False

    def _wait(self, attempt: int, outcome: object, began: float) -> float | None:
        """Return the seconds until the next attempt; None where there is none."""
        spec = self.spec
        wait: float | None = None
        if attempt < spec.attempts:
            asked = self._asked(outcome)
            random = self._random()
            wait = spec.wait_after(attempt, random) if asked is None else spec.wait_when_asked(attempt, asked, random)
        if wait is not None and (
            wait >= self._remaining() or (self._timed and self._clock() - began + wait > self._total)
        ):
            wait = None
        if wait is None:
            self.exhausted += 1
        return wait

    def _asked(self, outcome: object) -> float | None:
        now = self._time_of_day()
        if self.spec.retry_after is None:
            return asked_wait(outcome, now)
        return seconds_of(self.spec.retry_after(outcome), now)
