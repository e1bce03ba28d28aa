"""What a process knows of API keys, and for how long it may go by it. Pure, with the time passed in.

A row that was read is gone by for less than a second, so that a key which was revoked works nowhere a second later,
whatever did or did not tell of it. Half-way through, it is read anew while requests go on. Ids that do not exist are
remembered apart, so that guessing drives out no key.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from roadworthy.security.key import TAIL_LENGTH, digest_of
from roadworthy.security.presented import ApiKey, Verdict

FRESH_SECONDS = 0.8
"""For how long a row is gone by; from the asking for it to the answer to a request is then under a second."""

RENEW_SECONDS = 0.4
"""After what time a row that is in use is read anew."""

ABSENT_SECONDS = 5.0
"""For how long an id that did not exist is not asked for again; ids are random, so nobody is given one meanwhile."""

MOST_KNOWN = 10_000


@dataclass(frozen=True, slots=True)
class Row:
    """What the database says of a key. `expires_in` is in seconds from the reading on, None for never."""

    key: ApiKey
    digest: bytes
    revoked: bool
    expires_in: float | None


@dataclass(slots=True)
class Entry:
    """A row, the time from before it was asked for, and when the key ends by the same clock."""

    row: Row
    asked_at: float
    ends_at: float | None

    def is_of(self, text: str) -> bool:
        """Return whether a text is the whole key, in a time that does not tell how much of it is right."""
        return hmac.compare_digest(self.row.digest, digest_of(text))

    def verdict(self, now: float) -> Verdict:
        """Return what the key is worth, by this row."""
        if self.row.revoked:
            return "revoked"
        if self.ends_at is not None and now >= self.ends_at:
            return "expired"
        return self.row.key


Knowledge = Literal["fresh", "renew", "old"]


class KnownKeys:
    """The rows that were read lately, by the id of their key, and the ids that do not exist."""

    def __init__(self, *, most: int = MOST_KNOWN) -> None:
        """Remember `most` keys at most, and as many ids that do not exist; those go that were read the longest ago."""
        self._most = most
        self._entries: dict[str, Entry] = {}
        self._absent: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def of(self, text: str) -> Entry | None:
        """Return what is known under the id that a text begins with, if it is a key."""
        return self._entries.get(text[:-TAIL_LENGTH])

    def is_absent(self, id: str, now: float) -> bool:
        """Return whether an id did not exist a moment ago."""
        learned = self._absent.get(id)
        return learned is not None and now - learned < ABSENT_SECONDS

    def learn(self, asked: Iterable[str], rows: Mapping[str, Row], asked_at: float) -> None:
        """Take in what was read of the ids `asked`."""
        for id in asked:
            self._entries.pop(id, None)
            self._absent.pop(id, None)
            row = rows.get(id)
            if row is None:
                self._absent[id] = asked_at
            else:
                ends_at = None if row.expires_in is None else asked_at + row.expires_in
                self._entries[id] = Entry(row, asked_at, ends_at)
        _bound(self._entries, self._most)
        _bound(self._absent, self._most)

    def forget(self, id: str) -> None:
        """Let go of what is known of an id: it has just been changed."""
        self._entries.pop(id, None)
        self._absent.pop(id, None)


def _bound(known: dict[str, Any], most: int) -> None:
    while len(known) > most:
        del known[next(iter(known))]


def age_of(entry: Entry, now: float) -> Knowledge:
    """Return whether a row may be gone by as it is, should be renewed meanwhile, or is too old."""
    age = now - entry.asked_at
    if age >= FRESH_SECONDS:
        return "old"
    return "renew" if age >= RENEW_SECONDS else "fresh"
