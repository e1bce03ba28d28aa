"""What the handlers share: finding what an address names, and how a search is counted."""

from __future__ import annotations

import re

from fastapi import HTTPException

from roadworthy.http.problems import Problem
from sitesearch import answers
from sitesearch.crawl import progress
from sitesearch.crawl.progress import Progress
from sitesearch.jobs import recorder
from sitesearch.search.find import Found, Since, Site
from sitesearch.service import pages, searches
from sitesearch.sites import sites
from sitesearch.sites.sites import SiteDetail

_SLUG = re.compile(r"[a-z0-9-]{1,63}")
NO_SITE = "There is no such site. It may have been deleted; the front page lists those there are."


async def site_or_404(slug: str) -> Site:
    """Return the site of that slug, or raise HTTPException 404."""
    site = await answers.find_site(slug) if _SLUG.fullmatch(slug) else None
    if site is None:
        raise HTTPException(404, NO_SITE)
    return site


async def found_or_404(
    slug: str, text: str, *, page: int = 1, since: Since | None = None, exact: bool = False
) -> Found:
    """Search the site of that slug, or raise HTTPException 404. Raises TimeoutError where that took too long."""
    known = _SLUG.fullmatch(slug)
    found = await answers.search(slug, text, page=page, since=since, exact=exact) if known else None
    if found is None:
        raise HTTPException(404, NO_SITE)
    return found


async def detail_or_404(slug: str) -> SiteDetail:
    """Return the site with its settings, or raise HTTPException 404."""
    site = await sites.get_site(pages, slug) if _SLUG.fullmatch(slug) else None
    if site is None:
        raise HTTPException(404, NO_SITE)
    return site


async def progress_or_404(site: SiteDetail, crawl: int) -> Progress:
    """Return how a crawl of the site stands, or raise HTTPException 404."""
    found = await progress.read(pages, crawl) if 0 < crawl < 2**63 else None
    if found is None or found.site_id != site.id:
        raise HTTPException(404, "There is no such crawl of this site.")
    return found


def too_slow() -> Problem:
    """The problem that a search ran out of time."""
    return Problem(503, detail="The search took too long; try again.", headers={"retry-after": "2"})


def measure(found: Found, *, record: bool) -> None:
    """Count a search, remembered or not, in the metrics and, where a person meant it, in the site's queries."""
    if not found.query.terms:
        return
    searches.inc(has_results="yes" if found.total else "no")
    if record:
        recorder.value.record(found.site.id, found.query.text, found=bool(found.total) and found.corrected is None)
