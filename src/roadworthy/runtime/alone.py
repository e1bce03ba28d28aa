"""One role in this process, for services that are spread over many machines: serve, work or schedule.

The database runs already, and `roadworthy migrate` has prepared it. Each process has an operations port of its own.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta

from roadworthy.binding import Binding
from roadworthy.database import driver, migration
from roadworthy.errors import MigrationError, TargetError
from roadworthy.health.policy import HealthState
from roadworthy.jobs.sealing import keys_of
from roadworthy.jobs.spec import QueueSpec
from roadworthy.runtime import operations, roles
from roadworthy.runtime.control import ProcessState
from roadworthy.runtime.lifecycle import existing, migrations, opened
from roadworthy.runtime.listener import address, drain_delay, listen
from roadworthy.runtime.observing import observing
from roadworthy.runtime.settings import Settings
from roadworthy.runtime.signals import Stop, stopping
from roadworthy.runtime.target import Target, application
from roadworthy.runtime.web import serving
from roadworthy.service import ASGIApp, ServiceSpec
from roadworthy.telemetry.logging import get_logger

Say = Callable[[str], None]
Play = Callable[[Binding, Stop, roles.Changed], Awaitable[None]]

_log = get_logger(__name__)

_OPERATIONS_GRACE = timedelta(seconds=1)


async def serve(target: Target, settings: Settings, say: Say) -> bool:
    """Serve the service's application until a signal; return whether everything ended within the grace.

    Raises:
        TargetError: the service has no application.
    """
    app = application(target)
    if app is None:
        raise TargetError(
            f"service {target.service.name!r} has no ASGI application. Call service.install(app) beside its "
            "declaration, in api.py, app.py, web.py or main.py, or declare Service(..., app='package.module:app')"
        )
    with listen(settings.host, settings.port, "ROADWORTHY_PORT") as listener:
        delay = drain_delay(settings.host, settings.drain)

        async def play(binding: Binding, stop: Stop, changed: roles.Changed) -> None:
            await roles.serve(app, listener, stop=stop, grace=settings.drain, drain_delay=delay, changed=changed)

        return await _alone(target, settings, "web", address(listener), play, say, app)


async def work(
    target: Target, settings: Settings, say: Say, *, queues: Sequence[str] = (), concurrency: int | None = None
) -> bool:
    """Run the jobs of `queues`, of all by default, until a signal; return whether everything ended within the grace.

    `concurrency` is how many jobs of a queue run at once, by default what the queue declares.

    Raises:
        TargetError: the service has no such queue.
    """
    spec = target.service.spec
    declared = {queue.name: queue for queue in spec.queues}
    if unknown := [name for name in queues if name not in declared]:
        raise TargetError(f"service {spec.name!r} has no queue {unknown[0]!r}; it has: {', '.join(declared) or 'none'}")
    chosen = [declared[name] for name in queues or declared]
    if not chosen:
        raise TargetError(f"service {spec.name!r} declares no queue, so there is nothing to work on")
    chosen = [_at_once(queue, concurrency) for queue in chosen]
    name = f"worker-{os.uname().nodename}-{os.getpid()}"

    async def play(binding: Binding, stop: Stop, changed: roles.Changed) -> None:
        # Whoever scrapes tells machines and pods apart; a process id among the labels would make series without end.
        await roles.work(
            binding, spec, chosen, name=name, series="worker", stop=stop, grace=settings.drain, changed=changed
        )

    return await _alone(target, settings, name, f"working on {', '.join(queue.name for queue in chosen)}", play, say)


async def schedule(target: Target, settings: Settings, say: Say) -> bool:
    """Enqueue the service's repeating jobs until a signal; return whether everything ended within the grace."""
    spec = target.service.spec

    async def play(binding: Binding, stop: Stop, changed: roles.Changed) -> None:
        await roles.schedule(binding, spec, stop=stop, changed=changed)

    return await _alone(target, settings, "scheduler", "scheduling", play, say)


async def _alone(
    target: Target, settings: Settings, name: str, what: str, play: Play, say: Say, app: ASGIApp | None = None
) -> bool:
    service = target.service
    spec = service.spec
    for warning in settings.warnings:
        _log.warning(warning)
    state: ProcessState = "starting"

    async def changed(now: ProcessState) -> None:
        nonlocal state
        began, state = state == "starting", now
        if began and now == "ready":
            say(f"ready  {what}  ({spec.name} {spec.version})")

    with ExitStack() as held:
        private = held.enter_context(
            listen(settings.operations_host, settings.operations_port, "ROADWORTHY_OPERATIONS_PORT")
        )
        stop = held.enter_context(stopping())

        # The scheduler tells of what all share; a service without queues has none.
        observes = name == "scheduler" or not spec.queues

        async def run() -> bool:
            dsn = existing(settings)
            async with (
                opened(
                    spec,
                    dsn,
                    name=name,
                    keys=keys_of(settings.encryption_keys),
                    environment=os.environ,
                    redis_url=settings.redis_url,
                    data_directory=settings.data_directory,
                    trusted_proxies=settings.trusted_proxies,
                    processes=settings.processes,
                ) as binding,
                service.bind(binding),
            ):
                await _require_migrated(binding, spec)
                health = operations.single(
                    spec,
                    binding,
                    lambda: HealthState(state != "starting", stop.requested.is_set()),
                    name,
                    lambda: state,
                    app=app,
                )
                async with (
                    observing(spec, binding, dsn if observes else None),
                    serving(health, private, grace=_OPERATIONS_GRACE),
                ):
                    say(f"operations  {address(private)}/health")
                    return await _within_grace(play(binding, stop, changed), stop)

        return await stop.interrupting(run(), lambda: state == "starting")


async def _require_migrated(binding: Binding, spec: ServiceSpec) -> None:
    async with driver.reaching(), binding.pool.acquire() as connection:
        missing = await migration.pending(connection, migrations(spec))
    if missing:
        raise MigrationError(
            f"the database has not seen {len(missing)} of this version's migrations, beginning with {missing[0].file}. "
            "Run `roadworthy migrate` first"
        )


async def _within_grace(playing: Awaitable[None], stop: Stop) -> bool:
    """Wait for the role to end; return False where a second signal cut it short."""
    role = asyncio.ensure_future(playing)
    forced = asyncio.ensure_future(stop.forced.wait())
    try:
        await asyncio.wait([role, forced], return_when=asyncio.FIRST_COMPLETED)
        if not role.done():
            return False
        await role
        return True
    finally:
        forced.cancel()
        role.cancel()
        await asyncio.wait([role])


def _at_once(queue: QueueSpec, concurrency: int | None) -> QueueSpec:
    return queue if concurrency is None else replace(queue, concurrency=concurrency)
