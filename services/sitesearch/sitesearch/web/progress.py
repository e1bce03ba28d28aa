"""A crawl as it goes, to any number of browsers, as server-sent events.

A browser that goes away ends its stream; so does the end of the crawl, with a last event `end`. While the service
drains, streams end with the connection, and browsers ask again after the stated `retry`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from roadworthy import Gauge
from sitesearch.crawl.progress import Progress

Read = Callable[[], Awaitable[Progress | None]]


@dataclass(frozen=True, slots=True)
class Pace:
    """How often progress is read, after what silence a comment keeps the connection open, and when a stream ends."""

    interval: timedelta = timedelta(seconds=1)
    heartbeat: timedelta = timedelta(seconds=15)
    longest: timedelta = timedelta(minutes=10)


async def stream(
    read: Read, open_streams: Gauge, pace: Pace, draining: Callable[[], bool]
) -> AsyncGenerator[str, None]:
    """Yield server-sent events: `progress` at each change, `end` once the crawl has ended, else comments."""
    open_streams.inc()
    try:
        yield "retry: 2000\n\n"
        shown: str | None = None
        silence = timedelta(0)
        for _ in range(pace.longest // pace.interval):
            progress = await read()
            if progress is None or draining():
                return
            running = progress.state == "running"
            if _without_clock(progress) != shown or not running:
                shown, silence = _without_clock(progress), timedelta(0)
                state = json.dumps(as_json(progress), default=str)
                yield f"event: {'progress' if running else 'end'}\ndata: {state}\n\n"
            elif silence >= pace.heartbeat:
                silence = timedelta(0)
                yield ": still there\n\n"
            if not running:
                return
            silence += pace.interval
            await asyncio.sleep(pace.interval.total_seconds())
    finally:
        open_streams.inc(-1)


def as_json(progress: Progress) -> dict[str, Any]:
    """Return a crawl's progress for the API and the live view."""
    return {
        **asdict(progress),
        "done": progress.done,
        "waiting": progress.waiting,
        "pages": progress.fetched + progress.unchanged,
        "pages_per_second": round(progress.pages_per_second, 2),
    }


def _without_clock(progress: Progress) -> str:
    return f"{progress.state} {progress.level} {progress.done} {progress.found}"
