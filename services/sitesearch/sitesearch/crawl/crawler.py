"""What a worker process holds for its visits: connections, the rules of hosts met lately, and threads to extract in."""

from __future__ import annotations

import asyncio
import functools
import os
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import datetime
from typing import ParamSpec, TypeVar

from roadworthy import Database, load_queries
from roadworthy.security.egress import EgressGuard
from sitesearch.crawl import charset, extract, robots, sitemap
from sitesearch.crawl.extract import Extracted, Selectors
from sitesearch.crawl.fetch import CONTACT_VARIABLE, Fetcher, Limits
from sitesearch.crawl.guard import guard_of
from sitesearch.crawl.outcomes import Fetched
from sitesearch.crawl.robots import Robots, RobotsFile
from sitesearch.crawl.sitemap import Sitemap

P = ParamSpec("P")
T = TypeVar("T")

# Extracting a body of this many bytes takes some milliseconds; larger ones are extracted off the event loop.
INLINE = 128 * 1024
MOST_ROBOTS = 128

_SQL = load_queries("sitesearch.crawl")


class Crawler:
    """One per process; made with `Crawler.open`."""

    def __init__(self, fetcher: Fetcher, threads: ThreadPoolExecutor) -> None:
        """See `open`."""
        self.fetcher = fetcher
        self._threads = threads
        self._robots: OrderedDict[str, tuple[datetime, Robots]] = OrderedDict()

    @classmethod
    @asynccontextmanager
    async def open(cls, guard: EgressGuard | None = None, limits: Limits | None = None) -> AsyncIterator[Crawler]:
        """A crawler for the time of an `async with`; guard and contact are the environment's by default."""
        contact = os.environ.get(CONTACT_VARIABLE, "")
        async with Fetcher.open(guard or guard_of(os.environ), limits, contact=contact) as fetcher:
            # One thread: parsed trees are many times their page, and two would only share the interpreter.
            threads = ThreadPoolExecutor(1, thread_name_prefix="extract")
            try:
                yield cls(fetcher, threads)
            finally:
                threads.shutdown(wait=True, cancel_futures=True)

    async def robots_of(self, database: Database, origin: str, since: datetime) -> Robots:
        """The rules of an origin, as asked since a moment by the database's clock by any worker, or else asked now."""
        fetched_at = await database.fetchval(_SQL["robots_fetched_at"], origin)
        if fetched_at is None or fetched_at < since:
            file = await robots.ask(self.fetcher, origin)
            fetched_at = await database.fetchval(_SQL["save_robots"], origin, file.state, file.text)
            return self._remember(origin, fetched_at, file)
        known = self._robots.get(origin)
        if known is not None and known[0] == fetched_at:
            self._robots.move_to_end(origin)
            return known[1]
        row = await database.fetchrow(_SQL["robots_of"], origin)
        file = RobotsFile("unreachable") if row is None else RobotsFile(row["robots_state"], row["robots_text"])
        return self._remember(origin, fetched_at if row is None else row["robots_fetched_at"], file)

    async def extract(self, fetched: Fetched, selectors: Selectors) -> Extracted:
        """Extract a fetched page, a large one in a thread."""
        return await self._aside(len(fetched.body), _extract, fetched, selectors)

    async def read_sitemap(self, fetched: Fetched) -> Sitemap:
        """Read a fetched sitemap, a large one in a thread; raise BadSitemap where it is none."""
        return await self._aside(len(fetched.body) * 16, sitemap.read, fetched.body, fetched.url)

    async def _aside(self, work: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if work <= INLINE:
            return function(*args, **kwargs)
        call = functools.partial(function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def _remember(self, origin: str, fetched_at: datetime, file: RobotsFile) -> Robots:
        rules = Robots(file)
        self._robots[origin] = (fetched_at, rules)
        self._robots.move_to_end(origin)
        while len(self._robots) > MOST_ROBOTS:
            self._robots.popitem(last=False)
        return rules


def _extract(fetched: Fetched, selectors: Selectors) -> Extracted:
    document = charset.decode(fetched.body, fetched.charset)
    if fetched.media_type == "text/plain":
        return extract.plain(document, fetched.url)
    return extract.html(document, fetched.url, selectors)
