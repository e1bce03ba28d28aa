"""When a process that ended is started again. Pure: the runner brings the clock and the randomness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """The n-th failure in a row waits `base` × 2 ** (n - 1), at most `longest`, less a random share of up to `jitter`.

    A process that ran for `stable` has recovered: its next failure counts as the first again.
    """

    base: timedelta = timedelta(seconds=0.5)
    longest: timedelta = timedelta(seconds=30)
    jitter: float = 0.25
    stable: timedelta = timedelta(seconds=60)

    def failures(self, before: int, ran: timedelta) -> int:
        """Return how many failures in a row there are, after `before` of them and a run of `ran`."""
        return 1 if ran >= self.stable else before + 1

    def delay(self, failures: int, random: Callable[[], float]) -> timedelta:
        """Return how long to wait after `failures` in a row; `random` returns a number from 0 up to 1."""
        # 2 ** 30 base delays are past every sensible `longest`, and the exponent has to stay small.
        full = min(self.base * 2.0 ** min(failures - 1, 30), self.longest)
        return full * (1 - self.jitter * random())
