"""Writes in the background who was seen, and tells the metrics how many that are.

A database that is away holds nobody up: sightings wait in memory, and are written when it is back.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

from roadworthy.activity import metrics, postgres
from roadworthy.activity.postgres import Fetch
from roadworthy.activity.sightings import Sightings
from roadworthy.activity.spec import ActivitySpec
from roadworthy.outage import StoreDown
from roadworthy.telemetry.logging import get_logger
from roadworthy.telemetry.registry import MetricRegistry
from roadworthy.waits import growing_waits

log = get_logger(__name__)

WRITE_SECONDS = 5.0
"""How often it is written who was seen: a process that is killed forgets those whom it first saw since."""

_BATCH = 1000
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
_LAST_WRITE_SECONDS = 1.0
_COUNTED_EVERY = 60.0
_IDLE_PER_COUNTING = 49.0
_PRUNED_AT_ONCE = 10_000


def utc_today() -> date:
    """Return the day in UTC."""
    return datetime.now(UTC).date()


class Keeper:
    """The activities of one process. `fetch` runs a statement, and raises StoreDown where that failed."""

    def __init__(
        self,
        specs: Sequence[ActivitySpec],
        fetch: Fetch,
        registry: MetricRegistry,
        *,
        today: Callable[[], date] = utc_today,
    ) -> None:
        """`today` tells the day in UTC."""
        self._specs = tuple(specs)
        self._fetch = fetch
        self._registry = registry
        self._today = today
        self._sightings = {spec.name: Sightings(spec.name, spec.most, today) for spec in specs}
        dropped = {name: registry.bound(metrics.DROPPED).labels(name) for name in self._sightings}
        told = dict.fromkeys(dropped, 0)

        def carry() -> None:
            for name, sightings in self._sightings.items():
                fresh, told[name] = sightings.dropped - told[name], sightings.dropped
                dropped[name].inc(fresh)

        registry.before_reading(carry)

    @property
    def sightings(self) -> Mapping[str, Sightings]:
        """The sightings of each activity, by its name."""
        return self._sightings

    async def write(self) -> None:
        """Write who was seen and is not written yet; raise StoreDown where that failed, and keep them."""
        for name, sightings in self._sightings.items():
            if sightings.locked and sightings.waiting:
                sightings.unlock(await postgres.key(self._fetch))
            while batch := sightings.batch(_BATCH):
                await postgres.note(self._fetch, name, batch)
                sightings.written(batch)

    async def write_forever(self) -> None:
        """Write now and then, until cancelled."""
        waits = growing_waits(_FIRST_WAIT, _LONGEST_WAIT, random.random)
        pause, down = WRITE_SECONDS, False
        while True:
            await asyncio.sleep(pause)
            try:
                await self.write()
            except StoreDown as error:
                if not down:
                    log.warning("who is active cannot be written, and waits", reason=str(error))
                down, pause = True, next(waits)
            else:
                if down:
                    waits = growing_waits(_FIRST_WAIT, _LONGEST_WAIT, random.random)
                down, pause = False, WRITE_SECONDS

    async def close(self) -> None:
        """Write what is left, in a second at most."""
        try:
            async with asyncio.timeout(_LAST_WRITE_SECONDS):
                await self.write()
        except (StoreDown, TimeoutError):
            left = sum(sightings.waiting for sightings in self._sightings.values())
            log.warning("who was active could not be written", sightings=left)

    async def count(self) -> None:
        """Tell the metrics who is active; forget days that were kept for long enough."""
        today = self._today()
        for spec in self._specs:
            metrics.tell(self._registry, spec.name, await postgres.figures(self._fetch, spec.name, today))
            await postgres.prune(self._fetch, spec.name, today - timedelta(days=spec.keep.days), limit=_PRUNED_AT_ONCE)

    async def count_forever(self) -> None:
        """Count now and then, a fiftieth of the time at most, until cancelled."""
        while self._specs:
            began = time.monotonic()
            try:
                await self.count()
            except StoreDown as error:
                log.warning("who is active cannot be counted", reason=str(error))
            await asyncio.sleep(max(_COUNTED_EVERY, (time.monotonic() - began) * _IDLE_PER_COUNTING))
