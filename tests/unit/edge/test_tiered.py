from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from cached_origin import Cached, Reply, caching
from roadworthy.cache.caches import Caches
from roadworthy.cache.dictionary import Dictionary, DictStore
from roadworthy.cache.node import Node
from roadworthy.cache.spec import CacheSpec
from roadworthy.edge.stored import StoredResponse
from roadworthy.edge.tiered import TieredResponses
from roadworthy.errors import NotRunning

SPEC = CacheSpec("pages", ttl=timedelta(hours=1))


@asynccontextmanager
async def processes(count: int, dictionary: Dictionary | None = None) -> AsyncIterator[list[TieredResponses]]:
    """Open a cache in so many processes, that share a store or none."""
    async with AsyncExitStack() as stack:
        found = []
        for number in range(count):
            store = None if dictionary is None else DictStore(dictionary, node=number)
            caches = await stack.enter_async_context(Caches.open("shop", [SPEC], Node(store, node=number)))
            found.append(TieredResponses(lambda caches=caches: caches.of("pages")))  # type: ignore[misc]
        yield found


def response(*tags: str) -> StoredResponse:
    return StoredResponse(status=200, headers=((b"a", b"1"), (b"a", b"2")), body=b"\xff", tags=tags)


async def put(storage: TieredResponses, key: str, kept: StoredResponse) -> bool:
    return await storage.put(key, kept, storage.moment(), 60)


@pytest.mark.parametrize("dictionary", [None, Dictionary()])
async def test_a_response_is_at_hand_until_its_key_or_tag_goes(dictionary: Dictionary | None) -> None:
    async with processes(1, dictionary) as (storage,):
        assert storage.peek("a\nb") is None
        for forget in (lambda: storage.delete("a\nb"), lambda: storage.invalidate(["url:a\nb"])):
            before = storage.moment()
            assert await put(storage, "a\nb", response("url:a\nb"))
            kept = storage.peek("a\nb")
            assert kept == response("url:a\nb")
            assert storage.peek("a\nb") is kept
            await forget()
            assert storage.peek("a\nb") is None
            await storage.put("a\nb", response("url:a\nb"), before, 60)
            assert storage.peek("a\nb") is None


async def test_processes_share_responses_and_hear_of_their_end() -> None:
    async with processes(2, Dictionary()) as (one, other):
        assert await put(one, "a", response("t"))
        await settle()
        assert await other.get("a") == response("t")
        assert other.peek("a") == response("t")
        await one.invalidate(["t"])
        assert (other.peek("a"), await other.get("a")) == (None, None)


async def test_the_http_cache_works_on_it_with_variants() -> None:
    async with processes(1) as (storage,):
        cached = Cached(Reply(headers=caching("max-age=60", vary="a", cache_tag="t")), {"storage": storage})
        for _ in range(2):
            for value in "12":
                await cached.ask(headers={"a": value})
        assert len(cached.asked) == 2
        await storage.invalidate(["t"])
        await cached.ask(headers={"a": "1"})
        assert len(cached.asked) == 3


async def test_without_a_running_service_everything_is_a_miss() -> None:
    def opened() -> Any:
        raise NotRunning("cache 'pages'")

    storage = TieredResponses(opened)
    assert not await put(storage, "a", response())
    assert (storage.peek("a"), await storage.get("a")) == (None, None)
    await storage.delete("a")
    await storage.invalidate(["t"])


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)
