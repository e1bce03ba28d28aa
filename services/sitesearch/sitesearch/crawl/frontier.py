"""What a crawl has left to do, kept in the database alone.

A crawl goes level by level, as a breadth-first search: every address at distance d from the start is settled before one
at d + 1 is begun, and where a limit cuts a level, spelling decides what stays. So the set of pages does not depend on
which page answered first, nor on what died in between.

An address passes from `found` to `queued` in the transaction that adds its job, and from `queued` to its end in the one
that keeps its page, adds its links and queues the next address in its place. So a crawl holds as many jobs as its site
bears, and however many addresses are waiting, neither the queue nor any process holds them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from roadworthy import Database, load_queries
from sitesearch.crawl import addresses
from sitesearch.crawl.outcomes import Reason
from sitesearch.crawl.settings import CrawlSettings

# A queued address that is later than this by the database's clock has lost its job.
OVERDUE = timedelta(minutes=10)
MOST_SITEMAPS = 200

_SQL = load_queries("sitesearch.crawl")

Enqueue = Callable[[int, Sequence[str], timedelta | None], Awaitable[None]]
End = Literal["fetched", "unchanged", "duplicate", "redirected", "refused", "failed", "skipped"]
Kind = Literal["page", "sitemap"]


@dataclass(frozen=True, slots=True)
class Ending:
    """How an address ended: its state, the reason and detail where it gave no page, and where it led."""

    state: End
    reason: Reason | None = None
    detail: str | None = None
    target: str | None = None
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """A crawl that came to its end just now."""

    crawl_id: int
    site_id: int
    state: Literal["finished", "failed"]
    seconds: float


@dataclass(slots=True)
class Tally:
    """What one transaction adds to a crawl's counts, by outcome and reason."""

    counts: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)

    def add(self, outcome: str, reason: str | None = None, *, urls: int = 1, bytes: int = 0) -> None:
        """Count so many addresses, and the bytes that came for them; a negative number takes a count back."""
        if urls:
            before = self.counts.get((outcome, reason or ""), (0, 0))
            self.counts[outcome, reason or ""] = (before[0] + urls, before[1] + bytes)


