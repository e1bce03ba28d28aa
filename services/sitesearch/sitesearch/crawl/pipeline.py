"""One visit: an address is asked for, and everything that follows from the answer is kept in one transaction."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from roadworthy import Database, EgressRefused, load_queries
from sitesearch.crawl import addresses, politeness, sitemap
from sitesearch.crawl.crawler import Crawler
from sitesearch.crawl.extract import Extracted, http_date
from sitesearch.crawl.fetch import PAGE_TYPES, SITEMAP_TYPES, Validators
from sitesearch.crawl.frontier import Ended, Ending, Frontier, Tally
from sitesearch.crawl.outcomes import Failed, Fetched, NotModified, Reason, Redirected, Refused, Result
from sitesearch.crawl.robots import Robots
from sitesearch.crawl.settings import CrawlSettings

# How often an address is asked for before it counts as failed, and how long a server may ask to be left alone.
TRIES = 3
LONGEST_HOLD_OFF = timedelta(hours=1)
FIRST_RETRY = timedelta(seconds=1)
LONGEST_HOP_WAIT = 2.0

_SQL = load_queries("sitesearch.crawl")
_UNANSWERED = frozenset({Reason.NO_ANSWER, Reason.TOO_SLOW, Reason.SERVER_BUSY, Reason.CONNECTION, Reason.SERVER_ERROR})


@dataclass(frozen=True, slots=True)
class Visit:
    """An address to be asked for, with what the database knows of it.

    `on_its_own` says that the address which the page names as its own gave no page, so that this one stands for itself.
    """

    crawl_id: int
    site_id: int
    url: str
    kind: str
    depth: int
    tries: int
    width: int
    on_its_own: bool
    settings: CrawlSettings
    started_at: datetime
    validators: Validators | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a visit came to: how its address ended (None: it did not yet), and the crawl if that ended with it."""

    ending: Ending | None = None
    ended: Ended | None = None


