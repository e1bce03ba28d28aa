"""Where the ready jobs of a queue begin, so that a claim need not pass what was claimed before. Pure.

An index keeps the entries of claimed jobs until vacuum removes them, and vacuum cannot while any transaction stays open
that might still see them. A claim from the queue's beginning passes them all. So once such a claim is slow, the next
ones begin where the last ended, priority by priority, and only a tenth of the time goes into claims from the beginning;
once they are dear a hundredth, so that few jobs meet one, yet one in ten seconds unless that were more than a tenth.

Nothing depends on the frontier being right. A job behind it (returned, or committed late) is found by the next claim
from the beginning, which always comes: while that is affordable as soon as there is nothing else, else after a while.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

_CHEAP = 0.002
_DEAR = 0.02
_IDLE_PER_BUSY = 9.0
_IDLE_PER_BUSY_WHEN_DEAR = 99.0
_LONGEST_IDLE = 10.0
_MOST_PRIORITIES = 16
_BELOW_ALL, _ABOVE_ALL = -32769, 32768
_ANCIENT = datetime(1, 1, 2, tzinfo=UTC)

Place = tuple[int, datetime, int]
"""A job's place in its queue: priority, since when it is ready, id."""

WHOLE: Sequence[tuple[Place, int]] = (((_BELOW_ALL, _ANCIENT, 0), _ABOVE_ALL),)
"""The whole queue as a stretch to claim from."""


@dataclass(slots=True)
class Frontier:
    """The frontier of one queue, as one process knows it. Moments and durations are in seconds."""

    _last: dict[int, Place] = field(default_factory=dict)
    _whole_at: float = 0.0
    _took: float = 0.0

    @property
    def dear(self) -> bool:
        """Whether claims from the beginning must be rationed, however much may lie there."""
        return self._took > _DEAR

    def spans(self, now: float) -> list[tuple[Place, int]] | None:
        """Return the stretches to claim from, each a place to begin after and a priority to end before.

        None stands for the whole queue.
        """
        if now >= self._whole_at or not self._last:
            return None
        places = [(_BELOW_ALL, _ANCIENT, 0), *(self._last[priority] for priority in sorted(self._last))]
        ends = [*(place[0] for place in places[1:]), _ABOVE_ALL]
        return list(zip(places, ends, strict=True))

    def claimed(self, places: Iterable[Place]) -> None:
        """Move past what a claim took, in order."""
        for place in places:
            self._last[place[0]] = place

    def claimed_whole(self, now: float, took: float, places: Iterable[Place]) -> None:
        """Take over what a claim from the beginning took, and how long it lasted; forget it all once that is cheap."""
        self._took = took
        if took <= _CHEAP:
            self._whole_at = 0.0
            self._last.clear()
            return
        rest = took * _IDLE_PER_BUSY
        if self.dear:
            rest = max(rest, min(took * _IDLE_PER_BUSY_WHEN_DEAR, _LONGEST_IDLE))
        self._whole_at = now + rest
        self.claimed(places)
        if len(self._last) > _MOST_PRIORITIES:
            self._last.clear()

    def returned(self) -> None:
        """Note that jobs may have come back behind the frontier."""
        if not self.dear:
            self._whole_at = 0.0
