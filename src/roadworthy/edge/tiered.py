"""Stored responses in a declared cache: in this process's memory, and in the store that processes share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from roadworthy.cache.caches import OpenCache
from roadworthy.cache.keys import given
from roadworthy.cache.record import Entry
from roadworthy.cache.tags import tag_of
from roadworthy.cache.values import Codec, handed_out
from roadworthy.edge.stored import StoredResponse
from roadworthy.errors import NotRunning


class TieredResponses:
    """A `ResponseStorage` on a cache, whose memory hands out a response without decoding it again.

    A response is at hand in this process as soon as it is put; the shared store gets it in the background. Tags are
    those of the cache: what invalidates one there takes the responses that bear it. Without a running service, every
    request is a miss.
    """

    def __init__(self, opened: Callable[[], OpenCache]) -> None:
        """Keep responses in the cache that `opened` returns; it may raise NotRunning."""
        self._opened = opened
        self._codec = Codec(StoredResponse, "a stored response")

    def moment(self) -> Any:
        """Return now, by the store's clock and by what was heard of changes."""
        try:
            tiers = self._opened().tiers
        except NotRunning:
            return None
        return tiers.node.clock.began(), tiers.knowledge.mark()

    def peek(self, key: str) -> StoredResponse | None:
        """Return the response under a key if it is in memory."""
        try:
            cache = self._opened()
        except NotRunning:
            return None
        entry = cache.tiers.remembered(cache.name_of(given(key)), self._codec).entry
        found: StoredResponse | None = None if entry is None else handed_out(entry)
        return found

    async def get(self, key: str) -> StoredResponse | None:
        """Return the response under a key from memory or the store."""
        try:
            cache = self._opened()
        except NotRunning:
            return None
        entry = (await cache.tiers.find(cache.name_of(given(key)), self._codec)).entry
        found: StoredResponse | None = None if entry is None else handed_out(entry)
        return found

    async def put(self, key: str, response: StoredResponse, moment: Any, lifetime: float) -> bool:
        """Keep a response, for at most the longest time that the cache keeps anything."""
        if moment is None or lifetime <= 0:
            return False
        try:
            cache = self._opened()
        except NotRunning:
            return False
        tiers = cache.tiers
        stamp, mark = moment
        tags = tuple(dict.fromkeys(map(tag_of, response.tags)))
        name = cache.name_of(given(key))
        await tiers.learn(tags)
        until = tiers.node.clock.now() + min(lifetime, tiers.spec.lifetime.total_seconds())
        entry = Entry(self._codec.encode(response), stamp, until, until, tags)
        if tiers.dead(entry) or not self._codec.fill(entry):
            return False
        tiers.admit(name, entry, mark)
        if tiers.remote is None:
            return tiers.local is not None and tiers.local.memory.held.get(name) is entry
        tiers.node.spawn(tiers.share(name, entry))
        return True

    async def delete(self, key: str) -> None:
        """Forget what is under a key, in every process."""
        try:
            cache = self._opened()
        except NotRunning:
            return
        await cache.delete([cache.name_of(given(key))])

    async def invalidate(self, tags: Iterable[str]) -> None:
        """Forget what bears one of these tags, in every process."""
        try:
            cache = self._opened()
        except NotRunning:
            return
        await cache.invalidate([tag_of(tag) for tag in tags])
