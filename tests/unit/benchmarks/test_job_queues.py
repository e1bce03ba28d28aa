"""The comparison of job queues: whom it compares, with what, and what it says in the end."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from benchmarks.queues import environments, marks, registry, summary  # noqa: E402
from benchmarks.queues.subject import Subject  # noqa: E402
from benchmarks.report import Report  # noqa: E402

QUEUES = ROOT / "benchmarks" / "queues"
PEERS = ("celery", "dramatiq", "rq", "arq", "taskiq", "saq", "huey", "procrastinate", "pgqueuer", "oban", "awa")


def report() -> Report:
    found = Report("jobs")
    for subject, rate, wait in (
        ("roadworthy", 30_000, 2.0),
        ("awa: 500 workers", 500, 8.0),
        ("huey: 1 thread (default)", 20_000, 1.0),
        ("limit: bare SQL, batch 100", 90_000, 0.5),
    ):
        found.add("processed", subject, rate, unit="jobs/s", better="more")
        found.add("pickup", subject, wait, unit="ms", better="less")
        found.add("worker CPU per job", subject, 20, unit="µs", better="less")
    return found


def test_we_are_beside_the_best_peer_which_no_limit_is() -> None:
    processed, pickup, _ = summary.beside_the_best(report().rows())
    assert "1.50 times as good as the best peer, huey: 1 thread (default) (2e+04)" in processed
    assert "60.00 times as good as the best on PostgreSQL, awa: 500 workers (500)" in processed
    assert "0.50 times as good as the best peer, huey" in pickup
    assert "4.00 times as good as the best on PostgreSQL" in pickup


def test_where_the_time_goes_is_said_of_us_and_the_limit_once_all_of_it_is_known() -> None:
    found = report()
    assert summary.where_it_goes(found.rows()) == []
    for subject in ("roadworthy", "limit: bare SQL, batch 100"):
        found.add("server CPU per job", subject, 10, unit="µs", better="less")
        found.add("WAL per job", subject, 475, unit="bytes", better="less")
        found.add("commits per 1,000 jobs", subject, 6, unit="commits", better="less")
    ours, limit = summary.where_it_goes(found.rows())
    assert ours.startswith("roadworthy: a job takes 33.3 µs")
    assert limit.startswith("limit: bare SQL")


@pytest.mark.parametrize("peer", PEERS)
def test_every_peer_has_a_row_in_the_full_table(peer: str) -> None:
    assert any(
        name.startswith(peer) and registry.is_peer(name)
        for name, entry in registry.ENTRIES.items()
        if not entry.variant
    )


def test_every_row_has_its_module_and_its_environment() -> None:
    for entry in registry.ENTRIES.values():
        assert (QUEUES / f"{entry.module}.py").is_file()
        assert not entry.environment or environments.versions(entry.environment)


def test_the_environments_are_pinned_with_hashes_and_name_no_index() -> None:
    files = sorted((QUEUES / "environments").glob("*.txt"))
    assert {path.stem for path in files} == {path.stem for path in (QUEUES / "environments").glob("*.in")}
    for path in files:
        text = path.read_text()
        assert "--hash=sha256:" in text
        assert not re.search(r"://|--index|--find-links|--trusted", text)


def test_a_queue_offers_what_it_defines() -> None:
    class One(Subject):
        async def enqueue_one(self, number: int) -> None: ...

    assert One.offers("enqueue_one")
    assert not One.offers("enqueue_many")


def test_marks_of_several_processes_are_counted_and_read(tmp_path: Path) -> None:
    path = tmp_path / "marks"
    path.touch()
    code = "from benchmarks.queues.marks import mark; mark({n})"
    for n in (7, 8):
        environment = os.environ | {"BENCHMARK_MARKS": str(path)}
        subprocess.run([sys.executable, "-c", code.format(n=n)], check=True, cwd=ROOT, env=environment, timeout=60)
    with path.open("ab") as file:
        file.write(b"half")
    assert marks.count(path) == 2
    (first, began), (second, ended) = marks.read(path)
    assert (first, second) == (7, 8)
    assert began < ended
