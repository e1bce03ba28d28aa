"""A small site of our own writing, put into the index as a crawl would."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from roadworthy import Database
from sitesearch.search import vocabulary
from sitesearch.search.find import Site, find_site


@dataclass(frozen=True, slots=True)
class Page:
    """A page to index."""

    path: str
    title: str
    text: str
    headings: str = ""
    language: str = "en"
    depth: int = 1
    modified_at: datetime | None = None


GARDEN: tuple[Page, ...] = (
    Page("/", "The Harbour Garden", "Welcome to the garden by the harbour. Opening times, plants and paths.", depth=0),
    Page("/compost", "Making compost", "Compost is made of leaves. Turning the compost heap keeps it warm.", "Heap"),
    Page("/leaves", "Gathering leaves", "We gather leaves in autumn. They feed the compost heap and the worms."),
    Page("/tools/spade", "The spade", "A spade is kept clean. Gatherers of old spades meet in May."),
    Page("/code", "Garden software", "Call garden.water_beds() or water_beds(slowly=True); see moisture_sensor.read."),
    Page("/cafe", "Café and cake", "The café sells pear cake. Résumé of the season: rain."),
    Page("/old", "Harbour history", "The harbour was dug long ago.", modified_at=datetime(2001, 5, 6, tzinfo=UTC)),
    Page("/hostile", "Safety <script>alert(1)</script>", "A sign reads <img src=x onerror=alert(1)> & compost."),
    Page("/bienen", "Bienenhäuser", "Die Häuser der Bienen stehen am Hafen.", language="de"),
)


async def add_site(database: Database, pages: Sequence[Page] = GARDEN, *, name: str = "Harbour Garden") -> Site:
    """Put the pages into the index under a new site, its words counted."""
    site = await database.fetchval(
        "INSERT INTO sites (name, start_url) VALUES ($1, 'https://garden.example/') RETURNING id", name
    )
    for page in pages:
        await database.execute(
            "INSERT INTO pages (site_id, crawl_id, url, depth, title, headings, text, language, modified_at, "
            "content_hash, extracted_by) VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, $9, '')",
            site, f"https://garden.example{page.path}", page.depth, page.title, page.headings, page.text, page.language,
            page.modified_at, hashlib.sha256(page.text.encode()).digest(),
        )  # fmt: skip
    await vocabulary.refresh(database, site)
    slug = await database.fetchval("SELECT slug FROM sites WHERE id = $1", site)
    found = await find_site(database, slug)
    assert found is not None
    return found
