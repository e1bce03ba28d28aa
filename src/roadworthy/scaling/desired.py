"""How many workers a queue needs.

Waiting jobs are weighed by what they cost: ten of a second and ten thousand of a millisecond are the same work. What
matters is to begin all of it within the target latency; what runs already needs its slot whatever it costs.
"""

from __future__ import annotations

from collections import deque
from datetime import timedelta

from roadworthy.scaling.spec import LARGEST_REPLICAS

_MICROSECOND = timedelta(microseconds=1)


def desired_workers(
    *, waiting: int, running: int, mean_duration: timedelta | None, target_latency: timedelta, slots: int
) -> int:
    """Return ceil((waiting × mean duration / target latency + running) / slots), exactly.

    `slots` is how many jobs one worker runs at once. While no duration is known, each waiting job counts as one that
    needs a slot of its own.
    """
    target = target_latency // _MICROSECOND
    mean = target if mean_duration is None else mean_duration // _MICROSECOND
    work = waiting * mean + running * target
    return min(-(-work // (slots * target)), LARGEST_REPLICAS)


class RecentMean:
    """The mean duration of the jobs that ended within a window, from the sum and the count of all that ever did."""

    def __init__(self, window: timedelta) -> None:
        """Jobs that ended before `window` still count while none has ended within it."""
        self._window = window.total_seconds()
        self._seen: deque[tuple[float, float, float]] = deque([(0.0, 0.0, 0.0)])

    def update(self, now: float, count: float, total: float) -> timedelta | None:
        """Note that `count` jobs took `total` seconds by the moment `now`; return the mean, None before the first."""
        seen = self._seen
        if count > seen[-1][1]:
            seen.append((now, count, total))
        while len(seen) > 2 and seen[1][0] <= now - self._window:
            seen.popleft()
        (_, count_before, total_before), (_, count_now, total_now) = seen[0], seen[-1]
        if count_now <= count_before:
            return None
        return timedelta(seconds=max(total_now - total_before, 0.0) / (count_now - count_before))
