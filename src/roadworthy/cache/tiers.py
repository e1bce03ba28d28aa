"""The tiers of one cache as one: memory before the shared store, kept coherent by what is heard of changes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple

from roadworthy.cache.counting import Counts
from roadworthy.cache.freshness import State, lifetimes, state_of
from roadworthy.cache.knowledge import Knowledge, Mark
from roadworthy.cache.local import Local
from roadworthy.cache.node import Node
from roadworthy.cache.pattern import compiled
from roadworthy.cache.record import Entry
from roadworthy.cache.remote import TOMBSTONE_SECONDS, Remote
from roadworthy.cache.spec import CacheSpec
from roadworthy.cache.store import Change, StoreDown
from roadworthy.cache.tags import EVERYTHING
from roadworthy.cache.values import Codec

_BATCH = 500


class Found(NamedTuple):
    """A filled entry and what to do with it; None is always dead."""

    entry: Entry | None
    state: State


_NOTHING = Found(None, "dead")


class Tiers:
    """What a process and its store keep of one cache, without its source."""

    def __init__(self, spec: CacheSpec, prefix: str, node: Node, counts: Counts) -> None:
        """Names begin with `prefix`, "service:cache:". Without a store, memory is the only tier."""
        self.spec = spec
        self.prefix = prefix
        self.node = node
        self.counts = counts
        self._tally = counts.tally
        store = node.store if "shared" in spec.tiers else None
        self.remote = None if store is None else Remote(spec, prefix, node, store, counts)
        # A cache of this process alone is not touched by what happens to the store.
        self.knowledge = Knowledge() if self.remote is None else node.knowledge
        self.local: Local | None = None
        if "memory" in spec.tiers or self.remote is None:
            self.local = Local(spec, self._tally, node.clock, self.dead)
        if self.remote is not None:
            node.join(prefix, self)

    def state_of(self, entry: Entry) -> State:
        """Return what to do with an entry now."""
        return state_of(entry, self.spec.early, self.node.clock.now(), 1 - self.node.chance())

    def dead(self, entry: Entry) -> bool:
        """Return whether one of an entry's tags was invalidated since it began to load."""
        if self.remote is not None:
            return self.remote.dead(entry)
        stamp_of, floor, prefix = self.knowledge.stamp_of, self.knowledge.floor, self.prefix
        for tag in (EVERYTHING, *entry.tags):
            stamp = stamp_of(prefix + tag)
            if entry.stamp <= (floor if stamp is None else stamp):
                return True
        return False

    def remembered(self, name: str, codec: Codec) -> Found:
        """Look for a name in memory, and count that."""
        if self.local is None:
            return _NOTHING
        entry = self.local.get(name)
        if entry is not None:
            state = self.state_of(entry)
            if state != "dead" and (typed := retyped(entry, codec)) is not None:
                if state == "stale":
                    self.counts.memory_stale += 1
                else:
                    self._tally.hits += 1
                return Found(typed, state)
        self.counts.memory_misses += 1
        return _NOTHING

    async def find(self, name: str, codec: Codec) -> Found:
        """Look for a name in memory, then in the store, and count where it was found."""
        mark = None
        if self.local is not None:
            found = self.remembered(name, codec)
            if found.entry is not None:
                return found
            mark = self.knowledge.mark()
        if self.remote is None:
            return _NOTHING
        try:
            entry = await self.remote.get(name)
        except StoreDown:
            self.counts.shared_errors += 1
            return _NOTHING
        return self._fetched(name, entry, codec, mark)

    async def find_many(self, names: Iterable[str], codec: Codec) -> dict[str, Found]:
        """Look for several names, for those not in memory in one exchange; those that are nowhere are left out."""
        found = {name: self.remembered(name, codec) for name in names}
        missing = [name for name, one in found.items() if one.entry is None]
        if missing and self.remote is not None:
            mark = self.knowledge.mark()
            try:
                entries = await self.remote.get_many(missing)
            except StoreDown:
                self.counts.shared_errors += len(missing)
            else:
                for name, entry in zip(missing, entries, strict=True):
                    found[name] = self._fetched(name, entry, codec, mark)
        return {name: one for name, one in found.items() if one.entry is not None}

    def _fetched(self, name: str, entry: Entry | None, codec: Codec, mark: Mark | None) -> Found:
        if entry is None or not codec.fill(entry):
            self.counts.shared_misses += 1
            return _NOTHING
        state = self.state_of(entry)
        if state == "stale":
            self.counts.shared_stale += 1
        else:
            self.counts.shared_hits += 1
        if mark is not None:
            self.admit(name, entry, mark)
        return Found(entry, state)

    def made(
        self, value: Any, codec: Codec, *, stamp: int, cost: float, tags: tuple[str, ...], ttl: timedelta | None
    ) -> Entry:
        """Return the filled entry of a value; raise InvalidValue where it is not of the codec's type."""
        fresh_until, kept_until = lifetimes(
            self.spec, none=value is None, ttl=ttl, now=self.node.clock.now(), chance=self.node.chance()
        )
        entry = Entry(codec.encode(value), stamp, fresh_until, kept_until, tags, cost)
        if not codec.fill(entry):
            raise codec.refusal(entry)
        return entry

    def admit(self, name: str, entry: Entry, mark: Mark) -> None:
        """Keep a filled entry in memory, unless something newer was heard of since the mark."""
        if self.local is not None and self.knowledge.permits(name, entry.stamp, mark) and not self.dead(entry):
            held = self.local.memory.held.get(name)
            if held is None or held.stamp <= entry.stamp:
                self.local.put(name, entry)

    async def learn(self, tags: Iterable[str]) -> None:
        """Know what is to be known of tags before an entry with them is kept."""
        if self.remote is not None:
            await self.remote.learn(tags)

    async def share(self, name: str, entry: Entry) -> None:
        """Keep a loaded entry in the store; where something newer is there, keep it nowhere."""
        await self.share_many([(name, entry)])

    async def share_many(self, entries: Sequence[tuple[str, Entry]], *, remember: bool = False) -> None:
        """Keep entries in the store, in one exchange; `remember` says to make up for that after an outage."""
        if self.remote is None:
            return
        alive = [(name, entry) for name, entry in entries if not self.dead(entry)]
        kept = await self.remote.write_many(alive, remember=remember)
        for (name, entry), is_newest in zip(alive, kept, strict=True):
            if not is_newest:
                self._withdraw(name, entry)

    def _withdraw(self, name: str, entry: Entry) -> None:
        if self.local is not None and self.local.memory.held.get(name) is entry:
            self.local.drop(name)

    async def set_many(
        self, values: Mapping[str, Any], codec: Codec, tags: tuple[str, ...], ttl: timedelta | None
    ) -> None:
        """Keep values as they are now."""
        await self.learn(tags)
        mark = self.knowledge.mark()
        entries: list[tuple[str, Entry]] = []
        for name, value in values.items():
            stamp = self.node.clock.value(self.heard(name, tags))
            entries.append((name, self.made(value, codec, stamp=stamp, cost=0.0, tags=tags, ttl=ttl)))
        for name, entry in entries:
            self.knowledge.note(name, entry.stamp)
            self.admit(name, entry, mark)
        await self.share_many(entries, remember=True)

    def heard(self, name: str, tags: Iterable[str]) -> int:
        """Return the newest stamp that was heard of for a name or one of its tags: what happens now comes after it."""
        stamp_of = self.knowledge.stamp_of
        stamps = (stamp_of(self.prefix + tag) or 0 for tag in (EVERYTHING, *tags))
        return max(self.knowledge.newest(name), *stamps)

    def forget(self, names: Iterable[str]) -> int:
        """Have this process know names no longer, nor keep what is being read or loaded for them; return the stamp."""
        stamp = self.node.clock.asserted()
        for name in names:
            self._note(name, stamp)
        return stamp

    def _note(self, name: str, stamp: int) -> None:
        self.knowledge.note(name, stamp)
        if self.local is not None and (held := self.local.memory.held.get(name)) is not None and held.stamp < stamp:
            self.local.drop(name)

    async def delete(self, names: Sequence[str]) -> None:
        """Delete names everywhere."""
        stamp = self.forget(names)
        if self.remote is None:
            return
        until = self.node.clock.now() + TOMBSTONE_SECONDS
        tombstones = [(name, Entry(b"", stamp, until, until, tombstone=True)) for name in names]
        for start in range(0, len(tombstones), _BATCH):
            await self.remote.write_many(tombstones[start : start + _BATCH], remember=True)
        # Whoever read the store meanwhile found what was there before.
        for name in names:
            self._note(name, stamp)

    def expire(self, tags: Sequence[str]) -> None:
        """Have this process take everything with one of these tags, as loaded until now, for dead."""
        stamp = self.node.clock.asserted() if self.remote is None else self.node.clock.began()
        for tag in tags:
            self.knowledge.tag(self.prefix + tag, stamp)
        self._tagged(tags)

    async def invalidate(self, tags: Sequence[str]) -> None:
        """Have everything with one of these tags, as loaded until now, be dead everywhere."""
        self.expire(tags)
        if self.remote is not None:
            await self.remote.invalidate([self.prefix + tag for tag in tags])
            self._tagged(tags)

    def _tagged(self, tags: Sequence[str]) -> None:
        self._tally.generation += 1
        if EVERYTHING in tags and self.local is not None:
            self.local.clear()

    async def matching(self, pattern: str) -> AsyncIterator[list[str]]:
        """Yield the names, in memory and in the store, whose key is as `pattern` says (`*` and `?`), in batches."""
        if self.local is not None:
            fits, start = compiled(pattern).match, len(self.prefix)
            held = [name for name in self.local.memory.held if fits(name, start)]
            if held:
                yield held
        if self.remote is not None:
            async for names in self.remote.names(pattern):
                yield names

    # What the node tells of other processes' changes.

    def changed(self, change: Change) -> None:
        """Hear of a change by any process."""
        if change.action == "tag":
            self._tagged([change.name.removeprefix(self.prefix)])
        elif self.local is not None:
            held = self.local.memory.held.get(change.name)
            if held is not None and held.stamp < change.stamp:
                self.local.drop(change.name)

    def interrupted(self) -> None:
        """Drop everything in memory."""
        self._tally.generation += 1
        if self.local is not None:
            self.local.clear()

    def regenerate(self) -> None:
        """Look at every entry's tags again before it is handed out."""
        self._tally.generation += 1

    def close(self) -> None:
        """Let go of what is in memory, so that no call leads to it any more."""
        self._tally.generation += 1
        if self.local is not None:
            self.local.close()


def retyped(entry: Entry, codec: Codec) -> Entry | None:
    """Return an entry as filled by `codec`, None where it is not of that type."""
    if entry.codec is codec:
        return entry
    other = replace(entry, aliases=None)
    return other if codec.fill(other) else None
