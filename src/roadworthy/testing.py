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
import contextlib
import functools
import hashlib
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from roadworthy.database import administration, migration
from roadworthy.duration import seconds
from roadworthy.jobs.worker import Worker
from roadworthy.runtime.embedded import EmbeddedPostgres
from roadworthy.runtime.lifecycle import migrations, opened
from roadworthy.service import Service

_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_POLL_SECONDS = 0.01


@asynccontextmanager
async def running(service: Service) -> AsyncIterator[Service]:
    """Bind the service's handles within an `async with`, on a fresh database with its migrations applied.

    Raises:
        MissingExtra: the extra `embedded` is not installed.
        MigrationError: a migration failed.
    """
    async with database(service) as dsn, opened(service.spec, dsn, name="test") as binding, service.bind(binding):
        yield service


@asynccontextmanager
async def database(service: Service) -> AsyncIterator[str]:
    """Yield the DSN of a fresh database with the service's migrations applied; it is dropped afterwards."""
    server = _server()
    if server.pid is None:
        await server.start()
    administrative = server.dsn_of("postgres")
    template = await _template(server, service)
    name = f"test_{uuid.uuid4().hex}"
    await administration.create_database(administrative, name, template=template)
    try:
        yield server.dsn_of(name)
    finally:
        await administration.drop_database(administrative, name)


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


async def _template(server: EmbeddedPostgres, service: Service) -> str:
    """Return the name of a database that holds the service's migrations, made once: copying it is quick."""
    sets = migrations(service.spec)
    digest = hashlib.sha256("".join(one.checksum for migrations in sets for one in migrations).encode())
    name = f"template_{digest.hexdigest()[:32]}"
    if await administration.create_database(server.dsn_of("postgres"), name):
        try:
            await migration.apply(server.dsn_of(name), sets)
        except BaseException:
            await administration.drop_database(server.dsn_of("postgres"), name)
            raise
    return name


@functools.cache
def _server() -> EmbeddedPostgres:
    """Return the process's own server: starting one for each test would cost seconds."""
    directory = Path(tempfile.mkdtemp(prefix="roadworthy-test-"))
    # Where tests run as root, PostgreSQL runs as somebody else, who must pass through.
    directory.chmod(0o711)
    server = EmbeddedPostgres(directory / "data", settings=_SETTINGS)
    atexit.register(_remove, server, directory)
    return server


def _remove(server: EmbeddedPostgres, directory: Path) -> None:
    with contextlib.suppress(RuntimeError):
        asyncio.run(server.stop())
    shutil.rmtree(directory, ignore_errors=True)
