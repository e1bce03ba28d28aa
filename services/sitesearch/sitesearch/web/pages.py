"""The pages people search on. Each works without JavaScript; with it, the results alone are fetched as one types."""

from __future__ import annotations

from typing import cast

from fastapi import APIRouter, Depends, HTTPException, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from roadworthy import edge_tags
from sitesearch import answers
from sitesearch.jobs import recorder
from sitesearch.search import find
from sitesearch.search.find import Found, Since
from sitesearch.web import documentation
from sitesearch.web.context import NO_SITE, found_or_404, measure, site_or_404
from sitesearch.web.forms import refuse_other_sites
from sitesearch.web.rendering import query_url, render
from sitesearch.web.reports import SearchReport
from sitesearch.web.subdomains import refuse_on_subdomains, site_of

router = APIRouter(include_in_schema=False)

FRAGMENT = "x-fragment"


def since_of(text: str) -> Since | None:
    """Return the age that a filter names, None for any."""
    return cast("Since", text) if text in find.SINCE else None


def page_of(text: str) -> int:
    """Return a page's number within bounds, 1 for what is none."""
    return min(max(int(text), 1), find.MOST_PAGES) if text.isascii() and text.isdigit() and len(text) < 6 else 1


@router.get("/")
async def home(request: Request) -> Response:
    """List the sites, each with its search box; with none, how to begin. On a site's sub-domain, search it."""
    if (site := site_of(request.headers.get("host"))) is not None:
        return await search(request, site)
    listed = await answers.list_sites()
    own = documentation_url(request)
    return render(
        "home.html",
        {"sites": listed, "has_documentation": any(each.start_url == own for each in listed), "documentation_url": own},
    )


def documentation_url(request: Request) -> str:
    """Return the address at which this service serves the project's documentation."""
    return f"{request.url.scheme}://{request.url.netloc}/documentation/"


@router.get("/search")
async def search(
    request: Request, site: str = "", q: str = "", page: str = "1", since: str = "", exact: str = ""
) -> Response:
    """Search a site: the whole page, or for our script the results alone. A sub-domain is that of one site."""
    if (own := site_of(request.headers.get("host"))) is not None:
        if site not in ("", own):
            raise HTTPException(404, NO_SITE)
        site = own
        edge_tags(f"site:{site}")
    if not site:
        return RedirectResponse("/", status_code=303)
    fragment = request.headers.get(FRAGMENT) == "results"
    try:
        found = await found_or_404(site, q, page=page_of(page), since=since_of(since), exact=bool(exact))
    except TimeoutError:
        template = "results_slow.html" if fragment else "search_slow.html"
        context = {"site": await site_or_404(site), "q": q}
        return render(template, context, status=503, headers={"retry-after": "2"})
    measure(found, record=not fragment and page_of(page) == 1)
    template = "results.html" if fragment else "search.html"
    return render(template, {"site": found.site, "found": found, "q": q, "exact": bool(exact), **_links(found, exact)})


def _links(found: Found, exact: str) -> dict[str, object]:
    """Return the addresses of a page of results: its filters, its neighbours, its exports."""
    site, text, since = found.site.slug, found.query.text, found.since

    def link(**changes: object) -> str:
        return query_url("/search", **{"site": site, "q": text, "since": since, "exact": exact, **changes})

    first = max(1, min(found.page - 2, found.pages - 4))
    shown = range(first, min(found.pages, first + 4) + 1)
    return {
        "filters": [
            (key, label, found.counts.get(key or "anytime", 0), link(since=key))
            for key, label in (
                (None, "Any time"),
                ("day", "Past day"),
                ("week", "Past week"),
                ("month", "Past month"),
                ("year", "Past year"),
            )
        ],
        "page_links": [(number, link(page=number if number > 1 else None)) for number in shown],
        "previous_link": link(page=found.page - 1 if found.page > 2 else None) if found.page > 1 else None,
        "next_link": link(page=found.page + 1) if found.page < found.pages else None,
        "exact_link": link(exact=1),
        "suggestion_link": link(q=found.suggestion, exact=None) if found.suggestion else None,
        "exports": [
            (form, query_url(f"/sites/{site}/export.{form}", q=text, since=since, exact=exact))
            for form in ("json", "csv", "md")
        ],
    }


@router.post("/searches", status_code=204)
async def report_search(request: Request, site: str, report: SearchReport) -> None:
    """Count a search that was settled on while typing, which our script tells of."""
    refuse_other_sites(request)
    own = site_of(request.headers.get("host"))
    if own not in (None, site):
        raise HTTPException(404, NO_SITE)
    chosen = await site_or_404(site)
    recorder.value.record(chosen.id, report.query, found=report.found)


@router.get("/robots.txt")
async def robots() -> Response:
    """Ask crawlers to read the documentation alone: results are no pages."""
    return PlainTextResponse("User-agent: *\nDisallow: /search\nDisallow: /sites/\nDisallow: /api/\n")


@router.get("/documentation", dependencies=[Depends(refuse_on_subdomains)])
async def documentation_root() -> Response:
    """Lead to the documentation's first page."""
    return RedirectResponse("/documentation/", status_code=308)


@router.get("/documentation/{path:path}", dependencies=[Depends(refuse_on_subdomains)])
async def documentation_page(path: str) -> Response:
    """Show a document of the project's own."""
    found = documentation.documents()
    document = found.get(path) or found.get(f"{path}/")
    if document is None and path:
        raise HTTPException(404, "There is no such document. The documentation's first page lists all.")
    if document is not None and document.path != path:
        return RedirectResponse(f"/documentation/{document.path}", status_code=308)
    return render(
        "documentation.html",
        {"document": document, "documents": sorted(found.values(), key=lambda each: each.path)},
    )
