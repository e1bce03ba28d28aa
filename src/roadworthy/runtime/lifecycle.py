"""Bind a service to what is really there: its database, its jobs, its metrics; and let go of them in reverse."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from roadworthy.binding import Binding
from roadworthy.catalogue import catalogue
from roadworthy.database import metrics as database_metrics
from roadworthy.database import migration
from roadworthy.database.pool import Pool
from roadworthy.database.spec import DatabaseSpec
from roadworthy.edge import purger
from roadworthy.errors import AlreadyRunning, DatabaseUnavailable
from roadworthy.jobs.postgres import PostgresEngine
from roadworthy.jobs.sealing import Keys, keys_of
from roadworthy.runtime import activities, caching, collectors, depending, limiting
from roadworthy.runtime import keys as api_keys
from roadworthy.runtime.collectors import Collectors
from roadworthy.runtime.embedded import SUPERUSER, EmbeddedPostgres
from roadworthy.runtime.settings import Settings
from roadworthy.telemetry.registry import MetricRegistry

if TYPE_CHECKING:
    from roadworthy.service import Service, ServiceSpec
    from roadworthy.telemetry.ledger import Ledger

_JOIN_PATIENCE = timedelta(seconds=30)
_POLL_SECONDS = 0.1
_PID_FILE_SOCKET, _PID_FILE_STATUS = 4, 7


@asynccontextmanager
async def running(
    service: Service,
    settings: Settings | None = None,
    *,
    migrate: bool = True,
    name: str | None = None,
    ledger: Ledger | None = None,
) -> AsyncIterator[Service]:
    """Bind the service's handles within an `async with`.

    The database is the settings' `DATABASE_URL`, else the embedded PostgreSQL of the data directory: started here, or
    joined where a `roadworthy run` has it. `migrate=False` leaves the database as it is. `name` tells the process apart
    in PostgreSQL's list of sessions. Metrics are counted in `ledger`, if there is one.

    Raises:
        SettingError, DatabaseUnavailable, MigrationError: as their names say; nothing is left open.
    """
    settings = Settings.load(os.environ) if settings is None else settings
    async with database(settings) as dsn:
        if migrate:
            await migration.apply(dsn, migrations(service.spec))
        async with (
            opened(
                service.spec,
                dsn,
                name=name,
                keys=keys_of(settings.encryption_keys),
                environment=os.environ,
                redis_url=settings.redis_url,
                data_directory=settings.data_directory,
                trusted_proxies=settings.trusted_proxies,
                processes=settings.processes,
                ledger=ledger,
                told=Collectors.of(settings),
                secrets=lambda: service.secret_values,
            ) as binding,
            service.bind(binding),
        ):
            yield service


@asynccontextmanager
async def opened(
    spec: ServiceSpec,
    dsn: str,
    *,
    name: str | None = None,
    keys: Keys | None = None,
    environment: Mapping[str, str] | None = None,
    redis_url: str | None = None,
    share: bool = True,
    data_directory: Path | None = None,
    trusted_proxies: int = 0,
    processes: int = 1,
    ledger: Ledger | None = None,
    told: Collectors | None = None,
    secrets: Callable[[], Collection[str]] = tuple,
) -> AsyncIterator[Binding]:
    """Open what stands behind a service's handles: a pool of connections, the job engine, its caches, its metrics.

    `keys` are those of encrypted jobs. `environment` has the credentials of CDNs; without it none is purged. Caches
    and limits are shared through the Redis at `redis_url`, else through the database, and with `share=False` with
    nobody. Health looks at the disk of `data_directory`. Requests come through `trusted_proxies`, and to one of
    `processes`. Metrics are counted in `ledger`, if there is one. Spans and errors are `told` to others, but
    for the `secrets`.
    """
    declared = spec.database or DatabaseSpec("main")
    registry = MetricRegistry(catalogue(spec), service=spec.name, service_version=spec.version, ledger=ledger)
    timed = database_metrics.timing(registry)
    async with await Pool.open(dsn, declared, application_name=f"{spec.name} {name or 'script'}", timed=timed) as pool:
        database_metrics.track(registry, pool.statistics)
        engine = PostgresEngine(pool, dsn, metrics=registry)
        try:
            async with (
                collectors.opened(spec, told or Collectors(), secrets, registry) as telling,
                purger.opened(spec.cdns, environment, registry) as purging,
                caching.opened(spec, dsn if share else None, redis_url, pool, registry) as caches,
                api_keys.opened(spec.api_keys, dsn, registry) as verifiers,
                depending.opened(spec, registry) as dependencies,
                activities.opened(spec, dsn, registry) as keeper,
                limiting.opened(spec, dsn if share else None, redis_url, registry, processes=processes) as limits,
            ):
                yield Binding(
                    pool,
                    engine,
                    registry,
                    keys,
                    purging,
                    caches,
                    trusted_proxies=trusted_proxies,
                    redis_url=redis_url,
                    data_directory=data_directory,
                    api_keys=verifiers,
                    dependencies=dependencies,
                    limits=limits,
                    tracing=telling.tracing,
                    error_reports=telling.error_reports,
                    activities=keeper,
                )
        finally:
            await engine.close()


def migrations(spec: ServiceSpec) -> tuple[tuple[migration.Migration, ...], ...]:
    """Return the sets of migrations that the service's database needs: the library's, then its own."""
    capabilities = (
        "roadworthy.jobs",
        "roadworthy.cache",
        "roadworthy.limits",
        "roadworthy.security",
        "roadworthy.activity",
    )
    sets = [migration.load(name, name) for name in capabilities]
    if spec.database is not None and spec.database.migrations is not None:
        sets.append(migration.load(spec.database.migrations, spec.name))
    return tuple(sets)


@asynccontextmanager
async def database(settings: Settings) -> AsyncIterator[str]:
    """Yield the DSN of the settings' database, with the embedded PostgreSQL running meanwhile where that is it."""
    if settings.database_url is not None:
        yield settings.database_url
        return
    server = EmbeddedPostgres(settings.data_directory)
    try:
        dsn = await server.start()
    except AlreadyRunning as refusal:
        yield await join(settings.data_directory, refusal)
        return
    try:
        yield dsn
    finally:
        await server.stop()


