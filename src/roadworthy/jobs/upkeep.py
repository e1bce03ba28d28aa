"""Removes what was kept long enough, in bounded batches and at a tenth of the time at most. Every worker does it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from roadworthy.errors import DatabaseUnavailable
from roadworthy.jobs.engine import Engine
from roadworthy.jobs.spec import QueueSpec
from roadworthy.telemetry.logging import get_logger

log = get_logger(__name__)

_EVERY = 30.0
_BATCH = 1000
_IDLE_PER_BUSY = 9.0


class Upkeep:
    """Keeps the tables of ended jobs as small as their declarations ask for."""

    def __init__(
        self,
        engine: Engine,
        queues: Sequence[QueueSpec],
        *,
        every: float = _EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`queues` are those whose dead letters it prunes, `every` the seconds between two looks at clean tables."""
        self._engine = engine
        self._queues = tuple(queue for queue in queues if queue.keep_dead is not None)
        self._every = every
        self._clock = clock

    async def run(self) -> None:
        """Prune until cancelled."""
        while True:
            began = self._clock()
            pause = self._every
            try:
                if await self.prune():
                    pause = (self._clock() - began) * _IDLE_PER_BUSY
            except DatabaseUnavailable as error:
                log.warning("cannot prune jobs", reason=str(error))
            await asyncio.sleep(pause)

    async def prune(self) -> bool:
        """Remove a batch of everything that is due; return whether there may be more."""
        most = await self._engine.flows.prune(limit=_BATCH)
        for queue in self._queues:
            if queue.keep_dead is not None:
                most = max(most, await self._engine.flows.prune_dead(queue.name, queue.keep_dead, limit=_BATCH))
        return most >= _BATCH
