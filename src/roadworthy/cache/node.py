"""One process among those that share a store: its clock, what it knows of changes, and what it does in the background.

The caches of a service are served by one node.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakValueDictionary

from roadworthy.cache.clock import StoreClock
from roadworthy.cache.knowledge import Knowledge
from roadworthy.cache.pending import Pending
from roadworthy.cache.stamp import NODES
from roadworthy.cache.store import Change, Store, StoreDown

if TYPE_CHECKING:
    from roadworthy.telemetry.logging import Logger

_LOOK_SECONDS = 0.5
_MEASURE_SECONDS = 10.0
_MEASUREMENTS = 3
_OPEN_SECONDS = 5.0
_ENDING_SECONDS = 0.5


class Member(Protocol):
    """A cache as its node knows it."""

    def changed(self, change: Change) -> None:
        """Hear of a change to a name or tag of this cache."""

    def interrupted(self) -> None:
        """Drop everything in memory."""

    def regenerate(self) -> None:
        """Look at the tags of every entry again before it is handed out."""


class Node:
    """A process that has caches; opened by `open`."""

    def __init__(
        self,
        store: Store | None,
        *,
        node: int | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Share `store`, or with None nothing. `node` is 0 to 4095, by chance where it is None."""
        self.store = store
        self.chance = chance
        self.clock = StoreClock(random.randrange(NODES) if node is None else node, monotonic=monotonic, wall=wall)  # nosec B311  # tells processes apart, no secret
        self.token = f"{self.clock.node}-{secrets.token_hex(8)}"
        """By which this process holds the locks of keys that it loads: what began anew after a change shares one."""
        self.knowledge = Knowledge()
        self.pending = Pending()
        self.down = False
        """Whether the store failed at the last attempt."""
        self.locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """The locks that tasks of this process hold or wait for."""
        self._members: dict[str, Member] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._closed = False
        self._told_down = False

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Node]:
        """Listen to the store and serve caches within an `async with`; background work ends with it."""
        if self.store is None:
            try:
                yield self
            finally:
                await self._end()
            return
        async with self.store.listening(self.changed, self.interrupted):
            with contextlib.suppress(StoreDown, TimeoutError):
                async with asyncio.timeout(_OPEN_SECONDS):
                    # The shortest exchange tells best; the first may have had to connect.
                    for _ in range(_MEASUREMENTS):
                        await self.clock.measure(self.store.now)
            upkeep = self.spawn(self._upkeep(self.store))
            try:
                yield self
            finally:
                if upkeep is not None:
                    upkeep.cancel()
                await self._end()

    def join(self, prefix: str, member: Member) -> None:
        """Have a cache hear of the changes to names and tags that begin with `prefix`, "service:cache:"."""
        self._members[prefix] = member

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
        """Run work in the background until the node closes; None where it has closed."""
        if self._closed:
            work.close()
            return None
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def failed(self) -> None:
        """Note that the store failed; the upkeep finds out when it is back."""
        self.down = True

    def changed(self, change: Change) -> None:
        """Hear of a change from the store."""
        if change.action == "tag":
            news = self.knowledge.tag(change.name, change.stamp)
        else:
            self.knowledge.note(change.name, change.stamp)
            news = True
            for waiting in self._waiting.pop(change.name, ()):
                if not waiting.done():
                    waiting.set_result(None)
        if news and (member := self._members.get(_prefix(change.name))) is not None:
            member.changed(change)

    def interrupted(self) -> None:
        """Drop all memory: changes may have been missed."""
        self.knowledge.interrupt()
        for member in self._members.values():
            member.interrupted()

    async def change_of(self, name: str, timeout: float) -> None:
        """Wait until a change of `name` is heard of, or for `timeout` seconds."""
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, set()).add(waiting)
        try:
            await asyncio.wait([waiting], timeout=timeout)
        finally:
            others = self._waiting.get(name)
            if others is not None:
                others.discard(waiting)
                if not others:
                    del self._waiting[name]

    async def _upkeep(self, store: Store) -> None:
        measured = self.clock.monotonic()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            due = self.clock.monotonic() - measured >= _MEASURE_SECONDS
            if not (self.down or due or self.pending):
                continue
            try:
                await self.clock.measure(store.now)
                measured = self.clock.monotonic()
                await self.reconcile(store)
            except StoreDown as error:
                if not self._told_down:
                    self._told_down = self.down = True
                    self._logger().warning("cache_store_down", reason=str(error))
            except Exception as error:
                # What else goes wrong there must not end the upkeep of all caches.
                self._logger().error("cache_upkeep_failed", error=repr(error))
            else:
                if self._told_down:
                    self._told_down = False
                    self._logger().info("cache_store_back")

    @staticmethod
    def _logger() -> Logger:
        # Loaded with the first word to say: declaring a cache does not need it.
        from roadworthy.telemetry.logging import get_logger

        return get_logger(__name__)

    async def reconcile(self, store: Store) -> None:
        """Write what could not be written while the store was away; raise StoreDown where it still is."""
        await self.pending.flush(store, self.clock.now())
        self.down = False
        if self.knowledge.forget_guesses():
            for member in self._members.values():
                member.regenerate()

    async def _end(self) -> None:
        self._closed = True
        tasks = tuple(self._tasks)
        if tasks:
            # What was loaded and is on its way to the store would else be loaded again by the next process.
            await asyncio.wait(tasks, timeout=_ENDING_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _prefix(name: str) -> str:
    service, _, rest = name.partition(":")
    return f"{service}:{rest.partition(':')[0]}:"
