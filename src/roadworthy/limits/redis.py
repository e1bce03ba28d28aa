"""The store of limits on Redis or Valkey.

A key is `{limits}:v1:` and the counter's. The braces have all of them be in one slot, as a script needs it, and keys
expire when nothing of them counts any more. A server that forgets a key, because it was restarted or was full, admits
as though nothing had been used; so give it the `maxmemory-policy` noeviction.

The connection is of its own. Over that of a cache, a decision would come after whatever values were asked for before,
and a time-out as short as limits need it would drop those.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from struct import Struct
from typing import Any

from roadworthy.limits.quota import Algorithm, Quota
from roadworthy.limits.redis_scripts import TAKE
from roadworthy.limits.store import Counter, StoreDown, Verdict
from roadworthy.outage import StoreRefused
from roadworthy.redis.address import Address
from roadworthy.redis.connection import Connection, Part
from roadworthy.redis.errors import RedisDown, Refused

_PREFIX = b"{limits}:v1:"
_MOST = 64
"""Counters in a script: more would keep the server from others for longer."""
_SOON = 32
"""Questions that do not wait for the end of the turn: the server answers them while others are asked."""
_KNOWN = 1000
_MICROSECONDS = 1_000_000
_SPARE, _SPARE_OF_TESTS = 1000, 3_600_000
"""Milliseconds that a key is kept when nothing of it counts any more; for long where its time is not the server's."""

_QUESTION = Struct("<BII").pack
_QUOTA = Struct("<Bddd").pack
_VERDICTS = Struct("<IIdd").iter_unpack
_ALGORITHMS: dict[Algorithm, int] = {
    "gcra": 1,
    "token_bucket": 1,  # nosec B105  # no password: an algorithm
    "fixed_window": 2,
    "sliding_window": 3,
    "sliding_log": 4,
}


_Question = tuple[list[bytes], list[bytes], asyncio.Future[list[Verdict]]]
"""Keys of counters, what is asked of them as the script reads it, and the answer to come."""


class RedisStore:
    """The `Store` of one process on Redis. What one turn of the event loop asks leaves as one command."""

    def __init__(self, connection: Connection, *, clock: Callable[[], float] | None = None) -> None:
        """Count over `connection`. `clock` tells Unix time in seconds instead of the server, for tests."""
        self._connection = connection
        self._clock = clock
        self._spare = _SPARE if clock is None else _SPARE_OF_TESTS
        # By identity, for to hash a quota takes longer than to pack it. What is kept here is no other quota's.
        self._quotas: dict[int, tuple[Quota, bytes]] = {}
        self._asked: list[_Question] = []

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, *, name: str, timeout: timedelta, clock: Callable[[], float] | None = None
    ) -> AsyncIterator[RedisStore]:
        """Be connected to the Redis at `url` within an `async with`, whether it can be reached yet or not.

        `name` is what the server calls the connection; `timeout` bounds each call. Raises SettingError for a wrong URL.
        """
        connection = Connection(Address.parse(url), name=name, timeout=timeout)
        store = cls(connection, clock=clock)
        try:
            await connection.start()
            yield store
        finally:
            await store.close()

    async def take(self, counters: Sequence[Counter], cost: int = 1, most: int = 1) -> list[Verdict]:
        """See `Store.take`."""
        keys, packed = [], [_QUESTION(len(counters), cost, max(cost, most))]
        quotas = self._quotas
        for counter in counters:
            keys.append(_PREFIX + counter.key.encode(errors="surrogatepass"))
            quota = counter.quota
            known = quotas.get(id(quota))
            packed.append(self._packed(quota) if known is None else known[1])
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Verdict]] = loop.create_future()
        asked = self._asked
        if not asked:
            loop.call_soon(self._send)
        asked.append((keys, packed, answer))
        if len(asked) >= _SOON:
            self._send()
        return await answer

    async def now(self) -> float:
        """Return the server's time, Unix time in seconds."""
        try:
            seconds, micros = await self._connection.execute("TIME")
        except RedisDown as error:
            raise StoreDown(str(error)) from error
        except Refused as error:
            raise StoreRefused(str(error)) from error
        return int(seconds) + int(micros) / _MICROSECONDS

    async def close(self) -> None:
        """Let go of the connection."""
        await self._connection.close()

    def _send(self) -> None:
        asked, self._asked = self._asked, []
        questions: list[_Question] = []
        size = 0
        for question in asked:
            keys, _, answer = question
            if answer.done():
                continue
            size += len(keys)
            if questions and size > _MOST:
                self._send_some(questions)
                questions, size = [], len(keys)
            questions.append(question)
        if questions:
            self._send_some(questions)

    def _send_some(self, questions: list[_Question]) -> None:
        keys = [key for question in questions for key in question[0]]
        packed = b"".join([part for question in questions for part in question[1]])
        now = -1 if self._clock is None else round(self._clock() * _MICROSECONDS)
        self._submit(questions, (len(keys), *keys, now, self._spare, packed), ("EVALSHA", TAKE.digest))

    def _submit(self, questions: list[_Question], arguments: tuple[Part, ...], how: tuple[str, str]) -> None:
        try:
            reply = self._connection.submit(*how, *arguments)
        except RedisDown as error:
            _fail(questions, StoreDown, error)
            return
        reply.add_done_callback(partial(self._answered, questions, arguments))

    def _answered(self, questions: list[_Question], arguments: tuple[Part, ...], reply: asyncio.Future[Any]) -> None:
        error = reply.exception()
        if error is None:
            _hand_over(questions, reply.result())
        elif isinstance(error, Refused) and error.code == "NOSCRIPT":
            self._submit(questions, arguments, ("EVAL", TAKE.text))
        else:
            _fail(questions, StoreRefused if isinstance(error, Refused) else StoreDown, error)

    def _packed(self, quota: Quota) -> bytes:
        if len(self._quotas) >= _KNOWN:
            self._quotas.clear()
        micros = quota.seconds * _MICROSECONDS
        packed = _QUOTA(_ALGORITHMS[quota.algorithm], quota.count, micros, quota.capacity)
        self._quotas[id(quota)] = quota, packed
        return packed


def _hand_over(questions: list[_Question], reply: bytes) -> None:
    verdicts = [
        Verdict(granted, remaining, wait / _MICROSECONDS, reset / _MICROSECONDS)
        for granted, remaining, wait, reset in _VERDICTS(reply)
    ]
    first = 0
    for keys, _, answer in questions:
        after = first + len(keys)
        if not answer.done():
            answer.set_result(verdicts[first:after])
        first = after


def _fail(questions: list[_Question], kind: type[StoreDown], error: BaseException) -> None:
    for _, _, answer in questions:
        if not answer.done():
            # One for each: a traceback grows with every place that it is raised in.
            answer.set_exception(kind(str(error)))
