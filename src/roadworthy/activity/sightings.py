"""Who was seen in this process and is not written yet: bounded, and without names as soon as the key is known."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import date
from hashlib import blake2b
from itertools import islice
from typing import TypeVar

K = TypeVar("K", bound=Hashable)

Sighting = tuple[bytes, date]
"""A person's keyed hash, and the day."""


def hashed(key: bytes, activity: str, name: str) -> bytes:
    """Return the 16 bytes that stand for a person in an activity: BLAKE2b (RFC 7693) under a key."""
    return blake2b(f"{activity}\0{name}".encode(), key=key, digest_size=16).digest()


class Sightings:
    """The sightings of one activity. Each person is one a day; past `most` that wait, further ones are dropped."""

    def __init__(self, activity: str, most: int, today: Callable[[], date]) -> None:
        """`today` tells the day in UTC."""
        self._activity = activity
        self._most = most
        self._today = today
        self._day = today()
        self._key: bytes | None = None
        # Only so that a person is not written again and again: it can be forgotten at any time.
        self._noted: set[bytes] = set()
        self._unnamed: dict[Sighting, None] = {}
        self._named: dict[tuple[str, date], None] = {}
        self.dropped = 0

    def seen(self, name: str) -> None:
        """Note that somebody is active now."""
        today = self._today()
        if self._key is None:
            self._keep(self._named, (name, today))
            return
        if today != self._day:
            self._noted.clear()
            self._day = today
        person = hashed(self._key, self._activity, name)
        if person in self._noted or not self._keep(self._unnamed, (person, today)):
            return
        if len(self._noted) >= self._most:
            self._noted.clear()
        self._noted.add(person)

    def unlock(self, key: bytes) -> None:
        """Hash from now on with this key, and forget the names."""
        self._key = key
        for name, day in self._named:
            person = hashed(key, self._activity, name)
            self._unnamed[person, day] = None
            if day == self._day:
                self._noted.add(person)
        self._named.clear()

    @property
    def locked(self) -> bool:
        """Whether the key is not known yet."""
        return self._key is None

    @property
    def waiting(self) -> int:
        """How many are not written yet."""
        return len(self._unnamed) + len(self._named)

    def batch(self, size: int) -> Sequence[Sighting]:
        """Return some that are not written yet, the oldest first."""
        return list(islice(self._unnamed, size))

    def written(self, sightings: Iterable[Sighting]) -> None:
        """Forget those that are written."""
        for one in sightings:
            self._unnamed.pop(one, None)

    def _keep(self, waiting: dict[K, None], one: K) -> bool:
        if one in waiting:
            return True
        if len(waiting) >= self._most:
            self.dropped += 1
            return False
        waiting[one] = None
        return True
