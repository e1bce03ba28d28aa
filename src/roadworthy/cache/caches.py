"""The caches of a running service: what its handles are bound to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Protocol

from roadworthy.cache.batch import Batches
from roadworthy.cache.counting import Counts
from roadworthy.cache.node import Node
from roadworthy.cache.source import Source
from roadworthy.cache.spec import CacheSpec
from roadworthy.cache.tags import EVERYTHING
from roadworthy.cache.tally import Tally
from roadworthy.cache.tiers import Tiers
from roadworthy.cache.values import Codec
from roadworthy.errors import TransactionEnded


class Transactions(Protocol):
    """Where the calling task's database transaction is known, as in a Pool."""

    def current(self) -> object | None:
        """Return something while there is one."""

    def after_commit(self, call: Callable[[], Awaitable[object]]) -> None:
        """Await `call` once it has committed."""


@dataclass(frozen=True, slots=True)
class CacheStatistics:
    """What one cache did in this process since it began, and what it holds in memory now.

    `hits` found a fresh value in memory or in the store, `stale` one past its time, `misses` none. `loaded` counts what
    the source gave, `load_errors` where it failed, `late` the callers that did not wait for it to the end.
    """

    hits: int
    stale: int
    misses: int
    loaded: int
    load_errors: int
    late: int
    store_errors: int
    invalidations: int
    entries: int
    bytes: int
    evictions: int

    @property
    def hit_ratio(self) -> float:
        """The share of lookups that found a value, stale ones included; 1 where nothing was looked for."""
        lookups = self.hits + self.stale + self.misses
        return (self.hits + self.stale) / lookups if lookups else 1.0


class OpenCache:
    """One cache of a running service. Within a database transaction, changes take effect here at once, and again,
    everywhere, when it has committed."""

    def __init__(self, service: str, spec: CacheSpec, node: Node, transactions: Transactions | None) -> None:
        """Serve `spec` of `service`."""
        self.spec = spec
        self.counts = Counts(Tally(monotonic=node.clock.monotonic))
        self.tiers = Tiers(spec, f"{service}:{spec.name}:", node, self.counts)
        self._transactions = transactions
        # A task that outlived its transaction is told so where it uses the database: its source has to run in it.
        self.source = Source(self.tiers, partial(self._in_transaction, ended=True))
        self.batches = Batches(self.tiers, self.source)

    def name_of(self, key: str) -> str:
        """Return the whole name of a key."""
        return self.tiers.prefix + key

    async def set_many(
        self, values: Mapping[str, Any], codec: Codec, tags: tuple[str, ...], ttl: timedelta | None
    ) -> None:
        """Keep values by name."""
        if self._in_transaction():
            self.tiers.forget(values)
            self._after_commit(partial(self.tiers.set_many, dict(values), codec, tags, ttl))
        else:
            await self.tiers.set_many(values, codec, tags, ttl)

    async def delete(self, names: Sequence[str]) -> None:
        """Delete names everywhere."""
        if self._in_transaction():
            self.tiers.forget(names)
            self._after_commit(partial(self.tiers.delete, names))
        else:
            await self.tiers.delete(names)

    async def invalidate(self, tags: Sequence[str]) -> None:
        """Have everything with one of these tags be dead everywhere."""
        self.counts.invalidations += 1
        if self._in_transaction():
            self.tiers.expire(tags)
            self._after_commit(partial(self.tiers.invalidate, tags))
        else:
            await self.tiers.invalidate(tags)

    async def clear(self) -> None:
        """Have everything be dead everywhere."""
        await self.invalidate([EVERYTHING])

    async def delete_matching(self, pattern: str) -> int:
        """Delete the keys that are as `pattern` says (`*` and `?`); return how many names were found."""
        deleted: set[str] = set()
        async for names in self.tiers.matching(pattern):
            fresh = [name for name in names if name not in deleted]
            deleted.update(fresh)
            await self.delete(fresh)
        return len(deleted)

    def statistics(self) -> CacheStatistics:
        """Count."""
        counts, local, remote = self.counts, self.tiers.local, self.tiers.remote
        return CacheStatistics(
            hits=counts.tally.hits + counts.tally.thread_hits + counts.shared_hits,
            stale=counts.memory_stale + counts.shared_stale,
            misses=counts.memory_misses if remote is None else counts.shared_misses + counts.shared_errors,
            loaded=counts.loaded,
            load_errors=counts.load_errors,
            late=counts.late,
            store_errors=counts.store_errors,
            invalidations=counts.invalidations,
            entries=0 if local is None else len(local.memory),
            bytes=0 if local is None else local.memory.bytes,
            evictions=0 if local is None else local.memory.evictions,
        )

    def _in_transaction(self, ended: bool = False) -> bool:
        """Return whether the calling task is in a transaction; `ended` where it has outlived its own."""
        if self._transactions is None:
            return False
        try:
            return self._transactions.current() is not None
        except TransactionEnded:
            return ended

    def _after_commit(self, call: Callable[[], Awaitable[object]]) -> None:
        if self._transactions is not None:
            self._transactions.after_commit(call)


class Caches:
    """All caches of a running service, and the node that serves them."""

    def __init__(self, service: str, specs: Iterable[CacheSpec], node: Node, transactions: Transactions | None) -> None:
        """Use `Caches.open`."""
        self.service = service
        self.node = node
        self.open_caches = {spec.name: OpenCache(service, spec, node, transactions) for spec in specs}

    @classmethod
    @asynccontextmanager
    async def open(
        cls, service: str, specs: Iterable[CacheSpec], node: Node, transactions: Transactions | None = None
    ) -> AsyncIterator[Caches]:
        """Serve the caches of `service` within an `async with`."""
        caches = cls(service, specs, node, transactions)
        async with node.open():
            try:
                yield caches
            finally:
                for cache in caches.open_caches.values():
                    cache.tiers.close()

    def hit_ratios(self) -> dict[str, float]:
        """Return the share of hits by cache."""
        return {name: cache.statistics().hit_ratio for name, cache in self.open_caches.items()}

    def of(self, name: str) -> OpenCache:
        """Return the cache of a name."""
        return self.open_caches[name]
