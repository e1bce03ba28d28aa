from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator, Mapping

import pytest

from roadworthy import Service
from roadworthy.binding import Binding
from roadworthy.edge.cdn import cloudflare, cloudfront
from roadworthy.edge.client import Response
from roadworthy.edge.metrics import CATALOGUE
from roadworthy.edge.purger import missing, opened
from roadworthy.edge.sender import Timing
from roadworthy.errors import InvalidPurge, NotRunning, PurgeFailed, TransactionEnded
from roadworthy.telemetry import logging
from roadworthy.telemetry.registry import MetricRegistry

ENVIRONMENT = {"CLOUDFLARE_API_TOKEN": "a", "AWS_ACCESS_KEY_ID": "b", "AWS_SECRET_ACCESS_KEY": "c"}
AT_ONCE = Timing(window=0)


class Client:
    """Accepts everything, and keeps what was sent."""

    def __init__(self) -> None:
        self.bodies: list[str] = []
        self.status = 200

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Response:
        self.bodies.append(body.decode())
        return Response(self.status, {}, b'{"success": true}')


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    logging.configure("json", "debug", stream)
    yield stream
    logging.configure()


async def test_a_tag_that_no_response_can_bear_is_not_asked_for() -> None:
    """CloudFront keeps no response with a tag above 256 characters, and no CDN one above 1,024."""
    client, cdns = Client(), [cloudflare(zone="abc"), cloudfront(distribution="ABC")]
    async with opened(cdns, ENVIRONMENT, MetricRegistry(CATALOGUE), client=client, timing=AT_ONCE) as purger:
        purger.on_invalidate(["x" * 300, "y" * 2000, "", "z" * 1025])
        await asyncio.wait_for(purger.settled(), 60)
        assert len(client.bodies) == 1
        assert "x" * 300 in client.bodies[0]
        purger.on_invalidate(["y" * 2000])
        assert purger.waiting == 0


async def test_what_waits_is_counted_and_what_has_ended_is_born_at_zero() -> None:
    metrics = MetricRegistry(CATALOGUE)
    client = Client()
    async with opened([cloudflare(zone="abc")], ENVIRONMENT, metrics, client=client) as purger:
        await purger.purge(tags=["a", "b"])
        assert metrics.value("edge_purges_waiting") == 2
        assert metrics.value("edge_purges_total", {"cdn": "cloudflare", "outcome": "failed"}) == 0
    assert metrics.value("edge_purges_waiting") == 0
    assert metrics.value("edge_purges_total", {"cdn": "cloudflare", "outcome": "succeeded"}) == 2
    assert metrics.value("edge_purge_seconds_count", {"cdn": "cloudflare"}) == 1


async def test_a_failure_is_told_to_who_waits_and_to_none_who_waits_later() -> None:
    client = Client()
    client.status = 403
    cdns = [cloudflare(zone="abc")]
    async with opened(cdns, ENVIRONMENT, MetricRegistry(CATALOGUE), client=client, timing=AT_ONCE) as purger:
        with pytest.raises(PurgeFailed, match="has not purged 1"):
            await asyncio.wait_for(purger.purge(tags=["a"], wait=True), 60)
        client.status = 200
        await asyncio.wait_for(purger.purge(tags=["a"], wait=True), 60)
        await asyncio.wait_for(purger.wait(), 60)


async def test_who_waits_does_not_wait_for_what_others_ask_for_later() -> None:
    gate = asyncio.Event()

    class Slow(Client):
        async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Response:
            if b"later" in body:
                await gate.wait()
            return await super().request(method, url, headers, body)

    metrics = MetricRegistry(CATALOGUE)
    async with opened([cloudflare(zone="abc")], ENVIRONMENT, metrics, client=Slow(), timing=AT_ONCE) as purger:
        first = asyncio.create_task(purger.purge(tags=["first"], wait=True))
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        await purger.purge(tags=["later"])
        await asyncio.wait_for(first, 60)
        assert purger.waiting == 1
        gate.set()


async def test_a_cdn_without_credentials_is_named_in_the_log(log: io.StringIO) -> None:
    spec = cloudfront(distribution="ABC")
    assert missing(spec, {"AWS_ACCESS_KEY_ID": "b", "AWS_SECRET_ACCESS_KEY": ""}) == ["AWS_SECRET_ACCESS_KEY"]
    async with opened([spec], {}, MetricRegistry(CATALOGUE)):
        pass
    assert "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY" in log.getvalue()


class Pool:
    """A pool that is in a transaction when it is told so."""

    def __init__(self) -> None:
        self.state = "none"
        self.after: list[object] = []

    def current(self) -> object | None:
        if self.state == "ended":
            raise TransactionEnded("over")
        return self if self.state == "open" else None

    def after_commit(self, call: object) -> None:
        self.after.append(call)


class Engine:
    """Nothing that is used here."""


async def test_the_handle_waits_for_the_commit() -> None:
    service = Service("shop")
    cdns = service.purge_with(cloudflare(zone="abc"))
    with pytest.raises(NotRunning, match="the CDNs"):
        await cdns.purge(tags=["a"])

    pool, metrics, client = Pool(), MetricRegistry(CATALOGUE), Client()
    async with opened(service.spec.cdns, ENVIRONMENT, metrics, client=client, timing=AT_ONCE) as purger:
        binding = Binding(pool, Engine(), metrics, purger=purger)  # type: ignore[arg-type]
        async with service.bind(binding):
            await asyncio.wait_for(cdns.purge(tags=["now"], wait=True), 60)
            assert len(client.bodies) == 1

            pool.state = "open"
            with pytest.raises(InvalidPurge, match="inside a transaction"):
                await cdns.purge(tags=["later"], wait=True)
            await cdns.purge(tags=["later"])
            assert purger.waiting == 0
            (after_commit,) = pool.after
            await after_commit()  # type: ignore[operator]
            await asyncio.wait_for(purger.wait(), 60)
            assert "later" in client.bodies[1]

            pool.state = "ended"
            await asyncio.wait_for(cdns.purge(tags=["orphan"], wait=True), 60)
            assert "orphan" in client.bodies[2]

            with pytest.raises(InvalidPurge, match="nothing to purge"):
                await cdns.purge()


async def test_the_handle_has_nothing_to_send_with_where_nothing_was_opened() -> None:
    service = Service("shop")
    cdns = service.purge_with(cloudflare(zone="abc"))
    binding = Binding(Pool(), Engine(), MetricRegistry(CATALOGUE))  # type: ignore[arg-type]
    async with service.bind(binding):
        with pytest.raises(NotRunning):
            await cdns.purge(tags=["a"])
