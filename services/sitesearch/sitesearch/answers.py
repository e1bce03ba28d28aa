"""What is asked for again and again, answered from caches; and what makes these answers out of date.

Whoever writes calls `forget_site` or `forget_list` in the transaction that writes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

from roadworthy import DependencyFailed
from sitesearch.search import find
from sitesearch.search.find import Found, Since, Site
from sitesearch.search.query import squeezed
from sitesearch.service import analytics, pages, results, search_seconds, searching, suggestions
from sitesearch.service import sites as known_sites
from sitesearch.sites import queries, sites
from sitesearch.sites.queries import Day, QueryCount
from sitesearch.sites.sites import SiteSummary

_LIST = "list"


@dataclass(frozen=True, slots=True)
class Analysis:
    """What people searched for on a site, what they did not find, and how much by day."""

    top: list[QueryCount]
    in_vain: list[QueryCount]
    by_day: list[Day]


async def search(
    site: str, text: str, *, page: int = 1, since: Since | None = None, exact: bool = False
) -> Found | None:
    """Search the site of that slug; None where there is none. Raises TimeoutError where that cannot be done in time.

    `took` is the time that this answer took, whether it was searched for or remembered.
    """
    started = time.perf_counter()
    try:
        found = await _results(site, squeezed(text), min(max(page, 1), find.MOST_PAGES), since, exact)
    except DependencyFailed as error:
        raise TimeoutError(str(error)) from error
    return None if found is None else replace(found, took=timedelta(seconds=time.perf_counter() - started))


@results.cached(key="{site}:{text}:{page}:{since}:{exact}", tags=["site:{site}"])
async def _results(site: str, text: str, page: int, since: Since | None, exact: bool) -> Found | None:
    found = await searching.call(_search, site, text, page, since, exact)
    if found is not None and found.query.terms:
        search_seconds.observe(found.took.total_seconds())
    return found


async def _search(site: str, text: str, page: int, since: Since | None, exact: bool) -> Found | None:
    chosen = await find.find_site(pages, site)
    if chosen is None:
        return None
    return await find.search(pages, chosen, text, page=page, since=since, exact=exact, now=datetime.now(UTC))


async def suggest(site: str, text: str, *, limit: int = 8) -> list[str] | None:
    """Return whole queries that `text` may be the beginning of; None where there is no site of that slug."""
    return await _suggestions(site, squeezed(text), limit)


@suggestions.cached(key="{site}:{text}:{limit}", tags=["site:{site}"])
async def _suggestions(site: str, text: str, limit: int) -> list[str] | None:
    chosen = await find_site(site)
    return None if chosen is None else await searching.call(partial(find.suggest, limit=limit), pages, chosen, text)


@known_sites.cached(key="{slug}", tags=["site:{slug}"])
async def find_site(slug: str) -> Site | None:
    """Return the site of that slug, or None."""
    return await find.find_site(pages, slug)


@known_sites.cached(tags=[_LIST])
async def list_sites() -> list[SiteSummary]:
    """Return the sites by name. The pages of one that is being crawled are counted once a minute."""
    return await sites.list_sites(pages)


@analytics.cached(key="{site}:{days}:{limit}", tags=["site:{slug}"])
async def analyse(site: int, slug: str, days: int, limit: int = 20) -> Analysis:
    """Return what people searched for on a site in the last days, as it was known a minute ago."""
    return Analysis(
        top=await queries.top(pages, site, days, limit),
        in_vain=await queries.in_vain(pages, site, days, limit),
        by_day=await queries.by_day(pages, site, days),
    )


async def forget_site(slug: str) -> None:
    """Have nothing be answered any more with what was known of a site."""
    tag = f"site:{slug}"
    for cache in (results, suggestions, analytics):
        await cache.invalidate(tag)
    await known_sites.invalidate(tag, _LIST)


async def forget_site_of(id: int) -> None:
    """Do the same for the site of an id, where there is one."""
    slug = await sites.slug_of(pages, id)
    if slug is not None:
        await forget_site(slug)


async def forget_list() -> None:
    """Have the list of sites be read anew, as when a crawl begins."""
    await known_sites.invalidate(_LIST)
