"""A quota: so many units in so long, and by which algorithm that is counted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, get_args

from roadworthy.errors import DeclarationError

Algorithm = Literal["gcra", "token_bucket", "fixed_window", "sliding_window", "sliding_log"]

ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)
BURSTING = ("gcra", "token_bucket")
"""The algorithms that spread units evenly, so that what may come at once is a number of its own."""

MOST = 1_000_000_000
LONGEST_LOG = 10_000
"""The most units of a sliding log, which keeps a time for each."""
LONGEST = timedelta(days=366)

_PERIODS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_WRITTEN = re.compile(r"([0-9]{1,10})\s*/\s*(?:([0-9]{1,9})\s*)?(s|m|h|d|second|minute|hour|day)s?")


@dataclass(frozen=True, slots=True)
class Quota:
    """At most `count` units in each `period`, which is a whole number of seconds.

    `burst` is how many may come at once after a pause, by default all of `count`. Algorithms differ in what they admit
    in the worst stretch as long as the period, which is `most_in_period`:

    - `gcra`, the generic cell rate algorithm (ITU-T I.371), and `token_bucket`, which counts the same in other words:
      units come back evenly, one each `period / count`.
    - `fixed_window`: the count starts anew at each multiple of the period since 1970.
    - `sliding_window`: as that, and the part of the window before that has not passed yet is counted as if it had been
      spread evenly.
    - `sliding_log`: exact; keeps the time of each unit.
    """

    count: int
    period: timedelta
    burst: int | None = None
    algorithm: Algorithm = "gcra"

    def __post_init__(self) -> None:
        if self.algorithm not in ALGORITHMS:
            raise DeclarationError(f"quota has algorithm={self.algorithm!r}; choose one of {', '.join(ALGORITHMS)}")
        if not 1 <= self.count <= MOST:
            raise DeclarationError(f"quota has count={self.count}; it must be from 1 to {MOST:,}")
        if not timedelta(seconds=1) <= self.period <= LONGEST or self.period.microseconds:
            raise DeclarationError(
                f"quota has period={self.period}; it must be a whole number of seconds, from one to {LONGEST.days} days"
            )
        if self.burst is not None and self.algorithm not in BURSTING:
            raise DeclarationError(f"quota has burst={self.burst}, which {self.algorithm} has not; leave it out")
        if self.burst is not None and not 1 <= self.burst <= MOST:
            raise DeclarationError(f"quota has burst={self.burst}; it must be from 1 to {MOST:,}")
        if self.algorithm == "sliding_log" and self.count > LONGEST_LOG:
            raise DeclarationError(
                f"quota has count={self.count} with sliding_log, which keeps a time for each; {LONGEST_LOG:,} are the "
                "most, so choose sliding_window or gcra"
            )

    @classmethod
    def parse(cls, text: str, *, burst: int | None = None, algorithm: Algorithm = "gcra") -> Quota:
        """Read "100/minute", "5/15 minutes", "1000/h"; units are seconds, minutes, hours and days."""
        match = _WRITTEN.fullmatch(text.strip())
        if match is None:
            raise DeclarationError(f"quota {text!r} cannot be read; write it as in '100/minute' or '5/15 minutes'")
        count, number, unit = match.groups()
        name = next(name for name in _PERIODS if name.startswith(unit))
        if (length := int(number or 1) * _PERIODS[name]) > LONGEST.total_seconds():
            raise DeclarationError(f"quota {text!r} has too long a period; {LONGEST.days} days are the most")
        return cls(int(count), timedelta(seconds=length), burst, algorithm)

    @property
    def seconds(self) -> int:
        """The period in seconds."""
        return int(self.period.total_seconds())

    @property
    def spacing(self) -> float:
        """The time in seconds after which one unit has come back."""
        return self.seconds / self.count

    @property
    def capacity(self) -> int:
        """How many units may come at once after a pause; a cost above that is never admitted."""
        return self.count if self.burst is None else self.burst

    @property
    def most_in_period(self) -> int:
        """The most units that are admitted in any stretch as long as the period."""
        if self.algorithm in BURSTING:
            return self.capacity + self.count
        return self.count if self.algorithm == "sliding_log" else 2 * self.count
