"""What every worker does for its queues and no single job asks for, at a tenth of the time at most, but for rates.

tend ── make due jobs ready, take back what dead workers held, put limits right
prune ── remove what was kept long enough, in bounded batches
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence

from roadworthy.jobs.engine import Engine
from roadworthy.jobs.limits import LimitRule
from roadworthy.jobs.persistence import persist
from roadworthy.jobs.record import Record
from roadworthy.jobs.spec import QueueSpec
from roadworthy.telemetry.logging import get_logger

log = get_logger(__name__)

_IDLE_PER_BUSY = 9.0
_LONGEST_REST = 10.0
_PRUNED_EVERY = 30.0
_BATCH = 1000


class Upkeep:
    """Keeps queues moving and the tables of ended jobs small."""

    def __init__(
        self,
        engine: Engine,
        queues: Sequence[QueueSpec],
        rules: Sequence[LimitRule],
        record: Record,
        *,
        poll: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`rules` are the limits of `queues`, `poll` the most seconds between two looks for due jobs."""
        self._engine = engine
        self._queues = tuple(queues)
        self._rules = tuple(rules)
        self._record = record
        self._every = min(min(queue.lease for queue in queues).total_seconds() / 2, 5.0)
        self._poll = min(poll, self._every)
        self._clock = clock
        self._look = asyncio.Event()
        # Each turn of a rate that is found late may be lost.
        rated = any(rule.spacing is not None for rule in rules)
        self._idle_per_busy = 1.0 if rated else _IDLE_PER_BUSY

    def look(self) -> None:
        """Ask again what is due next: a claim may have used a rate up."""
        self._look.set()

    async def tend(self) -> None:
        """Keep the queues moving until cancelled."""
        rescue_at = self._clock()
        while True:
            self._look.clear()
            began = self._clock()
            due = await persist(self._engine.promote, "make due jobs ready")
            pause = self._poll
            if due is not None:
                pause = min(max(due.total_seconds(), 0.001), pause)
            rest = min((self._clock() - began) * self._idle_per_busy, _LONGEST_REST)
            if self._clock() >= rescue_at:
                began = self._clock()
                await self._rescue()
                await persist(self._mend, "mend limits")
                ended = self._clock()
                rescue_at = ended + max(self._every, (ended - began) * _IDLE_PER_BUSY)
            await asyncio.sleep(rest)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause - rest):
                    await self._look.wait()

    async def _mend(self) -> None:
        await self._engine.mend([queue.name for queue in self._queues], self._rules)

    async def _rescue(self) -> None:
        for rescued in await persist(self._engine.rescue, "rescue jobs"):
            self._record.rescued(rescued)
            log.warning(
                "job buried: its worker vanished in its last attempt" if rescued.buried else "job rescued",
                queue=rescued.queue,
                job=rescued.job,
                job_id=rescued.id,
                attempt=rescued.attempt,
                worker_lost=rescued.worker,
            )

    async def prune(self) -> None:
        """Keep the tables of ended jobs as small as was declared, until cancelled."""
        while True:
            began = self._clock()
            more = await persist(self.prune_once, "prune jobs")
            took = self._clock() - began
            # More than that would be needed only by who keeps jobs faster than they can be deleted.
            await asyncio.sleep(took if more else _PRUNED_EVERY)

    async def prune_once(self) -> bool:
        """Remove a batch of everything that is due; return whether there may be more."""
        most = await self._engine.flows.prune(limit=_BATCH)
        for queue in self._queues:
            if queue.keep_dead is not None:
                most = max(most, await self._engine.flows.prune_dead(queue.name, queue.keep_dead, limit=_BATCH))
        return most >= _BATCH