class Frontier:
    """The addresses of crawls.

    `enqueue` adds visits to the queue, and `forget` ends what is remembered of a site, both in the transaction that the
    task is in.
    """

    def __init__(self, database: Database, enqueue: Enqueue, forget: Callable[[int], Awaitable[None]]) -> None:
        """Of the service's database."""
        self._database = database
        self._enqueue = enqueue
        self._forget = forget

    async def begin(self, site_id: int, settings: CrawlSettings, trigger: str) -> int | None:
        """Begin a crawl of a site and return its id, or None while another one runs."""
        database = self._database
        async with database.transaction():
            crawl_id: int | None = await database.fetchval(_SQL["begin_crawl"], site_id, trigger, settings.json)
            if crawl_id is not None:
                tally = Tally()
                await self.add(crawl_id, settings, [settings.start_url], 0, tally)
                await self.write(crawl_id, tally)
                await self.queue_next(crawl_id)
        return crawl_id

    async def settle(self, crawl_id: int, url: str, ending: Ending, tally: Tally, kind: str = "page") -> int | None:
        """End an address, counting it. Return its depth, or None where somebody else had ended it."""
        row = await self._database.fetchrow(
            _SQL["settle_address"], crawl_id, url, ending.state, ending.reason, _storable(ending.detail), ending.target
        )
        if row is None:
            return None
        outcome = ending.state if kind == "page" else f"{kind}_{ending.state}"
        tally.add(outcome, ending.reason, bytes=ending.bytes)
        return int(row["depth"])

    async def claim_target(self, crawl_id: int, url: str, depth: int, tally: Tally) -> bool:
        """Take a redirect's target as fetched by the way; False where it was done already."""
        row = await self._database.fetchrow(_SQL["claim_target"], crawl_id, url, addresses.shape(url), depth)
        if row is None:
            return False
        tally.add("found_page", urls=int(row["is_new"]))
        tally.add("fetched")
        return True

    async def add(
        self,
        crawl_id: int,
        settings: CrawlSettings,
        found: Sequence[str],
        depth: int,
        tally: Tally,
        kind: Kind = "page",
    ) -> None:
        """Add what is new among normalised addresses that belong to the site, if they are near enough to its start."""
        if kind == "page":
            if depth > settings.max_depth:
                return
            scope = settings.scope
            found = [url for url in found if scope.contains(url) and addresses.trap(url) is None]
        if not found:
            return
        most = MOST_SITEMAPS if kind == "sitemap" else settings.most_addresses
        shapes = [addresses.shape(url) for url in found]
        added = await self._database.fetchval(_SQL["add_addresses"], crawl_id, found, shapes, depth, kind, most)
        tally.add(f"found_{kind}", urls=added)

    async def queue_next(self, crawl_id: int) -> int:
        """Queue as many addresses of the level as the site bears; return how many."""
        rows = await self._database.fetch(_SQL["take_next"], crawl_id, timedelta(0))
        if rows:
            await self._enqueue(crawl_id, [row["url"] for row in rows], None)
        return len(rows)

    async def reschedule(
        self,
        crawl_id: int,
        url: str,
        delay: timedelta,
        *,
        failed: tuple[Reason, str] | None = None,
    ) -> None:
        """Queue an address again after `delay`, counting a try if it failed."""
        reason, detail = failed or (None, None)
        tries = await self._database.fetchval(
            _SQL["reschedule"], crawl_id, url, 1 if failed else 0, reason, _storable(detail), delay
        )
        if tries is not None:
            await self._enqueue(crawl_id, [url], delay)

    async def write(self, crawl_id: int, tally: Tally) -> None:
        """Keep the counts. The last write of a transaction, since others may wait for it."""
        if tally.counts:
            outcomes, reasons = zip(*tally.counts, strict=True)
            urls, bytes_ = zip(*tally.counts.values(), strict=True)
            await self._database.execute(_SQL["tally"], crawl_id, outcomes, reasons, urls, bytes_)

    async def advance(self, crawl_id: int) -> Ended | None:
        """Begin the next level when this one is done, or end the crawl after the last; return it if it ended now.

        Called after the transaction that ended an address has committed: of the last two to end, at least one then sees
        that none is left.
        """
        if await self._database.fetchval(_SQL["any_queued"], crawl_id):
            return None
        async with self._database.transaction():
            crawl = await self._database.fetchrow(_SQL["lock_crawl"], crawl_id)
            if crawl is None or crawl["state"] != "running":
                return None
            if await self._database.fetchval(_SQL["any_queued"], crawl_id):
                return None
            settings = CrawlSettings.from_json(crawl["settings"])
            while not await self.queue_next(crawl_id):
                if await self._database.fetchval(_SQL["any_found"], crawl_id):
                    await self._open_level(crawl_id, settings)
                elif not await self._reopen(crawl_id):
                    return await self._end(crawl_id, settings)
        return None

    async def cancel(self, crawl_id: int) -> bool:
        """Stop a crawl; visits that are under way keep nothing. False if it was not running."""
        return (
            await self._database.fetchval(_SQL["end_crawl"], crawl_id, "cancelled", Reason.CRAWL_CANCELLED)
        ) is not None

    async def overdue(self) -> list[tuple[int, str, int]]:
        """Queued addresses that lost their job, as (crawl, address, tries)."""
        return [tuple(row) for row in await self._database.fetch(_SQL["overdue"], OVERDUE)]

    async def running(self) -> list[int]:
        """The crawls under way."""
        return [row["id"] for row in await self._database.fetch(_SQL["running_crawls"])]

    async def _open_level(self, crawl_id: int, settings: CrawlSettings) -> None:
        database, tally = self._database, Tally()
        level = await database.fetchval(_SQL["next_level"], crawl_id)
        alike = await database.fetchval(_SQL["skip_alike"], crawl_id, level, settings.max_alike)
        beyond = await database.fetchval(_SQL["skip_beyond_limit"], crawl_id, level, settings.max_pages)
        tally.add("skipped", Reason.TOO_MANY_ALIKE, urls=alike)
        tally.add("skipped", Reason.PAGE_LIMIT, urls=beyond)
        await self.write(crawl_id, tally)

    async def _reopen(self, crawl_id: int) -> bool:
        """Have pages visited as their own that named another one which then gave no page; False if there are none."""
        reopened = await self._database.fetchval(_SQL["reopen_stranded"], crawl_id)
        tally = Tally()
        tally.add("duplicate", Reason.CANONICAL_ELSEWHERE, urls=-reopened)
        await self.write(crawl_id, tally)
        return bool(reopened)

    async def _end(self, crawl_id: int, settings: CrawlSettings) -> Ended:
        database = self._database
        totals: list[Any] = await database.fetch(_SQL["outcome_totals"], crawl_id)
        kept = sum(row["urls"] for row in totals if row["outcome"] in ("fetched", "unchanged") and not row["reason"])
        reason = None
        if not kept:
            start = await database.fetchrow(_SQL["start_outcome"], crawl_id, settings.start_url)
            reason = None if start is None else start["reason"]
        state: Literal["finished", "failed"] = "finished" if kept else "failed"
        await database.execute(_SQL["end_crawl"], crawl_id, state, reason)
        crawl: Any = await database.fetchrow(_SQL["crawl"], crawl_id)
        if kept:
            await database.execute(_SQL["forget_vanished"], crawl["site_id"], crawl_id)
        await self._forget(crawl["site_id"])
        return Ended(crawl_id, crawl["site_id"], state, crawl["seconds"])


def _storable(text: str | None) -> str | None:
    # What a server says of itself may hold what PostgreSQL's text does not.
    return None if text is None else text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")[:1000]
