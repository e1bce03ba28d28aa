"""The durable jobs of a crawl. Every address is one `fetch_page`; the rest begins crawls and picks up what was lost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import structlog

from roadworthy import current_job, hours, load_queries, minutes, seconds
from sitesearch import answers
from sitesearch.crawl.crawler import Crawler
from sitesearch.crawl.frontier import Frontier
from sitesearch.crawl.outcomes import Reason
from sitesearch.crawl.pipeline import TRIES, Outcome, Pipeline
from sitesearch.crawl.settings import CrawlSettings
from sitesearch.jobs import refresh_vocabulary
from sitesearch.service import (
    crawl_seconds,
    crawling,
    crawls_failed,
    crawls_finished,
    crawls_running,
    crawls_started,
    fetched_pages,
    page_outcomes,
    pages,
    service,
    upkeep,
)

KEPT_CRAWLS = 10

_SQL = load_queries("sitesearch.crawl")
_log = structlog.get_logger(__name__)
_COUNTED = {"fetched": "indexed", "unchanged": "unchanged", "failed": "failed"}

crawler = service.resource(Crawler.open)


@crawling.job(timeout=seconds(90))
async def fetch_page(crawl_id: int, url: str) -> None:
    """Ask for one address of a crawl and keep what came."""
    pipeline = _pipeline()
    fetched_pages.add()
    try:
        outcome = await pipeline.visit(crawl_id, url)
    except Exception as error:
        job = current_job()
        if job is not None and job.attempt >= job.attempts:
            await _count(await pipeline.give_up(crawl_id, url, f"{type(error).__name__}: {error}"))
        raise
    await _count(outcome)


@upkeep.job(every=minutes(1), timeout=minutes(5))
async def pick_up_crawls() -> None:
    """Queue addresses again whose jobs were lost, and move crawls on that nothing moves."""
    pipeline = _pipeline()
    for crawl_id, url, tries in await frontier.overdue():
        if tries + 1 >= TRIES:
            await _count(await pipeline.give_up(crawl_id, url, "its job was lost every time"))
            continue
        async with pages.transaction():
            await frontier.reschedule(crawl_id, url, timedelta(0), failed=(Reason.WORKER_LOST, "its job was lost"))
    running = await frontier.running()
    for crawl_id in running:
        await _count(Outcome(ended=await frontier.advance(crawl_id)))
    crawls_running.set(len(running))


@upkeep.job(every=minutes(1), timeout=minutes(5))
async def begin_due_crawls() -> None:
    """Crawl the sites again whose time has come."""
    for row in await pages.fetch(_SQL["due_sites"]):
        try:
            await begin_crawl(row["id"], trigger="schedule")
        except (LookupError, ValueError) as error:
            # Deleted just now, or kept under rules that have changed since: the other sites do not wait for it.
            _log.warning("scheduled crawl not begun", site=row["id"], error=str(error))


@upkeep.job(every=hours(1), timeout=minutes(30))
async def forget_old_crawls() -> None:
    """Forget what each address of long-ended crawls came to; a site's latest ten crawls stay."""
    await pages.fetch(_SQL["forget_crawls"], KEPT_CRAWLS)


async def begin_crawl(site_id: int, *, trigger: str = "manual") -> int | None:
    """Begin a crawl of a site; return its id, or None while another one of it runs.

    Raises:
        LookupError: there is no such site.
        ValueError: its settings break a rule; the message says which.
    """
    site = await pages.fetchrow(_SQL["site"], site_id)
    if site is None:
        raise LookupError(f"there is no site {site_id}")
    async with pages.transaction():
        crawl_id = await frontier.begin(site_id, CrawlSettings.of_site(site), trigger)
        await answers.forget_list()
    if crawl_id is not None:
        crawls_started.inc()
    return crawl_id


async def cancel_crawl(crawl_id: int) -> bool:
    """Stop a crawl; False if it was not running."""
    async with pages.transaction():
        cancelled = await frontier.cancel(crawl_id)
        await answers.forget_list()
    return cancelled


async def _enqueue(crawl_id: int, urls: Sequence[str], delay: timedelta | None) -> None:
    job = fetch_page if delay is None else fetch_page.with_options(delay=delay)
    await job.enqueue_many({"crawl_id": crawl_id, "url": url} for url in urls)


frontier = Frontier(pages, _enqueue, answers.forget_site_of)


def _pipeline() -> Pipeline:
    return Pipeline(pages, frontier, crawler.value)


async def _count(outcome: Outcome) -> None:
    if outcome.ending is not None:
        page_outcomes.inc(outcome=_COUNTED.get(outcome.ending.state, "refused"))
    ended = outcome.ended
    if ended is None:
        return
    (crawls_finished if ended.state == "finished" else crawls_failed).inc()
    crawl_seconds.observe(ended.seconds)
    await refresh_vocabulary.enqueue(site_id=ended.site_id)
