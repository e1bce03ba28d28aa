"""The page of a site's API keys: issued, replaced and ended, each shown once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Depends, HTTPException, Request
from starlette.responses import RedirectResponse, Response

from roadworthy import IssuedKey, KeyNotFound, KeyRecord
from sitesearch.service import keys
from sitesearch.sites.sites import SiteDetail
from sitesearch.web.access import owner_of
from sitesearch.web.context import detail_or_404
from sitesearch.web.forms import read_form
from sitesearch.web.rendering import render
from sitesearch.web.subdomains import refuse_on_subdomains

router = APIRouter(include_in_schema=False, dependencies=[Depends(refuse_on_subdomains)])

OVERLAP = timedelta(days=1)
LONGEST_NAME = 80
_MOST = 100
_ACTOR = "the owner's page"
_SCOPES = {"search": ("search",), "manage": ("search", "manage")}


@router.get("/sites/{slug}/keys")
async def show_keys(slug: str) -> Response:
    """Show a site's keys."""
    return await _page(await detail_or_404(slug))


@router.post("/sites/{slug}/keys")
async def issue_key(request: Request, slug: str) -> Response:
    """Make a key and show it, this once."""
    fields = await read_form(request)
    site = await detail_or_404(slug)
    name, scopes = fields.get("name", "").strip(), _SCOPES.get(fields.get("scope", ""))
    if not 0 < len(name) <= LONGEST_NAME or scopes is None:
        return await _page(site, error=f"Say what the key is for, in {LONGEST_NAME} characters at most.")
    if len(await _keys_of(site)) >= _MOST:
        return await _page(site, error=f"{_MOST} keys are the most; revoke one first.")
    issued = await keys.issue(name, owner=owner_of(site.id), scopes=scopes, actor=_ACTOR, origin=_origin(request))
    return await _page(site, issued)


@router.post("/sites/{slug}/keys/{id}/rotate")
async def rotate_key(request: Request, slug: str, id: str) -> Response:
    """Make a key that replaces one, and show it, this once."""
    await read_form(request)
    site = await detail_or_404(slug)
    await _require(site, id)
    try:
        issued = await keys.rotate(id, overlap=OVERLAP, actor=_ACTOR, origin=_origin(request))
    except KeyNotFound:
        return await _page(site, error="This key was replaced or revoked already.")
    return await _page(site, issued)


@router.post("/sites/{slug}/keys/{id}/revoke")
async def revoke_key(request: Request, slug: str, id: str) -> Response:
    """End a key."""
    await read_form(request)
    site = await detail_or_404(slug)
    await _require(site, id)
    await keys.revoke(id, actor=_ACTOR, origin=_origin(request))
    return RedirectResponse(f"/sites/{slug}/keys", status_code=303)


async def end_keys(site: int) -> None:
    """End all keys of a site that is deleted, in the transaction that does so."""
    while found := await keys.list(owner=owner_of(site), limit=_MOST):
        for record in found:
            await keys.revoke(record.id, actor=_ACTOR)


async def _keys_of(site: SiteDetail) -> list[KeyRecord]:
    return list(await keys.list(owner=owner_of(site.id), limit=_MOST))


async def _require(site: SiteDetail, id: str) -> None:
    """Raise HTTPException 404 for a key that is not one of the site's in force."""
    if id not in {record.id for record in await _keys_of(site)}:
        raise HTTPException(404, "There is no such key of this site; it may have been revoked.")


async def _page(site: SiteDetail, issued: IssuedKey | None = None, *, error: str = "") -> Response:
    now = datetime.now(UTC)
    listed = [(record, record.state(now)) for record in await _keys_of(site)]
    context = {"site": site, "keys": listed, "issued": issued, "error": error, "longest": LONGEST_NAME}
    context["owner"] = owner_of(site.id)
    return render("keys.html", context, status=422 if error else 200)


def _origin(request: Request) -> str | None:
    return None if request.client is None else request.client.host
