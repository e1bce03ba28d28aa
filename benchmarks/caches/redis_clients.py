"""Redis clients alone: a GET, and the bytes as they come."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import coredis
import glide
import msgspec
import redis
import redis.asyncio

from .subject import VALUE, Subject

_VALUE = msgspec.msgpack.encode(VALUE)
_CALLERS = 64


class RedisPy(Subject):
    """redis-py's asyncio client, with hiredis."""

    async def open(self) -> None:
        self._client = redis.asyncio.Redis.from_url(self.url)

    async def close(self) -> None:
        await self._client.aclose()

    async def fill(self, keys: list[str]) -> None:
        for key in keys:
            await self._client.set(key, _VALUE)

    async def get(self, key: str) -> Any:
        return await self._client.get(key)


class RedisPyThreads(Subject):
    """redis-py's client for threads, with hiredis."""

    async def open(self) -> None:
        self._client = redis.Redis.from_url(self.url)

    async def close(self) -> None:
        self._client.close()

    async def fill(self, keys: list[str]) -> None:
        for key in keys:
            self._client.set(key, _VALUE)

    def get_in_thread(self, key: str) -> Any:
        return self._client.get(key)


class ValkeyGlide(Subject):
    """valkey-glide, which multiplexes in Rust."""

    async def open(self) -> None:
        address = urlsplit(self.url)
        node = glide.NodeAddress(address.hostname or "", address.port or 0)
        self._client = await glide.GlideClient.create(glide.GlideClientConfiguration([node], request_timeout=5_000))

    async def close(self) -> None:
        await self._client.close()

    async def fill(self, keys: list[str]) -> None:
        for key in keys:
            await self._client.set(key, _VALUE)

    async def get(self, key: str) -> Any:
        return await self._client.get(key)


class Coredis(Subject):
    """coredis."""

    async def open(self) -> None:
        address = urlsplit(self.url)
        self._client = coredis.Redis(address.hostname, address.port, max_connections=_CALLERS)
        await self._client.__aenter__()

    async def close(self) -> None:
        await self._client.__aexit__(None, None, None)

    async def fill(self, keys: list[str]) -> None:
        for key in keys:
            await self._client.set(key, _VALUE)

    async def get(self, key: str) -> Any:
        return await self._client.get(key)
