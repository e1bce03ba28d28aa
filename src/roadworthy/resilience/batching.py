"""Batching: many callers ask for one thing each, and one call answers them all.

A batch begins a moment after its first key, or when it is full. The callers share nothing but that: one that is
cancelled takes its key out or leaves its answer unread, and a key that fails fails for those who asked for it. Where
the loader raises for a whole batch, the batch is halved until what it raises for stands alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

from roadworthy.errors import BulkheadFull, DeclarationError, DependencyFailed, KeyNotAnswered

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

Load = Callable[[list[K]], Awaitable[Mapping[K, V | Exception] | Sequence[V | Exception]]]

AWAY = (DependencyFailed, OSError, TimeoutError)
"""Errors that say that nobody answers: asking again in halves would only add to that."""


@dataclass(frozen=True, slots=True)
class BatchSpec:
    """Batches of at most `size` keys, which begin `wait` after their first key, or when they are full.

    `load` answers them: with a mapping by key, or with as many values as keys, in their order. An exception among the
    values is raised for its key; a key that a mapping leaves out raises KeyNotAnswered.

    At most `at_once` of them are loaded at once, each for at most `timeout`, and at most `pending` keys wait for that.
    """

    name: str
    load: Load[Any, Any]
    size: int = 100
    wait: timedelta = timedelta(milliseconds=2)
    at_once: int = 4
    pending: int = 10_000
    timeout: timedelta = timedelta(seconds=30)

    def __post_init__(self) -> None:
        for option in ("size", "at_once", "pending"):
            if getattr(self, option) < 1:
                raise DeclarationError(
                    f"batch {self.name!r} has {option}={getattr(self, option)}; it must be at least 1"
                )
        if not timedelta(0) <= self.wait <= timedelta(minutes=1):
            raise DeclarationError(f"batch {self.name!r} has wait={self.wait}; it is 0 to 1 minute")
        if self.timeout <= timedelta(0):
            raise DeclarationError(f"batch {self.name!r} has timeout={self.timeout}; make it positive")
        if self.pending < self.size:
            raise DeclarationError(
                f"batch {self.name!r} has pending={self.pending} below its size={self.size}; raise it"
            )


class Batching(Generic[K, V]):
    """The batches of one loader on one event loop.

    `batches`, `keys` and `refused` count; `shared` counts callers who asked for a key that was asked for already.
    """

    def __init__(self, spec: BatchSpec) -> None:
        """Batch as `spec` says. Its loader runs in the context that this is called in."""
        self.spec = spec
        self._load: Load[K, V] = spec.load
        self._context = copy_context()
        self._asked: dict[K, list[asyncio.Future[V]]] = {}
        self._full: deque[dict[K, list[asyncio.Future[V]]]] = deque()
        self._waiting = 0
        self._timer: asyncio.TimerHandle | None = None
        self._loading: set[asyncio.Task[None]] = set()
        self.batches = 0
        self.keys = 0
        self.shared = 0
        self.refused = 0

    async def get(self, key: K) -> V:
        """Return the value of `key`, loaded with those of others.

        Raises:
            BulkheadFull: so many keys as may be wait already.
            KeyNotAnswered: the loader had no value for it.
            Exception: whatever the loader raised, or had for this key.
        """
        waiters = self._asked.get(key)
        if waiters is None:
            if self._waiting >= self.spec.pending:
                self.refused += 1
                raise BulkheadFull(
                    f"{self._waiting} keys of batch {self.spec.name!r} wait already; ask again later", self.spec.name
                )
            waiters = self._asked[key] = []
            self._waiting += 1
            self._schedule()
        else:
            self.shared += 1
        answer: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        # One whose caller was cancelled meanwhile is none for the loop to complain about.
        answer.add_done_callback(lambda ended: None if ended.cancelled() else ended.exception())
        waiters.append(answer)
        return await answer

    async def get_many(self, keys: Sequence[K]) -> list[V]:
        """Return the values of `keys` in their order; raise the first error among them."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.get(key)) for key in keys]
        return [task.result() for task in tasks]

    async def close(self) -> None:
        """End what is loading, and tell whoever waits for it."""
        self._close_batch()
        batches, self._full = [*self._full], deque()
        for task in self._loading:
            task.cancel()
        for batch in batches:
            self._fail_all(batch, self._over())
        if self._loading:
            await asyncio.wait(self._loading, timeout=1)

    def _schedule(self) -> None:
        """Have the batch that has just got a key begin in time."""
        if len(self._asked) >= self.spec.size:
            self._close_batch()
        elif len(self._asked) == 1:
            self._timer = asyncio.get_running_loop().call_later(self.spec.wait.total_seconds(), self._close_batch)

    def _close_batch(self) -> None:
        """Let no more keys into the batch, and load it as soon as there is room."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._asked:
            self._full.append(self._asked)
            self._asked = {}
        self._begin()

    def _begin(self) -> None:
        # Whoever filled the batch has yet to be added to its waiters: the task runs after that. It runs in none of its
        # callers' context, whose deadline or transaction is nothing to the others.
        while self._full and len(self._loading) < self.spec.at_once:
            work = self._run(self._full.popleft())
            task = asyncio.create_task(work, name=f"batch {self.spec.name}", context=self._context.copy())
            self._loading.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._loading.discard(task)
        if not task.cancelled():
            task.exception()
            self._begin()

    async def _run(self, batch: dict[K, list[asyncio.Future[V]]]) -> None:
        self._waiting -= len(batch)
        wanted = {key: waiters for key, waiters in batch.items() if not all(one.done() for one in waiters)}
        try:
            if wanted:
                await self._answer(wanted)
        except Exception as error:
            self._fail_all(wanted, error)
        except BaseException:
            self._fail_all(wanted, self._over())
            raise

    def _over(self) -> Exception:
        return DependencyFailed(f"batch {self.spec.name!r} ended with its service; ask again", self.spec.name)

    @staticmethod
    def _fail_all(batch: dict[K, list[asyncio.Future[V]]], error: Exception) -> None:
        for waiters in batch.values():
            _fail(waiters, error)

    async def _answer(self, wanted: dict[K, list[asyncio.Future[V]]]) -> None:
        """Load a batch and tell everybody; where it fails as a whole, its halves."""
        parts = [wanted]
        while parts:
            part = parts.pop()
            self.batches += 1
            self.keys += len(part)
            keys = list(part)
            try:
                async with asyncio.timeout(self.spec.timeout.total_seconds()):
                    loaded = await self._load(list(keys))
            except Exception as error:
                if len(part) == 1 or isinstance(error, AWAY):
                    for waiters in part.values():
                        _fail(waiters, error)
                    continue
                middle = len(keys) // 2
                parts += [{key: part[key] for key in keys[middle:]}, {key: part[key] for key in keys[:middle]}]
                continue
            answers = self._by_key(keys, loaded)
            for key, waiters in part.items():
                self._tell(key, waiters, answers)

    def _by_key(self, keys: list[K], answers: Any) -> Mapping[K, V | Exception]:
        if isinstance(answers, Mapping):
            return answers
        if isinstance(answers, str | bytes) or not isinstance(answers, Sequence) or len(answers) != len(keys):
            raise TypeError(
                f"the loader of batch {self.spec.name!r} was given {len(keys)} keys and returned "
                f"{type(answers).__name__}"
                + (f" of {len(answers)}" if isinstance(answers, Sequence) else "")
                + "; return a mapping by key, or a value for each key in their order"
            )
        return dict(zip(keys, answers, strict=True))

    def _tell(self, key: K, waiters: list[asyncio.Future[V]], answers: Mapping[K, V | Exception]) -> None:
        try:
            answer = answers[key]
        except KeyError:
            _fail(waiters, KeyNotAnswered(f"batch {self.spec.name!r} has no value for {key!r}"))
            return
        if isinstance(answer, Exception):
            _fail(waiters, answer)
            return
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(answer)


def _fail(waiters: list[asyncio.Future[Any]], error: Exception) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_exception(error)
