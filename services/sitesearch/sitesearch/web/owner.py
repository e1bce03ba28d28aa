"""The pages of a site's owner: its settings, its crawls as they go, what people search for, and exports."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

from fastapi import APIRouter, Depends, HTTPException, Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from sitesearch import answers
from sitesearch.crawl import progress as crawl_progress
from sitesearch.crawl.jobs import begin_crawl, cancel_crawl
from sitesearch.crawl.outcomes import TEXT
from sitesearch.crawl.progress import Progress
from sitesearch.jobs import index_site_again
from sitesearch.search import find
from sitesearch.service import pages, progress_streams, service
from sitesearch.sites import export, sites
from sitesearch.sites.settings import LANGUAGES, SiteSettings
from sitesearch.sites.sites import SiteDetail
from sitesearch.web import progress
from sitesearch.web.context import detail_or_404, progress_or_404, site_or_404, too_slow
from sitesearch.web.forms import read_form, site_settings
from sitesearch.web.owner_keys import end_keys
from sitesearch.web.pages import documentation_url, since_of
from sitesearch.web.rendering import render
from sitesearch.web.subdomains import address_of, refuse_on_subdomains

router = APIRouter(include_in_schema=False, dependencies=[Depends(refuse_on_subdomains)])

ANALYSED_DAYS = 30


def _see(path: str) -> Response:
    return RedirectResponse(path, status_code=303)


def _form(site: SiteDetail | None, fields: dict[str, Any], errors: dict[str, str]) -> Response:
    return render(
        "site_form.html",
        {"site": site, "fields": fields, "errors": errors, "languages": LANGUAGES},
        status=422 if errors else 200,
    )


def _as_fields(settings: SiteSettings) -> dict[str, Any]:
    fields = {name: "" if value is None else value for name, value in settings.model_dump().items()}
    return {**fields, "include": "\n".join(settings.include), "exclude": "\n".join(settings.exclude)}


@router.get("/sites/new")
async def new_site(url: str = "") -> Response:
    """Ask for a site's address and settings."""
    return _form(None, {**_as_fields(SiteSettings.model_construct(start_url=url[:2000])), "name": ""}, {})


@router.post("/sites/new")
async def add_site(request: Request) -> Response:
    """Add the site, begin to crawl it, and show how that goes."""
    fields = await read_form(request)
    settings, errors = site_settings(fields)
    if settings is None:
        return _form(None, {**_as_fields(SiteSettings.model_construct(start_url="")), **fields}, errors)
    async with pages.transaction():
        slug = await sites.add_site(pages, settings)
        await answers.forget_site(slug)
        site = await detail_or_404(slug)
        await begin_crawl(site.id)
    return _see(f"/sites/{slug}")


@router.post("/sites/documentation")
async def add_documentation(request: Request) -> Response:
    """Add this service's own documentation as a site and begin to crawl it: the first look without a network."""
    await read_form(request)
    try:
        settings = SiteSettings(
            start_url=documentation_url(request),
            name="Roadworthy documentation",
            include=["/documentation/*"],
            language="english",
        )
    except ValueError as error:
        raise HTTPException(400, "The Host header of the request is no address that can be crawled.") from error
    async with pages.transaction():
        slug = await sites.site_at(pages, settings.start_url)
        if slug is None:
            slug = await sites.add_site(pages, settings)
            await answers.forget_site(slug)
        await begin_crawl((await detail_or_404(slug)).id)
    return _see(f"/sites/{slug}")


@router.get("/sites/{slug}")
async def show_site(request: Request, slug: str) -> Response:
    """Show a site's latest crawl, its earlier ones and its settings."""
    site = await detail_or_404(slug)
    crawls = await sites.latest_crawls(pages, site.id)
    latest = await crawl_progress.read(pages, crawls[0].id) if crawls else None
    why = await _why(latest) if latest else ""
    return render(
        "site.html",
        {
            "site": site,
            "crawls": crawls,
            "latest": latest,
            "why": why,
            "texts": TEXT,
            "public_address": address_of(request, slug),
        },
    )


async def _why(crawl: Progress) -> str:
    """What there is to know of why a crawl failed, such as the setting that would let it."""
    if crawl.state != "failed" or not crawl.reason:
        return ""
    first = await crawl_progress.refusals(pages, crawl.crawl_id, reason=crawl.reason, limit=1)
    return first[0].detail if first else ""


@router.get("/sites/{slug}/edit")
async def edit_site(slug: str) -> Response:
    """Show a site's settings to change."""
    site = await detail_or_404(slug)
    return _form(site, _as_fields(site.settings), {})


