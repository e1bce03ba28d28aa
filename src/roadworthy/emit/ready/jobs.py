"""Alerts on queues, their workers and their dead letters."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from roadworthy.duration import minutes, seconds
from roadworthy.emit.alert import Alert
from roadworthy.emit.indicator import selected
from roadworthy.emit.objectives import INTERVAL
from roadworthy.jobs.metrics import (
    JOBS_FINISHED,
    OBSERVED_EVERY,
    QUEUE_OLDEST_READY,
    QUEUE_OVERDUE,
    QUEUE_READY,
    WORKER_HEARTBEAT,
)
from roadworthy.jobs.spec import QueueSpec
from roadworthy.objectives.spec import AlertExample
from roadworthy.service import ServiceSpec

_BACKLOG = 1000
_SILENT = 120


def job_alerts(spec: ServiceSpec) -> Iterator[Alert]:
    """Yield the alerts on jobs that wait, fail or are lost for good, and on workers that take none."""
    queue = spec.queues[0].name
    yield _backlog(spec.name, queue)
    for one in spec.queues:
        yield _late(spec.name, one)
    if any(fewest for fewest, _ in (one.workers for one in spec.queues)):
        yield _worker_down(spec.name)
    yield _stuck(spec.name, queue)
    yield _dead_letters(spec.name, queue)
    yield _failing(spec.name, queue)


def _backlog(service: str, queue: str) -> Alert:
    labels = {"service": service}
    example = {**labels, "queue": queue}
    ready = selected(QUEUE_READY.name, example)
    return Alert(
        "WorkerQueueBacklog",
        f"max by (queue) ({selected(QUEUE_READY.name, labels)}) > {_BACKLOG}",
        minutes(10),
        "warning",
        "Many jobs wait",
        "{{ $value }} jobs wait in the queue {{ $labels.queue }}.",
        "Do its workers run (`roadworthy jobs`)? Are more enqueued than usual (jobs_enqueued_total), or do jobs take "
        "longer (job_duration_seconds)? Raise the bound of its workers= where they are all busy.",
        example=AlertExample(
            {ready: f"{_BACKLOG + 1}x60"},
            {ready: f"{_BACKLOG}x60"},
            timedelta(0),
            {"queue": queue},
            {"{{ $value }}": str(_BACKLOG + 1), "{{ $labels.queue }}": queue},
        ),
    )


def _late(service: str, queue: QueueSpec) -> Alert:
    oldest = selected(QUEUE_OLDEST_READY.name, {"service": service, "queue": queue.name})
    target = queue.target_latency.total_seconds()
    # What was true when the queue was observed: until the next time, even an empty one seems to wait.
    bound = target + OBSERVED_EVERY.total_seconds()
    after = INTERVAL * (int(bound // INTERVAL.total_seconds()) + 1)
    shown = _humanized(after + minutes(5))
    return Alert(
        "OldestJobAge",
        # Not time(), which runs on between two scrapes: an empty queue would look late.
        f"max by (queue) (timestamp({oldest}) - {oldest}) > {bound:g}",
        minutes(5),
        "critical",
        f"Jobs of {queue.name} begin later than promised",
        f"The oldest job of {queue.name} has waited for {{{{ $value | humanizeDuration }}}}, where {target:g} s is "
        "the target.",
        "Do workers run, and do they finish jobs (`roadworthy jobs`)? Is the queue paused, or held up by a limit "
        "(queue_blocked)? Is its scaling at its upper bound (queue_desired_workers)?",
        labels={"queue": queue.name},
        example=AlertExample(
            {oldest: "0x200"},
            {oldest: "0+30x200"},
            after,
            {"queue": queue.name},
            {"{{ $value | humanizeDuration }}": shown},
        ),
    )


def _worker_down(service: str) -> Alert:
    labels = {"service": service}
    beats = selected(WORKER_HEARTBEAT.name, labels)
    beat = selected(WORKER_HEARTBEAT.name, {**labels, "worker": "worker"})
    return Alert(
        "WorkerDown",
        f"time() - max by (worker) ({beats}) > {_SILENT} or absent({beats})",
        minutes(5),
        "critical",
        "A worker takes no jobs",
        "The worker {{ $labels.worker }} has not proved for some minutes that it takes jobs; where none is named, "
        "there is none at all.",
        "Is it out of slots, because jobs do not end (`roadworthy jobs`)? Can it reach the database? Its log says. A "
        "supervisor starts a hung one again by itself.",
        example=AlertExample(
            {beat: "0x60"},
            {beat: "0+30x60"},
            seconds(_SILENT) + INTERVAL,
            {"worker": "worker"},
            {"{{ $labels.worker }}": "worker"},
        ),
    )


def _stuck(service: str, queue: str) -> Alert:
    labels = {"service": service}
    overdue = selected(QUEUE_OVERDUE.name, {**labels, "queue": queue})
    return Alert(
        "JobsStuckRunning",
        f"max by (queue) ({selected(QUEUE_OVERDUE.name, labels)}) > 0",
        minutes(10),
        "warning",
        "Jobs are past their lease, and nobody takes them back",
        "{{ $value }} jobs of {{ $labels.queue }} count as running, but the worker that had them has stopped renewing "
        "their lease, and no other one has taken them back.",
        "Does any worker of the queue run (`roadworthy jobs workers`)? Taking jobs back is the workers' part: one that "
        "runs does it within seconds. If one does, does it reach the database, and does a lock hold it up "
        "(database_lock_waits)?",
        example=AlertExample(
            {overdue: "2x60"},
            {overdue: "0x60"},
            timedelta(0),
            {"queue": queue},
            {"{{ $value }}": "2", "{{ $labels.queue }}": queue},
        ),
    )


def _dead_letters(service: str, queue: str) -> Alert:
    labels = {"service": service}
    dead = selected(JOBS_FINISHED.name, labels, 'outcome="dead"')
    buried = selected(JOBS_FINISHED.name, {**labels, "queue": queue, "job": "job", "outcome": "dead"})
    return Alert(
        "DeadLettersGrowing",
        f"sum by (queue, job) (increase({dead}[15m])) > 0",
        minutes(5),
        "warning",
        "Jobs go to the dead letters",
        "Jobs of {{ $labels.job }} in {{ $labels.queue }} have failed for the last time: nothing tries them again.",
        "`roadworthy jobs dead` groups them by error. Fix the cause, then retry them by the same filter.",
        example=AlertExample(
            {buried: "0+1x60"},
            {buried: "3x60"},
            INTERVAL,
            {"queue": queue, "job": "job"},
            {"{{ $labels.queue }}": queue, "{{ $labels.job }}": "job"},
        ),
    )


def _failing(service: str, queue: str) -> Alert:
    labels = {"service": service}
    finished = selected(JOBS_FINISHED.name, labels, 'outcome=~"succeeded|retried|dead"')
    job = {**labels, "queue": queue, "job": "job"}
    buried, done = (selected(JOBS_FINISHED.name, {**job, "outcome": outcome}) for outcome in ("dead", "succeeded"))
    failed = selected(JOBS_FINISHED.name, labels, 'outcome=~"retried|dead"')
    by = "sum by (queue, job)"
    return Alert(
        "HighJobFailureRate",
        f"{by} (increase({failed}[15m])) / ({by} (increase({finished}[15m])) >= 20) > 0.2",
        minutes(5),
        "critical",
        "More than a fifth of a job's attempts fail",
        "{{ $value | humanizePercentage }} of the attempts of {{ $labels.job }} in {{ $labels.queue }} fail.",
        "`roadworthy jobs dead` groups what has failed for good by error; the log has the attempts that are tried "
        "again. Is it one kind of argument, a deploy, or something that the job calls?",
        example=AlertExample(
            {buried: "0+10x60", done: "0+10x60"},
            {buried: "0+1x60", done: "0+19x60"},
            INTERVAL,
            {"queue": queue, "job": "job"},
            {
                "{{ $value | humanizePercentage }}": "50%",
                "{{ $labels.queue }}": queue,
                "{{ $labels.job }}": "job",
            },
        ),
    )


def _humanized(duration: timedelta) -> str:
    """Return a duration as Prometheus's humanizeDuration shows whole seconds."""
    total = int(duration.total_seconds())
    minutes_, rest = divmod(total, 60)
    hours_, minutes_ = divmod(minutes_, 60)
    days_, hours_ = divmod(hours_, 24)
    parts = ((days_, "d"), (hours_, "h"), (minutes_, "m"), (rest, "s"))
    first = next((place for place, (count, _) in enumerate(parts) if count), 3)
    return " ".join(f"{count}{unit}" for count, unit in parts[first:])
