"""The upkeep: words are counted while a site is crawled, languages read anew, old queries forgotten."""

from __future__ import annotations

from roadworthy import Service, testing
from sitesearch import jobs
from sitesearch.search.find import Site
from sitesearch.service import pages


async def words() -> int:
    count: int = await pages.fetchval("SELECT count(*) FROM vocabulary")
    return count


async def test_words_are_counted_anew_while_a_site_is_crawled(garden: Site, running: Service) -> None:
    await pages.execute("DELETE FROM vocabulary")
    await jobs.refresh_stale_vocabularies()
    await testing.drain(running)
    assert await words() == 0
    await pages.execute("INSERT INTO crawls (site_id, settings) VALUES ($1, '{}')", garden.id)
    await jobs.refresh_stale_vocabularies()
    await testing.drain(running)
    assert await words() > 0


async def test_a_site_that_is_gone_is_no_failure(garden: Site) -> None:
    await jobs.refresh_vocabulary(site_id=garden.id + 1)
    assert await words() > 0


async def test_another_language_is_read_in_the_background(garden: Site) -> None:
    await pages.execute("UPDATE sites SET language = 'french' WHERE id = $1", garden.id)
    await jobs.index_site_again(site_id=garden.id)
    assert await pages.fetchval("SELECT array_agg(configuration) FROM site_configurations") == ["search_french"]


async def test_old_queries_are_forgotten(garden: Site) -> None:
    await pages.execute(
        "INSERT INTO query_counts SELECT $1, CURRENT_DATE - age, 'compost', 1, 0 FROM unnest(ARRAY[0, 9, 401]) AS age",
        garden.id,
    )
    await jobs.forget_old_queries()
    assert await pages.fetchval("SELECT count(*) FROM query_counts") == 2