def existing(settings: Settings) -> str:
    """Return the DSN of a database that runs already: `DATABASE_URL`, or a `roadworthy run`'s embedded PostgreSQL.

    Raises:
        DatabaseUnavailable: there is neither.
    """
    dsn = settings.database_url or published(settings.data_directory)
    if dsn is None:
        raise DatabaseUnavailable(
            f"DATABASE_URL is not set, and no PostgreSQL runs in {settings.data_directory}. Set DATABASE_URL to the "
            "one that all processes share, or start `roadworthy run` here first"
        )
    return dsn


async def join(data_directory: Path, refusal: AlreadyRunning) -> str:
    """Return the DSN of the embedded PostgreSQL that another process runs in the directory, once it is ready.

    Raises:
        AlreadyRunning: `refusal`, where it is not ready in time.
    """
    rounds = int(_JOIN_PATIENCE.total_seconds() / _POLL_SECONDS)
    for _ in range(rounds):
        if dsn := published(data_directory):
            return dsn
        await asyncio.sleep(_POLL_SECONDS)
    raise refusal


def published(data_directory: Path) -> str | None:
    """Return the DSN of the server that PostgreSQL's pid file in the directory tells of, None without a ready one."""
    try:
        lines = (data_directory / "postgres" / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise DatabaseUnavailable(
            f"the PostgreSQL in {data_directory} belongs to another user; act as that one, or set DATABASE_URL"
        ) from error
    if len(lines) <= _PID_FILE_STATUS or lines[_PID_FILE_STATUS].strip() != "ready":
        return None
    return f"postgresql://{SUPERUSER}@/main?host={quote(lines[_PID_FILE_SOCKET])}"
