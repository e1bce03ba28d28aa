"""The checks that come with a service: its database, Redis and its caches' store answer, its queues are worked off."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from roadworthy.duration import seconds
from roadworthy.health.policy import Reading
from roadworthy.health.spec import Check, Observe

_EVERY = seconds(2)


class Counts(Protocol):
    """A queue as it stands, as the job engine counts it."""

    @property
    def queue(self) -> str: ...
    @property
    def ready(self) -> int: ...
    @property
    def running(self) -> int: ...
    @property
    def dead(self) -> int: ...
    @property
    def oldest_ready_at(self) -> datetime | None: ...


def database_check(ping: Callable[[], Awaitable[object]], *, clock: Callable[[], float] = time.perf_counter) -> Check:
    """Return a critical check that awaits `ping` and tells how many milliseconds it took."""

    return Check("database", _timed("database", ping, clock), every=_EVERY)


def redis_check(ping: Callable[[], Awaitable[object]], *, clock: Callable[[], float] = time.perf_counter) -> Check:
    """Return a check that awaits `ping` and tells how many milliseconds it took; the service goes on without Redis."""
    return Check("redis", _timed("redis", ping, clock), critical=False, every=_EVERY)


def _timed(name: str, ping: Callable[[], Awaitable[object]], clock: Callable[[], float]) -> Observe:
    async def run() -> Sequence[Reading]:
        began = clock()
        await ping()
        return [Reading(f"{name}:responseTime", "pass", round((clock() - began) * 1000, 3), "ms")]

    return run


def queue_check(
    counts: Callable[[], Awaitable[Sequence[Counts]]],
    now: Callable[[], Awaitable[datetime]],
    targets: Mapping[str, timedelta],
    consumers: Callable[[], Awaitable[Mapping[str, int]]],
) -> Check:
    """Return a check of each queue in `targets`: it warns where the oldest ready job waits longer than the target.

    `now` is the clock of the engine that stamped the jobs, `consumers` counts the workers that take jobs, by queue.
    While jobs wait and none does, that is a warning, and a failure once they wait longer than the target.
    """

    async def run() -> Sequence[Reading]:
        found = {count.queue: count for count in await counts()}
        moment = await now()
        workers = await consumers()
        readings: list[Reading] = []
        for queue, target in targets.items():
            count = found.get(queue)
            oldest = count.oldest_ready_at if count is not None else None
            age = max(moment - oldest, timedelta(0)) if oldest is not None else timedelta(0)
            late = age > target
            alone = age > timedelta(0) and not workers.get(queue, 0)
            readings += [
                Reading(f"{queue}:ready", "pass", count.ready if count else 0, "jobs"),
                Reading(f"{queue}:running", "pass", count.running if count else 0, "jobs"),
                Reading(f"{queue}:dead", "pass", count.dead if count else 0, "jobs"),
                Reading(
                    f"{queue}:workers",
                    ("fail" if late else "warn") if alone else "pass",
                    workers.get(queue, 0),
                    "workers",
                    "jobs wait, and no worker takes them" if alone else None,
                ),
                Reading(
                    f"{queue}:oldestReady",
                    "warn" if late else "pass",
                    round(age.total_seconds(), 3),
                    "s",
                    f"waits longer than the target of {target.total_seconds():g} s" if late else None,
                ),
            ]
        return readings

    return Check("queues", run, critical=False, every=_EVERY)


def cache_check(
    ping: Callable[[], Awaitable[object]] | None,
    hit_ratios: Callable[[], Mapping[str, float]],
    waiting: Callable[[], int],
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> Check:
    """Return a check that tells the share of hits of each cache, and how long their store took to answer a `ping`.

    A store that does not answer is a warning: caches go on without it. `waiting` counts the changes that it has to
    make up for. Without a `ping`, there is none.
    """

    async def run() -> Sequence[Reading]:
        readings = [Reading(f"{name}:hitRatio", "pass", round(ratio, 4)) for name, ratio in hit_ratios().items()]
        if ping is None:
            return readings
        began = clock()
        try:
            await ping()
        except Exception as error:
            missed = f"does not answer ({error}); {waiting()} changes wait for it"
            return [*readings, Reading("caches:store", "warn", output=missed)]
        return [*readings, Reading("caches:store", "pass", round((clock() - began) * 1000, 3), "ms")]

    return Check("caches", run, critical=False)
