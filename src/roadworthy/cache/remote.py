"""The shared tier of one cache: the store, asked for entries whose tags are alive."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence

from roadworthy.cache.counting import Counts
from roadworthy.cache.node import Node
from roadworthy.cache.pending import Invalidation
from roadworthy.cache.record import Entry, decode, encode
from roadworthy.cache.spec import CacheSpec
from roadworthy.cache.store import Store, StoreDown, Write
from roadworthy.cache.tags import EVERYTHING

TOMBSTONE_SECONDS = 600.0
"""Seconds for which a deletion is remembered: a loading that began before it and takes longer may be kept."""


class Remote:
    """What a cache keeps in the store that processes share."""

    def __init__(self, spec: CacheSpec, prefix: str, node: Node, store: Store, counts: Counts) -> None:
        """Names and tags in the store begin with `prefix`."""
        self._spec = spec
        self._prefix = prefix
        self._node = node
        self._store = store
        self._counts = counts
        self._everything = prefix + EVERYTHING
        self.tag_lifetime = spec.lifetime.total_seconds() + TOMBSTONE_SECONDS

    async def get(self, name: str) -> Entry | None:
        """Return the entry under a name that is neither too old nor invalidated; raise StoreDown."""
        try:
            record = await self._store.get(name)
            if record is None:
                return None
            entry = self._read(name, record)
            if entry is None:
                return None
            if entry.tags or self._node.knowledge.stamp_of(self._everything) is None:
                await self._ask(entry.tags)
        except StoreDown:
            raise self._failed() from None
        return None if self.dead(entry) else entry

    async def get_many(self, names: Sequence[str]) -> list[Entry | None]:
        """Return the entries under names, as `get` does, in two exchanges at most; raise StoreDown."""
        try:
            records = await self._store.get_many(names)
            entries = [
                None if record is None else self._read(name, record)
                for name, record in zip(names, records, strict=True)
            ]
            await self._ask(tag for entry in entries if entry is not None for tag in entry.tags)
        except StoreDown:
            raise self._failed() from None
        return [None if entry is None or self.dead(entry) else entry for entry in entries]

    async def write_many(self, entries: Sequence[tuple[str, Entry]], *, remember: bool) -> list[bool]:
        """Keep entries or tombstones, in one exchange; say of each whether it is the newest.

        In an outage, all are taken for that, and `remember` says to write them when it is over.
        """
        now = self._node.clock.now()
        writes = [
            Write(
                name,
                encode(entry, self._spec.compress_over),
                entry.stamp,
                max(entry.kept_until - now, 0.001),
                "delete" if entry.tombstone else "set",
            )
            for name, entry in entries
        ]
        try:
            return await self._store.write(writes) if writes else []
        except StoreDown:
            self._failed()
            if remember:
                for write in writes:
                    self._node.pending.write(write, now, self._all(write.stamp))
            return [True] * len(writes)

    async def invalidate(self, tags: Sequence[str]) -> None:
        """Note that all entries with one of these tags, whole names, are dead; in an outage, when it is over."""
        knowledge = self._node.knowledge
        try:
            stamp = await self._store.invalidate(tags, lifetime=self.tag_lifetime)
        except StoreDown:
            self._failed()
            stamp = self._node.clock.asserted()
            for tag in tags:
                waiting = Invalidation(tag, stamp, self.tag_lifetime)
                self._node.pending.invalidate(waiting, self._node.clock.now(), self._all(stamp))
        for tag in tags:
            knowledge.tag(tag, stamp)

    def _all(self, stamp: int) -> Invalidation:
        return Invalidation(self._everything, stamp, self.tag_lifetime)

    async def learn(self, tags: Iterable[str]) -> None:
        """Know the stamps of an entry's tags before it is kept; guess that they are old in an outage."""
        try:
            await self._ask(tags)
        except StoreDown:
            self._failed()
            for tag in self._node.knowledge.unknown([*(self._prefix + tag for tag in tags), self._everything]):
                self._node.knowledge.tag(tag, 0, guessed=True)

    async def names(self, pattern: str) -> AsyncIterator[list[str]]:
        """Yield the names in the store whose key is as `pattern` says, in batches; end where the store is away."""
        try:
            async for names in self._store.names(self._prefix, pattern):
                yield names
        except StoreDown:
            self._failed()

    def dead(self, entry: Entry) -> bool:
        """Return whether one of an entry's tags was invalidated since it began to load, or nobody knows."""
        stamp_of = self._node.knowledge.stamp_of
        stamp = stamp_of(self._everything)
        if stamp is None or entry.stamp <= stamp:
            return True
        for tag in entry.tags:
            stamp = stamp_of(self._prefix + tag)
            if stamp is None or entry.stamp <= stamp:
                return True
        return False

    def _read(self, name: str, record: bytes) -> Entry | None:
        entry = decode(record)
        if entry is None or entry.tombstone or entry.stamp < self._node.pending.stamp_of(name):
            return None
        if entry.stamp < self._node.knowledge.newest(name):
            # Written or deleted here since, in a transaction that has not committed or an exchange that is under way.
            return None
        return entry if self._node.clock.now() < entry.kept_until else None

    async def _ask(self, tags: Iterable[str]) -> None:
        knowledge = self._node.knowledge
        prefix = self._prefix
        unknown = knowledge.unknown(dict.fromkeys((self._everything, *(prefix + tag for tag in tags))))
        if not unknown:
            return
        since = knowledge.mark()
        stamps = await self._store.tag_stamps(unknown)
        if knowledge.mark().era != since.era:
            # Asked before the interruption: what was missed may be newer than the answer.
            stamps = await self._store.tag_stamps(unknown)
        for tag, stamp in zip(unknown, stamps, strict=True):
            knowledge.tag(tag, max(stamp, self._node.pending.tag_stamp(tag)))

    def _failed(self) -> StoreDown:
        self._counts.store_errors += 1
        self._node.failed()
        return StoreDown()
