"""The store of limits in PostgreSQL, for processes that share limits without Redis.

The statements are in queries.sql; the table, unlogged, and the function that counts in migrations/.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import NamedTuple

from roadworthy.batches import Batches
from roadworthy.database import driver, queries
from roadworthy.database.session import Session
from roadworthy.database.sweeping import Sweep
from roadworthy.limits.quota import Algorithm, Quota
from roadworthy.limits.store import Counter, StoreDown, Verdict

_MOST = 200
"""Counters in a statement, so that it takes a few milliseconds."""
_MICROSECONDS = 1_000_000
_CLOSING = 1.0
_PATIENCE, _SWEEPING = 1.0, 1.0
"""Seconds that connecting and that a step of sweeping may take: nobody waits for either."""
_SERVER_SHARE = 0.8

_ALGORITHMS: dict[Algorithm, int] = {
    "gcra": 1,
    "token_bucket": 1,  # nosec B105  # no password: an algorithm
    "fixed_window": 2,
    "sliding_window": 3,
    "sliding_log": 4,
}


class _Question(NamedTuple):
    names: list[bytes]
    counters: Sequence[Counter]
    cost: int
    most: int


class PostgresStore:
    """The `Store` of one process. Two connections, neither the service's: for counting, and for removing what is over.

    What is asked while a statement is under way goes out as the next.
    """

    def __init__(self, dsn: str, *, timeout: timedelta, clock: Callable[[], float] | None = None) -> None:
        """See `open`."""
        self._sql = queries.load_queries("roadworthy.limits")
        self._clock = clock
        seconds = timeout.total_seconds()
        self._counting = self._session(dsn, "roadworthy limits", seconds)
        self._sweeping = self._session(dsn, "roadworthy limits sweeping", _SWEEPING)
        self._questions = Batches(self._take, most=_MOST, size=lambda question: len(question.names))
        self._steps = Batches(self._step, most=1)
        self._sweep = Sweep("sweep", self._steps.ask, share=random.Random())  # nosec B311  # spreads sweeps out, no secret

    @classmethod
    @asynccontextmanager
    async def open(
        cls, dsn: str, *, timeout: timedelta, clock: Callable[[], float] | None = None
    ) -> AsyncIterator[PostgresStore]:
        """Count in the database that `dsn` reaches, whether or not it does so now, within an `async with`.

        `timeout` bounds each statement. `clock` tells Unix time in seconds instead of the server, for tests. The DSN
        must reach PostgreSQL itself or a pooler in session mode, and its table be there (`roadworthy migrate`).
        """
        store = cls(dsn, timeout=timeout, clock=clock)
        try:
            with contextlib.suppress(StoreDown):
                await store.now()
            yield store
        finally:
            await store.close()

    async def take(self, counters: Sequence[Counter], cost: int = 1, most: int = 1) -> list[Verdict]:
        """See `Store.take`."""
        if (trouble := self._counting.trouble) is not None:
            raise StoreDown(trouble)
        names = [counter.key.encode(errors="surrogatepass") for counter in counters]
        return await self._questions.ask(_Question(names, counters, cost, max(cost, most)))

    async def now(self) -> float:
        """Return the server's time, Unix time in seconds; connect where that is needed."""
        ((moment,),) = await self._counting.fetch("tell_time")
        return float(moment)

    async def close(self) -> None:
        """Let go of the connections. What was asked is answered for a second at most."""
        await asyncio.gather(self._questions.close(_CLOSING), self._steps.close(_CLOSING))
        await asyncio.gather(self._counting.close(), self._sweeping.close())

    def _session(self, dsn: str, name: str, seconds: float) -> Session:
        async def configure(connection: driver.Connection) -> None:
            # The first of each statement takes longer than others, and no request shall wait for that.
            await connection.execute(self._sql["configure"], "0")
            await connection.fetch(self._sql["take"], [b""], *([1] for _ in range(9)), None)
            milliseconds = max(int(seconds * _SERVER_SHARE * 1000), 1)
            await connection.execute(self._sql["configure"], str(milliseconds))

        return Session(dsn, self._sql, name=name, seconds=seconds, patience=_PATIENCE, begin=configure)

    async def _take(self, asked: Sequence[_Question]) -> list[list[Verdict]]:
        names = sorted({name for question in asked for name in question.names})
        places = {name: place for place, name in enumerate(names, 1)}
        quotas: dict[Quota, int] = {}
        numbers = [
            quotas.setdefault(counter.quota, len(quotas) + 1) for question in asked for counter in question.counters
        ]
        ((granted, remaining, waits, resets, added),) = await self._counting.fetch(
            "take",
            names,
            [len(question.names) for question in asked],
            [question.cost for question in asked],
            [question.most for question in asked],
            [places[name] for question in asked for name in question.names],
            numbers,
            [_ALGORITHMS[quota.algorithm] for quota in quotas],
            [quota.count for quota in quotas],
            [quota.seconds * _MICROSECONDS for quota in quotas],
            [quota.capacity for quota in quotas],
            None if self._clock is None else float(round(self._clock() * _MICROSECONDS)),
        )
        self._sweep.wrote(added)
        verdicts = iter(
            [
                Verdict(int(units), int(left), wait / _MICROSECONDS, reset / _MICROSECONDS)
                for units, left, wait, reset in zip(granted, remaining, waits, resets, strict=True)
            ]
        )
        return [[next(verdicts) for _ in question.names] for question in asked]

    async def _step(self, asked: Sequence[str]) -> list[int]:
        return [await self._sweep.step(self._sweeping.fetch) for _ in asked]
