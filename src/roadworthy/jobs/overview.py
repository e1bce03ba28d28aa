"""The queues at a glance: what waits, what runs, how fast it goes, and who does it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from roadworthy.jobs.operations import Pause, QueueCounts
from roadworthy.jobs.workers import LongJob, QueueReport, WorkerRecord, consumers, quantile

_FAILED = ("retried", "dead")
_DONE = ("succeeded", *_FAILED)


@dataclass(frozen=True, slots=True)
class QueueLine:
    """A queue. Times are seconds; the rates and quantiles are those of its workers' last reports, some seconds long.

    `oldest_ready` is for how long its longest-waiting ready job has waited, `paused` whether nothing of it begins.
    `per_second` counts attempts that ended by themselves, `failures_per_second` those of them that failed.
    """

    queue: str
    scheduled: int
    ready: int
    running: int
    blocked: int
    held: int
    dead: int
    oldest_ready: float | None
    paused: bool
    workers: int
    slots: int
    per_second: float
    failures_per_second: float
    wait_p50: float | None
    wait_p95: float | None
    run_p50: float | None
    run_p95: float | None


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A job that runs, and where."""

    id: int
    queue: str
    job: str
    attempt: int
    seconds: float
    worker: str


def queue_lines(
    counts: Sequence[QueueCounts], workers: Sequence[WorkerRecord], pauses: Iterable[Pause], now: datetime
) -> list[QueueLine]:
    """Return every queue that has jobs or workers, by name."""
    present = [worker for worker in workers if worker.present]
    taking = consumers(workers)
    paused = {pause.queue for pause in pauses if pause.job is None}
    counted = {count.queue: count for count in counts}
    names = sorted({*counted, *(queue for worker in present for queue in worker.report.queues)})
    return [
        _line(name, counted.get(name), _reports(name, present), name in paused, taking[name], now) for name in names
    ]


def _reports(queue: str, workers: Iterable[WorkerRecord]) -> list[tuple[QueueReport, float]]:
    return [(worker.report.queues[queue], worker.report.span) for worker in workers if queue in worker.report.queues]


def _line(
    name: str,
    count: QueueCounts | None,
    reports: list[tuple[QueueReport, float]],
    paused: bool,
    taking: int,
    now: datetime,
) -> QueueLine:
    oldest = None if count is None or count.oldest_ready_at is None else (now - count.oldest_ready_at).total_seconds()
    waits = _sum(report.waits for report, _ in reports)
    runs = _sum(report.runs for report, _ in reports)
    return QueueLine(
        queue=name,
        scheduled=count.scheduled if count else 0,
        ready=count.ready if count else 0,
        running=count.running if count else 0,
        blocked=count.blocked if count else 0,
        held=count.held if count else 0,
        dead=count.dead if count else 0,
        oldest_ready=None if oldest is None else max(oldest, 0.0),
        paused=paused,
        workers=taking,
        slots=sum(report.slots for report, _ in reports),
        per_second=_rate(reports, _DONE),
        failures_per_second=_rate(reports, _FAILED),
        wait_p50=quantile(0.5, waits),
        wait_p95=quantile(0.95, waits),
        run_p50=quantile(0.5, runs),
        run_p95=quantile(0.95, runs),
    )


def _rate(reports: Iterable[tuple[QueueReport, float]], outcomes: Sequence[str]) -> float:
    return sum(sum(report.ended.get(outcome, 0) for outcome in outcomes) / span for report, span in reports if span > 0)


def _sum(counts: Iterable[list[int]]) -> list[int]:
    return [sum(column) for column in zip(*(one for one in counts if one), strict=False)]


def longest(workers: Iterable[WorkerRecord], most: int = 10) -> list[RunningJob]:
    """Return the jobs that have run longest, those first."""
    running = [_running(job, worker) for worker in workers if worker.present for job in worker.report.longest]
    return sorted(running, key=lambda job: -job.seconds)[:most]


def _running(job: LongJob, worker: WorkerRecord) -> RunningJob:
    seconds = job.seconds + worker.silent.total_seconds()
    return RunningJob(job.id, job.queue, job.job, job.attempt, round(seconds, 1), worker.name)
