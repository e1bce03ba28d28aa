"""What a worker tells of itself, for whoever looks at all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from roadworthy.jobs import metrics as catalogue
from roadworthy.telemetry.exposition import Snapshot

TOLD_EVERY = timedelta(seconds=5)
VANISHED_AFTER = timedelta(seconds=30)
"""For how long a worker that said nothing may still be there: its host is slow, or the database was away."""

WORKERS_KEPT = timedelta(hours=1)
"""For how long a worker that vanished is remembered."""


class QueueReport(msgspec.Struct, frozen=True):
    """A queue in one worker: its slots, and what it has counted over the report's span.

    `ended` counts attempts by outcome. `waits` and `runs` count them by duration: how many took at most each bound of
    `DURATION_BUCKETS`, and how many there were. `stuck` slots have jobs that do not end.
    """

    slots: int
    running: int = 0
    waiting: int = 0
    stuck: int = 0
    ended: dict[str, int] = {}
    waits: list[int] = []
    runs: list[int] = []


class LongJob(msgspec.Struct, frozen=True):
    """A job that runs, and for how many seconds it has."""

    id: int
    queue: str
    job: str
    attempt: int
    seconds: float


class WorkerReport(msgspec.Struct, frozen=True):
    """A worker as it sees itself. `longest` are the jobs that have run longest, those first.

    `span` is over how many seconds the queues counted: since the report before.
    """

    queues: dict[str, QueueReport]
    span: float
    longest: list[LongJob] = []
    retiring: bool = False


@dataclass(frozen=True, slots=True)
class WorkerName:
    """Which worker: its name, unique on its host at one time, and its process."""

    name: str
    host: str
    pid: int


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """A worker as it last told of itself, by the backend's clock.

    `silent` is how long ago that was; `consumes` whether it took jobs from all its queues, or had no slot for them.
    """

    name: str
    host: str
    pid: int
    started_at: datetime
    seen_at: datetime
    silent: timedelta
    consumes: bool
    report: WorkerReport

    @property
    def present(self) -> bool:
        """Whether it is still there, as far as anyone can tell."""
        return self.silent < VANISHED_AFTER


def consumers(workers: Iterable[WorkerRecord]) -> Counter[str]:
    """Return how many workers take jobs from each queue."""
    return Counter(
        queue
        for worker in workers
        if worker.present and worker.consumes and not worker.report.retiring
        for queue in worker.report.queues
    )


def counted(snapshot: Snapshot, queues: Iterable[str]) -> Mapping[str, QueueReport]:
    """Return what a process's metrics have counted of each queue since it began; the slots are left at 0."""
    found = {queue: QueueReport(0) for queue in queues}
    waits = _histograms(snapshot, catalogue.JOB_WAIT.name)
    runs = _histograms(snapshot, catalogue.JOB_DURATION.name)
    ended: dict[str, dict[str, int]] = {}
    for family in snapshot.families:
        if family.name == catalogue.JOBS_FINISHED.name:
            for sample in family.samples:
                labels = dict(sample.labels)
                of_queue = ended.setdefault(labels["queue"], {})
                of_queue[labels["outcome"]] = of_queue.get(labels["outcome"], 0) + int(sample.value)
    return {
        queue: msgspec.structs.replace(
            report, ended=ended.get(queue, {}), waits=waits.get(queue, []), runs=runs.get(queue, [])
        )
        for queue, report in found.items()
    }


def _histograms(snapshot: Snapshot, name: str) -> dict[str, list[int]]:
    """Return the cumulative bucket counts of a histogram by queue, its other labels summed up."""
    bounds = [*catalogue.DURATION_BUCKETS, float("inf")]
    found: dict[str, list[int]] = {}
    for family in snapshot.families:
        if family.name != name:
            continue
        for sample in family.samples:
            if not sample.name.endswith("_bucket"):
                continue
            labels = dict(sample.labels)
            counts = found.setdefault(labels["queue"], [0] * len(bounds))
            counts[bounds.index(float(labels["le"]))] += int(sample.value)
    return found


def since(now: QueueReport, before: QueueReport | None) -> QueueReport:
    """Return what was counted after `before`."""
    if before is None:
        return now
    return msgspec.structs.replace(
        now,
        ended={outcome: count - before.ended.get(outcome, 0) for outcome, count in now.ended.items()},
        waits=_difference(now.waits, before.waits),
        runs=_difference(now.runs, before.runs),
    )


def _difference(now: list[int], before: list[int]) -> list[int]:
    return [one - other for one, other in zip(now, before, strict=True)] if before else now


def quantile(share: float, counts: list[int]) -> float | None:
    """Return the duration in seconds that `share` of the counted ones did not exceed; None where none was counted.

    Interpolated inside its bucket, as Prometheus' histogram_quantile does; past the last bound, that bound.
    """
    if not counts or counts[-1] <= 0:
        return None
    rank, below, lower = share * counts[-1], 0, 0.0
    for bound, count in zip(catalogue.DURATION_BUCKETS, counts, strict=False):
        if count >= rank and count > below:
            return lower + (bound - lower) * (rank - below) / (count - below)
        below, lower = count, bound
    return lower
