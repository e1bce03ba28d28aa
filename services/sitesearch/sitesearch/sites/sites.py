"""Sites as kept: adding, changing, listing and deleting them, and the list of their crawls."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from roadworthy import Database, load_queries
from sitesearch.sites.settings import SiteSettings

QUERIES = load_queries("sitesearch.sites", "sites.sql")
MOST_SITES = 500

State = Literal["running", "finished", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class SiteSummary:
    """A site in a list, with its latest crawl."""

    id: int
    slug: str
    name: str
    start_url: str
    pages: int
    crawl_id: int | None
    state: State | None
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class SiteDetail:
    """A site with its settings."""

    id: int
    slug: str
    pages: int
    settings: SiteSettings


@dataclass(frozen=True, slots=True)
class Crawl:
    """A crawl in a list."""

    id: int
    state: State
    trigger: str
    reason: str | None
    started_at: datetime
    finished_at: datetime | None


async def list_sites(database: Database) -> list[SiteSummary]:
    """Return the sites by name, at most MOST_SITES."""
    return [SiteSummary(**dict(row)) for row in await database.fetch(QUERIES["list_sites"], MOST_SITES)]


async def get_site(database: Database, slug: str) -> SiteDetail | None:
    """Return a site with its settings, or None."""
    row = await database.fetchrow(QUERIES["get_site"], slug)
    if row is None:
        return None
    settings = SiteSettings.model_construct(**{name: row[name] for name in SiteSettings.model_fields})
    return SiteDetail(row["id"], row["slug"], row["pages"], settings)


def _columns(settings: SiteSettings) -> tuple[Any, ...]:
    return (
        settings.name, settings.start_url, settings.max_depth, settings.max_pages, settings.include, settings.exclude,
        settings.content_selector, settings.title_selector, settings.drop_selector, settings.delay_seconds,
        settings.language, settings.recrawl_every,
    )  # fmt: skip


async def add_site(database: Database, settings: SiteSettings) -> str:
    """Keep a new site and return its slug."""
    slug: str = await database.fetchval(QUERIES["add_site"], *_columns(settings))
    return slug


async def change_site(database: Database, site: int, settings: SiteSettings) -> None:
    """Change a site's settings; a crawl under way keeps those that it began with."""
    await database.execute(QUERIES["change_site"], site, *_columns(settings))


async def delete_site(database: Database, slug: str) -> int | None:
    """Delete a site with all its pages; return its id, None where there was none."""
    deleted: int | None = await database.fetchval(QUERIES["delete_site"], slug)
    return deleted


async def site_at(database: Database, start_url: str) -> str | None:
    """Return the slug of the site that starts at an address, or None."""
    slug: str | None = await database.fetchval(QUERIES["site_by_start"], start_url)
    return slug


async def slug_of(database: Database, site: int) -> str | None:
    """Return the slug of a site, or None where there is none."""
    slug: str | None = await database.fetchval(QUERIES["slug_of"], site)
    return slug


async def latest_crawls(database: Database, site: int, limit: int = 10) -> list[Crawl]:
    """Return a site's crawls, the latest first."""
    return [Crawl(**dict(row)) for row in await database.fetch(QUERIES["latest_crawls"], site, limit)]
