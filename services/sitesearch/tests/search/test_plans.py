"""At 100,000 pages each statement of a search reads an index, and none reads a table whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from roadworthy import Service
from sitesearch.search.find import QUERIES
from sitesearch.service import pages
from sitesearch.sites.sites import QUERIES as SITES

PAGES = 100_000

# Words fall in frequency as their rank rises, as they do in language: "w1" is on most pages, "w5000" on a handful.
FILL = f"""
INSERT INTO sites (name, start_url) VALUES ('large', 'https://large.example/'), ('small', 'https://small.example/');
INSERT INTO site_configurations SELECT id, 'search_simple' FROM sites;
ALTER TABLE pages DISABLE TRIGGER USER;
DROP INDEX documents_words, documents_heading_words;
INSERT INTO pages (site_id, crawl_id, url, depth, title, text, content_hash, extracted_by)
SELECT CASE WHEN n % 100 = 0 THEN 2 ELSE 1 END, 1, 'https://large.example/' || n, n % 5, 'Page w' || n % 977, '', '', ''
FROM generate_series(1, {PAGES}) AS n;
INSERT INTO documents (page_id, site_id, configuration, prior, dated_at, heading_words, words)
SELECT p.id, p.site_id, 'search_simple', 1.0 / (1 + p.depth), now() - p.id * interval '10 minutes',
       array_to_tsvector(ARRAY['page', 'w' || p.id % 977]),
       to_tsvector('simple', 'page w' || p.id % 977 || ' ' || drawn.words)
FROM pages p
CROSS JOIN LATERAL (
    SELECT string_agg('w' || ceil(power(8000::float, ((p.id * 7919 + k * 104729) % 99991) / 99991.0)), ' ') AS words
    FROM generate_series(1, 40) AS k
) AS drawn;
INSERT INTO vocabulary (site_id, word, lexeme, pages)
SELECT site, 'w' || n || 'x' || md5(n::text), 'w' || n, 1
FROM generate_series(1, 20000) AS n, generate_series(1, 2) AS site;
CREATE INDEX documents_words ON documents USING gin (site_id, words);
CREATE INDEX documents_heading_words ON documents USING gin (site_id, heading_words);
ALTER TABLE pages ENABLE TRIGGER USER;
ANALYZE;
"""  # noqa: S608

SEARCH = ("search_documents", (1, "'w20' & 'w300'", None, "w20 w300", 0, 0, True, 10, "'w20' | 'w300'"))
COMMON = ("search_documents", (1, "'w1'", None, "w1", 0, 0, True, 10, "'w1'"))


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


async def plan_of(sql: str, arguments: tuple[Any, ...], *, generic: bool) -> list[dict[str, Any]]:
    """Run a statement as a prepared one and return the nodes of its plan, with what each really did."""
    async with pages.transaction() as connection:
        mode = "force_generic_plan" if generic else "force_custom_plan"
        await connection.execute("SELECT set_config('plan_cache_mode', $1, true)", mode)
        [explained] = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", *arguments)
    return list(nodes(explained["Plan"]))


@pytest.mark.timeout(480)
async def test_every_statement_of_a_search_uses_its_index(running: Service) -> None:
    async with pages.acquire() as connection:
        await connection.execute(FILL, timeout=150)
    cases: list[tuple[str, str, tuple[Any, ...], set[str]]] = [
        (SEARCH[0], QUERIES[SEARCH[0]], SEARCH[1], {"documents_words", "documents_heading_words"}),
        (COMMON[0], QUERIES[COMMON[0]], COMMON[1], {"documents_words", "documents_heading_words"}),
        ("resolve_words", QUERIES["resolve_words"], (1, ["w20", "w300"]), {"vocabulary_lexemes"}),
        ("complete_word", QUERIES["complete_word"], (1, "w77", "w78", 40), {"vocabulary_pkey"}),
        (
            "similar_words",
            QUERIES["similar_words"],
            (1, "w7x7b", ["w7", "w8"], True),
            {"vocabulary_trigrams", "vocabulary_pkey"},
        ),
        ("word_forms", QUERIES["word_forms"], (1, ["w20", "w300"]), {"vocabulary_lexemes"}),
        ("find_site", QUERIES["find_site"], ("large",), set()),
        ("top_queries", SITES["top_queries"], (1, 30, 20), set()),
        ("export_pages", SITES["export_pages"], (1, 0, 50), set()),
    ]
    for name, sql, arguments, indexes in cases:
        for generic in (False, True):
            plan = await plan_of(sql, arguments, generic=generic)
            used = {node.get("Index Name") for node in plan}
            assert indexes <= used, f"{name} (generic={generic}) uses {used}, not {indexes}"
            whole = [
                node["Relation Name"]
                for node in plan
                if node["Node Type"] == "Seq Scan" and node["Relation Name"] in {"documents", "vocabulary"}
            ]
            assert not whole, f"{name} (generic={generic}) reads {whole} whole"
            read = sum(
                node["Actual Rows"] * node["Actual Loops"] for node in plan if node.get("Relation Name") == "documents"
            )
            assert read <= 8_000, f"{name} (generic={generic}) fetches {read} documents"
