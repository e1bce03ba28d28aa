"""The shared store on Redis or Valkey.

Keys are `{service}:cache:v1:record:{name}`, `...:tag:{name}` and `...:lock:{name}`, which expire, and `...:epoch`,
since when the server knows of invalidations: one that was emptied takes nothing that was loaded before. A record is
written, and a tag invalidated, by a script that tells all nodes in the same step, so they hear of changes in the order
in which those were made.

A server that evicts keys when it is full should evict records before tags, or what was invalidated comes back:
`maxmemory-policy volatile-ttl` does, for a tag lives longer than what bears it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from datetime import timedelta

from roadworthy.cache.pattern import compiled
from roadworthy.cache.redis_changes import changes_of, sender_of
from roadworthy.cache.redis_scripts import ACQUIRE, EPOCH, INVALIDATE, RELEASE, WRITE
from roadworthy.cache.store import Change, StoreDown, StoreRefused, Write
from roadworthy.redis.address import Address
from roadworthy.redis.connection import Connection, Part
from roadworthy.redis.errors import RedisDown, RedisError, Refused
from roadworthy.redis.subscription import Subscription
from roadworthy.telemetry.logging import get_logger

log = get_logger(__name__)

_SCANNED = 1000
_WRITTEN, _WRITTEN_BYTES = 500, 1024 * 1024
_STAMP = 8
_NEW_EPOCH = 0.01
"""Seconds: more than a process's clock is uncertain of."""
_SAFE_POLICIES = ("noeviction", "volatile-ttl")
_SPECIAL = re.compile(rb"([\\\[\]*?])")


