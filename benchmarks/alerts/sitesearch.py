"""Site Search: its load, and what is done to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from .causes import (
    Cause,
    Phase,
    all_of,
    asked,
    by_turns,
    few_descriptors,
    flooded,
    jobs_fail,
    loop_blocked,
    postgres_hangs,
    process_stopped,
    queue_filled,
    redis_hangs,
    service_stopped,
    tables_locked,
)
from .running import Load, Running, running

_PAGES = 12
_ALLOWED = "SITESEARCH_ALLOW_HOSTS"
_WORDS = ("harbour", "garden", "compost")
_NOBODY = 9
"""A port on which nothing listens."""


@asynccontextmanager
async def sitesearch(directory: Path) -> AsyncIterator[Running]:
    """Run it, with a small site crawled and a key for everything."""
    async with _web_site() as port, running("sitesearch", directory, {_ALLOWED: "127.0.0.1"}) as service:
        service.own["key"] = await _key(service, "100000/minute")
        service.own["slow key"] = await _key(service, "10/minute")
        service.client.headers["authorization"] = f"Bearer {service.own['key']}"
        site = await _added(service, f"http://127.0.0.1:{port}/", "alerts")
        address = f"/api/v1/sites/{site}"
        service.own |= {"site": site, "address": address}
        (await service.client.post(f"{address}/crawls")).raise_for_status()
        async with asyncio.timeout(60):
            while (await service.client.get(address)).json()["pages"] < _PAGES:
                await asyncio.sleep(0.2)
        service.load += [
            Load("search asked before", 0.5, lambda number: _search(service, _WORDS[number % 3])),
            Load("page", 2.0, lambda number: _page_of(service, _WORDS[number % 3])),
            Load("suggestions", 1.0, lambda _: service.client.get(f"{address}/suggest", params={"q": "ha"})),
            Load("analytics", 5.0, lambda _: service.client.get(f"{address}/analytics")),
        ]
        yield service


def quick() -> tuple[Phase, ...]:
    """Return what is done to it where there is little time."""
    return (
        (
            Cause("a client asks too often", ("RateLimitRejectionsHigh",), asked(_impatient)),
            Cause("a web process held up for 0.8 s at a time", ("EventLoopLagging",), loop_blocked),
            Cause("descriptors limited to three more than are open", ("FileDescriptorsRunningOut",), few_descriptors),
        ),
    )


def throughout() -> Phase:
    """Return what takes long, and goes on beside all else."""
    return (
        Cause("a worker stands still", ("WorkerDown",), process_stopped("worker-upkeep-1"), within=150),
        Cause(
            "searches for what no page has",
            ("SearchesWithoutResults",),
            asked(_in_vain),
            within=250,
        ),
    )


def last() -> tuple[Phase, ...]:
    """Return what nothing else can be seen beside."""
    return ((Cause("the whole service stands still", ("TargetDown",), service_stopped),),)


def phases() -> tuple[Phase, ...]:
    """Return what is done to it, one phase after the other."""
    return (
        (
            Cause(
                "1,200 jobs in a paused queue",
                ("WorkerQueueBacklog", "OldestJobAge crawling"),
                queue_filled("crawling", "fetch_page", count=1200),
            ),
            Cause(
                "a job due for ten minutes in a queue without a worker",
                ("OldestJobAge upkeep",),
                queue_filled("upkeep", "forget_old_queries", count=1, age=600),
            ),
            Cause("a client asks too often", ("RateLimitRejectionsHigh",), asked(_impatient)),
            Cause("only searches that nobody made before", ("CacheHitRateLow",), asked(_new(0.3))),
            Cause("a web process held up for 0.8 s at a time", ("EventLoopLagging",), loop_blocked),
            Cause("descriptors limited to three more than are open", ("FileDescriptorsRunningOut",), few_descriptors),
        ),
        (
            Cause("Redis stands still", ("RateLimitStoreDown", "RedisDown"), redis_hangs),
            Cause(
                "jobs that cannot end",
                ("DeadLettersGrowing", "HighJobFailureRate"),
                jobs_fail("upkeep", "refresh_vocabulary"),
            ),
            Cause("five sites that do not answer are crawled", ("CrawlsFailing",), _crawls_fail),
        ),
        (
            Cause(
                "PostgreSQL stands still",
                (
                    "PostgresDown",
                    "HealthCheckFailing",
                    "HighAPIErrorRate",
                    "HighAPILatency",
                    "BreakerOpen",
                    "AvailabilityBudgetBurn 1h",
                    "AvailabilityBudgetBurn 6h",
                ),
                all_of(asked(_new(0.2), _sites), postgres_hangs),
            ),
        ),
        (
            Cause(
                "a transaction that keeps the tables locked",
                ("DatabasePoolExhausted",),
                all_of(asked(_new(0.1), _sites), tables_locked),
            ),
        ),
        (
            Cause(
                "PostgreSQL stands still for 0.7 s at a time",
                ("SearchLatencyBudgetBurn 1h", "SearchLatencyBudgetBurn 6h"),
                all_of(asked(_new_pages), lambda service: by_turns(service.postgres, 0.7, 0.2)),
                within=90,
            ),
        ),
        (
            Cause(
                "more requests than one processor can answer",
                ("HighCPUUsage", "RequestsTurnedAway"),
                _crowded,
            ),
        ),
    )


async def _key(service: Running, limit: str) -> str:
    scopes = (part for scope in ("search", "manage", "admin") for part in ("--scope", scope))
    said = await service.command("keys", "issue", "alerts", "--limit", limit, *scopes, "--json")
    return str(json.loads(said)["secret"])


async def _added(service: Running, url: str, name: str) -> str:
    settings = {"start_url": url, "name": name, "delay_seconds": 0}
    added = await service.client.post("/api/v1/sites", json=settings)
    return str(added.raise_for_status().json()["slug"])


async def _search(service: Running, text: str) -> httpx.Response:
    return await service.client.get(f"{service.own['address']}/search", params={"q": text})


async def _page_of(service: Running, text: str) -> httpx.Response:
    return await service.client.get("/search", params={"site": service.own["site"], "q": text})


def _new(every: float) -> Callable[[Running], Load]:
    return lambda service: Load("new", every, lambda number: _search(service, f"harbour {number} {random.random()}"))


def _in_vain(service: Running) -> Load:
    return Load("in vain", 0.15, lambda number: _search(service, f"zebra{number}x{random.randrange(10**9)}"))


def _new_pages(service: Running) -> Load:
    return Load("new pages", 0.08, lambda number: _page_of(service, f"garden {number} {random.random()}"))


def _sites(service: Running) -> Load:
    return Load("crawls", 0.3, lambda _: service.client.get(f"{service.own['address']}/crawls"))


def _impatient(service: Running) -> Load:
    headers = {"authorization": f"Bearer {service.own['slow key']}"}
    return Load("impatient", 0.25, lambda _: service.client.get("/api/v1/sites", headers=headers))


@asynccontextmanager
async def _crawls_fail(service: Running) -> AsyncIterator[None]:
    for number in range(5):
        site = await _added(service, f"http://127.0.0.1:{_NOBODY}/{number}", f"nobody {number}")
        (await service.client.post(f"/api/v1/sites/{site}/crawls")).raise_for_status()
    yield


@asynccontextmanager
async def _crowded(service: Running) -> AsyncIterator[None]:
    site = service.own["site"]
    async with flooded(lambda number: f"/search?site={site}&q=garden+{number}", connections=300)(service):
        yield


@asynccontextmanager
async def _web_site() -> AsyncIterator[int]:
    """A small site about a garden; yield its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                path = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1].decode()
                body = _document(path)
                status = "200 OK" if body else "404 Not Found"
                head = f"HTTP/1.1 {status}\r\ncontent-type: text/html\r\ncontent-length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def _document(path: str) -> bytes:
    number = path.removeprefix("/") or "0"
    if not number.isdigit() or int(number) >= _PAGES:
        return b""
    links = "".join(f'<a href="/{other}">{other}</a> ' for other in range(1, _PAGES))
    text = f"The harbour garden, bed {number}: compost, leaves and a spade."
    head = f"<head><title>Bed {number}</title></head>"
    return f"<html>{head}<body><h1>Bed {number}</h1><p>{text}</p>{links}</body></html>".encode()
