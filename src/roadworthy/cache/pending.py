"""What could not be written while the store was away, one change per name, to be written when it is back."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from roadworthy.cache.store import Store, StoreRefused, Write

_MOST = 10_000
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Invalidation:
    """A tag that was invalidated at a stamp, to be remembered for `lifetime` seconds."""

    tag: str
    stamp: int
    lifetime: float


class Pending:
    """Changes that wait for the store. Their stamps decide what becomes of them there.

    It is bounded: where more names wait than that, they give way to one invalidation of all that their caches hold.
    """

    def __init__(self, most: int = _MOST) -> None:
        """Hold at most `most` writes, and as many invalidations."""
        self._most = most
        self._writes: dict[str, tuple[Write, float]] = {}
        self._tags: dict[str, tuple[Invalidation, float]] = {}

    def __len__(self) -> int:
        """How many changes wait."""
        return len(self._writes) + len(self._tags)

    def write(self, write: Write, now: float, clear: Invalidation) -> None:
        """Remember a write made at `now`, by the store's clock; `clear` is what stands for all of its cache."""
        known = self._writes.get(write.name)
        if known is not None and known[0].stamp > write.stamp:
            return
        self._writes[write.name] = (write, now + write.lifetime)
        if len(self._writes) > self._most:
            self._writes.pop(next(iter(self._writes)))
            self.invalidate(clear, now, clear)

    def invalidate(self, invalidation: Invalidation, now: float, clear: Invalidation) -> None:
        """Remember an invalidation made at `now`; `clear` is what stands for all of its cache."""
        known = self._tags.get(invalidation.tag)
        if known is None or known[0].stamp < invalidation.stamp:
            self._tags[invalidation.tag] = (invalidation, now + invalidation.lifetime)
        if len(self._tags) > self._most:
            self._tags.pop(next(iter(tag for tag in self._tags if tag != clear.tag)))
            self._tags[clear.tag] = (clear, now + clear.lifetime)

    def stamp_of(self, name: str) -> int:
        """Return the stamp of the write that waits for a name, 0 without one."""
        known = self._writes.get(name)
        return 0 if known is None else known[0].stamp

    def tag_stamp(self, tag: str) -> int:
        """Return the stamp of the invalidation that waits for a tag, 0 without one."""
        known = self._tags.get(tag)
        return 0 if known is None else known[0].stamp

    async def flush(self, store: Store, now: float) -> None:
        """Write all that waits and has not expired; what is not written when StoreDown is raised goes on waiting.

        A value that the store refuses, being full, is given up, and an invalidation tried again later.
        """
        refusal: StoreRefused | None = None
        for tag, (invalidation, until) in tuple(self._tags.items()):
            if now < until:
                try:
                    await store.invalidate([tag], lifetime=until - now, stamp=invalidation.stamp)
                except StoreRefused as error:
                    refusal = error
                    continue
            if self._tags.get(tag, (None, 0.0))[0] is invalidation:
                del self._tags[tag]
        while self._writes:
            batch = tuple(self._writes.items())[:_BATCH]
            alive = [write for _, (write, until) in batch if now < until]
            if alive:
                # A deletion is made all the same.
                with contextlib.suppress(StoreRefused):
                    await store.write(alive)
            for name, (write, _) in batch:
                if self._writes.get(name, (None, 0.0))[0] is write:
                    del self._writes[name]
        if refusal is not None:
            raise refusal
