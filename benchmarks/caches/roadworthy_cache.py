"""Roadworthy's cache, as a service has it: its metrics counted, its values copied or frozen."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from roadworthy import Service, minutes
from roadworthy.bridge import BRIDGE, Bridge
from roadworthy.cache.memory import Memory
from roadworthy.cache.record import Entry
from roadworthy.runtime.settings import Settings

from .subject import VALUE, AsyncCall, Lookup, Subject, SyncCall


class _Shared(Subject):
    """What depends on the shared tier."""

    async def open(self) -> None:
        service = Service("benchmark")
        if not self._redis():
            service.database()
        self._memory = service.cache("in-memory", ttl=minutes(10), tiers=("memory",))
        self._shared = service.cache("in-store", ttl=minutes(10), tiers=("shared",))
        self._both = service.cache("both", ttl=minutes(10))
        # As a worker does for its threads.
        BRIDGE.set(Bridge(asyncio.get_running_loop()))
        settings = Settings.load({"DATABASE_URL": self.postgres} | self._redis())
        self._stack = contextlib.AsyncExitStack()
        await self._stack.enter_async_context(service.running(settings))

    async def close(self) -> None:
        await self._stack.aclose()

    async def fill(self, keys: list[str]) -> None:
        await self._shared.set_many(dict.fromkeys(keys, VALUE))

    async def get(self, key: str) -> Any:
        return await self._shared.get(key)

    def protected(self, loader: AsyncCall) -> AsyncCall:
        async def item(key: str) -> dict[str, Any]:
            found: dict[str, Any] = await loader(key)
            return found

        return self._both.cached(key="{key}")(item)

    def over_shared(self, loader: AsyncCall) -> AsyncCall:
        async def item(key: str) -> dict[str, Any]:
            found: dict[str, Any] = await loader(key)
            return found

        return self._shared.cached(key="{key}")(item)

    def _redis(self) -> dict[str, str]:
        return {"REDIS_URL": self.url} if self.url else {}


class Roadworthy(_Shared):
    """With Redis as the shared tier."""

    def decorated(self, loader: AsyncCall) -> AsyncCall:
        async def item(key: str) -> dict[str, Any]:
            found: dict[str, Any] = await loader(key)
            return found

        return self._memory.cached(key="{key}")(item)

    def decorated_sync(self, loader: SyncCall) -> SyncCall:
        def item(key: str) -> dict[str, Any]:
            found: dict[str, Any] = loader(key)
            return found

        return self._memory.cached(key="{key}")(item)

    def memory(self, size: int) -> Lookup:
        tier = Memory(size, 10**12, now=lambda: 0.0)

        def look_up(key: str) -> bool:
            if tier.get(key) is not None:
                return True
            tier.put(key, Entry(b"", stamp=0, fresh_until=1.0, kept_until=1.0))
            return False

        return look_up


class RoadworthyPostgres(_Shared):
    """With PostgreSQL as the shared tier."""

    def _redis(self) -> dict[str, str]:
        return {}
