"""What every action on caches works with: the service's declaration, and the store that its processes share."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from roadworthy.errors import DatabaseUnavailable, RoadworthyError, TargetError

if TYPE_CHECKING:
    from roadworthy.cache.clock import StoreClock
    from roadworthy.cache.spec import CacheSpec
    from roadworthy.cache.store import Store
    from roadworthy.runtime.settings import Settings
    from roadworthy.service import ServiceSpec

_TIMEOUT = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Desk:
    """A service's caches in their store; `where` names that for people. `clock` is the store's."""

    spec: ServiceSpec
    settings: Settings
    store: Store
    clock: StoreClock
    where: str

    @property
    def shared(self) -> tuple[CacheSpec, ...]:
        """The caches that are in the store."""
        return tuple(cache for cache in self.spec.caches if "shared" in cache.tiers)

    def cache(self, name: str) -> CacheSpec:
        """Return a cache that is in the store; raise TargetError where there is none of that name."""
        cache = declared(self.spec, name)
        if "shared" not in cache.tiers:
            raise TargetError(
                f"cache {name!r} has tiers={cache.tiers!r}: it is in the memory of each process alone, which no other "
                "can look into. Declare the tier 'shared' as well, or restart the processes to empty it"
            )
        return cache

    def prefix(self, cache: CacheSpec) -> str:
        """Return what the names of a cache's keys and tags begin with in the store."""
        return f"{self.spec.name}:{cache.name}:"


Action = Callable[[argparse.Namespace, Desk], Awaitable[int]]


def add_service(parser: argparse.ArgumentParser) -> None:
    """Add the service whose caches are meant."""
    parser.add_argument(
        "--service",
        dest="target",
        metavar="TARGET",
        help="the service that declares it (default: ROADWORTHY_SERVICE, or [tool.roadworthy] in pyproject.toml)",
    )


def with_desk(action: Action) -> Callable[[argparse.Namespace], int]:
    """Return a command that runs `action` on the caches of the service that the command line names."""

    async def run(options: argparse.Namespace, spec: ServiceSpec) -> int:
        from roadworthy.cache.store import StoreDown

        async with _opened(spec) as desk:
            try:
                return await action(options, desk)
            except StoreDown as error:
                # What Redis answered, or why it did not, says itself what to look at.
                advice = "" if desk.settings.redis_url else ". See that it runs and that `roadworthy migrate` was run"
                raise RoadworthyError(
                    f"{desk.where}, which the caches share, does not do it: {error}{advice}"
                ) from error

    def started(options: argparse.Namespace) -> int:
        from roadworthy.cli.arguments import target

        return asyncio.run(run(options, target(options).service.spec))

    return started


def declared(spec: ServiceSpec, name: str) -> CacheSpec:
    """Return a cache of the declaration; raise TargetError where there is none of that name."""
    from difflib import get_close_matches

    caches = {cache.name: cache for cache in spec.caches}
    if name not in caches:
        near = get_close_matches(name, caches, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has: {', '.join(caches) or 'none'}"
        raise TargetError(f"service {spec.name!r} declares no cache {name!r}; {hint}")
    return caches[name]


@asynccontextmanager
async def _opened(spec: ServiceSpec) -> AsyncIterator[Desk]:
    from roadworthy.cache.clock import StoreClock
    from roadworthy.cache.stamp import NODES
    from roadworthy.runtime.settings import Settings

    if not spec.caches:
        raise TargetError(f"service {spec.name!r} declares no cache; declare one with service.cache()")
    settings = Settings.load(os.environ)
    node = random.randrange(NODES)  # nosec B311  # tells processes apart, no secret
    async with AsyncExitStack() as stack:
        if settings.redis_url is not None:
            from roadworthy.cache.redis import RedisStore

            store: Store = await stack.enter_async_context(
                RedisStore.open(settings.redis_url, service=spec.name, node=node, timeout=_TIMEOUT)
            )
            where = "the Redis of REDIS_URL"
        else:
            from roadworthy.cache.postgres import PostgresStore
            from roadworthy.runtime.lifecycle import database

            _check_database(spec, settings)
            dsn = await stack.enter_async_context(database(settings))
            store = await stack.enter_async_context(
                PostgresStore.open(dsn, service=spec.name, node=node, timeout=_TIMEOUT)
            )
            where = "the service's database"
        yield Desk(spec, settings, store, StoreClock(node), where)


def _check_database(spec: ServiceSpec, settings: Settings) -> None:
    if spec.database is None and not spec.queues:
        raise TargetError(
            f"the processes of service {spec.name!r} share no cache: REDIS_URL is not set, and it declares no "
            "database. Set the one or declare the other"
        )
    if settings.database_url is None and not settings.data_directory.is_dir():
        raise DatabaseUnavailable(
            f"neither REDIS_URL nor DATABASE_URL is set, and there is no {settings.data_directory}; set one, or change "
            "to the directory in which `roadworthy run` was started"
        )
