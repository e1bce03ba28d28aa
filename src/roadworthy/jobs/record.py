"""What a worker tells the metrics, its series looked up once."""

from __future__ import annotations

from collections.abc import Mapping

from roadworthy.jobs import metrics as catalogue
from roadworthy.jobs.engine import ClaimedJob, Rescued
from roadworthy.jobs.metrics import Result
from roadworthy.telemetry.registry import MetricRegistry
from roadworthy.telemetry.tracing import current_trace


class Record:
    """The series of one worker."""

    def __init__(self, metrics: MetricRegistry, worker: str) -> None:
        """`metrics` must know the catalogue of jobs."""
        self._finished = metrics.bound(catalogue.JOBS_FINISHED)
        self._duration = metrics.bound(catalogue.JOB_DURATION)
        self._wait = metrics.bound(catalogue.JOB_WAIT)
        self._rescued = metrics.bound(catalogue.JOBS_RESCUED)
        self._heartbeat = metrics.bound(catalogue.WORKER_HEARTBEAT)
        self._worker = worker

    def waited(self, job: ClaimedJob) -> None:
        """Count how long a job was ready."""
        self._wait.labels(job.queue).observe(job.waited)

    def ran(self, job: ClaimedJob, seconds: float) -> None:
        """Count how long an attempt took."""
        self._duration.labels(job.queue, job.job).observe(seconds, current_trace())

    def finished(self, job: ClaimedJob, result: Result) -> None:
        """Count one attempt's end."""
        self._finished.labels(job.queue, job.job, result).inc()

    def finished_many(self, counts: Mapping[tuple[str, str, Result], int]) -> None:
        """Count attempts' ends, by queue, job and result."""
        for labels, count in counts.items():
            self._finished.labels(*labels).inc(count)

    def rescued(self, rescued: Rescued) -> None:
        """Count a job that was taken from a vanished worker; a buried one died, too."""
        self._rescued.labels(rescued.queue).inc()
        if rescued.buried:
            self._finished.labels(rescued.queue, rescued.job, "dead").inc()

    def alive(self, moment: float) -> None:
        """Note that the worker consumes at `moment`, Unix time; before the first such moment there is no series."""
        self._heartbeat.labels(self._worker).set(moment)
