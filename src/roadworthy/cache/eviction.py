"""S3-FIFO: which entry of a full memory tier goes.

Yang, Zhang, Qiu, Yue and Vinayak, "FIFO queues are all you need for cache eviction", SOSP 2023. What is new enters a
small queue; what was used by the time that it reaches the small one's end goes on to the main one, the rest leaves and
is remembered for a while. What returns while it is remembered enters the main queue at once, at whose end each use
counted saves an entry once. A use thus moves nothing: it is one increment.

Against the paper the small queue is 5 % and not 10, uses count up to 7 and not 3, and half as many as are held are
remembered, not as many: on Zipf traces that brings it level with W-TinyLFU, whose sketch every use would have to count
in. A search gives up after a few steps, so that no caller pays for a queue of which all was used.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from roadworthy.cache.record import Entry

_SMALL_SHARE: Final = 20
"""One in so many is in the small queue."""
_MOST_USES: Final = 7
_REMEMBERED_SHARE: Final = 2
_STEPS: Final = 64


class Queues:
    """The names that are held, oldest first, with the size of each."""

    __slots__ = ("_main", "_remembered", "_small")

    def __init__(self) -> None:
        self._small: OrderedDict[str, int] = OrderedDict()
        self._main: OrderedDict[str, int] = OrderedDict()
        # Hashes, since names may be long; two that share one cost no more than a place in the wrong queue.
        self._remembered: OrderedDict[int, None] = OrderedDict()

    def add(self, name: str, size: int) -> None:
        """Hold a name that is not held."""
        if self._remembered.pop(hash(name), self) is self:
            self._small[name] = size
        else:
            self._main[name] = size

    def renew(self, name: str, size: int) -> None:
        """Let a name that was removed a moment ago go on as one that has proved itself."""
        self._main[name] = size

    def remove(self, name: str) -> int:
        """Hold a name no more; return its size."""
        size = self._small.pop(name, None)
        return self._main.pop(name) if size is None else size

    def victim(self, held: Mapping[str, Entry], now: float) -> tuple[str, int]:
        """Take out the name that is needed least, which must be one of `held`; return it and its size."""
        small, main = self._small, self._main
        for left in range(_STEPS - 1, -1, -1):
            from_small = len(small) * _SMALL_SHARE >= len(held) or not main
            name, size = (small if from_small else main).popitem(last=False)
            entry = held[name]
            if not left or not entry.hits or entry.kept_until <= now:
                break
            entry.hits = 0 if from_small else min(entry.hits, _MOST_USES) - 1
            main[name] = size
        if from_small:
            self._remembered[hash(name)] = None
            if len(self._remembered) * _REMEMBERED_SHARE > len(held):
                self._remembered.popitem(last=False)
        return name, size

    def clear(self) -> None:
        """Hold and remember nothing."""
        self._small.clear()
        self._main.clear()
        self._remembered.clear()
