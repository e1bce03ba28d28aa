"""What a CDN is to let go of, and in which calls: coalesced, without duplicates, never more in one than its API takes.

Pure: the caller tells the time, seconds of a monotonic clock, and makes the calls.
"""

from __future__ import annotations

import heapq
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from roadworthy.edge.tags import canonical_tag
from roadworthy.errors import InvalidPurge

Kind = Literal["url", "tag", "prefix", "everything"]
KINDS: tuple[Kind, ...] = ("url", "tag", "prefix", "everything")

LONGEST_TAG = 1024
"""The longest tag in characters that any CDN keeps; a response that bears a longer one is not kept."""

_LONGEST_URL = 8000
_URL = re.compile(r"https?://[!-~]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Purge:
    """What is to be purged: exact URLs, everything that bears one of the tags, or lies below a prefix, or all.

    URLs and prefixes are absolute, as in "https://shop.example/news/". Tags are spelt as for a response.

    Raises:
        InvalidPurge: a value breaks these rules, or nothing is asked for.
    """

    urls: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    everything: bool = False

    def __post_init__(self) -> None:
        for url in self.urls:
            _check_url("URL", url)
        for prefix in self.prefixes:
            _check_url("prefix", prefix)
            if "?" in prefix:
                raise InvalidPurge(f"prefix {shown(prefix)!r} has a query; end it at or within the path")
        for tag in self.tags:
            if not 1 <= len(canonical_tag(tag)) <= LONGEST_TAG:
                raise InvalidPurge(
                    f"tag {tag[:50]!r} cannot be purged: it takes {len(canonical_tag(tag))} characters, and a response "
                    f"bears tags of 1 to {LONGEST_TAG}"
                )
        if not (self.urls or self.tags or self.prefixes or self.everything):
            raise InvalidPurge("there is nothing to purge; name URLs, tags or prefixes, or say everything=True")

    @property
    def values(self) -> Iterator[tuple[Kind, str]]:
        """Each thing to purge with its kind; everything takes the place of all others."""
        if self.everything:
            yield "everything", ""
            return
        yield from (("url", url) for url in self.urls)
        yield from (("tag", canonical_tag(tag)) for tag in self.tags)
        yield from (("prefix", prefix) for prefix in self.prefixes)


def shown(value: str) -> str:
    """Return a value as logs and errors may show it: without a query, which can hold secrets, and not too long."""
    bare, question, _ = value.partition("?")
    cut = f"{bare[:200]}…" if len(bare) > 200 else bare
    return f"{cut}?…" if question else cut


def _check_url(what: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        valid = _URL.fullmatch(url) is not None and parts.hostname is not None and parts.port != 0
    except ValueError:
        valid = False
    if not valid or len(url) > _LONGEST_URL:
        raise InvalidPurge(
            f"{what} {shown(url)!r} cannot be purged: write it whole and percent-encoded, as in "
            f"'https://shop.example/news/', {_LONGEST_URL} characters at most"
        )
    if "#" in url or "@" in parts.netloc:
        raise InvalidPurge(
            f"{what} of host {parts.hostname!r} has a fragment or a user, which no CDN sees; leave it out"
        )


@dataclass(slots=True, eq=False)
class Batch:
    """One call: values of one kind, and the `reference` that its retries keep. Times are the caller's clock's.

    `asked_at` is when the oldest of its values was asked for, `begun_at` when it was first sent.
    """

    kind: Kind
    values: tuple[str, ...]
    reference: str
    asked_at: float
    begun_at: float = 0.0
    attempts: int = 0


@dataclass(slots=True)
class Backlog:
    """What one CDN has yet to be asked.

    `sizes` says how many values of a kind one call takes; a kind that is missing cannot be purged there. Values
    wait for `window` seconds for others to join them. Beyond `capacity` values everything is purged instead, so that
    none is lost and memory is bounded.

    A value that is asked for while a call that has it is on its way, or was tried before, waits for a call of its own:
    what was changed after the first attempt may not be covered by it.
    """

    sizes: Mapping[Kind, int]
    capacity: int
    window: float
    references: Callable[[], str]
    _waiting: dict[Kind, dict[str, float]] = field(init=False)
    _delayed: list[tuple[float, int, Batch]] = field(init=False, default_factory=list)
    _order: Iterator[int] = field(init=False, default_factory=itertools.count)
    _paused_until: float = field(init=False, default=float("-inf"))

    def __post_init__(self) -> None:
        self._waiting = {kind: {} for kind in KINDS}

    def __len__(self) -> int:
        """Count the values that wait, those of calls to be repeated included."""
        return sum(map(len, self._waiting.values())) + sum(len(batch.values) for _, _, batch in self._delayed)

    def oldest(self) -> float | None:
        """Return when the oldest of what waits was asked for, None where nothing does."""
        times = [next(iter(waiting.values())) for waiting in self._waiting.values() if waiting]
        times += [batch.asked_at for _, _, batch in self._delayed]
        return min(times, default=None)

    def add(self, values: Iterable[tuple[Kind, str]], now: float) -> tuple[int, bool]:
        """Take in what is asked for.

        Return how many values, these or earlier ones, others that wait will do for, and whether there were too many.
        """
        covered = 0
        for kind, value in values:
            if kind == "everything":
                covered += self._purge_everything(now)
            elif self._waiting["everything"] or value in self._waiting[kind]:
                covered += 1
            else:
                self._waiting[kind][value] = now
        if len(self) <= self.capacity:
            return covered, False
        return covered + self._purge_everything(now), True

    def _purge_everything(self, now: float) -> int:
        covered = len(self)
        oldest = self.oldest()
        asked_at = now if oldest is None else oldest
        for waiting in self._waiting.values():
            waiting.clear()
        self._delayed.clear()
        self._waiting["everything"][""] = asked_at
        return covered

    def take(self, now: float, *, hurry: bool = False) -> Batch | None:
        """Return the call to make now, None if there is none yet; `hurry` lets nothing wait for others to join."""
        if now < self._paused_until:
            return None
        if self._delayed and self._delayed[0][0] <= now:
            return heapq.heappop(self._delayed)[2]
        ready = [
            (oldest, kind)
            for kind, waiting in self._waiting.items()
            if waiting and self._ready_at(kind, oldest := next(iter(waiting.values())), hurry) <= now
        ]
        if not ready:
            return None
        oldest, kind = min(ready)
        waiting = self._waiting[kind]
        values = tuple(itertools.islice(waiting, self.sizes.get(kind, 1)))
        for value in values:
            del waiting[value]
        return Batch(kind, values, self.references(), oldest)

    def next_at(self, *, hurry: bool = False) -> float | None:
        """Return when `take` has to be called again, None while nothing waits."""
        times = [
            self._ready_at(kind, next(iter(waiting.values())), hurry)
            for kind, waiting in self._waiting.items()
            if waiting
        ]
        if self._delayed:
            times.append(self._delayed[0][0])
        return max(min(times), self._paused_until) if times else None

    def _ready_at(self, kind: Kind, oldest: float, hurry: bool) -> float:
        full = len(self._waiting[kind]) >= self.sizes.get(kind, 1) > 1
        return oldest if hurry or full else oldest + self.window

    def repeat(self, batch: Batch, at: float) -> None:
        """Have a call made once more at a time, as it was."""
        heapq.heappush(self._delayed, (at, next(self._order), batch))

    def split(self, batch: Batch, now: float) -> None:
        """Replace a call of several values, one of which is bad, by two of half of them, with new references."""
        middle = len(batch.values) // 2
        for values in (batch.values[:middle], batch.values[middle:]):
            self.repeat(Batch(batch.kind, values, self.references(), batch.asked_at, batch.begun_at), now)

    def pause(self, until: float) -> None:
        """Make no call before a time."""
        self._paused_until = max(self._paused_until, until)

    def abandon(self) -> list[Batch]:
        """Return everything that waits as calls that will not be made, and forget it."""
        left = [batch for _, _, batch in self._delayed]
        for kind, waiting in self._waiting.items():
            if waiting:
                left.append(Batch(kind, tuple(waiting), "", min(waiting.values())))
                waiting.clear()
        self._delayed.clear()
        return left
