from __future__ import annotations

import gc
from typing import Any

import pytest

from cached_origin import Clock, scope_of
from roadworthy.edge.memory import MemoryResponses
from roadworthy.http.caching import HTTPCache
from roadworthy.http.caching_layer import CachingLayer
from roadworthy.http.draining import Drain
from roadworthy.http.exchange import Exchange


class Inside:
    """Layers and an application inside of the cache, which shape a response through the exchange as they do."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self, scope: Any, receive: Any, exchange: Any) -> None:
        self.asked += 1
        before = exchange.shaping

        async def shaping(message: Any) -> None:
            if message["type"] == "http.response.start":
                control = (b"cache-control", b"max-age=10, stale-while-revalidate=60")
                message = {**message, "headers": [*message["headers"], control]}
            await (before or exchange.forward)(message)

        exchange.shaping = shaping
        await exchange({"type": "http.response.start", "status": 200, "headers": [(b"x-count", b"%d" % self.asked)]})
        await exchange({"type": "http.response.body", "body": b"content"})
        exchange.shaping = before


class Asking:
    def __init__(self) -> None:
        self.clock = Clock()
        self.inside = Inside()
        self.drain = Drain()
        self.layer = CachingLayer(
            self.inside, self.drain, lambda app: HTTPCache(app, MemoryResponses(clock=self.clock), clock=self.clock)
        )

    async def __call__(self) -> tuple[dict[bytes, bytes], Exchange]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope = scope_of("GET", "/page")
        exchange = Exchange(scope, send, self.drain)
        exchange.headers.append((b"x-request-id", b"own"))
        await self.layer(scope, None, exchange)  # type: ignore[arg-type]
        assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
        return dict(sent[0]["headers"]), exchange


@pytest.fixture
def asking() -> Asking:
    return Asking()


async def test_what_layers_inside_say_is_kept_and_what_layers_outside_add_is_not(asking: Asking) -> None:
    for _ in range(2):
        headers, exchange = await asking()
        assert (exchange.status, exchange.complete) == (200, True)
        assert headers[b"x-request-id"] == b"own"
        assert headers[b"x-content-type-options"] == b"nosniff"
        assert headers[b"cache-control"] == b"max-age=10, stale-while-revalidate=60"
    assert asking.inside.asked == 1
    stored = asking.layer.cache._storage.peek(next(iter(asking.layer.cache._storage._held)))  # type: ignore[attr-defined]
    assert stored is not None
    assert not {b"x-request-id", b"x-content-type-options"} & {name for name, _ in stored.headers}


async def test_a_refresh_in_the_background_has_an_exchange_of_its_own(asking: Asking) -> None:
    await asking()
    asking.clock.now += 15
    headers, exchange = await asking()
    assert headers[b"x-count"] == b"1"
    await asking.layer.cache._refreshes.settle()
    assert exchange.shaping is None
    headers, _ = await asking()
    assert headers[b"x-count"] == b"2"


@pytest.mark.parametrize("later", [0, 15, 200])
async def test_a_request_leaves_nothing_behind_that_only_the_collector_finds(asking: Asking, later: int) -> None:
    await asking()
    gc.collect()
    gc.disable()
    try:
        for _ in range(50):
            asking.clock.now += later
            await asking()
            await asking.layer.cache._refreshes.settle()
        assert gc.collect() < 50
    finally:
        gc.enable()
