"""One connection to Redis, shared by any number of callers.

What callers ask for within one turn of the event loop leaves in one write. Replies come in the order of the commands
(that is the protocol's promise), so a queue of futures tells whose each is; a caller that has gone away leaves its
future behind, cancelled, and its reply is dropped. One timer watches the oldest command in flight: when that is older
than the time-out, the connection is given up, and all that wait on it fail at once.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar, cast

from roadworthy.redis.address import Address
from roadworthy.redis.errors import RedisDown, RedisError, Refused
from roadworthy.redis.protocol import NOTHING, pack, parser

FIRST_WAIT, LONGEST_WAIT = 0.05, 1.0
"""Seconds between attempts to connect: the first, and the longest."""
SETTLED_SECONDS = 5.0
"""After how long a connection counts as a good one, so that the waits begin anew."""
SHORTEST_PATIENCE = 1.0
"""Seconds that connecting may take however short the time-out of commands is."""

_MOST_IN_FLIGHT = 20_000
_MOST_UNSENT = 256 * 1024
_MOST_IN_SOCKET = 8 * 1024 * 1024
_LATE, _LATE_SHARE = 0.05, 0.25
"""After a hold-up of the event loop, how long an answer may lie unread: seconds, at most a share of the time-out."""

AnyLink = TypeVar("AnyLink", bound="Link")


class Link(asyncio.Protocol):
    """One connection while it lasts; `broken` says why it does not any more.

    Where it is `full`, callers should wait for `room` before they send more.
    """

    def __init__(self, timeout: float, lost: Callable[[Link], None]) -> None:
        """Give up where a command is not answered within `timeout` seconds; call `lost` once when it is over."""
        self._loop = asyncio.get_running_loop()
        self._timeout = timeout
        self._late = min(_LATE, timeout * _LATE_SHARE)
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        parsing = parser()
        self._feed, self._gets = parsing.feed, parsing.gets
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._answered = 0
        # When each write was made, and how many commands had been sent by then.
        self._writes: deque[tuple[float, int]] = deque()
        self._watch: asyncio.TimerHandle | None = None
        self._spared: tuple[float, int] | None = None
        self._paused = False
        self._room = asyncio.Event()
        self.full = False
        self.broken: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        if self.broken is not None:
            cast(asyncio.Transport, transport).abort()
            return
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=_MOST_IN_SOCKET)

    def connection_lost(self, exc: Exception | None) -> None:
        """End, by the server or the network."""
        self.drop(f"the connection was lost: {exc}" if exc else "the server closed the connection")

    def send(self, command: bytes) -> asyncio.Future[Any]:
        """Send a packed command, and return what its reply will be in."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self.broken is not None:
            future.set_exception(RedisDown(self.broken))
            return future
        unsent = self._unsent
        if not unsent:
            self._loop.call_soon(self.flush)
        unsent.append(command)
        self._waiting.append(future)
        self._unsent_bytes += len(command)
        if self._unsent_bytes > _MOST_UNSENT:
            self.flush()
        return future

    async def room(self) -> None:
        """Wait until there is room for another command. Raise RedisDown where that takes longer than the time-out."""
        try:
            async with asyncio.timeout(self._timeout):
                while self.full and self.broken is None:
                    self._room.clear()
                    await self._room.wait()
        except TimeoutError:
            raise RedisDown(f"{len(self._waiting)} commands in flight left no room in {self._timeout:g} s") from None

    def drop(self, why: str) -> None:
        """Give the connection up; whatever is in flight fails."""
        if self.broken is not None:
            return
        self.broken = why
        if self._transport is not None:
            self._transport.abort()
        if self._watch is not None:
            self._watch.cancel()
        self._unsent.clear()
        for future in self._waiting:
            if not future.done():
                future.set_exception(RedisDown(why))
        self._waiting.clear()
        self._writes.clear()
        self._room.set()
        self._lost(self)

    def data_received(self, data: bytes) -> None:
        """Hand replies to those who wait for them."""
        waiting, gets = self._waiting, self._gets
        before = len(waiting)
        try:
            self._feed(data)
            while (reply := gets()) is not NOTHING:
                future = waiting.popleft()
                if future.done():
                    continue
                if reply.__class__ is Refused:
                    future.set_exception(reply)
                else:
                    future.set_result(reply)
        except IndexError:
            self.drop("the server answered what it was not asked")
            return
        except RedisError as error:
            self.drop(str(error))
            return
        self._answered += before - len(waiting)
        writes, answered = self._writes, self._answered
        while writes and writes[0][1] <= answered:
            writes.popleft()
        if self.full:
            self._measure()

    def pause_writing(self) -> None:
        """Have callers wait: the server does not take what is sent."""
        self._paused = True
        self._measure()

    def resume_writing(self) -> None:
        """Have callers go on."""
        self._paused = False
        self._measure()

    def _measure(self) -> None:
        self.full = self._paused or len(self._waiting) >= _MOST_IN_FLIGHT
        if not self.full:
            self._room.set()

    def flush(self) -> None:
        """Write what was sent in this turn of the event loop without waiting for its end."""
        unsent = self._unsent
        if not unsent or self._transport is None:
            return
        now = self._loop.time()
        self._writes.append((now, self._answered + len(self._waiting)))
        if self._watch is None:
            self._watch = self._loop.call_at(now + self._timeout, self._look, now + self._timeout)
        self._transport.write(unsent[0] if len(unsent) == 1 else b"".join(unsent))
        unsent.clear()
        self._unsent_bytes = 0
        self._measure()

    def _look(self, expected: float) -> None:
        self._watch = None
        if not self._writes:
            return
        now, oldest = self._loop.time(), self._writes[0]
        due = oldest[0] + self._timeout
        if now < due:
            self._watch = self._loop.call_at(due, self._look, due)
        elif now - expected > self._late and self._spared is not oldest:
            # The loop was blocked, or the process stopped: the answer may lie unread.
            self._spared = oldest
            self._watch = self._loop.call_at(now + self._late, self._look, now + self._late)
        else:
            self.drop(f"no answer within {self._timeout:g} s")


