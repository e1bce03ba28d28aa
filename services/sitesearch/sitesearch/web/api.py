"""The API, version 1. It asks for keys, each of its site. Errors are problem details (RFC 9457); lists are bounded."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Security
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field
from starlette.responses import Response

from roadworthy.http.problems import Problem
from sitesearch import answers
from sitesearch.crawl import progress as crawl_progress
from sitesearch.crawl.jobs import begin_crawl, cancel_crawl
from sitesearch.crawl.outcomes import Reason
from sitesearch.jobs import recorder
from sitesearch.search import find
from sitesearch.search.find import Found, Since
from sitesearch.search.query import LONGEST_QUERY
from sitesearch.service import pages
from sitesearch.sites import export, sites
from sitesearch.sites.settings import PRINTED, SiteSettings
from sitesearch.sites.sites import SiteDetail
from sitesearch.web.access import own_detail, own_site
from sitesearch.web.context import detail_or_404, found_or_404, measure, progress_or_404, too_slow
from sitesearch.web.forms import refuse_other_sites
from sitesearch.web.owner import apply_settings, export_response, remove_site
from sitesearch.web.progress import as_json
from sitesearch.web.reports import SearchReport
from sitesearch.web.subdomains import refuse_other_sites_there


class ProblemView(BaseModel):
    """Problem details (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str | None = None
    request_id: str | None = None
    errors: list[dict[str, Any]] | None = Field(default=None, description="What of the request is not valid.")


_PROBLEM = {"content": {"application/problem+json": {"schema": ProblemView.model_json_schema()}}}
_EXPORT: dict[str, Any] = {"content": {media_type.partition(";")[0]: {} for media_type in export.MEDIA_TYPES.values()}}

# Keys are verified before a request gets here; this is for the description, which tools read.
_BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="API key",
    description="A key of the site, from the page of its owner or `roadworthy keys issue`.",
)

router = APIRouter(
    prefix="/api/v1",
    dependencies=[Security(_BEARER), Depends(refuse_other_sites_there)],
    responses={
        "4XX": {"description": "The request cannot be met as it is.", **_PROBLEM},
        "5XX": {"description": "The service cannot meet it at the moment.", **_PROBLEM},
    },
)

QueryText = Annotated[str, Query(max_length=LONGEST_QUERY, description='Words, "a phrase", -without.')]
Exact = Annotated[bool, Query(description="Search the query as it is, without correcting it.")]
Days = Annotated[int, Query(ge=1, le=365, description="How many days back, today included.")]


class SiteView(BaseModel):
    """A site."""

    slug: str
    pages: int = Field(description="Pages in the index.")
    settings: SiteSettings


class SiteInList(BaseModel):
    """A site in a list."""

    slug: str
    name: str
    start_url: str
    pages: int
    crawl: int | None = Field(description="The latest crawl.")
    crawl_state: str | None


class CrawlInList(BaseModel):
    """A crawl in a list."""

    crawl_id: int
    state: str
    trigger: str
    reason: str | None
    started_at: datetime
    finished_at: datetime | None


class CrawlView(BaseModel):
    """A crawl as it stands."""

    crawl_id: int
    state: str
    trigger: str
    reason: str | None
    started_at: datetime
    finished_at: datetime | None
    seconds: float
    pages: int = Field(description="Pages that answered and are in the index.")
    pages_per_second: float
    found: int
    done: int
    waiting: int
    fetched: int
    unchanged: int
    redirected: int
    duplicate: int
    refused: int
    failed: int
    skipped: int
    bytes: int
    reasons: dict[str, int] = Field(description="Why addresses gave no page, and how many.")


class RefusalView(BaseModel):
    """An address that gave no page."""

    url: str
    state: str
    reason: str
    text: str
    detail: str
    target: str


class ResultView(BaseModel):
    """A page found."""

    url: str
    title: str
    title_html: str = Field(description="Safe HTML with the found words in <mark>.")
    excerpt_html: str = Field(description="Safe HTML with the found words in <mark>.")
    date: datetime
    score: float


