"""What one process knows of changes: which names changed of late, and when tags were invalidated.

A value that was read or loaded while things changed is kept in memory only if nothing newer was heard of meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

_MOST_NAMES = 10_000
_MOST_TAGS = 100_000


class Mark(NamedTuple):
    """A point in what was heard: the interruptions and the changes so far."""

    era: int
    changes: int


class Knowledge:
    """The changes that a process heard of, its own included. Bounded: for what it forgot, it does not vouch."""

    def __init__(self, most_names: int = _MOST_NAMES, most_tags: int = _MOST_TAGS) -> None:
        """Remember the stamps of the latest `most_names` changed names and of `most_tags` tags."""
        self._most_names = most_names
        self._most_tags = most_tags
        self._era = 0
        self._changes = 0
        self._names: dict[str, int] = {}
        self._tags: dict[str, int] = {}
        self._guessed: set[str] = set()
        self.floor = 0
        """The newest stamp of a tag that was forgotten: of one that is not known, it may have been this one."""

    def mark(self) -> Mark:
        """Return the present point, to be passed to `permits` later."""
        return Mark(self._era, self._changes)

    def note(self, name: str, stamp: int) -> None:
        """Hear that a name was set or deleted."""
        self._changes += 1
        known = self._names.pop(name, 0)
        self._names[name] = max(known, stamp)
        if len(self._names) > self._most_names:
            del self._names[next(iter(self._names))]

    def permits(self, name: str, stamp: int, since: Mark) -> bool:
        """Return whether nothing newer than `stamp` can have happened to `name` since the mark."""
        if since.era != self._era:
            return False
        missed = self._changes - since.changes
        if missed == 0:
            return True
        return missed <= self._most_names and stamp >= self._names.get(name, 0)

    def newest(self, name: str) -> int:
        """Return the newest stamp that was heard of for a name of late, 0 for none."""
        return self._names.get(name, 0)

    def tag(self, tag: str, stamp: int, *, guessed: bool = False) -> bool:
        """Learn when a tag was invalidated, 0 for never; return whether that is news that can kill an entry.

        `guessed` says that the store could not be asked, so that it is asked once it is back.
        """
        known = self._tags.pop(tag, None)
        self._tags[tag] = stamp if known is None else max(known, stamp)
        if guessed:
            self._guessed.add(tag)
        if len(self._tags) > self._most_tags:
            oldest = next(iter(self._tags))
            self.floor = max(self.floor, self._tags.pop(oldest))
        return stamp > (known or 0)

    def stamp_of(self, tag: str) -> int | None:
        """Return when a tag was last invalidated, None where that is not known."""
        return self._tags.get(tag)

    def unknown(self, tags: Iterable[str]) -> list[str]:
        """Return those of the tags that the store has to be asked about."""
        return [tag for tag in tags if tag not in self._tags]

    def forget_guesses(self) -> bool:
        """Know nothing of the tags that were guessed; return whether there were any."""
        for tag in self._guessed:
            self._tags.pop(tag, None)
        found = bool(self._guessed)
        self._guessed.clear()
        return found

    def interrupt(self) -> None:
        """Know of nothing any more: changes may have been missed."""
        self._era += 1
        self._names.clear()
        self._tags.clear()
        self._guessed.clear()
