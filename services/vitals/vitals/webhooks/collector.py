"""Commits together what arrives together: while one batch is on its way to the disk, the next one gathers.

The first item after a pause goes at once. Under load a batch begins at most every few milliseconds, since each costs
the database, and whoever works on it, about the same whether it holds one item or a hundred.

Each caller waits until its own item is kept, so an acknowledgement means the same as it would with a transaction for
each, at a fraction of its cost. An item that cannot be kept fails alone: its batch is then stored one by one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Generic, TypeVar

from roadworthy import seconds

T = TypeVar("T")


class Overloaded(Exception):
    """More waits already than could be kept in time."""


class Collector(Generic[T]):
    """Gathers items and stores them in batches; made by `open`."""

    def __init__(
        self,
        store: Callable[[Sequence[T]], Awaitable[None]],
        *,
        transient: Callable[[Exception], bool],
        largest: int = 500,
        most_waiting: int = 2000,
        interval: timedelta = seconds(0.015),
        patience: timedelta = seconds(10),
    ) -> None:
        """`store` keeps a batch whole or not at all.

        `transient` says of its exception whether the batch was right and only the moment wrong: all of it fails then.
        `largest` bounds a batch, `most_waiting` what waits for one, `patience` the wait for a batch and for an item;
        `interval` is the least time from the beginning of one batch to that of the next.
        """
        self._store = store
        self._transient = transient
        self._largest = largest
        self._most_waiting = most_waiting
        self._interval = interval.total_seconds()
        self._patience = patience.total_seconds()
        self._waiting: deque[tuple[T, asyncio.Future[None]]] = deque()
        self._arrived = asyncio.Event()
        self._closing = False

    async def add(self, item: T) -> None:
        """Return once `item` is kept; a caller that is cancelled leaves it to be kept all the same.

        Raises:
            Overloaded: too much waits already.
            TimeoutError: it was not known to be kept within the patience; it may be, later.
            Exception: what `store` raised for it.
        """
        if len(self._waiting) >= self._most_waiting:
            raise Overloaded
        kept = asyncio.get_running_loop().create_future()
        self._waiting.append((item, kept))
        self._arrived.set()
        async with asyncio.timeout(self._patience):
            await kept

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Collector[T]]:
        """Store batches for the time of an `async with`, and at its end what still waits."""
        task = asyncio.create_task(self._run())
        try:
            yield self
        finally:
            self._closing = True
            self._arrived.set()
            await asyncio.wait([task], timeout=self._patience)
            task.cancel()

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        while not self._closing:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                began = clock()
                await self._settle(self._take())
                await asyncio.sleep(max(0.0, self._interval - (clock() - began)))

    def _take(self) -> list[tuple[T, asyncio.Future[None]]]:
        return [self._waiting.popleft() for _ in range(min(self._largest, len(self._waiting)))]

    async def _settle(self, batch: Sequence[tuple[T, asyncio.Future[None]]]) -> Exception | None:
        """Store a batch and tell each caller what became of its item; return why it was not stored."""
        error = await self._attempt([item for item, _ in batch])
        if error is not None and len(batch) > 1 and not self._transient(error):
            return await self._settle_one_by_one(batch)
        _tell(batch, error)
        return error

    async def _settle_one_by_one(self, batch: Sequence[tuple[T, asyncio.Future[None]]]) -> Exception | None:
        for index, one in enumerate(batch):
            error = await self._settle([one])
            if error is not None and self._transient(error):
                # The others would each wait for the same.
                _tell(batch[index + 1 :], error)
                return error
        return None

    async def _attempt(self, items: Sequence[T]) -> Exception | None:
        try:
            async with asyncio.timeout(self._patience):
                await self._store(items)
        except Exception as error:
            return error
        return None


def _tell(batch: Sequence[tuple[T, asyncio.Future[None]]], error: Exception | None) -> None:
    for _, kept in batch:
        if kept.done():
            continue
        if error is None:
            kept.set_result(None)
        else:
            kept.set_exception(error)