class SearchView(BaseModel):
    """What a search found."""

    query: str
    corrected: str | None = Field(description="The query searched instead, where the given one found too little.")
    suggestion: str | None = Field(description="A likelier query to offer.")
    partial: bool = Field(description="No page has all words; these have some.")
    total: int
    more: bool = Field(description="Whether `total` is a lower bound.")
    counts: dict[str, int] = Field(description="Pages by age: anytime, day, week, month, year.")
    page: int
    pages: int
    took_ms: float
    results: list[ResultView]


class QueryCountView(BaseModel):
    """A query, how often it was searched, and how often in vain."""

    query: str
    searches: int
    without_results: int


class DayView(BaseModel):
    """The searches of a day."""

    day: date
    searches: int
    without_results: int


class AnalyticsView(BaseModel):
    """What people searched for."""

    top: list[QueryCountView]
    without_results: list[QueryCountView]
    by_day: list[DayView]


def _site_view(site: SiteDetail) -> SiteView:
    return SiteView(slug=site.slug, pages=site.pages, settings=site.settings)


def _search_view(found: Found) -> SearchView:
    return SearchView(
        query=found.query.text,
        corrected=found.corrected,
        suggestion=found.suggestion,
        partial=found.partial,
        total=found.total,
        more=found.more,
        counts=dict(found.counts),
        page=found.page,
        pages=found.pages,
        took_ms=round(found.took.total_seconds() * 1000, 2),
        results=[
            ResultView(
                url=result.url,
                title=result.plain_title,
                title_html=result.title,
                excerpt_html=result.excerpt,
                date=result.date,
                score=round(result.score, 4),
            )
            for result in found.results
        ],
    )


@router.get("/sites", tags=["sites"])
async def list_sites() -> list[SiteInList]:
    """List the sites by name, at most 500."""
    return [
        SiteInList(
            slug=each.slug, name=each.name, start_url=each.start_url, pages=each.pages, crawl=each.crawl_id,
            crawl_state=each.state,
        )
        for each in await answers.list_sites()
    ]  # fmt: skip


@router.post("/sites", tags=["sites"], status_code=201)
async def add_site(request: Request, settings: SiteSettings, response: Response) -> SiteView:
    """Add a site. It is crawled when asked to, or by its own schedule."""
    refuse_other_sites(request)
    async with pages.transaction():
        slug = await sites.add_site(pages, settings)
        await answers.forget_site(slug)
    response.headers["location"] = f"/api/v1/sites/{slug}"
    return _site_view(await detail_or_404(slug))


@router.get("/sites/{site}", tags=["sites"])
async def get_site(site: str) -> SiteView:
    """Return a site with its settings."""
    return _site_view(await own_detail(site))


@router.put("/sites/{site}", tags=["sites"])
async def change_site(request: Request, site: str, settings: SiteSettings) -> SiteView:
    """Replace a site's settings; a crawl under way keeps those that it began with."""
    refuse_other_sites(request)
    await apply_settings(await own_detail(site), settings)
    return _site_view(await own_detail(site))


@router.delete("/sites/{site}", tags=["sites"], status_code=204)
async def delete_site(request: Request, site: str) -> None:
    """Delete a site with all its pages."""
    refuse_other_sites(request)
    await own_detail(site)
    await remove_site(site)


@router.post("/sites/{site}/crawls", tags=["crawls"], status_code=202)
async def start_crawl(request: Request, site: str, response: Response) -> CrawlView:
    """Begin to crawl a site. 409 while another crawl of it runs."""
    refuse_other_sites(request)
    found = await own_detail(site)
    try:
        crawl = await begin_crawl(found.id)
    except ValueError as error:
        raise Problem(422, detail=str(error)) from error
    if crawl is None:
        raise Problem(409, detail="A crawl of this site is under way; wait for it or cancel it.")
    response.headers["location"] = f"/api/v1/sites/{site}/crawls/{crawl}"
    return CrawlView.model_validate(as_json(await progress_or_404(found, crawl)))


