"""The jobs of the service but a crawl's, and what its processes hold open, for `service.py` to import last."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from roadworthy import minutes
from sitesearch import answers
from sitesearch.search import vocabulary
from sitesearch.service import pages, service, upkeep
from sitesearch.sites import queries
from sitesearch.sites.queries import Recorder


def _open_recorder() -> AbstractAsyncContextManager[Recorder]:
    return Recorder.open(pages)


recorder = service.resource(_open_recorder)


@upkeep.job(unique="{site_id}", timeout=minutes(10))
async def refresh_vocabulary(site_id: int) -> None:
    """Count the words of a site; a crawl asks for it when it ends, and every minute until then.

    What was found by the words and pages of before is found anew after that.
    """
    async with pages.transaction():
        await vocabulary.refresh(pages, site_id)
        await answers.forget_site_of(site_id)


@upkeep.job(unique="{site_id}", timeout=minutes(30))
async def index_site_again(site_id: int) -> None:
    """Index a site's pages anew after its language was changed."""
    await vocabulary.index_again(pages, site_id)
    await refresh_vocabulary(site_id=site_id)


@upkeep.job(every=minutes(1), timeout=minutes(1))
async def refresh_stale_vocabularies() -> None:
    """Count the words of sites that are being crawled, or whose crawl ended without asking for it."""
    for site in await vocabulary.stale_sites(pages):
        await refresh_vocabulary.enqueue(site_id=site)


@upkeep.job(cron="17 3 * * *", timeout=minutes(5))
async def forget_old_queries() -> None:
    """Forget what was searched for long ago."""
    await queries.forget_old(pages)
