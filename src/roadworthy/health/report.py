"""The health of a process: its own state, the lag of its loop, and checks that are looked at in the background."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from roadworthy.health import metrics
from roadworthy.health.lag import INTERVAL, SHORTLY, LoopLag
from roadworthy.health.policy import HealthState, Result, Status, document, overall, readiness
from roadworthy.health.spec import LIVE, Check
from roadworthy.health.watch import Watch
from roadworthy.telemetry.logging import get_logger

if TYPE_CHECKING:
    from roadworthy.telemetry.registry import MetricRegistry

_log = get_logger(__name__)

PATIENCE = timedelta(milliseconds=25)
"""How long a probe waits for a look where nothing that counts is known: half of what it may be delayed in all."""

_ENDED_WITHIN = 1.0
_TURNS = 20


class Health:
    """The health of a process.

    Within `running`, checks are looked at in the background and answers are what was seen last. Otherwise nobody owns
    what would run in the background, and whoever asks waits for the looks that are due.
    """

    def __init__(
        self,
        state: Callable[[], HealthState],
        checks: Sequence[Check] = (),
        *,
        service: str = "",
        version: str = "",
        lag: LoopLag | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """`state` tells the process's own state.

        `clock` (seconds, rising) measures, `now` (UTC) stamps the report, `sleep` waits for so many seconds, and `draw`
        (from 0 to 1) jitters.
        """
        self.watches = tuple(Watch(check, clock, now) for check in checks)
        self.lag = LoopLag() if lag is None else lag
        self._for_readiness = tuple(watch for watch in self.watches if watch.check.readiness)
        self._state = state
        self._service = service
        self._version = version
        self._clock = clock
        self._sleep = sleep
        self._draw = draw
        self._running = False

    @asynccontextmanager
    async def running(self, registry: MetricRegistry | None = None) -> AsyncIterator[None]:
        """Look at the checks, and measure the loop, within an `async with`; tell `registry` of both.

        Where they are looked at already, that goes on, and nothing is added.
        """
        if self._running:
            yield
            return
        if registry is not None:
            metrics.track(registry, self)
        context = copy_context()
        for watch in self.watches:
            watch.begin(context)
        self._running = True
        keeping = asyncio.create_task(self._keep(), name="health")
        try:
            yield
        finally:
            self._running = False
            keeping.cancel()
            ending = [keeping, *(task for watch in self.watches for task in watch.cancel())]
            # What a hung server keeps from ending is left to the end of the process.
            await asyncio.wait(ending, timeout=_ENDED_WITHIN)

    def live(self) -> Status:
        """Return `fail` where the event loop has lagged for so long that another process should take its place."""
        return "pass" if self.lag.lagging_for(self._clock()) is None else "fail"

    def started(self) -> Status:
        """Return `pass` once the startup is over."""
        return "pass" if self._state().started else "fail"

    async def ready(self) -> Status:
        """Return whether requests should be sent here."""
        state = self._state()
        if not self._for_readiness or not state.started or state.draining:
            return readiness(state, ())
        return readiness(state, await self._results(self._for_readiness))

    async def status(self) -> Status:
        """Return the status of the whole, without its details."""
        return overall(await self._results(self.watches), self._state())

    async def report(self, group: str | None = None, *, patience: timedelta | None = PATIENCE) -> Mapping[str, Any]:
        """Return the whole as a health+json object, or that of the checks in `group`.

        Where nothing that counts is known of a check, its look is waited for `patience` long, with None until it ends.

        Raises:
            KeyError: no check is in the group.
        """
        watches = self.watches if group is None else self._group(group)
        results = await self._results(watches, patience)
        state = self._state()
        status = overall(results, state if group is None else None)
        return document(status, results, service=self._service, version=self._version, notes=state.notes)

    def groups(self) -> tuple[str, ...]:
        """Return the names under which there are reports of some checks alone."""
        return tuple(sorted({name for watch in self.watches for name in (watch.check.name, *watch.check.groups)}))

    def ask(self) -> None:
        """Have all checks be looked at in the background, as a question for them would."""
        for watch in self.watches:
            watch.ask()

    def _group(self, name: str) -> Sequence[Watch]:
        found = [watch for watch in self.watches if watch.check.in_group(name)]
        if not found:
            raise KeyError(name)
        return found

    async def _results(self, watches: Sequence[Watch], patience: timedelta | None = PATIENCE) -> list[Result]:
        """Return a result of each check, waiting for looks only where nothing else is known."""
        kept = self._running
        looks, live = [], []
        for watch in watches:
            watch.ask()
            if watch.check.every == LIVE and watch.due:
                live.append(watch.look())
            elif watch.stale or (watch.due and not kept):
                looks.append(watch.look())
        if looks or live:
            seconds = patience.total_seconds() if kept and patience is not None else None
            await asyncio.wait([*looks, *live], timeout=seconds)
        for _ in range(_TURNS):
            # What is in memory waits for nothing but its turns, which come late where the loop lags.
            if all(look.done() for look in live):
                break
            await asyncio.sleep(0)
        return [watch.result() for watch in watches]

    async def _keep(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._heed(), name="event loop")
            for watch in self.watches:
                if watch.check.every > LIVE:
                    group.create_task(watch.keep(self._sleep, self._draw), name=f"check {watch.check.name}")

    async def _heed(self) -> None:
        """Measure how late the event loop wakes what is due."""
        lagged = False
        while True:
            # What is due long after a block of work has ended is not late for it; what is due soon after, for the next.
            late = max(await self._late(INTERVAL), await self._late(SHORTLY))
            now = self._clock()
            self.lag.note(now - late, now)
            if lagged != (lagged := self.live() == "fail"):
                if lagged:
                    _log.critical("the event loop lags, and liveness fails", worst=round(self.worst_lag(), 3))
                else:
                    _log.info("the event loop keeps up again")

    async def _late(self, seconds: float) -> float:
        due = self._clock() + seconds
        await self._sleep(seconds)
        return self._clock() - due

    def worst_lag(self) -> float:
        """Return how late, in seconds, the event loop woke what was due, at worst in the last half minute."""
        return self.lag.worst(self._clock())
