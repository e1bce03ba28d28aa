"""The source behind a cache: what is told of refreshes that nobody waits for."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator

import pytest

from roadworthy import minutes, seconds
from roadworthy.cache.caches import Caches
from roadworthy.cache.node import Node
from roadworthy.cache.source import Ask
from roadworthy.cache.spec import CacheSpec
from roadworthy.cache.values import ANY
from roadworthy.telemetry import logging


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    logging.configure("json", "debug", stream)
    yield stream
    logging.configure()


async def test_a_refresh_that_fails_is_told_of_once_for_many_keys(log: io.StringIO) -> None:
    spec = CacheSpec("prices", ttl=seconds(0.01), stale=minutes(5), early=0, jitter=0)

    async def one() -> int:
        return 1

    async def failing() -> int:
        raise LookupError("the shop is closed")

    async with Caches.open("shop", [spec], Node(None)) as caches:
        cache = caches.of("prices")
        names = [cache.name_of(f"item {n}") for n in range(20)]
        for name in names:
            await cache.source.obtain(Ask(name, ANY, one))
        await asyncio.sleep(0.02)
        for name in names:
            assert (await cache.source.obtain(Ask(name, ANY, failing))).value == 1
        await asyncio.sleep(0.05)
        assert cache.statistics().load_errors == 20
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    (line,) = (line for line in lines if line["logger"] == "roadworthy.cache.source")
    assert line["level"] == "warning"
    assert line["name"] == names[0]
    assert "the shop is closed" in line["error"]
