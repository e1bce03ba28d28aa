"""What no cache can beat: a dictionary, the standard library, and one connection without anything around it."""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from typing import Any, cast
from urllib.parse import urlsplit

import hiredis
import msgspec

from .subject import VALUE, AsyncCall, Subject, SyncCall, names


class Dictionary(Subject):
    """A dictionary, called directly and awaited."""

    def decorated_sync(self, loader: SyncCall) -> SyncCall:
        return {name: loader(name) for name in names()}.__getitem__

    def decorated(self, loader: AsyncCall) -> AsyncCall:
        kept: dict[str, Any] = {}

        async def look_up(key: str) -> Any:
            try:
                return kept[key]
            except KeyError:
                kept[key] = await loader(key)
                return kept[key]

        return look_up


class LruCache(Subject):
    """functools.lru_cache, which has no lifetimes and no async."""

    def decorated_sync(self, loader: SyncCall) -> SyncCall:
        return functools.lru_cache(maxsize=10_000)(loader)


class _Pipeline(asyncio.Protocol):
    """One connection, replies in order, one write for each turn of the loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._commands: list[bytes] = []
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(reply)

    def ask(self, command: bytes) -> asyncio.Future[Any]:
        future = self._loop.create_future()
        self._waiting.append(future)
        if not self._commands:
            self._loop.call_soon(self._write)
        self._commands.append(command)
        return future

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()

    def _write(self) -> None:
        assert self._transport is not None
        self._transport.write(b"".join(self._commands))
        self._commands.clear()


def _command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


class Pipelined(Subject):
    """GET over one pipelined connection, bytes as they come."""

    async def open(self) -> None:
        address = urlsplit(self.url)
        _, self._pipeline = await asyncio.get_running_loop().create_connection(
            _Pipeline, address.hostname, address.port
        )

    async def close(self) -> None:
        self._pipeline.close()

    async def fill(self, keys: list[str]) -> None:
        value = msgspec.msgpack.encode(VALUE)
        for key in keys:
            await self._pipeline.ask(_command(b"SET", key.encode(), value))

    async def get(self, key: str) -> Any:
        encoded = key.encode()
        return await self._pipeline.ask(b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(encoded), encoded))
