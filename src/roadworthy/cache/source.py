"""The source behind a cache: asked by one caller at a time, within time-outs, in the background where that will do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar

from roadworthy.cache.counting import Counts
from roadworthy.cache.flight import Flight
from roadworthy.cache.lease import Lease, renewed
from roadworthy.cache.node import Node
from roadworthy.cache.record import Entry
from roadworthy.cache.store import Store, StoreDown
from roadworthy.cache.tags import EVERYTHING
from roadworthy.cache.tiers import Tiers, retyped
from roadworthy.cache.values import Codec
from roadworthy.errors import NotRunning, SourceCancelled, SourceTimeout
from roadworthy.telemetry.logging import get_logger
from roadworthy.telemetry.tracing import SPAN, span

T = TypeVar("T")

log = get_logger(__name__)

_LEASE = 5.0
"""Seconds after which others go on without a process that died while it loaded."""

_FIRST_LOOK = 0.02
_LONGEST_LOOK = 0.25
_BUSY_SECONDS = 0.25
_MOST_REFRESHES = 64
_MOST_THROTTLED = 10_000
_SILENCE_SECONDS = 10.0
_LATEST = 10
"""Times the time-out that a loading may take before it is cut short."""


class Bypassed(Exception):
    """The caller is in a transaction and nothing is cached: it has to ask the source itself, and nothing is kept."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a caller wants: the value under a name, or whatever `load` returns."""

    name: str
    codec: Codec
    load: Callable[[], Awaitable[Any]]
    tags: tuple[str, ...] = ()
    ttl: timedelta | None = None


