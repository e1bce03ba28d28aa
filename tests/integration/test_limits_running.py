"""Limits of a running service: whose processes count together, through what, and what each may admit alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from redis_server import RedisServer
from roadworthy import Service, testing
from roadworthy.database import migration
from roadworthy.limits.limiter import Limiter
from roadworthy.runtime.lifecycle import migrations, opened

SECONDS = timedelta(seconds=5)


def shop(*, database: bool = True) -> Service:
    service = Service("shop", version="1.0.0", owner="tests")
    if database:
        service.database()
    service.limit("orders", "10/minute", by=None, lease=0, store_timeout=SECONDS)
    service.limit("mails", "12/minute", by=None, lease=0, on_error="local", store_timeout=SECONDS)
    return service


@asynccontextmanager
async def process(
    service: Service, dsn: str, redis_url: str | None = None, processes: int = 1
) -> AsyncIterator[tuple[Limiter, Limiter]]:
    """One process of the service: its two limits."""
    async with opened(service.spec, dsn, redis_url=redis_url, processes=processes) as binding:
        assert binding.limits is not None
        yield binding.limits.of("orders"), binding.limits.of("mails")


async def test_processes_share_limits_through_the_database(dsn: str) -> None:
    service = shop()
    await migration.apply(dsn, migrations(service.spec))
    async with process(service, dsn) as (one, _), process(service, dsn) as (other, _):
        assert (await one.check("somebody", 4)).remaining == 6
        decision = await other.check("somebody", 5)
        assert (decision.source, decision.remaining) == ("store", 1)
        assert not (await one.check("somebody", 2)).admitted
        assert (await one.check("another", 10)).admitted


@pytest.mark.needs("redis-server")
async def test_with_a_redis_they_share_them_through_that(dsn: str, redis_server: RedisServer) -> None:
    service = shop(database=False)
    async with (
        process(service, dsn, redis_server.url) as (one, _),
        process(service, dsn, redis_server.url) as (other, _),
    ):
        assert (await one.check(dsn, 4)).remaining == 6
        decision = await other.check(dsn, 5)
        assert (decision.source, decision.remaining) == ("store", 1)


async def test_without_either_each_counts_by_itself(dsn: str) -> None:
    service = shop(database=False)
    async with process(service, dsn) as (one, _), process(service, dsn) as (other, _):
        assert (await one.check("somebody", 4)).source == "memory"
        assert (await other.check("somebody", 10)).admitted


async def test_a_process_without_its_store_starts_and_has_its_share(dsn: str) -> None:
    # The table is missing, as before `roadworthy migrate`.
    async with process(shop(), dsn, processes=4) as (orders, mails):
        assert [(await orders.check("somebody")).source for _ in range(20)] == ["on_error"] * 20
        decisions = [await mails.check("somebody") for _ in range(4)]
    assert [decision.admitted for decision in decisions] == [True, True, True, False]
    assert {decision.source for decision in decisions} == {"on_error"}


async def test_a_test_of_a_service_counts_in_memory() -> None:
    service = Service("shop", version="1.0.0", owner="tests")
    service.database()
    orders = service.limit("orders", "2/minute", by=None)
    async with testing.running(service):
        decisions = [await orders.check("somebody") for _ in range(3)]
    assert [(decision.admitted, decision.source) for decision in decisions] == [
        (True, "memory"),
        (True, "memory"),
        (False, "memory"),
    ]