class RedisStore:
    """The `Store` of one process on Redis."""

    def __init__(
        self, address: Address, connection: Connection, *, service: str, node: int, timeout: timedelta
    ) -> None:
        """Keep what belongs to `service` at `address` over `connection`, as node 0 to 4095.

        `timeout` bounds what is waited for while listening.
        """
        self._address = address
        self._connection = connection
        self._timeout = timeout
        self._label = f"roadworthy-{service}-{node}"
        prefix = f"{service}:cache:v1:"
        self._record = f"{prefix}record:".encode()
        self._tag = f"{prefix}tag:".encode()
        self._lock = f"{prefix}lock:".encode()
        self._epoch = f"{prefix}epoch".encode()
        # Channels are shared by all databases of a server.
        self._channel = f"{prefix}changes:{address.database}".encode()
        self._sender = sender_of(node)

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, service: str, node: int, timeout: timedelta) -> AsyncIterator[RedisStore]:
        """Be connected to the Redis at `url` within an `async with`, whether it can be reached yet or not.

        `node` is this process's number, 0 to 4095; `timeout` bounds each exchange. Raises SettingError for a wrong URL.
        """
        address = Address.parse(url)
        connection = Connection(address, name=f"roadworthy-{service}-{node}", timeout=timeout)
        store = cls(address, connection, service=service, node=node, timeout=timeout)
        try:
            await connection.start()
            await store._look_at_policy()
            await store._begin()
            yield store
        finally:
            await store.close()

    async def _begin(self) -> None:
        """Begin the epoch of a server that has none, and let it be past before anything is loaded."""
        with suppress(RedisError):
            if await self._connection.run(EPOCH, [self._epoch], []):
                await asyncio.sleep(_NEW_EPOCH)

    @property
    def trouble(self) -> str | None:
        """Why the server is not connected; None where it is."""
        return self._connection.trouble

    async def get(self, name: str) -> bytes | None:
        """Return the record under a name."""
        try:
            return await self._connection.get(self._record + name.encode())
        except RedisDown as error:
            raise StoreDown(str(error)) from error
        except Refused as error:
            raise StoreRefused(str(error)) from error

    async def get_many(self, names: Sequence[str]) -> list[bytes | None]:
        """Return the records under names, in their order."""
        if not names:
            return []
        with _reaching():
            found: list[bytes | None] = await self._connection.execute(
                "MGET", *(self._record + name.encode() for name in names)
            )
        return found

    async def write(self, writes: Sequence[Write]) -> list[bool]:
        """Keep records whose stamp is not below that of what is there; say of each whether it was kept.

        Raises StoreRefused where a full server did not take one: what it has under that name is gone then, for it was
        older, and nodes are told as though it was written. The others are kept. A deletion is made in any case.
        """
        kept: list[bool] = []
        for part in _parted(writes):
            arguments: list[Part] = [self._channel, self._sender, len(self._record) + 1]
            for write in part:
                arguments += (write.action[0], _milliseconds(write.lifetime), write.record)
            keys: list[Part] = [self._epoch, *(self._record + write.name.encode() for write in part)]
            with _reaching():
                kept += map(bool, await self._connection.run(WRITE, keys, arguments))
        return kept

    async def tag_stamps(self, tags: Sequence[str]) -> list[int]:
        """Return when each tag was last invalidated, 0 where that is not known."""
        if not tags:
            return []
        with _reaching():
            found = await self._connection.execute("MGET", *(self._tag + tag.encode() for tag in tags))
        return [int.from_bytes(stamp) if stamp is not None and len(stamp) == _STAMP else 0 for stamp in found]

    async def invalidate(self, tags: Sequence[str], *, lifetime: float, stamp: int | None = None) -> int:
        """Note that everything with one of these tags that began to load before now is dead; return the stamp of now.

        Raises StoreRefused where the server takes no writes; nodes are told all the same.
        """
        arguments: list[Part] = [
            self._channel,
            self._sender,
            len(self._tag) + 1,
            _milliseconds(lifetime),
            b"" if stamp is None else stamp.to_bytes(_STAMP),
        ]
        with _reaching():
            noted = await self._connection.run(INVALIDATE, [self._tag + tag.encode() for tag in tags], arguments)
        return int.from_bytes(noted)

    async def names(self, prefix: str, pattern: str) -> AsyncIterator[list[str]]:
        """Yield the names that begin with `prefix` and go on as `pattern` says (`*` and `?`), in batches.

        One that is written meanwhile may be left out, and one may come twice.
        """
        fits = compiled(pattern).match
        # A `?` is a character here, and to Redis a byte.
        rough = _escaped(prefix) + b"*".join(map(_escaped, re.split(r"[*?]+", pattern)))
        cursor = b"0"
        while True:
            with _reaching():
                cursor, keys = await self._connection.execute(
                    "SCAN", cursor, "MATCH", _escaped_bytes(self._record) + rough, "COUNT", _SCANNED
                )
            names = (key[len(self._record) :].decode(errors="replace") for key in dict.fromkeys(keys))
            if fitting := [name for name in names if fits(name, len(prefix))]:
                yield fitting
            if cursor == b"0":
                return

    async def acquire(self, name: str, token: str, lease: float) -> bool:
        """Take the lock of a name for `lease` seconds, or renew it; False where another token has it."""
        key = self._lock + name.encode()
        with _reaching():
            try:
                return bool(await self._connection.run(ACQUIRE, [key], [token, _milliseconds(lease)]))
            except asyncio.CancelledError:
                # It may have been taken for somebody who is not there any more.
                self._connection.post("EVAL", RELEASE.text, 1, key, token)
                raise

    async def release(self, name: str, token: str) -> bool:
        """Give the lock of a name back; False where this token did not have it any more."""
        with _reaching():
            return bool(await self._connection.run(RELEASE, [self._lock + name.encode()], [token]))

    async def now(self) -> float:
        """Return the server's time, Unix time in seconds."""
        with _reaching():
            seconds, micros = await self._connection.execute("TIME")
        return int(seconds) + int(micros) / 1_000_000

    def listening(
        self, changed: Callable[[Change], None], interrupted: Callable[[], None]
    ) -> AbstractAsyncContextManager[None]:
        """Tell of every change by any node within an `async with`, this one's own included, in their order."""

        def received(message: bytes) -> None:
            try:
                changes = changes_of(message)
            except ValueError as error:
                log.warning("what changed cannot be read; all of it is taken for changed", reason=str(error))
                interrupted()
                return
            for change in changes:
                changed(change)

        return Subscription(
            self._address,
            self._channel,
            received,
            interrupted,
            name=f"{self._label}-changes",
            timeout=self._timeout,
        ).kept()

    async def close(self) -> None:
        """Let go of connections."""
        await self._connection.close()

    async def _look_at_policy(self) -> None:
        try:
            memory = await self._connection.execute("INFO", "memory")
        except RedisError:
            return
        lines = dict(line.split(":", 1) for line in memory.decode().splitlines() if ":" in line)
        policy = lines.get("maxmemory_policy", "noeviction")
        if lines.get("maxmemory", "0") != "0" and policy not in _SAFE_POLICIES:
            log.warning(
                "Redis may forget an invalidation before what it is of; set its maxmemory-policy to volatile-ttl",
                policy=policy,
            )


@contextmanager
def _reaching() -> Iterator[None]:
    try:
        yield
    except RedisDown as error:
        raise StoreDown(str(error)) from error
    except Refused as error:
        raise StoreRefused(str(error)) from error


def _parted(writes: Sequence[Write]) -> Iterator[list[Write]]:
    """Yield the writes in parts that keep the server from nobody else for long."""
    part: list[Write] = []
    size = 0
    for write in writes:
        if part and (len(part) == _WRITTEN or size + len(write.record) > _WRITTEN_BYTES):
            yield part
            part, size = [], 0
        part.append(write)
        size += len(write.record)
    if part:
        yield part


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _escaped(text: str) -> bytes:
    return _escaped_bytes(text.encode())


def _escaped_bytes(text: bytes) -> bytes:
    return _SPECIAL.sub(rb"\\\1", text)
