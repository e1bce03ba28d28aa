"""How many requests at once a service answers best: the limit beyond which more of them only make each one wait.

By Little's law, N requests under way at once, X done a second and a latency of R are one: N = X * R. Up to the
service's capacity R stays what it is and X grows with N; past it X stays and R grows. The limit is held where R is
`slower` times what it is without load: it needs no configured number of threads, connections or processors.

What the known limiters do wrong here, and what stands against it:

- *An average over routes drifts with their mix.* Each kind of request is compared with its own usual latency.
- *A latency measured under overload becomes the usual one.* The usual latency is learnt from requests that began while
  at most half of the limit was under way. Under lasting overload there are none, so now and then the limit is halved
  for one window (as BBR's ProbeRTT does), and again as long as that finds a lower latency.
- *A slow dependency is taken for a queue, and the limit collapses.* A queue gets shorter with the limit. Where latency
  did not fall as the limit did, it is measured the same way, and what does not fall is the new usual latency.
- *Requests that all time out look like a steady latency, and those that fail at once like a fast one.* Failures teach
  no usual latency, and count for the usual one at least.
- *A minimum of 20, or steps of the square root, never shed for a process that does one thing at a time.* The least
  is 1.

Windows end once the mean is told apart from the bound by its standard error: after ten requests where they are all
alike, after more where they differ. See Gradient2 of Netflix's concurrency-limits, Envoy's adaptive concurrency filter,
Vegas (Brakmo, O'Malley, Peterson 1994) and BBR (Cardwell et al. 2016).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass

FEWEST_SAMPLES = 10
MOST_SAMPLES = 400
MOST_KINDS = 1000
PROVEN_FOR = 10.0
"""Seconds after which a usual latency that little has taught since is measured anew, under overload."""
CEILING_FOR = (2.0, 30.0)
"""Seconds after which a limit that was too high may be tried again: the first time, and after many."""

_MEMORY = 200
_RISE = 1.25
_DEVIATIONS = 2.0
_PROVEN = 0.3
_DOUBT = 0.2
_FELL = 0.7
_LOWERED = 0.75
_ENOUGH = 50


@dataclass(slots=True)
class _Kind:
    """The usual latency of one kind of request (seconds), and what the window has seen of it."""

    usual: float
    samples: int = 0
    window: int = 0
    count: int = 0
    took: float = 0.0


class AdaptiveLimit:
    """The number of requests that may be under way at once: `limit`, from `least` to `most`.

    `saturate` is to be called when the limit keeps a request waiting or away: a limit that nobody met says nothing
    about what would be beyond.
    """

    __slots__ = (
        "_before",
        "_ceiling",
        "_ceiling_for",
        "_ceiling_until",
        "_clock",
        "_count",
        "_enough",
        "_first",
        "_kinds",
        "_least",
        "_level",
        "_most",
        "_probing",
        "_proven",
        "_saturated",
        "_since",
        "_slower",
        "_squares",
        "_starting",
        "_sum",
        "_taught",
        "_window",
        "limit",
        "usual",
    )

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        initial: int = 20,
        least: int = 1,
        most: int = 1000,
        slower: float = 1.4,
    ) -> None:
        """Begin at `initial`. At the limit, latency is `slower` times the usual one. `clock` tells seconds."""
        self.limit = initial
        self._saturated = False
        self.usual = 0.0
        self._clock = clock
        self._least = least
        self._most = most
        self._slower = slower
        self._level = float(initial)
        self._kinds: dict[Hashable, _Kind] = {}
        self._starting = True
        self._probing = 0.0
        self._first = (self._level, 1.0)
        self._before: tuple[float, float] | None = None
        self._ceiling = math.inf
        self._ceiling_for = CEILING_FOR[0]
        self._ceiling_until = -math.inf
        self._proven = -math.inf
        self._taught = 0
        self._enough = math.inf
        self._window = 0
        self._count = 0
        self._sum = 0.0
        self._squares = 0.0
        self._begin(clock())

    def ended(self, kind: Hashable, in_flight: int, began: float, now: float, *, failed: bool = False) -> None:
        """Learn from a request that has ended.

        `kind` is what requests of a like latency have in common, such as their route; `in_flight` how many were under
        way when it `began`, itself included; `failed` says that the latency is that of a failure.
        """
        took = now - began
        known = self._kinds.get(kind)
        if known is None:
            if failed or len(self._kinds) >= MOST_KINDS:
                return
            known = self._kinds[kind] = _Kind(took)
        if failed:
            took = max(took, known.usual)
        elif 4 * in_flight <= self.limit or in_flight == 1 or known.samples < FEWEST_SAMPLES:
            known.samples = samples = min(known.samples + 1, _MEMORY)
            known.usual += (took - known.usual) / samples
            self.usual += (known.usual - self.usual) / _MEMORY if self.usual else known.usual
            self._taught += 1
        if began < self._since or not (self._saturated or self._probing):
            return
        ratio = took / known.usual if known.usual > 0 else 1.0
        self._count = count = self._count + 1
        self._sum += ratio
        self._squares += ratio * ratio
        if not failed:
            if known.window != self._window:
                known.window, known.count, known.took = self._window, 0, 0.0
            known.count += 1
            known.took += took
        if count >= FEWEST_SAMPLES and count >= self.limit:
            self._conclude(now)

    def saturate(self, now: float) -> None:
        """Note that the limit was met: what is measured under it begins now."""
        if not self._saturated:
            self._begin(now)
            self._saturated = True

    def _begin(self, now: float) -> None:
        """Begin a window: of requests that begin from now on, under the limit as it is now."""
        self._since = now
        self._window += 1
        self._count = 0
        self._sum = 0.0
        self._squares = 0.0
        self._saturated = False

    def _conclude(self, now: float) -> None:
        mean = self._sum / self._count
        error = math.sqrt(max(self._squares / self._count - mean * mean, 0.0) / self._count) * _DEVIATIONS
        if self._probing:
            if error < _PROVEN * mean or self._count >= MOST_SAMPLES // 4:
                self._probed(mean, error, now)
        elif self.limit > self._least and now - self._proven > PROVEN_FOR and self._taught < self._enough:
            self._first = (self._level, mean)
            self._probe(mean, now)
        elif mean - error > self._slower:
            self._lower(mean, now)
        elif mean + error < self._slower or self._count >= MOST_SAMPLES:
            self._raise(mean, now)

    def _lower(self, mean: float, now: float) -> None:
        self._starting = False
        if self._before is None:
            self._before = (self._level, mean)
        elif self._level <= _LOWERED * self._before[0]:
            level, slowness = self._before
            self._before = (self._level, mean)
            # As a queue, it would have become shorter as the limit did.
            if mean > slowness * (1 + self._level / level) / 2 and self.limit > self._least:
                self._before = None
                self._first = (self._level, mean)
                self._probe(mean, now)
                return
        if self.limit > self._least:
            same = self.limit == self._ceiling
            self._ceiling_for = min(2 * self._ceiling_for, CEILING_FOR[1]) if same else CEILING_FOR[0]
            self._ceiling, self._ceiling_until = self.limit, now + self._ceiling_for
        self._set(self._level * max(0.5, self._slower / mean), now)

    def _raise(self, mean: float, now: float) -> None:
        self._before = None
        level = self._level * (2.0 if self._starting else min(_RISE, max(1.0, self._slower / mean)))
        if now < self._ceiling_until:
            level = max(min(level, self._ceiling - 0.01), self._level)
        self._set(level, now)

    def _set(self, level: float, now: float) -> None:
        self._level = min(max(level, self._least), self._most)
        self.limit = math.floor(self._level)
        self._begin(now)

    def _probe(self, mean: float, now: float) -> None:
        """Have half as many under way for a window, to see whether latency falls from `mean`."""
        self._probing = mean
        self.limit = max(self._least, self.limit // 2)
        self._begin(now)

    def _probed(self, mean: float, error: float, now: float) -> None:
        if mean < _FELL * self._probing and self.limit > self._least:
            self._probe(mean, now)
            return
        level, slowness = self._first
        self._probing = 0.0
        self._proven = now
        self._taught, self._enough = 0, _ENOUGH
        self._relearn(1.0 if abs(mean - 1) > error else _DOUBT)
        # By Little's law: as many as are under way at the rate that was reached, each at its usual latency.
        queued = slowness / mean
        if queued > self._slower:
            self._starting = False
            level *= self._slower / queued
        self._set(level, now)

    def _relearn(self, weight: float) -> None:
        """Take the latencies of this window for the usual ones, with a `weight` of up to 1."""
        for known in self._kinds.values():
            if known.window == self._window and known.count:
                # Of a few requests, the mean says little.
                share = weight * min(1.0, known.count / FEWEST_SAMPLES)
                known.usual += (known.took / known.count - known.usual) * share
                known.samples = max(known.samples, known.count)
