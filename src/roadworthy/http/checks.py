"""The checks of a service, as it declares them and as they come with what it declares."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from roadworthy.health.checks import cache_check, database_check, queue_check, redis_check
from roadworthy.health.dependencies import dependency_check
from roadworthy.health.policy import Reading
from roadworthy.health.resources import disk_check, memory_check
from roadworthy.health.spec import Check
from roadworthy.jobs.workers import consumers

if TYPE_CHECKING:
    from roadworthy.binding import Binding
    from roadworthy.resilience.spec import DependencySpec
    from roadworthy.service import ServiceSpec

_REDIS_PATIENCE = 0.9


def service_checks(spec: ServiceSpec, binding: Callable[[], Binding]) -> tuple[Check, ...]:
    """Return the checks of a service: those that come with every one, and those that it declares itself."""
    checks: list[Check] = []
    if spec.database is not None or spec.queues:
        checks.append(database_check(lambda: binding().pool.fetchval("SELECT 1")))
    if spec.queues:
        targets = {queue.name: queue.target_latency for queue in spec.queues}

        async def workers() -> Mapping[str, int]:
            return consumers(await binding().engine.operations.workers())

        checks.append(queue_check(lambda: binding().engine.counts(), lambda: binding().engine.now(), targets, workers))
    if spec.caches:
        checks.append(_caches(binding))
    if uses_redis(spec):
        checks.append(_redis(spec.name, binding))
    checks += [_dependency(one, binding) for one in spec.dependencies if one.breaker or one.check]
    checks += [disk_check(lambda: binding().data_directory), memory_check()]
    return (*checks, *spec.checks)


def uses_redis(spec: ServiceSpec) -> bool:
    """Whether something that the service declares is kept in Redis, where there is one."""
    return bool(spec.limits) or any("shared" in cache.tiers for cache in spec.caches)


def _redis(service: str, binding: Callable[[], Binding]) -> Check:
    known: dict[str, Callable[[], Awaitable[object]]] = {}

    async def ping() -> None:
        url = binding().redis_url or ""
        if url not in known:
            # An extra, which who sets no REDIS_URL need not have installed.
            from roadworthy.redis.address import Address
            from roadworthy.redis.ping import Ping

            known[url] = Ping(Address.parse(url), name=f"{service} health", patience=_REDIS_PATIENCE)
        await known[url]()

    check = redis_check(ping)

    async def run() -> Sequence[Reading]:
        return [] if binding().redis_url is None else await check.run()

    return replace(check, run=run)


def _dependency(spec: DependencySpec, binding: Callable[[], Binding]) -> Check:
    async def state() -> str | None:
        dependencies = binding().dependencies
        breaker = None if dependencies is None else dependencies.of[spec.name].breaker
        return None if breaker is None else breaker.state

    return checked(spec, state)


def checked(spec: DependencySpec, state: Callable[[], Awaitable[str | None]]) -> Check:
    """Return the check of a dependency whose breaker's state `state` returns."""
    return dependency_check(spec.name, state, spec.check, critical=spec.critical, timeout=spec.timeout)


def _caches(binding: Callable[[], Binding]) -> Check:
    async def run() -> Sequence[Reading]:
        caches = binding().caches
        if caches is None:
            return []
        store = caches.node.store
        ping = None if store is None else store.now
        check = cache_check(ping, caches.hit_ratios, lambda: len(caches.node.pending))
        return await check.run()

    return Check("caches", run, critical=False)
