"""The memory tier of one cache: entries with what makes them dead, and the calls that lead straight to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from roadworthy.cache.clock import StoreClock
from roadworthy.cache.freshness import quiet_until
from roadworthy.cache.memory import Memory
from roadworthy.cache.record import Entry
from roadworthy.cache.spec import CacheSpec
from roadworthy.cache.tally import Tally

_MOST_ALIASES = 8


class Local:
    """The entries that a process keeps of one cache."""

    def __init__(self, spec: CacheSpec, tally: Tally, clock: StoreClock, dead: Callable[[Entry], bool]) -> None:
        """`dead` says whether an entry's tags were invalidated since it began to load."""
        self._spec = spec
        self._tally = tally
        self._clock = clock
        self._dead = dead
        self._closed = False
        self.memory = Memory(spec.entries, spec.bytes, now=clock.now, on_evict=_forget_calls)

    def get(self, name: str) -> Entry | None:
        """Return the entry of a name, None where there is none or its tags were invalidated."""
        entry = self.memory.get(name)
        if entry is None or entry.generation == self._tally.generation:
            return entry
        if self._dead(entry):
            self.drop(name)
            return None
        entry.generation = self._tally.generation
        return entry

    def put(self, name: str, entry: Entry) -> None:
        """Keep a filled entry, in the place of the one before."""
        if self._closed:
            return
        former = self.memory.held.get(name)
        if former is not None:
            _forget_calls(name, former)
        entry.tally = self._tally
        entry.generation = self._tally.generation
        entry.quiet_until = quiet_until(entry, self._spec.early) - self._clock.offset
        self.memory.put(name, entry)

    def drop(self, name: str) -> None:
        """Forget the entry of a name."""
        if (entry := self.memory.pop(name)) is not None:
            _forget_calls(name, entry)

    def lead(self, name: str, entry: Entry, table: dict[Any, Entry], call: Any) -> None:
        """Have a call in `table` lead to an entry for as long as that is kept here."""
        if self.memory.held.get(name) is not entry or call in table:
            return
        if entry.aliases is None:
            entry.aliases = []
        if len(entry.aliases) < _MOST_ALIASES:
            table[call] = entry
            entry.aliases.append((table, call))

    def close(self) -> None:
        """Forget everything, and keep nothing any more: a call that leads to an entry asks no further."""
        self._closed = True
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        for name, entry in self.memory.held.items():
            _forget_calls(name, entry)
        self.memory.clear()


def _forget_calls(name: str, entry: Entry) -> None:
    for table, call in entry.aliases or ():
        table.pop(call, None)
    entry.aliases = None