@router.get("/sites/{site}/crawls", tags=["crawls"])
async def list_crawls(site: str, limit: Annotated[int, Query(ge=1, le=100)] = 20) -> list[CrawlInList]:
    """List a site's crawls, the latest first. Ended ones but the latest ten are forgotten."""
    found = await own_detail(site)
    return [
        CrawlInList(
            crawl_id=each.id, state=each.state, trigger=each.trigger, reason=each.reason, started_at=each.started_at,
            finished_at=each.finished_at,
        )
        for each in await sites.latest_crawls(pages, found.id, limit)
    ]  # fmt: skip


@router.get("/sites/{site}/crawls/{crawl}", tags=["crawls"])
async def get_crawl(site: str, crawl: int) -> CrawlView:
    """Return how a crawl stands."""
    return CrawlView.model_validate(as_json(await progress_or_404(await own_detail(site), crawl)))


@router.delete("/sites/{site}/crawls/{crawl}", tags=["crawls"], status_code=204)
async def stop_crawl(request: Request, site: str, crawl: int) -> None:
    """Stop a crawl; what it has found stays."""
    refuse_other_sites(request)
    await progress_or_404(await own_detail(site), crawl)
    await cancel_crawl(crawl)


@router.get("/sites/{site}/crawls/{crawl}/refusals", tags=["crawls"])
async def list_refusals(
    site: str,
    crawl: int,
    reason: Reason | None = None,
    after_reason: Annotated[str, Query(max_length=50, pattern=PRINTED)] = "",
    after_url: Annotated[str, Query(max_length=2000, pattern=PRINTED)] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[RefusalView]:
    """List the addresses of a crawl that gave no page; go on after the last one with `after_reason` and `after_url`."""
    await progress_or_404(await own_detail(site), crawl)
    found = await crawl_progress.refusals(pages, crawl, reason=reason, after=(after_reason, after_url), limit=limit)
    return [
        RefusalView(
            url=each.url, state=each.state, reason=each.reason, text=each.text, detail=each.detail, target=each.target
        )
        for each in found
    ]


@router.get("/sites/{site}/search", tags=["search"])
async def search(
    site: str,
    q: QueryText,
    page: Annotated[int, Query(ge=1, le=find.MOST_PAGES)] = 1,
    since: Since | None = None,
    exact: Exact = False,
) -> SearchView:
    """Search a site, ten results a page, 200 at most."""
    await own_site(site)
    try:
        found = await found_or_404(site, q, page=page, since=since, exact=exact)
    except TimeoutError as error:
        raise too_slow() from error
    measure(found, record=page == 1)
    return _search_view(found)


@router.get("/sites/{site}/suggest", tags=["search"])
async def suggest(site: str, q: QueryText, limit: Annotated[int, Query(ge=1, le=20)] = 8) -> list[str]:
    """Return queries that `q` may be the beginning of, the likeliest first."""
    chosen = await own_site(site)
    return await answers.suggest(chosen.slug, q, limit=limit) or []


@router.post("/sites/{site}/searches", tags=["search"], status_code=204)
async def report_search(request: Request, site: str, report: SearchReport) -> None:
    """Count a search that was settled on while typing; what is fetched while one types is not counted."""
    refuse_other_sites(request)
    chosen = await own_site(site)
    recorder.value.record(chosen.id, report.query, found=report.found)


@router.get("/sites/{site}/analytics", tags=["analytics"])
async def analytics(site: str, days: Days = 30, limit: Annotated[int, Query(ge=1, le=100)] = 20) -> AnalyticsView:
    """Return what people searched for, what they did not find, and how much by day."""
    chosen = await own_site(site)
    known = await answers.analyse(chosen.id, chosen.slug, days, limit)
    return AnalyticsView.model_validate(
        {"top": known.top, "without_results": known.in_vain, "by_day": known.by_day}, from_attributes=True
    )


@router.get("/sites/{site}/export", tags=["export"], response_class=Response, responses={200: _EXPORT})
async def export_site(
    site: str,
    format: export.Format = "json",
    q: Annotated[str, Query(max_length=LONGEST_QUERY)] = "",
    since: Since | None = None,
    exact: Exact = False,
) -> Response:
    """Stream a site's pages or, with `q`, the results that it has, as JSON, CSV or Markdown."""
    await own_site(site)
    return await export_response(site, format, q, since or "", exact=exact)
