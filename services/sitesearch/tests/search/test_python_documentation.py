"""Real input: Debian's copy of Python's documentation, crawled whole, answers as people expect."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from crawls import add_site, crawl, running
from sites import Site, files, serving

from sitesearch.search import find, vocabulary
from sitesearch.service import pages

DOCUMENTATION = Path("/usr/share/doc/python3-doc/html")

EXPECTED: dict[str, set[str]] = {
    "asyncio gather": {"library/asyncio-task.html"},
    "pythn": {"contents.html", "faq/general.html", "faq/index.html", "tutorial/index.html", "index.html"},
    "lst comprehension": {"tutorial/datastructures.html"},
    "zip_longest": {"library/itertools.html"},
    "itertools.zip_longest": {"library/itertools.html"},
    "os.path.join": {"library/os.path.html"},
    "collections OrderedDict": {"library/collections.html"},
    "exeption handling": {"tutorial/errors.html", "c-api/exceptions.html"},
    "conext manager": {"library/contextlib.html"},
    "json": {"library/json.html"},
    "subprocess pope": {"library/subprocess.html"},
    "regex howto": {"howto/regex.html"},
}


@pytest.mark.needs("python-doc")
@pytest.mark.timeout(480)
async def test_the_right_page_is_in_the_top_three(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(Site(otherwise=files(DOCUMENTATION))) as served, running(monkeypatch, served):
        site_id = await add_site(f"{served.url}/", language="english", concurrency=8)
        done = await crawl(site_id, within=120)
        assert done.fetched > 500
        await vocabulary.refresh(pages, site_id)
        slug = await pages.fetchval("SELECT slug FROM sites WHERE id = $1", site_id)
        site = await find.find_site(pages, slug)
        assert site is not None
        missed: dict[str, list[str]] = {}
        for text, wanted in EXPECTED.items():
            found = await find.search(pages, site, text, now=datetime.now(UTC))
            first = [result.url.removeprefix(f"{served.url}/") for result in found.results[:3]]
            if not wanted & set(first):
                missed[text] = first
    assert missed == {}
