"""A service on a database of its own: one throw-away server for the process, a fresh database for each use."""

from __future__ import annotations

import asyncio
import atexit
import functools
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from roadworthy.database import administration, migration
from roadworthy.jobs.sealing import keys_of
from roadworthy.runtime.lifecycle import migrations, opened
from roadworthy.runtime.scratch import ScratchServer
from roadworthy.service import Service
from roadworthy.testing.draining import inline

Jobs = Literal["kept", "inline"]


@asynccontextmanager
async def running(service: Service, *, jobs: Jobs = "kept") -> AsyncIterator[Service]:
    """Bind the service's handles within an `async with`, on a fresh database with its migrations applied.

    `jobs` is "kept" for `drain` to run, or "inline": each then runs where it is enqueued, or where the transaction that
    carries it commits, and JobFailed is raised there if it fails. One with a delay waits for `drain` all the same.
    Caches are kept in memory, and begin empty.

    Raises:
        MissingExtra: the extra `embedded` is not installed.
        MigrationError: a migration failed.
    """
    keys = keys_of(os.environ.get("ROADWORTHY_ENCRYPTION_KEYS"))
    async with database(service) as dsn, opened(service.spec, dsn, name="test", keys=keys, share=False) as binding:
        bound = binding if jobs == "kept" else inline(service, binding)
        async with service.bind(bound):
            yield service


@asynccontextmanager
async def database(service: Service) -> AsyncIterator[str]:
    """Yield the DSN of a fresh database with the service's migrations applied; it is dropped afterwards."""
    server = _server()
    await server.start()
    async with server.database(await _template(server, service)) as dsn:
        yield dsn


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
