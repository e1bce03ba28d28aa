"""The lag of an event loop: how late it wakes what is due, and whether it has done so for too long.

Liveness is answered by the loop that it is about. One that is blocked answers nothing, which whoever probes takes for
a failure. One that lags does answer, late but perhaps in time; that it always lags, only itself can tell.
"""

from __future__ import annotations

from collections import deque
from datetime import timedelta

from roadworthy.duration import seconds

INTERVAL = 1.0
"""How often, in seconds, the loop is to wake who measures it."""

SHORTLY = 0.05
"""After how many seconds it is then to wake them once more, as it would a request that comes now."""

_FEWEST = 5


class LoopLag:
    """What was measured of a loop. It lags once every wake-up for `window` was later than `threshold`.

    Few late ones do not count, over whatever time: a machine that slept is no loop that lags.
    """

    def __init__(self, threshold: timedelta = seconds(1), window: timedelta = seconds(30)) -> None:
        """`threshold` is as late as a wake-up may be; the worst is remembered for `window`, too."""
        self.threshold = threshold.total_seconds()
        self._window = window.total_seconds()
        self._seen: deque[tuple[float, float]] = deque()
        self._since: float | None = None
        self._late = 0

    def note(self, due: float, woke: float) -> None:
        """Take in a wake-up that was due and came, both in seconds of one clock."""
        late = max(woke - due, 0.0)
        self._seen.append((woke, late))
        while self._seen[0][0] <= woke - self._window:
            self._seen.popleft()
        if late <= self.threshold:
            self._since, self._late = None, 0
            return
        self._since = due if self._since is None else self._since
        self._late += 1

    def lagging_for(self, now: float) -> float | None:
        """Return for how many seconds the loop has lagged; None where it does not, or not for long enough."""
        if self._since is None or self._late < _FEWEST or now - self._since < self._window:
            return None
        return now - self._since

    def worst(self, now: float) -> float:
        """Return how late, in seconds, the latest wake-up within the window was."""
        return max((late for woke, late in self._seen if woke > now - self._window), default=0.0)