async def connect(
    address: Address, make: Callable[[], AnyLink], *, name: str, patience: float, security: ssl.SSLContext | None
) -> AnyLink:
    """Open a connection that is ready for commands, within `patience` seconds, and call it `name` at the server.

    `make` gives the Link. Raises RedisDown.
    """
    link = make()
    try:
        async with asyncio.timeout(patience):
            await _open(address, link, security)
            for command, needed in _greeting(address, name):
                try:
                    await link.send(command)
                except Refused:
                    if needed:
                        raise
    except TimeoutError:
        why = f"no answer within {patience:g} s"
    except (OSError, RedisError, UnicodeError) as error:
        # Of these, the last is for a name of a host that is none.
        why = str(error)
    except BaseException:
        link.drop("no longer wanted")
        raise
    else:
        return link
    link.drop(why)
    raise RedisDown(f"Redis at {address} cannot be used: {why}. Check that it runs and that REDIS_URL is right")


async def _open(address: Address, link: Link, security: ssl.SSLContext | None) -> None:
    loop = asyncio.get_running_loop()
    if address.path is not None:
        await loop.create_unix_connection(lambda: link, address.path)
    else:
        await loop.create_connection(lambda: link, address.host, address.port, ssl=security)


def _greeting(address: Address, name: str) -> list[tuple[bytes, bool]]:
    """Return what is said first, and whether the server must agree."""
    commands = []
    if address.password is not None:
        who = (address.user, address.password) if address.user else (address.password,)
        commands.append((pack("AUTH", *who), True))
    if address.database:
        commands.append((pack("SELECT", address.database), True))
    commands.append((pack("CLIENT", "SETNAME", name), False))
    # A server that is reading its data set, or wants a password, says so here.
    commands.append((pack("PING"), True))
    return commands
