"""Progress is written seldom, and the last report is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from roadworthy.errors import DatabaseUnavailable
from roadworthy.jobs.progress import Progress, Reporter


class Notebook:
    """Remembers what was written; refuses while it is `away`."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.away = False

    async def progress(self, id: int, lease: int, progress: bytes) -> bool:
        assert (id, lease) == (7, 3)
        await asyncio.sleep(0)
        if self.away:
            raise DatabaseUnavailable("away")
        self.written.append(progress)
        return True


def reporter(notebook: Any) -> Reporter:
    return Reporter(notebook, asyncio.get_running_loop(), 7, 3)


async def test_the_first_report_is_written_at_once_and_the_last_at_the_end() -> None:
    notebook = Notebook()
    reports = reporter(notebook)
    for n in range(100):
        reports.report(Progress(n))
        await asyncio.sleep(0)
    await reports.close()
    assert len(notebook.written) == 2
    assert notebook.written[-1] == b'{"done":99}'


async def test_a_report_just_before_the_end_is_not_lost() -> None:
    notebook = Notebook()
    reports = reporter(notebook)
    reports.report(Progress(1, 2, "half"))
    await reports.close()
    assert notebook.written == [b'{"done":1,"total":2,"note":"half"}']


async def test_nothing_reported_is_nothing_written() -> None:
    notebook = Notebook()
    await reporter(notebook).close()
    assert notebook.written == []


async def test_a_database_that_is_away_ends_no_job() -> None:
    notebook = Notebook()
    notebook.away = True
    reports = reporter(notebook)
    reports.report(Progress(1))
    await reports.close()
    assert notebook.written == []


async def test_a_write_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roadworthy.jobs.progress._CLOSED_WITHIN", 0.05)
    ended: list[bool] = []

    class Hung(Notebook):
        async def progress(self, id: int, lease: int, progress: bytes) -> bool:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(True)
            return True

    reports = reporter(Hung())
    reports.report(Progress(1))
    async with asyncio.timeout(60):
        await reports.close()
    await asyncio.sleep(0)
    assert ended == [True]
