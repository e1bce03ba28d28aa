"""What other nodes changed, as PostgreSQL's NOTIFY tells it: in the order of commits, the same for every listener."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import msgspec

from roadworthy.cache.store import Action, Change
from roadworthy.database import driver
from roadworthy.database.session import FAILURES, connect, given_up
from roadworthy.telemetry.logging import get_logger

log = get_logger(__name__)

LARGEST_PAYLOAD = 7_900
"""Bytes that one notification may carry; PostgreSQL takes fewer than 8,000."""

_LONGEST_CHANNEL = 63
_KEEPALIVE = 5.0
_PAUSES = (0.05, 1.0)
_CLOSING = 1.0
_quote = msgspec.json.Encoder().encode


class _Line(msgspec.Struct, array_like=True, frozen=True):
    action: Action
    stamp: int
    name: str


class _Payload(msgspec.Struct, array_like=True, frozen=True):
    sender: int
    lines: list[_Line]


_decode = msgspec.json.Decoder(_Payload).decode


def channel_of(service: str) -> str:
    """Return the channel on which a service's nodes hear of changes."""
    channel = f"roadworthy_cache_{service}"
    if len(channel) <= _LONGEST_CHANNEL:
        return channel
    return f"roadworthy_cache_{hashlib.sha256(service.encode()).hexdigest()[:32]}"


def line_of(action: Action, stamp: int, name: str) -> str:
    """Return a change as a payload holds it."""
    return _quote(_Line(action, stamp, name)).decode()


def quoted(name: str) -> str:
    """Return a name as a line holds it."""
    return _quote(name).decode()


def changes_of(payload: str) -> list[Change]:
    """Return the changes that a payload tells of; raise MsgspecError for one of another version."""
    told = _decode(payload)
    return [Change(line.action, line.name, line.stamp, told.sender) for line in told.lines]


class Listener:
    """Hears of changes on a connection of its own, and makes another where that is lost."""

    def __init__(
        self,
        dsn: str,
        statements: Mapping[str, str],
        channel: str,
        *,
        seconds: float,
        begin: Callable[[driver.Connection], Awaitable[None]],
    ) -> None:
        """`seconds` bound connecting, and each answer to the question whether the server is still there."""
        self._dsn = dsn
        self._sql = statements
        self._channel = channel
        self._seconds = seconds
        self._begin = begin

    @contextlib.asynccontextmanager
    async def listening(
        self, changed: Callable[[Change], None], interrupted: Callable[[], None]
    ) -> AsyncIterator[None]:
        """See `Store.listening`. Entered after the first attempt, whatever comes of it."""
        tried = asyncio.Event()
        task = asyncio.get_running_loop().create_task(self._listen(changed, interrupted, tried))
        task.add_done_callback(lambda _: tried.set())
        try:
            await tried.wait()
            yield
        finally:
            task.cancel()
            await asyncio.wait([task], timeout=_CLOSING)

    async def _listen(
        self, changed: Callable[[Change], None], interrupted: Callable[[], None], tried: asyncio.Event
    ) -> None:
        pause, longest = _PAUSES
        said = ""
        while True:
            reason = "the connection was lost"
            try:
                connection = await connect(
                    self._dsn, name="roadworthy cache changes", seconds=self._seconds, begin=self._begin
                )
                try:
                    lost = asyncio.Event()
                    connection.add_termination_listener(lambda _, lost=lost: lost.set())
                    with given_up(connection, self._seconds):
                        await connection.add_listener(self._channel, _teller(changed, interrupted))
                    # Nothing is awaited in between, so no change is told before.
                    interrupted()
                    tried.set()
                    pause, said = _PAUSES[0], ""
                    await self._wait(connection, lost)
                finally:
                    connection.terminate()
            except FAILURES as error:
                reason = driver.reason_of(error)
            tried.set()
            if reason != said:
                log.warning("listening for changes of caches was interrupted; it is tried again", reason=reason)
            said = reason
            await asyncio.sleep(pause)
            pause = min(pause * 2, longest)

    async def _wait(self, connection: driver.Connection, lost: asyncio.Event) -> None:
        """Return, or raise one of FAILURES, once the connection is gone."""
        while not lost.is_set():
            try:
                async with asyncio.timeout(_KEEPALIVE):
                    await lost.wait()
            except TimeoutError:
                with given_up(connection, self._seconds):
                    await connection.fetch(self._sql["tell_time"])


def _teller(changed: Callable[[Change], None], interrupted: Callable[[], None]) -> Callable[..., None]:
    def told(_connection: Any, _pid: int, _channel: str, payload: object) -> None:
        try:
            changes = changes_of(str(payload))
        except msgspec.MsgspecError:
            # Another version's: something changed, and nobody here can say what.
            interrupted()
            return
        for change in changes:
            changed(change)

    return told
