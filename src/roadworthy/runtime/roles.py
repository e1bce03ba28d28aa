"""What a process does once its service is bound: serve requests, run jobs, or fire schedules, until told to stop."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from roadworthy.binding import Binding
from roadworthy.errors import RoadworthyError
from roadworthy.http.stack import Stack
from roadworthy.jobs.scheduler import Scheduler
from roadworthy.jobs.spec import QueueSpec
from roadworthy.jobs.worker import Worker
from roadworthy.runtime.control import ProcessState
from roadworthy.runtime.signals import Stop
from roadworthy.runtime.web import serving
from roadworthy.service import ASGIApp, ServiceSpec

Changed = Callable[[ProcessState], Awaitable[None]]

BLOCKED = 71
"""The exit code of a worker whose event loop was blocked for too long."""

_STALLED_AFTER = 5.0
_LOOK_EVERY = 1.0
_UNDER_WAY = 0.8
"""The share of the grace that work under way has; the rest is for what follows it."""


async def serve(
    app: ASGIApp, listener: socket.socket, *, stop: Stop, grace: timedelta, drain_delay: timedelta, changed: Changed
) -> None:
    """Serve `app` until told to stop; then be unready for `drain_delay`, so that load balancers notice, and finish.

    Raises:
        RoadworthyError: the application failed to start, or its server ended by itself.
    """
    async with serving(app, listener, grace=grace * _UNDER_WAY) as server:
        await changed("ready")
        await _first(stop.requested.wait(), server.ended())
        if not stop.requested.is_set():
            raise RoadworthyError("the HTTP server ended by itself; its log says why")
        await changed("draining")
        if isinstance(app, Stack):
            app.drain.start()
        await _first(stop.forced.wait(), asyncio.sleep(drain_delay.total_seconds()))


async def work(
    binding: Binding,
    spec: ServiceSpec,
    queues: Sequence[QueueSpec],
    *,
    name: str,
    stop: Stop,
    grace: timedelta,
    changed: Changed,
    retired: asyncio.Event | None = None,
    series: str | None = None,
) -> None:
    """Run the jobs of `queues` until told to stop; those under way then finish within the grace, or are given back.

    Once `retired` is set, no more are taken, and the end comes when the last has finished. Where a job blocks the event
    loop for longer than a lease lasts, the process ends with the code `BLOCKED`. `series` is its label in metrics,
    where `name` is never the same twice.

    Raises:
        WorkerStuck: all slots of a queue were taken by jobs that do not end.
    """
    worker = Worker(
        binding.engine,
        spec.jobs,
        queues,
        name=name,
        series=series,
        metrics=binding.metrics,
        abandon=lambda: os._exit(BLOCKED),
        keys=binding.keys,
        tracing=binding.tracing,
        reports=binding.error_reports,
    )
    await changed("ready")
    beside = [
        asyncio.create_task(_retire(worker, retired or asyncio.Event(), stop), name="retire"),
        asyncio.create_task(_watch(worker, stop, changed), name="liveness"),
    ]
    try:
        await worker.run(stop.requested, grace * _UNDER_WAY)
    finally:
        for task in beside:
            task.cancel()


async def _watch(worker: Worker, stop: Stop, changed: Changed) -> None:
    """Say when the worker takes no jobs any more, and when it does again."""
    loop = asyncio.get_running_loop()
    consumed_at, stalled = loop.time(), False
    while not stop.requested.is_set():
        if worker.consumes:
            consumed_at = loop.time()
        if stalled != (stalled := loop.time() - consumed_at > _STALLED_AFTER):
            await changed("stalled" if stalled else "ready")
        await asyncio.sleep(_LOOK_EVERY)


async def _retire(worker: Worker, retired: asyncio.Event, stop: Stop) -> None:
    await retired.wait()
    await worker.retire()
    stop.requested.set()


async def schedule(binding: Binding, spec: ServiceSpec, *, stop: Stop, changed: Changed) -> None:
    """Enqueue every scheduled job when it is due, and count who is active, until told to stop."""
    scheduler = Scheduler(binding.engine, spec.jobs, spec.queues, metrics=binding.metrics, keys=binding.keys)
    await changed("ready")
    counting = None if binding.activities is None else asyncio.create_task(binding.activities.count_forever())
    try:
        await scheduler.run(stop.requested)
    finally:
        if counting is not None:
            counting.cancel()
            await asyncio.wait([counting], timeout=1)


async def _first(*waits: Awaitable[object]) -> None:
    """Wait for the first of several, and end the others."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
