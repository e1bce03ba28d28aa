"""The memory tier of one process: entries by name, bounded by their number and by the bytes that they take.

A use is one look-up and one increment, which a hot path does itself, without a call:

    held = memory.held                # the same dictionary for as long as the tier lives
    entry = held.get(name)
    if entry is not None:
        entry.hits += 1               # all that the eviction policy wants to know

Nothing but `put`, `pop` and `clear` changes `held`. What is held may have ended or be out of date; that is for the
caller to see. A tier belongs to one event loop: it has no lock.

What goes when it is full: first what has ended, by its `kept_until`, then what S3-FIFO says (`eviction.py`). There is
no timer and no scan; each `put` does a bounded amount of work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from roadworthy.cache.deadlines import Deadlines
from roadworthy.cache.eviction import Queues
from roadworthy.cache.record import Entry

OVERHEAD: Final = 600
"""Bytes that an entry takes beside its data and its name: both objects, the entry's numbers, and its places in the
dictionary, a queue, the calendar and, in part, among the remembered. Measured with tracemalloc, CPython 3.11, 64 bits.
"""
LARGEST_SHARE: Final = 10
"""An entry larger than one part in so many of the bytes is not kept: it would drive out too much."""
_MOST_EVICTED: Final = 128


def _nothing(_name: str, _entry: Entry) -> None:
    return None


class Memory:
    """At most `entries` entries of at most `bytes` bytes, names and an overhead for each included.

    `now` tells Unix time in seconds by the clock of the entries' `kept_until`. `on_evict` is told of each entry that
    is driven out, not of those that are replaced, popped or cleared; it must not raise.
    """

    __slots__ = ("_deadlines", "_most", "_most_bytes", "_now", "_on_evict", "_queues", "bytes", "evictions", "held")

    def __init__(
        self,
        entries: int,
        bytes: int,
        *,
        now: Callable[[], float],
        on_evict: Callable[[str, Entry], None] = _nothing,
    ) -> None:
        self.held: dict[str, Entry] = {}
        self.bytes = 0
        self.evictions = 0
        self._most = entries
        self._most_bytes = bytes
        self._now = now
        self._on_evict = on_evict
        self._queues = Queues()
        self._deadlines = Deadlines()

    def __len__(self) -> int:
        return len(self.held)

    def get(self, name: str) -> Entry | None:
        """Return the entry of a name, and count that as a use; None where there is none."""
        entry = self.held.get(name)
        if entry is not None:
            entry.hits += 1
        return entry

    def put(self, name: str, entry: Entry) -> bool:
        """Keep an entry, in place of the name's former one, whose uses count on; return whether it is kept.

        It is not where it alone takes more than a tenth of the bytes, or where room for a large one would have to be
        made of hundreds of small ones: those go, and the next attempt finds the room.
        """
        former = self.pop(name) if name in self.held else None
        size = len(entry.data) + len(name) + OVERHEAD
        if size * LARGEST_SHARE > self._most_bytes:
            return False
        if (len(self.held) >= self._most or self.bytes + size > self._most_bytes) and not self._make_room(size):
            return False
        if former is None:
            entry.hits = 0
            self._queues.add(name, size)
        else:
            entry.hits = former.hits
            self._queues.renew(name, size)
        self.held[name] = entry
        self.bytes += size
        self._deadlines.add(name, entry.kept_until)
        return True

    def pop(self, name: str) -> Entry | None:
        """Keep a name's entry no more, and return it; None where there is none."""
        entry = self.held.pop(name, None)
        if entry is not None:
            self.bytes -= self._queues.remove(name)
            self._deadlines.remove(name, entry.kept_until)
        return entry

    def clear(self) -> None:
        """Keep nothing."""
        self.held.clear()
        self._queues.clear()
        self._deadlines.clear()
        self.bytes = 0

    def _make_room(self, size: int) -> bool:
        now = self._now()
        held, most = self.held, self._most_bytes - size
        for _ in range(_MOST_EVICTED):
            self._evict(now)
            if self.bytes <= most and len(held) < self._most:
                return True
        return False

    def _evict(self, now: float) -> None:
        ended = self._ended(now) if self._deadlines.earliest <= now else None
        if ended is None:
            name, size = self._queues.victim(self.held, now)
            entry = self.held.pop(name)
            self._deadlines.remove(name, entry.kept_until)
        else:
            name, size = ended, self._queues.remove(ended)
            entry = self.held.pop(name)
        self.bytes -= size
        self.evictions += 1
        self._on_evict(name, entry)

    def _ended(self, now: float) -> str | None:
        while (name := self._deadlines.due(now)) is not None:
            entry = self.held.get(name)
            if entry is not None and entry.kept_until <= now:
                return name
        return None
