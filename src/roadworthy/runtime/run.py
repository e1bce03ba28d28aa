"""`roadworthy run`: a whole service on one machine, in processes of their own around this one.

In order: bind the ports, start PostgreSQL, migrate, start the processes, serve operations; and back in reverse. A
signal before the processes have started ends the start where it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from random import random

from roadworthy.binding import Binding
from roadworthy.database import migration
from roadworthy.database.spec import DatabaseSpec
from roadworthy.errors import RoadworthyError
from roadworthy.health.policy import HealthState
from roadworthy.runtime import operations
from roadworthy.runtime.autoscaler import Autoscaler, worker_plan
from roadworthy.runtime.embedded import EmbeddedPostgres
from roadworthy.runtime.lifecycle import migrations, opened
from roadworthy.runtime.listener import address, drain_delay, listen
from roadworthy.runtime.observing import observing
from roadworthy.runtime.probe import until_ready
from roadworthy.runtime.restart import RestartPolicy
from roadworthy.runtime.settings import Settings
from roadworthy.runtime.signals import Stop, stopping
from roadworthy.runtime.supervisor import Process, ProcessPlan, Supervisor, Surroundings
from roadworthy.runtime.target import Target, application
from roadworthy.runtime.web import serving
from roadworthy.telemetry.logging import get_logger

Say = Callable[[str], None]

_log = get_logger(__name__)

_OPERATIONS_GRACE = timedelta(seconds=1)
_OTHERS_PATIENCE = 5.0
_SUPERVISOR_POOL = (1, 3)


async def run(target: Target, settings: Settings, *, web: int, say: Say) -> bool:
    """Run the service until a signal, and return whether everything ended within the grace.

    `web` is the number of processes that serve requests. `say` prints a line for people.

    Raises:
        SettingError: a port is in use.
        AlreadyRunning: another process owns the data directory.
        DatabaseUnavailable, MigrationError: as their names say.
    """
    for warning in settings.warnings:
        _log.warning(warning)
    has_app = application(target) is not None
    wanted = migrations(target.service.spec)
    with ExitStack() as sockets, stopping() as stop:
        public = None
        if has_app:
            public = sockets.enter_context(listen(settings.host, settings.port, "ROADWORTHY_PORT"))
        private = sockets.enter_context(
            listen(settings.operations_host, settings.operations_port, "ROADWORTHY_OPERATIONS_PORT")
        )
        machine = _Machine(target, settings, stop, say, public, private, web, wanted)
        return await stop.interrupting(machine.run(), lambda: not machine.started)


class _Machine:
    """One run of a service."""

    def __init__(
        self,
        target: Target,
        settings: Settings,
        stop: Stop,
        say: Say,
        public: socket.socket | None,
        private: socket.socket,
        web: int,
        wanted: Sequence[Sequence[migration.Migration]],
    ) -> None:
        self.started = False
        self._target = target
        self._spec = target.service.spec
        self._settings = settings
        self._stop = stop
        self._say = say
        self._public = public
        self._private = private
        self._web = web if public is not None else 0
        self._migrations = wanted

    async def run(self) -> bool:
        async with self._database() as dsn:
            await self._migrate(dsn)
            own = replace(self._spec.database or DatabaseSpec("main"), pool=_SUPERVISOR_POOL)
            service, spec = self._target.service, replace(self._spec, database=own)
            async with (
                opened(
                    spec,
                    dsn,
                    name="supervisor",
                    redis_url=self._settings.redis_url,
                    data_directory=self._settings.data_directory,
                ) as binding,
                service.bind(binding, resources=False),
            ):
                return await self._supervise(dsn, binding)

    @asynccontextmanager
    async def _database(self) -> AsyncIterator[str]:
        """Yield the DSN of the database; the embedded PostgreSQL is kept running meanwhile."""
        if self._settings.database_url is not None:
            yield self._settings.database_url
            return
        server = EmbeddedPostgres(self._settings.data_directory)
        self._say(f"starting PostgreSQL in {self._settings.data_directory}")
        dsn = await server.start()
        try:
            server.publish(address(self._public or self._private))
            keeping = asyncio.create_task(_keep(server, RestartPolicy(), random), name="keep PostgreSQL")
            try:
                yield dsn
            finally:
                keeping.cancel()
                await asyncio.wait([keeping])
        finally:
            await server.stop()

    async def _migrate(self, dsn: str) -> None:
        applied = await migration.apply(dsn, self._migrations, on_progress=self._progress)
        if applied:
            self._say(f"applied {len(applied)} migration{'' if len(applied) == 1 else 's'}")

    def _progress(self, progress: migration.Progress) -> None:
        if progress.event in ("waiting", "retrying"):
            self._say(f"{progress.event} to migrate: {progress.detail}")

    async def _supervise(self, dsn: str, binding: Binding) -> bool:
        settings = self._settings
        grace = settings.drain
        environ = {**os.environ, "DATABASE_URL": dsn}
        environ["ROADWORTHY_PROCESSES"] = str(max(self._settings.processes, self._web))
        if self._public is not None:
            environ["ROADWORTHY_PORT"] = str(self._public.getsockname()[1])
        delay = drain_delay(settings.host, grace)
        around = Surroundings(self._target.text, environ, grace, delay, settings.hung_after)
        supervisor = Supervisor(self._plans(), around)
        app = operations.whole(self._spec, binding, lambda: self._state(supervisor), supervisor)
        autoscaler = Autoscaler(
            self._spec.queues, binding.engine, supervisor, binding.metrics, scaling=self._spec.scaling
        )
        self.started = True
        async with (
            observing(self._spec, binding, dsn),
            supervisor.running(),
            serving(app, self._private, grace=_OPERATIONS_GRACE),
        ):
            announcing = asyncio.create_task(self._announce(supervisor), name="announce")
            scaling = asyncio.create_task(autoscaler.run(), name="scale")
            try:
                await self._stop.requested.wait()
            finally:
                announcing.cancel()
                scaling.cancel()
            self._say(
                f"stopping: up to {grace.total_seconds():g} s for what is under way; a second signal stops at once"
            )
            clean = await supervisor.drain(self._stop.forced)
        self._say("stopped" if clean else "stopped, with work cut short")
        return clean

    def _plans(self) -> list[ProcessPlan]:
        plans = []
        if self._public is not None:
            descriptor = self._public.fileno()
            plans += [ProcessPlan(f"web-{number}", "web", listener=descriptor) for number in range(1, self._web + 1)]
        for queue in self._spec.queues:
            plans += [worker_plan(queue, number) for number in range(1, queue.workers[0] + 1)]
        if self._spec.queues or self._spec.activities:
            plans.append(ProcessPlan("scheduler", "scheduler"))
        return plans

    def _state(self, supervisor: Supervisor) -> HealthState:
        # Workers that come and go with the load are no part of the start.
        started = all(process.ready.is_set() for process in supervisor.processes if process.plan in supervisor.plans)
        return HealthState(started, self._stop.requested.is_set())

    async def _announce(self, supervisor: Supervisor) -> None:
        self._say(f"operations  {address(self._private)}/health")
        what = f"({self._spec.name} {self._spec.version})"
        if self._public is None:
            await _ready(supervisor.processes)
            self._say(f"ready  {len(supervisor.processes)} processes without a web address  {what}")
            return
        await until_ready(self._public, "/readyz")
        # The pages work without the others, so one that cannot start holds the news back for a moment only.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_OTHERS_PATIENCE):
                await _ready(supervisor.processes)
        self._say(f"ready  {address(self._public)}  {what}")


async def _ready(processes: Sequence[Process]) -> None:
    for process in tuple(processes):
        await process.ready.wait()


async def _keep(server: EmbeddedPostgres, policy: RestartPolicy, draw: Callable[[], float]) -> None:
    """Start PostgreSQL again whenever it ends; the processes connect again by themselves."""
    loop = asyncio.get_running_loop()
    failures = 0
    while True:
        began = loop.time()
        code = await server.wait()
        failures = policy.failures(failures, timedelta(seconds=loop.time() - began))
        wait = policy.delay(failures, draw).total_seconds()
        _log.error("PostgreSQL ended", exit=code, restart_in=round(wait, 2))
        await asyncio.sleep(wait)
        try:
            await server.restart()
        except RoadworthyError as error:
            _log.error("PostgreSQL did not start", reason=str(error))
        else:
            _log.info("PostgreSQL is back", pid=server.pid)
