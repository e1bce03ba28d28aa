"""aiocache: a decorator over memory or Redis."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import aiocache
from aiocache.serializers import JsonSerializer

from .subject import VALUE, AsyncCall, Subject

_CONNECTIONS = 1_000
"""More than there are callers, who fail where there are fewer."""


def _key(_function: Any, key: str) -> str:
    return f"item:{key}"


class Aiocache(Subject):
    """`@cached`; `@cached_stampede`, with its lock, where stampedes are asked about."""

    async def open(self) -> None:
        self._address = urlsplit(self.url)
        self._shared = aiocache.RedisCache(**self._redis()) if self.url else None

    async def close(self) -> None:
        if self._shared is not None:
            await self._shared.close()

    def decorated(self, loader: AsyncCall) -> AsyncCall:
        return aiocache.cached(ttl=600, key_builder=_key)(loader)

    async def fill(self, keys: list[str]) -> None:
        assert self._shared is not None
        for key in keys:
            await self._shared.set(key, VALUE, ttl=600)

    async def get(self, key: str) -> Any:
        assert self._shared is not None
        return await self._shared.get(key)

    def protected(self, loader: AsyncCall) -> AsyncCall:
        return aiocache.cached_stampede(lease=2, ttl=600, key_builder=_key, cache=aiocache.RedisCache, **self._redis())(
            loader
        )

    def _redis(self) -> dict[str, Any]:
        return {
            "endpoint": self._address.hostname,
            "port": self._address.port,
            "serializer": JsonSerializer(),
            "pool_max_size": _CONNECTIONS,
        }
