"""The one connection to Redis that a process has for its commands, connected again whenever it is lost."""

from __future__ import annotations

import asyncio
import random as randomness
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from roadworthy.redis.address import Address
from roadworthy.redis.errors import RedisDown, Refused
from roadworthy.redis.link import (
    FIRST_WAIT,
    LONGEST_WAIT,
    SETTLED_SECONDS,
    SHORTEST_PATIENCE,
    Link,
    connect,
)
from roadworthy.redis.protocol import pack, pack_get
from roadworthy.redis.script import Script
from roadworthy.telemetry.logging import get_logger
from roadworthy.waits import growing_waits

log = get_logger(__name__)

Part = str | int | float | bytes


class Connection:
    """Commands for one server. While it is not connected, they fail at once.

    A command raises RedisDown where the server is not connected or does not answer within the time-out, which breaks
    the connection for all that wait, and Refused where the server answers with an error. Cancelling a caller takes
    nothing from others; whether its command has been done is then not known.
    """

    def __init__(
        self,
        address: Address,
        *,
        name: str,
        timeout: timedelta,
        random: Callable[[], float] = randomness.random,
    ) -> None:
        """`name` is what the server calls it in CLIENT LIST; `timeout` bounds each command; `random` jitters waits."""
        self._address = address
        self._security = address.security()
        self._name = name
        self._timeout = timeout.total_seconds()
        self._random = random
        self._link: Link | None = None
        self._lost = asyncio.Event()
        self._tried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.trouble: str | None = "not connected yet"

    @classmethod
    @asynccontextmanager
    async def open(cls, address: Address, *, name: str, timeout: timedelta) -> AsyncIterator[Connection]:
        """Be connected within an `async with`. A server that cannot be reached at its start is tried again."""
        connection = cls(address, name=name, timeout=timeout)
        try:
            await connection.start()
            yield connection
        finally:
            await connection.close()

    @property
    def connected(self) -> bool:
        """Whether commands are sent at present; if not, `trouble` says why."""
        return self._link is not None

    async def start(self) -> None:
        """Connect, and keep connected until `close`. Returns after the first attempt, whatever came of it."""
        self._task = asyncio.get_running_loop().create_task(self._keep_connected(), name=f"redis {self._name}")
        await self._tried.wait()

    async def close(self) -> None:
        """Let go of the connection; what is in flight fails."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task], timeout=1)
        link, self._link, self.trouble = self._link, None, "the connection was closed"
        if link is not None:
            link.drop(self.trouble)

    def get(self, key: bytes) -> Awaitable[bytes | None]:
        """Return the value of a key, to be awaited."""
        link = self._link
        if link is None:
            raise RedisDown(self.trouble)
        if link.full:
            return self.execute("GET", key)
        return link.send(pack_get(key))

    async def execute(self, *parts: Part) -> Any:
        """Send a command, and return its reply: bytes, int, None, or a list of these."""
        link = self._link
        if link is None:
            raise RedisDown(self.trouble)
        if link.full:
            await link.room()
        return await link.send(pack(*parts))

    def submit(self, *parts: Part) -> asyncio.Future[Any]:
        """Write a command at once, be there room or not, and return what its reply will be in."""
        link = self._link
        if link is None:
            raise RedisDown(self.trouble)
        reply = link.send(pack(*parts))
        link.flush()
        return reply

    def post(self, *parts: Part) -> None:
        """Send a command without waiting for its reply, where the server is connected."""
        if self._link is not None:
            self._link.send(pack(*parts)).cancel()

    async def run(self, script: Script, keys: Sequence[Part], arguments: Sequence[Part]) -> Any:
        """Run a script in one step, and return what it returns."""
        try:
            return await self.execute("EVALSHA", script.digest, len(keys), *keys, *arguments)
        except Refused as refusal:
            if refusal.code != "NOSCRIPT":
                raise
        return await self.execute("EVAL", script.text, len(keys), *keys, *arguments)

    async def _keep_connected(self) -> None:
        waits = growing_waits(FIRST_WAIT, LONGEST_WAIT, self._random)
        while True:
            if await self._connect():
                since = time.monotonic()
                await self._lost.wait()
                if time.monotonic() - since > SETTLED_SECONDS:
                    waits = growing_waits(FIRST_WAIT, LONGEST_WAIT, self._random)
                    continue
            await asyncio.sleep(next(waits))

    async def _connect(self) -> bool:
        self._lost.clear()
        try:
            link = await connect(
                self._address,
                lambda: Link(self._timeout, self._on_lost),
                name=self._name,
                patience=max(self._timeout, SHORTEST_PATIENCE),
                security=self._security,
            )
        except RedisDown as error:
            if self.trouble != str(error):
                log.warning("Redis cannot be used; it is tried again", reason=str(error))
            self.trouble = str(error)
            return False
        finally:
            self._tried.set()
        if link.broken is None:
            self._link, self.trouble = link, None
            log.info("connected to Redis", address=str(self._address), name=self._name)
        return True

    def _on_lost(self, link: Link) -> None:
        if link is self._link:
            self._link, self.trouble = None, f"Redis at {self._address} is not connected: {link.broken}"
            log.warning("the connection to Redis broke; it is made again", reason=link.broken)
        self._lost.set()
