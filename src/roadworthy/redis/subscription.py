"""Listening to one channel, on a connection of its own, as publish/subscribe wants it."""

from __future__ import annotations

import asyncio
import random as randomness
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from roadworthy.redis.address import Address
from roadworthy.redis.errors import RedisDown, RedisError
from roadworthy.redis.link import (
    FIRST_WAIT,
    LONGEST_WAIT,
    SETTLED_SECONDS,
    SHORTEST_PATIENCE,
    Link,
    connect,
)
from roadworthy.redis.protocol import pack
from roadworthy.telemetry.logging import get_logger
from roadworthy.waits import growing_waits

log = get_logger(__name__)

_PING = pack("PING")


class Subscription:
    """Hands over what is published on a channel, in its order, and says when something may have been missed."""

    def __init__(
        self,
        address: Address,
        channel: bytes,
        received: Callable[[bytes], None],
        interrupted: Callable[[], None],
        *,
        name: str,
        timeout: timedelta,
        quiet: timedelta = timedelta(seconds=5),
        random: Callable[[], float] = randomness.random,
    ) -> None:
        """`received` is called with each message, `interrupted` before the first one of every connection.

        Each `quiet` the server must answer a ping within `timeout`, so that one that hangs is noticed.
        """
        self._address = address
        self._security = address.security()
        self._channel = channel
        self._received = received
        self._interrupted = interrupted
        self._name = name
        self._timeout = timeout.total_seconds()
        self._quiet = quiet.total_seconds()
        self._random = random
        self._tried = asyncio.Event()
        self.listening = False

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Listen within an `async with`, whose body begins after the first attempt at it; a lost one is made again."""
        task = asyncio.get_running_loop().create_task(self._keep(), name=f"redis {self._name}")
        try:
            await self._tried.wait()
            yield
        finally:
            task.cancel()
            await asyncio.wait([task], timeout=1)

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        waits = growing_waits(FIRST_WAIT, LONGEST_WAIT, self._random)
        trouble = None
        while True:
            began = loop.time()
            try:
                await self._listen()
            except RedisError as error:
                if self.listening and loop.time() - began > SETTLED_SECONDS:
                    waits = growing_waits(FIRST_WAIT, LONGEST_WAIT, self._random)
                if self.listening or trouble != str(error):
                    log.warning("listening to Redis was interrupted; it is tried again", reason=str(error))
                trouble = str(error)
            finally:
                self.listening = False
                self._tried.set()
            await asyncio.sleep(next(waits))

    async def _listen(self) -> None:
        """Listen until the connection breaks, which is raised as RedisDown."""
        over = asyncio.Event()
        ear = await connect(
            self._address,
            lambda: _Ear(self._timeout, lambda _: over.set(), self._hear),
            name=self._name,
            patience=max(self._timeout, SHORTEST_PATIENCE),
            security=self._security,
        )
        try:
            # The server's answer stands before the first message, and what is lost is what came before it.
            await ear.subscribe(self._channel, self._begin)
            while not over.is_set():
                try:
                    async with asyncio.timeout(self._quiet):
                        await over.wait()
                except TimeoutError:
                    await ear.send(_PING)
            raise RedisDown(ear.broken)
        finally:
            ear.drop("no longer wanted")

    def _begin(self) -> None:
        self.listening = True
        self._tried.set()
        self._call(self._interrupted)

    def _hear(self, message: bytes) -> None:
        self._call(self._received, message)

    def _call(self, call: Callable[..., None], *arguments: bytes) -> None:
        try:
            call(*arguments)
        except Exception:
            # What one message does wrong must not keep the next from being heard.
            log.exception("a message from Redis could not be handled", channel=self._channel.decode(errors="replace"))


class _Ear(Link):
    """A connection that has subscribed: messages come between the answers to its own commands."""

    def __init__(self, timeout: float, lost: Callable[[Link], None], hear: Callable[[bytes], None]) -> None:
        super().__init__(timeout, lost)
        self._replies = self._gets
        self._gets = self._next
        self._hear = hear
        self._begin: Callable[[], None] | None = None

    def subscribe(self, channel: bytes, begin: Callable[[], None]) -> asyncio.Future[object]:
        """Subscribe, and call `begin` before the first message is heard."""
        self._begin = begin
        return self.send(pack("SUBSCRIBE", channel))

    def _next(self) -> object:
        while True:
            reply = self._replies()
            if not isinstance(reply, list) or not reply:
                return reply
            if reply[0] == b"message":
                self._hear(reply[2])
            else:
                if reply[0] == b"subscribe" and self._begin is not None:
                    self._begin()
                return reply
