"""Batches: what one turn of the event loop asks for goes out as one, and what is asked meanwhile as the next.

As in DataLoader (https://github.com/graphql/dataloader), but nothing waits for a time: while a batch is under way, the
next one gathers, so an idle store answers at once and a busy one in large batches.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from roadworthy.outage import StoreDown, StoreRefused

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class Batches(Generic[Asked, Answer]):
    """Requests of one kind, run in order, a batch at a time.

    A batch belongs to no caller: one who is cancelled stops no other, and what was asked is done all the same.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Asked]], Awaitable[Sequence[Answer]]],
        *,
        most: int,
        size: Callable[[Asked], int] = lambda _: 1,
        alone: Callable[[Asked], Hashable] | None = None,
    ) -> None:
        """`run` answers a batch, in its order. Its requests have `most` for the sum of their sizes, or are but one.

        Of requests that are equal by `alone` each goes in a batch of its own.
        """
        self._answers = run
        self._most = most
        self._size = size
        self._alone = alone
        self._waiting: deque[tuple[Asked, asyncio.Future[Answer]]] = deque()
        self._runner: asyncio.Task[None] | None = None
        self._closed = False

    def ask(self, asked: Asked) -> asyncio.Future[Answer]:
        """Return the answer to come, StoreDown where there is none. Cancelling it changes nothing of what is done."""
        if self._closed:
            raise StoreDown("the store is closed in this process; nothing more is asked of it")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((asked, future))
        if self._runner is None:
            self._runner = loop.create_task(self._run())
        return future

    async def close(self, patience: float) -> None:
        """Refuse what is asked from now on, and wait for what was for `patience` seconds at most."""
        self._closed = True
        runner = self._runner
        if runner is not None:
            await asyncio.wait([runner], timeout=patience)
            runner.cancel()
        self._fail(StoreDown("the store was closed in this process before it answered"))

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._next()
        finally:
            self._runner = None

    async def _next(self) -> None:
        batch = self._batch()
        try:
            answers = await self._answers([asked for asked, _ in batch])
        except StoreRefused as error:
            _fail(batch, error)
            return
        except StoreDown as error:
            # Those who came meanwhile have waited as well: nobody waits for more than one time-out.
            _fail(batch, error)
            self._fail(error)
            return
        except BaseException:
            _fail(batch, StoreDown("the store was closed in this process before it answered"))
            raise
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)

    def _batch(self) -> list[tuple[Asked, asyncio.Future[Answer]]]:
        waiting, total = self._waiting, 0
        batch: list[tuple[Asked, asyncio.Future[Answer]]] = []
        seen: set[Hashable] = set()
        while waiting:
            asked = waiting[0][0]
            total += self._size(asked)
            if batch and total > self._most:
                break
            if self._alone is not None:
                if (key := self._alone(asked)) in seen:
                    break
                seen.add(key)
            batch.append(waiting.popleft())
        return batch

    def _fail(self, error: StoreDown) -> None:
        _fail(self._waiting, error)
        self._waiting.clear()


def _fail(requests: Iterable[tuple[Any, asyncio.Future[Any]]], error: StoreDown) -> None:
    for _, future in requests:
        if not future.done():
            # One for each: a traceback grows with every place that it is raised in.
            future.set_exception(type(error)(str(error)))
            # Where nobody waits for the answer any more, that it failed is no news.
            future.exception()
