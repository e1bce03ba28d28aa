"""What a circuit breaker goes by: when it opens, how long it stays open, and how it finds out that it may close."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, get_args

from roadworthy.errors import DeclarationError
from roadworthy.resilience.exceptions import Exceptions, check_exceptions

Window = Literal["count", "time"]

MOST_CALLS = 100_000
"""The most calls of a window, which keeps a byte for each."""
LONGEST_WINDOW = 3600
"""The longest window in seconds, which keeps three numbers for each."""
LONGEST = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class BreakerSpec:
    """A breaker after the semantics of resilience4j.

    The last `size` calls are looked at (`window="count"`), or those of the last `size` seconds (`"time"`). It opens
    when at least `minimum_calls` of them have ended, at most `size` of a count window, and the share that failed is
    `failure_rate` or more, or the share that took longer than `slow_after` is `slow_call_rate` or more; without
    `slow_after` no call is slow.

    It stays open for `open_wait`, the next time for `growth` times as long, up to `longest_wait`, each less a random
    share of up to `jitter`; closing brings the waits back to the first. Then it is half open: `permits` calls go
    through, and after `half_open_minimum` of them (by default `minimum_calls`, at most `permits`) their rates open or
    close it. A call that has not ended within `half_open_wait` opens it again, so that one that never ends cannot keep
    it half open; None waits forever.

    `failures` are the exceptions that count as failures; others are as good as an answer. `ignored` ones count as
    neither, and win where both apply. `counts_as_failure` is asked about each result. A `shadow` breaker holds nothing
    back and tells when it would.
    """

    window: Window = "count"
    size: int = 100
    failure_rate: float = 0.5
    slow_call_rate: float = 1.0
    slow_after: timedelta | None = None
    minimum_calls: int = 20
    permits: int = 10
    half_open_minimum: int | None = None
    half_open_wait: timedelta | None = timedelta(seconds=60)
    open_wait: timedelta = timedelta(seconds=10)
    growth: float = 2.0
    longest_wait: timedelta = timedelta(minutes=2)
    jitter: float = 0.1
    failures: Exceptions = (Exception,)
    ignored: Exceptions = ()
    counts_as_failure: Callable[[object], bool] | None = None
    shadow: bool = False

    def __post_init__(self) -> None:
        self._check_window()
        self._check_waits()
        for option in ("failures", "ignored"):
            check_exceptions("a breaker", option, getattr(self, option))
        if self.counts_as_failure is not None and not callable(self.counts_as_failure):
            raise DeclarationError(
                f"a breaker has counts_as_failure={self.counts_as_failure!r}; give a function of a call's result"
            )

    def _check_window(self) -> None:
        if self.window not in get_args(Window):
            raise DeclarationError(f"a breaker has window={self.window!r}; choose 'count' or 'time'")
        most, unit = (MOST_CALLS, "calls") if self.window == "count" else (LONGEST_WINDOW, "seconds")
        if not 1 <= self.size <= most:
            raise DeclarationError(f"a breaker has size={self.size}; it must be from 1 to {most:,} {unit}")
        for option in ("failure_rate", "slow_call_rate"):
            if not 0 < getattr(self, option) <= 1:
                raise DeclarationError(
                    f"a breaker has {option}={getattr(self, option)}; it is a share above 0, up to 1"
                )
        for option in ("minimum_calls", "permits"):
            if getattr(self, option) < 1:
                raise DeclarationError(f"a breaker has {option}={getattr(self, option)}; it must be at least 1")
        if self.permits > MOST_CALLS:
            raise DeclarationError(f"a breaker has permits={self.permits}; {MOST_CALLS:,} are the most")
        if self.half_open_minimum is not None and not 1 <= self.half_open_minimum <= self.permits:
            raise DeclarationError(
                f"a breaker has half_open_minimum={self.half_open_minimum}; it must be from 1 to its {self.permits} "
                "permits"
            )

    def _check_waits(self) -> None:
        for option in ("open_wait", "longest_wait", "slow_after", "half_open_wait"):
            value = getattr(self, option)
            if value is not None and not timedelta(0) < value <= LONGEST:
                raise DeclarationError(f"a breaker has {option}={value}; it must be positive, at most a day")
        if self.longest_wait < self.open_wait:
            raise DeclarationError(
                f"a breaker has longest_wait={self.longest_wait} below open_wait={self.open_wait}; raise it"
            )
        if not 1 <= self.growth <= 100:
            raise DeclarationError(f"a breaker has growth={self.growth}; it is a factor from 1 (none) to 100")
        if not 0 <= self.jitter <= 1:
            raise DeclarationError(f"a breaker has jitter={self.jitter}; it is a share from 0 to 1")

    @property
    def needed(self) -> int:
        """How many calls the window must have before a closed breaker decides."""
        return min(self.minimum_calls, self.size) if self.window == "count" else self.minimum_calls

    @property
    def needed_half_open(self) -> int:
        """How many calls must have ended before a half-open breaker decides."""
        return min(self.minimum_calls, self.permits) if self.half_open_minimum is None else self.half_open_minimum