class Pipeline:
    """Visits addresses for crawls: database and frontier of the service, crawler of this process."""

    def __init__(self, database: Database, frontier: Frontier, crawler: Crawler) -> None:
        """One is as good as another: nothing is kept between visits."""
        self._database = database
        self._frontier = frontier
        self._crawler = crawler

    async def visit(self, crawl_id: int, url: str) -> Outcome:
        """Ask for an address and keep what came. Doing it twice, or again after a crash anywhere, changes nothing."""
        visit = await self._load(crawl_id, url)
        if visit is None:
            return Outcome(ended=await self._frontier.advance(crawl_id))
        asked = await self._ask(visit)
        if asked is None:
            return Outcome()
        if isinstance(asked.result, Failed) and visit.tries + 1 < TRIES:
            await self._put_off(visit, asked.result)
            await self._set_width(visit, asked)
            return Outcome()
        ending = await self._keep(visit, asked)
        return Outcome(ending, await self._frontier.advance(crawl_id))

    async def give_up(self, crawl_id: int, url: str, detail: str) -> Outcome:
        """Count an address as failed because its visits themselves go wrong, so that the crawl ends without it."""
        ending = Ending("failed", Reason.WORKER_LOST, detail)
        tally = Tally()
        async with self._database.transaction():
            await self._frontier.settle(crawl_id, url, ending, tally)
            await self._frontier.queue_next(crawl_id)
            await self._frontier.write(crawl_id, tally)
        return Outcome(ending, await self._frontier.advance(crawl_id))

    async def _load(self, crawl_id: int, url: str) -> Visit | None:
        row: Any = await self._database.fetchrow(_SQL["load_visit"], crawl_id, url)
        if row is None or row["state"] != "queued" or row["crawl_state"] != "running":
            return None
        settings = CrawlSettings.from_json(row["settings"])
        same = row["extracted_by"] == settings.selectors.fingerprint
        return Visit(
            crawl_id=crawl_id,
            site_id=row["site_id"],
            url=url,
            kind=row["kind"],
            depth=row["depth"],
            tries=row["tries"],
            width=row["width"],
            on_its_own=row["on_its_own"],
            settings=settings,
            started_at=row["started_at"],
            validators=Validators(row["etag"], row["last_modified"]) if same else None,
        )

    async def _ask(self, visit: Visit) -> _Asked | None:
        """What came of asking, or None where the host's turn comes later and the visit was put off until then."""
        database, frontier = self._database, self._frontier
        origin = addresses.origin(visit.url)
        try:
            self._crawler.fetcher.guard.vet_target(*addresses.host_and_port(visit.url))
        except EgressRefused as error:
            return _Asked(Refused(Reason.PRIVATE_ADDRESS, str(error)), 0.0)
        robots = await self._crawler.robots_of(database, origin, visit.started_at)
        delay = self._delay(visit, robots)
        if robots.file.state == "unreachable":
            return _Asked(Failed(Reason.ROBOTS_UNREACHABLE), delay)
        if visit.kind == "page" and not robots.allows(visit.url):
            return _Asked(Refused(Reason.ROBOTS_FORBIDDEN), delay, robots)
        wait = await politeness.take_turn(database, origin, delay)
        if wait:
            async with database.transaction():
                await frontier.reschedule(visit.crawl_id, visit.url, timedelta(seconds=wait))
            return None
        if visit.kind == "sitemap":
            result = await self._crawler.fetcher.fetch(visit.url, accept=SITEMAP_TYPES, largest=sitemap.LARGEST)
            return _Asked(result, delay)

        async def hop(target: str) -> Redirected | Refused | Failed | None:
            return await self._vet_hop(visit, target, delay)

        result = await self._crawler.fetcher.fetch(visit.url, validators=visit.validators, accept=PAGE_TYPES, hop=hop)
        return _Asked(result, delay, robots)

    async def _vet_hop(self, visit: Visit, target: str, delay: float) -> Redirected | Refused | Failed | None:
        try:
            self._crawler.fetcher.guard.vet_target(*addresses.host_and_port(target))
        except EgressRefused as error:
            return Refused(Reason.PRIVATE_ADDRESS, f"redirects to {target}: {error}")
        scope = visit.settings.scope
        # Wherever the start leads on its host is where the site begins, whatever the patterns say.
        if not scope.contains(target) and not (visit.url == scope.start and scope.same_host(target)):
            return Refused(Reason.REDIRECT_LEAVES_SITE, f"to {target}")
        if (trap := addresses.trap(target)) is not None:
            return Refused(Reason.BAD_ADDRESS, f"redirects to {target}: {trap}")
        state = await self._database.fetchval(_SQL["address_state"], visit.crawl_id, target)
        if state not in (None, "found", "queued", "redirected"):
            return Redirected(target)
        robots = await self._crawler.robots_of(self._database, addresses.origin(target), visit.started_at)
        if robots.file.state == "unreachable":
            return Failed(Reason.ROBOTS_UNREACHABLE)
        if not robots.allows(target):
            return Refused(Reason.ROBOTS_FORBIDDEN, f"redirects to {target}")
        await asyncio.sleep(min(delay, LONGEST_HOP_WAIT))
        return None

    def _delay(self, visit: Visit, robots: Robots) -> float:
        wanted = visit.settings.delay_seconds
        if wanted is None:
            exempt = self._crawler.fetcher.guard.exempt(*addresses.host_and_port(visit.url))
            wanted = 0.0 if exempt else politeness.DEFAULT_DELAY
        return max(wanted, robots.delay)

    async def _keep(self, visit: Visit, asked: _Asked) -> Ending | None:
        """Keep what came, in one transaction; None where another visit of the address had done so."""
        found = await self._read(visit, asked.result)
        tally = Tally()
        frontier = self._frontier
        async with self._database.transaction():
            depth = await frontier.settle(visit.crawl_id, visit.url, found.ending, tally, visit.kind)
            if depth is not None:
                await self._keep_found(visit, found, depth, tally)
                if asked.robots is not None and visit.url == visit.settings.start_url:
                    await self._add_sitemaps(visit, asked.robots, tally)
            await frontier.queue_next(visit.crawl_id)
            await frontier.write(visit.crawl_id, tally)
        await self._set_width(visit, asked)
        return None if depth is None else found.ending

    async def _put_off(self, visit: Visit, failed: Failed) -> None:
        delay = FIRST_RETRY * 4**visit.tries
        if failed.retry_after is not None:
            delay = max(delay, min(failed.retry_after, LONGEST_HOLD_OFF))
        async with self._database.transaction():
            await self._frontier.reschedule(visit.crawl_id, visit.url, delay, failed=(failed.reason, failed.detail))
        if failed.retry_after:
            await politeness.hold_off(self._database, addresses.origin(visit.url), delay.total_seconds())

    async def _set_width(self, visit: Visit, asked: _Asked) -> None:
        answered = not isinstance(asked.result, Failed | Refused) or asked.result.reason not in _UNANSWERED
        width = politeness.width(visit.width, visit.settings.concurrency, asked.delay, answered=answered)
        if width != visit.width:
            await self._database.execute(_SQL["set_width"], visit.crawl_id, width)

    async def _read(self, visit: Visit, result: Result) -> _Found:
        """What an answer means for its address. Extracting comes before the transaction, which so stays short."""
        match result:
            case Fetched() if visit.kind == "sitemap":
                return await self._read_sitemap(visit, result)
            case Fetched():
                return _read_page(visit, result, await self._crawler.extract(result, visit.settings.selectors))
            case NotModified():
                return _Found(Ending("unchanged"))
            case Redirected(target):
                return _Found(Ending("redirected", target=target))
            case Failed(reason, detail):
                return _Found(Ending("failed", reason, detail))
            case Refused(Reason.HTTP_STATUS | Reason.CONTENT_TYPE) if visit.url == _guessed_sitemap(visit.settings):
                # Nobody said that there is one.
                return _Found(Ending("skipped"))
            case Refused(reason, detail):
                return _Found(Ending("refused", reason, detail))

    async def _read_sitemap(self, visit: Visit, fetched: Fetched) -> _Found:
        try:
            read = await self._crawler.read_sitemap(fetched)
        except sitemap.BadSitemap as error:
            return _Found(Ending("refused", Reason.BAD_SITEMAP, str(error), bytes=fetched.size))
        detail = f"it lists more than the {sitemap.MOST_ADDRESSES} addresses that are read" if read.cut else None
        # An index may only list what lies on its own host, or on the site's.
        origin, scope = addresses.origin(visit.url), visit.settings.scope
        sitemaps = [url for url in read.sitemaps if addresses.origin(url) == origin or scope.same_host(url)]
        return _Found(Ending("fetched", None, detail, bytes=fetched.size), links=read.pages, sitemaps=sitemaps)

    async def _keep_found(self, visit: Visit, found: _Found, depth: int, tally: Tally) -> None:
        frontier, settings, crawl_id = self._frontier, visit.settings, visit.crawl_id
        if found.ending.state == "unchanged":
            links = await self._database.fetchval(_SQL["keep_page"], visit.site_id, visit.url, crawl_id, depth)
            await frontier.add(crawl_id, settings, links or [], depth + 1, tally)
            return
        if found.ending.state == "failed" and visit.kind == "page":
            # As it is kept itself, so is what it led to when it was last there.
            known = await self._database.fetchval(_SQL["links_of"], visit.site_id, visit.url)
            await frontier.add(crawl_id, settings, known or [], depth + 1, tally)
        if found.claims is not None and not await frontier.claim_target(crawl_id, found.claims, depth, tally):
            return
        if found.page is not None:
            await self._save(visit, found.page, depth)
        await frontier.add(crawl_id, settings, found.sitemaps, depth, tally, "sitemap")
        await frontier.add(crawl_id, settings, found.beside, depth, tally)
        await frontier.add(crawl_id, settings, found.links, depth + 1, tally)

    async def _add_sitemaps(self, visit: Visit, robots: Robots, tally: Tally) -> None:
        guess = addresses.normalise("/sitemap.xml", visit.url)
        await self._frontier.add(visit.crawl_id, visit.settings, robots.sitemaps or [guess], 0, tally, "sitemap")

    async def _save(self, visit: Visit, page: _Page, depth: int) -> None:
        extracted, fetched = page.extracted, page.fetched
        modified = extracted.modified_at or http_date(fetched.last_modified)
        made_by = visit.settings.selectors.fingerprint
        kept = await self._database.fetchval(
            _SQL["refresh_page"],
            *(visit.site_id, fetched.url, visit.crawl_id, depth, fetched.etag, fetched.last_modified, made_by),
            *(extracted.links, extracted.published_at, modified, extracted.language, extracted.content_hash),
        )
        if kept is None:
            await self._database.execute(
                _SQL["save_page"],
                *(visit.site_id, visit.crawl_id, fetched.url, depth, extracted.title, extracted.headings),
                *(extracted.description, extracted.text, extracted.language, extracted.published_at, modified),
                *(fetched.etag, fetched.last_modified, extracted.content_hash, made_by, extracted.links),
            )


