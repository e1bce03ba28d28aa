"""A store in PostgreSQL, for processes that share a cache without Redis.

The statements are in queries.sql, the tables, unlogged, in migrations/.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any, NamedTuple

from roadworthy.batches import Batches
from roadworthy.cache.pattern import compiled, literal_head
from roadworthy.cache.postgres_listener import LARGEST_PAYLOAD, Listener, channel_of, line_of, quoted
from roadworthy.cache.store import Change, StoreRefused, Write
from roadworthy.database import driver, queries
from roadworthy.database.session import Session
from roadworthy.database.sweeping import Sweep

LONGEST_NAME = 1024
"""Bytes of UTF-8 that a name or a tag may have; hash what is longer."""

_READS, _WRITES, _LOCKS = 1000, 500, 500
_WRITTEN_BYTES = 4 * 1024 * 1024
_PAGE = 1000
_AFTER_ALL = b"\xff"
_LINE_ROOM = 64
_CLOSING = 1.0
_SERVER_SHARE = 0.8


class _Invalidation(NamedTuple):
    tags: Sequence[str]
    lifetime: float
    stamp: int | None


class _LockWish(NamedTuple):
    """A lock to take for `lease` seconds, to give back where that is None."""

    name: bytes
    token: str
    lease: float | None


class PostgresStore:
    """See `Store`. Three connections a process: reads, writes (locks as well), and what others changed.

    None is the service's, so a cache neither waits for the pool nor takes part in a transaction.
    """

    def __init__(self, dsn: str, *, service: str, node: int, timeout: timedelta) -> None:
        """See `open`."""
        self._sql = queries.load_queries("roadworthy.cache")
        self._node = node
        self._channel = channel_of(service)
        self._seconds = timeout.total_seconds()
        seconds, configure = self._seconds, self._configure
        self._reading = Session(dsn, self._sql, name="roadworthy cache reads", seconds=seconds, begin=configure)
        self._writing = Session(dsn, self._sql, name="roadworthy cache writes", seconds=seconds, begin=self._begin)
        self._listener = Listener(dsn, self._sql, self._channel, seconds=seconds, begin=configure)
        self._reads = Batches(self._read, most=_READS, size=len)
        self._tag_reads = Batches(self._read_tags, most=_READS, size=len)
        self._questions = Batches(self._question, most=1)
        self._writes = Batches(self._write, most=_WRITES, size=len)
        self._invalidations = Batches(self._invalidate, most=_WRITES, size=lambda one: len(one.tags))
        self._locks = Batches(self._lock, most=_LOCKS, alone=lambda wish: wish.name)
        self._steps = Batches(self._step, most=1)
        share = random.Random()  # nosec B311  # spreads sweeps out, no secret
        self._sweeps = {
            name: Sweep(name, self._steps.ask, share=share) for name in ("sweep_entries", "sweep_tags", "sweep_locks")
        }

    @classmethod
    @asynccontextmanager
    async def open(
        cls, dsn: str, *, service: str, node: int, timeout: timedelta = timedelta(milliseconds=250)
    ) -> AsyncIterator[PostgresStore]:
        """Hold a store in the database that `dsn` reaches, whether or not it does so now.

        `service` names who shares it, `node` (0 to 4095) tells its processes apart, `timeout` bounds each exchange. The
        DSN must reach PostgreSQL itself or a pooler in session mode, and its tables be there (`roadworthy migrate`).
        """
        store = cls(dsn, service=service, node=node, timeout=timeout)
        try:
            # Before anybody measures how long an answer takes.
            await asyncio.gather(store.now(), store.release("", ""), return_exceptions=True)
            yield store
        finally:
            await store.close()

    async def get(self, name: str) -> bytes | None:
        """See `Store.get`."""
        return (await self._reads.ask((_whole(name),)))[0]

    async def get_many(self, names: Sequence[str]) -> list[bytes | None]:
        """See `Store.get_many`."""
        return await self._reads.ask([_whole(name) for name in names]) if names else []

    async def write(self, writes: Sequence[Write]) -> list[bool]:
        """See `Store.write`.

        Raises StoreRefused where there is no room: what was there under these names is gone then, for it was older, and
        nodes are told as though it was written.
        """
        for write in writes:
            _whole(write.name)
        return await self._writes.ask(writes) if writes else []

    async def tag_stamps(self, tags: Sequence[str]) -> list[int]:
        """See `Store.tag_stamps`."""
        return await self._tag_reads.ask([_whole(tag) for tag in tags]) if tags else []

    async def invalidate(self, tags: Sequence[str], *, lifetime: float, stamp: int | None = None) -> int:
        """See `Store.invalidate`."""
        for tag in tags:
            _whole(tag)
        return await self._invalidations.ask(_Invalidation(tags, lifetime, stamp))

    async def names(self, prefix: str, pattern: str) -> AsyncIterator[list[str]]:
        """See `Store.names`. What is written meanwhile may be missed."""
        fits = compiled(pattern).match
        head = (prefix + literal_head(pattern)).encode()
        after, before = head, head + _AFTER_ALL
        while True:
            rows = await self._questions.ask(("list_names", (after, before, _PAGE)))
            names = [str(name, "utf-8") for (name,) in rows]
            if found := [name for name in names if fits(name, len(prefix))]:
                yield found
            if len(rows) < _PAGE:
                return
            # The name that comes next is this one with a NUL character at its end.
            after = rows[-1][0] + b"\0"

    async def acquire(self, name: str, token: str, lease: float) -> bool:
        """See `Store.acquire`."""
        try:
            return await self._locks.ask(_LockWish(_whole(name), token, lease))
        except asyncio.CancelledError:
            # It may have been taken, or be so soon, for somebody who is not there any more.
            self._locks.ask(_LockWish(_whole(name), token, None))
            raise

    async def release(self, name: str, token: str) -> bool:
        """See `Store.release`."""
        return await self._locks.ask(_LockWish(_whole(name), token, None))

    async def now(self) -> float:
        """See `Store.now`."""
        ((moment,),) = await self._questions.ask(("tell_time", ()))
        return float(moment)

    def listening(
        self, changed: Callable[[Change], None], interrupted: Callable[[], None]
    ) -> AbstractAsyncContextManager[None]:
        """See `Store.listening`."""
        return self._listener.listening(changed, interrupted)

    async def close(self) -> None:
        """See `Store.close`. What was asked is answered for a second at most."""
        batches: tuple[Batches[Any, Any], ...] = (
            self._reads,
            self._tag_reads,
            self._questions,
            self._writes,
            self._invalidations,
            self._locks,
            self._steps,
        )
        await asyncio.gather(*(one.close(_CLOSING) for one in batches))
        await asyncio.gather(self._reading.close(), self._writing.close())

    async def _configure(self, connection: driver.Connection) -> None:
        # The server's own limit comes first, since it leaves the connection as it is.
        milliseconds = max(int(self._seconds * _SERVER_SHARE * 1000), 1)
        await connection.execute(self._sql["configure"], str(milliseconds))

    async def _begin(self, connection: driver.Connection) -> None:
        await self._configure(connection)
        # A crash ends all connections, so this one learns of it before it writes.
        await connection.execute(self._sql["note_epoch"])

    async def _read(self, asked: Sequence[Sequence[bytes]]) -> list[list[bytes | None]]:
        wanted = list(dict.fromkeys(name for names in asked for name in names))
        found: dict[bytes, bytes] = dict(map(tuple, await self._reading.fetch("read_entries", wanted)))
        return [[found.get(name) for name in names] for names in asked]

    async def _read_tags(self, asked: Sequence[Sequence[bytes]]) -> list[list[int]]:
        wanted = list(dict.fromkeys(tag for tags in asked for tag in tags))
        found: dict[bytes, int] = dict(map(tuple, await self._reading.fetch("read_tags", wanted)))
        return [[found.get(tag, 0) for tag in tags] for tags in asked]

    async def _question(self, asked: Sequence[tuple[str, tuple[Any, ...]]]) -> list[list[driver.Record]]:
        return [await self._reading.fetch(statement, *arguments) for statement, arguments in asked]

    async def _write(self, asked: Sequence[Sequence[Write]]) -> list[list[bool]]:
        newest: dict[bytes, Write] = {}
        for write in (write for writes in asked for write in writes):
            name = _whole(write.name)
            if name not in newest or newest[name].stamp <= write.stamp:
                newest[name] = write
        kept: dict[bytes, int] = {}
        for some in _parted(newest):
            kept.update((name, newest[name].stamp) for name in await self._write_some(some))
        self._sweeps["sweep_entries"].wrote(len(kept))
        return [[kept.get(_whole(write.name)) == write.stamp for write in writes] for writes in asked]

    async def _write_some(self, some: Sequence[tuple[bytes, Write]]) -> Sequence[bytes]:
        names = [name for name, _ in some]
        stamps = [write.stamp for _, write in some]
        deletions = [write.action == "delete" for _, write in some]
        lines = [line_of(write.action, write.stamp, write.name) for _, write in some]
        parts = _parts(lines)
        records, lifetimes = [write.record for _, write in some], [write.lifetime for _, write in some]
        to_all = self._channel, self._node
        try:
            ((kept, _, remembers),) = await self._writing.fetch(
                "write_entries", *to_all, names, records, stamps, lifetimes, deletions, lines, parts
            )
        except StoreRefused:
            await self._writing.fetch("drop_entries", *to_all, names, stamps, lines, parts)
            raise
        if not remembers:
            # Emptied by hand: nothing is kept until the epoch is noted.
            await self._writing.fetch("note_epoch")
        return kept or ()

    async def _invalidate(self, asked: Sequence[_Invalidation]) -> list[int]:
        wanted: dict[str, tuple[int | None, float]] = {}
        for one in asked:
            for tag in one.tags:
                stamp, lifetime = wanted.get(tag, (0, 0.0))
                latest = None if stamp is None or one.stamp is None else max(stamp, one.stamp)
                wanted[tag] = latest, max(lifetime, one.lifetime)
        quotes = [quoted(tag) for tag in wanted]
        ((moment, _),) = await self._writing.fetch(
            "invalidate_tags",
            self._channel,
            self._node,
            [_whole(tag) for tag in wanted],
            [stamp for stamp, _ in wanted.values()],
            [lifetime for _, lifetime in wanted.values()],
            quotes,
            _parts(quotes),
        )
        self._sweeps["sweep_tags"].wrote(len(wanted))
        return [moment if one.stamp is None else one.stamp for one in asked]

    async def _lock(self, asked: Sequence[_LockWish]) -> list[bool]:
        wanted = [wish for wish in asked if wish.lease is not None]
        returned = [wish for wish in asked if wish.lease is None]
        done: set[bytes] = set()
        if wanted:
            rows = await self._writing.fetch(
                "acquire_locks",
                [wish.name for wish in wanted],
                [wish.token for wish in wanted],
                [wish.lease for wish in wanted],
            )
            done.update(name for (name,) in rows)
            self._sweeps["sweep_locks"].wrote(len(rows))
        if returned:
            rows = await self._writing.fetch(
                "release_locks", [wish.name for wish in returned], [wish.token for wish in returned]
            )
            done.update(name for name, in_time in rows if in_time)
        return [wish.name in done for wish in asked]

    async def _step(self, asked: Sequence[str]) -> list[int]:
        return [await self._sweeps[name].step(self._writing.fetch) for name in asked]


def _whole(name: str) -> bytes:
    data = name.encode()
    if len(data) > LONGEST_NAME:
        raise ValueError(f"the name {name[:40]!r}... has {len(data)} bytes, more than {LONGEST_NAME}; hash its end")
    return data


def _parted(writes: dict[bytes, Write]) -> Iterator[list[tuple[bytes, Write]]]:
    """Yield the writes in lists that one statement can carry."""
    some: list[tuple[bytes, Write]] = []
    size = 0
    for name, write in writes.items():
        size += len(write.record)
        if some and (size > _WRITTEN_BYTES or len(some) == _WRITES):
            yield some
            some, size = [], len(write.record)
        some.append((name, write))
    if some:
        yield some


def _parts(texts: Sequence[str]) -> list[int]:
    """Say of each text in which payload it goes, so that none is too long."""
    parts: list[int] = []
    part, size = 0, 0
    for text in texts:
        room = len(text.encode()) + _LINE_ROOM
        size += room
        if size > LARGEST_PAYLOAD:
            part, size = part + 1, room
        parts.append(part)
    return parts
