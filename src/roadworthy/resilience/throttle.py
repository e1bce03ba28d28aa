"""Client-side throttling: a dependency that refuses much is asked less, before the call costs either side anything.

After "Handling Overload" in Site Reliability Engineering (Google, 2016): of `requests` in a window, of which `accepts`
were accepted, the next is not made with the probability (requests − k × accepts) / (requests + 1). Those that were not
made count among the requests, so that the share grows while nothing is accepted. The book prefers a k of 2.
"""

from __future__ import annotations

import random as randomness
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from typing import ParamSpec, TypeVar

from roadworthy.errors import CallThrottled, DeclarationError
from roadworthy.resilience.exceptions import Exceptions, check_exceptions, matching
from roadworthy.resilience.windows import FAILED, TimeWindow

P = ParamSpec("P")
T = TypeVar("T")

LONGEST = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class ThrottleSpec:
    """How much may fail before less is asked.

    Above a share of `failure_share` among the calls of the last `window`, whole seconds, calls begin to be held back:
    at most `most_rejected` of them, and none before the window has `minimum_calls`. A smaller share wastes fewer calls
    on what refuses them, and takes longer to find out that it accepts more: in each window 1 / (1 − `failure_share`)
    times as many are let through. `failures` and `ignored` are as for a breaker.
    """

    failure_share: float = 0.5
    window: timedelta = timedelta(minutes=1)
    most_rejected: float = 0.9
    minimum_calls: int = 10
    failures: Exceptions = (Exception,)
    ignored: Exceptions = ()

    def __post_init__(self) -> None:
        if not 0 <= self.failure_share < 1:
            raise DeclarationError(
                f"a throttle has failure_share={self.failure_share}; it is a share from 0 to below 1"
            )
        if not 0 < self.most_rejected < 1:
            raise DeclarationError(
                f"a throttle has most_rejected={self.most_rejected}; it is a share above 0 and below 1, so that some "
                "calls find out when the dependency accepts them again"
            )
        if not timedelta(seconds=1) <= self.window <= LONGEST or self.window.microseconds:
            raise DeclarationError(f"a throttle has window={self.window}; give whole seconds, from one to an hour")
        if self.minimum_calls < 1:
            raise DeclarationError(f"a throttle has minimum_calls={self.minimum_calls}; it must be at least 1")
        for option in ("failures", "ignored"):
            check_exceptions("a throttle", option, getattr(self, option))


def rejected_share(spec: ThrottleSpec, calls: int, failures: int) -> float:
    """Return the probability with which the next call is held back, of so many `calls` of which so many failed."""
    if calls < spec.minimum_calls:
        return 0.0
    accepted = (calls - failures) / (1 - spec.failure_share)
    return min(max((calls - accepted) / (calls + 1), 0.0), spec.most_rejected)


class Throttle:
    """Holds calls of one dependency back, in one process; tasks and threads may use it together.

    `rejected` counts the calls that were held back.
    """

    def __init__(
        self,
        name: str,
        spec: ThrottleSpec | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = randomness.random,
    ) -> None:
        """Stand before the dependency `name`; `clock` counts seconds, `random` draws from 0 up to 1."""
        self.name = name
        self.spec = spec = ThrottleSpec() if spec is None else spec
        self.rejected = 0
        self._clock, self._random = clock, random
        self._is_failure, self._is_ignored = matching(spec.failures), matching(spec.ignored)
        self._lock = Lock()
        self._window = TimeWindow(int(spec.window.total_seconds()), clock())

    async def call(self, function: Callable[P, Awaitable[T]], *arguments: P.args, **options: P.kwargs) -> T:
        """Call an asynchronous function, and return what it returns.

        Raises:
            CallThrottled: it was not called.
            Exception: whatever the function raised.
        """
        self.acquire()
        try:
            result = await function(*arguments, **options)
        except Exception as error:
            self.failed(error)
            raise
        self.succeeded()
        return result

    def acquire(self) -> None:
        """Return if a call may be made; report then how it went, by `succeeded` or `failed`, unless it was cancelled.

        Raises:
            CallThrottled: it must not.
        """
        window = self._window
        # The usual case costs neither lock nor clock: failures leave the window by themselves, and come by a report.
        if not window.failures:
            return
        with self._lock:
            now = self._clock()
            window.advance(now)
            share = rejected_share(self.spec, window.calls, window.failures)
            if share == 0.0 or self._random() >= share:
                return
            window.add(FAILED, now)
            self.rejected += 1
        raise CallThrottled(
            f"dependency {self.name!r} refused so many calls lately that {share:.0%} of them are not made, this one "
            "among them; try later, or declare a fallback",
            self.name,
            1.0,
        )

    def succeeded(self) -> None:
        """Report that the dependency accepted a call."""
        self._add(0)

    def failed(self, error: Exception) -> None:
        """Report that a call raised `error`."""
        if not self._is_ignored(error):
            self._add(FAILED if self._is_failure(error) else 0)

    def share(self) -> float:
        """Return the share of calls that is held back now."""
        with self._lock:
            self._window.advance(self._clock())
            return rejected_share(self.spec, self._window.calls, self._window.failures)

    def _add(self, outcome: int) -> None:
        with self._lock:
            self._window.add(outcome, self._clock())
