"""The checks that come with a service, on a real PostgreSQL and a real Redis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from redis_server import RedisServer
from roadworthy import Service, minutes, testing
from roadworthy.http.stack import install
from roadworthy.runtime.settings import Settings


async def site(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError


@pytest.mark.needs("redis-server")
async def test_a_report_tells_of_all_that_the_service_uses(redis_server: RedisServer, tmp_path: Path) -> None:
    service = Service("healthy")
    service.database()
    service.queue("work")
    service.cache("prices", ttl=minutes(5))
    stack = install(site, service)
    async with testing.database(service) as dsn:
        environment = {"DATABASE_URL": dsn, "REDIS_URL": redis_server.url, "ROADWORTHY_DATA_DIR": str(tmp_path)}
        async with (
            service.running(Settings.load(environment)),
            stack.health.running(service.binding("the test").metrics),
        ):
            report = await stack.health.report(patience=None)
            told = {
                check: testing.metric(service, "health_check_status", check=check) for check in stack.health.groups()
            }
    assert report["status"] == "pass"
    assert {
        "database:responseTime",
        "redis:responseTime",
        "work:ready",
        "prices:hitRatio",
        "caches:store",
        "disk:free",
    } <= set(report["checks"])
    assert told == dict.fromkeys(("caches", "database", "disk", "memory", "queues", "redis"), 0)


async def test_what_a_service_does_not_use_is_not_looked_at() -> None:
    service = Service("healthy")
    service.cache("prices", ttl=minutes(5))
    stack = install(site, service)
    async with testing.running(service):
        report = await stack.health.report()
    assert stack.health.groups() == ("caches", "disk", "memory", "redis")
    assert {"redis", "redis:responseTime", "disk:free"}.isdisjoint(report["checks"])
    assert report["status"] == "pass"
