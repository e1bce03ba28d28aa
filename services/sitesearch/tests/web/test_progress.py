"""A crawl's progress as server-sent events: each change once, an end, and nothing left behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from roadworthy import Service, testing
from sitesearch.crawl.progress import Progress
from sitesearch.service import progress_streams
from sitesearch.web.progress import Pace, stream

QUICK = Pace(
    interval=timedelta(milliseconds=1), heartbeat=timedelta(milliseconds=3), longest=timedelta(milliseconds=30)
)
BEGUN = Progress(
    crawl_id=1, site_id=1, state="running", trigger="manual", reason=None, level=0,
    started_at=datetime(2026, 1, 1, tzinfo=UTC), finished_at=None, seconds=1.0, found=1, fetched=0, unchanged=0,
    redirected=0, duplicate=0, refused=0, failed=0, skipped=0, bytes=0, reasons={},
)  # fmt: skip


async def events(states: list[Progress | None], *, draining: Iterator[bool] | None = None) -> list[str]:
    waiting = iter(states)
    last = states[-1]

    async def read() -> Progress | None:
        return next(waiting, last)

    drains = draining or iter([False] * 1000)
    return [event async for event in stream(read, progress_streams, QUICK, lambda: next(drains))]


@pytest.fixture(autouse=True)
async def _bound(running: Service) -> None:
    """Every test measures its streams."""


async def test_changes_are_told_once_and_the_end_is_said(running: Service) -> None:
    more = replace(BEGUN, found=5, fetched=2, seconds=2.0)
    told = await events([BEGUN, replace(BEGUN, seconds=1.5), more, replace(more, state="finished")])
    assert [event.partition("\n")[0] for event in told] == [
        "retry: 2000",
        "event: progress",
        "event: progress",
        "event: end",
    ]
    assert json.loads(told[2].partition("data: ")[2])["pages"] == 2
    assert testing.metric(running, "progress_streams") == 0


async def test_silence_is_kept_alive_and_bounded(running: Service) -> None:
    told = await events([BEGUN])
    assert told.count(": still there\n\n") >= 3
    assert len(told) < 40


async def test_a_stream_ends_when_the_process_drains(running: Service) -> None:
    assert len(await events([BEGUN], draining=iter([False, False, True]))) == 2


async def test_a_stream_ends_with_a_deleted_site(running: Service) -> None:
    assert len(await events([BEGUN, None])) == 2


async def test_a_browser_that_leaves_is_counted_out(running: Service) -> None:
    async def read() -> Progress | None:
        return BEGUN

    following = stream(read, progress_streams, QUICK, lambda: False)
    await anext(following)
    assert testing.metric(running, "progress_streams") == 1
    await following.aclose()
    assert testing.metric(running, "progress_streams") == 0
