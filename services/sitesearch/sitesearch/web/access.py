"""Which sites an API key may see: its own, or with the scope `admin` all. Others are not there for it."""

from __future__ import annotations

from fastapi import HTTPException

from sitesearch.search.find import Site
from sitesearch.service import keys
from sitesearch.sites.sites import SiteDetail
from sitesearch.web.context import NO_SITE, detail_or_404, site_or_404

ADMIN = "admin"


def owner_of(site: int) -> str:
    """Return whose a site's keys are. By its id: a slug can come to another site."""
    return f"site:{site}"


async def own_site(slug: str) -> Site:
    """Return the site of that slug, or raise HTTPException 404 where it is not the key's to see."""
    found = await site_or_404(slug)
    _require(found.id)
    return found


async def own_detail(slug: str) -> SiteDetail:
    """Return the site with its settings, or raise HTTPException 404 where it is not the key's to see."""
    found = await detail_or_404(slug)
    _require(found.id)
    return found


def _require(site: int) -> None:
    key = keys.current()
    if not key.may(ADMIN) and key.owner != owner_of(site):
        raise HTTPException(404, NO_SITE)
