"""Test a service on a real, throw-away PostgreSQL.

    @pytest.fixture
    async def running():
        async with testing.running(service):
            yield

    async def test_a_page_is_fetched(running):
        await fetch_page.enqueue(url="https://example.org/")
        await testing.drain(service)
        assert await pages.fetchval("SELECT count(*) FROM pages") == 1

The first use in a process starts an embedded PostgreSQL, which ends with the process; each `running` gets a database of
its own there.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from roadworthy.database import administration, migration
from roadworthy.duration import seconds
from roadworthy.jobs.sealing import keys_of
from roadworthy.jobs.worker import Worker
from roadworthy.runtime.lifecycle import migrations, opened
from roadworthy.runtime.scratch import ScratchServer
from roadworthy.service import Service

_POLL_SECONDS = 0.01


@asynccontextmanager
async def running(service: Service) -> AsyncIterator[Service]:
    """Bind the service's handles within an `async with`, on a fresh database with its migrations applied.

    Raises:
        MissingExtra: the extra `embedded` is not installed.
        MigrationError: a migration failed.
    """
    keys = keys_of(os.environ.get("ROADWORTHY_ENCRYPTION_KEYS"))
    async with (
        database(service) as dsn,
        opened(service.spec, dsn, name="test", keys=keys) as binding,
        service.bind(binding),
    ):
        yield service


@asynccontextmanager
async def database(service: Service) -> AsyncIterator[str]:
    """Yield the DSN of a fresh database with the service's migrations applied; it is dropped afterwards."""
    server = _server()
    await server.start()
    async with server.database(await _template(server, service)) as dsn:
        yield dsn


async def drain(service: Service, *, timeout: timedelta = seconds(30)) -> None:
    """Run the service's jobs here until none is ready or running, those included that they enqueue in turn.

    A failed job's retry is scheduled for later and not waited for.

    Raises:
        TimeoutError: jobs are left after `timeout`.
    """
    binding = service.binding("testing.drain")
    spec = service.spec
    worker = Worker(
        binding.engine, spec.jobs, spec.queues, name="test", metrics=binding.metrics, poll=seconds(_POLL_SECONDS)
    )
    stop = asyncio.Event()
    async with asyncio.timeout(timeout.total_seconds()), asyncio.TaskGroup() as group:
        group.create_task(worker.run(stop, seconds(0)))
        while any(counts.ready or counts.running for counts in await binding.engine.counts()):
            await asyncio.sleep(_POLL_SECONDS)
        stop.set()


def metric(service: Service, name: str, **labels: str) -> float:
    """Return the value of one series in this process, 0 where it has not been counted yet.

    `name` is the series': a histogram's ends in `_count`, `_sum` or `_bucket`.
    """
    return service.binding(f"metric {name!r}").metrics.value(name, labels) or 0.0


async def _template(server: ScratchServer, service: Service) -> str:
    """Return the name of a database that holds the service's migrations, made once: copying it is quick."""
    sets = migrations(service.spec)
    digest = hashlib.sha256("".join(one.checksum for migrations in sets for one in migrations).encode())
    name = f"template_{digest.hexdigest()[:32]}"
    dsn = server.postgres.dsn_of(name)
    if await administration.create_database(server.postgres.dsn_of("postgres"), name, template="template"):
        try:
            await migration.apply(dsn, sets)
        except BaseException:
            await server.drop_database(dsn)
            raise
    return name


@functools.cache
def _server() -> ScratchServer:
    """Return the process's own server: starting one for each test would cost seconds."""
    server = ScratchServer()
    atexit.register(lambda: asyncio.run(server.stop()))
    return server
