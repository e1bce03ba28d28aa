"""The words of a site, counted after a crawl: what corrections, completions and highlights know."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from roadworthy import Database, load_queries

QUERIES = load_queries("sitesearch.search", "vocabulary.sql")
MOST_PAGES = 20_000

_SEPARATOR = re.compile(r"\s+[-–—|·•:»/]\s+|\s*[|·•»]\s*")


async def refresh(database: Database, site: int) -> None:
    """Count a site's words anew; readers see the old count until the new one is whole."""
    async with database.transaction() as connection:
        if await connection.fetchval(QUERIES["lock_site"], site) is None:
            return
        now = await connection.fetchval("SELECT now()")
        configuration = await connection.fetchval(QUERIES["main_configuration"], site) or "search_simple"
        await connection.execute(QUERIES["clear_vocabulary"], site)
        await connection.execute(QUERIES["count_words"], site, configuration, MOST_PAGES)
        await connection.execute(QUERIES["count_identifiers"], site, MOST_PAGES)
        titles = [row["title"] for row in await connection.fetch(QUERIES["sample_titles"], site)]
        await connection.execute(QUERIES["keep_counted"], site, now, common_suffix(titles))


async def stale_sites(database: Database) -> list[int]:
    """Return the sites whose words should be counted again."""
    return [row["id"] for row in await database.fetch(QUERIES["stale_sites"])]


async def index_again(database: Database, site: int) -> None:
    """Index a site's pages anew, as after a change of its language."""
    async with database.transaction() as connection:
        await connection.execute(QUERIES["forget_configurations"], site)
        await connection.execute(QUERIES["index_again"], site)


def common_suffix(titles: Iterable[str]) -> str:
    """Return what most titles end in, from a separator on (" — Python documentation"), or ''."""
    titles = list(titles)
    endings = Counter(title[match.start() :] for title in titles for match in _SEPARATOR.finditer(title))
    shared = [ending for ending, count in endings.items() if count >= 3 and count * 2 > len(titles)]
    return max(shared, key=len, default="")
