"""Every metric that jobs export."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from roadworthy.telemetry.spec import Label, MetricSpec

if TYPE_CHECKING:
    from roadworthy.telemetry.registry import MetricRegistry

Result = Literal["succeeded", "retried", "dead", "released", "fenced", "snoozed", "cancelled"]
RESULTS: tuple[Result, ...] = ("succeeded", "retried", "dead", "released", "fenced", "snoozed", "cancelled")

_QUEUE = Label("queue")
_JOB = Label("job", limit=500)

DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
"""Upper bounds in seconds: a job may take an hour, which no request does."""

JOBS_ENQUEUED = MetricSpec(
    "jobs_enqueued_total",
    "counter",
    "Jobs handed to a queue, before the transaction that carries them commits.",
    (_QUEUE, _JOB),
)
JOBS_FINISHED = MetricSpec(
    "jobs_finished_total",
    "counter",
    "Attempts ended: succeeded, retried later, dead after the last, released undone, fenced off after a lost lease, "
    "snoozed by themselves, or cancelled.",
    (_QUEUE, _JOB, Label("outcome", RESULTS)),
)
JOB_DURATION = MetricSpec(
    "job_duration_seconds", "histogram", "How long an attempt ran.", (_QUEUE, _JOB), DURATION_BUCKETS
)


def job_wait(buckets: tuple[float, ...] = DURATION_BUCKETS) -> MetricSpec:
    """Return the histogram of the time that jobs wait, with these upper bounds in seconds."""
    return MetricSpec(
        "job_wait_seconds",
        "histogram",
        "How long a job was ready before a worker took it, by the database's clock.",
        (_QUEUE,),
        buckets,
    )


JOB_WAIT = job_wait()
JOBS_RESCUED = MetricSpec(
    "jobs_rescued_total", "counter", "Jobs taken back from a worker that stopped renewing their lease.", (_QUEUE,)
)
OBSERVED_EVERY = timedelta(seconds=15)
"""How old what is told of queues may be."""

QUEUE_SCHEDULED = MetricSpec("queue_scheduled", "gauge", "Jobs that wait for their time.", (_QUEUE,), across="max")
QUEUE_READY = MetricSpec("queue_ready", "gauge", "Jobs that wait for a worker.", (_QUEUE,), across="max")
QUEUE_RUNNING = MetricSpec("queue_running", "gauge", "Jobs in a worker's hand.", (_QUEUE,), across="max")
QUEUE_OVERDUE = MetricSpec(
    "queue_overdue",
    "gauge",
    "Jobs in the hand of a worker that has stopped renewing their lease, and not taken back yet.",
    (_QUEUE,),
    across="max",
)
QUEUE_DEAD = MetricSpec("queue_dead", "gauge", "Jobs in the dead letters.", (_QUEUE,), across="max")
QUEUE_BLOCKED = MetricSpec(
    "queue_blocked", "gauge", "Jobs that a limit or a pause does not let through.", (_QUEUE,), across="max"
)
QUEUE_PAUSED = MetricSpec("queue_paused", "gauge", "1 while a queue is paused, else 0.", (_QUEUE,), across="max")
JOB_PAUSED = MetricSpec("job_paused", "gauge", "1 while a kind of job is paused, else 0.", (_QUEUE, _JOB), across="max")
QUEUE_OLDEST_READY = MetricSpec(
    "queue_oldest_ready_timestamp_seconds",
    "gauge",
    "Since when the longest waiting job is ready, Unix time; now for an empty queue, so that its age is 0.",
    (_QUEUE,),
    across="max",
)
QUEUE_DESIRED_WORKERS = MetricSpec(
    "queue_desired_workers",
    "gauge",
    "Workers that would begin what waits within the target latency, before bounds and windows.",
    (_QUEUE,),
    across="max",
)
WORKER_HEARTBEAT = MetricSpec(
    "worker_heartbeat_timestamp_seconds",
    "gauge",
    "When a worker last proved that it consumes all its queues, Unix time.",
    (Label("worker"),),
    across="max",
)

CATALOGUE: tuple[MetricSpec, ...] = (
    JOBS_ENQUEUED,
    JOBS_FINISHED,
    JOB_DURATION,
    JOB_WAIT,
    JOBS_RESCUED,
    QUEUE_SCHEDULED,
    QUEUE_READY,
    QUEUE_RUNNING,
    QUEUE_OVERDUE,
    QUEUE_DEAD,
    QUEUE_BLOCKED,
    QUEUE_PAUSED,
    JOB_PAUSED,
    QUEUE_OLDEST_READY,
    QUEUE_DESIRED_WORKERS,
    WORKER_HEARTBEAT,
)


def catalogue(wait_buckets: tuple[float, ...] = DURATION_BUCKETS) -> tuple[MetricSpec, ...]:
    """Return CATALOGUE with these upper bounds (seconds) of the time that jobs wait, as objectives need them."""
    fitted = job_wait(wait_buckets)
    return tuple(fitted if spec.name == fitted.name else spec for spec in CATALOGUE)


def begin(registry: MetricRegistry, jobs: Iterable[tuple[str, str]]) -> None:
    """Have the series that objectives on `jobs` count, by queue and name, from the start.

    A series born at 1 shows no increase, and one that is not there looks like an objective that is not measured.
    """
    for queue, job in jobs:
        for outcome in ("succeeded", "dead"):
            registry.bound(JOBS_FINISHED).labels(queue, job, outcome)
        registry.bound(JOB_WAIT).labels(queue)