@dataclass(frozen=True, slots=True)
class _Asked:
    result: Result
    delay: float
    robots: Robots | None = None


@dataclass(frozen=True, slots=True)
class _Page:
    fetched: Fetched
    extracted: Extracted


@dataclass(frozen=True, slots=True)
class _Found:
    """`claims` is the address that a redirect led to, `beside` what lies at the same depth, `links` one further."""

    ending: Ending
    page: _Page | None = None
    claims: str | None = None
    links: list[str] | tuple[str, ...] = ()
    beside: list[str] | tuple[str, ...] = ()
    sitemaps: list[str] | tuple[str, ...] = ()


def _guessed_sitemap(settings: CrawlSettings) -> str:
    return addresses.normalise("/sitemap.xml", settings.start_url)


def _read_page(visit: Visit, fetched: Fetched, extracted: Extracted) -> _Found:
    noindex, nofollow = _robots_tag(fetched.robots_tag)
    scope = visit.settings.scope
    links = () if nofollow else [url for url in extracted.links if scope.same_host(url)]
    claims = None if fetched.url == visit.url else fetched.url
    canonical = extracted.canonical
    # It counts within the site: a mirror names the original's address on every page, and is searched all the same.
    elsewhere = (
        canonical is not None
        and not visit.on_its_own
        and canonical not in (fetched.url, visit.url)
        and scope.contains(canonical)
    )
    if noindex or extracted.noindex:
        return _Found(Ending("refused", Reason.NO_INDEX, bytes=fetched.size), links=links)
    if elsewhere and canonical is not None and addresses.trap(canonical) is None:
        ending = Ending("duplicate", Reason.CANONICAL_ELSEWHERE, target=canonical, bytes=fetched.size)
        return _Found(ending, links=links, beside=[canonical])
    if claims is not None:
        ending = Ending("redirected", target=claims, bytes=fetched.size)
    else:
        ending = Ending("fetched", bytes=fetched.size)
    return _Found(ending, _Page(fetched, extracted), claims, links)


def _robots_tag(header: str) -> tuple[bool, bool]:
    """Whether an X-Robots-Tag says noindex and nofollow to us; "otherbot: noindex" does not."""
    agent, words = "", set[str]()
    for part in header.split(","):
        before, colon, after = part.partition(":")
        if colon and before.strip() != "unavailable_after":
            agent = before.strip()
        if agent in ("", "sitesearch"):
            words.add((after if colon else before).strip())
    return not words.isdisjoint({"noindex", "none"}), not words.isdisjoint({"nofollow", "none"})