@router.post("/sites/{slug}/edit")
async def change_site(request: Request, slug: str) -> Response:
    """Change a site's settings; another language also has its pages read anew."""
    site = await detail_or_404(slug)
    fields = await read_form(request)
    settings, errors = site_settings(fields)
    if settings is None:
        return _form(site, {**_as_fields(site.settings), **fields}, errors)
    await apply_settings(site, settings)
    return _see(f"/sites/{slug}")


async def apply_settings(site: SiteDetail, settings: SiteSettings) -> None:
    """Keep a site's changed settings, and have its pages read anew where its language changed."""
    async with pages.transaction():
        await sites.change_site(pages, site.id, settings)
        await answers.forget_site(site.slug)
        if settings.language != site.settings.language:
            await index_site_again.enqueue(site_id=site.id)


@router.post("/sites/{slug}/crawl")
async def crawl_site(request: Request, slug: str) -> Response:
    """Begin a crawl, unless one is under way."""
    await read_form(request)
    await begin_crawl((await detail_or_404(slug)).id)
    return _see(f"/sites/{slug}")


@router.post("/sites/{slug}/crawls/{crawl}/stop")
async def stop_site_crawl(request: Request, slug: str, crawl: int) -> Response:
    """Stop a crawl; what it has found stays."""
    await read_form(request)
    site = await detail_or_404(slug)
    await progress_or_404(site, crawl)
    await cancel_crawl(crawl)
    return _see(f"/sites/{slug}")


@router.post("/sites/{slug}/delete")
async def delete_site(request: Request, slug: str) -> Response:
    """Delete a site with its pages, once its name was typed to confirm it."""
    fields = await read_form(request)
    site = await detail_or_404(slug)
    if fields.get("confirm", "").strip() != site.settings.name:
        return _form(site, _as_fields(site.settings), {"confirm": "Type the site's name exactly to delete it."})
    await remove_site(slug)
    return _see("/")


async def remove_site(slug: str) -> None:
    """Delete a site with all its pages, and end its keys."""
    async with pages.transaction():
        site = await sites.delete_site(pages, slug)
        if site is not None:
            await end_keys(site)
        await answers.forget_site(slug)


@router.get("/sites/{slug}/crawls/{crawl}")
async def show_crawl(slug: str, crawl: int, reason: str = "") -> Response:
    """Show a crawl's report, with the addresses that it left out for a reason."""
    site = await detail_or_404(slug)
    latest = await progress_or_404(site, crawl)
    chosen = reason if reason in latest.reasons else next(iter(latest.reasons), "")
    examples = await crawl_progress.refusals(pages, crawl, reason=chosen, limit=100) if chosen else []
    context = {"site": site, "latest": latest, "why": await _why(latest), "chosen": chosen, "examples": examples}
    return render("crawl.html", {**context, "texts": TEXT})


@router.get("/sites/{slug}/crawls/{crawl}/events")
async def crawl_events(request: Request, slug: str, crawl: int) -> Response:
    """Follow a crawl over server-sent events."""
    site = await detail_or_404(slug)
    await progress_or_404(site, crawl)
    events = progress.stream(
        lambda: crawl_progress.read(pages, crawl), progress_streams, progress.Pace(), lambda: service.draining
    )
    return StreamingResponse(
        events, media_type="text/event-stream", headers={"cache-control": "no-store", "x-accel-buffering": "no"}
    )


@router.get("/sites/{slug}/queries")
async def show_queries(slug: str) -> Response:
    """Show what people searched for in the last 30 days, and what they did not find."""
    site = await detail_or_404(slug)
    known = await answers.analyse(site.id, site.slug, ANALYSED_DAYS)
    return render(
        "queries.html",
        {
            "site": site,
            "days": known.by_day,
            "busiest": max((day.searches for day in known.by_day), default=0),
            "top": known.top,
            "in_vain": known.in_vain,
        },
    )


@router.get("/sites/{slug}/export.{form}")
async def export_site(slug: str, form: str, q: str = "", since: str = "", exact: str = "") -> Response:
    """Download a site's pages or, with a query, the results that it has, as JSON, CSV or Markdown."""
    if form not in export.MEDIA_TYPES:
        raise HTTPException(404, "Exports end in .json, .csv or .md.")
    return await export_response(slug, cast("export.Format", form), q, since, exact=bool(exact))


async def export_response(slug: str, form: export.Format, q: str, since: str, *, exact: bool) -> Response:
    """Return an export as a download."""
    site = await site_or_404(slug)
    if q.strip():
        try:
            results = await find.every_result(pages, site, q, since=since_of(since), exact=exact, now=datetime.now(UTC))
        except TimeoutError as error:
            raise too_slow() from error
        rows = export.result_rows(results)
    else:
        rows = export.index_rows(pages, site.id)
    disposition = f'attachment; filename="{slug}.{form}"'
    return StreamingResponse(
        export.write(rows, form), media_type=export.MEDIA_TYPES[form], headers={"content-disposition": disposition}
    )