class Source:
    """Loads what the tiers do not have.

    `transacting` says whether the calling task is in a database transaction. What is loaded there may never be
    committed, and what is loaded elsewhere may wait for it: such a caller is served what is cached, or Bypassed.
    """

    def __init__(self, tiers: Tiers, transacting: Callable[[], bool]) -> None:
        """Load for `tiers`."""
        self._tiers = tiers
        self._node: Node = tiers.node
        self._counts: Counts = tiers.counts
        self._spec = tiers.spec
        self.transacting = transacting
        self._timeout = None if self._spec.timeout is None else self._spec.timeout.total_seconds()
        self._soft = None if self._spec.soft_timeout is None else self._spec.soft_timeout.total_seconds()
        self._flights: dict[str, Flight[Entry | None]] = {}
        self._refreshes: set[Flight[Entry | None]] = set()
        self._throttled: dict[str, float] = {}
        self._silent_until = 0.0

    async def obtain(self, ask: Ask) -> Entry:
        """Return the entry of a name, loaded where that is necessary.

        Raises:
            Bypassed, SourceTimeout, SourceCancelled, InvalidValue: as their names say.
            Exception: whatever the source raised, where no stale value is at hand.
        """
        entry, state = await self._tiers.find(ask.name, ask.codec)
        if entry is None:
            if self.transacting():
                raise Bypassed
            return await self._loaded(ask)
        if state == "fresh" or self.transacting():
            return entry
        if state == "early" or self._soft is None:
            self.refresh_soon(ask, entry)
            return entry
        if self._is_throttled(ask.name):
            return entry
        flight = self._flight(ask, entry.stamp)
        if not await flight.wait(self._soft):
            self._counts.late += 1
            return entry
        try:
            newer = flight.result()
        except Exception:
            return entry
        return (newer and retyped(newer, ask.codec)) or entry

    async def refresh(self, ask: Ask) -> Entry:
        """Load a name's value now, whatever is cached, and return its entry; raises as `obtain`."""
        if self.transacting():
            raise Bypassed
        return await self._loaded(ask, forced=True)

    def refresh_soon(self, ask: Ask, entry: Entry) -> None:
        """Load the value in the background, unless that is done already, or failed a moment ago."""
        if self.may_refresh(ask.name):
            flight = self._flight(ask, entry.stamp)
            self._refreshes.add(flight)
            flight.when_done(lambda: self._refreshed(ask.name, flight))

    def _refreshed(self, name: str, flight: Flight[Entry | None]) -> None:
        self._refreshes.discard(flight)
        error, now = flight.error, self._node.clock.monotonic()
        ending = isinstance(error, SourceCancelled | NotRunning)
        if error is not None and not ending and now >= self._silent_until:
            # No caller hears of it; of the many keys of a source that is away, one line tells enough.
            self._silent_until = now + _SILENCE_SECONDS
            log.warning("a cached value could not be refreshed; it is served on", name=name, error=repr(error))

    def may_refresh(self, name: str) -> bool:
        """Return whether a name may be loaded in the background: it is not yet, nor has failed a moment ago."""
        return name not in self._flights and len(self._refreshes) < _MOST_REFRESHES and not self._is_throttled(name)

    async def _loaded(self, ask: Ask, forced: bool = False) -> Entry:
        wait = self.patience(ask.name.removeprefix(self._tiers.prefix))
        while True:
            entry = await wait(self._flight(ask, 0, forced))
            # None where another process refreshes what a third caller had a stale value of.
            if entry is not None and (typed := retyped(entry, ask.codec)) is not None:
                return typed

    def patience(self, what: str) -> Callable[[Flight[Entry | None]], Awaitable[Entry | None]]:
        """Return how to wait for flights, together for as long as the time-out; then SourceTimeout is raised."""
        clock = self._node.clock.monotonic
        deadline = None if self._timeout is None else clock() + self._timeout

        async def wait(flight: Flight[Entry | None]) -> Entry | None:
            if not await flight.wait(None if deadline is None else max(deadline - clock(), 0)):
                self._counts.late += 1
                raise SourceTimeout(
                    f"the source of cache {self._spec.name!r} gave no {what!r} within timeout={self._timeout:g} s; "
                    "ask again later, when it may be there"
                )
            return flight.result()

        return wait

    def superseded(self, name: str, flight: Flight[Entry | None], tags: tuple[str, ...]) -> bool:
        """Return whether something newer is known than what a flight asked its source for."""
        if flight.stamp is None:
            return False
        knowledge = self._tiers.knowledge
        if flight.stamp < knowledge.newest(name):
            return True
        prefix = self._tiers.prefix
        return any(flight.stamp <= (knowledge.stamp_of(prefix + tag) or 0) for tag in (EVERYTHING, *tags))

    def _flight(self, ask: Ask, than: int, forced: bool = False) -> Flight[Entry | None]:
        """Join the loading that is under way for a name, or begin one; only newer than stamp `than` will do."""
        flight = None if forced else self.under_way(ask.name, ask.tags)
        if flight is None:
            flight = self.begin(ask.name)
            self.start(flight.run(self._fly(ask, flight, than, forced)), [flight])
        return flight

    def under_way(self, name: str, tags: tuple[str, ...]) -> Flight[Entry | None] | None:
        """Return the loading of a name that a caller of now may wait for."""
        flight = self._flights.get(name)
        return None if flight is None or flight.done or self.superseded(name, flight, tags) else flight

    def begin(self, name: str) -> Flight[Entry | None]:
        """Return a new loading for callers to join; `start` it, and `end` it."""
        flight = self._flights[name] = Flight()
        return flight

    def start(self, work: Coroutine[Any, Any, None], flights: Iterable[Flight[Entry | None]]) -> None:
        """Have `work` land these flights, in the background."""
        if self._node.spawn(work) is None:
            for flight in flights:
                flight.fail(NotRunning(f"cache {self._spec.name!r}"))

    def end(self, name: str, flight: Flight[Entry | None]) -> None:
        """Have callers join a loading no more."""
        if self._flights.get(name) is flight:
            del self._flights[name]

    def limit(self) -> AbstractAsyncContextManager[Any]:
        """Return the limit on a loading, whoever waits for it."""
        return asyncio.timeout(None if self._timeout is None else _LATEST * self._timeout)

    async def _fly(self, ask: Ask, flight: Flight[Entry | None], than: int, forced: bool) -> Entry | None:
        try:
            async with self.limit():
                store = self._node.store
                if self._tiers.remote is None or store is None or not self._spec.lock or forced:
                    return await self._load(ask, flight)
                return await self._in_turn(store, ask, flight, than)
        finally:
            self.end(ask.name, flight)

    async def _in_turn(self, store: Store, ask: Ask, flight: Flight[Entry | None], than: int) -> Entry | None:
        token = self._node.token
        turn = await self._turn(store, ask, than, token)
        if isinstance(turn, Entry):
            return turn
        if turn == "busy":
            self._throttle(ask.name, _BUSY_SECONDS)
            return None
        if turn == "alone":
            return await self._load(ask, flight)
        async with renewed(store, ask.name, token, _LEASE, Lease(0)):
            try:
                return await self._load(ask, flight)
            except BaseException as error:
                # Callers need not wait until the lock is given back.
                flight.fail(error)
                raise

    async def _turn(self, store: Store, ask: Ask, than: int, token: str) -> Literal["held", "busy", "alone"] | Entry:
        """Wait until this process may ask the source, or another one has; with a stale value at hand, do not wait."""
        delay = _FIRST_LOOK
        try:
            while True:
                held = await store.acquire(ask.name, token, _LEASE)
                found = await self._newer(ask, than)
                if found is not None:
                    if held:
                        await store.release(ask.name, token)
                    return found
                if held:
                    return "held"
                if than:
                    return "busy"
                await self._node.change_of(ask.name, delay)
                delay = min(delay * 1.5, _LONGEST_LOOK)
        except StoreDown:
            self._node.failed()
            return "alone"

    async def _newer(self, ask: Ask, than: int) -> Entry | None:
        """Return what another process has put into the store meanwhile."""
        remote = self._tiers.remote
        if remote is None:
            return None
        mark = self._tiers.knowledge.mark()
        entry = await remote.get(ask.name)
        if entry is None or entry.stamp <= than or not ask.codec.fill(entry):
            return None
        if self._tiers.state_of(entry) in ("stale", "dead"):
            return None
        self._tiers.admit(ask.name, entry, mark)
        return entry

    async def _load(self, ask: Ask, flight: Flight[Entry | None]) -> Entry:
        await self._tiers.learn(ask.tags)
        clock = self._node.clock
        stamp = flight.stamp = clock.value(self._tiers.heard(ask.name, ask.tags))
        mark = self._tiers.knowledge.mark()
        value, cost = await self.timed(ask.load, [ask.name])
        entry = self._tiers.made(value, ask.codec, stamp=stamp, cost=cost, tags=ask.tags, ttl=ask.ttl)
        self._tiers.admit(ask.name, entry, mark)
        if self._tiers.local is not None:
            # Callers need not wait for the store: whoever comes next finds it in memory.
            flight.land(entry)
        await self._tiers.share(ask.name, entry)
        return entry

    async def timed(self, load: Callable[[], Awaitable[T]], names: Sequence[str]) -> tuple[T, float]:
        """Await the source for these names; return what it gave and in how many seconds."""
        monotonic = self._node.clock.monotonic
        began = monotonic()
        try:
            if SPAN.get() is None:
                value = await load()
            else:
                with span(f"load {self._spec.name}", "internal", {"roadworthy.cache": self._spec.name}):
                    value = await load()
        except BaseException:
            self._counts.load_errors += len(names)
            for name in names:
                self._throttle(name, self._spec.retry_after.total_seconds())
            raise
        cost = monotonic() - began
        self._counts.loaded += len(names)
        self._counts.observe(cost)
        for name in names:
            self._throttled.pop(name, None)
        return value, cost

    def _throttle(self, name: str, seconds: float) -> None:
        self._throttled.pop(name, None)
        self._throttled[name] = self._node.clock.monotonic() + seconds
        if len(self._throttled) > _MOST_THROTTLED:
            del self._throttled[next(iter(self._throttled))]

    def _is_throttled(self, name: str) -> bool:
        until = self._throttled.get(name)
        if until is None:
            return False
        if self._node.clock.monotonic() < until:
            return True
        del self._throttled[name]
        return False
