"""Runs real crawls in tests: the service on a throw-away database, with a worker of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sites import Site

from roadworthy import seconds, testing
from roadworthy.jobs.worker import Worker
from roadworthy.security.egress import EgressGuard
from sitesearch.crawl import jobs, progress
from sitesearch.crawl.crawler import Crawler
from sitesearch.crawl.fetch import Limits
from sitesearch.service import pages, service

QUICK = Limits(connect=1.0, read=1.0, total=3.0)


@asynccontextmanager
async def running(
    patch: pytest.MonkeyPatch, *sites: Site, limits: Limits = QUICK, guard: EgressGuard | None = None
) -> AsyncIterator[None]:
    """The service with a worker at work, allowed to crawl `sites` or what `guard` lets pass."""
    guard = guard or EgressGuard(
        frozenset(("127.0.0.1", site.port) for site in sites), variable="SITESEARCH_ALLOW_HOSTS"
    )
    patch.setattr(jobs.crawler, "_open", lambda: Crawler.open(guard, limits))
    async with testing.running(service), working():
        yield


@asynccontextmanager
async def working() -> AsyncIterator[None]:
    """A worker on every queue."""
    binding = service.binding("test")
    spec = service.spec
    worker = Worker(binding.engine, spec.jobs, spec.queues, name="test", metrics=binding.metrics, poll=seconds(0.01))
    stop = asyncio.Event()
    task = asyncio.create_task(worker.run(stop, seconds(0)))
    try:
        yield
    finally:
        stop.set()
        async with asyncio.timeout(60):
            await task


async def add_site(url: str, **columns: object) -> int:
    """Add a site and return its id."""
    names = ["name", "start_url", *columns]
    values = ["test", url, *columns.values()]
    placeholders = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    sql = f"INSERT INTO sites ({', '.join(names)}) VALUES ({placeholders}) RETURNING id"  # noqa: S608
    id: int = await pages.fetchval(sql, *values)
    return id


async def ended(crawl_id: int, *, within: float = 60) -> progress.Progress:
    """Wait for a crawl to end."""
    async with asyncio.timeout(within):
        while True:
            now = await progress.read(pages, crawl_id)
            assert now is not None
            if now.state != "running":
                return now
            await asyncio.sleep(0.02)


async def crawl(site_id: int, *, within: float = 60) -> progress.Progress:
    """Crawl a site to the end."""
    crawl_id = await jobs.begin_crawl(site_id)
    assert crawl_id is not None
    return await ended(crawl_id, within=within)


async def stored(site_id: int) -> set[str]:
    """The addresses of a site's pages, without scheme and host."""
    rows = await pages.fetch("SELECT url FROM pages WHERE site_id = $1", site_id)
    return {"/" + row["url"].split("/", 3)[3] for row in rows}
