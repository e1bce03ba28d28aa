"""What `roadworthy jobs top` shows, fitted into a terminal. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from roadworthy.cli.jobs.workers import HEADER, RIGHT, duration, row, state
from roadworthy.cli.output import table

if TYPE_CHECKING:
    from roadworthy.jobs.overview import QueueLine, RunningJob
    from roadworthy.jobs.workers import WorkerRecord

_QUEUES = (
    "QUEUE",
    "READY",
    "RUNNING",
    "BLOCKED",
    "SCHEDULED",
    "HELD",
    "DEAD",
    "OLDEST",
    "DONE/S",
    "FAILED/S",
    "WAIT P50",
    "P95",
    "RUN P50",
    "P95",
    "WORKERS",
    "SLOTS",
)
_RUNNING = ("RUNS FOR", "ID", "ATTEMPT", "QUEUE", "JOB", "WORKER")


@dataclass(frozen=True, slots=True)
class View:
    """Everything that there is to show. `counted_ago` is how old the counts are, in seconds; `trouble` a last word."""

    at: datetime
    queues: Sequence[QueueLine]
    workers: Sequence[WorkerRecord]
    longest: Sequence[RunningJob]
    counted_ago: float = 0.0
    trouble: str | None = None


def lines(view: View, width: int | None = None, height: int | None = None) -> list[str]:
    """Return the view as lines of at most `width` characters, at most `height` of them.

    Where there is too little room, workers that work give way first, then jobs that run, then queues.
    """
    title = _title(view)
    queues = _queues(view.queues, width)
    running = _running(view.longest, width)
    ailing = sorted(view.workers, key=lambda worker: state(worker) == "working")
    workers = table(HEADER, [row(worker) for worker in ailing], right=RIGHT, width=width) if ailing else []
    if height is not None:
        room = height - len(title)
        queues = queues[: max(room, 0)]
        room -= len(queues)
        running = _fitted(running, room)
        room -= len(running)
        workers = _fitted(workers, room)
    else:
        running, workers = (["", *part] if part else [] for part in (running, workers))
    shown = [*title, *queues, *running, *workers]
    return shown if width is None else [line[:width] for line in shown]


def _fitted(part: list[str], room: int) -> list[str]:
    """Return a blank line and as much of `part` as there is room for, if that is more than its header."""
    return ["", *part][:room] if part and room >= len(part[:2]) + 1 else []


def _title(view: View) -> list[str]:
    states = [state(worker) for worker in view.workers]
    done = sum(queue.per_second for queue in view.queues)
    failed = sum(queue.failures_per_second for queue in view.queues)
    parts = [
        view.at.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
        f"{states.count('working')} working",
        *(f"{states.count(one)} {one}" for one in ("retiring", "stalled", "vanished") if one in states),
        f"{done:,.1f} done/s",
        f"{failed:,.1f} failed/s",
    ]
    if view.counted_ago >= 1:
        parts.append(f"counted {duration(view.counted_ago)} ago")
    return ["  ".join(parts), view.trouble or ""]


def _queues(queues: Sequence[QueueLine], width: int | None) -> list[str]:
    if not queues:
        return ["no queue holds a job or has a worker"]
    rows = [
        (
            f"{queue.queue} (paused)" if queue.paused else queue.queue,
            f"{queue.ready:,}",
            f"{queue.running:,}",
            f"{queue.blocked:,}",
            f"{queue.scheduled:,}",
            f"{queue.held:,}",
            f"{queue.dead:,}",
            duration(queue.oldest_ready),
            f"{queue.per_second:,.1f}",
            f"{queue.failures_per_second:,.1f}",
            duration(queue.wait_p50),
            duration(queue.wait_p95),
            duration(queue.run_p50),
            duration(queue.run_p95),
            queue.workers,
            queue.slots,
        )
        for queue in queues
    ]
    return table(_QUEUES, rows, right=_QUEUES[1:], width=width)


def _running(jobs: Sequence[RunningJob], width: int | None) -> list[str]:
    rows = [(duration(job.seconds), job.id, job.attempt, job.queue, job.job, job.worker) for job in jobs]
    return table(_RUNNING, rows, right=("RUNS FOR", "ID", "ATTEMPT"), width=width) if rows else []
