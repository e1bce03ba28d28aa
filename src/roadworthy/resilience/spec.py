"""What a dependency is, declared once: how long it may take, and what happens when it is slow, broken or busy."""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import cast

from roadworthy.errors import DeclarationError
from roadworthy.resilience.breaker_spec import BreakerSpec
from roadworthy.resilience.bulkhead import BulkheadSpec
from roadworthy.resilience.deadline import CutShort
from roadworthy.resilience.exceptions import Exceptions, check_exceptions, matching
from roadworthy.resilience.hedging import HedgeSpec
from roadworthy.resilience.retry import RetrySpec
from roadworthy.resilience.throttle import ThrottleSpec

LONGEST = timedelta(days=1)

RETRY = RetrySpec()
BREAKER = BreakerSpec()

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,49}")


@dataclass(frozen=True, slots=True)
class DependencySpec:
    """Something outside that a service calls.

    `timeout` bounds each attempt, `total` a call with all its attempts and waits; where calls are retried it is by
    default twice the `timeout`. `retry` and `hedge` are for calls that are said to be idempotent, as all are of a
    dependency that is declared `idempotent`. `answers` are exceptions that are an answer: they neither count as
    failures, nor are they tried again or answered by a fallback. A policy that is None is left out of each call.

    A breaker that is open is a warning in `/health`, and fails it where the dependency is `critical`; `check` is
    awaited there as well, and raises what is wrong.
    """

    name: str
    timeout: timedelta = timedelta(seconds=5)
    total: timedelta | None = None
    retry: RetrySpec | None = RETRY
    breaker: BreakerSpec | None = BREAKER
    concurrency: BulkheadSpec | None = None
    throttle: ThrottleSpec | None = None
    hedge: HedgeSpec | None = None
    idempotent: bool = False
    answers: Exceptions = ()
    critical: bool = False
    check: Callable[[], Awaitable[object]] | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise DeclarationError(
                f"dependency name {self.name!r} must match [a-z][a-z0-9_-]*, 50 characters at most; rename it"
            )
        what = f"dependency {self.name!r}"
        for option in ("timeout", "total"):
            value = getattr(self, option)
            if value is not None and not timedelta(0) < value <= LONGEST:
                raise DeclarationError(f"{what} has {option}={value}; it must be positive, at most a day")
        if self.total is not None and self.total < self.timeout:
            raise DeclarationError(
                f"{what} has total={self.total} below its timeout={self.timeout}, so that no attempt could have it; "
                "lower the timeout"
            )
        if self.hedge is not None and self.hedge.after is not None and self.hedge.after >= self.timeout:
            raise DeclarationError(
                f"{what} has a hedge after {self.hedge.after}, when its timeout={self.timeout} is over; lower it"
            )
        check_exceptions(what, "answers", self.answers)

    @property
    def deadline(self) -> float:
        """How many seconds an idempotent call has in all, infinity for no bound but its attempt's."""
        if self.total is not None:
            return self.total.total_seconds()
        return math.inf if self.retry is None else 2 * self.timeout.total_seconds()

    @property
    def breaker_spec(self) -> BreakerSpec | None:
        """The breaker's, with what is no failure of this dependency left out."""
        spec = self.breaker
        return None if spec is None else replace(spec, ignored=either(spec.ignored, self.answers, (CutShort,)))

    @property
    def throttle_spec(self) -> ThrottleSpec | None:
        """The throttle's, as well."""
        spec = self.throttle
        return None if spec is None else replace(spec, ignored=either(spec.ignored, self.answers, (CutShort,)))

    @property
    def retry_spec(self) -> RetrySpec | None:
        """The retry's, with what is an answer left out."""
        spec = self.retry
        return None if spec is None else replace(spec, never=either(spec.never, self.answers))


def either(*exceptions: Exceptions) -> Exceptions:
    """Return what means the exceptions that any of these means."""
    if all(isinstance(one, tuple) for one in exceptions):
        return tuple(kind for one in exceptions for kind in cast(tuple[type[BaseException], ...], one))
    judges = [matching(one) for one in exceptions]
    return lambda error: any(judge(error) for judge in judges)
