"""A tag that a cache invalidates is purged at the CDNs, when the transaction that did it has committed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest

from edge_servers import ENVIRONMENT, ZONE, FakeCloudflare
from roadworthy import Service, cloudflare, fastly, minutes
from roadworthy.edge.client import Response
from roadworthy.edge.metrics import CATALOGUE
from roadworthy.edge.purger import opened
from roadworthy.runtime import lifecycle
from roadworthy.telemetry.registry import MetricRegistry
from roadworthy.testing import metric, running
from roadworthy.testing.bound import database

CREDENTIALS = {"CLOUDFLARE_API_TOKEN": "a"}


class Changed(Exception):
    """The caller changed its mind."""


class Client:
    """Accepts everything, and keeps what was sent."""

    def __init__(self) -> None:
        self.bodies: list[str] = []

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Response:
        self.bodies.append(body.decode())
        return Response(200, {}, b'{"success": true}')


async def test_a_test_purges_nothing_and_can_count_what_would_have_been() -> None:
    service = Service("shop")
    database = service.database()
    results = service.cache("results", ttl=minutes(5))
    cdns = service.purge_with(cloudflare(zone="abc"), fastly(service="abc"))

    def skipped(cdn: str) -> float:
        return metric(service, "edge_purges_total", cdn=cdn, outcome="skipped")

    async with running(service):
        await results.invalidate("Site:7", "front")
        assert (skipped("cloudflare"), skipped("fastly")) == (2, 2)

        with pytest.raises(Changed):
            async with database.transaction():
                await results.invalidate("site:8")
                await cdns.purge(tags=["site:8"])
                raise Changed
        assert skipped("cloudflare") == 2

        async with database.transaction():
            await results.invalidate("site:9")
            await cdns.purge(urls=["https://shop.example/"])
            assert skipped("cloudflare") == 2
        assert skipped("cloudflare") == 4


async def test_the_tag_that_is_purged_is_the_one_that_responses_bear(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service("shop")
    results = service.cache("results", ttl=minutes(5))
    service.purge_with(cloudflare(zone="abc"))
    client = Client()
    async with (
        running(service),
        opened(service.spec.cdns, CREDENTIALS, MetricRegistry(CATALOGUE), client=client) as purger,
    ):
        monkeypatch.setattr(service, "_binding", replace(service.binding("the test"), purger=purger))
        await results.invalidate("Site:7")
        await asyncio.wait_for(purger.wait(), 60)
    assert client.bodies == ['{"tags":["site:7"]}']


async def test_what_waits_when_a_process_ends_is_sent_with_the_credentials_of_its_environment() -> None:
    server = FakeCloudflare()
    async with server.running():
        service = Service("shop")
        cdns = service.purge_with(cloudflare(zone=ZONE, base_url=server.url))
        async with database(service) as dsn:
            async with lifecycle.opened(service.spec, dsn, environment=ENVIRONMENT) as binding, service.bind(binding):
                await cdns.purge(tags=["a"])
                assert server.requests == []
            assert server.purged == [("tags", ["a"])]
