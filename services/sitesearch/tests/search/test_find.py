"""Searching a small site: what is found, in which order, and what is corrected."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from corpus import add_site

from roadworthy import Service
from sitesearch.search import find, vocabulary
from sitesearch.search.find import Found, Since, Site
from sitesearch.service import pages


async def search(site: Site, text: str, *, page: int = 1, since: Since | None = None, exact: bool = False) -> Found:
    return await find.search(pages, site, text, page=page, since=since, exact=exact, now=datetime.now(UTC))


def paths(found: Found) -> list[str]:
    return [result.url.removeprefix("https://garden.example") for result in found.results]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("compost", "/compost"),
        ("composting heaps", "/compost"),
        ("leaves", "/leaves"),
        ("garden.water_beds", "/code"),
        ("water_beds", "/code"),
        ("beds", "/code"),
        ("moisture_sen", "/code"),
        ("cafe", "/cafe"),
        ("CAFÉ", "/cafe"),
        ("resume season", "/cafe"),
        ("haus bienen", "/bienen"),
        ("tools", "/tools/spade"),
        ("harbour gard", "/"),
    ],
)
async def test_the_right_page_comes_first(garden: Site, text: str, first: str) -> None:
    found = await search(garden, text)
    assert paths(found)[0] == first
    assert found.corrected is None


@pytest.mark.parametrize(
    ("text", "corrected"), [("compst", "compost"), ("haep of compost", "heap of compost"), ("harbuor", "harbour")]
)
async def test_mistyped_words_are_corrected_and_said_so(garden: Site, text: str, corrected: str) -> None:
    found = await search(garden, text)
    assert found.corrected == corrected
    assert found.results
    assert (await search(garden, text, exact=True)).total == 0


async def test_phrases_and_exclusions(garden: Site) -> None:
    assert paths(await search(garden, '"compost heap"')) == ["/compost", "/leaves"]
    assert paths(await search(garden, '"heap compost"')) == []
    assert "/leaves" not in paths(await search(garden, "compost -worms"))


async def test_where_no_page_has_all_words_some_will_do(garden: Site) -> None:
    found = await search(garden, "spade worms")
    assert found.partial
    assert set(paths(found)) == {"/leaves", "/tools/spade"}


async def test_nothing_is_found_without_an_error(garden: Site) -> None:
    assert (await search(garden, "xqzzyx")).total == 0
    assert (await search(garden, "")).total == 0
    assert (await search(garden, "()&|!:*<->'\\")).total == 0
    assert (await search(garden, "the of")).only_stop_words is False  # German knows "the" as a word like any other.


async def test_only_stop_words_are_said_so(running: Service) -> None:
    from corpus import GARDEN

    site = await add_site(pages, [page for page in GARDEN if page.language == "en"], name="English")
    assert (await search(site, "the of")).only_stop_words


async def test_dates_filter_and_are_counted(garden: Site) -> None:
    found = await search(garden, "harbour")
    assert found.counts == {"anytime": 2, "day": 1, "week": 1, "month": 1, "year": 1}
    recent = await search(garden, "harbour", since="year")
    assert paths(recent) == ["/"]
    assert recent.counts == found.counts


async def test_titles_and_excerpts_are_safe(garden: Site) -> None:
    found = await search(garden, "safety compost")
    assert found.results[0].title == "<mark>Safety</mark> &lt;script&gt;alert(1)&lt;/script&gt;"
    assert "<img" not in found.results[0].excerpt
    assert "<mark>compost</mark>" in found.results[0].excerpt


async def test_completions_are_suggested_most_widespread_first(garden: Site) -> None:
    assert (await find.suggest(pages, garden, "old comp"))[0] == "old compost"
    assert await find.suggest(pages, garden, "old ") == []


async def test_a_changed_page_is_indexed_in_the_same_transaction(garden: Site) -> None:
    async with pages.transaction() as connection:
        await connection.execute(
            "UPDATE pages SET text = 'Rhubarb only.', content_hash = 'x' WHERE url = 'https://garden.example/leaves'"
        )
        assert paths(await search(garden, "rhubarb")) == ["/leaves"]
    assert "/leaves" not in paths(await search(garden, "worms"))
    await pages.execute("DELETE FROM pages WHERE url = 'https://garden.example/leaves'")
    assert paths(await search(garden, "rhubarb", exact=True)) == []


async def test_a_page_with_more_words_than_an_index_entry_holds_is_still_indexed(running: Service) -> None:
    from corpus import Page

    text = " ".join(f"wort{number:x}straße" for number in range(60_000))
    site = await add_site(pages, [Page("/long", "A long page", text)], name="Long")
    assert paths(await search(site, "long page")) == ["/long"]


async def test_another_language_reads_the_pages_anew(garden: Site) -> None:
    await pages.execute("UPDATE sites SET language = 'simple' WHERE id = $1", garden.id)
    await vocabulary.index_again(pages, garden.id)
    await vocabulary.refresh(pages, garden.id)
    assert "/compost" not in paths(await search(garden, "composting", exact=True))


@pytest.mark.parametrize(
    ("titles", "suffix"),
    [
        (["A — Docs", "B — Docs", "C — Docs", "Docs"], " — Docs"),
        (["A | X | Docs", "B | X | Docs", "C | Docs"], " | Docs"),
        (["A - B", "C"], ""),
        ([], ""),
    ],
)
def test_what_all_titles_end_in(titles: list[str], suffix: str) -> None:
    assert vocabulary.common_suffix(titles) == suffix
