"""What a worker asks the engine about the jobs that it holds: whether they still are its own, and still wanted."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial

from roadworthy.jobs.engine import Engine
from roadworthy.jobs.lane import Held
from roadworthy.jobs.persistence import persist

_HEEDS_WITHIN = 1.0
_HEEDS_IDLE = 5.0


async def renew(
    engine: Engine,
    held: Mapping[int, Held],
    interval: float,
    clock: Callable[[], float],
    lost: Callable[[Held], None],
) -> None:
    """Renew the leases of all that is `held`, every `interval` seconds; say which were `lost`. Runs until cancelled."""
    while True:
        await asyncio.sleep(interval)
        by_lease: dict[timedelta, list[tuple[int, int]]] = defaultdict(list)
        for one in held.values():
            by_lease[one.lane.lease].append((one.job.id, one.job.lease))
        for lease, leases in by_lease.items():
            asked_at = 0.0

            async def heartbeat(lease: timedelta = lease, leases: list[tuple[int, int]] = leases) -> set[int]:
                nonlocal asked_at
                asked_at = clock()
                return await engine.heartbeat(leases, lease=lease)

            gone = await persist(heartbeat, "renew leases")
            for id, fence in leases:
                found = held.get(id)
                if found is None or found.job.lease != fence:
                    continue
                if id not in gone:
                    found.renewed_at = asked_at
                elif not found.finished and not (found.current is not None and found.current.finished):
                    # One that finished meanwhile is the report's to judge.
                    lost(found)


async def heed(
    engine: Engine,
    worker: str,
    held: Mapping[int, Held],
    clock: Callable[[], float],
    unwanted: Callable[[Held], None],
) -> None:
    """Say which of all that is `held` somebody wants cancelled, within a second or so. Runs until cancelled."""
    heeded_at = 0.0
    while True:
        await asyncio.sleep(_HEEDS_WITHIN)
        if not held and clock() - heeded_at < _HEEDS_IDLE:
            continue
        heeded_at = clock()
        asked = await persist(lambda: engine.flows.cancellations(worker), "look for cancellations")
        for id, lease in asked.running:
            found = held.get(id)
            if found is not None and found.job.lease == lease and not found.finished:
                unwanted(found)
        if asked.waiting:
            await persist(partial(engine.flows.cancel, asked.waiting), "cancel jobs")
