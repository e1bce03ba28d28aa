"""Which queues are compared, with which settings, in which environment, and how many jobs they drain."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

OURS = "roadworthy"


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the table: a queue with one set of settings.

    `jobs` are drained in a pass: 10,000, or what a slow queue does in a few seconds. `quick` ones are in a quick run,
    a `variant` is one of a queue's other settings, which are slower here.
    """

    module: str
    environment: str
    server: Literal["postgres", "redis"]
    jobs: int = 10_000
    settings: dict[str, Any] = field(default_factory=dict)
    quick: bool = False
    variant: bool = False


ENTRIES: dict[str, Entry] = {
    OURS: Entry("roadworthy_queue", "", "postgres", quick=True),
    "pgqueuer: batch 100": Entry("pgqueuer_queue", "postgres", "postgres", settings={"batch": 100}, quick=True),
    "pgqueuer: batch 10 (default)": Entry(
        "pgqueuer_queue", "postgres", "postgres", settings={"batch": 10}, variant=True
    ),
    "awa: 500 workers": Entry("awa_queue", "postgres", "postgres", settings={"workers": 500}, quick=True),
    "awa: 100 workers": Entry("awa_queue", "postgres", "postgres", settings={"workers": 100}, variant=True),
    "awa: 2,000 workers": Entry("awa_queue", "postgres", "postgres", settings={"workers": 2_000}, variant=True),
    "oban: limit 500": Entry("oban_queue", "oban", "postgres", settings={"limit": 500}),
    "oban: limit 10 (default)": Entry("oban_queue", "oban", "postgres", settings={"limit": 10}, variant=True),
    "procrastinate: concurrency 20": Entry(
        "procrastinate_queue", "postgres", "postgres", jobs=2_000, settings={"concurrency": 20}
    ),
    "saq (PostgreSQL): concurrency 10 (default)": Entry(
        "saq_postgres_queue", "postgres", "postgres", jobs=2_500, settings={"concurrency": 10}
    ),
    "taskiq: Redis stream": Entry("taskiq_queue", "taskiq", "redis", jobs=6_000, settings={"stream": True}, quick=True),
    "taskiq: Redis list": Entry(
        "taskiq_queue", "taskiq", "redis", jobs=6_000, settings={"stream": False}, variant=True
    ),
    "huey: 1 thread (default)": Entry("huey_queue", "redis", "redis", settings={"threads": 1}),
    "huey: 8 threads": Entry("huey_queue", "redis", "redis", settings={"threads": 8}, variant=True),
    "saq (Redis): concurrency 10 (default)": Entry(
        "saq_redis_queue", "redis", "redis", jobs=6_000, settings={"concurrency": 10}
    ),
    "saq (Redis): concurrency 100": Entry(
        "saq_redis_queue", "redis", "redis", jobs=6_000, settings={"concurrency": 100}, variant=True
    ),
    "dramatiq: 1 process, 32 threads": Entry("dramatiq_queue", "redis", "redis", jobs=6_000, settings={"threads": 32}),
    "dramatiq: 1 process, 8 threads (default)": Entry(
        "dramatiq_queue", "redis", "redis", jobs=5_000, settings={"threads": 8}, variant=True
    ),
    "celery: solo": Entry("celery_queue", "celery", "redis", jobs=4_000, settings={"pool": "solo", "slots": 1}),
    "celery: 8 threads": Entry(
        "celery_queue", "celery", "redis", jobs=4_000, settings={"pool": "threads", "slots": 8}, variant=True
    ),
    "celery: prefork, 2 processes": Entry(
        "celery_queue", "celery", "redis", jobs=4_000, settings={"pool": "prefork", "slots": 2}, variant=True
    ),
    "arq: 100 jobs, polls each 10 ms": Entry(
        "arq_queue", "arq", "redis", jobs=3_000, settings={"jobs": 100, "poll": 0.01}
    ),
    "rq: SimpleWorker": Entry("rq_queue", "redis", "redis", jobs=1_000),
    "limit: bare SQL, batch 100": Entry(
        "bare_sql", "postgres", "postgres", jobs=50_000, settings={"batch": 100}, quick=True
    ),
    "limit: raw Redis stream, batch 100": Entry("bare_redis", "redis", "redis", jobs=50_000, settings={"batch": 100}),
}


KEEPING = Entry("roadworthy_queue", "", "postgres", settings={"keep": True})
"""Ours with jobs that are kept after they ended."""


def is_limit(name: str) -> bool:
    """Whether a row is no queue but what bounds one."""
    return name.startswith("limit")


def is_peer(name: str) -> bool:
    """Whether a row is another's queue, not ours and not a limit."""
    return name != OURS and not is_limit(name)
