"""When the entries of a memory tier end: names in a calendar of short spans, so that what is over is found at once."""

from __future__ import annotations

import math
from typing import Final

_SPAN: Final = 8
"""Seconds. What ends within one span is found once the span is over."""
_STEPS: Final = 64


class Deadlines:
    """Names by the moment when their entry ends, Unix time in seconds.

    Before `earliest` nothing is due.
    """

    __slots__ = ("_names", "earliest")

    def __init__(self) -> None:
        self._names: dict[int, set[str]] = {}
        self.earliest = math.inf

    def add(self, name: str, moment: float) -> None:
        """Note when a name's entry ends."""
        span = int(moment) // _SPAN
        names = self._names.get(span)
        if names is not None:
            names.add(name)
            return
        self._names[span] = {name}
        end = float((span + 1) * _SPAN)
        if end < self.earliest:
            self.earliest = end

    def remove(self, name: str, moment: float) -> None:
        """Forget a name that was added with this moment."""
        span = int(moment) // _SPAN
        names = self._names.get(span)
        if names is not None:
            names.discard(name)
            if not names:
                del self._names[span]

    def due(self, now: float) -> str | None:
        """Take out a name whose time is over; None where there is none, or none was found in a few steps."""
        if not self._names:
            self.earliest = math.inf
        for _ in range(_STEPS):
            if self.earliest > now:
                return None
            span = int(self.earliest) // _SPAN - 1
            names = self._names.get(span)
            if names is None:
                self.earliest += _SPAN
                continue
            name = names.pop()
            if not names:
                del self._names[span]
            return name
        return None

    def clear(self) -> None:
        """Forget all."""
        self._names.clear()
        self.earliest = math.inf
